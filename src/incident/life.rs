//! The life of an incident as one table: which event leads from which state to which.

use super::State;

/// What happens to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The cause is seen again.
    Seen,
    /// It is seen again, and is worse than what was told.
    Worse,
    /// The signal has been back inside its band for long enough.
    Calm,
    /// Somebody takes it.
    Acknowledge,
    /// Somebody says it is over.
    Resolve,
    /// The cause is back soon after it was over.
    Return,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 6] =
        [Self::Seen, Self::Worse, Self::Calm, Self::Acknowledge, Self::Resolve, Self::Return];
}

/// Why an event cannot happen in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is over.
    #[error("the incident is over")]
    Over,
    /// It is not over.
    #[error("the incident is not over")]
    GoesOn,
    /// Somebody has it already.
    #[error("the incident is acknowledged already")]
    Taken,
}

/// The state after `event`.
///
/// What gets worse needs a fresh look, so it takes an acknowledgement away.
///
/// # Errors
/// [`Refused`], and the state stays.
pub const fn after(state: State, event: Event) -> Result<State, Refused> {
    match (state, event) {
        (State::Open, Event::Seen | Event::Worse)
        | (State::Acknowledged, Event::Worse)
        | (State::Resolved, Event::Return) => Ok(State::Open),
        (State::Acknowledged, Event::Seen) | (State::Open, Event::Acknowledge) => {
            Ok(State::Acknowledged)
        }
        (State::Open | State::Acknowledged, Event::Calm | Event::Resolve) => Ok(State::Resolved),
        (State::Acknowledged, Event::Acknowledge) => Err(Refused::Taken),
        (State::Open | State::Acknowledged, Event::Return) => Err(Refused::GoesOn),
        (
            State::Resolved,
            Event::Seen | Event::Worse | Event::Calm | Event::Acknowledge | Event::Resolve,
        ) => Err(Refused::Over),
    }
}

/// Money at risk below which growth is not worth a word, in USD.
const GROWTH_MIN_USD: f64 = 100.0;
/// Factor by which money must have grown since it was last told.
const GROWTH: f64 = 2.0;

/// Whether money has grown enough since it was told to be told again: doubled, and by $100 at least,
/// so that a growing incident speaks a number of times that grows with the logarithm of its cost.
#[must_use]
pub fn has_grown(told_usd: f64, now_usd: f64) -> bool {
    now_usd >= GROWTH * told_usd && now_usd - told_usd >= GROWTH_MIN_USD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        let told: Vec<String> = [State::Open, State::Acknowledged, State::Resolved]
            .into_iter()
            .flat_map(|state| Event::ALL.map(|event| (state, event)))
            .map(|(state, event)| {
                let next = after(state, event).map_or("-", State::word);
                format!("{} {event:?} {next}", state.word())
            })
            .collect();
        assert_eq!(
            told.join("\n"),
            "open Seen open\nopen Worse open\nopen Calm resolved\nopen Acknowledge acknowledged\n\
             open Resolve resolved\nopen Return -\nacknowledged Seen acknowledged\n\
             acknowledged Worse open\nacknowledged Calm resolved\nacknowledged Acknowledge -\n\
             acknowledged Resolve resolved\nacknowledged Return -\nresolved Seen -\n\
             resolved Worse -\nresolved Calm -\nresolved Acknowledge -\nresolved Resolve -\n\
             resolved Return open"
        );
    }

    #[test]
    fn money_speaks_when_it_has_doubled() {
        assert!(has_grown(0.0, 100.0) && !has_grown(0.0, 99.0));
        assert!(has_grown(1_000.0, 2_000.0) && !has_grown(1_000.0, 1_999.0));
        let spoken = (0..100_000).fold((0.0, 0), |(told, count), usd| {
            let usd = f64::from(usd);
            if has_grown(told, usd) { (usd, count + 1) } else { (told, count) }
        });
        assert_eq!(spoken.1, 10, "100, 200, 400 … 51,200");
    }
}
