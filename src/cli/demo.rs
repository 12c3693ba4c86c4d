//! `tokenwatch demo`: the whole job on this machine, without Azure.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use super::replay::{printable, stop_on_interrupt};
use super::{Exit, print};
use crate::aggregate::names::KEY_TEXT;
use crate::demo::{self, DemoOptions, Stage, Verdict};
use crate::incident::{Announcement, CallerShare, Incident, Kind};
use crate::money::{Grouped, NanoUsd};
use crate::notify::chart;
use crate::simulate::{Options, Scenario};

/// Shows the whole job on this machine: an event hub, two weeks of traffic, a stolen key, the alert.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tokenwatch demo\n  tokenwatch demo --once --seed 7   # exit code 0 \
    only if the alert agrees with the truth\n  tokenwatch demo --once --scenario quiet"
)]
pub(super) struct Args {
    /// Stop when the scenario is over, compare with the truth, exit with 0 only if they agree.
    #[arg(long)]
    once: bool,
    /// Chooses deployment, callers, size and minute of the attack.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// stolen-key, runaway-loop, slow-ramp, outage or quiet.
    #[arg(long, default_value = "stolen-key")]
    scenario: Scenario,
    /// Folder for database and mails; a new temporary one by default.
    #[arg(long)]
    state_dir: Option<PathBuf>,
    /// How many times faster than real the live part runs.
    #[arg(long, default_value_t = 240.0, value_parser = speed)]
    speed: f64,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.1..=2_000.0).contains(&speed) => Ok(speed),
        Ok(_) | Err(_) => Err("a number from 0.1 to 2000".to_owned()),
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let folder = match args.state_dir {
        Some(folder) => folder,
        None => tempfile::Builder::new().prefix("tokenwatch-demo-").tempdir()?.keep(),
    };
    let options = DemoOptions {
        simulation: Options {
            scenario: args.scenario,
            seed: args.seed,
            live_minutes: if args.once { 120 } else { 6 * 60 },
            ..Options::default()
        },
        folder: folder.clone(),
        speed: args.speed,
        once: args.once,
    };
    let stop = stop_on_interrupt();
    let stage = Arc::new(Terminal::new(folder));
    let verdict = demo::run(&options, Arc::clone(&stage) as Arc<dyn Stage>, &stop).await?;
    if !args.once {
        return Ok(Exit::Ok);
    }
    print(&told(&verdict))?;
    if stop.is_cancelled() {
        anyhow::bail!("interrupted before the end");
    }
    Ok(if verdict.agrees() { Exit::Ok } else { Exit::Failed })
}

fn told(verdict: &Verdict) -> String {
    let mut text = String::new();
    if let Some(day) = &verdict.day {
        // The attack may tower over everything; the usual rhythm shall stay visible.
        let scale = 1.5 * day.expected.iter().copied().fold(0.0, f64::max);
        text.push_str(&format!(
            "\ntokens an hour of {}, last 48 hours, against the seasonal curve (MSTL):\n  observed  {}\n  \
             expected  {}\n",
            printable(&day.deployment),
            chart::bars(&day.observed, scale),
            chart::bars(&day.expected, scale),
        ));
    }
    text.push_str("\ncompared with the truth of the simulation:\n");
    for check in &verdict.checks {
        text.push_str(if check.agrees { "  ok   " } else { "  FAIL " });
        text.push_str(&printable(&check.what));
        text.push('\n');
    }
    text
}

/// What is shown on a terminal.
struct Terminal {
    bar: ProgressBar,
    folder: PathBuf,
}

impl Terminal {
    fn new(folder: PathBuf) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) =
            ProgressStyle::with_template("learning {bar:40} {pos}/{len} events {eta}")
        {
            bar.set_style(style);
        }
        Self { bar, folder }
    }

    fn print(&self, text: &str) {
        // The show goes on without its audience.
        self.bar.suspend(|| drop(print(text)));
    }
}

impl Stage for Terminal {
    fn say(&self, line: &str) {
        self.print(&format!("· {line}\n"));
    }

