//! The fuzz targets as plain tests: the samples, then seeded mutations of them.
//!
//! `TOKENWATCH_MUTATIONS` says how many for each target; `cargo fuzz` runs the same targets without
//! an end.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::value::RawValue;
use tokenwatch::decode::envelope::{self, Piece};
use tokenwatch::decode::{DECODERS, Decoder};
use tokenwatch::known::feed::Holds;
use tokenwatch::{decode, event, known};

#[path = "../../fuzz/shapes.rs"]
mod shapes;
#[path = "../../fuzz/targets.rs"]
pub(crate) mod targets;

/// Mutations of each target where nothing else is said.
const MUTATIONS: usize = 2_000;
/// Looking at every text of an event costs more than decoding it: one in so many mutations.
const LOOKED_AT: usize = 16;
/// Longest mutation; growing further finds nothing new.
const MAX_BYTES: usize = 16 * 1024;

/// Values that have broken readers of JSON.
const VALUES: [&str; 40] = [
    "null",
    "true",
    "\"\"",
    "\" \"",
    "0",
    "-1",
    "12.0",
    "\"12\"",
    "1e400",
    "-1e400",
    "1e-400",
    "9007199254740993",
    "18446744073709551616",
    "-9223372036854775808",
    "NaN",
    "\"NaN\"",
    "\"Infinity\"",
    "[]",
    "[[]]",
    "[null]",
    "[1,2]",
    "{}",
    "{\"records\":[{}]}",
    "\"{}\"",
    "\"[\"",
    "\"\\\"{\\\\\\\"a\\\\\\\":1}\\\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\u202egpj.exe\"",
    "\"\\u001b[31m\"",
    "\"a\\r\\nb\"",
    "\"<script>alert(1)</script>\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:59.9999999Z\"",
    "\"2026-02-31T25:61:61Z\"",
    "\"1/9/2007 9:41:00 AM\"",
    "\"999.999.999.999\"",
    "\"[::ffff:1.2.3.4%x]:99999/200\"",
    "\"https://a@b@c:d/deployments/?deployments/x#\"",
    "\"😀é\u{301}\u{e000}\"",
];

fn samples() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/samples");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// The records of the samples that `decoder` takes.
fn corpus(decoder: &Decoder, samples: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for sample in samples {
        envelope::open(sample, &mut |piece| {
            let Piece::Record(text, fields) = piece else { return };
            let names = ["category", "Type", "eventType"];
            let category = fields.first_text(&names).unwrap_or_default();
            if (decoder.is)(&category, &fields) {
                found.push(text.as_bytes().to_vec());
            }
        })
        .unwrap();
    }
    found
}

/// One to four changes of a seed.
fn mutated(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = random.choice(seeds).unwrap().clone();
    for _ in 0..random.usize(1..=4) {
        match random.u32(0..10) {
            0..=4 => replace_value(&mut bytes, random),
            5 => replace_range(&mut bytes, &[random.u8(..)], random),
            6 => replace_range(&mut bytes, b"", random),
            7 => {
                let value = random.choice(VALUES).unwrap();
                replace_range(&mut bytes, value.as_bytes(), random);
            }
            8 => {
                let other = random.choice(seeds).unwrap();
                let part = range(other.len(), random);
                replace_range(&mut bytes, other.get(part).unwrap(), random);
            }
            _ => bytes.truncate(random.usize(0..=bytes.len())),
        }
        bytes.truncate(MAX_BYTES);
    }
    bytes
}

fn range(length: usize, random: &mut fastrand::Rng) -> std::ops::Range<usize> {
    let start = random.usize(0..=length);
    start..(start + random.usize(0..64)).min(length)
}

fn replace_range(bytes: &mut Vec<u8>, by: &[u8], random: &mut fastrand::Rng) {
    let range = range(bytes.len(), random);
    bytes.splice(range, by.iter().copied());
}

/// Puts another value behind a member's name, so that the record stays JSON.
fn replace_value(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    let colons: Vec<_> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at + 1).collect();
    let Some(at) = random.choice(&colons).copied() else { return };
    let rest = bytes.get(at..).unwrap();
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
    if matches!(values.next(), Some(Ok(_))) {
        let end = at + values.byte_offset();
        let value = random.choice(VALUES).unwrap();
        bytes.splice(at..end, value.bytes());
    }
}

