//! Each rule with what makes it speak, and with the same but for one fact that makes it lawful.

use std::sync::LazyLock;

use super::act::{Act, Effect, Log};
use super::memory::{Kind, MAX_RECENT, Memory};
use super::*;
use crate::detect::tuning::{Change, Tuned, Tuning};
use crate::event::control::{
    self, AccountState, AddressRules, AssignmentState, Basis, ConnectionState, DefenderState,
    DeploymentState, DiagnosticState, EndpointState, NetworkState, PrincipalKind, RaiFilter,
    RaiState, RoleState, Target, Verb,
};
use crate::time::{ArrivalTime, HOUR_MS, MINUTE_MS};

const ACCOUNT: &str =
    "/subscriptions/s-1/resourcegroups/rg/providers/microsoft.cognitiveservices/accounts/aif";
/// When the watch began; tests act a month later.
const BEGIN: i64 = 1_790_000_000_000;
const NOW: i64 = BEGIN + 31 * DAY_MS;

/// List prices.
pub(in crate::rules) static BOOK: LazyLock<PriceBook> =
    LazyLock::new(|| PriceBook::built_in().unwrap());

fn act(target: Target, verb: Verb, resource: &str, minute: i64) -> Act {
    let at = NOW + minute * MINUTE_MS;
    Act {
        resource: resource.to_owned(),
        at: EventTime(at),
        told: ArrivalTime(at + 5 * MINUTE_MS),
        target,
        verb,
        effect: Effect::Done,
        log: Log::Activity,
        operation: format!("{target:?}/{verb:?}"),
        correlation: format!("c-{minute}-{resource}"),
        principal: Principal {
            kind: PrincipalKind::User,
            object: "ada".to_owned(),
            network: "203.0.113.0/24".to_owned(),
            ..Principal::default()
        },
        change: None,
        between: None,
    }
}

fn sets(target: Target, resource: &str, minute: i64, to: Changed) -> Act {
    let change = Some(Box::new(control::Change { basis: Basis::Resulted, to }));
    Act { change, ..act(target, Verb::Write, resource, minute) }
}

fn lists(account: &str, minute: i64) -> Act {
    act(Target::Account, Verb::ListKeys, account, minute)
}

fn by(act: Act, object: &str, network: &str) -> Act {
    let principal = Principal {
        object: object.to_owned(),
        network: network.to_owned(),
        ..act.principal.clone()
    };
    Act { principal, ..act }
}

