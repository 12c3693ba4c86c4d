//! What receivers of any channel rely on.

use mail_parser::{HeaderName, Message, MessageParser, MimeHeaders as _};
use secrecy::SecretString;

use super::listener::Listener;
use super::sample::{
    HOSTILE, SECRET, announcement, email, email_settings, eml, hook, hostile, silence, webhook,
};
use super::*;
use crate::incident::Severity;
use crate::money::NanoUsd;

/// Any time will do: the listener compares none.
const NOW_S: i64 = 1_795_489_900;

#[track_caller]
pub(super) fn mail(announcement: &Announcement) -> Vec<u8> {
    let rendered = render(announcement, &[email("mail")]).unwrap();
    rendered.into_iter().next().unwrap().body
}

#[track_caller]
pub(super) fn parse(mail: &[u8]) -> Message<'_> {
    MessageParser::default().parse(mail).unwrap()
}

#[track_caller]
pub(super) fn subject(announcement: &Announcement) -> String {
    parse(&mail(announcement)).subject().unwrap().to_owned()
}

#[test]
fn keys_tell_announcements_apart_and_stay_the_same() {
    let key = idempotency_key("TW-C01|a|1|x", Kind::Open, 0, "mail");
    // printf 'TW-C01|a|1|x|open|0|mail' | sha256sum
    assert_eq!(key, "4bd2e3d5cb3d319dcdc7a16bf8040d58d735de1788433c18ff5436ca436beb0f");
    for other in [
        idempotency_key("TW-C01|a|2|x", Kind::Open, 0, "mail"),
        idempotency_key("TW-C01|a|1|x", Kind::Resolve, 0, "mail"),
        idempotency_key("TW-C01|a|1|x", Kind::Open, 1, "mail"),
        idempotency_key("TW-C01|a|1|x", Kind::Open, 0, "hook"),
    ] {
        assert_ne!(key, other);
    }
}

#[test]
fn the_same_announcement_gives_the_same_bytes() {
    let to = [email("mail"), webhook("hook", "https://x.example/")];
    for kind in Kind::ALL {
        let first = render(&announcement(kind), &to).unwrap();
        assert_eq!(first, render(&announcement(kind), &to).unwrap());
        assert_eq!(first.len(), 2);
    }
}

#[test]
fn severity_decides_who_hears_and_a_test_goes_everywhere() {
    let mut quiet = announcement(Kind::Open);
    quiet.incident.severity = Severity::Low;
    assert_eq!(render(&quiet, &[email("mail")]).unwrap(), []);
    quiet.kind = Kind::Test;
    assert_eq!(render(&quiet, &[email("mail")]).unwrap().len(), 1);
    let ended = announcement(Kind::Resolve);
    assert_eq!(render(&ended, &[email("mail")]).unwrap().len(), 1);
}

#[test]
fn subjects_say_what_where_and_how_much() {
    assert_eq!(
        subject(&announcement(Kind::Open)),
        "[high] aif-contoso-prod/chat-prod: tokens 14× expected, $214 so far, ≈ $2,100 a day"
    );
    assert_eq!(
        subject(&announcement(Kind::Resolve)),
        "[resolved] aif-contoso-prod/chat-prod: over after 2 h 10 min, $214 above expected in total"
    );
    assert_eq!(
        subject(&announcement(Kind::Escalate)),
        "[now critical] aif-contoso-prod/chat-prod: tokens 14× expected, $214 so far, \
         ≈ $2,100 a day"
    );
    let mut unknown = announcement(Kind::Open);
    (unknown.incident.cost, unknown.incident.cost_per_day) = (None, None);
    unknown.incident.expected = 0.0;
    assert_eq!(
        subject(&unknown),
        "[high] aif-contoso-prod/chat-prod: 4,812,330 tokens in 5 min, none expected, \
         cost unknown"
    );
}

/// A rule about the shape of calls knows what they cost a day, and not what of it is too much.
#[test]
fn what_was_not_counted_is_no_missing_price() {
    let mut uncounted = announcement(Kind::Open);
    uncounted.incident.cost = None;
    assert!(!subject(&uncounted).contains("unknown"), "{}", subject(&uncounted));
    let bytes = mail(&uncounted);
    let message = parse(&bytes);
    for part in [message.body_text(0).unwrap(), message.body_html(0).unwrap()] {
        assert!(!part.contains("no price"), "{part}");
        assert!(part.contains("4,812,330 tokens") && part.contains("2,100"), "{part}");
    }
}

