//! Opening a base image: its documents, and what is inside it.

use std::io::{self, Read};
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::contents::{Contents, Python};
use super::debian;
use super::document::select_platform;
use super::error::Error;
use super::inspect::{Compression, Layer, inspect};
use super::source::Source;
use crate::image::{self, MediaType};
use crate::layer;
use crate::model::{Digest, Key, Platform, PythonMinor};
use crate::registry::{self, ArchiveFormat, Layout, Manifest, Registries, Repository};
use crate::store::Store;

/// The kind of the records about what is inside bases.
const RECORDS: &str = "bases";
/// How deep image indexes may be nested.
const INDEX_DEPTH: usize = 4;

/// An opened base image.
pub struct Base {
    /// The name as it was given.
    pub name: String,
    /// The same, if it means something outside this machine.
    pub public: Option<String>,
    /// The digest of its manifest (for the platform, not of an image index).
    pub digest: Digest,
    /// Its documents, checked.
    pub image: image::Base,
    /// What is inside.
    pub contents: Contents,
    /// Whether its layers had to be read to know that.
    pub inspected: bool,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Registry(Repository),
    /// A directory, or an archive that is read as one.
    Layout(Arc<Layout>),
    /// Layers that were made here; or elsewhere, and then the repository has them.
    Made(Arc<[Arc<layer::Layer>]>, Making, Option<Repository>),
    /// There is nothing.
    Nowhere,
}

/// How the layers of what is made and not found were come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Making {
    /// They were made in this run.
    Now,
    /// They were in the store.
    Before,
    /// Another machine made them.
    Elsewhere,
}

/// A base image that was found: its name stands for this manifest or image index from here on, for all platforms.
pub struct Found {
    name: String,
    place: Place,
    /// None of `scratch`.
    manifest: Option<Manifest>,
}

/// Finds the base that `source` names. What a registry's name stands for may be `known` from before.
pub async fn find(
    source: &Source,
    known: Option<Manifest>,
    registries: &Registries,
    store: &Arc<Store>,
) -> Result<Found, Error> {
    let name = source.to_string();
    let failed = |source| Error::Open { name: name.clone(), source };
    let (place, manifest) = match source {
        Source::Registry(reference) => {
            let repository = registries.repository(reference);
            let wanted = reference.digest().or(reference.tag()).unwrap_or("latest");
            let manifest = match known {
                Some(known) => Some(known),
                None => repository.manifest(wanted).await.map_err(failed)?,
            };
            let manifest = manifest.ok_or_else(|| Error::NotFound { name: name.clone() })?;
            (Place::Registry(repository), Some(manifest))
        }
        Source::Layout { directory, name } => {
            let layout = Layout::open(directory).map_err(failed)?;
            let manifest = layout.manifest(name.as_deref()).map_err(failed)?;
            (Place::Layout(Arc::new(layout)), Some(manifest))
        }
        // Made, not found: see `open_debian`.
        Source::Debian { .. } => {
            return Err(Error::Unsupported { text: name, kind: "bases made of packages" });
        }
        Source::Archive { format, file, name } => {
            let layout = open_archive(file, *format, store).await.map_err(failed)?;
            let manifest = layout.manifest(name.as_deref()).map_err(failed)?;
            (Place::Layout(Arc::new(layout)), Some(manifest))
        }
        Source::Scratch => (Place::Nowhere, None),
    };
    Ok(Found { name, place, manifest })
}

/// Opens the base that `source` names, for `platform`. Its layers are read only if nobody looked into them before.
pub async fn open(
    source: &Source,
    platform: Platform,
    registries: &Registries,
    store: Arc<Store>,
) -> Result<Base, Error> {
    find(source, None, registries, &store).await?.open(platform, store, async |_: &Key| None).await
}