/// What rules say of the acts, in order, as rule and severity; the memory as it is afterwards.
fn say(acts: &[Act]) -> (Vec<(&'static str, Severity)>, Vec<Alarm>, Memory) {
    say_tuned(acts, &Tuning::default())
}

/// The same with a configuration.
fn say_tuned(acts: &[Act], tuning: &Tuning) -> (Vec<(&'static str, Severity)>, Vec<Alarm>, Memory) {
    let mut memory = Memory::default();
    memory.hear("/subscriptions/s-1", ArrivalTime(BEGIN));
    let mut alarms = Vec::new();
    for act in acts {
        for verdict in judge(act, &mut memory, (&["hubs".to_owned()], tuning, &BOOK)) {
            if let Verdict::Raise(alarm) = verdict {
                alarms.push(*alarm);
            }
        }
    }
    let said = alarms.iter().map(|alarm| (alarm.rule, alarm.severity)).collect();
    (said, alarms, memory)
}

#[track_caller]
fn check(acts: &[Act], expected: &[(&str, Severity)]) {
    let (said, alarms, _) = say(acts);
    assert_eq!(said, expected, "{alarms:#?}");
    for alarm in alarms {
        assert!(!alarm.steps.is_empty(), "{} has no command", alarm.rule);
        assert!(alarm.steps.iter().all(|step| step.command.starts_with("az ")), "{alarm:#?}");
        assert!(alarm.evidence.len() >= 3, "{alarm:#?}");
    }
}

#[test]
fn every_entry_of_the_table_has_code() {
    let detectors = crate::detect::DETECTORS.iter().map(|detector| detector.profile().id.as_str());
    let conduct = crate::detect::conduct::RULES.iter().map(|rule| rule.id);
    let rules = conduct.chain(RULES.iter().map(|rule| rule.id));
    let chains = chain::CHAINS.iter().map(|chain| chain.id);
    let mut coded: Vec<&str> = detectors.chain(rules).chain(chains).collect();
    // Judged in the estate step, which has no table of its own.
    coded.extend(["TW-C05", "TW-I06", "TW-P13"]);
    coded.extend(crate::detect::metered::RULES);
    coded.sort_unstable();
    let mut told: Vec<&str> = table::all().iter().map(|profile| profile.id.as_str()).collect();
    told.sort_unstable();
    assert_eq!(coded, told);
}

#[test]
fn a_rule_is_as_the_configuration_sets_it_where_the_act_happened() {
    let acts = [lists(ACCOUNT, -20 * 24 * 60), by(lists(ACCOUNT, 0), "eve", "198.51.100.0/24")];
    let told = |account: &str, enabled| {
        let accounts = vec![account.to_owned()];
        let change =
            Change { accounts, enabled, severity: Some(Severity::Low), ..Change::default() };
        let tuning = Tuning::new(vec![Tuned::new(table::profile("TW-K01"), change)]);
        say_tuned(&acts, &tuning).0.last().map(|(_, severity)| *severity)
    };
    assert_eq!(told("other", false), Some(Severity::High));
    assert_eq!(told("aif", true), Some(Severity::Low));
    assert_eq!(told("aif", false), None);
}

#[test]
fn keys_listed_by_an_identity_that_had_not_are_told() {
    let usual = [-20 * 24 * 60, -10 * 24 * 60].map(|minute| lists(ACCOUNT, minute));
    let thief = by(lists(ACCOUNT, 0), "eve", "198.51.100.0/24");
    let [first, second] = usual.clone();
    check(&[first.clone(), second.clone(), lists(ACCOUNT, 0)], &[("TW-K01", Severity::High)]);
    // The first of all was new itself, ten days after the watch began; the thief is news again.
    check(&[first, second, thief], &[("TW-K01", Severity::High), ("TW-K01", Severity::High)]);
}

#[test]
fn an_identity_that_lists_keys_all_the_time_from_elsewhere_is_no_page() {
    let before = lists(ACCOUNT, -10 * 24 * 60);
    let moved = by(lists(ACCOUNT, 0), "ada", "198.51.100.0/24");
    check(&[before.clone(), moved], &[("TW-K01", Severity::High), ("TW-K01", Severity::Medium)]);
    check(&[before, lists(ACCOUNT, 0)], &[("TW-K01", Severity::High)]);
}

#[test]
fn in_the_first_week_nobody_is_new() {
    let early = |days: i64| lists(ACCOUNT, (days - 31) * 24 * 60);
    check(&[early(6)], &[]);
    check(&[early(8)], &[("TW-K01", Severity::High)]);
    // Whoever deploys lists all keys on the first night too.
    let all = |days: i64| {
        (0..3).map(move |n| lists(&format!("{ACCOUNT}-{n}"), (days - 31) * 24 * 60 + n))
    };
    check(&all(1).collect::<Vec<_>>(), &[]);
    check(
        &all(8).collect::<Vec<_>>(),
        &[[("TW-K01", Severity::High); 3].as_slice(), &[("TW-K02", Severity::High)]].concat(),
    );
}

#[test]
fn the_keys_of_three_accounts_within_the_hour() {
    let other = |n: i64| format!("{ACCOUNT}-{n}");
    let at = |minutes: [i64; 3]| -> Vec<Act> {
        let listed = (0..).zip(minutes).map(|(n, minute)| lists(&other(n), minute));
        listed.collect()
    };
    let new = [("TW-K01", Severity::High); 3];
    let both = [new.as_slice(), &[("TW-K02", Severity::High)]].concat();
    check(&at([0, 31, 62]), &new);
    check(&at([0, 29, 59]), &both);
    // Told in another order it is the same.
    check(&at([59, 0, 29]), &both);
    // Three identities are not one.
    let mut three = at([0, 29, 59]);
    let last = three.pop().unwrap();
    three.push(by(last, "bob", "203.0.113.0/24"));
    check(&three, &new);
    // What is done every night is no news, whatever the first night was.
    let night = |days: i64| at([0, 29, 59].map(|minute| minute - days * 24 * 60));
    check(&[night(3), night(2), night(1), night(0)].concat(), &both);
    // One account that it lists for the first time is not several.
    let mut more = [night(2), night(1)].concat();
    more.push(lists(&other(3), 0));
    check(&more, &[both.as_slice(), &[("TW-K01", Severity::High)]].concat());
}

fn keys(disabled: bool) -> Changed {
    Changed::Account(AccountState {
        local_auth_disabled: Some(disabled),
        ..AccountState::default()
    })
}

#[test]
fn keys_allowed_again_and_listed_are_critical_in_any_order() {
    let closed = sets(Target::Account, ACCOUNT, -3 * 24 * 60, keys(true));
    let opened = sets(Target::Account, ACCOUNT, 0, keys(false));
    let usual = lists(ACCOUNT, -2 * 24 * 60 - 60);
    let listed = lists(ACCOUNT, 30);
    let late = lists(ACCOUNT, 61);
    let new = ("TW-K01", Severity::High);
    let high = ("TW-K03", Severity::High);
    let critical = ("TW-K03", Severity::Critical);
    check(&[closed.clone(), usual.clone(), opened.clone()], &[new, high]);
    check(&[closed.clone(), usual.clone(), opened.clone(), late], &[new, high]);
    check(&[closed.clone(), usual.clone(), opened.clone(), listed.clone()], &[new, high, critical]);
    check(&[closed.clone(), usual.clone(), listed, opened.clone()], &[new, critical]);
    // Keys that were allowed all along are no news.
    let open = sets(Target::Account, ACCOUNT, -3 * 24 * 60, keys(false));
    check(&[open, opened], &[]);
}

#[test]
fn keys_refused_again_end_the_chain_but_not_what_was_listed_before() {
    let closed = sets(Target::Account, ACCOUNT, -3 * 24 * 60, keys(true));
    let opened = sets(Target::Account, ACCOUNT, 0, keys(false));
    let again = sets(Target::Account, ACCOUNT, 10, keys(true));
    let warm = lists(ACCOUNT, -2 * 24 * 60);
    let other = act(Target::Account, Verb::RegenerateKey, ACCOUNT, 20);
    let acts = |listed| [closed.clone(), warm.clone(), opened.clone(), again.clone(), listed];
    let (new, high) = (("TW-K01", Severity::High), ("TW-K03", Severity::High));
    check(&acts(lists(ACCOUNT, 15)), &[new, high]);
    check(&acts(other), &[new, high, ("TW-K04", Severity::Low)]);
    // Told last, but done while keys were allowed.
    check(&acts(lists(ACCOUNT, 5)), &[new, high, ("TW-K03", Severity::Critical)]);
}

#[test]
fn a_refused_listing_tells_that_keys_were_refused() {
    let refused = Act { effect: Effect::Refused, ..lists(ACCOUNT, -5) };
    let opened = sets(Target::Account, ACCOUNT, 0, keys(false));
    let listed = lists(ACCOUNT, 1);
    let critical = ("TW-K03", Severity::Critical);
    check(
        &[refused.clone(), opened.clone(), listed.clone()],
        &[("TW-K03", Severity::High), ("TW-K01", Severity::High), critical],
    );
    check(&[refused, listed.clone(), opened.clone()], &[("TW-K01", Severity::High), critical]);
    // Without it nobody knows whether anything changed.
    check(&[opened, listed], &[("TW-K01", Severity::High)]);
}

#[test]
fn what_only_the_beginning_of_an_operation_says_counts_once_it_is_done() {
    let opened = sets(Target::Account, ACCOUNT, 0, keys(false));
    let asked = Act { effect: Effect::Asked, ..opened.clone() };
    let done = Act { change: None, ..opened };
    let closed = sets(Target::Account, ACCOUNT, -90, keys(true));
    let said = [("TW-K03", Severity::High)];
    check(&[closed.clone(), asked.clone(), done.clone()], &said);
    check(&[closed.clone(), done.clone(), asked.clone(), asked.clone()], &said);
    // What was asked for and not done has no effect.
    check(&[closed.clone(), asked.clone()], &[]);
    check(&[closed, asked, Act { effect: Effect::Refused, ..done }], &[]);
}

#[test]
fn a_copy_of_a_record_changes_nothing() {
    let listed = lists(ACCOUNT, 0);
    let (said, _, memory) = say(&[listed.clone(), listed.clone()]);
    assert_eq!(said.len(), 1);
    assert_eq!(memory.between(0, i64::MAX - 1).count(), 1);
}

#[test]
fn a_key_made_anew_by_who_does_not_usually() {
    let made = |minute| act(Target::Account, Verb::RegenerateKey, ACCOUNT, minute);
    check(&[made(0)], &[("TW-K04", Severity::Low)]);
    check(&[made(-20 * 24 * 60), made(0)], &[("TW-K04", Severity::Low)]);
}

#[test]
fn a_role_that_opens_accounts() {
    let owner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
    let reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let grant = |role: &str, scope: &str| {
        let to = Changed::Role(RoleState {
            principal: "eve".to_owned(),
            role: role.to_owned(),
            scope: scope.to_owned(),
            ..RoleState::default()
        });
        let resource = format!("{scope}/providers/microsoft.authorization/roleassignments/r");
        sets(Target::RoleAssignment, &resource, 0, to)
    };
    check(&[grant(owner, ACCOUNT)], &[("TW-K07", Severity::High)]);
    check(&[grant(owner, "/subscriptions/s-1/resourcegroups/rg")], &[("TW-K07", Severity::High)]);
    check(&[grant(reader, ACCOUNT)], &[]);
    let storage =
        "/subscriptions/s-1/resourcegroups/rg/providers/microsoft.storage/storageaccounts/x";
    check(&[grant(owner, storage)], &[]);
}

/// A rule about the change of one account: before and after, and an after that is no change.
#[track_caller]
fn changes(rule: &'static str, severity: Severity, states: [AccountState; 3]) {
    let [before, after, same] = states.map(Changed::Account);
    let first = sets(Target::Account, ACCOUNT, -90, before);
    check(&[first.clone(), sets(Target::Account, ACCOUNT, 0, after.clone())], &[(rule, severity)]);
    check(&[first.clone(), sets(Target::Account, ACCOUNT, 0, same)], &[]);
    // Of the first record of an account nothing is known to have changed.
    check(&[sets(Target::Account, ACCOUNT, 0, after.clone())], &[]);
    // What was set later and told earlier is not the state before.
    check(&[first_later(first), sets(Target::Account, ACCOUNT, 0, after)], &[]);
}

fn first_later(act: Act) -> Act {
    Act { at: EventTime(NOW + HOUR_MS), ..act }
}

fn network(network: NetworkState) -> AccountState {
    AccountState { network, ..AccountState::default() }
}

#[test]
fn public_access_opened_in_four_ways() {
    let public = |on| network(NetworkState { public_access: Some(on), ..NetworkState::default() });
    changes("TW-P04", Severity::High, [public(false), public(true), public(false)]);
    let allow = |on| network(NetworkState { open_by_default: Some(on), ..NetworkState::default() });
    changes("TW-P04", Severity::High, [allow(false), allow(true), AccountState::default()]);
    let rules = |widest, hash| {
        let addresses =
            Some(AddressRules { count: 1, widest: Some(widest), widest_v6: None, hash });
        network(NetworkState { addresses, ..NetworkState::default() })
    };
    changes("TW-P04", Severity::High, [rules(32, 1), rules(23, 2), rules(24, 3)]);
    let bypass =
        |who: &str| network(NetworkState { bypass: who.to_owned(), ..NetworkState::default() });
    changes("TW-P04", Severity::High, [bypass("None"), bypass("AzureServices"), bypass("none")]);
}

#[test]
fn what_is_closed_again_is_taken_back() {
    let public = |on, minute| {
        let state = network(NetworkState { public_access: Some(on), ..NetworkState::default() });
        sets(Target::Account, ACCOUNT, minute, Changed::Account(state))
    };
    let mut memory = Memory::default();
    let spoken: Vec<Verdict> = [public(false, 0), public(true, 1), public(false, 2)]
        .iter()
        .flat_map(|act| judge(act, &mut memory, (&[], &Tuning::default(), &BOOK)))
        .collect();
    let words: Vec<String> = spoken
        .iter()
        .map(|verdict| match verdict {
            Verdict::Raise(alarm) => format!("raise {} {}", alarm.rule, alarm.scope),
            Verdict::Clear { rule, scope, .. } => format!("clear {rule} {scope}"),
        })
        .collect();
    let about = format!("TW-P04 {ACCOUNT}");
    let expected = ["clear", "raise", "clear"].map(|word| format!("{word} {about}"));
    // Before the first change there is nothing to compare with, and nothing to take back.
    assert_eq!(words, expected[1..]);
    let Some(Verdict::Raise(alarm)) = spoken.first() else { panic!("{spoken:?}") };
    assert_eq!(
        alarm.steps[0].command,
        format!("az resource update --ids {ACCOUNT} --set properties.publicNetworkAccess=Disabled")
    );
}

#[test]
fn outbound_and_encryption() {
    let outbound = |on| AccountState { outbound_restricted: Some(on), ..AccountState::default() };
    changes("TW-P06", Severity::Medium, [outbound(true), outbound(false), outbound(true)]);
    let names =
        |n, hash| AccountState { allowed_names: Some((n, hash)), ..AccountState::default() };
    changes("TW-P06", Severity::Medium, [names(2, 1), names(3, 2), names(1, 3)]);
    let key = |own| AccountState { customer_key: Some(own), ..AccountState::default() };
    changes("TW-P07", Severity::Medium, [key(true), key(false), key(true)]);
}

#[test]
fn capacity_that_doubles_or_moves_to_the_world() {
    let deployment = format!("{ACCOUNT}/deployments/chat");
    let state = |sku: &str, capacity| {
        let state =
            DeploymentState { sku: sku.to_owned(), capacity: Some(capacity), ..Default::default() };
        Changed::Deployment(state)
    };
    let raise = |sku: &str, was, is| {
        let first = sets(Target::Deployment, &deployment, -9, state("Standard", was));
        vec![first, sets(Target::Deployment, &deployment, 0, state(sku, is))]
    };
    let said = [("TW-P03", Severity::Medium)];
    check(&raise("Standard", 10, 20), &said);
    check(&raise("Standard", 10, 19), &[]);
    check(&raise("Standard", 500, 600), &said);
    check(&raise("Standard", 500, 599), &[]);
    check(&raise("GlobalStandard", 10, 10), &said);
    check(&raise("ProvisionedManaged", 500, 600), &[]);
}

#[test]
fn private_endpoints_that_go_or_come_from_elsewhere() {
    let id = format!("{ACCOUNT}/privateendpointconnections/pe");
    let set = |status: &str, subscription: &str| {
        let endpoint = format!("/subscriptions/{subscription}/resourcegroups/x");
        let state = EndpointState { status: status.to_owned(), endpoint };
        sets(Target::PrivateEndpoint, &id, 0, Changed::PrivateEndpoint(state))
    };
    let said = [("TW-P05", Severity::High)];
    check(&[act(Target::PrivateEndpoint, Verb::Delete, &id, 0)], &said);
    check(&[set("Rejected", "s-1")], &said);
    check(&[set("Approved", "s-2")], &said);
    check(&[set("Approved", "s-1")], &[]);
}

#[test]
fn filters_that_let_more_pass() {
    let id = format!("{ACCOUNT}/raipolicies/own");
    let policy = |threshold: &str, blocking, minute| {
        let filter = RaiFilter {
            name: "Hate".to_owned(),
            source: "Prompt".to_owned(),
            enabled: Some(true),
            blocking: Some(blocking),
            threshold: threshold.to_owned(),
        };
        let state = RaiState { filters: vec![filter], ..RaiState::default() };
        sets(Target::RaiPolicy, &id, minute, Changed::RaiPolicy(state))
    };
    let said = [("TW-P08", Severity::High)];
    check(&[policy("Medium", true, 0), policy("High", true, 1)], &said);
    check(&[policy("Medium", true, 0), policy("Low", true, 1)], &[]);
    check(&[policy("Medium", true, 0), policy("Medium", false, 1)], &said);
    check(&[policy("Medium", false, 1)], &said);
    check(&[act(Target::RaiPolicy, Verb::Delete, &id, 0)], &said);
    let deployment = |policy: &str, minute| {
        let state = DeploymentState { rai_policy: policy.to_owned(), ..Default::default() };
        let id = format!("{ACCOUNT}/deployments/chat");
        sets(Target::Deployment, &id, minute, Changed::Deployment(state))
    };
    check(&[deployment("strict", 0), deployment("lax", 1)], &said);
    check(&[deployment("strict", 0), deployment("Strict", 1)], &[]);
}

#[test]
fn guards_that_are_switched_off() {
    let said = [("TW-P09", Severity::High)];
    let list = format!("{ACCOUNT}/raiblocklists/words");
    check(&[act(Target::RaiBlocklist, Verb::Delete, &list, 0)], &said);
    let plan = |name: &str, on| {
        let id = format!("/subscriptions/s-1/providers/microsoft.security/pricings/{name}");
        let state = DefenderState { enabled: Some(on), ..DefenderState::default() };
        sets(Target::DefenderPlan, &id, 0, Changed::Defender(state))
    };
    check(&[plan("ai", false)], &said);
    check(&[plan("ai", true)], &[]);
    check(&[plan("virtualmachines", false)], &[]);
}

fn setting(sends: &[&str], minute: i64) -> Act {
    let state = DiagnosticState {
        sends: sends.iter().map(|category| (*category).to_owned()).collect(),
        event_hub: "logs".to_owned(),
        namespace:
            "/subscriptions/s-1/resourcegroups/rg/providers/microsoft.eventhub/namespaces/hubs"
                .to_owned(),
        ..DiagnosticState::default()
    };
    let id = format!("{ACCOUNT}/providers/microsoft.insights/diagnosticsettings/to-hub");
    sets(Target::DiagnosticSetting, &id, minute, Changed::Diagnostic(state))
}

#[test]
fn logs_that_are_switched_off() {
    let both = ["Audit", "RequestResponse"];
    let first = setting(&both, 0);
    let gone = act(Target::DiagnosticSetting, Verb::Delete, &first.resource, 5);
    let said = [("TW-P10", Severity::High)];
    check(&[first.clone(), setting(&["Audit"], 1)], &said);
    check(&[first.clone(), setting(&both, 1)], &[]);
    check(&[first.clone(), gone.clone()], &said);
    let (_, alarms, _) = say(&[first, gone.clone()]);
    let command = &alarms[0].steps[0].command;
    assert!(command.contains("--name to-hub") && command.contains("RequestResponse"), "{command}");
    // Of another kind of resource we read nothing.
    let other =
        "/subscriptions/s-1/resourcegroups/rg/providers/microsoft.compute/virtualmachines/v";
    let other = format!("{other}/providers/microsoft.insights/diagnosticsettings/to-hub");
    check(&[Act { resource: other, ..gone.clone() }], &[]);
    // Two things by one identity within a day are a second signal.
    let (said, ..) = say(&[lists(ACCOUNT, 0), gone]);
    assert_eq!(said, [("TW-K01", Severity::High), ("TW-P10", Severity::Critical)]);
}

#[test]
fn our_own_hub() {
    let hub = |namespace: &str| {
        format!(
            "/subscriptions/s-1/resourcegroups/rg/providers/microsoft.eventhub/namespaces/{namespace}"
        )
    };
    let rule = format!("{}/authorizationrules/root", hub("hubs"));
    let said = [("TW-P11", Severity::High)];
    check(&[act(Target::EventHub, Verb::Delete, &hub("hubs"), 0)], &said);
    check(&[act(Target::EventHub, Verb::Delete, &hub("others"), 0)], &[]);
    let listed = |minute| act(Target::EventHub, Verb::ListKeys, &rule, minute);
    check(&[listed(0)], &said);
    check(&[listed(-20 * 24 * 60), listed(0)], &said);
}

#[test]
fn policies_and_locks() {
    let at =
        |scope: &str, what: &str| format!("{scope}/providers/microsoft.authorization/{what}/x");
    let group = "/subscriptions/s-1/resourcegroups/rg";
    let said = [("TW-P14", Severity::High)];
    check(&[act(Target::Lock, Verb::Delete, &at(ACCOUNT, "locks"), 0)], &said);
    check(
        &[act(Target::PolicyAssignment, Verb::Delete, &at(group, "policyassignments"), 0)],
        &said,
    );
    let enforced = |word: &str| {
        let state = AssignmentState { enforcement: word.to_owned(), ..AssignmentState::default() };
        let id = at(group, "policyassignments");
        sets(Target::PolicyAssignment, &id, 0, Changed::Assignment(state))
    };
    check(&[enforced("DoNotEnforce")], &said);
    check(&[enforced("Default")], &[]);
    let storage = format!("{group}/providers/microsoft.storage/storageaccounts/x");
    check(&[act(Target::Lock, Verb::Delete, &at(&storage, "locks"), 0)], &[]);
}

#[test]
fn three_deletes_within_ten_minutes() {
    let gone = |n: i64, minute| {
        let id = format!("{ACCOUNT}/deployments/d-{n}");
        act(Target::Deployment, Verb::Delete, &id, minute)
    };
    let said = [("TW-P15", Severity::High)];
    check(&[gone(0, 0), gone(1, 5), gone(2, 10)], &said);
    check(&[gone(2, 10), gone(0, 0), gone(1, 5)], &said);
    check(&[gone(0, 0), gone(1, 5), gone(2, 11)], &[]);
    check(&[gone(0, 0), gone(1, 5), gone(1, 6)], &[]);
    let deleted = "/subscriptions/s-1/providers/microsoft.cognitiveservices/deletedaccounts/a";
    check(&[act(Target::DeletedAccount, Verb::Delete, deleted, 0)], &said);
}

#[test]
fn a_connection_to_the_outside() {
    let connect = |name: &str, host: &str, minute| {
        let id = format!("{ACCOUNT}/projects/p/connections/{name}");
        let state = ConnectionState { host: host.to_owned(), ..ConnectionState::default() };
        sets(Target::Connection, &id, minute, Changed::Connection(state))
    };
    let said = [("TW-P16", Severity::Medium)];
    check(&[connect("a", "evil.example", 0)], &said);
    check(&[connect("a", "own.openai.azure.com", 0)], &[]);
    check(&[connect("a", "evil.example", 0), connect("b", "evil.example", 1)], &said);
}

#[test]
fn what_is_remembered_comes_back_as_it_was() {
    let acts = [
        sets(Target::Account, ACCOUNT, -90, keys(true)),
        lists(ACCOUNT, -80),
        sets(Target::Account, ACCOUNT, 0, keys(false)),
        setting(&["Audit"], 1),
    ];
    let (_, _, mut memory) = say(&acts);
    let rows = memory.take_rows();
    assert!(rows.iter().any(|row| row.kind == Kind::State), "{rows:#?}");
    let mut again = Memory::default();
    for row in &rows {
        again.restore(row.kind, row.key.clone(), row.body.as_deref().unwrap());
    }
    let last = [lists(ACCOUNT, 9), setting(&[], 10)];
    for act in last {
        let expected = judge(&act, &mut memory, (&[], &Tuning::default(), &BOOK));
        assert!(!expected.is_empty());
        assert_eq!(judge(&act, &mut again, (&[], &Tuning::default(), &BOOK)), expected);
    }
    assert_eq!(again.take_rows(), memory.take_rows());
}

#[test]
fn a_flood_of_operations_is_bounded_and_counted() {
    let mut memory = Memory::default();
    let flood = i64::try_from(MAX_RECENT).unwrap() + 10;
    for n in 0..flood {
        memory.note(&act(Target::Account, Verb::Write, ACCOUNT, 0).of_number(n));
    }
    assert_eq!(memory.between(0, i64::MAX - 1).count(), MAX_RECENT);
    assert_eq!(memory.dropped, 10);
}

impl Act {
    fn of_number(self, n: i64) -> Self {
        Self { correlation: n.to_string(), at: EventTime(self.at.0 + n), ..self }
    }
}
