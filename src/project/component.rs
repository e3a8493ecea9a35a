//! The nouns of a project: components, their environments, how they run, what their images are called.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::{BaseSettings, Error, Member, PackageMetadata, PythonRequest, Resolving, Settings};
use crate::index::Strategy;
use crate::model::{Building, Digest, MarkerTree, Origin, PackageName, Requirement, Warning};
use crate::net::redacted;

/// What kind of project a directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectKind {
    /// A Python project: `pyproject.toml` or `requirements.txt`.
    Plain,
    /// An Outerbounds project: `obproject.toml`.
    Outerbounds,
}

/// A project as its author wrote it.
#[derive(Debug, Clone)]
pub struct Project {
    /// The directory, absolute, every symbolic link resolved.
    pub root: PathBuf,
    /// The project's name.
    pub name: String,
    /// Its place in a directory of several projects, if it was read as one of them.
    pub member: Option<Member>,
    /// Its kind.
    pub kind: ProjectKind,
    /// Its components, sorted by kind, then name.
    pub components: Vec<Component>,
    /// Its declared assets, sorted by kind, then folder.
    pub assets: Vec<Asset>,
    /// The package indexes that its files name.
    pub indexes: IndexSettings,
    /// How its files want it to be resolved.
    pub resolving: Resolving,
    /// What its files say of what bases are made of.
    pub bases: BaseSettings,
    /// The files, relative to it, that hold credentials for an index: they stay out of images.
    pub secret_files: Vec<String>,
    /// What its author should know.
    pub warnings: Vec<Warning>,
}

impl Project {
    /// The name of an image below the prefix of a run: `NAME`, or `PROJECT/NAME` in a directory of several projects.
    pub fn repository(&self, image: &str) -> String {
        match &self.member {
            Some(member) => format!("{}/{image}", member.prefix),
            None => image.to_owned(),
        }
    }
}

/// The kind of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentKind {
    /// A Metaflow flow: `flows/NAME/flow.py`.
    Flow,
    /// A service: `deployments/NAME/config.yml`.
    Deployment,
    /// A plain Python project as a whole.
    Package,
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flow => "flow",
            Self::Deployment => "deployment",
            Self::Package => "package",
        })
    }
}

/// One thing that becomes an image, or several if its steps need different environments.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its kind.
    pub kind: ComponentKind,
    /// The folder's name; of a plain project the distribution's name, or else the directory's.
    pub name: String,
    /// The folder relative to the project, such as `flows/trainer`; empty for a plain project.
    pub folder: String,
    /// Its environments, at least one; a flow's in the order of their first steps.
    pub environments: Vec<Environment>,
    /// Its README, absolute, inside the project.
    pub readme: Option<PathBuf>,
    /// How it runs.
    pub run: Run,
    /// The distribution's metadata, of a plain project with a `[project]` table.
    pub package: Option<PackageMetadata>,
    /// What is said of its code: `package` of a deployment, `package_suffixes` for a flow.
    pub code: CodePackage,
}

/// What the project's files say of a component's code, besides where it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodePackage {
    /// The folders and files of a deployment's code, relative to the project, in order; the empty one is the project
    /// itself, and so are none.
    pub paths: Vec<String>,
    /// The ends of the names of the files that count, besides Python's own for a flow; `None`: the platform's own list.
    pub suffixes: Option<Vec<String>>,
    /// The files, relative to the project, that a flow reads when it starts: for configurations and included files.
    pub reads: BTreeSet<String>,
}

impl CodePackage {
    /// Whether a deployment's code is the whole project.
    pub(super) fn is_whole_project(&self) -> bool {
        self.paths.iter().all(String::is_empty)
    }
}

impl Component {
    /// The name that tells it from all others in the project: `flow/trainer`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

/// One environment of a component: what is to be installed, for which Python, on which base.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `None` for the environment that holds the first step, or the only one; otherwise its own first step.
    pub suffix: Option<String>,
    /// The steps of a flow that use it, in source order; empty for what is not a flow.
    pub steps: Vec<String>,
    /// The lock's file, relative to the project: `flows/trainer/pylock.toml` or `flows/trainer/pylock.STEP.toml`.
    pub lock_path: String,
    /// The requirements.
    pub requirements: Vec<Requirement>,
    /// The constraints.
    pub constraints: Vec<Requirement>,
    /// What is required in the place of what anyone requires of the same distributions.
    pub overrides: Vec<Requirement>,
    /// The hashes that a requirements file allows for a distribution's archives.
    pub hashes: BTreeMap<PackageName, Vec<Digest>>,
    /// The conda packages, if it is they that are asked for; then there are no requirements.
    pub conda: Option<CondaRequest>,
    /// The Python that is asked for, if one is.
    pub python: Option<PythonRequest>,
    /// The base image that is asked for, if one is.
    pub base: Option<BaseRequest>,
}

/// A request for conda packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CondaRequest {
    /// Match specifications such as `conda-forge::numpy>=2`, and where they are.
    pub packages: Vec<(String, Origin)>,
    /// The channels as they are named, in order; none: the platform's own.
    pub channels: Vec<String>,
    /// Who asks, such as ``step `train` of flow `trainer` ``.
    pub place: String,
    /// Where it is asked.
    pub origin: Origin,
}

