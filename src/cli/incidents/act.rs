//! What people do about one incident.

use super::super::Exit;
use super::super::desk::Signed;
use super::named;
use crate::action::{Deed, Feedback};
use crate::store::read::Reader;

/// Which incident, by whom and why.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its id, or its key.
    incident: String,
    #[command(flatten)]
    signed: Signed,
}

/// Which incident, and what it was.
#[derive(Debug, clap::Args)]
pub(super) struct FeedbackArgs {
    /// Its id, or its key.
    incident: String,
    /// What it was.
    #[arg(value_enum)]
    verdict: Verdict,
    #[command(flatten)]
    signed: Signed,
}

/// What an incident was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Verdict {
    /// Lawful and passing, such as a load test: not learnt; told again only if it becomes critical.
    Expected,
    /// Lawful and here to stay: the new level is accepted and learnt.
    NewNormal,
    /// Not lawful: never learnt.
    Abuse,
}

impl Verdict {
    const fn feedback(self) -> Feedback {
        match self {
            Self::Expected => Feedback::Expected,
            Self::NewNormal => Feedback::NewNormal,
            Self::Abuse => Feedback::Abuse,
        }
    }
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Acknowledge,
    Resolve,
    Note,
}

pub(super) async fn run(act: Act, args: &Args) -> anyhow::Result<Exit> {
    let incident = find(&args.signed, &args.incident).await?;
    let deed = match act {
        Act::Acknowledge => Deed::Acknowledge { incident },
        Act::Resolve => Deed::Resolve { incident },
        Act::Note => {
            anyhow::ensure!(!args.signed.reason().is_empty(), "a note needs --reason TEXT");
            Deed::Note { incident }
        }
    };
    args.signed.ask(&deed).await
}

pub(super) async fn feedback(args: &FeedbackArgs) -> anyhow::Result<Exit> {
    let incident = find(&args.signed, &args.incident).await?;
    args.signed.ask(&Deed::Judge { incident, feedback: args.verdict.feedback() }).await
}

async fn find(signed: &Signed, name: &str) -> anyhow::Result<String> {
    let mut reader = Reader::open(&signed.db).await?;
    Ok(named(&reader.incidents().await?, name)?.key.clone())
}
