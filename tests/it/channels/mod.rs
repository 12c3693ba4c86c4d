//! Every channel of the table against the same cases, through its table of the configuration and
//! the code that sends real alerts.

mod counterpart;
mod demands;
pub(crate) mod said;

use std::path::Path;
use std::time::Duration;

use tokenwatch::config::{CHANNELS, look_up, parse};
use tokenwatch::incident::Kind;
use tokenwatch::notify::deliver::{self, Next, SEND_MAX};
use tokenwatch::notify::{Channel, Destination, Notification, SendError, render, render_digest};

use crate::harness::{self, Folder};
use crate::rest_server;
use counterpart::{BEARER, Counterpart, Fault, ROUTING_KEY, SECRET_PATH, WHSEC};
use said::{announcement, digest, hostile_texts, huge};

/// Any time will do.
const NOW_S: i64 = 1_795_500_000;
/// The rest of a configuration.
const HUB: &str = "[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n";

/// A channel, its receiver and the folder of its files.
struct Bench {
    word: &'static str,
    counterpart: Counterpart,
    destination: Destination,
    channel: Box<dyn Channel>,
    file: String,
}

impl Bench {
    async fn new(word: &'static str, folder: &Folder) -> Self {
        let path = folder.path(word);
        std::fs::create_dir(&path).unwrap();
        let counterpart = Counterpart::start(word, Path::new(&path)).await;
        let counterpart = counterpart.ok_or(format!("{word} is in the table, not in the suite"));
        let counterpart = counterpart.unwrap();
        let text = format!("{HUB}{}", counterpart.table);
        let file = folder.write(&format!("{word}.toml"), text.as_bytes());
        let parsed = parse(&text, &file, &look_up).map_err(|problems| problems.to_string());
        let destination = parsed.unwrap().destinations.remove(0);
        let channel = destination.connect().unwrap();
        assert_eq!(destination.settings.word(), word);
        Self { word, counterpart, destination, channel, file }
    }

    /// Every channel of the table, each with its receiver.
    async fn all(folder: &Folder) -> Vec<Self> {
        let mut all = Vec::new();
        for kind in CHANNELS {
            all.push(Self::new(kind.word, folder).await);
        }
        all
    }

    /// A new channel, as after a start.
    fn restart(&mut self) {
        self.channel = self.destination.connect().unwrap();
    }

    fn opened(&self) -> Notification {
        let to = std::slice::from_ref(&self.destination);
        render(&announcement(Kind::Open), to).unwrap().remove(0)
    }

    async fn attempt(&self, notification: &Notification, now_s: i64) -> Result<(), SendError> {
        deliver::attempt(&*self.channel, notification, now_s).await.result
    }

    /// Sends once to a receiver that never answers; time is moved on instead of waited for.
    async fn attempt_in_vain(&self, notification: &Notification) -> Result<(), SendError> {
        let mut attempt = Box::pin(self.attempt(notification, NOW_S));
        tokio::select! {
            result = &mut attempt => return result,
            () = self.counterpart.arrived() => {}
        }
        tokio::time::pause();
        tokio::time::advance(SEND_MAX + Duration::from_millis(1)).await;
        let result = attempt.await;
        tokio::time::resume();
        result
    }

    /// What the manual's matrix says of one attempt that ended like this.
    fn verdict(result: &Result<(), SendError>) -> String {
        match result {
            Ok(()) => "taken".to_owned(),
            Err(SendError::Retry { after_ms: None, .. }) => "again".to_owned(),
            Err(SendError::Retry { after_ms: Some(ms), .. }) => {
                format!("again after {} s", ms / 1000)
            }
            Err(SendError::GiveUp { .. }) => "5 times, then given up".to_owned(),
            Err(SendError::Gone { .. }) => "given up".to_owned(),
        }
    }
}

/// Runs `body` where tokens of Azure can be had.
async fn with_tokens(test: &str, body: impl AsyncFnOnce()) {
    let test = format!("channels::{test}");
    rest_server::trusted(&test, "https://monitor.azure.com", async |_| body().await).await;
}

