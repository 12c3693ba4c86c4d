//! The database: one writer, one transaction per step, and the only truth about positions.

pub mod budgets;
pub mod callers;
pub mod commit;
pub mod condition;
mod control;
mod digest;
pub mod estimates;
pub mod gateway;
pub mod honesty;
pub mod life;
pub mod load;
pub mod outbox;
mod owner;
pub mod privacy;
pub mod provisioned;
pub mod purge;
pub mod read;
pub mod report;
mod respond;
mod retention;
mod score;
mod sql;

pub use retention::StoreSettings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Any error of the engine; the connection is thrown away.
    #[error("database {path}: {source}", path = path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// Another process holds the write lock.
    #[error(
        "database {path} is locked by another process: stop it, or give each its own file",
        path = path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// What was asked for cannot be done, for a reason that a person can mend.
    #[error("database {path}: {reason}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// A newer program made it.
    #[error(
        "database {path} was made by a newer tokenwatch (schema {schema}): use that version, or \
         another file",
        path = path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        schema: i64,
    },
    /// The file lies where SQLite cannot lock it.
    #[error(
        "database {path} lies on a network share ({kind}), where SQLite loses data: use a local disk",
        path = path.display()
    )]
    NetworkShare {
        /// The file.
        path: PathBuf,
        /// File system type.
        kind: String,
    },
    /// The directory is missing or the file is no database.
    #[error("cannot open database {path}: {reason}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another process has taken over: its positions are not ours.
    #[error(
        "lost the database to another owner (partition {partition}): this process must end, \
         the other goes on"
    )]
    Fenced {
        /// First partition whose position was not ours.
        partition: String,
    },
    /// A stored value cannot be read.
    #[error("database {path}: {what} cannot be read", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What.
        what: String,
    },
}

/// The database of one process.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    writer: Option<SqliteConnection>,
    limit: retention::Limit,
    /// Grows with every process that opens the database to write; also the receivers' owner level.
    pub epoch: i64,
    /// Random id given at creation.
    pub lineage: String,
}

/// How long a write waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Rows that SQLite's thread may be ahead of the reader: a start reads millions, and a switch between the two
/// for every few of them takes longer than the rows.
const ROWS_AHEAD: usize = 1_000;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

impl Store {
    /// Opens or creates the database at `path` and takes ownership: every earlier owner is fenced.
    ///
    /// # Errors
    /// Locked, newer, damaged, on a network share, or not to be created.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        refuse_network_share(path)?;
        let mut store = Self {
            path: path.to_owned(),
            writer: None,
            limit: retention::Limit::default(),
            epoch: 0,
            lineage: String::new(),
        };
        let mut connection = store.connect().await?;
        migrate(path, &mut connection).await?;
        let (epoch, lineage) = owner::take_ownership(&mut connection)
            .await
            .map_err(|source| store.sql_error(source))?;
        store.epoch = epoch;
        store.lineage = lineage;
        store.writer = Some(connection);
        Ok(store)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn options(path: &Path) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .row_buffer_size(ROWS_AHEAD)
            .disable_statement_logging()
    }

    async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        let options = Self::options(&self.path);
        let connected = SqliteConnection::connect_with(&options).await;
        connected.map_err(|source| open_error(&self.path, &source))
    }

    /// The writer's connection, a new one after an error.
    async fn writer(&mut self) -> Result<SqliteConnection, StoreError> {
        match self.writer.take() {
            Some(connection) => Ok(connection),
            None => self.connect().await,
        }
    }

    fn sql_error(&self, source: sqlx::Error) -> StoreError {
        sql_error(&self.path, source)
    }

    /// Closes the connection and folds the log into the database.
    ///
    /// # Errors
    /// What SQLite says; everything committed is safe all the same.
    pub async fn close(mut self) -> Result<(), StoreError> {
        if let Some(connection) = self.writer.take() {
            connection.close().await.map_err(|source| sql_error(&self.path, source))?;
        }
        Ok(())
    }
}

fn sql_error(path: &Path, source: sqlx::Error) -> StoreError {
    if is_busy(&source) {
        return StoreError::Locked { path: path.to_owned() };
    }
    StoreError::Sql { path: path.to_owned(), source }
}

/// `SQLITE_BUSY` (5) and its extended codes.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xFF == 5)
}

fn open_error(path: &Path, source: &sqlx::Error) -> StoreError {
    if is_busy(source) {
        return StoreError::Locked { path: path.to_owned() };
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let reason = match parent.filter(|parent| !parent.is_dir()) {
        Some(parent) => format!("the folder {} does not exist", parent.display()),
        None if path.is_dir() => "it is a folder".to_owned(),
        None => source.to_string(),
    };
    StoreError::Open { path: path.to_owned(), reason }
}

async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    use sqlx::migrate::MigrateError;
    match MIGRATIONS.run(connection).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(schema) | MigrateError::VersionTooNew(schema, _)) => {
            Err(StoreError::NewerSchema { path: path.to_owned(), schema })
        }
        Err(MigrateError::Execute(source)) => Err(open_error(path, &source)),
        Err(other) => Err(StoreError::Open { path: path.to_owned(), reason: other.to_string() }),
    }
}

/// File systems on which SQLite's locks do not hold.
const NETWORK_FILE_SYSTEMS: [&str; 8] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "fuse.azurefiles"];

fn refuse_network_share(path: &Path) -> Result<(), StoreError> {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mounts") else { return Ok(()) };
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let Ok(folder) = folder.canonicalize() else { return Ok(()) };
    match network_mount(&mounts, &folder) {
        Some(kind) => Err(StoreError::NetworkShare { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

/// The type of the file system that holds `folder`, if it is a network one.
fn network_mount(mounts: &str, folder: &Path) -> Option<String> {
    let entries = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let at = words.next()?.replace("\\040", " ");
        Some((at, words.next()?))
    });
    let held = entries.filter(|(at, _)| folder.starts_with(at)).max_by_key(|(at, _)| at.len());
    let (_, kind) = held?;
    NETWORK_FILE_SYSTEMS.contains(&kind).then(|| kind.to_owned())
}

#[cfg(test)]
mod tests;
