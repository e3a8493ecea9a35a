//! Bases of Debian's packages, and their lock in the project.

use std::io;
use std::sync::Arc;

use url::Url;

use super::assemble::usable;
use super::context::Context;
use super::records::made_key;
use super::report::{LockReport, LockStatus, Report};
use super::{Error, Event, Freshness, Goal};
use crate::base::debian::{self, BaseLock, Keys, LOCK_FILE, LockedBase, Made, Mirrors, Recipe};
use crate::base::{self, Base, Contents};
use crate::model::Platform;
use crate::store;

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
    let home = context.records.as_ref().map(|records| records.repository().clone());
    let store = &context.store;
    let mut known = None;
    let mut made = debian::stored(&locked, store).map_err(base::Error::from)?;
    if made.is_none() {
        (made, known) = recall(context, &locked).await?.unzip();
    }
    let made = match made {
        Some(made) => made,
        None => debian::make(&locked, &mirrors, &context.debian, store).await.map_err(base::Error::from)?,
    };
    Ok(base::open_debian(recipe.name(), made, home, known.flatten(), Arc::clone(store)).await?)
}

/// The base as another machine made it, and what is inside, if the registry's records know it and have all its layers.
async fn recall(
    context: &Context<'_>,
    locked: &LockedBase,
) -> Result<Option<(Made, Option<Contents>)>, Error> {
    let Some(records) = &context.records else { return Ok(None) };
    let key = made_key(debian::layer_keys(locked));
    let Some((layers, contents)) = records.made(&context.store, &key).await else { return Ok(None) };
    if usable(context, &layers).await?.len() < layers.len() {
        return Ok(None);
    }
    let made = debian::recalled(locked, &layers).map_err(base::Error::from)?;
    Ok(made.map(|made| (made, contents)))
}

/// Whether the base is to be locked anew. Without the network, it cannot be.
pub fn is_upgraded(context: &Context<'_>) -> bool {
    context.options.freshness == Freshness::Upgrade && !context.options.offline
}

/// What a base of a suite is to be made of.
pub fn recipe(context: &Context<'_>, suite: &str, platform: Platform) -> Result<Recipe, Error> {
    let (options, files) = (&context.options.debian, &context.project.bases);
    let security = !options.no_security && files.debian_security.unwrap_or(true);
    Ok(Recipe::new(suite, platform, &packages(context), security).map_err(base::Error::from)?)
}

/// The packages that are asked for besides.
pub fn packages(context: &Context<'_>) -> Vec<String> {
    [&context.options.debian.packages[..], &context.project.bases.debian_packages].concat()
}

/// Where packages come from: the command line and the environment go first, then the project's files.
fn mirrors(context: &Context<'_>) -> Result<Mirrors, Error> {
    let (options, files) = (&context.options.debian, &context.project.bases);
    let keys = match options.keyring.as_ref().or(files.debian_keyring.as_ref()) {
        None => Keys::debian(),
        Some(path) => {
            let bytes = std::fs::read(path).map_err(store::Error::io("read", path))?;
            Keys::parse(&path.display().to_string(), &bytes)
        }
    };
    let keys = keys.map_err(base::Error::from)?;
    let first = |given: &Option<Url>, file: &Option<Url>| given.clone().or_else(|| file.clone());
    let main = first(&options.mirror, &files.debian_mirror);
    // A mirror of security updates that stands beside another main one is not meant.
    let security = match &options.mirror {
        Some(_) => options.security_mirror.clone(),
        None => first(&options.security_mirror, &files.debian_security_mirror),
    };
    let snapshot = first(&options.snapshot, &files.debian_snapshot);
    let mut mirrors = Mirrors::new(main, security, snapshot, keys).map_err(base::Error::from)?;
    mirrors.security_suite = options.security_suite.clone().or_else(|| files.debian_security_suite.clone());
    Ok(mirrors)
}

/// The packages that are locked, or that the mirrors have now.
async fn lock(
    context: &Context<'_>,
    recipe: &Recipe,
    mirrors: &Mirrors,
    report: &mut Report,
) -> Result<LockedBase, Error> {
    let freshness = context.freshness();
    let mut lock = read_for(context, freshness)?;
    let known = lock.find(recipe).cloned();
    let (locked, status) = match (known, freshness) {
        (Some(known), _) if !is_upgraded(context) => (known, LockStatus::Fresh),
        (None, Freshness::Require | Freshness::Ignore) => {
            let state = format!("without the packages of {} for {}", recipe.name(), recipe.platform);
            return Err(Error::StaleLock { path: LOCK_FILE.to_owned(), state });
        }
        (known, _) => {
            let locked = debian::lock(recipe, mirrors, &context.debian, &context.store).await;
            let (locked, warning) = locked.map_err(base::Error::from)?;
            report.warnings.extend(warning.iter().map(Into::into));
            if known.as_ref() == Some(&locked) {
                (locked, LockStatus::Unchanged)
            } else {
                lock.insert(locked.clone());
                if context.goal != Goal::Plan {
                    write(context, &lock)?;
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

/// Writes the project's lock of bases.
pub fn write(context: &Context<'_>, lock: &BaseLock) -> Result<(), Error> {
    let path = context.project.root.join(LOCK_FILE);
    let written = store::write_atomically(&path, lock.to_toml().as_bytes());
    Ok(written.map_err(store::Error::io("write", &path))?)
}

/// The project's lock of bases. One that cannot be read is replaced only by the user's wish.
pub fn read_for(context: &Context<'_>, freshness: Freshness) -> Result<BaseLock, Error> {
    match read(context) {
        Err(_) if freshness == Freshness::Upgrade => Ok(BaseLock::default()),
        read => read,
    }
}

/// The project's lock of bases; empty where there is none.
pub fn read(context: &Context<'_>) -> Result<BaseLock, Error> {
    let path = context.project.root.join(LOCK_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(BaseLock::parse(&text, LOCK_FILE).map_err(base::Error::from)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BaseLock::default()),
        Err(error) => Err(store::Error::io("read", &path)(error).into()),
    }
}
