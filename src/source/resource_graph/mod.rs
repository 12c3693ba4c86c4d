//! What there is in some subscriptions, read through Azure Resource Manager.
//!
//! Every part is read for itself: one that is refused, gone or too long is called so in the
//! [`Inventory`] and costs no other part.

mod parts;
pub mod poll;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt as _, stream};
use reqwest::Url;

use crate::azure::{Bounds, Client, Clock, Identity, Listing, Pace, RestError, Service};
use crate::event::control::{ConnectionState, Target};
use crate::event::inventory::List;
use crate::incident::respond::quoted;
use crate::posture::inventory::{
    Cause, Definition, Inventory, Kind, Part, Quota, Resource, Subscription, Unread, destination,
};
use crate::posture::read;
use crate::time::EventTime;
use parts::Question;

/// Questions under way at once.
const AT_ONCE: usize = 4;
/// Event hubs, and definitions of policies, that are looked at; one beyond is called unread.
const MAX_NAMED: usize = 300;
/// Projects of one account whose connections are asked for, one after the other.
const MAX_PROJECTS: usize = 100;
/// Where Azure's public cloud is managed.
pub const PUBLIC: &str = "https://management.azure.com";

/// Where the inventory is read, and as whom.
#[derive(Debug, Clone)]
pub struct InventorySettings {
    /// `https://management.azure.com`, or that of another cloud.
    pub endpoint: Url,
    /// Who we are.
    pub identity: Identity,
    /// Ids of subscriptions.
    pub subscriptions: BTreeSet<String>,
    /// How much is read of one list, and how patiently.
    pub bounds: Bounds,
}

impl InventorySettings {
    /// What tokens are for: the cloud of the endpoint.
    fn scope(&self) -> String {
        let host = self.endpoint.host_str().unwrap_or_default();
        if host.starts_with("management.") {
            return format!("https://{host}/.default");
        }
        format!("{PUBLIC}/.default")
    }
}

/// The id of a subscription in lower case; `None` for what is none.
#[must_use]
pub fn subscription_id(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let places = [8, 13, 18, 23];
    let fits = |(place, c): (usize, char)| match places.contains(&place) {
        true => c == '-',
        false => c.is_ascii_hexdigit(),
    };
    (lower.len() == 36 && lower.char_indices().all(fits)).then_some(lower)
}

/// How far reading is: questions answered, of those known so far.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Send + Sync);

/// Reads the inventory of all subscriptions. What could not be read is in it, by name.
///
/// Cancel safe in that nothing is held by a reading that was dropped.
///
/// # Errors
/// No certificate is trusted on this machine.
pub async fn read(
    settings: InventorySettings,
    pace: Pace,
    clock: Clock,
    tell: Progress<'_>,
) -> Result<Inventory, RestError> {
    let client = client(&settings, pace, &clock)?;
    let reader = Reader::new(client, settings.bounds, pace, tell);
    let mut inventory = Inventory {
        version: Inventory::VERSION,
        at: EventTime(clock().div_euclid(1_000) * 1_000),
        subscriptions: BTreeMap::new(),
        hubs: BTreeMap::new(),
        definitions: BTreeMap::new(),
    };
    for id in &settings.subscriptions {
        let id = id.to_ascii_lowercase();
        let subscription = Box::pin(reader.subscription(&id)).await;
        inventory.subscriptions.insert(id, subscription);
    }
    let hubs = named(hubs(&inventory));
    inventory.hubs = reader.each(hubs, |id| reader.hub(id)).await;
    let definitions = named(definitions(&inventory));
    inventory.definitions = reader.each(definitions, |id| reader.definition(id)).await;
    Ok(inventory)
}

fn client(settings: &InventorySettings, pace: Pace, clock: &Clock) -> Result<Client, RestError> {
    let service = Service {
        base: settings.endpoint.clone(),
        scope: settings.scope(),
        identity: settings.identity.clone(),
        needs: parts::READER,
    };
    Client::new(service, pace, Arc::clone(clock))
}

/// The first of them: what is beyond is found in no map, and therefore unknown.
fn named(mut ids: BTreeSet<String>) -> BTreeSet<String> {
    if let Some(first) = ids.iter().nth(MAX_NAMED).cloned() {
        drop(ids.split_off(&first));
    }
    ids
}

