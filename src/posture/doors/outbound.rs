//! Whether a resource may call out to any host.

use super::{Look, Verdict};
use crate::posture::command;
use crate::posture::inventory::Kind;

pub(super) fn judge(look: &Look<'_>) -> Verdict {
    if look.resource.kind == Kind::Search {
        return Verdict::not_applicable("A search service has no such setting.");
    }
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
    use crate::posture::State;
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
