//! Files that [`known`](crate::known) is made of: read at the start, again when they change, and the
//! last good copy stays when a new one is broken.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::event::{ListTrouble, ListTroubleKind};
use crate::known::Known;
use crate::known::catalogue::Catalogue;
use crate::known::feed::{Content, Feed, Holds, MAX_BYTES};
use crate::known::list::Broken;
use crate::time::EventTime;

/// Pause between two looks at the files. A look is one `stat` for each.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The catalogue and every file beside it.
#[derive(Debug, Clone)]
pub struct Files {
    catalogue: Arc<Catalogue>,
    held: Vec<Held>,
    known: Arc<Known>,
    /// Pause between two looks.
    pub every: Duration,
}

impl Default for Files {
    fn default() -> Self {
        Self::unread(Arc::default(), Vec::new())
    }
}

/// One file and what was read of it.
#[derive(Debug, Clone)]
struct Held {
    feed: Feed,
    /// As it was when it was last read, well or not.
    read: Option<Stamp>,
    /// As it was at the last look, when that was different: it may still be being written.
    changing: Option<Stamp>,
    good: Option<(Content, Stamp)>,
    broken: Option<Broken>,
    told: Option<ListTrouble>,
}

/// What tells two copies of a file apart without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified_ms: i64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_ms = since.and_then(|since| i64::try_from(since.as_millis()).ok());
        Self { bytes: metadata.len(), modified_ms: modified_ms.unwrap_or(0) }
    }
}

/// What a look at the files brought.
#[derive(Debug)]
pub struct Look {
    /// What is known from now on, when a file has changed.
    pub known: Option<Arc<Known>>,
    /// Files that cannot be used now, or are too old.
    pub troubles: Vec<ListTrouble>,
}

/// What is in use of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// The feed's name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// How much was read, or why nothing was.
    pub content: Result<String, Broken>,
    /// When the file was last written, in milliseconds since 1970; `None` when it was not read.
    pub modified_ms: Option<i64>,
    /// The age from which it is too old, in milliseconds.
    pub max_age_ms: Option<i64>,
}

impl InUse {
    /// True when the file is older than it may be; `now_ms` is the wall clock.
    #[must_use]
    pub fn is_old(&self, now_ms: i64) -> bool {
        let age_ms = self.modified_ms.map(|modified_ms| now_ms.saturating_sub(modified_ms));
        age_ms.zip(self.max_age_ms).is_some_and(|(age_ms, max_age_ms)| age_ms > max_age_ms)
    }
}

impl Files {
    /// The catalogue alone; [`Files::read`] reads the files.
    #[must_use]
    pub fn unread(catalogue: Arc<Catalogue>, feeds: Vec<Feed>) -> Self {
        let held = feeds.into_iter().map(Held::new).collect();
        let mut files = Self { catalogue, held, known: Arc::default(), every: LOOK_EVERY };
        files.known = Arc::new(files.assembled());
        files
    }

    /// Reads every file that no good copy was read of. What cannot be read is left out and told by
    /// [`Files::look`] and [`Files::in_use`].
    pub fn read(&mut self) {
        for file in self.held.iter_mut().filter(|file| file.good.is_none()) {
            let now = file.stamp();
            file.reread(now.ok());
        }
        self.known = Arc::new(self.assembled());
    }

    /// True when no file is left to be read.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.held.iter().all(|file| file.read.is_some() || file.good.is_some())
    }

    /// What is known now.
    #[must_use]
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// Reads anew what has changed and is no longer being written; `now_ms` is the wall clock, for
    /// the age of files. Blocks: not for a task.
    pub fn look(&mut self, now_ms: i64) -> Look {
        let mut changed = false;
        for file in &mut self.held {
            changed |= file.look();
        }
        if changed {
            self.known = Arc::new(self.assembled());
        }
        let troubles = self.held.iter_mut().filter_map(|file| file.trouble(now_ms)).collect();
        Look { known: changed.then(|| self.known()), troubles }
    }

    /// How many networks the catalogue names.
    #[must_use]
    pub fn named(&self) -> usize {
        self.catalogue.len()
    }

    /// What the files hold, in the order of the configuration.
    pub fn holds(&self) -> impl Iterator<Item = Holds> {
        self.held.iter().map(|held| held.feed.holds)
    }

    /// Every file, in the order of the configuration.
    #[must_use]
    pub fn in_use(&self) -> Vec<InUse> {
        self.held.iter().map(Held::in_use).collect()
    }

    fn assembled(&self) -> Known {
        let good = self.held.iter().filter_map(|held| {
            held.good.as_ref().map(|(content, _)| (held.feed.name.as_str(), content.clone()))
        });
        Known::new(Arc::clone(&self.catalogue), good)
    }
}

