//! One pass over the database: a week and the four before it, into plain rows.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{BudgetLine, Cheaper, Day, Facts, Hours, Key, Place, Quality, Sum};
use super::guess;
use super::period::{Week, later};
use crate::aggregate::metrics::{Compared, Completeness, is_comparable};
use crate::days::{DaysError, Step, Zone};
use crate::engine::{Env, bought};
use crate::event::Tokens;
use crate::incident::Incident;
use crate::money::NanoUsd;
use crate::price::PriceBook;
use crate::price::contract::Deployed;
use crate::price::sku::{AZURE_SKUS, Sku};
use crate::price::span::Span;
use crate::store::StoreError;
use crate::store::read::Reader;
use crate::time::{DAY_MS, EventTime};

/// Days looked at before the week.
const DAYS_BEFORE: i64 = 28;
/// Weeks of which is read what was told.
const TOLD_WEEKS: u32 = 8;
/// Words that smaller models of a family end with, as far as price lists go.
const SMALLER: [&str; 2] = ["-mini", "-nano"];

/// Why there are no rows.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// What SQLite says.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Beyond the calendar.
    #[error(transparent)]
    Days(#[from] DaysError),
}

/// Reads what a report of `week` is made of. Memory holds 35 days by deployment and model, never
/// single hours of more than the week.
///
/// # Errors
/// What SQLite says.
pub async fn gather(
    reader: &mut Reader,
    (zone, week): (&Zone, &Week),
    name: &str,
    env: &Env,
) -> Result<Facts, GatherError> {
    let (days, hours) = days(reader, zone, week, &env.book).await?;
    let (from, until) = (week.from_minute(), week.until_minute());
    let before = week.before(zone)?;
    let callers = reader.callers_between(from, until).await?;
    let callers_before =
        reader.callers_between(before.from_minute(), before.until_minute()).await?;
    let mut names = BTreeMap::new();
    for caller in &callers {
        let name = env.known.name_of(caller.identity.text());
        names.extend(name.map(|name| (caller.identity.text().to_owned(), name.to_owned())));
        let about = env.known.about(&caller.network).short();
        names.extend(about.map(|about| (caller.network.clone(), about)));
    }
    let bought = bought(reader, &days, &env.book).await?;
    let end = EventTime(until.start().0 - 1);
    let span = Span { from: from.start(), until: until.start() };
    let accounts: BTreeSet<&str> = bought.keys().map(|(account, _)| account.as_str()).collect();
    let provisioned = accounts.iter().filter_map(|account| {
        let has = |place: &Place| {
            let lives = env.book.contract.lives(&place.0, &place.1);
            place.0 == **account && lives.iter().any(|life| life.sku.provisioned)
        };
        let any = bought.keys().any(has);
        any.then(|| ((*account).to_owned(), env.book.contract.provisioned(account, span)))
    });
    let covered = reader.covered().await?;
    let condition = reader.condition().await?;
    let slowest = condition.hubs.iter().map(|hub| hub.slowest).min().flatten();
    let mut facts = Facts {
        week: week.clone(),
        zone: zone.clone(),
        provisioned: provisioned.collect(),
        skus: bought.iter().filter_map(|(place, lives)| sku(place, lives, end)).collect(),
        cheaper: Vec::new(),
        days,
        hours,
        calls: reader.calls(from, until).await?,
        callers: [callers, callers_before],
        names,
        incidents: incidents(reader, span).await?,
        quality: quality(reader, (week, condition.lost)).await?,
        told: reader.told(name, TOLD_WEEKS).await?,
        covered,
        slowest,
        book: env.book.version.clone(),
        owners: env.settings.owners.clone(),
        budgets: budgets(reader, env, end).await?,
    };
    facts.cheaper = cheaper(&facts, &bought, &env.book);
    Ok(facts)
}

