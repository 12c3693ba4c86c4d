//! Names of Entra object ids, asked of Microsoft Graph beside the path of the records.
//!
//! Whoever wants a name asks and goes on; what is known by then is there to be read. Names are kept
//! in a small file for a week, and that there is none for a day. Nothing here delays an alert or
//! ends the service: an id that cannot be resolved stays an id.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Client, Clock, Identity, Pace, Pauses, RestError, Service};
use crate::decode::field::{Fields, elements};
use crate::decode::text;
use crate::time::DAY_MS;

/// Ids in one question: the most Graph takes.
const MAX_IDS: usize = 1_000;
/// Ids that wait for an answer; later ones are asked for when they are wanted again.
const MAX_WANTED: usize = 10_000;
/// Names kept; the oldest go first.
const MAX_KEPT: usize = 100_000;
/// Largest file of names that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// How long a name holds, and how long it holds that there is none.
const NAMED_MS: i64 = 7 * DAY_MS;
const NAMELESS_MS: i64 = DAY_MS;
/// Audience of tokens in the public cloud.
const PUBLIC: &str = "https://graph.microsoft.com";

/// Names by object id in lower case.
pub type NamesById = BTreeMap<String, String>;

/// Where names come from and are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySettings {
    /// `https://graph.microsoft.com`, or that of another cloud.
    pub endpoint: Url,
    /// Who we are.
    pub identity: Identity,
    /// File in which names outlive the process.
    pub file: PathBuf,
}

impl DirectorySettings {
    /// What tokens are for: the cloud of the endpoint.
    fn scope(&self) -> String {
        let host = self.endpoint.host_str().unwrap_or_default();
        if host.starts_with("graph.microsoft.") || host.starts_with("microsoftgraph.") {
            return format!("https://{host}/.default");
        }
        format!("{PUBLIC}/.default")
    }
}

/// Resolves ids until dropped or closed.
pub struct Directory {
    wanted: Arc<Wanted>,
    names: watch::Receiver<Arc<NamesById>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Directory {
    /// Starts with what the file holds. Returns at once.
    #[must_use]
    pub fn start(settings: DirectorySettings, pace: Pace, clock: Clock) -> Self {
        let wanted = Arc::new(Wanted::default());
        let (tell, names) = watch::channel(Arc::default());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let resolver = Resolver {
            kept: Kept::default(),
            wanted: Arc::clone(&wanted),
            told: BTreeSet::new(),
            settings,
            pace,
            clock,
            tell,
        };
        let stopped = stop.clone();
        tasks.spawn(async move { stopped.run_until_cancelled(resolver.run()).await });
        Self { wanted, names, stop, tasks }
    }

    /// Asks for the names of these ids, in any letter case. Never waits; beyond ten thousand that
    /// have no answer yet, ids are forgotten until somebody asks for them again.
    pub fn ask<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        let ids = ids.into_iter().map(text::id).filter(|id| is_object_id(id));
        self.wanted.add(ids);
    }

    /// All names known, when they are others than at the last call.
    pub fn news(&mut self) -> Option<Arc<NamesById>> {
        if !self.names.has_changed().unwrap_or(false) {
            return None;
        }
        Some(Arc::clone(&self.names.borrow_and_update()))
    }

    /// Ends it; a question under way is given up.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Ids without an answer yet.
#[derive(Default)]
struct Wanted {
    ids: Mutex<BTreeSet<String>>,
    more: Notify,
}

impl Wanted {
    fn add(&self, new: impl Iterator<Item = String>) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        for id in new {
            if ids.len() < MAX_WANTED {
                ids.insert(id);
            }
        }
        if !ids.is_empty() {
            self.more.notify_one();
        }
    }

    /// The first ids of which `holds` says that they are really wanted; the others go.
    fn first(&self, most: usize, holds: impl Fn(&str) -> bool) -> Vec<String> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.retain(|id| holds(id));
        ids.iter().take(most).cloned().collect()
    }

    fn remove(&self, id: &str) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// The file beside a database that names are kept in.
#[must_use]
pub fn file_of(database: &Path) -> PathBuf {
    let mut file = database.as_os_str().to_owned();
    file.push(".names.json");
    file.into()
}

