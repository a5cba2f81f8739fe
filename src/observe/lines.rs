//! Log lines on their way out: gathered for a moment and written together, by a thread of its own.
//!
//! A write for each line, and waking who reads it, cost a call more than deciding about its Pod. No line is dropped: who logs
//! faster than can be written waits.
use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How long lines are gathered.
const MOMENT: Duration = Duration::from_millis(5);
/// Bytes that may wait.
const ROOM: usize = 1 << 20;

/// Where lines are written to; a copy is the same place.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Lines have come, or have gone.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Bytes that have come, and those of them that are written.
    accepted: u64,
    written: u64,
}

impl Lines {
    /// Lines that a thread writes to `out`.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn to(out: impl Write + Send + 'static) -> io::Result<Lines> {
        let lines = Lines::default();
        let shared = Arc::clone(&lines.0);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || shared.write_to(out))?;
        Ok(lines)
    }

    /// Returns when everything is written that was there before.
    pub fn flushed(&self) {
        let waiting = self.0.lock();
        let before = waiting.accepted;
        drop(self.0.wait_until(waiting, |waiting| waiting.written >= before));
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let has_room = |waiting: &mut Waiting| waiting.lines.len() < ROOM;
        let mut waiting = self.0.wait_until(self.0.lock(), has_room);
        waiting.lines.extend_from_slice(line);
        waiting.accepted += line.len() as u64;
        // Otherwise the thread knows of some already.
        if waiting.lines.len() == line.len() {
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until<'a>(
        &'a self,
        waiting: MutexGuard<'a, Waiting>,
        mut holds: impl FnMut(&mut Waiting) -> bool,
    ) -> MutexGuard<'a, Waiting> {
        self.changed
            .wait_while(waiting, |waiting| !holds(waiting))
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            drop(self.wait_until(self.lock(), |waiting| !waiting.lines.is_empty()));
            thread::sleep(MOMENT);
            std::mem::swap(&mut lines, &mut self.lock().lines);
            self.changed.notify_all();
            // There is nowhere left to say that it failed.
            let _ = out.write_all(&lines).and_then(|()| out.flush());
            self.lock().written += lines.len() as u64;
            self.changed.notify_all();
            lines.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what is written, piece by piece, and takes its time.
    #[derive(Clone, Default)]
    struct Slow(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            thread::sleep(Duration::from_millis(1));
            self.0.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_whole_and_many_at_once() {
        let out = Slow::default();
        let lines = Lines::to(out.clone()).unwrap();
        let loggers = (0..4).map(|logger| {
            let mut lines = lines.clone();
            thread::spawn(move || (0..500).for_each(|n| lines.write_all(format!("{logger} {n}\n").as_bytes()).unwrap()))
        });
        loggers
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|logger| logger.join().unwrap());
        lines.flushed();
        let pieces = out.0.lock().unwrap().clone();
        let text = String::from_utf8(pieces.concat()).unwrap();
        for logger in 0..4 {
            let mut numbers = text.lines().filter_map(|line| line.strip_prefix(&format!("{logger} ")));
            assert!((0..500).all(|n| numbers.next() == Some(&n.to_string())), "{text}");
        }
        assert!(pieces.len() < 1000, "{} writes for 2000 lines", pieces.len());
    }

    #[test]
    fn who_logs_faster_than_can_be_written_waits_and_loses_nothing() {
        let out = Slow::default();
        let mut lines = Lines::to(out.clone()).unwrap();
        let line = [b'x'; 300 << 10];
        for _ in 0..20 {
            lines.write_all(&line).unwrap();
            assert!(lines.0.lock().lines.len() < ROOM + line.len());
        }
        lines.flushed();
        assert_eq!(out.0.lock().unwrap().concat().len(), 20 * line.len());
    }
}
