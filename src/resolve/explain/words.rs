//! Facts and conclusions as text.

use std::collections::BTreeSet;
use std::ops::{Bound, RangeInclusive};

use pep440_rs::LocalSegment;
use pep508_rs::PackageName;
use pubgrub::Term;
use url::Url;

use super::{Fact, Terms};
use crate::index::ReleaseFile;
use crate::model::{ArchiveKind, PythonMinor, Requirement, Target, Version, VersionOrUrl};
use crate::resolve::dependencies::active;
use crate::resolve::facts::Facts;
use crate::resolve::manifest::shown;
use crate::resolve::package::{Package, Reason};
use crate::resolve::ranges::{VersionSet, versions_of};

/// The most runs of versions that are spelled out.
const RUNS: usize = 3;

/// The Pythons that are looked at where a version has no wheel for the one that is wanted, and how many versions are.
const PYTHONS: RangeInclusive<u8> = 7..=20;
const RECENT: usize = 10;

/// Puts facts into words, in terms of the versions that exist and of the requirements as they were written.
pub(super) struct Words<'f> {
    facts: &'f Facts<'f>,
}

impl<'f> Words<'f> {
    pub(super) fn new(facts: &'f Facts<'f>) -> Self {
        Self { facts }
    }

    /// A fact as a clause.
    pub(super) fn fact(&self, fact: Fact<'_>) -> String {
        match fact {
            Fact::Requires { parent: Package::Root, package, set, .. } => self.user_requires(package, set),
            Fact::Requires { parent, versions, package, set } => {
                let required = self.written(parent, versions, package, set);
                format!("{} depends on {required}", self.versions(parent, versions))
            }
            Fact::Unusable { package, reason: Reason::UnknownPackage, .. } => {
                format!("no index has a package named `{package}`")
            }
            Fact::Unusable { reason: Reason::Constraint(text), .. } => format!("you constrain {text}"),
            Fact::Unusable { package, versions, reason } => {
                format!("{} {reason}", self.versions(package, versions))
            }
            Fact::NoVersions { package, set } => {
                let newest = self.known_versions(package).last().cloned();
                let newest = newest.map_or_else(String::new, |newest| format!(" (the newest is {newest})"));
                format!("there is no version {} of {package}{newest}", bounds(set))
            }
        }
    }

    /// What a derived node says.
    pub(super) fn conclusion(&self, terms: &Terms) -> String {
        let mut chosen = Vec::new();
        let mut needed = Vec::new();
        for (package, term) in terms {
            match term {
                Term::Positive(_) if *package == Package::Root => {}
                Term::Positive(set) => chosen.push(self.versions(package, set)),
                Term::Negative(set) => needed.push(self.versions(package, set)),
            }
        }
        chosen.sort();
        needed.sort();
        match (&chosen[..], &needed[..]) {
            ([], []) => "your requirements cannot be satisfied".to_owned(),
            ([one], []) => match one.strip_prefix("every ") {
                Some(version_of) => format!("no {version_of} can be used"),
                None => format!("{one} cannot be used"),
            },
            (chosen, []) => format!("{} cannot be used together", chosen.join(" and ")),
            ([], needed) => format!("your requirements need {}", needed.join(" or ")),
            (chosen, needed) => format!("{} needs {}", chosen.join(" with "), needed.join(" or ")),
        }
    }

