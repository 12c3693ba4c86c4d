//! How good the alerts were: what people said of them, and how fast they were taken.

use std::path::PathBuf;

use serde_json::json;

use super::super::prices::table;
use super::super::{Exit, Format, print};
use crate::action::Feedback;
use crate::pipeline::wall_clock;
use crate::store::life::RuleQuality;
use crate::store::read::Reader;
use crate::time::{DAY_MS, MINUTE_MS};

/// How many weeks, of which database.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Precision is abuse over everything judged; what nobody judged counts for nothing.\n\n\
    Examples:\n  tokenwatch incidents stats --db tokenwatch.db\n  \
    tokenwatch incidents stats --db tokenwatch.db --weeks 12 --format json"
)]
pub(super) struct Args {
    /// Database to read; another process may be writing it.
    #[arg(long, env = "TOKENWATCH_DB", value_name = "FILE")]
    db: PathBuf,
    /// How many weeks back.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=520))]
    weeks: u16,
    /// Form of the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut reader = Reader::open(&args.db).await?;
    let from_ms = wall_clock()() - i64::from(args.weeks) * 7 * DAY_MS;
    let rules = reader.quality(from_ms).await?;
    print(&match args.format {
        Format::Json => {
            let list: Vec<_> = rules.iter().map(|rule| to_json(rule, args.weeks)).collect();
            format!("{}\n", serde_json::Value::Array(list))
        }
        Format::Table => to_table(&rules, args.weeks),
    })?;
    Ok(Exit::Ok)
}

/// Abuse over everything judged; `None` where nothing was.
fn precision(rule: &RuleQuality) -> Option<(i64, i64)> {
    let judged: i64 = rule.judged.iter().sum();
    let abuse = rule.judged.get(Feedback::Abuse as usize).copied().unwrap_or(0);
    (judged > 0).then_some((abuse, judged))
}

fn median_ms(all: &[i64]) -> Option<i64> {
    let mut all = all.to_vec();
    all.sort_unstable();
    all.get(all.len().checked_sub(1)? / 2).copied()
}

fn to_json(rule: &RuleQuality, weeks: u16) -> serde_json::Value {
    let judged: serde_json::Map<_, _> = Feedback::ALL
        .iter()
        .zip(rule.judged)
        .map(|(feedback, count)| (feedback.word().to_owned(), json!(count)))
        .collect();
    json!({
        "rule": rule.rule,
        "weeks": weeks,
        "incidents": rule.incidents,
        "messages": rule.messages,
        "feedback": judged,
        "median_ms_to_acknowledge": median_ms(&rule.acknowledged_ms),
        "median_ms_to_resolve": median_ms(&rule.resolved_ms),
    })
}

fn to_table(rules: &[RuleQuality], weeks: u16) -> String {
    if rules.is_empty() {
        return format!("no incidents in {weeks} weeks\n");
    }
    let head = [
        "rule",
        "incidents",
        "messages",
        "a week",
        "judged",
        "precision",
        "taken after",
        "over after",
    ];
    let mut table = table(&head, &[1, 2, 3, 4, 5, 6, 7]);
    let after = |all: &[i64]| {
        let median = median_ms(all).map(|ms| format!("{} min", ms / MINUTE_MS));
        median.unwrap_or_else(|| "-".to_owned())
    };
    for rule in rules {
        let tenths = rule.messages * 10 / i64::from(weeks);
        let (judged, share) = match precision(rule) {
            Some((abuse, judged)) => (judged.to_string(), format!("{} %", abuse * 100 / judged)),
            None => ("0".to_owned(), "-".to_owned()),
        };
        table.add_row([
            rule.rule.clone(),
            rule.incidents.to_string(),
            rule.messages.to_string(),
            format!("{}.{}", tenths / 10, tenths % 10),
            judged,
            share,
            after(&rule.acknowledged_ms),
            after(&rule.resolved_ms),
        ]);
    }
    format!("{table}\n")
}
