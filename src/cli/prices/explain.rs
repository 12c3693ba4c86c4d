//! `tokenwatch prices explain`: how one amount came about.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::super::replay::printable;
use super::super::{Exit, print};
use super::{Chosen, moment, table};
use crate::cli::Format;
use crate::engine::bought::lives;
use crate::event::Tokens;
use crate::money::{Grouped, NanoUsd};
use crate::pipeline::wall_clock;
use crate::price::PriceBook;
use crate::price::amount::{Exact, Percent, Rate};
use crate::price::bill::{Basis, Bill, Line, Priced};
use crate::price::book::Entry;
use crate::price::contract::Deployed;
use crate::price::meter::Meter;
use crate::price::rates::Rates;
use crate::price::sku::{AZURE_SKUS, SCOPES, Scope, Sku, TIERS, Tier};
use crate::price::span::{Moment, Span};
use crate::store::read::Reader;
use crate::time::EventTime;

/// Prices one call as the engine does and shows how: tokens × price of each meter, where the price
/// is from, what was taken off, what was rounded and what nobody knows. Exit code 4 when some of its
/// tokens have no price.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tokenwatch prices explain --model gpt-4o@2024-08-06 --input 1200 --cached 800 --output 300\n  \
    tokenwatch prices explain --model gpt-5.4 --input 300000 --output 900 --scope data-zone-eu --tier batch\n  \
    tokenwatch prices explain --model gpt-4.1 --input 5000 --output 200 --at 2026-10-01 \\\n      \
    --deployment aif-contoso-prod/chat-prod --config tokenwatch.toml")]
pub(super) struct Args {
    /// Model as the logs name it: NAME or NAME@VERSION.
    #[arg(long)]
    model: String,
    /// Prompt tokens, cached ones included.
    #[arg(long, default_value_t = 0)]
    input: u32,
    /// Prompt tokens served from the cache: a part of --input.
    #[arg(long, default_value_t = 0)]
    cached: u32,
    /// Generated tokens.
    #[arg(long, default_value_t = 0)]
    output: u32,
    /// When the call happened; now by default.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    at: Option<EventTime>,
    /// The deployment called, for what the configuration says about it.
    #[arg(long, value_name = "ACCOUNT/NAME")]
    deployment: Option<String>,
    /// How the deployment was bought, in Azure's word, whatever the configuration says.
    #[arg(long, value_parser = sku, conflicts_with_all = ["scope", "tier"])]
    sku: Option<Sku>,
    /// Where it may be served from, whatever the configuration says.
    #[arg(long, value_parser = scope)]
    scope: Option<Scope>,
    /// How soon it answers, whatever the configuration says.
    #[arg(long, value_parser = tier)]
    tier: Option<Tier>,
    /// What the activity log told this database about the deployment counts too.
    #[arg(long, value_name = "FILE", requires = "deployment")]
    db: Option<PathBuf>,
    #[command(flatten)]
    chosen: Chosen,
    /// Form of the explanation.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

fn one_of<T: Copy>(words: &[(&str, T)], text: &str) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("one of {}", words.join(", "))
    })
}

fn sku(text: &str) -> Result<Sku, String> {
    one_of(&AZURE_SKUS, text)
}

fn scope(text: &str) -> Result<Scope, String> {
    one_of(&SCOPES, text)
}

fn tier(text: &str) -> Result<Tier, String> {
    one_of(&TIERS, text)
}

/// A call to be explained.
struct Call {
    model: String,
    place: String,
    tokens: Tokens,
    at: EventTime,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.cached > args.input {
        tracing::error!("--cached is a part of --input and cannot be more");
        return Ok(Exit::Usage);
    }
    let Some(book) = args.chosen.open()? else { return Ok(Exit::Configuration) };
    let call = Call {
        model: args.model.clone(),
        place: args.deployment.clone().unwrap_or_default(),
        tokens: Tokens { input: args.input, cached: args.cached, output: args.output },
        at: args.at.unwrap_or_else(|| EventTime(wall_clock()())),
    };
    let told = told(args).await?;
    let rates = rates(args, &book, &call, &told);
    let bill = rates.bill(call.tokens, call.at);
    match args.format {
        Format::Table => print(&to_text(&call, &book, &rates, &bill))?,
        Format::Json => print(&format!("{}\n", to_json(&call, &book, &bill)))?,
    }
    Ok(if bill.unpriced() > 0 { Exit::Found } else { Exit::Ok })
}

