//! A thousand reconnects: every event once, and nothing of the old connections stays behind.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokenwatch::emulator::{Emulator, EmulatorClock, HubSpec};
use tokenwatch::source::Source as _;
use tokenwatch::source::event_hubs::{Auth, EventHubs, HubSettings, Pace, Start, Transport};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

const HUB: &str = "logs";
const PARTITIONS: u32 = 8;
const RECONNECTS: u64 = 1_000;
/// Reconnects after which things have settled: what is alive then may be alive at the end.
const SETTLED: u64 = 80;
const PATIENCE: Duration = Duration::from_secs(60);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn pace() -> Pace {
    Pace {
        flush: Duration::from_millis(10),
        probe: Duration::from_secs(5),
        backoff: (Duration::from_millis(5), Duration::from_millis(50)),
        ..Pace::default()
    }
}

fn start(emulator: &Emulator) -> EventHubs {
    let hub = HubSettings {
        name: "east".to_owned(),
        namespace: "localhost".to_owned(),
        hub: HUB.to_owned(),
        consumer_group: "tokenwatch".to_owned(),
        auth: Auth::ConnectionString(emulator.connection_string(HUB).into()),
        custom_endpoint: Some(emulator.endpoint()),
        transport: Transport::Amqp,
        start: Start::Earliest,
        prefetch: 50,
    };
    EventHubs::start(vec![hub], &HashMap::new(), 1, pace())
}

/// Open sockets of this process with the emulator's port at either end.
#[cfg(target_os = "linux")]
fn sockets(port: u16) -> usize {
    const ESTABLISHED_TO_CLOSING: [&str; 5] = ["01", "04", "05", "08", "09"];
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let ours = format!(":{port:04X}");
    let open = table.lines().skip(1).filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let at_port = fields[1].ends_with(&ours) || fields[2].ends_with(&ours);
        // Without an inode nobody in user space holds it any more.
        at_port && ESTABLISHED_TO_CLOSING.contains(&fields[3]) && fields[9] != "0"
    });
    open.count()
}

/// Elsewhere the tasks alone tell.
#[cfg(not(target_os = "linux"))]
fn sockets(_port: u16) -> usize {
    0
}

/// Reads until every partition has been read up to `last`, each event exactly once and in order.
async fn read_to(source: &mut EventHubs, next: &mut BTreeMap<String, i64>, last: i64) {
    while next.len() < PARTITIONS as usize || next.values().any(|next| *next <= last) {
        let batch = timeout(PATIENCE, source.next_batch()).await.unwrap().unwrap().unwrap();
        for arrival in batch.arrivals {
            let wanted = next.entry(arrival.partition.partition).or_insert(0);
            assert_eq!(arrival.sequence, *wanted);
            *wanted += 1;
        }
    }
}

#[test]
fn a_thousand_reconnects_lose_nothing_and_leave_nothing_behind() {
    // Runtimes of their own, so that the tasks of other tests are not counted.
    let (hub_side, our_side) = (runtime(), runtime());
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let listen = "127.0.0.1:0".parse().unwrap();
    let hubs = vec![HubSpec::new(HUB, PARTITIONS)];
    let started = Emulator::start(listen, hubs, EmulatorClock::real());
    let emulator = hub_side.block_on(started).unwrap();
    let port = emulator.address().port();
    let control = emulator.control();
    let alive =
        || [&hub_side, &our_side].map(|runtime| runtime.handle().metrics().num_alive_tasks());
    our_side.block_on(async {
        let mut source = start(&emulator);
        let mut next = BTreeMap::new();
        let mut settled = None;
        for round in 0.. {
            for partition in 0..PARTITIONS {
                control.append(HUB, partition, b"{}".to_vec()).unwrap();
            }
            read_to(&mut source, &mut next, round).await;
            let reconnects = control.attach_count() - u64::from(PARTITIONS);
            if reconnects >= SETTLED && settled.is_none() {
                settled = Some((alive(), sockets(port)));
            }
            if reconnects >= RECONNECTS {
                break;
            }
            control.cut_connections();
        }
        let (tasks_settled, sockets_settled) = settled.unwrap();
        let no_more = async {
            while sockets(port) > sockets_settled
                || alive().iter().zip(tasks_settled).any(|(now, then)| *now > then)
            {
                sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(
            timeout(PATIENCE, no_more).await.is_ok(),
            "tasks {:?} were {tasks_settled:?}, sockets {} were {sockets_settled}",
            alive(),
            sockets(port)
        );
        source.close().await;
        let none = async {
            while sockets(port) > 0 || alive()[1] > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let gone = timeout(PATIENCE, none).await;
        assert!(gone.is_ok(), "{} sockets and tasks {:?} are left", sockets(port), alive());
    });
    hub_side.block_on(emulator.stop());
}
