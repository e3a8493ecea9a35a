//! Fragments and layers: deterministic tar, the gzip splice, grouping.
//!
//! A *fragment* is a distribution's files as tar entries, compressed as whole gzip members (or zstd frames). A *layer* is fragments laid
//! end to end, with the end-of-archive member after them. Since these may be concatenated, a fragment is made
//! once and serves every layer it is ever part of; a layer is not stored at all, but read from its fragments.
//!
//! ```text
//! wheel ──build_fragment──▶ Fragment ─┐
//! wheel ──build_fragment──▶ Fragment ─┼─assemble──▶ Layer ──open──▶ bytes
//! files ──files_layer───────────────────────────▶ Layer ──open──▶ bytes
//! entries ─EntryWriter──▶ Fragment ─assemble────▶ Layer ──open──▶ bytes
//! ```
//!
//! Everything is a pure function of its inputs: the same bytes on every machine, with any number of jobs.

mod assemble;
mod compression;
mod error;
mod files;
mod fragment;
mod group;
mod splice;
mod tar;
mod writer;
mod zstd;

pub use assemble::{Head, Layer, LayerReader, Piece, assemble, layer_key, open, stored_layer};
pub use compression::Compression;
pub use error::Error;
pub use files::{FileEntry, FileKind, FileSource, files_key, files_layer};
pub use fragment::{
    Extent, Fragment, InstalledFile, WheelInputs, build_fragment, fragment_files, fragment_key,
    has_fragment_files, stored_fragment,
};
pub use group::{Collision, Item, LARGE, collisions, group, part_colliding};
pub use writer::{Attributes, EntryWriter, entries_key};

/// Where the environment is in the image, without the leading `/`.
pub const PREFIX: &str = "opt/venv";

/// The modification time of everything in a layer: 1980-01-02 00:00 UTC. Zip files cannot say a date before 1980, and
/// programs that pack what is installed fail on one; the second day is past that limit in every time zone.
pub const MTIME: u64 = 315_619_200;
