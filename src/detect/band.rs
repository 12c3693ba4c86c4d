//! The range around a forecast of the bill: augurs' MSTL on daily sums, and how far it has been wrong
//! on the days it could be tried on.
//!
//! For people who read a report, never for a score or an alert: it is computed when somebody asks.

use augurs::mstl::MSTLModel;
use augurs::{Fit as _, Predict as _};

use super::baseline::count_as_float;

/// Days in the season.
const WEEK: usize = 7;
/// Days a fit needs: two seasons.
const FIT_DAYS: usize = 2 * WEEK;
/// Days on which the forecast is tried at most, the newest ones.
const TRIALS: usize = 60;
/// Fewer trials say nothing about one in ten.
const MIN_TRIALS: usize = 10;

/// What the coming days cost together, in the unit of the sums.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// One in ten outcomes lies below.
    pub low: f64,
    /// The forecast itself.
    pub middle: f64,
    /// One in ten outcomes lies above.
    pub high: f64,
}

/// The 80 % range of the sum of the `ahead` days after `days` (daily sums, oldest first, none
/// negative); `None` where there are too few days to try the forecast on, or no days ahead.
///
/// The model is fitted to ln(1 + x) with a weekly season. Its own intervals come from the trend alone
/// and do not widen (see `seasonal`), so the range is that of outcomes against forecasts of as many
/// days, made at each of the last sixty days from the days before it. Where the history is short,
/// forecasts of fewer days stand in for longer ones.
#[must_use]
pub fn band(days: &[f64], ahead: usize) -> Option<Band> {
    if ahead == 0 {
        return None;
    }
    let room = days.len().checked_sub(FIT_DAYS + MIN_TRIALS)?;
    let tried = ahead.min(room + 1).max(1);
    let last = days.len() - tried;
    let first = FIT_DAYS.max(last.saturating_sub(TRIALS));
    let ratios = (first..=last).filter_map(|origin| {
        let (before, after) = days.split_at_checked(origin)?;
        let seen: f64 = after.iter().take(tried).sum();
        let foretold = forecast(before, tried)?;
        (foretold > 0.0).then(|| seen / foretold)
    });
    let mut ratios: Vec<f64> = ratios.filter(|ratio| ratio.is_finite()).collect();
    if ratios.len() < MIN_TRIALS {
        return None;
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let middle = forecast(days, ahead)?;
    let (low, high) = (quantile(&ratios, 0.1)? * middle, quantile(&ratios, 0.9)? * middle);
    Some(Band { low: low.min(middle), middle, high: high.max(middle) })
}

/// The sum of the next days.
fn forecast(days: &[f64], ahead: usize) -> Option<f64> {
    let history: Vec<f64> = days.iter().map(|sum| sum.max(0.0).ln_1p()).collect();
    let fitted = MSTLModel::naive(vec![WEEK]).fit(&history).ok()?;
    let coming = fitted.predict(ahead, None).ok()?;
    let sum: f64 = coming.point.iter().map(|value| value.exp_m1().max(0.0)).sum();
    sum.is_finite().then_some(sum)
}

/// A quantile of sorted values, straight lines between them (Hyndman & Fan 1996, type 7).
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * count_as_float(last);
    // Reading the place off by counting keeps casts out.
    let below = (0..=last).rfind(|at| count_as_float(*at) <= place)?;
    let low = *sorted.get(below)?;
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    Some(low + (high - low) * (place - count_as_float(below)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workdays of about 100 and weekends of 10, with noise of the given size.
    fn days(count: usize, noise: f64, seed: u64) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(seed);
        let day = |day: usize| {
            let usual = if day % WEEK < 5 { 100.0 } else { 10.0 };
            usual * (1.0 + noise * (2.0 * random.f64() - 1.0))
        };
        (0..count).map(day).collect()
    }

    #[test]
    fn a_steady_week_has_a_narrow_range() {
        let band = band(&days(60, 0.0, 1), 14).unwrap();
        let truth = 2.0 * (500.0 + 20.0);
        assert!((band.middle / truth - 1.0).abs() < 0.01, "{band:?}");
        assert!(band.high - band.low < 0.05 * truth, "{band:?}");
    }

    #[test]
    fn about_four_of_five_outcomes_lie_within() {
        let (mut inside, mut all) = (0, 0);
        for seed in 0..120 {
            let days = days(90, 0.6, seed);
            let (before, after) = days.split_at(80);
            let band = band(before, 10).unwrap();
            let seen: f64 = after.iter().sum();
            all += 1;
            inside += i32::from((band.low..=band.high).contains(&seen));
        }
        let share = f64::from(inside) / f64::from(all);
        assert!((0.65..=0.95).contains(&share), "{share}");
    }

    #[test]
    fn too_little_is_said_to_be_too_little() {
        assert_eq!(band(&days(FIT_DAYS + MIN_TRIALS - 1, 0.1, 1), 7), None);
        assert_eq!(band(&days(60, 0.1, 1), 0), None);
        assert!(band(&days(FIT_DAYS + MIN_TRIALS, 0.1, 1), 31).is_some());
        assert_eq!(band(&vec![0.0; 60], 7), None);
    }

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.5), Some(2.0));
        assert!((quantile(&[0.0, 10.0], 0.1).unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(quantile(&[], 0.5), None);
    }
}
