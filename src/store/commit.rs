//! The flush transaction: positions first, compared before they are replaced.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use super::honesty;
use super::owner::check_owner;
use super::retention::{forget_old, shed};
use super::sql::{add_spend, add_splits, series};
use super::{Store, StoreError, StoreSettings, privacy};
use crate::aggregate::coverage::Coverage;
use crate::aggregate::join::ROW_FORM;
use crate::aggregate::rollup::{Caller, Deltas, Split};
use crate::detect::series::Slot;
use crate::engine::effects::{AccountEffects, Effects, PositionMove};
use crate::failpoint;
use crate::incident::tracker::{Cause, Tracked};
use crate::price::spend::Spend;
use crate::time::ArrivalTime;

use std::collections::BTreeMap;

/// Quarantined samples kept; all are counted.
const KEEP_QUARANTINE: i64 = 10_000;

/// A notification to be stored with its incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Idempotency key.
    pub key: String,
    /// The incident it tells of.
    pub incident_key: String,
    /// Name of the destination.
    pub destination: String,
    /// `open`, `escalate`, `resolve` or `test`.
    pub kind: String,
    /// Arrival time of the decision.
    pub created: ArrivalTime,
    /// The bytes that will be sent, now and at every retry.
    pub body: Vec<u8>,
}

/// Why a transaction was not made.
pub(super) enum Failed {
    Sql(sqlx::Error),
    Fenced(String),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl Store {
    /// Saves a step and its notifications in one transaction.
    ///
    /// After an error the connection is thrown away and nothing is assumed: [`Store::recommit`]
    /// finds out whether the transaction took effect.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when another process owns the positions; else what SQLite says.
    pub async fn commit(
        &mut self,
        effects: &Effects,
        outbox: &[OutboxRow],
    ) -> Result<(), StoreError> {
        let mut connection = self.writer().await?;
        let saved = if failpoint::sabotaged("split") {
            save_in_two(&mut connection, effects, outbox, self.epoch).await
        } else {
            save(&mut connection, effects, outbox, (self.epoch, &self.limit.settings)).await
        };
        match saved {
            Ok((removed, forgotten)) => {
                if !forgotten.is_empty() {
                    // The log still holds what was forgotten; where a reader is in the way, the next
                    // full log takes it along.
                    let folded = sqlx::query("pragma wal_checkpoint(truncate)");
                    drop(folded.execute(&mut connection).await);
                }
                self.writer = Some(connection);
                self.limit.note(removed);
                self.limit.forgotten.extend(forgotten);
                failpoint::reached("after-commit");
                Ok(())
            }
            Err(failed) => Err(self.give_up(connection, failed).await),
        }
    }

    pub(super) async fn give_up(&self, connection: SqliteConnection, failed: Failed) -> StoreError {
        // Never back into use: SQLite and the driver may disagree about its transaction.
        // Closing rolls back, and an error in closing changes nothing about that.
        drop(connection.close_hard().await);
        match failed {
            Failed::Sql(source) => self.sql_error(source),
            Failed::Fenced(partition) => StoreError::Fenced { partition },
        }
    }

    /// Saves a step whose first attempt failed, unless that attempt took effect after all.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn recommit(
        &mut self,
        effects: &Effects,
        outbox: &[OutboxRow],
    ) -> Result<(), StoreError> {
        let moved = effects.positions.iter().find(|position| position.from != position.to);
        if let Some(position) = moved {
            match self.stored(position).await? {
                Some((_, epoch)) if epoch != self.epoch => {
                    return Err(StoreError::Fenced { partition: name_of(position) });
                }
                Some((next, _)) if next == position.to => return self.forget_again().await,
                Some(_) | None => {}
            }
        }
        self.commit(effects, outbox).await
    }

