//! What the data say about themselves: metric points and their hours, delays, copies, what each
//! account sends.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::StoreError;
use super::read::Reader;
use super::sql::{series, series_parts};
use crate::aggregate::coverage::{Coverage, HISTORY_DAYS};
use crate::aggregate::delay::{Delays, Histogram, Leg};
use crate::aggregate::metrics::{Compared, Counts, Family, PointKey, Quantity};
use crate::aggregate::repeats::Told;
use crate::decode::DECODERS;
use crate::engine::effects::Effects;
use crate::engine::honesty::{Honesty, Sent};
use crate::engine::mismatch::KEEP_HOURS;
use crate::event::{RowKind, Seen};
use crate::time::{ArrivalTime, Minute};

/// Rows per statement: 500 × 9 columns stay below SQLite's 32,766 variables.
const ROWS_PER_STATEMENT: usize = 500;
/// Points are kept as long as minutes of rollups.
const KEEP_POINT_HOURS: i64 = 48;
/// Everything by hour or day is kept for 13 months.
const KEEP_DAYS: i64 = 396;

/// Saves what a step learnt about the data, in the transaction of the step.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    save_points(connection, effects).await?;
    save_delays(connection, &effects.honesty.delays).await?;
    save_repeats(connection, effects).await?;
    save_sent(connection, effects).await?;
    if let Some(hour) = effects.honesty.closed_hour {
        sqlx::query(
            "insert into meta (key, value) values ('closed_hour', $1) \
             on conflict (key) do update set value = excluded.value",
        )
        .bind(hour.to_string())
        .execute(&mut *connection)
        .await?;
        forget(connection, hour).await?;
    }
    Ok(())
}

