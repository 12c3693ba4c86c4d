//! Whether keys are accepted, how old they may be, and how many can list them.

use super::{Look, Verdict};
use crate::posture::command;
use crate::posture::inventory::Kind;
use crate::time::DAY_MS;

/// A key should be changed after this many days (detector TW-K05).
const OLD_DAYS: i64 = 90;

/// Roles whose holders can list the keys of an AI account: Owner, Contributor, Cognitive Services
/// Contributor, OpenAI Contributor and User, in Microsoft's list of built-in roles.
const LIST_KEYS: [&str; 5] = [
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "25fbc0a9-bd7c-42a3-aa1a-3b75d497ee68",
    "a001fd3d-188f-4b5d-821b-7da978bf7442",
    "a97b65f3-24c7-4388-baec-2e87135dc908",
];

pub(super) fn judge(look: &Look<'_>) -> Verdict {
    let step = |verdict: Verdict| {
        let command = match look.resource.kind {
            Kind::Search => {
                format!(
                    "az search service update {} --disable-local-auth true",
                    command::named(look.id)
                )
            }
            Kind::Account | Kind::Workspace => {
                command::set(look.id, "properties.disableLocalAuth=true")
            }
        };
        verdict.step(
            "Makes every key worthless at once; Entra ID still works. Breaks clients that use keys.",
            command,
        )
    };
    if look.resource.kind == Kind::Workspace {
        return Verdict::not_applicable(
            "A workspace has no keys of its own; those of its endpoints are not read.",
        );
    }
    match look.resource.state.local_auth_disabled {
        Some(true) => Verdict::ok("Keys are refused; only Entra ID gets in."),
        Some(false) => {
            step(Verdict::open("Keys are accepted.").note(age(look)).note(holders(look)))
        }
        None => step(
            Verdict::unknown("Azure does not say whether keys are accepted.")
                .note(age(look))
                .note(holders(look)),
        ),
    }
}

/// A key is at most as old as its account; when it was last changed only the activity log knows.
fn age(look: &Look<'_>) -> Option<String> {
    let Some(created) = look.resource.created else {
        return Some("How old the keys are is unknown.".to_owned());
    };
    let days = look.inventory.at.0.saturating_sub(created.0).div_euclid(DAY_MS);
    Some(if days <= OLD_DAYS {
        format!("Its keys are at most {days} days old, as it is itself.")
    } else {
        format!("It is {days} days old; whether its keys were changed since is not said here.")
    })
}

fn holders(look: &Look<'_>) -> Option<String> {
    if look.resource.kind != Kind::Account {
        return None;
    }
    let roles = &look.subscription.roles;
    let Some(assigned) = roles.value() else {
        let why = roles.lack().unwrap_or_default();
        return Some(format!("Who can list the keys is unknown: {why}."));
    };
    let mut holders: Vec<&str> = assigned
        .values()
        .filter(|role| LIST_KEYS.contains(&role.role.as_str()))
        .map(|role| role.principal.as_str())
        .collect();
    holders.sort_unstable();
    holders.dedup();
    let more = if roles.lack().is_some() { "At least " } else { "" };
    let count = match (holders.len(), more) {
        (0, "") => "No identity".to_owned(),
        (1, _) => format!("{more}1 identity"),
        (count, _) => format!("{more}{count} identities"),
    };
    Some(format!("{count} can list its keys by a role on the subscription or above it."))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::event::control::RoleState;
    use crate::posture::State;
    use crate::posture::inventory::Part;
    use crate::posture::sample::World;
    use crate::time::EventTime;

    #[test]
    fn ok_is_that_keys_are_refused() {
        let mut world = World::new();
        for kind in [Kind::Account, Kind::Search] {
            world.resource(kind).state.local_auth_disabled = Some(true);
            assert_eq!(world.look(kind, judge).state, State::Ok);
        }
    }

    #[test]
    fn open_is_that_keys_are_accepted_with_their_age_and_their_holders() {
        let mut world = World::new();
        world.account().state.local_auth_disabled = Some(false);
        let role = |principal: &str, role: &str| RoleState {
            principal: principal.to_owned(),
            role: role.to_owned(),
            ..RoleState::default()
        };
        let reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
        let roles = [
            role("a", LIST_KEYS[0]),
            role("a", LIST_KEYS[1]),
            role("b", LIST_KEYS[2]),
            role("c", reader),
        ];
        let roles = roles.into_iter().enumerate().map(|(id, role)| (id.to_string(), role));
        world.subscription().roles = Part::Read(roles.collect::<BTreeMap<_, _>>());
        for (days, words) in [(10, "at most 10 days old"), (200, "is 200 days old")] {
            world.account().created = Some(EventTime(world.inventory.at.0 - days * DAY_MS));
            let verdict = world.look(Kind::Account, judge);
            assert_eq!(verdict.state, State::Open);
            assert!(verdict.notes[0].contains(words), "{:?}", verdict.notes);
            assert!(verdict.notes[1].starts_with("2 identities can list"), "{:?}", verdict.notes);
            assert!(verdict.steps[0].command.ends_with("properties.disableLocalAuth=true"));
        }
        world.subscription().roles = world.forbidden();
        let verdict = world.look(Kind::Account, judge);
        assert!(verdict.notes[1].contains("unknown: answered 403"), "{:?}", verdict.notes);
    }

    #[test]
    fn unknown_is_that_azure_does_not_say() {
        let mut world = World::new();
        world.account().state.local_auth_disabled = None;
        world.account().created = None;
        let verdict = world.look(Kind::Account, judge);
        assert_eq!(verdict.state, State::Unknown);
        assert!(verdict.notes[0].contains("unknown"));
        world.resource(Kind::Search).state.local_auth_disabled = None;
        let verdict = world.look(Kind::Search, judge);
        assert!(verdict.steps[0].command.starts_with("az search service update --resource-group"));
        assert_eq!((verdict.state, verdict.notes.len()), (State::Unknown, 1));
    }

    #[test]
    fn a_workspace_has_no_such_door() {
        assert_eq!(World::new().look(Kind::Workspace, judge).state, State::NotApplicable);
    }
}
