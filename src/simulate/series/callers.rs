//! The callers' track: every caller by name, and attacks that only the callers show.

use super::crew::{Caller, Crew, Spell, hours, stranger};
use super::load::{Load, Sizes, distinct};
use super::number::real;
use super::plan::{Draft, Planned, Plot, moment};
use super::random::Draws;
use super::{DAY, Event, HOUR, Profile, Raw, Series, Settings, Truth, model, rounded};

/// A caller counts as fresh for less than this after the slot in which it was first seen begins.
const FRESH: usize = DAY;
/// Nobody is fresh before this slot: everybody is new at first.
const ACQUAINTED: usize = 7 * DAY;

/// What callers can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// One to five strangers, together 0.2 to 0.6 of the mean load, for 1 to 12 hours.
    NewInside,
    /// A known caller's mean volume times 5 to 20, at any hour, for 1 to 8 hours.
    KnownCaller,
    /// 10 to 60 strangers with little each, who come one after another, for 6 to 48 hours.
    Resold,
    /// Lawful: a known caller goes, and a new one carries its volume on from the same slot.
    Egress,
    /// Lawful: a new caller grows for days to 0.1 to 0.4 of the own load.
    NewOffice,
}

/// How many of each in 200 deployments.
const COUNTS: [(Deed, usize); 5] = [
    (Deed::NewOffice, 40),
    (Deed::Egress, 48),
    (Deed::Resold, 48),
    (Deed::NewInside, 64),
    (Deed::KnownCaller, 48),
];

impl Deed {
    const fn word(self) -> &'static str {
        match self {
            Self::NewInside => "new_inside",
            Self::KnownCaller => "known_caller",
            Self::Resold => "resold",
            Self::Egress => "egress",
            Self::NewOffice => "new_office",
        }
    }

    const fn truth(self) -> Truth {
        match self {
            Self::NewInside | Self::KnownCaller | Self::Resold => Truth::Attack,
            Self::Egress | Self::NewOffice => Truth::Lawful,
        }
    }

    /// Shortest and longest, in slots; of the lawful ones until they have settled.
    const fn lengths(self) -> (usize, usize) {
        match self {
            Self::NewInside => (HOUR, 12 * HOUR),
            Self::KnownCaller => (HOUR, 8 * HOUR),
            Self::Resold => (6 * HOUR, 48 * HOUR),
            Self::Egress => (DAY, DAY + 1),
            Self::NewOffice => (3 * DAY, 7 * DAY),
        }
    }
}

impl Plot for Deed {
    fn draw(self, settings: &Settings, draws: &mut Draws) -> Planned<Self> {
        let magnitude = draws.between(match self {
            Self::NewInside => (0.2, 0.6),
            Self::KnownCaller => (5.0, 20.0),
            Self::Resold => (0.3, 1.5),
            Self::Egress => (1.0, 1.0),
            Self::NewOffice => (0.1, 0.4),
        });
        let (from, until) = moment(settings, self.lengths(), draws);
        Planned { what: self, from, until, magnitude }
    }

    fn lasts(self) -> bool {
        false
    }

    fn fits(self, profile: Profile, _: &[Planned<Self>]) -> bool {
        matches!(profile, Profile::Business | Profile::Consumer | Profile::Flat)
    }
}

impl Planned<Deed> {
    /// Changes who calls; `None` where nobody is there to do it.
    fn happen(&self, crew: &mut Crew, mean: f64, slots: usize, draws: &mut Draws) -> Option<Event> {
        let span = (self.from, self.until);
        match self.what {
            Deed::NewInside => {
                let count = draws.within(1..6);
                let rate = self.magnitude * mean / real(count);
                let strangers = (0..count).map(|_| stranger(span, rate, 1, draws));
                crew.callers.extend(strangers);
            }
            Deed::KnownCaller => {
                let (share, caller) = crew.known(span, (0.02, 0.3), draws)?;
                let rate = (self.magnitude - 1.0) * share * mean;
                let (from, until) = span;
                caller.spells.push(Spell { from, until, share: 0.0, rate, ramp: 1 });
            }
            Deed::Resold => {
                let count = draws.within(10..61);
                let rate = self.magnitude * mean / real(count);
                for _ in 0..count {
                    let from = draws.within(self.from..usize::midpoint(self.from, self.until));
                    let ramp = hours(draws.log_between((1.0, 6.0)));
                    crew.callers.push(stranger((from, self.until), rate, ramp, draws));
                }
            }
            Deed::Egress => {
                let (share, caller) = crew.known((self.from, slots), (0.05, 1.0), draws)?;
                for spell in &mut caller.spells {
                    spell.until = spell.until.min(self.from);
                }
                let spell = Spell { from: self.from, until: slots, share, rate: 0.0, ramp: 1 };
                let heir = Caller { size: caller.size, spells: vec![spell] };
                crew.callers.push(heir);
            }
            Deed::NewOffice => {
                let (from, ramp) = (self.from, self.until - self.from);
                let spell = Spell { from, until: slots, share: self.magnitude, rate: 0.0, ramp };
                crew.callers.push(Caller { size: 1.0, spells: vec![spell] });
            }
        }
        Some(Event {
            what: self.what.word(),
            truth: self.what.truth(),
            from: self.from,
            until: self.until,
            magnitude: self.magnitude,
        })
    }
}

