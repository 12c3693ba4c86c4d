//! Metrics by REST against a server in the documented shape, over TLS and with the real credentials.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::json;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use tokenwatch::aggregate::repeats::Told;
use tokenwatch::azure::{Clock, Identity, Pace};
use tokenwatch::event::{Arrival, Batch, PartitionKey, Position, TroubleKind};
use tokenwatch::incident::Incident;
use tokenwatch::pipeline::Core;
use tokenwatch::source::Source as _;
use tokenwatch::source::metrics_api::{METRICS, MetricsApi, MetricsSettings};
use tokenwatch::store::read::Reader;
use tokenwatch::time::{ArrivalTime, EventTime, MINUTE_MS};
use tokio::time::{Instant, timeout};

use crate::harness::{Folder, connect, open, step};
use crate::monitor::{AUDIENCE, Monitor, Points, SUBSCRIPTIONS, absorb, account, expected, same};
use crate::rest_server::{Reply, TOKEN, serve, trusted};

const PATIENCE: Duration = Duration::from_secs(60);
/// 2026-10-06T09:15:30Z.
const NOW_MS: i64 = 1_791_278_130_000;
const LAG_MS: i64 = 2 * MINUTE_MS;
const OVERLAP_MS: i64 = 5 * MINUTE_MS;
const BACKFILL_MS: i64 = 20 * MINUTE_MS;
/// The service's side: source, engine and store, with a clock of our own.
struct World {
    monitor: Arc<Monitor>,
    clock_ms: Arc<AtomicI64>,
    settings: MetricsSettings,
    folder: Folder,
}

impl World {
    async fn new(tls: tokio_rustls::TlsAcceptor, accounts: Vec<String>) -> Self {
        let clock_ms = Arc::new(AtomicI64::new(NOW_MS));
        let monitor = Monitor::new(clock_of(&clock_ms));
        let server = Arc::clone(&monitor);
        let port = serve(Some(tls), Arc::new(move |request| server.reply(request))).await;
        let settings = MetricsSettings {
            name: "eastus2-metrics".to_owned(),
            endpoint: format!("https://localhost:{port}").parse().unwrap(),
            accounts,
            identity: Identity::Workload,
            metrics: METRICS.map(str::to_owned).to_vec(),
            every_ms: 50,
            lag_ms: LAG_MS,
            overlap_ms: OVERLAP_MS,
            backfill_ms: BACKFILL_MS,
        };
        Self { monitor, clock_ms, settings, folder: Folder::new() }
    }

    async fn start(&self) -> Running<'_> {
        let core = open(&self.folder.path("t.db")).await;
        let pace = Pace {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(2),
            backoff: (Duration::from_millis(50), Duration::from_millis(400)),
            distance: Duration::from_millis(5),
            trouble: Duration::from_millis(500),
        };
        let sources = vec![self.settings.clone()];
        let source = MetricsApi::start(sources, &core.positions(), pace, &clock_of(&self.clock_ms));
        let (seen, announced) = (Batch::default(), Vec::new());
        Running { world: self, source, core, seen, announced }
    }

    fn pass(&self, minutes: i64) {
        self.clock_ms.fetch_add(minutes * MINUTE_MS, Ordering::SeqCst);
    }

    fn now_ms(&self) -> i64 {
        self.clock_ms.load(Ordering::SeqCst)
    }

    /// End of the newest minute that may be asked for.
    fn last(&self) -> i64 {
        let until = self.now_ms() - LAG_MS;
        until - until % MINUTE_MS
    }

    fn fault(&self, reply: Reply) {
        self.monitor.faults.lock().unwrap().push_back(reply);
    }
}

fn clock_of(clock_ms: &Arc<AtomicI64>) -> Clock {
    let clock_ms = Arc::clone(clock_ms);
    Arc::new(move || clock_ms.load(Ordering::SeqCst))
}

struct Running<'w> {
    world: &'w World,
    source: MetricsApi,
    core: Core,
    /// Everything that came, as one batch.
    seen: Batch,
    announced: Vec<Incident>,
}

