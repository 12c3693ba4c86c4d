use super::*;
use crate::event::control::{
    AccountState, AssignmentState, DeploymentState, EndpointState, NetworkState, RoleState,
};
use crate::rules::tests::BOOK;
use crate::rules::{self, Verdict};
use crate::time::{DAY_MS, HOUR_MS};

#[path = "inventory_guards_tests.rs"]
mod guards;

const SUBSCRIPTION: &str = "s-1";
const ACCOUNT: &str =
    "/subscriptions/s-1/resourcegroups/rg/providers/microsoft.cognitiveservices/accounts/aif";
const BEGIN: i64 = 1_790_000_000_000;

fn public(on: bool) -> Changed {
    let network = NetworkState { public_access: Some(on), ..NetworkState::default() };
    Changed::Account(AccountState { network, ..AccountState::default() })
}

fn found(target: Target, resource: &str, to: Changed) -> Found {
    Found { resource: resource.to_owned(), target, created: None, to }
}

fn account(on: bool) -> Found {
    found(Target::Account, ACCOUNT, public(on))
}

fn role(name: &str) -> Found {
    let to = Changed::Role(RoleState {
        principal: "eve".to_owned(),
        role: "8e3af657-a8ff-443c-a75c-2fe8c4bcb635".to_owned(),
        scope: ACCOUNT.to_owned(),
        ..RoleState::default()
    });
    let id = format!("{ACCOUNT}/providers/microsoft.authorization/roleassignments/{name}");
    found(Target::RoleAssignment, &id, to)
}

fn deployment(name: &str, capacity: u64) -> Found {
    let state = DeploymentState { capacity: Some(capacity), ..DeploymentState::default() };
    let id = format!("{ACCOUNT}/deployments/{name}");
    found(Target::Deployment, &id, Changed::Deployment(state))
}

/// Every list that these tests speak of.
fn lists() -> Vec<List> {
    let of_subscription =
        [Target::Account, Target::RoleAssignment, Target::PolicyAssignment, Target::Lock];
    let of_account = [
        Target::Deployment,
        Target::PrivateEndpoint,
        Target::DiagnosticSetting,
        Target::RaiPolicy,
        Target::Connection,
    ];
    let list = |target, of: &str| List { target, of: of.to_owned() };
    let above = of_subscription.map(|target| list(target, "/subscriptions/s-1"));
    above.into_iter().chain(of_account.map(|target| list(target, ACCOUNT))).collect()
}

/// Memory and versions, and what rules say of polls and of the activity log.
#[derive(Default)]
struct World {
    memory: Memory,
    versions: Versions,
    tuning: Tuning,
    raised: Vec<&'static str>,
    evidence: Vec<String>,
    commands: Vec<String>,
    old: Vec<Alarm>,
}

impl World {
    /// One poll a day, told in one part.
    fn poll(&mut self, day: i64, found: &[Found], whole: Vec<List>) -> Vec<Act> {
        let snapshot = Snapshot {
            subscription: SUBSCRIPTION.to_owned(),
            at: EventTime(BEGIN + day * DAY_MS),
            part: 0,
            found: found.to_vec(),
            whole,
        };
        self.take(&snapshot)
    }

    fn take(&mut self, snapshot: &Snapshot) -> Vec<Act> {
        let told = ArrivalTime(snapshot.at.0 + GRACE_MS);
        let acts = self.versions.take(snapshot, told, &mut self.memory);
        for act in &acts {
            let raised = self.judge(act);
            self.raised.extend(raised);
        }
        let old = self.versions.old_keys(snapshot, &self.memory, &self.tuning);
        self.old.extend(old);
        acts
    }

