//! The router: what each receiver was told, what waits, and what leaves now.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::matcher::Labels;
use super::silence::{Armed, Silence};
use super::{NotifyReason, Plan, Route, Routing, Told, reason};
use crate::action::{Action, Answer, Deed};
use crate::incident::digest::{Digest, Gathering};
use crate::incident::{Announcement, Incident, Kind, Severity, UNDELIVERABLE};
use crate::money::NanoUsd;
use crate::time::{ArrivalTime, DAY_MS, EventTime, MINUTE_MS};

/// What is held back is looked at again after this long.
const RECHECK_MS: i64 = 30_000;
/// Our clock and the hub's are held to be on one time line while they lie less than this apart: the
/// longest that Event Hubs keeps events without a dedicated tier.
const ONE_TIME_MS: i64 = 7 * DAY_MS;
/// Silences that are kept at once.
const MAX_SILENCES: usize = 1_000;

/// One message on its way to a destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Name of the destination.
    pub receiver: String,
    /// Why it leaves; of several incidents the reason of the first.
    pub reason: NotifyReason,
    /// What it says.
    pub content: Content,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// One incident.
    One(Box<Announcement>),
    /// Several.
    Many(Digest),
}

/// What the router is told in one step.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Our own clock, milliseconds since 1970.
    pub now_ms: i64,
    /// Incidents that are new or different; the last of each key counts.
    pub incidents: &'a [&'a Incident],
    /// What the engine holds worth telling, in order.
    pub announcements: &'a [Announcement],
    /// What people have asked for; those about silences are done here.
    pub actions: &'a [Action],
}

/// What comes of a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Routed {
    /// Messages, in order.
    pub messages: Vec<Message>,
    /// To be saved with them.
    pub routing: Routing,
    /// What became of actions.
    pub answers: Vec<Answer>,
}

/// What a restart puts back.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Groups by id, as they were saved.
    pub groups: Vec<(String, String)>,
    /// Silences that are not over.
    pub silences: Vec<Silence>,
    /// Incidents that go on.
    pub incidents: Vec<Incident>,
}

/// Incidents that one receiver is told of together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Group {
    receiver: String,
    path: String,
    labels: Labels,
    members: BTreeMap<String, Member>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_ms: Option<i64>,
}

/// One incident in a group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Member {
    /// What the engine announced and the receiver has not heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<(Kind, u32, ArrivalTime)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<Told>,
    /// The incident as it ended, while the word about it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Box<Incident>>,
}

/// A member that leaves now.
struct Leaving {
    group: String,
    reason: NotifyReason,
    announcement: Announcement,
}

/// Why something is not told now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Muted {
    /// Another incident tells its story.
    Parent(String),
    /// A silence.
    Silence(i64),
    /// Planned maintenance.
    Maintenance(String),
    /// Another incident inhibits it.
    Inhibited(String),
    /// The route rests at this time.
    Times(String),
}

/// Remembers what receivers were told. Pure: the same moments give the same messages.
#[derive(Debug)]
pub struct Router {
    pub(super) plan: Plan,
    live: BTreeMap<String, Incident>,
    groups: BTreeMap<String, Group>,
    silences: Vec<Armed>,
    /// Per receiver, when messages left within the storm window.
    sent: BTreeMap<String, VecDeque<i64>>,
    /// Per receiver, when the last storm was summed up.
    summed: BTreeMap<String, i64>,
}

impl Router {
    /// The router as the database left it. Groups that cannot be read or whose route or receiver is
    /// gone are dropped. Incidents that then go on in no group are told where they are routed now; who
    /// was told before recognises the key.
    #[must_use]
    pub fn restore(plan: Plan, state: State) -> Self {
        let live = state.incidents.into_iter().map(|incident| (incident.key.clone(), incident));
        let groups = state.groups.into_iter().filter_map(|(id, text)| {
            let group: Group = serde_json::from_str(&text).ok()?;
            let known = plan.receivers.iter().any(|receiver| receiver.name == group.receiver);
            (known && plan.root.at(&group.path).is_some()).then_some((id, group))
        });
        let groups = groups.collect();
        // What was saved was checked before.
        let silences = state.silences.into_iter().filter_map(|s| Armed::new(s).ok()).collect();
        let (sent, summed) = (BTreeMap::new(), BTreeMap::new());
        let mut router = Self { groups, silences, live: live.collect(), plan, sent, summed };
        let lost = router.live.values().filter(|incident| {
            !router.groups.values().any(|group| group.members.contains_key(&incident.key))
        });
        for incident in lost.cloned().collect::<Vec<_>>() {
            let (kind, at) = (Kind::Open, incident.opened_at);
            router.admit(&Announcement { kind, step: 0, at, written: None, incident }, 0);
        }
        router
    }

