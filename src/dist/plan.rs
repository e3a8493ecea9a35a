//! The install plan: which file of a wheel goes where, and which files an installer adds.
//!
//! Where released installers leave a choice, this does what uv does (0.13), so that an environment is the same
//! whichever of the two made it; `tests/install_like_uv.rs` compares them. But RECORD has one row for each file that is
//! there and none for others, where uv keeps rows of files that something else has replaced.

use std::collections::BTreeMap;

use url::Url;

use super::error::{Error, Flaw, printable};
use super::record::{self, Row};
use super::wheel::{Wheel, invalid};
use super::zip::{Entry, Inflater, path_order, unsafe_path};
use crate::model::{Digest, PythonMinor};

/// Who installed the distribution, as its INSTALLER file says.
pub const INSTALLER: &str = "bakehouse";

/// The most bytes that all scripts together may have whose first line is rewritten; the plan holds them.
const MAX_SCRIPTS: u64 = 16 << 20;

/// The environment that a wheel is installed into.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// The environment's directory without the leading `/`, such as `opt/venv`.
    pub prefix: &'a str,
    /// The Python it belongs to.
    pub python: PythonMinor,
}

impl Layout<'_> {
    /// The interpreter, which scripts name in their first line.
    fn interpreter(&self) -> String {
        format!("/{}/bin/python", self.prefix)
    }

    fn site_packages(&self) -> String {
        format!("lib/python{}/site-packages", self.python)
    }
}

/// Everything that installing a wheel puts into an environment.
#[derive(Debug)]
pub struct Plan {
    /// The files, sorted by [`path_order`].
    pub files: Vec<Planned>,
    /// Directories that the archive names, empty ones among them, sorted likewise.
    pub directories: Vec<String>,
}

/// One file to be.
#[derive(Debug)]
pub struct Planned {
    /// Its path below the environment's directory.
    pub path: String,
    /// Whether its mode is 0755 rather than 0644.
    pub executable: bool,
    /// Where its bytes come from.
    pub source: Source,
}

/// Where a file's bytes come from.
#[derive(Debug)]
pub enum Source {
    /// An entry of the archive.
    Entry {
        /// Its place in [`Archive::entries`](super::Archive::entries).
        index: usize,
        /// The hash that RECORD states.
        sha256: Option<Digest>,
    },
    /// Made by the installer.
    Bytes(Vec<u8>),
}

/// The text of `direct_url.json` for an archive (PEP 610), without credentials.
pub fn direct_url_json(url: &Url) -> String {
    let mut url = url.clone();
    let subdirectory = url.fragment().and_then(|it| it.strip_prefix("subdirectory="));
    let subdirectory = subdirectory
        .map_or_else(String::new, |it| format!(",\"subdirectory\":{}", serde_json::Value::from(it)));
    url.set_fragment(None);
    // Cannot fail where there is a host, and where there is none there are no credentials.
    let _ = url.set_username("").and(url.set_password(None));
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    // A commit of a repository: `git+https://…@COMMIT`.
    if let Some((repository, commit)) = url.as_str().strip_prefix("git+").and_then(|it| it.rsplit_once('@')) {
        return format!(
            "{{\"url\":{},\"vcs_info\":{{\"vcs\":\"git\",\"commit_id\":{}}}{subdirectory}}}",
            quoted(repository),
            quoted(commit)
        );
    }
    format!("{{\"url\":{},\"archive_info\":{{}}}}", quoted(url.as_str()))
}

/// A plan in the making: files by path with their RECORD rows. What is added later replaces what was there.
struct Draft<'a> {
    wheel: &'a Wheel,
    site: String,
    files: BTreeMap<String, (Planned, Row)>,
    /// How many bytes more of rewritten scripts there may be.
    scripts_left: u64,
}

