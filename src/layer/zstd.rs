//! zstd layers: tar in frames of a fixed length, compressed side by side.
//!
//! A frame is compressed in one call, and where it begins follows from its place in the tar alone, so that the bytes
//! depend neither on how the input arrived nor on how many threads there are.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZero;
use std::thread::{self, JoinHandle};

/// How much of the tar is in a frame. The window of the level is 2 MiB, so longer frames gain next to nothing.
pub(super) const FRAME: usize = 4 << 20;
/// The level: what `zstd` itself does unless told otherwise.
const LEVEL: i32 = 3;
/// The most frames of one fragment under way at once, which bounds its memory: each is there twice, as it was and
/// compressed.
const MAX_PARALLEL: usize = 4;

/// Names what decides the compressed bytes; part of every fragment's key.
pub(super) const PROFILE: &str = "zstd/1 frame=4194304 zstd=1.5.7 level=3";

/// Compresses `bytes` as one frame, which states its length and ends with a checksum.
pub(super) fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = ::zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(bytes)
}

/// Compresses blocks on threads of its own and writes them in order.
pub(super) struct Frames {
    parallel: usize,
    /// The frames that are under way, the oldest first.
    queue: VecDeque<JoinHandle<io::Result<Vec<u8>>>>,
}

impl Frames {
    pub fn new() -> Self {
        Self::with(thread::available_parallelism().map_or(1, NonZero::get).min(MAX_PARALLEL))
    }

    /// With so many under way at once.
    pub fn with(parallel: usize) -> Self {
        Self { parallel, queue: VecDeque::new() }
    }

    /// Takes the next block. Where too many are under way, the oldest is waited for and written.
    pub fn push(&mut self, block: Vec<u8>, out: &mut impl Write) -> io::Result<()> {
        if self.queue.len() >= self.parallel {
            self.write_oldest(out)?;
        }
        // One thread a frame: starting it costs a thousandth of what it does.
        let work = move || compress(&block);
        self.queue.push_back(thread::Builder::new().name("zstd".to_owned()).spawn(work)?);
        Ok(())
    }

    /// Writes all that is under way.
    pub fn drain(&mut self, out: &mut impl Write) -> io::Result<()> {
        while !self.queue.is_empty() {
            self.write_oldest(out)?;
        }
        Ok(())
    }

    fn write_oldest(&mut self, out: &mut impl Write) -> io::Result<()> {
        let Some(oldest) = self.queue.pop_front() else { return Ok(()) };
        let frame = oldest.join().map_err(|_| io::Error::other("compressing a frame failed"))?;
        out.write_all(&frame?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another version may compress differently: it needs another profile.
    #[test]
    fn the_profile_names_the_library_in_use() {
        assert!(PROFILE.contains(&format!("zstd={} ", ::zstd::zstd_safe::version_string())));
        assert!(PROFILE.contains(&format!("frame={FRAME} ")) && PROFILE.ends_with(&format!("level={LEVEL}")));
    }

    #[test]
    fn frames_are_written_in_order() {
        let blocks: Vec<Vec<u8>> = (0..20_u8).map(|i| vec![i; 100_000 / (usize::from(i) + 1)]).collect();
        let expected: Vec<u8> = blocks.iter().flat_map(|block| compress(block).unwrap()).collect();
        for parallel in [1, 2, 7] {
            let (mut frames, mut out) = (Frames::with(parallel), Vec::new());
            blocks.iter().for_each(|block| frames.push(block.clone(), &mut out).unwrap());
            frames.drain(&mut out).unwrap();
            assert_eq!(out, expected);
        }
        assert_eq!(::zstd::decode_all(&expected[..]).unwrap(), blocks.concat());
    }
}
