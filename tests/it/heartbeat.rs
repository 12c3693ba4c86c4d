//! Signs of life as somebody outside gets them.

use std::sync::Arc;
use std::time::Duration;

use tokenwatch::config::{HeartbeatSettings, look_up, parse};
use tokenwatch::event::Batch;
use tokenwatch::notify::HttpSettings;
use tokenwatch::pipeline::{Service, Unwatched, wall_clock};
use tokenwatch::source::{Source, SourceError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::harness::{Folder, open, run};
use crate::rest_server::{Reply, Request, serve};

/// A source that has nothing to say.
struct Silent;

impl Source for Silent {
    async fn next_batch(&mut self) -> Result<Option<Batch>, SourceError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_service_that_waits_for_records_gives_signs_of_life() {
    let folder = Folder::new();
    let (tell, mut told) = mpsc::unbounded_channel();
    let answer = move |request: &Request| {
        tell.send((request.method.clone(), request.path.clone())).unwrap();
        Reply::Answer(200, String::new(), b"OK".to_vec())
    };
    let port = serve(None, Arc::new(answer)).await;
    let stop = CancellationToken::new();
    let heartbeat = Some(HeartbeatSettings {
        http: HttpSettings::new(&format!("http://127.0.0.1:{port}/ping/secret")),
        every: Duration::from_millis(20),
    });
    let core = open(&folder.path("t.db")).await;
    let service = Service { heartbeat, ..Service::new(core, Silent, wall_clock()) };
    let mut watch = Unwatched;
    let (served, ()) = tokio::join!(service.run(&stop, &mut watch), async {
        for _ in 0..3 {
            let sign = told.recv().await.unwrap();
            assert_eq!(sign, ("POST".to_owned(), "/ping/secret".to_owned()));
        }
        stop.cancel();
    });
    served.unwrap();
}

#[test]
fn its_address_is_a_secret_and_its_mistakes_are_told() {
    let hub = "[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n";
    let folder = Folder::new();
    let check = |url: &str, rest: &str| {
        let secret = folder.write("url", url.as_bytes());
        let text = format!("{hub}[heartbeat]\nurl = {{ file = {secret:?} }}\n{rest}");
        let file = folder.write("t.toml", text.as_bytes());
        let ran = run(&["check", "--config", &file]);
        let parsed = parse(&text, &file, &look_up);
        assert_eq!(ran.code == Some(0), parsed.is_ok(), "{}", ran.err);
        let said = format!("{}{}{parsed:?}", ran.out, ran.err);
        assert!(!said.contains("hidden"), "{said}");
        said
    };
    let said = check("https://hc.contoso.example/hidden", "every = \"30s\"\n");
    assert!(said.contains("every 30 s"), "{said}");
    let said = check("http://hc.contoso.example/hidden", "");
    assert!(said.contains("http only to a loopback host"), "{said}");
    let said = check("https://169.254.169.254/hidden", "every = \"1s\"\n");
    assert!(said.contains("metadata service") && said.contains("out of range"), "{said}");
    let text = format!("{hub}[heartbeat]\nurl = \"https://x.example/hidden\"\n");
    let problems = parse(&text, "t.toml", &look_up).map(|_| ()).unwrap_err().to_string();
    assert!(problems.contains("a secret belongs elsewhere"), "{problems}");
    assert!(!problems.contains("hidden"), "{problems}");
}
