//! Many slots at once: what one deployment goes through in weeks.

use super::*;
use crate::detect::baseline::as_float;

const DAY: i64 = 288;

/// Office hours with a fifth of noise, the same in every run.
fn usual(slot: i64) -> Observed {
    let (day, hour) = (slot.div_euclid(DAY) % 7, slot.rem_euclid(DAY) / 12);
    let busy = if day < 5 && (8..18).contains(&hour) { 60.0 } else { 12.0 };
    let noise = as_float((slot * 7_919 + slot / 12 * 104_729) % 1_000) / 1_000.0 - 0.5;
    let calls = (busy * (1.0 + 0.4 * noise)).round();
    calls_of(calls, (calls / 2.0).round())
}

fn calls_of(calls: f64, callers: f64) -> Observed {
    let (input, output) = (700.0 * calls, 200.0 * calls);
    Observed { calls, input, output, callers: Some(callers), ..Observed::default() }
}

/// So many times as much of all.
fn times(seen: &Observed, factor: f64) -> Observed {
    let callers = seen.callers.unwrap_or(0.0);
    calls_of((seen.calls * factor).round(), (callers * factor).round())
}

fn close(memory: &mut Memory, slot: i64, seen: &Observed) -> Verdict {
    memory.close(slot, seen, &Around::default(), &ScoreSettings::default())
}

/// After so many usual days.
fn after(days: i64) -> Memory {
    let mut memory = Memory::new(Grid::FIVE_MINUTES);
    for slot in 0..days * DAY {
        close(&mut memory, slot, &usual(slot));
    }
    memory
}

/// Slots that fire, of days in which everything is so many times as much as usual.
fn fired(memory: &mut Memory, days: std::ops::Range<i64>, factor: impl Fn(i64) -> f64) -> Vec<i64> {
    let slots = days.start * DAY..days.end * DAY;
    slots
        .filter(|slot| close(memory, *slot, &times(&usual(*slot), factor(*slot))).score() >= 1.0)
        .collect()
}

/// After 21 usual days and one in which there is ten times as much of all for four hours, and told of.
fn attacked() -> Memory {
    let mut memory = after(21);
    let attack = 21 * DAY + 9 * 12..21 * DAY + 13 * 12;
    let factor = |slot: i64| if attack.contains(&slot) { 10.0 } else { 1.0 };
    assert!(fired(&mut memory, 21..22, factor).len() > 40);
    memory
}

/// Calls expected of a usual slot, where a fall is looked for.
fn expected(memory: &Memory, slot: i64) -> f64 {
    memory.frame(&[usual(slot)]).calls.first().map_or(0.0, |[_, _, low]| *low)
}

