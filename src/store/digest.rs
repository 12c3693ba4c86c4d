//! Everything the database says, as lines that tests compare.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::read::{Reader, coverage, spend};
use super::sql::{SPLIT_COLUMNS, series_parts, split_at};
use super::{StoreError, honesty};
use crate::aggregate::rollup::Caller;
use crate::time::Minute;

/// What a line tells of, and a statement of one text column.
const STATEMENTS: [(&str, &str); 11] = [
    ("control", "select kind || '|' || key || '|' || body from control_state"),
    (
        "version",
        "select resource || '|' || since_ms || '|' || coalesce(until_ms, '-') || '|' || body \
         from resource_version",
    ),
    (
        "incident",
        "select rule || '|' || scope || '|' || n || '|' || first_window_ms || '|' || \
         coalesce(closing_severity, '-') from incident",
    ),
    (
        "purchase",
        "select a.resource || '|' || d.text || '|' || at_ms || '|' || sku || '|' || told_ms \
         from purchase join account a on a.id = series >> 32 \
         join name d on d.account = a.id and d.id = series & 4294967295",
    ),
    (
        "behind",
        "select a.resource || '|' || start || '|' || coalesce(d.text, '') || '|' || g.text || '|' \
         || coalesce(n.text, '') || '|' || coalesce(s.text, '') || '|' || calls || '|' || \
         tokens_in || '|' || tokens_out || '|' || cost_nano from gateway_caller c \
         join account a on a.id = series >> 32 \
         left join name d on d.account = a.id and d.id = series & 4294967295 \
         left join name g on g.account = a.id and g.id = c.gateway \
         left join name n on n.account = a.id and n.id = c.network \
         left join name s on s.account = a.id and s.id = c.subject",
    ),
    (
        "gateway",
        "select a.resource || '|' || start || '|' || coalesce(d.text, '') || '|' || calls || '|' \
         || linked || '|' || ambiguous from gateway_hour \
         join account a on a.id = series >> 32 \
         left join name d on d.account = a.id and d.id = series & 4294967295",
    ),
    (
        "usual",
        "select a.resource || '|' || json_extract(body, '$.next') || '|' || \
         coalesce(json_extract(body, '$.first'), '-') || '|' || json_extract(body, '$.families') \
         from conduct c join account a on a.id = c.account",
    ),
    (
        "usual day",
        "select a.resource || '|' || coalesce(d.text, '') || '|' || json_extract(day.value, '$[1]') \
         || '|' || json_extract(day.value, '$[2]') \
         from conduct c join account a on a.id = c.account join json_each(c.body, '$.days') day \
         left join name d on d.account = a.id and d.id = json_extract(day.value, '$[0]')",
    ),
    (
        "metered",
        "select a.resource || '|' || json_extract(body, '$.since') || '|' || \
         json_extract(body, '$.first') || '|' || json_extract(body, '$.days') \
         from metered m join account a on a.id = m.account",
    ),
    (
        "counter",
        "select kind || '|' || name || '|' || value from counter where name <> 'duplicate_events'",
    ),
    (
        "ledger",
        "select a.resource || '|' || coalesce(d.text, '') || '|' || reason || '|' || records || \
         '|' || tokens from ledger join account a on a.id = series >> 32 \
         left join name d on d.account = a.id and d.id = series & 4294967295 \
         where records <> 0 or tokens <> 0",
    ),
];

impl Reader {
    /// Rollups by name in all columns, ledgers, counters and incidents as (rule, scope, n, first
    /// window, highest severity at closing): equal for every batching and interleaving.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn digest(&mut self) -> Result<Vec<String>, StoreError> {
        let read = digest(self.connection()).await;
        read.map_err(|source| self.error(source))
    }
}

async fn digest(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut lines = Vec::new();
    for table in ["rollup_minute", "rollup_five", "rollup_hour"] {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "select a.resource, d.text, caller, n.text, i.text, start, {SPLIT_COLUMNS}, series \
             from {table} join account a on a.id = series >> 32 \
             left join name d on d.account = a.id and d.id = series & 4294967295 \
             left join name n on caller >= 0 and n.account = a.id \
             and n.id = (caller >> {}) & {} \
             left join name i on caller >= 0 and i.account = a.id and i.id = caller & 4294967295",
            Caller::NETWORK.0,
            Caller::NETWORK.1,
        )))
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            let split = split_at(&row, 6)?;
            if split.is_zero() {
                continue;
            }
            let names: [Option<String>; 4] =
                [row.try_get(0)?, row.try_get(1)?, row.try_get(3)?, row.try_get(4)?];
            let caller: i64 = row.try_get(2)?;
            let start: i64 = row.try_get(5)?;
            let (_, deployment) = series_parts(row.try_get(22)?);
            let whose = Caller(caller).parts().map_or("", |parts| parts.operation.word());
            let is_sum = caller.min(0);
            lines.push(format!(
                "{table} {start} {names:?} {is_sum} {whose} {} {split:?}",
                deployment == 0
            ));
        }
    }
    for (what, statement) in STATEMENTS.into_iter().chain(honesty::STATEMENTS) {
        for row in sqlx::query(statement).fetch_all(&mut *connection).await? {
            lines.push(format!("{what} {}", row.try_get::<String, _>(0)?));
        }
    }
    let coverage = coverage(connection).await?;
    lines
        .extend(coverage.iter().map(|(day, kind, seen)| format!("coverage {day} {kind} {seen:?}")));
    for hour in spend(connection, Minute(i64::MIN), Minute(i64::MAX)).await? {
        lines.push(format!("{hour:?}"));
    }
    lines.sort_unstable();
    Ok(lines)
}
