//! The weekly report: against exact truth, sum by sum, and told once.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokenwatch::days::{Weekday, Zone};
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::incident::Severity;
use tokenwatch::notify::{Destination, EmlSettings};
use tokenwatch::pipeline::reports::{Maker, Wanted};
use tokenwatch::pipeline::{Service, Unwatched};
use tokenwatch::price::amount::Rate;
use tokenwatch::price::contract::{Contract, Exchange};
use tokenwatch::price::focus::{CostColumn, Kind, read};
use tokenwatch::price::span::Span;
use tokenwatch::report::period::Week;
use tokenwatch::report::render::{focus, table};
use tokenwatch::report::settings::ReportSettings;
use tokenwatch::report::{Report, WEEKLY, build};
use tokenwatch::simulate::{Options, Scenario, Simulation, Truth};
use tokenwatch::source::{Source, SourceError};
use tokenwatch::store::Store;
use tokenwatch::store::read::Reader;
use tokenwatch::store::report::{Edition, Told, tell_beside};
use tokenwatch::time::{DAY_MS, HOUR_MS};
use tokio_util::sync::CancellationToken;

use crate::harness::{self, Folder, arrivals, env, idle, members, open, run, step};

/// Monday, 2026-10-05T00:00:00Z.
const MONDAY_MS: i64 = 1_791_158_400_000;
const WEEK_MS: i64 = 7 * DAY_MS;

/// Quiet traffic from that Monday on.
fn options(weeks: u32, more_hours: u32) -> Options {
    Options {
        scenario: Scenario::Quiet,
        seed: 7,
        start_ms: MONDAY_MS,
        history_hours: weeks * 168 + more_hours,
        live_minutes: 0,
        calls_per_hour: 1.0,
        ..Options::default()
    }
}

fn mails(folder: &Folder, name: &str) -> Destination {
    let settings = EmlSettings {
        folder: folder.path(name).into(),
        from: "tokenwatch <reports@contoso.example>".to_owned(),
        to: vec![format!("{name}@contoso.example")],
    };
    Destination::new(name, Severity::Low, settings)
}

/// What makes reports from a database, for these destinations.
fn maker(db: &str, zone: &str, destinations: Vec<Destination>) -> Maker {
    let settings = ReportSettings { zone: Zone::named(zone).unwrap(), ..ReportSettings::default() };
    Maker { database: db.into(), settings, destinations, env: env() }
}

async fn report(maker: &Maker, week: &Week) -> (Report, tokenwatch::report::facts::Facts) {
    let mut reader = Reader::open(&maker.database).await.unwrap();
    let facts = maker.facts(&mut reader, week).await.unwrap();
    let report = build(&facts, &maker.terms(&facts, "", Edition::First)).unwrap();
    (report, facts)
}

fn week(maker: &Maker, name: &str) -> Week {
    Week::named(&maker.settings.zone, maker.settings.first, name).unwrap()
}

/// Steps as the service takes them, in batches of a few hundred.
async fn feed(db: &str, arrivals: &[Arrival]) {
    let mut core = open(db).await;
    step(&mut core, &members(arrivals)).await;
    for part in arrivals.chunks(400) {
        step(&mut core, &Batch { arrivals: part.to_vec(), ..Batch::default() }).await;
    }
    step(&mut core, &idle(arrivals)).await;
    core.store.close().await.unwrap();
}

fn number(value: &Value, path: &str) -> i64 {
    value.pointer(path).and_then(Value::as_i64).unwrap_or_else(|| panic!("{path}: {value:#}"))
}

fn sum(value: &Value, list: &str, path: &str) -> i64 {
    let list = value.pointer(list).and_then(Value::as_array).unwrap();
    list.iter().map(|row| number(row, path)).sum()
}

/// Cost, input, cached and output tokens of each deployment in a week, by the truth until its end and
/// until its beginning.
fn truth_of(until: &Truth, before: Option<&Truth>) -> Vec<(String, [i64; 4])> {
    let of = |truth: &Truth, name: &str| {
        let found = truth.deployments.iter().find(|row| row.deployment == name);
        found.map_or([0; 4], |row| {
            let input = row.tokens_in - row.tokens_cached;
            [row.cost_nano_usd.unwrap(), input, row.tokens_cached, row.tokens_out]
        })
    };
    let names = until.deployments.iter().map(|row| row.deployment.clone());
    let weekly = names.map(|name| {
        let (mut now, old) = (of(until, &name), before.map(|old| of(old, &name)));
        now.iter_mut().zip(old.unwrap_or_default()).for_each(|(now, old)| *now -= old);
        (name, now)
    });
    weekly.collect()
}

