//! The OCI distribution protocol (auth, pull, push, mount) and OCI layouts as destinations and sources.
//!
//! A *registry* serves *repositories*; a repository holds *blobs* (bytes by digest) and *manifests* (small documents, by
//! digest or *tag*). [`Registries`] is all the registries of a run: credentials, tokens and what is known to exist are
//! shared by everything that comes from it. A [`Layout`] holds the same things in a directory.

mod access;
mod auth;
mod body;
mod challenge;
mod credentials;
mod error;
mod host;
mod layout;
mod manifest;
mod pull;
mod push;
mod repository;

pub use credentials::Credentials;
pub use error::{Error, Login, Refusal};
pub use layout::{CheckedReader, Layout};
pub use manifest::{MAX_MANIFEST_SIZE, Manifest};
pub use oci_client::Reference;
pub use oci_client::errors::OciErrorCode;
pub use push::Pushed;
pub use repository::{Registries, Repository};
