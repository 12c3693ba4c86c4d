//! What is usual on an account: days of answers, what it is used for, and who only listed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lengths::MIN_CALLS;
use super::pace::RISING;
use super::{Conduct, Deed, Habits, Tally};
use crate::aggregate::names::{NONE, OTHER};
use crate::detect::series::{SLOTS_PER_DAY, SLOTS_PER_HOUR, Slot};
use crate::event::operation::Operation;

/// Days that are kept; a median over them needs a week of bad days to move.
const KEEP_DAYS: i64 = 14;
/// Days of deployments kept in all; of more deployments nothing is usual, and rules that ask for it keep
/// silent.
const MAX_DAYS: usize = 4096;
/// Networks remembered that never called a deployment, and that were served with a key; beyond it the newest
/// go.
const MAX_NETWORKS: usize = 1024;
/// Slots in which refused calls are counted together, faulty ones, and those of one size.
pub(super) const DENIED_SLOTS: i64 = 2;
pub(super) const BAD_SLOTS: i64 = 6;
pub(super) const CLONE_SLOTS: i64 = 2;

/// One day of a deployment; of the whole account under [`NONE`], where those refused and faulty are those of everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Day {
    /// Calls whose answer was told.
    pub calls: u32,
    /// Of them, refused because the quota was used up.
    pub limited: u32,
    /// Served calls of an identity.
    pub named: u32,
    /// Served calls with a key.
    pub keyed: u32,
    /// Most calls within ten minutes that were refused for want of a right.
    pub most_denied: u32,
    /// Most faulty calls within half an hour.
    pub most_bad: u32,
    /// Most calls of about one size within ten minutes.
    pub most_clones: u32,
    /// Most calls of one caller within ten minutes whose requests grew.
    pub most_rising: u32,
    /// Prompt tokens that one call in twenty of some hour reached.
    pub longest: u32,
    /// Prompt tokens that ten calls of some hour reached.
    pub tenth: u32,
}

/// Number of fields in a [`Day`].
const DAY_FIELDS: usize = 10;

impl Day {
    const fn each(&mut self) -> [&mut u32; DAY_FIELDS] {
        let Self { calls, limited, named, keyed, most_denied, most_bad, most_clones, .. } = self;
        let Self { most_rising, longest, tenth, .. } = self;
        [
            calls,
            limited,
            named,
            keyed,
            most_denied,
            most_bad,
            most_clones,
            most_rising,
            longest,
            tenth,
        ]
    }

    fn fields(mut self) -> [u32; DAY_FIELDS] {
        self.each().map(|field| *field)
    }

    /// What was not counted yet when it was saved is none.
    fn from_fields(saved: &[u32]) -> Self {
        let mut day = Self::default();
        day.each().into_iter().zip(saved).for_each(|(field, saved)| *field = *saved);
        day
    }
}

/// What is usual. Sums of closed slots in their order, so the same however rows came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// First slot not learnt.
    next: Option<i64>,
    /// First slot in which the log that names callers spoke.
    first: Option<i64>,
    /// First slot in which calls of a family were served, by its number.
    families: BTreeMap<u8, i64>,
    /// First slot of networks that were seen without a deployment.
    networks: BTreeMap<u32, i64>,
    /// First and last slot in which networks were served with a key.
    keyed: BTreeMap<u32, (i64, i64)>,
    days: BTreeMap<(u32, i64), Day>,
    habits: Habits,
    /// Hour of `next` when it was last saved, and whether something was learnt since.
    saved: i64,
    has_changed: bool,
}

/// As it is saved.
#[derive(Serialize, Deserialize)]
struct Saved {
    next: Option<i64>,
    first: Option<i64>,
    families: BTreeMap<u8, i64>,
    networks: BTreeMap<u32, i64>,
    #[serde(default)]
    keyed: BTreeMap<u32, (i64, i64)>,
    days: Vec<(u32, i64, Vec<u32>)>,
    #[serde(default)]
    habits: Habits,
}

impl Past {
    /// First slot not learnt.
    #[must_use]
    pub const fn next(&self) -> Option<i64> {
        self.next
    }

    /// First slot in which the log that names callers spoke; `None` before.
    #[must_use]
    pub fn first(&self) -> Option<Slot> {
        self.first.map(Slot)
    }

