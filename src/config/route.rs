//! `[route]`, `[[inhibit]]`, `[[time]]`, `[[maintenance]]` and `[storm]`: who hears of what, and when.

use std::collections::BTreeMap;

use super::section::{Section, Walk};
use super::{table, tables};
use crate::days::Zone;
use crate::notify::{Destination, receivers};
use crate::route::calendar::{self, Times};
use crate::route::matcher::{LABELS, Matcher};
use crate::route::{GroupBy, Inhibit, Maintenance, Plan, Route, Storm, When};

pub(super) const ROUTE: &[&str] = &[
    "match",
    "receivers",
    "group_by",
    "group_wait",
    "group_interval",
    "repeat_interval",
    "continue",
    "mute",
    "active",
    "routes",
];
pub(super) const INHIBIT: &[&str] = &["source", "target", "equal"];
pub(super) const TIME: &[&str] = &["name", "timezone", "days", "from", "until"];
pub(super) const MAINTENANCE: &[&str] =
    &["name", "match", "timezone", "begin", "end", "days", "from", "until"];
pub(super) const STORM: &[&str] = &["limit", "window", "money_usd_per_day"];

/// How deep the tree may be.
const DEEPEST: usize = 8;
/// The longest wait, rest or reminder.
const LONGEST: &str = "7d";

/// Reads the plan; without `[route]`, everybody hears of everything.
pub(super) fn plan(top: &Section<'_>, destinations: &[Destination], walk: &mut Walk<'_>) -> Plan {
    let mut plan = Plan::everybody(receivers(destinations));
    for section in tables(top, "time", ("[[time]]", TIME), walk) {
        section.require("name", "\"nights\"", walk);
        let (name, times) = (section.text("name", walk), times(&section, walk));
        if let (Some(name), Some(times)) = (name, times) {
            plan.times.insert(name, times);
        }
    }
    for section in tables(top, "inhibit", ("[[inhibit]]", INHIBIT), walk) {
        section.require("source", "[\"rule=TW-C01\"]", walk);
        section.require("target", "[\"severity<=medium\"]", walk);
        plan.inhibit.push(Inhibit {
            source: matchers(&section, "source", walk),
            target: matchers(&section, "target", walk),
            equal: labels(&section, "equal", walk).unwrap_or_default(),
        });
    }
    for section in tables(top, "maintenance", ("[[maintenance]]", MAINTENANCE), walk) {
        plan.maintenance.extend(maintenance(&section, walk));
    }
    plan.storm = storm(table(top, "storm", ("[storm]", STORM), walk), walk);
    if let Some(section) = table(top, "route", ("[route]", ROUTE), walk) {
        if section.has("match") {
            let mend = "put conditions into [[route.routes]]";
            walk.findings.report(section.key_at("match"), "the root matches everything", mend);
        }
        let root = plan.root.clone();
        let known = (root.receivers.as_slice(), &plan.times);
        plan.root = route(&section, &root, known, walk);
    }
    plan
}

fn route(
    section: &Section<'_>,
    above: &Route,
    known: (&[String], &BTreeMap<String, Times>),
    walk: &mut Walk<'_>,
) -> Route {
    let wait = |key, usual, walk: &mut Walk<'_>| {
        section.duration(key, ("0s", LONGEST), walk).unwrap_or(usual)
    };
    let group_by = labels(section, "group_by", walk).map(|names| {
        let each = names.iter().any(|name| name == "...");
        if each { GroupBy::Incident } else { GroupBy::Labels(names) }
    });
    let mut route = Route {
        path: above.path.clone(),
        matchers: matchers(section, "match", walk),
        receivers: receivers_of(section, known.0, walk).unwrap_or_else(|| above.receivers.clone()),
        group_by: group_by.unwrap_or_else(|| above.group_by.clone()),
        group_wait_ms: wait("group_wait", above.group_wait_ms, walk),
        group_interval_ms: wait("group_interval", above.group_interval_ms, walk),
        repeat_ms: wait("repeat_interval", above.repeat_ms, walk),
        go_on: section.flag("continue", walk).unwrap_or(false),
        mute: known_times(section, "mute", known.1, walk).unwrap_or_else(|| above.mute.clone()),
        active: known_times(section, "active", known.1, walk)
            .unwrap_or_else(|| above.active.clone()),
        routes: Vec::new(),
    };
    if route.path.matches('.').count() >= DEEPEST {
        let message = format!("the tree is deeper than {DEEPEST} routes");
        walk.findings.report(section.span(), message, "bring some of them one level up");
        return route;
    }
    let children = tables(section, "routes", ("[[route.routes]]", ROUTE), walk);
    for (number, child) in children.iter().enumerate() {
        let path = format!("{}.{number}", route.path);
        let read = self::route(child, &Route { path, ..route.clone() }, known, walk);
        if read.matchers.is_empty() && !child.has("match") && number + 1 < children.len() {
            let message = "this route matches everything, so those after it hear of nothing";
            let mend = "add match, or continue = true, or make it the last";
            if !read.go_on {
                walk.findings.report(child.span(), message, mend);
            }
        }
        route.routes.push(read);
    }
    route
}

