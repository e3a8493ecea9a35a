//! The documents of a base image: image index, manifest, config. OCI's and Docker's (schema 2), which differ in media
//! types alone; what goes on from here has OCI media types.

use oci_spec::image::{ImageConfiguration, MediaType};
use serde::Deserialize;

use crate::model::{Arch, Digest, Platform};

use super::error::Error;

/// The most layers a base may have; no runtime takes more.
const MAX_LAYERS: usize = 500;

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What a document says of another: kind, digest, size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The kind of content, an OCI media type.
    pub media_type: MediaType,
    /// The digest.
    pub digest: Digest,
    /// The size in bytes.
    pub size: u64,
}

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of one or many members.
    Gzip,
    /// Zstandard, of one or many frames.
    Zstd,
}

impl Compression {
    /// The OCI media type of a layer that is compressed so.
    pub fn media_type(self) -> MediaType {
        match self {
            Self::None => MediaType::ImageLayer,
            Self::Gzip => MediaType::ImageLayerGzip,
            Self::Zstd => MediaType::ImageLayerZstd,
        }
    }

    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/vnd.docker.image.rootfs.diff.tar" => Some(Self::None),
            "application/vnd.docker.image.rootfs.diff.tar.gzip" => Some(Self::Gzip),
            "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(Self::Zstd),
            _ => [Self::None, Self::Gzip, Self::Zstd]
                .into_iter()
                .find(|compression| compression.media_type().as_ref() == media_type),
        }
    }
}

/// A layer as a manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerDescriptor {
    /// The digest of the layer as it is stored.
    pub digest: Digest,
    /// Its size as it is stored.
    pub size: u64,
    /// How it is compressed; decides its media type.
    pub compression: Compression,
}

/// An image manifest, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseManifest {
    /// The image's config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<LayerDescriptor>,
}

/// An image's config, checked against its manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseConfig {
    /// The whole config.
    pub image: ImageConfiguration,
    /// The digests of the uncompressed layers, lowest first; as many as the manifest has layers.
    pub diff_ids: Vec<Digest>,
}

impl BaseConfig {
    /// The `PATH` that the config sets.
    pub fn path(&self) -> Option<&str> {
        let env = self.image.config().as_ref()?.env().as_ref()?;
        // As in a process's environment, the last one counts.
        env.iter().rev().find_map(|variable| variable.strip_prefix("PATH="))
    }
}

// Lenient where other images' entries are concerned: one odd entry must not spoil an index.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    platform: Option<RawPlatform>,
}

#[derive(Deserialize)]
struct RawPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

impl RawPlatform {
    /// How well an image for this platform serves `wanted`, 0 being best; `None` if it does not run there.
    fn rank(&self, wanted: Platform) -> Option<u32> {
        if self.os != "linux" || self.architecture != wanted.arch.oci() {
            return None;
        }
        // Variants are levels of the instruction set (`v1`, `v8.2`); a lower one runs on more machines.
        let baseline = match wanted.arch {
            Arch::Amd64 => (1, 0),
            Arch::Arm64 => (8, 0),
        };
        let level = match self.variant.as_deref() {
            None | Some("") => baseline,
            Some(variant) => {
                let (major, minor) = variant.split_once('.').unwrap_or((variant, "0"));
                (major.strip_prefix('v')?.parse::<u16>().ok()?, minor.parse::<u16>().ok()?)
            }
        };
        (level >= baseline).then(|| (u32::from(level.0) << 16) + u32::from(level.1))
    }

    fn shown(&self) -> String {
        let text = match self.variant.as_deref() {
            None | Some("") => format!("{}/{}", self.os, self.architecture),
            Some(variant) => format!("{}/{}/{variant}", self.os, self.architecture),
        };
        text.chars().take(100).collect()
    }
}

impl RawDescriptor {
    fn checked(&self, document: &'static str) -> Result<Descriptor, Error> {
        let problem = |error| Error::Document { document, problem: format!("{error}") };
        let media_type = match self.media_type.as_str() {
            DOCKER_CONFIG => MediaType::ImageConfig,
            DOCKER_MANIFEST => MediaType::ImageManifest,
            DOCKER_INDEX => MediaType::ImageIndex,
            other => MediaType::from(other),
        };
        Ok(Descriptor { media_type, digest: self.digest.parse().map_err(problem)?, size: self.size })
    }
}

