use super::*;
use serde_json::json;

fn standard(level: &str, version: Option<&str>) -> Standard {
    let mut namespace = Namespace::named("shop");
    namespace.labels.insert(ENFORCE.into(), level.into());
    if let Some(version) = version {
        namespace.labels.insert(ENFORCE_VERSION.into(), version.into());
    }
    Standard::of(&namespace)
}

fn forbidden(standard: Standard, container: Value, defaults: Defaults) -> Vec<String> {
    let Value::Object(container) = container else {
        panic!("a container is an object")
    };
    let violations = of_container(&container);
    let forbidden = standard.forbids(&violations, &defaults);
    forbidden.map(|violation| violation.message.clone()).collect()
}

fn restricted() -> Value {
    json!({"securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"}}})
}

fn with(pointer: &str, key: &str, value: Value) -> Value {
    let mut container = restricted();
    if let Some(Value::Object(parent)) = container.pointer_mut(pointer) {
        parent.insert(key.into(), value);
    }
    container
}

#[test]
fn labels_are_read_as_pod_security_admission_reads_them() {
    let unlabelled = Standard::of(&Namespace::named("shop"));
    assert_eq!(unlabelled.level, Level::Privileged);
    let rows = [
        ("privileged", None, Level::Privileged, u32::MAX),
        ("baseline", Some("latest"), Level::Baseline, u32::MAX),
        ("restricted", Some("v1.24"), Level::Restricted, 24),
        ("Restricted", None, Level::Restricted, u32::MAX),
        ("", None, Level::Restricted, u32::MAX),
        ("baseline", Some("1.24"), Level::Baseline, u32::MAX),
    ];
    for (level, version, expected, minor) in rows {
        assert_eq!(
            standard(level, version),
            Standard { level: expected, minor },
            "{level} {version:?}"
        );
    }
}

#[test]
fn a_whole_security_context_violates_nothing() {
    assert_eq!(
        forbidden(standard("restricted", None), restricted(), Defaults::default()),
        [""; 0]
    );
}

#[test]
fn an_empty_container_is_baseline_and_lacks_four_things_of_restricted() {
    for empty in [
        json!({}),
        json!({"securityContext": null, "ports": null, "lifecycle": null}),
        json!({"securityContext": {}}),
    ] {
        let none = forbidden(standard("baseline", None), empty.clone(), Defaults::default());
        assert_eq!(none, [""; 0]);
        let lacking = forbidden(standard("restricted", None), empty, Defaults::default());
        let fields = [
            "allowPrivilegeEscalation",
            "capabilities.drop",
            "runAsNonRoot",
            "seccompProfile.type",
        ];
        assert_eq!(lacking.len(), fields.len(), "{lacking:?}");
        for field in fields {
            assert!(
                lacking.iter().any(|message| message.contains(field)),
                "{field}: {lacking:?}"
            );
        }
    }
}