    /// What to do, judged by the facts.
    pub(super) fn hint(&self, leaves: &[Fact<'_>]) -> Option<String> {
        for leaf in leaves {
            let Fact::Unusable { package, versions, reason } = leaf else { continue };
            let Some(name) = package.name() else { continue };
            match reason {
                Reason::OnlySdist | Reason::NoFittingWheel => {
                    return Some(self.without_wheel(name, versions));
                }
                Reason::Yanked => {
                    let known = self.known_versions(package);
                    let newest = known.iter().rev().find(|version| versions.contains(version))?;
                    return Some(format!(
                        "to use a yanked version all the same, require it exactly: {name}=={newest}"
                    ));
                }
                Reason::Python(_) => {
                    let python = self.facts.manifest.rules.target.python;
                    return Some(format!(
                        "choose a newer Python than {python}, or a version of {name} that supports it{}",
                        self.newest_usable(name)
                    ));
                }
                Reason::TooNew(_) | Reason::NoUploadTime => {
                    return Some(format!(
                        "name a later time with --exclude-newer, or require a version of {name} that was there by then{}",
                        self.newest_usable(name)
                    ));
                }
                Reason::Prerelease => {
                    return Some(format!("allow pre-releases, or require another version of {name}"));
                }
                Reason::Hash => {
                    return Some(format!(
                        "check the hashes of {name} against the index, or remove them from the requirements"
                    ));
                }
                _ => {}
            }
        }
        let users: BTreeSet<String> = leaves
            .iter()
            .filter_map(|leaf| match leaf {
                Fact::Requires { parent: Package::Root, package, set, .. } => {
                    let requirements = self.users(package, set);
                    requirements.first().map(|first| format!("{first} ({})", first.origin))
                }
                Fact::Unusable { reason: Reason::Constraint(text), .. } => Some(text.clone()),
                _ => None,
            })
            .collect();
        let users: Vec<String> = users.into_iter().collect();
        match &users[..] {
            [] => None,
            [one] => Some(format!("change {one}")),
            several => Some(format!("loosen or remove one of {}", several.join(", "))),
        }
    }

    /// What to do about versions without a wheel: which source distribution there is, and which version would do.
    fn without_wheel(&self, name: &PackageName, versions: &VersionSet) -> String {
        let sdist = self.facts.known(name).and_then(|candidates| {
            let known = candidates.versions().iter().rev().filter(|version| versions.contains(version));
            let mut files = known.flat_map(|version| candidates.files(version));
            let sdist = files.find(|file| matches!(file.archive.kind, ArchiveKind::Sdist));
            sdist.map(|file| file.archive.file_name.clone())
        });
        let newest = self.newest_usable(name);
        let python = self.other_pythons(name, versions);
        match sdist {
            Some(sdist) => format!(
                "require a version of {name} that has a wheel for the target{newest}{python}, or let {sdist} be built: \
                 `--build {name}`, `build = [\"{name}\"]` in [tool.bakehouse], or a wheel of it that you built on an index of yours"
            ),
            None => format!("require a version of {name} that has a wheel for the target{newest}{python}"),
        }
    }

    /// For which other Pythons the newest of these versions that has wheels has one.
    fn other_pythons(&self, name: &PackageName, versions: &VersionSet) -> String {
        let own = self.facts.manifest.rules.target;
        let has_wheel = |file: &ReleaseFile, minor: u8| {
            let target = Target { python: PythonMinor { major: 3, minor }, ..own };
            matches!(&file.archive.kind, ArchiveKind::Wheel(wheel) if target.wheel_rank(wheel).is_some())
        };
        let found = self.facts.known(name).and_then(|candidates| {
            let known = candidates.versions().iter().rev().filter(|version| versions.contains(version));
            known.take(RECENT).find_map(|version| {
                let files = candidates.files(version);
                let minors = PYTHONS.filter(|&minor| files.iter().any(|file| has_wheel(file, minor)));
                let minors: Vec<u8> = minors.collect();
                Some((version.clone(), *minors.first()?, *minors.last()?))
            })
        });
        let Some((version, first, last)) = found else { return String::new() };
        let pythons = match (first, last) {
            _ if first == last => format!("Python 3.{first}"),
            (first, last) if last == *PYTHONS.end() => format!("Python 3.{first} or newer"),
            _ => format!("a Python from 3.{first} to 3.{last}"),
        };
        format!(", or ask for {pythons}, for which {name} {version} has one (`--python`, `requires-python`)")
    }

    fn newest_usable(&self, name: &PackageName) -> String {
        let newest = self.facts.known(name).and_then(|found| found.choose(&VersionSet::full()).cloned());
        newest.map_or_else(String::new, |newest| format!(" (the newest is {newest})"))
    }

    fn user_requires(&self, package: &Package, set: &VersionSet) -> String {
        let requirements = self.users(package, set);
        if requirements.is_empty() {
            return format!("you require {}", self.versions(package, set));
        }
        let told = requirements.iter().map(|requirement| {
            let text = plain(&requirement.pep508);
            format!("{text} ({})", requirement.origin)
        });
        let none = if set.is_empty() { ", which no version satisfies" } else { "" };
        format!("you require {}{none}", told.collect::<Vec<_>>().join(" and "))
    }

    /// The user's requirements that ask for exactly this; the first is enough where several say the same.
    fn users(&self, package: &Package, set: &VersionSet) -> Vec<&'f Requirement> {
        let requirements = self.facts.manifest.requirements.iter();
        requirements.filter(|one| states(&one.pep508, package, set)).take(1).copied().collect()
    }

    /// A dependency as the distribution's metadata states it.
    fn written(
        &self,
        parent: &Package,
        versions: &VersionSet,
        package: &Package,
        set: &VersionSet,
    ) -> String {
        let stated = parent.name().and_then(|name| {
            let known = self.known_versions(parent);
            let mut known = known.iter().rev().filter(|version| versions.contains(version));
            known.find_map(|version| {
                let metadata = self.facts.known_metadata(name, version)?.ok()?;
                let mut requirements = active(&metadata, parent.extra(), self.facts);
                requirements.find(|one| states(one, package, set)).map(|one| self.with_override(one))
            })
        });
        stated.unwrap_or_else(|| self.versions(package, set))
    }

