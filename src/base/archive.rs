//! A tar archive as a stream of entries, for archives that nobody vouches for.
//!
//! Headers are the `tar` crate's; the walk is here, since long names and extended headers must be bounded before they are
//! read, and because where two readings of an archive are possible, container runtimes' must be taken: entries of kinds
//! that have no content have none, whatever their header says.

use std::io::{self, Read};

use tar::{EntryType, Header};

const BLOCK: u64 = 512;
/// The largest extended header; what container runtimes take.
const MAX_EXTENDED: u64 = 1024 * 1024;
/// The longest path; Linux takes no longer one.
const MAX_PATH: usize = 4096;

/// Why an archive cannot be read on.
#[derive(Debug)]
pub(super) enum Fault {
    /// Reading or decompressing failed.
    Io(io::Error),
    /// The archive does what no honest one does.
    Refused(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What kind of thing an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    Directory,
    File,
    Symlink,
    HardLink,
    /// A device, a pipe or something unknown.
    Other,
}

/// An entry. Its content, if any, follows in the archive.
#[derive(Debug)]
pub(super) struct Entry {
    pub kind: EntryKind,
    /// The path, as written.
    pub path: Vec<u8>,
    /// What a link links to, as written; empty for other kinds.
    pub target: Vec<u8>,
    /// Whether anybody may execute it.
    pub executable: bool,
    /// The bytes of its content.
    pub size: u64,
    /// The permissions; none where the header says nothing usable.
    pub mode: Option<u32>,
    /// The owner and the group, 0 where the header says nothing usable.
    pub owner: (u32, u32),
}

/// Reads the entries of a tar archive one after another.
pub(super) struct Archive<R> {
    inner: R,
    /// What is left of the current entry's content.
    content: u64,
    /// The zeros after it.
    padding: u64,
    ended: bool,
}

/// What extended headers say about the entry after them.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Archive<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, content: 0, padding: 0, ended: false }
    }

    /// The next entry; what was not read of the one before is skipped.
    pub fn next(&mut self) -> Result<Option<Entry>, Fault> {
        let mut extended = Extended::default();
        loop {
            self.skip_content()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            let stated = header.entry_size().map_err(|_| refused("a header has no valid size"))?;
            match kind {
                EntryType::GNULongName => extended.path = Some(until_nul(self.extended(stated)?)),
                EntryType::GNULongLink => extended.target = Some(until_nul(self.extended(stated)?)),
                EntryType::XHeader => extended.read_pax(&self.extended(stated)?)?,
                EntryType::XGlobalHeader => drop(self.extended(stated)?),
                _ => return self.entry(&header, stated, extended).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &Header, stated: u64, extended: Extended) -> Result<Entry, Fault> {
        let path = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = match header.entry_type() {
            // Before directories had a kind of their own.
            EntryType::Regular if path.ends_with(b"/") => EntryKind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => EntryKind::File,
            EntryType::Directory => EntryKind::Directory,
            EntryType::Symlink => EntryKind::Symlink,
            EntryType::Link => EntryKind::HardLink,
            _ => EntryKind::Other,
        };
        let has_content = match header.entry_type() {
            EntryType::Char | EntryType::Block | EntryType::Fifo => false,
            _ => matches!(kind, EntryKind::File | EntryKind::Other),
        };
        if has_content {
            self.set_content(extended.size.unwrap_or(stated))?;
        }
        if header.entry_type() == EntryType::GNUSparse {
            self.skip_sparse_map(header)?;
        }
        let target = match kind {
            EntryKind::Symlink | EntryKind::HardLink => extended
                .target
                .or_else(|| header.link_name_bytes().map(|target| target.into_owned()))
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        if path.len() > MAX_PATH || target.len() > MAX_PATH {
            return Err(refused("a path is longer than Linux takes"));
        }
        let mode = header.mode().ok();
        let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
        Ok(Entry {
            kind,
            path,
            target,
            executable: mode.is_some_and(|mode| mode & 0o111 != 0),
            size: self.content,
            mode,
            owner: (id(header.uid()), id(header.gid())),
        })
    }

    /// The content of the current entry, as far as it was not read yet.
    pub fn content(&mut self) -> impl Read + '_ {
        Content { archive: self }
    }

    /// Reads to the end of the stream, which may lie behind that of the archive, and gives the reader back.
    pub fn finish(mut self) -> Result<R, Fault> {
        while self.next()?.is_some() {}
        io::copy(&mut self.inner, &mut io::sink())?;
        Ok(self.inner)
    }

    /// The next header; none at the end of the archive.
    fn header(&mut self) -> Result<Option<Header>, Fault> {
        if self.ended {
            return Ok(None);
        }
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? || header.as_bytes().iter().all(|&byte| byte == 0) {
            self.ended = true;
            return Ok(None);
        }
        // The sum of all bytes, those of the sum itself counted as spaces.
        let bytes = header.as_bytes();
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
        let actual = sum(&bytes[..148]) + 8 * u32::from(b' ') + sum(&bytes[156..]);
        if header.cksum().ok() != Some(actual) {
            return Err(refused("it is not a tar archive, or a header is damaged"));
        }
        Ok(Some(header))
    }

    /// Fills one block; false at the end of the stream.
    fn block(&mut self, block: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < block.len() {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn set_content(&mut self, size: u64) -> Result<(), Fault> {
        // So large that it cannot be: refused before any sum overflows.
        if size > 1 << 60 {
            return Err(refused("an entry's size is absurd"));
        }
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK) - size;
        Ok(())
    }

    /// The content of an extended header.
    fn extended(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        if size > MAX_EXTENDED {
            return Err(refused("an extended header is larger than runtimes take"));
        }
        self.set_content(size)?;
        let mut bytes = Vec::new();
        self.content().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Skips the blocks that go on with the map of an old GNU sparse file.
    fn skip_sparse_map(&mut self, header: &Header) -> Result<(), Fault> {
        let mut more = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        while more {
            let mut block = [0; BLOCK as usize];
            if !self.block(&mut block)? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            // 21 map entries of 24 bytes, then the flag.
            more = block[21 * 24] == 1;
        }
        Ok(())
    }

    fn skip_content(&mut self) -> Result<(), Fault> {
        if io::copy(&mut (&mut self.inner).take(self.content), &mut io::sink())? < self.content {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        // Some tools end the archive without padding the last entry, and runtimes let that pass.
        io::copy(&mut (&mut self.inner).take(self.padding), &mut io::sink())?;
        (self.content, self.padding) = (0, 0);
        Ok(())
    }
}

struct Content<'a, R> {
    archive: &'a mut Archive<R>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = (&mut self.archive.inner).take(self.archive.content).read(buf)?;
        if n == 0 && self.archive.content > 0 && !buf.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.archive.content -= n as u64;
        Ok(n)
    }
}

impl Extended {
    /// Takes in the records of a pax header: `LENGTH KEY=VALUE\n`, the length that of the whole record.
    fn read_pax(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let (key, value, rest) = pax_record(bytes).ok_or_else(|| refused("a pax header is damaged"))?;
            match key {
                b"path" | b"GNU.sparse.name" => self.path = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or_else(|| refused("a pax header has no valid size"))?);
                }
                _ => {}
            }
            bytes = rest;
        }
        // An empty value takes back what was said before.
        self.path = self.path.take().filter(|path| !path.is_empty());
        self.target = self.target.take().filter(|target| !target.is_empty());
        Ok(())
    }
}

