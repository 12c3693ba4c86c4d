//! Detector states and the fleet gate: what a restart goes on from.

use std::collections::{BTreeMap, HashMap};

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::load::Accounts;
use super::sql::{series, series_parts};
use crate::detect::closing::Scores;
use crate::detect::series::{KEEP_SLOTS, Slot};
use crate::engine::effects::{AccountEffects, Effects, SavedAccount};
use crate::engine::fleet::{self, Closed, Hubs};

/// Saves what fell together, and forgets what no restart reads again.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    let mut newest: BTreeMap<&Hubs, Slot> = BTreeMap::new();
    for (hubs, slot, closed) in &effects.fleets {
        sqlx::query(
            "insert into fleet_slot (hubs, slot, complete, fleet) values ($1, $2, $3, $4) \
             on conflict (hubs, slot) do update set complete = excluded.complete, \
             fleet = excluded.fleet",
        )
        .bind(text(&hubs)?)
        .bind(slot.0)
        .bind(closed.complete)
        .bind(text(&closed.fleet)?)
        .execute(&mut *connection)
        .await?;
        let last = newest.entry(hubs).or_insert(*slot);
        *last = (*last).max(*slot);
    }
    for (hubs, slot) in newest {
        sqlx::query("delete from fleet_slot where hubs = $1 and slot < $2")
            .bind(text(&hubs)?)
            .bind(slot.0 - fleet::KEEP_SLOTS)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn text(value: &impl serde::Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// Reads it back.
pub(super) async fn load(
    connection: &mut SqliteConnection,
) -> Result<Vec<(Hubs, Slot, Closed)>, sqlx::Error> {
    let rows = sqlx::query("select hubs, slot, complete, fleet from fleet_slot")
        .fetch_all(&mut *connection)
        .await?;
    let decoded = |error| sqlx::Error::Decode(Box::new(error));
    let read = |row: &sqlx::sqlite::SqliteRow| {
        let (hubs, fleet): (String, String) = (row.try_get(0)?, row.try_get(3)?);
        let hubs: Vec<String> = serde_json::from_str(&hubs).map_err(decoded)?;
        let fleet = serde_json::from_str(&fleet).map_err(decoded)?;
        let closed = Closed { complete: row.try_get(2)?, fleet };
        Ok((hubs.into(), Slot(row.try_get(1)?), closed))
    };
    rows.iter().map(read).collect()
}

/// What detectors and rules remember.
pub(super) async fn save_states(
    connection: &mut SqliteConnection,
    account: u32,
    saved: &AccountEffects,
) -> Result<(), sqlx::Error> {
    for (deployment, body) in &saved.states {
        sqlx::query(
            "insert into series_state (series, body) values ($1, $2) \
             on conflict (series) do update set body = excluded.body",
        )
        .bind(series(account, *deployment))
        .bind(body)
        .execute(&mut *connection)
        .await?;
    }
    let conduct = "insert into conduct (account, body) values ($1, $2) \
                   on conflict (account) do update set body = excluded.body";
    let metered = "insert into metered (account, body) values ($1, $2) \
                   on conflict (account) do update set body = excluded.body";
    for (text, body) in [(conduct, &saved.conduct), (metered, &saved.metered)] {
        let Some(body) = body else { continue };
        sqlx::query(text).bind(account).bind(body).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Reads the detector states.
pub(super) async fn states(
    connection: &mut SqliteConnection,
    accounts: &mut Accounts,
) -> Result<(), sqlx::Error> {
    for row in
        sqlx::query("select series, body from series_state").fetch_all(&mut *connection).await?
    {
        let (account, deployment) = series_parts(row.try_get(0)?);
        if let Some(account) = accounts.get_mut(&account) {
            account.states.push((deployment, row.try_get(1)?));
        }
    }
    Ok(())
}

/// The first slots of an account that a restart reads.
#[derive(Debug)]
pub(super) struct FirstSlots {
    /// Of deployments of which no state is saved.
    others: i64,
    by_deployment: HashMap<u32, i64>,
}

impl FirstSlots {
    /// What windows read, and what must be shown to a state again: all that is kept where the state is of a
    /// form that is not read, or no slot has closed.
    pub(super) fn of(account: &SavedAccount) -> Self {
        const ALL: i64 = i64::MIN / 16;
        let others = account.clock.map_or(ALL, |clock| clock.judged_to - KEEP_SLOTS - 1);
        let first = |(deployment, body): &(u32, Vec<u8>)| {
            (*deployment, Scores::saved_next(body).map_or(ALL, |next| next.0).min(others))
        };
        Self { others, by_deployment: account.states.iter().map(first).collect() }
    }

    /// Of a deployment.
    pub(super) fn of_deployment(&self, deployment: u32) -> i64 {
        self.by_deployment.get(&deployment).copied().unwrap_or(self.others)
    }

    /// The first of all.
    pub(super) fn earliest(&self) -> i64 {
        self.by_deployment.values().copied().fold(self.others, i64::min)
    }
}