    /// First slot in which calls of this family were served; `None` if never.
    #[must_use]
    pub fn first_served(&self, family: Operation) -> Option<Slot> {
        self.families.get(&(family as u8)).copied().map(Slot)
    }

    /// First slot in which a network was seen that named no deployment; `None` if never.
    #[must_use]
    pub fn first_seen(&self, network: u32) -> Option<Slot> {
        self.networks.get(&network).copied().map(Slot)
    }

    /// First and last slot in which a network was served with a key; `None` if never.
    #[must_use]
    pub fn keyed(&self, network: u32) -> Option<(Slot, Slot)> {
        self.keyed.get(&network).map(|(first, last)| (Slot(*first), Slot(*last)))
    }

    /// How much networks call by the hour.
    #[must_use]
    pub const fn habits(&self) -> &Habits {
        &self.habits
    }

    /// The days of a deployment before that of `slot`, oldest first; of the whole account for [`NONE`].
    pub fn days(&self, deployment: u32, slot: Slot) -> impl Iterator<Item = Day> {
        let today = day_of(slot);
        let days = self.days.range((deployment, today - KEEP_DAYS)..(deployment, today));
        days.map(|(_, day)| *day)
    }

    /// Learns from a slot that has closed.
    pub(super) fn learn(&mut self, conduct: &Conduct, slot: Slot) {
        self.next = Some(slot.0 + 1);
        self.habits.learn(slot, conduct.hours(slot));
        let mut of: BTreeMap<u32, Day> = BTreeMap::new();
        for deed in conduct.deeds(slot, 1) {
            self.meet(&deed, slot);
            for deployment in [NONE, deed.deployment] {
                let day = of.entry(deployment).or_default();
                day.calls = day.calls.saturating_add(count(deed.tally.calls()));
                day.limited = day.limited.saturating_add(count(deed.tally.limited));
                day.named = day.named.saturating_add(count(deed.named()));
                day.keyed = day.keyed.saturating_add(count(deed.keyed()));
                if deed.deployment == NONE {
                    break;
                }
            }
        }
        if of.is_empty() {
            return;
        }
        let denied = sums(conduct.deeds(slot, DENIED_SLOTS), |tally| tally.denied);
        let bad = sums(conduct.deeds(slot, BAD_SLOTS), |tally| tally.bad);
        for (deployment, seen) in of {
            let most =
                |sums: &BTreeMap<u32, i32>| count(sums.get(&deployment).copied().unwrap_or(0));
            let clones = conduct.sizes(deployment, slot, CLONE_SLOTS).most();
            let courses = conduct.courses(deployment, slot, CLONE_SLOTS);
            let rising = courses.values().filter(|course| course.is_rising(RISING.0, RISING.1));
            let rising = rising.map(|course| course.calls).max().unwrap_or(0);
            let (longest, tenth) = longest(conduct, deployment, slot);
            let seen = Day {
                most_denied: most(&denied),
                most_bad: most(&bad),
                most_clones: count(clones.map_or(0, |(calls, _)| calls)),
                most_rising: u32::try_from(rising).unwrap_or(u32::MAX),
                longest,
                tenth,
                ..seen
            };
            self.add(deployment, slot, seen);
        }
        self.has_changed = true;
    }

    fn add(&mut self, deployment: u32, slot: Slot, seen: Day) {
        let today = day_of(slot);
        let key = (deployment, today);
        if !self.days.contains_key(&key) {
            self.days.retain(|(_, day), _| *day >= today - KEEP_DAYS);
            if self.days.len() >= MAX_DAYS {
                return;
            }
        }
        let day = self.days.entry(key).or_default();
        *day = Day {
            calls: day.calls.saturating_add(seen.calls),
            limited: day.limited.saturating_add(seen.limited),
            named: day.named.saturating_add(seen.named),
            keyed: day.keyed.saturating_add(seen.keyed),
            most_denied: day.most_denied.max(seen.most_denied),
            most_bad: day.most_bad.max(seen.most_bad),
            most_clones: day.most_clones.max(seen.most_clones),
            most_rising: day.most_rising.max(seen.most_rising),
            longest: day.longest.max(seen.longest),
            tenth: day.tenth.max(seen.tenth),
        };
    }

