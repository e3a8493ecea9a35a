//! Finding Pythons and the C library in a root file system.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::iter;
use std::rc::Rc;

use crate::model::{Libc, PythonMinor};

use super::contents::{Contents, Python};
use super::installed;
use super::probe;
use super::tree::{Canonical, File, Node, RootTree, absolute};

/// What runtimes take where the config sets no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The most directories that are searched, and the most interpreters that are listed.
const MAX_DIRECTORIES: usize = 1000;
const MAX_PYTHONS: usize = 100;
/// The most links to directories that are remembered, the shortest paths first.
const MAX_LINKS: usize = 2000;

/// Where C libraries are, by distribution; the first that is there counts.
const LIBRARY_DIRECTORIES: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// Finds what there is.
pub(super) fn find(tree: &RootTree, path: Option<&str>) -> Contents {
    let path = path.filter(|path| !path.is_empty()).unwrap_or(DEFAULT_PATH);
    Contents {
        pythons: pythons(tree, path),
        libc: libc(tree),
        accounts: installed::accounts(tree),
        groups: installed::groups(tree),
        links: tree.directory_links(MAX_LINKS),
    }
}

/// An interpreter on the way to a [`Python`].
struct Found {
    file: Rc<File>,
    executable: String,
    minor: PythonMinor,
    version: Option<String>,
    found_as: Vec<String>,
}

fn pythons(tree: &RootTree, path: &str) -> Vec<Python> {
    let mut found: Vec<Found> = Vec::new();
    // The first interpreter that `python3` finds on the PATH, else `python`.
    let (mut python3, mut python) = (None, None);
    let mut searched = BTreeSet::new();
    for (directory, on_path) in directories(tree, path) {
        let Some((canonical, names)) = tree.list(&directory) else { continue };
        // `/bin` is `/usr/bin` nearly everywhere.
        if !searched.insert(canonical) {
            continue;
        }
        for name in names {
            let is_python = matches!(name, "python" | "python3") || probe::python_minor(name).is_some();
            if !is_python || found.len() >= MAX_PYTHONS {
                continue;
            }
            let found_as = format!("{}/{name}", directory.trim_end_matches('/'));
            let Some((canonical, file)) = program(tree, &found_as) else { continue };
            let Some(at) = identify(tree, &mut found, &canonical, file) else { continue };
            found[at].found_as.push(found_as);
            match name {
                "python3" if on_path => drop(python3.get_or_insert(at)),
                "python" if on_path => drop(python.get_or_insert(at)),
                _ => {}
            }
        }
    }
    let default = python3.or(python);
    let mut order: Vec<_> = (0..found.len()).collect();
    order.sort_by_key(|&at| (Some(at) != default, Reverse(found[at].minor), at));
    let mut found: Vec<_> = found.into_iter().map(Some).collect();
    let pythons = order.into_iter().filter_map(|at| found[at].take());
    pythons
        .map(|Found { executable, minor, version, found_as, .. }| Python {
            distributions: installed::distributions(tree, &executable, minor),
            minor,
            version,
            executable,
            found_as,
        })
        .collect()
}

/// The directories to search, with whether they are on the PATH: those first, then where distributions put programs,
/// then what is below `/opt`, one and two levels deep.
fn directories<'a>(tree: &'a RootTree, path: &'a str) -> impl Iterator<Item = (String, bool)> + 'a {
    let on_path = path.split(':').filter(|directory| directory.starts_with('/'));
    let usual = ["/usr/local/bin", "/usr/bin"].into_iter().map(str::to_owned);
    let opt = below(tree, "/opt".into()).flat_map(|outer| {
        let inner = below(tree, outer.clone());
        iter::once(outer).chain(inner).map(|directory| directory + "/bin")
    });
    let on_path = on_path.map(|directory| (directory.to_owned(), true));
    on_path.chain(usual.chain(opt).map(|directory| (directory, false))).take(MAX_DIRECTORIES)
}

fn below(tree: &RootTree, directory: String) -> impl Iterator<Item = String> {
    let names = tree.list(&directory).map(|(_, names)| names);
    names.into_iter().flatten().map(move |name| format!("{directory}/{name}"))
}

/// The program that a path leads to. Scripts are none: a wrapper (such as a version manager's) is no interpreter.
fn program<'t>(tree: &'t RootTree, path: &str) -> Option<(Canonical, &'t Rc<File>)> {
    match tree.resolve(path)? {
        (canonical, Node::File(file)) if file.executable && file.facts.elf => Some((canonical, file)),
        _ => None,
    }
}

/// The index in `found` of an interpreter, which is added if it is new; none if its version cannot be told.
fn identify(
    tree: &RootTree,
    found: &mut Vec<Found>,
    canonical: &Canonical,
    file: &Rc<File>,
) -> Option<usize> {
    let executable = absolute(canonical)?;
    let (prefix, name) = executable.rsplit_once('/')?;
    let prefix = prefix.rsplit_once('/').map_or("", |(prefix, _)| prefix);
    let named = probe::python_minor(name);
    // Hard links are one interpreter; the name with the version is the better one.
    if let Some(at) = found.iter().position(|other| Rc::ptr_eq(&other.file, file)) {
        let theirs = found[at].executable.rsplit('/').next().unwrap_or_default();
        if probe::python_minor(theirs).is_none() && named.is_some() {
            found[at].executable = executable;
        }
        return Some(at);
    }
    let minor = named.or_else(|| minor_by_library(tree, prefix))?;
    let version = file.facts.python.clone().or_else(|| version_beside(tree, prefix, minor));
    found.push(Found { file: file.clone(), executable, minor, version, found_as: Vec::new() });
    Some(found.len() - 1)
}

/// The version of the only standard library beside an interpreter.
fn minor_by_library(tree: &RootTree, prefix: &str) -> Option<PythonMinor> {
    let mut minors = BTreeSet::new();
    for library in ["lib", "lib64"].map(|name| format!("{prefix}/{name}")) {
        let Some((_, names)) = tree.list(&library) else { continue };
        let homes = names.filter(|name| tree.resolve(&format!("{library}/{name}/os.py")).is_some());
        minors.extend(homes.filter_map(probe::python_minor));
    }
    if minors.len() == 1 { minors.pop_first() } else { None }
}

/// The full version that an interpreter's shared library or header tells.
fn version_beside(tree: &RootTree, prefix: &str, minor: PythonMinor) -> Option<String> {
    let libraries = ["lib", "lib64", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"];
    let libraries = libraries.map(|library| format!("{library}/libpython{minor}.so.1.0"));
    libraries.into_iter().chain([format!("include/python{minor}/patchlevel.h")]).find_map(|path| {
        let (_, Node::File(file)) = tree.resolve(&format!("{prefix}/{path}"))? else { return None };
        file.facts.python.clone().filter(|version| version.starts_with(&format!("{minor}.")))
    })
}

/// The C library; GNU libc where there are two, since musl is a guest then.
fn libc(tree: &RootTree) -> Option<Libc> {
    let version = |path: String| match tree.resolve(&path)? {
        (_, Node::File(file)) => file.facts.libc,
        _ => None,
    };
    let glibc = LIBRARY_DIRECTORIES.iter().find_map(|directory| version(format!("{directory}/libc.so.6")));
    glibc.or_else(|| {
        let (_, mut names) = tree.list("/lib")?;
        names.find_map(|name| {
            (name.starts_with("ld-musl-") && name.ends_with(".so.1"))
                .then(|| version(format!("/lib/{name}")))?
        })
    })
}