/// Receivers are names of destinations.
fn receivers_of(
    section: &Section<'_>,
    known: &[String],
    walk: &mut Walk<'_>,
) -> Option<Vec<String>> {
    let names = section.texts("receivers", walk)?;
    for (name, at) in section.texts_at("receivers") {
        if !known.contains(&name) {
            let message = format!("`receivers`: there is no destination {name:?}");
            let mend = match known {
                [] => "add a destination, such as [[notify.email]]".to_owned(),
                known => format!("known are {}", known.join(", ")),
            };
            walk.findings.report(at, message, mend);
        }
    }
    Some(names)
}

fn matchers(section: &Section<'_>, key: &str, walk: &mut Walk<'_>) -> Vec<Matcher> {
    // What is no text is reported by the second line alone.
    let texts = section.texts_at(key);
    section.texts(key, walk);
    let read = texts.into_iter().filter_map(|(text, at)| match Matcher::parse(&text) {
        Ok(matcher) => Some(matcher),
        Err(reason) => {
            let mend = "write a label, = != =~ !~ (severity: also >= <=), and a value";
            walk.findings.report(at, format!("`{key}`: {reason}"), mend);
            None
        }
    });
    read.collect()
}

fn labels(section: &Section<'_>, key: &str, walk: &mut Walk<'_>) -> Option<Vec<String>> {
    let names = section.texts(key, walk)?;
    for (name, at) in section.texts_at(key) {
        if name != "..." && !LABELS.contains(&name.as_str()) {
            let mend = format!("known are {}", LABELS.join(", "));
            walk.findings.report(at, format!("`{key}`: there is no label {name:?}"), mend);
        }
    }
    Some(names)
}

fn known_times(
    section: &Section<'_>,
    key: &str,
    times: &BTreeMap<String, Times>,
    walk: &mut Walk<'_>,
) -> Option<Vec<String>> {
    let names = section.texts(key, walk)?;
    for (name, at) in section.texts_at(key) {
        if !times.contains_key(&name) {
            let mend = "add [[time]] with this name, timezone, days, from and until";
            walk.findings.report(at, format!("`{key}`: there is no time {name:?}"), mend);
        }
    }
    Some(names)
}

fn times(section: &Section<'_>, walk: &mut Walk<'_>) -> Option<Times> {
    section.require("timezone", "\"Europe/Berlin\"", walk);
    section.require("from", "\"22:00\"", walk);
    section.require("until", "\"07:00\"", walk);
    let zone = zone(section, walk);
    let days = match section.texts("days", walk).as_deref().map(calendar::days) {
        None => [true; 7],
        Some(Ok(days)) => days,
        Some(Err(reason)) => {
            let mend = "write days = [\"mon-fri\"]";
            walk.findings.report(section.value_at("days"), format!("`days`: {reason}"), mend);
            return None;
        }
    };
    let mut minute = |key| {
        let text = section.text(key, walk)?;
        calendar::minute(&text)
            .map_err(|reason| {
                let mend = "write hours and minutes, from 00:00 to 24:00";
                walk.findings.report(section.value_at(key), format!("`{key}`: {reason}"), mend);
            })
            .ok()
    };
    let (from, until) = (minute("from"), minute("until"));
    Some(Times { zone: zone?, days, from: from?, until: until? })
}

fn zone(section: &Section<'_>, walk: &mut Walk<'_>) -> Option<Zone> {
    let name = section.text("timezone", walk)?;
    Zone::named(&name)
        .map_err(|error| {
            let mend = "write a name of the IANA database, such as Europe/Berlin";
            walk.findings.report(section.value_at("timezone"), error.to_string(), mend);
        })
        .ok()
}

fn maintenance(section: &Section<'_>, walk: &mut Walk<'_>) -> Option<Maintenance> {
    section.require("name", "\"load-test\"", walk);
    section.require("match", "[\"account=contoso-ai\"]", walk);
    let matchers = matchers(section, "match", walk);
    let once = section.has("begin") || section.has("end");
    let when = if once {
        section.require("timezone", "\"Europe/Berlin\"", walk);
        section.require("begin", "\"2026-12-01T22:00\"", walk);
        section.require("end", "\"2026-12-02T02:00\"", walk);
        let zone = zone(section, walk)?;
        let mut moment = |key| {
            let text = section.text(key, walk)?;
            let moment = zone.moment(&text);
            if moment.is_none() {
                let message = format!("`{key}`: {text:?} is no local time");
                let mend = format!("write {key} = \"2026-12-01T22:00\"");
                walk.findings.report(section.value_at(key), message, mend);
            }
            moment
        };
        let (begin, end) = (moment("begin"), moment("end"));
        let (begin, end) = (begin?, end?);
        if end <= begin {
            let mend = "make end later than begin";
            walk.findings.report(section.value_at("end"), "it ends before it begins", mend);
            return None;
        }
        When::Once(begin.0, end.0)
    } else {
        When::Weekly(times(section, walk)?)
    };
    let name = section.text("name", walk)?;
    Some(Maintenance { name, matchers, when })
}

fn storm(section: Option<Section<'_>>, walk: &mut Walk<'_>) -> Storm {
    let mut storm = Storm::default();
    let Some(section) = section else { return storm };
    if let Some(limit) = section.whole("limit", 1..=10_000, walk) {
        storm.limit = usize::try_from(limit).unwrap_or(storm.limit);
    }
    if let Some(ms) = section.duration("window", ("1m", "24h"), walk) {
        storm.window_ms = ms;
    }
    if let Some(usd) = section.number("money_usd_per_day", walk) {
        storm.money_usd = usd;
    }
    storm
}
