//! Which components are meant, and what each of their environments is built on: its base, its Python, its target.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join;
use tokio::sync::oneshot;

use super::context::Context;
use super::foundation::Installed;
use super::report::Report;
use super::suites::{self, Suites};
use super::{Error, Event, Goal, ahead, debian, interpreter};
use crate::base::interpreter::Interpreter;
use crate::base::{self, Base, Contents, Found, Python, Source};
use crate::model::{Key, Libc, Platform, PythonMinor, Target, Warning};
use crate::project::{self, Component, Environment, Project, Unreadable};
use crate::registry::Manifest;

/// The C library that wheels are chosen for where no base tells.
const DEFAULT_LIBC: Libc = Libc::Glibc { major: 2, minor: 28 };
/// The Pythons that a request is tried against where no base tells; the newest first.
const KNOWN_MINORS: std::ops::RangeInclusive<u8> = 7..=14;

/// One environment of one component for one platform, and what it is built on. The unit of all further work.
pub struct Unit<'p> {
    pub component: &'p Component,
    pub environment: &'p Environment,
    /// Absent when only locks are wanted and no base is named.
    pub base: Option<Arc<Base>>,
    /// The interpreter.
    pub python: Option<Python>,
    /// Whether the environment lets what is installed for that interpreter be imported.
    pub open: bool,
    /// What is installed for it, where that counts.
    pub installed: Installed,
    /// The interpreter in a layer of its own, where the base lacks it; `python` is that then.
    pub interpreter: Option<Arc<Interpreter>>,
    pub target: Target,
}

impl Unit<'_> {
    /// The component as users name it, such as `flow/trainer`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.component.kind, self.component.name)
    }
}

/// The components that the user names, or all, by their projects.
pub fn select<'p>(
    projects: &'p [Project],
    names: &[String],
) -> Result<Vec<(&'p Project, Vec<&'p Component>)>, Error> {
    let all = || projects.iter().flat_map(|project| project.components.iter().map(move |c| (project, c)));
    for name in names {
        if !all().any(|(project, component)| is_named(project, &component.id(), name)) {
            let known = all().map(|(project, component)| full_name(project, &component.id())).collect();
            return Err(Error::UnknownComponent { name: name.clone(), known });
        }
    }
    let mut chosen = Vec::new();
    for project in projects {
        let is_chosen = |component: &&Component| {
            names.is_empty() || names.iter().any(|name| is_named(project, &component.id(), name))
        };
        let components: Vec<_> = project.components.iter().filter(is_chosen).collect();
        project::check_names(&components)?;
        if !components.is_empty() {
            chosen.push((project, components));
        }
    }
    match (&chosen[..], projects) {
        ([], [project, ..]) => Err(Error::NoComponents { project: project.root.clone() }),
        _ => Ok(chosen),
    }
}

/// Sorts out what of each project cannot be read: it is a failure where it is asked for, and a warning otherwise. The
/// failures with the places of their projects, and what is left of the names that were asked for; `None` if that is
/// nothing, although something was.
pub fn sort_out(
    projects: &mut [Project],
    unreadable: Vec<Vec<Unreadable>>,
    names: &[String],
) -> (Vec<(usize, project::Error)>, Option<Vec<String>>) {
    let (mut failures, mut left) = (Vec::new(), names.to_vec());
    for (place, other) in unreadable
        .into_iter()
        .enumerate()
        .flat_map(|(place, all)| all.into_iter().map(move |one| (place, one)))
    {
        let id = other.id();
        let is_meant = |project: &Project, name: &String| is_named(project, &id, name);
        if !names.is_empty() && !names.iter().any(|name| is_meant(&projects[place], name)) {
            let warning = other.warning();
            projects[place].warnings.push(warning);
            continue;
        }
        left.retain(|name| {
            let is_there =
                |project: &Project| project.components.iter().any(|c| is_named(project, &c.id(), name));
            !is_meant(&projects[place], name) || projects.iter().any(is_there)
        });
        failures.push((place, other.error));
    }
    (failures, (names.is_empty() || !left.is_empty()).then_some(left))
}

