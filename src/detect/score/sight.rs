//! Looking at the slots that are judged: each component's window, and what its score means.

use super::calibration::{Calibration, Load};
use super::clocks::Moved;
use super::concentration::Concentration;
use super::control::PER_DECADE;
use super::extreme::Extreme;
use super::measure::{COMPONENTS, Component, Kind, Measured, Regime, Yardstick, load, open_sums};
use super::odds::{Evidence, Slot};
use super::rhythm::Rhythm;
use super::signal::{Open, Signal, without_holiday};
use super::statistics::log_ratio;
use super::{ALONE, Around, Memory, Observed, ScoreSettings, Scored, TOGETHER};
use crate::detect::baseline::as_float;

/// Share of the usual amount that is added to both sides of a ratio, so that quiet hours do not shout.
const USUAL_SHARE: f64 = 0.25;
/// The same for falls and the calls beside it: nights and weekends count too.
const FALL_SHARE: f64 = 0.03;
const FALL_CALLS: f64 = 2.0;
/// Smallest spreads believed: of volumes (a factor of 1.5), of falls, and of callers and tokens per call.
const LEAST_RISE: f64 = 0.4;
const LEAST_RISE_OF_SLOT: f64 = 0.7;
const LEAST_FALL: f64 = 0.3;
const LEAST_MIX: f64 = 0.1;
/// Share of its own deviation that the last hours hand on to the next.
const LOCAL_SHARE: f64 = 0.8;
/// Seconds of the last hours that a local window is compared with.
const LOCAL_SECONDS: i64 = 4 * 3600;
/// Hours before anything but a wake is judged.
pub(super) const MIN_HOURS: i64 = 72;
/// Calls of about a week below which tokens per call are not compared.
const MIN_CALLS: f64 = 20.0;
/// Days without calls after which calls are a wake, and how many calls.
const DORMANT_DAYS: i64 = 14;
const WAKE_CALLS: f64 = 3.0;
/// A wake is as rare as a certain theft.
const WAKE_RATE: f64 = -4.0;
/// A fall that counts for the fleet: the window, and the calls that must be expected.
const FALLEN_SECONDS: i64 = 3600;
const FALLEN_CALLS: f64 = 10.0;
/// Hours in which work must have begun as usual where nobody can tell a holiday.
const BEGUN_HOURS: i64 = 6;
/// Share of the usual tokens that new callers may bring without being compared.
const FRESH_SHARE: f64 = 0.1;
/// How far the most that new callers ever brought follows the rhythm: 0 not at all, 1 in proportion.
const FRESH_RHYTHM: f64 = 0.7;
/// Days after which a deployment is no longer new, and no longer young.
const WEEK_DAYS: i64 = 7;
const GROWN_DAYS: i64 = 14;
/// A young deployment with fewer callers at once, when it is busy, may be one client alone …
const CROWD: f64 = 2.0;
/// … and one whose hours lie further above the middle, as a log ratio (a factor of 3), is not calm.
const CALM: f64 = 1.1;
/// Deployments with calls in a smaller share of slots are mostly idle.
const IDLE_BELOW: f64 = 0.6;

/// The slots that are judged together: those that have not closed, or the one that is closing.
#[derive(Default)]
pub(super) struct Frame {
    /// Seen, expected for rises and for falls, by slot.
    pub tokens: Vec<[f64; 3]>,
    pub calls: Vec<[f64; 3]>,
    pub callers: Vec<[f64; 3]>,
    /// Callers, and those expected for the calls, by slot.
    pub mix: Vec<[f64; 3]>,
    /// Tokens of callers first seen within a day.
    pub fresh: f64,
    /// How far peers fell together within two hours, as a log ratio of at most 0, or when last they could tell; `None`
    /// where for a day too few could.
    pub together: Option<f64>,
    /// What speaks for a rise and for a fall.
    pub odds: Option<[Evidence; 2]>,
}

/// A window, with the load that its calibration learns it under.
pub(super) struct Sight {
    pub measured: Measured,
    pub learns: Option<Load>,
}

impl Frame {
    /// Share of their calls that peers kept.
    pub(super) fn kept(&self) -> f64 {
        self.together.map_or(1.0, f64::exp)
    }

