//! `[[network]]`, `[[network_list]]`, `[geo]` and `[identities]`: whose networks are, and who is who.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::Url;
use secrecy::ExposeSecret as _;

use super::hub;
use super::metrics_api;
use super::secret::{SecretRef, is_placeholder};
use super::section::{Section, Walk};
use super::{Seen, table, tables};
use crate::azure::{DirectorySettings, directory};
use crate::decode::text;
use crate::files::Files;
use crate::known::catalogue::Catalogue;
use crate::known::feed::{Feed, Holds};
use crate::known::format::{FORMATS, Format};
use crate::known::net::{self, NotANetwork};
use crate::known::{Class, Kind};

pub(super) const NETWORK: &[&str] = &["name", "kind", "cidrs"];
pub(super) const LIST: &[&str] = &["name", "path", "format", "class", "max_age"];
pub(super) const GEO: &[&str] = &["asn", "country", "max_age"];
pub(super) const IDENTITIES: &[&str] = &["names", "graph", "auth", "client_id", "graph_endpoint"];

/// Where Microsoft Graph answers in the public cloud.
const GRAPH: &str = "https://graph.microsoft.com";

/// Most networks in the catalogue.
const MAX_NETWORKS: usize = 10_000;
/// Most lists; each is asked about every caller of an incident.
const MAX_LISTS: usize = 64;
/// Longest name of a network, in characters.
const NAME_CHARS: usize = 64;

/// A feed and where its path stands.
type Placed = (Feed, Range<usize>);

/// Reads the four tables, and the files they name unless secrets are not looked up either; also how
/// the directory is asked, whose names are kept beside the database.
pub(super) fn read(
    top: &Section<'_>,
    database: &Path,
    walk: &mut Walk<'_>,
) -> (Files, Option<DirectorySettings>) {
    let mut directory = None;
    let catalogue = catalogue(top, walk);
    let mut feeds = lists(top, walk);
    if let Some(geo) = table(top, "geo", ("[geo]", GEO), walk) {
        let max_age_ms = max_age(&geo, walk);
        for (key, holds) in [("asn", Holds::Systems), ("country", Holds::Countries)] {
            let path = geo.path(key, walk);
            let feed = |path| Feed { name: format!("geo.{key}"), path, holds, max_age_ms };
            feeds.extend(path.map(|path| (feed(path), geo.value_at(key))));
        }
    }
    if let Some(identities) = table(top, "identities", ("[identities]", IDENTITIES), walk) {
        directory = self::directory(&identities, database, walk);
        if !identities.has("graph") {
            identities.require("names", "\"people.csv\"", walk);
        }
        let (name, holds) = ("identities.names".to_owned(), Holds::Identities);
        let path = identities.path("names", walk);
        let feed = path.map(|path| Feed { name, path, holds, max_age_ms: None });
        feeds.extend(feed.map(|feed| (feed, identities.value_at("names"))));
    }
    (open(catalogue, feeds, walk), directory)
}

/// Whether and how the directory is asked for names.
fn directory(
    section: &Section<'_>,
    database: &Path,
    walk: &mut Walk<'_>,
) -> Option<DirectorySettings> {
    let asked = section.flag("graph", walk) == Some(true);
    for key in ["auth", "client_id", "graph_endpoint"] {
        if section.has(key) && !asked {
            let message = format!("`{key}` is used with graph = true only");
            let mend = format!("write graph = true, or remove {key}");
            walk.findings.report(section.key_at(key), message, mend);
        }
    }
    let identity = metrics_api::identity(section, walk);
    let endpoint = match section.has("graph_endpoint") {
        true => metrics_api::https(section, "graph_endpoint", walk),
        false => Url::parse(GRAPH).ok(),
    };
    let file = directory::file_of(database);
    asked.then_some(DirectorySettings { endpoint: endpoint?, identity, file })
}

/// Reads every file that may be read, and reports what cannot be used.
fn open(catalogue: Catalogue, placed: Vec<Placed>, walk: &mut Walk<'_>) -> Files {
    // Where secrets are only checked to be named, files are too: they lie on another machine.
    let is_pretence = |path: &PathBuf| {
        let answer = (walk.lookup)(&SecretRef::File(path.clone()));
        answer.is_ok_and(|secret| is_placeholder(secret.expose_secret()))
    };
    let pretence = placed.first().is_some_and(|(feed, _)| is_pretence(&feed.path));
    let (feeds, places): (Vec<_>, Vec<_>) = placed.into_iter().unzip();
    let mut files = Files::unread(Arc::new(catalogue), feeds);
    if pretence {
        return files;
    }
    files.read();
    for (file, place) in files.in_use().into_iter().zip(places) {
        if let Err(broken) = file.content {
            let message = format!("{}: {}", file.path.display(), broken.message);
            walk.findings.report(place, message, broken.mend);
        }
    }
    files
}

