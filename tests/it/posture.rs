//! The inventory from a server that answers as Azure Resource Manager to the incident: polls, drifts, and what
//! the activity log told of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};
use tokenwatch::azure::{Bounds, Clock, Identity, Pace};
use tokenwatch::event::control::{AccountState, Changed, Target};
use tokenwatch::event::inventory::{Found, Snapshot};
use tokenwatch::event::{Arrival, Batch, PartitionKey, Position, TroubleKind};
use tokenwatch::incident::{Incident, State};
use tokenwatch::severity::Severity;
use tokenwatch::source::resource_graph::InventorySettings;
use tokenwatch::source::resource_graph::poll::{ResourceGraph, Rhythm};
use tokenwatch::store::read::Reader;
use tokenwatch::time::{ArrivalTime, DAY_MS, EventTime, HOUR_MS, MINUTE_MS};
use tokio::time::{sleep, timeout};

use crate::arm::{AUDIENCE, Arm, Held, SUBSCRIPTION, id, of_subscription, refusal};
use crate::harness::{Folder, connect, digest, open, partition, same, step};
use crate::records::{MORNING, request, usage};
use crate::rest_server::{Reply, trusted};

const ACCOUNTS: &str = "Microsoft.CognitiveServices/accounts";
const ROLES: &str = "Microsoft.Authorization/roleAssignments";
const PATIENCE: Duration = Duration::from_secs(60);
const OWNER: &str =
    "/providers/Microsoft.Authorization/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

/// When the n-th day's poll begins, in milliseconds.
pub(crate) const fn day_ms(day: i64) -> i64 {
    MORNING * 1_000 + day * DAY_MS
}

/// What differs from day to day.
#[derive(Debug, Clone)]
struct Estate {
    public: bool,
    keys: bool,
    capacity: u32,
    deployments: bool,
    settings: bool,
    roles: Option<Vec<&'static str>>,
}

impl Estate {
    /// Shut, with one owner.
    fn shut() -> Self {
        let roles = Some(vec!["ours"]);
        Self { public: false, keys: false, capacity: 50, deployments: true, settings: true, roles }
    }

    /// Has the server answer so. Two more accounts make it answer in pages.
    fn hold(&self, arm: &Arm) {
        let account = |name: &str| {
            let access = if self.public && name == "aif" { "Enabled" } else { "Disabled" };
            json!({ "id": id(ACCOUNTS, name), "name": name, "kind": "AIServices", "location": "eastus2",
                "sku": { "name": "S0" }, "systemData": { "createdAt": "2026-09-01T08:00:00Z" },
                "properties": { "publicNetworkAccess": access, "disableLocalAuth": !(self.keys && name == "aif"),
                    "networkAcls": { "defaultAction": "Deny", "ipRules": [] },
                    "privateEndpointConnections": [] } })
        };
        let names = ["aif", "aif-b", "aif-c"];
        for name in names {
            let id = id(ACCOUNTS, name);
            let deployment = json!({ "id": format!("{id}/deployments/chat"), "name": "chat",
                "sku": { "name": "GlobalStandard", "capacity": if name == "aif" { self.capacity } else { 50 } },
                "properties": { "model": { "format": "OpenAI", "name": "gpt-4o", "version": "2024-08-06" } } });
            let setting = json!({ "id": format!("{id}/x/to-hub"), "name": "to-hub", "properties": {
                "eventHubName": "logs", "eventHubAuthorizationRuleId": "/subscriptions/l/ns/authorizationrules/r",
                "logs": [{ "category": "RequestResponse", "enabled": true }] } });
            let all = |is_there: bool, one: Value| {
                Held::List(if is_there || name != "aif" { vec![one] } else { Vec::new() })
            };
            arm.hold(&format!("{id}/deployments"), all(self.deployments, deployment));
            let settings = format!("{id}/providers/Microsoft.Insights/diagnosticSettings");
            arm.hold(&settings, all(self.settings, setting));
            for list in ["raiPolicies", "connections", "projects"] {
                arm.hold(&format!("{id}/{list}"), Held::List(Vec::new()));
            }
        }
        arm.hold(&of_subscription(ACCOUNTS), Held::List(names.map(account).to_vec()));
        let role = |name: &&str| {
            json!({ "id": of_subscription(&format!("{ROLES}/{name}")), "name": name, "properties": {
                "principalId": format!("{name}-object"), "principalType": "User",
                "roleDefinitionId": OWNER, "scope": format!("/subscriptions/{SUBSCRIPTION}") } })
        };
        arm.hold(
            &of_subscription(ROLES),
            match &self.roles {
                Some(names) => Held::List(names.iter().map(role).collect()),
                None => Held::Always(refusal(403, "AuthorizationFailed", "You may not.")),
            },
        );
    }
}

