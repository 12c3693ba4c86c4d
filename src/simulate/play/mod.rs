//! Plays: for every detector one attack that it must find, and the same with the one fact that makes it
//! lawful, of which it must not speak; and named chains of both kinds.
//!
//! A play writes its acts onto a [`Stage`]: a small fleet whose names, networks, people, sizes and hours are
//! drawn from the seed, with its usual calls and the usual work of those who deploy. Attack and look-alike
//! are one function that asks the stage which of both is played, so that they cannot drift apart.

mod abuse;
mod callers;
mod chains;
mod guards;
mod habits;
mod keys;
mod log;
mod posture;
mod stage;
mod volume;
mod watched;

use serde::{Deserialize, Serialize};

use super::Simulation;
use crate::time::ArrivalTime;
use stage::Stage;
pub use stage::{BUDGET_USD_PER_MONTH, NAMESPACE, Place};
pub use watched::REGIONS;

/// What is played, in both versions.
#[derive(Debug)]
pub struct Play {
    /// The word on the command line.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub about: &'static str,
    /// What is to come of it.
    pub ends: Ends,
    /// Days of usual traffic before: as long as its detectors need to learn.
    days: u32,
    /// Hours in which it is played.
    hours: u32,
    /// How many of the three deployments are in use.
    busy: usize,
    /// What must be configured beside the defaults.
    pub needs: &'static [Need],
    /// Whether it shows in what is done alone, and without a past that a live service would have to know.
    pub is_live: bool,
    act: fn(&mut Stage),
}

/// What is to come of a play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// These detectors find it; of the look-alike they say nothing.
    Found {
        /// Identifiers in the table of detectors.
        by: &'static [&'static str],
        /// The one fact that makes the look-alike lawful; `None` where there is none.
        unless: Option<&'static str>,
    },
    /// It is lawful: nothing pages.
    NoPage,
}

/// What a play needs beside the defaults of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Lists of hosting and Tor networks, and where networks are.
    Lists,
    /// A budget.
    Budget,
    /// That the event hub is known to be ours.
    Hub,
    /// The regions in which accounts may be made.
    Regions,
    /// That the account is called through gateways alone.
    GatewayOnly,
}

impl Need {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Lists => "[geo] and [[network_list]] that name the play's networks",
            Self::Budget => "a [[budget]] of 300 USD a month",
            Self::Hub => "a [[hub]] in the namespace evhns-tokenwatch-watch",
            Self::GatewayOnly => "a [[backend]] of the account with only = true",
            Self::Regions => "[posture.allow] with the regions eastus2 and swedencentral",
        }
    }
}

/// Which version is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// The attack.
    Attack,
    /// The look-alike.
    Lawful,
}

/// One play in one version; the seed decides the rest.
#[derive(Debug, Clone, Copy)]
pub struct Showing {
    /// The play.
    pub play: &'static Play,
    /// Which version.
    pub version: Version,
    /// Chooses names, networks, people, sizes, times and order.
    pub seed: u64,
    /// When it ends, in milliseconds since 1970; in the autumn of 2026 where nothing is said.
    pub ends_ms: Option<i64>,
}

/// What a showing is about and what must come of it: the truth of a simulation that was played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Playbill {
    /// Name with version.
    pub scenario: String,
    /// Seed.
    pub seed: u64,
    /// What happens.
    pub about: String,
    /// Beginning, RFC 3339.
    pub start: String,
    /// Beginning of the live part.
    pub live_start: String,
    /// End.
    pub end: String,
    /// Id of the subscription of everything in it.
    pub subscription: String,
    /// AI account it is about.
    pub account: String,
    /// Arrival of the first record of what is played; `None` where nothing is.
    pub first_arrival: Option<String>,
    /// Detectors that must open an incident.
    pub must_find: Vec<String>,
    /// Detectors that must not.
    pub must_not_find: Vec<String>,
    /// True when no incident may be high or critical.
    pub no_page: bool,
    /// What must be configured beside the defaults.
    pub needs: Vec<String>,
}

/// What ends the name of a look-alike.
const LAWFUL: &str = "-lawful";

/// Every play, as people look for them: by detector, then by name.
#[must_use]
pub fn sorted() -> Vec<&'static Play> {
    let mut plays: Vec<&'static Play> = all().collect();
    plays.sort_by_key(|play| (!play.name.starts_with("tw-"), play.name));
    plays
}

/// Every play.
pub fn all() -> impl Iterator<Item = &'static Play> {
    let parts = [
        volume::PLAYS,
        habits::PLAYS,
        abuse::PLAYS,
        callers::PLAYS,
        keys::PLAYS,
        posture::PLAYS,
        guards::PLAYS,
        watched::PLAYS,
        chains::PLAYS,
    ];
    parts.into_iter().flatten()
}

