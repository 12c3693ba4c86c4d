//! What people want to see beside a finding: its chart, who called before and since, the first call.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Env;
use super::account::{Account, closed_before};
use crate::aggregate::call::Merged;
use crate::aggregate::names::{KEY_TEXT, NONE, OTHER};
use crate::aggregate::rollup::{Amount, Caller};
use crate::detect::baseline::as_float;
use crate::detect::network;
use crate::detect::series::{
    KEEP_SLOTS, SLOT_MIN, SLOTS_PER_HOUR, Series, Signal, Slot, Values, values,
};
use crate::incident::{CallerShare, Chart};
use crate::money::NanoUsd;
use crate::time::{ArrivalTime, EventTime, MINUTE_MS};

/// Callers named in an incident.
const MAX_CALLERS: usize = 10;
/// Share of the excess below which a caller is not named.
const CULPRIT_SHARE: f64 = 0.05;
/// Slots before an incident that its callers are compared with.
const BEFORE_SLOTS: i64 = 3 * SLOTS_PER_HOUR;
/// Slots of a chart in steps of a slot: those that are kept and whose expectation is prepared.
const FINE_SLOTS: i64 = 4 * SLOTS_PER_HOUR;
/// Slots an incident lasts until its chart is drawn in steps of an hour, so that the reader still
/// sees what was before.
const FINE_UNTIL: i64 = 3 * SLOTS_PER_HOUR;
/// Hours of a chart in steps of an hour.
const HOURS: i64 = 48;

/// From the first anomalous slot to the newest one, both included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) first: Slot,
    pub(super) newest: Slot,
}

impl Span {
    pub(super) fn slots(self) -> i64 {
        self.newest.0 - self.first.0 + 1
    }
}

/// The chart that ends with `slot`: expected and observed `signal` around the anomalous `span`.
///
/// Steps of a slot for the hours around a young incident, of an hour for the days around an old one.
/// `band`: how many times what is expected the band ends at.
pub(super) fn chart(
    series: &mut Series,
    signal: Signal,
    slot: Slot,
    span: Span,
    band: Option<f64>,
) -> Chart {
    // A silence is found long after the last call.
    let silent = if signal == Signal::Calls { series.silent_slots(slot) } else { 0 };
    let first = span.first.0.min(slot.0 + 1 - silent);
    let fine = slot.0 - first < FINE_UNTIL;
    let known_from = series.first_hour.map_or(slot.0, |hour| hour * SLOTS_PER_HOUR);
    let each = if fine { 1 } else { SLOTS_PER_HOUR };
    // An hour that is not over yet would look like the end of the incident.
    let end = (slot.0 + 1).div_euclid(each) * each;
    let start =
        (end - if fine { FINE_SLOTS } else { HOURS * each }).max(known_from).min(end - each);
    if !fine {
        series.look_back(start.div_euclid(each)..end.div_euclid(each));
    }
    let of = |values: Values| values.get(signal as usize).copied().unwrap_or(0.0);
    let steps = (start..end).step_by(usize::try_from(each).unwrap_or(1));
    let lasts: Vec<Slot> = steps.map(|first| Slot(first + each - 1)).collect();
    let seen = |last: &Slot| match fine {
        true => values(series.slot(*last)),
        false => series.hour(last.hour()),
    };
    let expected: Vec<Option<f64>> = lasts
        .iter()
        .map(|last| series.expected_trailing(*last, each).map(|values| rounded(of(values))))
        .collect();
    // The judge has its own expectation and more windows than a picture shows: the band drawn is the
    // picture's expectation, as many times as the judge allowed its own in this slot. It is not what
    // each of the slots before was held against.
    let upper = |expected: &Option<f64>| Some(rounded((*expected)? * band?));
    let place = |slot: i64| usize::try_from((slot - start).max(0).div_euclid(each)).unwrap_or(0);
    Chart {
        start: Slot(start).start().start(),
        step_ms: each * SLOT_MIN * MINUTE_MS,
        unit: format!("{} in {}", signal.unit(), if fine { "5 min" } else { "1 h" }),
        observed: lasts.iter().map(|last| rounded(of(seen(last)))).collect(),
        upper: expected.iter().map(upper).collect(),
        expected,
        from: place(first).min(lasts.len()),
        until: (place(span.newest.0) + 1).min(lasts.len()),
    }
}

/// To four digits, which is more than a picture shows and half of what an incident would store.
fn rounded(value: f64) -> f64 {
    if !value.is_finite() || value == 0.0 {
        return 0.0;
    }
    let digits = 3.0 - value.abs().log10().floor();
    let unit = 10_f64.powf(digits.abs());
    let rounded =
        if digits < 0.0 { (value / unit).round() * unit } else { (value * unit).round() / unit };
    if rounded.is_finite() { rounded } else { 0.0 }
}

