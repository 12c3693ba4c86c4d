//! What moved the total, and why: requests, tokens per request, cached share, output share, rate.
//!
//! The cost of one deployment and model is requests × tokens per request × Σ share × rate. From last
//! week's cost each factor in turn is set to this week's, in that order; what each step adds is that
//! factor's part. A chain ends where it is to end, so the parts add up to the change exactly, whatever
//! is rounded in between. What came or went altogether has no factors: it is *new* or *gone*.

use std::collections::BTreeMap;

use serde::Serialize;

use super::deployments::place_text;
use crate::money::NanoUsd;
use crate::price::amount::half_even;
use crate::report::amount::Currency;
use crate::report::facts::{Facts, Key, Place, Sum, priced};
use crate::report::view::{Change, Row, Section, Way};

/// Lines each way.
const MOST: usize = 5;

/// The block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Movers {
    /// False when the database does not tell of the week before.
    pub is_known: bool,
    /// Largest increases first.
    pub up: Vec<Mover>,
    /// Largest decreases first.
    pub down: Vec<Mover>,
    /// All deployments without a line, together.
    pub others: Parts,
    /// Everything: the change of the total.
    pub total: Parts,
}

/// What one deployment moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mover {
    /// Resource id of the account.
    pub account: String,
    /// Deployment.
    pub deployment: String,
    /// Why.
    pub parts: Parts,
}

/// A change and what it is made of, in nano-USD; the parts add up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Parts {
    /// This week minus last week.
    pub change_nano_usd: NanoUsd,
    /// More or fewer calls.
    pub requests_nano_usd: NanoUsd,
    /// More or fewer tokens in each call.
    pub tokens_per_request_nano_usd: NanoUsd,
    /// More or less of the prompts from the cache.
    pub cached_share_nano_usd: NanoUsd,
    /// More or less generated for each token of prompt.
    pub output_share_nano_usd: NanoUsd,
    /// Another price for the same tokens.
    pub rate_nano_usd: NanoUsd,
    /// Deployments and models that were not used the week before, or are not any more.
    pub mix_nano_usd: NanoUsd,
}

