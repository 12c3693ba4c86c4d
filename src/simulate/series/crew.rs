//! Who calls a deployment: callers with unequal shares who come and go.

use super::number::{place, real};
use super::random::Draws;
use super::{DAY, HOUR};

/// A time during which a caller calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spell {
    /// First slot.
    pub(super) from: usize,
    /// Slot after the last.
    pub(super) until: usize,
    /// Part of the deployment's own load, in its rhythm.
    pub(super) share: f64,
    /// Calls in a slot beside that, at any hour.
    pub(super) rate: f64,
    /// Slots until full strength; 1 is at once.
    pub(super) ramp: usize,
}

impl Spell {
    /// Strength in a slot, 0 to 1.
    fn strength(&self, slot: usize) -> f64 {
        if !(self.from..self.until).contains(&slot) {
            return 0.0;
        }
        (real(slot - self.from + 1) / real(self.ramp.max(1))).min(1.0)
    }
}

/// Somebody with a name.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Tokens of a call relative to the deployment's.
    pub(super) size: f64,
    /// When and how much.
    pub(super) spells: Vec<Spell>,
}

impl Caller {
    /// Calls expected in a slot of this own load.
    pub(super) fn expected(&self, slot: usize, own: f64) -> f64 {
        let parts = self.spells.iter();
        parts.map(|spell| spell.strength(slot) * (spell.share * own + spell.rate)).sum()
    }

    /// Share of the own load that the caller has in all of these slots, settled.
    pub(super) fn share_in(&self, from: usize, until: usize) -> f64 {
        let settled = self.spells.iter().filter(|spell| {
            spell.rate <= 0.0 && spell.from + spell.ramp <= from && spell.until >= until
        });
        settled.map(|spell| spell.share).sum()
    }
}

/// Everybody who calls a deployment.
#[derive(Debug)]
pub(super) struct Crew {
    /// By name.
    pub(super) callers: Vec<Caller>,
    /// Part of the own load that comes from addresses nobody sees twice, and how many there are.
    pub(super) roaming: Option<(f64, f64)>,
    /// Shape of the gamma factor on a caller's share that holds for an hour.
    pub(super) steadiness: f64,
}

impl Crew {
    pub(super) fn draw(slots: usize, draws: &mut Draws) -> Self {
        let roaming = draws
            .chance(0.35)
            .then(|| (draws.between((0.02, 0.2)), draws.log_between((2.0, 40.0))));
        let count = place(draws.log_between((3.0, 41.0)));
        // A lognormal weight of this width gives the first tenth of 30 callers half the volume.
        let weight = |draws: &mut Draws| (1.3 * draws.normal()).exp();
        let weights: Vec<f64> = (0..count).map(|_| weight(draws)).collect();
        let sum: f64 = weights.iter().sum();
        let named = 1.0 - roaming.map_or(0.0, |(share, _)| share);
        let largest = weights.iter().copied().fold(0.0, f64::max);
        let mut callers = Vec::new();
        for own in weights {
            // The largest stays, so that the series does not end in silence.
            let leaves = own < largest && draws.chance(0.15);
            let until = if leaves { draws.within(0..slots) } else { slots };
            let spell = Spell { from: 0, until, share: own / sum * named, rate: 0.0, ramp: 1 };
            callers.push(Caller { size: size(draws), spells: vec![spell] });
        }
        let weeks = real(slots) / real(7 * DAY);
        let joining = draws.between((0.2, 2.0)) * weeks;
        for _ in 0..place(draws.poisson(joining)) {
            let from = draws.within(0..slots);
            let stays = draws.chance(0.5);
            let stay = place(draws.log_between((0.5, 10.0)) * real(DAY));
            let until = if stays { slots } else { (from + stay).min(slots) };
            // Who is new tries first: half the usual weight, reached in half a day to four days.
            let share = (0.5 * weight(draws) / sum).min(0.1);
            let ramp = place(draws.log_between((0.5, 4.0)) * real(DAY));
            let spell = Spell { from, until, share, rate: 0.0, ramp };
            callers.push(Caller { size: size(draws), spells: vec![spell] });
        }
        Self { callers, roaming, steadiness: draws.between((2.0, 10.0)) }
    }

    /// A caller who has at least a day of history before the first slot, is there until the last, and
    /// whose share lies in this span; where there is none, the one with the largest share.
    pub(super) fn known(
        &mut self,
        (from, until): (usize, usize),
        (least, most): (f64, f64),
        draws: &mut Draws,
    ) -> Option<(f64, &mut Caller)> {
        let since = from.saturating_sub(DAY);
        let share = |caller: &Caller| caller.share_in(since, until);
        let fitting: Vec<usize> = (0..self.callers.len())
            .filter(|number| {
                self.callers.get(*number).is_some_and(|c| (least..most).contains(&share(c)))
            })
            .collect();
        let chosen = fitting.get(draws.within(0..fitting.len())).copied();
        let largest =
            self.callers.iter().enumerate().max_by(|a, b| share(a.1).total_cmp(&share(b.1)));
        let number = chosen.or(largest.map(|(number, _)| number))?;
        let caller = self.callers.get_mut(number)?;
        let found = share(caller);
        (found > 0.0).then_some((found, caller))
    }
}

/// Callers differ in what they ask.
fn size(draws: &mut Draws) -> f64 {
    (0.4 * draws.normal()).exp()
}

/// Somebody new whose calls keep to no rhythm.
pub(super) fn stranger(
    (from, until): (usize, usize),
    rate: f64,
    ramp: usize,
    draws: &mut Draws,
) -> Caller {
    let spell = Spell { from, until, share: 0.0, rate, ramp };
    Caller { size: draws.between((0.7, 2.0)), spells: vec![spell] }
}

/// Hours as slots, at least one slot.
pub(super) fn hours(hours: f64) -> usize {
    place(hours * real(HOUR)).max(1)
}
