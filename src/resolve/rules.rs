//! Which file of a version may be used for a target, and which version of a set is the best.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use pep508_rs::PackageName;

use super::options::{PrereleaseMode, Strategy};
use super::package::Reason;
use super::ranges::{VersionSet, python_is_new_enough};
use crate::index::{Files, Metadata, ReleaseFile, Releases};
use crate::model::{ArchiveKind, Building, Digest, Target, Timestamp, Version};

/// The mode, applied to one package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prereleases {
    Never,
    IfNecessary,
    Always,
}

/// Everything that decides about a file or a version apart from the requirements. Owned, so that fetching ahead can use
/// it on other threads.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The target.
    pub(crate) target: Target,
    /// The target's Python as `X.Y.0`.
    pub(crate) python: Version,
    /// When pre-releases may be chosen.
    pub(crate) prerelease: PrereleaseMode,
    /// Which of the versions that will do is chosen.
    pub(crate) strategy: Strategy,
    /// The packages that the user requires directly.
    pub(crate) direct: BTreeSet<PackageName>,
    /// What was uploaded at this time or later is not there.
    pub(crate) exclude_newer: Option<Timestamp>,
    /// The packages whose direct requirements name a pre-release.
    pub(crate) explicit: BTreeSet<PackageName>,
    /// Yanked versions that the user asks for by exact version, or had before.
    pub(crate) yanks: BTreeMap<PackageName, VersionSet>,
    /// The only hashes allowed, for packages that have any.
    pub(crate) hashes: BTreeMap<PackageName, Vec<Digest>>,
    /// Versions that are taken before all others where they fit: the pins of the old lock.
    pub(crate) preferences: BTreeMap<PackageName, Version>,
    /// What is there already and may be taken.
    pub(crate) installed: BTreeMap<PackageName, Arc<Metadata>>,
    /// Which packages may be built from their sources.
    pub(crate) building: Building,
}

impl Rules {
    /// The best file of a version, by its position, or why there is none. Where several things are wrong with several
    /// files, the one tells that came closest.
    fn judge(&self, releases: &Releases, version: &Version, files: &[ReleaseFile]) -> Result<usize, Reason> {
        let name = &releases.name;
        let yank_allowed = || self.yanks.get(name).is_some_and(|set| set.contains(version));
        let hashes = self.hashes.get(name);
        let mut best = None;
        let mut worst = Reason::NoFiles;
        let mut closest = 0;
        let mut note = |closeness: u8, reason: Reason| {
            if closeness > closest {
                closest = closeness;
                worst = reason;
            }
        };
        for (position, file) in files.iter().enumerate() {
            if let Some(limit) = self.exclude_newer
                && let Some(reason) = too_new(releases, file, limit)
            {
                note(6, reason);
                continue;
            }
            // A wheel goes before what must be built to become one.
            let (rank, build) = match &file.archive.kind {
                ArchiveKind::Wheel(wheel) => match self.target.wheel_rank(wheel) {
                    None => {
                        note(2, Reason::NoFittingWheel);
                        continue;
                    }
                    Some(_) if self.building.refuses_wheels(name) && releases.index_of(file).is_some() => {
                        note(3, Reason::NoBinary);
                        continue;
                    }
                    Some(rank) => (Some(rank), Some(&wheel.build)),
                },
                ArchiveKind::Sdist if !self.building.allows(name) => {
                    note(1, Reason::OnlySdist);
                    continue;
                }
                ArchiveKind::Sdist if !is_readable(&file.archive.file_name) => {
                    note(1, Reason::SdistFormat);
                    continue;
                }
                ArchiveKind::Sdist | ArchiveKind::Sources => (None, None),
            };
            if let Some(specifiers) = &file.requires_python
                && !python_is_new_enough(specifiers, &self.python)
            {
                note(3, Reason::Python(specifiers.to_string()));
                continue;
            }
            if file.yanked.is_some() && !yank_allowed() {
                note(4, Reason::Yanked);
                continue;
            }
            if hashes.is_some_and(|allowed| file.archive.sha256.is_none_or(|hash| !allowed.contains(&hash))) {
                note(5, Reason::Hash);
                continue;
            }
            let order =
                (releases.rank(file), rank.unwrap_or(u32::MAX), Reverse(build), &file.archive.file_name);
            if best.as_ref().is_none_or(|(known, _)| order < *known) {
                best = Some((order, position));
            }
        }
        best.map(|(_, position)| position).ok_or(worst)
    }

