//! What is installed in a root file system besides Pythons: their distributions, and users.

use std::collections::BTreeSet;

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

/// The distributions that an interpreter has, in the order in which it looks for them, each once. Only those with a
/// `.dist-info` folder count: others do not say for certain what they are.
pub(super) fn distributions(tree: &RootTree, executable: &str, minor: PythonMinor) -> Vec<Distribution> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for directory in site_packages(executable, minor) {
        let Some((_, entries)) = tree.list(&directory) else { continue };
        for entry in entries {
            let Some((name, _)) = entry.strip_suffix(".dist-info").and_then(|stem| stem.split_once('-'))
            else {
                continue;
            };
            let folder = format!("{directory}/{entry}");
            let Some(metadata) = text(tree, &format!("{folder}/METADATA")) else { continue };
            if found.len() >= MAX_DISTRIBUTIONS || !names.insert(normalized(name)) {
                continue;
            }
            let scripts = text(tree, &format!("{folder}/entry_points.txt")).map(console_scripts);
            found.push(Distribution { metadata: metadata.to_owned(), scripts: scripts.unwrap_or_default() });
        }
    }
    found
}

/// Where an interpreter looks for what is installed: below its prefix, and where Debian's has it.
fn site_packages(executable: &str, minor: PythonMinor) -> Vec<String> {
    let folder = executable.rsplit_once('/').map_or("", |(folder, _)| folder);
    let prefix = folder.rsplit_once('/').map_or("", |(prefix, _)| prefix);
    let mut directories = Vec::new();
    if prefix == "/usr" {
        directories.push(format!("/usr/local/lib/python{minor}/dist-packages"));
        directories.push("/usr/lib/python3/dist-packages".to_owned());
        directories.push(format!("/usr/local/lib/python{minor}/site-packages"));
        directories.push(format!("/usr/local/lib64/python{minor}/site-packages"));
    }
    directories.push(format!("{prefix}/lib/python{minor}/site-packages"));
    directories.push(format!("{prefix}/lib64/python{minor}/site-packages"));
    directories
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
