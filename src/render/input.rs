//! Reads the files that are named, and takes them apart into documents.
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::Unusable;
use crate::{
    manifest::{self, Part, Value},
    regular_file,
    store::documents::is_manifest,
};

/// Largest input, in bytes.
const LARGEST: u64 = 256 << 20;

/// A file, or standard input.
#[derive(Debug)]
pub struct Source {
    /// For people: its path, or `stdin`.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// One document of a source.
#[derive(Debug)]
pub struct Document {
    /// Which of the sources.
    pub source: usize,
    /// Counted from 1 within it, without those that hold nothing.
    pub number: usize,
    /// Where it is in the source.
    pub part: Part,
    /// `None` when there is nothing but comments.
    pub value: Option<Value>,
}

/// Reads each of `names`: a file, a directory of manifests, or `-`.
///
/// # Errors
/// When one cannot be read; all of them are told.
pub fn read(names: &[PathBuf], recursive: bool) -> Result<Vec<Source>, Unusable> {
    let (mut sources, mut unusable) = (Vec::new(), Unusable::default());
    for name in names {
        if name.as_os_str() == "-" {
            if sources.iter().any(|source: &Source| source.name == "stdin") {
                unusable
                    .0
                    .push("-f - is there twice; standard input can be read once".into());
                continue;
            }
            take("stdin".into(), text_of(io::stdin().lock()), &mut sources, &mut unusable);
            continue;
        }
        match files(name, recursive) {
            Ok(files) if files.is_empty() => unusable.0.push(format!(
                "failed to read {}: there is no *.yaml, *.yml or *.json in it; -R looks into directories below",
                name.display()
            )),
            Ok(files) => {
                for file in files {
                    let text = if file == *name {
                        File::open(&file).and_then(text_of)
                    } else {
                        // Nobody has asked for this very file, so it must not hold the run up.
                        regular_file::read(&file, LARGEST).and_then(text)
                    };
                    take(file.display().to_string(), text, &mut sources, &mut unusable);
                }
            }
            Err(error) => unusable.0.push(format!("failed to read {}: {error}", name.display())),
        }
    }
    unusable.unless_any(sources)
}

fn take(name: String, text: io::Result<String>, sources: &mut Vec<Source>, unusable: &mut Unusable) {
    match text {
        Ok(text) => sources.push(Source { name, text }),
        Err(error) => unusable.0.push(format!("failed to read {name}: {error}")),
    }
}

/// A file as it is; of a directory the manifests in it, by name.
fn files(path: &Path, recursive: bool) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.path();
        // As kubectl does it, a symlink to a directory is not followed: so there is no loop.
        if entry.file_type()?.is_dir() {
            if recursive {
                found.extend(files(&path, true)?);
            }
        } else if is_manifest(&path) && !path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

fn text_of(reader: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    reader.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!(
            "it is larger than {} MiB; split it",
            LARGEST >> 20
        )));
    }
    text(bytes)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        io::Error::other(format!("line {line} is not UTF-8; convert it"))
    })
}

/// The documents of all sources, in order.
///
/// # Errors
/// When one cannot be read; all of them are told.
pub fn documents(sources: &[Source]) -> Result<Vec<Document>, Unusable> {
    let (mut documents, mut unusable) = (Vec::new(), Unusable::default());
    for (index, source) in sources.iter().enumerate() {
        let complain = |error: manifest::ManifestError| match error.line {
            Some(line) => format!("{}:{line}: {}", source.name, error.message),
            None => format!("{}: {}", source.name, error.message),
        };
        let parts = match manifest::split(&source.text) {
            Ok(parts) => parts,
            Err(error) => {
                unusable.0.push(complain(error));
                continue;
            }
        };
        let mut number = 0;
        for part in parts {
            match part.read(&source.text) {
                Ok(value) => {
                    number += usize::from(value.is_some());
                    documents.push(Document {
                        source: index,
                        number,
                        part,
                        value,
                    });
                }
                Err(error) => unusable.0.push(complain(error)),
            }
        }
    }
    unusable.unless_any(documents)
}
