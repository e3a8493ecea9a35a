//! Package indexes that TOML files name, and the credentials for them.
//!
//! A file of the project names an index; who may read it is told by variables, so that no file holds a password:
//! `UV_INDEX_NAME_USERNAME` and `UV_INDEX_NAME_PASSWORD` for the index `name`, as uv has it, or `${VARIABLE}` in a URL
//! under `[tool.bakehouse]`.

use toml_edit::{Item, TableLike};
use url::Url;

use super::source::Root;
use super::toml::Toml;
use super::{Error, IndexSettings};
use crate::model::{Origin, Variables};

/// The indexes of `[tool.uv]` and `[tool.bakehouse]`.
pub(super) fn read(toml: &Toml, variables: Variables<'_>) -> Result<IndexSettings, Error> {
    let mut settings = IndexSettings::default();
    if let Some((text, origin)) = toml.string(&["tool", "uv", "index-url"])? {
        settings.index_url = Some((parse(text, &origin)?, origin));
    }
    for (text, origin) in toml.strings(&["tool", "uv", "extra-index-url"])?.unwrap_or_default() {
        settings.extra_index_urls.push((parse(text, &origin)?, origin));
    }
    for (table, origin) in tables(toml, &["tool", "uv", "index"]) {
        // An explicit index serves only `[tool.uv.sources]`.
        if !flag(table, "explicit") {
            add(&mut settings, toml, table, origin, &|text, _| Ok(text.to_owned()), variables)?;
        }
    }
    let mut own = IndexSettings::default();
    for (table, origin) in tables(toml, &["tool", "bakehouse", "index"]) {
        add(&mut own, toml, table, origin, &|text, origin| expand(text, origin, variables), variables)?;
    }
    settings.merge(own)?;
    Ok(settings)
}

/// The tables of an array, with where they are.
fn tables<'t>(toml: &'t Toml, path: &[&str]) -> Vec<(&'t dyn TableLike, Origin)> {
    match toml.get(path) {
        None => Vec::new(),
        Some(Item::ArrayOfTables(tables)) => {
            tables.iter().map(|table| (table as &dyn TableLike, toml.at(table.span()))).collect()
        }
        Some(item) => {
            let entries = item.as_array().into_iter().flatten();
            let entries = entries.filter_map(|value| Some((value.as_inline_table()?, toml.at(value.span()))));
            entries.map(|(table, origin)| (table as &dyn TableLike, origin)).collect()
        }
    }
}

fn flag(table: &dyn TableLike, key: &str) -> bool {
    table.get(key).and_then(Item::as_bool) == Some(true)
}

/// Adds the index of one table: `url`, `name`, `default`.
fn add(
    settings: &mut IndexSettings,
    toml: &Toml,
    table: &dyn TableLike,
    origin: Origin,
    expand: &dyn Fn(&str, &Origin) -> Result<String, Error>,
    variables: Variables<'_>,
) -> Result<(), Error> {
    let Some((text, span)) = table.get("url").and_then(|item| Some((item.as_str()?, item.span()))) else {
        return Err(Error::invalid(origin, "an index must have a `url`"));
    };
    let origin = toml.at(span);
    let mut url = parse(&expand(text, &origin)?, &origin)?;
    if let Some(name) = table.get("name").and_then(Item::as_str) {
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        let value =
            |part: &str| variables(&format!("UV_INDEX_{name}_{part}")).filter(|value| !value.is_empty());
        // Both fail only for URLs that can have neither, such as those of files.
        if let Some(user) = value("USERNAME") {
            let _ = url.set_username(&user);
        }
        if let Some(password) = value("PASSWORD") {
            let _ = url.set_password(Some(&password));
        }
    }
    if flag(table, "default") {
        settings.index_url = Some((url, origin));
    } else {
        settings.extra_index_urls.push((url, origin));
    }
    Ok(())
}

fn parse(text: &str, origin: &Origin) -> Result<Url, Error> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http" | "file") => Ok(url),
        _ => Err(Error::invalid(origin.clone(), "this is not the URL of an index")),
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
    for (url, origin) in settings.index_url.iter().chain(&settings.extra_index_urls) {
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
