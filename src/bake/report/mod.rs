//! The report: what a run did, for other programs. Its shape is a contract: see `docs/report.md`.

mod asked;
mod code;

use std::path::Path;

use serde::Serialize;

pub use asked::{ComponentReport, OriginReport, RequestReport};
pub use code::{CodeLayer, CodeReport, FileReport, LeftOutReport, LibraryReport};

use crate::model::Warning;
use crate::project::Project;

/// Everything a run has to tell.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of this shape.
    pub version: u32,
    /// The project's name.
    pub project: String,
    /// The source revision, where the project is a git checkout.
    pub revision: Option<String>,
    /// What each component asks for, in a plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentReport>,
    /// One entry an image.
    pub images: Vec<ImageReport>,
    /// One entry a lock.
    pub locks: Vec<LockReport>,
    /// The distinct environments.
    pub environments: Vec<EnvironmentReport>,
    /// What goes into the code layers of each component, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Vec<CodeReport>>,
    /// How long each part took. The parts overlap.
    pub timings: Timings,
    /// What went over the network.
    pub transfer: TransferReport,
    /// What a build would have to do; of a plan alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<PlannedReport>,
    /// What the user should know.
    pub warnings: Vec<WarningReport>,
    /// What failed.
    pub errors: Vec<ErrorReport>,
}

/// An image: one component's, or one environment's of a flow.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageReport {
    /// The project's name.
    pub project: String,
    /// The component's name.
    pub component: String,
    /// `flow`, `deployment` or `package`.
    pub kind: String,
    /// The environment's ID; of several platforms the first one's.
    pub environment: String,
    /// The steps that run in it, for a flow.
    pub steps: Vec<String>,
    /// Where the image is, by digest; null if it was pushed nowhere.
    pub reference: Option<String>,
    /// The digest of the manifest, or of the image index where there are several platforms; null if it is not known without the work.
    pub digest: Option<String>,
    /// The tags it was given.
    pub tags: Vec<String>,
    /// One entry a platform.
    pub platforms: Vec<PlatformReport>,
}

/// An image for one platform.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformReport {
    /// Such as `linux/amd64`.
    pub platform: String,
    /// The environment's ID: what is locked for the platform.
    pub environment: String,
    /// The digest of the manifest; null if it is not known without the work.
    pub digest: Option<String>,
    /// The Python's minor version.
    pub python: String,
    /// The environment's interpreter.
    pub python_path: String,
    /// The digest of the base image's manifest; null where there is no base.
    pub base_digest: Option<String>,
    /// What the base image has installed and the environment counts on.
    pub base_packages: Vec<PackageReport>,
    /// From the base up.
    pub layers: Vec<LayerReport>,
}

/// What a layer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Of the base image.
    Base,
    /// The interpreter, where the base lacks it.
    Interpreter,
    /// The environment: distributions and what links them to the interpreter.
    Environment,
    /// The user's code.
    Code,
}

/// Where a layer's bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerOrigin {
    /// The base image.
    Base,
    /// Made in this run.
    Built,
    /// Made before, kept in the store.
    Store,
    /// Made before, kept in the registry: a record in the cache repository names it.
    Registry,
}

/// How a layer got to its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transfer {
    /// Its bytes were sent or written.
    Uploaded,
    /// The registry took it over from another repository.
    Mounted,
    /// It was there.
    Present,
    /// It went nowhere: no destination was named.
    None,
}

/// A layer of an image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerReport {
    /// The layer key; null for a base layer.
    pub key: Option<String>,
    /// The digest of the blob; null if not known without the work.
    pub digest: Option<String>,
    /// The digest of the uncompressed archive.
    pub diff_id: Option<String>,
    /// Bytes of the blob.
    pub size: Option<u64>,
    /// Bytes of the uncompressed archive.
    pub uncompressed_size: Option<u64>,
    /// An estimate of `size` where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_size: Option<u64>,
    /// Distributions that have to be downloaded for it; of a plan alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downloads: Option<u64>,
    /// Their bytes, as far as the lock tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_size: Option<u64>,
    /// What it is for.
    pub role: Role,
    /// The distributions in it.
    pub packages: Vec<PackageReport>,
    /// Where its bytes came from; null if it would have to be built.
    pub origin: Option<LayerOrigin>,
    /// How it got to its destination.
    pub transfer: Transfer,
}

/// A distribution in a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageReport {
    /// The normalised name.
    pub name: String,
    /// The version.
    pub version: String,
    /// `pypi`; `python` for the interpreter itself.
    pub kind: &'static str,
}

