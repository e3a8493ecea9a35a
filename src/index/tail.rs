//! The `METADATA` of a wheel from a few ranges of its bytes: the zip's directory stands at the end, and the `.dist-info`
//! folder just before it.
//!
//! [`metadata`] is a pure function over the [`Window`]s that were read so far: it gives the file, or says which range it
//! needs next. Who reads the ranges, from the network or from disk, is no concern of this module.

use std::io::Read;
use std::ops::Range;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use crate::model::WheelName;

/// The largest directory that is read: a hundred thousand files and more.
const LARGEST_DIRECTORY: u64 = 16 << 20;
/// The largest `METADATA` that is read.
pub(super) const LARGEST_METADATA: u64 = 16 << 20;

/// The most that is read at once because another version was like that.
const LONGEST_REACH: u64 = 2 << 20;

const END_LEN: usize = 22;
const END64_LOCATOR_LEN: usize = 20;
const END64_LEN: usize = 56;
const ENTRY_LEN: usize = 46;
const LOCAL_LEN: usize = 30;
/// Room for the extra fields of a local header, so that one range usually has the header and the data.
const LOCAL_SLACK: u64 = 256;

/// Bytes of the archive from an offset on.
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) bytes: Vec<u8>,
}

/// What [`metadata`] comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The content of `METADATA`, and where in the archive its entry begins.
    Found { bytes: Vec<u8>, offset: u64 },
    /// These bytes are needed as well.
    Need(Range<u64>),
}

/// Why it does not go on: more bytes are needed, or the archive is bad.
enum Stop {
    Need(Range<u64>),
    Bad(String),
}

impl From<&str> for Stop {
    fn from(reason: &str) -> Self {
        Self::Bad(reason.to_owned())
    }
}

/// How far before the end of an archive of `total` bytes its metadata began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    pub(super) total: u64,
    pub(super) len: u64,
}

/// How much of the end of an archive is worth reading first. What it takes to have the directory and `METADATA` grows
/// about with the square root of the archive: for most popular wheels this is enough, for most others one range more.
/// Where another version of the same project is `known`, its reach tells more, if it is not most of the archive.
pub(super) fn first_range(total: u64, known: Option<Reach>) -> Range<u64> {
    let usual = (total.isqrt() * 72).clamp(16 << 10, 320 << 10);
    let alike = known.map(|known| known.len * total.isqrt() / known.total.isqrt().max(1));
    let len = match alike {
        Some(alike) if alike <= LONGEST_REACH => (alike + alike / 8).max(16 << 10),
        _ => usual,
    };
    total.saturating_sub(len)..total
}

/// Adds a window to those that are known; one that ends where another begins is joined to it.
pub(super) fn add(windows: &mut Vec<Window>, mut new: Window) {
    let end = new.start + new.bytes.len() as u64;
    match windows.iter_mut().find(|window| window.start == end) {
        Some(next) => {
            new.bytes.append(&mut next.bytes);
            *next = new;
        }
        None => windows.push(new),
    }
}

/// The `METADATA` of `wheel`, an archive of `total` bytes of which `windows` are known. The error says what is wrong.
pub(super) fn metadata(total: u64, windows: &[Window], wheel: &WheelName) -> Result<Step, String> {
    match (Archive { total, windows }).metadata(wheel) {
        Ok((bytes, offset)) => Ok(Step::Found { bytes, offset }),
        Err(Stop::Need(range)) => Ok(Step::Need(range)),
        Err(Stop::Bad(reason)) => Err(reason),
    }
}

/// An entry of the directory.
struct Entry {
    method: u16,
    crc: u32,
    compressed: u64,
    size: u64,
    offset: u64,
    name_len: u64,
}

struct Archive<'a> {
    total: u64,
    windows: &'a [Window],
}

