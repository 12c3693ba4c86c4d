//! What is odd about a price book that can be read: most wrong prices look like these.

use std::collections::BTreeMap;
use std::ops::Range;

use super::amount::Price;
use super::book::{self, Entry};
use super::meter::Meter;
use super::sku::{Scope, Tier};
use crate::problem::{Findings, Problem};

/// A price this many times its siblings', or this small a part of them, is doubted: the mistakes that
/// cost other tools their users' trust were of five times and more.
const OUTLIER: f64 = 5.0;
/// A price above this many units of the currency per million tokens is doubted: the dearest model
/// sold in 2026 costs 600, and lists mix prices per thousand with prices per million.
const DEAR: &str = "1000";

/// What is wrong with a book, and what is odd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What keeps it from being used.
    pub problems: Vec<Problem>,
    /// What can be used and is hardly right.
    pub doubts: Vec<Problem>,
    /// Rows that were read.
    pub rows: usize,
}

/// Looks through a book; `file` is for messages.
#[must_use]
pub fn check(text: &str, file: &str) -> Checked {
    let mut problems = Findings::new(file, text);
    let mut doubts = Findings::new(file, text);
    let mut checked = Checked::default();
    if let Some((book, spans)) = book::read(text, file, &mut problems) {
        let rows = book.entries.iter().map(AsRef::as_ref).zip(spans);
        let rows: Vec<Row<'_>> = rows.map(|(entry, span)| Row { entry, span }).collect();
        checked.rows = rows.len();
        rows.iter().for_each(|row| doubt_alone(row, &mut doubts));
        for same in grouped(&rows, Entry::key).values() {
            doubt_pairs(same, &mut doubts);
            doubt_gaps(same, &mut doubts);
        }
        for siblings in grouped(&rows, |e| (e.model.to_lowercase(), e.tier, e.above > 0)).values() {
            doubt_outliers(siblings, &mut doubts);
        }
    }
    checked.problems = problems.finish().0;
    checked.doubts = doubts.finish().0;
    checked
}

/// A row and where it stands.
struct Row<'a> {
    entry: &'a Entry,
    span: Range<usize>,
}

fn grouped<'a, 'r, K: Ord>(
    rows: &'r [Row<'a>],
    key: impl Fn(&Entry) -> K,
) -> BTreeMap<K, Vec<&'r Row<'a>>> {
    let mut groups: BTreeMap<K, Vec<&'r Row<'a>>> = BTreeMap::new();
    for row in rows {
        groups.entry(key(row.entry)).or_default().push(row);
    }
    groups
}

const MEND: &str = "compare it with its source; unknown is better than wrong, so leave out what nobody can confirm";

fn doubt(row: &Row<'_>, message: String, doubts: &mut Findings<'_>) {
    doubts.report(row.span.clone(), message, MEND);
}

/// What one row says is odd.
fn doubt_alone(row: &Row<'_>, doubts: &mut Findings<'_>) {
    let price = |meter| row.entry.price(meter);
    let above = |a: Meter, b: Meter| price(a).zip(price(b)).filter(|(a, b)| a > b);
    if let Some((cached, input)) = above(Meter::Cached, Meter::Input) {
        doubt(row, format!("cached costs more than input: {cached} and {input}"), doubts);
    }
    for meter in [Meter::CacheWrite, Meter::CacheWriteHour] {
        if let Some((input, write)) = above(Meter::Input, meter) {
            doubt(row, format!("{meter} costs less than input: {write} and {input}"), doubts);
        }
    }
    for (meter, price) in row.entry.priced() {
        if price.pico() == 0 {
            doubt(row, format!("{meter} costs nothing: is it free, or unknown?"), doubts);
        } else if Price::parse(DEAR).is_some_and(|dear| price > dear) {
            let message = format!("{meter} costs {price} for a million: or for a thousand?");
            doubt(row, message, doubts);
        }
    }
}

