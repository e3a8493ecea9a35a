//! Unpacking entries, with every stated number checked.

use std::mem;
use std::sync::{Mutex, PoisonError};

use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::{Crc, DecompressionError, Decompressor};

use super::{Archive, Entry, Error, Flaw, Method};

/// How large an entry may be to be inflated in one buffer by the faster library; larger ones stream. What comes out is the
/// same.
struct Limit {
    packed: u64,
    plain: u64,
}

/// Up to this size, each inflater has buffers of its own.
const SMALL: Limit = Limit { packed: 1 << 20, plain: 2 << 20 };
/// Up to this one, inflaters share a few, lest memory grows with their number: who finds none free streams.
const LARGE: Limit = Limit { packed: 9 << 20, plain: 25 << 20 };
/// How many there are of these.
const LARGE_BUFFERS: usize = 2;

/// How much is read and inflated at a time otherwise.
const CHUNK: usize = 256 * 1024;

/// The header of a gzip member without name or time, as the library wants to see it.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const GZIP_FOOTER: usize = 8;

/// Takes what an entry is made of. An entry's bytes are only certain once [`Inflater::unpack`] has returned.
pub trait Sink {
    /// What the sink may fail with.
    type Error: From<Error>;

    /// The next bytes of the entry's deflate stream; never called for a stored entry.
    fn packed(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// The next bytes of the entry itself.
    fn plain(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// Unpacks entries; its buffers are used again for each.
pub struct Inflater {
    whole: Decompressor,
    stream: Decompress,
    buffers: Buffers,
}

/// What an entry is read into, and what it is unpacked into.
#[derive(Default)]
struct Buffers {
    packed: Vec<u8>,
    plain: Vec<u8>,
}

/// The buffers for large entries, while nobody has them.
static FREE: Mutex<[Option<Buffers>; LARGE_BUFFERS]> =
    Mutex::new([const { Some(Buffers { packed: Vec::new(), plain: Vec::new() }) }; LARGE_BUFFERS]);

/// Buffers for a large entry, which somebody else can have afterwards.
struct Lent(Buffers);

impl Lent {
    fn take() -> Option<Self> {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.iter_mut().find_map(Option::take).map(Self)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = free.iter_mut().find(|place| place.is_none()) {
            *place = Some(mem::take(&mut self.0));
        }
    }
}

impl Limit {
    fn holds(&self, entry: &Entry) -> bool {
        entry.size <= self.plain && entry.compressed <= self.packed
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self { whole: Decompressor::new(), stream: Decompress::new(false), buffers: Buffers::default() }
    }
}

impl Inflater {
    /// Passes an entry's bytes to `sink`. It is an error if they are not exactly what the directory states.
    pub fn unpack<S: Sink>(
        &mut self,
        archive: &Archive,
        entry: &Entry,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        match entry.method {
            Method::Stored => self.stored(archive, entry, sink),
            Method::Deflate if SMALL.holds(entry) => {
                let mut buffers = mem::take(&mut self.buffers);
                let outcome = self.whole(&mut buffers, archive, entry, sink);
                self.buffers = buffers;
                outcome
            }
            Method::Deflate => match LARGE.holds(entry).then(Lent::take).flatten() {
                Some(mut lent) => self.whole(&mut lent.0, archive, entry, sink),
                None => self.streamed(archive, entry, sink),
            },
        }
    }

    /// The bytes of an entry that has at most `limit` of them.
    pub fn read(&mut self, archive: &Archive, entry: &Entry, limit: u64) -> Result<Vec<u8>, Error> {
        if entry.size > limit {
            return Err(archive.flaw(&entry.name, Flaw::TooLarge(entry.size)));
        }
        let mut sink = Collect { bytes: Vec::new(), limit: usize::MAX };
        self.unpack(archive, entry, &mut sink)?;
        Ok(sink.bytes)
    }

    /// At least the first `len` bytes of an entry, or all if it has fewer. Nothing is checked yet.
    pub fn peek(&mut self, archive: &Archive, entry: &Entry, len: usize) -> Result<Vec<u8>, Error> {
        let mut sink = Collect { bytes: Vec::new(), limit: len };
        let result = match entry.method {
            Method::Stored => self.stored(archive, entry, &mut sink),
            Method::Deflate => self.streamed(archive, entry, &mut sink),
        };
        match result {
            Err(Stop::Failed(error)) => Err(error),
            Ok(()) | Err(Stop::Enough) => Ok(sink.bytes),
        }
    }

    fn stored<S: Sink>(&mut self, archive: &Archive, entry: &Entry, sink: &mut S) -> Result<(), S::Error> {
        let mut crc = Crc::new();
        for_chunks(archive, entry, &mut self.buffers.packed, |chunk| {
            crc.update(chunk);
            sink.plain(chunk)
        })?;
        if crc.sum() == entry.crc32 { Ok(()) } else { Err(damaged(archive, entry).into()) }
    }

    fn whole<S: Sink>(
        &mut self,
        buffers: &mut Buffers,
        archive: &Archive,
        entry: &Entry,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        // Both lengths are within a limit, so they fit.
        let (packed_len, size) = (entry.compressed as usize, entry.size as usize);
        let start = GZIP_HEADER.len();
        let end = start + packed_len;
        grow(&mut buffers.packed, end + GZIP_FOOTER);
        grow(&mut buffers.plain, size);
        let member = &mut buffers.packed[..end + GZIP_FOOTER];
        let plain = &mut buffers.plain[..size];

        member[..start].copy_from_slice(&GZIP_HEADER);
        archive.source.read_at(&mut member[start..end], entry.offset)?;
        member[end..end + 4].copy_from_slice(&entry.crc32.to_le_bytes());
        member[end + 4..].copy_from_slice(&(entry.size as u32).to_le_bytes());
        let footer: [u8; GZIP_FOOTER] = member[end..].try_into().unwrap_or_default();

        // The library looks for the footer where the deflate stream ends, but does not tell where that is. If the
        // footer's bytes occur nowhere else, they were found at the end and nothing is left over.
        match self.whole.gzip_decompress(member, plain) {
            Ok(written) if written == size => {
                if memchr::memmem::find(member, &footer) != Some(end) {
                    return self.streamed(archive, entry, sink);
                }
            }
            // The footer is not where the stream ends: damage, or bytes after the end. Let the other way tell.
            Err(DecompressionError::BadData) => return self.streamed(archive, entry, sink),
            Ok(_) | Err(DecompressionError::InsufficientSpace) => return Err(damaged(archive, entry).into()),
        }
        sink.packed(&member[start..end])?;
        sink.plain(plain)
    }

    fn streamed<S: Sink>(&mut self, archive: &Archive, entry: &Entry, sink: &mut S) -> Result<(), S::Error> {
        let damaged = || damaged(archive, entry);
        let Buffers { packed, plain } = &mut self.buffers;
        grow(plain, CHUNK);
        let (stream, plain) = (&mut self.stream, &mut plain[..CHUNK]);
        stream.reset(false);
        let mut crc = Crc::new();
        let mut ended = false;
        for_chunks(archive, entry, packed, |mut chunk| -> Result<(), S::Error> {
            if ended {
                return Err(archive.flaw(&entry.name, Flaw::TrailingBytes).into());
            }
            sink.packed(chunk)?;
            loop {
                let (consumed, written) = (stream.total_in(), stream.total_out());
                let status = stream.decompress(chunk, plain, FlushDecompress::None).map_err(|_| damaged())?;
                let consumed = (stream.total_in() - consumed) as usize;
                let written = (stream.total_out() - written) as usize;
                chunk = &chunk[consumed..];
                if stream.total_out() > entry.size {
                    return Err(damaged().into());
                }
                crc.update(&plain[..written]);
                sink.plain(&plain[..written])?;
                ended = matches!(status, Status::StreamEnd);
                if ended && !chunk.is_empty() {
                    return Err(archive.flaw(&entry.name, Flaw::TrailingBytes).into());
                }
                // A full output buffer may hide more output; otherwise all input must be taken.
                if ended || chunk.is_empty() && written < plain.len() {
                    return Ok(());
                }
                if consumed == 0 && written == 0 {
                    return Err(damaged().into());
                }
            }
        })?;
        if ended && stream.total_out() == entry.size && crc.sum() == entry.crc32 {
            Ok(())
        } else {
            Err(damaged().into())
        }
    }
}

fn damaged(archive: &Archive, entry: &Entry) -> Error {
    archive.flaw(&entry.name, Flaw::Damaged)
}

/// Makes a buffer at least `len` long. What it holds does not matter, so nothing is copied: the old one goes first. The
/// new one is longer than need be, lest a row of ever larger entries makes one each time; of what is never touched the
/// operating system makes no memory.
fn grow(buffer: &mut Vec<u8>, len: usize) {
    if buffer.len() < len {
        *buffer = Vec::new();
        *buffer = vec![0; len.next_power_of_two()];
    }
}

/// Calls `take` with the entry's bytes as they are in the archive, a chunk at a time.
fn for_chunks<E: From<Error>>(
    archive: &Archive,
    entry: &Entry,
    buffer: &mut Vec<u8>,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    grow(buffer, CHUNK);
    let mut done = 0;
    while done < entry.compressed {
        let len = (entry.compressed - done).min(CHUNK as u64) as usize;
        archive.source.read_at(&mut buffer[..len], entry.offset + done)?;
        take(&buffer[..len])?;
        done += len as u64;
    }
    Ok(())
}

/// Collects bytes in memory, until there are enough.
struct Collect {
    bytes: Vec<u8>,
    limit: usize,
}

/// Why collecting ended early.
enum Stop {
    Enough,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Failed(error) => error,
            Stop::Enough => unreachable!("only a peek has a limit"),
        }
    }
}

impl Sink for Collect {
    type Error = Stop;

    fn packed(&mut self, _: &[u8]) -> Result<(), Stop> {
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= self.limit { Err(Stop::Enough) } else { Ok(()) }
    }
}
