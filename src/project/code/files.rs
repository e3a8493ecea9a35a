//! The code files of a component, and what is not among them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::{LIBRARIES, Library};
use crate::model::{Origin, Warning};

/// The code files of one component. Components whose lists are equal have them in common, as far as that shows before
/// they are made: whoever hashes them needs to do so once.
#[derive(Debug, Clone, Default)]
pub struct CodeFiles {
    /// What components share: `src/`, and libraries from outside the project. Sorted by path.
    pub shared: Arc<Vec<CodeFile>>,
    /// The component's own files, sorted by path.
    pub own: Arc<Vec<CodeFile>>,
    /// The libraries from outside the project that are in `shared`, sorted by name.
    pub libraries: Vec<Library>,
    /// What is left out, sorted by path.
    pub left_out: Arc<Vec<LeftOut>>,
    /// What was left out that its author might miss, and what is surprising.
    pub warnings: Vec<Warning>,
    /// See [`CodeFiles::modules`].
    pub(super) modules: OnceLock<Arc<BTreeMap<String, String>>>,
}

/// One file or symbolic link of a code layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CodeFile {
    /// The path in the image: relative, `/` as separator, such as `app/flows/trainer/flow.py`. Never with `.` or `..`,
    /// nor with a name that would delete files.
    pub path: String,
    /// Where it is, absolute.
    pub source: PathBuf,
    /// What it is.
    pub kind: CodeFileKind,
}

/// What a code file is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CodeFileKind {
    /// A regular file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// Its size in bytes when it was found.
        size: u64,
    },
    /// A symbolic link to another file or directory of the image's code.
    Symlink {
        /// The target, relative to the link's directory.
        target: String,
    },
}

/// A file or directory that is not in an image's code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// Relative to the project; of a directory with `/` at its end: nothing in it is taken.
    pub path: String,
    /// Why.
    pub reason: Reason,
}

/// Why something is left out of an image's code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It holds, or is likely to hold, credentials or keys. Its author is told.
    Secret,
    /// History and settings of version control.
    VersionControl,
    /// It can be made again, or belongs to a tool on the author's machine.
    Tool,
    /// A lock: it says what the environment is made of, and a build may write it.
    Lock,
    /// Its name begins with a dot.
    Hidden,
    /// The platform takes files by the ends of their names, and this one's is none of them.
    Suffix,
    /// It is beside the packages in `src/`, and no module.
    NoPackage,
    /// A pattern of `.dockerignore` or the like leaves it out.
    Ignored(Origin),
    /// A symbolic link that leads nowhere.
    BrokenLink,
    /// A symbolic link to a directory that holds it.
    Cycle,
    /// It is neither a file nor a directory.
    Special,
}

impl Reason {
    /// One word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::VersionControl => "version-control",
            Self::Tool => "tool",
            Self::Lock => "lock",
            Self::Hidden => "hidden",
            Self::Suffix => "suffix",
            Self::NoPackage => "no-package",
            Self::Ignored(_) => "ignored",
            Self::BrokenLink => "broken-link",
            Self::Cycle => "cycle",
            Self::Special => "special",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "may hold credentials",
            Self::VersionControl => "version control",
            Self::Tool => "a cache, or a tool's own",
            Self::Lock => "a lock",
            Self::Hidden => "hidden",
            Self::Suffix => "not among the suffixes",
            Self::NoPackage => "no package or module",
            Self::Ignored(origin) => return write!(f, "left out by {origin}"),
            Self::BrokenLink => "a link that leads nowhere",
            Self::Cycle => "a link to a directory that holds it",
            Self::Special => "neither a file nor a directory",
        })
    }
}

impl CodeFiles {
    /// The directory of libraries from outside the project, absolute, if there are any: an entry of `PYTHONPATH`, the
    /// last one.
    pub fn library_path(&self) -> Option<String> {
        (!self.libraries.is_empty()).then(|| format!("/{LIBRARIES}"))
    }

    /// Takes out the libraries that `is_installed` tells to be in the environment anyway, by the names of their
    /// distributions.
    pub fn without_installed(&mut self, is_installed: impl Fn(&str) -> bool) {
        let (out, kept) = std::mem::take(&mut self.libraries)
            .into_iter()
            .partition(|library| library.distribution.as_deref().is_some_and(&is_installed));
        self.libraries = kept;
        if !out.is_empty() {
            self.modules = OnceLock::new();
        }
        for library in out {
            let Library { name, distribution, .. }: Library = library;
            let stem = format!("{LIBRARIES}/{name}");
            let is_of = |path: &str| {
                path.strip_prefix(&stem).is_some_and(|rest| rest.starts_with('/') || rest == ".py")
            };
            Arc::make_mut(&mut self.shared).retain(|file| !is_of(&file.path));
            let message = format!(
                "the library `{name}` is taken from the locked {}, not from the active environment",
                distribution.unwrap_or_default()
            );
            self.warnings.push(Warning::general(message));
        }
    }
}
