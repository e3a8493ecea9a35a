//! Deployments: `deployments/NAME/config.yml`.

use std::collections::BTreeMap;

use super::branch::UNSELECTED;
use super::dependencies::{Dependencies, match_spec, read_requirements};
use super::pyproject::{Context, Pyproject};
use super::scalar;
use super::shell;
use super::source::Root;
use super::yaml::{self, Node, Type, Value};
use super::{
    BaseRequest, CodePackage, Component, ComponentKind, CondaRequest, Environment, Error, IndexSettings,
    PythonRequest, Run, Settings,
};
use crate::model::{Origin, Variables, Warning};

/// The name of a configuration where nothing else is chosen.
const CONFIG: &str = "config.yml";
const QUOTE: Option<&str> = Some("put the value in quotes");

/// What deployments have that name nothing themselves.
pub(super) struct ProjectWide {
    pub dependencies: Dependencies,
    /// Whether the platform's tool names the project's file to each deployment; otherwise its client looks in the code.
    pub is_named: bool,
}

/// The configuration file of a deployment, if it has one; `chosen` is the name that the branch's environment gives it.
pub(super) fn config_file(root: &Root, name: &str, chosen: Option<&str>) -> Option<String> {
    let chosen = chosen.unwrap_or(CONFIG);
    let other = match (chosen.strip_suffix(".yml"), chosen.strip_suffix(".yaml")) {
        (Some(stem), _) => Some(format!("{stem}.yaml")),
        (_, Some(stem)) => Some(format!("{stem}.yml")),
        _ => None,
    };
    let configs = [Some(chosen.to_owned()), other];
    configs
        .into_iter()
        .flatten()
        .map(|config| format!("deployments/{name}/{config}"))
        .find(|file| root.is_file(file))
}

