//! Tokens nobody logged, estimated: what Azure's metrics count of an account beyond its logs, spread
//! over the calls of which no row told the tokens, by the bytes they sent and received.
//!
//! Such amounts are basis *estimated*. They are computed when they are read, from sums that only add,
//! so a late row or a corrected metric needs no correction here.

use super::metrics::{Compared, Completeness, Counts};

/// Calls of which no row told the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Untold {
    /// How many.
    pub calls: i64,
    /// Bytes of their requests.
    pub sent: i64,
    /// Bytes of their responses.
    pub received: i64,
}

/// Tokens in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimated {
    /// Prompt tokens.
    pub input: i64,
    /// Generated tokens.
    pub output: i64,
}

/// What the metrics of an hour count beyond its logs, never negative.
///
/// `None` where the metrics do not tell of tokens, or where nothing says that any are missing: an hour with no untold calls whose logs
/// are complete, or not to be compared yet.
#[must_use]
pub fn missing(compared: &Compared, untold: &[Untold], is_comparable: bool) -> Option<Estimated> {
    let Counts { input, output, .. } = compared.logged;
    let logged = Estimated { input: input.unwrap_or(0), output: output.unwrap_or(0) };
    let missing = beyond(compared.metered, logged)?;
    let is_short = match compared.completeness() {
        Completeness::Partial | Completeness::NoLogs => is_comparable,
        Completeness::Complete | Completeness::More | Completeness::NoMetrics => false,
    };
    let has_untold = untold.iter().any(|untold| untold.calls > 0);
    (missing != Estimated::default() && (has_untold || is_short)).then_some(missing)
}

/// What metrics count beyond `logged`, never negative; `None` where they do not tell of tokens.
#[must_use]
pub fn beyond(metered: Counts, logged: Estimated) -> Option<Estimated> {
    Some(Estimated { input: metered.input?, output: metered.output? }.less(logged))
}

impl Estimated {
    /// The smaller of the two in each field.
    #[must_use]
    pub fn at_most(self, other: Self) -> Self {
        Self { input: self.input.min(other.input), output: self.output.min(other.output) }
    }

    /// What is left without the other, never negative.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_sub(other.input).max(0),
            output: self.output.saturating_sub(other.output).max(0),
        }
    }
}

/// Spreads `missing` over `untold`, prompt tokens by bytes sent and generated ones by bytes received,
/// by number of calls where no size is known. The parts add up to the whole wherever there are calls.
#[must_use]
pub fn spread(missing: Estimated, untold: &[Untold]) -> Vec<Estimated> {
    let weights = |bytes: fn(&Untold) -> i64| {
        let sized: Vec<i64> = untold.iter().map(|u| bytes(u).max(0)).collect();
        let is_sized = sized.iter().any(|bytes| *bytes > 0);
        if is_sized { sized } else { untold.iter().map(|u| u.calls.max(0)).collect() }
    };
    let input = shares(missing.input, &weights(|u| u.sent));
    let output = shares(missing.output, &weights(|u| u.received));
    input.into_iter().zip(output).map(|(input, output)| Estimated { input, output }).collect()
}

/// `whole` in proportion to `weights`, in integers that add up to it (largest remainders first, as
/// Hamilton's method gives seats). Nothing where all weights are zero or there is nothing to spread.
fn shares(whole: i64, weights: &[i64]) -> Vec<i64> {
    let sum: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
    if sum == 0 || whole <= 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: &i64| i128::from(whole) * i128::from(*weight);
    let part = |weight: &i64| i64::try_from(exact(weight) / sum).unwrap_or(i64::MAX);
    let mut parts: Vec<i64> = weights.iter().map(part).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by_key(|place| {
        let remainder = weights.get(*place).map_or(0, |weight| exact(weight) % sum);
        (std::cmp::Reverse(remainder), *place)
    });
    let left = whole - parts.iter().sum::<i64>();
    for place in by_remainder.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        if let Some(part) = parts.get_mut(place) {
            *part += 1;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_missing_needs_a_reason() {
        let counts = |tokens| Counts { input: Some(tokens), output: Some(0), requests: None };
        let at = |logged, metered| Compared { logged: counts(logged), metered: counts(metered) };
        let found = |compared, calls, comparable| {
            missing(&compared, &[untold(calls, 0, 0)], comparable).map(|missing| missing.input)
        };
        assert_eq!(found(at(900, 1_000), 0, true), Some(100));
        assert_eq!(found(at(900, 1_000), 0, false), None);
        assert_eq!(found(at(990, 1_000), 0, true), None);
        assert_eq!(found(at(990, 1_000), 1, false), Some(10));
        assert_eq!(found(at(1_000, 900), 1, true), None);
        let unmetered = Compared { metered: Counts::default(), ..at(0, 0) };
        assert_eq!(found(unmetered, 1, true), None);
    }

    const fn untold(calls: i64, sent: i64, received: i64) -> Untold {
        Untold { calls, sent, received }
    }

    #[test]
    fn tokens_go_where_the_bytes_went() {
        let missing = Estimated { input: 1_000, output: 90 };
        let found = spread(missing, &[untold(1, 300, 0), untold(9, 100, 50)]);
        assert_eq!(found.iter().map(|e| e.input).collect::<Vec<_>>(), [750, 250]);
        assert_eq!(found.iter().map(|e| e.output).collect::<Vec<_>>(), [0, 90]);
    }

    #[test]
    fn without_sizes_calls_count() {
        let found = spread(Estimated { input: 10, output: 0 }, &[untold(1, 0, 0), untold(3, 0, 0)]);
        assert_eq!(found.iter().map(|e| e.input).collect::<Vec<_>>(), [3, 7]);
    }

    proptest! {
        #[test]
        fn parts_add_up_and_none_is_negative(
            whole in -5_i64..1_000_000_000_000,
            weights in prop::collection::vec(0_i64..1_000_000_000_000, 0..20),
        ) {
            let parts = shares(whole, &weights);
            let spread = weights.iter().any(|weight| *weight > 0);
            prop_assert_eq!(parts.iter().sum::<i64>(), if spread { whole.max(0) } else { 0 });
            prop_assert!(parts.iter().all(|part| *part >= 0));
        }
    }
}
