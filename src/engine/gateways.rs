//! Calls through gateways on their way to the accounts that served them.
//!
//! A gateway's logs come from another resource than the account's, on any partition of any hub. They
//! wait here until their span has passed everywhere; then each account is handed its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::aggregate::gateway::{GatewayRow, LinkSpan, ThroughGateway, merged};
use crate::event::gateway::GatewayCall;
use crate::time::ArrivalTime;

/// Calls kept at most; above it the oldest go unlinked.
const MAX_CALLS: usize = 500_000;
/// Rows kept of one call. A long message is split into several that say the same.
const MAX_ROWS: usize = 8;

/// Gateways' calls that may still be linked, and those that compete with them.
#[derive(Debug, Default)]
pub struct Gateways {
    calls: HashMap<u128, Vec<GatewayRow>>,
    spans: BTreeMap<LinkSpan, BTreeSet<u128>>,
    /// Spans before this one are linked.
    linked_to: Option<LinkSpan>,
    attribution_ms: i64,
}

/// What a step changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GatewayEffects {
    /// New rows, by the last span they are needed for.
    pub rows: Vec<(LinkSpan, GatewayRow)>,
    /// Spans before this one are linked, when that is news.
    pub linked_to: Option<LinkSpan>,
}

impl GatewayEffects {
    /// Rows that end before this span are needed no more.
    #[must_use]
    pub fn needed_from(&self) -> Option<LinkSpan> {
        self.linked_to.map(LinkSpan::first_rival)
    }
}

/// The calls of one span that went to one account.
#[derive(Debug, Clone, PartialEq)]
pub struct ToLink {
    /// Which span.
    pub span: LinkSpan,
    /// What was enqueued until then is known.
    pub until: ArrivalTime,
    /// The calls to link come first, then others that may be mistaken for them.
    pub calls: Vec<ThroughGateway>,
    /// How many of them are to be linked.
    pub due: usize,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It waits for its span.
    Waits,
    /// It was there already.
    Copy,
    /// It says nothing to link.
    Nothing,
    /// Its span was linked before it came.
    TooLate,
    /// There are too many calls.
    TooMany,
}

