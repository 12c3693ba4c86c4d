//! Bodies by a template of the operator's, in the language of Jinja (minijinja).
//!
//! A template sees what the native format says (`type`, `timestamp`, `data`) and nothing else: no
//! secret, no environment, no file, no clock. What an attacker has written into a name is a value
//! in it, never part of the template, and is escaped for the type of the body.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::{AutoEscape, Environment, Error, OutputSpan, OutputSpanKind, UndefinedBehavior};
use reqwest::header::HeaderValue;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::data::{Gathered, Told};
use super::native;
use crate::incident::digest::Gathering;
use crate::incident::{
    Announcement, CallerShare, Digest, Entry, Feedback, Incident, Kind, Response,
};
use crate::known::About;
use crate::money::NanoUsd;
use crate::notify::facts::LIMITS;
use crate::notify::settings::Label;
use crate::notify::{RenderError, clean};
use crate::time::{ArrivalTime, EventTime};

/// Work that one body may take: about one for each instruction and for each 64 bytes it makes. The
/// sample in the tests takes a few hundred.
const FUEL: u64 = 50_000;
/// Largest template, in bytes.
const TEMPLATE_MAX: usize = 64 * 1024;
/// Largest body that a template may make, in bytes.
const OUTPUT_MAX: usize = 256 * 1024;
/// Type of the bodies where the configuration names none.
pub const CONTENT_TYPE: &str = "application/json";
/// Name of the one template in its environment.
const NAME: &str = "body";
/// Longest part of a message that is told on, in characters.
const REASON_MAX: usize = 200;

/// A template that compiles.
#[derive(Clone)]
pub struct Template {
    environment: Arc<Environment<'static>>,
    source: Arc<str>,
    content_type: String,
}

/// What is wrong with a template, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateProblem {
    /// Line, from 1; `None` when it is no single place.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

impl std::error::Error for TemplateProblem {}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: ")?,
            (Some(line), None) => write!(f, "line {line}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.reason)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("content_type", &self.content_type).finish_non_exhaustive()
    }
}

impl Template {
    /// Compiles `source`, whose bodies have this type, and tries it with samples of every kind.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn new(source: &str, content_type: &str) -> Result<Self, TemplateProblem> {
        if source.len() > TEMPLATE_MAX {
            return Err(whole(format!("larger than {TEMPLATE_MAX} bytes")));
        }
        if HeaderValue::from_str(content_type).is_err() || !content_type.contains('/') {
            return Err(whole(format!("content_type: {content_type:?} is no type")));
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_debug(true);
        let escape = escape(content_type);
        environment.set_auto_escape_callback(move |_| escape.clone());
        let added = environment.add_template_owned(NAME, source.to_owned());
        added.map_err(|error| problem(&error, source))?;
        let template = Self {
            environment: Arc::new(environment),
            source: source.into(),
            content_type: content_type.to_owned(),
        };
        template.try_out()?;
        Ok(template)
    }

    pub(super) fn content_type(&self) -> &str {
        &self.content_type
    }

    fn is_json(&self) -> bool {
        escape(&self.content_type) == AutoEscape::Json
    }

    /// The body. What was not foreseen when the template was tried (a value that is `null` now) must
    /// not cost the alert: then it is the native body, which says what went wrong.
    pub(super) fn body(&self, mut native: Value) -> Result<Vec<u8>, RenderError> {
        match self.render(&native) {
            Ok(text) => Ok(text.into_bytes()),
            Err(problem) => {
                tracing::error!(%problem, "a template failed; the native body is sent");
                if let Some(fields) = native.as_object_mut() {
                    fields.insert("template_problem".to_owned(), json!(problem.to_string()));
                }
                Ok(serde_json::to_vec(&native)?)
            }
        }
    }

    fn render(&self, native: &Value) -> Result<String, TemplateProblem> {
        let problem = |error: Error| problem(&error, &self.source);
        let template = self.environment.get_template(NAME).map_err(problem)?;
        let context = minijinja::Value::from(minijinja::value::Serde(native));
        let (text, spans) = template.render_with_spans(context).map_err(problem)?;
        if text.len() > OUTPUT_MAX {
            return Err(whole(format!("makes a body of more than {OUTPUT_MAX} bytes")));
        }
        if self.is_json()
            && let Err(error) = serde_json::from_str::<IgnoredAny>(&text)
        {
            return Err(no_json(&error, &text, &spans, &self.source));
        }
        Ok(text)
    }

