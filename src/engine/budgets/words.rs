//! A budget's finding as an incident: what people read.

use super::judge::Mark;
use super::standing::{BURNS, Standing};
use super::{Budget, RULE_ID};
use crate::days::Step;
use crate::detect::table;
use crate::incident::tracker::{self, Verdict, Weight};
use crate::incident::{Incident, Response, Severity, State, respond};
use crate::money::{Grouped, NanoUsd};
use crate::time::{ArrivalTime, EventTime, HOUR_MS};

/// Share of a budget from which a deployment that stands out is what to stop, in percent.
const CULPRIT_PERCENT: i64 = 50;

/// What is told.
pub(super) struct About<'a> {
    pub(super) budget: &'a Budget,
    pub(super) standing: &'a Standing,
    /// Everything that holds.
    pub(super) due: &'a [Mark],
    /// What of it is new.
    pub(super) news: &'a [Mark],
    pub(super) spenders: &'a Spenders,
}

/// Who spent it.
#[derive(Default)]
pub(super) struct Spenders {
    /// The largest, largest first.
    pub(super) named: Vec<Spender>,
    /// What all spent.
    pub(super) total: NanoUsd,
}

/// One deployment.
pub(super) struct Spender {
    pub(super) account: String,
    pub(super) resource: String,
    pub(super) deployment: String,
    pub(super) cost: NanoUsd,
    /// Its last 24 hours cost at least twice what was expected.
    pub(super) stands_out: bool,
}

/// The incident of one moment: everything before the hour `now` is counted.
pub(super) fn describe(
    about: &About<'_>,
    verdict: Verdict,
    (now, moment): (i64, ArrivalTime),
) -> Incident {
    let About { budget, standing, spenders, .. } = about;
    let is_priced = standing.unpriced == 0 && standing.untold == 0;
    // What may have been spent by now, if every hour had the same.
    let allowed = standing.purse.amount.usd() * standing.elapsed();
    // An early look knows no projection, and its severity must not depend on one.
    let per_day = standing.at_risk().filter(|_| is_priced && verdict == Verdict::Closing);
    let learnt = standing.projection.is_some_and(|projection| projection.learnt);
    Incident {
        rule: RULE_ID.to_owned(),
        rule_name: table::profile(RULE_ID).name.clone(),
        account: budget.name.clone(),
        owner: match budget.scope.owners.as_slice() {
            [owner] => Some(owner.clone()),
            [] | [_, _, ..] => None,
        },
        severity: severity(about, per_day),
        state: State::Open,
        first_window: standing.period.from.start(),
        last_window: EventTime(now * HOUR_MS),
        opened_at: moment,
        observed: standing.spent.usd(),
        expected: allowed,
        bound: standing.purse.amount.usd(),
        unit: format!("USD in {}", standing.period.name),
        cost: is_priced.then(|| NanoUsd::from_usd((standing.spent.usd() - allowed).max(0.0))),
        cost_per_day: per_day,
        evidence: evidence(about),
        response: response(budget, spenders),
        confidence: if learnt || !standing.is_running() { 0.9 } else { 0.6 },
        ..Incident::default()
    }
}

/// High when the amount is spent or burns away, low while all goes to plan, else medium; and one step
/// or two more for the money that is at risk within a day.
fn severity(about: &About<'_>, per_day: Option<NanoUsd>) -> Severity {
    let urgent = |mark: &Mark| match mark {
        Mark::Spent(percent) => *percent >= 100,
        Mark::Burn(place) => *place == 0,
        Mark::Forecast => false,
    };
    let only_thresholds = about.due.iter().all(|mark| matches!(mark, Mark::Spent(_)));
    let base = match (about.due.iter().any(urgent), only_thresholds) {
        (true, _) => Severity::High,
        (false, false) => Severity::Medium,
        (false, true) => Severity::Low,
    };
    let weight = Weight { base, about_cost: false, per_day, confidence: 1.0 };
    let severity = tracker::severity(weight);
    if about.budget.page { severity } else { severity.min(Severity::Medium) }
}

