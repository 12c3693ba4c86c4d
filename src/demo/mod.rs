//! The main job on embedded parts: emulator, simulated fleet, service, mail folder and a listener
//! that verifies signatures.
//!
//! Two weeks of history lie in the emulator and cross AMQP to the service; then the live part is
//! sent by Microsoft's own producer on the emulator's faster clock, with the attack in it.

mod feed;
mod networks;
mod verdict;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::emulator::{Emulator, EmulatorClock, EmulatorError, HubSpec};
use crate::engine::effects::Effects;
use crate::engine::{EngineSettings, Env};
use crate::event::Batch;
use crate::files::Files;
use crate::incident::{Announcement, Severity};
use crate::notify::listener::{Listener, ListenerError};
use crate::notify::{Body, Destination, EmlSettings, HttpSettings, WebhookSettings};
use crate::pipeline::{Core, PipelineError, Service, Watch, wall_clock};
use crate::price::PriceBook;
use crate::problem::Problems;
use crate::simulate::{Options, Simulation, Truth};
use crate::source::event_hubs::{Auth, EventHubs, HubSettings, Pace, Start, Transport};
use crate::store::{Store, StoreError};
pub use feed::FeedError;
pub use verdict::{Check, Day, Verdict};

/// Name of the hub in the emulator.
const HUB: &str = "insights-logs";
/// Name of the hub in the configuration.
const NAME: &str = "demo";
/// How long the service may take for what is left once everything is sent.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
/// Signing secret of the built-in listener; it listens on loopback, for this demo alone.
const WEBHOOK_SECRET: &str = "whsec_ZGVtby1vbmx5LW5vdC1hLXNlY3JldC0zMi1ieXRlcw==";

