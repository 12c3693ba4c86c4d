//! `tokenwatch respond`: steps that the operator's own automation takes, proposed and then confirmed.

use std::path::PathBuf;

use serde_json::json;

use super::desk::Signed;
use super::incidents::named;
use super::prices::table;
use super::replay::printable;
use super::{Exit, Format, check, print};
use crate::action::{Ask, Deed, Step};
use crate::engine::respond::{AUTOMATION, Standing};
use crate::incident::{Incident, Kind, respond, short_id};
use crate::notify::{Notification, deliver};
use crate::pipeline::wall_clock;
use crate::store::read::Reader;
use crate::time::ArrivalTime;

/// Has your own automation take a step against an incident, or undo it.
///
/// Nothing leaves before a step was proposed and, later, confirmed; `[response]` in the configuration says where
/// to, for how long a proposal can be confirmed, and whether somebody else must do it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch respond list 3f9a1c2b --db tokenwatch.db\n  \
    tokenwatch respond propose 3f9a1c2b --step disable-keys --db tokenwatch.db --by ann --reason \"key leaked\"\n  \
    tokenwatch respond confirm 3f9a1c2b --step disable-keys --db tokenwatch.db --by bob\n  \
    tokenwatch respond undo 3f9a1c2b --step disable-keys --db tokenwatch.db --by ann   # then confirm\n  \
    tokenwatch respond test --config tokenwatch.toml")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists what an incident offers and what was proposed; without an incident, all that was.
    List(List),
    /// Proposes a step; nothing is done yet.
    Propose(Chosen),
    /// Confirms what was proposed: the call leaves.
    Confirm(Chosen),
    /// Takes a proposal back.
    Cancel(Chosen),
    /// Proposes to undo a step that was taken; to be confirmed as well.
    Undo(Chosen),
    /// Sends a signed call that asks for nothing: does it arrive?
    Test(Test),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Its id, or its key.
    incident: Option<String>,
    /// Database to read; another process may be writing it.
    #[arg(long, env = "TOKENWATCH_DB", value_name = "FILE")]
    db: PathBuf,
    /// Form of the list.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct Chosen {
    /// Id of the incident, or its key.
    incident: String,
    /// Which step.
    #[arg(long, value_parser = step, value_name = "STEP")]
    step: Step,
    #[command(flatten)]
    signed: Signed,
}

#[derive(Debug, clap::Args)]
struct Test {
    /// Configuration file.
    #[arg(long, env = "TOKENWATCH_CONFIG", default_value = "tokenwatch.toml")]
    config: PathBuf,
}

fn step(word: &str) -> Result<Step, String> {
    let found = Step::ALL.into_iter().find(|step| step.word() == word);
    found.ok_or_else(|| format!("choose one of {}", Step::ALL.map(Step::word).join(", ")))
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::List(args) => list(args).await,
        Command::Propose(chosen) => ask(chosen, Ask::Propose).await,
        Command::Confirm(chosen) => ask(chosen, Ask::Confirm).await,
        Command::Cancel(chosen) => ask(chosen, Ask::Cancel).await,
        Command::Undo(chosen) => ask(chosen, Ask::ProposeUndo).await,
        Command::Test(args) => test(args).await,
    }
}

async fn ask(chosen: &Chosen, ask: Ask) -> anyhow::Result<Exit> {
    let mut reader = Reader::open(&chosen.signed.db).await?;
    let incident = named(&reader.incidents().await?, &chosen.incident)?.key.clone();
    drop(reader);
    chosen.signed.ask(&Deed::Respond { incident, step: chosen.step, ask }).await
}

async fn list(args: &List) -> anyhow::Result<Exit> {
    let mut reader = Reader::open(&args.db).await?;
    let incidents = reader.incidents().await?;
    let incident = args.incident.as_ref().map(|name| named(&incidents, name)).transpose()?;
    let responses = reader.responses(incident.map(|incident| incident.key.as_str())).await?;
    print(&match args.format {
        Format::Json => {
            let list: Vec<_> = responses.iter().map(to_json).collect();
            let offered = incident.map(|incident| {
                let steps = respond::steps(incident);
                steps.into_iter().map(Step::word).collect::<Vec<_>>()
            });
            format!("{}\n", json!({ "offered": offered, "proposals": list }))
        }
        Format::Table => {
            let offered = incident.map(offered).unwrap_or_default();
            format!("{offered}{}", to_table(&responses))
        }
    })?;
    Ok(Exit::Ok)
}

/// The steps of an incident with what they run and what undoes them.
fn offered(incident: &Incident) -> String {
    let resource = incident.resource_id.as_deref().unwrap_or_default();
    let line = |step: Step| {
        let [take, undo] = respond::commands(step, resource);
        format!("{}\n  {}\n  undone by {}\n", step.word(), printable(&take), printable(&undo))
    };
    let steps: String = respond::steps(incident).into_iter().map(line).collect();
    if steps.is_empty() { "no step can be taken back for certain\n".to_owned() } else { steps }
}

/// Proposals as a table.
pub(super) fn to_table(responses: &[Standing]) -> String {
    if responses.is_empty() {
        return "nothing was proposed\n".to_owned();
    }
    let mut table = table(&["incident", "step", "state", "proposed", "confirmed", "answer"], &[]);
    for one in responses {
        let said =
            |said: &crate::engine::respond::Said| printable(&format!("{} {}", said.at, said.by));
        table.add_row([
            short_id(&one.incident),
            one.title(),
            one.progress.word().to_owned(),
            said(&one.proposed),
            one.confirmed.as_ref().map_or_else(|| "-".to_owned(), said),
            printable(one.answer.as_deref().unwrap_or("-")),
        ]);
    }
    format!("{table}\n")
}

/// A proposal for programs.
pub(super) fn to_json(one: &Standing) -> serde_json::Value {
    let said = |said: &crate::engine::respond::Said| json!({ "by": said.by, "at": said.at.to_string(), "why": said.why });
    json!({
        "incident": short_id(&one.incident),
        "step": one.step.word(),
        "undo": one.undo,
        "state": one.progress.word(),
        "resource_id": one.resource,
        "command": one.command,
        "undo_command": one.undo_command,
        "proposed": said(&one.proposed),
        "confirmed": one.confirmed.as_ref().map(said),
        "key": one.key,
        "answer": one.answer,
    })
}

async fn test(args: &Test) -> anyhow::Result<Exit> {
    let Some(config) = check::load_or_tell(&args.config)? else { return Ok(Exit::Configuration) };
    let Some(settings) = config.response else {
        anyhow::bail!("there is no [response] in {}", args.config.display())
    };
    let now_ms = wall_clock()();
    let key = format!("response-test-{now_ms}");
    let body = json!({ "type": "response.test", "key": key });
    let notification = Notification {
        key,
        incident_key: String::new(),
        destination: AUTOMATION.to_owned(),
        kind: Kind::Test,
        created: ArrivalTime(now_ms),
        body: body.to_string().into_bytes(),
    };
    let channel = settings.connect()?;
    let outcome = deliver::attempt(&*channel, &notification, now_ms / 1_000).await;
    match outcome.result {
        Ok(()) => {
            let said = outcome.said.as_deref().unwrap_or("took it");
            print(&format!("your automation {said}\n"))?;
            Ok(Exit::Ok)
        }
        Err(error) => {
            print(&format!("your automation was not reached: {error}\n"))?;
            Ok(Exit::Failed)
        }
    }
}
