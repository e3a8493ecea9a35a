//! Writes a wheel that was built once more, so that equal files give equal bytes whatever the backend and its compressor
//! are, and on every machine: sorted entries, one time, two modes, one compressor.

use std::fs::File;
use std::io::{self, Write};

use libdeflater::{CompressionLvl, Compressor};

use super::Error;
use crate::dist::{Entry, Flaw, Inflater, Row, Sink, Wheel, path_order, write_record};
use crate::model::{Hasher, WheelName};
use crate::store::{self, Blob, BlobWriter, Store};

/// Entries up to this size are compressed, in one call; larger ones are stored as they are.
const LARGEST_COMPRESSED: u64 = 32 << 20;
const LEVEL: i32 = 6;
/// 1980-01-02 in the format of MS-DOS.
const DATE: u16 = 1 << 5 | 2;
/// The most that fits into an archive of the simple kind.
const MOST_ENTRIES: usize = 0xffff;
const LARGEST_ARCHIVE: u64 = 0xffff_ffff;

/// Reads and checks a wheel and writes it anew; gives what is in the store then, and the text of its METADATA.
pub(super) fn repack(file: File, name: &WheelName, store: &Store) -> Result<(Blob, Vec<u8>), Error> {
    let wheel = Wheel::open(file, name)?;
    let archive = wheel.archive();
    let mut entries: Vec<&Entry> = archive.entries().iter().filter(|entry| !entry.directory).collect();
    entries.sort_by(|a, b| path_order(&a.name, &b.name));
    let unusable = |reason: &str| Error::Unusable { what: name.to_string(), reason: reason.to_owned() };
    let total: u64 = entries.iter().map(|entry| entry.size + 2 * entry.name.len() as u64 + 128).sum();
    if entries.len() > MOST_ENTRIES || total > LARGEST_ARCHIVE {
        return Err(unusable("its wheel is larger than 4 GiB"));
    }
    let is_in = |entry: &Entry, file: &str| {
        entry.name.rsplit_once(".dist-info/").is_some_and(|(top, it)| it == file && !top.contains('/'))
    };
    let mut zip =
        Zip { out: store.create_blob()?, directory: Vec::new(), entries: 0, compressor: compressor() };
    let (mut rows, mut metadata, mut record) = (Vec::new(), Vec::new(), None);
    let mut inflater = Inflater::default();
    for entry in entries {
        if is_in(entry, "RECORD") {
            record = Some(entry.name.clone());
            continue;
        }
        let row = if entry.size <= LARGEST_COMPRESSED {
            let bytes = inflater.read(archive, entry, LARGEST_COMPRESSED)?;
            if is_in(entry, "METADATA") {
                metadata.clone_from(&bytes);
            }
            zip.compressed(&entry.name, entry.executable, &bytes)?;
            Row::of(entry.name.clone(), &bytes)
        } else {
            zip.stored(
                &entry.name,
                entry.executable,
                |out| {
                    let mut sink = Through { out, hasher: Hasher::default() };
                    inflater.unpack(archive, entry, &mut sink)?;
                    Ok(Row::with_digest(entry.name.clone(), &sink.hasher.finish(), entry.size))
                },
                entry,
            )?
        };
        if let Some((expected, actual)) = wheel.stated(&entry.name).zip(row.sha256().ok().flatten())
            && expected != actual
        {
            return Err(archive.flaw(&entry.name, Flaw::RecordHash { expected, actual }).into());
        }
        rows.push(row);
    }
    let Some(record) = record else { return Err(unusable("its wheel has no RECORD")) };
    rows.push(Row { path: record.clone(), hash: String::new(), size: None });
    zip.compressed(&record, false, write_record(&mut rows).as_bytes())?;
    Ok((zip.finish()?, metadata))
}

fn compressor() -> Compressor {
    let level = CompressionLvl::new(LEVEL).unwrap_or_default();
    Compressor::new(level)
}

/// A zip archive being written.
struct Zip<'s> {
    out: BlobWriter<'s>,
    directory: Vec<u8>,
    entries: u16,
    compressor: Compressor,
}

