//! Requests to indexes and file servers: who gets which credentials, and what an answer means.

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, RANGE};
use reqwest::{Method, RequestBuilder, StatusCode};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};
use tokio::sync::Mutex;
use url::Url;

use super::client::blocking;
use super::netrc::Netrc;
use super::page::strip_credentials;
use super::settings::Settings;
use super::{Error, keyring};
use crate::net;

/// How often a body that breaks off is asked for again in all. (The client itself repeats what fails before the body.)
const ATTEMPTS: u32 = 3;

/// User and password for one index.
#[derive(Clone)]
struct Credentials {
    /// The URL of the index, without them.
    scope: Url,
    user: String,
    password: Option<String>,
}

/// The clients and credentials of this room.
pub(super) struct Web {
    /// For pages and metadata.
    pub(super) index: net::Client,
    /// For whole distributions.
    pub(super) files: net::Client,
    /// Of the indexes' URLs, and what the keyring gave.
    credentials: RwLock<Vec<Credentials>>,
    netrc: Netrc,
    /// The indexes for which the keyring may be asked, without credentials.
    scopes: Vec<Url>,
    /// Those for which it was. Empty, and never filled, where it is not to be used.
    asked: Option<Mutex<HashSet<Url>>>,
}

/// An answer with its body.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Where it came from in the end, without credentials.
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Web {
    pub(super) fn new(client: &net::Client, settings: &Settings) -> Self {
        let indexes = settings.all_urls();
        let credentials = indexes.iter().filter_map(|index| {
            let (user, password) = credentials_in(index)?;
            let mut scope = index.clone();
            strip_credentials(&mut scope);
            Some(Credentials { scope, user, password })
        });
        Self {
            index: client.counting_apart(),
            files: client.counting_apart(),
            credentials: RwLock::new(credentials.collect()),
            netrc: settings.netrc.as_deref().map(Netrc::read).unwrap_or_default(),
            scopes: indexes.iter().map(net::without_credentials).collect(),
            asked: settings.keyring.then(Mutex::default),
        }
    }

    pub(super) fn is_offline(&self) -> bool {
        self.index.is_offline()
    }

    /// Starts a `GET` with the credentials that belong to the URL: its own, or those of an index on the same scheme, host
    /// and port. A redirect to another place does not get them.
    pub(super) fn get(&self, client: &net::Client, url: &Url) -> RequestBuilder {
        let mut bare = url.clone();
        strip_credentials(&mut bare);
        bare.set_fragment(None);
        let request = client.request(Method::GET, bare);
        match self.credentials_for(url) {
            Some((user, password)) => request.basic_auth(user, password),
            None => request,
        }
    }

    fn credentials_for(&self, url: &Url) -> Option<(String, Option<String>)> {
        let own = credentials_in(url);
        if own.as_ref().is_some_and(|(_, password)| password.is_some()) {
            return own;
        }
        // One host may serve several indexes: the one whose path agrees furthest is meant.
        let near = {
            let known = self.credentials.read().unwrap_or_else(PoisonError::into_inner);
            let mut near: Vec<_> =
                known.iter().filter(|one| one.scope.origin() == url.origin()).cloned().collect();
            near.sort_by_key(|known| common_segments(&known.scope, url));
            near.pop().map(|best| (best.user, best.password))
        };
        let named = own.or(near);
        if named.as_ref().is_some_and(|(_, password)| password.is_some()) {
            return named;
        }
        let user = named.as_ref().map(|(user, _)| user.as_str());
        url.host_str().and_then(|host| self.netrc.get(host, user)).or(named)
    }

    /// Asks the keyring for the credentials of the index that a URL, which refused access, belongs to; once for each.
    /// Gives whether it knows any, so that it is worth trying again.
    pub(super) async fn unlock(&self, url: &Url) -> bool {
        let Some(asked) = &self.asked else { return false };
        let near = self.scopes.iter().filter(|scope| scope.origin() == url.origin());
        let Some(scope) = near.max_by_key(|scope| common_segments(scope, url)) else { return false };
        let mut asked = asked.lock().await;
        if asked.insert(scope.clone()) {
            let user = self.credentials_for(url).map(|(user, _)| user);
            let index = scope.clone();
            let found = blocking(move || Ok(keyring::credentials(&index, user.as_deref()))).await;
            if let Ok(Some((user, password))) = found {
                let mut known = self.credentials.write().unwrap_or_else(PoisonError::into_inner);
                known.retain(|known| known.scope != *scope);
                known.push(Credentials { scope: scope.clone(), user, password: Some(password) });
                return true;
            }
        }
        let known = self.credentials.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().any(|known| known.scope == *scope && known.password.is_some())
    }

    /// Sends what `request` makes and reads the body of an answer with status `wanted`, at most `limit` bytes of it.
    /// Other answers come without their bodies; 401 and 403 are errors.
    pub(super) async fn answer(
        &self,
        client: &net::Client,
        request: impl Fn() -> RequestBuilder,
        wanted: StatusCode,
        limit: u64,
    ) -> Result<Answer, Error> {
        let mut unlocked = false;
        for attempt in 1.. {
            let response = client.send(request()).await?;
            let status = response.status();
            let mut url = response.url().clone();
            strip_credentials(&mut url);
            if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                if !unlocked && self.unlock(&url).await {
                    unlocked = true;
                    continue;
                }
                return Err(self.unauthorized(&url, status));
            }
            let headers = response.headers().clone();
            let body = match status == wanted {
                true => client.bytes(response, limit).await.map(Vec::from),
                false => Ok(Vec::new()),
            };
            match body {
                Ok(body) => return Ok(Answer { status, url, headers, body }),
                Err(error @ net::Error::Transport { .. }) if attempt < ATTEMPTS => {
                    tracing::debug!(%error, attempt, "an answer broke off");
                }
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// The error for an answer that refuses access.
    pub(super) fn unauthorized(&self, url: &Url, status: StatusCode) -> Error {
        let credentials = self.credentials_for(url).is_some();
        Error::Unauthorized { url: net::redacted(url), status: status.as_u16(), credentials }
    }
}

/// Asks for bytes `range` only, uncompressed.
pub(super) fn ranged(request: RequestBuilder, range: &Range<u64>) -> RequestBuilder {
    request.header(RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))
}

/// The range and total length of a `Content-Range` header.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let text = headers.get(reqwest::header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = range.split_once('-')?;
    let (start, end) = (start.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
    let total = total.parse().ok()?;
    (start < end && end <= total).then_some((start..end, total))
}

/// The error for an answer with an unexpected status.
pub(super) fn unexpected(url: &Url, status: StatusCode) -> Error {
    net::Error::Status { url: net::redacted(url), status }.into()
}

/// User and password of a URL, decoded.
fn credentials_in(url: &Url) -> Option<(String, Option<String>)> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let password = url.password().map(decode);
    (!url.username().is_empty() || password.is_some()).then(|| (decode(url.username()), password))
}

