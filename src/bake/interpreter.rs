//! Pythons that a base lacks: which archive they come from, and the lock in the project.

use std::path::Path;
use std::sync::Arc;

use super::assemble::Made;
use super::context::Context;
use super::environments::{Unit, allows, wanted};
use super::report::{LayerOrigin, LockReport, LockStatus, PackageReport, Report, Role};
use super::{Error, Freshness, Goal, debian};
use crate::base::debian::{BaseLock, LOCK_FILE, LockedPython};
use crate::base::interpreter::{self, ArchiveSource, Finder, Interpreter, Wish};
use crate::base::{self, Base, Making};
use crate::model::{Platform, PythonMinor};
use crate::project::Environment;

/// The interpreter for an environment whose base has none that fits; `None` if the base has one, or if nothing names an
/// archive. The lock is written if it lacks the archive.
pub async fn open(
    context: &Context<'_>,
    environment: &Environment,
    platform: Platform,
    base: &Base,
    report: &mut Report,
) -> Result<Option<Arc<Interpreter>>, Error> {
    let allowed = |minor: PythonMinor| allows(context, environment, minor);
    if base.contents.pythons.iter().any(|python| allowed(python.minor)) {
        return Ok(None);
    }
    let sources = sources(context)?;
    let finder = Finder {
        sources: &sources,
        root: &context.project.root,
        client: &context.debian,
        store: &context.store,
    };
    let wanted = wanted(context, environment);
    let wish = Wish { platform, allowed: &allowed, wanted: &wanted };
    let Some((locked, status, lock)) = lock(context, &finder, &wish).await? else { return Ok(None) };
    let interpreter = match known(context, &locked).await? {
        Some(known) => known,
        None => interpreter::make(&locked, &finder, &context.store).await.map_err(base::Error::from)?,
    };
    let contents = (&base.contents, base.is_empty());
    interpreter.check(contents, platform, &locked.shown(), &base.name).map_err(base::Error::from)?;
    // What cannot be used is not locked.
    if let Some(lock) = lock.filter(|_| context.goal != Goal::Plan) {
        debian::write(context, &lock)?;
    }
    let component = format!("cpython-{}", locked.version);
    // Several environments may have the same.
    if report.locks.iter().all(|lock| lock.component != component) {
        report.locks.push(LockReport {
            project: String::new(),
            component,
            steps: Vec::new(),
            path: LOCK_FILE.to_owned(),
            packages: 1,
            status,
        });
    }
    Ok(Some(Arc::new(interpreter)))
}

/// The interpreter as this machine made it before, or another did, if the registry's records know it and have its layer.
async fn known(context: &Context<'_>, locked: &LockedPython) -> Result<Option<Interpreter>, Error> {
    let stored = interpreter::stored(locked, &context.store).map_err(base::Error::from)?;
    let Some(records) = context.records.as_ref().filter(|_| stored.is_none()) else { return Ok(stored) };
    let key = interpreter::layer_key(locked);
    let Some((layer, facts)) = records.interpreter(&context.store, &key).await else { return Ok(None) };
    let is_usable = records.is_usable(context, &layer).await?;
    Ok(if is_usable { interpreter::recalled(locked, layer, facts) } else { None })
}

/// Whether anything names an archive, or one is locked.
pub fn are_named(context: &Context<'_>) -> Result<bool, Error> {
    let named =
        !context.options.python_archives.is_empty() || !context.project.bases.python_archives.is_empty();
    Ok(named || !debian::read(context)?.pythons.is_empty())
}

/// Where archives come from: what the command line names first, relative to where it is given; then what the project's files
/// do, relative to its root.
fn sources(context: &Context<'_>) -> Result<Vec<ArchiveSource>, Error> {
    let given = context.options.python_archives.iter().map(|text| ArchiveSource::parse(text, Path::new(".")));
    let mut sources = given.collect::<Result<Vec<_>, _>>().map_err(base::Error::from)?;
    for (text, origin) in &context.project.bases.python_archives {
        let source = ArchiveSource::parse(text, &context.project.root);
        sources.push(
            source
                .map_err(|source| Error::BaseReference { origin: origin.clone(), source: source.into() })?,
        );
    }
    Ok(sources)
}

/// The archive that is locked, or that the sources have now; and the lock to write, if it lacks that.
async fn lock(
    context: &Context<'_>,
    finder: &Finder<'_>,
    wish: &Wish<'_>,
) -> Result<Option<(LockedPython, LockStatus, Option<BaseLock>)>, Error> {
    let freshness = context.freshness();
    let mut lock = debian::read_for(context, freshness)?;
    let fits = |python: &&LockedPython| python.platform == wish.platform && (wish.allowed)(python.minor());
    let known = lock.pythons.iter().filter(fits).max_by_key(|python| python.minor()).cloned();
    let keeps = !debian::is_upgraded(context) || finder.sources.is_empty();
    Ok(Some(match known {
        Some(known) if keeps => (known, LockStatus::Fresh, None),
        None if finder.sources.is_empty() => return Ok(None),
        None if matches!(freshness, Freshness::Require | Freshness::Ignore) => {
            let state = format!("without an archive of {} for {}", wish.wanted, wish.platform);
            return Err(Error::StaleLock { path: LOCK_FILE.to_owned(), state });
        }
        known => {
            let locked = finder.find(wish).await.map_err(base::Error::from)?;
            if known.as_ref() == Some(&locked) {
                (locked, LockStatus::Unchanged, None)
            } else {
                lock.insert_python(locked.clone());
                (locked, LockStatus::Written, Some(lock))
            }
        }
    }))
}

/// The layer of a unit's interpreter, if it has one of its own.
pub fn layer(unit: &Unit<'_>) -> Option<Made> {
    let interpreter = unit.interpreter.as_ref()?;
    let origin = match interpreter.making {
        Making::Now => LayerOrigin::Built,
        Making::Before => LayerOrigin::Store,
        Making::Elsewhere => LayerOrigin::Registry,
    };
    let package =
        PackageReport { name: "cpython".to_owned(), version: interpreter.version.clone(), kind: "python" };
    let layer = Arc::clone(&interpreter.layer);
    Some(Made { layer, role: Role::Interpreter, packages: vec![package], origin })
}
