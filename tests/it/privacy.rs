//! After their days callers stay in a reduced form only, and what went is nowhere in the file.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::Row as _;
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::pipeline::Core;
use tokenwatch::store::privacy::{CallerSettings, Privacy};
use tokenwatch::store::read::Reader;
use tokenwatch::store::{Store, StoreSettings};
use tokenwatch::time::ArrivalTime;

use crate::harness::{self, Folder, connect, digest, double_entry, dump, env, partition, same};
use crate::records::{MORNING, gateway_llm, gateway_log, request, usage};

const DAY: i64 = 86_400;
/// Callers that call on the first day and never again.
const ONCE: i64 = 400;
const REGULAR: &str = "11111111-5e6f-4a7b-8c9d-0e1f2a3b4c5d";
/// Calls on the first and on the last day.
const BACK: &str = "22222222-5e6f-4a7b-8c9d-0e1f2a3b4c5d";
const SUBJECT: &str = "subscription-of-somebody";

fn identity(number: i64) -> String {
    format!("{number:08x}-aaaa-4bbb-8ccc-0123456789ab")
}

fn network(number: i64) -> String {
    format!("100.{}.{}.0/24", 64 + number / 200, number % 200)
}

/// Six days of one deployment.
fn arrivals() -> Vec<Arrival> {
    let mut records: Vec<(i64, Value)> = Vec::new();
    let mut call = |second: i64, network: &str, identity: &str| {
        let id = format!("{second}-{identity}");
        let masked = network.replace(".0/24", ".***");
        records.push((second, usage(second, &id, [1_000, 0, 100])));
        records.push((second + 20, request(second, &id, &masked, identity, 200)));
    };
    for number in 0..ONCE {
        call(1_800 + number * 60, &network(number), &identity(number));
    }
    call(40_000, "198.51.100.0/24", BACK);
    call(5 * DAY + 1_000, "198.51.100.0/24", BACK);
    for half_hour in 0..6 * 48 {
        call(half_hour * 1_800 + 7, "192.0.2.0/24", REGULAR);
    }
    // A call of somebody behind a gateway.
    call(50_000, "203.0.113.0/24", "");
    let through = [
        gateway_log(49_999_500, "g", ("100.127.0.***", SUBJECT), 2_000),
        gateway_llm(49_999_500, "g", [1_000, 100]),
    ];
    records.extend(through.map(|record| (50_030, record)));
    records.sort_by_key(|(second, _)| *second);
    let arrival = |(sequence, (second, record)): (usize, (i64, Value))| Arrival {
        partition: partition(0),
        sequence: i64::try_from(sequence).unwrap(),
        enqueued: ArrivalTime((MORNING + second) * 1000),
        body: json!({ "records": [record] }).to_string().into_bytes(),
    };
    records.into_iter().enumerate().map(arrival).collect()
}

async fn open(db: &str, privacy: Privacy) -> Core {
    let callers = CallerSettings { privacy, keep_days: 3 };
    let settings = StoreSettings { callers, ..StoreSettings::default() };
    let store = Store::open(Path::new(db)).await.unwrap().with(&settings);
    Core::restore(store, env()).await.unwrap()
}

fn hmac() -> Privacy {
    Privacy::Hmac(SecretString::from("a key of the tests"))
}

/// Reads everything in batches of `size`, with a new start every `restart` batches.
async fn read(db: &str, privacy: Privacy, (size, restart): (usize, usize)) -> Core {
    let arrivals = arrivals();
    let mut core = open(db, privacy.clone()).await;
    harness::step(&mut core, &harness::members(&arrivals)).await;
    for (place, arrivals) in arrivals.chunks(size).enumerate() {
        if place % restart == restart - 1 {
            core.store.close().await.unwrap();
            core = open(db, privacy.clone()).await;
        }
        harness::step(&mut core, &Batch { arrivals: arrivals.to_vec(), ..Batch::default() }).await;
    }
    core
}

/// What of these texts stands anywhere in the file or its log, in use or not.
fn held(db: &str, texts: impl Iterator<Item = String>) -> Vec<String> {
    let files =
        ["", "-wal"].map(|suffix| std::fs::read(format!("{db}{suffix}")).unwrap_or_default());
    let all = files.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    texts.filter(|text| all.iter().any(|file| file.contains(text))).collect()
}

/// Totals, which no reduction may touch.
async fn totals(db: &str) -> Vec<String> {
    let mut lines = dump(db).await;
    lines.retain(|line| {
        let (table, row) = line.split_once(' ').unwrap();
        let is_total = row.split(',').nth(2) == Some("-1");
        table.contains("total")
            || table == "spend_hour"
            || (table.starts_with("rollup") && is_total)
    });
    lines
}

