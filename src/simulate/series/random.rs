//! Random numbers of the distributions that traffic is made of.

use std::ops::Range;

use statrs::function::gamma::ln_gamma;

use super::number::{place, real};

/// Means from which Poisson counts are found by rejection instead of one by one.
const MANY: f64 = 12.0;
/// No count has a mean above this.
const MOST: f64 = 1e9;

/// Random numbers that depend on seed, purpose and place alone.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    random: fastrand::Rng,
    /// The second of a pair of normal numbers.
    spare: Option<f64>,
}

impl Draws {
    pub(super) fn new(seed: u64, purpose: &str, place: usize) -> Self {
        let place = u64::try_from(place).unwrap_or(0);
        Self { random: crate::simulate::random(seed, purpose, place), spare: None }
    }

    /// Uniform on [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        self.random.f64()
    }

    /// Uniform between two bounds.
    pub(super) fn between(&mut self, (low, high): (f64, f64)) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in the logarithm; both bounds above 0.
    pub(super) fn log_between(&mut self, (low, high): (f64, f64)) -> f64 {
        self.between((low.ln(), high.ln())).exp()
    }

    /// A whole number of the range; its beginning where it is empty.
    pub(super) fn within(&mut self, range: Range<usize>) -> usize {
        let choices = range.end.saturating_sub(range.start);
        range.start + place(self.unit() * real(choices)).min(choices.saturating_sub(1))
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A random order.
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        self.random.shuffle(list);
    }

    /// Standard normal (polar method; Marsaglia & Bray 1964).
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let scale = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * scale);
                return x * scale;
            }
        }
    }

    /// Gamma of scale 1 and a shape of at least 1, its mean and variance (Marsaglia & Tsang 2000).
    pub(super) fn gamma(&mut self, shape: f64) -> f64 {
        let third = shape.max(1.0) - 1.0 / 3.0;
        let scale = 1.0 / (9.0 * third).sqrt();
        loop {
            let normal = self.normal();
            let root = 1.0 + scale * normal;
            let cube = root * root * root;
            // 1 − u lies in (0, 1], so its logarithm is finite.
            let log = (1.0 - self.unit()).ln();
            if root > 0.0 && log < 0.5 * normal * normal + third * (1.0 - cube + cube.ln()) {
                return third * cube;
            }
        }
    }

    /// Poisson count, as a float (transformed rejection, PTRS; Hörmann 1993).
    pub(super) fn poisson(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 {
            return 0.0;
        }
        if mean < MANY {
            return f64::from(crate::simulate::poisson(mean, &mut self.random));
        }
        let mean = mean.min(MOST);
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.024_83 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let squeeze = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let (u, v) = (self.unit() - 0.5, self.unit());
            let edge = 0.5 - u.abs();
            let count = ((2.0 * a / edge + b) * u + mean + 0.43).floor();
            if edge >= 0.07 && v <= squeeze {
                return count;
            }
            if count < 0.0 || (edge < 0.013 && v > edge) {
                continue;
            }
            let bound = count * mean.ln() - mean - ln_gamma(count + 1.0);
            if (v * inverse_alpha / (a / (edge * edge) + b)).ln() <= bound {
                return count;
            }
        }
    }

    /// Negative binomial count with this mean m and shape k: variance m + m²/k.
    pub(super) fn negative_binomial(&mut self, mean: f64, shape: f64) -> f64 {
        if mean <= 0.0 {
            return 0.0;
        }
        let rate = self.gamma(shape) / shape * mean;
        self.poisson(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of 40,000 draws against what they should be, within five standard errors
    /// of the mean and a tenth of the variance.
    #[track_caller]
    fn check(mean: f64, variance: f64, mut draw: impl FnMut(&mut Draws) -> f64) {
        let mut draws = Draws::new(1, "check", 0);
        let values: Vec<f64> = (0..40_000).map(|_| draw(&mut draws)).collect();
        let count = real(values.len());
        let found = values.iter().sum::<f64>() / count;
        let spread = values.iter().map(|value| (value - found).powi(2)).sum::<f64>() / count;
        assert!((found - mean).abs() < 5.0 * (variance / count).sqrt(), "mean {found} for {mean}");
        assert!((spread / variance - 1.0).abs() < 0.1, "variance {spread} for {variance}");
    }

    #[test]
    fn means_and_variances_are_those_of_the_distribution() {
        check(0.5, 1.0 / 12.0, Draws::unit);
        check(4.0, 3.0, |draws| draws.between((1.0, 7.0)));
        check(0.0, 1.0, Draws::normal);
        for shape in [1.0, 3.0, 60.0] {
            check(shape, shape, |draws| draws.gamma(shape));
        }
        for mean in [0.02, 3.0, 11.9, 12.1, 40.0, 2_000.0, 1e6] {
            check(mean, mean, |draws| draws.poisson(mean));
        }
        for (mean, shape) in [(0.3, 3.0), (20.0, 2.5), (600.0, 60.0)] {
            let variance = mean + mean * mean / shape;
            check(mean, variance, |draws| draws.negative_binomial(mean, shape));
        }
        // Uniform on 3, 4, 5, 6: (4² − 1) / 12.
        check(4.5, 1.25, |draws| real(draws.within(3..7)));
    }

    #[test]
    fn the_tails_of_both_ways_to_a_poisson_count_agree() {
        // P(X ≥ 22) at mean 11.99 is 0.59 %; the two sides of the border must not differ in it.
        let mut draws = Draws::new(2, "tails", 0);
        let mut share = |mean: f64| {
            let high = (0..60_000).filter(|_| draws.poisson(mean) >= 22.0).count();
            real(high) / 60_000.0
        };
        let (below, above) = (share(11.99), share(12.01));
        assert!((0.0045..0.0075).contains(&below), "{below}");
        assert!((0.0045..0.0075).contains(&above), "{above}");
    }
}
