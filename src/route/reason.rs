//! Why a notification leaves, decided from what a receiver was told and what is so now.

use serde::{Deserialize, Serialize};

use crate::incident::{Incident, Kind, Severity, State, life};
use crate::money::NanoUsd;

/// Why a notification leaves, or that none does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotifyReason {
    /// The receiver has not heard of it.
    First,
    /// Its severity rose, or its cost doubled.
    Worse,
    /// Other incidents turned out to be part of it, or something else that neither severity nor cost
    /// shows, such as a threshold of a budget.
    NewFindings,
    /// Somebody has taken it.
    Acknowledged,
    /// It goes on unacknowledged, and the receiver was last told long enough ago.
    RepeatDue,
    /// It is over.
    Resolved,
    /// There is nothing to say.
    None,
}

impl NotifyReason {
    /// The word used in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Worse => "worse",
            Self::NewFindings => "new findings",
            Self::Acknowledged => "acknowledged",
            Self::RepeatDue => "repeat due",
            Self::Resolved => "resolved",
            Self::None => "none",
        }
    }
}

/// What a receiver was last told of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Highest severity told.
    pub severity: Severity,
    /// State told.
    pub state: State,
    /// Cost in USD told; 0 where it was unknown.
    pub usd: f64,
    /// Parts told.
    pub children: usize,
    /// When, milliseconds since 1970 of our own clock.
    pub at_ms: i64,
}

impl Told {
    /// What is told by telling `incident` now.
    #[must_use]
    pub fn of(incident: &Incident, now_ms: i64) -> Self {
        Self {
            severity: incident.severity,
            state: incident.state,
            usd: incident.cost.map_or(0.0, NanoUsd::usd),
            children: incident.children.len(),
            at_ms: now_ms,
        }
    }
}

/// Why `incident` is to be told now to somebody who was told `told` and has not heard yet of what the
/// engine `announced` since. `repeat_ms` is the time after which a receiver is reminded; 0: never. Pure.
#[must_use]
pub fn reason(
    (told, announced): (Option<&Told>, Option<Kind>),
    incident: &Incident,
    repeat_ms: i64,
    now_ms: i64,
) -> NotifyReason {
    let now = Told::of(incident, now_ms);
    let Some(told) = told else {
        // What was over before anybody heard of it needs no word.
        return if now.state.is_live() { NotifyReason::First } else { NotifyReason::None };
    };
    if !now.state.is_live() {
        return if told.state.is_live() { NotifyReason::Resolved } else { NotifyReason::None };
    }
    let waited = now_ms.saturating_sub(told.at_ms);
    if now.severity > told.severity || life::has_grown(told.usd, now.usd) {
        NotifyReason::Worse
    } else if now.children > told.children || announced == Some(Kind::Escalate) {
        NotifyReason::NewFindings
    } else if now.state == State::Acknowledged && told.state == State::Open {
        NotifyReason::Acknowledged
    } else if repeat_ms > 0 && waited >= repeat_ms && now.state == State::Open {
        NotifyReason::RepeatDue
    } else {
        NotifyReason::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_and_its_rank() {
        use NotifyReason as N;
        let open = Incident { severity: Severity::High, ..Incident::default() };
        let told = Told::of(&open, 1_000);
        let with = |change: &dyn Fn(&mut Incident)| {
            let mut incident = open.clone();
            change(&mut incident);
            incident
        };
        let resolved = with(&|i| i.state = State::Resolved);
        let taken = with(&|i| i.state = State::Acknowledged);
        let critical = with(&|i| i.severity = Severity::Critical);
        let dear = with(&|i| i.cost = Some(NanoUsd::from_usd(100.0)));
        let parent = with(&|i| i.children.push("x".to_owned()));
        let was_over = Told { state: State::Resolved, ..told };
        for (told, incident, now_ms, expected) in [
            (None, &open, 0, N::First),
            (None, &resolved, 0, N::None),
            (Some(&told), &open, 1_500, N::None),
            (Some(&told), &open, 2_000, N::RepeatDue),
            (Some(&told), &taken, 5_000, N::Acknowledged),
            (Some(&told), &critical, 1_500, N::Worse),
            (Some(&told), &dear, 1_500, N::Worse),
            (Some(&told), &parent, 5_000, N::NewFindings),
            (Some(&told), &resolved, 1_500, N::Resolved),
            (Some(&was_over), &resolved, 9_000, N::None),
        ] {
            let why = reason((told, None), incident, 1_000, now_ms);
            assert_eq!(why, expected, "{incident:?} {now_ms}");
        }
        assert_eq!(reason((Some(&told), None), &open, 0, i64::MAX), N::None, "never reminded");
        let threshold = Some(Kind::Escalate);
        assert_eq!(reason((Some(&told), threshold), &open, 0, 1_500), N::NewFindings);
        let told_taken = Told { state: State::Acknowledged, ..told };
        assert_eq!(reason((Some(&told_taken), None), &taken, 1_000, i64::MAX), N::None);
    }
}
