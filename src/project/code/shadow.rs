//! Names of the code that hide modules of others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::CodeFiles;
use crate::model::{Origin, Warning};
use crate::project::{Component, ComponentKind};

/// The standard library's modules that every Python from 3.13 on has and that programs import, sorted.
#[rustfmt::skip]
const STANDARD: &[&str] = &[
    "abc", "argparse", "array", "ast", "asyncio", "atexit", "base64", "bdb", "binascii", "bisect", "builtins", "bz2",
    "calendar", "cmath", "cmd", "code", "codecs", "codeop", "collections", "colorsys", "compileall", "concurrent",
    "configparser", "contextlib", "contextvars", "copy", "copyreg", "csv", "ctypes", "curses", "dataclasses",
    "datetime", "dbm", "decimal", "difflib", "dis", "doctest", "email", "encodings", "ensurepip", "enum", "errno",
    "faulthandler", "fcntl", "filecmp", "fileinput", "fnmatch", "fractions", "ftplib", "functools", "gc",
    "genericpath", "getopt", "getpass", "gettext", "glob", "graphlib", "grp", "gzip", "hashlib", "heapq", "hmac",
    "html", "http", "imaplib", "importlib", "inspect", "io", "ipaddress", "itertools", "json", "keyword", "linecache",
    "locale", "logging", "lzma", "mailbox", "marshal", "math", "mimetypes", "mmap", "modulefinder", "multiprocessing",
    "netrc", "numbers", "opcode", "operator", "optparse", "os", "pathlib", "pdb", "pickle", "pickletools", "pkgutil",
    "platform", "plistlib", "poplib", "posix", "posixpath", "pprint", "profile", "pstats", "pty", "pwd", "py_compile",
    "pyclbr", "pydoc", "queue", "quopri", "random", "re", "readline", "reprlib", "resource", "rlcompleter", "runpy",
    "sched", "secrets", "select", "selectors", "shelve", "shlex", "shutil", "signal", "site", "smtplib", "socket",
    "socketserver", "sqlite3", "ssl", "stat", "statistics", "string", "stringprep", "struct", "subprocess", "symtable",
    "sys", "sysconfig", "syslog", "tabnanny", "tarfile", "tempfile", "termios", "textwrap", "threading", "time",
    "timeit", "tkinter", "token", "tokenize", "tomllib", "trace", "traceback", "tracemalloc", "tty", "types", "typing",
    "unicodedata", "unittest", "urllib", "uuid", "venv", "warnings", "wave", "weakref", "webbrowser", "wsgiref", "xml",
    "xmlrpc", "zipapp", "zipfile", "zipimport", "zlib", "zoneinfo",
];

pub(super) fn is_standard(name: &str) -> bool {
    STANDARD.binary_search(&name).is_ok()
}

impl CodeFiles {
    /// What the code can be imported as by one name: regular packages and modules, with their files relative to the
    /// image. They go before installed distributions and the standard library.
    pub fn modules(&self, component: &Component) -> Arc<BTreeMap<String, String>> {
        Arc::clone(self.modules.get_or_init(|| Arc::new(self.find_modules(component))))
    }

    fn find_modules(&self, component: &Component) -> BTreeMap<String, String> {
        let mut folders: Vec<String> =
            component.run.python_path.iter().map(|path| format!("{}/", path.trim_matches('/'))).collect();
        if component.kind == ComponentKind::Flow {
            // `python flow.py` looks beside the script first.
            folders.insert(0, format!("{}/", component.run.working_dir.trim_matches('/')));
        }
        let mut modules = BTreeMap::new();
        for path in self.shared.iter().chain(self.own.iter()).map(|file| &file.path) {
            for rest in folders.iter().filter_map(|folder| path.strip_prefix(folder.as_str())) {
                let Some(name) = rest.strip_suffix("/__init__.py").or_else(|| rest.strip_suffix(".py"))
                else {
                    continue;
                };
                if !name.contains('/') {
                    modules.entry(name.to_owned()).or_insert_with(|| path.clone());
                }
            }
        }
        modules
    }

    /// Warns of modules that hide the standard library's.
    pub(super) fn warn_of_standard_names(&mut self, component: &Component) {
        for (name, path) in self.modules(component).iter() {
            if is_standard(name) {
                let message = format!("its name hides the standard library's `{name}`: rename it");
                let path = path.strip_prefix("app/").unwrap_or(path);
                self.warnings.push(Warning::at(Origin::file(path), message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_is_sorted() {
        assert!(super::STANDARD.is_sorted());
    }
}