#[test]
fn unknown_costs_are_never_zero() {
    let mut unknown = announcement(Kind::Open);
    (unknown.incident.cost, unknown.incident.cost_per_day) = (None, None);
    let bytes = mail(&unknown);
    let message = parse(&bytes);
    for part in [message.body_text(0).unwrap(), message.body_html(0).unwrap()] {
        assert!(part.contains("unknown (no price for this model)"), "{part}");
        assert!(!part.contains("$0"), "{part}");
    }
}

#[test]
fn both_parts_state_the_same_facts() {
    let bytes = mail(&announcement(Kind::Open));
    let message = parse(&bytes);
    for part in [message.body_text(0).unwrap(), message.body_html(0).unwrap()] {
        let flat = part.split_whitespace().collect::<Vec<_>>().join(" ");
        for fact in [
            "chat-prod uses 14× the tokens expected at this time, mostly from \
             198.51.100.0/24 with an API key, a network it had not seen before.",
            "aif-contoso-prod/chat-prod",
            "gpt-5.1",
            "$214.37",
            "≈ $2,100",
            "4,812,330",
            "341,200",
            "up to 612,000",
            "198.51.100.0/24",
            "NEW",
            "since 2026-11-24 03:05 UTC, for 20 min",
            "API key (no identity)",
            "network not recorded",
            "long completions",
            "Replace key 1",
            "aif-contoso-prod/chat-prod",
            "tokens before and since",
            "3 h before",
            "8,902,340",
            "since 03:05",
            "Before, without part in the rise",
            "2026-11-24 UTC",
            "03:05:07",
            "first call 03:05:07, hub 03:05:49 (41 s later), alert 03:10:41 (4 min 52 s later)",
            "This rule cannot know whether the extra calls were wanted",
            "anomalous",
            "23:10",
            "94 %",
            "a caller is a /24",
            "TW-C01|aif-contoso-prod/chat-prod|3|9f2c61d0a4",
            "You have it: no more reminders until it gets worse.",
        ] {
            assert!(flat.contains(fact), "{fact} is missing in {part}");
        }
    }
}

#[test]
fn later_mails_answer_the_first() {
    let opening = mail(&announcement(Kind::Open));
    let opening = parse(&opening);
    let id = opening.message_id().unwrap();
    let key = idempotency_key(&announcement(Kind::Open).incident.key, Kind::Open, 0, "mail");
    assert_eq!(id, format!("{key}@tokenwatch"));
    assert!(opening.in_reply_to().as_text().is_none());
    assert_eq!(opening.header_raw("Importance").map(str::trim), Some("high"));
    for kind in [Kind::Escalate, Kind::Resolve] {
        let bytes = mail(&announcement(kind));
        let message = parse(&bytes);
        assert_ne!(message.message_id(), Some(id));
        assert_eq!(message.in_reply_to().as_text(), Some(id));
        assert_eq!(message.references().as_text(), Some(id));
    }
}

#[test]
fn mails_say_that_no_person_wrote_them_and_when() {
    let bytes = mail(&announcement(Kind::Open));
    let message = parse(&bytes);
    assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
    assert_eq!(message.date().unwrap().to_rfc3339(), "2026-11-24T03:10:41Z");
    assert_eq!(message.from().unwrap().first().unwrap().address(), Some("alerts@contoso.example"));
    assert_eq!(message.to().unwrap().iter().count(), 2);
    let boundary = message.content_type().unwrap().attribute("boundary").unwrap();
    assert!(boundary.len() <= 70, "RFC 2046, 5.1.1: {boundary}");
}

