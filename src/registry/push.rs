//! Pushing blobs and manifests.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use oci_client::errors::OciErrorCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::access::Access;
use super::body::{Progress, Source, body};
use super::error::Error;
use super::host::Purpose;
use super::manifest::MAX_MANIFEST_SIZE;
use super::repository::{Repository, Wanted, announced_digest, check_digest};
use crate::model::Digest;
use crate::net::BackOff;

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Present,
    /// The registry took it over from another of its repositories.
    Mounted,
    /// It was sent.
    Uploaded,
}

/// What came of asking for a mount.
enum Mount {
    Done,
    /// The registry would rather have the blob sent, and here.
    Session(Url),
    No,
}

impl Repository {
    /// Takes a blob over from another repository of the same registry. `false` if the registry does not do that, or
    /// does not allow it: then the blob has to be pushed.
    pub async fn mount_blob(&self, digest: &Digest, from: &Self) -> Result<bool, Error> {
        if self.host.is_present(&self.name, digest) {
            return Ok(true);
        }
        match self.try_mount(digest, from).await? {
            Mount::Done => Ok(true),
            Mount::No => Ok(false),
            Mount::Session(url) => {
                let purpose =
                    self.purpose(format!("give up an upload of {digest}"), Access::push(&self.name));
                let make = || Ok((url.clone(), self.client.request(Method::DELETE, url.clone())));
                // The registry clears abandoned uploads away in time; asking it to is a courtesy.
                if let Err(error) = self.host.send(&self.client, &purpose, make).await {
                    tracing::debug!(%error, "an upload session stays open");
                }
                Ok(false)
            }
        }
    }

    /// Brings a blob into the repository in the cheapest way: it may be there, it may be mounted `from` another
    /// repository, or else it is sent in one streamed request. `open` gives the bytes from the start each time it is
    /// called: once for each attempt.
    pub async fn push_blob<F>(
        &self,
        digest: &Digest,
        size: u64,
        from: Option<&Self>,
        mut open: F,
    ) -> Result<Pushed, Error>
    where
        F: FnMut() -> io::Result<Source> + Send,
    {
        let access = Access::push(&self.name);
        if self.has_blob_as(digest, access.clone()).await? {
            return Ok(Pushed::Present);
        }
        let mut session = None;
        if let Some(from) = from {
            match self.try_mount(digest, from).await? {
                Mount::Done => return Ok(Pushed::Mounted),
                Mount::Session(url) => session = Some(url),
                Mount::No => {}
            }
        }
        let purpose = self.purpose(format!("push the blob {digest}"), access.clone());
        let mut back_off = BackOff::default();
        loop {
            let url = match session.take() {
                Some(url) => url,
                None => self.open_session(&purpose).await?,
            };
            let error = match self.upload(&purpose, url, digest, size, &mut open).await {
                Ok(()) => break,
                Err(error) => error,
            };
            let pause =
                Some(&error).filter(|e| e.is_passing()).and_then(|e| back_off.next_pause(e.retry_after()));
            let Some(pause) = pause else { return Err(error) };
            tracing::debug!(%error, ?pause, "pushing again");
            tokio::time::sleep(pause).await;
            // The answer may have been lost, and not the blob.
            if self.has_blob_as(digest, access.clone()).await? {
                break;
            }
        }
        self.host.set_present(&self.name, digest);
        Ok(Pushed::Uploaded)
    }

