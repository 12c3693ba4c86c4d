//! A server for REST clients, with or without TLS, that can also behave badly; Entra ID's token
//! endpoint; and the environment in which the real credentials find both.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::hub_tls::Authority;

/// What a client sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// What it gets.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status, more lines of the head, body.
    Answer(u16, String, Vec<u8>),
    /// A whole head and half of its body, then the end of the connection.
    Cut(Vec<u8>),
    /// Nothing, for ever.
    Hang,
}

impl Reply {
    pub(crate) fn json(text: &str) -> Self {
        Self::Answer(200, String::new(), text.as_bytes().to_vec())
    }
}

type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// Serves on a free port of loopback until the test ends.
pub(crate) async fn serve(tls: Option<TlsAcceptor>, handler: Handler) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, handler) = (tls.clone(), Arc::clone(&handler));
            tokio::spawn(async move {
                match tls {
                    None => connection(stream, &handler).await,
                    // A client that does not trust us goes away.
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => connection(stream, &handler).await,
                        Err(_) => None,
                    },
                }
            });
        }
    });
    port
}

/// Answers one request after the other; `None` once the client is gone.
async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    handler: &Handler,
) -> Option<()> {
    loop {
        let request = read(&mut stream).await?;
        let (status, more, body, length) = match handler(&request) {
            Reply::Answer(status, more, body) => (status, more, body.clone(), body.len()),
            Reply::Cut(body) => {
                let half = body.get(..body.len() / 2).unwrap().to_vec();
                (200, String::new(), half, body.len())
            }
            Reply::Hang => std::future::pending().await,
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{more}\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(&body).await.ok()?;
        stream.flush().await.ok()?;
        if body.len() < length {
            return None;
        }
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let pair = |line: &str| {
        line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
    };
    let headers: HashMap<_, _> = lines.filter_map(pair).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let url = reqwest::Url::parse(&format!("https://localhost{target}")).unwrap();
    Some(Request {
        method: method.to_owned(),
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

/// Takes connections with the certificate and key in these files.
pub(crate) fn acceptor([chain, key]: [&Path; 2]) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(chain).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

const TENANT: &str = "7f3f0c1d-2e7a-4b4c-989d-6e1b2a3c4d5e";
const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
/// What a workload proves itself to Entra ID with.
const ASSERTION: &str = "federated-assertion";
/// What a managed identity proves itself to its endpoint with.
const HEADER: &str = "identity-header";
/// How every token begins; a number follows.
pub(crate) const TOKEN: &str = "secret-token-";
/// Tells a test that it runs as a second process, and where its certificate is.
const TRUSTED: &str = "TOKENWATCH_TEST_REST";

/// Entra ID and the endpoint of managed identities, which hand out tokens for `audience`.
pub(crate) struct Entra {
    pub(crate) authority: Authority,
    workload: u16,
    managed: u16,
}

impl Entra {
    pub(crate) async fn start(audience: &'static str) -> Self {
        let authority = Authority::new();
        let [chain, key] = authority.files("localhost", 2099);
        let issued = Arc::new(AtomicUsize::new(0));
        let next = Arc::clone(&issued);
        let workload = move |request: &Request| {
            let form: HashMap<_, _> = reqwest::Url::parse(&format!("https://x/?{}", request.body))
                .unwrap()
                .query_pairs()
                .into_owned()
                .collect();
            let is = |name: &str, value: &str| form.get(name).is_some_and(|found| found == value);
            let fine = request.path == format!("/{TENANT}/oauth2/v2.0/token")
                && is("client_id", CLIENT)
                && is("client_assertion", ASSERTION)
                && is("scope", &format!("{audience}/.default"));
            if !fine {
                let text = r#"{"error":"invalid_request","error_description":"AADSTS900144: no","error_codes":[900144]}"#;
                return Reply::Answer(400, String::new(), text.as_bytes().to_vec());
            }
            let number = next.fetch_add(1, Ordering::SeqCst);
            Reply::json(&format!(
                r#"{{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"{TOKEN}{number}"}}"#
            ))
        };
        let managed = move |request: &Request| {
            let resource = request.query.get("resource").map(String::as_str);
            let header = request.headers.get("x-identity-header").map(String::as_str);
            if (resource, header) != (Some(audience), Some(HEADER)) {
                return Reply::Answer(400, String::new(), b"{}".to_vec());
            }
            let number = issued.fetch_add(1, Ordering::SeqCst);
            Reply::json(&format!(
                r#"{{"token_type":"Bearer","expires_on":"4102444800","resource":"{audience}","access_token":"{TOKEN}{number}"}}"#
            ))
        };
        let tls = acceptor([&chain, &key]);
        let workload = serve(Some(tls), Arc::new(workload)).await;
        let managed = serve(None, Arc::new(managed)).await;
        std::fs::write(chain.with_file_name("assertion"), ASSERTION).unwrap();
        Self { authority, workload, managed }
    }

    /// What the platform sets for a workload identity and for a managed one, and whom to trust.
    pub(crate) fn environment(&self, command: &mut Command) {
        let trusted = self.authority.file();
        command
            .env("SSL_CERT_FILE", &trusted)
            .env_remove("SSL_CERT_DIR")
            .env("NO_PROXY", "localhost,127.0.0.1")
            .env("AZURE_AUTHORITY_HOST", format!("https://localhost:{}", self.workload))
            .env("AZURE_TENANT_ID", TENANT)
            .env("AZURE_CLIENT_ID", CLIENT)
            .env("AZURE_FEDERATED_TOKEN_FILE", trusted.with_file_name("assertion"))
            .env("IDENTITY_ENDPOINT", format!("http://127.0.0.1:{}/token", self.managed))
            .env("IDENTITY_HEADER", HEADER)
            .env_remove("IDENTITY_SERVER_THUMBPRINT");
    }

    /// The certificate of `localhost` and its key.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        acceptor_in(self.authority.file().parent().unwrap())
    }
}

fn acceptor_in(folder: &Path) -> TlsAcceptor {
    acceptor([&folder.join("leaf.pem"), &folder.join("leaf.key")])
}

/// Whom a process trusts is one for the whole of it: runs `test` as a second process, which trusts
/// a private authority and gets tokens from [`Entra`]; there, `body` is run with a certificate.
pub(crate) async fn trusted(
    test: &str,
    audience: &'static str,
    body: impl AsyncFnOnce(TlsAcceptor),
) {
    if let Some(folder) = std::env::var_os(TRUSTED) {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        return body(acceptor_in(Path::new(&folder))).await;
    }
    let entra = Entra::start(audience).await;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command.env(TRUSTED, entra.authority.file().parent().unwrap());
    entra.environment(&mut command);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(" 1 passed"), "{said}\n{told}");
}