    /// Incidents with much and with little known, of every kind, and a digest of both.
    fn try_out(&self) -> Result<(), TemplateProblem> {
        let label = Label { destination: "sample", key: "0123456789abcdef" };
        let at = |sample: &str, problem: TemplateProblem| TemplateProblem {
            reason: format!("{} (with {sample})", problem.reason),
            ..problem
        };
        let written = |error: serde_json::Error| whole(error.to_string());
        for (known, incident) in [("much", full()), ("little", Incident::default())] {
            for kind in Kind::ALL {
                let told = announcement(kind, incident.clone());
                let told = Told::new(&told, label, &LIMITS[0]);
                let native = (native::FORMAT.incident)(&told).map_err(written)?;
                let sample = format!("an incident of which {known} is known, {}", kind.word());
                self.render(&native).map_err(|problem| at(&sample, problem))?;
            }
        }
        let digest = Digest {
            key: "sample|1".to_owned(),
            group: "sample".to_owned(),
            gathering: Gathering::Storm,
            at: ArrivalTime(0),
            labels: BTreeMap::new(),
            announcements: [full(), Incident::default()]
                .map(|incident| announcement(Kind::Open, incident))
                .to_vec(),
        };
        let native = (native::FORMAT.digest)(&Gathered::new(&digest, label, 2)).map_err(written)?;
        self.render(&native).map_err(|problem| at("a digest of two incidents", problem))?;
        Ok(())
    }
}

fn announcement(kind: Kind, incident: Incident) -> Announcement {
    Announcement { kind, step: 0, at: incident.opened_at, written: None, incident }
}

/// An incident with something in every place.
fn full() -> Incident {
    let caller = CallerShare {
        network: "198.51.100.0/24".to_owned(),
        identity: "00000000-0000-0000-0000-000000000000".to_owned(),
        tokens: 1,
        cost: Some(NanoUsd(1)),
        new: true,
        about: About { asn: Some(64_500), country: Some("ZZ".to_owned()), ..About::default() },
        name: Some("Sample".to_owned()),
    };
    let text = || "sample \"text\"".to_owned();
    Incident {
        key: text(),
        rule: text(),
        rule_name: text(),
        account: text(),
        deployment: Some(text()),
        resource_id: Some(text()),
        model: Some(text()),
        unit: text(),
        resolved_at: Some(ArrivalTime(0)),
        cost: Some(NanoUsd(1)),
        cost_per_day: Some(NanoUsd(1)),
        callers: vec![caller.clone()],
        callers_before: vec![caller],
        evidence: vec![text()],
        response: vec![Response { what: text(), command: text() }],
        delay_azure_s: Some(1),
        first_call: Some(EventTime(0)),
        first_arrival: Some(ArrivalTime(0)),
        history: vec![Entry { at: ArrivalTime(0), author: text(), what: text() }],
        feedback: Some(Feedback::Abuse),
        parent: Some(text()),
        children: vec![text()],
        ..Incident::default()
    }
}

fn whole(reason: String) -> TemplateProblem {
    TemplateProblem { line: None, column: None, reason }
}

/// Where the template made what is no JSON.
fn no_json(
    error: &serde_json::Error,
    text: &str,
    spans: &[OutputSpan],
    source: &str,
) -> TemplateProblem {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let offset = lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
    let span = spans.iter().take_while(|span| span.output_range().start <= offset).last();
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or_default();
    let reason = format!("the body is no JSON: {what}; values bring their own quotes");
    let Some(span) = span else { return whole(reason) };
    let from = span.source_range();
    let within = match span.kind() {
        OutputSpanKind::Raw => offset - span.output_range().start,
        OutputSpanKind::Expression | _ => 0,
    };
    let (line, column) = place(source, (from.start + within).min(from.end));
    TemplateProblem { line: Some(line), column, reason }
}

/// Line and column, from 1, of a byte of the source.
fn place(source: &str, at: usize) -> (usize, Option<usize>) {
    let at = (0..=at.min(source.len())).rev().find(|at| source.is_char_boundary(*at));
    let before = at.and_then(|at| source.get(..at)).unwrap_or_default();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, Some(column))
}

/// How values are made harmless in bodies of this type.
fn escape(content_type: &str) -> AutoEscape {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.rsplit(['/', '+']).next() {
        Some("json") => AutoEscape::Json,
        Some("html" | "xml") => AutoEscape::Html,
        _ => AutoEscape::None,
    }
}

