//! Pinned distributions: what a resolution chooses, a lock records and a layer is made from.

use std::path::PathBuf;

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
    /// Sources that a requirement itself names: a repository, a directory or an archive. What is locked of them is the
    /// wheel that they give.
    Sources,
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

/// What a wheel is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuiltFrom {
    /// A source distribution of an index.
    Sdist(Archive),
    /// An archive that the requirement names.
    Archive {
        /// The archive.
        archive: Archive,
        /// Where in it the distribution is, if not at its top.
        subdirectory: Option<String>,
    },
    /// A commit of a git repository.
    Git {
        /// The repository, without credentials.
        repository: Url,
        /// The branch, tag or commit that the requirement names.
        requested: Option<String>,
        /// The commit: 40 hexadecimal digits, or 64.
        commit: String,
        /// Where in it the distribution is, if not at its top.
        subdirectory: Option<String>,
    },
    /// A directory on this machine.
    Directory {
        /// The directory, absolute.
        path: PathBuf,
        /// The hash of all that is in it.
        content: Digest,
    },
}

impl BuiltFrom {
    /// The URL that an image records, of what has one everywhere: `git+https://…@COMMIT`, or an archive's.
    pub fn direct_url(&self) -> Option<Url> {
        match self {
            Self::Sdist(_) | Self::Directory { .. } => None,
            Self::Archive { archive, subdirectory } => {
                let mut url = archive.url.clone();
                url.set_fragment(subdirectory.as_ref().map(|it| format!("subdirectory={it}")).as_deref());
                Some(url)
            }
            Self::Git { repository, commit, subdirectory, .. } => {
                let fragment =
                    subdirectory.as_ref().map_or_else(String::new, |it| format!("#subdirectory={it}"));
                format!("git+{repository}@{commit}{fragment}").parse().ok()
            }
        }
    }

    /// What decides their content, as text: the same on every machine.
    pub fn identity(&self) -> String {
        let of = |archive: &Archive| archive.sha256.map(|sha256| sha256.to_string()).unwrap_or_default();
        let (content, subdirectory) = match self {
            Self::Sdist(archive) => (of(archive), None),
            Self::Archive { archive, subdirectory } => (of(archive), subdirectory.as_deref()),
            Self::Git { commit, subdirectory, .. } => (format!("git:{commit}"), subdirectory.as_deref()),
            Self::Directory { content, .. } => (format!("directory:{content}"), None),
        };
        format!("{content} {}", subdirectory.unwrap_or("."))
    }
}

/// How a wheel was made that nobody published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// From what.
    pub from: BuiltFrom,
    /// The distributions that built it, as `NAME==VERSION`, sorted: with others it may become another wheel.
    pub requires: Vec<String>,
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
    /// The archive to install. For a wheel that was built, the URL is that of its sources.
    pub archive: Archive,
    /// How it was made, if it is a wheel that was built.
    pub built: Option<Built>,
    /// The Python versions the distribution says it supports.
    pub requires_python: Option<VersionSpecifiers>,
    /// The names of the pinned distributions it depends on here, sorted.
    pub dependencies: Vec<PackageName>,
}
