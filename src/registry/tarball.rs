//! The files of a tar archive, each read from where it lies.
//!
//! Nothing is unpacked: the headers are read once, and say where the bytes of each file are. What the archive says of
//! itself is bounded before it is believed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use tar::{EntryType, Header};

use super::error::Error;
use crate::store::Store;

const BLOCK: u64 = 512;
/// The most entries: thousands of images.
const MAX_ENTRIES: usize = 100_000;
/// The longest name, and the largest header that extends another.
const MAX_NAME: usize = 4096;
const MAX_EXTENDED: u64 = 64 * 1024;
/// The most links from name to name.
const MAX_LINKS: usize = 8;
/// How many times its size a compressed archive may be, and from how many bytes on that counts.
const MAX_RATIO: u64 = 200;
const RATIO_FROM: u64 = 256 << 20;

/// A tar archive whose files can be read.
#[derive(Debug)]
pub(super) struct Tarball {
    path: PathBuf,
    file: Arc<File>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    /// In the archive.
    Section { offset: u64, size: u64 },
    /// What another name stands for.
    Link(String),
    /// Made up.
    Bytes(Arc<[u8]>),
}

impl Tarball {
    /// Reads the headers of an archive; one that is compressed is unpacked into the store before.
    pub fn open(path: &Path, store: &Store) -> Result<Self, Error> {
        let open = |path: &Path| File::open(path).map_err(Error::io("open", path));
        let mut file = open(path)?;
        let is_file = |file: &File| file.metadata().is_ok_and(|found| found.is_file());
        if !is_file(&file) {
            return Err(bad(path, "it is not a file"));
        }
        if compression(&file, 0) != Compressed::No {
            file = decompress(file, path, store)?;
        }
        let mut this = Self { path: path.to_owned(), file: Arc::new(file), entries: BTreeMap::new() };
        this.index()?;
        Ok(this)
    }

    /// Adds a file that is not in the archive.
    pub fn add(&mut self, name: String, bytes: Vec<u8>) {
        self.entries.insert(name, Entry::Bytes(bytes.into()));
    }

    /// Gives a file one more name.
    pub fn alias(&mut self, name: String, of: &str) {
        self.entries.insert(name, Entry::Link(of.to_owned()));
    }

    /// The length of a file, if it is there.
    pub fn size(&self, name: &str) -> Option<u64> {
        match self.find(name)? {
            Entry::Section { size, .. } => Some(*size),
            Entry::Bytes(bytes) => Some(bytes.len() as u64),
            Entry::Link(_) => None,
        }
    }

