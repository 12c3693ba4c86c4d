//! The README's tables say what the code has, no more and no less.

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
fn the_readme_lists_every_log_category() {
    let names: Vec<&str> = DECODERS.iter().map(|(name, _)| *name).collect();
    check("Log categories", &names);
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
