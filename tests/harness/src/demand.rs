//! What happens when a tool that a test needs is not installed.
//!
//! Plain `cargo test` leaves the test out and says so in one visible line; with `OUTRIGGER_TEST_DEMAND=all`, which
//! `make test` and CI set, the test fails instead. What can be had only on another machine, or by another user, is left out then
//! too, with one line for all tests that need it. Nothing is left out silently.
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// Why something that a test needs is not there.
#[derive(Debug, Clone)]
pub enum Absent {
    /// A tool is not installed; the text says what to install.
    NotInstalled(String),
    /// Nothing that could be installed would help, here or for this user; the text says what it needs.
    Elsewhere(String),
    /// It is installed and does not work.
    Broken(String),
}

/// The thing, or `None` when the test shall return at once because a tool is missing.
///
/// # Panics
/// When it is broken, or missing although everything is demanded.
pub fn available<T>(found: Result<T, Absent>) -> Option<T> {
    match found {
        Ok(thing) => Some(thing),
        Err(Absent::Broken(why)) => panic!("{why}"),
        Err(Absent::Elsewhere(why)) => {
            static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
            let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
            if said.insert(why.clone()) {
                say(&format!("left out: {why}"));
            }
            None
        }
        Err(Absent::NotInstalled(what)) if everything_is_demanded() => {
            panic!("OUTRIGGER_TEST_DEMAND=all, but {what}")
        }
        Err(Absent::NotInstalled(what)) => {
            let thread = std::thread::current();
            say(&format!("left out: {}: {what}", thread.name().unwrap_or("a test")));
            None
        }
    }
}

/// Whether a missing tool is an error.
pub fn everything_is_demanded() -> bool {
    std::env::var("OUTRIGGER_TEST_DEMAND").is_ok_and(|demand| demand == "all")
}

/// Writes one line for the person who runs the tests, past libtest, which captures `print!` and `eprint!`.
pub fn say(line: &str) {
    // A closed stderr is no reason to fail a test.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