    fn learnt(&self, done: u64, all: u64) {
        self.bar.set_length(all);
        self.bar.set_position(done);
        if done >= all {
            self.bar.finish_and_clear();
        }
    }

    fn announced(&self, announcement: &Announcement) {
        let incident = &announcement.incident;
        if announcement.kind == Kind::Open {
            let mut text = block(incident);
            let mail = crate::notify::idempotency_key(
                &incident.key,
                announcement.kind,
                announcement.step,
                "mail",
            );
            if incident.severity >= crate::incident::Severity::Medium {
                let path = self.folder.join("mails").join(format!("{mail}.eml"));
                text.push_str(&format!(
                    "  mail        {}\n  webhook     signed, to the built-in listener, which verifies it\n",
                    path.display()
                ));
            }
            self.print(&text);
        } else {
            self.print(&format!(
                "· {} {} {} is now {}\n",
                announcement.at,
                incident.rule,
                printable(incident.deployment.as_deref().unwrap_or(&incident.account)),
                match announcement.kind {
                    Kind::Resolve => "resolved",
                    Kind::Acknowledge => "acknowledged",
                    Kind::Open | Kind::Escalate | Kind::Reopen | Kind::Repeat | Kind::Test => {
                        incident.severity.word()
                    }
                },
            ));
        }
    }
}

/// An incident as a block of lines.
fn block(incident: &Incident) -> String {
    let usd = |cost: Option<NanoUsd>| cost.map_or_else(|| "unknown".to_owned(), |c| c.to_string());
    let deployment = incident.deployment.as_deref().unwrap_or("");
    let mut text = format!(
        "\n■ {} {} · {} · opened {}\n  where       {}/{} ({})\n  observed    {} {}, expected {}, band \
         ends at {}\n",
        incident.severity.word().to_uppercase(),
        incident.rule,
        incident.rule_name,
        incident.opened_at,
        printable(&incident.account),
        printable(deployment),
        printable(incident.model.as_deref().unwrap_or("model unknown")),
        number(incident.observed),
        incident.unit,
        number(incident.expected),
        number(incident.bound),
    );
    if incident.cost.is_some() || incident.cost_per_day.is_some() {
        text.push_str(&format!(
            "  money       {} more than expected so far, {} a day if it goes on\n",
            usd(incident.cost),
            usd(incident.cost_per_day)
        ));
    }
    for caller in &incident.callers {
        text.push_str(&format!("  caller      {}\n", caller_line(caller)));
    }
    for fact in &incident.evidence {
        text.push_str(&format!("  because     {}\n", printable(fact)));
    }
    if let Some(step) = incident.response.first() {
        text.push_str(&format!("  stop it     {}\n", printable(&step.command)));
    }
    text
}

fn caller_line(caller: &CallerShare) -> String {
    let identity = match (caller.network.is_empty(), caller.identity.is_empty()) {
        (true, true) => "identity not told yet",
        (false, true) => "no identity yet: perhaps an API key",
        (_, false) if caller.identity == KEY_TEXT => "API key (no identity)",
        (_, false) => &caller.identity,
    };
    let network = if caller.network.is_empty() {
        "network not known yet (its RequestResponse row comes later)"
    } else {
        &caller.network
    };
    let named = caller.name.as_ref().map(|name| format!("{name}, {identity}"));
    let about = caller.about.to_string();
    format!(
        "{} · {} · {} tokens{}{}{}",
        printable(network),
        printable(named.as_deref().unwrap_or(identity)),
        Grouped(caller.tokens),
        if caller.new { " · new here" } else { "" },
        if about.is_empty() { "" } else { " · " },
        printable(&about)
    )
}

/// A number for people: whole from a hundred up.
#[expect(clippy::cast_possible_truncation, reason = "shown to people; saturates")]
fn number(value: f64) -> String {
    if value.abs() >= 100.0 {
        Grouped(value.round() as i64).to_string()
    } else {
        format!("{value:.2}")
    }
}
