//! A receiver that says it is gone for good, in the running service: nothing more is sent to it, and
//! the others hear of it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::incident::Severity;
use tokenwatch::notify::listener::Listener;
use tokenwatch::notify::{Body, Destination, EmlSettings, HttpSettings, WebhookSettings};
use tokenwatch::pipeline::{Service, Unwatched, wall_clock};
use tokenwatch::source::{Source, SourceError};
use tokenwatch::time::{ArrivalTime, HOUR_MS, MINUTE_MS};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::harness::{open, partition};

const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const START_MS: i64 = 1_791_244_800_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Ten costly minutes of one deployment, and time enough for them to be judged.
fn theft(deployment: &str, hour: i64) -> Batch {
    let at = |minute: i64| ArrivalTime(START_MS + hour * HOUR_MS + minute * MINUTE_MS);
    let arrival = |minute: i64| {
        let record = json!({
            "category": "RequestResponse",
            "correlationId": format!("{deployment}-{minute}"),
            "time": at(minute).to_string(),
            "resourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a",
            "callerIpAddress": "203.0.113.***",
            "resultSignature": "200",
            "properties": {
                "modelDeploymentName": deployment, "modelName": "gpt-4o",
                "promptTokens": 9_000_000, "completionTokens": 1,
            },
        });
        Arrival {
            partition: partition(0),
            sequence: hour * 100 + minute,
            enqueued: at(minute),
            body: record.to_string().into_bytes(),
        }
    };
    Batch {
        members: vec![partition(0)],
        arrivals: (0..10).map(arrival).collect(),
        idle: vec![(partition(0), at(120))],
        ..Batch::default()
    }
}

/// Mails in the folder that hold `text`.
fn mails(folder: &Path, text: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let read = entries.filter_map(|entry| std::fs::read(entry.ok()?.path()).ok());
    read.filter(|mail| String::from_utf8_lossy(mail).contains(text)).count()
}

/// Hands a batch over whenever what the one before caused has been sent.
struct Steps {
    left: VecDeque<Batch>,
    folder: PathBuf,
    /// What a mail must say before each batch, and before the end.
    expected: VecDeque<Option<&'static str>>,
}

impl Source for Steps {
    async fn next_batch(&mut self) -> Result<Option<Batch>, SourceError> {
        if let Some(Some(text)) = self.expected.front() {
            let waiting = async {
                while mails(&self.folder, text) == 0 {
                    sleep(Duration::from_millis(10)).await;
                }
                // The refusal of the same message is on its way.
                sleep(Duration::from_millis(300)).await;
            };
            assert!(timeout(PATIENCE, waiting).await.is_ok(), "no mail says {text}");
        }
        self.expected.pop_front();
        Ok(self.left.pop_front())
    }
}

#[tokio::test]
async fn the_others_hear_that_a_receiver_is_gone_and_it_hears_nothing_more() {
    let listener =
        Listener::start(([127, 0, 0, 1], 0).into(), &SecretString::from(SECRET)).await.unwrap();
    listener.reply_with(410);
    let folder = tempfile::tempdir().unwrap();
    let mailed = folder.path().join("mails");
    let hook = WebhookSettings {
        http: HttpSettings::new(&listener.url()),
        secret: SECRET.into(),
        previous_secret: None,
        body: Body::default(),
    };
    let eml = EmlSettings {
        folder: mailed.clone(),
        from: "tokenwatch@contoso.example".to_owned(),
        to: vec!["oncall@contoso.example".to_owned()],
    };
    let destinations = vec![
        Destination::new("siem", Severity::Info, hook),
        Destination::new("folder", Severity::Info, eml),
    ];
    let source = Steps {
        left: VecDeque::from([theft("first", 0), theft("second", 6), Batch::default()]),
        folder: mailed.clone(),
        expected: VecDeque::from([None, Some("a/first"), Some("a/second"), Some("TW-S05")]),
    };
    let core = open(folder.path().join("t.db").to_str().unwrap()).await;
    let service = Service::new(core, source, wall_clock()).telling(destinations);
    service.run(&CancellationToken::new(), &mut Unwatched).await.unwrap();
    assert_eq!(listener.deliveries().len(), 1, "it was called again");
    assert!(mails(&mailed, "a/second") >= 1);
    let about = mails(&mailed, "TW-S05");
    assert_eq!(about, 1, "mails about the receiver that is gone");
}
