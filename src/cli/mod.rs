//! The commands. Standard output is data, standard error is the rest.

mod audit;
mod backtest;
mod demo;
mod desk;
mod detectors;
mod doctor;
mod drill;
mod emulator;
mod estimates;
mod explain;
mod gateways;
mod budgets;
mod callers;
mod check;
mod coverage;
mod incidents;
mod live_drill;
mod prices;
mod purge;
mod replay;
mod routes;
mod report;
mod run;
mod respond;
mod silence;
mod schema;
mod simulate;
mod spend;
mod test_alert;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::telemetry::{self, LogFormat};

/// Says within a minute when somebody else is spending your Azure AI budget.
#[derive(Debug, Parser)]
#[command(name = "tokenwatch", version, max_term_width = 100, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Form of the log on standard error.
    #[arg(long, global = true, value_enum, default_value = "text", help_heading = "Log")]
    log_format: LogFormat,
    /// More log (twice: everything the libraries say).
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Log")]
    verbose: u8,
    /// Crash tests: stop at the n-th time a point is reached, as POINT:N.
    #[cfg(feature = "sabotage")]
    #[arg(long, global = true, hide = true, default_value = ":0")]
    stop_at: String,
    /// Crash tests: run this wrong variant.
    #[cfg(feature = "sabotage")]
    #[arg(long, global = true, hide = true, default_value = "")]
    sabotage: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Run(run::Args),
    Check(check::Args),
    TestAlert(test_alert::Args),
    Replay(replay::Args),
    Incidents(incidents::Args),
    Silence(silence::Args),
    Respond(respond::Args),
    Routes(routes::Args),
    Doctor(doctor::Args),
    Audit(Box<audit::Args>),
    Prices(prices::Args),
    Spend(spend::Args),
    Budgets(budgets::Args),
    Report(report::Args),
    Purge(purge::Args),
    Schema(schema::Args),
    Simulate(simulate::Args),
    Backtest(backtest::Args),
    Detectors(detectors::Args),
    Drill(live_drill::Args),
    Explain(explain::Args),
    Emulator(Box<emulator::Args>),
}

/// Form of printed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// How a command ended, as an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// It was called wrongly.
    Usage = 2,
    /// The configuration is wrong; nothing was started.
    Configuration = 3,
    /// What was looked for was found.
    Found = 4,
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // One TLS stack for everything; a second call in one process (tests) changes nothing.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    telemetry::start(cli.log_format, cli.verbose);
    #[cfg(feature = "sabotage")]
    if let Some((point, at)) = cli.stop_at.split_once(':') {
        crate::failpoint::plan(point, at.parse().unwrap_or(0), &cli.sabotage);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(error.into())),
    };
    let result = runtime.block_on(execute(cli.command));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    finish(result)
}

async fn execute(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Emulator(args) => emulator::run(*args).await,
        Command::Run(args) => run::run(args).await,
        Command::Check(args) => check::run(&args),
        Command::TestAlert(args) => test_alert::run(args).await,
        Command::Replay(args) => replay::run(args).await,
        Command::Incidents(args) => incidents::run(args).await,
        Command::Silence(args) => silence::run(&args).await,
        Command::Respond(args) => respond::run(&args).await,
        Command::Routes(args) => routes::run(&args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Audit(args) => audit::run(*args).await,
        Command::Prices(args) => prices::run(args).await,
        Command::Spend(args) => spend::run(&args).await,
        Command::Budgets(args) => budgets::run(&args).await,
        Command::Report(args) => report::run(&args).await,
        Command::Purge(args) => purge::run(&args).await,
        Command::Schema(args) => schema::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Detectors(args) => detectors::run(&args).await,
        Command::Drill(args) => live_drill::run(args).await,
        Command::Explain(args) => explain::run(&args),
    }
}

fn finish(result: anyhow::Result<Exit>) -> ExitCode {
    match result {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            // The last word goes to a person; if standard error is gone there is nobody to tell.
            drop(writeln!(std::io::stderr(), "error: {error:#}"));
            ExitCode::from(Exit::Failed as u8)
        }
    }
}

/// Prints data, and takes a reader that has gone away (`| head`) for an end, not an error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
