//! A scripted receiver for each channel: takes what its protocol allows, keeps it, and fails as told.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::demands::{self, Demand};
use crate::rest_server::{Reply, Request, serve};

/// How a receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It takes what is well formed.
    None,
    /// It cannot now.
    Busy,
    /// It cannot for the next 90 s, and says so.
    Asked,
    /// It never will.
    Refused,
    /// It wants nothing any more.
    Gone,
    /// It says nothing.
    Hang,
}

impl Fault {
    /// Every fault with the heading of its column in the manual.
    pub(crate) const ALL: [(&str, Self); 6] = [
        ("takes it", Self::None),
        ("busy", Self::Busy),
        ("asks for time", Self::Asked),
        ("refuses", Self::Refused),
        ("is gone", Self::Gone),
        ("hangs", Self::Hang),
    ];
}

/// One message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// As the receiver got it, without what belongs to one attempt.
    pub(crate) bytes: Vec<u8>,
    /// What the receiver recognises a repetition by, or as much of it as the protocol shows.
    pub(crate) key: String,
}

/// Secrets that a channel is given; none may be seen anywhere else.
pub(crate) const SECRET_PATH: &str = "services/T00/B00/hidden-in-the-path";
pub(crate) const ROUTING_KEY: &str = "hiddenroutingkey0123456789abcdef";
pub(crate) const BEARER: &str = "hidden-bearer-token";
pub(crate) const WHSEC: &str = "whsec_aGlkZGVuIGhpZGRlbiBoaWRkZW4gaGlkZGVuIGhpZGRlbiE=";

#[derive(Default)]
struct Shared {
    fault: Mutex<Option<Fault>>,
    taken: Mutex<Vec<Message>>,
    /// Why something was not taken that should have been.
    complaints: Mutex<Vec<String>>,
    attempts: AtomicUsize,
    arrived: Notify,
}

impl Shared {
    fn fault(&self) -> Fault {
        self.fault.lock().unwrap().unwrap_or(Fault::None)
    }

    fn arrive(&self) {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        self.arrived.notify_one();
    }

    /// Keeps what is well formed.
    fn take(&self, judged: Result<Message, String>) -> bool {
        match judged {
            Ok(message) => self.taken.lock().unwrap().push(message),
            Err(complaint) => {
                self.complaints.lock().unwrap().push(complaint);
                return false;
            }
        }
        true
    }
}

/// A receiver and the table of the configuration that leads to it.
pub(crate) struct Counterpart {
    pub(crate) table: String,
    shared: Arc<Shared>,
    /// Where mails are written, for the channel that writes them.
    folder: Option<PathBuf>,
}

impl Counterpart {
    /// The receiver of the channel `word`; `None` when this suite has none for it.
    pub(crate) async fn start(word: &str, folder: &Path) -> Option<Self> {
        let shared = Arc::new(Shared::default());
        let secret = |name: &str, value: &str| {
            let path = folder.join(format!("{word}-{name}"));
            std::fs::write(&path, value).unwrap();
            format!("{{ file = {:?} }}", path.to_str().unwrap())
        };
        let table = match word {
            "email" => {
                let port = smtp(Arc::clone(&shared)).await;
                format!("host = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n{ADDRESSES}")
            }
            "eml" => format!("folder = {:?}\n{ADDRESSES}", folder.join("mails").to_str().unwrap()),
            "webhook" => {
                let url = http(&shared, demands::webhook).await;
                let url = format!("{url}/{SECRET_PATH}");
                format!("url = {url:?}\nsecret = {}\n", secret("secret", WHSEC))
            }
            "slack" => {
                let url = http(&shared, demands::slack).await;
                format!("url = {}\n", secret("url", &format!("{url}/{SECRET_PATH}")))
            }
            "teams" => {
                let url = http(&shared, demands::teams).await;
                format!("url = {}\n", secret("url", &format!("{url}/{SECRET_PATH}?sig=hidden")))
            }
            "pagerduty" => {
                let url = http(&shared, demands::pagerduty).await;
                format!("url = {url:?}\nrouting_key = {}\n", secret("key", ROUTING_KEY))
            }
            "alertmanager" => {
                let url = http(&shared, demands::alertmanager).await;
                format!("url = {url:?}\ntoken = {}\n", secret("token", BEARER))
            }
            "sentinel" => {
                let url = http(&shared, demands::sentinel).await;
                format!("url = {url:?}\nrule = {:?}\nstream = \"Custom-T\"\n", demands::RULE)
            }
            _ => return None,
        };
        let table = format!("[[notify.{word}]]\nname = \"to\"\nmin_severity = \"info\"\n{table}");
        let folder = (word == "eml").then(|| folder.join("mails"));
        Some(Self { table, shared, folder })
    }

