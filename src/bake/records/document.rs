//! How a record is kept in a registry: as an ordinary image.
//!
//! The manifest names the blobs that the record is about as its layers, so the registry's garbage collection keeps them.
//! The config states their diff IDs as that of any image does, and carries the record besides. A config that is not
//! large also stands in the manifest itself (the `data` of its descriptor), so that one request gives everything.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::seal::CacheKey;
use crate::layer::{Compression, Layer};
use crate::model::Digest;

/// The largest config that stands in the manifest as well. Manifests end at 4 MiB.
const INLINE: usize = 512 * 1024;
/// The largest config that is read.
const MAX_CONFIG: u64 = 64 << 20;
/// The most blobs that a record is about.
const MAX_PARTS: usize = 256;
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The annotation of the manifest that holds the seal.
const SEAL: &str = "bakehouse.seal";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is not JSON of the right shape.
    #[error("not of the expected shape")]
    Json(#[from] serde_json::Error),
    /// It contradicts itself.
    #[error("{0}")]
    Wrong(&'static str),
}

/// A blob that a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub digest: Digest,
    pub diff_id: Digest,
    pub size: u64,
    pub compression: Compression,
}

impl From<&Layer> for Part {
    fn from(layer: &Layer) -> Self {
        let &Layer { digest, diff_id, size, compression, .. } = layer;
        Self { digest, diff_id, size, compression }
    }
}

/// A record ready to be written: the same bytes for the same record.
pub struct Document {
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
}

impl Document {
    /// The media type of the manifest.
    pub const MEDIA_TYPE: &'static str = MANIFEST_TYPE;

    /// The image of a record about `parts`, for a tag; sealed if there is a key.
    pub fn new<T: Serialize>(
        tag: &str,
        record: &T,
        parts: &[Part],
        key: Option<&CacheKey>,
    ) -> Result<Self, serde_json::Error> {
        let diff_ids: Vec<_> = parts.iter().map(|part| part.diff_id).collect();
        // The wheels of a record may serve any platform.
        let config = json!({
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "bakehouse.record": record,
        });
        let config = serde_json::to_vec(&config)?;
        let mut descriptor =
            json!({"mediaType": CONFIG_TYPE, "digest": Digest::of(&config), "size": config.len()});
        if config.len() <= INLINE {
            descriptor["data"] = STANDARD.encode(&config).into();
        }
        let layers: Vec<_> = parts
            .iter()
            .map(|part| {
                let media_type = part.compression.media_type();
                json!({"mediaType": media_type, "digest": part.digest, "size": part.size})
            })
            .collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor,
            "layers": layers,
        });
        if let Some(key) = key {
            manifest["annotations"] = json!({SEAL: key.seal(tag, &config)});
        }
        Ok(Self { manifest: serde_json::to_vec(&manifest)?, config })
    }

    /// The digest of the manifest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}

/// The manifest of a record, as it was read.
pub struct Head {
    /// The config's digest and size.
    pub config: (Digest, u64),
    /// The config, if it stands in the manifest.
    pub inline: Option<Vec<u8>>,
    layers: Vec<(Digest, u64, Compression)>,
    seal: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    data: Option<String>,
}

