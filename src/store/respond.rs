//! Steps that people proposed to the operator's automation, and what became of the calls.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::read::Reader;
use super::{Store, StoreError};
use crate::engine::effects::Effects;
use crate::engine::respond::{Progress, Standing};
use crate::event::{Responded, Responding};

/// Answers taken up in one step; more wait for the next.
const MOST_ANSWERS: i64 = 200;
/// How the outbox says that a receiver could not be reached; anything else that ended a call is a refusal.
const UNREACHED: &str = "temporary failure";

/// Saves how proposals stand after a step.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    for standing in &effects.standings {
        let body = serde_json::to_string(standing)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        let answered = match standing.progress {
            Progress::Proposed | Progress::Confirmed => 0,
            Progress::Cancelled | Progress::Accepted | Progress::Refused | Progress::Failed => 1,
        };
        sqlx::query(
            "insert into response (id, incident, key, answered, body) values ($1, $2, $3, $4, $5) \
             on conflict (id) do update set key = excluded.key, answered = excluded.answered, \
             body = excluded.body",
        )
        .bind(standing.id)
        .bind(&standing.incident)
        .bind(&standing.key)
        .bind(answered)
        .bind(body)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Every proposal, oldest first; one that cannot be read is left out.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    incident: Option<&str>,
) -> Result<Vec<Standing>, sqlx::Error> {
    let rows =
        sqlx::query("select body from response where $1 is null or incident = $1 order by id")
            .bind(incident)
            .fetch_all(&mut *connection)
            .await?;
    let bodies = rows.iter().map(|row| row.try_get::<String, _>(0));
    let bodies = bodies.collect::<Result<Vec<_>, _>>()?;
    Ok(bodies.iter().filter_map(|body| serde_json::from_str(body).ok()).collect())
}

impl Store {
    /// What became of calls of which nobody has been told yet.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn responded(&mut self) -> Result<Vec<Responded>, StoreError> {
        let mut connection = self.writer().await?;
        let rows = sqlx::query(
            "select o.key, o.state, coalesce(o.reason, '') from response r \
             join outbox o on o.key = r.key where r.answered = 0 and o.state <> 'pending' \
             order by r.id limit $1",
        )
        .bind(MOST_ANSWERS)
        .fetch_all(&mut connection)
        .await;
        let read = rows.and_then(|rows| {
            let answers = rows.iter().map(|row| {
                let (state, said): (String, String) = (row.try_get(1)?, row.try_get(2)?);
                Ok(Responded { key: row.try_get(0)?, outcome: outcome(&state, said) })
            });
            answers.collect()
        });
        self.keep(connection, read)
    }
}

fn outcome(state: &str, said: String) -> Responding {
    match state {
        "sent" => Responding::Accepted(said),
        _ if said.starts_with(UNREACHED) => Responding::Failed(said),
        _ => Responding::Refused(said),
    }
}

impl Reader {
    /// Proposals about an incident, or about any, oldest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn responses(&mut self, incident: Option<&str>) -> Result<Vec<Standing>, StoreError> {
        let read = load(self.connection(), incident).await;
        read.map_err(|source| self.error(source))
    }
}
