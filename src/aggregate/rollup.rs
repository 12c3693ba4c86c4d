//! Sums that merge: amounts of calls, tokens and money per minute, deployment and caller.

use std::collections::BTreeMap;

use super::names::NONE;
use crate::event::operation::Operation;
use crate::price::spend::Spend;
use crate::time::Minute;

/// Signed sums; every field only ever adds, so merging is associative and commutative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Amount {
    /// Calls, failed ones included.
    pub calls: i64,
    /// Calls answered with status 400 or above.
    pub errors: i64,
    /// Prompt tokens, cached ones included.
    pub input: i64,
    /// Cached prompt tokens.
    pub cached: i64,
    /// Generated tokens.
    pub output: i64,
    /// Cost in nano-USD of the tokens whose price is known.
    pub cost_nano: i64,
    /// Tokens whose price is unknown.
    pub unpriced: i64,
    /// Calls with tokens of which no usage row told the exact count.
    pub attributed: i64,
}

/// Number of fields in an [`Amount`].
pub const AMOUNT_FIELDS: usize = 8;

impl Amount {
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

    /// Input and output tokens.
    #[must_use]
    pub const fn tokens(self) -> i64 {
        self.input.saturating_add(self.output)
    }

    /// The fields in the order of the stored columns.
    #[must_use]
    pub const fn fields(self) -> [i64; AMOUNT_FIELDS] {
        [
            self.calls,
            self.errors,
            self.input,
            self.cached,
            self.output,
            self.cost_nano,
            self.unpriced,
            self.attributed,
        ]
    }

    /// The inverse of [`Amount::fields`].
    #[must_use]
    pub const fn from_fields(fields: [i64; AMOUNT_FIELDS]) -> Self {
        let [calls, errors, input, cached, output, cost_nano, unpriced, attributed] = fields;
        Self { calls, errors, input, cached, output, cost_nano, unpriced, attributed }
    }
}

/// What was on time and what came after the window was judged, kept apart so that a score never
/// reads a number that may still change while their sum stays exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Split {
    /// Enqueued before the window was judged.
    pub on_time: Amount,
    /// Everything later, corrections included (so it may be negative).
    pub late: Amount,
}

impl Split {
    /// Adds an amount to one side.
    pub fn add(&mut self, class: Class, amount: Amount) {
        match class {
            Class::OnTime => self.on_time = self.on_time.plus(amount),
            Class::Late => self.late = self.late.plus(amount),
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self { on_time: self.on_time.plus(other.on_time), late: self.late.plus(other.late) }
    }

    /// On time and late together.
    #[must_use]
    pub fn total(self) -> Amount {
        self.on_time.plus(self.late)
    }

    /// True when nothing is left to add.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// Which side of a [`Split`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Enqueued at most the lateness after the end of its minute.
    OnTime,
    /// Enqueued later.
    Late,
}

/// Whose sums a rollup row holds; the numbers are stored and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller(pub i64);

impl Caller {
    /// The whole deployment.
    pub const TOTAL: Self = Self(-1);
    /// Every caller beyond the cap.
    pub const OTHER: Self = Self(-2);

    /// Bits of the network's number: SQL that groups by network shifts and masks with these.
    pub const NETWORK: (u32, i64) = (32, 0xFF_FFFF);
    const OPERATION_SHIFT: u32 = 56;

    /// The caller with these numbers of network and identity, and what was asked for.
    #[must_use]
    pub const fn new(network: u32, identity: u32, operation: Operation) -> Self {
        // Names stay far below 2²⁴ (see `NameKind::limit`) and families below 2⁷: no overlap, no
        // sign.
        let network = (network as i64 & Self::NETWORK.1) << Self::NETWORK.0;
        Self((operation as i64) << Self::OPERATION_SHIFT | network | identity as i64)
    }