#[test]
fn each_field_violates_its_level() {
    let context = "/securityContext";
    let rows = [
        (with(context, "privileged", json!(true)), Level::Baseline),
        (
            with(context, "windowsOptions", json!({"hostProcess": true})),
            Level::Baseline,
        ),
        (
            with(context, "allowPrivilegeEscalation", json!(true)),
            Level::Restricted,
        ),
        (
            with("/securityContext/capabilities", "add", json!(["NET_ADMIN"])),
            Level::Baseline,
        ),
        (
            with("/securityContext/capabilities", "add", json!(["CHOWN"])),
            Level::Restricted,
        ),
        (
            with("/securityContext/capabilities", "add", json!(["NET_BIND_SERVICE"])),
            Level::Privileged,
        ),
        (
            with("/securityContext/capabilities", "drop", json!(["NET_RAW"])),
            Level::Restricted,
        ),
        (with(context, "runAsNonRoot", json!(false)), Level::Restricted),
        (with(context, "runAsUser", json!(0)), Level::Restricted),
        (with(context, "runAsUser", json!(1)), Level::Privileged),
        (
            with(context, "appArmorProfile", json!({"type": "Unconfined"})),
            Level::Baseline,
        ),
        (
            with(
                context,
                "appArmorProfile",
                json!({"type": "Localhost", "localhostProfile": "a"}),
            ),
            Level::Privileged,
        ),
        (
            with(context, "seccompProfile", json!({"type": "Unconfined"})),
            Level::Baseline,
        ),
        (with(context, "seccompProfile", json!(null)), Level::Restricted),
        (
            with(context, "seLinuxOptions", json!({"type": "spc_t"})),
            Level::Baseline,
        ),
        (
            with(context, "seLinuxOptions", json!({"type": "container_t", "level": "s0"})),
            Level::Privileged,
        ),
        (with(context, "seLinuxOptions", json!({"user": "u"})), Level::Baseline),
        (with(context, "seLinuxOptions", json!({"role": ""})), Level::Privileged),
        (with(context, "procMount", json!("Unmasked")), Level::Baseline),
        (with(context, "procMount", json!("Default")), Level::Privileged),
        (
            with(
                "",
                "ports",
                json!([{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}]),
            ),
            Level::Baseline,
        ),
        (
            with("", "ports", json!([{"containerPort": 80, "hostPort": 0}])),
            Level::Privileged,
        ),
        (
            with("", "livenessProbe", json!({"httpGet": {"host": "10.0.0.1"}})),
            Level::Baseline,
        ),
        (
            with("", "startupProbe", json!({"tcpSocket": {"host": "127.0.0.1"}})),
            Level::Baseline,
        ),
        (
            with("", "lifecycle", json!({"preStop": {"httpGet": {"host": "a"}}})),
            Level::Baseline,
        ),
        (
            with("", "lifecycle", json!({"preStop": {"exec": {"command": ["a"]}}})),
            Level::Privileged,
        ),
    ];
    for (container, level) in rows {
        for (name, enforced) in [("baseline", Level::Baseline), ("restricted", Level::Restricted)] {
            let found = forbidden(standard(name, None), container.clone(), Defaults::default());
            let expected = level != Level::Privileged && level <= enforced;
            assert_eq!(!found.is_empty(), expected, "{name}: {container}: {found:?}");
        }
    }
}

#[test]
fn what_the_pod_says_for_all_containers_counts_where_the_container_says_nothing() {
    let defaults = Defaults::of(
        Some(&json!({"runAsNonRoot": true, "seccompProfile": {"type": "Localhost"}})),
        None,
    );
    let quiet = json!({"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}});
    assert_eq!(
        forbidden(standard("restricted", None), quiet.clone(), defaults),
        [""; 0]
    );
    assert_eq!(
        forbidden(standard("restricted", None), quiet, Defaults::default()).len(),
        2
    );
    let loud = with("/securityContext", "runAsNonRoot", json!(false));
    assert_eq!(forbidden(standard("restricted", None), loud.clone(), defaults).len(), 1);
    let own_users = Defaults::of(None, Some(false));
    assert_eq!(
        forbidden(standard("restricted", None), loud.clone(), own_users),
        [""; 0]
    );
    assert_eq!(
        forbidden(standard("restricted", Some("v1.34")), loud, own_users).len(),
        1
    );
}

#[test]
fn rules_that_came_later_do_not_count_before() {
    let probe = with("", "livenessProbe", json!({"httpGet": {"host": "10.0.0.1"}}));
    assert_eq!(
        forbidden(standard("baseline", Some("v1.33")), probe.clone(), Defaults::default()),
        [""; 0]
    );
    assert_eq!(
        forbidden(standard("baseline", Some("v1.34")), probe, Defaults::default()).len(),
        1
    );
}

#[test]
fn volumes_and_annotations_have_their_levels() {
    let level = |volume: Value| of_volume(&volume).map(|violation| violation.level);
    assert_eq!(level(json!({"name": "a", "emptyDir": {}})), None);
    assert_eq!(
        level(json!({"name": "a", "hostPath": {"path": "/"}})),
        Some(Level::Baseline)
    );
    assert_eq!(level(json!({"name": "a", "nfs": {}})), Some(Level::Restricted));
    assert_eq!(
        level(json!({"name": "a", "emptyDir": null, "fromTheFuture": {}})),
        Some(Level::Restricted)
    );
    let key = format!("{APP_ARMOR}web");
    assert!(of_annotation(&key, "unconfined").is_some());
    assert!(of_annotation(&key, "localhost/web").is_none());
    assert!(of_annotation("a", "unconfined").is_none());
}
