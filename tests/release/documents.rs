//! The commands that a person is shown who installs Outrigger, run as they are printed and in that order: those of the README's
//! "In a cluster", of docs/install.md, and of docs/operations.md.
//!
//! What stands for something else: `helm` adds the port of the balancer to what it installs (`service.port`), and what a node and the
//! Deployment's controller do is done by the test.
use crate::release::{Release, asking};
use outrigger_harness::rundir::{target, workspace};
use outrigger_harness::{Cluster, Helm, Namespace, Page, Shell};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Where the documents install it.
const NAMESPACE: &str = "outrigger-system";
const CONFIGURATION: (&str, &str) = ("mutatingwebhookconfiguration", "00-outrigger-pods");
const CRD: &str = "clusterinjectionpolicies.outrigger.dev";

/// Who reads the documents, at a machine with helm, kubectl and outrigger.
struct Reader {
    shell: Arc<Shell>,
    release: Release,
    /// The README's example.
    shop: Namespace,
}

impl Reader {
    async fn new(cluster: &'static Cluster, helm: Helm) -> Reader {
        let shell = Shell::new(cluster, "reader");
        for name in ["charts", "policies"] {
            shell.link(name, &workspace().join(name));
        }
        shell.tool("outrigger", Path::new(env!("CARGO_BIN_EXE_outrigger")));
        let program = helm.path().display().to_string();
        let namespace = cluster.namespace_of_others(NAMESPACE).await;
        let release = Release::of(cluster, namespace, helm).await;
        let home = target().join("helm/home").display().to_string();
        let port = release.balancer.port();
        shell.script(
            "helm",
            &format!(
                "export HELM_CACHE_HOME={home} HELM_CONFIG_HOME={home} HELM_DATA_HOME={home}\n\
                 case $1 in install|upgrade) set -- \"$@\" --set service.port={port};; esac\n\
                 exec {program} \"$@\""
            ),
        );
        Reader {
            shell: Arc::new(shell),
            release,
            shop: cluster.namespace_of_others("shop").await,
        }
    }

