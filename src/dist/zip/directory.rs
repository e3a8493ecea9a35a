//! The central directory and its agreement with the local headers.

use super::{
    Entry, Flaw, MAX_ENTRIES, MAX_ENTRY, MAX_RATIO, MAX_TOTAL, Method, RATIO_FROM, Source, path_order,
    unsafe_path,
};
use crate::dist::Error;

const END: [u8; 4] = *b"PK\x05\x06";
const END64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";

const END_LEN: u64 = 22;
const LOCATOR64_LEN: u64 = 20;
const END64_LEN: u64 = 56;
const LOCAL_LEN: u64 = 30;
/// The most bytes a central directory may have; it is held in memory while it is read.
const MAX_DIRECTORY: u64 = 64 << 20;

/// Encrypted, strongly encrypted, or with a masked directory.
const FLAG_ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// Sizes and CRC-32 stand after the data.
const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// The name is UTF-8.
const FLAG_UTF8: u16 = 1 << 11;

/// "Look in the zip64 field", for fields of two and of four bytes.
const FULL16: u16 = u16::MAX;
const FULL32: u32 = u32::MAX;

/// Little-endian numbers taken from the front of a slice.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}

/// Where the central directory is.
struct Location {
    offset: u64,
    len: u64,
    entries: u64,
}

/// One record of the central directory, as it stands there.
struct Central<'a> {
    made_on: u8,
    flags: u16,
    method: u16,
    crc32: u32,
    compressed: u64,
    size: u64,
    attributes: u32,
    header: u64,
    name: &'a [u8],
}

/// Reads and checks the whole directory.
pub(super) fn read(source: &Source) -> Result<Vec<Entry>, Error> {
    let location = locate(source)?;
    let len = usize::try_from(location.len).map_err(|_| source.broken("its directory is too large"))?;
    let mut bytes = vec![0; len];
    source.read_at(&mut bytes, location.offset)?;

    let mut fields = Fields(&bytes);
    let mut entries = Vec::new();
    let mut extents = Vec::new();
    let mut total: u64 = 0;
    for _ in 0..location.entries {
        let central = central(&mut fields).ok_or_else(|| source.broken("its directory is damaged"))?;
        let mut entry = checked(source, &central)?;
        let end;
        (entry.offset, end) = local(source, &central, &entry)?;
        total = total.saturating_add(entry.size);
        extents.push((central.header, end, entries.len()));
        entries.push(entry);
    }
    if !fields.0.is_empty() {
        return Err(source.broken("its directory has more entries than it states"));
    }
    if total > MAX_TOTAL || total > RATIO_FROM && total / MAX_RATIO > source.len {
        return Err(source.broken("it unpacks to far more than a real distribution"));
    }
    check_extents(source, &entries, extents, location.offset)?;
    check_names(source, &entries)?;
    Ok(entries)
}

/// Finds the end record, and the zip64 one where there is one, which together say where the directory is.
fn locate(source: &Source) -> Result<Location, Error> {
    let not_zip = || source.broken("it has no end-of-directory record");
    let tail_len = source.len.min(END_LEN + u64::from(u16::MAX));
    let tail_start = source.len - tail_len;
    let mut tail = vec![0; usize::try_from(tail_len).map_err(|_| not_zip())?];
    source.read_at(&mut tail, tail_start)?;
    // The record is the one whose comment ends where the file ends; looking from the end as everybody does.
    let position = (0..tail.len().saturating_sub(END_LEN as usize - 1))
        .rev()
        .find(|&at| {
            tail[at..].starts_with(&END)
                && usize::from(u16::from_le_bytes([tail[at + 20], tail[at + 21]]))
                    == tail.len() - at - END_LEN as usize
        })
        .ok_or_else(not_zip)?;
    let (disk, directory_disk, here, entries, len, offset) = (|| {
        let mut fields = Fields(&tail[position + 4..]);
        Some((fields.u16()?, fields.u16()?, fields.u16()?, fields.u16()?, fields.u32()?, fields.u32()?))
    })()
    .ok_or_else(not_zip)?;
    let end = tail_start + position as u64;

    let location = match locate64(source, end)? {
        Some((at, location)) => {
            // What both records can say, both must say.
            let differs = |short: u32, full: u32, long: u64| short != full && u64::from(short) != long;
            if differs(entries.into(), FULL16.into(), location.entries)
                || differs(len, FULL32, location.len)
                || differs(offset, FULL32, location.offset)
            {
                return Err(source.broken("its two end-of-directory records disagree"));
            }
            (at, location)
        }
        None => {
            if disk != 0 || directory_disk != 0 || here != entries {
                return Err(source.broken("it is a part of a split archive"));
            }
            (end, Location { offset: offset.into(), len: len.into(), entries: entries.into() })
        }
    };
    let (directory_end, location) = location;
    if location.offset.checked_add(location.len) != Some(directory_end) {
        return Err(source.broken("its directory is not where the end-of-directory record says"));
    }
    if location.entries > MAX_ENTRIES || location.len > MAX_DIRECTORY {
        return Err(source.broken("it has too many entries"));
    }
    Ok(location)
}