/// Headers of an opening mail; nothing in an incident may add to them.
const HEADERS: &[&str] = &[
    "From",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "To",
    "Importance",
    "In-Reply-To",
    "References",
    "Subject",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Characters that must not reach a reader: see [`clean`].
pub(super) fn is_dangerous(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r'))
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
        || matches!(c, '\u{FEFF}' | '\u{AD}' | '\u{61C}' | '\u{E0000}'..='\u{E0FFF}')
}

#[track_caller]
fn check_hostile(kind: Kind, text: &str) {
    let bytes = mail(&hostile(kind, text));
    let message = parse(&bytes);
    for header in message.headers() {
        assert!(HEADERS.contains(&header.name()), "{text:?} added {}", header.name());
    }
    assert_eq!(message.headers().iter().filter(|h| h.name == HeaderName::Subject).count(), 1);
    assert_eq!((message.text_body_count(), message.html_body_count()), (1, 1), "{text:?}");
    // The chart.
    assert_eq!(message.attachment_count(), 1);
    let (plain, html) = (message.body_text(0).unwrap(), message.body_html(0).unwrap());
    let subject = message.subject().unwrap();
    assert!(subject.chars().all(|c| !c.is_control()), "{subject:?}");
    for part in [subject, &plain, &html] {
        let found = part.chars().find(|c| is_dangerous(*c));
        assert_eq!(found, None, "{text:?}");
        // A command is verbatim in the text part, on a line of its own.
        let markup = |line: &&str| !line.starts_with("    ") && line.contains("<script");
        assert_eq!(part.lines().find(markup), None);
    }
    let lower = html.to_lowercase();
    for mark in ["<script", "<iframe", "<a ", "<%=", "href"] {
        assert!(!lower.contains(mark), "{mark} in {html}");
    }
    assert_eq!((lower.matches("<img").count(), lower.matches("src=\"cid:").count()), (1, 1));
    assert_eq!(lower.matches("</style>").count(), 1);
    assert_eq!(lower.matches("</table>").count(), lower.matches("<table").count());
    assert_eq!(lower.matches("</title>").count(), 1);
    for part in [subject, &html] {
        assert!(!part.replace("[://]", "").contains("://"), "{part}");
    }
    assert!(html.len() <= mail::HTML_MAX, "{}", html.len());
    let wide = |line: &&str| line.chars().count() > 78 && !line.starts_with("    ");
    assert_eq!(plain.lines().find(wide), None);
    assert!(bytes.split(|byte| *byte == b'\n').all(|line| line.len() <= 999));
}

#[test]
fn hostile_names_change_nothing_but_the_text() {
    for kind in Kind::ALL {
        for text in HOSTILE {
            check_hostile(kind, text);
            check_hostile(kind, &text.repeat(5_000 / text.len().max(1)));
        }
        check_hostile(kind, &HOSTILE.concat());
        for filler in ["\"&<>'", "a.bc", "<", "漢", "&.aa", "\u{1F480}", "x", " "] {
            for length in [190, 299, 590, 990] {
                let text: String = filler.chars().cycle().take(length).collect();
                check_hostile(kind, &text);
            }
        }
    }
}

async fn listen(secret: &str) -> Listener {
    Listener::start(([127, 0, 0, 1], 0).into(), &SecretString::from(secret)).await.unwrap()
}

/// Sends one announcement to a listener that answers `reply` and trusts `trusted`.
async fn deliver_to(reply: u16, trusted: &str) -> (deliver::Outcome, listener::Delivery) {
    let mut listener = listen(trusted).await;
    listener.reply_with(reply);
    let to = webhook("hook", &listener.url());
    let sent = render(&announcement(Kind::Open), std::slice::from_ref(&to)).unwrap().remove(0);
    let channel = to.connect().unwrap();
    let outcome = deliver::attempt(&*channel, &sent, NOW_S).await;
    assert_eq!(outcome.key, sent.key);
    let delivery = listener.next_delivery().await.unwrap();
    assert_eq!(listener.deliveries(), std::slice::from_ref(&delivery));
    assert_eq!((&delivery.id, &delivery.body), (&sent.key, &sent.body));
    assert!(delivery.is_fresh(NOW_S + 300) && !delivery.is_fresh(NOW_S + 301));
    listener.stop().await;
    (outcome, delivery)
}

#[tokio::test]
async fn webhooks_arrive_signed() {
    let (outcome, delivery) = deliver_to(204, SECRET).await;
    assert_eq!(outcome.result, Ok(()));
    assert!(delivery.verified);
    assert_eq!(delivery.status, 204);
}

#[tokio::test]
async fn a_signature_of_another_secret_is_refused() {
    let other = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let (outcome, delivery) = deliver_to(204, other).await;
    assert!(!delivery.verified);
    assert_eq!(outcome.result, Err(SendError::GiveUp { reason: "answered 401".to_owned() }));
}

#[tokio::test]
async fn answers_decide_whether_to_try_again() {
    for (status, again) in
        [(408, true), (409, true), (425, true), (429, true), (500, true), (503, true)]
            .into_iter()
            .chain([(302, false), (308, false), (400, false), (404, false), (413, false)])
    {
        let (outcome, _) = deliver_to(status, SECRET).await;
        let reason = format!("answered {status}");
        let expected = if again { SendError::retry(reason) } else { SendError::give_up(reason) };
        assert_eq!(outcome.result, Err(expected));
    }
}

#[tokio::test]
async fn both_secrets_are_accepted_during_a_change() {
    let other = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    for trusted in [SECRET, other] {
        let listener = listen(trusted).await;
        let mut settings = hook(&listener.url());
        settings.previous_secret = Some(other.into());
        let to = [Destination::new("hook", Severity::Low, settings)];
        let sent = render(&announcement(Kind::Open), &to).unwrap().remove(0);
        let channel = to[0].connect().unwrap();
        assert_eq!(channel.send(&sent, NOW_S).await, Ok(()));
        listener.stop().await;
    }
}

#[tokio::test]
async fn a_receiver_that_is_away_is_tried_again() {
    let listener = listen(SECRET).await;
    let to = webhook("hook", &format!("{}?sig=hidden", listener.url()));
    listener.stop().await;
    let sent = render(&announcement(Kind::Open), std::slice::from_ref(&to)).unwrap().remove(0);
    let channel = to.connect().unwrap();
    let Err(SendError::Retry { reason, .. }) = channel.send(&sent, NOW_S).await else {
        panic!("was taken");
    };
    assert!(!reason.contains("hidden"), "{reason}");
}

#[tokio::test]
async fn a_listener_is_not_for_networks() {
    let started = Listener::start(([0, 0, 0, 0], 0).into(), &SecretString::from(SECRET)).await;
    assert!(matches!(started, Err(listener::ListenerError::NotLoopback(_))));
    let started = Listener::start(([127, 0, 0, 1], 0).into(), &SecretString::from("*")).await;
    assert!(matches!(started, Err(listener::ListenerError::Secret)));
}

#[tokio::test]
async fn the_folder_keeps_each_mail_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made/when/needed");
    let to = eml("folder", &folder);
    let sent = render(&announcement(Kind::Open), std::slice::from_ref(&to)).unwrap().remove(0);
    let channel = to.connect().unwrap();
    for _ in 0..3 {
        assert_eq!(deliver::attempt(&*channel, &sent, NOW_S).await.result, Ok(()));
    }
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files, [folder.join(format!("{}.eml", sent.key))]);
    assert_eq!(std::fs::read(&files[0]).unwrap(), sent.body);
    // A file cut short by something else is made whole again.
    std::fs::write(&files[0], "half").unwrap();
    assert_eq!(channel.send(&sent, NOW_S).await, Ok(()));
    assert_eq!(std::fs::read(&files[0]).unwrap(), sent.body);
    let elsewhere = Notification { key: "../../evil".to_owned(), ..sent };
    assert!(matches!(channel.send(&elsewhere, NOW_S).await, Err(SendError::GiveUp { .. })));
}

