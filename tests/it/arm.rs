//! A server that answers as Azure Resource Manager does: pages, faults and refusals by path.

use std::collections::{BTreeMap, VecDeque};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use crate::harness::{Ran, program};
use crate::rest_server::{Entra, Reply, Request, TOKEN, serve};

pub(crate) const AUDIENCE: &str = "https://management.azure.com";
pub(crate) const SUBSCRIPTION: &str = "3f0c0000-0000-4000-8000-000000000001";
/// Elements of a page.
const PAGE: usize = 2;

/// What is kept under a path.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    /// A list, told in pages.
    List(Vec<Value>),
    /// One resource.
    One(Value),
    /// Always this.
    Always(Reply),
    /// Pages of this many elements, each pointing to the next, for ever.
    Endless(usize),
}

/// Azure's error in the shape of its documents.
pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({ "error": { "code": code, "message": message } }).to_string();
    Reply::Answer(status, String::new(), body.into_bytes())
}

#[derive(Default)]
pub(crate) struct Arm {
    port: AtomicU16,
    held: Mutex<BTreeMap<String, Held>>,
    /// Told before what is held, once each.
    faults: Mutex<BTreeMap<String, VecDeque<Reply>>>,
    seen: Mutex<Vec<Request>>,
}

impl Arm {
    /// A server of one subscription with nothing in it.
    pub(crate) async fn start(tls: TlsAcceptor) -> Arc<Self> {
        let arm = Arc::new(Self::default());
        let server = Arc::clone(&arm);
        let port = serve(Some(tls), Arc::new(move |request| server.reply(request)));
        arm.port.store(port.await, Ordering::SeqCst);
        let subscription = format!("/subscriptions/{SUBSCRIPTION}");
        arm.hold(
            &subscription,
            Held::One(json!({ "id": subscription, "displayName": "Contoso AI" })),
        );
        for list in [
            "Microsoft.CognitiveServices/accounts",
            "Microsoft.Search/searchServices",
            "Microsoft.MachineLearningServices/workspaces",
            "Microsoft.CognitiveServices/locations/eastus2/usages",
            "Microsoft.Authorization/policyAssignments",
            "Microsoft.Authorization/roleAssignments",
            "Microsoft.Authorization/locks",
            "Microsoft.Consumption/budgets",
        ] {
            arm.hold(&of_subscription(list), Held::List(Vec::new()));
        }
        arm
    }

    pub(crate) fn hold(&self, path: &str, held: Held) {
        self.held.lock().unwrap().insert(path.to_lowercase(), held);
    }

    pub(crate) fn fault(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        self.faults.lock().unwrap().insert(path.to_lowercase(), replies);
    }

    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        let path = path.to_lowercase();
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|request| request.path.to_lowercase() == path).count()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.load(Ordering::SeqCst)
    }

    fn reply(&self, request: &Request) -> Reply {
        let token = request.headers.get("authorization").map_or("", String::as_str);
        let version = request.query.get("api-version");
        let fine = request.method == "GET"
            && token.starts_with(&format!("Bearer {TOKEN}"))
            && version.is_some_and(|version| version.starts_with("20"));
        assert!(fine, "{request:?}");
        let path = request.path.to_lowercase();
        self.seen.lock().unwrap().push(request.clone());
        let fault = self.faults.lock().unwrap().get_mut(&path).and_then(VecDeque::pop_front);
        if let Some(fault) = fault {
            return fault;
        }
        let at = request.query.get("$skiptoken").map_or(0, |text| text.parse().unwrap());
        let next = |at: usize| {
            format!(
                "https://localhost:{}{}?api-version={}&%24skiptoken={at}",
                self.port(),
                request.path,
                version.unwrap()
            )
        };
        match self.held.lock().unwrap().get(&path) {
            None => refusal(404, "ResourceNotFound", "The resource was not found."),
            Some(Held::One(value)) => Reply::json(&value.to_string()),
            Some(Held::Always(reply)) => reply.clone(),
            Some(Held::List(all)) => {
                let page: Vec<_> = all.iter().skip(at).take(PAGE).collect();
                let mut body = json!({ "value": page });
                if at + PAGE < all.len() {
                    body.as_object_mut()
                        .unwrap()
                        .insert("nextLink".to_owned(), next(at + PAGE).into());
                }
                Reply::json(&body.to_string())
            }
            Some(Held::Endless(size)) => {
                let one = |number: usize| {
                    let id = format!("{path}/{number}");
                    json!({ "id": id, "name": number.to_string(), "properties": {
                        "principalId": format!("{number:036}"), "roleDefinitionId": "/x/r",
                    }})
                };
                let page: Vec<_> = (at..at + size).map(one).collect();
                Reply::json(&json!({ "value": page, "nextLink": next(at + size) }).to_string())
            }
        }
    }
}

/// The server, Entra ID, and a folder.
pub(crate) struct World {
    pub(crate) arm: Arc<Arm>,
    pub(crate) entra: Entra,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let entra = Entra::start(AUDIENCE).await;
        let arm = Arm::start(entra.acceptor()).await;
        Self { arm, entra, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs the real program against this server.
    pub(crate) async fn audit(&self, more: &[&str]) -> Ran {
        let endpoint = format!("https://localhost:{}", self.arm.port());
        let mut command = Command::new(program());
        command.args(["audit", "--subscription", SUBSCRIPTION, "--identity", "workload"]);
        command.args(["--endpoint", &endpoint]).args(more);
        self.entra.environment(&mut command);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The same, as JSON.
    #[track_caller]
    pub(crate) fn json(ran: &Ran) -> Value {
        let read = serde_json::from_str(&ran.out);
        assert!(read.is_ok(), "{} {}", ran.out, ran.err);
        read.unwrap()
    }
}

/// A list of the subscription.
pub(crate) fn of_subscription(list: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/providers/{list}")
}

/// The id of a resource, as Azure writes it.
pub(crate) fn id(kind: &str, name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-AI/providers/{kind}/{name}")
}
