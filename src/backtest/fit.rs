//! Counts the pooled tails of the detector over labelled series: what `models/detection.csv` is made of.
//!
//! Every slot is judged as in a backtest. Of each part the largest scores of six hours are ranked, outside attacks
//! and what follows them, and the level of all parts together is the one whose false alerts come at the set
//! rate. Scores hang a little on the tails, because a slot that fires is not learnt: so this goes in rounds.

use super::draw::{Draw, Draws};
use super::run::Judged;
use super::score::attacks::{EPISODE_S, WEEK_S};
use super::score::{Exam, Moment, Moments};
use crate::detect::baseline::as_float;
use crate::detect::score::control::PER_DECADE;
use crate::detect::score::measure::{COMPONENTS, Component, Kind, Regime};
use crate::detect::score::{Points, ScoreSettings, Tails};

/// Fewest weeks of a kind of deployment: the score of once in 32 weeks is counted then, and that of once in
/// 100 is the largest.
const LEAST_WEEKS: f64 = 32.0;
/// Two points of a tail are at least so far apart, for a score to have one rate.
const APART: f64 = 0.01;
/// Points that may be missing, because most weeks reach no score at all: those of once in 1, 3.2 and 10 weeks.
const MAY_MISS: usize = 3;
/// Logarithms of rates between which the level is looked for, and how often the span is halved.
const LEVELS: (f64, f64) = (-8.0, 0.5);
const HALVINGS: u32 = 26;
/// Blocks of six hours in a week.
const WEEK_BLOCKS: i64 = 28;
/// Settings at which all parts together are counted one after the other, with how many of [`Tails::RATES`] each
/// gives: the more alerts, the more is spent. The draws are judged once for each.
const SETTINGS: [(f64, usize); 3] = [(0.1, POINTS), (0.316_227_766, 2), (1.0, 1)];
const POINTS: usize = Tails::RATES.len();
const REGIMES: usize = Regime::ALL.len();
const PARTS: usize = COMPONENTS.len();

/// Fits tails to draws.
#[derive(Debug, Clone, Copy)]
pub struct Fit<'a> {
    /// What is judged.
    pub draws: Draws<'a>,
    /// How often the tails of the parts are counted, at least once; then the level is.
    pub rounds: u32,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The tails before, with those rows replaced that the draws fill.
    pub tails: Tails,
    /// The kinds of deployments that were fitted, with their weeks.
    pub weeks: Vec<(Regime, f64)>,
}

/// Why nothing was fitted.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum FitError {
    /// The last points of a tail would be made up.
    #[error(
        "{weeks:.1} scored weeks of {regime} deployments are too few for a score reached once in 100 weeks: \
         {LEAST_WEEKS} are needed"
    )]
    TooFewWeeks {
        /// Of what kind of deployment.
        regime: &'static str,
        /// How many there are.
        weeks: f64,
    },
}

/// Scored seconds and largest scores, by kind of deployment.
struct Counted {
    seconds: [i64; REGIMES],
    largest: Vec<[Vec<f64>; REGIMES]>,
}

/// One scored slot.
struct Slot {
    /// Its series, and which six hours of it.
    block: (usize, i64),
    /// Its length.
    seconds: i64,
    regime: Regime,
    /// Scores by component; `None` in and after attacks.
    raws: Option<[f64; PARTS]>,
}

