//! The main loop: drives PubGrub's state from the requirements to a solution.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use pep508_rs::{ExtraName, PackageName};
use pubgrub::{ConflictId, Id, State, Term};
use url::Url;

use super::dependencies::{self, active};
use super::explain;
use super::facts::Facts;
use super::manifest::Manifest;
use super::package::{Package, Provider, Reason};
use super::prefetch::Prefetcher;
use super::priority::{Class, Priorities};
use super::ranges::{VersionSet, is_one_version};
use super::source::Source;
use super::{Error, Request, Resolution};
use crate::model::{Pin, Version, Warning};
use crate::net::without_credentials;

/// Finds the pins for a request.
pub(crate) fn solve(request: &Request<'_>, source: &dyn Source) -> Result<Resolution, Error> {
    let facts = Facts::new(request, source)?;
    let mut solver = Solver {
        facts,
        priorities: Priorities::default(),
        prefetcher: Prefetcher::default(),
        conditional: HashSet::new(),
    };
    let chosen = solver.run()?;
    chosen.into_resolution(&solver.facts)
}

struct Solver<'r> {
    facts: Facts<'r>,
    priorities: Priorities,
    prefetcher: Prefetcher,
    /// The distributions that something requires under a condition on the target, which holds.
    conditional: HashSet<PackageName>,
}

