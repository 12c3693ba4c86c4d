//! `tokenwatch spend`: what was spent, by local day, week, month or hour.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::check::load_without_secrets;
use super::prices::{Form, table, to_csv};
use super::replay::{basis_text, cost_text, printable};
use super::{Exit, print};
use crate::aggregate::join::JoinSettings;
use crate::days::{Date, DaysError, Period, Step, Zone};
use crate::money::{Grouped, NanoUsd};
use crate::price::PriceBook;
use crate::price::reconcile::Covered;
use crate::price::spend::Spend;
use crate::report::guess::{self, Guess};
use crate::store::read::Reader;
use crate::time::EventTime;

/// Shows spend by local day, week, month or hour. Without dates: the last seven days (four weeks, three
/// months), of which the newest still runs.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tokenwatch spend --db tokenwatch.db --timezone Europe/Berlin\n  \
    tokenwatch spend --db tokenwatch.db --by week --per account --from 2026-10-05 --to 2026-11-02\n  \
    tokenwatch spend --config tokenwatch.toml --by month --per model --format csv\n\n\
    A day is a day of the time zone and has 23 or 25 hours when clocks change; weeks begin on Monday.\n\
    --from is inside, --to is the first day outside. Sums are kept by UTC hours: in a zone that lies\n\
    whole hours from UTC days are exact; in the others an hour counts to the day in which it begins,\n\
    and the output says at what time days begin.\n\
    `running` has not ended yet, `settling` has but late records may still add to it, `partly` began\n\
    before the first hour kept, `no data` lies before it. `basis` is that of the whole deployment."
)]
pub(super) struct Args {
    /// Database to read; another process may be writing it.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "config",
        conflicts_with = "config"
    )]
    db: Option<PathBuf>,
    /// The database of this configuration; its secrets are not looked up.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How time is cut.
    #[arg(long, value_enum, default_value = "day")]
    by: By,
    /// What has a line of its own.
    #[arg(long, value_enum, default_value = "deployment")]
    per: Per,
    /// Zone whose days these are, by its IANA name.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = Zone::named)]
    timezone: Zone,
    /// First local day, such as 2026-10-05.
    #[arg(long, value_name = "DAY")]
    from: Option<Date>,
    /// First local day after.
    #[arg(long, value_name = "DAY")]
    to: Option<Date>,
    /// Form of the list.
    #[arg(long, value_enum, default_value = "table")]
    format: Form,
}

/// How time is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// UTC hours, in local time.
    Hour,
    /// Local days.
    Day,
    /// Local weeks from Monday.
    Week,
    /// Local months.
    Month,
}

impl By {
    const fn step(self) -> Step {
        match self {
            Self::Hour => Step::Hour,
            Self::Day => Step::Day,
            Self::Week => Step::Week,
            Self::Month => Step::Month,
        }
    }

    /// The first day to show when nobody says, if the last is `today`.
    fn first(self, today: Date) -> Result<Date, DaysError> {
        let mut day = self.step().begin(today)?;
        let before = match self {
            Self::Hour | Self::Day => 6,
            Self::Week => 3,
            Self::Month => 2,
        };
        for _ in 0..before {
            day = self.step().begin(day.yesterday()?)?;
        }
        Ok(day)
    }
}

/// What has a line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Per {
    /// Everything together.
    All,
    /// Each account.
    Account,
    /// Each deployment.
    Deployment,
    /// Each model of each deployment.
    Model,
}

impl Per {
    /// The parts of a name that tell lines apart; the others are empty.
    fn key(self, account: &str, deployment: &str, model: &str) -> [String; 3] {
        let part =
            |least: Self, text: &str| if self >= least { text.to_owned() } else { String::new() };
        [part(Self::Account, account), part(Self::Deployment, deployment), part(Self::Model, model)]
    }
}

/// What is known of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Settling,
    Running,
    Partly,
    NoData,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Settling => "settling",
            Self::Running => "running",
            Self::Partly => "partly",
            Self::NoData => "no data",
        }
    }

    fn of(period: &Period, covered: Covered, horizon_ms: i64) -> Self {
        let (from, until) = (period.from.start(), period.until.start());
        if until <= covered.from || from >= covered.until {
            Self::NoData
        } else if until > covered.until {
            Self::Running
        } else if from < covered.from {
            Self::Partly
        } else if until.0.saturating_add(horizon_ms) > covered.until.0 {
            Self::Settling
        } else {
            Self::Whole
        }
    }
}

