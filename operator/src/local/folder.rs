//! `DIR`, the folder that local mode keeps between runs.
//!
//! Invariant: one local mode at a time uses it; the lock ends with the process, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The data folder, locked.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another local mode uses it.
    #[error("{0} is in use by another local mode: stop that one, or use another --data")]
    InUse(PathBuf),
    /// It cannot be made or written.
    #[error("cannot use the data folder {0}: {1}")]
    Io(PathBuf, #[source] io::Error),
}

impl Folder {
    /// Makes it where it is absent and locks it.
    ///
    /// # Errors
    /// [`FolderError`]
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |error| FolderError::Io(path.to_path_buf(), error);
        std::fs::create_dir_all(path).map_err(failed)?;
        let path = std::path::absolute(path).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path)),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// A file or folder in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let first = Folder::open(&path).unwrap();
        let error = Folder::open(&path).unwrap_err().to_string();
        assert!(
            error
                .ends_with("is in use by another local mode: stop that one, or use another --data")
        );
        drop(first);
        Folder::open(&path).unwrap();
    }
}