/// The zip64 end record before the end record at `end`, with its own position.
fn locate64(source: &Source, end: u64) -> Result<Option<(u64, Location)>, Error> {
    let Some(locator_at) = end.checked_sub(LOCATOR64_LEN) else { return Ok(None) };
    let mut locator = [0; LOCATOR64_LEN as usize];
    source.read_at(&mut locator, locator_at)?;
    if locator[..4] != LOCATOR64 {
        return Ok(None);
    }
    let broken = || source.broken("its zip64 end-of-directory record is damaged");
    let mut fields = Fields(&locator[4..]);
    let (disk, at, disks) = (|| Some((fields.u32()?, fields.u64()?, fields.u32()?)))().ok_or_else(broken)?;
    // No extensible data is in use: the record has one length and ends where the locator starts.
    if disk != 0 || disks > 1 || at.checked_add(END64_LEN) != Some(locator_at) {
        return Err(broken());
    }
    let mut record = [0; END64_LEN as usize];
    source.read_at(&mut record, at)?;
    let mut fields = Fields(&record);
    let parsed = (|| {
        let signature = fields.take(4)?;
        let rest = fields.u64()?;
        let _versions = fields.u32()?;
        let (disk, directory_disk, here) = (fields.u32()?, fields.u32()?, fields.u64()?);
        let (entries, len, offset) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let sound = signature == END64
            && rest == END64_LEN - 12
            && disk == 0
            && directory_disk == 0
            && here == entries;
        sound.then_some(Location { offset, len, entries })
    })();
    Ok(Some((at, parsed.ok_or_else(broken)?)))
}

/// Takes one record off the central directory.
fn central<'a>(fields: &mut Fields<'a>) -> Option<Central<'a>> {
    if fields.take(4)? != CENTRAL {
        return None;
    }
    let (_version, made_on) = (fields.take(1)?, fields.take(1)?[0]);
    let (_needed, flags, method) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let (_time, crc32) = (fields.u32()?, fields.u32()?);
    let (compressed, size) = (fields.u32()?, fields.u32()?);
    let (name, extra, comment) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let (disk, _internal, attributes, header) = (fields.u16()?, fields.u16()?, fields.u32()?, fields.u32()?);
    let name = fields.take(name.into())?;
    let extra = fields.take(extra.into())?;
    fields.take(comment.into())?;
    let mut wide = zip64(extra, name)?;
    let record = Central {
        made_on,
        flags,
        method,
        crc32,
        size: wide.u64_if(size)?,
        compressed: wide.u64_if(compressed)?,
        attributes,
        header: wide.u64_if(header)?,
        name,
    };
    (disk == 0 || disk == FULL16).then_some(record)
}

/// The zip64 field of an entry, from which the full ones of its short fields are taken in turn.
struct Zip64<'a>(Fields<'a>);

impl Zip64<'_> {
    fn u64_if(&mut self, short: u32) -> Option<u64> {
        if short == FULL32 { self.0.u64() } else { Some(short.into()) }
    }
}