    fn judge(&mut self, act: &Act) -> Vec<&'static str> {
        let verdicts = rules::judge(act, &mut self.memory, (&[], &self.tuning, &BOOK));
        let mut raised = Vec::new();
        for verdict in verdicts {
            let Verdict::Raise(alarm) = verdict else { continue };
            raised.push(alarm.rule);
            self.evidence.extend(alarm.evidence);
            self.commands.extend(alarm.steps.into_iter().map(|step| step.command));
        }
        raised
    }

    /// The activity log tells of an operation by Ada, `hours` after the first poll.
    fn log(&mut self, hours: i64, target: Target, resource: &str, change: Option<Changed>) {
        let verb = if target == Target::Lock { Verb::Delete } else { Verb::Write };
        self.log_as(hours, (target, verb), resource, change);
    }

    fn log_as(
        &mut self,
        hours: i64,
        (target, verb): (Target, Verb),
        resource: &str,
        change: Option<Changed>,
    ) {
        self.log_at(BEGIN + hours * HOUR_MS, (target, verb), resource, change);
    }

    fn log_at(
        &mut self,
        at: i64,
        (target, verb): (Target, Verb),
        resource: &str,
        change: Option<Changed>,
    ) {
        let at = EventTime(at);
        let act = Act {
            resource: resource.to_owned(),
            at,
            told: ArrivalTime(at.0 + 5 * MINUTE_MS),
            target,
            verb,
            effect: Effect::Done,
            log: Log::Activity,
            operation: "o".to_owned(),
            correlation: format!("c-{at}"),
            principal: Principal { user: "ada@contoso.example".to_owned(), ..Principal::default() },
            change: change.map(|to| Box::new(Change { basis: Basis::Resulted, to })),
            between: None,
        };
        let raised = self.judge(&act);
        self.raised.extend(raised);
    }
}

/// What was done to which, by name.
fn said(acts: &[Act]) -> Vec<(&str, Verb)> {
    acts.iter().map(|act| (rules::name_of(&act.resource), act.verb)).collect()
}

#[test]
fn a_first_sight_is_no_change_and_the_next_difference_is() {
    let mut world = World::default();
    assert_eq!(world.poll(0, &[account(false), role("r")], lists()), []);
    assert_eq!(world.poll(1, &[account(false), role("r")], lists()), []);
    let acts = world.poll(2, &[account(true), role("r")], lists());
    assert_eq!(said(&acts), [("aif", Verb::Write)]);
    let between = (EventTime(BEGIN + DAY_MS), EventTime(BEGIN + 2 * DAY_MS));
    assert_eq!((acts[0].between, acts[0].at), (Some(between), between.1));
    let who = acts[0].who();
    assert!(who.contains("has not told of") && who.contains(&between.0.to_string()), "{who}");
    assert_eq!(world.poll(3, &[account(true), role("r")], lists()), []);
}

#[test]
fn what_changed_is_judged_by_the_same_rules() {
    let judged = |before: Found, after: Found| {
        let mut world = World::default();
        world.poll(0, &[before], lists());
        let mut other = World {
            memory: world.memory.clone(),
            versions: world.versions.clone(),
            ..World::default()
        };
        let acts = other.poll(1, std::slice::from_ref(&after), lists());
        acts.iter().flat_map(|act| world.judge(act)).collect::<Vec<_>>()
    };
    assert_eq!(judged(account(false), account(true)), ["TW-P04"]);
    assert_eq!(judged(account(true), account(false)), Vec::<&str>::new());
    assert_eq!(judged(deployment("chat", 10), deployment("chat", 20)), ["TW-P03"]);
    let endpoint = |status: &str| {
        let state = EndpointState { status: status.to_owned(), ..EndpointState::default() };
        let id = format!("{ACCOUNT}/privateendpointconnections/pe");
        found(Target::PrivateEndpoint, &id, Changed::PrivateEndpoint(state))
    };
    assert_eq!(judged(endpoint("Approved"), endpoint("Rejected")), ["TW-P05"]);
    let assigned = |enforcement: &str| {
        let id = "/subscriptions/s-1/providers/microsoft.authorization/policyassignments/p";
        let state =
            AssignmentState { enforcement: enforcement.to_owned(), ..AssignmentState::default() };
        found(Target::PolicyAssignment, id, Changed::Assignment(state))
    };
    assert_eq!(judged(assigned("Default"), assigned("DoNotEnforce")), ["TW-P14"]);
}

#[test]
fn what_the_activity_log_told_is_not_told_again() {
    let mut world = World::default();
    world.poll(0, &[account(false)], lists());
    world.log(5, Target::Account, ACCOUNT, Some(public(true)));
    let new = role("new");
    world.log(6, Target::RoleAssignment, &new.resource, Some(new.to.clone()));
    assert_eq!(world.poll(1, &[account(true), new], lists()), []);
}

#[test]
fn who_did_it_is_known_where_a_write_fits() {
    let mut world = World::default();
    world.poll(0, &[account(false)], lists());
    world.log(5, Target::Account, ACCOUNT, None);
    let acts = world.poll(1, &[account(true)], lists());
    assert_eq!(acts[0].at, EventTime(BEGIN + 5 * HOUR_MS));
    let who = acts[0].who();
    assert!(who.contains("ada@contoso.example") && who.contains("without what it set"), "{who}");
    // A write of something else fits nothing.
    world.log(30, Target::Deployment, &format!("{ACCOUNT}/deployments/x"), None);
    let acts = world.poll(2, &[account(false)], lists());
    assert_eq!(acts[0].principal, Principal::default());
}

