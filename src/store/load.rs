//! What a restart puts back into the engine.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::honesty;
use super::score::FirstSlots;
use super::sql::{AMOUNT_COLUMNS, amount_at, series_parts};
use super::{Store, StoreError};
use crate::aggregate::names::{NameKind, REDUCED};
use crate::aggregate::rollup::Caller;
use crate::detect::series::{KEEP_HOURS, SLOT_MIN};
use crate::detect::table;
use crate::engine::bought::{self, Purchase};
use crate::engine::budgets::SavedBudgets;
use crate::engine::effects::{AccountClock, HourSum, Saved, SavedAccount};
use crate::engine::estate;
use crate::event::PartitionKey;
use crate::incident::Severity;
use crate::incident::tracker::{Cause, Tracked};
use crate::time::{ArrivalTime, EventTime, Minute};

pub(super) type Accounts = BTreeMap<u32, SavedAccount>;

impl Store {
    /// Reads everything the engine needs to go on where the last commit left it.
    ///
    /// # Errors
    /// What SQLite says, or a stored value that cannot be read.
    pub async fn load(&mut self) -> Result<Saved, StoreError> {
        let mut connection = self.writer().await?;
        let loaded = load_all(&mut connection).await;
        self.writer = Some(connection);
        let mut saved = loaded.map_err(|source| self.sql_error(source))?;
        saved.lineage.clone_from(&self.lineage);
        Ok(saved)
    }
}

async fn load_all(connection: &mut SqliteConnection) -> Result<Saved, sqlx::Error> {
    let mut accounts = accounts(connection).await?;
    names(connection, &mut accounts).await?;
    purchases(connection, &mut accounts).await?;
    rows_and_states(connection, &mut accounts).await?;
    models(connection, &mut accounts).await?;
    hours(connection, &mut accounts).await?;
    recent(connection, &mut accounts).await?;
    let mut estate = Vec::new();
    for row in sqlx::query(
        "select account, rule, scope, n, closing_severity, announced, escalations, quiet, score, \
         banked_usd, body, announced_usd from incident order by n",
    )
    .fetch_all(&mut *connection)
    .await?
    {
        let Some(pair) = incident(&row)? else { continue };
        match accounts.get_mut(&row.try_get::<u32, _>(0)?) {
            Some(account) => account.incidents.push(pair),
            None => estate.push(pair),
        }
    }
    Ok(Saved {
        lineage: String::new(),
        partitions: partitions(connection).await?,
        accounts: accounts.into_values().collect(),
        honesty: honesty::load(connection).await?,
        budgets: SavedBudgets::default(),
        categories: categories(connection).await?,
        gateways: super::gateway::load(connection).await?,
        control: super::control::load(connection).await?,
        versions: super::control::load_versions(connection).await?,
        standings: super::respond::load(connection, None).await?,
        incidents: estate,
        fleets: super::score::load(connection).await?,
    })
}

pub(super) async fn partitions(
    connection: &mut SqliteConnection,
) -> Result<Vec<(PartitionKey, Option<i64>, ArrivalTime)>, sqlx::Error> {
    let rows =
        sqlx::query("select hub, incarnation, partition, next_seq, passed_ms from partition_state")
            .fetch_all(&mut *connection)
            .await?;
    let read = |row: &SqliteRow| {
        let key = PartitionKey {
            hub: row.try_get(0)?,
            incarnation: row.try_get(1)?,
            partition: row.try_get(2)?,
        };
        Ok((key, row.try_get(3)?, ArrivalTime(row.try_get(4)?)))
    };
    rows.iter().map(read).collect()
}

