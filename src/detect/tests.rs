#![expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]

use super::score::Around;
use super::seasonal::{curve, forecast_day};
use super::series::{SLOTS_PER_DAY, SLOTS_PER_HOUR, Signal};
use super::*;
use crate::aggregate::rollup::{Amount, Caller, Split};
use crate::event::operation::Operation;

/// A Thursday, midnight.
const DAY_ZERO: i64 = 20_003;

/// Tokens of a slot of an office deployment: busy by day, quiet by night, a little noise.
fn usual(slot: i64, noise: &mut fastrand::Rng) -> i64 {
    let hour = (slot / SLOTS_PER_HOUR) % 24;
    let base = if (8..18).contains(&hour) { 60_000.0 } else { 6_000.0 };
    (base * (0.8 + 0.4 * noise.f64())) as i64
}

fn amount(tokens: i64) -> Amount {
    Amount {
        calls: 1 + tokens / 1000,
        input: tokens,
        cost_nano: tokens * 2_500,
        ..Amount::default()
    }
}

/// Slot, detector and score.
type Found = (i64, &'static str, f64);

/// Feeds slots one by one and returns everything found, and the verdict of each slot.
fn run(slots: &[i64], settings: &DetectSettings) -> (Vec<Found>, Vec<Verdict>) {
    let mut series = Series::default();
    let (mut found, mut verdicts) = (Vec::new(), Vec::new());
    for (place, tokens) in slots.iter().enumerate() {
        let slot = Slot(DAY_ZERO * SLOTS_PER_DAY + i64::try_from(place).unwrap());
        if *tokens > 0 {
            let split = Split { on_time: amount(*tokens), late: Amount::default() };
            series.add(slot.start(), Caller::TOTAL, split);
            series.add(slot.start(), Caller::new(7, 0, Operation::Chat), split);
        }
        series.prepare(slot);
        let verdict = series.close(slot, |_| Around::default(), &settings.score);
        for detector in DETECTORS {
            let (profile, phase) = (detector.profile(), Phase::Closed);
            let judge = Judge { settings, profile, phase, verdict: &verdict, newcomer: None };
            if let Some(finding) = detector.judge(&series, slot, &judge) {
                found.push((
                    slot.0 - DAY_ZERO * SLOTS_PER_DAY,
                    detector.profile().id.as_str(),
                    finding.score,
                ));
            }
        }
        verdicts.push(verdict);
        series.forget(slot);
    }
    (found, verdicts)
}

fn weeks(count: i64) -> Vec<i64> {
    let mut noise = fastrand::Rng::with_seed(7);
    (0..count * 7 * SLOTS_PER_DAY).map(|slot| usual(slot, &mut noise)).collect()
}

/// Rules that find something in the third week, which `change` has changed; what becomes of the weeks
/// after is not asked.
fn check(change: impl Fn(&mut [i64]), expected: &[&str]) {
    let mut slots = weeks(3);
    change(&mut slots[(14 * SLOTS_PER_DAY) as usize..]);
    slots.truncate((15 * SLOTS_PER_DAY) as usize);
    let (found, _) = run(&slots, &DetectSettings::default());
    let mut rules: Vec<_> = found.iter().map(|(_, rule, _)| *rule).collect();
    rules.sort_unstable();
    rules.dedup();
    assert_eq!(rules, expected);
}

#[test]
fn a_usual_week_raises_nothing() {
    let (found, verdicts) = run(&weeks(3), &DetectSettings::default());
    assert_eq!(found, []);
    assert!(verdicts.iter().filter(|verdict| !verdict.parts.is_empty()).count() > 1_000);
}

#[test]
fn a_theft_raises_a_spike_and_an_outage_is_noticed() {
    let noon = (12 * SLOTS_PER_HOUR) as usize;
    let spike = |factor| {
        move |week: &mut [i64]| week[noon..noon + 24].iter_mut().for_each(|t| *t *= factor)
    };
    check(spike(12), &["TW-C01", "TW-C02"]);
    check(spike(100), &["TW-C01", "TW-C02", "TW-C04"]);
    check(|week| week[noon..noon + 24].iter_mut().for_each(|t| *t = 0), &["TW-P12"]);
    let night = (2 * SLOTS_PER_HOUR) as usize;
    check(|week| week[night..night + 24].iter_mut().for_each(|t| *t = 300_000), &["TW-C01"]);
}

#[test]
fn changing_the_future_never_changes_a_past_score() {
    let mut noise = fastrand::Rng::with_seed(11);
    let mut slots = weeks(4);
    // Enough trouble that there are scores to compare.
    for _ in 0..40 {
        let at = noise.usize(..slots.len());
        slots[at] *= noise.i64(2..60);
    }
    let settings = DetectSettings::default();
    let cut = slots.len() * 3 / 4;
    let before = run(&slots, &settings);
    slots[cut..].iter_mut().for_each(|tokens| *tokens = *tokens * 7 + 50);
    let after = run(&slots, &settings);
    let past = |(found, verdicts): &(Vec<Found>, Vec<Verdict>)| {
        let bits = |f: &Found| (f.0, f.1, f.2.to_bits());
        let found: Vec<_> = found.iter().filter(|f| f.0 < cut as i64).map(bits).collect();
        (found, verdicts[..cut].to_vec())
    };
    let (found, verdicts) = past(&before);
    let scored = verdicts.iter().filter(|verdict| !verdict.parts.is_empty()).count();
    assert!(!found.is_empty() && scored > 1_000, "{} {scored}", found.len());
    assert!(past(&after) == (found, verdicts));
    assert_ne!(before, after);
}

/// A series with the slots before `end` closed.
fn fed(slots: &[i64], end: Slot, saved: Option<(Slot, Vec<u8>)>) -> Series {
    let mut series = Series::default();
    let first = end.0 - i64::try_from(slots.len()).unwrap();
    let since = saved.as_ref().map_or(first, |(since, _)| since.0);
    for (slot, tokens) in (first..).map(Slot).zip(slots) {
        let split = Split { on_time: amount(*tokens), late: Amount::default() };
        let caller = Caller::new(7 + u32::try_from(slot.0 / 300).unwrap(), 0, Operation::Chat);
        if slot.0 < since {
            // What a restart learns of callers: when each was first seen.
            series.saw_network(caller.parts().unwrap().network, slot.start());
            continue;
        }
        series.add(slot.start(), Caller::TOTAL, split);
        series.add(slot.start(), caller, split);
        if saved.is_none() {
            drop(series.close(slot, |_| Around::default(), &ScoreSettings::default()));
            series.forget(slot);
        }
    }
    if let Some((_, bytes)) = saved {
        series.restore_state(&bytes);
        series.replay(end, |_, _| Around::default(), &ScoreSettings::default());
    }
    series
}

#[test]
fn a_restart_goes_on_exactly() {
    let slots = weeks(2);
    let end = |place: usize| Slot(DAY_ZERO * SLOTS_PER_DAY + i64::try_from(place).unwrap());
    for (saved, stopped) in [(1, 200), (2_880, 3_000), (3_456, 3_743)] {
        let mut before = fed(&slots[..saved], end(saved), None);
        let state = before.take_state().unwrap();
        let mut whole = fed(&slots[..stopped], end(stopped), None);
        let mut again = fed(&slots[..stopped], end(stopped), Some((end(saved), state)));
        whole.save_soon();
        again.save_soon();
        let [whole, again] = [whole, again].map(|mut series| series.take_state().unwrap());
        assert!(whole.len() > 100 && whole == again, "{saved} {stopped}");
    }
}

#[test]
fn the_seasonal_curve_follows_the_day() {
    let mut series = Series::default();
    for (place, tokens) in weeks(3).iter().enumerate() {
        let slot = Slot(DAY_ZERO * SLOTS_PER_DAY + i64::try_from(place).unwrap());
        let split = Split { on_time: amount(*tokens), late: Amount::default() };
        series.add(slot.start(), Caller::TOTAL, split);
    }
    let now = Slot((DAY_ZERO + 21) * SLOTS_PER_DAY);
    let curve = curve(&series, now, Signal::Tokens, 24).unwrap();
    let at = |hour: i64| curve.values[usize::try_from(hour - curve.first_hour).unwrap()];
    let day = (DAY_ZERO + 20) * 24;
    assert!(at(day + 12) > 5.0 * at(day + 3), "{} {}", at(day + 12), at(day + 3));
    let forecast = forecast_day(&series, now, Signal::Tokens).unwrap();
    let true_day = 10.0 * 12.0 * 60_000.0 + 14.0 * 12.0 * 6_000.0;
    assert!((forecast / true_day - 1.0).abs() < 0.2, "{forecast} {true_day}");
}
