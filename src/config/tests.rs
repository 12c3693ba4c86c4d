//! Configurations, good and bad.

use std::any::Any;

use super::*;
use crate::azure::Identity;
use crate::notify::{self, EmailSettings, EmlSettings};
use crate::source::event_hubs::{Start, Transport};

const HUB: &str = "[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n";
const SECRET: &str = "hunter2hunter2";

fn secrets(secret: &SecretRef) -> Result<SecretString, String> {
    match secret {
        SecretRef::Env(name) if name == "BAD" => Ok(SecretString::from(SECRET)),
        SecretRef::Env(name) if name == "GOOD" => placeholder(secret),
        SecretRef::Env(_) => look_up(secret),
        SecretRef::File(path) if path.ends_with("there.pem") => placeholder(secret),
        SecretRef::File(path) => Err(format!("cannot read {}", path.display())),
    }
}

#[track_caller]
fn settings<T: notify::Settings>(destination: &Destination) -> &T {
    let settings: &dyn Any = &*destination.settings;
    settings.downcast_ref().unwrap()
}

#[track_caller]
fn good(text: &str) -> Config {
    match parse(text, "conf/t.toml", &secrets) {
        Ok(config) => config,
        Err(problems) => panic!("{problems}"),
    }
}

/// `expected`: line, column, part of message and mend.
#[track_caller]
fn bad(text: &str, expected: &[(usize, usize, &str)]) -> Problems {
    let problems = parse(text, "t.toml", &secrets).map(|_| ()).unwrap_err();
    let places: Vec<_> = problems.0.iter().map(|found| (found.line, found.column)).collect();
    let wanted: Vec<_> = expected.iter().map(|(line, column, _)| (*line, *column)).collect();
    assert_eq!(places, wanted, "{problems}");
    for (found, (_, _, part)) in problems.0.iter().zip(expected) {
        let said = format!("{}; {}", found.message, found.mend);
        assert!(said.contains(part), "{said:?} does not contain {part:?}");
    }
    problems
}

/// One line appended to a table that is good without it.
#[track_caller]
fn bad_line(table: &str, line: &str, column: usize, part: &str) {
    bad(&format!("{table}{line}\n"), &[(table.lines().count() + 1, column, part)]);
}

#[test]
fn a_hub_alone_is_enough_and_the_rest_has_defaults() {
    let config = good(HUB);
    assert_eq!(config.database, Path::new("conf/tokenwatch.db"));
    let pipeline = vec!["n".to_owned()];
    assert_eq!(config.engine, EngineSettings { pipeline, ..EngineSettings::default() });
    assert!(config.hubs.iter().all(|hub| hub.consumer_group == "tokenwatch" && hub.prefetch == 64));
    assert!(config.env().is_ok());
}

#[test]
fn every_setting_arrives() {
    let text = format!(
        "database = \"/x.db\"\n{HUB}start = \"latest\"\nprefetch = 0x10\n\
         custom_endpoint = \"amqp://[::1]:5672\"\nauth = \"cli\"\n\
         [engine]\nlateness = \"90s\"\ncallers_per_hour = 7\nmax_accounts = 3\n\
         [join]\nattribution = \"1m\"\nhorizon = \"1d\"\nmax_open = 1\nmax_known = 2\n\
         [detect]\nalerts_per_week = 2\nceiling_usd_per_hour = 1_000.5\n\
         [[notify.email]]\nname = \"m\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\n\
         host = \"h.example\"\ntls = \"starttls\"\nusername = \"u\"\npassword = {{ env = \"GOOD\" }}\n\
         ca_file = \"there.pem\"\n\
         [[notify.webhook]]\nname = \"w\"\nurl = \"https://w.example\"\nsecret = {{ env = \"GOOD\" }}\n\
         [[notify.eml]]\nname = \"e\"\nfolder = \"f\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\n"
    );
    let config = good(&text);
    assert_eq!(config.database, Path::new("/x.db"));
    assert_eq!((config.engine.lateness_ms, config.engine.callers_per_hour), (90_000, 7));
    assert_eq!((config.engine.join.horizon_ms, config.engine.join.max_known), (86_400_000, 2));
    assert!((config.engine.detect.score.alerts_per_week - 2.0).abs() < 1e-9);
    assert!((config.engine.detect.ceiling_usd_per_hour - 1000.5).abs() < 1e-9);
    let hub = config.hubs.first().unwrap();
    assert_eq!((hub.start, hub.prefetch), (Start::Latest, 16));
    let [first, _, last] = config.destinations.as_slice() else { panic!("not three") };
    let mail: &EmailSettings = settings(first);
    assert_eq!((mail.port, first.min_severity.word()), (587, "medium"));
    assert_eq!(mail.ca_file.as_deref(), Some(Path::new("conf/there.pem")));
    let eml: &EmlSettings = settings(last);
    assert_eq!(eml.folder, Path::new("conf/f"));
}

