//! Images into archives: written at the end of a run, in the order of their names.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::context::Context;
use super::deliver::{Blob, Finished, open};
use super::{Error, Event, Output};
use crate::image::Document;
use crate::model::Digest;
use crate::registry::{self, ArchiveFormat, ArchiveWriter};
use crate::store::Store;

/// The archives of a run, and the images that go into each.
#[derive(Default)]
pub struct Archives {
    outputs: Vec<Output>,
    images: Mutex<Vec<Finished>>,
    /// The image indexes, by name.
    indexes: Mutex<BTreeMap<String, Document>>,
}

impl Archives {
    /// Those among the outputs. Whether they can be written is asked now rather than after all the work.
    pub fn new(outputs: &[Output]) -> Result<Self, Error> {
        let mut archives = Self::default();
        for output in outputs {
            if let Output::Archive(_, path) = output {
                let failed = |source| Error::Deliver { image: output.to_string(), source };
                ArchiveWriter::check(path).map_err(failed)?;
                archives.outputs.push(output.clone());
            }
        }
        Ok(archives)
    }

    /// Keeps an image until all are there; whether there is an archive to write it to.
    pub fn keep(&self, finished: &Finished) -> bool {
        if self.outputs.is_empty() {
            return false;
        }
        self.images.lock().unwrap_or_else(PoisonError::into_inner).push(finished.clone());
        true
    }

    /// Keeps an image index.
    pub fn keep_index(&self, name: &str, index: &Document) {
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.insert(name.to_owned(), index.clone());
    }

    /// Writes the archives; tells how many bytes they have.
    pub async fn write(&self, context: &Context<'_>, tags: &[String]) -> Result<u64, Error> {
        let mut images = std::mem::take(&mut *self.images.lock().unwrap_or_else(PoisonError::into_inner));
        images.sort_by(|a, b| (&a.name, a.image.platform).cmp(&(&b.name, b.image.platform)));
        let indexes = std::mem::take(&mut *self.indexes.lock().unwrap_or_else(PoisonError::into_inner));
        if !self.outputs.is_empty() {
            for image in &images {
                for layer in &image.layers {
                    layer.pull(context, &image.name).await?;
                }
            }
        }
        let all = Arc::new((images, indexes));
        let mut written = 0;
        for output in &self.outputs {
            let Output::Archive(format, path) = output else { continue };
            context.event(Event::Delivering(&output.to_string()));
            let (format, path, tags) = (*format, path.clone(), tags.to_vec());
            let (all, store) = (Arc::clone(&all), Arc::clone(&context.store));
            let name = output.to_string();
            let write = move || match format {
                ArchiveFormat::Oci => oci(&path, &all.0, &all.1, &tags, &store),
                ArchiveFormat::Docker => docker(&path, &all.0, &store),
            };
            let outcome = tokio::task::spawn_blocking(write).await.map_err(Error::Worker)?;
            written += outcome.map_err(|source| Error::Deliver { image: name, source })?;
        }
        Ok(written)
    }
}

/// An OCI layout as a tar file.
fn oci(
    path: &Path,
    images: &[Finished],
    indexes: &BTreeMap<String, Document>,
    tags: &[String],
    store: &Store,
) -> Result<u64, registry::Error> {
    let mut archive = ArchiveWriter::create(path)?;
    archive.bytes("oci-layout", registry::layout_marker().as_bytes())?;
    let images_named = images.iter().map(|image| (image.image.descriptor(), names(&image.name, &image.tags)));
    let indexes_named = indexes.iter().map(|(name, index)| (index.descriptor(), names(name, tags)));
    let listed: Vec<_> = images_named.chain(indexes_named).collect();
    let named = listed
        .iter()
        .flat_map(|(descriptor, names)| names.iter().map(move |name| (descriptor, name.as_str())));
    let index = registry::index_document(named).map_err(|error| failed(path, error.into()))?;
    archive.bytes("index.json", index.as_bytes())?;

    let mut layers = BTreeMap::new();
    let mut documents = BTreeMap::new();
    for image in images {
        for document in [&image.image.config, &image.image.manifest] {
            documents.insert(document.digest, &document.bytes);
        }
        layers.extend(image.layers.iter().map(|layer| (layer.digest, layer)));
    }
    documents.extend(indexes.values().map(|index| (index.digest, &index.bytes)));
    for (digest, bytes) in documents {
        archive.blob(&digest, bytes.len() as u64, &mut &**bytes)?;
    }
    for (digest, blob) in layers {
        let mut reader = open(blob, store).map_err(|error| failed(path, error))?;
        archive.blob(&digest, blob.size, &mut reader)?;
    }
    archive.finish()
}

