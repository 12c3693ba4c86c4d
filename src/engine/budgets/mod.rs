//! TW-C05: what was spent against budgets, how fast, and where the usual rhythm leads.
//!
//! A budget is judged when an hour of event time has closed on every hub, with what every batching
//! knows by then ([`View::Closed`]); a threshold that is passed clearly is told at once.

pub mod judge;
pub mod ledger;
pub mod scope;
pub mod standing;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::account::Account;
use super::effects::{AccountEffects, Effects};
use super::{Engine, Env};
use crate::aggregate::rollup::Caller;
use crate::days::{Period, Step};
use crate::detect::outlook::{History, Outlook};
use crate::time::{ArrivalTime, EventTime, HOUR_MS};
use judge::Mark;
use ledger::{HourSum, Ledger, SETTLE_HOURS, View};
pub use scope::{Budget, CallerIs, Grain, Purse, Scope};
use standing::{Expected, hours_of};
pub use standing::{Projection, Standing};

/// The rule.
pub const RULE_ID: &str = "TW-C05";
/// Most budgets: each is looked at whenever an hour closes.
pub const MAX_BUDGETS: usize = 200;
/// Most hours judged one by one after a jump of time.
const MAX_HOURS: i64 = 60 * 24;
/// Hours in the cycle of what is expected.
const WEEK: usize = 168;
/// What is expected is computed anew every so many hours: a level holds for days.
const ANEW_HOURS: i64 = 6;

/// Whose spending a sum is, by numbers of names of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spender {
    /// A deployment.
    Deployment(u32),
    /// A model of a deployment: deployment and model.
    Model(u32, u32),
    /// A caller of a deployment.
    Caller(u32, Caller),
}

/// What one step changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BudgetEffects {
    /// First hour that is not judged (hours since 1970), when it moved.
    pub closed_hour: Option<i64>,
    /// What was told of: budget, first minute of the period, what, and when.
    pub marks: Vec<(String, i64, Mark, ArrivalTime)>,
}

/// What a restart puts back.
#[derive(Debug, Clone, Default)]
pub struct SavedBudgets {
    /// Sums by account number, spender and hour.
    pub sums: Vec<(u32, Spender, i64, HourSum)>,
    /// What was told of, as in [`BudgetEffects::marks`].
    pub marks: Vec<(String, i64, Mark, ArrivalTime)>,
    /// First hour that is not judged.
    pub closed_hour: Option<i64>,
}

/// What was spent on every budget, in the order of the settings.
#[derive(Debug, Default)]
pub struct Budgets {
    books: Vec<Book>,
    closed_hour: Option<i64>,
    /// Budgets that a deployment counts to, by numbers of account and name.
    places: BTreeMap<(u32, u32), Vec<usize>>,
    /// What is expected of a deployment, and by when.
    outlooks: BTreeMap<(u32, u32), (i64, Option<Outlook>)>,
}

/// One budget's.
#[derive(Debug, Default)]
struct Book {
    ledger: Ledger,
    /// By first minute of the period.
    told: BTreeMap<(i64, Mark), ArrivalTime>,
}

/// What is expected of each hour of the week, several outlooks together.
struct Week {
    hours: [f64; WEEK],
    learnt: bool,
}

impl Week {
    fn of<'a>(outlooks: impl Iterator<Item = &'a Outlook>) -> Option<Self> {
        let mut week: Option<Self> = None;
        for outlook in outlooks {
            let known = week.get_or_insert(Self { hours: [0.0; WEEK], learnt: true });
            known.learnt &= outlook.learnt;
            for (hour, sum) in (0..).zip(&mut known.hours) {
                *sum += outlook.at(hour);
            }
        }
        week
    }

    fn at(&self, hour: i64) -> f64 {
        let place = usize::try_from(hour.rem_euclid(WEEK as i64)).unwrap_or(0);
        self.hours.get(place).copied().unwrap_or(0.0)
    }
}

type Accounts = BTreeMap<String, Account>;