#[test]
fn each_rule_of_a_hub_names_place_and_mend() {
    let rules = [
        ("consumer_gruop = \"x\"", 1, "did you mean `consumer_group`?"),
        ("lateness = \"5m\"", 1, "`lateness` belongs to [engine]"),
        ("zebra = 1", 1, "known here: name, namespace"),
        ("consumer_group = \"$Default\"", 18, "share it with nobody: create one called tokenwatch"),
        ("auth = \"key\"", 8, "\"managed\", \"workload\", \"cli\", \"connection-string\""),
        ("start = 1", 9, "`start` is integer"),
        ("prefetch = 0", 12, "write 1 to 5000"),
        (
            "custom_endpoint = \"amqp://10.0.0.1:5672\"",
            1,
            "in the clear; write \"amqps://HOST:PORT\"",
        ),
        ("custom_endpoint = \"amqp://127.0.0.1@x.example\"", 1, "not the address of a host"),
        ("custom_endpoint = \"amqps://x.example/path\"", 1, "not the address of a host"),
        ("custom_endpoint = \"wss://x.example\"", 1, "transport = \"websocket\""),
        ("custom_endpoint = \"http://x.example\"", 1, "is not an amqp address"),
        ("transport = \"tcp\"", 13, "\"amqp\", \"websocket\""),
        ("connection_string = { env = \"GOOD\" }", 1, "write auth = \"connection-string\""),
        ("auth = \"connection-string\"", 1, "add connection_string = { env ="),
    ];
    for (line, column, part) in rules {
        if line == "auth = \"connection-string\"" {
            bad(&format!("{HUB}{line}\n"), &[(1, column, part)]);
        } else {
            bad_line(HUB, line, column, part);
        }
    }
}

#[test]
fn an_endpoint_has_tls_where_it_is_far_or_a_websocket() {
    let lines = |transport: &str, endpoint: &str| {
        format!("{HUB}transport = \"{transport}\"\ncustom_endpoint = \"{endpoint}\"\n")
    };
    for (transport, endpoint) in [
        ("amqp", "amqp://localhost:5672"),
        ("amqp", "amqps://proxy.example"),
        ("websocket", "amqps://localhost:5671/"),
        ("websocket", "amqps://10.0.0.1"),
    ] {
        let config = good(&lines(transport, endpoint));
        let hub = config.hubs.first().unwrap();
        assert_eq!(hub.custom_endpoint.as_deref(), Some(endpoint));
        assert_eq!(hub.transport == Transport::WebSocket, transport == "websocket");
    }
    assert_eq!(good(HUB).hubs.first().unwrap().transport, Transport::Amqp);
    let bad_lines = lines("websocket", "amqp://127.0.0.1:5672");
    bad(&bad_lines, &[(6, 1, "has no TLS, which a WebSocket always has; write \"amqps://")]);
}

#[test]
fn a_namespace_without_its_domain_is_completed() {
    let with = |namespace: &str| {
        format!("[[hub]]\nname = \"a\"\nnamespace = \"{namespace}\"\nhub = \"h\"\n")
    };
    let full = "namespace = \"contoso-logs.servicebus.windows.net\"";
    bad(&with("contoso-logs"), &[(3, 13, full)]);
    bad(&with("sb://contoso-logs.servicebus.windows.net/"), &[(3, 13, full)]);
    bad(&with("a b"), &[(3, 13, "is not the host name")]);
}

