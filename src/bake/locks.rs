//! Every environment gets its lock: read, and resolved and written where it is missing or stale.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream;

use super::context::Context;
use super::environments::Unit;
use super::report::{LockReport, LockStatus, Report, WarningReport};
use super::{Error, Event, Freshness, Goal};
use crate::lock::{self, Lock};
use crate::model::{Key, KeyHasher, Libc, Target};
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
    let freshness = if context.goal == Goal::CheckLocks { Freshness::Require } else { context.options.freshness };

    let old = match lock::read(&path, shown, unit.target) {
        // A lock that cannot be read is replaced only by the user's wish.
        Err(_) if freshness == Freshness::Upgrade => None,
        found => found?,
    };
    if let Some(old) = &old
        && freshness != Freshness::Upgrade
    {
        let ours = old.is_ours();
        let fits = fits(&old.target, &unit.target);
        let fresh = ours && fits && old.inputs == Some(inputs(context, unit, old.target));
        if !ours || fresh || freshness == Freshness::Ignore {
            if !fits {
                return Err(Error::LockMismatch {
                    path: shown.clone(),
                    locked: old.target.to_string(),
                    base: unit.target.to_string(),
                });
            }
            let status = if ours { LockStatus::Fresh } else { LockStatus::Foreign };
            return Ok(Found { lock: old.clone(), status, warnings: Vec::new() });
        }
    }
    if matches!(freshness, Freshness::Require | Freshness::Ignore) {
        let state = if old.is_some() { "stale: it was made from other requirements" } else { "missing" };
        return Err(Error::StaleLock { path: shown.clone(), state: state.to_owned() });
    }

    let resolution = resolve(context, unit, old.as_ref().filter(|_| freshness != Freshness::Upgrade)).await?;
    let warnings = resolution.warnings.iter().map(Into::into).collect();
    let requirements = &unit.environment.requirements;
    let lock = Lock::new(unit.target, inputs(context, unit, unit.target), requirements, resolution.pins);
    let text = lock::to_toml(&lock);
    let same = std::fs::read_to_string(&path).is_ok_and(|old| old == text);
    if !same && context.goal != Goal::Plan {
        lock::write(&path, &text)?;
    }
    Ok(Found { lock, status: if same { LockStatus::Unchanged } else { LockStatus::Written }, warnings })
}

/// Everything that a lock is made from.
fn inputs(context: &Context<'_>, unit: &Unit<'_>, target: Target) -> Key {
    let environment = unit.environment;
    lock::inputs_key(
        &environment.requirements,
        &environment.constraints,
        &environment.hashes,
        target,
        &resolve::Options::default().canonical(),
        &context.index_urls,
    )
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