#[tokio::test]
async fn every_channel_does_with_every_fault_what_the_manual_says() {
    with_tokens("every_channel_does_with_every_fault_what_the_manual_says", async || {
        let folder = Folder::new();
        let mut rows = Vec::new();
        for mut bench in Bench::all(&folder).await {
            let mut row = vec![bench.word.to_owned()];
            for (_, fault) in Fault::ALL {
                bench.restart();
                let known = bench.counterpart.set(bench.word, fault);
                let result = match (known, fault) {
                    (false, _) => {
                        row.push("-".to_owned());
                        continue;
                    }
                    (true, Fault::Hang) => bench.attempt_in_vain(&bench.opened()).await,
                    (true, _) => bench.attempt(&bench.opened(), NOW_S).await,
                };
                row.push(Bench::verdict(&result));
            }
            rows.push(row);
        }
        let headings = Fault::ALL.iter().map(|(heading, _)| *heading);
        let head: Vec<_> = std::iter::once("channel").chain(headings).collect();
        let lines = rows.iter().map(|row| format!("| `{}` | {} |", row[0], row[1..].join(" | ")));
        let matrix = format!(
            "| {} |\n|{}\n{}\n",
            head.join(" | "),
            "---|".repeat(head.len()),
            lines.collect::<Vec<_>>().join("\n")
        );
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/channels.md");
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains(&matrix), "docs/channels.md must hold\n{matrix}");
    })
    .await;
}

