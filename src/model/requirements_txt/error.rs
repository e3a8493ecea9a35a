//! What can be wrong with a requirements file.

use super::MAX_DEPTH;
use crate::model::{ExitCode, Origin};

/// What is wrong with a requirements file. No variant holds credentials or values of variables.
#[derive(Debug, thiserror::Error)]
pub enum RequirementsTxtError {
    /// A line is not a requirement.
    #[error("{origin}: `{text}` is not a valid requirement: {problem}")]
    Invalid {
        /// Where.
        origin: Origin,
        /// The text, without credentials.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// A line says something that is not supported.
    #[error("{origin}: {what} is not supported yet")]
    Unsupported {
        /// Where.
        origin: Origin,
        /// What was found.
        what: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// A requirement names sources that nobody can read here.
    #[error("{origin}: `{name}` comes from {what}, which cannot be read")]
    UnknownSources {
        /// Where.
        origin: Origin,
        /// The distribution.
        name: String,
        /// Where it comes from, such as `a hg repository`.
        what: String,
    },
    /// An option is malformed.
    #[error("{origin}: {problem}")]
    Option {
        /// Where.
        origin: Origin,
        /// What is wrong.
        problem: String,
    },
    /// A variable is not set.
    #[error("{origin}: the environment variable `{name}` is not set")]
    UnsetVariable {
        /// Where.
        origin: Origin,
        /// The variable.
        name: String,
    },
    /// A requirement's URL would put a secret into locks, reports and images.
    #[error("{origin}: the URL of requirement `{name}` holds credentials")]
    Credentials {
        /// Where.
        origin: Origin,
        /// The distribution.
        name: String,
    },
    /// A requirement has hashes, but none that can be checked.
    #[error("{origin}: `{name}` has no sha256 hash, only others")]
    NoSha256 {
        /// Where.
        origin: Origin,
        /// The distribution.
        name: String,
    },
    /// A file includes itself.
    #[error("{origin}: `{file}` includes itself")]
    Cycle {
        /// Where the file is included again.
        origin: Origin,
        /// The file.
        file: String,
    },
    /// Files include each other too deeply.
    #[error("{origin}: files include each other more than {MAX_DEPTH} deep")]
    TooDeep {
        /// Where the limit is reached.
        origin: Origin,
    },
}

impl RequirementsTxtError {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::UnknownSources { .. } => ExitCode::NoResolution,
            _ => ExitCode::Project,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unsupported { hint, .. } => Some((*hint).to_owned()),
            Self::UnknownSources { name, .. } => Some(format!(
                "require a released version of `{name}`, or build a wheel of it (`pip wheel`) and name that: \
                 `{name} @ https://…/FILE.whl`, a path in the project, or an index or --find-links directory that has it"
            )),
            Self::UnsetVariable { name, .. } => Some(format!("set `{name}`, or write the value")),
            Self::Credentials { .. } => {
                Some("put the credentials into a netrc file for that host, and the plain URL here; of a repository, a variable may hold them: `git+https://${TOKEN}@…`".to_owned())
            }
            Self::NoSha256 { .. } => Some("add `--hash=sha256:…`".to_owned()),
            _ => None,
        }
    }
}
