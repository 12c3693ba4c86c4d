//! What is told by others than calls and single operations: the inventory, lists of what may be made, prices,
//! and Defender.

use serde_json::json;

use super::super::record::seven_digits;
use super::keys::REGENERATE;
use super::stage::{DEPLOY, LIST_KEYS, Stage, WRITE};
use super::{Need, Play};
use crate::event::control::{AccountState, Changed, Target};
use crate::event::inventory::{Found, Snapshot};
use crate::time::{DAY_MS, EventTime, HOUR_MS, MINUTE_MS};

/// Regions in which the plays' accounts may be made.
pub const REGIONS: [&str; 2] = ["eastus2", "swedencentral"];

pub(super) const PLAYS: &[Play] = &[
    Play::of_acts(
        "tw-k05",
        "an account is found whose keys are older than three months",
        &["TW-K05"],
        "one was made anew within the last days",
        old_keys,
    )
    .after(9),
    Play::of_acts(
        "tw-p01",
        "an account is made in a region where none may be",
        &["TW-P01"],
        "it is made in one of the regions",
        elsewhere,
    )
    .needing(&[Need::Regions]),
    Play::of_acts(
        "tw-p02",
        "the dearest of a dozen models is deployed",
        &["TW-P02"],
        "it is one of the cheap ones",
        dear_model,
    ),
    Play::of_calls(
        "tw-x04",
        "keys are listed by somebody new, and Defender has an alert about the account",
        &["TW-X04"],
        "the alert is about another account",
        corroborated,
    )
    .using(1),
];

fn old_keys(stage: &mut Stage) {
    let at = stage.minute(10..100);
    let account = stage.account(0);
    if stage.is_lawful() {
        let (deployer, before) = (stage.deployer.clone(), stage.before(20));
        let days = stage.random.i64(0..7);
        stage.does(before - days * DAY_MS, &deployer, (&account, REGENERATE), None);
    }
    let age = stage.random.i64(120..900);
    let found = Found {
        resource: account.to_lowercase(),
        target: Target::Account,
        created: Some(EventTime(at - age * DAY_MS)),
        to: Changed::Account(AccountState {
            kind: "AIServices".to_owned(),
            local_auth_disabled: Some(false),
            ..AccountState::default()
        }),
    };
    let snapshot = Snapshot {
        subscription: stage.subscription_id().replace("/subscriptions/", ""),
        at: EventTime(at),
        part: 0,
        found: vec![found],
        whole: Vec::new(),
    };
    stage.find(&snapshot);
}

fn elsewhere(stage: &mut Stage) {
    let (who, at) = (stage.stranger.clone(), stage.minute(10..100));
    let others = ["westus3", "koreacentral", "uaenorth"];
    let regions: &[&str] = if stage.is_lawful() { &REGIONS } else { &others };
    let region = stage.random.choice(regions).copied().unwrap_or_default();
    let name = format!("aif-{}", stage.word());
    let id = stage.id("Microsoft.CognitiveServices/accounts", &name);
    let body = json!({ "location": region, "kind": "AIServices", "sku": { "name": "S0" },
                       "properties": { "publicNetworkAccess": "Disabled" } });
    stage.does(at, &who, (&id, WRITE), Some(body));
}

fn dear_model(stage: &mut Stage) {
    let deployer = stage.deployer.clone();
    let account = stage.account(1);
    let deploy = |stage: &mut Stage, at: i64, (model, version): (&str, &str)| {
        let id = format!("{account}/deployments/{}", stage.word());
        let body = json!({
            "sku": { "name": "GlobalStandard", "capacity": 50 },
            "properties": { "model": { "format": "OpenAI", "name": model, "version": version } },
        });
        stage.does(at, &deployer, (&id, DEPLOY), Some(body));
    };
    let cheap = [("gpt-4o-mini", "2024-07-18"), ("gpt-4.1-mini", "2025-04-14")];
    for hour in 0..stage.random.i64(14..24) {
        let at = stage.start_ms + hour * HOUR_MS + stage.span(0..60);
        let model = stage.random.choice(cheap).unwrap_or_default();
        deploy(stage, at, model);
    }
    let at = stage.minute(10..100);
    let lawful = stage.random.choice(cheap).unwrap_or_default();
    let model = if stage.is_lawful() { lawful } else { ("o1", "2024-12-17") };
    deploy(stage, at, model);
}

fn corroborated(stage: &mut Stage) {
    let (who, at) = (stage.stranger.clone(), stage.minute(5..30));
    let account = stage.account(0);
    stage.does(at, &who, (&account, LIST_KEYS), None);
    let noticed = at + stage.span(30..100);
    let about = if stage.is_lawful() { stage.account(1) } else { account };
    let alert = json!({
        "AlertType": "AI.Azure_AccessFromSuspiciousIP", "SystemAlertId": stage.guid(),
        "AlertDisplayName": "Access from a suspicious IP address", "Severity": "Medium",
        "Status": "New", "Intent": "InitialAccess", "AzureResourceId": about,
        "StartTimeUtc": seven_digits(at), "EndTimeUtc": seven_digits(at + MINUTE_MS),
        "TimeGenerated": seven_digits(noticed),
    });
    stage.tell(noticed, MINUTE_MS, alert.to_string());
}
