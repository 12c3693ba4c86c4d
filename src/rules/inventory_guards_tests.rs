//! Polls of what guards an account: content filters, locks, policies, connections.

use super::*;
use crate::event::control::{ConnectionState, LockState, RaiFilter, RaiState};

/// A filter of hate in prompts that acts from this severity on.
fn hate(threshold: &str) -> RaiFilter {
    RaiFilter {
        name: "Hate".to_owned(),
        source: "Prompt".to_owned(),
        enabled: Some(true),
        blocking: Some(true),
        threshold: threshold.to_owned(),
    }
}

fn policy(name: &str, by_microsoft: Option<bool>, filters: &[RaiFilter]) -> Found {
    let state = RaiState {
        mode: "Blocking".to_owned(),
        by_microsoft,
        filters: filters.to_vec(),
        ..RaiState::default()
    };
    found(Target::RaiPolicy, &format!("{ACCOUNT}/raipolicies/{name}"), Changed::RaiPolicy(state))
}

fn served(policy: &str) -> Found {
    let state = DeploymentState { rai_policy: policy.to_owned(), ..DeploymentState::default() };
    found(Target::Deployment, &format!("{ACCOUNT}/deployments/chat"), Changed::Deployment(state))
}

fn lock(scope: &str) -> Found {
    let to = Changed::Lock(LockState { level: "ReadOnly".to_owned() });
    found(Target::Lock, &format!("{scope}/providers/microsoft.authorization/locks/l"), to)
}

fn connection(owner: &str, name: &str, host: &str) -> Found {
    let state = ConnectionState { host: host.to_owned(), ..ConnectionState::default() };
    let id = format!("{ACCOUNT}{owner}/connections/{name}");
    found(Target::Connection, &id, Changed::Connection(state))
}

/// What rules say of a second reading that differs from the first.
fn told(before: &[Found], after: &[Found]) -> World {
    let mut world = World::default();
    assert_eq!(world.poll(0, before, lists()), []);
    world.poll(1, after, lists());
    world
}

#[track_caller]
fn check(before: &[Found], after: &[Found], raised: &[&str]) -> String {
    let world = told(before, after);
    assert_eq!(world.raised, raised);
    world.evidence.join("\n")
}

#[test]
fn a_filter_that_was_weakened_is_told_with_before_and_after_and_blames_nobody() {
    let ours = |filter: RaiFilter| [policy("ours", Some(false), &[filter])];
    let medium = ours(hate("Medium"));
    let story = check(&medium, &ours(hate("High")), &["TW-P08"]);
    for part in [
        "content filter ours of aif: Hate (Prompt) acts from High instead of Medium",
        "as two readings of the inventory show, by somebody the activity log has not told of",
        "No deployment is known to use it",
    ] {
        assert!(story.contains(part), "{part}: {story}");
    }
    let off = RaiFilter { enabled: Some(false), ..hate("Medium") };
    assert!(check(&medium, &ours(off), &["TW-P08"]).contains("switched off"));
    let open = RaiFilter { blocking: Some(false), ..hate("Medium") };
    assert!(check(&medium, &ours(open), &["TW-P08"]).contains("no longer blocks"));
    // Stricter, and what is not said.
    check(&medium, &ours(hate("Low")), &[]);
    let silent = RaiFilter { enabled: None, blocking: None, ..hate("") };
    check(&medium, &ours(silent), &[]);
    check(&medium, &[policy("ours", Some(false), &[])], &[]);
}

#[test]
fn what_was_saved_before_there_were_such_fields_is_read() {
    let mut world = World::default();
    let ours = policy("ours", Some(false), &[hate("Medium")]);
    world.poll(0, std::slice::from_ref(&ours), lists());
    let versions = world.versions.take_versions();
    let mut saved = serde_json::to_value(&versions).unwrap();
    let version = saved[0][1].as_object_mut().unwrap();
    assert_eq!(version.get("absent"), None);
    let state = version["to"]["RaiPolicy"].as_object_mut().unwrap();
    assert!(state.remove("by_microsoft").is_some());
    let read: Vec<VersionRow> = serde_json::from_value(saved).unwrap();
    assert!(!contradict(&read[0].1.to, &ours.to) && read[0].1.absent.is_none());
}

