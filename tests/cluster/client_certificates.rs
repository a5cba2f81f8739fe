//! An API server that shows Outrigger who it is, and one that does not.
use crate::pods::{Admitted, asking};
use crate::policies::METRICS;
use crate::security_page;
use crate::stage::OUTRIGGER;
use outrigger_harness::{Cluster, Namespace, Webhook};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// A webhook that answers only the API server with the certificate of the page.
fn webhook(directory: &Path) -> Webhook {
    security_page::make_certificates(directory);
    fs::create_dir(directory.join("policies")).unwrap();
    fs::write(directory.join("policies/metrics.yaml"), METRICS).unwrap();
    let path = |name: &str| directory.join(name).display().to_string();
    let arguments = [
        "--policies",
        &path("policies"),
        "--client-ca",
        &path("client-ca.crt"),
        "--client-name",
        "kube-apiserver",
    ];
    Webhook::alone(Path::new(OUTRIGGER), directory.to_owned(), &arguments.map(String::from))
}

/// The files of the page, for a Service with this port; the flag that has the API server read them.
fn admission_control(directory: &Path, port: &str) -> String {
    let kubeconfig = security_page::block("yaml", "kind: Config")
        .replace(
            "outrigger.outrigger-system.svc",
            &format!("outrigger.outrigger-system.svc:{port}"),
        )
        .replace("/etc/kubernetes/outrigger", &directory.display().to_string());
    let control = security_page::block("yaml", "kind: AdmissionConfiguration")
        .replace("/etc/kubernetes/outrigger", &directory.display().to_string());
    fs::write(directory.join("kubeconfig"), kubeconfig).unwrap();
    fs::write(directory.join("admission.yaml"), control).unwrap();
    format!(
        "--admission-control-config-file={}",
        directory.join("admission.yaml").display()
    )
}

/// Registers the webhook for the Pods of this namespace, and says what becomes of one.
async fn admitted(namespace: &Namespace, webhook: &Webhook, client: Value, expected: &str) -> Result<Admitted, String> {
    let mut client = client;
    client["caBundle"] = json!(k8s_openapi::ByteString(webhook.authority().into_bytes()));
    let configuration = json!({"metadata": {"name": namespace.name}, "webhooks": [{
        "name": "pods.outrigger.dev", "clientConfig": client, "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "failurePolicy": "Fail",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    }]});
    namespace
        .call("POST", CONFIGURATIONS, Some(&configuration))
        .await
        .object();
    let mut last = String::new();
    for _ in 0..400 {
        let answer = namespace.dry_run(&asking("metrics")).await;
        last = format!("{} {}", answer.status, answer.message());
        if answer.status == 201 {
            let pod = Admitted(answer.object());
            // Until the API server has seen the registration, Pods pass.
            if pod.injected() == [expected] {
                return Ok(pod);
            }
        } else if last.contains(expected) {
            return Err(last);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("not {expected:?} but {last:?}\n{}", webhook.log().join("\n"));
}

#[tokio::test]
async fn row_50_an_api_server_with_the_certificate_is_answered_through_the_service() {
    let Some(shared) = Cluster::shared() else { return };
    let directory = shared.directory("client-certificates");
    let webhook = webhook(&directory);
    let port = webhook.listen().rsplit(':').next().unwrap().to_owned();
    let Some(cluster) = Cluster::apart("client-certificates", &[admission_control(&directory, &port)]) else {
        return;
    };
    let namespace = cluster.namespace("known", json!({})).await;
    let system = json!({"metadata": {"name": "outrigger-system"}});
    namespace
        .call("POST", "/api/v1/namespaces", Some(&system))
        .await
        .object();
    // There is no node: the name leads to this machine.
    let service =
        json!({"metadata": {"name": "outrigger"}, "spec": {"type": "ExternalName", "externalName": "localhost"}});
    let services = "/api/v1/namespaces/outrigger-system/services";
    namespace.call("POST", services, Some(&service)).await.object();
    let port: u16 = port.parse().unwrap();
    let client =
        json!({"service": {"name": "outrigger", "namespace": "outrigger-system", "path": "/mutate", "port": port}});
    let pod = admitted(&namespace, &webhook, client, "metrics").await.unwrap();
    assert!(pod.container("exporter").is_object());
}

#[tokio::test]
async fn row_50_an_api_server_without_a_certificate_gets_no_answer_and_health_is_told_all_the_same() {
    let Some(shared) = Cluster::shared() else { return };
    let namespace = shared.namespace("unknown-client", json!({})).await;
    let webhook = webhook(&shared.directory("no-client-certificate"));
    let client = json!({"url": format!("https://{}/mutate", webhook.listen())});
    let failure = admitted(&namespace, &webhook, client, "tls: ").await.unwrap_err();
    assert!(failure.contains("certificate"), "{failure}");
    assert!(webhook.is_ready().await);
    let path = format!("{CONFIGURATIONS}/{}", namespace.name);
    namespace.call("DELETE", &path, None).await.object();
}