#[test]
fn a_simulated_month_is_reported_to_the_nano_dollar() {
    let folder = Folder::new();
    let (capture, truth) = harness::capture(options(4, 3));
    let (file, db) = (folder.write("month.jsonl", &capture), folder.path("month.db"));
    harness::replay(&[&file], &db);
    let truths = [1, 2, 3, 4].map(|weeks| Simulation::new(options(weeks, 0)).truth());
    let (mut all, mut last, mut before) = (0, 0, None);
    for (until, name) in truths.iter().zip(["2026-W41", "2026-W42", "2026-W43", "2026-W44"]) {
        let ran = run(&["report", "--db", &db, "--week", name, "--format", "json"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(report.pointer("/head/is_partial"), Some(&Value::from(false)), "{report:#}");
        let expected = truth_of(until, before);
        let total: i64 = expected.iter().map(|(_, sums)| sums[0]).sum();
        assert_eq!(number(&report, "/spend/total/cost_nano_usd"), total, "{name}");
        let rows = report.pointer("/deployments/rows").and_then(Value::as_array).unwrap();
        for (deployment, sums) in &expected {
            let row = rows
                .iter()
                .find(|row| row.get("deployment") == Some(&Value::from(deployment.as_str())));
            let row = row.unwrap_or_else(|| panic!("{deployment} is missing in {name}"));
            let found = ["cost_nano_usd", "tokens_input", "tokens_cached", "tokens_output"]
                .map(|field| number(row, &format!("/amounts/{field}")));
            assert_eq!(found, *sums, "{deployment} in {name}");
        }
        assert_eq!(sum(&report, "/spend/days", "/amounts/cost_nano_usd"), total);
        assert_eq!(sum(&report, "/deployments/rows", "/amounts/cost_nano_usd"), total);
        assert_eq!(sum(&report, "/slices/models", "/amounts/cost_nano_usd"), total);
        assert_eq!(sum(&report, "/slices/callers", "/cost_nano_usd"), total);
        if before.is_some() {
            assert_eq!(number(&report, "/movers/total/change_nano_usd"), total - last, "{name}");
        }
        (all, last, before) = (all + total, total, Some(until));
    }
    let whole: i64 = truth.deployments.iter().filter_map(|row| row.cost_nano_usd).sum();
    assert!(all < whole, "three hours of the next week are in no week before it");
    let ran = run(&["report", "--db", &db, "--week", "2026-W45", "--format", "json"]);
    let rest: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(all + number(&rest, "/spend/total/cost_nano_usd"), whole);
    assert_eq!(rest.pointer("/head/is_partial"), Some(&Value::from(true)));

    golden(&db);
}

/// The page for people, as recorded.
fn golden(db: &str) {
    let ran = run(&["report", "--db", db, "--week", "2026-W43", "--timezone", "Europe/Berlin"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/report.txt");
    if std::env::var_os("TOKENWATCH_GOLDEN").is_some_and(|word| word == "write") {
        std::fs::write(&path, &ran.out).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(ran.out, recorded, "to accept it, set TOKENWATCH_GOLDEN=write once");
}

#[tokio::test]
async fn weeks_of_every_zone_add_up_and_share_nothing() {
    let folder = Folder::new();
    let db = folder.path("zones.db");
    let start_ms = MONDAY_MS + 2 * WEEK_MS; // over the end of summer time in Europe and America
    let all = arrivals(Options { start_ms, ..options(2, 2) });
    feed(&db, &all).await;
    let whole = {
        let mut reader = Reader::open(Path::new(&db)).await.unwrap();
        let rows = reader.totals().await.unwrap().deployments;
        rows.iter().map(|row| row.spend.cost().0).sum::<i64>()
    };
    assert!(whole > 0);
    for (zone, first) in [
        ("UTC", Weekday::Monday),
        ("Europe/Berlin", Weekday::Monday),
        ("America/New_York", Weekday::Sunday),
        ("Asia/Kathmandu", Weekday::Saturday),
        ("Australia/Lord_Howe", Weekday::Wednesday),
    ] {
        let mut maker = maker(&db, zone, Vec::new());
        maker.settings.first = first;
        let mut told = 0;
        let mut hours = Vec::new();
        for name in ["2026-W42", "2026-W43", "2026-W44", "2026-W45", "2026-W46"] {
            let (report, facts) = report(&maker, &week(&maker, name)).await;
            let total = report.spend.total.cost_nano_usd.0;
            let days: i64 = report.spend.days.iter().map(|day| day.amounts.cost_nano_usd.0).sum();
            assert_eq!(days, total, "{zone} {name}");
            let rows = report.deployments.rows.iter();
            assert_eq!(rows.map(|row| row.amounts.cost_nano_usd.0).sum::<i64>(), total);
            let callers = report.slices.callers.iter();
            assert_eq!(callers.map(|row| row.cost_nano_usd.0).sum::<i64>(), total);
            check_files(&report, &facts, &maker);
            told += total;
            hours.push(report.head.hours);
        }
        assert_eq!(told, whole, "{zone}: {hours:?}");
        assert_eq!(
            hours.contains(&169),
            zone.starts_with("Eu") || zone.starts_with("Am"),
            "{zone}"
        );
    }
}

/// Both tables add up to the report, and our own reader of FOCUS exports takes the second.
fn check_files(report: &Report, facts: &tokenwatch::report::facts::Facts, maker: &Maker) {
    let total = report.spend.total.cost_nano_usd.0;
    let text = table::csv(facts).unwrap();
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let place = rows.headers().unwrap().iter().position(|name| name == "cost_nano_usd").unwrap();
    let sum: i64 =
        rows.records().map(|row| row.unwrap().get(place).unwrap().parse::<i64>().unwrap()).sum();
    assert_eq!(sum, total);
    let terms = maker.terms(facts, "", Edition::First);
    let text = focus::csv(facts, &terms.currency).unwrap();
    for column in [CostColumn::Billed, CostColumn::Effective] {
        let (mut nano, mut tokens) = (0, 0);
        let reading = read(text.as_bytes(), column, &mut |charge| {
            // Local days of other zones lie in two days of UTC.
            let one_day = maker.settings.zone.name() != "UTC" || charge.kind == Kind::Usage;
            assert!(one_day, "{charge:?}");
            assert_eq!(charge.currency, "USD");
            assert!(charge.account.is_some_and(|account| account.contains("/accounts/")));
            nano += charge.nano;
            tokens += charge.tokens.unwrap_or(0);
        });
        let reading = reading.unwrap();
        assert_eq!((reading.unreadable, nano), (0, i128::from(total)), "{:?}", reading.reasons);
        assert_eq!(tokens > 0, total > 0);
    }
}

/// FOCUS 1.2: the columns that must be there, and the values that some of them must have.
#[tokio::test]
async fn focus_has_the_columns_of_the_specification() {
    let folder = Folder::new();
    let db = folder.path("focus.db");
    feed(&db, &arrivals(options(0, 30))).await;
    let maker = maker(&db, "Europe/Berlin", Vec::new());
    let (_, facts) = report(&maker, &week(&maker, "2026-W41")).await;
    let euro = tokenwatch::report::amount::Currency {
        code: "EUR".to_owned(),
        rate: Rate::parse("1.08").unwrap(),
    };
    let text = focus::csv(&facts, &euro).unwrap();
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let head: Vec<String> = rows.headers().unwrap().iter().map(str::to_owned).collect();
    for column in [
        "BilledCost",
        "BillingAccountId",
        "BillingAccountName",
        "BillingCurrency",
        "BillingPeriodEnd",
        "BillingPeriodStart",
        "ChargeCategory",
        "ChargeClass",
        "ChargeDescription",
        "ChargePeriodEnd",
        "ChargePeriodStart",
        "ContractedCost",
        "EffectiveCost",
        "InvoiceIssuerName",
        "ListCost",
        "PricingQuantity",
        "PricingUnit",
        "ProviderName",
        "PublisherName",
        "ServiceCategory",
        "ServiceName",
    ] {
        assert!(head.iter().any(|name| name == column), "{column} is missing");
    }
    let mut billed = 0_i128;
    for row in rows.deserialize::<std::collections::BTreeMap<String, String>>() {
        let row = row.unwrap();
        let value = |name: &str| row.get(name).unwrap().as_str();
        assert_eq!((value("ChargeCategory"), value("BillingCurrency")), ("Usage", "EUR"));
        assert_eq!(value("ServiceCategory"), "AI and Machine Learning");
        let moment = |name: &str| tokenwatch::time::parse(value(name)).unwrap();
        assert!(moment("ChargePeriodStart") < moment("ChargePeriodEnd"));
        assert!(moment("BillingPeriodStart") <= moment("ChargePeriodStart"));
        assert!(moment("ChargePeriodEnd") <= moment("BillingPeriodEnd"));
        assert!(value("ChargePeriodStart").ends_with('Z'));
        billed += tokenwatch::price::amount::loose_decimal(value("BilledCost"), 9).unwrap();
    }
    let total = facts.total(0).cost().0;
    let expected = tokenwatch::price::amount::half_even(i128::from(total) * 100, 108);
    assert!(total > 0);
    assert_eq!(billed, expected, "the column adds up in the currency");
}

#[tokio::test]
async fn an_empty_week_a_first_week_and_a_week_nobody_saw() {
    let folder = Folder::new();
    let db = folder.path("first.db");
    // From Wednesday on for a day, and then nothing until the Thursday after next.
    let early = arrivals(Options { start_ms: MONDAY_MS + 2 * DAY_MS, ..options(0, 24) });
    feed(&db, &early).await;
    let maker = maker(&db, "UTC", vec![mails(&folder, "finance")]);
    let (first, _) = report(&maker, &week(&maker, "2026-W41")).await;
    assert!(first.spend.last_week.is_none() && first.spend.median_nano_usd.is_none());
    assert!(
        first
            .quality
            .partial
            .iter()
            .any(|lack| lack.reason.contains("first record is of 2026-10-07"))
    );
    assert!(first.movers.up.is_empty() && !first.movers.is_known);
    assert!(first.summary.subject.contains("PARTIAL"), "{}", first.summary.subject);
    let (empty, _) = report(&maker, &week(&maker, "2026-W42")).await;
    assert_eq!(empty.spend.total.cost_nano_usd.0, 0);
    assert!(empty.summary.cause.contains("nothing to report"), "{}", empty.summary.cause);
    let page = tokenwatch::report::render::text::page(&empty, &Default::default());
    assert!(page.contains("No incident this week: nothing to report."), "{page}");
    // Nobody tells of weeks before the first record, and a report leaves for no other reason.
    let before = MONDAY_MS + 8 * HOUR_MS;
    assert!(maker.due(before).await.unwrap().is_empty());
    assert_eq!(maker.due(before + WEEK_MS).await.unwrap().len(), 1);
}

/// What was told of a database.
async fn told(db: &str) -> Vec<Told> {
    Reader::open(Path::new(db)).await.unwrap().told(WEEKLY, 99).await.unwrap()
}

async fn letters(db: &str) -> Vec<String> {
    let rows = Reader::open(Path::new(db)).await.unwrap().outbox().await.unwrap();
    rows.into_iter().filter(|row| row.2 == "report").map(|row| row.1).collect()
}

#[tokio::test]
async fn many_makers_tell_a_week_once_to_each() {
    let folder = Folder::new();
    let db = folder.path("race.db");
    feed(&db, &arrivals(options(1, 2))).await;
    let to = vec![mails(&folder, "finance"), mails(&folder, "board")];
    let maker = maker(&db, "UTC", to);
    let now_ms = MONDAY_MS + WEEK_MS + 8 * HOUR_MS;
    assert!(maker.due(now_ms - 4 * HOUR_MS).await.unwrap().is_empty(), "not before seven o'clock");
    // Replicas that looked at the same moment, one of them the owner of the database.
    let mut store = Store::open(Path::new(&db)).await.unwrap();
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(maker.due(now_ms).await.unwrap());
    }
    assert!(
        made.iter().all(|letters| letters.len() == 2 && *letters == made[0]),
        "not the same bytes"
    );
    let path = Path::new(&db);
    let beside = made.iter().map(|letters| tell_beside(path, letters));
    let (own, others) = tokio::join!(store.tell(&made[0]), futures_util::future::join_all(beside));
    let new: u32 = own.unwrap() + others.into_iter().map(Result::unwrap).sum::<u32>();
    assert_eq!(new, 2, "two destinations, a letter each");
    assert_eq!((letters(&db).await.len(), told(&db).await.len()), (2, 2));
    assert!(maker.due(now_ms).await.unwrap().is_empty(), "told is told");
    // A third destination hears of it too, the others not again.
    let mut more = maker.clone();
    more.destinations.push(mails(&folder, "audit"));
    let third = more.due(now_ms + DAY_MS).await.unwrap();
    assert_eq!(third.len(), 1);
    assert_eq!(third[0].told.destination, "audit");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_partial_report_is_corrected_once_and_only_when_the_total_moves() {
    for (held_back_hours, is_corrected) in [(60, true), (1, false)] {
        let folder = Folder::new();
        let db = folder.path("partial.db");
        let all = arrivals(options(1, 2));
        let cut = MONDAY_MS + WEEK_MS - held_back_hours * HOUR_MS;
        let (early, late): (Vec<Arrival>, Vec<Arrival>) =
            all.into_iter().partition(|arrival| arrival.enqueued.0 < cut);
        feed(&db, &early).await;
        let maker = maker(&db, "UTC", vec![mails(&folder, "finance")]);
        let monday_ms = MONDAY_MS + WEEK_MS + 8 * HOUR_MS;
        let first = maker.due(monday_ms).await.unwrap();
        assert!(first.len() == 1 && first[0].told.is_partial, "{first:?}");
        assert_eq!(tell_beside(Path::new(&db), &first).await.unwrap(), 1);
        assert!(maker.due(monday_ms + HOUR_MS).await.unwrap().is_empty(), "still open");
        let mut core = open(&db).await;
        for part in late.chunks(400) {
            step(&mut core, &Batch { arrivals: part.to_vec(), ..Batch::default() }).await;
        }
        step(&mut core, &idle(&late)).await;
        core.store.close().await.unwrap();
        let second = maker.due(monday_ms + 2 * HOUR_MS).await.unwrap();
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].letter.is_some(), is_corrected);
        assert_eq!(second[0].told.edition, Edition::Correction);
        tell_beside(Path::new(&db), &second).await.unwrap();
        assert!(maker.due(monday_ms + 3 * HOUR_MS).await.unwrap().is_empty(), "one correction");
        assert_eq!(letters(&db).await.len(), 1 + usize::from(is_corrected));
        // The week after says what was told and what it is now.
        let (next, _) = report(&maker, &week(&maker, "2026-W42")).await;
        let (before, _) = report(&maker, &week(&maker, "2026-W41")).await;
        let now = before.spend.total.cost_nano_usd;
        match next.quality.restated {
            None => assert!(is_corrected),
            Some(restated) => {
                assert!(!is_corrected);
                assert_eq!(
                    (restated.told_nano_usd.0, restated.now_nano_usd),
                    (first[0].told.nano, now)
                );
            }
        }
    }
}

#[tokio::test]
async fn another_rate_changes_what_is_shown_and_not_how_weeks_compare() {
    let folder = Folder::new();
    let db = folder.path("rates.db");
    feed(&db, &arrivals(options(2, 2))).await;
    let mut maker = maker(&db, "UTC", Vec::new());
    maker.settings.currency = "EUR".to_owned();
    let rate = |usd: &str, valid| {
        let rate = Rate::parse(usd).unwrap();
        Arc::new(Exchange { currency: "EUR".to_owned(), rate, valid, source: "a test".to_owned() })
    };
    let turn = tokenwatch::time::EventTime(MONDAY_MS + WEEK_MS);
    let exchanges = vec![
        rate("1.00", Span { until: turn, ..Span::ALWAYS }),
        rate("2.00", Span { from: turn, ..Span::ALWAYS }),
    ];
    maker.env.book = maker.env.book.under(Contract { exchanges, ..Contract::default() });
    let (week_1, week_2) = (week(&maker, "2026-W41"), week(&maker, "2026-W42"));
    let ((one, facts), (two, _)) = (report(&maker, &week_1).await, report(&maker, &week_2).await);
    assert_eq!((one.head.usd_per_unit.as_str(), two.head.usd_per_unit.as_str()), ("1.00", "2.00"));
    let (cost_1, cost_2) = (one.spend.total.cost_nano_usd, two.spend.total.cost_nano_usd);
    assert_eq!(two.movers.total.change_nano_usd, cost_2.plus(-cost_1));
    let usd = maker.env.book.contract.rate("EUR", turn).unwrap();
    let two_terms = tokenwatch::report::amount::Currency { code: "EUR".to_owned(), rate: usd };
    let page = tokenwatch::report::render::text::page(&two, &two_terms);
    assert!(
        page.contains(&two_terms.show(cost_2)) && page.contains(&two_terms.show(cost_1)),
        "{page}"
    );
    assert!(page.contains("One EUR is 2.00 USD, for all weeks alike."), "{page}");
    assert_eq!(maker.terms(&facts, "", Edition::First).currency.code, "EUR");
}

/// A source that has nothing to say.
struct Silent;

impl Source for Silent {
    async fn next_batch(&mut self) -> Result<Option<Batch>, SourceError> {
        std::future::pending().await
    }
}

/// Runs the service on a Monday morning until `stop` says so.
async fn serve(maker: Maker, now_ms: i64, until: impl Fn() -> bool) {
    let destinations = maker.destinations.clone();
    let core = open(maker.database.to_str().unwrap()).await;
    let stop = CancellationToken::new();
    let service = Service {
        destinations,
        reports: Some(maker),
        ..Service::new(core, Silent, Arc::new(move || now_ms))
    };
    let stopped = stop.clone();
    let mut watch = Unwatched;
    let (served, ()) = tokio::join!(service.run(&stopped, &mut watch), async {
        for _ in 0..100 {
            if until() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        stop.cancel();
    });
    served.map(drop).unwrap();
}

fn written(folder: &Folder, name: &str) -> Vec<Vec<u8>> {
    let Ok(files) = std::fs::read_dir(folder.path(name)) else { return Vec::new() };
    let paths = files.map(|file| file.unwrap().path());
    let mails = paths.filter(|path| path.extension().is_some_and(|extension| extension == "eml"));
    mails.map(|path| std::fs::read(path).unwrap()).collect()
}

#[tokio::test]
async fn the_service_sends_it_on_monday_once_across_restarts() {
    let folder = Folder::new();
    let db = folder.path("service.db");
    feed(&db, &arrivals(options(1, 2))).await;
    let mut maker = maker(&db, "UTC", vec![mails(&folder, "finance")]);
    maker.settings.unsubscribe = Some("https://contoso.example/unsubscribe?list=weekly".to_owned());
    let now_ms = MONDAY_MS + WEEK_MS + 8 * HOUR_MS;
    serve(maker.clone(), now_ms, || !written(&folder, "finance").is_empty()).await;
    check_mail(&written(&folder, "finance")[0]);
    // Again, for longer than the first time took: the first look comes at once.
    serve(maker.clone(), now_ms + 60_000, || false).await;
    assert_eq!(written(&folder, "finance").len(), 1);
    assert_eq!(letters(&db).await, ["finance"]);
    // Asked for again it leaves again, and says so.
    let mut reader = Reader::open(Path::new(&db)).await.unwrap();
    let week = week(&maker, "2026-W41");
    let facts = maker.facts(&mut reader, &week).await.unwrap();
    let to: Vec<&Destination> = maker.destinations.iter().collect();
    let again = maker.of_scope(&facts, ("", &to), Wanted::Again, now_ms).unwrap();
    assert_eq!(again[0].told.edition, Edition::Again(1));
    let body = String::from_utf8_lossy(&again[0].letter.as_ref().unwrap().body).into_owned();
    assert!(body.contains("In-Reply-To: ") && body.contains("sent again"), "{}", &body[..2_000]);
}

fn check_mail(bytes: &[u8]) {
    let mail = mail_parser::MessageParser::default().parse(bytes).unwrap();
    let header = |name: &str| mail.header_raw(name).unwrap_or_default().trim().to_owned();
    assert_eq!(header("Auto-Submitted"), "auto-generated");
    assert_eq!(header("List-Unsubscribe"), "<https://contoso.example/unsubscribe?list=weekly>");
    assert_eq!(header("List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    assert!(
        mail.subject().unwrap().starts_with("[tokenwatch] Week 41 · $"),
        "{:?}",
        mail.subject()
    );
    let html = mail.body_html(0).unwrap();
    assert!(html.len() < 100_000, "{}", html.len());
    assert!(html.contains("cid:spend-by-day") && html.contains("alt=\"Spend by day: "));
    let text = mail.body_text(0).unwrap();
    assert!(text.contains("BY DEPLOYMENT") && text.contains("Spend".to_uppercase().as_str()));
    let names: Vec<String> = mail
        .attachments()
        .filter_map(|part| {
            use mail_parser::MimeHeaders as _;
            part.attachment_name().map(str::to_owned)
        })
        .collect();
    for name in ["spend.csv", "focus.csv", "report.json"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    let whole = String::from_utf8_lossy(bytes);
    assert!(whole.contains("Content-ID: <spend-by-day>"));
}

#[test]
fn the_command_sends_once_whoever_runs_it() {
    let folder = Folder::new();
    let (capture, _) = harness::capture(options(1, 2));
    let (file, db) = (folder.write("week.jsonl", &capture), folder.path("tokenwatch.db"));
    harness::replay(&[&file], &db);
    let config = folder.write(
        "tokenwatch.toml",
        b"[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n\
        [report]\ntimezone = \"Europe/Berlin\"\ndestinations = [\"finance\"]\nteams = { lab = [\"lab\"] }\n\
        [[owner]]\nname = \"lab\"\naccounts = [\"aif-contoso-lab\"]\n\
        [[notify.eml]]\nname = \"finance\"\nfolder = \"finance\"\nfrom = \"a@b.example\"\nto = [\"c@b.example\"]\n\
        [[notify.eml]]\nname = \"lab\"\nfolder = \"lab\"\nfrom = \"a@b.example\"\nto = [\"d@b.example\"]\n",
    );
    let send = |more: &[&str]| {
        let ran = run(&[&["report", "--config", &config, "--week", "2026-W41"], more].concat());
        assert_eq!(ran.code, Some(0), "{}{}", ran.err, ran.out);
        ran.out
    };
    let said = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| send(&["--send"]))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>()
    });
    let again = send(&["--send"]);
    assert!(again.contains("2026-W41 of the whole to finance: was sent before (first"), "{again}");
    assert!(again.contains("2026-W41 of lab to lab: was sent before"), "{again}");
    assert!(said.iter().any(|said| said.contains("finance: queued")), "{said:?}");
    let rows = tokio::runtime::Runtime::new().unwrap().block_on(letters(&db));
    assert_eq!(rows.len(), 2, "{said:?}");
    assert!(send(&["--resend", "--scope", "lab"]).contains("to lab: queued (again-1"));
    let part: Value = serde_json::from_str(&send(&["--scope", "lab", "--format", "json"])).unwrap();
    let whole: Value = serde_json::from_str(&send(&["--format", "json"])).unwrap();
    let rows = part.pointer("/deployments/rows").and_then(Value::as_array).unwrap();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.get("owner") == Some(&Value::from("lab"))), "{rows:#?}");
    assert!(
        number(&part, "/spend/total/cost_nano_usd") < number(&whole, "/spend/total/cost_nano_usd")
    );
    let networks = part.pointer("/slices/callers").and_then(Value::as_array).unwrap();
    assert!(
        networks.iter().all(|caller| caller.get("network") == Some(&Value::Null)),
        "hidden from teams"
    );
    let stranger = run(&["report", "--config", &config, "--scope", "nobody"]);
    assert_eq!(stranger.code, Some(2), "{}", stranger.err);
    let odd = run(&["report", "--db", &db, "--week", "2026-W60"]);
    assert_eq!(odd.code, Some(2), "{}", odd.err);
}
