//! Series with labels, one draw after the other: what tails are counted of, and what parts are worth.

use std::path::Path;
use std::sync::Arc;

use super::run::{Judged, Run};
use super::score::{Exam, Moments, msft};
use super::table::at_start;
use super::track::{Layout, Rows, Track};
use crate::detect::score::{ScoreSettings, Tails};
use crate::problem::Problems;

/// One track of traffic with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// The series.
    pub track: Track,
    /// First and last second that are scored.
    pub(super) span: (i64, i64),
    /// What was injected; without scores.
    pub(super) exam: Exam,
}

impl Draw {
    /// Reads the track `name` of a folder and its labels.
    ///
    /// # Errors
    ///
    /// All that is wrong with its files, and a track without a scored span.
    pub fn open(folder: &Path, name: &str) -> Result<Self, Problems> {
        let track = Track::open(folder, name)?;
        if let Layout::Attacks(info) = track.layout {
            let exam = Exam::of(folder, name, info, Moments::new())?;
            return Ok(Self { track, span: (info.score_from, info.score_to), exam });
        }
        let Some(exam) = msft::exam(&track, &[]) else {
            let path = folder.join(format!("{name}.csv.gz"));
            let mend = "add a column label (0 or 1) to the values, or name a track of traffic";
            return Err(at_start(&path, "no scored span".to_owned(), mend));
        };
        Ok(Self { track, span: (0, i64::MAX), exam })
    }

    /// When a slot is told of, in seconds of the labels; `None` where it is not scored.
    fn moment(&self, judged: &Judged<'_>) -> Option<i64> {
        match &judged.series.rows {
            Rows::Traffic(_) => {
                let length = judged.series.grid.slot_seconds;
                let (start, end) = (judged.slot * length, (judged.slot + 1) * length);
                let (from, to) = self.span;
                (from <= start && end <= to).then_some(end)
            }
            Rows::Values(values) => msft::moment(values, judged.slot),
        }
    }
}

/// Draws of one track, or of several of a kind.
#[derive(Debug, Clone, Copy)]
pub struct Draws<'a> {
    /// At least one.
    pub all: &'a [Draw],
    /// Threads, at least one; the results do not depend on them.
    pub threads: usize,
}

impl<'a> Draws<'a> {
    /// Slots of all of them.
    #[must_use]
    pub fn slots(&self) -> i64 {
        self.all.iter().map(|draw| draw.track.slots()).sum()
    }

    /// Judges the draws by `tails`, one after the other; `keep` is told the end of each scored slot in seconds.
    pub(super) fn judge<T: Send>(
        self,
        (tails, accepted): (&Tails, f64),
        keep: impl Fn(&Draw, &Judged<'_>, i64) -> Option<T> + Sync,
        progress: &mut dyn FnMut(i64),
    ) -> impl Iterator<Item = (&'a Draw, Vec<T>)> {
        let settings = ScoreSettings { tails: Arc::new(tails.clone()), alerts_per_week: accepted };
        let mut before = 0;
        let threads = self.threads;
        self.all.iter().map(move |draw| {
            let (track, settings) = (&draw.track, settings.clone());
            let run = Run { track, settings, threads, until: None };
            let scored = |judged: &Judged<'_>| keep(draw, judged, draw.moment(judged)?);
            let kept = run.keep(scored, &mut |slots| progress(before + slots));
            before += track.slots();
            (draw, kept)
        })
    }
}
