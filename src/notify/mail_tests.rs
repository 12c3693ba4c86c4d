//! What a mail says, in every state of an incident.

use mail_parser::MimeHeaders as _;

use super::sample::{announcement, silence};
use super::tests::{mail, parse, subject};
use crate::incident::{Announcement, Incident, Kind};

/// The first line of the text part, which is also what the HTML part begins with.
#[track_caller]
fn sentence(announcement: &Announcement) -> String {
    let bytes = mail(announcement);
    let message = parse(&bytes);
    let (plain, html) = (message.body_text(0).unwrap(), message.body_html(0).unwrap());
    let (first, _) =
        plain.split_once("\r\n\r\n").unwrap_or_else(|| plain.split_once("\n\n").unwrap());
    let first = first.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, body) = html.split_once("<body").unwrap();
    let (_, shown) = body.split_once("font-weight:700;overflow-wrap:anywhere;\">").unwrap();
    assert_eq!(shown.split_once("</div>").unwrap().0, first);
    first
}

#[test]
fn the_first_line_says_what_happens() {
    let fact = "chat-prod uses 14× the tokens expected at this time, mostly from 198.51.100.0/24 \
                with an API key, a network it had not seen before.";
    let check = |kind, lead: &str| {
        assert_eq!(sentence(&announcement(kind)), format!("{lead}{fact}"));
    };
    check(Kind::Open, "");
    check(Kind::Escalate, "It got worse, now critical: ");
    check(Kind::Reopen, "It is back: ");
    check(Kind::Acknowledge, "oncall-2 has taken it: ");
    check(Kind::Repeat, "It has gone on for 4 h and nobody has taken it: ");
    let whole = |announcement: &Announcement, sentence_is: &str| {
        assert_eq!(sentence(announcement), sentence_is);
    };
    let resolved = announcement(Kind::Resolve);
    whole(&resolved, "Over after 2 h 10 min: chat-prod is back to normal.");
    whole(&announcement(Kind::Test), "This is a test of the channel: nothing is wrong.");
    whole(&silence(), "chat-prod has had no call for 35 min, where about 49 were expected.");
    assert_eq!(subject(&silence()), "[medium] aif-contoso-prod/chat-prod: no call for 35 min");

    let mut by_hand = resolved;
    by_hand.incident.history.last_mut().unwrap().what = "resolved by hand".to_owned();
    whole(&by_hand, "Over after 2 h 10 min: oncall-2 says so of chat-prod.");
    let mut dearer = announcement(Kind::Escalate);
    dearer.incident.history.last_mut().unwrap().what = "cost grew to 214 USD".to_owned();
    whole(&dearer, &format!("It has cost $214 by now: {fact}"));
    assert!(subject(&dearer).starts_with("[still critical] "), "{}", subject(&dearer));
    let mut other = announcement(Kind::Open);
    other.incident.rule = "TW-X".to_owned();
    other.incident.deployment = None;
    other.incident.unit = "records".to_owned();
    other.incident.evidence = vec!["The hub lost 12 records.".to_owned()];
    whole(&other, "aif-contoso-prod: The hub lost 12 records.");
}

#[test]
fn what_is_not_known_is_said_and_not_made_up() {
    let mut bare = announcement(Kind::Open);
    let incident = &mut bare.incident;
    (incident.chart, incident.first_call, incident.first_arrival) = (None, None, None);
    incident.callers_before.clear();
    incident.delay_azure_s = None;
    let bytes = mail(&bare);
    let message = parse(&bytes);
    assert_eq!(message.attachment_count(), 0);
    for part in [message.body_text(0).unwrap(), message.body_html(0).unwrap()] {
        for absent in ["3 h before", "Delay", "cid:", "anomalous since"] {
            assert!(!part.contains(absent), "{absent} in {part}");
        }
        assert!(part.contains("the first anomalous five minutes began"), "{part}");
    }
    bare.incident.first_call = Some(bare.incident.first_window);
    let bytes = mail(&bare);
    let text = parse(&bytes).body_text(0).unwrap().into_owned();
    assert!(text.contains("first call 03:05:00, alert 03:10:41 (5 min 41 s later)"), "{text}");
    assert!(text.contains("When the hub took the record of the first call is no longer known"));
}

#[test]
fn the_chart_travels_inside_the_mail() {
    let bytes = mail(&announcement(Kind::Open));
    assert!(bytes.len() < 60_000, "{}", bytes.len());
    let message = parse(&bytes);
    let picture = message.attachment(0).unwrap();
    let cid = picture.content_id().unwrap();
    let html = message.body_html(0).unwrap();
    assert!(html.contains(&format!("src=\"cid:{cid}\"")), "{cid}");
    assert!(picture.contents().starts_with(b"\x89PNG") && picture.contents().len() < 8_000);
    let alt = "Chart of tokens in 5 min, 23:10 to 03:10 UTC. Anomalous since 03:05: 4.81M where 341k \
               was expected and up to 611k is normal.";
    assert!(html.contains(&format!("alt=\"{alt}\"")), "{html}");
}

#[test]
fn what_the_service_says_of_itself_is_said_without_numbers_that_say_nothing() {
    let mut told = announcement(Kind::Open);
    let fact = format!("list exits: {} The last good copy is used meanwhile.", "x ".repeat(150));
    told.incident = Incident {
        key: "TW-S07|exits|1|x".to_owned(),
        rule: "TW-S07".to_owned(),
        rule_name: "List cannot be read or is too old".to_owned(),
        account: "exits".to_owned(),
        observed: 1.0,
        unit: "list unread".to_owned(),
        evidence: vec![fact],
        ..Incident::default()
    };
    let said = crate::notify::as_text(&told.incident);
    assert!(said.starts_with("List cannot be read or is too old: exits.\n"), "{said}");
    assert!(said.replace('\n', " ").contains("copy is used meanwhile."), "{said}");
    for noise in ["Expected and seen", "cost", "feedback", "anomalous"] {
        assert!(!said.contains(noise), "{noise} in {said}");
    }
}

#[test]
fn a_budget_says_what_was_spent_of_it() {
    let mut told = announcement(Kind::Open);
    told.incident = Incident {
        key: "TW-C05|prod/2026-10|1|x".to_owned(),
        rule: "TW-C05".to_owned(),
        rule_name: "Budget burn rate".to_owned(),
        account: "prod".to_owned(),
        severity: crate::incident::Severity::High,
        cost: Some(crate::money::NanoUsd::from_usd(539.87)),
        evidence: vec![
            "budget prod has spent $676.38 of $300.00 (225 %) in 2026-10, 46 % of which is over"
                .to_owned(),
        ],
        ..Incident::default()
    };
    let spent = "spent $676.38 of $300.00 (225 %) in 2026-10";
    assert_eq!(subject(&told), format!("[high] prod: {spent}"));
    let said = crate::notify::as_text(&told.incident);
    assert!(said.starts_with(&format!("budget prod has {spent}.\n")), "{said}");
    for noise in ["539", "feedback", "Expected and seen"] {
        assert!(!said.contains(noise), "{noise} in {said}");
    }
}