fn common_segments(a: &Url, b: &Url) -> usize {
    a.path().split('/').zip(b.path().split('/')).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_their_own_server_only() {
        let url = |text: &str| Url::parse(text).unwrap();
        let client = net::Client::new(true).unwrap();
        let settings = Settings {
            index_url: url("https://one:p%40ss@host.example/a/simple/"),
            extra_index_urls: vec![
                url("https://two:x@host.example/b/simple/"),
                url("https://open.example/simple/"),
            ],
            ..Settings::default()
        };
        let web = Web::new(&client, &settings);
        let user = |text| web.credentials_for(&url(text));
        let one = Some(("one".to_owned(), Some("p@ss".to_owned())));
        assert_eq!(user("https://host.example/a/files/x.whl"), one);
        assert_eq!(user("https://host.example/b/simple/x/").unwrap().0, "two");
        assert_eq!(user("https://own:y@open.example/x.whl").unwrap().0, "own");
        for other in ["http://host.example/a/", "https://host.example:444/a/", "https://open.example/simple/"]
        {
            assert_eq!(user(other), None, "{other}");
        }
    }

    #[test]
    fn content_ranges_are_checked() {
        let read = |text: &'static str| {
            content_range(&[(reqwest::header::CONTENT_RANGE, text.parse().unwrap())].into_iter().collect())
        };
        assert_eq!(read("bytes 5-9/10"), Some((5..10, 10)));
        for bad in
            ["bytes 5-10/10", "bytes 9-5/10", "bytes */10", "bytes 5-9/*", "bytes 0-18446744073709551615/1"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
