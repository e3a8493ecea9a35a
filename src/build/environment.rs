//! The virtual environment that a build runs in: its own interpreter, what it requires, and nothing of the user's.

use std::borrow::Cow;
use std::fs::{self, File};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;
use super::python::Python;
use super::unpack::ToFile;
use crate::dist::{Flaw, Inflater, Layout, Source, Wheel};
use crate::model::{ArchiveKind, Pin};
use crate::store::Blob;

/// Variables of the user that reach a build: they say which compiler there is, and how to use it.
pub(super) const PASSED_ON: [&str; 16] = [
    "AR",
    "CC",
    "CFLAGS",
    "CMAKE_PREFIX_PATH",
    "CPATH",
    "CPPFLAGS",
    "CXX",
    "CXXFLAGS",
    "LD",
    "LDFLAGS",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "MAKEFLAGS",
    "PKG_CONFIG_PATH",
    "RUSTFLAGS",
    "STRIP",
];

/// The time that files are given by builds: no earlier one fits into a zip archive in every time zone.
const SOURCE_DATE_EPOCH: &str = "315619200";

/// The longest first line of a script, and one without white space, that every kernel starts.
const LONGEST_SHEBANG: usize = 120;

/// A script that can be started: where its first line cannot name the interpreter, a shell does.
fn startable<'b>(script: &'b [u8], layout: &Layout<'_>) -> Cow<'b, [u8]> {
    let first = format!("#!/{}/bin/python\n", layout.prefix);
    let is_plain = first.len() <= LONGEST_SHEBANG && !first.trim_end().contains(char::is_whitespace);
    match script.strip_prefix(first.as_bytes()) {
        Some(rest) if !is_plain => {
            let start = format!("#!/bin/sh\n'''exec' '/{}/bin/python' \"$0\" \"$@\"\n' '''\n", layout.prefix);
            Cow::Owned([start.as_bytes(), rest].concat())
        }
        _ => Cow::Borrowed(script),
    }
}

/// A virtual environment, in a directory that somebody else removes.
pub(super) struct Environment {
    root: PathBuf,
    /// The directory of the whole build.
    directory: PathBuf,
}

impl Environment {
    /// Makes one in `directory`, with these wheels. Blocks.
    pub fn make(directory: &Path, python: &Python, wheels: &[(Pin, Blob)]) -> Result<Self, Error> {
        let root = directory.join("env");
        let minor = python.target.python;
        let create = |path: &Path| fs::create_dir_all(path).map_err(Error::io("create", path));
        create(&root.join("bin"))?;
        create(&root.join(format!("lib/python{minor}/site-packages")))?;
        for folder in ["home", "tmp", "out"] {
            create(&directory.join(folder))?;
        }
        let link = |target: &Path, name: &str| {
            let path = root.join("bin").join(name);
            symlink(target, &path).map_err(Error::io("create", &path))
        };
        link(&python.executable, "python")?;
        link(Path::new("python"), "python3")?;
        link(Path::new("python"), &format!("python{minor}"))?;
        let home = python.executable.parent().unwrap_or(Path::new("/")).display();
        let config = format!(
            "home = {home}\nimplementation = CPython\nversion_info = {}\ninclude-system-site-packages = false\n",
            python.version
        );
        let path = root.join("pyvenv.cfg");
        fs::write(&path, config).map_err(Error::io("write", &path))?;
        let this = Self { root, directory: directory.to_owned() };
        for (pin, blob) in wheels {
            this.install(python, pin, blob)?;
        }
        Ok(this)
    }

    /// Adds wheels to it. Blocks.
    pub fn install(&self, python: &Python, pin: &Pin, blob: &Blob) -> Result<(), Error> {
        let ArchiveKind::Wheel(name) = &pin.archive.kind else { return Ok(()) };
        let wheel = Wheel::open(blob.open()?, name)?;
        let prefix = self.root.to_string_lossy();
        let layout = Layout { prefix: prefix.trim_start_matches('/'), python: python.target.python };
        let plan = wheel.plan(&layout, None)?;
        let mut inflater = Inflater::default();
        for directory in &plan.directories {
            let path = self.root.join(directory);
            fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        }
        for file in &plan.files {
            let path = self.root.join(&file.path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
            }
            let mut options = File::options();
            options.write(true).create(true).truncate(true).mode(if file.executable { 0o755 } else { 0o644 });
            let out = options.open(&path).map_err(Error::io("create", &path))?;
            match &file.source {
                Source::Bytes(bytes) => {
                    drop(out);
                    let bytes = startable(bytes, &layout);
                    fs::write(&path, bytes).map_err(Error::io("write", &path))?;
                }
                Source::Entry { index, sha256 } => {
                    let entry = &wheel.archive().entries()[*index];
                    let mut sink = ToFile::new(out, path);
                    inflater.unpack(wheel.archive(), entry, &mut sink)?;
                    let actual = sink.hasher.finish();
                    if let Some(expected) = sha256.filter(|expected| *expected != actual) {
                        let flaw = Flaw::RecordHash { expected, actual };
                        return Err(wheel.archive().flaw(&entry.name, flaw).into());
                    }
                }
            }
        }
        Ok(())
    }

    /// A command of its interpreter in the directory `sources`, with nothing of the user's but the compiler.
    pub fn python(&self, sources: &Path) -> Command {
        let mut command = Command::new(self.root.join("bin/python"));
        let mut path = self.root.join("bin").into_os_string();
        if let Some(own) = std::env::var_os("PATH").filter(|own| !own.is_empty()) {
            path.push(":");
            path.push(own);
        }
        command.env_clear().current_dir(sources).env("PATH", path).env("VIRTUAL_ENV", &self.root);
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // Debugging information names the directory of the build, which is another one each time.
        let map = format!("-ffile-prefix-map={}=/build", self.directory.display());
        for flags in ["CFLAGS", "CXXFLAGS"] {
            if std::env::var_os(flags).is_none() {
                command.env(flags, &map);
            }
        }
        command
            .env("HOME", self.directory.join("home"))
            .env("TMPDIR", self.directory.join("tmp"))
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONNOUSERSITE", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUTF8", "1");
        command
    }
}
