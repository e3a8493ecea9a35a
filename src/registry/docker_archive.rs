//! What `docker save` writes, presented as an OCI layout.
//!
//! `manifest.json` lists images, each with its config, its names and its layers. Layers are uncompressed there, as a
//! rule: such a layer's digest is its diff ID. Nothing is converted but the documents.

use std::io;
use std::path::Path;

use oci_spec::image::{ANNOTATION_REF_NAME, MediaType};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Error, shown};
use super::layout::{blob_name, layout_marker};
use super::manifest::MAX_MANIFEST_SIZE;
use super::tarball::{Compressed, Tarball};
use crate::model::{Digest, HashingReader};

/// The largest `manifest.json`: thousands of images.
const MAX_LIST: u64 = 16 * 1024 * 1024;
/// The most layers of one image.
const MAX_LAYERS: usize = 1000;

/// An image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// A config, as far as it matters here.
#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// Adds the files that make an OCI layout of the archive.
pub(super) fn present_as_layout(archive: &mut Tarball, path: &Path) -> Result<(), Error> {
    let bad = |problem: String| Error::BadLayout { path: path.to_owned(), problem };
    let list = archive.small("manifest.json", MAX_LIST)?;
    let list = list.ok_or_else(|| bad("it has no `manifest.json`: `docker save` writes one".into()))?;
    let list: Vec<Listed> = serde_json::from_slice(&list)
        .map_err(|error| bad(format!("its `manifest.json` is broken: {error}")))?;
    let mut index = Vec::new();
    for image in list {
        let manifest = manifest(archive, path, &image)?.to_string().into_bytes();
        let digest = Digest::of(&manifest);
        let entry = json!({
            "mediaType": MediaType::ImageManifest, "digest": digest, "size": manifest.len(),
        });
        archive.add(blob_name(&digest), manifest);
        let mut names = image.repo_tags.unwrap_or_default();
        names.retain(|name| !name.is_empty());
        if names.is_empty() {
            index.push(entry);
            continue;
        }
        // Docker's own registry may be left out.
        let short =
            |name: &String| name.strip_prefix("docker.io/").map(|name| name.replacen("library/", "", 1));
        names.extend(names.iter().filter_map(short).collect::<Vec<_>>());
        names.sort();
        names.dedup();
        for name in names {
            let mut named = entry.clone();
            named["annotations"] = json!({ ANNOTATION_REF_NAME: name });
            index.push(named);
        }
    }
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::ImageIndex, "manifests": index });
    archive.add("index.json".to_owned(), index.to_string().into_bytes());
    archive.add("oci-layout".to_owned(), layout_marker().into_bytes());
    Ok(())
}

/// The manifest of an image; its config and layers become blobs by their digests.
fn manifest(archive: &mut Tarball, path: &Path, image: &Listed) -> Result<Value, Error> {
    let bad = |problem: String| Error::BadLayout { path: path.to_owned(), problem };
    let missing = |name: &str| bad(format!("it has no file `{}`, which `manifest.json` names", shown(name)));
    let config = archive.small(&image.config, MAX_MANIFEST_SIZE)?.ok_or_else(|| missing(&image.config))?;
    let digest = Digest::of(&config);
    archive.alias(blob_name(&digest), &image.config);
    let parsed: Config = serde_json::from_slice(&config)
        .map_err(|error| bad(format!("the config `{}` is broken: {error}", shown(&image.config))))?;
    let diff_ids = parsed.rootfs.diff_ids;
    if diff_ids.len() != image.layers.len() || diff_ids.len() > MAX_LAYERS {
        let (listed, stated) = (image.layers.len(), diff_ids.len());
        return Err(bad(format!("`manifest.json` lists {listed} layers of an image, its config {stated}")));
    }
    let mut layers = Vec::new();
    for (name, diff_id) in image.layers.iter().zip(&diff_ids) {
        let size = archive.size(name).ok_or_else(|| missing(name))?;
        let (digest, media_type) = match archive.compression(name) {
            // Whoever reads it checks that it is.
            Compressed::No => {
                let digest = diff_id.parse::<Digest>();
                let digest = digest.map_err(|_| bad(format!("`{}` is no SHA-256 digest", shown(diff_id))))?;
                (digest, MediaType::ImageLayer)
            }
            Compressed::Gzip => (hash(archive, path, name)?, MediaType::ImageLayerGzip),
            Compressed::Zstd => (hash(archive, path, name)?, MediaType::ImageLayerZstd),
        };
        // The same layer under the name of its blob, unless it is there.
        if blob_name(&digest) != *name {
            archive.alias(blob_name(&digest), name);
        }
        layers.push(json!({ "mediaType": media_type, "digest": digest, "size": size }));
    }
    Ok(json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "config": { "mediaType": MediaType::ImageConfig, "digest": digest, "size": config.len() },
        "layers": layers,
    }))
}

fn hash(archive: &Tarball, path: &Path, name: &str) -> Result<Digest, Error> {
    let reader = archive.read(name)?;
    let mut reader = HashingReader::new(reader.unwrap_or_else(|| Box::new(io::empty())));
    io::copy(&mut reader, &mut io::sink()).map_err(Error::io("read", path))?;
    Ok(reader.finish().1)
}
