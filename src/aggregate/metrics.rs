//! Points of platform metrics: what Azure itself counted, beside what its logs say.
//!
//! They are the check of completeness and are never added to logs.

use std::collections::BTreeMap;

use crate::event::signal::{Metric, Signal};
use crate::time::{ArrivalTime, DAY_MS, EventTime, HOUR_MS, MINUTE_MS, Minute};

/// What a point counts; the number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// Prompt tokens. Anthropic's leave cache traffic out, OpenAI's hold it.
    Input = 0,
    /// Generated tokens.
    Output = 1,
    /// Requests, failed ones included.
    Requests = 2,
}

/// Which of two metrics that name the same counts it; the number is stored. The second is used only
/// for minutes of which the first says nothing, and they are never added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Models of every publisher.
    All = 0,
    /// OpenAI models alone.
    OpenAi = 1,
}

/// Which point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PointKey {
    /// Number of the deployment; 0 for the whole account, whose points hold those of its deployments.
    pub deployment: u32,
    /// First minute of the span.
    pub start: Minute,
    /// What is counted.
    pub quantity: Quantity,
    /// By which metric.
    pub family: Family,
}

/// One point as last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Tokens or requests.
    pub value: i64,
    /// When the hub took it.
    pub enqueued: ArrivalTime,
    /// How often it was told: twice and more where two diagnostic settings send it.
    pub told: i64,
}

impl Point {
    /// The same point told again: the later value holds, the larger one of two told at once, so that
    /// the order of reading never matters.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let last = |point: &Self| (point.enqueued, point.value);
        let (newer, older) =
            if last(&self) >= last(&other) { (self, other) } else { (other, self) };
        Self { told: newer.told.saturating_add(older.told), ..newer }
    }
}

/// Points of one account, each as last told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Points(BTreeMap<PointKey, Point>);

impl Points {
    /// Takes one point.
    pub fn add(&mut self, key: PointKey, point: Point) {
        let known = self.0.entry(key);
        known.and_modify(|known| *known = known.merged(point)).or_insert(point);
    }

    /// Points in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&PointKey, &Point)> {
        self.0.iter()
    }
}

/// Longest span of a point that is used: sums are by hour.
const MAX_GRAIN_MS: i64 = HOUR_MS;
/// Largest value that is believed. A thousand provisioned units of the fastest model stay below a
/// billion tokens a minute; a forged point must not break a sum.
const MAX_VALUE: f64 = 1e12;

/// What a metric record is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A point that is kept.
    Point(PointKey, Point),
    /// It measures something else.
    OtherSignal,
    /// It cannot be right, or spans more than an hour.
    Unbelievable,
}

/// Reads a metric record of a whole account.
#[must_use]
pub fn read(metric: &Metric, enqueued: ArrivalTime) -> Reading {
    let Some((quantity, family)) = counted(metric.signal) else { return Reading::OtherSignal };
    let believed = enqueued.0.saturating_sub(DAY_MS)..=enqueued.0.saturating_add(5 * MINUTE_MS);
    let value = metric.total.and_then(whole);
    let is_short = metric.grain_ms.is_none_or(|grain_ms| grain_ms <= MAX_GRAIN_MS);
    let Some(value) = value.filter(|_| is_short && believed.contains(&metric.start.0)) else {
        return Reading::Unbelievable;
    };
    let key = PointKey { deployment: 0, start: metric.start.minute(), quantity, family };
    Reading::Point(key, Point { value, enqueued, told: 1 })
}