#[test]
fn usual_weeks_are_quiet() {
    let told = fired(&mut after(14), 14..35, |_| 1.0);
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_saved_memory_is_small_and_goes_on_exactly() {
    let mut memory = after(30);
    let bytes = memory.to_bytes();
    assert!(bytes.len() <= 32 * 1024, "{}", bytes.len());
    let mut read = Memory::from_bytes(&bytes).unwrap();
    assert_eq!(read, memory);
    let attack = |slot: i64| if slot >= 30 * DAY + 100 { 8.0 } else { 1.0 };
    assert_eq!(fired(&mut read, 30..31, attack), fired(&mut memory, 30..31, attack));
    assert_eq!(read, memory);
    let other = [&[FORM + 1], bytes.get(1..).unwrap()].concat();
    assert_eq!((Memory::from_bytes(&other), Memory::from_bytes(&[])), (None, None));
}

#[test]
fn slots_left_out_count_as_nothing() {
    let (mut told, mut skipped) = (after(16), after(16));
    let gap = 16 * DAY + 100..16 * DAY + 140;
    for slot in gap.clone() {
        close(&mut told, slot, &Observed::default());
    }
    let [told_of, skipped_of] =
        [&mut told, &mut skipped].map(|memory| close(memory, gap.end, &usual(gap.end)));
    assert_eq!(told_of, skipped_of);
    assert_eq!(told, skipped);
    let again = close(&mut told, gap.end, &times(&usual(gap.end), 90.0));
    assert_eq!((again, told), (Verdict::default(), skipped), "no slot is judged twice");
}

#[test]
fn an_early_score_is_kept_by_the_slot_that_closes() {
    let settings = ScoreSettings::default();
    let mut memory = after(21);
    let first = 21 * DAY + 10 * 12;
    (21 * DAY..first).for_each(|slot| drop(close(&mut memory, slot, &usual(slot))));
    for factor in [1.0, 3.0, 10.0, 40.0] {
        let [one, two] = [first, first + 1].map(|slot| times(&usual(slot), factor));
        let mut last = 0.0;
        for share in [0.1, 0.4, 0.7, 1.0] {
            let early = memory.peek(&[times(&one, share)], &settings).score();
            assert!(early >= last, "{factor} {share}: {early} after {last}");
            last = early;
        }
        let both = memory.peek(&[one, two], &settings).score();
        let mut closed = memory.clone();
        let kept = close(&mut closed, first, &one).score();
        assert!(kept >= last, "{factor}: {last}, then {kept}");
        // Less by half a rate and rounding: the slot before may have been charged meanwhile.
        let charged = 0.5 * std::f64::consts::LOG10_2 + 1e-6;
        let kept = close(&mut closed, first + 1, &two).score();
        assert!(kept >= both - charged, "{factor}: {both}, then {kept}");
        assert_eq!(last >= 1.0, factor >= 10.0, "{factor}: {last}");
    }
}

#[test]
fn a_lawful_step_is_accepted_within_two_days() {
    let mut memory = after(21);
    let told = fired(&mut memory, 21..23, |_| 2.0);
    let late = fired(&mut memory, 23..30, |_| 2.0);
    assert!(late.is_empty(), "{late:?} after {told:?}");
    let noon = 30 * DAY;
    let (is, was) = (expected(&memory, noon), expected(&after(30), noon));
    assert!((1.7..2.3).contains(&(is / was)), "{is} {was}");
}

#[test]
fn who_wakes_while_a_day_ends_is_seen_in_the_next() {
    let mut memory = after(4);
    for slot in 4 * DAY..20 * DAY - 1 {
        close(&mut memory, slot, &Observed::default());
    }
    let few = Observed { calls: 2.0, ..Observed::default() };
    let woke = |verdict: Verdict| {
        verdict.parts.iter().any(|part| part.part == Part::Wake && part.raw >= 1.0)
    };
    assert!(!woke(close(&mut memory, 20 * DAY - 1, &few)));
    assert!(woke(close(&mut memory, 20 * DAY, &few)));
    // A job at the end of every day from then on is awake.
    let job = |slot: i64| if slot % DAY >= DAY - 2 { few } else { Observed::default() };
    let told: Vec<i64> = (20 * DAY + 1..24 * DAY)
        .filter(|slot| woke(close(&mut memory, *slot, &job(*slot))))
        .collect();
    assert!(told.iter().all(|slot| *slot < 21 * DAY), "{told:?}");
}

#[test]
fn three_per_cent_a_day_are_told_before_they_double() {
    let growth = |slot: i64| 1.03_f64.powf(as_float(slot - 35 * DAY).max(0.0) / as_float(DAY));
    let by_day = |slot: i64| (8 * 12..18 * 12).contains(&slot.rem_euclid(DAY));
    for (at_night, regime) in [(1.0, measure::Regime::Busy), (0.0, measure::Regime::Idle)] {
        let mut memory = Memory::new(Grid::FIVE_MINUTES);
        let mut told = Vec::new();
        for slot in 0..65 * DAY {
            let factor = growth(slot) * if by_day(slot) { 1.0 } else { at_night };
            let verdict = close(&mut memory, slot, &times(&usual(slot), factor));
            if verdict.score() >= 1.0 {
                assert_eq!(verdict.parts.first().unwrap().part, Part::Raised);
                told.push(growth(slot));
            }
        }
        assert_eq!(memory.regime(), regime);
        // And few times more.
        assert!(*told.first().unwrap() < 2.0 && told.len() < 6, "{regime:?}: {told:?}");
    }
}

#[test]
fn an_attack_is_left_out_of_the_rhythm() {
    let memory = attacked();
    let (is, was) = (memory.calls.learnt(), after(22).calls.learnt().clone());
    for hour in 21 * 24..22 * 24 {
        let ratio = (is.at(hour) / was.at(hour)).ln();
        assert!(ratio.abs() < 0.35, "hour {hour}: {} instead of {}", is.at(hour), was.at(hour));
    }
}

#[test]
fn an_attack_is_not_learnt() {
    let mut memory = attacked();
    let mut without = after(22);
    let mut worst = 1.0_f64;
    for slot in 22 * DAY..24 * DAY {
        let (is, was) = (expected(&memory, slot), expected(&without, slot));
        worst = if (is / was).ln().abs() > worst.ln().abs() { is / was } else { worst };
        close(&mut memory, slot, &usual(slot));
        close(&mut without, slot, &usual(slot));
    }
    assert!((0.8..1.25).contains(&worst), "{worst}");
}

#[test]
fn a_year_without_slots_is_a_gap_and_not_a_year_of_work() {
    let mut memory = after(3);
    let woken = close(&mut memory, 368 * DAY, &calls_of(5.0, 1.0));
    assert!(woken.parts.iter().any(|part| part.part == Part::Wake), "{woken:?}");
    assert_eq!(memory.next(), Some(368 * DAY + 1));
    assert_eq!(memory.age, 1);
}

/// Slots of so many days that fire, where so much of the usual comes and peers fall as far.
fn told_beside(
    memory: &mut Memory,
    days: std::ops::Range<i64>,
    of: impl Fn(i64) -> (f64, Option<f64>),
) -> Vec<i64> {
    let mut fires = |slot: &i64| {
        let (factor, fall) = of(*slot);
        let (seen, around) = (times(&usual(*slot), factor), Around { fall, ..Around::default() });
        memory.close(*slot, &seen, &around, &ScoreSettings::default()).score() >= 1.0
    };
    (days.start * DAY..days.end * DAY).filter(|slot| fires(slot)).collect()
}

#[test]
fn a_fall_is_told_where_it_is_no_holiday() {
    let told = |first_hour: i64, peers: Option<f64>| {
        let fall = 22 * DAY + first_hour * 12..22 * DAY + 16 * 12;
        let of = |slot: i64| (if fall.contains(&slot) { 0.3 } else { 1.0 }, peers);
        let told = told_beside(&mut after(22), 22..23, of);
        assert!(told.iter().all(|slot| *slot > fall.start), "{first_hour} {peers:?}: {told:?}");
        !told.is_empty()
    };
    for first_hour in [0, 10] {
        assert!(told(first_hour, Some(0.0)), "peers show that it is none");
        assert!(!told(first_hour, Some(-1.2)), "peers fell as far");
    }
    // Alone it may be one, unless work had begun that day.
    assert!(told(10, None) && !told(0, None));
}

#[test]
fn a_holiday_and_the_weekend_after_it_are_no_new_level() {
    let friday = 25 * DAY..26 * DAY;
    // In the evening, and on days of rest, too few are at work to tell.
    let by_day = |slot: i64| friday.contains(&slot) && slot.rem_euclid(DAY) < 18 * 12;
    for has_peers in [true, false] {
        let of = |slot: i64| {
            let fall = if by_day(slot) { -1.2 } else { 0.0 };
            let factor = if slot < friday.end { 0.3 } else { 0.65 };
            (factor, Some(fall).filter(|_| has_peers && slot % DAY < 18 * 12))
        };
        let mut memory = after(25);
        let told = told_beside(&mut memory, 25..28, of);
        assert!(told.is_empty(), "{has_peers}: {told:?}");
        let told = fired(&mut memory, 28..33, |_| 1.0);
        assert!(told.is_empty(), "{has_peers}: {told:?}");
        let noon = 33 * DAY - 12 * 12;
        let (is, was) =
            (memory.calls.learnt().at(noon / 12), after(33).calls.learnt().at(noon / 12));
        assert!((is / was).ln().abs() < 0.1, "{has_peers}: {is} instead of {was}");
        let level = memory.calls.shift(memory.grid)[1][1];
        assert!(level.abs() < 0.15, "{has_peers}: {level}");
    }
}

#[test]
fn who_logs_callers_and_no_tokens_is_judged_like_others() {
    let without_tokens = |slot: i64| {
        let Observed { calls, callers, .. } = usual(slot);
        Observed { calls, callers, ..Observed::default() }
    };
    let mut memory = Memory::new(Grid::FIVE_MINUTES);
    (0..21 * DAY).for_each(|slot| drop(close(&mut memory, slot, &without_tokens(slot))));
    assert_eq!(memory.regime(), measure::Regime::Busy);
    let night = 21 * DAY..21 * DAY + 3 * 12;
    let told: Vec<Part> = night
        .filter_map(|slot| close(&mut memory, slot, &Observed::default()).parts.first().copied())
        .filter(|part| part.score >= 1.0)
        .map(|part| part.part)
        .collect();
    assert!(told.contains(&Part::Silence), "{told:?}");
}

#[test]
fn a_young_deployment_of_one_caller_or_that_erupts_may_be_one_client_alone() {
    use measure::Regime;
    let regimes = |seen: fn(i64) -> Observed| {
        let mut memory = Memory::new(Grid::FIVE_MINUTES);
        [6, 12, 15].map(|day| {
            let next = memory.next().unwrap_or(0);
            (next..day * DAY).for_each(|slot| drop(close(&mut memory, slot, &seen(slot))));
            memory.regime()
        })
    };
    assert_eq!(regimes(usual), [Regime::New, Regime::Young, Regime::Busy]);
    let wild = [Regime::Wild, Regime::Wild, Regime::Busy];
    assert_eq!(regimes(|slot| Observed { callers: Some(1.0), ..usual(slot) }), wild);
    assert_eq!(regimes(|slot| Observed { callers: None, ..usual(slot) }), wild);
    // Ten times as much for two hours in every 31.
    let erupts = |slot: i64| times(&usual(slot), if slot % 372 < 24 { 10.0 } else { 1.0 });
    assert_eq!(regimes(erupts), wild);
}

/// Slots that fire, of deployments that have forty calls a slot with a fifth of noise while they work.
fn told_of_work(days: i64, works: impl Fn(i64) -> bool) -> Vec<(i64, Part)> {
    let mut memory = Memory::new(Grid::FIVE_MINUTES);
    let seen = |slot: i64| {
        if works(slot) { times(&usual(slot % 12 + 10 * 12), 0.7) } else { calls_of(0.0, 0.0) }
    };
    let judged = (0..days * DAY).skip_while(|slot| !works(*slot));
    let parts = judged.filter_map(|slot| {
        let verdict = close(&mut memory, slot, &seen(slot));
        verdict.parts.first().filter(|part| part.score >= 1.0).map(|part| (slot, part.part))
    });
    parts.collect()
}

#[test]
fn work_that_begins_and_ends_at_once_is_neither_a_rise_nor_a_fall() {
    // Hours begin with the first call, so work that starts late on one day begins within an hour on all others.
    for late in [0, 5] {
        let began = |slot: i64| slot >= DAY || slot.rem_euclid(DAY) >= 8 * 12 + late;
        let by_day = |slot: i64| (8 * 12..18 * 12).contains(&slot.rem_euclid(DAY)) && began(slot);
        let nightly = |slot: i64| (2 * 12..3 * 12).contains(&slot.rem_euclid(DAY)) && began(slot);
        let one_in_four = |slot: i64| slot.rem_euclid(4 * 12) < 12 && began(slot);
        assert_eq!(told_of_work(16, by_day), Vec::new(), "by day, {late}");
        assert_eq!(told_of_work(16, nightly), Vec::new(), "an hour a night, {late}");
        assert_eq!(told_of_work(24, one_in_four), Vec::new(), "an hour in four, {late}");
    }
}

#[test]
fn minutes_of_an_hour_are_expected_where_they_come_every_day() {
    // Hours begin with the first call; the job runs from its twentieth minute for ten.
    let job = |slot: i64| slot == 0 || (4..6).contains(&slot.rem_euclid(12));
    assert_eq!(told_of_work(28, job), Vec::new());
    let mut memory = Memory::new(Grid::FIVE_MINUTES);
    let forty = |slot: i64| if job(slot) { calls_of(40.0, 20.0) } else { calls_of(0.0, 0.0) };
    (0..21 * DAY).for_each(|slot| drop(close(&mut memory, slot, &forty(slot))));
    let expected = |place: i64| {
        let mut memory = memory.clone();
        (21 * DAY..21 * DAY + place).for_each(|slot| drop(close(&mut memory, slot, &forty(slot))));
        memory.frame(&[forty(21 * DAY + place)]).calls.first().map_or(0.0, |[_, high, _]| *high)
    };
    let [idle, run, over] = [3, 4, 7].map(expected);
    assert!((30.0..45.0).contains(&run) && idle < 2.0 && over < 2.0, "{idle} {run} {over}");
}

#[test]
fn an_edge_excuses_nothing_where_calls_are_all_that_is_known() {
    let half_past_seven = 21 * DAY + 7 * 12 + 6;
    let high = |seen: fn(i64) -> Observed| {
        let mut memory = Memory::new(Grid::FIVE_MINUTES);
        (0..half_past_seven).for_each(|slot| drop(close(&mut memory, slot, &seen(slot))));
        let frame = memory.frame(&[seen(half_past_seven)]);
        frame.calls.first().map_or(0.0, |[_, high, _]| *high)
    };
    // Twelve at night, sixty from eight on.
    let bare = |slot: i64| Observed { calls: usual(slot).calls, ..Observed::default() };
    let [all, alone] = [high(usual), high(bare)];
    assert!(all > 50.0 && alone < 30.0, "{all} {alone}");
}

#[test]
fn an_outage_is_told_from_the_second_week_on() {
    let mut memory = Memory::new(Grid::FIVE_MINUTES);
    let outage = 10 * DAY + 10 * 12..10 * DAY + 14 * 12;
    let told: Vec<i64> = (0..11 * DAY)
        .filter(|slot| {
            let seen = if outage.contains(slot) { calls_of(0.0, 0.0) } else { usual(*slot) };
            close(&mut memory, *slot, &seen).score() >= 1.0
        })
        .collect();
    assert!(told.first().is_some_and(|first| outage.contains(first)), "{told:?}");
}

#[test]
fn tokens_of_a_call_do_not_change_with_what_is_left_out() {
    let mut memory = attacked();
    let per_call = |memory: &Memory| memory.lately[0] / memory.lately[1];
    assert!((per_call(&memory) - 900.0).abs() < 1e-6, "{}", per_call(&memory));
    // But with what people say is the new normal.
    memory.heed(Heed::Level { from: 21 * DAY, factors: [3.0, 2.0, 1.0] });
    assert!((per_call(&memory) - 1_350.0).abs() < 1e-6, "{}", per_call(&memory));
}

#[test]
fn waking_after_weeks_is_told_at_once() {
    let mut memory = Memory::new(Grid::FIVE_MINUTES);
    close(&mut memory, 0, &Observed::default());
    let slot = 15 * DAY;
    let woken = close(&mut memory, slot, &calls_of(5.0, 1.0));
    assert!(woken.score() >= 1.0 && woken.parts.iter().any(|part| part.part == Part::Wake));
    let mut awake = after(1);
    assert!(close(&mut awake, DAY, &calls_of(5.0, 1.0)).parts.is_empty());
}
