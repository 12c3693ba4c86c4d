//! Clocks that are set by an hour: hours are counted in UTC, so who works by a clock comes an hour early or late.
//! Series begin in 1970, with nothing before the traffic, so that the change falls on a date of the calendar.

use tokenwatch::backtest::{Run, Track};
use tokenwatch::detect::score::ScoreSettings;
use tokenwatch::simulate::series::{self, DAY, HOUR, Preset, Profile, Settings, Slot};

use crate::harness::Folder;

/// The last Sunday of the warm-up, in which nothing is injected, and the day after the Monday that follows.
const SUNDAY: usize = 20 * DAY;
const END: usize = 22 * DAY;

/// A change of clocks: the day it comes on, counted from 1970, and the hour in UTC.
struct Place {
    day: usize,
    hour: usize,
}

/// What a clock is set to.
#[derive(Debug, Clone, Copy)]
enum Change {
    None,
    /// In spring: the office begins an hour earlier in UTC.
    Forward,
    /// In autumn: it begins an hour later.
    Back,
}

/// Traffic until Monday night, moved by an hour from a slot on, after so many slots of nothing.
fn moved(slots: &[Slot], (before, from): (usize, usize), change: Change) -> Vec<Slot> {
    let source = |slot: usize| match change {
        Change::Forward if slot >= from => slot + HOUR,
        Change::Back if slot >= from => slot - HOUR,
        Change::Forward | Change::Back | Change::None => slot,
    };
    let traffic = (0..END).map(|slot| slots.get(source(slot)).copied().unwrap_or_default());
    vec![Slot::default(); before].into_iter().chain(traffic).collect()
}

/// The largest score of each deployment that keeps hours, from the change on.
fn largest(seed: u64, place: &Place, change: Change) -> Vec<f64> {
    let (before, from) = (place.day * DAY - SUNDAY, SUNDAY + place.hour * HOUR);
    let settings = Settings {
        deployments: 12,
        holidays_per_region: 0,
        mix: &[(Profile::Business, 0.7), (Profile::Consumer, 0.3)],
        ..Settings::new(Preset::Dev, seed)
    };
    let mut track = series::draw(&settings, &|| ());
    assert!(
        track
            .series
            .iter()
            .all(|series| { matches!(series.profile, Profile::Business | Profile::Consumer) })
    );
    for series in &mut track.series {
        series.slots = moved(&series.slots, (before, from), change);
    }
    track.settings.days = (before + END) / DAY;
    let folder = Folder::new();
    let path = folder.path("");
    series::write(&track, path.as_ref(), &|| ()).unwrap();
    let track = Track::open(path.as_ref(), "fleet").unwrap();
    let run = Run { track: &track, settings: ScoreSettings::default(), threads: 2, until: None };
    let from = i64::try_from(before + from).unwrap();
    let scores = run.keep(
        |judged| (judged.slot >= from).then(|| (judged.place, judged.verdict.score())),
        &mut |_| {},
    );
    let of = |place: usize| {
        let own = scores.iter().filter(|(each, _)| *each == place);
        own.map(|(_, score)| *score).fold(0.0, f64::max)
    };
    (0..track.series.len()).map(of).collect()
}

#[track_caller]
fn check(place: &Place, change: Change) {
    let fired = |scores: &[f64]| scores.iter().filter(|score| **score >= 1.0).count();
    let (mut usual, mut changed, mut deployments) = (0, 0, 0);
    for seed in [1, 2] {
        let moved = largest(seed, place, change);
        usual += fired(&largest(seed, place, Change::None));
        changed += fired(&moved);
        deployments += moved.len();
    }
    assert!(deployments == 24 && changed <= usual + 1, "{change:?}: {changed}, {usual} without");
}

#[test]
fn clocks_set_back_are_no_alert() {
    // 5 April 1970: Australia.
    check(&Place { day: 94, hour: 0 }, Change::Back);
}

#[test]
fn clocks_set_forward_are_no_alert() {
    // 29 March 1970, 01:00 UTC: Europe.
    check(&Place { day: 87, hour: 1 }, Change::Forward);
}

#[test]
fn neither_are_those_of_the_united_states() {
    // 8 March 1970, 07:00 UTC: the east coast.
    check(&Place { day: 66, hour: 7 }, Change::Forward);
}
