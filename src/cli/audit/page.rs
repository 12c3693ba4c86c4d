//! The cards as one page for people: the verdict, the matrix, what is open, what was not read.

use std::collections::BTreeMap;

use super::super::doctor::page::wrapped;
use super::super::replay::printable;
use super::Told;
use crate::posture::gaps::Gap;
use crate::posture::inventory::Kind;
use crate::posture::{self, Card, DOORS, Door, Finding, Sprawl, State};

/// Columns of names in the matrix; longer ones are cut in their middle.
const NAME: usize = 32;
/// Where the words of a card begin.
const INDENT: &str = "                      ";
/// Things of one kind that are named as unread.
const NAMED: usize = 3;

/// The page.
pub(super) fn to_text(told: &Told<'_>) -> String {
    let mut text = verdict(told);
    if !told.cards.is_empty() {
        text.push('\n');
        text.push_str(&matrix(&told.cards));
    }
    for card in &told.cards {
        if card.count(State::Open) + card.count(State::Unknown) > 0 {
            text.push('\n');
            text.push_str(&one(card));
        }
    }
    text.push_str(&unread(&told.gaps));
    if told.count(State::Unknown) > 0 {
        text.push_str("\n--format json has commands for the doors marked ?, too.\n");
    }
    text
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What somebody reads who reads one line.
fn verdict(told: &Told<'_>) -> String {
    let all = told.cards.len();
    let bad = told.cards.iter().filter(|card| card.count(State::Open) > 0).count();
    let (open, unknown) = (told.count(State::Open), told.count(State::Unknown));
    let names = told.inventory.subscriptions.iter().map(|(id, subscription)| {
        match subscription.name.as_str() {
            "" => id.clone(),
            name => format!("{name} ({id})"),
        }
    });
    let of = names.collect::<Vec<_>>().join(", ");
    let words = if all == 0 {
        format!("No AI account, AI Search service or Machine Learning workspace was found in {of}.")
    } else if open == 0 {
        format!("No door was found open on {}.", plural(all, "resource", "resources"))
    } else {
        format!(
            "{} open on {bad} of {}.",
            plural(open, "door stands", "doors stand"),
            plural(all, "resource", "resources")
        )
    };
    let unknown = match unknown {
        0 => String::new(),
        count => format!(" Of {} nobody can tell.", plural(count, "door", "doors")),
    };
    let gone = match told.inventory.gone() {
        0 => String::new(),
        count => format!(
            " {} deleted while it was read.",
            plural(count, "resource was", "resources were")
        ),
    };
    let mut text = wrapped(&printable(&format!("{words}{unknown}{gone}")), "", "");
    let open_doors: Vec<String> = by_gravity(DOORS.iter().collect())
        .into_iter()
        .filter_map(|door| {
            let cards = told.cards.iter();
            let open = cards.filter(|card| card.has(door.word, State::Open)).count();
            (open > 0).then(|| format!("{} on {open}", door.word))
        })
        .collect();
    if !open_doors.is_empty() {
        text.push_str(&wrapped(&format!("Open: {}.", open_doors.join(", ")), "", "  "));
    }
    let sprawl = sprawl(&posture::sprawl(told.inventory));
    if !sprawl.is_empty() {
        text.push_str(&wrapped(&printable(&sprawl), "", "  "));
    }
    let read = format!("{of}, read {}", told.inventory.at);
    text.push_str(&wrapped(&printable(&read), "", "  "));
    text
}

/// What there is, and where.
fn sprawl(sprawl: &Sprawl) -> String {
    let kinds: Vec<String> = sprawl
        .kinds
        .iter()
        .map(|(kind, count)| {
            let (one, many) = (word(*kind), kind.words());
            plural(*count, one, many)
        })
        .collect();
    if kinds.is_empty() {
        return String::new();
    }
    let counted = |counts: &BTreeMap<String, usize>| {
        let named = counts.iter().map(|(name, count)| match name.as_str() {
            "" => format!("{count} unknown"),
            name => format!("{count} {name}"),
        });
        named.collect::<Vec<_>>().join(", ")
    };
    let all: usize = sprawl.deployments.values().sum();
    let deployments = match all {
        0 => String::new(),
        all => format!(
            " {}: {}.",
            plural(all, "deployment", "deployments"),
            counted(&sprawl.deployments)
        ),
    };
    format!("{}; by region: {}.{deployments}", kinds.join(", "), counted(&sprawl.regions))
}

/// One resource of a kind.
const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Account => "AI account",
        Kind::Search => "AI Search service",
        Kind::Workspace => "Machine Learning workspace",
    }
}