/// The first record's key and value, and the records after it.
fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn refused(problem: &str) -> Fault {
    Fault::Refused(problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and its content, padded.
    fn entry(kind: EntryType, name: &[u8], content: &[u8], stated: u64) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(stated);
        header.set_mode(0o644);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn paths(bytes: &[u8]) -> Result<Vec<String>, Fault> {
        let mut archive = Archive::new(bytes);
        let mut paths = Vec::new();
        while let Some(entry) = archive.next()? {
            paths.push(String::from_utf8(entry.path).unwrap());
        }
        archive.finish()?;
        Ok(paths)
    }

    #[test]
    fn pax_headers_may_hold_newlines_and_sizes() {
        let record = |key: &str, value: &str| {
            let rest = key.len() + value.len() + 3;
            let length = rest + if rest + 2 < 100 { 2 } else { 3 };
            format!("{length} {key}={value}\n")
        };
        let pax =
            record("SCHILY.xattr.a", "one\ntwo=\n") + &record("path", "long/name") + &record("size", "4");
        let mut bytes = entry(EntryType::XHeader, b"pax", pax.as_bytes(), pax.len() as u64);
        bytes.extend(entry(EntryType::Regular, b"short", b"1234", 0));
        bytes.extend(entry(EntryType::Regular, b"after", b"", 0));
        assert_eq!(paths(&bytes).unwrap(), ["long/name", "after"]);
    }

    #[test]
    fn kinds_without_content_have_none() {
        let mut bytes = entry(EntryType::Symlink, b"link", b"", 512);
        bytes.extend(entry(EntryType::Regular, b"file", b"", 0));
        assert_eq!(paths(&bytes).unwrap(), ["link", "file"]);
    }

    #[test]
    fn the_end_may_lack() {
        let whole = entry(EntryType::Regular, b"file", b"1234", 4);
        for length in [whole.len(), 512 + 4] {
            assert_eq!(paths(&whole[..length]).unwrap(), ["file"]);
        }
        assert!(matches!(paths(&whole[..512 + 3]), Err(Fault::Io(_))));
    }

    #[test]
    fn unbounded_and_damaged_archives_are_refused() {
        let huge_name = entry(EntryType::GNULongName, b"././@LongLink", b"", 1 << 33);
        assert!(matches!(paths(&huge_name), Err(Fault::Refused(_))));
        let mut absurd = Header::new_gnu();
        absurd.set_size(u64::MAX);
        absurd.set_cksum();
        assert!(matches!(paths(absurd.as_bytes()), Err(Fault::Refused(_))));
        let mut flipped = entry(EntryType::Regular, b"file", b"", 0);
        flipped[0] ^= 1;
        assert!(matches!(paths(&flipped), Err(Fault::Refused(_))));
        let short = &entry(EntryType::Regular, b"file", b"12", 600)[..];
        assert!(matches!(paths(short), Err(Fault::Io(_))));
        for bad in ["5 a=b\n", "99 a=b\n", "x", "6 ab=\n6 path=\n", "0 \n"] {
            let bytes = entry(EntryType::XHeader, b"pax", bad.as_bytes(), bad.len() as u64);
            assert!(matches!(paths(&bytes), Err(Fault::Refused(_))), "{bad}");
        }
    }
}
