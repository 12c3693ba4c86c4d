//! Closes every slot of every series in order, as the service does, on several threads.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, ScopedJoinHandle};

use super::track::{Layout, Series, Track};
use crate::detect::score::{Around, Fleet, Memory, ScoreSettings, Verdict};

/// A track, and how it is judged.
#[derive(Debug, Clone)]
pub struct Run<'a> {
    /// What is judged.
    pub track: &'a Track,
    /// What the operator may set.
    pub settings: ScoreSettings,
    /// Threads, at least one; the results do not depend on them.
    pub threads: usize,
    /// The last slot; `None` for all of them.
    pub until: Option<i64>,
}

/// A slot that was judged.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// Its series.
    pub series: &'a Series,
    /// The place of the series in the track.
    pub place: usize,
    /// Which slot.
    pub slot: i64,
    /// What the detector says.
    pub verdict: &'a Verdict,
}

/// A series with what is remembered of it and what the caller wants kept.
struct Member<'a, T> {
    place: usize,
    series: &'a Series,
    memory: Memory,
    kept: Vec<T>,
}

/// A thread that owns a part of the series: it is told a slot with who fell in the one
/// before, and tells who fell in this one.
struct Worker<'scope, 'a, T> {
    orders: SyncSender<(i64, Fleet)>,
    fallen: Receiver<Fleet>,
    thread: ScopedJoinHandle<'scope, Vec<Member<'a, T>>>,
}

