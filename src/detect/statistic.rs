//! Rules made of the statistical judgement: usage spike, slow ramp, dormant wake, fan-out, silence.
//!
//! [`Memory`](super::score::Memory) gives every [part](Part) of its judgement a score that fires at 1. A
//! rule is a set of parts with one story to tell: it takes the highest that is worth somebody's time.

use std::collections::BTreeSet;

use super::baseline::as_float;
use super::network::is_new;
use super::score::{Part, Scored};
use super::series::{KEEP_SLOTS, SLOT_MIN, SLOTS_PER_HOUR, Series, Signal, Slot, values};
use super::{DetectSettings, Detector, EARLY_MARGIN, Finding, Judge, Phase, Profile, table};
use crate::aggregate::names::{NONE, OTHER};
use crate::aggregate::rollup::Amount;
use crate::money::Grouped;

/// A rule made of parts of the statistical judgement.
#[derive(Debug)]
pub struct Statistic {
    id: &'static str,
    parts: &'static [Part],
    worth: Worth,
}

/// What a finding must be about to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worth {
    /// Enough money (or tokens, where there is no price) above what was expected.
    Excess,
    /// Enough calls missing.
    Missing,
    /// Enough networks among the callers that were never seen here before.
    Newcomers,
    /// Nothing in particular: that it happens at all is the finding.
    Anything,
}

/// More than the deployment's own past explains.
pub static USAGE: Statistic = Statistic {
    id: "TW-C01",
    parts: &[Part::Calls, Part::MostTokens, Part::MostCalls, Part::Size, Part::Fresh],
    worth: Worth::Excess,
};

/// A level raised for days, or growth, that no single day shows.
pub static RAMP: Statistic =
    Statistic { id: "TW-C03", parts: &[Part::Raised], worth: Worth::Excess };

/// Traffic where there was none for weeks.
pub static WAKE: Statistic =
    Statistic { id: "TW-C11", parts: &[Part::Wake], worth: Worth::Anything };

/// More distinct callers than usual, many of them new: a busy hour of known ones is none of it.
pub static FAN_OUT: Statistic =
    Statistic { id: "TW-I05", parts: &[Part::Callers, Part::FanOut], worth: Worth::Newcomers };

/// Less than usual, or nothing: an outage, or logging switched off.
pub static SILENCE: Statistic =
    Statistic { id: "TW-P12", parts: &[Part::Silence, Part::Drop], worth: Worth::Missing };

impl Detector for Statistic {
    fn profile(&self) -> &'static Profile {
        table::profile(self.id)
    }

    fn judge(&self, series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Finding> {
        let limit = if judge.phase == Phase::Open { EARLY_MARGIN } else { 1.0 };
        let mut fired = judge.verdict.parts.iter().filter(|scored| scored.score >= limit);
        let is_ours = |scored: &&Scored| {
            self.parts.contains(&scored.part)
                && self.worth.is_met(series, slot, scored, judge.settings)
        };
        fired.find(is_ours).map(|scored| describe(series, slot, scored))
    }
}

impl Worth {
    fn is_met(self, series: &Series, slot: Slot, at: &Scored, settings: &DetectSettings) -> bool {
        match self {
            Self::Excess => Excess::of(series, slot, at).is_enough(settings),
            Self::Missing => missing(at) >= settings.silence_min_calls,
            Self::Newcomers => {
                as_float(Networks::of(series, slot, at).new) >= settings.fan_out_networks
            }
            Self::Anything => true,
        }
    }
}

/// What was used above what was expected, per hour of the window that was judged.
pub(super) struct Excess {
    usd: f64,
    tokens: f64,
    /// Whether some of it has no price.
    unpriced: bool,
}

impl Excess {
    /// From the on-time sums of the window, or of its end where it is longer than slots are kept: the
    /// money that the window saw, in the share that was not expected of it.
    fn of(series: &Series, slot: Slot, at: &Scored) -> Self {
        let slots = at.slots.clamp(1, KEEP_SLOTS);
        let seen = series.trailing(slot, slots);
        let [tokens, _, _] = values(seen);
        // What new callers brought is a part of what was seen, everything else is all of it.
        let (above, whole) = match at.part {
            Part::Fresh => (at.observed - at.expected, tokens),
            Part::Calls
            | Part::Callers
            | Part::FanOut
            | Part::Size
            | Part::MostTokens
            | Part::MostCalls
            | Part::Raised
            | Part::Wake
            | Part::Drop
            | Part::Silence => (at.observed - at.expected, at.observed),
        };
        let share = if whole > 0.0 { (above / whole).clamp(0.0, 1.0) } else { 0.0 };
        Self::share_of(seen, share, slots)
    }