fn mutations() -> usize {
    let set = std::env::var_os("TOKENWATCH_MUTATIONS");
    set.map_or(MUTATIONS, |text| text.to_str().unwrap().parse().unwrap())
}

/// Runs one target over its seeds and their mutations; how many gave an event.
fn run(name: &str, seeds: &[Vec<u8>], target: &dyn Fn(&[u8]) -> Vec<event::Event>) -> usize {
    assert!(!seeds.is_empty(), "{name} has no sample");
    let seed =
        name.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut read = 0;
    for seed in seeds {
        target(seed).iter().for_each(targets::texts);
    }
    for number in 0..mutations() {
        let bytes = mutated(seeds, &mut random);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let events = target(&bytes);
            if number % LOOKED_AT == 0 {
                events.iter().for_each(targets::texts);
            }
            events.len()
        }));
        let shown = String::from_utf8_lossy(&bytes);
        assert!(caught.is_ok(), "{name}, mutation {number}: {shown:?}");
        read += caught.map_or(0, |events| events.min(1));
    }
    read
}

#[test]
fn mutations_of_every_kind_of_record_do_no_harm() {
    let samples = samples();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(decoder) = DECODERS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let seeds = corpus(decoder, &samples);
                    let target = |bytes: &[u8]| targets::record(decoder, bytes);
                    let read = run(decoder.name, &seeds, &target);
                    // Mutations that all break the record would test nothing.
                    assert!(read > mutations() / 10, "{}: only {read} were read", decoder.name);
                }
            });
        }
    });
}

#[test]
fn mutations_of_bodies_do_no_harm() {
    let read = run("body", &samples(), &|bytes| targets::body(bytes).events);
    assert!(read > mutations() / 10, "only {read} were read");
}

#[test]
fn mutations_of_lists_and_databases_do_no_harm() {
    let files = targets::files();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((name, holds)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    mutate_file(name, *holds);
                }
            });
        }
    });
}

fn mutate_file(name: &str, holds: Holds) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = match name {
        "mmdb" => root.join("models/demo/networks.mmdb"),
        _ => root.join("tests/data/lists").join(name),
    };
    let seeds = [std::fs::read(path).unwrap()];
    assert!(seeds.iter().all(|seed| targets::file(holds, seed)), "{name}");
    let mut random = fastrand::Rng::with_seed(name.len().try_into().unwrap());
    let mut read = 0;
    for number in 0..mutations() {
        let bytes = mutated(&seeds, &mut random);
        let caught = std::panic::catch_unwind(|| targets::file(holds, &bytes));
        let shown = String::from_utf8_lossy(&bytes);
        assert!(caught.is_ok(), "{name}, mutation {number}: {shown:?}");
        read += usize::from(caught.unwrap_or_default());
    }
    // Mutations that all break the file would test nothing.
    assert!(read > mutations() / 10, "{name}: only {read} were read");
    assert!(read < mutations(), "{name}: nothing was refused");
}

#[test]
fn bodies_made_to_be_costly_do_no_harm() {
    for (name, body) in shapes::bodies() {
        assert!(body.len() <= shapes::BYTES && body.len() > shapes::BYTES / 3, "{name}");
        let decoded = targets::body(body.as_bytes());
        assert_eq!(decoded, decode::decode(body.as_bytes()), "{name}");
        decoded.events.iter().take(10).for_each(targets::texts);
    }
}

#[test]
fn there_is_a_fuzz_target_for_every_kind_of_record_and_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let manifest: toml::Value = toml::from_str(&text).unwrap();
    let bins = manifest.get("bin").unwrap().as_array().unwrap();
    let found: Vec<_> = bins.iter().map(|bin| bin.get("name").unwrap().as_str().unwrap()).collect();
    let mut expected = vec!["body".to_owned()];
    expected.extend(DECODERS.iter().map(|decoder| targets::word(decoder.name)));
    expected.extend(targets::files().iter().map(|(name, _)| targets::word(name)));
    assert_eq!(found, expected);
}
