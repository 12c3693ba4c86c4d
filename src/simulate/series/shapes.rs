//! The rhythm of a profile: how the expected traffic of a deployment moves through day and week.

use super::number::{place, real};
use super::random::Draws;
use super::{DAY, HOUR, Profile};

const WEEK: usize = 7 * DAY;

/// A rhythm with the parameters of one deployment; hours are local.
#[derive(Debug)]
enum Rhythm {
    /// Humps over a floor; the weekend counts by a factor.
    Humps { humps: [Hump; 2], weekend: f64, floor: f64 },
    /// Nearly level.
    Wave { height: f64, peak: f64 },
    /// Nothing.
    Silence,
}

/// A bell around an hour of the day.
#[derive(Debug)]
struct Hump {
    hour: f64,
    width: f64,
    height: f64,
}

impl Hump {
    fn at(&self, hour: f64) -> f64 {
        let apart = (hour - self.hour).abs();
        let apart = apart.min(24.0 - apart) / self.width;
        self.height * (-0.5 * apart * apart).exp()
    }
}

impl Rhythm {
    fn draw(profile: Profile, draws: &mut Draws) -> Self {
        match profile {
            Profile::Business => {
                let morning = 10.5 + 0.5 * draws.normal();
                let width = draws.between((1.6, 2.4));
                let height = draws.between((0.7, 1.1));
                let afternoon = 15.0 + 0.5 * draws.normal();
                let second = Hump { hour: afternoon, width: draws.between((1.8, 2.6)), height };
                Self::Humps {
                    humps: [Hump { hour: morning, width, height: 1.0 }, second],
                    weekend: draws.between((0.05, 0.35)),
                    floor: draws.between((0.01, 0.12)),
                }
            }
            Profile::Consumer => {
                let evening = 20.5 + 0.7 * draws.normal();
                let width = draws.between((2.0, 3.5));
                let noon = Hump { hour: 13.0, width: 3.5, height: draws.between((0.3, 0.8)) };
                Self::Humps {
                    humps: [Hump { hour: evening, width, height: 1.0 }, noon],
                    weekend: draws.between((1.0, 1.5)),
                    floor: draws.between((0.05, 0.25)),
                }
            }
            Profile::Sparse => Self::Humps {
                humps: [
                    Hump { hour: 13.0, width: 4.0, height: 1.0 },
                    Hump { hour: 0.0, width: 1.0, height: 0.0 },
                ],
                weekend: 0.4,
                floor: 0.15,
            },
            Profile::Flat => {
                Self::Wave { height: draws.between((0.0, 0.25)), peak: draws.between((0.0, 24.0)) }
            }
            Profile::Batch | Profile::Dormant => Self::Silence,
        }
    }

    fn at(&self, hour: f64, weekend: bool) -> f64 {
        match self {
            Self::Humps { humps, weekend: factor, floor } => {
                let height: f64 = humps.iter().map(|hump| hump.at(hour)).sum();
                height * if weekend { *factor } else { 1.0 } + floor
            }
            Self::Wave { height, peak } => {
                1.0 + height * (std::f64::consts::TAU * (hour - peak) / 24.0).sin()
            }
            Self::Silence => 0.0,
        }
    }
}

/// Expected load of every slot with a mean of 1, or 0 throughout. Slot 0 is a Monday's midnight in
/// UTC; `zone` is in hours east of it.
pub(super) fn rhythm(profile: Profile, slots: usize, zone: i32, draws: &mut Draws) -> Vec<f64> {
    let mut load = if profile == Profile::Batch {
        jobs(slots, draws)
    } else {
        let rhythm = Rhythm::draw(profile, draws);
        let week: Vec<f64> = (0..WEEK)
            .map(|slot| {
                let local = (real(slot) / real(HOUR) + f64::from(zone)).rem_euclid(168.0);
                rhythm.at(local % 24.0, local >= 120.0)
            })
            .collect();
        week.iter().copied().cycle().take(slots).collect()
    };
    let mean = load.iter().sum::<f64>() / real(slots.max(1));
    if mean > 0.0 {
        load.iter_mut().for_each(|value| *value /= mean);
    }
    load
}

/// One to three jobs that run for 15 minutes to 2 hours, daily or on some days of the week, and
/// begin up to a slot early or late.
fn jobs(slots: usize, draws: &mut Draws) -> Vec<f64> {
    let mut load = vec![draws.between((0.0, 0.01)); slots];
    for _ in 0..draws.within(1..4) {
        let (begin, length) = (draws.between((0.0, 24.0)) * real(HOUR), draws.within(3..25));
        let share = if draws.chance(0.5) { 1.0 } else { 0.75 };
        let weekdays: Vec<bool> = (0..7).map(|_| draws.chance(share)).collect();
        for (day, runs) in weekdays.into_iter().cycle().take(slots / DAY).enumerate() {
            let late = real(draws.within(0..3)) - 1.0;
            let size = draws.between((0.8, 1.2));
            let from = place(real(day * DAY) + begin + late);
            if runs {
                let until = (from + length).min(slots);
                let run = load.get_mut(from..until).unwrap_or_default();
                run.iter_mut().for_each(|value| *value += size);
            }
        }
    }
    load
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(profile: Profile, zone: i32) -> Vec<f64> {
        rhythm(profile, 2 * WEEK, zone, &mut Draws::new(3, "rhythm", 0))
    }

    #[test]
    fn every_rhythm_has_a_mean_of_one() {
        for profile in Profile::ALL {
            let load = drawn(profile, 0);
            let mean = load.iter().sum::<f64>() / real(load.len());
            let expected = f64::from(profile != Profile::Dormant);
            assert!((mean - expected).abs() < 1e-9, "{profile:?}: {mean}");
        }
    }

    #[test]
    fn a_business_works_by_day_in_its_own_zone() {
        for zone in [-6, 0, 9] {
            let load = drawn(Profile::Business, zone);
            let local = |hour: i32| load[usize::try_from((hour - zone + 24) * 12).unwrap()];
            assert!(local(11) > 4.0 * local(3), "{zone}");
            // The Saturday of the second week.
            assert!(local(11) > 2.0 * local(24 * 11 + 11), "{zone}");
        }
    }

    #[test]
    fn a_batch_rests_most_of_the_time() {
        let load = drawn(Profile::Batch, 0);
        let busy = load.iter().filter(|value| **value > 1.0).count();
        assert!((10..WEEK / 2).contains(&busy), "{busy}");
    }
}
