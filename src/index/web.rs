//! Requests to indexes and file servers: who gets which credentials, and what an answer means.

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, RANGE};
use reqwest::{Method, RequestBuilder, StatusCode};
use std::ops::Range;
use url::Url;

use super::Error;
use super::page::strip_credentials;
use crate::net;

/// How often a body that breaks off is asked for again in all. (The client itself repeats what fails before the body.)
const ATTEMPTS: u32 = 3;

/// User and password for one index.
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
    credentials: Vec<Credentials>,
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
    pub(super) fn new(client: &net::Client, indexes: &[Url]) -> Self {
        let credentials = indexes.iter().filter_map(|index| {
            let (user, password) = credentials_in(index)?;
            let mut scope = index.clone();
            strip_credentials(&mut scope);
            Some(Credentials { scope, user, password })
        });
        Self {
            index: client.counting_apart(),
            files: client.counting_apart(),
            credentials: credentials.collect(),
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
        if let Some(own) = credentials_in(url) {
            return Some(own);
        }
        // One host may serve several indexes: the one whose path agrees furthest is meant.
        let near = self.credentials.iter().filter(|known| known.scope.origin() == url.origin());
        let best = near.max_by_key(|known| common_segments(&known.scope, url))?;
        Some((best.user.clone(), best.password.clone()))
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
        for attempt in 1.. {
            let response = client.send(request()).await?;
            let status = response.status();
            let mut url = response.url().clone();
            strip_credentials(&mut url);
            if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
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
        let web = Web::new(
            &client,
            &[
                url("https://one:p%40ss@host.example/a/simple/"),
                url("https://two:x@host.example/b/simple/"),
                url("https://open.example/simple/"),
            ],
        );
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
