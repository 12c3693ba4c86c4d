//! The log of one partition: numbers events, keeps the newest, and puts them where they outlast us.

use std::collections::VecDeque;
use std::sync::Arc;

use super::partition::{Content, StoredEvent};
use super::segment::{Entry, Head, Mark};
use super::storage::{PartitionFiles, StorageError};

/// Bytes an event takes beside its body, so that the offsets of empty events grow too.
const EVENT_OVERHEAD_BYTES: i64 = 64;

/// The retained events of a partition, and where it stands.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) events: VecDeque<Arc<StoredEvent>>,
    pub(super) next_sequence: i64,
    pub(super) next_offset: i64,
    pub(super) last: Option<(i64, i64, i64)>,
    /// Where it is kept, if it is.
    pub(super) files: Option<PartitionFiles>,
}

impl Log {
    /// Gives events their numbers and times, writes them where they are kept, and takes them in.
    pub(super) fn push(
        &mut self,
        events: impl IntoIterator<Item = (Content, i64)>,
    ) -> Result<i64, StorageError> {
        let mut mark = self.mark();
        let stamped: Vec<_> = events
            .into_iter()
            .map(|(content, at)| Arc::new(stamp(&mut mark, content, at)))
            .collect();
        let before = self.mark();
        if let Some(files) = &mut self.files {
            files.append(&stamped, before)?;
        }
        let last = stamped.last().map_or(-1, |event| event.sequence);
        self.events.extend(stamped);
        (self.next_sequence, self.next_offset, self.last) =
            (mark.next_sequence, mark.next_offset, mark.last);
        Ok(last)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            begin: self.first(|_| false),
            next_sequence: self.next_sequence,
            next_offset: self.next_offset,
            last: self.last,
        }
    }

    /// Drops the oldest events beyond so many.
    pub(super) fn keep_newest(&mut self, count: usize) {
        let gone = self.events.len().saturating_sub(count);
        if gone > 0 {
            self.events.drain(..gone);
            let begin = self.first(|_| false);
            if let Some(files) = &mut self.files {
                files.trim(begin);
            }
        }
    }

    /// Takes in what was kept; fails with what does not fit.
    pub(super) fn restore(&mut self, entry: Entry) -> Result<(), String> {
        let mark = match entry {
            Entry::Events(events) => {
                for event in events {
                    if event.sequence < self.next_sequence || event.offset < self.next_offset {
                        return Err(format!("event {} is out of order", event.sequence));
                    }
                    self.next_sequence = event.sequence.saturating_add(1);
                    self.next_offset = after(event.offset, &event.content);
                    self.last = Some((event.sequence, event.offset, event.enqueued_ms));
                    self.events.push_back(Arc::new(event));
                }
                return Ok(());
            }
            Entry::Mark(mark) => mark,
            Entry::Head(Head { anew, mark, .. }) => {
                if anew {
                    *self = Self::default();
                }
                mark
            }
        };
        if mark.next_sequence < self.next_sequence || mark.next_offset < self.next_offset {
            return Err("it goes back to earlier sequence numbers".to_owned());
        }
        (self.next_sequence, self.next_offset, self.last) =
            (mark.next_sequence, mark.next_offset, mark.last);
        let gone = self.events.partition_point(|event| event.sequence < mark.begin);
        self.events.drain(..gone);
        Ok(())
    }

    /// Writes that the log has changed by something else than new events.
    pub(super) fn write_mark(&mut self) -> Result<(), StorageError> {
        let mark = self.mark();
        self.files.as_mut().map_or(Ok(()), |files| files.mark(&mark))
    }

    /// Sequence number of the first retained event that `wanted` does not refuse.
    pub(super) fn first(&self, refused: impl Fn(&StoredEvent) -> bool) -> i64 {
        let index = self.events.partition_point(|event| refused(event));
        self.events.get(index).map_or(self.next_sequence, |event| event.sequence)
    }
}

/// The event after those that `mark` tells of, and moves `mark` behind it.
fn stamp(mark: &mut Mark, content: Content, enqueued_ms: i64) -> StoredEvent {
    let (sequence, offset) = (mark.next_sequence, mark.next_offset);
    let enqueued_ms = mark.last.map_or(enqueued_ms, |(_, _, last)| last.max(enqueued_ms));
    mark.next_sequence += 1;
    mark.next_offset = after(offset, &content);
    mark.last = Some((sequence, offset, enqueued_ms));
    StoredEvent { sequence, offset, enqueued_ms, content }
}

fn after(offset: i64, content: &Content) -> i64 {
    offset.saturating_add(content.size_bytes()).saturating_add(EVENT_OVERHEAD_BYTES)
}
