//! What a deployment would do if nobody interfered: the load expected in every slot, and its sizes.

use super::noise::{Modulation, ar1, modulation};
use super::number::real;
use super::random::Draws;
use super::shapes::rhythm;
use super::{DAY, HOUR, Kind, Profile, Settings};

/// Hours east of UTC in the middle of each region.
const REGIONS: [i32; 3] = [-6, 1, 9];

/// Holidays of the fleet: region and day.
#[derive(Debug)]
pub(super) struct Holidays(Vec<(usize, usize)>);

impl Holidays {
    /// Some in every region in the scored part, and one somewhere in the warm-up.
    pub(super) fn draw(settings: &Settings, draws: &mut Draws) -> Self {
        let warmup = settings.warmup_days;
        let mut days = Vec::new();
        for region in 0..REGIONS.len() {
            for _ in 0..settings.holidays_per_region {
                days.push((region, draws.within(warmup + 1..settings.days.saturating_sub(1))));
            }
        }
        let region = draws.within(0..REGIONS.len());
        days.push((region, draws.within(3..warmup.saturating_sub(2))));
        Self(days)
    }
}

/// The load of a deployment without events.
#[derive(Debug)]
pub(super) struct Load {
    /// Calls expected in every slot, by rhythm, level, trend and holidays.
    pub(super) expected: Vec<f64>,
    /// What no calendar knows.
    pub(super) modulation: Modulation,
    /// Shape of the counts.
    pub(super) shape: f64,
    /// Mean calls expected in a slot of the warm-up, as if traffic had begun before it; at least 0.02, so that
    /// an attack on a silent deployment has a size.
    pub(super) mean: f64,
    /// Whether nothing, or next to nothing, is done between the hours of work.
    pub(super) rests: bool,
}

impl Load {
    /// `late`: the first traffic may appear late in the warm-up.
    pub(super) fn draw(
        settings: &Settings,
        (profile, late): (Profile, bool),
        holidays: &Holidays,
        draws: &mut Draws,
    ) -> Self {
        let (slots, warmup) = (settings.slots(), settings.warmup());
        let region = draws.within(0..REGIONS.len());
        let middle = REGIONS.get(region).copied().unwrap_or(0);
        let zone = middle - 1 + i32::try_from(draws.within(0..3)).unwrap_or(1);
        let level = 10_f64.powf(match profile {
            Profile::Sparse => draws.between((-1.7, -0.4)),
            Profile::Batch | Profile::Hourly => draws.between((0.0, 2.0)),
            Profile::Nightly => draws.between((-1.0, 1.0)),
            Profile::Business
            | Profile::Consumer
            | Profile::Flat
            | Profile::Dormant
            | Profile::Shift => draws.between(settings.log10_level),
        });
        let (mut expected, has_holidays) = rhythm(profile, slots, zone, draws);
        let trend = settings.trend_sigma * draws.normal() / (30.0 * real(DAY));
        for (slot, value) in expected.iter_mut().enumerate() {
            *value *= level * (trend * real(slot)).exp();
        }
        if has_holidays {
            for (_, day) in holidays.0.iter().filter(|(there, _)| *there == region) {
                let hours = i64::try_from(day * 24).unwrap_or(0) - i64::from(zone);
                let from = usize::try_from(hours).unwrap_or(0) * HOUR;
                let left = draws.between((0.12, 0.5));
                let holiday = expected.get_mut(from..(from + DAY).min(slots)).unwrap_or_default();
                holiday.iter_mut().for_each(|value| *value *= left);
            }
        }
        let mean = expected.iter().take(warmup).sum::<f64>() / real(warmup.max(1));
        let begins = if settings.kind == Kind::Young {
            Some(draws.within(warmup.saturating_sub(7 * DAY)..warmup))
        } else if late && draws.chance(settings.new_share) {
            let first = warmup.saturating_sub(10 * DAY)..warmup.saturating_sub(3 * DAY);
            Some(draws.within(first))
        } else {
            None
        };
        expected.iter_mut().take(begins.unwrap_or(0)).for_each(|value| *value = 0.0);
        let modulation = modulation(settings, draws);
        let shape = draws.log_between(settings.shape);
        let rests = matches!(profile, Profile::Shift | Profile::Nightly | Profile::Hourly);
        Self { expected, modulation, shape, mean: mean.max(0.02), rests }
    }

    /// Calls expected in a slot, with all that no calendar knows.
    pub(super) fn at(&self, slot: usize) -> f64 {
        let get = |list: &[f64]| list.get(slot).copied().unwrap_or(0.0);
        get(&self.expected) * get(&self.modulation.factor)
    }
}

/// How many tokens a call has.
#[derive(Debug)]
pub(super) struct Sizes {
    /// Mean prompt tokens of a call.
    pub(super) input: f64,
    /// Mean generated tokens of a call.
    pub(super) output: f64,
    /// Slow factor on both.
    drift: Vec<f64>,
    /// Standard deviation of the logarithm of that factor.
    pub(super) sigma: f64,
    /// Its correlation time in slots.
    pub(super) time: f64,
    /// Standard deviation of one call, relative to the mean.
    pub(super) deviation: f64,
}

impl Sizes {
    pub(super) fn draw(slots: usize, draws: &mut Draws) -> Self {
        let (input, output) =
            (draws.log_between((200.0, 4_000.0)), draws.log_between((40.0, 800.0)));
        let (sigma, time) = (draws.between((0.03, 0.2)), draws.between((50.0, 500.0)));
        let mut drift = ar1(slots, sigma, time, draws);
        drift.iter_mut().for_each(|value| *value = value.exp());
        Self { input, output, drift, sigma, time, deviation: draws.between((0.5, 1.6)) }
    }

    /// Prompt and generated tokens of so many calls in a slot.
    pub(super) fn tokens(&self, slot: usize, calls: f64, draws: &mut Draws) -> [f64; 2] {
        if calls <= 0.0 {
            return [0.0; 2];
        }
        let drift = self.drift.get(slot).copied().unwrap_or(1.0);
        [self.input, self.output].map(|mean| {
            let noise = 1.0 + self.deviation * draws.normal() / calls.max(1.0).sqrt();
            calls * mean * drift * noise.max(0.05)
        })
    }
}

/// How many different callers of a pool made these calls: each new call is less likely to bring one
/// more, and two thirds of the pool's calls count, for callers come in runs.
pub(super) fn distinct(calls: f64, pool: f64, draws: &mut Draws) -> f64 {
    if calls < 1.0 {
        return 0.0;
    }
    let expected = -pool * (-calls / pool / 1.5).exp_m1();
    draws.poisson(expected).max(1.0).min(calls)
}
