//! What each part of the score is worth: what is lost without it, at as many false alerts.
//!
//! The draws are judged once for each rate. Of every slot the scores of its parts are kept as if the deployment had spent
//! nothing yet. Then one part after the other is left out: what is spent is counted anew by the parts that are left, and
//! the threshold is moved until all draws together have as many false alerts a week as are accepted. Slots are not
//! learnt anew, though one that a part alone fires at would have been learnt without it.

use std::collections::BTreeMap;

use super::draw::{Draw, Draws};
use super::run::Judged;
use super::score::{Exam, Marks, Moment, Moments};
use crate::detect::baseline::as_float;
use crate::detect::score::Tails;
use crate::detect::score::control::{Control, PER_DECADE};
use crate::detect::score::measure::{COMPONENTS, Component, Kind};
use crate::detect::score::verdict::Verdict;

/// Lowest score of a part that is kept, and the thresholds between which that with the accepted false alerts is looked
/// for: from twenty times as many to a hundred times fewer than are set.
const THRESHOLDS: (f64, f64) = (0.35, 2.0);
/// How often that span is halved: to a hundredth of a decade.
const HALVINGS: u32 = 10;

/// Judges without one part after the other.
#[derive(Debug, Clone, Copy)]
pub struct Ablation<'a> {
    /// What is judged.
    pub draws: Draws<'a>,
    /// How rare scores are.
    pub tails: &'a Tails,
    /// False alerts accepted per deployment and week, of which each is looked at.
    pub accepted: &'a [f64],
}

/// What is found without a part.
#[derive(Debug, Clone)]
pub struct Without {
    /// Which; `None` with all of them.
    pub part: Option<&'static Kind>,
    /// How good the alerts of the others are, at each accepted rate.
    pub marks: Vec<Marks>,
}

/// A slot of which some part stood out.
struct Slot {
    /// Its end and its length in seconds.
    end: i64,
    seconds: i64,
    /// Scores, the highest of each component.
    scores: Vec<(Component, f64)>,
}

/// Slots that stood out, by series; names of series begin with the place of their draw.
type Slots = BTreeMap<String, Vec<Slot>>;

impl Ablation<'_> {
    /// First with all parts, then without each of those that ever stood out. `progress` hears how many slots have been
    /// judged, of [`Ablation::slots`].
    pub fn run(&self, progress: &mut dyn FnMut(i64)) -> Vec<Without> {
        let mut before = 0;
        let judged = self.accepted.iter().map(|accepted| {
            let judged = self.judge(*accepted, &mut |slots| progress(before + slots));
            before += self.draws.slots();
            (*accepted, judged)
        });
        let judged: Vec<(f64, (Exam, Slots))> = judged.collect();
        let stood_out = |kind: &&Kind| {
            let slots = judged.iter().flat_map(|(_, (_, slots))| slots.values().flatten());
            let mut scores = slots.flat_map(|slot| &slot.scores);
            scores.any(|(component, _)| *component == kind.id)
        };
        let parts = COMPONENTS.iter().filter(stood_out).map(Some);
        let without = |part: Option<&'static Kind>| {
            let marks = judged.iter().map(|(accepted, (exam, slots))| {
                marks(*accepted, exam, slots, part.map(|kind| kind.id))
            });
            Without { part, marks: marks.collect() }
        };
        [None].into_iter().chain(parts).map(without).collect()
    }

    /// Slots that [`Ablation::run`] judges.
    #[must_use]
    pub fn slots(&self) -> i64 {
        self.draws.slots().saturating_mul(i64::try_from(self.accepted.len()).unwrap_or(i64::MAX))
    }

    /// What was injected into all draws, and what stood out.
    fn judge(&self, accepted: f64, progress: &mut dyn FnMut(i64)) -> (Exam, Slots) {
        let keep = |_: &Draw, judged: &Judged<'_>, end: i64| {
            let scores = self.scores(judged.verdict, accepted);
            let seconds = judged.series.grid.slot_seconds;
            let slot = Slot { end, seconds, scores };
            (!slot.scores.is_empty()).then(|| (judged.series.name.clone(), slot))
        };
        let (mut exam, mut slots) = (Exam::default(), Slots::new());
        let judged = self.draws.judge((self.tails, accepted), keep, progress);
        for (place, (draw, kept)) in judged.enumerate() {
            let name = |series: &str| format!("{place}/{series}");
            exam.add(&draw.exam, name);
            for (series, slot) in kept {
                slots.entry(name(&series)).or_default().push(slot);
            }
        }
        (exam, slots)
    }

    /// Scores of the parts as if nothing had been spent.
    fn scores(&self, verdict: &Verdict, accepted: f64) -> Vec<(Component, f64)> {
        let level = self.tails.level(verdict.regime, accepted.log10());
        let mut scores: Vec<(Component, f64)> = Vec::new();
        // The highest comes first, so of a part with two windows the second is left.
        for part in &verdict.parts {
            let Some(kind) = COMPONENTS.iter().find(|kind| kind.id == part.component) else {
                continue;
            };
            let level = level + kind.share(verdict.regime);
            let score = 1.0 + PER_DECADE * (level - part.rate);
            let is_new = scores.iter().all(|(known, _)| *known != part.component);
            if is_new && score >= THRESHOLDS.0 {
                scores.push((part.component, score));
            }
        }
        scores
    }
}

