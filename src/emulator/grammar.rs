//! The words of a script: one entry of [`VERBS`] an action, and the cursor that reads them.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

use super::action::{Action, ClockChange, Lasts, Place, Reach, UNITS};
use super::script::ScriptError;
use super::{MAX_PARTITIONS, is_hub_name};

/// Longest span, in hours: a year. Timers reach some two.
const MAX_SPAN_H: u64 = 8_784;

/// Most characters of what was found that an error repeats.
const FOUND_CHARS: usize = 40;

/// Longest error condition; a short symbol of AMQP.
const MAX_CONDITION_BYTES: usize = 255;

/// An action as scripts and the help write it.
pub(super) struct Verb {
    pub(super) name: &'static str,
    /// What follows the name.
    pub(super) form: &'static str,
    /// For the help.
    pub(super) does: &'static str,
    read: fn(&mut Cursor<'_>) -> Result<Action, ScriptError>,
}

/// Every action, in the order of the help.
pub(super) const VERBS: &[Verb] = &[
    Verb { name: "cut", form: "", does: "reset all TCP connections", read: |_| Ok(Action::Cut) },
    Verb {
        name: "refuse",
        form: "[for SPAN]",
        does: "close new TCP connections at once",
        read: |words| Ok(Action::Refuse { lasts: words.lasts()? }),
    },
    Verb {
        name: "half-open",
        form: "[new] [for SPAN]",
        does: "connections stay open and silent; with new, later ones too",
        read: |words| {
            let reach = if words.takes("new") { Reach::New } else { Reach::Existing };
            Ok(Action::HalfOpen { reach, lasts: words.lasts()? })
        },
    },
    Verb {
        name: "idle-close",
        form: "",
        does: "close all connections as idle ones (amqp:connection:forced)",
        read: |_| Ok(Action::IdleClose),
    },
    Verb {
        name: "detach",
        form: "WHERE CONDITION",
        does: "detach readers with an error condition",
        read: |words| Ok(Action::Detach { at: words.place()?, condition: words.condition()? }),
    },
    Verb {
        name: "server-busy",
        form: "[for SPAN]",
        does: "throttle: detach readers, refuse attaches and sends, $management says 503",
        read: |words| Ok(Action::ServerBusy { lasts: words.lasts()? }),
    },
    Verb {
        name: "unauthorized",
        form: "[for SPAN]",
        does: "$cbs says 401, and no link is attached (amqp:unauthorized-access)",
        read: |words| Ok(Action::Unauthorized { lasts: words.lasts()? }),
    },
    Verb {
        name: "expire-tokens",
        form: "[in SPAN]",
        does: "detach links whose connection has put no new token by then",
        read: |words| {
            let after = if words.takes("in") { words.span()? } else { Duration::ZERO };
            Ok(Action::ExpireTokens { after })
        },
    },
    Verb {
        name: "enforce-tokens",
        form: "[for SPAN]",
        does: "tokens must be live and for the entity they are put for",
        read: |words| Ok(Action::EnforceTokens { lasts: words.lasts()? }),
    },
    Verb {
        name: "freeze",
        form: "WHERE [for SPAN]",
        does: "deliver nothing; all else goes on",
        read: |words| Ok(Action::Freeze { at: words.place()?, lasts: words.lasts()? }),
    },
    Verb {
        name: "slow",
        form: "WHERE N [for SPAN]",
        does: "deliver, and accept, at most N a second on each link",
        read: |words| {
            let at = words.place()?;
            let events_per_s =
                words.number(NonZeroU32::MIN..=NonZeroU32::MAX, "events a second")?;
            Ok(Action::Slow { at, events_per_s, lasts: words.lasts()? })
        },
    },
    Verb {
        name: "duplicate",
        form: "WHERE N",
        does: "deliver the last N events of each link once more",
        read: |words| {
            let at = words.place()?;
            Ok(Action::Duplicate { at, events: words.number(1..=usize::MAX, "events")? })
        },
    },
    Verb {
        name: "skip",
        form: "WHERE N",
        does: "leave out N sequence numbers",
        read: |words| {
            let at = words.place()?;
            Ok(Action::Skip { at, sequences: words.number(1..=u32::MAX, "sequence numbers")? })
        },
    },
    Verb {
        name: "expire",
        form: "WHERE N",
        does: "drop events with a sequence number below N",
        read: |words| {
            let at = words.place()?;
            Ok(Action::Expire { at, below: words.number(0..=i64::MAX, "a sequence number")? })
        },
    },
    Verb {
        name: "retain",
        form: "WHERE SPAN|all",
        does: "drop events older than SPAN, now and from now on",
        read: |words| {
            let at = words.place()?;
            let age = if words.takes("all") { None } else { Some(words.span_or("`all`")?) };
            Ok(Action::Retain { at, age })
        },
    },
    Verb {
        name: "recreate",
        form: "HUB",
        does: "delete the hub and create it again, empty",
        read: |words| Ok(Action::Recreate { hub: words.hub()? }),
    },
    Verb {
        name: "grow",
        form: "HUB N",
        does: "add partitions until there are N",
        read: |words| {
            let hub = words.hub()?;
            Ok(Action::Grow { hub, partitions: words.number(1..=MAX_PARTITIONS, "partitions")? })
        },
    },
    Verb {
        name: "clock",
        form: "+SPAN|-SPAN|TIME",
        does: "move the emulator's clock; TIME as 2026-01-31T12:00:00Z",
        read: |words| Ok(Action::Clock(words.clock_change()?)),
    },
    Verb { name: "end", form: "", does: "end all that lasts", read: |_| Ok(Action::End) },
];

/// Reads a script from left to right.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads an action; `also` names what else would be possible here.
    pub(super) fn action(&mut self, also: &[&str]) -> Result<Action, ScriptError> {
        let name = self.word();
        let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
            let names = also.iter().copied().chain(VERBS.iter().map(|verb| verb.name));
            return Err(self.error(&names.collect::<Vec<_>>().join(", ")));
        };
        self.at += name.len();
        (verb.read)(self)
    }

    /// Whether only blanks and comments follow.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.skip_blanks();
        self.rest().is_empty()
    }

    /// Skips semicolons and line ends; false when something else comes first.
    pub(super) fn skip_separators(&mut self) -> bool {
        let mut found = false;
        self.skip_blanks();
        while self.rest().starts_with([';', '\n']) {
            self.at += 1;
            self.skip_blanks();
            found = true;
        }
        found
    }

    /// Takes the next word if it is this one.
    pub(super) fn takes(&mut self, word: &str) -> bool {
        let found = self.word() == word;
        if found {
            self.at += word.len();
        }
        found
    }

    pub(super) fn colon(&mut self) -> Result<(), ScriptError> {
        self.skip_blanks();
        if !self.rest().starts_with(':') {
            return Err(self.error("`:`"));
        }
        self.at += 1;
        Ok(())
    }

    /// A number with a unit, such as `10 s`.
    pub(super) fn span(&mut self) -> Result<Duration, ScriptError> {
        self.span_or("")
    }

    pub(super) fn error(&mut self, possible: &str) -> ScriptError {
        self.skip_blanks();
        let before = self.text.get(..self.at).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let found = match (self.word(), self.rest().chars().next()) {
            ("", None) => "the end".to_owned(),
            ("", Some('\n')) => "the end of the line".to_owned(),
            ("", Some(sign)) => format!("`{sign}`"),
            (word, _) => {
                let shown = word.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
                format!("`{}`", shown.take(FOUND_CHARS).collect::<String>())
            }
        };
        let line = before.matches('\n').count() + 1;
        ScriptError { line, column, found, possible: possible.to_owned() }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        let mut left = rest.trim_start_matches([' ', '\t', '\r']);
        if left.starts_with('#') {
            left = left.find('\n').and_then(|at| left.get(at..)).unwrap_or_default();
        }
        self.at += rest.len() - left.len();
    }

    /// The next word, not yet taken; empty at the end of a step.
    fn word(&mut self) -> &'a str {
        self.skip_blanks();
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || c == ';' || c == '#');
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    }

    /// The leading characters of the next word, not yet taken.
    fn leading(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let word = self.word();
        let end = word.find(|c: char| !fits(c)).unwrap_or(word.len());
        word.get(..end).unwrap_or_default()
    }

    fn lasts(&mut self) -> Result<Lasts, ScriptError> {
        if self.takes("for") { Ok(Lasts::For(self.span()?)) } else { Ok(Lasts::UntilEnded) }
    }

    fn span_or(&mut self, also: &str) -> Result<Duration, ScriptError> {
        let start = self.at;
        let number = self.leading(|c| c.is_ascii_digit());
        let Ok(count) = number.parse::<u64>() else {
            let or = if also.is_empty() { "" } else { " or " };
            return Err(self.error(&format!("{also}{or}a span such as `10 s`")));
        };
        self.at += number.len();
        let unit = self.leading(|c| c.is_ascii_alphabetic());
        let Some((_, unit_ms)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(self.error("ms, s, min, h"));
        };
        self.at += unit.len();
        let ms = count.checked_mul(*unit_ms).filter(|ms| *ms <= MAX_SPAN_H * 3_600_000);
        let Some(ms) = ms else {
            self.at = start;
            return Err(self.error(&format!("a span up to {MAX_SPAN_H} h")));
        };
        Ok(Duration::from_millis(ms))
    }

    fn number<T>(&mut self, range: RangeInclusive<T>, what: &str) -> Result<T, ScriptError>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let word = self.word();
        match word.parse::<T>() {
            Ok(number) if range.contains(&number) => {
                self.at += word.len();
                Ok(number)
            }
            Ok(_) | Err(_) => {
                let (from, to) = range.into_inner();
                Err(self.error(&format!("{what}, a number from {from} to {to}")))
            }
        }
    }

    fn place(&mut self) -> Result<Place, ScriptError> {
        let word = self.word();
        let place = match word.split_once('/') {
            None if word == "*" => Some(Place::Everywhere),
            None => is_hub_name(word).then(|| Place::Hub(word.to_owned())),
            Some((hub, number)) => number
                .parse()
                .ok()
                .filter(|number| *number < MAX_PARTITIONS && is_hub_name(hub))
                .map(|number| Place::Partition(hub.to_owned(), number)),
        };
        match place {
            Some(place) => {
                self.at += word.len();
                Ok(place)
            }
            None => Err(self.error("`*`, a hub, HUB/PARTITION")),
        }
    }

    fn hub(&mut self) -> Result<String, ScriptError> {
        let word = self.word();
        if !is_hub_name(word) {
            return Err(self.error("a hub"));
        }
        self.at += word.len();
        Ok(word.to_owned())
    }

    fn condition(&mut self) -> Result<String, ScriptError> {
        let word = self.word();
        let symbol = word.chars().all(|c| c.is_ascii_graphic()) && word.contains(':');
        if !symbol || word.len() > MAX_CONDITION_BYTES {
            return Err(self.error("an error condition such as amqp:link:stolen"));
        }
        self.at += word.len();
        Ok(word.to_owned())
    }

    fn clock_change(&mut self) -> Result<ClockChange, ScriptError> {
        let word = self.word();
        match word.chars().next() {
            Some('+') => {
                self.at += 1;
                Ok(ClockChange::Forward(self.span()?))
            }
            Some('-') => {
                self.at += 1;
                Ok(ClockChange::Back(self.span()?))
            }
            _ => {
                let Ok(at) = word.parse::<Timestamp>() else {
                    return Err(self.error("+SPAN, -SPAN, a time such as 2026-01-31T12:00:00Z"));
                };
                self.at += word.len();
                Ok(ClockChange::To(at.as_millisecond()))
            }
        }
    }
}
