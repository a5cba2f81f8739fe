//! `POST /advise`: workloads, as the API server asks about them.
use crate::{
    client::{Connection, Response},
    program::Program,
    server::{Server, Setup},
};
use outrigger_engine::{Admission, PodRequest, Snapshot};
use serde_json::{Value, json};
use std::fs;

const POLICY: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: log-saver}
spec:
  parameters: [{name: path, type: string, default: /var/log/app, pattern: "/[a-z/]+"}]
  match:
    conditions:
      - {name: jobs, expression: "object.metadata.?ownerReferences.orValue([]).exists(o, o.kind == 'Job')"}
  sidecars: [{container: {name: log-saver, image: "log-saver:1"}, sharedVolumes: [{path: "${params.path}"}]}]
"#;

/// A workload of this kind, whose template has these annotations.
pub fn workload(kind: &str, annotations: &Value) -> Value {
    let template =
        json!({"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "app", "image": "app"}]}});
    let spec = match kind {
        "CronJob" => json!({"jobTemplate": {"spec": {"template": template}}}),
        _ => json!({"template": template}),
    };
    json!({"kind": kind, "metadata": {"name": "web"}, "spec": spec})
}

pub fn review(kind: &str, operation: &str, object: &Value, old: &Value) -> Value {
    let group = match kind {
        "Job" | "CronJob" => "batch",
        "ReplicationController" | "Pod" => "",
        _ => "apps",
    };
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "a-uid", "operation": operation, "name": "web", "namespace": "shop", "object": object, "oldObject": old,
            "kind": {"group": group, "version": "v1", "kind": kind},
            "resource": {"group": group, "version": "v1", "resource": format!("{}s", kind.to_lowercase())},
            "userInfo": {"username": "somebody"}, "dryRun": false, "options": null,
        },
    })
}

async fn ask(connection: &mut Connection, review: impl ToString) -> Response {
    let json = "content-type: application/json\r\n";
    connection
        .ask("POST", "/advise?timeout=5s", json, review.to_string())
        .await
}

/// The warnings; whatever is asked is allowed.
async fn told(connection: &mut Connection, review: Value) -> Vec<String> {
    let response = ask(connection, review).await;
    assert_eq!(response.status, 200, "{response:?}");
    let mut answer = response.json();
    let response = answer["response"].as_object_mut().unwrap();
    let warnings = response.remove("warnings").unwrap_or_else(|| json!([]));
    assert_eq!(
        Value::Object(response.clone()),
        json!({"uid": "a-uid", "allowed": true})
    );
    serde_json::from_value(warnings).unwrap()
}

fn serving() -> Program {
    Program::start(&["--log-level", "debug"], |directory| {
        fs::write(directory.join("policies/log-saver.yaml"), POLICY).unwrap();
    })
}

