use super::*;
use crate::engine::EngineSettings;
use crate::event::control::{AccountState, AddressRules, Target};
use crate::price::PriceBook;
use crate::time::MINUTE_MS;

const ACCOUNT: &str = "/subscriptions/s/accounts/aif";
const OPEN: NetworkState = network(Some(true), Some(true));
const OFF: NetworkState = network(Some(false), None);
const UNTOLD: NetworkState = network(None, None);

const fn network(public_access: Option<bool>, open_by_default: Option<bool>) -> NetworkState {
    NetworkState {
        public_access,
        open_by_default,
        addresses: None,
        virtual_networks: None,
        bypass: String::new(),
    }
}

/// Since when an account counts as shut after records of how it was set, each with its minute.
#[track_caller]
fn check(records: &[(i64, NetworkState)], expected: Option<i64>) {
    let mut memory = Memory::default();
    for (minute, network) in records {
        let to = AccountState { network: network.clone(), ..AccountState::default() };
        let at = EventTime(minute * MINUTE_MS);
        memory.seed(Target::Account, ACCOUNT, at, &Changed::Account(to));
    }
    let since = memory.state(ACCOUNT).and_then(|state| state.shut_since);
    assert_eq!(since.map(|since| since.0 / MINUTE_MS), expected, "{records:?}");
}

#[test]
fn an_account_is_shut_since_it_was_first_told_so() {
    check(&[(5, OFF)], Some(5));
    check(&[(5, OPEN)], None);
    check(&[(1, OPEN), (5, OFF), (9, UNTOLD), (12, OFF)], Some(5));
    check(&[(5, OFF), (9, OPEN)], None);
    check(&[(5, OFF), (9, OPEN), (20, OFF)], Some(20));
    // What an older record says fills in what the newer one has not said.
    check(&[(9, UNTOLD), (5, OFF)], Some(5));
    check(&[(9, OPEN), (5, OFF)], None);
}

#[test]
fn no_public_network_gets_in_where_no_address_has_a_rule() {
    let rules = |count| NetworkState {
        addresses: Some(AddressRules { count, ..AddressRules::default() }),
        ..network(Some(true), Some(false))
    };
    check(&[(5, rules(0))], Some(5));
    check(&[(5, rules(1))], None);
    check(&[(5, network(Some(true), Some(false)))], None);
}

/// Whether a call with or without an identity, from an autonomous system, counts under a bypass.
#[track_caller]
fn counts(bypass: &str, identity: u32, asn: Option<u32>, expected: bool) {
    let env = Env::new(EngineSettings::default(), PriceBook::built_in().unwrap());
    let account = Account::new(1, ACCOUNT, "l", &env);
    let network = NetworkState { bypass: bypass.to_owned(), ..OFF };
    let shut = Shut { account: &account, since: EventTime(0), network: &network };
    let who = CallerParts { network: 7, identity, operation: Operation::Chat };
    let about = About { asn, ..About::default() };
    assert_eq!(shut.is_counted(who, &about), expected, "{bypass} {identity} {asn:?}");
}

#[test]
fn trusted_services_may_pass_where_the_account_lets_them() {
    for bypass in ["AzureServices", ""] {
        counts(bypass, NONE, None, true);
        counts(bypass, 5, None, false);
        counts(bypass, 5, Some(8075), false);
        counts(bypass, 5, Some(64_512), true);
    }
    counts("None", 5, Some(8075), true);
    counts("none", 5, None, true);
}
