//! Writing a lock: always the same text for the same contents, one line for each thing that may change alone.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Component, Path};

use toml_edit::Value;
use url::Url;

use super::merge::{self, Entry};
use super::{Error, Lock, built};
use crate::model::{Archive, Target};
use crate::net::without_credentials;
use crate::store::write_atomically;

/// Whether [`write()`] changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The file is new or has new contents.
    Written,
    /// The file said the same already; it was not touched.
    Unchanged,
}

/// The text of a lock that stands in `directory`; local archives are named relative to that.
pub fn to_toml(lock: &Lock, directory: &Path) -> String {
    text(lock, std::slice::from_ref(lock), directory)
}

/// The text of the locks of all targets; `first` is the first of them.
fn text(first: &Lock, locks: &[Lock], directory: &Path) -> String {
    let mut out = String::new();
    let environment = |lock: &Lock| {
        let machine = lock.target.platform.arch.machine();
        quoted(&format!("sys_platform == 'linux' and platform_machine == '{machine}'"))
    };
    let environments: Vec<_> = locks.iter().map(environment).collect();
    // Writing to a string does not fail.
    let _ = writeln!(out, "lock-version = \"1.0\"");
    let _ = writeln!(out, "environments = [{}]", environments.join(", "));
    let _ = writeln!(out, "requires-python = {}", quoted(&format!("=={}.*", first.target.python)));
    let _ = writeln!(out, "created-by = {}", quoted(&first.created_by));
    for entry in merge::entries(locks) {
        package(&mut out, &entry, directory);
    }
    let _ = writeln!(out, "\n[tool.bakehouse]");
    let inputs = |lock: &Lock| lock.inputs.as_ref().map(|inputs| quoted(&inputs.to_string()));
    if let [lock] = locks {
        if let Some(inputs) = inputs(lock) {
            let _ = writeln!(out, "inputs = {inputs}");
        }
        let _ = writeln!(out, "targets = [{{ {} }}]", target(&lock.target));
    } else {
        let target = |lock: &Lock| {
            let inputs = inputs(lock).map_or_else(String::new, |inputs| format!(", inputs = {inputs}"));
            format!("{{ {}{inputs} }}", target(&lock.target))
        };
        list(&mut out, "targets", locks.iter().map(target));
    }
    if !first.options.is_empty() {
        let _ = writeln!(out, "options = {}", quoted(&first.options));
    }
    list(&mut out, "requirements", first.requirements.iter().map(|text| quoted(text)));
    for lock in locks {
        let Some(base) = &lock.base else { continue };
        if locks.len() == 1 {
            let _ = writeln!(out, "\n[tool.bakehouse.base]");
        } else {
            let platform = quoted(&lock.target.platform.to_string());
            let _ = writeln!(out, "\n[[tool.bakehouse.base]]\nplatform = {platform}");
        }
        base.write(&mut out);
    }
    out
}

fn target(Target { python, platform, libc }: &Target) -> String {
    let [python, platform, libc] = [python.to_string(), platform.to_string(), libc.to_string()];
    format!("python = {}, platform = {}, libc = {}", quoted(&python), quoted(&platform), quoted(&libc))
}

