//! A directory for work of which only results are kept.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Error;

/// A directory that is removed with all that is in it when it is dropped. While it is there it is locked, so that nobody
/// sweeps it.
#[derive(Debug)]
pub struct TemporaryDirectory {
    path: PathBuf,
    _lock: File,
}

impl TemporaryDirectory {
    /// Creates it, for this user alone.
    pub(super) fn new(path: &Path) -> Result<Self, Error> {
        DirBuilder::new().mode(0o700).create(path).map_err(Error::io("create", path))?;
        let lock = File::open(path).map_err(Error::io("open", path))?;
        let _ = lock.try_lock();
        let path = path.canonicalize().map_err(Error::io("open", path))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is, with every symbolic link resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if fs::remove_dir_all(&self.path).is_err() {
            // Whoever worked in it may have left directories that nobody may write to.
            writable(&self.path, 0);
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes directories writable for their owner.
fn writable(path: &Path, depth: usize) {
    const DEEPEST: usize = 200;
    if depth > DEEPEST || fs::set_permissions(path, fs::Permissions::from_mode(0o700)).is_err() {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            writable(&entry.path(), depth + 1);
        }
    }
}
