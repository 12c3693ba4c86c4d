//! The program's own log: short facts on standard error, for people on a terminal, as JSON lines
//! elsewhere when asked.

use tracing_subscriber::EnvFilter;

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends the log to standard error. The hub client's libraries are silent:
/// what matters of their errors stands in our own lines.
pub fn start(format: LogFormat, verbosity: u8) {
    let level = match verbosity {
        0 => {
            "tokenwatch=info,warn,fe2o3_amqp=off,azure_core=off,azure_core_amqp=off,\
              azure_messaging_eventhubs=off"
        }
        1 => "tokenwatch=debug,warn",
        _ => "debug",
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_target(false)
        .with_writer(std::io::stderr);
    // A second subscriber in one process (tests) is refused; the first goes on.
    drop(match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    });
}
