//! What a process logs, one JSON object a line.
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::ChildStderr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const LOGS_WITHIN: Duration = Duration::from_secs(60);

/// What has been logged so far; a thread reads on, so that the pipe never fills.
pub(crate) struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    pub(crate) fn of(stderr: ChildStderr) -> Arc<Log> {
        let log = Arc::new(Log {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                writer.update(|state| state.lines.push(line));
            }
            writer.update(|state| state.ended = true);
        });
        log
    }

    fn update(&self, change: impl FnOnce(&mut LogState)) {
        change(&mut self.state.lock().expect("a reader panicked"));
        self.changed.notify_all();
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.state.lock().expect("a reader panicked").lines.clone()
    }

    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Whether nobody can write to it any more: the process has come to its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.lock().expect("a reader panicked").ended
    }

    /// The fields of the first line with this message.
    pub(crate) fn wait_for(&self, message: &str) -> Value {
        let waiting = |state: &mut LogState| !state.ended && find(&state.lines, message).is_none();
        let state = self.state.lock().expect("a reader panicked");
        let waited = self
            .changed
            .wait_timeout_while(state, LOGS_WITHIN, waiting)
            .expect("a reader panicked");
        let found = find(&waited.0.lines, message);
        drop(waited);
        found.unwrap_or_else(|| panic!("the process did not log \"{message}\"; its log:\n{}", self.text()))
    }
}

/// The fields of a line are beside its message, whether that is at the top or under `fields`.
fn find(lines: &[String], message: &str) -> Option<Value> {
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut fields = lines.map(|mut line| {
        if line["fields"].is_object() {
            line["fields"].take()
        } else {
            line
        }
    });
    fields.find(|fields| fields["message"] == message)
}
