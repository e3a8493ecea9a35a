//! Package indexes that TOML files name, and the credentials for them.
//!
//! A file of the project names an index; who may read it is told by variables, so that no file holds a password:
//! `UV_INDEX_NAME_USERNAME` and `UV_INDEX_NAME_PASSWORD` for the index `name`, as uv has it, or `${VARIABLE}` in a URL
//! under `[tool.bakehouse]`.

use std::collections::BTreeMap;

use toml_edit::{Item, TableLike};
use url::Url;

use super::resolving::ResolvingTables;
use super::source::Root;
use super::toml::Toml;
use super::{Error, IndexSettings};
use crate::model::{Building, Origin, Said, Variables};

/// The indexes, and those that have a name by it.
pub(super) fn read(
    tables: &ResolvingTables<'_>,
    root: &Root,
    variables: Variables<'_>,
) -> Result<(IndexSettings, BTreeMap<String, Url>), Error> {
    let mut settings = IndexSettings {
        no_index: tables.flag("no-index")?.unwrap_or_default(),
        strategy: tables.parsed("index-strategy")?,
        keyring: tables.string("keyring-provider")?.map(|(provider, _)| provider == "subprocess"),
        building: building(tables)?,
        ..IndexSettings::default()
    };
    let mut named = BTreeMap::new();
    for (toml, table) in tables.all() {
        let reader = Reader { root, variables, expands: table.contains(&"bakehouse") };
        let own = reader.read(toml, table, &mut named)?;
        settings.merge(own)?;
    }
    Ok((settings, named))
}

/// Which packages may be built from their sources: `build`, `no-build` and `no-binary`, each a flag or names; uv has the
/// names in `no-build-package` and `no-binary-package`.
fn building(tables: &ResolvingTables<'_>) -> Result<Building, Error> {
    let mut all = Building::default();
    for (toml, table) in tables.all() {
        let mut own = Building::default();
        let words = [
            ("build", Said::Build),
            ("no-build", Said::NoBuild),
            ("no-build-package", Said::NoBuild),
            ("no-binary", Said::NoBinary),
            ("no-binary-package", Said::NoBinary),
        ];
        // uv builds unless it is told not to, so it has no word for it.
        let is_ours = table.contains(&"bakehouse");
        for (key, said) in words.into_iter().filter(|(_, said)| is_ours || *said != Said::Build) {
            let path = [table, &[key]].concat();
            match toml.get(&path) {
                Some(item) if item.is_bool() => {
                    if toml.bool(&path)? == Some(true) {
                        own.say_all(said);
                    }
                }
                _ => {
                    for (text, origin) in toml.strings(&path)?.unwrap_or_default() {
                        own.say(said, text)
                            .map_err(|error| Error::invalid(origin, format!("`{key}`: {error}")))?;
                    }
                }
            }
        }
        all = all.over(&own);
    }
    Ok(all)
}

/// How the texts of a table are read.
struct Reader<'r> {
    root: &'r Root,
    variables: Variables<'r>,
    /// Whether `${VARIABLE}` stands for its value.
    expands: bool,
}

