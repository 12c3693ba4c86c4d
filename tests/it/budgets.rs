//! Budgets against the exact truth of a simulation, and against rows made by hand.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tokenwatch::config;
use tokenwatch::engine::Env;
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::incident::{Incident, State};
use tokenwatch::money::NanoUsd;
use tokenwatch::pipeline::Core;
use tokenwatch::simulate::{Options, Scenario, Simulation, Truth};
use tokenwatch::store::Store;
use tokenwatch::store::read::Reader;
use tokenwatch::time::{ArrivalTime, EventTime};

use crate::harness::{self, Folder, digest, idle, members, run, same, step};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const HUB: &str = "[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n";
const ACCOUNT: &str =
    "/subscriptions/s-1/resourcegroups/rg/providers/microsoft.cognitiveservices/accounts/aif";

/// Usual traffic of some hours from 2026-10-01T00:00Z on.
fn quiet(hours: u32, calls_per_hour: f64) -> Options {
    Options {
        scenario: Scenario::Quiet,
        seed: 11,
        history_hours: hours,
        live_minutes: 0,
        deployments: 3,
        calls_per_hour,
        ..Options::default()
    }
}

fn truth(hours: u32, calls_per_hour: f64) -> Truth {
    Simulation::new(quiet(hours, calls_per_hour)).truth()
}

fn cost(truth: &Truth) -> i64 {
    truth.deployments.iter().filter_map(|d| d.cost_nano_usd).sum()
}

/// `tokenwatch budgets` as JSON, by the name of the budget, and its exit code.
fn budgets(config: &str, db: &str) -> (BTreeMap<String, Value>, Option<i32>) {
    let ran = run(&["budgets", "--config", config, "--db", db, "--format", "json"]);
    let list: Vec<Value> = serde_json::from_str(&ran.out).map_err(|_| ran.err).unwrap();
    let named = list.into_iter().map(|line| (text(&line, "budget").to_owned(), line));
    (named.collect(), ran.code)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).ok_or((name, value)).unwrap()
}

fn number(value: &Value, name: &str) -> i64 {
    value.get(name).and_then(Value::as_i64).ok_or((name, value)).unwrap()
}

