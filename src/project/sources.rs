//! `[tool.uv.sources]`: where single dependencies come from.

use std::collections::BTreeMap;

use toml_edit::{Item, TableLike};
use url::Url;

use super::source::Root;
use super::toml::{Toml, tables};
use super::{Error, IndexPin, Selection};
use crate::model::{
    MarkerTree, Origin, PackageName, Requirement, RequirementsTxtError, VersionOrUrl, Warning,
    parse_requirement,
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
        let needs_build = |what: &str| {
            let (origin, name, what) = (origin.clone(), name.to_string(), what.to_owned());
            Error::from(RequirementsTxtError::NeedsBuild { origin, name, what })
        };
        let url = if let Some(url) = text("url") {
            Url::parse(url).map_err(|_| Error::invalid(origin.clone(), "`url` is not a URL"))?
        } else if let Some(path) = text("path") {
            if !path.ends_with(".whl") {
                return Err(needs_build("a local directory"));
            }
            self.root
                .locate(path)
                .ok_or_else(|| Error::invalid(origin.clone(), format!("the project has no file `{path}`")))?
        } else if source.contains_key("git") {
            return Err(needs_build("a git repository"));
        } else {
            let what = format!("`{}.{name}`", SOURCES.join("."));
            let hint = "name an index, or a wheel by `url` or `path`: members of a workspace are not built";
            return Err(Error::Unsupported {
                origin: self.toml.origin(&[&SOURCES[..], &[name.as_ref()]].concat()),
                what,
                hint,
            });
        };
        let mut direct = requirement.pep508.clone();
        direct.version_or_url = Some(VersionOrUrl::Url(url));
        direct.marker.and(marker);
        // Read again, so that what holds for every URL is checked.
        *requirement = parse_requirement(&direct.to_string(), origin.clone())?;
        Ok(None)
    }
}