/// Whether a component is meant by `NAME`, `KIND/NAME`, `PROJECT/KIND/NAME` or `project/PROJECT`; `id` is `KIND/NAME`.
fn is_named(project: &Project, id: &str, name: &str) -> bool {
    id == name
        || id.split_once('/').is_some_and(|(_, own)| own == name)
        || name == full_name(project, id)
        || project
            .member
            .as_ref()
            .is_some_and(|member| name.strip_prefix("project/") == Some(member.name.as_str()))
}

/// The name that tells a component from all others of the run.
fn full_name(project: &Project, id: &str) -> String {
    match &project.member {
        Some(member) => format!("{}/{id}", member.name),
        None => id.to_owned(),
    }
}

/// Finds the base and the target of every environment. Each base is opened once. The units of an environment, one for
/// each platform, stand one after another.
pub async fn prepare<'p>(
    context: &Context<'p>,
    components: &[&'p Component],
    report: &mut Report,
) -> Result<Vec<Unit<'p>>, Error> {
    let suites = suites::choose(context, components, report).await?;
    let mut bases: Vec<(Source, Platform, Arc<Base>)> = Vec::new();
    let mut found: Vec<(Source, Found)> = Vec::new();
    let mut units = Vec::new();
    for &component in components {
        for environment in component.environments.iter().filter(|one| one.conda.is_none()) {
            let source = base_of(context, environment, &suites, report)?;
            for &platform in &context.options.platforms {
                let known = bases.iter().find(|(known, of, _)| *known == source && *of == platform);
                let base = Some(match known {
                    Some((_, _, base)) => Arc::clone(base),
                    None => {
                        let base = match &source {
                            Source::Debian { suite } => {
                                debian::open(context, suite, platform, report).await?
                            }
                            source => {
                                let found = find(context, source, &mut found).await?;
                                open(context, found, platform, components).await?
                            }
                        };
                        let base = Arc::new(base);
                        bases.push((source.clone(), platform, Arc::clone(&base)));
                        base
                    }
                });
                let own = match &base {
                    Some(base) => interpreter::open(context, environment, platform, base, report).await?,
                    None => None,
                };
                units.push(unit(context, component, environment, platform, (base, own))?);
            }
        }
    }
    for units in units.chunks(context.options.platforms.len()) {
        same_python(units)?;
    }
    Ok(units)
}

/// A lock is for one Python: that of the base must be the same for all platforms.
fn same_python(units: &[Unit<'_>]) -> Result<(), Error> {
    let Some((first, others)) = units.split_first() else { return Ok(()) };
    match others.iter().find(|other| other.target.python != first.target.python) {
        None => Ok(()),
        Some(other) => Err(Error::PythonsDiffer {
            unit: first.name(),
            first: first.target.to_string(),
            second: other.target.to_string(),
        }),
    }
}

/// What the names of bases stand for. A run asks once, so that all its images stand on the same, those of other projects
/// included.
#[derive(Default)]
pub struct Names(Mutex<Vec<(Source, Manifest)>>);

impl Names {
    fn get(&self, source: &Source) -> Option<Manifest> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(known, _)| known == source).map(|(_, manifest)| manifest.clone())
    }

    fn remember(&self, source: &Source, manifest: Option<&Manifest>) {
        if let Some(manifest) = manifest.filter(|_| self.get(source).is_none()) {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.push((source.clone(), manifest.clone()));
        }
    }
}

/// What a base's name stands for.
async fn find<'f>(
    context: &Context<'_>,
    source: &Source,
    found: &'f mut Vec<(Source, Found)>,
) -> Result<&'f Found, Error> {
    let place = match found.iter().position(|(known, _)| known == source) {
        Some(place) => place,
        None => {
            context.event(Event::OpeningBase(&source.to_string()));
            let known = context.names.get(source);
            let new = base::find(source, known, &context.base_registries, &context.store).await?;
            context.names.remember(source, new.manifest());
            found.push((source.clone(), new));
            found.len() - 1
        }
    };
    Ok(&found[place].1)
}

