//! This week against the last one and against the four before, day by day.

use serde::Serialize;

use crate::money::NanoUsd;
use crate::price::amount::half_even;
use crate::report::amount::{self, Currency};
use crate::report::facts::{Amounts, Facts, Sum};
use crate::report::view::{Change, Row, Section, rows};

/// Weeks that the median is taken of.
const WEEKS: usize = 4;

/// The block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spend {
    /// Each local day of the week.
    pub days: Vec<DayLine>,
    /// The week.
    pub total: Amounts,
    /// The week before; `None` when the database does not tell of all of it.
    pub last_week: Option<Amounts>,
    /// Median of the four weeks before, as far as the database tells of them; `None` when of none.
    pub median_nano_usd: Option<NanoUsd>,
    /// How many weeks that median is of.
    pub median_weeks: usize,
    /// What a million priced tokens cost on average; `None` without any.
    pub per_million_nano_usd: Option<NanoUsd>,
    /// Capacity paid by the hour, beside the total; `None` where the price of some is unknown.
    pub provisioned_nano_usd: Option<NanoUsd>,
    /// True when there is such capacity.
    pub has_provisioned: bool,
}

/// One local day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayLine {
    /// `2026-11-16`.
    pub day: String,
    /// `Mon`.
    pub weekday: &'static str,
    /// UTC hours in it.
    pub hours: i64,
    /// What was used.
    pub amounts: Amounts,
    /// The cost of the same day a week before; `None` when unknown.
    pub last_week_nano_usd: Option<NanoUsd>,
}

impl Spend {
    /// Computes it.
    #[must_use]
    pub fn new(facts: &Facts) -> Self {
        let total = facts.total(0);
        let mut before: Vec<NanoUsd> = (1..=WEEKS)
            .filter(|weeks| facts.is_known(*weeks))
            .map(|weeks| facts.total(weeks).cost())
            .collect();
        let last_week = facts.is_known(1).then(|| facts.total(1));
        let provisioned = facts.provisioned.values();
        Self {
            days: facts.week_days().map(|day| day_line(facts, day)).collect(),
            total: total.amounts(),
            last_week: last_week.map(Sum::amounts),
            median_weeks: before.len(),
            median_nano_usd: median(&mut before),
            per_million_nano_usd: per_million(total),
            provisioned_nano_usd: provisioned
                .copied()
                .try_fold(NanoUsd(0), |sum, cost| Some(sum.plus(cost?))),
            has_provisioned: !facts.provisioned.is_empty(),
        }
    }

    /// Change against the week before.
    #[must_use]
    pub fn change(&self) -> Option<Change> {
        let before = self.last_week?.cost_nano_usd;
        Some(Change::percent(self.total.cost_nano_usd, before))
    }

    /// Change against the median.
    #[must_use]
    pub fn change_of_median(&self) -> Option<Change> {
        Some(Change::percent(self.total.cost_nano_usd, self.median_nano_usd?))
    }

    /// As people read it.
    #[must_use]
    pub fn section(&self, currency: &Currency) -> Section {
        let total = self.total.cost_nano_usd;
        let named = |day: &DayLine| {
            let date = day.day.get(5..).unwrap_or(&day.day);
            (format!("{} {date}", day.weekday), day.amounts.cost_nano_usd)
        };
        let mut rows = rows(self.days.iter().map(named).collect(), total, currency);
        for (row, day) in rows.iter_mut().zip(&self.days) {
            row.change = day
                .last_week_nano_usd
                .map(|before| Change::percent(day.amounts.cost_nano_usd, before));
            if day.hours != 24 {
                row.details.push(format!("a day of {} hours: clocks changed", day.hours));
            }
        }
        Section {
            title: "Spend",
            lead: vec![self.compared(currency), self.used(currency)],
            rows,
            total: Some(Row {
                name: "week".to_owned(),
                amount: currency.show(total),
                change: self.change(),
                ..Row::default()
            }),
            notes: self.notes(currency),
            ..Section::default()
        }
    }

