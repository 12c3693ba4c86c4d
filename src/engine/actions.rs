//! What people do about incidents, applied in the step; and what the baseline makes of it.

use super::Engine;
use super::account::Account;
use super::effects::Effects;
use crate::action::{Action, Answer};
use crate::aggregate::names::NameKind;
use crate::detect::lesson::Lesson;
use crate::detect::series::{SLOTS_PER_HOUR, Series, Slot, Values, values};
use crate::incident::Incident;
use crate::incident::tracker::{Cause, Changes, Tracked};
use crate::time::{ArrivalTime, HOUR_MS};

/// Lessons of one deployment that its baseline heeds; the newest count.
const MAX_LESSONS: usize = 32;

impl Engine {
    /// Applies actions on incidents in their order, `now` by our own clock; those on silences are not for
    /// the engine.
    pub(super) fn act(
        &mut self,
        actions: &[Action],
        now: Option<ArrivalTime>,
        effects: &mut Effects,
    ) {
        for action in actions {
            if let Some(outcome) = self.respond(action, now, effects) {
                effects.answers.push(Answer { action: action.id, outcome });
                continue;
            }
            let Some(key) = action.deed.incident() else { continue };
            let mut accounts = self.accounts.values_mut();
            let acted = accounts.find_map(|account| account.act(action));
            let outcome = match acted {
                Some((account, mut changes, outcome)) => {
                    let saved = effects.accounts.entry(account).or_default();
                    saved.incidents.append(&mut changes.incidents);
                    effects.take(changes);
                    outcome
                }
                None => match self.estate.act(action) {
                    Some((changes, outcome)) => {
                        effects.take(changes);
                        outcome
                    }
                    None => Err(format!("no incident {key} that can still be changed")),
                },
            };
            effects.answers.push(Answer { action: action.id, outcome });
        }
    }
}

impl Account {
    /// Does what a person asks of one of the account's incidents; `None` when it is not its.
    fn act(&mut self, action: &Action) -> Option<(u32, Changes, Result<String, String>)> {
        let (mut changes, outcome) = self.tracker.act(action)?;
        changes.incidents.extend(self.learn_lessons());
        Some((self.id, changes, outcome))
    }

    /// Works out what feedback means for the baselines, and gives each deployment its lessons.
    pub(super) fn learn_lessons(&mut self) -> Vec<(Cause, Tracked)> {
        // Expectations are computed an hour ahead of what is judged, so the first that nobody has
        // read is two further on.
        let Some(judged) = self.judged_to.filter(|_| self.tracker.is_judged()) else {
            return Vec::new();
        };
        let mut changed = Vec::new();
        for series in self.series.values_mut() {
            series.lessons.clear();
        }
        for (cause, tracked) in self.tracker.lessons() {
            let incident = &tracked.incident;
            let deployment = incident
                .deployment
                .as_deref()
                .and_then(|name| self.names.known(NameKind::Deployment, name));
            let Some(series) = deployment.and_then(|number| self.series.get_mut(&number)) else {
                continue;
            };
            let (first, last) = span(incident);
            let Some(feedback) = incident.feedback else { continue };
            let known = incident.lesson.filter(|lesson| lesson.feedback == feedback);
            let lesson = known.unwrap_or_else(|| Lesson {
                feedback,
                from: first,
                until: last,
                known_from: judged.hour() + 3,
                level: level(series, (first, last), judged),
            });
            let lesson = Lesson { from: first, until: last, ..lesson };
            if incident.lesson != Some(lesson) {
                tracked.incident.lesson = Some(lesson);
                changed.push((cause.clone(), tracked.clone()));
            }
            series.lessons.push(lesson);
        }
        for series in self.series.values_mut() {
            series.lessons.sort_by_key(|lesson| (lesson.known_from, lesson.from));
            let surplus = series.lessons.len().saturating_sub(MAX_LESSONS);
            series.lessons.drain(..surplus);
        }
        changed
    }
}

/// Hours over which an accepted level is measured; the newest of the span.
const LEVEL_HOURS: i64 = 24;

/// How the level of the hours `first..last` differs from what was expected of them, as far as they
/// are closed and anything was expected.
fn level(series: &mut Series, (first, last): (i64, i64), judged: Slot) -> Values {
    let mut sums: Option<[Values; 2]> = None;
    for hour in first.max(last - LEVEL_HOURS)..last {
        let begin = Slot(hour * SLOTS_PER_HOUR);
        let closed = (judged.0 - begin.0).clamp(0, SLOTS_PER_HOUR);
        if closed == 0 {
            continue;
        }
        series.prepare(begin);
        let newest = Slot(begin.0 + closed - 1);
        let Some(expected) = series.expected_trailing(newest, closed) else { continue };
        // Slots are kept for some hours only, whole hours for weeks.
        let observed = if closed == SLOTS_PER_HOUR {
            series.hour(hour)
        } else {
            values(series.trailing(newest, closed))
        };
        let [seen, usual] = sums.unwrap_or_default();
        sums = Some([plus(seen, observed), plus(usual, expected)]);
    }
    sums.map_or([1.0; 3], |[seen, usual]| Lesson::level(seen, usual))
}

fn plus(a: Values, b: Values) -> Values {
    let of = |values: &Values, signal: usize| values.get(signal).copied().unwrap_or(0.0);
    std::array::from_fn(|signal| of(&a, signal) + of(&b, signal))
}

/// The hours of an incident's anomalous windows, the end exclusive.
fn span(incident: &Incident) -> (i64, i64) {
    let first = incident.first_window.0.div_euclid(HOUR_MS);
    let last = (incident.last_window.0 - 1).div_euclid(HOUR_MS) + 1;
    (first, last.max(first + 1))
}