/// Account and deployment.
fn parts(place: &str) -> (&str, &str) {
    place.rsplit_once('/').unwrap_or(("", place))
}

/// How the activity log says the deployment was bought.
async fn told(args: &Args) -> anyhow::Result<Vec<Arc<Deployed>>> {
    let (Some(db), Some(place)) = (&args.db, &args.deployment) else { return Ok(Vec::new()) };
    let (account, deployment) = parts(place);
    let purchases = Reader::open(db).await?.purchases(account, deployment).await?;
    Ok(lives(&purchases))
}

/// The command line counts for more than the configuration, and that for more than the log.
fn rates(args: &Args, book: &PriceBook, call: &Call, told: &[Arc<Deployed>]) -> Rates {
    let (account, deployment) = parts(&call.place);
    let said = args.scope.is_some() || args.tier.is_some();
    let sku =
        args.sku.or(said.then_some(Sku { scope: args.scope, tier: args.tier, provisioned: false }));
    match sku {
        None if told.is_empty() || !book.contract.lives(account, deployment).is_empty() => {
            book.rates(account, deployment, &call.model)
        }
        None => book.rates_of(account, told, &call.model),
        Some(sku) => {
            let bought = Arc::new(Deployed { sku, ..Deployed::default() });
            book.rates_of(account, &[bought], &call.model)
        }
    }
}

fn to_text(call: &Call, book: &PriceBook, rates: &Rates, bill: &Bill<'_>) -> String {
    let Tokens { input, cached, output } = call.tokens;
    let place = if call.place.is_empty() { String::new() } else { format!(" on {}", call.place) };
    let mut text = format!(
        "{}{} at {}: {} prompt tokens, {} of them from the cache, and {} generated\n\n",
        printable(&call.model),
        printable(&place),
        Moment(call.at),
        Grouped(input.into()),
        Grouped(cached.into()),
        Grouped(output.into()),
    );
    text.push_str(&lines_table(bill));
    let mut told: Vec<(Vec<&str>, String)> = Vec::new();
    let told_of = |line: &&Line<'_>| line.tokens > 0 || matches!(line.basis, Basis::Priced(_));
    for line in bill.lines.iter().filter(told_of) {
        let facts = facts(line, book, rates.deployed(call.at));
        match told.iter_mut().find(|(_, known)| *known == facts) {
            Some((meters, _)) => meters.push(line.meter.word()),
            None => told.push((vec![line.meter.word()], facts)),
        }
    }
    for (meters, facts) in told {
        text.push_str(&format!("\n{}\n{facts}", meters.join(", ")));
    }
    let notes = notes(call, rates, bill);
    if !notes.is_empty() {
        text.push_str(&format!("\n{}\n", notes.join("\n")));
    }
    text
}

