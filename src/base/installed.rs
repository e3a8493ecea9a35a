//! What is installed in a root file system besides Pythons: their distributions, and users.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::{Account, Distribution};
use super::tree::{Node, RootTree};
use crate::dist::EntryPoint;
use crate::model::PythonMinor;

/// The most distributions of one Python, and the most users.
const MAX_DISTRIBUTIONS: usize = 5_000;
const MAX_ACCOUNTS: usize = 1_000;

/// The text that was kept of a file.
fn text<'t>(tree: &'t RootTree, path: &str) -> Option<&'t str> {
    match tree.resolve(path)? {
        (_, Node::File(file)) => file.facts.text.as_deref(),
        _ => None,
    }
}

/// The distributions that an interpreter has, in the order in which it looks for them, each once.
pub(super) fn distributions(tree: &RootTree, executable: &str, minor: PythonMinor) -> Vec<Distribution> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for directory in site_packages(tree, executable, minor) {
        let Some((_, entries)) = tree.list(&directory) else { continue };
        for entry in entries {
            let Some(distribution) = distribution(tree, &directory, entry) else { continue };
            let name = entry.split(['-', '.']).next().unwrap_or(entry);
            let name = distribution.name().map_or_else(|| normalized(name), normalized);
            if found.len() < MAX_DISTRIBUTIONS && names.insert(name) {
                found.push(distribution);
            }
        }
    }
    found
}

/// What an entry of a folder of distributions says of one, in any of the three forms there are: a `.dist-info` folder,
/// and before there was that, an `.egg-info` folder or file.
fn distribution(tree: &RootTree, directory: &str, entry: &str) -> Option<Distribution> {
    let folder = format!("{directory}/{entry}");
    let metadata = if entry.ends_with(".dist-info") {
        text(tree, &format!("{folder}/METADATA"))?.to_owned()
    } else if entry.ends_with(".egg-info") {
        let metadata = text(tree, &folder).or_else(|| text(tree, &format!("{folder}/PKG-INFO")))?;
        let requires = text(tree, &format!("{folder}/requires.txt")).unwrap_or_default();
        let lists_its_own =
            metadata.lines().any(|line| line.to_ascii_lowercase().starts_with("requires-dist:"));
        let requires = if lists_its_own { String::new() } else { requires_dist(requires) };
        metadata.to_owned() + &requires
    } else {
        return None;
    };
    let scripts = text(tree, &format!("{folder}/entry_points.txt")).map(console_scripts);
    Some(Distribution { metadata, scripts: scripts.unwrap_or_default() })
}

/// A `requires.txt` as fields of core metadata: requirements a line each, in sections such as `[EXTRA:MARKER]`.
fn requires_dist(text: &str) -> String {
    let mut fields = String::new();
    let mut condition = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let (extra, marker) = section.split_once(':').unwrap_or((section, ""));
            let extra = (!extra.is_empty()).then(|| format!("extra == '{extra}'"));
            let marker = (!marker.is_empty()).then(|| format!("({marker})"));
            condition = [marker, extra].into_iter().flatten().collect::<Vec<_>>().join(" and ");
        } else if condition.is_empty() {
            fields += &format!("Requires-Dist: {line}\n");
        } else {
            fields += &format!("Requires-Dist: {line} ; {condition}\n");
        }
    }
    fields
}

/// Where an interpreter looks for what is installed, if a virtual environment lets it: below its prefix, and where
/// Debian's has it.
fn site_packages(tree: &RootTree, executable: &str, minor: PythonMinor) -> Vec<String> {
    let folder = executable.rsplit_once('/').map_or("", |(folder, _)| folder);
    let prefix = folder.rsplit_once('/').map_or("", |(prefix, _)| prefix);
    if prefix == "/usr" {
        let debian = [
            format!("/usr/local/lib/python{minor}/dist-packages"),
            "/usr/lib/python3/dist-packages".to_owned(),
            format!("/usr/lib/python{minor}/dist-packages"),
        ];
        // What lies in `/usr/local/lib/…/site-packages` beside it belongs to another interpreter.
        if debian.iter().any(|directory| tree.list(directory).is_some()) {
            return debian.to_vec();
        }
    }
    let local = if prefix == "/usr" { &["/usr/local", prefix][..] } else { &[prefix] };
    let libraries = local.iter().flat_map(|prefix| ["lib", "lib64"].map(|lib| format!("{prefix}/{lib}")));
    libraries.map(|library| format!("{library}/python{minor}/site-packages")).collect()
}

/// A name as all spellings of it are compared.
fn normalized(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

/// The console and GUI scripts in an `entry_points.txt`; those that are none are left out.
fn console_scripts(text: &str) -> Vec<(String, String)> {
    let mut scripts = Vec::new();
    let mut relevant = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            relevant = matches!(section, "console_scripts" | "gui_scripts");
        } else if relevant
            && let Some((name, reference)) = line.split_once('=')
            && EntryPoint::parse(name.trim(), reference.trim()).is_some()
        {
            scripts.push((name.trim().to_owned(), reference.trim().to_owned()));
        }
    }
    scripts
}

/// The groups in `/etc/group`: `NAME:PASSWORD:GID:MEMBERS`.
pub(super) fn groups(tree: &RootTree) -> BTreeMap<String, u32> {
    let group = |line: &str| {
        let mut fields = line.split(':');
        let (name, gid) = (fields.next()?, fields.nth(1)?);
        let fine = !name.is_empty() && name.len() <= 64 && !name.contains(char::is_control);
        Some((name.to_owned(), gid.parse().ok()?)).filter(|_| fine)
    };
    let lines = text(tree, "/etc/group").into_iter().flat_map(str::lines);
    lines.filter_map(group).take(MAX_ACCOUNTS).collect()
}

/// The users in `/etc/passwd`: `NAME:PASSWORD:UID:GID:COMMENT:HOME:SHELL`.
pub(super) fn accounts(tree: &RootTree) -> Vec<Account> {
    let account = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, uid, gid, _, home, _] = fields.as_slice() else { return None };
        let fine = !name.is_empty() && name.len() <= 64 && !name.contains(char::is_control);
        let exists =
            |home: &str| home.len() > 1 && matches!(tree.resolve(home), Some((_, Node::Directory(_))));
        fine.then(|| {
            Some(Account {
                name: name.to_owned(),
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                home: exists(home).then(|| home.to_owned()),
            })
        })?
    };
    let lines = text(tree, "/etc/passwd").into_iter().flat_map(str::lines);
    lines.filter_map(account).take(MAX_ACCOUNTS).collect()
}
