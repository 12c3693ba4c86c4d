//! Which addresses a destination may reach, checked at the moment of connecting.
//!
//! Whoever writes a destination's address, or answers for its name, must not be able to make us
//! call something that trusts us for where we stand: a metadata service, a neighbour, ourselves.
//! [`Guard`] says of every address whether this destination may reach it. [`Guarded`] looks a name
//! up and hands only such addresses to the connection, so that nothing lies between the check and
//! the use: a name that is pointed elsewhere afterwards leads nowhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::settings::Problem;
use crate::known::net;

/// What an address is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Anywhere on the Internet.
    Public,
    /// In a network of the operator's or on this machine; only when `allow_internal` names it.
    Internal,
    /// Where no receiver lives, and where credentials may be handed out; never.
    Never,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(segments: [u16; 8], length: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}

/// Networks that are not public; the first that holds an address decides. From the registry of
/// special-purpose addresses (RFC 6890 and its successors) and the manuals of the clouds.
const V4: [(Ipv4Net, Reach); 18] = [
    (v4(168, 63, 129, 16, 32), Reach::Never), // Azure's platform channel ("wire server")
    (v4(100, 100, 100, 200, 32), Reach::Never), // metadata service of Alibaba Cloud
    (v4(0, 0, 0, 0, 8), Reach::Never),
    (v4(10, 0, 0, 0, 8), Reach::Internal),
    (v4(100, 64, 0, 0, 10), Reach::Internal), // shared by customers of a provider (RFC 6598)
    (v4(127, 0, 0, 0, 8), Reach::Internal),
    (v4(169, 254, 0, 0, 16), Reach::Never), // link-local, with every large cloud's metadata service
    (v4(172, 16, 0, 0, 12), Reach::Internal),
    (v4(192, 0, 0, 0, 24), Reach::Never), // protocols of the IETF; metadata service of Oracle's cloud
    (v4(192, 0, 2, 0, 24), Reach::Never), // documentation (RFC 5737)
    (v4(192, 88, 99, 0, 24), Reach::Never), // relays of 6to4, withdrawn (RFC 7526)
    (v4(192, 168, 0, 0, 16), Reach::Internal),
    (v4(198, 18, 0, 0, 15), Reach::Internal), // benchmarks (RFC 2544)
    (v4(198, 51, 100, 0, 24), Reach::Never),  // documentation
    (v4(203, 0, 113, 0, 24), Reach::Never),   // documentation
    (v4(224, 0, 0, 0, 4), Reach::Never),      // multicast
    (v4(240, 0, 0, 0, 4), Reach::Never),      // reserved, and broadcast
    (v4(0, 0, 0, 0, 0), Reach::Public),
];

/// The same for IPv6, of which `2000::/3` alone is public.
const V6: [(Ipv6Net, Reach); 12] = [
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Reach::Internal),
    (v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0], 32), Reach::Never), // metadata service of AWS
    (v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0], 32), Reach::Never), // metadata service of Google's cloud
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Reach::Internal),    // unique local (RFC 4193)
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Reach::Never),      // protocols of the IETF, Teredo
    (v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32), Reach::Never), // documentation (RFC 3849)
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), Reach::Never),      // 6to4 holds any IPv4 address
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Reach::Never),      // documentation (RFC 9637)
    (v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3), Reach::Public),
    // Link-local, site-local, multicast, unspecified, IPv4-compatible, NAT64 of one's own
    // (RFC 8215), discard-only, and what nobody has been given.
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), Reach::Never),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Reach::Never),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 0), Reach::Never),
];