/// Tokens of callers by hour and series, and how many callers there are in the first day.
async fn callers(db: &str) -> (BTreeMap<(i64, i64), i64>, i64) {
    let mut connection = connect(db).await;
    let rows = sqlx::query(
        "select start, series, sum(tokens_in + late_tokens_in) from rollup_hour \
         where caller <> -1 group by start, series",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let sums = rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    let row = sqlx::query(
        "select count(distinct caller) from rollup_hour where caller >= 0 and start < $1",
    )
    .bind((MORNING + DAY / 2) / 60)
    .fetch_one(&mut connection)
    .await
    .unwrap();
    (sums, row.get(0))
}

/// What is told of each caller's identity.
async fn identities(db: &str) -> Vec<String> {
    let told = Reader::open(Path::new(db)).await.unwrap().callers(600_000).await.unwrap();
    told.iter().map(|caller| caller.identity.text().to_owned()).collect()
}

#[tokio::test]
async fn identities_are_nowhere_in_the_file_after_their_days() {
    let folder = Folder::new();
    let (full, reduced) = (folder.path("full.db"), folder.path("prefix.db"));
    let core = read(&full, Privacy::Full, (97, usize::MAX)).await;
    core.store.close().await.unwrap();
    assert_eq!(held(&full, (0..ONCE).map(identity)).len(), 400);
    assert_eq!(held(&full, [SUBJECT.to_owned()].into_iter()).len(), 1);

    let core = read(&reduced, Privacy::Prefix, (97, usize::MAX)).await;
    // While the service runs: its log holds nothing of them either.
    assert_eq!(held(&reduced, (0..ONCE).map(identity)), [""; 0]);
    assert_eq!(held(&reduced, [SUBJECT.to_owned()].into_iter()), [""; 0]);
    let kept = [REGULAR, BACK].map(str::to_owned);
    assert_eq!(held(&reduced, kept.clone().into_iter()), kept);
    assert_eq!(held(&reduced, (0..ONCE).map(network)).len(), 400, "networks stay");
    core.store.close().await.unwrap();
    // Who has lost the name has not called with a key: the four hundred, and two in their old rows.
    let [before, after] = [identities(&full).await, identities(&reduced).await];
    let count = |told: &[String], word: &str| told.iter().filter(|text| *text == word).count();
    assert_eq!(count(&after, "(other)"), 402);
    assert_eq!(count(&before, "key"), count(&after, "key"));

    same("totals", &totals(&full).await, &totals(&reduced).await);
    assert_eq!(callers(&full).await.0, callers(&reduced).await.0);
    let (partitions, total) = double_entry(&reduced).await;
    assert_eq!(partitions, total);
}

#[tokio::test]
async fn hashes_take_the_place_of_networks_and_identities_and_still_count() {
    let folder = Folder::new();
    let (full, reduced) = (folder.path("full.db"), folder.path("hmac.db"));
    let core = read(&full, Privacy::Full, (97, usize::MAX)).await;
    core.store.close().await.unwrap();
    let core = read(&reduced, hmac(), (97, usize::MAX)).await;
    let gone = (0..ONCE).flat_map(|number| [identity(number), network(number)]);
    assert_eq!(held(&reduced, gone.chain([SUBJECT.to_owned()])), [""; 0]);
    core.store.close().await.unwrap();
    same("totals", &totals(&full).await, &totals(&reduced).await);
    let (before, after) = (callers(&full).await, callers(&reduced).await);
    assert_eq!(before, after, "as many callers, with the same sums");
    let mut connection = connect(&reduced).await;
    let hashes = sqlx::query("select text from name where text like 'hmac:%'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut hashes: Vec<String> = hashes.iter().map(|row| row.get(0)).collect();
    hashes.sort();
    hashes.dedup();
    // Network and identity of each, those of the two others, and what was behind the gateway.
    assert_eq!(hashes.len(), 2 * 400 + 4 + 3, "one hash for each name");
}

#[tokio::test]
async fn however_it_is_cut_and_restarted_the_reduced_state_is_the_same() {
    let folder = Folder::new();
    for (name, privacy) in [("prefix", Privacy::Prefix), ("hmac", hmac())] {
        let mut expected: Option<Vec<String>> = None;
        for (place, cut) in
            [(97, usize::MAX), (97, 4), (13, 30), (5_000, 1)].into_iter().enumerate()
        {
            let db = folder.path(&format!("{name}-{place}.db"));
            let core = read(&db, privacy.clone(), cut).await;
            core.store.close().await.unwrap();
            let found = digest(&db).await;
            match &expected {
                Some(expected) => same(&format!("{name} {cut:?}"), expected, &found),
                None => expected = Some(found),
            }
        }
    }
}
