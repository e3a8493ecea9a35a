//! Records in a registry, by which a machine that has nothing finds what others made.
//!
//! They are images in one repository, under tags of their own: `e1-KEY` names all layers of an environment, `l1-KEY` one
//! layer of distributions, `d1-KEY` those of a base made of packages, `p1-KEY` that of a Python from an archive, `b1-KEY`
//! tells what is inside a base image.
//! [`document`] has their form.
//!
//! Whoever may write to the repository is trusted as to what is in a layer; everything that can be checked is: digests,
//! sizes, diff IDs, that a record is about what it was asked for, and that the blobs are there. A record that is wrong
//! counts as absent, and so does one without the [seal](CacheKey) of a key that is set. No trouble with the repository fails a build: it is told as a warning.

mod document;
mod seal;
mod write;

pub use seal::CacheKey;

use std::fs;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::assemble::Once;
use super::context::Context;
use super::{Error, Goal, Options, with_causes};
use crate::base::{Contents, interpreter};
use crate::layer::{InstalledFile, Layer};
use crate::model::{Digest, Key, KeyHasher, Warning};
use crate::registry::{self, Reference, Registries, Repository};
use crate::store::Store;
use document::{Head, Malformed, Part};

/// The repository's name, beside the images that are pushed.
const REPOSITORY: &str = "bakehouse-cache";

/// What is known of an environment: all its layers, and that nothing else collides in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRecord {
    /// From the lowest up, the skeleton last.
    pub layers: Vec<Layer>,
    /// The paths that several of its distributions write.
    pub collisions: Vec<Clash>,
}

/// A path that two distributions of an environment write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clash {
    /// The path in the image.
    pub path: String,
    /// The fragment whose file is lost.
    pub first: Key,
    /// The fragment whose file stays.
    pub second: Key,
    /// Whether both write the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub same: bool,
}

/// What is known of a layer of distributions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// The layer.
    pub layer: Layer,
    /// The files of each of its pieces: they tell whether it collides with others.
    pub files: Vec<Vec<InstalledFile>>,
}

/// A layer that a record tells of.
#[derive(Debug)]
pub struct KnownLayer {
    pub layer: Arc<Layer>,
    /// The files of each of its pieces.
    pub files: Vec<Arc<Vec<InstalledFile>>>,
}

impl From<LayerRecord> for KnownLayer {
    fn from(LayerRecord { layer, files }: LayerRecord) -> Self {
        Self { layer: Arc::new(layer), files: files.into_iter().map(Arc::new).collect() }
    }
}

/// What is known of a base that was made of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeRecord {
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
    /// What is inside it.
    pub contents: Contents,
}

/// What is known of a Python from an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterpreterRecord {
    /// Its layer.
    pub layer: Layer,
    /// What is known of the archive.
    pub facts: interpreter::Facts,
}

/// The key of a base made of packages: a hash of its layers, which follow from the lock of the base alone.
pub fn made_key(layers: impl IntoIterator<Item = Key>) -> Key {
    let mut key = KeyHasher::new("made-base/1");
    for layer in layers {
        key.text(&layer.to_string());
    }
    key.finish()
}

/// The key of an environment: a hash of its planned layers, which follow from the lock alone, and of its skeleton.
pub fn environment_key(planned: &[Key], skeleton: &Key) -> Key {
    let mut key = KeyHasher::new("environment-layers/1");
    for layer in planned {
        key.text(&layer.to_string());
    }
    key.text("skeleton").text(&skeleton.to_string());
    key.finish()
}