    /// Calls of the slot that closes, and what they would have been without a holiday.
    pub(super) fn level(&self) -> (f64, f64) {
        let [seen, _, low] = self.calls.first().copied().unwrap_or_default();
        (seen, without_holiday(seen, low, self.kept()))
    }

    /// The slot that closes, by the usual calls of a slot.
    pub(super) fn slot<'a>(
        &self,
        usual: f64,
        seen: &Observed,
        curve: &'a Concentration,
    ) -> Slot<'a> {
        let [calls, high, low] = self.calls.first().copied().unwrap_or_default();
        let callers = seen.callers.map(|callers| (callers, curve));
        Slot { seen: calls, high, low: low * self.kept(), usual, callers }
    }
}

impl Memory {
    /// What was seen and expected in the slots after the last that was learnt.
    pub(super) fn frame(&self, open: &[Observed]) -> Frame {
        let per_hour = self.grid.per_hour();
        let place = self.age.rem_euclid(per_hour);
        let moved = Moved::on((self.born.unwrap_or(0) + self.age).div_euclid(self.grid.per_day()));
        // Where calls are all that is known, an edge excuses nothing: the single slot is all there is to see by.
        let edges = !self.is_bare();
        let mut frame = Frame::default();
        for (slot, seen) in (place..).zip(open) {
            let callers = seen.callers.unwrap_or(0.0);
            let of_day = self.age - place + slot;
            let shape =
                [-1, 0, 1].map(|by| self.shape.factor(of_day + by * per_hour, self.calls.usual()));
            for (column, signal, value) in [
                (&mut frame.tokens, &self.tokens, seen.tokens()),
                (&mut frame.calls, &self.calls, seen.calls),
                (&mut frame.callers, &self.callers, callers),
            ] {
                let (high, low) = signal.expected((slot, per_hour), shape, (moved, edges));
                column.push([value, high, low]);
            }
            let expected = self.concentration.expected(seen.calls).unwrap_or(callers);
            frame.mix.push([callers, expected, 0.0]);
            frame.fresh += seen.fresh.map_or(0.0, |fresh| fresh.tokens);
        }
        frame
    }

    /// Every window that can be measured.
    pub(super) fn sights(&self, frame: &Frame, around: &Around) -> Vec<Sight> {
        let mut sights = Vec::with_capacity(COMPONENTS.len());
        if self.quiet_days >= DORMANT_DAYS {
            sights.extend(self.wake(frame));
        }
        let hours = self.age / self.grid.per_hour();
        if hours < MIN_HOURS {
            return sights;
        }
        let erupts = matches!(self.regime(), Regime::Bare | Regime::Wild);
        for kind in &COMPONENTS {
            let sight = match kind.id {
                Component::CallsSlot => self.local(
                    (kind, self.grid.slots(kind.seconds)),
                    frame,
                    (&self.calibrations.calls_slot, LEAST_RISE_OF_SLOT),
                ),
                Component::CallsHour => self.local(
                    (kind, self.grid.slots(kind.seconds)),
                    frame,
                    (&self.calibrations.calls_hour, LEAST_RISE),
                ),
                Component::CallersHour => self.seasonal(kind, frame).filter(|_| self.knows_callers),
                Component::FanOut => self.fan_out(kind, frame).filter(|_| self.knows_callers),
                Component::Size => {
                    sights.extend(self.size(kind, frame, 1, &self.calibrations.size_slot));
                    let hour = self.grid.slots(kind.seconds);
                    if hour == 1 {
                        None
                    } else {
                        self.size(kind, frame, hour, &self.calibrations.size)
                    }
                }
                Component::MostTokens => {
                    self.most(kind, (&self.tokens, &self.most_tokens), &frame.tokens)
                }
                Component::MostCalls => {
                    self.most(kind, (&self.calls, &self.most_calls), &frame.calls)
                }
                Component::Raised => self.raise(kind, frame),
                Component::Drop => self.drop(kind, frame, around),
                Component::Silence => self.silent(kind, frame, around),
                Component::Fresh => self.fresh(kind, frame),
                Component::Season if erupts => self.far(kind, frame, 1.0),
                Component::Fall if self.is_bare() && around.complete => self.far(kind, frame, -1.0),
                Component::OddsRise => Self::risen(kind, frame),
                Component::OddsFall => self.fallen_by_odds(kind, frame, around),
                Component::Season | Component::Fall | Component::Wake => None,
            };
            sights.extend(sight);
        }
        sights
    }

