//! Logging in to one registry: passwords, tokens, and the token server's protocol.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::{Host, Url};

use super::access::Access;
use super::challenge::Challenge;
use super::credentials::{Credential, Credentials};
use super::error::{Error, Login};
use super::host::Purpose;
use crate::net::Client;

/// The largest answer of a token server.
const MAX_TOKEN_ANSWER: u64 = 256 * 1024;
/// How long a token is good for if the server does not say; the standard's number.
const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// A token is renewed this long before it runs out, so that a request does not race it.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// How one logs in to a registry, and the tokens one has.
pub(super) struct Auth {
    registry: String,
    plain_http: bool,
    credentials: Credentials,
    credential: OnceCell<Result<Option<Credential>, String>>,
    challenge: Mutex<Option<Challenge>>,
    tokens: Mutex<HashMap<Access, Token>>,
    /// One request for a token at a time for the same access.
    fetching: Mutex<HashMap<Access, Arc<tokio::sync::Mutex<()>>>>,
}

struct Token {
    header: HeaderValue,
    expires: Instant,
}

impl Auth {
    pub(super) fn new(registry: &str, plain_http: bool, credentials: Credentials) -> Self {
        Self {
            registry: registry.to_owned(),
            plain_http,
            credentials,
            credential: OnceCell::new(),
            challenge: Mutex::default(),
            tokens: Mutex::default(),
            fetching: Mutex::default(),
        }
    }

    /// Whether there are credentials, as far as that was asked.
    pub(super) fn login(&self) -> Login {
        match self.credential.get() {
            Some(Ok(Some(_))) => Login::Sent,
            Some(Err(why)) => Login::Unusable(why.clone()),
            Some(Ok(None)) | None => Login::Missing,
        }
    }

    /// A login was refused: if it was a token, a new one is needed.
    pub(super) fn forget(&self, refused: &HeaderValue) {
        lock(&self.tokens).retain(|_, token| token.header != *refused);
    }

    /// Takes note of how the registry wants to be talked to.
    pub(super) fn learn(&self, base: &Url, response: &Response) {
        // After a redirect, the answer may come from somebody else.
        if response.status() == StatusCode::UNAUTHORIZED
            && response.url().origin() == base.origin()
            && let Some(challenge) = Challenge::parse(response.headers())
        {
            *lock(&self.challenge) = Some(challenge);
        }
    }

    /// The `Authorization` header for some work; none as long as the registry did not ask for it.
    pub(super) async fn authorization(
        &self,
        client: &Client,
        purpose: &Purpose,
    ) -> Result<Option<HeaderValue>, Error> {
        let challenge = lock(&self.challenge).clone();
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => match self.credential().await {
                Some(Credential::Password(user, password)) => Ok(Some(basic(user, password))),
                // An identity token is for a token server.
                Some(Credential::IdentityToken(_)) | None => Ok(None),
            },
            Some(Challenge::Bearer { realm, service }) => {
                self.token(client, purpose, &realm, service.as_deref()).await.map(Some)
            }
        }
    }

    async fn credential(&self) -> Option<&Credential> {
        let found = self.credential.get_or_init(|| self.credentials.find(&self.registry)).await;
        match found {
            Ok(found) => found.as_ref(),
            Err(why) => {
                tracing::warn!(registry = self.registry, "going on without credentials: {why}");
                None
            }
        }
    }

    /// A token for some work: one that is there and allows it, or a new one.
    async fn token(
        &self,
        client: &Client,
        purpose: &Purpose,
        realm: &Url,
        service: Option<&str>,
    ) -> Result<HeaderValue, Error> {
        let alone = lock(&self.fetching).entry(purpose.access.clone()).or_default().clone();
        let _alone = alone.lock().await;
        let now = Instant::now();
        let usable =
            |(access, token): &(&Access, &Token)| token.expires > now && access.covers(&purpose.access);
        if let Some((_, token)) = lock(&self.tokens).iter().find(usable) {
            return Ok(token.header.clone());
        }
        let token = self.fetch_token(client, purpose, realm, service).await?;
        let header = token.header.clone();
        lock(&self.tokens).insert(purpose.access.clone(), token);
        Ok(header)
    }

    async fn fetch_token(
        &self,
        client: &Client,
        purpose: &Purpose,
        realm: &Url,
        service: Option<&str>,
    ) -> Result<Token, Error> {
        let asked = Instant::now();
        let credential = self.credential().await;
        if credential.is_some() && !self.may_log_in_at(realm) {
            let realm = realm.host_str().unwrap_or_default().to_owned();
            return Err(Error::InsecureLogin { registry: self.registry.clone(), realm });
        }
        let scopes = purpose.access.scopes();
        let request = match credential {
            // Only the OAuth2 form of the request knows refresh tokens.
            Some(Credential::IdentityToken(token)) => {
                let form = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("grant_type", "refresh_token")
                    .append_pair("client_id", env!("CARGO_PKG_NAME"))
                    .extend_pairs(service.map(|service| ("service", service)))
                    .append_pair("scope", &scopes.join(" "))
                    .append_pair("refresh_token", token)
                    .finish();
                client
                    .request(Method::POST, realm.clone())
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form)
            }
            Some(Credential::Password(user, password)) => {
                let url = token_url(realm, service, &scopes, Some(user));
                client.request(Method::GET, url).header(AUTHORIZATION, basic(user, password))
            }
            None => client.request(Method::GET, token_url(realm, service, &scopes, None)),
        };
        let response = client.send(request).await.map_err(|source| purpose.network(source))?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(purpose.denied(client, self, response).await);
            }
            _ => return Err(purpose.refused(client, response).await),
        }
        let body =
            client.bytes(response, MAX_TOKEN_ANSWER).await.map_err(|source| purpose.network(source))?;
        // What the server sent is not shown: it may hold a token.
        parse_token(&body, asked)
            .ok_or_else(|| purpose.protocol("the registry's token server answered without a token"))
    }

    /// Credentials go to a token server over TLS, or where they go in the clear anyway.
    fn may_log_in_at(&self, realm: &Url) -> bool {
        let same_machine = || {
            let Ok(own) = Url::parse(&format!("http://{}/", self.registry)) else { return false };
            (is_loopback(&own) && is_loopback(realm)) || (self.plain_http && own.host() == realm.host())
        };
        realm.scheme() == "https" || same_machine()
    }
}

fn token_url(realm: &Url, service: Option<&str>, scopes: &[String], account: Option<&str>) -> Url {
    let mut url = realm.clone();
    url.query_pairs_mut()
        .extend_pairs(account.map(|account| ("account", account)))
        .extend_pairs(service.map(|service| ("service", service)))
        .extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
    url
}

fn parse_token(body: &[u8], asked: Instant) -> Option<Token> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        token: Option<String>,
        #[serde(default)]
        access_token: Option<String>,
        #[serde(default)]
        expires_in: Option<u64>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty())?;
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    // A year is long enough, and no sum overflows.
    let life = answer.expires_in.map_or(TOKEN_LIFE, |s| Duration::from_secs(s.min(365 * 24 * 3600)));
    Some(Token { header, expires: asked + life.saturating_sub(TOKEN_MARGIN.min(life / 2)) })
}

fn basic(user: &str, password: &str) -> HeaderValue {
    let encoded = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let Ok(mut header) = HeaderValue::try_from(encoded) else { unreachable!("base64 is plain ASCII") };
    header.set_sensitive(true);
    header
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

/// A lock that a panic elsewhere does not take away: what it guards is whole at every moment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
