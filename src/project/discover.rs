//! Discovery: what a directory holds.

use std::collections::BTreeMap;
use std::path::Path;

use super::branch::{self, BranchSettings};
use super::dependencies::{Dependencies, read_requirements};
use super::flow::ProjectBase;
use super::limits::Limits;
use super::pyproject::{Context, Pyproject, Stated};
use super::resolving::ResolvingTables;
use super::source::Root;
use super::toml::Toml;
use super::{
    CodePackage, Component, ComponentKind, Environment, Error, IndexSettings, Project, ProjectKind,
    Resolving, Run, Selection, Settings, asset, deployment, flow, indexes, settings, several,
};
use crate::model::{Origin, Variables, Warning};

const OBPROJECT: &str = "obproject.toml";
const PYPROJECT: &str = "pyproject.toml";
const REQUIREMENTS: &str = "requirements.txt";

/// Reads the project in `root`, exactly that directory: an Outerbounds project if it holds `obproject.toml`, otherwise a
/// plain Python project. The branch, and variables in index URLs, come from the process's environment.
pub fn discover(root: &Path) -> Result<Project, Error> {
    let variables = |name: &str| std::env::var(name).ok();
    discover_with(root, &Selection::detect(root, &variables), &variables)
}

/// A flow or deployment that cannot be read, while others can.
#[derive(Debug)]
pub struct Unreadable {
    /// Its kind.
    pub kind: ComponentKind,
    /// Its folder's name.
    pub name: String,
    /// What is wrong with it.
    pub error: Error,
}

impl Unreadable {
    /// The name that tells it from all others in the project: `flow/trainer`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// The warning that it is, to who wants only others.
    pub fn warning(&self) -> Warning {
        let message = format!("it cannot be read, and nobody asked for it: {}", self.error);
        Warning::at(Origin::file(format!("{}s/{}", self.kind, self.name)), message)
    }
}

/// As [`discover`], with the selection and the values of variables given. A directory of several projects is an error:
/// see [`members`](super::members).
pub fn discover_with(root: &Path, selection: &Selection, variables: Variables<'_>) -> Result<Project, Error> {
    let (project, unreadable) = discover_parts(root, selection, variables)?;
    match unreadable.into_iter().next() {
        Some(first) => Err(first.error),
        None => Ok(project),
    }
}

/// As [`discover_with`], where a component that cannot be read does not keep the others from it.
pub fn discover_parts(
    root: &Path,
    selection: &Selection,
    variables: Variables<'_>,
) -> Result<(Project, Vec<Unreadable>), Error> {
    if let Some(members) = several::members(root)? {
        let projects = members.into_iter().map(|member| member.path).collect();
        return Err(Error::SeveralProjects { directory: root.to_owned(), projects });
    }
    let limits = Limits::read(selection, variables)?;
    let root = Root::open(root)?;
    let (mut project, unreadable) = if root.is_file(OBPROJECT) {
        outerbounds(&root, selection, variables)?
    } else {
        (plain(&root, selection, variables)?, Vec::new())
    };
    for environment in project.components.iter_mut().flat_map(|component| &mut component.environments) {
        environment.constraints.extend(limits.constraints.iter().cloned());
        environment.overrides.extend(limits.overrides.iter().cloned());
    }
    Ok((project, unreadable))
}