impl Reader<'_> {
    fn read(
        &self,
        toml: &Toml,
        table: &[&str],
        named: &mut BTreeMap<String, Url>,
    ) -> Result<IndexSettings, Error> {
        let path = |key| [table, &[key]].concat();
        let mut settings = IndexSettings::default();
        if let Some((text, origin)) = toml.string(&path("index-url"))? {
            settings.index_url = Some((self.index(text, &origin)?, origin));
        }
        for (text, origin) in toml.strings(&path("extra-index-url"))?.unwrap_or_default() {
            settings.extra_index_urls.push((self.index(text, &origin)?, origin));
        }
        for (text, origin) in toml.strings(&path("find-links"))?.unwrap_or_default() {
            settings.find_links.push((self.links(text, &origin)?, origin));
        }
        for (table, origin) in super::toml::tables(toml, &path("index")) {
            self.add(&mut settings, toml, (table, origin), named)?;
        }
        Ok(settings)
    }

    /// Adds the index of one table: `url`, `name`, `default`, `format`, `explicit`.
    fn add(
        &self,
        settings: &mut IndexSettings,
        toml: &Toml,
        (table, origin): (&dyn TableLike, Origin),
        named: &mut BTreeMap<String, Url>,
    ) -> Result<(), Error> {
        let flag = |key: &str| table.get(key).and_then(Item::as_bool) == Some(true);
        let text = |key: &str| table.get(key).and_then(Item::as_str);
        let Some(address) = text("url") else {
            return Err(Error::invalid(origin, "an index must have a `url`"));
        };
        let origin = toml.at(table.get("url").and_then(Item::span));
        let is_flat = text("format") == Some("flat");
        let mut url = if is_flat { self.links(address, &origin)? } else { self.index(address, &origin)? };
        if let Some(name) = text("name") {
            add_credentials(&mut url, name, self.variables);
            named.entry(name.to_owned()).or_insert_with(|| url.clone());
        }
        match (flag("explicit"), is_flat, flag("default")) {
            // Only `[tool.uv.sources]` uses it.
            (true, ..) => {}
            (_, true, _) => settings.find_links.push((url, origin)),
            (.., true) => settings.index_url = Some((url, origin)),
            _ => settings.extra_index_urls.push((url, origin)),
        }
        Ok(())
    }

    /// The URL of an index.
    fn index(&self, text: &str, origin: &Origin) -> Result<Url, Error> {
        match Url::parse(&self.expanded(text, origin)?) {
            Ok(url) if matches!(url.scheme(), "https" | "http" | "file") => Ok(url),
            _ => Err(Error::invalid(origin.clone(), "this is not the URL of an index")),
        }
    }

    /// The URL of a list of links: a page, or a directory of the project.
    fn links(&self, text: &str, origin: &Origin) -> Result<Url, Error> {
        if text.contains("://") {
            return self.index(text, origin);
        }
        let found = self.root.locate(text).filter(|url| url.path().ends_with('/'));
        found.ok_or_else(|| Error::invalid(origin.clone(), format!("the project has no directory `{text}`")))
    }

    fn expanded(&self, text: &str, origin: &Origin) -> Result<String, Error> {
        if self.expands { expand(text, origin, self.variables) } else { Ok(text.to_owned()) }
    }
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

/// A text with `${VARIABLE}` replaced. One that is not set is an error: without it the URL would be another one.
fn expand(text: &str, origin: &Origin, variables: Variables<'_>) -> Result<String, Error> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { break };
        let Some(value) = variables(name) else {
            let problem = format!("the variable `{}` is not set", name.escape_debug());
            return Err(Error::invalid(origin.clone(), problem));
        };
        out = out + before + &value;
        rest = after;
    }
    Ok(out + rest)
}

/// The files of the project whose text holds the password of an index that they name: they stay out of images. What came
/// from a variable is in no file.
pub(super) fn files_with_passwords(root: &Root, settings: &IndexSettings) -> Vec<(String, Origin)> {
    let mut found: Vec<(String, Origin)> = Vec::new();
    for (url, origin) in
        settings.index_url.iter().chain(&settings.extra_index_urls).chain(&settings.find_links)
    {
        // A user without a password is how a token is written.
        let secret = url.password().unwrap_or(url.username());
        let Ok(text) = root.read(&origin.file, None) else { continue };
        let line = origin.line.and_then(|line| text.lines().nth(line.saturating_sub(1) as usize));
        if !secret.is_empty()
            && line.unwrap_or(&text).contains(&format!("{secret}@"))
            && found.iter().all(|(file, _)| *file != origin.file)
        {
            found.push((origin.file.clone(), origin.clone()));
        }
    }
    found
}
