//! Announcements and destinations the tests of this folder share.

use crate::incident::{
    Announcement, CallerShare, Chart, Entry, Feedback, Incident, Kind, Response, Severity, State,
};
use crate::known::{About, Class, Extent, Kind as Whose, Listed, Named};
use crate::money::NanoUsd;
use crate::time::{ArrivalTime, EventTime, HOUR_MS, MINUTE_MS};

use super::{Body, Destination, EmailSettings, EmlSettings, HttpSettings, Tls, WebhookSettings};

/// 2026-11-24T03:05:00Z.
const BEGAN_MS: i64 = 1_795_489_500_000;

/// A stolen key at work, as the detectors would report it.
pub(super) fn announcement(kind: Kind) -> Announcement {
    let mut incident = incident();
    let mut lived = |minutes: i64, author: &str, what: &str| {
        let at = ArrivalTime(BEGAN_MS + minutes * MINUTE_MS + 12_000);
        let entry = Entry { at, author: author.to_owned(), what: what.to_owned() };
        incident.history.push(entry);
        at
    };
    let mut at = incident.opened_at;
    match kind {
        Kind::Open | Kind::Test => {}
        Kind::Escalate => at = lived(26, "", "severity rose to critical"),
        Kind::Acknowledge => at = lived(31, "oncall-2", "acknowledged: looking at it"),
        Kind::Repeat => at = ArrivalTime(BEGAN_MS + 4 * HOUR_MS),
        Kind::Resolve | Kind::Reopen => {
            at = lived(31, "oncall-2", "acknowledged: looking at it");
        }
    }
    if kind == Kind::Reopen {
        at = lived(170, "", "back");
    }
    if kind == Kind::Repeat {
        incident.last_window = EventTime(at.0);
        incident.chart = Some(days());
    }
    if kind == Kind::Resolve {
        incident.chart = Some(ended());
        incident.state = State::Resolved;
        incident.last_window = EventTime(BEGAN_MS + 2 * HOUR_MS + 10 * MINUTE_MS);
        incident.resolved_at = Some(ArrivalTime(BEGAN_MS + 3 * HOUR_MS + 41_250));
    }
    if kind == Kind::Escalate {
        incident.severity = Severity::Critical;
    }
    if kind == Kind::Acknowledge {
        incident.state = State::Acknowledged;
    }
    let at = incident.resolved_at.unwrap_or(at);
    Announcement { kind, step: 0, at, written: None, incident }
}

fn incident() -> Incident {
    Incident {
        key: "TW-C01|aif-contoso-prod/chat-prod|3|9f2c61d0a4".to_owned(),
        rule: "TW-C01".to_owned(),
        rule_name: "Token volume spike".to_owned(),
        account: "aif-contoso-prod".to_owned(),
        deployment: Some("chat-prod".to_owned()),
        resource_id: Some(
            "/subscriptions/5c1f0000-0000-4000-8000-00000000a11c/resourceGroups/rg-ai-prod/\
             providers/Microsoft.CognitiveServices/accounts/aif-contoso-prod"
                .to_owned(),
        ),
        model: Some("gpt-5.1".to_owned()),
        severity: Severity::High,
        state: State::Open,
        first_window: EventTime(BEGAN_MS),
        last_window: EventTime(BEGAN_MS + 20 * MINUTE_MS),
        opened_at: ArrivalTime(BEGAN_MS + 5 * MINUTE_MS + 41_250),
        resolved_at: None,
        observed: 4_812_330.0,
        expected: 341_200.0,
        bound: 612_000.0,
        unit: "tokens in 5 min".to_owned(),
        cost: Some(NanoUsd(214_370_000_000)),
        cost_per_day: Some(NanoUsd(2_114_300_000_000)),
        callers: vec![
            CallerShare { about: rented(), ..caller("198.51.100.0/24", "key", 4_402_118, true) },
            CallerShare {
                about: office(),
                name: Some("Build pipeline".to_owned()),
                ..caller("203.0.113.0/24", "7b0d2c1e-94a1-4b6e-8a53-0c2f7d5e1a90", 398_204, false)
            },
            CallerShare { cost: None, ..caller("", "", 12_008, false) },
        ],
        evidence: [
            "4,812,330 tokens in 5 min where 341,200 were expected (Tuesday 03:05 UTC).",
            "Network 198.51.100.0/24 was never seen on this deployment in 61 days.",
            "It calls with an API key; the regular caller uses a managed identity.",
            "Output share rose from 18 % to 71 %: long completions, no system prompt cache.",
        ]
        .map(str::to_owned)
        .to_vec(),
        response: responses(),
        confidence: 0.94,
        delay_azure_s: Some(41),
        first_call: Some(EventTime(BEGAN_MS + 7_300)),
        first_arrival: Some(ArrivalTime(BEGAN_MS + 49_120)),
        chart: Some(night()),
        callers_before: vec![
            caller("203.0.113.0/24", "7b0d2c1e-94a1-4b6e-8a53-0c2f7d5e1a90", 8_902_340, false),
            caller("203.0.113.0/24", "key", 402_118, false),
        ],
        ..Incident::default()
    }
}

