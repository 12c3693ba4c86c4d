//! Learning from a slot that has closed, and from what people said.

use serde::{Deserialize, Serialize};

use super::measure::Component;
use super::rhythm::Rhythm;
use super::sight::{Frame, MIN_HOURS, Sight};
use super::signal::HALF_SHIFT_HOURS;
use super::{Memory, Observed};
use crate::detect::baseline::as_float;

/// Days after which the rhythm knows more: every hour of the week, and two of each. Ratios to the rhythm before
/// are forgotten, because without them the first weekend, a fall of nothing but its own ignorance, is the yardstick
/// of falls for a month.
const RHYTHM_LEARNS_DAYS: [i64; 2] = [8, 15];
/// Days before anomalous slots are left out of learning: until then the spreads are too narrow to be trusted.
const FREEZE_FROM_DAYS: i64 = 14;
/// Days in a row, and of the last two weeks, that are left out at most: what stays is learnt in the end.
const FROZEN_DAYS: f64 = 2.0;
const FROZEN_OF_TWO_WEEKS: f64 = 3.5;
/// Of both halves of a lawful shift 70 % lie above, or below, by this log ratio (a factor of 1.22 and 0.78) …
const SHIFT: (f64, f64) = (0.2, -0.25);
/// … and the newer one is not much above the older, as on a ramp, nor much below.
const SHIFT_APART: (f64, f64) = (-0.4, 0.3);
/// What must be expected of both halves of a fall, as a share of the usual amount: a holiday and the weekend after it
/// are no new level.
const AT_WORK: f64 = 0.75;
/// Days before a shift is looked for.
const SHIFT_FROM_DAYS: i64 = 9;

/// Share of the tokens and calls by which tokens per call are judged that is left an hour later: 1 − 1/168, so that
/// they are those of about a week.
const KEPT_PER_HOUR: f64 = 0.994;

/// What people said about slots, as the memory heeds it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Heed {
    /// These slots are put back to what was expected of them.
    Exclude {
        /// First slot.
        from: i64,
        /// First slot after.
        until: i64,
    },
    /// A new level: everything before is brought to it.
    Level {
        /// First slot at the new level.
        from: i64,
        /// New over old: tokens, calls, callers.
        factors: [f64; 3],
    },
}

/// What is odd about a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Odd {
    /// It should not be learnt.
    pub left_out: bool,
    /// It was alerted because the level of days is raised.
    pub raised: bool,
}

impl Memory {
    /// Heeds what people said.
    pub fn heed(&mut self, lesson: Heed) {
        let Some(born) = self.born else { return };
        let hour = |slot: i64| (slot - born).div_euclid(self.grid.per_hour());
        match lesson {
            Heed::Exclude { from, until } => {
                let (from, until) = (hour(from), hour(until - 1) + 1);
                for signal in [&mut self.tokens, &mut self.calls, &mut self.callers] {
                    signal.exclude(from, until, self.grid);
                }
            }
            Heed::Level { from, factors } => {
                let [tokens, calls, _] = factors;
                let since = hour(from);
                let signals = [&mut self.tokens, &mut self.calls, &mut self.callers];
                for (signal, factor) in signals.into_iter().zip(factors) {
                    signal.rescale(since, factor, self.grid);
                }
                let lately = self.lately.iter_mut().zip([tokens, calls]);
                lately.for_each(|(sum, factor)| *sum *= factor);
                self.most_tokens.rescale(tokens);
                self.most_calls.rescale(calls);
                self.distance.rescale(calls);
                self.raised.accept(calls, self.calls.learnt().next() - since, self.grid);
            }
        }
    }

    /// Learns a slot, unless it is odd and may be left out.
    pub(super) fn learn(&mut self, seen: &Observed, frame: &Frame, sights: &[Sight], odd: Odd) {
        let is_odd = odd.left_out;
        let day = as_float(self.grid.per_day());
        self.frozen_run = if is_odd { self.frozen_run + 1 } else { 0 };
        self.frozen_today += if is_odd { 1.0 / day } else { 0.0 };
        let used = self.frozen.newest(14) + self.frozen_today;
        let is_old = self.age >= FREEZE_FROM_DAYS * self.grid.per_day();
        let in_a_row = as_float(self.frozen_run) / day;
        let frozen = is_odd && is_old && in_a_row < FROZEN_DAYS && used < FROZEN_OF_TWO_WEEKS;
        if !frozen {
            self.calibrate(sights);
            // Before three days are known, what strays is what is expected.
            if self.age >= MIN_HOURS * self.grid.per_hour() {
                self.odds.learn(&frame.slot(self.calls.usual(), seen, &self.concentration));
                let [_, _, expected] = frame.calls.first().copied().unwrap_or_default();
                self.distance.add(seen.calls, expected, self.grid.per_day());
            }
            let per_hour = self.grid.per_hour();
            let plain = self.calls.plain((self.age.rem_euclid(per_hour), per_hour));
            self.shape.add(self.age, seen.calls, plain);
        }
        let level = self.level_for_falls(frame);
        let [_, expected_for_falls] = self.push(frame, frozen);
        self.kept.push(expected_for_falls * frame.kept());
        self.silence.add(seen.calls, (expected_for_falls, level, frame.kept()), frozen);
        self.active_today += if seen.calls > 0.0 { 1.0 / day } else { 0.0 };
        if let Some(callers) = seen.callers.filter(|callers| *callers > 0.0) {
            self.knows_callers = true;
            if seen.calls > 0.0 && !frozen {
                self.concentration.add(seen.calls, callers);
            }
        }
        self.knows_tokens |= seen.tokens() > 0.0;
        self.knows_fresh |= seen.fresh.is_some();
        self.fresh.push(frame.fresh);
        self.raised.add(frame.level(), self.age, self.grid, odd.raised);
        let hour = self.grid.per_hour();
        if !frozen {
            let [[tokens, calls], _] = &mut self.hours;
            *tokens += seen.tokens();
            *calls += seen.calls;
            self.most_tokens.add(self.tokens.slots().newest(hour));
            self.most_calls.add(self.calls.slots().newest(hour));
            self.most_fresh.add(self.fresh.newest(hour));
        }
    }

