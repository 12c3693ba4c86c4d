//! When reports are made, in which zone and currency, and who gets which.

use std::collections::BTreeMap;

use super::amount::Currency;
use super::block::slices::Networks;
use super::period::Week;
use crate::days::{DaysError, Weekday, Zone};
use crate::known::owner::Owners;
use crate::notify::Destination;
use crate::price::contract::Contract;
use crate::time::{EventTime, HOUR_MS};

/// Settings of reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSettings {
    /// Zone whose weeks these are.
    pub zone: Zone,
    /// First day of a week.
    pub first: Weekday,
    /// When a report leaves on that day, in minutes since midnight of the local clock.
    pub send_at_min: i16,
    /// It never leaves sooner than this after the week's end: late records.
    pub settle_ms: i64,
    /// Destinations of the whole; empty for every one that takes mails.
    pub destinations: Vec<String>,
    /// Destinations of a team, by the name of the owner; a team that is not named here is written to
    /// where its `mail` says.
    pub teams: BTreeMap<String, Vec<String>>,
    /// Currency of what is shown.
    pub currency: String,
    /// Who sees callers' networks.
    pub networks: NetworksFor,
    /// Address to unsubscribe at by one click (RFC 8058).
    pub unsubscribe: Option<String>,
}

/// Who sees callers' networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworksFor {
    /// Everybody.
    All,
    /// Readers of the whole alone.
    Whole,
    /// Nobody.
    Nobody,
}

impl Default for ReportSettings {
    fn default() -> Self {
        Self {
            zone: Zone::utc(),
            first: Weekday::Monday,
            send_at_min: 7 * 60,
            settle_ms: 6 * HOUR_MS,
            destinations: Vec::new(),
            teams: BTreeMap::new(),
            currency: "USD".to_owned(),
            networks: NetworksFor::Whole,
            unsubscribe: None,
        }
    }
}

impl ReportSettings {
    /// When the report of a week is to leave.
    ///
    /// # Errors
    /// A date beyond the calendar.
    pub fn due(&self, week: &Week) -> Result<EventTime, DaysError> {
        let (hour, minute) = (self.send_at_min / 60, self.send_at_min % 60);
        let local = format!("{}T{hour:02}:{minute:02}", week.ends);
        let by_clock = self.zone.moment(&local).ok_or(DaysError::OutOfRange)?;
        let settled = week.until_minute().start().0.saturating_add(self.settle_ms);
        Ok(EventTime(by_clock.0.max(settled)))
    }

    /// Whether a report of this scope (empty for the whole) shows callers' networks.
    #[must_use]
    pub fn networks_of(&self, scope: &str) -> Networks {
        match self.networks {
            NetworksFor::All => Networks::Shown,
            NetworksFor::Whole if scope.is_empty() => Networks::Shown,
            NetworksFor::Whole | NetworksFor::Nobody => Networks::Hidden,
        }
    }

    /// The currency at the end of a week; USD where nobody says what the other was worth then.
    #[must_use]
    pub fn currency_at(&self, contract: &Contract, week: &Week) -> Currency {
        let at = EventTime(week.until_minute().start().0 - 1);
        let rate = contract.rate(&self.currency, at);
        rate.map_or_else(Currency::default, |rate| Currency { code: self.currency.clone(), rate })
    }

    /// Who gets what: every scope (empty for the whole) with its destinations, in order. Teams that
    /// nobody can be written to have none.
    #[must_use]
    pub fn scopes<'a>(
        &self,
        owners: &Owners,
        destinations: &'a [Destination],
    ) -> Vec<(String, Vec<&'a Destination>)> {
        let mails = || destinations.iter().filter(|destination| takes_mail(destination));
        let named = |names: &[String]| mails().filter(|mail| names.contains(&mail.name)).collect();
        let whole: Vec<&Destination> = if self.destinations.is_empty() {
            let teams: Vec<&str> = self.teams.values().flatten().map(String::as_str).collect();
            mails().filter(|mail| !teams.contains(&mail.name.as_str())).collect()
        } else {
            named(&self.destinations)
        };
        let mut scopes = vec![(String::new(), whole)];
        for owner in &owners.0 {
            let found: Vec<&Destination> = match (self.teams.get(&owner.name), &owner.mail) {
                (Some(names), _) => named(names),
                (None, Some(mail)) => mails().filter(|known| is_of(known, mail)).take(1).collect(),
                (None, None) => Vec::new(),
            };
            scopes.push((owner.name.clone(), found));
        }
        scopes
    }
}

