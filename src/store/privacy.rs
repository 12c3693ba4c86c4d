//! Old rows of callers in a reduced form: without identities, or under keyed hashes.
//!
//! Once a day of event time, in the transaction of a step, rows older than their days move to the row
//! of their reduced caller, where sums meet. Names that no row refers to any more are forgotten, and
//! the table of names is written anew over zeroed pages. Numbers of forgotten names stay taken, by an
//! empty text.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::sql::{AMOUNT_COLUMNS, SPLIT_COLUMNS, add_splits, add_sums, series_parts, split_at};
use crate::aggregate::join;
use crate::aggregate::names::{NONE, NameKind, OTHER, REDUCED};
use crate::aggregate::rollup::{AMOUNT_FIELDS, Caller, Split};
use crate::detect::series::Slot;
use crate::engine::effects::Effects;

/// What is kept of callers beyond their days.
#[derive(Debug, Clone, Default)]
pub enum Privacy {
    /// Network and identity.
    #[default]
    Full,
    /// The network alone.
    Prefix,
    /// Hashes of network and identity under this key: equal for equal callers.
    Hmac(SecretString),
}

/// How long callers are kept as they are, and what stays of them.
#[derive(Debug, Clone)]
pub struct CallerSettings {
    /// What stays.
    pub privacy: Privacy,
    /// Days of event time they are kept as they are.
    pub keep_days: i64,
}

impl Default for CallerSettings {
    fn default() -> Self {
        Self { privacy: Privacy::Full, keep_days: 30 }
    }
}

impl Privacy {
    /// The word in the configuration and in the database.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Prefix => "prefix",
            Self::Hmac(_) => "hmac",
        }
    }

    /// The reduced numbers of a network and an identity (or the subject of a gateway).
    const fn reduced(&self, network: u32, identity: u32) -> (u32, u32) {
        match self {
            Self::Full => (network, identity),
            // That there was somebody stays: nobody at all would read as a key.
            Self::Prefix => (network, if identity == NONE { NONE } else { OTHER }),
            Self::Hmac(_) => (hashed(network), hashed(identity)),
        }
    }

    fn caller(&self, caller: Caller) -> Caller {
        let Some(parts) = caller.parts() else { return caller };
        let (network, identity) = self.reduced(parts.network, parts.identity);
        Caller::new(network, identity, parts.operation)
    }
}

/// The number of the hash of a name; the reserved numbers name nobody.
const fn hashed(number: u32) -> u32 {
    if number == NONE || number == OTHER { number } else { number | REDUCED }
}

/// Minutes in a day.
const DAY: i64 = 24 * 60;
/// The grains of the rollups.
const ROLLUPS: [&str; 3] = ["rollup_minute", "rollup_five", "rollup_hour"];
/// Characters of a hash that are kept: 128 bits, so that two callers never meet.
const HASH_CHARS: usize = 32;

/// Before a transaction: where callers are reduced, whatever is deleted is overwritten.
pub(super) async fn prepare(
    connection: &mut SqliteConnection,
    settings: &CallerSettings,
) -> Result<(), sqlx::Error> {
    if matches!(settings.privacy, Privacy::Full) {
        return Ok(());
    }
    sqlx::query("pragma secure_delete = on").execute(&mut *connection).await.map(drop)
}