/// Why the demo cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The folder already holds a database.
    #[error("{path} exists already: choose an empty folder, or remove it", path = path.display())]
    NotEmpty {
        /// The database found.
        path: PathBuf,
    },
    /// The folder cannot be made.
    #[error("cannot make {path}: {source}", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The emulator.
    #[error("emulator: {0}")]
    Emulator(#[from] EmulatorError),
    /// The listener for webhooks.
    #[error("webhook listener: {0}")]
    Listener(#[from] ListenerError),
    /// Sending to the emulator.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The price book.
    #[error(transparent)]
    Price(#[from] Problems),
    /// The service.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The service did not keep up.
    #[error("the service has not applied everything within {}s", SETTLE_WITHIN.as_secs())]
    Unsettled,
}

/// What to show.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Fleet, scenario and seed.
    pub simulation: Options,
    /// Folder for database and mails; it must hold no database yet.
    pub folder: PathBuf,
    /// How many times faster than real the live part runs.
    pub speed: f64,
    /// Stop and compare with the truth once the live part is over.
    pub once: bool,
}

/// What the demo tells while it runs.
pub trait Stage: Send + Sync {
    /// One line about what happens now.
    fn say(&self, line: &str);
    /// Progress of the history: events applied and in all.
    fn learnt(&self, done: u64, all: u64);
    /// An announcement left the engine.
    fn announced(&self, announcement: &Announcement);
}

/// What the service has done so far, as the demo sees it.
#[derive(Default)]
struct Seen {
    events: u64,
    announcements: Vec<Announcement>,
}

struct Spectator {
    seen: Arc<Mutex<Seen>>,
    stage: Arc<dyn Stage>,
    arrivals: u64,
    history: u64,
}

impl Watch for Spectator {
    fn arrived(&mut self, batch: &Batch) {
        self.arrivals = u64::try_from(batch.arrivals.len()).unwrap_or(0);
    }

    fn saved(&mut self, effects: &Effects) {
        let Ok(mut seen) = self.seen.lock() else { return };
        seen.events += self.arrivals;
        seen.announcements.extend(effects.announcements.iter().cloned());
        let events = seen.events;
        drop(seen);
        self.stage.learnt(events.min(self.history), self.history);
        effects.announcements.iter().for_each(|announcement| self.stage.announced(announcement));
    }
}

/// Everything that runs beside the service.
struct Parts {
    emulator: Emulator,
    clock: EmulatorClock,
    listener: Listener,
    destinations: Vec<Destination>,
    simulation: Simulation,
    database: PathBuf,
    files: Files,
}

/// Runs the demo until it has shown its scenario (`once`) or `stop` fires.
///
/// # Errors
/// A part that cannot be started or gave up. Disagreement with the truth is a [`Verdict`].
pub async fn run(
    options: &DemoOptions,
    stage: Arc<dyn Stage>,
    stop: &CancellationToken,
) -> Result<Verdict, DemoError> {
    let parts = Parts::start(options).await?;
    stage.say(&format!(
        "event hub emulator on {} (AMQP 1.0), webhook listener on {}, database {}",
        parts.emulator.address(),
        parts.listener.url(),
        parts.database.display()
    ));
    let history = feed::history(&parts.emulator.control(), &parts.clock, &parts.simulation, HUB)?;
    stage.say(&format!(
        "{} weeks of history in the hub ({history} events): the service learns from them",
        options.simulation.history_hours / 168
    ));
    let seen = Arc::new(Mutex::new(Seen::default()));
    let service_stop = CancellationToken::new();
    let service = parts.service().await?;
    let running = {
        let mut spectator =
            Spectator { seen: Arc::clone(&seen), stage: Arc::clone(&stage), arrivals: 0, history };
        let stop = service_stop.clone();
        tokio::spawn(async move { service.run(&stop, &mut spectator).await })
    };
    let shown = show(options, &parts, &stage, (&seen, history), stop).await;
    service_stop.cancel();
    if let Ok(source) = running.await {
        source?.close().await;
    }
    let truth = shown?;
    let announcements = seen.lock().map(|seen| seen.announcements.clone()).unwrap_or_default();
    let verdict =
        verdict::compare(&truth, &announcements, &parts.listener.deliveries(), &parts.database)
            .await?;
    parts.listener.stop().await;
    parts.emulator.stop().await;
    Ok(verdict)
}

/// The play itself: wait for the history, send the live part, wait for what is left.
async fn show(
    options: &DemoOptions,
    parts: &Parts,
    stage: &Arc<dyn Stage>,
    told: (&Arc<Mutex<Seen>>, u64),
    stop: &CancellationToken,
) -> Result<Truth, DemoError> {
    let (seen, history) = told;
    until(stop, SETTLE_WITHIN * 5, || applied(seen) >= history).await?;
    stage.say(&format!(
        "live traffic, {} times faster than real{}",
        options.speed,
        match parts.simulation.truth().attack {
            Some(_) if options.once => format!("; scenario {}", options.simulation.scenario),
            Some(_) => "; something will happen soon".to_owned(),
            None => "; nothing should happen".to_owned(),
        }
    ));
    let announced = || {
        seen.lock().map_or(0, |seen| {
            seen.announcements.iter().filter(|a| a.incident.severity >= Severity::Medium).count()
        })
    };
    // What the history told of is too old for a letter.
    let of_history = announced();
    let live = feed::live(parts, options.speed, stop).await?;
    until(stop, SETTLE_WITHIN, || applied(seen) >= history + live).await?;
    let letters = || parts.listener.deliveries().len() >= announced() - of_history;
    until(stop, SETTLE_WITHIN, letters).await?;
    if !options.once {
        stage.say("the live part is over; Ctrl-C ends the demo");
        stop.cancelled().await;
    }
    Ok(parts.simulation.truth())
}

fn applied(seen: &Arc<Mutex<Seen>>) -> u64 {
    seen.lock().map_or(0, |seen| seen.events)
}

/// Waits until `done`, at most `limit`; returns early when told to stop.
async fn until(
    stop: &CancellationToken,
    limit: Duration,
    done: impl Fn() -> bool,
) -> Result<(), DemoError> {
    let waiting = async {
        while !done() && !stop.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, waiting).await.map_err(|_| DemoError::Unsettled)
}

impl Parts {
    async fn start(options: &DemoOptions) -> Result<Self, DemoError> {
        let folder = &options.folder;
        let database = folder.join("tokenwatch.db");
        if database.exists() {
            return Err(DemoError::NotEmpty { path: database });
        }
        let mails = folder.join("mails");
        std::fs::create_dir_all(&mails)
            .map_err(|source| DemoError::Folder { path: folder.clone(), source })?;
        let simulation = Simulation::new(options.simulation);
        let (start, _, _) = simulation.span();
        let clock = EmulatorClock::fixed(start);
        let hub = HubSpec::new(HUB, options.simulation.partitions);
        let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let emulator = Emulator::start(loopback, vec![hub], clock.clone()).await?;
        let secret = SecretString::from(WEBHOOK_SECRET);
        let listener = Listener::start(loopback, &secret).await?;
        let destinations = destinations(&mails, &listener, secret);
        let files = networks::files(folder)
            .map_err(|source| DemoError::Folder { path: folder.clone(), source })?;
        Ok(Self { emulator, clock, listener, destinations, simulation, database, files })
    }

    async fn service(&self) -> Result<Service<EventHubs>, DemoError> {
        let env = Env::new(EngineSettings::default(), PriceBook::built_in()?);
        let core = Core::restore(Store::open(&self.database).await?, env).await?;
        let hub = HubSettings {
            name: NAME.to_owned(),
            namespace: "localhost".to_owned(),
            hub: HUB.to_owned(),
            consumer_group: "tokenwatch".to_owned(),
            auth: Auth::ConnectionString(self.emulator.connection_string(HUB).into()),
            custom_endpoint: Some(self.emulator.endpoint()),
            transport: Transport::Amqp,
            start: Start::Earliest,
            prefetch: 300,
        };
        let pace = Pace {
            // Idle partitions pass what was seen on any other, not more: the history's clock leaps.
            time_scale: 0.0,
            flush: Duration::from_millis(200),
            probe: Duration::from_secs(1),
            ..Pace::default()
        };
        let source = EventHubs::start(vec![hub], &HashMap::new(), core.store.epoch, pace);
        let destinations = self.destinations.clone();
        let files = self.files.clone();
        let service = Service::new(core, source, wall_clock()).telling(destinations);
        Ok(Service { files, ..service })
    }
}

fn destinations(mails: &Path, listener: &Listener, secret: SecretString) -> Vec<Destination> {
    let mail = EmlSettings {
        folder: mails.to_owned(),
        from: "tokenwatch@example.com".to_owned(),
        to: vec!["oncall@example.com".to_owned()],
    };
    let webhook = WebhookSettings {
        http: HttpSettings::new(&listener.url()),
        secret,
        previous_secret: None,
        body: Body::default(),
    };
    vec![
        Destination::new("mail", Severity::Medium, mail),
        Destination::new("webhook", Severity::Medium, webhook),
    ]
}