impl CondaRequest {
    /// The match specifications, sorted.
    pub fn sorted(&self) -> Vec<String> {
        let mut packages: Vec<String> = self.packages.iter().map(|(package, _)| package.clone()).collect();
        packages.sort();
        packages
    }

    /// The error that baking them is, until conda is built.
    pub fn unsupported(&self) -> Error {
        Error::Conda { origin: self.origin.clone(), place: self.place.clone() }
    }
}

/// A request for a base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseRequest {
    /// A registry reference, always: files of a project name no local archives.
    pub reference: String,
    /// Where it is said.
    pub origin: Origin,
}

impl BaseRequest {
    pub(super) fn parse(text: &str, origin: Origin) -> Result<Self, Error> {
        let text = text.trim();
        let is_local = ["oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:"]
            .iter()
            .any(|transport| text.starts_with(transport));
        if is_local || text.contains("://") || text.parse::<oci_client::Reference>().is_err() {
            let shown: String = text.chars().take(200).collect();
            return Err(Error::Invalid {
                origin,
                problem: format!("`{shown}` is not a registry reference"),
                hint: Some("write one like `python:3.11-slim`; other bases are given with `--base`"),
            });
        }
        Ok(Self { reference: text.to_owned(), origin })
    }
}

/// How a component runs in its image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// The command in exec form; `None`: the base's own.
    pub command: Option<Vec<String>>,
    /// The working directory, absolute.
    pub working_dir: String,
    /// The directories of `PYTHONPATH`, absolute.
    pub python_path: Vec<String>,
    /// The TCP ports it listens on.
    pub ports: Vec<u16>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// What the project's files say of how the image runs, those above included.
    pub settings: Settings,
}

/// The package indexes that a project's files name. URLs may hold credentials: [`fmt::Debug`] leaves them out.
#[derive(Clone, Default)]
pub struct IndexSettings {
    /// The index in place of the public one.
    pub index_url: Option<(Url, Origin)>,
    /// Indexes besides it, in order.
    pub extra_index_urls: Vec<(Url, Origin)>,
    /// Lists of links to files, in order.
    pub find_links: Vec<(Url, Origin)>,
    /// Whether no index is to be asked.
    pub no_index: bool,
    /// How several indexes are used, if a file says.
    pub strategy: Option<Strategy>,
    /// Whether the command `keyring` may be asked for credentials, if a file says.
    pub keyring: Option<bool>,
    /// Packages that come from one index alone.
    pub pins: Vec<IndexPin>,
    /// Whether a requirements file says `--pre`.
    pub pre: bool,
    /// Which packages may be built from their sources.
    pub building: Building,
    /// What a requirements file asks for as an editable install.
    pub editables: Vec<(PackageName, Origin)>,
}

/// A package that comes from one index alone, where the marker holds.
#[derive(Clone)]
pub struct IndexPin {
    /// The package.
    pub name: PackageName,
    /// The index. May hold credentials: never display it.
    pub index: Url,
    /// Where it holds.
    pub marker: MarkerTree,
    /// Where it is said.
    pub origin: Origin,
}

impl IndexSettings {
    /// Adds what another file says. Two different main indexes are an error.
    pub(super) fn merge(&mut self, other: Self) -> Result<(), Error> {
        match (&self.index_url, other.index_url) {
            (Some((ours, first)), Some((theirs, second))) if *ours != theirs => {
                let problem = format!("another index URL than at {first}");
                let hint = Some("name one index as the main one, the others with --extra-index-url");
                return Err(Error::Invalid { origin: second, problem, hint });
            }
            (None, theirs) => self.index_url = theirs,
            _ => {}
        }
        for (url, origin) in other.extra_index_urls {
            if self.extra_index_urls.iter().all(|(known, _)| *known != url) {
                self.extra_index_urls.push((url, origin));
            }
        }
        for (url, origin) in other.find_links {
            if self.find_links.iter().all(|(known, _)| *known != url) {
                self.find_links.push((url, origin));
            }
        }
        self.no_index |= other.no_index;
        self.pre |= other.pre;
        self.building = std::mem::take(&mut self.building).over(&other.building);
        self.strategy = self.strategy.or(other.strategy);
        self.keyring = self.keyring.or(other.keyring);
        self.pins.extend(other.pins);
        self.editables.extend(other.editables);
        Ok(())
    }
}

impl fmt::Debug for IndexSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |(url, origin): &(Url, Origin)| format!("{} ({origin})", redacted(url));
        f.debug_struct("IndexSettings")
            .field("index_url", &self.index_url.as_ref().map(show))
            .field("extra_index_urls", &self.extra_index_urls.iter().map(show).collect::<Vec<_>>())
            .field("find_links", &self.find_links.iter().map(show).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The kind of an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssetKind {
    /// Declared under `data/`.
    Data,
    /// Declared under `models/`.
    Model,
}

impl fmt::Display for AssetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Model => "model",
        })
    }
}