/// True for destinations that keep a report as the mail it is.
#[must_use]
pub fn takes_mail(destination: &Destination) -> bool {
    destination.mailboxes().is_some()
}

/// True when a destination has this name, or writes to this address alone.
fn is_of(destination: &Destination, mail: &str) -> bool {
    let alone = destination.mailboxes().is_some_and(|to| match to {
        [only] => address(only).eq_ignore_ascii_case(address(mail)),
        _ => false,
    });
    destination.name == mail || alone
}

/// `a@b` of `Name <a@b>`.
fn address(mailbox: &str) -> &str {
    let inner = mailbox.rsplit_once('<').map_or(mailbox, |(_, inner)| inner);
    inner.trim_end_matches('>').trim()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::incident::Severity;
    use crate::known::owner::Owner;
    use crate::notify::EmlSettings;

    fn mail(name: &str, to: &[&str]) -> Destination {
        let settings = EmlSettings {
            folder: "mails".into(),
            from: "tokenwatch@example.com".to_owned(),
            to: to.iter().map(|to| (*to).to_owned()).collect(),
        };
        Destination::new(name, Severity::Low, settings)
    }

    fn owner(name: &str, mail: Option<&str>) -> Owner {
        Owner { name: name.to_owned(), mail: mail.map(str::to_owned), ..Owner::default() }
    }

    #[test]
    fn every_team_gets_its_part_and_the_head_of_finance_the_whole() {
        let all = [
            mail("finance", &["cfo@example.com"]),
            mail("payments", &["Payments <pay@example.com>"]),
            mail("both", &["pay@example.com", "cfo@example.com"]),
        ];
        let owners = Owners(vec![
            owner("pay", Some("PAY@example.com")),
            owner("named", Some("both")),
            owner("listed", None),
            owner("nobody", None),
            owner("stranger", Some("x@example.com")),
        ]);
        let settings = ReportSettings {
            destinations: vec!["finance".to_owned()],
            teams: BTreeMap::from([("listed".to_owned(), vec!["payments".to_owned()])]),
            ..ReportSettings::default()
        };
        let scopes = settings.scopes(&owners, &all);
        let found: Vec<(&str, Vec<&str>)> = scopes
            .iter()
            .map(|(scope, to)| (scope.as_str(), to.iter().map(|to| to.name.as_str()).collect()))
            .collect();
        let expected = [
            ("", vec!["finance"]),
            ("pay", vec!["payments"]),
            ("named", vec!["both"]),
            ("listed", vec!["payments"]),
            ("nobody", vec![]),
            ("stranger", vec![]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_report_leaves_on_monday_morning_and_never_before_it_has_settled() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let week = |day| Week::holding(&zone, Weekday::Monday, day).unwrap();
        let mut settings = ReportSettings { zone: zone.clone(), ..ReportSettings::default() };
        let due = |settings: &ReportSettings, day| zone.local(settings.due(&week(day)).unwrap());
        assert_eq!(due(&settings, date(2026, 11, 18)), "2026-11-23T07:00:00+01:00");
        // The clock went forward on Sunday.
        assert_eq!(due(&settings, date(2026, 3, 25)), "2026-03-30T07:00:00+02:00");
        settings.settle_ms = 9 * HOUR_MS;
        assert_eq!(due(&settings, date(2026, 11, 18)), "2026-11-23T09:00:00+01:00");
    }

    #[test]
    fn networks_are_for_those_who_may_see_them() {
        let check = |networks, scope: &str, expected| {
            let settings = ReportSettings { networks, ..ReportSettings::default() };
            assert_eq!(settings.networks_of(scope), expected);
        };
        check(NetworksFor::All, "team", Networks::Shown);
        check(NetworksFor::Whole, "team", Networks::Hidden);
        check(NetworksFor::Whole, "", Networks::Shown);
        check(NetworksFor::Nobody, "", Networks::Hidden);
    }
}
