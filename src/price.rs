//! What tokens cost: the price book in `models/prices.toml` and exact arithmetic over it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::event::Tokens;
use crate::money::NanoUsd;

/// The price book compiled into the program.
const BUILT_IN: &str = include_str!("../models/prices.toml");

/// Prices by model, scope and context band.
#[derive(Debug, Clone)]
pub struct PriceBook {
    /// Which edition, for reports.
    pub version: String,
    models: HashMap<String, ModelPrices>,
}

/// Prices of one model, by length of prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPrices(Arc<[Band]>);

/// What one model costs from a certain prompt length on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Band {
    /// Holds for prompts of more tokens than this.
    above: u32,
    prices: Prices,
}

/// Prices of one model in pico-USD (10⁻¹² USD) per token: USD per million tokens × 10⁶.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prices {
    /// Prompt tokens not served from the cache; `None` when unknown.
    pub input: Option<i64>,
    /// Prompt tokens served from the cache; `None` when the model has no such meter.
    pub cached: Option<i64>,
    /// Generated tokens; `None` when unknown.
    pub output: Option<i64>,
}

/// Why a price book cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// Not the expected TOML.
    #[error("cannot read price book: {0}")]
    Toml(#[from] toml::de::Error),
    /// A price that is no number of USD with at most six decimals.
    #[error("price of {model}: {text:?} is not an amount in USD with at most 6 decimals")]
    Amount {
        /// The model as written.
        model: String,
        /// The amount as written.
        text: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBook {
    version: String,
    scope_order: Vec<String>,
    prices: Vec<RawPrice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrice {
    model: String,
    scope: String,
    input: Option<String>,
    cached: Option<String>,
    output: Option<String>,
    context: Option<String>,
    #[expect(dead_code, reason = "provenance for readers of the file")]
    source: String,
}

impl PriceBook {
    /// The book compiled into the program.
    ///
    /// # Errors
    /// Never in a release: a test reads it.
    pub fn built_in() -> Result<Self, PriceError> {
        Self::parse(BUILT_IN)
    }

    /// Reads a book in the format of `models/prices.toml`.
    ///
    /// # Errors
    /// Not TOML of that shape, or an amount that is none.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let raw: RawBook = toml::from_str(text)?;
        let rank = |scope: &str| raw.scope_order.iter().position(|known| known == scope);
        let mut chosen: HashMap<(String, u32), (usize, Prices)> = HashMap::new();
        for price in &raw.prices {
            // Batch, flex and priority meters cannot be told from the logs: never assumed.
            let Some(rank) = rank(&price.scope) else { continue };
            let above = price.context.as_deref().map_or(0, band_of);
            let entry = (rank, price.read()?);
            let slot = chosen.entry((price.model.to_lowercase(), above)).or_insert(entry);
            if entry.0 < slot.0 {
                *slot = entry;
            }
        }
        let mut models: HashMap<String, Vec<Band>> = HashMap::new();
        for ((model, above), (_, prices)) in chosen {
            models.entry(model).or_default().push(Band { above, prices });
        }
        let sorted = models.into_iter().map(|(model, mut bands)| {
            bands.sort_unstable_by_key(|band| band.above);
            (model, ModelPrices(bands.into()))
        });
        Ok(Self { version: raw.version, models: sorted.collect() })
    }

    /// Prices of `model` (a name such as `gpt-4o`, or `gpt-4o@2024-11-20` with its version);
    /// `None` when the book does not know it.
    #[must_use]
    pub fn find(&self, model: &str) -> Option<ModelPrices> {
        let lower = model.to_lowercase();
        let (name, version) = lower.split_once('@').unwrap_or((&lower, ""));
        let found = self.models.get(&format!("{name}-{version}"));
        found
            .or_else(|| self.models.get(name))
            .or_else(|| self.models.get(without_date(name)?))
            .cloned()
    }
}

impl ModelPrices {
    /// Prices for a prompt of `input` tokens; `None` when no band of the book holds it.
    #[must_use]
    pub fn at(&self, input: u32) -> Option<Prices> {
        let held = self.0.iter().rev().find(|band| band.above == 0 || input > band.above);
        held.map(|band| band.prices)
    }

    /// Cost of one call; `None` when tokens were used whose price is unknown.
    #[must_use]
    pub fn cost(&self, tokens: Tokens) -> Option<NanoUsd> {
        self.at(tokens.input)?.cost(tokens)
    }
}

impl RawPrice {
    fn read(&self) -> Result<Prices, PriceError> {
        let amount = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => pico_per_token(text).map(Some).ok_or_else(|| PriceError::Amount {
                model: self.model.clone(),
                text: text.clone(),
            }),
        };
        Ok(Prices {
            input: amount(&self.input)?,
            cached: amount(&self.cached)?,
            output: amount(&self.output)?,
        })
    }
}

impl Prices {
    /// Cost of one call, rounded once per meter, half to even; `None` when tokens were used whose
    /// price is unknown. Where a model has no cached meter, cached tokens cost as much as others.
    #[must_use]
    pub fn cost(self, tokens: Tokens) -> Option<NanoUsd> {
        let cached = tokens.cached.min(tokens.input);
        let meters = [
            (tokens.input - cached, self.input),
            (cached, self.cached.or(self.input)),
            (tokens.output, self.output),
        ];
        meters.into_iter().try_fold(NanoUsd(0), |sum, (count, price)| match (count, price) {
            (0, _) => Some(sum),
            (_, None) => None,
            (count, Some(price)) => Some(sum.plus(NanoUsd(rounded(count, price)?))),
        })
    }
}

/// `count × pico / 1000`, half to even.
fn rounded(count: u32, pico: i64) -> Option<i64> {
    let exact = i64::from(count).checked_mul(pico)?;
    let (whole, rest) = (exact.div_euclid(1000), exact.rem_euclid(1000));
    let up = rest > 500 || (rest == 500 && whole % 2 != 0);
    Some(whole + i64::from(up))
}

/// `"2.5"` USD per million tokens as 2,500,000 pico-USD per token.
fn pico_per_token(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 6 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    let fraction: i64 = format!("{fraction:0<6}").parse().ok()?;
    Some(i64::from(whole) * 1_000_000 + fraction)
}

/// `above_272k_tokens` as 272,000; 0 for the base band.
fn band_of(context: &str) -> u32 {
    let digits: String = context.chars().filter(char::is_ascii_digit).collect();
    match digits.parse::<u32>() {
        Ok(thousands) if context.starts_with("above") => thousands.saturating_mul(1000),
        _ => 0,
    }
}

/// `gpt-4o-2024-11-20` without its date.
fn without_date(name: &str) -> Option<&str> {
    let (head, date) = name.split_at_checked(name.len().checked_sub(11)?)?;
    let is_date = date.bytes().enumerate().all(|(place, byte)| match place {
        0 | 5 | 8 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    is_date.then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(model: &str, tokens: (u32, u32, u32), cost: Option<i64>) {
        let book = PriceBook::built_in().unwrap();
        let tokens = Tokens { input: tokens.0, cached: tokens.1, output: tokens.2 };
        let found = book.find(model).and_then(|prices| prices.cost(tokens));
        assert_eq!(found, cost.map(NanoUsd), "{model}");
    }

    #[test]
    fn known_models_cost_what_the_list_says() {
        check("gpt-4o", (1_000_000, 0, 0), Some(2_500_000_000));
        check("GPT-4o", (1_000_000, 400_000, 1000), Some(1_500_000_000 + 500_000_000 + 10_000_000));
        check("gpt-4o@2024-05-13", (1_000_000, 0, 0), Some(5_000_000_000));
        check("gpt-4o@2031-01-01", (1_000_000, 0, 0), Some(2_500_000_000));
        check("gpt-4o-2031-01-01", (1_000_000, 0, 0), Some(2_500_000_000));
    }

    #[test]
    fn unknown_is_never_zero() {
        check("no-such-model", (1, 0, 1), None);
        check("", (1, 0, 1), None);
    }

    #[test]
    fn long_prompts_cost_their_band() {
        let book = PriceBook::built_in().unwrap();
        let short = book.find("gpt-5.4").unwrap().at(272_000).unwrap();
        let long = book.find("gpt-5.4").unwrap().at(272_001).unwrap();
        assert_eq!(long.input, short.input.map(|price| price * 2));
    }

    #[test]
    fn halves_round_to_even() {
        assert_eq!([500, 1500, 2500, 501].map(|pico| rounded(1, pico)), [0, 2, 2, 1].map(Some));
        assert_eq!(pico_per_token("0.083"), Some(83_000));
        assert_eq!(pico_per_token("1.0000001"), None);
        assert_eq!(pico_per_token("-1"), None);
    }
}