    /// A share of what was seen in so many slots.
    pub(super) fn share_of(seen: Amount, share: f64, slots: i64) -> Self {
        let [tokens, usd, _] = values(seen);
        let per_hour = share * as_float(SLOTS_PER_HOUR) / as_float(slots);
        Self { usd: usd * per_hour, tokens: tokens * per_hour, unpriced: seen.unpriced > 0 }
    }

    /// Whether it is worth an incident: by its money, or where some has no price by its tokens.
    pub(super) fn is_enough(&self, settings: &DetectSettings) -> bool {
        let by_tokens = self.unpriced && self.tokens >= settings.min_excess_tokens_per_hour;
        by_tokens || self.usd >= settings.min_excess_usd_per_hour
    }
}

/// Known networks that called in the window that was judged, each once. The statistic counts a caller in
/// every slot anew, so that it cannot tell a few busy ones from many.
struct Networks {
    all: i64,
    /// Of them, first seen here within a day.
    new: i64,
}

impl Networks {
    fn of(series: &Series, slot: Slot, at: &Scored) -> Self {
        let first = Slot(slot.0 - at.slots.clamp(1, KEEP_SLOTS) + 1);
        let callers = series.callers(first, slot).into_iter().filter(|(_, sum)| sum.calls > 0);
        let networks = callers.filter_map(|(caller, _)| caller.parts()).map(|who| who.network);
        let networks: BTreeSet<u32> = networks.filter(|n| ![NONE, OTHER].contains(n)).collect();
        let new = networks.iter().filter(|network| is_new(series, **network, slot));
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Self { new: count(new.count()), all: count(networks.len()) }
    }
}

/// Calls that did not come.
fn missing(scored: &Scored) -> f64 {
    let Scored { part, observed, expected, .. } = *scored;
    if part == Part::Silence { observed } else { expected - observed }
}

fn describe(series: &Series, slot: Slot, scored: &Scored) -> Finding {
    let Scored { part, slots, score, observed, expected, low, high, .. } = *scored;
    let silent = part == Part::Silence;
    let span = span(if silent { series.silent_slots(slot) } else { slots });
    let ends = [(high, "ends"), (low, "begins")];
    let (bound, end) =
        ends.into_iter().find(|(end, _)| end.is_finite()).unwrap_or((expected, "ends"));
    let unit = format!("{} in {span}", unit(part));
    let times = observed / expected;
    let times = if part.is_lower() || !times.is_finite() {
        String::new()
    } else {
        format!(", {times:.1} times")
    };
    let [seen, usual, band] = [observed, expected, bound].map(shown);
    let what = if silent {
        format!(
            "{}: for {span}, in which about {seen} were expected; {usual} is the most that such a silence \
             held before",
            reason(part)
        )
    } else {
        format!("{}: {seen} {unit} where about {usual} were expected{times}", reason(part))
    };
    let limit = format!(
        "the band of what is normal here {end} at {band} {unit}; the score is {score:.1} where 1 is the limit"
    );
    let mut evidence = vec![what, limit];
    if matches!(part, Part::Callers | Part::FanOut) {
        let Networks { all, new } = Networks::of(series, slot, scored);
        evidence.push(format!(
            "{all} networks called in that time; {new} of them had not been seen here until a day before"
        ));
    }
    Finding {
        signal: signal(part),
        observed,
        expected,
        bound,
        unit,
        score,
        confidence: confidence(score),
        evidence,
    }
}

/// What a chart of the part shows; nothing where that would mislead.
const fn signal(part: Part) -> Option<Signal> {
    match part {
        Part::Size | Part::MostTokens | Part::Fresh => Some(Signal::Tokens),
        Part::Calls | Part::MostCalls | Part::Raised | Part::Wake | Part::Drop | Part::Silence => {
            Some(Signal::Calls)
        }
        Part::Callers | Part::FanOut => None,
    }
}

