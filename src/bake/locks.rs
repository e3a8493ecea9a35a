//! Every environment gets its lock: read, and resolved and written where it is missing or stale.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::sync::{OnceCell, Semaphore};

use super::context::Context;
use super::environments::Unit;
use super::foundation::Installed;
use super::report::{LockReport, LockStatus, Report, WarningReport};
use super::shared::Shared;
use super::{Error, Event, Freshness, Goal, foreign, known, platforms};
use crate::build::Builder;
use crate::index::Metadata;
use crate::lock::{self, Inputs, Lock};
use crate::model::{
    ArchiveKind, Digest, Key, KeyHasher, Libc, Origin, PackageName, Platform, Requirement, Target, Version,
    Warning,
};
use crate::project::{Component, Environment};
use crate::resolve::{self, IndexSource};

/// Resolutions under way at once: they wait for the network nearly all the time.
pub(super) const RESOLUTIONS: usize = 8;

/// An environment with its lock.
pub struct Locked<'p> {
    pub unit: Unit<'p>,
    pub lock: Lock,
    /// The environment's ID.
    pub id: String,
}

struct Found {
    /// One for each unit.
    locks: Vec<Lock>,
    /// Their file, relative to the project.
    path: String,
    status: LockStatus,
    warnings: Vec<WarningReport>,
    /// The packages of a lock that was not read, because it is known.
    packages: Option<usize>,
}

impl Found {
    /// The number of packages on any platform.
    fn packages(&self) -> usize {
        let names = || self.locks.iter().flat_map(|lock| &lock.pins).map(|pin| &pin.name);
        self.packages.unwrap_or_else(|| names().collect::<BTreeSet<_>>().len())
    }
}

/// Locks every environment; the units of one, one for each platform, stand one after another and share a lock. Those that
/// fail are left out, and their errors go to `failures`. What comes `next` for an environment begins as soon as it is locked,
/// and its outcome stands beside it.
pub async fn lock<'p, T>(
    context: &Context<'p>,
    units: Vec<Unit<'p>>,
    report: &mut Report,
    failures: &mut Vec<Error>,
    next: impl AsyncFn(&Locked<'p>) -> T,
) -> Vec<(Locked<'p>, T)> {
    let shared = &Shared::of(units.iter());
    let mut units = units.into_iter();
    let platforms = context.options.platforms.len();
    let groups = std::iter::from_fn(|| {
        let group: Vec<_> = units.by_ref().take(platforms).collect();
        (!group.is_empty()).then_some(group)
    });
    let resolutions = &Semaphore::new(RESOLUTIONS);
    let next = &next;
    let work = groups.map(|group| async move {
        let found = {
            let _permit = resolutions.acquire().await;
            one(context, &group, shared, context.goal != Goal::Plan).await?
        };
        let packages = found.packages();
        let Found { locks, path, status, warnings, .. } = found;
        let report = group.first().map(|unit| LockReport {
            project: String::new(),
            component: unit.component.name.clone(),
            steps: unit.environment.steps.clone(),
            path,
            packages,
            status,
        });
        let units = group.into_iter().zip(locks);
        let locked = units.map(|(unit, lock)| Locked { unit, id: environment_id(&lock), lock });
        let locked: Vec<_> = locked.collect();
        let outcomes = join_all(locked.iter().map(|locked| next(locked))).await;
        Ok((report, warnings, locked.into_iter().zip(outcomes)))
    });
    let mut all = Vec::new();
    for outcome in join_all(work).await {
        match outcome {
            Err(error) => failures.push(error),
            Ok((lock, warnings, locked)) => {
                report.locks.extend(lock);
                report.warnings.extend(warnings);
                all.extend(locked);
            }
        }
    }
    all
}

/// An environment's ID: a hash of what is locked, and so of what will be installed, wherever it is built.
fn environment_id(lock: &Lock) -> String {
    let mut key = KeyHasher::new("environment/1");
    key.text("pypi").text(&lock.target.python.to_string()).text(&lock.target.platform.to_string());
    for pin in &lock.pins {
        let hash = pin.archive.sha256.map(|digest| digest.to_string()).unwrap_or_default();
        let direct_url = pin.direct_url.as_ref().map_or("", url::Url::as_str);
        key.text(pin.name.as_ref()).text(&pin.version.to_string()).text(&hash).text(direct_url);
    }
    for package in lock.base.iter().flat_map(|base| &base.packages) {
        key.text("base").text(package.name.as_ref()).text(&package.version.to_string());
    }
    key.finish().to_string()[..16].to_owned()
}

