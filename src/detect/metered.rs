//! What metrics count by the piece, and no log by the token: images, pages, audio and training (TW-C13), and how
//! full provisioned units are (TW-C12).
//!
//! A point counts when the hub took it at most half an hour after its hour; of one told twice the last
//! holds. So a closed hour is the same for every order and cut of the records. Hours of provisioned units
//! are compared with tokens once these are learnt, four hours later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::baseline::{as_float, median};
use super::outlook::{History, Outlook};
use super::series::{LEARN_LAG_HOURS, Series, Slot};
use super::table::Profile;
use crate::aggregate::names::NONE;
use crate::event::signal::{Metric, Signal};
use crate::time::{ArrivalTime, DAY_MS, HOUR_MS, MINUTE_MS};

/// Rules that are made of them, in the order of the manual's table.
pub const RULES: [&str; 2] = [SPILL, PIECES];
/// The rule about provisioned units that are full.
pub const SPILL: &str = "TW-C12";
/// The rule about what is billed by the piece.
pub const PIECES: &str = "TW-C13";

/// Points come three to ten minutes late: an hour is judged half an hour after its end.
pub const JUDGED_AFTER_MS: i64 = 30 * MINUTE_MS;
/// Points of hours not judged yet that are kept; later ones are not counted.
const MAX_OPEN: usize = 20_000;
/// Hours of provisioned units that wait to be compared.
const MAX_FULL: usize = 10_000;
/// Days that are compared, and those an account must have been watched for before anything is new.
const KEEP_DAYS: i64 = 14;
const KNOWN_DAYS: i64 = 7;
/// What was first counted within so many hours is new.
const NEW_HOURS: i64 = 24;
/// Largest count that is believed, as of points that are stored.
const MAX_VALUE: f64 = 1e12;
/// Counts are kept in thousandths: training is counted in parts of hours.
const MILLI: f64 = 1_000.0;
/// Makes the MAD estimate the standard deviation of normal data (1 / Φ⁻¹(3/4); Rousseeuw & Croux 1993).
const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;
/// Smallest spread believed of the largest hours of days, and of the tokens of an hour: shares of the middle.
const LEAST_PIECES_SPREAD: f64 = 0.25;
const LEAST_TOKEN_SPREAD: f64 = 0.05;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Piece {
    /// Generated images.
    Images,
    /// Pages of documents.
    Pages,
    /// Hours of training.
    TrainingHours,
    /// Seconds of realtime sessions.
    RealtimeSeconds,
    /// Tokens of audio.
    AudioTokens,
    /// Use of provisioned units in percent: a mean, and no count.
    Utilization,
}

impl Piece {
    /// Every piece that is billed.
    const BILLED: [Self; 5] =
        [Self::Images, Self::Pages, Self::TrainingHours, Self::RealtimeSeconds, Self::AudioTokens];

    /// The noun, and the threshold below which an hour of it is not worth a word.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Images => ("images", "images"),
            Self::Pages => ("pages", "pages"),
            Self::TrainingHours => ("training hours", "training_hours"),
            Self::RealtimeSeconds => ("seconds of realtime sessions", "realtime_seconds"),
            Self::AudioTokens => ("audio tokens", "audio_tokens"),
            Self::Utilization => ("% of provisioned units", "utilisation"),
        }
    }

    const fn of(signal: Signal) -> Option<Self> {
        match signal {
            Signal::Images => Some(Self::Images),
            Signal::Pages => Some(Self::Pages),
            Signal::TrainingHours => Some(Self::TrainingHours),
            Signal::RealtimeTime => Some(Self::RealtimeSeconds),
            Signal::AudioTokens => Some(Self::AudioTokens),
            Signal::ProvisionedUtilization => Some(Self::Utilization),
            Signal::InputTokens
            | Signal::OutputTokens
            | Signal::TotalTokens
            | Signal::CacheReadTokens
            | Signal::CacheWriteTokens
            | Signal::Requests
            | Signal::OpenAiInputTokens
            | Signal::OpenAiOutputTokens
            | Signal::OpenAiTotalTokens
            | Signal::OpenAiRequests
            | Signal::ProvisionedTokens
            | Signal::FilterRequests
            | Signal::FilterRejected
            | Signal::FilterHarmful
            | Signal::FilterSystem
            | Signal::Latency
            | Signal::Availability
            | Signal::CacheMatchRate
            | Signal::LegacyHttp
            | Signal::Other => None,
        }
    }
}

