//! How much better an attack explains what was seen than the ordinary does.
//!
//! One [belief](super::belief) takes all traffic for ordinary. Each watcher takes it for ordinary until some slot
//! and for attacked since, with so many calls more, or with such a share left. Their likelihoods give
//!
//! ```text
//! R ← (R (1 − 1/length) + 1) × p(slot | attacked) / p(slot | ordinary)
//! ```
//!
//! the Shiryaev-Roberts statistic: likelihood ratios summed over every slot at which the attack may have begun
//! (Pollak 1985). What rises is judged by calls and callers together: a thief's calls come on top and from few callers,
//! while an ordinary burst brings its callers along.

use serde::{Deserialize, Serialize};

use super::belief::{Belief, Laws, Moments};
use super::concentration::Concentration;
use super::observed::Grid;
use super::ring::{Ring, single};
use crate::detect::baseline::{as_float, count_as_float};

/// Calls of an attack, as multiples of the usual amount.
const RISES: [f64; 4] = [1.2, 3.0, 9.0, 40.0];
/// What is left in a fall: something, or nothing but what comes from elsewhere.
const FALLS: [f64; 2] = [0.3, 0.03];
/// Mean length of both in seconds.
const RISE_SECONDS: f64 = 2.0 * 3600.0;
const FALL_SECONDS: f64 = 8.0 * 3600.0;
/// Seconds that a fall must hold: as long as peers need to show that it is theirs too.
const HOLD_SECONDS: i64 = 3600;
/// Bounds of the log likelihood ratio of a slot where a rise and where a fall is looked for, of the part of it that
/// callers have, and of ln R. What speaks against an attack counts more: where work ends on the hour, half an hour of it
/// looks like a fall. A rise may be told by its first slot.
const RISE_SLOT: (f64, f64) = (-12.0, 9.0);
const FALL_SLOT: (f64, f64) = (-12.0, 6.0);
/// Where less than this share of the usual calls is expected, a slot speaks against a fall, by this log likelihood
/// ratio: between hours of work hardly anything is done, on a holiday even less, and nobody misses it.
const LEAST_FALL: f64 = 0.05;
const AT_REST: f64 = -3.0;
const MOST_BY_CALLERS: f64 = 3.0;
const ODDS: (f64, f64) = (-20.0, 20.0);
/// Callers of a thief: one to five.
const THIEVES: f64 = 2.5;
/// Calls below which callers say nothing.
const ENOUGH_CALLS: f64 = 3.0;
/// Variance of the logarithm of callers that is chance, for one caller, and what is learnt of the rest from a slot.
const CHANCE: f64 = 0.4;
const LEARNT: f32 = 0.001;
const LEAST_MIX: f64 = 0.01;
/// Callers further off than three standard deviations are as odd as those.
const FURTHEST: f64 = 9.0;

/// A belief under which an attack may have begun.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Watch {
    belief: Belief,
    /// ln R.
    odds: f32,
    run: Run,
}

/// What was seen since R last was below 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Run {
    slots: u16,
    seen: f32,
    expected: f32,
    /// The level when it began, as a factor.
    level: f32,
}

/// Everything remembered of one deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Odds {
    moments: Moments,
    /// Mean square of what callers stray by beyond chance.
    mix: f32,
    /// What is ordinary where rises and where falls are looked for.
    high: Belief,
    low: Belief,
    rises: [Watch; RISES.len()],
    falls: [Watch; FALLS.len()],
    /// ln R of a fall in the last hour.
    lately: Ring,
    rise_slots: f32,
    fall_slots: f32,
}

/// What a slot brought.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot<'a> {
    /// Calls.
    pub seen: f64,
    /// Calls expected where a rise is looked for.
    pub high: f64,
    /// The same for falls.
    pub low: f64,
    /// Usual calls of a slot.
    pub usual: f64,
    /// Callers, if known, and the number that so many calls usually come from.
    pub callers: Option<(f64, &'a Concentration)>,
}

