//! What Outrigger may do in the cluster: what is documented, and no more.
use crate::permission_table::{Permission, documented, listed};
use crate::stage;
use outrigger_harness::installation;
use std::collections::BTreeSet;

#[tokio::test]
async fn row_55_kubectl_lists_the_documented_permissions_and_no_others() {
    let Some(namespace) = stage::namespace("can-i").await else {
        return;
    };
    let everybodys = listed(&namespace, "outrigger").await;
    installation::grant(&namespace).await;
    let found: BTreeSet<Permission> = listed(&namespace, "outrigger")
        .await
        .difference(&everybodys)
        .cloned()
        .collect();
    assert_eq!(found, documented());
    assert!(!found.is_empty());
}
