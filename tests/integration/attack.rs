//! Odd reviews, sent to all three paths: each is answered, none ends the process, and none takes much memory or time.
use crate::{client::Response, program::Program};
use serde_json::{Value, json};
use std::{
    fs,
    time::{Duration, Instant},
};

/// It reads the whole Pod, and renders what a parameter says.
const POLICY: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: a}
spec:
  parameters: [{name: text, type: string, default: x}]
  match: {conditions: [{name: reads, expression: "object.metadata.?annotations['x'].orValue('') != 'never'"}]}
  sidecars: [{container: {name: a, image: "a:1", args: ["${params.text}", "${string(size(object.spec.containers))}"]}}]
"#;

struct Path {
    path: &'static str,
    group: &'static str,
    kind: &'static str,
    resource: &'static str,
}

const PATHS: [Path; 3] = [
    Path {
        path: "/mutate",
        group: "",
        kind: "Pod",
        resource: "pods",
    },
    Path {
        path: "/advise",
        group: "apps",
        kind: "Deployment",
        resource: "deployments",
    },
    Path {
        path: "/validate",
        group: "outrigger.dev",
        kind: "ClusterInjectionPolicy",
        resource: "clusterinjectionpolicies",
    },
];

impl Path {
    /// A review of an object that has this text for a Pod, a template or a policy. `OBJECT` is replaced: a `Value` of that
    /// size would be slow.
    fn review(&self, object: &str, change: impl Fn(&mut Value)) -> String {
        let mut review = json!({
            "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
            "request": {
                "uid": "a-uid", "operation": "UPDATE", "name": "web", "namespace": "shop", "object": "OBJECT", "oldObject": "OLD",
                "kind": {"group": self.group, "version": "v1", "kind": self.kind},
                "resource": {"group": self.group, "version": "v1", "resource": self.resource},
            },
        });
        if self.kind == "Pod" {
            review["request"]["operation"] = "CREATE".into();
        }
        change(&mut review);
        let (object, old) = match self.kind {
            "Deployment" => {
                let around = |template: &str, own: &str| {
                    format!(r#"{{"metadata":{{"name":"web","annotations":{own}}},"spec":{{"template":{template}}}}}"#)
                };
                (around(object, "{}"), around("{}", "null"))
            }
            _ => (object.to_owned(), "{}".to_owned()),
        };
        let text = review.to_string().replace(r#""OBJECT""#, &object);
        text.replace(r#""OLD""#, &old)
    }
}

/// A Pod, a template or a policy with these members.
fn object(metadata: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"outrigger.dev/v1alpha1","kind":"ClusterInjectionPolicy","metadata":{{"name":"a"{metadata}}},"spec":{{{spec}}}}}"#
    )
}

const CONTAINERS: &str = r#""containers":[{"name":"web","image":"web"}]"#;

