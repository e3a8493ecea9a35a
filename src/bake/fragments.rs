//! What the store knows of fragments. Images that share distributions ask for the same, so each answer is read once in a run
//! and kept; that something is absent is not kept, for it may be made.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use crate::layer::{self, Fragment, InstalledFile};
use crate::model::Key;
use crate::store::Store;

/// Answers by fragment key.
#[derive(Default)]
pub struct Fragments {
    fragments: Memo<Fragment>,
    files: Memo<Vec<InstalledFile>>,
    modules: Memo<BTreeSet<String>>,
}

struct Memo<T>(Mutex<HashMap<Key, Arc<T>>>);

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Memo<T> {
    fn get(
        &self,
        key: &Key,
        find: impl FnOnce() -> Result<Option<T>, Error>,
    ) -> Result<Option<Arc<T>>, Error> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known().get(key) {
            return Ok(Some(Arc::clone(value)));
        }
        let found = find()?.map(Arc::new);
        if let Some(value) = &found {
            known().insert(*key, Arc::clone(value));
        }
        Ok(found)
    }
}

impl Fragments {
    /// A fragment that the store has, with the list of its files.
    pub fn fragment(&self, store: &Store, key: &Key) -> Result<Option<Arc<Fragment>>, Error> {
        self.fragments.get(key, || {
            let fragment = layer::stored_fragment(store, key)?;
            Ok(fragment.filter(|_| layer::has_fragment_files(store, key)))
        })
    }

    /// The files of a fragment, sorted by path; `None` if the store does not know it.
    pub fn files(&self, store: &Store, key: &Key) -> Result<Option<Arc<Vec<InstalledFile>>>, Error> {
        self.files.get(key, || Ok(layer::fragment_files(store, key)?))
    }

    /// The modules that a fragment makes importable from the directory `site`, which follows from its key; `None` if the
    /// store does not know it.
    pub fn modules(
        &self,
        store: &Store,
        key: &Key,
        site: &str,
    ) -> Result<Option<Arc<BTreeSet<String>>>, Error> {
        self.modules.get(key, || {
            let Some(files) = self.files(store, key)? else { return Ok(None) };
            Ok(Some(files.iter().filter_map(|file| module(file.path.strip_prefix(site)?)).collect()))
        })
    }
}

/// The module that a file of `site-packages` makes importable.
fn module(path: &str) -> Option<String> {
    match path.split_once('/') {
        None => path.strip_suffix(".py").map(str::to_owned),
        Some((package, "__init__.py")) => Some(package.to_owned()),
        Some(_) => None,
    }
}
