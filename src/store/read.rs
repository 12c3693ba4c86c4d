//! Reading for people: totals, incidents, counters, and the digest that tests compare.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::sql::{SPEND_COLUMNS, SPLIT_COLUMNS, spend_at, split_at};
use super::{Store, StoreError, open_error, sql_error};
use crate::aggregate::names::{OTHER, OTHER_TEXT};
use crate::aggregate::rollup::{AMOUNT_FIELDS, Amount, Split};
use crate::engine::bought::{self, Purchase};
use crate::event::{PartitionKey, Seen};
use crate::incident::Incident;
use crate::price::reconcile::Covered;
use crate::price::spend::{Spend, SpendHour};
use crate::time::{ArrivalTime, EventTime, Minute};

/// Life-time sums of one deployment and model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// Account name, lower case.
    pub account: String,
    /// Deployment, lower case; empty when no record named one.
    pub deployment: String,
    /// Model as `name@version` or `name`.
    pub model: String,
    /// The sums.
    pub split: Split,
    /// The same by meter; nothing for what was counted before meters were told apart.
    pub spend: Spend,
}

/// Everything `replay` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// By account, deployment and model.
    pub deployments: Vec<Total>,
    /// Records and bodies that could not be read.
    pub quarantined: i64,
    /// Records read and what they said: (days since 1970, kind, counts).
    pub coverage: Vec<(i64, String, Seen)>,
    /// Records of categories nobody decodes.
    pub unknown_categories: BTreeMap<String, i64>,
    /// What could not be counted: (account, deployment, reason, records, tokens).
    pub ledger: Vec<(String, String, String, i64, i64)>,
}

/// A read-only view of a database that another process may be writing.
#[derive(Debug)]
pub struct Reader {
    connection: SqliteConnection,
    path: std::path::PathBuf,
}

