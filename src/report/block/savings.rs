//! What could cost less, each with what it assumes. An offer to think about, never a promise.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::deployments::place_text;
use crate::money::NanoUsd;
use crate::price::amount::half_even;
use crate::report::amount::Currency;
use crate::report::facts::{Facts, Place, priced};
use crate::report::view::{Row, Section, Unarmed, named};

/// Lines of one kind.
const MOST: usize = 3;
/// A call that generates no more than this on average may be one for a smaller model.
const SMALL_OUTPUT: i64 = 200;
/// Share of the prompts, in percent, that is taken to come from the cache in addition.
const MORE_CACHED: i128 = 20;
/// Less in a year is not worth anybody's hour.
const LEAST_YEARLY: NanoUsd = NanoUsd(12 * crate::money::NANO_PER_USD);

/// The block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Savings {
    /// Largest first.
    pub rows: Vec<Saving>,
    /// Deployments that nobody called all week and somebody did in the weeks before.
    pub idle: Vec<String>,
    /// What needs data that are not there yet.
    pub unarmed: Vec<Unarmed>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Saving {
    /// What to do.
    pub what: String,
    /// Where.
    pub place: String,
    /// What it saves in a year like this week.
    pub yearly_nano_usd: NanoUsd,
    /// `high`, `medium` or `low`.
    pub confidence: &'static str,
    /// What that takes for granted.
    pub assumes: String,
}

/// What capacity paid by the hour offers for one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Tokens a minute that one unit serves.
    pub tokens_per_minute: i64,
    /// What one unit costs an hour.
    pub per_unit_hour: NanoUsd,
    /// Fewest units that are sold.
    pub least_units: i64,
    /// Units are sold in steps of this many.
    pub step_units: i64,
}

/// What buying capacity would have done to a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakEven {
    /// Units for the load that four of five hours stay below.
    pub units: i64,
    /// Hours in which the tokens they serve cost more than the units.
    pub hours_above: i64,
    /// What the week would have cost less; negative when more.
    pub weekly: NanoUsd,
}

impl Savings {
    /// Computes it. `offers` are by model; none are known until a price book has them.
    #[must_use]
    pub fn new(facts: &Facts, offers: &BTreeMap<String, Offer>) -> Self {
        let mut rows = cached(facts);
        rows.extend(smaller(facts));
        rows.extend(provisioned(facts, offers));
        rows.retain(|saving| saving.yearly_nano_usd >= LEAST_YEARLY);
        rows.sort_by_key(|saving| {
            (std::cmp::Reverse(saving.yearly_nano_usd), saving.place.clone(), saving.what.clone())
        });
        let mut unarmed = Vec::new();
        if offers.is_empty() {
            unarmed.push(Unarmed {
                what: "provisioned throughput: break-even and units",
                needs: "tokens a minute and price of one PTU by model in the price book",
            });
        }
        unarmed.extend([
            Unarmed { what: "batch-eligible traffic at night", needs: "which calls may wait" },
            Unarmed { what: "data zone against global price", needs: "regions allowed by policy" },
            Unarmed {
                what: "caps on generated tokens",
                needs: "sketches of calls (detectors of cost)",
            },
            Unarmed { what: "idle hosted fine-tunes", needs: "inventory" },
        ]);
        Self { rows, idle: idle(facts), unarmed }
    }

    /// As people read it.
    #[must_use]
    pub fn section(&self, currency: &Currency) -> Section {
        let rows = self.rows.iter().map(|saving| Row {
            name: format!("{} in {}", saving.what, saving.place),
            amount: format!("{} a year", currency.about(saving.yearly_nano_usd)),
            details: vec![
                format!("confidence {}", saving.confidence),
                format!("if {}", saving.assumes),
            ],
            ..Row::default()
        });
        let mut notes = Vec::new();
        if !self.idle.is_empty() {
            notes.push(format!(
                "Nobody called {} this week. Unused, it costs nothing by the token, and still answers \
                 a stolen key.",
                self.idle.join(", ")
            ));
        }
        let lead = if self.rows.is_empty() {
            vec!["Nothing that saves more than a dollar a month.".to_owned()]
        } else {
            Vec::new()
        };
        Section {
            title: "Savings",
            lead,
            rows: rows.collect(),
            notes,
            unarmed: self.unarmed.clone(),
            ..Section::default()
        }
    }
}

