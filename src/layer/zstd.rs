//! zstd layers: tar in frames of a fixed length, compressed side by side.
//!
//! A frame is compressed in one call, and where it begins follows from its place in the tar alone, so that the bytes
//! depend neither on how the input arrived nor on how many threads there are.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem;
use std::num::NonZero;
use std::thread::{self, JoinHandle};

use ::zstd::bulk::Compressor;
use ::zstd::zstd_safe::compress_bound;

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
    let mut work = Work::new()?;
    work.block.extend_from_slice(bytes);
    work.run()?;
    Ok(work.frame)
}

/// Compresses blocks on threads of its own and writes them in order.
pub(super) struct Frames {
    parallel: usize,
    /// The frames that are under way, the oldest first.
    queue: VecDeque<JoinHandle<io::Result<Work>>>,
    /// What is not under way: it is used again, lest every thread leaves memory behind.
    spare: Vec<Work>,
}

/// A block on its way to a frame.
struct Work {
    compressor: Compressor<'static>,
    block: Vec<u8>,
    frame: Vec<u8>,
}

impl Work {
    fn new() -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        Ok(Self { compressor, block: Vec::new(), frame: Vec::new() })
    }

    fn run(&mut self) -> io::Result<()> {
        self.frame.clear();
        self.frame.reserve(compress_bound(self.block.len()));
        self.compressor.compress_to_buffer(&self.block, &mut self.frame).map(drop)
    }
}

impl Frames {
    pub fn new() -> Self {
        Self::with(thread::available_parallelism().map_or(1, NonZero::get).min(MAX_PARALLEL))
    }

    /// With so many under way at once.
    pub fn with(parallel: usize) -> Self {
        Self { parallel, queue: VecDeque::new(), spare: Vec::new() }
    }

    /// Takes the next block, and leaves an empty one for the one after it. Where too many are under way, the oldest is waited
    /// for and written.
    pub fn push(&mut self, block: &mut Vec<u8>, out: &mut impl Write) -> io::Result<()> {
        if self.queue.len() >= self.parallel {
            self.write_oldest(out)?;
        }
        let mut work = match self.spare.pop() {
            Some(work) => work,
            None => Work::new()?,
        };
        work.block.clear();
        mem::swap(&mut work.block, block);
        // One thread a frame: starting it costs a thousandth of what it does.
        let run = move || work.run().map(|()| work);
        self.queue.push_back(thread::Builder::new().name("zstd".to_owned()).spawn(run)?);
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
        let work = oldest.join().map_err(|_| io::Error::other("compressing a frame failed"))??;
        out.write_all(&work.frame)?;
        self.spare.push(work);
        Ok(())
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
            blocks.iter().for_each(|block| frames.push(&mut block.clone(), &mut out).unwrap());
            frames.drain(&mut out).unwrap();
            assert_eq!(out, expected);
        }
        assert_eq!(::zstd::decode_all(&expected[..]).unwrap(), blocks.concat());
    }
}