impl Reader {
    /// Opens an existing database for reading.
    ///
    /// # Errors
    /// It does not exist or is not a database of this program.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.is_file() {
            let reason = "there is no such file".to_owned();
            return Err(StoreError::Open { path: path.to_owned(), reason });
        }
        let options = Store::options(path).create_if_missing(false).read_only(true);
        let connection = SqliteConnection::connect_with(&options)
            .await
            .map_err(|source| open_error(path, &source))?;
        let mut reader = Self { connection, path: path.to_owned() };
        let known = sqlx::query("select value from meta where key = 'lineage'")
            .fetch_optional(&mut reader.connection)
            .await;
        match known {
            Ok(Some(_)) => Ok(reader),
            Ok(None) | Err(_) => Err(StoreError::Open {
                path: path.to_owned(),
                reason: "it is not a database of tokenwatch".to_owned(),
            }),
        }
    }

    pub(super) const fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    pub(super) fn error(&self, source: sqlx::Error) -> StoreError {
        sql_error(&self.path, source)
    }

    /// Life-time sums and counters.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn totals(&mut self) -> Result<Totals, StoreError> {
        totals(&mut self.connection).await.map_err(|source| sql_error(&self.path, source))
    }

    /// Spend by hour, account, deployment and model, in that order, from the hour `from` until before
    /// the hour `until` (first minutes, UTC).
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn spend(
        &mut self,
        from: Minute,
        until: Minute,
    ) -> Result<Vec<SpendHour>, StoreError> {
        let read = spend(&mut self.connection, from, until).await;
        read.map_err(|source| sql_error(&self.path, source))
    }

    /// The span of time the database tells of; `None` while it tells of nothing.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn covered(&mut self) -> Result<Option<Covered>, StoreError> {
        let row = sqlx::query(
            "select (select min(start) from spend_hour), (select max(passed_ms) from partition_state)",
        )
        .fetch_one(&mut self.connection)
        .await;
        let read = row.and_then(|row| {
            let ends: (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
            Ok(ends)
        });
        let (from, until) = read.map_err(|source| sql_error(&self.path, source))?;
        Ok(from
            .zip(until)
            .map(|(from, until)| Covered { from: Minute(from).start(), until: EventTime(until) }))
    }

    /// How a deployment of an account (its name or resource id) was bought, as the activity log tells
    /// it, oldest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn purchases(
        &mut self,
        account: &str,
        deployment: &str,
    ) -> Result<Vec<Purchase>, StoreError> {
        let rows = sqlx::query(
            "select p.at_ms, p.told_ms, p.sku from purchase p join account a on a.id = p.series >> 32 \
             join name d on d.account = a.id and d.id = p.series & 4294967295 \
             where d.text = $1 and (a.resource = $2 or a.resource like '%/' || $2) \
             order by p.at_ms, p.sku",
        )
        .bind(deployment.to_lowercase())
        .bind(account.to_lowercase())
        .fetch_all(&mut self.connection)
        .await;
        let read = |row: &SqliteRow| {
            let (at, told) = (EventTime(row.try_get(0)?), ArrivalTime(row.try_get(1)?));
            let sku: String = row.try_get(2)?;
            Ok(bought::known(&sku).map(|sku| Purchase { at, told, sku }))
        };
        let read: Result<Vec<_>, _> = rows.and_then(|rows| rows.iter().map(read).collect());
        let read = read.map_err(|source| sql_error(&self.path, source))?;
        Ok(read.into_iter().flatten().collect())
    }

    /// Incidents, oldest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn incidents(&mut self) -> Result<Vec<Incident>, StoreError> {
        let rows = sqlx::query("select body from incident order by opened_at_ms, key")
            .fetch_all(&mut self.connection)
            .await
            .map_err(|source| sql_error(&self.path, source))?;
        let read = |row: &SqliteRow| -> Option<Incident> {
            serde_json::from_str(&row.try_get::<String, _>(0).ok()?).ok()
        };
        let damaged =
            || StoreError::Damaged { path: self.path.clone(), what: "an incident".to_owned() };
        rows.iter().map(|row| read(row).ok_or_else(damaged)).collect()
    }

    /// Hourly sums of one deployment, oldest first: hours since 1970 and amounts.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn hours(
        &mut self,
        account: &str,
        deployment: &str,
    ) -> Result<Vec<(i64, Amount)>, StoreError> {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "select start, {SPLIT_COLUMNS} from rollup_hour join name d on d.account = series >> 32 \
             and d.id = series & 4294967295 join account a on a.id = d.account \
             where caller = -1 and d.kind = 0 and d.text = $1 and a.resource like '%/' || $2 \
             order by start"
        )))
        .bind(deployment)
        .bind(account)
        .fetch_all(&mut self.connection)
        .await;
        let read = |row: &SqliteRow| {
            Ok((row.try_get::<i64, _>(0)?.div_euclid(60), split_at(row, 1)?.total()))
        };
        let read = rows.and_then(|rows| rows.iter().map(read).collect());
        read.map_err(|source| sql_error(&self.path, source))
    }

    /// The next sequence number of every partition.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn positions(&mut self) -> Result<Vec<(PartitionKey, Option<i64>)>, StoreError> {
        let read = super::load::partitions(&mut self.connection).await;
        let read = read.map_err(|source| sql_error(&self.path, source))?;
        Ok(read.into_iter().map(|(key, next, _)| (key, next)).collect())
    }

    /// Outbox rows as (key, destination, kind, state, body).
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn outbox(
        &mut self,
    ) -> Result<Vec<(String, String, String, String, Vec<u8>)>, StoreError> {
        let rows =
            sqlx::query("select key, destination, kind, state, body from outbox order by rowid")
                .fetch_all(&mut self.connection)
                .await
                .map_err(|source| sql_error(&self.path, source))?;
        let read = |row: &SqliteRow| {
            Ok((
                row.try_get(0)?,
                row.try_get(1)?,
                row.try_get(2)?,
                row.try_get(3)?,
                row.try_get(4)?,
            ))
        };
        let read: Result<_, sqlx::Error> = rows.iter().map(read).collect();
        read.map_err(|source| sql_error(&self.path, source))
    }

    /// Tokens and nano-USD by the totals, by the spend of the hours and by the spend in all: equal
    /// while no hour has been forgotten.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn spend_entries(&mut self) -> Result<[(i64, i64); 3], StoreError> {
        let by_meter = |table: &str| {
            format!(
                "select coalesce(sum(tokens_input + tokens_cached + tokens_output), 0), \
                 coalesce(sum(nano_input + nano_cached + nano_output), 0) from {table}"
            )
        };
        let statements = [
            "select coalesce(sum(tokens_in + tokens_out + late_tokens_in + late_tokens_out), 0), \
             coalesce(sum(cost_nano + late_cost_nano), 0) from total"
                .to_owned(),
            by_meter("spend_hour"),
            by_meter("spend_total"),
        ];
        let mut entries = [(0, 0); 3];
        for (entry, statement) in entries.iter_mut().zip(statements) {
            let row = sqlx::query(AssertSqlSafe(statement)).fetch_one(&mut self.connection).await;
            let read = row.and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
            *entry = read.map_err(|source| sql_error(&self.path, source))?;
        }
        Ok(entries)
    }

    /// Sums of tokens by the partitions and by the totals: the two sides of the double entry.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn double_entry(&mut self) -> Result<(i64, i64), StoreError> {
        let row = sqlx::query(
            "select (select coalesce(sum(tokens), 0) from partition_state), \
             (select coalesce(sum(tokens_in + tokens_out + late_tokens_in + late_tokens_out), 0) from total)",
        )
        .fetch_one(&mut self.connection)
        .await
        .map_err(|source| sql_error(&self.path, source))?;
        let read = |place| row.try_get(place).map_err(|source| sql_error(&self.path, source));
        Ok((read(0)?, read(1)?))
    }
}

