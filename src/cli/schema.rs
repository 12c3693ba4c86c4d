//! `tokenwatch schema`: what programs that read our output can rely on.

use super::{Exit, print};
use crate::notify::format::NATIVE_SCHEMA;

/// Prints the JSON Schema of something that programs read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch schema webhook > webhook.schema.json\n  \
    tokenwatch schema webhook | jq '.[\"$defs\"].incident'")]
pub(super) struct Args {
    /// Of what.
    #[arg(value_enum)]
    of: Of,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Of {
    /// Bodies of a webhook with format = "native", and `data` of format = "cloudevents".
    Webhook,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match args.of {
        Of::Webhook => print(NATIVE_SCHEMA)?,
    }
    Ok(Exit::Ok)
}
