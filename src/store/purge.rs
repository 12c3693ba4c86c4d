//! Removing on request: what is old, an account, a caller, samples, sent notifications.
//!
//! A purge has the database to itself. It runs in one transaction, so that what it would remove can be
//! shown before it is decided, and writes the file anew afterwards: nothing that went can be read in
//! it. Sums of callers move to the row of all others, so that they still add up to the totals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteLockingMode};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::sql::{AMOUNT_COLUMNS, SPEND_COLUMNS, SPLIT_COLUMNS};
use super::{Store, StoreError, is_busy, migrate, owner, sql_error};
use crate::aggregate::join;
use crate::aggregate::names::{NameKind, OTHER};
use crate::aggregate::rollup::Caller;
use crate::incident::Incident;
use crate::known::About;
use crate::time::{DAY_MS, EventTime, Minute};

/// What is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Sums, samples, sent notifications and resolved incidents from before this UTC minute.
    Before(Minute),
    /// Everything about an account, by its name or resource id. Its life-time sums stay without it.
    Account(String),
    /// A network, an Entra object id, or the subject of a gateway, in every account.
    Caller(String),
    /// Samples of records that could not be read.
    Quarantine,
    /// Notifications that were delivered.
    OutboxSent,
}

/// Rows by what they are.
pub type Removed = BTreeMap<&'static str, u64>;

/// A purge that has begun and not been decided.
#[derive(Debug)]
pub struct Purge {
    connection: SqliteConnection,
    path: PathBuf,
    removed: Removed,
}

/// How long another process may take to let go of the database.
const PATIENCE: Duration = Duration::from_secs(1);
/// Newest part of the sums that no purge by date may touch: later records still correct them.
const UNSETTLED_MS: i64 = 2 * DAY_MS;
/// The grains of the rollups.
const ROLLUPS: [&str; 3] = ["rollup_minute", "rollup_five", "rollup_hour"];

/// What rules remember of an account or caller.
const CONTROL: &str = "delete from control_state where instr(lower(key || ' ' || body), $1) > 0";
/// Versions of resources that name an account or caller.
const VERSIONS: &str =
    "delete from resource_version where instr(lower(resource || ' ' || body), $1) > 0";
/// Lives of incidents that are no more.
const ORPHANS: &str = "delete from incident_event where not exists \
    (select 1 from incident where incident.key = incident_event.incident)";
/// Steps proposed about incidents that are no more.
const STEPS: &str = "delete from response where not exists \
    (select 1 from incident where incident.key = response.incident)";

impl Purge {
    /// Takes the database for itself and removes what is selected, without deciding yet.
    ///
    /// # Errors
    /// Another process uses the database, it is none of this program, or the request is refused.
    pub async fn begin(path: &Path, selections: &[Selection]) -> Result<Self, StoreError> {
        if !path.is_file() {
            let reason = "there is no such file".to_owned();
            return Err(StoreError::Open { path: path.to_owned(), reason });
        }
        let options = Store::options(path)
            .create_if_missing(false)
            .locking_mode(SqliteLockingMode::Exclusive)
            .busy_timeout(PATIENCE)
            .pragma("secure_delete", "on");
        let mut connection = SqliteConnection::connect_with(&options)
            .await
            .map_err(|source| in_use(path, source))?;
        let known = sqlx::query("select value from meta where key = 'lineage'")
            .fetch_optional(&mut connection)
            .await;
        match known {
            Ok(Some(_)) => migrate(path, &mut connection).await?,
            Err(source) if is_busy(&source) => return Err(in_use(path, source)),
            Ok(None) | Err(_) => {
                let reason = "it is not a database of tokenwatch".to_owned();
                return Err(StoreError::Open { path: path.to_owned(), reason });
            }
        }
        let mut purge = Self { connection, path: path.to_owned(), removed: Removed::new() };
        purge.execute("begin exclusive").await?;
        let fenced = owner::fence(&mut purge.connection).await;
        fenced.map_err(|source| sql_error(path, source))?;
        for selection in selections {
            purge.select(selection).await?;
        }
        purge.removed.retain(|_, rows| *rows > 0);
        Ok(purge)
    }

    /// What goes, if it is [decided](Purge::decide).
    #[must_use]
    pub const fn removed(&self) -> &Removed {
        &self.removed
    }

    /// Leaves everything as it was.
    ///
    /// # Errors
    /// What SQLite says; nothing is removed all the same.
    pub async fn abandon(mut self) -> Result<(), StoreError> {
        self.execute("rollback").await?;
        self.close().await
    }