fn settings(arm: &Arm) -> InventorySettings {
    InventorySettings {
        endpoint: format!("https://localhost:{}", arm.port()).parse().unwrap(),
        identity: Identity::Workload,
        subscriptions: BTreeSet::from([SUBSCRIPTION.to_uppercase()]),
        bounds: Bounds::default(),
    }
}

const fn pace() -> Pace {
    Pace {
        connect: Duration::from_secs(5),
        answer: Duration::from_secs(5),
        backoff: (Duration::from_millis(20), Duration::from_millis(100)),
        distance: Duration::from_millis(1),
        trouble: Duration::from_millis(200),
    }
}

fn rhythm() -> Rhythm {
    Rhythm { apart: Duration::from_millis(400), ..Rhythm::every(Duration::from_hours(24)) }
}

fn clock(ms: i64) -> Clock {
    let ms = Arc::new(AtomicI64::new(ms));
    Arc::new(move || ms.load(Ordering::SeqCst))
}

fn key() -> PartitionKey {
    PartitionKey::inventory(SUBSCRIPTION)
}

/// What the source hands over until `enough`.
async fn told(source: &mut ResourceGraph, enough: impl Fn(&Batch) -> bool) -> Batch {
    let mut batch = Batch::default();
    let all = async {
        while !enough(&batch) {
            source.ready(&mut batch);
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, all).await.is_ok(), "{batch:?}");
    batch
}

/// One life of the poller on a day: its poll, numbered after `known`.
pub(crate) async fn poll(arm: &Arm, day: i64, known: &mut Vec<Arrival>) {
    let next = i64::try_from(known.len()).unwrap();
    let position = Position { next: Some(next), passed: ArrivalTime(0) };
    let known_to = HashMap::from([(key(), position)]);
    let settings = Some((settings(arm), rhythm()));
    let mut source = ResourceGraph::start(settings, &known_to, pace(), &clock(day_ms(day)));
    let batch = told(&mut source, |batch| !batch.arrivals.is_empty()).await;
    assert_eq!(batch.members, [key()]);
    assert_eq!(batch.troubles, []);
    source.close().await;
    known.extend(batch.arrivals);
}

/// A record of the activity log about the account of these tests.
fn operation(ms: i64, what: &str, body: Option<Value>) -> Value {
    let mut properties = json!({ "eventCategory": "Administrative" });
    if let (Some(body), Some(fields)) = (body, properties.as_object_mut()) {
        fields.insert("responseBody".to_owned(), json!(body.to_string()));
    }
    json!({
        "time": EventTime(ms).to_string(), "resourceId": id(ACCOUNTS, "aif").to_uppercase(),
        "category": "Administrative", "operationName": "MICROSOFT.COGNITIVESERVICES/ACCOUNTS/".to_owned() + what,
        "resultType": "Success", "callerIpAddress": "198.51.100.7", "correlationId": format!("c-{ms}"),
        "identity": { "claims": {
            "http://schemas.microsoft.com/identity/claims/objectidentifier": "eve-object",
            "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": "eve@contoso.example",
        } },
        "properties": properties,
    })
}