    /// A requirement as it is written; one that the user put in the place of another with where that is said.
    fn with_override(&self, requirement: &pep508_rs::Requirement<Url>) -> String {
        let overrides = self.facts.manifest.overrides.get(&requirement.name).into_iter().flatten();
        match overrides.into_iter().find(|one| one.pep508 == *requirement) {
            Some(own) => format!("{} (by your override at {})", plain(requirement), own.origin),
            None => plain(requirement),
        }
    }

    /// Versions of a package, told by those that exist.
    fn versions(&self, package: &Package, set: &VersionSet) -> String {
        let known = self.known_versions(package);
        let inside: Vec<bool> = known.iter().map(|version| set.contains(version)).collect();
        if !inside.contains(&true) {
            return if *set == VersionSet::full() {
                package.to_string()
            } else {
                format!("{package}{}", bounds(set))
            };
        }
        if !inside.contains(&false) && known.len() > 1 {
            return format!("every version of {package}");
        }
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (position, _) in inside.iter().enumerate().filter(|(_, inside)| **inside) {
            match runs.last_mut() {
                Some((_, end)) if *end + 1 == position => *end = position,
                _ => runs.push((position, position)),
            }
        }
        let last = known.len() - 1;
        let told: Vec<String> = runs
            .iter()
            .take(RUNS)
            .map(|&(start, end)| match (start, end) {
                _ if start == end => format!("{package}=={}", known[start]),
                (0, end) => format!("{package}<={}", known[end]),
                (start, end) if end == last => format!("{package}>={}", known[start]),
                (start, end) => format!("{package}>={},<={}", known[start], known[end]),
            })
            .collect();
        let more = if runs.len() > RUNS { " and others" } else { "" };
        format!("{}{more}", told.join(" or "))
    }

    fn known_versions(&self, package: &Package) -> Vec<Version> {
        let candidates = package.name().and_then(|name| self.facts.known(name));
        candidates.map(|candidates| candidates.versions().to_vec()).unwrap_or_default()
    }
}

/// Whether a requirement asks for these versions of this package.
fn states(requirement: &pep508_rs::Requirement<Url>, package: &Package, set: &VersionSet) -> bool {
    let stated = match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => versions_of(specifiers),
        Some(VersionOrUrl::Url(_)) | None => VersionSet::full(),
    };
    package.name() == Some(&requirement.name)
        && package.extra().is_none_or(|extra| requirement.extras.contains(extra))
        && (stated == *set || (set.is_empty() && !stated.is_empty()))
}

/// A requirement without its marker, which holds, and without secrets.
fn plain(requirement: &pep508_rs::Requirement<Url>) -> String {
    let mut text = requirement.name.to_string();
    if !requirement.extras.is_empty() {
        let extras: Vec<String> = requirement.extras.iter().map(ToString::to_string).collect();
        text = format!("{text}[{}]", extras.join(","));
    }
    match &requirement.version_or_url {
        None => {}
        Some(VersionOrUrl::Url(url)) => text = format!("{text} @ {}", shown(url)),
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
            let specifiers: Vec<String> = specifiers.iter().map(ToString::to_string).collect();
            text.push_str(&specifiers.join(","));
        }
    }
    text
}

/// A set by its bounds, the landmarks of [`versions_of`] turned back into specifiers.
fn bounds(set: &VersionSet) -> String {
    let told: Vec<String> = set
        .iter()
        .take(RUNS)
        .map(|(start, end)| {
            let low = match start {
                Bound::Unbounded => None,
                Bound::Included(low) => Some((">=", public(low))),
                Bound::Excluded(low) => Some((">", public(low))),
            };
            let high = match end {
                Bound::Unbounded => None,
                Bound::Included(high) => Some(("<=", public(high))),
                Bound::Excluded(high) => Some(("<", public(high))),
            };
            match (low, high) {
                (None, None) => "at all".to_owned(),
                (Some((">=", low)), Some(("<=", high))) if low == high => format!("=={low}"),
                (low, high) => {
                    let parts = [low, high].into_iter().flatten();
                    parts
                        .map(|(operator, version)| format!("{operator}{version}"))
                        .collect::<Vec<_>>()
                        .join(",")
                }
            }
        })
        .collect();
    let more = if set.iter().nth(RUNS).is_some() { " and others" } else { "" };
    match &told[..] {
        [] => " (contradictory)".to_owned(),
        told => format!("{}{more}", told.join(" or ")),
    }
}

/// A bound without what only marks the end or the beginning of a release.
fn public(version: &Version) -> Version {
    let mut version = version.clone();
    if version.local().contains(&LocalSegment::Number(u64::MAX)) {
        version = version.without_local();
    }
    if version.post() == Some(u64::MAX) {
        version = version.with_post(None);
    }
    if version.dev() == Some(0) {
        version = version.with_dev(None);
    }
    version
}
