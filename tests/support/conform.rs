//! Images held against the JSON schemas of the image specification.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::Path;

use bakehouse::model::Digest;
use boon::{Compiler, SchemaIndex, Schemas, UrlLoader};
use serde_json::Value;

/// The schemas of the specification, which refer to each other by names relative to identifiers of many forms: only the
/// last part says which is meant.
struct Folder;

impl UrlLoader for Folder {
    fn load(&self, url: &str) -> Result<Value, Box<dyn Error>> {
        let file = url.rsplit('/').next().unwrap_or_default();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/image-spec");
        Ok(serde_json::from_slice(&fs::read(folder.join(file))?)?)
    }
}

struct Known {
    compiler: Compiler,
    schemas: Schemas,
    compiled: BTreeMap<String, SchemaIndex>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::new({
        let mut compiler = Compiler::new();
        compiler.use_loader(Box::new(Folder));
        compiler.enable_format_assertions();
        Known { compiler, schemas: Schemas::new(), compiled: BTreeMap::new() }
    });
}

/// Holds a document against one schema.
pub fn document(schema: &str, document: &Value) {
    KNOWN.with_borrow_mut(|Known { compiler, schemas, compiled }| {
        let index = *compiled.entry(schema.to_owned()).or_insert_with(|| {
            compiler
                .compile(&format!("https://schemas.invalid/{schema}"), schemas)
                .unwrap_or_else(|e| panic!("{e}"))
        });
        if let Err(error) = schemas.validate(document, index) {
            panic!("not as {schema} says: {error}\n{document:#}");
        }
    });
}

/// Holds everything in an OCI layout against the schemas, and every blob against its descriptor.
pub fn layout(path: &Path) {
    let read = |file: &str| serde_json::from_slice::<Value>(&fs::read(path.join(file)).unwrap()).unwrap();
    document("image-layout-schema.json", &read("oci-layout"));
    let index = read("index.json");
    document("image-index-schema.json", &index);
    let mut descriptors: Vec<Value> = index["manifests"].as_array().unwrap().clone();
    while let Some(descriptor) = descriptors.pop() {
        document("content-descriptor.json", &descriptor);
        let digest = descriptor["digest"].as_str().unwrap();
        let file = path.join("blobs").join(digest.replace(':', "/"));
        assert_eq!(Some(fs::metadata(&file).unwrap().len()), descriptor["size"].as_u64(), "{digest}");
        let media_type = descriptor["mediaType"].as_str().unwrap();
        let (schema, lists) = match media_type {
            "application/vnd.oci.image.index.v1+json" => ("image-index-schema.json", &["manifests"][..]),
            "application/vnd.oci.image.manifest.v1+json" => ("image-manifest-schema.json", &["layers"][..]),
            "application/vnd.oci.image.config.v1+json" => ("config-schema.json", &[][..]),
            _ => {
                let bytes = fs::File::open(&file).unwrap();
                let tar: Box<dyn Read> = match media_type {
                    "application/vnd.oci.image.layer.v1.tar" => Box::new(bytes),
                    "application/vnd.oci.image.layer.v1.tar+gzip" => {
                        Box::new(flate2::read::MultiGzDecoder::new(bytes))
                    }
                    "application/vnd.oci.image.layer.v1.tar+zstd" => {
                        Box::new(zstd::Decoder::new(bytes).unwrap())
                    }
                    _ => panic!("{media_type}"),
                };
                no_path_twice(tar, digest);
                continue;
            }
        };
        let bytes = fs::read(&file).unwrap();
        assert_eq!(Digest::of(&bytes).to_string(), digest);
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        document(schema, &value);
        if !value["config"]["digest"].is_null() {
            descriptors.push(value["config"].clone());
        }
        for list in lists {
            descriptors.extend(value[list].as_array().unwrap().iter().cloned());
        }
    }
}

/// Docker, podman and buildah refuse a layer in which a path occurs twice, be it a directory's.
fn no_path_twice(tar: impl Read, name: &str) {
    let mut seen = BTreeSet::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let path = entry.unwrap().path().unwrap().into_owned();
        assert!(seen.insert(path.clone()), "{} is twice in {name}", path.display());
    }
}

/// The same of a layout in a tar file.
pub fn archive(path: &Path) {
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(fs::File::open(path).unwrap()).unpack(folder.path()).unwrap();
    layout(folder.path());
}

/// The configs in what `docker load` reads, and that its layers are what the configs say.
pub fn docker_archive(path: &Path) {
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(fs::File::open(path).unwrap()).unpack(folder.path()).unwrap();
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let list: Value = serde_json::from_slice(&read("manifest.json")).unwrap();
    for image in list.as_array().unwrap() {
        let config: Value = serde_json::from_slice(&read(image["Config"].as_str().unwrap())).unwrap();
        document("config-schema.json", &config);
        let layers = image["Layers"].as_array().unwrap();
        let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
        assert_eq!(layers.len(), diff_ids.len());
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            let name = layer.as_str().unwrap();
            let mut bytes = read(name);
            if name.ends_with(".gz") {
                let packed = std::mem::take(&mut bytes);
                let mut tar = flate2::read::MultiGzDecoder::new(&packed[..]);
                tar.read_to_end(&mut bytes).unwrap();
            }
            no_path_twice(&bytes[..], name);
            assert_eq!(Digest::of(&bytes).to_string(), diff_id.as_str().unwrap(), "{name}");
        }
    }
}

/// Every manifest and config in a registry's storage, but for those of other formats.
pub fn registry(storage: &Path) {
    let root = storage.join("docker/registry/v2");
    let read = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap();
        fs::read(root.join("blobs/sha256").join(&hex[..2]).join(hex).join("data")).ok()
    };
    let mut folders = vec![root.join("repositories")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path().is_dir()) {
            if entry.file_name() != "_manifests" {
                folders.push(entry.path());
                continue;
            }
            let revisions =
                fs::read_dir(entry.path().join("revisions/sha256")).into_iter().flatten().flatten();
            for revision in revisions {
                // What a test deleted or damaged has no link or no blob.
                let Ok(digest) = fs::read_to_string(revision.path().join("link")) else { continue };
                let Some(manifest) =
                    read(&digest).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
                else {
                    continue;
                };
                match manifest["mediaType"].as_str() {
                    Some("application/vnd.oci.image.index.v1+json") => {
                        document("image-index-schema.json", &manifest)
                    }
                    Some("application/vnd.oci.image.manifest.v1+json") => {
                        document("image-manifest-schema.json", &manifest);
                        let config = read(manifest["config"]["digest"].as_str().unwrap());
                        if let Some(config) = config
                            && manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
                        {
                            document("config-schema.json", &serde_json::from_slice(&config).unwrap());
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
