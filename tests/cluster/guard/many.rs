//! Many policies, and policies that the API server does not take.
use super::stage::{Guarded, pod, policy, required};
use outrigger::controller::guard::Facts;
use outrigger_engine::Settings;
use serde_json::{Value, json};

fn numbered(count: usize) -> Vec<Value> {
    let one = |index: usize| {
        let name = format!("policy-of-a-long-name-with-number-{index}");
        let matches = json!({"podSelector": {"matchLabels": {"number": index.to_string()}},
            "conditions": [{"name": "image", "expression": "object.spec.containers.exists(c, c.image.startsWith('registry.test/'))"},
                {"name": "job", "expression": "!object.metadata.?ownerReferences.orValue([]).exists(o, o.kind == 'Job')"}]});
        policy(
            &name,
            required(
                &matches,
                json!({"sidecars": [{"container": {"name": name, "image": "registry.test/helper:1"}}]}),
            ),
        )
    };
    (0..count).map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_required_policies_fit_into_one_object_and_its_budget() {
    let policies = numbered(200);
    let guarded = Guarded::new("many", &[json!({})], &policies, &Facts::default(), Settings::default()).await;
    let Some(guarded) = guarded else { return };
    let selected = pod(json!({"number": "199"}), None);
    let message = guarded.verdict(0, &selected).await.expect_err("it is required");
    assert!(message.contains("-199\""), "{message}");
    let injected = guarded.injected(0, &selected);
    assert_eq!(guarded.verdict(0, &injected).await, Ok(()));
    // All 200 are evaluated for each Pod, within one budget; an error would refuse it.
    assert_eq!(guarded.verdict(0, &pod(json!({}), None)).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_that_the_api_server_does_not_take_are_traced_to_their_policies() {
    let condition = |label: &str, expression: &str| {
        let matches = json!({"podSelector": {"matchLabels": {label: "yes"}}, "conditions": [{"name": "it", "expression": expression}]});
        policy(label, required(&matches, json!({})))
    };
    let policies = [
        condition("taken", "object.metadata.name != 'x'"),
        condition("function-of-ours", "math.abs(object.spec.containers.size()) == 1"),
        condition("no-boolean", "object.spec.containers[0].image.split(':')[1]"),
        condition("types-that-differ", "[1, 'a'].size() == 2"),
        condition("last", "true"),
    ];
    let guarded = Guarded::new("not-taken", &[json!({})], &[], &Facts::default(), Settings::default()).await;
    let Some(mut guarded) = guarded else { return };
    let check = guarded.guard_of(&policies, &Facts::default()).required;
    let answer = guarded.register(&check).await;
    assert_eq!(answer.status, 422, "{}", answer.message());
    let causes = answer.body["details"]["causes"].as_array().unwrap();
    let mut owners: Vec<&str> = causes
        .iter()
        .map(|cause| {
            check
                .owner(cause["field"].as_str().unwrap())
                .expect("it belongs to a policy")
        })
        .collect();
    owners.sort_unstable();
    owners.dedup();
    assert_eq!(owners, ["function-of-ours", "no-boolean", "types-that-differ"]);
    let facts = Facts {
        unusable: owners.into_iter().map(str::to_owned).collect(),
        ..Facts::default()
    };
    guarded.put(&policies, &facts).await;
    for (label, refused) in [
        ("taken", true),
        ("last", true),
        ("no-boolean", false),
        ("function-of-ours", false),
    ] {
        let verdict = guarded.verdict(0, &pod(json!({label: "yes"}), None)).await;
        assert_eq!(verdict.is_err(), refused, "{label}: {verdict:?}");
    }
}