impl Running<'_> {
    async fn next(&mut self) {
        let next = timeout(PATIENCE, self.source.next_batch()).await.unwrap().unwrap();
        let mut batch = next.unwrap();
        batch.clock = Some(ArrivalTime(self.world.now_ms()));
        let effects = step(&mut self.core, &batch).await;
        self.announced.extend(effects.announcements.into_iter().map(|told| told.incident));
        assert_eq!(effects.gaps, []);
        assert!(!effects.counters.contains_key("duplicate_events"));
        self.seen.arrivals.extend(batch.arrivals);
        self.seen.troubles.extend(batch.troubles);
        self.seen.idle.extend(batch.idle);
    }

    /// Reads until every one of these subscriptions has been asked about the last minute.
    async fn caught_up(&mut self, subscriptions: &[&str]) {
        let last = ArrivalTime(self.world.last());
        let key =
            |subscription: &&str| PartitionKey::polled("eastus2-metrics".to_owned(), subscription);
        let wanted: Vec<_> = subscriptions.iter().map(|name| (key(name), last)).collect();
        while !wanted.iter().all(|passed| self.seen.idle.contains(passed)) {
            self.next().await;
        }
        for (key, last) in wanted {
            assert_eq!(self.core.positions().get(&key).unwrap().passed, last);
        }
    }

    fn points(&self) -> Points {
        let mut points = Points::new();
        self.seen.arrivals.iter().for_each(|arrival| absorb(&arrival.body, &mut points));
        points
    }

    async fn stop(self) -> Batch {
        self.source.close().await;
        self.core.store.close().await.unwrap();
        self.seen
    }
}

#[tokio::test]
async fn every_point_of_every_deployment_arrives_and_nothing_is_asked_for_twice_in_vain() {
    trusted("metrics_api::every_point_of_every_deployment_arrives_and_nothing_is_asked_for_twice_in_vain", AUDIENCE, async |tls| {
        let accounts: Vec<_> = (0..60).map(|n| account(0, n)).chain([account(1, 0)]).collect();
        let world = World::new(tls, accounts.clone()).await;
        let mut running = world.start().await;
        running.caught_up(&SUBSCRIPTIONS).await;
        let (first, begin) = (world.last(), world.last() - BACKFILL_MS);
        same(&running.points(), &expected(&accounts, begin, first, world.now_ms()));
        // Twenty minutes are four steps; 60 accounts are two questions, and so are 13 metrics.
        let count = |subscription: usize| {
            let name = SUBSCRIPTIONS.get(subscription).unwrap();
            world.monitor.asked().iter().filter(|asked| asked.subscription == *name).count()
        };
        assert_eq!((count(0), count(1)), (4 * 2 * 2, 4 * 2));
        // The clock stands still: so do we.
        for _ in 0..3 {
            running.next().await;
        }
        assert_eq!((count(0), count(1)), (16, 8));
        world.pass(1);
        running.caught_up(&SUBSCRIPTIONS).await;
        assert_eq!((count(0), count(1)), (20, 10));
        let asked = world.monitor.asked();
        let spans: BTreeSet<_> = asked.iter().skip(24).map(|asked| (asked.from, asked.until)).collect();
        assert_eq!(spans, BTreeSet::from([(first - OVERLAP_MS, first + MINUTE_MS)]));
        // What was half of a minute before is whole now.
        same(&running.points(), &expected(&accounts, begin, world.last(), world.now_ms()));
        let tokens: BTreeSet<_> = asked.iter().map(|asked| asked.token.clone()).collect();
        assert_eq!(tokens.len(), 1, "{tokens:?}");
        let seen = running.stop().await;
        assert_eq!(seen.troubles, []);
        let texts = seen.arrivals.iter().map(|arrival| String::from_utf8_lossy(&arrival.body));
        assert!(!texts.into_iter().any(|text| text.contains(TOKEN)));
    })
    .await;
}

