//! Composing an image from a base and new layers.

use std::collections::{BTreeMap, BTreeSet};

use oci_spec::image::{
    ANNOTATION_BASE_IMAGE_DIGEST, ANNOTATION_BASE_IMAGE_NAME, Arch, Descriptor, MediaType, Os,
    Platform as OciPlatform,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::base::Base;
use super::config::{Config, History, RootFs, Runtime};
use super::error::Error;
use super::layer::{Layer, descriptor};
use super::{MAX_CONFIG_SIZE, MAX_LAYERS};
use crate::model::{Digest, Platform, rfc3339};

/// What `PATH` is where a base says nothing, as runtimes have it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The labels by which an image describes itself.
const SELF_DESCRIPTION: &str = "org.opencontainers.image.";
/// The largest manifest.
const MAX_MANIFEST_SIZE: usize = 4 * 1024 * 1024;

/// What an image shall become. Everything that is not said is as the base has it.
#[derive(Debug, Clone)]
pub struct ImageSpec<'a> {
    /// What it stands on.
    pub base: &'a Base,
    /// What it shall run on; the base must be for the same.
    pub platform: Platform,
    /// The new layers, lowest first.
    pub layers: &'a [Layer],
    /// Variables to set, in this order.
    pub env: Vec<(String, String)>,
    /// A directory to put before the `PATH`.
    pub path_prefix: Option<String>,
    /// The working directory.
    pub working_dir: Option<String>,
    /// The program to run whatever the command is. Setting it drops the base's command.
    pub entrypoint: Option<Vec<String>>,
    /// The command. Setting it without an entrypoint drops the base's entrypoint: what is asked to run shall run, and
    /// not become the arguments of something that the user did not name. (Docker keeps it; who wants that gives
    /// [`Base::entrypoint`] as `entrypoint`.)
    pub cmd: Option<Vec<String>>,
    /// The user.
    pub user: Option<String>,
    /// Labels to set. The base's own labels stay, but for those by which it describes itself
    /// (`org.opencontainers.image.*`): title, version and source would be wrong for this image.
    pub labels: BTreeMap<String, String>,
    /// Ports to expose, as `8000/tcp`, beside the base's.
    pub exposed_ports: BTreeSet<String>,
    /// The signal that ends the program.
    pub stop_signal: Option<String>,
    /// When the image is said to be made: seconds since 1970.
    pub created: i64,
}

impl<'a> ImageSpec<'a> {
    /// The base with more layers, and nothing else said.
    pub fn new(base: &'a Base, platform: Platform, layers: &'a [Layer]) -> Self {
        Self {
            base,
            platform,
            layers,
            env: Vec::new(),
            path_prefix: None,
            working_dir: None,
            entrypoint: None,
            cmd: None,
            user: None,
            labels: BTreeMap::new(),
            exposed_ports: BTreeSet::new(),
            stop_signal: None,
            created: 0,
        }
    }
}

/// A document: what is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their digest.
    pub digest: Digest,
    /// The media type.
    pub media_type: MediaType,
}

impl Document {
    /// A document whose maps are sorted: by way of a value, which sorts them.
    fn new(media_type: MediaType, document: &Value) -> Self {
        let bytes = document.to_string().into_bytes();
        Self { digest: Digest::of(&bytes), bytes, media_type }
    }

    /// The document's size in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The descriptor that refers to the document.
    pub fn descriptor(&self) -> Descriptor {
        descriptor(self.media_type.clone(), self.size(), &self.digest)
    }
}

/// A composed image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The config: a blob.
    pub config: Document,
    /// The manifest.
    pub manifest: Document,
    /// What it runs on.
    pub platform: Platform,
    /// The level of the instruction set, where the base says it.
    pub variant: Option<String>,
}

impl Image {
    /// The descriptor of the manifest, with the platform.
    pub fn descriptor(&self) -> Descriptor {
        let mut platform = OciPlatform::default();
        platform.set_os(Os::Linux);
        platform.set_architecture(Arch::from(self.platform.arch.oci()));
        platform.set_variant(self.variant.clone());
        let mut descriptor = self.manifest.descriptor();
        descriptor.set_platform(Some(platform));
        descriptor
    }
}