impl Held {
    const fn new(feed: Feed) -> Self {
        Self { feed, read: None, changing: None, good: None, broken: None, told: None }
    }

    fn stamp(&self) -> Result<Stamp, Broken> {
        match std::fs::metadata(&self.feed.path) {
            Ok(metadata) => Ok(Stamp::of(&metadata)),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// True when a new good copy has taken the place of the old one.
    fn look(&mut self) -> bool {
        let now = match self.stamp() {
            Ok(now) => now,
            Err(broken) => {
                // What comes in its place is news, even if it looks like what was there.
                (self.read, self.changing, self.broken) = (None, None, Some(broken));
                return false;
            }
        };
        if self.read == Some(now) {
            self.changing = None;
            return false;
        }
        // Half a download reads like a shorter list: only what stood still between two looks counts.
        if self.changing.replace(now) != Some(now) {
            return false;
        }
        self.changing = None;
        let better = self.reread(Some(now));
        if better {
            tracing::info!(list = self.feed.name, "a new copy of a list is in use");
        }
        better
    }

    fn reread(&mut self, now: Option<Stamp>) -> bool {
        let bytes = self.bytes();
        // Rights may change without a trace in the file: what could not be read is tried again.
        self.read = now.filter(|_| bytes.is_ok());
        match bytes.and_then(|bytes| self.feed.holds.read(bytes)) {
            Ok(content) => {
                tracing::debug!(list = self.feed.name, content = content.size(), "list read");
                self.good = now.map(|now| (content, now));
                self.broken = None;
                true
            }
            Err(broken) => {
                self.broken = Some(broken);
                false
            }
        }
    }

    fn bytes(&self) -> Result<Vec<u8>, Broken> {
        let file = File::open(&self.feed.path).map_err(|error| self.unreadable(&error))?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.unreadable(&error))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
            let message = format!("larger than {MAX_BYTES} bytes");
            return Err(Broken::new(message, "leave out what is not needed"));
        }
        Ok(bytes)
    }

    fn unreadable(&self, error: &std::io::Error) -> Broken {
        let mend = format!("make {} readable for this process", self.feed.path.display());
        Broken::new(format!("cannot read it: {error}"), mend)
    }

    /// What is wrong with the file now; logged when it is news.
    fn trouble(&mut self, now_ms: i64) -> Option<ListTrouble> {
        let trouble = self.trouble_at(now_ms);
        if trouble != self.told {
            match &trouble {
                Some(ListTrouble { list, reason, .. }) => {
                    tracing::warn!(list, reason, "cannot use a list as it is");
                }
                None => tracing::info!(list = self.feed.name, "a list is well again"),
            }
            self.told.clone_from(&trouble);
        }
        trouble
    }

    fn trouble_at(&self, now_ms: i64) -> Option<ListTrouble> {
        let list = self.feed.name.clone();
        let path = self.feed.path.display();
        if let Some(broken) = &self.broken {
            let instead = match &self.good {
                Some((content, stamp)) => format!(
                    "The last good copy is used meanwhile: {}, written {}",
                    content.size(),
                    EventTime(stamp.modified_ms)
                ),
                None => "Nothing is known from it meanwhile".to_owned(),
            };
            let reason = format!("{path}: {broken}. {instead}");
            return Some(ListTrouble { list, kind: ListTroubleKind::Broken, reason });
        }
        let in_use = self.in_use();
        let written = EventTime(in_use.modified_ms?);
        // The time it was written, not its age, so that the reason stays the same.
        in_use.is_old(now_ms).then(|| {
            let reason = format!(
                "{path} was written {written}, longer ago than its max_age. It is used all the \
                 same; to mend it, load it again"
            );
            ListTrouble { list, kind: ListTroubleKind::Old, reason }
        })
    }

