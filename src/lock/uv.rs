//! `uv.lock`: what a project's requirements lead to in it, for one target.
//!
//! It is a graph of packages; an edge may have a marker, and may ask for extras. A package may stand there in several
//! versions, each for some environments.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pep508_rs::ExtraName;
use url::Url;

use super::document::{Node, Source};
use super::marker::Markers;
use super::merge::fitness;
use super::read::{Failure, is_usable, normalised, shown, supports_python};
use super::{Error, Lock};
use crate::model::{
    Archive, ArchiveKind, Digest, PackageName, Pin, Requirement, Target, Version, VersionOrUrl,
    VersionSpecifiers, WheelName,
};

/// The version of the format that is understood; revisions only add to it.
const VERSION: u64 = 1;
const MADE_BY: &str = "uv";

/// Reads the text of a `uv.lock` for what `requirements` ask for. `name` is the file for error messages, `directory` the
/// one that it stands in. A requirement that the lock knows nothing about is left out: see [`super::unmet`].
pub fn parse_uv(
    text: &str,
    name: &str,
    directory: &Path,
    requirements: &[Requirement],
    target: Target,
) -> Result<Lock, Error> {
    let source = Source { text, name };
    let pins = source.parse().map_err(Failure::from).and_then(|document| {
        let graph = Graph::new(&Node::root(source, document.as_table()), directory, target)?;
        graph.pins(requirements)
    });
    let pins = pins.map_err(|failure| match failure {
        Failure::Problem(problem) => Error::Foreign {
            origin: source.origin(problem.line),
            created_by: MADE_BY.to_owned(),
            reason: problem.reason,
        },
        Failure::NoFittingWheel { line, name, sdist } => {
            Error::NoFittingWheel { origin: source.origin(line), name, target, sdist }
        }
    })?;
    Ok(Lock {
        target,
        inputs: None,
        pins,
        created_by: MADE_BY.to_owned(),
        requirements: Vec::new(),
        base: None,
        options: String::new(),
    })
}

/// Where a package comes from.
enum Place<'t> {
    /// An index or a directory of files.
    Registry(&'t str),
    Url(Url),
    Path(&'t str),
    /// A directory with sources.
    Directory(&'t str),
    Git,
}

struct Package<'t> {
    node: Node<'t>,
    name: PackageName,
    version: Option<Version>,
    place: Place<'t>,
}

struct Graph<'t> {
    packages: Vec<Package<'t>>,
    by_name: BTreeMap<PackageName, Vec<usize>>,
    markers: Markers,
    target: Target,
    directory: &'t Path,
}

impl<'t> Graph<'t> {
    fn new(root: &Node<'t>, directory: &'t Path, target: Target) -> Result<Self, Failure> {
        let version = root.number("version")?.ok_or_else(|| root.problem("`version` is missing"))?;
        if version != VERSION {
            let reason = format!("its version is {version}, only {VERSION} is supported");
            return Err(root.problem_at("version", reason).into());
        }
        if let Some(specifiers) = root.parsed::<VersionSpecifiers>("requires-python")?
            && !supports_python(target, &specifiers)
        {
            let reason = format!("it is for Python {specifiers}, not {}", target.python);
            return Err(root.problem_at("requires-python", reason).into());
        }
        if root.has("conflicts") {
            let reason = "it has extras or groups that exclude each other; \
                          `uv export --format pylock.toml` makes a lock of those that you want";
            return Err(root.problem_at("conflicts", reason).into());
        }
        let mut this = Self {
            packages: Vec::new(),
            by_name: BTreeMap::new(),
            markers: Markers::new(target, &[]),
            target,
            directory,
        };
        for node in root.tables("package")? {
            let name: PackageName = node.required_parsed("name")?;
            let version = node.parsed("version")?;
            let source = node.table("source")?.ok_or_else(|| node.problem("`source` is missing"))?;
            this.by_name.entry(name.clone()).or_default().push(this.packages.len());
            this.packages.push(Package { name, version, place: place(&source)?, node });
        }
        Ok(this)
    }

    /// The distributions that the requirements lead to.
    fn pins(&self, requirements: &[Requirement]) -> Result<Vec<Pin>, Failure> {
        let environment = self.target.marker_environment();
        let mut open: Vec<(usize, Option<ExtraName>)> = Vec::new();
        for Requirement { pep508, .. } in requirements {
            if !pep508.evaluate_markers(&environment, &[]) {
                continue;
            }
            let admits = |package: &Package<'_>| match (&pep508.version_or_url, &package.version) {
                (Some(VersionOrUrl::VersionSpecifier(specifiers)), Some(version)) => {
                    specifiers.contains(version)
                }
                _ => true,
            };
            if let Some(package) = self.find(&pep508.name, &admits)? {
                open.push((package, None));
                open.extend(pep508.extras.iter().map(|extra| (package, Some(extra.clone()))));
            }
        }