impl Solver<'_> {
    fn run(&mut self) -> Result<Chosen, Error> {
        let mut state = State::<Provider>::init(Package::Root, Version::new([0]));
        self.apply_constraints(&mut state);
        let mut added: HashSet<(Id<Package>, Version)> = HashSet::new();
        let mut next = state.root_package;
        loop {
            match state.unit_propagation(next) {
                Ok(conflicts) => {
                    for (affected, conflict) in conflicts {
                        self.count(&state, affected, &conflict);
                    }
                }
                Err(tree) => return Err(explain::no_solution(&self.facts, &tree)),
            }
            self.reorder(&mut state);
            for (package, set) in state.partial_solution.prioritized_packages() {
                if let Package::Base(name) = &state.package_store[package] {
                    self.prefetcher.narrowed(&self.facts, package, name, set);
                }
            }

            let packages = &state.package_store;
            let priorities = &self.priorities;
            let picked = state
                .partial_solution
                .pick_highest_priority_pkg(|package, _| priorities.get(&packages[package]))
                .map(|(package, set)| (package, set.clone()));
            let Some((package, set)) = picked else { break };
            next = package;

            let Some(version) = self.choose(&mut state, package, &set)? else { continue };
            tracing::debug!(package = %state.package_store[package], %version, "trying");
            if !added.insert((package, version.clone())) {
                state.partial_solution.add_decision(package, version);
                self.decided(&state.package_store[package]);
                continue;
            }
            let node = state.package_store[package].clone();
            let versions = self.sharing(&node, &version);
            match dependencies::of_version(&self.facts, &node, &version)? {
                Err(reason) => {
                    added.remove(&(package, version));
                    state.add_unavailable(package, versions, reason);
                }
                Ok(dependencies) => {
                    for (package, set) in &dependencies.packages {
                        self.see(package, set);
                    }
                    for name in dependencies.conditional {
                        self.require_conditionally(&mut state, name);
                    }
                    let packages = dependencies.packages;
                    match state.add_package_version_dependencies(package, version, versions, packages) {
                        Some(conflict) => self.count(&state, package, &conflict),
                        None => self.decided(&node),
                    }
                }
            }
        }
        Ok(Chosen::from_state(&state))
    }

    /// A version that a constraint excludes is not there. That is known before anything else, so that it narrows ranges
    /// from the beginning.
    fn apply_constraints(&self, state: &mut State<Provider>) {
        for (&name, constraints) in &self.facts.manifest.constraints {
            let package = state.package_store.alloc(Package::Base(name.clone()));
            for constraint in constraints {
                let Some(allowed) = Manifest::allowed_by(constraint) else { continue };
                let excluded = allowed.complement();
                if !excluded.is_empty() {
                    let text = format!("{constraint} ({})", constraint.origin);
                    state.add_unavailable(package, excluded, Reason::Constraint(text));
                }
            }
        }
    }

    /// Chooses a version out of a set; where none will do, tells the solver why.
    fn choose(
        &mut self,
        state: &mut State<Provider>,
        package: Id<Package>,
        set: &VersionSet,
    ) -> Result<Option<Version>, Error> {
        let node = state.package_store[package].clone();
        let Some(name) = node.name().cloned() else {
            return Ok(Some(Version::new([0])));
        };
        let is_extra = node.extra().is_some();
        // An extra and its distribution have one version: one that suits both is worth more than the best for one.
        let both = is_extra.then(|| {
            let base = state.package_store.alloc(Package::Base(name.clone()));
            match state.partial_solution.term_intersection_for_package(base) {
                Some(Term::Positive(base)) => Some(set.intersection(base)),
                _ => None,
            }
        });
        let both = both.flatten();
        // What is there already needs no index.
        let installed = self.facts.installed(&name);
        if let Some(installed) = installed.filter(|&version| both.as_ref().unwrap_or(set).contains(version)) {
            return Ok(Some(installed.clone()));
        }
        let Some(candidates) = self.facts.candidates(&name)? else {
            match installed {
                // All that there is of it is there already, and does not do.
                Some(_) => state.add_no_versions(package, set.clone()),
                None => state.add_unavailable(package, VersionSet::full(), Reason::UnknownPackage),
            }
            return Ok(None);
        };
        if let Some(both) = &both
            && let Some(version) = candidates.choose(both)
        {
            self.prefetcher.trying(&self.facts, state, &node, version, both);
            return Ok(Some(version.clone()));
        }
        if let Some(installed) = installed.filter(|&version| set.contains(version)) {
            return Ok(Some(installed.clone()));
        }
        if let Some(version) = candidates.choose(set) {
            self.prefetcher.trying(&self.facts, state, &node, version, set);
            return Ok(Some(version.clone()));
        }
        let mut rest = set.clone();
        for (reason, versions) in candidates.reasons(set) {
            rest = rest.difference(&versions);
            state.add_unavailable(package, versions, reason);
        }
        if !rest.is_empty() {
            state.add_no_versions(package, rest);
        }
        Ok(None)
    }

    /// The largest set that holds this version and no other published one: what the solver learns about it then leaves
    /// no gaps between versions.
    fn sharing(&self, package: &Package, version: &Version) -> VersionSet {
        let candidates = package.name().and_then(|name| self.facts.known(name));
        match candidates {
            Some(candidates) => candidates.widened(version),
            None => VersionSet::singleton(version.clone()),
        }
    }

    /// Notes that a package is required.
    fn see(&mut self, package: &Package, set: &VersionSet) {
        let Some(name) = package.name() else { return };
        let class = if self.facts.url(name).is_some() {
            Class::DirectUrl
        } else if is_one_version(set) {
            Class::Pinned
        } else {
            Class::Ordinary
        };
        self.priorities.see(name, class);
    }

    /// Notes that a distribution is required under a condition. It may be decided already.
    fn require_conditionally(&mut self, state: &mut State<Provider>, name: PackageName) {
        let base = state.package_store.alloc(Package::Base(name.clone()));
        if let Some(Term::Positive(set)) = state.partial_solution.term_intersection_for_package(base)
            && set.as_singleton().is_some()
        {
            self.priorities.see(&name, Class::Pinned);
        }
        self.conditional.insert(name);
    }

    /// Notes that a package is decided. What is required under a condition keeps its version from then on, as far as the
    /// order goes: such packages bring many others along, and come early when decisions are taken back.
    fn decided(&mut self, package: &Package) {
        if let Package::Base(name) = package
            && self.conditional.contains(name)
        {
            self.priorities.see(name, Class::Pinned);
        }
    }

    fn count(&mut self, state: &State<Provider>, affected: Id<Package>, conflict: &ConflictId<Provider>) {
        let Some(affected) = state.package_store[affected].name() else { return };
        let packages = state.conflict_packages(conflict);
        self.priorities
            .conflict(affected, packages.filter_map(|package| state.package_store[package].name()));
    }

    /// Moves packages that are often in conflict, and takes back the decisions since them.
    fn reorder(&mut self, state: &mut State<Provider>) {
        for name in self.priorities.reorder() {
            let package = state.package_store.alloc(Package::Base(name.clone()));
            let undone = state.backtrack_package(package);
            tracing::debug!(%name, ?undone, "decided earlier or later because of conflicts");
        }
    }
}