const fn counted(signal: Signal) -> Option<(Quantity, Family)> {
    match signal {
        Signal::InputTokens => Some((Quantity::Input, Family::All)),
        Signal::OutputTokens => Some((Quantity::Output, Family::All)),
        Signal::Requests => Some((Quantity::Requests, Family::All)),
        Signal::OpenAiInputTokens => Some((Quantity::Input, Family::OpenAi)),
        Signal::OpenAiOutputTokens => Some((Quantity::Output, Family::OpenAi)),
        Signal::OpenAiRequests => Some((Quantity::Requests, Family::OpenAi)),
        Signal::TotalTokens
        | Signal::CacheReadTokens
        | Signal::CacheWriteTokens
        | Signal::OpenAiTotalTokens
        | Signal::ProvisionedTokens
        | Signal::AudioTokens
        | Signal::Images
        | Signal::Pages
        | Signal::TrainingHours
        | Signal::RealtimeTime
        | Signal::FilterRequests
        | Signal::FilterRejected
        | Signal::FilterHarmful
        | Signal::FilterSystem
        | Signal::Latency
        | Signal::LegacyHttp
        | Signal::Other => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn whole(value: f64) -> Option<i64> {
    (0.0..=MAX_VALUE).contains(&value).then(|| value.round() as i64)
}

/// Tokens and requests of one account in one hour; `None` where nothing says how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Prompt tokens.
    pub input: Option<i64>,
    /// Generated tokens.
    pub output: Option<i64>,
    /// Requests.
    pub requests: Option<i64>,
}

impl Counts {
    /// Both together; what neither knows stays unknown.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: Option<i64>, b: Option<i64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (known, None) | (None, known) => known,
        };
        Self {
            input: sum(self.input, other.input),
            output: sum(self.output, other.output),
            requests: sum(self.requests, other.requests),
        }
    }

    /// Prompt and generated tokens; `None` unless both are known.
    #[must_use]
    pub fn tokens(self) -> Option<i64> {
        Some(self.input?.saturating_add(self.output?))
    }
}

/// What logs and metrics say of one account in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compared {
    /// By the logs; nothing is unknown where there is any row.
    pub logged: Counts,
    /// By the metrics.
    pub metered: Counts,
}

/// How complete the logs of a span are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Completeness {
    /// Logs hold at least 98 % of what the metrics count.
    Complete,
    /// They hold more than the metrics count: Claude through the Responses API is missing in token
    /// metrics, and Anthropic's prompt tokens leave cache traffic out.
    More,
    /// Logs hold less.
    Partial,
    /// Metrics count tokens or requests, and no log tells of any.
    NoLogs,
    /// No metric point tells of the span, which is not zero: idle resources export every 15 minutes,
    /// then every two hours.
    NoMetrics,
}

impl Completeness {
    /// How it is called in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::More => "more than metrics",
            Self::Partial => "partial",
            Self::NoLogs => "no logs",
            Self::NoMetrics => "no metrics",
        }
    }
}

/// Logs that hold this many thousandths of the metrics are complete: minutes on the edge of an hour
/// are counted in one hour by logs and in the next by metrics.
const COMPLETE_PER_MILLE: i64 = 980;

impl Compared {
    /// Both sums together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { logged: self.logged.plus(other.logged), metered: self.metered.plus(other.metered) }
    }

    /// Logged and metered tokens, or requests where the metrics tell no tokens; `None` without
    /// metrics.
    #[must_use]
    pub fn sides(self) -> Option<(i64, i64)> {
        let by_tokens = self.metered.tokens().filter(|metered| *metered > 0);
        match by_tokens {
            Some(metered) => Some((self.logged.tokens().unwrap_or(0), metered)),
            None => Some((self.logged.requests.unwrap_or(0), self.metered.requests?)),
        }
    }

    /// Logs ÷ metrics in thousandths; `None` without metrics or where they count nothing.
    #[must_use]
    pub fn per_mille(self) -> Option<i64> {
        let (logged, metered) = self.sides().filter(|(_, metered)| *metered > 0)?;
        i64::try_from(i128::from(logged) * 1_000 / i128::from(metered)).ok()
    }

    /// The state in a word.
    #[must_use]
    pub fn completeness(self) -> Completeness {
        let Some((logged, metered)) = self.sides() else { return Completeness::NoMetrics };
        match self.per_mille() {
            _ if logged == 0 && metered > 0 => Completeness::NoLogs,
            Some(share) if share < COMPLETE_PER_MILLE => Completeness::Partial,
            Some(share) if share > 2_000 - COMPLETE_PER_MILLE => Completeness::More,
            None if logged > 0 => Completeness::More,
            Some(_) | None => Completeness::Complete,
        }
    }
}