fn plain(root: &Root, selection: &Selection, variables: Variables<'_>) -> Result<Project, Error> {
    let mut warnings = Vec::new();
    let mut indexes = IndexSettings::default();
    let pyproject = Pyproject::read(root, PYPROJECT)?;
    let has_requirements = root.is_file(REQUIREMENTS);
    let no_project = |hint: &str| Error::NoProject { directory: root.path.clone(), hint: hint.to_owned() };

    let src_layout = root.is_dir("src") && !root.is_file("src/__init__.py");
    let mut package = None;
    let mut dependencies = None;
    let mut python = None;
    let mut resolving = Resolving::default();
    let context = Context { root, selection, variables, strict: true };
    if let Some(pyproject) = &pyproject {
        match pyproject.stated()? {
            // Where a list is missing, or its making is the build backend's business, a requirements.txt serves.
            Stated::Absent | Stated::Dynamic(_) | Stated::Poetry(_) if has_requirements => {}
            _ => dependencies = pyproject.dependencies(&context, &mut warnings)?,
        }
        resolving = pyproject.resolving().settings()?;
        if pyproject.has_project() {
            package = Some(pyproject.metadata(root, src_layout)?);
            python = pyproject.python()?;
        }
    }
    let is_complete = dependencies.is_some();
    let mut dependencies = match dependencies {
        Some((dependencies, named)) => {
            indexes.merge(named)?;
            if has_requirements
                && !matches!(pyproject.as_ref().map(Pyproject::stated).transpose()?, Some(Stated::Files(_)))
            {
                let message = "it is not read: `dependencies` in pyproject.toml counts";
                warnings.push(Warning::at(Origin::file(REQUIREMENTS), message));
            }
            dependencies
        }
        None if has_requirements => {
            let (mut dependencies, named) = read_requirements(root, REQUIREMENTS, None, variables)?;
            indexes.merge(named)?;
            dependencies.python = dependencies.python.or(python);
            dependencies
        }
        None if package.is_some() => Dependencies { python, ..Dependencies::default() },
        None if pyproject.is_some() => {
            return Err(no_project(
                "pyproject.toml has no [project] table: add one with `name` and `dependencies`",
            ));
        }
        None => {
            let others = ["setup.py", "setup.cfg", "Pipfile", "environment.yml", "environment.yaml"];
            let hint = match others.iter().find(|file| root.is_file(file)) {
                Some(file) => {
                    format!("{file} is not read: list the dependencies in pyproject.toml or requirements.txt")
                }
                None => "name the directory that holds the project".to_owned(),
            };
            return Err(no_project(&hint));
        }
    };
    match &pyproject {
        Some(pyproject) if !is_complete => {
            indexes.merge(pyproject.complete(&context, &mut dependencies, &mut warnings)?)?;
        }
        None if !selection.extras.is_empty() || !selection.groups.is_empty() => {
            let problem = "there is no pyproject.toml that could have extras or dependency groups";
            return Err(Error::invalid(Origin::file(REQUIREMENTS), problem));
        }
        _ => {}
    }
    let name = package.as_ref().map_or_else(|| root.name(), |package| package.name.clone());
    let mut components = vec![Component {
        kind: ComponentKind::Package,
        name: name.clone(),
        folder: String::new(),
        environments: vec![Environment {
            suffix: None,
            steps: Vec::new(),
            lock_path: "pylock.toml".to_owned(),
            requirements: dependencies.requirements,
            constraints: dependencies.constraints,
            overrides: dependencies.overrides,
            hashes: dependencies.hashes,
            conda: None,
            python: dependencies.python,
            base: None,
        }],
        readme: root.readme(""),
        run: Run {
            command: None,
            working_dir: "/app".to_owned(),
            python_path: vec![if src_layout { "/app/src" } else { "/app" }.to_owned()],
            ports: Vec::new(),
            env: BTreeMap::new(),
            settings: Settings::default(),
        },
        package,
        code: CodePackage::default(),
    }];
    settings::apply(root, None, pyproject.as_ref(), (&mut components, &[]), &mut warnings)?;
    let bases = settings::of_bases(root, None, pyproject.as_ref())?;
    let secret_files = secret_files(root, &indexes, &mut warnings);
    Ok(Project {
        root: root.path.clone(),
        name,
        member: None,
        kind: ProjectKind::Plain,
        components,
        assets: Vec::new(),
        indexes,
        resolving,
        bases,
        secret_files,
        warnings,
    })
}

