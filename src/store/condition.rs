//! Reading for `doctor`: how far hubs were read, and what could not be.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::StoreError;
use super::read::Reader;
use crate::time::ArrivalTime;

/// How far a database has read, and what it could not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// Hubs in the order of their names.
    pub hubs: Vec<HubState>,
    /// Hubs that feed each account, by resource id.
    pub account_hubs: BTreeMap<String, BTreeSet<String>>,
    /// Plain counts by name.
    pub counters: BTreeMap<String, i64>,
    /// Events that were never seen, by hub.
    pub lost: BTreeMap<String, i64>,
    /// Kept samples of records that could not be read, by category, place and reason, most first.
    pub quarantine: Vec<Refusal>,
}

/// How far one hub was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubState {
    /// Hub, as named in the configuration.
    pub hub: String,
    /// Partitions of its newest life.
    pub partitions: i64,
    /// Events applied.
    pub events: i64,
    /// Everything enqueued up to here on the slowest partition has been seen; `None` before the
    /// first event.
    pub slowest: Option<ArrivalTime>,
    /// The same on the fastest.
    pub fastest: Option<ArrivalTime>,
}

/// Samples of one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Category the records claim.
    pub category: String,
    /// Where in the record.
    pub path: String,
    /// What is wrong there.
    pub reason: String,
    /// Samples kept.
    pub samples: i64,
}

/// Reasons that are told apart.
const MAX_REASONS: i64 = 5;

impl Reader {
    /// How far the database has read, and what it could not read.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn condition(&mut self) -> Result<Condition, StoreError> {
        let read = condition(self.connection()).await;
        read.map_err(|source| self.error(source))
    }
}

async fn condition(connection: &mut SqliteConnection) -> Result<Condition, sqlx::Error> {
    let mut account_hubs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in sqlx::query(
        "select a.resource, h.hub from account_hub h join account a on a.id = h.account",
    )
    .fetch_all(&mut *connection)
    .await?
    {
        account_hubs.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?);
    }
    let pair = |row: &SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
    let counters = sqlx::query("select name, value from counter where kind = 'counter'")
        .fetch_all(&mut *connection)
        .await?;
    let lost = sqlx::query("select hub, sum(to_seq - from_seq) from gap group by 1")
        .fetch_all(&mut *connection)
        .await?;
    Ok(Condition {
        hubs: hubs(connection).await?,
        account_hubs,
        counters: counters.iter().map(pair).collect::<Result<_, sqlx::Error>>()?,
        lost: lost.iter().map(pair).collect::<Result<_, sqlx::Error>>()?,
        quarantine: refusals(connection).await?,
    })
}

async fn hubs(connection: &mut SqliteConnection) -> Result<Vec<HubState>, sqlx::Error> {
    let rows = sqlx::query(
        "select p.hub, count(*), sum(events), min(passed_ms), max(passed_ms) from partition_state p \
         where incarnation = (select max(incarnation) from partition_state q where q.hub = p.hub) \
         group by 1 order by 1",
    )
    .fetch_all(&mut *connection)
    .await?;
    let time = |ms: i64| (ms > i64::MIN).then_some(ArrivalTime(ms));
    let read = |row: &SqliteRow| {
        Ok(HubState {
            hub: row.try_get(0)?,
            partitions: row.try_get(1)?,
            events: row.try_get(2)?,
            slowest: time(row.try_get(3)?),
            fastest: time(row.try_get(4)?),
        })
    };
    rows.iter().map(read).collect()
}

async fn refusals(connection: &mut SqliteConnection) -> Result<Vec<Refusal>, sqlx::Error> {
    let rows = sqlx::query(
        "select category, path, reason, count(*) from quarantine group by 1, 2, 3 \
         order by 4 desc, 1, 2, 3 limit $1",
    )
    .bind(MAX_REASONS)
    .fetch_all(&mut *connection)
    .await?;
    let read = |row: &SqliteRow| {
        Ok(Refusal {
            category: row.try_get(0)?,
            path: row.try_get(1)?,
            reason: row.try_get(2)?,
            samples: row.try_get(3)?,
        })
    };
    rows.iter().map(read).collect()
}