    /// The answer that told what was forgotten is lost: all of it is told.
    async fn forget_again(&mut self) -> Result<(), StoreError> {
        let mut connection = self.writer().await?;
        let forgotten = privacy::forgotten(&mut connection).await;
        self.writer = Some(connection);
        self.limit.forgotten = forgotten.map_err(|source| self.sql_error(source))?;
        Ok(())
    }

    /// The next sequence number and the owner that the database holds for a partition.
    async fn stored(
        &mut self,
        position: &PositionMove,
    ) -> Result<Option<(Option<i64>, i64)>, StoreError> {
        let mut connection = self.writer().await?;
        let found = sqlx::query(
            "select next_seq, epoch from partition_state \
             where hub = $1 and incarnation = $2 and partition = $3",
        )
        .bind(&position.key.hub)
        .bind(position.key.incarnation)
        .bind(&position.key.partition)
        .fetch_optional(&mut connection)
        .await
        .and_then(|row| row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose());
        match found {
            Ok(stored) => {
                self.writer = Some(connection);
                Ok(stored)
            }
            Err(source) => Err(self.sql_error(source)),
        }
    }
}

fn name_of(position: &PositionMove) -> String {
    format!("{}/{}", position.key.hub, position.key.partition)
}

/// Rows removed by [`shed`] and names forgotten by [`privacy::reduce`].
type Gone = ([u64; 3], Vec<(u32, u32)>);

async fn save(
    connection: &mut SqliteConnection,
    effects: &Effects,
    outbox: &[OutboxRow],
    (epoch, settings): (i64, &StoreSettings),
) -> Result<Gone, Failed> {
    privacy::prepare(connection, &settings.callers).await?;
    sqlx::query("begin immediate").execute(&mut *connection).await?;
    if effects.positions.is_empty() {
        check_owner(connection, epoch).await?;
    }
    for position in &effects.positions {
        move_position(connection, position, epoch).await?;
    }
    save_rest(connection, effects, outbox).await?;
    let removed = match &effects.shed {
        Some(allowed) => shed(connection, allowed).await?,
        None => [0; 3],
    };
    let forgotten = privacy::reduce(connection, &settings.callers, effects).await?;
    failpoint::reached("in-commit");
    sqlx::query("commit").execute(&mut *connection).await?;
    Ok((removed, forgotten))
}

/// The negative control: the same statements in two transactions. A crash between them counts
/// events twice, and the crash test must notice.
async fn save_in_two(
    connection: &mut SqliteConnection,
    effects: &Effects,
    outbox: &[OutboxRow],
    epoch: i64,
) -> Result<Gone, Failed> {
    sqlx::query("begin immediate").execute(&mut *connection).await?;
    save_rest(connection, effects, outbox).await?;
    sqlx::query("commit").execute(&mut *connection).await?;
    failpoint::reached("in-commit");
    sqlx::query("begin immediate").execute(&mut *connection).await?;
    for position in &effects.positions {
        move_position(connection, position, epoch).await?;
    }
    sqlx::query("commit").execute(&mut *connection).await?;
    Ok(Gone::default())
}

/// Compare and swap: exactly one row must still hold what this process believes.
async fn move_position(
    connection: &mut SqliteConnection,
    position: &PositionMove,
    epoch: i64,
) -> Result<(), Failed> {
    let key = &position.key;
    let done = sqlx::query(
        "update partition_state set next_seq = $1, passed_ms = $2, events = events + $3, \
         tokens = tokens + $4 where hub = $5 and incarnation = $6 and partition = $7 \
         and epoch = $8 and next_seq is $9",
    )
    .bind(position.to)
    .bind(position.passed.0)
    .bind(position.events)
    .bind(position.tokens)
    .bind(&key.hub)
    .bind(key.incarnation)
    .bind(&key.partition)
    .bind(epoch)
    .bind(position.from)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    // A partition read for the first time has no row yet; the epoch must still be ours.
    let made = sqlx::query(
        "insert into partition_state (hub, incarnation, partition, next_seq, passed_ms, epoch, \
         events, tokens) select $1, $2, $3, $4, $5, $6, $7, $8 \
         where $9 is null and (select cast(value as integer) from meta where key = 'epoch') = $6 \
         on conflict do nothing",
    )
    .bind(&key.hub)
    .bind(key.incarnation)
    .bind(&key.partition)
    .bind(position.to)
    .bind(position.passed.0)
    .bind(epoch)
    .bind(position.events)
    .bind(position.tokens)
    .bind(position.from)
    .execute(&mut *connection)
    .await?;
    match made.rows_affected() {
        1 => Ok(()),
        _ => Err(Failed::Fenced(name_of(position))),
    }
}

