//! Settings of images: `[bakehouse]` in `obproject.toml`, `[tool.bakehouse]` in `pyproject.toml`.
//!
//! Both tables hold what counts for every component; their `components.NAME` tables, and the `pyproject.toml` in a
//! component's own folder, hold what counts for one.

use std::collections::{BTreeMap, BTreeSet};

use toml_edit::{Item, Value};

use super::base_settings::{self, BaseSettings};
use super::pyproject::Pyproject;
use super::resolving;
use super::shell;
use super::source::Root;
use super::toml::Toml;
use super::{Component, ComponentKind, Error};
use crate::model::Warning;

/// The tables of settings, in `obproject.toml` and in a `pyproject.toml`.
const OBPROJECT: &[&str] = &["bakehouse"];
const TOOL: &[&str] = &["tool", "bakehouse"];

/// What somebody says of how images run. What is not said is left as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The user, by name or number, perhaps with a group: `app`, `1000`, `1000:1000`.
    pub user: Option<String>,
    /// The working directory, absolute.
    pub working_dir: Option<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The entry point in exec form; empty for none.
    pub entrypoint: Option<Vec<String>>,
    /// The command in exec form; empty for none.
    pub command: Option<Vec<String>>,
    /// Ports to expose, as `8000/tcp`.
    pub ports: BTreeSet<String>,
    /// The signal that ends the program: `SIGINT`.
    pub stop_signal: Option<String>,
}

impl Settings {
    /// These settings, laid over others: variables, labels and ports of both, otherwise what is said here.
    #[must_use]
    pub fn over(self, mut lower: Self) -> Self {
        lower.env.extend(self.env);
        lower.labels.extend(self.labels);
        lower.ports.extend(self.ports);
        Self {
            user: self.user.or(lower.user),
            working_dir: self.working_dir.or(lower.working_dir),
            env: lower.env,
            labels: lower.labels,
            entrypoint: self.entrypoint.or(lower.entrypoint),
            command: self.command.or(lower.command),
            ports: lower.ports,
            stop_signal: self.stop_signal.or(lower.stop_signal),
        }
    }

    /// Sets the user, if the text can be one.
    pub fn set_user(&mut self, text: &str) -> Result<(), String> {
        let is_odd = |c: char| c.is_control() || c.is_whitespace();
        let parts: Vec<&str> = text.split(':').collect();
        if parts.len() > 2 || parts.iter().any(|part| part.is_empty() || part.contains(is_odd)) {
            return Err("expected a user by name or number, perhaps with a group, such as 1000:1000".into());
        }
        self.user = Some(text.to_owned());
        Ok(())
    }

    /// Sets the working directory, if the text can be one.
    pub fn set_working_dir(&mut self, text: &str) -> Result<(), String> {
        if !text.starts_with('/')
            || text.split('/').any(|part| part == "..")
            || text.contains(char::is_control)
        {
            return Err("expected an absolute directory".into());
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        self.working_dir = Some(format!("/{}", parts.join("/")));
        Ok(())
    }

    /// Adds an environment variable.
    pub fn set_variable(&mut self, name: &str, value: &str) -> Result<(), String> {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err("expected NAME=VALUE".into());
        }
        self.env.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Adds a port: `8000`, `8000/udp`.
    pub fn add_port(&mut self, text: &str) -> Result<(), String> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        match number.parse::<u16>() {
            Ok(number) if number > 0 && matches!(protocol, "tcp" | "udp" | "sctp") => {
                self.ports.insert(format!("{number}/{protocol}"));
                Ok(())
            }
            _ => Err("expected a port such as 8000 or 8000/udp".into()),
        }
    }

