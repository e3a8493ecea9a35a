//! Flows: from `flow.py` and the project's `pyproject.toml` to the environments of the steps.

mod ancestry;
mod arguments;
mod call;
mod class;
mod code;
mod conda;
mod config;
mod decorator;
mod evaluator;
mod files;
mod function;
mod hidden;
mod lookup;
mod names;
mod overrides;
mod paths;
mod reader;
mod syntax;
mod value;
mod wrapper;

use std::collections::BTreeMap;
use std::sync::PoisonError;

pub(super) use self::overrides::Overrides;

use self::code::{FlowCode, Step};
use self::conda::Conda;
use self::decorator::{Ask, Content};
use self::files::Files;
pub(super) use self::syntax::with_module;
use super::dependencies::Dependencies;
use super::source::Root;
use super::{
    BaseRequest, CodePackage, Component, ComponentKind, CondaRequest, Environment, Error, PythonRequest, Run,
    Settings,
};
use crate::model::{Origin, Warning};

/// The project-wide requirements that every flow has as its `@pypi_base`, and where they are stated.
pub(super) struct ProjectBase {
    pub dependencies: Dependencies,
    pub origin: Origin,
}

/// What the project says to a flow from outside of its folder.
pub(super) struct Given<'p> {
    /// What every flow has as its `@pypi_base`.
    pub base: Option<&'p ProjectBase>,
    /// The files that are chosen for configurations, by the configurations' names.
    pub configs: &'p BTreeMap<String, (String, Origin)>,
    /// What stands in for decorators.
    pub overrides: &'p mut Overrides,
}

/// Reads the flow in `flows/NAME`.
pub(super) fn component(
    root: &Root,
    name: &str,
    given: &mut Given<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Component, Error> {
    let folder = format!("flows/{name}");
    let file = format!("{folder}/flow.py");
    let text = root.read(&file, None)?;
    let files = Files::new(root, &folder, given.configs, &text);
    let mut code = code::read(&file, &text, &files)?;
    if !code.is_project_flow {
        let message = format!(
            "flow `{}` subclasses FlowSpec: the platform deploys only subclasses of ProjectFlow",
            code.class
        );
        warnings.push(Warning::at(Origin::line(&file, code.line), message));
    }
    let stand_in = given.overrides.apply(name, &mut code)?;
    if let Some(error) = code.unknown.take() {
        return Err(error);
    }
    let steps = std::mem::take(&mut code.steps);
    let reads = std::mem::take(&mut code.reads);
    // What is disabled for the whole flow must be understood if a step enables it again.
    let mut asks = steps.iter().flat_map(|step| step.pypi.iter().chain(&step.conda));
    let enabled = asks.any(|ask| ask.disabled == Some(false));
    let base = Base::new(name, given.base, code, (stand_in, enabled))?;
    let mut environments: Vec<Environment> = Vec::new();
    let mut known: BTreeMap<EnvironmentKey, usize> = BTreeMap::new();
    for step in steps {
        let name = step.name.clone();
        let Found { dependencies, conda, image } = base.with_step(step)?;
        warnings.extend(unpacked_python(dependencies.python.as_ref()));
        let key = EnvironmentKey::new(&dependencies, conda.as_ref(), image.as_ref());
        if let Some(&at) = known.get(&key) {
            environments[at].steps.push(name);
            continue;
        }
        known.insert(key, environments.len());
        let suffix = (!environments.is_empty()).then(|| name.clone());
        let lock_path = match &suffix {
            Some(step) => format!("{folder}/pylock.{step}.toml"),
            None => format!("{folder}/pylock.toml"),
        };
        environments.push(Environment {
            suffix,
            steps: vec![name],
            lock_path,
            requirements: dependencies.requirements,
            constraints: dependencies.constraints,
            overrides: dependencies.overrides,
            hashes: dependencies.hashes,
            conda,
            python: dependencies.python,
            base: image,
        });
    }
    warnings.append(&mut files.warnings.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Component {
        kind: ComponentKind::Flow,
        name: name.to_owned(),
        environments,
        readme: root.readme(&folder),
        run: Run {
            command: Some(vec!["python".to_owned(), "flow.py".to_owned()]),
            working_dir: format!("/app/{folder}"),
            python_path: vec!["/app".to_owned(), "/app/src".to_owned()],
            ports: Vec::new(),
            env: BTreeMap::new(),
            settings: Settings::default(),
        },
        package: None,
        code: CodePackage { reads, ..CodePackage::default() },
        folder,
    })
}

/// What makes environments of one flow equal: the same requirements, Python and base, wherever they are stated.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct EnvironmentKey {
    requirements: Vec<String>,
    conda: Option<(Vec<String>, Vec<String>)>,
    python: Option<String>,
    base: Option<String>,
}

impl EnvironmentKey {
    fn new(dependencies: &Dependencies, conda: Option<&CondaRequest>, base: Option<&BaseRequest>) -> Self {
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts.dedup();
            texts
        };
        Self {
            requirements: sorted(dependencies.requirements.iter().map(|r| r.normalized()).collect()),
            conda: conda.map(|conda| {
                let packages = conda.packages.iter().map(|(package, _)| package.clone()).collect();
                (sorted(packages), conda.channels.clone())
            }),
            python: dependencies.python.as_ref().map(|python| python.specifiers.to_string()),
            base: base.map(|base| base.reference.clone()),
        }
    }
}

