//! `tokenwatch check`: everything wrong with a configuration, before anything starts.

use std::path::PathBuf;

use super::replay::printable;
use super::{Exit, Format, print};
use crate::config::{self, Config};
use crate::engine::respond::ResponseRules;
use crate::files::InUse;
use crate::notify::Destination;
use crate::pipeline::wall_clock;
use crate::source::event_hubs::Transport;
use crate::store::privacy::Privacy;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

/// Checks a configuration and prints everything that is wrong with it.
///
/// Nothing is started and no network is used. Exit code 3 when something is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch check --config tokenwatch.toml\n  \
    tokenwatch check --config tokenwatch.toml --without-secrets   # where the secrets are not")]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, env = "TOKENWATCH_CONFIG")]
    config: PathBuf,
    /// Form of the problems; JSON is a list, empty when all is well.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Look no secret or certificate up, only check that it is named.
    #[arg(long)]
    without_secrets: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let secrets = if args.without_secrets { config::placeholder } else { config::look_up };
    let checked = config::load_with(&args.config, &secrets);
    let (text, exit) = match (checked, args.format) {
        (Ok(config), Format::Table) => (summary(&config), Exit::Ok),
        (Ok(_), Format::Json) => ("[]\n".to_owned(), Exit::Ok),
        (Err(error), Format::Table) => (error.problems().to_string(), Exit::Configuration),
        (Err(error), Format::Json) => {
            let list = serde_json::to_string(&error.problems().0)?;
            (format!("{list}\n"), Exit::Configuration)
        }
    };
    print(&text)?;
    Ok(exit)
}

/// The configuration for a command that runs it; `None` after its problems have been told.
pub(super) fn load_or_tell(path: &std::path::Path) -> anyhow::Result<Option<Config>> {
    or_tell(config::load(path))
}

/// The same for a command that connects nowhere, so that no secret is needed.
pub(super) fn load_without_secrets(path: &std::path::Path) -> anyhow::Result<Option<Config>> {
    or_tell(config::load_with(path, &config::placeholder))
}

fn or_tell(loaded: Result<Config, config::ConfigError>) -> anyhow::Result<Option<Config>> {
    match loaded {
        Ok(config) => Ok(Some(config)),
        Err(error) => {
            print(&error.problems().to_string())?;
            Ok(None)
        }
    }
}

/// What was read of a file, and how old it is.
fn in_use(file: &InUse) -> String {
    let path = file.path.display();
    let Some(modified_ms) = file.modified_ms else { return format!("{path}: not looked at") };
    let size = file.content.as_deref().map_or("broken", |size| size);
    let now_ms = wall_clock()();
    let age_ms = now_ms.saturating_sub(modified_ms);
    let (days, hours) = (age_ms.div_euclid(DAY_MS), age_ms.div_euclid(HOUR_MS));
    let age = match (days, hours) {
        (0, 0) => "less than an hour".to_owned(),
        (0, hours) => format!("{hours} h"),
        (days, _) => format!("{days} days"),
    };
    let old = if file.is_old(now_ms) { ", older than its max_age" } else { "" };
    format!("{path}: {size}, written {age} ago{old}")
}

/// What people may have the automation do.
fn steps(rules: &ResponseRules) -> String {
    let steps: Vec<&str> = rules.steps.iter().map(|step| step.word()).collect();
    let two = if rules.two_people { ", by somebody else" } else { "" };
    format!("{}, once confirmed within {} min{two}", steps.join(", "), rules.within_ms / MINUTE_MS)
}

/// What would run.
fn summary(config: &Config) -> String {
    let mut text = format!("database     {}\n", printable(&config.database.display().to_string()));
    let mut line = |label: &str, what: &str| {
        text.push_str(&format!("{label:<12} {}\n", printable(what)));
    };
    for hub in &config.hubs {
        let namespace = if hub.namespace.is_empty() { "(secret)" } else { &hub.namespace };
        let by = match hub.transport {
            Transport::Amqp => "amqp",
            Transport::WebSocket => "websocket",
        };
        let at = hub.custom_endpoint.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
        let (name, group) = (&hub.name, &hub.consumer_group);
        let what = format!("{name}: {namespace}/{}, group {group}, by {by}{at}", hub.hub);
        line("hub", &what);
    }
    for source in &config.metrics {
        let (accounts, metrics) = (source.accounts.len(), source.metrics.len());
        let at = source.endpoint.host_str().unwrap_or_default();
        line(
            "metrics",
            &format!("{}: {accounts} account(s), {metrics} metric(s), from {at}", source.name),
        );
    }
    if let Some(directory) = &config.directory {
        let at = directory.endpoint.host_str().unwrap_or_default();
        line("names", &format!("of identities from {at}, kept in {}", directory.file.display()));
    }
    for destination in &config.destinations {
        let Destination { name, min_severity: least, settings } = destination;
        let kind = settings.word();
        line("destination", &format!("{name}: {kind}, from severity {least}"));
    }
    if config.destinations.is_empty() {
        line("destination", "none: incidents are kept, nobody is told");
    }
    if let Some(heartbeat) = &config.heartbeat {
        line("heartbeat", &format!("every {} s", heartbeat.every.as_secs()));
    }
    if let Some(response) = &config.response {
        line("response", &steps(&response.rules));
    }
    for file in config.files.in_use() {
        line("file", &format!("{}: {}", file.name, in_use(&file)));
    }
    if config.files.named() > 0 {
        line("networks", &format!("{} with a name of yours", config.files.named()));
    }
    let callers = &config.store.callers;
    let days = callers.keep_days;
    line(
        "callers",
        &match callers.privacy {
            Privacy::Full => "kept as they are".to_owned(),
            Privacy::Prefix => format!("kept as they are for {days} days, then by network alone"),
            Privacy::Hmac(_) => format!("kept as they are for {days} days, then as keyed hashes"),
        },
    );
    let contract = &config.price.contract;
    let book = config.price.book.as_ref().map(|path| path.display().to_string());
    line(
        "prices",
        &format!(
            "{}; {} deployment(s), {} discount(s), {} own price(s)",
            book.as_deref().unwrap_or("built in"),
            contract.deployments.len(),
            contract.discounts.len(),
            contract.own.len()
        ),
    );
    text
}
