//! Lines that name an archive, a directory or a repository instead of a distribution: its name is found where that tells.

use toml_edit::{Document, Item};
use url::Url;

use super::text::{join, shown};
use super::{Parser, RequirementsTxtError};
use crate::model::{Origin, PackageName, WheelName};

/// Archives of sources.
const ARCHIVES: [&str; 3] = [".tar.gz", ".tgz", ".zip"];

impl<E: From<RequirementsTxtError>> Parser<'_, E> {
    /// The requirement by name that a line stands for which names sources, or a wheel, by a path or a URL: `NAME @ URL`.
    pub(super) fn by_place(&mut self, text: &str, origin: &Origin) -> Result<Option<String>, E> {
        let (named, place) = match text.split_once('@') {
            // `NAME @ ./path`, which the standard does not have, but everyone understands.
            Some((name, place)) if is_name(name) && is_path(place.trim_start()) => {
                (Some(name.trim()), place.trim_start())
            }
            _ => (None, text),
        };
        let end = place.find([' ', '\t', ';']).unwrap_or(place.len());
        let (place, rest) = place.split_at(end);
        let (place, extras) = match place.strip_suffix(']').and_then(|place| place.split_once('[')) {
            Some((place, extras)) => (place, format!("[{extras}]")),
            None => (place, String::new()),
        };
        let Some((url, found)) = self.place(place, named.is_some(), origin)? else { return Ok(None) };
        let name = match (named, found) {
            (Some(name), _) => name.to_owned(),
            (None, Some(name)) => format!("{name}{extras}"),
            (None, None) => {
                return Err(RequirementsTxtError::Unsupported {
                    origin: origin.clone(),
                    what: format!("`{}`, which does not tell the distribution's name,", shown(place)),
                    hint: "write `NAME @ …` before it",
                }
                .into());
            }
        };
        // A marker needs white space before it, or it would be a part of the URL.
        Ok(Some(format!("{name} @ {url} {}", rest.trim())))
    }

    /// The URL of a place, and the name of the distribution there if it is wanted and told; nothing if it is no place.
    fn place(
        &mut self,
        place: &str,
        named: bool,
        origin: &Origin,
    ) -> Result<Option<(String, Option<PackageName>)>, E> {
        if place.starts_with("git+") || place.starts_with("https://") || place.starts_with("http://") {
            return Ok(Some((place.to_owned(), of_url(place))));
        }
        if !is_path(place) || named && place.starts_with("file:") {
            return Ok(None);
        }
        let path = join(&origin.file, place.strip_prefix("file:").unwrap_or(place));
        let Some(url) = (self.locate)(&path) else {
            let problem = format!("the project has no file or directory `{}`", shown(place));
            return Err(RequirementsTxtError::Option { origin: origin.clone(), problem }.into());
        };
        if (self.locate)("").is_some_and(|root| root == url) {
            return Err(RequirementsTxtError::Unsupported {
                origin: origin.clone(),
                what: "the project itself as a requirement".to_owned(),
                hint: "its code is in the image anyway: list its dependencies in pyproject.toml, or here",
            }
            .into());
        }
        let name = if url.path().ends_with('/') { self.name_in(&path, origin) } else { of_file(&path) };
        Ok(Some((url.into(), name)))
    }

    /// The name that the sources in a directory state.
    fn name_in(&mut self, directory: &str, origin: &Origin) -> Option<PackageName> {
        let mut read = |file: &str| (self.read)(&format!("{directory}/{file}"), Some(origin)).ok();
        let of_pyproject = read("pyproject.toml").and_then(|text| project_name(&text));
        of_pyproject.or_else(|| setup_name(&read("setup.cfg")?))
    }
}

/// The name that a `pyproject.toml` states.
pub(crate) fn project_name(text: &str) -> Option<PackageName> {
    let document = Document::parse(text).ok()?;
    let name = |path: &[&str]| {
        let mut item = document.get(path[0])?;
        for key in &path[1..] {
            item = item.get(key)?;
        }
        Item::as_str(item)?.parse().ok()
    };
    name(&["project", "name"]).or_else(|| name(&["tool", "poetry", "name"]))
}

/// The name that a `setup.cfg` states.
fn setup_name(text: &str) -> Option<PackageName> {
    let section = text.lines().skip_while(|line| line.trim() != "[metadata]").skip(1);
    let mut lines = section.take_while(|line| !line.starts_with('['));
    lines.find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "name").then(|| value.trim().parse().ok())?
    })
}

fn is_name(text: &str) -> bool {
    let name = text.trim().split('[').next().unwrap_or_default().trim();
    name.parse::<PackageName>().is_ok()
}

/// Whether a text is a path: it begins like one, or has a separator, and is no URL.
fn is_path(text: &str) -> bool {
    let first = text.split([' ', '\t', ';']).next().unwrap_or_default();
    let is_archive = || ARCHIVES.iter().any(|end| first.ends_with(end));
    !first.contains("://")
        && !first.contains('@')
        && (first.contains('/') || first.starts_with('.') || is_archive())
}

/// The name in a URL: that of the file, or what follows `#egg=`.
fn of_url(text: &str) -> Option<PackageName> {
    let url: Url = text.parse().ok()?;
    let mut parts = url.fragment().unwrap_or_default().split('&');
    let egg = parts.find_map(|part| part.strip_prefix("egg=")?.split('[').next()?.parse().ok());
    egg.or_else(|| of_file(url.path()).filter(|_| !text.starts_with("git+")))
}

/// The name in a file's name: `NAME-VERSION.tar.gz`, or a wheel's.
fn of_file(path: &str) -> Option<PackageName> {
    let file = path.rsplit('/').next()?;
    if let Ok(wheel) = file.parse::<WheelName>() {
        return Some(wheel.name);
    }
    let stem = ARCHIVES.iter().find_map(|end| file.strip_suffix(end))?;
    let (name, version) = stem.rsplit_once('-')?;
    // An archive of a branch or tag, `v1.0.zip`, names no distribution.
    version.parse::<crate::model::Version>().ok().and_then(|_| name.parse().ok())
}
