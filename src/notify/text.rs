//! The text part of a mail: the same facts in 76 columns.

use std::fmt::Write as _;

use super::facts::{Command, Facts, Step};
use super::graph::Graph;

/// Widest line, commands excepted (RFC 5322, 2.1.1 asks for 78 at most).
pub(super) const WIDTH: usize = 76;

/// Lays the facts out. Commands stand on lines of their own, indented by four, never broken.
pub(super) fn part(facts: &Facts) -> String {
    let mut out = String::new();
    paragraph(&mut out, "", &facts.sentence);
    out.push('\n');
    paragraph(&mut out, "", &format!("{} · {}", facts.badge, facts.rule));
    paragraph(&mut out, "", &facts.place);
    if let Some(model) = &facts.model {
        paragraph(&mut out, "", &format!("model {model}"));
    }
    paragraph(&mut out, "", &facts.when);
    if facts.test {
        paragraph(&mut out, "", TEST);
    }
    if facts.counts {
        counted(&mut out, facts);
    }
    callers(&mut out, facts);
    steps(&mut out, facts.steps_title, &facts.steps);
    more(&mut out, facts.steps_more);
    list(&mut out, "Why", &facts.evidence);
    more(&mut out, facts.evidence_more);
    heading(&mut out, &format!("Time line, {} UTC", facts.day));
    for moment in &facts.moments {
        paragraph(&mut out, &format!("  {}  ", moment.at), &moment.what);
    }
    if !facts.delay.is_empty() {
        paragraph(&mut out, "  ", &format!("Delay: {}", facts.delay));
    }
    list(&mut out, "What we do not know", &facts.unknowns);
    steps(&mut out, facts.answers_title, &facts.answers);
    heading(&mut out, "About this message");
    for (name, value) in &facts.foot {
        paragraph(&mut out, "  ", &format!("{name}: {value}"));
    }
    out
}

/// Said where the incident is none.
pub(super) const TEST: &str = "Somebody asked whether this channel works. It does. The incident \
    below is a sample: do not act on it.";

fn chart(out: &mut String, graph: &Graph) {
    for line in graph.lines(WIDTH - 2) {
        out.push_str("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    let line = if graph.has_line { ", ─ expected" } else { "" };
    let band = if graph.has_band { ", ┄ upper end of normal" } else { "" };
    let marked = graph.marked.as_ref().map(|m| format!("; anomalous {m}")).unwrap_or_default();
    paragraph(out, "  ", &format!("{}: █ seen{line}{band}{marked} (UTC)", graph.unit));
    out.push('\n');
}

/// The two large numbers, and what was expected and seen.
fn counted(out: &mut String, facts: &Facts) {
    out.push('\n');
    for big in &facts.big {
        paragraph(out, "  ", &format!("{}: {}", big.label, big.value));
    }
    heading(out, "Expected and seen");
    if let Some(graph) = &facts.graph {
        chart(out, graph);
    }
    paragraph(out, "  seen      ", &format!("{} {}", facts.observed, facts.unit));
    paragraph(out, "  expected  ", &facts.expected);
    paragraph(out, "  normal    ", &facts.band);
}

fn callers(out: &mut String, facts: &Facts) {
    if facts.callers.is_empty() && facts.others_before.is_empty() {
        return;
    }
    heading(out, "Who: tokens before and since");
    for caller in &facts.callers {
        let new = if caller.new { " NEW" } else { "" };
        let yours = caller.yours.map(|yours| format!(" {yours}")).unwrap_or_default();
        paragraph(out, "- ", &format!("{}{new}{yours}", caller.network));
        paragraph(out, "  ", &caller.identity);
        if !caller.about.is_empty() {
            paragraph(out, "  ", &caller.about);
        }
        let before = facts.before.map(|head| format!("{head}: {}; ", caller.before));
        let since = format!("{}: {}; cost {}", facts.since, caller.tokens, caller.cost);
        paragraph(out, "  ", &format!("{}{since}", before.unwrap_or_default()));
    }
    more(out, facts.callers_more);
    if !facts.others_before.is_empty() {
        let others = facts.others_before.join(", ");
        paragraph(out, "  ", &format!("{}: {others}", facts.others_title));
    }
}

fn list(out: &mut String, title: &str, sentences: &[String]) {
    if sentences.is_empty() {
        return;
    }
    heading(out, title);
    for sentence in sentences {
        paragraph(out, "- ", sentence);
    }
}

fn steps(out: &mut String, title: &str, steps: &[Step]) {
    if steps.is_empty() {
        return;
    }
    heading(out, title);
    for (index, step) in steps.iter().enumerate() {
        paragraph(out, &format!("{}. ", index + 1), &step.what);
        match &step.command {
            Command::Absent => {}
            Command::LeftOut => paragraph(out, "    ", "(command too long for a mail)"),
            Command::Shown(pieces) => {
                out.push_str("    ");
                pieces.iter().for_each(|piece| out.push_str(piece));
                out.push('\n');
            }
        }
    }
}

fn more(out: &mut String, count: usize) {
    if count > 0 {
        paragraph(out, "  ", &format!("and {count} more"));
    }
}

fn heading(out: &mut String, text: &str) {
    let rule = "-".repeat(text.chars().count());
    // Writing to a string cannot fail.
    if writeln!(out, "\n{text}\n{rule}").is_err() {
        out.push('\n');
    }
}

/// Appends `text` in lines of at most [`WIDTH`], the first after `lead`, the rest indented alike.
fn paragraph(out: &mut String, lead: &str, text: &str) {
    let indent = lead.chars().count();
    let mut column = indent;
    out.push_str(lead);
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if column > indent && column + 1 + word.len() > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        while column + word.len() > WIDTH {
            let rest = word.split_off(WIDTH - column);
            out.extend(word);
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            (word, column) = (rest, indent);
        }
        column += word.len();
        out.extend(word);
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_keep_the_width_and_every_character() {
        let text = format!("{} {} short {}", "a".repeat(200), "b".repeat(75), "ü".repeat(40));
        let mut out = String::new();
        paragraph(&mut out, "- ", &text);
        assert!(out.lines().all(|line| line.chars().count() <= WIDTH), "{out}");
        let strip = |text: &str| text.replace([' ', '\n', '-'], "");
        assert_eq!(strip(&out), strip(&text));
    }
}