/// How likely an attack is, and what speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Evidence {
    /// ln R.
    pub odds: f64,
    /// Slots since it may have begun.
    pub slots: i64,
    /// Calls seen in them.
    pub seen: f64,
    /// Calls expected in them.
    pub expected: f64,
}

/// A slot as the ordinary explains it.
struct Heard {
    seen: f64,
    expected: f64,
    laws: Laws,
    belief: Belief,
    likelihood: f64,
}

impl Odds {
    #[must_use]
    pub(super) fn new(grid: Grid) -> Self {
        let slot = as_float(grid.slot_seconds);
        let [rise, fall] =
            [RISE_SECONDS, FALL_SECONDS].map(|seconds| single((seconds / slot).max(2.0)));
        Self {
            moments: Moments::default(),
            mix: 0.0,
            high: Belief::default(),
            low: Belief::default(),
            rises: [Watch::default(); RISES.len()],
            falls: [Watch::default(); FALLS.len()],
            lately: Ring::new(grid.slots(HOLD_SECONDS)),
            rise_slots: rise,
            fall_slots: fall,
        }
    }

    /// Takes a slot that has closed; what speaks for a rise and for a fall.
    pub(super) fn hear(&mut self, slot: &Slot<'_>, complete: bool) -> [Evidence; 2] {
        let laws = self.moments.laws();
        let (rise, after) = Heard::of(slot.seen, slot.high, self.high, laws);
        self.high = after.within(laws, (true, false));
        let mix = f64::from(self.mix).max(LEAST_MIX);
        for (watch, times) in self.rises.iter_mut().zip(RISES) {
            let calls = (slot.high, times * slot.usual);
            watch.hear(&rise, calls, (f64::from(self.rise_slots), RISE_SLOT), |own| {
                slot.by_callers(own, mix)
            });
        }
        // What was not read to its end is no fall, then or in the hour after.
        if !complete {
            return [Watch::all(&self.rises), Evidence::default()];
        }
        let (fall, after) = Heard::of(slot.seen, slot.low, self.low, laws);
        self.low = after.within(laws, (false, true));
        let (least, most) = FALL_SLOT;
        let fall_slot = (least, if slot.low > LEAST_FALL * slot.usual { most } else { AT_REST });
        for (watch, share) in self.falls.iter_mut().zip(FALLS) {
            let calls = (slot.low * share, 0.0);
            watch.hear(&fall, calls, (f64::from(self.fall_slots), fall_slot), |_| 0.0);
        }
        let fall = Watch::all(&self.falls);
        self.lately.push(fall.odds);
        let lately = self.lately.oldest()..self.lately.next();
        let held = lately.map(|at| self.lately.at(at)).fold(f64::MAX, f64::min);
        [Watch::all(&self.rises), Evidence { odds: held, ..fall }]
    }

    /// Learns from a slot, unless it is odd.
    pub(super) fn learn(&mut self, slot: &Slot<'_>) {
        self.moments.add(slot.seen, f64::midpoint(slot.high, slot.low));
        let usual = slot.callers_of(slot.seen);
        if let (Some((callers, _)), Some(expected)) = (slot.callers, usual) {
            let off = log_off(callers, expected).powi(2).min(1.0) - chance(expected);
            self.mix += (single(off) - self.mix) * LEARNT;
        }
    }

    /// Ends the day.
    pub(super) fn end_day(&mut self) {
        self.moments.end_day();
    }
}

