//! How far a deployment usually strays from its own baseline: bursty ones widen themselves.

/// Windows a residual is kept for, in slots: 5 min, 15 min, 1 h, 4 h.
pub const WINDOWS: [i64; 4] = [1, 3, 12, 48];
/// Signals that are calibrated: tokens and cost.
pub const SIGNALS: usize = 2;

const BINS: usize = 80;
/// Log ratios from −4 to +4 (a factor of 55 either way) in steps of 0.1.
const LOWEST: f64 = -4.0;
const BIN_WIDTH: f64 = 0.1;
/// Weight of a day after 21 days is one half.
const AGE_FACTOR: f32 = 0.967_5;
/// Residuals seen before the calibration is believed: one day of slots.
const MIN_WEIGHT: f32 = 288.0;

/// Residuals of one closed slot, by signal and window; `None` where nothing was expected.
pub type Residuals = [[Option<f64>; WINDOWS.len()]; SIGNALS];

/// Histograms of log ratios, by signal and window.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    bins: Vec<f32>,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { bins: vec![0.0; SIGNALS * WINDOWS.len() * BINS] }
    }
}

impl Calibration {
    /// Adds the residuals of one slot.
    pub fn add(&mut self, residuals: &Residuals) {
        for (signal, windows) in residuals.iter().enumerate() {
            for (window, residual) in windows.iter().enumerate() {
                let Some(residual) = residual.filter(|residual| residual.is_finite()) else {
                    continue;
                };
                let at = (signal * WINDOWS.len() + window) * BINS + bin_of(residual);
                if let Some(bin) = self.bins.get_mut(at) {
                    *bin += 1.0;
                }
            }
        }
    }

    /// Forgets a little; called once a day.
    pub fn age(&mut self) {
        self.bins.iter_mut().for_each(|bin| *bin *= AGE_FACTOR);
    }

    /// Distance of `residual` from the median in units of the upper spread (median to 99.5 %, at
    /// least `floor`); before a day has been seen the spread is taken as 0.7, a factor of two.
    #[must_use]
    pub fn upper_score(&self, signal: usize, window: usize, residual: f64, floor: f64) -> f64 {
        let (median, spread) = self.spread(signal, window).unwrap_or((0.0, 0.7));
        (residual - median) / spread.max(floor)
    }

    /// The log ratio at which [`Calibration::upper_score`] reaches `score`.
    #[must_use]
    pub fn bound(&self, signal: usize, window: usize, score: f64, floor: f64) -> f64 {
        let (median, spread) = self.spread(signal, window).unwrap_or((0.0, 0.7));
        median + score * spread.max(floor)
    }

    fn spread(&self, signal: usize, window: usize) -> Option<(f64, f64)> {
        let start = (signal * WINDOWS.len() + window) * BINS;
        let bins = self.bins.get(start..start + BINS)?;
        let weight: f32 = bins.iter().sum();
        if weight < MIN_WEIGHT {
            return None;
        }
        let median = quantile(bins, weight * 0.5);
        Some((median, quantile(bins, weight * 0.995) - median))
    }

    /// The histograms as bytes, little endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bins.iter().flat_map(|bin| bin.to_le_bytes()).collect()
    }

    /// The inverse of [`Calibration::to_bytes`]; empty histograms for bytes of another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (chunks, _) = bytes.as_chunks::<4>();
        let bins: Vec<f32> = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
        let fresh = Self::default();
        if bins.len() == fresh.bins.len() { Self { bins } } else { fresh }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to the number of bins")]
#[expect(clippy::cast_sign_loss, reason = "clamped to be positive")]
#[expect(clippy::cast_precision_loss, reason = "80 is exact")]
fn bin_of(residual: f64) -> usize {
    ((residual - LOWEST) / BIN_WIDTH).clamp(0.0, (BINS - 1) as f64) as usize
}

/// Upper edge of the bin in which `weight` is reached.
fn quantile(bins: &[f32], weight: f32) -> f64 {
    let mut sum = 0.0;
    let mut edge = LOWEST;
    for bin in bins {
        sum += bin;
        edge += BIN_WIDTH;
        if sum >= weight {
            break;
        }
    }
    edge
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bursty_series_needs_more() {
        let feed = |spread: f64| {
            let mut calibration = Calibration::default();
            for n in 0..1000 {
                let residual = spread * f64::from(n % 11 - 5) / 5.0;
                calibration.add(&[[Some(residual); 4]; 2]);
            }
            calibration
        };
        let (calm, bursty) = (feed(0.1), feed(1.5));
        assert!(calm.upper_score(0, 0, 1.0, 0.2) > 2.0 * bursty.upper_score(0, 0, 1.0, 0.2));
        assert!(bursty.bound(1, 3, 1.7, 0.2) > calm.bound(1, 3, 1.7, 0.2));
        assert_eq!(Calibration::from_bytes(&calm.to_bytes()), calm);
        assert_eq!(Calibration::from_bytes(&[1, 2, 3]), Calibration::default());
    }
}
