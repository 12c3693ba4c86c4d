//! `[report]`: when the weekly report leaves, in which zone and currency, and who gets it.

use std::collections::BTreeMap;

use super::section::{Section, Walk};
use crate::days::{Weekday, Zone};
use crate::notify::Destination;
use crate::price::contract::Contract;
use crate::report::settings::{NetworksFor, ReportSettings, takes_mail};

pub(super) const REPORT: &[&str] = &[
    "timezone",
    "week_start",
    "send_at",
    "settle",
    "destinations",
    "teams",
    "currency",
    "networks",
    "unsubscribe",
];

const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];
const NETWORKS: [(&str, NetworksFor); 3] =
    [("all", NetworksFor::All), ("whole", NetworksFor::Whole), ("nobody", NetworksFor::Nobody)];

/// Reads `[report]`; without it nothing leaves by itself.
pub(super) fn report(section: Option<&Section<'_>>, walk: &mut Walk<'_>) -> Option<ReportSettings> {
    let section = section?;
    let mut settings = ReportSettings::default();
    if let Some(name) = section.text("timezone", walk) {
        match Zone::named(&name) {
            Ok(zone) => settings.zone = zone,
            Err(error) => {
                let mend = "write a name of the IANA database, such as \"Europe/Berlin\"";
                walk.findings.report(section.value_at("timezone"), error.to_string(), mend);
            }
        }
    }
    if let Some(day) = section.choice("week_start", &DAYS, walk) {
        settings.first = day;
    }
    if let Some(text) = section.text("send_at", walk) {
        match minute_of(&text) {
            Some(minute) => settings.send_at_min = minute,
            None => {
                let message = format!("`send_at`: {text:?} is no time of day");
                walk.findings.report(section.value_at("send_at"), message, "write \"07:00\"");
            }
        }
    }
    if let Some(settle_ms) = section.duration("settle", ("0m", "3d"), walk) {
        settings.settle_ms = settle_ms;
    }
    settings.destinations = section.texts("destinations", walk).unwrap_or_default();
    settings.teams = teams(section, walk);
    if let Some(networks) = section.choice("networks", &NETWORKS, walk) {
        settings.networks = networks;
    }
    if let Some(code) = section.text("currency", walk) {
        settings.currency = code;
    }
    settings.unsubscribe = section.text("unsubscribe", walk);
    if settings.unsubscribe.as_ref().is_some_and(|address| !is_address(address)) {
        let message = "`unsubscribe` is no https address";
        walk.findings.report(
            section.value_at("unsubscribe"),
            message,
            "write https://host/path: mail programs send a POST there (RFC 8058)",
        );
    }
    Some(settings)
}

/// Names that stand elsewhere in the file: destinations and rates of exchange.
pub(super) fn resolve(
    settings: &ReportSettings,
    section: &Section<'_>,
    (destinations, contract): (&[Destination], &Contract),
    walk: &mut Walk<'_>,
) {
    let mut check = |name: &String, key: &str| {
        let found = destinations.iter().find(|destination| destination.name == *name);
        let message = match found {
            Some(destination) if takes_mail(destination) => return,
            Some(_) => format!("`{key}`: {name:?} takes no mails"),
            None => format!("`{key}`: no destination is called {name:?}"),
        };
        let mend = "name a [[notify.email]] or [[notify.eml]]";
        walk.findings.report(section.value_at(key), message, mend);
    };
    settings.destinations.iter().for_each(|name| check(name, "destinations"));
    settings.teams.values().flatten().for_each(|name| check(name, "teams"));
    let code = &settings.currency;
    if code != "USD" && !contract.exchanges.iter().any(|exchange| exchange.currency == *code) {
        let mend = format!("add [[price.exchange]] with currency = \"{code}\" and usd = \"…\"");
        let message = format!("nobody says what {} is worth", code.escape_debug());
        walk.findings.report(section.value_at("currency"), message, mend);
    }
}