/// The track's series.
#[derive(Debug)]
pub(super) struct Callers<'a>(Draft<'a, Deed>);

impl<'a> Callers<'a> {
    pub(super) fn plan(settings: &'a Settings) -> Self {
        Self(Draft::new(settings, "callers plan", &COUNTS))
    }

    pub(super) fn series(&self, number: usize) -> Series {
        let Draft { settings, holidays, .. } = &self.0;
        let mut draws = Draws::new(settings.seed, "callers series", number);
        let draws = &mut draws;
        let (profile, plan) = self.0.deployment(number);
        let slots = settings.slots();
        let load = Load::draw(settings, (profile, false), holidays, draws);
        let sizes = Sizes::draw(slots, draws);
        let mut crew = Crew::draw(slots, draws);
        let happened = plan.iter().map(|deed| deed.happen(&mut crew, load.mean, slots, draws));
        let events: Vec<Event> = happened.collect::<Vec<_>>().into_iter().flatten().collect();
        let mut traffic = Traffic {
            seen: vec![None; crew.callers.len()],
            moods: vec![1.0; crew.callers.len()],
            crew,
            load,
            sizes,
        };
        let [mut all, mut fresh, mut top] = [(); 3].map(|()| Vec::with_capacity(slots));
        for slot in 0..slots {
            let parts = traffic.slot(slot, draws);
            all.push(parts.all);
            fresh.push(parts.fresh);
            top.push(parts.top);
        }
        Series {
            name: format!("dep-{number:03}"),
            model: model(draws),
            profile,
            slots: rounded(&all),
            fresh: rounded(&fresh),
            top: rounded(&top),
            events,
        }
    }
}

/// The traffic of a deployment, slot by slot.
struct Traffic {
    crew: Crew,
    load: Load,
    sizes: Sizes,
    /// By caller, the slot in which it was first seen.
    seen: Vec<Option<usize>>,
    /// By caller, the factor of the hour.
    moods: Vec<f64>,
}

/// A slot's sums: of all callers, of the fresh ones, of the largest.
#[derive(Debug, Default)]
struct Parts {
    all: Raw,
    fresh: Raw,
    top: Raw,
}

impl Parts {
    fn add(&mut self, part: Raw, fresh: bool) {
        self.all.add(part);
        if fresh {
            self.fresh.add(part);
        }
        // Of several callers taken together the mean one.
        let one = 1.0 / part.callers.max(1.0);
        if (part.input + part.output) * one > self.top.input + self.top.output {
            self.top = Raw {
                calls: (part.calls * one).ceil(),
                input: part.input * one,
                output: part.output * one,
                callers: 1.0,
            };
        }
    }
}

impl Traffic {
    fn slot(&mut self, slot: usize, draws: &mut Draws) -> Parts {
        if slot.is_multiple_of(HOUR) {
            let shape = self.crew.steadiness;
            self.moods.iter_mut().for_each(|mood| *mood = draws.gamma(shape) / shape);
        }
        let own = self.load.at(slot) * draws.gamma(self.load.shape) / self.load.shape;
        let acquainted = slot >= ACQUAINTED;
        let mut parts = Parts::default();
        let known = self.seen.iter_mut().zip(&self.moods);
        for (caller, (seen, mood)) in self.crew.callers.iter().zip(known) {
            let calls = draws.poisson(caller.expected(slot, own * mood));
            if calls < 1.0 {
                continue;
            }
            let first = *seen.get_or_insert(slot);
            let [input, output] = self.sizes.tokens(slot, calls, draws);
            let (input, output) = (input * caller.size, output * caller.size);
            let fresh = acquainted && slot + 1 - first < FRESH;
            parts.add(Raw { calls, input, output, callers: 1.0 }, fresh);
        }
        if let Some((share, pool)) = self.crew.roaming {
            let calls = draws.poisson(share * own);
            let [input, output] = self.sizes.tokens(slot, calls, draws);
            let callers = distinct(calls, pool, draws);
            parts.add(Raw { calls, input, output, callers }, acquainted);
        }
        parts
    }
}