    /// Sets the signal that ends the program: `SIGINT`, or a number.
    pub fn set_stop_signal(&mut self, text: &str) -> Result<(), String> {
        let name = text.strip_prefix("SIG").unwrap_or_default();
        let is_name = !name.is_empty()
            && name.len() <= 16
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '+' | '-'));
        if !is_name && !text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number)) {
            return Err("expected a signal such as SIGINT".into());
        }
        self.stop_signal = Some(text.to_owned());
        Ok(())
    }

    /// A command: exec form as a JSON array, or text, which becomes exec form where no shell is needed.
    pub fn command_line(text: &str) -> Result<Vec<String>, String> {
        if text.contains('\0') {
            return Err("a command has no NUL bytes".into());
        }
        if text.trim_start().starts_with('[') {
            return serde_json::from_str(text).map_err(|_| "expected a JSON array of strings".into());
        }
        let text = text.trim();
        Ok(if text.is_empty() { Vec::new() } else { shell::command(&[text.to_owned()]).unwrap_or_default() })
    }

    /// What the component's own files say of it: a deployment's configuration.
    fn said(component: &Component) -> Self {
        let run = &component.run;
        Self {
            env: run.env.clone(),
            ports: run.ports.iter().map(|port| format!("{port}/tcp")).collect(),
            command: run.command.clone().filter(|_| component.kind == ComponentKind::Deployment),
            ..Self::default()
        }
    }

    /// Reads a table, if it is there.
    fn read(toml: &Toml, table: &[&str], warnings: &mut Vec<Warning>) -> Result<Self, Error> {
        let mut settings = Self::default();
        let Some(entries) = toml.table(table)? else { return Ok(settings) };
        for (key, item) in entries.iter() {
            let path: Vec<&str> = table.iter().copied().chain([key]).collect();
            let origin = toml.origin(&path);
            let wrong =
                |problem: String| Error::invalid(origin.clone(), format!("`{}`: {problem}", path.join(".")));
            let text = || match item.as_str() {
                Some(text) => Ok(text.to_owned()),
                None => Err(wrong("expected a string".into())),
            };
            let outcome = match key {
                "user" => {
                    let number = item.as_integer().map(|number| number.to_string());
                    settings.set_user(&number.map_or_else(text, Ok)?)
                }
                "workdir" => settings.set_working_dir(&text()?),
                "stop-signal" => settings.set_stop_signal(&text()?),
                "entrypoint" => command(item).map(|command| settings.entrypoint = Some(command)),
                "cmd" => command(item).map(|command| settings.command = Some(command)),
                "expose" => {
                    ports(item).and_then(|ports| ports.iter().try_for_each(|port| settings.add_port(port)))
                }
                "env" => {
                    let entries = toml.string_table(&path)?;
                    entries.into_iter().try_for_each(|(name, value, _)| settings.set_variable(name, value))
                }
                "labels" => {
                    let entries = toml.string_table(&path)?;
                    settings.labels =
                        entries.iter().map(|(k, v, _)| ((*k).to_owned(), (*v).to_owned())).collect();
                    Ok(())
                }
                "components" => Ok(()),
                // What stands in for decorators, which is read with the flows.
                "flows" if *table == ["bakehouse"] => Ok(()),
                // What bases are made of: see `of_bases`.
                _ if base_settings::NAMES.contains(&key) && is_wide(toml, table) => Ok(()),
                // What is resolved, and how.
                _ if resolving::NAMES.contains(&key) && table == TOOL => Ok(()),
                _ if resolving::WIDE_NAMES.contains(&key) && table == TOOL && is_wide(toml, table) => Ok(()),
                _ => {
                    let message = format!("`{}` means nothing here", path.join(".").escape_debug());
                    warnings.push(Warning::at(origin.clone(), message));
                    Ok(())
                }
            };
            outcome.map_err(wrong)?;
        }
        Ok(settings)
    }
}

/// Whether a table is one that counts for the whole project: in a file at its root, and not one of a component.
fn is_wide(toml: &Toml, table: &[&str]) -> bool {
    (table == OBPROJECT || table == TOOL) && !toml.file().contains('/')
}

/// A command: a string, or an array of strings.
fn command(item: &Item) -> Result<Vec<String>, String> {
    let expected = || "expected a string or an array of strings".to_owned();
    match item.as_array() {
        Some(words) => {
            words.iter().map(|word| word.as_str().map(str::to_owned).ok_or_else(expected)).collect()
        }
        None => Settings::command_line(item.as_str().ok_or_else(expected)?),
    }
}

/// Ports: numbers and strings.
fn ports(item: &Item) -> Result<Vec<String>, String> {
    let port = |value: &Value| match (value.as_integer(), value.as_str()) {
        (Some(number), _) => Ok(number.to_string()),
        (_, Some(text)) => Ok(text.to_owned()),
        _ => Err("expected numbers, or strings such as \"8000/udp\"".to_owned()),
    };
    let list = item.as_array().ok_or("expected an array of ports")?;
    list.iter().map(port).collect()
}

/// A file's settings: those for all components, and those for each that it names.
struct Tables<'t> {
    toml: &'t Toml,
    table: &'static [&'static str],
}

impl Tables<'_> {
    fn wide(&self, warnings: &mut Vec<Warning>) -> Result<Settings, Error> {
        Settings::read(self.toml, self.table, warnings)
    }

    /// What is said of one component, by its name or its full name.
    fn of(&self, component: &Component, warnings: &mut Vec<Warning>) -> Result<Settings, Error> {
        let named = |name: &str, warnings: &mut Vec<Warning>| {
            let table: Vec<&str> = self.table.iter().copied().chain(["components", name]).collect();
            Settings::read(self.toml, &table, warnings)
        };
        let full = named(&component.id(), warnings)?;
        Ok(full.over(named(&component.name, warnings)?))
    }

    /// Warns of names that no component has.
    fn check(
        &self,
        components: &[Component],
        others: &[String],
        warnings: &mut Vec<Warning>,
    ) -> Result<(), Error> {
        let table: Vec<&str> = self.table.iter().copied().chain(["components"]).collect();
        for (name, _) in self.toml.table(&table)?.into_iter().flat_map(|entries| entries.iter()) {
            let is_there =
                components.iter().any(|component| component.name == name || component.id() == name);
            if !is_there && others.iter().all(|other| other != name) {
                let path: Vec<&str> = table.iter().copied().chain([name]).collect();
                let message = format!("no component is called `{}`", name.escape_debug());
                warnings.push(Warning::at(self.toml.origin(&path), message));
            }
        }
        Ok(())
    }
}

