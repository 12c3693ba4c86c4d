//! Chains: findings of one account that mean more in their order than each alone.
//!
//! A chain looks at [openings](Opening) of incidents. What holds them together is the account and the order in
//! which things began; nobody can follow a key from hand to hand.

use std::borrow::Cow;

use crate::time::{ArrivalTime, EventTime, MINUTE_MS};

/// The rule of an alert of Defender among openings.
pub const DEFENDER: &str = "Defender";

/// The beginning of an incident, or another's alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening<'a> {
    /// When it was told.
    pub opened: ArrivalTime,
    /// Its incident's key.
    pub key: Cow<'a, str>,
    /// Identifier of its rule, or [`DEFENDER`].
    pub rule: &'a str,
    /// When what it is about began.
    pub begun: EventTime,
    /// The deployment it is about; `None` where it is about the account.
    pub deployment: Option<&'a str>,
}

/// A chain.
#[derive(Debug)]
pub struct Chain {
    /// Identifier in the table of detectors.
    pub id: &'static str,
    /// Beginnings of identifiers of rules, link by link.
    links: &'static [&'static [&'static str]],
    /// Whether links come one after the other.
    is_ordered: bool,
    /// Whether links that name a deployment must name the same one.
    of_one_deployment: bool,
}

const USE: &[&str] = &["TW-C", "TW-A"];
const OURS: &[&str] = &["TW-C", "TW-A", "TW-I", "TW-K", "TW-P"];

/// Every chain, in the order of the manual's table.
pub const CHAINS: &[Chain] = &[
    Chain {
        id: "TW-X01",
        links: &[
            &["TW-K01", "TW-K02", "TW-K03"],
            &["TW-I01", "TW-I02", "TW-A02", "TW-A08", "TW-K06"],
            &["TW-C01"],
        ],
        is_ordered: true,
        of_one_deployment: false,
    },
    Chain {
        id: "TW-X02",
        links: &[&["TW-P01", "TW-P02", "TW-P03"], &["TW-C01", "TW-C10"]],
        is_ordered: true,
        of_one_deployment: true,
    },
    Chain {
        id: "TW-X03",
        links: &[&["TW-P04", "TW-P08", "TW-P10", "TW-P11"], USE],
        is_ordered: true,
        of_one_deployment: false,
    },
    Chain { id: "TW-X04", links: &[OURS, &[DEFENDER]], is_ordered: false, of_one_deployment: true },
];

/// Windows begin up to so much before what they are about: links so near each other have no order.
const SLACK_MS: i64 = 15 * MINUTE_MS;

/// True when an incident of this rule is a chain.
#[must_use]
pub fn is_chain(rule: &str) -> bool {
    CHAINS.iter().any(|chain| chain.id == rule)
}

impl Chain {
    /// The openings that are part of it, if the last one told is among them and they complete it: the order
    /// of links is that in which things began, not that in which they were noticed.
    ///
    /// `reach_ms` is how long the whole may take.
    #[must_use]
    pub fn members<'o, 'a>(
        &self,
        told: &'o [Opening<'a>],
        reach_ms: i64,
    ) -> Option<Vec<&'o Opening<'a>>> {
        let last = told.last()?;
        let end = self.links.last()?;
        let mut ends: Vec<&Opening<'_>> =
            told.iter().filter(|opening| is_of(opening, end)).collect();
        ends.sort_by_key(|opening| opening.begun);
        ends.into_iter().find_map(|end| {
            let members = self.behind(end, told, reach_ms)?;
            members.iter().any(|member| std::ptr::eq(*member, last)).then_some(members)
        })
    }

    /// What leads to `end`, which is of the last link, and `end` itself; `None` where a link is missing.
    fn behind<'o, 'a>(
        &self,
        end: &Opening<'_>,
        told: &'o [Opening<'a>],
        reach_ms: i64,
    ) -> Option<Vec<&'o Opening<'a>>> {
        let later_ms = if self.is_ordered { SLACK_MS } else { reach_ms };
        let span = end.begun.0.saturating_sub(reach_ms)..=end.begun.0.saturating_add(later_ms);
        let near = told.iter().filter(|opening| {
            span.contains(&opening.begun.0) && (!self.of_one_deployment || agree(opening, end))
        });
        let near: Vec<&Opening<'_>> = near.collect();
        let mut next = EventTime(*span.end());
        for link in self.links.iter().rev().skip(1) {
            // The latest of each link leaves the most room for the one before.
            let all = near.iter().filter(|opening| is_of(opening, link) && opening.begun <= next);
            let latest = all.map(|opening| opening.begun).max()?;
            if self.is_ordered {
                next = EventTime(latest.0.saturating_add(SLACK_MS));
            }
        }
        let is_part = |opening: &&Opening<'_>| self.links.iter().any(|link| is_of(opening, link));
        Some(near.into_iter().filter(is_part).collect())
    }
}

