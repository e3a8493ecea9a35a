//! Fetching ahead: what the solver will probably ask next.
//!
//! Cold, a resolution waits for the network nearly all the time. So the best candidate's metadata is asked for as soon as
//! a requirement is seen, and again when the requirement narrows; and when a package's versions are tried one after
//! another, the following ones are asked for in growing batches.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pep508_rs::PackageName;

use super::facts::Facts;
use super::ranges::VersionSet;
use super::rules::Candidates;
use crate::model::Version;

/// The number of tried versions at which a batch is fetched ahead; from the last on, every so many.
const BATCHES: [usize; 3] = [5, 10, 20];
/// The most versions fetched ahead at once.
const LARGEST_BATCH: usize = 50;

/// What was announced so far.
#[derive(Debug, Default)]
pub(crate) struct Prefetcher {
    /// The range that each package was last announced with.
    ranges: HashMap<PackageName, VersionSet>,
    /// The versions whose metadata was announced, once their package's releases were known.
    versions: HashSet<(PackageName, Version)>,
    /// The versions of a package that were tried, and how many had been when the last batch was announced. A version
    /// that is decided again after others were taken back is not another one.
    tried: HashMap<PackageName, (HashSet<Version>, usize)>,
}

impl Prefetcher {
    /// A package is required in a range that may have changed.
    pub(crate) fn narrowed(&mut self, facts: &Facts<'_>, name: &PackageName, set: &VersionSet) {
        if facts.url(name).is_some() || self.ranges.get(name) == Some(set) {
            return;
        }
        if facts.installed(name).is_some_and(|version| set.contains(version)) {
            return;
        }
        self.ranges.insert(name.clone(), set.clone());
        if let Some(candidates) = facts.known(name) {
            let best = candidates.choose(set).cloned();
            self.announce(facts, name, &candidates, best.into_iter());
            return;
        }
        let (set, rules) = (set.clone(), Arc::clone(&facts.manifest.rules));
        facts.source.expect_releases(
            name,
            Box::new(move |releases| {
                let candidates = Candidates::new(Arc::clone(releases), rules);
                let version = candidates.choose(&set)?;
                candidates.file(version).cloned()
            }),
        );
    }

    /// A version of a package is tried, out of a range.
    pub(crate) fn trying(
        &mut self,
        facts: &Facts<'_>,
        name: &PackageName,
        version: &Version,
        set: &VersionSet,
    ) {
        self.versions.insert((name.clone(), version.clone()));
        let (tried, announced) = self.tried.entry(name.clone()).or_default();
        tried.insert(version.clone());
        let tried = tried.len();
        let due = BATCHES.iter().any(|&batch| tried >= batch && *announced < batch)
            || tried - *announced >= BATCHES[BATCHES.len() - 1];
        if !due {
            return;
        }
        *announced = tried;
        let count = tried.min(LARGEST_BATCH);
        if let Some(candidates) = facts.known(name) {
            let next: Vec<Version> = candidates.first(set, count + 1).into_iter().cloned().collect();
            self.announce(facts, name, &candidates, next.into_iter());
        }
    }

    fn announce(
        &mut self,
        facts: &Facts<'_>,
        name: &PackageName,
        candidates: &Candidates,
        versions: impl Iterator<Item = Version>,
    ) {
        let files: Vec<_> = versions
            .filter(|version| {
                facts.known_metadata(name, version).is_none()
                    && self.versions.insert((name.clone(), version.clone()))
            })
            .filter_map(|version| candidates.file(&version).cloned())
            .collect();
        if !files.is_empty() {
            facts.source.expect_metadata(files);
        }
    }
}
