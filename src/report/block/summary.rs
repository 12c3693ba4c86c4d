//! The subject, and the one sentence of cause: what is read when nothing else is.

use serde::Serialize;

use super::incidents::Incidents;
use super::month::Month;
use super::movers::Movers;
use super::quality::Quality;
use super::spend::Spend;
use crate::report::amount::Currency;
use crate::store::report::Edition;

/// A rise from which a week is worth a second look, in thousandths.
const RISE: i128 = 250;

/// The block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// What to do about the week.
    pub state: State,
    /// Subject of the mail.
    pub subject: String,
    /// One sentence: what moved the week and why.
    pub cause: String,
}

/// What a week asks of its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Nothing.
    Ok,
    /// A look: an incident, a rise of a quarter, or numbers that are not whole.
    Watch,
    /// Something now: a grave incident goes on, or a budget will not last.
    Act,
}

impl State {
    /// The word in the subject.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Watch => "WATCH",
            Self::Act => "ACT",
        }
    }
}

/// What the summary is made of.
#[derive(Debug, Clone, Copy)]
pub struct From<'a> {
    /// Whose report; empty for the whole.
    pub scope: &'a str,
    /// Which week.
    pub period: &'a str,
    /// Which letter.
    pub edition: Edition,
    /// Blocks.
    pub spend: &'a Spend,
    /// Blocks.
    pub month: &'a Month,
    /// Blocks.
    pub movers: &'a Movers,
    /// Blocks.
    pub incidents: &'a Incidents,
    /// Blocks.
    pub quality: &'a Quality,
}

impl Summary {
    /// Computes it.
    #[must_use]
    pub fn new(from: From<'_>, currency: &Currency) -> Self {
        let state = state(from);
        Self { state, subject: subject(from, state, currency), cause: cause(from, currency) }
    }
}

fn state(from: From<'_>) -> State {
    let broken = from.month.budgets.iter().any(|budget| budget.crossing.is_some());
    if from.incidents.is_urgent() || broken {
        return State::Act;
    }
    let total = i128::from(from.spend.total.cost_nano_usd.0);
    let risen = from.spend.last_week.is_some_and(|last| {
        let last = i128::from(last.cost_nano_usd.0);
        (total - last) * 1000 > last * RISE
    });
    if from.incidents.count > 0 || risen || !from.quality.partial.is_empty() {
        return State::Watch;
    }
    State::Ok
}

/// `2026-W47` as people say it.
fn week_words(period: &str) -> String {
    period.split_once("-W").map_or_else(
        || period.to_owned(),
        |(_, week)| format!("Week {}", week.trim_start_matches('0')),
    )
}

fn subject(from: From<'_>, state: State, currency: &Currency) -> String {
    let mut parts = Vec::new();
    let mark = match (from.edition, from.quality.partial.is_empty()) {
        (Edition::First, true) => "",
        (Edition::First, false) => "PARTIAL · ",
        (Edition::Correction, _) => "CORRECTED · ",
        (Edition::Again(_), true) => "sent again · ",
        (Edition::Again(_), false) => "sent again, PARTIAL · ",
    };
    parts.push(format!("[tokenwatch] {mark}{}", week_words(from.period)));
    if !from.scope.is_empty() {
        parts.push(from.scope.to_owned());
    }
    let mut changes = Vec::new();
    changes.extend(from.spend.change().map(|change| against(&change.text, "last week")));
    if from.spend.median_weeks > 1 {
        let weeks = format!("{}-wk", from.spend.median_weeks);
        changes.extend(from.spend.change_of_median().map(|change| against(&change.text, &weeks)));
    }
    let total = currency.short(from.spend.total.cost_nano_usd);
    parts.push(match changes.is_empty() {
        true => total,
        false => format!("{total} ({})", changes.join(", ")),
    });
    parts.push(match from.incidents.count {
        0 => "no incident".to_owned(),
        1 => "1 incident".to_owned(),
        count => format!("{count} incidents"),
    });
    if let Some(forecast) = from.month.forecast {
        let of = from.month.budget().map_or_else(String::new, |budget| {
            format!(" of {}", currency.about(budget.limit_nano_usd))
        });
        parts.push(format!("month forecast {}{of}", currency.about(forecast.expected_nano_usd)));
    }
    format!("{} – {}", parts.join(" · "), state.word())
}

fn against(change: &str, base: &str) -> String {
    if change == "new" { format!("new vs {base}") } else { format!("{change} vs {base}") }
}

fn cause(from: From<'_>, currency: &Currency) -> String {
    let moved = match (from.movers.is_known, from.movers.cause(currency)) {
        (_, Some(cause)) => cause,
        (true, None) => "Nothing moved against last week".to_owned(),
        (false, _) => "There is no whole week before to compare with".to_owned(),
    };
    let incidents = match from.incidents.count {
        0 => "no incident: nothing to report".to_owned(),
        count => format!(
            "{count} incident{} {}",
            if count == 1 { "" } else { "s" },
            currency.short(from.incidents.caught_nano_usd)
        ),
    };
    format!("{moved}; {incidents}.")
}
