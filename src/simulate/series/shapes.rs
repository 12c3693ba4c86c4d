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
            Profile::Batch
            | Profile::Dormant
            | Profile::Shift
            | Profile::Nightly
            | Profile::Hourly => Self::Silence,
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

/// Expected load of every slot with a mean of 1, or 0 throughout, and whether it keeps holidays. Slot 0 is a Monday's
/// midnight in UTC; `zone` is in hours east of it.
pub(super) fn rhythm(
    profile: Profile,
    slots: usize,
    zone: i32,
    draws: &mut Draws,
) -> (Vec<f64>, bool) {
    let mut has_holidays = matches!(profile, Profile::Business | Profile::Sparse);
    let mut load = if profile == Profile::Batch {
        jobs(slots, draws)
    } else if let Some(work) = Work::draw(profile, draws) {
        has_holidays = !work.weekends;
        work.load(slots, zone, draws)
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
    (load, has_holidays)
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

/// Work that begins and ends at once. Spans in slots.
#[derive(Debug)]
struct Work {
    /// Between two beginnings.
    every: usize,
    /// Beginning after local midnight and length of each run.
    runs: Vec<(usize, usize)>,
    /// Whether it goes on at weekends.
    weekends: bool,
    /// Each run begins and ends at most so much earlier or later, and lasts at least half as long as usual.
    wobble: usize,
    /// Load outside the runs, which have 1.
    floor: f64,
}

impl Work {
    fn draw(profile: Profile, draws: &mut Draws) -> Option<Self> {
        let wobble = |most, draws: &mut Draws| if draws.chance(0.5) { most } else { 0 };
        let (every, runs, weekends, wobble) = match profile {
            Profile::Shift => {
                let (begin, length) = (draws.within(6..11) * HOUR, draws.within(8..12) * HOUR);
                let runs = if draws.chance(0.3) {
                    vec![(begin, 4 * HOUR), (begin + 5 * HOUR, length - 5 * HOUR)]
                } else {
                    vec![(begin, length)]
                };
                (DAY, runs, draws.chance(0.5), wobble(HOUR * 3 / 4, draws))
            }
            Profile::Nightly => {
                let run = (draws.within(0..6 * HOUR), draws.within(HOUR / 2..2 * HOUR));
                (DAY, vec![run], true, wobble(HOUR, draws))
            }
            Profile::Hourly => {
                let every = [1, 2, 3, 4, 6].get(draws.within(0..5)).copied().unwrap_or(1) * HOUR;
                (every, vec![(draws.within(0..HOUR), draws.within(2..8))], true, 0)
            }
            Profile::Business
            | Profile::Consumer
            | Profile::Flat
            | Profile::Batch
            | Profile::Sparse
            | Profile::Dormant => return None,
        };
        let floor = if draws.chance(0.5) { 0.0 } else { draws.between((0.002, 0.02)) };
        Some(Self { every, runs, weekends, wobble, floor })
    }

    /// Slot 0 is a Monday's midnight in UTC.
    fn load(&self, slots: usize, zone: i32, draws: &mut Draws) -> Vec<f64> {
        let mut load = vec![self.floor; slots];
        let behind = usize::try_from(24 - zone).unwrap_or(24) * HOUR;
        for beginning in (0..slots + 2 * DAY).step_by(self.every) {
            for (begin, length) in &self.runs {
                let [early, late] = [(); 2].map(|()| draws.within(0..2 * self.wobble + 1));
                let local = beginning + begin + early;
                let Some(from) = (local + behind).checked_sub(DAY + self.wobble) else { continue };
                if self.weekends || beginning / DAY % 7 < 5 {
                    let until = from + (length + late).saturating_sub(early).max(length / 2);
                    let run = load.get_mut(from.min(slots)..until.min(slots)).unwrap_or_default();
                    run.fill(1.0);
                }
            }
        }
        load
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(profile: Profile, zone: i32) -> Vec<f64> {
        rhythm(profile, 2 * WEEK, zone, &mut Draws::new(3, "rhythm", 0)).0
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
    fn work_begins_and_ends_at_once_in_its_own_zone() {
        for zone in [-6, 0, 9] {
            let work = Work {
                every: DAY,
                runs: vec![(8 * HOUR, 10 * HOUR)],
                weekends: false,
                wobble: 0,
                floor: 0.0,
            };
            let load = work.load(2 * WEEK, zone, &mut Draws::new(3, "work", 0));
            let local = |hour: i32| load[usize::try_from((hour - zone + 24) * 12).unwrap()];
            // Tuesday, and the Saturday of the second week.
            for (hour, expected) in [(7, 0.0), (8, 1.0), (17, 1.0), (18, 0.0), (24 * 11 + 10, 0.0)]
            {
                assert!((local(hour) - expected).abs() < 1e-9, "{zone}: {hour}");
            }
        }
    }

    #[test]
    fn edges_wobble_within_their_bounds() {
        let runs = vec![(2 * HOUR, HOUR)];
        let work = Work { every: DAY, runs, weekends: true, wobble: 6, floor: 0.0 };
        let load = work.load(20 * DAY, 0, &mut Draws::new(3, "work", 0));
        let begins: Vec<usize> = load
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| pair[0] < pair[1])
            .map(|(slot, _)| (slot + 1) % DAY)
            .collect();
        assert!(begins.iter().all(|begin| (18..=30).contains(begin)), "{begins:?}");
        assert!(begins.iter().any(|begin| *begin < 22) && begins.iter().any(|begin| *begin > 26));
    }

    #[test]
    fn a_batch_rests_most_of_the_time() {
        let load = drawn(Profile::Batch, 0);
        let busy = load.iter().filter(|value| **value > 1.0).count();
        assert!((10..WEEK / 2).contains(&busy), "{busy}");
    }
}