/// Forgets what was said of some ids; true when the file named any of them.
///
/// # Errors
/// The file is there and cannot be read or written.
pub fn forget(file: &Path, ids: &[String]) -> std::io::Result<bool> {
    let mut kept = Kept::read(file).map_err(std::io::Error::other)?;
    let before = kept.0.len();
    kept.0.retain(|known, _| !ids.iter().any(|id| id.eq_ignore_ascii_case(known)));
    if kept.0.len() == before {
        return Ok(false);
    }
    kept.write(file).map(|()| true)
}

/// What is known of one id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// `None`: the directory has no such object, or does not say its name.
    name: Option<String>,
    /// When that was said, in milliseconds since 1970.
    at_ms: i64,
}

impl Entry {
    const fn holds(&self, now_ms: i64) -> bool {
        let for_ms = if self.name.is_some() { NAMED_MS } else { NAMELESS_MS };
        now_ms.saturating_sub(self.at_ms) < for_ms
    }
}

/// Everything known, by id.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Kept(BTreeMap<String, Entry>);

impl Kept {
    fn holds(&self, id: &str, now_ms: i64) -> bool {
        self.0.get(id).is_some_and(|entry| entry.holds(now_ms))
    }

    fn names(&self) -> NamesById {
        let named = self.0.iter().filter_map(|(id, entry)| Some((id, entry.name.as_ref()?)));
        named.map(|(id, name)| (id.clone(), name.clone())).collect()
    }

    /// Drops the oldest beyond what is kept.
    fn bound(&mut self, most: usize) {
        let Some(over) = self.0.len().checked_sub(most).filter(|over| *over > 0) else { return };
        let mut ages: Vec<(i64, String)> =
            self.0.iter().map(|(id, entry)| (entry.at_ms, id.clone())).collect();
        ages.sort_unstable();
        for (_, id) in ages.into_iter().take(over) {
            self.0.remove(&id);
        }
    }

    /// What a file of ours holds; others may have written to it.
    fn read(path: &Path) -> Result<Self, String> {
        let length = match std::fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(error.to_string()),
        };
        if length > MAX_FILE_BYTES {
            return Err(format!("it is larger than {MAX_FILE_BYTES} bytes"));
        }
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        let read: Self = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        let clean = |(id, mut entry): (String, Entry)| {
            entry.name = entry.name.as_deref().and_then(cleaned);
            is_object_id(&id).then_some((id, entry))
        };
        let mut kept = Self(read.0.into_iter().filter_map(clean).collect());
        kept.bound(MAX_KEPT);
        Ok(kept)
    }

    /// Puts the file there as a whole or not at all, for nobody else to read.
    fn write(&self, path: &Path) -> std::io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        let mut writer = BufWriter::new(&file);
        serde_json::to_writer(&mut writer, self)?;
        writer.flush()?;
        drop(writer);
        file.persist(path)?;
        Ok(())
    }
}

/// Whether ids may be left to ask for.
enum Left {
    Nothing,
    More,
}

/// The task behind a [`Directory`].
struct Resolver {
    settings: DirectorySettings,
    pace: Pace,
    clock: Clock,
    tell: watch::Sender<Arc<NamesById>>,
    kept: Kept,
    wanted: Arc<Wanted>,
    /// What was said once, so that it is not said again.
    told: BTreeSet<String>,
}

impl Resolver {
    async fn run(mut self) {
        let path = self.settings.file.clone();
        let read = tokio::task::spawn_blocking(move || Kept::read(&path)).await;
        match read {
            Ok(Ok(kept)) => self.kept = kept,
            Ok(Err(reason)) => {
                tracing::warn!(reason, "the file of names cannot be read; it begins anew");
            }
            Err(error) => tracing::error!(%error, "the file of names was not read"),
        }
        self.publish();
        let (mut client, mut pauses) = (None, Pauses::new(&self.pace));
        loop {
            self.wanted.more.notified().await;
            // Those that are named together come together.
            let mut pause = self.pace.distance * 5;
            loop {
                sleep(pause).await;
                match self.resolve(&mut client).await {
                    Ok(Left::Nothing) => {
                        pauses = Pauses::new(&self.pace);
                        break;
                    }
                    Ok(Left::More) => (pauses, pause) = (Pauses::new(&self.pace), Duration::ZERO),
                    Err(error) => {
                        pause = pauses.after(&error);
                        self.say(&format!("cannot ask the directory for names: {error}"));
                    }
                }
            }
        }
    }

