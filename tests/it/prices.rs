//! `tokenwatch prices` from outside, and what the engine books by the same prices.

use serde_json::{Value, json};
use tokenwatch::price::PriceBook;
use tokenwatch::price::meter::Meter;

use crate::harness::{Folder, Ran, capture, run, short};
use tokenwatch::simulate::Scenario;

const ACCOUNT: &str =
    "/SUBSCRIPTIONS/S/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/AIF";

/// Runs `tokenwatch prices`; what it prints, when it ends with `code`.
#[track_caller]
fn prices(args: &[&str], code: i32) -> String {
    let args: Vec<&str> = ["prices"].iter().chain(args).copied().collect();
    let Ran { code: ended, out, err } = run(&args);
    assert_eq!(ended, Some(code), "{args:?}\n{out}\n{err}");
    out
}

#[track_caller]
fn prices_json(args: &[&str], code: i32) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--format", "json"]).collect();
    serde_json::from_str(&prices(&args, code)).unwrap()
}

/// A capture of usage records of one deployment each: time, deployment, model and tokens.
fn usage(records: &[(&str, &str, &str, [i64; 3])]) -> Vec<u8> {
    let lines = records.iter().enumerate().map(|(place, (time, deployment, model, tokens))| {
        let (name, version) = model.split_once('@').unwrap_or((model, ""));
        let [input, cached, output] = tokens;
        let record = json!({
            "category": "AzureOpenAIRequestUsage",
            "correlationId": format!("call-{place}"),
            "resourceId": ACCOUNT,
            "time": time,
            "properties": {
                "modelDeploymentName": deployment, "modelName": name, "modelVersion": version,
                "promptTokens": [input], "cachedTokens": [cached], "generatedTokens": [output],
            },
        });
        let body = json!({ "records": [record] });
        let line = json!({ "partition": "0", "sequence": place, "enqueued": time, "body": body });
        format!("{line}\n")
    });
    lines.collect::<String>().into_bytes()
}