fn outerbounds(
    root: &Root,
    selection: &Selection,
    variables: Variables<'_>,
) -> Result<(Project, Vec<Unreadable>), Error> {
    let mut warnings = Vec::new();
    let toml = Toml::parse(OBPROJECT, root.read(OBPROJECT, None)?)?;
    let name = match toml.string(&["project"])? {
        Some((name, _)) if !name.trim().is_empty() => name.trim().to_owned(),
        _ => {
            let (origin, problem) = (toml.origin(&["project"]), "the project has no name".to_owned());
            return Err(Error::Invalid { origin, problem, hint: Some("write `project = \"NAME\"`") });
        }
    };
    let branch_settings = BranchSettings::read(root, &toml, selection, &mut warnings)?;
    check_dependencies_table(&toml, &mut warnings)?;
    let suffixes = package_suffixes(&toml)?;
    let include_pyproject = toml.bool(&["dependencies", "include_pyproject_toml"])?.unwrap_or(true);

    let (mut indexes, _) = indexes::read(&ResolvingTables::new(&toml, None), root, variables)?;
    let mut project_base = None;
    let mut project_dependencies = Dependencies::default();
    let pyproject = Pyproject::read(root, PYPROJECT)?;
    let mut resolving = Resolving::default();
    let context = Context { root, selection, variables, strict: false };
    let stated = match &pyproject {
        Some(pyproject) => {
            resolving = pyproject.resolving().settings()?;
            let stated = pyproject.dependencies(&context, &mut warnings)?;
            if stated.is_none() {
                let mut dependencies = Dependencies::default();
                indexes.merge(pyproject.complete(&context, &mut dependencies, &mut warnings)?)?;
            }
            stated.map(|stated| (pyproject, stated))
        }
        None => None,
    };
    if let Some((pyproject, (dependencies, named))) = stated {
        indexes.merge(named)?;
        if include_pyproject && !dependencies.requirements.is_empty() {
            project_base =
                Some(ProjectBase { dependencies: dependencies.clone(), origin: pyproject.origin() });
        }
        // Deployments have them even where `include_pyproject_toml` is false, as with the platform's client.
        project_dependencies = dependencies;
    } else if root.is_file(REQUIREMENTS) {
        let (dependencies, named) = read_requirements(root, REQUIREMENTS, None, variables)?;
        indexes.merge(named)?;
        project_dependencies = dependencies;
        let message = "it counts for deployments only: flows take what they share from pyproject.toml";
        warnings.push(Warning::at(Origin::file(REQUIREMENTS), message));
    }

    let (mut components, mut unreadable) = (Vec::new(), Vec::new());
    let mut overrides = flow::Overrides::read(&toml)?;
    overrides.check(|flow| root.is_file(&format!("flows/{flow}/flow.py")))?;
    let mut given = flow::Given {
        base: project_base.as_ref(),
        configs: &branch_settings.flow_configs,
        overrides: &mut overrides,
    };
    for name in folders(root, "flows", &mut warnings)? {
        if !branch::deploys(root, &format!("flows/{name}"), selection, &mut warnings)? {
            continue;
        }
        if root.is_file(&format!("flows/{name}/flow.py")) {
            match flow::component(root, &name, &mut given, &mut warnings) {
                Ok(mut component) => {
                    component.code.suffixes.clone_from(&suffixes);
                    components.push(component);
                }
                Err(error) => unreadable.push(Unreadable { kind: ComponentKind::Flow, name, error }),
            }
        } else {
            let message = "it holds no flow.py: it is left out";
            warnings.push(Warning::at(Origin::file(format!("flows/{name}")), message));
        }
    }
    let project_wide = deployment::ProjectWide {
        dependencies: project_dependencies,
        is_named: include_pyproject && pyproject.is_some(),
    };
    for name in folders(root, "deployments", &mut warnings)? {
        // The platform skips such folders among the deployments, though not among the flows.
        if name.starts_with('_')
            || !branch::deploys(root, &format!("deployments/{name}"), selection, &mut warnings)?
        {
            continue;
        }
        if let Some(file) = deployment::config_file(root, &name, branch_settings.deployment_config.as_deref())
        {
            match deployment::component(root, &name, &file, &project_wide, variables, &mut warnings) {
                Ok((component, named)) => {
                    indexes.merge(named)?;
                    components.push(component);
                }
                Err(error) => unreadable.push(Unreadable { kind: ComponentKind::Deployment, name, error }),
            }
        } else {
            let config = branch_settings.deployment_config.as_deref().unwrap_or("config.yml");
            let message = format!("it holds no {}: it is left out", config.escape_debug());
            warnings.push(Warning::at(Origin::file(format!("deployments/{name}")), message));
        }
    }
    if components.is_empty() && unreadable.is_empty() {
        let message = "the project has neither flows (flows/NAME/flow.py) nor deployments (deployments/NAME/config.yml)";
        warnings.push(Warning::at(Origin::file(OBPROJECT), message));
    }
    let others: Vec<String> = unreadable.iter().flat_map(|other| [other.name.clone(), other.id()]).collect();
    settings::apply(root, Some(&toml), pyproject.as_ref(), (&mut components, &others), &mut warnings)?;
    let assets = asset::assets(root, &toml, &mut warnings)?;
    let bases = settings::of_bases(root, Some(&toml), pyproject.as_ref())?;
    let secret_files = secret_files(root, &indexes, &mut warnings);
    let project = Project {
        root: root.path.clone(),
        name,
        member: None,
        kind: ProjectKind::Outerbounds,
        components,
        assets,
        indexes,
        resolving,
        bases,
        secret_files,
        warnings,
    };
    Ok((project, unreadable))
}

