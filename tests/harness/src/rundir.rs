//! Directories: where built programs are kept, and one for each test process, with its logs and certificates.
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What Cargo writes into its target directory: the tag only where it makes the directory itself.
const MARKS: [&str; 2] = ["CACHEDIR.TAG", ".rustc_info.json"];

/// Cargo's target directory, found from the test binary that lies in it.
pub fn target() -> PathBuf {
    let binary = std::env::current_exe().unwrap_or_default();
    let is_marked = |dir: &&Path| MARKS.iter().any(|mark| dir.join(mark).exists());
    let marked = binary.ancestors().find(is_marked);
    marked.map_or_else(|| workspace().join("target"), Path::to_path_buf)
}

/// The root of the sources, without `..` in it: the kubelet takes no such path.
pub fn workspace() -> PathBuf {
    let harness = Path::new(env!("CARGO_MANIFEST_DIR"));
    harness.ancestors().nth(2).unwrap_or(harness).to_path_buf()
}

#[test]
fn the_root_is_the_one_that_holds_the_lock_file() {
    assert!(workspace().join("Cargo.lock").exists());
    assert!(workspace().components().all(|part| part.as_os_str() != ".."));
}

/// A directory for this test process. It stays when the process ends, so that its logs can be read, and is removed by
/// the next one that makes its own.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Locked as long as the process lives.
    _alive: File,
}

impl RunDir {
    /// Makes the directory, and removes those of processes that are gone.
    ///
    /// # Errors
    /// When the target directory cannot be written.
    pub fn create() -> Result<RunDir> {
        let all = target().join("kubernetes/run");
        fs::create_dir_all(&all).with_context(|| format!("failed to create {}", all.display()))?;
        let turn = File::create(all.join("lock"))?;
        turn.lock()?;
        sweep(&all)?;
        let path = all.join(std::process::id().to_string());
        fs::create_dir_all(&path)?;
        let alive = File::create(path.join("alive"))?;
        alive.lock()?;
        Ok(RunDir { path, _alive: alive })
    }

    /// Its path, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn sweep(all: &Path) -> Result<()> {
    for entry in fs::read_dir(all)?.flatten() {
        let gone = File::open(entry.path().join("alive")).is_ok_and(|alive| alive.try_lock().is_ok());
        if gone {
            // The keeper of a process that has just been killed may be at it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}
