//! How a base image is named.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use oci_client::Reference;

use super::error::Error;

/// Where a base image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An image in a registry, by tag or digest.
    Registry(Reference),
    /// An image in an OCI layout.
    Layout {
        /// The layout's directory.
        directory: PathBuf,
        /// The image's `ref.name`; without one, the layout must hold a single image.
        name: Option<String>,
    },
    /// A base made of the packages of a Debian suite.
    Debian {
        /// The suite's code name.
        suite: String,
    },
}

impl Source {
    /// A registry reference, as project files have it: there, every name is one.
    pub fn reference(text: &str) -> Result<Self, Error> {
        match text.parse::<Reference>() {
            Ok(reference) if reference.repository().contains(|c: char| c.is_ascii_uppercase()) => {
                Err(source_error(text, "a repository's name is in lower case".into()))
            }
            Ok(reference) => Ok(Self::Registry(reference)),
            Err(problem) => Err(source_error(text, problem.to_string())),
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    /// Parses what `--base` takes.
    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(rest) = text.strip_prefix("oci:") {
            // At the first colon, as other tools have it: names in a layout may contain one, directories not.
            let (directory, name) = match rest.split_once(':') {
                Some((directory, name)) => (directory, Some(name)),
                None => (rest, None),
            };
            if directory.is_empty() || name.is_some_and(str::is_empty) {
                return Err(source_error(text, "it lacks a directory, or a name after the colon".into()));
            }
            return Ok(Self::Layout { directory: directory.into(), name: name.map(str::to_owned) });
        }
        if let Some(suite) = text.strip_prefix("deb://") {
            return Ok(Self::Debian { suite: suite.to_owned() });
        }
        for (start, kind) in [("oci-archive:", "OCI archives"), ("docker-archive:", "docker archives")] {
            if text.starts_with(start) {
                return Err(Error::Unsupported { text: shown(text), kind });
            }
        }
        if text == "scratch" {
            return Err(Error::Unsupported { text: shown(text), kind: "empty bases" });
        }
        if let Some((scheme, _)) = text.split_once("://") {
            // The rest may hold a password.
            let scheme = format!("{}://", shown(scheme));
            return Err(source_error(&format!("{scheme}…"), format!("`{scheme}` is no kind of base")));
        }
        Self::reference(text)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Debian { suite } => write!(f, "deb://{suite}"),
            Self::Layout { directory, name: None } => write!(f, "oci:{}", directory.display()),
            Self::Layout { directory, name: Some(name) } => write!(f, "oci:{}:{name}", directory.display()),
        }
    }
}

fn source_error(text: &str, problem: String) -> Error {
    Error::Source { text: shown(text), problem }
}

/// As much of a text as a message should repeat.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExitCode;

    #[test]
    fn layouts_and_references_are_told_apart() {
        let layout = |directory: &str, name: Option<&str>| Source::Layout {
            directory: directory.into(),
            name: name.map(str::to_owned),
        };
        assert_eq!("oci:a/b".parse::<Source>().unwrap(), layout("a/b", None));
        assert_eq!("oci:/a:bookworm".parse::<Source>().unwrap(), layout("/a", Some("bookworm")));
        assert_eq!("oci:a:train:latest".parse::<Source>().unwrap(), layout("a", Some("train:latest")));
        for text in [
            "r.example/team/python:3.11",
            "127.0.0.1:5000/base@sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ] {
            let source: Source = text.parse().unwrap();
            assert!(matches!(source, Source::Registry(_)), "{text}");
            assert_eq!(source.to_string(), text);
        }
    }

    #[test]
    fn what_names_no_base_or_none_yet_is_a_typed_error() {
        let code = |text: &str| text.parse::<Source>().unwrap_err().exit_code();
        for text in ["", "oci:", "oci::x", "oci:d:", "https://r.example/x", "UPPER/case", "a b"] {
            assert_eq!(code(text), ExitCode::Usage, "{text}");
        }
        for text in ["oci-archive:x.tar", "docker-archive:x.tar", "scratch"] {
            assert_eq!(code(text), ExitCode::Project, "{text}");
        }
    }
}