    /// Lets the watchers hear of the slot that closes: what speaks for a rise and for a fall.
    pub(super) fn hear(&mut self, frame: &Frame, seen: &Observed, complete: bool) -> [Evidence; 2] {
        let slot = frame.slot(self.calls.usual(), seen, &self.concentration);
        self.odds.hear(&slot, complete)
    }

    /// More calls than the level that is followed explains.
    fn risen(kind: &Kind, frame: &Frame) -> Option<Sight> {
        let [rise, _] = frame.odds?;
        Some(Window::odds(kind, rise))
    }

    /// Fewer calls than the level that is followed explains, unless peers fell too.
    fn fallen_by_odds(&self, kind: &Kind, frame: &Frame, around: &Around) -> Option<Sight> {
        let [_, fall] = frame.odds.filter(|_| around.complete)?;
        let is_own = frame.together.is_none_or(|together| together > TOGETHER);
        (is_own && !self.may_rest(frame)).then(|| Window::odds(kind, fall))
    }

    /// Whether it may be a holiday: no peers can tell, it rests at weekends, and its work has not begun.
    fn may_rest(&self, frame: &Frame) -> bool {
        self.rests_alone(frame) && !self.calls.had_begun(BEGUN_HOURS, self.grid)
    }

    fn rests_alone(&self, frame: &Frame) -> bool {
        frame.together.is_none() && matches!(self.rhythm, Rhythm::Weekdays(_))
    }

    /// Scores of the windows, the highest first.
    pub(super) fn scored(&self, sights: &[Sight], settings: &ScoreSettings) -> Vec<Scored> {
        let tails = &settings.tails;
        let regime = self.regime();
        let level =
            tails.level(regime, settings.alerts_per_week.max(1e-9).log10()) + self.control.share();
        let scored = sights.iter().filter_map(|sight| {
            let measured = &sight.measured;
            let kind = COMPONENTS.iter().find(|kind| kind.id == measured.id)?;
            let own = self.own.get(measured.id as usize)?;
            if measured.by == Yardstick::Unknown {
                return None;
            }
            let level = level + kind.share(regime);
            let raw =
                if kind.is_absolute() { measured.raw() } else { own.standard(measured.raw()) };
            let (rate, bound) = if kind.is_certain() {
                (if raw >= 1.0 { WAKE_RATE } else { 0.0 }, measured.bound(1.0))
            } else {
                let limit = tails.score(measured.id, regime, level);
                let limit = if kind.is_absolute() { limit } else { own.raw(limit) };
                (tails.rate(measured.id, regime, raw), measured.bound(limit))
            };
            let score = (1.0 + PER_DECADE * (level - rate)).max(0.0);
            let is_lower = measured.is_lower();
            Some(Scored {
                component: kind.id,
                part: kind.part,
                slots: measured.slots,
                score: if score.is_finite() { score } else { 0.0 },
                observed: measured.seen,
                expected: measured.expected,
                low: if is_lower { bound } else { 0.0 },
                high: if is_lower { f64::INFINITY } else { bound },
                raw,
                rate,
            })
        });
        let mut scored: Vec<Scored> = scored.collect();
        scored.sort_by(|a, b| b.score.total_cmp(&a.score));
        scored
    }

    /// What kind of deployment it is.
    pub(super) fn regime(&self) -> Regime {
        let days = self.active.next() - self.active.oldest();
        if self.is_bare() {
            Regime::Bare
        } else if self.active.next() < GROWN_DAYS {
            match self.is_wild() {
                true => Regime::Wild,
                false if self.active.next() < WEEK_DAYS => Regime::New,
                false => Regime::Young,
            }
        } else if self.active.newest(days) < IDLE_BELOW * as_float(days) {
            Regime::Idle
        } else {
            Regime::Busy
        }
    }

    /// Whether it may be one client alone, or erupts like one.
    fn is_wild(&self) -> bool {
        self.concentration.most() < CROWD || self.calibrations.calls_hour.width() > CALM
    }

    /// Whether calls are all that was ever known.
    const fn is_bare(&self) -> bool {
        !self.knows_tokens && !self.knows_callers
    }

