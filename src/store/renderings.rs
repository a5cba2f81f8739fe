//! Renderings of policies, kept for Pods with the same parameters: as many as a busy cluster has kinds of Pods, and no more.

use outrigger_engine::{Rendering, Renderings};
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

/// Most renderings that are kept. One takes some 20 KiB.
const MOST: usize = 64;

/// The latest renderings. Anyone can make up parameters, so beyond `MOST` all are forgotten: rendering again is cheap
/// beside keeping count of what is used.
#[derive(Debug, Default)]
pub struct Kept(RwLock<HashMap<String, Rendering>>);

impl Renderings for Kept {
    fn recall(&self, key: &str) -> Option<Rendering> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).cloned()
    }

    fn keep(&self, key: String, rendering: Rendering) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(key, rendering);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_engine::{
        Admission, Namespace, PodRequest, PodView, Settings, Snapshot, Verdict, admit, compile, json,
    };
    use serde_json::json;
    use std::sync::Arc;

    /// What is said about a Pod with these annotations of the policy's.
    fn answer(snapshot: &Snapshot, annotations: &[(&str, &str)]) -> Admission {
        let mut pod = json!({"metadata": {"annotations": {"outrigger.dev/inject": "a"}}, "spec": {"containers": [{"name": "web"}]}});
        for (name, value) in annotations {
            pod["metadata"]["annotations"][format!("a.outrigger.dev/{name}")] = (*value).into();
        }
        let pod = pod.to_string();
        let view: PodView<'_> = json::from_str(&pod).unwrap();
        let object = || serde_json::from_str(&pod).ok();
        let request = PodRequest {
            namespace: "shop",
            pod: &view,
            object: &object,
        };
        admit(snapshot, &request)
    }

    /// The patch for a Pod that sets the parameter to `level`.
    fn patch(snapshot: &Snapshot, level: &str) -> String {
        match answer(snapshot, &[("level", level)]).verdict {
            Verdict::Patched(patch) => String::from_utf8(patch).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn snapshot() -> Snapshot {
        let policy = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy", "metadata": {"name": "a"},
            "spec": {"parameters": [{"name": "level", "type": "string", "default": "info"},
                    {"name": "port", "type": "integer", "default": 1, "settableBy": ["Namespace"]}],
                "sidecars": [{"container": {"name": "helper", "image": "helper:1", "args": ["--level=${params.level}", "--port=${params.port}"]}}]}});
        let policy = Arc::new(compile(&policy).unwrap());
        Snapshot::new(vec![policy], vec![Namespace::named("shop")], Settings::default())
    }

    #[test]
    fn what_is_kept_changes_no_answer_and_stays_bounded() {
        let (plain, keeping) = (snapshot(), snapshot().keeping(Arc::<Kept>::default()));
        for level in (0..2).flat_map(|_| 0..MOST + 3).map(|level| level.to_string()) {
            let expected = patch(&plain, &level);
            assert!(expected.contains(&format!("--level={level}\"")), "{expected}");
            assert_eq!(patch(&keeping, &level), expected);
            assert_eq!(patch(&keeping, &level), expected);
        }
    }

    #[test]
    fn who_gets_what_was_kept_is_told_the_same() {
        let (plain, kept) = (snapshot(), Arc::<Kept>::default());
        let keeping = snapshot().keeping(Arc::clone(&kept) as _);
        let long = "x".repeat(20_000);
        for (annotations, is_kept) in [
            (&[("port", "7")][..], true),
            (&[("level", "a"), ("port", "7")], true),
            // Without their lengths the next two would be kept as one.
            (&[("level", "a P:a.outrigger.dev/unknown:b")], true),
            (&[("level", "a"), ("unknown", "b")], true),
            (&[("level", "a"), ("unknown", &long)], false),
            (&[("level", &long)], false),
        ] {
            let (before, expected) = (
                kept.0.read().unwrap().len(),
                format!("{:?}", answer(&plain, annotations)),
            );
            for _ in 0..2 {
                assert_eq!(format!("{:?}", answer(&keeping, annotations)), expected);
            }
            assert_eq!(
                kept.0.read().unwrap().len() - before,
                usize::from(is_kept),
                "{annotations:?}"
            );
        }
        let warned = answer(&keeping, &[("port", "7")]).warnings;
        assert!(
            warned.iter().any(|warning| warning.contains("a Pod may not set")),
            "{warned:?}"
        );
    }

    #[test]
    fn no_more_than_the_most_are_kept_and_the_latest_is_one_of_them() {
        let kept = Arc::<Kept>::default();
        let snapshot = snapshot().keeping(Arc::clone(&kept) as _);
        for level in 0..MOST + 3 {
            patch(&snapshot, &level.to_string());
            let kept = kept.0.read().unwrap();
            assert!(kept.len() <= MOST && kept.keys().any(|key| key.ends_with(&format!(":{level}"))));
        }
    }
}
