//! Files that servers have: tried again where the connection breaks, and bounded.

use std::io::Write;

use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::Method;
use url::Url;

use crate::model::Digest;
use crate::net::{self, BackOff, Client};
use crate::store::{self, Blob, Store};

/// Why a file is not in the store.
#[derive(Debug)]
pub(super) enum Failure {
    Net(net::Error),
    Store(store::Error),
    /// It goes on after the most that it may have.
    TooLarge,
    /// It is not the one that is wanted.
    Digest {
        expected: Digest,
        actual: Digest,
    },
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::DigestMismatch { expected, actual } => Self::Digest { expected, actual },
            error => Self::Store(error),
        }
    }
}

/// Streams a file of at most `limit` bytes into the store. One that has not the hash is not kept.
pub(super) async fn into_store(
    (client, store): (&Client, &Store),
    url: &Url,
    sha256: Option<&Digest>,
    limit: u64,
) -> Result<Blob, Failure> {
    let mut back_off = BackOff::default();
    loop {
        match attempt((client, store), url, sha256, limit).await {
            Err(Failure::Net(error)) => pause(&mut back_off, error).await.map_err(Failure::Net)?,
            other => return other,
        }
    }
}

async fn attempt(
    (client, store): (&Client, &Store),
    url: &Url,
    sha256: Option<&Digest>,
    limit: u64,
) -> Result<Blob, Failure> {
    let response = client.send_ok(client.request(Method::GET, url.clone())).await.map_err(Failure::Net)?;
    let mut writer = store.create_blob()?;
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let broken = |source: reqwest::Error| net::Error::Transport {
            url: net::redacted(url),
            source: source.without_url(),
        };
        let chunk = chunk.map_err(broken).map_err(Failure::Net)?;
        client.counters().add_received(chunk.len() as u64);
        if writer.len() + chunk.len() as u64 > limit {
            return Err(Failure::TooLarge);
        }
        writer.write_all(&chunk).map_err(store::Error::io("write", writer.path()))?;
    }
    Ok(writer.finish(sha256)?)
}

/// The bytes of a file of at most `limit` bytes.
pub(super) async fn bytes(client: &Client, url: &Url, limit: u64) -> Result<Bytes, net::Error> {
    let mut back_off = BackOff::default();
    loop {
        let response = client.send_ok(client.request(Method::GET, url.clone())).await?;
        match client.bytes(response, limit).await {
            Err(error) => pause(&mut back_off, error).await?,
            bytes => return bytes,
        }
    }
}

/// Waits before the next attempt, if another may help; gives up with the error otherwise.
async fn pause(back_off: &mut BackOff, error: net::Error) -> Result<(), net::Error> {
    let pause = matches!(error, net::Error::Transport { .. }).then(|| back_off.next_pause(None)).flatten();
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => return Err(error),
    }
    Ok(())
}
