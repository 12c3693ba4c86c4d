//! Every play through the real engine and store, with one seed; and what the program says of them.

use std::collections::BTreeSet;

use serde_json::Value;
use tokenwatch::detect::table::{self, Profile};
use tokenwatch::detect::tuning::{Change, Tuned, Tuning};
use tokenwatch::drill;
use tokenwatch::simulate::play::{self, Ends, Play, Showing, Version};

use crate::harness::{Folder, replay, run};

#[test]
fn every_play_comes_out_as_it_must() {
    let ran = run(&["detectors", "test", "--seeds", "1", "--seed", "7", "--format", "json"]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    let failed: Vec<&Value> = said
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|play| play.get("failed").and_then(Value::as_array).unwrap())
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(said.as_array().unwrap().len(), play::all().count());
}

#[test]
fn every_detector_has_a_play_with_a_look_alike() {
    let all: BTreeSet<&str> = table::all().iter().map(|profile| profile.id.as_str()).collect();
    let played = play::all().filter(|play| play.versions().len() == 2);
    let played: BTreeSet<&str> = played.flat_map(Play::detectors).copied().collect();
    assert_eq!(played, all);
}

#[test]
fn names_are_unique_and_lead_back() {
    let mut names = BTreeSet::new();
    for play in play::all() {
        for version in play.versions() {
            let showing = Showing::of(play, version, 3);
            assert!(names.insert(showing.name()), "{}", showing.name());
            let again = Showing::named(&showing.name(), 3).unwrap();
            assert_eq!((again.play.name, again.version), (play.name, version));
        }
        let is_lawful = play.versions() == [Version::Lawful];
        assert_eq!(is_lawful, play.ends == Ends::NoPage, "{}", play.name);
    }
    assert!(names.len() > 70, "{}", names.len());
}

#[test]
fn the_same_seed_is_the_same_play_and_another_is_another() {
    let events = |seed| {
        let (simulation, bill) = Showing::named("tw-k03", seed).unwrap().enact();
        (simulation.events().collect::<Vec<_>>(), bill)
    };
    assert_eq!(events(4), events(4));
    assert_ne!(events(4).1.account, events(5).1.account);
}

/// What the alarm is tested with is what an operator can write to a file and replay.
#[test]
fn a_play_from_a_file_is_found_by_replay() {
    let folder = Folder::new();
    let [events, truth, db] = ["events.jsonl", "truth.json", "db"].map(|name| folder.path(name));
    let call = ["simulate", "--scenario", "tw-p04", "--seed", "9", "--out"];
    let ran = run(&[&call[..], &[&events, "--truth", &truth]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    replay(&[&events], &db);
    let truth: Value = serde_json::from_slice(&std::fs::read(&truth).unwrap()).unwrap();
    assert_eq!(truth.get("must_find").unwrap(), &serde_json::json!(["TW-P04"]));
    let account = truth.get("account").and_then(Value::as_str).unwrap();
    let told = run(&["incidents", "--db", &db]).out;
    let is_it = |line: &str| line.contains("TW-P04") && line.contains(account);
    assert!(told.lines().any(is_it), "{account}: {told}");
}

#[test]
fn what_cannot_be_played_is_said() {
    let ran = run(&["detectors", "test", "TW-X99"]);
    assert!(ran.code == Some(1) && ran.err.contains("--list-scenarios"), "{}", ran.err);
    let call = ["simulate", "--scenario", "tw-p04", "--out", "-", "--history-hours", "9"];
    let ran = run(&call);
    assert!(ran.code == Some(1) && ran.err.contains("tw-p04"), "{}", ran.err);
    let listed = run(&["simulate", "--list-scenarios"]).out;
    for name in ["tw-c01-lawful", "leaked-key", "nat-change"] {
        assert!(listed.contains(name), "{name}: {listed}");
    }
}

/// Whether a showing holds with a detector that is set otherwise.
async fn holds(play: &'static Play, version: Version, seed: u64, tuned: Tuned) -> bool {
    let showing = Showing::of(play, version, seed);
    let mut env = drill::env(&showing).unwrap();
    env.settings.tuning = Tuning::new(vec![tuned]).allowing(env.settings.tuning.allowed().clone());
    drill::review_with(showing, env).await.unwrap().holds()
}

/// Whether an attack is found all the same without its detector.
async fn is_found_without(play: &'static Play, profile: &Profile) -> bool {
    let showing = Showing::of(play, Version::Attack, 1);
    let mut env = drill::env(&showing).unwrap();
    let off = Tuning::new(vec![Tuned::new(profile, Change::default())]);
    env.settings.tuning = off.allowing(env.settings.tuning.allowed().clone());
    // What budgets find goes by them alone.
    env.settings.budgets.clear();
    drill::review_with(showing, env).await.unwrap().holds()
}

fn scaled(profile: &Profile, factor: f64) -> Tuned {
    let scaled = |(name, value): (&String, &f64)| (name.clone(), value * factor);
    let thresholds = profile.defaults.iter().map(scaled).collect();
    Tuned::new(profile, Change { enabled: true, thresholds, ..Change::default() })
}

/// Whether some play of the detector fails when all its thresholds are far too high or far too low.
async fn is_killed(play: &'static Play, profile: &Profile) -> bool {
    for seed in 1..=8 {
        for factor in [1_000.0, 0.001] {
            for version in [Version::Attack, Version::Lawful] {
                if !holds(play, version, seed, scaled(profile, factor)).await {
                    return true;
                }
            }
        }
    }
    false
}

/// Detectors whose thresholds decide something else than whether they speak of the play: of TW-P04 only about one
/// of four ways to open an account.
const OTHERWISE: [&str; 3] = ["TW-I04", "TW-K03", "TW-P04"];

/// Judges the plays of two versions, each with its first detector, on as many threads as there are.
fn of_each(
    judge: impl Fn(&'static Play, &'static Profile) -> Option<String> + Sync,
) -> Vec<String> {
    let plays: Vec<&'static Play> = play::all().filter(|play| play.versions().len() == 2).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut said = Vec::new();
        loop {
            let place = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(play) = plays.get(place) else { return said };
            let profile = play.detectors().first().and_then(|id| table::find(id)).unwrap();
            said.extend(judge(play, profile));
        }
    };
    std::thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A play that no threshold can spoil proves nothing of the threshold.
#[test]
fn a_play_fails_when_thresholds_are_far_off() {
    let survivors = of_each(|play, profile| {
        let has_thresholds = !profile.defaults.is_empty();
        let is_asked = has_thresholds && !OTHERWISE.contains(&profile.id.as_str());
        (is_asked && !wait(is_killed(play, profile))).then(|| play.name.to_owned())
    });
    assert!(survivors.is_empty(), "{survivors:?}");
}

/// Of those that have no threshold, one that is switched off must be missed.
#[test]
fn a_play_fails_when_its_detector_is_off() {
    let survivors = of_each(|play, profile| {
        let is_asked = profile.defaults.is_empty() || OTHERWISE.contains(&profile.id.as_str());
        let is_found = is_asked && wait(is_found_without(play, profile));
        is_found.then(|| play.name.to_owned())
    });
    assert!(survivors.is_empty(), "{survivors:?}");
}
