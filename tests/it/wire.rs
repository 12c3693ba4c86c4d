//! The service over real AMQP while the hub misbehaves: totals stay exact, and what is lost is said.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use tokenwatch::emulator::{Action, Script};
use tokenwatch::pipeline::PipelineError;
use tokenwatch::store::StoreError;
use tokio::time::{sleep, timeout};

use crate::harness::Sums;
use crate::world::{HUB, PATIENCE, World};

/// A fault that costs nothing, and the most connections that reading may need because of it.
struct Harmless {
    name: &'static str,
    /// Played while the second half of the events is written.
    script: &'static str,
    connections: u64,
}

/// Connections of a run without a fault: one a partition, and one now and then to ask for new ones.
const UNDISTURBED: u64 = 2 + 20;

const fn harmless(name: &'static str, script: &'static str, connections: u64) -> Harmless {
    Harmless { name, script, connections }
}

/// A pause is at least 10 ms and grows to at least 100, so that 600 ms allow a partition about ten
/// attempts; the bounds leave room for a busy machine and none for a loop without pauses.
const HARMLESS: &[Harmless] = &[
    harmless("nothing", "at 0 s: end", 0),
    harmless(
        "connections are cut",
        "cut; at 40 ms: cut; at 80 ms: cut; at 200 ms: cut; at 500 ms: cut",
        30,
    ),
    harmless("connections are refused", "refuse for 400 ms; cut", 60),
    harmless("the peer loses its power", "half-open for 800 ms", 30),
    harmless("the network swallows everything", "half-open new for 800 ms", 30),
    harmless("connections are closed for idleness", "idle-close; at 300 ms: idle-close", 20),
    harmless(
        "links are detached",
        "detach * amqp:link:stolen; at 100 ms: detach * amqp:unauthorized-access; \
         at 200 ms: detach * com.microsoft:server-busy; at 300 ms: detach * amqp:internal-error; \
         at 400 ms: detach * amqp:link:detach-forced; at 500 ms: detach * com.microsoft:timeout",
        60,
    ),
    harmless("the namespace is throttled", "server-busy for 600 ms", 40),
    harmless("access is taken away", "unauthorized for 600 ms; cut", 60),
    harmless("tokens end", "expire-tokens; at 300 ms: expire-tokens in 50 ms", 30),
    harmless("tokens are looked at", "enforce-tokens for 500 ms; at 100 ms: cut", 20),
    harmless("deliveries stop", "freeze logs/0 for 700 ms", 20),
    harmless("deliveries are slow", "slow * 100 for 700 ms", 20),
    harmless("events come twice", "duplicate * 500; at 200 ms: duplicate * 500", 0),
    harmless("the clock of the hub jumps", "clock +30 min; at 200 ms: clock -2 h", 0),
    harmless("old events stay", "retain * 24 h", 0),
];

