//! `[[detector]]`: one detector otherwise than in the table, for all accounts or for some.

use std::collections::BTreeMap;

use super::owner::lower;
use super::section::{Section, Walk};
use super::tables;
use crate::detect::conduct;
use crate::detect::table::{self, Family, Profile};
use crate::detect::tuning::{Change, Tuned, Tuning};
use crate::severity::Severity;

pub(super) const KEYS: &[&str] =
    &["id", "accounts", "subscriptions", "enabled", "severity", "thresholds"];

/// Most entries; each is looked through whenever an account is judged.
const MAX_ENTRIES: usize = 200;
/// Operations are remembered for two days.
const MOST_MINUTES: f64 = 2_880.0;
/// Actors are remembered for a hundred and twenty days.
const MOST_DAYS: f64 = 120.0;
/// Findings are linked for a week.
const CHAIN_DAYS: f64 = 7.0;
/// Its limits are those of `[[budget]]`.
const BUDGETS: &str = "TW-C05";

/// Reads every entry.
pub(super) fn tuning(top: &Section<'_>, walk: &mut Walk<'_>) -> Tuning {
    let sections = tables(top, "detector", ("[[detector]]", KEYS), walk);
    if sections.len() > MAX_ENTRIES {
        let message = format!("more than {MAX_ENTRIES} entries [[detector]]");
        let mend = "name several accounts in one, or subscriptions";
        walk.findings.report(top.value_at("detector"), message, mend);
    }
    let entries = sections.iter().filter_map(|section| entry(section, walk));
    Tuning::new(entries.collect())
}

fn entry(section: &Section<'_>, walk: &mut Walk<'_>) -> Option<Tuned> {
    section.require("id", "\"TW-A06\"", walk);
    let severities = Severity::ALL.map(|severity| (severity.word(), severity));
    let profile = section.text("id", walk).and_then(|id| known(&id, section, walk));
    let change = Change {
        accounts: lower(section, "accounts", walk),
        subscriptions: lower(section, "subscriptions", walk),
        enabled: section.flag("enabled", walk).unwrap_or(true),
        severity: section.choice("severity", &severities, walk),
        thresholds: profile.map(|profile| thresholds(profile, section, walk)).unwrap_or_default(),
    };
    if !["enabled", "severity", "thresholds"].iter().any(|key| section.has(key)) {
        let mend = "add enabled = false, severity = \"low\" or thresholds = { NAME = NUMBER }";
        walk.findings.report(section.span(), "[[detector]] changes nothing", mend);
    }
    Some(Tuned::new(profile?, change))
}

fn known(id: &str, section: &Section<'_>, walk: &mut Walk<'_>) -> Option<&'static Profile> {
    let list = "`tokenwatch detectors list` shows them all";
    let profile = table::find(id);
    let (message, mend) = match profile {
        None => (format!("`id`: there is no detector {id:?}"), list),
        Some(_) if id == BUDGETS => {
            (format!("`id`: {id} goes by [[budget]]"), "set limits and alerts there")
        }
        Some(_) => return profile,
    };
    walk.findings.report(section.value_at("id"), message, mend);
    None
}