#[test]
fn numbers_and_spans_have_ranges() {
    let rules = [
        ("[engine]", "lateness = \"2h\"", 12, "\"0s\" to \"1h\""),
        ("[engine]", "lateness = \"5 minutes\"", 12, "ms, s, m, h or d"),
        ("[engine]", "callers_per_hour = -1", 20, "write 1 to"),
        ("[join]", "horizon = \"9m\"", 11, "\"10m\" to \"24h\""),
        ("[join]", "attribution = \"5h\"", 15, "longer than `horizon`"),
        ("[join]", "max_open = 3_000_000", 12, "more than `max_known`"),
        ("[detect]", "alerts_per_week = 0", 19, "such as 0.1"),
        ("[detect]", "score = 1.7", 1, "alerts_per_week"),
        ("[detect]", "new_network_usd = nan", 19, "finite"),
        ("[detect]", "new_network_usd = inf", 19, "finite"),
        ("[detect]", "silence_min_calls = \"x\"", 21, "a number such as 1.5"),
    ];
    for (table, line, column, part) in rules {
        bad_line(&format!("{HUB}{table}\n"), line, column, part);
    }
}

#[test]
fn what_a_destination_finds_stands_at_its_field() {
    let mail = format!(
        "{HUB}[[notify.email]]\nname = \"m\"\nfrom = \"nobody\"\nto = [\"a@b.example\", \"c\"]\n\
         host = \"h.example\"\ntls = \"none\"\nusername = \"u\"\nca_file = \"gone.pem\"\n"
    );
    let expected = [
        (7, 8, "\"nobody\" is not an address"),
        (8, 22, "\"c\" is not an address"),
        (10, 7, "without encryption only to a loopback host"),
        (11, 12, "one without the other"),
        (12, 11, "cannot read gone.pem"),
    ];
    bad(&mail, &expected);
    let hook = format!(
        "{HUB}[[notify.webhook]]\nname = \"w\"\nurl = \"http://x.example/{SECRET}\"\n\
         secret = {{ env = \"BAD\" }}\n"
    );
    let problems = bad(&hook, &[(7, 1, "http only to a loopback"), (8, 1, "whsec_")]);
    assert!(!problems.to_string().contains(SECRET), "{problems}");
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = "databse = \"x.db\"\n[engine]\nlateness = \"1y\"\n[[hub]]\nname = \"a\"\n\
                namespace = \"contoso\"\nprefetch = 9999\n[[hub]]\nname = \"a\"\nhub = \"h\"\n\
                namespace = \"n.example\"\nconsumer_group = \"$Default\"\n[notify.email]\n\
                [[notify.eml]]\nname = \"b c\"\nmin_severity = \"loud\"\n";
    let expected = [
        (1, 1, "did you mean `database`?"),
        (3, 12, "is not a span of time"),
        (4, 1, "no `hub`"),
        (6, 13, ".servicebus.windows.net"),
        (7, 12, "out of range"),
        (9, 8, "taken by line 5"),
        (12, 18, "$Default"),
        (13, 1, "[[notify.email]]"),
        (14, 1, "no `folder`"),
        (14, 1, "no `from`"),
        (14, 1, "no `to`"),
        (15, 8, "name: 1 to 64"),
        (16, 16, "\"info\", \"low\", \"medium\""),
    ];
    bad(text, &expected);
}

#[test]
fn an_empty_file_lacks_a_hub() {
    bad("", &[(1, 1, "no hub to read")]);
    bad("[hub]\nname = \"a\"\n", &[(1, 1, "begin each with [[hub]]")]);
}

#[test]
fn two_readers_of_one_consumer_group_are_refused() {
    let second = HUB.replace("\"a\"", "\"b\"");
    bad(&format!("{HUB}{second}"), &[(5, 1, "line 1 reads this hub")]);
}

#[test]
fn a_file_that_is_not_toml_is_one_problem_with_its_place() {
    bad("database = \"x\"\nname == 1\n", &[(2, 7, "not TOML")]);
}