    /// Whether the oldest version of a package is wanted.
    fn wants_lowest(&self, name: &PackageName) -> bool {
        match self.strategy {
            Strategy::Highest => false,
            Strategy::Lowest => true,
            Strategy::LowestDirect => self.direct.contains(name),
        }
    }

    fn prereleases(&self, name: &PackageName) -> Prereleases {
        match self.prerelease {
            PrereleaseMode::Disallow => Prereleases::Never,
            PrereleaseMode::Allow => Prereleases::Always,
            PrereleaseMode::Explicit if !self.explicit.contains(name) => Prereleases::Never,
            _ => Prereleases::IfNecessary,
        }
    }
}

/// Whether a source distribution is of a form that is still made.
fn is_readable(file_name: &str) -> bool {
    [".tar.gz", ".tgz", ".zip"].iter().any(|extension| file_name.ends_with(extension))
}

/// Why a file counts as not there yet, if it does. What does not come from an index has no time of upload.
fn too_new(releases: &Releases, file: &ReleaseFile, limit: Timestamp) -> Option<Reason> {
    releases.index_of(file)?;
    match file.upload_time {
        Some(time) if time < limit => None,
        Some(_) => Some(Reason::TooNew(limit)),
        None => Some(Reason::NoUploadTime),
    }
}

/// The versions of one package, each judged when it is first looked at.
#[derive(Debug)]
pub(crate) struct Candidates {
    releases: Arc<Releases>,
    rules: Arc<Rules>,
    versions: Vec<Version>,
    verdicts: Vec<OnceCell<Result<usize, Reason>>>,
}

impl Candidates {
    /// The candidates of a package under the rules.
    pub(crate) fn new(releases: Arc<Releases>, rules: Arc<Rules>) -> Self {
        let mut versions: Vec<Version> = releases.versions.keys().cloned().collect();
        // It lies between the others, whoever may use it.
        if let Some(installed) = rules.installed.get(&releases.name)
            && let Err(position) = versions.binary_search(&installed.version)
        {
            versions.insert(position, installed.version.clone());
        }
        let verdicts = versions.iter().map(|_| OnceCell::new()).collect();
        Self { releases, rules, versions, verdicts }
    }

    /// All versions that there are, ascending.
    pub(crate) fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The releases behind the candidates.
    pub(crate) fn releases(&self) -> &Releases {
        &self.releases
    }

    /// The files of a version.
    pub(crate) fn files(&self, version: &Version) -> &[ReleaseFile] {
        self.releases.versions.get(version).map_or(&[], Files::as_slice)
    }

    /// The file to use for a version, if it may be used at all.
    pub(crate) fn file(&self, version: &Version) -> Option<&ReleaseFile> {
        let position = self.versions.binary_search(version).ok()?;
        let file = *self.verdict(position).as_ref().ok()?;
        self.files(version).get(file)
    }

    /// A published version that is written exactly so; `1.0` and `1.0.0` are equal but not written the same.
    pub(crate) fn spelled(&self, version: &Version) -> bool {
        let text = version.to_string();
        self.files(version).iter().any(|file| file.version.to_string() == text)
    }