fn catalogue(top: &Section<'_>, walk: &mut Walk<'_>) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for section in tables(top, "network", ("[[network]]", NETWORK), walk) {
        section.require("name", "\"office Berlin\"", walk);
        section.require("kind", "\"own\"", walk);
        section.require("cidrs", "[\"203.0.113.0/24\"]", walk);
        let kind = section.choice("kind", &Kind::ALL, walk).unwrap_or(Kind::Partner);
        let name = name(&section, walk);
        for (cidr, at) in cidrs(&section, walk) {
            add(&mut catalogue, (&cidr, at), (&name, kind), walk);
        }
    }
    if catalogue.len() > MAX_NETWORKS {
        let message = format!("more than {MAX_NETWORKS} networks");
        walk.findings.report(top.value_at("network"), message, "put them into a [[network_list]]");
    }
    catalogue
}

fn name(section: &Section<'_>, walk: &mut Walk<'_>) -> String {
    let given = section.text("name", walk).unwrap_or_default();
    let name = text::clean(&given, NAME_CHARS);
    if name != given {
        let message = "`name` is long or holds what cannot be seen";
        let mend = format!("write at most {NAME_CHARS} characters on one line");
        walk.findings.report(section.value_at("name"), message, mend);
    }
    name
}

/// The texts of `cidrs`, each with its place.
fn cidrs(section: &Section<'_>, walk: &mut Walk<'_>) -> Vec<(String, Range<usize>)> {
    const EXAMPLE: &str = "write cidrs = [\"203.0.113.0/24\", \"2001:db8::/32\"]";
    let Some(value) = section.value("cidrs") else { return Vec::new() };
    let list = value.get_ref().as_array().filter(|list| !list.is_empty());
    let Some(list) = list else {
        walk.findings.report(value.span(), "`cidrs` is no list of networks", EXAMPLE);
        return Vec::new();
    };
    let mut cidrs = Vec::new();
    for item in list.iter() {
        match item.get_ref().as_str() {
            Some(text) => cidrs.push((text.to_owned(), item.span())),
            None => walk.findings.report(item.span(), "is no text", EXAMPLE),
        }
    }
    cidrs
}

fn add(
    catalogue: &mut Catalogue,
    (cidr, at): (&str, Range<usize>),
    (name, kind): (&str, Kind),
    walk: &mut Walk<'_>,
) {
    let network = match net::parse(cidr) {
        Ok(network) => network,
        Err(wrong) => {
            let mend = match wrong {
                NotANetwork::HostBits(meant) => {
                    format!("write \"{meant}\", or one address without a length")
                }
                NotANetwork::Unreadable => "write \"203.0.113.0/24\" or an address".to_owned(),
                NotANetwork::TooWide => "name the networks that are meant".to_owned(),
            };
            walk.findings.report(at, format!("{cidr:?}: {wrong}"), mend);
            return;
        }
    };
    if let Some(before) = catalogue.add(network, name, kind) {
        let message = format!("{network} is {before:?} already");
        let mend = "name a network once; one inside another may have a name of its own";
        walk.findings.report(at, message, mend);
    }
}

fn lists(top: &Section<'_>, walk: &mut Walk<'_>) -> Vec<Placed> {
    let formats = FORMATS.map(|format| (format.name, format));
    let mut seen = Seen::default();
    let mut lists = Vec::new();
    for section in tables(top, "network_list", ("[[network_list]]", LIST), walk) {
        section.require("name", "\"tor\"", walk);
        section.require("path", "\"lists/tor.txt\"", walk);
        section.require("format", "\"netset\"", walk);
        section.require("class", "\"tor\"", walk);
        let name = hub::name(&section, walk);
        seen.name(&name, &section, walk);
        let format: Option<&'static Format> = section.choice("format", &formats, walk);
        let class = section.choice("class", &Class::ALL, walk);
        let max_age_ms = max_age(&section, walk);
        let path = section.path("path", walk);
        let holds = format.zip(class).map(|(format, class)| Holds::Networks { format, class });
        let feed = path.zip(holds).map(|(path, holds)| Feed { name, path, holds, max_age_ms });
        lists.extend(feed.map(|feed| (feed, section.value_at("path"))));
    }
    if lists.len() > MAX_LISTS {
        let message = format!("more than {MAX_LISTS} lists");
        walk.findings.report(top.value_at("network_list"), message, "join lists of one class");
        lists.truncate(MAX_LISTS);
    }
    lists
}

fn max_age(section: &Section<'_>, walk: &mut Walk<'_>) -> Option<i64> {
    section.duration("max_age", ("1h", "365d"), walk)
}
