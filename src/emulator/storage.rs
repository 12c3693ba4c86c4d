//! A folder that keeps hubs across restarts: `hubs/NAME/PARTITION/00000000.log` and so on.
//!
//! A partition is a row of files of [entries](super::segment), only ever appended to, each entry
//! before its sender's acknowledgement. Files and folders appear under a temporary name and are
//! renamed when they are whole, so that a kill leaves nothing but a torn last entry. Nothing is
//! synced to the disk: a kill loses nothing, a loss of power may lose what came last.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::HubSpec;
use super::partition::StoredEvent;
use super::segment::{self, EncodeError, Entry, EntryError, Head, MAGIC, Mark};

/// The file that marks a folder as ours; held locked while the folder is in use.
const MARKER: &str = "tokenwatch-emulator";
/// What the marker says; the number is the format of the folder.
const MARKER_TEXT: &str = "data of `tokenwatch emulator`, format 1\n";
/// Ending of what is not whole yet.
const UNFINISHED: &str = "new";
/// A file that has reached this size is followed by another one: few files, while the space of
/// dropped events is given back in reasonable steps.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Why events cannot be kept, or what was kept cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Somebody else's files.
    #[error("folder {folder} is not the emulator's: it holds `{found}`; name a new or empty one")]
    Foreign {
        /// The folder.
        folder: String,
        /// What is in it.
        found: String,
    },
    /// Another version of this program.
    #[error(
        "folder {folder} says `{found}`, which this version does not read; use the version that \
         wrote it, or name another folder"
    )]
    Format {
        /// The folder.
        folder: String,
        /// The first line of its marker.
        found: String,
    },
    /// A folder has one owner at a time.
    #[error(
        "folder {folder} is in use by another emulator; stop that one, or give each its own folder"
    )]
    InUse {
        /// The folder.
        folder: String,
    },
    /// Partitions cannot be taken away, as in the service.
    #[error(
        "hub `{hub}` has {stored} partitions in {folder} and shall have {asked}; they can only \
         grow: ask for {stored} or more, or name another folder"
    )]
    Shrinks {
        /// The hub.
        hub: String,
        /// The folder.
        folder: String,
        /// Partitions there.
        stored: u32,
        /// Partitions asked for.
        asked: u32,
    },
    /// Nothing that was kept disappears without a word.
    #[error(
        "hub `{hub}` is kept in {folder} but not served; name it too (`--hub {hub}={stored}`), or \
         remove {folder}/hubs/{hub}"
    )]
    NotServed {
        /// The hub.
        hub: String,
        /// The folder.
        folder: String,
        /// Partitions there.
        stored: u32,
    },
    /// Damaged, and not by a kill.
    #[error(
        "{file} is broken at byte {at}: {reason}; put back a copy or name another folder, or give \
         up what follows in this partition: cut the file there (truncate -s {at} {file}) and remove \
         later ones"
    )]
    Broken {
        /// The file.
        file: String,
        /// Where the broken entry begins.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// A part of the folder is missing.
    #[error("{missing} is missing; put back a copy, or name another folder")]
    Missing {
        /// A file or folder.
        missing: String,
    },
    /// An event that cannot be written.
    #[error("{0}")]
    Encode(String),
    /// The file ends in something that could be neither finished nor taken back.
    #[error("{file} cannot be written since an earlier failure; restart the emulator")]
    Stuck {
        /// The file.
        file: String,
    },
    /// What the system says.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl From<EncodeError> for StorageError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error.to_string())
    }
}

/// A folder that keeps hubs. While it is open no other process can open it.
#[derive(Debug)]
pub struct DataFolder {
    root: PathBuf,
    /// [`SEGMENT_BYTES`]; less in tests.
    pub(super) segment_bytes: u64,
    /// Locked until closed, also by the end of the process.
    _lock: File,
}