/// What is counted of one account.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metered {
    saved: Saved,
    has_changed: bool,
}

/// Piece, deployment, and a hash of the metric's name: two metrics may count the same kind of piece.
type Place = (Piece, u32, u64);

/// All of it, as it is saved. Hours are counted from 1970, values are thousandths.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Saved {
    /// First hour in which the account sent any metric.
    since: Option<i64>,
    /// First hour not judged.
    next: Option<i64>,
    /// When the hub took a point, and its value, by minute.
    #[serde(with = "pairs")]
    open: BTreeMap<(i64, Place), (i64, i64)>,
    /// First hour of each piece.
    first: BTreeMap<Piece, i64>,
    /// The most of an hour, by day.
    #[serde(with = "pairs")]
    days: BTreeMap<(Piece, i64), i64>,
    /// Mean use of provisioned units, by hour and deployment, of hours whose tokens are not learnt yet.
    #[serde(with = "pairs")]
    full: BTreeMap<(i64, u32), i64>,
}

/// Maps whose keys JSON cannot have: as lists of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// Whether points of this are counted, so that their deployment must have a number.
#[must_use]
pub const fn is_counted(signal: Signal) -> bool {
    Piece::of(signal).is_some()
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It counts, or is nothing to us.
    Taken,
    /// Its hour was judged before, or its record cannot be right.
    TooLate,
    /// There are too many.
    TooMany,
}

/// Far more of a piece in an hour than there ever was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pieces {
    /// Of what.
    pub piece: Piece,
    /// How many in the hour.
    pub observed: f64,
    /// The middle of the largest hours of the days before; 0 where there was none.
    pub expected: f64,
    /// What had to be reached.
    pub bound: f64,
    /// Whether it was first counted within a day.
    pub is_new: bool,
}

/// Provisioned units that were full, and a deployment paid by the token that took more than usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spill {
    /// The hour.
    pub hour: i64,
    /// Number of the deployment with the units.
    pub units: u32,
    /// Number of the one that took the rest.
    pub paid: u32,
    /// How full the units were, 1 is full.
    pub utilization: f64,
    /// Tokens of the hour.
    pub observed: f64,
    /// Tokens expected of it.
    pub expected: f64,
    /// What had to be reached.
    pub bound: f64,
}

impl Metered {
    /// Takes a point of a deployment ([`NONE`] for the whole account).
    pub fn take(&mut self, metric: &Metric, deployment: u32, enqueued: ArrivalTime) -> Counted {
        let hour = metric.start.0.div_euclid(HOUR_MS);
        let is_short = metric.grain_ms.is_none_or(|grain_ms| grain_ms <= HOUR_MS);
        let judged_at = (hour + 1) * HOUR_MS + JUDGED_AFTER_MS;
        let believed = enqueued.0 - DAY_MS..=enqueued.0 + 5 * MINUTE_MS;
        if !is_short || !believed.contains(&metric.start.0) {
            return Counted::TooLate;
        }
        let is_late = enqueued.0 > judged_at || self.saved.next.is_some_and(|next| hour < next);
        if !is_late && self.saved.since.is_none_or(|since| hour < since) {
            (self.saved.since, self.has_changed) = (Some(hour), true);
        }
        let Some(piece) = Piece::of(metric.signal) else { return Counted::Taken };
        let value = if piece == Piece::Utilization { metric.average } else { metric.total };
        let Some(value) = value.and_then(thousandths) else { return Counted::Taken };
        if is_late {
            return Counted::TooLate;
        }
        let hash = crate::decode::fingerprint(&[&metric.name]);
        let name = u64::try_from(hash >> 64).unwrap_or(0);
        let key = (metric.start.minute().0, (piece, deployment, name));
        if self.saved.open.len() >= MAX_OPEN && !self.saved.open.contains_key(&key) {
            return Counted::TooMany;
        }
        let point = self.saved.open.entry(key).or_insert((enqueued.0, value));
        *point = (*point).max((enqueued.0, value));
        self.has_changed = true;
        Counted::Taken
    }

