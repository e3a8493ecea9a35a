//! Pythons that a base lacks: relocatable CPython archives in the layout that python-build-standalone calls `install_only`
//! (`python/bin/python3.12`, `python/lib/…`) become a layer of their own.
//!
//! ```text
//! sources ──find──▶ lock ──archive──▶ fragment, facts ──▶ layer
//!                                         └──check── base: processor, loader, version of the C library
//! ```
//!
//! [`find`] chooses an archive and says what to lock; [`make`] makes the layer of exactly that. The layer follows from the
//! archive alone, so all images and bases share it. Nothing of an archive is run. Where somebody made the layer before,
//! [`recalled`] takes it with what was found out then, and no archive is read.

mod elf;
mod error;
mod fetch;
mod name;
mod needs;
mod source;
mod unpack;

use std::sync::Arc;

pub use error::Error;
pub use fetch::{Finder, Wish};
pub use source::ArchiveSource;
pub use unpack::Facts;

use super::contents::Python;
use super::debian::LockedPython;
use super::open::Making;
use crate::layer::{self, Layer};
use crate::model::{Key, Libc};
use crate::store::Store;

/// Where the interpreter is in the image, without the leading `/`.
const PREFIX: &str = "opt/interpreter";

/// An interpreter in a layer of its own.
#[derive(Debug, Clone)]
pub struct Interpreter {
    /// The interpreter, as it will be found in the image.
    pub python: Python,
    /// Its full version.
    pub version: String,
    /// The layer; its bytes are in the store, unless it was recalled.
    pub layer: Arc<Layer>,
    /// How the layer was come by.
    pub making: Making,
    /// What is known of the archive.
    pub facts: Facts,
}

impl Interpreter {
    fn new(locked: &LockedPython, layer: Layer, facts: Facts, making: Making) -> Self {
        let version = facts.version(&locked.version);
        let python = Python {
            minor: facts.minor,
            version: Some(version.clone()),
            executable: format!("/{PREFIX}/bin/python{}", facts.minor),
            found_as: Vec::new(),
            distributions: Vec::new(),
        };
        Self { python, version, layer: Arc::new(layer), making, facts }
    }

    /// The C library that wheels for it must get along with, on a base that has `base`.
    pub fn libc(&self, base: Option<Libc>) -> Option<Libc> {
        if self.facts.is_static() {
            // Nothing can be loaded into it: of the wheels, those without compiled parts are left.
            return Some(Libc::Musl { major: 1, minor: 0 });
        }
        self.facts.own_libc().or(base)
    }
}

/// The layer's key: it follows from the lock alone.
pub fn layer_key(locked: &LockedPython) -> Key {
    layer::layer_key(&[unpack::key(&locked.sha256)])
}

/// The interpreter of exactly the archive of a lock, if its layer is in the store.
pub fn stored(locked: &LockedPython, store: &Store) -> Result<Option<Interpreter>, Error> {
    let Some((fragment, facts)) = unpack::stored(store, &locked.sha256)? else { return Ok(None) };
    check(locked, &facts)?;
    Ok(Some(Interpreter::new(locked, layer::assemble(store, &[fragment])?, facts, Making::Before)))
}

/// The interpreter of exactly the archive of a lock, whose layer somebody made before; `None` if it is another.
pub fn recalled(locked: &LockedPython, layer: Layer, facts: Facts) -> Option<Interpreter> {
    let is_meant = layer.key == layer_key(locked) && facts.minor == locked.minor();
    is_meant.then(|| Interpreter::new(locked, layer, facts, Making::Elsewhere))
}

/// Makes the layer of exactly the archive of a lock.
pub async fn make(
    locked: &LockedPython,
    finder: &Finder<'_>,
    store: &Arc<Store>,
) -> Result<Interpreter, Error> {
    if let Some(stored) = stored(locked, store)? {
        return Ok(stored);
    }
    let archive = finder.fetch(locked).await?;
    let (fragment, facts) = unpack::build(store, archive, locked.shown()).await?;
    check(locked, &facts)?;
    Ok(Interpreter::new(locked, layer::assemble(store, &[fragment])?, facts, Making::Now))
}

/// Checks that an archive holds the Python that the lock says.
fn check(locked: &LockedPython, facts: &Facts) -> Result<(), Error> {
    if facts.minor == locked.minor() {
        return Ok(());
    }
    let problem = format!("it holds Python {} and not {}", facts.minor, locked.minor());
    Err(Error::Archive { name: locked.shown(), problem })
}