/// The records of one repository. Each is asked for at most once in a run.
pub struct Records {
    repository: Repository,
    /// Whether layers are read and hashed before they are used.
    verify: bool,
    /// Seals what is written, and is asked of what is read.
    key: Option<CacheKey>,
    environments: Once<Key, Option<Arc<EnvironmentRecord>>>,
    layers: Once<Key, Option<Arc<KnownLayer>>>,
    usable: Once<Digest, bool>,
    /// What was written, environments and layers, and whether that went well.
    written: Once<Key, bool>,
    /// Set when the repository cannot be read: it is not asked again.
    unreadable: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Records {
    /// The records that the options name, if any: those of `--cache-repo`, else those beside the images that are pushed.
    pub fn new(options: &Options, registries: &Registries) -> Result<Option<Self>, Error> {
        let (cache, delivery) = (&options.remote_cache, &options.delivery);
        let delivered = delivery.push.is_some() || !delivery.outputs.is_empty();
        let beside = || delivery.push.as_ref().map(|prefix| format!("{prefix}/{REPOSITORY}"));
        let name = cache.repository.clone().or_else(beside);
        let Some(text) = name.filter(|_| delivered && !cache.off && !options.offline) else {
            return Ok(None);
        };
        let reference: Reference = text.parse().map_err(|error: <Reference as FromStr>::Err| {
            Error::Reference { text: text.clone(), reason: error.to_string() }
        })?;
        Ok(Some(Self {
            repository: registries.repository(&reference),
            verify: cache.verify,
            key: cache.key.clone(),
            environments: Once::default(),
            layers: Once::default(),
            usable: Once::default(),
            written: Once::default(),
            unreadable: AtomicBool::new(false),
            trouble: Mutex::default(),
        }))
    }

    /// The repository, which holds the layers that the records name.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// What kept records from being read or written, if anything did.
    pub fn warning(&self) -> Option<Warning> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone().map(Warning::general)
    }

    /// The record of an environment.
    pub async fn environment(
        &self,
        store: &Store,
        key: Key,
    ) -> Result<Option<Arc<EnvironmentRecord>>, Error> {
        let find = || async {
            let check = |record: &EnvironmentRecord, parts: &[Part]| {
                let named: Vec<Part> = record.layers.iter().map(Part::from).collect();
                named == parts && record.layers.iter().all(Layer::is_consistent)
            };
            Ok(self.find(store, &environment_tag(&key), check).await.map(Arc::new))
        };
        self.environments.get(key, find).await
    }

    /// The record of a layer of distributions.
    pub async fn layer(&self, store: &Store, key: Key) -> Result<Option<Arc<KnownLayer>>, Error> {
        let find = || async {
            let check = |LayerRecord { layer, files }: &LayerRecord, parts: &[Part]| {
                layer.key == key
                    && layer.is_consistent()
                    && files.len() == layer.pieces.len()
                    && parts == [Part::from(layer)]
            };
            let found = self.find(store, &layer_tag(&key), check).await;
            Ok(found.map(|record| Arc::new(record.into())))
        };
        self.layers.get(key, find).await
    }

    /// What is inside a base image. Nothing in it can be checked, so it is not asked for where records are verified.
    pub async fn base(&self, store: &Store, key: &Key) -> Option<Contents> {
        if self.verify { None } else { self.find(store, &base_tag(key), |_: &Contents, _| true).await }
    }

    /// The record of a base made of packages. Where records are verified, it does not tell what is inside.
    pub async fn made(&self, store: &Store, key: &Key) -> Option<(Vec<Layer>, Option<Contents>)> {
        let check = |record: &MadeRecord, parts: &[Part]| {
            let named: Vec<Part> = record.layers.iter().map(Part::from).collect();
            named == parts && record.layers.iter().all(Layer::is_consistent)
        };
        let MadeRecord { layers, contents } = self.find(store, &made_tag(key), check).await?;
        Some((layers, (!self.verify).then_some(contents)))
    }

    /// The record of a Python from an archive. Nothing in the facts can be checked, so it is not asked for where records are
    /// verified.
    pub async fn interpreter(&self, store: &Store, key: &Key) -> Option<(Layer, interpreter::Facts)> {
        if self.verify {
            return None;
        }
        let check = |InterpreterRecord { layer, .. }: &InterpreterRecord, parts: &[Part]| {
            layer.key == *key && layer.is_consistent() && parts == [Part::from(layer)]
        };
        let InterpreterRecord { layer, facts } = self.find(store, &interpreter_tag(key), check).await?;
        Some((layer, facts))
    }

    /// Whether a layer that a record names can be used: a registry's garbage collection may have taken it.
    pub async fn is_usable(&self, context: &Context<'_>, layer: &Layer) -> Result<bool, Error> {
        let ask = || async {
            // A plan reads nothing.
            Ok(if self.verify && context.goal == Goal::Build {
                self.verify(context, layer).await?
            } else {
                self.repository.has_blob(&layer.digest).await.unwrap_or_else(|error| {
                    self.unreadable(&error);
                    false
                })
            })
        };
        self.usable.get(layer.digest, ask).await
    }