fn replay(config: &str, file: &str, db: &str) {
    let ran = run(&["replay", file, "--db", db, "--config", config, "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

async fn incidents(db: &str) -> Vec<Incident> {
    let all = Reader::open(Path::new(db)).await.unwrap().incidents().await.unwrap();
    all.into_iter().filter(|incident| incident.rule == "TW-C05").collect()
}

/// Thresholds with the moments at which they were reached.
fn reached(line: &Value) -> Vec<(i64, String)> {
    let list = line.get("reached").and_then(Value::as_array).unwrap();
    list.iter().map(|each| (number(each, "percent"), text(each, "at").to_owned())).collect()
}

#[test]
fn every_scope_has_spent_what_the_simulation_truly_cost() {
    let folder = Folder::new();
    let (file, truth) = harness::capture(quiet(60, 20.0));
    let file = folder.write("capture.jsonl", &file);
    let first = truth.deployments.first().unwrap();
    let other = truth.deployments.last().unwrap();
    let caller = first.callers.iter().max_by_key(|caller| caller.cost_nano_usd).unwrap();
    let of = |keep: &dyn Fn(&tokenwatch::simulate::truth::DeploymentTruth) -> bool| {
        let kept = truth.deployments.iter().filter(|d| keep(d));
        kept.filter_map(|d| d.cost_nano_usd).sum::<i64>()
    };
    let callers = truth.by_caller().into_iter();
    let by_network: i64 =
        callers.filter(|(key, _)| key[2] == caller.network).map(|(_, sums)| sums[4]).sum();
    let model = first.model.clone();
    let scopes = [
        ("all", String::new(), cost(&truth)),
        (
            "account",
            format!("accounts = [\"{}\"]", first.account),
            of(&|d| d.account == first.account),
        ),
        (
            "deployment",
            format!("deployments = [\"{}/{}\"]", first.account, first.deployment.to_uppercase()),
            first.cost_nano_usd.unwrap(),
        ),
        ("model", format!("models = [\"{model}\"]"), of(&|d| d.model == model)),
        ("caller", format!("callers = [\"{}\"]", caller.network), by_network),
        (
            "owner",
            "owners = [\"team\"]".to_owned(),
            of(&|d| (&d.account, &d.deployment) == (&other.account, &other.deployment)),
        ),
        ("nobody", "accounts = [\"no-such-account\"]".to_owned(), 0),
    ];
    let mut config = format!(
        "{HUB}[[owner]]\nname = \"team\"\ndeployments = [\"{}/{}\"]\n",
        other.account, other.deployment
    );
    for (name, scope, _) in &scopes {
        config.push_str(&format!(
            "[[budget]]\nname = \"{name}\"\namount = 100_000\nperiod = \"month\"\n{scope}\n"
        ));
    }
    let (config, db) = (folder.write("t.toml", config.as_bytes()), folder.path("t.db"));
    replay(&config, &file, &db);
    let (lines, code) = budgets(&config, &db);
    assert_eq!(code, Some(0), "nothing is near its amount");
    for (name, _, expected) in &scopes {
        let line = lines.get(*name).unwrap();
        assert_eq!(number(line, "spent_nano_usd"), *expected, "{name}");
        assert_eq!(number(line, "unpriced_tokens"), 0, "{name}");
        assert_eq!(text(line, "from"), "2026-10-01T00:00:00+00:00", "{name}");
        assert_eq!(text(line, "until"), "2026-11-01T00:00:00+00:00", "{name}");
    }
    assert!(number(lines.get("caller").unwrap(), "spent_nano_usd") > 0);
}

#[tokio::test]
async fn thresholds_are_reached_in_the_hour_of_the_truth_and_told_once() {
    let folder = Folder::new();
    const HOURS: u32 = 120;
    let (file, _) = harness::capture(quiet(HOURS, 30.0));
    let file = folder.write("capture.jsonl", &file);
    let all = cost(&truth(HOURS, 30.0));
    let amount = all / 10 * 8;
    let config = folder.write(
        "t.toml",
        format!(
            "{HUB}[[budget]]\nname = \"b\"\namount = \"{}.{:09}\"\nperiod = \"month\"\n\
             timezone = \"Europe/Berlin\"\nthresholds = [25, 50, 80, 100, 200]\nforecast = 0\n",
            amount / 1_000_000_000,
            amount % 1_000_000_000,
        )
        .as_bytes(),
    );
    let db = folder.path("t.db");
    replay(&config, &file, &db);
    let (lines, code) = budgets(&config, &db);
    assert_eq!(code, Some(4));
    let line = lines.get("b").unwrap();
    assert_eq!(number(line, "spent_nano_usd"), all);
    let berlin = tokenwatch::days::Zone::named("Europe/Berlin").unwrap();
    let hour_of = |percent: i64| {
        // The first number of hours whose calls have cost it: hours of a simulation do not depend on
        // how many follow.
        let (mut less, mut enough) = (0, HOURS);
        while enough - less > 1 {
            let middle = u32::midpoint(less, enough);
            let passed = i128::from(cost(&truth(middle, 30.0))) * 100
                >= i128::from(amount) * i128::from(percent);
            (less, enough) = if passed { (less, middle) } else { (middle, enough) };
        }
        berlin.local(EventTime(Options::default().start_ms + i64::from(enough) * HOUR_MS))
    };
    let expected: Vec<_> = [25, 50, 80, 100].map(|percent| (percent, hour_of(percent))).into();
    assert_eq!(reached(line), expected);
    assert_eq!(text(line, "used_up"), hour_of(100));
    // September's end in Berlin is two hours before the first call.
    assert_eq!(text(line, "from"), "2026-10-01T00:00:00+02:00");
    assert_eq!(text(line, "until"), "2026-11-01T00:00:00+01:00");
    let told = line.get("told").and_then(Value::as_array).unwrap();
    let told: Vec<&str> = told.iter().map(|each| text(each, "what")).collect();
    let mut wanted = vec!["100 %", "25 %", "50 %", "80 %"];
    let mut spent: Vec<&str> = told.iter().copied().filter(|what| what.ends_with('%')).collect();
    wanted.sort_unstable();
    spent.sort_unstable();
    assert_eq!(spent, wanted);
    let found = incidents(&db).await;
    let [incident] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((incident.state, incident.account.as_str()), (State::Open, "b"));
    assert!(incident.key.starts_with("TW-C05|b/2026-10|1|"), "{}", incident.key);
    assert!(incident.evidence[0].contains("in 2026-10"), "{:?}", incident.evidence);
}

#[test]
fn the_projection_and_the_day_it_is_used_up_are_near_the_truth() {
    let folder = Folder::new();
    let (month, seen) = (31 * 24, 14 * 24);
    let (file, _) = harness::capture(quiet(seen, 20.0));
    let file = folder.write("capture.jsonl", &file);
    let [amount, all] = [24 * 24, month].map(|hours| cost(&truth(hours, 20.0)));
    let config = folder.write(
        "t.toml",
        format!(
            "{HUB}[[budget]]\nname = \"b\"\namount = {}.{:09}\nperiod = \"month\"\n\
             [[budget]]\nname = \"model\"\namount = 1\nperiod = \"month\"\nmodels = [\"none\"]\n",
            amount / 1_000_000_000,
            amount % 1_000_000_000
        )
        .as_bytes(),
    );
    let db = folder.path("t.db");
    replay(&config, &file, &db);
    let (lines, code) = budgets(&config, &db);
    assert_eq!(code, Some(4), "it will be used up");
    let line = lines.get("b").unwrap();
    assert_eq!(line.get("profile_learnt"), Some(&json!(true)));
    let near = |found: i64, wanted: i64, share: f64| {
        let ratio = NanoUsd(found).usd() / NanoUsd(wanted).usd();
        assert!((ratio - 1.0).abs() < share, "{found} of {wanted}");
    };
    near(number(line, "projected_nano_usd"), all, 0.12);
    let used_up: EventTime = parsed(text(line, "used_up"));
    let true_end = Options::default().start_ms + 24 * DAY_MS;
    assert!((used_up.0 - true_end).abs() < 3 * DAY_MS / 2, "{used_up}");
    // Fourteen days are too few to try a weekly forecast on.
    assert_eq!(line.get("range_80_nano_usd"), Some(&Value::Null));
    let none = lines.get("model").unwrap();
    assert_eq!(none.get("projected_nano_usd"), Some(&Value::Null));
    let table = run(&["budgets", "--config", &config, "--db", &db]);
    assert!(table.out.contains("2026-10") && table.out.contains("largest: "), "{}", table.out);
}

fn parsed(text: &str) -> EventTime {
    let at: jiff::Timestamp = text.parse().unwrap();
    EventTime(at.as_millisecond())
}

/// Budgets as the program reads them.
fn env(budgets: &str) -> Env {
    let text = format!("{HUB}{budgets}");
    config::parse(&text, "t.toml", &config::placeholder).unwrap().env().unwrap()
}

async fn open(db: &str, env: &Env) -> Core {
    Core::restore(Store::open(Path::new(db)).await.unwrap(), env.clone()).await.unwrap()
}

/// The digest after reading in batches of this size, starting anew every so many batches (0 never).
async fn outcome(arrivals: &[Arrival], env: &Env, (batch, anew): (usize, usize)) -> Vec<String> {
    let folder = Folder::new();
    let db = folder.path("db");
    let mut core = open(&db, env).await;
    step(&mut core, &members(arrivals)).await;
    for (place, chunk) in arrivals.chunks(batch).enumerate() {
        step(&mut core, &Batch { arrivals: chunk.to_vec(), ..Batch::default() }).await;
        if anew > 0 && place % anew == anew - 1 {
            drop(core);
            core = open(&db, env).await;
            step(&mut core, &members(arrivals)).await;
        }
    }
    step(&mut core, &idle(arrivals)).await;
    core.store.close().await.unwrap();
    let mut lines = digest(&db).await;
    let marks = harness::dump(&db).await.into_iter().filter(|line| line.starts_with("budget_mark"));
    // Without the moment of telling, which may be sooner the smaller the batches.
    lines.extend(marks.filter_map(|line| Some(line.rsplit_once(',')?.0.to_owned())));
    lines
}

#[tokio::test]
async fn however_batches_are_cut_and_between_restarts_the_same_is_told() {
    let options = Options { scenario: Scenario::StolenKey, live_minutes: 180, ..quiet(110, 12.0) };
    let arrivals = harness::arrivals(options);
    let all = cost(&Simulation::new(options).truth()) / 1_000_000_000;
    let env = env(&format!(
        "[[budget]]\nname = \"day\"\namount = {}\nperiod = \"day\"\ntimezone = \"Asia/Kolkata\"\n\
         [[budget]]\nname = \"week\"\namount = {}\nperiod = \"week\"\nthresholds = [10, 20, 30, 60, 90]\n\
         [[budget]]\nname = \"month\"\namount = {}\nperiod = \"month\"\n\
         [[budget]]\nname = \"thief\"\namount = 1\nperiod = \"month\"\ncallers = [\"203.0.113.0/24\"]\n",
        all / 8,
        all / 2,
        all,
    ));
    let expected = outcome(&arrivals, &env, (5_000, 0)).await;
    for name in ["day/", "week/", "month/", "thief/"] {
        let told = expected.iter().any(|line| line.starts_with(&format!("incident TW-C05|{name}")));
        assert!(
            told,
            "{name}: {:#?}",
            expected.iter().filter(|l| l.contains("TW-C05")).collect::<Vec<_>>()
        );
    }
    for handing in [(700, 3), (97, 30)] {
        let found = outcome(&arrivals, &env, handing).await;
        same(&format!("{handing:?}"), &expected, &found);
    }
}

/// One call: when it ended, when the hub took it, and its prompt tokens (400,000 of them cost $1).
#[derive(Clone, Copy)]
struct Call(i64, i64, i64);

/// 2026-10-05T00:00Z, a Monday.
const MONDAY: i64 = 1_791_158_400_000;

fn arrivals(calls: &[Call], model: &str) -> Vec<Arrival> {
    let mut calls: Vec<(usize, Call)> = calls.iter().copied().enumerate().collect();
    calls.sort_by_key(|(_, call)| call.1);
    let arrival = |(sequence, (number, Call(at, enqueued, tokens))): (usize, (usize, Call))| {
        let record = json!({
            "category": "AzureOpenAIRequestUsage", "correlationId": format!("call-{number}"),
            "resourceId": ACCOUNT, "time": EventTime(at).to_string(),
            "properties": { "modelDeploymentName": "chat", "modelName": model,
                            "modelVersion": "2024-11-20", "promptTokens": [tokens],
                            "cachedTokens": [0], "generatedTokens": [0] } });
        Arrival {
            partition: harness::partition(0),
            sequence: i64::try_from(sequence).unwrap(),
            enqueued: ArrivalTime(enqueued),
            body: json!({ "records": [record] }).to_string().into_bytes(),
        }
    };
    calls.into_iter().enumerate().map(arrival).collect()
}

const DOLLAR: i64 = 400_000;

#[tokio::test]
async fn what_comes_late_burns_no_hour_that_has_closed_whatever_the_batch() {
    let env = env("[[budget]]\nname = \"m\"\namount = 930\nperiod = \"month\"\nforecast = 0\n");
    let mut calls: Vec<Call> = (0..20).map(|hour| call(hour, 1, 1)).collect();
    // Twenty dollars of the third hour that are told two hours later.
    let Call(at, _, tokens) = call(3, 30, 20);
    calls.push(Call(at, at + 2 * HOUR_MS, tokens));
    let arrivals = arrivals(&calls, "gpt-4o");
    let expected = outcome(&arrivals, &env, (1_000, 0)).await;
    assert!(!expected.iter().any(|line| line.contains("TW-C05")), "{expected:#?}");
    for handing in [(1, 0), (1, 3), (5, 1)] {
        same(&format!("{handing:?}"), &expected, &outcome(&arrivals, &env, handing).await);
    }
    // They count to what is spent all the same.
    let env = self::env(
        "[[budget]]\nname = \"m\"\namount = 38\nperiod = \"month\"\nforecast = 0\n\
                         thresholds = [100]\n",
    );
    let (told, _) = announced(&calls, &env).await;
    assert_eq!(kinds(&told, "m/2026-10").first(), Some(&"open"), "{told:?}");
}

/// What was announced, as (kind, scope, severity), one event a step.
async fn announced(calls: &[Call], env: &Env) -> (Vec<(String, String, String)>, Vec<Incident>) {
    let folder = Folder::new();
    let db = folder.path("db");
    let arrivals = arrivals(calls, "gpt-4o");
    let mut core = open(&db, env).await;
    step(&mut core, &members(&arrivals)).await;
    let mut told = Vec::new();
    for arrival in &arrivals {
        let batch = Batch { arrivals: vec![arrival.clone()], ..Batch::default() };
        let effects = step(&mut core, &batch).await;
        let ours = effects.announcements.iter().filter(|each| each.incident.rule == "TW-C05");
        told.extend(ours.map(|each| {
            let scope = each.incident.key.split('|').nth(1).unwrap().to_owned();
            (each.kind.word().to_owned(), scope, each.incident.severity.word().to_owned())
        }));
    }
    core.store.close().await.unwrap();
    (told, incidents(&db).await)
}

fn kinds<'a>(told: &'a [(String, String, String)], scope: &str) -> Vec<&'a str> {
    told.iter().filter(|(_, of, _)| of == scope).map(|(kind, _, _)| kind.as_str()).collect()
}

const DAILY: &str = "[[budget]]\nname = \"d\"\namount = 10\nperiod = \"day\"\nforecast = 0\n";

/// A call that costs so many dollars some hours and minutes after Monday, told a minute later.
fn call(hour: i64, minute: i64, dollars: i64) -> Call {
    let at = MONDAY + hour * HOUR_MS + minute * 60_000;
    Call(at, at + 60_000, dollars * DOLLAR)
}

#[tokio::test]
async fn each_threshold_is_told_once_and_the_end_of_the_period_ends_it() {
    let mut calls: Vec<Call> = (0..24).map(|hour| call(hour, 10, 1)).collect();
    calls.extend((24..32).map(|hour| call(hour, 10, 0)));
    let (told, found) = announced(&calls, &env(DAILY)).await;
    // 50, 80 and 100 %; then a day without thresholds that ends five hours after the first one's end.
    assert_eq!(kinds(&told, "d/2026-10-05"), ["open", "escalate", "escalate", "resolve"]);
    let severities: Vec<&str> = told.iter().map(|(_, _, severity)| severity.as_str()).collect();
    assert_eq!(severities.last(), Some(&"high"), "{told:?}");
    assert_eq!(told.len(), 4, "{told:?}");
    let [incident] = found.as_slice() else { panic!("{found:?}") };
    let hour = ArrivalTime(MONDAY + 29 * HOUR_MS + 5 * 60_000);
    assert_eq!(incident.resolved_at, Some(hour));
    assert_eq!(incident.first_window, EventTime(MONDAY));
}

#[tokio::test]
async fn what_is_clearly_passed_is_told_within_the_hour_and_by_one_message() {
    let calls = [call(0, 1, 0), call(2, 30, 20)];
    let (told, found) = announced(&calls, &env(DAILY)).await;
    // All three thresholds at once; the hour has not closed, so only the row itself can have told it.
    assert_eq!(kinds(&told, "d/2026-10-05"), ["open"]);
    let evidence = &found.first().unwrap().evidence;
    assert!(evidence[1].contains("50 %, 80 %, 100 %"), "{evidence:?}");
    assert!(evidence[0].contains("$20.00 of $10.00 (200 %)"), "{evidence:?}");
}

#[tokio::test]
async fn late_rows_move_a_period_that_is_over_until_it_has_settled() {
    let late = |enqueued_hour: i64| {
        let at = MONDAY + 23 * HOUR_MS;
        Call(at, MONDAY + enqueued_hour * HOUR_MS + 40 * 60_000, 3 * DOLLAR)
    };
    let day = |more: Call| {
        // Nine dollars one by one, so that no burn speaks.
        let mut calls: Vec<Call> = (1..10).map(|hour| call(hour, 10, 1)).collect();
        calls.push(more);
        calls.extend((24..34).map(|hour| call(hour, 50, 0)));
        calls
    };
    let (told, found) = announced(&day(late(26)), &env(DAILY)).await;
    assert_eq!(kinds(&told, "d/2026-10-05"), ["open", "escalate", "escalate", "resolve"]);
    assert!(found.first().unwrap().evidence[0].contains("$12.00 of $10.00"), "{found:?}");
    // Beyond the horizon a row cannot be told from a copy: it goes to the ledger, and to no budget.
    let (told, _) = announced(&day(late(30)), &env(DAILY)).await;
    assert_eq!(kinds(&told, "d/2026-10-05"), ["open", "escalate", "resolve"]);
}

#[tokio::test]
async fn a_budget_of_nothing_is_passed_by_anything() {
    let env = env("[[budget]]\nname = \"n\"\namount = 0\nperiod = \"week\"\n");
    let (told, found) = announced(&[call(0, 1, 0), call(1, 1, 0), call(3, 0, 0)], &env).await;
    assert!(told.is_empty() && found.is_empty(), "{told:?}");
    let (told, found) = announced(&[call(0, 1, 1), call(3, 0, 0)], &env).await;
    assert_eq!(kinds(&told, "n/2026-W41"), ["open"]);
    assert!(found.first().unwrap().evidence[0].contains("$1.00 of $0.00 (-)"), "{found:?}");
}

#[tokio::test]
async fn a_forecast_without_a_profile_says_so_and_pages_nobody_where_told_not_to() {
    let env =
        env("[[budget]]\nname = \"f\"\namount = \"500\"\ncurrency = \"EUR\"\nperiod = \"week\"\n\
         timezone = \"Europe/Berlin\"\npage = false\n\
         [[price.exchange]]\ncurrency = \"EUR\"\nusd = \"2\"\nsource = \"s\"\n");
    let calls: Vec<Call> = (0..34).map(|hour| call(hour, 10, 10)).collect();
    let (told, found) = announced(&calls, &env).await;
    assert!(kinds(&told, "f/2026-W41").first() == Some(&"open"), "{told:?}");
    assert!(told.iter().all(|(_, _, severity)| severity == "medium"), "{told:?}");
    let said = found.first().unwrap().evidence.join("; ");
    assert!(said.contains("no profile yet"), "{said}");
    // 168 hours of $10, two of them before the first call: about 830 EUR.
    assert!(said.contains("500.00 EUR") && said.contains("EUR too much"), "{said}");
    assert!(said.contains("and is used up 2026-10-09T"), "{said}");
}

#[tokio::test]
async fn a_burn_far_above_what_is_allowed_is_told_before_any_threshold() {
    let env = env("[[budget]]\nname = \"m\"\namount = 930\nperiod = \"month\"\nforecast = 0\n");
    // Allowed are $1.25 an hour; 16 times as much is 2.2 % of the amount.
    let calls = [call(0, 1, 1), call(5, 20, 20), call(6, 10, 1), call(7, 10, 1)];
    let (told, found) = announced(&calls, &env).await;
    assert_eq!(kinds(&told, "m/2026-10"), ["open"]);
    let said = found.first().unwrap().evidence.join("; ");
    assert!(said.contains("the last 1 h burnt it 16.0 times as fast as allowed"), "{said}");
}

#[tokio::test]
async fn a_deployment_that_stands_out_is_named_with_the_commands_that_stop_it() {
    let env = env("[[budget]]\nname = \"m\"\namount = 930\nperiod = \"month\"\nforecast = 0\n");
    let mut calls: Vec<Call> = (0..100).map(|hour| call(hour, 1, 1)).collect();
    let plain = announced(&calls, &env).await.1;
    assert!(plain.is_empty(), "{plain:?}");
    calls.extend([call(100, 20, 20), call(100, 21, 20), call(101, 10, 20), call(102, 10, 20)]);
    let found = announced(&calls, &env).await.1;
    let incident = found.first().unwrap();
    let commands: Vec<&str> = incident.response.iter().map(|step| step.command.as_str()).collect();
    assert_eq!(commands.first(), Some(&"tokenwatch budgets --config FILE --budget m"));
    assert!(
        commands.iter().any(|c| c.contains("deployment delete") && c.contains("chat")),
        "{commands:?}"
    );
    assert!(incident.evidence.iter().any(|said| said == "largest: aif/chat 100 %"), "{incident:?}");
}

#[tokio::test]
async fn what_has_no_price_is_said_and_never_nothing() {
    let folder = Folder::new();
    let config = folder.write(
        "t.toml",
        format!("{HUB}{DAILY}[[budget]]\nname = \"e\"\namount = 1\nperiod = \"day\"\ncurrency = \"EUR\"\n\
                 [[price.exchange]]\ncurrency = \"EUR\"\nusd = \"1.1\"\nuntil = 2020-01-01\nsource = \"s\"\n")
            .as_bytes(),
    );
    let lines = |model: &str| -> String {
        let calls = [call(1, 10, 9), call(3, 10, 1)];
        let events = arrivals(&calls, model).into_iter();
        events.map(|event| format!("{}\n", String::from_utf8(event.body).unwrap())).collect()
    };
    let both = [lines("gpt-4o"), lines("a-model-of-tomorrow").replace("call-", "other-")].concat();
    let (file, db) = (folder.write("c.jsonl", both.as_bytes()), folder.path("t.db"));
    replay(&config, &file, &db);
    let (found, _) = budgets(&config, &db);
    let line = found.get("d").unwrap();
    assert_eq!(number(line, "unpriced_tokens"), 10 * DOLLAR);
    assert_eq!(number(line, "spent_nano_usd"), 10_000_000_000);
    // Without a rate for the period nobody knows what the amount is worth.
    assert_eq!(found.get("e").unwrap().get("spent_nano_usd"), None);
    let table = run(&["budgets", "--config", &config, "--db", &db]).out;
    assert!(table.contains("no rate of EUR holds"), "{table}");
    assert!(table.contains("not in it: 4,000,000 tokens without a price"), "{table}");
    let told = incidents(&db).await;
    let said = told.first().unwrap().evidence.join("; ");
    assert!(said.contains("tokens is unknown: what they cost comes on top"), "{said}");
    assert_eq!((told.first().unwrap().cost, told.first().unwrap().cost_per_day), (None, None));
}

#[tokio::test]
async fn an_empty_database_knows_nothing_of_its_budgets() {
    let folder = Folder::new();
    let config = folder.write("t.toml", format!("{HUB}{DAILY}").as_bytes());
    let db = folder.path("t.db");
    Store::open(Path::new(&db)).await.unwrap().close().await.unwrap();
    let (found, code) = budgets(&config, &db);
    assert_eq!(code, Some(0));
    assert_eq!(found.get("d").unwrap().get("spent_nano_usd"), None);
    let table = run(&["budgets", "--config", &config, "--db", &db]).out;
    assert!(table.contains("nothing was read yet"), "{table}");
    let unknown = run(&["budgets", "--config", &config, "--db", &db, "--budget", "x"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.err);
}

#[test]
fn beside_the_projection_stands_a_range_that_holds_the_truth() {
    let folder = Folder::new();
    let config = folder.write(
        "t.toml",
        format!("{HUB}[[budget]]\nname = \"m\"\namount = 900\nperiod = \"month\"\n").as_bytes(),
    );
    // Fifty days from Monday 5 October on: nine dollars on workdays, two at weekends.
    let dollars = |day: i64| if day % 7 < 5 { 3 } else { 1 };
    let hours = |day: i64| if day % 7 < 5 { [8, 12, 16].as_slice() } else { [8, 20].as_slice() };
    let calls: Vec<Call> = (0..50)
        .flat_map(|day| hours(day).iter().map(move |hour| call(day * 24 + hour, 5, dollars(day))))
        .collect();
    let lines = arrivals(&calls, "gpt-4o").into_iter();
    let lines: String =
        lines.map(|event| format!("{}\n", String::from_utf8(event.body).unwrap())).collect();
    let (file, db) = (folder.write("c.jsonl", lines.as_bytes()), folder.path("t.db"));
    replay(&config, &file, &db);
    let (found, _) = budgets(&config, &db);
    let line = found.get("m").unwrap();
    // November is days 27 to 56: 21 workdays of nine dollars and nine days of two.
    let truth =
        (27..57).map(|day| dollars(day) * i64::try_from(hours(day).len()).unwrap()).sum::<i64>();
    let range = line.get("range_80_nano_usd").and_then(Value::as_array).unwrap();
    let [low, high] = range.as_slice() else { panic!("{line}") };
    let near = |value: &Value| value.as_i64().unwrap() / 10_000_000 - truth * 100;
    assert!(near(low) <= 0 && near(high) >= 0, "{truth}: {line}");
    assert!((near(high) - near(low)) < truth * 20, "{truth}: {line}");
    let projected = number(line, "projected_nano_usd") / 10_000_000 - truth * 100;
    assert!(projected.abs() < truth * 10, "{truth}: {line}");
}