/// `teams = { payments = ["payments-mail"] }`.
fn teams(section: &Section<'_>, walk: &mut Walk<'_>) -> BTreeMap<String, Vec<String>> {
    const EXAMPLE: &str = "{ payments = [\"payments-mail\"] }";
    let mut teams = BTreeMap::new();
    let Some(value) = section.value("teams") else { return teams };
    let Some(table) = value.get_ref().as_table() else {
        let message = "`teams` is no table of owners";
        walk.findings.report(value.span(), message, format!("write teams = {EXAMPLE}"));
        return teams;
    };
    for (name, list) in table.iter() {
        let names = list.get_ref().as_array().map(|list| {
            list.iter()
                .filter_map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect::<Vec<_>>()
        });
        match names.filter(|names| !names.is_empty()) {
            Some(names) => drop(teams.insert(name.get_ref().to_string(), names)),
            None => {
                let message = "is no list of destinations";
                walk.findings.report(list.span(), message, format!("write teams = {EXAMPLE}"));
            }
        }
    }
    teams
}

/// Minutes since midnight of `07:00`.
fn minute_of(text: &str) -> Option<i16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, most: i16| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i16>().ok().filter(|number| plain && *number < most)
    };
    Some(number(hour, 24)? * 60 + number(minute, 60)?)
}

/// True for an `https` address in one line of visible ASCII.
fn is_address(text: &str) -> bool {
    text.strip_prefix("https://").is_some_and(|rest| {
        !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'>' && byte != b'<')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{parse, placeholder};

    const REST: &str = "[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n\
        [[notify.eml]]\nname = \"finance\"\nfolder = \"f\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\n";

    #[test]
    fn without_the_table_nothing_leaves_by_itself() {
        let config = parse(REST, "t.toml", &placeholder).unwrap();
        assert_eq!(config.report, None);
        let config = parse(&format!("{REST}[report]\n"), "t.toml", &placeholder).unwrap();
        assert_eq!(config.report, Some(ReportSettings::default()));
        let all = "[report]\ntimezone = \"europe/berlin\"\nweek_start = \"sunday\"\nsend_at = \"06:30\"\n\
            settle = \"4h\"\ndestinations = [\"finance\"]\nteams = { pay = [\"finance\"] }\n\
            currency = \"EUR\"\nnetworks = \"nobody\"\nunsubscribe = \"https://x.example/u\"\n\
            [[price.exchange]]\ncurrency = \"EUR\"\nusd = \"1.08\"\nsource = \"a test\"\n";
        let report =
            parse(&format!("{REST}{all}"), "t.toml", &placeholder).unwrap().report.unwrap();
        assert_eq!((report.zone.name(), report.first), ("Europe/Berlin", Weekday::Sunday));
        assert_eq!((report.send_at_min, report.settle_ms), (390, 4 * crate::time::HOUR_MS));
        assert_eq!(report.teams.get("pay").map(Vec::len), Some(1));
        assert_eq!((report.currency.as_str(), report.networks), ("EUR", NetworksFor::Nobody));
    }

    #[test]
    fn everything_wrong_is_told_where_it_stands() {
        let wrong = "[report]\ntimezone = \"Mars/Olympus\"\nweek_start = \"someday\"\nsend_at = \"7\"\n\
            settle = \"9d\"\ndestinations = [\"nobody\"]\nteams = { a = [] }\ncurrency = \"EUR\"\n\
            networks = \"some\"\nunsubscribe = \"http://x\"\ncolour = \"red\"\n";
        let problems = parse(&format!("{wrong}{REST}"), "t.toml", &placeholder).unwrap_err();
        let lines: Vec<usize> = problems.0.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "{problems}");
    }

    #[test]
    fn a_time_of_day_has_two_digits_each() {
        assert_eq!(minute_of("07:00"), Some(420));
        assert_eq!(minute_of("23:59"), Some(1439));
        for wrong in ["7:00", "24:00", "07:60", "0700", "-1:00", "07:0x", "+7:00"] {
            assert_eq!(minute_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_click_needs_https() {
        assert!(is_address("https://contoso.example/off?u=1"));
        for wrong in ["http://contoso.example", "https://", "https://a b", "https://a>", "mailto:x"]
        {
            assert!(!is_address(wrong), "{wrong}");
        }
    }
}
