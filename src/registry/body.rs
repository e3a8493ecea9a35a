//! Bodies of uploads: a blocking reader becomes a stream of bounded memory whose progress can be watched.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;
use tokio::sync::mpsc;

use super::auth::lock;
use crate::net::Client;

/// How much is read at once.
const CHUNK: usize = 128 * 1024;
/// How many chunks wait to be sent.
const CHUNKS_AHEAD: usize = 4;
/// The longest silence in the middle of an upload.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a registry may take to check and keep a blob after all of it was sent; it may copy gigabytes.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(600);

/// What gives the bytes of a blob.
pub(super) type Source = Box<dyn Read + Send>;

/// How far an upload is.
#[derive(Default)]
pub(super) struct Progress(Mutex<State>);

#[derive(Default)]
struct State {
    last: Option<Instant>,
    done: bool,
    failure: Option<io::Error>,
}

impl Progress {
    /// Waits until nothing has moved for too long; tells how long that was. An upload that waits for its turn has not
    /// started and may wait for ever.
    pub(super) async fn stalled(&self) -> Duration {
        self.stalled_within(IDLE_TIMEOUT, COMMIT_TIMEOUT).await
    }

    async fn stalled_within(&self, idle: Duration, commit: Duration) -> Duration {
        loop {
            let (last, done) = {
                let state = lock(&self.0);
                (state.last, state.done)
            };
            let allowed = if done { commit } else { idle };
            let silence = last.map_or(Duration::ZERO, |last| last.elapsed());
            if silence >= allowed {
                return allowed;
            }
            tokio::time::sleep(allowed - silence).await;
        }
    }

    /// Why the source could not be read, if it could not.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        lock(&self.0).failure.take()
    }
}

/// A body of exactly `size` bytes from `source`, which is read on a thread for blocking work.
pub(super) fn body(source: Source, size: u64, progress: Arc<Progress>, client: Client) -> Body {
    let (sender, mut receiver) = mpsc::channel(CHUNKS_AHEAD);
    let failed = progress.clone();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = pump(source, size, &sender) {
            let text = error.to_string();
            lock(&failed.0).failure = Some(error);
            // The request breaks off; if it is over already, nobody listens.
            let _ = sender.blocking_send(Err(io::Error::other(text)));
        }
    });
    let mut sent = 0;
    Body::wrap_stream(stream::poll_fn(move |context| {
        let polled = receiver.poll_recv(context);
        let mut state = lock(&progress.0);
        state.last = Some(Instant::now());
        if let std::task::Poll::Ready(Some(Ok(chunk))) = &polled {
            let chunk: &Bytes = chunk;
            sent += chunk.len() as u64;
            state.done = sent == size;
            client.counters().add_sent(chunk.len() as u64);
        }
        polled
    }))
}

/// Sends what `source` gives. Ends early and well if nobody listens any more.
fn pump(mut source: Source, size: u64, sender: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut chunk = Vec::with_capacity(wanted);
        source.by_ref().take(wanted as u64).read_to_end(&mut chunk)?;
        if chunk.len() < wanted {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("it is shorter than {size} bytes"),
            ));
        }
        left -= wanted as u64;
        if left == 0 && source.read(&mut [0])? > 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it is longer than {size} bytes"),
            ));
        }
        if sender.blocking_send(Ok(chunk.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pumped(bytes: &'static [u8], size: u64) -> io::Result<()> {
        let (sender, _receiver) = mpsc::channel(CHUNKS_AHEAD);
        pump(Box::new(bytes), size, &sender)
    }

    #[test]
    fn a_source_must_have_the_announced_length() {
        pumped(b"abc", 3).unwrap();
        pumped(b"", 0).unwrap();
        assert_eq!(pumped(b"ab", 3).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(pumped(b"abcd", 3).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn silence_counts_from_the_last_progress_and_is_longer_after_the_end() {
        let ms = Duration::from_millis;
        let progress = Progress::default();
        let wait = |idle, commit| tokio::time::timeout(ms(30), progress.stalled_within(ms(idle), ms(commit)));
        assert!(wait(5, 5).await.is_err(), "not started yet");
        lock(&progress.0).last = Some(Instant::now());
        assert_eq!(wait(5, 1000).await, Ok(ms(5)));
        lock(&progress.0).done = true;
        assert!(wait(5, 1000).await.is_err(), "the registry may take its time");
    }
}
