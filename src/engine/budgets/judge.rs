//! What of a budget is worth telling, each thing once in a period.

use super::ledger::View;
use super::standing::{BURNS, Expected, Standing};
use super::words::{About, Spenders};
use super::{Budget, Budgets, RULE_ID, Scopes, hours_of, words};
use crate::detect::EARLY_MARGIN;
use crate::engine::Engine;
use crate::engine::effects::Effects;
use crate::incident::Incident;
use crate::incident::tracker::{Cause, Hearing, Sighting, Verdict};
use crate::time::{ArrivalTime, HOUR_MS};

/// Closed hours in a row without anything to tell after which an incident is over before its period
/// is: a forecast that wavers around the amount is one story.
const QUIET_HOURS: u32 = 6;
/// Budgets name the deployments that stand out.
const MAX_SPENDERS: usize = 5;

/// Something that is told once in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// This percentage of the amount is spent.
    Spent(u32),
    /// The projection passes what is allowed.
    Forecast,
    /// The burn in the window with this place in [`BURNS`].
    Burn(usize),
}

impl Mark {
    /// The first in order.
    pub const FIRST: Self = Self::Spent(0);

    /// The word it is stored and shown by.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Spent(percent) => format!("{percent} %"),
            Self::Forecast => "forecast".to_owned(),
            Self::Burn(place) => {
                format!("burn {} h", BURNS.get(place).map_or(0, |(hours, _)| *hours))
            }
        }
    }

    /// What the audit trail says when it is told.
    #[must_use]
    pub fn said(self) -> String {
        match self {
            Self::Spent(percent) => format!("{percent} % spent"),
            Self::Forecast => "foretold to be used up".to_owned(),
            Self::Burn(place) => {
                let hours = BURNS.get(place).map_or(0, |(hours, _)| *hours);
                format!("burnt too fast for {hours} h")
            }
        }
    }

    /// The mark of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        if let Some(percent) = word.strip_suffix(" %") {
            return percent.parse().ok().map(Self::Spent);
        }
        let burns = (0..BURNS.len()).map(Self::Burn);
        burns.chain([Self::Forecast]).find(|mark| mark.word() == word)
    }

    /// Everything that holds of a standing.
    fn due(budget: &Budget, standing: &Standing) -> Vec<Self> {
        let spent = standing.reached.iter().map(|(percent, _)| Self::Spent(*percent));
        let forecast = budget.forecast.filter(|percent| standing.foretells(*percent));
        let burns = (0..).zip(standing.burn).zip(BURNS).filter(|((_, burn), (_, limit))| {
            standing.is_running() && burn.is_some_and(|burn| burn.unusual && burn.times >= *limit)
        });
        let burns = burns.map(|((place, _), _)| Self::Burn(place));
        spent.chain(forecast.map(|_| Self::Forecast)).chain(burns).collect()
    }
}

/// One budget and period at one moment.
struct Look {
    at: usize,
    now: i64,
    moment: ArrivalTime,
    verdict: Verdict,
}

impl Engine {
    /// Judges every budget when everything before the hour `now` has closed.
    pub(super) fn judge_budgets(&mut self, now: i64, effects: &mut Effects) {
        let moment = ArrivalTime(now * HOUR_MS + self.env.settings.lateness_ms);
        let mut open = Scopes::new();
        for at in 0..self.env.settings.budgets.len() {
            let week = self.budgets.week(at, now, &self.accounts, &self.env);
            let of = |hour: i64| week.as_ref().map_or(0.0, |week| week.at(hour));
            let expected: Expected<'_> =
                week.as_ref().map(|week| (&of as &dyn Fn(i64) -> f64, week.learnt));
            let Some(budget) = self.env.settings.budgets.get(at) else { continue };
            for (period, ends) in Budgets::open_periods(budget, now) {
                let Some(budget) = self.env.settings.budgets.get(at) else { continue };
                let scope = format!("{}/{}", budget.name, period.name);
                let Some(purse) = budget.purse(&period, &self.env.book.contract) else { continue };
                let Some(book) = self.budgets.books.get(at) else { continue };
                let view = (&book.ledger, View::Closed(now));
                let standing = Standing::of(budget, (period, purse), view, now, expected);
                let due = Mark::due(budget, &standing);
                let look = Look { at, now, moment, verdict: Verdict::Closing };
                self.tell(&look, (&scope, &standing), &due, effects);
                if !ends {
                    open.insert(scope);
                }
            }
        }
        self.close_periods(&open, moment, effects);
    }

    /// Tells at once of a threshold that rows of `hour` have clearly passed.
    pub(super) fn look_ahead_of(&mut self, at: usize, hour: i64, effects: &mut Effects) {
        let Some(budget) = self.env.settings.budgets.get(at) else { return };
        let Some(book) = self.budgets.books.get(at) else { return };
        let Ok(period) = budget.period(hour) else { return };
        let (_, end) = hours_of(&period);
        let is_over =
            self.budgets.closed_hour.is_some_and(|closed| closed >= end + super::SETTLE_HOURS);
        let told = |percent: &u32| book.told.contains_key(&(period.from.0, Mark::Spent(*percent)));
        if is_over || budget.thresholds.iter().all(told) {
            return;
        }
        let Some(purse) = budget.purse(&period, &self.env.book.contract) else { return };
        let mut strict = budget.clone();
        strict.thresholds.retain(|percent| !told(percent));
        let scope = format!("{}/{}", budget.name, period.name);
        let clear = crate::money::NanoUsd::from_usd(purse.amount.usd() * EARLY_MARGIN);
        let clearly = super::Purse { amount: clear, ..purse.clone() };
        let view = (&book.ledger, View::All);
        let mut standing = Standing::of(&strict, (period, clearly), view, hour + 1, None);
        standing.purse = purse;
        let due = Mark::due(&strict, &standing);
        let due: Vec<_> = due.into_iter().filter(|mark| matches!(mark, Mark::Spent(_))).collect();
        if due.is_empty() {
            return;
        }
        let look = Look { at, now: hour + 1, moment: self.now, verdict: Verdict::Early };
        self.tell(&look, (&scope, &standing), &due, effects);
    }

