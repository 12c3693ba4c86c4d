//! Rules about sums, through the real pipeline: any cut, any interleaving, and a new start at any moment.

use tokenwatch::simulate::play::Showing;

use crate::harness::{numbered, same};
use crate::interleaving::{Handing, Order, PLAIN, outcome};

/// What is found of a play, however it is read: a line of the rule among all that is saved.
async fn check(name: &str, rule: &str) {
    let (simulation, _) = Showing::named(name, 4).unwrap().enact();
    let arrivals = numbered(&simulation);
    let expected = outcome(&arrivals, PLAIN).await;
    let is_told = |line: &String| line.starts_with("incident ") && line.contains(rule);
    assert!(expected.iter().any(is_told), "{name}: {expected:#?}");
    for (order, batch, cut) in [(Order::Arrival, 97, 9), (Order::Runs(300), 499, 3)] {
        let handing = Handing { order, batch, cut, tail_batch: 11, seed: 5, ..PLAIN };
        let found = outcome(&arrivals, handing).await;
        same(&format!("{name} {handing:?}"), &expected, &found);
    }
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
