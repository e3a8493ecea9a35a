//! Every environment gets its lock: read, and resolved and written where it is missing or stale.

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::StreamExt;
use futures_util::stream;

use super::context::Context;
use super::environments::Unit;
use super::report::{LockReport, LockStatus, Report, WarningReport};
use super::{Error, Event, Freshness, Goal, foreign};
use crate::lock::{self, Inputs, Lock};
use crate::model::{KeyHasher, Libc, Origin, Target, Warning};
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
    /// Its file, relative to the project.
    path: String,
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
                    path: found.path,
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

    let old = match read(&path, shown, unit.target) {
        // A lock that cannot be read is replaced only by the user's wish.
        Err(_) if freshness == Freshness::Upgrade => None,
        found => found?,
    };
    if old.is_none()
        && freshness != Freshness::Upgrade
        && let Some(found) = foreign::find(context, unit).await?
    {
        return foreign_lock(unit, found.lock, found.path, freshness);
    }
    if let Some(old) = &old
        && freshness != Freshness::Upgrade
    {
        let ours = !old.is_foreign();
        let fits = fits(&old.target, &unit.target);
        // What was locked for an older C library is as good on a newer one.
        let target = if fits { old.target } else { unit.target };
        let state = lock::freshness(old, &inputs(context, unit, target, &resolve_options()));
        let fresh = state == lock::Freshness::Fresh;
        if !ours || fresh || freshness == Freshness::Ignore {
            if !fits {
                return Err(Error::LockMismatch {
                    path: shown.clone(),
                    locked: old.target.to_string(),
                    base: unit.target.to_string(),
                });
            }
            if !ours {
                return foreign_lock(unit, old.clone(), shown.clone(), freshness);
            }
            let (status, warnings) = (LockStatus::Fresh, Vec::new());
            return Ok(Found { lock: old.clone(), path: shown.clone(), status, warnings });
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

    let resolution = resolve(context, unit, old.as_ref().filter(|_| freshness != Freshness::Upgrade)).await?;
    let warnings = resolution.warnings.iter().map(Into::into).collect();
    let lock = Lock::new(&inputs(context, unit, unit.target, &resolve_options()), resolution.pins);
    let status = if context.goal == Goal::Plan {
        if old.as_ref() == Some(&lock) { LockStatus::Unchanged } else { LockStatus::Written }
    } else {
        match lock::write(&path, &lock)? {
            lock::Written::Written => LockStatus::Written,
            lock::Written::Unchanged => LockStatus::Unchanged,
        }
    };
    Ok(Found { lock, path: shown.clone(), status, warnings })
}

/// A lock of another tool is used as it is; where it is to be fresh, it must meet the requirements.
fn foreign_lock(unit: &Unit<'_>, lock: Lock, path: String, freshness: Freshness) -> Result<Found, Error> {
    let unmet = lock::unmet(&lock, &unit.environment.requirements);
    let mut warnings = Vec::new();
    if !unmet.is_empty() && freshness != Freshness::Ignore {
        if freshness == Freshness::Require {
            return Err(Error::StaleForeignLock { path, unmet });
        }
        let message = format!("used as it is, although nothing in it meets {}", unmet.join(", "));
        warnings.push((&Warning::at(Origin::file(&path), message)).into());
    }
    Ok(Found { lock, path, status: LockStatus::Foreign, warnings })
}

/// The lock at `path`, if there is one.
fn read(path: &Path, shown: &str, target: Target) -> Result<Option<Lock>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            // Paths in it are relative to where it is; messages name it as the user does.
            Ok(Some(lock::parse(&text, path, target).map_err(|error| error.in_file(shown))?))
        }
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
        hashes: &environment.hashes,
        target,
        options,
        indexes: &context.index_urls,
    }
}

fn resolve_options() -> String {
    resolve::Options::default().canonical()
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
    let preferences: BTreeMap<_, _> = old
        .map(|old| old.pins.iter().map(|pin| (pin.name.clone(), pin.version.clone())).collect())
        .unwrap_or_default();
    let source = IndexSource::new(context.index.clone(), tokio::runtime::Handle::current());
    let requirements = unit.environment.requirements.clone();
    let constraints = unit.environment.constraints.clone();
    let hashes = unit.environment.hashes.clone();
    let target = unit.target;
    let solve = move || {
        let request = resolve::Request {
            requirements: &requirements,
            constraints: &constraints,
            target,
            preferences: &preferences,
            hashes: &hashes,
            options: resolve::Options::default(),
        };
        resolve::resolve(&request, &source)
    };
    let solved = tokio::task::spawn_blocking(solve).await.map_err(Error::Worker)?;
    solved.map_err(|source| Error::Resolve { unit: name, source })
}
