//! A package becomes a fragment: its files as an image has them, and what has to be known to configure it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};

use serde::{Deserialize, Serialize};

use super::control::Paragraph;
use super::deb::Deb;
use super::error::Error;
use super::lock::LockedPackage;
use crate::base::archive::{EntryKind, Fault};
use crate::layer::{self, Attributes, EntryWriter, Fragment, entries_key, stored_fragment};
use crate::model::{Key, KeyHasher};
use crate::store::{Blob, Store};

/// The version of the rules by which a package's files are chosen and written.
const RULES: &str = "debian-package/2";
/// The kind of the records about packages.
const RECORDS: &str = "debian-packages";

/// The most that one package may hold.
const MAX_ENTRIES: usize = 500_000;
const MAX_BYTES: u64 = 16 << 30;
/// The largest file that configuring reads.
const MAX_KEPT: u64 = 1 << 20;

/// Directories that are links into `/usr` since Debian 12.
pub(super) const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Directories that are links to where the running system keeps such things.
pub(super) const RUN: [(&str, &str); 2] = [("var/lock", "/run/lock"), ("var/run", "/run")];

/// Documentation, translations and what serves packaging alone. Licences (`copyright`) stay.
const DROPPED: [&str; 12] = [
    "usr/share/man/",
    "usr/share/info/",
    "usr/share/locale/",
    "usr/share/lintian/",
    "usr/share/bug/",
    "usr/share/doc-base/",
    "usr/share/menu/",
    "usr/share/pixmaps/",
    "usr/share/applications/",
    "usr/share/bash-completion/",
    "usr/share/zoneinfo/right/",
    "usr/share/zoneinfo/posix/",
];

/// Files that configuring reads.
const KEPT: [&str; 4] =
    ["usr/share/base-passwd/", "usr/share/base-files/", "usr/share/libc-bin/", "usr/share/ca-certificates/"];

/// What configuring needs of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// The control data, as the package has them.
    pub control: String,
    /// Its configuration files with their MD5 sums, as the package manager records them.
    pub conffiles: Vec<(String, String)>,
    /// The paths of all that is no directory.
    pub files: BTreeSet<String>,
    /// The files that configuring reads, by path.
    pub kept: BTreeMap<String, String>,
}

/// The key of a package's fragment.
pub(super) fn key(package: &LockedPackage) -> Key {
    entries_key(&KeyHasher::new(RULES).text(&package.sha256.to_string()).text(&package.name).finish())
}

/// The fragment of a package, if it is in the store with all that is known of it.
pub(super) fn stored(store: &Store, package: &LockedPackage) -> Result<Option<(Fragment, Facts)>, Error> {
    let key = key(package);
    let facts = store.record(RECORDS, &key)?;
    Ok(stored_fragment(store, &key)?.zip(facts))
}

/// Makes the fragment of a package, whose bytes must have been checked.
pub(super) fn build(store: &Store, package: &LockedPackage, deb: &Blob) -> Result<(Fragment, Facts), Error> {
    let key = key(package);
    let mut writer = EntryWriter::create(store, key)?;
    let facts = unpack(&mut writer, package, deb).map_err(|stop| match stop {
        // A name or a link that no layer may have: the project has no part in it.
        Stop::Error(Error::Layer(layer::Error::Path { path, reason })) => {
            let shown: String = path.escape_debug().take(200).collect();
            Error::Package { name: package.name.clone(), problem: format!("`{shown}`: {reason}") }
        }
        Stop::Error(error) => error,
        Stop::Fault(Fault::Refused(problem)) => Error::Package { name: package.name.clone(), problem },
        Stop::Fault(Fault::Io(source)) => Error::Read { name: package.name.clone(), source },
    })?;
    // The facts first: whoever finds the fragment finds them.
    store.put_record(RECORDS, &key, &facts)?;
    Ok((writer.finish()?, facts))
}