impl Budgets {
    /// As the database left them.
    pub(super) fn restore(saved: SavedBudgets, accounts: &Accounts, env: &Env) -> Self {
        let budgets = &env.settings.budgets;
        let books = budgets.iter().map(|_| Book::default()).collect();
        let mut restored = Self { books, closed_hour: saved.closed_hour, ..Self::default() };
        let by_number: BTreeMap<u32, &Account> =
            accounts.values().map(|account| (account.id, account)).collect();
        for (account, spender, hour, sum) in saved.sums {
            if let Some(account) = by_number.get(&account) {
                restored.add(account, spender, (hour, sum), env);
            }
        }
        for (name, from, mark, at) in saved.marks {
            let place = budgets.iter().position(|budget| budget.name == name);
            if let Some(book) = place.and_then(|place| restored.books.get_mut(place)) {
                book.told.insert((from, mark), at);
            }
        }
        restored
    }

    /// Takes what a step has booked; the budgets it counted to, each with the newest hour.
    fn take(
        &mut self,
        booked: &BTreeMap<u32, AccountEffects>,
        accounts: &Accounts,
        env: &Env,
    ) -> BTreeMap<usize, i64> {
        let has = |grain| env.settings.budgets.iter().any(|budget| budget.scope.grain() == grain);
        let [by_model, by_caller] = [Grain::Model, Grain::Caller].map(has);
        let mut touched = BTreeMap::new();
        for account in accounts.values() {
            let Some(saved) = booked.get(&account.id) else { continue };
            let mut add = |spender, hour, sum| {
                for place in self.add(account, spender, (hour, sum), env) {
                    let newest = touched.entry(place).or_insert(hour);
                    *newest = (*newest).max(hour);
                }
            };
            for (key, split) in &saved.deltas.minutes {
                let spender = match key.caller {
                    Caller::TOTAL => Spender::Deployment(key.deployment),
                    caller if by_caller => Spender::Caller(key.deployment, caller),
                    _ => continue,
                };
                let sum = HourSum {
                    on_time: split.on_time.cost_nano,
                    late: split.late.cost_nano,
                    unpriced: split.total().unpriced,
                    untold: 0,
                };
                add(spender, key.minute.0.div_euclid(60), sum);
            }
            for ((start, deployment, model), spend) in &saved.deltas.spend {
                let hour = start.0.div_euclid(60);
                if by_model {
                    let sum = HourSum {
                        on_time: spend.cost().0,
                        late: 0,
                        unpriced: spend.over_meters(|meter| meter.unpriced),
                        untold: spend.untold,
                    };
                    add(Spender::Model(*deployment, *model), hour, sum);
                }
                if spend.untold != 0 {
                    let sum = HourSum { untold: spend.untold, ..HourSum::default() };
                    add(Spender::Deployment(*deployment), hour, sum);
                }
            }
        }
        touched
    }

    /// Adds to every budget that this spending counts to; which those are.
    fn add(
        &mut self,
        account: &Account,
        spender: Spender,
        (hour, sum): (i64, HourSum),
        env: &Env,
    ) -> Vec<usize> {
        let deployment = match spender {
            Spender::Deployment(deployment)
            | Spender::Model(deployment, _)
            | Spender::Caller(deployment, _) => deployment,
        };
        let place = (account.id, deployment);
        let budgets = &env.settings.budgets;
        let near = self.places.entry(place).or_insert_with(|| {
            let name = account.names.text(deployment);
            let holds =
                |budget: &Budget| budget.scope.holds(&account.resource, name, &env.settings.owners);
            (0..).zip(budgets).filter(|(_, budget)| holds(budget)).map(|(at, _)| at).collect()
        });
        let counts = |at: &usize| {
            let Some(scope) = budgets.get(*at).map(|budget| &budget.scope) else { return false };
            match (scope.grain(), spender) {
                (Grain::Deployment, Spender::Deployment(_)) => true,
                (Grain::Model, Spender::Model(_, model)) => {
                    scope.holds_model(account.names.text(model))
                }
                (Grain::Caller, Spender::Caller(_, caller)) => {
                    caller.parts().is_some_and(|parts| {
                        let text = |number| account.names.text(number);
                        scope.holds_caller(text(parts.network), text(parts.identity))
                    })
                }
                (Grain::Deployment | Grain::Model | Grain::Caller, _) => false,
            }
        };
        let counted: Vec<usize> = near.iter().copied().filter(counts).collect();
        for at in &counted {
            if let Some(book) = self.books.get_mut(*at) {
                book.ledger.add(hour, place, sum);
            }
        }
        counted
    }