    /// Opens a file, if it is there.
    pub fn read(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, Error> {
        Ok(match self.find(name) {
            Some(Entry::Section { offset, size }) => {
                Some(Box::new(Section { file: Arc::clone(&self.file), at: *offset, left: *size }))
            }
            Some(Entry::Bytes(bytes)) => Some(Box::new(Cursor::new(Arc::clone(bytes)))),
            Some(Entry::Link(_)) | None => None,
        })
    }

    /// The bytes of a small file; `None` if it is not there.
    pub fn small(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(mut reader) = self.read(name)? else { return Ok(None) };
        if self.size(name).is_none_or(|size| size > limit) {
            return Err(bad(&self.path, &format!("`{name}` is not a file of reasonable size")));
        }
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(Error::io("read", &self.path))?;
        Ok(Some(bytes))
    }

    /// How a file is compressed.
    pub fn compression(&self, name: &str) -> Compressed {
        match self.find(name) {
            Some(Entry::Section { offset, size }) if *size >= 4 => compression(&self.file, *offset),
            _ => Compressed::No,
        }
    }

    /// The entry with a name, links followed.
    fn find(&self, name: &str) -> Option<&Entry> {
        let mut entry = self.entries.get(name)?;
        for _ in 0..MAX_LINKS {
            let Entry::Link(target) = entry else { return Some(entry) };
            entry = self.entries.get(target)?;
        }
        None
    }

    /// Reads all headers.
    fn index(&mut self) -> Result<(), Error> {
        let length = self.file.metadata().map_err(Error::io("read", &self.path))?.len();
        let (mut at, mut long_name, mut seen) = (0_u64, None, 0);
        while at + BLOCK <= length {
            let mut header = Header::new_old();
            self.file.read_exact_at(header.as_mut_bytes(), at).map_err(Error::io("read", &self.path))?;
            if header.as_bytes().iter().all(|&byte| byte == 0) {
                break;
            }
            seen += 1;
            let stated = header.entry_size().ok().filter(|_| is_header(&header) && seen <= MAX_ENTRIES);
            let size = stated.ok_or_else(|| bad(&self.path, "it is not a tar archive, or is damaged"))?;
            let offset = at + BLOCK;
            let end = offset.checked_add(size).filter(|end| *end <= length);
            let end = end.ok_or_else(|| bad(&self.path, "the archive ends early"))?;
            at = end.next_multiple_of(BLOCK);
            match header.entry_type() {
                EntryType::GNULongName => {
                    let bytes = self.extended(offset, size)?;
                    long_name = Some(bytes.split(|&byte| byte == 0).next().unwrap_or_default().to_vec());
                    continue;
                }
                EntryType::XHeader => {
                    long_name = pax_path(&self.extended(offset, size)?).or(long_name);
                    continue;
                }
                _ => {}
            }
            let name = long_name.take().unwrap_or_else(|| header.path_bytes().into_owned());
            let Some(name) = clean("", &name) else { continue };
            let target = || header.link_name_bytes().unwrap_or_default().into_owned();
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let entry = match header.entry_type() {
                EntryType::Regular | EntryType::Continuous => Some(Entry::Section { offset, size }),
                EntryType::Symlink => clean(folder, &target()).map(Entry::Link),
                EntryType::Link => clean("", &target()).map(Entry::Link),
                _ => None,
            };
            self.entries.extend(entry.map(|entry| (name, entry)));
        }
        Ok(())
    }

    fn extended(&self, offset: u64, size: u64) -> Result<Vec<u8>, Error> {
        if size > MAX_EXTENDED {
            return Err(bad(&self.path, "an extended header is too large"));
        }
        let mut bytes = vec![0; size as usize];
        self.file.read_exact_at(&mut bytes, offset).map_err(Error::io("read", &self.path))?;
        Ok(bytes)
    }
}

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compressed {
    No,
    Gzip,
    Zstd,
}

/// How the bytes at an offset are compressed, by how they begin.
fn compression(file: &File, offset: u64) -> Compressed {
    let mut start = [0; 4];
    match file.read_exact_at(&mut start, offset) {
        Ok(()) if start.starts_with(&[0x1f, 0x8b]) => Compressed::Gzip,
        Ok(()) if start == [0x28, 0xb5, 0x2f, 0xfd] => Compressed::Zstd,
        _ => Compressed::No,
    }
}

/// An archive without its compression, as a blob of the store.
fn decompress(file: File, path: &Path, store: &Store) -> Result<File, Error> {
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let kind = compression(&file, 0);
    let compressed = BufReader::with_capacity(128 * 1024, file);
    let mut tar: Box<dyn Read> = match kind {
        Compressed::Zstd => {
            Box::new(zstd::Decoder::with_buffer(compressed).map_err(Error::io("read", path))?)
        }
        _ => Box::new(MultiGzDecoder::new(compressed)),
    };
    let mut writer = store.create_blob()?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let n = match tar.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(bad(path, &format!("it does not decompress: {error}"))),
        };
        writer.write_all(&buffer[..n]).map_err(Error::io("write", writer.path()))?;
        if writer.len() > RATIO_FROM && writer.len() / MAX_RATIO > length {
            return Err(Error::Bomb { path: path.to_owned() });
        }
    }
    Ok(writer.finish(None)?.open()?)
}

/// Whether the checksum is right: that of all bytes, those of the sum itself counted as spaces.
fn is_header(header: &Header) -> bool {
    let bytes = header.as_bytes();
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    let actual = sum(&bytes[..148]) + 8 * u32::from(b' ') + sum(&bytes[156..]);
    header.cksum().ok() == Some(actual)
}

/// The path that an extended header gives to the entry after it.
fn pax_path(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut path = None;
    while let Some(space) = bytes.iter().take(20).position(|&byte| byte == b' ') {
        let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let (record, rest) = bytes.split_at_checked(length)?;
        let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
        path = record.strip_prefix(b"path=").map(<[u8]>::to_vec).or(path);
        bytes = rest;
    }
    path
}

/// A path inside the archive, from a folder of it; `None` for one that leads out of it, or is no text.
fn clean(folder: &str, path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok().filter(|path| path.len() <= MAX_NAME)?;
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A file in the archive.
struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.file.read_at(&mut buf[..wanted], self.at)?;
        if n == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

fn bad(path: &Path, problem: &str) -> Error {
    Error::BadLayout { path: path.to_owned(), problem: problem.to_owned() }
}
