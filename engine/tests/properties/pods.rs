//! Random Pods in all their odd forms: parents absent, `null` or empty, fields of a future Kubernetes anywhere, names
//! and paths that meet those of the policies.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

const WISH: &str = "?";

type Maybe = BoxedStrategy<Option<Value>>;

/// A field that may be absent, `null`, `empty`, or what `value` says.
fn odd(empty: Value, value: impl Strategy<Value = Value> + 'static) -> Maybe {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(Value::Null)),
        1 => Just(Some(empty)),
        5 => value.prop_map(Some),
    ]
    .boxed()
}

fn maybe(value: impl Strategy<Value = Value> + 'static) -> Maybe {
    prop_oneof![2 => Just(None), 1 => value.prop_map(Some)].boxed()
}

fn always(value: impl Strategy<Value = Value> + 'static) -> Maybe {
    value.prop_map(Some).boxed()
}

fn text(texts: &'static [&'static str]) -> impl Strategy<Value = Value> {
    select(texts).prop_map(Value::from)
}

/// An object with some of `fields`, and maybe one that no one here has heard of, anywhere among them.
fn object(fields: Vec<(&'static str, Maybe)>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    let unknown = select(vec![
        None,
        None,
        None,
        Some((
            "futureField",
            json!({"name": "web", "items": [{"name": "x"}, null, 1.5]}),
        )),
        Some(("a/b~c~1d", json!([[], {}, "\u{0}\"\\/"]))),
        Some(("ключ 🔑", json!(null))),
    ]);
    (values, unknown, any::<prop::sample::Index>())
        .prop_map(move |(values, unknown, place)| {
            let present = names
                .iter()
                .zip(values)
                .filter_map(|(name, value)| Some((*name, value?)));
            let mut members: Vec<(&str, Value)> = present.collect();
            if let Some(member) = unknown {
                members.insert(place.index(members.len() + 1), member);
            }
            Value::Object(
                members
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect(),
            )
        })
        .boxed()
}

/// A list whose items differ in `key`.
fn list(items: BoxedStrategy<Value>, key: &'static str, most: usize) -> BoxedStrategy<Value> {
    let items = prop::collection::vec(items, 0..most);
    items.prop_map(move |items| Value::Array(distinct(items, key))).boxed()
}

fn distinct(items: Vec<Value>, key: &str) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        if !kept.iter().any(|other| other.get(key) == item.get(key)) {
            kept.push(item);
        }
    }
    kept
}

fn variable() -> BoxedStrategy<Value> {
    object(vec![
        (
            "name",
            always(text(&["MODE", "CACHE", "NODE", "PATH_A", "ÜBER", "HOME_NODE"])),
        ),
        ("value", maybe(text(&["a", "b", "127.0.0.1:11211", "", "$(NODE)/x"]))),
    ])
}

fn mount() -> BoxedStrategy<Value> {
    let path = text(&[
        "/data",
        "/data/",
        "/data/logs",
        "/data/logs/deep",
        "/var/log",
        "/var/log/web",
        "/",
        "/scratch",
    ]);
    object(vec![
        (
            "name",
            always(text(&["logs", "data", "config", "scratch", "outrigger-data-3a0c11"])),
        ),
        ("mountPath", always(path)),
        ("subPath", maybe(text(&["web", "a/b", ""]))),
        ("readOnly", maybe(any::<bool>().prop_map(Value::from))),
        (
            "subPathExpr",
            prop_oneof![9 => Just(None), 1 => Just(Some(json!("$(NODE)")))].boxed(),
        ),
        (
            "mountPropagation",
            prop_oneof![9 => Just(None), 1 => Just(Some(json!("Bidirectional")))].boxed(),
        ),
    ])
}

fn port() -> BoxedStrategy<Value> {
    object(vec![
        (
            "containerPort",
            always(select(vec![80, 2020, 9113, 11211, 11212]).prop_map(Value::from)),
        ),
        ("name", maybe(text(&["http", "metrics", "web"]))),
        ("protocol", maybe(text(&["TCP", "UDP"]))),
    ])
}

fn container(names: &'static [&'static str]) -> BoxedStrategy<Value> {
    let environment = prop::collection::vec(variable(), 0..4).prop_map(Value::Array);
    object(vec![
        ("name", always(text(names))),
        ("image", always(text(&["app:1", "saver:1", "proxy:1"]))),
        ("env", odd(json!([]), environment)),
        ("envFrom", odd(json!([]), Just(json!([{"secretRef": {"name": "s"}}])))),
        ("volumeMounts", odd(json!([]), list(mount(), "mountPath", 4))),
        ("ports", odd(json!([]), list(port(), "containerPort", 3))),
        ("restartPolicy", maybe(Just(json!("Always")))),
        (
            "resources",
            odd(json!({}), Just(json!({"limits": {"memory": "1024Mi", "future/x": 1}}))),
        ),
    ])
}

fn volume() -> BoxedStrategy<Value> {
    object(vec![
        (
            "name",
            always(text(&["logs", "data", "config", "scratch", "outrigger-no-token"])),
        ),
        ("emptyDir", odd(json!({}), Just(json!({"medium": "Memory"})))),
        (
            "configMap",
            prop_oneof![6 => Just(None), 1 => Just(Some(json!({"name": "c"})))].boxed(),
        ),
        ("futureSource", maybe(Just(json!({"readOnly": true})))),
    ])
}