/// Reduces what has become old with this step; the names that were forgotten, by account and number.
pub(super) async fn reduce(
    connection: &mut SqliteConnection,
    settings: &CallerSettings,
    effects: &Effects,
) -> Result<Vec<(u32, u32)>, sqlx::Error> {
    let privacy = &settings.privacy;
    if matches!(privacy, Privacy::Full) {
        return Ok(Vec::new());
    }
    let known = sqlx::query("select until from reduced where privacy = $1")
        .bind(privacy.word())
        .fetch_optional(&mut *connection)
        .await?;
    let known: Option<i64> = known.map(|row| row.try_get(0)).transpose()?;
    let minutes = effects.accounts.values().flat_map(|saved| saved.deltas.minutes.keys());
    // A backfill may bring rows from before what is reduced.
    let oldest = minutes.map(|key| key.minute.0).min().unwrap_or(i64::MAX);
    let from = known.map(|known| known.min(oldest.div_euclid(DAY) * DAY));
    let clocks = effects.accounts.values().filter_map(|saved| saved.clock);
    let now = clocks.map(|clock| Slot(clock.judged_to).start().0).max();
    let until = now.map(|now| (now.div_euclid(DAY) - settings.keep_days) * DAY);
    match (from, until) {
        (Some(from), Some(until)) if until <= from => remember(connection, privacy, from).await?,
        (None, None) => {}
        (Some(from), None) if Some(from) == known => {}
        (Some(from), None) => remember(connection, privacy, from).await?,
        (from, Some(until)) => {
            if move_rows(connection, privacy, (from, until)).await? {
                remember(connection, privacy, until).await?;
                return forget_unused(connection, privacy).await;
            }
            remember(connection, privacy, until).await?;
        }
    }
    Ok(Vec::new())
}

async fn remember(
    connection: &mut SqliteConnection,
    privacy: &Privacy,
    until: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into reduced (privacy, until) values ($1, $2) \
         on conflict (privacy) do update set until = excluded.until where until <> excluded.until",
    )
    .bind(privacy.word())
    .bind(until)
    .execute(&mut *connection)
    .await
    .map(drop)
}

/// Moves the rows of these minutes to their reduced callers, a day at a time; true when any moved.
async fn move_rows(
    connection: &mut SqliteConnection,
    privacy: &Privacy,
    (from, until): (Option<i64>, i64),
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("select min(start) from rollup_hour").fetch_one(&mut *connection).await?;
    let first =
        row.try_get::<Option<i64>, _>(0)?.map_or(until, |first| first.div_euclid(DAY) * DAY);
    let mut day = from.map_or(first, |from| from.max(first));
    let mut named: BTreeSet<(u32, u32)> = BTreeSet::new();
    let mut moved = false;
    while day < until {
        for table in ROLLUPS {
            moved |= move_rollup(connection, privacy, (table, day), &mut named).await?;
        }
        moved |= move_gateway(connection, privacy, day, &mut named).await?;
        day += DAY;
    }
    if let Privacy::Hmac(key) = privacy {
        name_hashes(connection, key, &named).await?;
    }
    Ok(moved)
}

async fn move_rollup(
    connection: &mut SqliteConnection,
    privacy: &Privacy,
    (table, day): (&'static str, i64),
    named: &mut BTreeSet<(u32, u32)>,
) -> Result<bool, sqlx::Error> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select start, series, caller, {SPLIT_COLUMNS} from {table} \
         where caller >= 0 and start >= $1 and start < $2"
    )))
    .bind(day)
    .bind(day + DAY)
    .fetch_all(&mut *connection)
    .await?;
    let mut sums: BTreeMap<[i64; 3], Split> = BTreeMap::new();
    for row in rows {
        let (start, series): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let caller = Caller(row.try_get(2)?);
        let reduced = privacy.caller(caller);
        if reduced == caller {
            continue;
        }
        let (account, _) = series_parts(series);
        if let Some(parts) = caller.parts() {
            named.extend([(account, parts.network), (account, parts.identity)]);
        }
        let sum = sums.entry([start, series, reduced.0]).or_default();
        *sum = sum.merged(split_at(&row, 3)?);
        let statement =
            format!("delete from {table} where start = $1 and series = $2 and caller = $3");
        sqlx::query(AssertSqlSafe(statement))
            .bind(start)
            .bind(series)
            .bind(caller.0)
            .execute(&mut *connection)
            .await?;
    }
    let sums: Vec<_> = sums.into_iter().map(|(key, split)| (key.to_vec(), split)).collect();
    add_splits(connection, table, "start, series, caller", &sums).await?;
    Ok(!sums.is_empty())
}