    /// The hours that may be judged, everything enqueued up to `passed` being known.
    #[must_use]
    pub fn due(&self, passed: ArrivalTime) -> std::ops::Range<i64> {
        let end = passed.0.saturating_sub(JUDGED_AFTER_MS).div_euclid(HOUR_MS);
        let first = self.saved.next.or(self.saved.since).unwrap_or(end);
        // Of a long silence nothing is left to judge but its end.
        first.max(end - 2 * KEEP_DAYS * 24)..end
    }

    /// Judges what was counted by the piece in `hour`, and learns from it.
    pub fn close(&mut self, hour: i64, profile: Option<&Profile>) -> Vec<Pieces> {
        let sums = self.settle(hour);
        let found = Piece::BILLED.into_iter().filter_map(|piece| {
            let seen = sums.get(&piece).copied().filter(|seen| *seen > 0)?;
            let first = *self.saved.first.entry(piece).or_insert(hour);
            profile.and_then(|profile| self.judge((piece, seen), (hour, first), profile))
        });
        let found: Vec<Pieces> = found.collect();
        let day = hour.div_euclid(24);
        for (piece, seen) in sums.into_iter().filter(|(_, seen)| *seen > 0) {
            let most = self.saved.days.entry((piece, day)).or_default();
            *most = seen.max(*most);
        }
        self.saved.days.retain(|(_, known), _| *known >= day - KEEP_DAYS);
        // With the incident that it ends: an hour must not count twice as a quiet one.
        (self.saved.next, self.has_changed) = (Some(hour + 1), true);
        found
    }

    /// Takes the points of an hour away, and says how many of each billed piece it had: what is told of the
    /// whole account, and of minutes of which nothing is, what deployments tell.
    fn settle(&mut self, hour: i64) -> BTreeMap<Piece, i64> {
        let later = self.saved.open.split_off(&((hour + 1) * 60, (Piece::Images, 0, 0)));
        let points = std::mem::replace(&mut self.saved.open, later);
        let mut minutes: BTreeMap<(i64, Piece, u64), [i64; 2]> = BTreeMap::new();
        let mut full: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
        for ((minute, (piece, deployment, name)), (_, value)) in points {
            if piece == Piece::Utilization {
                let (sum, count) = full.entry(deployment).or_default();
                (*sum, *count) = (sum.saturating_add(value), *count + 1);
                continue;
            }
            let [whole, parts] = minutes.entry((minute, piece, name)).or_default();
            let side = if deployment == NONE { whole } else { parts };
            *side = side.saturating_add(value);
        }
        for (deployment, (sum, count)) in full {
            if self.saved.full.len() < MAX_FULL && deployment != NONE {
                self.saved.full.insert((hour, deployment), sum / count.max(1));
            }
        }
        let mut sums: BTreeMap<Piece, i64> = BTreeMap::new();
        for ((_, piece, _), [whole, parts]) in minutes {
            let sum = sums.entry(piece).or_default();
            *sum = sum.saturating_add(if whole > 0 { whole } else { parts });
        }
        sums
    }

