//! The memory of a process, as Linux accounts for it.
use anyhow::{Context, Result};
use std::fs;

/// In bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// What is in memory now.
    pub resident: u64,
    /// What of that is the process's own; the rest are pages of files, its program's above all.
    pub own: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Memory {
    /// That of the process with this number.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(process: u32) -> Result<Memory> {
        let path = format!("/proc/{process}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kib.map(|kib| kib * 1024)
                .with_context(|| format!("{path} has no {key}"))
        };
        Ok(Memory {
            resident: bytes("VmRSS:")?,
            own: bytes("RssAnon:")?,
            peak: bytes("VmHWM:")?,
        })
    }
}

#[test]
fn a_process_has_more_memory_than_it_calls_its_own() {
    let memory = Memory::of(std::process::id()).unwrap();
    assert!(
        0 < memory.own && memory.own < memory.resident && memory.resident <= memory.peak,
        "{memory:?}"
    );
    assert!(Memory::of(u32::MAX).is_err());
}