async fn move_gateway(
    connection: &mut SqliteConnection,
    privacy: &Privacy,
    day: i64,
    named: &mut BTreeSet<(u32, u32)>,
) -> Result<bool, sqlx::Error> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select start, series, gateway, network, subject, {AMOUNT_COLUMNS} from gateway_caller \
         where start >= $1 and start < $2"
    )))
    .bind(day)
    .bind(day + DAY)
    .fetch_all(&mut *connection)
    .await?;
    let mut sums = Vec::new();
    for row in rows {
        let (network, subject): (u32, u32) = (row.try_get(3)?, row.try_get(4)?);
        let reduced = privacy.reduced(network, subject);
        if reduced == (network, subject) {
            continue;
        }
        let mut values = Vec::with_capacity(5 + AMOUNT_FIELDS);
        for place in 0..5 + AMOUNT_FIELDS {
            values.push(row.try_get::<i64, _>(place)?);
        }
        let (account, _) = series_parts(row.try_get(1)?);
        named.extend([(account, network), (account, subject)]);
        sqlx::query(
            "delete from gateway_caller where start = $1 and series = $2 and gateway = $3 \
             and network = $4 and subject = $5",
        )
        .bind(row.try_get::<i64, _>(0)?)
        .bind(row.try_get::<i64, _>(1)?)
        .bind(row.try_get::<i64, _>(2)?)
        .bind(network)
        .bind(subject)
        .execute(&mut *connection)
        .await?;
        for (place, number) in [(3, reduced.0), (4, reduced.1)] {
            if let Some(value) = values.get_mut(place) {
                *value = i64::from(number);
            }
        }
        sums.push(values);
    }
    for row in &sums {
        // One by one: two rows of one statement may not meet.
        let keys = "start, series, gateway, network, subject";
        add_sums(connection, "gateway_caller", (keys, AMOUNT_COLUMNS), std::slice::from_ref(row))
            .await?;
    }
    Ok(!sums.is_empty())
}

