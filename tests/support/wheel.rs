//! Makes wheels for tests: sound ones with [`WheelBuilder`], and with [`Zip`] archives that lie about anything.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::Write as _;

use bakehouse::model::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A wheel being put together.
#[derive(Clone)]
pub struct WheelBuilder {
    name: String,
    version: String,
    tags: String,
    requires: Vec<String>,
    metadata: String,
    files: Vec<(String, Vec<u8>, u32)>,
    record: Option<String>,
    unlisted: Vec<String>,
}

/// A finished wheel.
pub struct BuiltWheel {
    pub file_name: String,
    pub bytes: Vec<u8>,
}

impl BuiltWheel {
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

impl WheelBuilder {
    /// A pure wheel with nothing but its metadata.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            tags: "py3-none-any".to_owned(),
            requires: Vec::new(),
            metadata: String::new(),
            files: Vec::new(),
            record: None,
            unlisted: Vec::new(),
        }
    }

    /// Other tags than `py3-none-any`.
    pub fn tags(mut self, tags: &str) -> Self {
        self.tags = tags.to_owned();
        self
    }

    /// A `Requires-Dist`.
    pub fn requires(mut self, requirement: &str) -> Self {
        self.requires.push(requirement.to_owned());
        self
    }

    /// More lines for METADATA, such as `Requires-Python: >=3.9`.
    pub fn metadata(mut self, line: &str) -> Self {
        self.metadata.push_str(line);
        self.metadata.push('\n');
        self
    }

    /// A file; `NAME-VERSION.data/…` and `NAME-VERSION.dist-info/…` work too.
    pub fn file(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.file_with_mode(path, bytes, 0o644)
    }

    /// A file with a mode.
    pub fn file_with_mode(mut self, path: &str, bytes: impl AsRef<[u8]>, mode: u32) -> Self {
        self.files.push((path.to_owned(), bytes.as_ref().to_vec(), mode));
        self
    }

    /// A file that RECORD does not list.
    pub fn unlisted_file(mut self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.unlisted.push(path.to_owned());
        self.file(path, bytes)
    }

    /// The text of `entry_points.txt`.
    pub fn entry_points(self, text: &str) -> Self {
        let path = format!("{}/entry_points.txt", self.dist_info());
        self.file(&path, text)
    }

    /// This text for RECORD instead of the right one.
    pub fn record(mut self, text: &str) -> Self {
        self.record = Some(text.to_owned());
        self
    }

    fn stem(&self) -> String {
        format!("{}-{}", self.name.replace('-', "_"), self.version)
    }

    fn dist_info(&self) -> String {
        format!("{}.dist-info", self.stem())
    }

    /// The archive, to lie about something before it is written.
    pub fn zip(mut self) -> Zip {
        let info = self.dist_info();
        let requires: String = self.requires.iter().map(|r| format!("Requires-Dist: {r}\n")).collect();
        let metadata = format!(
            "Metadata-Version: 2.1\nName: {}\nVersion: {}\n{}{requires}",
            self.name, self.version, self.metadata
        );
        let tags: Vec<&str> = self.tags.split('-').collect();
        let tag_lines: String =
            tags[2].split('.').map(|platform| format!("Tag: {}-{}-{platform}\n", tags[0], tags[1])).collect();
        let wheel = format!("Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n{tag_lines}");
        self = self.file(&format!("{info}/METADATA"), metadata).file(&format!("{info}/WHEEL"), wheel);
        let mut record: String = self
            .files
            .iter()
            .filter(|(path, ..)| !self.unlisted.contains(path) && !path.ends_with('/'))
            .map(|(path, bytes, _)| record_row(path, bytes))
            .collect();
        record.push_str(&format!("{info}/RECORD,,\n"));
        let record = self.record.clone().unwrap_or(record);
        self = self.file(&format!("{info}/RECORD"), record);
        Zip {
            entries: self.files.iter().map(|(path, bytes, mode)| ZipEntry::new(path, bytes, *mode)).collect(),
            zip64: false,
        }
    }

    pub fn build(self) -> BuiltWheel {
        let file_name = format!("{}-{}.whl", self.stem(), self.tags);
        BuiltWheel { file_name, bytes: self.zip().bytes() }
    }
}

/// A row of RECORD.
pub fn record_row(path: &str, bytes: &[u8]) -> String {
    let hash = URL_SAFE_NO_PAD.encode(Digest::of(bytes).as_bytes());
    let quoted = path.contains([',', '"']);
    let path = if quoted { format!("\"{}\"", path.replace('"', "\"\"")) } else { path.to_owned() };
    format!("{path},sha256={hash},{}\n", bytes.len())
}

/// A zip archive, every field of which can be made wrong.
#[derive(Clone)]
pub struct Zip {
    pub entries: Vec<ZipEntry>,
    /// Whether sizes and offsets are written as zip64.
    pub zip64: bool,
}

/// One entry. What the local header says can differ from what the central directory says.
#[derive(Clone)]
pub struct ZipEntry {
    pub name: Vec<u8>,
    pub data: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    pub crc32: u32,
    pub size: u64,
    pub compressed: u64,
    /// The upper half of the external attributes; made on Unix.
    pub mode: u32,
    pub local_name: Option<Vec<u8>>,
    pub local_method: Option<u16>,
    pub local_crc32: Option<u32>,
    pub local_size: Option<u64>,
    pub local_extra: Vec<u8>,
    /// Whether CRC and sizes stand after the data, as they do when the archive is written to a pipe.
    pub descriptor: bool,
    /// Another entry's header, to overlap it.
    pub header_of: Option<usize>,
}

