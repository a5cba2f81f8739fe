//! The real webhook: the binary `outrigger serve` with policies from files or from the cluster, registered for the Pods of
//! a test.
use crate::answer::Answer;
use crate::namespace::Namespace;
use crate::registration::{Registered, Registration};
use crate::replica::{Replica, client};
use kube::Client;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A running and registered webhook; it ends when this is dropped.
pub struct Webhook {
    dir: PathBuf,
    https: Client,
    // Dropped in this order: nobody is sent to a webhook that is gone.
    _registered: Vec<Registered>,
    replica: Replica,
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
            url: format!("https://{}/mutate", webhook.replica.address()),
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
        webhook.replica.wait_until_ready().await;
        let authority = webhook.authority();
        let pods = Registration {
            name: &format!("m-outrigger-{}", namespace.name),
            webhook: "pods.outrigger.dev",
            url: format!("https://{}/mutate", webhook.replica.address()),
            authority: &authority,
        };
        let policies = Registration {
            webhook: "policies.outrigger.dev",
            url: format!("https://{}/validate", webhook.replica.address()),
            ..pods
        };
        webhook._registered.push(pods.register_for_scene(namespace).await);
        webhook
            ._registered
            .push(policies.register_for_policies(namespace).await);
        webhook.wait_for_a_call(namespace).await;
        webhook
    }

    /// Has it called about Deployments and the like of this namespace too, and waits until that happens.
    ///
    /// # Panics
    /// When it does not; the message has the webhook's log.
    pub async fn advise(&mut self, namespace: &Namespace) {
        let workloads = Registration {
            name: &format!("w-outrigger-{}", namespace.name),
            webhook: "workloads.outrigger.dev",
            url: format!("https://{}/advise", self.replica.address()),
            authority: &self.authority(),
        };
        self._registered.push(workloads.register_for_workloads(namespace).await);
        let template =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "app", "image": "app"}]}});
        let probe = json!({"metadata": {"name": "probe", "annotations": {"outrigger.dev/inject": ""}},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
        let path = format!("/apis/apps/v1/namespaces/{}/deployments?dryRun=All", namespace.name);
        for _ in 0..400 {
            if !namespace.call("POST", &path, Some(&probe)).await.warnings.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "nothing is said about a Deployment; the webhook's log:\n{}",
            self.log().join("\n")
        );
    }

    /// Starts `binary` with these arguments and its certificates in `dir`. It is not registered anywhere.
    ///
    /// # Panics
    /// When it does not serve; the message has its log.
    pub fn alone(binary: &Path, dir: PathBuf, arguments: &[String]) -> Webhook {
        Webhook::spawn(binary, dir, arguments)
    }

    /// Address and port of the webhook.
    pub fn listen(&self) -> String {
        self.replica.address().to_string()
    }

    fn spawn(binary: &Path, dir: PathBuf, arguments: &[String]) -> Webhook {
        let certs = ["--certs".to_owned(), dir.join("certs").display().to_string()];
        let replica = Replica::start(binary, &[&certs, arguments].concat());
        let authority = fs::read_to_string(dir.join("certs/ca.crt")).expect("serve wrote no ca.crt");
        Webhook {
            https: client(&format!("https://{}", replica.address()), Some(&authority)),
            dir,
            _registered: Vec::new(),
            replica,
        }
    }

    /// The certificate of its authority, PEM.
    ///
    /// # Panics
    /// When there is none.
    pub fn authority(&self) -> String {
        fs::read_to_string(self.dir.join("certs/ca.crt")).expect("serve wrote no ca.crt")
    }

    /// Whether `/readyz` says so.
    pub async fn is_ready(&self) -> bool {
        self.replica.is_ready().await
    }

    /// Replaces the policy at this place of the list that the webhook was started with.
    pub fn replace_policy(&self, index: usize, policy: &str) {
        write_policy(&self.dir, index, policy);
    }

    /// The lines of its log.
    pub fn log(&self) -> Vec<String> {
        self.replica.log()
    }

    /// Sends it a review as the API server does, and returns the review that it answers with.
    pub async fn review(&self, review: &Value) -> Answer {
        Answer::to(&self.https, "POST", "/mutate?timeout=5s", Some(review))
            .await
            .expect("the webhook does not answer")
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> String {
        self.replica.metrics().await
    }

    /// The sum over all series of one metric.
    pub async fn metric(&self, name: &str) -> f64 {
        self.replica.metric(name).await
    }

    /// The value of one series, such as `name{label="value"}`.
    ///
    /// # Panics
    /// When there is none.
    pub async fn series(&self, series: &str) -> f64 {
        self.replica
            .series(series)
            .await
            .unwrap_or_else(|| panic!("there is no {series}"))
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
            self.log().join("\n")
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
