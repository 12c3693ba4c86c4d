//! Azure Monitor of one region, in the documented shape, and what it really measured.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokenwatch::azure::Clock;
use tokenwatch::decode::{decode, signal_of};
use tokenwatch::event::Event;
use tokenwatch::source::metrics_api::{METRICS, subscription_of};
use tokenwatch::time::{EventTime, MINUTE_MS};

use crate::rest_server::{Reply, Request, TOKEN};

/// What tokens are for.
pub(crate) const AUDIENCE: &str = "https://metrics.monitor.azure.com";
/// A minute younger than this is told by half.
const YOUNG_MS: i64 = 3 * MINUTE_MS;
pub(crate) const DEPLOYMENTS: [&str; 2] = ["chat-prod", "agent-prod"];
pub(crate) const SUBSCRIPTIONS: [&str; 2] =
    ["3f0c1d2e-7a4b-4c58-9d6e-1b2a3c4d5e6f", "aaaaaaaa-7a4b-4c58-9d6e-1b2a3c4d5e6f"];

/// Account, deployment, metric, minute.
pub(crate) type Point = (String, String, String, i64);
pub(crate) type Points = BTreeMap<Point, f64>;

pub(crate) fn account(subscription: usize, number: usize) -> String {
    let subscription = SUBSCRIPTIONS.get(subscription).unwrap();
    format!(
        "/subscriptions/{subscription}/resourcegroups/rg/providers/microsoft.cognitiveservices/accounts/ai{number}"
    )
}

/// What a minute really had; every seventh had nothing.
fn truth(account: &str, deployment: &str, metric: &str, minute: i64) -> Option<f64> {
    let text = format!("{account}{deployment}{metric}{minute}");
    let hash = text.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    (hash % 7 != 0).then_some(f64::from(hash % 100_000) * 2.0)
}

/// What Azure says of a minute: half of it at first.
fn told(point: &Point, now_ms: i64) -> Option<f64> {
    let (account, deployment, metric, minute) = point;
    let whole = truth(account, deployment, metric, *minute)?;
    let young = now_ms - (minute + MINUTE_MS) < YOUNG_MS;
    Some(if young { whole / 2.0 } else { whole })
}

/// Everything Azure says of these minutes.
pub(crate) fn expected(accounts: &[String], from: i64, until: i64, now_ms: i64) -> Points {
    let mut points = Points::new();
    for account in accounts {
        for deployment in DEPLOYMENTS {
            for metric in METRICS {
                for minute in (from..until).step_by(60_000) {
                    let point = (account.clone(), deployment.to_owned(), metric.to_owned(), minute);
                    if let Some(value) = told(&point, now_ms) {
                        points.insert(point, value);
                    }
                }
            }
        }
    }
    points
}

/// Takes the points of a body; the last number of a point holds.
pub(crate) fn absorb(body: &[u8], points: &mut Points) {
    let decoded = decode(body);
    assert_eq!((decoded.rejected.as_slice(), decoded.unknown.len()), ([].as_slice(), 0));
    for event in decoded.events {
        assert!(matches!(event, Event::Metric(_)), "{event:?}");
        let Event::Metric(metric) = event else { continue };
        assert_eq!((metric.grain_ms, metric.model.as_str()), (Some(60_000), ""));
        let value = if metric.signal.is_rate() { metric.average } else { metric.total };
        let point = (metric.resource, metric.deployment, metric.name, metric.start.0);
        points.insert(point, value.unwrap());
    }
}

/// A question as the server understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) subscription: String,
    pub(crate) metrics: usize,
    pub(crate) accounts: usize,
    pub(crate) from: i64,
    pub(crate) until: i64,
    pub(crate) token: String,
}

/// Azure Monitor of one region.
pub(crate) struct Monitor {
    clock: Clock,
    pub(crate) asked: Mutex<Vec<Asked>>,
    /// What the next questions get instead of an answer.
    pub(crate) faults: Mutex<VecDeque<Reply>>,
    /// Subscriptions on which we have no role.
    pub(crate) closed: Mutex<BTreeSet<String>>,
    /// Accounts about which an answer can still be read.
    pub(crate) readable: Mutex<usize>,
}

