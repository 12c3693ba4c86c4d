//! Where plays are played: accounts, deployments, people and networks drawn from the seed, and what usually
//! happens there.

use std::borrow::Cow;

use super::super::fleet::{Deployment, Fleet, guid};
use super::super::record::{Call, CallKind, seven_digits};
use super::super::{Options, Scenario, Simulation, TAIL_MS, random};
use super::log::{self, Operation, Outcome};
use super::{Showing, Version};
use crate::event::PartitionKey;
use crate::event::inventory::Snapshot;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

/// Event Hubs namespace that the plays take for ours.
pub const NAMESPACE: &str = "evhns-tokenwatch-watch";
/// The budget that plays about budgets need, in USD.
pub const BUDGET_USD_PER_MONTH: f64 = 300.0;

/// Hours before and in a play that is sent to a live hub: of older records nobody believes the time.
const LIVE_HOURS: (i64, i64) = (21, 2);

/// Where networks are. All lie in 198.18.0.0/15, which is set aside for tests (RFC 2544), so that lists can
/// say something of them and nobody is accused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The fleet's own offices.
    Office,
    /// A provider of lines in the country of the offices.
    Branch,
    /// The same of another country.
    Abroad,
    /// Rented servers, by a list.
    Hosting,
    /// Exits of Tor, by a list.
    Tor,
    /// A cloud that is on no list.
    Cloud,
}

impl Place {
    /// Every place with its networks, their number of an autonomous system and country (codes that ISO 3166-1
    /// leaves to users).
    pub const ALL: [(Self, &str, u32, &str); 6] = [
        (Self::Office, "198.18.0.0/17", 64_510, "XA"),
        (Self::Branch, "198.18.128.0/18", 64_511, "XA"),
        (Self::Abroad, "198.18.192.0/18", 64_512, "XB"),
        (Self::Hosting, "198.19.0.0/18", 64_513, "XA"),
        (Self::Tor, "198.19.64.0/18", 64_514, "XA"),
        (Self::Cloud, "198.19.128.0/17", 64_515, "XA"),
    ];

    /// First numbers of the second half of its addresses, and how many /24 it has from there.
    const fn range(self) -> (u8, u8, u8) {
        match self {
            Self::Office => (18, 0, 128),
            Self::Branch => (18, 128, 64),
            Self::Abroad => (18, 192, 64),
            Self::Hosting => (19, 0, 64),
            Self::Tor => (19, 64, 64),
            Self::Cloud => (19, 128, 128),
        }
    }
}

/// Somebody who acts on resources.
#[derive(Debug, Clone)]
pub(super) struct Person {
    /// Entra object id.
    pub(super) object: String,
    /// Sign-in name; `None` for an application.
    pub(super) user: Option<String>,
    /// Application the token was given to.
    pub(super) application: String,
    /// First three numbers of the address.
    pub(super) network: String,
}

/// One call that a play makes.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// Place of the deployment in the fleet.
    pub(super) deployment: usize,
    /// First three numbers of the caller's address.
    pub(super) network: String,
    /// Object id; empty for a key.
    pub(super) identity: String,
    /// What became of it.
    pub(super) kind: CallKind,
    /// Prompt and generated tokens.
    pub(super) tokens: (u32, u32),
    /// Prompt tokens found in the cache.
    pub(super) cached: u32,
    /// What was asked for, if not what the deployment is used for.
    pub(super) operation: Option<&'static str>,
}

impl Ask {
    /// A served call with a key.
    pub(super) fn served(deployment: usize, network: &str, tokens: (u32, u32)) -> Self {
        Self {
            deployment,
            network: network.to_owned(),
            identity: String::new(),
            kind: CallKind::Served,
            tokens,
            cached: 0,
            operation: None,
        }
    }

    /// The same, refused with a status.
    pub(super) fn refused(self, status: u16) -> Self {
        Self { kind: CallKind::Refused(status), ..self }
    }
}