/// Finds the zip64 field among the extra fields. `None` if they are damaged, or give the entry another name.
fn zip64<'a>(extra: &'a [u8], name: &[u8]) -> Option<Zip64<'a>> {
    const ZIP64: u16 = 0x0001;
    const UNICODE_PATH: u16 = 0x7075;
    let mut fields = Fields(extra);
    let mut found = None;
    // Fewer than four bytes at the end are padding, which some tools leave.
    while fields.0.len() >= 4 {
        let (id, len) = (fields.u16()?, fields.u16()?);
        let data = fields.take(len.into())?;
        match id {
            ZIP64 if found.is_some() => return None,
            ZIP64 => found = Some(Zip64(Fields(data))),
            UNICODE_PATH if data.get(5..) != Some(name) => return None,
            _ => {}
        }
    }
    Some(found.unwrap_or(Zip64(Fields(&[]))))
}

/// What the central directory alone can tell.
fn checked(source: &Source, central: &Central<'_>) -> Result<Entry, Error> {
    let lossy = String::from_utf8_lossy(central.name);
    let flaw = |flaw| source.flaw(&lossy, flaw);
    let text = std::str::from_utf8(central.name).map_err(|_| flaw(Flaw::Name("it is not UTF-8")))?;
    if !text.is_ascii() && central.flags & FLAG_UTF8 == 0 {
        return Err(flaw(Flaw::Name("it is not marked as UTF-8")));
    }
    let (name, slash) = text.strip_suffix('/').map_or((text, false), |name| (name, true));
    if let Some(reason) = unsafe_path(name) {
        return Err(flaw(Flaw::Name(reason)));
    }
    if name.contains('\\') {
        return Err(flaw(Flaw::Name("it has a backslash")));
    }
    if name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic() {
        return Err(flaw(Flaw::Name("it starts with a drive letter")));
    }
    if central.flags & FLAG_ENCRYPTED != 0 {
        return Err(flaw(Flaw::Encrypted));
    }
    let method = match central.method {
        0 => Method::Stored,
        8 => Method::Deflate,
        other => return Err(flaw(Flaw::Method(other))),
    };
    // Only archives made on Unix have a mode, in the upper half of the attributes.
    let mode = if central.made_on == 3 { central.attributes >> 16 } else { 0 };
    match (mode & 0o170_000, slash) {
        (0, _) | (0o100_000, false) | (0o040_000, true) => {}
        _ => return Err(flaw(Flaw::NotRegular)),
    }
    if central.size > MAX_ENTRY {
        return Err(flaw(Flaw::TooLarge(central.size)));
    }
    // Deflate cannot do better than 1032 to 1, and what is stored has its own size.
    let possible = match method {
        Method::Stored => central.size == central.compressed,
        Method::Deflate => central.size / 1032 <= central.compressed,
    };
    if !possible || slash && central.size != 0 {
        return Err(flaw(Flaw::Damaged));
    }
    Ok(Entry {
        name: name.to_owned(),
        directory: slash,
        executable: mode & 0o111 != 0,
        method,
        crc32: central.crc32,
        compressed: central.compressed,
        size: central.size,
        offset: 0,
    })
}

