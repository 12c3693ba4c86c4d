//! Networks as lists and people write them.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Bits of a prefix that IPv4 addresses have in front of them when written as IPv6 (RFC 4291, 2.5.5.2).
const MAPPED_BITS: u8 = 96;
/// Widest IPv4 network believed: 224.0.0.0/3 stands in lists of what is never routed.
const WIDEST_V4: u8 = 3;
/// Widest IPv6 network believed: registries are given a /12.
const WIDEST_V6: u8 = 8;

/// Why a text is not taken for a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotANetwork {
    /// Neither an address nor an address and a length.
    #[error("not a network")]
    Unreadable,
    /// Bits beyond the length are set, so that it says two different things.
    #[error("bits are set beyond its length; the network is {0}")]
    HostBits(IpNet),
    /// It would hold much of the Internet.
    #[error("too wide for one network")]
    TooWide,
}

/// A network or a single address; IPv4 written as IPv6 becomes IPv4.
///
/// # Errors
/// Why it is none.
pub fn parse(text: &str) -> Result<IpNet, NotANetwork> {
    let read = match text.split_once('/') {
        None => text.parse::<IpAddr>().ok().map(IpNet::from),
        Some(_) => text.parse::<IpNet>().ok(),
    };
    let net = canonical(read.ok_or(NotANetwork::Unreadable)?)?;
    let widest = match net {
        IpNet::V4(_) => WIDEST_V4,
        IpNet::V6(_) => WIDEST_V6,
    };
    if net.prefix_len() < widest {
        return Err(NotANetwork::TooWide);
    }
    if net.trunc() == net { Ok(net) } else { Err(NotANetwork::HostBits(net.trunc())) }
}

fn canonical(net: IpNet) -> Result<IpNet, NotANetwork> {
    let IpNet::V6(v6) = net else { return Ok(net) };
    let Some(v4) = v6.addr().to_ipv4_mapped() else { return Ok(net) };
    let length = v6.prefix_len().checked_sub(MAPPED_BITS).ok_or(NotANetwork::TooWide)?;
    Ipv4Net::new(v4, length).map(IpNet::V4).map_err(|_| NotANetwork::Unreadable)
}

/// True for addresses that mean something else in every network (private use, shared, loopback,
/// link-local: RFC 1918, 6598, 1122, 3927, 4193, 4291), so that lists of the Internet say nothing
/// about them.
#[must_use]
pub fn is_private(net: &IpNet) -> bool {
    match net {
        IpNet::V4(v4) => {
            let [a, b, ..] = v4.addr().octets();
            v4.addr().is_private()
                || v4.addr().is_loopback()
                || v4.addr().is_link_local()
                || (a == 100 && (64..128).contains(&b))
        }
        IpNet::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v6(net: &Ipv6Net) -> bool {
    let [first, ..] = net.addr().segments();
    net.addr() == Ipv6Addr::LOCALHOST || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_they_are_written() {
        for (text, expected) in [
            ("203.0.113.0/24", Some("203.0.113.0/24")),
            ("203.0.113.7", Some("203.0.113.7/32")),
            ("2001:db8:1::/48", Some("2001:db8:1::/48")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("::ffff:203.0.113.0/120", Some("203.0.113.0/24")),
            ("::ffff:203.0.113.7", Some("203.0.113.7/32")),
            ("224.0.0.0/3", Some("224.0.0.0/3")),
            ("::ffff:0:0/90", None),
            ("203.0.113.7/24", None),
            ("2001:db8:1::1/48", None),
            ("0.0.0.0/0", None),
            ("::/0", None),
            ("2000::/3", None),
            ("203.0.113.0/33", None),
            ("203.0.113.0/-1", None),
            ("203.0.113.0/", None),
            ("203.0.113", None),
            ("203.0.113.0/24/24", None),
            (" 203.0.113.0/24", None),
            ("203.0.113.0-203.0.113.9", None),
            ("AS64500", None),
            ("", None),
        ] {
            let read = parse(text).map(|net| net.to_string());
            assert_eq!(read.as_deref().ok(), expected, "{text}: {read:?}");
        }
        let wrong = parse("203.0.113.7/24").unwrap_err();
        assert!(wrong.to_string().contains("203.0.113.0/24"), "{wrong}");
    }

    #[test]
    fn addresses_of_a_private_network_are_told_apart() {
        for (text, private) in [
            ("10.1.2.0/24", true),
            ("172.31.0.0/24", true),
            ("172.32.0.0/24", false),
            ("192.168.1.0/24", true),
            ("100.64.0.0/24", true),
            ("100.128.0.0/24", false),
            ("127.0.0.0/24", true),
            ("169.254.7.0/24", true),
            ("203.0.113.0/24", false),
            ("fd00:1:2::/48", true),
            ("fe80::/48", true),
            ("2001:db8::/48", false),
        ] {
            assert_eq!(is_private(&parse(text).unwrap()), private, "{text}");
        }
    }
}
