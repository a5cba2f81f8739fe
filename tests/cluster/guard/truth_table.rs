//! The truth table of selection, row by row, as the API server evaluates it: with Outrigger away a Pod is refused exactly
//! when Outrigger would have given it a helper that it asked for or must have, or would have refused it; and a Pod that
//! has been through Outrigger passes.
use super::stage::{Guarded, merged, own_policy, pod, policy, required};
use outrigger::controller::guard::Facts;
use outrigger_engine::{Settings, Verdict};
use serde_json::{Value, json};

/// The namespaces, by their place in the table.
const WEB: usize = 0;
const API: usize = 1;
const OFF: usize = 2;
const PROTECTED: usize = 3;

fn namespaces() -> [Value; 4] {
    [
        json!({"team": "web"}),
        json!({"team": "api", "zone": "a", "inject.outrigger.dev/wanted": "enabled"}),
        json!({"team": "web", "outrigger.dev/inject": "disabled"}),
        json!({"team": "web", "zone": "a"}),
    ]
}

fn team_web(labels: Value) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"SCENE_LABEL": "SCENE_NAME", "team": "web"}}, "podSelector": {"matchLabels": labels}})
}

fn selecting(label: &str) -> Value {
    json!({"podSelector": {"matchLabels": {label: "yes"}}})
}

fn conditions(label: &str, conditions: &[(&str, &str)]) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(name, expression)| json!({"name": name, "expression": expression}))
        .collect();
    merged(selecting(label), json!({"conditions": conditions}))
}

fn policies() -> Vec<Value> {
    let zone_a = json!({"allowedNamespaces": {"matchLabels": {"zone": "a"}}});
    let sidecars = |name: &str| json!({"sidecars": [{"container": {"name": name, "image": "registry.test/helper:1"}}]});
    let with = |fields: Value, name: &str| merged(sidecars(name), fields);
    vec![
        policy("must", required(&team_web(json!({"tier": "front"})), json!({}))),
        policy(
            "by-condition",
            required(
                &conditions(
                    "conditions",
                    &[
                        (
                            "not-a-job",
                            "!object.metadata.?ownerReferences.orValue([]).exists(o, o.kind == 'Job')",
                        ),
                        (
                            "image",
                            "object.spec.containers.exists(c, c.image.startsWith('registry.test/'))",
                        ),
                        ("team", "namespaceObject.metadata.labels.team == 'web'"),
                        ("here", "request.namespace != 'nowhere' // and not elsewhere"),
                    ],
                ),
                json!({}),
            ),
        ),
        policy(
            "failing",
            required(
                &conditions(
                    "failing",
                    &[
                        ("fails", "object.metadata.labels.absent == 'x'"),
                        ("decides", "object.metadata.labels.?decides.orValue('yes') != 'no'"),
                    ],
                ),
                json!({}),
            ),
        ),
        policy("allowed", required(&selecting("allowed"), zone_a.clone())),
        policy("must-paused", required(&selecting("paused"), json!({"paused": true}))),
        policy(
            "must-broken",
            required(
                &selecting("broken"),
                json!({"sidecars": [{"container": {"name": "BAD", "image": "a"}}]}),
            ),
        ),
        policy(
            "selectors",
            required(
                &json!({
                    "namespaceSelector": {"matchExpressions": [
                        {"key": "SCENE_LABEL", "operator": "In", "values": ["SCENE_NAME"]},
                        {"key": "team", "operator": "In", "values": ["web", "other"]},
                        {"key": "zone", "operator": "DoesNotExist"},
                    ]},
                    "podSelector": {"matchExpressions": [
                        {"key": "example.com/a", "operator": "Exists"},
                        {"key": "b", "operator": "DoesNotExist"},
                        {"key": "c", "operator": "NotIn", "values": ["x", "y"]},
                        {"key": "d", "operator": "In", "values": ["1", "2"]},
                    ]},
                }),
                json!({}),
            ),
        ),
        policy(
            "settings",
            required(
                &selecting("settings"),
                json!({"sidecars": [], "app": {"env": [{"name": "A", "value": "b"}]}}),
            ),
        ),
        policy("wanted", sidecars("wanted")),
        policy("wanted-paused", with(json!({"paused": true}), "wanted-paused")),
        policy("wanted-audit", with(json!({"enforcement": "Audit"}), "wanted-audit")),
        policy("zoned", with(zone_a.clone(), "zoned")),
        policy(
            "zoned-paused",
            merged(with(zone_a, "zoned-paused"), json!({"paused": true})),
        ),
        policy("matching", with(json!({"match": selecting("matching")}), "matching")),
        policy(
            "broken",
            json!({"sidecars": [{"container": {"name": "BAD", "image": "a"}}]}),
        ),
        policy(
            "broken-audit",
            json!({"enforcement": "Audit", "sidecars": [{"container": {"name": "BAD", "image": "a"}}]}),
        ),
        own_policy(WEB, "own", sidecars("own")),
        own_policy(WEB, "own-audit", with(json!({"enforcement": "Audit"}), "own-audit")),
        // The cluster's is meant by this name, which is not paused.
        own_policy(WEB, "wanted", with(json!({"paused": true}), "shadowed")),
    ]
}