    /// Answers like this from now on; false when its protocol cannot.
    pub(crate) fn set(&self, word: &str, fault: Fault) -> bool {
        *self.shared.fault.lock().unwrap() = Some(fault);
        if let Some(folder) = &self.folder {
            // A file where the folder should be.
            drop(std::fs::remove_dir_all(folder));
            drop(std::fs::remove_file(folder));
            if fault == Fault::Busy {
                std::fs::write(folder, "").unwrap();
            }
        }
        match word {
            "eml" => matches!(fault, Fault::None | Fault::Busy),
            "email" => !matches!(fault, Fault::Asked | Fault::Gone),
            _ => true,
        }
    }

    /// What was taken since the last call. Fails when anything was not as its protocol asks.
    #[track_caller]
    pub(crate) fn taken(&self) -> Vec<Message> {
        assert_eq!(*self.shared.complaints.lock().unwrap(), [""; 0]);
        let Some(folder) = &self.folder else {
            return std::mem::take(&mut self.shared.taken.lock().unwrap());
        };
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let message = |path: PathBuf| {
            let key = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            let Message { key: inside, bytes } = demands::mail(bytes).unwrap();
            assert_eq!(inside, key);
            Message { bytes, key }
        };
        files.map(message).collect()
    }

    /// Requests and connections so far, whatever became of them.
    pub(crate) fn attempts(&self) -> usize {
        self.shared.attempts.load(Ordering::SeqCst)
    }

    /// Waits for the next request or connection.
    pub(crate) async fn arrived(&self) {
        self.shared.arrived.notified().await;
    }
}

const ADDRESSES: &str = "from = \"tokenwatch <a@contoso.example>\"\nto = [\"b@contoso.example\"]\n";

/// Serves one protocol of HTTP; its address without a path.
async fn http(shared: &Arc<Shared>, demand: Demand) -> String {
    let shared = Arc::clone(shared);
    let answer = move |request: &Request| {
        shared.arrive();
        let plain = |status: u16, more: &str, body: &str| {
            Reply::Answer(status, more.to_owned(), body.as_bytes().to_vec())
        };
        match shared.fault() {
            Fault::None => match shared.take(demand(request)) {
                true => plain(202, "", "ok"),
                false => plain(400, "", "not as it should be"),
            },
            Fault::Busy => plain(503, "", "busy"),
            Fault::Asked => plain(429, "retry-after: 90\r\n", "slow down"),
            Fault::Refused => plain(403, "", "no"),
            Fault::Gone => plain(410, "", "gone"),
            Fault::Hang => Reply::Hang,
        }
    };
    format!("http://127.0.0.1:{}", serve(None, Arc::new(answer)).await)
}

/// Serves as much of SMTP as a client needs to hand over one message; its port.
async fn smtp(shared: Arc<Shared>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move { conversation(stream, &shared).await });
        }
    });
    port
}

async fn conversation(stream: TcpStream, shared: &Shared) -> Option<()> {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading);
    shared.arrive();
    if shared.fault() == Fault::Hang {
        return std::future::pending().await;
    }
    writing.write_all(b"220 localhost ESMTP\r\n").await.ok()?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let word = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer = match word.as_str() {
            "DATA" => {
                writing.write_all(b"354 go on\r\n").await.ok()?;
                let message = data(&mut lines).await?;
                match shared.fault() {
                    Fault::None if shared.take(demands::mail(message)) => "250 2.0.0 kept\r\n",
                    Fault::Busy => "451 4.3.0 later\r\n",
                    Fault::None | Fault::Asked | Fault::Refused | Fault::Gone | Fault::Hang => {
                        "554 5.7.1 no\r\n"
                    }
                }
            }
            "QUIT" => "221 bye\r\n",
            _ => "250 fine\r\n",
        };
        writing.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// The message up to the line of one dot, dots unstuffed (RFC 5321, 4.5.2).
async fn data(lines: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(message);
        }
        let stuffed = usize::from(line.starts_with(b"."));
        message.extend_from_slice(line.get(stuffed..)?);
    }
}
