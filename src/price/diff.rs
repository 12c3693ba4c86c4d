//! What changed from one price book to another.

use std::collections::BTreeMap;

use super::amount::Price;
use super::book::{Entry, PriceBook};
use super::meter::Meter;
use super::sku::{Scope, Tier};
use super::span::Span;

/// One thing that is different.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Model and version in one name.
    pub model: String,
    /// Where it is served from.
    pub scope: Scope,
    /// How soon.
    pub tier: Tier,
    /// For prompts of more tokens than this.
    pub above: u32,
    /// What about it.
    pub what: What,
}

/// What is different.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A price.
    Price {
        /// Of this meter.
        meter: Meter,
        /// Before; `None` where it was unknown.
        old: Option<Price>,
        /// Now; `None` where it is unknown.
        new: Option<Price>,
        /// Growth in percent; `None` where there is no telling.
        percent: Option<f64>,
    },
    /// When the price holds.
    Dates {
        /// Before.
        old: Span,
        /// Now.
        new: Span,
    },
    /// Who says so.
    Source {
        /// Before.
        old: String,
        /// Now.
        new: String,
    },
}

type Place = (String, Scope, Tier, u32);

/// Everything that is different, in the order of the names. Percentages mean nothing between two
/// currencies, so there are none then.
#[must_use]
pub fn diff(old: &PriceBook, new: &PriceBook) -> Vec<Change> {
    let [before, after] = [old, new].map(|book| {
        let mut places: BTreeMap<Place, Vec<&Entry>> = BTreeMap::new();
        for entry in &book.entries {
            places.entry(entry.place()).or_default().push(entry);
        }
        places
    });
    let mut places: Vec<&Place> = before.keys().chain(after.keys()).collect();
    places.sort_unstable();
    places.dedup();
    let none = Vec::new();
    let mut changes = Vec::new();
    for place in places {
        let [before, after] = [&before, &after].map(|places| places.get(place).unwrap_or(&none));
        for (old, new) in pairs(before, after) {
            changes.extend(compare(old, new).into_iter().map(|what| Change {
                model: place.0.clone(),
                scope: place.1,
                tier: place.2,
                above: place.3,
                what,
            }));
        }
    }
    changes
}

/// Rows for the same thing, by when they begin to hold; a single one of each side is one pair.
fn pairs<'a>(
    before: &[&'a Entry],
    after: &[&'a Entry],
) -> Vec<(Option<&'a Entry>, Option<&'a Entry>)> {
    if let ([old], [new]) = (before, after) {
        return vec![(Some(old), Some(new))];
    }
    let mut froms: Vec<_> = before.iter().chain(after).map(|entry| entry.valid.from).collect();
    froms.sort_unstable();
    froms.dedup();
    let find = |entries: &[&'a Entry], from| {
        entries.iter().find(|entry| entry.valid.from == from).copied()
    };
    froms.into_iter().map(|from| (find(before, from), find(after, from))).collect()
}

fn compare(old: Option<&Entry>, new: Option<&Entry>) -> Vec<What> {
    let mut differences = Vec::new();
    let same_currency = old.zip(new).is_none_or(|(old, new)| old.currency == new.currency);
    for meter in Meter::ALL {
        let [was, is] = [old, new].map(|entry| entry.and_then(|entry| entry.price(meter)));
        if was != is || (was.is_some() && !same_currency) {
            let ratio = was.zip(is).filter(|_| same_currency).and_then(|(w, i)| i.ratio_to(w));
            let percent = ratio.map(|ratio| (ratio - 1.0) * 100.0);
            differences.push(What::Price { meter, old: was, new: is, percent });
        }
    }
    if let (Some(old), Some(new)) = (old, new) {
        if old.valid != new.valid {
            differences.push(What::Dates { old: old.valid, new: new.valid });
        }
        if old.source != new.source {
            differences.push(What::Source { old: old.source.clone(), new: new.source.clone() });
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(currency: &str, rows: &str) -> PriceBook {
        let text = format!(
            "version = \"t\"\ncurrency = \"{currency}\"\nscope_order = [\"global\"]\nprices = [{rows}]\n"
        );
        PriceBook::parse(&text, "t").unwrap()
    }

    #[track_caller]
    fn check(old: &str, new: &str, expected: &[&str]) {
        let changes = diff(&book("USD", old), &book("USD", new));
        let found: Vec<String> = changes
            .iter()
            .map(|change| match &change.what {
                What::Price { meter, old, new, percent } => {
                    let text =
                        |price: &Option<Price>| price.map_or("?".to_owned(), |p| p.to_string());
                    let percent = percent.map_or("?".to_owned(), |p| format!("{p:+.1}"));
                    format!("{} {meter} {} {} {percent}", change.model, text(old), text(new))
                }
                What::Dates { old, new } => format!("{} {old} / {new}", change.model),
                What::Source { old, new } => format!("{} {old} / {new}", change.model),
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn prices_that_came_went_and_moved_are_told() {
        let old = "{model=\"a\",scope=\"global\",input=\"2\",output=\"8\",source=\"s\"}";
        check(old, old, &[]);
        let new = "{model=\"a\",scope=\"global\",input=\"2.5\",cached=\"1\",source=\"t\"}";
        check(old, new, &["a input 2 2.5 +25.0", "a cached ? 1 ?", "a output 8 ? ?", "a s / t"]);
        check(old, "", &["a input 2 ? ?", "a output 8 ? ?"]);
        let dated =
            "{model=\"a\",scope=\"global\",until=2026-01-01,input=\"2\",output=\"8\",source=\"s\"}";
        check(old, dated, &["a no dates stated / until 2026-01-01"]);
        let then = format!(
            "{dated}, {{model=\"a\",scope=\"global\",from=2026-01-01,input=\"3\",source=\"s\"}}"
        );
        check(dated, &then, &["a input ? 3 ?"]);
    }

    #[test]
    fn between_two_currencies_there_are_no_percentages() {
        let rows = "{model=\"a\",scope=\"global\",input=\"2\",source=\"s\"}";
        let changes = diff(&book("USD", rows), &book("EUR", rows));
        assert!(matches!(&changes[..], [Change { what: What::Price { percent: None, .. }, .. }]));
    }
}
