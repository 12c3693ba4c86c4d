//! What is said about networks, and that it is never more than is known.

use proptest::prelude::*;

use super::*;
use crate::known::feed::Holds;
use crate::known::format::FORMATS;

const PLACES: &[u8] = include_bytes!("../../models/demo/networks.mmdb");

fn catalogue(entries: &[(&str, &str, Kind)]) -> Arc<Catalogue> {
    let mut catalogue = Catalogue::default();
    for (network, name, kind) in entries {
        catalogue.add(net::parse(network).unwrap(), name, *kind);
    }
    Arc::new(catalogue)
}

fn list(class: Class, text: &str) -> Content {
    Holds::Networks { format: FORMATS[0], class }.read(text.as_bytes().to_vec()).unwrap()
}

fn places() -> Content {
    Holds::Systems.read(PLACES.to_vec()).unwrap()
}

#[track_caller]
fn check(known: &Known, network: &str, expected: &str) {
    assert_eq!(known.about(network).to_string(), expected, "{network}");
}

#[test]
fn the_longest_prefix_of_the_catalogue_holds() {
    let entries = [
        ("198.18.0.0/15", "all of us", Kind::Own),
        ("198.18.7.0/24", "guests", Kind::Partner),
        ("198.18.8.128/25", "vpn", Kind::Vpn),
        ("2001:db8::/32", "six", Kind::Azure),
    ];
    let known = Known::new(catalogue(&entries), []);
    check(&known, "198.18.1.0/24", "yours: all of us (own)");
    check(&known, "198.18.7.0/24", "known: guests (partner)");
    check(
        &known,
        "198.18.8.0/24",
        "yours: all of us (own) · partly yours: vpn (vpn, 128 addresses of it)",
    );
    check(&known, "2001:db8:1::/48", "yours: six (azure)");
    check(&known, "::ffff:198.18.7.0/120", "known: guests (partner)");
    check(&known, "198.20.0.0/24", "");
    for text in ["", "(other)", "not a network", "0.0.0.0/0"] {
        assert!(known.about(text).is_empty(), "{text}");
    }
}

#[test]
fn an_address_inside_a_callers_network_is_a_perhaps() {
    let lists = [
        ("exits", list(Class::Tor, "203.0.113.7\n203.0.113.7/32\n2001:db8:1::5\n")),
        ("rented", list(Class::Hosting, "203.0.113.0/25\n203.0.113.128/25\n198.51.100.0/25\n")),
    ];
    let known = Known::new(Arc::default(), lists);
    check(
        &known,
        "203.0.113.0/24",
        "perhaps tor (list exits, 1 address of it) · hosting (list rented)",
    );
    check(&known, "198.51.100.0/24", "perhaps hosting (list rented, 128 addresses of it)");
    check(&known, "2001:db8:1::/48", "perhaps tor (list exits, a part of it)");
    check(&known, "203.0.114.0/24", "");
}

#[test]
fn the_catalogue_wins_over_lists_where_it_names_the_whole() {
    let entries = [
        ("203.0.113.0/24", "office", Kind::Own),
        ("198.51.100.9/32", "nat", Kind::Own),
        ("198.51.100.20/32", "nat", Kind::Own),
    ];
    let lists = [("rented", list(Class::Hosting, "203.0.113.0/24\n198.51.100.0/24\n"))];
    let known = Known::new(catalogue(&entries), lists);
    check(&known, "203.0.113.0/24", "yours: office (own)");
    check(
        &known,
        "198.51.100.0/24",
        "partly yours: nat (own, 2 addresses of it) · hosting (list rented)",
    );
    assert_eq!(known.about("198.51.100.0/24").short().as_deref(), Some("hosting"));
}

#[test]
fn every_publishers_names_are_understood_and_what_differs_inside_is_not_told() {
    let known = Known::new(Arc::default(), [("geo.asn", places())]);
    check(&known, "203.0.113.0/24", "AS64500 Example Hosting · ZZ");
    check(&known, "203.0.113.128/25", "AS64500 Example Hosting · ZZ");
    check(&known, "198.51.100.0/24", "AS64501 Example VPN · ZZ");
    check(&known, "192.0.2.0/24", "ZZ");
    check(&known, "192.0.2.0/25", "AS64502 Example Cloud East · ZZ");
    check(&known, "198.18.0.0/24", "");
    check(&known, "198.18.0.0/25", "AS64504 · ZZ");
    check(&known, "2001:db8:1::/48", "AS64505 Example Six · ZZ");
    check(&known, "2001:db9::/48", "");
    check(&known, "203.0.0.0/16", "");
}

#[test]
fn a_list_may_name_autonomous_systems() {
    let text = "{\"asn\":64500,\"asname\":\"EXAMPLE\"}\n{\"asn\":64502}\n";
    let holds = Holds::Networks { format: FORMATS[2], class: Class::Threat };
    let drop = holds.read(text.as_bytes().to_vec()).unwrap();
    let known = Known::new(Arc::default(), [("geo.asn", places()), ("drop", drop)]);
    check(&known, "203.0.113.0/24", "threat (list drop) · AS64500 Example Hosting · ZZ");
    check(&known, "192.0.2.0/24", "ZZ");
}