/// Drops what is past its retention. Key order makes each a look at the first row.
async fn forget(connection: &mut SqliteConnection, hour: i64) -> Result<(), sqlx::Error> {
    let day = hour.div_euclid(24) - KEEP_DAYS;
    for (statement, before) in [
        ("delete from metric_hour where start < $1", day * 24 * 60),
        ("delete from delay_day where day < $1", day),
        ("delete from repeat_hour where hour < $1", day * 24),
    ] {
        sqlx::query(statement).bind(before).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn save_points(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    let mut rows: Vec<[i64; 7]> = Vec::new();
    let mut hours = BTreeSet::new();
    for (account, points) in &effects.honesty.points {
        for (PointKey { deployment, start, quantity, family }, point) in points.iter() {
            let series = series(*account, *deployment);
            let (quantity, family) = (i64::from(*quantity as u8), i64::from(*family as u8));
            let (enqueued, told) = (point.enqueued.0, point.told);
            rows.push([series, start.0, quantity, family, point.value, enqueued, told]);
            hours.insert((series, start.window(60).start.0));
        }
    }
    for chunk in rows.chunks(ROWS_PER_STATEMENT) {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            "insert into metric_point (series, start, quantity, family, value, enqueued_ms, told) ",
        );
        query.push_values(chunk, |mut row, values| {
            for value in values {
                row.push_bind(*value);
            }
        });
        // The later value holds, the larger one of two told at once: `Point::merged`.
        query.push(
            " on conflict (series, start, quantity, family) do update set \
             value = case when excluded.enqueued_ms > enqueued_ms then excluded.value \
             when excluded.enqueued_ms = enqueued_ms and excluded.value > value \
             then excluded.value else value end, \
             enqueued_ms = case when excluded.enqueued_ms > enqueued_ms \
             then excluded.enqueued_ms else enqueued_ms end, told = told + excluded.told",
        );
        query.build().execute(&mut *connection).await?;
    }
    for (series, start) in hours {
        sum_hour(connection, series, start).await?;
        forget_points(connection, series).await?;
    }
    Ok(())
}

/// Makes the sums of an hour anew: of each minute the family over all publishers, and the other
/// only where that one says nothing. An hour whose points are being forgotten stays as it is.
async fn sum_hour(
    connection: &mut SqliteConnection,
    series: i64,
    start: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into metric_hour (start, series, tokens_in, tokens_out, requests) \
         select $2, $1, sum(case when p.quantity = 0 then p.value end), \
         sum(case when p.quantity = 1 then p.value end), \
         sum(case when p.quantity = 2 then p.value end) from metric_point p \
         where p.series = $1 and p.start >= $2 and p.start < $2 + 60 \
         and (p.family = 0 or not exists (select 1 from metric_point q where q.series = p.series \
         and q.start = p.start and q.quantity = p.quantity and q.family = 0)) \
         and $2 >= coalesce((select (cast(value as integer) - $3) * 60 from meta \
         where key = 'closed_hour'), $2) having count(*) > 0 \
         on conflict (start, series) do update set tokens_in = excluded.tokens_in, \
         tokens_out = excluded.tokens_out, requests = excluded.requests",
    )
    .bind(series)
    .bind(start)
    .bind(KEEP_POINT_HOURS)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Drops the points of a series that are past their retention.
async fn forget_points(connection: &mut SqliteConnection, series: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from metric_point where series = $1 and start < (select \
         (cast(value as integer) - $2) * 60 from meta where key = 'closed_hour')",
    )
    .bind(series)
    .bind(KEEP_POINT_HOURS)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn save_delays(
    connection: &mut SqliteConnection,
    delays: &Delays,
) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = delays
        .iter()
        .flat_map(|(hub, day, kind, leg, counts)| {
            counts.iter().map(move |(bucket, records)| (day, hub, kind, leg, bucket, records))
        })
        .collect();
    for chunk in rows.chunks(ROWS_PER_STATEMENT) {
        let mut query: QueryBuilder<Sqlite> =
            QueryBuilder::new("insert into delay_day (day, hub, kind, leg, bucket, records) ");
        query.push_values(chunk, |mut row, (day, hub, kind, leg, bucket, records)| {
            row.push_bind(*day).push_bind((*hub).to_owned()).push_bind(*kind);
            row.push_bind(i64::from(*leg as u8)).push_bind(*bucket).push_bind(*records);
        });
        query.push(
            " on conflict (day, hub, kind, leg, bucket) do update set \
             records = records + excluded.records",
        );
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

async fn save_repeats(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    for (account, saved) in &effects.accounts {
        for (hour, kind, told) in saved.repeats.iter() {
            sqlx::query(
                "insert into repeat_hour (hour, account, kind, records, copies) \
                 values ($1, $2, $3, $4, $5) on conflict (hour, account, kind) do update set \
                 records = records + excluded.records, copies = copies + excluded.copies",
            )
            .bind(hour)
            .bind(*account)
            .bind(kind.name())
            .bind(told.records)
            .bind(told.copies)
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

async fn save_sent(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    for ((account, kind), sent) in &effects.honesty.sent {
        sqlx::query(
            "insert into account_kind (account, kind, records, tokens, identity, deployment, \
             caller, first_ms, last_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
             on conflict (account, kind) do update set records = records + excluded.records, \
             tokens = tokens + excluded.tokens, identity = identity + excluded.identity, \
             deployment = deployment + excluded.deployment, caller = caller + excluded.caller, \
             first_ms = case when excluded.first_ms < first_ms then excluded.first_ms \
             else first_ms end, \
             last_ms = case when excluded.last_ms > last_ms then excluded.last_ms else last_ms end",
        )
        .bind(*account)
        .bind(*kind)
        .bind(sent.seen.records)
        .bind(sent.seen.tokens)
        .bind(sent.seen.identity)
        .bind(sent.seen.deployment)
        .bind(sent.seen.caller)
        .bind(sent.first.0)
        .bind(sent.last.0)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// What has not been judged yet, and the days that say what is usual.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Honesty, sqlx::Error> {
    let mut honesty = Honesty { closed_hour: closed_hour(connection).await?, ..Honesty::default() };
    let from = honesty.closed_hour.unwrap_or(i64::MIN);
    let rows = sqlx::query(
        "select hour, account, kind, records, copies from repeat_hour where hour >= $1",
    )
    .bind(from)
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let Some(kind) = RowKind::from_name(row.try_get(2)?) else { continue };
        let told = Told { records: row.try_get(3)?, copies: row.try_get(4)? };
        honesty.repeats.insert((row.try_get(0)?, row.try_get(1)?, kind), told);
    }
    recall_requests(connection, &mut honesty).await?;
    honesty.coverage = recent_coverage(connection, from.div_euclid(24) - HISTORY_DAYS).await?;
    Ok(honesty)
}

/// Points of requests of the hours that are not judged yet, and of those that are judged with them.
async fn recall_requests(
    connection: &mut SqliteConnection,
    honesty: &mut Honesty,
) -> Result<(), sqlx::Error> {
    let Some(closed) = honesty.closed_hour else { return Ok(()) };
    for (number, family) in [(0, Family::All), (1, Family::OpenAi)] {
        let rows = sqlx::query(
            "select series, start, value, enqueued_ms from metric_point \
             where quantity = $1 and family = $2 and start >= $3",
        )
        .bind(i64::from(Quantity::Requests as u8))
        .bind(number)
        .bind((closed - KEEP_HOURS) * 60)
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            let (account, deployment) = series_parts(row.try_get(0)?);
            let start = Minute(row.try_get(1)?);
            let key = PointKey { deployment, start, quantity: Quantity::Requests, family };
            let told = ArrivalTime(row.try_get(3)?);
            honesty.sides.meter(account, &key, row.try_get(2)?, told);
        }
    }
    Ok(())
}

async fn closed_hour(connection: &mut SqliteConnection) -> Result<Option<i64>, sqlx::Error> {
    let row = sqlx::query("select cast(value as integer) from meta where key = 'closed_hour'")
        .fetch_optional(&mut *connection)
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}

async fn recent_coverage(
    connection: &mut SqliteConnection,
    from_day: i64,
) -> Result<Coverage, sqlx::Error> {
    let rows = sqlx::query(
        "select day, kind, records, tokens, identity, deployment, caller from coverage \
         where day >= $1",
    )
    .bind(from_day)
    .fetch_all(&mut *connection)
    .await?;
    let mut coverage = Coverage::default();
    for row in rows {
        // A kind that is no longer decoded has nobody to judge it.
        if let Some(kind) = kind_named(row.try_get(1)?) {
            coverage.put(row.try_get(0)?, kind, seen_at(&row, 2)?);
        }
    }
    Ok(coverage)
}

fn kind_named(name: &str) -> Option<&'static str> {
    DECODERS.iter().map(|decoder| decoder.name).find(|known| *known == name)
}

fn seen_at(row: &SqliteRow, first: usize) -> Result<Seen, sqlx::Error> {
    Ok(Seen {
        records: row.try_get(first)?,
        tokens: row.try_get(first + 1)?,
        identity: row.try_get(first + 2)?,
        deployment: row.try_get(first + 3)?,
        caller: row.try_get(first + 4)?,
    })
}

/// What the logs and the metrics of one account say of one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedHour {
    /// First minute of the hour.
    pub start: Minute,
    /// Resource id of the account, lower case.
    pub account: String,
    /// Both sides.
    pub compared: Compared,
}

/// Delays of one hub and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindDelay {
    /// Hub, as named in the configuration.
    pub hub: String,
    /// Kind of record.
    pub kind: String,
    /// From the record's own end to the hub.
    pub to_hub: Histogram,
    /// From the hub to us; empty where files were read.
    pub to_us: Histogram,
}

impl Reader {
    /// What logs and metrics say of every account and hour from `from` until before `until` (first
    /// minutes, UTC), in order. Azure's own points of a whole account are used where there are any,
    /// else the sum of its deployments'; they are never added to each other.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn compared(
        &mut self,
        from: Minute,
        until: Minute,
    ) -> Result<Vec<ComparedHour>, StoreError> {
        let read = compared(self.connection(), from, until).await;
        read.map_err(|source| self.error(source))
    }

    /// Delays by hub and kind since the day `from` (days since 1970), in order.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn delays(&mut self, from: i64) -> Result<Vec<KindDelay>, StoreError> {
        let read = delays(self.connection(), from).await;
        read.map_err(|source| self.error(source))
    }

    /// Rows and copies by account (resource id) and kind since the hour `from` (hours since 1970).
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn repeats(&mut self, from: i64) -> Result<Vec<(String, String, Told)>, StoreError> {
        let rows = sqlx::query(
            "select a.resource, kind, sum(records), sum(copies) from repeat_hour \
             join account a on a.id = account where hour >= $1 group by 1, 2 order by 1, 2",
        )
        .bind(from)
        .fetch_all(self.connection())
        .await;
        let read = |row: &SqliteRow| {
            let told = Told { records: row.try_get(2)?, copies: row.try_get(3)? };
            Ok((row.try_get(0)?, row.try_get(1)?, told))
        };
        let read = rows.and_then(|rows| rows.iter().map(read).collect());
        read.map_err(|source| self.error(source))
    }

    /// Metric points of whole accounts by account (resource id) and how often they were told more
    /// than once, of the two days that are kept. Those of deployments are asked for again and again
    /// by ourselves.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn repeated_points(&mut self) -> Result<Vec<(String, Told)>, StoreError> {
        let rows = sqlx::query(
            "select a.resource, sum(told), sum(told - 1) from metric_point \
             join account a on a.id = series >> 32 where series & 4294967295 = 0 \
             group by 1 order by 1",
        )
        .fetch_all(self.connection())
        .await;
        let read = |row: &SqliteRow| {
            Ok((row.try_get(0)?, Told { records: row.try_get(1)?, copies: row.try_get(2)? }))
        };
        let read = rows.and_then(|rows| rows.iter().map(read).collect());
        read.map_err(|source| self.error(source))
    }

    /// What every account (by resource id) has sent, by kind.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn sent(&mut self) -> Result<BTreeMap<String, BTreeMap<String, Sent>>, StoreError> {
        let read = sent(self.connection()).await;
        read.map_err(|source| self.error(source))
    }
}

