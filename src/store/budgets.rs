//! What was spent on budgets: the sums that a restart puts back, and how they stand.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::load;
use super::read::Reader;
use super::sql::series_parts;
use super::{Store, StoreError};
use crate::aggregate::rollup::Caller;
use crate::days::Step;
use crate::detect::band::band;
use crate::detect::series::KEEP_HOURS;
use crate::engine::budgets::judge::Mark;
use crate::engine::budgets::ledger::HourSum;
use crate::engine::budgets::{
    Budget, BudgetEffects, Grain, SavedBudgets, Spender, Spent, Standing,
};
use crate::engine::effects::Saved;
use crate::engine::{Engine, EngineSettings, Env};
use crate::money::NanoUsd;
use crate::time::{ArrivalTime, DAY_MS, EventTime, HOUR_MS};

/// Minutes in a day.
const DAY_MIN: i64 = 24 * 60;
/// Marks are kept as long as sums by hour.
const KEEP_DAYS: i64 = 396;
/// Days of sums that [`Reader::budgets`] reads for the band of a projection.
const BAND_DAYS: i64 = 120;

/// How a budget stands, with everything a person asks of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The budget's place in the settings.
    pub place: usize,
    /// Everything before this moment is counted.
    pub at: EventTime,
    /// Spent, burn, projection and crossing.
    pub standing: Standing,
    /// What each deployment spent, largest first.
    pub spent: Vec<Spent>,
    /// What was told of in this period, and when.
    pub told: Vec<(Mark, ArrivalTime)>,
    /// Daily sums in USD before the day that runs, oldest first, for a band around the projection.
    pub days: Vec<f64>,
}

impl Status {
    /// The 80 % range of what will have been spent at the end of the period, beside the projection;
    /// `None` with too few days, or when the period is over.
    #[must_use]
    pub fn band(&self, budget: &Budget) -> Option<(NanoUsd, NanoUsd)> {
        if !self.standing.is_running() {
            return None;
        }
        let day = |hour: i64| budget.zone.day_of(EventTime(hour.saturating_mul(HOUR_MS))).ok();
        let today = day(self.standing.until_hour - 1)?;
        let begin = day(self.standing.period.from.0.div_euclid(60))?;
        let count = |from, until| Some(budget.zone.periods(Step::Day, from, until).ok()?.len());
        let over = count(begin, today)?.min(self.days.len());
        let ahead = count(today, budget.step.after(budget.step.begin(begin).ok()?).ok()?)?;
        let before: f64 = self.days.iter().rev().take(over).sum();
        let band = band(&self.days, ahead)?;
        let end = |rest: f64| NanoUsd::from_usd(before + rest).max(self.standing.spent);
        Some((end(band.low), end(band.high)))
    }
}