/// Half of the events, then a fault while the other half comes: nothing is lost, nothing counts
/// twice, nobody is woken.
async fn check(fault: &Harmless) {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    let script: Script = fault.script.parse().unwrap();
    let control = world.control();
    let playing = script.run(&control);
    let writing = async {
        let (half, all) = (world.half(), world.events.len());
        let step = (all - half) / 15 + 1;
        for start in (half..all).step_by(step) {
            world.append(start..all.min(start + step));
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::join!(playing, writing);
    world.applied(0).await;
    running.stop().await;
    world.assert_exact().await;
    assert_eq!(world.rules().await, Vec::<String>::new(), "{}", fault.name);
    let (needed, allowed) = (control.connection_count(), UNDISTURBED + fault.connections);
    assert!(needed <= allowed, "{}: {needed} connections, {allowed} allowed", fault.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_that_pass_cost_nothing() {
    let checks = futures_util::stream::iter(HARMLESS).map(|fault| async {
        let checked = AssertUnwindSafe(check(fault)).catch_unwind().await;
        checked.err().map(|_| fault.name)
    });
    let failed: Vec<&str> = checks.buffer_unordered(4).filter_map(async |one| one).collect().await;
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Something that lasts for long enough to be told, and whose events are all read afterwards.
async fn check_told(script: &str, rule: &str, shorten: impl FnOnce(&mut World)) {
    let mut world = World::new().await;
    shorten(&mut world);
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    let control = world.control();
    script.parse::<Script>().unwrap().run(&control).await;
    world.append(world.half()..world.events.len());
    world.told(rule).await;
    control.apply(Action::End).unwrap();
    world.applied(0).await;
    running.stop().await;
    world.assert_exact().await;
    assert_eq!(world.rules().await, [rule]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_hub_refuses_us_is_told() {
    let shorten = |world: &mut World| world.pace.trouble = Duration::from_millis(400);
    check_told("unauthorized; cut", "TW-S06", shorten).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_hub_does_not_answer_is_told() {
    let shorten = |world: &mut World| world.pace.trouble = Duration::from_millis(80);
    check_told("refuse; cut", "TW-S06", shorten).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_partition_is_stalled_is_told() {
    let shorten = |world: &mut World| world.pace.stalled = Duration::from_millis(600);
    check_told("freeze logs/0", "TW-S03", shorten).await;
}

/// A rival process with a database of its own, and so with no idea of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_another_reader_takes_our_partitions_is_told_and_nothing_counts_twice() {
    let mut world = World::new().await;
    world.pace.trouble = Duration::from_millis(400);
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    let rival = world.rival(7);
    world.told("TW-S06").await;
    rival.close().await;
    world.append(world.half()..world.events.len());
    world.applied(0).await;
    running.stop().await;
    world.assert_exact().await;
    assert_eq!(world.rules().await, ["TW-S06"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_at_one_database_the_later_goes_on_and_the_earlier_ends() {
    let mut world = World::new().await;
    world.pace.trouble = Duration::from_millis(400);
    let earlier = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    let later = world.start().await;
    // Nothing is written meanwhile: the earlier one has nothing to save and no reason to look.
    let ended = earlier.ended().await;
    assert!(matches!(ended, Err(PipelineError::Store(StoreError::Fenced { .. }))), "{ended:?}");
    world.append(world.half()..world.events.len());
    world.applied(0).await;
    later.stop().await;
    world.assert_exact().await;
    assert_eq!(world.rules().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_grew_too_old_while_we_were_away_raise_an_incident() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    running.stop().await;
    let end = world.events.len();
    world.append(world.half()..end - 20);
    world.clock.set(world.events[end - 20].enqueued_ms + 60_000);
    let retain = "retain * 90 s".parse::<Script>().unwrap();
    retain.run(&world.control()).await;
    world.append(end - 20..end);
    let running = world.start().await;
    world.applied(0).await;
    running.stop().await;
    assert_eq!(world.rules().await, ["TW-S01"]);
    let (stored, truth) = world.sums().await;
    let calls = |sums: &Sums| sums.values().map(|sum| sum[0]).sum::<i64>();
    assert!(calls(&stored) < calls(&truth));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_partition_is_noticed_and_read_again() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    world.apply("freeze logs/0");
    world.append(world.half()..world.events.len());
    let before = world.control().attach_count();
    let attached_again = async {
        while world.control().attach_count() < before + 3 {
            sleep(Duration::from_millis(30)).await;
        }
    };
    timeout(PATIENCE, attached_again).await.unwrap();
    world.apply("freeze logs/0 for 0 s");
    world.applied(0).await;
    running.stop().await;
    world.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_events_raise_an_incident() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    world.apply("skip logs/0 7");
    world.append(world.half()..world.events.len());
    world.applied(0).await;
    running.stop().await;
    world.assert_exact().await;
    assert_eq!(world.rules().await, ["TW-S01"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_removed_before_they_were_read_raise_an_incident() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    running.stop().await;
    world.append(world.half()..world.events.len());
    let next = world.control().received(HUB);
    world.apply(&format!("expire logs/0 {}", next[0] - 2));
    let running = world.start().await;
    world.applied(0).await;
    running.stop().await;
    assert_eq!(world.rules().await, ["TW-S01"]);
    let (stored, truth) = world.sums().await;
    let calls = |sums: &Sums| sums.values().map(|sum| sum[0]).sum::<i64>();
    assert!(calls(&stored) < calls(&truth));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recreated_hub_is_read_from_its_beginning() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    world.apply("recreate logs");
    // Fewer events than before, so that a naive reader would take them all for duplicates.
    let end = world.half() + world.half() / 2;
    world.append(world.half()..end);
    world.applied(1).await;
    world.append(end..world.events.len());
    world.applied(1).await;
    running.stop().await;
    world.assert_exact().await;
    assert!(world.rules().await.contains(&"TW-S02".to_owned()), "{:?}", world.rules().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_recreated_and_filled_while_we_were_away_is_read_from_its_beginning() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    running.stop().await;
    let newest = world.events[world.half() - 1].enqueued_ms;
    world.clock.set(newest + 1);
    world.apply("recreate logs");
    // More events than before: its sequence numbers alone tell nothing.
    for event in world.events.iter().skip(world.half()) {
        let (body, at_ms) = (event.body.clone(), event.enqueued_ms.max(newest + 1));
        world.control().append_at(HUB, event.partition, body, at_ms).unwrap();
    }
    for partition in [0, 1] {
        for _ in 0..world.half() {
            world.control().append_at(HUB, partition, b"{}".to_vec(), newest + 1).unwrap();
        }
    }
    let running = world.start().await;
    world.applied(1).await;
    running.stop().await;
    world.assert_exact().await;
    assert!(world.rules().await.contains(&"TW-S02".to_owned()), "{:?}", world.rules().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_partitions_are_picked_up() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    world.apply("grow logs 4");
    for (place, event) in world.events.iter().enumerate().skip(world.half()) {
        let partition = u32::try_from(place % 4).unwrap();
        let body = event.body.clone();
        world.control().append_at(HUB, partition, body, event.enqueued_ms).unwrap();
    }
    world.applied(0).await;
    running.stop().await;
    world.assert_exact().await;
}
