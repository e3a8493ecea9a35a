//! What can be wrong with images.

use crate::model::{ExitCode, Platform};

/// What can be wrong with a base image, or with what an image shall become.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A document of the base is no valid JSON of its kind.
    #[error("the {document} of the base image is malformed")]
    Malformed {
        /// `manifest` or `config`.
        document: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A document of the base is well-formed but cannot be.
    #[error("the {document} of the base image is invalid: {problem}")]
    Invalid {
        /// `manifest` or `config`.
        document: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The base is something else than a container image.
    #[error("the base is no container image: its config has the media type {media_type}")]
    NotAnImage {
        /// The media type of what should be a config.
        media_type: String,
    },
    /// A layer of the base must not be distributed, or is of an unknown kind.
    #[error("the layer {digest} of the base image cannot be used: its media type is {media_type}")]
    UnusableLayer {
        /// The layer.
        digest: String,
        /// Its media type.
        media_type: String,
    },
    /// The base is for another platform.
    #[error("the base image is for {found}, not for {wanted}")]
    WrongPlatform {
        /// What the image shall run on.
        wanted: Platform,
        /// What the base runs on.
        found: String,
    },
    /// There are more layers than runtimes take.
    #[error("the image would have {count} layers ({base} of them from the base); runtimes take {limit}")]
    TooManyLayers {
        /// In all.
        count: usize,
        /// Those of the base.
        base: usize,
        /// The limit.
        limit: usize,
    },
    /// A document would be larger than registries and runtimes take.
    #[error("the image's {document} would be {size} bytes long; the limit is {limit}")]
    TooLarge {
        /// `manifest` or `config`.
        document: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A setting cannot be written into a config.
    #[error("`{value}` is not {expected}")]
    Setting {
        /// The setting.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::Project
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::WrongPlatform { wanted, .. } => {
                format!("choose a base that exists for {wanted}, or another `--platform`")
            }
            Self::TooManyLayers { .. } => {
                "choose a base with fewer layers; distributions that install the same file need a layer each: have fewer of those"
                    .into()
            }
            Self::NotAnImage { .. } => "`--base` must name a container image".into(),
            Self::TooLarge { .. } => "shorten the labels: they make up most of it".into(),
            _ => return None,
        })
    }
}