    fn tell(
        &mut self,
        look: &Look,
        (scope, standing): (&str, &Standing),
        due: &[Mark],
        effects: &mut Effects,
    ) {
        let cause = Cause { rule: RULE_ID, scope: scope.to_owned() };
        let from = standing.period.from.0;
        let Some(budget) = self.env.settings.budgets.get(look.at) else { return };
        let Some(book) = self.budgets.books.get_mut(look.at) else { return };
        let news: Vec<Mark> =
            due.iter().copied().filter(|mark| !book.told.contains_key(&(from, *mark))).collect();
        let told = book.told.range((from, Mark::FIRST)..(from + 1, Mark::FIRST)).count();
        let known = self.estate.tracker().open(&cause);
        let (is_open, announced) = (known.is_some(), known.map(|tracked| tracked.announced));
        let seen_to = known.map_or(0, |tracked| tracked.incident.last_window.0);
        if news.is_empty() && (due.is_empty() || !is_open) {
            // An early finding may be ahead of the hours that close now.
            if is_open && seen_to <= look.now * HOUR_MS {
                effects.take(self.estate.tracker().quiet(&cause, QUIET_HOURS, look.moment));
            }
            return;
        }
        for mark in &news {
            book.told.insert((from, *mark), look.moment);
            effects.budgets.marks.push((budget.name.clone(), from, *mark, look.moment));
        }
        // Only news change what is said.
        let spenders =
            if news.is_empty() { Spenders::default() } else { self.spenders(look, standing) };
        let Some(budget) = self.env.settings.budgets.get(look.at) else { return };
        let about = About { budget, standing, due, news: &news, spenders: &spenders };
        let incident: Incident = words::describe(&about, look.verdict, (look.now, look.moment));
        let score = crate::detect::baseline::count_as_float(told + news.len());
        // Each thing is told once: between them only that it became more severe.
        let worse = announced.is_none_or(|announced| incident.severity > announced);
        let hearing =
            if worse || !news.is_empty() { Hearing::Announce } else { Hearing::Inhibited };
        let sighting = Sighting { incident, score, verdict: look.verdict, hearing };
        let mut changes = self.estate.tracker().found(&cause, sighting);
        if !news.is_empty() && changes.announcements.is_empty() {
            let words: Vec<String> = news.iter().map(|mark| mark.said()).collect();
            let entries = std::mem::take(&mut changes.entries);
            changes = self.estate.tracker().escalate(&cause, look.moment, words.join(", "));
            changes.entries.splice(0..0, entries);
        }
        effects.take(changes);
    }

    /// The largest spenders of a budget in its period, and what the last day of each was.
    fn spenders(&self, look: &Look, standing: &Standing) -> Spenders {
        let (from, _) = hours_of(&standing.period);
        let Some(book) = self.budgets.books.get(look.at) else { return Spenders::default() };
        let all = book.ledger.largest(from, look.now);
        let total = all.iter().fold(crate::money::NanoUsd(0), |sum, (_, cost)| sum.plus(*cost));
        let named = all.into_iter().take(MAX_SPENDERS).filter_map(|(place, cost)| {
            let account = self.accounts.values().find(|account| account.id == place.0)?;
            let usual = self.budgets.outlooks.get(&place).and_then(|(_, known)| known.as_ref());
            let series = account.series.get(&place.1)?;
            let day = look.now - 24..look.now;
            let seen: f64 = day.clone().map(|hour| series.hour(hour)[1]).sum();
            let expected = usual.filter(|known| known.learnt);
            let expected = expected.map(|known| day.map(|hour| known.at(hour)).sum::<f64>());
            Some(words::Spender {
                account: account.name().to_owned(),
                resource: account.resource.clone(),
                deployment: account.names.text(place.1).to_owned(),
                cost,
                stands_out: expected.is_some_and(|expected| seen >= 2.0 * expected && seen > 0.0),
            })
        });
        Spenders { named: named.collect(), total }
    }

    /// Periods that are over end their incidents, and so do budgets that are no longer there.
    fn close_periods(&mut self, open: &Scopes, moment: ArrivalTime, effects: &mut Effects) {
        let ours = self.estate.tracker().all_open().map(|(cause, _)| cause);
        let over = ours.filter(|cause| cause.rule == RULE_ID && !open.contains(&cause.scope));
        let over: Vec<Cause> = over.cloned().collect();
        for cause in over {
            let tracked = self.estate.tracker().open(&cause);
            // An early finding of a period that has not begun to close yet.
            if tracked.is_some_and(|t| t.incident.last_window.0 > moment.0) {
                continue;
            }
            effects.take(self.estate.tracker().quiet(&cause, 1, moment));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_are_written() {
        for mark in [Mark::Spent(0), Mark::Spent(150), Mark::Forecast, Mark::Burn(0), Mark::Burn(1)]
        {
            assert_eq!(Mark::from_word(&mark.word()), Some(mark));
        }
        assert_eq!(Mark::from_word("burn 99 h"), None);
        assert_eq!(Mark::Burn(1).word(), "burn 6 h");
    }
}
