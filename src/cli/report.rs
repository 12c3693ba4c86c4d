//! `tokenwatch report`: the weekly spend report, shown or sent.

use std::path::PathBuf;

use anyhow::Context as _;

use super::check::{load_or_tell, load_without_secrets};
use super::{Exit, print};
use crate::config::Config;
use crate::days::Zone;
use crate::engine::{EngineSettings, Env};
use crate::notify::Destination;
use crate::pipeline::reports::{Maker, Wanted};
use crate::pipeline::wall_clock;
use crate::price::PriceBook;
use crate::report::amount::Currency;
use crate::report::facts::Facts;
use crate::report::period::Week;
use crate::report::render::picture::Picture;
use crate::report::render::{self, focus, html, table, text};
use crate::report::settings::ReportSettings;
use crate::report::{Report, WEEKLY, build};
use crate::store::read::Reader;
use crate::store::report::{Edition, Telling, Told, tell_beside};
use crate::time::EventTime;

/// Shows what a week cost, where, for whom and why, or sends it as the service does.
///
/// With --send a report leaves once: a second --send says when it left and does nothing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tokenwatch report --db tokenwatch.db --timezone Europe/Berlin\n  \
    tokenwatch report --config tokenwatch.toml --week 2026-W47 --format html --out week.html\n  \
    tokenwatch report --config tokenwatch.toml --scope payments --format csv   # a line a day and deployment\n  \
    tokenwatch report --config tokenwatch.toml --send                          # once, to everybody due\n\n\
    Weeks are half open and begin on Monday, or on [report] week_start; 2026-W47 is the week whose fourth\n\
    day lies in that ISO week. Amounts of html and text are in the report's currency and add up; json, csv\n\
    are in nano-USD; focus is FOCUS 1.2. --send writes the letters into the database beside the service\n\
    that owns it, and that delivers them."
)]
pub(super) struct Args {
    /// Which week: `last`, or such as 2026-W47.
    #[arg(long, default_value = "last")]
    week: String,
    /// Database to read; the configuration's where none is named.
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    db: Option<PathBuf>,
    /// Zone, currency, owners, prices and destinations.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Form of the report.
    #[arg(long, value_enum, default_value = "text")]
    format: Form,
    /// Only what this owner answers for.
    #[arg(long, value_name = "OWNER", default_value = "")]
    scope: String,
    /// Zone whose weeks these are, by its IANA name; the configuration's where none is named.
    #[arg(long, value_name = "ZONE", value_parser = Zone::named)]
    timezone: Option<Zone>,
    /// Write it there instead of to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Send it to whom it is for, unless that was done.
    #[arg(long, requires = "config", conflicts_with_all = ["out", "resend"])]
    send: bool,
    /// Send it again, labelled so.
    #[arg(long, requires = "config", conflicts_with = "out")]
    resend: bool,
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// The page of the mail.
    Html,
    /// For people without one.
    Text,
    /// Everything, amounts in nano-USD.
    Json,
    /// A line a day, deployment and model.
    Csv,
    /// FOCUS 1.2 charges.
    Focus,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(maker) = maker(args)? else { return Ok(Exit::Configuration) };
    let is_known = maker.env.settings.owners.0.iter().any(|owner| owner.name == args.scope);
    if !args.scope.is_empty() && !is_known {
        tracing::error!("no owner is called {:?}", args.scope);
        return Ok(Exit::Usage);
    }
    let mut reader = Reader::open(&maker.database).await?;
    let now_ms = wall_clock()();
    let week = match week(args, &maker.settings, &mut reader, now_ms).await? {
        Ok(week) => week,
        Err(wrong) => {
            tracing::error!("{wrong}");
            return Ok(Exit::Usage);
        }
    };
    if args.send || args.resend {
        if week.until_minute().start().0 > now_ms {
            tracing::error!("{} is not over", week.name);
            return Ok(Exit::Usage);
        }
        return send(args, &maker, (&mut reader, &week), now_ms).await;
    }
    let whole = maker.facts(&mut reader, &week).await?;
    let facts = maker.part(&whole, &args.scope).context("no such owner")?;
    let terms = maker.terms(&facts, &args.scope, Edition::First);
    let report = build(&facts, &terms)?;
    let text = match args.format {
        Form::Html => page(&report, &facts, &terms.currency)?,
        Form::Text => text::page(&report, &terms.currency),
        Form::Json => render::json(&report)?,
        Form::Csv => table::csv(&facts)?,
        Form::Focus => focus::csv(&facts, &terms.currency)?,
    };
    match &args.out {
        Some(path) => {
            std::fs::write(path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => print(&text)?,
    }
    Ok(Exit::Ok)
}

/// The page with its picture inside, so that it stands alone.
fn page(report: &Report, facts: &Facts, currency: &Currency) -> anyhow::Result<String> {
    let picture = Picture::new(facts, currency);
    let source = picture.as_ref().map(Picture::inline).unwrap_or_default();
    let shown = picture.as_ref().map(|picture| html::Shown { source: &source, picture });
    Ok(html::page(report, currency, shown)?)
}

/// What makes the report; `None` after the problems of the configuration have been told.
fn maker(args: &Args) -> anyhow::Result<Option<Maker>> {
    let mut maker = match &args.config {
        None => Maker {
            database: PathBuf::new(),
            settings: ReportSettings::default(),
            destinations: Vec::new(),
            env: Env::new(EngineSettings::default(), PriceBook::built_in()?),
        },
        Some(path) => {
            let sends = args.send || args.resend;
            let config = if sends { load_or_tell(path)? } else { load_without_secrets(path)? };
            let Some(mut config) = config else { return Ok(None) };
            config.files.read();
            from_config(&config)?
        }
    };
    if let Some(db) = &args.db {
        maker.database.clone_from(db);
    }
    if let Some(zone) = &args.timezone {
        maker.settings.zone = zone.clone();
    }
    Ok(Some(maker))
}

/// What makes reports as a configuration says.
pub(super) fn from_config(config: &Config) -> anyhow::Result<Maker> {
    Ok(Maker {
        database: config.database.clone(),
        settings: config.report.clone().unwrap_or_default(),
        destinations: config.destinations.clone(),
        env: config.env()?,
    })
}

/// The week asked for. `last` is the newest that is over; where the database tells of nothing so new,
/// the newest that is over for it.
async fn week(
    args: &Args,
    settings: &ReportSettings,
    reader: &mut Reader,
    now_ms: i64,
) -> anyhow::Result<Result<Week, String>> {
    let (zone, first) = (&settings.zone, settings.first);
    if args.week != "last" {
        return Ok(Week::named(zone, first, &args.week).map_err(|error| error.to_string()));
    }
    let last = Week::last(zone, first, EventTime(now_ms))?;
    let covered = reader.covered().await?;
    let is_told = covered.is_none_or(|covered| covered.until > last.from_minute().start());
    Ok(Ok(match covered {
        Some(covered) if !is_told => Week::last(zone, first, covered.until)?,
        Some(_) | None => last,
    }))
}

async fn send(
    args: &Args,
    maker: &Maker,
    (reader, week): (&mut Reader, &Week),
    now_ms: i64,
) -> anyhow::Result<Exit> {
    let facts = maker.facts(reader, week).await?;
    let wanted = if args.resend { Wanted::Again } else { Wanted::Due };
    let scopes = maker.settings.scopes(&maker.env.settings.owners, &maker.destinations);
    let chosen = |scope: &str| args.scope.is_empty() || scope == args.scope;
    let mut tellings = Vec::new();
    let mut destinations: Vec<(String, &Destination)> = Vec::new();
    for (scope, to) in scopes.iter().filter(|(scope, _)| chosen(scope)) {
        tellings.extend(maker.of_scope(&facts, (scope, to), wanted, now_ms)?);
        destinations.extend(to.iter().map(|to| (scope.clone(), *to)));
    }
    if destinations.is_empty() {
        tracing::error!("nobody is to get it: name a [[notify.email]] or [[notify.eml]]");
        return Ok(Exit::Configuration);
    }
    let letters: Vec<Telling> =
        tellings.into_iter().filter(|telling| telling.letter.is_some()).collect();
    tell_beside(&maker.database, &letters).await?;
    let mut reader = Reader::open(&maker.database).await?;
    let told = reader.told(WEEKLY, u32::MAX).await?;
    let zone = &maker.settings.zone;
    for (scope, destination) in destinations {
        let of = told.iter().filter(|told| {
            told.scope == scope && told.period == week.name && told.destination == destination.name
        });
        let Some(newest) = of.max_by_key(|told| told.told_ms) else { continue };
        let is_new = letters.iter().any(|letter| letter.told == *newest);
        print(&line(newest, is_new, (&mut reader, zone)).await?)?;
    }
    Ok(Exit::Ok)
}

/// What became of one letter.
async fn line(
    told: &Told,
    is_new: bool,
    (reader, zone): (&mut Reader, &Zone),
) -> anyhow::Result<String> {
    let state = match reader.letter(&told.outbox_key).await? {
        Some((state, Some(at))) if state == "sent" => {
            format!("delivered {}", zone.local(second(at)))
        }
        Some((state, _)) if state == "dead" => "given up: the destination refuses it".to_owned(),
        Some(_) => "waits for the service to deliver it".to_owned(),
        None => "delivered, and purged since".to_owned(),
    };
    let scope = if told.scope.is_empty() { "the whole" } else { told.scope.as_str() };
    let what = if is_new { "queued" } else { "was sent before" };
    Ok(format!(
        "{} of {scope} to {}: {what} ({}, made {}); {state}\n",
        told.period,
        told.destination,
        told.edition.word(),
        zone.local(second(told.told_ms)),
    ))
}

/// A moment of a clock without its fraction of a second.
const fn second(ms: i64) -> EventTime {
    EventTime(ms.div_euclid(1000) * 1000)
}

/// True when the service is to make reports by itself.
pub(super) fn scheduled(config: &Config) -> anyhow::Result<Option<Maker>> {
    config.report.as_ref().map(|_| from_config(config)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_to_the_second() {
        assert_eq!(second(1_999), EventTime(1_000));
        assert_eq!(second(-1), EventTime(-1_000));
    }
}
