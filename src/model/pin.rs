//! Pinned distributions: what a resolution chooses, a lock records and a layer is made from.

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;
use url::Url;

use super::digest::Digest;
use super::wheel::WheelName;

/// The form of a distribution's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveKind {
    /// A wheel, with its parsed file name.
    Wheel(WheelName),
    /// A source distribution.
    Sdist,
}

/// One archive that can be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// What it is.
    pub kind: ArchiveKind,
    /// The file name, without any directory.
    pub file_name: String,
    /// Where it is: `https`, `http` or `file`. Never with credentials.
    pub url: Url,
    /// Its size in bytes, where the index tells.
    pub size: Option<u64>,
    /// Its hash, where the index tells.
    pub sha256: Option<Digest>,
}

/// One distribution, pinned to exactly one version and one archive for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The normalised name.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// The index page (base URL of the Simple API, no credentials) it was found on; `None` for a direct URL.
    pub index: Option<Url>,
    /// The direct URL the requirement named, if it did; goes into `direct_url.json`.
    pub direct_url: Option<Url>,
    /// The archive to install.
    pub archive: Archive,
    /// The Python versions the distribution says it supports.
    pub requires_python: Option<VersionSpecifiers>,
    /// The names of the pinned distributions it depends on here, sorted.
    pub dependencies: Vec<PackageName>,
}