/// Picks the image for a platform from an image index or a manifest list. Where several fit, it is the one that the
/// most processors run, and of equals the first. An index of a single entry without a platform, as layouts have it,
/// gives that entry: its config tells. What is picked may be an image index again (`media_type` tells).
pub fn select_platform(index: &[u8], wanted: Platform) -> Result<Descriptor, Error> {
    const DOCUMENT: &str = "image index";
    #[derive(Deserialize)]
    struct RawIndex {
        manifests: Vec<serde_json::Value>,
    }
    let raw: RawIndex = parse(DOCUMENT, index)?;
    let entries: Vec<RawDescriptor> =
        raw.manifests.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect();

    let ranked = entries.iter().filter_map(|entry| Some((entry.platform.as_ref()?.rank(wanted)?, entry)));
    if let Some((_, entry)) = ranked.min_by_key(|(rank, _)| *rank) {
        return entry.checked(DOCUMENT);
    }
    if let [entry @ RawDescriptor { platform: None, .. }] = entries.as_slice() {
        return entry.checked(DOCUMENT);
    }
    // Attestations are listed as images for `unknown/unknown`.
    let found = entries.iter().filter_map(|entry| entry.platform.as_ref()).map(RawPlatform::shown);
    let mut found: Vec<_> = found.filter(|platform| !platform.contains("unknown")).collect();
    found.sort();
    found.dedup();
    Err(Error::NoPlatform { wanted, found })
}

/// Reads an image manifest of the given media type.
pub fn parse_manifest(bytes: &[u8], media_type: &str) -> Result<BaseManifest, Error> {
    const DOCUMENT: &str = "manifest";
    #[derive(Deserialize)]
    struct RawManifest {
        config: RawDescriptor,
        #[serde(default)]
        layers: Option<Vec<RawDescriptor>>,
    }
    let refuse = |problem: String| Error::Document { document: DOCUMENT, problem };
    if media_type != MediaType::ImageManifest.as_ref() && media_type != DOCKER_MANIFEST {
        return Err(refuse(format!("{} is not an image manifest", shown(media_type))));
    }
    let raw: RawManifest = parse(DOCUMENT, bytes)?;
    let config = raw.config.checked(DOCUMENT)?;
    if config.media_type != MediaType::ImageConfig {
        let kind = shown(&raw.config.media_type);
        return Err(refuse(format!("it is of no image, but of an artifact ({kind})")));
    }
    let layers = raw.layers.unwrap_or_default();
    if layers.len() > MAX_LAYERS {
        return Err(refuse(format!("it lists {} layers, more than {MAX_LAYERS}", layers.len())));
    }
    let layer = |raw: &RawDescriptor| {
        let Descriptor { digest, size, .. } = raw.checked(DOCUMENT)?;
        match Compression::of(&raw.media_type) {
            Some(compression) => Ok(LayerDescriptor { digest, size, compression }),
            None => Err(refuse(format!("layer {digest} is of an unknown kind, {}", shown(&raw.media_type)))),
        }
    };
    Ok(BaseManifest { config, layers: layers.iter().map(layer).collect::<Result<_, _>>()? })
}

/// Reads the config that `manifest` names. It must be for `wanted` and have a diff ID for each layer.
pub fn parse_config(bytes: &[u8], manifest: &BaseManifest, wanted: Platform) -> Result<BaseConfig, Error> {
    const DOCUMENT: &str = "config";
    let refuse = |problem: String| Error::Document { document: DOCUMENT, problem };
    let image: ImageConfiguration = parse(DOCUMENT, bytes)?;
    let (os, arch) = (image.os().to_string(), image.architecture().to_string());
    if os != "linux" || arch != wanted.arch.oci() {
        return Err(Error::NoPlatform { wanted, found: vec![shown(&format!("{os}/{arch}"))] });
    }
    let diff_ids: Result<Vec<Digest>, _> = image.rootfs().diff_ids().iter().map(|id| id.parse()).collect();
    let diff_ids = diff_ids.map_err(|error| refuse(format!("diff ID: {error}")))?;
    if diff_ids.len() != manifest.layers.len() {
        let (ids, layers) = (diff_ids.len(), manifest.layers.len());
        return Err(refuse(format!("it has {ids} diff IDs for {layers} layers")));
    }
    Ok(BaseConfig { image, diff_ids })
}

fn parse<T: serde::de::DeserializeOwned>(document: &'static str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Document { document, problem: format!("{error}") })
}

/// As much of a foreign text as a message should repeat.
fn shown(text: &str) -> String {
    match text {
        "" => "without a media type".into(),
        text => format!("`{}`", text.chars().take(100).collect::<String>()),
    }
}
