//! The configuration: one TOML file, read as a whole, with every problem told at once.
//!
//! The tree keeps the place of each key and value, small typed readers walk it by hand, and each
//! reports what it cannot read and goes on. Secrets are named by the file and looked up elsewhere.

mod backend;
mod heartbeat;
mod body;
mod budget;
mod detector;
mod hub;
mod known;
mod limits;
mod metrics_api;
mod notify;
mod owner;
mod price;
mod report;
mod response;
mod resource_graph;
mod route;
mod secret;
mod section;
mod store;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::azure::DirectorySettings;
use crate::engine::{EngineSettings, Env};
use crate::files::Files;
use crate::notify::Destination;
use crate::problem::{self, Findings};
pub use crate::problem::{Problem, Problems};
use crate::report::settings::ReportSettings;
use crate::route::Plan;
use crate::source::event_hubs::HubSettings;
use crate::source::metrics_api::MetricsSettings;
use crate::source::resource_graph::InventorySettings;
use crate::store::StoreSettings;
pub use heartbeat::HeartbeatSettings;
pub use notify::{CHANNELS, ChannelKind};
pub use price::{BookError, PriceSettings, open_book, read_book};
pub use response::ResponseSettings;
pub use secret::{SecretRef, look_up, placeholder};
pub use section::duration_ms;
use section::{Lookup, Section, Walk};

/// Largest configuration or price book that is read, in bytes.
const LONGEST: u64 = 4 * 1024 * 1024;

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database.
    pub database: PathBuf,
    /// Hubs to read, at least one, with unique names.
    pub hubs: Vec<HubSettings>,
    /// Accounts whose metrics are asked for; names are unique among hubs too.
    pub metrics: Vec<MetricsSettings>,
    /// Subscriptions whose inventory is read, and how often; `None` where that is off.
    pub inventory: Option<(InventorySettings, Duration)>,
    /// Settings of the engine.
    pub engine: EngineSettings,
    /// Where announcements go, with unique names.
    pub destinations: Vec<Destination>,
    /// Who hears of what, and when.
    pub plan: Plan,
    /// Whom to tell each minute that the service is alive.
    pub heartbeat: Option<HeartbeatSettings>,
    /// The operator's automation, where it may be asked to take steps.
    pub response: Option<ResponseSettings>,
    /// The price book and the terms beside it.
    pub price: PriceSettings,
    /// Networks with a name, lists of networks, and names of identities; read unless secrets were
    /// not looked up.
    pub files: Files,
    /// The directory, where it is asked for names of identities.
    pub directory: Option<DirectorySettings>,
    /// What the database may hold, and what stays of callers.
    pub store: StoreSettings,
    /// The weekly report, where it is to leave by itself.
    pub report: Option<ReportSettings>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {file}: {reason}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        reason: String,
    },
    /// It can be read and is wrong.
    #[error("the configuration is wrong\n{0}")]
    Wrong(Problems),
}

impl ConfigError {
    /// As a list; a file that cannot be read is one problem at its beginning.
    #[must_use]
    pub fn problems(self) -> Problems {
        match self {
            Self::Wrong(problems) => problems,
            Self::Read { file, reason } => Problems(vec![Problem {
                file,
                line: 1,
                column: 1,
                message: format!("cannot read the file: {reason}"),
                mend: "name the configuration with --config or TOKENWATCH_CONFIG".to_owned(),
                source: String::new(),
                width: 1,
            }]),
        }
    }
}

impl Config {
    /// What the engine works with: settings, prices, and what is known about networks.
    ///
    /// # Errors
    /// A price book that has gone or changed since the configuration was checked.
    pub fn env(&self) -> Result<Env, BookError> {
        let (mut settings, known) = (self.engine.clone(), self.files.known());
        for budget in &mut settings.budgets {
            budget.scope.resolve(&known);
        }
        Ok(Env { settings, book: self.price.open()?, known })
    }
}

/// Reads and checks a configuration file, and looks its secrets up.
///
/// # Errors
/// The file cannot be read, or everything that is wrong with it.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    load_with(path, &look_up)
}

/// Reads and checks a configuration file with another way to look secrets up.
///
/// # Errors
/// The file cannot be read, or everything that is wrong with it.
pub fn load_with(
    path: &Path,
    secrets: &dyn Fn(&SecretRef) -> Result<SecretString, String>,
) -> Result<Config, ConfigError> {
    let file = path.display().to_string();
    let text = match read(path) {
        Ok(text) => text,
        Err(reason) => return Err(ConfigError::Read { file, reason }),
    };
    parse(&text, &file, secrets).map_err(ConfigError::Wrong)
}

