//! What bases are made of, where the program makes them: `debian-…` and `python-archives` in `[bakehouse]` of
//! `obproject.toml` and in `[tool.bakehouse]` of `pyproject.toml`; the former goes first.

use std::path::PathBuf;

use url::Url;

use super::Error;
use super::source::Root;
use super::toml::Toml;
use crate::model::Origin;

/// The names of these settings.
pub(super) const NAMES: [&str; 9] = [
    "debian-keyring",
    "debian-mirror",
    "debian-packages",
    "debian-security",
    "debian-security-mirror",
    "debian-security-suite",
    "debian-snapshot",
    "debian-suite",
    "python-archives",
];

/// What the project's files say of what bases are made of. What is absent is left to others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseSettings {
    /// The suite to use where nothing names a base.
    pub debian_suite: Option<String>,
    /// Further packages.
    pub debian_packages: Vec<String>,
    /// The mirror of Debian's archive.
    pub debian_mirror: Option<Url>,
    /// The mirror of security updates.
    pub debian_security_mirror: Option<Url>,
    /// The suite of security updates.
    pub debian_security_suite: Option<String>,
    /// A mirror that keeps what the others drop.
    pub debian_snapshot: Option<Url>,
    /// The file with the keys that release files are signed with.
    pub debian_keyring: Option<PathBuf>,
    /// Whether security updates are taken.
    pub debian_security: Option<bool>,
    /// Where Pythons come from that a base lacks, each with the place that names it.
    pub python_archives: Vec<(String, Origin)>,
}

impl BaseSettings {
    /// Reads a table, if it is there.
    pub(super) fn read(root: &Root, toml: &Toml, table: &[&str]) -> Result<Self, Error> {
        let path = |key| [table, &[key]].concat();
        let name = |key| -> Result<Option<String>, Error> {
            let Some((text, origin)) = toml.string(&path(key))? else { return Ok(None) };
            plain(text, &origin, key).map(Some)
        };
        let url = |key| -> Result<Option<Url>, Error> {
            let Some((text, origin)) = toml.string(&path(key))? else { return Ok(None) };
            address(text, origin, key).map(Some)
        };
        let mut packages = Vec::new();
        for (text, origin) in toml.strings(&path("debian-packages"))?.unwrap_or_default() {
            packages.push(plain(text, &origin, "debian-packages")?);
        }
        let keyring = match toml.string(&path("debian-keyring"))? {
            None => None,
            Some((text, origin)) if !root.is_file(text) => {
                return Err(Error::NoFile { origin, file: text.to_owned() });
            }
            Some((text, _)) => Some(root.path.join(text)),
        };
        let archives = toml.strings(&path("python-archives"))?.unwrap_or_default();
        Ok(Self {
            debian_suite: name("debian-suite")?,
            debian_packages: packages,
            debian_mirror: url("debian-mirror")?,
            debian_security_mirror: url("debian-security-mirror")?,
            debian_security_suite: name("debian-security-suite")?,
            debian_snapshot: url("debian-snapshot")?,
            debian_keyring: keyring,
            debian_security: toml.bool(&path("debian-security"))?,
            python_archives: archives.into_iter().map(|(text, origin)| (text.to_owned(), origin)).collect(),
        })
    }

    /// These settings, laid over others: packages and archives of both, otherwise what is said here.
    #[must_use]
    pub(super) fn over(mut self, lower: Self) -> Self {
        self.debian_packages.extend(lower.debian_packages);
        self.python_archives.extend(lower.python_archives);
        Self {
            debian_suite: self.debian_suite.or(lower.debian_suite),
            debian_packages: self.debian_packages,
            debian_mirror: self.debian_mirror.or(lower.debian_mirror),
            debian_security_mirror: self.debian_security_mirror.or(lower.debian_security_mirror),
            debian_security_suite: self.debian_security_suite.or(lower.debian_security_suite),
            debian_snapshot: self.debian_snapshot.or(lower.debian_snapshot),
            debian_keyring: self.debian_keyring.or(lower.debian_keyring),
            debian_security: self.debian_security.or(lower.debian_security),
            python_archives: self.python_archives,
        }
    }
}

/// The name of a suite or a package.
fn plain(text: &str, origin: &Origin, key: &str) -> Result<String, Error> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !starts || text.len() > 100 || !text.chars().all(legal) {
        let shown: String = text.chars().take(100).collect();
        let problem = format!("`{key}`: `{}` is no name that Debian gives", shown.escape_debug());
        return Err(Error::invalid(origin.clone(), problem));
    }
    Ok(text.to_owned())
}

/// The URL of a mirror. The files of a project are in its image, so none with a password.
fn address(text: &str, origin: Origin, key: &str) -> Result<Url, Error> {
    let wrong = |problem: &str| Error::invalid(origin.clone(), format!("`{key}`: {problem}"));
    let url: Url = text.parse().map_err(|_| wrong("expected a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("expected a URL that starts with http:// or https://"));
    }
    if url.password().is_some() || !url.username().is_empty() {
        return Err(wrong(
            "a mirror's password does not belong into a file: give the URL by option or variable",
        ));
    }
    Ok(url)
}