    /// Removes it for good, and gives the room back to the disk.
    ///
    /// # Errors
    /// What SQLite says. After an error in writing the file anew, what was removed is removed, and the
    /// next purge writes it again.
    pub async fn decide(mut self) -> Result<(), StoreError> {
        self.execute("commit").await?;
        self.execute("vacuum").await?;
        self.execute("pragma wal_checkpoint(truncate)").await?;
        self.close().await
    }

    async fn close(self) -> Result<(), StoreError> {
        let closed = self.connection.close().await;
        closed.map_err(|source| sql_error(&self.path, source))
    }

    async fn execute(&mut self, statement: &'static str) -> Result<(), StoreError> {
        let done = sqlx::query(statement).execute(&mut self.connection).await;
        done.map(drop).map_err(|source| in_use(&self.path, source))
    }

    async fn select(&mut self, selection: &Selection) -> Result<(), StoreError> {
        let path = self.path.clone();
        let refused = |reason: String| StoreError::Refused { path, reason };
        match selection {
            Selection::Before(minute) => {
                let newest = self.newest().await.map_err(|e| sql_error(&self.path, e))?;
                if minute.start().0 > newest.0.saturating_sub(UNSETTLED_MS) {
                    return Err(refused(format!(
                        "it was read up to {newest}, and the last two days may still change: name an \
                         earlier day"
                    )));
                }
                let done = self.before(*minute).await;
                done.map_err(|source| sql_error(&self.path, source))
            }
            Selection::Account(name) => {
                let done = self.account(&name.to_lowercase()).await;
                done.map_err(|source| sql_error(&self.path, source))
            }
            Selection::Caller(text) => {
                let text = text.to_lowercase();
                let pending = self.pending(&text).await.map_err(|e| sql_error(&self.path, e))?;
                if pending > 0 {
                    return Err(refused(format!(
                        "{pending} notification(s) that name this caller are not delivered yet: run \
                         the service until they are"
                    )));
                }
                let done = self.caller(&text).await;
                done.map_err(|source| sql_error(&self.path, source))
            }
            Selection::Quarantine => self.run("samples", "delete from quarantine", &[]).await,
            Selection::OutboxSent => {
                self.run("notifications", "delete from outbox where state = 'sent'", &[]).await
            }
        }
    }

    async fn run(
        &mut self,
        what: &'static str,
        statement: &str,
        numbers: &[i64],
    ) -> Result<(), StoreError> {
        let done = self.delete(what, statement, numbers, None).await;
        done.map_err(|source| sql_error(&self.path, source))
    }

    /// Runs a statement with numbers as `$1`… and a text after them, and counts the rows it changed.
    async fn delete(
        &mut self,
        what: &'static str,
        statement: &str,
        numbers: &[i64],
        text: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        let mut query = sqlx::query(AssertSqlSafe(statement.to_owned()));
        for number in numbers {
            query = query.bind(*number);
        }
        if let Some(text) = text {
            query = query.bind(text);
        }
        let rows = query.execute(&mut self.connection).await?.rows_affected();
        let sum = self.removed.entry(what).or_default();
        *sum = sum.saturating_add(rows);
        Ok(())
    }

    /// How far the hubs were read.
    async fn newest(&mut self) -> Result<EventTime, sqlx::Error> {
        let row = sqlx::query("select coalesce(max(passed_ms), 0) from partition_state")
            .fetch_one(&mut self.connection)
            .await?;
        Ok(EventTime(row.try_get(0)?))
    }

    async fn before(&mut self, minute: Minute) -> Result<(), sqlx::Error> {
        for table in ROLLUPS {
            let statement = format!("delete from {table} where start < $1");
            self.delete("sums", &statement, &[minute.0], None).await?;
        }
        for table in ["spend_hour", "gateway_caller", "gateway_hour", "metric_hour"] {
            let statement = format!("delete from {table} where start < $1");
            self.delete("sums", &statement, &[minute.0], None).await?;
        }
        let ms = minute.start().0;
        self.delete("samples", "delete from quarantine where at_ms < $1", &[ms], None).await?;
        let sent = "delete from outbox where state <> 'pending' and created_ms < $1";
        self.delete("notifications", sent, &[ms], None).await?;
        // The newest of each cause stays: it says how many there were, which is part of the key by
        // which receivers know a repetition.
        let resolved = "delete from incident where state = 'resolved' and opened_at_ms < $1 and \
            exists (select 1 from incident later where later.rule = incident.rule \
            and later.scope = incident.scope and later.n > incident.n)";
        self.delete("incidents", resolved, &[ms], None).await?;
        self.delete("lives of incidents", ORPHANS, &[], None).await?;
        self.delete("steps proposed", STEPS, &[], None).await?;
        let ended = "delete from resource_version where until_ms < $1";
        self.delete("versions of resources", ended, &[ms], None).await?;
        for statement in [
            "delete from action where state <> 'pending' and at_ms < $1",
            "delete from silence where until_ms < $1",
        ] {
            self.delete("actions and silences", statement, &[ms], None).await?;
        }
        let day = ms.div_euclid(DAY_MS);
        for (statement, before) in [
            ("delete from coverage where day < $1", day),
            ("delete from delay_day where day < $1", day),
            ("delete from repeat_hour where hour < $1", minute.0.div_euclid(60)),
        ] {
            self.delete("coverage", statement, &[before], None).await?;
        }
        self.forget_unused().await
    }