/// Totals of `replay` under a configuration.
#[track_caller]
fn replay_under(folder: &Folder, events: &[u8], terms: &str) -> Value {
    let hub = "[[hub]]\nname = \"a\"\nnamespace = \"n.example\"\nhub = \"h\"\n";
    let config = folder.write("tokenwatch.toml", format!("{hub}[price]\n{terms}").as_bytes());
    let (file, db) = (folder.write("events.jsonl", events), folder.path("db"));
    let ran = run(&["replay", &file, "--db", &db, "--config", &config, "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

#[track_caller]
fn deployment<'a>(totals: &'a Value, name: &str) -> &'a Value {
    let rows = totals["deployments"].as_array().unwrap();
    rows.iter().find(|row| row["deployment"] == name).unwrap()
}

const GPT_4O: &str = "gpt-4o@2024-11-20";

#[test]
fn the_book_says_what_its_source_says() {
    let book = PriceBook::built_in().unwrap();
    let mut source =
        csv::Reader::from_reader(include_bytes!("../../models/prices-litellm.csv").as_slice());
    let (mut rows, mut compared) = (0, 0);
    for row in source.records() {
        let row = row.unwrap();
        let kind = row[4].replace("foundry_partner", "partner").replace("datazone", "data_zone");
        let tier = ["batch", "flex", "priority"].into_iter().find(|tier| kind.ends_with(tier));
        let scope =
            kind.trim_end_matches(tier.unwrap_or_default()).trim_end_matches('_').replace('_', "-");
        let notes: Vec<_> = row[5].split(';').filter_map(|note| note.split_once('=')).collect();
        let note = |key: &str| notes.iter().find(|(name, _)| *name == key).map_or("", |(_, v)| *v);
        let above = note("context").trim_start_matches("above_").trim_end_matches("k_tokens");
        let above = if above.is_empty() { 0 } else { above.parse::<u32>().unwrap() * 1000 };
        let entry = book.entries.iter().find(|entry| {
            entry.key() == row[0].to_lowercase()
                && entry.scope.to_string() == scope
                && entry.tier.to_string() == tier.unwrap_or("standard")
                && entry.above == above
        });
        rows += 1;
        for (meter, price) in [
            (Meter::Input, &row[1]),
            (Meter::Cached, &row[2]),
            (Meter::Output, &row[3]),
            (Meter::CacheWrite, note("cache_write_per_1m")),
            (Meter::CacheWriteHour, note("cache_write_1h_per_1m")),
            (Meter::AudioInput, note("audio_in_per_1m")),
            (Meter::AudioOutput, note("audio_out_per_1m")),
            (Meter::ImageInput, note("image_in_per_1m")),
            (Meter::ImageOutput, note("image_out_per_1m")),
        ] {
            let found = entry.and_then(|entry| entry.price(meter)).map(|price| price.to_string());
            let doubtful = row[0] == *"jais-30b-chat"
                || (meter == Meter::CacheWrite && row[0].starts_with("gpt-4o"));
            let left_out = price.is_empty()
                || price == "0"
                || doubtful
                || row[0].starts_with("model") && row[0].ends_with("router");
            assert_eq!(found.as_deref(), (!left_out).then_some(price), "{meter} of {row:?}");
            compared += usize::from(!left_out);
        }
        assert_eq!(
            entry.map(|entry| entry.source.as_str()).unwrap_or("jais"),
            match &row[0] {
                "jais-30b-chat" => "jais",
                _ => note("src"),
            }
        );
    }
    assert_eq!((rows, book.entries.len()), (724, 723));
    assert!(compared > 2_000, "{compared}");
}

#[test]
fn a_list_is_the_same_in_every_form() {
    let json = prices_json(&["list", "--model", "gpt-4o@2024-11-20"], 0);
    let rows = json["prices"].as_array().unwrap();
    assert_eq!((rows.len(), json["edition"].as_str()), (6, Some("2026-11")));
    assert!(
        rows.iter().any(|row| row["scope"] == "global" && row["per_million"]["input"] == "2.5")
    );
    let csv = prices(&["list", "--model", "gpt-4o-2024-11-20", "--format", "csv"], 0);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.headers().unwrap().iter().position(|name| name == "input"), Some(6));
    assert_eq!(reader.records().filter(|row| row.as_ref().unwrap().len() == 20).count(), 6);
    let table = prices(&["list", "--model", "GPT-4O@2024-11-20"], 0);
    assert!(table.contains("6 row(s)") && table.contains("data-zone-eu"), "{table}");
    prices(&["list", "--model", "no-such-model"], 1);
    prices(&["list", "--format", "yaml"], 2);
}

#[test]
fn an_explanation_is_the_amount_the_engine_books() {
    let folder = Folder::new();
    let events = usage(&[("2026-10-06T10:00:00Z", "chat", GPT_4O, [12_347, 4_096, 333])]);
    let terms = "[[price.discount]]\npercent = 7.77\nsource = \"s\"\nmodel = \"gpt-4o\"\n";
    let totals = replay_under(&folder, &events, terms);
    let explained = prices_json(
        &[
            "explain",
            "--model",
            GPT_4O,
            "--input",
            "12347",
            "--cached",
            "4096",
            "--output",
            "333",
            "--at",
            "2026-10-06T10:00:00Z",
            "--deployment",
            "aif/chat",
            "--config",
            &folder.path("tokenwatch.toml"),
        ],
        0,
    );
    // 8,251 × 2.5, 4,096 × 1.25 and 333 × 10 nano-USD × 1000, each × 92.23 %, halves to even.
    let by_hand = 19_024_743 + 4_722_176 + 3_071_259;
    assert_eq!(deployment(&totals, "chat")["cost_nano_usd"], by_hand);
    assert_eq!(explained["cost_nano_usd"], by_hand);
    assert_eq!(explained["lines"][0]["discount"], "7.77 %");
}