/// How good the alerts are without a part, at the accepted rate of false ones.
fn marks(accepted: f64, exam: &Exam, slots: &Slots, without: Option<Component>) -> Marks {
    let at = |threshold| Exam { scores: alerts(slots, without, threshold), ..exam.clone() };
    let (mut low, mut high) = THRESHOLDS;
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        let false_alerts = f64::from(at(middle).false_alerts_at(1.0));
        if false_alerts > accepted * exam.weeks { low = middle } else { high = middle }
    }
    at(high).at(1.0)
}

/// Alerts without a part, where scores of `threshold` fire, less what each deployment has spent.
fn alerts(slots: &Slots, without: Option<Component>, threshold: f64) -> Moments {
    let of_series = |slots: &Vec<Slot>| {
        let (mut control, mut until) = (Control::default(), None);
        let fired = slots.iter().filter_map(|slot| {
            let start = slot.end - slot.seconds;
            control.close(start - until.unwrap_or(start), false);
            until = Some(slot.end);
            let others = slot.scores.iter().filter(|(component, _)| Some(*component) != without);
            let most = others.map(|(_, score)| *score).fold(0.0, f64::max);
            let fires = most + PER_DECADE * control.share() >= threshold;
            control.close(slot.seconds, fires);
            fires.then(|| Moment { at: as_float(slot.end), score: 1.0 })
        });
        fired.collect()
    };
    slots.iter().map(|(series, slots)| (series.clone(), of_series(slots))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backtest::score::Event;

    const HOUR: i64 = 3600;

    /// One deployment of ten weeks with an attack that `calls` and one that `size` alone tells, and a false alert of
    /// `calls` that stands out more than either.
    fn exam() -> (Exam, Slots) {
        let event = |hour: i64, kind: &str| Event {
            start: as_float(hour * HOUR),
            end: as_float((hour + 2) * HOUR),
            kind: kind.to_owned(),
            attack: true,
        };
        let mut exam = Exam::default();
        let events = vec![event(400, "loop"), event(800, "wallet")];
        let of_draw = Exam {
            events: BTreeMap::from([("one".to_owned(), events)]),
            span: (0.0, 10.0 * 604_800.0),
            weeks: 10.0,
            ..Exam::default()
        };
        exam.add(&of_draw, |series| format!("0/{series}"));
        let slot = |hour: i64, component, score| Slot {
            end: (hour + 1) * HOUR,
            seconds: HOUR,
            scores: vec![(component, score)],
        };
        let slots = vec![
            slot(100, Component::CallsSlot, 1.6),
            slot(400, Component::CallsSlot, 1.5),
            slot(800, Component::Size, 1.2),
        ];
        (exam, Slots::from([("0/one".to_owned(), slots)]))
    }

    #[test]
    fn what_a_part_alone_tells_is_lost_without_it() {
        let (exam, slots) = exam();
        let found = |without| {
            let marks = marks(0.1, &exam, &slots, without);
            (marks.kinds["loop"].detected, marks.kinds["wallet"].detected, marks.false_alerts)
        };
        assert_eq!(found(None), (1, 1, 1));
        assert_eq!(found(Some(Component::CallsSlot)), (0, 1, 0));
        assert_eq!(found(Some(Component::Size)), (1, 0, 1));
        assert_eq!(found(Some(Component::Drop)), (1, 1, 1));
    }

    #[test]
    fn fewer_false_alerts_are_bought_by_a_higher_threshold() {
        let (exam, slots) = exam();
        let marks = marks(0.05, &exam, &slots, None);
        assert_eq!((marks.detected, marks.false_alerts), (0, 0), "the false alert stands out most");
    }

    #[test]
    fn what_is_spent_is_counted_anew() {
        let (_, slots) = exam();
        let at = |without, threshold| -> Vec<f64> {
            alerts(&slots, without, threshold)["0/one"].iter().map(|alert| alert.at).collect()
        };
        let hours = |hours: &[i64]| -> Vec<f64> {
            hours.iter().map(|hour| as_float((hour + 1) * HOUR)).collect()
        };
        // Two alerts before it have taken a quarter of a decade's score each, and half of that is forgiven.
        assert_eq!(at(None, 1.05), hours(&[100, 400, 800]));
        assert_eq!(at(None, 1.1), hours(&[100, 400]));
        assert_eq!(at(Some(Component::CallsSlot), 1.1), hours(&[800]));
    }
}
