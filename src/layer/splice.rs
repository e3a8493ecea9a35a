//! Tar, compressed: the gzip splice, which takes over deflate streams that exist already as they are, and zstd frames.
//!
//! What is compressed here is compressed in one call over a buffer whose limits follow from the content alone, so
//! that the bytes do not depend on how the input arrived. The library, its version, the level and the limits belong to
//! the format version.

use std::io::{self, Write};

use libdeflater::{CompressionLvl, Compressor};

use super::zstd::{FRAME, Frames};
use super::{Compression, tar};
use crate::model::{Digest, Hasher};

/// Entries whose deflate stream is at least this long are spliced; members of their own would make shorter ones larger.
const THRESHOLD: u64 = 4 * 1024;
/// The same for entries that share their name with many others of the archive: those are alike (translations, the
/// modules of plugins), and compress much better together.
const ALIKE_THRESHOLD: u64 = 32 * 1024;
/// So many entries of one name are alike.
const ALIKE: u32 = 16;
/// How much is gathered before it is compressed.
const GATHER: usize = 1 << 20;
/// The compression level for what is gathered.
const LEVEL: i32 = 4;

/// Names what decides the compressed bytes; part of every fragment's key.
pub(super) const PROFILE: &str =
    "gzip-splice/2 threshold=4096 alike=16:32768 gather=1048576 libdeflate=1.26 level=4";

/// The header of a spliced member: no name, no time, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Writes tar as gzip members or zstd frames.
pub(super) struct Splicer<W> {
    out: W,
    packer: Packer,
    gathered: Vec<u8>,
    tar: Hasher,
    len: u64,
}

/// Compresses what was gathered.
enum Packer {
    Gzip { compressor: Compressor, packed: Vec<u8> },
    Zstd(Frames),
}

impl<W: Write> Splicer<W> {
    pub fn new(out: W, compression: Compression) -> Self {
        let packer = match compression {
            Compression::Gzip => Packer::Gzip { compressor: compressor(), packed: Vec::new() },
            Compression::Zstd => Packer::Zstd(Frames::new()),
        };
        Self { out, packer, gathered: Vec::new(), tar: Hasher::default(), len: 0 }
    }

    /// How the tar is compressed.
    pub fn compression(&self) -> Compression {
        match self.packer {
            Packer::Gzip { .. } => Compression::Gzip,
            Packer::Zstd(_) => Compression::Zstd,
        }
    }

    /// Whether an entry shall keep its deflate stream of `compressed` bytes, where `namesakes` entries have its name.
    pub fn keeps_stream(&self, compressed: u64, namesakes: u32) -> bool {
        let threshold = if namesakes >= ALIKE { ALIKE_THRESHOLD } else { THRESHOLD };
        self.compression() == Compression::Gzip && compressed >= threshold
    }

    /// How much is gathered before it is compressed.
    fn limit(&self) -> usize {
        match self.packer {
            Packer::Gzip { .. } => GATHER,
            Packer::Zstd(_) => FRAME,
        }
    }

    /// Adds bytes of the tar stream that are to be compressed.
    pub fn gather(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tar.update(bytes);
        self.collect(bytes)
    }

    /// Adds bytes of a file that are to be compressed, and to the file's own hash.
    pub fn gather_file(&mut self, bytes: &[u8], file: &mut Hasher) -> io::Result<()> {
        self.tar.update_both(file, bytes);
        self.collect(bytes)
    }