#[test]
fn what_the_activity_log_told_just_before_stands_against_a_late_answer() {
    let mut world = World::default();
    world.poll(0, &[account(true)], lists());
    // Closed five minutes before the poll, which still reads what was.
    let at = BEGIN + DAY_MS - 5 * MINUTE_MS;
    let set = (Target::Account, Verb::Write);
    world.log_at(at, set, ACCOUNT, Some(public(false)));
    assert_eq!(world.poll(1, &[account(true)], lists()), []);
    assert_eq!(world.memory.state(ACCOUNT).map(|state| &state.to), Some(&public(false)));
    // A day later it is no late answer any more.
    assert_eq!(said(&world.poll(2, &[account(true)], lists())), [("aif", Verb::Write)]);
}

#[test]
fn what_is_new_in_a_list_that_was_whole_was_made_since() {
    let mut world = World::default();
    let mut whole = lists();
    whole.retain(|list| list.target != Target::RoleAssignment);
    world.poll(0, &[account(false)], whole);
    // Roles were not readable before: nobody knows since when this one is there.
    assert_eq!(world.poll(1, &[account(false), role("old")], lists()), []);
    let acts = world.poll(2, &[account(false), role("old"), role("new")], lists());
    assert_eq!(said(&acts), [("new", Verb::Write)]);
    // What belongs to an account that is new is new as well.
    let other = format!("{ACCOUNT}-2");
    let below = Found { resource: format!("{other}/deployments/d"), ..deployment("d", 1) };
    let new = found(Target::Account, &other, public(true));
    let acts = world.poll(3, &[account(false), role("old"), role("new"), new, below], lists());
    assert_eq!(said(&acts), [("aif-2", Verb::Write), ("d", Verb::Write)]);
}

#[test]
fn what_belongs_to_an_account_that_changed_is_not_new_when_it_is_first_read() {
    let mut world = World::default();
    let unread = |lists: Vec<List>| lists.into_iter().filter(|list| list.of != ACCOUNT).collect();
    world.poll(0, &[account(false)], unread(lists()));
    world.poll(1, &[account(true)], unread(lists()));
    assert_eq!(world.poll(2, &[account(true), deployment("old", 1)], lists()), []);
    let acts = world.poll(3, &[account(true), deployment("old", 1), deployment("d", 1)], lists());
    assert_eq!(said(&acts), [("d", Verb::Write)]);
}

#[test]
fn missing_once_is_not_gone_and_twice_is() {
    let mut world = World::default();
    let all = [account(false), role("r"), deployment("chat", 1)];
    world.poll(0, &all, lists());
    assert_eq!(world.poll(1, &all[..2], lists()), []);
    assert_eq!(world.poll(2, &all, lists()), []);
    assert_eq!(world.poll(3, &all[..2], lists()), []);
    // A poll that did not read the list says nothing.
    let mut others = lists();
    others.retain(|list| list.target != Target::Deployment);
    assert_eq!(world.poll(4, &all[..2], others), []);
    assert_eq!(said(&world.poll(5, &all[..2], lists())), [("chat", Verb::Delete)]);
    assert_eq!(world.versions.of(&all[2].resource), None);
    assert_eq!(world.poll(6, &all[..2], lists()), []);
}

#[test]
fn a_deletion_that_was_told_is_gone_at_once_and_no_drift() {
    let mut world = World::default();
    let all = [account(false), deployment("chat", 1)];
    world.poll(0, &all, lists());
    let done = (Target::Deployment, Verb::Delete);
    world.log_as(5, done, &all[1].resource, None);
    assert_eq!(world.poll(1, &all[..1], lists()), []);
    assert_eq!(world.versions.of(&all[1].resource), None);
}

#[test]
fn an_account_that_goes_takes_along_what_belonged_to_it() {
    let mut world = World::default();
    world.poll(0, &[account(false), deployment("chat", 1)], lists());
    let mut above = lists();
    above.retain(|list| list.of != ACCOUNT);
    assert_eq!(world.poll(1, &[], above.clone()), []);
    assert_eq!(said(&world.poll(2, &[], above)), [("aif", Verb::Delete)]);
    assert_eq!(world.versions.below(ACCOUNT).count(), 0);
    // Nothing is known of lists of an account that was made anew.
    let again = [account(false), deployment("other", 1)];
    let acts = world.poll(3, &again, lists());
    assert_eq!(said(&acts), [("aif", Verb::Write), ("other", Verb::Write)]);
}

