use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::LazyLock;

use flate2::read::GzDecoder;

use super::number::real;
use super::*;

/// A fleet that the tests share: drawing it is most of their time.
static FLEET: LazyLock<Track> = LazyLock::new(|| drawn(&Settings::new(Preset::Dev, 7)));
static CALLERS: LazyLock<Track> = LazyLock::new(|| drawn(&Settings::callers(Preset::Dev, 7)));

fn drawn(settings: &Settings) -> Track {
    draw(settings, &|| ())
}

fn small(seed: u64) -> Settings {
    Settings { deployments: 12, ..Settings::new(Preset::Dev, seed) }
}

/// Series and event of every event of a type.
fn events<'a>(track: &'a Track, what: &str) -> Vec<(&'a Series, Event)> {
    let all = track.series.iter().flat_map(|series| {
        series.events.iter().filter(|event| event.what == what).map(move |event| (series, *event))
    });
    all.collect()
}

fn float(count: u64) -> f64 {
    real(usize::try_from(count).unwrap())
}

/// Mean of a quantity over slots.
fn mean(slots: &[Slot], of: impl Fn(&Slot) -> u64) -> f64 {
    slots.iter().map(|slot| float(of(slot))).sum::<f64>() / real(slots.len().max(1))
}

/// The mean of the event's span, and of the same hours of the week in the warm-up, where nothing was
/// injected.
fn against_usual(series: &Series, event: Event, of: impl Fn(&Slot) -> u64 + Copy) -> (f64, f64) {
    let inside = mean(&series.slots[event.from..event.until], of);
    let weeks = (1..=4).map(|weeks| weeks * 7 * DAY).filter(|back| *back <= event.from);
    let spans = weeks.map(|back| event.from - back..event.until - back);
    let spans = spans.filter(|span| span.end <= 21 * DAY);
    let usual: Vec<f64> = spans.map(|span| mean(&series.slots[span], of)).collect();
    (inside, usual.iter().sum::<f64>() / real(usual.len()))
}

/// Mean calls of a slot of the warm-up.
fn level(series: &Series) -> f64 {
    mean(&series.slots[..21 * DAY], |slot| slot.calls)
}

fn median(mut values: Vec<f64>) -> f64 {
    assert!(values.len() >= 5, "only {} values", values.len());
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median over the events of a type of (inside − usual) ÷ level, in calls.
#[track_caller]
fn check_added(what: &str, expected: f64, tolerance: f64) {
    let added = events(&FLEET, what).into_iter().map(|(series, event)| {
        let (inside, usual) = against_usual(series, event, |slot| slot.calls);
        (inside - usual) / level(series)
    });
    let found = median(added.collect());
    assert!((found / expected - 1.0).abs() < tolerance, "{what} adds {found}, not {expected}");
}

/// The median over the events of a type of inside ÷ usual, relative to the magnitude.
#[track_caller]
fn check_times(what: &str, of: impl Fn(&Slot) -> u64 + Copy, tolerance: f64) {
    let times = events(&FLEET, what).into_iter().map(|(series, event)| {
        let (inside, usual) = against_usual(series, event, of);
        inside / usual / event.magnitude
    });
    let found = median(times.collect());
    assert!((found - 1.0).abs() < tolerance, "{what} is {found} of its magnitude");
}

#[test]
fn the_same_seed_is_the_same_series_and_another_is_another() {
    let track = drawn(&small(1));
    assert_eq!(track, drawn(&small(1)));
    assert_ne!(track.series, drawn(&small(2)).series);
    let few = |seed| Settings { deployments: 3, ..Settings::callers(Preset::Dev, seed) };
    let track = drawn(&few(1));
    assert_eq!(track, drawn(&few(1)));
    assert_ne!(track.series, drawn(&few(2)).series);
}

#[test]
fn young_deployments_begin_within_the_week_before_they_are_scored() {
    let settings = Settings { deployments: 40, ..Settings::young(Preset::Dev, 3) };
    let track = drawn(&settings);
    assert_eq!(track, drawn(&settings));
    let mut first_days = std::collections::BTreeSet::new();
    for series in &track.series {
        assert_ne!(series.profile, Profile::Dormant);
        let first = series.slots.iter().position(|slot| slot.calls > 0).unwrap();
        // Some rarely call.
        assert!(first < 7 * DAY || series.profile == Profile::Sparse, "{} {first}", series.name);
        first_days.insert(first / DAY);
        let mut attacks = series.events.iter().filter(|event| event.truth == Truth::Attack);
        assert!(attacks.all(|event| event.from >= 8 * DAY), "{}", series.name);
    }
    assert!(first_days.len() > 5, "{first_days:?}");
    assert!(track.series.iter().filter(|series| !series.events.is_empty()).count() > 20);
}

#[test]
fn abrupt_work_rests_and_what_is_done_to_it_is_done_at_work() {
    let settings = Settings { deployments: 60, ..Settings::abrupt(Preset::Dev, 3) };
    let track = drawn(&settings);
    for series in &track.series {
        let warmup = &series.slots[..21 * DAY];
        let mut calls: Vec<u64> = warmup.iter().map(|slot| slot.calls).collect();
        calls.sort_unstable();
        let [rest, all] =
            [&calls[..calls.len() / 4], &calls[..]].map(|slots| slots.iter().sum::<u64>());
        assert!(float(rest) < 0.05 * float(all), "{} {rest} of {all}", series.name);
    }
    let falls = [events(&track, "outage"), events(&track, "usage_drop"), events(&track, "wallet")];
    let mut all = Vec::new();
    for (series, event) in falls.concat() {
        let usual =
            mean(&series.slots[event.from - 7 * DAY..event.until - 7 * DAY], |slot| slot.calls);
        all.push(usual / level(series));
    }
    assert!(median(all) > 1.0);
}

#[test]
fn every_type_is_there_as_often_as_it_should() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for event in FLEET.series.iter().flat_map(|series| &series.events) {
        *counts.entry(event.what).or_default() += 1;
    }
    for (attack, expected) in attacks::COUNTS {
        assert_eq!(counts.remove(attack.word()), Some(expected), "{attack:?}");
    }
    assert!(counts.is_empty(), "{counts:?}");
}

