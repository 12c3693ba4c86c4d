//! Callers behind gateways: what waits to be linked, what was, and reading it back.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::StoreError;
use super::callers::names;
use super::read::Reader;
use super::sql::{AMOUNT_COLUMNS, add_sums, amount_at, series, series_parts};
use crate::aggregate::gateway::{GatewayRow, LinkSpan};
use crate::aggregate::link::Share;
use crate::aggregate::names::{NONE, OTHER, OTHER_TEXT};
use crate::aggregate::rollup::Amount;
use crate::engine::effects::Effects;

/// What callers of one kind behind one gateway used of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BehindTotal {
    /// Account name, lower case.
    pub account: String,
    /// Deployment, lower case; empty when the account's rows do not name one.
    pub deployment: String,
    /// The gateway.
    pub gateway: String,
    /// Network of the gateway's caller; empty when absent.
    pub network: String,
    /// Subscription, product or user of the gateway; empty when absent.
    pub subject: String,
    /// The account's own sums of these calls.
    pub amount: Amount,
}

/// How much of a gateway's traffic to a deployment was found among the account's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayShare {
    /// Account name, lower case.
    pub account: String,
    /// Deployment; empty where neither side names one.
    pub deployment: String,
    /// The gateway.
    pub gateway: String,
    /// The counts.
    pub share: Share,
}

pub(super) async fn save(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    for (span, row) in &effects.gateways.rows {
        let body =
            serde_json::to_string(row).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        sqlx::query("insert into gateway_row (needed_until, body) values ($1, $2)")
            .bind(span.0)
            .bind(body)
            .execute(&mut *connection)
            .await?;
    }
    if let (Some(to), Some(from)) = (effects.gateways.linked_to, effects.gateways.needed_from()) {
        sqlx::query(
            "insert into meta (key, value) values ('linked_to', $1) \
             on conflict (key) do update set value = excluded.value",
        )
        .bind(to.0.to_string())
        .execute(&mut *connection)
        .await?;
        sqlx::query("delete from gateway_row where needed_until < $1")
            .bind(from.0)
            .execute(&mut *connection)
            .await?;
    }
    let (mut callers, mut shares) = (Vec::new(), Vec::new());
    for (account, saved) in &effects.accounts {
        for (key, amount) in &saved.behind.callers {
            let numbers = [key.gateway, key.network, key.subject].map(i64::from);
            let key = [key.hour.0, series(*account, key.deployment)].into_iter().chain(numbers);
            callers.push(key.chain(amount.fields()).collect());
        }
        for ((hour, deployment, gateway), share) in &saved.behind.shares {
            let key = [hour.0, series(*account, *deployment), i64::from(*gateway)];
            let counts = [share.calls, share.linked, share.ambiguous];
            shares.push(key.into_iter().chain(counts).collect());
        }
    }
    let keys = "start, series, gateway, network, subject";
    add_sums(connection, "gateway_caller", (keys, AMOUNT_COLUMNS), &callers).await?;
    let columns = ("start, series, gateway", "calls, linked, ambiguous");
    add_sums(connection, "gateway_hour", columns, &shares).await
}

pub(super) async fn load(
    connection: &mut SqliteConnection,
) -> Result<(Vec<GatewayRow>, Option<LinkSpan>), sqlx::Error> {
    let rows =
        sqlx::query("select body from gateway_row order by id").fetch_all(&mut *connection).await?;
    let read = |row: &SqliteRow| {
        let body: String = row.try_get(0)?;
        serde_json::from_str(&body).map_err(|error| sqlx::Error::Decode(Box::new(error)))
    };
    let rows = rows.iter().map(read).collect::<Result<_, _>>()?;
    let linked_to = sqlx::query("select cast(value as integer) from meta where key = 'linked_to'")
        .fetch_optional(&mut *connection)
        .await?;
    let linked_to = linked_to.map(|row| row.try_get(0)).transpose()?;
    Ok((rows, linked_to.map(LinkSpan)))
}

impl Reader {
    /// Callers behind gateways, largest first, and how much of each gateway's traffic they explain.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn behind_gateways(
        &mut self,
    ) -> Result<(Vec<BehindTotal>, Vec<GatewayShare>), StoreError> {
        let read = behind(self.connection()).await;
        read.map_err(|source| self.error(source))
    }
}

async fn behind(
    connection: &mut SqliteConnection,
) -> Result<(Vec<BehindTotal>, Vec<GatewayShare>), sqlx::Error> {
    let names = names(connection).await?;
    let account_of =
        |series: i64| names.get(&(series_parts(series).0, NONE)).cloned().unwrap_or_default();
    let text = |series: i64, number: u32| match number {
        NONE => String::new(),
        OTHER => OTHER_TEXT.to_owned(),
        number => names.get(&(series_parts(series).0, number)).cloned().unwrap_or_default(),
    };
    let mut callers: BTreeMap<(i64, [u32; 3]), Amount> = BTreeMap::new();
    for row in sqlx::query(AssertSqlSafe(format!(
        "select series, gateway, network, subject, {AMOUNT_COLUMNS} from gateway_caller"
    )))
    .fetch_all(&mut *connection)
    .await?
    {
        let key = (row.try_get(0)?, [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?]);
        let sum = callers.entry(key).or_default();
        *sum = sum.plus(amount_at(&row, 4)?);
    }
    let mut totals: Vec<_> = callers
        .into_iter()
        .map(|((series, [gateway, network, subject]), amount)| BehindTotal {
            account: account_of(series),
            deployment: text(series, series_parts(series).1),
            gateway: text(series, gateway),
            network: text(series, network),
            subject: text(series, subject),
            amount,
        })
        .collect();
    totals.sort_by_key(|total| Reverse(total.amount.tokens()));
    let rows = sqlx::query(
        "select series, gateway, sum(calls), sum(linked), sum(ambiguous) from gateway_hour \
         group by series, gateway order by series, gateway",
    )
    .fetch_all(&mut *connection)
    .await?;
    let read = |row: &SqliteRow| {
        let series = row.try_get(0)?;
        Ok(GatewayShare {
            account: account_of(series),
            deployment: text(series, series_parts(series).1),
            gateway: text(series, row.try_get(1)?),
            share: Share {
                calls: row.try_get(2)?,
                linked: row.try_get(3)?,
                ambiguous: row.try_get(4)?,
            },
        })
    };
    let shares = rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?;
    Ok((totals, shares))
}
