//! What receivers get while one of them is away, on a clock that runs when nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::*;
use crate::incident::{Announcement, Digest, Severity};
use crate::notify::{Label, Problem, RenderError, Sending, Settings};
use crate::store::commit::OutboxRow;
use crate::time::{ArrivalTime, HOUR_MS, MINUTE_MS};

/// 2026-11-24T03:05:00Z.
const BEGAN_MS: i64 = 1_795_489_500_000;

/// When something was taken, under which key and with which bytes.
type Taken = (i64, String, Vec<u8>);

/// A receiver that is away for some hours, and what it took.
#[derive(Debug, Clone)]
struct Receiver {
    clock: TestClock,
    away_ms: std::ops::Range<i64>,
    taken: Arc<Mutex<Vec<Taken>>>,
    attempts: Arc<Mutex<Vec<i64>>>,
}

#[derive(Clone)]
struct TestClock(Clock);

impl std::fmt::Debug for TestClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestClock")
    }
}

impl Settings for Receiver {
    fn word(&self) -> &'static str {
        "receiver"
    }

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn hears(&self, _kind: Kind) -> bool {
        true
    }

    fn body(&self, _told: &Announcement, _label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        Ok(Vec::new())
    }

    fn digest(&self, _digest: &Digest, _label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        Ok(Vec::new())
    }

    fn connect(&self) -> Result<Box<dyn Channel>, Problem> {
        Ok(Box::new(self.clone()))
    }
}

