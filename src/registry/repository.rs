//! Registries and their repositories: what is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use oci_client::Reference;
use oci_spec::image::MediaType;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};
use url::Url;

use super::access::Access;
use super::auth::lock;
use super::credentials::Credentials;
use super::error::Error;
use super::host::{Host, Purpose};
use super::manifest::{DOCKER_INDEX, DOCKER_MANIFEST, MAX_MANIFEST_SIZE, Manifest};
use crate::model::Digest;
use crate::net::{self, Client, Counters};

/// All registries of a run. Clones share credentials, tokens and what is known to exist.
#[derive(Clone)]
pub struct Registries {
    client: Client,
    shared: Arc<Shared>,
}

struct Shared {
    plain_http: bool,
    credentials: Credentials,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

impl Registries {
    /// Registries with the credentials of Docker's and Podman's configuration files. Loopback registries may speak
    /// plain HTTP; with `plain_http`, so may all others that do not speak TLS.
    pub fn new(client: Client, plain_http: bool) -> Self {
        Self::with_credentials(client, plain_http, Credentials::from_env())
    }

    /// Registries with other credentials.
    pub fn with_credentials(client: Client, plain_http: bool, credentials: Credentials) -> Self {
        Self { client, shared: Arc::new(Shared { plain_http, credentials, hosts: Mutex::default() }) }
    }

    /// The same registries, with counters of their own.
    pub fn counting_apart(&self) -> Self {
        Self { client: self.client.counting_apart(), shared: self.shared.clone() }
    }

    /// Requests and bytes that passed through these registries.
    pub fn counters(&self) -> &Counters {
        self.client.counters()
    }

    /// The repository that a reference names; its tag or digest does not matter.
    pub fn repository(&self, reference: &Reference) -> Repository {
        let name = reference.resolve_registry();
        let host = lock(&self.shared.hosts)
            .entry(name.to_owned())
            .or_insert_with(|| {
                Arc::new(Host::new(name, self.shared.plain_http, self.shared.credentials.clone()))
            })
            .clone();
        Repository { client: self.client.clone(), host, name: reference.repository().to_owned() }
    }
}

/// A repository of a registry.
#[derive(Clone)]
pub struct Repository {
    pub(super) client: Client,
    pub(super) host: Arc<Host>,
    pub(super) name: String,
}

impl Repository {
    /// The registry's host name, with the port if there is one.
    pub fn registry(&self) -> &str {
        &self.host.name
    }

    /// The name inside the registry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether both are served by the same registry, so that blobs can be mounted from one into the other.
    pub fn same_registry(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.host, &other.host)
    }

    /// The manifest with a tag or digest; `None` if there is none.
    pub async fn manifest(&self, tag_or_digest: &str) -> Result<Option<Manifest>, Error> {
        let wanted = Wanted::parse(tag_or_digest)?;
        let reference = self.shown(tag_or_digest);
        let purpose = self.purpose(format!("read the manifest {tag_or_digest}"), Access::pull(&self.name));
        let url = self.url(&["manifests", tag_or_digest]).await?;
        let accept = [MediaType::ImageManifest, MediaType::ImageIndex]
            .map(String::from)
            .into_iter()
            .chain([DOCKER_MANIFEST.into(), DOCKER_INDEX.into()])
            .collect::<Vec<_>>()
            .join(", ");
        let make = || {
            let request = self.client.request(Method::GET, url.clone());
            Ok((url.clone(), request.header(ACCEPT, &accept).header(ACCEPT_ENCODING, "identity")))
        };
        let response = self.host.send(&self.client, &purpose, make).await?;
        match response.status() {
            StatusCode::NOT_FOUND => return Ok(None),
            status if !status.is_success() => return Err(purpose.refused(&self.client, response).await),
            _ => {}
        }
        let stated = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let announced = announced_digest(response.headers());
        let bytes = match self.client.bytes(response, MAX_MANIFEST_SIZE).await {
            Ok(bytes) => bytes,
            Err(net::Error::TooLarge { limit, .. }) => {
                return Err(Error::ManifestTooLarge { reference, limit });
            }
            Err(error) => return Err(purpose.network(error)),
        };
        let actual = Digest::of(&bytes);
        for expected in [wanted.digest(), announced].into_iter().flatten() {
            check_digest(|| format!("the manifest of {reference}"), expected, actual)?;
        }
        Manifest::new(bytes, stated.as_deref(), &reference).map(Some)
    }

