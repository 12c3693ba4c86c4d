//! What nobody logged, estimated from metrics, and priced.

use crate::aggregate::estimate::Estimated;
use crate::engine::bought;
use crate::money::NanoUsd;
use crate::price::PriceBook;
use crate::store::StoreError;
use crate::store::estimates::EstimatedHour;
use crate::store::read::Reader;
use crate::time::Minute;

/// Tokens of calls that no row told, and what they may have cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guess {
    /// Calls these are the tokens of; 0 where no log tells of any.
    pub calls: i64,
    /// The tokens.
    pub tokens: Estimated,
    /// Cost of those whose price is known.
    pub cost: NanoUsd,
    /// Tokens whose price is unknown.
    pub unpriced: i64,
}

impl Guess {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            tokens: Estimated {
                input: self.tokens.input.saturating_add(other.tokens.input),
                output: self.tokens.output.saturating_add(other.tokens.output),
            },
            cost: self.cost.plus(other.cost),
            unpriced: self.unpriced.saturating_add(other.unpriced),
        }
    }

    /// The cost of all of it; `None` when some of it is unknown.
    #[must_use]
    pub fn known_cost(self) -> Option<NanoUsd> {
        (self.unpriced == 0).then_some(self.cost)
    }
}

/// Everything estimated in the hours from `from` until before `until`, priced as calls of their moment
/// are priced.
///
/// # Errors
/// What SQLite says.
pub async fn between(
    reader: &mut Reader,
    (from, until): (Minute, Minute),
    book: &PriceBook,
) -> Result<Vec<(EstimatedHour, Guess)>, StoreError> {
    let hours = reader.estimates(from, until).await?;
    let mut priced = Vec::with_capacity(hours.len());
    for hour in hours {
        let lives = match book.contract.lives(&hour.account, &hour.deployment) {
            [] => bought::lives(&reader.purchases(&hour.account, &hour.deployment).await?),
            said => said.to_vec(),
        };
        let rates = book.rates_of(&hour.account, &lives, &hour.model);
        let Estimated { input, output } = hour.tokens;
        let (cost, unpriced) = rates.of_many(hour.calls, [input, output], hour.start.start());
        let guess = Guess { calls: hour.calls, tokens: hour.tokens, cost, unpriced };
        priced.push((hour, guess));
    }
    Ok(priced)
}