impl Parts {
    /// The parts by name, in the order in which they are computed.
    #[must_use]
    pub const fn named(self) -> [(&'static str, NanoUsd); 6] {
        [
            ("requests", self.requests_nano_usd),
            ("tokens per request", self.tokens_per_request_nano_usd),
            ("cached share", self.cached_share_nano_usd),
            ("output share", self.output_share_nano_usd),
            ("rate", self.rate_nano_usd),
            ("new or gone", self.mix_nano_usd),
        ]
    }

    fn plus(self, other: Self) -> Self {
        Self {
            change_nano_usd: self.change_nano_usd.plus(other.change_nano_usd),
            requests_nano_usd: self.requests_nano_usd.plus(other.requests_nano_usd),
            tokens_per_request_nano_usd: self
                .tokens_per_request_nano_usd
                .plus(other.tokens_per_request_nano_usd),
            cached_share_nano_usd: self.cached_share_nano_usd.plus(other.cached_share_nano_usd),
            output_share_nano_usd: self.output_share_nano_usd.plus(other.output_share_nano_usd),
            rate_nano_usd: self.rate_nano_usd.plus(other.rate_nano_usd),
            mix_nano_usd: self.mix_nano_usd.plus(other.mix_nano_usd),
        }
    }

    /// The largest parts, at most three, such as `requests +$500.00, rate -$3.10`.
    #[must_use]
    pub fn text(self, currency: &Currency) -> String {
        let named = self.named();
        let shown = currency.signed_column(&named.map(|(_, part)| part), self.change_nano_usd);
        let mut parts: Vec<_> = named.iter().zip(shown).collect();
        parts.sort_by_key(|((_, part), _)| std::cmp::Reverse(part.0.saturating_abs()));
        // What is nothing in the unit of the change says nothing.
        let parts = parts
            .into_iter()
            .filter(|(_, shown)| shown.contains(['1', '2', '3', '4', '5', '6', '7', '8', '9']));
        let parts: Vec<_> = parts.map(|((name, _), shown)| format!("{name} {shown}")).collect();
        parts.join(", ")
    }
}

impl Movers {
    /// Computes it.
    #[must_use]
    pub fn new(facts: &Facts) -> Self {
        let nothing = Self {
            is_known: false,
            up: Vec::new(),
            down: Vec::new(),
            others: Parts::default(),
            total: Parts::default(),
        };
        if !facts.is_known(1) {
            return nothing;
        }
        let places = by_place(&facts.lines(1), &facts.lines(0));
        let total = places.values().fold(Parts::default(), |sum, parts| sum.plus(*parts));
        let mut moved: Vec<(Place, Parts)> = places.into_iter().collect();
        moved.sort_by_key(|(place, parts)| (parts.change_nano_usd, place.clone()));
        let mover =
            |(place, parts): (Place, Parts)| Mover { account: place.0, deployment: place.1, parts };
        let downs = moved.iter().take_while(|(_, parts)| parts.change_nano_usd.0 < 0).count();
        let mut rest = moved.split_off(downs.min(MOST));
        let down = moved;
        let ups = rest.iter().rev().take_while(|(_, parts)| parts.change_nano_usd.0 > 0).count();
        let mut up = rest.split_off(rest.len() - ups.min(MOST));
        up.reverse();
        let others = rest.iter().fold(Parts::default(), |sum, (_, parts)| sum.plus(*parts));
        Self {
            is_known: true,
            up: up.into_iter().map(mover).collect(),
            down: down.into_iter().map(mover).collect(),
            others,
            total,
        }
    }

    /// As people read it.
    #[must_use]
    pub fn section(&self, currency: &Currency) -> Section {
        if !self.is_known {
            return Section {
                title: "Top movers",
                lead: vec!["Everything is new: the week before is not known in full.".to_owned()],
                ..Section::default()
            };
        }
        let mut lines: Vec<(String, Parts)> = self
            .up
            .iter()
            .chain(&self.down)
            .map(|mover| (place_text(&mover.account, &mover.deployment), mover.parts))
            .collect();
        if self.others.change_nano_usd.0 != 0 {
            lines.push(("all others".to_owned(), self.others));
        }
        let changes: Vec<NanoUsd> = lines.iter().map(|(_, parts)| parts.change_nano_usd).collect();
        let total = self.total.change_nano_usd;
        let shown = currency.signed_column(&changes, total);
        let rows = lines.into_iter().zip(shown).map(|((name, parts), amount)| Row {
            name,
            amount: String::new(),
            change: Some(Change { text: amount, way: Way::of(parts.change_nano_usd.0, 0) }),
            details: vec![parts.text(currency)],
            ..Row::default()
        });
        Section {
            title: "Top movers",
            lead: vec![format!(
                "{} against last week: {}.",
                currency.signed(total),
                some(&self.total.text(currency))
            )],
            rows: rows.collect(),
            ..Section::default()
        }
    }

