//! What the base image has installed, where that counts.
//!
//! It counts where nobody asks for a Python, neither the command line nor the project: then the environment stands on the
//! base's own Python as `python -m venv --system-site-packages` makes one. The base's distributions can be imported, those
//! that satisfy what is required are not installed again, and what does not satisfy is installed over it. Whoever asks for
//! a Python gets that, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::environments::Unit;
use crate::base::{Distribution, Python};
use crate::dist::EntryPoint;
use crate::index::Metadata;
use crate::lock::{self, BasePackage, Lock};
use crate::model::{Digest, PackageName, Version};

/// The distributions of a base that count, by name; none where none do.
#[derive(Debug, Clone, Default)]
pub struct Installed(BTreeMap<PackageName, One>);

#[derive(Debug, Clone)]
struct One {
    metadata: Arc<Metadata>,
    fact: BasePackage,
    scripts: Vec<EntryPoint>,
}

impl Installed {
    /// Those of an interpreter. One whose metadata cannot be read can be imported, but satisfies nothing.
    pub fn of(python: &Python) -> Self {
        let one = |distribution: &Distribution| {
            let metadata = Metadata::of_installed(&distribution.metadata);
            let metadata =
                metadata.inspect_err(|why| tracing::debug!(why, "a distribution of the base")).ok()?;
            let (name, version) = (metadata.name.clone(), metadata.version.clone());
            let mut text = distribution.metadata.clone();
            for (name, reference) in &distribution.scripts {
                text += &format!("{name} = {reference}\n");
            }
            let fact = BasePackage { name: name.clone(), version, metadata: Digest::of(text.as_bytes()) };
            let scripts = distribution.scripts.iter();
            let scripts =
                scripts.filter_map(|(name, reference)| EntryPoint::parse(name, reference)).collect();
            Some((name, One { metadata: Arc::new(metadata), fact, scripts }))
        };
        let mut found = BTreeMap::new();
        for (name, one) in python.distributions.iter().filter_map(one) {
            found.entry(name).or_insert(one);
        }
        Self(found)
    }

    /// Whether there is nothing that counts.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their metadata, as resolving takes it.
    pub fn metadata(&self) -> BTreeMap<PackageName, Arc<Metadata>> {
        self.0.iter().map(|(name, one)| (name.clone(), Arc::clone(&one.metadata))).collect()
    }

    /// All of them as canonical text.
    pub fn facts(&self) -> Vec<String> {
        self.0.values().map(|one| one.fact.fact()).collect()
    }

    /// Those that a lock names, as canonical text: while these are the same, it is as true as it was.
    pub fn facts_of(&self, lock: &Lock) -> Vec<String> {
        let served = lock.base.iter().flat_map(|base| &base.packages).map(|package| &package.name);
        let names: BTreeSet<&PackageName> = lock.pins.iter().map(|pin| &pin.name).chain(served).collect();
        let facts: BTreeSet<String> =
            names.into_iter().filter_map(|name| self.0.get(name)).map(|one| one.fact.fact()).collect();
        facts.into_iter().collect()
    }

    /// What a lock says of the base: `served` is what the solver took, `pinned` what it did not.
    pub fn locked<'n>(
        &self,
        unit: &Unit<'_>,
        served: &[(PackageName, Version)],
        pinned: impl Iterator<Item = &'n PackageName>,
    ) -> Option<lock::Base> {
        let base = unit.base.as_ref()?;
        let fact = |name: &PackageName| self.0.get(name).map(|one| one.fact.clone());
        let mut replaced: Vec<BasePackage> = pinned.filter_map(fact).collect();
        replaced.sort_by(|a, b| a.name.cmp(&b.name));
        Some(lock::Base {
            name: base.public.clone(),
            digest: base.digest,
            packages: served.iter().filter_map(|(name, _)| fact(name)).collect(),
            replaced,
        })
    }

    /// Those that a lock counts on and that are not there.
    pub fn lacking<'l>(&self, lock: &'l Lock) -> Vec<&'l BasePackage> {
        let there = |package: &&BasePackage| {
            self.0.get(&package.name).is_none_or(|one| one.fact.version != package.version)
        };
        lock.base.iter().flat_map(|base| &base.packages).filter(there).collect()
    }

    /// The console scripts of those that a lock counts on.
    pub fn scripts(&self, lock: &Lock) -> Vec<EntryPoint> {
        let served = lock.base.iter().flat_map(|base| &base.packages);
        served.filter_map(|package| self.0.get(&package.name)).flat_map(|one| one.scripts.clone()).collect()
    }
}
