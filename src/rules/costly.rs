//! TW-P02: a deployment of a model among the dearest of the estate, or of one that has no price.

use super::act::Act;
use super::{Scene, Verdict, account_of, command, name_of};
use crate::event::control::{Changed, DeploymentState, Target, Verb};
use crate::price::PriceBook;
use crate::price::amount::Price;
use crate::price::meter::Meter;
use crate::time::EventTime;

const RULE: &str = "TW-P02";

/// The dearer of what a token asked and a token answered costs by list, in 10⁻¹² USD; `None` where the list
/// has no price in USD for it, and for capacity that is paid by the hour.
#[must_use]
pub fn per_token(
    book: &PriceBook,
    resource: &str,
    state: &DeploymentState,
    at: EventTime,
) -> Option<i64> {
    if is_by_the_hour(state) {
        return None;
    }
    let account = account_of(resource).unwrap_or(resource);
    let model = format!("{}@{}", state.model, state.version);
    let rates = book.rates(account, name_of(resource), &model);
    let prices = [Meter::Input, Meter::Output].into_iter().filter_map(|meter| {
        let held = rates.held(meter, 0, at).ok()?;
        held.entry.price(meter).filter(|_| held.entry.currency == "USD")
    });
    prices.map(Price::pico).max()
}

/// Whether a deployment is paid for whether it is used or not.
#[must_use]
pub fn is_by_the_hour(state: &DeploymentState) -> bool {
    state.sku.to_lowercase().contains("provisioned")
}

/// A model was deployed that was not before.
fn deployed<'a>(scene: &Scene<'a>) -> Option<&'a DeploymentState> {
    let is_write = scene.act.did(Target::Deployment, Verb::Write);
    let Some(Changed::Deployment(after)) = scene.act.sets().filter(|_| is_write) else {
        return None;
    };
    let known = scene.memory.state(&scene.act.resource).map(|state| &state.to);
    let is_same = matches!(known, Some(Changed::Deployment(before))
        if before.model.is_empty() || before.model == after.model);
    (!after.model.is_empty() && !is_same && !is_by_the_hour(after)).then_some(after)
}

/// TW-P02.
pub(super) fn costly_model(scene: &Scene<'_>) -> Option<Verdict> {
    let act = scene.act;
    if act.did(Target::Deployment, Verb::Delete) {
        let (scope, why) = (act.resource.clone(), "it was deleted".to_owned());
        return Some(Verdict::Clear { rule: RULE, scope, why });
    }
    let after = deployed(scene)?;
    let whose = format!("deployment {} serves {}", name_of(&act.resource), after.model);
    let Some(price) = per_token(scene.book, &act.resource, after, act.at) else {
        let fact = format!("{whose}, which has no price in the list: what it costs nobody knows");
        return raise(scene, act, fact, 0.6);
    };
    let peers = scene.memory.deployments().filter(|(id, _)| *id != act.resource);
    let prices: Vec<i64> =
        peers.filter_map(|(id, state)| per_token(scene.book, id, state, act.at)).collect();
    let cheaper = prices.iter().filter(|other| **other < price).count();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand deployments at most")]
    let (cheaper, all) = (cheaper as f64, prices.len() as f64);
    if all < scene.threshold(RULE, "peers") || cheaper < scene.threshold(RULE, "percentile") * all {
        return None;
    }
    // 10⁻¹² USD a token is 10⁻⁶ USD a million.
    let (usd, rest) = (price / 1_000_000, price.rem_euclid(1_000_000) / 10_000);
    let fact = format!(
        "{whose} at up to ${usd}.{rest:02} per million tokens, more than {cheaper} of the {all} other deployments known"
    );
    raise(scene, act, fact, 0.9)
}

fn raise(scene: &Scene<'_>, act: &Act, fact: String, confidence: f64) -> Option<Verdict> {
    let mut alarm = scene.alarm(RULE, &act.resource, fact);
    alarm.confidence = confidence;
    alarm
        .with("Prices are those of the list; what was agreed may be less")
        .step("Shows the deployments of the account.", command::show_deployments(&act.resource))
        .step("Takes it away, once you know that nobody needs it.", command::delete(&act.resource))
        .raise(", or as soon as it is deleted")
}