#[test]
fn a_poll_without_all_of_its_parts_takes_nothing_away() {
    let parts = |day: i64| {
        let part = |part, found: Vec<Found>, whole| Snapshot {
            subscription: SUBSCRIPTION.to_owned(),
            at: EventTime(BEGIN + day * DAY_MS),
            part,
            found,
            whole,
        };
        [
            part(0, vec![account(false)], Vec::new()),
            part(1, vec![role("r")], Vec::new()),
            part(2, Vec::new(), lists()),
        ]
    };
    let mut world = World::default();
    parts(0).iter().for_each(|part| drop(world.take(part)));
    for day in [1, 2, 3] {
        let [first, _, last] = parts(day);
        assert_eq!([world.take(&first), world.take(&last)], [vec![], vec![]]);
    }
    assert!(world.versions.of(&role("r").resource).is_some());
    let [first, second, last] = parts(4);
    let acts = [&first, &second, &last].map(|part| world.take(part));
    assert_eq!(acts, [vec![], vec![], vec![]]);
}

#[test]
fn versions_follow_each_other_and_come_back_as_they_were() {
    let mut world = World::default();
    world.poll(0, &[account(false), role("r")], lists());
    world.poll(1, &[account(true), role("r")], lists());
    let rows = world.versions.take_versions();
    let of_account: Vec<_> = rows.iter().filter(|(id, _)| id == ACCOUNT).collect();
    let [(_, was), (_, is)] = of_account.as_slice() else { panic!("{rows:#?}") };
    let [first, second] = [0, 1].map(|day| EventTime(BEGIN + day * DAY_MS));
    assert_eq!((was.after, was.since, was.until, was.gone), (None, first, Some(second), false));
    assert_eq!((is.after, is.since, is.until, &is.to), (Some(first), second, None, &public(true)));
    assert_eq!(world.versions.take_versions(), []);

    let mut again = Versions::default();
    rows.into_iter()
        .filter(|(_, version)| version.until.is_none())
        .for_each(|row| again.restore_version(row));
    for row in world.versions.take_rows() {
        again.restore(row.kind, &row.key, row.body.as_deref().unwrap());
    }
    for day in [2, 3] {
        let mut memory = world.memory.clone();
        let snapshot = Snapshot {
            subscription: SUBSCRIPTION.to_owned(),
            at: EventTime(BEGIN + day * DAY_MS),
            part: 0,
            found: vec![account(false), role("s")],
            whole: lists(),
        };
        let expected =
            world.versions.take(&snapshot, ArrivalTime(snapshot.at.0), &mut world.memory);
        let acts = again.take(&snapshot, ArrivalTime(snapshot.at.0), &mut memory);
        assert_eq!(acts, expected);
        assert!(!acts.is_empty());
        assert_eq!(again.take_versions(), world.versions.take_versions());
    }
}

#[test]
fn what_is_kept_is_bounded_and_counted() {
    let mut world = World::default();
    let many: Vec<Found> =
        (0..MAX_LIVE + 5).map(|number| deployment(&format!("{number:06}"), 1)).collect();
    world.poll(0, &many, lists());
    assert_eq!((world.versions.live.len(), world.versions.dropped), (MAX_LIVE, 5));
    // What was left out is not taken for new.
    assert_eq!(world.poll(1, &many, lists()), []);
}

#[test]
fn old_keys_are_told_once_until_one_is_made_anew_and_old_again() {
    let aged = |keys: Option<bool>, days: i64| {
        let state = AccountState { local_auth_disabled: keys, ..AccountState::default() };
        let to = Changed::Account(state);
        let created = Some(EventTime(BEGIN - days * DAY_MS));
        Found { created, ..found(Target::Account, ACCOUNT, to) }
    };
    let told = |found: Found, days: &[i64]| {
        let mut world = World::default();
        days.iter().for_each(|day| drop(world.poll(*day, std::slice::from_ref(&found), lists())));
        world
    };
    let evidence =
        |world: &World| world.old.iter().map(|a| a.evidence[0].clone()).collect::<Vec<_>>();
    // The look-alikes: younger by a day, refused, and an account that does not say.
    for (keys, days) in [(Some(false), 88), (Some(true), 400), (None, 400)] {
        assert_eq!(evidence(&told(aged(keys, days), &[0, 1])), Vec::<String>::new());
    }
    let mut world = told(aged(Some(false), 88), &[0, 1, 2, 3, 4]);
    let facts = evidence(&world);
    assert_eq!(facts.len(), 1, "{facts:?}");
    assert!(facts[0].contains("up to 90 days old, as it is itself"), "{facts:?}");
    assert_eq!(
        (world.old[0].rule, world.old[0].severity),
        ("TW-K05", crate::severity::Severity::Low)
    );
    world.log_as(5 * 24, (Target::Account, Verb::RegenerateKey), ACCOUNT, None);
    let found = aged(Some(false), 88);
    world.memory.learn(&Act {
        principal: Principal { object: "ada".to_owned(), ..Principal::default() },
        ..remade()
    });
    for day in [6, 94, 95, 96, 97] {
        world.poll(day, std::slice::from_ref(&found), lists());
    }
    let facts = evidence(&world);
    assert_eq!(facts.len(), 2, "{facts:?}");
    assert!(facts[1].contains("last made anew 90 days ago"), "{facts:?}");
}