impl Found {
    /// What its name stands for.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Opens the image for `platform`. `recall` is asked for what is inside, by its key, before any layer is read.
    pub async fn open(
        &self,
        platform: Platform,
        store: Arc<Store>,
        recall: impl AsyncFnOnce(&Key) -> Option<Contents>,
    ) -> Result<Base, Error> {
        let Self { name, place, manifest } = self;
        let failed = |source| Error::Open { name: name.clone(), source };
        let Some(mut manifest) = manifest.clone() else { return Ok(scratch(platform)) };
        for _ in 0..INDEX_DEPTH {
            if !manifest.is_index() {
                break;
            }
            let chosen = select_platform(&manifest.bytes, platform)?;
            manifest = place
                .manifest(&chosen)
                .await
                .map_err(failed)?
                .ok_or_else(|| Error::NotFound { name: format!("{name} ({platform})") })?;
        }

        let composed = |source| Error::Image { name: name.clone(), source };
        let config = image::Base::config_descriptor(&manifest.bytes).map_err(composed)?;
        // The descriptor was checked to have a SHA-256 digest.
        let config_digest =
            config.digest().as_ref().parse::<Digest>().map_err(|_| Error::NotFound { name: name.clone() })?;
        let config = place.pull(&store, &config_digest, config.size()).await.map_err(failed)?;
        let config =
            std::fs::read(config.path()).map_err(|source| Error::Read { layer: config_digest, source })?;
        let image = image::Base::parse(&manifest.bytes, &config, platform).map_err(composed)?;
        let digest = manifest.digest;
        // A directory or file says nothing outside this machine, and an image must not depend on it.
        let public = matches!(place, Place::Registry(_)).then(|| name.clone());
        let image = image.known_as(public.clone(), digest);
        let (contents, inspected) = contents(name, &digest, place, &image, &store, recall).await?;
        let place = place.clone();
        Ok(Base { name: name.clone(), public, digest, image, contents, inspected, place })
    }
}

/// A base made of Debian's packages, with what is inside it, as far as that is not `known`. The repository `home` may have
/// its layers: it must, where they are not in the store.
pub async fn open_debian(
    name: String,
    made: debian::Made,
    home: Option<Repository>,
    known: Option<Contents>,
    store: Arc<Store>,
) -> Result<Base, Error> {
    let debian::Made { image, digest, layers, making } = made;
    let place = Place::Made(layers.into(), making, home);
    let recall = async |_: &Key| known;
    let (contents, _) = contents(&name, &digest, &place, &image, &store, recall).await?;
    // Whoever made the layers can tell again: nobody else need know.
    Ok(Base { public: Some(name.clone()), name, digest, image, contents, inspected: false, place })
}

/// What is inside an image, and whether its layers had to be read to know that.
async fn contents(
    name: &str,
    digest: &Digest,
    place: &Place,
    image: &image::Base,
    store: &Arc<Store>,
    recall: impl AsyncFnOnce(&Key) -> Option<Contents>,
) -> Result<(Contents, bool), Error> {
    let key = Contents::key(digest);
    let known = store.record(RECORDS, &key).map_err(Error::Store)?;
    Ok(match known {
        Some(contents) => (contents, false),
        None => {
            let (contents, inspected) = match recall(&key).await {
                Some(contents) => (contents, false),
                None => {
                    let found = look_inside(place, image, store).await;
                    let contents = found.map_err(|error| match error {
                        Failure::Registry(source) => Error::Open { name: name.to_owned(), source },
                        Failure::Base(error) => error,
                    })?;
                    (contents, true)
                }
            };
            store.put_record(RECORDS, &key, &contents).map_err(Error::Store)?;
            (contents, inspected)
        }
    })
}

/// No base at all.
fn scratch(platform: Platform) -> Base {
    Base {
        name: Source::Scratch.to_string(),
        public: None,
        digest: Digest::of(b""),
        image: image::Base::scratch(platform),
        contents: Contents::default(),
        inspected: false,
        place: Place::Nowhere,
    }
}

