//! Locks that were read before. `lock --check` needs little of one; the store keeps that little by the hash of its text, so
//! that a project of a thousand components is checked without reading a thousand documents again.

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::environments::Unit;
use super::locks::{fits, for_platform, state};
use crate::lock::{CREATED_BY, Freshness, Lock};
use crate::model::{Digest, Key, KeyHasher, Target};

/// The store's kind of records.
const LOCKS: &str = "locks";

#[derive(Serialize, Deserialize)]
struct Known {
    packages: usize,
    options: String,
    targets: Vec<KnownTarget>,
}

#[derive(Serialize, Deserialize)]
struct KnownTarget {
    python: String,
    platform: String,
    libc: String,
    inputs: String,
}

/// The number of packages in a lock of our own with this text, if it was read before and is fresh for all units.
pub fn fresh(context: &Context<'_>, units: &[Unit<'_>], text: &str) -> Option<usize> {
    if !context.options.resolving.upgrade_packages.is_empty() {
        return None;
    }
    // Where what a base has installed counts, the names in the lock say what of it matters: the lock must be read.
    if units.iter().any(|unit| !unit.installed.is_empty()) {
        return None;
    }
    let known: Known = context.store.record(LOCKS, &key(text)).ok()??;
    let locks = known.targets.iter().map(|target| target.lock(&known.options)).collect::<Option<Vec<_>>>()?;
    let is_fresh = |unit: &Unit<'_>| {
        let lock = for_platform(&locks, unit.target.platform);
        lock.is_some_and(|lock| {
            fits(&lock.target, &unit.target) && state(context, unit, lock, unit.target) == Freshness::Fresh
        })
    };
    units.iter().all(is_fresh).then_some(known.packages)
}

/// Keeps what the next check needs of a lock that has been read. Nothing is lost where that fails.
pub fn remember(context: &Context<'_>, text: &str, locks: &[Lock], packages: usize) {
    let Some(first) = locks.first() else { return };
    let targets = locks.iter().filter_map(KnownTarget::of).collect();
    let known = Known { packages, options: first.options.clone(), targets };
    if let Err(error) = context.store.put_record(LOCKS, &key(text), &known) {
        tracing::debug!(%error, "cannot keep what is known of a lock");
    }
}

impl KnownTarget {
    fn of(lock: &Lock) -> Option<Self> {
        let Target { python, platform, libc } = lock.target;
        Some(Self {
            python: python.to_string(),
            platform: platform.to_string(),
            libc: libc.to_string(),
            inputs: lock.inputs.filter(|_| !lock.is_foreign())?.to_string(),
        })
    }

    fn lock(&self, options: &str) -> Option<Lock> {
        let python = self.python.parse().ok()?;
        let (platform, libc) = (self.platform.parse().ok()?, self.libc.parse().ok()?);
        Some(Lock {
            target: Target { python, platform, libc },
            inputs: Some(self.inputs.parse().ok()?),
            pins: Vec::new(),
            created_by: CREATED_BY.to_owned(),
            requirements: Vec::new(),
            base: None,
            options: options.to_owned(),
        })
    }
}

fn key(text: &str) -> Key {
    KeyHasher::new("known-lock/1").text(&Digest::of(text.as_bytes()).to_string()).finish()
}