#[tokio::test]
async fn a_message_that_failed_comes_again_with_the_same_bytes_and_key() {
    with_tokens("a_message_that_failed_comes_again_with_the_same_bytes_and_key", async || {
        let folder = Folder::new();
        for bench in Bench::all(&folder).await {
            let sent = bench.opened();
            bench.counterpart.set(bench.word, Fault::Busy);
            for _ in 0..2 {
                let error = bench.attempt(&sent, NOW_S).await.unwrap_err();
                assert!(matches!(error, SendError::Retry { .. }), "{}: {error}", bench.word);
            }
            bench.counterpart.set(bench.word, Fault::None);
            assert_eq!(bench.attempt(&sent, NOW_S + 60).await, Ok(()), "{}", bench.word);
            let first = bench.counterpart.taken();
            // Its answer was lost: the same again.
            assert_eq!(bench.attempt(&sent, NOW_S + 120).await, Ok(()), "{}", bench.word);
            assert_eq!(bench.counterpart.taken(), first, "{}", bench.word);
            let [message] = first.as_slice() else { unreachable!("{}: {first:?}", bench.word) };
            let shown = match bench.word {
                "pagerduty" => "trigger TW-C01|aif-contoso-prod/chat-prod|3|9f2c61d0a4",
                "slack" | "teams" => sent.key.get(..8).unwrap(),
                _ => &sent.key,
            };
            assert_eq!(message.key, shown, "{}", bench.word);
        }
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_is_left_alone_for_it() {
    with_tokens("a_receiver_that_asks_for_time_is_left_alone_for_it", async || {
        let folder = Folder::new();
        let mut asked = 0;
        for bench in Bench::all(&folder).await {
            if !bench.counterpart.set(bench.word, Fault::Asked) {
                continue;
            }
            asked += 1;
            let sent = bench.opened();
            let error = bench.attempt(&sent, NOW_S).await.unwrap_err();
            let next = deliver::next(1, 0, &error, &sent.key);
            assert_eq!(next, Next::Again { delay_ms: 90_000 }, "{}", bench.word);
            bench.counterpart.set(bench.word, Fault::None);
            let before = bench.counterpart.attempts();
            let early = bench.attempt(&sent, NOW_S + 60).await;
            assert!(matches!(early, Err(SendError::Retry { .. })), "{}: {early:?}", bench.word);
            assert_eq!(bench.counterpart.attempts(), before, "{} was not left alone", bench.word);
            assert_eq!(bench.attempt(&sent, NOW_S + 91).await, Ok(()), "{}", bench.word);
        }
        assert!(asked >= 6, "{asked}");
    })
    .await;
}

#[tokio::test]
async fn hostile_and_huge_incidents_stay_within_the_limits_of_every_receiver() {
    with_tokens(
        "hostile_and_huge_incidents_stay_within_the_limits_of_every_receiver",
        async || {
            let folder = Folder::new();
            for mut bench in Bench::all(&folder).await {
                let destination = bench.destination.clone();
                let to = std::slice::from_ref(&destination);
                let mut heard = 0;
                for kind in Kind::ALL {
                    let texts = hostile_texts();
                    let hostile = texts.iter().map(|text| huge(kind, text));
                    for told in std::iter::once(announcement(kind)).chain(hostile) {
                        let sent = render(&told, to).unwrap();
                        assert_eq!(sent, render(&told, to).unwrap());
                        for sent in sent {
                            heard += 1;
                            bounded(&mut bench, &sent).await;
                        }
                    }
                }
                assert!(heard >= 6 * (1 + hostile_texts().len()), "{}: {heard}", bench.word);
                let kinds = || Kind::ALL.into_iter().cycle();
                let many = digest(kinds().take(200).map(announcement).collect(), "many");
                let texts = hostile_texts();
                let hostile = texts.iter().map(|text| {
                    digest(kinds().take(9).map(|kind| huge(kind, text)).collect(), text)
                });
                for told in std::iter::once(many).chain(hostile) {
                    let sent = render_digest(&told, &destination).unwrap();
                    assert_eq!(sent, render_digest(&told, &destination).unwrap());
                    bounded(&mut bench, &sent).await;
                }
            }
        },
    )
    .await;
}

/// Sends and lets the receiver judge.
async fn bounded(bench: &mut Bench, sent: &Notification) {
    if bench.word == "slack" {
        // A new channel knows nothing of the last message, which it would keep a distance from.
        bench.restart();
    }
    let result = bench.attempt(sent, NOW_S).await;
    let taken = bench.counterpart.taken();
    assert_eq!((result, taken.len()), (Ok(()), 1), "{} {:?}", bench.word, sent.kind);
}

#[tokio::test]
async fn kinds_that_a_receiver_can_do_nothing_with_are_not_sent() {
    let folder = Folder::new();
    for bench in Bench::all(&folder).await {
        let to = std::slice::from_ref(&bench.destination);
        let heard = Kind::ALL.map(|kind| render(&announcement(kind), to).unwrap().len());
        let deaf = Kind::ALL.into_iter().zip(heard).filter(|(_, heard)| *heard == 0);
        let deaf: Vec<_> = deaf.map(|(kind, _)| kind).collect();
        let expected: &[Kind] = match bench.word {
            "alertmanager" => &[Kind::Acknowledge],
            _ => &[],
        };
        assert_eq!(deaf, expected, "{}", bench.word);
    }
}

#[tokio::test]
async fn the_manual_lists_the_columns_of_sentinel() {
    let folder = Folder::new();
    let bench = Bench::new("sentinel", &folder).await;
    let rows: serde_json::Value = serde_json::from_slice(&bench.opened().body).unwrap();
    let row = rows[0].as_object().unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/channels.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, listed) = page.split_once("## Columns of Sentinel").unwrap();
    let listed: Vec<_> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap().to_owned()))
        .collect();
    let mut names: Vec<_> = listed.iter().map(|(name, _)| name).collect();
    names.sort();
    let mut columns: Vec<_> = row.keys().collect();
    columns.sort();
    assert_eq!(names, columns);
    for (name, kind) in &listed {
        let value = &row[name];
        let fits = match kind.as_str() {
            "string" => value.is_string() || value.is_null(),
            "datetime" => value.is_null() || value.as_str().unwrap().ends_with('Z'),
            "real" => value.is_number() || value.is_null(),
            "dynamic" => value.is_array(),
            _ => false,
        };
        assert!(fits, "{name} is no {kind}: {value}");
    }
}

#[tokio::test]
async fn one_alert_of_pagerduty_lives_from_trigger_to_resolve() {
    let folder = Folder::new();
    let bench = Bench::new("pagerduty", &folder).await;
    let mut actions = Vec::new();
    for kind in Kind::ALL {
        let sent = render(&announcement(kind), std::slice::from_ref(&bench.destination)).unwrap();
        for sent in sent {
            assert_eq!(bench.attempt(&sent, NOW_S).await, Ok(()));
        }
        for message in bench.counterpart.taken() {
            let (action, key) = message.key.split_once(' ').unwrap();
            assert_eq!(key, announcement(kind).incident.key);
            actions.push((kind.word(), action.to_owned()));
        }
    }
    let said: Vec<_> = actions.iter().map(|(kind, action)| format!("{kind}: {action}")).collect();
    assert_eq!(
        said.join(", "),
        "open: trigger, escalate: trigger, reopen: trigger, acknowledge: acknowledge, \
         repeat: trigger, resolve: resolve, test: trigger"
    );
}

