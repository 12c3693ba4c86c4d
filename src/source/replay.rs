//! Files of bodies or of captured events, merged by time; for backfill, tests and investigation.
//!
//! A line is a body, or `{"partition","sequence","enqueued","body"}` as `run --capture` writes it.
//! Everything is read twice: first to learn which partitions there are and where each ends, so that
//! no window closes too soon, then in order of arrival.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{Source, SourceError};
use crate::decode;
use crate::decode::field::Fields;
use crate::event::{Arrival, Batch, PartitionKey};
use crate::time::{self, ArrivalTime};

/// Events per batch.
const BATCH_EVENTS: usize = 5_000;
/// Bytes of bodies per batch.
const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Longest line read; a body may have 1 MiB, and text in JSON twice that and more.
const MAX_LINE_BYTES: u64 = 8 * 1024 * 1024;
/// A file whose lines are not JSON but which is JSON as a whole is taken up to this size.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024 * 1024;
/// The last millisecond of the year 9999, which RFC 3339 can still write.
const LATEST_MS: i64 = 253_402_300_799_999;
/// Name of the hub of lines that do not say theirs.
const HUB: &str = "replay";

/// Reads files once more in the order of arrival.
pub struct Replay {
    files: Vec<Input>,
    heap: BinaryHeap<Reverse<(i64, usize)>>,
    heads: Vec<Option<Arrival>>,
    remaining: BTreeMap<PartitionKey, u64>,
    members: Vec<PartitionKey>,
    elsewhere: Vec<PartitionKey>,
    newest: ArrivalTime,
    batch_events: usize,
    finished: bool,
    /// Bytes to be read, before decompression, and bytes read.
    progress: (u64, u64),
}

/// One file and how it is read.
struct Input {
    name: String,
    path: PathBuf,
    shape: Shape,
    size: u64,
    lines: Option<Lines>,
    /// For bodies without a capture: the file stands for a partition, the line for the sequence.
    partition: String,
    line: i64,
    newest: ArrivalTime,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One body or captured event per line.
    Lines,
    /// JSON documents over several lines, such as a pretty-printed sample.
    Documents,
}

type Lines = Box<dyn Iterator<Item = Result<Vec<u8>, std::io::Error>> + Send>;

impl Replay {
    /// Prepares `paths` (`-` is standard input, kept in a temporary file meanwhile).
    ///
    /// # Errors
    /// The first file that cannot be read.
    pub fn open(paths: &[PathBuf]) -> Result<Self, SourceError> {
        let mut replay = Self {
            files: Vec::new(),
            heap: BinaryHeap::new(),
            heads: Vec::new(),
            remaining: BTreeMap::new(),
            members: Vec::new(),
            elsewhere: Vec::new(),
            newest: ArrivalTime(i64::MIN),
            batch_events: BATCH_EVENTS,
            finished: false,
            progress: (0, 0),
        };
        for path in paths {
            let input = Input::open(path)?;
            replay.progress.0 += input.size;
            replay.files.push(input);
        }
        for place in 0..replay.files.len() {
            replay.scan(place)?;
        }
        replay.members = replay.remaining.keys().cloned().collect();
        for place in 0..replay.files.len() {
            replay.advance(place)?;
        }
        Ok(replay)
    }

    /// Says which partitions the database knows: those not in these files hold nothing to wait for.
    #[must_use]
    pub fn with_known(mut self, known: impl IntoIterator<Item = PartitionKey>) -> Self {
        let elsewhere = known.into_iter().filter(|key| !self.remaining.contains_key(key));
        self.elsewhere = elsewhere.collect();
        self
    }

    /// Uses batches of at most `events` events (tests cut the stream everywhere).
    #[must_use]
    pub fn with_batch(mut self, events: usize) -> Self {
        self.batch_events = events.max(1);
        self
    }

    /// Bytes read and bytes in all, before decompression.
    #[must_use]
    pub const fn progress(&self) -> (u64, u64) {
        (self.progress.1, self.progress.0)
    }

    /// First reading: which partitions, and how many lines each.
    fn scan(&mut self, place: usize) -> Result<(), SourceError> {
        let Some(input) = self.files.get_mut(place) else { return Ok(()) };
        input.identify()?;
        input.rewind()?;
        while let Some(arrival) = input.next()? {
            *self.remaining.entry(arrival.partition).or_default() += 1;
        }
        input.rewind()
    }

    /// Puts the next event of a file on the heap.
    fn advance(&mut self, place: usize) -> Result<(), SourceError> {
        let Some(input) = self.files.get_mut(place) else { return Ok(()) };
        let head = input.next()?;
        if let Some(arrival) = &head {
            self.heap.push(Reverse((arrival.enqueued.0, place)));
        }
        if self.heads.len() <= place {
            self.heads.resize(place + 1, None);
        }
        if let Some(slot) = self.heads.get_mut(place) {
            *slot = head;
        }
        Ok(())
    }

