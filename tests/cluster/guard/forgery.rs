//! What a Pod's author cannot make the guard believe.
use super::stage::{Guarded, merged, pod, policy, required};
use outrigger::controller::guard::Facts;
use outrigger_engine::Settings;
use serde_json::{Value, json};

fn policies() -> Vec<Value> {
    let saver = json!({"container": {"name": "saver", "image": "registry.test/saver:1", "command": ["save"], "args": ["--all"]}});
    let front = json!({"podSelector": {"matchLabels": {"tier": "front"}}});
    let back = json!({"podSelector": {"matchLabels": {"tier": "back"}}});
    let by_expression = json!({
        "parameters": [{"name": "tag", "type": "string", "default": "1"}],
        "sidecars": [{"container": {"name": "named", "image": "registry.test/named:${params.tag}"}, "lifecycle": "Container"},
            {"container": {"name": "tag-${params.tag}", "image": "registry.test/imaged:1"}},
            {"container": {"name": "perhaps", "image": "registry.test/perhaps:1"}, "includeWhen": "${params.tag != '1'}"}],
    });
    vec![
        policy("saver", required(&front, json!({"sidecars": [saver]}))),
        policy("by-expression", required(&back, by_expression)),
    ]
}

async fn guarded(name: &str, settings: Settings) -> Option<Guarded> {
    Guarded::new(name, &[json!({})], &policies(), &Facts::default(), settings).await
}

fn front() -> Value {
    pod(json!({"tier": "front"}), None)
}

/// The Pod with this record and these containers.
fn claiming(mut pod: Value, record: &str, init: Value, more: Value) -> Value {
    pod["metadata"]["annotations"]["outrigger.dev/injected"] = json!(record);
    if !init.as_array().unwrap().is_empty() {
        pod["spec"]["initContainers"] = init;
    }
    let containers = pod["spec"]["containers"].as_array_mut().unwrap();
    containers.extend(more.as_array().unwrap().iter().cloned());
    pod
}

fn saver(fields: Value) -> Value {
    let whole = json!({"name": "saver", "image": "registry.test/saver:1", "command": ["save"], "args": ["--all"], "restartPolicy": "Always"});
    merged(whole, fields)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_record_does_not_pass_for_a_required_policy() {
    let Some(guarded) = guarded("forged", Settings::default()).await else {
        return;
    };
    let claim = |init: Value, more: Value| claiming(front(), "saver@000000000000", init, more);
    let whole = claim(json!([saver(json!({}))]), json!([]));
    assert_eq!(guarded.verdict(0, &whole).await, Ok(()), "the containers are there");
    let no_restart = json!({"name": "saver", "image": "registry.test/saver:1", "command": ["save"], "args": ["--all"]});
    for (what, pod) in [
        ("the record alone", claim(json!([]), json!([]))),
        (
            "another image",
            claim(json!([saver(json!({"image": "registry.test/saver:2"}))]), json!([])),
        ),
        (
            "another name",
            claim(json!([saver(json!({"name": "other"}))]), json!([])),
        ),
        (
            "another command",
            claim(json!([saver(json!({"command": ["sleep"]}))]), json!([])),
        ),
        (
            "other arguments",
            claim(json!([saver(json!({"args": ["--none"]}))]), json!([])),
        ),
        ("a container that ends", claim(json!([no_restart.clone()]), json!([]))),
        ("another list", claim(json!([]), json!([no_restart]))),
        ("no record", claiming(front(), "", json!([saver(json!({}))]), json!([]))),
        (
            "a record that is none",
            claiming(front(), "saver", json!([saver(json!({}))]), json!([])),
        ),
    ] {
        let message = guarded.verdict(0, &pod).await.expect_err(what);
        assert!(
            message.contains("container \"saver\" of image \"registry.test/saver:1\""),
            "{what}: {message}"
        );
    }
    let mut opting_out = front();
    opting_out["metadata"]["annotations"] = json!({"outrigger.dev/inject": "-saver", "outrigger.dev/skipped": "saver: paused",
        "kubernetes.io/config.mirror": "no"});
    let answer = guarded.namespaces[0].dry_run(&opting_out).await;
    assert!(
        answer.message().contains("must set spec.nodeName"),
        "no Pod that runs: {}",
        answer.message()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_expression_makes_is_compared_as_far_as_it_is_known() {
    let Some(guarded) = guarded("by-expression", Settings::default()).await else {
        return;
    };
    let mut back = pod(json!({"tier": "back"}), None);
    back["metadata"]["annotations"] = json!({"by-expression.outrigger.dev/tag": "2"});
    let injected = guarded.injected(0, &back);
    assert_eq!(guarded.verdict(0, &injected).await, Ok(()));
    let record = "by-expression@000000000000";
    let named = json!({"name": "named", "image": "elsewhere.test/any:9"});
    let imaged = json!({"name": "tag-9", "image": "registry.test/imaged:1", "restartPolicy": "Always"});
    let both = claiming(back.clone(), record, json!([imaged]), json!([named]));
    assert_eq!(
        guarded.verdict(0, &both).await,
        Ok(()),
        "an image that an expression makes may be any"
    );
    let stopped = json!({"name": "named", "image": "elsewhere.test/any:9", "command": ["sleep", "inf"]});
    for (what, pod) in [
        (
            "another program than that of the image",
            claiming(back.clone(), record, json!([imaged]), json!([stopped])),
        ),
        (
            "no image of that kind",
            claiming(back.clone(), record, json!([]), json!([named])),
        ),
        (
            "no container of that name",
            claiming(back.clone(), record, json!([imaged]), json!([])),
        ),
    ] {
        guarded.verdict(0, &pod).await.expect_err(what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_others_may_change_are_not_compared() {
    let mut settings = Settings::default();
    settings.foreign_changes.push("image".to_owned());
    let Some(guarded) = guarded("foreign", settings).await else {
        return;
    };
    let moved = saver(json!({"image": "mirror.test/saver:1"}));
    let pod = claiming(front(), "saver@000000000000", json!([moved]), json!([]));
    assert_eq!(guarded.verdict(0, &pod).await, Ok(()));
    let other = claiming(
        front(),
        "saver@000000000000",
        json!([saver(json!({"args": []}))]),
        json!([]),
    );
    guarded.verdict(0, &other).await.expect_err("other arguments");
}
