//! The guard as a running Outrigger keeps it: from the controller to a Pod that is refused, with the rights and the
//! commands of the operations page. Its objects have fixed names in the whole cluster, so this has an API server of its
//! own, and is one test: a day with an outage in it.
// Clippy knows test functions, not what they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use outrigger_harness::{Answer, Balancer, Cluster, Namespace, Replica};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const PATIENCE: Duration = Duration::from_secs(120);

struct Stage {
    /// Where Outrigger is installed.
    system: Namespace,
    /// Where an application is.
    app: Namespace,
    balancer: Balancer,
    kubeconfig: PathBuf,
}

impl Stage {
    async fn new() -> Option<Stage> {
        let cluster = Cluster::shared()?;
        let system = cluster.namespace("system", json!({})).await;
        let app = cluster.namespace("app", json!({"labels": {"team": "web"}})).await;
        let crds = outrigger::crds::yaml().unwrap();
        kubectl(&system, &["apply", "--server-side", "-f", "-"], Some(crds)).await;
        let established = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"];
        kubectl(&system, &established, None).await;
        let balancer = Balancer::start().await;
        let service = json!({"metadata": {"name": "outrigger"}, "spec": {"type": "ExternalName", "externalName": "localhost",
            "ports": [{"port": balancer.port()}]}});
        system
            .call("POST", &system.path("services"), Some(&service))
            .await
            .object();
        let kubeconfig = grant(&system).await;
        Some(Stage {
            system,
            app,
            balancer,
            kubeconfig,
        })
    }

    async fn replica(&self, flags: &[&str]) -> Replica {
        let service = format!("{}/outrigger:{}", self.system.name, self.balancer.port());
        let kubeconfig = self.kubeconfig.to_str().unwrap();
        let usual = [
            "--kubeconfig",
            kubeconfig,
            "--service",
            &service,
            "--owner",
            "outrigger",
            "--lease-duration",
            "6s",
        ];
        let arguments: Vec<String> = usual.iter().chain(flags).map(ToString::to_string).collect();
        let replica = Replica::start(Path::new(env!("CARGO_BIN_EXE_outrigger")), &arguments);
        replica.wait_until_ready().await;
        self.balancer.add(replica.address());
        replica
    }

    async fn put(&self, name: &str, spec: Value) {
        let policy = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy",
            "metadata": {"name": name}, "spec": spec});
        let path = format!("/apis/outrigger.dev/v1alpha1/clusterinjectionpolicies/{name}?fieldManager=test&force=true");
        self.system.apply(&path, &policy).await.object();
    }

    async fn get(&self, collection: &str, name: &str) -> Answer {
        self.system
            .call("GET", &format!("{GROUP}/{collection}/{name}"), None)
            .await
    }

    async fn policy(&self, name: &str) -> Answer {
        self.get("validatingadmissionpolicies", name).await
    }

    async fn binding(&self, name: &str) -> Answer {
        self.get("validatingadmissionpolicybindings", name).await
    }

    /// Until a Pod of this kind is refused by this object, with that in the message.
    async fn wait_for_refusal(&self, pod: &Value, by: &str, part: &str) {
        wait_for(part, async || {
            let answer = self.app.dry_run(pod).await;
            answer.status == 403
                && answer.message().contains(&format!("ValidatingAdmissionPolicy '{by}'"))
                && answer.message().contains(part)
        })
        .await;
    }
}

async fn wait_for(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "still no {what}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn kubectl(namespace: &Namespace, arguments: &[&str], input: Option<String>) -> String {
    let output = namespace.kubectl_with(arguments, input).await;
    assert!(output.success, "{arguments:?}: {}", output.stderr);
    output.stdout
}

/// The blocks of the operations page in this language that have this.
fn blocks(language: &str, part: &str) -> Vec<String> {
    let page = outrigger_harness::rundir::workspace().join("docs/operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    let opening = format!("```{language}\n");
    let blocks = page.split(&opening).skip(1).filter_map(|rest| rest.split("```").next());
    let found: Vec<String> = blocks.filter(|block| block.contains(part)).map(str::to_owned).collect();
    assert!(!found.is_empty(), "no block with {part}");
    found
}

/// A kubeconfig of who has the rights that the page lists, in this namespace.
async fn grant(system: &Namespace) -> PathBuf {
    let roles = blocks("yaml", "rbac.authorization.k8s.io").join("---\n");
    let roles = roles.replace("outrigger-system", &system.name);
    kubectl(system, &["apply", "--server-side", "-f", "-"], Some(roles)).await;
    kubectl(system, &["create", "serviceaccount", "outrigger"], None).await;
    let account = format!("--serviceaccount={}:outrigger", system.name);
    kubectl(
        system,
        &[
            "create",
            "clusterrolebinding",
            "outrigger",
            "--clusterrole=outrigger",
            &account,
        ],
        None,
    )
    .await;
    kubectl(
        system,
        &["create", "rolebinding", "outrigger", "--role=outrigger", &account],
        None,
    )
    .await;
    let token = kubectl(system, &["create", "token", "outrigger"], None).await;
    system.cluster().kubeconfig_with_token(token.trim(), &system.name)
}

fn helper(name: &str, fields: Value) -> Value {
    let mut spec = json!({"sidecars": [{"container": {"name": name, "image": "registry.test/helper:1"}}]});
    for (field, value) in fields.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec
}

fn required(name: &str, tier: &str, conditions: Value) -> Value {
    let matches = json!({"namespaceSelector": {"matchLabels": {"team": "web"}},
        "podSelector": {"matchLabels": {"tier": tier}}, "conditions": conditions});
    helper(name, json!({"enforcement": "Required", "match": matches}))
}

fn pod(tier: &str, inject: Option<&str>) -> Value {
    let annotations = inject.map(|inject| json!({"outrigger.dev/inject": inject}));
    json!({
        "metadata": {"generateName": "web-", "labels": {"tier": tier}, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "registry.test/app:1"}]},
    })
}