#[test]
fn secrets_never_stand_in_what_is_printed() {
    let texts = [
        format!("{HUB}auth = \"connection-string\"\nconnection_string = \"{SECRET}\"\n"),
        format!("{HUB}conection_string = \"{SECRET}\"\n"),
        format!("{HUB}auth = \"connection-string\"\nconnection_string = {{ env = \"BAD\" }}\n"),
        format!(
            "{HUB}auth = \"connection-string\"\nconnection_string = {{ env = \"{SECRET}\" }}\n"
        ),
        format!("{HUB}custom_endpoint = \"amqp://u:{SECRET}@127.0.0.1\"\n"),
        format!("[[hub]]\nnamespace = \"Endpoint=sb://n.example/;SharedAccessKey={SECRET}\"\n"),
        format!("hub = [{{ connection_string = \"{SECRET}\", prefetch = 0 }}]\n"),
        format!("{HUB}connection_string = \"{SECRET}\n"),
        format!("{HUB}connection_string = \"\"\"\n{SECRET}\"\"\" x\n"),
        format!("{HUB}connection_string \"{SECRET}\"\n"),
    ];
    for text in texts {
        let problems = parse(&text, "t.toml", &secrets).map(|_| ()).unwrap_err();
        let printed = format!("{problems}{problems:?}");
        assert!(!printed.contains(SECRET), "{printed}");
    }
    let config = good(&format!(
        "{HUB}[[notify.webhook]]\nname = \"w\"\nurl = \"https://w.example/{SECRET}\"\n\
         secret = {{ env = \"GOOD\" }}\n"
    ));
    let printed = format!("{config:?}");
    assert!(!printed.contains(SECRET) && !printed.contains("whsec_"), "{printed}");
}

#[test]
fn a_missing_secret_is_a_problem_with_the_name_to_set() {
    let text = format!(
        "{HUB}auth = \"connection-string\"\nconnection_string = {{ env = \"TW_NOT_SET\" }}\n"
    );
    bad(&text, &[(6, 1, "set TW_NOT_SET for this process")]);
}

#[test]
fn a_problem_is_underlined() {
    let problems = bad(&format!("{HUB}prefetch = 0 # é\n"), &[(5, 12, "1 to 5000")]);
    let expected = "t.toml:5:12: `prefetch` = 0 is out of range\n    prefetch = 0 …\n    \
                    \u{20}          ^\n    mend: write 1 to 5000\n";
    assert_eq!(problems.to_string(), expected);
}

const PRICE: &str = "[[hub]]\nname = \"a\"\nnamespace = \"n.example\"\nhub = \"h\"\n[price]\n";

#[test]
fn the_terms_of_prices_arrive() {
    use crate::price::contract::Throughput;
    use crate::price::meter::Meter;
    use crate::price::sku::{Scope, Tier};
    let config = good(&format!(
        "{PRICE}max_usd_per_call = 2.5\n\
         deployment.\"/X/Accounts/AIF/Chat\" = {{ scope = \"data-zone-eu\", tier = \"batch\" }}\n\
         deployment.\"aif/ptu\" = [{{ sku = \"GlobalStandard\", until = 2026-10-01 }},\n\
         {{ ptu = 7, usd_per_ptu_hour = \"1.005\", from = 2026-10-01T02:00:00+02:00 }}]\n\
         meter.\"2B3C\" = \"cached\"\n\
         [[price.discount]]\npercent = 12.5\nmodel = \"GPT-4o\"\nsource = \"s\"\n\
         [[price.discount]]\npercent = 5\nsource = \"s\"\n\
         [[price.own]]\nmodel = \"m\"\ncurrency = \"EUR\"\ninput = \"1\"\naccount = \"AIF\"\nsource = \"s\"\n\
         [[price.exchange]]\ncurrency = \"EUR\"\nusd = 1.08\nsource = \"s\"\n"
    ));
    let contract = &config.price.contract;
    assert_eq!(contract.max_per_call.0, 2_500_000_000);
    let [chat] = contract.lives("/x/accounts/aif", "CHAT") else { panic!("{contract:?}") };
    assert_eq!((chat.sku.scope, chat.sku.tier), (Some(Scope::DataZoneEu), Some(Tier::Batch)));
    let [before, after] = contract.lives("/other/accounts/AIF", "ptu") else { panic!() };
    assert!(!before.sku.provisioned && after.sku.provisioned);
    let bought = Throughput { units: 7, per_unit_hour: crate::money::NanoUsd(1_005_000_000) };
    assert_eq!(after.throughput, Some(bought));
    assert_eq!(contract.bill_meters.get("2b3c"), Some(&Meter::Cached));
    assert_eq!(contract.discounts.first().unwrap().model.as_deref(), Some("gpt-4o"));
    assert_eq!(contract.own.first().unwrap().account.as_deref(), Some("aif"));
    assert!(config.env().is_ok());
}

