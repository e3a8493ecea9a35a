//! How long an answer may be used again, and the form in which the store keeps a project's page.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pep508_rs::PackageName;
use reqwest::header::{AGE, CACHE_CONTROL, ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{RequestBuilder, header::HeaderName};
use serde::{Deserialize, Serialize};
use url::Url;

use super::packed::{Bytes, Listed, WEB, pack, unpack};
use super::releases::Releases;
use super::typed::{Reader, put_number, put_text};
use crate::model::{Digest, Key};
use crate::store::{self, Store};

/// The longest time, in seconds, that an answer is used without asking again, whatever the server says.
const LONGEST_FRESH: u64 = 600;
/// The longest validator that is kept.
const LONGEST_VALIDATOR: usize = 1024;

/// What a server said about using its answer again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Freshness {
    /// Until when it may be used unasked, in seconds of Unix time.
    until: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
}

impl Freshness {
    /// Reads the headers of an answer that has just come.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| -> Option<String> {
            let value = headers.get(name)?.to_str().ok()?;
            (value.len() <= LONGEST_VALIDATOR).then(|| value.to_owned())
        };
        let age = text(AGE).and_then(|age| age.trim().parse().ok()).unwrap_or(0);
        let max_age = text(CACHE_CONTROL).map_or(0, |value| max_age(&value)).min(LONGEST_FRESH);
        Self {
            until: now().saturating_add(max_age.saturating_sub(age)),
            etag: text(ETAG),
            last_modified: text(LAST_MODIFIED),
        }
    }

    /// Whether the answer may be used without asking. A clock that was set back makes nothing fresh for longer.
    pub(super) fn is_fresh(&self) -> bool {
        let now = now();
        now < self.until && self.until <= now + LONGEST_FRESH
    }

    /// Whether the server can be asked if the answer is still the same.
    pub(super) fn has_validator(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }

    /// Asks only for what has changed since.
    pub(super) fn condition(&self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some(etag) = &self.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(date) = &self.last_modified {
            request = request.header(IF_MODIFIED_SINCE, date);
        }
        request
    }

    /// What a `304 Not Modified` with these headers leaves: validators that it does not repeat stay as they were.
    pub(super) fn renewed(&self, headers: &HeaderMap) -> Self {
        let new = Self::of(headers);
        Self {
            until: new.until,
            etag: new.etag.or_else(|| self.etag.clone()),
            last_modified: new.last_modified.or_else(|| self.last_modified.clone()),
        }
    }
}

/// The seconds of `max-age`; none if the answer must not be used unasked.
fn max_age(cache_control: &str) -> u64 {
    let mut seconds = 0;
    for directive in cache_control.split(',') {
        let directive = directive.trim().to_ascii_lowercase();
        if matches!(directive.as_str(), "no-cache" | "no-store") {
            return 0;
        }
        if let Some(value) = directive.strip_prefix("max-age=") {
            seconds = value.trim_matches('"').parse().unwrap_or(0);
        }
    }
    seconds
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

const PAGES: &str = "index";

/// A page in the store: its [`Freshness`], then whether the index has the project, then the packed files. So a page can
/// be renewed, or found stale, without being read.
pub(super) struct StoredPage {
    pub(super) freshness: Freshness,
    bytes: Bytes,
    rest_at: usize,
}

impl StoredPage {
    /// The page with its releases; these are `None` if the index does not have the project. One that cannot be read counts
    /// as absent.
    pub(super) fn load(
        store: &Store,
        key: &Key,
        name: &PackageName,
        index: &Url,
    ) -> Result<Option<(Self, Option<Releases>)>, store::Error> {
        let Some(file) = store.open_record(PAGES, key)? else { return Ok(None) };
        Ok(Bytes::of(file).ok().and_then(|bytes| Self::read(bytes, name, index)))
    }

    fn read(bytes: Bytes, name: &PackageName, index: &Url) -> Option<(Self, Option<Releases>)> {
        let head = bytes.head()?.into_owned();
        let mut reader = Reader { bytes: &head };
        let until = reader.number()?;
        let mut text = || reader.text().map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()));
        let freshness = Freshness { until, etag: text()?, last_modified: text()? };
        let rest_at = head.len() - reader.bytes.len();
        let releases = match reader.byte()? {
            0 => None,
            _ => Some(unpack(name, index, (bytes.clone(), rest_at + 1), &head, WEB)?),
        };
        Some((Self { freshness, bytes, rest_at }, releases))
    }

    /// The releases of a page that has just been made.
    pub(super) fn releases(&self, name: &PackageName, index: &Url) -> Option<Releases> {
        Self::read(self.bytes.clone(), name, index)?.1
    }

    /// Stores the same page with new freshness.
    pub(super) fn renew(&self, store: &Store, key: &Key, freshness: &Freshness) -> Result<(), store::Error> {
        match self.bytes.get(self.rest_at..self.bytes.len()) {
            Some(rest) => Self::joined(freshness, &rest).write(store, key),
            None => Ok(()),
        }
    }

    /// The page with these files; without any if the index does not have the project.
    pub(super) fn new(freshness: &Freshness, name: &PackageName, listed: Option<&[Listed<'_>]>) -> Self {
        let rest = match listed {
            None => vec![0],
            Some(listed) => {
                let mut rest = vec![1];
                rest.append(&mut pack(name, listed));
                rest
            }
        };
        Self::joined(freshness, &rest)
    }

    fn joined(freshness: &Freshness, rest: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(64 + rest.len());
        put_number(&mut bytes, freshness.until);
        put_text(&mut bytes, freshness.etag.as_deref().unwrap_or_default());
        put_text(&mut bytes, freshness.last_modified.as_deref().unwrap_or_default());
        let rest_at = bytes.len();
        bytes.extend_from_slice(rest);
        Self { freshness: freshness.clone(), bytes: Bytes::Memory(Arc::new(bytes)), rest_at }
    }

    pub(super) fn write(&self, store: &Store, key: &Key) -> Result<(), store::Error> {
        match self.bytes.get(0..self.bytes.len()) {
            Some(bytes) => store.write(PAGES, key, &bytes),
            None => Ok(()),
        }
    }
}

/// What a direct URL led to; kept because such a URL need not tell its hash.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredUrl {
    pub(super) freshness: Freshness,
    pub(super) sha256: Digest,
    pub(super) size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freshness(headers: &[(&'static str, &'static str)]) -> Freshness {
        let pairs = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), reqwest::header::HeaderValue::from_static(value))
        });
        Freshness::of(&pairs.collect())
    }

    #[test]
    fn the_server_says_how_long_but_not_for_ever() {
        assert!(!freshness(&[]).is_fresh());
        assert!(freshness(&[("cache-control", "public, max-age=60")]).is_fresh());
        assert!(!freshness(&[("cache-control", "max-age=60"), ("age", "60")]).is_fresh());
        assert!(!freshness(&[("cache-control", "no-cache, max-age=60")]).is_fresh());
        let long = freshness(&[("cache-control", "max-age=99999999999")]);
        assert!(long.until <= now() + LONGEST_FRESH);
        assert!(!Freshness { until: u64::MAX, ..Freshness::default() }.is_fresh());
    }

    #[test]
    fn renewing_keeps_validators() {
        let first = freshness(&[("etag", "\"a\""), ("cache-control", "max-age=0")]);
        assert!(first.has_validator() && !first.is_fresh());
        let renewed = first.renewed(&[(CACHE_CONTROL, "max-age=9".parse().unwrap())].into_iter().collect());
        assert!(renewed.is_fresh());
        assert_eq!(renewed.etag, first.etag);
    }
}
