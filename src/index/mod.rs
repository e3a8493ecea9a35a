//! Where distributions come from: the Simple API, metadata, range requests, candidates.

use std::collections::BTreeMap;

use pep508_rs::{ExtraName, PackageName};
use url::Url;

use crate::model::{Archive, Digest, ExitCode, Version, VersionSpecifiers};

/// What can go wrong with an index.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No index has the package.
    #[error("no index has a package named `{name}`")]
    UnknownPackage {
        /// The name.
        name: PackageName,
    },
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::Index
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// All releases of a package on an index.
#[derive(Debug, Clone)]
pub struct Releases {
    /// The package.
    pub name: PackageName,
    /// The index.
    pub index: Url,
    /// The files of each version.
    pub versions: BTreeMap<Version, Vec<ReleaseFile>>,
}

/// One file of a release.
#[derive(Debug, Clone)]
pub struct ReleaseFile {
    /// The archive.
    pub archive: Archive,
    /// The Python versions it supports.
    pub requires_python: Option<VersionSpecifiers>,
    /// Why it was yanked, if it was.
    pub yanked: Option<String>,
    /// When it was uploaded.
    pub upload_time: Option<String>,
    /// The hash of its metadata file, if the index offers one.
    pub metadata_sha256: Option<Digest>,
}

/// The metadata of a distribution that matter for resolving.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// The name.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// What it requires.
    pub requires_dist: Vec<pep508_rs::Requirement<Url>>,
    /// The Python versions it supports.
    pub requires_python: Option<VersionSpecifiers>,
    /// The extras it offers.
    pub provides_extras: Vec<ExtraName>,
}
