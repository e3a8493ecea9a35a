//! Locks of other tools beside the place of ours: `uv.lock`, or a requirements file that pins and hashes everything. They
//! are used as they are, and nothing is written.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures_util::future::try_join_all;

use super::context::Context;
use super::environments::Unit;
use super::report::WarningReport;
use super::{Error, Freshness};
use crate::index;
use crate::lock::{self, Lock, PinnedRequirement};
use crate::model::{
    Archive, ArchiveKind, Digest, Origin, PackageName, Pin, Requirement, RequirementsTxt,
    RequirementsTxtError, Target, Warning, WheelName, read_requirements_txt,
};
use crate::project::{ComponentKind, Environment};

/// The largest file that is read.
const LARGEST: u64 = 32 * 1024 * 1024;

/// A lock of another tool.
pub struct Foreign {
    /// One for each unit.
    pub locks: Vec<Lock>,
    /// Its file, relative to the project.
    pub path: String,
}

/// The lock of another tool that stands in the place of ours, if one does, for each unit of an environment. The files
/// beside a flow say nothing about it.
pub async fn find(context: &Context<'_>, units: &[Unit<'_>]) -> Result<Option<Foreign>, Error> {
    let Some(Unit { component, environment, .. }) = units.first() else { return Ok(None) };
    if component.kind == ComponentKind::Flow {
        return Ok(None);
    }
    let Environment { requirements, hashes, lock_path, .. } = environment;
    let folder = lock_path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let beside = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let pyproject = beside("pyproject.toml");
    let root = &context.project.root;

    let is_from_here = requirements.iter().all(|one| one.origin.file == pyproject);
    if is_from_here && root.join(&pyproject).is_file() {
        let path = beside("uv.lock");
        if let Some(text) = read(root, &path)? {
            let directory = root.join(folder);
            let of = |unit: &Unit<'_>| lock::parse_uv(&text, &path, &directory, requirements, unit.target);
            let locks = units.iter().map(of).collect::<Result<_, _>>()?;
            return Ok(Some(Foreign { locks, path }));
        }
        let path = beside("requirements.txt");
        // It is not what the project is made from, so whatever is wrong with it means only that it is no lock.
        return match requirements_file(root, &path) {
            Some(file) if is_lock(&file.requirements, &file.hashes) => {
                let locks = hashed(context, &file.requirements, &file.hashes, units).await?;
                Ok(Some(Foreign { locks, path }))
            }
            _ => Ok(None),
        };
    }
    match requirements.first() {
        Some(first) if is_lock(requirements, hashes) => {
            let locks = hashed(context, requirements, hashes, units).await?;
            Ok(Some(Foreign { locks, path: first.origin.file.clone() }))
        }
        _ => Ok(None),
    }
}