/// Finds the account a backend belongs to, by one of its names.
pub type AccountOf<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Gateways {
    /// As the database left them.
    #[must_use]
    pub fn restore(rows: &[GatewayRow], linked_to: Option<LinkSpan>, attribution_ms: i64) -> Self {
        let mut gateways = Self { linked_to, attribution_ms, ..Self::default() };
        for row in rows {
            gateways.keep(row);
        }
        gateways
    }

    /// Takes a record; a row to be saved is added to `effects`.
    pub fn take(
        &mut self,
        call: &GatewayCall,
        enqueued: ArrivalTime,
        effects: &mut GatewayEffects,
    ) -> Taken {
        let Some(row) = GatewayRow::of(call, enqueued) else { return Taken::Nothing };
        let span = LinkSpan::of(row.latest());
        if enqueued > span.linked_at(self.attribution_ms)
            || self.linked_to.is_some_and(|to| span < to)
        {
            return Taken::TooLate;
        }
        let taken = self.keep(&row);
        if taken == Taken::Waits {
            effects.rows.push((span, row));
        }
        taken
    }

    fn keep(&mut self, row: &GatewayRow) -> Taken {
        if self.calls.len() >= MAX_CALLS && !self.calls.contains_key(&row.call) {
            return Taken::TooMany;
        }
        let rows = self.calls.entry(row.call).or_default();
        // Of two copies the earlier one holds, whichever was read first.
        let is_full = rows.len() >= MAX_ROWS;
        match rows.iter_mut().find(|known| known.says_as_much_as(row)) {
            Some(known) if known.enqueued <= row.enqueued => return Taken::Copy,
            Some(known) => known.enqueued = row.enqueued,
            None if is_full => return Taken::Copy,
            None => rows.push(row.clone()),
        }
        self.spans.entry(LinkSpan::of(row.latest())).or_default().insert(row.call);
        Taken::Waits
    }

    /// True when there is something to link once everything enqueued up to `watermark` has been seen.
    #[must_use]
    pub fn are_due(&self, watermark: ArrivalTime) -> bool {
        let open = LinkSpan::open_at(watermark, self.attribution_ms);
        let first = self.linked_to.unwrap_or(LinkSpan(i64::MIN));
        open > first && self.spans.range(first..open).next().is_some()
    }

    /// What accounts are to link now that everything enqueued up to `watermark` has been seen, by
    /// account. Calls of backends that `account_of` does not know are counted in `lost`.
    pub fn due(
        &mut self,
        watermark: ArrivalTime,
        account_of: AccountOf<'_>,
        effects: &mut GatewayEffects,
        lost: &mut i64,
    ) -> BTreeMap<String, Vec<ToLink>> {
        let mut due: BTreeMap<String, Vec<ToLink>> = BTreeMap::new();
        if !self.are_due(watermark) {
            return due;
        }
        let open = LinkSpan::open_at(watermark, self.attribution_ms);
        let first = self.linked_to.unwrap_or(LinkSpan(i64::MIN));
        let spans: Vec<LinkSpan> = self.spans.range(first..open).map(|(span, _)| *span).collect();
        for span in &spans {
            let mut by_account = self.of_span(*span, account_of, lost);
            if by_account.is_empty() {
                continue;
            }
            self.add_rivals(*span, account_of, &mut by_account);
            for (account, link) in by_account {
                due.entry(account).or_default().push(link);
            }
        }
        self.linked_to = Some(open);
        effects.linked_to = Some(open);
        self.forget(open.first_rival());
        due
    }

    fn of_span(
        &self,
        span: LinkSpan,
        account_of: AccountOf<'_>,
        lost: &mut i64,
    ) -> BTreeMap<String, ToLink> {
        let until = span.linked_at(self.attribution_ms);
        let mut by_account: BTreeMap<String, ToLink> = BTreeMap::new();
        for call in self.spans.get(&span).into_iter().flatten() {
            let Some(through) = self.settled_in(*call, span) else { continue };
            let Some(account) = account_by(&through, account_of) else {
                *lost += 1;
                continue;
            };
            let empty = ToLink { span, until, calls: Vec::new(), due: 0 };
            let link = by_account.entry(account).or_insert(empty);
            link.calls.push(through);
            link.due += 1;
        }
        by_account
    }

    /// Calls of neighbouring spans, so that what could be either is told as neither.
    fn add_rivals(
        &self,
        span: LinkSpan,
        account_of: AccountOf<'_>,
        by_account: &mut BTreeMap<String, ToLink>,
    ) {
        let until = span.linked_at(self.attribution_ms);
        let last = LinkSpan(2 * span.0 - span.first_rival().0);
        let near: BTreeSet<u128> = self
            .spans
            .range(span.first_rival()..=last)
            .flat_map(|(_, calls)| calls.iter().copied())
            .collect();
        for call in near {
            let Some(rows) = self.calls.get(&call) else { continue };
            let Some(through) = merged(rows, until) else { continue };
            if self.settled_in(call, span).is_some() {
                continue;
            }
            let account = account_by(&through, account_of);
            if let Some(link) = account.and_then(|account| by_account.get_mut(&account)) {
                link.calls.push(through);
            }
        }
    }

    /// The call as it is linked in `span`; `None` when another span is its own.
    fn settled_in(&self, call: u128, span: LinkSpan) -> Option<ThroughGateway> {
        let rows = self.calls.get(&call)?;
        let in_span = |span: LinkSpan| {
            let through = merged(rows, span.linked_at(self.attribution_ms))?;
            (LinkSpan::of(through.latest) == span).then_some(through)
        };
        let earlier = rows.iter().map(|row| LinkSpan::of(row.latest())).filter(|s| *s < span);
        let mut linked = earlier.filter_map(in_span);
        let was_linked = linked.any(|through| through.backends.iter().any(|name| !name.is_empty()));
        if was_linked { None } else { in_span(span) }
    }

    fn forget(&mut self, before: LinkSpan) {
        let kept = self.spans.split_off(&before);
        for call in std::mem::replace(&mut self.spans, kept).into_values().flatten() {
            let needed = |row: &GatewayRow| LinkSpan::of(row.latest()) >= before;
            if !self.calls.get(&call).is_some_and(|rows| rows.iter().any(needed)) {
                self.calls.remove(&call);
            }
        }
    }
}

fn account_by(through: &ThroughGateway, account_of: AccountOf<'_>) -> Option<String> {
    through.backends.iter().filter(|name| !name.is_empty()).find_map(|name| account_of(name))
}
