//! `[response]`: the operator's own automation, which takes steps that people proposed and confirmed.

use super::notify::secret_http;
use super::section::{Section, Walk};
use crate::action::Step;
use crate::engine::respond::{AUTOMATION, ResponseRules};
use crate::notify::{Body, Channel, Invalid, Settings as _, WebhookSettings};
use crate::time::MINUTE_MS;

pub(super) const KEYS: &[&str] = &[
    "url",
    "secret",
    "previous_secret",
    "steps",
    "within",
    "two_people",
    "ca_file",
    "allow_internal",
];

/// A quarter of an hour: long enough to ask somebody else, too short to be forgotten.
const WITHIN_MS: i64 = 15 * MINUTE_MS;

/// Whom calls are sent to, and what may be asked.
#[derive(Debug, Clone)]
pub struct ResponseSettings {
    hook: WebhookSettings,
    /// What may be asked.
    pub rules: ResponseRules,
}

impl ResponseSettings {
    /// Reads the certificates and builds the client, without connecting.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn connect(&self) -> Result<Box<dyn Channel>, Invalid> {
        self.hook.connect().map_err(|problem| Invalid {
            destination: AUTOMATION.to_owned(),
            problems: vec![problem],
        })
    }

    /// The receiver as HTTP sees it.
    #[must_use]
    pub const fn http(&self) -> &crate::notify::HttpSettings {
        &self.hook.http
    }
}

pub(super) fn read(section: &Section<'_>, walk: &mut Walk<'_>) -> ResponseSettings {
    let http = secret_http("TOKENWATCH_RESPONSE_URL", section, walk);
    section.require("secret", "{ env = \"TOKENWATCH_RESPONSE\" }", walk);
    let hook = WebhookSettings {
        http,
        secret: section.secret("secret", walk).unwrap_or_default(),
        previous_secret: section.secret("previous_secret", walk),
        body: Body::default(),
    };
    for problem in hook.problems() {
        super::notify::report(&problem, section, walk);
    }
    let steps = if section.has("steps") { steps(section, walk) } else { Step::ALL.to_vec() };
    let rules = ResponseRules {
        steps,
        within_ms: section.duration("within", ("1m", "1h"), walk).unwrap_or(WITHIN_MS),
        two_people: section.flag("two_people", walk).unwrap_or(false),
    };
    ResponseSettings { hook, rules }
}

fn steps(section: &Section<'_>, walk: &mut Walk<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    // Reports what is no list of texts.
    let Some(_) = section.texts("steps", walk) else { return steps };
    for (word, at) in section.texts_at("steps") {
        match Step::ALL.into_iter().find(|step| step.word() == word) {
            Some(step) => steps.push(step),
            None => {
                let known = Step::ALL.map(Step::word).join(", ");
                walk.findings.report(
                    at,
                    format!("`steps`: no step {word:?}"),
                    format!("one of {known}"),
                );
            }
        }
    }
    steps
}
