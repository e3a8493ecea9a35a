//! One registry: how it is reached and what is known to be there.

use std::collections::HashSet;
use std::sync::Mutex;

use reqwest::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use tokio::sync::OnceCell;
use url::Url;

use super::access::Access;
use super::auth::{Auth, is_loopback, lock};
use super::credentials::Credentials;
use super::error::{Error, Refusal};
use crate::model::Digest;
use crate::net::{self, Client};

/// A registry, with everything that its repositories share.
pub(super) struct Host {
    /// The host name and port, as one logs in to it.
    pub(super) name: String,
    plain_http: bool,
    base: OnceCell<Url>,
    auth: Auth,
    /// Blobs that were seen in a repository. Only positive answers: what is not there may come.
    present: Mutex<HashSet<(String, Digest)>>,
}

/// What a request is for: for messages and for the token.
pub(super) struct Purpose {
    pub(super) action: String,
    pub(super) place: String,
    pub(super) access: Access,
}

impl Purpose {
    pub(super) fn network(&self, source: net::Error) -> Error {
        let (action, place) = (self.action.clone(), self.place.clone());
        Error::Network { action, place, source: Box::new(source) }
    }

    pub(super) fn protocol(&self, problem: impl Into<String>) -> Error {
        let (action, place) = (self.action.clone(), self.place.clone());
        Error::Protocol { action, place, problem: problem.into() }
    }

    /// An answer that means failure, as an error.
    pub(super) async fn refused(&self, client: &Client, response: Response) -> Error {
        let (action, place) = (self.action.clone(), self.place.clone());
        Error::Refused { action, place, detail: Box::new(Refusal::read(client, response).await) }
    }

    /// An answer that wants another login, as an error.
    pub(super) async fn denied(&self, client: &Client, auth: &Auth, response: Response) -> Error {
        Error::Denied {
            action: self.action.clone(),
            place: self.place.clone(),
            scopes: self.access.scopes().join(" "),
            login: auth.login(),
            detail: Box::new(Refusal::read(client, response).await),
        }
    }
}

impl Host {
    pub(super) fn new(name: &str, plain_http: bool, credentials: Credentials) -> Self {
        Self {
            name: name.to_owned(),
            plain_http,
            base: OnceCell::new(),
            auth: Auth::new(name, plain_http, credentials),
            present: Mutex::default(),
        }
    }

    /// Whether a blob was seen in a repository.
    pub(super) fn is_present(&self, repository: &str, digest: &Digest) -> bool {
        lock(&self.present).contains(&(repository.to_owned(), *digest))
    }

    /// Remembers that a blob is in a repository.
    pub(super) fn set_present(&self, repository: &str, digest: &Digest) {
        lock(&self.present).insert((repository.to_owned(), *digest));
    }

    /// The URL below which the registry's repositories are, ending in `/v2/`.
    ///
    /// TLS is a must, with two exceptions. A loopback registry usually speaks plain HTTP, so that is tried first, and TLS
    /// if plain HTTP is not understood. With `--plain-http` it is the other way round: the flag holds for all registries
    /// of a run, and those that do speak TLS shall not get passwords in the clear.
    pub(super) async fn base(&self, client: &Client) -> Result<&Url, Error> {
        self.base
            .get_or_try_init(|| async {
                let (http, https) = (self.url("http")?, self.url("https")?);
                let (first, second) = match (is_loopback(&http), self.plain_http) {
                    (true, _) => (http, https),
                    (false, true) => (https, http),
                    (false, false) => return Ok(https),
                };
                match client.probe(client.request(Method::GET, first.clone())).await {
                    // What a TLS server says to plain HTTP, if it says anything.
                    Ok(response)
                        if first.scheme() == "http" && response.status() == StatusCode::BAD_REQUEST =>
                    {
                        Ok(second)
                    }
                    Ok(response) => {
                        self.auth.learn(&first, &response);
                        Ok(first)
                    }
                    // Without TLS, failing to connect means that nobody is there.
                    Err(net::Error::Transport { source, .. })
                        if first.scheme() == "https" || !source.is_connect() =>
                    {
                        Ok(second)
                    }
                    Err(source) => {
                        let action = "reach the registry".to_owned();
                        Err(Error::Network { action, place: self.name.clone(), source: Box::new(source) })
                    }
                }
            })
            .await
    }

    fn url(&self, scheme: &str) -> Result<Url, Error> {
        let url = Url::parse(&format!("{scheme}://{}/v2/", self.name)).ok();
        // A name with a path, a user or a query would move the request elsewhere.
        url.filter(|url| {
            url.path() == "/v2/"
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
        })
        .ok_or_else(|| Error::name(&self.name, "the host name of a registry"))
    }

    /// Sends a request, logging in as the registry asks for it, and gives the answer whatever its status, but for 401
    /// and 403. A login that is refused once, as when a token ran out, is renewed once. `make` makes the request, and
    /// makes it again if it has to be repeated.
    pub(super) async fn send(
        &self,
        client: &Client,
        purpose: &Purpose,
        mut make: impl FnMut() -> Result<(Url, RequestBuilder), Error> + Send,
    ) -> Result<Response, Error> {
        let base = self.base(client).await?;
        let mut authorization = self.auth.authorization(client, purpose).await?;
        let mut renewed = false;
        loop {
            let (url, mut request) = make()?;
            // An upload may be directed to another server, whom the login does not concern.
            let ours = url.origin() == base.origin();
            if let Some(header) = authorization.as_ref().filter(|_| ours) {
                request = request.header(AUTHORIZATION, header.clone());
            }
            let response = client.send(request).await.map_err(|source| purpose.network(source))?;
            match response.status() {
                StatusCode::UNAUTHORIZED if ours && !renewed => {
                    self.auth.learn(base, &response);
                    if let Some(refused) = &authorization {
                        self.auth.forget(refused);
                    }
                    let fresh = self.auth.authorization(client, purpose).await?;
                    if fresh.is_none() || fresh == authorization {
                        return Err(purpose.denied(client, &self.auth, response).await);
                    }
                    (authorization, renewed) = (fresh, true);
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(purpose.denied(client, &self.auth, response).await);
                }
                _ => return Ok(response),
            }
        }
    }
}
