//! The files that go into the code layers, and those that do not.

use serde::Serialize;

/// The files of a component's code layers.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CodeReport {
    /// The project's name.
    pub project: String,
    /// The component's name.
    pub component: String,
    /// `flow`, `deployment` or `package`.
    pub kind: String,
    /// The sum of the files' sizes in bytes.
    pub size: u64,
    /// The files, sorted by path.
    pub files: Vec<FileReport>,
    /// The libraries from outside the project that are in the files.
    pub libraries: Vec<LibraryReport>,
    /// What is left out, sorted by path.
    pub left_out: Vec<LeftOutReport>,
}

/// A library from outside the project.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LibraryReport {
    /// The name it is imported by.
    pub name: String,
    /// Its folder or file on this machine.
    pub path: String,
    /// How it was found: `option`, `repository`, `pythonpath` or `environment`.
    pub origin: String,
    /// The distribution that it was installed with, if it was.
    pub distribution: Option<String>,
}

/// A file of a code layer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    /// The path in the image, without the leading `/`.
    pub path: String,
    /// Its size in bytes; null for a symbolic link.
    pub size: Option<u64>,
    /// What it points to, if it is a symbolic link.
    pub link: Option<String>,
    /// The layer that holds it.
    pub layer: CodeLayer,
    /// Where it is on this machine.
    pub source: String,
}

/// A code layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CodeLayer {
    /// What components share.
    Shared,
    /// The component's own.
    Own,
}

/// A file or directory that is not in a component's code.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOutReport {
    /// Relative to the project; of a directory, with `/` at its end.
    pub path: String,
    /// Why, as one word.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
    /// The file with the rule that leaves it out, if it is one of the project's own.
    pub file: Option<String>,
    /// The rule's line.
    pub line: Option<u32>,
}
