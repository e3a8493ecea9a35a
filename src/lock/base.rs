//! What a lock says of the base image that it was made on.

use std::fmt::Write as _;

use super::document::{Node, Result};
use super::write::quoted;
use crate::model::{Digest, PackageName, Version};

/// The base image of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Its name, if that means something outside the machine where the lock was made.
    pub name: Option<String>,
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its distributions that serve as they are: they are needed, and not among the lock's own. Sorted by name.
    pub packages: Vec<BasePackage>,
    /// Its distributions that do not do, so that the lock has others of the same names. Sorted by name.
    pub replaced: Vec<BasePackage>,
}

/// A distribution that is installed in a base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePackage {
    /// The name.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// The hash of what it says of itself.
    pub metadata: Digest,
}

impl BasePackage {
    /// The distribution as canonical text.
    pub fn fact(&self) -> String {
        format!("{} {} {}", self.name, self.version, self.metadata)
    }
}

impl Base {
    /// All that it says of distributions as canonical text, sorted: part of what the lock was made from. Not the digest:
    /// a base that was made anew with the same distributions keeps the lock true.
    pub fn facts(&self) -> Vec<String> {
        let mut facts: Vec<String> =
            self.packages.iter().chain(&self.replaced).map(BasePackage::fact).collect();
        facts.sort();
        facts
    }

    /// Its values, a line each.
    pub(super) fn write(&self, out: &mut String) {
        if let Some(name) = &self.name {
            let _ = writeln!(out, "name = {}", quoted(name));
        }
        let _ = writeln!(out, "digest = {}", quoted(&self.digest.to_string()));
        for (key, packages) in [("packages", &self.packages), ("replaced", &self.replaced)] {
            let entry = |BasePackage { name, version, metadata }: &BasePackage| {
                let texts = [name.to_string(), version.to_string(), metadata.hex()].map(|text| quoted(&text));
                let [name, version, metadata] = texts;
                format!("{{ name = {name}, version = {version}, metadata = {metadata} }}")
            };
            if !packages.is_empty() {
                super::write::list(out, key, packages.iter().map(entry));
            }
        }
    }

    /// Reads what [`Base::write`] wrote.
    pub(super) fn read(table: &Node<'_>) -> Result<Self> {
        let packages = |key: &str| {
            let package = |entry: Node<'_>| {
                let metadata = Digest::from_hex(entry.required("metadata")?);
                Ok(BasePackage {
                    name: entry.required_parsed("name")?,
                    version: entry.required_parsed("version")?,
                    metadata: metadata.map_err(|error| entry.problem_at("metadata", error.to_string()))?,
                })
            };
            let packages: Result<Vec<_>> = table.tables(key)?.into_iter().map(package).collect();
            packages.map(|mut packages| {
                packages.sort_by(|a: &BasePackage, b| a.name.cmp(&b.name));
                packages
            })
        };
        Ok(Self {
            name: table.text("name")?.map(str::to_owned),
            digest: table.required_parsed("digest")?,
            packages: packages("packages")?,
            replaced: packages("replaced")?,
        })
    }
}