/// What the solver decided.
struct Chosen {
    versions: BTreeMap<PackageName, Version>,
    extras: BTreeMap<PackageName, BTreeSet<ExtraName>>,
}

impl Chosen {
    fn from_state(state: &State<Provider>) -> Self {
        let mut this = Self { versions: BTreeMap::new(), extras: BTreeMap::new() };
        for (package, version) in state.partial_solution.extract_solution() {
            match &state.package_store[package] {
                Package::Root => {}
                Package::Base(name) => {
                    this.versions.insert(name.clone(), version);
                }
                Package::Extra(name, extra) => {
                    this.extras.entry(name.clone()).or_default().insert(extra.clone());
                }
            }
        }
        this
    }

    fn into_resolution(self, facts: &Facts<'_>) -> Result<Resolution, Error> {
        let mut resolution = Resolution { pins: Vec::new(), installed: Vec::new(), warnings: Vec::new() };
        let none = BTreeSet::new();
        for (name, version) in &self.versions {
            if facts.is_installed(name, version) {
                resolution.installed.push((name.clone(), version.clone()));
                continue;
            }
            // Both were looked at when the version was decided.
            let Some(candidates) = facts.candidates(name)? else { continue };
            let (Some(file), Ok(metadata)) = (candidates.file(version), facts.metadata(name, version)?)
            else {
                continue;
            };
            let extras = self.extras.get(name).unwrap_or(&none);
            let mut dependencies = BTreeSet::new();
            for extra in std::iter::once(None).chain(extras.iter().map(Some)) {
                let requirements = active(&metadata, extra, facts);
                dependencies.extend(requirements.map(|requirement| requirement.name.clone()));
            }
            dependencies.remove(name);
            let url = facts.url(name);
            let requires_python = file.requires_python.clone().or_else(|| metadata.requires_python.clone());

            let mut warn = |message: String| {
                resolution.warnings.push(Warning { message, origin: facts.required_at(name) });
            };
            if let Some(why) = &file.yanked {
                let why = if why.trim().is_empty() { String::new() } else { format!(": {}", why.trim()) };
                warn(format!("{name}=={version} was yanked by its maintainers{why}"));
            }
            if let Some(specifiers) = requires_python.as_ref()
                && !specifiers.contains(&facts.manifest.rules.python)
            {
                let python = facts.manifest.rules.target.python;
                warn(format!("{name}=={version} was not made for Python {python}: it says {specifiers}"));
            }
            for extra in extras.iter().filter(|&extra| !metadata.provides_extras.contains(extra)) {
                warn(format!("{name}=={version} has no extra `{extra}`"));
            }

            resolution.pins.push(Pin {
                name: name.clone(),
                version: version.clone(),
                index: candidates.releases().index_of(file).cloned(),
                direct_url: url.map(recorded),
                archive: file.archive.clone(),
                built: None,
                requires_python,
                dependencies: dependencies
                    .into_iter()
                    .filter(|name| {
                        self.versions.get(name).is_some_and(|version| !facts.is_installed(name, version))
                    })
                    .collect(),
            });
        }
        Ok(resolution)
    }
}

/// A direct URL as it is recorded: the hash that may follow it is checked and kept elsewhere.
fn recorded(url: &Url) -> Url {
    let mut url = without_credentials(url);
    url.set_fragment(None);
    url
}