/// Whether an environment has a lock, or can get one, for the platforms of its units. Nothing is written.
pub(super) async fn can_lock(
    context: &Context<'_>,
    units: &[Unit<'_>],
    shared: &Shared<'_>,
) -> Result<(), Error> {
    one(context, units, shared, false).await.map(drop)
}

/// Finds the lock of an environment for the platforms of its units, and writes it, if it is new and that is wanted.
async fn one(
    context: &Context<'_>,
    units: &[Unit<'_>],
    shared: &Shared<'_>,
    writes: bool,
) -> Result<Found, Error> {
    let Some(first) = units.first() else { return Err(Error::NoPythonNamed) };
    let shown = &first.environment.lock_path;
    let path = context.project.root.join(shown);
    let freshness = context.freshness();

    let targets: Vec<_> = units.iter().map(|unit| unit.target).collect();
    let text = match text(&path) {
        // A lock that cannot be read is replaced only by the user's wish.
        Err(_) if freshness == Freshness::Upgrade => None,
        text => text?,
    };
    let checked = text.as_deref().filter(|_| context.goal == Goal::CheckLocks);
    if let Some(packages) = checked.and_then(|text| known::fresh(context, units, text)) {
        let (path, status) = (shown.clone(), LockStatus::Fresh);
        return Ok(Found { locks: Vec::new(), path, status, warnings: Vec::new(), packages: Some(packages) });
    }
    let old = match text.as_deref().map(|text| parsed(text, &path, shown, &targets)) {
        Some(Err(_)) if freshness == Freshness::Upgrade => Vec::new(),
        found => found.transpose()?.unwrap_or_default(),
    };
    if freshness != Freshness::Upgrade
        && let Some(found) = usable(context, units, &old, freshness)?
    {
        if let Some(text) = checked.filter(|_| found.status == LockStatus::Fresh) {
            known::remember(context, text, &old, found.packages());
        }
        return Ok(found);
    }
    if freshness != Freshness::Upgrade
        && old.is_empty()
        && let Some(foreign::Foreign { locks, path }) = foreign::find(context, units).await?
    {
        let mut warnings = foreign::check(units, &locks, &path, freshness)?;
        warnings.extend(kept(context, &path, &locks));
        return Ok(Found { locks, path, status: LockStatus::Foreign, warnings, packages: None });
    }
    if matches!(freshness, Freshness::Require | Freshness::Ignore) {
        return Err(Error::StaleLock { path: shown.clone(), state: "missing".to_owned() });
    }

    let (mut locks, warnings) = platforms::resolve(context, units, &old, freshness, shared).await?;
    let status = if !writes {
        if old == locks { LockStatus::Unchanged } else { LockStatus::Written }
    } else {
        // Writing waits for the disk; others are resolved meanwhile.
        let write = move || (lock::write_all(&path, &locks), locks);
        let (written, kept) = tokio::task::spawn_blocking(write).await.map_err(Error::Worker)?;
        locks = kept;
        match written? {
            lock::Written::Written => LockStatus::Written,
            lock::Written::Unchanged => LockStatus::Unchanged,
        }
    };
    locks.retain(|lock| targets.iter().any(|target| target.platform == lock.target.platform));
    let warnings = warnings.iter().map(Into::into).collect();
    Ok(Found { locks, path: shown.clone(), status, warnings, packages: None })
}

/// The locks of all units, if each has one that can be used as it is.
fn usable(
    context: &Context<'_>,
    units: &[Unit<'_>],
    old: &[Lock],
    freshness: Freshness,
) -> Result<Option<Found>, Error> {
    let path = units.first().map(|unit| unit.environment.lock_path.clone()).unwrap_or_default();
    let (locks, warnings, status) = (Vec::new(), Vec::new(), LockStatus::Fresh);
    let mut found = Found { locks, path, status, warnings, packages: None };
    for unit in units {
        let shown = &unit.environment.lock_path;
        let Some(old) = for_platform(old, unit.target.platform).or(old.first()) else { return Ok(None) };
        let ours = !old.is_foreign();
        let fits = fits(&old.target, &unit.target);
        let state = state(context, unit, old, unit.target);
        let fresh = state == lock::Freshness::Fresh && !is_upgraded(context, old);
        if !ours || fresh || freshness == Freshness::Ignore {
            if !fits {
                return Err(Error::LockMismatch {
                    path: shown.clone(),
                    locked: old.target.to_string(),
                    base: unit.target.to_string(),
                });
            }
            let lacking = unit.installed.lacking(old);
            if !lacking.is_empty() {
                let lacking =
                    lacking.into_iter().map(|package| format!("{} {}", package.name, package.version));
                return Err(Error::BaseLacks { path: shown.clone(), lacking: lacking.collect() });
            }
            if !ours {
                found.status = LockStatus::Foreign;
            }
            found.locks.push(old.clone());
            continue;
        }
        if freshness == Freshness::Require {
            let state = match state {
                lock::Freshness::Stale(reason) => format!("stale: {reason}"),
                _ => "stale".to_owned(),
            };
            return Err(Error::StaleLock { path: shown.clone(), state });
        }
        return Ok(None);
    }
    if found.status == LockStatus::Foreign {
        found.warnings = foreign::check(units, &found.locks, &found.path, freshness)?;
        found.warnings.extend(kept(context, &found.path, &found.locks));
    }
    Ok(Some(found))
}

/// The locks of an environment that are fresh as far as one can tell before its base is known: for the bases that they were
/// made for.
pub(super) fn presumed(context: &Context<'_>, component: &Component, environment: &Environment) -> Vec<Lock> {
    let shown = &environment.lock_path;
    let mut locks = read(&context.project.root.join(shown), shown, &[]).unwrap_or_default();
    locks.retain(|lock| {
        let target = lock.target;
        let (base, python, interpreter) = (None, None, None);
        let (open, installed) = (false, Installed::default());
        let unit = Unit { component, environment, base, python, open, installed, interpreter, target };
        context.options.platforms.contains(&target.platform)
            && !lock.is_foreign()
            && !is_upgraded(context, lock)
            && state(context, &unit, lock, target) == lock::Freshness::Fresh
    });
    locks
}

/// Whether a lock has a package that is to be upgraded.
pub(super) fn is_upgraded(context: &Context<'_>, lock: &Lock) -> bool {
    lock.pins.iter().any(|pin| context.options.resolving.upgrades(&pin.name))
}

/// What to tell where a lock of another tool is not changed although that was asked for.
fn kept(context: &Context<'_>, shown: &str, locks: &[Lock]) -> Option<WarningReport> {
    let lock = locks.first().filter(|_| !context.options.resolving.upgrade_packages.is_empty())?;
    let message = format!(
        "it was made by {}, so --upgrade-package does not change it: upgrade with that tool, or replace it with --upgrade",
        lock.created_by
    );
    Some((&Warning::at(Origin::file(shown), message)).into())
}

/// The lock for a platform.
pub(super) fn for_platform(locks: &[Lock], platform: Platform) -> Option<&Lock> {
    locks.iter().find(|lock| lock.target.platform == platform)
}

/// Whether a lock still says what a resolution for `target` would. What was locked for an older C library is as good on a
/// newer one.
pub(super) fn state(context: &Context<'_>, unit: &Unit<'_>, old: &Lock, target: Target) -> lock::Freshness {
    // Of a platform that is not built for, nobody knows what its base has: what the lock says is taken for true.
    let base = if target.platform == unit.target.platform {
        unit.installed.facts_of(old)
    } else {
        old.base.as_ref().map(lock::Base::facts).unwrap_or_default()
    };
    let target = if fits(&old.target, &target) { old.target } else { target };
    lock::freshness(old, &inputs(context, unit, target, &context.resolve_options.canonical(), &base))
}

/// The lock at `path` for all its targets; empty if there is none.
pub(super) fn read(path: &Path, shown: &str, targets: &[Target]) -> Result<Vec<Lock>, Error> {
    text(path)?.map(|text| parsed(&text, path, shown, targets)).transpose().map(Option::unwrap_or_default)
}

/// The text of the lock at `path`, if there is one.
fn text(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(lock::Error::Io { action: "read", path: path.to_owned(), source }.into()),
    }
}

/// Reads a lock's text. Paths in it are relative to where it is; messages name it as the user does.
fn parsed(text: &str, path: &Path, shown: &str, targets: &[Target]) -> Result<Vec<Lock>, Error> {
    Ok(lock::parse_all(text, path, targets).map_err(|error| error.in_file(shown))?)
}

/// Everything that a lock is made from.
pub(super) fn inputs<'i>(
    context: &'i Context<'_>,
    unit: &Unit<'i>,
    target: Target,
    options: &'i str,
    base: &'i [String],
) -> Inputs<'i> {
    let environment = unit.environment;
    Inputs {
        requirements: &environment.requirements,
        constraints: &environment.constraints,
        overrides: &environment.overrides,
        hashes: &environment.hashes,
        target,
        options,
        indexes: &context.index_urls,
        sources: context.sources_of(environment),
        base,
    }
}