async fn save_rest(
    connection: &mut SqliteConnection,
    effects: &Effects,
    outbox: &[OutboxRow],
) -> Result<(), Failed> {
    for (account, saved) in &effects.accounts {
        save_account(connection, *account, saved).await?;
    }
    save_rollups(connection, effects).await?;
    // By the judged slot, which every batching reaches alike, and after rows that are old already.
    let clocks = effects.accounts.values().filter_map(|saved| saved.clock);
    if let Some(judged_to) = clocks.map(|clock| clock.judged_to).max() {
        forget_old(connection, Slot(judged_to).start()).await?;
    }
    for (cause, tracked) in &effects.incidents {
        save_incident(connection, 0, cause, tracked).await?;
    }
    for row in outbox {
        post(connection, row).await?;
    }
    super::score::save(connection, effects).await?;
    super::life::save(connection, effects).await?;
    super::gateway::save(connection, effects).await?;
    super::control::save(connection, effects).await?;
    super::respond::save(connection, effects).await?;
    save_books(connection, effects).await?;
    honesty::save(connection, effects).await?;
    super::budgets::save(connection, &effects.budgets).await?;
    Ok(())
}

/// Puts a notification into the outbox; one whose key is there already stays as it is.
pub(super) async fn post(
    connection: &mut SqliteConnection,
    row: &OutboxRow,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into outbox (key, incident_key, destination, kind, created_ms, body) \
         values ($1, $2, $3, $4, $5, $6) on conflict (key) do nothing",
    )
    .bind(&row.key)
    .bind(&row.incident_key)
    .bind(&row.destination)
    .bind(&row.kind)
    .bind(row.created.0)
    .bind(&row.body)
    .execute(&mut *connection)
    .await
    .map(drop)
}

async fn save_account(
    connection: &mut SqliteConnection,
    account: u32,
    saved: &AccountEffects,
) -> Result<(), sqlx::Error> {
    if let Some(resource) = &saved.created {
        sqlx::query("insert into account (id, resource) values ($1, $2)")
            .bind(account)
            .bind(resource)
            .execute(&mut *connection)
            .await?;
    }
    for hub in &saved.hubs {
        sqlx::query(
            "insert into account_hub (account, hub) values ($1, $2) on conflict do nothing",
        )
        .bind(account)
        .bind(hub)
        .execute(&mut *connection)
        .await?;
    }
    for (id, kind, text) in &saved.names {
        sqlx::query("insert into name (account, id, kind, text) values ($1, $2, $3, $4)")
            .bind(account)
            .bind(*id)
            .bind(i64::from(*kind as u8))
            .bind(text)
            .execute(&mut *connection)
            .await?;
    }
    save_purchases(connection, account, saved).await?;
    if let Some((body, until)) = &saved.rows {
        sqlx::query(
            "insert into call_rows (account, needed_until, form, body) values ($1, $2, $3, $4)",
        )
        .bind(account)
        .bind(until.0)
        .bind(ROW_FORM)
        .bind(body)
        .execute(&mut *connection)
        .await?;
    }
    super::score::save_states(connection, account, saved).await?;
    if let Some(clock) = saved.clock {
        sqlx::query("update account set judged_to = $2, watermark_ms = $3 where id = $1")
            .bind(account)
            .bind(clock.judged_to)
            .bind(clock.watermark.0)
            .execute(&mut *connection)
            .await?;
        sqlx::query("delete from call_rows where account = $1 and needed_until < $2")
            .bind(account)
            .bind(clock.seen.0.div_euclid(60_000))
            .execute(&mut *connection)
            .await?;
    }
    for (cause, tracked) in &saved.incidents {
        save_incident(connection, account, cause, tracked).await?;
    }
    Ok(())
}

