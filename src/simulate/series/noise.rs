//! What ordinary traffic does beside its rhythm.

use super::number::{place, real};
use super::random::Draws;
use super::{DAY, Settings};

/// A stationary AR(1) process with mean 0, this standard deviation, and this correlation time in
/// slots.
pub(super) fn ar1(slots: usize, sigma: f64, time: f64, draws: &mut Draws) -> Vec<f64> {
    let keep = (-1.0 / time).exp();
    let step = sigma * (1.0 - keep * keep).sqrt();
    let mut value = sigma * draws.normal();
    let mut process = Vec::with_capacity(slots);
    for _ in 0..slots {
        value = keep * value + step * draws.normal();
        process.push(value);
    }
    process
}

/// What moves a load that no calendar knows.
#[derive(Debug)]
pub(super) struct Modulation {
    /// Factor on the expected load of every slot: a slow wander, good and bad days, short bursts.
    pub(super) factor: Vec<f64>,
    /// Standard deviation of the wander's logarithm.
    pub(super) sigma: f64,
    /// Correlation time of the wander in slots.
    pub(super) time: f64,
    /// Standard deviation of the logarithm of a day's factor.
    pub(super) day_sigma: f64,
}

/// Draws what moves a load.
pub(super) fn modulation(settings: &Settings, draws: &mut Draws) -> Modulation {
    let slots = settings.slots();
    let sigma = draws.between(settings.ar_sigma);
    let time = draws.between((3.0, 40.0));
    let mut factor = ar1(slots, sigma, time, draws);
    let day_sigma = draws.between(settings.day_sigma);
    let days: Vec<f64> = (0..=settings.days).map(|_| (day_sigma * draws.normal()).exp()).collect();
    for (slot, value) in factor.iter_mut().enumerate() {
        // A lognormal factor has its mean at 1 when half its variance is taken off.
        *value = (*value - sigma * sigma / 2.0).exp() * between_noons(&days, slot);
    }
    for _ in 0..place(draws.poisson(settings.bursts_per_week * real(settings.days) / 7.0)) {
        let (from, length) = (draws.within(0..slots), draws.within(2..9));
        let size = draws.between((1.2, settings.burst_max));
        let burst = factor.get_mut(from..(from + length).min(slots)).unwrap_or_default();
        burst.iter_mut().for_each(|value| *value *= size);
    }
    Modulation { factor, sigma, time, day_sigma }
}

/// The factor of the days, straight from one noon to the next.
fn between_noons(days: &[f64], slot: usize) -> f64 {
    let noons = (real(slot) / real(DAY) - 0.5).max(0.0);
    let day = place(noons);
    let first = days.get(day).copied().unwrap_or(1.0);
    let next = days.get(day + 1).copied().unwrap_or(first);
    first + (next - first) * (noons - real(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_its_deviation_and_correlation() {
        let process = ar1(200_000, 0.3, 20.0, &mut Draws::new(4, "ar1", 0));
        let count = real(process.len());
        let variance = process.iter().map(|value| value * value).sum::<f64>() / count;
        let lagged: f64 = process.iter().zip(process.iter().skip(20)).map(|(a, b)| a * b).sum();
        assert!((variance.sqrt() - 0.3).abs() < 0.02, "{}", variance.sqrt());
        // One correlation time apart: 1/e.
        assert!((lagged / count / variance - 0.368).abs() < 0.05, "{}", lagged / count / variance);
    }

    #[test]
    fn days_meet_at_midnight() {
        let days = [1.0, 3.0, 3.0];
        let check = |slot, expected: f64| {
            assert!((between_noons(&days, slot) - expected).abs() < 1e-9, "{slot}");
        };
        check(0, 1.0);
        check(DAY / 2, 1.0);
        check(DAY, 2.0);
        check(DAY + DAY / 2, 3.0);
        check(2 * DAY + DAY / 2, 3.0);
    }
}
