//! A call through a gateway as a function of the set of its rows: its logs know who called, what
//! it cost in tokens and where it was sent, each of them a part.

use serde::{Deserialize, Serialize};

use crate::event::Tokens;
use crate::event::gateway::{GatewayCall, GatewaySource};
use crate::time::{ArrivalTime, DAY_MS, EventTime, MINUTE_MS};

/// Longest call that is linked. API Management gives a backend five minutes unless told otherwise.
pub const MAX_DURATION_MS: i64 = 5 * MINUTE_MS;
/// How far the clocks of gateway and account may differ, and how long a gateway may go on after the
/// backend has answered: a guess, until a captured hour tells.
pub const SKEW_MS: i64 = 5_000;

/// Calls of gateways are linked together that ended within the same so many milliseconds.
const LINK_MS: i64 = 5 * MINUTE_MS;

/// Spans of five minutes, counted from 1970: the calls of one are linked at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkSpan(pub i64);

impl LinkSpan {
    /// The span in which a call had ended at the latest.
    #[must_use]
    pub const fn of(latest: EventTime) -> Self {
        Self(latest.0.div_euclid(LINK_MS))
    }

    /// The moment at which its calls are linked, knowing what was enqueued until then.
    #[must_use]
    pub const fn linked_at(self, attribution_ms: i64) -> ArrivalTime {
        ArrivalTime((self.0 + 1) * LINK_MS + attribution_ms)
    }

    /// The first span that is not linked yet when everything enqueued up to `watermark` has been seen.
    #[must_use]
    pub const fn open_at(watermark: ArrivalTime, attribution_ms: i64) -> Self {
        Self(watermark.0.saturating_sub(attribution_ms).div_euclid(LINK_MS))
    }

    /// The last span in which a call of a gateway may be linked that was this call of an account.
    #[must_use]
    pub const fn last_for(end: EventTime) -> Self {
        Self::of(EventTime(end.0.saturating_add(MAX_DURATION_MS + SKEW_MS)))
    }

    /// First span whose calls may compete with those of this one.
    #[must_use]
    pub const fn first_rival(self) -> Self {
        Self(self.0 - 2 * MAX_DURATION_MS / LINK_MS - 1)
    }
}

/// What one record of a gateway says for linking. Texts are short and clean, as in every event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GatewayRow {
    /// Order of trust: the gateway's own log, its log of tokens, an object of the operator's.
    rank: u8,
    /// Joins the rows of one call.
    pub call: u128,
    /// When the gateway began (its log) or wrote (the others).
    at: EventTime,
    /// How long it took; 0 when not told.
    duration_ms: i64,
    /// When the hub took it, made monotone per partition.
    pub enqueued: ArrivalTime,
    /// The gateway, by the last part of its resource id or by its host.
    gateway: String,
    /// Names the backend may be known by: of the AI account in its host, and in the gateway.
    backends: [String; 2],
    deployment: String,
    network: String,
    subject: String,
    status: u16,
    tokens: Option<(u32, u32)>,
    sent: u64,
    received: u64,
}

impl GatewayRow {
    /// What a record says; `None` where it has nothing to link: a probe, a call that no backend was
    /// asked for, or a time that cannot be right.
    #[must_use]
    pub fn of(call: &GatewayCall, enqueued: ArrivalTime) -> Option<Self> {
        let believed = enqueued.0 - DAY_MS..=enqueued.0 + 5 * MINUTE_MS;
        let at = call.at.filter(|at| believed.contains(&at.0))?;
        let asked =
            call.source != GatewaySource::Log || call.backend_status != 0 || call.tokens.is_some();
        let is_long = |ms: &i64| *ms <= MAX_DURATION_MS;
        let duration_ms = Some(i64::from(call.duration_ms.unwrap_or(0))).filter(is_long)?;
        let subject = [&call.subscription, &call.product, &call.user];
        let subject = subject.into_iter().find(|name| !name.is_empty());
        (asked && !call.probe).then(|| Self {
            rank: match call.source {
                GatewaySource::Log => 0,
                GatewaySource::Llm => 1,
                GatewaySource::Pushed => 2,
            },
            call: call.call,
            at,
            duration_ms,
            enqueued,
            gateway: call.gateway.rsplit('/').next().unwrap_or_default().to_owned(),
            backends: [call.backend.account.clone(), call.backend.id.to_lowercase()],
            deployment: call.backend.deployment.clone(),
            network: call.network.clone(),
            subject: subject.cloned().unwrap_or_default(),
            status: call.backend_status,
            tokens: call.tokens.map(|Tokens { input, output, .. }| (input, output)),
            sent: call.request_bytes.unwrap_or(0),
            received: call.response_bytes.unwrap_or(0),
        })
    }

    /// When the call has ended at the latest.
    #[must_use]
    pub const fn latest(&self) -> EventTime {
        EventTime(self.at.0 + self.duration_ms)
    }

    /// True when both are the same but for when the hub took them.
    #[must_use]
    pub fn says_as_much_as(&self, other: &Self) -> bool {
        Self { enqueued: other.enqueued, ..self.clone() } == *other
    }
}

