//! Writes an action down and waits a moment for the service to answer.

use std::path::PathBuf;
use std::time::Duration;

use super::{Exit, print};
use crate::action::Deed;
use crate::pipeline::wall_clock;
use crate::store::life::{Desk, Fate};
use crate::time::ArrivalTime;

/// How long the service may take to answer: it looks every second.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the answer is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// Who, why and where.
#[derive(Debug, clap::Args)]
pub(super) struct Signed {
    /// Database of the service.
    #[arg(long, env = "TOKENWATCH_DB", value_name = "FILE")]
    pub(super) db: PathBuf,
    /// Who does it.
    #[arg(long, env = "USER", value_name = "NAME")]
    by: String,
    /// Why; everybody who looks at it later reads it.
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

impl Signed {
    pub(super) const fn reason(&self) -> &str {
        self.reason.as_str()
    }

    /// Writes the deed down, and prints what became of it.
    pub(super) async fn ask(&self, deed: &Deed) -> anyhow::Result<Exit> {
        anyhow::ensure!(!self.by.trim().is_empty(), "say who you are with --by NAME");
        let mut desk = Desk::open(&self.db).await?;
        let at = ArrivalTime(wall_clock()());
        let id = desk.ask(at, (&self.by, &self.reason), deed).await?;
        let began = tokio::time::Instant::now();
        loop {
            match desk.fate(id).await? {
                Fate::Applied(answer) => {
                    print(&format!("{answer}\n"))?;
                    return Ok(Exit::Ok);
                }
                Fate::Refused(why) => anyhow::bail!("{why}"),
                Fate::Waits if began.elapsed() < PATIENCE => tokio::time::sleep(LOOK).await,
                Fate::Waits => break,
            }
        }
        print(&format!(
            "written down as action {id}; no service answers for {}, so it takes effect when one \
             runs\n",
            self.db.display()
        ))?;
        Ok(Exit::Ok)
    }
}

/// A span of time as in the configuration, such as `90m`, `2h` or `3d`, in milliseconds.
pub(super) fn span(text: &str) -> Result<i64, String> {
    let ms = crate::config::duration_ms(text).filter(|ms| *ms > 0);
    ms.ok_or_else(|| {
        format!("{text:?} is no span of time: write a number and s, m, h or d, as in 2h")
    })
}
