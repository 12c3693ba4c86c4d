//! `[engine]`, `[join]` and `[detect]`: numbers with a default each.

use super::section::{Section, Walk};
use crate::aggregate::join::JoinSettings;
use crate::detect::{DetectSettings, ceiling};
use crate::engine::EngineSettings;

pub(super) const ENGINE: &[&str] = &["lateness", "callers_per_hour", "max_accounts", "reopen"];
pub(super) const JOIN: &[&str] = &["attribution", "horizon", "max_open", "max_known"];
pub(super) const DETECT: &[&str] = &[
    "alerts_per_week",
    "min_excess_usd_per_hour",
    "min_excess_tokens_per_hour",
    "ceiling_usd_per_hour",
    "ceiling_usd_per_day",
    "new_deployment_usd_per_day",
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
        ("new_deployment_usd_per_day", &mut settings.new_deployment_usd_per_day),
        ("new_network_usd", &mut settings.new_network_usd),
        ("silence_min_calls", &mut settings.silence_min_calls),
    ];
    for (key, field) in fields {
        if let Some(number) = section.number(key, walk) {
            *field = number;
        }
    }
    ceilings(&section, &mut settings, walk);
    let accepted = settings.score.alerts_per_week;
    if accepted <= 0.0 || accepted > MOST_ALERTS_PER_WEEK {
        let message = "`alerts_per_week` is not above 0 and at most 7";
        let mend =
            "write how many false alerts of one deployment you accept in a week, such as 0.1";
        walk.findings.report(section.value_at("alerts_per_week"), message, mend);
    }
    settings
}

/// A day's ceiling follows from that of an hour, and where it is said it is no lower.
fn ceilings(section: &Section<'_>, settings: &mut DetectSettings, walk: &mut Walk<'_>) {
    let keys = ["ceiling_usd_per_hour", "ceiling_usd_per_day"];
    let [hour, day] = keys.map(|key| section.number(key, walk));
    let DetectSettings { ceiling_usd_per_hour, ceiling_usd_per_day, .. } = settings;
    let is_wrong = hour.is_none() && section.value("ceiling_usd_per_hour").is_some();
    *ceiling_usd_per_hour = hour.unwrap_or(*ceiling_usd_per_hour);
    *ceiling_usd_per_day = day.unwrap_or(*ceiling_usd_per_hour * ceiling::HOURS_PER_DAY);
    if !is_wrong && *ceiling_usd_per_day > 0.0 && ceiling_usd_per_day < ceiling_usd_per_hour {
        let message = "`ceiling_usd_per_day` is less than `ceiling_usd_per_hour`";
        let mend =
            "a day costs no less than one of its hours: make it at least as much (0: no ceiling)";
        walk.findings.report(section.value_at("ceiling_usd_per_day"), message, mend);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{parse, placeholder};

    const HUB: &str =
        "[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n";

    #[track_caller]
    fn check(lines: &str, expected: [f64; 2]) {
        let config = parse(&format!("{HUB}[detect]\n{lines}"), "t.toml", &placeholder).unwrap();
        let detect = config.engine.detect;
        let found = [detect.ceiling_usd_per_hour, detect.ceiling_usd_per_day];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn the_ceiling_of_a_day_follows_that_of_an_hour() {
        check("", [100.0, 400.0]);
        check("ceiling_usd_per_hour = 250", [250.0, 1_000.0]);
        check("ceiling_usd_per_day = 100", [100.0, 100.0]);
        check("ceiling_usd_per_hour = 1_000\nceiling_usd_per_day = 9_000", [1_000.0, 9_000.0]);
        // Off, both or one of them.
        check("ceiling_usd_per_hour = 0", [0.0, 0.0]);
        check("ceiling_usd_per_day = 0", [100.0, 0.0]);
        check("ceiling_usd_per_hour = 0\nceiling_usd_per_day = 9", [0.0, 9.0]);
    }

    /// Message and place of every problem.
    #[track_caller]
    fn problems(lines: &str) -> Vec<(String, usize, usize)> {
        let problems = parse(&format!("{HUB}[detect]\n{lines}"), "t.toml", &placeholder);
        let problems = problems.map(|_| ()).unwrap_err().0;
        problems.into_iter().map(|p| (p.message, p.line, p.column)).collect()
    }

    #[test]
    fn impossible_ceilings_are_all_named_at_once() {
        let day = "`ceiling_usd_per_day` is less than `ceiling_usd_per_hour`".to_owned();
        assert_eq!(problems("ceiling_usd_per_day = 99.5\n"), [(day, 6, 23)]);
        let less = |key: &str| format!("`{key}` is not a finite number of at least 0");
        assert_eq!(
            problems("ceiling_usd_per_hour = -1\nceiling_usd_per_day = 3\nnew_network_usd = -1\n"),
            [(less("ceiling_usd_per_hour"), 6, 24), (less("new_network_usd"), 8, 19),]
        );
        assert_eq!(
            problems("ceiling_usd_per_hour = 900\nceiling_usd_per_day = -1\n"),
            [(less("ceiling_usd_per_day"), 7, 23)]
        );
    }
}
