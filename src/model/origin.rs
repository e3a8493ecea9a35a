//! Where a thing was said.

use std::fmt;

/// The place a requirement or a setting comes from: what an error points at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The file, relative to the project's root with `/` as separator, or a description such as `--constraint`.
    pub file: String,
    /// The line, from 1; absent where the whole file or a command-line option is meant.
    pub line: Option<u32>,
}

impl Origin {
    /// A line of a file.
    pub fn line(file: impl Into<String>, line: u32) -> Self {
        Self { file: file.into(), line: Some(line) }
    }

    /// A file as a whole.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), line: None }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// Something the user should know that does not stop the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What is noticed and what it means.
    pub message: String,
    /// Where, if a place is to blame.
    pub origin: Option<Origin>,
}

impl Warning {
    /// A warning about a place.
    pub fn at(origin: Origin, message: impl Into<String>) -> Self {
        Self { message: message.into(), origin: Some(origin) }
    }

    /// A warning about no particular place.
    pub fn general(message: impl Into<String>) -> Self {
        Self { message: message.into(), origin: None }
    }
}