/// A key made anew on the fifth day.
fn remade() -> Act {
    Act {
        resource: ACCOUNT.to_owned(),
        at: EventTime(BEGIN + 5 * DAY_MS),
        told: ArrivalTime(BEGIN + 5 * DAY_MS),
        target: Target::Account,
        verb: Verb::RegenerateKey,
        effect: Effect::Done,
        log: Log::Activity,
        operation: "o".to_owned(),
        correlation: "remade".to_owned(),
        principal: Principal::default(),
        change: None,
        between: None,
    }
}

/// An account of a kind in a region.
fn placed(name: &str, region: &str) -> Found {
    let state = AccountState {
        kind: "AIServices".to_owned(),
        location: region.to_owned(),
        ..AccountState::default()
    };
    found(Target::Account, &format!("{ACCOUNT}{name}"), Changed::Account(state))
}

#[test]
fn what_is_made_outside_what_is_allowed_is_told_where_something_is() {
    let allowed = |regions: &[&str], creators: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let allowed = crate::detect::tuning::Allowed {
            regions: owned(regions),
            creators: owned(creators),
            ..Default::default()
        };
        World { tuning: Tuning::default().allowing(allowed), ..World::default() }
    };
    let judged = |mut world: World, region: &str| {
        let first = placed("", "westus");
        world.poll(0, std::slice::from_ref(&first), lists());
        world.poll(1, &[first, placed("-new", region)], lists());
        world.raised
    };
    assert_eq!(judged(allowed(&["eastus2"], &[]), "westus"), ["TW-P01"]);
    assert_eq!(judged(allowed(&["eastus2"], &[]), "eastus2"), Vec::<&str>::new());
    // Not armed without lists; and who made it nobody knows here.
    assert_eq!(judged(allowed(&[], &[]), "westus"), Vec::<&str>::new());
    assert_eq!(judged(allowed(&[], &["ada@contoso.example"]), "westus"), Vec::<&str>::new());
    for (creator, expected) in [("ada@contoso.example", vec![]), ("bob", vec!["TW-P01"])] {
        let mut world = allowed(&[], &[creator]);
        world.log(1, Target::Account, ACCOUNT, Some(public(true)));
        assert_eq!(world.raised, expected, "{creator}");
    }
}

#[test]
fn the_dearest_model_is_told_and_one_like_the_others_is_not() {
    let serves = |name: &str, model: &str| {
        let (model, version) = model.split_once('@').unwrap();
        let state = DeploymentState {
            model: model.to_owned(),
            version: version.to_owned(),
            sku: "GlobalStandard".to_owned(),
            ..DeploymentState::default()
        };
        found(
            Target::Deployment,
            &format!("{ACCOUNT}/deployments/{name}"),
            Changed::Deployment(state),
        )
    };
    let judged = |peers: u32, model: &str| {
        let mut world = World::default();
        let mut all: Vec<Found> =
            (0..peers).map(|n| serves(&format!("d-{n}"), "gpt-4o-mini@2024-07-18")).collect();
        world.poll(0, &all, lists());
        all.push(serves("new", model));
        world.poll(1, &all, lists());
        world.raised
    };
    assert_eq!(judged(10, "gpt-4o@2024-08-06"), ["TW-P02"]);
    assert_eq!(judged(10, "gpt-4o-mini@2024-07-18"), Vec::<&str>::new());
    assert_eq!(judged(9, "gpt-4o@2024-08-06"), Vec::<&str>::new());
    assert_eq!(judged(0, "nobody-knows@1"), ["TW-P02"]);
}
