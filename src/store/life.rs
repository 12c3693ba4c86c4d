//! What people do and who was told what: actions, audit trail, silences, groups of routes.

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _};

use std::path::{Path, PathBuf};

use super::read::Reader;
use super::{Store, StoreError, open_error, sql_error};
use crate::action::{Action, Answer, Deed};
use crate::engine::effects::Effects;
use crate::engine::respond::AUTOMATION;
use crate::incident::{Entry, Incident};
use crate::route::{self, Silence};
use crate::time::ArrivalTime;

/// Actions taken up in one step; more wait for the next.
const MOST_ACTIONS: i64 = 200;

impl Store {
    /// Actions that wait to be applied, in the order in which they were written down. One that cannot
    /// be read is answered at once, so that it is in nobody's way.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn pending_actions(&mut self) -> Result<Vec<Action>, StoreError> {
        let mut connection = self.writer().await?;
        let rows = sqlx::query(
            "select id, at_ms, author, reason, deed from action where state = 'pending' \
             order by id limit $1",
        )
        .bind(MOST_ACTIONS)
        .fetch_all(&mut connection)
        .await;
        let read = rows.and_then(|rows| rows.iter().map(action).collect::<Result<Vec<_>, _>>());
        let read = self.keep(connection, read)?;
        let mut actions = Vec::new();
        for (id, action) in read {
            if let Some(action) = action {
                actions.push(action);
                continue;
            }
            let mut connection = self.writer().await?;
            let done = sqlx::query(
                "update action set state = 'refused', answer = 'it cannot be read' where id = $1",
            )
            .bind(id)
            .execute(&mut connection)
            .await;
            self.keep(connection, done.map(drop))?;
        }
        Ok(actions)
    }

    /// What the router goes on from.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn load_routes(&mut self, now_ms: i64) -> Result<route::State, StoreError> {
        let mut connection = self.writer().await?;
        let state = routes(&mut connection, now_ms).await;
        self.keep(connection, state)
    }
}

async fn routes(
    connection: &mut SqliteConnection,
    now_ms: i64,
) -> Result<route::State, sqlx::Error> {
    let rows = sqlx::query("select id, body from route_group").fetch_all(&mut *connection).await?;
    let groups = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let groups = groups.collect::<Result<_, sqlx::Error>>()?;
    let rows = sqlx::query("select body from incident where state <> 'resolved'")
        .fetch_all(&mut *connection)
        .await?;
    let incidents = rows.iter().map(|row| {
        let body: String = row.try_get(0)?;
        serde_json::from_str(&body).map_err(|error| sqlx::Error::Decode(Box::new(error)))
    });
    let incidents = incidents.collect::<Result<Vec<Incident>, _>>()?;
    let silences = silences(connection, Some(now_ms)).await?;
    let silences = silences.into_iter().map(|kept| kept.silence).collect();
    Ok(route::State { groups, silences, incidents })
}

/// A silence with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSilence {
    /// The silence.
    pub silence: Silence,
    /// When somebody ended it early.
    pub ended_ms: Option<i64>,
}

async fn silences(
    connection: &mut SqliteConnection,
    alive_at: Option<i64>,
) -> Result<Vec<KeptSilence>, sqlx::Error> {
    let rows = sqlx::query(
        "select id, matchers, from_ms, until_ms, author, reason, ended_ms from silence \
         where $1 is null or (ended_ms is null and until_ms > $1) order by id",
    )
    .bind(alive_at)
    .fetch_all(&mut *connection)
    .await?;
    let read = rows.iter().map(|row| {
        let matchers: String = row.try_get(1)?;
        let silence = Silence {
            id: row.try_get(0)?,
            matchers: serde_json::from_str(&matchers)
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            from_ms: row.try_get(2)?,
            until_ms: row.try_get(3)?,
            author: row.try_get(4)?,
            reason: row.try_get(5)?,
        };
        Ok(KeptSilence { silence, ended_ms: row.try_get(6)? })
    });
    read.collect()
}

