//! All processes of the node end at once, as in a power cut, those of Outrigger too; then the node is started again with what is on its disk.
use crate::shell::Shell;
use outrigger_harness::Node;
use outrigger_harness::demand::say;
use serde_json::Value;
use std::time::Instant;

/// Pods of Outrigger and of an application are gone before, so that new ones have to be made while nobody answers for Outrigger.
const GONE: &str = "kubectl delete pods --all --namespace outrigger-system --force --grace-period=0
    kubectl delete pods --selector app=web --force --grace-period=0";

pub async fn everything_comes_back(node: &Node, shell: &Shell) {
    let certificate = "kubectl get secret outrigger-certificate --namespace outrigger-system --output jsonpath={.data}";
    let before = shell.run(certificate);
    node.script("crash.sh", &["kubelet", "containerd", "pods"]).unwrap();
    shell.run(GONE);
    // The guard refuses it, as long as it has to come without its helper.
    shell.until("kubectl get events --field-selector reason=FailedCreate", |said| {
        said.contains("outrigger-requested")
    });
    assert_eq!(shell.run("kubectl get pods --selector app=web --output name"), "");
    node.script("crash.sh", &[]).unwrap();
    let begun = Instant::now();
    let now = shell.run("date --utc +%FT%TZ");
    node.up(|_| ()).unwrap();
    let up = begun.elapsed();
    let pods = "kubectl get pods --all-namespaces --output json";
    shell.until(pods, |said| {
        serde_json::from_str(said).is_ok_and(|pods| all_run_since(&pods, now.trim()))
    });
    say(&format!(
        "everything restarted at once: the node is up after {:.0} s, all Pods run after {:.0} s",
        up.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    ));
    let record = "kubectl get pods --selector app=web --output 'jsonpath={.items[*].metadata.annotations.outrigger\\.dev/injected}'";
    assert!(
        shell.run(record).starts_with("log-saver@"),
        "it came back without its helper"
    );
    assert_eq!(shell.run(certificate), before, "the certificate is the same");
    // They do what they did.
    shell.until("kubectl exec deployment/cart -- put pear green", |said| {
        said.contains("STORED")
    });
    shell.until(
        "kubectl exec client -- wget -qO- http://web/back; kubectl logs deployment/web --container log-saver",
        |said| said.contains("GET /back"),
    );
}

/// Whether all Pods are ready, with containers that were started after this moment.
fn all_run_since(pods: &Value, moment: &str) -> bool {
    let items = pods["items"].as_array().unwrap();
    let runs = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let ready = conditions
            .into_iter()
            .any(|of| of["type"] == "Ready" && of["status"] == "True");
        let containers = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        let mut started =
            containers.map(|container| container["state"]["running"]["startedAt"].as_str().unwrap_or_default());
        ready && started.all(|since| since >= moment)
    };
    items.len() > 15 && items.iter().all(runs)
}