/// Composes an image: the same bytes for the same input.
pub fn compose(spec: &ImageSpec<'_>) -> Result<Image, Error> {
    let base = spec.base;
    if base.config.architecture != spec.platform.arch.oci() {
        let found = format!("{}/{}", base.config.os, base.config.architecture);
        return Err(Error::WrongPlatform { wanted: spec.platform, found });
    }
    let count = base.layers.len() + spec.layers.len();
    if count > MAX_LAYERS {
        return Err(Error::TooManyLayers { count, base: base.layers.len(), limit: MAX_LAYERS });
    }
    let created = rfc3339(spec.created).ok_or_else(|| {
        setting(&spec.created.to_string(), "a time from 1970 to 9999, in seconds since 1970")
    })?;
    let layers = || base.layers.iter().chain(spec.layers);
    let config = Config {
        created: Some(created.clone()),
        config: runtime(spec)?,
        history: history(spec, &created),
        rootfs: RootFs {
            kind: "layers".into(),
            diff_ids: layers().map(|layer| layer.diff_id.to_string()).collect(),
        },
        ..base.config.clone()
    };
    let config = Document::new(MediaType::ImageConfig, &value(&config)?);
    limit("config", &config, MAX_CONFIG_SIZE)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "config": config.descriptor(),
        "layers": layers().map(Layer::descriptor).collect::<Vec<_>>(),
    });
    let manifest = Document::new(MediaType::ImageManifest, &manifest);
    limit("manifest", &manifest, MAX_MANIFEST_SIZE)?;
    let variant = base.config.variant.clone().filter(|variant| !variant.is_empty());
    Ok(Image { config, manifest, platform: spec.platform, variant })
}

/// An image index: one name for the images of several platforms, in the order of the platforms.
pub fn image_index(images: &[Image]) -> Document {
    let sorted: BTreeMap<_, _> = images.iter().map(|image| (image.platform, image.descriptor())).collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageIndex,
        "manifests": sorted.into_values().collect::<Vec<_>>(),
    });
    Document::new(MediaType::ImageIndex, &index)
}

fn runtime(spec: &ImageSpec<'_>) -> Result<Runtime, Error> {
    let mut runtime = spec.base.config.config.clone();
    // Triggers for builds on top of the base, and the base's own parent.
    for leftover in ["OnBuild", "Image"] {
        runtime.rest.remove(leftover);
    }
    for (name, value) in &spec.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(setting(name, "the name of an environment variable with a proper value"));
        }
        runtime.set_variable(name, value);
    }
    if let Some(prefix) = &spec.path_prefix {
        let path = runtime.variable("PATH").filter(|path| !path.is_empty()).unwrap_or(DEFAULT_PATH);
        let path = [prefix.as_str()].into_iter().chain(path.split(':').filter(|part| part != prefix));
        let path = path.collect::<Vec<_>>().join(":");
        runtime.set_variable("PATH", &path);
    }
    if spec.entrypoint.is_some() || spec.cmd.is_some() {
        // An empty one means none, not even the base's.
        runtime.entrypoint = spec.entrypoint.clone().filter(|words| !words.is_empty());
        runtime.cmd = spec.cmd.clone().filter(|words| !words.is_empty());
    }
    if let Some(directory) = &spec.working_dir {
        if !directory.starts_with('/') {
            return Err(setting(directory, "an absolute directory"));
        }
        runtime.working_dir = Some(directory.clone());
    }
    if let Some(signal) = &spec.stop_signal {
        runtime.rest.insert("StopSignal".to_owned(), signal.as_str().into());
    }
    if spec.user.is_some() {
        runtime.user.clone_from(&spec.user);
    }
    for port in &spec.exposed_ports {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        if number.parse::<u16>().is_err() || !matches!(protocol, "tcp" | "udp" | "sctp") {
            return Err(setting(port, "a port such as 8000/tcp"));
        }
        runtime.exposed_ports.insert(format!("{number}/{protocol}"), json!({}));
    }
    runtime.labels.retain(|name, _| !name.starts_with(SELF_DESCRIPTION));
    if let Some((name, digest)) = &spec.base.source {
        runtime.labels.extend(name.clone().map(|name| (ANNOTATION_BASE_IMAGE_NAME.into(), name)));
        runtime.labels.insert(ANNOTATION_BASE_IMAGE_DIGEST.into(), digest.to_string());
    }
    runtime.labels.extend(spec.labels.clone());
    Ok(runtime)
}

/// The base's history, and one entry a new layer. Readers pair entries with layers by counting, so a history of the
/// base that does not count right is replaced.
fn history(spec: &ImageSpec<'_>, created: &str) -> Vec<History> {
    let entry = |layer: &Layer| History {
        created: Some(created.to_owned()),
        created_by: Some(format!("{} {}", env!("CARGO_PKG_NAME"), layer.created_by)),
        ..History::default()
    };
    let of_base = &spec.base.config.history;
    let counted = of_base.iter().filter(|entry| !entry.empty_layer).count();
    let mut history: Vec<History> = if counted == spec.base.layers.len() {
        of_base.clone()
    } else {
        spec.base.layers.iter().map(entry).collect()
    };
    history.extend(spec.layers.iter().map(entry));
    history
}

fn value(document: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(document).map_err(|source| Error::Malformed { document: "config", source })
}

fn limit(document: &'static str, made: &Document, limit: usize) -> Result<(), Error> {
    let size = made.bytes.len();
    if size > limit { Err(Error::TooLarge { document, size, limit }) } else { Ok(()) }
}

fn setting(value: &str, expected: &'static str) -> Error {
    Error::Setting { value: value.chars().filter(|c| !c.is_control()).take(100).collect(), expected }
}
