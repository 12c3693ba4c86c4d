//! Rules about sums, through the real pipeline: any cut, any interleaving, and a new start at any moment.

use tokenwatch::simulate::play::{self, Showing, Version};

use crate::harness::{numbered, same};
use crate::interleaving::{Handing, Order, PLAIN, outcome};

const ROUGH: Handing =
    Handing { order: Order::Runs(300), batch: 499, cut: 3, tail_batch: 11, seed: 5, ..PLAIN };

/// What is found of a play, however it is read: a line of the rule among all that is saved.
async fn check(name: &str, rule: &str) {
    let (simulation, _) = Showing::named(name, 4).unwrap().enact();
    let arrivals = numbered(&simulation);
    let expected = outcome(&arrivals, PLAIN).await;
    let is_told = |line: &String| line.starts_with("incident ") && line.contains(rule);
    assert!(expected.iter().any(is_told), "{name}: {expected:#?}");
    for handing in [Handing { order: Order::Arrival, batch: 97, cut: 9, ..ROUGH }, ROUGH] {
        let found = outcome(&arrivals, handing).await;
        same(&format!("{name} {handing:?}"), &expected, &found);
    }
}

/// Plays with more events are left to `./test --long`, which sets `TOKENWATCH_PLAYS` and plays lawful versions too.
const FEW_EVENTS: usize = 1_000;

/// Plays each in two ways, on two threads: one in two of them here.
async fn compare(part: usize) {
    let all = std::env::var_os("TOKENWATCH_PLAYS").is_some();
    let mut compared = 0;
    for play in play::all().skip(part).step_by(2) {
        let mut versions = play.versions();
        if !all {
            versions.truncate(1);
        }
        for version in versions {
            let showing = Showing::of(play, version, 4);
            let (simulation, _) = showing.enact();
            let arrivals = numbered(&simulation);
            if !all && arrivals.len() > FEW_EVENTS {
                continue;
            }
            let expected = outcome(&arrivals, PLAIN).await;
            let found = outcome(&arrivals, ROUGH).await;
            same(&showing.name(), &expected, &found);
            let is_told = expected.iter().any(|line| line.starts_with("incident "));
            compared += usize::from(is_told || version == Version::Lawful);
        }
    }
    assert!(compared > 15, "{compared}");
}

#[tokio::test]
async fn every_other_play_is_the_same_in_any_order() {
    compare(0).await;
}

#[tokio::test]
async fn the_other_plays_are_the_same_in_any_order() {
    compare(1).await;
}

#[tokio::test]
async fn a_projected_day_is_the_same_for_every_cut_and_start() {
    check("tw-c02", "TW-C02").await;
}

#[tokio::test]
async fn habits_are_the_same_for_every_cut_and_start() {
    check("tw-c06", "TW-C06").await;
    check("tw-c07", "TW-C07").await;
    check("tw-c09", "TW-C09").await;
}

#[tokio::test]
async fn a_cold_cache_is_the_same_for_every_cut_and_start() {
    check("tw-c08", "TW-C08").await;
}

#[tokio::test]
async fn what_is_counted_by_the_piece_is_the_same_for_every_cut_and_start() {
    check("tw-c12", "TW-C12").await;
    check("tw-c13", "TW-C13").await;
}