#[test]
fn each_rule_of_prices_names_place_and_mend() {
    let rules = [
        ("bok = \"x\"", 1, "did you mean `book`?"),
        ("book = \"gone.toml\"", 8, "built-in prices"),
        ("max_usd_per_call = 0", 20, "more than any call may cost"),
        ("max_usd_per_call = -1", 20, "an amount in USD"),
        ("deployment.\"chat\" = { sku = \"GlobalStandard\" }", 12, "does not name a deployment"),
        ("deployment.\"a/b\" = { ptu = 1, skope = 1 }", 31, "did you mean `scope`?"),
        ("deployment.\"a/b\" = { sku = \"Global\" }", 28, "\"GlobalStandard\""),
        ("deployment.\"a/b\" = { sku = \"GlobalBatch\", tier = \"batch\" }", 28, "either sku"),
        ("deployment.\"a/b\" = { sku = \"GlobalBatch\", ptu = 1 }", 49, "paid by the hour"),
        ("deployment.\"a/b\" = { scope = \"global\", usd_per_ptu_hour = 1 }", 59, "no units"),
        ("deployment.\"a/b\" = { from = 2026-01-01 }", 20, "says nothing"),
        ("deployment.\"a/b\" = { ptu = 1, from = 2026-01-01T00:00:00 }", 38, "with its offset"),
        ("deployment.\"a/b\" = [{ ptu = 1 }, { ptu = 2 }]", 34, "at the same time"),
        ("deployment.\"a/b\" = 7", 20, "neither a table nor a list"),
        ("meter.\"x\" = \"inptu\"", 13, "cache_write_1h"),
    ];
    for (line, column, part) in rules {
        bad_line(PRICE, line, column, part);
    }
    let lists = [
        ("discount", "percent = 101\nsource = \"s\"", 2, 11, "percentage of 0 to 100"),
        ("discount", "source = \"s\"", 1, 1, "no `percent`"),
        ("discount", "percent = 5", 1, 1, "no `source`"),
        ("discount", "percent = 5\nsource = \"s\"\nmeter = \"x\"", 4, 9, "none of its values"),
        (
            "discount",
            "percent = 5\nsource = \"s\"\nfrom = 2026-02-01\nuntil = 2026-02-01",
            5,
            9,
            "not after",
        ),
        (
            "own",
            "model = \"m\"\ncurrency = \"EUR\"\ninput = 1\nsource = \"s\"",
            3,
            12,
            "[[price.exchange]]",
        ),
        ("own", "model = \"m\"\ncurrency = \"usd\"\ninput = 1\nsource = \"s\"", 3, 12, "ISO 4217"),
        ("own", "model = \"m\"\ncurrency = \"USD\"\nsource = \"s\"", 1, 1, "prices nothing"),
        ("exchange", "currency = \"USD\"\nusd = 1\nsource = \"s\"", 2, 12, "a dollar is worth"),
        ("exchange", "currency = \"EUR\"\nusd = 0\nsource = \"s\"", 3, 7, "above 0"),
    ];
    let start = PRICE.lines().count();
    for (list, lines, line, column, part) in lists {
        let text = format!("{PRICE}[[price.{list}]]\n{lines}\n");
        bad(&text, &[(start + line, column, part)]);
    }
}

