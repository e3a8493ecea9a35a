//! Fetching ahead: what the solver will probably ask next.
//!
//! Cold, a resolution waits for the network nearly all the time. So the best candidate's metadata is asked for as soon as
//! a requirement is seen, and again when the requirement narrows. When a package's versions are tried one after another,
//! the following ones are asked for before it is their turn, the more the longer it goes on, and then what they would
//! bring along, unless that is known not to fit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pep508_rs::{ExtraName, PackageName};
use pubgrub::{Id, State, Term};

use super::dependencies::active;
use super::facts::Facts;
use super::package::{Package, Provider};
use super::ranges::{VersionSet, versions_of};
use super::rules::Candidates;
use crate::index::Metadata;
use crate::model::{Version, VersionOrUrl};

/// The number of tried versions of a package from which on the next ones are fetched ahead.
const PATIENCE: usize = 3;
/// The most versions fetched ahead at once.
const FARTHEST: usize = 50;
/// How many of the next versions may have what they would bring along fetched as well.
const NEXT: usize = 16;

/// What was announced so far.
#[derive(Debug, Default)]
pub(crate) struct Prefetcher {
    /// The range that each package was last announced with.
    ranges: HashMap<PackageName, VersionSet>,
    /// The packages that were ever required, in the solver's terms.
    ids: HashMap<PackageName, Id<Package>>,
    /// The versions whose metadata was announced, once their package's releases were known.
    versions: HashSet<(PackageName, Version)>,
    tried: HashMap<PackageName, Tried>,
    /// The versions of which it was looked at what they would bring along.
    followed: HashSet<(Package, Version)>,
}

/// How a package's versions are tried.
#[derive(Debug, Default)]
struct Tried {
    /// The versions. One that is decided again after others were taken back is not another one.
    versions: HashSet<Version>,
    /// How many may have been tried before all are that were announced.
    announced: usize,
}

impl Tried {
    /// Notes that a version is tried; gives how many of the next to announce, if it is time to.
    fn ahead(&mut self, version: &Version) -> Option<usize> {
        self.versions.insert(version.clone());
        let tried = self.versions.len();
        let ahead = tried.min(FARTHEST);
        // Half of them still to come keeps the line busy.
        (tried >= PATIENCE && self.announced.saturating_sub(tried) * 2 <= ahead).then_some(ahead)
    }

    /// Notes how many of the next are announced.
    fn announced(&mut self, count: usize) {
        self.announced = self.versions.len() + count;
    }
}

impl Prefetcher {
    /// A package is required in a range that may have changed.
    pub(crate) fn narrowed(
        &mut self,
        facts: &Facts<'_>,
        id: Id<Package>,
        name: &PackageName,
        set: &VersionSet,
    ) {
        if facts.url(name).is_some() || self.ranges.get(name) == Some(set) {
            return;
        }
        if facts.installed(name).is_some_and(|version| set.contains(version)) {
            return;
        }
        self.ranges.insert(name.clone(), set.clone());
        self.ids.insert(name.clone(), id);
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

    /// A version of a package, or of one of its extras, is tried, out of a range.
    pub(crate) fn trying(
        &mut self,
        facts: &Facts<'_>,
        state: &State<Provider>,
        package: &Package,
        version: &Version,
        set: &VersionSet,
    ) {
        let Some(name) = package.name() else { return };
        self.versions.insert((name.clone(), version.clone()));
        let tried = self.tried.entry(name.clone()).or_default();
        let ahead = tried.ahead(version);
        if tried.versions.len() < PATIENCE {
            return;
        }
        let Some(candidates) = facts.known(name) else { return };
        if let Some(ahead) = ahead {
            let next: Vec<Version> = candidates.first(set, ahead + 1).into_iter().cloned().collect();
            tried.announced(next.len().saturating_sub(1));
            self.announce(facts, name, &candidates, next.into_iter());
        }
        for version in candidates.first(set, NEXT + 1) {
            if let Some(file) = candidates.file(version)
                && !self.followed.contains(&(package.clone(), version.clone()))
                && let Some(metadata) = facts.source.known_metadata(file)
            {
                self.followed.insert((package.clone(), version.clone()));
                self.follow(facts, state, &metadata, package.extra());
            }
        }
    }

    /// Announces what a version that may be tried next would bring along, if it is not out of the question already.
    fn follow(
        &mut self,
        facts: &Facts<'_>,
        state: &State<Provider>,
        metadata: &Metadata,
        extra: Option<&ExtraName>,
    ) {
        let mut wanted = Vec::new();
        let own = extra.is_some().then(|| active(metadata, None, facts)).into_iter().flatten();
        for requirement in active(metadata, extra, facts).chain(own) {
            let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &requirement.version_or_url else {
                continue;
            };
            if requirement.name == metadata.name {
                continue;
            }
            let mut set = versions_of(specifiers);
            let id = self.ids.get(&requirement.name);
            match id.and_then(|&id| state.partial_solution.term_intersection_for_package(id)) {
                Some(Term::Positive(allowed)) => set = set.intersection(allowed),
                Some(Term::Negative(excluded)) => set = set.difference(excluded),
                None => {}
            }
            if set.is_empty() {
                return;
            }
            wanted.push((&requirement.name, set));
        }
        for (name, set) in wanted {
            if facts.url(name).is_none()
                && let Some(candidates) = facts.known(name)
            {
                let best = candidates.choose(&set).cloned();
                self.announce(facts, name, &candidates, best.into_iter());
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_it_goes_on_the_more_is_fetched_ahead_and_never_more_than_was_tried() {
        let mut tried = Tried::default();
        let mut announced = Vec::new();
        for version in 0..200_u64 {
            let known = tried.announced;
            match tried.ahead(&Version::new([version])) {
                Some(ahead) => {
                    tried.announced(ahead);
                    announced.push((version + 1, ahead));
                }
                // What comes next was announced earlier.
                None => assert!(version < 2 || known as u64 > version + 1),
            }
            assert!(tried.announced as u64 <= 2 * (version + 1).max(1));
        }
        assert_eq!(announced[..5], [(3, 3), (4, 4), (6, 6), (8, 8), (11, 11)]);
        assert!(announced.iter().all(|(_, ahead)| *ahead <= FARTHEST));
        // One that is tried again is not another one.
        assert_eq!(tried.versions.len(), 200);
        tried.ahead(&Version::new([7]));
        assert_eq!(tried.versions.len(), 200);
    }
}