async fn compared(
    connection: &mut SqliteConnection,
    from: Minute,
    until: Minute,
) -> Result<Vec<ComparedHour>, sqlx::Error> {
    let mut hours: BTreeMap<(i64, u32), (Counts, Counts, Counts)> = BTreeMap::new();
    for row in sqlx::query(
        "select start, series, tokens_in, tokens_out, requests from metric_hour \
         where start >= $1 and start < $2",
    )
    .bind(from.0)
    .bind(until.0)
    .fetch_all(&mut *connection)
    .await?
    {
        let (account, deployment) = series_parts(row.try_get(1)?);
        let counts =
            Counts { input: row.try_get(2)?, output: row.try_get(3)?, requests: row.try_get(4)? };
        let (_, own, parts) = hours.entry((row.try_get(0)?, account)).or_default();
        let side = if deployment == 0 { own } else { parts };
        *side = side.plus(counts);
    }
    // Calls without a deployment are hardly ever inference: metrics do not count listings.
    for row in sqlx::query(
        "select start, series >> 32, sum(tokens_in + late_tokens_in), \
         sum(tokens_out + late_tokens_out), \
         sum(case when series & 4294967295 = 0 then 0 else calls + late_calls end) \
         from rollup_hour where caller = -1 and start >= $1 and start < $2 group by 1, 2",
    )
    .bind(from.0)
    .bind(until.0)
    .fetch_all(&mut *connection)
    .await?
    {
        let counts =
            Counts { input: row.try_get(2)?, output: row.try_get(3)?, requests: row.try_get(4)? };
        hours.entry((row.try_get(0)?, row.try_get(1)?)).or_default().0 = counts;
    }
    let resources = resources(connection).await?;
    let found = hours.into_iter().filter_map(|((start, account), (logged, own, parts))| {
        let metered = if own == Counts::default() { parts } else { own };
        let account = resources.get(&account)?.clone();
        Some(ComparedHour { start: Minute(start), account, compared: Compared { logged, metered } })
    });
    Ok(found.collect())
}