fn is_of(opening: &Opening<'_>, link: &[&str]) -> bool {
    !is_chain(opening.rule) && link.iter().any(|rule| opening.rule.starts_with(rule))
}

fn agree(one: &Opening<'_>, other: &Opening<'_>) -> bool {
    one.deployment.zip(other.deployment).is_none_or(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HOUR_MS;

    /// Rules with the minute in which they began, in the order in which they were told.
    fn openings(told: &[(&'static str, i64, Option<&'static str>)]) -> Vec<Opening<'static>> {
        let told = told.iter().zip(0_i64..).map(|((rule, minute, deployment), place)| Opening {
            opened: ArrivalTime(place),
            key: Cow::Owned(format!("{rule}|{place}")),
            rule,
            begun: EventTime(minute * MINUTE_MS),
            deployment: *deployment,
        });
        told.collect()
    }

    /// Rules of the members of the first chain that the last opening completes within a day.
    fn complete(
        told: &[(&'static str, i64, Option<&'static str>)],
    ) -> Option<(&'static str, String)> {
        let told = openings(told);
        CHAINS.iter().find_map(|chain| {
            let members = chain.members(&told, 24 * HOUR_MS)?;
            let rules: Vec<&str> = members.iter().map(|member| member.rule).collect();
            Some((chain.id, rules.join(" ")))
        })
    }

    #[track_caller]
    fn check(told: &[(&'static str, i64, Option<&'static str>)], expected: Option<(&str, &str)>) {
        let found = complete(told);
        assert_eq!(found.as_ref().map(|(id, rules)| (*id, rules.as_str())), expected);
    }

    #[test]
    fn a_theft_is_a_listing_then_a_caller_then_volume() {
        let whole =
            [("TW-K01", 0, None), ("TW-I02", 60, Some("chat")), ("TW-C01", 65, Some("chat"))];
        check(&whole, Some(("TW-X01", "TW-K01 TW-I02 TW-C01")));
        // Not complete, not in this order, too long ago.
        check(&whole[..2], None);
        check(&whole[1..], None);
        check(&[whole[1], whole[0], ("TW-C01", 30, None)], None);
        check(&[("TW-K01", 120, None), whole[1], whole[2]], None);
        check(&[("TW-K01", -24 * 60, None), whole[1], whole[2]], None);
        // Windows of a quarter of an hour do not tell which was first.
        check(
            &[("TW-K01", 70, None), whole[1], whole[2]],
            Some(("TW-X01", "TW-K01 TW-I02 TW-C01")),
        );
        // All that belongs to it is named.
        let more = [("TW-K03", -5, None), ("TW-P09", 1, None), whole[0], whole[1], whole[2]];
        check(&more, Some(("TW-X01", "TW-K03 TW-K01 TW-I02 TW-C01")));
    }

    #[test]
    fn what_was_deployed_burns_on_that_deployment() {
        let raised = ("TW-P03", 0, Some("chat"));
        check(&[raised, ("TW-C10", 90, Some("chat"))], Some(("TW-X02", "TW-P03 TW-C10")));
        check(&[raised, ("TW-C10", 90, Some("other"))], None);
        check(&[raised, ("TW-C03", 90, Some("chat"))], None);
    }

    #[test]
    fn a_guard_that_went_makes_any_use_suspect() {
        for guard in ["TW-P04", "TW-P08", "TW-P10", "TW-P11"] {
            check(
                &[(guard, 0, None), ("TW-A04", 300, None)],
                Some(("TW-X03", &format!("{guard} TW-A04"))),
            );
        }
        check(&[("TW-P05", 0, None), ("TW-A04", 300, None)], None);
        check(&[("TW-P04", 0, None), ("TW-I02", 300, None)], None);
    }

    #[test]
    fn defender_agrees_before_or_after() {
        let (ours, theirs) = (("TW-C01", 0, Some("chat")), (DEFENDER, 40, None));
        check(&[ours, theirs], Some(("TW-X04", "TW-C01 Defender")));
        check(&[theirs, ours], Some(("TW-X04", "Defender TW-C01")));
        check(&[theirs, ("TW-C01", 50, Some("chat"))], Some(("TW-X04", "Defender TW-C01")));
        check(&[(DEFENDER, 40, Some("other")), ours], None);
        check(&[ours, (DEFENDER, 40, Some("other"))], None);
        check(&[theirs, (DEFENDER, 41, None)], None);
        check(&[("TW-X01", 0, None), theirs], None);
    }
}
