//! Reading a lock. Whoever wrote it, nothing in it is trusted before it is checked.

use std::collections::BTreeSet;
use std::path::Path;

use url::Url;

use super::document::{Node, Problem, Source};
use super::marker::Markers;
use super::merge::fitness;
use super::{Base, CREATED_BY, Error, Lock, built};
use crate::model::{
    Archive, ArchiveKind, Digest, Key, PackageName, Pin, Platform, PythonMinor, Target, Version,
    VersionSpecifiers, WheelName,
};

/// The only version of the standard there is.
const LOCK_VERSION: &str = "1.0";

/// What stops a lock from being read.
pub(super) enum Failure {
    Problem(Problem),
    NoFittingWheel { line: Option<u32>, name: PackageName, sdist: Option<String> },
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Reads the text of the lock at `path`. A lock of ours says what targets it is for: the one of the same platform as
/// `target` is read, or else the first. One of another tool is read for `target`.
pub fn parse(text: &str, path: &Path, target: Target) -> Result<Lock, Error> {
    let mut locks = parse_all(text, path, &[target])?;
    let place = locks.iter().position(|lock| lock.target.platform == target.platform);
    Ok(locks.swap_remove(place.unwrap_or_default()))
}

/// Reads the text of the lock at `path` for all its targets, which are never none. One of another tool is read for
/// `targets`.
pub fn parse_all(text: &str, path: &Path, targets: &[Target]) -> Result<Vec<Lock>, Error> {
    let name = path.to_string_lossy();
    let source = Source { text, name: &name };
    let unreadable =
        |problem: Problem| Error::Unreadable { origin: source.origin(problem.line), reason: problem.reason };
    let document = source.parse().map_err(unreadable)?;
    let root = Node::root(source, document.as_table());
    let created_by = root.required("created-by").map_err(unreadable)?.to_owned();
    let directory = std::path::absolute(path).ok().and_then(|path| Some(path.parent()?.to_owned()));
    let reader = |target: Target| Reader {
        target,
        markers: Markers::new(target, &root.texts("default-groups").unwrap_or_default()),
        directory: directory.as_deref(),
        foreign: created_by != CREATED_BY,
    };
    if created_by == CREATED_BY {
        return ours(&root)
            .and_then(|locks| {
                let pins = |lock: Lock| Ok(Lock { pins: reader(lock.target).pins(&root)?, ..lock });
                locks.into_iter().map(pins).collect()
            })
            .map_err(|failure| match failure {
                Failure::Problem(problem) => unreadable(problem),
                Failure::NoFittingWheel { line, name, .. } => unreadable(Problem {
                    line,
                    reason: format!("`{name}` has no wheel for the lock's target"),
                }),
            });
    }
    let foreign = |target: Target| {
        reader(target)
            .for_target(&root)
            .and_then(|reader| reader.pins(&root))
            .map(|pins| Lock {
                target,
                inputs: None,
                pins,
                created_by: shown(&created_by),
                requirements: Vec::new(),
                base: None,
                options: String::new(),
            })
            .map_err(|failure| match failure {
                Failure::Problem(Problem { line, reason }) => {
                    Error::Foreign { origin: source.origin(line), created_by: shown(&created_by), reason }
                }
                Failure::NoFittingWheel { line, name, sdist } => {
                    Error::NoFittingWheel { origin: source.origin(line), name, target, sdist }
                }
            })
    };
    targets.iter().copied().map(foreign).collect()
}

/// A text from a lock as it may be printed.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// What only a lock of ours says; the pins are read later.
fn ours(root: &Node<'_>) -> Result<Vec<Lock>, Failure> {
    let ours = match root.table("tool")? {
        Some(tool) => tool.table("bakehouse")?,
        None => None,
    };
    let ours = ours.ok_or_else(|| root.problem("`tool.bakehouse` is missing"))?;
    let mut requirements: Vec<String> = ours.texts("requirements")?.into_iter().map(str::to_owned).collect();
    requirements.sort();
    let options = ours.text("options")?.unwrap_or_default().to_owned();
    let bases = bases(&ours)?;
    let mut locks: Vec<Lock> = Vec::new();
    for entry in ours.tables("targets")? {
        let target = Target {
            python: entry.required_parsed("python")?,
            platform: entry.required_parsed("platform")?,
            libc: entry.required_parsed("libc")?,
        };
        if locks.iter().any(|lock| lock.target.platform == target.platform) {
            return Err(entry.problem(format!("{} is there more than once", target.platform)).into());
        }
        let base = bases.iter().find(|(platform, _)| platform.is_none_or(|one| one == target.platform));
        let inputs = match entry.parsed::<Key>("inputs")? {
            Some(inputs) => inputs,
            // The only target has it beside it.
            None => ours.required_parsed::<Key>("inputs")?,
        };
        locks.push(Lock {
            target,
            inputs: Some(inputs),
            pins: Vec::new(),
            created_by: CREATED_BY.to_owned(),
            requirements: requirements.clone(),
            base: base.map(|(_, base)| base.clone()),
            options: options.clone(),
        });
    }
    if locks.is_empty() {
        return Err(ours.problem("`targets` must name what it is for").into());
    }
    Ok(locks)
}

/// The base images of a lock of ours: that of its only platform, or one for each.
fn bases(ours: &Node<'_>) -> Result<Vec<(Option<Platform>, Base)>, Problem> {
    if let Ok(Some(table)) = ours.table("base") {
        return Ok(vec![(None, Base::read(&table)?)]);
    }
    let base = |table: Node<'_>| Ok((Some(table.required_parsed("platform")?), Base::read(&table)?));
    ours.tables("base")?.into_iter().map(base).collect()
}

pub(super) struct Reader<'t> {
    target: Target,
    markers: Markers,
    directory: Option<&'t Path>,
    foreign: bool,
}