    fn wake(&self, frame: &Frame) -> Option<Sight> {
        let kind = COMPONENTS.iter().find(|kind| kind.id == Component::Wake)?;
        let slots = self.grid.slots(kind.seconds);
        let seen = self.calls.trailing(slots, &open_sums(&frame.calls, slots));
        let window = Window { slots, seen, expected: WAKE_CALLS, floor: 0.0 };
        Some(window.by(kind, Yardstick::Times, 0.0))
    }

    /// Calls against the rhythm, at the level of the last hours.
    fn local(
        &self,
        (kind, slots): (&Kind, i64),
        frame: &Frame,
        (calibration, least): (&Calibration, f64),
    ) -> Option<Sight> {
        let (signal, open) = (&self.calls, open_sums(&frame.calls, slots));
        let recent = self.recent(frame, (slots, &open));
        let (high, _) = signal.expected_trailing(slots, &open);
        let expected = high * (LOCAL_SHARE * recent).exp();
        let window = Window::of(signal, slots, (&open, expected));
        let load = load(high, signal.usual(), slots);
        window.above(kind, (calibration, load), (least, self.grid.per_day()))
    }

    /// Log ratio of the last hours before a window to what was expected of them.
    fn recent(&self, frame: &Frame, (slots, open): (i64, &Open)) -> f64 {
        let before = self.grid.slots(LOCAL_SECONDS);
        // Open slots that lie before the window belong to the last hours.
        let window = usize::try_from(open.count).unwrap_or(0);
        let older = frame.calls.len().checked_sub(window).and_then(|end| frame.calls.get(..end));
        let older = open_sums(older.unwrap_or_default(), before);
        let (seen, expected) = self.calls.before(before - older.count, slots, open);
        let (seen, expected) = (seen + older.seen, expected + older.high);
        log_ratio(seen, expected, self.calls.floor(before, USUAL_SHARE))
    }

    /// The newest calls above the rhythm, or (`side` −1) below it, by how far they usually lie from it: without tokens
    /// and callers the single slot is all there is to see a theft by, and of one client alone it says the most. A
    /// raised level excuses nothing.
    fn far(&self, kind: &Kind, frame: &Frame, side: f64) -> Option<Sight> {
        let slots = self.grid.slots(kind.seconds);
        let unit = side * self.distance.usual(self.grid.per_day())? * as_float(slots);
        let open = open_sums(&frame.calls, slots);
        let (_, expected) = self.calls.expected_trailing(slots, &open);
        let window =
            Window { slots, seen: self.calls.trailing(slots, &open), expected, floor: 0.0 };
        Some(window.by(kind, Yardstick::Distance(unit), 0.0))
    }

    /// Callers against the rhythm.
    fn seasonal(&self, kind: &Kind, frame: &Frame) -> Option<Sight> {
        let (signal, slots) = (&self.callers, self.grid.slots(kind.seconds));
        let open = open_sums(&frame.callers, slots);
        let (expected, _) = signal.expected_trailing(slots, &open);
        let window = Window::of(signal, slots, (&open, expected));
        let load = load(expected, signal.usual(), slots);
        let calibration = &self.calibrations.callers_hour;
        window.above(kind, (calibration, load), (LEAST_RISE, self.grid.per_day()))
    }

    /// Callers against those that so many calls usually come from.
    fn mix(&self, slots: i64, frame: &Frame) -> (Window, Load) {
        let open = open_sums(&frame.mix, slots);
        let seen = self.callers.trailing(slots, &open_sums(&frame.callers, slots));
        let expected = self.callers_for_calls.newest(slots - open.count) + open.high;
        let (calls, _) = self.calls.expected_trailing(slots, &open_sums(&frame.calls, slots));
        let load = load(calls, self.calls.usual(), slots);
        (Window { slots, seen, expected, floor: 0.5 + 0.125 * as_float(slots) }, load)
    }

    /// More callers than so many calls usually come from.
    fn fan_out(&self, kind: &Kind, frame: &Frame) -> Option<Sight> {
        let (window, load) = self.mix(self.grid.slots(kind.seconds), frame);
        window.above(kind, (&self.calibrations.mix, load), (LEAST_MIX, self.grid.per_day()))
    }