#[test]
fn what_nobody_can_price_ends_with_4_and_a_wrong_call_with_2() {
    let explain = |model: &str, more: &[&str], code: i32| {
        let args = ["explain", "--model", model, "--input", "300000", "--at", "2026-11-01"];
        let args: Vec<&str> = args.iter().chain(more).copied().collect();
        prices(&args, code)
    };
    assert!(explain("gpt-4o@2024-08-06", &[], 0).contains("$0.75"));
    assert!(explain("nobody", &[], 4).contains("the price book does not know the model"));
    let long = explain("gpt-5.4", &["--scope", "data-zone-us", "--tier", "priority"], 4);
    assert!(long.contains("so long a prompt"), "{long}");
    explain("gpt-4o", &["--cached", "300001"], 2);
    explain("gpt-4o", &["--at", "today"], 2);
    explain("gpt-4o", &["--scope", "mars"], 2);
    explain("gpt-4o", &["--sku", "GlobalBatch", "--tier", "batch"], 2);
    explain("gpt-4o", &["--config", "no-such-file.toml"], 3);
    explain("gpt-4o", &["--book", "no-such-file.toml"], 1);
}

const SMALL: &str = "version = \"t\"\ncurrency = \"USD\"\nscope_order = [\"global\"]\nprices = [\n\
    { model = \"m\", scope = \"global\", input = \"1\", output = \"4\", source = \"s\" },\n]\n";

#[test]
fn a_book_is_checked_with_line_and_column_and_compared_in_percent() {
    let folder = Folder::new();
    let old = folder.write("old.toml", SMALL.as_bytes());
    let new = folder.write("new.toml", SMALL.replace("\"1\"", "\"1.1\"").as_bytes());
    let odd = SMALL.replace("output", "cached");
    let odd = folder.write("odd.toml", odd.as_bytes());
    let wrong = folder.write("wrong.toml", SMALL.replace("\"4\"", "\"4,0\"").as_bytes());
    assert!(prices(&["check"], 0).contains("723 row(s), 0 problem(s), 0 doubt(s)"));
    assert!(prices(&["check", &old], 0).contains("1 row(s)"));
    assert!(
        prices(&["check", &odd], 4).contains("odd.toml:5:1: cached costs more than input: 4 and 1")
    );
    let found = prices_json(&["check", &wrong], 4);
    let problem = &found["problems"][0];
    assert_eq!((&problem["line"], &problem["column"]), (&json!(5), &json!(56)), "{found}");
    let said = prices(&["list", "--book", &wrong], 3);
    assert!(said.contains("wrong.toml:5:56"), "{said}");

    prices(&["diff", &old, &old], 0);
    let found = prices_json(&["diff", &old, &new], 4);
    let change = found[0].clone();
    assert_eq!(
        (&change["old"], &change["new"], &change["what"]),
        (&json!("1"), &json!("1.1"), &json!("input"))
    );
    assert!((change["percent"].as_f64().unwrap() - 10.0).abs() < 1e-9, "{change}");
    assert!(prices(&["diff", &old, &new], 4).contains("+10.0 %"));
    assert!(prices(&["diff", "built-in", &new], 4).contains("gpt-4o"));
    prices(&["diff", &old, &wrong], 3);
}

