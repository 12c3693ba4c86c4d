//! Caller addresses as Azure writes them: masked, with ports, IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network of a caller: /24 for IPv4, /48 for IPv6; `None` when the text names no address.
///
/// Reads `203.0.113.***` (one to three stars), full addresses, `address:port`, `[v6]:port`,
/// `address/length` and `v6%zone`. An address of nothing but zeros stands for none.
#[must_use]
pub fn network(address: &str) -> Option<String> {
    let text = address.trim();
    let text = text.split(['/', '%']).next().unwrap_or(text);
    match text.strip_suffix(['*']).map(|rest| rest.trim_end_matches('*')) {
        Some(prefix) => masked(prefix),
        None => text
            .parse()
            .ok()
            .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
            .filter(|address: &IpAddr| !address.is_unspecified())
            .map(prefix_of),
    }
}

/// `203.0.113.` or `2001:db8:1:` with the rest hidden.
fn masked(prefix: &str) -> Option<String> {
    if prefix.contains(':') {
        let open = prefix.trim_end_matches(':');
        return format!("{open}::").parse::<Ipv6Addr>().ok().map(|ip| prefix_of(IpAddr::V6(ip)));
    }
    format!("{prefix}0").parse::<Ipv4Addr>().ok().map(|ip| prefix_of(IpAddr::V4(ip)))
}

fn prefix_of(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_networks() {
        for (text, expected) in [
            ("203.0.113.***", Some("203.0.113.0/24")),
            ("203.0.113.*", Some("203.0.113.0/24")),
            ("203.0.113.77", Some("203.0.113.0/24")),
            ("203.0.113.77:4711", Some("203.0.113.0/24")),
            ("203.0.113.0/24", Some("203.0.113.0/24")),
            ("2001:db8:1:2::5", Some("2001:db8:1::/48")),
            ("[2001:db8:1:2::5]:443", Some("2001:db8:1::/48")),
            ("::ffff:203.0.113.9", Some("203.0.113.0/24")),
            ("2001:db8:1:***", Some("2001:db8:1::/48")),
            ("127.0.0.0/8", Some("127.0.0.0/24")),
            ("10.20.30.**", Some("10.20.30.0/24")),
            ("fe80::1%eth0", Some("fe80::/48")),
            (" 203.0.113.77 ", Some("203.0.113.0/24")),
            ("2001:db8:1::/48", Some("2001:db8:1::/48")),
            ("0.0.0.0", None),
            ("::", None),
            ("203.0.*.*", None),
            ("203.0.113.77, 10.0.0.1", None),
            ("", None),
            ("***", None),
            ("not an address", None),
            ("300.1.1.1", None),
        ] {
            assert_eq!(network(text).as_deref(), expected, "{text}");
        }
    }
}
