//! Labelled series to measure a detector on: a fleet's traffic slot by slot, attacks in it, and the
//! truth about both.
//!
//! Four tracks are drawn, each from its settings alone:
//!
//! - [`Kind::Fleet`]: what every deployment did in every slot, with twelve kinds of attack and lawful growth;
//! - [`Kind::Young`]: the same of deployments in their first two weeks;
//! - [`Kind::Abrupt`]: the same of deployments whose work begins and ends at once, as nobody's does in the fleet;
//! - [`Kind::Callers`]: the fleet with every caller by name, so that it is known which part of a slot came
//!   from callers that were new, and attacks that only this part shows.
//!
//! The kinds, strengths and places of attacks are those of the benchmark's description; the code that
//! draws them is our own. [`write()`] makes files that the benchmark's scorer reads.

mod attacks;
mod callers;
mod crew;
mod fleet;
mod load;
mod noise;
mod number;
mod oracle;
mod plan;
mod random;
mod settings;
mod shapes;
mod write;

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use number::{three_digits, whole};
pub use oracle::{ORACLE_FILE, write_oracle};
use random::Draws;
pub use settings::{MAX_DEPLOYMENTS, Preset, Settings};
pub use write::{files, write};

/// Length of a slot in seconds.
pub const SLOT_SECONDS: usize = 300;
/// Slots of an hour.
pub const HOUR: usize = 3_600 / SLOT_SECONDS;
/// Slots of a day.
pub const DAY: usize = 24 * HOUR;

/// Which of the tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Deployments with distinct callers counted.
    Fleet,
    /// The same in their first two weeks.
    Young,
    /// The same with work that begins and ends at once.
    Abrupt,
    /// Deployments whose callers are known by name.
    Callers,
}

impl Kind {
    /// The word in names of files and in labels.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Young => "young",
            Self::Abrupt => "abrupt",
            Self::Callers => "callers",
        }
    }
}

/// What a deployment is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Office hours, quiet weekends, holidays.
    Business,
    /// Evenings, livelier weekends.
    Consumer,
    /// Around the clock.
    Flat,
    /// A few jobs at fixed times.
    Batch,
    /// Some calls a day.
    Sparse,
    /// None.
    Dormant,
    /// Hours of work that begin and end at once.
    Shift,
    /// A job a night.
    Nightly,
    /// Some minutes every few hours.
    Hourly,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 9] = [
        Self::Business,
        Self::Consumer,
        Self::Flat,
        Self::Batch,
        Self::Sparse,
        Self::Dormant,
        Self::Shift,
        Self::Nightly,
        Self::Hourly,
    ];

    /// The word in the meta file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Business => "business",
            Self::Consumer => "consumer",
            Self::Flat => "flat",
            Self::Batch => "batch",
            Self::Sparse => "sparse",
            Self::Dormant => "dormant",
            Self::Shift => "shift",
            Self::Nightly => "nightly",
            Self::Hourly => "hourly",
        }
    }
}

/// Sums of one slot, rounded as the files have them. All zero where nothing happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slot {
    /// Calls.
    pub calls: u64,
    /// Prompt tokens, to three digits.
    pub input: u64,
    /// Generated tokens, to three digits.
    pub output: u64,
    /// Distinct callers.
    pub callers: u64,
}

/// How an alert on an event is to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It must be found.
    Attack,
    /// An alert within it is neither right nor wrong.
    Neutral,
    /// An alert on it is wrong.
    Lawful,
}

impl Truth {
    /// The word in the column `kind`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Attack => "attack",
            Self::Neutral => "neutral",
            Self::Lawful => "lawful",
        }
    }
}

/// Something that was done to a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// The word in the column `type`.
    pub what: &'static str,
    /// How to judge alerts.
    pub truth: Truth,
    /// First slot.
    pub from: usize,
    /// Slot after the last.
    pub until: usize,
    /// Strength; what of depends on the type.
    pub magnitude: f64,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Unique in its track.
    pub name: String,
    /// Model and illustrative USD per million prompt and generated tokens.
    pub model: (&'static str, f64, f64),
    /// How it was made; a detector must not read it.
    pub profile: Profile,
    /// Every slot.
    pub slots: Vec<Slot>,
    /// Callers' track: of every slot the part of callers first seen here less than 24 hours before
    /// its end; nothing during the first seven days.
    pub fresh: Vec<Slot>,
    /// Callers' track: of every slot the caller with the most tokens.
    pub top: Vec<Slot>,
    /// By beginning.
    pub events: Vec<Event>,
}

/// All series of a track.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// What it was drawn from.
    pub settings: Settings,
    /// In the order of their names.
    pub series: Vec<Series>,
}

/// Illustrative USD per million prompt and generated tokens; only ratios matter to a detector.
const MODELS: [(&str, f64, f64); 5] = [
    ("gpt-4o", 2.5, 10.0),
    ("gpt-4o-mini", 0.15, 0.6),
    ("gpt-4.1", 2.0, 8.0),
    ("o3", 2.0, 8.0),
    ("text-embedding-3-large", 0.13, 0.0),
];

/// Draws a track on all processors, and says each time a series is done. The result does not depend
/// on how many processors there are.
#[must_use]
pub fn draw(settings: &Settings, done: &(dyn Fn() + Sync)) -> Track {
    let deployments = settings.deployments.min(MAX_DEPLOYMENTS);
    let settings = Settings { deployments, ..settings.clone() };
    let series = match settings.kind {
        Kind::Fleet | Kind::Young | Kind::Abrupt => {
            let fleet = fleet::Fleet::plan(&settings);
            in_parallel(deployments, &|number| fleet.series(number), done)
        }
        Kind::Callers => {
            let callers = callers::Callers::plan(&settings);
            in_parallel(deployments, &|number| callers.series(number), done)
        }
    };
    Track { settings, series }
}

fn in_parallel(
    count: usize,
    build: &(dyn Fn(usize) -> Series + Sync),
    done: &(dyn Fn() + Sync),
) -> Vec<Series> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut built = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return built;
            }
            built.push((number, build(number)));
            done();
        }
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(count);
    let mut built: Vec<(usize, Series)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let parts = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        parts.flatten().collect()
    });
    built.sort_unstable_by_key(|(number, _)| *number);
    built.into_iter().map(|(_, series)| series).collect()
}

/// A slot before rounding.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Raw {
    calls: f64,
    input: f64,
    output: f64,
    callers: f64,
}

impl Raw {
    fn rounded(self) -> Slot {
        if self.calls < 1.0 {
            return Slot::default();
        }
        Slot {
            calls: whole(self.calls),
            input: three_digits(self.input),
            output: three_digits(self.output),
            callers: whole(self.callers),
        }
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.input += other.input;
        self.output += other.output;
        self.callers += other.callers;
    }
}

fn rounded(raw: &[Raw]) -> Vec<Slot> {
    raw.iter().map(|slot| slot.rounded()).collect()
}

fn model(draws: &mut Draws) -> (&'static str, f64, f64) {
    MODELS.get(draws.within(0..MODELS.len())).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
