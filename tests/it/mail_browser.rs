//! The incident mail in a real browser, as wide as a telephone and as wide as a mail program.
//!
//! Runs when `TOKENWATCH_PEER_CHROMIUM` names a Chromium, as `./test` sees to; a machine with Rust
//! alone says so and goes on.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{MessageParser, MimeHeaders as _};
use tokenwatch::incident::{
    Announcement, CallerShare, Chart, Entry, Incident, Kind, Response, Severity,
};
use tokenwatch::known::About;
use tokenwatch::money::NanoUsd;
use tokenwatch::notify::{Destination, EmlSettings, render};
use tokenwatch::time::{ArrivalTime, EventTime, MINUTE_MS};

/// Widths of the page: a small telephone and a mail program's reading pane.
const WIDTHS: [u32; 2] = [320, 600];

fn chromium() -> Option<OsString> {
    let named = std::env::var_os("TOKENWATCH_PEER_CHROMIUM");
    if named.is_none() {
        let line = "skipped: TOKENWATCH_PEER_CHROMIUM names no chromium\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    named
}

/// An incident whose names are as long as Azure allows, and amounts as long as anybody may see.
fn announcement(kind: Kind) -> Announcement {
    let long = |c: &str, length: usize| c.repeat(length);
    let caller = |network: &str| CallerShare {
        network: network.to_owned(),
        identity: long("7b0d2c1e", 8),
        tokens: 9_876_543_210_123,
        cost: Some(NanoUsd(12_345_678_900_000_000)),
        new: true,
        about: About::default(),
        name: Some(long("n", 60)),
    };
    let incident = Incident {
        key: format!("TW-C01|{}/{}|1|0123456789", long("a", 60), long("d", 60)),
        rule: "TW-C01".to_owned(),
        rule_name: "Usage spike".to_owned(),
        account: long("a", 60),
        deployment: Some(long("d", 60)),
        resource_id: Some(format!(
            "/subscriptions/{}/resourceGroups/{}",
            long("1", 36),
            long("r", 90)
        )),
        model: Some(long("m", 60)),
        severity: Severity::High,
        first_window: EventTime(1_795_489_500_000),
        last_window: EventTime(1_795_489_800_000),
        opened_at: ArrivalTime(1_795_489_710_000),
        observed: 9_876_543_210.0,
        expected: 1_234_567.0,
        bound: 2_345_678.0,
        unit: "tokens in 5 min".to_owned(),
        cost: Some(NanoUsd(12_345_678_900_000_000)),
        cost_per_day: Some(NanoUsd(98_765_432_100_000_000)),
        callers: vec![caller("2001:db8:ffff:ffff::/48"), caller("198.51.100.0/24")],
        callers_before: vec![caller("203.0.113.0/24")],
        evidence: vec![long("evidence", 25)],
        response: vec![Response { what: long("w", 150), command: long("command", 60) }],
        chart: Some(Chart {
            start: EventTime(1_795_489_800_000 - 48 * 5 * MINUTE_MS),
            step_ms: 5 * MINUTE_MS,
            unit: "tokens in 5 min".to_owned(),
            observed: [vec![1_000_000.0; 47], vec![9_876_543_210.0]].concat(),
            expected: vec![Some(1_234_567.0); 48],
            upper: vec![Some(2_345_678.0); 48],
            from: 47,
            until: 48,
        }),
        history: vec![Entry {
            at: ArrivalTime(1_795_489_720_000),
            author: long("p", 60),
            what: format!("acknowledged: {}", long("y", 100)),
        }],
        confidence: 0.9,
        ..Incident::default()
    };
    let at = incident.opened_at;
    Announcement { kind, step: 0, at, written: None, incident }
}

/// The HTML part of the mail with its picture in it, as a mail program would show it.
fn page(kind: Kind) -> String {
    let folder = tempfile::tempdir().unwrap();
    let settings = EmlSettings {
        folder: folder.path().to_owned(),
        from: "a@contoso.example".to_owned(),
        to: vec!["b@contoso.example".to_owned()],
    };
    let to = [Destination::new("mail", Severity::Info, settings)];
    let sent = render(&announcement(kind), &to).unwrap().into_iter().next().unwrap();
    assert!(sent.body.len() < 150_000, "{}", sent.body.len());
    let message = MessageParser::default().parse(&sent.body).unwrap();
    let picture = message.attachment(0).unwrap();
    let cid = format!("cid:{}", picture.content_id().unwrap());
    let html = message.body_html(0).unwrap();
    assert_eq!(html.matches(&cid).count(), 1);
    let data = format!("data:image/png;base64,{}", STANDARD.encode(picture.contents()));
    html.replace(&cid, &data)
}

/// What the browser measures: width, width needed, and pixels of the picture, for each frame.
fn measured(chromium: &OsString, html: &str) -> Vec<[u32; 3]> {
    let folder = tempfile::tempdir().unwrap();
    let escaped = html.replace('&', "&amp;").replace('"', "&quot;");
    let frames = WIDTHS.map(|width| {
        format!("<iframe width={width} height=2000 frameborder=0 srcdoc=\"{escaped}\"></iframe>")
    });
    let script = "<script>onload = () => { document.title = [...document.querySelectorAll('iframe')]\
                  .map(f => { const d = f.contentDocument, e = d.documentElement; \
                  return [e.clientWidth, e.scrollWidth, d.images[0].naturalWidth].join(' ') })\
                  .join(';') }</script>";
    let file = folder.path().join("page.html");
    std::fs::write(&file, format!("<!doctype html><title></title>{}{script}", frames.concat()))
        .unwrap();
    let ran = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&ran.stdout);
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
    let title = title.ok_or_else(|| String::from_utf8_lossy(&ran.stderr)).unwrap();
    let numbers = |frame: &str| -> Vec<u32> {
        frame.split(' ').map(|number| number.parse().unwrap()).collect()
    };
    title.split(';').map(|frame| numbers(frame).try_into().unwrap()).collect()
}

#[test]
fn mails_fit_on_a_telephone() {
    let Some(chromium) = chromium() else { return };
    for kind in [Kind::Open, Kind::Acknowledge, Kind::Resolve] {
        let found = measured(&chromium, &page(kind));
        let expected: Vec<[u32; 3]> = WIDTHS.map(|width| [width, width, 960]).to_vec();
        assert_eq!(found, expected, "{kind:?}: width, width needed, pixels of the picture");
    }
}
