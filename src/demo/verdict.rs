//! Does what the service said agree with what really happened?

use std::collections::BTreeMap;
use std::path::Path;

use crate::detect::seasonal;
use crate::detect::series::{Series, Signal, Slot};
use crate::incident::{Announcement, Incident, Kind, Severity};
use crate::notify::idempotency_key;
use crate::notify::listener::Delivery;
use crate::simulate::Truth;
use crate::simulate::truth::AttackTruth;
use crate::store::StoreError;
use crate::store::read::Reader;
use crate::time::{self, MINUTE_MS};

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub what: String,
    /// Whether it agrees.
    pub agrees: bool,
}

/// The outcome of a demo.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Everything that was compared.
    pub checks: Vec<Check>,
    /// Incidents as the database has them, oldest first.
    pub incidents: Vec<Incident>,
    /// The last two days of the deployment an incident names.
    pub day: Option<Day>,
}

/// Two days of a deployment beside what its seasons let expect.
#[derive(Debug, Clone, Default)]
pub struct Day {
    /// Deployment.
    pub deployment: String,
    /// Tokens per hour.
    pub observed: Vec<f64>,
    /// The seasonal curve, in tokens per hour.
    pub expected: Vec<f64>,
}

impl Verdict {
    /// True when everything agrees.
    #[must_use]
    pub fn agrees(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.agrees)
    }

    fn check(&mut self, agrees: bool, what: impl Into<String>) {
        self.checks.push(Check { what: what.into(), agrees });
    }
}

/// Compares database, deliveries and mails with the truth.
pub(super) async fn compare(
    truth: &Truth,
    announcements: &[Announcement],
    deliveries: &[Delivery],
    database: &Path,
) -> Result<Verdict, StoreError> {
    let mut reader = Reader::open(database).await?;
    let mut verdict = Verdict { incidents: reader.incidents().await?, ..Verdict::default() };
    let totals = totals(&mut reader).await?;
    let expected: BTreeMap<_, _> = truth
        .deployments
        .iter()
        .map(|d| {
            let sums = (d.calls, d.tokens_in, d.tokens_cached, d.tokens_out, d.cost_nano_usd);
            ((d.account.clone(), d.deployment.clone()), sums)
        })
        .collect();
    let calls: i64 = truth.deployments.iter().map(|d| d.calls).sum();
    verdict.check(
        totals == expected,
        format!(
            "calls, tokens and cost of {} deployments ({calls} calls) are exact",
            expected.len()
        ),
    );
    match &truth.attack {
        None => {
            let count = verdict.incidents.len();
            verdict
                .check(count == 0, format!("nothing happened, and {count} incidents were raised"));
        }
        Some(attack) => about_attack(&mut verdict, attack, announcements, deliveries, database),
    }
    if let Some(incident) = verdict.incidents.iter().find(|i| i.severity >= Severity::Medium) {
        verdict.day = day(&mut reader, incident).await?;
    }
    Ok(verdict)
}

/// Observations and seasonal curve of the incident's deployment up to its last window.
async fn day(reader: &mut Reader, incident: &Incident) -> Result<Option<Day>, StoreError> {
    let deployment = incident.deployment.clone().unwrap_or_default();
    let hours = reader.hours(&incident.account, &deployment).await?;
    let mut series = Series::default();
    for (hour, amount) in &hours {
        series.restore_hour(*hour, *amount, amount.cost_nano);
    }
    let now = Slot::of(incident.last_window.minute());
    let Some(curve) = seasonal::curve(&series, now, Signal::Tokens, 12) else { return Ok(None) };
    let shown = now.hour() - 47..=now.hour();
    let expected = shown.clone().map(|hour| {
        let place = usize::try_from(hour - curve.first_hour).unwrap_or(usize::MAX);
        curve.values.get(place).copied().unwrap_or(0.0)
    });
    let expected = expected.collect();
    let observed = shown.map(|hour| series.hour(hour)[0]).collect();
    Ok(Some(Day { deployment, observed, expected }))
}

type Sums = (i64, i64, i64, i64, Option<i64>);

