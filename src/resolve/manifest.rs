//! What the user asks for, as far as it counts for the target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pep440_rs::Operator;
use pep508_rs::{MarkerEnvironment, PackageName};
use url::Url;

use super::ranges::{VersionSet, versions_of};
use super::rules::Rules;
use super::{Error, Request};
use crate::model::{Building, Requirement, Version, VersionOrUrl};

/// Requirements and constraints whose markers hold for the target, and what follows from them.
pub(crate) struct Manifest<'r> {
    /// The requirements, in the user's order.
    pub(crate) requirements: Vec<&'r Requirement>,
    /// The constraints by name.
    pub(crate) constraints: BTreeMap<&'r PackageName, Vec<&'r Requirement>>,
    /// What stands in for all requirements of a package; nothing where the overrides' markers do not hold.
    pub(crate) overrides: BTreeMap<&'r PackageName, Vec<&'r Requirement>>,
    /// The direct URLs, each with the requirement that names it.
    pub(crate) urls: BTreeMap<&'r PackageName, (&'r Url, &'r Requirement)>,
    /// What decides about files and versions.
    pub(crate) rules: Arc<Rules>,
}

impl<'r> Manifest<'r> {
    /// Reads a request for its target.
    pub(crate) fn new(
        request: &'r Request<'_>,
        environment: &MarkerEnvironment,
        building: Building,
    ) -> Result<Self, Error> {
        let applies = |requirement: &&Requirement| requirement.pep508.evaluate_markers(environment, &[]);
        let mut overrides: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for requirement in request.overrides {
            let known = overrides.entry(&requirement.pep508.name).or_default();
            known.extend(Some(requirement).filter(&applies));
        }
        let mut requirements: Vec<&Requirement> = Vec::new();
        for requirement in request.requirements {
            match overrides.get(&requirement.pep508.name) {
                Some(instead) if instead.iter().all(|one| !requirements.contains(one)) => {
                    requirements.extend(instead);
                }
                Some(_) => {}
                None => requirements.extend(Some(requirement).filter(&applies)),
            }
        }
        let mut constraints: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for constraint in request.constraints.iter().filter(applies) {
            constraints.entry(&constraint.pep508.name).or_default().push(constraint);
        }
        let all = || {
            let listed = requirements.iter().chain(constraints.values().flatten());
            listed.chain(overrides.values().flatten()).copied()
        };

        let mut urls: BTreeMap<&PackageName, (&Url, &Requirement)> = BTreeMap::new();
        for requirement in all() {
            let Some(VersionOrUrl::Url(url)) = &requirement.pep508.version_or_url else { continue };
            let (known, by) = *urls.entry(&requirement.pep508.name).or_insert((url, requirement));
            if !same_url(known, url) {
                return Err(Error::ConflictingUrls {
                    name: requirement.pep508.name.clone(),
                    first: Box::new((shown(known), by.origin.clone())),
                    second: Box::new((shown(url), requirement.origin.clone())),
                });
            }
        }

        let mut explicit = BTreeSet::new();
        let mut yanks: BTreeMap<PackageName, VersionSet> = BTreeMap::new();
        let mut allow_yank = |name: &PackageName, versions: &VersionSet| {
            let known = yanks.entry(name.clone()).or_insert_with(VersionSet::empty);
            *known = known.union(versions);
        };
        for requirement in all() {
            let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &requirement.pep508.version_or_url else {
                continue;
            };
            if specifiers.iter().any(|specifier| specifier.version().any_prerelease()) {
                explicit.insert(requirement.pep508.name.clone());
            }
            let exact = |operator: &Operator| matches!(operator, Operator::Equal | Operator::ExactEqual);
            if specifiers.iter().any(|specifier| exact(specifier.operator())) {
                allow_yank(&requirement.pep508.name, &versions_of(specifiers));
            }
        }
        for (name, version) in request.preferences {
            allow_yank(name, &VersionSet::singleton(version.clone()));
        }

        let mut installed = request.installed.clone();
        installed.retain(|name, _| !urls.contains_key(name) && !request.hashes.contains_key(name));

        let python = request.target.python;
        let rules = Arc::new(Rules {
            target: request.target,
            python: Version::new([u64::from(python.major), u64::from(python.minor), 0]),
            prerelease: request.options.prerelease,
            strategy: request.options.strategy,
            direct: requirements.iter().map(|requirement| requirement.pep508.name.clone()).collect(),
            exclude_newer: request.options.exclude_newer,
            explicit,
            yanks,
            hashes: request.hashes.clone(),
            preferences: request.preferences.clone(),
            installed,
            building,
        });
        Ok(Self { requirements, constraints, overrides, urls, rules })
    }

    /// The versions that a constraint allows.
    pub(crate) fn allowed_by(constraint: &Requirement) -> Option<VersionSet> {
        match &constraint.pep508.version_or_url {
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => Some(versions_of(specifiers)),
            Some(VersionOrUrl::Url(_)) | None => None,
        }
    }
}

/// Whether two URLs name the same archive; what follows `#` only says more about it.
pub(crate) fn same_url(a: &Url, b: &Url) -> bool {
    let bare = |url: &Url| {
        let mut url = url.clone();
        url.set_fragment(None);
        url
    };
    bare(a) == bare(b)
}

/// A URL as it may be shown.
pub(crate) fn shown(url: &Url) -> String {
    crate::net::redacted(url)
}
