//! The guard as a running Outrigger keeps it: from the controller to a Pod that is refused, with the rights and the
//! commands of the operations page. Its objects have fixed names in the whole cluster, so each test has an API server of its
//! own: one is a day with an outage in it, the other with an API server that lacks what the guard is made of.
// Clippy knows test functions, not what they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use outrigger_harness::{Answer, Cluster, Installation, Namespace, Page, Replica};
use serde_json::{Value, json};
use std::{ops::Deref, path::Path, time::Duration};
use tokio::time::{Instant, sleep};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
/// How many parts of the guard are in effect.
const IN_EFFECT: &str = "outrigger_guard_in_effect";
const PATIENCE: Duration = Duration::from_secs(120);

struct Stage {
    installation: Installation,
    /// Where an application is.
    app: Namespace,
}

impl Deref for Stage {
    type Target = Installation;

    fn deref(&self) -> &Installation {
        &self.installation
    }
}

impl Stage {
    async fn new() -> Option<Stage> {
        let cluster = Cluster::shared()?;
        Some(Stage::on(cluster).await)
    }

    async fn on(cluster: &'static Cluster) -> Stage {
        let system = cluster.namespace("system", json!({})).await;
        let app = cluster.namespace("app", json!({"labels": {"team": "web"}})).await;
        let binary = Path::new(env!("CARGO_BIN_EXE_outrigger"));
        let installation = Installation::new(system, binary, outrigger::crds::yaml().unwrap()).await;
        Stage { installation, app }
    }

    async fn replica(&self, flags: &[&str]) -> Replica {
        let replica = self.start(flags);
        replica.wait_until_ready().await;
        self.balancer.add(replica.address());
        replica
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

    /// Kills the replica: the Pod that names `wanted`, and the one that `must` selects, are refused.
    async fn is_guarded_without(&self, replica: &Replica, asking: &Value, front: &Value) {
        replica.signal("KILL");
        self.wait_for_refusal(asking, "outrigger-requested", "policy \"wanted\"")
            .await;
        self.wait_for_refusal(front, "outrigger-required", "policy \"must\"")
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
    stage.put("wanted", helper("wanted", json!({}))).await.object();
    stage.put("must", required("must", "front", json!([]))).await.object();
    let ours_alone = json!([{"name": "it", "expression": "math.abs(-1) == 1"}]);
    stage.put("odd", required("odd", "odd", ours_alone)).await.object();

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
    wait_for("metric", async || replica.metric(IN_EFFECT).await == 2.0).await;
    let own = format!("system:serviceaccount:{}:outrigger", stage.system.name);
    assert!(text.contains(&own), "{text}");
    for made in [object, stage.binding("outrigger-required").await.object()] {
        assert_eq!(made["metadata"]["ownerReferences"][0]["name"], "outrigger", "{made:#}");
    }

    // The outage.
    stage.is_guarded_without(&replica, &asking, &front).await;
    for pod in [&plain, &pod("odd", None), &pod("none", Some("false"))] {
        assert_eq!(stage.app.create(pod).await.status, 201, "{pod}");
    }
    assert_eq!(stage.system.create(&asking).await.status, 201, "our own namespace");
    stage.put("later", required("later", "later", json!([]))).await.object();

    // The glass, broken as the page says.
    let page = Page::read("docs/operations.md");
    let command = page.block("sh", "kubectl delete validatingadmissionpolicybinding");
    let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
    stage.system.kubectl(&arguments, None).await.ok();
    for pod in [&asking, &front] {
        wait_for("Pod without its helper", async || {
            stage.app.create(pod).await.status == 201
        })
        .await;
    }
    let replica = stage.replica(&[]).await;
    wait_for("warning", async || says(&replica, "the guard is not in effect")).await;
    for name in ["outrigger-requested", "outrigger-required"] {
        let series = format!("{IN_EFFECT}{{object=\"{name}\"}}");
        wait_for("metric", async || replica.series(&series).await == Some(0.0)).await;
    }
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
    let bindings = page.block("yaml", "kind: ValidatingAdmissionPolicyBinding");
    stage
        .system
        .kubectl_with(&["apply", "-f", "-"], Some(bindings))
        .await
        .ok();
    wait_for("all-clear", async || says(&replica, "the guard is in effect again")).await;
    wait_for("metric", async || replica.metric(IN_EFFECT).await == 2.0).await;
    stage.put("must", required("must", "nowhere", json!([]))).await.object();
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
    let delete = ["delete", "validatingadmissionpolicy", name];
    stage.system.kubectl(&delete, None).await.ok();
    wait_for("repair", async || stage.policy(name).await.status == 200).await;
    let repairs = r#"outrigger_repairs_total{object="outrigger-required"}"#;
    wait_for("metric", async || replica.metrics().await.contains(repairs)).await;
    let wrong = r#"outrigger_object_wrong{object="outrigger-required"}"#;
    wait_for("metric", async || replica.series(wrong).await == Some(0.0)).await;
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
    assert!(!replica.metrics().await.contains(&format!("{IN_EFFECT}{{")));
}

#[tokio::test]
async fn an_api_server_without_the_guards_kinds_is_told_of_all_else_works_and_the_guard_is_made_when_it_has_them() {
    let kinds = ["validatingadmissionpolicies", "validatingadmissionpolicybindings"];
    let off = kinds.map(|kind| format!("admissionregistration.k8s.io/v1/{kind}=false"));
    let arguments = [
        format!("--runtime-config={}", off.join(",")),
        "--disable-admission-plugins=ValidatingAdmissionPolicy".to_owned(),
    ];
    let Some(cluster) = Cluster::apart("lacking", &arguments) else {
        return;
    };
    let stage = Stage::on(cluster).await;
    let (asking, front) = (pod("none", Some("wanted")), pod("front", None));
    stage.put("wanted", helper("wanted", json!({}))).await.object();
    stage.put("must", required("must", "front", json!([]))).await.object();
    // One term, through the restart of the API server.
    let replica = stage.replica(&["--lease-duration", "120s"]).await;
    wait_for("word of it", async || says(&replica, "the guard is left out")).await;
    for name in ["outrigger-requested", "outrigger-required"] {
        assert_eq!(stage.policy(name).await.status, 404);
        let series = format!("{IN_EFFECT}{{object=\"{name}\"}}");
        wait_for("metric", async || replica.series(&series).await == Some(0.0)).await;
    }
    wait_for("helpers", async || {
        let both = [stage.app.dry_run(&asking).await, stage.app.dry_run(&front).await];
        both.iter()
            .all(|answer| answer.body["spec"]["initContainers"][0]["image"] == "registry.test/helper:1")
    })
    .await;
    for policy in ["cinj/wanted", "cinj/must"] {
        let wait = ["wait", "--for=condition=Ready", policy, "--timeout=60s"];
        stage.system.kubectl(&wait, None).await.ok();
    }
    // Asked again and again, it is said once, and is no error.
    sleep(Duration::from_secs(12)).await;
    let log = replica.log().join("\n");
    assert_eq!(log.matches("the guard is left out").count(), 1, "{log}");
    assert!(!log.contains("ERROR"), "{log}");

    cluster.restart_with(&[]);
    wait_for("a guard", async || {
        stage.policy("outrigger-required").await.status == 200
    })
    .await;
    assert!(says(&replica, "the API server has ValidatingAdmissionPolicy now"));
    wait_for("metric", async || replica.metric(IN_EFFECT).await == 2.0).await;
    stage.is_guarded_without(&replica, &asking, &front).await;
}
