//! Warnings, within what the API server lets through.
use crate::pods::{annotated, asking};
use crate::policies::METRICS;
use crate::scene::Scene;

#[tokio::test]
async fn row_12_many_long_warnings_are_cut_to_what_gets_through() {
    let Some(scene) = Scene::new("row12", &[METRICS]).await else {
        return;
    };
    let mut pod = asking("metrics");
    for number in 0..100 {
        // In the order in which the API server sends them.
        let key = format!("metrics.outrigger.dev/unknown-{number:02}");
        pod = annotated(pod, &key, &"a long value\nin many lines\u{7} é ".repeat(30));
    }
    let response = scene.review(&pod).await;
    let warnings = response["warnings"].as_array().expect("warnings");
    let warnings: Vec<_> = warnings.iter().map(|warning| warning.as_str().unwrap()).collect();
    assert!(
        warnings.iter().all(|warning| warning.chars().count() <= 256),
        "{warnings:?}"
    );
    assert!(warnings.iter().map(|warning| warning.chars().count()).sum::<usize>() <= 4096);
    assert!(!warnings.concat().chars().any(char::is_control), "{warnings:?}");
    let answer = scene.namespace.create(&pod).await;
    assert_eq!(
        answer.warnings, warnings,
        "all of them arrive whole, and once though there are two calls"
    );
}
