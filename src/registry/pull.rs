//! Pulling blobs into the store.

use std::io::Write;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};

use super::access::Access;
use super::error::Error;
use super::host::Purpose;
use super::repository::Repository;
use crate::model::Digest;
use crate::net::{self, BackOff};
use crate::store::{self, Blob, BlobWriter, Store};

impl Repository {
    /// Brings a blob into the store, unless it is there already: streamed, checked against size and digest. A broken
    /// transfer goes on where it broke off, if the registry can do that.
    pub async fn pull_blob(&self, store: &Store, digest: &Digest, size: u64) -> Result<Blob, Error> {
        if let Some(blob) = store.blob(digest, Some(size)) {
            return Ok(blob);
        }
        let purpose = self.purpose(format!("pull the blob {digest}"), Access::pull(&self.name));
        let mut back_off = BackOff::default();
        let mut writer = store.create_blob()?;
        loop {
            match self.pull_rest(&purpose, store, &mut writer, digest, size).await {
                Ok(()) => break,
                Err(error) if error.is_passing() => match back_off.next_pause(None) {
                    Some(pause) => {
                        tracing::debug!(%digest, got = writer.len(), ?pause, "pulling the rest");
                        tokio::time::sleep(pause).await;
                    }
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
        self.host.set_present(&self.name, digest);
        writer.finish(Some(digest)).map_err(|error| match error {
            store::Error::DigestMismatch { expected, actual } => {
                Error::DigestMismatch { what: self.blob(digest), expected, actual }
            }
            other => other.into(),
        })
    }

    /// Appends to `writer` what it lacks.
    async fn pull_rest<'s>(
        &self,
        purpose: &Purpose,
        store: &'s Store,
        writer: &mut BlobWriter<'s>,
        digest: &Digest,
        size: u64,
    ) -> Result<(), Error> {
        let start = writer.len();
        if start == size && size > 0 {
            return Ok(());
        }
        let url = self.url(&["blobs", &digest.to_string()]).await?;
        let make = || {
            let request = self.client.request(Method::GET, url.clone()).header(ACCEPT_ENCODING, "identity");
            let rest = (start > 0).then(|| format!("bytes={start}-"));
            Ok((url.clone(), rest.into_iter().fold(request, |request, range| request.header(RANGE, range))))
        };
        let response = self.host.send(&self.client, purpose, make).await?;
        if !response.status().is_success() {
            return Err(purpose.refused(&self.client, response).await);
        }
        if start > 0 && !continues(&response, start) {
            // The whole blob comes again.
            *writer = store.create_blob()?;
        }
        self.receive(purpose, response, writer, digest, size).await
    }

    async fn receive(
        &self,
        purpose: &Purpose,
        mut response: Response,
        writer: &mut BlobWriter<'_>,
        digest: &Digest,
        size: u64,
    ) -> Result<(), Error> {
        let wrong_size = |actual| Error::SizeMismatch { what: self.blob(digest), expected: size, actual };
        if let Some(rest) = response.content_length() {
            let announced = writer.len().saturating_add(rest);
            if announced != size {
                return Err(wrong_size(announced));
            }
        }
        let url = net::redacted(response.url());
        let broken = |source: reqwest::Error| {
            purpose.network(net::Error::Transport { url: url.clone(), source: source.without_url() })
        };
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            self.client.counters().add_received(chunk.len() as u64);
            let length = writer.len() + chunk.len() as u64;
            if length > size {
                return Err(wrong_size(length));
            }
            writer.write_all(&chunk).map_err(Error::io("write", writer.path()))?;
        }
        if writer.len() == size { Ok(()) } else { Err(wrong_size(writer.len())) }
    }

    /// A blob, for messages.
    fn blob(&self, digest: &Digest) -> String {
        format!("the blob {digest} of {}", self.place())
    }
}

/// Whether an answer holds the bytes from `start` on.
fn continues(response: &Response, start: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.trim().starts_with(&format!("bytes {start}-")))
}