/// Opens a base. What is inside may be known to this machine or the registry; if not, it is told to both. While that is
/// found out, what the locks of the components name is fetched.
async fn open(
    context: &Context<'_>,
    found: &Found,
    platform: Platform,
    components: &[&Component],
) -> Result<Base, Error> {
    let store = Arc::clone(&context.store);
    let (unknown, is_unknown) = oneshot::channel();
    let recall = async move |key: &Key| {
        let known = match &context.records {
            Some(records) => records.base(&context.store, key).await,
            None => None,
        };
        if known.is_none() {
            let _ = unknown.send(());
        }
        known
    };
    let opened = found.open(platform, store, recall);
    let ahead = async {
        if is_unknown.await.is_ok() {
            ahead::fetch(context, components).await;
        }
        Ok(())
    };
    let (base, ()) = try_join(opened, ahead).await?;
    if let Some(records) = context.records.as_ref().filter(|_| base.inspected && context.goal == Goal::Build)
    {
        records.write_base(&Contents::key(&base.digest), &base.contents).await;
    }
    Ok(base)
}

/// The base that the command line or the project names; the command line goes first. Otherwise one of the suite that was
/// chosen.
fn base_of(
    context: &Context<'_>,
    environment: &Environment,
    suites: &Suites<'_>,
    report: &mut Report,
) -> Result<Source, Error> {
    let named = environment.base.as_ref();
    if let Some(source) = &context.options.base {
        if let Some(request) = named {
            let message = format!("the base image {} is replaced by --base {source}", request.reference);
            report.warnings.push((&Warning::at(request.origin.clone(), message)).into());
        }
        return Ok(source.clone());
    }
    match (named, suites.of(environment)) {
        (Some(request), _) => Source::reference(&request.reference)
            .map_err(|source| Error::BaseReference { origin: request.origin.clone(), source }),
        (None, Some(suite)) => Ok(Source::Debian { suite: suite.to_owned() }),
        (None, None) => Err(Error::NoPythonNamed),
    }
}

/// Whether a Python is one that the command line or the project asks for.
pub fn allows(context: &Context<'_>, environment: &Environment, minor: PythonMinor) -> bool {
    match (context.options.python, &environment.python) {
        (Some(wanted), _) => minor == wanted,
        (None, Some(request)) => request.allows(minor),
        (None, None) => true,
    }
}

/// Which Python is asked for, for messages.
pub fn wanted(context: &Context<'_>, environment: &Environment) -> String {
    match (context.options.python, &environment.python) {
        (Some(wanted), _) => format!("Python {wanted} (--python)"),
        (None, Some(request)) => format!("Python {} ({})", request.specifiers, request.origin),
        (None, None) => "Python".to_owned(),
    }
}

/// Chooses the Python: the one that the command line or the project asks for, else the base's own.
fn unit<'p>(
    context: &Context<'p>,
    component: &'p Component,
    environment: &'p Environment,
    platform: Platform,
    (base, interpreter): (Option<Arc<Base>>, Option<Arc<Interpreter>>),
) -> Result<Unit<'p>, Error> {
    let allowed = |minor| allows(context, environment, minor);
    let (python, minor, libc) = match &base {
        Some(base) => {
            let (python, libc) = match &interpreter {
                Some(own) => (own.python.clone(), own.libc(base.contents.libc)),
                None => {
                    let python = base.choose(&wanted(context, environment), allowed)?;
                    (python.clone(), base.contents.libc)
                }
            };
            let libc = libc.unwrap_or(DEFAULT_LIBC);
            (Some(python.clone()), python.minor, libc)
        }
        None => {
            let mut minors =
                KNOWN_MINORS.rev().map(|minor| PythonMinor { major: 3, minor }).filter(|m| allowed(*m));
            // A range alone does not name a Python: whatever were picked, the base would have another some day.
            match (context.options.python.or_else(|| minors.next()), minors.next()) {
                (Some(minor), None) => (None, minor, DEFAULT_LIBC),
                (Some(minor), _) if context.options.python.is_some() => (None, minor, DEFAULT_LIBC),
                _ => return Err(Error::NoPythonNamed),
            }
        }
    };
    let target = Target { python: minor, platform, libc };
    let asked = context.options.python.is_some() || environment.python.is_some();
    let counting = python.as_ref().filter(|_| interpreter.is_none() && !asked && !context.options.isolated);
    let installed = counting.map(Installed::of).unwrap_or_default();
    let open = counting.is_some_and(|python| !python.distributions.is_empty());
    Ok(Unit { component, environment, base, python, open, installed, interpreter, target })
}
