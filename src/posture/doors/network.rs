//! Who can reach a resource over public networks.

use super::{Look, Verdict};
use crate::event::control::{AddressRules, NetworkState};
use crate::posture::command;
use crate::posture::inventory::Kind;

/// Wider rules let strangers in: what tokenwatch counts as one network (`/24`, `/48`).
const WIDEST: u8 = 24;
const WIDEST_V6: u8 = 48;

pub(super) fn judge(look: &Look<'_>) -> Verdict {
    let network = &look.resource.state.network;
    let verdict = match network.public_access {
        Some(false) => return Verdict::ok("Public access is off.").note(bypass(network)),
        Some(true) => reachable(look, network),
        None => match network.open_by_default {
            Some(false) => limited(look, network),
            Some(true) | None => {
                shut(look, Verdict::unknown("Azure does not say whether public access is on."))
            }
        },
    };
    verdict.note(bypass(network))
}

/// Public access is on: what limits it must be said.
fn reachable(look: &Look<'_>, network: &NetworkState) -> Verdict {
    match network.open_by_default {
        Some(false) => limited(look, network),
        Some(true) => only_listed(
            look,
            shut(look, Verdict::open("Public access is on, and every address is let in.")),
        ),
        None => only_listed(
            look,
            shut(
                look,
                Verdict::open("Public access is on, and Azure names no rule that limits it."),
            ),
        ),
    }
}

/// Only addresses with a rule are let in.
fn limited(look: &Look<'_>, network: &NetworkState) -> Verdict {
    let Some(rules) = network.addresses else {
        return list(
            look,
            Verdict::unknown("Only listed addresses are let in, but Azure does not say which."),
        );
    };
    let networks = match network.virtual_networks {
        Some(0) => "no virtual network".to_owned(),
        Some(1) => "1 virtual network".to_owned(),
        Some(count) => format!("{count} virtual networks"),
        None => "an unknown number of virtual networks".to_owned(),
    };
    if let Some(wide) = too_wide(rules) {
        let which = match rules.count {
            1 => "The only address rule".to_owned(),
            count => format!("The widest of {count} address rules"),
        };
        let finding = format!("{which} lets in a whole {wide}.");
        return list(look, shut(look, Verdict::open(finding)));
    }
    Verdict::ok(format!("Only {} and {networks} are let in.", counted(rules)))
}

fn counted(rules: AddressRules) -> String {
    match rules.count {
        0 => "no address".to_owned(),
        1 => "1 address rule".to_owned(),
        count => format!("{count} address rules"),
    }
}

/// The widest rule, where it is wider than one network.
fn too_wide(rules: AddressRules) -> Option<String> {
    let v4 = rules.widest.filter(|length| *length < WIDEST).map(|length| format!("/{length}"));
    let v6 = rules.widest_v6.filter(|length| *length < WIDEST_V6);
    v4.or_else(|| v6.map(|length| format!("/{length} of IPv6")))
}

fn bypass(network: &NetworkState) -> Option<String> {
    let passes = !network.bypass.is_empty() && !network.bypass.eq_ignore_ascii_case("none");
    passes.then(|| format!("{} passes whatever the rules say.", network.bypass))
}

fn shut(look: &Look<'_>, verdict: Verdict) -> Verdict {
    let value = if look.resource.kind == Kind::Search { "disabled" } else { "Disabled" };
    verdict.step(
        "Shuts it at once; only private endpoints get in. Breaks callers that come from outside.",
        command::set(look.id, &format!("properties.publicNetworkAccess={value}")),
    )
}