    fn judge(
        &self,
        (piece, seen): (Piece, i64),
        (hour, first): (i64, i64),
        profile: &Profile,
    ) -> Option<Pieces> {
        let (_, threshold) = piece.words();
        let observed = as_float(seen) / MILLI;
        let least = profile.threshold(threshold);
        if observed < least {
            return None;
        }
        let since = self.saved.since?;
        if hour - first < NEW_HOURS {
            let is_known = first - since >= KNOWN_DAYS * 24;
            let found = Pieces { piece, observed, expected: 0.0, bound: least, is_new: true };
            return is_known.then_some(found);
        }
        let today = hour.div_euclid(24);
        let begun = first.div_euclid(24).max(today - KEEP_DAYS);
        if today - begun < KNOWN_DAYS {
            return None;
        }
        let most = |day: i64| self.saved.days.get(&(piece, day)).copied().unwrap_or(0);
        let mut days: Vec<f64> = (begun..today).map(|day| as_float(most(day)) / MILLI).collect();
        let largest = days.iter().copied().fold(0.0, f64::max);
        let expected = median(&mut days)?;
        let mut off: Vec<f64> = days.iter().map(|day| (day - expected).abs()).collect();
        let spread = (MAD_TO_SIGMA * median(&mut off)?).max(LEAST_PIECES_SPREAD * expected);
        let bound = (expected + profile.threshold("z") * spread).max(largest).max(least);
        (observed > bound).then_some(Pieces { piece, observed, expected, bound, is_new: false })
    }

    /// The hour whose tokens are learnt once `hour` has closed: those of deployments whose units were full in
    /// it are compared, each with the others of its account that serve the same model and are paid by the
    /// token.
    pub fn spills(
        &mut self,
        hour: i64,
        (series, models): (&BTreeMap<u32, Series>, &BTreeMap<u32, u32>),
        profile: Option<&Profile>,
    ) -> Vec<Spill> {
        let learnt = hour - LEARN_LAG_HOURS;
        let later = self.saved.full.split_off(&(learnt + 1, 0));
        let due = std::mem::replace(&mut self.saved.full, later);
        let Some(profile) = profile else { return Vec::new() };
        let of_hour = || due.range((learnt, 0)..(learnt + 1, 0));
        let has_units: Vec<u32> = of_hour().map(|((_, units), _)| *units).collect();
        let mut found = Vec::new();
        for ((_, units), percent) in of_hour() {
            let utilization = as_float(*percent) / MILLI / 100.0;
            if utilization < profile.threshold("utilisation") {
                continue;
            }
            let model = models.get(units);
            let others = series.iter().filter(|(other, _)| {
                !has_units.contains(other) && model.is_some() && models.get(other) == model
            });
            found.extend(others.filter_map(|(paid, series)| {
                let (observed, expected, bound) = tokens(series, learnt, profile.threshold("z"))?;
                let hour = learnt;
                let (units, paid) = (*units, *paid);
                let spill = Spill { hour, units, paid, utilization, observed, expected, bound };
                (observed >= bound).then_some(spill)
            }));
        }
        found
    }

    /// What is to be saved now; `None` where nothing has changed.
    pub fn take_state(&mut self) -> Option<String> {
        let has_changed = std::mem::take(&mut self.has_changed);
        has_changed.then(|| serde_json::to_string(&self.saved).ok()).flatten()
    }

    /// Puts back what was saved; nothing where it cannot be read.
    pub fn restore(&mut self, body: &str) {
        self.saved = serde_json::from_str(body).unwrap_or_default();
    }
}