        let mut edges: BTreeMap<usize, BTreeSet<&PackageName>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        while let Some((from, extra)) = open.pop() {
            if !seen.insert((from, extra.clone())) {
                continue;
            }
            let found = edges.entry(from).or_default();
            let package = &self.packages[from];
            let dependencies = match &extra {
                None => package.node.tables("dependencies")?,
                Some(extra) => match package.node.table("optional-dependencies")? {
                    Some(all) => all.tables(extra.as_ref())?,
                    None => Vec::new(),
                },
            };
            for edge in dependencies {
                if let Some(marker) = edge.text("marker")?
                    && !self.markers.holds(marker).map_err(|reason| edge.problem_at("marker", reason))?
                {
                    continue;
                }
                let name: PackageName = edge.required_parsed("name")?;
                let version: Option<Version> = edge.parsed("version")?;
                let admits = |package: &Package<'_>| version.is_none() || package.version == version;
                let to = self.find(&name, &admits)?.ok_or_else(|| {
                    edge.problem(format!("`{}` needs `{name}`, which is not in it", package.name))
                })?;
                found.insert(&self.packages[to].name);
                open.push((to, None));
                for extra in edge.texts("extra")? {
                    let wrong = || edge.problem_at("extra", format!("`{}` is not an extra", shown(extra)));
                    open.push((to, Some(extra.parse().map_err(|_| wrong())?)));
                }
            }
        }