fn package(out: &mut String, entry: &Entry<'_>, directory: &Path) {
    let pin = entry.pin;
    let _ = writeln!(out, "\n[[packages]]");
    let _ = writeln!(out, "name = {}", quoted(pin.name.as_ref()));
    let _ = writeln!(out, "version = {}", quoted(&pin.version.to_string()));
    if !entry.only.is_empty() {
        let machine = |target: &Target| format!("platform_machine == '{}'", target.platform.arch.machine());
        let markers: Vec<_> = entry.only.iter().map(machine).collect();
        let _ = writeln!(out, "marker = {}", quoted(&markers.join(" or ")));
    }
    if let Some(requires_python) = &pin.requires_python {
        let _ = writeln!(out, "requires-python = {}", quoted(&requires_python.to_string()));
    }
    if !entry.dependencies.is_empty() {
        let names = entry.dependencies.iter().map(|name| format!("{{ name = {} }}", quoted(name.as_ref())));
        list(out, "dependencies", names);
    }
    let file = |file: &Archive| file_entry(file, pin.direct_url.as_ref(), directory);
    if let Some(built) = &pin.built {
        if let Some(index) = &pin.index {
            let _ = writeln!(out, "index = {}", quoted(without_credentials(index).as_str()));
        }
        built::write(out, pin, built, directory);
        return;
    }
    if pin.direct_url.is_some() {
        let _ = writeln!(out, "archive = {{ {} }}", file(&pin.archive));
        return;
    }
    if let Some(index) = &pin.index {
        let _ = writeln!(out, "index = {}", quoted(without_credentials(index).as_str()));
    }
    let wheel =
        |(name, archive): (&&str, &&Archive)| format!("{{ name = {}, {} }}", quoted(name), file(archive));
    let wheels: Vec<_> = entry.archives.iter().map(wheel).collect();
    match &wheels[..] {
        [wheel] => {
            let _ = writeln!(out, "wheels = [{wheel}]");
        }
        _ => list(out, "wheels", wheels.into_iter()),
    }
}

/// Where an archive is, its size and its hash. What the user named by URL is written as the user named it.
pub(super) fn file_entry(archive: &Archive, direct_url: Option<&Url>, directory: &Path) -> String {
    let url = without_credentials(direct_url.unwrap_or(&archive.url));
    let place = match relative(&url, directory) {
        Some(path) => format!("path = {}", quoted(&path)),
        None => format!("url = {}", quoted(url.as_str())),
    };
    let size = archive.size.map_or_else(String::new, |size| format!(", size = {size}"));
    let hash =
        archive.sha256.map_or_else(String::new, |sha256| format!("sha256 = {}", quoted(&sha256.hex())));
    format!("{place}{size}, hashes = {{ {hash} }}")
}

/// A `file:` URL as a path relative to `directory`, with `/` between its parts. A path that has nothing in common with
/// the directory stays a URL.
pub(super) fn relative(url: &Url, directory: &Path) -> Option<String> {
    if url.scheme() != "file" {
        return None;
    }
    let path = url.to_file_path().ok()?;
    let (path, directory): (Vec<_>, Vec<_>) = (path.components().collect(), directory.components().collect());
    let common = path.iter().zip(&directory).take_while(|(a, b)| a == b).count();
    if common <= 1 || directory.first() != Some(&Component::RootDir) {
        return None;
    }
    let up = directory[common..].iter().map(|_| "..");
    let down = path[common..].iter().map(|part| part.as_os_str().to_str());
    Some(up.map(Some).chain(down).collect::<Option<Vec<_>>>()?.join("/"))
}

/// An array with one element a line.
pub(super) fn list(out: &mut String, key: &str, items: impl Iterator<Item = String>) {
    let _ = writeln!(out, "{key} = [");
    for item in items {
        let _ = writeln!(out, "    {item},");
    }
    let _ = writeln!(out, "]");
}

pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Writes a lock, whole or not at all; a lock that says the same already is left alone.
pub fn write(path: &Path, lock: &Lock) -> Result<Written, Error> {
    write_all(path, std::slice::from_ref(lock))
}

/// Writes the locks of several targets, all of one Python and made from the same requirements, into one file.
pub fn write_all(path: &Path, locks: &[Lock]) -> Result<Written, Error> {
    let Some(first) = locks.first() else { return Ok(Written::Unchanged) };
    if let Some(pin) = locks.iter().flat_map(|lock| &lock.pins).find(|pin| pin.archive.sha256.is_none()) {
        return Err(Error::Unhashed { name: pin.name.clone() });
    }
    let io = |action: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| Error::Io { action, path, source }
    };
    let absolute = std::path::absolute(path).map_err(io("find", path))?;
    let directory = absolute.parent().unwrap_or(&absolute);
    let text = text(first, locks, directory);
    if fs::read(&absolute).is_ok_and(|known| known == text.as_bytes()) {
        return Ok(Written::Unchanged);
    }
    write_atomically(&absolute, text.as_bytes()).map_err(io("write", &absolute))?;
    Ok(Written::Written)
}
