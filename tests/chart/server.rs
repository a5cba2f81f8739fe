//! What a real API server says of what the chart renders.
use crate::rendering::{CHART, NAMESPACE, list, render};
use crate::variants::{self, Variant};
use outrigger_harness::assets::sources;
use outrigger_harness::demand::available;
use outrigger_harness::{Cluster, Helm, Namespace};
use serde_json::{Value, json};
use std::fs;

/// The CustomResourceDefinitions of other projects that the chart can make objects of, from their modules.
const FOREIGN: [(&str, &[&str]); 2] = [
    (
        "github.com/cert-manager/cert-manager",
        &[
            "deploy/crds/cert-manager.io_certificates.yaml",
            "deploy/crds/cert-manager.io_issuers.yaml",
        ],
    ),
    (
        "github.com/prometheus-operator/prometheus-operator",
        &["example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"],
    ),
];

/// A namespace that admits only what meets the level `restricted`.
async fn restricted(cluster: &'static Cluster, name: &str) -> Namespace {
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    cluster.namespace(name, json!({"labels": labels})).await
}

async fn kubectl(namespace: &Namespace, arguments: &[&str], input: String) -> String {
    let output = namespace.kubectl_with(arguments, Some(input)).await;
    assert!(output.success, "kubectl {arguments:?}: {}", output.stderr);
    output.stdout
}

/// Applies the definitions of others, and waits until they are in effect.
async fn install_foreign(namespace: &Namespace) -> Option<()> {
    for (module, files) in FOREIGN {
        let directory = available(sources(module))?;
        for file in files {
            let text = fs::read_to_string(directory.join(file)).unwrap();
            kubectl(namespace, &["apply", "--server-side", "-f", "-"], text).await;
        }
    }
    let wait = ["wait", "--for=condition=Established", "--timeout=120s", "crd", "--all"];
    kubectl(namespace, &wait, String::new()).await;
    Some(())
}

/// The objects of a variant, as they are in this namespace.
async fn objects_in(namespace: &Namespace, helm: &Helm, variant: &Variant) -> Vec<Value> {
    let objects = variant.render(helm).await;
    let moved = list(objects.values()).replace(NAMESPACE, &namespace.name);
    let mut moved: Value = serde_json::from_str(&moved).unwrap();
    moved["items"].as_array_mut().map(std::mem::take).unwrap()
}

#[tokio::test]
async fn the_api_server_takes_every_object_of_every_variant_as_it_is_written() {
    let (Some(cluster), Some(helm)) = (Cluster::shared(), Helm::find()) else {
        return;
    };
    let namespace = restricted(cluster, "variants").await;
    let crds = fs::read_to_string(
        outrigger_harness::rundir::workspace()
            .join(CHART)
            .join("crds/policies.yaml"),
    );
    kubectl(&namespace, &["apply", "--server-side", "-f", "-"], crds.unwrap()).await;
    if install_foreign(&namespace).await.is_none() {
        return;
    }
    for variant in variants::all().into_iter().chain(variants::shown()) {
        let objects = objects_in(&namespace, &helm, &variant).await;
        // Strict: a field that the API server does not know is an error, and not left out.
        let apply = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "--validate=strict",
            "-f",
            "-",
        ];
        let output = namespace.kubectl_with(&apply, Some(list(&objects))).await;
        assert!(output.success, "{}: {}", variant.name, output.stderr);
        assert_eq!(output.stdout.lines().count(), objects.len(), "{}", variant.name);
        // Nor does it warn, of PodSecurity or anything else.
        assert_eq!(output.stderr, "", "{}", variant.name);
    }
}

/// The Pods that the Deployment's controller would make, made in its place.
#[tokio::test]
async fn row_56_its_own_pods_are_admitted_where_the_level_restricted_is_enforced() {
    let (Some(cluster), Some(helm)) = (Cluster::shared(), Helm::find()) else {
        return;
    };
    let namespace = restricted(cluster, "restricted").await;
    for variant in variants::all() {
        let objects = objects_in(&namespace, &helm, &variant).await;
        let needed = objects
            .iter()
            .filter(|object| ["ServiceAccount", "PriorityClass"].contains(&object["kind"].as_str().unwrap()));
        kubectl(
            &namespace,
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            list(needed),
        )
        .await;
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let pod = pod_of(deployment);
        let pod = namespace.strict_dry_run(&pod).await;
        assert_eq!(pod.warnings, [""; 0], "{}", variant.name);
        let pod = pod.object();
        assert_eq!(pod["spec"]["serviceAccountName"], "outrigger", "{}", variant.name);
    }
    // And the level is what refuses: the same Pod as root is not admitted.
    let objects = render(&helm, &json!({}), &[]).await.unwrap();
    let mut pod = pod_of(&objects["Deployment/outrigger"]);
    pod["spec"]["securityContext"]["runAsUser"] = json!(0);
    let refused = namespace.dry_run(&pod).await;
    assert!(
        refused.message().contains("violates PodSecurity \"restricted"),
        "{}",
        refused.message()
    );
}

/// A Pod of its template.
fn pod_of(deployment: &Value) -> Value {
    let mut pod = deployment["spec"]["template"].clone();
    pod["metadata"]["generateName"] = json!("outrigger-");
    pod
}