#[tokio::test]
async fn what_the_pods_of_a_template_will_meet_is_told_for_every_kind() {
    let program = serving();
    let mut connection = program.connect().await;
    let null = Value::Null;
    for kind in [
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "Job",
        "CronJob",
        "ReplicationController",
    ] {
        let create = |annotations| review(kind, "CREATE", &workload(kind, &annotations), &null);
        let refused = told(&mut connection, create(json!({"outrigger.dev/inject": "log-savr"}))).await;
        assert!(
            refused[0].starts_with(&format!("{kind} web: its Pods will be refused: "))
                && refused[0].contains("did you mean \"log-saver\""),
            "{refused:?}"
        );
        let bad = json!({"outrigger.dev/inject": "log-saver", "log-saver.outrigger.dev/path": "logs"});
        let bad = told(&mut connection, create(bad)).await;
        assert!(
            bad[0].contains("will be refused") && bad[0].contains("\"logs\""),
            "{bad:?}"
        );
        let unknown = json!({"outrigger.dev/inject": "log-saver", "log-saver.outrigger.dev/pth": "/logs"});
        let unknown = told(&mut connection, create(unknown)).await;
        assert!(unknown[0].contains("no parameter \"pth\""), "{unknown:?}");
        assert_eq!(
            told(&mut connection, create(json!({"outrigger.dev/inject": "log-saver"}))).await,
            [""; 0]
        );
        // Conditions see whom the Pods will belong to: here, a bad value costs Jobs the policy that matches them.
        let by_match = told(&mut connection, create(json!({"log-saver.outrigger.dev/path": "logs"}))).await;
        let left_out = by_match.iter().any(|text| text.contains("is left out"));
        assert_eq!(left_out, kind.ends_with("Job"), "{kind}: {by_match:?}");
    }
    assert!(
        program
            .has_metric(r#"outrigger_workload_reviews_total{outcome="silent"} 7"#)
            .await
    );
    assert!(
        program
            .has_metric(r#"outrigger_workload_reviews_total{outcome="warned"} 28"#)
            .await
    );
}

#[tokio::test]
async fn annotations_on_the_workload_itself_are_told_with_where_they_belong() {
    let program = serving();
    let mut connection = program.connect().await;
    let null = Value::Null;
    for (kind, place) in [
        ("Deployment", "spec.template.metadata.annotations"),
        ("CronJob", "spec.jobTemplate.spec.template.metadata.annotations"),
    ] {
        let mut object = workload(kind, &json!({"log-saver.outrigger.dev/path": "/a"}));
        object["metadata"]["annotations"] = json!({
            "outrigger.dev/inject": "log-saver", "log-saver.outrigger.dev/path": "/a", "example.com/inject": "x",
        });
        let warnings = told(&mut connection, review(kind, "CREATE", &object, &null)).await;
        let expected = format!("{kind} web: annotation outrigger.dev/inject has no effect here; write it in {place}");
        assert_eq!(warnings[0], expected);
    }
    let mut object = workload("CronJob", &json!({}));
    object["spec"]["jobTemplate"]["metadata"] = json!({"annotations": {"outrigger.dev/inject": "log-saver"}});
    let warnings = told(&mut connection, review("CronJob", "CREATE", &object, &null)).await;
    assert!(warnings[0].contains("has no effect here"), "{warnings:?}");

    let keys = (0..20).map(|number| (format!("p{number:02}.outrigger.dev/x"), json!("y")));
    object["metadata"]["annotations"] = Value::Object(keys.collect());
    let warnings = told(&mut connection, review("CronJob", "CREATE", &object, &null)).await;
    assert!(
        warnings[0].contains("p00.outrigger.dev/x") && warnings[0].contains("and 13 more"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn only_what_a_change_changes_is_told_again() {
    let program = serving();
    let mut connection = program.connect().await;
    let old = workload("Deployment", &json!({"outrigger.dev/inject": "log-savr"}));
    let update = |new: &Value, old: &Value| review("Deployment", "UPDATE", new, old);
    let mut scaled = old.clone();
    scaled["spec"]["replicas"] = json!(3);
    assert_eq!(told(&mut connection, update(&scaled, &old)).await, [""; 0]);
    let mut annotated = old.clone();
    annotated["metadata"]["annotations"] = json!({"outrigger.dev/inject": "log-saver"});
    // The template has the annotation, though with another value.
    assert_eq!(told(&mut connection, update(&annotated, &old)).await, [""; 0]);
    annotated["metadata"]["annotations"] = json!({"log-saver.outrigger.dev/path": "/a"});
    let warnings = told(&mut connection, update(&annotated, &old)).await;
    assert!(
        warnings.len() == 1 && warnings[0].contains("has no effect here"),
        "{warnings:?}"
    );
    assert_eq!(told(&mut connection, update(&annotated, &annotated)).await, [""; 0]);
    let mut image = old.clone();
    image["spec"]["template"]["spec"]["containers"][0]["image"] = json!("app:2");
    let warnings = told(&mut connection, update(&image, &old)).await;
    assert!(
        warnings.len() == 1 && warnings[0].contains("will be refused"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn what_is_none_of_our_business_is_allowed_in_silence() {
    let program = serving();
    let mut connection = program.connect().await;
    let null = Value::Null;
    let asking = |kind| workload(kind, &json!({"outrigger.dev/inject": "log-savr"}));
    let mut made = asking("ReplicaSet");
    made["metadata"]["ownerReferences"] = json!([{"kind": "Deployment", "name": "web", "controller": true}]);
    let mut scale = review("Deployment", "UPDATE", &asking("Deployment"), &null);
    scale["request"]["subResource"] = "scale".into();
    let mut protected = review("DaemonSet", "CREATE", &workload("DaemonSet", &json!({})), &null);
    protected["request"]["namespace"] = "kube-system".into();
    let mut foreign = review("Deployment", "CREATE", &asking("Deployment"), &null);
    foreign["request"]["kind"]["group"] = "example.com".into();
    let mut without = workload("Deployment", &json!({}));
    without["spec"]["template"] = Value::Null;
    for review in [
        review("ReplicaSet", "CREATE", &made, &null),
        scale,
        protected,
        foreign,
        review("Deployment", "DELETE", &null, &asking("Deployment")),
        review("Deployment", "CONNECT", &asking("Deployment"), &null),
        review(
            "Pod",
            "CREATE",
            &json!({"metadata": {"annotations": {"outrigger.dev/inject": "log-savr"}}}),
            &null,
        ),
        review("Deployment", "CREATE", &without, &null),
        review("Deployment", "CREATE", &json!({}), &null),
    ] {
        assert_eq!(told(&mut connection, review.clone()).await, [""; 0], "{review}");
    }
    // A dry run is like any other call.
    let mut dry = review("Deployment", "CREATE", &asking("Deployment"), &null);
    dry["request"]["dryRun"] = true.into();
    assert_eq!(told(&mut connection, dry).await.len(), 1);
}

#[tokio::test]
async fn a_panic_costs_one_advice_and_is_counted() {
    fn panicking(_: &Snapshot, request: &PodRequest<'_>) -> Admission {
        assert_ne!(request.namespace, "shop", "injected");
        outrigger_engine::admit(&Snapshot::default(), request)
    }
    let server = Server::start(Setup::deciding_by(panicking)).await;
    let mut connection = server.connect().await;
    let mut review = review(
        "Deployment",
        "CREATE",
        &workload("Deployment", &json!({})),
        &Value::Null,
    );
    assert_eq!(ask(&mut connection, &review).await.status, 500);
    review["request"]["namespace"] = "other".into();
    assert_eq!(ask(&mut connection, &review).await.status, 200);
    server.assert_metric("outrigger_panics_total 1");
    server.assert_metric(r#"outrigger_workload_reviews_total{outcome="error"} 1"#);
    server.assert_metric(r#"outrigger_admissions_total{outcome="error"} 0"#);
}