    /// What is expected of the hours of a budget from `now` on, by what was learnt until then.
    fn week(&mut self, at: usize, now: i64, accounts: &Accounts, env: &Env) -> Option<Week> {
        let budget = env.settings.budgets.get(at)?;
        if budget.scope.grain() != Grain::Deployment {
            let ledger = &self.books.get(at)?.ledger;
            let value = |hour: i64| ledger.hour(hour);
            let outlook = Outlook::of(&History { hour: &value, first: ledger.first_hour()? }, now);
            return Week::of(outlook.iter());
        }
        let mut members = Vec::new();
        for account in accounts.values() {
            for (deployment, series) in &account.series {
                let place = (account.id, *deployment);
                let near = self.places.get(&place);
                if !near.is_some_and(|near| near.contains(&at)) {
                    continue;
                }
                // Of what is not learnt yet every hour counts.
                let anchor = now - now.rem_euclid(ANEW_HOURS);
                let known = self.outlooks.get(&place).filter(|(by, outlook)| {
                    let learnt = outlook.as_ref().is_some_and(|outlook| outlook.learnt);
                    *by == now || (*by == anchor && learnt)
                });
                if known.is_none() {
                    let at_anchor = Outlook::of_cost(series, anchor).filter(|each| each.learnt);
                    let fresh = match at_anchor {
                        Some(outlook) => (anchor, Some(outlook)),
                        None => (now, Outlook::of_cost(series, now)),
                    };
                    self.outlooks.insert(place, fresh);
                }
                members.push(place);
            }
        }
        let outlooks = members.iter().filter_map(|place| self.outlooks.get(place));
        Week::of(outlooks.filter_map(|(_, outlook)| outlook.as_ref()))
    }

    /// The periods of a budget that are open when everything before `now` is counted: the running
    /// one, and the one before while rows may still come for it, each with whether this is its end.
    fn open_periods(budget: &Budget, now: i64) -> Vec<(Period, bool)> {
        let Ok(running) = budget.period(now - 1) else { return Vec::new() };
        let (from, _) = hours_of(&running);
        let before = (now <= from + SETTLE_HOURS).then(|| budget.period(from - 1).ok()).flatten();
        let last = before.map(|period| (period, now == from + SETTLE_HOURS));
        last.into_iter().chain([(running, false)]).collect()
    }

    /// Drops what no open period and no profile asks for.
    fn forget(&mut self, now: i64, env: &Env) {
        for (book, budget) in self.books.iter_mut().zip(&env.settings.budgets) {
            let periods = Self::open_periods(budget, now);
            let oldest = periods.iter().map(|(period, _)| period.from.0).min();
            let Some(oldest) = oldest else { continue };
            book.ledger.forget(now, oldest.div_euclid(60) - 31 * 24);
            book.told = book.told.split_off(&(oldest, Mark::FIRST));
        }
    }
}

impl Engine {
    /// Takes what the step has booked, tells what has clearly been passed, and judges every budget
    /// for each hour that has closed.
    pub(super) fn heed_budgets(&mut self, effects: &mut Effects) {
        if self.env.settings.budgets.is_empty() {
            return;
        }
        let touched = self.budgets.take(&effects.accounts, &self.accounts, &self.env);
        self.close_budget_hours(effects);
        for (at, hour) in touched {
            self.look_ahead_of(at, hour, effects);
        }
    }

