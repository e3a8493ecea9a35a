//! Removing what is not used any more, or everything.
//!
//! Nothing that is left may be wrong because of what is gone. Blobs and records are looked for before they are used, and
//! count as absent without each other, so any part of the store may go; it only must not go under a run that has just
//! found it, and therefore who removes has the store alone.

use std::fs::{self, File, Metadata, TryLockError};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Error, Store};

/// How old a modification time must be before use renews it.
const RENEWAL: Duration = Duration::from_secs(24 * 60 * 60);

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A store that nobody else uses.
#[derive(Debug)]
pub struct StoreAlone(Store);

impl StoreAlone {
    /// Opens the store and waits until no run uses it; `waiting` is called if there is one. Runs that begin meanwhile wait
    /// in turn.
    pub fn open(directory: &Path, waiting: impl FnOnce()) -> Result<Self, Error> {
        let store = Store::open(directory)?;
        let locked = match store.lock.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                waiting();
                store.lock.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
        };
        locked.map_err(Error::io("lock", &store.root))?;
        Ok(Self(store))
    }

    /// Removes what nobody used for as long as `unused`, and what killed processes left behind.
    pub fn prune(&self, unused: Duration) -> Result<Removed, Error> {
        let limit = SystemTime::now().checked_sub(unused).unwrap_or(SystemTime::UNIX_EPOCH);
        self.remove(&|metadata| metadata.modified().is_ok_and(|used| used <= limit))
    }

    /// Removes everything.
    pub fn clean(&self) -> Result<Removed, Error> {
        self.remove(&|_| true)
    }

    fn remove(&self, may_go: &dyn Fn(&Metadata) -> bool) -> Result<Removed, Error> {
        let mut removed = Removed::default();
        let root = &self.0.root;
        for entry in fs::read_dir(root).map_err(Error::io("list", root))? {
            let entry = entry.map_err(Error::io("list", root))?;
            // Nobody is there who could be writing them.
            let is_temporary = entry.file_name() == "tmp";
            below(&entry.path(), &|metadata| is_temporary || may_go(metadata), &mut removed)?;
        }
        Ok(removed)
    }
}

/// Removes files below `path` that may go, and the directories that are empty then.
fn below(path: &Path, may_go: &dyn Fn(&Metadata) -> bool, removed: &mut Removed) -> Result<(), Error> {
    for entry in fs::read_dir(path).map_err(Error::io("list", path))? {
        let entry = entry.map_err(Error::io("list", path))?;
        let (path, metadata) = (entry.path(), entry.metadata());
        let metadata = metadata.map_err(Error::io("read", &path))?;
        if metadata.is_dir() {
            below(&path, may_go, removed)?;
            // Fails where something is left in it.
            let _ = fs::remove_dir(&path);
        } else if may_go(&metadata) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            removed.files += 1;
            removed.bytes += metadata.len();
        }
    }
    Ok(())
}

/// Takes note that a file is used. What cannot be noted is made again some day.
pub(super) fn touch(path: &Path, metadata: &Metadata) {
    let now = SystemTime::now();
    let is_old = |used: SystemTime| now.duration_since(used).is_ok_and(|age| age > RENEWAL);
    if metadata.modified().is_ok_and(is_old) {
        let _ = File::open(path).and_then(|file| file.set_modified(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeyHasher;

    fn age(path: &Path, age: Duration) {
        let then = SystemTime::now() - age;
        File::open(path).unwrap().set_modified(then).unwrap();
    }

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn what_is_used_stays() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let (used, unused) = (store.put_blob(b"used").unwrap(), store.put_blob(b"unused").unwrap());
        let keys = ["used", "unused"].map(|text| KeyHasher::new("test/1").text(text).finish());
        for (key, blob) in keys.iter().zip([&used, &unused]) {
            store.put_record("numbers", key, &1_u32).unwrap();
            age(&store.record_path("numbers", key), DAY * 40);
            age(blob.path(), DAY * 40);
        }
        assert!(store.blob(used.digest(), None).is_some());
        assert_eq!(store.record("numbers", &keys[0]).unwrap(), Some(1_u32));
        drop(store);

        let alone = StoreAlone::open(directory.path(), || panic!("nobody uses it")).unwrap();
        let removed = alone.prune(DAY * 30).unwrap();
        assert_eq!(removed, Removed { files: 2, bytes: 7 });
        drop(alone);
        let store = Store::open(directory.path()).unwrap();
        assert!(store.blob(used.digest(), None).is_some() && store.has_record("numbers", &keys[0]));
        assert!(store.blob(unused.digest(), None).is_none() && !store.has_record("numbers", &keys[1]));
    }

    #[test]
    fn nothing_is_removed_under_a_run() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let blob = store.put_blob(b"hello").unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let cleaning = scope.spawn(|| {
                let alone = StoreAlone::open(directory.path(), || sender.send(()).unwrap()).unwrap();
                alone.clean().unwrap()
            });
            receiver.recv().unwrap();
            assert!(blob.open().is_ok(), "the run still has it");
            drop(store);
            assert_eq!(cleaning.join().unwrap(), Removed { files: 1, bytes: 5 });
        });
        // The store is as good as new.
        let store = Store::open(directory.path()).unwrap();
        assert!(store.blob(blob.digest(), None).is_none());
        store.put_blob(b"hello").unwrap();
    }
}