impl Reader<'_> {
    /// Checks that a lock of another tool speaks about the target at all.
    fn for_target(self, root: &Node<'_>) -> Result<Self, Failure> {
        if let Some(specifiers) = root.parsed::<VersionSpecifiers>("requires-python")?
            && !supports_python(self.target, &specifiers)
        {
            let reason = format!("it is for Python {specifiers}, not {}", self.target.python);
            return Err(root.problem_at("requires-python", reason).into());
        }
        let environments = root.texts("environments")?;
        let mut fits = environments.is_empty();
        for marker in environments {
            fits |= self.markers.holds(marker).map_err(|reason| root.problem_at("environments", reason))?;
        }
        if !fits {
            let reason = format!("none of its environments is {}", self.target);
            return Err(root.problem_at("environments", reason).into());
        }
        Ok(self)
    }

    /// Whether an entry is the directory of the lock: the project itself, whose code has layers of its own.
    fn is_project(&self, package: &Node<'_>) -> Result<bool, Failure> {
        let Some(directory) = package.table("directory")? else { return Ok(false) };
        let (Some(path), Some(own)) = (directory.text("path")?, self.directory) else { return Ok(false) };
        Ok(normalised(&own.join(path)) == normalised(own))
    }

    fn pins(&self, root: &Node<'_>) -> Result<Vec<Pin>, Failure> {
        let version = root.required("lock-version")?;
        if version != LOCK_VERSION {
            let reason = format!("its version is {}, only {LOCK_VERSION} is supported", shown(version));
            return Err(root.problem_at("lock-version", reason).into());
        }
        let mut pins = Vec::new();
        let mut names = BTreeSet::new();
        for package in root.tables("packages")? {
            if let Some(marker) = package.text("marker")?
                && !self.markers.holds(marker).map_err(|reason| package.problem_at("marker", reason))?
            {
                continue;
            }
            if self.foreign && self.is_project(&package)? {
                continue;
            }
            let pin = self.pin(&package)?;
            if !names.insert(pin.name.clone()) {
                return Err(package.problem(format!("`{}` is there more than once", pin.name)).into());
            }
            pins.push(pin);
        }
        for pin in &mut pins {
            // Dependencies that markers leave out are not there.
            pin.dependencies.retain(|name| names.contains(name));
        }
        pins.sort_by(|a: &Pin, b| a.name.cmp(&b.name));
        Ok(pins)
    }

    fn pin(&self, package: &Node<'_>) -> Result<Pin, Failure> {
        let name: PackageName = package.required_parsed("name")?;
        let built = if self.foreign { None } else { built::read(self, package)? };
        for kind in ["vcs", "directory"] {
            if package.has(kind) && built.is_none() {
                let reason = format!("`{name}` comes from a {kind} entry, which is not supported");
                return Err(package.problem_at(kind, reason).into());
            }
        }
        let requires_python = package.parsed::<VersionSpecifiers>("requires-python")?;
        if let Some(specifiers) = requires_python.as_ref().filter(|_| self.foreign)
            && !supports_python(self.target, specifiers)
        {
            let reason = format!("`{name}` is for Python {specifiers}, not {}", self.target.python);
            return Err(package.problem_at("requires-python", reason).into());
        }
        let (archive, built, direct_url) = match (built, package.table("archive")?) {
            (Some((archive, built, direct_url)), _) => (archive, Some(built), direct_url),
            (None, Some(entry)) => {
                let archive = self.archive(&entry)?;
                let url = archive.url.clone();
                (archive, None, Some(url))
            }
            (None, None) => (self.best_wheel(package, &name)?, None, None),
        };
        let ArchiveKind::Wheel(wheel) = &archive.kind else {
            let sdist = Some(shown(&archive.file_name));
            return Err(Failure::NoFittingWheel { line: package.line(), name, sdist });
        };
        let version = package.parsed::<Version>("version")?.unwrap_or_else(|| wheel.version.clone());
        if wheel.name != name || wheel.version != version {
            let reason = format!("{} is not a wheel of {name} {version}", shown(&archive.file_name));
            return Err(package.problem(reason).into());
        }
        let mut dependencies = BTreeSet::new();
        for dependency in package.tables("dependencies")? {
            dependencies.insert(dependency.required_parsed::<PackageName>("name")?);
        }
        dependencies.remove(&name);
        let index = match package.parsed::<Url>("index")? {
            Some(url) if is_usable(&url) => Some(url),
            Some(_) => {
                return Err(package.problem_at("index", "`index` must be an https, http or file URL").into());
            }
            None => None,
        };
        Ok(Pin {
            name,
            version,
            index: index.filter(|_| direct_url.is_none()),
            direct_url,
            archive,
            built,
            requires_python,
            dependencies: dependencies.into_iter().collect(),
        })
    }

    /// The wheel that fits the target best.
    fn best_wheel(&self, package: &Node<'_>, name: &PackageName) -> Result<Archive, Failure> {
        let mut best = None;
        for entry in package.tables("wheels")? {
            let archive = self.archive(&entry)?;
            if !matches!(archive.kind, ArchiveKind::Wheel(_)) {
                return Err(entry.problem(format!("{} is not a wheel", shown(&archive.file_name))).into());
            }
            let Some(order) = fitness(&self.target, &archive) else { continue };
            if best.as_ref().is_none_or(|(known, _)| order < *known) {
                best = Some((order, archive));
            }
        }
        if let Some((_, archive)) = best {
            return Ok(archive);
        }
        let sdist = match package.table("sdist")? {
            Some(sdist) => Some(shown(&file_name(&sdist, &self.place(&sdist)?)?)),
            None => None,
        };
        Err(Failure::NoFittingWheel { line: package.line(), name: name.clone(), sdist })
    }

    /// A file entry: where it is, and what it must hash to.
    fn archive(&self, entry: &Node<'_>) -> Result<Archive, Failure> {
        if entry.has("subdirectory") {
            return Err(entry
                .problem_at("subdirectory", "subdirectories of archives are not supported")
                .into());
        }
        self.file(entry)
    }

    /// The same, wherever in it the distribution is.
    pub(super) fn file(&self, entry: &Node<'_>) -> Result<Archive, Failure> {
        let url = self.place(entry)?;
        let file_name = file_name(entry, &url)?;
        let kind = if file_name.ends_with(".whl") {
            let wheel = file_name.parse::<WheelName>().map_err(|error| entry.problem(error.to_string()))?;
            ArchiveKind::Wheel(wheel)
        } else {
            ArchiveKind::Sdist
        };
        let hashes = entry.table("hashes")?.ok_or_else(|| entry.problem("`hashes` is missing"))?;
        let sha256 = hashes
            .text("sha256")?
            .ok_or_else(|| hashes.problem(format!("{} has no SHA-256 hash", shown(&file_name))))?;
        let sha256 =
            Digest::from_hex(sha256).map_err(|error| hashes.problem_at("sha256", error.to_string()))?;
        Ok(Archive { kind, file_name, url, size: entry.number("size")?, sha256: Some(sha256) })
    }

    /// The URL of a file entry; a path is relative to the lock.
    pub(super) fn place(&self, entry: &Node<'_>) -> Result<Url, Failure> {
        if let Some(path) = entry.text("path")? {
            let wrong = || entry.problem_at("path", "`path` is not a usable path");
            if path.is_empty() || path.contains('\0') {
                return Err(wrong().into());
            }
            let path = self.directory.ok_or_else(wrong)?.join(path);
            return Ok(Url::from_file_path(normalised(&path)).map_err(|()| wrong())?);
        }
        let mut url: Url = entry.required_parsed("url")?;
        url.set_fragment(None);
        if !is_usable(&url) {
            return Err(entry
                .problem_at("url", "`url` must be an https, http or file URL without credentials")
                .into());
        }
        Ok(url)
    }
}

/// Whether a Python of the target's minor version can satisfy the specifiers; which patch release there will be is not
/// known.
pub(super) fn supports_python(target: Target, specifiers: &VersionSpecifiers) -> bool {
    let PythonMinor { major, minor } = target.python;
    let release = |patch: u64| Version::new([u64::from(major), u64::from(minor), patch]);
    (0..100).any(|patch| specifiers.contains(&release(patch)))
}

pub(super) fn is_usable(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "http" | "file") && url.username().is_empty() && url.password().is_none()
}

/// A path without `.` and `..`, judged by its text alone.
pub(super) fn normalised(path: &Path) -> std::path::PathBuf {
    use std::path::Component;
    let mut out = std::path::PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// The file name of an entry: as it says, or the last part of its place.
fn file_name(entry: &Node<'_>, url: &Url) -> Result<String, Problem> {
    let name = match entry.text("name")? {
        Some(name) => name.to_owned(),
        None => {
            let last = url.path_segments().and_then(Iterator::last).unwrap_or_default();
            percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned()
        }
    };
    if name.is_empty() || name.contains(['/', '\\', '\0']) || name == "." || name == ".." {
        return Err(entry.problem("there is no usable file name"));
    }
    Ok(name)
}
