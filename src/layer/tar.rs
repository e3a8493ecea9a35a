//! Tar headers, every field of which follows from the entry's path, kind and size.
//!
//! The format is ustar; what it cannot say (long or non-ASCII names, sizes from 8 GiB on) goes into a PAX header
//! before the entry, which every container runtime reads. Owner is 0:0 without names; the time is [`MTIME`].

use tar::{EntryType, Header};

use super::MTIME;

/// Tar is made of blocks of this size.
pub(super) const BLOCK: u64 = 512;

/// A tar archive ends with two empty blocks.
pub(super) const END: [u8; 2 * BLOCK as usize] = [0; 2 * BLOCK as usize];

/// The largest size that ustar's eleven octal digits can say.
const MAX_SIZE: u64 = 0o77_777_777_777;

/// The largest owner that seven octal digits can say.
const MAX_ID: u32 = 0o7_777_777;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Directory,
    File { size: u64, executable: bool },
    Symlink { target: &'a str },
    HardLink { target: &'a str },
}

/// Everything that stands before the entry's own bytes: its header, and a PAX header where one is needed.
pub(super) fn header(path: &str, kind: Kind<'_>) -> Vec<u8> {
    let mode = match kind {
        Kind::Directory | Kind::File { executable: true, .. } => 0o755,
        Kind::File { .. } | Kind::HardLink { .. } => 0o644,
        Kind::Symlink { .. } => 0o777,
    };
    owned_header(path, kind, mode, 0, 0)
}

/// A header whose mode and owner are given.
pub(super) fn owned_header(path: &str, kind: Kind<'_>, mode: u32, uid: u32, gid: u32) -> Vec<u8> {
    let mut pax = String::new();
    let (entry_type, size) = match kind {
        Kind::Directory => (EntryType::Directory, 0),
        Kind::File { size, .. } => (EntryType::Regular, size),
        Kind::Symlink { .. } => (EntryType::Symlink, 0),
        Kind::HardLink { .. } => (EntryType::Link, 0),
    };
    let is_directory = entry_type == EntryType::Directory;
    let name = if is_directory { format!("{path}/") } else { path.to_owned() };

    let mut header = blank(entry_type, mode);
    for (id, key, set) in [
        (uid, "uid", Header::set_uid as fn(&mut Header, u64)),
        (gid, "gid", Header::set_gid as fn(&mut Header, u64)),
    ] {
        if id > MAX_ID {
            push_record(&mut pax, key, &id.to_string());
        } else {
            set(&mut header, u64::from(id));
        }
    }
    match split(&name) {
        Some((prefix, name)) => set_name(&mut header, prefix, name),
        None => {
            push_record(&mut pax, "path", &name);
            set_name(&mut header, "", &stand_in(&name));
        }
    }
    if let Kind::Symlink { target } | Kind::HardLink { target } = kind {
        let short = target.is_ascii() && target.len() <= 100;
        let stand_in = stand_in(target);
        if !short {
            push_record(&mut pax, "linkpath", target);
        }
        let link = if short { target } else { &stand_in };
        if let Some(ustar) = header.as_ustar_mut() {
            ustar.linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
    }
    if size > MAX_SIZE {
        push_record(&mut pax, "size", &size.to_string());
    }
    header.set_size(if size > MAX_SIZE { 0 } else { size });
    header.set_cksum();

    let mut bytes = Vec::new();
    if !pax.is_empty() {
        let mut extended = blank(EntryType::XHeader, 0o644);
        set_name(&mut extended, "", "PaxHeaders/entry");
        extended.set_size(pax.len() as u64);
        extended.set_cksum();
        bytes.extend_from_slice(extended.as_bytes());
        bytes.extend_from_slice(pax.as_bytes());
        bytes.resize(bytes.len() + padding(pax.len() as u64).len(), 0);
    }
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

/// The zeros that fill the last block of an entry of `size` bytes.
pub(super) fn padding(size: u64) -> &'static [u8] {
    &END[..((BLOCK - size % BLOCK) % BLOCK) as usize]
}

fn blank(entry_type: EntryType, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(entry_type);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MTIME);
    header
}

fn set_name(header: &mut Header, prefix: &str, name: &str) {
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.name[..name.len()].copy_from_slice(name.as_bytes());
        ustar.prefix[..prefix.len()].copy_from_slice(prefix.as_bytes());
    }
}

/// A name as ustar's two fields (155 and 100 bytes, divided at a slash), if they can hold it.
fn split(name: &str) -> Option<(&str, &str)> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= 100 {
        return Some(("", name));
    }
    let last = name.len().saturating_sub(2).min(155);
    let at = name[..=last].rfind('/')?;
    let (prefix, rest) = (&name[..at], &name[at + 1..]);
    (rest.len() <= 100 && !prefix.is_empty()).then_some((prefix, rest))
}

/// What stands in the header's own field when the PAX header has the real text.
fn stand_in(text: &str) -> String {
    text.bytes().take(100).map(|b| if b.is_ascii_graphic() { char::from(b) } else { '_' }).collect()
}

/// Appends a PAX record, whose length includes the digits that say it.
fn push_record(pax: &mut String, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    pax.push_str(&format!("{len} {key}={value}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_entry_is_one_block() {
        let bytes = header("opt/venv/a.py", Kind::File { size: 7, executable: true });
        let parsed = Header::from_byte_slice(&bytes);
        assert_eq!(bytes.len(), 512);
        assert_eq!(parsed.path().unwrap().to_str(), Some("opt/venv/a.py"));
        assert_eq!((parsed.mode().unwrap(), parsed.size().unwrap()), (0o755, 7));
        assert_eq!(parsed.mtime().unwrap(), MTIME);
        assert_eq!((parsed.uid().unwrap(), parsed.gid().unwrap()), (0, 0));
        assert_eq!(parsed.username().unwrap(), Some(""));
    }

    #[test]
    fn what_ustar_cannot_say_goes_into_a_pax_header() {
        let split = format!("{}/{}", "d".repeat(150), "f".repeat(100));
        let long = format!("{}/{}", "d".repeat(150), "f".repeat(101));
        let deep = "d/".repeat(150) + "f";
        for (path, size, pax) in [
            (split.as_str(), 0, None),
            (&long, 0, Some(format!("262 path={long}\n"))),
            (&deep, 0, Some(format!("311 path={deep}\n"))),
            ("é", 0, Some("11 path=é\n".to_owned())),
            ("big", MAX_SIZE, None),
            ("big", MAX_SIZE + 1, Some("19 size=8589934592\n".to_owned())),
        ] {
            let bytes = header(path, Kind::File { size, executable: false });
            match pax {
                None => assert_eq!(bytes.len(), 512, "{path}"),
                Some(pax) => {
                    assert_eq!(bytes.len(), 1536, "{path}");
                    assert_eq!(&bytes[512..512 + pax.len()], pax.as_bytes());
                }
            }
        }
    }

    #[test]
    fn the_length_of_a_pax_record_counts_its_own_digits() {
        for len in 0..2000 {
            let mut record = String::new();
            push_record(&mut record, "path", &"x".repeat(len));
            assert_eq!(record.split(' ').next().unwrap().parse(), Ok(record.len()));
        }
    }
}