    /// One question about the first ids that are wanted.
    async fn resolve(&mut self, client: &mut Option<Client>) -> Result<Left, RestError> {
        let now_ms = (self.clock)();
        let ids = self.wanted.first(MAX_IDS, |id| !self.kept.holds(id, now_ms));
        if ids.is_empty() {
            return Ok(Left::Nothing);
        }
        let client = match client {
            Some(client) => client,
            None => client.insert(self.client()?),
        };
        let types = ["user", "servicePrincipal", "group"];
        let body = serde_json::json!({ "ids": ids, "types": types }).to_string().into_bytes();
        let answer = client.post("/v1.0/directoryObjects/getByIds", &[], body).await?;
        let found = Found::read(&answer)
            .ok_or_else(|| RestError::Passing("the answer is not as documented".to_owned()))?;
        if found.nameless > 0 {
            self.say(
                "the directory gives ids without names: does the identity have the application \
                 permission Directory.Read.All of Microsoft Graph?",
            );
        }
        let at_ms = (self.clock)();
        for id in ids {
            let name = found.names.get(&id).cloned();
            if name.is_some() || found.is_whole {
                self.kept.0.insert(id.clone(), Entry { name, at_ms });
            }
            self.wanted.remove(&id);
        }
        self.kept.bound(MAX_KEPT);
        self.publish();
        let file = self.settings.file.clone();
        // Small enough not to hold anything up: at most some megabytes, once in a while.
        if let Err(error) = self.kept.write(&file) {
            self.say(&format!("cannot keep names in {}: {error}", file.display()));
        }
        Ok(Left::More)
    }

    fn client(&self) -> Result<Client, RestError> {
        let service = Service {
            base: self.settings.endpoint.clone(),
            scope: self.settings.scope(),
            identity: self.settings.identity.clone(),
            needs: "the application permission Directory.Read.All of Microsoft Graph",
        };
        Client::new(service, self.pace, Arc::clone(&self.clock))
    }

    fn publish(&self) {
        let names = self.kept.names();
        self.tell.send_if_modified(|known| {
            let differs = **known != names;
            if differs {
                *known = Arc::new(names);
            }
            differs
        });
    }

    /// Logs what has not been logged yet.
    fn say(&mut self, what: &str) {
        const MAX_TOLD: usize = 100;
        if self.told.len() < MAX_TOLD && self.told.insert(what.to_owned()) {
            tracing::warn!("{what}");
        }
    }
}

/// What an answer says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    names: NamesById,
    /// Objects that are there and whose names we may not see.
    nameless: usize,
    /// Whether what is not in the answer is not in the directory.
    is_whole: bool,
}

impl Found {
    /// Reads an answer; `None` when it is something else or cut off.
    fn read(answer: &[u8]) -> Option<Self> {
        let answer = Fields::read(std::str::from_utf8(answer).ok()?)?;
        let list = answer.raw("value")?.get();
        let is_whole = answer.raw("@odata.nextLink").is_none();
        let mut found = Self { is_whole, ..Self::default() };
        elements(list, MAX_IDS, &mut |object| {
            let Some(object) = Fields::read(object) else { return };
            let id = text::id(&object.text("id").unwrap_or_default());
            if !is_object_id(&id) {
                return;
            }
            match name_of(&object) {
                Some(name) => drop(found.names.insert(id, name)),
                None => found.nameless += 1,
            }
        })?;
        Some(found)
    }
}

/// An object's name with what tells it from others: a user's sign-in name, or what it is.
fn name_of(object: &Fields<'_>) -> Option<String> {
    let text = |name| object.text(name).and_then(|text| cleaned(&text));
    let kind = object.text("@odata.type").unwrap_or_default();
    let (name, more) = match kind.as_ref() {
        "#microsoft.graph.servicePrincipal" => {
            (text("displayName").or_else(|| text("appDisplayName")), Some("application".to_owned()))
        }
        "#microsoft.graph.group" => (text("displayName"), Some("group".to_owned())),
        _ => (text("displayName"), text("userPrincipalName")),
    };
    match (name, more) {
        (Some(name), Some(more)) if name != more => cleaned(&format!("{name} ({more})")),
        (None, Some(more)) if more.contains('@') => Some(more),
        (name, _) => name,
    }
}

/// A name as it may be shown; `None` when nothing is left.
fn cleaned(name: &str) -> Option<String> {
    let name = text::clean(name, text::MAX_NAME_CHARS);
    (!name.is_empty()).then_some(name)
}