impl Slot<'_> {
    /// Callers that so many calls usually come from; `None` where callers say nothing.
    fn callers_of(&self, calls: f64) -> Option<f64> {
        let (callers, curve) = self.callers?;
        let speaks = callers > 0.0 && self.seen >= ENOUGH_CALLS;
        curve.expected(calls).filter(|_| speaks)
    }

    /// Log likelihood ratio of the callers, where this share of the calls is the deployment's own and few callers
    /// made the others.
    fn by_callers(&self, own: f64, mix: f64) -> f64 {
        let calls = self.seen * own;
        let (Some(usual), Some(kept)) = (self.callers_of(self.seen), self.callers_of(calls)) else {
            return 0.0;
        };
        let callers = self.callers.map_or(0.0, |(callers, _)| callers);
        let off = |expected: f64| {
            let variance = mix + chance(expected);
            (log_off(callers, expected).powi(2) / variance).min(FURTHEST) + variance.ln()
        };
        let kept = if calls < 1.0 { 0.0 } else { kept };
        let gained = 0.5 * (off(usual) - off((kept + THIEVES).min(self.seen)));
        gained.clamp(-MOST_BY_CALLERS, MOST_BY_CALLERS)
    }
}

fn log_off(callers: f64, expected: f64) -> f64 {
    ((callers + 0.5) / (expected + 0.5)).ln()
}

fn chance(expected: f64) -> f64 {
    CHANCE / (expected + 0.5)
}

impl Heard {
    fn of(seen: f64, expected: f64, before: Belief, laws: Laws) -> (Self, Belief) {
        let belief = before.ahead(laws);
        let (likelihood, after) = belief.hear(seen, (expected, 0.0), laws);
        (Self { seen, expected, laws, belief, likelihood }, after)
    }
}

impl Watch {
    /// Takes a slot of which, if attacked, so many calls are expected of the deployment and of others; with the mean
    /// length of an attack in slots, and bounds of what the slot may say.
    fn hear(
        &mut self,
        heard: &Heard,
        (own, others): (f64, f64),
        (length, (least, most)): (f64, (f64, f64)),
        by_callers: impl Fn(f64) -> f64,
    ) {
        let &Heard { seen, expected, laws, belief, likelihood } = heard;
        let going = f64::from(self.odds) + (-1.0 / length).ln_1p();
        let all = ln_sum(going, 0.0);
        let before = belief.mixed(self.belief.ahead(laws), (going - all).exp());
        let (attacked, after) = before.hear(seen, (own, others), laws);
        self.belief = after.within(laws, (true, true));
        let share = own * self.belief.factor() / (own * self.belief.factor() + others).max(1e-6);
        let gained = (attacked - likelihood + by_callers(share)).clamp(least, most);
        // What lies on the other side of the usual speaks for nothing, however widely an attack may stray.
        let is_beyond = (seen > expected * belief.factor()) == (others > 0.0);
        let gained = if is_beyond { gained } else { gained.min(0.0) };
        if self.odds <= 0.0 {
            self.run = Run { level: single(belief.factor()), ..Run::default() };
        }
        self.run.add(seen, expected);
        let (least, most) = ODDS;
        self.odds = single((all + gained).clamp(least, most));
    }

    /// All watchers together, with what speaks for the likeliest.
    fn all(watches: &[Self]) -> Evidence {
        let count = count_as_float(watches.len());
        let sum =
            watches.iter().fold(f64::NEG_INFINITY, |sum, watch| ln_sum(sum, f64::from(watch.odds)));
        let first = watches.iter().max_by(|a, b| a.odds.total_cmp(&b.odds));
        let run = first.map_or_else(Run::default, |watch| watch.run);
        Evidence {
            odds: (sum - count.ln()).max(0.0),
            slots: i64::from(run.slots),
            seen: f64::from(run.seen),
            expected: f64::from(run.expected),
        }
    }
}

impl Run {
    fn add(&mut self, seen: f64, expected: f64) {
        self.slots = self.slots.saturating_add(1);
        self.seen += single(seen);
        self.expected += single(expected) * self.level;
    }
}

