//! The real webhook: the binary `outrigger serve` with policies from files or from the cluster, registered for the Pods of
//! a test.
use crate::answer::Answer;
use crate::keeper::{Kept, Program};
use crate::namespace::Namespace;
use crate::registration::{Registered, Registration};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const LOGS_WITHIN: Duration = Duration::from_secs(20);

/// A running and registered webhook; it ends when this is dropped.
pub struct Webhook {
    dir: PathBuf,
    listen: String,
    log: Arc<Log>,
    https: Client,
    admin: Client,
    // Dropped in this order: nobody is sent to a webhook that is gone.
    _registered: Vec<Registered>,
    _kept: Kept,
}

impl Webhook {
    /// Starts `binary` with these policies, each the text of a `policy.yaml`, and the facts of this namespace; registers
    /// it, and waits until the API server calls it.
    ///
    /// # Panics
    /// When that does not happen; the message has the webhook's log.
    pub async fn start(binary: &Path, namespace: &Namespace, policies: &[&str]) -> Webhook {
        let dir = namespace.cluster().directory(&namespace.name);
        for (index, policy) in policies.iter().enumerate() {
            write_policy(&dir, index, policy);
        }
        fs::create_dir_all(dir.join("policies")).expect("failed to make a directory");
        let namespaces = namespace.manifest().await.to_string();
        fs::write(dir.join("namespaces.yaml"), namespaces).expect("failed to write the namespaces");

        let path = |name: &str| dir.join(name).display().to_string();
        let from_files = [
            "--policies".to_owned(),
            path("policies"),
            "--namespaces".to_owned(),
            path("namespaces.yaml"),
        ];
        let mut webhook = Webhook::spawn(binary, dir, &from_files);
        let authority = webhook.authority();
        let registration = Registration {
            name: &format!("m-outrigger-{}", namespace.name),
            webhook: "pods.outrigger.dev",
            url: format!("https://{}/mutate", webhook.listen),
            authority: &authority,
        };
        webhook._registered.push(registration.register(namespace).await);
        webhook.wait_for_a_call(namespace).await;
        webhook
    }

    /// Starts `binary` with policies from the cluster that `kubeconfig` leads to, and registers it for the Pods of all
    /// namespaces whose label [`SCENE`](crate::SCENE) has this namespace's name, and for policies whose name begins with
    /// it. Waits until it is ready and the API server calls it.
    ///
    /// # Panics
    /// When that does not happen; the message has the webhook's log.
    pub async fn in_cluster(binary: &Path, namespace: &Namespace, kubeconfig: &Path) -> Webhook {
        let dir = namespace.cluster().directory(&namespace.name);
        let arguments = ["--kubeconfig".to_owned(), kubeconfig.display().to_string()];
        let mut webhook = Webhook::spawn(binary, dir, &arguments);
        webhook.wait_until_ready().await;
        let authority = webhook.authority();
        let pods = Registration {
            name: &format!("m-outrigger-{}", namespace.name),
            webhook: "pods.outrigger.dev",
            url: format!("https://{}/mutate", webhook.listen),
            authority: &authority,
        };
        let policies = Registration {
            webhook: "policies.outrigger.dev",
            url: format!("https://{}/validate", webhook.listen),
            ..pods
        };
        webhook._registered.push(pods.register_for_scene(namespace).await);
        webhook
            ._registered
            .push(policies.register_for_policies(namespace).await);
        webhook.wait_for_a_call(namespace).await;
        webhook
    }

    fn spawn(binary: &Path, dir: PathBuf, arguments: &[String]) -> Webhook {
        let (kept, log) = spawn(binary, &dir, arguments);
        let addresses = log.wait_for("serving");
        let address = |field: &str| {
            let address = addresses[field].as_str();
            address
                .unwrap_or_else(|| panic!("no {field} in {addresses}"))
                .to_owned()
        };
        let (listen, admin) = (address("listen"), address("admin"));
        let authority = fs::read_to_string(dir.join("certs/ca.crt")).expect("serve wrote no ca.crt");
        Webhook {
            https: client(&format!("https://{listen}"), Some(&authority)),
            admin: client(&format!("http://{admin}"), None),
            listen,
            dir,
            log,
            _registered: Vec::new(),
            _kept: kept,
        }
    }

    fn authority(&self) -> String {
        fs::read_to_string(self.dir.join("certs/ca.crt")).expect("serve wrote no ca.crt")
    }

    /// Whether `/readyz` says so.
    pub async fn is_ready(&self) -> bool {
        let answer = Answer::to(&self.admin, "GET", "/readyz", None).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    async fn wait_until_ready(&self) {
        for _ in 0..600 {
            if self.is_ready().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the webhook is not ready; its log:\n{}", self.log.text());
    }

    /// Replaces the policy at this place of the list that the webhook was started with.
    pub fn replace_policy(&self, index: usize, policy: &str) {
        write_policy(&self.dir, index, policy);
    }

    /// The lines of its log.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Sends it a review as the API server does, and returns the review that it answers with.
    pub async fn review(&self, review: &Value) -> Answer {
        Answer::to(&self.https, "POST", "/mutate?timeout=5s", Some(review))
            .await
            .expect("the webhook does not answer")
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> String {
        let answer = Answer::to(&self.admin, "GET", "/metrics", None)
            .await
            .expect("the admin port does not answer");
        answer.body.as_str().unwrap_or_default().to_owned()
    }

    /// The sum over all series of one metric.
    pub async fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics().await;
        let values = metrics.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with(['{', ' '])
                .then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        });
        values.sum()
    }

