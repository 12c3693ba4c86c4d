//! The control over HTTP: `curl` as producer, reader and troublemaker.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State as Shared};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use reqwest::Url;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::EmulatorError;
use super::control::Control;
use super::grammar::VERBS;
use super::script::Script;

/// Largest body of an event, that of a message of AMQP; the service's limit.
const MAX_EVENT_BYTES: usize = 1_048_576;

/// Largest script; a thousand long steps have less.
const MAX_SCRIPT_BYTES: usize = 64 * 1024;

/// Connections served at a time; more wait. Test tools have a handful.
const MAX_CONNECTIONS: usize = 64;

/// How long a client may take to send the head of a request, idle connections included.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// How long a request may take, its body included.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection is kept. Clients open another when it is closed between two requests.
const CONNECTION_LIMIT: Duration = Duration::from_mins(1);

/// Events returned when the request does not say, and at most.
const DEFAULT_EVENTS: usize = 100;
const MAX_EVENTS: usize = 1_000;

/// Serves until the emulator stops.
pub(super) async fn listen(listener: TcpListener, control: Control) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let router = router(control.clone());
    let stop = control.stop_token();
    let accept = async {
        loop {
            // Fails when the semaphore is closed, which nobody does.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((socket, _)) => control.spawn(serve(socket, router.clone(), slot)),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a control connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accept).await;
}

async fn serve(socket: TcpStream, router: Router, slot: OwnedSemaphorePermit) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    match timeout(CONNECTION_LIMIT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "control connection failed"),
        Err(_) => tracing::debug!("control connection was closed for its age"),
    }
    drop(slot);
}

fn router(control: Control) -> Router {
    let scripts = DefaultBodyLimit::max(MAX_SCRIPT_BYTES);
    let events = DefaultBodyLimit::max(MAX_EVENT_BYTES);
    Router::new()
        .route("/", get(help))
        .route("/state", get(state))
        .route("/faults", post(begin_faults).delete(end_faults).layer(scripts))
        .route("/hubs/{hub}/events", post(append).layer(events))
        .route("/hubs/{hub}/partitions/{id}/events", get(read).post(append_to).layer(events))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page; GET / tells what there is\n") })
        .layer(middleware::from_fn(guard))
        .with_state(control)
}

/// Lets in only who means this server, which browsers on a foreign page do not.
async fn guard(request: Request, next: Next) -> Response {
    if request.headers().contains_key(ORIGIN) {
        return refuse("requests of web pages (with an Origin header) are refused\n");
    }
    if !names_this_machine(request.headers()) {
        // A name that was made to point here, or none.
        return refuse("the Host header must be localhost or a loopback address\n");
    }
    match timeout(REQUEST_LIMIT, next.run(request)).await {
        Ok(response) => ([("x-content-type-options", "nosniff")], response).into_response(),
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response(),
    }
}

fn refuse(reason: &'static str) -> Response {
    (StatusCode::FORBIDDEN, reason).into_response()
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _port)| address),
        None => host.split_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn help(headers: HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let mut text = format!(
        "tokenwatch emulator: an event hub that misbehaves on request\n\n\
         curl http://{host}/state\n\
         curl http://{host}/faults -d 'cut'\n\
         curl http://{host}/faults -d 'at 10 s: server-busy for 5 s; every 30 s: cut'\n\
         curl http://{host}/faults --data-binary @script\n\
         curl -X DELETE http://{host}/faults\n\
         curl http://{host}/hubs/HUB/events --data-binary @event.json\n\
         curl http://{host}/hubs/HUB/events?key=KEY -d 'text'\n\
         curl http://{host}/hubs/HUB/partitions/0/events -d 'text'\n\
         curl 'http://{host}/hubs/HUB/partitions/0/events?from=0&limit=10'\n\n\
         A script is steps, one a line or with `;` between them; `#` begins a comment:\n\n\
         {:4}at SPAN: ACTION       once, after a span such as 500 ms, 10 s, 5 min, 1 h\n\
         {:4}every SPAN: ACTION    again and again\n\
         {:4}ACTION                now\n\n\
         WHERE is * (everywhere), HUB or HUB/PARTITION. Without `for`, an action that may have\n\
         one lasts until `end` or DELETE; `for 0 s` ends it.\n\n",
        "", "", ""
    );
    for verb in VERBS {
        let usage = format!("{} {}", verb.name, verb.form);
        text.push_str(&format!("    {usage:<30} {}\n", verb.does));
    }
    text
}