impl DataFolder {
    /// Opens a folder; one that does not exist or is empty becomes a new one.
    ///
    /// # Errors
    /// When it belongs to something else, to another version or to a running emulator, or cannot
    /// be used.
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        fs::create_dir_all(root).map_err(io("create", root))?;
        let path = root.join(MARKER);
        if !path.exists()
            && let Some(found) = fs::read_dir(root).map_err(io("read", root))?.next()
        {
            let found = found.map_err(io("read", root))?.file_name();
            let found = found.to_string_lossy().into_owned();
            return Err(StorageError::Foreign { folder: shown(root), found });
        }
        let mut options = OpenOptions::new();
        let mut marker =
            options.read(true).append(true).create(true).open(&path).map_err(io("open", &path))?;
        match marker.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(StorageError::InUse { folder: shown(root) });
            }
            Err(fs::TryLockError::Error(source)) => return Err(io("lock", &path)(source)),
        }
        let mut text = String::new();
        (&mut marker).take(256).read_to_string(&mut text).map_err(io("read", &path))?;
        if let Some(rest) = MARKER_TEXT.strip_prefix(text.as_str()) {
            // Whole, or just created, or left behind by a kill in the middle of the next line.
            marker.write_all(rest.as_bytes()).map_err(io("write", &path))?;
        } else {
            let found = text.lines().next().unwrap_or_default().to_owned();
            return Err(StorageError::Format { folder: shown(root), found });
        }
        Ok(Self { root: root.to_owned(), segment_bytes: SEGMENT_BYTES, _lock: marker })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The hubs it keeps, by name.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn hubs(&self) -> Result<Vec<HubSpec>, StorageError> {
        let mut hubs = Vec::new();
        for name in names(&self.root.join("hubs"))? {
            let partitions = self.partitions(&name)?;
            // Without partitions it is what a kill left of its creation.
            if partitions > 0 {
                hubs.push(HubSpec::new(&name, partitions));
            }
        }
        Ok(hubs)
    }

    /// Whether these hubs can be served from the folder.
    pub(super) fn check(&self, hubs: &[HubSpec]) -> Result<(), StorageError> {
        for HubSpec { name, partitions: stored, .. } in self.hubs()? {
            let (folder, hub) = (shown(&self.root), name);
            match hubs.iter().find(|asked| asked.name.eq_ignore_ascii_case(&hub)) {
                None => return Err(StorageError::NotServed { hub, folder, stored }),
                Some(HubSpec { partitions: asked, .. }) if *asked < stored => {
                    let asked = *asked;
                    return Err(StorageError::Shrinks { hub, folder, stored, asked });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// How many partitions of a hub there are, which are numbered without a gap.
    fn partitions(&self, hub: &str) -> Result<u32, StorageError> {
        let folder = self.hub(hub);
        let count = names(&folder)?.iter().filter(|name| name.parse::<u32>().is_ok()).count();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let missing = (0..count).map(|number| folder.join(number.to_string()));
        match missing.into_iter().find(|path| !path.is_dir()) {
            Some(path) => Err(StorageError::Missing { missing: shown(&path) }),
            None => Ok(count),
        }
    }

    /// Opens the files of a partition and hands out what they hold, or makes new ones.
    pub(super) fn partition(
        &self,
        head: Head,
        restore: &mut dyn FnMut(Entry) -> Result<(), String>,
    ) -> Result<PartitionFiles, StorageError> {
        let folder = self.hub(&head.hub).join(head.partition.to_string());
        if !folder.is_dir() {
            create_partition(&folder, &head)?;
        }
        let files = PartitionFiles::open(folder, head, restore)?;
        Ok(PartitionFiles { segment_bytes: self.segment_bytes, ..files })
    }

    fn hub(&self, name: &str) -> PathBuf {
        self.root.join("hubs").join(name.to_lowercase())
    }
}

/// The files of one partition, open to append to the last of them.
#[derive(Debug)]
pub(super) struct PartitionFiles {
    folder: PathBuf,
    head: Head,
    /// Number of each file, and the sequence number its events begin with or lie above.
    segments: VecDeque<(u64, i64)>,
    /// The last file.
    file: File,
    length: u64,
    /// A length at which a file is followed by another one.
    segment_bytes: u64,
    /// What follows a failed write could not be cut off.
    stuck: bool,
}

impl PartitionFiles {
    fn open(
        folder: PathBuf,
        mut head: Head,
        restore: &mut dyn FnMut(Entry) -> Result<(), String>,
    ) -> Result<Self, StorageError> {
        let numbers = segment_numbers(&folder)?;
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
            return Err(StorageError::Missing { missing: shown(&segment_path(&folder, 0)) });
        };
        if let Some(gap) = (*first..*last).find(|number| numbers.binary_search(number).is_err()) {
            return Err(StorageError::Missing { missing: shown(&segment_path(&folder, gap)) });
        }
        let mut segments = VecDeque::new();
        let mut length = 0;
        for number in &numbers {
            let path = segment_path(&folder, *number);
            let end = if number == last { End::MayBeTorn } else { End::Whole };
            let (found, read) = read_segment(&path, &head, end, restore)?;
            push_segment(&mut segments, *number, &found);
            head = Head { hub: head.hub, ..found };
            length = read;
        }
        let path = segment_path(&folder, *last);
        let mut file = OpenOptions::new().write(true).open(&path).map_err(io("open", &path))?;
        file.set_len(length).map_err(io("cut", &path))?;
        file.seek(SeekFrom::Start(length)).map_err(io("open", &path))?;
        Ok(Self {
            folder,
            head,
            segments,
            file,
            length,
            segment_bytes: SEGMENT_BYTES,
            stuck: false,
        })
    }

    /// When the hub was created, milliseconds since 1970 UTC.
    pub(super) const fn created_ms(&self) -> i64 {
        self.head.created_ms
    }

    /// Writes events; `before` is where the log stands without them.
    pub(super) fn append(
        &mut self,
        events: &[Arc<StoredEvent>],
        before: Mark,
    ) -> Result<(), StorageError> {
        let bytes = segment::encode_events(events)?;
        // After a file that is stuck no other may follow: it would end within an entry for good.
        if self.length >= self.segment_bytes && !self.stuck {
            self.begin_segment(before, false)?;
        }
        self.write(&bytes)
    }

    /// Writes that events were dropped or numbers left out, and gives back space.
    pub(super) fn mark(&mut self, mark: &Mark) -> Result<(), StorageError> {
        self.write(&segment::encode_mark(mark)?)?;
        self.trim(mark.begin);
        Ok(())
    }

    /// Forgets everything: the hub is created again.
    pub(super) fn begin_anew(&mut self, created_ms: i64) -> Result<(), StorageError> {
        self.head.created_ms = created_ms;
        let begun = self.begin_segment(Mark::default(), true);
        // Without a new file the old one would be continued with numbers that go back.
        self.stuck = begun.is_err();
        self.trim(0);
        begun
    }

    /// Removes the files in which every event has a sequence number below `begin`.
    pub(super) fn trim(&mut self, begin: i64) {
        while let (Some((number, _)), Some((_, next))) =
            (self.segments.front(), self.segments.get(1))
            && *next <= begin
        {
            let path = segment_path(&self.folder, *number);
            if let Err(error) = fs::remove_file(&path) {
                return tracing::warn!(%error, path = %path.display(), "cannot remove an old file");
            }
            self.segments.pop_front();
        }
    }

    fn begin_segment(&mut self, mark: Mark, anew: bool) -> Result<(), StorageError> {
        let number = self.segments.back().map_or(0, |(number, _)| number + 1);
        let head = Head { anew, mark, ..self.head.clone() };
        (self.file, self.length) = create_segment(&self.folder, number, &head)?;
        push_segment(&mut self.segments, number, &head);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let path = || self.segments.back().map(|(number, _)| segment_path(&self.folder, *number));
        let path = path().unwrap_or_default();
        if self.stuck {
            return Err(StorageError::Stuck { file: shown(&path) });
        }
        let Err(error) = self.file.write_all(bytes) else {
            self.length += u64::try_from(bytes.len()).unwrap_or_default();
            return Ok(());
        };
        // What was written of it must not stand before what comes next.
        let cut = self.file.set_len(self.length);
        let cut = cut.and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
        self.stuck = cut.is_err();
        Err(io("write", &path)(error))
    }
}

fn push_segment(segments: &mut VecDeque<(u64, i64)>, number: u64, head: &Head) {
    if head.anew {
        // What is in the files before counts for nothing, so they may all go.
        segments.iter_mut().for_each(|(_, first)| *first = 0);
    }
    segments.push_back((number, head.mark.next_sequence));
}

/// Whether a file may end within an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    MayBeTorn,
    Whole,
}

/// Hands out the entries of a file, and returns its head and the length of what is whole.
fn read_segment(
    path: &Path,
    expected: &Head,
    end: End,
    restore: &mut dyn FnMut(Entry) -> Result<(), String>,
) -> Result<(Head, u64), StorageError> {
    let file = File::open(path).map_err(io("open", path))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let broken = |at, reason: &str| StorageError::Broken {
        file: shown(path),
        at,
        reason: reason.to_owned(),
    };
    let mut magic = [0; MAGIC.len()];
    if reader.read_exact(&mut magic).is_err() || magic != MAGIC {
        return Err(broken(0, "it is not a file of the emulator in this version's format"));
    }
    let mut at = reader.stream_position().map_err(io("read", path))?;
    let mut head = None;
    loop {
        match segment::read_entry(&mut reader) {
            Ok(None) => break,
            Ok(Some(Entry::Head(found))) if head.is_none() => {
                let same = found.hub.eq_ignore_ascii_case(&expected.hub);
                if !same || found.partition != expected.partition {
                    return Err(broken(at, "it belongs to another hub or partition"));
                }
                restore(Entry::Head(found.clone())).map_err(|reason| broken(at, &reason))?;
                head = Some(found);
            }
            Ok(Some(entry)) if head.is_some() => {
                restore(entry).map_err(|reason| broken(at, &reason))?;
            }
            Ok(Some(_)) => return Err(broken(at, "an entry is out of place")),
            Err(EntryError::Torn) if end == End::MayBeTorn && head.is_some() => {
                tracing::warn!(
                    file = %path.display(), at,
                    "the last entry was not written to its end, by a kill; it is cut off"
                );
                break;
            }
            Err(EntryError::Io(source)) => return Err(io("read", path)(source)),
            Err(error @ (EntryError::Torn | EntryError::Broken(_))) => {
                return Err(broken(at, &error.to_string()));
            }
        }
        at = reader.stream_position().map_err(io("read", path))?;
    }
    head.map(|head| (head, at)).ok_or_else(|| broken(at, "its first entry is missing"))
}

/// Makes the folder of a partition with its first file, under its name only when it is whole.
fn create_partition(folder: &Path, head: &Head) -> Result<(), StorageError> {
    let unfinished = folder.with_extension(UNFINISHED);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(io("remove", &unfinished))?;
    }
    fs::create_dir_all(&unfinished).map_err(io("create", &unfinished))?;
    create_segment(&unfinished, 0, head)?;
    fs::rename(&unfinished, folder).map_err(io("create", folder))
}

