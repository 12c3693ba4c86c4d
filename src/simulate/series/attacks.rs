//! The fleet's attacks: what each adds to a deployment's traffic, or takes from it.

use super::load::{Load, Sizes};
use super::number::{place, real};
use super::plan::{Planned, Plot, moment};
use super::random::Draws;
use super::{DAY, Event, HOUR, Profile, Raw, Settings, Truth};

/// What can happen to a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attack {
    Spike3,
    Spike10,
    Spike50,
    SlowRamp,
    NightAbuse,
    AgentLoop,
    LowSlow,
    CallerSurge,
    Wallet,
    Outage,
    UsageDrop,
    DormantWake,
    Growth,
}

/// How many of each in 200 deployments.
pub(super) const COUNTS: [(Attack, usize); 13] = [
    (Attack::SlowRamp, 16),
    (Attack::LowSlow, 16),
    (Attack::Growth, 14),
    (Attack::Spike3, 16),
    (Attack::Spike10, 16),
    (Attack::Spike50, 16),
    (Attack::NightAbuse, 16),
    (Attack::AgentLoop, 16),
    (Attack::CallerSurge, 16),
    (Attack::Wallet, 16),
    (Attack::Outage, 16),
    (Attack::UsageDrop, 16),
    (Attack::DormantWake, 9),
];

/// After a lawful growth alerts are neither right nor wrong for so long.
const GROWTH_GRACE: usize = 48 * HOUR;
/// A slow ramp climbs for three days and stays for one.
const CLIMB: usize = 3 * DAY;

impl Attack {
    /// The word in the labels.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Spike3 => "spike_x3",
            Self::Spike10 => "spike_x10",
            Self::Spike50 => "spike_x50",
            Self::SlowRamp => "slow_ramp",
            Self::NightAbuse => "night_abuse",
            Self::AgentLoop => "agent_loop",
            Self::LowSlow => "low_slow",
            Self::CallerSurge => "caller_surge",
            Self::Wallet => "wallet",
            Self::Outage => "outage",
            Self::UsageDrop => "usage_drop",
            Self::DormantWake => "dormant_wake",
            Self::Growth => "growth",
        }
    }

    /// Shortest and longest, in slots.
    const fn lengths(self) -> (usize, usize) {
        match self {
            Self::Spike3 | Self::Spike10 | Self::Spike50 => (HOUR / 4, 6 * HOUR),
            Self::SlowRamp => (CLIMB + DAY, CLIMB + DAY + 1),
            Self::NightAbuse => (4 * HOUR, 7 * HOUR),
            Self::AgentLoop | Self::Wallet => (HOUR, 8 * HOUR),
            Self::LowSlow => (3 * DAY, 6 * DAY),
            Self::CallerSurge => (HOUR, 12 * HOUR),
            Self::Outage => (HOUR, 10 * HOUR),
            Self::UsageDrop => (6 * HOUR, 24 * HOUR),
            Self::DormantWake => (2 * HOUR, 24 * HOUR),
            Self::Growth => (DAY, DAY + 1),
        }
    }

    /// Times the mean load (spikes, agent loop), the own load (growth, drop, ramp), the busy hours'
    /// load (night), the usual callers (surge) or tokens (wallet); calls in a slot (dormant).
    fn magnitude(self, draws: &mut Draws) -> f64 {
        match self {
            Self::Spike3 => 3.0,
            Self::Spike10 => 10.0,
            Self::Spike50 => 50.0,
            Self::SlowRamp => 5.0,
            Self::NightAbuse => draws.between((0.6, 1.3)),
            Self::AgentLoop => draws.between((1.0, 4.0)),
            Self::LowSlow => 1.3,
            Self::CallerSurge => draws.between((4.0, 20.0)),
            Self::Wallet => draws.between((3.0, 8.0)),
            Self::Outage => 0.0,
            Self::UsageDrop => draws.between((0.15, 0.4)),
            Self::DormantWake => 10_f64.powf(draws.between((0.3, 2.2))),
            Self::Growth => draws.between((1.5, 2.5)),
        }
    }
}