impl<'a> Archive<'a> {
    fn metadata(&self, wheel: &WheelName) -> Result<(Vec<u8>, u64), Stop> {
        let directory = self.directory()?;
        let entry = find(self.slice_within(directory.clone(), &self.around(&directory))?, wheel)?;
        if entry.compressed > LARGEST_METADATA || entry.size > LARGEST_METADATA {
            return Err("its METADATA is too large".into());
        }
        let least = LOCAL_LEN as u64 + entry.name_len + entry.compressed;
        let least_end = entry.offset.checked_add(least).filter(|end| *end <= directory.start);
        let least_end = least_end.ok_or("METADATA lies outside of the archive's data")?;
        let likely = entry.offset..(least_end + LOCAL_SLACK).min(directory.start);
        let header = self.slice_within(entry.offset..entry.offset + LOCAL_LEN as u64, &likely)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err("METADATA has no local header".into());
        }
        let start =
            entry.offset + LOCAL_LEN as u64 + u64::from(u16_at(header, 26)) + u64::from(u16_at(header, 28));
        let end = start + entry.compressed;
        if end > directory.start {
            return Err("METADATA runs into the directory".into());
        }
        let data = self.slice_within(start..end, &(entry.offset..end))?;
        Ok((inflate(data, &entry)?, entry.offset))
    }

    /// The range to ask for where the directory is not known: as far as it is not, and as much before it as `METADATA` and
    /// what commonly follows it take, which is RECORD, of about the directory's size.
    fn around(&self, directory: &Range<u64>) -> Range<u64> {
        let before = (16 << 10) + (directory.end - directory.start) / 4 * 3;
        let known = self.windows.iter().map(|window| window.start).filter(|start| *start > directory.start);
        let end = known.fold(directory.end, u64::min);
        directory.start.saturating_sub(before)..end
    }

    /// Where the directory is.
    fn directory(&self) -> Result<Range<u64>, Stop> {
        // The end record is followed by a comment of at most 65535 bytes, usually by none.
        if self.total < END_LEN as u64 {
            return Err("it is too short for a zip archive".into());
        }
        let ends = self.windows.iter().filter(|w| w.start + w.bytes.len() as u64 == self.total);
        let tail =
            ends.max_by_key(|w| w.bytes.len()).ok_or_else(|| Stop::Need(first_range(self.total, None)))?;
        let end = (0..=tail.bytes.len().saturating_sub(END_LEN)).rev().find(|&at| {
            let record = &tail.bytes[at..];
            record.starts_with(b"PK\x05\x06")
                && record.len() >= END_LEN
                && usize::from(u16_at(record, 20)) == record.len() - END_LEN
        });
        let Some(at) = end else {
            let longest = self.total.saturating_sub((END_LEN + usize::from(u16::MAX)) as u64)..self.total;
            return Err(match longest.start < tail.start {
                true => Stop::Need(longest),
                false => "it has no zip directory".into(),
            });
        };
        let end_at = tail.start + at as u64;
        let record = &tail.bytes[at..];
        let (mut size, mut start) = (u64::from(u32_at(record, 12)), u64::from(u32_at(record, 16)));
        let mut limit = end_at;
        if start == u64::from(u32::MAX) || size == u64::from(u32::MAX) || u16_at(record, 10) == u16::MAX {
            let locator_at =
                end_at.checked_sub(END64_LOCATOR_LEN as u64).ok_or("its end record is broken")?;
            let locator = self.slice(locator_at..end_at)?;
            if locator.starts_with(b"PK\x06\x07") {
                limit = u64_at(locator, 8);
                let record_end = limit.checked_add(END64_LEN as u64).filter(|end| *end <= locator_at);
                let record = self.slice(limit..record_end.ok_or("its zip64 record is misplaced")?)?;
                if !record.starts_with(b"PK\x06\x06") {
                    return Err("its zip64 record is missing".into());
                }
                (size, start) = (u64_at(record, 40), u64_at(record, 48));
            }
        }
        if size > LARGEST_DIRECTORY {
            return Err("its zip directory is too large".into());
        }
        // Nothing may stand between the directory and its end: what does is not a plain wheel.
        match start.checked_add(size) {
            Some(end) if end == limit => Ok(start..end),
            _ => Err("its zip directory is misplaced".into()),
        }
    }

    fn slice(&self, range: Range<u64>) -> Result<&'a [u8], Stop> {
        self.slice_within(range.clone(), &range)
    }

    /// The bytes of `range`; where they are not known, asks for `wanted`.
    fn slice_within(&self, range: Range<u64>, wanted: &Range<u64>) -> Result<&'a [u8], Stop> {
        let found = self.windows.iter().find_map(|window| {
            let from = usize::try_from(range.start.checked_sub(window.start)?).ok()?;
            let len = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
            window.bytes.get(from..from.checked_add(len)?)
        });
        found.ok_or_else(|| Stop::Need(wanted.clone()))
    }
}

