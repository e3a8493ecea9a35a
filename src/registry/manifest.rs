//! Manifests as documents: bytes, media type, digest.

use bytes::Bytes;
use oci_spec::image::MediaType;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::{Error, shown};
use crate::model::Digest;

/// The largest manifest; what registries and runtimes agree on.
pub const MAX_MANIFEST_SIZE: u64 = 4 * 1024 * 1024;

/// Docker's image manifest, which differs from the OCI's in media types alone.
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's image index.
pub(super) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// An image manifest or image index, as it is in a registry or layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The document.
    pub bytes: Bytes,
    /// What it is: one of the OCI's or Docker's two media types for image manifests and indexes.
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
}

impl Manifest {
    /// Checks that a document is what its media type says. `stated` is what was told beside it (an HTTP header, a
    /// descriptor); the document may state it too, and then both must agree, so that nobody is shown another image
    /// than the next one.
    pub(super) fn new(bytes: Bytes, stated: Option<&str>, reference: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            #[serde(default)]
            schema_version: Option<u32>,
            #[serde(default)]
            media_type: Option<String>,
            #[serde(default)]
            manifests: Option<IgnoredAny>,
            #[serde(default)]
            layers: Option<IgnoredAny>,
        }
        let bad = |problem: String| Error::BadManifest { reference: reference.to_owned(), problem };
        let shape: Shape = serde_json::from_slice(&bytes).map_err(|e| bad(format!("it is not JSON: {e}")))?;
        // Without its parameters; types that say nothing count as nothing.
        let stated = stated
            .and_then(|text| text.split(';').next())
            .map(|text| text.trim().to_ascii_lowercase())
            .filter(|text| {
                !matches!(text.as_str(), "" | "application/json" | "application/octet-stream" | "text/plain")
            });
        let is_schema_1 =
            |text: &String| text.starts_with("application/vnd.docker.distribution.manifest.v1+");
        if shape.schema_version == Some(1) || stated.iter().chain(&shape.media_type).any(is_schema_1) {
            return Err(Error::SchemaOne { reference: reference.to_owned() });
        }
        if let (Some(outside), Some(inside)) = (&stated, &shape.media_type)
            && outside != inside
        {
            return Err(bad(format!("announced as {}, it says it is {}", shown(outside), shown(inside))));
        }
        let (manifest, index) = (MediaType::ImageManifest, MediaType::ImageIndex);
        let media_type = match (stated.or(shape.media_type), &shape.manifests, &shape.layers) {
            (Some(_), Some(_), Some(_)) => {
                return Err(bad("it is both an image manifest and an image index".into()));
            }
            (Some(text), _, Some(_)) if text == manifest.as_ref() || text == DOCKER_MANIFEST => text,
            (Some(text), Some(_), _) if text == index.as_ref() || text == DOCKER_INDEX => text,
            (None, None, Some(_)) => manifest.into(),
            (None, Some(_), None) => index.into(),
            (Some(text), ..) => {
                return Err(bad(format!("{} is no image manifest and no image index", shown(&text))));
            }
            (None, ..) => return Err(bad("it is no image manifest and no image index".into())),
        };
        Ok(Self { digest: Digest::of(&bytes), bytes, media_type })
    }

    /// Whether this is an image index (of either kind): a list of manifests, one a platform.
    pub fn is_index(&self) -> bool {
        self.media_type == DOCKER_INDEX || self.media_type == MediaType::ImageIndex.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";

    fn parse(bytes: &'static str, stated: Option<&str>) -> Result<String, Error> {
        Manifest::new(Bytes::from_static(bytes.as_bytes()), stated, "r.example/a:b").map(|m| m.media_type)
    }

    #[test]
    fn the_kind_comes_from_outside_or_inside_or_the_shape() {
        let plain = r#"{"schemaVersion":2,"layers":[]}"#;
        assert_eq!(parse(plain, Some(OCI)).unwrap(), OCI);
        assert_eq!(
            parse(plain, Some("application/vnd.docker.distribution.manifest.v2+json; charset=utf-8"))
                .unwrap(),
            DOCKER_MANIFEST
        );
        assert_eq!(parse(plain, Some("application/json")).unwrap(), OCI);
        assert_eq!(parse(plain, None).unwrap(), OCI);
        assert_eq!(parse(r#"{"manifests":[]}"#, None).unwrap(), INDEX);
    }

    #[test]
    fn documents_of_two_faces_are_refused() {
        for (document, stated) in [
            (r#"{"layers":[],"manifests":[]}"#, Some(OCI)),
            (r#"{"layers":[],"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#, Some(INDEX)),
            (r#"{"layers":[]}"#, Some(INDEX)),
            (r#"{"layers":[]}"#, Some("application/vnd.example+json")),
            ("{}", None),
            ("[]", Some(OCI)),
            ("", None),
        ] {
            assert!(matches!(parse(document, stated), Err(Error::BadManifest { .. })), "{document}");
        }
        let old = parse(r#"{"schemaVersion":1,"fsLayers":[]}"#, None);
        assert!(matches!(old, Err(Error::SchemaOne { .. })));
    }
}