impl<'a> Run<'a> {
    /// What `keep` makes of the judgements, series by series in the order of the track and each in the
    /// order of slots. `progress` hears how many slots of all series have been judged.
    pub fn keep<T: Send>(
        &self,
        keep: impl Fn(&Judged<'_>) -> Option<T> + Sync,
        progress: &mut dyn FnMut(i64),
    ) -> Vec<T> {
        let mut members = match self.track.layout {
            Layout::Attacks(_) => self.in_step(&keep, progress),
            Layout::Values => self.apart(&keep, progress),
        };
        members.sort_by_key(|member| member.place);
        members.into_iter().flat_map(|member| member.kept).collect()
    }

    /// Deployments of a fleet meet after every slot, because who has fallen bears on the next one.
    fn in_step<T: Send>(
        &self,
        keep: &(impl Fn(&Judged<'_>) -> Option<T> + Sync),
        progress: &mut dyn FnMut(i64),
    ) -> Vec<Member<'a, T>> {
        let slots = self.track.series.first().map_or(0..0, |series| series.slots.clone());
        let end = self.until.map_or(slots.end, |until| slots.end.min(until.saturating_add(1)));
        thread::scope(|scope| {
            let start = |members| {
                let ((orders, ordered), (tell, fallen)) = (sync_channel(1), sync_channel(1));
                let settings = &self.settings;
                let work = move || work(members, settings, &ordered, &tell, keep);
                Worker { orders, fallen, thread: scope.spawn(work) }
            };
            let workers: Vec<Worker<'_, 'a, T>> = self.parts().into_iter().map(start).collect();
            let (mut fleet, mut judged) = (Fleet::default(), 0);
            for slot in slots.start..end {
                // A thread that is gone has panicked; joining says so.
                let order =
                    |worker: &Worker<'_, 'a, T>| worker.orders.send((slot, fleet.clone())).is_ok();
                let told = workers.iter().all(order);
                let parts: Option<Vec<Fleet>> =
                    workers.iter().map(|worker| worker.fallen.recv().ok()).collect();
                let Some(parts) = parts.filter(|_| told) else { break };
                fleet = Fleet::default();
                parts.iter().for_each(|part| fleet.merge(part));
                judged += i64::try_from(self.track.series.len()).unwrap_or(0);
                progress(judged);
            }
            let ended = |worker: Worker<'_, 'a, T>| {
                drop(worker.orders);
                worker.thread.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            workers.into_iter().flat_map(ended).collect()
        })
    }

    /// Series that have nothing to do with each other.
    fn apart<T: Send>(
        &self,
        keep: &(impl Fn(&Judged<'_>) -> Option<T> + Sync),
        progress: &mut dyn FnMut(i64),
    ) -> Vec<Member<'a, T>> {
        thread::scope(|scope| {
            let (tell, told) = channel();
            let start = |mut members: Vec<Member<'a, T>>| {
                let (tell, until, settings): (Sender<i64>, _, _) =
                    (tell.clone(), self.until, &self.settings);
                scope.spawn(move || {
                    for member in &mut members {
                        let slots = member.series.slots.clone();
                        for slot in slots.start..slots.end.min(until.map_or(slots.end, |u| u + 1)) {
                            member.close(slot, &Fleet::default(), settings, keep);
                        }
                        if tell.send(slots.end - slots.start).is_err() {
                            break;
                        }
                    }
                    members
                })
            };
            let threads: Vec<_> = self.parts().into_iter().map(start).collect();
            drop(tell);
            let mut judged = 0;
            for slots in told {
                judged += slots;
                progress(judged);
            }
            let joined = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            joined.flatten().collect()
        })
    }

    /// The series dealt out to the threads, one after the other.
    fn parts<T>(&self) -> Vec<Vec<Member<'a, T>>> {
        let threads = self.threads.clamp(1, self.track.series.len().max(1));
        let mut parts: Vec<Vec<Member<'a, T>>> = (0..threads).map(|_| Vec::new()).collect();
        for (place, series) in self.track.series.iter().enumerate() {
            let memory = Memory::new(series.grid);
            if let Some(part) = parts.get_mut(place % threads) {
                part.push(Member { place, series, memory, kept: Vec::new() });
            }
        }
        parts
    }
}

/// Closes slots as they are ordered, until nobody orders any more.
fn work<'a, T>(
    mut members: Vec<Member<'a, T>>,
    settings: &ScoreSettings,
    ordered: &Receiver<(i64, Fleet)>,
    tell: &SyncSender<Fleet>,
    keep: &impl Fn(&Judged<'_>) -> Option<T>,
) -> Vec<Member<'a, T>> {
    while let Ok((slot, before)) = ordered.recv() {
        let mut fallen = Fleet::default();
        for member in &mut members {
            fallen.hear(&member.close(slot, &before, settings, keep));
        }
        if tell.send(fallen).is_err() {
            break;
        }
    }
    members
}

impl<T> Member<'_, T> {
    /// Judges one slot.
    fn close(
        &mut self,
        slot: i64,
        before: &Fleet,
        settings: &ScoreSettings,
        keep: &impl Fn(&Judged<'_>) -> Option<T>,
    ) -> Verdict {
        let (seen, complete) = self.series.observed(slot);
        let fall = before.fall(self.memory.rhythm());
        let verdict = self.memory.close(slot, &seen, &Around { fall, complete }, settings);
        let judged = Judged { series: self.series, place: self.place, slot, verdict: &verdict };
        self.kept.extend(keep(&judged));
        verdict
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::super::attacks::{Info, Traffic};
    use super::super::track::Rows;
    use super::*;
    use crate::detect::score::Grid;

    fn track(series: usize) -> Track {
        let grid = Grid::FIVE_MINUTES;
        let info = Info { slot_seconds: 300, slots: 50, series: 5, score_from: 0, score_to: 9 };
        let one = |place: usize| Series {
            name: place.to_string(),
            grid,
            slots: 0..50,
            rows: Rows::Traffic(Traffic::default()),
        };
        let series = (0..series).map(one).collect();
        Track { name: "idle".to_owned(), layout: Layout::Attacks(info), series }
    }

    fn run(track: &Track, threads: usize, until: Option<i64>) -> Run<'_> {
        Run { track, settings: ScoreSettings::default(), threads, until }
    }

    #[test]
    fn every_slot_of_every_series_is_judged_once_and_in_order() {
        let check = |track: &Track, threads, until: Option<i64>, slots: i64| {
            let mut heard = 0;
            let kept = run(track, threads, until)
                .keep(|judged| Some((judged.place, judged.slot)), &mut |judged| heard = judged);
            let places = 0..track.series.len();
            let all: Vec<(usize, i64)> =
                places.flat_map(|place| (0..slots).map(move |slot| (place, slot))).collect();
            assert_eq!(kept, all, "{threads} threads");
            assert_eq!(heard, i64::try_from(all.len()).unwrap());
        };
        let mut track = track(5);
        for threads in [0, 1, 2, 5, 9] {
            check(&track, threads, None, 50);
            check(&track, threads, Some(6), 7);
        }
        track.layout = Layout::Values;
        check(&track, 3, None, 50);
    }

    #[test]
    fn a_thread_that_panics_ends_the_run_and_not_the_others_waiting() {
        for layout in [track(1).layout, Layout::Values] {
            let track = Track { layout, ..track(5) };
            let ended = catch_unwind(|| {
                run(&track, 3, None).keep(
                    |judged| -> Option<()> {
                        assert!(judged.place != 1 || judged.slot != 20, "on purpose");
                        None
                    },
                    &mut |_| {},
                )
            });
            assert!(ended.is_err());
        }
    }
}