#[test]
fn two_terms_that_may_both_hold_are_refused() {
    let twice = |list: &str, first: &str, second: &str, part: &str| {
        let text = format!("{PRICE}[[price.{list}]]\n{first}\n[[price.{list}]]\n{second}\n");
        let line = PRICE.lines().count() + first.lines().count() + 2;
        bad(&text, &[(line, 1, part)]);
    };
    let discount = |rest: &str| format!("source = \"s\"\n{rest}\npercent = 5");
    let overlap = "narrower";
    twice("discount", &discount(""), &discount(""), overlap);
    twice("discount", &discount("model = \"m\""), &discount("account = \"a\""), overlap);
    good(&format!(
        "{PRICE}[[price.discount]]\n{}\n[[price.discount]]\n{}\n[[price.discount]]\n{}\n",
        discount("model = \"m\""),
        discount("model = \"n\""),
        discount("model = \"m\"\naccount = \"a\""),
    ));
    let own = "model = \"m\"\ncurrency = \"USD\"\ninput = 1\nsource = \"s\"";
    twice("own", own, &own.replace("\"m\"", "\"M\""), "prices the same at the same time");
    let rate = "currency = \"EUR\"\nusd = 1.1\nsource = \"s\"";
    twice("exchange", rate, rate, "two rates of one currency");
}

const METRICS: &str = "[[metrics_api]]\nname = \"m\"\nregion = \"eastus2\"\n\
                       accounts = [\"/subscriptions/A/resourceGroups/G/providers/Microsoft.CognitiveServices/accounts/X/\"]\n";

#[test]
fn metrics_have_an_address_accounts_and_defaults() {
    let config = good(&format!("{HUB}{METRICS}"));
    let [metrics] = config.metrics.try_into().unwrap();
    assert_eq!(metrics.endpoint.as_str(), "https://eastus2.metrics.monitor.azure.com/");
    let account =
        "/subscriptions/a/resourcegroups/g/providers/microsoft.cognitiveservices/accounts/x";
    assert_eq!(metrics.accounts, [account]);
    assert_eq!(metrics.identity, Identity::Managed { client_id: None });
    assert_eq!((metrics.every_ms, metrics.lag_ms), (60_000, 120_000));
    assert_eq!((metrics.overlap_ms, metrics.backfill_ms), (300_000, 3_600_000));
    assert_eq!(metrics.metrics.len(), 13);
    let elsewhere = METRICS.replace(
        "region = \"eastus2\"",
        "endpoint = \"https://h:8443\"\nauth = \"cli\"\noverlap = \"90s\"",
    );
    let config = good(&format!("{HUB}{elsewhere}"));
    let metrics = config.metrics.first().unwrap();
    assert_eq!((metrics.endpoint.as_str(), metrics.overlap_ms), ("https://h:8443/", 60_000));
    assert_eq!(metrics.identity, Identity::Cli);
}

#[test]
fn what_is_wrong_with_metrics_is_said() {
    let table = format!("{HUB}{METRICS}");
    for (line, column, part) in [
        ("auth = \"connection-string\"", 8, "\"managed\", \"workload\", \"cli\""),
        ("every = \"10ms\"", 9, "\"1s\" to \"1h\""),
        ("overlap = \"0s\"", 11, "\"1m\" to \"1h\""),
        ("metrics = [\"a b\"]", 11, "names of metrics"),
        ("metrics = []", 11, "names of metrics"),
        ("metric = [\"InputTokens\"]", 1, "did you mean `metrics`?"),
        ("hub = \"h\"", 1, "`hub` belongs to [[hub]]"),
    ] {
        bad_line(&table, line, column, part);
    }
    bad_line(&format!("{table}auth = \"cli\"\n"), "client_id = \"x\"", 1, "managed");
    for endpoint in [
        "http://h",
        "http://127.0.0.1:1",
        "https://h/path",
        "https://u:p@h",
        "https://h?q",
        "h",
        "ftp://h",
    ] {
        let text = METRICS.replace("region = \"eastus2\"", &format!("endpoint = \"{endpoint}\""));
        let problems = bad(&format!("{HUB}{text}"), &[(7, 1, "it is sent our tokens")]);
        assert!(!problems.to_string().contains("u:p"), "{problems}");
    }
    bad(&format!("{table}endpoint = \"https://h\"\n"), &[(7, 1, "both say where to ask")]);
    bad(
        &format!("{HUB}{}", METRICS.replace("\"eastus2\"", "\"East US 2\"")),
        &[(7, 10, "short name")],
    );
    bad(&format!("{HUB}{}", METRICS.replace("region = \"eastus2\"\n", "")), &[(5, 1, "region")]);
    bad(&format!("{HUB}{}", METRICS.replace("\"m\"", "\"a\"")), &[(6, 8, "is taken by line 2")]);
    for (account, part) in [
        ("/subscriptions/A/resourceGroups/G", "is not the resource id"),
        (
            "/subscriptions/A/resourceGroups/G/providers/Microsoft.CognitiveServices/accounts/X/projects/P",
            "is not the resource id",
        ),
        ("/x/providers/Microsoft.CognitiveServices/accounts/X", "is not the resource id"),
    ] {
        let text = format!(
            "{HUB}[[metrics_api]]\nname = \"m\"\nregion = \"e\"\naccounts = [\"{account}\"]\n"
        );
        bad(&text, &[(8, 12, part)]);
    }
    let twice = METRICS.replace("accounts = [", "accounts = [\"/subscriptions/a/resourcegroups/g/providers/microsoft.cognitiveservices/accounts/x\", ");
    bad(&format!("{HUB}{twice}"), &[(8, 12, "is there twice")]);
    bad(
        &format!("{HUB}[[metrics_api]]\nname = \"m\"\nregion = \"e\"\naccounts = []\n"),
        &[(8, 12, "is empty")],
    );
}