fn problem(error: &Error, source: &str) -> TemplateProblem {
    let reason = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let (line, column) = match error.range() {
        Some(range) => {
            let (line, column) = place(source, range.start);
            (Some(line), column)
        }
        None => (error.line(), None),
    };
    TemplateProblem { line, column, reason: clean::line(&reason, REASON_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::format::Body;
    use crate::notify::sample::{self, HOSTILE, hostile};

    const LABEL: Label<'static> = Label { destination: "chat", key: "0f1e2d3c" };

    fn json(source: &str) -> Result<Template, TemplateProblem> {
        Template::new(source, CONTENT_TYPE)
    }

    #[track_caller]
    fn body(template: Template, told: &Announcement) -> String {
        let bytes = Body::Template(template).incident(told, LABEL).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[track_caller]
    fn check_wrong(source: &str, line: usize, column: usize, says: &str) {
        let problem = json(source).unwrap_err();
        assert_eq!((problem.line, problem.column), (Some(line), Some(column)), "{problem}");
        assert!(problem.reason.contains(says), "{problem}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        check_wrong("{\n  \"a\": {{ data.summary }\n}", 2, 24, "syntax error");
        check_wrong("{\"text\": {{ data.sumary }}}", 1, 13, "undefined");
        check_wrong("{\n \"ä\": {{ data.key | shout }}}", 2, 21, "unknown filter");
        check_wrong("{\n \"text\": \"{{ data.summary }}\"\n}", 2, 14, "no JSON");
        check_wrong("{\"text\": {{ data.summary }},}", 1, 29, "no JSON");
        check_wrong("[{{ data.callers[0].tokens }}]", 1, 17, "undefined");
        check_wrong("{% include \"secrets\" %}", 1, 4, "syntax error");
        check_wrong("[{{ \"x\" * 100000000 }}]", 1, 5, "fuel");
        check_wrong("[{{ env.HOME }}]", 1, 5, "undefined");
        let nested =
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}";
        let problem = json(nested).unwrap_err();
        assert_eq!((problem.line, problem.column), (Some(1), None));
        assert!(problem.reason.contains("fuel"), "{problem}");
    }

    #[test]
    fn a_problem_names_the_sample_that_met_it() {
        let problem = json("[{{ data.callers[0].tokens }}]").unwrap_err();
        assert!(problem.reason.contains("of which little is known"), "{problem}");
        let problem = json("[{{ data.rule }}]").unwrap_err();
        assert!(problem.reason.ends_with("(with a digest of two incidents)"), "{problem}");
        assert!(json("[{{ data.rule if type != \"incident.digest\" else data.group }}]").is_ok());
        let problem = Template::new("x", "no type").unwrap_err();
        assert!(problem.reason.contains("content_type"), "{problem}");
        assert!(json(&"x".repeat(TEMPLATE_MAX + 1)).is_err());
    }

    #[test]
    fn names_are_values_whatever_they_hold() {
        let source =
            "{\"text\": {{ data.summary }}, \"of\": {{ data }}, \"when\": {{ timestamp }}}";
        for text in HOSTILE.iter().map(|text| (*text).to_owned()).chain([HOSTILE.concat()]) {
            let told = hostile(Kind::Open, &text);
            let value: Value = serde_json::from_str(&body(json(source).unwrap(), &told)).unwrap();
            assert_eq!(value["of"]["key"], text);
            assert_eq!(value["of"]["observed"], Value::Null);
        }
        let page = Template::new("<p>{{ data.key }}</p>", "text/html; charset=utf-8").unwrap();
        let shown = body(page, &hostile(Kind::Open, "<script>\"'"));
        assert_eq!(shown, "<p>&lt;script&gt;&quot;&#x27;</p>");
        let plain = Template::new("{{ type }}: {{ data.severity }} \"", "text/plain").unwrap();
        let told = sample::announcement(Kind::Resolve);
        assert_eq!(body(plain, &told), "incident.resolve: high \"");
    }

    #[test]
    fn a_template_that_fails_later_costs_no_alert() {
        // Tried with one caller and with none, never with three.
        let source = "[{% if data.callers is defined and data.callers|length > 2 %}{{ data.nothing }}\
                      {% else %}1{% endif %}]";
        let template = json(source).unwrap();
        let told = sample::announcement(Kind::Open);
        let value: Value = serde_json::from_str(&body(template, &told)).unwrap();
        assert_eq!(value["data"]["rule"], "TW-C01");
        let problem = value["template_problem"].as_str().unwrap();
        assert!(problem.starts_with("line 1, column 65: undefined"), "{problem}");
    }

    #[test]
    fn debugging_a_template_shows_no_incident() {
        let shown = format!("{:?}", json("[]").unwrap());
        assert_eq!(shown, "Template { content_type: \"application/json\", .. }");
    }
}
