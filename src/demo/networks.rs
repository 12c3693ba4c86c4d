//! What the demo knows about the simulated callers: the fleet's own networks, and who rents the
//! attacker's servers. Written into the demo's folder, so that it is read as anybody's files are.

use std::path::Path;
use std::sync::Arc;

use crate::files::Files;
use crate::known::catalogue::Catalogue;
use crate::known::feed::{Feed, Holds};
use crate::known::format::FORMATS;
use crate::known::{Class, Kind, net};

const HOSTING: &str = include_str!("../../models/demo/hosting.netset");
const SYSTEMS: &[u8] = include_bytes!("../../models/demo/networks.mmdb");
/// Where the simulated fleet calls from (RFC 2544 sets it aside for tests).
const FLEET: &str = "198.18.0.0/15";

/// Writes the files into `folder` and reads them.
pub(super) fn files(folder: &Path) -> std::io::Result<Files> {
    let mut catalogue = Catalogue::default();
    if let Ok(network) = net::parse(FLEET) {
        catalogue.add(network, "contoso offices", Kind::Own);
    }
    let mut feeds = Vec::new();
    let hosting = FORMATS.into_iter().find(|format| format.name == "netset");
    let hosting = hosting.map(|format| Holds::Networks { format, class: Class::Hosting });
    for (name, holds, bytes) in [
        ("hosting.netset", hosting, HOSTING.as_bytes()),
        ("networks.mmdb", Some(Holds::Systems), SYSTEMS),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, bytes)?;
        let feed = |holds| Feed { name: name.to_owned(), path, holds, max_age_ms: None };
        feeds.extend(holds.map(feed));
    }
    let mut files = Files::unread(Arc::new(catalogue), feeds);
    files.read();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::InUse;

    #[test]
    fn the_demo_knows_its_own_and_the_attackers_networks() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path()).unwrap();
        let fine = |file: &InUse| file.content.is_ok();
        assert!(files.in_use().len() == 2 && files.in_use().iter().all(fine));
        let known = files.known();
        let said = |network: &str| known.about(network).to_string();
        assert_eq!(said("198.18.3.0/24"), "yours: contoso offices (own)");
        let rented = "hosting (list hosting.netset) · AS64500 Example Hosting · ZZ";
        assert_eq!(said("203.0.113.0/24"), rented);
        assert!(said("198.51.100.0/24").starts_with("hosting (list hosting.netset) · AS64501"));
    }
}
