//! Image indexes: which image is for which platform. The OCI's and Docker's (manifest lists) differ in media types alone.

use serde::Deserialize;

use crate::model::{Arch, Digest, Platform};

use super::error::Error;

// Lenient where other images' entries are concerned: one odd entry must not spoil an index.
#[derive(Deserialize)]
struct RawDescriptor {
    digest: String,
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

/// Picks the image for a platform from an image index or a manifest list. Where several fit, it is the one that the
/// most processors run, and of equals the first. An index of a single entry without a platform, as layouts have it,
/// gives that entry: its config tells. What is picked may be an image index again.
pub fn select_platform(index: &[u8], wanted: Platform) -> Result<Digest, Error> {
    #[derive(Deserialize)]
    struct RawIndex {
        manifests: Vec<serde_json::Value>,
    }
    let problem = |error: &dyn std::fmt::Display| Error::Document {
        document: "image index",
        problem: error.to_string(),
    };
    let raw: RawIndex = serde_json::from_slice(index).map_err(|error| problem(&error))?;
    let digest = |entry: &RawDescriptor| entry.digest.parse().map_err(|error| problem(&error));
    let entries: Vec<RawDescriptor> =
        raw.manifests.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect();

    let ranked = entries.iter().filter_map(|entry| Some((entry.platform.as_ref()?.rank(wanted)?, entry)));
    if let Some((_, entry)) = ranked.min_by_key(|(rank, _)| *rank) {
        return digest(entry);
    }
    if let [entry @ RawDescriptor { platform: None, .. }] = entries.as_slice() {
        return digest(entry);
    }
    // Attestations are listed as images for `unknown/unknown`.
    let found = entries.iter().filter_map(|entry| entry.platform.as_ref()).map(RawPlatform::shown);
    let mut found: Vec<_> = found.filter(|platform| !platform.contains("unknown")).collect();
    found.sort();
    found.dedup();
    Err(Error::NoPlatform { wanted, found })
}
