//! Which of Debian's suites a base is made of, where nothing names a base.
//!
//! It is the newest whose Python fits; but where what the project requires cannot be had for that Python, such as a version
//! that has no wheels for it yet, the next older one. That is found out by resolving, before any base is made; the outcome
//! is kept, so that nothing is resolved twice. What is locked stays, and nothing is tried then.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::context::Context;
use super::environments::{Unit, allows};
use super::foundation::Installed;
use super::report::Report;
use super::shared::Shared;
use super::{Error, Freshness, debian, interpreter, locks};
use crate::base::debian::BaseLock;
use crate::model::{Libc, Platform, PythonMinor, Target, Warning};
use crate::project::{Component, Environment};
use crate::resolve;

/// A suite that a base may be made of without being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Suite {
    name: &'static str,
    /// Its Python, of which the major version is 3.
    python: u8,
    /// Its GNU libc, of which the major version is 2.
    libc: u16,
}

/// The newest first.
const SUITES: [Suite; 3] = [
    Suite { name: "trixie", python: 13, libc: 41 },
    Suite { name: "bookworm", python: 11, libc: 36 },
    Suite { name: "bullseye", python: 9, libc: 31 },
];

impl Suite {
    fn python(self) -> PythonMinor {
        PythonMinor { major: 3, minor: self.python }
    }

    /// What a base made of it will be for an environment.
    fn target(self, platform: Platform) -> Target {
        Target { python: self.python(), platform, libc: Libc::Glibc { major: 2, minor: self.libc } }
    }
}

/// The suite of each environment that names no base, by the path of its lock.
#[derive(Debug, Default)]
pub struct Suites<'p>(HashMap<&'p str, String>);

impl Suites<'_> {
    /// The suite of an environment, if it is one of those.
    pub fn of(&self, environment: &Environment) -> Option<&str> {
        self.0.get(environment.lock_path.as_str()).map(String::as_str)
    }
}

/// An environment with the suites that it may stand on, the best first.
struct Choice<'p> {
    component: &'p Component,
    environment: &'p Environment,
    suites: Vec<Suite>,
}

/// Chooses a suite for every environment that names no base.
pub async fn choose<'p>(
    context: &Context<'p>,
    components: &[&'p Component],
    report: &mut Report,
) -> Result<Suites<'p>, Error> {
    let mut chosen = Suites::default();
    if context.options.base.is_some() {
        return Ok(chosen);
    }
    let locked = if debian::is_upgraded(context) { BaseLock::default() } else { debian::read(context)? };
    let mut open = Vec::new();
    for &component in components {
        let environments = component.environments.iter();
        for environment in environments.filter(|one| one.base.is_none() && one.conda.is_none()) {
            if let Some(suite) = &context.project.bases.debian_suite {
                chosen.0.insert(&environment.lock_path, suite.clone());
                continue;
            }
            let suites = fitting(context, environment, &locked)?;
            let choice = Choice { component, environment, suites };
            if is_settled(context, &choice, &locked) {
                chosen.take(&choice, choice.suites.first());
            } else {
                open.push(choice);
            }
        }
    }
    while let Some(best) = open.first().and_then(|choice| choice.suites.first()).copied() {
        let group: Vec<Choice<'p>> =
            open.extract_if(.., |choice| choice.suites.first() == Some(&best)).collect();
        Trials::default().choose(context, best, &group, &mut chosen, report).await;
    }
    Ok(chosen)
}

impl<'p> Suites<'p> {
    fn take(&mut self, choice: &Choice<'p>, suite: Option<&Suite>) {
        if let Some(suite) = suite {
            self.0.insert(&choice.environment.lock_path, suite.name.to_owned());
        }
    }
}

/// The suites whose Python fits: those that are locked go first, and of these the one whose Python the environment is locked
/// for; then the newest.
fn fitting(context: &Context<'_>, environment: &Environment, locked: &BaseLock) -> Result<Vec<Suite>, Error> {
    let mut suites = SUITES.to_vec();
    suites.retain(|suite| allows(context, environment, suite.python()));
    // Where no suite has the Python, it may come from an archive.
    let from_archive = suites.is_empty();
    if from_archive && interpreter::are_named(context)? {
        suites = SUITES.to_vec();
    }
    let locked: Vec<Suite> =
        suites.iter().copied().filter(|suite| is_locked(context, *suite, locked)).collect();
    let path = &environment.lock_path;
    let own = (locked.len() > 1).then(|| locks::read(&context.project.root.join(path), path, &[]));
    let own = own.and_then(Result::ok).and_then(|locks| Some(locks.first()?.target.python));
    suites.sort_by_key(|suite| (!locked.contains(suite), own != Some(suite.python())));
    if from_archive {
        suites.truncate(1);
    }
    if suites.is_empty() {
        let found = SUITES.map(|suite| format!("{} has Python {}", suite.name, suite.python())).join(", ");
        return Err(Error::NoBase { found });
    }
    Ok(suites)
}