    /// The value of one series, such as `name{label="value"}`.
    ///
    /// # Panics
    /// When there is none.
    pub async fn series(&self, series: &str) -> f64 {
        let metrics = self.metrics().await;
        let value = |line: &str| line.strip_prefix(series)?.trim().parse().ok();
        metrics
            .lines()
            .find_map(value)
            .unwrap_or_else(|| panic!("{series} is not in\n{metrics}"))
    }

    /// The registration takes a moment to reach the API server's admission chain. A Pod that no webhook would let pass
    /// shows that it has.
    async fn wait_for_a_call(&self, namespace: &Namespace) {
        let probe = json!({
            "metadata": {"generateName": "probe-", "annotations": {"outrigger.dev/inject": "Not A Policy"}},
            "spec": {"containers": [{"name": "app", "image": "app"}]},
        });
        let mut last = String::new();
        for _ in 0..200 {
            let answer = namespace.dry_run(&probe).await;
            last = format!("{}: {}", answer.status, answer.message());
            if last.contains("pods.outrigger.dev") && last.contains("denied the request") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "a Pod that asks for \"Not A Policy\" is not refused ({last}); the webhook's log:\n{}",
            self.log.text()
        );
    }
}

fn write_policy(dir: &Path, index: usize, policy: &str) {
    let folder = dir.join("policies").join(index.to_string());
    fs::create_dir_all(&folder).expect("failed to make a directory");
    let partial = dir.join("policy.partial");
    fs::write(&partial, policy).expect("failed to write a policy");
    fs::rename(&partial, folder.join("policy.yaml")).expect("failed to put a policy in place");
}

fn spawn(binary: &Path, dir: &Path, from: &[String]) -> (Kept, Arc<Log>) {
    let certs = dir.join("certs").display().to_string();
    let arguments = [
        ["--certs", &certs],
        ["--listen", "127.0.0.1:0"],
        ["--admin", "127.0.0.1:0"],
        ["--log-format", "json"],
    ];
    let arguments = ["serve"].into_iter().chain(arguments.into_iter().flatten());
    let arguments = arguments.map(String::from).chain(from.iter().cloned()).collect();
    let program = Program {
        path: binary,
        arguments,
        stdout: Stdio::null(),
        stderr: Stdio::piped(),
        scratch: None,
    };
    let mut kept = program.start().expect("failed to start the webhook");
    let log = Log::of(kept.take_stderr().expect("stderr is a pipe"));
    (kept, log)
}

/// HTTP/1.1 over TLS that trusts this authority alone, which is what an API server does.
fn client(url: &str, authority: Option<&str>) -> Client {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut config = Config::new(url.parse().expect("an address from the log"));
    let der = |pem: &str| {
        CertificateDer::from_pem_slice(pem.as_bytes())
            .expect("ca.crt is PEM")
            .to_vec()
    };
    config.root_cert = authority.map(|pem| vec![der(pem)]);
    Client::try_from(config).expect("failed to make a client")
}

/// What the webhook has logged so far; a thread reads on, so that the pipe never fills.
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    fn of(stderr: ChildStderr) -> Arc<Log> {
        let log = Arc::new(Log {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                writer.update(|state| state.lines.push(line));
            }
            writer.update(|state| state.ended = true);
        });
        log
    }

    fn update(&self, change: impl FnOnce(&mut LogState)) {
        change(&mut self.state.lock().expect("a reader panicked"));
        self.changed.notify_all();
    }

    fn lines(&self) -> Vec<String> {
        self.state.lock().expect("a reader panicked").lines.clone()
    }

    fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The fields of the first line with this message.
    fn wait_for(&self, message: &str) -> Value {
        let waiting = |state: &mut LogState| !state.ended && find(&state.lines, message).is_none();
        let state = self.state.lock().expect("a reader panicked");
        let waited = self
            .changed
            .wait_timeout_while(state, LOGS_WITHIN, waiting)
            .expect("a reader panicked");
        let found = find(&waited.0.lines, message);
        drop(waited);
        found.unwrap_or_else(|| panic!("the webhook did not log \"{message}\"; its log:\n{}", self.text()))
    }
}

/// The fields of a line are beside its message, whether that is at the top or under `fields`.
fn find(lines: &[String], message: &str) -> Option<Value> {
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut fields = lines.map(|mut line| {
        if line["fields"].is_object() {
            line["fields"].take()
        } else {
            line
        }
    });
    fields.find(|fields| fields["message"] == message)
}
