//! The OCI distribution protocol (auth, pull, push, mount) and OCI layouts as destinations and sources.
//!
//! A *registry* serves *repositories*; a repository holds *blobs* (bytes by digest) and *manifests* (small documents, by
//! digest or *tag*). [`Registries`] is all the registries of a run: credentials, tokens and what is known to exist are
//! shared by everything that comes from it. A [`Layout`] holds the same things in a directory, or in an archive that is
//! read as one; an [`ArchiveWriter`] writes such archives.

mod access;
mod archive;
mod auth;
mod body;
mod challenge;
mod credentials;
mod docker_archive;
mod error;
mod host;
mod layout;
mod manifest;
mod pull;
mod push;
mod repository;
mod tarball;

pub use archive::{ArchiveFormat, ArchiveWriter};
pub use credentials::Credentials;
pub use error::{Error, Login, Refusal};
pub use layout::{CheckedReader, Layout, index_document, layout_marker};
pub use manifest::{MAX_MANIFEST_SIZE, Manifest};
pub use oci_client::Reference;
pub use oci_client::errors::OciErrorCode;
pub use push::Pushed;
pub use repository::{Registries, Repository};