/// ln(e^one + e^other).
fn ln_sum(one: f64, other: f64) -> f64 {
    let most = one.max(other);
    if most.is_finite() { most + (-(one - other).abs()).exp().ln_1p() } else { most }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid::FIVE_MINUTES;

    /// After two weeks of forty calls a slot, give or take, and a caller for every four: slots of so many calls and callers.
    fn after(slots: &[(f64, f64)]) -> [Evidence; 2] {
        let mut curve = Concentration::default();
        for calls in (1..=200).flat_map(|calls| [f64::from(calls); 5]) {
            curve.add(calls, calls / 4.0);
        }
        let mut odds = Odds::new(GRID);
        let mut random = fastrand::Rng::with_seed(3);
        let mut last = [Evidence::default(); 2];
        let ordinary = (0..14 * 288).map(|_| (30.0 + f64::from(random.u8(0..21)), None));
        let asked = slots.iter().map(|(seen, callers)| (*seen, Some(*callers)));
        for (seen, callers) in ordinary.chain(asked) {
            let callers = callers.unwrap_or(seen / 4.0);
            let callers = Some((callers, &curve));
            let slot = Slot { seen, high: 40.0, low: 40.0, usual: 40.0, callers };
            last = odds.hear(&slot, true);
            odds.learn(&slot);
        }
        last
    }

    #[test]
    fn a_thief_is_told_from_a_burst_by_its_callers() {
        let [thief, _] = after(&[(70.0, 8.0); 3]);
        let [burst, _] = after(&[(70.0, 17.5); 3]);
        assert!(thief.odds > burst.odds + 4.0, "{thief:?} {burst:?}");
        assert_eq!((thief.slots, thief.seen), (3, 210.0));
        assert!((thief.expected - 120.0).abs() < 20.0, "{thief:?}");
    }

    #[test]
    fn a_rise_may_be_told_by_its_first_slot() {
        let [rise, _] = after(&[(400.0, 12.0)]);
        assert!(rise.odds > 7.0 && rise.slots == 1, "{rise:?}");
    }

    #[test]
    fn a_fall_must_hold_for_an_hour() {
        let fallen = |slots: usize| after(&vec![(12.0, 3.0); slots]);
        let [rise, short] = fallen(6);
        assert!(rise.odds < 1.0 && short.odds < 1.0, "{rise:?} {short:?}");
        let [_, long] = fallen(20);
        assert!(long.odds > 10.0 && long.seen < 0.5 * long.expected, "{long:?}");
    }

    #[test]
    fn nobody_is_missed_at_rest() {
        let fallen = |low: f64| {
            let mut odds = Odds::new(GRID);
            let mut last = 0.0;
            for seen in [vec![low; 288], vec![0.1 * low; 36]].concat() {
                let slot = Slot { seen, high: low, low, usual: 600.0, callers: None };
                let [_, fall] = odds.hear(&slot, true);
                last = fall.odds;
            }
            last
        };
        assert!(fallen(60.0) > 10.0 && fallen(24.0) <= 0.0, "{} {}", fallen(60.0), fallen(24.0));
    }

    #[test]
    fn what_was_not_read_to_its_end_is_no_fall() {
        let fallen = |complete: bool| {
            let mut odds = Odds::new(GRID);
            let slot = |seen| Slot { seen, high: 40.0, low: 40.0, usual: 40.0, callers: None };
            for slots in [vec![(40.0, true); 288], vec![(0.0, complete); 24]] {
                for (seen, complete) in slots {
                    odds.hear(&slot(seen), complete);
                }
            }
            let [_, fall] = odds.hear(&slot(0.0), true);
            fall.odds
        };
        assert!(fallen(true) > 10.0 && fallen(false) < 1.0, "{} {}", fallen(true), fallen(false));
    }

    #[test]
    fn what_ends_is_forgotten() {
        let slots = [vec![(300.0, 12.0); 6], vec![(40.0, 10.0); 24]].concat();
        let [rise, fall] = after(&slots);
        assert!(rise.odds < 2.0 && fall.odds < 2.0, "{rise:?} {fall:?}");
    }

    #[test]
    fn odds_are_added_as_they_are() {
        assert!((ln_sum(2.0_f64.ln(), 3.0_f64.ln()) - 5.0_f64.ln()).abs() < 1e-12);
        assert!((ln_sum(f64::NEG_INFINITY, 1.0) - 1.0).abs() < 1e-12);
    }
}