/// Four hours in steps of five minutes; `seen` are the last ones, `marked` how many of them.
fn chart(seen: &[f64], marked: usize) -> Chart {
    let before = (0..48 - seen.len()).map(|n| {
        let noise = [0.0, 31_000.0, -22_000.0, 57_000.0, -48_000.0, 12_000.0, -9_000.0];
        usual(n) + noise.get(n * 5 % noise.len()).copied().unwrap_or_default()
    });
    let from = 48 - seen.len();
    Chart {
        start: EventTime(BEGAN_MS - 4 * HOUR_MS + 5 * MINUTE_MS),
        step_ms: 5 * MINUTE_MS,
        unit: "tokens in 5 min".to_owned(),
        observed: before.chain(seen.iter().copied()).collect(),
        expected: (0..48).map(|n| Some(usual(n))).collect(),
        upper: (0..48).map(|n| Some(usual(n) * 1.79)).collect(),
        from,
        until: from + marked,
    }
}

fn usual(step: usize) -> f64 {
    let falls = [520_000.0, 505_000.0, 470_000.0, 450_000.0, 420_000.0, 390_000.0, 341_200.0];
    falls.get(step / 7).copied().unwrap_or(341_200.0)
}

/// The first anomalous step, still growing.
fn night() -> Chart {
    chart(&[4_812_330.0], 1)
}

/// How it went on, and ended.
fn ended() -> Chart {
    let high = (0..26).map(|n| [4_812_330.0, 3_912_000.0, 5_320_000.0][n % 3]);
    let seen: Vec<f64> = high.chain((0..12).map(|n| usual(n + 36) * 0.97)).collect();
    let start = EventTime(BEGAN_MS - 50 * MINUTE_MS);
    Chart { start, ..chart(&seen, 26) }
}

/// Two days in steps of an hour, the last four anomalous.
fn days() -> Chart {
    let usual = |n: usize| {
        5_000_000.0 + 2_400_000.0 * (f64::from(u32::try_from(n % 24).unwrap()) / 3.8).sin()
    };
    let seen = |n: usize| if n < 44 { usual(n) * 0.96 } else { 51_000_000.0 };
    Chart {
        start: EventTime(BEGAN_MS - 44 * HOUR_MS - 5 * MINUTE_MS),
        step_ms: HOUR_MS,
        unit: "tokens in 1 h".to_owned(),
        observed: (0..48).map(seen).collect(),
        expected: (0..48).map(|n| Some(usual(n))).collect(),
        upper: (0..48).map(|n| Some(usual(n) * 1.6)).collect(),
        from: 44,
        until: 48,
    }
}