/// Reads the deployment in `deployments/NAME`. `project` is what a deployment has that names nothing itself.
pub(super) fn component(
    root: &Root,
    name: &str,
    file: &str,
    project: &ProjectWide,
    variables: Variables<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<(Component, IndexSettings), Error> {
    let folder = format!("deployments/{name}");
    let config = Config { file, node: yaml::parse(file, &root.read(file, None)?)? };
    if !matches!(config.node.value, Value::Map(_)) {
        return Err(Error::invalid(
            config.origin(&config.node),
            "a configuration is a mapping of keys to values",
        ));
    }
    config.warn(warnings);
    let package = config.package()?;
    let stated = match config.node.get("dependencies") {
        // Whatever else is said, the image is to be used as it is.
        _ if config.is_set("no_deps")? => Some(Stated { has_source: true, ..Stated::default() }),
        Some(stated) if !stated.is_empty() => Some(config.dependencies(root, stated, variables)?),
        _ => None,
    };
    // A Python alone is no choice of packages: the platform's client looks for them as if nothing were said.
    let mut conda = None;
    let (mut dependencies, indexes) = match stated {
        Some(Stated { dependencies, indexes, conda: asked, has_source: true }) => {
            conda = asked.map(|conda| CondaRequest { place: format!("deployment `{name}`"), ..conda });
            (dependencies, indexes)
        }
        stated => {
            let sniffed = sniff(root, &package.paths, project, variables, warnings)?;
            let (mut found, indexes) = unstated(root, &folder, &package.paths, sniffed, variables, warnings)?;
            found.python = stated.and_then(|stated| stated.dependencies.python).or(found.python);
            (found, indexes)
        }
    };
    if let Some((python, origin)) = config.text(&config.node, "python")? {
        dependencies.python = Some(PythonRequest::parse(python, origin)?);
    }
    let base = config.text(&config.node, "image")?.map(|(image, origin)| BaseRequest::parse(image, origin));
    let environment = Environment {
        suffix: None,
        steps: Vec::new(),
        lock_path: format!("{folder}/pylock.toml"),
        requirements: dependencies.requirements,
        constraints: dependencies.constraints,
        overrides: dependencies.overrides,
        hashes: dependencies.hashes,
        conda,
        python: dependencies.python,
        base: base.transpose()?,
    };
    let component = Component {
        kind: ComponentKind::Deployment,
        name: name.to_owned(),
        environments: vec![environment],
        readme: root.readme(&folder),
        run: Run {
            command: shell::command(&config.commands()?),
            working_dir: "/app".to_owned(),
            python_path: vec!["/app".to_owned(), "/app/src".to_owned()],
            ports: config.port()?.into_iter().collect(),
            env: config.environment(warnings)?,
            settings: Settings::default(),
        },
        package: None,
        code: package,
        folder,
    };
    Ok((component, indexes))
}

/// What a deployment's own `pyproject.toml` is read with: the extras and groups that are chosen are the project's.
fn own<'c>(root: &'c Root, variables: Variables<'c>) -> Context<'c> {
    Context { root, selection: &UNSELECTED, variables, strict: false }
}

/// The dependencies that the platform's client finds for a deployment that names none: the project's, or, where the
/// project's file is not named to it, those of a file in the first of its code's folders that has one.
fn sniff(
    root: &Root,
    paths: &[String],
    project: &ProjectWide,
    variables: Variables<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<(Dependencies, IndexSettings), Error> {
    if project.is_named || paths.is_empty() || paths.iter().any(String::is_empty) {
        return Ok((project.dependencies.clone(), IndexSettings::default()));
    }
    for path in paths {
        if let Some(pyproject) = Pyproject::read(root, &format!("{path}/pyproject.toml"))? {
            return Ok(pyproject.dependencies(&own(root, variables), warnings)?.unwrap_or_default());
        }
        let requirements = format!("{path}/requirements.txt");
        if root.is_file(&requirements) {
            return read_requirements(root, &requirements, None, variables);
        }
    }
    Ok(Default::default())
}

/// The dependencies of a deployment whose configuration names none: those that are `sniffed`, with those of a file beside
/// the configuration laid over them.
fn unstated(
    root: &Root,
    folder: &str,
    paths: &[String],
    sniffed: (Dependencies, IndexSettings),
    variables: Variables<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<(Dependencies, IndexSettings), Error> {
    let (project, named) = sniffed;
    if paths.iter().any(|path| path == folder) {
        return Ok((project, named));
    }
    let pyproject = Pyproject::read(root, &format!("{folder}/pyproject.toml"))?;
    let requirements = format!("{folder}/requirements.txt");
    let has_requirements = root.is_file(&requirements);
    let mut found = None;
    if let Some(pyproject) = pyproject
        && let Some((own, indexes)) = pyproject.dependencies(&own(root, variables), warnings)?
    {
        if has_requirements {
            let message = format!("it is not read: {} counts", pyproject.file());
            warnings.push(Warning::at(Origin::file(&requirements), message));
        }
        found = Some((pyproject.file().to_owned(), own, indexes));
    } else if has_requirements {
        let (own, indexes) = read_requirements(root, &requirements, None, variables)?;
        found = Some((requirements, own, indexes));
    }
    let Some((file, own, mut indexes)) = found else { return Ok((project, named)) };
    let message = "it is laid over the project's dependencies here, but the platform's client would not read it: \
                   name it under `dependencies` in the configuration to have it everywhere";
    warnings.push(Warning::at(Origin::file(file), message));
    indexes.merge(named)?;
    Ok((project.overridden_by(&own), indexes))
}

/// What `dependencies` says.
#[derive(Default)]
struct Stated {
    dependencies: Dependencies,
    indexes: IndexSettings,
    conda: Option<CondaRequest>,
    /// Whether it names packages, or that there are none.
    has_source: bool,
}

/// A configuration being read.
struct Config<'a> {
    file: &'a str,
    node: Node,
}

impl Config<'_> {
    fn origin(&self, node: &Node) -> Origin {
        Origin::line(self.file, node.line)
    }

    /// Warns of keys that people take for others.
    fn warn(&self, warnings: &mut Vec<Warning>) {
        if let Some(node) = self.node.get("env").filter(|node| !node.is_empty()) {
            let message = "`env` means nothing to the platform: variables are set under `environment`";
            warnings.push(Warning::at(self.origin(node), message));
        }
    }

    /// A key whose value is text. What looks like a number is refused: YAML turns 3.10 into 3.1.
    fn text<'n>(&self, node: &'n Node, key: &str) -> Result<Option<(&'n str, Origin)>, Error> {
        let Some(value) = node.get(key).filter(|value| !value.is_empty()) else { return Ok(None) };
        let origin = self.origin(value);
        match value.scalar() {
            Some((text, Type::Text)) => Ok(Some((text, origin))),
            Some((text, _)) => {
                let problem = format!("`{key}` is {}, not a string", text.escape_debug());
                Err(Error::Invalid { origin, problem, hint: QUOTE })
            }
            None => Err(Error::invalid(origin, format!("`{key}` must be a string"))),
        }
    }

    /// Whether a key is there and true.
    fn is_set(&self, key: &str) -> Result<bool, Error> {
        match self.node.get(key).map(|node| (node, node.scalar())) {
            None | Some((_, Some((_, Type::Null)))) => Ok(false),
            Some((_, Some((text, Type::Bool)))) => Ok(is_true(text)),
            Some((node, _)) => {
                Err(Error::invalid(self.origin(node), format!("`{key}` must be true or false")))
            }
        }
    }

    fn dependencies(&self, root: &Root, stated: &Node, variables: Variables<'_>) -> Result<Stated, Error> {
        let Value::Map(entries) = &stated.value else {
            return Err(Error::invalid(self.origin(stated), "`dependencies` must be a mapping"));
        };
        let mut source: Option<&str> = None;
        let mut dependencies = Dependencies::default();
        let mut indexes = IndexSettings::default();
        let mut python = None;
        let mut conda = None;
        for (key, node) in entries {
            let origin = self.origin(node);
            // `pypi: {}` is a choice, to have nothing installed; other empty values say nothing.
            if node.is_empty() && key != "pypi" {
                continue;
            }
            match key.as_str() {
                "python" => {
                    python = self.text(stated, key)?;
                    continue;
                }
                "no_deps" => match node.scalar() {
                    Some((text, Type::Bool)) if is_true(text) => {}
                    Some((_, Type::Bool)) => continue,
                    _ => return Err(Error::invalid(origin, "`no_deps` must be true or false")),
                },
                "pypi" => {
                    for (name, version, origin) in self.packages(node, key)? {
                        dependencies.push_package(name, version, origin)?;
                    }
                }
                "conda" | "anaconda" => {
                    let mut packages = Vec::new();
                    for (name, version, origin) in self.packages(node, key)? {
                        match PythonRequest::parse(version, origin.clone()) {
                            Ok(request) if name == "python" => dependencies.python = Some(request),
                            _ => packages.push((match_spec(name, version, &origin)?, origin)),
                        }
                    }
                    let (channels, place, origin) = (Vec::new(), String::new(), origin.clone());
                    conda = Some(CondaRequest { packages, channels, place, origin });
                }
                "from_requirements_file" => {
                    if let Some((file, origin)) = self.text(stated, key)? {
                        let file = relative(file);
                        (dependencies, indexes) = read_requirements(root, &file, Some(&origin), variables)?;
                    }
                }
                "from_pyproject_toml" => {
                    if let Some((file, origin)) = self.text(stated, key)? {
                        let file = relative(file);
                        let text = root.read(&file, Some(&origin))?;
                        let context = own(root, variables);
                        let read = Pyproject::parse(&file, text)?.dependencies(&context, &mut Vec::new())?;
                        (dependencies, indexes) = read.ok_or_else(|| {
                            Error::invalid(origin, format!("`{file}` states no dependencies"))
                        })?;
                    }
                }
                _ => {
                    let what = format!("`dependencies.{}`", key.escape_debug());
                    let hint = "use `pypi`, `from_requirements_file` or `from_pyproject_toml`";
                    return Err(Error::Unsupported { origin, what, hint });
                }
            }
            if let Some(other) = source.replace(key) {
                let problem = format!("`dependencies` has both `{other}` and `{key}`");
                return Err(Error::Invalid { origin, problem, hint: Some("keep one of them") });
            }
        }
        if let Some((text, origin)) = python {
            dependencies.python = Some(PythonRequest::parse(text, origin)?);
        }
        Ok(Stated { dependencies, indexes, conda, has_source: source.is_some() })
    }

    /// `dependencies.pypi` and its like: names and versions.
    fn packages<'n>(&self, node: &'n Node, key: &str) -> Result<Vec<(&'n str, &'n str, Origin)>, Error> {
        let mut packages = Vec::new();
        if node.is_empty() {
            return Ok(packages);
        }
        let Value::Map(entries) = &node.value else {
            let problem = format!("`dependencies.{key}` must be a mapping from names to versions");
            return Err(Error::invalid(self.origin(node), problem));
        };
        for (name, version) in entries {
            let origin = self.origin(version);
            match version.scalar() {
                Some((version, Type::Text)) => packages.push((name.as_str(), version, origin)),
                Some((version, kind)) => {
                    let version = if kind == Type::Null { "empty" } else { version };
                    let (name, version) = (name.escape_debug(), version.escape_debug());
                    let problem = format!("the version of `{name}` is {version}, not a string");
                    return Err(Error::Invalid {
                        origin,
                        problem,
                        hint: Some("put the version in quotes, \"\" for any"),
                    });
                }
                None => {
                    let problem = format!("the version of `{}` must be a string", name.escape_debug());
                    return Err(Error::invalid(origin, problem));
                }
            }
        }
        Ok(packages)
    }

    /// `package`: the folders of the code, and the ends of its files' names.
    fn package(&self) -> Result<CodePackage, Error> {
        let mut package = CodePackage::default();
        let Some(node) = self.node.get("package").filter(|node| !node.is_empty()) else { return Ok(package) };
        for (text, origin) in self.strings(node, "src_paths")?.unwrap_or_default() {
            let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
            if text.starts_with('/') || parts.contains(&"..") {
                return Err(Error::OutsideFile { origin, file: text.to_owned() });
            }
            let path = parts.join("/");
            if !package.paths.contains(&path) {
                package.paths.push(path);
            }
        }
        let suffixes = self.strings(node, "suffixes")?;
        package.suffixes = suffixes.map(|list| list.into_iter().map(|(text, _)| text.to_owned()).collect());
        Ok(package)
    }

    /// A list of strings under a key; one string stands for a list of itself, parted at commas.
    fn strings<'n>(&self, node: &'n Node, key: &str) -> Result<Option<Vec<(&'n str, Origin)>>, Error> {
        let Some(node) = node.get(key).filter(|node| !node.is_empty()) else { return Ok(None) };
        if let Some((text, Type::Text)) = node.scalar() {
            let parts = text.split(',').map(|part| (part.trim(), self.origin(node)));
            return Ok(Some(parts.filter(|(part, _)| !part.is_empty()).collect()));
        }
        let wrong = |node: &Node| {
            Error::invalid(self.origin(node), format!("`package.{key}` must be a list of strings"))
        };
        let Value::List(list) = &node.value else { return Err(wrong(node)) };
        let strings = list.iter().map(|node| match node.scalar() {
            Some((text, Type::Text)) => Ok((text, self.origin(node))),
            _ => Err(wrong(node)),
        });
        strings.collect::<Result<_, _>>().map(Some)
    }

    fn commands(&self) -> Result<Vec<String>, Error> {
        let Some(node) = self.node.get("commands").filter(|node| !node.is_empty()) else {
            return Ok(Vec::new());
        };
        let Value::List(list) = &node.value else {
            return Err(Error::invalid(self.origin(node), "`commands` must be a list of strings"));
        };
        let commands = list.iter().map(|node| match node.scalar() {
            Some((text, Type::Text)) if !text.contains('\0') => Ok(text.trim().to_owned()),
            _ => Err(Error::Invalid {
                origin: self.origin(node),
                problem: "a command must be a string".to_owned(),
                hint: QUOTE,
            }),
        });
        commands.filter(|command| !command.as_ref().is_ok_and(String::is_empty)).collect()
    }

    fn port(&self) -> Result<Option<u16>, Error> {
        let Some(node) = self.node.get("port").filter(|node| !node.is_empty()) else { return Ok(None) };
        match node.python_text().and_then(|text| text.parse().ok()).filter(|port| *port != 0) {
            Some(port) => Ok(Some(port)),
            None => Err(Error::invalid(self.origin(node), "`port` must be a number from 1 to 65535")),
        }
    }

    fn environment(&self, warnings: &mut Vec<Warning>) -> Result<BTreeMap<String, String>, Error> {
        let Some(node) = self.node.get("environment").filter(|node| !node.is_empty()) else {
            return Ok(BTreeMap::new());
        };
        let Value::Map(entries) = &node.value else {
            return Err(Error::invalid(self.origin(node), "`environment` must be a mapping"));
        };
        let mut variables = BTreeMap::new();
        for (name, node) in entries {
            let origin = self.origin(node);
            let shown = name.escape_debug();
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(Error::invalid(origin, format!("`{shown}` cannot be a variable's name")));
            }
            // The platform's client sets what Python makes of a value: `DEBUG: yes` is `True`, and JSON of what is no
            // single value.
            let text = match node.scalar() {
                None => node.json(),
                Some((_, Type::Time)) => None,
                Some((_, kind)) => {
                    if kind == Type::Null {
                        let message =
                            format!("`{shown}` has no value, of which the platform's client makes `None`");
                        warnings.push(Warning::at(origin.clone(), message));
                    }
                    node.python_text()
                }
            };
            match text {
                Some(text) if !text.contains('\0') => drop(variables.insert(name.clone(), text)),
                _ => {
                    let problem = format!("the value of `{shown}` must be a string");
                    return Err(Error::Invalid { origin, problem, hint: QUOTE });
                }
            }
        }
        Ok(variables)
    }
}

fn is_true(text: &str) -> bool {
    scalar::truth(text) == Some(true)
}

/// A path without a leading `./`.
fn relative(path: &str) -> String {
    path.trim_start_matches("./").to_owned()
}
