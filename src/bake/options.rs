//! What the user wants of a run.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use super::{CacheKey, Resolving};
use crate::base::Source;
use crate::layer::Compression;
use crate::model::{Platform, PythonMinor};
use crate::project::{CodeOptions, Settings};
use crate::registry::ArchiveFormat;

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Lock, assemble, deliver.
    Build,
    /// Tell what `Build` would do.
    Plan,
    /// Tell what the project's files ask for.
    Environments,
    /// Tell what goes into the code layers, and what does not.
    Files,
    /// Write the locks.
    Lock,
    /// Fail if a lock is stale.
    CheckLocks,
}

/// What to do about a lock that is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Lock again, preferring the versions of the old lock.
    Update,
    /// Lock again in any case, preferring nothing.
    Upgrade,
    /// Fail.
    Require,
    /// Use it as it is.
    Ignore,
}

/// A place on this machine that images are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// `oci:DIR`: an OCI layout, to which the images are added.
    Layout(PathBuf),
    /// `oci-archive:FILE` or `docker-archive:FILE`: an archive of all images of the run.
    Archive(ArchiveFormat, PathBuf),
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, path) = text.split_once(':').filter(|(_, path)| !path.is_empty()).unwrap_or_default();
        let path = PathBuf::from(path);
        match kind {
            "oci" => Ok(Self::Layout(path)),
            "oci-archive" => Ok(Self::Archive(ArchiveFormat::Oci, path)),
            "docker-archive" => Ok(Self::Archive(ArchiveFormat::Docker, path)),
            _ => Err(format!("{text}: expected oci:DIR, oci-archive:FILE or docker-archive:FILE")),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(path) => write!(f, "oci:{}", path.display()),
            Self::Archive(ArchiveFormat::Oci, path) => write!(f, "oci-archive:{}", path.display()),
            Self::Archive(ArchiveFormat::Docker, path) => write!(f, "docker-archive:{}", path.display()),
        }
    }
}

/// Where images go.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// The registry and the start of the repository's name: an image goes to `PREFIX/NAME`.
    pub push: Option<String>,
    /// Files and directories.
    pub outputs: Vec<Output>,
    /// The tags.
    pub tags: Vec<String>,
    /// Further labels.
    pub labels: Vec<(String, String)>,
}

/// How the records in a registry are used.
#[derive(Debug, Clone, Default)]
pub struct RemoteCache {
    /// Whether they are not used at all.
    pub off: bool,
    /// The repository they are in, if not `bakehouse-cache` beside the pushed images.
    pub repository: Option<String>,
    /// Whether layers that they name are read and hashed before they are used.
    pub verify: bool,
    /// The key that seals records, and that they must be sealed with.
    pub key: Option<CacheKey>,
}

/// How bases of Debian's packages are made.
#[derive(Debug, Clone, Default)]
pub struct Debian {
    /// The mirror of the archive, if not Debian's own.
    pub mirror: Option<Url>,
    /// The mirror of security updates, if it does not stand beside the other.
    pub security_mirror: Option<Url>,
    /// The suite of security updates, if it is not called as Debian calls it.
    pub security_suite: Option<String>,
    /// A mirror that keeps packages which the others drop.
    pub snapshot: Option<Url>,
    /// A file with the keys that release files are signed with, if not Debian's own.
    pub keyring: Option<PathBuf>,
    /// Whether security updates are left out.
    pub no_security: bool,
    /// Further packages.
    pub packages: Vec<String>,
}

/// What a run works with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The project's folder.
    pub project: PathBuf,
    /// The components to work on, as named by the user; empty for all.
    pub components: Vec<String>,
    /// The branch that is built for; otherwise what the CI system or git says.
    pub branch: Option<String>,
    /// The base image; goes before what the project's files say.
    pub base: Option<Source>,
    /// How bases of Debian's packages are made.
    pub debian: Debian,
    /// Where Pythons come from that a base lacks: files, directories, URLs.
    pub python_archives: Vec<String>,
    /// The Python; goes before what the project's files say.
    pub python: Option<PythonMinor>,
    /// Whether what the base has installed does not count.
    pub isolated: bool,
    /// The platforms, each once, sorted; at least one.
    pub platforms: Vec<Platform>,
    /// How distributions are chosen and where they come from.
    pub resolving: Resolving,
    /// What to do about a stale lock.
    pub freshness: Freshness,
    /// What goes into the code layers.
    pub code: CodeOptions,
    /// Where images go.
    pub delivery: Delivery,
    /// How layers are compressed.
    pub compression: Compression,
    /// How the records in a registry are used.
    pub remote_cache: RemoteCache,
    /// Whether the network must not be used.
    pub offline: bool,
    /// Whether registries are reached by plain HTTP.
    pub plain_http: bool,
    /// How many distributions and layers are worked on at once.
    pub jobs: usize,
    /// The directory of the store.
    pub cache_dir: PathBuf,
    /// How images run; goes before what the project's files say.
    pub settings: Settings,
    /// The time stamp of images, in seconds since 1970.
    pub created: i64,
}
