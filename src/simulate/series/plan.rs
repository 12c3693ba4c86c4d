//! Who is attacked when: places drawn until the rules hold.

use super::load::Holidays;
use super::number::{place, real};
use super::random::Draws;
use super::{DAY, HOUR, Profile, Settings};

/// Places tried for one event before it is left out.
const TRIES: usize = 400;
/// Most events of a deployment.
const MOST: usize = 2;
/// Events of a deployment begin at least this far apart.
const APART: usize = 4 * DAY;
/// The number of deployments that counts of events are given for.
const PER: usize = 200;

/// An event with its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned<A> {
    pub(super) what: A,
    /// First slot.
    pub(super) from: usize,
    /// Slot after the last.
    pub(super) until: usize,
    pub(super) magnitude: f64,
}

/// What is decided before any series of a track is drawn.
#[derive(Debug)]
pub(super) struct Draft<'a, A> {
    pub(super) settings: &'a Settings,
    pub(super) holidays: Holidays,
    profiles: Vec<Profile>,
    plan: Vec<Vec<Planned<A>>>,
}

impl<'a, A: Plot> Draft<'a, A> {
    /// Draws profiles, holidays and so many events of each kind from the stream called `name`.
    pub(super) fn new(settings: &'a Settings, name: &str, counts: &[(A, usize)]) -> Self {
        let mut draws = Draws::new(settings.seed, name, 0);
        let profiles: Vec<Profile> =
            (0..settings.deployments).map(|_| settings.profile_at(draws.unit())).collect();
        let holidays = Holidays::draw(settings, &mut draws);
        let wanted = wanted(counts, settings.deployments);
        let plan = place_all(wanted, &profiles, settings, &mut draws);
        Self { settings, holidays, profiles, plan }
    }

    /// What was decided about one deployment.
    pub(super) fn deployment(&self, number: usize) -> (Profile, &[Planned<A>]) {
        let profile = self.profiles.get(number).copied().unwrap_or(Profile::Dormant);
        (profile, self.plan.get(number).map(Vec::as_slice).unwrap_or_default())
    }
}

/// What can be planned.
pub(super) trait Plot: Copy {
    /// Moment, length and strength.
    fn draw(self, settings: &Settings, draws: &mut Draws) -> Planned<Self>;

    /// Needs a deployment of its own, so it is placed while there are some.
    fn lasts(self) -> bool;

    /// Whether it can happen to such a deployment beside what is planned there.
    fn fits(self, profile: Profile, there: &[Planned<Self>]) -> bool;
}

/// So many of each for 200 deployments, in proportion for others, at least one.
fn wanted<A: Copy>(counts: &[(A, usize)], deployments: usize) -> Vec<A> {
    let list = counts.iter().flat_map(|(what, count)| {
        let count = ((count * deployments + PER / 2) / PER).max(1);
        std::iter::repeat_n(*what, count)
    });
    list.collect()
}

/// Places events one after another, in random order after those that last, so that no kind is left
/// with what others do not fit into. By deployment, each by beginning.
fn place_all<A: Plot>(
    mut wanted: Vec<A>,
    profiles: &[Profile],
    settings: &Settings,
    draws: &mut Draws,
) -> Vec<Vec<Planned<A>>> {
    draws.shuffle(&mut wanted);
    wanted.sort_by_key(|what| !what.lasts());
    let mut plan: Vec<Vec<Planned<A>>> = profiles.iter().map(|_| Vec::new()).collect();
    for what in wanted {
        for _ in 0..TRIES {
            let number = draws.within(0..profiles.len());
            let (Some(profile), Some(there)) = (profiles.get(number), plan.get_mut(number)) else {
                break;
            };
            if there.len() >= MOST || !what.fits(*profile, there) {
                continue;
            }
            let event = what.draw(settings, draws);
            if there.iter().all(|other| other.from.abs_diff(event.from) >= APART) {
                there.push(event);
                break;
            }
        }
    }
    plan.iter_mut().for_each(|there| there.sort_by_key(|event| event.from));
    plan
}

/// A length of the span, uniform in its logarithm, and a beginning from the second scored day on
/// that leaves an hour after the end.
pub(super) fn moment(
    settings: &Settings,
    (shortest, longest): (usize, usize),
    draws: &mut Draws,
) -> (usize, usize) {
    let length = place(draws.log_between((real(shortest), real(longest))));
    let last = settings.slots().saturating_sub(length.max(2 * HOUR) + HOUR);
    let from = draws.within(settings.warmup() + DAY..last);
    (from, (from + length).min(settings.slots()))
}
