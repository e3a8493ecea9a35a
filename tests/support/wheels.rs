//! Small wheels, made in memory.

#![allow(clippy::unwrap_used)]

use std::io::Write;

/// A zip archive being made.
#[derive(Default)]
pub struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    entries: u16,
}

impl Zip {
    /// Adds an entry, deflated.
    pub fn deflated(self, name: &str, content: &[u8]) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(content).unwrap();
        let data = encoder.finish().unwrap();
        self.entry(name, content, &data, 8)
    }

    /// Adds an entry as it is.
    pub fn stored(self, name: &str, content: &[u8]) -> Self {
        self.entry(name, content, content, 0)
    }

    fn entry(mut self, name: &str, content: &[u8], data: &[u8], method: u16) -> Self {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let offset = u32::try_from(self.bytes.len()).unwrap();
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        // What local header and directory have in common, from the version needed to the lengths of name and extra field.
        let mut common = Vec::new();
        common.extend([20, 0, 0, 0]);
        common.extend(method.to_le_bytes());
        common.extend([0; 4]);
        common.extend(crc.sum().to_le_bytes());
        common.extend(len(data));
        common.extend(len(content));
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0; 2]);

        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(&common);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(data);

        self.directory.extend(b"PK\x01\x02\x14\x03");
        self.directory.extend(&common);
        self.directory.extend([0; 6]);
        self.directory.extend((0o100_644_u32 << 16).to_le_bytes());
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.entries += 1;
        self
    }

    /// The archive.
    pub fn finish(self) -> Vec<u8> {
        self.finish_with(false, b"")
    }

    /// The archive, with zip64 records if asked for, and a comment.
    pub fn finish_with(self, zip64: bool, comment: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes;
        let start = bytes.len() as u64;
        let size = self.directory.len() as u64;
        bytes.extend(&self.directory);
        if zip64 {
            let record_at = bytes.len() as u64;
            bytes.extend(b"PK\x06\x06");
            bytes.extend(44_u64.to_le_bytes());
            bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            bytes.extend(u64::from(self.entries).to_le_bytes());
            bytes.extend(u64::from(self.entries).to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.extend(start.to_le_bytes());
            bytes.extend(b"PK\x06\x07\0\0\0\0");
            bytes.extend(record_at.to_le_bytes());
            bytes.extend(1_u32.to_le_bytes());
        }
        let word = |value: u64| if zip64 { u32::MAX } else { u32::try_from(value).unwrap() }.to_le_bytes();
        let entries = if zip64 { u16::MAX } else { self.entries }.to_le_bytes();
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend(entries);
        bytes.extend(entries);
        bytes.extend(word(size));
        bytes.extend(word(start));
        bytes.extend(u16::try_from(comment.len()).unwrap().to_le_bytes());
        bytes.extend(comment);
        bytes
    }
}

/// The text of a `METADATA` file. `fields` are further header lines, each without its end.
pub fn metadata(name: &str, version: &str, fields: &[&str]) -> String {
    let mut text = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    for field in fields {
        text.push_str(field);
        text.push('\n');
    }
    text + "\nA description.\n"
}

/// A pure wheel `NAME-VERSION-py3-none-any.whl` with one module and the given `METADATA`. `name` is the module's name too.
pub fn wheel(name: &str, version: &str, metadata: &str) -> Vec<u8> {
    let info = format!("{name}-{version}.dist-info");
    Zip::default()
        .deflated(&format!("{name}/__init__.py"), format!("VERSION = '{version}'\n").as_bytes())
        .deflated(&format!("{info}/METADATA"), metadata.as_bytes())
        .deflated(
            &format!("{info}/WHEEL"),
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        .deflated(
            &format!("{info}/RECORD"),
            format!("{name}/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n").as_bytes(),
        )
        .finish()
}
