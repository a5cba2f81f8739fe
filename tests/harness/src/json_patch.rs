//! Applies JSON Patches with the library that the API server uses, thousands in one process.
use crate::assets::{Program, program};
use crate::demand::available;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The running program `tests/kubernetes/jsonpatch`. It ends by itself when its input does.
pub struct JsonPatch {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl JsonPatch {
    /// Starts it; `None` where Go is missing, after saying so.
    ///
    /// # Panics
    /// When it cannot be built or started, or Go is missing although everything is demanded.
    pub fn start() -> Option<JsonPatch> {
        let path = available(program(Program::JsonPatch))?;
        let command = &mut Command::new(path);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("failed to start jsonpatch");
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Some(JsonPatch {
            child,
            questions,
            answers,
        })
    }

    /// The patched document, or the library's error. Both arguments are JSON texts and are passed on as they are, save
    /// for line breaks between their tokens.
    ///
    /// # Errors
    /// When the patch cannot be decoded or does not apply.
    pub fn apply(&mut self, document: &str, patch: &str) -> Result<Value, String> {
        // JSON has no raw line breaks within strings; so this changes white space alone.
        let question = format!(r#"{{"doc":{document},"patch":{patch}}}"#).replace(['\n', '\r'], " ");
        let questions = self.questions.as_mut().expect("open until dropped");
        writeln!(questions, "{question}").expect("jsonpatch is gone");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("jsonpatch is gone");
        let mut answer: Value = serde_json::from_str(&line).expect("jsonpatch answers with JSON");
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["doc"].take()),
        }
    }
}

impl Drop for JsonPatch {
    fn drop(&mut self) {
        drop(self.questions.take());
        let _ = self.child.wait();
    }
}
