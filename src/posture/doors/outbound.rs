//! Whether a resource may call out to any host.

use std::collections::BTreeSet;

use super::{Look, Verdict};
use crate::posture::inventory::Kind;
use crate::posture::{command, listed};

/// Hosts told in one note.
const NAMED: usize = 5;

pub(super) fn judge(look: &Look<'_>) -> Verdict {
    if look.resource.kind == Kind::Search {
        return Verdict::not_applicable("A search service has no such setting.");
    }
    restriction(look).note(connected(look))
}

fn restriction(look: &Look<'_>) -> Verdict {
    let state = &look.resource.state;
    match state.outbound_restricted {
        Some(true) => Verdict::ok(match state.allowed_names {
            Some((0, _)) => "No host may be called.".to_owned(),
            Some((1, _)) => "Only 1 named host may be called.".to_owned(),
            Some((count, _)) => format!("Only {count} named hosts may be called."),
            None => "Only approved hosts may be called.".to_owned(),
        }),
        Some(false) => shut(look, Verdict::open("It may call any host.")),
        None => {
            shut(look, Verdict::unknown("Azure does not say whether outbound calls are limited."))
        }
    }
}

/// Hosts outside Azure that the account or a project of it is connected to.
fn connected(look: &Look<'_>) -> Option<String> {
    let connections = look.resource.connections.as_ref()?.value()?.values();
    let outside = connections.filter(|connection| connection.leads_outside());
    let hosts: BTreeSet<&str> = outside.map(|connection| connection.host.as_str()).collect();
    let named: Vec<&str> = hosts.iter().copied().take(NAMED).collect();
    let more = hosts.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("; and to {more} more") } else { String::new() };
    (!hosts.is_empty())
        .then(|| format!("It is connected to {}, outside Azure{more}.", listed(&named)))
}

fn shut(look: &Look<'_>, verdict: Verdict) -> Verdict {
    if look.resource.kind == Kind::Workspace {
        return verdict.step(
            "Lets its managed network reach approved hosts only; needs a managed network, and \
             breaks jobs that fetch from others.",
            format!(
                "az ml workspace update {} --managed-network allow_only_approved_outbound",
                command::named(look.id)
            ),
        );
    }
    verdict.step(
        "Lets it call the hosts in the list and no other (HOST is yours; [] for none).",
        command::set(
            look.id,
            "properties.restrictOutboundNetworkAccess=true \
             'properties.allowedFqdnList=[\"HOST\"]'",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::control::ConnectionState;
    use crate::posture::State;
    use crate::posture::inventory::Part;
    use crate::posture::sample::World;

    #[test]
    fn outbound_calls_are_restricted_or_not_or_nobody_knows() {
        let mut world = World::new();
        for kind in [Kind::Account, Kind::Workspace] {
            for (restricted, state) in
                [(Some(true), State::Ok), (Some(false), State::Open), (None, State::Unknown)]
            {
                world.resource(kind).state.outbound_restricted = restricted;
                let verdict = world.look(kind, judge);
                assert_eq!(verdict.state, state, "{kind:?}");
                assert_eq!(verdict.steps.is_empty(), state == State::Ok);
            }
        }
        assert_eq!(world.look(Kind::Search, judge).state, State::NotApplicable);
    }

    #[test]
    fn connections_that_lead_outside_azure_are_told() {
        let mut world = World::new();
        let connection = |host: &str| {
            let state = ConnectionState { host: host.to_owned(), ..ConnectionState::default() };
            (format!("/connections/{host}"), state)
        };
        let mut notes = |hosts: &[&str]| {
            let all = hosts.iter().map(|host| connection(host)).collect();
            world.account().connections = Some(Part::Read(all));
            world.look(Kind::Account, judge).notes
        };
        assert_eq!(notes(&["x.openai.azure.com", ""]), Vec::<String>::new());
        let found = notes(&["b.example", "a.example", "x.search.windows.net"]);
        assert_eq!(found, ["It is connected to a.example and b.example, outside Azure."]);
        let found = notes(&["a.io", "b.io", "c.io", "d.io", "e.io", "f.io", "g.io"]);
        assert!(found[0].ends_with("e.io, outside Azure; and to 2 more."), "{found:?}");
        world.account().connections = Some(world.forbidden());
        assert!(world.look(Kind::Account, judge).notes.is_empty());
    }

    #[test]
    fn the_allowed_hosts_are_counted() {
        let mut world = World::new();
        world.account().state.outbound_restricted = Some(true);
        for (names, words) in [
            (Some((0, 0)), "No host"),
            (Some((1, 9)), "1 named host may"),
            (Some((7, 9)), "7 named hosts"),
            (None, "approved hosts"),
        ] {
            world.account().state.allowed_names = names;
            let finding = world.look(Kind::Account, judge).finding;
            assert!(finding.contains(words), "{finding}");
        }
    }
}
