//! What must hold whatever the bytes are. Shared by `cargo fuzz` and by the tests, each of which
//! names the modules beside it.

use super::decode::field::MAX_TOKENS;
use super::decode::{self, Decoded, Decoder, text};
use super::event::{Event, Tokens};
use super::known::Known;
use super::known::catalogue::Catalogue;
use super::known::feed::Holds;
use super::known::format::FORMATS;
use super::known::{Class, Kind, net};

/// Longest text of one event in Rust's notation; the largest lists are bounded far below.
const MAX_EVENT_BYTES: usize = 64 * 1024;

/// A whole body.
pub(crate) fn body(bytes: &[u8]) -> Decoded {
    let decoded = decode::decode(bytes);
    assert!(decoded.rejected.len() <= 50);
    for rejected in &decoded.rejected {
        assert!(rejected.sample.len() <= decode::redact::MAX_SAMPLE_BYTES);
        assert!(rejected.path.len() + rejected.reason.len() < 256, "{rejected:?}");
    }
    assert!(decoded.unknown.keys().all(|name| name.chars().count() <= 64));
    decoded.events.iter().for_each(numbers);
    decoded
}

/// A record, read by `decoder` whatever it says it is.
pub(crate) fn record(decoder: &Decoder, bytes: &[u8]) -> Vec<Event> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let read = decode::decode_as(decoder, text).unwrap_or_default();
    let events: Vec<_> = read.into_iter().filter_map(Result::ok).collect();
    events.iter().for_each(numbers);
    events
}

/// Kinds of files that tell about networks and identities.
pub(crate) fn files() -> Vec<(&'static str, Holds)> {
    let lists = FORMATS.map(|format| (format.name, Holds::Networks { format, class: Class::Tor }));
    let others = [("mmdb", Holds::Systems), ("identities", Holds::Identities)];
    lists.into_iter().chain(others).collect()
}

/// A file, and what is then known; true when it could be read.
pub(crate) fn file(holds: Holds, bytes: &[u8]) -> bool {
    let content = match holds.read(bytes.to_vec()) {
        Ok(content) => content,
        Err(broken) => {
            clean(&broken.to_string(), 512);
            return false;
        }
    };
    let mut catalogue = Catalogue::default();
    for network in ["203.0.113.128/25", "198.51.100.7", "2001:db8:1::/64"] {
        let named = net::parse(network).map(|network| catalogue.add(network, "own", Kind::Own));
        assert_eq!(named, Ok(None), "{network}");
    }
    let known = Known::new(catalogue.into(), [("list", content)]);
    for network in ["203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "2001:db8:1::/48", "::/8"]
    {
        let about = known.about(network);
        clean(&about.to_string(), 1_024);
        assert!(about.country.is_none_or(|country| country.len() == 2));
    }
    for number in 0..4 {
        let id = format!("7b0d2c1e-94a1-4b6e-8a53-{number:012x}");
        clean(known.name_of(&id).unwrap_or_default(), text::MAX_NAME_CHARS);
    }
    true
}

fn clean(said: &str, most: usize) {
    assert!(said.chars().count() <= most && !said.chars().any(text::is_hidden), "{said:?}");
}

/// What the target of a kind of record is called: its letters and digits.
pub(crate) fn word(kind: &str) -> String {
    kind.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Numbers are finite and within what is believed; addresses are networks.
fn numbers(event: &Event) {
    let believed = |tokens: Option<Tokens>, most: u32| {
        let tokens = tokens.unwrap_or_default();
        assert!(tokens.input.max(tokens.cached).max(tokens.output) <= most, "{tokens:?}");
    };
    match event {
        Event::Row(row) => {
            believed(row.tokens, MAX_TOKENS);
            network(&row.network);
        }
        Event::Gateway(call) => {
            // Anthropic counts cached tokens beside the prompt, in two fields.
            believed(call.tokens, 3 * MAX_TOKENS);
            network(&call.network);
        }
        Event::Metric(metric) => {
            let numbers =
                [metric.count, metric.total, metric.minimum, metric.maximum, metric.average];
            assert!(numbers.into_iter().flatten().all(f64::is_finite));
        }
        Event::Meter(meter) => {
            assert!(meter.sum.is_finite() && meter.sum >= 0.0);
            assert!([meter.min, meter.max].into_iter().flatten().all(f64::is_finite));
            network(&meter.network);
        }
        Event::Control(control) => network(&control.principal.network),
        Event::Alert(alert) => alert.networks.iter().for_each(|text| network(text)),
        Event::Posture(posture) => {
            assert!(posture.share.is_none_or(|share| (0.0..=1.0).contains(&share)));
        }
        Event::KeyRead(_)
        | Event::Endpoint(_)
        | Event::Search(_)
        | Event::Inventory(_)
        | Event::Opaque(_) => {}
    }
}

fn network(text: &str) {
    assert!(text.is_empty() || text.ends_with(".0/24") || text.ends_with("::/48"), "{text}");
}

/// Every text of an event is short and holds nothing invisible.
pub(crate) fn texts(event: &Event) {
    let shown = format!("{event:?}");
    assert!(shown.len() <= MAX_EVENT_BYTES, "{} bytes", shown.len());
    let mut rest = shown.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            continue;
        }
        // Rust writes what cannot be seen as an escape.
        match rest.next() {
            Some('u') => {
                let digits: String =
                    rest.by_ref().take_while(|c| *c != '}').filter(|c| *c != '{').collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                let c = code.and_then(char::from_u32);
                assert!(!c.is_none_or(text::is_hidden), "U+{digits} in {shown}");
            }
            Some(c) => assert!(!"nrt0".contains(c), "a control character in {shown}"),
            None => {}
        }
    }
}