async fn days(
    reader: &mut Reader,
    zone: &Zone,
    week: &Week,
    book: &PriceBook,
) -> Result<(Vec<Day>, Hours), GatherError> {
    let periods = zone.periods(Step::Day, later(week.begins, -DAYS_BEFORE)?, week.ends)?;
    let (mut days, mut hours) = (Vec::new(), Hours::new());
    for period in periods {
        let mut lines: BTreeMap<Key, Sum> = BTreeMap::new();
        let in_week = period.from >= week.from_minute();
        for hour in reader.spend(period.from, period.until).await? {
            let key = Key { account: hour.account, deployment: hour.deployment, model: hour.model };
            if in_week {
                hours.entry(key.clone()).or_default().push((hour.start, hour.spend));
            }
            let line = lines.entry(key).or_default();
            line.spend = line.spend.plus(hour.spend);
        }
        for (hour, guess) in guess::between(reader, (period.from, period.until), book).await? {
            let key = Key { account: hour.account, deployment: hour.deployment, model: hour.model };
            let line = lines.entry(key).or_default();
            line.guess = line.guess.plus(guess);
        }
        let date = zone.day_of(period.from.start())?;
        days.push(Day { period, date, lines });
    }
    Ok((days, hours))
}

/// How every budget stood at a moment; those without a rate of exchange are left out.
async fn budgets(
    reader: &mut Reader,
    env: &Env,
    at: EventTime,
) -> Result<Vec<BudgetLine>, StoreError> {
    if env.settings.budgets.is_empty() {
        return Ok(Vec::new());
    }
    let statuses = reader.budgets(env, Some(at)).await?;
    let lines = env.settings.budgets.iter().zip(statuses).filter_map(|(budget, status)| {
        let status = status?;
        let standing = &status.standing;
        let scope = &budget.scope;
        let is_whole = scope.subscriptions.is_empty()
            && scope.accounts.is_empty()
            && scope.deployments.is_empty()
            && scope.models.is_empty()
            && scope.callers.is_empty();
        Some(BudgetLine {
            name: budget.name.clone(),
            period: standing.period.name.clone(),
            owners: scope.owners.clone(),
            is_monthly: budget.step == Step::Month,
            is_whole: is_whole && scope.owners.is_empty(),
            limit: standing.purse.amount,
            spent: standing.spent,
            projected: standing.projection.map(|projection| projection.total),
            band: status.band(budget),
            crossing: standing.crossing.map(|at| budget.zone.local(at)),
        })
    });
    Ok(lines.collect())
}

/// How every deployment of these days was bought, by time.
async fn bought(
    reader: &mut Reader,
    days: &[Day],
    book: &PriceBook,
) -> Result<BTreeMap<Place, Vec<std::sync::Arc<Deployed>>>, StoreError> {
    let places: BTreeSet<Place> =
        days.iter().flat_map(|day| day.lines.keys().map(Key::place)).collect();
    let mut found = BTreeMap::new();
    for place in places {
        let lives = match book.contract.lives(&place.0, &place.1) {
            [] => bought::lives(&reader.purchases(&place.0, &place.1).await?),
            said => said.to_vec(),
        };
        found.insert(place, lives);
    }
    Ok(found)
}

/// How a deployment was bought at a moment, in Azure's words where it has one.
fn sku(
    place: &Place,
    lives: &[std::sync::Arc<Deployed>],
    at: EventTime,
) -> Option<(Place, String)> {
    let life = lives.iter().find(|life| life.valid.holds(at))?;
    let word = AZURE_SKUS.iter().find(|(_, sku)| *sku == life.sku).map(|(word, _)| *word);
    let text = word.map_or_else(|| spelled(life.sku), str::to_owned);
    Some((place.clone(), text))
}

fn spelled(sku: Sku) -> String {
    let scope = sku.scope.map_or_else(|| "unstated scope".to_owned(), |scope| scope.to_string());
    let tier = sku.tier.unwrap_or_default();
    if sku.provisioned { format!("{scope}, provisioned") } else { format!("{scope}, {tier}") }
}