/// Sums as they are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    spend: Spend,
    /// What no row told, by the metrics: beside the spend, never in it.
    guess: Guess,
}

impl Sum {
    fn plus(self, other: Self) -> Self {
        Self { spend: self.spend.plus(other.spend), guess: self.guess.plus(other.guess) }
    }

    fn tokens(self) -> i64 {
        self.spend.over_meters(|meter| meter.tokens)
    }

    fn unpriced(self) -> i64 {
        self.spend.over_meters(|meter| meter.unpriced)
    }

    fn provisioned(self) -> i64 {
        self.spend.over_meters(|meter| meter.provisioned)
    }

    /// The cost of everything; `None` when some of it is unknown.
    fn cost(self) -> Option<NanoUsd> {
        (self.unpriced() == 0 && self.spend.untold == 0).then_some(self.spend.cost())
    }

    const fn basis(self) -> &'static str {
        match (self.spend.untold > 0, self.spend.attributed_tokens > 0) {
            (true, _) => "incomplete",
            (false, true) => "attributed",
            (false, false) => "exact",
        }
    }

    /// What is estimated beside it; a dash where nothing is.
    fn guessed(self) -> String {
        match (self.guess == Guess::default(), self.guess.known_cost()) {
            (true, _) => "-".to_owned(),
            (false, Some(cost)) => format!("about {cost}"),
            (false, None) => "unknown".to_owned(),
        }
    }

    fn cells(self) -> [String; 7] {
        let known = (self.spend.cost(), self.cost().is_some());
        [
            Grouped(self.spend.calls).to_string(),
            Grouped(self.tokens()).to_string(),
            cost_text(known, (self.provisioned(), self.tokens())),
            count_or_dash(self.unpriced()),
            count_or_dash(self.spend.untold),
            self.guessed(),
            basis_text(self.basis(), self.spend),
        ]
    }

    fn to_json(self) -> Value {
        let [input, cached, output] = self.spend.meters.map(|meter| meter.tokens);
        json!({
            "calls": self.spend.calls,
            "tokens_input": input,
            "tokens_cached": cached,
            "tokens_output": output,
            "cost_nano_usd": self.cost().map(|cost| cost.0),
            "known_cost_nano_usd": self.spend.cost().0,
            "unpriced_tokens": self.unpriced(),
            "provisioned_tokens": self.provisioned(),
            "calls_without_tokens": self.spend.untold,
            "attributed_tokens": self.spend.attributed_tokens,
            "attributed_nano_usd": self.spend.attributed_nano,
            "estimated_tokens_input": self.guess.tokens.input,
            "estimated_tokens_output": self.guess.tokens.output,
            "estimated_nano_usd": self.guess.known_cost().map(|cost| cost.0),
            "basis": self.basis(),
        })
    }
}

fn count_or_dash(count: i64) -> String {
    if count == 0 { "-".to_owned() } else { Grouped(count).to_string() }
}

/// A period and its lines by account, deployment and model.
struct Told {
    period: Period,
    state: State,
    lines: BTreeMap<[String; 3], Sum>,
}

impl Told {
    fn total(&self) -> Sum {
        self.lines.values().fold(Sum::default(), |total, sum| total.plus(*sum))
    }
}

/// Everything that is printed.
struct Report {
    zone: Zone,
    by: By,
    per: Per,
    told: Vec<Told>,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut horizon_ms = JoinSettings::default().horizon_ms;
    let mut book = PriceBook::built_in()?;
    let db = match (&args.db, &args.config) {
        (Some(db), _) => db.clone(),
        (None, None) => return usage("name a database (--db) or a configuration (--config)"),
        (None, Some(path)) => {
            let Some(config) = load_without_secrets(path)? else { return Ok(Exit::Configuration) };
            horizon_ms = config.engine.join.horizon_ms;
            book = config.price.open()?;
            config.database
        }
    };
    if args.from.zip(args.to).is_some_and(|(from, to)| from >= to) {
        return usage("--from is not before --to, which is the first day outside");
    }
    let mut reader = Reader::open(&db).await?;
    let covered = reader.covered().await?;
    let never = Covered { from: EventTime(i64::MAX), until: EventTime(i64::MIN) };
    let periods = match periods(args, covered) {
        Ok(periods) => periods,
        Err(error) => return usage(&error.to_string()),
    };
    let covered = covered.unwrap_or(never);
    let mut told = Vec::new();
    for period in periods {
        let lines = lines(&mut reader, &period, args.per, &book).await?;
        told.push(Told { state: State::of(&period, covered, horizon_ms), period, lines });
    }
    let report = Report { zone: args.timezone.clone(), by: args.by, per: args.per, told };
    let text = match args.format {
        Form::Table => to_table(&report),
        Form::Json => format!("{}\n", to_json(&report)),
        Form::Csv => csv(&report)?,
    };
    print(&text)?;
    Ok(Exit::Ok)
}

