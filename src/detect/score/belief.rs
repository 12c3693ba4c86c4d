//! What is believed of the level of calls, slot by slot.
//!
//! Calls of a slot are negative binomial around expected × e^level. The level wanders and comes back: AR(1). Of it a
//! normal belief is kept, as an extended Kalman filter does (Jazwinski 1970, ch. 8). How far and how slowly it
//! wanders, and how far counts scatter around it, is learnt from the deployment's own slots by their moments: with
//! the relative residual r of a slot, less the chance of counting,
//!
//! ```text
//! mean r(t) r(t−2) = variance × keep²        mean r(t) r(t−8) = variance × keep⁸        mean r² = variance + scatter
//! ```

use serde::{Deserialize, Serialize};
use statrs::function::gamma::ln_gamma;

use super::ring::single;

/// Slots between residuals whose products tell the wandering level from scatter: two, and so many.
const FAR: usize = 8;
/// A slot counts half after 16 days.
const KEPT_PER_DAY: f32 = 0.957;
/// What an ordinary deployment has, by as many slots as it counts for.
const ORDINARY: Sums = Sums { weight: 288.0, square: 47.0, near: 15.0, far: 9.5 };
/// Added to what is expected before it divides.
const FLOOR: f64 = 1.0;
/// Residuals beyond these are told by other parts, and moments do not hear of them.
const RESIDUALS: (f64, f64) = (-1.0, 2.5);
/// Variance of the calls of others, by their square: a thief is no steadier than that.
const SPREAD: f64 = 0.1;
/// The level moves at most so far in a slot, and never lies further out.
const STEP: f64 = 1.0;
const FURTHEST: f64 = 3.0;

/// How a deployment scatters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Laws {
    /// Share of the level that is kept from slot to slot.
    pub keep: f64,
    /// Variance of the level.
    pub variance: f64,
    /// 1 / shape of the negative binomial.
    pub scatter: f64,
}

/// Faded sums over slots: of weights, and of products of residuals 0, 2 and 8 slots apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sums {
    weight: f32,
    square: f32,
    near: f32,
    far: f32,
}

/// What the laws are learnt from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Moments {
    sums: Sums,
    /// Residuals of the last slots, the newest first.
    last: [f32; FAR],
}

impl Default for Moments {
    fn default() -> Self {
        Self { sums: ORDINARY, last: [0.0; FAR] }
    }
}

impl Moments {
    /// Learns from a slot with so many calls.
    pub(super) fn add(&mut self, seen: f64, expected: f64) {
        let divisor = expected + FLOOR;
        let (least, most) = RESIDUALS;
        let residual = single(((seen - expected) / divisor).clamp(least, most));
        let chance = single(expected / (divisor * divisor));
        let [_, near, .., far] = self.last;
        self.sums.weight += single((expected / divisor).powi(2));
        self.sums.square += residual * residual - chance;
        self.sums.near += residual * near;
        self.sums.far += residual * far;
        self.last.rotate_right(1);
        self.last[0] = residual;
    }

    /// Lets the past fade.
    pub(super) fn end_day(&mut self) {
        let Sums { weight, square, near, far } = &mut self.sums;
        [weight, square, near, far].into_iter().for_each(|sum| *sum *= KEPT_PER_DAY);
    }

    pub(super) fn laws(&self) -> Laws {
        let Sums { weight, square, near, far } = self.sums;
        let [square, near, far] =
            [square, near, far].map(|sum| f64::from(sum / weight.max(1.0)).max(1e-4));
        // Six slots lie between the two products.
        let keep = (far / near).clamp(1e-3, 0.98).powf(1.0 / 6.0).clamp(0.6, 0.99);
        let variance = (near / (keep * keep)).clamp(0.002, 0.5);
        Laws { keep, variance, scatter: (square - variance).clamp(0.01, 3.0) }
    }
}

/// A belief about the level: mean and variance.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Belief {
    mean: f32,
    variance: f32,
}

impl Belief {
    /// The level that is held likeliest, as a factor.
    pub(super) fn factor(self) -> f64 {
        f64::from(self.mean).exp()
    }

    /// One slot later.
    pub(super) fn ahead(self, laws: Laws) -> Self {
        let kept = single(laws.keep * laws.keep);
        Self {
            mean: self.mean * single(laws.keep),
            variance: self.variance * kept + single(laws.variance) * (1.0 - kept),
        }
    }

