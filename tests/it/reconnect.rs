//! A thousand reconnects: every event once, and nothing of the old connections stays behind.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokenwatch::emulator::{Action, Control, Emulator, EmulatorClock, HubSpec, Lasts, Reach};
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
        probe: Duration::from_millis(200),
        answer: Duration::from_millis(500),
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
        let [_, local, remote, state, _, _, _, _, _, inode, ..] = fields.as_slice() else {
            return false;
        };
        let at_port = local.ends_with(&ours) || remote.ends_with(&ours);
        // Without an inode nobody in user space holds it any more.
        at_port && ESTABLISHED_TO_CLOSING.contains(state) && *inode != "0"
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

/// What of a connection can be left behind: tasks of the hub's side and of ours, and sockets.
#[derive(Debug, Clone, Copy)]
struct Alive {
    tasks: [usize; 2],
    sockets: usize,
}

impl Alive {
    fn exceeds(&self, other: &Self) -> bool {
        let more_tasks = self.tasks.iter().zip(other.tasks).any(|(now, then)| *now > then);
        more_tasks || self.sockets > other.sockets
    }
}

/// Reads events while `fault` breaks the connections between them, until there were `reconnects`;
/// then nothing more is alive than soon after the start, and nothing at all after the end.
fn check(reconnects: u64, settled: u64, fault: impl Fn(&Control)) {
    // Runtimes of their own, so that the tasks of other tests are not counted.
    let (hub_side, our_side) = (runtime(), runtime());
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let listen = "127.0.0.1:0".parse().unwrap();
    let hubs = vec![HubSpec::new(HUB, PARTITIONS)];
    let started = Emulator::start(listen, hubs, EmulatorClock::real());
    let emulator = hub_side.block_on(started).unwrap();
    let control = emulator.control();
    let alive = || Alive {
        tasks: [&hub_side, &our_side].map(|runtime| runtime.handle().metrics().num_alive_tasks()),
        sockets: sockets(emulator.address().port()),
    };
    our_side.block_on(async {
        let mut source = start(&emulator);
        let mut next = BTreeMap::new();
        let mut then = None;
        for round in 0.. {
            for partition in 0..PARTITIONS {
                control.append(HUB, partition, b"{}".to_vec()).unwrap();
            }
            read_to(&mut source, &mut next, round).await;
            let done = control.attach_count() - u64::from(PARTITIONS);
            if done >= settled {
                then.get_or_insert_with(alive);
            }
            if done >= reconnects {
                break;
            }
            fault(&control);
        }
        let then = then.unwrap();
        wait(&format!("no more than {then:?}"), alive, |now| !now.exceeds(&then)).await;
        source.close().await;
        wait("nothing", alive, |now| now.sockets == 0 && now.tasks[1] == 0).await;
    });
    hub_side.block_on(emulator.stop());
}

async fn wait(what: &str, alive: impl Fn() -> Alive, fits: impl Fn(&Alive) -> bool) {
    let waiting = async {
        while !fits(&alive()) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "{:?}, expected {what}", alive());
}

#[test]
fn a_thousand_reconnects_lose_nothing_and_leave_nothing_behind() {
    check(RECONNECTS, SETTLED, |control| control.apply(Action::Cut).unwrap());
}

/// Nobody tells the client's library that such a peer has gone.
#[test]
fn connections_of_peers_that_fell_silent_are_not_left_behind() {
    check(4 * u64::from(PARTITIONS), u64::from(PARTITIONS), |control| {
        let lasts = Lasts::For(Duration::from_millis(1_500));
        control.apply(Action::HalfOpen { reach: Reach::Existing, lasts }).unwrap();
    });
}
