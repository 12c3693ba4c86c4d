//! Connections, sessions and attaches: what comes in is handed to reader, writer or request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fe2o3_amqp::acceptor::sasl_acceptor::SaslServerFrame;
use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerConnectionHandle,
    ListenerSessionHandle, SaslAcceptor, SessionAcceptor, SupportedReceiverSettleModes,
};
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::definitions::{Error as AmqpError, ReceiverSettleMode, Role};
use fe2o3_amqp_types::messaging::{Body, Source, Target, TargetArchetype};
use fe2o3_amqp_types::performatives::Attach;
use fe2o3_amqp_types::primitives::{Array, Symbol, Value};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslOutcome, SaslResponse};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::address::Node;
use super::broker::Broker;
use super::fault;
use super::position::Position;
use super::reader::{self, Reader};
use super::request::{self, Replies};
use super::silence::{Line, SilentStream};
use super::stream::{CutStream, ShapedStream};
use super::token::{Grant, Tokens};
use super::wire::{self, WireError};
use super::writer::{self, ABSORBED_MESSAGE_BYTES, Writer};

/// Largest frame taken; what the service offers.
const MAX_FRAME_BYTES: u32 = 65_536;

/// A peer silent for longer is gone; what the service tells its clients.
const IDLE_TIMEOUT_MS: u32 = 240_000;

/// Highest link handle of a session; clients open a handful of links.
const MAX_HANDLE: u32 = 8_191;

/// How long a peer may take for the handshake, and to answer a closing detach.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// How long the first transfer of a writer may take that is to be refused; it comes with the
/// credit, which is granted at the attach.
const FIRST_TRANSFER: Duration = Duration::from_millis(100);

/// The link property of a reader's owner level.
const EPOCH_PROPERTY: &str = "com.microsoft:epoch";

/// Receive buffer of a connection. The Python client sets the segment size that it has read from
/// its socket; on loopback that is half the window, and Linux takes none above 32,767 bytes.
const RECEIVE_BUFFER_BYTES: u32 = 49_152;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// The capability of telling a reader with every event which one is the last.
const METRIC_CAPABILITY: &str = "com.microsoft:enable-receiver-runtime-metric";

/// The capability of noticing events that are sent twice.
const IDEMPOTENT_CAPABILITY: &str = "com.microsoft:idempotent-producer";

type Links = LinkAcceptor<fn(Source) -> Option<Source>, fn(Target) -> Option<Target>>;