/// What the amounts of a part are of.
const fn unit(part: Part) -> &'static str {
    match part {
        Part::Calls | Part::MostCalls | Part::Raised | Part::Wake | Part::Drop => "calls",
        Part::Silence => "calls missed",
        Part::Callers | Part::FanOut => "callers by slot",
        Part::Size | Part::MostTokens | Part::Fresh => "tokens",
    }
}

const fn reason(part: Part) -> &'static str {
    match part {
        Part::Calls => "more calls than this hour of the week and the last hours explain",
        Part::Callers => "more distinct callers than this hour of the week explains",
        Part::FanOut => "more callers than so many calls usually come from",
        Part::Size => "more tokens than so many calls usually bring",
        Part::MostTokens => "more tokens than were ever seen here in so short a time",
        Part::MostCalls => "more calls than were ever seen here in so short a time",
        Part::Raised => "more calls for days than the weeks before had",
        Part::Wake => "traffic where there was none for weeks",
        Part::Fresh => "tokens used by callers first seen here within a day",
        Part::Drop => "fewer calls than usual",
        Part::Silence => "no call",
    }
}

/// The length of a window for people.
pub(super) fn span(slots: i64) -> String {
    let minutes = slots * SLOT_MIN;
    match minutes {
        ..=119 if minutes != 60 => format!("{minutes} min"),
        ..=2_879 if minutes % 60 == 0 => format!("{} h", minutes / 60),
        2_880.. if minutes % 1_440 == 0 => format!("{} days", minutes / 1_440),
        _ => format!("{minutes} min"),
    }
}

/// How sure a score is: what just reaches the limit is wrong oftener than what is far beyond it. It ranks
/// findings and is not a probability.
fn confidence(score: f64) -> f64 {
    (1.0 - 0.2 / score.max(1.0)).clamp(0.0, 0.99)
}

/// A number for people: whole above ten, one digit after the point below.
#[expect(clippy::cast_possible_truncation, reason = "shown to people; saturates")]
fn shown(value: f64) -> String {
    let whole = Grouped(value.round() as i64);
    if value.abs() < 10.0 && value.fract() != 0.0 {
        format!("{value:.1}")
    } else {
        whole.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::score::measure::Component;
    use super::super::score::{Around, Verdict};
    use super::super::series::SLOTS_PER_DAY;
    use super::*;
    use crate::aggregate::rollup::{Amount, Caller, Split};
    use crate::event::operation::Operation;

    /// Whether twelve networks that call in one hour, of which so many are new, are told of.
    #[track_caller]
    fn check(new: u32, expected: bool) {
        let settings = DetectSettings::default();
        let mut series = Series::default();
        let call = |series: &mut Series, slot: Slot, network: u32| {
            let on_time = Amount { calls: 1, ..Amount::default() };
            let split = Split { on_time, late: Amount::default() };
            for caller in [Caller::TOTAL, Caller::new(network, 0, Operation::Chat)] {
                series.add(slot.start(), caller, split);
            }
            series.close(slot, |_| Around::default(), &settings.score);
        };
        let (old, now) = (Slot(0), Slot(3 * SLOTS_PER_DAY));
        (new..12).for_each(|number| call(&mut series, old, 100 + number));
        for number in 0..12 {
            call(&mut series, Slot(now.0 - 11 + i64::from(number)), 100 + number);
        }
        let scored = Scored {
            component: Component::CallersHour,
            part: Part::Callers,
            slots: SLOTS_PER_HOUR,
            score: 1.5,
            observed: 12.0,
            expected: 2.0,
            low: 0.0,
            high: 6.0,
            raw: 9.0,
            rate: -2.0,
        };
        let verdict = Verdict { parts: vec![scored], ..Verdict::default() };
        let phase = Phase::Closed;
        let profile = FAN_OUT.profile();
        let judge =
            Judge { settings: &settings, profile, phase, verdict: &verdict, newcomer: None };
        let found = FAN_OUT.judge(&series, now, &judge);
        assert_eq!(found.is_some(), expected, "{new}");
        let said = format!("12 networks called in that time; {new} of them");
        assert!(
            found.is_none_or(|found| found.evidence.iter().any(|fact| fact.starts_with(&said)))
        );
    }

    #[test]
    fn a_fan_out_is_of_new_networks() {
        check(12, true);
        check(10, true);
        check(9, false);
        check(0, false);
    }
}
