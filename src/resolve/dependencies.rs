//! What a package requires, in the solver's terms.

use pep440_rs::Operator;
use pep508_rs::{ExtraName, PackageName};
use url::Url;

use super::Error;
use super::facts::Facts;
use super::manifest::{same_url, shown};
use super::markers;
use super::package::{Package, Reason};
use super::ranges::{VersionSet, versions_of};
use crate::index::Metadata;
use crate::model::{Requirement, Version, VersionOrUrl};

type Pep508 = pep508_rs::Requirement<Url>;

/// A package and the versions of it that are required.
pub(crate) type Dependency = (Package, VersionSet);

/// What a version of a package, or the user, asks for.
#[derive(Debug, Default)]
pub(crate) struct Dependencies {
    /// The packages in the order of the requirements.
    pub(crate) packages: Vec<Dependency>,
    /// The distributions that are required under a condition on the target, which holds.
    pub(crate) conditional: Vec<PackageName>,
}

/// The requirements of a distribution that count for the target: without an extra those that always do, with one those
/// that it adds. The user's overrides stand in for what they override.
pub(crate) fn active<'m>(
    metadata: &'m Metadata,
    extra: Option<&'m ExtraName>,
    facts: &'m Facts<'_>,
) -> impl Iterator<Item = &'m Pep508> {
    let overridden = |requirement: &Pep508| {
        let instead = facts.manifest.overrides.get(&requirement.name);
        instead.filter(|_| requirement.name != metadata.name)
    };
    metadata.requires_dist.iter().flat_map(move |requirement| {
        let (own, instead): (_, &[&Requirement]) = match overridden(requirement) {
            None => (holds(requirement, extra, facts), &[]),
            Some(instead) if belongs_to(requirement, extra) => (false, instead),
            Some(_) => (false, &[]),
        };
        own.then_some(requirement.as_ref()).into_iter().chain(instead.iter().map(|one| &one.pep508))
    })
}

/// Whether a requirement counts for the target: without an extra always, with one because of it.
fn holds(requirement: &Pep508, extra: Option<&ExtraName>, facts: &Facts<'_>) -> bool {
    match extra {
        // Most requirements have no marker at all.
        _ if requirement.marker.is_true() => extra.is_none(),
        None => markers::holds(&requirement.marker, &facts.environment, None),
        Some(_) => {
            markers::holds(&requirement.marker, &facts.environment, extra)
                && !markers::holds(&requirement.marker, &facts.environment, None)
        }
    }
}

/// Whether a requirement that is overridden, its own target's conditions included, is one of an extra or of none.
fn belongs_to(requirement: &Pep508, extra: Option<&ExtraName>) -> bool {
    let always = requirement.marker.evaluate_extras(&[]);
    match extra {
        None => always,
        Some(extra) => !always && requirement.marker.evaluate_extras(std::slice::from_ref(extra)),
    }
}

/// What the user's requirements ask for.
pub(crate) fn of_root(facts: &Facts<'_>) -> Result<Dependencies, Error> {
    let mut dependencies = Dependencies::default();
    for requirement in &facts.manifest.requirements {
        add(facts, &requirement.pep508, None, &mut dependencies)?;
    }
    Ok(dependencies)
}

/// What one version of a package asks for, or why it cannot be used.
pub(crate) fn of_version(
    facts: &Facts<'_>,
    package: &Package,
    version: &Version,
) -> Result<Result<Dependencies, Reason>, Error> {
    let Some(name) = package.name() else { return of_root(facts).map(Ok) };
    let metadata = match facts.metadata(name, version)? {
        Ok(metadata) => metadata,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut dependencies = Dependencies::default();
    if package.extra().is_some() {
        dependencies.packages.push((Package::Base(name.clone()), VersionSet::singleton(version.clone())));
    }
    let is_installed = facts.is_installed(name, version);
    for requirement in active(&metadata, package.extra(), facts) {
        // Where it once came from is no matter: what is there beside it will do.
        if is_installed
            && let Some(VersionOrUrl::Url(url)) = &requirement.version_or_url
            && !facts.url(&requirement.name).is_some_and(|known| same_url(known, url))
        {
            let Some(there) = facts.installed(&requirement.name) else {
                return Ok(Err(Reason::Metadata(format!("it requires {} from a URL", requirement.name))));
            };
            let there = VersionSet::singleton(there.clone());
            dependencies.packages.push((Package::Base(requirement.name.clone()), there));
            continue;
        }
        if requirement.name == *name && !admits(requirement, version) {
            return Ok(Err(Reason::Metadata(format!(
                "it requires another version of itself: {requirement}"
            ))));
        }
        add(facts, requirement, Some((name, version)), &mut dependencies)?;
    }
    Ok(Ok(dependencies))
}

/// Whether a requirement of a distribution on itself holds.
fn admits(requirement: &Pep508, version: &Version) -> bool {
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => versions_of(specifiers).contains(version),
        Some(VersionOrUrl::Url(_)) | None => true,
    }
}

/// Adds what a requirement asks for: the distribution, and each extra, which comes with the distribution again.
fn add(
    facts: &Facts<'_>,
    requirement: &Pep508,
    parent: Option<(&PackageName, &Version)>,
    dependencies: &mut Dependencies,
) -> Result<(), Error> {
    let name = &requirement.name;
    let itself = parent.filter(|(parent, _)| *parent == name);
    let set = match (&requirement.version_or_url, itself) {
        // An extra that asks for other extras of its own distribution means this version of them.
        (_, Some((_, version))) => VersionSet::singleton(version.clone()),
        (None, None) => VersionSet::full(),
        (Some(VersionOrUrl::VersionSpecifier(specifiers)), None) => {
            let mut set = versions_of(specifiers);
            for specifier in specifiers.iter().filter(|one| *one.operator() == Operator::ExactEqual) {
                let written = specifier.version().to_string();
                if facts.installed(name).is_some_and(|version| version.to_string() == written) {
                    continue;
                }
                let candidates = facts.candidates(name)?;
                if candidates.is_some_and(|known| !known.spelled(specifier.version())) {
                    set = VersionSet::empty();
                }
            }
            set
        }
        (Some(VersionOrUrl::Url(url)), None) => {
            if !facts.url(name).is_some_and(|known| same_url(known, url)) {
                let parent =
                    parent.map_or_else(String::new, |(parent, version)| format!("{parent}=={version}"));
                return Err(Error::TransitiveUrl { parent, name: name.clone(), url: shown(url) });
            }
            VersionSet::full()
        }
    };
    if !requirement.marker.clone().simplify_extras_with(|_| true).is_true() {
        dependencies.conditional.push(name.clone());
    }
    let mut push = |package: Package| {
        let dependency = (package, set.clone());
        if !dependencies.packages.contains(&dependency) {
            dependencies.packages.push(dependency);
        }
    };
    for extra in &requirement.extras {
        push(Package::Extra(name.clone(), extra.clone()));
    }
    if itself.is_none() {
        push(Package::Base(name.clone()));
    }
    Ok(())
}