fn is_locked(context: &Context<'_>, suite: Suite, lock: &BaseLock) -> bool {
    let platform = context.options.platforms.first().copied().unwrap_or_else(Platform::host);
    debian::recipe(context, suite.name, platform).is_ok_and(|recipe| lock.find(&recipe).is_some())
}

/// Whether the best suite is taken without a trial: it is the only one, or locked, and so is what stands on it.
fn is_settled(context: &Context<'_>, choice: &Choice<'_>, locked: &BaseLock) -> bool {
    let [best, _, ..] = choice.suites[..] else { return true };
    // Distributions among the packages may satisfy what is required, and are known only when the base is there.
    let has_distributions = debian::packages(context).iter().any(|name| name.starts_with("python3-"));
    let is_locked =
        is_locked(context, best, locked) && context.project.root.join(&choice.environment.lock_path).exists();
    let is_fixed = matches!(context.freshness(), Freshness::Require | Freshness::Ignore);
    has_distributions || is_locked || is_fixed
}

/// Whether what environments require can be had on a suite, as far as it was tried: by their locks and the suite's name.
#[derive(Default)]
struct Trials<'p>(HashMap<(&'p str, &'static str), bool>);

impl<'p> Trials<'p> {
    /// Chooses for environments for which one suite is the `best`. They share the next one if it will not do for all: the
    /// components of a project have one Python where they can, and one base. Where no suite is for all, each has its own.
    async fn choose(
        mut self,
        context: &Context<'p>,
        best: Suite,
        group: &[Choice<'p>],
        chosen: &mut Suites<'p>,
        report: &mut Report,
    ) {
        let all: Vec<&Choice<'p>> = group.iter().collect();
        let is_for_all = |suite: &Suite| group.iter().all(|choice| choice.suites.contains(suite));
        let mut common = None;
        for suite in all.first().iter().flat_map(|first| &first.suites).copied().filter(is_for_all) {
            if self.try_all(context, &all, suite).await {
                common = Some(suite);
                break;
            }
        }
        let mut moved: Vec<(Suite, BTreeSet<String>)> = Vec::new();
        for choice in group {
            let mut suite = common;
            for &next in &choice.suites {
                if suite.is_none() && self.try_all(context, &[choice], next).await {
                    suite = Some(next);
                }
            }
            // Where none will do, the error is told for the best.
            let suite = suite.unwrap_or(best);
            chosen.take(choice, Some(&suite));
            if suite != best {
                let place = moved.iter().position(|(known, _)| *known == suite).unwrap_or_else(|| {
                    moved.push((suite, BTreeSet::new()));
                    moved.len() - 1
                });
                if !self.succeeded(choice, best) {
                    moved[place].1.insert(choice.component.id());
                }
            }
        }
        for (suite, because) in moved {
            let because = because.into_iter().collect::<Vec<_>>().join(", ");
            let message = format!(
                "the base is deb://{} with Python {}, since what {because} requires cannot be had for Python {} of deb://{}: \
                 to choose otherwise, ask for a Python (`requires-python`) or name a base",
                suite.name,
                suite.python(),
                best.python(),
                best.name
            );
            report.warnings.push((&Warning::general(message)).into());
        }
    }

    /// Whether all of the environments can be resolved on a suite, which is tried where it was not yet.
    async fn try_all(&mut self, context: &Context<'p>, choices: &[&Choice<'p>], suite: Suite) -> bool {
        let untried = choices.iter().filter(|choice| !self.0.contains_key(&key(choice, suite)));
        let units: Vec<Vec<Unit<'p>>> = untried.map(|choice| units(context, choice, suite)).collect();
        let shared = Shared::of(units.iter().flatten());
        let (resolutions, shared) = (&Semaphore::new(locks::RESOLUTIONS), &shared);
        let outcomes = units.iter().map(|units| async move {
            let _permit = resolutions.acquire().await;
            locks::can_lock(context, units, shared).await
        });
        let outcomes = join_all(outcomes).await;
        for (units, outcome) in units.iter().zip(outcomes) {
            // Any other trouble is told where it is met again.
            let fails =
                matches!(outcome, Err(Error::Resolve { source: resolve::Error::NoSolution { .. }, .. }));
            if let Some(unit) = units.first() {
                self.0.insert((&unit.environment.lock_path, suite.name), !fails);
            }
        }
        choices.iter().all(|choice| self.succeeded(choice, suite))
    }

    fn succeeded(&self, choice: &Choice<'p>, suite: Suite) -> bool {
        self.0.get(&key(choice, suite)).copied().unwrap_or(true)
    }
}

fn key<'p>(choice: &Choice<'p>, suite: Suite) -> (&'p str, &'static str) {
    (&choice.environment.lock_path, suite.name)
}

/// What an environment will be on a suite, for each platform.
fn units<'p>(context: &Context<'p>, choice: &Choice<'p>, suite: Suite) -> Vec<Unit<'p>> {
    let unit = |&platform: &Platform| Unit {
        component: choice.component,
        environment: choice.environment,
        base: None,
        python: None,
        open: false,
        installed: Installed::default(),
        interpreter: None,
        target: suite.target(platform),
    };
    context.options.platforms.iter().map(unit).collect()
}