/// Saves what a step told of budgets, in the transaction of the step.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    effects: &BudgetEffects,
) -> Result<(), sqlx::Error> {
    for (budget, from, mark, at) in &effects.marks {
        sqlx::query(
            "insert into budget_mark (budget, from_minute, mark, told_ms) values ($1, $2, $3, $4) \
             on conflict do nothing",
        )
        .bind(budget)
        .bind(*from)
        .bind(mark.word())
        .bind(at.0)
        .execute(&mut *connection)
        .await?;
    }
    let Some(hour) = effects.closed_hour else { return Ok(()) };
    sqlx::query(
        "insert into meta (key, value) values ('budget_hour', $1) \
         on conflict (key) do update set value = excluded.value",
    )
    .bind(hour.to_string())
    .execute(&mut *connection)
    .await?;
    sqlx::query("delete from budget_mark where from_minute < $1")
        .bind(hour * 60 - KEEP_DAYS * DAY_MIN)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

impl Store {
    /// What a restart puts back of these budgets; nothing where there are none.
    ///
    /// # Errors
    /// What SQLite says, or a stored value that cannot be read.
    pub async fn load_budgets(
        &mut self,
        settings: &EngineSettings,
    ) -> Result<SavedBudgets, StoreError> {
        let mut connection = self.writer().await?;
        let loaded = saved(&mut connection, settings, None).await;
        self.writer = Some(connection);
        loaded.map_err(|source| self.sql_error(source))
    }
}

impl Reader {
    /// How every budget of the settings stands when everything known before `at` is counted (the hour
    /// that holds it with all it has), or at the end of what was read. `None` for a budget without a
    /// rate of exchange; none at all where nothing was read.
    ///
    /// # Errors
    /// What SQLite says, or a stored value that cannot be read.
    pub async fn budgets(
        &mut self,
        env: &Env,
        at: Option<EventTime>,
    ) -> Result<Vec<Option<Status>>, StoreError> {
        let covered = self.covered().await?;
        let Some(at) = at.or_else(|| covered.map(|covered| covered.until)) else {
            return Ok(Vec::new());
        };
        let read = restored(self.connection(), env, at).await;
        let (saved, told) = read.map_err(|source| self.error(source))?;
        let mut engine = Engine::restore(saved, env.clone());
        let standings = engine.standings(at);
        let statuses = (0..).zip(standings).map(|(place, found)| {
            let (standing, spent, days) = found?;
            let budget = env.settings.budgets.get(place)?;
            let from = standing.period.from.0;
            let told =
                told.iter().filter(|(name, begin, ..)| *name == budget.name && *begin == from);
            let told = told.map(|(_, _, mark, told)| (*mark, *told)).collect();
            Some(Status { place, at, standing, spent, told, days })
        });
        Ok(statuses.collect())
    }
}

/// Told marks as they are stored.
type Marks = Vec<(String, i64, Mark, ArrivalTime)>;

/// As much of the database as standings are made of.
async fn restored(
    connection: &mut SqliteConnection,
    env: &Env,
    at: EventTime,
) -> Result<(Saved, Marks), sqlx::Error> {
    // What just ends at `at` is over, as `Engine::standings` has it.
    let hour = at.0.saturating_sub(1).div_euclid(HOUR_MS);
    let mut accounts = load::accounts(connection).await?;
    load::names(connection, &mut accounts).await?;
    load::sums_by_hour(connection, &mut accounts, (hour - KEEP_HOURS) * 60).await?;
    for account in accounts.values_mut() {
        account.clock = None;
        account.hours.retain(|(_, each, _)| *each <= hour);
    }
    let mut budgets = saved(connection, &env.settings, Some(at)).await?;
    budgets.sums.retain(|(_, _, each, _)| *each <= hour);
    let marks = budgets.marks.clone();
    let accounts = accounts.into_values().collect();
    Ok((Saved { accounts, budgets, ..Saved::default() }, marks))
}

/// The sums that these budgets are made of, and what was told.
async fn saved(
    connection: &mut SqliteConnection,
    settings: &EngineSettings,
    at: Option<EventTime>,
) -> Result<SavedBudgets, sqlx::Error> {
    let mut saved = SavedBudgets::default();
    if settings.budgets.is_empty() {
        return Ok(saved);
    }
    let newest: Option<i64> = sqlx::query("select max(start) from spend_hour")
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    let days = settings.budgets.iter().map(|budget| match budget.step {
        Step::Hour | Step::Day => 3,
        Step::Week => 3 * 7,
        Step::Month => 4 * 31,
    });
    let days = days.max().unwrap_or(0).max(KEEP_HOURS / 24);
    let newest = newest.unwrap_or(i64::MIN / 2);
    let from = match at {
        None => newest - days * DAY_MIN,
        Some(at) => at.0.div_euclid(DAY_MS) * DAY_MIN - days.max(BAND_DAYS) * DAY_MIN,
    };
    let has = |grain| settings.budgets.iter().any(|budget| budget.scope.grain() == grain);
    deployments(connection, from, &mut saved).await?;
    if has(Grain::Model) {
        models(connection, from, &mut saved).await?;
    }
    if has(Grain::Caller) {
        callers(connection, from, &mut saved).await?;
    }
    for row in sqlx::query("select budget, from_minute, mark, told_ms from budget_mark")
        .fetch_all(&mut *connection)
        .await?
    {
        if let Some(mark) = Mark::from_word(&row.try_get::<String, _>(2)?) {
            let at = ArrivalTime(row.try_get(3)?);
            saved.marks.push((row.try_get(0)?, row.try_get(1)?, mark, at));
        }
    }
    let closed = sqlx::query("select cast(value as integer) from meta where key = 'budget_hour'")
        .fetch_optional(&mut *connection)
        .await?;
    saved.closed_hour = closed.map(|row| row.try_get(0)).transpose()?;
    Ok(saved)
}

async fn deployments(
    connection: &mut SqliteConnection,
    from: i64,
    saved: &mut SavedBudgets,
) -> Result<(), sqlx::Error> {
    for statement in [
        "select start, series, cost_nano, late_cost_nano, unpriced + late_unpriced, 0 \
         from rollup_hour where caller = -1 and start >= $1",
        "select start, series, 0, 0, 0, sum(untold) from spend_hour \
         where untold <> 0 and start >= $1 group by start, series",
    ] {
        let rows = sqlx::query(statement).bind(from).fetch_all(&mut *connection).await?;
        for row in rows {
            let (account, deployment) = series_parts(row.try_get(1)?);
            let sum = HourSum {
                on_time: row.try_get(2)?,
                late: row.try_get(3)?,
                unpriced: row.try_get(4)?,
                untold: row.try_get(5)?,
            };
            let hour = row.try_get::<i64, _>(0)?.div_euclid(60);
            saved.sums.push((account, Spender::Deployment(deployment), hour, sum));
        }
    }
    Ok(())
}

async fn models(
    connection: &mut SqliteConnection,
    from: i64,
    saved: &mut SavedBudgets,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "select start, series, model, nano_input + nano_cached + nano_output, \
         unpriced_input + unpriced_cached + unpriced_output, untold from spend_hour \
         where start >= $1",
    )
    .bind(from)
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let (account, deployment) = series_parts(row.try_get(1)?);
        let sum = HourSum {
            on_time: row.try_get(3)?,
            late: 0,
            unpriced: row.try_get(4)?,
            untold: row.try_get(5)?,
        };
        let model = Spender::Model(deployment, row.try_get(2)?);
        saved.sums.push((account, model, row.try_get::<i64, _>(0)?.div_euclid(60), sum));
    }
    Ok(())
}

async fn callers(
    connection: &mut SqliteConnection,
    from: i64,
    saved: &mut SavedBudgets,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "select start, series, caller, cost_nano, late_cost_nano, unpriced + late_unpriced \
         from rollup_hour where caller >= 0 and start >= $1",
    )
    .bind(from)
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let (account, deployment) = series_parts(row.try_get(1)?);
        let sum = HourSum {
            on_time: row.try_get(3)?,
            late: row.try_get(4)?,
            unpriced: row.try_get(5)?,
            untold: 0,
        };
        let caller = Spender::Caller(deployment, Caller(row.try_get(2)?));
        saved.sums.push((account, caller, row.try_get::<i64, _>(0)?.div_euclid(60), sum));
    }
    Ok(())
}