    async fn account(&mut self, name: &str) -> Result<(), sqlx::Error> {
        let rows = sqlx::query(
            "select id from account \
             where resource = $1 or substr(resource, -length($1) - 1) = '/' || $1",
        )
        .bind(name)
        .fetch_all(&mut self.connection)
        .await?;
        for row in rows {
            self.account_of(row.try_get(0)?).await?;
        }
        let short = name.rsplit('/').next().unwrap_or(name);
        // The service's own rules about models and streams of an account, by its name, and what was done
        // to it, perhaps with others.
        let theirs = "(rule in ('TW-S04', 'TW-S08') and \
            (scope = $1 or substr(scope, 1, length($1) + 1) = $1 || '/')) or (account = 0 and \
            (rule like 'TW-K%' or rule like 'TW-P%') and instr(lower(body), $1) > 0)";
        let outbox = format!(
            "delete from outbox where incident_key in (select key from incident where {theirs})"
        );
        self.delete("notifications", &outbox, &[], Some(short)).await?;
        let incidents = format!("delete from incident where {theirs}");
        self.delete("incidents", &incidents, &[], Some(short)).await?;
        self.delete("lives of incidents", ORPHANS, &[], None).await?;
        self.delete("steps proposed", STEPS, &[], None).await?;
        for (what, statement) in [
            ("actions and silences", "delete from action where instr(lower(deed), $1) > 0"),
            ("actions and silences", "delete from silence where instr(lower(matchers), $1) > 0"),
            ("groups of routes", "delete from route_group where instr(lower(body), $1) > 0"),
            // Digests and reports tell of many accounts.
            (
                "notifications",
                "delete from outbox where state <> 'pending' and $1 <> '' and not exists \
                 (select 1 from incident where incident.key = outbox.incident_key)",
            ),
        ] {
            self.delete(what, statement, &[], Some(short)).await?;
        }
        self.delete("memory of the control plane", CONTROL, &[], Some(short)).await?;
        self.delete("versions of resources", VERSIONS, &[], Some(short)).await?;
        let waiting = "delete from gateway_row where instr(lower(body), $1) > 0";
        self.delete("records of gateways not linked yet", waiting, &[], Some(short)).await
    }