/// Makes a file with its head, under its name only when it is whole.
fn create_segment(folder: &Path, number: u64, head: &Head) -> Result<(File, u64), StorageError> {
    let path = segment_path(folder, number);
    let unfinished = path.with_extension(UNFINISHED);
    let bytes = [&MAGIC[..], &segment::encode_head(head)?].concat();
    let mut file = File::create(&unfinished).map_err(io("create", &unfinished))?;
    file.write_all(&bytes).map_err(io("write", &unfinished))?;
    fs::rename(&unfinished, &path).map_err(io("create", &path))?;
    Ok((file, u64::try_from(bytes.len()).unwrap_or_default()))
}

fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.log"))
}

fn segment_numbers(folder: &Path) -> Result<Vec<u64>, StorageError> {
    let names = names(folder)?;
    let numbers = names.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok());
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What is in a folder, sorted; nothing when it does not exist.
fn names(folder: &Path) -> Result<Vec<String>, StorageError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io("read", folder))? {
        names.push(entry.map_err(io("read", folder))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StorageError {
    let path = shown(path);
    move |source| StorageError::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::super::log::Log;
    use super::super::partition::Content;
    use super::*;

    fn event() -> [(Content, i64); 1] {
        [(Content::data(b"body".to_vec()), 0)]
    }

    #[test]
    fn what_cannot_be_written_is_not_there_and_nothing_follows_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let mark = Mark::default();
        let hub = "logs".to_owned();
        let head = Head { hub, partition: 0, created_ms: 0, anew: false, mark };
        let files = data.partition(head.clone(), &mut |_| Ok(())).unwrap();
        let path = segment_path(&files.folder, 0);
        let mut log = Log { files: Some(files), ..Log::default() };
        log.push(event()).unwrap();
        let written = fs::read(&path).unwrap();
        // As on a disk from which the file can still be read, but neither written nor cut.
        log.files.as_mut().unwrap().file = File::open(&path).unwrap();
        for expected in ["cannot write", "cannot be written since an earlier failure"] {
            let error = log.push(event()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!((log.events.len(), log.next_sequence), (1, 1));
        assert_eq!(fs::read(&path).unwrap(), written);
        let mut again = Log::default();
        data.partition(head, &mut |entry| again.restore(entry)).unwrap();
        assert_eq!(again.events, log.events);
    }
}
