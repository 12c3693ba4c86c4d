use super::*;
use crate::price::PriceBook;

fn key(hub: &str, incarnation: i64, partition: &str) -> PartitionKey {
    PartitionKey { hub: hub.to_owned(), incarnation, partition: partition.to_owned() }
}

fn restored(partitions: &[(PartitionKey, i64)]) -> Engine {
    let at = |(key, passed): &(PartitionKey, i64)| (key.clone(), Some(9), ArrivalTime(*passed));
    let partitions = partitions.iter().map(at).collect();
    let env = Env::new(EngineSettings::default(), PriceBook::built_in().unwrap());
    Engine::restore(Saved { partitions, ..Saved::default() }, env)
}

#[track_caller]
fn check(mut engine: Engine, batch: &Batch, watermark: i64, seen: i64) {
    engine.apply(batch);
    let passed = engine.hubs["east"];
    assert_eq!((passed.waited_for.0, passed.seen.0), (watermark, seen));
}

#[test]
fn after_a_restart_nothing_waits_for_the_earlier_life_of_a_hub() {
    let engine = restored(&[(key("east", 0, "0"), 5), (key("east", 1, "0"), 70)]);
    check(engine, &Batch::default(), 70, 70);
}

#[test]
fn a_stalled_partition_holds_back_what_is_forgotten_but_not_what_is_judged() {
    let engine = restored(&[(key("east", 0, "0"), 5), (key("east", 0, "1"), 70)]);
    let batch = Batch { stalled: vec![key("east", 0, "0")], ..Batch::default() };
    check(engine, &batch, 70, 5);
}

#[test]
fn what_we_ask_for_ourselves_tells_no_time_and_holds_nothing_back() {
    let polled = PartitionKey::polled("metrics".to_owned(), "s");
    for passed in [5, 7_000] {
        let mut engine = restored(&[(polled.clone(), passed), (key("east", 0, "0"), 70)]);
        let (partition, enqueued) = (polled.clone(), ArrivalTime(9_000));
        let arrivals = vec![Arrival { partition, sequence: 9, enqueued, body: b"{}".to_vec() }];
        engine.apply(&Batch { arrivals, ..Batch::default() });
        assert_eq!((engine.now, engine.hubs.len()), (ArrivalTime(70), 1));
        assert_eq!(engine.positions()[&polled].passed, enqueued);
        check(engine, &Batch::default(), 70, 70);
    }
}

#[test]
fn nothing_waits_for_a_hub_that_is_no_longer_configured() {
    let gone = key("west", 0, "0");
    let mut engine = restored(&[(gone.clone(), 5), (key("east", 0, "0"), 70)]);
    engine.apply(&Batch { gone: vec![gone], ..Batch::default() });
    assert!(!engine.hubs.contains_key("west"));
    check(engine, &Batch::default(), 70, 70);
}