fn yearly(weekly: i128) -> NanoUsd {
    NanoUsd(i64::try_from(half_even(weekly * 365, 7)).unwrap_or(i64::MAX))
}

/// Twenty points more of the prompts from the cache, at the rates that were paid.
fn cached(facts: &Facts) -> Vec<Saving> {
    let lines = facts.lines(0);
    // Cost and tokens of what came from the cache, by model: a deployment without a hit learns the
    // rate from the others.
    let mut rates: BTreeMap<&str, (i128, i128)> = BTreeMap::new();
    for (key, sum) in &lines {
        let [_, meter, _] = sum.spend.meters;
        let (cost, tokens) = rates.entry(&key.model).or_default();
        *cost += i128::from(meter.cost_nano);
        *tokens += i128::from(priced(meter));
    }
    let mut by_place: BTreeMap<Place, i128> = BTreeMap::new();
    for (key, sum) in &lines {
        let [input, cached, _] = sum.spend.meters;
        let (tokens, cost) = (i128::from(priced(input)), i128::from(input.cost_nano));
        let (cached_cost, cached_tokens) =
            rates.get(key.model.as_str()).copied().unwrap_or_default();
        if tokens <= 0 || cached_tokens <= 0 {
            continue;
        }
        let moved = ((tokens + i128::from(priced(cached))) * MORE_CACHED / 100).min(tokens);
        let saved = half_even(moved * cost, tokens) - half_even(moved * cached_cost, cached_tokens);
        *by_place.entry(key.place()).or_default() += saved.max(0);
    }
    largest(by_place)
        .map(|((account, deployment), saved)| Saving {
            what: "20 points more prompt tokens from the cache".to_owned(),
            place: place_text(&account, &deployment),
            yearly_nano_usd: yearly(saved),
            confidence: "medium",
            assumes: "prompts begin alike (system prompt first, changing parts last)".to_owned(),
        })
        .collect()
}

/// The smaller model of the family, where little is generated.
fn smaller(facts: &Facts) -> Vec<Saving> {
    let lines = facts.lines(0);
    let mut found = Vec::new();
    for cheaper in &facts.cheaper {
        let Some(sum) = lines.get(&cheaper.key) else { continue };
        let [_, _, output] = sum.spend.meters;
        if output.tokens > SMALL_OUTPUT.saturating_mul(sum.spend.calls) {
            continue;
        }
        found.push(Saving {
            what: format!("{} for calls with short answers", cheaper.model),
            place: place_text(&cheaper.key.account, &cheaper.key.deployment),
            yearly_nano_usd: yearly(i128::from(sum.cost().0) - i128::from(cheaper.cost.0)),
            confidence: "low",
            assumes: format!(
                "all its calls are as well served as by {}",
                named(&cheaper.key.model)
            ),
        });
    }
    found.sort_by_key(|saving| std::cmp::Reverse(saving.yearly_nano_usd));
    found.truncate(MOST);
    found
}

fn provisioned(facts: &Facts, offers: &BTreeMap<String, Offer>) -> Vec<Saving> {
    let mut found = Vec::new();
    for (key, hours) in &facts.hours {
        let Some(offer) = offers.get(&key.model) else { continue };
        let load: Vec<(i64, NanoUsd)> =
            hours.iter().map(|(_, spend)| (spend.over_meters(priced), spend.cost())).collect();
        let Some(even) = break_even(&load, facts.week.hours(), *offer) else { continue };
        if even.weekly.0 > 0 {
            found.push(Saving {
                what: format!("{} PTU ({} hours above break-even)", even.units, even.hours_above),
                place: place_text(&key.account, &key.deployment),
                yearly_nano_usd: yearly(i128::from(even.weekly.0)),
                confidence: "medium",
                assumes: "load as in this week, bought by the hour without a reservation"
                    .to_owned(),
            });
        }
    }
    found.truncate(MOST);
    found
}