/// Makes a record about another resource.
fn rename(record: &mut Value, resource: &str) {
    let fields = record.as_object_mut().unwrap();
    fields.insert("resourceId".to_owned(), json!(resource.to_uppercase()));
}

/// Calls of an application every hour, and of somebody else in the hours before the third day's poll.
fn calls() -> Vec<(i64, Value)> {
    let mut records = Vec::new();
    for hour in -2..4 * 24 {
        let (second, call) = (hour * 3_600 + 60, format!("app-{hour}"));
        let mut networks = vec![("198.18.0.***", call)];
        if (38..47).contains(&hour) {
            networks.push(("203.0.113.***", format!("thief-{hour}")));
        }
        for (network, call) in networks {
            let mut rows = [
                request(second, &call, network, "app", 200),
                usage(second, &call, [1_000, 0, 200]),
            ];
            for row in &mut rows {
                rename(row, &id(ACCOUNTS, "aif"));
            }
            records.extend(rows.map(|row| ((MORNING + second + 40) * 1_000, row)));
        }
    }
    records
}

/// Records as a hub with one partition took them.
fn hub(mut records: Vec<(i64, Value)>) -> Vec<Arrival> {
    records.sort_by_key(|(told, _)| *told);
    let arrive = |(sequence, (told, record)): (i64, (i64, Value))| Arrival {
        partition: partition(0),
        sequence,
        enqueued: ArrivalTime(told),
        body: json!({ "records": [record] }).to_string().into_bytes(),
    };
    (0..).zip(records).map(arrive).collect()
}

/// Reads everything in batches of so many, with a new start after every `cut`-th; then an hour passes.
async fn read(db: &str, arrivals: &[Arrival], (batch, cut): (usize, usize)) -> Vec<Incident> {
    let members = Batch { members: vec![partition(0), key()], ..Batch::default() };
    let mut core = open(db).await;
    step(&mut core, &members).await;
    for (place, part) in arrivals.chunks(batch).enumerate() {
        if place % cut == cut - 1 {
            core.store.close().await.unwrap();
            core = open(db).await;
            step(&mut core, &members).await;
        }
        step(&mut core, &Batch { arrivals: part.to_vec(), ..Batch::default() }).await;
    }
    let newest = arrivals.iter().map(|arrival| arrival.enqueued.0).max().unwrap();
    let idle = vec![(partition(0), ArrivalTime(newest + HOUR_MS))];
    step(&mut core, &Batch { idle, ..Batch::default() }).await;
    core.store.close().await.unwrap();
    let mut all = Reader::open(Path::new(db)).await.unwrap().incidents().await.unwrap();
    all.sort_by(|a, b| a.key.cmp(&b.key));
    all
}

/// What comes of events that are handed on in some way, and the database it is in; handed on in other ways, the same
/// must come of them.
pub(crate) async fn read_alike(
    folder: &Folder,
    arrivals: &[Arrival],
    (first, others): ((usize, usize), &[(usize, usize)]),
) -> (String, Vec<Incident>) {
    let db = folder.path("first.db");
    let incidents = read(&db, arrivals, first).await;
    let (told, rows) = (lines(&incidents), digest(&db).await);
    for handing in others {
        let again = folder.path(&format!("{}-{}.db", handing.0, handing.1));
        let found = lines(&read(&again, arrivals, *handing).await);
        same(&format!("{handing:?}: told"), &told, &found);
        same(&format!("{handing:?}: rows"), &rows, &digest(&again).await);
    }
    (db, incidents)
}

/// Rule, name of the resource and evidence of each incident.
pub(crate) fn lines(incidents: &[Incident]) -> Vec<String> {
    let line = |incident: &Incident| {
        let key = incident.key.rsplit_once('|').unwrap().0;
        format!("{key} {:?} {}", incident.severity, incident.evidence.join(" / "))
    };
    incidents.iter().map(line).collect()
}

