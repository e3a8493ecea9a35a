//! Flows: from `flow.py` and the project's `pyproject.toml` to the environments of the steps.

mod code;
mod config;
mod files;
mod names;
mod syntax;
mod value;

use std::collections::BTreeMap;

use self::code::{Ask, Step};
use self::files::Files;
use super::dependencies::Dependencies;
use super::source::Root;
use super::{BaseRequest, CodePackage, Component, ComponentKind, Environment, Error, PythonRequest, Run};
use crate::model::{Origin, Warning};

/// The project-wide requirements that every flow has as its `@pypi_base`, and where they are stated.
pub(super) struct ProjectBase {
    pub dependencies: Dependencies,
    pub origin: Origin,
}

/// Reads the flow in `flows/NAME`. `configs` are the files that the project chooses for configurations.
pub(super) fn component(
    root: &Root,
    name: &str,
    project: Option<&ProjectBase>,
    configs: &BTreeMap<String, (String, Origin)>,
    warnings: &mut Vec<Warning>,
) -> Result<Component, Error> {
    let folder = format!("flows/{name}");
    let file = format!("{folder}/flow.py");
    let files = Files::new(root, &folder, configs);
    let code = code::read(&file, &root.read(&file, None)?, &files)?;
    if !code.is_project_flow {
        let message = format!(
            "flow `{}` subclasses FlowSpec: the platform deploys only subclasses of ProjectFlow",
            code.class
        );
        warnings.push(Warning::at(Origin::line(&file, code.line), message));
    }
    let base = Base::new(&file, name, project, &code)?;
    let mut environments: Vec<(EnvironmentKey, Environment)> = Vec::new();
    for step in &code.steps {
        let (dependencies, image) = base.with_step(&file, step)?;
        let key = EnvironmentKey::new(&dependencies, image.as_ref());
        if let Some((_, environment)) = environments.iter_mut().find(|(known, _)| *known == key) {
            environment.steps.push(step.name.clone());
            continue;
        }
        let suffix = (!environments.is_empty()).then(|| step.name.clone());
        let lock_path = match &suffix {
            Some(step) => format!("{folder}/pylock.{step}.toml"),
            None => format!("{folder}/pylock.toml"),
        };
        let environment = Environment {
            suffix,
            steps: vec![step.name.clone()],
            lock_path,
            requirements: dependencies.requirements,
            constraints: dependencies.constraints,
            overrides: dependencies.overrides,
            hashes: dependencies.hashes,
            python: dependencies.python,
            base: image,
        };
        environments.push((key, environment));
    }
    Ok(Component {
        kind: ComponentKind::Flow,
        name: name.to_owned(),
        environments: environments.into_iter().map(|(_, environment)| environment).collect(),
        readme: root.readme(&folder),
        run: Run {
            command: Some(vec!["python".to_owned(), "flow.py".to_owned()]),
            working_dir: format!("/app/{folder}"),
            python_path: vec!["/app".to_owned(), "/app/src".to_owned()],
            ports: Vec::new(),
            env: BTreeMap::new(),
        },
        package: None,
        code: CodePackage::default(),
        folder,
    })
}

/// What makes environments of one flow equal: the same requirements, Python and base, wherever they are stated.
#[derive(PartialEq, Eq)]
struct EnvironmentKey {
    requirements: Vec<String>,
    python: Option<String>,
    base: Option<String>,
}

impl EnvironmentKey {
    fn new(dependencies: &Dependencies, base: Option<&BaseRequest>) -> Self {
        let mut requirements: Vec<String> =
            dependencies.requirements.iter().map(|r| r.normalized()).collect();
        requirements.sort();
        requirements.dedup();
        Self {
            requirements,
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
    /// Where conda packages for the whole flow are asked for, if they are, and whether that is disabled.
    conda: Option<(Origin, bool)>,
    flow: String,
}

impl Base {
    fn new(
        file: &str,
        flow: &str,
        project: Option<&ProjectBase>,
        code: &code::FlowCode,
    ) -> Result<Self, Error> {
        let at = |ask: &Ask| Origin::line(file, ask.line);
        let mut this = Self {
            dependencies: project.map(|p| p.dependencies.clone()).unwrap_or_default(),
            disabled: false,
            pypi: project.map(|p| p.origin.clone()),
            conda: code.conda_base.as_ref().map(|ask| (at(ask), ask.disabled == Some(true))),
            flow: flow.to_owned(),
        };
        if let Some(own) = &code.pypi_base {
            if let Some(other) = this.pypi {
                return Err(Error::DuplicateBase { origin: at(own), flow: this.flow, other });
            }
            this.dependencies = dependencies(own)?;
            this.disabled = own.disabled == Some(true);
            this.pypi = Some(at(own));
        }
        if let (Some(other), Some((origin, false))) = (&this.pypi, &this.conda) {
            let (origin, other) = (origin.clone(), other.clone());
            return Err(Error::MixedEcosystems { origin, place: format!("flow `{flow}`"), other });
        }
        Ok(this)
    }

    /// The requirements and base image of one step.
    fn with_step(&self, file: &str, step: &Step) -> Result<(Dependencies, Option<BaseRequest>), Error> {
        let place = format!("step `{}` of flow `{}`", step.name, self.flow);
        let pypi_at = match &step.pypi {
            Some(ask) if !ask.disabled.unwrap_or(self.disabled) => Some(Origin::line(file, ask.line)),
            Some(_) => None,
            None => self.pypi.clone().filter(|_| !self.disabled),
        };
        let conda_at = match (&step.conda, &self.conda) {
            (Some(ask), base) => {
                let disabled = ask.disabled.or(base.as_ref().map(|(_, disabled)| *disabled));
                (disabled != Some(true)).then(|| Origin::line(file, ask.line))
            }
            (None, Some((origin, false))) => Some(origin.clone()),
            _ => None,
        };
        match (pypi_at.as_ref(), conda_at) {
            (Some(other), Some(origin)) => {
                let (origin, other) = if *other > origin && other.file == origin.file {
                    (other.clone(), origin)
                } else {
                    (origin, other.clone())
                };
                return Err(Error::MixedEcosystems { origin, place, other });
            }
            (None, Some(origin)) => return Err(Error::Conda { origin, place }),
            _ => {}
        }
        let dependencies = match (&step.pypi, pypi_at) {
            (_, None) => Dependencies::default(),
            (None, Some(_)) => self.dependencies.clone(),
            (Some(ask), Some(_)) => self.dependencies.overridden_by(&dependencies(ask)?),
        };
        let image = step.image.as_ref().map(|(image, origin)| BaseRequest::parse(image, origin.clone()));
        Ok((dependencies, image.transpose()?))
    }
}

fn dependencies(ask: &Ask) -> Result<Dependencies, Error> {
    let mut dependencies = Dependencies::default();
    for (name, version, origin) in &ask.packages {
        dependencies.push_package(name, version, origin.clone())?;
    }
    if let Some((python, origin)) = &ask.python {
        dependencies.python = Some(PythonRequest::parse(python, origin.clone())?);
    }
    Ok(dependencies)
}
