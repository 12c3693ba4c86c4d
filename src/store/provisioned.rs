//! Reading how far provisioned throughput is used, where metrics by REST tell it.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::StoreError;
use super::read::Reader;
use crate::aggregate::metrics::Quantity;

/// Use of one deployment's provisioned throughput over the two days that points are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionedUse {
    /// Resource id of the account, lower case.
    pub account: String,
    /// Deployment; empty for the account as a whole.
    pub deployment: String,
    /// Minutes with a point. A minute without one is not zero.
    pub minutes: i64,
    /// Mean of their means, in hundredths of a percent.
    pub mean: i64,
    /// The highest of their means, in hundredths of a percent; above 10,000 calls are refused.
    pub highest: i64,
}

impl Reader {
    /// Use of provisioned throughput by account and deployment, in order.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn provisioned_use(&mut self) -> Result<Vec<ProvisionedUse>, StoreError> {
        let rows = sqlx::query(
            "select a.resource, coalesce(d.text, ''), count(*), \
             cast(round(avg(p.value)) as integer), max(p.value) \
             from metric_point p join account a on a.id = p.series >> 32 \
             left join name d on d.account = a.id and d.id = p.series & 4294967295 \
             where p.quantity = $1 group by 1, 2 order by 1, 2",
        )
        .bind(Quantity::Utilization as i64)
        .fetch_all(self.connection())
        .await;
        let read = |row: &SqliteRow| {
            Ok(ProvisionedUse {
                account: row.try_get(0)?,
                deployment: row.try_get(1)?,
                minutes: row.try_get(2)?,
                mean: row.try_get(3)?,
                highest: row.try_get(4)?,
            })
        };
        let read = rows.and_then(|rows| rows.iter().map(read).collect());
        read.map_err(|source| self.error(source))
    }
}
