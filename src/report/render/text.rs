//! The report as plain text, as good as the page.

use crate::report::Report;
use crate::report::amount::Currency;
use crate::report::view::{Row, Section, Unarmed};

/// Columns of the text; mails are quoted and read in narrow windows.
const WIDTH: usize = 76;
/// Columns of a name before its amount.
const NAME: usize = 36;
/// Columns of amount and change.
const AMOUNT: usize = 14;
const CHANGE: usize = 9;
/// Columns of a bar.
const BAR: usize = 14;

/// The whole report.
#[must_use]
pub fn page(report: &Report, currency: &Currency) -> String {
    let mut text = format!("{}\n\n", report.summary.subject);
    text.push_str(&wrapped(&report.summary.cause, ""));
    text.push_str(&wrapped(&period(report), ""));
    for section in report.sections(currency) {
        text.push_str(&block(&section));
    }
    text
}

/// Which time the report is about.
#[must_use]
pub fn period(report: &Report) -> String {
    let head = &report.head;
    let scope = if head.scope.is_empty() { String::new() } else { format!(" of {}", head.scope) };
    let hours = match head.hours {
        168 => String::new(),
        hours => format!(" ({hours} hours: clocks changed)"),
    };
    let shift = match head.begins_minutes_late {
        0 => String::new(),
        late => format!(" Days begin {late} minutes after midnight: sums are kept by UTC hours."),
    };
    let currency = match head.currency.as_str() {
        "USD" => String::new(),
        code => format!(" One {code} is {} USD, for all weeks alike.", head.usd_per_unit),
    };
    format!(
        "{}{scope}: from {} until before {}, {}{hours}.{shift}{currency}",
        head.period, head.from, head.until, head.timezone
    )
}

fn block(section: &Section) -> String {
    let mut text =
        format!("\n{}\n{}\n", section.title.to_uppercase(), "-".repeat(section.title.len()));
    for line in &section.lead {
        text.push_str(&wrapped(line, ""));
    }
    for row in section.rows.iter().chain(&section.total) {
        text.push_str(&line(row));
    }
    for line in &section.notes {
        text.push_str(&wrapped(line, ""));
    }
    if !section.unarmed.is_empty() {
        text.push_str(&wrapped(&unarmed(&section.unarmed), ""));
    }
    text
}

/// What is not armed, in one sentence.
#[must_use]
pub fn unarmed(unarmed: &[Unarmed]) -> String {
    let each: Vec<String> =
        unarmed.iter().map(|one| format!("{} (needs {})", one.what, one.needs)).collect();
    format!("Not armed: {}.", each.join("; "))
}

fn line(row: &Row) -> String {
    let change = row.change.as_ref().map_or("", |change| change.text.as_str());
    let long = row.name.chars().count() > NAME;
    let mut text = String::new();
    if long {
        text.push_str(&wrapped(&row.name, "  "));
    }
    let name = if long { "" } else { row.name.as_str() };
    if !(long && row.amount.is_empty() && change.is_empty()) {
        let bar = row.bar.map_or_else(String::new, bar);
        let line = format!("  {name:<NAME$}{:>AMOUNT$}{change:>CHANGE$}  {bar}", row.amount);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if !row.details.is_empty() {
        text.push_str(&wrapped(&row.details.join(" · "), "      "));
    }
    text
}

/// Eighths of a column each.
fn bar(per_mille: u16) -> String {
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (usize::from(per_mille.min(1000)) * BAR * 8).div_ceil(1000);
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(PARTS.get(eighths % 8).filter(|part| **part != ' '));
    bar
}

/// Words on lines of at most [`WIDTH`] columns, each begun with `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let length = indent.len() + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && length > WIDTH {
            out.push_str(&format!("{indent}{line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out.push_str(&format!("{indent}{line}\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(bar(0), "");
        assert_eq!(bar(1), "▏");
        assert_eq!(bar(500), "███████");
        assert_eq!(bar(1000), "█".repeat(BAR));
    }

    #[test]
    fn long_names_have_a_line_of_their_own() {
        let row = Row { name: "x".repeat(50), amount: "$1.00".to_owned(), ..Row::default() };
        let text = line(&row);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with("$1.00"), "{text}");
    }
}