    /// Takes what is new and lets time pass to `now_ms`.
    pub fn step(&mut self, moment: &Moment<'_>) -> Routed {
        let mut routed = Routed::default();
        let now_ms = moment.now_ms;
        for action in moment.actions {
            routed.answers.extend(self.act(action, now_ms, &mut routed.routing));
        }
        self.silences.retain(|armed| armed.silence.until_ms > now_ms);
        for incident in moment.incidents {
            self.live.insert(incident.key.clone(), (*incident).clone());
        }
        self.remind(now_ms);
        let is_due = self.next_due_ms().is_some_and(|due| due <= now_ms);
        if moment.incidents.is_empty() && moment.announcements.is_empty() && !is_due {
            return routed; // as in most steps
        }
        let before = self.groups.clone();
        for announcement in moment.announcements {
            self.admit(announcement, now_ms);
        }
        let due: Vec<String> = self
            .groups
            .iter()
            .filter(|(_, group)| group.due_ms.is_some_and(|due| due <= now_ms))
            .map(|(id, _)| id.clone())
            .collect();
        let mut leaving: BTreeMap<String, Vec<Vec<Leaving>>> = BTreeMap::new();
        for id in due {
            let (receiver, group) = self.flush(&id, now_ms);
            if !group.is_empty() {
                leaving.entry(receiver).or_default().push(group);
            }
        }
        for (receiver, groups) in leaving {
            self.send(&receiver, groups, now_ms, &mut routed.messages);
        }
        self.settle();
        routed.routing.groups = changed(&before, &self.groups);
        routed
    }

    /// When the next group is due, milliseconds since 1970; `None` while nothing waits.
    #[must_use]
    pub fn next_due_ms(&self) -> Option<i64> {
        self.groups.values().filter_map(|group| group.due_ms).min()
    }

    fn act(&mut self, action: &Action, now_ms: i64, routing: &mut Routing) -> Option<Answer> {
        let outcome = match &action.deed {
            Deed::Silence { matchers, from_ms, until_ms } => {
                let silence = Silence {
                    id: action.id,
                    matchers: matchers.clone(),
                    from_ms: *from_ms,
                    until_ms: *until_ms,
                    author: action.author.clone(),
                    reason: action.reason.clone(),
                };
                self.silence(silence, now_ms, routing)
            }
            Deed::Unsilence { silence } => {
                match self.silences.iter().position(|armed| armed.silence.id == *silence) {
                    Some(place) => {
                        self.silences.remove(place);
                        // What it held back need not wait for the next look.
                        for group in self.groups.values_mut() {
                            group.due_ms = group.due_ms.map(|due| due.min(now_ms));
                        }
                        routing.ended.push((*silence, now_ms));
                        Ok(format!("silence {silence} is over"))
                    }
                    None => Err(format!("there is no silence {silence} that holds")),
                }
            }
            Deed::Acknowledge { .. }
            | Deed::Resolve { .. }
            | Deed::Note { .. }
            | Deed::Respond { .. }
            | Deed::Judge { .. } => return None,
        };
        Some(Answer { action: action.id, outcome })
    }

    fn silence(
        &mut self,
        silence: Silence,
        now_ms: i64,
        routing: &mut Routing,
    ) -> Result<String, String> {
        if silence.until_ms <= now_ms {
            return Err("it would be over already".to_owned());
        }
        if self.silences.len() >= MAX_SILENCES {
            return Err(format!("there are {MAX_SILENCES} silences: end some first"));
        }
        let armed = Armed::new(silence.clone())?;
        self.silences.push(armed);
        let until = EventTime(silence.until_ms);
        let id = silence.id;
        routing.silences.push(silence);
        Ok(format!("silence {id} holds until {until}"))
    }