fn annotations() -> BoxedStrategy<Value> {
    // Filled in by [`naming`].
    let named = Just(json!(WISH));
    let odd_wish = text(&[
        "false",
        "",
        "true",
        "Saver",
        "nobody",
        "saver,,saver",
        "-nobody",
        "a,false",
    ]);
    let forged = text(&[
        "saver@000000000000",
        "saver",
        "proxy@abc,metrics@def,,@",
        "x@y",
        "watcher@1,watcher@2",
    ]);
    object(vec![
        (
            "outrigger.dev/inject",
            prop_oneof![3 => Just(None), 5 => named.prop_map(Some),
            1 => odd_wish.prop_map(Some)]
            .boxed(),
        ),
        (
            "saver.outrigger.dev/path",
            maybe(text(&["/data", "/var/log", "/data/logs/deep", "relative", "/etc"])),
        ),
        (
            "saver.outrigger.dev/memory",
            prop_oneof![9 => Just(None), 1 => Just(Some(json!("4096")))].boxed(),
        ),
        (
            "conditional.outrigger.dev/wanted",
            maybe(text(&["true", "false", "maybe"])),
        ),
        ("demanding.outrigger.dev/must", maybe(text(&["x\n\"${y}", "$(A)"]))),
        (
            "outrigger.dev/injected",
            prop_oneof![7 => Just(None), 1 => forged.prop_map(Some)].boxed(),
        ),
        (
            "outrigger.dev/skipped",
            prop_oneof![9 => Just(None), 1 => Just(Some(json!("old")))].boxed(),
        ),
        (
            "prometheus.io/port",
            prop_oneof![6 => Just(None), 1 => Just(Some(json!("80")))].boxed(),
        ),
        (
            "example.com/note",
            prop_oneof![6 => Just(None), 1 => text(&["a/b~c", "mine"]).prop_map(Some)].boxed(),
        ),
        (
            "files.files.outrigger.dev/0",
            prop_oneof![9 => Just(None), 1 => Just(Some(json!("forged")))].boxed(),
        ),
        ("kubectl.kubernetes.io/default-container", maybe(Just(json!("web")))),
    ])
    .prop_map(only_strings)
    .boxed()
}

fn labels() -> BoxedStrategy<Value> {
    object(vec![
        ("app", maybe(text(&["web", "other"]))),
        (
            "tier",
            prop_oneof![4 => Just(None), 1 => text(&["one", "two"]).prop_map(Some)].boxed(),
        ),
        (
            "outrigger.dev/injected",
            prop_oneof![9 => Just(None), 1 => text(&["true", "no"]).prop_map(Some)].boxed(),
        ),
    ])
    .prop_map(only_strings)
    .boxed()
}

/// The API server lets only strings pass here.
fn only_strings(mut map: Value) -> Value {
    let members = map.as_object_mut().unwrap();
    members
        .values_mut()
        .filter(|value| !value.is_string())
        .for_each(|value| *value = json!("future"));
    map
}

fn spec() -> BoxedStrategy<Value> {
    let app = container(&[
        "web",
        "worker",
        "istio-proxy",
        "saver",
        "proxy",
        "second",
        "third",
        "app-é",
    ]);
    let init = container(&["migrate", "shipper", "first", "own", "linkerd-init"]);
    let alias = Just(json!([{"ip": "10.0.0.1", "hostnames": ["a.example"]}, {"ip": "10.0.0.2", "hostnames": null}]));
    object(vec![
        (
            "containers",
            prop_oneof![1 => odd(json!([]), Just(json!([{"name": "web"}]))),
            9 => always(list(app, "name", 5))]
            .boxed(),
        ),
        ("initContainers", odd(json!([]), list(init, "name", 3))),
        ("volumes", odd(json!([]), list(volume(), "name", 4))),
        (
            "imagePullSecrets",
            odd(json!([]), Just(json!([{"name": "registry"}, {"futureField": 1}]))),
        ),
        ("hostAliases", odd(json!([]), alias)),
        (
            "hostNetwork",
            prop_oneof![9 => Just(None), 1 => Just(Some(json!(true))), 1 => Just(Some(json!(null)))].boxed(),
        ),
        (
            "shareProcessNamespace",
            prop_oneof![9 => Just(None), 1 => Just(Some(json!(false))),
            1 => Just(Some(json!(true)))]
            .boxed(),
        ),
        ("hostname", maybe(Just(json!("a")))),
    ])
}

pub fn pod() -> BoxedStrategy<Value> {
    let metadata = object(vec![
        ("name", maybe(Just(json!("web")))),
        (
            "annotations",
            prop_oneof![3 => odd(json!({}), annotations()), 5 => always(annotations())].boxed(),
        ),
        ("labels", odd(json!({}), labels())),
    ]);
    object(vec![
        ("apiVersion", always(Just(json!("v1")))),
        (
            "metadata",
            prop_oneof![1 => odd(json!({}), metadata.clone()), 9 => always(metadata)].boxed(),
        ),
        (
            "spec",
            prop_oneof![1 => odd(json!({}), spec()), 19 => always(spec())].boxed(),
        ),
        ("status", maybe(Just(Value::Object(Map::new())))),
    ])
}

/// Has the Pod, if it wishes anything, name these policies.
pub fn naming(mut pod: Value, names: &[String]) -> Value {
    if let Some(wish) = pod.pointer_mut("/metadata/annotations/outrigger.dev~1inject")
        && wish == WISH
    {
        *wish = json!(names.join(", "));
    }
    pod
}
