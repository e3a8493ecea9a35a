//! Base images.

use oci_spec::image::{Descriptor, ImageManifest, MediaType};

use super::config::{Config, RootFs, Runtime};
use super::error::Error;
use super::layer::{Layer, media_type};
use super::{MAX_CONFIG_SIZE, MAX_LAYERS};
use crate::model::{Digest, Platform};

/// A base image, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    pub(super) config: Config,
    pub(super) layers: Vec<Layer>,
    pub(super) source: Option<(Option<String>, Digest)>,
}

impl Base {
    /// No base at all: an image from scratch.
    pub fn scratch(platform: Platform) -> Self {
        let config = Config {
            architecture: platform.arch.oci().into(),
            os: "linux".into(),
            rootfs: RootFs { kind: "layers".into(), diff_ids: Vec::new() },
            ..Config::default()
        };
        Self { config, layers: Vec::new(), source: None }
    }

    /// The config's descriptor in a manifest: what to fetch before [`Base::parse`].
    pub fn config_descriptor(manifest: &[u8]) -> Result<Descriptor, Error> {
        let manifest = parse_manifest(manifest)?;
        let config = manifest.config();
        let is_config = *config.media_type() == MediaType::ImageConfig
            || config.media_type().as_ref() == "application/vnd.docker.container.image.v1+json";
        if !is_config {
            let media_type = config.media_type().as_ref();
            return Err(Error::NotAnImage {
                media_type: media_type.chars().filter(|c| !c.is_control()).take(100).collect(),
            });
        }
        sha256(config, "manifest")?;
        if config.size() > MAX_CONFIG_SIZE as u64 {
            return Err(invalid("manifest", format!("a config of {} bytes is too large", config.size())));
        }
        Ok(config.clone())
    }

    /// A base from its manifest (not an image index) and its config, whose digest must be checked already.
    pub fn parse(manifest: &[u8], config: &[u8], platform: Platform) -> Result<Self, Error> {
        let config_descriptor = Self::config_descriptor(manifest)?;
        if config_descriptor.size() != config.len() as u64 {
            return Err(invalid("config", "it has not the size that the manifest states".into()));
        }
        let manifest = parse_manifest(manifest)?;
        let config: Config = serde_json::from_slice(config)
            .map_err(|source| Error::Malformed { document: "config", source })?;
        if config.os != "linux" || config.architecture != platform.arch.oci() {
            let found = format!("{}/{}", config.os, config.architecture);
            let found = found.chars().filter(|c| !c.is_control()).take(100).collect();
            return Err(Error::WrongPlatform { wanted: platform, found });
        }
        if config.rootfs.kind != "layers" {
            return Err(invalid("config", "its root file system is not made of layers".into()));
        }
        let (layers, diff_ids) = (manifest.layers(), &config.rootfs.diff_ids);
        if layers.len() != diff_ids.len() {
            let problem = format!("it lists {} layers, the manifest {}", diff_ids.len(), layers.len());
            return Err(invalid("config", problem));
        }
        if layers.len() > MAX_LAYERS {
            return Err(Error::TooManyLayers { count: layers.len(), base: layers.len(), limit: MAX_LAYERS });
        }
        let layers = layers
            .iter()
            .zip(diff_ids)
            .map(|(layer, diff_id)| {
                Ok(Layer {
                    digest: sha256(layer, "manifest")?,
                    diff_id: diff_id
                        .parse()
                        .map_err(|_| invalid("config", "a diff ID is no SHA-256 digest".into()))?,
                    size: layer.size(),
                    media_type: media_type(layer)?,
                    created_by: "base".into(),
                    annotations: layer.annotations().clone(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { config, layers, source: None })
    }

    /// Says where the base comes from; it becomes the labels `org.opencontainers.image.base.name` and `.digest`.
    #[must_use]
    pub fn named(self, name: impl Into<String>, digest: Digest) -> Self {
        self.known_as(Some(name.into()), digest)
    }

    /// The same of a base that may have no name: one that depends on the machine (a directory) must not get into an image.
    #[must_use]
    pub fn known_as(mut self, name: Option<String>, digest: Digest) -> Self {
        self.source = Some((name, digest));
        self
    }

    /// Its layers, lowest first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Its environment, as `NAME=VALUE`.
    pub fn env(&self) -> &[String] {
        &self.runtime().env
    }

    /// The value of a variable of its environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.runtime().variable(name)
    }

    /// Its entrypoint.
    pub fn entrypoint(&self) -> Option<&[String]> {
        self.runtime().entrypoint.as_deref()
    }

    /// Its user.
    pub fn user(&self) -> Option<&str> {
        self.runtime().user.as_deref().filter(|user| !user.is_empty())
    }

    fn runtime(&self) -> &Runtime {
        &self.config.config
    }
}

fn parse_manifest(bytes: &[u8]) -> Result<ImageManifest, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Malformed { document: "manifest", source })
}

fn sha256(descriptor: &Descriptor, document: &'static str) -> Result<Digest, Error> {
    let digest = descriptor.digest().as_ref();
    digest.parse().map_err(|_| invalid(document, "a descriptor has no SHA-256 digest".into()))
}

fn invalid(document: &'static str, problem: String) -> Error {
    Error::Invalid { document, problem }
}