/// Takes the port.
pub(super) fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A stopped emulator's port can be taken again at once.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until the broker stops; over TLS where there is a certificate.
pub(super) async fn listen(listener: TcpListener, tls: Option<TlsAcceptor>, broker: Arc<Broker>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = broker.stop.cancelled() => return,
            accepted = listener.accept() => accepted, // cancel safe
        };
        match accepted {
            Ok((socket, peer)) if broker.faults.refuse.is_on() => {
                tracing::debug!(%peer, "connection refused");
                drop(socket);
            }
            Ok((socket, _)) => {
                // Number and token are taken here, so that a fault right after reaches it too.
                let number = broker.accepted.fetch_add(1, Ordering::AcqRel);
                let cut = broker.connection_token();
                let line = Line { number, cut, broker: Arc::clone(&broker) };
                broker.tasks.spawn(serve_connection(socket, tls.clone(), line));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve_connection(socket: TcpStream, tls: Option<TlsAcceptor>, line: Line) {
    let (cut, broker) = (line.cut.clone(), Arc::clone(&line.broker));
    let _open = broker.connections.ticket();
    let mut idle = broker.idle.subscribe();
    // The handshake of a connection that is silent from the start begins when it no longer is.
    line.clone().sound().await;
    let Some(mut connection) = shake_hands(socket, tls.as_ref(), line).await else { return };
    let tokens = Arc::new(Tokens::new(Arc::clone(&broker)));
    // For the Python client, which reads neither the flow frames of a session with a small window
    // nor a handle limit that is left at its default.
    let sessions = SessionAcceptor::builder()
        .incoming_window(u32::MAX)
        .outgoing_window(u32::MAX)
        .handle_max(MAX_HANDLE)
        .build();
    loop {
        let incoming = tokio::select! {
            biased;
            () = cut.cancelled() => return,
            _ = idle.changed() => return close_connection(connection).await,
            incoming = connection.next_incoming_session() => incoming, // cancel safe
        };
        let Some(incoming) = incoming else { return };
        match sessions.accept_incoming_session(incoming, &mut connection).await {
            Ok(session) => {
                broker.tasks.spawn(serve_session(session, cut.clone(), Arc::clone(&tokens)));
            }
            Err(error) => return tracing::debug!(%error, "session failed"),
        }
    }
}

/// Closes a connection the service takes for idle.
async fn close_connection(mut connection: ListenerConnectionHandle) {
    settle(connection.close_with_error(fault::idle())).await;
}

async fn shake_hands(
    socket: TcpStream,
    tls: Option<&TlsAcceptor>,
    line: Line,
) -> Option<ListenerConnectionHandle> {
    let acceptor = ConnectionAcceptor::builder()
        .container_id("tokenwatch-emulator")
        .max_frame_size(MAX_FRAME_BYTES)
        .idle_time_out(IDLE_TIMEOUT_MS)
        .sasl_acceptor(AnyCredential)
        .build();
    let broker = Arc::clone(&line.broker);
    let socket = SilentStream::new(CutStream::new(socket, line.cut.clone()), line);
    let shaking = async {
        match wire::open(socket, tls, &broker.websockets).await {
            Ok(wire) => match acceptor.accept(ShapedStream::new(wire)).await {
                Ok(connection) => return Some(connection),
                Err(error) => tracing::debug!(%error, "handshake failed"),
            },
            Err(error @ WireError::Io(_)) => tracing::debug!(%error, "handshake failed"),
            // Whoever set the client up wants to know.
            Err(error @ (WireError::Tls(_) | WireError::NoTls | WireError::Http { .. })) => {
                tracing::warn!(%error, "connection refused");
            }
        }
        None
    };
    tokio::time::timeout(HANDSHAKE_LIMIT, shaking).await.unwrap_or_else(|_| {
        tracing::debug!("handshake took too long");
        None
    })
}

async fn serve_session(
    mut session: ListenerSessionHandle,
    cut: CancellationToken,
    tokens: Arc<Tokens>,
) {
    let replies = Replies::default();
    while let Some(attach) = cut.run_until_cancelled(session.next_incoming_attach()).await.flatten()
    {
        // What the link is for is read before the library takes the attach.
        let grant = grant(&attach, &tokens);
        let plan = plan(&attach, &tokens, &grant, &replies);
        let links = links(&attach, &plan);
        match links.accept_incoming_attach(attach, &mut session).await {
            Ok(endpoint) => start_link(endpoint, plan, &cut, grant),
            Err(error) => tracing::debug!(%error, "attach failed"),
        }
    }
}

/// How an attach is answered.
fn links(attach: &Attach, plan: &Plan) -> Links {
    // Python asks to settle second and then waits for a settled disposition, so the answer is
    // always that the receiver settles first.
    let links = LinkAcceptor::builder()
        .supported_receiver_settle_modes(SupportedReceiverSettleModes::First)
        .fallback_receiver_settle_mode(ReceiverSettleMode::First)
        .verify_incoming_source(false)
        .verify_incoming_target(false);
    match attach.role {
        // Without a limit, which the shaper takes for a link that gets no credit.
        Role::Sender if matches!(plan, Plan::Refuse(_)) => links.build(),
        Role::Sender => links.max_message_size(ABSORBED_MESSAGE_BYTES).build(),
        // An event of the largest size leaves with what the broker adds to it.
        Role::Receiver if desires(attach, METRIC_CAPABILITY) => {
            links.add_offered_capabilities(METRIC_CAPABILITY).build()
        }
        Role::Receiver => links.build(),
    }
}

fn desires(attach: &Attach, capability: &str) -> bool {
    let desired = attach.desired_capabilities.as_ref();
    desired.is_some_and(|desired| desired.0.iter().any(|one| one.as_str() == capability))
}

/// What becomes of a link.
enum Plan {
    Read(Reader),
    Write(Writer),
    Answer(request::Requests),
    Reply(request::ReplyLink),
    Refuse(AmqpError),
}

fn plan(attach: &Attach, tokens: &Arc<Tokens>, grant: &Grant, replies: &Replies) -> Plan {
    let broker = tokens.broker();
    match attach.role {
        // The peer receives.
        Role::Receiver => {
            let address = attach.source.as_ref().and_then(|source| source.address.as_deref());
            match address.and_then(Node::parse) {
                Some(Node::Partition { hub, group: Some(group), partition }) => {
                    broker.attaches.fetch_add(1, Ordering::Relaxed);
                    grant
                        .admit()
                        .and_then(|()| plan_reader(attach, broker, &(hub, partition, group)))
                        .map_or_else(Plan::Refuse, Plan::Read)
                }
                Some(node @ (Node::Cbs | Node::Management)) => grant
                    .admit()
                    .map(|()| replies.register(node, attach.name.clone(), target(attach)))
                    .map_or_else(Plan::Refuse, Plan::Reply),
                Some(Node::Partition { group: None, .. } | Node::Hub { .. }) | None => {
                    Plan::Refuse(no_node(address))
                }
            }
        }
        Role::Sender if desires(attach, IDEMPOTENT_CAPABILITY) => {
            Plan::Refuse(fault::not_emulated("idempotent publishing"))
        }
        Role::Sender => {
            let address = target(attach);
            match address.as_deref().and_then(Node::parse) {
                Some(Node::Hub { hub }) => grant
                    .admit()
                    .and_then(|()| broker.hub(&hub).map_err(|error| fault::not_found(&error)))
                    .map(|hub| Writer::to_hub(hub, Arc::clone(broker)))
                    .map_or_else(Plan::Refuse, Plan::Write),
                Some(Node::Partition { hub, group: None, partition }) => grant
                    .admit()
                    .and_then(|()| {
                        broker.partition(&hub, partition).map_err(|error| fault::not_found(&error))
                    })
                    .map(|partition| Writer::to_partition(partition, Arc::clone(broker)))
                    .map_or_else(Plan::Refuse, Plan::Write),
                Some(node @ (Node::Cbs | Node::Management)) => grant
                    .admit()
                    .map(|()| replies.requests(node, Arc::clone(tokens)))
                    .map_or_else(Plan::Refuse, Plan::Answer),
                Some(Node::Partition { group: Some(_), .. }) | None => {
                    Plan::Refuse(no_node(address.as_deref()))
                }
            }
        }
    }
}

/// What a link needs tokens for.
fn grant(attach: &Attach, tokens: &Arc<Tokens>) -> Grant {
    let (claim, address) = match attach.role {
        Role::Receiver => {
            let source = attach.source.as_ref();
            ("Listen", source.and_then(|source| source.address.clone()))
        }
        Role::Sender => ("Send", target(attach)),
    };
    let tokens = Arc::clone(tokens);
    match address.as_deref().and_then(Node::parse) {
        Some(Node::Hub { .. } | Node::Partition { .. }) => {
            Grant::new(tokens, claim, address.as_deref())
        }
        Some(Node::Management) => Grant::new(tokens, claim, None),
        Some(Node::Cbs) | None => Grant::open(tokens),
    }
}

fn plan_reader(
    attach: &Attach,
    broker: &Broker,
    (hub, partition, group): &(String, u32, String),
) -> Result<Reader, AmqpError> {
    let partition =
        broker.read_by(group, hub, *partition).map_err(|error| fault::not_found(&error))?;
    let next = partition.resolve(&position(attach)?)?;
    let link = partition.register(group, epoch(attach))?;
    let metric = desires(attach, METRIC_CAPABILITY).then(|| broker.clock.clone());
    Ok(Reader::new(partition, link, next, metric))
}

/// The position in the selector filter; without one, the end.
fn position(attach: &Attach) -> Result<Position, AmqpError> {
    let filters = attach.source.as_ref().and_then(|source| source.filter.as_ref());
    let mut found = Position::LATEST;
    for (name, filter) in filters.into_iter().flat_map(|filters| filters.iter()) {
        let value =
            if let Value::Described(described) = filter { &described.value } else { filter };
        if name.as_str() == "apache.org:selector-filter:string"
            && let Value::String(text) = value
        {
            found = text
                .parse()
                .map_err(|error| fault::error(fault::INVALID_FIELD, &format!("{error}")))?;
        }
    }
    Ok(found)
}

fn epoch(attach: &Attach) -> Option<i64> {
    let value = attach.properties.as_ref()?.get(&Symbol::from(EPOCH_PROPERTY))?;
    // Rust and .NET write a long; JavaScript writes the smallest type that fits.
    if let Value::Int(epoch) = value {
        return Some(i64::from(*epoch));
    }
    if let Value::Uint(epoch) = value {
        return Some(i64::from(*epoch));
    }
    if let Value::Ulong(epoch) = value {
        return i64::try_from(*epoch).ok();
    }
    let Value::Long(epoch) = value else { return None };
    Some(*epoch)
}

fn target(attach: &Attach) -> Option<String> {
    match attach.target.as_deref()? {
        TargetArchetype::Target(target) => target.address.clone(),
    }
}

fn no_node(address: Option<&str>) -> AmqpError {
    let address = address.unwrap_or("(none)");
    fault::error(fault::NOT_FOUND, &format!("no node `{address}` to attach to"))
}

fn start_link(endpoint: LinkEndpoint, plan: Plan, cut: &CancellationToken, grant: Grant) {
    let (cut, tasks) = (cut.clone(), grant.broker().tasks.clone());
    match (endpoint, plan) {
        (LinkEndpoint::Sender(sender), Plan::Read(reader)) => {
            tasks.spawn(cut.run_until_cancelled_owned(reader::serve(sender, reader, grant)));
        }
        (LinkEndpoint::Sender(sender), Plan::Reply(link)) => {
            tasks.spawn(cut.run_until_cancelled_owned(request::reply(sender, link, grant)));
        }
        (LinkEndpoint::Receiver(receiver), Plan::Write(writer)) => {
            tasks.spawn(cut.run_until_cancelled_owned(writer::serve(receiver, writer, grant)));
        }
        (LinkEndpoint::Receiver(receiver), Plan::Answer(requests)) => {
            tasks.spawn(cut.run_until_cancelled_owned(request::serve(receiver, requests, grant)));
        }
        (LinkEndpoint::Sender(sender), Plan::Refuse(error)) => {
            tasks.spawn(cut.run_until_cancelled_owned(close_sender(sender, error)));
        }
        (LinkEndpoint::Receiver(receiver), Plan::Refuse(error)) => {
            tasks.spawn(cut.run_until_cancelled_owned(close_receiver(receiver, error)));
        }
        // The plan was made for the role the library also goes by.
        (LinkEndpoint::Sender(_), Plan::Write(_) | Plan::Answer(_))
        | (LinkEndpoint::Receiver(_), Plan::Read(_) | Plan::Reply(_)) => {
            tracing::warn!("link attached in the wrong role");
        }
    }
}

/// Closes a link we send on; a peer that does not answer is left behind.
pub(super) async fn close_sender(sender: Sender, error: AmqpError) {
    tracing::debug!(%error, "closes a reader");
    settle(sender.close_with_error(error)).await;
}

/// Waits for the peer's answer when we close something, but not for ever.
async fn settle<E: std::fmt::Display>(closing: impl Future<Output = Result<(), E>>) {
    match tokio::time::timeout(HANDSHAKE_LIMIT, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the peer closed first"),
        Err(_) => tracing::debug!("the peer did not answer"),
    }
}

/// Closes a link we receive on.
///
/// A sender of the Rust client 0.16 whose first transfer crosses the detach waits for ever, so that
/// transfer is heard and rejected first.
pub(super) async fn close_receiver(mut receiver: Receiver, error: AmqpError) {
    tracing::debug!(%error, "closes a writer");
    let first = tokio::time::timeout(FIRST_TRANSFER, receiver.recv::<Body<Value>>()).await;
    if let Ok(Ok(delivery)) = first {
        writer::refuse(&receiver, delivery.into_parts().0, error.clone()).await;
    }
    settle(receiver.close_with_error(error)).await;
}

/// Offers what the service offers and takes whatever comes: clients authenticate by `$cbs`.
#[derive(Debug, Clone)]
struct AnyCredential;

impl AnyCredential {
    const fn accepted() -> SaslServerFrame {
        SaslServerFrame::Outcome(SaslOutcome { code: SaslCode::Ok, additional_data: None })
    }
}

impl SaslAcceptor for AnyCredential {
    fn mechanisms(&self) -> Array<Symbol> {
        let names = ["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"];
        Array::from(names.map(Symbol::from).to_vec())
    }

    fn on_init(&mut self, _init: SaslInit) -> SaslServerFrame {
        Self::accepted()
    }

    fn on_response(&mut self, _response: SaslResponse) -> SaslServerFrame {
        Self::accepted()
    }
}