#[track_caller]
fn check_url(url: &str, problem: Option<&Problem>) {
    let invalid = webhook("hook", url).validate().err();
    assert_eq!(
        invalid.as_ref().map(|invalid| invalid.problems.as_slice()),
        problem.map(std::slice::from_ref),
        "{url}"
    );
}

#[test]
fn webhooks_go_encrypted_to_places_where_receivers_live() {
    for url in [
        "https://hooks.contoso.example/x?sig=1",
        "http://127.0.0.1:8080/",
        "http://[::1]/",
        "http://localhost/",
        "http://0x7f.1/",
        "https://1.1.1.1/",
    ] {
        check_url(url, None);
    }
    for (url, host) in [("https://10.1.2.3/", "10.1.2.3"), ("https://[fd12::1]/", "[fd12::1]")] {
        check_url(url, Some(&Problem::InternalHost { host: host.to_owned() }));
        let mut allowed = hook(url);
        allowed.http.allow_internal = vec!["10.1.0.0/16".to_owned(), "fd12::/32".to_owned()];
        assert_eq!(Destination::new("hook", Severity::Low, allowed).validate(), Ok(()));
    }
    for url in ["http://contoso.example/", "http://10.1.2.3/", "http://localhost.evil.example/"] {
        check_url(url, Some(&Problem::PlainHttp));
    }
    for url in ["", "hooks", "ftp://127.0.0.1/", "https://user:pass@contoso.example/", "file:///x"]
    {
        check_url(url, Some(&Problem::Url));
    }
    for (url, host) in [
        ("https://169.254.169.254/metadata", "169.254.169.254"),
        ("http://169.254.169.254/metadata", "169.254.169.254"),
        ("https://2852039166/", "169.254.169.254"),
        ("https://0xa9.0xfe.43518/", "169.254.169.254"),
        ("https://[::ffff:169.254.169.254]/", "[::ffff:a9fe:a9fe]"),
        ("https://[fe80::1]/", "[fe80::1]"),
        ("https://[fd00:ec2::254]/", "[fd00:ec2::254]"),
        ("https://168.63.129.16/", "168.63.129.16"),
        ("https://0.0.0.0/", "0.0.0.0"),
        ("https://203.0.113.7/", "203.0.113.7"),
        ("https://[64:ff9b::a00:1]/", "[64:ff9b::a00:1]"),
        ("https://metadata.google.internal./", "metadata.google.internal."),
    ] {
        check_url(url, Some(&Problem::ForbiddenHost { host: host.to_owned() }));
    }
}

