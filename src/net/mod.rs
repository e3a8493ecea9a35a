//! One HTTP client for indexes and registries: TLS with the system's roots, proxies from the environment, bounded
//! connections, a time-out on every wait, retry with back-off, counters.

mod pace;

pub(crate) use pace::Pace;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::RETRY_AFTER;
use reqwest::{Certificate, ClientBuilder, NoProxy, Proxy, RequestBuilder, Response, StatusCode};
use tokio::sync::Semaphore;
use url::Url;

use crate::model::ExitCode;

/// How often a request is tried in all.
const ATTEMPTS: u32 = 4;
/// The wait after the first failure; doubled after each further one.
const BACK_OFF: Duration = Duration::from_millis(250);
/// The longest wait that a server may ask for with `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest silence in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// The most requests under way at once.
const CONCURRENT_REQUESTS: usize = 64;

/// The hosts that are this machine itself.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// What can go wrong with a request. No variant holds credentials: URLs are stripped of them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be set up.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file of certificates cannot be used.
    #[error("cannot read certificates from `{}`", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer, or one that broke off.
    #[error("no usable answer from {url}")]
    Transport {
        /// What was asked for.
        url: String,
        /// Why it failed.
        #[source]
        source: reqwest::Error,
    },
    /// The answer has a status that means failure.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// The answer is larger than allowed.
    #[error("the answer from {url} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The answer comes so slowly that it would not end.
    #[error("the answer from {url} comes too slowly")]
    TooSlow {
        /// What was asked for.
        url: String,
    },
    /// The network is not to be used.
    #[error("{url} is needed, but --offline was given")]
    Offline {
        /// What would have been asked for.
        url: String,
    },
}

impl Error {
    /// The documented exit code for an index; a registry maps its own.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Setup(_) => ExitCode::Internal,
            Self::Certificates { .. } => ExitCode::Usage,
            _ => ExitCode::Index,
        }
    }

    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Transport { source, .. } if is_certificate_error(source) => Some(
                "if the server's certificate is from an authority of your own, name its file in SSL_CERT_FILE or PIP_CERT"
                    .to_owned(),
            ),
            Self::Certificates { .. } => {
                Some("SSL_CERT_FILE, PIP_CERT and REQUESTS_CA_BUNDLE name files in PEM format".to_owned())
            }
            Self::Offline { .. } => Some("run once without --offline, so that the store has it".to_owned()),
            _ => None,
        }
    }

    /// The status of the answer, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Requests sent and bytes of bodies received and sent through one client.
#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Counters {
    /// Requests sent, retries included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of bodies received.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Adds received bytes; for bodies read by other means than [`Client::bytes`].
    pub fn add_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of bodies sent, as far as they were told to [`Counters::add_sent`].
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Adds sent bytes.
    pub fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The waits between the attempts of one piece of work; each wait is twice the one before.
#[derive(Debug)]
pub(crate) struct BackOff {
    attempts_left: u32,
    wait: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { attempts_left: ATTEMPTS - 1, wait: BACK_OFF }
    }
}

impl BackOff {
    /// How long to wait before the next attempt, `asked` being the server's wish; `None` when it is time to give up.
    pub(crate) fn next_pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.attempts_left = self.attempts_left.checked_sub(1)?;
        let pause = asked.unwrap_or(self.wait).min(LONGEST_WAIT);
        self.wait *= 2;
        Some(pause)
    }
}

/// The HTTP client. Clones share connections and limits; [`Client::counting_apart`] gives one with its own counters.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Made when it is needed: it costs the time to read the system's roots again.
    uploads: Arc<OnceLock<reqwest::Client>>,
    roots: Arc<[Certificate]>,
    permits: Arc<Semaphore>,
    counters: Arc<Counters>,
    offline: bool,
}

impl Client {
    /// A client that honours `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    /// With `offline` every request fails at once.
    pub fn new(offline: bool) -> Result<Self, Error> {
        Self::trusting(offline, &[])
    }