/// What `docker load` reads: layers, configs, and the list of images. Layers are in it as they are, packed by gzip or not at
/// all, both of which every reader knows; those in newer compressions are unpacked.
fn docker(path: &Path, images: &[Finished], store: &Store) -> Result<u64, registry::Error> {
    let mut archive = ArchiveWriter::create(path)?;
    let mut list = Vec::new();
    let mut configs = BTreeMap::new();
    let mut layers = BTreeMap::new();
    for image in images {
        let kinds = layer_kinds(&image.image.manifest.bytes, &image.image.config.bytes);
        let config = &image.image.config;
        let members = image.layers.iter().zip(kinds).map(|(blob, (diff_id, media_type))| {
            let unpack = media_type.ends_with("zstd");
            let digest = if unpack { diff_id } else { blob.digest };
            let suffix = if media_type.ends_with("gzip") { ".tar.gz" } else { ".tar" };
            (digest.hex() + suffix, (digest, blob, unpack))
        });
        let members: Vec<_> = members.collect();
        list.push(json!({
            "Config": format!("{}.json", config.digest.hex()),
            "RepoTags": names(&image.name, &image.tags),
            "Layers": members.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        }));
        configs.insert(config.digest, &config.bytes);
        layers.extend(members);
    }
    archive.bytes("manifest.json", Value::from(list).to_string().as_bytes())?;
    for (digest, bytes) in configs {
        archive.bytes(&format!("{}.json", digest.hex()), bytes)?;
    }
    for (name, (digest, blob, unpack)) in layers {
        let reader = if unpack { unpacked(blob, store) } else { open(blob, store) };
        let mut reader = reader.map_err(|error| failed(path, error))?;
        archive.file(&name, &digest, &mut reader)?;
    }
    archive.finish()
}

/// `NAME:TAG`, for every tag.
fn names(name: &str, tags: &[String]) -> Vec<String> {
    tags.iter().map(|tag| format!("{name}:{tag}")).collect()
}

/// The diff ID and the media type of each layer, from documents that were made here.
fn layer_kinds(manifest: &[u8], config: &[u8]) -> Vec<(Digest, String)> {
    let read = |bytes| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let (manifest, config) = (read(manifest), read(config));
    let diff_ids = config["rootfs"]["diff_ids"].as_array().into_iter().flatten();
    let layers = manifest["layers"].as_array().into_iter().flatten();
    let kinds = diff_ids.zip(layers).filter_map(|(diff_id, layer)| {
        Some((diff_id.as_str()?.parse().ok()?, layer["mediaType"].as_str()?.to_owned()))
    });
    kinds.collect()
}

/// The tar of a layer that is packed by Zstandard.
fn unpacked(blob: &Blob, store: &Store) -> io::Result<Box<dyn Read + Send>> {
    let bytes = BufReader::with_capacity(128 * 1024, open(blob, store)?);
    Ok(Box::new(zstd::Decoder::with_buffer(bytes)?))
}

fn failed(path: &Path, source: io::Error) -> registry::Error {
    // A base's layer is checked as it is read, and tells what is wrong inside the I/O error.
    match source.downcast::<registry::Error>() {
        Ok(error) => error,
        Err(source) => registry::Error::Io { action: "copy what goes into", path: path.to_owned(), source },
    }
}