    /// Lets an announcement wait in the groups of those who hear of it.
    fn admit(&mut self, announcement: &Announcement, now_ms: i64) {
        let incident = &announcement.incident;
        let labels = labels_of(incident);
        let pending = Some((announcement.kind, announcement.step, announcement.at));
        // Whoever was told of it hears how it goes on, wherever new ones would go today.
        let mut told: Vec<String> = Vec::new();
        for group in self.groups.values_mut() {
            if let Some(member) = group.members.get_mut(&incident.key) {
                member.pending = pending;
                told.push(group.receiver.clone());
                if let Some(route) = self.plan.root.at(&group.path) {
                    group.due_ms = due(group, route, incident.severity, now_ms);
                }
            }
        }
        for route in self.plan.root.taken(&labels) {
            for receiver in &route.receivers {
                if told.contains(receiver) || !self.hears(receiver, incident) {
                    continue;
                }
                told.push(receiver.clone());
                let by = route.group(&labels, &incident.key);
                let id = group_id(receiver, &route.path, &by);
                let group = self.groups.entry(id).or_insert_with(|| Group {
                    receiver: receiver.clone(),
                    path: route.path.clone(),
                    labels: by,
                    members: BTreeMap::new(),
                    due_ms: None,
                    last_ms: None,
                });
                group.members.entry(incident.key.clone()).or_default().pending = pending;
                group.due_ms = due(group, route, incident.severity, now_ms);
            }
        }
    }

    /// Whether a receiver hears of such incidents at all. That a destination refuses everything is
    /// told to all others.
    fn hears(&self, receiver: &str, incident: &Incident) -> bool {
        let known = self.plan.receivers.iter().find(|known| known.name == receiver);
        let deaf = incident.rule == UNDELIVERABLE && incident.account == receiver;
        known.is_some_and(|known| incident.severity >= known.min_severity) && !deaf
    }

    /// Makes groups due whose members are to be told again.
    fn remind(&mut self, now_ms: i64) {
        for group in self.groups.values_mut() {
            let route = self.plan.root.at(&group.path);
            let Some(repeat_ms) = route.map(|route| route.repeat_ms).filter(|ms| *ms > 0) else {
                continue;
            };
            let due = group.members.iter().any(|(key, member)| {
                let incident = self.live.get(key);
                incident.is_some_and(|incident| {
                    let why = reason((member.told.as_ref(), None), incident, repeat_ms, now_ms);
                    why == NotifyReason::RepeatDue
                })
            });
            if due {
                group.due_ms = Some(group.due_ms.map_or(now_ms, |due| due.min(now_ms)));
            }
        }
    }

    /// What a group has to say now; what is held back stays.
    fn flush(&mut self, id: &str, now_ms: i64) -> (String, Vec<Leaving>) {
        let Some(group) = self.groups.get(id) else { return (String::new(), Vec::new()) };
        let receiver = group.receiver.clone();
        let Some(route) = self.plan.root.at(&group.path) else { return (receiver, Vec::new()) };
        let (mut leaving, mut held, mut over) = (Vec::new(), false, Vec::new());
        for (key, member) in &group.members {
            let ended = member.ended.as_deref();
            let Some(incident) = self.live.get(key).or(ended) else {
                over.push(key.clone());
                continue;
            };
            let announced = member.pending.map(|(kind, _, _)| kind);
            let told = (member.told.as_ref(), announced);
            let why = reason(told, incident, route.repeat_ms, now_ms);
            if why == NotifyReason::None || (why == NotifyReason::First && member.pending.is_none())
            {
                over.push(key.clone());
            } else if self.muted(incident, route, now_ms).is_some() {
                held = true;
            } else {
                let announcement = announcement(member, incident, why, now_ms);
                leaving.push(Leaving { group: id.to_owned(), reason: why, announcement });
            }
        }
        if let Some(group) = self.groups.get_mut(id) {
            group.due_ms = held.then_some(now_ms + RECHECK_MS);
            for key in over {
                if let Some(member) = group.members.get_mut(&key) {
                    member.pending = None;
                }
            }
        }
        (receiver, leaving)
    }