impl Channel for Receiver {
    fn send<'a>(&'a self, notification: &'a Notification, _now_s: i64) -> Sending<'a> {
        Box::pin(async move {
            let now_ms = (self.clock.0)();
            self.attempts.lock().unwrap().push(now_ms);
            if self.away_ms.contains(&now_ms) {
                // It hangs: the courier has to end the wait.
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            let Notification { key, body, .. } = notification.clone();
            self.taken.lock().unwrap().push(((self.clock.0)(), key, body));
            Ok(())
        })
    }
}

fn row(destination: &str, incident: usize, kind: Kind, now_ms: i64) -> OutboxRow {
    OutboxRow {
        key: format!("{destination}|{incident}|{}", kind.word()),
        incident_key: format!("incident {incident}"),
        destination: destination.to_owned(),
        kind: kind.word().to_owned(),
        created: ArrivalTime(now_ms),
        body: format!("{incident} {}", kind.word()).into_bytes(),
    }
}

/// As the service does it: dispatches when an attempt ends and when its clock ticks.
async fn carry_on(couriers: &mut Couriers, store: &mut Store, clock: &Clock, until_ms: i64) {
    while clock() < until_ms {
        couriers.dispatch(store, clock).await.unwrap();
        tokio::select! {
            biased;
            delivered = couriers.delivered() => {
                couriers.settle(delivered, store, clock).await.unwrap();
            }
            () = tokio::time::sleep(Duration::from_secs(30)) => {}
        }
    }
}

/// Incidents of the test.
const INCIDENTS: usize = 40;

/// Everything once, every end after its beginning; a receiver that was there heard of it in time.
#[track_caller]
fn check_taken(name: &str, receiver: &Receiver) {
    let taken = receiver.taken.lock().unwrap();
    let keys: BTreeSet<_> = taken.iter().map(|(_, key, _)| key.clone()).collect();
    assert_eq!((taken.len(), keys.len()), (INCIDENTS * 2, INCIDENTS * 2), "{name}");
    let place = |nth: usize, kind| {
        let row = row(name, nth, kind, 0);
        let place = taken.iter().position(|(_, key, _)| *key == row.key).unwrap();
        assert_eq!(taken[place].2, row.body);
        place
    };
    for nth in 0..INCIDENTS {
        assert!(place(nth, Kind::Open) < place(nth, Kind::Resolve), "{name} {nth}");
    }
    let latest_ms = taken.iter().map(|(at_ms, _, _)| *at_ms).max().unwrap();
    assert!(latest_ms < BEGAN_MS + 9 * HOUR_MS, "{name}: {}", latest_ms - BEGAN_MS);
    if name != "away" {
        // The others hear of everything within a tick, whatever happens beside them; the paused clock runs on
        // while a busy machine's database works.
        let lateness = taken.iter().map(|(at_ms, key, _)| {
            let nth: i64 = key.split('|').nth(1).unwrap().parse().unwrap();
            let over = if key.ends_with("resolve") { 30 * MINUTE_MS } else { 0 };
            at_ms - (BEGAN_MS + nth * 12 * MINUTE_MS + over)
        });
        let lateness = lateness.max().unwrap();
        assert!(lateness <= 5 * MINUTE_MS, "{name}: {lateness} ms");
        assert_eq!(receiver.attempts.lock().unwrap().len(), INCIDENTS * 2, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_was_away_for_six_hours_gets_everything_once_and_in_order() {
    let began = Instant::now();
    let clock: Clock =
        Arc::new(move || BEGAN_MS + i64::try_from(began.elapsed().as_millis()).unwrap());
    let receiver = |away_ms| Receiver {
        clock: TestClock(Arc::clone(&clock)),
        away_ms,
        taken: Arc::default(),
        attempts: Arc::default(),
    };
    let (from_ms, until_ms) = (BEGAN_MS + HOUR_MS, BEGAN_MS + 7 * HOUR_MS);
    let receivers = BTreeMap::from([
        ("a", receiver(0..0)),
        ("away", receiver(from_ms..until_ms)),
        ("b", receiver(0..0)),
    ]);
    let destinations: Vec<_> = receivers
        .iter()
        .map(|(name, receiver)| Destination::new(name, Severity::Info, receiver.clone()))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("t.db")).await.unwrap();
    let mut couriers = Couriers::start(&destinations, None, &clock).unwrap();

    // An incident every twelve minutes for eight hours, over after half an hour.
    let mut due: Vec<(i64, usize, Kind)> = (0..INCIDENTS)
        .flat_map(|nth| {
            let at_ms = BEGAN_MS + i64::try_from(nth).unwrap() * 12 * MINUTE_MS;
            [(at_ms, nth, Kind::Open), (at_ms + 30 * MINUTE_MS, nth, Kind::Resolve)]
        })
        .collect();
    due.sort_by_key(|(at_ms, nth, _)| (*at_ms, *nth));
    for (at_ms, nth, kind) in due {
        carry_on(&mut couriers, &mut store, &clock, at_ms).await;
        let now_ms = clock();
        let rows: Vec<_> = receivers.keys().map(|name| row(name, nth, kind, now_ms)).collect();
        store.enqueue(&rows).await.unwrap();
    }
    carry_on(&mut couriers, &mut store, &clock, BEGAN_MS + 10 * HOUR_MS).await;

    assert_eq!(store.pending(1_000).await.unwrap(), []);
    assert_eq!(couriers.given_up, [""; 0]);
    for (name, receiver) in &receivers {
        check_taken(name, receiver);
    }
    let away = receivers.get("away").unwrap();
    // What waited is all there a few minutes after the end of the outage.
    let waited = away.taken.lock().unwrap();
    let first_ms = waited.iter().map(|(at_ms, _, _)| *at_ms).find(|at_ms| *at_ms >= until_ms);
    assert!(first_ms.unwrap() - until_ms <= 6 * MINUTE_MS, "{first_ms:?}");
    let during = away.attempts.lock().unwrap();
    let during = during.iter().filter(|at_ms| (from_ms..until_ms).contains(at_ms)).count();
    // One letter at a time, ten seconds each: patient, and not forgetful.
    assert!((60..=2_160).contains(&during), "{during}");
}

/// A step that is taken hours after somebody confirmed it does harm: it is given up, and nobody is told twice.
#[tokio::test(start_paused = true)]
async fn a_call_to_the_automation_is_given_up_after_its_time() {
    let began = Instant::now();
    let clock: Clock =
        Arc::new(move || BEGAN_MS + i64::try_from(began.elapsed().as_millis()).unwrap());
    let receiver = Receiver {
        clock: TestClock(Arc::clone(&clock)),
        away_ms: BEGAN_MS..BEGAN_MS + HOUR_MS,
        taken: Arc::default(),
        attempts: Arc::default(),
    };
    let channels = vec![(AUTOMATION.to_owned(), receiver.connect().unwrap())];
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("t.db")).await.unwrap();
    let mut couriers = Couriers::carrying(channels, 15 * MINUTE_MS, &clock);
    store.enqueue(&[row(AUTOMATION, 0, Kind::Open, clock())]).await.unwrap();
    carry_on(&mut couriers, &mut store, &clock, BEGAN_MS + 2 * HOUR_MS).await;
    assert_eq!(store.pending(10).await.unwrap(), []);
    assert_eq!((receiver.taken.lock().unwrap().len(), couriers.given_up.len()), (0, 0));
    let attempts = receiver.attempts.lock().unwrap();
    assert!(attempts.iter().all(|at_ms| *at_ms < BEGAN_MS + 16 * MINUTE_MS), "{attempts:?}");
    assert!(attempts.len() > 3, "{attempts:?}");
}
