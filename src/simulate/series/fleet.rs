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

impl<'a> Fleet<'a> {
    pub(super) fn plan(settings: &'a Settings) -> Self {
        Self(Draft::new(settings, "fleet plan", &COUNTS))
    }

    pub(super) fn series(&self, number: usize) -> Series {
        let Draft { settings, holidays, .. } = &self.0;
        let mut draws = Draws::new(settings.seed, "fleet series", number);
        let draws = &mut draws;
        let (profile, plan) = self.0.deployment(number);
        let slots = settings.slots();
        let late = profile != Profile::Dormant && plan.is_empty();
        let load = Load::draw(settings, (profile, late), holidays, draws);
        let sizes = Sizes::draw(slots, draws);
        let plan: Vec<_> = plan.iter().map(|event| event.settled(&load)).collect();
        let mut factor = vec![1.0; slots];
        plan.iter().for_each(|event| event.scale(&mut factor));
        let pool = match profile {
            Profile::Batch | Profile::Sparse => real(draws.within(1..6)),
            Profile::Business | Profile::Consumer | Profile::Flat | Profile::Dormant => {
                draws.log_between((1.0, 3_000.0))
            }
        };
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
            name: format!("dep-{number:03}"),
            model: model(draws),
            profile,
            slots: rounded(&raw),
            fresh: Vec::new(),
            top: Vec::new(),
            events: plan.iter().map(Planned::event).collect(),
        }
    }
}