    /// Runs commands; what they print.
    async fn run(&self, commands: &str) -> String {
        let (shell, commands) = (Arc::clone(&self.shell), commands.to_owned());
        let run = move || shell.run(&commands);
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// Runs commands that install; meanwhile a node does its part.
    async fn install(&mut self, commands: &str) -> String {
        let (shell, commands) = (Arc::clone(&self.shell), commands.to_owned());
        let running = tokio::task::spawn_blocking(move || shell.run(&commands));
        while !self.release.has("deployment", "outrigger").await {
            assert!(!running.is_finished(), "{}", running.await.unwrap());
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        self.release.run_deployment().await;
        let printed = running.await.unwrap();
        self.until_registered(true).await;
        printed
    }

    async fn until_registered(&self, registered: bool) {
        let (kind, name) = CONFIGURATION;
        let release = &self.release;
        let holds = async || release.has(kind, name).await == registered;
        release.until("registration", holds).await;
    }

    /// Until a Pod of the shop gets this helper.
    async fn gets(&self, pod: serde_json::Value, helper: &str) {
        let gets = async || self.shop.dry_run(&pod).await.created_with(helper);
        self.release.until(helper, gets).await;
    }

    /// What the README shows to each kind of person.
    async fn three_kinds_of_people(&self) {
        let table = Page::read("README.md").part("## In a cluster");
        let rows = table.table("| who | does | for example |");
        let shown: Vec<String> = rows.iter().map(|row| row[2].replace('`', "")).collect();
        let [developer, owner, admin] = &shown[..] else {
            panic!("not three kinds of people: {shown:?}");
        };
        let (key, policy) = developer.split_once(": ").unwrap();
        let mut pod = asking("");
        pod["metadata"]["annotations"] = json!({key: policy});
        self.gets(pod.clone(), "log-saver").await;
        self.run(owner).await;
        pod["metadata"]["annotations"] = json!({});
        self.gets(pod.clone(), "log-saver").await;
        self.run(admin).await;
        pod["metadata"]["annotations"] =
            json!({key: "memcached", "memcached.outrigger.dev/servers": "cache-0.cache:11211"});
        self.gets(pod, "memcached").await;
    }

    /// What the operations page shows for a cluster.
    async fn operate(&self) {
        for commands in Page::read("docs/operations.md").blocks("sh") {
            self.run(&commands).await;
            match commands.as_str() {
                text if text.contains("outrigger crds") => assert!(self.release.has("crd", CRD).await),
                text if text.contains("kubectl wait") => {}
                text if text.contains("outrigger.dev/rotate") => {
                    let secret = self.release.namespace.path("secrets/outrigger-certificate");
                    let announced = async || {
                        let secret = self.release.namespace.call("GET", &secret, None).await.object();
                        secret["data"]["next.crt"].is_string()
                    };
                    self.release.until("the next authority", announced).await;
                }
                text if text.contains("validatingadmissionpolicybinding") => {
                    let (kind, name) = ("validatingadmissionpolicybinding", "outrigger-required");
                    assert!(!self.release.has(kind, name).await);
                }
                text => panic!("no test knows what comes of\n{text}"),
            }
        }
    }
}

#[tokio::test]
async fn every_command_for_a_cluster_does_what_the_documents_say() {
    let (Some(cluster), Some(helm)) = (Cluster::apart("documents", &[]), Helm::find()) else {
        return;
    };
    let Some(_controllers) = cluster.controllers(&["garbage-collector-controller", "namespace-controller"]) else {
        return;
    };
    let mut reader = Reader::new(cluster, helm).await;
    reader.run("kubectl create namespace shop").await;
    reader
        .run("kubectl create serviceaccount default --namespace shop")
        .await;
    let readme = Page::read("README.md").part("## In a cluster").blocks("sh");
    let [install] = &readme[..] else { panic!("{readme:?}") };
    reader.install(install).await;
    reader.three_kinds_of_people().await;

    let page = Page::read("docs/install.md");
    let uninstall = page.block("sh", "helm uninstall");
    reader.run(&uninstall).await;
    reader.until_registered(false).await;
    reader.release.end_all();
    assert!(reader.release.has("cinj", "memcached").await, "policies of others stay");
    for commands in page.blocks("sh") {
        match commands.as_str() {
            text if text.contains("helm install") => {
                let printed = reader.install(text).await;
                assert!(printed.contains("successfully rolled out"), "{printed}");
                let mut pod = asking("");
                pod["metadata"]["annotations"] = json!({"outrigger.dev/inject": "log-saver"});
                reader.gets(pod, "log-saver").await;
                reader.operate().await;
            }
            text if text.contains("kubectl label namespace") => {
                reader.run(text).await;
                let namespace = reader.release.namespace.manifest().await;
                assert_eq!(
                    namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
                    "restricted"
                );
            }
            text if text.contains("helm upgrade") => {
                let printed = reader.run(text).await;
                assert!(printed.contains("log-saver"), "the values of before: {printed}");
            }
            text if text.contains("kubectl apply") => {
                // Applied in another name they are in Helm's way, until this is done.
                reader
                    .run("kubectl apply --server-side --force-conflicts -f charts/outrigger/crds")
                    .await;
                assert!(reader.run(text).await.contains("serverside-applied"));
                reader.run(&page.block("sh", "helm upgrade")).await;
            }
            text if text.contains("helm uninstall") => {
                reader.run(text).await;
                reader.until_registered(false).await;
                reader.release.end_all();
                assert!(reader.release.has("crd", CRD).await, "the CRDs stay");
            }
            text if text.contains("kubectl delete customresourcedefinition") => {
                reader.run(text).await;
                assert!(!reader.release.has("crd", CRD).await);
                assert!(!reader.release.has("namespace", NAMESPACE).await);
            }
            text => panic!("no test knows what comes of\n{text}"),
        }
    }
}
