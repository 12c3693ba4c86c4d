//! What metrics count by the piece, as incidents of the account.

use std::collections::BTreeMap;

use super::account::{Account, Moment};
use super::effects::Effects;
use super::{Engine, Env, watch};
use crate::aggregate::names::{self, NameKind};
use crate::detect::metered::{
    Counted, JUDGED_AFTER_MS, Metered, PIECES, Pieces, RULES, SPILL, Spill, is_counted,
};
use crate::detect::table::{self, Profile};
use crate::event::account_of;
use crate::event::signal::Metric;
use crate::incident::tracker::{self, Cause, Changes, Hearing, Sighting, Verdict, Weight};
use crate::incident::{Incident, State, respond};
use crate::money::{Grouped, NanoUsd};
use crate::time::{ArrivalTime, EventTime, HOUR_MS};

impl Engine {
    /// Counts a point of a metric for its account.
    pub(super) fn meter(&mut self, metric: &Metric, enqueued: ArrivalTime, effects: &mut Effects) {
        let Some(resource) = account_of(&metric.resource) else { return };
        if self.number_of(resource, effects).is_none() {
            return;
        }
        let Some(account) = self.accounts.get_mut(resource) else { return };
        let deployment = if is_counted(metric.signal) {
            account.names.number(NameKind::Deployment, &metric.deployment)
        } else {
            names::NONE
        };
        let counted = match deployment {
            names::OTHER => Counted::TooMany,
            deployment => account.metered.take(metric, deployment, enqueued),
        };
        let counter = match counted {
            Counted::Taken => return,
            Counted::TooLate => "metered_points_too_late",
            Counted::TooMany => "metered_points_too_many",
        };
        *effects.counters.entry(counter).or_default() += 1;
    }
}

/// Judges every hour whose points have all been read, in order.
pub(super) fn close(account: &mut Account, moment: Moment, env: &Env) -> Changes {
    let mut changes = Changes::default();
    let mut metered = std::mem::take(&mut account.metered);
    for hour in metered.due(moment.linked) {
        changes.extend(close_hour(account, &mut metered, hour, env));
    }
    account.metered = metered;
    changes
}

fn close_hour(account: &mut Account, metered: &mut Metered, hour: i64, env: &Env) -> Changes {
    let at = ArrivalTime((hour + 1) * HOUR_MS + JUDGED_AFTER_MS);
    let resource = account.resource.clone();
    let profile = |id: &str| env.settings.tuning.of(id, &resource);
    let mut seen: BTreeMap<Cause, (Sighting, Option<u32>)> = BTreeMap::new();
    for pieces in metered.close(hour, profile(PIECES)) {
        let scope = format!("{}/{}", account.name(), pieces.piece.words().0);
        let sighting = of_pieces(account, &pieces, (hour, at), profile(PIECES), env);
        seen.insert(Cause { rule: PIECES, scope }, (sighting, None));
    }
    let sums = (&account.series, &account.models);
    for spill in metered.spills(hour, sums, profile(SPILL)) {
        let scope = format!("{}/{}", account.name(), account.names.text(spill.paid));
        let sighting = of_spill(account, &spill, at, profile(SPILL), env);
        seen.insert(Cause { rule: SPILL, scope }, (sighting, Some(spill.paid)));
    }
    let mut changes = Changes::default();
    let open = account.tracker.all_open().map(|(cause, _)| cause);
    let over: Vec<Cause> = open
        .filter(|cause| RULES.contains(&cause.rule) && !seen.contains_key(cause))
        .cloned()
        .collect();
    for cause in over {
        let enough = table::profile(cause.rule).quiet_slots;
        changes.extend(account.tracker.quiet(&cause, enough, at));
    }
    for (cause, (sighting, deployment)) in seen {
        // What a story tells of the same deployment is part of it.
        let story = deployment.and_then(|paid| watch::teller(account, &cause, paid));
        let hearing = if story.is_some() { Hearing::Inhibited } else { Hearing::Announce };
        changes.extend(account.tracker.found(&cause, Sighting { hearing, ..sighting }));
        if let Some(story) = story {
            changes.extend(account.tracker.link(&story, &cause));
        }
    }
    changes
}