/// The action of a row with its number; `None` in the place of one that cannot be read.
fn action(row: &SqliteRow) -> Result<(i64, Option<Action>), sqlx::Error> {
    let (id, deed): (i64, String) = (row.try_get(0)?, row.try_get(4)?);
    let Ok(deed) = serde_json::from_str::<Deed>(&deed) else { return Ok((id, None)) };
    let at = ArrivalTime(row.try_get(1)?);
    let (author, reason) = (row.try_get(2)?, row.try_get(3)?);
    Ok((id, Some(Action { id, at, author, reason, deed })))
}

/// Saves the audit trail, answers, silences and groups of a step.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    for (incident, entry) in &effects.life {
        sqlx::query(
            "insert into incident_event (incident, at_ms, author, what) values ($1, $2, $3, $4)",
        )
        .bind(incident)
        .bind(entry.at.0)
        .bind(&entry.author)
        .bind(&entry.what)
        .execute(&mut *connection)
        .await?;
    }
    for Answer { action, outcome } in &effects.answers {
        let (state, answer) = match outcome {
            Ok(answer) => ("applied", answer),
            Err(answer) => ("refused", answer),
        };
        sqlx::query("update action set state = $2, answer = $3 where id = $1")
            .bind(action)
            .bind(state)
            .bind(answer)
            .execute(&mut *connection)
            .await?;
    }
    for silence in &effects.routing.silences {
        sqlx::query(
            "insert into silence (id, matchers, from_ms, until_ms, author, reason) \
             values ($1, $2, $3, $4, $5, $6) on conflict (id) do nothing",
        )
        .bind(silence.id)
        .bind(serde_json::Value::from(silence.matchers.clone()).to_string())
        .bind(silence.from_ms)
        .bind(silence.until_ms)
        .bind(&silence.author)
        .bind(&silence.reason)
        .execute(&mut *connection)
        .await?;
    }
    for (silence, at_ms) in &effects.routing.ended {
        sqlx::query("update silence set ended_ms = $2 where id = $1")
            .bind(silence)
            .bind(at_ms)
            .execute(&mut *connection)
            .await?;
    }
    for (id, body) in &effects.routing.groups {
        let query = match body {
            Some(body) => sqlx::query(
                "insert into route_group (id, body) values ($1, $2) \
                 on conflict (id) do update set body = excluded.body",
            )
            .bind(id)
            .bind(body),
            None => sqlx::query("delete from route_group where id = $1").bind(id),
        };
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// No service has taken it up yet.
    Waits,
    /// Done; what it did.
    Applied(String),
    /// Not done; why.
    Refused(String),
}

/// A desk beside the service: actions are written down here, and their answers read.
#[derive(Debug)]
pub struct Desk {
    connection: SqliteConnection,
    path: PathBuf,
}

impl Desk {
    /// Opens an existing database to write actions down, and nothing else: its owner stays its owner.
    ///
    /// # Errors
    /// It does not exist, is no database of this program, or is older than actions are.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        drop(Reader::open(path).await?);
        let options = Store::options(path).create_if_missing(false);
        let opened = SqliteConnection::connect_with(&options).await;
        let mut connection = opened.map_err(|source| open_error(path, &source))?;
        let known = sqlx::query("select 1 from action limit 1").fetch_optional(&mut connection);
        if known.await.is_err() {
            return Err(StoreError::Refused {
                path: path.to_owned(),
                reason: "it was made by an older tokenwatch: start the service once, which brings \
                         it up to date"
                    .to_owned(),
            });
        }
        Ok(Self { connection, path: path.to_owned() })
    }

    /// Writes an action down and returns its number.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn ask(
        &mut self,
        at: ArrivalTime,
        (author, reason): (&str, &str),
        deed: &Deed,
    ) -> Result<i64, StoreError> {
        let text = serde_json::to_string(deed).map_err(|error| StoreError::Refused {
            path: self.path.clone(),
            reason: error.to_string(),
        })?;
        let written =
            sqlx::query("insert into action (at_ms, author, reason, deed) values ($1, $2, $3, $4)")
                .bind(at.0)
                .bind(author)
                .bind(reason)
                .bind(text)
                .execute(&mut self.connection)
                .await;
        let written = written.map_err(|source| sql_error(&self.path, source))?;
        Ok(written.last_insert_rowid())
    }

    /// What became of an action.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn fate(&mut self, id: i64) -> Result<Fate, StoreError> {
        let row = sqlx::query("select state, coalesce(answer, '') from action where id = $1")
            .bind(id)
            .fetch_optional(&mut self.connection)
            .await
            .and_then(|row| row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose());
        let row: Option<(String, String)> = row.map_err(|source| sql_error(&self.path, source))?;
        Ok(match row {
            Some((state, answer)) if state == "applied" => Fate::Applied(answer),
            Some((state, answer)) if state == "refused" => Fate::Refused(answer),
            Some(_) | None => Fate::Waits,
        })
    }
}