/// Compares the local header and the data descriptor with the directory. Gives where the data starts, and where
/// everything that belongs to the entry ends.
fn local(source: &Source, central: &Central<'_>, entry: &Entry) -> Result<(u64, u64), Error> {
    let flaw = |what| source.flaw(&entry.name, Flaw::Disagrees(what));
    let mut fixed = [0; LOCAL_LEN as usize];
    if central.header.checked_add(LOCAL_LEN).is_none_or(|end| end > source.len) {
        return Err(flaw("it is outside the archive"));
    }
    source.read_at(&mut fixed, central.header)?;
    let mut fields = Fields(&fixed);
    let (signature, flags, method, crc32, compressed, size, name_len, extra_len) = (|| {
        let signature = fields.take(4)?;
        let (_needed, flags, method) = (fields.u16()?, fields.u16()?, fields.u16()?);
        let _time = fields.u32()?;
        let (crc32, compressed, size) = (fields.u32()?, fields.u32()?, fields.u32()?);
        Some((signature, flags, method, crc32, compressed, size, fields.u16()?, fields.u16()?))
    })()
    .ok_or_else(|| flaw("header"))?;
    if signature != LOCAL {
        return Err(flaw("signature"));
    }
    if flags & FLAG_ENCRYPTED != 0 {
        return Err(source.flaw(&entry.name, Flaw::Encrypted));
    }
    if method != central.method {
        return Err(flaw("compression method"));
    }
    let mut variable = vec![0; usize::from(name_len) + usize::from(extra_len)];
    source.read_at(&mut variable, central.header + LOCAL_LEN)?;
    let (name, extra) = variable.split_at(name_len.into());
    if name != central.name {
        return Err(flaw("name"));
    }
    let mut wide = zip64(extra, name).ok_or_else(|| flaw("extra fields"))?;
    // With a data descriptor, what was not known yet is zero here; what stands here must be right all the same.
    let deferred = flags & FLAG_DESCRIPTOR != 0;
    let has_zip64 = !wide.0.0.is_empty();
    let size = wide.u64_if(size).ok_or_else(|| flaw("size"))?;
    let compressed = wide.u64_if(compressed).ok_or_else(|| flaw("compressed size"))?;
    let agrees = |local: u64, central: u64| local == central || deferred && local == 0;
    if !agrees(crc32.into(), central.crc32.into()) {
        return Err(flaw("CRC-32"));
    }
    if !agrees(size, central.size) {
        return Err(flaw("size"));
    }
    if !agrees(compressed, central.compressed) {
        return Err(flaw("compressed size"));
    }
    let offset = central.header + LOCAL_LEN + u64::from(name_len) + u64::from(extra_len);
    let end = offset
        .checked_add(central.compressed)
        .filter(|&end| end <= source.len)
        .ok_or_else(|| source.flaw(&entry.name, Flaw::Overlaps))?;
    let descriptor = if deferred {
        descriptor(source, central, end, has_zip64).ok_or_else(|| flaw("data descriptor"))?
    } else {
        0
    };
    Ok((offset, end + descriptor))
}

/// The length of the data descriptor at `at`, if it says the same as the directory. It comes with or without a
/// signature, and with sizes of four or eight bytes.
fn descriptor(source: &Source, central: &Central<'_>, at: u64, has_zip64: bool) -> Option<u64> {
    let mut bytes = [0; 24];
    let len = usize::try_from((source.len - at).min(24)).ok()?;
    source.read_at(&mut bytes[..len], at).ok()?;
    let bytes = &bytes[..len];
    let matches = |mut fields: Fields<'_>, wide: bool| -> Option<bool> {
        let crc32 = fields.u32()?;
        let (compressed, size) =
            if wide { (fields.u64()?, fields.u64()?) } else { (fields.u32()?.into(), fields.u32()?.into()) };
        Some((crc32, compressed, size) == (central.crc32, central.compressed, central.size))
    };
    // The width that the zip64 field announces is tried first, but writers differ.
    for wide in [has_zip64, !has_zip64] {
        let len = if wide { 20 } else { 12 };
        if bytes.starts_with(&DESCRIPTOR) && matches(Fields(&bytes[4..]), wide) == Some(true) {
            return Some(len + 4);
        }
        if matches(Fields(bytes), wide) == Some(true) {
            return Some(len);
        }
    }
    None
}

/// No byte belongs to two entries.
fn check_extents(
    source: &Source,
    entries: &[Entry],
    mut extents: Vec<(u64, u64, usize)>,
    directory: u64,
) -> Result<(), Error> {
    extents.sort_unstable();
    let starts = extents.iter().map(|extent| extent.0).skip(1).chain([directory]);
    for (&(_, end, index), next) in extents.iter().zip(starts) {
        if end > next {
            return Err(source.flaw(&entries[index].name, Flaw::Overlaps));
        }
    }
    Ok(())
}

/// No name occurs twice, and no file stands where another entry needs a directory.
fn check_names(source: &Source, entries: &[Entry]) -> Result<(), Error> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_unstable_by(|a, b| path_order(&a.name, &b.name));
    for pair in sorted.windows(2) {
        if pair[0].name == pair[1].name {
            return Err(source.flaw(&pair[0].name, Flaw::Duplicate));
        }
        // In this order, what is below a path comes right after it.
        let below = pair[1].name.strip_prefix(&pair[0].name).is_some_and(|rest| rest.starts_with('/'));
        if below && !pair[0].directory {
            return Err(source.flaw(&pair[0].name, Flaw::FileAndDirectory));
        }
    }
    Ok(())
}
