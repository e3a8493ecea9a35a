//! The `.deb` format: an `ar` archive of two compressed tar archives, the control data and the files.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

use crate::base::archive::{Archive, EntryKind, Fault};

/// The memory that decompressing may take, in KiB: twice what the format's largest preset needs.
const XZ_MEMORY_KIB: u32 = 128 << 10;
/// The same for zstd, as the base-2 logarithm of the window.
const ZSTD_WINDOW_LOG: u32 = 27;
/// The most that the files of the control archive may add up to.
const MAX_CONTROL: u64 = 32 << 20;

/// A package being read.
pub(super) struct Deb<R> {
    inner: R,
    /// What is left of the current member, its padding included.
    left: u64,
}

type Data<'a> = Archive<Box<dyn Read + 'a>>;

impl<R: BufRead> Deb<R> {
    /// Reads what stands before the control archive.
    pub fn open(mut inner: R) -> Result<Self, Fault> {
        let mut magic = [0; 8];
        inner.read_exact(&mut magic)?;
        if &magic != b"!<arch>\n" {
            return Err(refused("it is no archive of the `ar` format"));
        }
        let mut this = Self { inner, left: 0 };
        let (name, size) = this.member()?;
        let mut version = Vec::new();
        (&mut this.inner).take(size.min(100)).read_to_end(&mut version)?;
        this.left -= version.len() as u64;
        if name != "debian-binary" || !version.starts_with(b"2.") {
            return Err(refused("it is no Debian package of format 2"));
        }
        Ok(this)
    }

    /// The text files of the control archive, by name.
    pub fn control(&mut self) -> Result<BTreeMap<String, String>, Fault> {
        let mut archive = self.tar("control.tar")?;
        let mut files = BTreeMap::new();
        let mut total = 0;
        while let Some(entry) = archive.next()? {
            total += entry.size;
            if total > MAX_CONTROL {
                return Err(refused("its control data are too large"));
            }
            let name = String::from_utf8_lossy(&entry.path);
            let name = name.trim_start_matches("./").to_owned();
            if entry.kind == EntryKind::File && !name.contains('/') {
                let mut bytes = Vec::new();
                archive.content().read_to_end(&mut bytes)?;
                files.insert(name, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        // Checksums stand at the end of the compressed stream.
        archive.finish()?;
        Ok(files)
    }

    /// The archive of files.
    pub fn data(&mut self) -> Result<Data<'_>, Fault> {
        self.tar("data.tar")
    }

    fn tar(&mut self, wanted: &str) -> Result<Data<'_>, Fault> {
        loop {
            let (name, size) = self.member()?;
            // Members of private use are passed over.
            if name.starts_with('_') {
                continue;
            }
            let Some(suffix) = name.strip_prefix(wanted) else {
                return Err(refused("its parts are not those of a Debian package"));
            };
            let member = Member { left: &mut self.left, inner: (&mut self.inner).take(size) };
            let reader: Box<dyn Read + '_> = match suffix {
                "" => Box::new(member),
                ".gz" => Box::new(MultiGzDecoder::new(member)),
                ".xz" => Box::new(xz(BufReader::new(member))),
                ".zst" => {
                    let mut decoder = zstd::stream::read::Decoder::new(member)?;
                    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                    Box::new(decoder)
                }
                _ => return Err(refused("it is compressed in a way that is not supported")),
            };
            return Ok(Archive::new(reader));
        }
    }

    /// The name and size of the next member.
    fn member(&mut self) -> Result<(String, u64), Fault> {
        if io::copy(&mut (&mut self.inner).take(self.left), &mut io::sink())? < self.left {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let mut header = [0; 60];
        self.inner.read_exact(&mut header)?;
        let text =
            |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).unwrap_or_default().trim();
        let size: u64 = text(48..58).parse().map_err(|_| refused("a part of it has no size"))?;
        if &header[58..] != b"`\n" {
            return Err(refused("it is damaged"));
        }
        self.left = size + size % 2;
        Ok((text(0..16).trim_end_matches('/').to_owned(), size))
    }
}

/// Decompresses xz.
pub(super) fn xz<R: Read>(inner: R) -> XzReader<R> {
    XzReader::new_mem_limit(inner, true, XZ_MEMORY_KIB)
}

/// A member of the `ar` archive, which keeps count of what was read of it.
struct Member<'a, R> {
    left: &'a mut u64,
    inner: io::Take<R>,
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        if n == 0 && self.inner.limit() > 0 && !buf.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *self.left -= n as u64;
        Ok(n)
    }
}

fn refused(problem: &str) -> Fault {
    Fault::Refused(problem.to_owned())
}