/// Gives the hashes of these names their own.
async fn name_hashes(
    connection: &mut SqliteConnection,
    key: &SecretString,
    named: &BTreeSet<(u32, u32)>,
) -> Result<(), sqlx::Error> {
    for (account, number) in named.iter().filter(|(_, number)| hashed(*number) != *number) {
        let row = sqlx::query("select kind, text from name where account = $1 and id = $2")
            .bind(account)
            .bind(number)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(row) = row else { continue };
        let (kind, text): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        if text.is_empty() {
            continue;
        }
        sqlx::query(
            "insert into name (account, id, kind, text) values ($1, $2, $3, $4) \
             on conflict do nothing",
        )
        .bind(account)
        .bind(hashed(*number))
        .bind(kind)
        .bind(hash(key, kind, &text))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The hash of a name under a key, apart from equal texts of another kind.
fn hash(key: &SecretString, kind: i64, text: &str) -> String {
    // A key of any length is one.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()) else {
        return String::new();
    };
    mac.update(&kind.to_le_bytes());
    mac.update(text.as_bytes());
    let bytes = mac.finalize().into_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("hmac:{}", hex.get(..HASH_CHARS).unwrap_or_default())
}

/// Forgets the names of callers that nothing refers to, and writes the table of names anew.
async fn forget_unused(
    connection: &mut SqliteConnection,
    privacy: &Privacy,
) -> Result<Vec<(u32, u32)>, sqlx::Error> {
    let used = used(connection).await?;
    let kinds: &[NameKind] = match privacy {
        Privacy::Full => &[],
        Privacy::Prefix => &[NameKind::Identity, NameKind::Subject],
        Privacy::Hmac(_) => &[NameKind::Network, NameKind::Identity, NameKind::Subject],
    };
    let mut forgotten = Vec::new();
    for kind in kinds {
        let rows = sqlx::query("select account, id from name where kind = $1 and text <> ''")
            .bind(i64::from(*kind as u8))
            .fetch_all(&mut *connection)
            .await?;
        for row in rows {
            let name: (u32, u32) = (row.try_get(0)?, row.try_get(1)?);
            if !used.contains(&name) {
                forgotten.push(name);
            }
        }
    }
    if forgotten.is_empty() {
        return Ok(forgotten);
    }
    for (account, number) in &forgotten {
        sqlx::query("update name set text = '' where account = $1 and id = $2")
            .bind(account)
            .bind(number)
            .execute(&mut *connection)
            .await?;
    }
    // Cells that once moved from page to page may have left copies: every page is zeroed as it goes
    // (see `prepare`).
    for statement in [
        "create table name_again as select account, id, kind, text from name",
        "delete from name",
        "insert into name (account, id, kind, text) select account, id, kind, text from name_again",
        "drop table name_again",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(forgotten)
}

/// Every name of a caller that a row refers to, by account and number.
async fn used(connection: &mut SqliteConnection) -> Result<BTreeSet<(u32, u32)>, sqlx::Error> {
    let mut used = BTreeSet::new();
    for table in ROLLUPS {
        let statement =
            format!("select distinct series >> 32, caller from {table} where caller >= 0");
        for row in sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut *connection).await? {
            let account: u32 = row.try_get(0)?;
            if let Some(parts) = Caller(row.try_get(1)?).parts() {
                used.extend([(account, parts.network), (account, parts.identity)]);
            }
        }
    }
    let rows = sqlx::query("select distinct series >> 32, network, subject from gateway_caller")
        .fetch_all(&mut *connection)
        .await?;
    for row in rows {
        let account: u32 = row.try_get(0)?;
        used.extend([(account, row.try_get(1)?), (account, row.try_get(2)?)]);
    }
    // Calls that may still change name their callers by number too.
    for row in
        sqlx::query("select account, form, body from call_rows").fetch_all(&mut *connection).await?
    {
        let account: u32 = row.try_get(0)?;
        let body: Vec<u8> = row.try_get(2)?;
        for (_, facts) in join::read_rows(row.try_get(1)?, &body) {
            used.extend([(account, facts.network), (account, facts.identity)]);
        }
    }
    Ok(used)
}

/// Every forgotten name, for when it is not known which of them a lost answer told.
pub(super) async fn forgotten(
    connection: &mut SqliteConnection,
) -> Result<Vec<(u32, u32)>, sqlx::Error> {
    let rows = sqlx::query("select account, id from name where text = '' and id < $1")
        .bind(REDUCED)
        .fetch_all(&mut *connection)
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::operation::Operation;

    #[test]
    fn a_hash_is_that_of_its_key_and_kind() {
        let key = |text: &str| SecretString::from(text.to_owned());
        let one = hash(&key("a"), 2, "203.0.113.0/24");
        assert_eq!(one, hash(&key("a"), 2, "203.0.113.0/24"));
        assert_eq!(one.len(), "hmac:".len() + HASH_CHARS);
        for other in [
            hash(&key("b"), 2, "203.0.113.0/24"),
            hash(&key("a"), 3, "203.0.113.0/24"),
            hash(&key("a"), 2, "203.0.114.0/24"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_reduced_caller_keeps_what_was_asked_for() {
        let caller = Caller::new(7, 9, Operation::Untold);
        let parts = |privacy: Privacy, caller: Caller| {
            privacy.caller(caller).parts().map(|parts| (parts.network, parts.identity))
        };
        let hmac = || Privacy::Hmac(SecretString::from("k"));
        assert_eq!(parts(Privacy::Full, caller), Some((7, 9)));
        assert_eq!(parts(Privacy::Prefix, caller), Some((7, OTHER)));
        let by_key = Caller::new(7, NONE, Operation::Chat);
        assert_eq!(Privacy::Prefix.caller(by_key), by_key);
        assert_eq!(parts(hmac(), caller), Some((7 | REDUCED, 9 | REDUCED)));
        assert_eq!(hmac().caller(hmac().caller(caller)), hmac().caller(caller));
        let nobody = Caller::new(NONE, OTHER, Operation::Untold);
        assert_eq!(parts(hmac(), nobody), Some((NONE, OTHER)));
        assert_eq!(hmac().caller(Caller::OTHER), Caller::OTHER);
    }
}
