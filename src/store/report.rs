//! What reports are made of, and which of them were told to whom: each leaves once.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::callers::{CallerTotal, Identity, names};
use super::commit::{OutboxRow, post};
use super::owner::check_owner;
use super::read::Reader;
use super::sql::{SPLIT_COLUMNS, series_parts, split_at};
use super::{Store, StoreError, open_error, sql_error};
use crate::aggregate::names::{NONE, OTHER, OTHER_TEXT};
use crate::aggregate::rollup::{Amount, Caller};
use crate::time::{EventTime, Minute};

/// Which letter of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edition {
    /// The report itself.
    First,
    /// What it should have said, had the data been there. At most one.
    Correction,
    /// Somebody asked for it again: the n-th time, from 1.
    Again(u32),
}

impl Edition {
    /// The word in keys and storage.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::First => "first".to_owned(),
            Self::Correction => "correction".to_owned(),
            Self::Again(nth) => format!("again-{nth}"),
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        match word {
            "first" => Some(Self::First),
            "correction" => Some(Self::Correction),
            other => other.strip_prefix("again-")?.parse().ok().map(Self::Again),
        }
    }
}

/// A report as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Which report: `weekly`.
    pub name: String,
    /// Whose; empty for the whole.
    pub scope: String,
    /// `2026-W47`.
    pub period: String,
    /// Name of the destination; empty where a partial report was looked at again and needed no
    /// correction.
    pub destination: String,
    /// Which letter.
    pub edition: Edition,
    /// First moment of the period.
    pub from: EventTime,
    /// First moment after it.
    pub until: EventTime,
    /// True when it was marked as partial.
    pub is_partial: bool,
    /// Its total in nano-USD.
    pub nano: i64,
    /// When it was made, in milliseconds of the maker's own clock.
    pub told_ms: i64,
    /// Key of its row in the outbox; empty without a destination.
    pub outbox_key: String,
}

/// A report and what is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// What will have been told.
    pub told: Told,
    /// The letter; `None` where nothing is to be sent.
    pub letter: Option<OutboxRow>,
}

impl Store {
    /// Saves reports and their letters, each together or not at all; what was told before is left
    /// alone. Returns how many are new.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when another process owns the database; else what SQLite says.
    pub async fn tell(&mut self, tellings: &[Telling]) -> Result<u32, StoreError> {
        let mut connection = self.writer().await?;
        sqlx::query("begin immediate")
            .execute(&mut connection)
            .await
            .map_err(|source| self.sql_error(source))?;
        if let Err(failed) = check_owner(&mut connection, self.epoch).await {
            return Err(self.give_up(connection, failed).await);
        }
        match save(&mut connection, tellings).await {
            Ok(new) => {
                self.writer = Some(connection);
                Ok(new)
            }
            Err(source) => Err(self.give_up(connection, source.into()).await),
        }
    }
}

/// The same from a process that does not own the database, such as a command beside the service: it
/// only adds rows, and the owner's courier carries the letters.
///
/// # Errors
/// The file is not there, is not of this program, or what SQLite says.
pub async fn tell_beside(path: &Path, tellings: &[Telling]) -> Result<u32, StoreError> {
    let options = Store::options(path).create_if_missing(false);
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .map_err(|source| open_error(path, &source))?;
    let begun = sqlx::query("begin immediate").execute(&mut connection).await;
    let saved = match begun {
        Ok(_) => save(&mut connection, tellings).await,
        Err(source) => Err(source),
    };
    let closed = connection.close().await;
    let saved = saved.map_err(|source| sql_error(path, source))?;
    closed.map_err(|source| sql_error(path, source))?;
    Ok(saved)
}

/// Within a transaction that has begun: the unique key decides which letters are new.
async fn save(connection: &mut SqliteConnection, tellings: &[Telling]) -> Result<u32, sqlx::Error> {
    let mut new = 0;
    for Telling { told, letter } in tellings {
        let inserted = sqlx::query(
            "insert into report (name, scope, period, destination, edition, from_ms, until_ms, \
             partial, nano, told_ms, outbox_key) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
             on conflict do nothing",
        )
        .bind(&told.name)
        .bind(&told.scope)
        .bind(&told.period)
        .bind(&told.destination)
        .bind(told.edition.word())
        .bind(told.from.0)
        .bind(told.until.0)
        .bind(told.is_partial)
        .bind(told.nano)
        .bind(told.told_ms)
        .bind(&told.outbox_key)
        .execute(&mut *connection)
        .await?;
        if inserted.rows_affected() == 0 {
            continue;
        }
        new += 1;
        if let Some(row) = letter {
            post(connection, row).await?;
        }
    }
    sqlx::query("commit").execute(&mut *connection).await?;
    Ok(new)
}