/// Event hubs that settings send to.
fn hubs(inventory: &Inventory) -> BTreeSet<String> {
    let settings = inventory.resources().filter_map(|(.., resource)| resource.settings.value());
    let all = settings.flat_map(BTreeMap::values).map(destination);
    all.filter(|id| id.starts_with("/subscriptions/")).collect()
}

/// Definitions that are assigned.
fn definitions(inventory: &Inventory) -> BTreeSet<String> {
    let subscriptions = inventory.subscriptions.values();
    let assigned = subscriptions.filter_map(|subscription| subscription.assignments.value());
    let all = assigned.flat_map(BTreeMap::values).map(|held| held.state.definition.clone());
    all.filter(|id| !id.is_empty()).collect()
}

struct Reader<'a> {
    client: Client,
    bounds: Bounds,
    pace: Pace,
    tell: Progress<'a>,
    /// Questions answered, and questions known.
    counts: (AtomicUsize, AtomicUsize),
}

impl<'a> Reader<'a> {
    const fn new(client: Client, bounds: Bounds, pace: Pace, tell: Progress<'a>) -> Self {
        let counts = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { client, bounds, pace, tell, counts }
    }
}

impl Reader<'_> {
    /// Asks something about every id, a few at once.
    async fn each<'i, T, F: Future<Output = T>>(
        &self,
        ids: impl IntoIterator<Item = String>,
        ask: impl Fn(String) -> F + 'i,
    ) -> BTreeMap<String, T> {
        let questions: Vec<_> = ids
            .into_iter()
            .map(|id| {
                let question = ask(id.clone());
                async move { (id, question.await) }
            })
            .collect();
        stream::iter(questions).buffer_unordered(AT_ONCE).collect().await
    }

    async fn subscription(&self, id: &str) -> Subscription {
        let name = match self.one(&parts::subscription(id)).await {
            Ok(body) => parts::display_name(&body),
            // Whoever may not see the subscription may yet see what is in it.
            Err(Unread { cause: Cause::Forbidden, .. }) => String::new(),
            Err(unread) => return parts::unread(&unread),
        };
        let (accounts, searches, workspaces, assignments, roles, budgets, locks) = tokio::join!(
            self.resources(id, Kind::Account),
            self.resources(id, Kind::Search),
            self.resources(id, Kind::Workspace),
            self.list(parts::assignments(id), read::assignment),
            self.list(parts::roles(id), read::role),
            self.list(parts::budgets(id), read::budget),
            self.list(parts::locks(id), read::lock),
        );
        let regions: BTreeSet<String> = accounts
            .value()
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(|account: &Resource| account.state.location.clone())
            .filter(|region| !region.is_empty())
            .collect();
        let quotas = self.each(regions, |region| self.quotas(id, region)).await;
        let (accounts, searches, workspaces) = (
            self.details(accounts).await,
            self.details(searches).await,
            self.details(workspaces).await,
        );
        Subscription {
            name,
            accounts,
            searches,
            workspaces,
            quotas,
            assignments,
            roles,
            budgets,
            locks,
        }
    }

    async fn resources(&self, id: &str, kind: Kind) -> Part<BTreeMap<String, Resource>> {
        let later = Unread {
            cause: Cause::Failed,
            reason: "it was not asked for".to_owned(),
            said: String::new(),
            mend: String::new(),
        };
        self.list(parts::resources(id, kind), |body| read::resource(body, kind, &later)).await
    }

    /// What is asked for of each resource.
    async fn details(
        &self,
        part: Part<BTreeMap<String, Resource>>,
    ) -> Part<BTreeMap<String, Resource>> {
        let (resources, limit) = match part {
            Part::Read(resources) => (resources, None),
            Part::Cut { value, limit } => (value, Some(limit)),
            Part::Unread(unread) => return Part::Unread(unread),
        };
        let filled: Vec<_> =
            resources.into_iter().map(|(id, resource)| self.filled(id, resource)).collect();
        let value = stream::iter(filled).buffer_unordered(AT_ONCE).collect().await;
        match limit {
            None => Part::Read(value),
            Some(limit) => Part::Cut { value, limit },
        }
    }

    async fn filled(&self, id: String, mut resource: Resource) -> (String, Resource) {
        resource.settings = self.list(parts::settings(&id), read::setting).await;
        if resource.kind == Kind::Account && !resource.is_gone() {
            let deployments = self.list(parts::below(&id, "deployments"), read::deployment).await;
            resource.deployments = Some(deployments);
        }
        // Other kinds of accounts have neither filters nor projects: they are not asked.
        if resource.serves_models() && !resource.is_gone() {
            resource.filters =
                Some(self.list(parts::below(&id, "raiPolicies"), read::filter).await);
        }
        if resource.has_projects() && !resource.is_gone() {
            resource.connections = Some(self.connections(&id).await);
        }
        (id, resource)
    }

    /// Connections of an account and of its projects, as one list.
    async fn connections(&self, account: &str) -> Part<BTreeMap<String, ConnectionState>> {
        let projects = parts::below(account, "projects");
        let projects: Part<BTreeSet<String>> = self.list(projects, read::project).await;
        let own = self.connections_of(account).await;
        let mut all = joined(own, projects.map(|_| BTreeMap::new()));
        for (place, project) in projects.value().into_iter().flatten().enumerate() {
            let more = if place < MAX_PROJECTS {
                self.connections_of(project).await
            } else {
                let limit = format!("of {MAX_PROJECTS} projects only were they asked for");
                Part::Cut { value: BTreeMap::new(), limit }
            };
            all = joined(all, more);
        }
        all
    }

    async fn connections_of(&self, owner: &str) -> Part<BTreeMap<String, ConnectionState>> {
        // Azure's examples give ids of another form than the activity log does.
        let list = List { target: Target::Connection, of: owner.to_owned() };
        let member = |body: &str| read::connection(body).map(|(name, to)| (list.member(&name), to));
        self.list(parts::below(owner, "connections"), member).await
    }

    async fn quotas(&self, id: &str, region: String) -> Part<Vec<Quota>> {
        self.list(parts::quotas(id, &region), read::quota).await
    }

    async fn hub(&self, id: String) -> Part<bool> {
        match self.one(&parts::hub(&id)).await {
            Ok(body) => match read::hub(&body) {
                Some(alive) => Part::Read(alive),
                None => Part::Unread(parts::failed("its answer says no state")),
            },
            Err(unread) => Part::Unread(unread),
        }
    }

    async fn definition(&self, id: String) -> Part<Definition> {
        if !id.contains("/policydefinitions/") {
            return Part::Unread(parts::failed("it is a set, whose policies are not read"));
        }
        match self.one(&parts::definition(&id)).await {
            Ok(body) => match read::definition(&body) {
                Some(definition) => Part::Read(definition),
                None => Part::Unread(parts::failed("its definition is not as documented")),
            },
            Err(unread) => Part::Unread(unread),
        }
    }

    /// A whole list, each element read; those that cannot be are counted.
    async fn list<T, C: Default + Extend<T>>(
        &self,
        question: Question,
        read: impl Fn(&str) -> Option<T>,
    ) -> Part<C> {
        let url = self.client.address(&question.path, &question.query);
        self.asked();
        let listing = self.client.list(url, &question.needs(), self.bounds, &self.pace).await;
        self.answered();
        let Listing { items, cut } = match listing {
            Ok(listing) => listing,
            Err(error) => return Part::Unread(unread(&question, &error)),
        };
        let mut value = C::default();
        let mut strange = 0;
        for item in &items {
            match read(item) {
                Some(element) => value.extend([element]),
                None if question.skips => {}
                None => strange += 1,
            }
        }
        let strange =
            (strange > 0).then(|| format!("{strange} of {} are not as documented", items.len()));
        match cut.or(strange) {
            None => Part::Read(value),
            Some(limit) => Part::Cut { value, limit },
        }
    }

    async fn one(&self, question: &Question) -> Result<String, Unread> {
        let url = self.client.address(&question.path, &question.query);
        self.asked();
        let answer = self.client.patiently(&url, &question.needs(), self.bounds, &self.pace).await;
        self.answered();
        answer.map_err(|error| unread(question, &error))
    }

    fn asked(&self) {
        let all = self.counts.1.fetch_add(1, Ordering::Relaxed) + 1;
        (self.tell)(self.counts.0.load(Ordering::Relaxed), all);
    }

    fn answered(&self) {
        let done = self.counts.0.fetch_add(1, Ordering::Relaxed) + 1;
        (self.tell)(done, self.counts.1.load(Ordering::Relaxed));
    }
}