    /// Writes a manifest under a tag or its digest.
    pub async fn push_manifest(
        &self,
        tag_or_digest: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, Error> {
        let reference = self.shown(tag_or_digest);
        let what = || format!("the manifest {reference}");
        let digest = Digest::of(bytes);
        if let Some(wanted) = Wanted::parse(tag_or_digest)?.digest() {
            check_digest(what, wanted, digest)?;
        }
        if bytes.len() as u64 > MAX_MANIFEST_SIZE {
            return Err(Error::ManifestTooLarge { reference, limit: MAX_MANIFEST_SIZE });
        }
        let purpose = self.purpose(format!("push the manifest {tag_or_digest}"), Access::push(&self.name));
        let url = self.url(&["manifests", tag_or_digest]).await?;
        let body = Bytes::copy_from_slice(bytes);
        let make = || {
            let request = self.client.request(Method::PUT, url.clone());
            Ok((url.clone(), request.header(CONTENT_TYPE, media_type).body(body.clone())))
        };
        let mut back_off = BackOff::default();
        let response = loop {
            let response = self.host.send(&self.client, &purpose, make).await?;
            if response.status().is_success() {
                break response;
            }
            let error = purpose.refused(&self.client, response).await;
            // The digest is right. A registry on plain files says this while another client writes the same document.
            let busy = matches!(&error, Error::Refused { detail, .. } if detail.code == Some(OciErrorCode::DigestInvalid));
            let Some(pause) = back_off.next_pause(None).filter(|_| busy) else { return Err(error) };
            tracing::debug!(%error, ?pause, "pushing the manifest again");
            tokio::time::sleep(pause).await;
        };
        if let Some(kept) = announced_digest(response.headers()) {
            check_digest(what, digest, kept)?;
        }
        self.client.counters().add_sent(bytes.len() as u64);
        Ok(digest)
    }

    async fn try_mount(&self, digest: &Digest, from: &Self) -> Result<Mount, Error> {
        if !self.same_registry(from) || self.name == from.name {
            return Ok(Mount::No);
        }
        let access = Access::push(&self.name).and_pull(&from.name);
        let purpose = self.purpose(format!("mount the blob {digest} from {}", from.name), access);
        let mut url = self.uploads_url().await?;
        url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", &from.name);
        let make = || {
            let request = self.client.request(Method::POST, url.clone());
            Ok((url.clone(), request.header(CONTENT_LENGTH, 0)))
        };
        // Some registries answer a mount that they do not support or allow with an error: it is worth a plain upload.
        let response = match self.host.send(&self.client, &purpose, make).await {
            Ok(response) => response,
            Err(error) if error.is_refusal() => {
                tracing::debug!(%error, "no mount");
                return Ok(Mount::No);
            }
            Err(error) => return Err(error),
        };
        match response.status() {
            StatusCode::CREATED => {
                self.host.set_present(&self.name, digest);
                Ok(Mount::Done)
            }
            StatusCode::ACCEPTED => self.session(&purpose, &response).await.map(Mount::Session),
            _ => Ok(Mount::No),
        }
    }

    /// Starts an upload; gives the URL to send the blob to.
    async fn open_session(&self, purpose: &Purpose) -> Result<Url, Error> {
        let url = self.uploads_url().await?;
        let make = || {
            let request = self.client.request(Method::POST, url.clone());
            Ok((url.clone(), request.header(CONTENT_LENGTH, 0)))
        };
        let response = self.host.send(&self.client, purpose, make).await?;
        if !response.status().is_success() {
            return Err(purpose.refused(&self.client, response).await);
        }
        self.session(purpose, &response).await
    }

    async fn uploads_url(&self) -> Result<Url, Error> {
        self.url(&["blobs", "uploads", ""]).await
    }

    /// Where an upload is to go: absolute or relative, maybe another server.
    async fn session(&self, purpose: &Purpose, response: &Response) -> Result<Url, Error> {
        let base = self.host.base(&self.client).await?;
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let url = location.and_then(|location| response.url().join(location).ok());
        let Some(mut url) = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        else {
            return Err(purpose.protocol("the registry does not say where to upload to"));
        };
        if base.scheme() == "https" && url.scheme() == "http" {
            // A registry behind a proxy that does TLS for it may not know of it.
            if url.set_scheme("https").is_err() || url.origin() != base.origin() {
                return Err(purpose.protocol("the registry wants the upload sent without TLS"));
            }
        }
        Ok(url)
    }

    /// Sends a blob in one request.
    async fn upload<F>(
        &self,
        purpose: &Purpose,
        mut url: Url,
        digest: &Digest,
        size: u64,
        open: &mut F,
    ) -> Result<(), Error>
    where
        F: FnMut() -> io::Result<Source> + Send,
    {
        // The query belongs to the registry and is kept as it is.
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let progress = Arc::new(Progress::default());
        let source_error = |source| Error::Source { digest: *digest, source };
        let make = || {
            let source = open().map_err(source_error)?;
            let body = body(source, size, progress.clone(), self.client.clone());
            let request = self
                .client
                .upload(Method::PUT, url.clone())
                .map_err(|source| purpose.network(source))?
                .header(CONTENT_LENGTH, size)
                .header(CONTENT_TYPE, "application/octet-stream")
                .body(body);
            Ok((url.clone(), request))
        };
        let outcome = tokio::select! {
            outcome = self.host.send(&self.client, purpose, make) => outcome,
            silence = progress.stalled() => Err(Error::Stalled {
                action: purpose.action.clone(),
                place: purpose.place.clone(),
                seconds: silence.as_secs(),
            }),
        };
        if let Some(source) = progress.take_failure() {
            return Err(source_error(source));
        }
        let response = outcome?;
        if !response.status().is_success() {
            return Err(purpose.refused(&self.client, response).await);
        }
        if let Some(kept) = announced_digest(response.headers()) {
            check_digest(|| format!("the pushed blob in {}", purpose.place), *digest, kept)?;
        }
        Ok(())
    }
}
