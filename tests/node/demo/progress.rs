//! What has been done, and when: lines on stderr, for who waits.
use std::io::Write;
use std::time::Instant;

pub struct Progress {
    begun: Instant,
}

impl Progress {
    pub fn begin() -> Progress {
        Progress { begun: Instant::now() }
    }

    /// Something is done.
    pub fn done(&self, what: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        // A closed stderr is no reason to stop.
        let _ = writeln!(std::io::stderr().lock(), "{seconds:6.1} s  {what}");
    }
}