#[test]
fn events_keep_to_the_rules_of_placing() {
    for track in [&*FLEET, &*CALLERS] {
        for series in &track.series {
            assert!(series.events.len() <= 2, "{}", series.name);
            for event in &series.events {
                assert!(event.from >= 22 * DAY && event.until <= 35 * DAY, "{event:?}");
                assert!(event.from < event.until, "{event:?}");
            }
            if let [first, second] = series.events.as_slice() {
                // A night moves within its day.
                let apart = second.from.saturating_sub(first.from);
                assert!(apart > 3 * DAY, "{first:?} {second:?}");
            }
        }
    }
}

#[test]
fn attacks_add_what_their_names_say() {
    check_added("spike_x3", 2.0, 0.35);
    check_added("spike_x10", 9.0, 0.2);
    check_added("spike_x50", 49.0, 0.15);
    let loops = events(&FLEET, "agent_loop").into_iter().map(|(series, event)| {
        let (inside, usual) = against_usual(series, event, |slot| slot.calls);
        (inside - usual) / (event.magnitude * level(series)).max(2.0)
    });
    let found = median(loops.collect());
    assert!((found - 1.0).abs() < 0.35, "agent_loop adds {found} of its magnitude");
}

#[test]
fn attacks_multiply_what_their_names_say() {
    check_times("low_slow", |slot| slot.calls, 0.2);
    check_times("usage_drop", |slot| slot.calls, 0.3);
    check_times("wallet", |slot| slot.input, 0.35);
    let ramps = events(&FLEET, "slow_ramp").into_iter().map(|(series, event)| {
        let last = Event { from: event.until - DAY, ..event };
        let (inside, usual) = against_usual(series, last, |slot| slot.calls);
        inside / usual
    });
    let found = median(ramps.collect());
    assert!((3.8..6.5).contains(&found), "{found}");
}

#[test]
fn an_outage_is_silent_and_a_wallet_keeps_requests() {
    for (series, event) in events(&FLEET, "outage") {
        let span = &series.slots[event.from..event.until];
        assert!(span.iter().all(|slot| *slot == Slot::default()), "{event:?}");
    }
    let calls = events(&FLEET, "wallet").into_iter().map(|(series, event)| {
        let (inside, usual) = against_usual(series, event, |slot| slot.calls);
        inside / usual
    });
    let found = median(calls.collect());
    assert!((0.6..1.6).contains(&found), "{found}");
}