impl Wheel {
    /// Plans the installation. `direct_url` is the URL that the requirement itself named, if it did.
    pub fn plan(&self, layout: &Layout<'_>, direct_url: Option<&Url>) -> Result<Plan, Error> {
        let mut draft = Draft {
            wheel: self,
            site: layout.site_packages(),
            files: BTreeMap::new(),
            scripts_left: MAX_SCRIPTS,
        };
        let mut directories = Vec::new();
        let mut elsewhere = Vec::new();
        let mut record_executable = false;
        let own = [&self.dist_info, "/RECORD"].concat();
        for (index, entry) in self.archive.entries().iter().enumerate() {
            let below = entry.name.strip_prefix(&self.data);
            if let Some(path) = below.and_then(|path| path.strip_prefix('/')) {
                elsewhere.push((index, entry, path));
            } else if entry.name == own {
                // It is written anew, but with the mode that it had.
                record_executable = entry.executable;
            } else if below == Some("") && entry.directory {
            } else if entry.directory {
                directories.push(format!("{}/{}", draft.site, entry.name));
            } else {
                draft.entry(format!("{}/{}", draft.site, entry.name), index, entry.executable)?;
            }
        }
        for script in &self.scripts {
            let bytes = script.script(&layout.interpreter()).into_bytes();
            draft.bytes(format!("bin/{}", script.name), bytes, true)?;
        }
        // Later kinds win over earlier ones and over the commands; the order must not depend on the archive's.
        elsewhere.sort_by_key(|&(index, _, path)| (path, index));
        let mut inflater = Inflater::default();
        for (index, entry, path) in elsewhere {
            let (kind, path) = path.split_once('/').unwrap_or((path, ""));
            if path.is_empty() && !entry.directory {
                return Err(self.unknown_data(&entry.name));
            }
            let directory = match kind {
                "purelib" | "platlib" => draft.site.clone(),
                "headers" => format!("include/site/python{}/{}", layout.python, self.name),
                "data" => String::new(),
                "scripts" => "bin".to_owned(),
                _ => return Err(self.unknown_data(&entry.name)),
            };
            let target = match (directory.as_str(), path) {
                ("", path) => path.to_owned(),
                (_, "") => directory,
                _ => format!("{directory}/{path}"),
            };
            if kind == "scripts" && !path.is_empty() {
                if entry.directory || path.contains('/') {
                    return Err(self.unknown_data(&entry.name));
                }
                // A command of the same name has precedence.
                if !self.scripts.iter().any(|script| script.name == path) {
                    draft.script(&mut inflater, layout, target, index, entry)?;
                }
            } else if !entry.directory {
                draft.entry(target, index, entry.executable)?;
            } else if !target.is_empty() {
                directories.push(real_path(target));
            }
        }
        draft.metadata(direct_url)?;
        draft.finish(directories, record_executable)
    }

    fn unknown_data(&self, name: &str) -> Error {
        invalid(&self.archive, format!("nobody knows where `{}` belongs", printable(name)))
    }
}

