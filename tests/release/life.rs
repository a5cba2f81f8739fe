//! The life of a release, in the order in which a cluster sees it.
use crate::permission_table::{documented, listed};
use crate::release::{CHART, Release, asking};
use outrigger_harness::demand::say;
use outrigger_harness::rundir::workspace;
use outrigger_harness::stream::Plan;
use outrigger_harness::{Answer, Namespace, Stream};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const CRD: &str = "clusterinjectionpolicies.outrigger.dev";
const CONFIGURATIONS: [(&str, &str); 3] = [
    ("mutatingwebhookconfiguration", "00-outrigger-pods"),
    ("validatingwebhookconfiguration", "outrigger-policies"),
    ("validatingwebhookconfiguration", "outrigger-workloads"),
];
const GUARD: [&str; 2] = ["outrigger-requested", "outrigger-required"];
const POLICY: &str = "
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: helper}
spec:
  match:
    podSelector: {matchLabels: {tier: frontend}}
  sidecars: [{container: {name: helper, image: 'registry.test/helper:1'}}]
";

/// The chart as an earlier version of it was: its CRDs lack a column.
fn earlier_chart(directory: &Path) -> PathBuf {
    let chart = directory.join("outrigger");
    let copied = Command::new("cp")
        .arg("-r")
        .args([&workspace().join(CHART), &chart])
        .status()
        .unwrap();
    assert!(copied.success());
    let path = chart.join("crds/policies.yaml");
    let crds = fs::read_to_string(&path).unwrap();
    let changed = crds.replace("name: Selection", "name: Earlier");
    assert_ne!(crds, changed);
    fs::write(path, changed).unwrap();
    chart
}

async fn columns(release: &Release) -> String {
    let path = "jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}";
    release.kubectl(&["get", "crd", CRD, "--output", path], None).await
}

/// What becomes of a Pod in this namespace that asks for a policy.
async fn ask(application: &Namespace, policy: &str) -> Answer {
    application.dry_run(&asking(policy)).await
}

async fn registered(release: &Release) {
    for (resource, name) in CONFIGURATIONS {
        release.until(name, async || release.has(resource, name).await).await;
    }
}

