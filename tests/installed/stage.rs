//! The stage of a test: a namespace with a Service, what an installation brings, and replicas.
use outrigger_harness::stream::Plan;
use outrigger_harness::{Cluster, Installation, Namespace, Replica, Stream};
use serde_json::{Value, json};
use std::{ops::Deref, path::Path, time::Duration};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep},
};

const OUTRIGGER: &str = env!("CARGO_BIN_EXE_outrigger");
const REGISTRATIONS: &str = "/apis/admissionregistration.k8s.io/v1";
pub const OWNER: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/outrigger";
/// What is waited for on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// What `helper` puts into a Pod that asks for it.
pub const HELPER: &str = "helper";

/// One test at a time: the objects that are made have the same names in all of them.
static TURN: Mutex<()> = Mutex::const_new(());

pub struct Stage {
    /// Where Outrigger is installed.
    installation: Installation,
    /// Where an application is.
    pub app: Namespace,
    pub replicas: Vec<Replica>,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Stage {
    type Target = Installation;

    fn deref(&self) -> &Installation {
        &self.installation
    }
}

/// The paths of the three configurations.
pub fn configurations() -> [String; 3] {
    [
        ("mutating", "00-outrigger-pods"),
        ("validating", "outrigger-policies"),
        ("validating", "outrigger-workloads"),
    ]
    .map(|(kind, name)| format!("{REGISTRATIONS}/{kind}webhookconfigurations/{name}"))
}

/// The paths of the guard's policies and bindings.
fn guard() -> impl Iterator<Item = String> {
    let kinds = ["validatingadmissionpolicybindings", "validatingadmissionpolicies"];
    let names = ["outrigger-requested", "outrigger-required"];
    kinds
        .into_iter()
        .flat_map(move |kind| names.map(|name| format!("{REGISTRATIONS}/{kind}/{name}")))
}

impl Stage {
    /// All that an installation brings, but no replica. `None`: no API server here, and that has been said.
    pub async fn new(name: &str) -> Option<Stage> {
        let cluster = Cluster::shared()?;
        let turn = TURN.lock().await;
        let system = cluster.namespace(&format!("{name}-system"), json!({})).await;
        let app = cluster.namespace(&format!("{name}-app"), json!({})).await;
        // What the test before has left behind is about namespaces of its own.
        for path in configurations().into_iter().chain(guard()) {
            system.call("DELETE", &path, None).await;
        }
        let begin = Instant::now();
        while system.dry_run(&asking()).await.status != 201 {
            assert!(begin.elapsed() < PATIENCE, "what was deleted is still in effect");
            sleep(Duration::from_millis(50)).await;
        }
        let crds = outrigger::crds::yaml().unwrap();
        let installation = Installation::new(system, Path::new(OUTRIGGER), crds).await;
        let helper = json!({"sidecars": [{"container": {"name": HELPER, "image": "helper:1"}}]});
        installation.put(HELPER, helper).await.object();
        Some(Stage {
            installation,
            app,
            replicas: Vec::new(),
            _turn: turn,
        })
    }

