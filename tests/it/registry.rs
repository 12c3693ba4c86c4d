//! README and pages say what the code has, no more and no less.

use std::collections::BTreeSet;
use std::path::Path;

use tokenwatch::config::CHANNELS;
use tokenwatch::decode::DECODERS;
use tokenwatch::detect::{DETECTORS, conduct, metered, table as detectors};
use tokenwatch::emulator::{Entities, HubSpec, NOT_EMULATED, Script};
use tokenwatch::engine::{estate, mismatch, shut};
use tokenwatch::known::format::FORMATS;
use tokenwatch::posture::DOORS;
use tokenwatch::rules::RULES;
use tokenwatch::rules::chain::CHAINS;

use crate::harness::run;

const EMULATOR: &str = "docs/emulator.md";

fn page(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// Rows of the first table under the heading, cell by cell, without the table's own heading.
fn table(file: &str, heading: &str) -> Vec<Vec<String>> {
    let text = page(file);
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
fn check(file: &str, heading: &str, expected: &[&str]) {
    let rows = table(file, heading);
    let first: Vec<&str> =
        rows.iter().flat_map(|cells| cells.first()).map(String::as_str).collect();
    assert_eq!(first, expected, "first column of the table under {heading:?} in {file}");
    for row in &rows {
        assert!(row.iter().all(|cell| !cell.is_empty()), "an empty cell in {row:?}");
    }
}

#[test]
fn the_page_of_the_emulator_says_what_it_does_not_do() {
    let rows = table(EMULATOR, "What it does not do");
    let said: Vec<(String, String)> =
        rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let known =
        NOT_EMULATED.iter().map(|(what, instead)| ((*what).to_owned(), (*instead).to_owned()));
    assert_eq!(said, known.collect::<Vec<_>>());
}

#[test]
fn the_readme_says_of_every_kind_of_record_what_its_decoder_says() {
    let expected: Vec<[&str; 3]> =
        DECODERS.iter().map(|kind| [kind.name, kind.reads, kind.cannot_tell]).collect();
    let row = |[name, reads, cannot]: &[&str; 3]| format!("| {name} | {reads} | {cannot} |\n");
    let generated: String = expected.iter().map(row).collect();
    let found: Vec<_> =
        table("README.md", "Log categories").iter().map(|row| row.join(" | ")).collect();
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
fn the_readme_says_of_every_format_of_lists_what_it_is() {
    let rows = table("README.md", "What is known about callers");
    let known = FORMATS.map(|format| vec![format.name.to_owned(), format.expected.to_owned()]);
    assert_eq!(rows, known);
}

#[test]
fn readme_and_page_list_every_channel() {
    let rows = table("README.md", "Channels");
    let known: Vec<_> =
        CHANNELS.iter().map(|kind| [kind.word, kind.tells].map(str::to_owned)).collect();
    assert_eq!(rows, known);
    let words: Vec<_> = CHANNELS.iter().map(|kind| kind.word).collect();
    let rows = table("docs/channels.md", "Settings and limits");
    let listed: Vec<_> = rows.iter().map(|cells| cells[0].as_str()).collect();
    assert_eq!(listed, words);
}

#[test]
fn the_readme_says_of_every_door_why_it_matters() {
    let rows = table("README.md", "Which doors are open");
    let known = DOORS.iter().map(|door| [door.word, door.name, door.why].map(str::to_owned));
    assert_eq!(rows, known.collect::<Vec<_>>());
}

#[test]
fn the_readme_lists_every_detector_and_service_rule() {
    let detectors = DETECTORS.iter().map(|detector| detector.profile().id.as_str());
    let detectors = detectors.chain(conduct::RULES.iter().map(|rule| rule.id));
    let detectors = detectors.chain(metered::RULES);
    let detectors = detectors.chain(RULES.iter().map(|rule| rule.id));
    let detectors = detectors.chain(CHAINS.iter().map(|chain| chain.id));
    let detectors = detectors.chain([shut::RULE, mismatch::RULE]);
    let ids: Vec<&str> = detectors.chain(estate::rule_ids()).collect();
    check("README.md", "Detectors", &ids);
}

#[test]
fn the_readme_says_of_a_detector_what_its_profile_says() {
    for row in table("README.md", "Detectors").iter().filter(|row| !row[0].starts_with("TW-S")) {
        let profile = detectors::find(&row[0]).unwrap();
        let said = [&*profile.name, &*profile.needs, &*profile.cannot_know];
        assert_eq!(row[1..], said, "{}", profile.id);
    }
}

#[test]
fn the_page_about_detectors_is_the_table() {
    let made = run(&["detectors", "docs"]).out;
    assert!(made.matches("\n### TW-").count() == 59, "{made}");
    assert_eq!(page("docs/detectors.md"), made, "tokenwatch detectors docs > docs/detectors.md");
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

/// Text between a fence of this language and the next one.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let parts = text.split(&fence);
    parts.skip(1).filter_map(|part| part.split("```").next()).collect()
}

#[test]
fn the_emulators_page_lists_its_options() {
    let help = run(&["emulator", "--help"]).out;
    let options = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let options = options.filter_map(|option| option.split([' ', '=']).next());
    // Common to all commands.
    let own = options.filter(|option| *option != "log-format").map(|option| format!("--{option}"));
    let mut own: Vec<String> = own.collect();
    let mut listed: Vec<_> =
        table(EMULATOR, "Options").into_iter().map(|row| row[0].clone()).collect();
    own.sort();
    listed.sort();
    assert!(own.len() > 8, "{own:?}");
    assert_eq!(listed, own);
}

#[test]
fn the_help_of_the_emulator_names_what_it_does_not_do() {
    let help = run(&["emulator", "--help"]).out.replace("\n", " ");
    for (what, _) in NOT_EMULATED {
        assert!(help.contains(what), "{what}: {help}");
    }
}

#[test]
fn what_the_emulators_page_shows_is_understood() {
    let text = page(EMULATOR);
    let json = blocks(&text, "json");
    let file = json.iter().find(|block| block.contains("UserConfig")).unwrap();
    let entities = Entities::parse(file).unwrap();
    let hub = HubSpec { consumer_groups: vec!["cg1".to_owned()], ..HubSpec::new("eh1", 2) };
    assert_eq!((entities.hubs, entities.ignored), (vec![hub], Vec::new()));

    let mut scripts = 0;
    for line in blocks(&text, "sh").iter().flat_map(|block| block.lines()) {
        let script = line.split_once("--script '").or_else(|| line.split_once("/faults -d '"));
        if let Some((script, _)) = script.and_then(|(_, rest)| rest.split_once('\'')) {
            let read = script.parse::<Script>();
            assert!(read.is_ok(), "{line}: {read:?}");
            scripts += 1;
        }
    }
    assert!(scripts >= 4, "{scripts}");
}

#[test]
fn links_lead_somewhere() {
    for file in ["README.md", EMULATOR, "docs/channels.md"] {
        let text = page(file);
        let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
        let anchors: Vec<String> = headings
            .map(|heading| heading.trim_matches(['#', ' ']).to_lowercase().replace(' ', "-"))
            .map(|anchor| anchor.replace([',', '.', '\''], ""))
            .collect();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            if path.is_empty() {
                assert!(anchors.iter().any(|known| known == anchor), "{file}: {target}");
            } else if !path.contains("://") {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
                assert!(folder.with_file_name(path).exists(), "{file}: {target}");
            }
        }
    }
}

#[test]
fn rules_ask_for_thresholds_that_the_table_has() {
    let known: BTreeSet<&str> = detectors::all()
        .iter()
        .flat_map(|profile| profile.defaults.keys().map(String::as_str))
        .collect();
    let mut asked = BTreeSet::new();
    for file in ["keys", "guard", "posture"] {
        let text = page(&format!("src/rules/{file}.rs"));
        for call in text.split("threshold(").skip(1) {
            let is_name = |word: &&str| {
                !word.is_empty() && word.chars().all(|c| c.is_lowercase() || c == '_')
            };
            asked.extend(call.split('"').find(is_name).map(str::to_owned));
        }
    }
    assert!(asked.len() >= 8, "{asked:?}");
    // One that is not there would be 0: every act would be more.
    for name in &asked {
        assert!(known.contains(name.as_str()), "{name}");
    }
}