fn asking(more: &str) -> String {
    object(
        &format!(r#","annotations":{{"outrigger.dev/inject":"a"{more}}}"#),
        CONTAINERS,
    )
}

async fn ask(program: &Program, path: &str, body: &str) -> Response {
    let json = "content-type: application/json\r\n";
    program.connect().await.ask("POST", path, json, body).await
}

/// Names of the cases, and objects.
fn objects() -> Vec<(&'static str, String)> {
    let many = |item: &str, bytes: usize| item.repeat(bytes / item.len());
    let large = 3 << 20;
    let within = |text: String| object("", &format!(r#"{CONTAINERS},"x":{text}"#));
    let annotations = |text: String| asking(&format!(",{}", text.trim_end_matches(',')));
    let keys: String = (0..100_000).map(|i| format!(r#""a.outrigger.dev/x{i}":"","#)).collect();
    let wishes: String = (0..100_000).map(|i| format!("p{i},")).collect();
    let containers: String = (0..50_000)
        .map(|i| format!(r#"{{"name":"c{i}","image":"i"}},"#))
        .collect();
    vec![
        ("empty", "{}".into()),
        ("no object", "[]".into()),
        ("a number", "1e999".into()),
        ("metadata is a list", r#"{"metadata":[],"spec":[]}"#.into()),
        (
            "annotations are numbers",
            object(r#","annotations":{"outrigger.dev/inject":1}"#, CONTAINERS),
        ),
        ("annotations are null", object(r#","annotations":null"#, CONTAINERS)),
        ("a wish twice", asking(r#","outrigger.dev/inject":"b""#)),
        ("spec twice", format!(r#"{{"spec":{{{CONTAINERS}}},"spec":{{}}}}"#)),
        (
            "containers are an object",
            object(r#","annotations":{"outrigger.dev/inject":"a"}"#, r#""containers":{}"#),
        ),
        (
            "containers are null",
            object(r#","annotations":{"outrigger.dev/inject":"a"}"#, r#""containers":null"#),
        ),
        (
            "control characters",
            asking(r#","a.outrigger.dev/text":"\u0000\u001b[31m\r\n\u2028""#),
        ),
        (
            "a template in a value",
            asking(r#","a.outrigger.dev/text":"${object} $(PATH) {{.}}""#),
        ),
        (
            "a long value",
            asking(&format!(r#","a.outrigger.dev/text":"{}""#, "x".repeat(large))),
        ),
        (
            "a long wish",
            object(
                &format!(r#","annotations":{{"outrigger.dev/inject":"{}"}}"#, "x".repeat(large)),
                CONTAINERS,
            ),
        ),
        (
            "many wishes",
            object(
                &format!(r#","annotations":{{"outrigger.dev/inject":"{wishes}"}}"#),
                CONTAINERS,
            ),
        ),
        ("many keys", annotations(keys)),
        ("many empty keys", annotations(many(r#""":"","#, large))),
        (
            "many containers",
            object(
                r#","annotations":{"outrigger.dev/inject":"a"}"#,
                &format!(r#""containers":[{}]"#, containers.trim_end_matches(',')),
            ),
        ),
        ("many values", within(format!("[{}0]", many("0,", large)))),
        ("many objects", within(format!("[{}0]", many(r#"{"":0},"#, large)))),
        ("many lists", within(format!("[{}0]", many("[],", large)))),
        ("deep lists", within("[".repeat(100_000) + &"]".repeat(100_000))),
        (
            "deep objects",
            within(r#"{"x":"#.repeat(100_000) + "0" + &"}".repeat(100_000)),
        ),
        (
            "large numbers",
            within(format!("[{}0]", many("123456789012345678901234567890,", 1 << 20))),
        ),
        (
            "a long name",
            object(&format!(r#","generateName":"{}""#, "n".repeat(large)), CONTAINERS),
        ),
    ]
}

#[tokio::test]
async fn odd_objects_are_answered_and_cost_neither_the_process_nor_its_memory() {
    let program = Program::start(&["--log-level", "debug"], |directory| {
        fs::write(directory.join("policies/a.yaml"), POLICY).unwrap();
    });
    let before = program.peak_memory();
    for (case, object) in objects() {
        for path in &PATHS {
            let started = Instant::now();
            let response = ask(&program, path.path, &path.review(&object, |_| {})).await;
            let (took, kind) = (started.elapsed(), path.kind);
            assert!([200, 400].contains(&response.status), "{case}, {kind}: {response:?}");
            assert!(
                response.body.len() < 64 << 10,
                "{case}, {kind}: {} bytes",
                response.body.len()
            );
            // The machine may be busy, and the build is not optimised.
            assert!(took < Duration::from_secs(20), "{case}, {kind}: {took:?}");
            if response.status == 200 && kind == "Deployment" {
                assert_eq!(response.json()["response"]["allowed"], true, "{case}");
            }
        }
    }
    let grown = program.peak_memory().saturating_sub(before);
    assert!(grown < 128, "{grown} MiB");
    assert!(program.has_metric("outrigger_panics_total 0").await);
    let longest = program.log().lines().map(str::len).max().unwrap();
    assert!(longest < 8 << 10, "a line of {longest} bytes in the log");
}

#[tokio::test]
async fn odd_requests_are_answered_with_what_is_wrong() {
    let program = Program::start(&["--log-level", "debug"], |directory| {
        fs::write(directory.join("policies/a.yaml"), POLICY).unwrap();
    });
    let long = "x".repeat(1 << 20);
    for (case, pointer, value, status) in [
        ("no uid", "/request/uid", json!(""), 400),
        ("a long uid", "/request/uid", json!(long), 400),
        ("a uid that is a list", "/request/uid", json!(["u"]), 400),
        ("no kind", "/request/kind", json!(null), 400),
        ("a kind that is a list", "/request/kind", json!(["", "v1", "Pod"]), 400),
        ("another kind", "/request/kind/kind", json!("Widget"), 200),
        ("no resource", "/request/resource", json!(null), 400),
        ("no operation", "/request/operation", json!(null), 400),
        ("another operation", "/request/operation", json!("STEAL"), 200),
        ("CONNECT", "/request/operation", json!("CONNECT"), 200),
        ("a part", "/request/subResource", json!("status"), 200),
        ("a long name", "/request/name", json!(long), 200),
        ("a name that is a number", "/request/name", json!(7), 400),
        ("no request", "/request", json!(null), 400),
        ("a request that is a list", "/request", json!([]), 400),
        ("another version", "/apiVersion", json!("admission.k8s.io/v1beta1"), 400),
    ] {
        for path in &PATHS {
            let object = object(
                "",
                if path.kind == "ClusterInjectionPolicy" {
                    ""
                } else {
                    CONTAINERS
                },
            );
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let change = |review: &mut Value| review.pointer_mut(parent).unwrap()[key] = value.clone();
            let review = path.review(&object, change);
            let kind = path.kind;
            let response = ask(&program, path.path, &review).await;
            assert_eq!(response.status, status, "{case}, {kind}: {response:?}");
        }
    }
    // Where there must be a namespace, it must be one.
    for namespace in ["", "A", "../kube-system", "a\u{1b}[31m", &long] {
        for path in &PATHS[..2] {
            let review = path.review(&object("", CONTAINERS), |review| {
                review["request"]["namespace"] = namespace.into()
            });
            let response = ask(&program, path.path, &review).await;
            assert_eq!(response.status, 400, "{namespace:.20}: {response:?}");
        }
    }
    assert!(program.has_metric("outrigger_panics_total 0").await);
    let longest = program.log().lines().map(str::len).max().unwrap();
    assert!(longest < 8 << 10, "a line of {longest} bytes in the log");
}
