//! The month so far, where it is going, and what of the budgets is left.

use serde::Serialize;

use super::spend::median;
use crate::days::{Date, DaysError, Step};
use crate::money::NanoUsd;
use crate::report::amount::{Currency, share};
use crate::report::facts::{BudgetLine, Facts};
use crate::report::view::{Row, Section, Unarmed, named};

/// Days that must be known before anything is said about the rest of a month: each day of the week
/// twice.
const LEAST_DAYS: usize = 14;
/// Standard deviations that hold 80 % of a normal distribution (Φ⁻¹(0.9)).
const EIGHTY_PERCENT: f64 = 1.281_551_565_544_8;

/// The block.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Month {
    /// `2026-11`.
    pub month: String,
    /// Spent in it until the week ended.
    pub so_far_nano_usd: NanoUsd,
    /// Days of it until then.
    pub days_over: usize,
    /// Days of it after that.
    pub days_left: usize,
    /// False when the database does not tell of all days so far.
    pub is_whole: bool,
    /// Where it is going; `None` with too few days to say.
    pub forecast: Option<Forecast>,
    /// Budgets of the scope.
    pub budgets: Vec<Budget>,
}

/// What the month will have cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Spent plus the median of each day of the week that is left.
    pub expected_nano_usd: NanoUsd,
    /// Below it in one month of ten.
    pub low_nano_usd: NanoUsd,
    /// Above it in one month of ten.
    pub high_nano_usd: NanoUsd,
}

/// A budget and what is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Its name.
    pub name: String,
    /// Its period: `2026-11`.
    pub period: String,
    /// True when it is for a month and for all that this report is about.
    pub is_for_month: bool,
    /// What may be spent in its period.
    pub limit_nano_usd: NanoUsd,
    /// What was.
    pub spent_nano_usd: NanoUsd,
    /// What will have been at its end, by the profile of each deployment; `None` before anything was
    /// learnt.
    pub projected_nano_usd: Option<NanoUsd>,
    /// The 80 % range of a forecast from daily sums.
    pub range_80_nano_usd: Option<[NanoUsd; 2]>,
    /// When it was or will be used up, by its local clock; `None` for not in this period.
    pub crossing: Option<String>,
}

impl Month {
    /// Computes it for the month that the last day of the week lies in.
    ///
    /// # Errors
    /// A date beyond the calendar.
    pub fn new(facts: &Facts, scope: &str) -> Result<Self, DaysError> {
        let last = facts.week.ends.yesterday().map_err(DaysError::from)?;
        let first = Step::Month.begin(last)?;
        let end = Step::Month.after(first)?;
        let over: Vec<_> = facts.days.iter().filter(|day| day.date >= first).collect();
        let so_far = over.iter().fold(NanoUsd(0), |sum, day| sum.plus(day.total().cost()));
        let known_from = facts.covered.map(|covered| covered.from);
        let is_known = |day: &&crate::report::facts::Day| {
            known_from.is_some_and(|from| from <= day.period.from.start())
        };
        let days = facts.days.iter().filter(is_known);
        let history: Vec<(Date, NanoUsd)> =
            days.map(|day| (day.date, day.total().cost())).collect();
        let mut left = Vec::new();
        let mut day = facts.week.ends;
        while day < end {
            left.push(day);
            day = day.tomorrow().map_err(DaysError::from)?;
        }
        Ok(Self {
            month: last.to_string().get(..7).unwrap_or_default().to_owned(),
            so_far_nano_usd: so_far,
            days_over: over.len(),
            days_left: left.len(),
            is_whole: over.iter().all(is_known),
            forecast: forecast(so_far, &history, &left),
            budgets: facts.budgets.iter().map(|line| Budget::new(line, scope)).collect(),
        })
    }

    /// The budget that the forecast is to be held against.
    #[must_use]
    pub fn budget(&self) -> Option<&Budget> {
        self.budgets.iter().find(|budget| budget.is_for_month)
    }

