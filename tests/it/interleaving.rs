//! Any batching and any interleaving of the partitions, any repetition and any cut give the same.

use std::collections::{BTreeMap, VecDeque};

use tokenwatch::event::{Arrival, Batch, PartitionKey};
use tokenwatch::simulate::{Options, Scenario};

use crate::harness::{self, Folder, arrivals, digest, idle, members, open, same, step};

/// Nine days with little traffic, so that the detectors are alive when the attack comes.
fn long(scenario: Scenario, seed: u64) -> Options {
    Options {
        scenario,
        seed,
        history_hours: 216,
        live_minutes: 150,
        calls_per_hour: 6.0,
        deployments: 2,
        ..Options::default()
    }
}

/// In what order the partitions are read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// As the events arrived.
    Arrival,
    /// One partition to its end, then the next.
    OneByOne,
    /// Runs of up to so many events from a partition chosen at random.
    Runs(usize),
}

fn ordered(arrivals: &[Arrival], order: Order, random: &mut fastrand::Rng) -> Vec<Arrival> {
    let longest = match order {
        Order::Arrival => return arrivals.to_vec(),
        Order::OneByOne => usize::MAX,
        Order::Runs(longest) => longest,
    };
    let mut queues: BTreeMap<PartitionKey, VecDeque<Arrival>> = BTreeMap::new();
    for arrival in arrivals {
        queues.entry(arrival.partition.clone()).or_default().push_back(arrival.clone());
    }
    let mut queues: Vec<_> = queues.into_values().collect();
    let mut mixed = Vec::with_capacity(arrivals.len());
    while !queues.is_empty() {
        let place = random.usize(0..queues.len());
        let Some(queue) = queues.get_mut(place) else { break };
        let run = random.usize(1..=longest).max(if longest == usize::MAX { longest } else { 1 });
        mixed.extend(queue.drain(..run.min(queue.len())));
        if queue.is_empty() {
            queues.swap_remove(place);
        }
    }
    mixed
}

/// How the stream is handed over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handing {
    pub(crate) order: Order,
    /// Events per batch, and events per batch in the last `tail` events.
    pub(crate) batch: usize,
    pub(crate) tail_batch: usize,
    /// One in so many batches is delivered twice; 0 for none.
    pub(crate) twice: usize,
    /// One in so many batches is followed by a stop and a start; 0 for none.
    pub(crate) cut: usize,
    pub(crate) seed: u64,
}

pub(crate) const PLAIN: Handing =
    Handing { order: Order::Arrival, batch: 5_000, tail_batch: 5_000, twice: 0, cut: 0, seed: 0 };

/// Events at the end that get a batch size of their own: small ones cost a transaction each.
const TAIL: usize = 120;

pub(crate) async fn outcome(arrivals: &[Arrival], handing: Handing) -> Vec<String> {
    let folder = Folder::new();
    let db = folder.path("db");
    let mut random = fastrand::Rng::with_seed(handing.seed);
    let stream = ordered(arrivals, handing.order, &mut random);
    let (head, tail) = stream.split_at(stream.len().saturating_sub(TAIL));
    let batches = head.chunks(handing.batch).chain(tail.chunks(handing.tail_batch));
    let mut core = open(&db).await;
    step(&mut core, &members(arrivals)).await;
    let one_in = |n: usize, random: &mut fastrand::Rng| n > 0 && random.usize(0..n) == 0;
    for chunk in batches {
        let batch = Batch { arrivals: chunk.to_vec(), ..Batch::default() };
        step(&mut core, &batch).await;
        if one_in(handing.twice, &mut random) {
            step(&mut core, &batch).await;
        }
        if one_in(handing.cut, &mut random) {
            drop(core);
            core = open(&db).await;
            step(&mut core, &members(arrivals)).await;
        }
    }
    step(&mut core, &idle(arrivals)).await;
    core.store.close().await.unwrap();
    let (partitions, totals) = harness::double_entry(&db).await;
    assert_eq!(partitions, totals, "{handing:?}");
    digest(&db).await
}

/// Compares the outcome of every handing with the plain one, which must hold an incident.
async fn check(options: Options, handings: &[Handing]) {
    let arrivals = arrivals(options);
    let expected = outcome(&arrivals, PLAIN).await;
    assert!(expected.iter().any(|line| line.starts_with("incident ")), "nothing was found at all");
    for handing in handings {
        let found = outcome(&arrivals, *handing).await;
        same(&format!("{handing:?}"), &expected, &found);
    }
}

#[tokio::test]
async fn batch_sizes_change_nothing() {
    let sized = |batch, tail_batch| Handing { batch, tail_batch, ..PLAIN };
    let handings = [sized(500, 1), sized(500, 7), sized(97, 500)];
    check(long(Scenario::StolenKey, 2), &handings).await;
}

#[tokio::test]
async fn interleavings_change_nothing() {
    let mixed = |order, seed| Handing { order, batch: 500, tail_batch: 25, seed, ..PLAIN };
    let handings =
        [mixed(Order::OneByOne, 1), mixed(Order::Runs(3), 2), mixed(Order::Runs(1_000), 4)];
    check(long(Scenario::StolenKey, 3), &handings).await;
}

#[tokio::test]
async fn batches_delivered_twice_change_nothing() {
    let twice =
        |order, seed| Handing { order, batch: 500, tail_batch: 20, twice: 2, seed, ..PLAIN };
    let handings = [twice(Order::Arrival, 5), twice(Order::Runs(30), 6)];
    check(long(Scenario::StolenKey, 4), &handings).await;
}

#[tokio::test]
async fn a_stop_anywhere_changes_nothing() {
    let cut = |order, seed| Handing { order, batch: 400, tail_batch: 20, cut: 3, seed, ..PLAIN };
    let handings = [cut(Order::Arrival, 7), cut(Order::Runs(30), 8), cut(Order::OneByOne, 9)];
    check(long(Scenario::StolenKey, 5), &handings).await;
}

#[tokio::test]
async fn stops_and_repetitions_of_an_outage_change_nothing() {
    let rough = Handing { batch: 300, tail_batch: 15, twice: 3, cut: 4, ..PLAIN };
    let handings = [Handing { order: Order::Runs(200), seed: 11, ..rough }];
    let old_enough = Options { history_hours: 384, ..long(Scenario::Outage, 2) };
    let options = Options { calls_per_hour: 30.0, ..old_enough };
    check(options, &handings).await;
}
