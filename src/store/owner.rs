//! Whose database it is: every process that opens it to write gets the next epoch, and fences all
//! before it.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::commit::Failed;
use super::{Store, StoreError};

impl Store {
    /// Asks whether the database is still ours, for when there is nothing to save.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when another process owns it; else what SQLite says.
    pub async fn check_owner(&mut self) -> Result<(), StoreError> {
        let mut connection = self.writer().await?;
        match check_owner(&mut connection, self.epoch).await {
            Ok(()) => {
                self.writer = Some(connection);
                Ok(())
            }
            Err(failed) => Err(self.give_up(connection, failed).await),
        }
    }
}

/// Gives the process the next epoch, and a new database its lineage.
pub(super) async fn take_ownership(
    connection: &mut SqliteConnection,
) -> Result<(i64, String), sqlx::Error> {
    sqlx::query("begin immediate").execute(&mut *connection).await?;
    let taken = fence(connection).await?;
    sqlx::query("commit").execute(&mut *connection).await?;
    Ok(taken)
}

/// The same within a transaction: from its end on every earlier owner is fenced.
pub(super) async fn fence(connection: &mut SqliteConnection) -> Result<(i64, String), sqlx::Error> {
    sqlx::query(
        "insert into meta (key, value) values ('lineage', lower(hex(randomblob(8)))), ('epoch', '0') \
         on conflict (key) do nothing",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query("update meta set value = cast(value as integer) + 1 where key = 'epoch'")
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "update partition_state set epoch = (select cast(value as integer) from meta where key = 'epoch')",
    )
    .execute(&mut *connection)
    .await?;
    let epoch = sqlx::query("select cast(value as integer) from meta where key = 'epoch'")
        .fetch_one(&mut *connection)
        .await?;
    let lineage = sqlx::query("select value from meta where key = 'lineage'")
        .fetch_one(&mut *connection)
        .await?;
    Ok((epoch.try_get(0)?, lineage.try_get(0)?))
}

/// Without positions to compare, the epoch alone says whose database it is.
pub(super) async fn check_owner(
    connection: &mut SqliteConnection,
    epoch: i64,
) -> Result<(), Failed> {
    let ours =
        sqlx::query("select 1 from meta where key = 'epoch' and cast(value as integer) = $1")
            .bind(epoch)
            .fetch_optional(&mut *connection)
            .await?;
    ours.map(drop).ok_or_else(|| Failed::Fenced("none read yet".to_owned()))
}
