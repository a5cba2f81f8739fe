//! Finds the files of policies below a directory. It does not read them.
use super::documents;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

/// Directories below one another that are looked into.
const DEPTH: usize = 8;
/// Directories that are looked into at all: a symlink may lead to a file system of any size.
const DIRECTORIES: usize = 1000;

/// What is in a directory and those below.
#[derive(Debug, Default)]
pub struct Listing {
    /// Each file under one name.
    pub files: BTreeSet<PathBuf>,
    /// Directories, and why they cannot be read.
    pub unreadable: Vec<(PathBuf, std::io::Error)>,
}

impl Listing {
    /// What is in `root` and below. It goes level by level, so that a directory that several names lead to is entered by the
    /// shortest.
    ///
    /// # Errors
    /// When `root` itself cannot be read.
    pub fn of(root: &Path) -> std::io::Result<Listing> {
        let mut listing = Listing::default();
        let mut visited = HashSet::from([fs::canonicalize(root)?]);
        let mut files = BTreeMap::new();
        let mut below = VecDeque::new();
        Self::add(root, &mut files, &mut below)?;
        for _ in 0..DEPTH {
            for directory in std::mem::take(&mut below) {
                let seen = fs::canonicalize(&directory).map(|real| !visited.insert(real));
                let outcome = match seen {
                    Ok(true) => Ok(()),
                    Ok(false) if visited.len() > DIRECTORIES => Err(too_many()),
                    Ok(false) => Self::add(&directory, &mut files, &mut below),
                    Err(error) => Err(error),
                };
                if let Err(error) = outcome {
                    listing.unreadable.push((directory, error));
                }
            }
        }
        listing.files = files.into_values().collect();
        Ok(listing)
    }

    /// Adds what is in `directory`: each file under the first name that leads to it.
    fn add(
        directory: &Path,
        files: &mut BTreeMap<PathBuf, PathBuf>,
        below: &mut VecDeque<PathBuf>,
    ) -> std::io::Result<()> {
        let entries = fs::read_dir(directory)?.collect::<std::io::Result<Vec<_>>>()?;
        let paths: BTreeSet<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        for path in paths.into_iter().filter(|path| !is_hidden(path)) {
            if path.is_dir() {
                below.push_back(path);
            } else if documents::is_manifest(&path) && path.file_stem().is_none_or(|stem| stem != "test") {
                // One that leads nowhere is listed all the same: reading it says why.
                let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
                files.entry(real).or_insert(path);
            }
        }
        Ok(())
    }

    /// Listed, or in a directory that could not be listed.
    pub fn covers(&self, path: &PathBuf) -> bool {
        self.files.contains(path) || self.unreadable.iter().any(|(directory, _)| path.starts_with(directory))
    }
}

/// Hidden ones are no one's policies; kubelet keeps the versions of a ConfigMap in `..<time>`.
fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn too_many() -> std::io::Error {
    std::io::Error::other(format!("there are more than {DIRECTORIES} directories"))
}
