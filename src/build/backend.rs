//! The hooks of build backends (PEP 517), each called in a process of its own in the build's environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::environment::Environment;
use super::process::{self, Keep};
use super::python::{self, Python};
use super::tree::{Tree, blocking};
use super::{Builder, Error, Expected, Wheel, once, repack, what};
use crate::model::{
    BuiltFrom, Digest, Origin, PackageName, Pin, Requirement, Version, VersionSpecifiers, WheelName,
};
use crate::resolve::{self, IndexSource};
use crate::store::{Blob, TemporaryDirectory};

/// Calls a hook; it is code of this program's that runs in the build's interpreter.
const CALLER: &str = include_str!("backend.py");
/// The most bytes of a hook's answer, and of the metadata that it writes.
const LARGEST_ANSWER: u64 = 4 << 20;

/// A place to build in.
struct Workshop {
    directory: TemporaryDirectory,
    environment: Environment,
    python: Python,
    /// What is in the environment.
    pins: Vec<Pin>,
}

impl Workshop {
    /// What builds, as a lock records it.
    fn requires(&self) -> Vec<String> {
        let mut texts: Vec<String> =
            self.pins.iter().map(|pin| format!("{}=={}", pin.name, pin.version)).collect();
        texts.sort();
        texts
    }
}

impl Builder {
    /// The metadata that the backend prepares; `None` if it can only build.
    pub(super) async fn prepared(
        &self,
        tree: &Arc<Tree>,
        from: &BuiltFrom,
    ) -> Result<Option<Vec<u8>>, Error> {
        let workshop = self.workshop(tree, from, None, None).await?;
        let into = workshop.directory.path().join("out");
        let answer =
            self.hook(&workshop, tree, from, "prepare_metadata_for_build_wheel", json!([into, null])).await?;
        let Some(answer) = answer else { return Ok(None) };
        let path = plain_name(&answer).filter(|name| name.ends_with(".dist-info"));
        let path = path.map(|name| into.join(name).join("METADATA"));
        let bytes = path.and_then(|path| read_small(&path, &into));
        bytes.map(Some).ok_or_else(|| Error::Unusable {
            what: what(from),
            reason: "its backend says that it prepared metadata, but there is none".to_owned(),
        })
    }

    /// Builds the wheel.
    pub(super) async fn make(
        &self,
        from: &BuiltFrom,
        expected: Expected<'_>,
        pinned: Option<&[String]>,
    ) -> Result<Wheel, Error> {
        let tree = self.tree(from).await?;
        self.check_claims(&tree, from, expected)?;
        let supported = tree.claims.metadata.as_deref().and_then(requires_python);
        let workshop = self.workshop(&tree, from, pinned, supported.as_ref()).await?;
        let into = workshop.directory.path().join("out");
        let answer = self.hook(&workshop, &tree, from, "build_wheel", json!([into, null, null])).await?;
        let unusable = |reason: String| Error::Unusable { what: what(from), reason };
        let name: WheelName = answer
            .as_ref()
            .and_then(plain_name)
            .ok_or_else(|| unusable("its backend names no wheel".to_owned()))?
            .parse()
            .map_err(|error: crate::model::WheelNameError| unusable(error.to_string()))?;
        if name.name != *expected.name || expected.version.is_some_and(|version| name.version != *version) {
            let found = format!("the wheel that it gives is {} {}", name.name, name.version);
            return Err(super::disagrees(from, expected, found));
        }
        let does_not_fit =
            |reason| Error::DoesNotFit { wheel: name.to_string(), target: self.target, reason };
        if name.platform != ["any"]
            && let Some(reason) = python::mismatch(&workshop.python, self.target)
        {
            return Err(does_not_fit(reason));
        }
        if self.target.wheel_rank(&name).is_none() {
            return Err(does_not_fit(format!("it was built by Python {}", workshop.python.target.python)));
        }
        let path = into.join(name.file_name());
        let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
        if !is_file {
            return Err(unusable(format!("its backend says that it built {name}, but it is not there")));
        }
        let (store, of) = (Arc::clone(self.shared.index.store()), name.clone());
        let written = blocking(move || {
            let file = fs::File::open(&path).map_err(Error::io("open", &path))?;
            repack::repack(file, &of, &store)
        });
        let (blob, metadata) = written.await?;
        tracing::debug!(%name, sha256 = %blob.digest(), "built");
        Ok(Wheel { name, blob, requires: workshop.requires(), metadata })
    }

