//! Loops, sweeps and beats, with what looks like them but for one fact.

use super::tests::{Calls, DAYS, NOW, World, check, thief};
use super::*;
use crate::detect::series::SLOT_MIN;
use crate::severity::Severity::{self, Medium};

/// What `rule` says at the end of so many hours from the moment of the scenario, in each slot of which `of` has
/// calls made.
#[track_caller]
fn check_hours(
    rule: &str,
    more: &[Calls],
    (hours, of): (i64, &dyn Fn(i64) -> Vec<Calls>),
    expected: Option<Severity>,
) {
    let (mut world, first) = (World::after(DAYS, more), NOW.div_euclid(SLOT_MIN));
    for slot in 0..hours * SLOTS_PER_HOUR {
        of(slot).into_iter().for_each(|calls| world.call(slot * SLOT_MIN, calls));
        world.close_until(first + slot + 1);
    }
    let signs = world.signs_at(rule, Slot(first + hours * SLOTS_PER_HOUR));
    assert_eq!(signs.first().map(|sign| sign.severity), expected, "{signs:#?}");
    for sign in signs {
        assert!(sign.observed >= sign.bound && !sign.networks.is_empty(), "{sign:#?}");
        assert!(sign.evidence.iter().any(|fact| fact.starts_with("203.0.113.0/24")), "{sign:#?}");
    }
}

/// Requests that grow from minute to minute, of the last ten.
fn growing(from: i64, step: u32, calls: Calls) -> Vec<(i64, Calls)> {
    (0..10).map(|n: u32| (from + i64::from(n), Calls { sent: 1_000 + n * step, ..calls })).collect()
}

#[test]
fn an_agent_that_asks_with_ever_more_is_in_a_loop() {
    let rule = "TW-C14";
    let call = thief(200, 6);
    let grows = growing(25, 400, call);
    check(rule, &[], &grows, Some(Medium));
    check(rule, &[], &growing(25, 400, Calls { times: 5, ..call }), None);
    // Not three times as large by the end.
    check(rule, &[], &growing(25, 200, call), None);
    let falls: Vec<_> = grows.iter().map(|(at, calls)| (59 - at, *calls)).collect();
    check(rule, &[], &falls, None);
    // As many of several callers, each with a few.
    let shared = grows.iter().map(|(at, calls)| {
        (*at, Calls { from: if at % 2 == 0 { calls.from } else { "198.51.100.0/24" }, ..*calls })
    });
    check(rule, &[], &shared.collect::<Vec<_>>(), None);
    // An agent that works so every day.
    let days = (-DAYS..0).flat_map(|day| growing(day * 1_440 + 25, 400, call));
    let daily: Vec<_> = days.chain(grows.clone()).collect();
    let mut world = World::after(0, &[]);
    world.open = (NOW - DAYS * 1_440).div_euclid(SLOT_MIN);
    for (minute, calls) in daily {
        world.close_until((NOW + minute).div_euclid(SLOT_MIN));
        world.call(minute, calls);
    }
    assert_eq!(world.signs(rule), []);
}

#[test]
fn an_agent_that_repeats_itself_is_in_a_loop() {
    let rule = "TW-C14";
    // Sixty of one size come every day.
    let same = Calls { sent: 777, ..thief(200, 180) };
    check(rule, &[], &[(30, same)], Some(Medium));
    check(rule, &[], &[(30, Calls { times: 179, ..same })], None);
    check(rule, &[same], &[(30, same)], None);
    let sizes = [700, 777, 850].map(|sent| (30, Calls { sent, times: 60, ..same }));
    check(rule, &[], &sizes, None);
    check(rule, &[], &[(30, Calls { sent: 0, ..same })], None);
}

#[test]
fn hours_of_even_calls_of_every_size_are_a_sweep() {
    let rule = "TW-A09";
    let each = |times: i32, sizes: [u32; 2]| {
        move |_: i64| sizes.map(|sent| Calls { sent, ..thief(200, times) }).to_vec()
    };
    // The busiest caller makes sixty an hour when it calls.
    let sweep = each(13, [1_000, 3_000]);
    check_hours(rule, &[], (6, &sweep), Some(Medium));
    check_hours(rule, &[], (5, &sweep), None);
    check_hours(rule, &[], (6, &each(12, [1_000, 3_000])), None);
    check_hours(rule, &[], (6, &each(13, [1_000, 1_100])), None);
    let waves = |slot: i64| {
        sweep(slot)
            .into_iter()
            .map(|calls| Calls { times: if slot % 2 == 0 { 26 } else { 0 }, ..calls })
            .collect()
    };
    check_hours(rule, &[], (6, &waves), None);
    let usual = [Calls { times: 70, ..thief(200, 70) }];
    check_hours(rule, &usual, (6, &sweep), None);
    let rare = [Calls { times: 40, ..thief(200, 40) }];
    check_hours(rule, &rare, (6, &sweep), Some(Medium));
}

#[test]
fn a_store_that_is_asked_at_one_beat_is_a_channel() {
    let rule = "TW-A10";
    let poll = Calls { to: "", asked: Operation::Assistants, ..thief(200, 3) };
    let steady = |_: i64| vec![poll];
    check_hours(rule, &[], (2, &steady), Some(Medium));
    check_hours(rule, &[], (1, &steady), None);
    check_hours(rule, &[poll], (2, &steady), None);
    check_hours(rule, &[], (2, &|_| vec![Calls { asked: Operation::Chat, ..poll }]), None);
    check_hours(rule, &[], (2, &|_| vec![Calls { times: 1, ..poll }]), None);
    check_hours(
        rule,
        &[],
        (2, &|slot| vec![Calls { times: if slot % 2 == 0 { 2 } else { 4 }, ..poll }]),
        None,
    );
    let works = Calls { to: "chat", tokens: 51, ..poll };
    check_hours(rule, &[], (2, &|_| vec![works]), None);
    check_hours(rule, &[], (2, &|_| vec![Calls { tokens: 50, ..works }]), Some(Medium));
}