    /// As people read it.
    #[must_use]
    pub fn section(&self, currency: &Currency) -> Section {
        let mut lead = vec![format!(
            "{} so far in {} ({} days, {} left).",
            currency.show(self.so_far_nano_usd),
            self.month,
            self.days_over,
            self.days_left
        )];
        if !self.is_whole {
            lead.push(
                "The month began before the first record: its first days are unknown.".to_owned(),
            );
        }
        let mut unarmed = Vec::new();
        match self.forecast {
            Some(forecast) if self.days_left > 0 => lead.push(format!(
                "Forecast for the month: {}; with 80 % certainty between {} and {}.",
                currency.about(forecast.expected_nano_usd),
                currency.about(forecast.low_nano_usd),
                currency.about(forecast.high_nano_usd)
            )),
            Some(_) => {}
            None => unarmed
                .push(Unarmed { what: "forecast of the month", needs: "two weeks of whole days" }),
        }
        if self.budgets.is_empty() {
            unarmed.push(Unarmed {
                what: "budgets, their burn and crossing date",
                needs: "a budget in the configuration",
            });
        }
        let rows = self.budgets.iter().map(|budget| budget.row(currency)).collect();
        Section { title: "Month, forecast, budgets", lead, rows, unarmed, ..Section::default() }
    }
}

impl Budget {
    fn new(line: &BudgetLine, scope: &str) -> Self {
        let all = if scope.is_empty() { line.is_whole } else { line.owners == [scope] };
        Self {
            name: line.name.clone(),
            period: line.period.clone(),
            is_for_month: line.is_monthly && all,
            limit_nano_usd: line.limit,
            spent_nano_usd: line.spent,
            projected_nano_usd: line.projected,
            range_80_nano_usd: line.band.map(|(low, high)| [low, high]),
            crossing: line.crossing.clone(),
        }
    }

    fn row(&self, currency: &Currency) -> Row {
        let part = share(self.spent_nano_usd.0, self.limit_nano_usd.0);
        let per_mille = i128::from(self.spent_nano_usd.0.max(0)) * 1000
            / i128::from(self.limit_nano_usd.0.max(1));
        let mut details =
            vec![format!("{part} of {}", currency.show(self.limit_nano_usd)), self.period.clone()];
        details.extend(
            self.projected_nano_usd
                .map(|projected| format!("about {} at the end", currency.about(projected))),
        );
        details.extend(self.range_80_nano_usd.map(|[low, high]| {
            format!("80 % range {} to {}", currency.about(low), currency.about(high))
        }));
        details.push(match &self.crossing {
            Some(at) => {
                let at = at.get(..16).unwrap_or(at).replace('T', " ");
                if self.spent_nano_usd >= self.limit_nano_usd {
                    format!("used up {at}")
                } else {
                    format!("will be used up about {at}")
                }
            }
            None => "lasts at this pace".to_owned(),
        });
        Row {
            name: named(&self.name),
            amount: currency.show(self.spent_nano_usd),
            bar: Some(u16::try_from(per_mille.min(1000)).unwrap_or(1000)),
            details,
            ..Row::default()
        }
    }
}