/// Addresses in which a gateway finds an IPv4 address (RFC 6052): networks of IPv6 alone reach
/// public receivers so.
const NAT64: Ipv6Net = v6([0x0064, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// What `ip` is to us; IPv4 addresses written as IPv6 are what they are as IPv4.
pub(super) fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        IpAddr::V4(ip) => first(&V4, |net| net.contains(&ip)),
        IpAddr::V6(ip) if NAT64.contains(&ip) => {
            let [.., a, b, c, d] = ip.octets();
            match reach(IpAddr::V4(Ipv4Addr::new(a, b, c, d))) {
                Reach::Public => Reach::Public,
                // The gateway must not lead there (RFC 6052, 3.1), and we do not try whether it does.
                Reach::Internal | Reach::Never => Reach::Never,
            }
        }
        IpAddr::V6(ip) => first(&V6, |net| net.contains(&ip)),
    }
}

fn first<N>(networks: &[(N, Reach)], holds: impl Fn(&N) -> bool) -> Reach {
    let found = networks.iter().find(|(network, _)| holds(network));
    // The last network of each list holds every address.
    found.map_or(Reach::Never, |(_, reach)| *reach)
}

/// What one destination may reach.
#[derive(Debug, Clone)]
pub(super) enum Guard {
    /// Its address names this machine, which is as explicit as a list; nothing else then.
    Loopback,
    /// Public addresses, and these internal ones.
    Listed(Vec<IpNet>),
}

/// Why an address is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    ip: IpAddr,
    reach: Reach,
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not called: ", self.ip)?;
        match self.reach {
            Reach::Public => write!(f, "http is for this machine only"),
            Reach::Internal => write!(f, "an internal address that allow_internal does not name"),
            Reach::Never => write!(f, "link-local, a metadata service or no single public host"),
        }
    }
}

impl Guard {
    /// For the destination at `url`, which has passed [`url_problem`].
    ///
    /// # Errors
    ///
    /// A network of `allow_internal` that is none.
    pub(super) fn new(url: &Url, allow_internal: &[String]) -> Result<Self, Problem> {
        if url.host_str().is_some_and(is_loopback) {
            return Ok(Self::Loopback);
        }
        Ok(Self::Listed(networks(allow_internal)?))
    }

    /// Says whether this destination may reach `ip`.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(super) fn check(&self, ip: IpAddr) -> Result<(), Refused> {
        let canonical = ip.to_canonical();
        let reach = reach(ip);
        let may = match self {
            Self::Loopback => canonical.is_loopback(),
            Self::Listed(networks) => match reach {
                Reach::Public => true,
                Reach::Internal => networks.iter().any(|network| network.contains(&canonical)),
                Reach::Never => false,
            },
        };
        if may { Ok(()) } else { Err(Refused { ip, reach }) }
    }
}

/// Networks of `allow_internal`; each must lie within one internal network, and the first that does
/// not is the problem.
fn networks(texts: &[String]) -> Result<Vec<IpNet>, Problem> {
    texts.iter().map(|text| network(text)).collect()
}

/// Everything wrong with the networks of `allow_internal`.
pub(super) fn network_problems(texts: &[String]) -> impl Iterator<Item = Problem> {
    texts.iter().filter_map(|text| network(text).err())
}

fn network(text: &str) -> Result<IpNet, Problem> {
    let internal = |network: &IpNet| {
        reach(network.network()) == Reach::Internal && reach(network.broadcast()) == Reach::Internal
    };
    let parsed = net::parse(text).ok().filter(internal);
    parsed.ok_or_else(|| Problem::AllowInternal { text: text.to_owned() })
}

/// What is wrong with an address that is posted to. Names are not looked up.
pub(super) fn url_problem(text: &str, allow_internal: &[String]) -> Option<Problem> {
    let Ok(url) = Url::parse(text) else { return Some(Problem::Url) };
    let Some(host) = url.host_str() else { return Some(Problem::Url) };
    if !url.username().is_empty() || url.password().is_some() {
        return Some(Problem::Url);
    }
    let never = || Problem::ForbiddenHost { host: host.to_owned() };
    if host.trim_end_matches('.').eq_ignore_ascii_case("metadata.google.internal") {
        return Some(never());
    }
    match address(host).and_then(|ip| Guard::new(&url, allow_internal).ok()?.check(ip).err()) {
        Some(Refused { reach: Reach::Never, .. }) => return Some(never()),
        Some(Refused { reach: Reach::Internal, .. }) if url.scheme() == "https" => {
            return Some(Problem::InternalHost { host: host.to_owned() });
        }
        Some(Refused { reach: Reach::Internal | Reach::Public, .. }) | None => {}
    }
    match url.scheme() {
        "https" => None,
        "http" if is_loopback(host) => None,
        "http" => Some(Problem::PlainHttp),
        _ => Some(Problem::Url),
    }
}