/// Checks the text of a configuration. `file` is for messages and for the folder that relative
/// paths start from; `secrets` is also asked whether the files that the text names can be read.
///
/// # Errors
/// Everything that is wrong, in the order of the text.
pub fn parse(text: &str, file: &str, secrets: Lookup<'_>) -> Result<Config, Problems> {
    let mut findings = Findings::new(file, text);
    let tree = match DeTable::parse(text) {
        Ok(tree) => tree,
        Err(error) => {
            findings.mask(problem::unparsed_values(text));
            let span = error.span().unwrap_or(0..0);
            let mend = "the rest of the file is checked once it is TOML (https://toml.io)";
            findings.report(span, format!("not TOML: {}", error.message()), mend);
            return Err(findings.finish());
        }
    };
    let mut values = Vec::new();
    tree.get_ref().values().for_each(|value| collect_values(value, &mut values));
    findings.mask(values);
    let folder = Path::new(file).parent().map(Path::to_path_buf).unwrap_or_default();
    let mut walk = Walk { findings, folder, lookup: secrets };
    let config = root(tree.get_ref(), &mut walk);
    if walk.findings.is_empty() { Ok(config) } else { Err(walk.findings.finish()) }
}

/// Tables and values of the top of the file.
const KEYS: &[&str] = &[
    "database",
    "price",
    "hub",
    "metrics_api",
    "resource_graph",
    "posture",
    "backend",
    "owner",
    "budget",
    "network",
    "network_list",
    "geo",
    "identities",
    "engine",
    "join",
    "detect",
    "detector",
    "notify",
    "route",
    "inhibit",
    "time",
    "maintenance",
    "storm",
    "heartbeat",
    "response",
    "store",
    "caller",
    "report",
];

fn root(tree: &DeTable<'_>, walk: &mut Walk<'_>) -> Config {
    let top = Section::open(tree, 0..0, "the top of the file", KEYS, walk);
    let database = top.path("database", walk).unwrap_or_else(|| walk.folder.join("tokenwatch.db"));
    let price = price::price(table(&top, "price", ("[price]", price::PRICE), walk), walk);
    let (hubs, metrics) = sources(&top, walk);
    let inventory = table(&top, "resource_graph", ("[resource_graph]", resource_graph::KEYS), walk);
    let inventory = inventory.and_then(|section| resource_graph::read(&section, walk));
    let mut engine =
        limits::engine(table(&top, "engine", ("[engine]", limits::ENGINE), walk), walk);
    let mut backends = Seen::default();
    for section in tables(&top, "backend", ("[[backend]]", backend::KEYS), walk) {
        if let Some(backend) = backend::read(&section, walk) {
            backends.name(&backend.name, &section, walk);
            engine.gateway_only.extend(backend.only.then(|| backend.account.clone()));
            engine.backends.insert(backend.name, backend.account);
        }
    }
    engine.join = limits::join(table(&top, "join", ("[join]", limits::JOIN), walk), walk);
    engine.detect = limits::detect(table(&top, "detect", ("[detect]", limits::DETECT), walk), walk);
    engine.tuning = detector::tuning(&top, walk).allowing(resource_graph::allowed(&top, walk));
    let mut store = store::store(table(&top, "store", ("[store]", store::STORE), walk), walk);
    store.callers = store::caller(table(&top, "caller", ("[caller]", store::CALLER), walk), walk);
    let destinations = destinations(&top, walk);
    let plan = route::plan(&top, &destinations, walk);
    let (files, directory) = known::read(&top, &database, walk);
    let heartbeat = table(&top, "heartbeat", ("[heartbeat]", heartbeat::KEYS), walk);
    let heartbeat = heartbeat.map(|section| heartbeat::read(&section, walk));
    let response = table(&top, "response", ("[response]", response::KEYS), walk);
    let response = response.map(|section| response::read(&section, walk));
    engine.response = response.as_ref().map(|settings| settings.rules.clone());
    engine.owners = owner::owners(&top, walk);
    engine.pipeline = hubs.iter().filter_map(HubSettings::namespace_name).collect();
    let beside = budget::Beside::new(&price, &engine.owners, &files, &store);
    engine.budgets = budget::budgets(&top, &beside, walk);
    let report = report::read(&top, (&destinations, &price.contract), walk);
    Config {
        database,
        hubs,
        metrics,
        inventory,
        engine,
        destinations,
        plan,
        heartbeat,
        response,
        price,
        files,
        directory,
        store,
        report,
    }
}