/// The milder way, which needs addresses.
fn only_listed(look: &Look<'_>, verdict: Verdict) -> Verdict {
    let (what, command) = match look.resource.kind {
        Kind::Account => (
            "Or lets in your own addresses alone (ADDRESS/LENGTH is yours); the account needs a \
             custom domain name.",
            command::set(
                look.id,
                "'properties.networkAcls={\"defaultAction\":\"Deny\",\"virtualNetworkRules\":[],\
                 \"ipRules\":[{\"value\":\"ADDRESS/LENGTH\"}]}'",
            ),
        ),
        Kind::Search => (
            "Or lets in your own addresses alone (ADDRESS/LENGTH is yours).",
            format!(
                "az search service update {} --ip-rules ADDRESS/LENGTH",
                command::named(look.id)
            ),
        ),
        Kind::Workspace => return verdict,
    };
    verdict.step(what, command)
}

fn list(look: &Look<'_>, verdict: Verdict) -> Verdict {
    verdict.step(
        "Shows the rules.",
        format!(
            "az resource show --ids {} --query properties.{}",
            crate::incident::respond::quoted(look.id),
            if look.resource.kind == Kind::Search { "networkRuleSet" } else { "networkAcls" }
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posture::State;
    use crate::posture::sample::World;

    fn rules(count: u32, widest: Option<u8>, widest_v6: Option<u8>) -> Option<AddressRules> {
        Some(AddressRules { count, widest, widest_v6, hash: 1 })
    }

    #[track_caller]
    fn check(network: &NetworkState, state: State, words: &str) -> Verdict {
        let mut world = World::new();
        world.account().state.network = network.clone();
        let verdict = world.look(Kind::Account, judge);
        assert_eq!(verdict.state, state, "{network:?}");
        assert!(verdict.finding.contains(words), "{}", verdict.finding);
        verdict
    }

    #[test]
    fn ok_is_no_public_access_or_narrow_rules() {
        let off = NetworkState { public_access: Some(false), ..NetworkState::default() };
        check(&off, State::Ok, "is off");
        for (addresses, words) in [
            (rules(0, None, None), "Only no address and 2 virtual networks"),
            (rules(3, Some(24), Some(48)), "Only 3 address rules"),
        ] {
            let network = NetworkState {
                public_access: Some(true),
                open_by_default: Some(false),
                addresses,
                virtual_networks: Some(2),
                bypass: "AzureServices".to_owned(),
            };
            let verdict = check(&network, State::Ok, words);
            assert_eq!(verdict.notes, ["AzureServices passes whatever the rules say."]);
        }
    }

    #[test]
    fn open_is_everybody_or_a_wide_rule() {
        let on = NetworkState { public_access: Some(true), ..NetworkState::default() };
        check(&on, State::Open, "no rule that limits");
        let all = NetworkState { open_by_default: Some(true), ..on.clone() };
        let verdict = check(&all, State::Open, "every address");
        assert_eq!(verdict.steps.len(), 2);
        assert!(
            verdict.steps[0].command.ends_with("--set properties.publicNetworkAccess=Disabled")
        );
        for (addresses, words) in [
            (rules(1, Some(0), None), "/0"),
            (rules(2, Some(23), None), "a whole /23"),
            (rules(1, None, Some(32)), "/32 of IPv6"),
        ] {
            let wide = NetworkState { open_by_default: Some(false), addresses, ..on.clone() };
            check(&wide, State::Open, words);
        }
    }

    #[test]
    fn unknown_is_what_azure_does_not_say() {
        check(&NetworkState::default(), State::Unknown, "does not say whether public");
        let open = NetworkState { open_by_default: Some(true), ..NetworkState::default() };
        check(&open, State::Unknown, "does not say whether public");
        let limited = NetworkState {
            public_access: Some(true),
            open_by_default: Some(false),
            ..NetworkState::default()
        };
        check(&limited, State::Unknown, "does not say which");
    }

    #[test]
    fn every_kind_has_this_door_and_its_own_command() {
        let mut world = World::new();
        for kind in Kind::ALL {
            world.resource(kind).state.network =
                NetworkState { public_access: Some(true), ..NetworkState::default() };
            let verdict = world.look(kind, judge);
            assert_eq!(verdict.state, State::Open, "{kind:?}");
            assert!(
                verdict.steps[0].command.starts_with("az resource update --ids /subscriptions/")
            );
        }
    }
}