/// A deployment that has gone quiet, as the detector of silence would report it.
pub(super) fn silence() -> Announcement {
    let mut announcement = announcement(Kind::Open);
    let incident = &mut announcement.incident;
    let calls: Vec<f64> = (0..48).map(|n| [9.0, 6.0, 7.0, 8.0, 5.0][n % 5]).collect();
    let chart = Chart {
        unit: "calls in 5 min".to_owned(),
        observed: calls.iter().enumerate().map(|(n, c)| if n < 41 { *c } else { 0.0 }).collect(),
        expected: vec![Some(7.0); 48],
        upper: vec![None; 48],
        from: 41,
        ..night()
    };
    incident.rule = "TW-P12".to_owned();
    incident.rule_name = "Log silence".to_owned();
    incident.severity = Severity::Medium;
    incident.unit = "calls in 35 min".to_owned();
    (incident.observed, incident.expected, incident.bound) = (0.0, 49.0, 30.0);
    (incident.cost, incident.cost_per_day) = (None, None);
    (incident.first_call, incident.first_arrival) = (None, None);
    incident.callers.clear();
    incident.callers_before.truncate(1);
    incident.evidence.truncate(0);
    incident.evidence.push("no call for 35 minutes in which about 49 were expected".to_owned());
    incident.response =
        crate::incident::respond::look_for_silence(incident.resource_id.as_deref().unwrap());
    incident.chart = Some(chart);
    announcement
}

/// A rented server, with one Tor exit beside it.
fn rented() -> About {
    let part = Extent::Part { addresses: Some(1) };
    About {
        listed: vec![
            Listed { class: Class::Tor, list: "tor-exits".to_owned(), extent: part },
            Listed { class: Class::Hosting, list: "hosting".to_owned(), extent: Extent::Whole },
        ],
        asn: Some(64_500),
        as_name: Some("Example Hosting".to_owned()),
        country: Some("ZZ".to_owned()),
        ..About::default()
    }
}

fn office() -> About {
    let named = Named { name: "office".to_owned(), kind: Whose::Own, extent: Extent::Whole };
    About { named: vec![named], ..About::default() }
}

fn responses() -> Vec<Response> {
    let step =
        |what: &str, command: &str| Response { what: what.to_owned(), command: command.to_owned() };
    vec![
        step(
            "Replace key 1: whoever holds it is out within a minute; so is every program that uses it.",
            "az cognitiveservices account keys regenerate --name aif-contoso-prod --resource-group rg-ai-prod --key-name Key1",
        ),
        step(
            "Stop this deployment only, by taking its capacity to the least allowed.",
            "az cognitiveservices account deployment create --name aif-contoso-prod --resource-group rg-ai-prod --deployment-name chat-prod --model-name gpt-5.1 --model-format OpenAI --sku-name GlobalStandard --sku-capacity 1",
        ),
        step("Then look for the key in repositories and logs, and ask who had it.", ""),
    ]
}

fn caller(network: &str, identity: &str, tokens: i64, new: bool) -> CallerShare {
    CallerShare {
        network: network.to_owned(),
        identity: identity.to_owned(),
        tokens,
        cost: Some(NanoUsd(tokens * 44_000)),
        new,
        about: About::default(),
        name: None,
    }
}

/// What somebody who wants to deceive or to break the reader would put into names.
pub(super) const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "</title></style></div></table><iframe src=//evil.example>",
    "x\r\nBcc: victim@contoso.example\r\nX-Evil: 1\r\n\r\n<script>hi</script>",
    "x\nSubject: all is well\n\n--tokenwatch",
    "=?utf-8?B?PHNjcmlwdD4=?= =?utf-8?Q?=0D=0ABcc:_a=40b.example?=",
    "\u{202E}gpj.drop-tahc\u{202C} \u{2066}isolate\u{2069} \u{200F}rtl\u{61C}",
    "inv\u{200B}isi\u{2060}ble\u{FEFF} \u{AD}soft\u{E0041}tag",
    "nul\u{0}bell\u{7}esc\u{1b}[2J\u{1b}]0;title\u{7}del\u{7f}c1\u{9b}31m\u{85}",
    "line\u{2028}separator\u{2029}paragraph",
    "Your key expired: https://login.evil.example/?a=b or www.evil.example or evil.co.uk",
    "javascript:alert(1) data:text/html;base64,PHNjcmlwdD4=",
    "{{ facts.foot }} {% include \"x\" %} ${7*7} #{7*7} <%= 7*7 %>",
    "`reboot` $(reboot) ; reboot | reboot && reboot",
    "Z\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}\u{30A}algo",
    "\u{1F480}\u{1F468}\u{200D}\u{1F4BB} ünïcödé 漢字 العربية",
    ".\r\n.\r\nQUIT\r\n",
    "",
];