/// An incident of an hour, without its numbers.
fn of_hour(
    account: &Account,
    profile: &Profile,
    (hour, at): (i64, ArrivalTime),
    per_day: Option<NanoUsd>,
    confidence: f64,
) -> Incident {
    Incident {
        rule: profile.id.clone(),
        rule_name: profile.name.clone(),
        account: account.name().to_owned(),
        resource_id: Some(account.resource.clone()),
        severity: tracker::severity(Weight {
            base: profile.severity,
            about_cost: profile.about_cost,
            per_day,
            confidence,
        }),
        state: State::Open,
        first_window: EventTime(hour * HOUR_MS),
        last_window: EventTime((hour + 1) * HOUR_MS),
        opened_at: at,
        cost_per_day: per_day,
        confidence,
        ..Incident::default()
    }
}

fn of_pieces(
    account: &Account,
    pieces: &Pieces,
    (hour, at): (i64, ArrivalTime),
    profile: Option<&Profile>,
    env: &Env,
) -> Sighting {
    let &Pieces { piece, observed, expected, bound, is_new } = pieces;
    let profile = profile.unwrap_or_else(|| table::profile(PIECES));
    let (noun, _) = piece.words();
    let what = if is_new {
        format!("{} {noun} within an hour, and none before on this account", shown(observed))
    } else {
        format!(
            "{} {noun} within an hour; the most of a day is about {}, and the most that is normal {}",
            shown(observed),
            shown(expected),
            shown(bound),
        )
    };
    let mut response = respond::look_at_quota(&account.resource, None);
    response.extend(respond::stop_keys(&account.resource));
    let confidence = if is_new { 0.6 } else { 0.7 };
    let incident = Incident {
        owner: env.settings.owners.of(&account.resource, "").map(|owner| owner.name.clone()),
        observed,
        expected,
        bound,
        unit: format!("{noun} in 1 h"),
        evidence: vec![what],
        response,
        ..of_hour(account, profile, (hour, at), None, confidence)
    };
    sighting(incident)
}

fn of_spill(
    account: &Account,
    spill: &Spill,
    at: ArrivalTime,
    profile: Option<&Profile>,
    env: &Env,
) -> Sighting {
    let &Spill { hour, units, paid, utilization, observed, expected, bound } = spill;
    let profile = profile.unwrap_or_else(|| table::profile(SPILL));
    let [units, deployment] = [units, paid].map(|number| account.names.text(number).to_owned());
    let cost = account.series.get(&paid).map_or(0.0, |series| {
        let [_, usd, _] = series.hour(hour);
        usd * 24.0 * (1.0 - expected / observed.max(1.0)).max(0.0)
    });
    let per_day = (cost > 0.0).then(|| NanoUsd::from_usd(cost));
    let model = account.models.get(&paid).map(|model| account.names.text(*model));
    let incident = Incident {
        owner: env.settings.owners.of(&account.resource, &deployment).map(|o| o.name.clone()),
        model: model.map(|model| model.split('@').next().unwrap_or_default().to_owned()),
        observed,
        expected,
        bound,
        unit: "tokens in 1 h".to_owned(),
        evidence: vec![format!(
            "the units of {units} were {:.0} % full for an hour, in which {deployment}, which serves the \
             same model and is paid by the token, took {} tokens where about {} were expected",
            100.0 * utilization,
            shown(observed),
            shown(expected),
        )],
        response: respond::look_at_quota(&account.resource, Some(&units)),
        deployment: Some(deployment),
        ..of_hour(account, profile, (hour, at), per_day, 0.7)
    };
    sighting(incident)
}

fn sighting(incident: Incident) -> Sighting {
    let score = if incident.bound > 0.0 { incident.observed / incident.bound } else { 1.0 };
    Sighting { incident, score, verdict: Verdict::Closing, hearing: Hearing::Announce }
}

/// A count for people.
#[expect(clippy::cast_possible_truncation, reason = "shown to people; saturates")]
fn shown(value: f64) -> String {
    if value < 10.0 && value.fract() != 0.0 {
        format!("{value:.1}")
    } else {
        Grouped(value.round() as i64).to_string()
    }
}
