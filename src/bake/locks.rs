//! Every environment gets its lock: read, and resolved and written where it is missing or stale.

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::StreamExt;
use futures_util::stream;

use super::context::Context;
use super::environments::Unit;
use super::report::{LockReport, LockStatus, Report, WarningReport};
use super::{Error, Event, Freshness, Goal};
use crate::lock::{self, Inputs, Lock};
use crate::model::{KeyHasher, Libc, Origin, Pin, Target, Warning};
use crate::resolve::{self, IndexSource};

/// Resolutions under way at once: they wait for the network nearly all the time.
const RESOLUTIONS: usize = 8;

/// An environment with its lock.
pub struct Locked<'p> {
    pub unit: Unit<'p>,
    pub lock: Lock,
    /// The environment's ID.
    pub id: String,
}

struct Found {
    lock: Lock,
    status: LockStatus,
    warnings: Vec<WarningReport>,
}

/// Locks every unit. Those that fail are left out, and their errors go to `failures`.
pub async fn lock<'p>(
    context: &Context<'p>,
    units: Vec<Unit<'p>>,
    report: &mut Report,
    failures: &mut Vec<Error>,
) -> Vec<Locked<'p>> {
    let work = units.into_iter().map(|unit| async move {
        let found = one(context, &unit).await;
        (unit, found)
    });
    let outcomes: Vec<_> = stream::iter(work).buffered(RESOLUTIONS).collect().await;
    let mut locked = Vec::new();
    for (unit, found) in outcomes {
        match found {
            Err(error) => failures.push(error),
            Ok(found) => {
                report.warnings.extend(found.warnings);
                report.locks.push(LockReport {
                    project: String::new(),
                    component: unit.component.name.clone(),
                    steps: unit.environment.steps.clone(),
                    path: unit.environment.lock_path.clone(),
                    packages: found.lock.pins.len(),
                    status: found.status,
                });
                let id = environment_id(&found.lock);
                locked.push(Locked { unit, lock: found.lock, id });
            }
        }
    }
    locked
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
    key.finish().to_string()[..16].to_owned()
}

async fn one(context: &Context<'_>, unit: &Unit<'_>) -> Result<Found, Error> {
    let shown = &unit.environment.lock_path;
    let path = context.project.root.join(shown);
    let freshness =
        if context.goal == Goal::CheckLocks { Freshness::Require } else { context.options.freshness };

    let options = context.resolve_options.canonical();
    let old = match read(&path, shown, unit.target) {
        // A lock that cannot be read is replaced only by the user's wish.
        Err(_) if freshness == Freshness::Upgrade => None,
        found => found?,
    };
    if let Some(old) = &old
        && freshness != Freshness::Upgrade
    {
        let ours = !old.is_foreign();
        let fits = fits(&old.target, &unit.target);
        // What was locked for an older C library is as good on a newer one.
        let target = if fits { old.target } else { unit.target };
        let state = lock::freshness(old, &inputs(context, unit, target, &options));
        let fresh = state == lock::Freshness::Fresh && !is_upgraded(context, old);
        if !ours || fresh || freshness == Freshness::Ignore {
            if !fits {
                return Err(Error::LockMismatch {
                    path: shown.clone(),
                    locked: old.target.to_string(),
                    base: unit.target.to_string(),
                });
            }
            let status = if ours { LockStatus::Fresh } else { LockStatus::Foreign };
            let warnings = if ours { Vec::new() } else { kept(context, shown, old) };
            return Ok(Found { lock: old.clone(), status, warnings });
        }
        if freshness == Freshness::Require {
            let state = match state {
                lock::Freshness::Stale(reason) => format!("stale: {reason}"),
                _ => "stale".to_owned(),
            };
            return Err(Error::StaleLock { path: shown.clone(), state });
        }
    }
    if matches!(freshness, Freshness::Require | Freshness::Ignore) {
        return Err(Error::StaleLock { path: shown.clone(), state: "missing".to_owned() });
    }

    // What was chosen by other options is no reason to choose it again.
    let preferred = old.as_ref().filter(|old| freshness != Freshness::Upgrade && old.options == options);
    let mut resolution = resolve(context, unit, preferred).await?;
    for pin in &mut resolution.pins {
        pin.archive = context.index.hashed(&pin.archive).await?;
    }
    let warnings = resolution.warnings.iter().map(Into::into).collect();
    let lock = Lock::new(&inputs(context, unit, unit.target, &options), resolution.pins);
    let status = if context.goal == Goal::Plan {
        if old.as_ref() == Some(&lock) { LockStatus::Unchanged } else { LockStatus::Written }
    } else {
        match lock::write(&path, &lock)? {
            lock::Written::Written => LockStatus::Written,
            lock::Written::Unchanged => LockStatus::Unchanged,
        }
    };
    Ok(Found { lock, status, warnings })
}