#[track_caller]
pub(crate) fn one<'a>(incidents: &'a [Incident], rule: &str) -> &'a Incident {
    let found: Vec<&Incident> = incidents.iter().filter(|i| i.rule == rule).collect();
    assert_eq!(found.len(), 1, "{rule}: {:#?}", lines(incidents));
    found.first().unwrap()
}

/// Five days: shut; with a list refused, one busy at first and a deployment missing once; open and with a new
/// owner; a setting missing; still missing, three times the capacity by a write that was told without its
/// body, and keys allowed by one that was told with it.
async fn five_days(arm: &Arm) -> Vec<Arrival> {
    let mut polls = Vec::new();
    let shut = Estate::shut();
    shut.hold(arm);
    poll(arm, 0, &mut polls).await;
    Estate { roles: None, deployments: false, ..shut.clone() }.hold(arm);
    let busy = Reply::Answer(429, "retry-after: 1\r\n".to_owned(), b"{}".to_vec());
    arm.fault(&of_subscription(ACCOUNTS), [busy]);
    poll(arm, 1, &mut polls).await;
    let open = Estate { public: true, roles: Some(vec!["ours", "eve"]), ..shut };
    open.hold(arm);
    poll(arm, 2, &mut polls).await;
    Estate { settings: false, ..open.clone() }.hold(arm);
    poll(arm, 3, &mut polls).await;
    Estate { settings: false, capacity: 150, keys: true, ..open }.hold(arm);
    poll(arm, 4, &mut polls).await;
    polls
}

