//! SHA-256 digests and the readers and writers that compute them on the way.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::block_api::compress256;

/// A SHA-256 digest. Written `sha256:HEX` as the OCI image specification has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The text is not a SHA-256 digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a SHA-256 digest")]
pub struct DigestError(String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// A digest from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Parses 64 hexadecimal digits (either case) without the algorithm.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        let err = || DigestError(text.chars().take(100).collect());
        let hex = text.as_bytes();
        if hex.len() != 64 {
            return Err(err());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let digit = |c: u8| (c as char).to_digit(16).ok_or_else(err);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).map_err(|_| err())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex =
            text.strip_prefix("sha256:").ok_or_else(|| DigestError(text.chars().take(100).collect()))?;
        Self::from_hex(hex)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// SHA-256 works on blocks of this many bytes.
const BLOCK: usize = 64;

/// SHA-256 in progress. A clone goes on from the same state.
///
/// The compression function is a library's; the buffering is done here because of [`Hasher::update_both`].
#[derive(Clone)]
pub struct Hasher {
    state: [u32; 8],
    len: u64,
    /// The block that is not full yet.
    block: [u8; BLOCK],
}

impl Default for Hasher {
    fn default() -> Self {
        // FIPS 180-4, 5.3.3.
        let state = [
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ];
        Self { state, len: 0, block: [0; BLOCK] }
    }
}

impl Hasher {
    /// Takes in more bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let held = self.held();
        self.len += bytes.len() as u64;
        if held > 0 {
            let (now, rest) = bytes.split_at(bytes.len().min(BLOCK - held));
            self.block[held..held + now.len()].copy_from_slice(now);
            if held + now.len() < BLOCK {
                return;
            }
            compress256(&mut self.state, std::slice::from_ref(&self.block));
            bytes = rest;
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        compress256(&mut self.state, blocks);
        self.block[..rest.len()].copy_from_slice(rest);
    }

    /// Takes the same bytes into two hashes. Block by block in turn: each step of one hash waits for the step before it,
    /// so a processor does much of the other's work meanwhile.
    pub fn update_both(&mut self, other: &mut Self, bytes: &[u8]) {
        let held = self.held();
        if held != other.held() {
            self.update(bytes);
            return other.update(bytes);
        }
        let (head, bytes) = bytes.split_at(bytes.len().min((BLOCK - held) % BLOCK));
        let (blocks, tail) = bytes.as_chunks::<BLOCK>();
        self.update(head);
        other.update(head);
        for block in blocks {
            compress256(&mut self.state, std::slice::from_ref(block));
            compress256(&mut other.state, std::slice::from_ref(block));
        }
        for hasher in [self, other] {
            hasher.len += (blocks.len() * BLOCK) as u64;
            hasher.update(tail);
        }
    }

    /// The digest of everything taken in.
    pub fn finish(mut self) -> Digest {
        // A one bit, zeros, and the length in bits fill the last block.
        let zeros = (2 * BLOCK - 9 - self.held()) % BLOCK;
        let mut end = [0; BLOCK + 8];
        end[0] = 0x80;
        end[zeros + 1..zeros + 9].copy_from_slice(&self.len.wrapping_mul(8).to_be_bytes());
        self.update(&end[..zeros + 9]);
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        Digest(bytes)
    }

    /// How many bytes of the block are there.
    fn held(&self) -> usize {
        (self.len % BLOCK as u64) as usize
    }
}

/// A writer that hashes and counts what passes through it.
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
    len: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Wraps `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::default(), len: 0 }
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hash of everything written so far, to go on from.
    pub fn hasher(&self) -> Hasher {
        self.hasher.clone()
    }

    /// The inner writer, the digest and the length of everything written.
    pub fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hasher.finish(), self.len)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.hasher.update(&buf[..n]);
        self.len += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A reader that hashes and counts what passes through it.
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    len: u64,
}

impl<R: Read> HashingReader<R> {
    /// Wraps `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::default(), len: 0 }
    }

    /// The inner reader, the digest and the length of everything read.
    pub fn finish(self) -> (R, Digest, u64) {
        (self.inner, self.hasher.finish(), self.len)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.update(&buf[..n]);
        self.len += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_librarys_however_its_input_is_divided() {
        use sha2::Digest as _;
        let bytes: Vec<u8> = (0..1000_u32).map(|i| (i * 7 % 251) as u8).collect();
        for len in (0..300).chain([1000]) {
            let bytes = &bytes[..len];
            let expected = Digest(sha2::Sha256::digest(bytes).into());
            assert_eq!(Digest::of(bytes), expected, "{len}");
            for step in [1, 3, 63, 64, 65, 200] {
                // Both in step with each other, and not.
                for lead in [0, 64, 5] {
                    let (mut one, mut two) = (Hasher::default(), Hasher::default());
                    one.update(&[7; 64][..lead]);
                    bytes.chunks(step).for_each(|chunk| one.update_both(&mut two, chunk));
                    assert_eq!(two.finish(), expected, "{len} by {step} after {lead}");
                    assert_eq!(one.finish(), Digest::of(&[&[7; 64][..lead], bytes].concat()));
                }
            }
        }
    }

    #[test]
    fn text_round_trips_and_bad_text_is_refused() {
        let digest = Digest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(Digest::from_hex(&digest.hex().to_uppercase()), Ok(digest));
        for bad in ["", "sha256:", "sha512:00", &digest.hex(), &format!("{digest}0"), "sha256:é"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