/// What became of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LockStatus {
    /// It was true already.
    Fresh,
    /// It was missing or stale, and is (or, in a plan, would be) written.
    Written,
    /// It was resolved again, and nothing changed.
    Unchanged,
    /// Another tool's, used as it is.
    Foreign,
}

/// The work that a plan foresees, for all images together. What several of them share counts once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedReport {
    /// Distributions to download.
    pub downloads: u64,
    /// Their bytes.
    pub download_bytes: u64,
    /// Layers to build.
    pub layers_to_build: u64,
    /// Bytes of layers to send, or to write into a layout.
    pub upload_bytes: u64,
    /// Whether the bytes are known, and not estimated.
    pub exact: bool,
}

impl Default for PlannedReport {
    fn default() -> Self {
        Self { downloads: 0, download_bytes: 0, layers_to_build: 0, upload_bytes: 0, exact: true }
    }
}

/// A lock.
#[derive(Debug, Clone, Serialize)]
pub struct LockReport {
    /// The project's name.
    pub project: String,
    /// The component's name.
    pub component: String,
    /// The steps that it is for; empty where the component has one environment.
    pub steps: Vec<String>,
    /// The file, relative to the directory that the run was for.
    pub path: String,
    /// The number of distributions.
    pub packages: usize,
    /// What became of it.
    pub status: LockStatus,
}

/// A distinct environment.
#[derive(Debug, Clone, Serialize)]
pub struct EnvironmentReport {
    /// Its ID: a hash of what is locked.
    pub id: String,
    /// The projects that use it.
    pub projects: Vec<String>,
    /// The components that use it.
    pub components: Vec<String>,
    /// `pypi` or `conda`.
    pub kind: &'static str,
    /// The platform that it is locked for; null of a conda environment.
    pub platform: Option<String>,
    /// The Python's minor version; of a conda environment what is asked for, perhaps nothing.
    pub python: String,
    /// The base image as it was named, if one was.
    pub base: Option<String>,
    /// The requirements, normalised and sorted.
    pub requirements: Vec<String>,
    /// Where each requirement is stated.
    pub origins: Vec<OriginReport>,
    /// Conda packages, as match specifications, sorted.
    pub conda: Vec<String>,
    /// Conda channels as they are named, in order.
    pub channels: Vec<String>,
}

/// Milliseconds of wall-clock time from the start of a part's first piece to the end of its last.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// Resolving and locking.
    pub resolve_ms: u64,
    /// Downloading distributions.
    pub download_ms: u64,
    /// Assembling layers.
    pub assemble_ms: u64,
    /// Delivering images.
    pub push_ms: u64,
    /// The whole run.
    pub total_ms: u64,
}

/// What went over the network.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransferReport {
    /// Bytes of index pages and metadata.
    pub index_bytes: u64,
    /// Bytes of distributions.
    pub distribution_bytes: u64,
    /// Bytes of base images: manifests, configs and layers.
    pub base_bytes: u64,
    /// Bytes read from the cache repository: records, and layers that had to be read.
    pub cache_bytes: u64,
    /// Bytes of blobs and manifests sent to a registry, or written into a layout.
    pub uploaded_bytes: u64,
    /// Requests to indexes.
    pub index_requests: u64,
    /// Requests to registries.
    pub registry_requests: u64,
}

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct WarningReport {
    /// What is noticed.
    pub message: String,
    /// The file that is to blame.
    pub file: Option<String>,
    /// Its line.
    pub line: Option<u32>,
}

impl From<&Warning> for WarningReport {
    fn from(warning: &Warning) -> Self {
        Self {
            message: warning.message.clone(),
            file: warning.origin.as_ref().map(|origin| origin.file.clone()),
            line: warning.origin.as_ref().and_then(|origin| origin.line),
        }
    }
}

/// A failure.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorReport {
    /// What happened, causes included.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The exit code of this failure alone.
    pub exit_code: u8,
}

impl Report {
    /// Says of everything here which project it belongs to.
    pub(super) fn belongs_to(&mut self, project: &Project) {
        self.components.iter_mut().for_each(|component| component.project.clone_from(&project.name));
        self.code.iter_mut().flatten().for_each(|code| code.project.clone_from(&project.name));
        self.images.iter_mut().for_each(|image| image.project.clone_from(&project.name));
        self.locks.iter_mut().for_each(|lock| lock.project.clone_from(&project.name));
        self.environments.iter_mut().for_each(|found| found.projects = vec![project.name.clone()]);
    }

    /// The report as JSON text.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// Writes the report as JSON to a file, whole or not at all.
    pub fn write_json(&self, path: &Path) -> std::io::Result<()> {
        let text = self.to_json()? + "\n";
        crate::store::write_atomically(path, text.as_bytes())
    }
}