/// What the guard says of a Pod that comes as its author wrote it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Passes,
    /// By `outrigger-requested`, with a message that has this.
    Requested(&'static str),
    /// By `outrigger-required`, likewise.
    Required(&'static str),
}

use Outcome::{Passes, Requested, Required};

struct Row {
    rule: &'static str,
    namespace: usize,
    pod: Value,
    outcome: Outcome,
}

fn row(rule: &'static str, namespace: usize, pod: Value, outcome: Outcome) -> Row {
    Row {
        rule,
        namespace,
        pod,
        outcome,
    }
}

fn front() -> Value {
    json!({"tier": "front"})
}

fn yes(label: &str) -> Value {
    json!({label: "yes"})
}

fn mirror(mut pod: Value) -> Value {
    pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("abc");
    pod["spec"]["nodeName"] = json!("node");
    pod
}

fn of_job(mut pod: Value) -> Value {
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "a", "uid": "b"}]);
    pod
}

fn of_image(mut pod: Value, image: &str) -> Value {
    pod["spec"]["containers"][0]["image"] = json!(image);
    pod
}

fn rows() -> Vec<Row> {
    let nothing = || pod(json!({}), None);
    let asking = |inject: &str| pod(json!({}), Some(inject));
    let selectors = |labels: Value| pod(labels, None);
    vec![
        row("asks for nothing", WEB, nothing(), Passes),
        row("1: a mirror Pod", WEB, mirror(pod(front(), Some("wanted"))), Passes),
        row(
            "1: a protected namespace",
            PROTECTED,
            pod(front(), Some("wanted, Not A Policy")),
            Passes,
        ),
        row(
            "2: not allowed here, named",
            WEB,
            asking("zoned"),
            Requested("\"zoned\""),
        ),
        row(
            "2: not allowed here, named, paused",
            WEB,
            asking("zoned-paused"),
            Requested("\"zoned-paused\""),
        ),
        row("2: not allowed here, Required", WEB, pod(yes("allowed"), None), Passes),
        row(
            "2: allowed here, Required",
            API,
            pod(yes("allowed"), None),
            Required("\"allowed\""),
        ),
        row("2: allowed here, named", API, asking("zoned"), Requested("\"zoned\"")),
        row("2: allowed here, named, paused", API, asking("zoned-paused"), Passes),
        row(
            "2: a name that no policy has",
            WEB,
            asking("unknown"),
            Requested("\"unknown\""),
        ),
        row(
            "2: a namespaced policy, elsewhere",
            API,
            asking("own"),
            Requested("\"own\""),
        ),
        row(
            "3: Required, and its match holds",
            WEB,
            pod(front(), None),
            Required("\"must\""),
        ),
        row(
            "3: Required, the Pod opts out of all",
            WEB,
            pod(front(), Some("false")),
            Required("\"must\""),
        ),
        row(
            "3: Required, the Pod opts out of it",
            WEB,
            pod(front(), Some("-must")),
            Required("\"must\""),
        ),
        row(
            "3: Required, the namespace is switched off",
            OFF,
            pod(front(), None),
            Required("\"must\""),
        ),
        row("3: Required, another namespace", API, pod(front(), None), Passes),
        row(
            "3: Required, another Pod",
            WEB,
            pod(json!({"tier": "back"}), None),
            Passes,
        ),
        row(
            "3: Required, conditions hold",
            WEB,
            pod(yes("conditions"), None),
            Required("\"by-condition\""),
        ),
        row(
            "3: Required, a condition does not",
            WEB,
            of_job(pod(yes("conditions"), None)),
            Passes,
        ),
        row(
            "3: Required, another condition does not",
            WEB,
            of_image(pod(yes("conditions"), None), "other.test/app:1"),
            Passes,
        ),
        row(
            "3: Required, a condition on the namespace does not",
            API,
            pod(yes("conditions"), None),
            Passes,
        ),
        row(
            "3: Required, a condition fails",
            WEB,
            pod(yes("failing"), None),
            Required("condition_0_failing"),
        ),
        row(
            "3: Required, one fails, one is false",
            WEB,
            pod(json!({"failing": "yes", "decides": "no"}), None),
            Passes,
        ),
        row(
            "3: Required, settings alone",
            WEB,
            pod(yes("settings"), None),
            Required("\"settings\""),
        ),
        row(
            "3: selectors, all hold",
            WEB,
            selectors(json!({"example.com/a": "", "c": "z", "d": "2"})),
            Required("\"selectors\""),
        ),
        row(
            "3: selectors, NotIn of what is absent",
            WEB,
            selectors(json!({"example.com/a": "", "d": "1"})),
            Required("\"selectors\""),
        ),
        row(
            "3: selectors, NotIn",
            WEB,
            selectors(json!({"example.com/a": "", "c": "y", "d": "1"})),
            Passes,
        ),
        row(
            "3: selectors, In",
            WEB,
            selectors(json!({"example.com/a": "", "d": "3"})),
            Passes,
        ),
        row(
            "3: selectors, In of what is absent",
            WEB,
            selectors(json!({"example.com/a": ""})),
            Passes,
        ),
        row("3: selectors, Exists", WEB, selectors(json!({"d": "1"})), Passes),
        row(
            "3: selectors, DoesNotExist",
            WEB,
            selectors(json!({"example.com/a": "", "b": "", "d": "1"})),
            Passes,
        ),
        row(
            "3: selectors, of the namespace",
            API,
            selectors(json!({"example.com/a": "", "d": "1"})),
            Passes,
        ),
        row("4: says false", API, asking("false"), Passes),
        row("4: says -name", API, asking("-wanted"), Passes),
        row("4: says - name", API, asking(" -  wanted , "), Passes),
        row("4: says -name of what there is not", WEB, asking("-unknown"), Passes),
        row("5: names a policy", WEB, asking("wanted"), Requested("\"wanted\"")),
        row(
            "5: names a policy in a namespace that is switched off",
            OFF,
            asking("wanted"),
            Requested("\"wanted\""),
        ),
        row(
            "5: names two, of which one is paused",
            WEB,
            asking("wanted-paused,wanted"),
            Requested("policy \"wanted\":"),
        ),
        row(
            "5: names a policy of its namespace",
            WEB,
            asking("own"),
            Requested("\"own\""),
        ),
        row(
            "5: names a Required policy whose match does not hold",
            WEB,
            asking("must"),
            Requested("\"must\""),
        ),
        row(
            "5: names a policy that is broken",
            WEB,
            asking("broken"),
            Requested("\"broken\""),
        ),
        row("5: says nothing", WEB, asking(""), Passes),
        row("5: says nothing, with commas", WEB, asking(" , ,"), Passes),
        row("6: the namespace's label", API, nothing(), Passes),
        row(
            "7: its match holds, BestEffort",
            WEB,
            pod(yes("matching"), None),
            Passes,
        ),
        row("then: paused, named", WEB, asking("wanted-paused"), Passes),
        row("then: paused, Required", WEB, pod(yes("paused"), None), Passes),
        row("then: in audit, named", WEB, asking("wanted-audit"), Passes),
        row("then: in audit and broken, named", WEB, asking("broken-audit"), Passes),
        row(
            "then: in audit, named, of the namespace",
            WEB,
            asking("own-audit"),
            Passes,
        ),
        row(
            "then: in audit, named, of another namespace",
            API,
            asking("own-audit"),
            Requested("\"own-audit\""),
        ),
        row(
            "then: not accepted, Required",
            WEB,
            pod(yes("broken"), None),
            Required("is not accepted: spec.sidecars[0].container.name"),
        ),
        row(
            "grammar: true",
            WEB,
            asking("true"),
            Requested("write names of policies"),
        ),
        row(
            "grammar: upper case",
            WEB,
            asking("Wanted"),
            Requested("\"Wanted\" cannot be read"),
        ),
        row(
            "grammar: false is not alone",
            WEB,
            asking("false, wanted"),
            Requested("cannot be read"),
        ),
        row("grammar: -false", WEB, asking("-false"), Requested("cannot be read")),
        row(
            "grammar: asked for and declined",
            WEB,
            asking("wanted, -wanted"),
            Requested("cannot be read"),
        ),
        row("grammar: --name", WEB, asking("--wanted"), Requested("cannot be read")),
        row("grammar: -", WEB, asking("-"), Requested("cannot be read")),
        row(
            "grammar: a space within",
            WEB,
            asking("a b"),
            Requested("cannot be read"),
        ),
        row("grammar: another line", WEB, asking("Wanted\nWanted"), Requested("\\n")),
        row(
            "grammar: too long a name",
            WEB,
            asking(&"a".repeat(64)),
            Requested("cannot be read"),
        ),
        row(
            "grammar: too many names",
            WEB,
            asking(&(0..65).map(|i| format!("a{i}")).collect::<Vec<_>>().join(",")),
            Requested("cannot be read"),
        ),
        row(
            "grammar: too many characters",
            WEB,
            asking(&"Wanted, ".repeat(100)),
            Requested("…"),
        ),
    ]
}

