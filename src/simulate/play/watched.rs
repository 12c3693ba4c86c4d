//! What is told by others than calls and single operations: the inventory, lists of what may be made, prices,
//! and Defender.

use serde_json::json;

use super::super::record::seven_digits;
use super::keys::REGENERATE;
use super::stage::{DEPLOY, LIST_KEYS, Stage, WRITE};
use super::{Need, Play};
use crate::event::control::{
    AccountState, Changed, ConnectionState, LockState, RaiFilter, RaiState, Target,
};
use crate::event::inventory::{Found, List, Snapshot};
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
        "tw-p08-read",
        "two readings of the inventory show a weaker content filter, of which the activity log has not told",
        &["TW-P08"],
        "the filter is one of Microsoft's own",
        filter_read,
    )
    .after(2),
    Play::of_acts(
        "tw-p14-read",
        "a lock is missing in two readings of the inventory, and the activity log has not told of it",
        &["TW-P14"],
        "it is missing in one of them",
        lock_read,
    )
    .after(2),
    Play::of_acts(
        "tw-p16-read",
        "a reading of the inventory shows a connection to a new host, of which the activity log has not told",
        &["TW-P16"],
        "the host is one of Azure",
        connection_read,
    )
    .after(2),
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
    read(stage, at, &[found], None);
}

/// Writes a reading of the subscription at a moment: what was found, and one list that was read to its end.
fn read(stage: &mut Stage, at: i64, found: &[Found], whole: Option<&List>) {
    let snapshot = Snapshot {
        subscription: stage.subscription_id().replace("/subscriptions/", ""),
        at: EventTime(at),
        part: 0,
        found: found.to_vec(),
        whole: whole.cloned().into_iter().collect(),
    };
    stage.find(&snapshot);
}

fn filter_read(stage: &mut Stage) {
    let (early, at) = (stage.before(20), stage.minute(10..100));
    let (ours, drawn, lawful) = (stage.word(), stage.random.u8(0..3), stage.is_lawful());
    let name = if lawful { "microsoft.defaultv2" } else { ours.as_str() };
    let list = List { target: Target::RaiPolicy, of: stage.account(0).to_lowercase() };
    let found = |filter: RaiFilter| Found {
        resource: list.member(name),
        target: list.target,
        created: None,
        to: Changed::RaiPolicy(RaiState {
            mode: "Blocking".to_owned(),
            by_microsoft: Some(lawful),
            filters: vec![filter],
            ..RaiState::default()
        }),
    };
    let strict = RaiFilter {
        name: "Hate".to_owned(),
        source: "Prompt".to_owned(),
        enabled: Some(true),
        blocking: Some(true),
        threshold: "Medium".to_owned(),
    };
    let mut lax = strict.clone();
    match drawn {
        0 => lax.threshold = "High".to_owned(),
        1 => lax.blocking = Some(false),
        _ => lax.enabled = Some(false),
    }
    read(stage, early, &[found(strict)], None);
    read(stage, at, &[found(lax)], None);
}

fn lock_read(stage: &mut Stage) {
    let scopes = [stage.account(0), stage.group_id(), stage.subscription_id()];
    let scope = stage.random.choice(scopes).unwrap_or_default().to_lowercase();
    let list = List { target: Target::Lock, of: stage.subscription_id().to_lowercase() };
    let name = stage.word();
    let lock = Found {
        resource: format!("{scope}/providers/microsoft.authorization/locks/{name}"),
        target: Target::Lock,
        created: None,
        to: Changed::Lock(LockState { level: "CanNotDelete".to_owned() }),
    };
    let (early, first) = (stage.before(20), stage.minute(10..40));
    let second = first + stage.span(15..60);
    let last = if stage.is_lawful() { std::slice::from_ref(&lock) } else { &[] };
    read(stage, early, std::slice::from_ref(&lock), Some(&list));
    read(stage, first, &[], Some(&list));
    read(stage, second, last, Some(&list));
}

fn connection_read(stage: &mut Stage) {
    let (early, at) = (stage.before(20), stage.minute(10..100));
    let list = List { target: Target::Connection, of: stage.account(0).to_lowercase() };
    let name = stage.word();
    let outside = format!("tools-{}.example.net", stage.word());
    let azure = format!("{}.search.windows.net", stage.word());
    let project = format!("{}/projects/{}/connections/{name}", list.of, stage.word());
    let found = Found {
        resource: if stage.random.bool() { list.member(&name) } else { project },
        target: list.target,
        created: None,
        to: Changed::Connection(ConnectionState {
            category: "RemoteTool".to_owned(),
            host: if stage.is_lawful() { azure } else { outside },
            auth: "ApiKey".to_owned(),
            shared: None,
        }),
    };
    read(stage, early, &[], Some(&list));
    read(stage, at, &[found], Some(&list));
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
