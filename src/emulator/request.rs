//! Requests and answers: `$cbs` takes tokens, any by default, `$management` tells properties.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fe2o3_amqp::link::delivery::{Delivery, Sendable};
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::messaging::{
    AmqpValue, ApplicationProperties, Body, Message, MessageId, Properties,
};
use fe2o3_amqp_types::primitives::{Array, OrderedMap, SimpleValue, Symbol, Timestamp, Value};
use tokio::sync::mpsc;

use super::EmulatorError;
use super::address::Node;
use super::fault;
use super::server;
use super::token::{Grant, Tokens};
use super::writer::DISPOSITION_DELAY;

/// Answers that may wait for a peer's credit; clients have one or two requests on the way.
const WAITING_ANSWERS: usize = 64;

type Answer = Message<Body<Value>>;

/// The links of a session on which answers go back.
#[derive(Debug, Clone, Default)]
pub(super) struct Replies(Arc<Mutex<Vec<ReplyRoute>>>);

#[derive(Debug)]
struct ReplyRoute {
    node: Node,
    link_name: String,
    target: Option<String>,
    answers: mpsc::Sender<Answer>,
}

impl Replies {
    /// Registers a link of the peer that receives from `node`.
    pub(super) fn register(
        &self,
        node: Node,
        link_name: String,
        target: Option<String>,
    ) -> ReplyLink {
        let (answers, waiting) = mpsc::channel(WAITING_ANSWERS);
        let mut routes = self.lock();
        routes.retain(|route| !route.answers.is_closed());
        routes.push(ReplyRoute { node, link_name, target, answers });
        ReplyLink(waiting)
    }

    /// For a link of the peer that sends to `node`.
    pub(super) fn requests(&self, node: Node, tokens: Arc<Tokens>) -> Requests {
        Requests { node, tokens, replies: self.clone() }
    }

    /// The youngest live link on the node that `reply_to` names, else the youngest on the node.
    ///
    /// Rust names its target address, JavaScript its link, Python nothing.
    fn route(&self, node: &Node, reply_to: Option<&str>) -> Option<mpsc::Sender<Answer>> {
        let routes = self.lock();
        let mut live =
            routes.iter().rev().filter(|r| r.node == *node && !r.answers.is_closed()).peekable();
        let youngest = live.peek().map(|route| route.answers.clone());
        let named = live.find(|route| {
            reply_to.is_some()
                && (route.target.as_deref() == reply_to
                    || Some(route.link_name.as_str()) == reply_to)
        });
        named.map(|route| route.answers.clone()).or(youngest)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ReplyRoute>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answers that wait for one link.
pub(super) struct ReplyLink(mpsc::Receiver<Answer>);

/// Sends answers until the peer leaves or its token ends.
pub(super) async fn reply(mut sender: Sender, mut link: ReplyLink, grant: Grant) {
    loop {
        let message = tokio::select! {
            biased;
            error = grant.lost() => return server::close_sender(sender, error).await,
            answer = link.0.recv() => match answer { // cancel safe
                Some(answer) => answer,
                None => return,
            },
            error = sender.on_detach() => return tracing::trace!(%error, "reply link left"),
        };
        let sendable = Sendable { message, message_format: 0, settled: Some(true) };
        if let Err(error) = sender.send_batchable(sendable).await {
            return tracing::debug!(%error, "cannot send an answer");
        }
    }
}

/// A link on which requests come in.
pub(super) struct Requests {
    node: Node,
    tokens: Arc<Tokens>,
    replies: Replies,
}

/// Answers requests until the peer leaves or its token ends.
pub(super) async fn serve(mut receiver: Receiver, requests: Requests, grant: Grant) {
    loop {
        let received = tokio::select! {
            biased;
            error = grant.lost() => return server::close_receiver(receiver, error).await,
            received = receiver.recv() => received, // cancel safe
        };
        let delivery: Delivery<Body<Value>> = match received {
            Ok(delivery) => delivery,
            Err(error) => return tracing::trace!(%error, "request link left"),
        };
        tokio::time::sleep(DISPOSITION_DELAY).await;
        if let Err(error) = receiver.accept(&delivery).await {
            return tracing::debug!(%error, "cannot accept a request");
        }
        requests.answer(delivery.into_message()).await;
    }
}

impl Requests {
    async fn answer(&self, request: Message<Body<Value>>) {
        let reply_to = request.properties.as_ref().and_then(|p| p.reply_to.as_deref());
        let Some(answers) = self.replies.route(&self.node, reply_to) else {
            return tracing::warn!(node = ?self.node, "request without a link for its answer");
        };
        let application = request.application_properties.as_ref();
        let outcome = match self.node {
            Node::Management if self.tokens.broker().faults.busy.is_on() => {
                Outcome::refused(503, fault::SERVER_BUSY, fault::BUSY_TEXT)
            }
            Node::Management => self.properties(application),
            Node::Cbs | Node::Hub { .. } | Node::Partition { .. } => {
                self.put_token(application, &request.body)
            }
        };
        let correlation_id = request.properties.and_then(|properties| properties.message_id);
        if answers.send(outcome.into_message(correlation_id)).await.is_err() {
            tracing::debug!("the peer left before its answer");
        }
    }

    fn put_token(&self, request: Option<&ApplicationProperties>, body: &Body<Value>) -> Outcome {
        let token = match body {
            Body::Value(AmqpValue(Value::String(token))) => token.as_str(),
            Body::Value(_) | Body::Data(_) | Body::Sequence(_) | Body::Empty => "",
        };
        match self.tokens.put(text(request, "name").unwrap_or_default(), token) {
            Ok(()) => Outcome::new(202, "Accepted"),
            Err(reason) => Outcome::refused(401, fault::AUTH_FAILED, &reason),
        }
    }

    fn properties(&self, request: Option<&ApplicationProperties>) -> Outcome {
        let text = |key: &str| text(request, key);
        let name = text("name").unwrap_or_default();
        let found = match (text("operation"), text("type")) {
            (Some("READ"), Some("com.microsoft:eventhub")) => self.hub(name),
            (Some("READ"), Some("com.microsoft:partition")) => {
                self.partition(name, text("partition").unwrap_or_default())
            }
            (operation, kind) => return Outcome::not_emulated(operation, kind),
        };
        found.unwrap_or_else(|error| {
            Outcome::refused(404, fault::NOT_FOUND, &fault::not_found_text(&error))
        })
    }

    fn hub(&self, name: &str) -> Result<Outcome, EmulatorError> {
        let hub = self.tokens.broker().hub(name)?;
        let count = hub.partitions().len();
        let ids = (0..count).map(|id| Value::String(id.to_string())).collect();
        Ok(Outcome::found([
            ("name", Value::String(hub.name.clone())),
            ("type", Value::String("com.microsoft:eventhub".to_owned())),
            ("created_at", Value::Timestamp(Timestamp::from_milliseconds(hub.created_ms()))),
            ("partition_count", Value::Int(i32::try_from(count).unwrap_or(i32::MAX))),
            ("partition_ids", Value::Array(Array(ids))),
        ]))
    }

    fn partition(&self, name: &str, id: &str) -> Result<Outcome, EmulatorError> {
        let hub = self.tokens.broker().hub(name)?;
        // What is not a number is no partition either.
        let number = id.parse().unwrap_or(u32::MAX);
        let state = self.tokens.broker().partition(name, number)?.state();
        let enqueued = Timestamp::from_milliseconds(state.last_enqueued_ms);
        Ok(Outcome::found([
            ("name", Value::String(hub.name.clone())),
            ("type", Value::String("com.microsoft:partition".to_owned())),
            ("partition", Value::String(number.to_string())),
            ("begin_sequence_number", Value::Long(state.begin_sequence)),
            ("begin_sequence_number_epoch", Value::Long(-1)),
            ("last_enqueued_sequence_number", Value::Long(state.last_sequence)),
            ("last_enqueued_sequence_number_epoch", Value::Long(-1)),
            ("last_enqueued_offset", Value::String(state.last_offset.to_string())),
            ("last_enqueued_time_utc", Value::Timestamp(enqueued)),
            ("is_partition_empty", Value::Bool(state.is_empty)),
        ]))
    }
}

fn text<'a>(request: Option<&'a ApplicationProperties>, key: &str) -> Option<&'a str> {
    let SimpleValue::String(text) = request?.0.get(key)? else { return None };
    Some(text.as_str())
}