#[tokio::test]
async fn after_a_restart_it_goes_on_where_it_was_and_a_broken_round_is_read_again() {
    trusted(
        "metrics_api::after_a_restart_it_goes_on_where_it_was_and_a_broken_round_is_read_again",
        AUDIENCE,
        async |tls| {
            let accounts = vec![account(0, 0), account(0, 1)];
            let world = World::new(tls, accounts.clone()).await;
            let begin = world.last() - BACKFILL_MS;
            let mut running = world.start().await;
            running.caught_up(&SUBSCRIPTIONS[..1]).await;
            let mut points = running.points();
            let first = running.stop().await.arrivals;
            // Two minutes later the second question of the round fails, whatever is tried.
            let stopped_at = world.last();
            world.pass(2);
            let mut running = world.start().await;
            let oops = || Reply::Answer(500, String::new(), Vec::new());
            world.fault(Reply::json(r#"{"values":[]}"#));
            (0..20).for_each(|_| world.fault(oops()));
            let before = world.monitor.asked().len();
            while world.monitor.asked().len() < before + 2 {
                running.next().await;
            }
            let second = running.stop().await.arrivals;
            world.monitor.faults.lock().unwrap().clear();
            world.pass(7);
            let before = world.monitor.asked().len();
            let mut running = world.start().await;
            running.caught_up(&SUBSCRIPTIONS[..1]).await;
            let asked = world.monitor.asked();
            let asked = asked.get(before).unwrap();
            assert_eq!(
                (asked.from, asked.until),
                (stopped_at - OVERLAP_MS, stopped_at + OVERLAP_MS)
            );
            points.extend(running.points());
            same(&points, &expected(&accounts, begin, world.last(), world.now_ms()));
            // Numbered without a gap over all lives.
            let third = running.stop().await.arrivals;
            let all = [first, second, third].concat();
            let numbers: Vec<_> = all.iter().map(|arrival| arrival.sequence).collect();
            let wanted: Vec<i64> = (0..).take(numbers.len()).collect();
            assert_eq!(numbers, wanted);
            assert!(all.is_sorted_by_key(|arrival| arrival.enqueued));
            assert_eq!(all.last().unwrap().enqueued, ArrivalTime(world.last()));
        },
    )
    .await;
}

/// One fault of each kind; every one is waited out, and nothing is lost or asked for in haste.
#[tokio::test]
async fn whatever_goes_wrong_once_is_waited_out() {
    trusted("metrics_api::whatever_goes_wrong_once_is_waited_out", AUDIENCE, async |tls| {
        let accounts = vec![account(0, 0)];
        let world = World::new(tls, accounts.clone()).await;
        let mut running = world.start().await;
        running.caught_up(&SUBSCRIPTIONS[..1]).await;
        let status = |status, more: &str| Reply::Answer(status, more.to_owned(), Vec::new());
        let text = |text: &str| Reply::Answer(200, String::new(), text.as_bytes().to_vec());
        let huge = format!("{{\"values\":[{}]}}", "{},".repeat(6 * 1024 * 1024));
        let location = "location: https://localhost/elsewhere\r\n";
        for (what, fault, wait_ms, more) in [
            ("429", status(429, "retry-after: 1\r\n"), 1_000, 1),
            ("503", status(503, "retry-after: 1\r\n"), 1_000, 1),
            ("429 without a wait", status(429, ""), 25, 1),
            ("500", status(500, ""), 25, 1),
            ("401", status(401, ""), 0, 1),
            ("302", status(302, location), 25, 1),
            ("half an answer", text(r#"{"values":[{"resourceid":"/a","val"#), 25, 1),
            ("something else", text("<html></html>"), 25, 1),
            ("too much", text(&huge), 25, 1),
            ("a cut", Reply::Cut(vec![b' '; 100_000]), 25, 1),
            ("silence", Reply::Hang, 2_000, 1),
        ] {
            world.pass(1);
            world.fault(fault);
            let (before, began) = (world.monitor.asked().len(), Instant::now());
            running.caught_up(&SUBSCRIPTIONS[..1]).await;
            let asked = world.monitor.asked().len() - before;
            assert_eq!(asked, 2 + more, "{what}");
            assert!(
                began.elapsed() >= Duration::from_millis(wait_ms),
                "{what}: {:?}",
                began.elapsed()
            );
        }
        let begin = NOW_MS - NOW_MS % MINUTE_MS - LAG_MS - BACKFILL_MS;
        same(&running.points(), &expected(&accounts, begin, world.last(), world.now_ms()));
        let asked = world.monitor.asked();
        let tokens: BTreeSet<_> = asked.iter().map(|asked| asked.token.as_str()).collect();
        assert_eq!(
            tokens.len(),
            2,
            "a token that is not taken is renewed, and then kept: {tokens:?}"
        );
        assert_eq!(running.stop().await.troubles, []);
    })
    .await;
}

#[tokio::test]
async fn a_missing_role_is_told_with_its_name_and_costs_no_other_subscription() {
    trusted(
        "metrics_api::a_missing_role_is_told_with_its_name_and_costs_no_other_subscription",
        AUDIENCE,
        async |tls| {
            let accounts = vec![account(0, 0), account(1, 0)];
            let world = World::new(tls, accounts.clone()).await;
            let closed = SUBSCRIPTIONS.first().unwrap().to_string();
            world.monitor.closed.lock().unwrap().insert(closed.clone());
            let mut running = world.start().await;
            let began = Instant::now();
            running.caught_up(&SUBSCRIPTIONS[1..]).await;
            while running.seen.troubles.is_empty() {
                running.next().await;
            }
            let trouble = running.seen.troubles.first().unwrap().clone();
            assert_eq!(
                (trouble.hub.as_str(), trouble.kind),
                ("eastus2-metrics", TroubleKind::Refused)
            );
            assert_eq!(trouble.partition, Some(format!("metrics:{closed}")));
            assert_eq!(
                trouble.reason,
                "answered 403: AuthorizationFailed: no access (does the identity have the role \
             Monitoring Reader on the subscription?)"
            );
            let [incident] = running.announced.as_slice() else {
                panic!("{:?}", running.announced)
            };
            assert_eq!(
                (incident.rule.as_str(), incident.account.as_str()),
                ("TW-S06", "eastus2-metrics")
            );
            let place = format!("eastus2-metrics, metrics:{closed} refuses us: answered 403");
            assert!(incident.evidence.concat().starts_with(&place), "{:?}", incident.evidence);
            // Pauses of at least 25, 50, 100 and then 200 ms.
            let attempts =
                world.monitor.asked().iter().filter(|asked| asked.subscription == closed).count();
            let most = 4 + began.elapsed().as_millis() / 200;
            assert!(
                (3..=most).contains(&(attempts as u128)),
                "{attempts} in {:?}",
                began.elapsed()
            );
            let begin = world.last() - BACKFILL_MS;
            same(&running.points(), &expected(&accounts[1..], begin, world.last(), world.now_ms()));
            // Once the role is there, what was missed is read.
            world.monitor.closed.lock().unwrap().clear();
            running.caught_up(&SUBSCRIPTIONS).await;
            same(&running.points(), &expected(&accounts, begin, world.last(), world.now_ms()));
            running.stop().await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_token_that_is_never_taken_is_told_and_a_metric_nobody_knows_too() {
    trusted(
        "metrics_api::a_token_that_is_never_taken_is_told_and_a_metric_nobody_knows_too",
        AUDIENCE,
        async |tls| {
            let world = World::new(tls, vec![account(0, 0)]).await;
            let body = br#"{"error":{"code":"BadRequest","message":"no metric Tokens"}}"#;
            for (status, body, reason) in [
                (401, Vec::new(), "answered 401, with a fresh token too ("),
                (
                    400,
                    body.to_vec(),
                    "answered 400: BadRequest: no metric Tokens (if it names a metric,",
                ),
            ] {
                (0..100)
                    .for_each(|_| world.fault(Reply::Answer(status, String::new(), body.clone())));
                let mut running = world.start().await;
                while running.seen.troubles.is_empty() {
                    running.next().await;
                }
                let told = running.stop().await.troubles.first().unwrap().reason.clone();
                assert!(told.starts_with(reason), "{told}");
                world.monitor.faults.lock().unwrap().clear();
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_lost_identity_is_told_and_ends_nothing() {
    // Not as a second process: here is no workload identity.
    let clock: Clock = Arc::new(|| NOW_MS);
    let settings = MetricsSettings {
        name: "m".to_owned(),
        endpoint: "https://localhost:1".parse().unwrap(),
        accounts: vec![account(0, 0)],
        identity: Identity::Workload,
        metrics: vec!["InputTokens".to_owned()],
        every_ms: 50,
        lag_ms: 0,
        overlap_ms: MINUTE_MS,
        backfill_ms: MINUTE_MS,
    };
    let pace = Pace { trouble: Duration::ZERO, ..Pace::default() };
    let gone = PartitionKey::polled("before".to_owned(), "s");
    let known = HashMap::from([(gone.clone(), Position::UNREAD)]);
    let mut source = MetricsApi::start(vec![settings], &known, pace, &clock);
    let mut batch = Batch::default();
    while batch.troubles.is_empty() {
        let next = timeout(PATIENCE, source.next_batch()).await.unwrap().unwrap().unwrap();
        batch.troubles.extend(next.troubles);
        batch.gone.extend(next.gone);
    }
    let trouble = batch.troubles.first().unwrap();
    assert_eq!(trouble.kind, TroubleKind::Refused);
    assert!(trouble.reason.starts_with("cannot get a token: "), "{}", trouble.reason);
    assert!(trouble.reason.contains("tenant"), "{}", trouble.reason);
    assert_eq!(batch.gone, [gone]);
    source.close().await;
}

#[tokio::test]
async fn answers_too_large_to_be_read_are_asked_for_in_parts() {
    trusted(
        "metrics_api::answers_too_large_to_be_read_are_asked_for_in_parts",
        AUDIENCE,
        async |tls| {
            let accounts: Vec<_> = (0..60).map(|n| account(0, n)).collect();
            let mut world = World::new(tls, accounts.clone()).await;
            world.settings.backfill_ms = 3 * MINUTE_MS;
            *world.monitor.readable.lock().unwrap() = 15;
            let mut running = world.start().await;
            running.caught_up(&SUBSCRIPTIONS[..1]).await;
            // 50 and 25 are too many; 12 are five parts of two questions each.
            let asked: Vec<_> = world.monitor.asked().iter().map(|asked| asked.accounts).collect();
            assert_eq!(asked, [vec![50, 25], vec![12; 10]].concat());
            let begin = world.last() - 3 * MINUTE_MS;
            same(&running.points(), &expected(&accounts, begin, world.last(), world.now_ms()));
            running.stop().await;
        },
    )
    .await;
}

/// What the database holds of points: account and deployment (empty for the account itself), minute,
/// quantity and family, with the value.
type Stored = BTreeMap<(String, String, i64, i64, i64), i64>;

async fn stored(path: &str) -> Stored {
    let mut connection = connect(path).await;
    let rows = sqlx::query(
        "select a.resource, coalesce(n.text, ''), p.start, p.quantity, p.family, p.value \
         from metric_point p join account a on a.id = p.series >> 32 left join name n \
         on n.account = a.id and n.id = p.series & 4294967295",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let row = |row: &SqliteRow| {
        let number = |at| row.get::<i64, _>(at);
        let key = (row.get(0), row.get(1), number(2), number(3), number(4));
        (key, number(5))
    };
    rows.iter().map(row).collect()
}

/// Metrics the database keeps, with quantity, family and what one is counted as.
const KEPT: [(&str, i64, i64, i64); 7] = [
    ("InputTokens", 0, 0, 1),
    ("OutputTokens", 1, 0, 1),
    ("ModelRequests", 2, 0, 1),
    ("ProcessedPromptTokens", 0, 1, 1),
    ("GeneratedTokens", 1, 1, 1),
    ("AzureOpenAIProvisionedManagedUtilizationV2", 3, 0, 100),
    ("ProvisionedUtilization", 3, 0, 100),
];

#[tokio::test]
async fn points_of_deployments_are_kept_beside_those_of_the_account_and_never_added() {
    trusted(
        "metrics_api::points_of_deployments_are_kept_beside_those_of_the_account_and_never_added",
        AUDIENCE,
        async |tls| {
            let accounts = vec![account(0, 0), account(0, 1)];
            let world = World::new(tls, accounts.clone()).await;
            let begin = world.last() - BACKFILL_MS;
            let mut running = world.start().await;
            running.caught_up(&SUBSCRIPTIONS[..1]).await;
            // The account's own sum of one minute, as a diagnostic setting exports it.
            let record = json!({
                "resourceId": account(0, 0).to_uppercase(), "time": EventTime(begin).to_string(),
                "metricName": "InputTokens", "timeGrain": "PT1M", "total": 7,
            });
            let arrival = Arrival {
                partition: PartitionKey {
                    hub: "east".to_owned(),
                    incarnation: 0,
                    partition: "0".to_owned(),
                },
                sequence: 0,
                enqueued: ArrivalTime(begin + 5 * MINUTE_MS),
                body: record.to_string().into_bytes(),
            };
            step(&mut running.core, &Batch { arrivals: vec![arrival], ..Batch::default() }).await;
            world.pass(1);
            running.caught_up(&SUBSCRIPTIONS[..1]).await;
            running.stop().await;
            let mut wanted = Stored::new();
            for ((account, deployment, metric, minute), value) in
                expected(&accounts, begin, world.last(), world.now_ms())
            {
                let kept = KEPT.iter().find(|(name, ..)| *name == metric);
                let Some((_, quantity, family, scale)) = kept else { continue };
                // A whole number has no point when it is written.
                let value = value.to_string().parse::<i64>().unwrap() * scale;
                // Of two names of one thing the larger holds.
                let known =
                    wanted.entry((account, deployment, minute / MINUTE_MS, *quantity, *family));
                known.and_modify(|known| *known = value.max(*known)).or_insert(value);
            }
            assert!(wanted.len() > 400, "{}", wanted.len());
            wanted.insert((account(0, 0), String::new(), begin / MINUTE_MS, 0, 0), 7);
            let path = world.folder.path("t.db");
            let found = stored(&path).await;
            let differs = wanted.iter().find(|(key, value)| found.get(key) != Some(value));
            assert_eq!((differs, found.len()), (None, wanted.len()));
            // We ask again by our own choice: nobody sends anything twice.
            let mut reader = Reader::open(Path::new(&path)).await.unwrap();
            let repeated = reader.repeated_points().await.unwrap();
            assert_eq!(repeated, [(account(0, 0), Told { records: 1, copies: 0 })]);
        },
    )
    .await;
}