impl Head {
    /// Reads the manifest of a record.
    pub fn parse(manifest: &[u8]) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct Manifest {
            config: Descriptor,
            layers: Vec<Descriptor>,
            #[serde(default)]
            annotations: BTreeMap<String, String>,
        }
        let Manifest { config, layers, mut annotations } = serde_json::from_slice(manifest)?;
        if config.media_type != CONFIG_TYPE || config.size > MAX_CONFIG {
            return Err(Malformed::Wrong("its config is none of an image, or too large"));
        }
        let known = layers.iter().take(MAX_PARTS).filter_map(|layer| {
            Some((layer.digest, layer.size, Compression::of_media_type(&layer.media_type)?))
        });
        let known: Vec<_> = known.collect();
        if known.len() != layers.len() {
            return Err(Malformed::Wrong("its layers are too many, or of another kind"));
        }
        let inline = match config.data {
            None => None,
            Some(text) => {
                let bytes = STANDARD.decode(text);
                Some(bytes.map_err(|_| Malformed::Wrong("the config in the manifest is not Base64"))?)
            }
        };
        let seal = annotations.remove(SEAL);
        Ok(Self { config: (config.digest, config.size), inline, layers: known, seal })
    }

    /// Whether whoever holds `key` wrote this record, with this config, for this tag.
    pub fn is_sealed(&self, key: &CacheKey, tag: &str, config: &[u8]) -> bool {
        self.seal.as_ref().is_some_and(|seal| key.opens(tag, config, seal))
    }

    /// The record and what it is about, from the config's bytes.
    pub fn record<T: DeserializeOwned>(&self, config: &[u8]) -> Result<(T, Vec<Part>), Malformed> {
        #[derive(Deserialize)]
        struct Config<T> {
            rootfs: RootFs,
            #[serde(rename = "bakehouse.record")]
            record: T,
        }
        #[derive(Deserialize)]
        struct RootFs {
            diff_ids: Vec<Digest>,
        }
        if (Digest::of(config), config.len() as u64) != self.config {
            return Err(Malformed::Wrong("its config is not what the manifest says"));
        }
        let Config { rootfs: RootFs { diff_ids }, record } = serde_json::from_slice(config)?;
        if diff_ids.len() != self.layers.len() {
            return Err(Malformed::Wrong("its config has another number of layers than its manifest"));
        }
        let parts = self.layers.iter().zip(diff_ids);
        let parts =
            parts.map(|(&(digest, size, compression), diff_id)| Part { digest, diff_id, size, compression });
        Ok((record, parts.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Part {
        let digest = Digest::of(text.as_bytes());
        let compression = if text.len() > 1 { Compression::Zstd } else { Compression::Gzip };
        Part { digest, diff_id: Digest::of(digest.as_bytes()), size: text.len() as u64, compression }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let parts = [part("a"), part("bc")];
        let document = Document::new("l1-a", &"hello", &parts, None).unwrap();
        let head = Head::parse(&document.manifest).unwrap();
        assert_eq!(head.inline.as_deref(), Some(&document.config[..]));
        let (record, read): (String, _) = head.record(&document.config).unwrap();
        assert_eq!((record.as_str(), &read[..]), ("hello", &parts[..]));
    }

    #[test]
    fn a_large_config_stands_apart() {
        let document = Document::new("l1-a", &"x".repeat(INLINE), &[part("a")], None).unwrap();
        assert!(document.manifest.len() < 1000);
        assert_eq!(Head::parse(&document.manifest).unwrap().inline, None);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let document = Document::new("l1-a", &1, &[part("a")], None).unwrap();
        let head = Head::parse(&document.manifest).unwrap();
        let other = Document::new("l1-a", &2, &[part("a")], None).unwrap();
        assert!(head.record::<u32>(&other.config).is_err(), "another config");
        assert!(head.record::<String>(&document.config).is_err(), "another kind of record");
        for (from, to) in [("image.config", "image.other"), ("tar+gzip", "tar"), ("\"layers\"", "\"parts\"")]
        {
            let text = String::from_utf8(document.manifest.clone()).unwrap().replace(from, to);
            assert!(Head::parse(text.as_bytes()).is_err(), "{to}");
        }
        let bare = json!({"rootfs": {"diff_ids": []}, "bakehouse.record": 1}).to_string();
        let config =
            json!({"mediaType": CONFIG_TYPE, "digest": Digest::of(bare.as_bytes()), "size": bare.len()});
        let layers =
            json!([{"mediaType": Compression::Gzip.media_type(), "digest": part("a").digest, "size": 1}]);
        let head = Head::parse(json!({"config": config, "layers": layers}).to_string().as_bytes()).unwrap();
        assert!(head.record::<u32>(bare.as_bytes()).is_err(), "fewer diff IDs than layers");
    }
}