#[test]
fn networks_and_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tor.txt"), "203.0.113.7\n").unwrap();
    std::fs::write(folder.path().join("people.json"), format!("{{\"{ID}\":\"Ada\"}}")).unwrap();
    let text = format!(
        "{HUB}[[network]]\nname = \"office\"\nkind = \"own\"\ncidrs = [\"198.51.100.0/24\", \"2001:db8::/32\"]\n\
         [[network_list]]\nname = \"exits\"\npath = \"tor.txt\"\nformat = \"tor-exit\"\nclass = \"tor\"\n\
         max_age = \"2d\"\n[identities]\nnames = \"people.json\"\n"
    );
    let file = folder.path().join("t.toml").display().to_string();
    let config = parse(&text, &file, &secrets).unwrap();
    let known = config.env().unwrap().known;
    assert_eq!(
        known.about("203.0.113.0/24").to_string(),
        "perhaps tor (list exits, 1 address of it)"
    );
    assert_eq!(known.about("2001:db8:9::/48").to_string(), "yours: office (own)");
    assert_eq!(known.name_of(ID), Some("Ada"));

    // On a machine without secrets no file is looked at, but the catalogue is there.
    let config = parse(&text, "elsewhere/t.toml", &placeholder).unwrap();
    let known = config.env().unwrap().known;
    assert!(known.about("203.0.113.0/24").is_empty() && !known.about("198.51.100.0/24").is_empty());
}

const ID: &str = "7b0d2c1e-94a1-4b6e-8a53-0c2f7d5e1a90";

#[test]
fn each_rule_of_networks_and_files_names_place_and_mend() {
    bad(
        &format!(
            "{HUB}[[network]]\nname = \"a\"\nkind = \"mine\"\ncidrs = [\"203.0.113.7/24\", \"x\", 7, \"0.0.0.0/0\"]\n\
             [[network]]\nname = \"b\"\nkind = \"own\"\ncidrs = [\"203.0.113.0/24\", \"::ffff:203.0.113.0/120\"]\n\
             [[network]]\nkind = \"own\"\ncidrs = []\n\
             [[network_list]]\nname = \"l\"\npath = \"gone.txt\"\nformat = \"netset\"\nclass = \"tor\"\n\
             [[network_list]]\nname = \"l\"\nformat = \"xml\"\nclass = \"bad\"\nmax_age = \"1s\"\n\
             [geo]\nasn = \"gone.mmdb\"\ncontinent = \"x\"\n[identities]\n"
        ),
        &[
            (7, 8, "\"own\", \"vpn\", \"azure\", \"partner\""),
            (8, 10, "bits are set beyond its length; the network is 203.0.113.0/24; write"),
            (8, 28, "not a network"),
            (8, 33, "is no text"),
            (8, 36, "too wide"),
            (12, 28, "203.0.113.0/24 is \"b\" already; name a network once"),
            (13, 1, "[[network]] has no `name`"),
            (15, 9, "`cidrs` is no list of networks"),
            (18, 8, "gone.txt: cannot read it"),
            (21, 1, "[[network_list]] has no `path`"),
            (22, 8, "\"l\" is taken by line 17"),
            (
                23,
                10,
                "\"netset\", \"csv\", \"spamhaus-json\", \"tor-exit\", \"azure-service-tags\"",
            ),
            (24, 9, "\"threat\", \"tor\""),
            (25, 11, "write \"1h\" to \"365d\""),
            (27, 7, "gone.mmdb: cannot read it"),
            (28, 1, "known here: asn, country, max_age"),
            (29, 1, "[identities] has no `names`"),
        ],
    );
}