    /// An environment with what the sources need to be built. `pinned`: the distributions that there must be.
    async fn workshop(
        &self,
        tree: &Arc<Tree>,
        from: &BuiltFrom,
        pinned: Option<&[String]>,
        supported: Option<&VersionSpecifiers>,
    ) -> Result<Workshop, Error> {
        let python = self.python(from, supported).await?;
        let wanted = requirements(&tree.claims.backend.requires, from)?;
        let pins = self.resolved(&python, from, &wanted, pinned).await?;
        let mut workshop = self.furnished(python, pins).await?;
        let more = self.hook(&workshop, tree, from, "get_requires_for_build_wheel", json!([null])).await?;
        let more: Vec<String> = match more {
            None => Vec::new(),
            Some(answer) => serde_json::from_value(answer).map_err(|_| Error::Unusable {
                what: what(from),
                reason: "its backend does not say what it requires".to_owned(),
            })?,
        };
        if !more.is_empty() {
            let all: Vec<Requirement> = wanted.into_iter().chain(requirements(&more, from)?).collect();
            let pins = self.resolved(&workshop.python, from, &all, pinned).await?;
            if pins != workshop.pins {
                workshop = self.furnished(workshop.python, pins).await?;
            }
        }
        Ok(workshop)
    }

    /// The Python that builds: the target's, or another one, which can build what is pure.
    async fn python(&self, from: &BuiltFrom, supported: Option<&VersionSpecifiers>) -> Result<Python, Error> {
        let (target, named) = (self.target, self.shared.settings.python.clone());
        let cell = once(&self.shared.pythons, &target.python.to_string());
        let find = || blocking(move || Ok(Arc::new(python::find(target, named.as_deref()))));
        let found = cell.get_or_try_init(find).await?;
        let (pythons, tried) = &**found;
        let fits = |python: &&Python| {
            python.target.python == target.python
                || supported.is_none_or(|supported| {
                    python.version.parse::<Version>().is_ok_and(|version| supported.contains(&version))
                })
        };
        pythons.iter().find(fits).cloned().ok_or_else(|| Error::NoPython {
            what: what(from),
            target,
            tried: tried.clone(),
        })
    }

    /// What requirements of a build come to, on the machine that builds, of wheels alone.
    async fn resolved(
        &self,
        python: &Python,
        from: &BuiltFrom,
        requirements: &[Requirement],
        pinned: Option<&[String]>,
    ) -> Result<Vec<Pin>, Error> {
        if requirements.is_empty() {
            return Ok(Vec::new());
        }
        let constraints: Vec<Requirement> = pinned
            .unwrap_or_default()
            .iter()
            .filter_map(|text| Requirement::parse(text, Origin::file("the lock")).ok())
            .collect();
        let (index, options, target) =
            (self.shared.index.clone(), self.shared.settings.options, python.target);
        let (requirements, runtime) = (requirements.to_vec(), Handle::current());
        let solve = move || {
            let source = IndexSource::new(index, runtime);
            let request = resolve::Request {
                requirements: &requirements,
                constraints: &constraints,
                overrides: &[],
                target,
                preferences: &BTreeMap::<PackageName, Version>::new(),
                installed: &BTreeMap::new(),
                hashes: &BTreeMap::<PackageName, Vec<Digest>>::new(),
                options: resolve::Options { strategy: resolve::Strategy::Highest, ..options },
            };
            resolve::resolve(&request, &source)
        };
        let solved = tokio::task::spawn_blocking(solve).await?;
        let mut pins =
            solved.map_err(|source| Error::Requirements { what: what(from), source: Box::new(source) })?.pins;
        for pin in &mut pins {
            pin.archive = self.shared.index.hashed(&pin.archive).await?;
        }
        Ok(pins)
    }