enum Stop {
    Error(Error),
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

fn unpack(writer: &mut EntryWriter<'_>, package: &LockedPackage, deb: &Blob) -> Result<Facts, Stop> {
    let mut deb = Deb::open(BufReader::with_capacity(128 << 10, deb.open().map_err(Error::from)?))?;
    let mut control = deb.control()?;
    let mut facts = Facts { control: control.remove("control").unwrap_or_default(), ..Facts::default() };
    let named = Paragraph::parse(&facts.control);
    let named =
        |field: &str| named.as_ref().and_then(|control| control.get(field)).unwrap_or_default().to_owned();
    if named("Package") != package.name || named("Version") != package.version {
        return Err(refused("its control data name another package").into());
    }

    // The paths as the package has them, for the package manager's own list.
    let mut listed = vec!["/.".to_owned()];
    let mut archive = deb.data()?;
    let (mut entries, mut bytes) = (0, 0_u64);
    let mut buffer = vec![0; 128 << 10];
    while let Some(entry) = archive.next()? {
        entries += 1;
        bytes = bytes.saturating_add(entry.size);
        if entries > MAX_ENTRIES || bytes > MAX_BYTES {
            return Err(refused("it holds more than a package may").into());
        }
        let own = clean(&entry.path)?;
        let path = merged(&own);
        let is_directory = entry.kind == EntryKind::Directory;
        let is_link = MERGED.contains(&&*path) || RUN.iter().any(|(link, _)| *link == path);
        if path.is_empty() || is_link || is_dropped(&path, is_directory) {
            continue;
        }
        listed.push(format!("/{own}"));
        let (uid, gid) = entry.owner;
        let default = if is_directory { 0o755 } else { 0o644 };
        let attributes = Attributes { mode: entry.mode.unwrap_or(default), uid, gid };
        if !is_directory {
            facts.files.insert(path.clone());
        }
        match entry.kind {
            EntryKind::Directory => writer.directory(&path, attributes)?,
            EntryKind::Symlink => {
                let target = text(&entry.target)?;
                writer.symlink(&path, &target)?;
            }
            EntryKind::HardLink => {
                let target = merged(&clean(&entry.target)?);
                // Its content would be gone with what is dropped.
                if is_dropped(&target, false) {
                    return Err(refused("a file is a link to one that is left out").into());
                }
                writer.hard_link(&path, &target, attributes)?;
            }
            EntryKind::File => {
                writer.file(&path, entry.size, attributes)?;
                let keep = KEPT.iter().any(|start| path.starts_with(start)) && entry.size <= MAX_KEPT;
                let mut kept = Vec::new();
                let mut content = archive.content();
                loop {
                    let n = content.read(&mut buffer).map_err(Fault::Io)?;
                    if n == 0 {
                        break;
                    }
                    writer.content(&buffer[..n])?;
                    if keep {
                        kept.extend_from_slice(&buffer[..n]);
                    }
                }
                drop(content);
                if keep && let Ok(text) = String::from_utf8(kept) {
                    facts.kept.insert(path, text);
                }
            }
            EntryKind::Other => return Err(refused("it holds a device or something unknown").into()),
        }
    }
    archive.finish()?;
    facts.conffiles = conffiles(&control);
    records(writer, &named, &listed, &control)?;
    Ok(facts)
}

impl Facts {
    /// The name of the package.
    pub fn name(&self) -> String {
        let control = Paragraph::parse(&self.control);
        control.and_then(|control| control.get("Package").map(str::to_owned)).unwrap_or_default()
    }
}

/// The files about a package that the package manager keeps: what is installed, and its MD5 sums.
fn records(
    writer: &mut EntryWriter<'_>,
    named: &dyn Fn(&str) -> String,
    listed: &[String],
    control: &BTreeMap<String, String>,
) -> Result<(), Stop> {
    let (name, architecture) = (named("Package"), named("Architecture"));
    let name = if named("Multi-Arch") == "same" { format!("{name}:{architecture}") } else { name };
    let file = |suffix: &str| format!("var/lib/dpkg/info/{name}.{suffix}");
    writer.bytes(&file("list"), (listed.join("\n") + "\n").as_bytes(), Attributes::root(0o644))?;
    if let Some(sums) = control.get("md5sums") {
        let kept = sums
            .lines()
            .filter(|line| line.split_once("  ").is_some_and(|(_, path)| !is_dropped(&merged(path), false)));
        let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
        writer.bytes(&file("md5sums"), kept.as_bytes(), Attributes::root(0o644))?;
    }
    Ok(())
}

/// The configuration files that are in the image. Their sums are among those of all files, where the package has any.
fn conffiles(control: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let sums: BTreeMap<&str, &str> = control
        .get("md5sums")
        .map(|sums| {
            sums.lines().filter_map(|line| line.split_once("  ")).map(|(sum, path)| (path, sum)).collect()
        })
        .unwrap_or_default();
    let listed = control.get("conffiles").map(String::as_str).unwrap_or_default();
    let found = listed.lines().filter_map(|path| {
        let sum = sums.get(path.strip_prefix('/')?)?;
        Some((path.to_owned(), (*sum).to_owned()))
    });
    found.collect()
}

/// A path as the archive has it, without the `./` and `/` around it.
fn clean(path: &[u8]) -> Result<String, Stop> {
    let path = text(path)?;
    let path = path.trim_start_matches("./").trim_matches('/');
    Ok(if path == "." { String::new() } else { path.to_owned() })
}

fn text(bytes: &[u8]) -> Result<String, Stop> {
    Ok(String::from_utf8(bytes.to_vec()).map_err(|_| refused("a path is no UTF-8 text"))?)
}

/// The path with `/bin`, `/lib` and so on below `/usr`.
fn merged(path: &str) -> String {
    match path.split_once('/') {
        Some((top, _)) if MERGED.contains(&top) => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

/// Whether a path is left out of images.
fn is_dropped(path: &str, is_directory: bool) -> bool {
    let in_or_at = |start: &str| path.starts_with(start) || Some(path) == start.strip_suffix('/');
    if DROPPED.into_iter().any(in_or_at) {
        return true;
    }
    // Of the documentation, directories are kept where they hold a licence.
    let Some(documentation) = path.strip_prefix("usr/share/doc/") else { return false };
    let deep = documentation.matches('/').count();
    if is_directory { deep > 0 } else { deep != 1 || !documentation.ends_with("/copyright") }
}

fn refused(problem: &str) -> Fault {
    Fault::Refused(problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_is_left_out_and_licences_stay() {
        for path in [
            "usr/share/man/man1/ls.1.gz",
            "usr/share/locale/fr/x.mo",
            "usr/share/doc/bash/README",
            "usr/share/doc/bash/copyright.gz",
            "usr/share/doc/bash/examples/copyright",
            "usr/share/zoneinfo/right/UTC",
        ] {
            assert!(is_dropped(path, false), "{path}");
        }
        for path in
            ["usr/share/doc/bash/copyright", "usr/bin/man", "usr/share/zoneinfo/UTC", "usr/share/manual"]
        {
            assert!(!is_dropped(path, false), "{path}");
        }
        assert!(!is_dropped("usr/share/doc/bash", true) && is_dropped("usr/share/man", true));
    }

    #[test]
    fn directories_at_the_top_are_merged_into_usr() {
        assert_eq!(merged("bin/sh"), "usr/bin/sh");
        assert_eq!(merged("lib64/ld.so"), "usr/lib64/ld.so");
        assert_eq!(merged("libexec/x"), "libexec/x");
        assert_eq!(merged("etc/bin"), "etc/bin");
    }
}
