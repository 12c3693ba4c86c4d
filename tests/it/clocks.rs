//! Clocks that are set by an hour: hours are counted in UTC, so who works by a clock comes an hour early or late.

use tokenwatch::backtest::{Run, Track};
use tokenwatch::detect::score::ScoreSettings;
use tokenwatch::simulate::series::{self, DAY, HOUR, Preset, Profile, Settings, Slot, fleet};

use crate::harness::Folder;

/// The last Sunday of the warm-up, in which nothing is injected: 01:00 UTC in Europe, 07:00 on the east coast
/// of the United States.
const EUROPE: usize = 20 * DAY + HOUR;
const UNITED_STATES: usize = 20 * DAY + 7 * HOUR;
/// The slot after the Monday that follows.
const END: usize = 22 * DAY;

/// What a clock is set to.
#[derive(Debug, Clone, Copy)]
enum Change {
    None,
    /// In spring: the office begins an hour earlier in UTC.
    Forward,
    /// In autumn: it begins an hour later.
    Back,
}

/// Traffic until Monday night, moved by an hour from a slot on.
fn moved(slots: &[Slot], from: usize, change: Change) -> Vec<Slot> {
    let source = |slot: usize| match change {
        Change::Forward if slot >= from => slot + HOUR,
        Change::Back if slot >= from => slot - HOUR,
        Change::Forward | Change::Back | Change::None => slot,
    };
    (0..END).map(|slot| slots.get(source(slot)).copied().unwrap_or_default()).collect()
}

/// The largest score of each deployment that keeps hours, from the change on.
fn largest(seed: u64, from: usize, change: Change) -> Vec<f64> {
    let settings =
        Settings { deployments: 12, holidays_per_region: 0, ..Settings::new(Preset::Dev, seed) };
    let mut track = fleet(&Settings { mix: [0.7, 0.3, 0.0, 0.0, 0.0, 0.0], ..settings });
    assert!(
        track
            .series
            .iter()
            .all(|series| { matches!(series.profile, Profile::Business | Profile::Consumer) })
    );
    for series in &mut track.series {
        series.slots = moved(&series.slots, from, change);
    }
    track.settings.days = END / DAY;
    let folder = Folder::new();
    let path = folder.path("");
    series::write(&track, path.as_ref(), &|| ()).unwrap();
    let track = Track::open(path.as_ref(), "fleet").unwrap();
    let run = Run { track: &track, settings: ScoreSettings::default(), threads: 2, until: None };
    let from = i64::try_from(from).unwrap();
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
fn check(from: usize, change: Change) {
    let fired = |scores: &[f64]| scores.iter().filter(|score| **score >= 1.0).count();
    let (mut usual, mut changed, mut deployments) = (0, 0, 0);
    for seed in [1, 2] {
        let moved = largest(seed, from, change);
        // An hour is no attack: none is rarer than the set rate by more than 1.2 decades, 0.6 of a score.
        assert!(moved.iter().all(|score| *score < 1.6), "{change:?} in seed {seed}: {moved:?}");
        usual += fired(&largest(seed, from, Change::None));
        changed += fired(&moved);
        deployments += moved.len();
    }
    assert!(deployments == 24 && changed <= usual + 3, "{change:?}: {changed}, {usual} without");
}

#[test]
fn clocks_set_back_are_no_alert_of_most() {
    check(EUROPE, Change::Back);
}

#[test]
fn clocks_set_forward_are_no_alert_of_most() {
    check(EUROPE, Change::Forward);
}

#[test]
fn neither_are_those_of_the_united_states() {
    check(UNITED_STATES, Change::Back);
}