    /// Tokens against those that so many calls brought in the week before.
    fn size(
        &self,
        kind: &Kind,
        frame: &Frame,
        slots: i64,
        calibration: &Calibration,
    ) -> Option<Sight> {
        let [tokens, calls] = self.lately;
        if calls <= MIN_CALLS {
            return None;
        }
        let per_call = tokens / calls;
        let open = open_sums(&frame.calls, slots);
        let made = self.calls.trailing(slots, &open);
        let few = 2.0 + 0.1 * self.calls.usual() * as_float(slots);
        let window = Window {
            slots,
            seen: self.tokens.trailing(slots, &open_sums(&frame.tokens, slots)),
            expected: made * per_call,
            floor: few * per_call,
        };
        let (expected, _) = self.calls.expected_trailing(slots, &open);
        let load = load(expected, self.calls.usual(), slots);
        window.above(kind, (calibration, load), (LEAST_MIX, self.grid.per_day()))
    }

    /// Against the most there ever was.
    fn most(&self, kind: &Kind, of: (&Signal, &Extreme), open: &[[f64; 3]]) -> Option<Sight> {
        let (signal, most) = of;
        let slots = self.grid.slots(kind.seconds);
        let window = Window::of(signal, slots, (&open_sums(open, slots), most.usual()?));
        Some(window.by(kind, Yardstick::Most, 0.0))
    }

    /// The last days against what the weeks before had, when three hours end.
    fn raise(&self, kind: &Kind, frame: &Frame) -> Option<Sight> {
        let raise = self.raised.judge(frame.level(), self.age, self.grid)?;
        let (slots, floor) = (raise.days * self.grid.per_day(), 0.0);
        let window = Window { slots, seen: raise.seen, expected: raise.expected, floor };
        Some(window.by(kind, Yardstick::Log(raise.spread), 0.0))
    }

    /// Share of the usual that the hours before a window promise of it: at most 1, for after a burst or an attack the
    /// usual is no fall.
    fn promise(&self, frame: &Frame, window: (i64, &Open)) -> f64 {
        (LOCAL_SHARE * self.recent(frame, window).min(0.0)).exp()
    }

    /// Share of the usual that the last hours promise of the next slot.
    pub(super) fn level_for_falls(&self, frame: &Frame) -> f64 {
        self.promise(frame, (0, &open_sums(&frame.calls, 0)))
    }

    /// Calls of eight hours below the rhythm, or what peers kept of it: as they keep now, or as they kept slot by slot,
    /// for eight hours that end at two in the morning still hold the evening of a holiday.
    fn drop(&self, kind: &Kind, frame: &Frame, around: &Around) -> Option<Sight> {
        let slots = self.grid.slots(kind.seconds);
        let (signal, calibration) = (&self.calls, &self.calibrations.drop);
        let open = open_sums(&frame.calls, slots);
        let (high, low) = signal.expected_trailing(slots, &open);
        let floor = self.fall_floor(slots);
        let together = frame.together.unwrap_or(0.0);
        let kept = self.kept.newest(slots - open.count) + open.low * frame.kept();
        let expected = (low * frame.kept()).min(kept);
        let window = Window { floor, ..Window::of(signal, slots, (&open, expected)) };
        let load = load(high, signal.usual(), slots);
        let spread = calibration.spread(load, self.grid.per_day());
        // Work that began late is no fall either, once it has begun.
        let is_late = self.rests_alone(frame) && self.calls.had_begun(1, self.grid);
        let may_rest = is_late || self.may_rest(frame);
        let sight = match spread.filter(|_| around.complete && !may_rest) {
            Some(spread) => window.by(kind, Yardstick::Below(spread), LEAST_FALL),
            None => return Some(window.learning(kind, load)),
        };
        Some(Sight { learns: Some(load).filter(|_| together > TOGETHER), ..sight })
    }

    fn silent(&self, kind: &Kind, frame: &Frame, around: &Around) -> Option<Sight> {
        let Open { seen, low, .. } = open_sums(&frame.calls, 1);
        let judged = self.silence.judge(seen, low, frame.kept());
        let (missed, least) = judged.filter(|_| around.complete)?;
        let window = Window { slots: 1, seen: missed, expected: least, floor: 0.0 };
        Some(window.by(kind, Yardstick::Times, 0.0))
    }

