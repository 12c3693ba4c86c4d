//! The fleet: deployments with distinct callers counted, twelve kinds of attack, lawful growth.

use super::attacks::{Attack, COUNTS};
use super::load::{Holidays, Load, Sizes, distinct};
use super::number::real;
use super::plan::{Planned, place_all, wanted};
use super::random::Draws;
use super::{Profile, Raw, Series, Settings, model, rounded};

/// What is decided before any series is drawn.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    settings: &'a Settings,
    profiles: Vec<Profile>,
    holidays: Holidays,
    plan: Vec<Vec<Planned<Attack>>>,
}

impl<'a> Fleet<'a> {
    pub(super) fn plan(settings: &'a Settings) -> Self {
        let mut draws = Draws::new(settings.seed, "fleet plan", 0);
        let profiles: Vec<Profile> =
            (0..settings.deployments).map(|_| settings.profile_at(draws.unit())).collect();
        let holidays = Holidays::draw(settings, &mut draws);
        let wanted = wanted(&COUNTS, settings.deployments);
        let plan = place_all(wanted, &profiles, settings, &mut draws);
        Self { settings, profiles, holidays, plan }
    }

    pub(super) fn series(&self, number: usize) -> Series {
        let mut draws = Draws::new(self.settings.seed, "fleet series", number);
        let draws = &mut draws;
        let profile = self.profiles.get(number).copied().unwrap_or(Profile::Dormant);
        let plan = self.plan.get(number).map(Vec::as_slice).unwrap_or_default();
        let slots = self.settings.slots();
        let late = profile != Profile::Dormant && plan.is_empty();
        let load = Load::draw(self.settings, (profile, late), &self.holidays, draws);
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