/// What the headers of an entry say.
struct Header<'h> {
    name: &'h str,
    executable: bool,
    method: u16,
    crc32: u32,
    compressed: u64,
    size: u64,
}

impl Zip<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.out.write_all(bytes);
        written.map_err(|source| Error::io("write", self.out.path())(source))
    }

    fn compressed(&mut self, name: &str, executable: bool, bytes: &[u8]) -> Result<(), Error> {
        let mut packed = vec![0; self.compressor.deflate_compress_bound(bytes.len())];
        let len = self.compressor.deflate_compress(bytes, &mut packed).unwrap_or(bytes.len());
        // What does not become smaller is stored.
        let (method, data) = if len < bytes.len() { (8, &packed[..len]) } else { (0, bytes) };
        let (compressed, size) = (data.len() as u64, bytes.len() as u64);
        let crc32 = libdeflater::crc32(bytes);
        self.header(&Header { name, executable, method, crc32, compressed, size })?;
        self.write(data)
    }

    /// An entry that `pass` writes, just as long as the directory says and with its checksum: both were checked when it
    /// was read.
    fn stored(
        &mut self,
        name: &str,
        executable: bool,
        pass: impl FnOnce(&mut BlobWriter<'_>) -> Result<Row, Error>,
        entry: &Entry,
    ) -> Result<Row, Error> {
        let (size, crc32) = (entry.size, entry.crc32);
        self.header(&Header { name, executable, method: 0, crc32, compressed: size, size })?;
        pass(&mut self.out)
    }

    /// The header before an entry's data, and the one in the directory.
    fn header(&mut self, header: &Header<'_>) -> Result<(), Error> {
        let offset = self.out.len();
        // All lengths are below 4 GiB: their sum is.
        let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        let flags: u16 = if header.name.is_ascii() { 0 } else { 1 << 11 };
        let mut common = Vec::new();
        common.extend(20_u16.to_le_bytes());
        common.extend(flags.to_le_bytes());
        common.extend(header.method.to_le_bytes());
        common.extend([0, 0]);
        common.extend(DATE.to_le_bytes());
        common.extend(header.crc32.to_le_bytes());
        common.extend(short(header.compressed));
        common.extend(short(header.size));
        common.extend(u16::try_from(header.name.len()).unwrap_or(u16::MAX).to_le_bytes());
        common.extend([0, 0]);
        let mode: u32 = 0o100_000 | if header.executable { 0o755 } else { 0o644 };
        self.directory.extend(b"PK\x01\x02\x14\x03");
        self.directory.extend(&common);
        self.directory.extend([0; 6]);
        self.directory.extend((mode << 16).to_le_bytes());
        self.directory.extend(short(offset));
        self.directory.extend(header.name.as_bytes());
        self.entries += 1;
        self.write(b"PK\x03\x04")?;
        self.write(&common)?;
        self.write(header.name.as_bytes())
    }

    fn finish(mut self) -> Result<Blob, Error> {
        let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        let offset = self.out.len();
        let directory = std::mem::take(&mut self.directory);
        self.write(&directory)?;
        let mut end = Vec::new();
        end.extend(b"PK\x05\x06\0\0\0\0");
        end.extend(self.entries.to_le_bytes());
        end.extend(self.entries.to_le_bytes());
        end.extend(short(directory.len() as u64));
        end.extend(short(offset));
        end.extend([0, 0]);
        self.write(&end)?;
        Ok(self.out.finish(None)?)
    }
}

/// Takes an entry's bytes from one archive into another.
struct Through<'a, 's> {
    out: &'a mut BlobWriter<'s>,
    hasher: Hasher,
}

impl Sink for Through<'_, '_> {
    type Error = Error;

    fn packed(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        let written: io::Result<()> = self.out.write_all(bytes);
        written.map_err(|source| {
            store::Error::Io { action: "write", path: self.out.path().to_owned(), source }.into()
        })
    }
}
