//! `pylock.toml` (PEP 751): write, read, is it still true?
//!
//! A lock of ours names exactly one wheel for each distribution and target, with its hash; what it was made from stands
//! in `[tool.bakehouse]`. One file serves several platforms: what is the same for all of them is one entry, what is not has a
//! marker. In memory, each target has a [`Lock`] of its own.
//!
//! A lock that another tool made is read as far as it can be: its markers are evaluated for the target and the best wheel is
//! chosen. So is a `uv.lock`, and a requirements file that pins and hashes everything.

mod base;
mod built;
mod document;
mod error;
mod foreign;
mod inputs;
mod marker;
mod merge;
mod read;
mod uv;
mod write;

pub use base::{Base, BasePackage};
pub use error::Error;
pub use foreign::{PinnedRequirement, pinned, unmet};
pub use inputs::{Freshness, Inputs, freshness};
pub use read::{parse, parse_all};
pub use uv::parse_uv;
pub use write::{Written, to_toml, write, write_all};

use crate::model::{Key, Pin, Target};

/// What we call ourselves in `created-by`.
pub const CREATED_BY: &str = "bakehouse";

/// The contents of a lock, for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// What the pins are for. For a lock of another tool: what it was read for.
    pub target: Target,
    /// What it was made from; absent in a lock of another tool.
    pub inputs: Option<Key>,
    /// The distributions to install, sorted by name.
    pub pins: Vec<Pin>,
    /// The tool that made it.
    pub created_by: String,
    /// The requirements that it was made for, normalised and sorted; empty in a lock of another tool.
    pub requirements: Vec<String>,
    /// The base image that it was made on, where one was known; absent in a lock of another tool.
    pub base: Option<Base>,
    /// The options that it was made with, as canonical text; empty for the defaults and in a lock of another tool.
    pub options: String,
}

impl Lock {
    /// A lock of our own.
    pub fn new(inputs: &Inputs<'_>, mut pins: Vec<Pin>) -> Self {
        pins.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            target: inputs.target,
            inputs: Some(inputs.key()),
            pins,
            created_by: CREATED_BY.to_owned(),
            requirements: inputs.requirement_texts(),
            base: None,
            options: inputs.options.to_owned(),
        }
    }

    /// Whether another tool made it.
    pub fn is_foreign(&self) -> bool {
        self.created_by != CREATED_BY
    }
}