    fn in_use(&self) -> InUse {
        let content = match (&self.broken, &self.good) {
            (Some(broken), _) => Err(broken.clone()),
            (None, Some((content, _))) => Ok(content.size()),
            (None, None) => Err(Broken::new("not read", "read it where it is")),
        };
        let modified_ms = self.good.as_ref().map(|(_, stamp)| stamp.modified_ms);
        let Feed { name, path, max_age_ms, .. } = self.feed.clone();
        InUse { name, path, content, modified_ms, max_age_ms }
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::Class;
    use crate::known::format::FORMATS;

    const NETWORK: &str = "203.0.113.0/24";

    struct World {
        folder: tempfile::TempDir,
        files: Files,
        written: u64,
    }

    impl World {
        fn new(max_age_ms: Option<i64>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("list");
            let holds = Holds::Networks { format: FORMATS[0], class: Class::Tor };
            let feed = Feed { name: "l".to_owned(), path, holds, max_age_ms };
            Self { folder, files: Files::unread(Arc::default(), vec![feed]), written: 0 }
        }

        /// Writes the file with a time of its own, however coarse the clock of the file system is.
        fn write(&mut self, text: &str) {
            self.written += 1;
            let path = self.folder.path().join("list");
            std::fs::write(&path, text).unwrap();
            let at = UNIX_EPOCH + Duration::from_secs(self.written);
            File::options().append(true).open(path).unwrap().set_modified(at).unwrap();
        }

        /// Two looks, because the first only sees that something changed.
        fn look(&mut self) -> Look {
            let first = self.files.look(0);
            let second = self.files.look(0);
            assert!(first.known.is_none());
            second
        }

        #[track_caller]
        fn check(&self, on_the_list: bool) {
            let found = self.files.known().about(NETWORK).class(Class::Tor).is_some();
            assert_eq!(found, on_the_list);
        }
    }

    #[test]
    fn the_last_good_copy_stays_until_there_is_a_better_one() {
        let mut world = World::new(None);
        world.write(NETWORK);
        world.files.read();
        world.check(true);
        assert!(world.files.look(0).troubles.is_empty());

        for broken in ["", "<html>busy</html>", "198.51.100.0/33"] {
            world.write(broken);
            let look = world.look();
            assert!(look.known.is_none());
            let reason = &look.troubles[0].reason;
            assert!(
                reason.contains("The last good copy is used meanwhile: tor, 1 entries"),
                "{reason}"
            );
            world.check(true);
        }
        world.write("198.51.100.0/24");
        let look = world.look();
        assert!(look.known.is_some() && look.troubles.is_empty(), "{look:?}");
        world.check(false);
    }

    #[test]
    fn a_file_that_is_still_being_written_waits() {
        let mut world = World::new(None);
        world.write(NETWORK);
        world.files.read();
        for part in
            ["198.51.100.0/24\n", "198.51.100.0/24\n192.0.2.0/2", "198.51.100.0/24\n192.0.2.0/24\n"]
        {
            world.write(part);
            let look = world.files.look(0);
            assert!(look.known.is_none() && look.troubles.is_empty(), "{look:?}");
            world.check(true);
        }
        assert!(world.files.look(0).known.is_some());
        world.check(false);
    }

    #[test]
    fn a_file_that_is_gone_is_missed_and_welcome_again() {
        let mut world = World::new(None);
        world.write(NETWORK);
        world.files.read();
        std::fs::remove_file(world.folder.path().join("list")).unwrap();
        let look = world.look();
        assert!(look.troubles[0].reason.contains("cannot read it"), "{look:?}");
        world.check(true);
        // The same bytes at the same time: news all the same.
        world.written -= 1;
        world.write(NETWORK);
        assert!(world.look().troubles.is_empty());
        world.check(true);
    }

    #[test]
    fn an_old_file_is_told_and_used() {
        let mut world = World::new(Some(1_000));
        world.write(NETWORK);
        world.files.read();
        assert!(world.files.look(2_000).troubles.is_empty());
        let old = world.files.look(2_001).troubles;
        assert_eq!(old.iter().map(|t| t.kind).collect::<Vec<_>>(), [ListTroubleKind::Old]);
        assert_eq!(world.files.look(9_999).troubles, old);
        world.check(true);
    }

    #[test]
    fn what_was_never_there_is_told() {
        let mut world = World::new(None);
        world.files.read();
        assert!(world.files.look(0).troubles[0].reason.contains("Nothing is known from it"));
        assert!(world.files.in_use()[0].content.is_err());
        world.write(NETWORK);
        assert!(world.look().known.is_some());
        world.check(true);
    }
}
