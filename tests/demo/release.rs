//! Outrigger goes, and comes back in an earlier version, which takes over what is there; that is upgraded while Pods are created. Then
//! `make demo` once more finds everything, and puts nothing anew.
use crate::shell::{Shell, make};
use outrigger_harness::demand::say;
use outrigger_harness::rundir::workspace;
use outrigger_harness::stream::Plan;
use outrigger_harness::{Node, Page, Stream};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const EARLIER: &str = "0.0.9";
const POLICY: &str = "kubectl apply --filename - <<EOF
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: ours}
spec:
  sidecars: [{container: {name: ours, image: 'local/busybox:1', command: [sleep, infinity]}}]
EOF";
/// What is registered with the API server, which Outrigger makes itself.
const MADE: &str = "kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings --output name";
const COUNTED: &str = "kubectl get cinj log-saver --output jsonpath={.status.injected}/{.status.outdated}";
/// Whatever has its name, of all kinds.
const NAMED: &str = "kubectl get $(kubectl api-resources --verbs list --output name | grep --invert-match ^events | paste --serial --delimiters ,) \
    --all-namespaces --output name 2>/dev/null | grep '/.*outrigger' | sort";

pub async fn goes_comes_and_is_upgraded(node: &Node, shell: &Shell) {
    shell.run(POLICY);
    let pods = containers(shell);
    uninstall(shell);
    assert_eq!(containers(shell), pods, "Pods keep their helpers");
    shell.until("kubectl exec deployment/cart -- look pear", |said| {
        said.contains("green")
    });
    let bare = "kubectl run bare --image local/busybox:1 --annotations outrigger.dev/inject=ours --dry-run=server --output name";
    shell.until(bare, |said| said.contains("pod/bare"));

    let directory = tempfile::tempdir().unwrap();
    install_earlier(node, shell, directory.path());
    // It knows the Pods of before, and the policy that stayed.
    let carrying = carrying(shell);
    shell.until(COUNTED, |said| said == format!("{carrying}/{carrying}"));
    let asking = "kubectl run asking --image local/busybox:1 --annotations outrigger.dev/inject=ours --dry-run=server \
        --output jsonpath={.spec.initContainers[*].name}";
    shell.until(asking, |said| said == "ours");
    shell.until("kubectl get cinj", |said| !said.contains("memcached"));

    upgrade(node, shell).await;
    shell.until(COUNTED, |said| said == format!("{carrying}/0"));

    let again = make("demo", &[]);
    assert!(
        again.success && again.stdout.contains("\nkubectl get outrigger\n"),
        "{again:?}"
    );
    assert_eq!(containers(shell), pods, "what is there stays as it is");
    shell.until(asking, |said| said == "ours");
}

/// How many Pods carry log-saver.
fn carrying(shell: &Shell) -> usize {
    let records = "kubectl get pods --output 'jsonpath={.items[*].metadata.annotations.outrigger\\.dev/injected}'";
    shell.run(records).matches("log-saver@").count()
}

/// The containers of the examples' Pods, by their ids.
fn containers(shell: &Shell) -> Vec<String> {
    let pods: Value = serde_json::from_str(&shell.run("kubectl get pods --output json")).unwrap();
    let pods = pods["items"].as_array().unwrap().iter();
    let statuses =
        pods.flat_map(|pod| ["initContainerStatuses", "containerStatuses"].map(|list| pod["status"][list].as_array()));
    let mut ids: Vec<String> = statuses
        .flatten()
        .flatten()
        .map(|status| status["containerID"].to_string())
        .collect();
    ids.sort();
    ids
}

/// A command of the page on installing.
fn documented(part: &str) -> String {
    Page::read("docs/install.md").block("sh", part)
}