/// True for `localhost` and addresses of the loopback network, brackets or not.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|ip| ip.is_loopback())
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// Looks names up for a connection and hands on only what the guard allows.
pub(super) struct Guarded {
    guard: Guard,
    names: Arc<dyn Resolve>,
}

impl Guarded {
    /// Asks `names`.
    pub(super) fn new(guard: Guard, names: Arc<dyn Resolve>) -> Self {
        Self { guard, names }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.guard.clone();
        let asked = self.names.resolve(name);
        Box::pin(async move {
            let (mut kept, mut refused) = (Vec::new(), None);
            for at in asked.await? {
                match guard.check(at.ip()) {
                    Ok(()) => kept.push(at),
                    Err(reason) => refused = Some(reason),
                }
            }
            match refused {
                _ if !kept.is_empty() => Ok(Box::new(kept.into_iter()) as Addrs),
                Some(refused) => Err(refused.into()),
                None => Err("the name has no address".into()),
            }
        })
    }
}

/// The names of the system.
pub(super) struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(ip: &str, expected: Reach) {
        assert_eq!(reach(ip.parse().unwrap()), expected, "{ip}");
    }

    #[test]
    fn addresses_that_hand_out_credentials_are_never_called() {
        for ip in [
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
            "240.0.0.1",
            "203.0.113.9",
            "2001:db8::1",
            "3fff::1",
            "2001::1",
            "fec0::1",
            "100::1",
            "4000::1",
        ] {
            check(ip, Reach::Never);
        }
        for ip in [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "fc00::1",
            "fd12:3456::1",
            "::ffff:10.1.2.3",
        ] {
            check(ip, Reach::Internal);
        }
        for ip in [
            "1.1.1.1",
            "172.32.0.1",
            "172.15.0.1",
            "100.128.0.1",
            "168.63.129.17",
            "2606:4700::1111",
            "64:ff9b::1.1.1.1",
            "2a01:111::1",
            "::ffff:8.8.8.8",
        ] {
            check(ip, Reach::Public);
        }
    }

    /// What the standard library knows of addresses that are not public.
    fn is_special(ip: Ipv4Addr) -> bool {
        ip.is_private()
            || ip.is_loopback()
            || ip.is_link_local()
            || ip.is_multicast()
            || ip.is_broadcast()
            || ip.is_documentation()
            || ip.is_unspecified()
    }

    proptest! {
        #[test]
        fn no_special_address_is_public(bits: u32, high in prop::sample::select(
            vec![0_u8, 10, 100, 127, 168, 169, 172, 192, 198, 203, 224, 255])) {
            let [_, b, c, d] = bits.to_be_bytes();
            for ip in [Ipv4Addr::from(bits), Ipv4Addr::new(high, b, c, d)] {
                let what = reach(IpAddr::V4(ip));
                prop_assert!(!is_special(ip) || what != Reach::Public, "{ip}");
                let may_be_internal = ip.is_private() || ip.is_loopback()
                    || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64)
                    || (ip.octets()[0] == 198 && ip.octets()[1] & 0xfe == 18);
                prop_assert!(what != Reach::Internal || may_be_internal, "{ip}");
            }
        }

        #[test]
        fn ipv6_reaches_nothing_that_ipv4_does_not(bits: u32, special: bool) {
            let ip = if special { Ipv4Addr::from(0xa9fe_0000 | bits & 0xffff) } else { Ipv4Addr::from(bits) };
            let as_v4 = reach(IpAddr::V4(ip));
            prop_assert_eq!(reach(IpAddr::V6(ip.to_ipv6_mapped())), as_v4);
            let [a, b, c, d] = ip.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let nat64 = reach(IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low)));
            prop_assert_eq!(nat64 == Reach::Public, as_v4 == Reach::Public);
            for embedded in [
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !high, !low),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            ] {
                prop_assert_eq!(reach(IpAddr::V6(embedded)), Reach::Never, "{}", embedded);
            }
        }

        #[test]
        fn only_global_unicast_of_ipv6_is_public(bits: u128) {
            for ip in [Ipv6Addr::from(bits), Ipv6Addr::from(bits >> 3 | 1 << 125)] {
                let what = reach(IpAddr::V6(ip));
                prop_assert!(what != Reach::Public || ip.octets()[0] >> 5 == 1, "{ip}");
                prop_assert!(!ip.is_multicast() || what == Reach::Never, "{ip}");
                prop_assert!(!ip.is_unique_local() || what != Reach::Public, "{ip}");
            }
        }

        #[test]
        fn a_list_opens_what_it_names_and_nothing_else(bits: u32, third: u8, fourth: u8) {
            let guard = Guard::Listed(networks(&["10.1.0.0/16".to_owned()]).unwrap());
            let inside = IpAddr::V4(Ipv4Addr::new(10, 1, third, fourth));
            prop_assert_eq!(guard.check(inside), Ok(()));
            let ip = IpAddr::from(Ipv4Addr::from(bits));
            let listed = bits >> 16 == 0x0a01;
            prop_assert_eq!(guard.check(ip).is_ok(), listed || reach(ip) == Reach::Public);
            let loopback = Guard::Loopback.check(ip);
            prop_assert_eq!(loopback.is_ok(), bits >> 24 == 127);
        }
    }

    #[test]
    fn a_list_names_internal_networks_only() {
        for text in ["10.0.0.0/8", "127.0.0.1", "127.0.0.1/32", "::1", "fd12::/16", "100.64.1.0/24"]
        {
            assert!(networks(&[text.to_owned()]).is_ok(), "{text}");
        }
        for text in [
            "8.8.8.8/32",
            "0.0.0.0/0",
            "::/0",
            "169.254.169.254/32",
            "10.0.0.1/8",
            "x",
            "",
            "10.0.0.0/7",
            "203.0.113.0/24",
            "fe80::/10",
            "fd00:ec2::/32",
            "::ffff:169.254.169.254/128",
        ] {
            let problem = Problem::AllowInternal { text: text.to_owned() };
            assert_eq!(networks(&[text.to_owned()]), Err(problem), "{text}");
        }
        // A wide network may hold what is never called; it is not called all the same.
        let wide =
            Guard::Listed(networks(&["fd00::/8".to_owned(), "100.64.0.0/10".to_owned()]).unwrap());
        for ip in ["fd00:ec2::254", "100.100.100.200"] {
            assert!(wide.check(ip.parse().unwrap()).is_err(), "{ip}");
        }
    }

    #[tokio::test]
    async fn names_lead_only_where_the_guard_allows() {
        let check = async |guard: Guard, name: &str, found: bool| {
            let names = Guarded::new(guard, Arc::new(SystemNames));
            let resolved = names.resolve(name.parse().unwrap()).await;
            assert_eq!(resolved.is_ok(), found, "{name}");
        };
        let list = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            Guard::Listed(networks(&texts).unwrap())
        };
        check(Guard::Loopback, "localhost", true).await;
        check(list(&[]), "localhost", false).await;
        check(list(&["127.0.0.0/8", "::1"]), "localhost", true).await;
        check(list(&["127.0.0.0/8"]), "169.254.169.254", false).await;
        check(Guard::Loopback, "1.1.1.1", false).await;
        check(list(&[]), "1.1.1.1", true).await;
    }
}
