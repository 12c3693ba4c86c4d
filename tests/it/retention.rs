//! A database near its limit lets callers' detail go, says so, and loses no total.

use std::collections::BTreeSet;
use std::path::Path;

use tokenwatch::engine::effects::Effects;
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::pipeline::Core;
use tokenwatch::severity::Severity;
use tokenwatch::simulate::Scenario;
use tokenwatch::store::{Store, StoreSettings};

use crate::harness::{self, Folder, double_entry, dump, env, same};

async fn limited(db: &str, max_bytes: Option<u64>) -> Core {
    let settings = StoreSettings { max_bytes, ..StoreSettings::default() };
    let store = Store::open(Path::new(db)).await.unwrap().with(&settings);
    Core::restore(store, env()).await.unwrap()
}

/// Reads everything as the service does: measured before each step.
async fn read(core: &mut Core, arrivals: &[Arrival]) -> Vec<Effects> {
    let mut all = vec![harness::step(core, &harness::members(arrivals)).await];
    for arrivals in arrivals.chunks(40) {
        let storage = core.store.measured().await.unwrap();
        let batch = Batch { arrivals: arrivals.to_vec(), storage, ..Batch::default() };
        all.push(harness::step(core, &batch).await);
    }
    all
}

/// Rows that no limit may touch: totals of any grain, spend, positions, calls still open.
async fn kept(db: &str) -> Vec<String> {
    let mut lines = dump(db).await;
    lines.retain(|line| {
        let (table, row) = line.split_once(' ').unwrap();
        let is_total = row.split(',').nth(2) == Some("-1");
        match table {
            "rollup_minute" | "rollup_five" | "rollup_hour" => is_total,
            "total" | "spend_hour" | "spend_total" | "partition_state" | "account" | "name" => true,
            _ => false,
        }
    });
    assert!(lines.len() > 1_000, "{}", lines.len());
    lines
}

/// Callers' rows by minute, five minutes and hour.
async fn callers(db: &str) -> [usize; 3] {
    let lines = dump(db).await;
    ["rollup_minute", "rollup_five", "rollup_hour"].map(|table| {
        let of = |line: &&String| {
            line.split_once(' ')
                .is_some_and(|(name, row)| name == table && row.split(',').nth(2) != Some("-1"))
        };
        lines.iter().filter(of).count()
    })
}

/// What a restart believes: networks by deployment, first seen in which hour.
async fn first_sights(db: &str) -> BTreeSet<(String, String, i64)> {
    let mut store = Store::open(Path::new(db)).await.unwrap();
    let saved = store.load().await.unwrap();
    store.close().await.unwrap();
    let of_accounts = saved.accounts.iter().flat_map(|account| {
        account.networks.iter().map(|(deployment, network, minute)| {
            let text = |number: u32| {
                // Two numbers are reserved.
                let place = usize::try_from(number).unwrap().checked_sub(2);
                place.map_or("", |place| account.names.get(place).unwrap().1.as_str()).to_owned()
            };
            (text(*deployment), text(*network), minute.0.div_euclid(60))
        })
    });
    of_accounts.collect()
}

#[tokio::test]
async fn near_its_limit_the_database_loses_callers_detail_and_no_total() {
    let folder = Folder::new();
    let arrivals = harness::arrivals(harness::short(Scenario::StolenKey, 5));
    let (free, tight) = (folder.path("free.db"), folder.path("tight.db"));
    let mut core = limited(&free, None).await;
    read(&mut core, &arrivals).await;
    core.store.close().await.unwrap();
    // With room for the log, which SQLite folds in after a thousand pages.
    let size = std::fs::metadata(&free).unwrap().len() + 1_000 * 4_096;

    let mut core = limited(&tight, Some(size)).await;
    let effects = read(&mut core, &arrivals).await;
    core.store.close().await.unwrap();

    same("what no limit may touch", &kept(&free).await, &kept(&tight).await);
    let (before, after) = double_entry(&tight).await;
    assert_eq!(before, after);
    let [all, left] = [callers(&free).await, callers(&tight).await];
    assert!(left[0] < all[0] && left[0] > 0, "{left:?} of {all:?}");
    assert_eq!(left[2], all[2], "hours of the last month stay");
    assert_eq!(first_sights(&free).await, first_sights(&tight).await);

    let told: Vec<_> = effects
        .iter()
        .flat_map(|effects| &effects.announcements)
        .filter(|told| told.incident.rule == "TW-S10")
        .map(|told| told.incident.severity)
        .collect();
    assert_eq!(told.first(), Some(&Severity::Medium), "{told:?}");
    assert!(effects.iter().all(|effects| effects.shed.is_none() || effects.positions.len() == 4));
    let evidence: Vec<_> = effects
        .iter()
        .flat_map(|effects| &effects.incidents)
        .filter(|(cause, _)| cause.rule == "TW-S10")
        .flat_map(|(_, tracked)| tracked.incident.evidence.clone())
        .collect();
    let limit = tokenwatch::money::Grouped(i64::try_from(size).unwrap()).to_string();
    assert!(evidence.iter().all(|said| said.contains(&limit)), "{evidence:?}");
    assert!(evidence.iter().any(|said| !said.contains("began 0 rows by minute")), "{evidence:?}");
}

#[tokio::test]
async fn above_its_limit_the_database_goes_on_and_says_so_loudly() {
    let folder = Folder::new();
    let arrivals = harness::arrivals(harness::short(Scenario::StolenKey, 6));
    let (free, tight) = (folder.path("free.db"), folder.path("tight.db"));
    let mut core = limited(&free, None).await;
    read(&mut core, &arrivals).await;
    core.store.close().await.unwrap();
    let mut core = limited(&tight, Some(100_000)).await;
    let effects = read(&mut core, &arrivals).await;
    core.store.close().await.unwrap();
    same("what no limit may touch", &kept(&free).await, &kept(&tight).await);
    let worst = effects
        .iter()
        .flat_map(|effects| &effects.announcements)
        .filter(|told| told.incident.rule == "TW-S10")
        .map(|told| told.incident.severity)
        .max();
    assert_eq!(worst, Some(Severity::High));
}