impl Draft<'_> {
    /// Adds an entry of the archive as it is.
    fn entry(&mut self, path: String, index: usize, executable: bool) -> Result<(), Error> {
        let entry = &self.wheel.archive.entries()[index];
        let listed = self.wheel.record.get(&entry.name);
        let row = Row {
            path: self.record_path(&path),
            hash: listed.map_or_else(String::new, |listed| listed.row.hash.clone()),
            size: listed.map_or(Some(entry.size), |listed| listed.row.size),
        };
        let sha256 = listed.and_then(|listed| listed.sha256);
        self.add(path, executable, Source::Entry { index, sha256 }, row)
    }

    /// Adds a file that the installer makes.
    fn bytes(&mut self, path: String, bytes: Vec<u8>, executable: bool) -> Result<(), Error> {
        let row = Row::of(self.record_path(&path), &bytes);
        self.add(path, executable, Source::Bytes(bytes), row)
    }

    /// Adds a script. A first line that starts with `#!python`, whatever follows, becomes one that names the
    /// environment's interpreter; every script is executable.
    fn script(
        &mut self,
        inflater: &mut Inflater,
        layout: &Layout<'_>,
        path: String,
        index: usize,
        entry: &Entry,
    ) -> Result<(), Error> {
        const PLACEHOLDER: &[u8] = b"#!python";
        let archive = &self.wheel.archive;
        if !inflater.peek(archive, entry, PLACEHOLDER.len())?.starts_with(PLACEHOLDER) {
            return self.entry(path, index, true);
        }
        let bytes = inflater.read(archive, entry, self.scripts_left)?;
        self.scripts_left -= bytes.len() as u64;
        let actual = Digest::of(&bytes);
        let expected = self.wheel.record.get(&entry.name).and_then(|listed| listed.sha256);
        if let Some(expected) = expected.filter(|&expected| expected != actual) {
            return Err(archive.flaw(&entry.name, Flaw::RecordHash { expected, actual }));
        }
        let line_end = bytes.iter().position(|&b| b == b'\n').map_or(bytes.len(), |at| at + 1);
        let mut rewritten = format!("#!{}\n", layout.interpreter()).into_bytes();
        rewritten.extend_from_slice(&bytes[line_end..]);
        self.bytes(path, rewritten, true)
    }

    /// Adds what an installer writes beside the wheel's own metadata.
    fn metadata(&mut self, direct_url: Option<&Url>) -> Result<(), Error> {
        let directory = format!("{}/{}", self.site, self.wheel.dist_info);
        self.bytes(format!("{directory}/INSTALLER"), INSTALLER.into(), false)?;
        // Every distribution of a lock was asked for.
        self.bytes(format!("{directory}/REQUESTED"), Vec::new(), false)?;
        if let Some(url) = direct_url {
            let json = direct_url_json(url);
            self.bytes(format!("{directory}/direct_url.json"), json.into(), false)?;
        }
        Ok(())
    }

    fn add(&mut self, path: String, executable: bool, source: Source, row: Row) -> Result<(), Error> {
        let flaw = |flaw| self.wheel.archive.flaw(&path, flaw);
        if let Some(reason) = unsafe_path(&path) {
            return Err(flaw(Flaw::Name(reason)));
        }
        if is_reserved(&path) {
            return Err(flaw(Flaw::Reserved(path.clone())));
        }
        let path = real_path(path);
        self.files.insert(path.clone(), (Planned { path, executable, source }, row));
        Ok(())
    }

    /// A path below the environment's directory as RECORD has it: relative to `site-packages`.
    fn record_path(&self, path: &str) -> String {
        let mut site = self.site.split('/').peekable();
        let mut rest = path;
        while let Some((part, tail)) = rest.split_once('/') {
            if site.next_if_eq(&part).is_none() {
                break;
            }
            rest = tail;
        }
        format!("{}{rest}", "../".repeat(site.count()))
    }

    /// Writes RECORD and puts everything in order.
    fn finish(self, mut directories: Vec<String>, executable: bool) -> Result<Plan, Error> {
        let record = format!("{}/{}/RECORD", self.site, self.wheel.dist_info);
        let own = Row { path: self.record_path(&record), hash: String::new(), size: None };
        let (mut files, mut rows): (Vec<Planned>, Vec<Row>) = self.files.into_values().unzip();
        rows.push(own);
        let bytes = record::write(&mut rows).into_bytes();
        files.push(Planned { path: record, executable, source: Source::Bytes(bytes) });
        files.sort_by(|a, b| path_order(&a.path, &b.path));
        directories.sort_by(|a, b| path_order(a, b));
        directories.dedup();
        check_tree(self.wheel, &files, &directories)?;
        Ok(Plan { files, directories })
    }
}

/// Refuses a file where something else needs a directory.
fn check_tree(wheel: &Wheel, files: &[Planned], directories: &[String]) -> Result<(), Error> {
    let files = files.iter().map(|file| (file.path.as_str(), true));
    let mut all: Vec<_> = files.chain(directories.iter().map(|path| (path.as_str(), false))).collect();
    all.sort_by(|a, b| path_order(a.0, b.0).then(b.1.cmp(&a.1)));
    for pair in all.windows(2) {
        let ((path, is_file), (next, _)) = (pair[0], pair[1]);
        let below = next.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if is_file && below {
            return Err(wheel.archive.flaw(path, Flaw::FileAndDirectory));
        }
    }
    Ok(())
}

/// Where a path leads: `lib64` of an environment is a symbolic link to `lib`.
fn real_path(path: String) -> String {
    match path.strip_prefix("lib64") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("lib{rest}"),
        _ => path,
    }
}

/// Whether a path is a part of the environment that no distribution may replace: the interpreter and its settings.
fn is_reserved(path: &str) -> bool {
    if matches!(path, "pyvenv.cfg" | "lib64") {
        return true;
    }
    let Some(suffix) = path.strip_prefix("bin/python") else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match suffix.strip_prefix('3') {
        Some(minor) => minor.is_empty() || minor.strip_prefix('.').is_some_and(digits),
        None => matches!(suffix, "" | "w"),
    }
}
