//! Reading callers: who used what, with the identity that may be told of them.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::StoreError;
use super::read::{Reader, short};
use super::sql::{SPLIT_COLUMNS, series_parts, split_at};
use crate::aggregate::names::{KEY_TEXT, NONE, OTHER, OTHER_TEXT};
use crate::aggregate::rollup::{Amount, Caller};
use crate::time::MINUTE_MS;

/// What one caller used of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerTotal {
    /// Account name, lower case.
    pub account: String,
    /// Deployment, lower case; empty when no record named one.
    pub deployment: String,
    /// Network, such as `203.0.113.0/24`; empty when no record named one.
    pub network: String,
    /// Whose calls they are.
    pub identity: Identity,
    /// What was asked for; empty when no record said it.
    pub operation: &'static str,
    /// The sums.
    pub amount: Amount,
}

/// Who made a call, as far as records say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// An Entra object id.
    Object(String),
    /// A key: every row of these successful calls lacks an identity, and no more rows are waited for.
    Key,
    /// Not said (yet), or of calls that failed.
    Untold,
    /// Callers beyond the number that is kept apart.
    Others,
}

impl Identity {
    /// As it is shown.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Object(id) => id,
            Self::Key => KEY_TEXT,
            Self::Untold => "",
            Self::Others => OTHER_TEXT,
        }
    }
}

/// Groups of callers before they are named: account, deployment, caller, and whether the attribution
/// window of their calls has passed.
type Groups = BTreeMap<(i64, i64, bool), Amount>;

impl Reader {
    /// Callers of all time that is kept, largest first. Identities may still come for
    /// `attribution_ms` after a call.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn callers(&mut self, attribution_ms: i64) -> Result<Vec<CallerTotal>, StoreError> {
        let read = callers(self.connection(), attribution_ms).await;
        read.map_err(|source| self.error(source))
    }
}

async fn callers(
    connection: &mut SqliteConnection,
    attribution_ms: i64,
) -> Result<Vec<CallerTotal>, sqlx::Error> {
    let groups = groups(connection, attribution_ms).await?;
    let names = names(connection).await?;
    let mut totals = Vec::with_capacity(groups.len());
    for ((series, caller, is_final), amount) in groups {
        let (account, deployment) = series_parts(series);
        let text = |number: u32| match number {
            NONE => String::new(),
            OTHER => OTHER_TEXT.to_owned(),
            number => names.get(&(account, number)).cloned().unwrap_or_default(),
        };
        let parts = Caller(caller).parts();
        let identity = match parts {
            None => Identity::Others,
            Some(parts) if parts.identity != NONE => Identity::Object(text(parts.identity)),
            Some(parts) if is_final && parts.is_key(amount) => Identity::Key,
            Some(_) => Identity::Untold,
        };
        totals.push(CallerTotal {
            account: names.get(&(account, NONE)).cloned().unwrap_or_default(),
            deployment: text(deployment),
            network: parts.map_or_else(|| OTHER_TEXT.to_owned(), |parts| text(parts.network)),
            operation: parts.map_or("", |parts| parts.operation.word()),
            identity,
            amount,
        });
    }
    let key = |t: &CallerTotal| (t.account.clone(), t.deployment.clone(), t.network.clone());
    totals.sort_by_key(|t| (-t.amount.tokens(), key(t), t.identity.clone(), t.operation));
    Ok(totals)
}

/// Sums by hour where the hour is over and settled, by minute after it.
async fn groups(
    connection: &mut SqliteConnection,
    attribution_ms: i64,
) -> Result<Groups, sqlx::Error> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "with settled as (\
           select id, (coalesce(watermark_ms, 0) - $1) / {MINUTE_MS} as to_minute from account) \
         select series, caller, {SPLIT_COLUMNS}, 1 from rollup_hour \
           join settled on id = series >> 32 where caller <> -1 and start + 60 <= to_minute \
         union all select series, caller, {SPLIT_COLUMNS}, start < to_minute from rollup_minute \
           join settled on id = series >> 32 \
           where caller <> -1 and start / 60 * 60 + 60 > to_minute"
    )))
    .bind(attribution_ms)
    .fetch_all(&mut *connection)
    .await?;
    let mut groups = Groups::new();
    for row in rows {
        let key = (row.try_get(0)?, row.try_get(1)?, row.try_get(18)?);
        let sum = groups.entry(key).or_default();
        *sum = sum.plus(split_at(&row, 2)?.total());
    }
    groups.retain(|_, amount| *amount != Amount::default());
    Ok(groups)
}

/// Names by account and number; that of the account itself at [`NONE`].
pub(super) async fn names(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<(u32, u32), String>, sqlx::Error> {
    let mut names = BTreeMap::new();
    for row in sqlx::query("select account, id, text from name").fetch_all(&mut *connection).await?
    {
        names.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
    }
    for row in sqlx::query("select id, resource from account").fetch_all(&mut *connection).await? {
        names.insert((row.try_get(0)?, NONE), short(row.try_get(1)?));
    }
    Ok(names)
}
