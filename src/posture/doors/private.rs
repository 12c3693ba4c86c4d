//! Whether a private endpoint leads to a resource, and to whom it belongs.

use super::{Look, Verdict};
use crate::event::control::EndpointState;
use crate::incident::respond::{self, quoted};
use crate::posture::inventory::Kind;

pub(super) fn judge(look: &Look<'_>) -> Verdict {
    let Some(connections) = &look.resource.endpoints else {
        return Verdict::unknown("Azure says nothing of private endpoint connections.").step(
            "Lists them.",
            format!("az network private-endpoint-connection list --id {}", quoted(look.id)),
        );
    };
    let is = |state: &EndpointState, word: &str| state.status.eq_ignore_ascii_case(word);
    let approved: Vec<_> = connections.values().filter(|state| is(state, "approved")).collect();
    let pending = connections.values().filter(|state| is(state, "pending")).count();
    let waiting = (pending > 0)
        .then(|| format!("{pending} more wait for approval: approve only what you know."));
    if approved.is_empty() {
        return none(look).note(waiting);
    }
    let mut foreign: Vec<&str> = approved
        .iter()
        .map(|state| respond::part(&state.endpoint, "subscriptions"))
        .filter(|subscription| !look.inventory.subscriptions.contains_key(*subscription))
        .collect();
    foreign.sort_unstable();
    foreign.dedup();
    let Some(first) = foreign.first() else {
        return Verdict::ok(format!("{} approved.", connected(approved.len()))).note(waiting);
    };
    let finding = if first.is_empty() {
        "An approved connection does not say whose endpoint it is.".to_owned()
    } else {
        let all: Vec<&str> = foreign.iter().copied().filter(|name| !name.is_empty()).collect();
        format!(
            "An approved connection leads to an endpoint in subscription {}, which was not read: \
             is it yours? Then name it with --subscription, too.",
            super::super::listed(&all)
        )
    };
    Verdict::unknown(finding).note(waiting).step(
        "Lists the connections; the same group of commands rejects one.",
        format!("az network private-endpoint-connection list --id {}", quoted(look.id)),
    )
}

fn connected(count: usize) -> String {
    if count == 1 { "1 connection is".to_owned() } else { format!("{count} connections are") }
}

fn none(look: &Look<'_>) -> Verdict {
    if look.resource.state.network.public_access == Some(false) {
        return Verdict::ok("No connection is approved, and public access is off: nobody gets in.");
    }
    let group = match look.resource.kind {
        Kind::Account => "account",
        Kind::Search => "searchService",
        Kind::Workspace => "amlworkspace",
    };
    let name = format!("{}-pe", look.id.rsplit('/').next().unwrap_or_default());
    Verdict::open("No private endpoint connection is approved.").step(
        "Makes one in your network (VNET and SUBNET are yours) and approves it; names then need \
         the private DNS zone.",
        format!(
            "az network private-endpoint create --name {} --connection-name {} --resource-group {} \
             --subscription {} --vnet-name VNET --subnet SUBNET --group-id {group} \
             --private-connection-resource-id {}",
            quoted(&name),
            quoted(&name),
            quoted(respond::part(look.id, "resourcegroups")),
            quoted(look.subscription_id),
            quoted(look.id)
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::posture::State;
    use crate::posture::sample::{SUBSCRIPTION, World};

    fn connection(status: &str, subscription: &str) -> EndpointState {
        EndpointState {
            status: status.to_owned(),
            endpoint: format!("/subscriptions/{subscription}/resourcegroups/g/pe"),
        }
    }

    #[track_caller]
    fn check(
        connections: Option<Vec<EndpointState>>,
        public: Option<bool>,
        state: State,
        words: &str,
    ) {
        let mut world = World::new();
        world.account().endpoints =
            connections.map(|all| (0..).map(|number: u32| number.to_string()).zip(all).collect());
        world.account().state.network.public_access = public;
        let verdict = world.look(Kind::Account, judge);
        let said = format!("{} {}", verdict.finding, verdict.notes.join(" "));
        assert_eq!(verdict.state, state, "{said}");
        assert!(said.contains(words), "{said}");
    }

    #[test]
    fn ok_is_an_approved_connection_of_ours_or_no_way_in_at_all() {
        let own = connection("Approved", SUBSCRIPTION);
        check(Some(vec![own.clone()]), Some(true), State::Ok, "1 connection is approved");
        check(Some(vec![]), Some(false), State::Ok, "nobody gets in");
        let waiting = connection("Pending", "other");
        check(Some(vec![own, waiting]), Some(true), State::Ok, "1 more wait for approval");
    }

    #[test]
    fn open_is_none_that_is_approved() {
        check(Some(vec![]), Some(true), State::Open, "No private endpoint");
        check(Some(vec![]), None, State::Open, "No private endpoint");
        let rejected = connection("Rejected", SUBSCRIPTION);
        check(Some(vec![rejected]), Some(true), State::Open, "No private endpoint");
    }

    #[test]
    fn unknown_is_what_azure_does_not_say_and_whose_it_is() {
        check(None, Some(true), State::Unknown, "says nothing");
        let foreign = connection("Approved", "f0-1");
        check(Some(vec![foreign]), Some(true), State::Unknown, "subscription f0-1");
        let nameless = EndpointState { status: "Approved".to_owned(), endpoint: String::new() };
        check(Some(vec![nameless]), Some(true), State::Unknown, "whose endpoint");
    }

    #[test]
    fn each_kind_has_its_own_group() {
        let mut world = World::new();
        for (kind, group) in [
            (Kind::Search, "--group-id searchService"),
            (Kind::Workspace, "--group-id amlworkspace"),
        ] {
            world.resource(kind).endpoints = Some(BTreeMap::new());
            world.resource(kind).state.network.public_access = Some(true);
            assert!(world.look(kind, judge).steps[0].command.contains(group));
        }
    }
}