    /// The best usable version of a set: a preferred one, else the newest stable one (or the oldest, by the strategy),
    /// else the newest pre-release where these are allowed.
    pub(crate) fn choose(&self, set: &VersionSet) -> Option<&Version> {
        let preference = self.rules.preferences.get(&self.releases.name);
        if let Some(preferred) = preference.filter(|version| set.contains(version))
            && self.file(preferred).is_some()
            && (!preferred.any_prerelease() || self.prereleases() != Prereleases::Never)
        {
            return self.versions.binary_search(preferred).ok().map(|position| &self.versions[position]);
        }
        let best = |stable: Option<bool>| {
            let mut usable = self.positions(set).filter(|&position| {
                stable.is_none_or(|stable| stable != self.versions[position].any_prerelease())
                    && self.verdict(position).is_ok()
            });
            if self.releases.earlier_index_first {
                usable.min_by_key(|&position| self.rank(position))
            } else {
                usable.next()
            }
        };
        let position = match self.prereleases() {
            Prereleases::Always => best(None),
            Prereleases::Never => best(Some(true)),
            Prereleases::IfNecessary => best(Some(true)).or_else(|| best(Some(false))),
        };
        position.map(|position| &self.versions[position])
    }

    /// Up to `count` usable versions of a set, in the order in which they are tried.
    pub(crate) fn first(&self, set: &VersionSet, count: usize) -> Vec<&Version> {
        let usable = |prerelease: Option<bool>| -> Vec<&Version> {
            let right = self.positions(set).filter(|&position| {
                prerelease.is_none_or(|prerelease| prerelease == self.versions[position].any_prerelease())
                    && self.verdict(position).is_ok()
            });
            right.take(count).map(|position| &self.versions[position]).collect()
        };
        match self.prereleases() {
            Prereleases::Always => usable(None),
            Prereleases::Never => usable(Some(false)),
            Prereleases::IfNecessary => Some(usable(Some(false)))
                .filter(|stable| !stable.is_empty())
                .unwrap_or_else(|| usable(Some(true))),
        }
    }

    /// Why none of the versions of a set can be used: each reason with the versions it speaks of, the gaps between them
    /// included.
    pub(crate) fn reasons(&self, set: &VersionSet) -> BTreeMap<Reason, VersionSet> {
        let mut reasons: BTreeMap<Reason, VersionSet> = BTreeMap::new();
        for position in self.positions(set) {
            let reason = match self.verdict(position) {
                Err(reason) => reason.clone(),
                Ok(_) => Reason::Prerelease,
            };
            let versions = self.widened(&self.versions[position]);
            let known = reasons.entry(reason).or_insert_with(VersionSet::empty);
            *known = known.union(&versions);
        }
        reasons
    }

    /// The largest interval around a version that holds no other published version.
    pub(crate) fn widened(&self, version: &Version) -> VersionSet {
        VersionSet::singleton(version.clone()).widen_versions(&self.versions)
    }

    fn prereleases(&self) -> Prereleases {
        self.rules.prereleases(&self.releases.name)
    }

    fn verdict(&self, position: usize) -> &Result<usize, Reason> {
        self.verdicts[position].get_or_init(|| {
            let version = &self.versions[position];
            self.rules.judge(&self.releases, version, self.files(version))
        })
    }

    /// The place of a usable version's index among the indexes.
    fn rank(&self, position: usize) -> usize {
        let file = self.file(&self.versions[position]);
        file.map_or(usize::MAX, |file| self.releases.rank(file))
    }

    /// The positions of the versions of a set, newest first; oldest first where the oldest is wanted.
    fn positions(&self, set: &VersionSet) -> Box<dyn Iterator<Item = usize> + '_> {
        // How many versions lie before a bound, which is the beginning or the end of an interval.
        let before = |bound: Bound<&Version>, is_end: bool| match bound {
            Bound::Unbounded => {
                if is_end {
                    self.versions.len()
                } else {
                    0
                }
            }
            Bound::Included(limit) if is_end => self.versions.partition_point(|version| version <= limit),
            Bound::Excluded(limit) if !is_end => self.versions.partition_point(|version| version <= limit),
            Bound::Included(limit) | Bound::Excluded(limit) => {
                self.versions.partition_point(|version| version < limit)
            }
        };
        let spans: Vec<_> = set.iter().map(|(start, end)| before(start, false)..before(end, true)).collect();
        if self.rules.wants_lowest(&self.releases.name) {
            Box::new(spans.into_iter().flatten())
        } else {
            Box::new(spans.into_iter().rev().flat_map(Iterator::rev))
        }
    }
}