/// Metrics come 3 to 10 minutes late: an hour is compared once the hub has been read this far beyond
/// its end. Later records change the result, which is computed whenever it is read.
pub const COMPARED_AFTER_MS: i64 = 30 * MINUTE_MS;

/// True when the hour that begins at `start` may be compared, everything enqueued up to `passed`
/// being known.
#[must_use]
pub fn is_comparable(start: Minute, passed: ArrivalTime) -> bool {
    let EventTime(start_ms) = start.start();
    start_ms.saturating_add(HOUR_MS + COMPARED_AFTER_MS) <= passed.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 29_000_000;

    fn metric(signal: Signal, minute: i64, total: f64) -> Metric {
        Metric {
            resource: String::new(),
            start: Minute(START + minute).start(),
            grain_ms: Some(MINUTE_MS),
            signal,
            name: String::new(),
            count: None,
            total: Some(total),
            minimum: None,
            maximum: None,
            average: None,
        }
    }

    fn arrived(minute: i64) -> ArrivalTime {
        ArrivalTime(Minute(START + minute).start().0)
    }

    #[test]
    fn what_cannot_be_right_is_no_point() {
        let good = metric(Signal::InputTokens, 0, 5.0);
        assert!(matches!(read(&good, arrived(3)), Reading::Point(..)));
        for (metric, at) in [
            (metric(Signal::InputTokens, 0, -1.0), 3),
            (metric(Signal::InputTokens, 0, f64::NAN), 3),
            (metric(Signal::InputTokens, 0, 1e13), 3),
            (metric(Signal::InputTokens, 10, 5.0), 3),
            (metric(Signal::InputTokens, 0, 5.0), 24 * 60 + 1),
            (Metric { total: None, ..good.clone() }, 3),
            (Metric { grain_ms: Some(DAY_MS), ..good }, 3),
        ] {
            assert_eq!(read(&metric, arrived(at)), Reading::Unbelievable, "{metric:?}");
        }
        assert_eq!(read(&metric(Signal::TotalTokens, 0, 5.0), arrived(3)), Reading::OtherSignal);
    }

    proptest! {
        #[test]
        fn the_last_value_wins_in_any_order(
            mut told in prop::collection::vec((0_i64..5, 0_i64..50), 1..8)
        ) {
            let point = |(at, value): &(i64, i64)| Point { value: *value, enqueued: ArrivalTime(*at), told: 1 };
            let merge = |told: &[(i64, i64)]| told.iter().map(point).reduce(Point::merged);
            let forwards = merge(&told);
            told.reverse();
            prop_assert_eq!(forwards, merge(&told));
            told.sort_unstable();
            prop_assert_eq!(forwards.map(|p| (p.enqueued.0, p.value)), told.last().copied());
            prop_assert_eq!(forwards.map(|p| p.told), i64::try_from(told.len()).ok());
        }
    }

    const fn counts(tokens: i64, requests: i64) -> Counts {
        Counts { input: Some(tokens), output: Some(0), requests: Some(requests) }
    }

    #[test]
    fn completeness_in_words() {
        let unknown = Counts::default();
        for (logged, metered, expected) in [
            (counts(980, 1), counts(1_000, 1), Completeness::Complete),
            (counts(979, 1), counts(1_000, 1), Completeness::Partial),
            (counts(1_021, 1), counts(1_000, 1), Completeness::More),
            (unknown, counts(1_000, 1), Completeness::NoLogs),
            (counts(0, 0), counts(0, 7), Completeness::NoLogs),
            (counts(7, 1), unknown, Completeness::NoMetrics),
            (counts(0, 0), counts(0, 0), Completeness::Complete),
            // Tokens unknown to the metrics are not zero: requests are compared.
            (counts(9, 5), Counts { requests: Some(10), ..unknown }, Completeness::Partial),
        ] {
            let compared = Compared { logged, metered };
            assert_eq!(compared.completeness(), expected, "{compared:?}");
        }
    }

    #[test]
    fn an_hour_is_compared_half_an_hour_after_its_end() {
        assert!(!is_comparable(Minute(START), ArrivalTime(arrived(90).0 - 1)));
        assert!(is_comparable(Minute(START), arrived(90)));
    }
}