#[tokio::test]
async fn row_35_a_release_is_installed_upgraded_and_rolled_without_a_lost_call_and_leaves_nothing_but_crds() {
    let Some(mut release) = Release::prepare().await else {
        return;
    };
    let Some(_collector) = release.cluster.garbage_collector() else {
        return;
    };
    let application = release.cluster.namespace("application", json!({})).await;

    // Installed, from an earlier version: nothing is registered before somebody can answer.
    let directory = tempfile::TempDir::new().unwrap();
    let earlier = earlier_chart(directory.path());
    let notes = release
        .helm(&["install", "outrigger", earlier.to_str().unwrap(), "--values", "-"])
        .await;
    assert!(notes.contains("outrigger.dev/inject: log-saver"), "{notes}");
    assert!(columns(&release).await.contains("Earlier"));
    release.connect().await;
    assert!(!release.has(CONFIGURATIONS[0].0, CONFIGURATIONS[0].1).await);
    for _ in 0..2 {
        release.start_replica().await;
    }
    registered(&release).await;

    // The three kinds of user: the policy of the release and one of ours, by annotation, by label of the namespace, by selection.
    release.kubectl(&["apply", "-f", "-"], Some(POLICY.into())).await;
    release
        .until("the policies are served", async || {
            ask(&application, "helper").await.created_with("helper")
        })
        .await;
    assert!(ask(&application, "log-saver").await.created_with("log-saver"));
    let mut selected = asking("-log-saver");
    selected["metadata"]["labels"] = json!({"tier": "frontend"});
    assert!(application.dry_run(&selected).await.created_with("helper"));
    let labelled = json!({"labels": {"inject.outrigger.dev/helper": "enabled"}});
    let labelled = release.cluster.namespace("labelled", labelled).await;
    release
        .until("the label is known", async || {
            ask(&labelled, "-log-saver").await.created_with("helper")
        })
        .await;
    // Their status, and that of a policy of the application's own that has a name of the cluster's.
    for policy in ["cinj/helper", "cinj/log-saver"] {
        for condition in ["Accepted", "Ready"] {
            let wait = format!("--for=condition={condition}");
            release.kubectl(&["wait", &wait, policy, "--timeout=120s"], None).await;
        }
    }
    let shadowed = POLICY.replace("ClusterInjectionPolicy", "InjectionPolicy");
    let shadowed = shadowed.replace("  match:\n    podSelector: {matchLabels: {tier: frontend}}\n", "");
    let applied = application.kubectl_with(&["apply", "-f", "-"], Some(shadowed)).await;
    assert!(
        applied.success
            && applied
                .stderr
                .contains("has no effect: the ClusterInjectionPolicy \"helper\" is meant"),
        "{}",
        applied.stderr
    );
    let wait = ["wait", "--for=condition=Shadowed", "inj/helper", "--timeout=120s"];
    application.kubectl(&wait, None).await.ok();

    // What it may do is what the security page lists.
    let everybodys = listed(&release.namespace, "somebody-else").await;
    let given: BTreeSet<_> = listed(&release.namespace, "outrigger").await;
    let given: BTreeSet<_> = given.difference(&everybodys).cloned().collect();
    assert_eq!(given, documented());

    // What clashes is refused with the reason, and a wrong policy before it is stored.
    let mut clash = asking("helper");
    clash["spec"]["containers"][0]["name"] = json!("helper");
    assert!(
        application.dry_run(&clash).await.message().contains("helper"),
        "a clash is told"
    );
    let wrong = release
        .namespace
        .kubectl_with(
            &["apply", "-f", "-"],
            Some(POLICY.replace("name: helper, image", "name: helper, image: '${nothing}', x")),
        )
        .await;
    assert!(
        !wrong.success && wrong.stderr.contains("policies.outrigger.dev"),
        "{}",
        wrong.stderr
    );

    // Upgraded: the CRDs first.
    release.helm(&["upgrade", "outrigger", CHART, "--values", "-"]).await;
    let columns_now = columns(&release).await;
    assert!(
        columns_now.contains("Selection") && !columns_now.contains("Earlier"),
        "{columns_now}"
    );
    assert!(release.has("clusterinjectionpolicy", "helper").await);

    // Rolled, as the Deployment's strategy says: a new replica is ready before an old one goes.
    let plan = Plan {
        path: application.path("pods"),
        pods: vec![asking("helper")],
        helper: "helper".to_owned(),
        // At most ten Pods a second each.
        clients: 12,
        pause: Duration::from_millis(100),
    };
    let stream = Stream::start(release.cluster.kubeconfig(), plan).await;
    for _ in 0..2 {
        release.start_replica().await;
        release.stop_oldest().await;
    }
    let tally = stream.end().await;
    let created = tally.flawless(101, String::new);
    say(&format!(
        "rolled under {:.0} Pods a second: {created} created",
        tally.rate()
    ));

    // Away: who asked for a helper or must have one is refused by the API server itself, and nobody else.
    let required = POLICY
        .replace("name: helper}", "name: must}")
        .replace("frontend", "backend");
    let required = required.replace(
        "match:\n",
        &format!("enforcement: Required\n  match:\n    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {}}}}}\n", application.name),
    );
    release.kubectl(&["apply", "-f", "-"], Some(required)).await;
    let mut backend = asking("-log-saver");
    backend["metadata"]["labels"] = json!({"tier": "backend"});
    release
        .until("the required policy is served", async || {
            application.dry_run(&backend).await.created_with("helper")
        })
        .await;
    for name in GUARD {
        for kind in ["validatingadmissionpolicy", "validatingadmissionpolicybinding"] {
            release.until(name, async || release.has(kind, name).await).await;
        }
    }
    let guards_it = ["get", "validatingadmissionpolicy", GUARD[1], "--output", "yaml"];
    release
        .until("the guard knows the required policy", async || {
            release.kubectl(&guards_it, None).await.contains("selected_must")
        })
        .await;
    release.end_all();
    for (pod, guard, policy) in [(asking("helper"), GUARD[0], "helper"), (backend, GUARD[1], "must")] {
        let refused = async || {
            let answer = application.dry_run(&pod).await;
            answer.status == 403
                && answer
                    .message()
                    .contains(&format!("ValidatingAdmissionPolicy '{guard}'"))
                && answer.message().contains(&format!("policy \"{policy}\""))
        };
        release.until("the guard refuses", refused).await;
    }
    let mut selected = asking("-log-saver");
    selected["metadata"]["labels"] = json!({"tier": "frontend"});
    for pod in [asking("-log-saver"), selected] {
        assert_eq!(application.create(&pod).await.status, 201, "{pod}");
    }
    for _ in 0..2 {
        release.start_replica().await;
    }
    release
        .until("it serves again", async || {
            ask(&application, "helper").await.created_with("helper")
        })
        .await;

    // Uninstalled: with the release goes what its replicas have made.
    release.helm(&["uninstall", "outrigger"]).await;
    for (resource, name) in CONFIGURATIONS {
        release
            .until("what was registered is gone", async || {
                !release.has(resource, name).await
            })
            .await;
    }
    release.replicas.clear();
    let kinds =
        "deployments,replicasets,services,secrets,leases,networkpolicies,poddisruptionbudgets,roles,rolebindings";
    let nothing_is_left = async || {
        release
            .kubectl(&["get", kinds, "--output", "name"], None)
            .await
            .is_empty()
    };
    release.until("the namespace is empty", nothing_is_left).await;
    let kinds = "clusterroles,clusterrolebindings,priorityclasses,validatingadmissionpolicies,validatingadmissionpolicybindings,\
        mutatingwebhookconfigurations,validatingwebhookconfigurations,crds";
    let left = release.kubectl(&["get", kinds, "--output", "name"], None).await;
    let ours: Vec<&str> = left.lines().filter(|name| name.contains("outrigger")).collect();
    let crds = ["clusterinjectionpolicies", "injectionpolicies"];
    let crds = crds.map(|name| format!("customresourcedefinition.apiextensions.k8s.io/{name}.outrigger.dev"));
    assert_eq!(ours, crds, "left in the cluster");
    // The user's policies stay with the CRDs; those of the release were the release's.
    assert!(release.has("clusterinjectionpolicy", "helper").await);
    assert!(!release.has("clusterinjectionpolicy", "log-saver").await);

    // Installed again: the CRDs and the policies that are there are served.
    release.helm(&["install", "outrigger", CHART, "--values", "-"]).await;
    release.connect().await;
    release.start_replica().await;
    registered(&release).await;
    release
        .until("it serves again", async || {
            ask(&application, "helper").await.created_with("helper")
        })
        .await;
}