    /// Why an incident is not told through a route now; `None` when it may be.
    pub(super) fn muted(&self, incident: &Incident, route: &Route, now_ms: i64) -> Option<Muted> {
        let parent = incident.parent.as_ref().and_then(|key| self.live.get(key));
        if let Some(parent) = parent.filter(|parent| parent.state.is_live()) {
            return Some(Muted::Parent(parent.key.clone()));
        }
        let labels = labels_of(incident);
        let silenced = self.silences.iter().find(|armed| armed.holds(&labels, now_ms));
        if let Some(armed) = silenced {
            return Some(Muted::Silence(armed.silence.id));
        }
        let planned = self.plan.maintenance.iter().find(|each| each.holds(&labels, now_ms));
        if let Some(planned) = planned {
            return Some(Muted::Maintenance(planned.name.clone()));
        }
        let others =
            self.live.values().filter(|other| other.key != incident.key && other.state.is_live());
        let mut inhibiting = others.filter(|other| {
            let source = labels_of(other);
            self.plan.inhibit.iter().any(|rule| rule.holds(&source, &labels))
        });
        if let Some(other) = inhibiting.next() {
            return Some(Muted::Inhibited(other.key.clone()));
        }
        resting(&self.plan, route, incident.severity, now_ms).map(Muted::Times)
    }

    /// Turns what leaves for one receiver into messages: single ones, groups, or the sum of a storm.
    fn send(
        &mut self,
        receiver: &str,
        groups: Vec<Vec<Leaving>>,
        now_ms: i64,
        messages: &mut Vec<Message>,
    ) {
        let storm = self.plan.storm;
        let sent = self.sent.entry(receiver.to_owned()).or_default();
        while sent.front().is_some_and(|at| now_ms - at >= storm.window_ms) {
            sent.pop_front();
        }
        let free = storm.limit.saturating_sub(sent.len());
        let is_dear = |group: &Vec<Leaving>| {
            group.iter().any(|leaving| is_dear(&leaving.announcement.incident, storm.money_usd))
        };
        let (dear, cheap): (Vec<_>, Vec<_>) = groups.into_iter().partition(is_dear);
        let stormy = cheap.len() > free.saturating_sub(dear.len());
        for group in dear {
            self.tell((receiver, Gathering::Group), group, now_ms, messages);
        }
        if !stormy {
            for group in cheap {
                self.tell((receiver, Gathering::Group), group, now_ms, messages);
            }
            return;
        }
        let ready_ms = self.summed.get(receiver).map_or(now_ms, |at| at + storm.window_ms);
        if ready_ms <= now_ms {
            self.summed.insert(receiver.to_owned(), now_ms);
            let all = cheap.into_iter().flatten().collect();
            self.tell((receiver, Gathering::Storm), all, now_ms, messages);
            return;
        }
        for leaving in cheap.into_iter().flatten() {
            if let Some(group) = self.groups.get_mut(&leaving.group) {
                group.due_ms = Some(ready_ms);
            }
        }
    }

    fn tell(
        &mut self,
        (receiver, gathering): (&str, Gathering),
        mut leaving: Vec<Leaving>,
        now_ms: i64,
        messages: &mut Vec<Message>,
    ) {
        leaving.sort_by_key(|one| std::cmp::Reverse(one.announcement.incident.severity));
        let Some(first) = leaving.first() else { return };
        let (why, group) = (first.reason, first.group.clone());
        for one in &leaving {
            let Some(group) = self.groups.get_mut(&one.group) else { continue };
            group.last_ms = Some(now_ms);
            if let Some(member) = group.members.get_mut(&one.announcement.incident.key) {
                member.told = Some(Told::of(&one.announcement.incident, now_ms));
                member.pending = None;
            }
        }
        self.sent.entry(receiver.to_owned()).or_default().push_back(now_ms);
        let content = if leaving.len() == 1 && gathering == Gathering::Group {
            leaving.pop().map(|one| Content::One(Box::new(one.announcement)))
        } else {
            let announcements: Vec<_> = leaving.into_iter().map(|one| one.announcement).collect();
            let group = match gathering {
                Gathering::Group => group,
                Gathering::Storm => format!("{receiver}|storm"),
            };
            Some(Content::Many(Digest {
                key: format!("{group}|{now_ms}"),
                group,
                gathering,
                at: ArrivalTime(now_ms),
                labels: shared(&announcements),
                announcements,
            }))
        };
        if let Some(content) = content {
            messages.push(Message { receiver: receiver.to_owned(), reason: why, content });
        }
    }

    /// Forgets what is over and told, and keeps the end of what still waits to be told.
    fn settle(&mut self) {
        for group in self.groups.values_mut() {
            for (key, member) in &mut group.members {
                let ended = self.live.get(key).filter(|incident| !incident.state.is_live());
                if let Some(incident) = ended.filter(|_| member.pending.is_some()) {
                    member.ended = Some(Box::new(incident.clone()));
                }
            }
            group.members.retain(|key, member| {
                let over = self.live.get(key).is_none_or(|incident| !incident.state.is_live());
                !over || member.pending.is_some()
            });
        }
        self.groups.retain(|_, group| !group.members.is_empty());
        self.live.retain(|_, incident| incident.state.is_live());
    }
}