/// A small fleet with its history, and what a play adds.
pub(super) struct Stage {
    /// For everything a play draws.
    pub(super) random: fastrand::Rng,
    /// Beginning of the history, in milliseconds since 1970, as are all times.
    pub(super) start_ms: i64,
    /// Beginning of the live part.
    pub(super) curtain_ms: i64,
    /// End.
    pub(super) end_ms: i64,
    /// Names of AI accounts: the first is the one that plays are about.
    pub(super) accounts: Vec<String>,
    /// Deployments: two of the first account, one of the second.
    pub(super) fleet: Fleet,
    /// Deploys and lists the keys of all accounts every night.
    pub(super) deployer: Person,
    /// Works for us.
    pub(super) colleague: Person,
    /// Has never been here.
    pub(super) stranger: Person,
    /// Mean calls per hour of a deployment.
    pub(super) calls_per_hour: f64,
    /// Arrival of the first record of what is played.
    pub(super) first_arrival: Option<i64>,
    version: Version,
    seed: u64,
    subscription: String,
    group: String,
    tenant: String,
    rows: Vec<(i64, String)>,
    readings: Vec<(i64, PartitionKey, String)>,
    taken: Vec<String>,
}

impl Stage {
    /// Draws the fleet and writes what usually happens.
    pub(super) fn new(showing: &Showing) -> Self {
        let mut random = random(showing.seed, showing.play.name, 0);
        let usual_ms = Options::default().start_ms + random.i64(0..28 * 24) * HOUR_MS;
        let (before_ms, hours) = match showing.ends_ms {
            Some(_) => (LIVE_HOURS.0 * HOUR_MS, LIVE_HOURS.1),
            None => (i64::from(showing.play.days) * DAY_MS, i64::from(showing.play.hours)),
        };
        let start_ms =
            showing.ends_ms.map_or(usual_ms, |ends_ms| ends_ms - hours * HOUR_MS - before_ms);
        let curtain_ms = start_ms + before_ms;
        let mut stage = Self {
            start_ms,
            curtain_ms,
            end_ms: curtain_ms + hours * HOUR_MS,
            accounts: Vec::new(),
            fleet: Fleet { deployments: Vec::new() },
            deployer: Person::nobody(),
            colleague: Person::nobody(),
            stranger: Person::nobody(),
            calls_per_hour: 0.5,
            first_arrival: None,
            version: showing.version,
            seed: showing.seed,
            subscription: guid(&mut random),
            group: format!("rg-{}", word(&mut random)),
            tenant: guid(&mut random),
            rows: Vec::new(),
            readings: Vec::new(),
            taken: Vec::new(),
            random,
        };
        stage.cast(showing.play.busy);
        stage.everyday();
        stage.first_arrival = None;
        stage
    }

    /// True when the look-alike is played.
    pub(super) const fn is_lawful(&self) -> bool {
        matches!(self.version, Version::Lawful)
    }

    /// Draws accounts, deployments and people.
    fn cast(&mut self, busy: usize) {
        let company = word(&mut self.random);
        for part in ["prod", "lab", "eu", "vault"] {
            let number = self.random.u32(1..90);
            self.accounts.push(format!("aif-{company}-{part}{number:02}"));
        }
        self.deployer = self.person(None, Place::Cloud);
        let name = format!("{}@{company}.example", word(&mut self.random));
        self.colleague = self.person(Some(name), Place::Office);
        let name = format!("{}@{company}.example", word(&mut self.random));
        let user = self.random.bool().then_some(name);
        self.stranger = self.person(user, Place::Abroad);
        for (place, (account, model)) in [(0, 0), (0, 2), (1, 1)].into_iter().enumerate() {
            self.deploy(account, model, if place < busy { 1.0 } else { 0.0 });
        }
    }

    /// Adds a deployment with callers of the offices; its place in the fleet.
    pub(super) fn deploy(&mut self, account: usize, model: usize, load: f64) -> usize {
        let account = self.accounts.get(account).cloned().unwrap_or_default();
        let number = self.random.u32(1..90);
        let name = format!("{}-{number}", word(&mut self.random));
        let callers = self.random.usize(2..=4);
        let callers: Vec<(String, String)> = (0..callers)
            .map(|_| {
                let network = self.network(Place::Office);
                let keyed = self.random.bool();
                (network, if keyed { String::new() } else { guid(&mut self.random) })
            })
            .collect();
        let peak = self.random.usize(0..24);
        let shape = (0..24).map(|hour| {
            let far = (hour + 24 - peak) % 24;
            if far.min(24 - far) < 6 { 1.4 } else { 0.6 }
        });
        let deployment = Deployment {
            resource: self.account_id(&account).to_uppercase(),
            account: Cow::Owned(account),
            name: Cow::Owned(name),
            model,
            load,
            callers,
            old_shape: self.random.u32(0..4) == 0,
            refused_percent: 0,
            silent_ms: 0..0,
            shape: shape.collect(),
            input: self.random.f64() * 2_000.0 + 800.0,
            output: self.random.f64() * 300.0 + 100.0,
            cached_share: 0.2,
        };
        self.fleet.deployments.push(deployment);
        self.fleet.deployments.len() - 1
    }