async fn state(Shared(control): Shared<Control>) -> Response {
    json(StatusCode::OK, &control.state())
}

#[derive(Serialize)]
struct Scheduled {
    when: String,
    action: String,
}

async fn begin_faults(Shared(control): Shared<Control>, body: Bytes) -> Response {
    let Ok(text) = std::str::from_utf8(&body) else {
        return bad_request("the script is not UTF-8".to_owned());
    };
    let script: Script = match text.parse() {
        Ok(script) => script,
        Err(error) => return bad_request(error.to_string()),
    };
    let scheduled: Vec<Scheduled> = script
        .steps()
        .iter()
        .map(|step| Scheduled { when: step.when.to_string(), action: step.action.to_string() })
        .collect();
    match control.play(script) {
        Ok(()) => json(StatusCode::ACCEPTED, &scheduled),
        Err(error) => failure(&error),
    }
}

async fn end_faults(Shared(control): Shared<Control>) -> Response {
    control.end();
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Serialize)]
struct Appended {
    partition: String,
    sequence: i64,
}

async fn append(
    Shared(control): Shared<Control>,
    Path(hub): Path<String>,
    uri: Uri,
    body: Bytes,
) -> Response {
    appended(control.publish(&hub, None, query(&uri, "key"), body.to_vec()))
}

async fn append_to(
    Shared(control): Shared<Control>,
    Path((hub, id)): Path<(String, String)>,
    uri: Uri,
    body: Bytes,
) -> Response {
    let Ok(partition) = id.parse() else { return not_a_number("partition", &id) };
    appended(control.publish(&hub, Some(partition), query(&uri, "key"), body.to_vec()))
}

fn appended(result: Result<(u32, i64), EmulatorError>) -> Response {
    match result {
        Ok((partition, sequence)) => {
            let appended = Appended { partition: partition.to_string(), sequence };
            json(StatusCode::CREATED, &appended)
        }
        Err(error) => failure(&error),
    }
}

async fn read(
    Shared(control): Shared<Control>,
    Path((hub, id)): Path<(String, String)>,
    uri: Uri,
) -> Response {
    let Ok(partition) = id.parse() else { return not_a_number("partition", &id) };
    let (from, limit) = (query(&uri, "from"), query(&uri, "limit"));
    let Ok(from) = from.as_deref().map_or(Ok(0), str::parse) else {
        return not_a_number("from", &from.unwrap_or_default());
    };
    let Ok(limit) = limit.as_deref().map_or(Ok(DEFAULT_EVENTS), str::parse) else {
        return not_a_number("limit", &limit.unwrap_or_default());
    };
    match control.page(&hub, partition, from, limit.min(MAX_EVENTS)) {
        Ok(page) => json(StatusCode::OK, &page),
        Err(error) => failure(&error),
    }
}

/// The first value of a query parameter, decoded.
fn query(uri: &Uri, name: &str) -> Option<String> {
    let url = Url::parse(&format!("query:?{}", uri.query()?)).ok()?;
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn not_a_number(name: &str, found: &str) -> Response {
    bad_request(format!("{name} `{found}` is not a number"))
}

fn bad_request(reason: String) -> Response {
    (StatusCode::BAD_REQUEST, reason + "\n").into_response()
}

fn failure(error: &EmulatorError) -> Response {
    let status = match error {
        EmulatorError::NoHub { .. }
        | EmulatorError::NoPartition { .. }
        | EmulatorError::NoConsumerGroup { .. } => StatusCode::NOT_FOUND,
        EmulatorError::TooManyScripts => StatusCode::TOO_MANY_REQUESTS,
        // The disk is full, say.
        EmulatorError::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
        EmulatorError::NotLoopback { .. }
        | EmulatorError::Listen { .. }
        | EmulatorError::HubSpec { .. }
        | EmulatorError::HubName { .. }
        | EmulatorError::HubTwice { .. }
        | EmulatorError::ConsumerGroup { .. }
        | EmulatorError::PartitionCount { .. } => StatusCode::BAD_REQUEST,
    };
    (status, format!("{error}\n")).into_response()
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(mut body) => {
            body.push(b'\n');
            (status, [(CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write JSON: {error}\n"))
            .into_response(),
    }
}