impl Fit<'_> {
    /// Replaces the rows of `tails` that these draws fill:
    ///
    /// - where it is known what new callers did, the part `fresh` alone;
    /// - where most deployments are bare, the rows of bare ones;
    /// - where most are younger than two weeks, the rows of new and of young ones, or of wild ones if these are more;
    /// - else the rows of busy and of idle ones.
    ///
    /// `progress` hears how many slots have been judged, of [`Fit::slots`].
    ///
    /// # Errors
    ///
    /// Too few weeks of a kind of deployment whose rows are to be filled.
    pub fn run(&self, mut tails: Tails, progress: &mut dyn FnMut(i64)) -> Result<Fitted, FitError> {
        let mut weeks = Vec::new();
        for round in 0..self.rounds.max(1) {
            let counted = self.count(&tails, &mut |judged| progress(self.before(round) + judged));
            weeks = counted.regimes()?;
            for (regime, weeks) in &weeks {
                self.set_parts(*regime, *weeks, &counted, &mut tails);
            }
        }
        if !self.knows_fresh() {
            let mut levels = Tails::RATES;
            for ((accepted, points), count) in SETTINGS.into_iter().zip(0..) {
                let judged = self.before(self.rounds.max(1) + count);
                let counted = self.level(&tails, accepted, &mut |more| progress(judged + more));
                let newer = levels.iter_mut().zip(counted).take(points);
                newer.for_each(|(level, counted)| *level = counted);
                levels = apart(levels.map(|level| -level)).map(|score| -score);
                weeks.iter().for_each(|(regime, _)| tails.set_level(*regime, levels));
            }
        }
        Ok(Fitted { tails, weeks })
    }

    /// Slots that [`Fit::run`] judges.
    #[must_use]
    pub fn slots(&self) -> i64 {
        let levels = if self.knows_fresh() { 0 } else { SETTINGS.len() };
        self.before(self.rounds.max(1).saturating_add(u32::try_from(levels).unwrap_or(u32::MAX)))
    }

    /// Slots that so many rounds judge.
    fn before(&self, rounds: u32) -> i64 {
        i64::from(rounds) * self.draws.slots()
    }

    fn knows_fresh(&self) -> bool {
        self.draws.all.iter().any(|draw| draw.track.knows_fresh())
    }

    /// Replaces the tails of the parts for one kind of deployment.
    fn set_parts(&self, regime: Regime, weeks: f64, counted: &Counted, tails: &mut Tails) {
        for (kind, largest) in COMPONENTS.iter().zip(&counted.largest) {
            if (kind.id == Component::Fresh) != self.knows_fresh() {
                continue;
            }
            let largest = largest.get(regime as usize).filter(|_| has_tail(kind, regime));
            tails.set(kind.id, regime, largest.and_then(|largest| points(largest, weeks)));
        }
    }

    /// Weeks, and the largest score of every six hours.
    fn count(&self, tails: &Tails, progress: &mut dyn FnMut(i64)) -> Counted {
        let keep = |draw: &Draw, judged: &Judged<'_>, end: i64| {
            let is_clear = draw.exam.is_clear(&judged.series.name, as_float(end));
            let seconds = judged.series.grid.slot_seconds;
            Some(Slot {
                block: (judged.place, (end - seconds - draw.span.0).div_euclid(EPISODE_S)),
                seconds,
                regime: judged.verdict.regime,
                raws: is_clear.then(|| raws(judged)),
            })
        };
        let mut counted = Counted::default();
        self.draws
            .judge((tails, ScoreSettings::default().alerts_per_week), keep, progress)
            .for_each(|(_, slots)| counted.add(&slots));
        counted
    }

    /// The rates of the rarest part at which all draws together alert as often as [`Tails::RATES`] say, where
    /// `accepted` alerts a week are set.
    fn level(&self, tails: &Tails, accepted: f64, progress: &mut dyn FnMut(i64)) -> Points {
        let keep = |_: &Draw, judged: &Judged<'_>, end: i64| {
            let (verdict, series) = (judged.verdict, &judged.series.name);
            // 1 is the level less what this deployment has spent: so what is fitted is the level at which the
            // set rate is kept with that thrift.
            let level = tails.level(verdict.regime, accepted.log10());
            let rate = level - (verdict.score() - 1.0) / PER_DECADE;
            (verdict.score() > 0.0).then(|| (series.clone(), as_float(end), -rate))
        };
        let exams = self.draws.judge((tails, accepted), keep, progress).map(|(draw, kept)| {
            let mut scores = Moments::new();
            for (series, at, score) in kept {
                scores.entry(series).or_default().push(Moment { at, score });
            }
            Exam { scores, ..draw.exam.clone() }
        });
        let exams: Vec<Exam> = exams.collect();
        let weeks: f64 = exams.iter().map(|exam| exam.weeks).sum();
        let alerts =
            |score: f64| -> u32 { exams.iter().map(|exam| exam.false_alerts_at(score)).sum() };
        let level = |rate: f64| {
            let wanted = weeks * 10_f64.powf(rate);
            let (mut low, mut high) = LEVELS;
            for _ in 0..HALVINGS {
                let middle = f64::midpoint(low, high);
                let too_many = f64::from(alerts(-middle)) > wanted;
                if too_many { high = middle } else { low = middle }
            }
            low
        };
        Tails::RATES.map(level)
    }
}

impl Default for Counted {
    fn default() -> Self {
        let largest = COMPONENTS.iter().map(|_| Default::default()).collect();
        Self { seconds: [0; REGIMES], largest }
    }
}

impl Counted {
    /// Adds the slots of a draw, series by series and each in order.
    fn add(&mut self, slots: &[Slot]) {
        for slot in slots {
            if let Some(seconds) = self.seconds.get_mut(slot.regime as usize) {
                *seconds += slot.seconds;
            }
        }
        for (component, (kind, by_regime)) in COMPONENTS.iter().zip(&mut self.largest).enumerate() {
            // What is alerted once in ten days is counted once a week.
            let blocks = if kind.id == Component::Raised { WEEK_BLOCKS } else { 1 };
            let block = |slot: &Slot| (slot.block.0, slot.block.1.div_euclid(blocks));
            for block in slots.chunk_by(|a, b| block(a) == block(b)) {
                for ((regime, _), largest) in Regime::ALL.into_iter().zip(&mut *by_regime) {
                    let of = block.iter().filter(|slot| slot.regime == regime);
                    let raws = of.filter_map(|slot| slot.raws.as_ref()?.get(component));
                    // No score above zero is no sign of anything, and has no rate.
                    let most = raws.copied().fold(0.0, f64::max);
                    largest.extend(Some(most).filter(|most| *most > 0.0));
                }
            }
        }
    }