async fn totals(reader: &mut Reader) -> Result<BTreeMap<(String, String), Sums>, StoreError> {
    let mut sums: BTreeMap<(String, String), Sums> = BTreeMap::new();
    for total in reader.totals().await?.deployments {
        let amount = total.split.total();
        if total.split.is_zero() {
            continue;
        }
        let sum = sums.entry((total.account, total.deployment)).or_insert((0, 0, 0, 0, Some(0)));
        sum.0 += amount.calls;
        sum.1 += amount.input;
        sum.2 += amount.cached;
        sum.3 += amount.output;
        sum.4 = sum.4.filter(|_| amount.unpriced == 0).map(|cost| cost + amount.cost_nano);
    }
    Ok(sums)
}

fn about_attack(
    verdict: &mut Verdict,
    attack: &AttackTruth,
    announcements: &[Announcement],
    deliveries: &[Delivery],
    database: &Path,
) {
    let rule = if attack.expected_rule_family == "silence" { "TW-P12" } else { "TW-C01" };
    let here = |incident: &Incident| {
        incident.account == attack.account
            && incident.deployment.as_deref() == Some(attack.deployment.as_str())
    };
    let found = verdict.incidents.iter().find(|i| here(i) && i.rule == rule).cloned();
    let Some(incident) = found else {
        let what = format!("no {rule} was raised on {}/{}", attack.account, attack.deployment);
        verdict.check(false, what);
        return;
    };
    verdict.check(true, format!("{rule} names {}/{}", attack.account, attack.deployment));
    // What is about the whole account is about the attack where the incident tells its story.
    let is_part = |i: &Incident| i.parent.as_deref() == Some(&*incident.key);
    let others = verdict.incidents.iter();
    let others = others.filter(|i| i.severity > Severity::Low && !here(i) && !is_part(i));
    let others: Vec<String> = others.map(|i| format!(" {} {}", i.rule, i.account)).collect();
    let elsewhere = format!("{} alerts about other deployments{}", others.len(), others.concat());
    verdict.check(others.is_empty(), elsewhere);
    let at = |text: &str| time::parse(text).unwrap_or(0);
    let begun = incident.first_window.0;
    let inside = begun >= at(&attack.start) - 5 * MINUTE_MS && begun <= at(&attack.end);
    verdict.check(
        inside,
        format!(
            "its first window {} lies in the attack ({} to {})",
            incident.first_window, attack.start, attack.end
        ),
    );
    if attack.kind == "stolen-key" || attack.kind == "runaway-loop" {
        let mut named: Vec<&str> = incident.callers.iter().map(|c| c.network.as_str()).collect();
        let mut real: Vec<&str> = attack.callers.iter().map(String::as_str).collect();
        named.sort_unstable();
        named.dedup();
        real.sort_unstable();
        let what = format!(
            "the callers named ({}) are the attack's ({})",
            named.join(" "),
            real.join(" ")
        );
        verdict.check(named == real, what);
    }
    about_letters(verdict, &incident, announcements, deliveries, database);
}

/// The opening of the incident reached both destinations, with the bytes that were stored.
fn about_letters(
    verdict: &mut Verdict,
    incident: &Incident,
    announcements: &[Announcement],
    deliveries: &[Delivery],
    database: &Path,
) {
    let open = announcements
        .iter()
        .find(|a| a.incident.key == incident.key && a.incident.severity >= Severity::Medium);
    let Some(open) = open.filter(|a| matches!(a.kind, Kind::Open | Kind::Escalate)) else {
        verdict.check(false, "the incident was announced");
        return;
    };
    let key = |name| idempotency_key(&incident.key, open.kind, open.step, name);
    let hook = key("webhook");
    let verified = deliveries.iter().any(|delivery| delivery.verified && delivery.id == hook);
    verdict.check(verified, "the webhook arrived and its signature is right");
    let mail = key("mail");
    let path = database.with_file_name("mails").join(format!("{mail}.eml"));
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let whole = text.contains(&format!("Message-ID: <{mail}@")) && text.contains("text/html");
    verdict.check(whole, format!("the mail is in {}", path.display()));
}
