//! `[tool.uv.sources]`: where single dependencies come from.

use std::collections::BTreeMap;

use toml_edit::{Item, TableLike};
use url::Url;

use super::source::Root;
use super::toml::{Toml, tables};
use super::{Error, IndexPin, Selection, glob};
use crate::model::{
    MarkerTree, Origin, PackageName, Requirement, VersionOrUrl, Warning, parse_requirement, project_name,
};

const SOURCES: [&str; 3] = ["tool", "uv", "sources"];

/// What sources are read with.
pub(super) struct Sources<'t> {
    pub toml: &'t Toml,
    pub root: &'t Root,
    /// The indexes that have a name.
    pub named: &'t BTreeMap<String, Url>,
    pub selection: &'t Selection,
    /// Whether what is not understood is an error. Otherwise it is a warning: the platform's client ignores it.
    pub strict: bool,
}

impl Sources<'_> {
    /// Applies the sources to the requirements that they are for, and gives the packages that come from one index.
    pub fn apply(
        &self,
        requirements: &mut [Requirement],
        warnings: &mut Vec<Warning>,
    ) -> Result<Vec<IndexPin>, Error> {
        let mut pins = Vec::new();
        let Some(table) = self.toml.table(&SOURCES)? else { return Ok(pins) };
        for requirement in requirements {
            let name = requirement.pep508.name.clone();
            let key = table
                .iter()
                .map(|(key, _)| key)
                .find(|key| key.parse().is_ok_and(|key: PackageName| key == name));
            let Some(key) = key else { continue };
            let path = [&SOURCES[..], &[key]].concat();
            for (source, origin) in tables(self.toml, &path) {
                if !self.is_chosen(source) {
                    continue;
                }
                match self.one(source, &name, &origin, requirement) {
                    Ok(pin) => pins.extend(pin),
                    Err(error) if self.strict => return Err(error),
                    Err(_) => {
                        let what = path.join(".");
                        let message = format!("`{what}` is ignored, as the platform's client does");
                        warnings.push(Warning::at(self.toml.origin(&path), message));
                    }
                }
            }
        }
        Ok(pins)
    }

    /// Whether a source is for what is installed: one may be for an extra or a group alone.
    fn is_chosen(&self, source: &dyn TableLike) -> bool {
        let text = |key: &str| source.get(key).and_then(Item::as_str);
        let holds = |all: &[String], one: Option<&str>| {
            one.is_none_or(|one| all.iter().any(|known| super::groups::same(known, one)))
        };
        holds(&self.selection.extras, text("extra")) && holds(&self.selection.groups, text("group"))
    }

    /// The directory of a member of the workspace that the project's top is.
    fn member(&self, name: &PackageName) -> Result<Option<Url>, Error> {
        let Some(text) = self.root.read_optional("pyproject.toml")? else { return Ok(None) };
        let top = Toml::parse("pyproject.toml", text)?;
        let patterns = top.strings(&["tool", "uv", "workspace", "members"])?.unwrap_or_default();
        for (pattern, _) in patterns {
            // Only the last part is a pattern, as nearly everywhere.
            let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
            let (folder, last) = pattern.rsplit_once('/').unwrap_or(("", pattern));
            for member in self.root.list(folder)?.iter().filter(|one| glob::matches_name(last, one)) {
                let member = format!("{folder}/{member}").trim_start_matches('/').to_owned();
                let text = self.root.read_optional(&format!("{member}/pyproject.toml"))?;
                if text.and_then(|text| project_name(&text)).as_ref() == Some(name) {
                    return Ok(self.root.locate(&member));
                }
            }
        }
        Ok(None)
    }

    fn one(
        &self,
        source: &dyn TableLike,
        name: &PackageName,
        origin: &Origin,
        requirement: &mut Requirement,
    ) -> Result<Option<IndexPin>, Error> {
        let text = |key: &str| source.get(key).and_then(Item::as_str);
        let marker = match text("marker") {
            None => MarkerTree::TRUE,
            Some(marker) => marker.parse().map_err(|_| {
                Error::invalid(origin.clone(), format!("`{}` is not a marker", marker.escape_debug()))
            })?,
        };
        if let Some(index) = text("index") {
            let url = self.named.get(index).ok_or_else(|| {
                Error::invalid(origin.clone(), format!("there is no index named `{}`", index.escape_debug()))
            })?;
            return Ok(Some(IndexPin {
                name: name.clone(),
                index: url.clone(),
                marker,
                origin: origin.clone(),
            }));
        }
        let invalid = |problem: String| Error::invalid(origin.clone(), problem);
        let is_wheel = |place: &str| place.ends_with(".whl");
        let (url, builds) = if let Some(url) = text("url") {
            let parsed = Url::parse(url).map_err(|_| invalid("`url` is not a URL".to_owned()))?;
            (with_subdirectory(parsed, text("subdirectory")), !is_wheel(url))
        } else if let Some(path) = text("path") {
            let folder = self.toml.file().rsplit_once('/').map_or("", |(folder, _)| folder);
            let located = self.root.locate(format!("{folder}/{path}").trim_start_matches('/'));
            let url =
                located.ok_or_else(|| invalid(format!("the project has no file or directory `{path}`")))?;
            (url, !is_wheel(path))
        } else if let Some(git) = text("git") {
            let revision = ["rev", "tag", "branch"].iter().find_map(|key| text(key));
            let revision = revision.map_or_else(String::new, |revision| format!("@{revision}"));
            let git = git.strip_prefix("git+").unwrap_or(git);
            let parsed = Url::parse(&format!("git+{git}{revision}"));
            let url = parsed.map_err(|_| invalid("`git` is not a URL".to_owned()))?;
            (with_subdirectory(url, text("subdirectory")), true)
        } else if source.get("workspace").and_then(Item::as_bool) == Some(true) {
            let member = self.member(name)?;
            (member.ok_or_else(|| invalid(format!("no member of the workspace is called `{name}`")))?, true)
        } else {
            let what = format!("`{}.{name}`", SOURCES.join("."));
            let hint = "name an `index`, a `url`, a `path`, a `git` repository or `workspace = true`";
            return Err(Error::Unsupported {
                origin: self.toml.origin(&[&SOURCES[..], &[name.as_ref()]].concat()),
                what,
                hint,
            });
        };
        if builds && !self.strict {
            // The caller says that it is ignored.
            return Err(invalid("sources are not looked for here".to_owned()));
        }
        let mut direct = requirement.pep508.clone();
        direct.version_or_url = Some(VersionOrUrl::Url(url));
        direct.marker.and(marker);
        // Read again, so that what holds for every URL is checked.
        *requirement = parse_requirement(&direct.to_string(), origin.clone())?;
        Ok(None)
    }
}

/// A URL with the directory that the distribution is in.
fn with_subdirectory(mut url: Url, subdirectory: Option<&str>) -> Url {
    if let Some(subdirectory) = subdirectory {
        url.set_fragment(Some(&format!("subdirectory={subdirectory}")));
    }
    url
}