    fn collect(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        let limit = self.limit();
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(limit - self.gathered.len()));
            self.gathered.extend_from_slice(now);
            bytes = rest;
            if self.gathered.len() == limit {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Starts a member for bytes that are compressed already.
    pub fn begin(&mut self) -> io::Result<()> {
        self.flush()?;
        self.out.write_all(&HEADER)
    }

    /// Adds bytes of the deflate stream of the member that was begun.
    pub fn packed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Takes note of what the member that was begun unpacks to, the bytes of a file; also for the file's own hash.
    pub fn plain(&mut self, bytes: &[u8], file: &mut Hasher) {
        self.tar.update_both(file, bytes);
        self.len += bytes.len() as u64;
    }

    /// Ends the member that was begun.
    pub fn end(&mut self, crc32: u32, size: u64) -> io::Result<()> {
        self.out.write_all(&crc32.to_le_bytes())?;
        // The format says: the length modulo 2^32.
        self.out.write_all(&(size as u32).to_le_bytes())
    }

    /// Writes out all that was gathered, as members of its own. Gives the length of the tar stream so far.
    pub fn settle(&mut self) -> io::Result<u64> {
        self.flush()?;
        if let Packer::Zstd(frames) = &mut self.packer {
            frames.drain(&mut self.out)?;
        }
        Ok(self.len)
    }

    /// The writer.
    pub fn get_ref(&self) -> &W {
        &self.out
    }

    /// Writes out what is left. Gives the writer, the hash of the tar stream so far, and its length.
    pub fn finish(mut self) -> io::Result<(W, Hasher, u64)> {
        self.settle()?;
        Ok((self.out, self.tar, self.len))
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        match &mut self.packer {
            Packer::Gzip { compressor, packed } => {
                compress(compressor, &self.gathered, packed)?;
                self.gathered.clear();
                self.out.write_all(packed)
            }
            Packer::Zstd(frames) => frames.push(&mut self.gathered, &mut self.out),
        }
    }
}

fn compressor() -> Compressor {
    Compressor::new(CompressionLvl::new(LEVEL).unwrap_or_default())
}

/// Compresses `bytes` as one member.
fn compress(compressor: &mut Compressor, bytes: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
    packed.resize(compressor.gzip_compress_bound(bytes.len()), 0);
    let len = compressor.gzip_compress(bytes, packed).map_err(io::Error::other)?;
    packed.truncate(len);
    Ok(())
}

/// Compresses `bytes` as one gzip member.
pub(super) fn compress_whole(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    compress(&mut compressor(), bytes, &mut packed)?;
    Ok(packed)
}

/// What the digests of a layer are once its end has been added to these hashes and lengths.
pub(super) struct Ended {
    pub digest: Digest,
    pub size: u64,
    pub diff_id: Digest,
    pub uncompressed_size: u64,
}

/// Ends a layer whose compressed bytes and whose tar have been hashed so far.
pub(super) fn ended(
    compression: Compression,
    mut blob: Hasher,
    size: u64,
    mut tar: Hasher,
    len: u64,
) -> io::Result<Ended> {
    let end = compression.end()?;
    blob.update(&end);
    tar.update(&tar::END);
    Ok(Ended {
        digest: blob.finish(),
        size: size + end.len() as u64,
        diff_id: tar.finish(),
        uncompressed_size: len + tar::END.len() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tar of several members or frames, in which something recurs.
    fn tar() -> Vec<u8> {
        let line = |i: u32| format!("{} {}\n", i % 1000, Digest::of(&(i % 5000).to_be_bytes()).hex());
        (0..150_000).flat_map(|i| line(i).into_bytes()).collect()
    }

    #[test]
    fn the_bytes_depend_neither_on_how_the_input_arrives_nor_on_the_number_of_threads() {
        let tar = tar();
        let whole = |packer: Packer, compression, chunks: &[usize]| {
            let mut out = Splicer::new(Vec::new(), compression);
            out.packer = packer;
            let (mut rest, mut lengths) = (&tar[..], chunks.iter().cycle());
            while !rest.is_empty() {
                let now = rest.len().min(*lengths.next().unwrap());
                out.gather(&rest[..now]).unwrap();
                rest = &rest[now..];
            }
            let (bytes, hash, len) = out.finish().unwrap();
            assert_eq!((hash.finish(), len), (Digest::of(&tar), tar.len() as u64));
            bytes
        };
        let chunks: [&[usize]; 6] =
            [&[usize::MAX], &[1 << 20], &[512], &[7, 100_003], &[GATHER - 1, 2], &[1, FRAME, FRAME + 1]];
        let gzip = |chunks| {
            let packer = Packer::Gzip { compressor: compressor(), packed: Vec::new() };
            whole(packer, Compression::Gzip, chunks)
        };
        let zstd = |threads, chunks| whole(Packer::Zstd(Frames::with(threads)), Compression::Zstd, chunks);
        let (members, frames) = (gzip(chunks[0]), zstd(1, chunks[0]));
        assert!(tar.len() > 2 * FRAME, "several frames");
        for chunks in chunks {
            assert!(gzip(chunks) == members, "in chunks of {chunks:?}");
            for threads in [1, 2, 8] {
                assert!(zstd(threads, chunks) == frames, "in chunks of {chunks:?} on {threads} threads");
            }
        }
    }
}