    async fn furnished(&self, python: Python, pins: Vec<Pin>) -> Result<Workshop, Error> {
        let mut wheels: Vec<(Pin, Blob)> = Vec::new();
        for pin in &pins {
            wheels.push((pin.clone(), self.shared.index.fetch(&pin.archive).await?));
        }
        let directory = self.shared.index.store().temporary_directory()?;
        blocking(move || {
            let environment = Environment::make(directory.path(), &python, &wheels)?;
            let caller = directory.path().join("backend.py");
            fs::write(&caller, CALLER).map_err(Error::io("write", &caller))?;
            Ok(Workshop { directory, environment, python, pins })
        })
        .await
    }

    /// Calls a hook; `None` if the backend does not have it.
    async fn hook(
        &self,
        workshop: &Workshop,
        tree: &Arc<Tree>,
        from: &BuiltFrom,
        hook: &'static str,
        arguments: Value,
    ) -> Result<Option<Value>, Error> {
        let _busy = tree.busy.lock().await;
        let _permit = self.shared.processes.acquire().await;
        let directory = workshop.directory.path().to_owned();
        let mut command = workshop.environment.python(&tree.root);
        let backend = &tree.claims.backend;
        let path: Vec<PathBuf> = backend.path.iter().map(|path| tree.root.join(path)).collect();
        let request = json!({ "object": backend.object, "path": path, "hook": hook, "arguments": arguments });
        let (what, limit) = (what(from), self.shared.settings.timeout);
        tracing::debug!(what, hook, "calling the backend");
        blocking(move || {
            let (asked, answered) = (directory.join("request.json"), directory.join(format!("{hook}.json")));
            fs::write(&asked, request.to_string()).map_err(Error::io("write", &asked))?;
            command.arg(directory.join("backend.py")).args([&asked, &answered]);
            let ended = process::run(&mut command, limit, Keep::Tail).map_err(Error::io("run", &asked))?;
            let (step, tail) = (format!("`{hook}` of its backend"), ended.output.trim_end().to_owned());
            let Some(status) = ended.status else { return Err(Error::TimedOut { what, step, limit, tail }) };
            let answer = read_small(&answered, &directory).filter(|_| status.success());
            let answer: Option<Value> = answer.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            match answer {
                Some(answer) if answer["missing"] == true => Ok(None),
                Some(mut answer) => Ok(Some(answer["result"].take())),
                None if status.success() => {
                    Err(Error::Failed { what, step, status: "no answer".to_owned(), tail })
                }
                None => Err(Error::Failed { what, step, status: status.to_string(), tail }),
            }
        })
        .await
    }
}

/// A file's name, if that is what a hook answers.
fn plain_name(answer: &Value) -> Option<&str> {
    answer.as_str().filter(|name| crate::dist::unsafe_path(name).is_none() && !name.contains(['/', '\\']))
}

/// The bytes of a small file below a directory.
fn read_small(path: &Path, below: &Path) -> Option<Vec<u8>> {
    let real = path.canonicalize().ok().filter(|real| real.starts_with(below))?;
    let is_small =
        fs::metadata(&real).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST_ANSWER);
    is_small.then(|| fs::read(&real).ok())?
}

fn requirements(texts: &[String], from: &BuiltFrom) -> Result<Vec<Requirement>, Error> {
    let origin = Origin::file(format!("build-system.requires of {}", what(from)));
    let parse = |text: &String| {
        Requirement::parse(text, origin.clone()).map_err(|error| Error::Unusable {
            what: what(from),
            reason: format!("it needs `{}` to be built: {}", text.escape_debug(), error.message),
        })
    };
    texts.iter().map(parse).collect()
}

/// `Requires-Python` of core metadata.
fn requires_python(text: &str) -> Option<VersionSpecifiers> {
    let headers = text.lines().take_while(|line| !line.is_empty());
    let mut values = headers.filter_map(|line| line.strip_prefix("Requires-Python:"));
    values.next()?.trim().parse().ok()
}