async fn save_purchases(
    connection: &mut SqliteConnection,
    account: u32,
    saved: &AccountEffects,
) -> Result<(), sqlx::Error> {
    for (deployment, purchase) in &saved.purchases {
        sqlx::query(
            "insert into purchase (series, at_ms, sku, told_ms) values ($1, $2, $3, $4) \
             on conflict (series, at_ms, sku) do update set told_ms = excluded.told_ms",
        )
        .bind(series(account, *deployment))
        .bind(purchase.at.0)
        .bind(purchase.sku)
        .bind(purchase.told.0)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn save_rollups(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    for (table, size) in [("rollup_minute", 1), ("rollup_five", 5), ("rollup_hour", 60)] {
        let rows = by_grain(effects, size);
        add_splits(connection, table, "start, series, caller", &rows).await?;
    }
    let totals: Vec<(Vec<i64>, Split)> = effects
        .accounts
        .iter()
        .flat_map(|(account, saved)| {
            saved.deltas.totals.iter().map(|((deployment, model), split)| {
                (vec![series(*account, *deployment), i64::from(*model)], *split)
            })
        })
        .collect();
    add_splits(connection, "total", "series, model", &totals).await?;
    save_spend(connection, effects).await
}

async fn save_spend(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    let mut hours = Vec::new();
    let mut totals: BTreeMap<(i64, u32), Spend> = BTreeMap::new();
    for (account, saved) in &effects.accounts {
        for ((start, deployment, model), spend) in &saved.deltas.spend {
            let series = series(*account, *deployment);
            hours.push((vec![start.0, series, i64::from(*model)], *spend));
            let total = totals.entry((series, *model)).or_default();
            *total = total.plus(*spend);
        }
    }
    add_spend(connection, "spend_hour", "start, series, model", &hours).await?;
    let totals = totals.into_iter().filter(|(_, spend)| !spend.is_zero());
    let totals: Vec<_> =
        totals.map(|((series, model), spend)| (vec![series, i64::from(model)], spend)).collect();
    add_spend(connection, "spend_total", "series, model", &totals).await
}

/// The minute deltas summed up to windows of `size` minutes.
fn by_grain(effects: &Effects, size: i64) -> Vec<(Vec<i64>, Split)> {
    let mut sums: BTreeMap<(i64, i64, Caller), Split> = BTreeMap::new();
    for (account, saved) in &effects.accounts {
        let Deltas { minutes, .. } = &saved.deltas;
        for (key, split) in minutes {
            let start = key.minute.window(size).start.0;
            let slot =
                sums.entry((start, series(*account, key.deployment), key.caller)).or_default();
            *slot = slot.merged(*split);
        }
    }
    let rows = sums.into_iter().filter(|(_, split)| !split.is_zero());
    rows.map(|((start, series, caller), split)| (vec![start, series, caller.0], split)).collect()
}

async fn save_incident(
    connection: &mut SqliteConnection,
    account: u32,
    cause: &Cause,
    tracked: &Tracked,
) -> Result<(), sqlx::Error> {
    let incident = &tracked.incident;
    let body =
        serde_json::to_string(incident).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    sqlx::query(
        "insert into incident (key, rule, scope, account, n, state, closing_severity, announced, \
         escalations, quiet, score, banked_usd, first_window_ms, opened_at_ms, body, announced_usd) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
         on conflict (key) do update set state = excluded.state, \
         closing_severity = excluded.closing_severity, announced = excluded.announced, \
         escalations = excluded.escalations, quiet = excluded.quiet, score = excluded.score, \
         banked_usd = excluded.banked_usd, first_window_ms = excluded.first_window_ms, \
         body = excluded.body, announced_usd = excluded.announced_usd",
    )
    .bind(&incident.key)
    .bind(cause.rule)
    .bind(&cause.scope)
    .bind(account)
    .bind(tracked.n)
    .bind(incident.state.word())
    .bind(tracked.closing_severity.map(crate::incident::Severity::word))
    .bind(tracked.announced.word())
    .bind(tracked.escalations)
    .bind(tracked.quiet)
    .bind(tracked.score)
    .bind(tracked.banked_usd)
    .bind(incident.first_window.0)
    .bind(incident.opened_at.0)
    .bind(body)
    .bind(tracked.announced_usd)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Counters, ledgers, gaps and quarantine.
async fn save_books(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    let categories =
        effects.categories.iter().map(|(name, count)| ("category", name.as_str(), *count));
    let counters = effects.counters.iter().map(|(name, count)| ("counter", *name, *count));
    for (kind, name, count) in categories.chain(counters) {
        sqlx::query(
            "insert into counter (kind, name, value) values ($1, $2, $3) \
             on conflict (kind, name) do update set value = value + excluded.value",
        )
        .bind(kind)
        .bind(name)
        .bind(count)
        .execute(&mut *connection)
        .await?;
    }
    save_coverage(connection, &effects.coverage).await?;
    for (account, saved) in &effects.accounts {
        for ((reason, deployment), (records, tokens)) in &saved.ledger {
            sqlx::query(
                "insert into ledger (series, reason, records, tokens) values ($1, $2, $3, $4) \
                 on conflict (series, reason) do update set records = records + excluded.records, \
                 tokens = tokens + excluded.tokens",
            )
            .bind(series(*account, *deployment))
            .bind(*reason)
            .bind(*records)
            .bind(*tokens)
            .execute(&mut *connection)
            .await?;
        }
    }
    for gap in &effects.gaps {
        sqlx::query(
            "insert into gap (hub, incarnation, partition, from_seq, to_seq) values ($1, $2, $3, $4, $5)",
        )
        .bind(&gap.key.hub)
        .bind(gap.key.incarnation)
        .bind(&gap.key.partition)
        .bind(gap.from)
        .bind(gap.to)
        .execute(&mut *connection)
        .await?;
    }
    save_quarantine(connection, effects).await
}

async fn save_coverage(
    connection: &mut SqliteConnection,
    coverage: &Coverage,
) -> Result<(), sqlx::Error> {
    for (day, kind, seen) in coverage.iter() {
        sqlx::query(
            "insert into coverage (day, kind, records, tokens, identity, deployment, caller) \
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (day, kind) do update set \
             records = records + excluded.records, tokens = tokens + excluded.tokens, \
             identity = identity + excluded.identity, \
             deployment = deployment + excluded.deployment, caller = caller + excluded.caller",
        )
        .bind(day)
        .bind(kind)
        .bind(seen.records)
        .bind(seen.tokens)
        .bind(seen.identity)
        .bind(seen.deployment)
        .bind(seen.caller)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn save_quarantine(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    let at = effects.positions.iter().map(|position| position.passed.0).max().unwrap_or(0);
    for rejected in &effects.quarantine {
        sqlx::query(
            "insert into quarantine (at_ms, category, path, reason, sample) values ($1, $2, $3, $4, $5)",
        )
        .bind(at)
        .bind(&rejected.category)
        .bind(&rejected.path)
        .bind(&rejected.reason)
        .bind(&rejected.sample)
        .execute(&mut *connection)
        .await?;
    }
    if !effects.quarantine.is_empty() {
        sqlx::query("delete from quarantine where id <= (select max(id) from quarantine) - $1")
            .bind(KEEP_QUARANTINE)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