/// Two lists as one, which is whole where both are.
fn joined<T>(
    one: Part<BTreeMap<String, T>>,
    other: Part<BTreeMap<String, T>>,
) -> Part<BTreeMap<String, T>> {
    let limit = one.lack().or_else(|| other.lack());
    let value = match (one, other) {
        (Part::Unread(unread), Part::Unread(_)) => return Part::Unread(unread),
        (Part::Unread(_), Part::Read(value) | Part::Cut { value, .. })
        | (Part::Read(value) | Part::Cut { value, .. }, Part::Unread(_)) => value,
        (
            Part::Read(mut value) | Part::Cut { mut value, .. },
            Part::Read(more) | Part::Cut { value: more, .. },
        ) => {
            value.extend(more);
            value
        }
    };
    match limit {
        None => Part::Read(value),
        Some(limit) => Part::Cut { value, limit },
    }
}

/// Why a part is unread, in words that fit a card.
fn unread(question: &Question, error: &RestError) -> Unread {
    let said = error.to_string();
    let (role, scope) = (question.role, &question.scope);
    match error {
        RestError::Forbidden { .. } => Unread {
            cause: Cause::Forbidden,
            reason: format!("it needs the role {role} (403)"),
            said,
            mend: format!(
                "az role assignment create --assignee IDENTITY --role {} --scope {}",
                quoted(role),
                quoted(scope)
            ),
        },
        RestError::NotFound { .. } => Unread {
            cause: Cause::Gone,
            reason: "it is not there (404)".to_owned(),
            said,
            mend: String::new(),
        },
        RestError::Identity(_)
        | RestError::Unauthorized { .. }
        | RestError::Refused { .. }
        | RestError::Misunderstood { .. }
        | RestError::TooLarge { .. }
        | RestError::Busy { .. }
        | RestError::Passing(_) => {
            Unread { cause: Cause::Failed, reason: said.clone(), said, mend: String::new() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_the_cloud_of_the_endpoint() {
        for (endpoint, scope) in [
            ("https://management.azure.com", "https://management.azure.com/.default"),
            (
                "https://management.usgovcloudapi.net",
                "https://management.usgovcloudapi.net/.default",
            ),
            ("https://localhost:1", "https://management.azure.com/.default"),
        ] {
            let settings = InventorySettings {
                endpoint: endpoint.parse().unwrap(),
                identity: Identity::Cli,
                subscriptions: BTreeSet::new(),
                bounds: Bounds::default(),
            };
            assert_eq!(settings.scope(), scope);
        }
    }

    #[test]
    fn two_lists_are_one_that_is_whole_where_both_are() {
        let read = |name: &str| Part::Read(BTreeMap::from([(name.to_owned(), 1)]));
        let cut = |part: Part<BTreeMap<String, i32>>| match part {
            Part::Read(value) | Part::Cut { value, .. } => {
                Part::Cut { value, limit: "why".to_owned() }
            }
            Part::Unread(unread) => Part::Unread(unread),
        };
        let unread = || Part::Unread(parts::failed("why"));
        let both = Part::Read(BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 1)]));
        assert_eq!(joined(read("a"), read("b")), both);
        assert_eq!(joined(cut(read("a")), read("b")), cut(both.clone()));
        assert_eq!(joined(read("a"), cut(read("b"))), cut(both));
        assert_eq!(joined(read("a"), unread()), cut(read("a")));
        assert_eq!(joined(unread(), read("b")), cut(read("b")));
        let none: Part<BTreeMap<String, i32>> = joined(unread(), unread());
        assert_eq!(none, unread());
    }

    #[test]
    fn what_is_looked_at_by_name_is_bounded() {
        let ids: BTreeSet<String> = (0..1_000).map(|number| format!("{number:04}")).collect();
        let kept = named(ids.clone());
        assert_eq!((kept.len(), kept.last().map(String::as_str)), (MAX_NAMED, Some("0299")));
        assert_eq!(named(kept.clone()), kept);
    }
}
