//! `[resource_graph]`: subscriptions whose AI resources are read through Azure Resource Manager; and
//! `[posture.allow]`: what may be made in them.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Url;

use super::metrics_api::{https, identity};
use super::owner::lower;
use super::section::{Section, Walk};
use super::table;
use crate::azure::Bounds;
use crate::detect::tuning::Allowed;
use crate::source::resource_graph::{InventorySettings, PUBLIC, subscription_id};
use crate::time::DAY_MS;

pub(super) const KEYS: &[&str] = &["subscriptions", "endpoint", "auth", "client_id", "every"];

/// Example of a subscription.
const SUBSCRIPTION: &str = "\"3f0c0000-0000-4000-8000-000000000001\"";
/// Names in one list of what may be made.
const MAX_ALLOWED: usize = 1_000;
/// Subscriptions that one service reads.
const MAX_SUBSCRIPTIONS: usize = 100;

/// Reads the section; `None` when it has no address that can be used, which has been reported.
pub(super) fn read(
    section: &Section<'_>,
    walk: &mut Walk<'_>,
) -> Option<(InventorySettings, Duration)> {
    section.require("subscriptions", &format!("[{SUBSCRIPTION}]"), walk);
    let subscriptions = subscriptions(section, walk);
    let identity = identity(section, walk);
    // A poll asks a few questions of each account; what was written is read soon after in any case.
    let every_ms = section.duration("every", ("15m", "7d"), walk).unwrap_or(DAY_MS);
    let endpoint = match section.has("endpoint") {
        true => https(section, "endpoint", walk),
        false => Url::parse(PUBLIC).ok(),
    };
    // Nobody waits: what is not answered now is asked for again in the next poll.
    let bounds = Bounds::default();
    let every = Duration::from_millis(u64::try_from(every_ms).unwrap_or(0));
    Some((InventorySettings { endpoint: endpoint?, identity, subscriptions, bounds }, every))
}

/// Keys of what may be made.
pub(super) const ALLOW: &[&str] = &["regions", "kinds", "skus", "creators"];

/// What may be made, by `[posture.allow]`; anything where nothing is said.
pub(super) fn allowed(top: &Section<'_>, walk: &mut Walk<'_>) -> Allowed {
    let posture = table(top, "posture", ("[posture]", &["allow"]), walk);
    let allow =
        posture.and_then(|posture| table(&posture, "allow", ("[posture.allow]", ALLOW), walk));
    let Some(section) = allow else { return Allowed::default() };
    for key in ALLOW.iter().filter(|key| section.texts_at(key).len() > MAX_ALLOWED) {
        let message = format!("`{key}` names more than {MAX_ALLOWED}");
        walk.findings.report(section.value_at(key), message, "name fewer");
    }
    let mut list = |key| lower(&section, key, walk);
    let [kinds, skus, creators] = ["kinds", "skus", "creators"].map(&mut list);
    let regions = list("regions").into_iter().map(|region| region.replace(' ', "")).collect();
    Allowed { regions, kinds, skus, creators }
}