/// Finds the one `*.dist-info/METADATA` at the top; of several, the one of this wheel's name and version.
fn find(mut directory: &[u8], wheel: &WheelName) -> Result<Entry, Stop> {
    let mut found: Vec<(bool, Entry)> = Vec::new();
    while !directory.is_empty() {
        if !directory.starts_with(b"PK\x01\x02") || directory.len() < ENTRY_LEN {
            return Err("its zip directory is broken".into());
        }
        let name_len = usize::from(u16_at(directory, 28));
        let extra_end = ENTRY_LEN + name_len + usize::from(u16_at(directory, 30));
        let end = extra_end + usize::from(u16_at(directory, 32));
        if end > directory.len() {
            return Err("its zip directory is cut short".into());
        }
        let name = &directory[ENTRY_LEN..ENTRY_LEN + name_len];
        let folder = name.strip_suffix(b".dist-info/METADATA").filter(|folder| !folder.contains(&b'/'));
        if let Some(folder) = folder {
            let entry = read_entry(directory, &directory[ENTRY_LEN + name_len..extra_end])?;
            found.push((is_of(folder, wheel), entry));
        }
        directory = &directory[end..];
    }
    if found.len() > 1 {
        found.retain(|(own, _)| *own);
    }
    match (found.pop(), found.is_empty()) {
        (Some((_, entry)), true) => Ok(entry),
        (Some(_), false) => Err("it has several METADATA files".into()),
        (None, _) => Err("it has no METADATA of its own".into()),
    }
}

/// Whether `NAME-VERSION` of a `.dist-info` folder is this wheel's.
fn is_of(folder: &[u8], wheel: &WheelName) -> bool {
    let parts = std::str::from_utf8(folder).ok().and_then(|folder| folder.rsplit_once('-'));
    parts.is_some_and(|(name, version)| {
        name.parse().is_ok_and(|name: pep508_rs::PackageName| name == wheel.name)
            && version.replace('_', "-").parse().is_ok_and(|v: pep440_rs::Version| v == wheel.version)
    })
}

