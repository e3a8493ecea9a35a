//! What several environments require alike is resolved once for each target, and every component prefers those versions: so
//! components agree, and share layers, wherever nothing keeps them from it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::sync::OnceCell;

use super::Freshness;
use super::context::Context;
use super::environments::Unit;
use super::foundation::Installed;
use super::locks::{self, Question};
use super::platforms::{Preferences, versions};
use crate::model::{Digest, PackageName, Requirement, Target};

/// What the environments of a run have in common.
pub struct Shared<'p> {
    asked: Vec<(Target, Asked)>,
    /// The locks' files with the targets of their environments.
    locks: Vec<(&'p str, Vec<Target>)>,
    solved: OnceCell<HashMap<Target, Preferences>>,
}

/// What more than one environment for a target asks for.
#[derive(Default)]
struct Asked {
    requirements: Vec<Requirement>,
    constraints: Vec<Requirement>,
    overrides: Vec<Requirement>,
    hashes: BTreeMap<PackageName, Vec<Digest>>,
    /// What the base has installed, where all of them stand on the same.
    installed: Installed,
}

impl<'p> Shared<'p> {
    /// Finds what the units have in common, target by target.
    pub fn of<'u>(units: impl Iterator<Item = &'u Unit<'p>>) -> Self
    where
        'p: 'u,
    {
        let units: Vec<&Unit<'p>> = units.collect();
        let mut targets: Vec<Target> = Vec::new();
        let mut locks: Vec<(&str, Vec<Target>)> = Vec::new();
        for unit in &units {
            if !targets.contains(&unit.target) {
                targets.push(unit.target);
            }
            let path = unit.environment.lock_path.as_str();
            match locks.last_mut().filter(|(last, _)| *last == path) {
                Some((_, targets)) => targets.push(unit.target),
                None => locks.push((path, vec![unit.target])),
            }
        }
        targets.sort_by_key(|target| target.platform);
        let asked = targets.into_iter().filter_map(|target| {
            let units: Vec<_> = units.iter().copied().filter(|unit| unit.target == target).collect();
            let asked = Asked::of(&units);
            (!asked.requirements.is_empty()).then_some((target, asked))
        });
        Self { asked: asked.collect(), locks, solved: OnceCell::new() }
    }

    /// The versions that a component prefers for a target where it had none before. They are worked out when the first
    /// asks; where they cannot be, because what components ask for does not go together, nothing is preferred.
    pub async fn preferences(&self, context: &Context<'_>, target: Target) -> Option<&Preferences> {
        let solved = self.solved.get_or_init(|| self.solve(context)).await;
        solved.get(&target)
    }

    async fn solve(&self, context: &Context<'_>) -> HashMap<Target, Preferences> {
        let mut solved: HashMap<Target, Preferences> = HashMap::new();
        let mut common = Preferences::new();
        for (target, asked) in &self.asked {
            let mut preferences = self.before(context, *target);
            for (name, version) in &common {
                preferences.entry(name.clone()).or_insert_with(|| version.clone());
            }
            let question = Question {
                name: format!("what components share, for {}", target.platform),
                requirements: &asked.requirements,
                constraints: &asked.constraints,
                overrides: &asked.overrides,
                hashes: &asked.hashes,
                installed: asked.installed.metadata(),
            };
            let builder = context.builders.for_target(*target);
            match locks::solve(context, &question, *target, preferences, &builder).await {
                Ok(resolution) => {
                    let pins = resolution.pins.iter().map(|pin| (pin.name.clone(), pin.version.clone()));
                    let pins: Preferences = pins.collect();
                    common.extend(pins.clone());
                    solved.insert(*target, pins);
                }
                // Each component finds the error for itself, if it is one for it.
                Err(error) => tracing::debug!(%error, "what components share cannot be resolved"),
            }
        }
        solved
    }

    /// What the components' locks have for a target.
    fn before(&self, context: &Context<'_>, target: Target) -> Preferences {
        let mut before = Preferences::new();
        if context.options.freshness == Freshness::Upgrade {
            return before;
        }
        let options = context.resolve_options.canonical();
        for (shown, targets) in &self.locks {
            // A lock that cannot be read is an error where it is needed.
            let old = locks::read(&context.project.root.join(shown), shown, targets).unwrap_or_default();
            let old = locks::for_platform(&old, target.platform);
            let Some(old) = old.filter(|old| !old.is_foreign() && old.options == options) else { continue };
            for (name, version) in versions(old) {
                if !context.options.resolving.upgrades(&name) {
                    before.entry(name).or_insert(version);
                }
            }
        }
        before
    }
}

impl Asked {
    fn of(units: &[&Unit<'_>]) -> Self {
        let mut hashes: BTreeMap<PackageName, Vec<Digest>> = BTreeMap::new();
        for (name, allowed) in units.iter().flat_map(|unit| &unit.environment.hashes) {
            hashes.entry(name.clone()).or_default().extend(allowed);
        }
        let installed = units.first().map(|unit| unit.installed.clone()).unwrap_or_default();
        let same = units.iter().all(|unit| unit.installed.facts() == installed.facts());
        Self {
            installed: if same { installed } else { Installed::default() },
            requirements: common(units, |unit| &unit.environment.requirements),
            constraints: common(units, |unit| &unit.environment.constraints),
            overrides: common(units, |unit| &unit.environment.overrides),
            hashes,
        }
    }
}

/// What stands in the lists of more than one unit, in the order in which it is first met.
fn common<'u>(units: &[&'u Unit<'_>], list: impl Fn(&'u Unit<'_>) -> &'u [Requirement]) -> Vec<Requirement> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for &unit in units {
        let own: BTreeSet<String> = list(unit).iter().map(Requirement::normalized).collect();
        own.into_iter().for_each(|text| *counts.entry(text).or_default() += 1);
    }
    let all = units.iter().flat_map(|&unit| list(unit));
    let mut common = Vec::new();
    for requirement in all {
        // Taken out, it is not taken twice.
        if counts.remove(&requirement.normalized()).is_some_and(|count| count > 1) {
            common.push(requirement.clone());
        }
    }
    common
}