#[test]
fn the_configuration_says_how_a_deployment_is_paid() {
    let folder = Folder::new();
    let at = "2026-10-06T10:00:00Z";
    let call = [1_000_000, 0, 100_000];
    let events = usage(&[
        (at, "standard", GPT_4O, call),
        (at, "batch", GPT_4O, call),
        (at, "europe", GPT_4O, call),
        (at, "region", GPT_4O, call),
        (at, "ptu", GPT_4O, call),
        (at, "tuned", "gpt-4o.ft-abc@1", call),
        (at, "own", "house-model@1", call),
    ]);
    let totals = replay_under(
        &folder,
        &events,
        "deployment.\"AIF/batch\" = { sku = \"GlobalBatch\" }\n\
         deployment.\"aif/europe\" = { scope = \"data-zone-eu\" }\n\
         deployment.\"aif/region\" = { sku = \"Standard\" }\n\
         deployment.\"aif/ptu\" = { ptu = 50 }\n\
         deployment.\"aif/tuned\" = { scope = \"global\", model = \"gpt-4o-2024-11-20\" }\n\
         [[price.own]]\nmodel = \"house-model\"\ncurrency = \"EUR\"\ninput = \"1\"\noutput = \"2\"\nsource = \"s\"\n\
         [[price.exchange]]\ncurrency = \"EUR\"\nusd = \"1.1\"\nsource = \"s\"\n",
    );
    let cost = |name: &str| deployment(&totals, name)["cost_nano_usd"].clone();
    assert_eq!(cost("standard"), 3_500_000_000_i64);
    assert_eq!(cost("batch"), 1_750_000_000);
    assert_eq!(cost("europe"), 3_850_000_000_i64);
    assert_eq!(cost("region"), Value::Null, "the list has no price for a region");
    assert_eq!(deployment(&totals, "region")["unpriced_tokens"], 1_100_000);
    assert_eq!(cost("ptu"), 0);
    assert_eq!(deployment(&totals, "ptu")["provisioned_tokens"], 1_100_000);
    assert_eq!(deployment(&totals, "ptu")["unpriced_tokens"], 0);
    assert_eq!(cost("tuned"), 3_500_000_000_i64);
    assert_eq!(cost("own"), 1_320_000_000);
    let file = folder.path("events.jsonl");
    let config = folder.path("tokenwatch.toml");
    let table = run(&["replay", &file, "--db", &folder.path("db"), "--config", &config]).out;
    let line = |name: &str| table.lines().find(|line| line.contains(name)).unwrap_or_default();
    assert!(line(" ptu ").contains("provisioned"), "{table}");
    assert!(line(" region ").contains("unknown"), "{table}");
    assert!(line("unpriced tokens").contains("1,100,000 of aif/region"), "{table}");
    let incidents = run(&["incidents", "--db", &folder.path("db"), "--format", "json"]).out;
    let incidents: Value = serde_json::from_str(&incidents).unwrap();
    let unpriced: Vec<_> = incidents
        .as_array()
        .unwrap()
        .iter()
        .filter(|incident| incident["rule"] == "TW-S04")
        .collect();
    assert_eq!(unpriced.len(), 1, "{incidents}");
    assert_eq!(unpriced[0]["severity"], "low");
}

#[test]
fn a_forged_record_cannot_break_a_sum_and_stands_in_the_ledger() {
    let folder = Folder::new();
    let records = [
        ("2026-10-06T10:00:00Z", "chat", GPT_4O, [1_000_000, 0, 0]),
        ("2026-10-06T10:01:00Z", "chat", GPT_4O, [10_000_000, 0, 10_000_000]),
        ("2026-10-06T10:02:00Z", "chat", GPT_4O, [i64::from(u32::MAX), 0, 0]),
    ];
    let totals = replay_under(&folder, &usage(&records), "max_usd_per_call = 50\n");
    let chat = deployment(&totals, "chat");
    assert_eq!(chat["cost_nano_usd"], 52_500_000_000_i64);
    assert_eq!(chat["tokens_in"], 11_000_000, "a count beyond belief is quarantined");
    assert_eq!(totals["quarantined"], 1);
    let ledger = json!([{ "account": "aif", "deployment": "chat", "reason": "cost_above_limit",
                          "records": 1, "tokens": 20_000_000 }]);
    assert_eq!(totals["ledger"], ledger);
}

