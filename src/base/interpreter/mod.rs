//! Pythons that a base lacks: relocatable CPython archives in the layout that python-build-standalone calls `install_only`
//! (`python/bin/python3.12`, `python/lib/…`) become a layer of their own.
//!
//! ```text
//! sources ──find──▶ lock ──archive──▶ fragment, facts ──▶ layer
//!                                         └──check── base: processor, loader, version of the C library
//! ```
//!
//! [`find`] chooses an archive and says what to lock; [`make`] makes the layer of exactly that. The layer follows from the
//! archive alone, so all images and bases share it. Nothing of an archive is run.

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

use super::contents::Python;
use super::debian::LockedPython;
use crate::layer::{self, Layer};
use crate::model::Libc;
use crate::store::Store;
use unpack::Facts;

/// Where the interpreter is in the image, without the leading `/`.
const PREFIX: &str = "opt/interpreter";

/// An interpreter in a layer of its own.
#[derive(Debug, Clone)]
pub struct Interpreter {
    /// The interpreter, as it will be found in the image.
    pub python: Python,
    /// Its full version.
    pub version: String,
    /// The layer; its bytes are in the store.
    pub layer: Arc<Layer>,
    /// Whether the layer was made in this run.
    pub built: bool,
    facts: Facts,
}

impl Interpreter {
    /// The C library that wheels for it must get along with, on a base that has `base`.
    pub fn libc(&self, base: Option<Libc>) -> Option<Libc> {
        if self.facts.is_static() {
            // Nothing can be loaded into it: of the wheels, those without compiled parts are left.
            return Some(Libc::Musl { major: 1, minor: 0 });
        }
        self.facts.own_libc().or(base)
    }
}

/// Makes the layer of exactly the archive of a lock.
pub async fn make(
    locked: &LockedPython,
    finder: &Finder<'_>,
    store: &Arc<Store>,
) -> Result<Interpreter, Error> {
    let name = locked.shown();
    let (known, built) = match unpack::stored(store, &locked.sha256)? {
        Some(known) => (known, false),
        None => {
            let archive = finder.fetch(locked).await?;
            (unpack::build(store, archive, name.clone()).await?, true)
        }
    };
    let (fragment, facts) = known;
    if facts.minor != locked.minor() {
        let problem = format!("it holds Python {} and not {}", facts.minor, locked.minor());
        return Err(Error::Archive { name, problem });
    }
    let layer = layer::assemble(store, &[fragment])?;
    let python = Python {
        minor: facts.minor,
        version: Some(facts.version(&locked.version)),
        executable: format!("/{PREFIX}/bin/python{}", facts.minor),
        found_as: Vec::new(),
        distributions: Vec::new(),
    };
    let version = facts.version(&locked.version);
    Ok(Interpreter { python, version, layer: Arc::new(layer), built, facts })
}