/// A lock of another tool is used as it is; where it is to be fresh, it must meet the requirements.
pub fn check(
    units: &[Unit<'_>],
    locks: &[Lock],
    path: &str,
    freshness: Freshness,
) -> Result<Vec<WarningReport>, Error> {
    let of = |(unit, lock): (&Unit<'_>, &Lock)| lock::unmet(lock, &unit.environment.requirements);
    let unmet: BTreeSet<String> = units.iter().zip(locks).flat_map(of).collect();
    if unmet.is_empty() || freshness == Freshness::Ignore {
        return Ok(Vec::new());
    }
    let unmet: Vec<String> = unmet.into_iter().collect();
    if freshness == Freshness::Require {
        return Err(Error::StaleForeignLock { path: path.to_owned(), unmet });
    }
    let message = format!("used as it is, although nothing in it meets {}", unmet.join(", "));
    Ok(vec![(&Warning::at(Origin::file(path), message)).into()])
}

/// Whether requirements leave no choice: each names one version or archive, and has hashes.
fn is_lock(requirements: &[Requirement], hashes: &BTreeMap<PackageName, Vec<Digest>>) -> bool {
    let leaves_none =
        |one: &Requirement| lock::pinned(one).is_some() && hashes.contains_key(&one.pep508.name);
    !requirements.is_empty() && requirements.iter().all(leaves_none)
}

/// The text of a file of the project; none if it is not there.
fn read(root: &Path, name: &str) -> Result<Option<String>, Error> {
    let path = root.join(name);
    let failed = |source| Error::Lock(lock::Error::Io { action: "read", path: path.clone(), source });
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if metadata.len() > LARGEST => {
            let error = std::io::Error::other(format!("it is larger than {LARGEST} bytes"));
            return Err(failed(error));
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(&path).map(Some).map_err(failed)
}

/// Why a requirements file is no lock; nobody asks.
struct NoLock;

impl From<RequirementsTxtError> for NoLock {
    fn from(_: RequirementsTxtError) -> Self {
        Self
    }
}

/// The requirements file `name` with what it includes, all inside the project; none if there is no such.
fn requirements_file(root: &Path, name: &str) -> Option<RequirementsTxt> {
    let mut text = |name: &str, _: Option<&_>| {
        let inside = root.join(name).canonicalize().is_ok_and(|path| path.starts_with(root));
        let text = if inside { read(root, name) } else { Ok(None) };
        text.ok().flatten().ok_or(NoLock)
    };
    read_requirements_txt(name, &mut text, &|_| None, &|name| std::env::var(name).ok()).ok()
}

/// The distributions that pinned and hashed requirements name: the index tells where their files are.
async fn hashed(
    context: &Context<'_>,
    requirements: &[Requirement],
    hashes: &BTreeMap<PackageName, Vec<Digest>>,
    units: &[Unit<'_>],
) -> Result<Vec<Lock>, Error> {
    try_join_all(units.iter().map(|unit| hashed_for(context, requirements, hashes, unit.target))).await
}

async fn hashed_for(
    context: &Context<'_>,
    requirements: &[Requirement],
    hashes: &BTreeMap<PackageName, Vec<Digest>>,
    target: Target,
) -> Result<Lock, Error> {
    let environment = target.marker_environment();
    let counts = |one: &&Requirement| one.pep508.evaluate_markers(&environment, &[]);
    let none = Vec::new();
    let pins = requirements.iter().filter(counts).map(|requirement| {
        let hashes = hashes.get(&requirement.pep508.name).unwrap_or(&none);
        pin(context, requirement, hashes, target)
    });
    let mut pins = try_join_all(pins).await?;
    pins.sort_by(|a, b| a.name.cmp(&b.name));
    pins.dedup_by(|a, b| a == b);
    if let Some(twice) = pins.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let name = &twice[0].name;
        let mut of_name = requirements.iter().filter(|one| one.pep508.name == *name);
        let origin = of_name.next_back().map(|one| one.origin.clone());
        let reason = format!("`{name}` is pinned more than once for {target}");
        return Err(lock::Error::Foreign {
            origin: origin.unwrap_or_else(|| Origin::file("requirements.txt")),
            created_by: "hand or another tool".to_owned(),
            reason,
        }
        .into());
    }
    let created_by = "a requirements file".to_owned();
    Ok(Lock {
        target,
        inputs: None,
        pins,
        created_by,
        requirements: Vec::new(),
        base: None,
        options: String::new(),
    })
}

async fn pin(
    context: &Context<'_>,
    requirement: &Requirement,
    hashes: &[Digest],
    target: Target,
) -> Result<Pin, Error> {
    let name = &requirement.pep508.name;
    let origin = || requirement.origin.clone();
    let no_wheel =
        |sdist| lock::Error::NoFittingWheel { origin: origin(), name: name.clone(), target, sdist };
    let (version, direct_url, index, archive) = match lock::pinned(requirement) {
        Some(PinnedRequirement::Version(version)) => {
            let missing = || lock::Error::NotOnIndex {
                origin: origin(),
                name: name.clone(),
                version: version.to_string(),
            };
            let releases = match context.index.releases(name).await {
                Err(index::Error::UnknownPackage { .. }) => return Err(missing().into()),
                found => found?,
            };
            let files = releases.versions.get(version).ok_or_else(missing)?;
            let allowed = |archive: &&Archive| archive.sha256.is_some_and(|hash| hashes.contains(&hash));
            let allowed: Vec<&Archive> = files.iter().map(|file| &file.archive).filter(allowed).collect();
            if allowed.is_empty() {
                let (name, version) = (name.clone(), version.to_string());
                return Err(lock::Error::OtherHashes { origin: origin(), name, version }.into());
            }
            let rank = |wheel: &WheelName| Some((target.wheel_rank(wheel)?, Reverse(wheel.build.clone())));
            let fitting = allowed.iter().filter_map(|&archive| match &archive.kind {
                ArchiveKind::Wheel(wheel) => Some(((rank(wheel)?, &archive.file_name), archive)),
                _ => None,
            });
            let best = fitting.min_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, archive)| archive.clone());
            let archive = best.ok_or_else(|| {
                let mut sdists = allowed.iter().filter(|archive| archive.kind == ArchiveKind::Sdist);
                no_wheel(sdists.next().map(|sdist| sdist.file_name.clone()))
            })?;
            (version.clone(), None, Some(releases.index.clone()), archive)
        }
        Some(PinnedRequirement::Url(url)) => {
            let (archive, metadata) = context.index.url_archive(name, url).await?;
            if !archive.sha256.is_some_and(|hash| hashes.contains(&hash)) {
                let (name, version) = (name.clone(), metadata.version.to_string());
                return Err(lock::Error::OtherHashes { origin: origin(), name, version }.into());
            }
            let fits =
                matches!(&archive.kind, ArchiveKind::Wheel(wheel) if target.wheel_rank(wheel).is_some());
            if !fits {
                return Err(no_wheel(None).into());
            }
            (metadata.version.clone(), Some(archive.url.clone()), None, archive)
        }
        // Only what is pinned comes here.
        None => return Err(no_wheel(None).into()),
    };
    Ok(Pin {
        name: name.clone(),
        version,
        index,
        direct_url,
        archive,
        built: None,
        requires_python: None,
        dependencies: Vec::new(),
    })
}