#[test]
fn calls_without_tokens_are_counted_and_never_cost_nothing() {
    let folder = Folder::new();
    let row = |id: &str, status: &str| {
        json!({ "category": "RequestResponse", "correlationId": id, "resourceId": ACCOUNT,
                "time": "2026-10-06T10:00:00Z", "resultSignature": status,
                "properties": { "modelDeploymentName": "stream", "modelName": "gpt-4o",
                                "modelVersion": "2024-11-20" } })
    };
    let body = json!({ "records": [row("a", "200"), row("b", "429")] });
    let file = folder.write("bodies.json", body.to_string().as_bytes());
    let db = folder.path("db");
    let totals = crate::harness::replay(&[&file], &db);
    let stream = deployment(&totals, "stream");
    assert_eq!((&stream["calls"], &stream["calls_without_tokens"]), (&json!(2), &json!(1)));
    assert_eq!((&stream["cost_nano_usd"], &stream["basis"]), (&Value::Null, &json!("incomplete")));
    let table = run(&["replay", &file, "--db", &db]).out;
    assert!(table.contains("calls without tokens: 1 of aif/stream"), "{table}");
    // The usage row comes minutes later and completes the call.
    let late = usage(&[("2026-10-06T10:00:01Z", "stream", GPT_4O, [1_000_000, 0, 0])]);
    let late = String::from_utf8(late).unwrap().replace("call-0", "a");
    let totals = crate::harness::replay(&[&folder.write("late.jsonl", late.as_bytes())], &db);
    let stream = deployment(&totals, "stream");
    assert_eq!((&stream["calls"], &stream["calls_without_tokens"]), (&json!(2), &json!(0)));
    assert_eq!(stream["cost_nano_usd"], 2_500_000_000_i64);
}

#[tokio::test]
async fn hours_and_meters_add_up_to_the_totals() {
    let folder = Folder::new();
    let (events, _) = capture(short(Scenario::StolenKey, 12));
    crate::harness::replay(&[&folder.write("events.jsonl", &events)], &folder.path("db"));
    let path = folder.path("db");
    let mut reader =
        tokenwatch::store::read::Reader::open(std::path::Path::new(&path)).await.unwrap();
    let [totals, hours, meters] = reader.spend_entries().await.unwrap();
    assert!(totals.0 > 1_000_000 && totals.1 > 1_000_000_000, "{totals:?}");
    assert_eq!([totals, totals], [hours, meters]);
}

/// Rows of a FOCUS export: day, resource, meter, millions of tokens, cost.
fn focus(rows: &[(&str, &str, &str, &str, &str)]) -> Vec<u8> {
    let mut text = "BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,\
                    ConsumedQuantity,ConsumedUnit,EffectiveCost,ResourceId,SkuMeter,x_SkuMeterId\n"
        .to_owned();
    for (day, resource, meter, quantity, cost) in rows {
        let next = if *day == "2026-10-06" { "2026-10-07" } else { "2026-10-08" };
        text.push_str(&format!(
            "0,USD,Usage,{day}T00:00Z,{next}T00:00Z,{quantity},1M,{cost},{resource},{meter},id\n"
        ));
    }
    text.into_bytes()
}

const INPUT: &str = "gpt 4o inp glbl Tokens";
const CACHED: &str = "gpt 4o cached inp glbl Tokens";
const OUTPUT: &str = "gpt 4o outp glbl Tokens";

/// Two whole UTC days between two that are not, with calls in the last and first second.
fn two_days(folder: &Folder) -> String {
    let records = [
        ("2026-10-05T23:59:59Z", "chat", GPT_4O, [7_000_000, 0, 0]),
        ("2026-10-06T00:00:00Z", "chat", GPT_4O, [1_000_000, 400_000, 0]),
        ("2026-10-06T23:59:59.999Z", "chat", GPT_4O, [1_000_000, 0, 50_000]),
        ("2026-10-07T00:00:00Z", "chat", GPT_4O, [2_000_000, 0, 0]),
        ("2026-10-08T06:00:00Z", "chat", GPT_4O, [5_000_000, 0, 0]),
    ];
    let db = folder.path("db");
    crate::harness::replay(&[&folder.write("events.jsonl", &usage(&records))], &db);
    db
}

#[track_caller]
fn states(report: &Value) -> Vec<[String; 3]> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = report["lines"].as_array().unwrap().iter();
    lines.map(|line| [text(&line["day"]), text(&line["what"]), text(&line["state"])]).collect()
}

