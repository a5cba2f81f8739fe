//! What is left when the installation is gone.
use crate::stage::{OWNER, Stage, configurations};

#[tokio::test]
async fn who_deletes_the_owning_cluster_role_has_the_configurations_removed() {
    let Some(mut stage) = Stage::running("gone", 1, &[]).await else {
        return;
    };
    let Some(_collector) = stage.system.cluster().garbage_collector() else {
        return;
    };
    let owner = stage.system.call("GET", OWNER, None).await.object();
    for path in configurations() {
        let found = stage.system.call("GET", &path, None).await.object();
        assert_eq!(
            found["metadata"]["ownerReferences"][0]["uid"], owner["metadata"]["uid"],
            "{path}"
        );
    }
    stage.kill(0);
    stage.system.call("DELETE", OWNER, None).await.object();
    let removed = async || {
        let mut left = 0;
        for path in configurations() {
            left += usize::from(stage.system.call("GET", &path, None).await.status != 404);
        }
        left == 0
    };
    stage.wait_for("removal", removed).await;
    // The CustomResourceDefinitions, and with them the policies, stay.
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clusterinjectionpolicies.outrigger.dev";
    assert_eq!(stage.system.call("GET", crd, None).await.status, 200);
}