async fn incidents(reader: &mut Reader, span: Span) -> Result<Vec<Incident>, StoreError> {
    let mut incidents = reader.incidents().await?;
    incidents.retain(|incident| {
        let ended = incident.resolved_at.map(|at| at.0);
        incident.first_window < span.until && ended.is_none_or(|ended| ended >= span.from.0)
    });
    Ok(incidents)
}

async fn quality(
    reader: &mut Reader,
    (week, lost): (&Week, BTreeMap<String, i64>),
) -> Result<Quality, StoreError> {
    let mut compared: BTreeMap<String, (Compared, i64, i64)> = BTreeMap::new();
    let passed = reader.covered().await?.map_or(i64::MIN, |covered| covered.until.0);
    for hour in reader.compared(week.from_minute(), week.until_minute()).await? {
        let completeness = hour.compared.completeness();
        if completeness == Completeness::NoMetrics
            || !is_comparable(hour.start, crate::time::ArrivalTime(passed))
        {
            continue;
        }
        let (sum, hours, complete) = compared.entry(hour.account).or_default();
        *sum = sum.plus(hour.compared);
        *hours += 1;
        *complete += i64::from(matches!(completeness, Completeness::Complete | Completeness::More));
    }
    let mut kinds: BTreeMap<String, crate::aggregate::delay::Histogram> = BTreeMap::new();
    for delay in reader.delays(week.from_minute().start().0.div_euclid(DAY_MS)).await? {
        kinds.entry(delay.kind).or_default().merge(&delay.to_hub);
    }
    let delays = kinds.into_iter().filter(|(_, counts)| counts.records() > 0);
    let delays = delays
        .map(|(kind, counts)| (kind, counts.quantile(500), counts.quantile(950), counts.records()));
    let totals = reader.totals().await?;
    Ok(Quality {
        compared,
        delays: delays.collect(),
        lost,
        quarantined: totals.quarantined,
        ledger: totals.ledger,
    })
}

/// What smaller models of the same family would have charged for the mean call.
fn cheaper(
    facts: &Facts,
    bought: &BTreeMap<Place, Vec<std::sync::Arc<Deployed>>>,
    book: &PriceBook,
) -> Vec<Cheaper> {
    let at = EventTime(facts.week.until_minute().start().0 - 1);
    let mut found = Vec::new();
    for (key, sum) in facts.lines(0) {
        let calls = sum.spend.calls;
        let name = key.model.split('@').next().unwrap_or_default();
        if calls <= 0 || name.is_empty() || SMALLER.iter().any(|word| name.ends_with(word)) {
            continue;
        }
        let [input, cached, output] = sum.spend.meters.map(|meter| {
            u32::try_from(super::facts::priced(meter).max(0) / calls).unwrap_or(u32::MAX)
        });
        let tokens = Tokens { input: input.saturating_add(cached), cached, output };
        let none = Vec::new();
        let lives = bought.get(&key.place()).unwrap_or(&none);
        let offers = SMALLER.iter().filter_map(|word| {
            let model = format!("{name}{word}");
            if book.rows(&model).is_empty()
                && !book.entries.iter().any(|row| row.model.eq_ignore_ascii_case(&model))
            {
                return None;
            }
            let rates = book.rates_of(&key.account, lives, &model);
            let bill = rates.bill(tokens, at);
            let is_priced = bill.lines.iter().all(|line| {
                line.tokens == 0 || matches!(line.basis, crate::price::bill::Basis::Priced(_))
            });
            let cost = NanoUsd(bill.uncut.0.saturating_mul(calls));
            is_priced.then(|| Cheaper { key: key.clone(), model, cost })
        });
        found.extend(offers.filter(|offer| offer.cost < sum.cost()).max_by_key(|offer| offer.cost));
    }
    found
}
