//! The fleet: deployments with distinct callers counted, twelve kinds of attack, lawful growth.

use super::attacks::{Attack, COUNTS};
use super::load::{Load, Sizes, distinct};
use super::number::real;
use super::plan::{Draft, Planned};
use super::random::Draws;
use super::{Profile, Raw, Series, Settings, model, rounded};

/// The track's series.
#[derive(Debug)]
pub(super) struct Fleet<'a>(Draft<'a, Attack>);

/// What a deployment would do if nobody interfered.
#[derive(Debug)]
pub(super) struct Ordinary {
    pub(super) load: Load,
    pub(super) sizes: Sizes,
    /// Different callers that there are.
    pub(super) pool: f64,
}

/// Of a deployment.
pub(super) fn name(number: usize) -> String {
    format!("dep-{number:03}")
}

/// Name of the numbers that something is drawn from, so that tracks of one seed have nothing in common.
fn stream(settings: &Settings, of: &str) -> String {
    format!("{} {of}", settings.kind.word())
}

impl<'a> Fleet<'a> {
    /// Of the fleet, the young one or the abrupt one.
    pub(super) fn plan(settings: &'a Settings) -> Self {
        Self(Draft::new(settings, &stream(settings, "plan"), &COUNTS))
    }

    /// What a deployment would do of itself, and the numbers to go on drawing with.
    pub(super) fn ordinary(&self, number: usize) -> (Ordinary, Draws) {
        let Draft { settings, holidays, .. } = &self.0;
        let mut draws = Draws::new(settings.seed, &stream(settings, "series"), number);
        let (profile, plan) = self.0.deployment(number);
        let late = profile != Profile::Dormant && plan.is_empty();
        let load = Load::draw(settings, (profile, late), holidays, &mut draws);
        let sizes = Sizes::draw(settings.slots(), &mut draws);
        let pool = match profile {
            Profile::Batch | Profile::Sparse | Profile::Nightly => real(draws.within(1..6)),
            Profile::Business
            | Profile::Consumer
            | Profile::Flat
            | Profile::Dormant
            | Profile::Shift
            | Profile::Hourly => draws.log_between((1.0, 3_000.0)),
        };
        (Ordinary { load, sizes, pool }, draws)
    }

    pub(super) fn series(&self, number: usize) -> Series {
        let (Ordinary { load, sizes, pool }, mut draws) = self.ordinary(number);
        let draws = &mut draws;
        let (profile, plan) = self.0.deployment(number);
        let slots = load.expected.len();
        let plan: Vec<_> = plan.iter().map(|event| event.settled(&load)).collect();
        let mut factor = vec![1.0; slots];
        plan.iter().for_each(|event| event.scale(&mut factor));
        let mut raw = Vec::with_capacity(slots);
        for (slot, factor) in factor.into_iter().enumerate() {
            let calls = draws.negative_binomial(load.at(slot) * factor, load.shape);
            let [input, output] = sizes.tokens(slot, calls, draws);
            raw.push(Raw { calls, input, output, callers: distinct(calls, pool, draws) });
        }
        for event in &plan {
            event.add((&load, &sizes), &mut raw, draws);
        }
        Series {
            name: name(number),
            model: model(draws),
            profile,
            slots: rounded(&raw),
            fresh: Vec::new(),
            top: Vec::new(),
            events: plan.iter().map(Planned::event).collect(),
        }
    }
}