async fn resources(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<u32, String>, sqlx::Error> {
    let rows = sqlx::query("select id, resource from account").fetch_all(&mut *connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn delays(
    connection: &mut SqliteConnection,
    from: i64,
) -> Result<Vec<KindDelay>, sqlx::Error> {
    let mut found: BTreeMap<(String, String), [Histogram; 2]> = BTreeMap::new();
    for row in sqlx::query(
        "select hub, kind, leg, bucket, sum(records) from delay_day where day >= $1 \
         group by 1, 2, 3, 4",
    )
    .bind(from)
    .fetch_all(&mut *connection)
    .await?
    {
        let [to_hub, to_us] = found.entry((row.try_get(0)?, row.try_get(1)?)).or_default();
        let is_ours = row.try_get::<i64, _>(2)? == i64::from(Leg::ToUs as u8);
        let leg = if is_ours { to_us } else { to_hub };
        leg.put(row.try_get(3)?, row.try_get(4)?);
    }
    let found = found.into_iter();
    Ok(found.map(|((hub, kind), [to_hub, to_us])| KindDelay { hub, kind, to_hub, to_us }).collect())
}

async fn sent(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<String, BTreeMap<String, Sent>>, sqlx::Error> {
    let mut found: BTreeMap<String, BTreeMap<String, Sent>> = BTreeMap::new();
    for row in sqlx::query(
        "select a.resource, k.kind, k.records, k.tokens, k.identity, k.deployment, k.caller, \
         k.first_ms, k.last_ms from account a left join account_kind k on k.account = a.id",
    )
    .fetch_all(&mut *connection)
    .await?
    {
        let kinds = found.entry(row.try_get(0)?).or_default();
        let Some(kind) = row.try_get::<Option<String>, _>(1)? else { continue };
        let (first, last) = (ArrivalTime(row.try_get(7)?), ArrivalTime(row.try_get(8)?));
        kinds.insert(kind, Sent { seen: seen_at(&row, 2)?, first, last });
    }
    Ok(found)
}

/// What every batching and interleaving must leave alike: see `digest`.
pub(super) const STATEMENTS: [(&str, &str); 4] = [
    (
        "metric_hour",
        "select a.resource || coalesce('/' || n.text, '') || '|' || start || '|' || \
         coalesce(tokens_in, '-') || '|' || coalesce(tokens_out, '-') || '|' || \
         coalesce(requests, '-') from metric_hour join account a on a.id = series >> 32 \
         left join name n on n.account = a.id and n.id = series & 4294967295",
    ),
    (
        "delay",
        "select hub || '|' || day || '|' || kind || '|' || bucket || '|' || records \
         from delay_day where leg = 0",
    ),
    (
        "repeat",
        "select a.resource || '|' || hour || '|' || kind || '|' || records || '|' || copies \
         from repeat_hour join account a on a.id = account",
    ),
    (
        "sent",
        "select a.resource || '|' || kind || '|' || records || '|' || tokens || '|' || \
         identity || '|' || deployment || '|' || caller || '|' || first_ms || '|' || last_ms \
         from account_kind join account a on a.id = account",
    ),
];
