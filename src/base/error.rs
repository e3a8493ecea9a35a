//! What can go wrong with a base image.

use std::io;

use crate::model::{Digest, ExitCode, Platform};
use crate::{image, registry, store};

use super::contents::Python;
use super::{debian, interpreter};

/// What can go wrong with a base image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text names no base image.
    #[error("`{text}` names no base image: {problem}")]
    Source {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A kind of base image that cannot be used yet.
    #[error("base image `{text}`: {kind} are not supported yet")]
    Unsupported {
        /// The text as given.
        text: String,
        /// The kind, in the plural.
        kind: &'static str,
    },
    /// An image index, manifest or config that says nothing usable.
    #[error("the base image's {document} cannot be used: {problem}")]
    Document {
        /// Which document.
        document: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The base has no image for the platform.
    #[error("the base image has none for {wanted}: it is for {}", listed(found))]
    NoPlatform {
        /// The platform that was asked for.
        wanted: Platform,
        /// The platforms there are.
        found: Vec<String>,
    },
    /// The base has no Python that fits.
    #[error("the base image has no {wanted}: {}", has(found))]
    NoPython {
        /// What was asked for, such as `Python >=3.12`.
        wanted: String,
        /// The Pythons there are.
        found: Vec<Python>,
    },
    /// Nothing is there to build on.
    #[error("the base is `scratch`, which is empty: it has no {wanted}, and no C library to run one")]
    Scratch {
        /// What was asked for, such as `Python >=3.12`.
        wanted: String,
    },
    /// The image cannot be had.
    #[error("cannot open the base image {name}")]
    Open {
        /// The name as given.
        name: String,
        /// Why.
        source: registry::Error,
    },
    /// There is no such image.
    #[error("there is no base image {name}")]
    NotFound {
        /// The name as given.
        name: String,
    },
    /// The documents of the image are wrong.
    #[error("the base image {name} cannot be used")]
    Image {
        /// The name as given.
        name: String,
        /// Why.
        source: image::Error,
    },
    /// A base made of Debian's packages cannot be had.
    #[error(transparent)]
    Debian(#[from] debian::Error),
    /// A Python that the base lacks cannot be had.
    #[error(transparent)]
    Interpreter(#[from] interpreter::Error),
    /// The store failed.
    #[error(transparent)]
    Store(store::Error),
    /// The bytes of a layer could not be had.
    #[error("cannot read base layer {layer}")]
    Read {
        /// The layer's digest.
        layer: Digest,
        /// Why it failed.
        source: io::Error,
    },
    /// A layer is damaged: it does not decompress, or ends early.
    #[error("base layer {layer} is damaged")]
    Damaged {
        /// The layer's digest.
        layer: Digest,
        /// What the decoder says.
        source: io::Error,
    },
    /// A layer does what no honest one does.
    #[error("base layer {layer} is refused: {problem}")]
    Refused {
        /// The layer's digest.
        layer: Digest,
        /// What it does.
        problem: String,
    },
    /// The content of a layer is not what the image's config says.
    #[error("base layer {layer} should have the diff ID {expected} and has {actual}")]
    DiffId {
        /// The layer's digest.
        layer: Digest,
        /// The diff ID in the config.
        expected: Digest,
        /// The digest of what the layer decompresses to.
        actual: Digest,
    },
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Source { .. } => ExitCode::Usage,
            Self::Unsupported { .. }
            | Self::Document { .. }
            | Self::NoPlatform { .. }
            | Self::Scratch { .. }
            | Self::NoPython { .. } => ExitCode::Project,
            // Whoever keeps it: what is no image is the wrong base.
            Self::Open {
                source: registry::Error::BadManifest { .. } | registry::Error::SchemaOne { .. },
                ..
            } => ExitCode::Project,
            Self::Open { source, .. } => source.exit_code(),
            Self::Image { source, .. } => source.exit_code(),
            Self::Debian(error) => error.exit_code(),
            Self::Interpreter(error) => error.exit_code(),
            Self::NotFound { .. } => ExitCode::Project,
            Self::Store(error) => error.exit_code(),
            // A layout checks its blobs as they are read, and tells what it found inside the I/O error.
            Self::Read { source, .. } => source
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<registry::Error>())
                .map_or(ExitCode::Internal, registry::Error::exit_code),
            Self::Damaged { .. } | Self::Refused { .. } | Self::DiffId { .. } => ExitCode::Integrity,
        }
    }

    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Source { .. } | Self::Unsupported { .. } => {
                "name an image in a registry, such as `python:3.11-slim`, a local one, `oci:DIR[:NAME]`, `oci-archive:FILE[:NAME]` or `docker-archive:FILE[:NAME]`, or one of Debian's suites, `deb://bookworm`".into()
            }
            Self::NoPlatform { found, .. } => match found.as_slice() {
                [] => return None,
                found => format!("choose another base image, or one of its platforms with `--platform`: {}", found.join(", ")),
            },
            Self::Scratch { .. } => "choose a base image with a CPython (3.7 or newer) with `--base`, or give one with `--python-archive`".into(),
            Self::NoPython { found, .. } if found.is_empty() => {
                "choose a base image with a CPython (3.7 or newer) on its PATH".into()
            }
            Self::NoPython { found, .. } => {
                let mut choices: Vec<_> = found.iter().map(|python| python.minor).collect();
                choices.sort();
                choices.dedup();
                let choices: Vec<_> = choices.iter().map(|minor| format!("`--python {minor}`")).collect();
                format!(
                    "choose {}, or another base image with `--base`, or give the Python with `--python-archive`",
                    choices.join(" or ")
                )
            }
            Self::Damaged { .. } | Self::Refused { .. } | Self::DiffId { .. } => {
                "do not use this image; if you trust where it comes from, have it built or copied anew".into()
            }
            Self::Debian(error) => return error.hint(),
            Self::Interpreter(error) => return error.hint(),
            Self::Open { source, .. } => return source.hint(),
            Self::Image { source, .. } => return source.hint(),
            Self::NotFound { .. } => "check the name and the tag".into(),
            Self::Document { .. } | Self::Read { .. } | Self::Store(_) => return None,
        };
        Some(text)
    }
}

fn listed(found: &[String]) -> String {
    if found.is_empty() { "nothing that can be told".into() } else { found.join(", ") }
}

fn has(found: &[Python]) -> String {
    if found.is_empty() {
        return "there is no Python on its PATH, in /usr/local/bin, /usr/bin or below /opt".into();
    }
    let found: Vec<_> =
        found.iter().map(|python| format!("{} ({})", python.executable, python.minor)).collect();
    format!("it has {}", found.join(", "))
}
