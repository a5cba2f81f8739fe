//! An application without HTTP: an item is a file, and so is its result.
//!
//! `in/<id>` appears whole, by a rename. The application writes `out/<id>`, or `failed/<id>` with the reason in it, by a rename too: a file
//! is taken as soon as it is there. All three, and `.new`, are emptied at the start: what is in them is from a worker that is gone, and its
//! items come again.
use super::{Handed, Outcome};
use crate::work::names::one_line;
use anyhow::{Context, Result};
use bytes::Bytes;
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a result is looked for: often at first, then less.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(100);

/// The shared directory.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    ready: Option<String>,
    timeout: Duration,
    /// Two items may have one name, one after the other.
    busy: Arc<Mutex<HashSet<String>>>,
}

impl Files {
    pub fn new(directory: PathBuf, ready: Option<String>, timeout: Duration) -> Result<Files> {
        for name in [".new", "in", "out", "failed"] {
            let path = directory.join(name);
            empty(&path).with_context(|| format!("failed to prepare {}", path.display()))?;
        }
        Ok(Files {
            directory,
            ready,
            timeout,
            busy: Arc::default(),
        })
    }

    pub fn is_up(&self) -> bool {
        self.ready
            .as_ref()
            .is_none_or(|name| self.directory.join(name).exists())
    }

    pub async fn call(&self, item: &Handed, longest: usize) -> Outcome {
        let taken = self
            .busy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(item.id.clone());
        if !taken {
            return Outcome::Away {
                reason: format!("another item is called {} too", item.id),
            };
        }
        let _busy = Busy {
            all: Arc::clone(&self.busy),
            id: item.id.clone(),
        };
        let place = Place::new(&self.directory, &item.id);
        let outcome = match place.write(&item.body) {
            Ok(()) => self.wait(&place, longest).await,
            Err(error) => Outcome::Failed {
                reason: format!("failed to write {}: {error}", place.input.display()),
                after: None,
            },
        };
        place.clear();
        outcome
    }

    async fn wait(&self, place: &Place, longest: usize) -> Outcome {
        let end = Instant::now() + self.timeout;
        let mut pause = FIRST_LOOK;
        loop {
            match place.look(longest) {
                Ok(Some(outcome)) => return outcome,
                Ok(None) if Instant::now() >= end => {
                    let reason = format!("no result within {} s", self.timeout.as_secs_f64());
                    return Outcome::Failed { reason, after: None };
                }
                Ok(None) => sleep(pause).await,
                Err(error) => {
                    return Outcome::Failed {
                        reason: format!("failed to read the result: {error}"),
                        after: None,
                    };
                }
            }
            pause = (pause * 2).min(LAST_LOOK);
        }
    }
}

fn empty(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(path)?,
    }
    // The application may be another user.
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
}

/// Gives the name free, also when the call is given up.
struct Busy {
    all: Arc<Mutex<HashSet<String>>>,
    id: String,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

struct Place {
    new: PathBuf,
    input: PathBuf,
    output: PathBuf,
    failed: PathBuf,
}

impl Place {
    fn new(directory: &Path, id: &str) -> Place {
        let at = |name: &str| directory.join(name).join(id);
        Place {
            new: at(".new"),
            input: at("in"),
            output: at("out"),
            failed: at("failed"),
        }
    }

    fn write(&self, body: &[u8]) -> std::io::Result<()> {
        self.clear();
        fs::write(&self.new, body)?;
        fs::set_permissions(&self.new, fs::Permissions::from_mode(0o666))?;
        fs::rename(&self.new, &self.input)
    }

    fn look(&self, longest: usize) -> std::io::Result<Option<Outcome>> {
        if let Some(size) = size(&self.output)? {
            if size > longest as u64 {
                let reason = format!("the result is above {longest} bytes, more than the NATS server takes");
                return Ok(Some(Outcome::Refused { reason }));
            }
            let body = Bytes::from(fs::read(&self.output)?);
            return Ok(Some(Outcome::Done {
                body,
                headers: Vec::new(),
            }));
        }
        if size(&self.failed)?.is_some() {
            let said = one_line(&String::from_utf8_lossy(&fs::read(&self.failed)?));
            let reason = if said.is_empty() {
                "the application says no reason".to_owned()
            } else {
                said
            };
            return Ok(Some(Outcome::Failed { reason, after: None }));
        }
        Ok(None)
    }

    fn clear(&self) {
        for file in [&self.new, &self.input, &self.output, &self.failed] {
            let _ = fs::remove_file(file);
        }
    }
}

fn size(file: &Path) -> std::io::Result<Option<u64>> {
    match fs::metadata(file) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