#[test]
fn a_file_that_is_no_list_is_a_problem_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("l"), "# a list\nBad Gateway\n").unwrap();
    let text = format!(
        "{HUB}[[network_list]]\nname = \"l\"\npath = \"l\"\nformat = \"netset\"\nclass = \"tor\"\n"
    );
    let file = folder.path().join("t.toml").display().to_string();
    let problems = parse(&text, &file, &secrets).map(|_| ()).unwrap_err().0;
    assert_eq!((problems.len(), problems[0].line), (1, 7));
    let (message, mend) = (&problems[0].message, &problems[0].mend);
    assert!(message.contains("first line 2: not a network: \"Bad Gateway\""), "{message}");
    assert!(mend.contains("one network or address a line"), "{mend}");
}

#[test]
fn the_directory_is_asked_where_that_is_wanted() {
    let config = good(&format!("{HUB}[identities]\ngraph = true\nauth = \"workload\"\n"));
    let directory = config.directory.unwrap();
    assert_eq!(directory.endpoint.as_str(), "https://graph.microsoft.com/");
    assert_eq!(directory.identity, Identity::Workload);
    assert_eq!(directory.file, Path::new("conf/tokenwatch.db.names.json"));
    let table = format!("{HUB}[identities]\ngraph = true\n");
    bad_line(&table, "graph_endpoint = \"http://graph.example\"", 1, "it is sent our tokens");
    bad_line(&table, "auth = \"connection-string\"", 8, "none of its values");
    bad_line(&format!("{HUB}[identities]\n"), "graph = 1", 9, "not true or false");
    bad_line(
        &format!("{HUB}[identities]\ngraph = false\n"),
        "auth = \"cli\"",
        1,
        "graph = true only",
    );
}

#[test]
fn what_stays_of_callers_is_said_with_its_key() {
    let config = good(HUB);
    assert_eq!((config.store.max_bytes, config.store.callers.keep_days), (None, 30));
    assert_eq!(config.store.callers.privacy.word(), "full");
    let text = format!(
        "{HUB}[store]\nmax_bytes = \"2 GB\"\n[caller]\nprivacy = \"hmac\"\nkeep_days = 7\n\
         key = {{ env = \"GOOD\" }}\n"
    );
    let store = good(&text).store;
    assert_eq!((store.max_bytes, store.callers.keep_days), (Some(2_000_000_000), 7));
    assert_eq!(store.callers.privacy.word(), "hmac");
    let table = format!("{HUB}[caller]\n");
    bad_line(&table, "keep_days = 2", 13, "write 3 to 396");
    bad_line(&table, "privacy = \"hash\"", 11, "\"prefix\"");
    bad_line(&table, "key = { env = \"GOOD\" }", 1, "for privacy = \"hmac\" alone");
    bad(&format!("{table}privacy = \"hmac\"\n"), &[(5, 1, "has no `key`")]);
    let literal = format!("{table}privacy = \"hmac\"\nkey = \"{SECRET}\"\n");
    bad(&literal, &[(7, 1, "a secret belongs elsewhere")]);
    let short = format!("{table}privacy = \"hmac\"\nkey = {{ env = \"BAD\" }}\n");
    bad(&short, &[(7, 1, "shorter than 16")]);
    bad_line(&format!("{HUB}[store]\n"), "max_bytes = \"2\"", 13, "such as \"2 GB\"");
    bad_line(&format!("{HUB}[store]\n"), "max_bytes = \"1 MB\"", 13, "too little");
}