#[test]
fn every_wrong_setting_of_a_destination_is_named() {
    let check = |name: &str, settings: &EmailSettings| {
        Destination::new(name, Severity::Low, settings.clone()).validate()
    };
    let mut settings = email_settings();
    settings.from = "nobody".to_owned();
    settings.to = vec!["x@y.example\r\nBcc: z@y.example".to_owned()];
    settings.tls = Tls::None;
    settings.username = Some("me".to_owned());
    let invalid = check("a|b", &settings).unwrap_err();
    assert_eq!(invalid.problems.len(), 5, "{invalid}");
    assert!(invalid.problems.contains(&Problem::PlainMail { host: settings.host.clone() }));
    for host in ["localhost", "127.0.0.1", "::1", "127.9.9.9"] {
        let mut plain = settings.clone();
        (plain.from, plain.to) = ("a@b.example".to_owned(), vec!["c@d.example".to_owned()]);
        (plain.host, plain.username) = (host.to_owned(), None);
        assert_eq!(check("mail", &plain), Ok(()));
    }
    let mut hook = hook("https://contoso.example/?sig=hidden");
    assert!(!format!("{hook:?}").contains("hidden"));
    hook.secret = "whsec_AAAA".into();
    let invalid = Destination::new("hook", Severity::Low, hook).validate().unwrap_err();
    assert_eq!(invalid.problems, [Problem::Secret]);
}

#[test]
fn a_loss_nobody_priced_does_not_hide_the_forecast() {
    let mut odd = announcement(Kind::Open);
    odd.incident.cost = Some(NanoUsd(-1));
    odd.incident.at_edges();
    assert!(subject(&odd).starts_with("[high]"));
}

impl Incident {
    /// Puts every number at the end of its range.
    fn at_edges(&mut self) {
        self.cost_per_day = Some(NanoUsd(i64::MIN));
        self.first_window.0 = i64::MIN;
        self.last_window.0 = i64::MAX;
        self.opened_at.0 = i64::MAX;
        self.delay_azure_s = Some(i64::MIN);
        (self.observed, self.expected) = (f64::MAX, f64::MIN_POSITIVE);
    }
}

/// Compares what people read with what was last looked at and found good.
///
/// The present mails are always written to `target/mails`, to be viewed in a browser; where they
/// are better than the snapshots, copy them over. Some are there to be viewed only.
#[test]
fn mails_look_as_they_were_reviewed() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let (present, reviewed) = (root.join("target/mails"), root.join("src/notify/snapshots"));
    std::fs::create_dir_all(&present).unwrap();
    let mut unknown = announcement(Kind::Open);
    (unknown.incident.cost, unknown.incident.cost_per_day) = (None, None);
    unknown.incident.severity = Severity::Medium;
    let mails = [
        ("open", announcement(Kind::Open)),
        ("escalate", announcement(Kind::Escalate)),
        ("reopen", announcement(Kind::Reopen)),
        ("acknowledge", announcement(Kind::Acknowledge)),
        ("repeat", announcement(Kind::Repeat)),
        ("silence", silence()),
        ("resolve", announcement(Kind::Resolve)),
        ("test", announcement(Kind::Test)),
        ("unknown-cost", unknown),
        ("hostile", hostile(Kind::Open, &HOSTILE.concat())),
    ];
    let mut changed = Vec::new();
    assert!(reviewed.join("open.html").exists());
    for (name, announcement) in mails {
        let (facts, html) = mail::page(&announcement, &format!("{name}.png")).unwrap();
        if let Some(graph) = &facts.graph {
            std::fs::write(present.join(format!("{name}.png")), graph.png()).unwrap();
        }
        for (file, text) in
            [(format!("{name}.html"), html), (format!("{name}.txt"), text::part(&facts))]
        {
            std::fs::write(present.join(&file), &text).unwrap();
            if std::fs::read_to_string(reviewed.join(&file)).is_ok_and(|seen| seen != text) {
                changed.push(file);
            }
        }
    }
    assert!(
        changed.is_empty(),
        "look at target/mails, then copy to src/notify/snapshots: {changed:?}"
    );
}
