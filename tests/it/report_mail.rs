//! The weekly report as it leaves: by the service and by the command, once, as a mail that reads well.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokenwatch::event::Batch;
use tokenwatch::notify::Destination;
use tokenwatch::pipeline::reports::{Maker, Wanted};
use tokenwatch::pipeline::{Service, Unwatched};
use tokenwatch::source::{Source, SourceError};
use tokenwatch::store::read::Reader;
use tokenwatch::store::report::Edition;
use tokenwatch::time::HOUR_MS;
use tokio_util::sync::CancellationToken;

use crate::harness::{self, Folder, arrivals, open, run};
use crate::report::{MONDAY_MS, WEEK_MS, feed, letters, mails, maker, number, options, week};

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
    assert!(body.contains("In-Reply-To: ") && body.contains("sent again"), "{}", body.len());
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
