//! How the project's files want it to be resolved: `[tool.uv]` of a `pyproject.toml` or a `uv.toml` beside it, and
//! `[tool.bakehouse]`, which knows the same names and goes first.

use std::fmt::Display;
use std::str::FromStr;

use super::Error;
use super::toml::Toml;
use crate::model::{Origin, Requirement, Timestamp, parse_requirement};
use crate::resolve::{PrereleaseMode, Strategy};

/// The settings that `[tool.bakehouse]` of any `pyproject.toml` may have for its own dependencies: those of this file, of
/// `indexes` and of `pyproject`.
pub(super) const NAMES: [&str; 19] = [
    "build",
    "constraint-dependencies",
    "dependency-metadata",
    "exclude-dependencies",
    "exclude-newer-package",
    "extra-index-url",
    "extras",
    "find-links",
    "groups",
    "index",
    "index-strategy",
    "index-url",
    "keyring-provider",
    "no-binary",
    "no-binary-package",
    "no-build",
    "no-build-package",
    "no-index",
    "override-dependencies",
];

/// Those that count for the whole project.
pub(super) const WIDE_NAMES: [&str; 3] = ["exclude-newer", "prerelease", "resolution"];

/// How the project's files want it to be resolved. What is absent is left to others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resolving {
    /// When pre-releases may be chosen.
    pub prerelease: Option<PrereleaseMode>,
    /// Which of the versions that will do is chosen.
    pub strategy: Option<Strategy>,
    /// What was uploaded later is not there.
    pub exclude_newer: Option<Timestamp>,
}

/// The tables that may hold a setting; the first that has it counts.
pub(super) struct ResolvingTables<'t> {
    tables: Vec<(&'t Toml, Vec<&'static str>)>,
}

impl<'t> ResolvingTables<'t> {
    /// The settings beside and in a `pyproject.toml`.
    pub fn new(pyproject: &'t Toml, uv: Option<&'t Toml>) -> Self {
        let of_uv = match uv {
            // As uv has it, the file counts instead of the table.
            Some(uv) => (uv, Vec::new()),
            None => (pyproject, vec!["tool", "uv"]),
        };
        Self { tables: vec![(pyproject, vec!["tool", "bakehouse"]), of_uv] }
    }

    /// The tables, those first that go first.
    pub fn all(&self) -> impl Iterator<Item = (&'t Toml, &[&'static str])> {
        self.tables.iter().map(|(toml, table)| (*toml, table.as_slice()))
    }

    /// The places where a setting is.
    pub fn places<'k>(&self, key: &'k str) -> impl Iterator<Item = (&'t Toml, Vec<&'k str>)> {
        let path = |table: &[&'static str]| table.iter().copied().chain([key]).collect::<Vec<&'k str>>();
        let all: Vec<_> = self.tables.iter().map(|(toml, table)| (*toml, path(table))).collect();
        all.into_iter().filter(|(toml, path)| toml.get(path).is_some())
    }

    pub fn string(&self, key: &str) -> Result<Option<(&'t str, Origin)>, Error> {
        self.places(key).next().map_or(Ok(None), |(toml, path)| toml.string(&path))
    }

    /// The strings of all tables.
    pub fn strings(&self, key: &str) -> Result<Vec<(&'t str, Origin)>, Error> {
        let mut all = Vec::new();
        for (toml, path) in self.places(key) {
            all.extend(toml.strings(&path)?.unwrap_or_default());
        }
        Ok(all)
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.places(key).next().map_or(Ok(None), |(toml, path)| toml.bool(&path))
    }

    pub fn parsed<T: FromStr<Err: Display>>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some((text, origin)) = self.string(key)? else { return Ok(None) };
        let parsed =
            text.parse().map_err(|error: T::Err| Error::invalid(origin, format!("`{key}`: {error}")));
        parsed.map(Some)
    }

    /// How to resolve.
    pub fn settings(&self) -> Result<Resolving, Error> {
        Ok(Resolving {
            prerelease: self.parsed("prerelease")?,
            strategy: self.parsed("resolution")?,
            exclude_newer: self.parsed("exclude-newer")?,
        })
    }

    /// The constraints.
    pub fn constraints(&self) -> Result<Vec<Requirement>, Error> {
        let listed = self.strings("constraint-dependencies")?.into_iter();
        listed.map(|(text, origin)| Ok(parse_requirement(text, origin)?)).collect()
    }

    /// The overrides, those included that are never required.
    pub fn overrides(&self) -> Result<Vec<Requirement>, Error> {
        let mut all = Vec::new();
        for (text, origin) in self.strings("override-dependencies")? {
            all.push(parse_requirement(text, origin)?);
        }
        for (name, origin) in self.strings("exclude-dependencies")? {
            all.push(parse_requirement(&format!("{name} ; python_version < '0'"), origin)?);
        }
        Ok(all)
    }

    /// A setting that would change a resolution and is not understood.
    pub fn unsupported(&self) -> Option<(Origin, String)> {
        ["exclude-newer-package", "dependency-metadata"].into_iter().find_map(|key| {
            let (toml, path) = self.places(key).next()?;
            Some((toml.origin(&path), format!("`{}`", path.join("."))))
        })
    }
}
