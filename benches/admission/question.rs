//! What is asked again and again, and what must come back.
use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

const REVIEW: &str = include_str!("../../tests/fixtures/review.json");

/// A review of 5 KB: an ordinary web server's Pod, as a ReplicaSet makes it.
#[derive(Debug, Clone)]
pub struct Question {
    review: Value,
    expected: Expected,
}

/// What the answer must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Allowed without a patch.
    NoPatch,
    /// A patch after which the Pod has the log saver, and the application this directory to share with it.
    LogSaver(&'static str),
}

impl Question {
    /// The Pod with these annotations of Outrigger's, beside its own.
    pub fn new(annotations: &[(&str, &str)], expected: Expected) -> Question {
        // The fixture is JSON, and its Pod has annotations: a test reads it.
        let mut review: Value = serde_json::from_str(REVIEW).unwrap_or_default();
        if let Some(present) = review["request"]["object"]["metadata"]["annotations"].as_object_mut() {
            present.shift_remove("outrigger.dev/inject");
            present.extend(annotations.iter().map(|(key, value)| ((*key).into(), (*value).into())));
        }
        Question { review, expected }
    }

    /// The request as sent, whole, and where in it the uid is.
    pub fn request(&self) -> Result<(Vec<u8>, usize)> {
        let body = self.review.to_string();
        let head = format!(
            "POST /mutate?timeout=5s HTTP/1.1\r\nHost: outrigger.outrigger-system.svc:443\r\nUser-Agent: kube-apiserver-admission\r\n\
             Content-Length: {}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
            body.len()
        );
        let uid = body.find(self.uid()).context("the review has no uid")?;
        Ok(((head.clone() + &body).into_bytes(), head.len() + uid))
    }

    pub fn uid(&self) -> &str {
        self.review["request"]["uid"].as_str().unwrap_or_default()
    }

    /// Looks at all of an answer.
    pub fn check(&self, answer: &[u8]) -> Result<()> {
        let answer: Value = serde_json::from_slice(answer).context("the answer is not JSON")?;
        let response = &answer["response"];
        ensure!(response["allowed"] == true, "not allowed: {answer}");
        ensure!(response["uid"] == self.uid(), "the answer to another review: {answer}");
        let Expected::LogSaver(directory) = self.expected else {
            ensure!(response["patch"].is_null(), "a patch that nobody asked for: {answer}");
            return Ok(());
        };
        let pod = self.patched(response).with_context(|| format!("in {answer}"))?;
        let has = |list: &Value, key: &str, wanted: &str| {
            list.as_array()
                .is_some_and(|list| list.iter().any(|item| item[key] == wanted))
        };
        ensure!(
            has(&pod["spec"]["initContainers"], "name", "log-saver"),
            "no log saver in {pod}"
        );
        for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
            ensure!(
                has(&container["volumeMounts"], "mountPath", directory),
                "no {directory} in {container}"
            );
        }
        Ok(())
    }

    fn patched(&self, response: &Value) -> Result<Value> {
        let patch = response["patch"].as_str().context("no patch")?;
        let patch: json_patch::Patch = serde_json::from_slice(&STANDARD.decode(patch)?)?;
        let mut pod = self.review["request"]["object"].clone();
        json_patch::patch(&mut pod, &patch)?;
        Ok(pod)
    }
}
