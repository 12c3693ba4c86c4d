//! Spend by meter: sums that only ever add, so that they merge in any order.

use super::meter::Meter;
use crate::money::NanoUsd;
use crate::time::Minute;

/// Calls of one deployment and model, and what they used and cost by meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Spend {
    /// Calls, failed ones included.
    pub calls: i64,
    /// Calls that succeeded and of which no record told (all of) the tokens: their cost is unknown.
    pub untold: i64,
    /// Bytes of their requests: what they have of a size when their tokens are to be estimated.
    pub untold_sent: i64,
    /// Bytes of their responses.
    pub untold_received: i64,
    /// Tokens that only the log of callers told, without their cached part: basis *attributed*. The
    /// rest of the tokens is exact.
    pub attributed_tokens: i64,
    /// Cost of those in nano-USD, as far as it is known.
    pub attributed_nano: i64,
    /// By number of the meter, those of [`Meter::LOGGED`].
    pub meters: [MeterSpend; Meter::LOGGED.len()],
}

/// One meter of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct MeterSpend {
    /// Tokens.
    pub tokens: i64,
    /// Cost in nano-USD of those whose price is known.
    pub cost_nano: i64,
    /// Tokens whose price is unknown.
    pub unpriced: i64,
    /// Tokens served by capacity that is paid by the hour.
    pub provisioned: i64,
}

/// Number of fields in a [`Spend`].
pub const SPEND_FIELDS: usize = 6 + 4 * Meter::LOGGED.len();

/// Sums of one deployment and model in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpendHour {
    /// First minute of the hour, UTC.
    pub start: Minute,
    /// Azure resource id of the account, lower case.
    pub account: String,
    /// Deployment, lower case; empty when no record named one.
    pub deployment: String,
    /// Model as `name@version` or `name`.
    pub model: String,
    /// The sums.
    pub spend: Spend,
}

impl Spend {
    /// The sum of both, stopping at the ends of the range instead of wrapping.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut sums = self.fields();
        for (sum, addend) in sums.iter_mut().zip(other.fields()) {
            *sum = sum.saturating_add(addend);
        }
        Self::from_fields(sums)
    }

    /// The same with the opposite sign.
    #[must_use]
    pub fn negated(self) -> Self {
        Self::from_fields(self.fields().map(i64::saturating_neg))
    }

    /// True when there is nothing to add.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// What the tokens with a known price cost.
    #[must_use]
    pub fn cost(self) -> NanoUsd {
        self.meters.iter().fold(NanoUsd(0), |sum, meter| sum.plus(NanoUsd(meter.cost_nano)))
    }

    /// Sum of one field over the meters.
    #[must_use]
    pub fn over_meters(self, field: impl Fn(MeterSpend) -> i64) -> i64 {
        self.meters.into_iter().fold(0, |sum, meter| sum.saturating_add(field(meter)))
    }

    /// The fields in the order of the stored columns.
    #[must_use]
    pub const fn fields(self) -> [i64; SPEND_FIELDS] {
        let [a, b, c] = self.meters;
        [
            self.calls,
            self.untold,
            self.untold_sent,
            self.untold_received,
            self.attributed_tokens,
            self.attributed_nano,
            a.tokens,
            a.cost_nano,
            a.unpriced,
            a.provisioned,
            b.tokens,
            b.cost_nano,
            b.unpriced,
            b.provisioned,
            c.tokens,
            c.cost_nano,
            c.unpriced,
            c.provisioned,
        ]
    }

    /// The inverse of [`Spend::fields`].
    #[must_use]
    pub const fn from_fields(fields: [i64; SPEND_FIELDS]) -> Self {
        let [calls, untold, untold_sent, untold_received, rest @ ..] = fields;
        let [attributed_tokens, attributed_nano, a0, a1, a2, a3, rest @ ..] = rest;
        let [b0, b1, b2, b3, c0, c1, c2, c3] = rest;
        let meters = [of([a0, a1, a2, a3]), of([b0, b1, b2, b3]), of([c0, c1, c2, c3])];
        Self {
            calls,
            untold,
            untold_sent,
            untold_received,
            attributed_tokens,
            attributed_nano,
            meters,
        }
    }
}

const fn of(fields: [i64; 4]) -> MeterSpend {
    let [tokens, cost_nano, unpriced, provisioned] = fields;
    MeterSpend { tokens, cost_nano, unpriced, provisioned }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order() {
        let numbers = std::array::from_fn(|place| i64::try_from(place).unwrap());
        let spend = Spend::from_fields(numbers);
        assert_eq!(spend.fields(), numbers);
        assert_eq!((spend.untold, spend.attributed_nano), (1, 5));
        assert_eq!((spend.meters[1].cost_nano, spend.meters[2].unpriced), (11, 16));
        assert!(spend.plus(spend.negated()).is_zero());
        assert_eq!(spend.over_meters(|meter| meter.tokens), 6 + 10 + 14);
        assert_eq!(spend.cost(), NanoUsd(7 + 11 + 15));
    }
}