/// What capacity for the load of the 80th percentile of hours would have done.
///
/// It serves up to its limit in each hour; the rest is paid by the token as it was. `load` has tokens
/// and cost of the hours with any. `None` without load.
#[must_use]
pub fn break_even(load: &[(i64, NanoUsd)], hours: i64, offer: Offer) -> Option<BreakEven> {
    let hours = usize::try_from(hours).ok()?.max(load.len());
    let per_unit = i128::from(offer.tokens_per_minute) * 60;
    let mut tokens: Vec<i128> = load.iter().map(|(tokens, _)| i128::from(*tokens)).collect();
    tokens.resize(hours, 0);
    tokens.sort_unstable();
    // Nearest rank.
    let p80 = *tokens.get((hours * 4).div_ceil(5).checked_sub(1)?)?;
    if p80 <= 0 || per_unit <= 0 {
        return None;
    }
    let step = i128::from(offer.step_units.max(1));
    let wanted = (p80 + per_unit - 1) / per_unit;
    let units = wanted.max(i128::from(offer.least_units));
    let units = (units + step - 1) / step * step;
    let hourly = units * i128::from(offer.per_unit_hour.0);
    let mut replaced = 0;
    let mut above = 0;
    for (tokens, cost) in load.iter().filter(|(tokens, _)| *tokens > 0) {
        let served = i128::from(*tokens).min(units * per_unit);
        let part = half_even(i128::from(cost.0) * served, i128::from(*tokens));
        replaced += part;
        above += i64::from(part > hourly);
    }
    let weekly = replaced - hourly * i128::try_from(hours).ok()?;
    let units = i64::try_from(units).ok()?;
    i64::try_from(weekly).ok().map(|weekly| BreakEven {
        units,
        hours_above: above,
        weekly: NanoUsd(weekly),
    })
}

/// Deployments with calls in the four weeks before and none in this one.
fn idle(facts: &Facts) -> Vec<String> {
    let used: BTreeSet<Place> = facts
        .lines(0)
        .into_iter()
        .filter(|(_, sum)| sum.spend.calls != 0)
        .map(|(key, _)| key.place())
        .collect();
    let mut idle = BTreeSet::new();
    for week in 1..=4 {
        let before = facts.lines(week).into_keys().map(|key| key.place());
        idle.extend(before.filter(|place| !place.1.is_empty() && !used.contains(place)));
    }
    idle.into_iter().map(|(account, deployment)| place_text(&account, &deployment)).collect()
}

fn largest(sums: BTreeMap<Place, i128>) -> impl Iterator<Item = (Place, i128)> {
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(place, saved)| (std::cmp::Reverse(*saved), place.clone()));
    sums.into_iter().take(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer = Offer {
        tokens_per_minute: 1_000,
        per_unit_hour: NanoUsd(1_000_000_000),
        least_units: 2,
        step_units: 2,
    };

    #[test]
    fn capacity_pays_where_the_load_is_high_all_day() {
        // 180,000 tokens an hour are 3 units' worth: 4 are bought, at 4 dollars an hour.
        let busy = vec![(180_000, NanoUsd(9_000_000_000)); 168];
        let even = break_even(&busy, 168, OFFER).unwrap();
        let weekly = NanoUsd((9 - 4) * 168 * 1_000_000_000);
        assert_eq!(even, BreakEven { units: 4, hours_above: 168, weekly });
        // The same for half the hours: the units cost on while nobody calls.
        let half = vec![(180_000, NanoUsd(9_000_000_000)); 84];
        let even = break_even(&half, 168, OFFER).unwrap();
        let weekly = NanoUsd((9 * 84 - 4 * 168) * 1_000_000_000);
        assert_eq!(even, BreakEven { units: 4, hours_above: 84, weekly });
    }

    #[test]
    fn what_is_above_the_units_is_paid_by_the_token() {
        let mut load = vec![(120_000, NanoUsd(3_000_000_000)); 160];
        load.extend(vec![(240_000, NanoUsd(6_000_000_000)); 8]);
        let even = break_even(&load, 168, OFFER).unwrap();
        assert_eq!((even.units, even.hours_above), (2, 168));
        assert_eq!(even.weekly, NanoUsd(168 * 1_000_000_000));
    }

    #[test]
    fn rare_load_buys_nothing() {
        assert_eq!(break_even(&[(1_000, NanoUsd(5))], 168, OFFER), None);
        assert_eq!(break_even(&[], 168, OFFER), None);
        assert_eq!(break_even(&[], 0, OFFER), None);
    }
}