/// What two rows of one model say together is odd.
fn doubt_pairs(rows: &[&Row<'_>], doubts: &mut Findings<'_>) {
    for row in rows {
        for other in rows {
            if let Some(relation) = relation(row.entry, other.entry) {
                doubt_order(row, other, &relation, doubts);
            }
        }
    }
}

/// How the price of one row should lie to that of another.
struct Relation {
    /// The first should cost at most as much; else at least.
    at_most: bool,
    what: &'static str,
}

fn relation(row: &Entry, other: &Entry) -> Option<Relation> {
    if !row.valid.overlaps(other.valid) {
        return None;
    }
    let (scope, tier, above) =
        (row.scope == other.scope, row.tier == other.tier, row.above == other.above);
    let relation = |at_most, what| Some(Relation { at_most, what });
    match (row.tier, row.scope) {
        (Tier::Batch, _) if scope && above && other.tier == Tier::Standard => {
            relation(true, "batch costs more than standard")
        }
        (Tier::Flex, _) if scope && above && other.tier == Tier::Standard => {
            relation(true, "flex costs more than standard")
        }
        (Tier::Priority, _) if scope && above && other.tier == Tier::Standard => {
            relation(false, "priority costs less than standard")
        }
        (_, Scope::DataZone | Scope::DataZoneUs | Scope::DataZoneEu | Scope::DataZoneApac)
            if tier && above && other.scope == Scope::Global =>
        {
            relation(false, "the data zone costs less than global")
        }
        _ if scope && tier && row.above > other.above => {
            relation(false, "long prompts cost less than shorter ones")
        }
        _ => None,
    }
}

fn doubt_order(row: &Row<'_>, other: &Row<'_>, relation: &Relation, doubts: &mut Findings<'_>) {
    let odd: Vec<String> = row
        .entry
        .priced()
        .filter_map(|(meter, price)| Some((meter, price, other.entry.price(meter)?)))
        .filter(|(_, price, other)| if relation.at_most { price > other } else { price < other })
        .map(|(meter, price, other)| format!("{meter} {price} and {other}"))
        .collect();
    if !odd.is_empty() {
        let message = format!("{} (line {}): {}", relation.what, other.entry.line, odd.join(", "));
        doubt(row, message, doubts);
    }
}

/// Time between two prices of the same thing in which there is none.
fn doubt_gaps(rows: &[&Row<'_>], doubts: &mut Findings<'_>) {
    let mut by_place: BTreeMap<_, Vec<&&Row<'_>>> = BTreeMap::new();
    for row in rows {
        by_place.entry(row.entry.place()).or_default().push(row);
    }
    for mut rows in by_place.into_values() {
        rows.sort_by_key(|row| row.entry.valid);
        for pair in rows.windows(2) {
            let [before, after] = pair else { continue };
            if before.entry.valid.until < after.entry.valid.from {
                let message = format!(
                    "nothing holds between line {} ({}) and this price ({})",
                    before.entry.line, before.entry.valid, after.entry.valid
                );
                doubts.report(
                    after.span.clone(),
                    message,
                    "close the gap, or say in a comment why not",
                );
            }
        }
    }
}

/// Prices far from those of other versions and scopes of the same model.
fn doubt_outliers(rows: &[&Row<'_>], doubts: &mut Findings<'_>) {
    for meter in Meter::ALL {
        let priced: Vec<(&&Row<'_>, Price)> =
            rows.iter().filter_map(|row| Some((row, row.entry.price(meter)?))).collect();
        for (place, (row, price)) in priced.iter().enumerate() {
            let others = priced.iter().enumerate().filter(|(other, _)| *other != place);
            let mut others: Vec<Price> = others.map(|(_, (_, price))| *price).collect();
            others.sort_unstable();
            let Some(median) = others.get(others.len() / 2) else { continue };
            let Some(ratio) = price.ratio_to(*median) else { continue };
            if !(1.0 / OUTLIER..=OUTLIER).contains(&ratio) {
                let message = format!(
                    "{meter} costs {price}, {ratio:.1} times as much as other versions and scopes of {} \
                     ({median})",
                    row.entry.model
                );
                doubt(row, message, doubts);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "version = \"t\"\ncurrency = \"USD\"\nscope_order = [\"global\"]\nprices = [\n";

    /// A book of rows of gpt-4o at the global scope.
    fn book(rows: &[&str]) -> String {
        let rows = rows.iter().map(|row| {
            let scope = if row.contains("scope") { "" } else { "scope = \"global\", " };
            format!("{{ model = \"gpt-4o\", {scope}{row}, source = \"s\" }},\n")
        });
        format!("{HEAD}{}]\n", rows.collect::<String>())
    }

    /// `expected`: line and part of the message of each doubt.
    #[track_caller]
    fn doubted(rows: &[&str], expected: &[(usize, &str)]) {
        let checked = check(&book(rows), "t.toml");
        assert_eq!(checked.problems, []);
        compare(&checked.doubts, expected);
    }

    #[track_caller]
    fn compare(found: &[Problem], expected: &[(usize, &str)]) {
        let lines: Vec<_> = found.iter().map(|found| found.line).collect();
        let wanted: Vec<_> = expected.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, wanted, "{found:#?}");
        for (found, (_, part)) in found.iter().zip(expected) {
            assert!(found.message.contains(part), "{:?} lacks {part:?}", found.message);
        }
    }

    #[test]
    fn the_built_in_book_can_be_used_and_nothing_in_it_is_odd() {
        let checked = check(book::BUILT_IN, book::BUILT_IN_NAME);
        assert_eq!(checked.problems, []);
        assert_eq!(checked.doubts, []);
        assert!(checked.rows > 700);
    }

    #[test]
    fn odd_prices_are_doubted_one_by_one() {
        doubted(
            &["input = \"2\", cached = \"2.1\""],
            &[(5, "cached costs more than input: 2.1 and 2")],
        );
        doubted(&["input = \"2\", cached = \"2\""], &[]);
        doubted(
            &["input = \"2\", cache_write = \"1\""],
            &[(5, "cache_write costs less than input")],
        );
        doubted(&["input = \"0\""], &[(5, "input costs nothing")]);
        doubted(&["output = \"1000.5\""], &[(5, "or for a thousand?")]);
    }

    #[test]
    fn odd_prices_are_doubted_in_pairs() {
        let tiers = ["input = \"2\"", "tier = \"batch\", input = \"2.5\""];
        doubted(&tiers, &[(6, "batch costs more than standard (line 5): input 2.5 and 2")]);
        let tiers = ["input = \"2\"", "tier = \"priority\", input = \"1.9\""];
        doubted(&tiers, &[(6, "priority costs less than standard")]);
        let zones = ["input = \"2\"", "scope = \"data-zone-us\", input = \"1\""];
        doubted(&zones, &[(6, "the data zone costs less than global")]);
        let bands = ["input = \"2\"", "above = 1000, input = \"1\""];
        doubted(&bands, &[(6, "long prompts cost less")]);
        let fine =
            ["input = \"2\"", "tier = \"flex\", input = \"1\"", "above = 1000, input = \"4\""];
        doubted(&fine, &[]);
    }

    #[test]
    fn a_price_five_times_its_siblings_is_doubted() {
        let versions = [
            "version = \"1\", input = \"2\"",
            "version = \"2\", input = \"2.2\"",
            "version = \"3\", input = \"0.4\"",
            "version = \"4\", input = \"11.1\"",
        ];
        doubted(&versions, &[(7, "0.2 times"), (8, "5.5 times")]);
    }

    #[test]
    fn gaps_in_time_are_doubted_and_overlaps_are_wrong() {
        let gap = [
            "from = 2026-01-01, until = 2026-02-01, input = \"2\"",
            "from = 2026-03-01, input = \"2\"",
        ];
        doubted(&gap, &[(6, "nothing holds between line 5")]);
        let overlap = ["until = 2026-02-01, input = \"2\"", "from = 2026-01-31, input = \"2\""];
        let checked = check(&book(&overlap), "t.toml");
        compare(&checked.problems, &[(6, "line 5 prices the same at the same time")]);
        let closed = ["until = 2026-02-01, input = \"2\"", "from = 2026-02-01, input = \"2\""];
        doubted(&closed, &[]);
    }

    #[test]
    fn everything_wrong_with_a_book_is_told_at_once_with_its_place() {
        let text = format!(
            "{HEAD}{{ model = \"a\", scope = \"mars\", input = \"1.0000001\", source = \"s\" }},\n\
             {{ model = \"b\", input = 2.5, outptu = \"1\", source = \"\" }},\n\
             {{ model = \"c\", scope = \"global\", from = 2026-01-01T00:00:00, source = \"s\" }},\n\
             {{ model = \"d\", scope = \"global\", from = 2026-01-01, until = 2025-01-01, \
             input = -1, source = \"s\" }},\n7 ]\nzebra = 1\n"
        );
        let checked = check(&text, "t.toml");
        let expected = [
            (5, "`scope` is none of its values"),
            (5, "`input` is not an amount per million tokens"),
            (6, "a price has no `scope`"),
            (6, "unknown key `outptu`"),
            (6, "`source` is no such text"),
            (7, "prices nothing"),
            (7, "`from` is neither a day nor a moment"),
            (8, "`until` is not after `from`"),
            (8, "`input` is not an amount"),
            (9, "is no price"),
            (10, "unknown key `zebra`"),
        ];
        compare(&checked.problems, &expected);
        let first = &checked.problems[0];
        assert_eq!((first.column, first.file.as_str()), (24, "t.toml"));
        compare(&check("prices == 1", "t.toml").problems, &[(1, "not TOML")]);
        let empty =
            [(1, "no `currency`"), (1, "`scope_order`"), (1, "`prices`"), (1, "no `version`")];
        let mut found = check("", "t.toml").problems;
        found.sort_by_key(|found| empty.iter().position(|(_, part)| found.message.contains(part)));
        compare(&found, &empty);
    }
}