fn thresholds(
    profile: &Profile,
    section: &Section<'_>,
    walk: &mut Walk<'_>,
) -> BTreeMap<String, f64> {
    let Some(value) = section.value("thresholds") else { return BTreeMap::new() };
    let Some(named) = value.get_ref().as_table() else {
        let message = format!("`thresholds` is {}, not a table", value.get_ref().type_str());
        walk.findings.report(value.span(), message, "write thresholds = { NAME = NUMBER }");
        return BTreeMap::new();
    };
    let known: Vec<&str> = profile.defaults.keys().map(String::as_str).collect();
    let table = Section::open(named, value.span(), "thresholds", &known, walk);
    let mut thresholds = BTreeMap::new();
    for name in known {
        let Some(number) = table.number(name, walk) else { continue };
        let least = if may_be_off(&profile.id) { 0.0 } else { f64::MIN_POSITIVE };
        let most = match name {
            "minutes" if conduct::is_rule(&profile.id) => profile.threshold(name),
            "minutes" => MOST_MINUTES,
            "days" if profile.family == Family::Chains => CHAIN_DAYS,
            "hours" if conduct::is_rule(&profile.id) => conduct::MOST_HOURS,
            "hours" if profile.family == Family::Chains => 24.0 * CHAIN_DAYS,
            name if name.ends_with("days") => MOST_DAYS,
            name if name.ends_with("share") => 1.0,
            _ => f64::MAX,
        };
        let is_fixed = name == "minutes" && conduct::is_rule(&profile.id);
        if is_fixed && (number - most).abs() > f64::EPSILON {
            let message = format!("`{name}` of {} is always {most}", profile.id);
            let mend = "remove it: what is usual is counted in windows of this length";
            walk.findings.report(table.value_at(name), message, mend);
        } else if number < least || number > most {
            let message = format!("`{name}` = {number} is out of range");
            let mend = match most {
                f64::MAX => "write a number above 0".to_owned(),
                most => format!("write a number above 0 and at most {most}"),
            };
            walk.findings.report(table.value_at(name), message, mend);
        } else {
            thresholds.insert(name.to_owned(), number);
        }
    }
    thresholds
}

/// Ceilings of 0 stand for none.
fn may_be_off(id: &str) -> bool {
    ["TW-C04", "TW-C10"].contains(&id)
}

#[cfg(test)]
mod tests {
    use crate::config::{parse, placeholder};
    use crate::detect::table;
    use crate::severity::Severity;

    const HUB: &str =
        "[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n";

    #[test]
    fn an_entry_changes_one_detector_for_the_accounts_it_names() {
        let text = "[[detector]]\nid = \"TW-A06\"\naccounts = [\"AIF-Batch\"]\nseverity = \"low\"\n\
                    thresholds = { calls = 500 }\n[[detector]]\nid = \"TW-K04\"\nenabled = false\n";
        let config = parse(&format!("{HUB}{text}"), "t.toml", &placeholder).unwrap();
        let tuning = config.engine.tuning;
        let batch = tuning.of("TW-A06", "/subscriptions/s/accounts/aif-batch").unwrap();
        assert_eq!((batch.severity, batch.threshold("calls")), (Severity::Low, 500.0));
        let other = tuning.of("TW-A06", "/subscriptions/s/accounts/aif").unwrap();
        assert_eq!(*other, *table::profile("TW-A06"));
        assert_eq!(tuning.of("TW-K04", "/subscriptions/s/accounts/aif"), None);
    }

    /// Messages of every problem.
    #[track_caller]
    fn check(lines: &str, expected: &[&str]) {
        let text = format!("{HUB}[[detector]]\n{lines}");
        let problems = parse(&text, "t.toml", &placeholder).map(|_| ()).unwrap_err().0;
        let found: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_an_entry_cannot_say_is_told() {
        check("enabled = false", &["[[detector]] has no `id`"]);
        check("id = \"TW-A06\"", &["[[detector]] changes nothing"]);
        check("id = \"TW-Z99\"\nenabled = false", &["`id`: there is no detector \"TW-Z99\""]);
        check("id = \"TW-A09\"\nthresholds = { hours = 9 }", &["`hours` = 9 is out of range"]);
        check("id = \"TW-C05\"\nenabled = false", &["`id`: TW-C05 goes by [[budget]]"]);
        check(
            "id = \"TW-A06\"\nseverity = \"grave\"\nthresholds = { call = 3, minutes = 30, share = 2, calls = 0 }",
            &[
                "`severity`: \"grave\" is none of its values",
                "unknown key `call` in thresholds",
                "`minutes` of TW-A06 is always 15",
                "`share` = 2 is out of range",
                "`calls` = 0 is out of range",
            ],
        );
    }
}