#[test]
fn the_mode_is_known_from_the_reading_before_the_log_left_it_out() {
    let moded = |mode: &str| {
        let state = RaiState { mode: mode.to_owned(), ..RaiState::default() };
        let id = policy("ours", None, &[]).resource;
        found(Target::RaiPolicy, &id, Changed::RaiPolicy(state))
    };
    for (mode, raised) in
        [("Asynchronous_filter", vec!["TW-P08"]), ("Deferred", vec!["TW-P08"]), ("Default", vec![])]
    {
        let mut world = World::default();
        world.poll(0, &[moded("Blocking")], lists());
        world.log(2, Target::RaiPolicy, &moded("").resource, Some(moded("").to));
        world.poll(1, &[moded(mode)], lists());
        assert_eq!(world.raised, raised, "{mode}");
    }
    // Two names of one mode.
    check(&[moded("Deferred")], &[moded("Asynchronous_filter")], &[]);
}

#[test]
fn what_microsoft_changes_in_its_own_policies_is_kept_and_not_told() {
    for (name, says, raised) in [
        ("microsoft.defaultv2", Some(true), vec![]),
        ("microsoft.default", None, vec![]),
        ("microsoft.defaultv3", None, vec![]),
        // Whatever it calls itself.
        ("microsoft.defaultv2", Some(false), vec!["TW-P08"]),
        ("microsoft.default-ours", None, vec!["TW-P08"]),
        ("ours", None, vec!["TW-P08"]),
    ] {
        let before = policy(name, says, &[hate("Medium")]);
        let after = policy(name, says, &[hate("High")]);
        let mut world = told(std::slice::from_ref(&before), std::slice::from_ref(&after));
        assert_eq!(world.raised, raised, "{name} {says:?}");
        assert_eq!(world.versions.of(&after.resource).map(|kept| &kept.to), Some(&after.to));
        // Taken away by Microsoft.
        world.raised.clear();
        for day in [2, 3] {
            world.poll(day, &[], lists());
        }
        assert_eq!(world.raised, raised, "{name} {says:?}");
    }
    // Somebody wrote one, though without a word of what.
    let ours = |threshold: &str| [policy("microsoft.default", Some(true), &[hate(threshold)])];
    let mut world = World::default();
    world.poll(0, &ours("Medium"), lists());
    world.log(5, Target::RaiPolicy, &ours("High")[0].resource, None);
    world.poll(1, &ours("High"), lists());
    assert_eq!(world.raised, ["TW-P08"]);
}

#[test]
fn a_new_policy_that_lets_much_pass_is_told_and_so_is_a_deployment_moved_to_it() {
    let strict = policy("strict", Some(false), &[hate("Low")]);
    let off = RaiFilter { enabled: Some(false), ..hate("Low") };
    let lax = policy("lax", Some(false), &[off]);
    let before = [strict.clone(), served("strict")];
    check(&before, &[strict.clone(), policy("new", None, &[hate("Low")]), served("strict")], &[]);
    let after = [strict, lax, served("Lax")];
    let story = check(&before, &after, &["TW-P08", "TW-P08"]);
    for part in [
        "content filter lax of aif: Hate (Prompt) is off",
        "It is new: the reading before did not have it",
        "deployment chat of aif: it was moved from policy strict to Lax",
        "What Lax lets pass beside strict: Hate (Prompt) switched off",
    ] {
        assert!(story.contains(part), "{part}: {story}");
    }
    let weaker = [after[0].clone(), policy("lax", Some(false), &[]), served("Lax")];
    let world = told(&weaker, &after);
    assert!(world.evidence.is_empty(), "{:?}", world.evidence);
}