    /// Notes what is new about a caller.
    fn meet(&mut self, deed: &Deed, slot: Slot) {
        if deed.tally.calls() <= 0 {
            return;
        }
        if deed.operation() != Operation::Untold {
            self.first.get_or_insert(slot.0);
        }
        if deed.tally.served > 0 {
            self.families.entry(deed.operation() as u8).or_insert(slot.0);
        }
        if let Some(network) = deed.network().filter(|n| *n != OTHER && deed.keyed() > 0) {
            self.use_key(network, slot);
        }
        if deed.deployment == NONE
            && let Some(network) = deed.network()
        {
            self.networks.entry(network).or_insert(slot.0);
            if self.networks.len() > MAX_NETWORKS
                && let Some((_, newest)) = self.networks.iter().map(|(n, at)| (*at, *n)).max()
            {
                // Whoever rotates networks must not make us forget the old ones.
                self.networks.remove(&newest);
            }
        }
    }

    fn use_key(&mut self, network: u32, slot: Slot) {
        self.keyed.entry(network).or_insert((slot.0, slot.0)).1 = slot.0;
        if self.keyed.len() > MAX_NETWORKS {
            let oldest = slot.0 - KEEP_DAYS * SLOTS_PER_DAY;
            self.keyed.retain(|_, (_, last)| *last >= oldest);
        }
        if self.keyed.len() > MAX_NETWORKS
            && let Some((_, newest)) = self.keyed.iter().map(|(n, (first, _))| (*first, *n)).max()
        {
            self.keyed.remove(&newest);
        }
    }

    pub(super) fn take_state(&mut self) -> Option<String> {
        let hour = Slot(self.next?).hour();
        if !self.has_changed || hour <= self.saved {
            return None;
        }
        (self.saved, self.has_changed) = (hour, false);
        let saved = Saved {
            next: self.next,
            first: self.first,
            families: self.families.clone(),
            networks: self.networks.clone(),
            keyed: self.keyed.clone(),
            habits: self.habits.clone(),
            days: self
                .days
                .iter()
                .map(|((of, at), day)| (*of, *at, day.fields().to_vec()))
                .collect(),
        };
        serde_json::to_string(&saved).ok()
    }

    pub(super) fn read(body: &str) -> Option<Self> {
        let saved: Saved = serde_json::from_str(body).ok()?;
        let days = saved.days.into_iter();
        Some(Self {
            next: saved.next,
            first: saved.first,
            families: saved.families,
            networks: saved.networks,
            keyed: saved.keyed,
            days: days.map(|(of, at, day)| ((of, at), Day::from_fields(&day))).collect(),
            habits: saved.habits,
            saved: saved.next.map_or(0, |next| Slot(next).hour()),
            has_changed: false,
        })
    }
}

/// How long one in twenty and ten prompts of the last hour were; 0 where there were too few.
fn longest(conduct: &Conduct, deployment: u32, slot: Slot) -> (u32, u32) {
    let lengths = conduct.lengths(deployment, slot, SLOTS_PER_HOUR);
    let longest = lengths.longest().filter(|_| lengths.calls() >= MIN_CALLS);
    (longest.unwrap_or(0), lengths.tenth().unwrap_or(0))
}

/// The sum of a count by deployment, of the whole account under [`NONE`].
pub(super) fn sums(
    deeds: impl Iterator<Item = Deed>,
    of: impl Fn(&Tally) -> i32,
) -> BTreeMap<u32, i32> {
    let mut sums: BTreeMap<u32, i32> = BTreeMap::new();
    for deed in deeds {
        let seen = of(&deed.tally);
        let all = sums.entry(NONE).or_default();
        *all = all.saturating_add(seen);
        if deed.deployment != NONE {
            let own = sums.entry(deed.deployment).or_default();
            *own = own.saturating_add(seen);
        }
    }
    sums
}

/// A count; what was taken back on balance is none.
pub(super) fn count(signed: i32) -> u32 {
    u32::try_from(signed).unwrap_or(0)
}

const fn day_of(slot: Slot) -> i64 {
    slot.0.div_euclid(SLOTS_PER_DAY)
}
