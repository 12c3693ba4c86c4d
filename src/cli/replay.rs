//! `tokenwatch replay`: files through the same engine as the live hub.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::estimates::{self, Estimates};
use super::prices::table;
use super::{Exit, Format, callers, check, coverage, gateways, print};
use crate::aggregate::rollup::Split;
use crate::engine::{EngineSettings, Env};
use crate::known::Known;
use crate::money::{Grouped, NanoUsd};
use crate::pipeline::{self, Core};
use crate::price::PriceBook;
use crate::price::spend::Spend;
use crate::source::replay::Replay;
use crate::store::callers::CallerTotal;
use crate::store::gateway::{BehindTotal, GatewayShare};
use crate::store::read::{Reader, Total, Totals};
use crate::store::{Store, StoreSettings};

/// Runs files of records through the engine and prints the totals.
///
/// A line is a body as Azure wrote it, or `{"partition","sequence","enqueued","body"}` as
/// `run --capture` writes it; .gz and .zst are opened. Call it again on the same database with
/// later files, or with the same ones: nothing counts twice.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch replay insights-logs-*.json --db history.db\n  \
    zcat capture.gz | tokenwatch replay - --db history.db --format json\n  \
    tokenwatch incidents --db history.db")]
pub(super) struct Args {
    /// Files to read, merged by time; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Database to write; created if it does not exist.
    #[arg(long)]
    db: PathBuf,
    /// Prices, thresholds and limits of this configuration; nothing else of it is used.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Form of the totals.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Events per transaction.
    #[arg(long, default_value_t = 5_000, hide = true)]
    batch: usize,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (env, settings) = match &args.config {
        None => {
            let env = Env::new(EngineSettings::default(), PriceBook::built_in()?);
            (env, StoreSettings::default())
        }
        Some(path) => match check::load_without_secrets(path)? {
            Some(mut config) => {
                config.files.read();
                // Without its key nothing is hashed: callers are reduced by the service alone.
                let max_bytes = config.store.max_bytes;
                (config.env()?, StoreSettings { max_bytes, ..StoreSettings::default() })
            }
            None => return Ok(Exit::Configuration),
        },
    };
    // The files first: opening the database makes it ours, which a wrong name must not do.
    let source = Replay::open(&args.files)?.with_batch(args.batch);
    let store = Store::open(&args.db).await?.with(&settings);
    let (attribution_ms, book) = (env.settings.join.attribution_ms, env.book.clone());
    let known = Arc::clone(&env.known);
    let mut core = Core::restore(store, env).await?;
    let mut source = source.with_known(core.positions().into_keys());
    let bar = progress(source.progress().1);
    let stop = stop_on_interrupt();
    pipeline::drain(&mut core, &mut source, &stop, &mut |source, effects| {
        bar.set_position(source.progress().0);
        for announcement in &effects.announcements {
            let incident = &announcement.incident;
            bar.suspend(|| {
                tracing::info!(
                    incident = incident.key,
                    severity = incident.severity.word(),
                    "{} {}",
                    announcement.kind.word(),
                    incident.rule_name
                );
            });
        }
    })
    .await?;
    bar.finish_and_clear();
    core.store.close().await?;
    let mut reader = Reader::open(&args.db).await?;
    let totals = reader.totals().await?;
    let who = Who {
        known,
        callers: reader.callers(attribution_ms).await?,
        gateways: reader.behind_gateways().await?,
        estimates: estimates::of_all(&mut reader, &book).await?,
    };
    match args.format {
        Format::Json => print(&format!("{}\n", to_json(&totals, &who)))?,
        Format::Table => print(&to_table(&totals, &who))?,
    }
    anyhow::ensure!(!stop.is_cancelled(), "interrupted: call again with the same files to go on");
    Ok(Exit::Ok)
}