    /// What it is made of; `None` for the two sums.
    #[must_use]
    pub fn parts(self) -> Option<CallerParts> {
        Some(CallerParts {
            operation: Operation::from_number(u8::try_from(self.0 >> Self::OPERATION_SHIFT).ok()?),
            network: u32::try_from((self.0 >> Self::NETWORK.0) & Self::NETWORK.1).ok()?,
            identity: u32::try_from(self.0 & 0xFFFF_FFFF).ok()?,
        })
    }
}

/// What a caller is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallerParts {
    /// Number of the network.
    pub network: u32,
    /// Number of the identity.
    pub identity: u32,
    /// What was asked for.
    pub operation: Operation,
}

impl CallerParts {
    /// True when its successful calls were made with a key, as far as rows can tell: the log that
    /// names callers has spoken and no row named one. Of `amount` the failed calls stay out, and it
    /// holds once the attribution window of its calls has passed: the near-empty twin of a row
    /// never names anybody.
    #[must_use]
    pub fn is_key(self, amount: Amount) -> bool {
        self.identity == NONE && self.operation != Operation::Untold && amount.calls > amount.errors
    }
}

/// Key of a rollup row of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RollupKey {
    /// The minute of the calls.
    pub minute: Minute,
    /// Number of the deployment's name.
    pub deployment: u32,
    /// Whose.
    pub caller: Caller,
}

/// What one step changed in the rollups of one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deltas {
    /// By minute, deployment and caller.
    pub minutes: BTreeMap<RollupKey, Split>,
    /// Life-time sums by deployment and model.
    pub totals: BTreeMap<(u32, u32), Split>,
    /// Spend by meter: first minute of the hour, deployment and model.
    pub spend: BTreeMap<(Minute, u32, u32), Spend>,
}

impl Deltas {
    /// Adds `other`; the order of additions never matters.
    pub fn merge(&mut self, other: &Self) {
        for (key, split) in &other.minutes {
            let slot = self.minutes.entry(*key).or_default();
            *slot = slot.merged(*split);
        }
        for (key, split) in &other.totals {
            let slot = self.totals.entry(*key).or_default();
            *slot = slot.merged(*split);
        }
        for (key, spend) in &other.spend {
            let slot = self.spend.entry(*key).or_default();
            *slot = slot.plus(*spend);
        }
    }

    /// Forgets what cancelled out.
    pub fn drop_zeros(&mut self) {
        self.minutes.retain(|_, split| !split.is_zero());
        self.totals.retain(|_, split| !split.is_zero());
        self.spend.retain(|_, spend| !spend.is_zero());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn deltas() -> impl Strategy<Value = Deltas> {
        let split = (any::<i32>(), any::<i32>()).prop_map(|(a, b)| Split {
            on_time: Amount { calls: i64::from(a), ..Amount::default() },
            late: Amount { output: i64::from(b), ..Amount::default() },
        });
        proptest::collection::btree_map((0_i64..4, 0_u32..3, -2_i64..3), split, 0..12).prop_map(
            |map| {
                let mut deltas = Deltas::default();
                for ((minute, deployment, caller), split) in map {
                    let key =
                        RollupKey { minute: Minute(minute), deployment, caller: Caller(caller) };
                    deltas.minutes.insert(key, split);
                    deltas.totals.insert((deployment, 0), split);
                }
                deltas
            },
        )
    }

    fn merged(a: &Deltas, b: &Deltas) -> Deltas {
        let mut sum = a.clone();
        sum.merge(b);
        sum
    }

    proptest! {
        #[test]
        fn merging_is_commutative_and_associative(a in deltas(), b in deltas(), c in deltas()) {
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        }
    }

    #[test]
    fn callers_keep_their_parts() {
        for (network, identity, operation) in
            [(7, 9, Operation::Chat), (0, 0, Operation::Untold), (203_001, 9, Operation::Other)]
        {
            let caller = Caller::new(network, identity, operation);
            assert!(caller.0 >= 0);
            assert_eq!(caller.parts(), Some(CallerParts { network, identity, operation }));
        }
        assert_eq!(Caller::TOTAL.parts(), None);
        assert_eq!(Caller::OTHER.parts(), None);
    }
}
