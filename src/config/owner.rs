//! `[[owner]]`: which team answers for which deployments; budgets and the weekly report use it.

use std::collections::HashMap;

use lettre::message::Mailbox;

use super::section::{Section, Walk};
use super::{Seen, hub, tables};
use crate::known::owner::{Owner, Owners};

pub(super) const KEYS: &[&str] = &["name", "mail", "subscriptions", "accounts", "deployments"];

/// Most owners; each is looked through for every new deployment.
const MAX_OWNERS: usize = 500;

/// Reads every owner.
pub(super) fn owners(top: &Section<'_>, walk: &mut Walk<'_>) -> Owners {
    let mut seen = Seen::default();
    let mut taken: HashMap<String, String> = HashMap::new();
    let mut owners = Vec::new();
    for section in tables(top, "owner", ("[[owner]]", KEYS), walk) {
        section.require("name", "\"payments\"", walk);
        let name = hub::name(&section, walk);
        seen.name(&name, &section, walk);
        let owner = Owner {
            mail: mail(&section, walk),
            subscriptions: lower(&section, "subscriptions", walk),
            accounts: lower(&section, "accounts", walk),
            deployments: deployments(&section, walk),
            name,
        };
        if !["subscriptions", "accounts", "deployments"].iter().any(|key| section.has(key)) {
            let mend = "add subscriptions, accounts or deployments = [\"ACCOUNT/DEPLOYMENT\"]";
            walk.findings.report(section.span(), "[[owner]] owns nothing", mend);
        }
        once(&owner, &mut taken, &section, walk);
        owners.push(owner);
    }
    if owners.len() > MAX_OWNERS {
        let message = format!("more than {MAX_OWNERS} owners");
        walk.findings.report(top.value_at("owner"), message, "join teams, or name subscriptions");
        owners.truncate(MAX_OWNERS);
    }
    Owners(owners)
}

/// What two owners name in the same words would count twice.
fn once(
    owner: &Owner,
    taken: &mut HashMap<String, String>,
    section: &Section<'_>,
    walk: &mut Walk<'_>,
) {
    let whole = |key: &'static str, names: &[String]| -> Vec<(&'static str, String)> {
        names.iter().map(|name| (key, name.clone())).collect()
    };
    let parts = owner.deployments.iter();
    let parts = parts.map(|(account, name)| ("deployments", format!("{account}/{name}")));
    let all = whole("subscriptions", &owner.subscriptions).into_iter();
    for (key, name) in all.chain(whole("accounts", &owner.accounts)).chain(parts) {
        let first = taken.entry(format!("{key} {name}")).or_insert_with(|| owner.name.clone());
        if *first != owner.name {
            let message = format!("`{key}`: {name:?} is owned by {first:?} already");
            let mend = "name it for one owner; a deployment may have another than its account";
            walk.findings.report(section.value_at(key), message, mend);
        }
    }
}

fn mail(section: &Section<'_>, walk: &mut Walk<'_>) -> Option<String> {
    let mail = section.text("mail", walk)?;
    if mail.parse::<Mailbox>().is_err() {
        let message = format!("`mail`: {mail:?} is not an address");
        let mend = "write \"team@contoso.example\" or \"Team <team@contoso.example>\"";
        walk.findings.report(section.value_at("mail"), message, mend);
    }
    Some(mail)
}

fn deployments(section: &Section<'_>, walk: &mut Walk<'_>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for text in lower(section, "deployments", walk) {
        match text
            .rsplit_once('/')
            .filter(|(account, name)| !account.is_empty() && !name.is_empty())
        {
            Some((account, name)) => pairs.push((account.to_owned(), name.to_owned())),
            None => {
                let message = format!("`deployments`: {text:?} has no account");
                let mend = format!("write \"ACCOUNT/{}\"", text.trim_matches('/'));
                walk.findings.report(section.value_at("deployments"), message, mend);
            }
        }
    }
    pairs
}

/// Texts in lower case, none of them empty.
pub(super) fn lower(section: &Section<'_>, key: &str, walk: &mut Walk<'_>) -> Vec<String> {
    let texts = section.texts(key, walk).unwrap_or_default();
    if texts.iter().any(|text| text.trim().is_empty()) {
        let message = format!("`{key}` holds an empty text");
        walk.findings.report(section.value_at(key), message, "remove it");
    }
    let texts = texts.into_iter().filter(|text| !text.trim().is_empty());
    texts.map(|text| text.trim().to_lowercase()).collect()
}
