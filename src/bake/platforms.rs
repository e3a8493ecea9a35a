//! One lock for several platforms: each is resolved for itself, and they agree on versions where they can.

use std::collections::BTreeMap;

use super::context::Context;
use super::environments::Unit;
use super::locks::{self, for_platform, inputs, is_upgraded, state};
use super::shared::Shared;
use super::{Error, Freshness};
use crate::lock::{self, Lock};
use crate::model::{PackageName, Pin, Target, Version, Warning};

/// What a lock needs for one platform.
struct Part<'o> {
    target: Target,
    old: Option<&'o Lock>,
    /// What was locked before and may stay.
    before: Preferences,
    /// What is locked, once it is known.
    lock: Option<Lock>,
    /// Whether it was resolved now.
    resolved: bool,
}

/// Versions that are taken where they fit.
pub type Preferences = BTreeMap<PackageName, Version>;

/// Resolves an environment for the platforms of its units and for those that its lock serves already, sorted. What is
/// fresh stays as it is.
pub async fn resolve(
    context: &Context<'_>,
    units: &[Unit<'_>],
    old: &[Lock],
    freshness: Freshness,
    shared: &Shared<'_>,
) -> Result<(Vec<Lock>, Vec<Warning>), Error> {
    let Some(unit) = units.first() else { return Err(Error::NoPythonNamed) };
    let keeps = freshness != Freshness::Upgrade;
    let mut warnings = Vec::new();
    let mut parts = parts(units, old);
    let options = context.resolve_options.canonical();
    for part in &mut parts {
        let Some(old) = part.old.filter(|_| keeps) else { continue };
        let unit = unit_for(units, part.target).unwrap_or(unit);
        // A branch stays at its commit, as a version does.
        let stays = |pin: &&Pin| !context.options.resolving.upgrades(&pin.name);
        old.pins.iter().filter(stays).for_each(|pin| context.builders.remember(pin));
        let is_fresh = state(context, unit, old, part.target) == lock::Freshness::Fresh;
        part.lock = (is_fresh && !is_upgraded(context, old)).then(|| old.clone());
        // What was chosen by other options is no reason to choose it again.
        if old.options == options {
            part.before = versions(old);
            part.before.retain(|name, _| !context.options.resolving.upgrades(name));
        }
    }
    for place in 0..parts.len() {
        if parts[place].lock.is_some() {
            continue;
        }
        let leader = parts.iter().find(|part| part.lock.is_some());
        let mut preferences = preferences(&parts[place], leader);
        for (name, version) in shared.preferences(context, parts[place].target).await.into_iter().flatten() {
            if !preferences.contains_key(name) {
                preferences.insert(name.clone(), version.clone());
            }
        }
        let unit = unit_for(units, parts[place].target).unwrap_or(unit);
        let lock = solve(context, unit, parts[place].target, preferences, &mut warnings).await?;
        parts[place].lock = Some(lock);
        parts[place].resolved = true;
    }
    agree(context, units, &mut parts, &mut warnings).await?;
    Ok((parts.into_iter().filter_map(|part| part.lock).collect(), warnings))
}

/// One for each platform.
fn parts<'o>(units: &[Unit<'_>], old: &'o [Lock]) -> Vec<Part<'o>> {
    let part = |target: Target, old| {
        let before = Preferences::new();
        Part { target, old, before, lock: None, resolved: false }
    };
    let ours = |lock: &&Lock| !lock.is_foreign();
    let mut parts: Vec<_> = units
        .iter()
        .map(|unit| part(unit.target, for_platform(old, unit.target.platform).filter(ours)))
        .collect();
    for lock in old.iter().filter(ours) {
        let known = parts.iter().any(|part| part.target.platform == lock.target.platform);
        if let Some(unit) = units.first().filter(|_| !known) {
            parts.push(part(Target { python: unit.target.python, ..lock.target }, Some(lock)));
        }
    }
    parts.sort_by_key(|part| part.target.platform);
    parts
}

async fn solve(
    context: &Context<'_>,
    unit: &Unit<'_>,
    target: Target,
    preferences: Preferences,
    warnings: &mut Vec<Warning>,
) -> Result<Lock, Error> {
    let resolution = locks::resolve(context, unit, target, preferences).await?;
    warnings.extend(resolution.warnings);
    let options = context.resolve_options.canonical();
    let pinned = resolution.pins.iter().map(|pin| &pin.name);
    let base = (unit.target.platform == target.platform)
        .then(|| unit.installed.locked(unit, &resolution.installed, pinned))
        .flatten();
    let facts = base.as_ref().map(lock::Base::facts).unwrap_or_default();
    let lock = Lock::new(&inputs(context, unit, target, &options, &facts), resolution.pins);
    Ok(Lock { base, ..lock })
}

/// The unit that is built for the platform of a target.
fn unit_for<'u, 'p>(units: &'u [Unit<'p>], target: Target) -> Option<&'u Unit<'p>> {
    units.iter().find(|unit| unit.target.platform == target.platform)
}

/// What a part prefers: its own old pins, but where the leader's version is new, that.
fn preferences(part: &Part<'_>, leader: Option<&Part<'_>>) -> Preferences {
    let mut preferences = part.before.clone();
    let Some(leader) = leader else { return preferences };
    for (name, version) in leader.lock.as_ref().map(versions).unwrap_or_default() {
        if leader.before.get(&name) != Some(&version) || !preferences.contains_key(&name) {
            preferences.insert(name, version);
        }
    }
    preferences
}

/// Where a platform could not follow the one resolved before it, that one may follow it: what is new in both is given the
/// version that both can have. Kept only if they agree better then.
async fn agree(
    context: &Context<'_>,
    units: &[Unit<'_>],
    parts: &mut [Part<'_>],
    warnings: &mut Vec<Warning>,
) -> Result<(), Error> {
    let [first, second] = parts else { return Ok(()) };
    let (Some(known), Some(other)) = (&first.lock, &second.lock) else { return Ok(()) };
    if !first.resolved || !second.resolved {
        return Ok(());
    }
    let mut differing = differing(known, other);
    differing.retain(|name, _| {
        let chosen = known.pins.iter().find(|pin| pin.name == *name).map(|pin| &pin.version);
        first.before.get(name) != chosen
    });
    if differing.is_empty() {
        return Ok(());
    }
    let mut preferences = versions(known);
    preferences.extend(differing.clone());
    let mut told = Vec::new();
    let Some(unit) = unit_for(units, first.target) else { return Ok(()) };
    let again = solve(context, unit, first.target, preferences, &mut told).await?;
    if self::differing(&again, other).len() < self::differing(known, other).len() {
        warnings.extend(told);
        first.lock = Some(again);
    }
    Ok(())
}

/// The versions that a lock has, those of the base that it counts on included.
pub(super) fn versions(lock: &Lock) -> Preferences {
    let pins = lock.pins.iter().map(|pin| (pin.name.clone(), pin.version.clone()));
    let served = lock.base.iter().flat_map(|base| &base.packages);
    pins.chain(served.map(|package| (package.name.clone(), package.version.clone()))).collect()
}

/// What both have in different versions, in that of the second.
fn differing(first: &Lock, second: &Lock) -> Preferences {
    let first = versions(first);
    let mut differing = versions(second);
    differing.retain(|name, version| first.get(name).is_some_and(|known| known != version));
    differing
}