/// Spent plus, for every day left, the median of its day of the week; the range from how far known
/// days lay from theirs, as if days were independent.
fn forecast(so_far: NanoUsd, history: &[(Date, NanoUsd)], left: &[Date]) -> Option<Forecast> {
    if history.len() < LEAST_DAYS {
        return None;
    }
    let usual = |date: Date| {
        let same = history.iter().filter(|(day, _)| day.weekday() == date.weekday());
        median(&mut same.map(|(_, cost)| *cost).collect::<Vec<_>>())
    };
    let rest = left.iter().try_fold(NanoUsd(0), |sum, day| Some(sum.plus(usual(*day)?)))?;
    let squares = history.iter().try_fold(0.0, |sum, (day, cost)| {
        let off = cost.usd() - usual(*day)?.usd();
        Some(sum + off * off)
    })?;
    // Seven medians were fitted.
    let freedom = f64::from(u32::try_from(history.len().saturating_sub(7)).ok()?);
    let days = f64::from(u32::try_from(left.len()).ok()?);
    let deviation = (squares / freedom * days).sqrt();
    let off = NanoUsd::from_usd(EIGHTY_PERCENT * deviation);
    let expected = so_far.plus(rest);
    Some(Forecast {
        expected_nano_usd: expected,
        // What is spent is spent.
        low_nano_usd: expected.plus(-off).max(so_far),
        high_nano_usd: expected.plus(off),
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::report::period::later;

    fn days(count: i64, cost: impl Fn(i64) -> i64) -> Vec<(Date, NanoUsd)> {
        let first = date(2026, 10, 19);
        (0..count).map(|n| (later(first, n).unwrap(), NanoUsd(cost(n)))).collect()
    }

    #[test]
    fn a_month_like_every_week_is_known_exactly() {
        // 100 dollars on a weekday, 10 at the weekend.
        let usual = |n: i64| if n % 7 < 5 { 100_000_000_000 } else { 10_000_000_000 };
        let left: Vec<Date> = (35..42).map(|n| later(date(2026, 10, 19), n).unwrap()).collect();
        let found = forecast(NanoUsd(1_000), &days(35, usual), &left).unwrap();
        assert_eq!(found.expected_nano_usd, NanoUsd(520_000_001_000));
        assert_eq!(
            (found.low_nano_usd, found.high_nano_usd),
            (found.expected_nano_usd, found.expected_nano_usd)
        );
    }

    #[test]
    fn the_range_grows_with_the_noise_and_never_falls_below_what_is_spent() {
        let noisy = |n: i64| 50_000_000_000 + (n / 7 % 2) * 40_000_000_000;
        let left = [date(2026, 11, 23)];
        let found = forecast(NanoUsd(7), &days(35, noisy), &left).unwrap();
        assert!(found.low_nano_usd < found.expected_nano_usd, "{found:?}");
        assert!(found.high_nano_usd > found.expected_nano_usd, "{found:?}");
        let wild = |n: i64| if n % 5 == 0 { 900_000_000_000 } else { 0 };
        let found = forecast(NanoUsd(7), &days(35, wild), &left).unwrap();
        assert_eq!(found.low_nano_usd, NanoUsd(7));
    }

    #[test]
    fn too_few_days_say_nothing() {
        assert_eq!(forecast(NanoUsd(7), &days(13, |_| 1), &[]), None);
        let nothing_left = forecast(NanoUsd(7), &days(14, |n| n), &[]).unwrap();
        assert_eq!(nothing_left.expected_nano_usd, NanoUsd(7));
    }

    #[test]
    fn a_budget_says_what_is_left_and_when_it_is_crossed() {
        let line = BudgetLine {
            name: "platform".to_owned(),
            period: "2026-11".to_owned(),
            owners: vec!["platform".to_owned()],
            is_monthly: true,
            is_whole: false,
            limit: NanoUsd(20_000_000_000_000),
            spent: NanoUsd(15_000_000_000_000),
            projected: Some(NanoUsd(21_300_000_000_000)),
            band: Some((NanoUsd(19_000_000_000_000), NanoUsd(24_000_000_000_000))),
            crossing: Some("2026-11-28T14:00:00+01:00".to_owned()),
        };
        assert!(!Budget::new(&line, "").is_for_month && !Budget::new(&line, "other").is_for_month);
        let budget = Budget::new(&line, "platform");
        assert!(budget.is_for_month);
        let row = budget.row(&Currency::default());
        assert_eq!((row.amount.as_str(), row.bar), ("$15,000.00", Some(750)));
        let details = [
            "75 % of $20,000.00",
            "2026-11",
            "about $21.3k at the end",
            "80 % range $19k to $24k",
            "will be used up about 2026-11-28 14:00",
        ];
        assert_eq!(row.details, details);
    }
}
