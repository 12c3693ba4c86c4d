//! `[[backend]]`: which account a gateway means.

use super::section::{Section, Walk};
use crate::event::account_of;

pub(super) const KEYS: &[&str] = &["name", "account", "only"];

/// A name and the resource id of the account it stands for, both in lower case.
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) account: String,
    /// Whether the account should be called through gateways alone.
    pub(super) only: bool,
}

/// Reads one.
pub(super) fn read(section: &Section<'_>, walk: &mut Walk<'_>) -> Option<Backend> {
    section.require("name", "\"aif-contoso-prod\"", walk);
    section.require("account", "\"/subscriptions/…/accounts/aif-contoso-prod\"", walk);
    let name = section.text("name", walk)?.to_lowercase();
    let account = section.text("account", walk)?.to_lowercase();
    if account_of(&account) != Some(account.as_str()) {
        let message = "`account` is not the resource id of an AI account";
        let mend = "copy it from `az cognitiveservices account show … --query id`";
        walk.findings.report(section.value_at("account"), message, mend);
        return None;
    }
    if name.contains(['.', '/']) {
        let message = "`name` is the first part of a host, without dots";
        let first = name.trim_start_matches("https://").split('.').next().unwrap_or_default();
        walk.findings.report(section.value_at("name"), message, format!("write name = {first:?}"));
        return None;
    }
    let only = section.flag("only", walk).unwrap_or(false);
    Some(Backend { name, account, only })
}

#[cfg(test)]
mod tests {
    use crate::config::{parse, placeholder};

    #[test]
    fn an_account_may_be_called_through_its_gateway_alone() {
        let account =
            "/subscriptions/s/resourceGroups/r/providers/Microsoft.CognitiveServices/accounts/A";
        let gateway_only = |more: &str| {
            let hub =
                "[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n";
            let text = format!("{hub}[[backend]]\nname = \"f\"\naccount = \"{account}\"\n{more}");
            parse(&text, "t.toml", &placeholder).unwrap().engine.gateway_only
        };
        assert_eq!(gateway_only("only = true\n"), [account.to_lowercase()]);
        assert!(gateway_only("").is_empty());
    }
}