    /// A deployment of the fleet.
    pub(super) fn deployment(&mut self, place: usize) -> Option<&mut Deployment> {
        self.fleet.deployments.get_mut(place)
    }

    /// A network of a place that nobody has yet.
    pub(super) fn network(&mut self, place: Place) -> String {
        let (second, first, count) = place.range();
        // There are fewer callers in any play than networks in any place.
        for _ in 0..1_000 {
            let third = first.saturating_add(self.random.u8(0..count));
            let network = format!("198.{second}.{third}");
            if !self.taken.contains(&network) {
                self.taken.push(network.clone());
                return network;
            }
        }
        format!("198.{second}.{first}")
    }

    /// Somebody new.
    pub(super) fn person(&mut self, user: Option<String>, place: Place) -> Person {
        Person {
            object: guid(&mut self.random),
            user,
            application: guid(&mut self.random),
            network: self.network(place),
        }
    }

    /// An object id that nobody has.
    pub(super) fn guid(&mut self) -> String {
        guid(&mut self.random)
    }

    /// A word that nobody uses.
    pub(super) fn word(&mut self) -> String {
        word(&mut self.random)
    }

    /// Id of the subscription.
    pub(super) fn subscription_id(&self) -> String {
        format!("/subscriptions/{}", self.subscription)
    }

    /// Id of the resource group.
    pub(super) fn group_id(&self) -> String {
        format!("{}/resourceGroups/{}", self.subscription_id(), self.group)
    }

    /// Id of something in the resource group.
    pub(super) fn id(&self, kind: &str, name: &str) -> String {
        format!("{}/providers/{kind}/{name}", self.group_id())
    }

    /// Id of an AI account.
    fn account_id(&self, name: &str) -> String {
        self.id("Microsoft.CognitiveServices/accounts", name)
    }

    /// Id of the account with this place.
    pub(super) fn account(&self, place: usize) -> String {
        self.account_id(self.accounts.get(place).map_or("", String::as_str))
    }

    /// Id of a deployment of the fleet.
    pub(super) fn deployment_id(&self, place: usize) -> String {
        let deployment = self.fleet.deployments.get(place);
        let (account, name) = deployment.map_or(("", ""), |d| (&d.account, &d.name));
        format!("{}/deployments/{name}", self.account_id(account))
    }

    /// A moment of the live part, so many minutes after its beginning.
    pub(super) fn minute(&mut self, minutes: std::ops::Range<i64>) -> i64 {
        self.curtain_ms + self.random.i64(minutes.start * MINUTE_MS..minutes.end * MINUTE_MS)
    }

    /// A time between two minutes, as milliseconds.
    pub(super) fn span(&mut self, minutes: std::ops::Range<i64>) -> i64 {
        self.random.i64(minutes.start * MINUTE_MS..minutes.end * MINUTE_MS)
    }

    /// So many hours before the live part, give or take half an hour.
    pub(super) fn before(&mut self, hours: i64) -> i64 {
        self.curtain_ms - hours * HOUR_MS + self.random.i64(-30 * MINUTE_MS..30 * MINUTE_MS)
    }

    /// Writes the records of an operation on a resource.
    pub(super) fn operate(&mut self, at_ms: i64, who: &Person, operation: &Operation<'_>) {
        let records = log::records(at_ms, who, operation, &self.tenant, &mut self.random);
        for (delay_ms, text) in records {
            self.put(at_ms, at_ms + delay_ms, text);
        }
    }

    /// One that succeeds.
    pub(super) fn does(
        &mut self,
        at_ms: i64,
        who: &Person,
        (resource, what): (&str, &str),
        body: Option<serde_json::Value>,
    ) {
        self.operate(at_ms, who, &Operation { resource, what, body, outcome: Outcome::Done });
    }