/// Whether a lock has a package that is to be upgraded.
fn is_upgraded(context: &Context<'_>, lock: &Lock) -> bool {
    let mut upgraded = context.options.resolving.upgrade_packages.iter().map(|one| &one.pep508.name);
    upgraded.any(|name| lock.pins.iter().any(|pin| pin.name == *name))
}

/// What to tell where a lock of another tool is not changed although that was asked for.
fn kept(context: &Context<'_>, shown: &str, lock: &Lock) -> Vec<WarningReport> {
    if context.options.resolving.upgrade_packages.is_empty() {
        return Vec::new();
    }
    let message = format!(
        "it was made by {}, so --upgrade-package does not change it: upgrade with that tool, or replace it with --upgrade",
        lock.created_by
    );
    vec![(&Warning::at(Origin::file(shown), message)).into()]
}

/// The lock at `path`, if there is one.
fn read(path: &Path, shown: &str, target: Target) -> Result<Option<Lock>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(lock::parse(&text, Path::new(shown), target)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(lock::Error::Io { action: "read", path: path.to_owned(), source }.into()),
    }
}

/// Everything that a lock is made from.
fn inputs<'i>(context: &'i Context<'_>, unit: &Unit<'i>, target: Target, options: &'i str) -> Inputs<'i> {
    let environment = unit.environment;
    Inputs {
        requirements: &environment.requirements,
        constraints: &environment.constraints,
        overrides: &environment.overrides,
        hashes: &environment.hashes,
        target,
        options,
        indexes: &context.index_urls,
        sources: &context.sources,
    }
}

/// Whether what is locked for one target runs on another: the same Python and platform, and no newer a C library.
fn fits(locked: &Target, target: &Target) -> bool {
    let libc = match (locked.libc, target.libc) {
        (Libc::Glibc { major: a, minor: b }, Libc::Glibc { major: c, minor: d })
        | (Libc::Musl { major: a, minor: b }, Libc::Musl { major: c, minor: d }) => a == c && b <= d,
        _ => false,
    };
    libc && locked.python == target.python && locked.platform == target.platform
}

async fn resolve(
    context: &Context<'_>,
    unit: &Unit<'_>,
    old: Option<&Lock>,
) -> Result<resolve::Resolution, Error> {
    let _running = context.clocks.resolve.start();
    let name = match &unit.environment.steps[..] {
        [] => unit.name(),
        steps => format!("{} (steps {})", unit.name(), steps.join(", ")),
    };
    context.event(Event::Resolving(&name));
    let upgraded = &context.options.resolving.upgrade_packages;
    let is_kept = |pin: &&Pin| upgraded.iter().all(|one| one.pep508.name != pin.name);
    let preferences: BTreeMap<_, _> = old
        .map(|old| {
            let pins = old.pins.iter().filter(is_kept);
            pins.map(|pin| (pin.name.clone(), pin.version.clone())).collect()
        })
        .unwrap_or_default();
    let source = IndexSource::new(context.index.clone(), tokio::runtime::Handle::current());
    let requirements = unit.environment.requirements.clone();
    let mut constraints = unit.environment.constraints.clone();
    constraints.extend(upgraded.iter().filter(|one| one.pep508.version_or_url.is_some()).cloned());
    let overrides = unit.environment.overrides.clone();
    let options = context.resolve_options;
    let hashes = unit.environment.hashes.clone();
    let target = unit.target;
    let solve = move || {
        let request = resolve::Request {
            requirements: &requirements,
            constraints: &constraints,
            overrides: &overrides,
            target,
            preferences: &preferences,
            hashes: &hashes,
            options,
        };
        resolve::resolve(&request, &source)
    };
    let solved = tokio::task::spawn_blocking(solve).await.map_err(Error::Worker)?;
    solved.map_err(|source| Error::Resolve { unit: name, source })
}
