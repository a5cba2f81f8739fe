//! Reads files whose names someone else fills in: a FIFO or a device under such a name must not hold the process up, nor an
//! endless one fill its memory. It does not know what is in them.
use std::{
    fs::{self, File, OpenOptions},
    io::{Error, ErrorKind, Read, Result},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The contents of a regular file of at most `most` bytes; symlinks are followed.
///
/// # Errors
/// When it cannot be read, is not a regular file, or is larger.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    // Opening some devices has effects, so the name is looked at before.
    check(&fs::metadata(path)?, most)?;
    let file = open(path)?;
    let found = file.metadata()?;
    check(&found, most)?;
    let mut contents = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    // It may have grown since, or say 0 as those of /proc do.
    file.take(most + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > most {
        return Err(too_large(most));
    }
    Ok(contents)
}

/// The same, as text.
///
/// # Errors
/// The same, and when it is not UTF-8.
pub fn read_to_string(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read(path, most)?).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}

/// Without O_NONBLOCK, opening a FIFO waits for whoever writes to it.
fn open(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

fn check(found: &fs::Metadata, most: u64) -> Result<()> {
    if !found.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    if found.len() > most {
        return Err(too_large(most));
    }
    Ok(())
}

fn too_large(most: u64) -> Error {
    Error::new(ErrorKind::FileTooLarge, format!("it is larger than {most} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_bound_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let fifo = std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
        assert!(fifo.success());
        fs::write(at("small"), "12345678").unwrap();
        fs::write(at("large"), "123456789").unwrap();
        File::create(at("sparse")).unwrap().set_len(1 << 40).unwrap();
        std::os::unix::fs::symlink(at("small"), at("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("device")).unwrap();
        for (name, message) in [
            ("fifo", "not a regular file"),
            ("device", "not a regular file"),
            ("", "not a regular file"),
            ("large", "larger than 8 bytes"),
            ("sparse", "larger than 8 bytes"),
            ("none", "No such file"),
        ] {
            let error = read(&at(name), 8).unwrap_err().to_string();
            assert!(error.contains(message), "{name}: {error}");
        }
        assert!(read(Path::new("/proc/self/status"), 8).is_err());
        assert_eq!(read(&at("link"), 8).unwrap(), b"12345678");
    }
}