    fn read_batch(&mut self) -> Result<Option<Batch>, SourceError> {
        if self.finished {
            return Ok(None);
        }
        let mut batch = Batch { members: std::mem::take(&mut self.members), ..Batch::default() };
        let mut bytes = 0;
        while batch.arrivals.len() < self.batch_events && bytes < BATCH_BYTES {
            let Some(Reverse((_, place))) = self.heap.pop() else { break };
            let head = self.heads.get_mut(place).and_then(Option::take);
            if let Some(arrival) = head {
                bytes += arrival.body.len();
                self.progress.1 += arrival.body.len() as u64;
                self.newest = self.newest.max(arrival.enqueued);
                if let Some(left) = self.remaining.get_mut(&arrival.partition) {
                    *left -= 1;
                }
                batch.arrivals.push(arrival);
            }
            self.advance(place)?;
        }
        self.finished = self.heap.is_empty();
        let done = self.remaining.iter().filter(|(_, left)| **left == 0).map(|(key, _)| key);
        let idle = done.chain(&self.elsewhere).map(|key| (key.clone(), self.newest));
        batch.idle = idle.collect();
        Ok(Some(batch))
    }
}

/// The content of a file, plain, gzip or zstd by its first bytes.
///
/// # Errors
/// The file cannot be read.
pub fn decompress(path: &Path) -> std::io::Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    Ok(match file.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(BufReader::new(zstd::Decoder::with_buffer(file)?)),
        _ => Box::new(file),
    })
}

impl Source for Replay {
    async fn next_batch(&mut self) -> Result<Option<Batch>, SourceError> {
        self.read_batch()
    }
}

impl Input {
    fn open(path: &Path) -> Result<Self, SourceError> {
        let (name, path) = if path == Path::new("-") {
            ("standard input".to_owned(), spool()?)
        } else {
            (path.display().to_string(), path.to_owned())
        };
        let found = std::fs::metadata(&path).map_err(|error| failed(&name, &error))?;
        if !found.is_file() {
            return Err(failed(&name, &"it is not a file"));
        }
        Ok(Self {
            name,
            path,
            shape: Shape::Lines,
            size: found.len(),
            lines: None,
            partition: String::new(),
            line: 0,
            newest: ArrivalTime(0),
        })
    }