    /// Writes the rows of a call that ends at a moment.
    pub(super) fn call(&mut self, at_ms: i64, ask: &Ask) {
        let Some(deployment) = self.fleet.deployments.get(ask.deployment) else { return };
        let (network, identity) = (ask.network.clone(), ask.identity.clone());
        let (input, output) = ask.tokens;
        let call = Call {
            kind: ask.kind,
            input,
            cached: ask.cached,
            output,
            hostile: true,
            operation: ask.operation,
            ..Call::of(deployment, at_ms, network, identity, &mut self.random)
        };
        for (delay_ms, text) in call.rows(&mut self.random) {
            self.put(at_ms, at_ms + delay_ms, text);
        }
    }

    /// Writes a record of another kind, which reaches the hub `delay_ms` later.
    pub(super) fn tell(&mut self, at_ms: i64, delay_ms: i64, record: String) {
        self.put(at_ms, at_ms + delay_ms, record);
    }

    /// Writes what metrics count of the first account's requests in a minute.
    pub(super) fn count(&mut self, minute_ms: i64, requests: i64) {
        let point = serde_json::json!({
            "count": 1, "total": requests, "minimum": requests, "maximum": requests,
            "average": requests, "resourceId": self.account(0).to_uppercase(),
            "time": crate::time::EventTime(minute_ms).to_string(), "metricName": "ModelRequests",
            "timeGrain": "PT1M",
        });
        let body = serde_json::json!({ "records": [point] });
        self.tell(minute_ms, 4 * MINUTE_MS, body.to_string());
    }

    /// Writes a part of our own reading of the inventory, as long after its moment as it takes to read.
    pub(super) fn find(&mut self, snapshot: &Snapshot) {
        let Some(body) = snapshot.body().and_then(|body| String::from_utf8(body).ok()) else {
            return;
        };
        let told = snapshot.at.0 + MINUTE_MS;
        self.arrive(snapshot.at.0, told);
        self.readings.push((told, PartitionKey::inventory(&snapshot.subscription), body));
    }

    /// The same of a call that comes through a gateway, of which the gateway's own logs tell too.
    pub(super) fn call_through(&mut self, at_ms: i64, ask: &Ask) {
        self.call(at_ms, ask);
        let Some(Deployment { account, name, .. }) = self.fleet.deployments.get(ask.deployment)
        else {
            return;
        };
        let id = guid(&mut self.random.clone());
        let head = |category: &str, resource: &str| {
            format!(
                "{{\"category\":\"{category}\",\"correlationId\":\"{id}\",\"time\":\"{}\",\
                 \"resourceId\":\"{resource}\"",
                seven_digits(at_ms - 900)
            )
        };
        let gateway = self.id("Microsoft.ApiManagement/service", "apim-front").to_uppercase();
        let log = format!(
            "{},\"durationMs\":1500,\"callerIpAddress\":\"198.18.1.7\",\"properties\":{{\
             \"apimSubscriptionId\":\"team\",\"responseCode\":200,\"backendResponseCode\":200,\"backendUrl\":\
             \"https://{account}.openai.azure.com/openai/deployments/{name}/chat/completions\"}}}}",
            head("GatewayLogs", &gateway)
        );
        let (input, output) = ask.tokens;
        let tokens = format!(
            "{},\"properties\":{{\"requestId\":\"{id}\",\"deploymentName\":\"{name}\",\"promptTokens\":{input},\
             \"completionTokens\":{output},\"totalTokens\":{}}}}}",
            head("GatewayLlmLogs", &gateway),
            input + output
        );
        for text in [log, tokens] {
            let delay_ms = self.random.i64(60_000..200_000);
            self.put(at_ms, at_ms + delay_ms, text);
        }
    }

    /// Takes this moment for the arrival of what is played: of a silence nothing arrives.
    pub(super) const fn note_arrival(&mut self, at_ms: i64) {
        self.first_arrival = Some(at_ms);
    }

    fn put(&mut self, at_ms: i64, enqueued_ms: i64, text: String) {
        let enqueued_ms = enqueued_ms.clamp(self.start_ms, self.end_ms + TAIL_MS);
        self.arrive(at_ms, enqueued_ms);
        self.rows.push((enqueued_ms, text));
    }