async fn categories(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query("select name from counter where kind = 'category'")
        .fetch_all(&mut *connection)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

pub(super) async fn accounts(connection: &mut SqliteConnection) -> Result<Accounts, sqlx::Error> {
    let mut accounts = Accounts::new();
    let rows = sqlx::query("select id, resource, judged_to, watermark_ms from account order by id")
        .fetch_all(&mut *connection)
        .await?;
    for row in rows {
        let judged_to: Option<i64> = row.try_get(2)?;
        let watermark: Option<i64> = row.try_get(3)?;
        let clock = judged_to.zip(watermark).map(|(judged_to, watermark)| AccountClock {
            judged_to,
            watermark: ArrivalTime(watermark),
            seen: ArrivalTime(watermark),
        });
        let id = row.try_get(0)?;
        let resource = row.try_get(1)?;
        accounts.insert(id, SavedAccount { id, resource, clock, ..SavedAccount::default() });
    }
    for row in
        sqlx::query("select account, hub from account_hub").fetch_all(&mut *connection).await?
    {
        if let Some(account) = accounts.get_mut(&row.try_get::<u32, _>(0)?) {
            account.hubs.push(row.try_get(1)?);
        }
    }
    Ok(accounts)
}

pub(super) async fn names(
    connection: &mut SqliteConnection,
    accounts: &mut Accounts,
) -> Result<(), sqlx::Error> {
    let rows =
        sqlx::query("select account, kind, text from name where id < $1 order by account, id")
            .bind(REDUCED)
            .fetch_all(&mut *connection)
            .await?;
    for row in rows {
        let kind = NameKind::from_number(row.try_get(1)?);
        if let (Some(account), Some(kind)) = (accounts.get_mut(&row.try_get::<u32, _>(0)?), kind) {
            account.names.push((kind, row.try_get(2)?));
        }
    }
    Ok(())
}

async fn purchases(
    connection: &mut SqliteConnection,
    accounts: &mut Accounts,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query("select series, at_ms, sku, told_ms from purchase order by at_ms, sku")
        .fetch_all(&mut *connection)
        .await?;
    for row in rows {
        let (account, deployment) = series_parts(row.try_get(0)?);
        let sku: String = row.try_get(2)?;
        if let (Some(account), Some(sku)) = (accounts.get_mut(&account), bought::known(&sku)) {
            let (at, told) = (EventTime(row.try_get(1)?), ArrivalTime(row.try_get(3)?));
            account.purchases.push((deployment, Purchase { at, told, sku }));
        }
    }
    Ok(())
}

async fn rows_and_states(
    connection: &mut SqliteConnection,
    accounts: &mut Accounts,
) -> Result<(), sqlx::Error> {
    for row in sqlx::query("select account, form, body from call_rows order by id")
        .fetch_all(&mut *connection)
        .await?
    {
        if let Some(account) = accounts.get_mut(&row.try_get::<u32, _>(0)?) {
            account.rows.push((row.try_get(1)?, row.try_get(2)?));
        }
    }
    for row in sqlx::query("select account, body from conduct").fetch_all(&mut *connection).await? {
        if let Some(account) = accounts.get_mut(&row.try_get::<u32, _>(0)?) {
            account.conduct = Some(row.try_get(1)?);
        }
    }
    for row in sqlx::query("select account, body from metered").fetch_all(&mut *connection).await? {
        if let Some(account) = accounts.get_mut(&row.try_get::<u32, _>(0)?) {
            account.metered = Some(row.try_get(1)?);
        }
    }
    super::score::states(connection, accounts).await
}

/// The model of each deployment: the newest that it was called with in the last day or, of those that were
/// not, the one that was first seen last.
async fn models(
    connection: &mut SqliteConnection,
    accounts: &mut Accounts,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "select 0 as newest, series, model from total where model <> 0 \
         union all select max(start), series, model from spend_hour \
           where model <> 0 and start >= (select max(start) - $1 from spend_hour) \
           group by series, model \
         order by newest, model",
    )
    .bind(28 * 60)
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let (account, deployment) = series_parts(row.try_get(1)?);
        if let Some(account) = accounts.get_mut(&account) {
            account.models.push((deployment, row.try_get(2)?));
        }
    }
    Ok(())
}

/// Hours of the last four weeks, tokens by caller of the last day, first sight of each network.
async fn hours(
    connection: &mut SqliteConnection,
    accounts: &mut Accounts,
) -> Result<(), sqlx::Error> {
    let newest: Option<i64> = sqlx::query("select max(start) from rollup_hour")
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    let Some(newest) = newest else { return Ok(()) };
    sums_by_hour(connection, accounts, newest - KEEP_HOURS * 60).await?;
    let mut rows = sqlx::query(
        "select start, series, caller, tokens_in + tokens_out + late_tokens_in + late_tokens_out \
         from rollup_hour where caller <> -1 and start >= $1",
    )
    .bind(newest - 28 * 60)
    .fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let (account, deployment) = series_parts(row.try_get(1)?);
        if let Some(account) = accounts.get_mut(&account) {
            let hour = row.try_get::<i64, _>(0)?.div_euclid(60);
            let entry = (deployment, hour, Caller(row.try_get(2)?), row.try_get(3)?);
            account.caller_hours.push(entry);
        }
    }
    drop(rows);
    networks(connection, accounts).await
}

