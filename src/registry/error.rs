//! What can go wrong with registries and layouts.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_client::errors::{OciEnvelope, OciErrorCode};
use reqwest::{Response, StatusCode};

use crate::model::{Digest, ExitCode};
use crate::{net, store};

/// The most of an error's body that is read.
const MAX_ERROR_BODY: u64 = 64 * 1024;
/// The most of a registry's own words that is shown.
const MAX_MESSAGE: usize = 300;

/// Whether there were credentials when a registry refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// None are configured.
    Missing,
    /// They were sent.
    Sent,
    /// They are configured but could not be read; why.
    Unusable(String),
}

/// What can go wrong with registries and layouts. No variant holds credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No answer, or one that broke off.
    #[error("cannot {action} ({place})")]
    Network {
        /// What was tried.
        action: String,
        /// The registry and repository.
        place: String,
        /// Why it failed.
        #[source]
        source: Box<net::Error>,
    },
    /// An upload made no progress.
    #[error("cannot {action} ({place}): no progress for {seconds} s")]
    Stalled {
        /// What was tried.
        action: String,
        /// The registry and repository.
        place: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The registry wants (other) credentials.
    #[error("cannot {action} ({place}): access denied{detail}")]
    Denied {
        /// What was tried.
        action: String,
        /// The registry and repository.
        place: String,
        /// The scopes that are needed.
        scopes: String,
        /// Whether there were credentials.
        login: Login,
        /// What the registry says.
        detail: Box<Refusal>,
    },
    /// The registry answered with an error.
    #[error("cannot {action} ({place}): the registry answered {}{detail}", detail.status)]
    Refused {
        /// What was tried.
        action: String,
        /// The registry and repository.
        place: String,
        /// What the registry says.
        detail: Box<Refusal>,
    },
    /// The registry's answer makes no sense.
    #[error("cannot {action} ({place}): {problem}")]
    Protocol {
        /// What was tried.
        action: String,
        /// The registry and repository.
        place: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// Credentials would have to be sent in the clear.
    #[error("{registry} wants the login sent over plain HTTP to {realm}")]
    InsecureLogin {
        /// The registry.
        registry: String,
        /// The host that hands out the tokens.
        realm: String,
    },
    /// A registry, repository, tag or digest that cannot be.
    #[error("`{text}` is not {expected}")]
    Name {
        /// The text as given, cut short.
        text: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A manifest is larger than any registry takes.
    #[error("the manifest of {reference} is larger than {limit} bytes")]
    ManifestTooLarge {
        /// Whose.
        reference: String,
        /// The limit.
        limit: u64,
    },
    /// A manifest is not JSON, or not of a kind that can be used.
    #[error("the manifest of {reference} cannot be used: {problem}")]
    BadManifest {
        /// Whose.
        reference: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A manifest in Docker's first format, long out of use.
    #[error("{reference} is an image in Docker's schema 1 format, which is not supported")]
    SchemaOne {
        /// Which.
        reference: String,
    },
    /// Content is not what its digest says.
    #[error("{what} should have digest {expected}, but has {actual}")]
    DigestMismatch {
        /// What and where.
        what: String,
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// Content has not the length that was announced.
    #[error("{what} should be {expected} bytes long, but {} {actual}", if actual > expected { "has at least" } else { "has" })]
    SizeMismatch {
        /// What and where.
        what: String,
        /// The announced length.
        expected: u64,
        /// The length found, as far as it was read.
        actual: u64,
    },
    /// What is to be uploaded cannot be read.
    #[error("cannot read the blob {digest} that is to be uploaded")]
    Source {
        /// Which.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// The store failed.
    #[error("cannot keep what was pulled")]
    Store(#[from] store::Error),
    /// A directory is in use for something else.
    #[error("`{}` is neither an OCI layout nor empty", path.display())]
    NotALayout {
        /// The directory.
        path: PathBuf,
    },
    /// A layout or an archive is broken.
    #[error("`{}` cannot be used: {problem}", path.display())]
    BadLayout {
        /// The directory, or the archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A compressed archive is far larger than it is.
    #[error("`{}` decompresses to far more than it is: a decompression bomb", path.display())]
    Bomb {
        /// The archive.
        path: PathBuf,
    },
    /// A layout or an archive does not hold what was asked for.
    #[error("`{}` has no {wanted}", path.display())]
    NotInLayout {
        /// The directory, or the archive.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// The names that are there, as far as they are few.
        names: Vec<String>,
    },
    /// The file system said no.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } | Self::Bomb { .. } => {
                ExitCode::Integrity
            }
            Self::Refused { detail, .. } if detail.code == Some(OciErrorCode::DigestInvalid) => {
                ExitCode::Integrity
            }
            Self::Source { .. } | Self::Io { .. } => ExitCode::Internal,
            Self::Store(error) => error.exit_code(),
            Self::NotALayout { .. } => ExitCode::Usage,
            Self::BadLayout { .. } | Self::NotInLayout { .. } | Self::SchemaOne { .. } => ExitCode::Project,
            _ => ExitCode::Registry,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Denied { place, scopes, login, .. } => {
                let registry = place.split('/').next().unwrap_or(place);
                match login {
                    Login::Missing => format!(
                        "no credentials are configured for {registry}: log in (for instance `docker login {registry}`) as someone who may `{scopes}`"
                    ),
                    Login::Sent => format!(
                        "credentials for {registry} were sent: see that they are current (`docker login {registry}`) and allow `{scopes}`"
                    ),
                    Login::Unusable(why) => {
                        format!("the credentials configured for {registry} cannot be used: {why}")
                    }
                }
            }
            Self::Refused { detail, .. } => match detail.status {
                StatusCode::NOT_FOUND => {
                    "check the name; some registries want the repository to be created before the first push".into()
                }
                StatusCode::PAYLOAD_TOO_LARGE => {
                    "something between here and the registry limits the size of uploads; a reverse proxy's limit has to be raised".into()
                }
                StatusCode::TOO_MANY_REQUESTS => {
                    "the registry limits how much it is asked: try again later, or log in for a higher limit".into()
                }
                _ => return None,
            },
            Self::Network { source, .. } => match &**source {
                net::Error::Transport { url, .. } if url.starts_with("https:") => {
                    "check the name and the network; a registry without TLS needs `--plain-http`".into()
                }
                _ => return None,
            },
            Self::InsecureLogin { .. } => {
                "use a registry with TLS, or allow it with `--plain-http` if the network is trusted".into()
            }
            Self::SchemaOne { .. } => "push the image anew with a current tool, or choose another".into(),
            Self::NotALayout { .. } => "name a directory that is empty or does not exist yet".into(),
            Self::NotInLayout { names, .. } if !names.is_empty() => {
                format!("it has: {}", names.join(", "))
            }
            _ => return None,
        })
    }

    /// Whether the same work may succeed when it is tried again.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Network { source, .. } => matches!(**source, net::Error::Transport { .. }),
            Self::Stalled { .. } => true,
            Self::Refused { detail, .. } => {
                net::is_passing(detail.status) || detail.code == Some(OciErrorCode::BlobUploadUnknown)
            }
            _ => false,
        }
    }

    /// How long the registry wants to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { detail, .. } => detail.retry_after,
            _ => None,
        }
    }

    /// Whether the registry does not allow what was tried, or cannot do it.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Denied { .. } | Self::Refused { .. })
    }

    /// An I/O error with its context, for use with `map_err`.
    pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(super) fn name(text: &str, expected: &'static str) -> Self {
        Self::Name { text: shown(text), expected }
    }
}

