//! Nothing at all, for longer than ever: calls that were expected since the last one.

use serde::{Deserialize, Serialize};

use super::ring::Ring;

/// Slots until an old silence excuses half as much: about 24 days of five minutes.
const KEPT_PER_SLOT: f64 = 0.9999;
/// Expected calls whose absence means nothing.
const LEAST: f64 = 4.0;
/// Share at which the first slot counts: a holiday that has just begun may leave no more, and peers cannot show it yet.
const FIRST: f64 = 0.1;
/// Days looked at for whether a deployment is in use, and how many of four must have had calls.
const DAYS: i64 = 14;
const ENOUGH_DAYS: i64 = 3;

/// The silence since the last call, and the longest before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Calls expected since the last one.
    run: f64,
    /// The same of the longest silence, slowly forgotten.
    longest: f64,
    /// Share of the calls expected that came in the hours before the silence.
    level: f64,
    /// The least share of their calls that peers kept since the last one.
    kept: f64,
    /// Whether there were calls, by day; 1 or 0.
    days: Ring,
    today: bool,
}

impl Default for Silence {
    fn default() -> Self {
        Self { run: 0.0, longest: 0.0, level: 1.0, kept: 1.0, days: Ring::new(DAYS), today: false }
    }
}

impl Silence {
    /// Expected calls missed by the end of a slot without any, and the number that was missed before (at least
    /// 4); `None` while calls come, or where fewer than three of four days have calls. Of one empty slot alone a tenth
    /// counts, and a holiday that peers have too excuses the whole silence, even when it has ended for them.
    #[must_use]
    pub fn judge(&self, calls: f64, expected: f64, kept: f64) -> Option<(f64, f64)> {
        let days = self.days.next() - self.days.oldest();
        let busy = 4.0 * self.days.newest(days);
        let in_use = days >= ENOUGH_DAYS && busy >= 3.0 * crate::detect::baseline::as_float(days);
        (in_use && calls <= 0.0).then(|| (self.missed(expected, kept), self.longest.max(LEAST)))
    }

    /// Takes a closed slot; a silence that is alerted (`frozen`) excuses no later one.
    pub fn add(&mut self, calls: f64, (expected, level, kept): (f64, f64, f64), frozen: bool) {
        if calls > 0.0 {
            self.level = level;
            let run = if frozen { 0.0 } else { self.missed(0.0, 1.0) };
            self.longest = (self.longest * KEPT_PER_SLOT).max(run);
            self.run = 0.0;
            self.kept = 1.0;
            self.today = true;
        } else {
            self.run += expected * self.level;
            self.kept = self.kept.min(kept);
        }
    }

    /// Expected calls missed, with those of a slot of which peers kept this share.
    fn missed(&self, expected: f64, kept: f64) -> f64 {
        let kept = if self.run > 0.0 { kept } else { kept.min(FIRST) };
        (self.run + expected * self.level) * self.kept.min(kept)
    }

    /// Ends the day.
    pub fn end_day(&mut self) {
        self.days.push(if std::mem::take(&mut self.today) { 1.0 } else { 0.0 });
    }

    /// Whether there were no calls on the day before the one that ended last.
    #[must_use]
    pub fn was_quiet_the_day_before(&self) -> bool {
        self.days.at(self.days.next() - 2) <= 0.0
    }

    /// Days in a row without calls, at most fourteen.
    #[must_use]
    pub fn quiet_days(&self) -> i64 {
        let days = (self.days.oldest()..self.days.next()).rev();
        let quiet = days.take_while(|day| self.days.at(*day) <= 0.0).count();
        i64::try_from(quiet).unwrap_or(DAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four days with a call in every other slot and one silence of three slots.
    fn in_use() -> Silence {
        let mut silence = Silence::default();
        for slot in 0..4 * 288 {
            let is_quiet = slot % 2 == 1 || (500..503).contains(&slot);
            silence.add(if is_quiet { 0.0 } else { 3.0 }, (2.0, 1.0, 1.0), false);
            if slot % 288 == 287 {
                silence.end_day();
            }
        }
        silence
    }

    #[test]
    fn a_silence_is_held_against_the_longest_before() {
        let mut silence = in_use();
        assert_eq!(silence.judge(1.0, 2.0, 1.0), None, "calls come");
        let (missed, least) = silence.judge(0.0, 2.0, 1.0).unwrap();
        assert!((missed - 4.0).abs() < 1e-9, "the slot before was empty too: {missed}");
        assert!((9.0..=10.0).contains(&least), "three slots and the odd ones around them: {least}");
        (0..10).for_each(|_| silence.add(0.0, (2.0, 1.0, 1.0), true));
        assert!(silence.judge(0.0, 2.0, 1.0).unwrap().0 > 20.0);
        silence.add(1.0, (2.0, 1.0, 1.0), true);
        silence.add(0.0, (2.0, 1.0, 1.0), false);
        assert!(
            silence.judge(0.0, 2.0, 1.0).unwrap().1 < 10.0,
            "an alerted silence excuses no later one"
        );
    }

    #[test]
    fn of_one_empty_slot_a_tenth_counts() {
        let mut silence = in_use();
        silence.add(1.0, (2.0, 1.0, 1.0), false);
        let missed = |silence: &Silence| silence.judge(0.0, 90.0, 1.0).map(|(missed, _)| missed);
        assert_eq!(missed(&silence), Some(9.0));
        silence.add(0.0, (90.0, 1.0, 1.0), false);
        assert_eq!(missed(&silence), Some(180.0));
    }

    #[test]
    fn a_holiday_excuses_the_silence_it_began_and_is_no_yardstick_of_others() {
        let missed = |peers: [f64; 2]| {
            let mut silence = in_use();
            silence.add(1.0, (2.0, 1.0, 1.0), false);
            for kept in peers {
                (0..10).for_each(|_| silence.add(0.0, (2.0, 1.0, kept), false));
            }
            let missed = silence.judge(0.0, 2.0, 1.0).map_or(0.0, |(missed, _)| missed);
            silence.add(1.0, (2.0, 1.0, 1.0), false);
            silence.add(0.0, (2.0, 1.0, 1.0), false);
            (missed, silence.judge(0.0, 2.0, 1.0).map_or(0.0, |(_, longest)| longest))
        };
        let (alone, longest) = missed([1.0, 1.0]);
        assert!((alone - 42.0).abs() < 1e-9 && longest > 35.0, "{alone} {longest}");
        let (holiday, longest) = missed([0.25, 1.0]);
        assert!((holiday - 10.5).abs() < 1e-9 && longest < 11.0, "{holiday} {longest}");
    }

    #[test]
    fn who_is_seldom_in_use_is_never_silent() {
        let mut silence = Silence::default();
        assert_eq!(silence.judge(0.0, 9.0, 1.0), None, "too young");
        for day in 0..14 {
            silence.add(if day % 2 == 0 { 1.0 } else { 0.0 }, (9.0, 1.0, 1.0), false);
            silence.end_day();
        }
        assert_eq!(silence.judge(0.0, 9.0, 1.0), None);
        assert_eq!(silence.quiet_days(), 1);
    }
}