fn uninstall(shell: &Shell) {
    shell.run(&documented("helm uninstall"));
    // The API of the policies stays, and the namespace, which is whoever's made it.
    let left = "apiservice.apiregistration.k8s.io/v1alpha1.outrigger.dev\n\
                customresourcedefinition.apiextensions.k8s.io/clusterinjectionpolicies.outrigger.dev\n\
                customresourcedefinition.apiextensions.k8s.io/injectionpolicies.outrigger.dev\n\
                namespace/outrigger-system\n";
    shell.until(NAMED, |said| said == left);
    assert_eq!(
        shell.run("kubectl get cinj --output name"),
        "clusterinjectionpolicy.outrigger.dev/ours\n"
    );
}

/// A chart of a lower version, whose log-saver is another one, and its image.
fn install_earlier(node: &Node, shell: &Shell, directory: &Path) {
    let chart = directory.join("outrigger");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(workspace().join("charts/outrigger"))
        .arg(&chart)
        .status();
    assert!(copied.unwrap().success());
    let policy = chart.join("files/policies/log-saver.yaml");
    let text = fs::read_to_string(&policy).unwrap();
    let changed = text.replace("requests: {cpu: 10m, ", "requests: {cpu: 20m, ");
    assert_ne!(text, changed);
    fs::write(policy, changed).unwrap();
    image_of_earlier(node);
    let directory = directory.display();
    shell.run(&format!(
        "helm package {directory}/outrigger --version {EARLIER} --app-version {EARLIER} --destination {directory}"
    ));
    // A replica that has to end answers on for three seconds, not ten, while the test waits.
    shell.run(&format!(
        "helm install outrigger {directory}/outrigger-{EARLIER}.tgz --namespace outrigger-system --wait \
         --set 'policies.bundled={{log-saver}},countPods=true,drainSeconds=3'"
    ));
    shell.until(MADE, |said| {
        said.contains("00-outrigger-pods") && said.contains("outrigger-requested")
    });
}

fn image_of_earlier(node: &Node) {
    let socket: PathBuf = node.directory().join("containerd/containerd.sock");
    let name = |version: &str| format!("docker.io/outrigger/outrigger:{version}");
    let mut tag = Command::new("ctr");
    tag.arg("--address")
        .arg(socket)
        .args(["--namespace", "k8s.io", "images", "tag"]);
    let tagged = tag
        .args([name(env!("CARGO_PKG_VERSION")), name(EARLIER)])
        .output()
        .unwrap();
    assert!(tagged.status.success(), "{tagged:?}");
}

/// Pods that ask for a helper. They are held back from the scheduler: what is tried is their creation.
fn held(namespace: &str) -> Plan {
    let pod = json!({
        "metadata": {"generateName": "held-", "annotations": {"outrigger.dev/inject": "log-saver"}},
        "spec": {
            "schedulingGates": [{"name": "outrigger.dev/held"}],
            "containers": [{"name": "app", "image": "local/busybox:1"}],
        },
    });
    Plan {
        path: format!("/api/v1/namespaces/{namespace}/pods"),
        pods: vec![pod],
        helper: "log-saver".to_owned(),
        clients: 3,
        pause: Duration::from_millis(50),
    }
}

async fn upgrade(node: &Node, shell: &Shell) {
    shell.run("kubectl create namespace stream");
    let asking = "kubectl run asking --namespace stream --image x --annotations outrigger.dev/inject=log-saver --dry-run=server \
        --output jsonpath={.spec.initContainers[*].name}";
    shell.until(asking, |said| said == "log-saver");
    let stream = Stream::start(&node.kubeconfig(), held("stream")).await;
    shell.run(&documented("helm upgrade"));
    shell.run("kubectl rollout status deployment/outrigger --namespace outrigger-system --timeout=180s");
    // The last of the old ones answers for a while.
    let images = "kubectl get pods --namespace outrigger-system --output jsonpath={.items[*].spec.containers[*].image}";
    shell.until(images, |images| !images.is_empty() && !images.contains(EARLIER));
    stream.flows().await;
    let created = stream.end().await.flawless(60, String::new);
    say(&format!(
        "upgraded from {EARLIER}: {created} Pods created meanwhile, none without its helper"
    ));
    shell.run("kubectl delete namespace stream --wait=false");
}