fn read_entry(entry: &[u8], mut extra: &[u8]) -> Result<Entry, Stop> {
    if u16_at(entry, 8) & 1 != 0 {
        return Err("its METADATA is encrypted".into());
    }
    let mut compressed = u64::from(u32_at(entry, 20));
    let mut size = u64::from(u32_at(entry, 24));
    let mut offset = u64::from(u32_at(entry, 42));
    // The zip64 field holds, in this order, those of the three that do not fit into 32 bits.
    while extra.len() >= 4 {
        let (kind, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(mut field) = extra.get(4..4 + len) else { return Err("an extra field is cut short".into()) };
        if kind == 1 {
            for value in [&mut size, &mut compressed, &mut offset] {
                if *value == u64::from(u32::MAX) {
                    let (head, rest) = field.split_at_checked(8).ok_or("a zip64 field is cut short")?;
                    *value = u64_at(head, 0);
                    field = rest;
                }
            }
        }
        extra = &extra[4 + len..];
    }
    Ok(Entry {
        method: u16_at(entry, 10),
        crc: u32_at(entry, 16),
        compressed,
        size,
        offset,
        name_len: u64::from(u16_at(entry, 28)),
    })
}

fn inflate(data: &[u8], entry: &Entry) -> Result<Vec<u8>, Stop> {
    let bytes = match entry.method {
        0 => data.to_vec(),
        8 => {
            let mut bytes = Vec::new();
            // One byte more than promised is enough to see that there is more.
            let read = DeflateDecoder::new(data).take(entry.size + 1).read_to_end(&mut bytes);
            read.map_err(|_| "its METADATA does not inflate")?;
            bytes
        }
        _ => return Err("its METADATA is compressed by an unknown method".into()),
    };
    let mut crc = Crc::new();
    crc.update(&bytes);
    if bytes.len() as u64 != entry.size || crc.sum() != entry.crc {
        return Err("its METADATA does not match its checksum".into());
    }
    Ok(bytes)
}

// The callers have checked the lengths.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
#[path = "../../tests/support/wheels.rs"]
mod wheels;

#[cfg(test)]
mod tests {
    use super::wheels::{self, Zip};
    use super::*;

    fn name() -> WheelName {
        "foo_bar-1.0-py3-none-any.whl".parse().unwrap()
    }

    /// Reads as a client does; gives the number of ranges too.
    fn read(bytes: &[u8]) -> Result<(Vec<u8>, usize), String> {
        let mut windows = Vec::new();
        for count in 0..10 {
            match metadata(bytes.len() as u64, &windows, &name())? {
                Step::Found { bytes: found, .. } => return Ok((found, count)),
                Step::Need(range) => {
                    let (from, to) = (range.start as usize, range.end as usize);
                    add(&mut windows, Window { start: range.start, bytes: bytes[from..to].to_vec() });
                }
            }
        }
        Err("it does not end".to_owned())
    }

    #[test]
    fn one_range_is_enough_for_a_small_wheel() {
        let text = wheels::metadata("foo-bar", "1.0", &["Requires-Dist: x"]);
        let (found, ranges) = read(&wheels::wheel("foo_bar", "1.0", &text)).unwrap();
        assert_eq!((found, ranges), (text.into_bytes(), 1));
    }

    #[test]
    fn what_the_first_range_lacks_is_asked_for() {
        let noise = vec![7; 300 << 10];
        let first = Zip::default().stored("foo_bar-1.0.dist-info/METADATA", b"hello").stored("noise", &noise);
        for zip64 in [false, true] {
            let zip =
                Zip::default().stored("foo_bar-1.0.dist-info/METADATA", b"hello").stored("noise", &noise);
            assert_eq!(read(&zip.finish_with(zip64, b"")), Ok((b"hello".to_vec(), 2)));
        }
        let (found, _) = read(&first.finish_with(true, &[b'c'; 60 << 10])).unwrap();
        assert_eq!(found, b"hello");
    }

    #[test]
    fn a_directory_larger_than_the_first_range_takes_one_more() {
        let mut zip = Zip::default();
        for i in 0..1_000 {
            zip = zip.stored(&format!("foo_bar/a_module_with_quite_a_long_name_{i}.py"), b"");
        }
        let bytes = zip.stored("foo_bar-1.0.dist-info/METADATA", b"hello").finish();
        assert_eq!(read(&bytes), Ok((b"hello".to_vec(), 2)));
    }

    #[test]
    fn another_version_tells_how_far_to_reach() {
        let known = |total, len| Some(Reach { total, len });
        let len = |total, known| {
            let range = first_range(total, known);
            range.end - range.start
        };
        assert_eq!(len(1_000_000, None), 72_000);
        assert_eq!(len(1_000_000, known(1_000_000, 80_000)), 90_000);
        assert_eq!(len(1_000_000, known(4_000_000, 80_000)), 45_000);
        // What is read is never less than what costs nothing, nor half an archive because its metadata stands first.
        assert_eq!(len(1_000_000, known(1_000_000, 900)), 16 << 10);
        assert_eq!(len(50_000_000, known(50_000_000, 50_000_000)), 320 << 10);
        assert_eq!(len(10_000, known(0, 0)), 10_000);
    }

    #[test]
    fn of_several_the_one_of_the_wheel_is_taken() {
        let several = |second: &str| {
            let zip = Zip::default().stored("other-2.dist-info/METADATA", b"other");
            read(&zip.stored(second, b"own").stored("vendored/a-1.dist-info/METADATA", b"").finish())
        };
        assert_eq!(several("Foo.Bar-1.0.0.dist-info/METADATA").unwrap().0, b"own");
        assert!(several("another-2.dist-info/METADATA").unwrap_err().contains("no METADATA"));
        let twice = Zip::default().stored("foo_bar-1.0.dist-info/METADATA", b"a");
        let twice = twice.stored("foo_bar-1.0.dist-info/METADATA", b"b").finish();
        assert!(read(&twice).unwrap_err().contains("several"));
    }

    #[test]
    fn damage_is_told_and_never_a_panic() {
        assert!(read(b"").unwrap_err().contains("too short"));
        assert!(read(&[0; 100]).unwrap_err().contains("no zip directory"));
        assert!(read(&[0; 200 << 10]).unwrap_err().contains("no zip directory"));
        let text = wheels::metadata("foo-bar", "1.0", &[]);
        let sound = wheels::wheel("foo_bar", "1.0", &text);
        let zip64 = Zip::default().deflated("foo_bar-1.0.dist-info/METADATA", text.as_bytes());
        for sound in [sound, zip64.finish_with(true, b"")] {
            for at in 0..sound.len() {
                for value in [0, 0x7f, 0xff] {
                    let mut broken = sound.clone();
                    broken[at] = value;
                    // Either an error, or the damage was elsewhere.
                    if let Ok((found, _)) = read(&broken) {
                        assert_eq!(found, text.as_bytes());
                    }
                }
            }
        }
    }
}