/// How well the alerts of one rule did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleQuality {
    /// Rule.
    pub rule: String,
    /// Its incidents opened in the span.
    pub incidents: i64,
    /// Messages that left about them.
    pub messages: i64,
    /// Those judged, by feedback in the order of `Feedback::ALL`.
    pub judged: [i64; 3],
    /// Milliseconds from opening to the first acknowledgement, each.
    pub acknowledged_ms: Vec<i64>,
    /// Milliseconds from opening to the end, each.
    pub resolved_ms: Vec<i64>,
}

impl Reader {
    /// Silences, also those that are over.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn silences(&mut self) -> Result<Vec<KeptSilence>, StoreError> {
        let read = silences(self.connection(), None).await;
        read.map_err(|source| self.error(source))
    }

    /// The life of one incident, oldest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn life(&mut self, incident: &str) -> Result<Vec<Entry>, StoreError> {
        let rows = sqlx::query(
            "select at_ms, author, what from incident_event where incident = $1 order by id",
        )
        .bind(incident)
        .fetch_all(self.connection())
        .await;
        let read = rows.and_then(|rows| {
            let entries = rows.iter().map(|row| {
                let (author, what) = (row.try_get(1)?, row.try_get(2)?);
                Ok(Entry { at: ArrivalTime(row.try_get(0)?), author, what })
            });
            entries.collect()
        });
        read.map_err(|source| self.error(source))
    }

    /// How the alerts of incidents opened from `from_ms` on did, by rule.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn quality(&mut self, from_ms: i64) -> Result<Vec<RuleQuality>, StoreError> {
        let read = quality(self.connection(), from_ms).await;
        read.map_err(|source| self.error(source))
    }
}

async fn quality(
    connection: &mut SqliteConnection,
    from_ms: i64,
) -> Result<Vec<RuleQuality>, sqlx::Error> {
    const FIRST_TAKEN: &str = "(select min(at_ms) from incident_event where \
        incident_event.incident = incident.key and what glob 'acknowledged*')";
    // A call to the automation tells nobody.
    const MESSAGES: &str = "(select count(*) from outbox where outbox.incident_key = incident.key \
        and destination <> $2)";
    let sql = format!(
        "select rule, opened_at_ms, body, {FIRST_TAKEN}, {MESSAGES} from incident \
         where opened_at_ms >= $1 order by rule"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(from_ms).bind(AUTOMATION);
    let rows = rows.fetch_all(&mut *connection).await?;
    let mut all: Vec<RuleQuality> = Vec::new();
    for row in rows {
        let (rule, body): (String, String) = (row.try_get(0)?, row.try_get(2)?);
        let incident: Incident =
            serde_json::from_str(&body).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        if all.last().is_none_or(|last| last.rule != rule) {
            all.push(RuleQuality { rule, ..RuleQuality::default() });
        }
        let Some(quality) = all.last_mut() else { continue };
        let opened: i64 = row.try_get(1)?;
        quality.incidents += 1;
        quality.messages += row.try_get::<i64, _>(4)?;
        if let Some(feedback) = incident.feedback
            && let Some(count) = quality.judged.get_mut(feedback as usize)
        {
            *count += 1;
        }
        let taken: Option<i64> = row.try_get(3)?;
        quality.acknowledged_ms.extend(taken.map(|at| (at - opened).max(0)));
        let ended = incident.resolved_at.map(|at| (at.0 - opened).max(0));
        quality.resolved_ms.extend(ended);
    }
    Ok(all)
}