    /// The same, that trusts the certificates in these files besides the system's.
    pub fn trusting(offline: bool, files: &[PathBuf]) -> Result<Self, Error> {
        let mut roots = Vec::new();
        for file in files {
            roots.extend(certificates(file)?);
        }
        let roots: Arc<[Certificate]> = roots.into();
        // Fails only if a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            http: build(&roots, |builder| {
                let builder = builder.read_timeout(READ_TIMEOUT);
                // Reading the system's roots takes longer than a small project takes to lock.
                if offline { builder.tls_certs_only([]) } else { builder }
            })?,
            uploads: Arc::default(),
            roots,
            permits: Arc::new(Semaphore::new(CONCURRENT_REQUESTS)),
            counters: Arc::default(),
            offline,
        })
    }

    /// The same client with counters of its own.
    pub fn counting_apart(&self) -> Self {
        Self { counters: Arc::default(), ..self.clone() }
    }

    /// What passed through this client and its clones.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether the network must not be used.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Starts a request; hand it to [`Client::send`].
    pub fn request(&self, method: reqwest::Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Like [`Client::request`], for a long body: there is no time-out between sending the head and the answer, so the
    /// caller must watch that the body makes progress.
    pub fn upload(&self, method: reqwest::Method, url: Url) -> Result<RequestBuilder, Error> {
        let uploads = match self.uploads.get() {
            Some(uploads) => uploads,
            None => {
                let made = build(&self.roots, |builder| builder)?;
                self.uploads.get_or_init(|| made)
            }
        };
        Ok(uploads.request(method, url))
    }

    /// Sends a request and gives the answer whatever its status. Connection failures, 429 and 5xx are tried again
    /// with back-off, if the request's body can be repeated (a stream cannot). `Retry-After` is honoured up to 30 s.
    /// A redirect to another host loses the `Authorization` header.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        self.send_with(BackOff::default(), request).await
    }

    /// Like [`Client::send`], but tries once: to find out whether somebody answers.
    pub async fn probe(&self, request: RequestBuilder) -> Result<Response, Error> {
        self.send_with(BackOff { attempts_left: 0, wait: BACK_OFF }, request).await
    }

    async fn send_with(&self, mut back_off: BackOff, mut request: RequestBuilder) -> Result<Response, Error> {
        loop {
            let again = request.try_clone();
            let (http, built) = request.build_split();
            let built = built
                .map_err(|source| Error::Transport { url: String::new(), source: source.without_url() })?;
            let url = redacted(built.url());
            if self.offline {
                return Err(Error::Offline { url });
            }
            let outcome = {
                // Nothing closes the semaphore.
                let _permit = self.permits.acquire().await;
                self.counters.requests.fetch_add(1, Ordering::Relaxed);
                http.execute(built).await
            };
            let asked = match &outcome {
                Ok(response) if !is_passing(response.status()) => None,
                Ok(response) => Some(retry_after(response)),
                Err(error) if error.is_builder() || error.is_redirect() || is_certificate_error(error) => {
                    None
                }
                Err(_) => Some(None),
            };
            let pause = asked.and_then(|asked| Some((back_off.next_pause(asked)?, again?)));
            let Some((pause, again)) = pause else {
                return outcome.map_err(|source| Error::Transport { url, source: source.without_url() });
            };
            tracing::debug!(%url, ?pause, "trying again");
            tokio::time::sleep(pause).await;
            request = again;
        }
    }

    /// Like [`Client::send`], but a status that means failure is an error.
    pub async fn send_ok(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = self.send(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(Error::Status { url: redacted(response.url()), status: response.status() })
    }

    /// The body of an answer, at most `limit` bytes of it.
    pub async fn bytes(&self, mut response: Response, limit: u64) -> Result<Bytes, Error> {
        let url = redacted(response.url());
        let (mut body, mut pace) = (BytesMut::new(), Pace::default());
        while let Some(chunk) = self.chunk(&mut response, &mut pace).await? {
            if body.len() as u64 + chunk.len() as u64 > limit {
                return Err(Error::TooLarge { url, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The next piece of an answer's body, if it does not come too slowly.
    pub(crate) async fn chunk(
        &self,
        response: &mut Response,
        pace: &mut Pace,
    ) -> Result<Option<Bytes>, Error> {
        let start = Instant::now();
        let next = tokio::time::timeout(pace.patience(), response.chunk()).await;
        let chunk =
            next.map_err(|_| Error::TooSlow { url: redacted(response.url()) })?.map_err(|source| {
                Error::Transport { url: redacted(response.url()), source: source.without_url() }
            })?;
        let len = chunk.as_ref().map_or(0, Bytes::len);
        pace.note(len, start.elapsed());
        self.counters.add_received(len as u64);
        Ok(chunk)
    }
}

/// What all requests have in common.
fn build(
    roots: &[Certificate],
    finish: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<reqwest::Client, Error> {
    let setup = |error: reqwest::Error| Error::Setup(Box::new(error));
    let mut builder = reqwest::Client::builder().no_proxy();
    for proxy in proxies(&|name| std::env::var(name).ok()).map_err(setup)? {
        builder = builder.proxy(proxy);
    }
    if !roots.is_empty() {
        builder = builder.tls_certs_merge(roots.iter().cloned());
    }
    let builder = builder
        .user_agent(concat!("bakehouse/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(16)
        .redirect(reqwest::redirect::Policy::limited(10));
    finish(builder).build().map_err(setup)
}

/// The proxies that the environment names. Whatever it says, requests to this machine itself go there directly.
fn proxies(variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Proxy>, reqwest::Error> {
    let value = |name: &str| {
        let value = variable(&name.to_ascii_lowercase()).or_else(|| variable(name));
        value.filter(|value| !value.trim().is_empty())
    };
    let direct = format!("{LOOPBACK},{}", value("NO_PROXY").unwrap_or_default());
    let mut proxies = Vec::new();
    // In a CGI program, HTTP_PROXY is what a client sent as its header `Proxy`.
    if let Some(proxy) = value("HTTP_PROXY").filter(|_| variable("REQUEST_METHOD").is_none()) {
        proxies.push(Proxy::http(proxy)?);
    }
    if let Some(proxy) = value("HTTPS_PROXY") {
        proxies.push(Proxy::https(proxy)?);
    }
    if let Some(proxy) = value("ALL_PROXY") {
        proxies.push(Proxy::all(proxy)?);
    }
    Ok(proxies.into_iter().map(|proxy| proxy.no_proxy(NoProxy::from_string(&direct))).collect())
}

/// The certificates of a file in PEM format.
fn certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    let wrong = |source: Box<dyn std::error::Error + Send + Sync>| Error::Certificates {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::read(path).map_err(|error| wrong(Box::new(error)))?;
    match Certificate::from_pem_bundle(&bytes) {
        Ok(certificates) if certificates.is_empty() => Err(wrong("it holds none".into())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(wrong(Box::new(error))),
    }
}

/// Whether a request failed because the server's certificate is not trusted: the next try would fail as well.
fn is_certificate_error(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        // An I/O error hides the error that it wraps.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref());
        if matches!(tls, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        next = inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    }
    false
}

/// Whether a status is worth another try.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

/// The wait a server asks for in seconds; a date is not worth the parsing.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A URL as it may be shown: without user, password and query.
pub fn redacted(url: &Url) -> String {
    let mut url = without_credentials(url);
    url.set_query(None);
    url.into()
}

/// A URL without user and password, as it is recorded.
pub fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail only for URLs that cannot have any.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_urls_hold_no_secrets() {
        let url = Url::parse("https://user:secret@host.example/a/b?token=x#f").unwrap();
        assert_eq!(redacted(&url), "https://host.example/a/b#f");
    }
}
