//! Directories: where built programs are kept, and one for each test process, with its logs and certificates.
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Cargo's target directory, found from the test binary that lies in it.
pub fn target() -> PathBuf {
    let binary = std::env::current_exe().unwrap_or_default();
    let marked = binary.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    marked.map_or_else(|| workspace().join("target"), Path::to_path_buf)
}

/// The root of the sources.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .components()
        .collect()
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
