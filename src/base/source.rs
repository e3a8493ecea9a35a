//! How a base image is named.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use oci_client::Reference;

use super::error::Error;
use crate::registry::ArchiveFormat;

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
    /// An image in an archive.
    Archive {
        /// The archive's form.
        format: ArchiveFormat,
        /// The file.
        file: PathBuf,
        /// The image's name in it; without one, the archive must hold a single image.
        name: Option<String>,
    },
    /// No image at all: everything comes from the new layers.
    Scratch,
}

/// The archives that can be bases, by what stands before their file.
const ARCHIVES: [(&str, ArchiveFormat); 2] =
    [("oci-archive:", ArchiveFormat::Oci), ("docker-archive:", ArchiveFormat::Docker)];

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
            let (directory, name) = place(rest).ok_or_else(|| {
                source_error(text, "it lacks a directory, or a name after the colon".into())
            })?;
            return Ok(Self::Layout { directory, name });
        }
        if let Some(suite) = text.strip_prefix("deb://") {
            return Ok(Self::Debian { suite: suite.to_owned() });
        }
        for (start, format) in ARCHIVES {
            if let Some(rest) = text.strip_prefix(start) {
                let (file, name) = place(rest)
                    .ok_or_else(|| source_error(text, "it lacks a file, or a name after the colon".into()))?;
                return Ok(Self::Archive { format, file, name });
            }
        }
        if text == "scratch" {
            return Ok(Self::Scratch);
        }
        if text.starts_with("deb://") {
            return Err(Error::Unsupported { text: shown(text), kind: "bases from Debian's packages" });
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
            Self::Archive { format, file, name } => {
                let start = ARCHIVES.iter().find(|(_, known)| known == format).map_or("", |(start, _)| start);
                write!(f, "{start}{}", file.display())?;
                name.iter().try_for_each(|name| write!(f, ":{name}"))
            }
            Self::Scratch => f.write_str("scratch"),
        }
    }
}

/// A path and the name of an image there, divided at the first colon, as other tools have it: names may contain one,
/// paths not.
fn place(text: &str) -> Option<(PathBuf, Option<String>)> {
    let (path, name) = match text.split_once(':') {
        Some((path, name)) => (path, Some(name)),
        None => (text, None),
    };
    let whole = !path.is_empty() && name.is_none_or(|name| !name.is_empty());
    whole.then(|| (path.into(), name.map(str::to_owned)))
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
    fn archives_and_nothing_are_bases_too() {
        for text in ["oci-archive:a/b.tar", "docker-archive:x.tar.gz:python:3.11-slim", "scratch"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        let archive = Source::Archive {
            format: ArchiveFormat::Docker,
            file: "x.tar".into(),
            name: Some("python:3.11".to_owned()),
        };
        assert_eq!("docker-archive:x.tar:python:3.11".parse::<Source>().unwrap(), archive);
    }

    #[test]
    fn what_names_no_base_or_none_yet_is_a_typed_error() {
        let code = |text: &str| text.parse::<Source>().unwrap_err().exit_code();
        for text in
            ["", "oci:", "oci::x", "oci:d:", "oci-archive:", "https://r.example/x", "UPPER/case", "a b"]
        {
            assert_eq!(code(text), ExitCode::Usage, "{text}");
        }
    }
}
