//! Closing slots, looking ahead into open ones, and turning findings into incidents.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Env;
use super::account::{Account, Moment, Turn, closed_before};
use super::conduct;
use super::context::{self, People, Span};
use super::fleet::Group;
use super::newcomers::{self, Newcomers};
use crate::detect::newcomer::Newcomer;
use crate::detect::score::{self, Fleet, Part};
use crate::detect::series::{KEEP_SLOTS, SLOTS_PER_DAY, Series, Signal, Slot, values};
use crate::detect::{DETECTORS, Detector, Finding, Judge, Phase, STORIES, seasonal, statistic};
use crate::incident::tracker::{self, Cause, Changes, Hearing, Sighting, Tracked, Verdict, Weight};
use crate::incident::{Chart, Incident, State, respond};
use crate::money::NanoUsd;
use crate::time::{ArrivalTime, MINUTE_MS};

/// A jump of the watermark over more than this is not judged slot by slot.
pub(super) const MAX_CATCH_UP_DAYS: i64 = 60;

/// One deployment at one slot.
struct Scene<'a> {
    deployment: u32,
    slot: Slot,
    phase: Phase,
    moment: Moment,
    env: &'a Env,
    score: &'a score::Verdict,
    newcomer: Option<&'a Newcomer>,
}

/// Judges and learns every slot the watermark has closed, in order: slot by slot over all accounts of a
/// group, so that what fell in one slot is known before the next. Returns the first slot that the group
/// had not closed before.
pub(super) fn close(turns: &mut [Turn<'_>], group: &mut Group, env: &Env) -> Option<Slot> {
    let mut due: Vec<(&mut Turn<'_>, Range<i64>)> =
        turns.iter_mut().filter_map(|turn| due(turn.account, env).map(|due| (turn, due))).collect();
    let first = due.iter().map(|(_, slots)| slots.start).min()?;
    let mut news = None;
    let end = due.iter().map(|(_, slots)| slots.end).max().unwrap_or(first);
    for slot in (first..end).map(Slot) {
        let closed_at = ArrivalTime(slot.end().start().0 + env.settings.lateness_ms);
        let seen = due.iter().map(|(turn, _)| turn.moment.seen).min();
        let begun = group.begin(slot, seen.is_none_or(|seen| seen >= closed_at));
        news = news.or_else(|| begun.then_some(slot));
        let newcomers = newcomers::find(due.iter().map(|(turn, _)| &*turn.account), slot, env);
        for (turn, _) in due.iter_mut().filter(|(_, slots)| slots.contains(&slot.0)) {
            let moment = Moment { now: closed_at, ..turn.moment };
            let fleet = close_slot(turn, (slot, moment), (group, &newcomers), env);
            if begun {
                group.note(slot, &fleet);
            }
        }
    }
    for (turn, slots) in due {
        turn.account.judged_to = Some(Slot(slots.end));
    }
    news
}

/// The slots of an account that are to be closed now.
fn due(account: &Account, env: &Env) -> Option<Range<i64>> {
    let end = closed_before(account.watermark, env.settings.lateness_ms);
    let calls = || account.series.values().filter_map(Series::oldest_slot).min();
    let oldest = || calls().into_iter().chain(account.conduct.oldest_slot()).min();
    let first = account.judged_to.or_else(oldest).filter(|first| *first < end)?;
    Some(first.0.max(end.0 - MAX_CATCH_UP_DAYS * SLOTS_PER_DAY)..end.0)
}

impl Account {
    /// Drops the slots that steps before this one closed. Not at once: a step may span hours, and rules about
    /// calls and posture together judge at its end.
    pub(super) fn let_go(&mut self) {
        if self.let_go_to == self.judged_to {
            return;
        }
        self.let_go_to = self.judged_to;
        if let Some(closed) = self.judged_to.map(|end| Slot(end.0 - 1)) {
            self.series.values_mut().for_each(|series| series.let_go(closed));
        }
    }
}

/// Closes one slot of an account, and counts its deployments and those whose traffic has fallen.
fn close_slot(
    turn: &mut Turn<'_>,
    (slot, moment): (Slot, Moment),
    (group, newcomers): (&Group, &Newcomers),
    env: &Env,
) -> Fleet {
    let Turn { account, outcome, .. } = turn;
    let deployments: Vec<u32> = account.series.keys().copied().filter(|id| *id != 0).collect();
    let mut fleet = Fleet::default();
    for deployment in deployments {
        let Some(series) = account.series.get_mut(&deployment) else { continue };
        series.prepare(slot);
        let around = |rhythm| group.around(slot, rhythm);
        let score = series.close(slot, around, &env.settings.detect.score);
        fleet.hear(&score);
        if let Some(state) = series.take_state() {
            outcome.states.insert(deployment, state);
        }
        let phase = Phase::Closed;
        let newcomer = newcomers.get(&(account.id, deployment));
        let scene = Scene { deployment, slot, phase, moment, env, score: &score, newcomer };
        outcome.changes.extend(judge_closed(account, &scene));
        if let Some(series) = account.series.get_mut(&deployment) {
            series.forget(slot);
        }
    }
    outcome.changes.extend(conduct::close(account, slot, moment, env));
    // As of the slot it is due in, so that it does not depend on how far a step goes.
    outcome.effects.conduct = account.conduct.take_state().or(outcome.effects.conduct.take());
    outcome.changes.incidents.extend(account.learn_lessons());
    fleet
}

fn judge_closed(account: &mut Account, scene: &Scene<'_>) -> Changes {
    let mut changes = Changes::default();
    for detector in DETECTORS {
        let cause = cause_of(account, *detector, scene.deployment);
        match judge(account, *detector, scene) {
            Some(finding) => changes.extend(report(account, *detector, &finding, scene)),
            None => {
                redraw(account, &cause, scene);
                let enough = detector.profile().quiet_slots;
                changes.extend(account.tracker.quiet(&cause, enough, scene.moment.now));
            }
        }
        if account.tracker.open(&cause).is_some() {
            let excess =
                account.series.get(&scene.deployment).map(|s| excess(s, scene.slot, scene.slot));
            changes.extend(account.tracker.bank(&cause, excess.unwrap_or(0.0)));
        }
    }
    changes
}

/// Brings the chart of an open incident that found nothing new in this slot up to date: the mail that
/// says it is over shows how it ended.
fn redraw(account: &mut Account, cause: &Cause, scene: &Scene<'_>) {
    let Some(tracked) = account.tracker.open(cause) else { return };
    let Incident { first_window, last_window, chart: known, .. } = &tracked.incident;
    let Some(signal) = known.as_ref().and_then(|chart| Signal::of_unit(&chart.unit)) else {
        return;
    };
    let [first, end] = [first_window, last_window].map(|time| Slot::of(time.minute()));
    let span = Span { first, newest: Slot(end.0 - 1) };
    let chart = chart(account, Some(signal), scene, span);
    account.tracker.redraw(cause, chart);
}

/// Judges open slots that just grew: an upper bound once passed stays passed.
///
/// A band is used only once every hour it is made of has been learnt, that is when the watermark
/// has reached the hour of the slot; a constant ceiling may speak an hour earlier.
pub(super) fn look_ahead(
    account: &mut Account,
    touched: &BTreeSet<(Slot, u32)>,
    moment: Moment,
    env: &Env,
) -> Changes {
    let mut changes = Changes::default();
    let watermark_min = account.watermark.0.div_euclid(MINUTE_MS);
    for (slot, deployment) in touched {
        let open = account.judged_to.is_none_or(|judged_to| *slot >= judged_to);
        if !open || *deployment == 0 || slot.start().0 > watermark_min + 60 {
            continue;
        }
        let Some(series) = account.series.get_mut(deployment) else { continue };
        let mut score = score::Verdict::default();
        if slot.hour() * 60 <= watermark_min {
            series.prepare(*slot);
            score = series.peek(*slot, &env.settings.detect.score);
        }
        let (slot, deployment, phase) = (*slot, *deployment, Phase::Open);
        let newcomer = None;
        let scene = Scene { deployment, slot, phase, moment, env, score: &score, newcomer };
        for detector in DETECTORS {
            if let Some(finding) = judge(account, *detector, &scene) {
                changes.extend(report(account, *detector, &finding, &scene));
            }
        }
    }
    changes
}

fn judge(account: &Account, detector: &dyn Detector, scene: &Scene<'_>) -> Option<Finding> {
    let judge = Judge {
        settings: account.detect(scene.env),
        profile: scene.env.settings.tuning.of(&detector.profile().id, &account.resource)?,
        phase: scene.phase,
        verdict: scene.score,
        newcomer: scene.newcomer,
    };
    detector.judge(account.series.get(&scene.deployment)?, scene.slot, &judge)
}

fn cause_of(account: &Account, detector: &dyn Detector, deployment: u32) -> Cause {
    let scope = format!("{}/{}", account.name(), account.names.text(deployment));
    Cause { rule: &detector.profile().id, scope }
}

fn report(
    account: &mut Account,
    detector: &dyn Detector,
    finding: &Finding,
    scene: &Scene<'_>,
) -> Changes {
    let cause = cause_of(account, detector, scene.deployment);
    let known = account.tracker.open(&cause).map(|tracked| tracked.incident.last_window);
    if scene.phase == Phase::Open && known.is_some() {
        // Already told; the close of the slot brings the numbers up to date.
        return Changes::default();
    }
    // What was spent so far reaches into open slots, whose expectation a restart has forgotten.
    let begun = account.watermark.0.div_euclid(MINUTE_MS);
    if let Some(series) = account.series.get_mut(&scene.deployment)
        && let Some(newest) = series.newest_slot().filter(|newest| newest.hour() * 60 <= begun)
    {
        series.prepare(newest);
    }
    // As of the slot that is judged, so that severity and who tells whose story do not depend on how far was read.
    let span = Span { first: first_slot(account, &cause, scene.slot), newest: scene.slot };
    let Some(mut seen) = describe(account, (detector, &cause), finding, span, scene) else {
        return Changes::default();
    };
    seen.chart = chart(account, finding.signal, scene, span);
    let verdict = match scene.phase {
        Phase::Open => Verdict::Early,
        Phase::Closed => Verdict::Closing,
    };
    // A spike of the same deployment already tells the story of the ceiling; it only grows worse.
    let parent =
        teller(account, &cause, scene.deployment).filter(|_| detector.profile().about_cost);
    let hearing = if parent.is_some() { Hearing::Inhibited } else { Hearing::Announce };
    let sighting = Sighting { incident: seen, score: finding.score, verdict, hearing };
    let mut changes = Changes::default();
    if let Some(parent) = parent.as_ref().filter(|_| verdict == Verdict::Closing) {
        changes.extend(account.tracker.confirm(parent, &sighting));
    }
    changes.extend(account.tracker.found(&cause, sighting));
    if let Some(parent) = parent {
        changes.extend(account.tracker.link(&parent, &cause));
    }
    changes
}

/// The story that an incident of `cause` is part of: one told before it, or a surer one.
pub(super) fn teller(account: &Account, cause: &Cause, deployment: u32) -> Option<Cause> {
    let is_told = |cause: &Cause| account.tracker.open(cause).is_some_and(Tracked::is_told);
    let stories = || STORIES.iter().map(|story| cause_of(account, *story, deployment));
    let surer = stories().take_while(|story| story != cause);
    let later = stories().skip_while(|story| story != cause).skip(1);
    let later = later.filter(|_| !is_told(cause));
    surer.chain(later).find(is_told)
}

fn describe(
    account: &Account,
    (detector, cause): (&dyn Detector, &Cause),
    finding: &Finding,
    span: Span,
    scene: &Scene<'_>,
) -> Option<Incident> {
    let profile = scene.env.settings.tuning.of(&detector.profile().id, &account.resource)?;
    let series = account.series.get(&scene.deployment)?;
    let tracked = account.tracker.open(cause);
    let priced = series.trailing(scene.slot, span.slots().min(KEEP_SLOTS)).unpriced == 0;
    let newest = series.newest_slot().unwrap_or(scene.slot).max(scene.slot);
    let so_far = tracked.map_or(0.0, |t| t.banked_usd) + excess(series, scene.slot, newest);
    let per_day = per_day(series, scene.slot);
    let per_day = (priced && profile.about_cost).then(|| NanoUsd::from_usd(per_day));
    let deployment = account.names.text(scene.deployment).to_owned();
    let model = account.models.get(&scene.deployment).map(|model| account.names.text(*model));
    let weight = Weight {
        base: profile.severity,
        about_cost: profile.about_cost,
        per_day,
        confidence: finding.confidence,
    };
    let people = People { account, series, span, env: scene.env };
    let callers = people.culprits();
    let network = callers.first().map(|caller| caller.network.as_str()).filter(|n| !n.is_empty());
    let (first_call, first_arrival) = match span.first == scene.slot {
        true => context::first_call(account, scene.deployment, span.first, network),
        false => (None, None),
    };
    let mut evidence = finding.evidence.clone();
    if tracked.is_none() && profile.about_cost {
        evidence.extend(forecast(series, scene.slot, per_day));
    }
    Some(Incident {
        key: String::new(),
        rule: profile.id.clone(),
        rule_name: profile.name.clone(),
        account: account.name().to_owned(),
        resource_id: Some(account.resource.clone()),
        owner: scene.env.settings.owners.of(&account.resource, &deployment).map(|o| o.name.clone()),
        model: model.map(|model| model.split('@').next().unwrap_or_default().to_owned()),
        severity: tracker::severity(weight),
        state: State::Open,
        first_window: scene.slot.start().start(),
        last_window: scene.slot.end().start(),
        opened_at: scene.moment.now,
        resolved_at: None,
        observed: finding.observed,
        expected: finding.expected,
        bound: finding.bound,
        unit: finding.unit.clone(),
        cost: (priced && profile.about_cost).then(|| NanoUsd::from_usd(so_far)),
        cost_per_day: per_day,
        callers_before: if tracked.is_none() { people.before() } else { Vec::new() },
        callers,
        first_call,
        first_arrival,
        evidence,
        response: if profile.id == statistic::SILENCE.profile().id {
            respond::look_for_silence(&account.resource)
        } else {
            respond::stop_spending(&account.resource, &deployment)
        },
        deployment: Some(deployment),
        confidence: finding.confidence,
        delay_azure_s: account.delay_ms.map(|ms| ms.div_euclid(1000)),
        ..Incident::default()
    })
}

/// First anomalous slot of the incident of `cause` of which `slot` is one; one that was told early may have begun
/// after it.
fn first_slot(account: &Account, cause: &Cause, slot: Slot) -> Slot {
    let known = account.tracker.open(cause).map(|open| open.incident.first_window.minute());
    known.map_or(slot, Slot::of).min(slot)
}

/// What an incident's chart shows of `span` at this moment.
fn chart(
    account: &mut Account,
    signal: Option<Signal>,
    scene: &Scene<'_>,
    span: Span,
) -> Option<Chart> {
    let series = account.series.get_mut(&scene.deployment)?;
    let signal = signal?;
    Some(context::chart(series, signal, scene.slot, span, band(scene.score, signal)))
}

/// How many times what is expected the band of `signal` ends at; that of calls where it has none of its own.
fn band(score: &score::Verdict, signal: Signal) -> Option<f64> {
    let of = |part| score.parts.iter().find(|scored| scored.part == part);
    let own = match signal {
        Signal::Tokens | Signal::Cost => of(Part::MostTokens),
        Signal::Calls => None,
    };
    let ratios = [of(Part::Calls), own].into_iter().flatten();
    let mut ratios = ratios.map(|scored| scored.high / scored.expected);
    ratios.find(|ratio| ratio.is_finite())
}

/// USD above what was expected in the slots `from..=to`, never negative.
fn excess(series: &Series, from: Slot, to: Slot) -> f64 {
    let slots = (from.0..=to.0).map(|slot| {
        let [_, seen, _] = values(series.slot(Slot(slot)));
        seen - series.expected(Slot(slot)).map_or(0.0, |[_, usd, _]| usd)
    });
    slots.sum::<f64>().max(0.0)
}

/// USD a day if the excess of the last quarter of an hour goes on.
fn per_day(series: &Series, slot: Slot) -> f64 {
    excess(series, Slot(slot.0 - 2), slot) * 96.0
}

fn forecast(series: &Series, slot: Slot, per_day: Option<NanoUsd>) -> Option<String> {
    let usual = seasonal::forecast_day(series, slot, Signal::Cost)?;
    let usual = NanoUsd::from_usd(usual);
    Some(match per_day {
        Some(extra) => format!(
            "these 24 hours were forecast to cost {usual}; at this pace they cost {extra} more"
        ),
        None => format!("these 24 hours were forecast to cost {usual}"),
    })
}
