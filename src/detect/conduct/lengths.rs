//! How long prompts are, in little room, and TW-C07: prompts several times as long as on any day, or that fill the
//! model's window.

use std::collections::{BTreeMap, BTreeSet};

use super::past::Day;
use super::scene::{numbers, ranked, usual};
use super::{Answer, Scene, Sign};
use crate::aggregate::names::NONE;
use crate::detect::series::SLOTS_PER_HOUR;
use crate::detect::table::Profile;
use crate::detect::window::window_of;
use crate::money::Grouped;

/// Bytes of a request that stand for a token of English text where none are told, as OpenAI's own rule of
/// thumb has it.
const BYTES_PER_TOKEN: u32 = 4;
/// Calls of twenty that are no longer than the length told of them.
const CALLS: i64 = 20;
/// Calls in an hour below which a day has no length.
pub(super) const MIN_CALLS: i32 = 20;
/// Calls of an hour that must fill the window; one or two are somebody's long document.
const FULL_CALLS: i64 = 10;
/// What is longer than on any day is so by a quarter: lengths are known to a class, and chance moves them by one.
const LONGER: f64 = 1.25;
/// Minutes that are judged together.
const MINUTES: f64 = 60.0;
/// Days that are compared, at least.
const DAYS: usize = 3;

/// Calls by the length of their prompts, in eight classes an octave. A sum, so calls can be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lengths(BTreeMap<u8, i32>);

impl Lengths {
    /// Adds `sign` calls with so many prompt tokens or, where these are not told, a request of so many bytes.
    pub fn add(&mut self, tokens: u32, bytes: u32, sign: i32) {
        let length = if tokens > 0 { tokens } else { bytes / BYTES_PER_TOKEN };
        if length == 0 {
            return;
        }
        let calls = self.0.entry(class(length)).or_default();
        *calls = calls.saturating_add(sign);
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (class, calls) in &other.0 {
            let sum = self.0.entry(*class).or_default();
            *sum = sum.saturating_add(*calls);
        }
        self
    }

    /// Calls in all.
    #[must_use]
    pub fn calls(&self) -> i32 {
        self.0.values().fold(0, |sum, calls| sum.saturating_add(*calls))
    }

    /// The length that one call in twenty reaches, to the class below, in tokens; `None` of no calls.
    #[must_use]
    pub fn longest(&self) -> Option<u32> {
        let all = i64::from(self.calls());
        self.reached(|longer| longer * CALLS >= all)
    }

    /// The length that ten calls reach, to the class below, in tokens; `None` of fewer.
    #[must_use]
    pub fn tenth(&self) -> Option<u32> {
        self.reached(|longer| longer >= FULL_CALLS)
    }

    fn reached(&self, is_enough: impl Fn(i64) -> bool) -> Option<u32> {
        let mut longer = 0;
        let reached = self.0.iter().rev().find(|(_, calls)| {
            longer += i64::from(**calls);
            longer > 0 && is_enough(longer)
        });
        reached.filter(|_| self.calls() > 0).map(|(class, _)| least(*class))
    }
}

/// The class of a length: its octave and the three bits after the first.
fn class(length: u32) -> u8 {
    let octave = length.ilog2();
    let eighth = (u64::from(length) << 3 >> octave) & 7;
    u8::try_from(u64::from(octave) * 8 + eighth).unwrap_or(u8::MAX)
}

/// The shortest length of a class.
fn least(class: u8) -> u32 {
    let (octave, eighth) = (u32::from(class) / 8, u64::from(class) % 8);
    u32::try_from(((8 + eighth) << octave) >> 3).unwrap_or(u32::MAX)
}

/// Prompts of a deployment that are too long.
struct Long {
    observed: f64,
    expected: f64,
    bound: f64,
    unit: &'static str,
    fact: String,
}

/// TW-C07: one prompt in twenty of an hour is several times as long as on most days, and longer than on
/// any; or ten of them fill the model's window, as on no day. A job that sends long prompts every week is no news.
pub(super) fn giant_inputs(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let judge = |deployment: u32| {
        let lengths = scene.conduct.lengths(deployment, scene.slot, SLOTS_PER_HOUR);
        let long = longer(scene, deployment, &lengths, profile)
            .or_else(|| filling(scene, deployment, &lengths, profile))?;
        let mut visits = scene.networks_on(deployment, MINUTES);
        visits.retain(|_, visit| visit.served > 0);
        let callers = ranked(visits, |visit| visit.served);
        let mut evidence = vec![long.fact];
        evidence.extend(
            scene.sentences(&callers, |visit| format!("was served {} times", visit.served)),
        );
        Some(Sign {
            deployment: Some(deployment),
            severity: profile.severity,
            confidence: 0.7,
            observed: long.observed,
            expected: long.expected,
            bound: long.bound,
            unit: long.unit.to_owned(),
            networks: numbers(&callers),
            evidence,
            answer: Answer::Quota,
        })
    };
    let called: BTreeSet<u32> = scene.within(MINUTES).map(|deed| deed.deployment).collect();
    called.into_iter().filter(|deployment| *deployment != NONE).filter_map(judge).collect()
}