impl Plot for Attack {
    fn draw(self, settings: &Settings, draws: &mut Draws) -> Planned<Self> {
        let magnitude = self.magnitude(draws);
        let (from, until) = if self == Self::Growth {
            let first = settings.warmup();
            (draws.within(first + DAY..first + 7 * DAY), settings.slots())
        } else {
            moment(settings, self.lengths(), draws)
        };
        Planned { what: self, from, until, magnitude }
    }

    fn lasts(self) -> bool {
        matches!(self, Self::SlowRamp | Self::LowSlow | Self::Growth)
    }

    fn fits(self, profile: Profile, there: &[Planned<Self>]) -> bool {
        let profile_fits = match profile {
            Profile::Dormant => return self == Self::DormantWake && there.is_empty(),
            Profile::Business | Profile::Shift => self != Self::DormantWake,
            Profile::Consumer | Profile::Flat | Profile::Hourly => {
                !matches!(self, Self::DormantWake | Self::NightAbuse)
            }
            Profile::Batch | Profile::Nightly => {
                matches!(self, Self::Spike10 | Self::Spike50 | Self::AgentLoop | Self::Wallet)
            }
            Profile::Sparse => matches!(self, Self::Spike10 | Self::Spike50 | Self::AgentLoop),
        };
        profile_fits
            && !there.iter().any(|other| other.what.lasts())
            && (there.is_empty() || !self.lasts())
    }
}

impl Planned<Attack> {
    /// At its place: a night's abuse moves into the quietest hours of its day, and what takes from work or makes it
    /// dearer into the busiest, if nobody works between: there it would do nothing. Who rests that day had it on
    /// one of the two before.
    pub(super) fn settled(self, load: &Load) -> Self {
        let length = self.until - self.from;
        let day = self.from / DAY * DAY;
        let takes = matches!(self.what, Attack::Outage | Attack::UsageDrop | Attack::Wallet);
        let place = if self.what == Attack::NightAbuse {
            spans(load, day, length).min_by(|a, b| a.1.total_cmp(&b.1))
        } else if takes && load.rests {
            let busiest = |back| {
                let spans = spans(load, day.saturating_sub(back * DAY), length);
                spans.max_by(|a, b| a.1.total_cmp(&b.1))
            };
            let least = load.mean * real(length) / 2.0;
            (0..3).filter_map(busiest).find(|(_, calls)| *calls > least)
        } else {
            None
        };
        let from = place.map_or(self.from, |(from, _)| from);
        Self { from, until: (from + length).min(load.expected.len()), ..self }
    }

    /// As the labels have it.
    pub(super) fn event(&self) -> Event {
        let growth = self.what == Attack::Growth;
        Event {
            what: self.what.word(),
            truth: if growth { Truth::Neutral } else { Truth::Attack },
            from: self.from,
            until: if growth { self.from + GROWTH_GRACE } else { self.until },
            magnitude: self.magnitude,
        }
    }

    /// Multiplies the own traffic of every slot by what the event makes of it.
    pub(super) fn scale(&self, factor: &mut [f64]) {
        let span = factor.get_mut(self.from..self.until).unwrap_or_default();
        match self.what {
            Attack::Growth | Attack::Outage | Attack::UsageDrop | Attack::LowSlow => {
                span.iter_mut().for_each(|value| *value *= self.magnitude);
            }
            Attack::SlowRamp => {
                for (late, value) in span.iter_mut().enumerate() {
                    let climbed = (real(late) / real(CLIMB - 1)).min(1.0);
                    *value *= 1.0 + (self.magnitude - 1.0) * climbed;
                }
            }
            Attack::Spike3
            | Attack::Spike10
            | Attack::Spike50
            | Attack::NightAbuse
            | Attack::AgentLoop
            | Attack::CallerSurge
            | Attack::Wallet
            | Attack::DormantWake => {}
        }
    }