impl Play {
    /// An attack that shows in calls, and its look-alike: after a week and more, which is what most
    /// detectors want to know of callers.
    const fn of_calls(
        name: &'static str,
        about: &'static str,
        by: &'static [&'static str],
        unless: &'static str,
        act: fn(&mut Stage),
    ) -> Self {
        let ends = Ends::Found { by, unless: Some(unless) };
        Self { name, about, ends, days: 9, hours: 5, busy: 2, needs: &[], is_live: false, act }
    }

    /// An attack that shows in what is done to accounts, and its look-alike: two days are enough before.
    const fn of_acts(
        name: &'static str,
        about: &'static str,
        by: &'static [&'static str],
        unless: &'static str,
        act: fn(&mut Stage),
    ) -> Self {
        let play = Self::of_calls(name, about, by, unless, act).after(2).lasting(4).using(1);
        Self { is_live: true, ..play }
    }

    /// Played after so many days of usual traffic.
    const fn after(self, days: u32) -> Self {
        Self { days, is_live: false, ..self }
    }

    /// Played within so many hours.
    const fn lasting(self, hours: u32) -> Self {
        Self { hours, ..self }
    }

    /// With so many of the three deployments in use.
    const fn using(self, busy: usize) -> Self {
        Self { busy, ..self }
    }

    /// Only where this is configured.
    const fn needing(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    /// Its versions: a play without a look-alike, or of which nothing must come, has one.
    #[must_use]
    pub fn versions(&self) -> Vec<Version> {
        match self.ends {
            Ends::Found { unless: Some(_), .. } => vec![Version::Attack, Version::Lawful],
            Ends::Found { unless: None, .. } => vec![Version::Attack],
            Ends::NoPage => vec![Version::Lawful],
        }
    }

    /// Detectors it is about.
    #[must_use]
    pub const fn detectors(&self) -> &'static [&'static str] {
        match self.ends {
            Ends::Found { by, .. } => by,
            Ends::NoPage => &[],
        }
    }
}

impl Showing {
    /// The showing with this name, such as `tw-k03` or `tw-k03-lawful`.
    #[must_use]
    pub fn named(name: &str, seed: u64) -> Option<Self> {
        let mut showings = all()
            .flat_map(|play| play.versions().into_iter().map(move |v| Self::of(play, v, seed)));
        showings.find(|showing| showing.name() == name)
    }

    /// Of a play in a version.
    #[must_use]
    pub const fn of(play: &'static Play, version: Version, seed: u64) -> Self {
        Self { play, version, seed, ends_ms: None }
    }

    /// The same at another time.
    #[must_use]
    pub const fn ending(self, ends_ms: i64) -> Self {
        Self { ends_ms: Some(ends_ms), ..self }
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(&self) -> String {
        let ends = match (self.version, self.play.ends) {
            (Version::Lawful, Ends::Found { .. }) => LAWFUL,
            (Version::Attack, _) | (Version::Lawful, Ends::NoPage) => "",
        };
        format!("{}{ends}", self.play.name)
    }

    /// What happens, in a sentence.
    #[must_use]
    pub fn about(&self) -> String {
        match (self.version, self.play.ends) {
            (Version::Lawful, Ends::Found { unless: Some(fact), .. }) => {
                format!("{}, but {fact}", self.play.about)
            }
            (Version::Attack | Version::Lawful, _) => self.play.about.to_owned(),
        }
    }

    /// The records and what must come of them.
    #[must_use]
    pub fn enact(&self) -> (Simulation, Playbill) {
        let mut stage = Stage::new(self);
        (self.play.act)(&mut stage);
        let ids: Vec<String> = self.play.detectors().iter().map(|id| (*id).to_owned()).collect();
        let (must_find, must_not_find) = match self.version {
            Version::Attack => (ids, Vec::new()),
            Version::Lawful => (Vec::new(), ids),
        };
        let time = |ms: i64| ArrivalTime(ms).to_string();
        let bill = Playbill {
            scenario: self.name(),
            seed: self.seed,
            about: self.about(),
            start: time(stage.start_ms),
            live_start: time(stage.curtain_ms),
            end: time(stage.end_ms),
            subscription: stage.subscription_id().replace("/subscriptions/", ""),
            account: stage.accounts.first().cloned().unwrap_or_default(),
            first_arrival: stage.first_arrival.map(time),
            must_find,
            must_not_find,
            no_page: self.play.ends == Ends::NoPage,
            needs: self.play.needs.iter().map(|need| need.words().to_owned()).collect(),
        };
        (stage.simulation(), bill)
    }
}