/// Sums by deployment and hour from this minute on.
pub(super) async fn sums_by_hour(
    connection: &mut SqliteConnection,
    accounts: &mut Accounts,
    from: i64,
) -> Result<(), sqlx::Error> {
    // One row at a time: all together would take a hundred times the memory of what is kept of them.
    let mut rows = sqlx::query(
        "select start, series, calls + late_calls, errors + late_errors, \
         tokens_in + late_tokens_in, tokens_cached + late_tokens_cached, \
         tokens_out + late_tokens_out, cost_nano + late_cost_nano, unpriced + late_unpriced, \
         attributed + late_attributed, cost_nano \
         from rollup_hour where caller = -1 and start >= $1",
    )
    .bind(from)
    .fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let (account, deployment) = series_parts(row.try_get(1)?);
        if let Some(account) = accounts.get_mut(&account) {
            let hour = row.try_get::<i64, _>(0)?.div_euclid(60);
            let sum = HourSum { total: amount_at(&row, 2)?, on_time_nano: row.try_get(10)? };
            account.hours.push((deployment, hour, sum));
        }
    }
    Ok(())
}

/// First sight of each network on time: to five minutes within the last three days, which a restart may
/// show to detectors again, to the hour before.
async fn networks(
    connection: &mut SqliteConnection,
    accounts: &mut Accounts,
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query(
        "with fine(start) as (select max(start) / 60 * 60 - 72 * 60 from rollup_five) \
         select series, (caller >> $1) & $2 as network, min(start) from (\
           select series, caller, start from rollup_hour \
             where caller >= 0 and calls > 0 and start < (select start from fine) \
           union all select series, caller, start from rollup_five \
             where caller >= 0 and calls > 0 and start >= (select start from fine)) \
         group by series, network",
    )
    .bind(Caller::NETWORK.0)
    // The hash of a network stands for it as long as its name is known.
    .bind(Caller::NETWORK.1 & !i64::from(REDUCED))
    .fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let (account, deployment) = series_parts(row.try_get(0)?);
        let network = u32::try_from(row.try_get::<i64, _>(1)?).unwrap_or(0);
        if let Some(account) = accounts.get_mut(&account) {
            account.networks.push((deployment, network, Minute(row.try_get(2)?)));
        }
    }
    Ok(())
}

/// On-time sums of the slots that windows read, and of those to be shown to detectors again.
///
/// In one pass over all accounts: the table is in order of time, so a pass for each account would read the
/// rows of all others too.
async fn recent(
    connection: &mut SqliteConnection,
    accounts: &mut Accounts,
) -> Result<(), sqlx::Error> {
    let firsts: BTreeMap<u32, FirstSlots> =
        accounts.iter().map(|(id, account)| (*id, FirstSlots::of(account))).collect();
    let Some(from) = firsts.values().map(FirstSlots::earliest).min() else { return Ok(()) };
    let mut rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "select start, series, caller, {AMOUNT_COLUMNS} from rollup_five where start >= $1 \
         order by start, series, caller"
    )))
    .bind(from.saturating_mul(SLOT_MIN))
    .fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let (account, deployment) = series_parts(row.try_get(1)?);
        let slot = row.try_get::<i64, _>(0)?.div_euclid(SLOT_MIN);
        let is_needed = |first: &FirstSlots| first.of_deployment(deployment) <= slot;
        if !firsts.get(&account).is_some_and(is_needed) {
            continue;
        }
        if let Some(account) = accounts.get_mut(&account) {
            let entry = (deployment, slot, Caller(row.try_get(2)?), amount_at(&row, 3)?);
            account.slots.push(entry);
        }
    }
    Ok(())
}

/// The tracked incident of a row; `None` when its rule no longer exists.
fn incident(row: &SqliteRow) -> Result<Option<(Cause, Tracked)>, sqlx::Error> {
    let rule: String = row.try_get(1)?;
    let detectors = table::all().iter().map(|profile| profile.id.as_str());
    let Some(rule) = detectors.chain(estate::rule_ids()).find(|id| *id == rule) else {
        return Ok(None);
    };
    let body: String = row.try_get(10)?;
    let incident = serde_json::from_str(&body).map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
    let severity = |word: Option<String>| word.and_then(|word| Severity::from_word(&word));
    let tracked = Tracked {
        incident,
        n: row.try_get(3)?,
        closing_severity: severity(row.try_get(4)?),
        announced: severity(row.try_get(5)?).unwrap_or_default(),
        announced_usd: row.try_get(11)?,
        escalations: row.try_get(6)?,
        quiet: row.try_get(7)?,
        score: row.try_get(8)?,
        banked_usd: row.try_get(9)?,
    };
    Ok(Some((Cause { rule, scope: row.try_get(2)? }, tracked)))
}
