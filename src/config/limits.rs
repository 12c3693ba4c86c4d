//! `[engine]`, `[join]` and `[detect]`: numbers with a default each.

use super::section::{Section, Walk};
use crate::aggregate::join::JoinSettings;
use crate::detect::DetectSettings;
use crate::engine::EngineSettings;

pub(super) const ENGINE: &[&str] = &["lateness", "callers_per_hour", "max_accounts", "reopen"];
pub(super) const JOIN: &[&str] = &["attribution", "horizon", "max_open", "max_known"];
pub(super) const DETECT: &[&str] = &[
    "alerts_per_week",
    "min_excess_usd_per_hour",
    "min_excess_tokens_per_hour",
    "ceiling_usd_per_hour",
    "new_network_usd",
    "silence_min_calls",
];

/// More than one false alert a day and deployment is nobody's wish, but a typing error.
const MOST_ALERTS_PER_WEEK: f64 = 7.0;

/// Reads `[engine]`; `None` where there is no such table.
pub(super) fn engine(section: Option<Section<'_>>, walk: &mut Walk<'_>) -> EngineSettings {
    let mut settings = EngineSettings::default();
    let Some(section) = section else { return settings };
    if let Some(ms) = section.duration("lateness", ("0s", "1h"), walk) {
        settings.lateness_ms = ms;
    }
    if let Some(ms) = section.duration("reopen", ("0s", "7d"), walk) {
        settings.reopen_ms = ms;
    }
    count(&section, "callers_per_hour", 1_000_000, walk, &mut settings.callers_per_hour);
    count(&section, "max_accounts", 100_000, walk, &mut settings.max_accounts);
    settings
}

/// Reads `[join]`.
pub(super) fn join(section: Option<Section<'_>>, walk: &mut Walk<'_>) -> JoinSettings {
    let mut settings = JoinSettings::default();
    let Some(section) = section else { return settings };
    if let Some(ms) = section.duration("attribution", ("0s", "24h"), walk) {
        settings.attribution_ms = ms;
    }
    if let Some(ms) = section.duration("horizon", ("10m", "24h"), walk) {
        settings.horizon_ms = ms;
    }
    count(&section, "max_open", 100_000_000, walk, &mut settings.max_open);
    count(&section, "max_known", 100_000_000, walk, &mut settings.max_known);
    if settings.attribution_ms > settings.horizon_ms {
        let message = "`attribution` is longer than `horizon`";
        let mend = "make horizon at least as long as attribution";
        walk.findings.report(section.value_at("attribution"), message, mend);
    }
    if settings.max_open > settings.max_known {
        let message = "`max_open` is more than `max_known`";
        let mend = "an open call is a known one: make max_known at least max_open";
        walk.findings.report(section.value_at("max_open"), message, mend);
    }
    settings
}

fn count(section: &Section<'_>, key: &str, most: i64, walk: &mut Walk<'_>, into: &mut usize) {
    let number = section.whole(key, 1..=most, walk);
    if let Some(number) = number.and_then(|number| usize::try_from(number).ok()) {
        *into = number;
    }
}

/// Reads `[detect]`.
pub(super) fn detect(section: Option<Section<'_>>, walk: &mut Walk<'_>) -> DetectSettings {
    let mut settings = DetectSettings::default();
    let Some(section) = section else { return settings };
    let fields = [
        ("alerts_per_week", &mut settings.score.alerts_per_week),
        ("min_excess_usd_per_hour", &mut settings.min_excess_usd_per_hour),
        ("min_excess_tokens_per_hour", &mut settings.min_excess_tokens_per_hour),
        ("ceiling_usd_per_hour", &mut settings.ceiling_usd_per_hour),
        ("new_network_usd", &mut settings.new_network_usd),
        ("silence_min_calls", &mut settings.silence_min_calls),
    ];
    for (key, field) in fields {
        if let Some(number) = section.number(key, walk) {
            *field = number;
        }
    }
    let accepted = settings.score.alerts_per_week;
    if accepted <= 0.0 || accepted > MOST_ALERTS_PER_WEEK {
        let message = "`alerts_per_week` is not above 0 and at most 7";
        let mend =
            "write how many false alerts of one deployment you accept in a week, such as 0.1";
        walk.findings.report(section.value_at("alerts_per_week"), message, mend);
    }
    settings
}