/// Tokens of an hour, those expected of it, and where what is normal ends.
fn tokens(series: &Series, hour: i64, z: f64) -> Option<(f64, f64, f64)> {
    let of = |each: i64| series.hour(each).first().copied().unwrap_or(0.0);
    let outlook = Outlook::of(&History { hour: &of, first: series.first_hour? }, hour)?;
    let mut seen: Vec<f64> = series.learnt(Slot::of_hour(hour)).map(of).collect();
    let middle = median(&mut seen)?;
    let mut off: Vec<f64> = seen.iter().map(|seen| (seen - middle).abs()).collect();
    let expected = outlook.at(hour);
    let spread = (MAD_TO_SIGMA * median(&mut off)?).max(LEAST_TOKEN_SPREAD * expected).max(1.0);
    outlook.learnt.then(|| (of(hour), expected, expected + z * spread))
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn thousandths(value: f64) -> Option<i64> {
    (0.0..=MAX_VALUE).contains(&value).then(|| (value * MILLI).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::rollup::{Amount, Caller, Split};
    use crate::detect::table;
    use crate::time::EventTime;

    /// The first hour that is watched: a midnight.
    const FIRST: i64 = 20_003 * 24;

    fn metric(signal: Signal, minute: i64, value: f64) -> Metric {
        Metric {
            resource: String::new(),
            start: EventTime(minute * MINUTE_MS),
            grain_ms: Some(MINUTE_MS),
            signal,
            name: format!("{signal:?}"),
            deployment: String::new(),
            model: String::new(),
            count: None,
            total: Some(value),
            minimum: None,
            maximum: None,
            average: Some(value),
        }
    }

    /// Points as (hour since the first, signal, value); told five minutes after theirs.
    fn take(metered: &mut Metered, (hour, signal, value): (i64, Signal, f64)) -> Counted {
        let minute = (FIRST + hour) * 60 + 7;
        let enqueued = ArrivalTime((minute + 5) * MINUTE_MS);
        metered.take(&metric(signal, minute, value), NONE, enqueued)
    }

    /// Hours in which something is found of what an account sends, watched from its first hour on, up to
    /// `hours`; saved and read again after every hour.
    fn found(points: &[(i64, Signal, f64)], hours: i64) -> Vec<(i64, Pieces)> {
        let profile = Some(table::profile(PIECES));
        let mut metered = Metered::default();
        assert_eq!(take(&mut metered, (0, Signal::Requests, 1.0)), Counted::Taken);
        let mut found = Vec::new();
        for hour in 0..hours {
            for point in points.iter().filter(|(at, _, _)| *at == hour) {
                assert_eq!(take(&mut metered, *point), Counted::Taken);
            }
            let passed = ArrivalTime((FIRST + hour + 1) * HOUR_MS + JUDGED_AFTER_MS);
            assert!(metered.due(ArrivalTime(passed.0 - 1)).is_empty());
            for due in metered.due(passed) {
                let pieces = metered.close(due, profile);
                found.extend(pieces.into_iter().map(|pieces| (due - FIRST, pieces)));
            }
            let body = metered.take_state().unwrap();
            let mut again = Metered::default();
            again.restore(&body);
            assert_eq!(again.saved, metered.saved);
            metered = again;
        }
        found
    }

    #[track_caller]
    fn check(points: &[(i64, Signal, f64)], expected: &[(i64, bool)]) {
        let found = found(points, 24 * 24);
        let told: Vec<_> = found.iter().map(|(hour, pieces)| (*hour, pieces.is_new)).collect();
        assert_eq!(told, expected, "{found:?}");
    }

    /// So many images at noon of each of these days.
    fn daily(days: std::ops::Range<i64>, images: f64) -> Vec<(i64, Signal, f64)> {
        days.map(|day| (day * 24 + 12, Signal::Images, images)).collect()
    }

    #[test]
    fn what_was_never_counted_is_found_for_a_day() {
        check(&daily(9..15, 50.0), &[(9 * 24 + 12, true)]);
        // Few; in the first week; and from the beginning.
        check(&daily(9..15, 10.0), &[]);
        check(&daily(3..20, 50.0), &[]);
        check(&[(200, Signal::TrainingHours, 1.5)], &[(200, true)]);
        check(&[(200, Signal::TrainingHours, 0.5)], &[]);
    }

    #[test]
    fn what_is_far_above_every_day_is_found() {
        let mut points = daily(0..20, 50.0);
        points.push((18 * 24 + 3, Signal::Images, 101.0));
        check(&points, &[(18 * 24 + 3, false)]);
        // A spread and a half above the middle; and no more than on another day.
        points.push((19 * 24 + 3, Signal::Images, 90.0));
        check(&points, &[(18 * 24 + 3, false)]);
        points.push((17 * 24 + 3, Signal::Images, 101.0));
        check(&points, &[(17 * 24 + 3, false)]);
    }

    #[test]
    fn a_point_counts_once_and_in_time() {
        let mut metered = Metered::default();
        let minute = FIRST * 60;
        let point = |value: f64| metric(Signal::Images, minute, value);
        let at = |minutes: i64| ArrivalTime((minute + minutes) * MINUTE_MS);
        assert_eq!(metered.take(&point(30.0), NONE, at(5)), Counted::Taken);
        assert_eq!(metered.take(&point(25.0), NONE, at(6)), Counted::Taken);
        assert_eq!(metered.take(&point(30.0), NONE, at(5)), Counted::Taken);
        assert_eq!(metered.take(&point(99.0), NONE, at(91)), Counted::TooLate);
        assert_eq!(metered.take(&point(99.0), NONE, at(25 * 60)), Counted::TooLate);
        // What deployments tell is part of it.
        assert_eq!(metered.take(&point(9.0), 3, at(5)), Counted::Taken);
        assert_eq!(metered.settle(FIRST), BTreeMap::from([(Piece::Images, 25_000)]));
        assert_eq!(metered.take(&point(9.0), 3, at(5)), Counted::Taken);
        assert_eq!(metered.take(&point(8.0), 4, at(5)), Counted::Taken);
        assert_eq!(metered.settle(FIRST), BTreeMap::from([(Piece::Images, 17_000)]));
    }

    /// What is found of units that were so full, when the other deployment of the model takes so many times
    /// its tokens in that hour.
    fn spilled(percent: f64, times: i64, models: [u32; 2]) -> Vec<Spill> {
        let hour = FIRST + 9 * 24;
        let mut series = Series::default();
        for each in FIRST..=hour {
            let input = if each == hour { 10_000 * times } else { 9_000 + each % 5 * 500 };
            let on_time = Amount { calls: 5, input, ..Amount::default() };
            let split = Split { on_time, late: Amount::default() };
            series.add(Slot::of_hour(each).start(), Caller::TOTAL, split);
        }
        let mut metered = Metered::default();
        for minute in 0..60 {
            let at = hour * 60 + minute;
            let point = metric(Signal::ProvisionedUtilization, at, percent);
            let counted = metered.take(&point, 2, ArrivalTime((at + 4) * MINUTE_MS));
            assert_eq!(counted, Counted::Taken);
        }
        let series = BTreeMap::from([(2, Series::default()), (3, series)]);
        let models = BTreeMap::from([(2, models[0]), (3, models[1])]);
        let profile = Some(table::profile(SPILL));
        let mut found = Vec::new();
        for each in hour..hour + 9 {
            assert_eq!(metered.close(each, None), []);
            let spills = metered.spills(each, (&series, &models), profile);
            assert!(spills.is_empty() || each == hour + LEARN_LAG_HOURS);
            found.extend(spills);
        }
        found
    }

    #[test]
    fn full_units_and_a_sister_that_takes_the_rest_are_a_spill() {
        let found = spilled(99.0, 3, [7, 7]);
        let told: Vec<_> = found.iter().map(|spill| (spill.units, spill.paid)).collect();
        assert_eq!(told, [(2, 3)]);
        assert_eq!(spilled(80.0, 3, [7, 7]), [], "there is room");
        assert_eq!(spilled(99.0, 1, [7, 7]), [], "as many tokens as ever");
        assert_eq!(spilled(99.0, 3, [7, 8]), [], "another model");
    }
}