    /// Kinds of deployments whose rows these series fill, with their weeks.
    fn regimes(&self) -> Result<Vec<(Regime, f64)>, FitError> {
        let [busy, idle, new, young, wild, bare] = Regime::ALL.map(|(regime, name)| {
            let seconds = self.seconds.get(regime as usize).copied().unwrap_or(0);
            (regime, name, as_float(seconds) / WEEK_S)
        });
        let (grown, crowds) = (busy.2 + idle.2, new.2 + young.2);
        let filled = if bare.2 > grown.max(crowds + wild.2) {
            vec![bare]
        } else if grown >= crowds + wild.2 {
            vec![busy, idle]
        } else if wild.2 > crowds {
            vec![wild]
        } else {
            vec![new, young]
        };
        let enough = |(regime, name, weeks): (Regime, &'static str, f64)| {
            if weeks < LEAST_WEEKS {
                return Err(FitError::TooFewWeeks { regime: name, weeks });
            }
            Ok((regime, weeks))
        };
        filled.into_iter().map(enough).collect()
    }
}

/// Scores of a slot by component; 0 of those that could not be judged.
fn raws(judged: &Judged<'_>) -> [f64; PARTS] {
    let mut raws = [0.0; PARTS];
    for part in &judged.verdict.parts {
        if let Some(raw) = raws.get_mut(part.component as usize) {
            // A part that looks through two windows counts with the larger.
            *raw = part.raw.max(*raw);
        }
    }
    raws
}

/// Whether a part is judged for this kind of deployment, and chance raises it where nothing is wrong.
const fn has_tail(kind: &Kind, regime: Regime) -> bool {
    let is_judged = match regime {
        // Where the level is followed slot by slot, the odds of a rise say what an hour of calls does.
        Regime::Busy | Regime::Idle => !matches!(kind.id, Component::CallsHour),
        // Nothing that looks for falls before the first weekend is known as one. With callers of an hour, and falls of
        // eight, fewer attacks were found.
        Regime::New => !matches!(
            kind.id,
            Component::CallersHour | Component::Drop | Component::OddsFall | Component::Silence
        ),
        Regime::Young => !matches!(kind.id, Component::CallersHour | Component::Drop),
        // Where one client may be all there is, no falls, for real ones go dark for days in their second week; no odds,
        // for how its level wanders is not known so early; and of calls one window, for with others fewer were found.
        Regime::Wild => !matches!(
            kind.id,
            Component::CallsSlot
                | Component::CallsHour
                | Component::MostCalls
                | Component::Drop
                | Component::OddsFall
                | Component::OddsRise
                | Component::Silence
        ),
        // One number says one thing. With the other windows as well, fewer of the labelled values were found.
        Regime::Bare => {
            matches!(kind.id, Component::Season | Component::MostCalls | Component::Fall)
        }
    };
    is_judged && !kind.is_certain()
}

/// The scores reached as often as [`Tails::RATES`] say in so many weeks; `None` where too few blocks had any.
fn points(largest: &[f64], weeks: f64) -> Option<Points> {
    let mut largest = largest.to_vec();
    largest.sort_by(|a, b| b.total_cmp(a));
    let found = Tails::RATES.map(|rate| reached(&largest, weeks * 10_f64.powf(rate)));
    let mut points = [APART; POINTS];
    for (place, (point, found)) in points.iter_mut().zip(found).enumerate() {
        match found {
            Some(score) => *point = score,
            None if place < MAY_MISS => {}
            None => return None,
        }
    }
    Some(apart(points))
}

/// The score that `count` values reach, of values from the largest on; the largest where `count` is less than
/// one, `None` where there are fewer.
fn reached(largest: &[f64], count: f64) -> Option<f64> {
    let mut ranks = (1_u32..).zip(largest);
    ranks.find(|(rank, _)| f64::from(*rank) + 1.0 > count).map(|(_, score)| *score)
}

/// Raises each point to stand above the one before.
fn apart(mut points: Points) -> Points {
    let mut least = f64::NEG_INFINITY;
    for point in &mut points {
        *point = point.max(least);
        least = *point + APART;
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_the_score_reached_so_often() {
        // 1,000 blocks in 100 weeks, of which 60 have a score: those of once in 3.2 weeks, 10, …
        let largest: Vec<f64> = (1..=60).map(|score| f64::from(score) / 10.0).collect();
        let [once, points @ ..] = points(&largest, 100.0).unwrap();
        // 100 are wanted once a week, and there are 60.
        assert!((once - APART).abs() < 1e-9);
        for (point, rank) in points.into_iter().zip([31, 10, 3, 1]) {
            assert!((point - f64::from(61 - rank) / 10.0).abs() < 1e-9, "{point} at {rank}");
        }
    }

    #[test]
    fn points_stand_apart_and_none_is_made_up() {
        let equal = points(&[2.0; 50], 100.0).unwrap();
        let expected = [APART, 2.0, 2.0 + APART, 2.0 + 2.0 * APART, 2.0 + 3.0 * APART];
        assert!(equal.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{equal:?}");
        assert_eq!(points(&[2.0; 2], 100.0), None, "three reach once in 32 weeks");
        assert_eq!(points(&[], 50.0), None);
    }
}
