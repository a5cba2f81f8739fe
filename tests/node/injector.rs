//! The injector as its chart installs it: it registers itself, and guards, and is restarted without anybody's notice.
use crate::room::Room;
use crate::stream;
use outrigger_harness::demand::say;

pub const SYSTEM: [&str; 2] = ["--namespace", "outrigger-system"];

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
async fn row_35_a_rolling_restart_of_the_injector_costs_no_pod_its_helper() {
    let Some(room) = Room::with_outrigger("rolling").await else {
        return;
    };
    let stream = stream::start(&room).await;
    room.run(&[&SYSTEM[..], &["rollout", "restart", "deployment/outrigger"]].concat())
        .await;
    let rolled_out = ["rollout", "status", "deployment/outrigger", "--timeout=1s"];
    room.until(&[&SYSTEM[..], &rolled_out].concat(), |_| true).await;
    // Until the last of the old ones, which still answers for a while, has gone.
    let names = "jsonpath={.items[*].metadata.name}";
    let replicas = [&SYSTEM[..], &["get", "pods", "--output", names]].concat();
    room.until(&replicas, |names| names.split(' ').count() == 2).await;
    stream.flows().await;
    let created = stream.end().await.flawless(90, String::new);
    say(&format!("rolled: {created} Pods created meanwhile"));
}