/// Whether what is locked for one target runs on another: the same Python and platform, and no newer a C library.
pub(super) fn fits(locked: &Target, target: &Target) -> bool {
    let libc = match (locked.libc, target.libc) {
        (Libc::Glibc { major: a, minor: b }, Libc::Glibc { major: c, minor: d })
        | (Libc::Musl { major: a, minor: b }, Libc::Musl { major: c, minor: d }) => a == c && b <= d,
        _ => false,
    };
    libc && locked.python == target.python && locked.platform == target.platform
}

/// What was resolved in this run. Components that ask for the same, in the same words at the same place, share one solve.
#[derive(Default)]
pub struct Solved(Mutex<HashMap<Key, Arc<OnceCell<resolve::Resolution>>>>);

impl Solved {
    fn cell(&self, key: Key) -> Arc<OnceCell<resolve::Resolution>> {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cells.entry(key).or_default())
    }
}

/// Resolves what an environment requires for a target.
pub(super) async fn resolve(
    context: &Context<'_>,
    unit: &Unit<'_>,
    target: Target,
    preferences: BTreeMap<PackageName, Version>,
) -> Result<resolve::Resolution, Error> {
    let mut key = KeyHasher::new("solve/1");
    // What is installed counts where the unit is for the target's platform.
    let installed = Some(&unit.installed).filter(|_| unit.target.platform == target.platform);
    let facts = installed.map(Installed::facts).unwrap_or_default();
    key.text(&inputs(context, unit, target, &context.resolve_options.canonical(), &facts).key().to_string());
    // The order of requirements says what is decided first, and warnings tell where they are written.
    for requirement in unit.environment.requirements.iter().chain(&unit.environment.constraints) {
        key.text(&requirement.normalized()).text(&requirement.origin.to_string());
    }
    for (name, version) in &preferences {
        key.text(name.as_ref()).text(&version.to_string());
    }
    let mut name = match &unit.environment.steps[..] {
        [] => unit.name(),
        steps => format!("{} (steps {})", unit.name(), steps.join(", ")),
    };
    if context.options.platforms.len() > 1 || target.platform != unit.target.platform {
        name += &format!(" for {}", target.platform);
    }
    let environment = unit.environment;
    let question = Question {
        name,
        requirements: &environment.requirements,
        constraints: &environment.constraints,
        overrides: &environment.overrides,
        hashes: &environment.hashes,
        installed: installed.map(Installed::metadata).unwrap_or_default(),
    };
    let cell = context.solved.cell(key.finish());
    let work = || async {
        let builder = context.builders.for_target(target);
        let resolution = solve(context, &question, target, preferences, &builder).await?;
        with_wheels(context, &builder, resolution).await
    };
    cell.get_or_try_init(work).await.cloned()
}

