//! How long from the start of the process until it is ready, with the bundled policies.
use crate::{process::Process, scenario::bundled};
use anyhow::Result;
use std::{path::Path, time::Instant};
use tempfile::TempDir;

pub const NAME: &str = "start";

/// In milliseconds, one for each start.
pub struct Starts {
    /// Without a certificate: an authority and one signed by it are made.
    pub first: Vec<f64>,
    /// With the certificate of an earlier start.
    pub next: Vec<f64>,
}

pub fn measure(program: &Path, rounds: usize) -> Result<Starts> {
    let mut starts = Starts {
        first: Vec::new(),
        next: Vec::new(),
    };
    for _ in 0..rounds {
        let directory = TempDir::new()?;
        starts.first.push(once(program, directory.path())?);
        starts.next.push(once(program, directory.path())?);
    }
    Ok(starts)
}

fn once(program: &Path, certificates: &Path) -> Result<f64> {
    let started = Instant::now();
    let process = Process::outrigger(program, certificates, &[Path::new("--policies"), &bundled()])?;
    process.wait_until_ready()?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}
