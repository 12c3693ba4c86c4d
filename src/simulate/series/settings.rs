//! What series are drawn from: size, mix of deployments, and how restless their traffic is.

use super::{DAY, Kind, Profile};

/// Most deployments of a track: 2,000 of 35 days are 650 MB in memory.
pub const MAX_DEPLOYMENTS: usize = 2_000;

/// Mixes of a fleet: of each the first [`REGULAR`] profiles have regular callers, and the first [`AWAKE`] call from
/// their first day on.
const DEV: [(Profile, f64); 6] = mix([0.45, 0.2, 0.1, 0.08, 0.1, 0.07]);
const BURSTY: [(Profile, f64); 6] = mix([0.35, 0.25, 0.12, 0.1, 0.11, 0.07]);
const RESTLESS: [(Profile, f64); 6] = mix([0.4, 0.2, 0.15, 0.06, 0.12, 0.07]);
const REGULAR: usize = 3;
const AWAKE: usize = 5;
/// The mix of the fleets whose work begins and ends at once.
const ABRUPT: [(Profile, f64); 3] =
    [(Profile::Shift, 0.5), (Profile::Nightly, 0.25), (Profile::Hourly, 0.25)];

const fn mix(shares: [f64; 6]) -> [(Profile, f64); 6] {
    let [business, consumer, flat, batch, sparse, dormant] = shares;
    [
        (Profile::Business, business),
        (Profile::Consumer, consumer),
        (Profile::Flat, flat),
        (Profile::Batch, batch),
        (Profile::Sparse, sparse),
        (Profile::Dormant, dormant),
    ]
}

/// Named sets of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// The parameters of the benchmark's published half.
    Dev,
    /// Stronger ordinary bursts, restless traffic, more trend, smaller and more mixed deployments.
    Bursty,
    /// Bursts more often, counts more dispersed, two holidays in every region.
    Restless,
}

/// What a track is drawn from. Spans are (lowest, highest); a standard deviation of a factor is one
/// of its logarithm.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which track.
    pub kind: Kind,
    /// Chooses everything else.
    pub seed: u64,
    /// How many, at most [`MAX_DEPLOYMENTS`].
    pub deployments: usize,
    /// Length.
    pub days: usize,
    /// Days of it that are not scored and hold no attack.
    pub warmup_days: usize,
    /// Share of each profile, by which a deployment's own is drawn.
    pub mix: &'static [(Profile, f64)],
    /// Decimal logarithm of the mean calls in a slot (business, consumer, flat).
    pub log10_level: (f64, f64),
    /// Standard deviation between deployments of the trend's factor in 30 days.
    pub trend_sigma: f64,
    /// Share of the deployments whose traffic begins late in the warm-up.
    pub new_share: f64,
    /// Lawful holidays of a day in every region, in the scored part.
    pub holidays_per_region: usize,
    /// Standard deviation of the slow factor (AR(1)) within a deployment.
    pub ar_sigma: (f64, f64),
    /// Standard deviation of the factor of a day.
    pub day_sigma: (f64, f64),
    /// Ordinary bursts of 10 to 40 minutes.
    pub bursts_per_week: f64,
    /// Largest factor of an ordinary burst.
    pub burst_max: f64,
    /// Shape of the negative binomial counts: variance = mean + mean²/shape.
    pub shape: (f64, f64),
}

impl Settings {
    /// A fleet of 200 deployments, as a preset has it.
    #[must_use]
    pub const fn new(preset: Preset, seed: u64) -> Self {
        let dev = Self {
            kind: Kind::Fleet,
            seed,
            deployments: 200,
            days: 35,
            warmup_days: 21,
            mix: &DEV,
            log10_level: (0.3, 2.8),
            trend_sigma: 0.15,
            new_share: 0.06,
            holidays_per_region: 1,
            ar_sigma: (0.08, 0.35),
            day_sigma: (0.03, 0.12),
            bursts_per_week: 0.7,
            burst_max: 2.0,
            shape: (3.0, 60.0),
        };
        match preset {
            Preset::Dev => dev,
            Preset::Bursty => Self {
                mix: &BURSTY,
                log10_level: (0.2, 2.6),
                trend_sigma: 0.2,
                ar_sigma: (0.1, 0.4),
                burst_max: 2.3,
                ..dev
            },
            Preset::Restless => Self {
                mix: &RESTLESS,
                log10_level: (0.1, 2.5),
                trend_sigma: 0.2,
                holidays_per_region: 2,
                bursts_per_week: 0.9,
                burst_max: 2.3,
                shape: (2.5, 50.0),
                ..dev
            },
        }
    }

    /// 60 deployments for the callers' track: none without regular callers, and none so large that
    /// every caller's calls cannot be drawn one by one.
    #[must_use]
    pub const fn callers(preset: Preset, seed: u64) -> Self {
        let fleet = Self::new(preset, seed);
        let (mix, _) = fleet.mix.split_at(REGULAR);
        Self { kind: Kind::Callers, deployments: 60, mix, log10_level: (0.3, 1.8), ..fleet }
    }

    /// 200 deployments that are between a few hours and fifteen days old while they are scored: each begins at a
    /// moment of its own in the week before. None is dormant, for nobody knows yet that one is.
    #[must_use]
    pub const fn young(preset: Preset, seed: u64) -> Self {
        let fleet = Self::new(preset, seed);
        let (mix, _) = fleet.mix.split_at(AWAKE);
        Self { kind: Kind::Young, days: 15, warmup_days: 7, mix, new_share: 0.0, ..fleet }
    }

    /// 200 deployments whose work begins and ends at once.
    #[must_use]
    pub const fn abrupt(preset: Preset, seed: u64) -> Self {
        Self { kind: Kind::Abrupt, mix: &ABRUPT, ..Self::new(preset, seed) }
    }

    /// What is usual for a track.
    #[must_use]
    pub const fn of(kind: Kind, preset: Preset, seed: u64) -> Self {
        match kind {
            Kind::Fleet => Self::new(preset, seed),
            Kind::Young => Self::young(preset, seed),
            Kind::Abrupt => Self::abrupt(preset, seed),
            Kind::Callers => Self::callers(preset, seed),
        }
    }

    /// Slots in all.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.days * DAY
    }

    /// The first slot that is scored.
    #[must_use]
    pub const fn warmup(&self) -> usize {
        self.warmup_days * DAY
    }

    /// The profile at this place of the mix, 0 to 1.
    pub(super) fn profile_at(&self, place: f64) -> Profile {
        let mut left = place * self.mix.iter().map(|(_, share)| share).sum::<f64>();
        for (profile, share) in self.mix {
            left -= share;
            if left < 0.0 {
                return *profile;
            }
        }
        Profile::Business
    }
}
