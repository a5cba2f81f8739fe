//! Outrigger is away: who asked for a helper or must have one is refused with the reason, all others are created.
use super::stage::{Guarded, judged, pod, policy, required};
use outrigger::controller::guard::Facts;
use outrigger_engine::Settings;
use outrigger_harness::{SCENE, Webhook};
use serde_json::{Value, json};
use std::path::Path;

fn policies() -> Vec<Value> {
    let helper = |name: &str| json!({"sidecars": [{"container": {"name": name, "image": "registry.test/helper:1"}}]});
    let front = json!({"podSelector": {"matchLabels": {"tier": "front"}}});
    let mut matching = helper("matching");
    matching["match"] = json!({"podSelector": {"matchLabels": {"tier": "back"}}});
    vec![
        policy("must", required(&front, helper("must"))),
        policy("wanted", helper("wanted")),
        policy("matching", matching),
    ]
}

fn named(name: &str, labels: Value, inject: Option<&str>) -> Value {
    let mut pod = pod(labels, inject);
    pod["metadata"]["name"] = json!(name);
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn while_outrigger_is_away_only_those_who_ask_or_must_have_are_refused() {
    let guarded = Guarded::new(
        "outage",
        &[json!({})],
        &policies(),
        &Facts::default(),
        Settings::default(),
    )
    .await;
    let Some(guarded) = guarded else { return };
    let namespace = &guarded.namespaces[0];
    let texts: Vec<String> = policies()
        .iter()
        .map(|policy| {
            policy
                .to_string()
                .replace("SCENE_NAME", &namespace.name)
                .replace("SCENE_LABEL", SCENE)
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let asking = named("asking", json!({}), Some("wanted"));
    let front = named("front", json!({"tier": "front"}), None);
    let both = named("both", json!({"tier": "front"}), Some("wanted"));
    let webhook = Webhook::start(Path::new(env!("CARGO_BIN_EXE_outrigger")), namespace, &texts).await;
    for pod in [&asking, &front, &both] {
        assert_eq!(
            judged(namespace.dry_run(pod).await),
            Ok(()),
            "Outrigger is there: {pod}"
        );
    }
    drop(webhook);
    for (pod, parts) in [
        (&asking, ["policy \"wanted\"", "outrigger-requested"]),
        (&front, ["policy \"must\"", "outrigger-required"]),
        (&both, ["policy \"", "outrigger-"]),
    ] {
        let answer = namespace.create(pod).await;
        assert_eq!(answer.status, 403);
        let message = judged(answer).expect_err("Outrigger is away");
        for part in parts.into_iter().chain(["Outrigger may be away; create the Pod again"]) {
            assert!(message.contains(part), "{message}");
        }
    }
    for pod in [
        named("plain", json!({}), None),
        named("by-match", json!({"tier": "back"}), None),
        named("opting-out", json!({}), Some("false")),
    ] {
        namespace.create(&pod).await.object();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn breaking_the_glass_lets_pods_pass_without_their_helpers() {
    let guarded = Guarded::new(
        "glass",
        &[json!({})],
        &policies(),
        &Facts::default(),
        Settings::default(),
    )
    .await;
    let Some(guarded) = guarded else { return };
    let asking = named("asking", json!({}), Some("wanted"));
    let front = named("front", json!({"tier": "front"}), None);
    for (name, freed, other) in [
        ("outrigger-required", &front, &asking),
        ("outrigger-requested", &asking, &asking),
    ] {
        guarded.verdict(0, freed).await.expect_err("the glass is whole");
        guarded.verdict(0, other).await.expect_err("the glass is whole");
        guarded.break_glass(name).await;
        for attempt in 0.. {
            if guarded.verdict(0, freed).await.is_ok() {
                break;
            }
            assert!(attempt < 600, "still in effect");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}