fn usage(what: &str) -> anyhow::Result<Exit> {
    tracing::error!("{what}");
    Ok(Exit::Usage)
}

/// The periods asked for, or the newest ones that the database tells of.
fn periods(args: &Args, covered: Option<Covered>) -> Result<Vec<Period>, DaysError> {
    let (zone, step) = (&args.timezone, args.by.step());
    let (last, until) = match (args.to, covered) {
        (Some(to), _) => (to.yesterday().map_err(DaysError::from)?, to),
        (None, Some(covered)) => {
            let today = zone.day_of(covered.until)?;
            (today, step.after(step.begin(today)?)?)
        }
        (None, None) => return Ok(Vec::new()),
    };
    let from = args.from.map_or_else(|| args.by.first(last), Ok)?;
    zone.periods(step, from, until)
}

async fn lines(
    reader: &mut Reader,
    period: &Period,
    per: Per,
    book: &PriceBook,
) -> anyhow::Result<BTreeMap<[String; 3], Sum>> {
    let mut lines: BTreeMap<[String; 3], Sum> = BTreeMap::new();
    for hour in reader.spend(period.from, period.until).await? {
        let line = lines.entry(per.key(&hour.account, &hour.deployment, &hour.model)).or_default();
        line.spend = line.spend.plus(hour.spend);
    }
    for (hour, guess) in guess::between(reader, (period.from, period.until), book).await? {
        let line = lines.entry(per.key(&hour.account, &hour.deployment, &hour.model)).or_default();
        line.guess = line.guess.plus(guess);
    }
    Ok(lines)
}

fn short(account: &str) -> &str {
    account.rsplit('/').next().unwrap_or(account)
}

/// The parts of a name that this report tells apart.
fn named(per: Per, key: &[String; 3]) -> Vec<&str> {
    let [account, deployment, model] = key;
    let parts = [(Per::Account, account), (Per::Deployment, deployment), (Per::Model, model)];
    parts.iter().filter(|(least, _)| per >= *least).map(|(_, text)| text.as_str()).collect()
}

const NAMES: [&str; 3] = ["account", "deployment", "model"];

fn to_table(report: &Report) -> String {
    let (Some(first), Some(last)) = (report.told.first(), report.told.last()) else {
        return "no data\n".to_owned();
    };
    let of_names = named(report.per, &NAMES.map(str::to_owned)).len();
    let step = match report.by {
        By::Hour => "hour",
        By::Day => "day",
        By::Week => "week",
        By::Month => "month",
    };
    let mut head = vec![step];
    head.extend(NAMES.iter().take(of_names));
    head.extend(["calls", "tokens", "cost", "unpriced", "untold", "estimated", "basis", "state"]);
    let right: Vec<usize> = (0..6).map(|place| 1 + of_names + place).collect();
    let mut table = table(&head, &right);
    let mut total = Sum::default();
    for told in &report.told {
        total = total.plus(told.total());
        table_rows(&mut table, told, report.per);
    }
    let mut row = vec!["total".to_owned()];
    row.resize(1 + of_names, String::new());
    row.extend(total.cells());
    row.push(String::new());
    table.add_row(row);
    let local = |minute: crate::time::Minute| report.zone.local(minute.start());
    format!(
        "spend by {step} of {}, from {} until before {}\n{}\n{table}\n",
        report.zone,
        local(first.period.from),
        local(last.period.until),
        shifted(report),
    )
}