/// Several times as long as on most days.
fn longer(
    scene: &Scene<'_>,
    deployment: u32,
    lengths: &Lengths,
    profile: &Profile,
) -> Option<Long> {
    let [factor, min_calls, min_tokens] =
        ["factor", "min_calls", "min_tokens"].map(|name| profile.threshold(name));
    let seen = f64::from(lengths.longest()?);
    let (expected, largest) = before(scene, deployment, |day| day.longest > 0, |day| day.longest)?;
    let bound = (factor * expected).max(min_tokens);
    let is_told = f64::from(lengths.calls()) >= min_calls;
    if !is_told || seen < bound || seen < LONGER * largest {
        return None;
    }
    let fact = format!(
        "one in twenty of {} prompts within an hour had {} tokens or more; on most days the longest have about {}",
        lengths.calls(),
        grouped(seen),
        grouped(expected)
    );
    let unit = "prompt tokens of one call in twenty";
    Some(Long { observed: seen, expected, bound, unit, fact })
}

/// Ten that fill the window.
fn filling(
    scene: &Scene<'_>,
    deployment: u32,
    lengths: &Lengths,
    profile: &Profile,
) -> Option<Long> {
    let seen = f64::from(lengths.tenth()?);
    let window = window_of(scene.model(deployment)?)?;
    let bound = profile.threshold("window_share") * f64::from(window);
    let (expected, largest) = before(scene, deployment, |day| day.calls > 0, |day| day.tenth)?;
    if seen < bound || largest >= bound {
        return None;
    }
    let fact = format!(
        "{FULL_CALLS} prompts within an hour had {} tokens or more, and the model takes {}; on no day of two weeks \
         did as many fill it",
        grouped(seen),
        grouped(f64::from(window))
    );
    let unit = "prompt tokens of the tenth longest call";
    Some(Long { observed: seen, expected, bound, unit, fact })
}

/// What is usual of a length, and the largest, of the days that count; `None` of too few.
fn before(
    scene: &Scene<'_>,
    deployment: u32,
    counts: fn(&Day) -> bool,
    of: fn(&Day) -> u32,
) -> Option<(f64, f64)> {
    let days = || scene.conduct.past().days(deployment, scene.slot).filter(counts);
    let (expected, _) = usual(days(), DAYS, of)?;
    Some((expected, f64::from(days().map(|day| of(&day)).max().unwrap_or(0))))
}

/// A count for people.
#[expect(clippy::cast_possible_truncation, reason = "shown to people; saturates")]
const fn grouped(value: f64) -> Grouped {
    Grouped(value.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::baseline::as_float;

    #[test]
    fn a_class_is_an_eighth_of_an_octave() {
        for length in [1, 2, 3, 4, 5, 7, 1_000, 1_023, 1_024, 1_279, 1_280, 128_000, u32::MAX] {
            let low = least(class(length));
            assert!(low <= length && as_float(length.into()) < 1.125 * as_float(low.into()) + 1.0);
        }
        let mut last = 0;
        for length in 1..5_000 {
            assert!(class(length) >= last, "{length}");
            last = class(length);
        }
    }

    #[test]
    fn the_longest_are_one_in_twenty_and_can_be_taken_back() {
        let mut lengths = Lengths::default();
        assert_eq!(lengths.longest(), None);
        (0..95).for_each(|_| lengths.add(1_024, 9, 1));
        (0..4).for_each(|_| lengths.add(65_536, 9, 1));
        assert_eq!((lengths.calls(), lengths.longest()), (99, Some(1_024)));
        lengths.add(0, 4 * 65_536, 1);
        assert_eq!((lengths.calls(), lengths.longest()), (100, Some(65_536)));
        lengths.add(0, 4 * 65_536, -1);
        assert_eq!(lengths.longest(), Some(1_024));
        assert_eq!(lengths.tenth(), Some(1_024));
        lengths.add(0, 0, 1);
        assert_eq!(lengths.clone().plus(&lengths).calls(), 198);
    }
}