    /// Starts as many replicas at once, and puts them behind the Service when they are ready.
    pub async fn replicas(&mut self, count: usize, flags: &[&str]) {
        let first = self.replicas.len();
        let runtime = tokio::runtime::Handle::current();
        let start = || {
            let _context = runtime.enter();
            self.start(flags)
        };
        let started: Vec<Replica> = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..count).map(|_| scope.spawn(start)).collect();
            starting.into_iter().map(|one| one.join().unwrap()).collect()
        });
        self.replicas.extend(started);
        for replica in &self.replicas[first..] {
            replica.wait_until_ready().await;
            self.balancer.add(replica.address());
        }
    }

    /// As [`Stage::replicas`], and waits until the API server calls them.
    pub async fn running(name: &str, count: usize, flags: &[&str]) -> Option<Stage> {
        let mut stage = Stage::new(name).await?;
        stage.replicas(count, flags).await;
        stage.wait_until_called().await;
        Some(stage)
    }

    /// As many clients, each of which creates a Pod that asks for its helper, every `pause`.
    pub async fn stream(&self, clients: usize, pause: Duration) -> Stream {
        let plan = Plan {
            path: self.app.path("pods"),
            pods: vec![asking()],
            helper: HELPER.to_owned(),
            clients,
            pause,
        };
        Stream::start(self.app.cluster().kubeconfig(), plan).await
    }

    /// Waits until all three configurations trust what is in the Secret, and a Pod that asks for its helper gets it.
    pub async fn wait_until_called(&self) {
        self.wait_for("the configurations", async || self.is_registered().await)
            .await;
        self.wait_for("a helper", async || {
            self.app.dry_run(&asking()).await.created_with(HELPER)
        })
        .await;
    }

    /// Whether all three configurations trust all that the Secret says.
    pub async fn is_registered(&self) -> bool {
        let Some(secret) = self.secret().await else {
            return false;
        };
        let trust = secret.trust();
        for path in configurations() {
            if self.bundle(&path).await.as_ref() != Some(&trust) {
                return false;
            }
        }
        true
    }

    /// What a configuration trusts, as base64 of PEM.
    pub async fn bundle(&self, path: &str) -> Option<String> {
        let found = self.system.call("GET", path, None).await;
        let bundle = &found.body["webhooks"][0]["clientConfig"]["caBundle"];
        bundle.as_str().map(String::from)
    }

    /// The path of the Secret.
    pub fn secret_path(&self) -> String {
        self.system.path("secrets/outrigger-certificate")
    }

    pub async fn secret(&self) -> Option<Secret> {
        let answer = self.system.call("GET", &self.secret_path(), None).await;
        (answer.status == 200).then_some(Secret(answer.body))
    }

    /// Asks for a new authority.
    pub async fn ask_for_rotation(&self) {
        let ask = json!({"metadata": {"annotations": {"outrigger.dev/rotate": "now"}}});
        self.system.merge(&self.secret_path(), &ask).await.object();
    }

    /// Who holds the lease.
    pub async fn holder(&self) -> String {
        let path = format!(
            "/apis/coordination.k8s.io/v1/namespaces/{}/leases/outrigger-controller",
            self.system.name
        );
        let lease = self.system.call("GET", &path, None).await;
        lease.body["spec"]["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The place in [`Stage::replicas`] of the one that holds the lease; their identities begin with `r` and that number.
    pub async fn leader(&self) -> usize {
        let mut found = None;
        self.wait_for("a leader", async || {
            for (number, replica) in self.replicas.iter().enumerate() {
                if is_leading(replica).await {
                    found = Some(number);
                }
            }
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Takes a replica away as a node that fails does: at once. The Service notices when it connects.
    pub fn kill(&mut self, number: usize) -> Replica {
        let replica = self.replicas.remove(number);
        replica.signal("KILL");
        replica
    }

    /// The sum of a metric over all replicas.
    pub async fn metric(&self, name: &str) -> f64 {
        let mut sum = 0.0;
        for replica in &self.replicas {
            sum += replica.metric(name).await;
        }
        sum
    }

    /// Waits until it holds.
    pub async fn wait_for(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds().await {
            assert!(Instant::now() < end, "still no {what}:\n{}", self.logs());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The logs of all replicas that still run.
    pub fn logs(&self) -> String {
        let logs = self.replicas.iter().map(|replica| replica.log().join("\n"));
        logs.collect::<Vec<_>>().join("\n---\n")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Whatever a test is about: nobody lacked a right.
        let logs = self.logs();
        if !std::thread::panicking() {
            assert!(!logs.to_lowercase().contains("forbidden"), "{logs}");
        }
    }
}

async fn is_leading(replica: &Replica) -> bool {
    replica.metric("outrigger_leads").await == 1.0
}

/// A Pod that asks for its helper.
pub fn asking() -> Value {
    json!({
        "metadata": {"generateName": "web-", "annotations": {"outrigger.dev/inject": HELPER}},
        "spec": {"containers": [{"name": "app", "image": "registry.test/app:1"}]},
    })
}

/// A Secret as it was read.
pub struct Secret(pub Value);

impl Secret {
    /// An entry, as text.
    pub fn text(&self, key: &str) -> String {
        let base64 = self.0["data"][key].clone();
        let bytes = serde_json::from_value::<Option<k8s_openapi::ByteString>>(base64).unwrap();
        String::from_utf8(bytes.map(|bytes| bytes.0).unwrap_or_default()).unwrap()
    }

    /// The authority that signs.
    pub fn signer(&self) -> String {
        let (first, _) = self
            .text("ca.crt")
            .split_once("-----END")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        first.trim().to_owned()
    }

    /// All that is to be trusted, as base64 of PEM.
    pub fn trust(&self) -> String {
        let text = self.text("ca.crt") + &self.text("next.crt");
        base64(&text)
    }
}

pub fn base64(text: &str) -> String {
    let value = serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap();
    value.as_str().unwrap().to_owned()
}

pub fn from_base64(text: &str) -> String {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(json!(text)).unwrap();
    String::from_utf8(bytes.0).unwrap()
}