/// Where events come from.
fn sources(top: &Section<'_>, walk: &mut Walk<'_>) -> (Vec<HubSettings>, Vec<MetricsSettings>) {
    let mut hubs = Vec::new();
    let mut seen = Seen::default();
    for section in tables(top, "hub", ("[[hub]]", hub::KEYS), walk) {
        let settings = hub::read(&section, walk);
        seen.name(&settings.name, &section, walk);
        seen.reader(&settings, &section, walk);
        hubs.push(settings);
    }
    let mut metrics = Vec::new();
    for section in tables(top, "metrics_api", ("[[metrics_api]]", metrics_api::KEYS), walk) {
        let Some(settings) = metrics_api::read(&section, walk) else { continue };
        seen.name(&settings.name, &section, walk);
        metrics.push(settings);
    }
    if !top.has("hub") {
        let mend = "add a table [[hub]] with name, namespace and hub";
        walk.findings.report(0..0, "no hub to read", mend);
    }
    (hubs, metrics)
}

/// Where announcements go.
fn destinations(top: &Section<'_>, walk: &mut Walk<'_>) -> Vec<Destination> {
    let mut destinations = Vec::new();
    let words: Vec<&str> = CHANNELS.iter().map(|kind| kind.word).collect();
    if let Some(notify) = table(top, "notify", ("[notify]", &words), walk) {
        let mut seen = Seen::default();
        for kind in CHANNELS {
            for section in tables(&notify, kind.word, (kind.header, kind.keys), walk) {
                let destination = notify::read(kind, &section, walk);
                seen.name(&destination.name, &section, walk);
                destinations.push(destination);
            }
        }
    }
    destinations
}

/// What must not occur twice.
#[derive(Default)]
struct Seen {
    names: HashMap<String, usize>,
    readers: HashMap<(String, String, String), usize>,
}

impl Seen {
    fn name(&mut self, name: &str, section: &Section<'_>, walk: &mut Walk<'_>) {
        let line = walk.findings.line(section.value_at("name").start);
        if name.is_empty() {
            return;
        }
        if let Some(first) = self.names.get(name) {
            let message = format!("`name`: {name:?} is taken by line {first}");
            walk.findings.report(section.value_at("name"), message, "choose another name");
            return;
        }
        self.names.insert(name.to_owned(), line);
    }

    /// Two readers of one consumer group would take the partitions from each other.
    fn reader(&mut self, hub: &HubSettings, section: &Section<'_>, walk: &mut Walk<'_>) {
        if hub.namespace.is_empty() || hub.hub.is_empty() {
            return;
        }
        let key = [&hub.namespace, &hub.hub, &hub.consumer_group].map(|s| s.to_ascii_lowercase());
        let line = walk.findings.line(section.span().start);
        let first = *self.readers.entry(key.into()).or_insert(line);
        if first != line {
            let message = format!("line {first} reads this hub with the same consumer group");
            let mend = "remove one of them, or give it a consumer group of its own";
            walk.findings.report(section.span(), message, mend);
        }
    }
}

/// The one table at `key`, when it is there.
fn table<'t>(
    parent: &Section<'t>,
    key: &str,
    kind: (&'static str, &[&str]),
    walk: &mut Walk<'_>,
) -> Option<Section<'t>> {
    let value = parent.value(key)?;
    let Some(table) = value.get_ref().as_table() else {
        let message = format!("`{key}` is {}, not a table", value.get_ref().type_str());
        walk.findings.report(value.span(), message, format!("begin it with {}", kind.0));
        return None;
    };
    Some(Section::open(table, value.span(), kind.0, kind.1, walk))
}

/// The tables of the list at `key`, none when it is not there.
fn tables<'t>(
    parent: &Section<'t>,
    key: &str,
    kind: (&'static str, &[&str]),
    walk: &mut Walk<'_>,
) -> Vec<Section<'t>> {
    let Some(value) = parent.value(key) else { return Vec::new() };
    let wrong = |value: &Spanned<DeValue<'_>>, walk: &mut Walk<'_>| {
        let message = format!("`{key}` is {}, not a list of tables", value.get_ref().type_str());
        let mend = format!("begin each with {} in double brackets", kind.0);
        walk.findings.report(value.span(), message, mend);
    };
    let Some(list) = value.get_ref().as_array() else {
        wrong(value, walk);
        return Vec::new();
    };
    let mut sections = Vec::new();
    for item in list.iter() {
        match item.get_ref().as_table() {
            Some(table) => {
                sections.push(Section::open(table, item.span(), kind.0, kind.1, walk));
            }
            None => wrong(item, walk),
        }
    }
    sections
}

fn read(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > LONGEST {
        return Err(format!("larger than {LONGEST} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// Where scalar values stand, at any depth.
fn collect_values(value: &Spanned<DeValue<'_>>, into: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Array(list) => list.iter().for_each(|item| collect_values(item, into)),
        DeValue::Table(table) => table.values().for_each(|item| collect_values(item, into)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => into.push(value.span()),
    }
}

#[cfg(test)]
mod tests;
