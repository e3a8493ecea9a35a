//! Bases of Debian's packages: which suite, and the lock in the project.

use std::io;
use std::sync::Arc;

use super::context::Context;
use super::report::{LockReport, LockStatus, Report};
use super::{Error, Event, Freshness, Goal};
use crate::base::debian::{self, BaseLock, Keys, LOCK_FILE, LockedBase, Mirrors, Recipe};
use crate::base::{self, Base};
use crate::model::{Platform, PythonMinor};
use crate::store;

/// The suites that a base may be made of where nothing names one, the newest first, with their Python.
const SUITES: [(&str, u8); 3] = [("trixie", 13), ("bookworm", 11), ("bullseye", 9)];

/// The suite to use where nothing names a base: one that is locked already, else the newest whose Python is allowed.
pub fn default_suite(context: &Context<'_>, allowed: impl Fn(PythonMinor) -> bool) -> Result<String, Error> {
    let fitting = || SUITES.iter().filter(|(_, minor)| allowed(PythonMinor { major: 3, minor: *minor }));
    let locked = match context.options.freshness {
        Freshness::Upgrade => BaseLock::default(),
        _ => read(context)?,
    };
    let is_locked = |suite: &str| {
        let platform = context.options.platforms.first().copied().unwrap_or_else(Platform::host);
        let recipe = recipe(context, suite, platform);
        recipe.is_ok_and(|recipe| locked.find(&recipe).is_some())
    };
    let suite = fitting().find(|(suite, _)| is_locked(suite)).or_else(|| fitting().next());
    let found = SUITES.map(|(suite, minor)| format!("{suite} has Python 3.{minor}")).join(", ");
    suite.map(|(suite, _)| (*suite).to_owned()).ok_or(Error::NoBase { found })
}

/// Makes the base of a suite, of the packages that the project's lock names. The lock is written if it lacks them.
pub async fn open(
    context: &Context<'_>,
    suite: &str,
    platform: Platform,
    report: &mut Report,
) -> Result<Base, Error> {
    let recipe = recipe(context, suite, platform)?;
    context.event(Event::OpeningBase(&recipe.name()));
    let mirrors = mirrors(context)?;
    let locked = lock(context, &recipe, &mirrors, report).await?;
    let made =
        debian::make(&locked, &mirrors, &context.debian, &context.store).await.map_err(base::Error::from)?;
    Ok(base::open_debian(recipe.name(), made, Arc::clone(&context.store)).await?)
}

fn recipe(context: &Context<'_>, suite: &str, platform: Platform) -> Result<Recipe, Error> {
    let options = &context.options.debian;
    let recipe = Recipe::new(suite, platform, &options.packages, !options.no_security);
    Ok(recipe.map_err(base::Error::from)?)
}

fn mirrors(context: &Context<'_>) -> Result<Mirrors, Error> {
    let options = &context.options.debian;
    let keys = match &options.keyring {
        None => Keys::debian(),
        Some(path) => {
            let bytes = std::fs::read(path).map_err(store::Error::io("read", path))?;
            Keys::parse(&path.display().to_string(), &bytes)
        }
    };
    let keys = keys.map_err(base::Error::from)?;
    let (main, security, snapshot) =
        (options.mirror.clone(), options.security_mirror.clone(), options.snapshot.clone());
    Ok(Mirrors::new(main, security, snapshot, keys).map_err(base::Error::from)?)
}

/// The packages that are locked, or that the mirrors have now.
async fn lock(
    context: &Context<'_>,
    recipe: &Recipe,
    mirrors: &Mirrors,
    report: &mut Report,
) -> Result<LockedBase, Error> {
    let freshness =
        if context.goal == Goal::CheckLocks { Freshness::Require } else { context.options.freshness };
    // A lock that cannot be read is replaced only by the user's wish.
    let mut lock = match read(context) {
        Err(_) if freshness == Freshness::Upgrade => BaseLock::default(),
        read => read?,
    };
    let known = lock.find(recipe).cloned();
    let (locked, status) = match (known, freshness) {
        (Some(known), Freshness::Update | Freshness::Require | Freshness::Ignore) => {
            (known, LockStatus::Fresh)
        }
        (None, Freshness::Require | Freshness::Ignore) => {
            let state = format!("without the packages of {} for {}", recipe.name(), recipe.platform);
            return Err(Error::StaleLock { path: LOCK_FILE.to_owned(), state });
        }
        (known, _) => {
            let locked = debian::lock(recipe, mirrors, &context.debian, &context.store).await;
            let locked = locked.map_err(base::Error::from)?;
            if known.as_ref() == Some(&locked) {
                (locked, LockStatus::Unchanged)
            } else {
                lock.insert(locked.clone());
                if context.goal != Goal::Plan {
                    let path = context.project.root.join(LOCK_FILE);
                    store::write_atomically(&path, lock.to_toml().as_bytes())
                        .map_err(store::Error::io("write", &path))?;
                }
                (locked, LockStatus::Written)
            }
        }
    };
    report.locks.push(LockReport {
        project: String::new(),
        component: recipe.name(),
        steps: Vec::new(),
        path: LOCK_FILE.to_owned(),
        packages: locked.packages.len(),
        status,
    });
    Ok(locked)
}

/// The project's lock of bases; empty where there is none.
fn read(context: &Context<'_>) -> Result<BaseLock, Error> {
    let path = context.project.root.join(LOCK_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(BaseLock::parse(&text, LOCK_FILE).map_err(base::Error::from)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BaseLock::default()),
        Err(error) => Err(store::Error::io("read", &path)(error).into()),
    }
}