/// The first call in `slot` from `network` (from anywhere, where that is not known), and when the
/// hub took its first row.
pub(super) fn first_call(
    account: &Account,
    deployment: u32,
    slot: Slot,
    network: Option<&str>,
) -> (Option<EventTime>, Option<ArrivalTime>) {
    let span = slot.start().start()..=EventTime(slot.end().start().0 - 1);
    let is_one = |call: &Merged| {
        let from = || account.names.text(call.network());
        call.is_on(deployment) && network.is_none_or(|network| from() == network)
    };
    let found = account.calls.earliest(&span, &account.names, is_one);
    found.map_or((None, None), |(ended, taken)| (Some(ended), taken))
}

/// Numbers of network and identity; `None` for all callers without a row of their own.
type Person = Option<(u32, u32)>;

/// Callers of one deployment as people are told of them.
pub(super) struct People<'a> {
    pub(super) account: &'a Account,
    pub(super) series: &'a Series,
    pub(super) span: Span,
    pub(super) env: &'a Env,
}

impl People<'_> {
    /// Whom the deployment knew in the three hours before the incident, largest first.
    pub(super) fn before(&self) -> Vec<CallerShare> {
        let [before, _] = self.spans();
        let mut ranked: Vec<(Person, Amount)> = self.sums(&before).into_iter().collect();
        ranked.retain(|(_, amount)| amount.tokens() > 0);
        ranked.sort_by_key(|(person, amount)| (std::cmp::Reverse(amount.tokens()), *person));
        let keyed = self.with_keys(Slot(before.start));
        let shares = ranked.into_iter().take(MAX_CALLERS);
        shares.map(|(person, amount)| self.share(person, amount, &keyed)).collect()
    }

    /// The callers that bring the excess: tokens now against the three hours before the incident.
    pub(super) fn culprits(&self) -> Vec<CallerShare> {
        let spans = self.spans();
        let [before, now] = spans.each_ref().map(|span| self.sums(span));
        let [before_slots, now_slots] = spans.map(|span| as_float((span.end - span.start).max(1)));
        let tokens = |amount: &Amount| values(*amount)[0];
        let mut ranked: Vec<(f64, Person, Amount)> = now
            .iter()
            .map(|(caller, amount)| {
                let usual = before.get(caller).map_or(0.0, tokens) / before_slots * now_slots;
                (tokens(amount) - usual, *caller, *amount)
            })
            .filter(|(excess, _, _)| *excess > 0.0)
            .collect();
        ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let all: f64 = ranked.iter().map(|(excess, _, _)| excess).sum();
        ranked.retain(|(excess, _, _)| *excess >= CULPRIT_SHARE * all);
        let keyed = self.with_keys(self.span.first);
        let shares = ranked.into_iter().take(MAX_CALLERS);
        shares.map(|(_, person, amount)| self.share(person, amount, &keyed)).collect()
    }

    /// Slots before the incident, and since; of both, what is kept of every series when the newest slot closes,
    /// however far a step goes.
    fn spans(&self) -> [Range<i64>; 2] {
        let Span { first: Slot(first), newest: Slot(newest) } = self.span;
        let kept = newest + 1 - KEEP_SLOTS;
        [(first - BEFORE_SLOTS).max(kept)..first, first.max(kept)..newest + 1]
    }

    fn sums(&self, span: &Range<i64>) -> BTreeMap<Person, Amount> {
        by_person(&self.series.callers(Slot(span.start), Slot(span.end - 1)))
    }

    /// Who has made successful calls with a key since `first`, as far as attribution windows have
    /// passed.
    fn with_keys(&self, first: Slot) -> BTreeSet<Person> {
        let open = closed_before(self.account.watermark, self.env.settings.join.attribution_ms);
        let settled = self.series.callers(first, Slot(open.0 - 1));
        let keyed = settled.into_iter().filter_map(|(caller, amount)| {
            let parts = caller.parts().filter(|parts| parts.is_key(amount))?;
            Some(Some((parts.network, parts.identity)))
        });
        keyed.collect()
    }

    fn share(&self, person: Person, amount: Amount, keyed: &BTreeSet<Person>) -> CallerShare {
        let (network, identity) = person.unwrap_or((OTHER, NONE));
        let [text, object] = [network, identity].map(|number| self.account.names.text(number));
        let is_new = || network::is_new(self.series, network, self.span.first);
        CallerShare {
            network: text.to_owned(),
            identity: if keyed.contains(&person) { KEY_TEXT } else { object }.to_owned(),
            tokens: amount.tokens(),
            cost: (amount.unpriced == 0).then_some(NanoUsd(amount.cost_nano)),
            new: person.is_some() && is_new(),
            about: self.env.known.about(text),
            name: self.env.known.name_of(object).map(str::to_owned),
        }
    }
}

/// Sums over what was asked for.
fn by_person(callers: &BTreeMap<Caller, Amount>) -> BTreeMap<Person, Amount> {
    let mut sums: BTreeMap<Person, Amount> = BTreeMap::new();
    for (caller, amount) in callers {
        let person = caller.parts().map(|parts| (parts.network, parts.identity));
        let sum = sums.entry(person).or_default();
        *sum = sum.plus(*amount);
    }
    sums
}