/// A call through a gateway, from some of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThroughGateway {
    /// When it began.
    pub at: EventTime,
    /// When it had ended at the latest.
    pub latest: EventTime,
    /// The gateway.
    pub gateway: String,
    /// Names the backend may be known by, best first; both may be empty.
    pub backends: [String; 2],
    /// Deployment, lower case; empty where the route has none.
    pub deployment: String,
    /// Network of the gateway's caller; empty when absent.
    pub network: String,
    /// Subscription, product or user of the gateway, the first that is told; empty when none is.
    pub subject: String,
    /// HTTP status of the backend; 0 when absent.
    pub status: u16,
    /// Prompt and generated tokens.
    pub tokens: Option<(u32, u32)>,
    /// Bytes of request and response; 0 when absent.
    pub bytes: (u64, u64),
}

/// What the rows enqueued up to `until` say together; `None` when there are none.
///
/// Names and the time are those of the most trusted row that has them, tokens and sizes the
/// largest: the order of rows does not matter.
#[must_use]
pub fn merged(rows: &[GatewayRow], until: ArrivalTime) -> Option<ThroughGateway> {
    let mut known: Vec<&GatewayRow> = rows.iter().filter(|row| row.enqueued <= until).collect();
    known.sort_unstable();
    let first = known.first()?;
    let text = |of: fn(&GatewayRow) -> &String| {
        let found = known.iter().map(|row| of(row)).find(|text| !text.is_empty());
        found.cloned().unwrap_or_default()
    };
    let largest = |of: fn(&GatewayRow) -> u64| known.iter().map(|row| of(row)).max().unwrap_or(0);
    Some(ThroughGateway {
        at: first.at,
        latest: first.latest(),
        gateway: text(|row| &row.gateway),
        backends: [text(|row| &row.backends[0]), text(|row| &row.backends[1])],
        deployment: text(|row| &row.deployment),
        network: text(|row| &row.network),
        subject: text(|row| &row.subject),
        status: known.iter().map(|row| row.status).max().unwrap_or(0),
        tokens: known.iter().filter_map(|row| row.tokens).max(),
        bytes: (largest(|row| row.sent), largest(|row| row.received)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::gateway::Backend;

    fn record(source: GatewaySource, at_ms: i64) -> GatewayCall {
        GatewayCall {
            source,
            gateway: "/s/g/apim-one".to_owned(),
            call: 7,
            at: Some(EventTime(at_ms)),
            network: String::new(),
            status: 200,
            backend_status: 200,
            duration_ms: None,
            request_bytes: None,
            response_bytes: None,
            operation: String::new(),
            api: String::new(),
            subscription: String::new(),
            product: String::new(),
            user: String::new(),
            backend: Backend::default(),
            model: String::new(),
            tokens: None,
            filter: None,
            probe: false,
            sequence: 0,
        }
    }

    fn two_logs() -> [GatewayRow; 2] {
        let log = GatewayCall {
            network: "203.0.113.0/24".to_owned(),
            subscription: "team".to_owned(),
            duration_ms: Some(900),
            backend: Backend { account: "aif".to_owned(), ..Backend::default() },
            ..record(GatewaySource::Log, 1_000)
        };
        let llm = GatewayCall {
            tokens: Some(Tokens { input: 5, cached: 0, output: 2 }),
            backend: Backend { deployment: "chat".to_owned(), ..Backend::default() },
            backend_status: 0,
            ..record(GatewaySource::Llm, 2_500)
        };
        [(log, 100_000), (llm, 50_000)]
            .map(|(call, enqueued)| GatewayRow::of(&call, ArrivalTime(enqueued)).unwrap())
    }

    #[test]
    fn two_logs_of_one_call_say_together_who_what_and_where() {
        let [log, llm] = two_logs();
        let all = merged(&[llm.clone(), log.clone()], ArrivalTime(100_000)).unwrap();
        assert_eq!(merged(&[log, llm], ArrivalTime(100_000)).unwrap(), all);
        assert_eq!((all.at.0, all.latest.0, all.tokens), (1_000, 1_900, Some((5, 2))));
        assert_eq!((&*all.backends[0], &*all.deployment, &*all.subject), ("aif", "chat", "team"));
    }

    #[test]
    fn what_the_hub_took_later_is_not_known_yet() {
        let rows = two_logs();
        let early = merged(&rows, ArrivalTime(50_000)).unwrap();
        assert_eq!((&*early.backends[0], early.tokens), ("", Some((5, 2))));
        assert_eq!(merged(&rows, ArrivalTime(49_999)), None);
    }

    #[test]
    fn probes_refusals_of_the_gateway_and_wrong_clocks_are_not_linked() {
        let now = ArrivalTime(10 * DAY_MS);
        let call = record(GatewaySource::Log, now.0 - 1);
        assert!(GatewayRow::of(&call, now).is_some());
        for wrong in [
            GatewayCall { probe: true, ..call.clone() },
            GatewayCall { backend_status: 0, ..call.clone() },
            GatewayCall { at: None, ..call.clone() },
            GatewayCall { at: Some(EventTime(0)), ..call.clone() },
            GatewayCall { duration_ms: Some(300_001), ..call },
        ] {
            assert_eq!(GatewayRow::of(&wrong, now), None, "{wrong:?}");
        }
    }
}