fn settings(protected: &str) -> Settings {
    let mut settings = Settings::default();
    settings.protected_namespaces.push(protected.to_owned());
    settings
}

async fn guarded() -> Option<Guarded> {
    // The name of the protected one is known when it is there; so it is made first, and the guard anew.
    let nobody = Facts::default();
    let mut guarded = Guarded::new("truth", &namespaces(), &[], &nobody, Settings::default()).await?;
    let protected = guarded.namespaces[PROTECTED].name.clone();
    guarded.snapshot = guarded.snapshot.clone().with_settings(settings(&protected));
    guarded.put(&policies(), &nobody).await;
    Some(guarded)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_truth_table_holds_in_the_api_server() {
    let Some(guarded) = guarded().await else { return };
    let mut wrong = Vec::new();
    for row in rows() {
        let verdict = guarded.verdict(row.namespace, &row.pod).await;
        let holds = match (&verdict, row.outcome) {
            (Ok(()), Passes) => true,
            (Err(message), Requested(part)) => message.starts_with("outrigger-requested") && message.contains(part),
            (Err(message), Required(part)) => message.starts_with("outrigger-required") && message.contains(part),
            _ => false,
        };
        if !holds {
            wrong.push(format!("{}: {verdict:?}, not {:?}", row.rule, row.outcome));
        }
        wrong.extend(differs_from_the_engine(&guarded, row.rule, row.namespace, &row.pod).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pod_in_every_namespace_is_judged_as_the_engine_judges_it() {
    let Some(guarded) = guarded().await else { return };
    let mut wrong = Vec::new();
    for row in rows() {
        for namespace in [WEB, API, OFF, PROTECTED] {
            let rule = format!("{} in namespace {namespace}", row.rule);
            wrong.extend(differs_from_the_engine(&guarded, &rule, namespace, &row.pod).await);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The guard refuses a Pod when the engine refuses it or gives it what it asked for or must have, and at no other time;
/// what the engine has made of it passes.
async fn differs_from_the_engine(guarded: &Guarded, rule: &str, namespace: usize, pod: &Value) -> Option<String> {
    let admission = guarded.decide(namespace, pod);
    let binding = |reason: &str| matches!(reason, "required" | "on-request");
    let refused = matches!(admission.verdict, Verdict::Refused(_));
    let due = refused || admission.decisions.iter().any(|decision| binding(decision.reason));
    let verdict = guarded.verdict(namespace, pod).await;
    if verdict.is_err() != due {
        return Some(format!("{rule}: {verdict:?}, and the engine {admission:?}"));
    }
    if refused {
        return None;
    }
    let injected = guarded.injected(namespace, pod);
    let verdict = guarded.verdict(namespace, &injected).await;
    verdict
        .is_err()
        .then(|| format!("{rule}: after the engine {verdict:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_say_the_same_here_and_in_the_api_server() {
    let expressions = [
        "object.metadata.?labels.?x.orValue('a') == 'a'",
        "object.spec.containers.all(c, c.image.matches('^registry[.]test/'))",
        "object.spec.containers.map(c, c.name).join(',').contains('app')",
        "object.spec.containers[0].name == 'app' && object.spec.containers.size() == 1",
        "object.spec.containers[0].ports[0].containerPort > 80",
        "object.spec.?hostNetwork.orValue(false)",
        "has(object.spec.nodeSelector) && object.spec.nodeSelector['kubernetes.io/os'] == 'linux'",
        "object.metadata.annotations['x'] == 'y'",
        "object.metadata.?annotations[?'x'].orValue('').size() > 3",
        "namespaceObject.metadata.name == request.namespace",
        "namespaceObject.metadata.labels.team in ['web', 'api']",
        "namespaceObject.metadata.?annotations.owner.orValue('nobody') == 'nobody'",
        "object.spec.containers.exists_one(c, c.?ports.orValue([]).exists(p, p.containerPort == 8080))",
        "quantity(object.spec.containers[0].resources.requests.memory).isGreaterThan(quantity('64Mi'))",
        "object.spec.containers[0].image",
        "object.spec.containers[0].image.matches(object.spec.containers[0].name)",
        "1 / int(object.spec.containers[0].image.split(':')[1]) == 1",
        "object.spec.containers[0].name == 'app' || object.spec.absent",
        "object.spec.serviceAccountName == 'default'",
    ];
    let policies: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(index, expression)| {
            let label = format!("c{index}");
            policy(&label, required(&conditions(&label, &[("it", expression)]), json!({})))
        })
        .collect();
    let web = [json!({"team": "web"})];
    let guarded = Guarded::new("conditions", &web, &policies, &Facts::default(), Settings::default()).await;
    let Some(guarded) = guarded else { return };
    let specs = [
        json!({"serviceAccountName": "default", "containers": [{"name": "app", "image": "registry.test/app:1", "ports": [{"containerPort": 8080}],
            "resources": {"requests": {"memory": "1Gi"}}}], "nodeSelector": {"kubernetes.io/os": "linux"}}),
        json!({"containers": [{"name": "app", "image": "registry.test/app:0", "ports": [{"containerPort": 80}]},
            {"name": "other", "image": "elsewhere.test/b:2"}], "hostNetwork": true, "serviceAccountName": "default"}),
        json!({"serviceAccountName": "default", "containers": [{"name": "web", "image": "web:2", "resources": {"requests": {"memory": "64Mi"}}}], "hostNetwork": false}),
    ];
    let mut wrong = Vec::new();
    for (index, expression) in expressions.iter().enumerate() {
        for (number, spec) in specs.iter().enumerate() {
            let mut pod = pod(yes(&format!("c{index}")), None);
            pod["spec"] = spec.clone();
            if number == 1 {
                pod["metadata"]["annotations"] = json!({"x": "y"});
            }
            let rule = format!("{expression} of Pod {number}");
            wrong.extend(differs_from_the_engine(&guarded, &rule, 0, &pod).await);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