fn table_rows(table: &mut comfy_table::Table, told: &Told, per: Per) {
    let state = match (told.state, told.period.is_cut) {
        (State::Whole, false) => String::new(),
        (State::Whole, true) => "cut".to_owned(),
        (state, _) => state.word().to_owned(),
    };
    for (key, sum) in &told.lines {
        let mut row = vec![told.period.name.clone()];
        for (place, part) in named(per, key).into_iter().enumerate() {
            let part = if place == 0 { short(part) } else { part };
            row.push(if part.is_empty() { "(none)".to_owned() } else { printable(part) });
        }
        row.extend(sum.cells());
        row.push(state.clone());
        table.add_row(row);
    }
    if told.lines.is_empty() {
        let mut row = vec![told.period.name.clone()];
        row.resize(1 + named(per, &NAMES.map(str::to_owned)).len(), "-".to_owned());
        // Nothing was counted where something could have been; elsewhere nobody knows.
        row.extend(match told.state {
            State::NoData => vec!["-".to_owned(); 7],
            State::Whole | State::Settling | State::Running | State::Partly => {
                Sum::default().cells().to_vec()
            }
        });
        row.push(state);
        table.add_row(row);
    }
}

/// Where days do not begin at midnight: when they do.
fn shifted(report: &Report) -> String {
    let off = report.told.iter().find(|told| told.period.shift_min() != 0);
    off.map_or_else(String::new, |told| {
        format!(
            "{} lies off the hour and sums are kept by UTC hours: {} begins at {}\n",
            report.zone,
            told.period.name,
            report.zone.local(told.period.from.start()),
        )
    })
}

fn to_json(report: &Report) -> Value {
    let mut total = Sum::default();
    let mut periods = Vec::new();
    for told in &report.told {
        total = total.plus(told.total());
        let lines = told.lines.iter().map(|(key, sum)| {
            let mut line = sum.to_json();
            if let Some(line) = line.as_object_mut() {
                let names = NAMES.iter().zip(named(report.per, key));
                line.extend(names.map(|(name, text)| ((*name).to_owned(), text.into())));
            }
            line
        });
        periods.push(json!({
            "name": told.period.name,
            "from": report.zone.local(told.period.from.start()),
            "until": report.zone.local(told.period.until.start()),
            "hours": told.period.hours(),
            "begins_minutes_late": told.period.shift_min(),
            "state": told.state.word(),
            "is_cut": told.period.is_cut,
            "lines": lines.collect::<Vec<_>>(),
            "total": told.total().to_json(),
        }));
    }
    json!({ "timezone": report.zone.name(), "periods": periods, "total": total.to_json() })
}

fn csv(report: &Report) -> anyhow::Result<String> {
    let head = [
        "period",
        "from",
        "until",
        "account",
        "deployment",
        "model",
        "calls",
        "tokens_input",
        "tokens_cached",
        "tokens_output",
        "cost_nano_usd",
        "known_cost_nano_usd",
        "unpriced_tokens",
        "provisioned_tokens",
        "calls_without_tokens",
        "attributed_tokens",
        "estimated_tokens_input",
        "estimated_tokens_output",
        "estimated_nano_usd",
        "basis",
        "state",
    ];
    let rows = report.told.iter().flat_map(|told| {
        told.lines.iter().map(|([account, deployment, model], sum)| {
            let local = |minute: crate::time::Minute| report.zone.local(minute.start());
            let [input, cached, output] = sum.spend.meters.map(|meter| meter.tokens.to_string());
            vec![
                told.period.name.clone(),
                local(told.period.from),
                local(told.period.until),
                account.clone(),
                deployment.clone(),
                model.clone(),
                sum.spend.calls.to_string(),
                input,
                cached,
                output,
                sum.cost().map_or_else(String::new, |cost| cost.0.to_string()),
                sum.spend.cost().0.to_string(),
                sum.unpriced().to_string(),
                sum.provisioned().to_string(),
                sum.spend.untold.to_string(),
                sum.spend.attributed_tokens.to_string(),
                sum.guess.tokens.input.to_string(),
                sum.guess.tokens.output.to_string(),
                sum.guess.known_cost().map_or_else(String::new, |cost| cost.0.to_string()),
                sum.basis().to_owned(),
                told.state.word().to_owned(),
            ]
        })
    });
    to_csv(&head, rows)
}