/// A bar over the bytes of files; shown on a terminal only.
pub(super) fn progress(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let style = ProgressStyle::with_template(
        "{bar:40} {percent:>3}% {bytes}/{total_bytes} {bytes_per_sec} eta {eta}",
    );
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

/// A token that fires at Ctrl-C or SIGTERM, so that the batch in hand is finished first. A second
/// signal ends the process at once.
pub(super) fn stop_on_interrupt() -> CancellationToken {
    let stop = CancellationToken::new();
    let fired = stop.clone();
    tokio::spawn(async move {
        loop {
            if !signalled().await {
                return;
            }
            if fired.is_cancelled() {
                std::process::abort();
            }
            fired.cancel();
        }
    });
    stop
}

/// Waits for a signal to end; false when none can come.
#[cfg(unix)]
async fn signalled() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return false };
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.is_ok(),
        terminated = terminate.recv() => terminated.is_some(),
    }
}

/// Waits for Ctrl-C; false when none can come.
#[cfg(not(unix))]
async fn signalled() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}

/// Sums of one deployment over its models.
#[derive(Default)]
struct Row {
    models: BTreeMap<String, i64>,
    split: Split,
    spend: Spend,
}

impl Row {
    /// The model with most tokens.
    fn model(&self) -> &str {
        let largest = self.models.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)));
        largest.map_or("", |(model, _)| model.split('@').next().unwrap_or_default())
    }

    /// What the sums are: every token counted by the usage log, or some by another, or not all.
    fn basis(&self) -> &'static str {
        match (self.spend.untold > 0, self.split.total().attributed > 0) {
            (true, _) => "incomplete",
            (false, true) => "attributed",
            (false, false) => "exact",
        }
    }

    /// The cost of everything; `None` when some of it is unknown.
    fn cost(&self) -> Option<NanoUsd> {
        let known = self.split.total().unpriced == 0 && self.spend.untold == 0;
        known.then_some(self.known_cost())
    }

    /// The cost of what has one.
    fn known_cost(&self) -> NanoUsd {
        NanoUsd(self.split.total().cost_nano)
    }

    fn provisioned(&self) -> i64 {
        self.spend.over_meters(|meter| meter.provisioned)
    }

    fn cost_text(&self) -> String {
        cost_text(
            (self.known_cost(), self.cost().is_some()),
            (self.provisioned(), self.split.total().tokens()),
        )
    }
}

/// A basis for people: with how much of the tokens it is about, where that is not all.
pub(super) fn basis_text(basis: &str, spend: Spend) -> String {
    let (attributed, tokens) = (spend.attributed_tokens, spend.over_meters(|meter| meter.tokens));
    let per_mille = attributed.saturating_mul(1_000) / tokens.max(1);
    match basis {
        "attributed" if (1..tokens).contains(&attributed) && per_mille == 0 => {
            "< 0.1 % attributed".to_owned()
        }
        "attributed" if (1..tokens).contains(&attributed) => {
            format!("{}.{} % attributed", per_mille / 10, per_mille % 10)
        }
        word => word.to_owned(),
    }
}

/// A cost for people: what is known of it and whether that is all, and how many of the tokens are
/// paid by the hour.
pub(super) fn cost_text(
    (known, is_all): (NanoUsd, bool),
    (provisioned, tokens): (i64, i64),
) -> String {
    match is_all {
        true if provisioned > 0 && provisioned == tokens => "provisioned".to_owned(),
        true if provisioned > 0 => format!("{known} + provisioned"),
        true => known.to_string(),
        false if known.0 > 0 => format!("≥ {known}"),
        false => "unknown".to_owned(),
    }
}

fn by_deployment(totals: &Totals) -> BTreeMap<(&str, &str), Row> {
    let mut rows: BTreeMap<(&str, &str), Row> = BTreeMap::new();
    for total in &totals.deployments {
        let row = rows.entry((&total.account, &total.deployment)).or_default();
        row.split = row.split.merged(total.split);
        row.spend = row.spend.plus(total.spend);
        if !total.model.is_empty() && !total.split.is_zero() {
            *row.models.entry(total.model.clone()).or_default() += total.split.total().tokens();
        }
    }
    rows.retain(|_, row| !row.split.is_zero());
    rows
}

/// Who called, directly and through gateways, and what nobody logged.
struct Who {
    known: Arc<Known>,
    callers: Vec<CallerTotal>,
    gateways: (Vec<BehindTotal>, Vec<GatewayShare>),
    estimates: Estimates,
}