#[tokio::test(start_paused = true)]
async fn slack_is_told_one_message_a_second() {
    let folder = Folder::new();
    let bench = Bench::new("slack", &folder).await;
    let began = tokio::time::Instant::now();
    for nth in 0..4 {
        let sent = bench.opened();
        // A paused clock may run ahead while the answer is on its way; never backwards.
        drop(bench.channel.send(&sent, NOW_S).await);
        assert!(began.elapsed() >= Duration::from_secs(nth), "{nth}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_test_alert_takes_the_same_way_as_a_real_one() {
    with_tokens("a_test_alert_takes_the_same_way_as_a_real_one", async || {
        let folder = Folder::new();
        for bench in Bench::all(&folder).await {
            let file = bench.file.clone();
            let run = tokio::task::spawn_blocking(move || {
                harness::run(&["test-alert", "--config", &file, "--destination", "to"])
            });
            let ran = run.await.unwrap();
            assert_eq!(ran.code, Some(0), "{}: {}{}", bench.word, ran.out, ran.err);
            assert_eq!(ran.out, "to: delivered\n");
            // Whatever a real alert must satisfy was asked of this one too.
            assert_eq!(bench.counterpart.taken().len(), 1, "{}", bench.word);
        }
    })
    .await;
}

#[tokio::test]
async fn secrets_are_seen_by_the_receiver_alone() {
    with_tokens("secrets_are_seen_by_the_receiver_alone", async || {
        let folder = Folder::new();
        for mut bench in Bench::all(&folder).await {
            let sent = bench.opened();
            let mut said = format!("{:?} {:?}", bench.destination, bench.channel);
            said.push_str(&String::from_utf8_lossy(&sent.body));
            for (_, fault) in Fault::ALL.into_iter().filter(|(_, fault)| *fault != Fault::Hang) {
                bench.counterpart.set(bench.word, fault);
                bench.restart();
                let result = bench.attempt(&sent, NOW_S).await;
                said.push_str(&format!("{result:?} {:?}", bench.channel));
            }
            for command in ["check", "test-alert"] {
                let file = bench.file.clone();
                let run = tokio::task::spawn_blocking(move || {
                    harness::run(&[command, "--config", &file])
                });
                let ran = run.await.unwrap();
                said.push_str(&format!("{}{}", ran.out, ran.err));
            }
            let hidden = [SECRET_PATH, "hidden", ROUTING_KEY, BEARER, WHSEC, rest_server::TOKEN];
            for secret in hidden {
                let seen = said.find(secret).map(|at| said.get(at.saturating_sub(100)..at + 50));
                assert_eq!(seen, None, "{} shows {secret}", bench.word);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_is_away_is_tried_again() {
    with_tokens("a_receiver_that_is_away_is_tried_again", async || {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let closed = listener.local_addr().unwrap().port();
        drop(listener);
        let folder = Folder::new();
        for bench in Bench::all(&folder).await.iter().filter(|bench| bench.word != "eml") {
            let table = &bench.counterpart.table;
            let port =
                |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
            let text = format!("{HUB}{table}");
            let open = text.split_once("127.0.0.1:").map(|(_, rest)| port(rest));
            let moved = match open.or_else(|| Some(port(text.split_once("port = ")?.1))) {
                Some(open) => text.replace(&open, &closed.to_string()),
                // The address is a secret and stands in a file.
                None => {
                    let secret = folder.path(&format!("{0}/{0}-url", bench.word));
                    let url = std::fs::read_to_string(&secret).unwrap();
                    let open = port(url.split_once("127.0.0.1:").unwrap().1);
                    std::fs::write(secret, url.replace(&open, &closed.to_string())).unwrap();
                    text
                }
            };
            let parsed = parse(&moved, &bench.file, &look_up).map_err(|wrong| wrong.to_string());
            let channel = parsed.unwrap().destinations.remove(0).connect().unwrap();
            let result = deliver::attempt(&*channel, &bench.opened(), NOW_S).await.result;
            let Err(SendError::Retry { reason, .. }) = result else {
                unreachable!("{}: {result:?}", bench.word)
            };
            assert!(!reason.contains("hidden"), "{reason}");
        }
    })
    .await;
}