/// What is to be resolved.
pub(super) struct Question<'q> {
    /// Whose requirements they are, for people.
    pub(super) name: String,
    pub(super) requirements: &'q [Requirement],
    pub(super) constraints: &'q [Requirement],
    pub(super) overrides: &'q [Requirement],
    pub(super) hashes: &'q BTreeMap<PackageName, Vec<Digest>>,
    /// What the base has installed, where that counts.
    pub(super) installed: BTreeMap<PackageName, Arc<Metadata>>,
}

/// Resolves a question for a target. The builder learns what stands behind direct references, which building them needs.
pub(super) async fn solve(
    context: &Context<'_>,
    question: &Question<'_>,
    target: Target,
    preferences: BTreeMap<PackageName, Version>,
    builder: &Builder,
) -> Result<resolve::Resolution, Error> {
    let _running = context.clocks.resolve.start();
    context.event(Event::Resolving(&question.name));
    let upgraded = &context.options.resolving.upgrade_packages;
    let source = IndexSource::new(context.index.clone(), tokio::runtime::Handle::current())
        .with_builder(Arc::new(builder.clone()));
    let requirements = question.requirements.to_vec();
    let mut constraints = question.constraints.to_vec();
    constraints.extend(upgraded.iter().filter(|one| one.pep508.version_or_url.is_some()).cloned());
    let overrides = question.overrides.to_vec();
    let options = context.resolve_options;
    let hashes = question.hashes.clone();
    let installed = question.installed.clone();
    let solve = move || {
        let request = resolve::Request {
            requirements: &requirements,
            constraints: &constraints,
            overrides: &overrides,
            target,
            preferences: &preferences,
            hashes: &hashes,
            installed: &installed,
            options,
        };
        resolve::resolve(&request, &source)
    };
    let solved = tokio::task::spawn_blocking(solve).await.map_err(Error::Worker)?;
    solved.map_err(|source| Error::Resolve { unit: question.name.clone(), source })
}

/// Sees to it that every pin is a wheel with a hash: what has none is read for it, what must be built is built.
async fn with_wheels(
    context: &Context<'_>,
    builder: &Builder,
    mut resolution: resolve::Resolution,
) -> Result<resolve::Resolution, Error> {
    for pin in &mut resolution.pins {
        if let ArchiveKind::Wheel(_) = &pin.archive.kind {
            pin.archive = context.index.hashed(&pin.archive).await?;
            continue;
        }
        context.event(Event::Building(&pin.archive.file_name));
        let (archive, built) = builder.wheel(pin).await?;
        pin.direct_url = built.from.direct_url();
        (pin.archive, pin.built) = (archive, Some(built));
    }
    Ok(resolution)
}