fn told_by_the_log() -> Vec<(i64, Value)> {
    let write = day_ms(3) + 5 * HOUR_MS;
    let keys =
        json!({ "properties": { "disableLocalAuth": false, "publicNetworkAccess": "Enabled" } });
    let mut made = operation(write, "DEPLOYMENTS/WRITE", None);
    rename(&mut made, &format!("{}/deployments/chat", id(ACCOUNTS, "aif")));
    vec![
        (write + 5 * MINUTE_MS, made),
        (write + HOUR_MS, operation(write + HOUR_MS - 5 * MINUTE_MS, "WRITE", Some(keys))),
        // The hub goes on, so that time passes.
        (day_ms(4) + HOUR_MS, operation(day_ms(4) + HOUR_MS, "LISTKEYS/ACTION", None)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn drifts_are_told_once_with_before_after_and_who_called_since_however_they_are_read() {
    trusted(
        "posture::drifts_are_told_once_with_before_after_and_who_called_since_however_they_are_read",
        AUDIENCE,
        async |tls| {
            let arm = Arm::start(tls).await;
            let polls = five_days(&arm).await;
            assert!(arm.count(&of_subscription(ACCOUNTS)) > 5 * 2, "pages, and one again");
            let records = hub(calls().into_iter().chain(told_by_the_log()).collect());
            let mut all: Vec<Arrival> = polls.iter().chain(&records).cloned().collect();
            all.sort_by_key(|arrival| arrival.enqueued);
            let folder = Folder::new();
            let others = [(50, 3), (7, 2)];
            let (db, incidents) = read_alike(&folder, &all, ((1, 9_999), &others)).await;
            check_incidents(&incidents);
            check_versions(&db).await;
        },
    )
    .await;
}

#[track_caller]
fn check_incidents(incidents: &[Incident]) {
    let rules: Vec<&str> = incidents.iter().map(|incident| incident.rule.as_str()).collect();
    assert_eq!(rules, ["TW-K03", "TW-K07", "TW-P03", "TW-P04", "TW-P10"], "{incidents:#?}");
    let says = |rule: &str, parts: &[&str]| {
        let story = one(incidents, rule).evidence.join("\n");
        for part in parts {
            assert!(story.contains(part), "{rule}: {part}: {story}");
        }
    };
    let between = |first: i64, last: i64| {
        format!("between {} and {}", EventTime(day_ms(first)), EventTime(day_ms(last)))
    };
    says(
        "TW-P04",
        &[
            "publicNetworkAccess Disabled → Enabled",
            &between(1, 2),
            "somebody the activity log has not told of",
            "2 network(s) called it in the 24 hours before, 1 of them new to it",
            // 50,000 tokens a minute of gpt-4o at 10 USD a million.
            "1 deployment(s) paid by token can cost $720.00 a day at most",
        ],
    );
    let p04 = one(incidents, "TW-P04");
    let mut networks: Vec<(&str, bool)> =
        p04.callers.iter().map(|caller| (caller.network.as_str(), caller.new)).collect();
    networks.sort_unstable();
    assert_eq!(networks, [("198.18.0.0/24", false), ("203.0.113.0/24", true)]);
    assert_eq!((p04.severity, p04.account.as_str()), (Severity::High, "aif"));
    assert!(p04.response.first().unwrap().command.ends_with("publicNetworkAccess=Disabled"));
    // The list was not readable in between.
    says("TW-K07", &["User eve-object got the role Owner", &between(0, 2)]);
    says(
        "TW-P10",
        &["diagnostic setting to-hub of aif: deleted", "RequestResponse", &between(2, 4)],
    );
    let written = EventTime(day_ms(3) + 5 * HOUR_MS).to_string();
    says(
        "TW-P03",
        &[
            "capacity 50 → 150",
            &written,
            "eve@contoso.example",
            "from 198.51.100.0/24",
            "can cost $2,160.00",
        ],
    );
    // What the log told is told by the log alone.
    let k03 = one(incidents, "TW-K03");
    assert!(k03.evidence.iter().all(|line| !line.contains("inventory")), "{:?}", k03.evidence);
    assert!(incidents.iter().all(|i| i.state == State::Open || i.rule != "TW-P10"));
}

/// The days between which each version of the account and of what belongs to it held, by name.
pub(crate) async fn versions(db: &str) -> BTreeMap<String, Vec<(i64, Option<i64>)>> {
    let mut connection = connect(db).await;
    let rows = sqlx::query(
        "select resource, since_ms, until_ms from resource_version \
         where resource like '%/aif' or resource like '%/aif/%' order by 1, 2",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let mut found: BTreeMap<String, Vec<(i64, Option<i64>)>> = BTreeMap::new();
    let day = |ms: i64| (ms - day_ms(0)) / DAY_MS;
    for row in rows {
        let resource: String = row.get(0);
        let name = resource.rsplit('/').next().unwrap().to_owned();
        let until: Option<i64> = row.get(2);
        found.entry(name).or_default().push((day(row.get(1)), until.map(day)));
    }
    found
}

/// One row per resource and change, with times.
async fn check_versions(db: &str) {
    let expected = [
        ("aif", vec![(0, Some(2)), (2, Some(4)), (4, None)]),
        // Missing once is no change.
        ("chat", vec![(0, Some(4)), (4, None)]),
        ("to-hub", vec![(0, Some(4))]),
    ];
    assert_eq!(versions(db).await, expected.map(|(name, spans)| (name.to_owned(), spans)).into());
}

/// A part as the poller writes it, of an account that accepts keys and is as old as this.
fn old_account(day: i64, days: i64) -> Arrival {
    let state = AccountState { local_auth_disabled: Some(false), ..AccountState::default() };
    let snapshot = Snapshot {
        subscription: SUBSCRIPTION.to_owned(),
        at: EventTime(day_ms(day)),
        part: 0,
        found: vec![Found {
            resource: id(ACCOUNTS, "aif").to_lowercase(),
            target: Target::Account,
            created: Some(EventTime(day_ms(-days))),
            to: Changed::Account(state),
        }],
        whole: Vec::new(),
    };
    let body = snapshot.body().unwrap();
    Arrival { partition: key(), sequence: day, enqueued: ArrivalTime(day_ms(day)), body }
}

#[tokio::test]
async fn old_keys_are_one_incident_until_a_key_is_made_anew() {
    let folder = Folder::new();
    let polls: Vec<Arrival> = (0..5).map(|day| old_account(day, 89)).collect();
    let later = day_ms(4) + 2 * HOUR_MS;
    let quiet = operation(later, "LISTKEYS/ACTION", None);
    let anew = operation(later, "REGENERATEKEY/ACTION", None);
    for (name, last, state) in [("quiet", quiet, State::Open), ("anew", anew, State::Resolved)] {
        let mut all = polls.clone();
        all.extend(hub(vec![(later + 5 * MINUTE_MS, last)]));
        for handing in [(1, 2), (9, 9)] {
            let db = folder.path(&format!("{name}-{}.db", handing.0));
            let incidents = read(&db, &all, handing).await;
            let k05 = one(&incidents, "TW-K05");
            assert_eq!((k05.state, k05.severity), (state, Severity::Low), "{name} {handing:?}");
            assert_eq!(k05.first_window, EventTime(day_ms(1)), "the day they were 90 days old");
            assert!(k05.evidence.join(" ").contains("up to 90 days old"), "{:?}", k05.evidence);
        }
    }
    let young = [old_account(0, 88), old_account(1, 88)];
    assert_eq!(read(&folder.path("young.db"), &young, (1, 9)).await, []);
}

/// From a hub it is somebody's invention.
#[tokio::test]
async fn an_inventory_in_a_hub_is_not_believed() {
    let folder = Folder::new();
    let forged = Arrival { partition: partition(0), sequence: 0, ..old_account(0, 400) };
    let db = folder.path("db");
    assert_eq!(read(&db, &[forged], (1, 9)).await, []);
    assert!(digest(&db).await.iter().any(|line| line.contains("inventory_not_ours")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_fails_is_told_and_tried_again_and_a_write_is_followed_by_one() {
    trusted(
        "posture::a_poll_that_fails_is_told_and_tried_again_and_a_write_is_followed_by_one",
        AUDIENCE,
        async |tls| {
            let arm = Arm::start(tls).await;
            Estate::shut().hold(&arm);
            let list = of_subscription(ACCOUNTS);
            let whole = Held::Always(refusal(403, "AuthorizationFailed", "You may not."));
            arm.hold(&list, whole);
            let quick = Rhythm { after_write: Duration::from_millis(50), ..rhythm() };
            let settings = Some((settings(&arm), quick));
            let mut source =
                ResourceGraph::start(settings, &HashMap::new(), pace(), &clock(day_ms(0)));
            let batch = told(&mut source, |batch| !batch.troubles.is_empty()).await;
            let trouble = batch.troubles.first().unwrap();
            assert_eq!((trouble.kind, batch.arrivals.len()), (TroubleKind::Refused, 0));
            assert!(trouble.reason.contains("the role Reader (403)"), "{}", trouble.reason);
            assert!(trouble.reason.contains("az role assignment create"), "{}", trouble.reason);
            Estate::shut().hold(&arm);
            told(&mut source, |batch| !batch.arrivals.is_empty()).await;
            // Nothing is asked for until somebody writes, and then once for many writes.
            sleep(Duration::from_millis(600)).await;
            let before = arm.count(&list);
            let written = BTreeSet::from([SUBSCRIPTION.to_owned()]);
            source.nudge().touched(&BTreeSet::from(["another".to_owned()]));
            sleep(Duration::from_millis(200)).await;
            assert_eq!(arm.count(&list), before);
            let nudge = source.nudge();
            (0..20).for_each(|_| nudge.touched(&written));
            told(&mut source, |batch| !batch.arrivals.is_empty()).await;
            let pages = 2;
            assert_eq!(arm.count(&list), before + pages);
            source.close().await;
        },
    )
    .await;
}
