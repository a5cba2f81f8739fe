//! What this machine has: programs, free ports, and patience.
pub use outrigger_harness::cargo::runtime;
use outrigger_harness::demand::{Absent, available};
use outrigger_harness::port;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The program that all this is about.
pub const OUTRIGGER: &str = env!("CARGO_BIN_EXE_outrigger");

/// The program of a Debian package; `None` when the test shall be left out.
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    // An ordinary user's PATH may lack the last two.
    let directories = path.split(':').chain(["/usr/sbin", "/sbin"]);
    let found = directories
        .map(|directory| Path::new(directory).join(name))
        .find(|file| file.is_file());
    available(
        found.ok_or_else(|| Absent::NotInstalled(format!("{name} is needed (Debian: apt-get install {package})"))),
    )
}

/// Several free ports.
pub fn free_ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| port::free().unwrap())
}

/// Tries until there is a result.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether the tests may start programs as another user.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
