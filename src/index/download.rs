//! Whole files into the store: streamed, hashed on the way, taken up again where a transfer breaks off.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT_ENCODING, RANGE};
use tokio::sync::mpsc;
use url::Url;

use super::Error;
use super::cache::Freshness;
use super::web::{self, Web};
use crate::model::Digest;
use crate::net::{self, Pace};
use crate::store::{self, Blob, Store};

/// How often a transfer may break off and go on.
const ATTEMPTS: u32 = 6;
/// The wait after a transfer broke off; doubled each time.
const BACK_OFF: Duration = Duration::from_millis(100);
/// The largest file that is taken where nobody says how large it should be.
const LARGEST: u64 = 16 << 30;
/// Pieces of a body that may wait for the disk.
const PIECES: usize = 16;

/// What to download.
pub(super) struct Download<'a> {
    pub(super) url: &'a Url,
    /// The digest it must have, if that is known.
    pub(super) sha256: Option<Digest>,
    /// The size it must have, if that is known.
    pub(super) size: Option<u64>,
    /// What is known of an earlier download; if nothing has changed, there is none.
    pub(super) known: Option<&'a Freshness>,
}

/// How a download ended.
pub(super) enum Downloaded {
    /// The file is in the store.
    File(Blob, Freshness),
    /// It is as it was.
    Unchanged(Freshness),
}

/// How a transfer ended.
enum Transfer {
    Complete {
        freshness: Freshness,
        resumed: bool,
    },
    Unchanged(Freshness),
    /// The writer has failed; it says why itself.
    Abandoned,
}