impl Reader {
    /// What was told of a report, newest period first and then in the order of telling, at most of the
    /// newest `periods`.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn told(&mut self, name: &str, periods: u32) -> Result<Vec<Told>, StoreError> {
        let rows = sqlx::query(
            "select name, scope, period, destination, edition, from_ms, until_ms, partial, nano, \
             told_ms, outbox_key from report where name = $1 and until_ms in (select distinct \
             until_ms from report where name = $1 order by until_ms desc limit $2) \
             order by until_ms desc, told_ms, scope, destination",
        )
        .bind(name)
        .bind(periods)
        .fetch_all(self.connection())
        .await;
        let read = rows.and_then(|rows| rows.iter().map(told).collect());
        read.map_err(|source| self.error(source))
    }

    /// What became of a letter: `pending`, `sent` or `dead`, and when it was sent by the sender's
    /// clock; `None` when there is none of this key (any more).
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn letter(&mut self, key: &str) -> Result<Option<(String, Option<i64>)>, StoreError> {
        let row = sqlx::query("select state, sent_ms from outbox where key = $1")
            .bind(key)
            .fetch_optional(self.connection())
            .await;
        let read =
            row.and_then(|row| row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose());
        read.map_err(|source| self.error(source))
    }

    /// Calls and failed ones of every account (resource id) and deployment, from the hour `from` until
    /// before the hour `until` (first minutes, UTC).
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn calls(
        &mut self,
        from: Minute,
        until: Minute,
    ) -> Result<BTreeMap<(String, String), (i64, i64)>, StoreError> {
        let rows = sqlx::query(
            "select a.resource, coalesce(d.text, ''), sum(calls + late_calls), \
             sum(errors + late_errors) from rollup_hour join account a on a.id = series >> 32 \
             left join name d on d.account = a.id and d.id = series & 4294967295 \
             where caller = -1 and start >= $1 and start < $2 group by 1, 2",
        )
        .bind(from.0)
        .bind(until.0)
        .fetch_all(self.connection())
        .await;
        let read = |row: &SqliteRow| {
            let key = (row.try_get(0)?, row.try_get(1)?);
            Ok((key, (row.try_get(2)?, row.try_get(3)?)))
        };
        let read = rows.and_then(|rows| rows.iter().map(read).collect());
        read.map_err(|source| self.error(source))
    }

    /// What each caller used from the hour `from` until before the hour `until` (first minutes, UTC),
    /// largest cost first, with the resource id in place of the account's name. It holds once the
    /// attribution window of the last hour has passed.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn callers_between(
        &mut self,
        from: Minute,
        until: Minute,
    ) -> Result<Vec<CallerTotal>, StoreError> {
        let read = callers(self.connection(), from, until).await;
        read.map_err(|source| self.error(source))
    }
}

fn told(row: &SqliteRow) -> Result<Told, sqlx::Error> {
    let edition: String = row.try_get(4)?;
    Ok(Told {
        name: row.try_get(0)?,
        scope: row.try_get(1)?,
        period: row.try_get(2)?,
        destination: row.try_get(3)?,
        // A word of a newer program is no first letter: it hides nothing that has to leave.
        edition: Edition::from_word(&edition).unwrap_or(Edition::Again(0)),
        from: EventTime(row.try_get(5)?),
        until: EventTime(row.try_get(6)?),
        is_partial: row.try_get(7)?,
        nano: row.try_get(8)?,
        told_ms: row.try_get(9)?,
        outbox_key: row.try_get(10)?,
    })
}

async fn callers(
    connection: &mut SqliteConnection,
    from: Minute,
    until: Minute,
) -> Result<Vec<CallerTotal>, sqlx::Error> {
    let sums = SPLIT_COLUMNS.split(", ").map(|column| format!("sum({})", column.trim()));
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select a.resource, series, caller, {} from rollup_hour join account a on a.id = series >> 32 \
         where caller <> -1 and start >= $1 and start < $2 group by series, caller",
        sums.collect::<Vec<_>>().join(", ")
    )))
    .bind(from.0)
    .bind(until.0)
    .fetch_all(&mut *connection)
    .await?;
    let names = names(connection).await?;
    let mut totals = Vec::with_capacity(rows.len());
    for row in &rows {
        let amount = split_at(row, 3)?.total();
        if amount == Amount::default() {
            continue;
        }
        let (account, deployment) = series_parts(row.try_get(1)?);
        let text = |number: u32| match number {
            NONE => String::new(),
            OTHER => OTHER_TEXT.to_owned(),
            number => names.get(&(account, number)).cloned().unwrap_or_default(),
        };
        let parts = Caller(row.try_get(2)?).parts();
        totals.push(CallerTotal {
            account: row.try_get(0)?,
            deployment: text(deployment),
            network: parts.map_or_else(|| OTHER_TEXT.to_owned(), |parts| text(parts.network)),
            operation: parts.map_or("", |parts| parts.operation.word()),
            identity: match parts {
                None => Identity::Others,
                Some(parts) if parts.identity != NONE => Identity::Object(text(parts.identity)),
                Some(parts) if parts.is_key(amount) => Identity::Key,
                Some(_) => Identity::Untold,
            },
            amount,
        });
    }
    let key = |t: &CallerTotal| (t.account.clone(), t.deployment.clone(), t.network.clone());
    totals.sort_by_key(|t| (-t.amount.cost_nano, key(t), t.identity.clone(), t.operation));
    Ok(totals)
}
