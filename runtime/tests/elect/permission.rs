//! Without the Role of the policy: what is said; and with it: that it is enough.
use crate::{
    api::{ServiceAccount, apply, namespace},
    asking::eventually,
    elector::{Elector, Start},
};
use serde_json::json;
use std::process::Command;

const TIMES: [&str; 3] = ["--lease-duration=2s", "--renew-deadline=1400ms", "--retry-period=200ms"];

fn start(account: &ServiceAccount) -> Elector {
    let mut start = Start::new("web-0", "shop").with(&TIMES);
    start.environment = account.environment();
    start.go()
}

fn probe(elector: &Elector) -> (bool, String) {
    let url = format!("http://{}/readyz", elector.address);
    let output = Command::new(crate::elector::PROGRAM)
        .args(["probe", "--timeout=10", &url])
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_role_it_says_what_is_missing_and_goes_on_when_it_is_there() {
    let Some((_, namespace)) = namespace("permission").await else {
        return;
    };
    let account = ServiceAccount::of(&namespace).await;
    let elector = start(&account);
    let missing = |verbs: &str| {
        format!(
            "system:serviceaccount:{0}:default may not {verbs} leases.coordination.k8s.io \"shop\" in namespace \"{0}\"; it needs a \
             Role with these verbs, and a RoleBinding, as in rbac.yaml of the policy leader-elector",
            namespace.name
        )
    };
    let ready = |text: String| format!("election \"shop\": {text}\n");
    let all = missing("create, get, update, watch");
    let reply = eventually("it says what is missing", || {
        let reply = elector.get("/readyz");
        (reply.status == 503 && reply.body == ready(all.clone())).then_some(reply)
    });
    assert_eq!(elector.get("/leader").status, 503, "{reply:?}");
    assert_eq!(elector.get("/livez").status, 200);
    let log = elector.log();
    assert!(log.contains(&all.replace('"', "\\\"")), "{log}");
    // kubelet shows what the startup probe says.
    let (passed, said) = probe(&elector);
    assert!(!passed && said.contains(&all), "{said}");

    // Half of it: it may read and not write.
    let reader = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "leader-elector"},
        "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "watch"]}],
    });
    apply(&namespace, "rbac.yaml").await;
    let replaced = namespace.kubectl(&["replace", "-f", "-"], Some(&reader)).await;
    assert!(replaced.success, "{}", replaced.stderr);
    let half = missing("create, update").replace('"', "\\\"");
    eventually("it says what is still missing", || {
        elector.log().contains(&half).then_some(())
    });

    apply(&namespace, "rbac.yaml").await;
    eventually("it leads", || elector.leads("/").then_some(()));
    assert_eq!(probe(&elector), (true, String::new()));
    // And all of it is used: a renewal needs update, a follower watch.
    let token = elector.get("/").json()["fencingToken"].clone();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(elector.get("/").json()["fencingToken"], token);
    assert!(elector.log().contains("the election goes on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_server_does_not_know_is_told() {
    let Some((_, namespace)) = namespace("token").await else {
        return;
    };
    let account = ServiceAccount::of(&namespace).await;
    std::fs::write(account.directory.join("token"), "not.a.token").unwrap();
    let elector = start(&account);
    eventually("it says so", || {
        let said = elector.get("/readyz").body;
        said.contains("the API server does not accept the service account's token: Unauthorized")
            .then_some(())
    });
}
