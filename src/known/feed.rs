//! What an operator says is to be read, and what became of a file's bytes.

use std::path::PathBuf;
use std::sync::Arc;

use super::about::Class;
use super::format::Format;
use super::geo::Geo;
use super::identity::Names;
use super::list::{Broken, List};

/// Largest file that is read, in bytes; the largest known MMDB files of countries and systems have a
/// tenth of it.
pub const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// A file to be read, and read again when it changes.
#[derive(Debug, Clone)]
pub struct Feed {
    /// What it is called in messages and incidents; unique.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub holds: Holds,
    /// The age from which it is told as too old, in milliseconds; `None` for never.
    pub max_age_ms: Option<i64>,
}

/// What a file holds.
#[derive(Debug, Clone, Copy)]
pub enum Holds {
    /// Networks of one class.
    Networks {
        /// Written how.
        format: &'static Format,
        /// What being on the list means.
        class: Class,
    },
    /// Autonomous systems by network, and perhaps countries.
    Systems,
    /// Countries by network.
    Countries,
    /// Names of object ids.
    Identities,
}

/// A file's content, read.
#[derive(Debug, Clone)]
pub enum Content {
    /// Networks of one class.
    Networks(Class, Arc<List>),
    /// Autonomous systems by network, and perhaps countries.
    Systems(Arc<Geo>),
    /// Countries by network.
    Countries(Arc<Geo>),
    /// Names of object ids.
    Identities(Arc<Names>),
}

impl Holds {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// The file cannot be believed.
    pub fn read(self, bytes: Vec<u8>) -> Result<Content, Broken> {
        Ok(match self {
            Self::Networks { format, class } => {
                Content::Networks(class, Arc::new(format.read(&bytes)?))
            }
            Self::Systems => Content::Systems(Arc::new(Geo::read(bytes)?)),
            Self::Countries => Content::Countries(Arc::new(Geo::read(bytes)?)),
            Self::Identities => Content::Identities(Arc::new(Names::read(&bytes)?)),
        })
    }
}

impl Content {
    /// How much was read, in words.
    #[must_use]
    pub fn size(&self) -> String {
        let counted = |good: usize, skipped: usize| match skipped {
            0 => format!("{good} entries"),
            _ => format!("{good} entries, {skipped} skipped"),
        };
        match self {
            Self::Networks(class, list) => {
                let tally = list.tally();
                format!("{}, {}", class.word(), counted(tally.good, tally.skipped))
            }
            Self::Systems(geo) | Self::Countries(geo) => {
                format!("{}, {} nodes", geo.kind(), geo.len())
            }
            Self::Identities(names) => counted(names.tally().good, names.tally().skipped),
        }
    }
}
