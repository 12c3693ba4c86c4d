//! The README's tables say what the code has, no more and no less.

use std::collections::BTreeSet;
use std::path::Path;

use tokenwatch::decode::DECODERS;
use tokenwatch::detect::DETECTORS;
use tokenwatch::engine::estate;

/// Rows of the first table under the heading, cell by cell, without the table's own heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().skip_while(|line| *line != format!("## {heading}"));
    let rows = lines.skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells = rows.map(|row| {
        let row = row.trim_matches('|');
        row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    });
    cells.collect()
}

#[track_caller]
fn check(heading: &str, expected: &[&str]) {
    let rows = table(heading);
    let first: Vec<&str> =
        rows.iter().flat_map(|cells| cells.first()).map(String::as_str).collect();
    assert_eq!(first, expected, "first column of the table under {heading:?} in README.md");
    for row in &rows {
        assert!(row.iter().all(|cell| !cell.is_empty()), "an empty cell in {row:?}");
    }
}

#[test]
fn the_readme_says_of_every_kind_of_record_what_its_decoder_says() {
    let expected: Vec<[&str; 3]> =
        DECODERS.iter().map(|kind| [kind.name, kind.reads, kind.cannot_tell]).collect();
    let row = |[name, reads, cannot]: &[&str; 3]| format!("| {name} | {reads} | {cannot} |\n");
    let generated: String = expected.iter().map(row).collect();
    let found: Vec<_> = table("Log categories").iter().map(|row| row.join(" | ")).collect();
    let wanted: Vec<_> = expected.iter().map(|row| row.join(" | ")).collect();
    assert_eq!(found, wanted, "the table in README.md must be\n{generated}");
}

#[test]
fn kinds_of_records_have_names_of_their_own_and_say_what_they_lack() {
    let names: BTreeSet<_> = DECODERS.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), DECODERS.len());
    for kind in DECODERS {
        assert!(!kind.reads.is_empty() && !kind.cannot_tell.is_empty(), "{}", kind.name);
        assert!(!format!("{}{}", kind.reads, kind.cannot_tell).contains('|'), "{}", kind.name);
    }
}

#[test]
fn the_readme_lists_every_detector_and_service_rule() {
    let detectors = DETECTORS.iter().map(|detector| detector.profile().id);
    let ids: Vec<&str> = detectors.chain(estate::rule_ids()).collect();
    check("Detectors", &ids);
}

#[test]
fn the_readme_says_of_a_detector_what_its_profile_says() {
    for (row, detector) in table("Detectors").iter().zip(DETECTORS) {
        let profile = detector.profile();
        assert_eq!(row[1..], [profile.name, profile.needs, profile.cannot_know], "{}", profile.id);
    }
}

#[test]
fn every_detector_says_what_it_needs_and_cannot_know() {
    for detector in DETECTORS {
        let profile = detector.profile();
        assert!(!profile.needs.is_empty(), "{} needs", profile.id);
        assert!(!profile.cannot_know.is_empty(), "{} cannot_know", profile.id);
        assert!(!profile.techniques.is_empty(), "{} techniques", profile.id);
    }
}
