//! Sources on disk, in a directory that goes away with them.

use std::path::PathBuf;

use tokio::sync::Mutex;

use super::metadata::{self, Claims};
use super::{Error, Shared, directory, git, unpack, what};
use crate::model::BuiltFrom;
use crate::store::TemporaryDirectory;

/// Unpacked sources, and what they say of themselves.
pub(super) struct Tree {
    /// Where the distribution is.
    pub root: PathBuf,
    pub claims: Claims,
    /// A backend may write into the tree: one call at a time.
    pub busy: Mutex<()>,
    _directory: TemporaryDirectory,
}

impl Tree {
    /// Unpacks sources, their hash checked.
    pub async fn open(shared: &Shared, from: &BuiltFrom) -> Result<Self, Error> {
        let index = &shared.index;
        let directory = index.store().temporary_directory()?;
        let into = directory.path().join("source");
        std::fs::create_dir(&into).map_err(Error::io("create", &into))?;
        let what = what(from);
        let (top, subdirectory) = match from {
            BuiltFrom::Sdist(archive) => {
                let blob = index.fetch(archive).await?;
                let name = archive.file_name.clone();
                (blocking(move || unpack::unpack(blob.open()?, &name, &into)).await?, None)
            }
            BuiltFrom::Archive { archive, subdirectory } => {
                let blob = index.fetch(archive).await?;
                let name = archive.file_name.clone();
                let top = blocking(move || unpack::unpack(blob.open()?, &name, &into)).await?;
                (top, subdirectory.clone())
            }
            BuiltFrom::Git { repository, requested, commit, subdirectory } => {
                let (remote, requested, commit) =
                    (git::Remote::new(shared, repository), requested.clone(), commit.clone());
                let checkout = move || {
                    remote.check_out(requested.as_deref(), &commit, &into)?;
                    Ok(into)
                };
                (blocking(checkout).await?, subdirectory.clone())
            }
            BuiltFrom::Directory { path, .. } => {
                let path = path.clone();
                let copy = move || {
                    directory::copy(&path, &into)?;
                    Ok(into)
                };
                (blocking(copy).await?, None)
            }
        };
        let root = match subdirectory {
            None => top,
            Some(subdirectory) => {
                let root = top.join(&subdirectory);
                if !root.canonicalize().is_ok_and(|real| real.starts_with(&top) && real.is_dir()) {
                    let reason = format!("it has no directory `{}`", subdirectory.escape_debug());
                    return Err(Error::Unusable { what, reason });
                }
                root
            }
        };
        let claims = metadata::read(&root, &what)?;
        Ok(Self { root, claims, busy: Mutex::default(), _directory: directory })
    }
}

/// Runs what blocks apart from the threads that serve the network.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await?
}
