//! Where archives come from.

use std::path::{Path, PathBuf};

use url::Url;

use super::error::Error;
use crate::model::Digest;
use crate::net;

/// A place that has archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSource {
    pub(super) place: Place,
    /// The hash that the archive must have, where the place is one archive.
    pub(super) sha256: Option<Digest>,
}

/// A file, a URL, or a directory of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Url(Url),
    File(PathBuf),
    /// What is below it is named in its list of hashes. Ends with `/`.
    UrlDirectory(Url),
    Directory(PathBuf),
}

impl ArchiveSource {
    /// Reads what a user names: `FILE`, `DIRECTORY` (relative to `from`), `URL`, or `URL/`; with `#sha256=HEX` behind a file
    /// or URL, if its hash shall be that.
    pub fn parse(text: &str, from: &Path) -> Result<Self, Error> {
        let wrong = |problem: &str| Error::Source { text: shown(text), problem: problem.to_owned() };
        let (place, hash) =
            text.split_once("#sha256=").map_or((text, None), |(place, hash)| (place, Some(hash)));
        let hash = hash.map(|hash| Digest::from_hex(hash).map_err(|_| wrong("its hash is no SHA-256")));
        let sha256 = hash.transpose()?;
        let place = if place.contains("://") {
            let url: Url = place.parse().map_err(|_| wrong("it is no URL"))?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err(wrong("a URL begins with https:// or http://"));
            }
            if url.path().ends_with('/') { Place::UrlDirectory(url) } else { Place::Url(url) }
        } else {
            if place.is_empty() {
                return Err(wrong("it is empty"));
            }
            let path = from.join(place);
            match std::fs::metadata(&path) {
                Ok(found) if found.is_dir() => Place::Directory(path),
                // What is not there may not be needed.
                _ => Place::File(path),
            }
        };
        if sha256.is_some() && matches!(place, Place::UrlDirectory(_) | Place::Directory(_)) {
            return Err(wrong("a directory has no hash"));
        }
        Ok(Self { place, sha256 })
    }
}

impl Place {
    /// The name of the file, without what is before it.
    pub fn file_name(&self) -> String {
        let name = match self {
            Self::Url(url) | Self::UrlDirectory(url) => url.path().rsplit('/').next().map(decoded),
            Self::File(path) | Self::Directory(path) => {
                path.file_name().map(|name| name.to_string_lossy().into_owned())
            }
        };
        name.unwrap_or_default()
    }

    /// What is called `name` below a directory.
    pub fn below(&self, name: &str) -> Self {
        match self {
            Self::UrlDirectory(url) | Self::Url(url) => {
                let mut url = url.clone();
                let directory = url.path().rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
                url.set_path(&format!("{directory}/{name}"));
                Self::Url(url)
            }
            Self::Directory(path) | Self::File(path) => Self::File(path.join(name)),
        }
    }

    /// As a lock has it: a URL without credentials, or a path, relative to the project's root if it is below that.
    pub fn recorded(&self, root: &Path) -> String {
        match self {
            Self::Url(url) | Self::UrlDirectory(url) => net::without_credentials(url).into(),
            Self::File(path) | Self::Directory(path) => {
                let path = path.canonicalize().unwrap_or_else(|_| path.clone());
                path.strip_prefix(root).unwrap_or(&path).display().to_string()
            }
        }
    }

    /// As messages have it.
    pub fn shown(&self) -> String {
        match self {
            Self::Url(url) | Self::UrlDirectory(url) => net::redacted(url),
            Self::File(path) | Self::Directory(path) => path.display().to_string(),
        }
    }
}

/// The name in a URL's path: builds have a plus sign in them, which some servers want encoded.
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// As much of a text as a message should repeat; of a URL, nothing that may be a password.
fn shown(text: &str) -> String {
    match text.parse::<Url>() {
        Ok(url) if url.has_host() => net::redacted(&url),
        _ if text.contains('@') => "…".to_owned(),
        _ => text.chars().take(200).collect(),
    }
}
