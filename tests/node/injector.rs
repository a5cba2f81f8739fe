//! The injector as its chart installs it: it registers itself, and guards; without it, who asked is refused and all others start.
use crate::room::Room;

const SYSTEM: [&str; 2] = ["--namespace", "outrigger-system"];

fn pod(name: &str, annotations: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "{name}", "annotations": {{{annotations}}}}},
            "spec": {{"terminationGracePeriodSeconds": 1, "containers": [{{"name": "app", "image": "local/busybox:1", "command": ["sleep", "100000"]}}]}}}}"#
    )
}

#[tokio::test]
async fn two_replicas_run_and_have_made_their_configurations_and_the_guard() {
    let Some(room) = Room::with_outrigger("injector").await else {
        return;
    };
    let ready = [
        &SYSTEM[..],
        &[
            "get",
            "deployment",
            "outrigger",
            "--output",
            "jsonpath={.status.readyReplicas}",
        ],
    ]
    .concat();
    room.until(&ready, |replicas| replicas == "2").await;
    for object in [
        "mutatingwebhookconfiguration/00-outrigger-pods",
        "validatingwebhookconfiguration/outrigger-policies",
        "validatingwebhookconfiguration/outrigger-workloads",
        "validatingadmissionpolicy/outrigger-requested",
        "validatingadmissionpolicybinding/outrigger-requested",
    ] {
        room.until(&["get", object, "--output", "name"], |name| !name.is_empty())
            .await;
    }
    // The replicas' own Pods are as the chart says, whatever the injector is asked.
    let levels = "jsonpath={.metadata.labels.pod-security\\.kubernetes\\.io/enforce}";
    room.until(&["get", "namespace", "outrigger-system", "--output", levels], |level| {
        level == "restricted"
    })
    .await;
}

#[tokio::test]
async fn a_rolling_restart_of_the_injector_costs_no_pod_its_helper() {
    let Some(room) = Room::with_outrigger("rolling").await else {
        return;
    };
    crate::stand_in::fluent_bit(room.node);
    let wait = [
        "--namespace",
        "outrigger-system",
        "rollout",
        "status",
        "deployment/outrigger",
        "--timeout=1s",
    ];
    room.until(&wait, |_| true).await;
    let restart = [&SYSTEM[..], &["rollout", "restart", "deployment/outrigger"]].concat();
    room.cluster(&restart).await;
    let mut created = 0;
    loop {
        let name = format!("web-{created}");
        let asking = pod(&name, r#""outrigger.dev/inject": "log-saver""#);
        room.attempt(&["create", "-f", "-"], Some(&asking)).await.unwrap();
        let helpers = "jsonpath={.spec.initContainers[*].name}";
        let helpers = room
            .attempt(&["get", "pod", &name, "--output", helpers], None)
            .await
            .unwrap();
        assert_eq!(helpers, "log-saver", "{name}");
        room.attempt(&["delete", "pod", &name, "--wait=false"], None)
            .await
            .unwrap();
        created += 1;
        let done = room.node.kubectl(&wait, None).await.success;
        if done && created >= 20 {
            return;
        }
        assert!(created < 1000, "the rollout does not end");
    }
}
