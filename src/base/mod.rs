//! Base images: where they come from and what is inside them.
//!
//! A base is named by a [`Source`]. [`find`] says once what that stands for, [`Found::open`] reads the documents for a
//! platform (from an image index, [`select_platform`] picks one image) and looks inside with [`inspect`]: that streams the layers once, in order, and gives the image's [`Contents`]: which
//! Pythons are where and what is installed for them, which C library there is, and which users. No container is run,
//! nothing is unpacked. The contents depend on nothing but the image, so they are kept as a record under
//! [`Contents::key`]. The room [`debian`] makes bases of Debian's packages,
//! and [`interpreter`] layers of Pythons that a base lacks.

mod archive;
mod contents;
pub mod debian;
mod document;
mod download;
mod error;
mod inspect;
mod installed;
pub mod interpreter;
mod open;
mod probe;
mod pythons;
mod source;
mod tree;

pub use contents::{Account, Contents, Distribution, Python};
pub use document::select_platform;
pub use error::Error;
pub use inspect::{Compression, Layer, inspect};
pub use open::{Base, Found, Making, find, open, open_debian};
pub use source::Source;
