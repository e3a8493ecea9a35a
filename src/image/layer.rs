//! Layers as documents refer to them.

use std::collections::HashMap;

use oci_spec::image::{Descriptor, MediaType, Sha256Digest};

use super::error::Error;
use crate::model::Digest;

/// A layer of an image: what the manifest and the config say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The digest of the (compressed) blob.
    pub digest: Digest,
    /// The digest of the uncompressed tar archive.
    pub diff_id: Digest,
    /// The size of the blob in bytes.
    pub size: u64,
    /// How it is compressed: one of the OCI's media types for layers.
    pub media_type: MediaType,
    /// What made it, for the history: `environment numpy`, say.
    pub created_by: String,
    /// What else the manifest says of it: a base's layers may have a table of contents for lazy pulling.
    pub annotations: Option<HashMap<String, String>>,
}

impl Layer {
    pub(super) fn descriptor(&self) -> Descriptor {
        let mut descriptor = descriptor(self.media_type.clone(), self.size, &self.digest);
        descriptor.set_annotations(self.annotations.clone());
        descriptor
    }
}

/// A descriptor of a blob.
pub(super) fn descriptor(media_type: MediaType, size: u64, digest: &Digest) -> Descriptor {
    // The one form of a digest always parses as the other.
    let Ok(digest) = digest.hex().parse::<Sha256Digest>() else { unreachable!("64 hexadecimal digits") };
    Descriptor::new(media_type, size, digest)
}

/// The OCI's media type for a layer; Docker's are the same under other names. Layers that must not be distributed could
/// not be pushed, so images on top of them could not be pulled.
pub(super) fn media_type(found: &Descriptor) -> Result<MediaType, Error> {
    Ok(match found.media_type() {
        known @ (MediaType::ImageLayer | MediaType::ImageLayerGzip | MediaType::ImageLayerZstd) => {
            known.clone()
        }
        other => match other.as_ref() {
            "application/vnd.docker.image.rootfs.diff.tar" => MediaType::ImageLayer,
            "application/vnd.docker.image.rootfs.diff.tar.gzip" => MediaType::ImageLayerGzip,
            "application/vnd.docker.image.rootfs.diff.tar.zstd" => MediaType::ImageLayerZstd,
            other => {
                return Err(Error::UnusableLayer {
                    digest: found.digest().to_string(),
                    media_type: other.chars().filter(|c| !c.is_control()).take(100).collect(),
                });
            }
        },
    })
}
