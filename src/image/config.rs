//! The config document. (The types of `oci-spec` would lose what they do not know, such as health checks, and write
//! their maps in random order.)

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An image's config. Docker's leftovers at the top level (of the container it was committed from, and of caches) are
/// dropped: they describe the base alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Config {
    pub(super) architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) author: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) config: Runtime,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) history: Vec<History>,
    pub(super) os: String,
    #[serde(rename = "os.features", skip_serializing_if = "Option::is_none")]
    pub(super) os_features: Option<Vec<String>>,
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub(super) os_version: Option<String>,
    pub(super) rootfs: RootFs,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) variant: Option<String>,
}

/// How to run the image. What is not known here is kept as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Runtime {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entrypoint: Option<Vec<String>>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub(super) env: Vec<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) exposed_ports: BTreeMap<String, Value>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) working_dir: Option<String>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// One step of how the image came to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_by: Option<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub(super) empty_layer: bool,
}

/// The layers, uncompressed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RootFs {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) diff_ids: Vec<String>,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// Go writes `null` for what is empty.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Runtime {
    /// The value of an environment variable.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }

    /// Sets an environment variable: where it stands, or at the end.
    pub(super) fn set_variable(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        let is_same = |other: &String| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        match self.env.iter().position(is_same) {
            Some(place) => {
                self.env[place] = entry;
                let mut seen = false;
                self.env.retain(|other| !is_same(other) || !std::mem::replace(&mut seen, true));
            }
            None => self.env.push(entry),
        }
    }
}