    fn compared(&self, currency: &Currency) -> String {
        let last = match (&self.last_week, self.change()) {
            (Some(last), Some(change)) => {
                format!("last week {} ({})", currency.show(last.cost_nano_usd), change.text)
            }
            _ => "last week is not known in full".to_owned(),
        };
        let median = match (self.median_nano_usd, self.change_of_median()) {
            (Some(median), Some(change)) if self.median_weeks > 1 => format!(
                "; median of the {} weeks before {} ({})",
                self.median_weeks,
                currency.show(median),
                change.text
            ),
            _ => String::new(),
        };
        format!("{}; {last}{median}.", currency.show(self.total.cost_nano_usd))
    }

    fn used(&self, currency: &Currency) -> String {
        let Amounts { calls, tokens_input, tokens_cached, tokens_output, .. } = self.total;
        let tokens = tokens_input.saturating_add(tokens_cached).saturating_add(tokens_output);
        let each = self.per_million_nano_usd.map_or_else(String::new, |each| {
            format!("; {} per million priced tokens", currency.show(each))
        });
        format!(
            "{} calls, {} tokens ({} prompt, {} cached, {} generated){each}.",
            amount::count(calls),
            amount::count(tokens),
            amount::count(tokens_input),
            amount::count(tokens_cached),
            amount::count(tokens_output),
        )
    }

    fn notes(&self, currency: &Currency) -> Vec<String> {
        let provisioned = match (self.has_provisioned, self.provisioned_nano_usd) {
            (false, _) => None,
            (true, Some(cost)) => {
                Some(format!("Beside it: {} for capacity paid by the hour.", currency.show(cost)))
            }
            (true, None) => Some(
                "Beside it: capacity paid by the hour whose price is unknown (ptu and \
                 usd_per_ptu_hour in [price])."
                    .to_owned(),
            ),
        };
        provisioned.into_iter().collect()
    }
}

fn day_line(facts: &Facts, day: &crate::report::facts::Day) -> DayLine {
    let same = facts
        .days
        .iter()
        .find(|other| day.date.since(other.date).is_ok_and(|span| span.get_days() == 7));
    let is_known = |other: &&crate::report::facts::Day| {
        facts.covered.is_some_and(|covered| covered.from <= other.period.from.start())
    };
    DayLine {
        day: day.period.name.clone(),
        weekday: weekday(day.date),
        hours: day.period.hours(),
        amounts: day.total().amounts(),
        last_week_nano_usd: same.filter(is_known).map(|other| other.total().cost()),
    }
}

fn weekday(date: crate::days::Date) -> &'static str {
    use crate::days::Weekday;
    match date.weekday() {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    }
}

/// The middle one, of an even number the mean of the two in the middle, half to even.
#[must_use]
pub fn median(amounts: &mut [NanoUsd]) -> Option<NanoUsd> {
    amounts.sort_unstable();
    let middle = amounts.len() / 2;
    let upper = amounts.get(middle)?.0;
    let lower = if amounts.len().is_multiple_of(2) { amounts.get(middle - 1)?.0 } else { upper };
    let mean = half_even(i128::from(lower) + i128::from(upper), 2);
    i64::try_from(mean).ok().map(NanoUsd)
}

/// Cost ÷ priced tokens × a million; `None` without priced tokens.
fn per_million(sum: Sum) -> Option<NanoUsd> {
    let tokens = sum.priced_tokens();
    let nano = i128::from(sum.cost().0).checked_mul(1_000_000)?;
    (tokens > 0)
        .then(|| half_even(nano, i128::from(tokens)))
        .and_then(|nano| i64::try_from(nano).ok())
        .map(NanoUsd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let check = |amounts: &[i64], expected: Option<i64>| {
            let mut amounts: Vec<NanoUsd> = amounts.iter().copied().map(NanoUsd).collect();
            assert_eq!(median(&mut amounts), expected.map(NanoUsd));
        };
        check(&[], None);
        check(&[7], Some(7));
        check(&[9, 1], Some(5));
        check(&[9, 1, 4], Some(4));
        check(&[1, 2, 3, 10], Some(2));
        check(&[i64::MAX, i64::MAX], Some(i64::MAX));
    }
}
