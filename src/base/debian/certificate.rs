//! The hash of a certificate's subject, by which OpenSSL finds it in a directory.

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

/// The hash in the name of the link `HASH.0`; none if the text is no certificate.
pub(super) fn subject_hash(pem: &str) -> Option<u32> {
    let body = pem.split_once("-----BEGIN CERTIFICATE-----")?.1.split_once("-----END")?.0;
    let text: String = body.split_whitespace().collect();
    let der = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    let mut certificate = Value::read(&mut &*der)?.sequence()?;
    let mut signed = Value::read(&mut certificate)?.sequence()?;
    // The version is optional; then serial number, algorithm, issuer, validity, subject.
    let first = Value::read(&mut signed)?;
    for _ in 0..if first.tag == 0xa0 { 4 } else { 3 } {
        Value::read(&mut signed)?;
    }
    let mut subject = Value::read(&mut signed)?.sequence()?;
    // The canonical form: every text in UTF-8, small letters and single spaces, without the outer header.
    let mut canonical = Vec::new();
    while !subject.is_empty() {
        let mut set = Value::read(&mut subject)?;
        let mut attributes = Vec::new();
        while !set.content.is_empty() {
            let mut attribute = Value::read(&mut set.content)?.sequence()?;
            let (kind, value) = (Value::read(&mut attribute)?, Value::read(&mut attribute)?);
            let mut bytes = encode(kind.tag, kind.content);
            match value.text() {
                Some(text) => bytes.extend(encode(0x0c, plain(&text).as_bytes())),
                None => bytes.extend(encode(value.tag, value.content)),
            }
            attributes.push(encode(0x30, &bytes));
        }
        attributes.sort();
        canonical.extend(encode(set.tag, &attributes.concat()));
    }
    let hash = Sha1::digest(&canonical);
    Some(u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]))
}

/// A value of DER, its content not looked into.
struct Value<'d> {
    tag: u8,
    content: &'d [u8],
}

impl<'d> Value<'d> {
    /// Takes the first value off `bytes`.
    fn read(bytes: &mut &'d [u8]) -> Option<Self> {
        let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        *bytes = rest;
        Some(Self { tag, content })
    }

    fn sequence(self) -> Option<&'d [u8]> {
        (self.tag == 0x30).then_some(self.content)
    }

    /// The text of a string type; none for other types.
    fn text(&self) -> Option<String> {
        let utf16 = |bytes: &[u8]| {
            let units: Vec<u16> =
                bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        };
        match self.tag {
            // UTF8, printable, IA5 and visible strings; and the old one that everybody uses as Latin-1.
            0x0c | 0x13 | 0x16 | 0x1a => Some(String::from_utf8_lossy(self.content).into_owned()),
            0x14 => Some(self.content.iter().map(|&byte| char::from(byte)).collect()),
            0x1e => Some(utf16(self.content)),
            _ => None,
        }
    }
}

/// Small letters (of ASCII, as OpenSSL does) and single spaces.
fn plain(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase()
}

fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|&&byte| byte == 0).count().min(7)..];
    let mut bytes = vec![tag];
    if content.len() >= 0x80 {
        bytes.push(0x80 | digits.len() as u8);
    }
    bytes.extend_from_slice(digits);
    bytes.extend_from_slice(content);
    bytes
}