    fn close_budget_hours(&mut self, effects: &mut Effects) {
        let slowest = self.hubs.values().map(|hub| hub.waited_for).min();
        let Some(slowest) = slowest.filter(|slowest| slowest.0 > i64::MIN) else { return };
        let now = slowest.0.saturating_sub(self.env.settings.lateness_ms).div_euclid(HOUR_MS);
        if self.budgets.closed_hour.is_some_and(|closed| closed >= now) {
            return;
        }
        let oldest = self.budgets.books.iter().filter_map(|book| book.ledger.first_hour()).min();
        let first = self.budgets.closed_hour.or(oldest).unwrap_or(now).max(now - MAX_HOURS);
        for closed in first..now {
            self.judge_budgets(closed + 1, effects);
        }
        self.budgets.forget(now, &self.env);
        self.budgets.closed_hour = Some(now);
        effects.budgets.closed_hour = Some(now);
    }

    /// How every budget stands with everything known up to the hour that holds `at`, in the order of
    /// the settings; `None` for a budget without a rate of exchange.
    #[must_use]
    pub fn standings(&mut self, at: EventTime) -> Vec<Option<Stands>> {
        // What just ends at `at` is over, and nothing of the next hour has begun.
        let now = at.0.saturating_sub(1).div_euclid(HOUR_MS);
        let count = self.env.settings.budgets.len();
        let complete = at.0.div_euclid(HOUR_MS);
        (0..count).map(|place| self.stands(place, (now + 1, complete))).collect()
    }

    fn stands(&mut self, at: usize, (until, complete): (i64, i64)) -> Option<Stands> {
        let Self { env, budgets, accounts, .. } = self;
        let week = budgets.week(at, until, accounts, env);
        let budget = env.settings.budgets.get(at)?;
        let ledger = &budgets.books.get(at)?.ledger;
        let period = budget.period(until - 1).ok()?;
        let purse = budget.purse(&period, &env.book.contract)?;
        // The newest hour still runs: what it lacks of what is expected is still to come.
        let seen = ledger.hour(until - 1);
        let missing = week.as_ref().map_or(0.0, |week| (week.at(until - 1) - seen).max(0.0));
        let of = |hour: i64| {
            let more = if hour == until { missing } else { 0.0 };
            week.as_ref().map_or(0.0, |week| week.at(hour)) + more
        };
        let expected: Expected<'_> =
            week.as_ref().map(|week| (&of as &dyn Fn(i64) -> f64, week.learnt));
        let (from, _) = hours_of(&period);
        let view = (ledger, View::All);
        let mut standing = Standing::of(budget, (period, purse), view, until, expected);
        standing.burn = standing.burns(view, complete, expected);
        let name = |(account, deployment): (u32, u32)| {
            let account = accounts.values().find(|known| known.id == account)?;
            let text = account.names.text(deployment).to_owned();
            Some((account.name().to_owned(), text))
        };
        let largest = ledger.largest(from, until).into_iter();
        let spent = largest.filter_map(|(place, cost)| Some(Spent { place: name(place)?, cost }));
        let days = days_before(budget, ledger, until - 1);
        Some((standing, spent.collect(), days))
    }
}

/// How a budget stands, who spent it, and what each day before the running one cost in USD.
pub type Stands = (Standing, Vec<Spent>, Vec<f64>);

/// Sums in USD of the budget's local days before the one of `hour`, oldest first, from the first whole
/// one on; empty beyond the calendar.
fn days_before(budget: &Budget, ledger: &Ledger, hour: i64) -> Vec<f64> {
    let day = |hour: i64| budget.zone.day_of(EventTime(hour.saturating_mul(HOUR_MS)));
    let first = ledger.first_hour().and_then(|first| day(first).ok()?.tomorrow().ok());
    let Some((first, today)) = first.zip(day(hour).ok()) else { return Vec::new() };
    let days = budget.zone.periods(Step::Day, first, today).unwrap_or_default();
    let sum = |day: &Period| {
        let (from, until) = hours_of(day);
        ledger.range(from, until).map(|(hour, sum)| sum.cost(hour, View::All).usd()).sum()
    };
    days.iter().map(sum).collect()
}

/// What one deployment has spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Names of account and deployment.
    pub place: (String, String),
    /// How much of the budget, by UTC days.
    pub cost: crate::money::NanoUsd,
}

/// Scopes of incidents: budgets and the periods that are open.
type Scopes = BTreeSet<String>;
