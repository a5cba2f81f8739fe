//! What the chart refuses, and that it is a good chart.
use crate::rendering::{CHART, render};
use outrigger_harness::Helm;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    values: Value,
    says: String,
}

#[tokio::test]
async fn values_that_cannot_be_meant_are_refused_with_the_place() {
    let Some(helm) = Helm::find() else { return };
    let refusals: Vec<Refusal> = serde_saphyr::from_str(include_str!("refusals.yaml")).unwrap();
    assert!(refusals.len() > 30);
    let mut wrong = Vec::new();
    for refusal in refusals {
        match render(&helm, &refusal.values, &[]).await {
            Ok(_) => wrong.push(format!("{} is taken", refusal.values)),
            Err(message) if message.contains(&refusal.says) => {}
            Err(message) => wrong.push(format!("{}: no {} in {message}", refusal.values, refusal.says)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn helm_finds_nothing_wrong_with_the_chart() {
    let Some(helm) = Helm::find() else { return };
    let output = helm
        .run(&["lint", CHART, "--strict", "--kube-version", "1.37.2"], &json!({}))
        .await;
    assert!(output.success, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("0 chart(s) failed"), "{}", output.stdout);
}