    /// Log likelihood of a slot, but for what depends on its calls alone, where `own` calls are expected of the
    /// deployment at level 0 and `others` of somebody else; and the belief after it.
    pub(super) fn hear(self, seen: f64, (own, others): (f64, f64), laws: Laws) -> (f64, Self) {
        let (level, variance) = (f64::from(self.mean), f64::from(self.variance));
        let own = own * level.exp();
        let mean = (own + others).max(1e-3);
        let scatter = laws.scatter * own * own + SPREAD * others * others;
        let wander = variance * own * own;
        let shape = (mean * mean / (scatter + wander).max(1e-9)).clamp(0.05, 1e4);
        let likelihood = ln_gamma(seen + shape) - ln_gamma(shape)
            + shape * (shape / (shape + mean)).ln()
            + seen * (mean / (shape + mean)).ln();
        let gain = variance * own / (wander + scatter + mean);
        let step = (gain * (seen - mean)).clamp(-STEP, STEP);
        let after = Self {
            mean: single((level + step).clamp(-FURTHEST, FURTHEST)),
            variance: single((variance * (1.0 - gain * own)).max(1e-5)),
        };
        (likelihood, after)
    }

    /// The mixture of two beliefs, by the share of the second.
    pub(super) fn mixed(self, other: Self, share: f64) -> Self {
        let share = single(share);
        let mean = self.mean + share * (other.mean - self.mean);
        let around = |belief: Self| belief.variance + (belief.mean - mean).powi(2);
        Self { mean, variance: around(self) * (1.0 - share) + around(other) * share }
    }

    /// With a level no further than its standard deviation below and above the usual, as far as asked.
    pub(super) fn within(self, laws: Laws, (below, above): (bool, bool)) -> Self {
        let sigma = single(laws.variance.sqrt());
        let least = if below { -sigma } else { f32::MIN };
        Self { mean: self.mean.clamp(least, if above { sigma } else { f32::MAX }), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Residuals of a level that wanders so, and of counts that scatter so.
    fn learnt(keep: f64, sigma: f64, scatter: f64) -> Laws {
        let mut random = fastrand::Rng::with_seed(7);
        let mut normal = move || {
            let sum: f64 = (0..12).map(|_| random.f64()).sum();
            sum - 6.0
        };
        let (mut moments, mut level) = (Moments::default(), 0.0);
        for slot in 0..20 * 288 {
            level = keep * level + sigma * (1.0 - keep * keep).sqrt() * normal();
            let seen: f64 = 400.0 * (1.0 + level + scatter.sqrt() * normal());
            moments.add(seen.max(0.0), 400.0);
            if slot % 288 == 287 {
                moments.end_day();
            }
        }
        moments.laws()
    }

    #[test]
    fn a_level_that_wanders_is_told_from_scatter() {
        for (keep, sigma, scatter) in [(0.95, 0.25, 0.02), (0.85, 0.2, 0.1), (0.97, 0.1, 0.05)] {
            let laws = learnt(keep, sigma, scatter);
            assert!((laws.keep - keep).abs() < 0.05, "{laws:?} {keep}");
            assert!((laws.variance.sqrt() / sigma - 1.0).abs() < 0.3, "{laws:?} {sigma}");
            assert!((laws.scatter / scatter - 1.0).abs() < 0.6, "{laws:?} {scatter}");
        }
    }

    #[test]
    fn a_belief_follows_what_is_seen_and_forgets_it() {
        let laws = Laws { keep: 0.95, variance: 0.09, scatter: 0.05 };
        let mut belief = Belief::default();
        for _ in 0..30 {
            belief = belief.ahead(laws).hear(150.0, (100.0, 0.0), laws).1;
        }
        assert!((1.3..1.55).contains(&belief.factor()), "{belief:?}");
        (0..100).for_each(|_| belief = belief.ahead(laws));
        assert!((belief.factor() - 1.0).abs() < 0.01, "{belief:?}");
        assert!((f64::from(belief.variance) - 0.09).abs() < 0.001, "{belief:?}");
    }

    #[test]
    fn what_is_expected_is_likelier() {
        let laws = Laws { keep: 0.95, variance: 0.04, scatter: 0.05 };
        let belief = Belief::default().ahead(laws);
        let likely = |seen, others| belief.hear(seen, (100.0, others), laws).0;
        assert!(likely(100.0, 0.0) > likely(100.0, 200.0));
        assert!(likely(300.0, 200.0) > likely(300.0, 0.0));
    }
}
