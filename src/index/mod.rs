//! Where distributions come from: the Simple API, metadata, range requests, downloads.
//!
//! An [`Index`] answers four questions, each once a run however many ask: which [`Releases`] a project has, what the
//! [`Metadata`] of one file says, what stands behind a direct URL, and where in the store the bytes of an archive are.
//! Answers come from the store where they may, from the network otherwise.
//!
//! Several indexes are asked in turn, extra ones first, and the first that has a project serves all of its versions: so a
//! public index cannot slip a newer version under a private name. [`Settings`] may say otherwise.

mod cache;
mod client;
mod download;
mod error;
mod flights;
mod keyring;
mod lenient;
mod links;
mod lookup;
mod metadata;
mod netrc;
mod packed;
mod page;
mod probe;
mod releases;
mod settings;
mod sources;
mod tail;
mod typed;
mod web;

pub use client::{Counters, DEFAULT_INDEX_URL, Index, default_index_url};
pub use error::Error;
pub use metadata::Metadata;
pub use probe::fragment_hash;
pub use releases::{CoreMetadata, Files, Place, ReleaseFile, Releases};
pub use settings::{Settings, Strategy, StrategyError};
pub use sources::{Builder, names_sources};