/// Checks `[dependencies]`, and warns where the platform would bake nothing.
fn check_dependencies_table(toml: &Toml, warnings: &mut Vec<Warning>) -> Result<(), Error> {
    if let Some((environment, origin)) = toml.string(&["dependencies", "environment"])?
        && environment != "fast-bakery"
    {
        let message = format!(
            "with the environment `{}` the platform bakes no images for flows: they are made here all the same",
            environment.escape_debug()
        );
        warnings.push(Warning::at(origin, message));
    }
    Ok(())
}

/// The files that stay out of images for the credentials in them.
fn secret_files(root: &Root, indexes: &IndexSettings, warnings: &mut Vec<Warning>) -> Vec<String> {
    let found = indexes::files_with_passwords(root, indexes);
    let message = "the URL of this index holds credentials, so that the file stays out of the image: give the index a name \
                   and set UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD instead";
    warnings.extend(found.iter().map(|(_, origin)| Warning::at(origin.clone(), message)));
    found.into_iter().map(|(file, _)| file).collect()
}

/// The ends of the names of files that flows take along, besides Python's own.
fn package_suffixes(toml: &Toml) -> Result<Option<Vec<String>>, Error> {
    let stated = toml.string(&["dependencies", "package_suffixes"])?;
    Ok(stated.map(|(text, _)| text.split(',').map(str::to_owned).collect()))
}

/// The folders in `flows` or `deployments`, without hidden ones and caches.
fn folders(root: &Root, parent: &str, warnings: &mut Vec<Warning>) -> Result<Vec<String>, Error> {
    let mut names = root.list(parent)?;
    names.retain(|name| !name.starts_with('.') && name != "__pycache__");
    names.retain(|name| {
        let path = format!("{parent}/{name}");
        // Modules beside the folders are common, and nothing to warn of, unless they look like a flow gone astray.
        if root.is_file(&path) && name.ends_with("flow.py") {
            let message = "a flow is read only as flow.py in a folder of its own: it is left out";
            warnings.push(Warning::at(Origin::file(&path), message));
        }
        root.is_dir(&path)
    });
    Ok(names)
}