    async fn account_of(&mut self, id: i64) -> Result<(), sqlx::Error> {
        let series = [id << 32, (id + 1) << 32];
        for (table, columns) in [("total", SPLIT_COLUMNS), ("spend_total", SPEND_COLUMNS)] {
            // Under no account's number, so that the books still balance with the partitions.
            let statement = format!(
                "insert into {table} (series, model, {columns}) select 0, 0, {} from {table} \
                 where series >= $1 and series < $2 having count(*) > 0 \
                 on conflict (series, model) do update set {}",
                summed(columns),
                added(columns),
            );
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for end in series {
                query = query.bind(end);
            }
            query.execute(&mut self.connection).await?;
        }
        let by_series = [
            ("sums", "rollup_minute"),
            ("sums", "rollup_five"),
            ("sums", "rollup_hour"),
            ("sums", "spend_hour"),
            ("sums", "gateway_caller"),
            ("sums", "gateway_hour"),
            ("life-time sums, kept without the account", "total"),
            ("life-time sums, kept without the account", "spend_total"),
            ("ledgers", "ledger"),
            ("detector states", "series_state"),
            ("purchases", "purchase"),
            ("sums", "metric_hour"),
            ("sums", "metric_point"),
        ];
        for (what, table) in by_series {
            let statement = format!("delete from {table} where series >= $1 and series < $2");
            self.delete(what, &statement, &series, None).await?;
        }
        let by_account = [
            (
                "notifications",
                "delete from outbox where incident_key in (select key from incident where account = $1)",
            ),
            ("incidents", "delete from incident where account = $1"),
            ("coverage", "delete from repeat_hour where account = $1"),
            ("coverage", "delete from account_kind where account = $1"),
            ("open calls", "delete from call_rows where account = $1"),
            ("detector states", "delete from conduct where account = $1"),
            ("detector states", "delete from metered where account = $1"),
            ("names", "delete from name where account = $1"),
            ("accounts", "delete from account_hub where account = $1"),
            ("accounts", "delete from account where id = $1"),
        ];
        for (what, statement) in by_account {
            self.delete(what, statement, &[id], None).await?;
        }
        // Incidents that begin to be counted anew must not have the keys of those that went.
        sqlx::query("update meta set value = lower(hex(randomblob(8))) where key = 'lineage'")
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Notifications not yet delivered whose incident names the caller.
    async fn pending(&mut self, text: &str) -> Result<i64, sqlx::Error> {
        let row = sqlx::query(
            "select count(*) from outbox where state = 'pending' and incident_key in \
             (select key from incident where instr(lower(body), $1) > 0)",
        )
        .bind(text)
        .fetch_one(&mut self.connection)
        .await?;
        row.try_get(0)
    }

    async fn caller(&mut self, text: &str) -> Result<(), sqlx::Error> {
        let rows = sqlx::query("select account, id, kind from name where lower(text) = $1")
            .bind(text)
            .fetch_all(&mut self.connection)
            .await?;
        for row in rows {
            let (account, id): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            // Where the number stands in a caller's; the subject of a gateway stands in none.
            let part = match NameKind::from_number(row.try_get(2)?) {
                Some(NameKind::Network) => Some(Caller::NETWORK),
                Some(NameKind::Identity) => Some((0, i64::from(u32::MAX))),
                Some(NameKind::Subject) => None,
                Some(NameKind::Deployment | NameKind::Model | NameKind::Gateway) | None => continue,
            };
            let series = [account << 32, (account + 1) << 32];
            if let Some((shift, mask)) = part {
                let [first, end] = series;
                for table in ROLLUPS {
                    self.move_to_others(table, &[first, end, i64::from(shift), mask, id]).await?;
                }
            }
            self.move_gateway_to_others(&series, id).await?;
            let forget = "update name set text = '' where account = $1 and id = $2";
            self.delete("names", forget, &[account, id], None).await?;
        }
        let waiting = "delete from gateway_row where instr(lower(body), $1) > 0";
        self.delete("records of gateways not linked yet", waiting, &[], Some(text)).await?;
        self.delete("memory of the control plane", CONTROL, &[], Some(text)).await?;
        self.delete("versions of resources", VERSIONS, &[], Some(text)).await?;
        let outbox = "delete from outbox where incident_key in \
            (select key from incident where instr(lower(body), $1) > 0)";
        self.delete("notifications", outbox, &[], Some(text)).await?;
        let samples = "delete from quarantine where instr(lower(sample), $1) > 0";
        self.delete("samples", samples, &[], Some(text)).await?;
        self.unname(text).await?;
        for (what, statement) in [
            ("groups of routes", "delete from route_group where instr(lower(body), $1) > 0"),
            (
                "lives of incidents",
                "update incident_event set what = '(purged)' where instr(lower(what), $1) > 0",
            ),
            (
                "actions and silences",
                "update action set reason = '(purged)' where instr(lower(reason), $1) > 0",
            ),
        ] {
            self.delete(what, statement, &[], Some(text)).await?;
        }
        // Both are written in lower case everywhere, so a plain replacement finds all of them.
        let incidents = "update incident set body = replace(body, $1, '(purged)') \
            where instr(body, $1) > 0";
        self.delete("incidents, kept without the caller", incidents, &[], Some(text)).await
    }

    /// Takes from incidents what was known about the caller beside its network and identity.
    async fn unname(&mut self, text: &str) -> Result<(), sqlx::Error> {
        let rows = sqlx::query("select key, body from incident where instr(body, $1) > 0")
            .bind(text)
            .fetch_all(&mut self.connection)
            .await?;
        for row in rows {
            let (key, body): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let read = serde_json::from_str(&body);
            let mut incident: Incident = read.map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
            let Incident { callers, callers_before, .. } = &mut incident;
            let callers = callers.iter_mut().chain(callers_before);
            for caller in callers.filter(|c| c.network == text || c.identity == text) {
                caller.name = None;
                caller.about = About::default();
            }
            let body = serde_json::to_string(&incident);
            sqlx::query("update incident set body = $1 where key = $2")
                .bind(body.map_err(|e| sqlx::Error::Encode(Box::new(e)))?)
                .bind(key)
                .execute(&mut self.connection)
                .await?;
        }
        Ok(())
    }

    /// Moves the sums of a caller to the row of all others.
    async fn move_to_others(&mut self, table: &str, of: &[i64; 5]) -> Result<(), sqlx::Error> {
        let theirs = "series >= $1 and series < $2 and caller >= 0 and ((caller >> $3) & $4) = $5";
        let statement = format!(
            "insert into {table} (start, series, caller, {SPLIT_COLUMNS}) \
             select start, series, {}, {} from {table} where {theirs} group by start, series \
             on conflict (start, series, caller) do update set {}",
            Caller::OTHER.0,
            summed(SPLIT_COLUMNS),
            added(SPLIT_COLUMNS),
        );
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for number in of {
            query = query.bind(*number);
        }
        query.execute(&mut self.connection).await?;
        let statement = format!("delete from {table} where {theirs}");
        self.delete("sums of the caller, moved to all others", &statement, of, None).await
    }

    /// Moves what a network or subject behind gateways used to those beyond the number kept apart.
    async fn move_gateway_to_others(
        &mut self,
        series: &[i64; 2],
        id: i64,
    ) -> Result<(), sqlx::Error> {
        let theirs = "series >= $1 and series < $2 and (network = $3 or subject = $3)";
        let statement = format!(
            "insert into gateway_caller (start, series, gateway, network, subject, {AMOUNT_COLUMNS}) \
             select start, series, gateway, {OTHER}, {OTHER}, {} from gateway_caller where {theirs} \
             group by start, series, gateway \
             on conflict (start, series, gateway, network, subject) do update set {}",
            summed(AMOUNT_COLUMNS),
            added(AMOUNT_COLUMNS),
        );
        let [first, end] = *series;
        sqlx::query(AssertSqlSafe(statement))
            .bind(first)
            .bind(end)
            .bind(id)
            .execute(&mut self.connection)
            .await?;
        let statement = format!("delete from gateway_caller where {theirs}");
        self.delete("sums of the caller, moved to all others", &statement, &[first, end, id], None)
            .await
    }

    /// Forgets the names of callers that nothing refers to any more.
    async fn forget_unused(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query(
            "create temp table used (account integer, id integer, primary key (account, id)) \
             without rowid",
        )
        .execute(&mut self.connection)
        .await?;
        for table in ROLLUPS {
            for (shift, mask) in [Caller::NETWORK, (0, i64::from(u32::MAX))] {
                let statement = format!(
                    "insert or ignore into used select distinct series >> 32, (caller >> $1) & $2 \
                     from {table} where caller >= 0"
                );
                sqlx::query(AssertSqlSafe(statement))
                    .bind(shift)
                    .bind(mask)
                    .execute(&mut self.connection)
                    .await?;
            }
        }
        for column in ["network", "subject"] {
            let statement = format!(
                "insert or ignore into used select distinct series >> 32, {column} from gateway_caller"
            );
            sqlx::query(AssertSqlSafe(statement)).execute(&mut self.connection).await?;
        }
        let blobs = sqlx::query("select account, form, body from call_rows")
            .fetch_all(&mut self.connection)
            .await?;
        for blob in blobs {
            let account: i64 = blob.try_get(0)?;
            let body: Vec<u8> = blob.try_get(2)?;
            for (_, row) in join::read_rows(blob.try_get(1)?, &body) {
                sqlx::query("insert or ignore into used values ($1, $2), ($1, $3)")
                    .bind(account)
                    .bind(row.network)
                    .bind(row.identity)
                    .execute(&mut self.connection)
                    .await?;
            }
        }
        let kinds = [NameKind::Network, NameKind::Identity, NameKind::Subject];
        let kinds = kinds.map(|kind| i64::from(kind as u8));
        let forget = "update name set text = '' where kind in ($1, $2, $3) and text <> '' and \
            not exists (select 1 from used where used.account = name.account and used.id = name.id)";
        self.delete("names", forget, &kinds, None).await?;
        sqlx::query("drop table used").execute(&mut self.connection).await?;
        Ok(())
    }
}

fn in_use(path: &Path, source: sqlx::Error) -> StoreError {
    if is_busy(&source) {
        let reason = "another process uses it: stop it first".to_owned();
        return StoreError::Refused { path: path.to_owned(), reason };
    }
    sql_error(path, source)
}

fn summed(columns: &str) -> String {
    let sums = columns.split(", ").map(|column| format!("sum({})", column.trim()));
    sums.collect::<Vec<_>>().join(", ")
}

fn added(columns: &str) -> String {
    let sums = columns.split(", ").map(|column| {
        let column = column.trim();
        format!("{column} = {column} + excluded.{column}")
    });
    sums.collect::<Vec<_>>().join(", ")
}