/// An answer of a registry that means failure: the status, and the first error of the body if it has the standard form.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The standard's error code.
    pub code: Option<OciErrorCode>,
    /// The registry's own words: one line, of limited length.
    pub message: String,
    /// How long the registry wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads what a failed request was answered with.
    pub(super) async fn read(client: &net::Client, response: Response) -> Self {
        let (status, retry_after) = (response.status(), net::retry_after(&response));
        // The body only explains: if it cannot be read, the status has to do.
        let body = client.bytes(response, MAX_ERROR_BODY).await.unwrap_or_default();
        let first = serde_json::from_slice(&body)
            .ok()
            .and_then(|envelope: OciEnvelope| envelope.errors.into_iter().next());
        let (code, message) = first.map_or((None, String::new()), |e| (Some(e.code), shown(&e.message)));
        Self { status, code, message, retry_after }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = match &self.code {
            Some(OciErrorCode::Other(code)) => shown(code),
            // The standard's spelling is the one that serde knows.
            Some(code) => serde_json::to_value(code)
                .ok()
                .and_then(|value| value.as_str().map(str::to_owned))
                .unwrap_or_default(),
            None => String::new(),
        };
        match (code.as_str(), self.message.as_str()) {
            ("", "") => Ok(()),
            (text, "") | ("", text) => write!(f, " ({text})"),
            (code, message) => write!(f, " ({code}: {message})"),
        }
    }
}

/// Foreign text as it may be shown: one line without control or direction characters, of limited length.
pub(super) fn shown(text: &str) -> String {
    let harmless =
        |c: char| !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .flat_map(|word| [" ", word])
        .skip(1)
        .flat_map(str::chars)
        .filter(|&c| harmless(c))
        .take(MAX_MESSAGE)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_shown_on_one_short_line() {
        assert_eq!(shown("a\n b\u{1b}[31m\tc\u{202e}"), "a b [31m c");
        assert_eq!(shown(&"x".repeat(1000)).len(), MAX_MESSAGE);
    }

    #[test]
    fn a_refusal_shows_code_and_message() {
        let refusal = |code, message: &str| {
            Refusal { status: StatusCode::BAD_REQUEST, code, message: message.into(), retry_after: None }
                .to_string()
        };
        assert_eq!(refusal(Some(OciErrorCode::NameInvalid), "no"), " (NAME_INVALID: no)");
        assert_eq!(refusal(Some(OciErrorCode::Other("LOCKED".into())), ""), " (LOCKED)");
        assert_eq!(refusal(None, ""), "");
    }
}