/// The sample with `text` in every place an attacker can reach, and in the others too.
pub(super) fn hostile(kind: Kind, text: &str) -> Announcement {
    let mut announcement = announcement(kind);
    let own = || text.to_owned();
    let incident = &mut announcement.incident;
    incident.key = own();
    incident.rule = own();
    incident.rule_name = own();
    incident.account = own();
    incident.deployment = Some(own());
    incident.resource_id = Some(own());
    incident.model = Some(own());
    incident.unit = own();
    let named = Named { name: own(), kind: Whose::Own, extent: Extent::Whole };
    let listed = Listed { class: Class::Tor, list: own(), extent: Extent::Whole };
    let about = About {
        named: vec![named; 5],
        listed: vec![listed; 8],
        asn: Some(u32::MAX),
        as_name: Some(own()),
        country: Some(own()),
        private: true,
    };
    let share =
        CallerShare { identity: own(), about, name: Some(own()), ..caller(text, "", -5, true) };
    incident.callers = vec![share; 30];
    incident.evidence = vec![own(); 300];
    incident.response = vec![Response { what: own(), command: own() }; 40];
    let entry = Entry { at: ArrivalTime(i64::MAX), author: own(), what: own() };
    incident.history = vec![entry; 300];
    incident.callers_before = vec![CallerShare { name: None, ..incident.callers[0].clone() }; 40];
    incident.callers_before[0].network = format!("{text}2");
    incident.parent = Some(own());
    incident.feedback = Some(Feedback::NewNormal);
    incident.chart = Some(Chart {
        start: EventTime(i64::MAX),
        step_ms: i64::MAX,
        unit: own(),
        observed: [1.0, f64::NAN, f64::MAX, -1.0].repeat(500),
        expected: [None, Some(f64::INFINITY)].repeat(1_000),
        upper: vec![Some(f64::MIN); 3],
        from: text.len(),
        until: usize::MAX,
    });
    incident.observed = f64::NAN;
    incident.expected = f64::INFINITY;
    incident.bound = f64::NEG_INFINITY;
    incident.confidence = f64::NAN;
    announcement
}

/// Key of the secret below: 32 zero bytes.
pub(super) const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub(super) fn email_settings() -> EmailSettings {
    EmailSettings {
        from: "tokenwatch <alerts@contoso.example>".to_owned(),
        to: vec!["On call <oncall@contoso.example>".to_owned(), "b@contoso.example".to_owned()],
        host: "mail.contoso.example".to_owned(),
        port: 465,
        tls: Tls::Implicit,
        username: None,
        password: None,
        ca_file: None,
    }
}

pub(super) fn email(name: &str) -> Destination {
    Destination::new(name, Severity::Medium, email_settings())
}

pub(super) fn hook(url: &str) -> WebhookSettings {
    WebhookSettings {
        http: HttpSettings::new(url),
        secret: SECRET.into(),
        previous_secret: None,
        body: Body::default(),
    }
}

pub(super) fn webhook(name: &str, url: &str) -> Destination {
    Destination::new(name, Severity::Medium, hook(url))
}

pub(super) fn eml(name: &str, folder: &std::path::Path) -> Destination {
    let settings = EmlSettings {
        folder: folder.to_owned(),
        from: "tokenwatch@contoso.example".to_owned(),
        to: vec!["oncall@contoso.example".to_owned()],
    };
    Destination::new(name, Severity::Medium, settings)
}
