//! From what the engine holds worth telling to rows of the outbox: the router decides whom, the
//! channels render, once.

use crate::action::Action;
use crate::engine::effects::Effects;
use crate::engine::respond::{AUTOMATION, Order};
use crate::notify::{self, Destination, Notification};
use crate::route::{Content, Message, Moment, Plan, Router, State};
use crate::store::commit::OutboxRow;

/// The router with the destinations it speaks of.
pub(super) struct Teller {
    router: Router,
    destinations: Vec<Destination>,
}

impl Teller {
    pub(super) fn restore(plan: Plan, state: State, destinations: Vec<Destination>) -> Self {
        Self { router: Router::restore(plan, state), destinations }
    }

    /// Whether something that waited is due.
    pub(super) fn is_due(&self, now_ms: i64) -> bool {
        self.router.next_due_ms().is_some_and(|due| due <= now_ms)
    }

    /// Routes a step's announcements and whatever has become due, and notes in `effects` what is to be
    /// saved of it.
    pub(super) fn tell(
        &mut self,
        effects: &mut Effects,
        actions: &[Action],
        now_ms: i64,
    ) -> Vec<OutboxRow> {
        let incidents: Vec<_> = effects.all_incidents().collect();
        let announcements = &effects.announcements;
        let moment = Moment { now_ms, incidents: &incidents, announcements, actions };
        let routed = self.router.step(&moment);
        effects.routing = routed.routing;
        effects.answers.extend(routed.answers);
        let told = routed.messages.iter().filter_map(|message| self.render(message));
        told.chain(effects.orders.iter().map(called)).collect()
    }

    fn render(&self, message: &Message) -> Option<OutboxRow> {
        let to = self.destinations.iter().find(|to| to.name == message.receiver)?;
        let rendered = match &message.content {
            Content::One(told) => {
                notify::render(told, std::slice::from_ref(to)).map(|mut all| all.pop())
            }
            Content::Many(digest) => notify::render_digest(digest, to).map(Some),
        };
        match rendered {
            Ok(notification) => notification.map(row),
            Err(error) => {
                tracing::error!(destination = message.receiver, %error, "cannot render");
                None
            }
        }
    }
}

/// A call to the operator's automation, which no route leads to.
fn called(order: &Order) -> OutboxRow {
    OutboxRow {
        key: order.key.clone(),
        incident_key: order.incident.clone(),
        destination: AUTOMATION.to_owned(),
        kind: "respond".to_owned(),
        created: order.at,
        body: order.body.clone(),
    }
}

fn row(notification: Notification) -> OutboxRow {
    OutboxRow {
        key: notification.key,
        incident_key: notification.incident_key,
        destination: notification.destination,
        kind: notification.kind.word().to_owned(),
        created: notification.created,
        body: notification.body,
    }
}
