//! Servers that want to know who comes, and that show who they are.
use crate::accounts::Accounts;
use crate::application::{Application, reply};
use crate::worker::{Worker, eventually};
use nkeys::KeyPair;
use outrigger_harness::NatsServer;
use outrigger_harness::pki::{Authority, Pair};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Files of a test.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    /// The files `<name>.crt` and `<name>.key`.
    fn pair(&self, name: &str, pair: &Pair) -> [String; 2] {
        [
            self.write(&format!("{name}.crt"), &pair.certificate),
            self.write(&format!("{name}.key"), &pair.key),
        ]
    }
}

/// An item goes in and its result out.
async fn works(worker: &Worker, key: &str) {
    worker.ready().await;
    let before = worker
        .metric("outrigger_work_results_total{outcome=\"published\"}")
        .await;
    let (status, answer) = worker.post("/items", &[("idempotency-key", key)], "x").await;
    assert_eq!(status, 202, "{answer}");
    eventually(&format!("a result\n{}", worker.log()), async || {
        let published = worker
            .metric("outrigger_work_results_total{outcome=\"published\"}")
            .await;
        (published == before + 1.0).then_some(())
    })
    .await;
}

/// It lives without a connection, and says why: where its readiness is asked for, and in its log.
async fn is_refused(worker: &Worker, why: &str) {
    let told = worker.lacks(why).await;
    assert!(told.starts_with("not connected to NATS at "), "{told}");
    let warned = format!("failed to connect to NATS: {}", told.trim().split_once("; ").unwrap().1);
    assert!(worker.log().contains(&warned), "{warned}\n{}", worker.log());
}

fn start(nats: &str, application: &Application, more: &[&str]) -> Worker {
    Worker::start(nats, &[&["--application", application.url().as_str()], more].concat())
}

fn flag(name: &str, path: &Path) -> String {
    format!("--nats-{name}={}", path.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_server_is_trusted_that_the_given_authority_has_signed_and_no_other() {
    let (files, authority) = (Files::new(), Authority::new("nats").unwrap());
    let [certificate, key] = files.pair("server", &authority.server().unwrap());
    files.write("ca.crt", &authority.certificate());
    files.write("other.crt", &Authority::new("another").unwrap().certificate());
    let settings = format!("tls {{cert_file: \"{certificate}\", key_file: \"{key}\", timeout: 30}}\n");
    let Some(nats) = NatsServer::start(&settings) else {
        return;
    };
    let application = Application::start(|_| reply(200, ""));
    let encrypted = nats.url().replace("nats://", "tls://");
    let trusting = flag("ca", &files.path("ca.crt"));
    // The server wants TLS whatever the URL says.
    for (key, url) in [("a", &encrypted), ("b", &nats.url())] {
        works(&start(url, &application, &[&trusting]), key).await;
    }
    let doubting = flag("ca", &files.path("other.crt"));
    is_refused(&start(&encrypted, &application, &[&doubting]), "UnknownIssuer").await;
    // The system's authorities have not signed it either; and an image may have none.
    is_refused(&start(&encrypted, &application, &[]), "UnknownIssuer").await;
    let none = TempDir::new().unwrap();
    let bare = [("SSL_CERT_DIR", none.path().to_str().unwrap())];
    let own = application.url();
    let more = ["--application", own.as_str(), &trusting];
    works(&Worker::with_environment(&bare, &encrypted, &more), "c").await;
    is_refused(
        &Worker::with_environment(&bare, &encrypted, &more[..2]),
        "UnknownIssuer",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_certificate_is_shown_and_a_renewed_one_at_the_next_connection() {
    let files = Files::new();
    let write = |authority: &Authority| {
        let server = files.pair("server", &authority.server().unwrap());
        files.pair("client", &authority.user("worker", "shop").unwrap());
        [server, [files.write("ca.crt", &authority.certificate()), String::new()]].concat()
    };
    let written = write(&Authority::new("first").unwrap());
    let settings = format!(
        "tls {{cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true, timeout: 30}}\n",
        written[0], written[1], written[2]
    );
    let Some(mut nats) = NatsServer::start(&settings) else {
        return;
    };
    let application = Application::start(|_| reply(200, ""));
    let url = nats.url().replace("nats://", "tls://");
    let trusting = flag("ca", &files.path("ca.crt"));
    let own = [
        flag("cert", &files.path("client.crt")),
        flag("key", &files.path("client.key")),
    ];
    let worker = start(&url, &application, &[&trusting, &own[0], &own[1]]);
    works(&worker, "a").await;
    is_refused(&start(&url, &application, &[&trusting]), "ertificate").await;

    // Another authority, and all certificates are its own: as when cert-manager renews them.
    nats.kill();
    write(&Authority::new("second").unwrap());
    nats.run();
    works(&worker, "b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_credentials_let_in_and_are_read_anew_for_each_connection() {
    let (accounts, files) = (Accounts::new(), Files::new());
    let Some(mut nats) = NatsServer::start(&accounts.settings(&[])) else {
        return;
    };
    let application = Application::start(|_| reply(200, ""));
    let (first, second) = (KeyPair::new_user(), KeyPair::new_user());
    let own = files.write("nats.creds", &accounts.credentials(&first));
    let worker = start(&nats.url(), &application, &["--nats-credentials", &own]);
    works(&worker, "a").await;
    is_refused(&start(&nats.url(), &application, &[]), "uthorization").await;
    // Of the same name, but of nobody's account.
    let foreign = files.write("foreign.creds", &Accounts::new().credentials(&first));
    is_refused(
        &start(&nats.url(), &application, &["--nats-credentials", &foreign]),
        "uthorization",
    )
    .await;

    nats.kill();
    nats.configure(&accounts.settings(&[&first]));
    nats.run();
    is_refused(&worker, "uthorization").await;
    files.write("nats.creds", &accounts.credentials(&second));
    works(&worker, "b").await;
    let seed = first.seed().unwrap();
    assert!(!worker.log().contains(&seed), "{}", worker.log());
}
