//! `[bakehouse.flows.NAME]` in `obproject.toml`: what stands in for decorators that cannot be read.

use std::collections::BTreeMap;

use toml_edit::{Item, TableLike};

use super::code::FlowCode;
use super::decorator::{Ask, Content};
use crate::model::Origin;
use crate::project::Error;
use crate::project::toml::Toml;

const PATH: [&str; 2] = ["bakehouse", "flows"];

/// What the project says in place of its flows' decorators.
#[derive(Debug, Default)]
pub(in crate::project) struct Overrides(BTreeMap<String, FlowOverride>);

#[derive(Debug)]
struct FlowOverride {
    origin: Origin,
    /// In place of the decorators of the class.
    own: Option<Override>,
    /// In place of the decorators of steps, by their names.
    steps: BTreeMap<String, Override>,
}

#[derive(Debug)]
struct Override {
    origin: Origin,
    pypi: Option<Ask>,
    conda: Option<Ask>,
    image: Option<(String, Origin)>,
}

impl Overrides {
    pub fn read(toml: &Toml) -> Result<Self, Error> {
        toml.table(&PATH[..1])?;
        let mut overrides = BTreeMap::new();
        for (flow, _) in toml.table(&PATH)?.map(|table| table.iter()).into_iter().flatten() {
            let path = [PATH[0], PATH[1], flow];
            let Some(table) = toml.table(&path)? else { continue };
            let mut steps = BTreeMap::new();
            let steps_path = [PATH[0], PATH[1], flow, "steps"];
            for (step, _) in toml.table(&steps_path)?.map(|table| table.iter()).into_iter().flatten() {
                let path = [PATH[0], PATH[1], flow, "steps", step];
                if let Some(table) = toml.table(&path)? {
                    steps.insert(step.to_owned(), Override::read(toml, &path, table)?);
                }
            }
            let says_more = table.iter().any(|(key, _)| key != "steps");
            let own = says_more.then(|| Override::read(toml, &path, table)).transpose()?;
            overrides.insert(flow.to_owned(), FlowOverride { origin: toml.origin(&path), own, steps });
        }
        Ok(Self(overrides))
    }

    /// Puts what is said of a flow in the place of its decorators. Whether that stands in for those of the class.
    pub(super) fn apply(&mut self, flow: &str, code: &mut FlowCode) -> Result<bool, Error> {
        let Some(FlowOverride { own, steps, .. }) = self.0.remove(flow) else { return Ok(false) };
        for (name, over) in steps {
            let Some(step) = code.steps.iter_mut().find(|step| step.name == name) else {
                let known: Vec<&str> = code.steps.iter().map(|step| step.name.as_str()).collect();
                let problem = format!(
                    "flow `{flow}` has no step `{}`: its steps are {}",
                    name.escape_debug(),
                    known.join(", ")
                );
                return Err(Error::invalid(over.origin, problem));
            };
            (step.pypi, step.conda, step.unknown) = (over.pypi, over.conda, None);
            step.image = over.image.or(step.image.take());
        }
        let Some(own) = own else { return Ok(false) };
        if let Some((_, origin)) = own.image {
            return Err(Error::invalid(origin, "an image is named for each step: put it under `steps.NAME`"));
        }
        (code.pypi_base, code.conda_base, code.unknown) = (own.pypi, own.conda, None);
        Ok(true)
    }

    /// An error if a flow is named that is not there.
    pub fn check(&self, is_there: impl Fn(&str) -> bool) -> Result<(), Error> {
        match self.0.iter().find(|(flow, _)| !is_there(flow)) {
            Some((flow, over)) => {
                let problem = format!("there is no flow `{}`", flow.escape_debug());
                Err(Error::invalid(over.origin.clone(), problem))
            }
            None => Ok(()),
        }
    }
}

impl Override {
    fn read(toml: &Toml, path: &[&str], table: &dyn TableLike) -> Result<Self, Error> {
        let origin = toml.origin(path);
        let at = |key: &str| -> Vec<String> {
            path.iter().map(|part| (*part).to_owned()).chain([key.to_owned()]).collect()
        };
        let mut this = Self { origin: origin.clone(), pypi: None, conda: None, image: None };
        let (mut python, mut disabled, mut channels) = (None, None, None);
        let (mut pypi, mut conda) = (None, None);
        for (key, item) in table.iter() {
            let full = at(key);
            let full: Vec<&str> = full.iter().map(String::as_str).collect();
            match key {
                "python" => python = toml.string(&full)?.map(|(text, origin)| (text.to_owned(), origin)),
                "image" => this.image = toml.string(&full)?.map(|(text, origin)| (text.to_owned(), origin)),
                "disabled" => disabled = toml.bool(&full)?,
                "channels" => {
                    let list = toml.strings(&full)?.unwrap_or_default();
                    channels = Some(list.into_iter().map(|(text, _)| text.to_owned()).collect());
                }
                "pypi" => pypi = Some(packages(toml, &full, item)?),
                "conda" => conda = Some(packages(toml, &full, item)?),
                "steps" if path.len() == PATH.len() + 1 => {}
                _ => {
                    let problem = format!("`{}` means nothing here", key.escape_debug());
                    let hint =
                        Some("use `pypi`, `conda`, `channels`, `python`, `image`, `disabled` and `steps`");
                    return Err(Error::Invalid { origin: toml.origin(&full), problem, hint });
                }
            }
        }
        let content = |packages, python, channels| Ok(Content { packages, python, channels });
        match (pypi, conda) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid(origin, "it has both `pypi` and `conda`: keep one of them"));
            }
            (None, Some(packages)) => {
                this.conda = Some(Ask { origin, disabled, content: content(packages, python, channels) });
            }
            (packages, None) => {
                if channels.is_some() {
                    return Err(Error::invalid(origin, "`channels` are for `conda` packages"));
                }
                if packages.is_some() || python.is_some() || disabled.is_some() {
                    let content = content(packages.unwrap_or_default(), python, None);
                    this.pypi = Some(Ask { origin, disabled, content });
                }
            }
        }
        Ok(this)
    }
}

/// A table of names and versions.
fn packages(toml: &Toml, path: &[&str], item: &Item) -> Result<Vec<(String, String, Origin)>, Error> {
    if item.as_table_like().is_none() {
        let problem = format!("`{}` must be a table of names and versions", path.join("."));
        return Err(Error::invalid(toml.origin(path), problem));
    }
    let entries = toml.string_table(path)?.into_iter();
    Ok(entries.map(|(name, version, origin)| (name.to_owned(), version.to_owned(), origin)).collect())
}
