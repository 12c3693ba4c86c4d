//! How long sums are kept.

use sqlx::sqlite::SqliteConnection;

use crate::time::Minute;

/// Minutes kept in the rollups: 48 hours by minute, 28 days by five minutes, 13 months by hour.
const KEEP_MINUTES: [(&str, i64); 4] = [
    ("delete from rollup_minute where start < $1", 48 * 60),
    ("delete from rollup_five where start < $1", 28 * 24 * 60),
    ("delete from rollup_hour where start < $1", 396 * 24 * 60),
    ("delete from spend_hour where start < $1", 396 * 24 * 60),
];

/// Drops rollups past their retention. Key order makes this a look at the first row.
pub(super) async fn forget_old(
    connection: &mut SqliteConnection,
    now: Minute,
) -> Result<(), sqlx::Error> {
    for (statement, keep) in KEEP_MINUTES {
        sqlx::query(statement).bind(now.0 - keep).execute(&mut *connection).await?;
    }
    Ok(())
}