fn subscriptions(section: &Section<'_>, walk: &mut Walk<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Some(texts) = section.texts("subscriptions", walk) else { return found };
    let at = section.value_at("subscriptions");
    if texts.is_empty() || texts.len() > MAX_SUBSCRIPTIONS {
        let message = format!("`subscriptions` is not a list of 1 to {MAX_SUBSCRIPTIONS} ids");
        let mend = format!("write subscriptions = [{SUBSCRIPTION}]");
        walk.findings.report(at.clone(), message, mend);
    }
    for text in texts {
        let Some(id) = subscription_id(&text) else {
            let message = format!("`subscriptions`: {text:?} is not the id of a subscription");
            let mend = format!("write it as `az account list` does, such as {SUBSCRIPTION}");
            walk.findings.report(at.clone(), message, mend);
            continue;
        };
        if !found.insert(id) {
            let message = format!("`subscriptions`: {text:?} is there twice");
            walk.findings.report(at.clone(), message, "remove one of them");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use secrecy::SecretString;

    use super::super::{Config, Problems, parse};
    use crate::azure::Identity;

    const ID: &str = "3f0c0000-0000-4000-8000-00000000000A";
    const HUB: &str =
        "[[hub]]\nname = \"h\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"l\"\n";

    fn read(text: &str) -> Result<Config, Problems> {
        let file = Path::new("conf/tokenwatch.toml").display().to_string();
        parse(&format!("{HUB}{text}"), &file, &|_| Ok(SecretString::from("0123456789abcdef")))
    }

    #[test]
    fn it_is_off_until_it_is_written_and_daily_then() {
        assert!(read("").unwrap().inventory.is_none());
        let text = format!("[resource_graph]\nsubscriptions = [\"{ID}\"]\n");
        let (settings, every) = read(&text).unwrap().inventory.unwrap();
        assert_eq!(every.as_secs(), 24 * 3_600);
        assert_eq!(settings.endpoint.as_str(), "https://management.azure.com/");
        assert_eq!(settings.identity, Identity::Managed { client_id: None });
        assert!(settings.subscriptions.contains(&ID.to_lowercase()), "{settings:?}");
        let text = format!(
            "{text}every = \"6h\"\nauth = \"cli\"\nendpoint = \"https://management.usgovcloudapi.net\"\n"
        );
        let (settings, every) = read(&text).unwrap().inventory.unwrap();
        assert_eq!((every.as_secs(), settings.identity), (6 * 3_600, Identity::Cli));
    }

    #[test]
    fn what_may_be_made_is_anything_until_it_is_said() {
        let allowed = |text: &str| read(text).unwrap().engine.tuning.allowed().clone();
        assert!(allowed("").is_anything());
        let text =
            "[posture.allow]\nregions = [\"East US 2\"]\ncreators = [\"Ada@contoso.example\"]\n";
        let said = allowed(text);
        assert_eq!(
            (said.regions, said.creators),
            (vec!["eastus2".to_owned()], vec!["ada@contoso.example".to_owned()])
        );
        assert!(said.kinds.is_empty() && said.skus.is_empty());
        let problems = read("[posture]\nallow = 1\n").unwrap_err().0;
        assert!(problems[0].message.contains("not a table"), "{problems:?}");
        let problems = read("[posture.allow]\nmodels = []\nskus = 7\n").unwrap_err().0;
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].message.contains("unknown key `models`"), "{problems:?}");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_its_line() {
        let text = format!(
            "[resource_graph]\nsubscriptions = [\"production\", \"{ID}\", \"{ID}\"]\nevery = \"1m\"\n\
             endpoint = \"http://x\"\nauth = \"cli\"\nclient_id = \"c\"\nregion = \"eastus2\"\n"
        );
        let problems = read(&text).unwrap_err().0;
        let told: Vec<(usize, &str)> =
            problems.iter().map(|problem| (problem.line, problem.message.as_str())).collect();
        for (line, words) in [
            (6, "\"production\" is not the id"),
            (6, "is there twice"),
            (7, "every"),
            (8, "not https://"),
            (10, "client_id"),
            (11, "unknown key `region`"),
        ] {
            let is = |(at, message): &(usize, &str)| *at == line && message.contains(words);
            assert!(told.iter().any(is), "{line} {words}: {told:?}");
        }
        assert_eq!(told.len(), 6, "{told:?}");
        assert!(problems.iter().all(|problem| !problem.mend.is_empty()));
        let none = read("[resource_graph]\nsubscriptions = []\n").unwrap_err().0;
        assert!(none[0].message.contains("1 to 100"), "{none:?}");
        assert!(
            read("[resource_graph]\n").unwrap_err().0[0].message.contains("no `subscriptions`")
        );
    }
}