#[test]
fn sums_and_bill_that_agree_end_with_0_by_utc_day_and_meter() {
    let folder = Folder::new();
    let db = two_days(&folder);
    let resource = ACCOUNT.to_lowercase();
    let bill = focus(&[
        ("2026-10-06", &resource, INPUT, "1.6", "4.0"),
        ("2026-10-06", ACCOUNT, CACHED, "0.4", "5E-1"),
        ("2026-10-06", ACCOUNT, OUTPUT, "0.05", "0.5"),
        ("2026-10-07", ACCOUNT, INPUT, "2", "5.00"),
        ("2026-10-07", "/subscriptions/s/storage", "disk", "1", "99"),
    ]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &bill).unwrap();
    for file in
        [folder.write("bill.csv", &bill), folder.write("bill.csv.gz", &gzip.finish().unwrap())]
    {
        let report = prices_json(&["reconcile", "--db", &db, "--focus", &file], 0);
        let expected = [
            ["2026-10-06", "input", "agrees"],
            ["2026-10-06", "cached", "agrees"],
            ["2026-10-06", "output", "agrees"],
            ["2026-10-06", "whole day", "agrees"],
            ["2026-10-07", "input", "agrees"],
            ["2026-10-07", "whole day", "agrees"],
        ];
        assert_eq!(states(&report), expected.map(|line| line.map(str::to_owned)), "{report}");
        let left = report["not_compared"].as_array().unwrap();
        assert_eq!(left.len(), 2, "{report}");
        assert_eq!(left[0]["what"], "hours outside the days of the export");
        assert_eq!(left[1]["nano_by_currency"]["USD"], "99000000000");
    }
    let table = prices(&["reconcile", "--db", &db, "--focus", &folder.path("bill.csv")], 0);
    assert!(table.contains("6 comparison(s) agree, 0 drift, 0 not judged; 5 row(s)"), "{table}");
    // On the invoice stands nothing: another column, another answer.
    let billed =
        ["reconcile", "--db", &db, "--focus", &folder.path("bill.csv"), "--cost", "billed"];
    assert!(prices(&billed, 4).contains("as many tokens at another price"));
}

#[test]
fn drift_unreadable_rows_and_other_files_are_told() {
    let folder = Folder::new();
    let db = two_days(&folder);
    let bill = focus(&[
        ("2026-10-06", ACCOUNT, INPUT, "1.6", "20"),
        ("2026-10-06", ACCOUNT, CACHED, "0.8", "1"),
        ("2026-10-06", ACCOUNT, OUTPUT, "0.05", "0.5"),
        ("2026-10-07", ACCOUNT, INPUT, "2", "5"),
    ]);
    let file = folder.write("bill.csv", &bill);
    let report = prices_json(&["reconcile", "--db", &db, "--focus", &file], 4);
    let lines = report["lines"].as_array().unwrap();
    let whys: Vec<_> = lines.iter().map(|line| line["why"].as_str().unwrap_or("-")).collect();
    let price = "DRIFT: as many tokens at another price";
    let tokens = "DRIFT: other tokens at the same price";
    assert_eq!(whys, [price, tokens, "-", "DRIFT", "-", "-"], "{report}");
    let percent = lines[0]["drift_percent"].as_f64().unwrap();
    assert!((percent + 80.0).abs() < 1e-9, "five times too low: {percent}");
    prices(&["reconcile", "--db", &db, "--focus", &file, "--tolerance", "100"], 0);

    let broken = String::from_utf8(bill).unwrap().replace(",20,", ",\"20,0\",");
    let broken = folder.write("broken.csv", broken.as_bytes());
    let report = prices_json(&["reconcile", "--db", &db, "--focus", &broken], 4);
    assert_eq!((&report["rows"], &report["unreadable"]), (&json!(4), &json!(1)));
    assert_eq!(report["first_unreadable"][0]["line"], 2);
    let other = folder.write("other.csv", b"a,b\n1,2\n");
    let ran = run(&["prices", "reconcile", "--db", &db, "--focus", &other]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("EffectiveCost"), "{}", ran.err);
}