/// Opens an archive: that may take long, if it is compressed.
async fn open_archive(
    file: &std::path::Path,
    format: ArchiveFormat,
    store: &Arc<Store>,
) -> Result<Layout, registry::Error> {
    let (file, store) = (file.to_owned(), Arc::clone(store));
    match tokio::task::spawn_blocking(move || Layout::open_archive(&file, format, &store)).await {
        Ok(layout) => layout,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

enum Failure {
    Registry(registry::Error),
    Base(Error),
}

async fn look_inside(place: &Place, image: &image::Base, store: &Arc<Store>) -> Result<Contents, Failure> {
    let pulls = image.layers().iter().map(|layer| place.ready(store, &layer.digest, layer.size));
    try_join_all(pulls).await.map_err(Failure::Registry)?;
    let (place, store, layers) = (place.clone(), Arc::clone(store), image.layers().to_vec());
    let path = image.variable("PATH").map(str::to_owned);
    let work = move || {
        let layers = layers.iter().map(|layer| {
            let bytes = place.read(&store, &layer.digest, layer.size);
            Ok(Layer {
                digest: layer.digest,
                compression: match layer.media_type {
                    MediaType::ImageLayerGzip => Compression::Gzip,
                    MediaType::ImageLayerZstd => Compression::Zstd,
                    _ => Compression::None,
                },
                diff_id: layer.diff_id,
                bytes: bytes.map_err(|source| Error::Read { layer: layer.digest, source })?,
            })
        });
        inspect(layers, path.as_deref())
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(contents) => contents.map_err(Failure::Base),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

impl Base {
    /// The repository it is in, if it is in one.
    pub fn repository(&self) -> Option<&Repository> {
        match &self.place {
            Place::Registry(repository) => Some(repository),
            Place::Made(_, _, home) => home.as_ref(),
            Place::Layout(_) | Place::Nowhere => None,
        }
    }

    /// Whether there is nothing in it: `scratch`.
    pub fn is_empty(&self) -> bool {
        matches!(self.place, Place::Nowhere)
    }

    /// Its layers, if they were made and not found, and how they were come by.
    pub fn made(&self) -> Option<(&[Arc<layer::Layer>], Making)> {
        match &self.place {
            Place::Made(layers, making, _) => Some((layers, *making)),
            _ => None,
        }
    }

    /// The Python to use, as [`Contents::choose`] has it.
    pub fn choose(&self, wanted: &str, allowed: impl Fn(PythonMinor) -> bool) -> Result<&Python, Error> {
        match self.place {
            Place::Nowhere => Err(Error::Scratch { wanted: wanted.to_owned() }),
            _ => self.contents.choose(wanted, allowed),
        }
    }

    /// What went wrong with the place that the base is in, as an error about the base.
    pub fn failed(&self, source: registry::Error) -> Error {
        Error::Open { name: self.name.clone(), source }
    }

    /// Makes sure that the layer at `index` can be read on this machine.
    pub async fn pull_layer(&self, index: usize, store: &Store) -> Result<(), registry::Error> {
        let layer = &self.image.layers()[index];
        self.place.ready(store, &layer.digest, layer.size).await
    }

    /// Reads the layer at `index`, as it is stored; [`Base::pull_layer`] goes before.
    pub fn open_layer(&self, index: usize, store: &Store) -> io::Result<Box<dyn Read + Send>> {
        let layer = &self.image.layers()[index];
        self.place.read(store, &layer.digest, layer.size)
    }
}

impl Place {
    async fn manifest(&self, digest: &Digest) -> Result<Option<Manifest>, registry::Error> {
        match self {
            Self::Registry(repository) => repository.manifest(&digest.to_string()).await,
            Self::Layout(layout) => layout.manifest(Some(&digest.to_string())).map(Some),
            Self::Made(..) | Self::Nowhere => Ok(None),
        }
    }

    /// A small blob, in the store.
    async fn pull(
        &self,
        store: &Store,
        digest: &Digest,
        size: u64,
    ) -> Result<crate::store::Blob, registry::Error> {
        match self {
            Self::Registry(repository) => repository.pull_blob(store, digest, size).await,
            Self::Layout(layout) => layout.pull_blob(store, digest, size),
            // What was made here has its documents at hand, and nothing has no blobs: nobody asks for one.
            Self::Made(..) | Self::Nowhere => {
                Err(registry::Error::Source { digest: *digest, source: io::ErrorKind::NotFound.into() })
            }
        }
    }

    /// Makes sure that a layer can be read: from the store, or where the layout has it.
    async fn ready(&self, store: &Store, digest: &Digest, size: u64) -> Result<(), registry::Error> {
        match self {
            Self::Registry(repository) => repository.pull_blob(store, digest, size).await.map(drop),
            Self::Made(layers, _, Some(home)) if stored(layers, digest, store).is_none() => {
                home.pull_blob(store, digest, size).await.map(drop)
            }
            Self::Layout(_) | Self::Made(..) | Self::Nowhere => Ok(()),
        }
    }

    fn read(&self, store: &Store, digest: &Digest, size: u64) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Registry(_) => whole(store, digest, size),
            Self::Layout(layout) => Ok(Box::new(layout.open_blob(digest, size).map_err(io::Error::other)?)),
            Self::Made(layers, ..) => match stored(layers, digest, store) {
                Some(layer) => Ok(Box::new(layer::open(store, layer).map_err(io::Error::other)?)),
                None => whole(store, digest, size),
            },
            Self::Nowhere => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The layer with this digest, if all its pieces are in the store.
fn stored<'l>(layers: &'l [Arc<layer::Layer>], digest: &Digest, store: &Store) -> Option<&'l layer::Layer> {
    let layer = layers.iter().find(|layer| layer.digest == *digest)?;
    let is_stored = |piece: &layer::Piece| store.blob(&piece.digest, Some(piece.size)).is_some();
    layer.pieces.iter().all(is_stored).then_some(&**layer)
}

/// A layer that is in the store as it was read from a registry.
fn whole(store: &Store, digest: &Digest, size: u64) -> io::Result<Box<dyn Read + Send>> {
    match store.blob(digest, Some(size)) {
        Some(blob) => Ok(Box::new(blob.open().map_err(io::Error::other)?)),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}