    async fn verify(&self, context: &Context<'_>, layer: &Layer) -> Result<bool, Error> {
        let blob = match self.repository.pull_blob(&context.store, &layer.digest, layer.size).await {
            Ok(blob) => blob,
            Err(error) => {
                tracing::debug!(digest = %layer.digest, "not used: {}", with_causes(&error));
                return Ok(false);
            }
        };
        let layer = layer.clone();
        context.compute(move || Ok(layer.matches(blob.open()?))).await
    }

    /// The record with a tag, if it is there and `check` finds it right.
    async fn find<T: DeserializeOwned>(
        &self,
        store: &Store,
        tag: &str,
        check: impl FnOnce(&T, &[Part]) -> bool,
    ) -> Option<T> {
        if self.unreadable.load(Ordering::Relaxed) {
            return None;
        }
        match self.read(store, tag).await {
            Ok(Some((record, parts))) if check(&record, &parts) => Some(record),
            Ok(Some(_)) => {
                tracing::debug!(tag, "the record is ignored: it is about something else");
                None
            }
            Ok(None) => None,
            Err(Failure::Malformed(error)) => {
                tracing::debug!(tag, "the record is ignored: {}", with_causes(&error));
                None
            }
            Err(Failure::Registry(error)) => {
                self.unreadable(&error);
                None
            }
        }
    }

    async fn read<T: DeserializeOwned>(
        &self,
        store: &Store,
        tag: &str,
    ) -> Result<Option<(T, Vec<Part>)>, Failure> {
        let Some(manifest) = self.repository.manifest(tag).await? else { return Ok(None) };
        let head = Head::parse(&manifest.bytes)?;
        let config = match &head.inline {
            Some(config) => config.clone(),
            None => {
                let (digest, size) = head.config;
                let blob = self.repository.pull_blob(store, &digest, size).await?;
                fs::read(blob.path()).map_err(|_| Malformed::Wrong("its config is gone from the store"))?
            }
        };
        let record = head.record(&config)?;
        if self.key.as_ref().is_some_and(|key| !head.is_sealed(key, tag, &config)) {
            return Err(Malformed::Wrong("it is not sealed with the key of this build").into());
        }
        Ok(Some(record))
    }

    /// Takes note of why something cannot be read. What is wrong with one record says nothing of the next.
    fn unreadable(&self, error: &registry::Error) {
        use registry::Error::{
            BadManifest, Denied, DigestMismatch, ManifestTooLarge, Refused, SchemaOne, SizeMismatch,
        };
        match error {
            BadManifest { .. }
            | SchemaOne { .. }
            | ManifestTooLarge { .. }
            | DigestMismatch { .. }
            | SizeMismatch { .. } => tracing::debug!("a record is ignored: {}", with_causes(error)),
            // Many registries deny what is not there: writing will tell.
            Denied { .. } | Refused { .. } => {
                tracing::debug!("records are not used: {}", with_causes(error));
                self.unreadable.store(true, Ordering::Relaxed);
            }
            _ => {
                self.unreadable.store(true, Ordering::Relaxed);
                self.trouble(format!("records of earlier builds are not used: {}", with_causes(error)));
            }
        }
    }

    /// Keeps the first trouble for the report.
    fn trouble(&self, message: String) {
        tracing::debug!("{message}");
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
    }
}

/// Why a record could not be read.
enum Failure {
    Registry(registry::Error),
    Malformed(Malformed),
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        Self::Registry(error)
    }
}

impl From<Malformed> for Failure {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

fn environment_tag(key: &Key) -> String {
    format!("e1-{key}")
}

fn layer_tag(key: &Key) -> String {
    format!("l1-{key}")
}

fn made_tag(key: &Key) -> String {
    format!("d1-{key}")
}

fn interpreter_tag(key: &Key) -> String {
    format!("p1-{key}")
}

fn base_tag(key: &Key) -> String {
    format!("b1-{key}")
}