/// An answer before it is addressed.
struct Outcome {
    status_code: i32,
    status_description: String,
    condition: Option<&'static str>,
    body: Value,
}

impl Outcome {
    fn new(status_code: i32, status_description: &str) -> Self {
        let status_description = status_description.to_owned();
        Self { status_code, status_description, condition: None, body: Value::Null }
    }

    fn refused(status_code: i32, condition: &'static str, description: &str) -> Self {
        Self { condition: Some(condition), ..Self::new(status_code, description) }
    }

    fn not_emulated(operation: Option<&str>, kind: Option<&str>) -> Self {
        let [operation, kind] = [operation, kind].map(|word| word.unwrap_or("(none)"));
        let text = fault::not_emulated_text(&format!("the operation {operation} on {kind}"));
        Self::refused(501, fault::NOT_IMPLEMENTED, &text)
    }

    fn found<const N: usize>(entries: [(&str, Value); N]) -> Self {
        let mut map = OrderedMap::with_capacity(N);
        for (key, value) in entries {
            map.insert(Value::String(key.to_owned()), value);
        }
        Self { body: Value::Map(map), ..Self::new(200, "OK") }
    }

    fn into_message(self, correlation_id: Option<MessageId>) -> Answer {
        let mut application = OrderedMap::with_capacity(3);
        application.insert("status-code".to_owned(), SimpleValue::Int(self.status_code));
        application
            .insert("status-description".to_owned(), SimpleValue::String(self.status_description));
        if let Some(condition) = self.condition {
            let condition = SimpleValue::Symbol(Symbol::from(condition));
            application.insert("error-condition".to_owned(), condition);
        }
        Message {
            header: None,
            delivery_annotations: None,
            message_annotations: None,
            properties: Some(Properties { correlation_id, ..Properties::default() }),
            application_properties: Some(ApplicationProperties(application)),
            body: Body::Value(AmqpValue(self.body)),
            footer: None,
        }
    }
}