fn says(replica: &Replica, part: &str) -> bool {
    replica.log().iter().any(|line| line.contains(part))
}

#[tokio::test]
async fn the_guard_is_kept_through_an_outage_a_broken_glass_and_a_change_of_policies() {
    let Some(stage) = Stage::new().await else { return };
    let (asking, front, plain) = (pod("none", Some("wanted")), pod("front", None), pod("none", None));
    stage.put("wanted", helper("wanted", json!({}))).await;
    stage.put("must", required("must", "front", json!([]))).await;
    let ours_alone = json!([{"name": "it", "expression": "math.abs(-1) == 1"}]);
    stage.put("odd", required("odd", "odd", ours_alone)).await;

    let replica = stage.replica(&[]).await;
    wait_for("helpers", async || {
        let both = [stage.app.dry_run(&asking).await, stage.app.dry_run(&front).await];
        both.iter()
            .all(|answer| answer.body["spec"]["initContainers"][0]["image"] == "registry.test/helper:1")
    })
    .await;
    wait_for("a guard", async || {
        stage.policy("outrigger-required").await.status == 200
    })
    .await;
    let object = stage.policy("outrigger-required").await.object();
    let text = object["spec"].to_string();
    assert!(
        text.contains("selected_must") && !text.contains("selected_odd"),
        "{text}"
    );
    assert!(
        says(&replica, "the API server does not take its conditions"),
        "{:?}",
        replica.log()
    );
    let own = format!("system:serviceaccount:{}:outrigger", stage.system.name);
    assert!(text.contains(&own), "{text}");
    for made in [object, stage.binding("outrigger-required").await.object()] {
        assert_eq!(made["metadata"]["ownerReferences"][0]["name"], "outrigger", "{made:#}");
    }

    // The outage.
    replica.signal("KILL");
    stage
        .wait_for_refusal(&asking, "outrigger-requested", "policy \"wanted\"")
        .await;
    stage
        .wait_for_refusal(&front, "outrigger-required", "policy \"must\"")
        .await;
    for pod in [&plain, &pod("odd", None), &pod("none", Some("false"))] {
        assert_eq!(stage.app.create(pod).await.status, 201, "{pod}");
    }
    assert_eq!(stage.system.create(&asking).await.status, 201, "our own namespace");
    stage.put("later", required("later", "later", json!([]))).await;

    // The glass, broken as the page says.
    let command = blocks("sh", "kubectl delete validatingadmissionpolicybinding").remove(0);
    let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
    kubectl(&stage.system, &arguments, None).await;
    for pod in [&asking, &front] {
        wait_for("Pod without its helper", async || {
            stage.app.create(pod).await.status == 201
        })
        .await;
    }
    let replica = stage.replica(&[]).await;
    wait_for("warning", async || says(&replica, "the guard is not in effect")).await;
    wait_for("change of policies", async || {
        stage
            .policy("outrigger-required")
            .await
            .body
            .to_string()
            .contains("selected_later")
    })
    .await;
    for name in ["outrigger-requested", "outrigger-required"] {
        assert_eq!(
            stage.binding(name).await.status,
            404,
            "what an admin does in need is not undone"
        );
    }
    let bindings = blocks("yaml", "kind: ValidatingAdmissionPolicyBinding").remove(0);
    kubectl(&stage.system, &["apply", "-f", "-"], Some(bindings)).await;
    wait_for("all-clear", async || says(&replica, "the guard is in effect again")).await;
    stage.put("must", required("must", "nowhere", json!([]))).await;
    wait_for("change of a policy", async || {
        stage
            .policy("outrigger-required")
            .await
            .body
            .to_string()
            .contains("nowhere")
    })
    .await;
    let name = "outrigger-required";
    kubectl(&stage.system, &["delete", "validatingadmissionpolicy", name], None).await;
    wait_for("repair", async || stage.policy(name).await.status == 200).await;
    assert!(
        !replica.log().join("\n").to_lowercase().contains("forbidden"),
        "{:?}",
        replica.log()
    );

    replica.signal("KILL");
    stage
        .wait_for_refusal(&pod("later", None), "outrigger-required", "policy \"later\"")
        .await;
    let replica = stage.replica(&["--guard", "false"]).await;
    for name in ["outrigger-requested", "outrigger-required"] {
        wait_for("guard taken away", async || {
            stage.policy(name).await.status == 404 && stage.binding(name).await.status == 404
        })
        .await;
    }
    assert!(
        !replica.log().join("\n").to_lowercase().contains("forbidden"),
        "{:?}",
        replica.log()
    );
}