        let mut pins: BTreeMap<&PackageName, Pin> = BTreeMap::new();
        for (&index, dependencies) in &edges {
            let package = &self.packages[index];
            if self.is_project(package) {
                continue;
            }
            let pin = self.pin(package, dependencies)?;
            if pins.insert(&package.name, pin).is_some() {
                let reason = format!("`{}` is needed in more than one version", package.name);
                return Err(package.node.problem(reason).into());
            }
        }
        let mut pins: Vec<Pin> = pins.into_values().collect();
        let names: BTreeSet<PackageName> = pins.iter().map(|pin| pin.name.clone()).collect();
        for pin in &mut pins {
            pin.dependencies.retain(|name| names.contains(name));
        }
        Ok(pins)
    }

    /// The package of a name: the only one there is, or of several the one that is admitted and for the target.
    fn find(
        &self,
        name: &PackageName,
        admits: &dyn Fn(&Package<'_>) -> bool,
    ) -> Result<Option<usize>, Failure> {
        let Some(all) = self.by_name.get(name) else { return Ok(None) };
        if let [only] = all[..] {
            return Ok(Some(only));
        }
        let mut fitting = Vec::new();
        for &index in all {
            let package = &self.packages[index];
            if !admits(package) {
                continue;
            }
            let markers = package.node.texts("resolution-markers")?;
            let mut fits = markers.is_empty();
            for marker in markers {
                let holds = self.markers.holds(marker);
                fits |= holds.map_err(|reason| package.node.problem_at("resolution-markers", reason))?;
            }
            if fits {
                fitting.push(index);
            }
        }
        match fitting[..] {
            [] => Ok(None),
            [only] => Ok(Some(only)),
            [first, ..] => {
                let reason = format!("`{name}` is there more than once for {}", self.target);
                Err(self.packages[first].node.problem(reason).into())
            }
        }
    }

    /// Whether a package is the project whose lock this is: its code has layers of its own.
    fn is_project(&self, package: &Package<'_>) -> bool {
        let directory = normalised(self.directory);
        matches!(package.place, Place::Directory(path) if normalised(&self.directory.join(path)) == directory)
    }

    fn pin(&self, package: &Package<'_>, dependencies: &BTreeSet<&PackageName>) -> Result<Pin, Failure> {
        let Package { node, name, .. } = package;
        let unsupported = |what: String| {
            let reason = format!("`{name}` comes from {what}, which is not supported");
            node.problem_at("source", reason)
        };
        let (index, direct_url) = match &package.place {
            Place::Registry(registry) => {
                (Url::parse(registry).ok().filter(|url| is_usable(url) && url.scheme() != "file"), None)
            }
            Place::Url(url) => (None, Some(url.clone())),
            Place::Path(path) => (None, Some(self.file(node, Path::new(path))?)),
            Place::Directory(path) => {
                return Err(unsupported(format!("the directory {}", shown(path))).into());
            }
            Place::Git => return Err(unsupported("a git repository".to_owned()).into()),
        };
        let archive = self.best_wheel(package, direct_url.as_ref())?;
        let ArchiveKind::Wheel(wheel) = &archive.kind else {
            return Err(node.problem(format!("{} is not a wheel", shown(&archive.file_name))).into());
        };
        let version = package.version.clone().unwrap_or_else(|| wheel.version.clone());
        if wheel.name != *name || wheel.version != version {
            let reason = format!("{} is not a wheel of {name} {version}", shown(&archive.file_name));
            return Err(node.problem(reason).into());
        }
        Ok(Pin {
            name: name.clone(),
            version,
            index,
            direct_url,
            archive,
            built: None,
            requires_python: None,
            dependencies: dependencies
                .iter()
                .filter(|other| **other != name)
                .map(|&name| name.clone())
                .collect(),
        })
    }

    /// The wheel that fits the target best.
    fn best_wheel(&self, package: &Package<'_>, direct_url: Option<&Url>) -> Result<Archive, Failure> {
        let mut best = None;
        for entry in package.node.tables("wheels")? {
            let archive = self.archive(&entry, package, direct_url)?;
            let Some(order) = fitness(&self.target, &archive) else { continue };
            if best.as_ref().is_none_or(|(known, _)| order < *known) {
                best = Some((order, archive));
            }
        }
        if let Some((_, archive)) = best {
            return Ok(archive);
        }
        let sdist = match package.node.table("sdist")? {
            None => None,
            Some(sdist) => {
                let place = sdist.text("url")?.or(sdist.text("path")?).or(sdist.text("filename")?);
                place.and_then(|place| place.rsplit('/').next()).map(shown)
            }
        };
        Err(Failure::NoFittingWheel { line: package.node.line(), name: package.name.clone(), sdist })
    }

    fn archive(
        &self,
        entry: &Node<'_>,
        package: &Package<'_>,
        direct_url: Option<&Url>,
    ) -> Result<Archive, Failure> {
        let url = match (entry.text("url")?, entry.text("path")?, direct_url) {
            (Some(text), ..) => {
                let url = Url::parse(text).ok().filter(is_usable);
                url.ok_or_else(|| {
                    entry.problem_at("url", "`url` must be an https, http or file URL without credentials")
                })?
            }
            (None, Some(path), _) => match &package.place {
                Place::Registry(registry) => self.file(entry, &Path::new(registry).join(path))?,
                _ => self.file(entry, Path::new(path))?,
            },
            (None, None, Some(url)) => url.clone(),
            (None, None, None) => return Err(entry.problem("it has neither `url` nor `path`").into()),
        };
        let mut url = url;
        url.set_fragment(None);
        let last = url.path_segments().and_then(Iterator::last).unwrap_or_default();
        let file_name = match entry.text("filename")? {
            Some(name) => name.to_owned(),
            None => percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned(),
        };
        let wheel: WheelName = file_name.parse().map_err(|error| entry.problem(format!("{error}")))?;
        let hash = entry
            .text("hash")?
            .and_then(|hash| hash.strip_prefix("sha256:"))
            .ok_or_else(|| entry.problem(format!("{} has no SHA-256 hash", shown(&file_name))))?;
        let sha256 = Digest::from_hex(hash).map_err(|error| entry.problem_at("hash", error.to_string()))?;
        let (kind, size) = (ArchiveKind::Wheel(wheel), entry.number("size")?);
        Ok(Archive { kind, file_name, url, size, sha256: Some(sha256) })
    }

    /// The URL of a local file; its path is relative to the lock.
    fn file(&self, node: &Node<'_>, path: &Path) -> Result<Url, Failure> {
        let path = normalised(&self.directory.join(path));
        Url::from_file_path(path).map_err(|()| node.problem("its path is not usable").into())
    }
}

fn place<'t>(source: &Node<'t>) -> Result<Place<'t>, Failure> {
    if let Some(registry) = source.text("registry")? {
        return Ok(Place::Registry(registry));
    }
    if source.has("git") {
        return Ok(Place::Git);
    }
    if let Some(text) = source.text("url")? {
        let url = Url::parse(text).ok().filter(is_usable);
        let mut url = url
            .ok_or_else(|| source.problem("`url` must be an https, http or file URL without credentials"))?;
        url.set_fragment(None);
        return Ok(Place::Url(url));
    }
    if let Some(path) = source.text("path")? {
        return Ok(Place::Path(path));
    }
    for kind in ["editable", "virtual", "directory"] {
        if let Some(path) = source.text(kind)? {
            return Ok(Place::Directory(path));
        }
    }
    Err(source.problem("`source` is of no known kind").into())
}
