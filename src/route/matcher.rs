//! Matchers over labels, in Alertmanager's notation, and `>=`, `<=` for severities.

use std::collections::BTreeMap;
use std::fmt;

use regex_lite::Regex;

use crate::severity::Severity;

/// Labels of an incident by name; see [`Incident::labels`](crate::incident::Incident::labels).
pub type Labels = BTreeMap<String, String>;

/// Every label there is.
pub const LABELS: [&str; 9] = [
    "rule",
    "rule_name",
    "severity",
    "account",
    "deployment",
    "model",
    "subscription",
    "resource_group",
    "owner",
];

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Is,
    IsNot,
    Like,
    Unlike,
    AtLeast,
    AtMost,
}

/// In the order in which they are looked for: the longer of two that begin alike first.
const OPS: [(&str, Op); 6] = [
    (">=", Op::AtLeast),
    ("<=", Op::AtMost),
    ("=~", Op::Like),
    ("!~", Op::Unlike),
    ("!=", Op::IsNot),
    ("=", Op::Is),
];

/// One condition, such as `account=contoso-ai`, `rule=~TW-C.*` or `severity>=high`.
///
/// A missing label counts as empty, as with Alertmanager; expressions must match the whole value.
#[derive(Debug, Clone)]
pub struct Matcher {
    text: String,
    label: String,
    op: Op,
    value: String,
    pattern: Option<Regex>,
}

impl Matcher {
    /// Reads a matcher; quotes around the value are optional.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let places = OPS.iter().filter_map(|(sign, op)| Some((text.find(sign)?, *sign, *op)));
        // The first comparison in the text; of those that begin there, the longest.
        let found = places.min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len())));
        let Some((at, sign, op)) = found else {
            return Err(format!("{text:?} compares nothing: write label=value"));
        };
        let (label, rest) = text.split_at(at);
        let (label, value) = (label.trim(), rest.get(sign.len()..).unwrap_or_default().trim());
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        if !LABELS.contains(&label) {
            return Err(format!("there is no label {label:?}: known are {}", LABELS.join(", ")));
        }
        let ordered = matches!(op, Op::AtLeast | Op::AtMost);
        if ordered && label != "severity" {
            return Err(format!("{sign} is for severity alone"));
        }
        if label == "severity"
            && !matches!(op, Op::Like | Op::Unlike)
            && Severity::from_word(value).is_none()
        {
            let known = Severity::ALL.map(Severity::word).join(", ");
            return Err(format!("there is no severity {value:?}: known are {known}"));
        }
        let pattern = matches!(op, Op::Like | Op::Unlike).then(|| {
            let whole = format!("^(?:{value})$");
            Regex::new(&whole).map_err(|error| format!("{value:?} is no expression: {error}"))
        });
        Ok(Self {
            text: format!("{label}{sign}{value}"),
            label: label.to_owned(),
            op,
            value: value.to_owned(),
            pattern: pattern.transpose()?,
        })
    }

    /// Reads several.
    ///
    /// # Errors
    /// What is wrong with the first that is.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Self>, String> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    /// Whether labels fulfil the condition.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        let like = || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(value));
        let ranks = || Some((Severity::from_word(value)?, Severity::from_word(&self.value)?));
        match self.op {
            Op::Is => value == self.value,
            Op::IsNot => value != self.value,
            Op::Like => like(),
            Op::Unlike => !like(),
            Op::AtLeast => ranks().is_some_and(|(is, asked)| is >= asked),
            Op::AtMost => ranks().is_some_and(|(is, asked)| is <= asked),
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether labels fulfil every condition; true of none.
#[must_use]
pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

/// Conditions as one line; `everything` for none.
#[must_use]
pub fn show(matchers: &[Matcher]) -> String {
    if matchers.is_empty() {
        return "everything".to_owned();
    }
    matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn conditions_compare_as_they_are_written() {
        let seen = labels(&[("rule", "TW-C01"), ("severity", "high"), ("account", "a=b")]);
        for (text, expected) in [
            ("rule=TW-C01", true),
            ("rule = \"TW-C01\"", true),
            ("rule!=TW-C01", false),
            ("rule=~TW-C.*", true),
            ("rule=~C01", false),
            ("rule!~TW-I.*", true),
            ("severity>=medium", true),
            ("severity<=medium", false),
            ("severity=~high|critical", true),
            ("account=a=b", true),
            ("deployment=", true),
            ("deployment!=x", true),
        ] {
            assert_eq!(Matcher::parse(text).unwrap().matches(&seen), expected, "{text}");
        }
        assert_eq!(Matcher::parse(" rule = \"x\" ").unwrap().to_string(), "rule=x");
    }

    #[test]
    fn what_cannot_match_is_refused_in_words() {
        for (text, part) in [
            ("", "compares nothing"),
            ("account", "compares nothing"),
            ("acount=x", "there is no label \"acount\""),
            ("account>=x", ">= is for severity alone"),
            ("severity=hihg", "there is no severity \"hihg\""),
            ("rule=~(", "is no expression"),
        ] {
            let error = Matcher::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