fn lines_table(bill: &Bill<'_>) -> String {
    let mut table = table(&["meter", "tokens", "per million", "amount", "how"], &[1, 2, 3]);
    for line in &bill.lines {
        let (price, amount, how) = match line.basis {
            Basis::Priced(priced) => {
                let entry = priced.held.entry;
                let price = entry.price(line.meter).map(|p| format!("{p} {}", entry.currency));
                let price = price.unwrap_or_default();
                (price, Exact(priced.booked).to_string(), formula(line, &priced))
            }
            Basis::Provisioned(_) => {
                let how = "paid by the hour, nothing beside it".to_owned();
                ("-".to_owned(), "provisioned".to_owned(), how)
            }
            Basis::Unknown(why) => {
                let amount = if line.tokens == 0 { "-" } else { "unknown" };
                ("-".to_owned(), amount.to_owned(), why.to_string())
            }
        };
        let tokens = Grouped(line.tokens.into()).to_string();
        table.add_row([line.meter.word().to_owned(), tokens, price, amount, how]);
    }
    let total = [
        "total".to_owned(),
        Grouped(bill.lines.iter().map(|line| i64::from(line.tokens)).sum()).to_string(),
        String::new(),
        total(bill),
        String::new(),
    ];
    table.add_row(total);
    let lines = table.to_string();
    lines.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// What is known of the whole.
fn total(bill: &Bill<'_>) -> String {
    let all_provisioned = bill.lines.iter().all(|line| matches!(line.basis, Basis::Provisioned(_)));
    match (bill.unpriced(), bill.cost()) {
        _ if all_provisioned => "provisioned".to_owned(),
        (0, cost) => Exact(cost).to_string(),
        (_, NanoUsd(0)) => "unknown".to_owned(),
        (_, cost) => format!("≥ {}", Exact(cost)),
    }
}

/// `400 × 2.5 / 1,000,000`, with what was taken off and how it was exchanged.
fn formula(line: &Line<'_>, priced: &Priced<'_>) -> String {
    let Some(price) = priced.held.entry.price(line.meter) else { return String::new() };
    let mut text = format!("{} × {price} / 1,000,000", Grouped(line.tokens.into()));
    if let Some(discount) = priced.discount {
        text.push_str(&format!(" × (100 % - {})", discount.percent));
    }
    if priced.rate != Rate::ONE {
        text.push_str(&format!(" × {} USD", priced.rate));
    }
    if priced.booked < priced.amount {
        text.push_str(&format!(" = {}, cut", Exact(priced.amount)));
    }
    if price.is_rounded(line.tokens, percent(priced), priced.rate) {
        text.push_str(", rounded");
    }
    text
}

fn percent(priced: &Priced<'_>) -> Percent {
    priced.discount.map(|discount| discount.percent).unwrap_or_default()
}

/// Where the amount of a line is from.
fn facts(line: &Line<'_>, book: &PriceBook, deployed: Option<&Deployed>) -> String {
    let priced = match line.basis {
        Basis::Priced(priced) => priced,
        Basis::Provisioned(deployed) => return capacity(deployed),
        Basis::Unknown(why) => return format!("  to mend    {}\n", why.mend()),
    };
    let (entry, doubt) = (priced.held.entry, priced.held.doubt);
    let mut text = format!("  entry      {}\n", place_of(entry, book));
    if doubt.own {
        text.push_str(&format!(
            "  source     own price, line {} of the configuration: {}\n",
            entry.line,
            printable(&entry.source)
        ));
    } else {
        text.push_str(&format!(
            "  source     {}; line {} of {}, edition {}\n",
            printable(&entry.source),
            entry.line,
            printable(&book.name),
            printable(&book.version),
        ));
    }
    text.push_str(&format!("  valid      {}\n", entry.valid));
    match priced.discount {
        None => text.push_str("  discount   none\n"),
        Some(discount) => text.push_str(&format!(
            "  discount   {}, {}: line {} of the configuration, {}\n",
            discount.percent,
            discount.valid,
            discount.line,
            printable(&discount.source)
        )),
    }
    if doubt.scope_assumed {
        text.push_str(
            "  assumed    nobody says how the deployment was bought: this scope is taken\n",
        );
    }
    if doubt.scope_unstated {
        text.push_str("  assumed    the list does not say for which scope the price holds\n");
    }
    if doubt.any_version {
        text.push_str(
            "  assumed    the list does not know this version: the model's price is taken\n",
        );
    }
    if let Some(model) = deployed.and_then(|deployed| deployed.model.as_ref()) {
        text.push_str(&format!("  priced as  {}, by the configuration\n", printable(model)));
    }
    text
}

fn capacity(deployed: &Deployed) -> String {
    let hour = Span { from: EventTime(0), until: EventTime(crate::time::HOUR_MS) };
    match deployed.throughput {
        Some(bought) => format!(
            "  capacity   {} units × {} an hour = {} an hour, whatever is used\n  valid      {}\n",
            Grouped(bought.units.into()),
            Exact(bought.per_unit_hour),
            bought.cost(hour).map_or_else(|| "unknown".to_owned(), |cost| Exact(cost).to_string()),
            deployed.valid,
        ),
        None => format!(
            "  capacity   paid by the hour; its units and price are not configured\n  valid      {}\n",
            deployed.valid
        ),
    }
}

/// What a row prices.
fn place_of(entry: &Entry, book: &PriceBook) -> String {
    let version = if entry.version.is_empty() {
        "any version".to_owned()
    } else {
        format!("version {}", printable(&entry.version))
    };
    let prompt = match (entry.above, book.longest(entry)) {
        (0, None) => "prompts of any length".to_owned(),
        (0, Some(most)) => format!("prompts up to {} tokens", Grouped(most.into())),
        (above, _) => format!("prompts above {} tokens", Grouped(above.into())),
    };
    format!("{}, {version}, {}, {}, {prompt}", printable(&entry.model), entry.scope, entry.tier)
}

fn notes(call: &Call, rates: &Rates, bill: &Bill<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if bill.lines.iter().any(|line| matches!(line.basis, Basis::Priced(_))) {
        notes.push(
            "rounding     each line once, to 0.000000001 USD, halves to the even digit; the total is the \
             sum of the lines"
                .to_owned(),
        );
    }
    if bill.is_cut() {
        notes.push(format!(
            "limit        no call is believed to cost more than {}: the price would be {}",
            Exact(rates.max_per_call()),
            Exact(bill.uncut)
        ));
    }
    if let Some((write, more)) = unseen_writes(call, bill) {
        notes.push(format!(
            "unseen       the logs do not say how many prompt tokens were written to the cache, at {write}; \
             had all of them been, the call would cost {} more",
            Exact(more)
        ));
    }
    notes
}

/// The dearest price of a cache write, and what the call would cost more if all uncached prompt
/// tokens had been written; `None` where that makes no difference.
fn unseen_writes(call: &Call, bill: &Bill<'_>) -> Option<(String, NanoUsd)> {
    let line = bill.lines.iter().find(|line| line.meter == Meter::Input)?;
    let Basis::Priced(priced) = line.basis else { return None };
    let entry = priced.held.entry;
    let writes = [Meter::CacheWrite, Meter::CacheWriteHour].into_iter();
    let (meter, write) =
        writes.filter_map(|meter| Some((meter, entry.price(meter)?))).max_by_key(|(_, p)| *p)?;
    let uncached = call.tokens.input.saturating_sub(call.tokens.cached);
    let dearest = write.times(uncached, percent(&priced), priced.rate)?;
    let more = dearest.plus(-priced.amount);
    (more.0 > 0).then(|| (format!("{write} {} ({meter})", entry.currency), more))
}

fn to_json(call: &Call, book: &PriceBook, bill: &Bill<'_>) -> serde_json::Value {
    let lines: Vec<_> = bill.lines.iter().map(line_json).collect();
    let unseen = unseen_writes(call, bill).map(|(_, more)| more.0);
    json!({
        "model": call.model,
        "deployment": call.place,
        "at": call.at.to_string(),
        "book": book.name,
        "edition": book.version,
        "lines": lines,
        "cost_nano_usd": (bill.unpriced() == 0).then_some(bill.cost().0),
        "known_cost_nano_usd": bill.cost().0,
        "unpriced_tokens": bill.unpriced(),
        "cut_by_limit": bill.is_cut(),
        "at_most_more_for_cache_writes_nano_usd": unseen,
    })
}

fn line_json(line: &Line<'_>) -> serde_json::Value {
    match line.basis {
        Basis::Unknown(why) => json!({
            "meter": line.meter.word(), "tokens": line.tokens, "basis": "unknown",
            "why": why.to_string(),
        }),
        Basis::Provisioned(_) => json!({
            "meter": line.meter.word(), "tokens": line.tokens, "basis": "provisioned",
        }),
        Basis::Priced(priced) => {
            let (entry, doubt) = (priced.held.entry, priced.held.doubt);
            json!({
                "meter": line.meter.word(),
                "tokens": line.tokens,
                "basis": if doubt.own { "own" } else { "list" },
                "per_million": entry.price(line.meter).map(|price| price.to_string()),
                "currency": entry.currency,
                "usd_per_unit": priced.rate.to_string(),
                "discount": priced.discount.map(|discount| discount.percent.to_string()),
                "cost_nano_usd": priced.booked.0,
                "model": entry.model,
                "version": entry.version,
                "scope": entry.scope.to_string(),
                "tier": entry.tier.to_string(),
                "above": entry.above,
                "valid": entry.valid.to_string(),
                "source": entry.source,
                "line": entry.line,
                "scope_assumed": doubt.scope_assumed,
                "scope_unstated": doubt.scope_unstated,
                "any_version": doubt.any_version,
            })
        }
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