impl Monitor {
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            asked: Mutex::default(),
            faults: Mutex::default(),
            closed: Mutex::default(),
            readable: Mutex::new(usize::MAX),
        })
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn reply(&self, request: &Request) -> Reply {
        let asked = match understood(request) {
            Ok(asked) => asked,
            Err(what) => {
                let body = json!({ "error": { "code": "BadRequest", "message": what } });
                return Reply::Answer(400, String::new(), body.to_string().into_bytes());
            }
        };
        self.asked.lock().unwrap().push(asked.clone());
        if let Some(fault) = self.faults.lock().unwrap().pop_front() {
            return fault;
        }
        if self.closed.lock().unwrap().contains(&asked.subscription) {
            let body = r#"{"error":{"code":"AuthorizationFailed","message":"no access"}}"#;
            return Reply::Answer(403, String::new(), body.as_bytes().to_vec());
        }
        if asked.accounts > *self.readable.lock().unwrap() {
            return Reply::Answer(200, String::new(), vec![b' '; 17 * 1024 * 1024]);
        }
        Reply::json(&self.answer(request, &asked))
    }

    fn answer(&self, request: &Request, asked: &Asked) -> String {
        let now_ms = (self.clock)();
        let names: Vec<_> = request.query.get("metricnames").unwrap().split(',').collect();
        let point = |account: &str, deployment: &str, metric: &str, minute: i64| {
            let at = EventTime(minute).to_string();
            let point = (account.to_owned(), deployment.to_owned(), metric.to_owned(), minute);
            match told(&point, now_ms) {
                None => json!({ "timeStamp": at }),
                Some(value) if signal_of(metric).is_rate() => {
                    json!({ "timeStamp": at, "average": value, "maximum": value })
                }
                Some(value) => json!({ "timeStamp": at, "total": value }),
            }
        };
        let minutes = || (asked.from..asked.until).step_by(60_000);
        let series = |account: &str, metric: &str| {
            let each = DEPLOYMENTS.iter().map(|deployment| {
                let name = json!({ "value": "modeldeploymentname", "localizedValue": "modeldeploymentname" });
                let data: Vec<_> = minutes().map(|at| point(account, deployment, metric, at)).collect();
                json!({ "metadatavalues": [{ "name": name, "value": deployment }], "data": data })
            });
            each.collect::<Vec<_>>()
        };
        let items = resources(request).into_iter().map(|account| {
            let value: Vec<_> = names.iter().map(|metric| json!({
                "id": format!("{account}/providers/Microsoft.Insights/metrics/{metric}"),
                "type": "Microsoft.Insights/metrics",
                "name": { "value": metric, "localizedValue": metric },
                "unit": "Count",
                "timeseries": series(&account, metric),
                "errorCode": "Success",
            })).collect();
            json!({
                "starttime": request.query.get("starttime"), "endtime": request.query.get("endtime"),
                "interval": "PT1M", "value": value,
                "namespace": "microsoft.cognitiveservices/accounts",
                "resourceregion": "eastus2", "resourceid": account,
            })
        });
        json!({ "values": items.collect::<Vec<_>>() }).to_string()
    }
}

fn resources(request: &Request) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    let list = body.get("resourceids").and_then(|list| list.as_array()).unwrap();
    list.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// Holds a question to the documentation and to the limits of Azure.
fn understood(request: &Request) -> Result<Asked, String> {
    let parts: Vec<_> = request.path.split('/').collect();
    let ["", "subscriptions", subscription, "metrics:getBatch"] = parts.as_slice() else {
        return Err(format!("path {}", request.path));
    };
    let query = |name: &str| request.query.get(name).cloned().unwrap_or_default();
    let time = |name: &str| tokenwatch::time::parse(&query(name)).filter(|at| at % MINUTE_MS == 0);
    let (Some(from), Some(until)) = (time("starttime"), time("endtime")) else {
        return Err("times".to_owned());
    };
    let token = request.headers.get("authorization").and_then(|text| text.strip_prefix("Bearer "));
    let token = token.filter(|token| token.starts_with(TOKEN)).ok_or("token")?.to_owned();
    let (accounts, metrics) = (resources(request), query("metricnames").split(',').count());
    let rates = query("metricnames").split(',').filter(|name| signal_of(name).is_rate()).count();
    let aggregation = if rates > 0 { "average,maximum" } else { "total" };
    let fine = request.method == "POST"
        && request.headers.get("content-type").is_some_and(|kind| kind == "application/json")
        && ["2023-10-01", "2024-02-01"].contains(&query("api-version").as_str())
        && query("metricnamespace").eq_ignore_ascii_case("microsoft.cognitiveservices/accounts")
        && query("interval") == "PT1M"
        && query("filter") == "ModelDeploymentName eq '*'"
        && query("aggregation") == aggregation
        && (rates == 0 || rates == metrics)
        && query("top").parse().is_ok_and(|top: u32| top >= 1_000)
        && (1..=50).contains(&accounts.len())
        && (1..=20).contains(&metrics)
        && accounts.iter().all(|id| subscription_of(id) == *subscription)
        && from < until
        && until - from <= 31 * 24 * 60 * MINUTE_MS;
    let asked = Asked {
        subscription: (*subscription).to_owned(),
        metrics,
        accounts: accounts.len(),
        from,
        until,
        token,
    };
    if fine { Ok(asked) } else { Err(format!("{request:?}")) }
}

/// Fails on the first difference, without printing thousands of points.
#[track_caller]
pub(crate) fn same(found: &Points, expected: &Points) {
    let differs = expected.iter().find(|(point, value)| found.get(point) != Some(value));
    assert_eq!(
        differs,
        None,
        "of {} points; found {:?}",
        expected.len(),
        differs.map(|(p, _)| found.get(p))
    );
    assert_eq!(found.len(), expected.len());
}