    /// One sentence: the largest mover and its two largest causes; `None` where nothing moved.
    #[must_use]
    pub fn cause(&self, currency: &Currency) -> Option<String> {
        let total = self.total.change_nano_usd;
        let side = if total.0 >= 0 { &self.up } else { &self.down };
        let first = side.first()?;
        let signed = |amount: NanoUsd| {
            let text = currency.short(amount);
            if amount.0 > 0 { format!("+{text}") } else { text }
        };
        let mut parts = first.parts.named();
        parts.sort_by_key(|(_, part)| std::cmp::Reverse(part.0.saturating_abs()));
        let parts = parts.iter().take(2).filter(|(_, part)| part.0 != 0);
        let parts: Vec<_> = parts.map(|(name, part)| format!("{name} {}", signed(*part))).collect();
        Some(format!(
            "{}: {} {} ({})",
            signed(total),
            place_text(&first.account, &first.deployment),
            signed(first.parts.change_nano_usd),
            parts.join(", ")
        ))
    }
}

fn some(text: &str) -> &str {
    if text.is_empty() { "nothing changed" } else { text }
}

/// The parts of every deployment: those of its models together.
fn by_place(before: &BTreeMap<Key, Sum>, now: &BTreeMap<Key, Sum>) -> BTreeMap<Place, Parts> {
    let mut places: BTreeMap<Place, Parts> = BTreeMap::new();
    let keys: std::collections::BTreeSet<&Key> = before.keys().chain(now.keys()).collect();
    for key in keys {
        let of = |lines: &BTreeMap<Key, Sum>| lines.get(key).copied().unwrap_or_default();
        let parts = places.entry(key.place()).or_default();
        *parts = parts.plus(decomposed(of(before), of(now)));
    }
    places
}

/// What one deployment and model moved, by cause.
#[must_use]
pub fn decomposed(before: Sum, now: Sum) -> Parts {
    let change = i128::from(now.cost().0) - i128::from(before.cost().0);
    let chain = steps(before, now).and_then(|[requests, size, cached, output]| {
        let ends = [i128::from(before.cost().0), requests, size, cached, output];
        let steps =
            ends.into_iter().zip(ends.into_iter().skip(1).chain([i128::from(now.cost().0)]));
        steps
            .map(|(from, to)| i64::try_from(to - from).ok().map(NanoUsd))
            .collect::<Option<Vec<NanoUsd>>>()
    });
    let change =
        NanoUsd(i64::try_from(change).unwrap_or(if change > 0 { i64::MAX } else { i64::MIN }));
    match chain.as_deref() {
        Some(&[requests, size, cached, output, rate]) => Parts {
            change_nano_usd: change,
            requests_nano_usd: requests,
            tokens_per_request_nano_usd: size,
            cached_share_nano_usd: cached,
            output_share_nano_usd: output,
            rate_nano_usd: rate,
            mix_nano_usd: NanoUsd(0),
        },
        Some(_) | None => {
            Parts { change_nano_usd: change, mix_nano_usd: change, ..Parts::default() }
        }
    }
}

/// Last week's cost with this week's requests; with its tokens too; with its cached share too; with its
/// output share too. `None` where a week has no priced tokens, calls or cost.
fn steps(before: Sum, now: Sum) -> Option<[i128; 4]> {
    let [calls, calls_now] = [before, now].map(|sum| i128::from(sum.spend.calls));
    let [old, new] = [before, now].map(|sum| sum.spend.meters.map(|m| i128::from(priced(m))));
    let tokens: i128 = old.iter().sum();
    let tokens_now: i128 = new.iter().sum();
    let cost = i128::from(before.cost().0);
    let is_usual = calls > 0 && calls_now > 0 && tokens > 0 && tokens_now > 0 && cost > 0;
    let is_sound = old.iter().chain(&new).all(|tokens| *tokens >= 0);
    if !is_usual || !is_sound {
        return None;
    }
    let requests = times(cost, calls_now, calls)?;
    let size = times(cost, tokens_now, tokens)?;
    // Prompt and output as large as before in proportion; of the prompt as much cached as now.
    let [old_prompt, new_prompt] = [old, new].map(|[input, cached, _]| input + cached);
    let prompt = times(tokens_now, old_prompt, tokens)?;
    let cached_of = |prompt: i128, [_, cached, _]: [i128; 3], all: i128| {
        if all == 0 { Some(0) } else { times(prompt, cached, all) }
    };
    let cached = cached_of(prompt, new, new_prompt)?;
    let shared = [prompt - cached, cached, tokens_now - prompt];
    let cached = at_old_rates(shared, before, now)?;
    let output = at_old_rates(new, before, now)?;
    Some([requests, size, cached, output])
}

/// What these tokens by meter would have cost at last week's rates; a meter that had none last week at
/// this week's, so that it is no change of rate.
fn at_old_rates(tokens: [i128; 3], before: Sum, now: Sum) -> Option<i128> {
    let meters = before.spend.meters.into_iter().zip(now.spend.meters).zip(tokens);
    meters.into_iter().try_fold(0_i128, |sum, ((old, new), tokens)| {
        let rate = if priced(old) > 0 { old } else { new };
        let all = i128::from(priced(rate));
        let part = if all > 0 { times(i128::from(rate.cost_nano), tokens, all)? } else { 0 };
        sum.checked_add(part)
    })
}

/// a × b ÷ c to the nearest.
fn times(a: i128, b: i128, c: i128) -> Option<i128> {
    (c > 0).then_some(())?;
    Some(half_even(a.checked_mul(b)?, c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::price::spend::{MeterSpend, Spend};

    /// Calls, and tokens by meter at prices in nano-USD a token.
    fn sum(calls: i64, tokens: [i64; 3], prices: [i64; 3]) -> Sum {
        let mut meters = [MeterSpend::default(); 3];
        for ((meter, tokens), price) in meters.iter_mut().zip(tokens).zip(prices) {
            *meter = MeterSpend { tokens, cost_nano: tokens * price, ..MeterSpend::default() };
        }
        Sum { spend: Spend { calls, meters, ..Spend::default() }, ..Sum::default() }
    }

    #[track_caller]
    fn check(before: Sum, now: Sum, expected: &[(&str, i64)]) {
        let parts = decomposed(before, now);
        let found: Vec<(&str, i64)> = parts
            .named()
            .into_iter()
            .filter(|(_, part)| part.0 != 0)
            .map(|(name, part)| (name, part.0))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_cause_has_its_part() {
        let prices = [2_500, 1_250, 10_000];
        let before = sum(100, [800_000, 200_000, 100_000], prices);
        assert_eq!(before.cost(), NanoUsd(3_250_000_000));
        check(before, before, &[]);
        let twice = sum(200, [1_600_000, 400_000, 200_000], prices);
        check(before, twice, &[("requests", 3_250_000_000)]);
        let longer = sum(100, [1_600_000, 400_000, 200_000], prices);
        check(before, longer, &[("tokens per request", 3_250_000_000)]);
        let cached = sum(100, [400_000, 600_000, 100_000], prices);
        check(before, cached, &[("cached share", -500_000_000)]);
        let wordy = sum(100, [720_000, 180_000, 200_000], prices);
        check(before, wordy, &[("output share", 775_000_000)]);
        let dearer = sum(100, [800_000, 200_000, 100_000], [5_000, 1_250, 10_000]);
        check(before, dearer, &[("rate", 2_000_000_000)]);
        check(Sum::default(), before, &[("new or gone", 3_250_000_000)]);
        check(before, Sum::default(), &[("new or gone", -3_250_000_000)]);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_change_whatever_the_weeks_were(
            calls in prop::array::uniform2(0_i64..10_000_000),
            tokens in prop::array::uniform6(0_i64..1_000_000_000_000),
            prices in prop::array::uniform6(0_i64..200_000),
        ) {
            let [a, b, c, d, e, f] = tokens;
            let [p, q, r, s, t, u] = prices;
            let before = sum(calls[0], [a, b, c], [p, q, r]);
            let now = sum(calls[1], [d, e, f], [s, t, u]);
            let parts = decomposed(before, now);
            let added: i128 = parts.named().iter().map(|(_, part)| i128::from(part.0)).sum();
            prop_assert_eq!(added, i128::from(now.cost().0) - i128::from(before.cost().0));
            prop_assert_eq!(added, i128::from(parts.change_nano_usd.0));
        }
    }
}