/// A data or model asset that the project declares. Only its declaration goes into images, never its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Its kind.
    pub kind: AssetKind,
    /// Its identifier: `id`, or else the folder's name.
    pub id: String,
    /// Its name for people: `name`, or else the identifier.
    pub name: String,
    /// What it is.
    pub description: Option<String>,
    /// The author's own word for its kind, such as `table` or `xgboost`.
    pub declared_kind: Option<String>,
    /// Where its content is: paths and identifiers outside the project.
    pub blobs: Vec<String>,
    /// Properties and tags, as text.
    pub properties: BTreeMap<String, String>,
    /// Where it is declared.
    pub origin: Origin,
}

/// The name of an environment's image: the component's, lower-cased, with runs of characters that a repository's name
/// cannot have turned to `-`, and `-STEP` where the component has several environments.
pub fn image_name(component: &Component, environment: &Environment) -> String {
    let text = match &environment.suffix {
        Some(step) => format!("{}-{step}", component.name),
        None => component.name.clone(),
    };
    let name = repository_name(&text);
    if name.is_empty() { component.kind.to_string() } else { name }
}

/// A text as part of a repository's name; empty if nothing of it is legal there.
pub(super) fn repository_name(text: &str) -> String {
    let mut name = String::new();
    let mut separator = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            if !name.is_empty() && !separator.is_empty() {
                // What the grammar of repository names allows between letters and digits; everything else is a dash.
                let legal =
                    matches!(separator.as_str(), "." | "_" | "__") || separator.bytes().all(|b| b == b'-');
                name.push_str(if legal { &separator } else { "-" });
            }
            separator.clear();
            name.push(c);
        } else {
            separator.push(c);
        }
    }
    name
}

/// Checks that no two images of these components have the same name.
pub fn check_names(components: &[&Component]) -> Result<(), Error> {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for component in components {
        for environment in &component.environments {
            let mut who = component.id();
            if let Some(step) = &environment.suffix {
                who = format!("{who} (step `{step}`)");
            }
            let name = image_name(component, environment);
            if let Some(first) = taken.insert(name.clone(), who.clone()) {
                return Err(Error::NameCollision { first, second: who, name });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(kind: ComponentKind, name: &str, suffixes: &[Option<&str>]) -> Component {
        let environments = suffixes.iter().map(|suffix| Environment {
            suffix: suffix.map(str::to_owned),
            steps: Vec::new(),
            lock_path: "pylock.toml".to_owned(),
            requirements: Vec::new(),
            constraints: Vec::new(),
            overrides: Vec::new(),
            hashes: BTreeMap::new(),
            conda: None,
            python: None,
            base: None,
        });
        Component {
            kind,
            name: name.to_owned(),
            folder: String::new(),
            environments: environments.collect(),
            readme: None,
            run: Run::default(),
            package: None,
            code: CodePackage::default(),
        }
    }

    #[test]
    fn image_names_are_legal_repository_names() {
        let name = |name: &str| {
            let component = component(ComponentKind::Flow, name, &[None]);
            image_name(&component, &component.environments[0])
        };
        for (given, expected) in [
            ("trainer", "trainer"),
            ("Train_Model", "train_model"),
            ("a__b--c.d", "a__b--c.d"),
            ("a___b", "a-b"),
            ("a._b", "a-b"),
            ("-a b (2)_", "a-b-2"),
            ("Größe", "gr-e"),
            ("日本", "flow"),
            ("", "flow"),
        ] {
            assert_eq!(name(given), expected, "{given}");
        }
    }

    #[test]
    fn names_that_collide_are_told_with_both_components() {
        let flow = component(ComponentKind::Flow, "x", &[None, Some("end")]);
        let same = component(ComponentKind::Deployment, "X", &[None]);
        let step = component(ComponentKind::Deployment, "x-end", &[None]);
        assert!(check_names(&[&flow]).is_ok());
        let error = check_names(&[&flow, &same]).unwrap_err();
        assert_eq!(error.to_string(), "flow/x and deployment/X would both make the image `x`");
        let error = check_names(&[&flow, &step]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "flow/x (step `end`) and deployment/x-end would both make the image `x-end`"
        );
    }

    #[test]
    fn base_images_are_registry_references() {
        for good in [
            "python:3.11",
            "127.0.0.1:5000/a/b@sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ] {
            assert!(BaseRequest::parse(good, Origin::file("x")).is_ok(), "{good}");
        }
        for bad in ["", "oci:dir", "docker://python:3.11", "deb://bookworm", "a b", "Upper/Case"] {
            assert!(BaseRequest::parse(bad, Origin::file("x")).is_err(), "{bad}");
        }
    }

    #[test]
    fn index_settings_never_show_credentials() {
        let url = Url::parse("https://user:secret@h.example/simple").unwrap();
        let settings = IndexSettings {
            index_url: Some((url.clone(), Origin::line("r.txt", 1))),
            extra_index_urls: vec![(url, Origin::line("r.txt", 2))],
            ..IndexSettings::default()
        };
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