#[test]
fn a_surge_is_of_callers_more_than_of_calls() {
    for (series, event) in events(&FLEET, "caller_surge") {
        let before = mean(&series.slots[event.from - DAY..event.from], |slot| slot.callers);
        let inside = mean(&series.slots[event.from..event.until], |slot| slot.callers);
        let extra = (event.magnitude * before.max(1.0)).max(3.0);
        assert!(inside > 0.8 * extra && inside < 3.0 * extra + 3.0 * before, "{event:?} {inside}");
    }
}

#[test]
fn the_dormant_wake_in_their_events_alone() {
    let woken = events(&FLEET, "dormant_wake");
    for (series, event) in &woken {
        let busy = |slots: &[Slot]| slots.iter().filter(|slot| slot.calls > 0).count();
        assert_eq!(busy(&series.slots), busy(&series.slots[event.from..event.until]));
        let found = mean(&series.slots[event.from..event.until], |slot| slot.calls);
        assert!((found / event.magnitude - 1.0).abs() < 0.5, "{found} {event:?}");
    }
    let dormant = FLEET.series.iter().filter(|series| series.profile == Profile::Dormant);
    let silent = dormant.filter(|s| s.slots.iter().all(|slot| slot.calls == 0)).count();
    assert_eq!(
        silent + woken.len(),
        FLEET.series.iter().filter(|s| s.profile == Profile::Dormant).count()
    );
}

#[test]
fn strangers_stay_inside_while_their_part_does_not() {
    let mut shares = Vec::new();
    for (series, event) in events(&CALLERS, "new_inside") {
        let fresh = mean(&series.fresh[event.from..event.until], |slot| slot.calls);
        let before = mean(&series.fresh[event.from - 2 * DAY..event.from], |slot| slot.calls);
        shares.push((fresh - before) / level(series) / event.magnitude);
    }
    let found = median(shares);
    assert!((found - 1.0).abs() < 0.35, "{found}");
}

#[test]
fn a_known_caller_is_not_fresh_and_leads() {
    let mut added = Vec::new();
    for (series, event) in events(&CALLERS, "known_caller") {
        let (inside, usual) = against_usual(series, event, |slot| slot.calls);
        let fresh = mean(&series.fresh[event.from..event.until], |slot| slot.calls);
        let top = mean(&series.top[event.from..event.until], |slot| slot.calls);
        added.push((inside - usual) / level(series));
        assert!(top <= inside && fresh <= inside, "{event:?}");
    }
    let found = median(added);
    assert!((0.1..4.0).contains(&found), "{found}");
}

#[test]
fn a_resold_key_brings_many_callers() {
    for (series, event) in events(&CALLERS, "resold") {
        let half = event.until - (event.until - event.from) / 4;
        let last = &series.fresh[half..event.until];
        // At most a day old, so in long events the first have become known.
        if event.until - event.from < DAY && level(series) > 5.0 {
            let before = mean(&series.fresh[event.from - DAY..event.from], |slot| slot.callers);
            let found = mean(last, |slot| slot.callers);
            assert!(found > before + 1.0, "{event:?}: {found} after {before}");
        }
    }
}

#[test]
fn an_egress_change_moves_volume_to_somebody_new_for_a_day() {
    let mut moved = Vec::new();
    for (series, event) in events(&CALLERS, "egress") {
        let day = mean(&series.fresh[event.from..event.from + DAY - HOUR], |slot| slot.calls);
        let before = mean(&series.fresh[event.from - DAY..event.from], |slot| slot.calls);
        let all = mean(&series.slots[event.from..event.from + DAY - HOUR], |slot| slot.calls);
        assert_eq!(event.truth, Truth::Lawful);
        moved.push((day - before) / all.max(0.1));
    }
    let found = median(moved);
    assert!((0.04..0.9).contains(&found), "{found}");
}

#[test]
fn the_parts_are_parts() {
    for series in &CALLERS.series {
        assert!(series.fresh[..7 * DAY].iter().all(|slot| slot.calls == 0));
        for ((all, fresh), top) in series.slots.iter().zip(&series.fresh).zip(&series.top) {
            for part in [fresh, top] {
                let rounded = all.input / 50 + 2;
                assert!(part.calls <= all.calls && part.input <= all.input + rounded);
                assert!(part.callers <= all.callers);
            }
            assert_eq!(all.calls > 0, top.calls > 0);
        }
    }
}

fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn files_are_the_series_and_a_missing_row_is_silence() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let track = drawn(&small(3));
    write(&track, folder.path(), &|| ()).unwrap();
    write(&drawn(&small(3)), other.path(), &|| ()).unwrap();
    for file in files(Kind::Fleet) {
        let bytes = |root: &Path| std::fs::read(root.join(&file)).unwrap();
        assert_eq!(bytes(folder.path()), bytes(other.path()), "{file}");
    }
    let mut read: BTreeMap<String, Vec<Slot>> = BTreeMap::new();
    for line in unpacked(&folder.path().join("fleet.csv.gz")).lines().skip(1) {
        let (name, rest) = line.split_once(',').unwrap();
        let cells: Vec<u64> = rest.split(',').map(|cell| cell.parse().unwrap()).collect();
        let [slot, calls, input, output, callers] = cells[..] else { panic!("{line}") };
        assert!(calls > 0, "{line}");
        let slots = read.entry(name.to_owned()).or_insert_with(|| vec![Slot::default(); 35 * DAY]);
        slots[usize::try_from(slot).unwrap()] = Slot { calls, input, output, callers };
    }
    let silent = vec![Slot::default(); 35 * DAY];
    for series in &track.series {
        assert_eq!(read.get(&series.name).unwrap_or(&silent), &series.slots, "{}", series.name);
    }
    let labels = std::fs::read_to_string(folder.path().join("fleet_labels.csv")).unwrap();
    let events: usize = track.series.iter().map(|series| series.events.len()).sum();
    assert_eq!(labels.lines().count(), events + 1);
    let info = std::fs::read_to_string(folder.path().join("fleet_info.json")).unwrap();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["score_from"], 21 * 86_400);
    assert_eq!((&info["slots"], &info["series"]), (&10_080.into(), &12.into()));
}

#[test]
fn an_oracle_reads_what_the_series_were_drawn_from() {
    let folder = tempfile::tempdir().unwrap();
    let track = drawn(&small(3));
    write_oracle(&small(3), folder.path()).unwrap();
    let text = std::fs::read_to_string(folder.path().join(ORACLE_FILE)).unwrap();
    assert_eq!(text.lines().count(), track.series.len());
    let mut compared = 0;
    for (line, series) in text.lines().zip(&track.series) {
        let laws: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(laws["series"], series.name);
        let list = |name: &str| -> Vec<f64> {
            let values = laws[name].as_array().unwrap();
            assert_eq!(values.len(), 35 * DAY, "{name}");
            values.iter().map(|value| value.as_f64().unwrap()).collect()
        };
        // Nothing was injected into the warm-up.
        let pairs = list("expected").into_iter().zip(list("modulation")).take(21 * DAY);
        let expected: f64 = pairs.map(|(calls, factor)| calls * factor).sum();
        let warmup = &series.slots[..21 * DAY];
        let seen: f64 = warmup.iter().map(|slot| float(slot.calls)).sum();
        if expected > 5_000.0 {
            assert!((seen / expected - 1.0).abs() < 0.1, "{}: {seen}, {expected}", series.name);
            let tokens: f64 = warmup.iter().map(|slot| float(slot.input)).sum();
            let size = tokens / seen / laws["input"].as_f64().unwrap();
            assert!((0.7..1.4).contains(&size), "{}: {size}", series.name);
            compared += 1;
        }
    }
    assert!(compared >= 6, "{compared}");
}

#[test]
fn lawful_events_are_no_labels() {
    let folder = tempfile::tempdir().unwrap();
    let track = Track { series: CALLERS.series[..20].to_vec(), ..CALLERS.clone() };
    write(&track, folder.path(), &|| ()).unwrap();
    let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
    assert!(!read("callers_labels.csv").contains("lawful"));
    let lawful = read("callers_lawful.csv");
    assert!(
        lawful.lines().skip(1).all(|row| row.contains(",lawful,")) && lawful.lines().count() > 1
    );
    for file in files(Kind::Callers) {
        assert!(folder.path().join(&file).exists(), "{file}");
    }
    assert!(unpacked(&folder.path().join("callers_top.csv.gz")).lines().count() > 1_000);
}
