//! How the project's files want it to be resolved: `[tool.uv]` of a `pyproject.toml` or a `uv.toml` beside it, and
//! `[tool.bakehouse]`, which knows the same names and goes first.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use toml_edit::{Item, TableLike};
use url::Url;

use super::source::Root;
use super::toml::Toml;
use super::{Error, IndexSettings};
use crate::model::{Origin, Requirement, Timestamp, Variables, parse_requirement};
use crate::resolve::{PrereleaseMode, Strategy};

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
pub(super) struct Settings<'t> {
    tables: Vec<(&'t Toml, Vec<&'static str>)>,
}

impl<'t> Settings<'t> {
    /// The settings beside and in a `pyproject.toml`.
    pub fn new(pyproject: &'t Toml, uv: Option<&'t Toml>) -> Self {
        let of_uv = match uv {
            // As uv has it, the file counts instead of the table.
            Some(uv) => (uv, Vec::new()),
            None => (pyproject, vec!["tool", "uv"]),
        };
        Self { tables: vec![(pyproject, vec!["tool", "bakehouse"]), of_uv] }
    }

    /// The places where a setting is.
    fn places<'k>(&self, key: &'k str) -> impl Iterator<Item = (&'t Toml, Vec<&'k str>)> {
        let path = |table: &[&'static str]| table.iter().copied().chain([key]).collect::<Vec<&'k str>>();
        let all: Vec<_> = self.tables.iter().map(|(toml, table)| (*toml, path(table))).collect();
        all.into_iter().filter(|(toml, path)| toml.get(path).is_some())
    }

    fn string(&self, key: &str) -> Result<Option<(&'t str, Origin)>, Error> {
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

    fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.places(key).next().map_or(Ok(None), |(toml, path)| toml.bool(&path))
    }

    fn parsed<T: FromStr<Err: Display>>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some((text, origin)) = self.string(key)? else { return Ok(None) };
        let parsed =
            text.parse().map_err(|error: T::Err| Error::invalid(origin, format!("`{key}`: {error}")));
        parsed.map(Some)
    }

    /// How to resolve.
    pub fn resolving(&self) -> Result<Resolving, Error> {
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

    /// The indexes, and those that have a name by it.
    pub fn indexes(
        &self,
        root: &Root,
        variables: Variables<'_>,
    ) -> Result<(IndexSettings, BTreeMap<String, Url>), Error> {
        let mut settings = IndexSettings {
            no_index: self.flag("no-index")?.unwrap_or_default(),
            strategy: self.parsed("index-strategy")?,
            keyring: self.string("keyring-provider")?.map(|(provider, _)| provider == "subprocess"),
            ..IndexSettings::default()
        };
        if let Some((text, origin)) = self.string("index-url")? {
            settings.index_url = Some((web_url(text, &origin)?, origin));
        }
        for (text, origin) in self.strings("extra-index-url")? {
            settings.extra_index_urls.push((web_url(text, &origin)?, origin));
        }
        for (text, origin) in self.strings("find-links")? {
            settings.find_links.push((links_url(root, text, &origin)?, origin));
        }
        let mut named = BTreeMap::new();
        for (toml, path) in self.places("index") {
            for (table, origin) in tables(toml, &path) {
                let flag = |key: &str| table.get(key).and_then(Item::as_bool) == Some(true);
                let text = |key: &str| table.get(key).and_then(Item::as_str);
                let Some(address) = text("url") else {
                    return Err(Error::invalid(origin, "an index must have a `url`"));
                };
                let origin = toml.at(table.get("url").and_then(Item::span));
                let is_flat = text("format") == Some("flat");
                let mut url = match is_flat {
                    true => links_url(root, address, &origin)?,
                    false => web_url(address, &origin)?,
                };
                if let Some(name) = text("name") {
                    add_credentials(&mut url, name, variables);
                    named.entry(name.to_owned()).or_insert_with(|| url.clone());
                }
                match (flag("explicit"), is_flat, flag("default")) {
                    // Only `[tool.uv.sources]` uses it.
                    (true, ..) => {}
                    (_, true, _) => settings.find_links.push((url, origin)),
                    (.., true) => settings.index_url = Some((url, origin)),
                    _ => settings.extra_index_urls.push((url, origin)),
                }
            }
        }
        Ok((settings, named))
    }
}

/// The tables of an array, however it is written, or the one table.
pub(super) fn tables<'t>(toml: &'t Toml, path: &[&str]) -> Vec<(&'t dyn TableLike, Origin)> {
    match toml.get(path) {
        None => Vec::new(),
        Some(Item::ArrayOfTables(tables)) => {
            tables.iter().map(|table| (table as &dyn TableLike, toml.at(table.span()))).collect()
        }
        Some(item) => {
            if let Some(table) = item.as_table_like() {
                return vec![(table, toml.origin(path))];
            }
            let entries = item.as_array().into_iter().flatten();
            let entries = entries.filter_map(|value| Some((value.as_inline_table()?, toml.at(value.span()))));
            entries.map(|(table, origin)| (table as &dyn TableLike, origin)).collect()
        }
    }
}

/// The URL of an index.
fn web_url(text: &str, origin: &Origin) -> Result<Url, Error> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http" | "file") => Ok(url),
        _ => Err(Error::invalid(origin.clone(), "this is not the URL of an index")),
    }
}

/// The URL of a list of links: a page, or a directory of the project.
fn links_url(root: &Root, text: &str, origin: &Origin) -> Result<Url, Error> {
    if text.contains("://") {
        return web_url(text, origin);
    }
    let found = root.locate(text).filter(|url| url.path().ends_with('/'));
    found.ok_or_else(|| Error::invalid(origin.clone(), format!("the project has no directory `{text}`")))
}

/// Adds what `UV_INDEX_NAME_USERNAME` and `UV_INDEX_NAME_PASSWORD` say, if they are set.
fn add_credentials(url: &mut Url, name: &str, variables: Variables<'_>) {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let value = |what: &str| variables(&format!("UV_INDEX_{name}_{what}")).filter(|value| !value.is_empty());
    // Both fail only for URLs that can have none.
    if let Some(user) = value("USERNAME") {
        let _ = url.set_username(&user);
    }
    if let Some(password) = value("PASSWORD") {
        let _ = url.set_password(Some(&password));
    }
}
