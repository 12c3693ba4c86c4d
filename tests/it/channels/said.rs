//! Announcements of every kind and size.

use tokenwatch::incident::digest::Gathering;
use tokenwatch::incident::{
    Announcement, CallerShare, Digest, Incident, Kind, Response, Severity, State,
};
use tokenwatch::money::NanoUsd;
use tokenwatch::time::{ArrivalTime, EventTime};

/// 2026-11-24T03:05:00Z.
pub(crate) const BEGAN_MS: i64 = 1_795_489_500_000;

/// A stolen key at work.
pub(crate) fn announcement(kind: Kind) -> Announcement {
    let over = kind == Kind::Resolve;
    let share = CallerShare {
        network: "198.51.100.0/24".to_owned(),
        identity: "key".to_owned(),
        tokens: 4_100_000,
        cost: Some(NanoUsd(190_000_000_000)),
        new: true,
        about: tokenwatch::known::About::default(),
        name: None,
    };
    let incident = Incident {
        key: "TW-C01|aif-contoso-prod/chat-prod|3|9f2c61d0a4".to_owned(),
        rule: "TW-C01".to_owned(),
        rule_name: "Token volume spike".to_owned(),
        account: "aif-contoso-prod".to_owned(),
        deployment: Some("chat-prod".to_owned()),
        model: Some("gpt-5.1".to_owned()),
        severity: if kind == Kind::Escalate { Severity::Critical } else { Severity::High },
        state: if over { State::Resolved } else { State::Open },
        first_window: EventTime(BEGAN_MS),
        last_window: EventTime(BEGAN_MS + 1_200_000),
        opened_at: ArrivalTime(BEGAN_MS + 341_000),
        resolved_at: over.then_some(ArrivalTime(BEGAN_MS + 10_000_000)),
        observed: 4_812_330.0,
        expected: 341_200.0,
        bound: 612_000.0,
        unit: "tokens in 5 min".to_owned(),
        cost: Some(NanoUsd(214_370_000_000)),
        cost_per_day: Some(NanoUsd(2_100_000_000_000)),
        callers: vec![share],
        evidence: vec!["One new network makes 98 % of the tokens.".to_owned()],
        response: vec![Response {
            what: "Replace key 1.".to_owned(),
            command: "az cognitiveservices account keys regenerate --key-name key1".to_owned(),
        }],
        confidence: 0.94,
        ..Incident::default()
    };
    Announcement { kind, step: 0, at: ArrivalTime(BEGAN_MS + 10_000_000), written: None, incident }
}

/// What would break a protocol, a page or a limit.
pub(crate) fn hostile_texts() -> Vec<String> {
    let short = [
        "<script>alert(1)</script> & <!channel> <@U123> <https://evil.example|click>",
        "x\r\nBcc: victim@contoso.example\r\n\r\n.\r\nQUIT\r\n",
        "[click](https://evil.example) **bold** `code` ```fence``` {{ x }} ${x}",
        "nul\u{0} esc\u{1b}[2J \u{202e}backwards\u{2066} zero\u{200b}width",
        "\"},{\"routing_key\":\"x\",\"type\":\"Action.OpenUrl\"",
        "漢字 العربية ünïcödé \u{1F480}",
        "",
        " ",
    ];
    let long = ["<", "&", "\"", "\\", "漢", "\u{1F480}", "\u{1}", "a b ", "\n"];
    let short = short.into_iter().map(str::to_owned);
    short.chain(long.into_iter().map(|text| text.repeat(1_500 / text.len()))).collect()
}

/// `text` wherever an attacker may have written, as often as anything can be.
pub(crate) fn huge(kind: Kind, text: &str) -> Announcement {
    let mut told = announcement(kind);
    let own = || text.to_owned();
    let incident = &mut told.incident;
    // Keys are made of names of Azure resources, which end somewhere.
    incident.key = text.chars().take(300).collect();
    incident.rule = own();
    incident.rule_name = own();
    incident.account = own();
    incident.deployment = Some(own());
    incident.resource_id = Some(own());
    incident.model = Some(own());
    incident.unit = own();
    let caller = incident.callers.first().unwrap();
    let caller = CallerShare {
        network: own(),
        identity: own(),
        name: Some(own()),
        tokens: i64::MIN,
        cost: None,
        ..caller.clone()
    };
    incident.callers = vec![caller; 15];
    incident.evidence = vec![own(); 30];
    incident.response = vec![Response { what: own(), command: own() }; 15];
    (incident.observed, incident.expected) = (f64::NAN, f64::INFINITY);
    (incident.cost, incident.cost_per_day) = (Some(NanoUsd(i64::MIN)), Some(NanoUsd(i64::MAX)));
    told
}

/// Several incidents in one message.
pub(crate) fn digest(announcements: Vec<Announcement>, label: &str) -> Digest {
    let group: String = label.chars().take(300).collect();
    Digest {
        key: format!("{group}|1"),
        group,
        gathering: Gathering::Storm,
        at: ArrivalTime(BEGAN_MS + 10_000_000),
        labels: [("account".to_owned(), label.to_owned())].into(),
        announcements,
    }
}