    /// How far its peers fell together within two hours, or when last they could tell; see [`Frame::together`].
    pub(super) fn together(&self) -> Option<f64> {
        let falls = (self.falls.oldest()..self.falls.next()).map(|at| self.falls.at(at));
        let last_day = self.age - self.grid.per_day();
        let last = self.last_fall.filter(|(at, _)| *at > last_day).map(|(_, fall)| fall);
        falls.filter(|fall| *fall < ALONE).reduce(f64::min).or(last)
    }

    /// What keeps ratios of falls from being loud about little.
    fn fall_floor(&self, slots: i64) -> f64 {
        FALL_SHARE * self.calls.usual() * as_float(slots) + FALL_CALLS
    }

    /// Log ratio of the calls of an hour to what is expected of falls; `None` where too few are expected to say.
    pub(super) fn fallen(&self, frame: &Frame) -> Option<f64> {
        let slots = self.grid.slots(FALLEN_SECONDS);
        let open = open_sums(&frame.calls, slots);
        let (_, low) = self.calls.expected_trailing(slots, &open);
        let seen = self.calls.trailing(slots, &open);
        (low >= FALLEN_CALLS).then(|| log_ratio(seen, low, self.fall_floor(slots)))
    }

    /// Tokens of new callers against the most that new callers ever brought.
    ///
    /// New callers come with the work: the most was brought in the busiest hours, and by night it hides a theft.
    /// So the most is brought down to the hour by (expected tokens / most tokens)^0.7, at most 1. A caller that
    /// changes its address is new with all its volume, and lawful; taking the volume of callers that went away
    /// off that of the new ones was tried and told the two no better, since the total of an hour varies
    /// by more than one caller brings.
    fn fresh(&self, kind: &Kind, frame: &Frame) -> Option<Sight> {
        let slots = self.grid.slots(kind.seconds);
        let open = open_sums(&frame.tokens, slots);
        let (rhythm, _) = self.tokens.expected_trailing(slots, &open);
        let busiest = self.most_tokens.usual()?.max(f64::MIN_POSITIVE);
        let most = self.most_fresh.usual().filter(|_| self.knows_fresh)?;
        let window = Window {
            slots,
            seen: self.fresh.newest(slots - 1) + frame.fresh,
            expected: most * (rhythm / busiest).min(1.0).powf(FRESH_RHYTHM),
            floor: self.tokens.floor(slots, FRESH_SHARE),
        };
        Some(window.by(kind, Yardstick::Most, 0.0))
    }
}

/// What was seen in a window and what was expected.
struct Window {
    slots: i64,
    seen: f64,
    expected: f64,
    floor: f64,
}

impl Window {
    /// The newest `slots` slots of a signal against what is expected of them.
    fn of(signal: &Signal, slots: i64, (open, expected): (&Open, f64)) -> Self {
        let seen = signal.trailing(slots, open);
        Self { slots, seen, expected, floor: signal.floor(slots, USUAL_SHARE) }
    }

    /// Calls since an attack may have begun; a straight line leads from what is expected to the odds.
    fn odds(kind: &Kind, evidence: Evidence) -> Sight {
        let Evidence { odds, slots, seen, expected } = evidence;
        let window = Self { slots, seen, expected, floor: 0.0 };
        let beyond = seen - expected;
        let speaks = if kind.id == Component::OddsRise { beyond > 0.0 } else { beyond < 0.0 };
        let each = if speaks { odds / beyond } else { 0.0 };
        window.by(kind, Yardstick::Odds(each), 0.0)
    }

    const fn by(&self, kind: &Kind, by: Yardstick, least: f64) -> Sight {
        let &Self { slots, seen, expected, floor } = self;
        let measured = Measured { id: kind.id, slots, seen, expected, floor, least, by };
        Sight { measured, learns: None }
    }

    /// A window that cannot be measured yet, and is learnt from.
    const fn learning(&self, kind: &Kind, load: Load) -> Sight {
        let sight = self.by(kind, Yardstick::Unknown, 0.0);
        Sight { learns: Some(load), ..sight }
    }

    fn above(
        &self,
        kind: &Kind,
        (calibration, load): (&Calibration, Load),
        (least, slots_per_day): (f64, i64),
    ) -> Option<Sight> {
        let Some(spread) = calibration.spread(load, slots_per_day) else {
            return Some(self.learning(kind, load));
        };
        let sight = self.by(kind, Yardstick::Above(spread), least);
        Some(Sight { learns: Some(load), ..sight })
    }
}
