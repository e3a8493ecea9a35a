//! Optional dependencies and dependency groups (PEP 735) of a `pyproject.toml`.

use std::collections::HashSet;

use toml_edit::{Item, Value};

use super::Error;
use super::toml::Toml;
use crate::model::{MarkerTree, Origin, PackageName, Requirement, parse_requirement};

type Pep508 = pep508_rs::Requirement<url::Url>;

/// The most lists that may be reached: sets that include each other with ever new markers end.
const MOST: usize = 1000;

/// Whether two names of extras or groups mean the same.
pub(super) fn same(one: &str, other: &str) -> bool {
    normalized(one) == normalized(other)
}

fn normalized(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// The requirements of the extras and groups that are chosen.
pub(super) fn chosen(toml: &Toml, extras: &[String], groups: &[String]) -> Result<Vec<Requirement>, Error> {
    let mut all = Vec::new();
    let extras = extras.iter().map(|extra| (extra.clone(), MarkerTree::TRUE));
    expand_extras(toml, extras.collect(), &mut all)?;
    for name in groups {
        group(toml, name, &mut Vec::new(), &mut all)?;
    }
    Ok(all)
}

/// Replaces requirements of the project on itself, such as `own[extra]`, by what these extras list.
pub(super) fn without_itself(toml: &Toml, requirements: Vec<Requirement>) -> Result<Vec<Requirement>, Error> {
    let mut all = Vec::new();
    let mut extras = Vec::new();
    take(toml, requirements, MarkerTree::TRUE, &mut extras, &mut all)?;
    expand_extras(toml, extras, &mut all)?;
    Ok(all)
}

fn expand_extras(
    toml: &Toml,
    mut open: Vec<(String, MarkerTree)>,
    all: &mut Vec<Requirement>,
) -> Result<(), Error> {
    const PATH: [&str; 2] = ["project", "optional-dependencies"];
    let mut done = HashSet::new();
    open.reverse();
    while let Some((extra, marker)) = open.pop() {
        if !done.insert((normalized(&extra), marker.clone())) || done.len() > MOST {
            continue;
        }
        let table = toml.table(&PATH)?;
        let keys: Vec<&str> = table.into_iter().flat_map(|table| table.iter().map(|(key, _)| key)).collect();
        let key = keys.iter().find(|key| same(key, &extra)).ok_or_else(|| unknown("extra", &extra, &keys))?;
        let mut listed = Vec::new();
        for (text, origin) in toml.strings(&[PATH[0], PATH[1], key])?.unwrap_or_default() {
            listed.push(parse_requirement(text, origin)?);
        }
        let mut more = Vec::new();
        take(toml, listed, marker, &mut more, all)?;
        open.extend(more.into_iter().rev());
    }
    Ok(())
}

/// Sorts requirements into others, with the marker added, and extras of the project itself.
fn take(
    toml: &Toml,
    requirements: Vec<Requirement>,
    marker: MarkerTree,
    extras: &mut Vec<(String, MarkerTree)>,
    all: &mut Vec<Requirement>,
) -> Result<(), Error> {
    let own = toml.string(&["project", "name"])?.and_then(|(name, _)| name.parse::<PackageName>().ok());
    for mut requirement in requirements {
        requirement.pep508.marker.and(marker.clone());
        if own.as_ref() == Some(&requirement.pep508.name) {
            let Pep508 { extras: own, marker, .. } = requirement.pep508;
            extras.extend(own.iter().map(|extra| (extra.to_string(), marker.clone())));
        } else {
            all.push(requirement);
        }
    }
    Ok(())
}

/// Adds a group and those that it includes. `open` are the groups that are being read.
fn group(toml: &Toml, name: &str, open: &mut Vec<String>, all: &mut Vec<Requirement>) -> Result<(), Error> {
    const PATH: [&str; 1] = ["dependency-groups"];
    let table = toml.table(&PATH)?;
    let keys: Vec<&str> = table.into_iter().flat_map(|table| table.iter().map(|(key, _)| key)).collect();
    let key =
        *keys.iter().find(|key| same(key, name)).ok_or_else(|| unknown("dependency group", name, &keys))?;
    let path = [PATH[0], key];
    let here = toml.origin(&path);
    if open.iter().any(|known| known == key) {
        return Err(Error::invalid(here, format!("the group `{key}` includes itself")));
    }
    open.push(key.to_owned());
    let wrong = |origin: Origin| Error::invalid(origin, format!("the group `{key}` must list requirements"));
    let entries = toml.get(&path).and_then(Item::as_array).ok_or_else(|| wrong(here))?;
    let mut listed = Vec::new();
    for entry in entries {
        let origin = toml.at(entry.span());
        match entry {
            Value::String(text) => listed.push(parse_requirement(text.value(), origin)?),
            Value::InlineTable(table) => {
                let included =
                    table.get("include-group").and_then(Value::as_str).ok_or_else(|| wrong(origin))?;
                group(toml, included, open, all)?;
            }
            _ => return Err(wrong(origin)),
        }
    }
    all.extend(without_itself(toml, listed)?);
    open.pop();
    Ok(())
}

fn unknown(kind: &str, name: &str, known: &[&str]) -> Error {
    let known = match known {
        [] => "there is none".to_owned(),
        known => format!("there are {}", known.join(", ")),
    };
    let problem = format!("there is no {kind} `{}`: {known}", name.escape_debug());
    Error::invalid(Origin::file("pyproject.toml"), problem)
}