#[test]
fn a_policy_is_gone_after_two_polls_and_may_come_back_in_between() {
    let mut world = World::default();
    let all = [policy("ours", Some(false), &[hate("Low")]), served("ours")];
    world.poll(0, &all, lists());
    for day in [1, 3] {
        world.poll(day, &all[1..], lists());
        // Not readable: it may be there.
        let unread = lists().into_iter().filter(|list| list.target != Target::RaiPolicy).collect();
        world.poll(day, &all[1..], unread);
        world.poll(day + 1, &all, lists());
    }
    assert_eq!(world.raised, Vec::<&str>::new());
    for day in [5, 6, 7] {
        world.poll(day, &all[1..], lists());
    }
    assert_eq!(world.raised, ["TW-P08"]);
    let story = world.evidence.join("\n");
    assert!(story.contains("ours of aif: it was deleted"), "{story}");
    assert!(story.contains("1 deployment(s) use it: chat"), "{story}");
}

#[test]
fn locks_and_policies_that_went_without_a_word_are_told() {
    let group = "/subscriptions/s-1/resourcegroups/rg";
    let storage = format!("{group}/providers/microsoft.storage/storageaccounts/st");
    let assigned = |name: &str| {
        let id = format!("{group}/providers/microsoft.authorization/policyassignments/{name}");
        found(Target::PolicyAssignment, &id, Changed::Assignment(AssignmentState::default()))
    };
    for (guard, raised) in [
        (lock(group), vec!["TW-P14"]),
        (lock(ACCOUNT), vec!["TW-P14"]),
        (lock(&storage), vec![]),
        (assigned("p"), vec!["TW-P14"]),
    ] {
        let mut world = told(std::slice::from_ref(&guard), &[]);
        assert_eq!(world.raised, Vec::<&str>::new());
        world.poll(2, &[], lists());
        assert_eq!(world.raised, raised, "{}", guard.resource);
        if guard.resource.starts_with(ACCOUNT) {
            let steps = world.commands.join("\n");
            let again =
                format!("az lock create --name l --lock-type ReadOnly --resource {ACCOUNT}");
            assert!(steps.contains(&again), "{steps}");
        }
        // What was told is not told again, however long ago it was.
        let mut world = told(std::slice::from_ref(&guard), std::slice::from_ref(&guard));
        world.log_as(25, (guard.target, Verb::Delete), &guard.resource, None);
        assert_eq!(world.raised, raised);
        for day in [15, 30, 45] {
            world.poll(day, &[], lists());
        }
        assert_eq!(world.raised, raised);
    }
}

#[test]
fn a_connection_to_a_new_place_outside_azure_is_told() {
    let known = connection("", "a", "api.example.com");
    let all = |more: Found| [known.clone(), more];
    let first = std::slice::from_ref(&known);
    for (new, raised) in [
        (connection("", "b", "evil.example.net"), vec!["TW-P16"]),
        (connection("/projects/p", "b", "evil.example.net"), vec!["TW-P16"]),
        // A place it has been connected to, and Azure.
        (connection("/projects/p", "b", "api.example.com"), vec![]),
        (connection("", "b", "x.openai.azure.com"), vec![]),
        (connection("", "b", ""), vec![]),
    ] {
        assert_eq!(new.list(SUBSCRIPTION).of, ACCOUNT);
        check(first, &all(new), &raised);
    }
    check(first, &[connection("", "a", "evil.example.net")], &["TW-P16"]);
    // Of a list that was not whole nobody knows what is new in it.
    let mut world = World::default();
    let unread = lists().into_iter().filter(|list| list.target != Target::Connection).collect();
    world.poll(0, first, unread);
    world.poll(1, &all(connection("", "b", "evil.example.net")), lists());
    assert_eq!(world.raised, Vec::<&str>::new());
}