/// True for a GUID in lower case.
fn is_object_id(id: &str) -> bool {
    let is_dash = |at| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, byte): (usize, u8)| match byte {
        b'-' => is_dash(at),
        b'0'..=b'9' | b'a'..=b'f' => !is_dash(at),
        _ => false,
    };
    id.len() == 36 && id.bytes().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "c2b7a1d0-5e6f-4a7b-8c9d-0e1f2a3b4c5d";

    fn name(object: &str) -> Option<String> {
        name_of(&Fields::read(object).unwrap())
    }

    #[test]
    fn a_name_says_what_it_names() {
        for (object, expected) in [
            (
                r##"{"@odata.type":"#microsoft.graph.user","displayName":"Ana","userPrincipalName":"ana@c.example"}"##,
                Some("Ana (ana@c.example)"),
            ),
            (
                r##"{"@odata.type":"#microsoft.graph.user","displayName":null,"userPrincipalName":"ana@c.example"}"##,
                Some("ana@c.example"),
            ),
            (
                r##"{"@odata.type":"#microsoft.graph.servicePrincipal","displayName":"batch","appDisplayName":"x"}"##,
                Some("batch (application)"),
            ),
            (
                r##"{"@odata.type":"#microsoft.graph.servicePrincipal","appDisplayName":"x"}"##,
                Some("x (application)"),
            ),
            (r##"{"@odata.type":"#microsoft.graph.servicePrincipal","displayName":null}"##, None),
            (
                r##"{"@odata.type":"#microsoft.graph.group","displayName":"devs"}"##,
                Some("devs (group)"),
            ),
            (r#"{"displayName":"plain"}"#, Some("plain")),
            (r#"{"displayName":"\u202egpj\u0007\r\n"}"#, Some("gpj")),
            (r#"{"displayName":" "}"#, None),
        ] {
            assert_eq!(name(object).as_deref(), expected, "{object}");
        }
    }

    #[test]
    fn what_is_not_as_documented_is_no_answer() {
        for text in ["", "[]", "{}", r#"{"value":7}"#, r#"{"value":[{"id":"x"#] {
            assert_eq!(Found::read(text.as_bytes()), None, "{text}");
        }
        let text = format!(r#"{{"value":[7,{{"id":"{ID}"}},{{"id":"x","displayName":"y"}}]}}"#);
        let found = Found::read(text.as_bytes()).unwrap();
        assert_eq!((found.names.len(), found.nameless, found.is_whole), (0, 1, true));
        let text = r#"{"value":[],"@odata.nextLink":"https://graph/x"}"#;
        assert!(!Found::read(text.as_bytes()).unwrap().is_whole);
    }

    #[test]
    fn names_hold_a_week_and_that_there_is_none_a_day() {
        let named = Entry { name: Some("a".to_owned()), at_ms: 0 };
        let nameless = Entry { name: None, at_ms: 0 };
        assert!(named.holds(NAMED_MS - 1) && !named.holds(NAMED_MS));
        assert!(nameless.holds(DAY_MS - 1) && !nameless.holds(DAY_MS));
    }

    #[test]
    fn a_file_of_names_is_read_back_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.json");
        assert_eq!(Kept::read(&path), Ok(Kept::default()));
        let entry = |name: Option<&str>, at_ms| Entry { name: name.map(str::to_owned), at_ms };
        let other = ID.replace('c', "d");
        let mut kept = Kept(BTreeMap::from([
            (ID.to_owned(), entry(Some("Ana"), 5)),
            (other.clone(), entry(None, 7)),
        ]));
        kept.write(&path).unwrap();
        assert_eq!(Kept::read(&path).as_ref(), Ok(&kept));
        assert_eq!(kept.names(), BTreeMap::from([(ID.to_owned(), "Ana".to_owned())]));
        kept.bound(1);
        assert_eq!(kept.0.keys().collect::<Vec<_>>(), [&other]);
        std::fs::write(&path, r#"{"x":{"name":"y","at_ms":1}}"#).unwrap();
        assert_eq!(Kept::read(&path), Ok(Kept::default()));
        std::fs::write(&path, "{").unwrap();
        assert!(Kept::read(&path).is_err());
    }

    #[test]
    fn only_guids_are_asked_for() {
        assert!(is_object_id(ID));
        for id in ["", "me", &ID.replace('-', ""), &ID.replace('c', "g"), &ID.to_uppercase()] {
            assert!(!is_object_id(id), "{id}");
        }
    }
}