    fn push(&mut self, frame: &Frame, frozen: bool) -> [f64; 2] {
        let mut of_calls = [0.0; 2];
        for (signal, slots) in [
            (&mut self.tokens, &frame.tokens),
            (&mut self.callers, &frame.callers),
            (&mut self.calls, &frame.calls),
        ] {
            for [seen, high, low] in slots {
                signal.push(*seen, (*high, *low), (frame.kept(), frozen));
                of_calls = [*high, *low];
            }
        }
        frame.mix.iter().for_each(|[_, expected, _]| self.callers_for_calls.push(*expected));
        of_calls
    }

    fn calibrate(&mut self, sights: &[Sight]) {
        for sight in sights {
            if let Some(own) = self.own.get_mut(sight.measured.id as usize) {
                own.add(sight.measured.raw());
            }
            let Some(load) = sight.learns else { continue };
            let calibration = match sight.measured.id {
                Component::CallsSlot => &mut self.calibrations.calls_slot,
                Component::CallsHour => &mut self.calibrations.calls_hour,
                Component::CallersHour => &mut self.calibrations.callers_hour,
                Component::FanOut => &mut self.calibrations.mix,
                Component::Size if sight.measured.slots == 1 => &mut self.calibrations.size_slot,
                Component::Size => &mut self.calibrations.size,
                Component::Drop => &mut self.calibrations.drop,
                Component::MostTokens
                | Component::MostCalls
                | Component::Raised
                | Component::Season
                | Component::Fall
                | Component::OddsRise
                | Component::OddsFall
                | Component::Silence
                | Component::Wake
                | Component::Fresh => continue,
            };
            calibration.add(load, sight.measured.ratio());
        }
    }

    /// Ends the slot, and with it perhaps the hour and the day.
    pub(super) fn end_slot(&mut self) {
        self.age += 1;
        if self.age % self.grid.per_hour() != 0 {
            return;
        }
        for signal in [&mut self.tokens, &mut self.calls, &mut self.callers] {
            signal.end_hour();
        }
        if self.is_day_done() {
            self.end_day();
        }
        self.accept_shift();
        for signal in [&mut self.tokens, &mut self.calls, &mut self.callers] {
            signal.begin_hour(self.grid);
        }
        // The window may reach back over the hour before.
        let [this, before] = self.hours;
        let sums = self.lately.iter_mut().zip(before);
        sums.for_each(|(sum, hour)| *sum = *sum * KEPT_PER_HOUR + hour);
        self.hours = [[0.0; 2], this];
    }

    fn end_day(&mut self) {
        for signal in [&mut self.tokens, &mut self.calls, &mut self.callers] {
            signal.begin_day(self.grid);
        }
        self.calibrations.all().for_each(super::Calibration::refit);
        if RHYTHM_LEARNS_DAYS.contains(&(self.age / self.grid.per_day())) {
            self.calibrations.drop.forget();
            self.calibrations.callers_hour.forget();
        }
        self.concentration.age();
        self.shape.end_day();
        self.odds.end_day();
        for most in [&mut self.most_tokens, &mut self.most_calls, &mut self.most_fresh] {
            most.end_day();
        }
        self.own.iter_mut().for_each(super::Own::end_day);
        self.silence.end_day();
        // Who wakes in the last hour of a day wakes in the next one too, and in none after that.
        let [hour, lately] =
            [self.grid.per_hour(), self.grid.per_day()].map(|n| self.calls.slots().newest(n));
        let wakes = hour > 0.0 && lately <= hour && self.silence.was_quiet_the_day_before();
        if !wakes {
            self.quiet_days = self.silence.quiet_days();
        }
        self.active.push(std::mem::take(&mut self.active_today));
        self.frozen.push(std::mem::take(&mut self.frozen_today));
        let born = self.born.unwrap_or(0).div_euclid(self.grid.per_hour());
        self.rhythm = Rhythm::of(self.calls.learnt(), born, self.grid);
    }

    /// Accepts a level that has stood for nearly two days, and is not still climbing, as lawful.
    fn accept_shift(&mut self) {
        let days = self.calls.learnt().next() / self.grid.hours_per_day();
        if days < SHIFT_FROM_DAYS {
            return;
        }
        let [[older_low, older, older_high], [newer_low, newer, newer_high]] =
            self.calls.shift(self.grid);
        let (rise, fall) = SHIFT;
        let (falling, climbing) = SHIFT_APART;
        let is_level = (falling..climbing).contains(&(newer - older));
        let has_fallen =
            older_high.max(newer_high) < fall && self.calls.at_work(self.grid) >= AT_WORK;
        let has_moved = older_low.min(newer_low) > rise || has_fallen;
        if !is_level || !has_moved {
            return;
        }
        for signal in [&mut self.tokens, &mut self.calls, &mut self.callers] {
            let [[_, older, _], [_, newer, _]] = signal.shift(self.grid);
            signal.accept(f64::midpoint(older, newer).exp(), self.grid);
        }
        let factor = f64::midpoint(older, newer).exp();
        self.most_tokens.rescale(factor);
        self.most_calls.rescale(factor);
        self.raised.accept(factor, 2 * HALF_SHIFT_HOURS, self.grid);
    }
}