/// What all steps of a flow start from.
struct Base {
    dependencies: Dependencies,
    disabled: bool,
    /// Where PyPI packages for the whole flow are asked for, if they are.
    pypi: Option<Origin>,
    /// The conda packages for the whole flow, if there are any.
    conda: Option<CondaBase>,
    flow: String,
}

/// `@conda_base`.
struct CondaBase {
    origin: Origin,
    disabled: bool,
    packages: Conda,
}

/// What a step comes to.
struct Found {
    dependencies: Dependencies,
    conda: Option<CondaRequest>,
    image: Option<BaseRequest>,
}

impl Base {
    /// `stand_in`: something takes the place of the decorators of the flow's class; `enabled`: a step enables for itself
    /// what may be disabled for the flow.
    fn new(
        flow: &str,
        project: Option<&ProjectBase>,
        code: FlowCode,
        (stand_in, enabled): (bool, bool),
    ) -> Result<Self, Error> {
        let conda_at = code.conda_base.as_ref().map(|ask| (ask.origin.clone(), ask.disabled == Some(true)));
        let mut this = Self {
            dependencies: project.map(|p| p.dependencies.clone()).unwrap_or_default(),
            disabled: false,
            pypi: project.map(|p| p.origin.clone()),
            conda: None,
            flow: flow.to_owned(),
        };
        if let Some(own) = code.pypi_base {
            if let Some(other) = this.pypi.filter(|_| !stand_in) {
                return Err(Error::DuplicateBase { origin: own.origin, flow: this.flow, other });
            }
            this.disabled = own.disabled == Some(true);
            this.pypi = Some(own.origin);
            let content = match own.content {
                Err(_) if this.disabled && !enabled => Content::default(),
                content => content?,
            };
            this.dependencies = this.dependencies.overridden_by(&dependencies(content)?);
        }
        if let (Some(other), Some((origin, false))) = (&this.pypi, conda_at) {
            return Err(Error::MixedEcosystems {
                origin,
                place: format!("flow `{flow}`"),
                other: other.clone(),
            });
        }
        this.conda = match code.conda_base {
            Some(Ask { origin, disabled, content }) => {
                let disabled = disabled == Some(true);
                let packages = match content {
                    Err(_) if disabled && !enabled => Conda::default(),
                    content => Conda::new(content?)?,
                };
                Some(CondaBase { origin, disabled, packages })
            }
            None => None,
        };
        Ok(this)
    }

    /// The requirements and base image of one step.
    fn with_step(&self, step: Step) -> Result<Found, Error> {
        if let Some(error) = step.unknown {
            return Err(error);
        }
        let place = format!("step `{}` of flow `{}`", step.name, self.flow);
        let pypi_at = match &step.pypi {
            Some(ask) if !ask.disabled.unwrap_or(self.disabled) => Some(ask.origin.clone()),
            Some(_) => None,
            None => self.pypi.clone().filter(|_| !self.disabled),
        };
        let conda_at = match (&step.conda, &self.conda) {
            (Some(ask), base) => {
                let disabled = ask.disabled.or(base.as_ref().map(|base| base.disabled));
                (disabled != Some(true)).then(|| ask.origin.clone())
            }
            (None, Some(base)) if !base.disabled => Some(base.origin.clone()),
            _ => None,
        };
        if let (Some(other), Some(origin)) = (&pypi_at, &conda_at) {
            let (origin, other) = if *other > *origin && other.file == origin.file {
                (other.clone(), origin.clone())
            } else {
                (origin.clone(), other.clone())
            };
            return Err(Error::MixedEcosystems { origin, place, other });
        }
        let image = step.image.map(|(image, origin)| BaseRequest::parse(&image, origin)).transpose()?;
        let mut dependencies = match (step.pypi, pypi_at) {
            (_, None) => Dependencies::default(),
            (None, Some(_)) => self.dependencies.clone(),
            (Some(ask), Some(_)) => self.dependencies.overridden_by(&self::dependencies(ask.content?)?),
        };
        let conda = match conda_at {
            None => None,
            Some(origin) => {
                let base = self.conda.as_ref().map(|base| base.packages.clone()).unwrap_or_default();
                let own = step.conda.map(|ask| Conda::new(ask.content?)).transpose()?.unwrap_or_default();
                let Conda { packages, python, channels } = base.overridden_by(own);
                dependencies.python = python;
                let packages = packages.into_iter().map(|(_, package, origin)| (package, origin)).collect();
                Some(CondaRequest { packages, channels: channels.unwrap_or_default(), place, origin })
            }
        };
        Ok(Found { dependencies, conda, image })
    }
}

/// The warning of a Python that is among the values of a configuration which is unpacked into a decorator.
fn unpacked_python(python: Option<&PythonRequest>) -> Option<Warning> {
    let origin = &python?.origin;
    if origin.file.ends_with(".py") || ["pyproject.toml", "obproject.toml"].contains(&origin.file.as_str()) {
        return None;
    }
    let message = "it counts here, but the platform's client does not see it where a configuration is unpacked \
                   into @pypi: write `python=` there to have it everywhere";
    Some(Warning::at(origin.clone(), message))
}

fn dependencies(content: Content) -> Result<Dependencies, Error> {
    let mut dependencies = Dependencies::default();
    for (name, version, origin) in content.packages {
        dependencies.push_package(&name, &version, origin)?;
    }
    if let Some((python, origin)) = content.python {
        dependencies.python = Some(PythonRequest::parse(&python, origin)?);
    }
    Ok(dependencies)
}
