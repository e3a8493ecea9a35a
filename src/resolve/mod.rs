//! Requirements and a target in, pinned distributions out; explains conflicts.
//!
//! The solver is PubGrub, driven step by step (`solver`): propagate, choose a package (`priority`), choose one of its
//! versions (`rules`), add what that version requires (`dependencies`). Everything it needs to know comes from a
//! [`Source`], which fetches ahead what will probably be asked next. Only metadata is fetched, never an archive.

mod dependencies;
mod error;
mod explain;
mod facts;
mod manifest;
mod markers;
mod options;
mod package;
mod prefetch;
mod priority;
mod ranges;
mod rules;
mod solver;
mod source;

pub use error::Error;
pub use options::{Options, PrereleaseMode, Strategy, UnknownValue};
pub use source::{Choose, Fault, IndexSource, Source};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use crate::index::Metadata;
use crate::model::{Digest, PackageName, Pin, Requirement, Target, Version, Warning};

/// Room for the explanation of long conflicts, which are trees as deep as the conflict is long. It is reserved, not
/// used, until needed.
const STACK_SIZE: usize = 64 * 1024 * 1024;

/// What to resolve.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is required.
    pub requirements: &'a [Requirement],
    /// What versions are allowed of packages that turn out to be required.
    pub constraints: &'a [Requirement],
    /// What is required instead of everything that anyone requires of the same packages. A package whose overrides'
    /// markers do not hold is not required at all.
    pub overrides: &'a [Requirement],
    /// What it must run on.
    pub target: Target,
    /// Versions that are taken where they satisfy everything: the pins of the old lock.
    pub preferences: &'a BTreeMap<PackageName, Version>,
    /// The only hashes allowed, for packages that have any.
    pub hashes: &'a BTreeMap<PackageName, Vec<Digest>>,
    /// What is there already. It is taken before anything else where it satisfies everything, and counts with what it
    /// requires in turn; what is required from a URL or by its hash is not taken from here.
    pub installed: &'a BTreeMap<PackageName, Arc<Metadata>>,
    /// The user's choices.
    pub options: Options,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Every distribution to install, sorted by name.
    pub pins: Vec<Pin>,
    /// What is there already and serves as it is, sorted by name.
    pub installed: Vec<(PackageName, Version)>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

/// Finds the distributions that satisfy a request. Blocks until it is done; does not need, and must not be called on, a
/// thread that runs asynchronous tasks.
pub fn resolve(request: &Request<'_>, source: &dyn Source) -> Result<Resolution, Error> {
    thread::scope(|scope| {
        let solver = thread::Builder::new()
            .name("resolve".to_owned())
            .stack_size(STACK_SIZE)
            .spawn_scoped(scope, || solver::solve(request, source))
            .map_err(Error::Thread)?;
        solver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