    /// Whether a blob is there.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        self.has_blob_as(digest, Access::pull(&self.name)).await
    }

    /// Whether a blob is there, asked with a token that may do more.
    pub(super) async fn has_blob_as(&self, digest: &Digest, access: Access) -> Result<bool, Error> {
        if self.host.is_present(&self.name, digest) {
            return Ok(true);
        }
        let purpose = self.purpose(format!("look for the blob {digest}"), access);
        let url = self.url(&["blobs", &digest.to_string()]).await?;
        let make = || Ok((url.clone(), self.client.request(Method::HEAD, url.clone())));
        let response = self.host.send(&self.client, &purpose, make).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => {
                self.host.set_present(&self.name, digest);
                Ok(true)
            }
            _ => Err(purpose.refused(&self.client, response).await),
        }
    }

    /// A URL below the repository.
    pub(super) async fn url(&self, parts: &[&str]) -> Result<Url, Error> {
        let mut url = self.host.base(&self.client).await?.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(self.name.split('/')).extend(parts);
        }
        Ok(url)
    }

    pub(super) fn purpose(&self, action: String, access: Access) -> Purpose {
        Purpose { action, place: self.place(), access }
    }

    /// Registry and repository, for messages.
    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.host.name, self.name)
    }

    /// A reference, for messages.
    pub(super) fn shown(&self, tag_or_digest: &str) -> String {
        let separator = if tag_or_digest.contains(':') { '@' } else { ':' };
        format!("{}{separator}{tag_or_digest}", self.place())
    }
}

/// How a manifest is asked for.
pub(super) enum Wanted {
    Tag,
    Digest(Digest),
}

impl Wanted {
    /// Tells a tag from a digest, and refuses what is neither: it would go into a URL.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        if text.contains(':') {
            let digest = text.parse().map_err(|_| Error::name(text, "a SHA-256 digest"))?;
            return Ok(Self::Digest(digest));
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let legal = text.len() <= 128
            && text.starts_with(word)
            && text.chars().all(|c| word(c) || c == '.' || c == '-');
        if legal {
            Ok(Self::Tag)
        } else {
            Err(Error::name(text, "a tag (letters, digits, `_`, `.`, `-`; at most 128)"))
        }
    }

    pub(super) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Tag => None,
            Self::Digest(digest) => Some(*digest),
        }
    }
}

/// The digest that an answer says its content has. One of another algorithm than SHA-256 cannot be compared.
pub(super) fn announced_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

pub(super) fn check_digest(
    what: impl FnOnce() -> String,
    expected: Digest,
    actual: Digest,
) -> Result<(), Error> {
    if expected == actual { Ok(()) } else { Err(Error::DigestMismatch { what: what(), expected, actual }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_and_digests_go_into_urls() {
        let digest = Digest::of(b"");
        assert_eq!(Wanted::parse(&digest.to_string()).unwrap().digest(), Some(digest));
        assert_eq!(Wanted::parse("v1.0_a-b").unwrap().digest(), None);
        for bad in ["", ".a", "a/b", "a b", "sha256:12", "sha512:12", "é", &"a".repeat(129)] {
            assert!(Wanted::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn clones_share_what_they_know_and_count_apart_when_asked() {
        let registries =
            Registries::with_credentials(Client::new(true).unwrap(), false, Credentials::default());
        let reference: Reference = "r.example/a/b:c".parse().unwrap();
        let (one, other) =
            (registries.repository(&reference), registries.counting_apart().repository(&reference));
        assert!(one.same_registry(&other));
        registries.counters().add_received(1);
        assert_eq!(registries.counting_apart().counters().received(), 0);
    }
}
