//! Notifications committed but not yet delivered.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::commit::OutboxRow;
use super::{Store, StoreError};
use crate::time::ArrivalTime;

/// A notification that waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// What to send.
    pub row: OutboxRow,
    /// Failed attempts so far.
    pub attempt: u32,
    /// Not to be tried before this moment, in milliseconds of the sender's own clock.
    pub not_before_ms: i64,
    /// When the first attempt failed, by the same clock; `None` before.
    pub first_failed_ms: Option<i64>,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The receiver has it.
    Sent {
        /// Sender's clock.
        at_ms: i64,
        /// What it said, where that matters.
        said: Option<String>,
    },
    /// Try again later.
    Again {
        /// When the attempt failed, by the sender's clock.
        at_ms: i64,
        /// Sender's clock.
        not_before_ms: i64,
        /// Why it failed.
        reason: String,
    },
    /// No attempt will succeed.
    Dead {
        /// Why.
        reason: String,
    },
}

impl Store {
    /// Pending notifications, oldest first, at most `limit` per destination. A notification of an
    /// incident never overtakes an earlier one of the same incident at the same destination.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn pending(&mut self, limit: u32) -> Result<Vec<Pending>, StoreError> {
        let mut connection = self.writer().await?;
        let rows = sqlx::query(
            "select key, incident_key, destination, kind, created_ms, body, attempt, not_before_ms, first_failed_ms \
             from (select *, row_number() over (partition by destination order by created_ms, rowid) \
               as place from outbox where state = 'pending' and not exists (\
                 select 1 from outbox as earlier where earlier.state = 'pending' \
                 and earlier.incident_key = outbox.incident_key \
                 and earlier.destination = outbox.destination and earlier.rowid < outbox.rowid)) \
             where place <= $1 order by created_ms",
        )
        .bind(limit)
        .fetch_all(&mut connection)
        .await;
        let read = rows.and_then(|rows| rows.iter().map(pending).collect());
        self.keep(connection, read)
    }

    /// Records what became of an attempt.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn mark(&mut self, key: &str, mark: &Mark) -> Result<(), StoreError> {
        let mut connection = self.writer().await?;
        let query = match mark {
            Mark::Sent { at_ms, said } => sqlx::query(
                "update outbox set state = 'sent', sent_ms = $2, reason = coalesce($3, reason) \
                 where key = $1",
            )
            .bind(key)
            .bind(*at_ms)
            .bind(said),
            Mark::Again { at_ms, not_before_ms, reason } => sqlx::query(
                "update outbox set attempt = attempt + 1, not_before_ms = $2, reason = $3, \
                 first_failed_ms = coalesce(first_failed_ms, $4) where key = $1",
            )
            .bind(key)
            .bind(*not_before_ms)
            .bind(reason)
            .bind(*at_ms),
            Mark::Dead { reason } => sqlx::query(
                "update outbox set state = 'dead', attempt = attempt + 1, reason = $2 where key = $1",
            )
            .bind(key)
            .bind(reason),
        };
        let done = query.execute(&mut connection).await.map(drop);
        self.keep(connection, done)
    }

    /// Makes every waiting notification of a destination due: it has just taken one.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn wake(&mut self, destination: &str) -> Result<(), StoreError> {
        let mut connection = self.writer().await?;
        let done = sqlx::query(
            "update outbox set not_before_ms = 0 where destination = $1 and state = 'pending' \
             and not_before_ms > 0",
        )
        .bind(destination)
        .execute(&mut connection)
        .await
        .map(drop);
        self.keep(connection, done)
    }

    /// Stores a notification outside a step, such as a test alert.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn enqueue(&mut self, rows: &[OutboxRow]) -> Result<(), StoreError> {
        self.commit(&crate::engine::effects::Effects::default(), rows).await
    }

    /// Takes the connection back after success and throws it away after an error.
    pub(super) fn keep<T>(
        &mut self,
        connection: sqlx::sqlite::SqliteConnection,
        result: Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        match result {
            Ok(value) => {
                self.writer = Some(connection);
                Ok(value)
            }
            Err(source) => Err(self.sql_error(source)),
        }
    }
}

fn pending(row: &SqliteRow) -> Result<Pending, sqlx::Error> {
    Ok(Pending {
        row: OutboxRow {
            key: row.try_get(0)?,
            incident_key: row.try_get(1)?,
            destination: row.try_get(2)?,
            kind: row.try_get(3)?,
            created: ArrivalTime(row.try_get(4)?),
            body: row.try_get(5)?,
        },
        attempt: row.try_get(6)?,
        not_before_ms: row.try_get(7)?,
        first_failed_ms: row.try_get(8)?,
    })
}