#[test]
fn lists_of_the_internet_say_nothing_about_private_addresses() {
    let entries = [("10.1.0.0/16", "build", Kind::Own)];
    let lists = [("bogons", list(Class::Threat, "10.0.0.0/8\nfd00::/8\n"))];
    let known = Known::new(catalogue(&entries), lists);
    check(&known, "10.1.2.0/24", "yours: build (own) · private address");
    check(&known, "10.2.2.0/24", "private address");
    check(&known, "fd00:1::/48", "private address");
}

#[test]
fn names_of_the_file_win_over_those_of_a_second_provider() {
    let id = "7B0D2C1E-94A1-4B6E-8A53-0C2F7D5E1A90";
    let other = "7b0d2c1e-94a1-4b6e-8a53-0c2f7d5e1a91";
    let file = Holds::Identities.read(format!("{id},Build pipeline\n").into_bytes()).unwrap();
    let names = [(id, "from the directory"), (other, "Ada"), ("nobody", "x")];
    let names: Names =
        names.map(|(id, name)| (id.to_owned(), name.to_owned())).into_iter().collect();
    let known =
        Known::new(Arc::default(), [("identities.names", file)]).with_names(Arc::new(names));
    assert_eq!(known.name_of(&id.to_lowercase()), Some("Build pipeline"));
    assert_eq!(known.name_of(other), Some("Ada"));
    assert_eq!((known.name_of(""), known.name_of("nobody")), (None, None));
}

#[test]
fn a_damaged_database_is_refused() {
    let mut damaged = PLACES.to_vec();
    damaged[1] = 0xff;
    let cut = PLACES[..PLACES.len() - 40].to_vec();
    for bytes in [Vec::new(), b"not a database".to_vec(), damaged, cut] {
        assert!(Geo::read(bytes).is_err());
    }
}

/// A network near a few others, so that they lie in each other.
fn near() -> impl Strategy<Value = ipnet::IpNet> {
    let v4 = (0..4_u32, 0..=255_u32, 21..=32_u8).prop_map(|(third, last, length)| {
        let address = 0xcb00_0000 | third << 8 | last;
        ipnet::IpNet::V4(ipnet::Ipv4Net::new(address.into(), length).unwrap().trunc())
    });
    let v6 = (0..4_u128, 0..4_u128, 45..=56_u8).prop_map(|(third, fourth, length)| {
        let address = 0x2001_0db8 << 96 | third << 80 | fourth << 64;
        ipnet::IpNet::V6(ipnet::Ipv6Net::new(address.into(), length).unwrap().trunc())
    });
    prop_oneof![v4, v6]
}

proptest! {
    /// Against looking at every entry one by one.
    #[test]
    fn lookups_find_what_a_scan_finds(
        entries in proptest::collection::vec(near(), 1..40),
        asked in near(),
    ) {
        let mut names = Catalogue::default();
        for (number, net) in entries.iter().enumerate() {
            names.add(*net, &number.to_string(), Kind::Own);
        }
        let longest = entries.iter().enumerate().filter(|(_, net)| net.contains(&asked));
        let longest = longest.max_by_key(|(number, net)| (net.prefix_len(), *number));
        let known = Known::new(Arc::new(names), []);
        let about = known.about(&asked.to_string());
        prop_assert_eq!(
            about.label().map(|named| named.name.clone()),
            longest.map(|(number, _)| number.to_string())
        );

        let text: String = entries.iter().map(|net| format!("{net}\n")).collect();
        let known = Known::new(Arc::default(), [("l", list(Class::Vpn, &text))]);
        prop_assert_eq!(known.about(&asked.to_string()).class(Class::Vpn), scanned(&entries, &asked));
    }
}

/// How much of `asked` the entries hold, address by address (subnet by subnet of IPv6).
fn scanned(entries: &[ipnet::IpNet], asked: &ipnet::IpNet) -> Option<Extent> {
    let smallest = if asked.max_prefix_len() == 32 { 32 } else { 56 };
    let held = |net: &ipnet::IpNet| entries.iter().any(|entry| entry.contains(net));
    if entries.iter().any(|entry| entry.contains(asked)) {
        return Some(Extent::Whole);
    }
    // Wide networks are asked about in pieces no entry cuts.
    let longest = entries.iter().map(ipnet::IpNet::prefix_len).max().unwrap_or(0).min(smallest);
    let step = longest.max(asked.prefix_len());
    let inside = entries.iter().filter(|entry| asked.contains(*entry));
    let mut pieces: Vec<_> = inside.flat_map(|net| net.subnets(step).unwrap()).collect();
    pieces.sort_unstable();
    pieces.dedup();
    assert!(pieces.iter().all(held));
    let all = 1_u128 << (step - asked.prefix_len());
    let count = u128::try_from(pieces.len()).unwrap();
    if count == all {
        return Some(Extent::Whole);
    }
    let addresses = match asked {
        ipnet::IpNet::V4(_) => u32::try_from(count << (32 - step)).ok(),
        ipnet::IpNet::V6(_) => None,
    };
    (count > 0).then_some(Extent::Part { addresses })
}