    /// Adds the attacker's own traffic.
    pub(super) fn add(&self, (load, sizes): (&Load, &Sizes), raw: &mut [Raw], draws: &mut Draws) {
        let times = self.magnitude;
        let strangers = match self.what {
            Attack::Spike3 | Attack::Spike10 | Attack::Spike50 => {
                let rate = (times - 1.0) * load.mean;
                Strangers { rate, shape: Some(6.0), callers: draws.within(1..6) }
            }
            Attack::NightAbuse => {
                let week = self.from.saturating_sub(7 * DAY)..self.from;
                let busy = quantile(load.expected.get(week).unwrap_or_default(), 0.9);
                Strangers { rate: times * busy, shape: Some(8.0), callers: draws.within(1..4) }
            }
            Attack::AgentLoop => {
                Strangers { rate: (times * load.mean).max(2.0), shape: None, callers: 1 }
            }
            Attack::DormantWake => {
                Strangers { rate: times, shape: Some(4.0), callers: draws.within(1..6) }
            }
            Attack::CallerSurge => return self.surge(sizes, raw, draws),
            Attack::Wallet => {
                let output = times * draws.between((0.8, 1.5));
                for slot in raw.get_mut(self.from..self.until).unwrap_or_default() {
                    slot.input *= times;
                    slot.output *= output;
                }
                return;
            }
            Attack::SlowRamp
            | Attack::LowSlow
            | Attack::Outage
            | Attack::UsageDrop
            | Attack::Growth => return,
        };
        strangers.call(sizes, raw.get_mut(self.from..self.until).unwrap_or_default(), draws);
    }

    /// Many callers with little traffic each.
    fn surge(&self, sizes: &Sizes, raw: &mut [Raw], draws: &mut Draws) {
        let day = raw.get(self.from.saturating_sub(DAY)..self.from).unwrap_or_default();
        let usual = day.iter().map(|slot| slot.callers).sum::<f64>() / real(day.len().max(1));
        let extra = (self.magnitude * usual.max(1.0)).max(3.0);
        let (each, size) = (draws.between((1.0, 1.3)), draws.between((0.1, 0.4)));
        for slot in raw.get_mut(self.from..self.until).unwrap_or_default() {
            let callers = draws.poisson(extra);
            let calls = (callers * each).max(0.1 * slot.calls);
            slot.add(Raw {
                calls: calls.round(),
                input: calls * sizes.input * size,
                output: calls * sizes.output * size,
                callers,
            });
        }
    }
}

/// Every span of this length that begins on a day, with the calls expected in it.
fn spans(load: &Load, day: usize, length: usize) -> impl Iterator<Item = (usize, f64)> {
    let around = load.expected.get(day..).unwrap_or_default();
    let around = around.get(..2 * DAY).unwrap_or(around);
    let sums = around.windows(length).take(DAY).map(|hours| hours.iter().sum::<f64>());
    sums.enumerate().map(move |(late, calls)| (day + late, calls))
}

/// A few callers who were not there before.
struct Strangers {
    /// Mean calls in a slot.
    rate: f64,
    /// Shape of the counts; without one they are as regular as Poisson counts and the calls of one
    /// size, as a machine makes them.
    shape: Option<f64>,
    /// How many.
    callers: usize,
}

impl Strangers {
    fn call(&self, sizes: &Sizes, span: &mut [Raw], draws: &mut Draws) {
        let input = sizes.input * draws.between((0.7, 2.0));
        let output = sizes.output * draws.between((0.7, 2.0));
        for slot in span {
            let (calls, noise) = match self.shape {
                Some(shape) => {
                    let calls = draws.negative_binomial(self.rate, shape);
                    (calls, 1.0 + 0.6 * draws.normal() / calls.max(1.0).sqrt())
                }
                None => (draws.poisson(self.rate), 1.0),
            };
            let tokens = calls * noise.max(0.1);
            slot.add(Raw {
                calls,
                input: tokens * input,
                output: tokens * output,
                callers: calls.min(real(self.callers)),
            });
        }
    }
}

/// The value that this share of the values lies below; 0 without values.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get(place(share * real(last)).min(last)).copied().unwrap_or(0.0)
}