    /// Notes the arrival of something that is played, unless it is of the time before.
    fn arrive(&mut self, at_ms: i64, told_ms: i64) {
        if at_ms >= self.curtain_ms {
            let first = self.first_arrival.map_or(told_ms, |first| first.min(told_ms));
            self.first_arrival = Some(first);
        }
    }

    /// What the deployer and a colleague do every day: keys of all accounts but the last, which has none,
    /// deployments written as they are, and things that no detector is about.
    fn everyday(&mut self) {
        let (deployer, colleague) = (self.deployer.clone(), self.colleague.clone());
        let (nightly, daily) = (self.random.i64(0..DAY_MS), self.random.i64(0..DAY_MS));
        for day in 0.. {
            let today = self.start_ms + day * DAY_MS;
            if today >= self.end_ms {
                break;
            }
            let night = today + nightly;
            for place in 0..3 {
                let at = night + place * 90_000 + self.span(0..1);
                let account = self.account(usize::try_from(place).unwrap_or(0));
                self.usual(at, &deployer, (&account, LIST_KEYS), None);
            }
            let place = self.random.usize(0..3);
            let (deployment, body) = (self.deployment_id(place), self.deployment_body(place, 50));
            let at = today + daily + self.span(0..60);
            self.usual(at, &deployer, (&deployment, DEPLOY), Some(body));
            let at = today + self.span(0..24 * 60);
            let machine = self.id("Microsoft.Compute/virtualMachines", "vm-build");
            let start = "Microsoft.Compute/virtualMachines/start/action";
            self.usual(at, &colleague, (&machine, start), None);
            let account = self.account(self.random.clone().usize(0..4));
            let tags = serde_json::json!({ "tags": { "owner": colleague.user }, "properties": {} });
            let at = today + self.span(0..24 * 60);
            self.usual(at, &colleague, (&account, WRITE), Some(tags));
        }
    }

    /// What happens anyway, up to the end.
    fn usual(
        &mut self,
        at_ms: i64,
        who: &Person,
        what: (&str, &str),
        body: Option<serde_json::Value>,
    ) {
        if at_ms < self.end_ms - 15 * MINUTE_MS {
            self.does(at_ms, who, what, body);
        }
    }

    /// A deployment of the fleet as it is written, with so much capacity.
    pub(super) fn deployment_body(&self, place: usize, capacity: u64) -> serde_json::Value {
        let model = self.fleet.deployments.get(place).map_or(0, |deployment| deployment.model);
        let (name, version, _) =
            super::super::fleet::MODELS.get(model).copied().unwrap_or_default();
        serde_json::json!({
            "sku": { "name": "GlobalStandard", "capacity": capacity },
            "properties": {
                "model": { "format": "OpenAI", "name": name, "version": version },
                "raiPolicyName": "Microsoft.DefaultV2",
            }
        })
    }

    /// Everything as a simulation.
    pub(super) fn simulation(self) -> Simulation {
        let hours = (self.curtain_ms - self.start_ms) / HOUR_MS;
        let minutes = (self.end_ms - self.curtain_ms) / MINUTE_MS;
        let options = Options {
            scenario: Scenario::Quiet,
            seed: self.seed,
            start_ms: self.start_ms,
            history_hours: u32::try_from(hours).unwrap_or(0),
            live_minutes: u32::try_from(minutes).unwrap_or(0),
            calls_per_hour: self.calls_per_hour,
            ..Options::default()
        };
        let (staged, readings) = (self.rows, self.readings);
        Simulation { options, fleet: self.fleet, attack: None, staged, readings }
    }
}

/// Operations that several plays write.
pub(super) const LIST_KEYS: &str = "Microsoft.CognitiveServices/accounts/listKeys/action";
pub(super) const WRITE: &str = "Microsoft.CognitiveServices/accounts/write";
pub(super) const DEPLOY: &str = "Microsoft.CognitiveServices/accounts/deployments/write";

impl Person {
    const fn nobody() -> Self {
        Self {
            object: String::new(),
            user: None,
            application: String::new(),
            network: String::new(),
        }
    }
}

/// A pronounceable word.
fn word(random: &mut fastrand::Rng) -> String {
    let syllables = random.usize(2..=3);
    let mut word = String::new();
    for _ in 0..syllables {
        for letters in ["bdfgklmnprstvz", "aeiou"] {
            let place = random.usize(0..letters.len());
            word.extend(letters.chars().nth(place));
        }
    }
    word
}