/// Labels as text by name.
fn labels_of(incident: &Incident) -> Labels {
    incident.labels().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// When a group that has something new is due; what is critical waits for nothing.
fn due(group: &Group, route: &Route, severity: Severity, now_ms: i64) -> Option<i64> {
    let earliest = match group.last_ms {
        _ if severity == Severity::Critical => now_ms,
        None => now_ms + route.group_wait_ms,
        Some(last) => now_ms.max(last + route.group_interval_ms),
    };
    Some(group.due_ms.map_or(earliest, |due| due.min(earliest)))
}

/// The name of the time at which a route rests, if it does; never for what is critical.
pub(super) fn resting(
    plan: &Plan,
    route: &Route,
    severity: Severity,
    now_ms: i64,
) -> Option<String> {
    if severity == Severity::Critical {
        return None;
    }
    let now = |name: &String| {
        let times = plan.times.get(name);
        times.is_some_and(|times| times.contains(EventTime(now_ms)).unwrap_or(false))
    };
    let muted = route.mute.iter().find(|name| now(name)).cloned();
    let idle = !route.active.is_empty() && !route.active.iter().any(now);
    muted.or_else(|| idle.then(|| format!("outside {}", route.active.join(", "))))
}

/// What a member is told.
fn announcement(
    member: &Member,
    incident: &Incident,
    why: NotifyReason,
    now_ms: i64,
) -> Announcement {
    let (pending, at) = match member.pending {
        Some((kind, step, at)) => (Some((kind, step)), at),
        None => (None, ArrivalTime(now_ms)),
    };
    // A step of its own for what the engine did not count: the minute, which no count reaches.
    let minute = u32::try_from(now_ms.div_euclid(MINUTE_MS)).unwrap_or(u32::MAX);
    let counted = |kind| pending.filter(|(known, _)| *known == kind).unwrap_or((kind, minute));
    let (kind, step) = match why {
        NotifyReason::First | NotifyReason::None => match incident.returns.checked_sub(1) {
            Some(step) => (Kind::Reopen, step),
            None => (Kind::Open, 0),
        },
        NotifyReason::Worse | NotifyReason::NewFindings => counted(Kind::Escalate),
        NotifyReason::Acknowledged => counted(Kind::Acknowledge),
        NotifyReason::RepeatDue => (Kind::Repeat, minute),
        NotifyReason::Resolved => (Kind::Resolve, incident.returns),
    };
    // A simulation's hub lives in another time.
    let written = (-MINUTE_MS..ONE_TIME_MS).contains(&now_ms.saturating_sub(at.0));
    let written = written.then_some(ArrivalTime(now_ms));
    Announcement { kind, step, at, written, incident: incident.clone() }
}

fn is_dear(incident: &Incident, usd: f64) -> bool {
    let costs = [incident.cost, incident.cost_per_day].into_iter().flatten();
    incident.severity == Severity::Critical || costs.map(NanoUsd::usd).any(|cost| cost >= usd)
}

/// Labels that all have in common.
fn shared(announcements: &[Announcement]) -> Labels {
    let mut all = announcements.iter().map(|told| labels_of(&told.incident));
    let first = all.next().unwrap_or_default();
    all.fold(first, |mut shared, labels| {
        shared.retain(|name, value| labels.get(name) == Some(value));
        shared
    })
}

fn group_id(receiver: &str, path: &str, labels: &Labels) -> String {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{receiver}|{path}|{}", labels.join(","))
}

/// Groups that differ, as they are to be saved.
fn changed(
    before: &BTreeMap<String, Group>,
    after: &BTreeMap<String, Group>,
) -> Vec<(String, Option<String>)> {
    let gone = before.keys().filter(|id| !after.contains_key(*id)).map(|id| (id.clone(), None));
    let new = after.iter().filter(|(id, group)| before.get(*id) != Some(*group));
    // A group is made of strings and numbers, which always can be written.
    let new =
        new.filter_map(|(id, group)| Some((id.clone(), Some(serde_json::to_string(group).ok()?))));
    gone.chain(new).collect()
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
