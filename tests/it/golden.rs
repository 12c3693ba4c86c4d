//! What comes out of every sample, as text that people can read and compare.
//!
//! A changed decoder shows here as a difference. To accept it, set `TOKENWATCH_GOLDEN=write` once
//! and look at what `git diff` says.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use tokenwatch::decode::{DECODERS, Decoded, decode};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The sample that holds broken bodies instead of being one.
const MALFORMED: &str = "envelope-malformed-bodies";

/// Names of the samples.
fn samples() -> Vec<String> {
    let entries = std::fs::read_dir(folder("samples")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect();
    names.sort();
    assert!(names.len() > 25, "{names:?}");
    names
}

fn bytes(sample: &str) -> Vec<u8> {
    std::fs::read(folder("samples").join(format!("{sample}.json"))).unwrap()
}

/// What a sample gives; of broken bodies, each with its name and what may be expected of it.
fn text(sample: &str) -> String {
    if sample != MALFORMED {
        return shown(&decode(&bytes(sample)));
    }
    let file: serde_json::Value = serde_json::from_slice(&bytes(sample)).unwrap();
    let vectors = file.get("vectors").and_then(|list| list.as_array()).unwrap();
    let each = vectors.iter().map(|vector| {
        let [name, expect, body] = ["name", "expect", "body_base64"]
            .map(|field| vector.get(field).and_then(|text| text.as_str()).unwrap());
        let body = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
        format!("# {name}: {expect}\n{}\n", shown(&decode(&body)))
    });
    each.collect()
}

/// Every event with the fields that hold something, and every count.
fn shown(decoded: &Decoded) -> String {
    let mut text = String::new();
    for (decoder, count) in DECODERS.iter().zip(decoded.read).filter(|(_, count)| *count > 0) {
        writeln!(text, "{count} of {}", decoder.name).unwrap();
    }
    for (category, count) in &decoded.unknown {
        writeln!(text, "{count} unknown: {category}").unwrap();
    }
    for rejected in &decoded.rejected {
        writeln!(text, "{rejected:?}").unwrap();
    }
    if decoded.repaired > 0 {
        writeln!(text, "repaired").unwrap();
    }
    for event in &decoded.events {
        let lines = folded(&format!("{event:#?}"));
        let says = |line: &&String| {
            let value = line.split_once(": ").map_or("", |(_, value)| value);
            !["None,", "\"\",", "[],", "Unknown,", "false,", "0,"].contains(&value)
        };
        text.push('\n');
        lines.iter().filter(says).for_each(|line| writeln!(text, "{line}").unwrap());
    }
    text
}

/// Lines in which `Some(`, a value and `),` are one.
fn folded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        lines.push(line.to_owned());
        while let [.., open, value, close] = lines.as_slice()
            && open.ends_with('(')
            && close.trim().starts_with(')')
            && !value.ends_with(['(', '{', '[', '}', ']'])
        {
            let value = value.trim().trim_end_matches(',');
            let whole = format!("{open}{value}{}", close.trim());
            lines.truncate(lines.len() - 3);
            lines.push(whole);
        }
    }
    lines
}

#[test]
fn samples_come_out_as_recorded() {
    let write = std::env::var_os("TOKENWATCH_GOLDEN").is_some_and(|word| word == "write");
    let mut wrong = Vec::new();
    let mut kept: BTreeSet<_> = BTreeSet::new();
    for sample in samples() {
        let path = folder("golden").join(format!("{sample}.txt"));
        let found = text(&sample);
        if write {
            std::fs::write(&path, &found).unwrap();
        }
        let recorded = std::fs::read_to_string(&path).unwrap_or_default();
        if recorded != found {
            let differs = recorded.lines().zip(found.lines()).find(|(a, b)| a != b);
            wrong.push((sample.clone(), differs.map(|(a, b)| (a.to_owned(), b.to_owned()))));
        }
        kept.insert(format!("{sample}.txt"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let files = std::fs::read_dir(folder("golden")).unwrap();
    let files: BTreeSet<_> =
        files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, kept, "recorded texts without a sample");
}

#[test]
fn every_kind_of_record_has_a_sample_and_no_sample_is_refused() {
    let mut read = [0; DECODERS.len()];
    for sample in samples().iter().filter(|sample| *sample != MALFORMED) {
        let decoded = decode(&bytes(sample));
        assert_eq!(decoded.rejected, [], "{sample}");
        read.iter_mut().zip(decoded.read).for_each(|(sum, count)| *sum += count);
    }
    for (decoder, count) in DECODERS.iter().zip(read) {
        assert!(count > 0, "{} has no sample", decoder.name);
    }
}
