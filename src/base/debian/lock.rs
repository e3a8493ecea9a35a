//! The lock of a base: exactly which packages it is made of.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use url::Url;

use super::error::Error;
use super::{Recipe, relation, version};
use crate::model::{Digest, Platform, PythonMinor};
use crate::net;

/// The file's name, at the root of a project.
pub const LOCK_FILE: &str = "bakehouse-base.toml";
/// The version of the file's form.
const VERSION: i64 = 1;
/// The most packages of one base.
const MAX_PACKAGES: usize = 5000;

/// What a layer of a base is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The C library, a shell, and the usual tools.
    System,
    /// Certificates of authorities, and time zones: data that change by themselves.
    Data,
    /// Python and the libraries that its standard library needs.
    Python,
    /// What the project asks for, and what that needs.
    Extra,
}

impl Part {
    /// All of them, the lowest layer first.
    pub const ALL: [Self; 4] = [Self::System, Self::Data, Self::Python, Self::Extra];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Data => "data",
            Self::Python => "python",
            Self::Extra => "extra",
        }
    }
}

/// A package of a base.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// The layer it is in.
    pub part: Part,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is on a mirror: `pool/main/b/bash/bash_5.2.15-2+b7_amd64.deb`.
    pub path: String,
    /// Whether that is the mirror of security updates.
    #[serde(default)]
    pub security: bool,
    /// Its size in bytes.
    pub size: u64,
    /// Its hash.
    #[serde(deserialize_with = "hex")]
    pub sha256: Digest,
}

/// The packages of one base: for a suite, a platform, and what else was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedBase {
    /// What they were chosen for.
    pub recipe: Recipe,
    /// The packages, by layer and name.
    pub packages: Vec<LockedPackage>,
}

/// An archive with a Python that a base lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedPython {
    /// The full version.
    pub version: String,
    /// The platform.
    pub platform: Platform,
    /// Where it was found: a URL without credentials, or a path, relative to the project's root if it is below that.
    pub archive: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: Digest,
}

impl LockedPython {
    /// The version without its last number.
    pub fn minor(&self) -> PythonMinor {
        let mut numbers = self.version.split('.').map(|number| number.parse().unwrap_or(0));
        PythonMinor { major: numbers.next().unwrap_or(0), minor: numbers.next().unwrap_or(0) }
    }

    /// Where it was found, as messages have it.
    pub fn shown(&self) -> String {
        self.archive.parse::<Url>().map_or_else(|_| self.archive.clone(), |url| net::redacted(&url))
    }
}