impl ZipEntry {
    /// A sound, deflated entry.
    pub fn new(name: &str, bytes: &[u8], mode: u32) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(bytes).unwrap();
        let data = encoder.finish().unwrap();
        let kind = if name.ends_with('/') { 0o040_000 } else { 0o100_000 };
        Self {
            name: name.as_bytes().to_vec(),
            method: 8,
            flags: if name.is_ascii() { 0 } else { 1 << 11 },
            crc32: crc32(bytes),
            size: bytes.len() as u64,
            compressed: data.len() as u64,
            data,
            mode: kind | mode,
            local_name: None,
            local_method: None,
            local_crc32: None,
            local_size: None,
            local_extra: Vec::new(),
            descriptor: false,
            header_of: None,
        }
    }

    /// The same entry without compression.
    pub fn stored(name: &str, bytes: &[u8]) -> Self {
        let (data, compressed) = (bytes.to_vec(), bytes.len() as u64);
        Self { method: 0, data, compressed, ..Self::new(name, bytes, 0o644) }
    }
}

pub fn crc32(bytes: &[u8]) -> u32 {
    libdeflater::crc32(bytes)
}

impl Zip {
    /// The entry of this name, to change it.
    pub fn entry(&mut self, name: &str) -> &mut ZipEntry {
        self.entries.iter_mut().find(|entry| entry.name == name.as_bytes()).unwrap()
    }

    /// Puts an entry at the front.
    pub fn with(mut self, entry: ZipEntry) -> Self {
        self.entries.insert(0, entry);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut headers: Vec<u64> = Vec::new();
        for entry in &self.entries {
            headers.push(out.len() as u64);
            self.local(entry, &mut out);
        }
        let directory = out.len() as u64;
        for (index, entry) in self.entries.iter().enumerate() {
            self.central(entry, headers[entry.header_of.unwrap_or(index)], &mut out);
        }
        let (len, count) = (out.len() as u64 - directory, self.entries.len() as u64);
        if self.zip64 {
            let end64 = out.len() as u64;
            out.extend(b"PK\x06\x06");
            out.extend(44_u64.to_le_bytes());
            out.extend([45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            [count, count, len, directory].iter().for_each(|n| out.extend(n.to_le_bytes()));
            out.extend(b"PK\x06\x07");
            out.extend(0_u32.to_le_bytes());
            out.extend(end64.to_le_bytes());
            out.extend(1_u32.to_le_bytes());
        }
        out.extend(b"PK\x05\x06");
        out.extend([0; 4]);
        let short = |n: u64| if self.zip64 { u32::MAX } else { n as u32 };
        [count, count].iter().for_each(|&n| out.extend((short(n) as u16).to_le_bytes()));
        out.extend(short(len).to_le_bytes());
        out.extend(short(directory).to_le_bytes());
        out.extend([0; 2]);
        out
    }

    fn local(&self, entry: &ZipEntry, out: &mut Vec<u8>) {
        let name = entry.local_name.as_ref().unwrap_or(&entry.name);
        let later = |n: u64| if entry.descriptor { 0 } else { n };
        let crc32 = later(entry.local_crc32.unwrap_or(entry.crc32).into()) as u32;
        let size = later(entry.local_size.unwrap_or(entry.size));
        let compressed = later(entry.compressed);
        let mut extra = entry.local_extra.clone();
        out.extend(b"PK\x03\x04");
        out.extend([45, 0]);
        out.extend((entry.flags | if entry.descriptor { 8 } else { 0 }).to_le_bytes());
        out.extend(entry.local_method.unwrap_or(entry.method).to_le_bytes());
        out.extend([0, 0, 0x21, 0]);
        out.extend(crc32.to_le_bytes());
        if self.zip64 {
            extra.extend([1, 0, 16, 0]);
            extra.extend(size.to_le_bytes());
            extra.extend(compressed.to_le_bytes());
            out.extend([0xff; 8]);
        } else {
            out.extend((compressed as u32).to_le_bytes());
            out.extend((size as u32).to_le_bytes());
        }
        out.extend((name.len() as u16).to_le_bytes());
        out.extend((extra.len() as u16).to_le_bytes());
        out.extend(name);
        out.extend(extra);
        out.extend(&entry.data);
        if entry.descriptor {
            out.extend(b"PK\x07\x08");
            out.extend(entry.crc32.to_le_bytes());
            if self.zip64 {
                out.extend(entry.compressed.to_le_bytes());
                out.extend(entry.size.to_le_bytes());
            } else {
                out.extend((entry.compressed as u32).to_le_bytes());
                out.extend((entry.size as u32).to_le_bytes());
            }
        }
    }

    fn central(&self, entry: &ZipEntry, header: u64, out: &mut Vec<u8>) {
        let mut extra = Vec::new();
        out.extend(b"PK\x01\x02");
        out.extend([45, 3, 45, 0]);
        out.extend((entry.flags | if entry.descriptor { 8 } else { 0 }).to_le_bytes());
        out.extend(entry.method.to_le_bytes());
        out.extend([0, 0, 0x21, 0]);
        out.extend(entry.crc32.to_le_bytes());
        if self.zip64 {
            extra.extend([1, 0, 24, 0]);
            [entry.size, entry.compressed, header].iter().for_each(|n| extra.extend(n.to_le_bytes()));
            out.extend([0xff; 8]);
        } else {
            out.extend((entry.compressed as u32).to_le_bytes());
            out.extend((entry.size as u32).to_le_bytes());
        }
        out.extend((entry.name.len() as u16).to_le_bytes());
        out.extend((extra.len() as u16).to_le_bytes());
        out.extend([0; 6]);
        out.extend((entry.mode << 16).to_le_bytes());
        out.extend(if self.zip64 { u32::MAX } else { header as u32 }.to_le_bytes());
        out.extend(&entry.name);
        out.extend(extra);
    }
}