    /// Reads the first bytes to tell lines from documents, and all of them for the file's hash.
    fn identify(&mut self) -> Result<(), SourceError> {
        let mut reader = self.reader()?;
        let mut hash = Sha256::new();
        let mut first = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = reader.read(&mut buffer).map_err(|error| failed(&self.name, &error))?;
            let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
            hash.update(read);
            if first.len() < MAX_DOCUMENT_BYTES {
                first.extend_from_slice(read);
            }
        }
        let digest = hash.finalize();
        let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.partition = format!("file:{short}");
        let opening = first.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
        let by_line = opening.is_none_or(is_json);
        self.shape = if !by_line && is_json(&first) { Shape::Documents } else { Shape::Lines };
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn BufRead + Send>, SourceError> {
        decompress(&self.path).map_err(|error| failed(&self.name, &error))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        let reader = self.reader()?;
        self.lines = Some(match self.shape {
            Shape::Lines => Box::new(lines(reader)),
            Shape::Documents => documents(reader).map_err(|error| failed(&self.name, &error))?,
        });
        (self.line, self.newest) = (0, ArrivalTime(0));
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Arrival>, SourceError> {
        loop {
            let Some(line) = self.lines.as_mut().and_then(Iterator::next) else { return Ok(None) };
            let place = format!("{} line {}", self.name, self.line + 1);
            let line = line.map_err(|error| failed(&place, &error))?;
            self.line += 1;
            if !line.trim_ascii().is_empty() {
                return self.arrival(line, &place).map(Some);
            }
        }
    }

    fn arrival(&mut self, line: Vec<u8>, place: &str) -> Result<Arrival, SourceError> {
        if let Some(captured) = captured(&line, place)? {
            return Ok(captured);
        }
        // Without an arrival time the records' own times stand for it, as a running maximum.
        let newest = decode::decode(&line).newest().map_or(0, |newest| newest.0);
        self.newest = self.newest.max(ArrivalTime(newest));
        Ok(Arrival {
            partition: PartitionKey {
                hub: HUB.to_owned(),
                incarnation: 0,
                partition: self.partition.clone(),
            },
            sequence: self.line - 1,
            enqueued: self.newest,
            body: line,
        })
    }
}

/// The line as a captured event; `None` when it is a bare body.
fn captured(line: &[u8], place: &str) -> Result<Option<Arrival>, SourceError> {
    let fields = std::str::from_utf8(line).ok().and_then(|text| Fields::read(text.trim()));
    let Some(fields) = fields else { return Ok(None) };
    let Some((body, partition)) = fields.raw("body").zip(fields.text("partition")) else {
        return Ok(None);
    };
    let wrong = |what: &str| failed(place, &format!("{what} of the captured event"));
    let sequence = fields.integer("sequence").filter(|sequence| *sequence >= 0);
    let sequence = sequence.ok_or_else(|| wrong("no \"sequence\" from 0 up, that"))?;
    let enqueued = fields.text("enqueued").ok_or_else(|| wrong("no \"enqueued\""))?;
    // RFC 3339, or milliseconds since 1970 as some tools write them.
    let in_ms = || enqueued.parse().ok().filter(|ms| (0..=LATEST_MS).contains(ms));
    let enqueued = time::parse(&enqueued).or_else(in_ms);
    let enqueued = enqueued.ok_or_else(|| wrong("\"enqueued\" is not a time, that"))?;
    Ok(Some(Arrival {
        partition: PartitionKey {
            hub: fields.text("hub").map_or_else(|| HUB.to_owned(), Cow::into_owned),
            incarnation: 0,
            partition: partition.into_owned(),
        },
        sequence,
        enqueued: ArrivalTime(enqueued),
        body: body_of(body),
    }))
}

/// The bytes of a captured body: JSON inline, or any text as a string.
fn body_of(raw: &RawValue) -> Vec<u8> {
    match decode::field::unquote(raw.get()) {
        Some(text) => text.into_owned().into_bytes(),
        None => raw.get().as_bytes().to_vec(),
    }
}

fn is_json(bytes: &[u8]) -> bool {
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
    stream.all(|document| document.is_ok())
}

/// Lines without their ends; one longer than [`MAX_LINE_BYTES`] is cut there and skipped to its end.
fn lines(
    mut reader: Box<dyn BufRead + Send>,
) -> impl Iterator<Item = Result<Vec<u8>, std::io::Error>> + Send {
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Err(error) => Some(Err(error)),
            Ok(0) => None,
            Ok(_) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                } else if let Err(error) = reader.skip_until(b'\n') {
                    return Some(Err(error));
                }
                Some(Ok(line))
            }
        }
    })
}

fn documents(mut reader: Box<dyn BufRead + Send>) -> Result<Lines, std::io::Error> {
    let mut text = Vec::new();
    reader.read_to_end(&mut text)?;
    let stream = serde_json::Deserializer::from_slice(&text).into_iter::<Box<RawValue>>();
    let found = stream.map(|document| document.map(|raw| raw.get().as_bytes().to_vec()));
    let found: Result<Vec<_>, _> = found.collect();
    Ok(Box::new(found.map_err(std::io::Error::other)?.into_iter().map(Ok)))
}

/// Keeps standard input in a file, because it is read twice.
fn spool() -> Result<PathBuf, SourceError> {
    let name = "standard input";
    let mut file = tempfile::NamedTempFile::new().map_err(|error| failed(name, &error))?;
    std::io::copy(&mut std::io::stdin().lock(), &mut file).map_err(|error| failed(name, &error))?;
    file.seek(SeekFrom::Start(0)).map_err(|error| failed(name, &error))?;
    let (_, path) = file.keep().map_err(|error| failed(name, &error))?;
    Ok(path)
}

fn failed(file: &str, reason: &dyn std::fmt::Display) -> SourceError {
    SourceError::File { file: file.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_lines_of_other_tools_are_read() {
        let line = br#"{"partition":3,"sequence":"7","enqueued":1790812800000,"body":"{}"}"#;
        let arrival = captured(line, "x line 1").unwrap().unwrap();
        assert_eq!((arrival.sequence, &*arrival.partition.partition), (7, "3"));
        assert_eq!(arrival.enqueued.to_string(), "2026-10-01T00:00:00Z");
        assert_eq!(arrival.body, b"{}");
        assert!(captured(br#"{"records":[]}"#, "x line 1").unwrap().is_none());
        for numbers in [
            "",
            r#","sequence":-1,"enqueued":0"#,
            r#","sequence":1,"enqueued":-9223372036854775808"#,
            r#","sequence":1,"enqueued":9223372036854775807"#,
        ] {
            let line = format!(r#"{{"partition":"0","body":{{}}{numbers}}}"#);
            let error = captured(line.as_bytes(), "x line 9").unwrap_err().to_string();
            assert!(error.contains("x line 9"), "{error}");
        }
    }
}