fn to_json(totals: &Totals, who: &Who) -> serde_json::Value {
    let deployments: Vec<_> = by_deployment(totals)
        .into_iter()
        .map(|((account, deployment), row)| {
            let total = row.split.total();
            json!({
                "account": account,
                "deployment": deployment,
                "model": row.model(),
                "calls": total.calls,
                "tokens_in": total.input,
                "tokens_cached": total.cached,
                "tokens_out": total.output,
                "cost_nano_usd": row.cost().map(|cost| cost.0),
                "known_cost_nano_usd": row.known_cost().0,
                "unpriced_tokens": total.unpriced,
                "provisioned_tokens": row.provisioned(),
                "calls_without_tokens": row.spend.untold,
                "attributed_tokens": row.spend.attributed_tokens,
                "attributed_nano_usd": row.spend.attributed_nano,
                "late_calls": row.split.late.calls,
                "basis": row.basis(),
            })
        })
        .collect();
    let ledger: Vec<_> = totals
        .ledger
        .iter()
        .map(|(account, deployment, reason, records, tokens)| {
            json!({ "account": account, "deployment": deployment, "reason": reason,
                    "records": records, "tokens": tokens })
        })
        .collect();
    json!({
        "deployments": deployments,
        "estimated": who.estimates.to_json(),
        "callers": callers::to_json(&who.callers, &who.known),
        "gateways": gateways::shares_to_json(&who.gateways.1),
        "behind_gateways": gateways::to_json(&who.gateways.0),
        "quarantined": totals.quarantined,
        "coverage": coverage::to_json(&totals.coverage),
        "unknown_categories": totals.unknown_categories,
        "ledger": ledger,
    })
}

fn to_table(totals: &Totals, who: &Who) -> String {
    let head = ["account", "deployment", "model", "calls", "in", "cached", "out", "cost", "basis"];
    let mut table = table(&head, &[3, 4, 5, 6, 7]);
    for ((account, deployment), row) in by_deployment(totals) {
        let total = row.split.total();
        let deployment = if deployment.is_empty() { "(none)" } else { deployment };
        table.add_row([
            printable(account),
            printable(deployment),
            printable(row.model()),
            Grouped(total.calls).to_string(),
            Grouped(total.input).to_string(),
            Grouped(total.cached).to_string(),
            Grouped(total.output).to_string(),
            row.cost_text(),
            basis_text(row.basis(), row.spend),
        ]);
    }
    let mut text = format!("{table}\n");
    for total in &totals.deployments {
        text.push_str(&missing(total));
    }
    text.push_str(&who.estimates.to_text());
    text.push_str(&callers::to_table(&who.callers, &who.known));
    text.push_str(&gateways::to_table(&who.gateways.0, &who.gateways.1));
    text.push_str(&coverage::to_table(&totals.coverage));
    for (name, count) in &totals.unknown_categories {
        let name = printable(name);
        text.push_str(&format!("{} record(s) of unknown category {name}\n", Grouped(*count)));
    }
    if totals.quarantined > 0 {
        text.push_str(&format!("{} record(s) in quarantine\n", Grouped(totals.quarantined)));
    }
    for (account, deployment, reason, records, tokens) in &totals.ledger {
        text.push_str(&format!(
            "not counted ({}): {} record(s), {} tokens of {}/{}\n",
            reason.replace('_', " "),
            Grouped(*records),
            Grouped(*tokens),
            printable(account),
            printable(deployment)
        ));
    }
    text
}

/// What the money of one deployment and model leaves out, a line each.
fn missing(total: &Total) -> String {
    let place = format!(
        "{}/{} ({})",
        printable(&total.account),
        printable(&total.deployment),
        printable(&total.model)
    );
    let mut text = String::new();
    let unpriced = total.split.total().unpriced;
    if unpriced != 0 {
        text.push_str(&format!(
            "unpriced tokens: {} of {place}; `tokenwatch prices explain` says why\n",
            Grouped(unpriced)
        ));
    }
    if total.spend.untold != 0 {
        text.push_str(&format!(
            "calls without tokens: {} of {place}; no record told how many, so their cost is unknown\n",
            Grouped(total.spend.untold)
        ));
    }
    text
}

/// Text for a terminal: whatever a record says, nothing but visible characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