async fn totals(connection: &mut SqliteConnection) -> Result<Totals, sqlx::Error> {
    let mut totals = Totals::default();
    let (deployment, model) = (name_of("d", "t.series & 4294967295"), name_of("m", "t.model"));
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select a.resource, {deployment}, {model}, {}, {} from total t \
         join account a on a.id = t.series >> 32 \
         left join name d on d.account = a.id and d.id = t.series & 4294967295 \
         left join name m on m.account = a.id and m.id = t.model \
         left join spend_total s on s.series = t.series and s.model = t.model order by 1, 2, 3",
        of("t", SPLIT_COLUMNS),
        of("s", SPEND_COLUMNS),
    )))
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let resource: String = row.try_get(0)?;
        totals.deployments.push(Total {
            account: short(&resource),
            deployment: row.try_get(1)?,
            model: row.try_get(2)?,
            split: split_at(&row, 3)?,
            spend: match row.try_get::<Option<i64>, _>(3 + 2 * AMOUNT_FIELDS)? {
                None => Spend::default(),
                Some(_) => spend_at(&row, 3 + 2 * AMOUNT_FIELDS)?,
            },
        });
    }
    for row in
        sqlx::query("select kind, name, value from counter").fetch_all(&mut *connection).await?
    {
        let (kind, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let count = row.try_get(2)?;
        match (kind.as_str(), name.as_str()) {
            ("category", _) => drop(totals.unknown_categories.insert(name, count)),
            (_, "quarantined") => totals.quarantined = count,
            _ => {}
        }
    }
    totals.coverage = coverage(connection).await?;
    let deployment = name_of("d", "l.series & 4294967295");
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select a.resource, {deployment}, l.reason, l.records, l.tokens from ledger l \
         join account a on a.id = l.series >> 32 \
         left join name d on d.account = a.id and d.id = l.series & 4294967295 \
         where l.records <> 0 or l.tokens <> 0 order by 1, 2, 3"
    )))
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let resource: String = row.try_get(0)?;
        let entry =
            (short(&resource), row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        totals.ledger.push(entry);
    }
    Ok(totals)
}

pub(super) async fn coverage(
    connection: &mut SqliteConnection,
) -> Result<Vec<(i64, String, Seen)>, sqlx::Error> {
    let rows = sqlx::query(
        "select day, kind, records, tokens, identity, deployment, caller from coverage \
         order by day, kind",
    )
    .fetch_all(&mut *connection)
    .await?;
    let read = |row: &SqliteRow| {
        let seen = Seen {
            records: row.try_get(2)?,
            tokens: row.try_get(3)?,
            identity: row.try_get(4)?,
            deployment: row.try_get(5)?,
            caller: row.try_get(6)?,
        };
        Ok((row.try_get(0)?, row.try_get(1)?, seen))
    };
    rows.iter().map(read).collect()
}

pub(super) async fn spend(
    connection: &mut SqliteConnection,
    from: Minute,
    until: Minute,
) -> Result<Vec<SpendHour>, sqlx::Error> {
    let (deployment, model) = (name_of("d", "s.series & 4294967295"), name_of("m", "s.model"));
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select s.start, a.resource, {deployment}, {model}, {} from spend_hour s \
         join account a on a.id = s.series >> 32 \
         left join name d on d.account = a.id and d.id = s.series & 4294967295 \
         left join name m on m.account = a.id and m.id = s.model \
         where s.start >= $1 and s.start < $2 order by 1, 2, 3, 4",
        of("s", SPEND_COLUMNS),
    )))
    .bind(from.0)
    .bind(until.0)
    .fetch_all(&mut *connection)
    .await?;
    let read = |row: &SqliteRow| {
        Ok(SpendHour {
            start: Minute(row.try_get(0)?),
            account: row.try_get(1)?,
            deployment: row.try_get(2)?,
            model: row.try_get(3)?,
            spend: spend_at(row, 4)?,
        })
    };
    let read: Result<Vec<_>, sqlx::Error> = rows.iter().map(read).collect();
    Ok(read?.into_iter().filter(|hour| !hour.spend.is_zero()).collect())
}

/// Columns of one table among several.
fn of(table: &str, columns: &str) -> String {
    let named = columns.split(", ").map(|column| format!("{table}.{}", column.trim()));
    named.collect::<Vec<_>>().join(", ")
}

/// The text of a joined name; the two reserved numbers have no row.
fn name_of(joined: &str, number: &str) -> String {
    format!("case {number} when {OTHER} then '{OTHER_TEXT}' else coalesce({joined}.text, '') end")
}

/// The last part of a resource id.
pub(super) fn short(resource: &str) -> String {
    resource.rsplit('/').next().unwrap_or_default().to_owned()
}
