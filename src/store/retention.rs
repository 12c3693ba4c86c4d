//! How long sums are kept, and what goes when the database comes near its limit.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::privacy::CallerSettings;
use super::{Store, StoreError};
use crate::engine::shed::Shed;
use crate::event::Storage;
use crate::time::Minute;

/// Minutes kept in the rollups: 48 hours by minute, 28 days by five minutes, 13 months by hour; and of
/// versions of resources, after their end.
const KEEP_MINUTES: [(&str, i64); 7] = [
    ("delete from rollup_minute where start < $1", 48 * 60),
    ("delete from rollup_five where start < $1", 28 * 24 * 60),
    ("delete from rollup_hour where start < $1", 396 * 24 * 60),
    ("delete from spend_hour where start < $1", 396 * 24 * 60),
    ("delete from gateway_caller where start < $1", 396 * 24 * 60),
    ("delete from gateway_hour where start < $1", 396 * 24 * 60),
    ("delete from resource_version where until_ms < $1 * 60000", 396 * 24 * 60),
];
/// Steps between two looks at the size: a minute, where a step comes every second.
const STEPS_BETWEEN: u32 = 60;

/// What a database may hold.
#[derive(Debug, Clone, Default)]
pub struct StoreSettings {
    /// What stays of callers, and when.
    pub callers: CallerSettings,
    /// Bytes it may use before callers' detail goes; `None` for no limit.
    pub max_bytes: Option<u64>,
}

/// The limit of a database, and what was done for it.
#[derive(Debug, Default)]
pub(super) struct Limit {
    pub(super) settings: StoreSettings,
    pub(super) forgotten: Vec<(u32, u32)>,
    steps: u32,
    removed: [u64; 3],
}

impl Limit {
    /// Notes what a commit removed: by minute, five minutes and hour. Where something went, the next
    /// step measures again.
    pub(super) fn note(&mut self, removed: [u64; 3]) {
        for (sum, more) in self.removed.iter_mut().zip(removed) {
            *sum = sum.saturating_add(more);
        }
        if removed != [0; 3] {
            self.steps = 0;
        }
    }
}

impl Store {
    /// Holds the database to these settings.
    #[must_use]
    pub fn with(mut self, settings: &StoreSettings) -> Self {
        self.limit.settings = settings.clone();
        self
    }

    /// Names forgotten since the last call, by account and number, for the engine to forget too.
    pub fn take_forgotten(&mut self) -> Vec<(u32, u32)> {
        std::mem::take(&mut self.limit.forgotten)
    }

    /// How full the database is, every so often; `None` in between and without a limit. Once for
    /// each step: the answer belongs into its batch.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn measured(&mut self) -> Result<Option<Storage>, StoreError> {
        let Some(limit) = self.limit.settings.max_bytes else { return Ok(None) };
        let due = self.limit.steps == 0;
        self.limit.steps = if due { STEPS_BETWEEN } else { self.limit.steps - 1 };
        if !due {
            return Ok(None);
        }
        let mut connection = self.writer().await?;
        let pages = used_bytes(&mut connection).await;
        self.writer = Some(connection);
        let pages = pages.map_err(|source| self.sql_error(source))?;
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let log = std::fs::metadata(log).map_or(0, |log| log.len());
        Ok(Some(Storage { used: pages.saturating_add(log), limit, removed: self.limit.removed }))
    }
}

/// Bytes of the pages in use. Free ones are filled again before the file grows, so they are room.
async fn used_bytes(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let row = sqlx::query(
        "select (select page_count from pragma_page_count), \
         (select freelist_count from pragma_freelist_count), (select page_size from pragma_page_size)",
    )
    .fetch_one(&mut *connection)
    .await?;
    let number = |place: usize| -> Result<u64, sqlx::Error> {
        Ok(u64::try_from(row.try_get::<i64, _>(place)?).unwrap_or(0))
    };
    Ok(number(0)?.saturating_sub(number(1)?).saturating_mul(number(2)?))
}

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

/// Removes the oldest hour of callers' rows that may go, and says how many rows went by minute, five
/// minutes and hour. Whole hours: what is left by minute begins where hours take over
/// (see `load::networks`).
pub(super) async fn shed(
    connection: &mut SqliteConnection,
    shed: &Shed,
) -> Result<[u64; 3], sqlx::Error> {
    let mut removed = [0; 3];
    let tables = [
        (
            "select min(start) from rollup_minute where caller <> -1 and start < $1",
            &["delete from rollup_minute where caller <> -1 and start >= $1 and start < $2"][..],
            shed.minutes,
        ),
        (
            "select min(start) from rollup_five where caller <> -1 and start < $1",
            &["delete from rollup_five where caller <> -1 and start >= $1 and start < $2"],
            shed.fives,
        ),
        (
            "select min(start) from rollup_hour where caller <> -1 and start < $1",
            &[
                "delete from rollup_hour where caller <> -1 and start >= $1 and start < $2",
                "delete from gateway_caller where start >= $1 and start < $2",
            ],
            shed.hours,
        ),
    ];
    for ((oldest, deletes, before), removed) in tables.into_iter().zip(&mut removed) {
        let before = before.window(60).start;
        let row = sqlx::query(oldest).bind(before.0).fetch_one(&mut *connection).await?;
        let Some(oldest) = row.try_get::<Option<i64>, _>(0)? else { continue };
        let hour = Minute(oldest).window(60);
        for delete in deletes {
            let done = sqlx::query(*delete)
                .bind(hour.start.0)
                .bind(hour.end().0)
                .execute(&mut *connection)
                .await?;
            *removed += done.rows_affected();
        }
        break;
    }
    Ok(removed)
}