/// The gravest first, else in the order of the table.
fn by_gravity(mut doors: Vec<&'static Door>) -> Vec<&'static Door> {
    doors.sort_by_key(|door| std::cmp::Reverse(door.severity));
    doors
}

/// Resources by doors.
fn matrix(cards: &[Card]) -> String {
    let doors: Vec<&str> = cards
        .first()
        .map(|card| card.doors.iter().map(|finding| finding.door).collect())
        .unwrap_or_default();
    let names: Vec<String> = cards.iter().map(|card| short(&printable(&card.name))).collect();
    let width =
        names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("resource".len());
    let head: String = doors.iter().map(|door| format!("  {door}")).collect();
    let mut text = format!("{:<width$}{head}\n", "resource");
    for (card, name) in cards.iter().zip(names) {
        let cells = card.doors.iter().map(|Finding { door, verdict }| {
            let cell = match verdict.state {
                State::Open => "OPEN",
                State::Ok => "ok",
                State::Unknown => "?",
                State::NotApplicable => "-",
            };
            format!("  {cell:<width$}", width = door.len())
        });
        let line = format!("{name:<width$}{}", cells.collect::<String>());
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(
        "\nOPEN  a way in, or a way to go unseen     ok  shut     ?  unknown     -  no such door\n",
    );
    text
}

/// A name that fits its column; its end tells more than its middle.
fn short(name: &str) -> String {
    let count = name.chars().count();
    if count <= NAME {
        return name.to_owned();
    }
    let (head, tail) = (NAME / 2, NAME - NAME / 2 - 1);
    let first: String = name.chars().take(head).collect();
    let last: String = name.chars().skip(count - tail).collect();
    format!("{first}…{last}")
}

/// The card of one resource: what is open, then what is unknown, then the rest in one line.
fn one(card: &Card) -> String {
    let mut text = format!("{}\n", "─".repeat(100));
    let counts = [State::Open, State::Unknown].into_iter().filter_map(|state| {
        let count = card.count(state);
        (count > 0).then(|| format!("{count} {}", state.word()))
    });
    let counts = counts.collect::<Vec<_>>().join(", ");
    text.push_str(&wrapped(&printable(&format!("{}: {counts}", card.name)), "", "  "));
    text.push_str(&wrapped(&printable(&about(card)), "", "  "));
    for state in [State::Open, State::Unknown] {
        if state == State::Unknown && card.count(State::Unknown) > 0 {
            text.push('\n');
        }
        for known in by_gravity(DOORS.iter().collect()) {
            let mut doors = card.doors.iter().filter(|finding| finding.verdict.state == state);
            if let Some(finding) = doors.find(|finding| finding.door == known.word) {
                if state == State::Open {
                    text.push('\n');
                }
                text.push_str(&door(finding));
            }
        }
    }
    let rest: Vec<String> = [State::Ok, State::NotApplicable]
        .into_iter()
        .filter_map(|state| {
            let words = card.doors.iter().filter(|finding| finding.verdict.state == state);
            let words: Vec<&str> = words.map(|finding| finding.door).collect();
            (!words.is_empty()).then(|| format!("{}: {}", state.word(), words.join(", ")))
        })
        .collect();
    if !rest.is_empty() {
        text.push_str(&format!("\n  {}\n", rest.join("; ")));
    }
    text
}

/// What it is, where, and how much is deployed on it.
fn about(card: &Card) -> String {
    let words: Vec<&str> = [word(card.kind), &card.flavour, &card.sku]
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect();
    let mut parts = vec![words.join(" ")];
    if !card.location.is_empty() {
        parts.push(card.location.clone());
    }
    if !card.group.is_empty() {
        parts.push(format!("resource group {}", card.group));
    }
    parts.extend(card.deployments.map(|count| plural(count, "deployment", "deployments")));
    parts.join(", ")
}

fn door(finding: &Finding) -> String {
    let Finding { door, verdict } = finding;
    let is_open = verdict.state == State::Open;
    let state = if is_open { "OPEN" } else { "?" };
    let head = format!("  {state:<7} {door:<11} ");
    let mut text = wrapped(&printable(&verdict.finding), &head, INDENT);
    let why = DOORS.iter().find(|known| known.word == *door).map(|known| known.why);
    if let Some(why) = why.filter(|_| is_open) {
        text.push_str(&wrapped(why, INDENT, INDENT));
    }
    for note in &verdict.notes {
        text.push_str(&wrapped(&printable(note), &format!("{INDENT}· "), &format!("{INDENT}  ")));
    }
    for step in verdict.steps.iter().filter(|_| is_open) {
        text.push_str(&wrapped(
            &printable(&step.what),
            &format!("{INDENT}→ "),
            &format!("{INDENT}  "),
        ));
        // In one piece: a wrapped command cannot be pasted.
        text.push_str(&format!("    {}\n", printable(&step.command)));
    }
    text
}

/// What could not be read: alike gaps in one paragraph, each with its mend.
fn unread(gaps: &[Gap]) -> String {
    let mut alike: BTreeMap<(&str, &str, bool), Vec<&Gap>> = BTreeMap::new();
    for gap in gaps {
        alike.entry((gap.part, &gap.reason, gap.partly)).or_default().push(gap);
    }
    if alike.is_empty() {
        return String::new();
    }
    let mut text = format!("{}\nNot everything could be read:\n", "─".repeat(100));
    text.insert(0, '\n');
    for ((part, reason, partly), gaps) in alike {
        let of = gaps.iter().take(NAMED).map(|gap| gap.of.as_str()).collect::<Vec<_>>().join("; ");
        let more = match gaps.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let how = if partly { " (in part)" } else { "" };
        let words = format!("{part}{how}: {reason}. Of {of}{more}");
        text.push_str(&wrapped(&printable(&words), "  ", "    "));
        if let Some(gap) = gaps.first().filter(|gap| !gap.mend.is_empty()) {
            text.push_str(&format!("    {}\n", printable(&gap.mend)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_ends() {
        assert_eq!(short("aif-contoso"), "aif-contoso");
        let long = format!("first-{}-last", "x".repeat(60));
        let cut = short(&long);
        assert_eq!(cut.chars().count(), NAME);
        assert!(cut.starts_with("first-") && cut.ends_with("-last") && cut.contains('…'), "{cut}");
    }
}
