//! A list of networks of one class, and how it comes out of a file that may be damaged.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixSet;

use super::about::Extent;
use super::net;
use crate::decode::text;

/// Most entries of one list; the largest known public ones have some 200,000.
pub const MAX_ENTRIES: usize = 1_000_000;
/// A file of which more than one entry in so many cannot be read is no list.
const BAD_ONE_IN: usize = 20;
/// Most characters quoted of an entry.
const QUOTED_CHARS: usize = 40;

/// Why a file cannot be used, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What is wrong, with its place in the file.
    pub message: String,
    /// How to mend it.
    pub mend: String,
}

impl Broken {
    /// With a message and a mend.
    #[must_use]
    pub fn new(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { message: message.into(), mend: mend.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; to mend it, {}", self.message, self.mend)
    }
}

/// How many entries were read and how many could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Read.
    pub good: usize,
    /// Skipped.
    pub skipped: usize,
    first: Option<String>,
}

impl Tally {
    /// Counts an entry that cannot be read. `place` is such as `line 7`.
    pub(super) fn skip(&mut self, place: fmt::Arguments<'_>, entry: &str, why: impl fmt::Display) {
        self.skipped = self.skipped.saturating_add(1);
        if self.first.is_none() {
            let entry = text::clean(entry, QUOTED_CHARS);
            self.first = Some(format!("{place}: {why}: {entry:?}"));
        }
    }

    /// Whether the file as a whole may be believed.
    ///
    /// # Errors
    /// Nothing could be read, too much could not, or there is too much.
    pub(super) fn check(&self, expected: &str) -> Result<(), Broken> {
        let all = self.good.saturating_add(self.skipped);
        if self.good > MAX_ENTRIES {
            let mend = "split the list, or leave out what is not needed";
            return Err(Broken::new(format!("more than {MAX_ENTRIES} entries"), mend));
        }
        let Some(first) = &self.first else {
            if self.good > 0 {
                return Ok(());
            }
            let mend = "load it again; an empty file is taken for a failed download";
            return Err(Broken::new("it holds nothing", mend));
        };
        if self.skipped.saturating_mul(BAD_ONE_IN) > all {
            let message =
                format!("{} of {all} entries cannot be read, first {first}", self.skipped);
            let mend = format!("check that it is {expected}, and load it again");
            return Err(Broken::new(message, mend));
        }
        Ok(())
    }
}

/// What a reader of a format fills.
#[derive(Debug, Default)]
pub struct Draft {
    networks: JointPrefixSet<IpNet>,
    asns: BTreeSet<u32>,
    tally: Tally,
}

impl Draft {
    /// Takes a network or an address.
    pub(super) fn network(&mut self, place: fmt::Arguments<'_>, entry: &str) {
        match net::parse(entry) {
            Ok(network) => {
                self.tally.good = self.tally.good.saturating_add(1);
                if self.tally.good <= MAX_ENTRIES {
                    self.networks.insert(network);
                }
            }
            Err(why) => self.tally.skip(place, entry, why),
        }
    }

    /// Takes the number of an autonomous system.
    pub(super) fn asn(&mut self, number: u32) {
        self.tally.good = self.tally.good.saturating_add(1);
        if self.tally.good <= MAX_ENTRIES {
            self.asns.insert(number);
        }
    }

    /// Counts an entry that cannot be read.
    pub(super) fn skip(&mut self, place: fmt::Arguments<'_>, entry: &str, why: impl fmt::Display) {
        self.tally.skip(place, entry, why);
    }

    /// Entries met so far, read or not.
    pub(super) const fn met(&self) -> usize {
        self.tally.good.saturating_add(self.tally.skipped)
    }

    /// The list.
    ///
    /// # Errors
    /// Nothing could be read, too much could not, or there is too much.
    pub(super) fn finish(self, expected: &str) -> Result<List, Broken> {
        self.tally.check(expected)?;
        Ok(List { networks: self.networks, asns: self.asns, tally: self.tally })
    }
}

/// Networks and autonomous systems of one file.
#[derive(Debug, Default)]
pub struct List {
    networks: JointPrefixSet<IpNet>,
    asns: BTreeSet<u32>,
    tally: Tally,
}

impl List {
    /// How many entries were read and skipped.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How much of `network` is on the list, by itself or by its autonomous system.
    #[must_use]
    pub fn extent(&self, network: &IpNet, asn: Option<u32>) -> Option<Extent> {
        let by_asn = asn.is_some_and(|asn| self.asns.contains(&asn));
        if by_asn || self.networks.is_covered_in_aggregate(network) {
            return Some(Extent::Whole);
        }
        let mut inside = self.networks.children(network).peekable();
        inside.peek()?;
        Some(part(inside))
    }
}

/// How much of a network these, in order and all inside it, make up; less than the whole.
pub(super) fn part(inside: impl IntoIterator<Item = IpNet>) -> Extent {
    let mut addresses = Some(0_u32);
    let mut last: Option<IpNet> = None;
    for net in inside {
        // A network comes before those inside it.
        if last.is_some_and(|last| last.contains(&net)) {
            continue;
        }
        last = Some(net);
        let size = match net {
            IpNet::V4(v4) => 1_u32.checked_shl(u32::from(32 - v4.prefix_len())),
            IpNet::V6(_) => None,
        };
        addresses = addresses.zip(size).and_then(|(sum, size)| sum.checked_add(size));
    }
    Extent::Part { addresses }
}