/// One fact a sentence: the news, where it leads, how fast, who, and what is not in it.
fn evidence(about: &About<'_>) -> Vec<String> {
    let About { budget, standing, .. } = about;
    let purse = &standing.purse;
    let mut said = vec![format!(
        "budget {} has spent {} of {} ({}) in {}, {:.0} % of which is over",
        budget.name,
        purse.text(standing.spent),
        purse.text(purse.amount),
        purse.percent(standing.spent),
        standing.period.name,
        standing.elapsed() * 100.0,
    )];
    let reached = about.news.iter().filter_map(|mark| match mark {
        Mark::Spent(percent) => Some(format!("{percent} %")),
        Mark::Forecast | Mark::Burn(_) => None,
    });
    let reached: Vec<String> = reached.collect();
    if !reached.is_empty() {
        said.push(format!("it has passed its threshold of {}", reached.join(", ")));
    }
    said.extend(projection(about));
    for ((hours, limit), burn) in BURNS.into_iter().zip(standing.burn) {
        let Some(burn) = burn.filter(|burn| burn.times >= limit) else { continue };
        let usual = if burn.unusual { "" } else { ", which is its rhythm" };
        said.push(format!(
            "the last {hours} h burnt it {:.1} times as fast as allowed{usual}",
            burn.times
        ));
    }
    said.extend(largest(about));
    if standing.unpriced > 0 {
        let tokens = Grouped(standing.unpriced);
        said.push(format!("the price of {tokens} tokens is unknown: what they cost comes on top"));
    }
    if standing.untold > 0 {
        let calls = Grouped(standing.untold);
        said.push(format!(
            "of {calls} calls no record told the tokens: what they cost comes on top"
        ));
    }
    said
}

fn projection(about: &About<'_>) -> Option<String> {
    let About { budget, standing, .. } = about;
    let purse = &standing.purse;
    let projection = standing.projection.filter(|_| standing.is_running())?;
    let basis = if projection.learnt {
        "at its usual rhythm"
    } else {
        "no profile yet: at the mean of what was seen"
    };
    let over = standing.overrun().filter(|over| over.0 > 0);
    let over = over.map_or_else(String::new, |over| format!(", {} too much", purse.text(over)));
    let spent = purse.reaches(standing.spent, 100);
    let crossing = standing.crossing.filter(|_| !spent);
    let crossing = crossing
        .map_or_else(String::new, |at| format!(", and is used up {}", budget.zone.local(at)));
    Some(format!(
        "{basis} it ends the {} at {} ({}){over}{crossing}",
        period_word(budget.step),
        purse.text(projection.total),
        purse.percent(projection.total),
    ))
}

/// What a period is called.
const fn period_word(step: Step) -> &'static str {
    match step {
        Step::Hour => "hour",
        Step::Day => "day",
        Step::Week => "week",
        Step::Month => "month",
    }
}

fn largest(about: &About<'_>) -> Option<String> {
    let Spenders { named, total } = about.spenders;
    let shares = named
        .iter()
        .take(3)
        .map(|spender| format!("{} {} %", place(spender), percent(spender.cost, *total)));
    let shares: Vec<String> = shares.collect();
    (!shares.is_empty()).then(|| format!("largest: {}", shares.join(", ")))
}

fn place(spender: &Spender) -> String {
    match spender.deployment.as_str() {
        "" => spender.account.clone(),
        deployment => format!("{}/{deployment}", spender.account),
    }
}

fn percent(part: NanoUsd, whole: NanoUsd) -> i64 {
    let percent = i128::from(part.0) * 100 / i128::from(whole.0.max(1));
    i64::try_from(percent).unwrap_or(i64::MAX)
}

/// Who spends it, and how to stop a deployment that stands out.
fn response(budget: &Budget, spenders: &Spenders) -> Vec<Response> {
    let mut steps = vec![Response {
        what: format!(
            "Shows how budget {} stands and who spends it, as of now.",
            respond::quoted(&budget.name)
        ),
        command: format!(
            "tokenwatch budgets --config FILE --budget {}",
            respond::quoted(&budget.name)
        ),
    }];
    let culprit = spenders
        .named
        .first()
        .filter(|first| first.stands_out && percent(first.cost, spenders.total) >= CULPRIT_PERCENT);
    if let Some(culprit) = culprit {
        steps.extend(respond::stop_spending(&culprit.resource, &culprit.deployment));
    }
    steps
}