impl Download<'_> {
    /// Downloads the file.
    pub(super) async fn run(&self, web: &Web, store: &Arc<Store>) -> Result<Downloaded, Error> {
        // A file that was put together from two answers may be wrong because it changed in between: then once more.
        let mut resume = true;
        loop {
            let (pieces, receiver) = mpsc::channel(PIECES);
            let writer = spool(Arc::clone(store), receiver, self.sha256);
            let transfer = self.transfer(web, &pieces, resume).await;
            if matches!(transfer, Ok(Transfer::Complete { .. })) {
                // If the writer is gone, it says why itself.
                let _ = pieces.send(None).await;
            }
            drop(pieces);
            let written = writer.await?;
            let (freshness, resumed) = match transfer? {
                Transfer::Complete { freshness, resumed } => (freshness, resumed),
                Transfer::Unchanged(freshness) => return Ok(Downloaded::Unchanged(freshness)),
                Transfer::Abandoned => (Freshness::default(), false),
            };
            match written {
                Ok(Some(blob)) => return Ok(Downloaded::File(blob, freshness)),
                Ok(None) => unreachable!("a writer that was told the end gives a blob or an error"),
                Err(store::Error::DigestMismatch { .. }) if resumed => resume = false,
                Err(store::Error::DigestMismatch { expected, actual }) => {
                    return Err(Error::HashMismatch { url: net::redacted(self.url), expected, actual });
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends the whole file to the writer. After a break it goes on where it stopped, by a range if the server has
    /// ranges, otherwise by passing over what it has.
    async fn transfer(
        &self,
        web: &Web,
        pieces: &mpsc::Sender<Option<Bytes>>,
        resume: bool,
    ) -> Result<Transfer, Error> {
        let mut received = 0;
        let mut resumed = false;
        let mut unlocked = false;
        for attempt in 1.. {
            let mut request = web.get(&web.files, self.url).header(ACCEPT_ENCODING, "identity");
            if received > 0 {
                resumed = true;
                request = request.header(RANGE, format!("bytes={received}-"));
            } else if let Some(known) = self.known {
                request = known.condition(request);
            }
            let mut response = web.files.send(request).await?;
            let status = response.status();
            // Where in the file this answer begins.
            let mut position = match status {
                StatusCode::OK => 0,
                StatusCode::PARTIAL_CONTENT if received > 0 => {
                    let range = web::content_range(response.headers());
                    match range {
                        Some((range, _)) if range.start <= received => range.start,
                        _ => return Err(web::unexpected(self.url, status)),
                    }
                }
                StatusCode::NOT_MODIFIED if received == 0 => {
                    if let Some(known) = self.known {
                        return Ok(Transfer::Unchanged(known.renewed(response.headers())));
                    }
                    return Err(web::unexpected(self.url, status));
                }
                StatusCode::RANGE_NOT_SATISFIABLE if received > 0 => return Err(self.wrong_size(received)),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
                    if !unlocked && web.unlock(self.url).await =>
                {
                    unlocked = true;
                    continue;
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(web.unauthorized(response.url(), status));
                }
                _ => return Err(web::unexpected(self.url, status)),
            };
            let promised = response.content_length().map(|len| position + len);
            if let (Some(size), Some(promised)) = (self.size, promised)
                && size != promised
            {
                return Err(self.wrong_size(promised));
            }
            let freshness = Freshness::of(response.headers());
            let mut pace = Pace::default();
            let broken = loop {
                let mut piece = match web.files.chunk(&mut response, &mut pace).await {
                    Ok(Some(piece)) => piece,
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                };
                let end = position + piece.len() as u64;
                if end > self.size.unwrap_or(LARGEST) {
                    return Err(self.wrong_size(end));
                }
                if end > received {
                    let known = usize::try_from(received - position.min(received)).unwrap_or(0);
                    // A piece may begin in what is known and end beyond it.
                    let piece = piece.split_off(known.min(piece.len()));
                    received = end;
                    if pieces.send(Some(piece)).await.is_err() {
                        return Ok(Transfer::Abandoned);
                    }
                }
                position = end;
            };
            let short = self.size.is_some_and(|size| position < size);
            if broken.is_none() && !short {
                return Ok(Transfer::Complete { freshness, resumed });
            }
            if attempt >= ATTEMPTS || !resume {
                return Err(match broken {
                    Some(error) => error.into(),
                    None => self.wrong_size(position),
                });
            }
            tracing::debug!(url = %net::redacted(self.url), received, attempt, "a download broke off");
            tokio::time::sleep(BACK_OFF * 2_u32.pow(attempt)).await;
        }
        unreachable!("the last attempt returns")
    }

    fn wrong_size(&self, actual: u64) -> Error {
        let url = net::redacted(self.url);
        match self.size {
            Some(expected) => Error::SizeMismatch { url, expected, actual },
            None => net::Error::TooLarge { url, limit: LARGEST }.into(),
        }
    }
}

/// Writes the pieces to the store, apart from the threads that serve the network. `None` ends the file; a channel that
/// closes before leaves nothing behind.
fn spool(
    store: Arc<Store>,
    mut pieces: mpsc::Receiver<Option<Bytes>>,
    expected: Option<Digest>,
) -> tokio::task::JoinHandle<Result<Option<Blob>, store::Error>> {
    tokio::task::spawn_blocking(move || {
        let mut writer = store.create_blob()?;
        while let Some(piece) = pieces.blocking_recv() {
            match piece {
                Some(piece) => writer.write_all(&piece).map_err(store::Error::io("write", writer.path()))?,
                None => return writer.finish(expected.as_ref()).map(Some),
            }
        }
        Ok(None)
    })
}

/// Takes a local file into the store. Blocks.
pub(super) fn import(
    path: &Path,
    sha256: Option<Digest>,
    size: Option<u64>,
    store: &Store,
) -> Result<Blob, Error> {
    let io = |source| Error::File { path: path.display().to_string(), source: Arc::new(source) };
    let mut file = std::fs::File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(io(std::io::Error::other("it is not a file")));
    }
    let url = path.display().to_string();
    if let Some(expected) = size.filter(|size| *size != metadata.len()) {
        return Err(Error::SizeMismatch { url, expected, actual: metadata.len() });
    }
    let mut writer = store.create_blob()?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = file.read(&mut buffer).map_err(io)?;
        if read == 0 {
            break;
        }
        writer.write_all(&buffer[..read]).map_err(store::Error::io("write", writer.path()))?;
    }
    writer.finish(sha256.as_ref()).map_err(|error| match error {
        store::Error::DigestMismatch { expected, actual } => Error::HashMismatch { url, expected, actual },
        error => error.into(),
    })
}