/// Gives every component its settings. What is said of one component goes before what is said of all; among equals,
/// `obproject.toml` before `pyproject.toml`. A deployment's configuration stands between the two. `others` are names that
/// components have which cannot be read.
pub(super) fn apply(
    root: &Root,
    obproject: Option<&Toml>,
    pyproject: Option<&Pyproject>,
    (components, others): (&mut [Component], &[String]),
    warnings: &mut Vec<Warning>,
) -> Result<(), Error> {
    let obproject = obproject.map(|toml| Tables { toml, table: OBPROJECT });
    let pyproject = pyproject.map(|pyproject| Tables { toml: pyproject.toml(), table: TOOL });
    let files: Vec<Tables<'_>> = obproject.into_iter().chain(pyproject).collect();
    let mut wide = Settings::default();
    for file in &files {
        wide = wide.over(file.wide(warnings)?);
        file.check(components, others, warnings)?;
    }
    for component in components {
        let mut settings = Settings::default();
        for file in &files {
            settings = settings.over(file.of(component, warnings)?);
        }
        if !component.folder.is_empty()
            && let Some(own) = Pyproject::read(root, &format!("{}/pyproject.toml", component.folder))?
        {
            settings = settings.over(Tables { toml: own.toml(), table: TOOL }.wide(warnings)?);
        }
        component.run.settings = settings.over(Settings::said(component)).over(wide.clone());
    }
    Ok(())
}

/// What the project's files say of what bases are made of.
pub(super) fn of_bases(
    root: &Root,
    obproject: Option<&Toml>,
    pyproject: Option<&Pyproject>,
) -> Result<BaseSettings, Error> {
    let upper = obproject.map(|toml| BaseSettings::read(root, toml, OBPROJECT)).transpose()?;
    let lower = pyproject.map(|file| BaseSettings::read(root, file.toml(), TOOL)).transpose()?;
    Ok(upper.unwrap_or_default().over(lower.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_above_wins_and_collections_add_up() {
        let mut upper = Settings::default();
        upper.set_user("1000").unwrap();
        upper.set_variable("A", "upper").unwrap();
        upper.add_port("8000").unwrap();
        let mut lower = Settings::default();
        lower.set_user("root").unwrap();
        lower.set_working_dir("/srv//x/./").unwrap();
        lower.set_variable("A", "lower").unwrap();
        lower.set_variable("B", "lower").unwrap();
        lower.add_port("53/udp").unwrap();
        let both = upper.over(lower);
        assert_eq!(both.user.as_deref(), Some("1000"));
        assert_eq!(both.working_dir.as_deref(), Some("/srv/x"));
        assert_eq!(
            both.env.into_iter().collect::<Vec<_>>(),
            [("A", "upper"), ("B", "lower")].map(|(a, b)| (a.into(), b.into()))
        );
        assert_eq!(both.ports.into_iter().collect::<Vec<_>>(), ["53/udp", "8000/tcp"]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut settings = Settings::default();
        for bad in ["", "a b", "1:2:3", ":", "a\n"] {
            assert!(settings.set_user(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "relative", "/a/../b", "/a\n"] {
            assert!(settings.set_working_dir(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "0", "65536", "80/http", "http"] {
            assert!(settings.add_port(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "INT", "SIG", "SIGint", "0", "65"] {
            assert!(settings.set_stop_signal(bad).is_err(), "{bad:?}");
        }
        for good in ["SIGINT", "SIGRTMIN+3", "9"] {
            assert!(settings.set_stop_signal(good).is_ok(), "{good:?}");
        }
        assert_eq!(settings.user, None);
    }

    #[test]
    fn commands_are_arrays_or_text() {
        let command = |text: &str| Settings::command_line(text).unwrap();
        assert_eq!(command("tini -- "), ["tini", "--"]);
        assert_eq!(command("[\"a b\", \"$c\"]"), ["a b", "$c"]);
        assert_eq!(command("a && b")[..2], ["/bin/bash", "-c"]);
        assert_eq!(command(" "), [""; 0]);
        assert!(Settings::command_line("[1]").is_err());
    }
}