/// A project's bases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseLock {
    /// One for each suite and platform, sorted.
    pub bases: Vec<LockedBase>,
    /// One for each minor version and platform, sorted.
    pub pythons: Vec<LockedPython>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLock {
    version: i64,
    #[serde(default)]
    base: Vec<RawBase>,
    #[serde(default)]
    python: Vec<RawPython>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPython {
    version: String,
    platform: String,
    archive: String,
    size: u64,
    #[serde(deserialize_with = "hex")]
    sha256: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawBase {
    suite: String,
    platform: String,
    security: bool,
    #[serde(default)]
    asked_for: Vec<String>,
    packages: Vec<LockedPackage>,
}

fn hex<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    let text = String::deserialize(deserializer)?;
    Digest::from_hex(&text).map_err(serde::de::Error::custom)
}

impl BaseLock {
    /// Reads a lock; `file` is for messages.
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        let bad = |problem: String| Error::Lock { file: file.to_owned(), problem };
        let raw: RawLock = toml_edit::de::from_str(text).map_err(|error| bad(error.message().to_owned()))?;
        if raw.version != VERSION {
            return Err(bad(format!("its version is {}, and {VERSION} is known", raw.version)));
        }
        let mut lock = Self::default();
        for RawBase { suite, platform, security, asked_for, packages } in raw.base {
            let platform: Platform = platform.parse().map_err(|error| bad(format!("{error}")))?;
            let recipe = Recipe::new(&suite, platform, &asked_for, security)?;
            if packages.len() > MAX_PACKAGES {
                return Err(bad("it lists more packages than a base may have".into()));
            }
            if let Some(package) = packages.iter().find(|package| !package.is_sound()) {
                return Err(bad(format!("`{}` is no package", package.name.escape_debug())));
            }
            lock.insert(LockedBase { recipe, packages });
        }
        for RawPython { version, platform, archive, size, sha256 } in raw.python {
            let platform: Platform = platform.parse().map_err(|error| bad(format!("{error}")))?;
            let numbers = version.split('.').filter(|number| number.parse::<u8>().is_ok()).count();
            if numbers != 3 || version.matches('.').count() != 2 || archive.is_empty() {
                return Err(bad(format!("`{}` is no Python in an archive", version.escape_debug())));
            }
            lock.insert_python(LockedPython { version, platform, archive, size, sha256 });
        }
        Ok(lock)
    }

    /// The packages for a recipe.
    pub fn find(&self, recipe: &Recipe) -> Option<&LockedBase> {
        self.bases.iter().find(|base| base.recipe == *recipe)
    }

    /// Adds a base, in the place of one for the same suite and platform: a project has one of them.
    pub fn insert(&mut self, base: LockedBase) {
        let place = |recipe: &Recipe| (recipe.suite.clone(), recipe.platform);
        self.bases.retain(|known| place(&known.recipe) != place(&base.recipe));
        self.bases.push(base);
        self.bases.sort_by(|a, b| a.recipe.cmp(&b.recipe));
    }

    /// Adds a Python, in the place of one of the same minor version and platform.
    pub fn insert_python(&mut self, python: LockedPython) {
        let place = |python: &LockedPython| (python.platform, python.minor());
        self.pythons.retain(|known| place(known) != place(&python));
        self.pythons.push(python);
        self.pythons.sort_by_key(place);
    }

    /// The file's text: a line a package.
    pub fn to_toml(&self) -> String {
        let mut text = String::from(
            "# What the base image is made of, written by bakehouse. Keep this file with the project: builds use exactly\n\
             # these packages and archives until `bakehouse lock --upgrade`.\n",
        );
        let _ = writeln!(text, "version = {VERSION}");
        for LockedBase { recipe, packages } in &self.bases {
            // The texts were checked to hold nothing that would have to be escaped.
            let asked: Vec<String> = recipe.packages.iter().map(|name| format!("\"{name}\"")).collect();
            let (suite, security) = (&recipe.suite, recipe.security);
            let _ = write!(text, "\n[[base]]\nsuite = \"{suite}\"\nplatform = \"{}\"\n", recipe.platform);
            let _ = write!(text, "security = {security}\nasked-for = [{}]\npackages = [\n", asked.join(", "));
            for LockedPackage { part, name, version, path, security, size, sha256 } in packages {
                let security = if *security { ", security = true" } else { "" };
                let _ = writeln!(
                    text,
                    "    {{ part = \"{}\", name = \"{name}\", version = \"{version}\", path = \"{path}\"{security}, size = {size}, sha256 = \"{}\" }},",
                    part.name(),
                    sha256.hex(),
                );
            }
            text.push_str("]\n");
        }
        for LockedPython { version, platform, archive, size, sha256 } in &self.pythons {
            let archive = toml_edit::Value::from(archive.as_str());
            let _ = write!(
                text,
                "\n[[python]]\nversion = \"{version}\"\nplatform = \"{platform}\"\narchive = {archive}\nsize = {size}\nsha256 = \"{}\"\n",
                sha256.hex()
            );
        }
        text
    }
}

impl LockedPackage {
    /// Whether its texts are such as they may be.
    pub(super) fn is_sound(&self) -> bool {
        let legal = |c: char| c.is_ascii_alphanumeric() || "/._+-~%:".contains(c);
        relation::is_name(&self.name)
            && version::is_version(&self.version)
            && self.path.starts_with("pool/")
            && self.path.len() < 1000
            && self.path.chars().all(legal)
            && !self.path.split('/').any(|part| matches!(part, "" | "." | ".."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_reads_what_it_wrote() {
        let platform: Platform = "linux/amd64".parse().unwrap();
        let package = |name: &str, part| LockedPackage {
            part,
            name: name.to_owned(),
            version: "1:2.0-1~x+b1".to_owned(),
            path: format!("pool/main/x/{name}_2.0-1~x+b1_amd64.deb"),
            security: part == Part::Python,
            size: 7,
            sha256: Digest::of(name.as_bytes()),
        };
        let mut lock = BaseLock::default();
        for suite in ["trixie", "bookworm"] {
            let recipe = Recipe::new(suite, platform, &["libgomp1".to_owned()], true).unwrap();
            let packages = vec![package("libc6", Part::System), package("python3", Part::Python)];
            lock.insert(LockedBase { recipe, packages });
        }
        for (version, archive) in
            [("3.12.5", "https://mirror.example/a+b.tar.gz"), ("3.14.0", "odd \"name\".tar")]
        {
            let (archive, sha256) = (archive.to_owned(), Digest::of(version.as_bytes()));
            lock.insert_python(LockedPython {
                version: version.to_owned(),
                platform,
                archive,
                size: 1,
                sha256,
            });
        }
        let text = lock.to_toml();
        assert_eq!(BaseLock::parse(&text, "x").unwrap(), lock);
        let recipe = Recipe::new("trixie", platform, &[], true).unwrap();
        assert!(lock.find(&recipe).is_none());
        for (from, to) in [
            ("pool/main/x/libc6", "pool/../etc"),
            ("name = \"libc6\"", "name = \"../x\""),
            ("version = 1", "version = 2"),
            ("linux/amd64", "linux/vax"),
            ("3.12.5", "3.12"),
        ] {
            let error = BaseLock::parse(&text.replacen(from, to, 1), "x").unwrap_err();
            assert_eq!(error.exit_code(), crate::model::ExitCode::StaleLock, "{to}");
        }
    }
}
