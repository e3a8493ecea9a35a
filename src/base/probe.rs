//! What the bytes of a file tell: whether it is a program, which C library, which Python.

use std::io::{self, Read};

use crate::model::{Libc, PythonMinor};

/// What was found in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// It is in the format of programs and shared libraries (ELF), not a script.
    pub elf: bool,
    /// It is a C library of this version.
    pub libc: Option<Libc>,
    /// It holds a Python of this full version.
    pub python: Option<String>,
    /// It has lines that matter: users, or what a distribution says of itself.
    pub text: Option<Box<str>>,
}

impl Facts {
    /// The memory that they take beyond their own size.
    pub fn memory(&self) -> usize {
        self.text.as_ref().map_or(0, |text| text.len())
    }
}

/// How much is read of a text, and how much of it may matter.
const MAX_TEXT: u64 = 1 << 20;
const MAX_KEPT: usize = 128 << 10;
/// The core metadata that matters.
const FIELDS: [&str; 5] = ["Name", "Version", "Requires-Dist", "Requires-Python", "Provides-Extra"];

/// Which facts a file of this name may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// Perhaps GNU libc.
    Glibc,
    /// Perhaps musl.
    Musl,
    /// Perhaps this Python: its program or its shared library.
    Python(PythonMinor),
    /// Perhaps the header that has Python's version.
    PatchLevel,
    /// Perhaps the list of users, or that of groups.
    Accounts,
    /// Perhaps the core metadata of an installed distribution.
    Metadata,
    /// Perhaps the entry points of one, or what one of the old form requires.
    Lists,
    /// That it is there.
    Name,
}

impl Interest {
    /// The interest in a file, by the last part of its path.
    pub fn of(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        // Older releases have the version in the file's name, and the usual name is a symbolic link.
        if name == "libc.so.6" || (name.starts_with("libc-2.") && name.ends_with(".so")) {
            return Some(Self::Glibc);
        }
        // The loader and the library are one file.
        if name == "libc.so" || (name.starts_with("ld-musl-") && name.ends_with(".so.1")) {
            return Some(Self::Musl);
        }
        let library = || {
            let (minor, _) = name.strip_prefix("libpython")?.split_once(".so")?;
            minor.strip_suffix('m').unwrap_or(minor).parse().ok()
        };
        match (name, python_minor(name).or_else(library)) {
            (_, Some(minor)) => Some(Self::Python(minor)),
            ("patchlevel.h", _) => Some(Self::PatchLevel),
            ("os.py", _) => Some(Self::Name),
            ("passwd" | "group", _) => Some(Self::Accounts),
            ("METADATA" | "PKG-INFO", _) => Some(Self::Metadata),
            ("entry_points.txt" | "requires.txt", _) => Some(Self::Lists),
            // The oldest form of metadata is a file of that name; where it is a folder, nobody asks.
            _ if name.ends_with(".egg-info") => Some(Self::Metadata),
            _ => None,
        }
    }
}

/// The version in an interpreter's name: `python3.11`, or `python3.7m` with the ABI flag of its day.
pub(super) fn python_minor(name: &str) -> Option<PythonMinor> {
    let minor = name.strip_prefix("python")?;
    minor.strip_suffix('m').unwrap_or(minor).parse().ok()
}

/// Reads a file as far as there is something to find.
pub(super) fn examine(mut content: impl Read, interest: Option<Interest>) -> io::Result<Facts> {
    let mut start = [0; 4];
    let mut filled = 0;
    while filled < start.len() {
        match content.read(&mut start[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    let mut facts = Facts { elf: start == *b"\x7fELF", ..Facts::default() };
    match interest {
        Some(Interest::Glibc) if facts.elf => facts.libc = scan(content, glibc)?,
        Some(Interest::Musl) if facts.elf => facts.libc = scan(content, musl)?,
        Some(Interest::Python(minor)) if facts.elf => {
            let prefix = format!("{minor}.");
            facts.python = scan(content, |window| python(window, &prefix))?;
        }
        Some(Interest::PatchLevel) => {
            let mut text = Vec::new();
            content.take(16 * 1024).read_to_end(&mut text)?;
            facts.python = patch_level(&String::from_utf8_lossy(&text));
        }
        Some(Interest::Metadata) => facts.text = text(&start[..filled], content, metadata)?,
        Some(Interest::Accounts | Interest::Lists) if !facts.elf => {
            facts.text = text(&start[..filled], content, |text| text.to_owned())?;
        }
        _ => {}
    }
    Ok(facts)
}

/// The part of a text that matters; none if the text or the part is larger than an honest one.
fn text(start: &[u8], content: impl Read, keep: impl Fn(&str) -> String) -> io::Result<Option<Box<str>>> {
    let mut bytes = start.to_vec();
    content.take(MAX_TEXT).read_to_end(&mut bytes)?;
    let kept = keep(&String::from_utf8_lossy(&bytes));
    let fits = bytes.len() < MAX_TEXT as usize && kept.len() <= MAX_KEPT;
    Ok(fits.then(|| kept.into_boxed_str()))
}

/// The fields that matter of core metadata, which are headers as in mail, one line each.
fn metadata(text: &str) -> String {
    let mut kept = String::new();
    let mut matters = false;
    for line in text.lines().take_while(|line| !line.trim().is_empty()) {
        if line.starts_with([' ', '\t']) {
            if matters {
                kept.push(' ');
                kept.push_str(line.trim());
            }
            continue;
        }
        let field = line.split(':').next().unwrap_or_default();
        matters = FIELDS.iter().any(|known| known.eq_ignore_ascii_case(field));
        if matters {
            if !kept.is_empty() {
                kept.push('\n');
            }
            kept.push_str(line.trim());
        }
    }
    kept + "\n"
}

/// What is looked for must be shorter than this, so that it lies whole in one window.
const OVERLAP: usize = 512;
const WINDOW: usize = 128 * 1024;

/// Looks at overlapping windows of the content until something is found.
fn scan<T>(mut content: impl Read, find: impl Fn(&[u8]) -> Option<T>) -> io::Result<Option<T>> {
    let mut window = vec![0; WINDOW];
    let mut filled = 0;
    loop {
        let n = content.read(&mut window[filled..])?;
        filled += n;
        if filled < WINDOW && n > 0 {
            continue;
        }
        if let Some(found) = find(&window[..filled]) {
            return Ok(Some(found));
        }
        if n == 0 {
            return Ok(None);
        }
        window.copy_within(WINDOW - OVERLAP.., 0);
        filled = OVERLAP;
    }
}

/// The version in glibc's banner, `GNU C Library (VENDOR) stable release version 2.36.`
fn glibc(window: &[u8]) -> Option<Libc> {
    strings(window).find_map(|string| {
        let banner = string.strip_prefix("GNU C Library")?.lines().next()?;
        let (_, version) = banner.split_once(" release version ")?;
        let (major, rest) = version.split_once('.')?;
        let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Libc::Glibc { major: major.parse().ok()?, minor: minor.parse().ok()? })
    })
}

/// musl's version, which is a string of its own: `1.2.3`, with the date or commit of a snapshot behind it.
fn musl(window: &[u8]) -> Option<Libc> {
    strings(window).find_map(|string| {
        let (minor, patch) = string.strip_prefix("1.")?.split_once('.')?;
        patch.split(['_', '-']).next()?.parse::<u16>().ok()?;
        Some(Libc::Musl { major: 1, minor: minor.parse().ok()? })
    })
}

/// A Python's full version: `3.11.2`, `3.14.0rc1`, or with a plus sign where it was built between releases.
fn python(window: &[u8], prefix: &str) -> Option<String> {
    strings(window).find_map(|string| {
        let patch = string.strip_prefix(prefix)?;
        let rest = patch.trim_start_matches(|c: char| c.is_ascii_digit());
        let rest =
            rest.trim_start_matches(['a', 'b', 'r', 'c']).trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = patch.starts_with(|c: char| c.is_ascii_digit()) && string.len() <= 20;
        (digits && matches!(rest, "" | "+")).then(|| string.trim_end_matches('+').to_owned())
    })
}

/// The full version in the header `patchlevel.h`.
fn patch_level(text: &str) -> Option<String> {
    let definition =
        text.lines().find_map(|line| line.strip_prefix("#define PY_VERSION")?.strip_prefix([' ', '\t']))?;
    let version = definition.trim().trim_matches('"').trim_end_matches('+');
    (version.starts_with("3.") && version.len() <= 20).then(|| version.to_owned())
}

/// The short texts between two zero bytes.
fn strings(window: &[u8]) -> impl Iterator<Item = &str> {
    // What lies before the first and after the last zero may be cut.
    let first = window.iter().position(|&byte| byte == 0).map_or(window.len(), |at| at + 1);
    let last = window.iter().rposition(|&byte| byte == 0).unwrap_or(0);
    window
        .get(first..last + 1)
        .unwrap_or_default()
        .split(|&byte| byte == 0)
        .filter(|bytes| {
            (3..OVERLAP - 2).contains(&bytes.len()) && (bytes[0].is_ascii_digit() || bytes[0] == b'G')
        })
        .filter_map(|bytes| std::str::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examined(name: &str, strings: &[&str]) -> Facts {
        let mut bytes = b"\x7fELF".to_vec();
        // Far enough that what is looked for straddles two reads.
        bytes.resize(WINDOW - 20, b'x');
        for string in strings {
            bytes.push(0);
            bytes.extend(string.as_bytes());
        }
        bytes.extend([0; 3]);
        examine(bytes.as_slice(), Interest::of(name.as_bytes())).unwrap()
    }

    #[test]
    fn c_libraries_tell_their_version() {
        let banner =
            "GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\nCopyright (C) 2022";
        assert_eq!(examined("libc.so.6", &[banner]).libc, "glibc-2.36".parse().ok());
        let banner = "GNU C Library (GNU libc) development release version 2.39.9000.\n";
        assert_eq!(examined("libc-2.39.so", &[banner]).libc, "glibc-2.39".parse().ok());
        for version in ["1.2.3", "1.2.4_git20230717"] {
            let strings = ["musl libc (x86_64)\nVersion %s\n", version];
            assert_eq!(examined("ld-musl-x86_64.so.1", &strings).libc, "musl-1.2".parse().ok());
        }
        assert_eq!(examined("libc.so.6", &["GNU C Library", "1.2.x"]).libc, None);
        assert_eq!(examined("other.so", &["1.2.3"]).libc, None);
    }

    #[test]
    fn pythons_tell_their_version() {
        let strings = ["3.40.1", "3.11.", "3.11.x", "3.11.2+"];
        assert_eq!(examined("python3.11", &strings).python.as_deref(), Some("3.11.2"));
        assert_eq!(examined("libpython3.14.so.1.0", &["3.14.0rc1"]).python.as_deref(), Some("3.14.0rc1"));
        assert_eq!(examined("libpython3.7m.so.1.0", &["3.7.9"]).python.as_deref(), Some("3.7.9"));
        assert_eq!(examined("python3", &["3.11.2"]).python, None);
        let header = b"/* Version */\n#define PY_VERSION_HEX 1\n#define PY_VERSION      \t\"3.12.1+\"\n";
        let facts = examine(&header[..], Interest::of(b"patchlevel.h")).unwrap();
        assert_eq!(facts.python.as_deref(), Some("3.12.1"));
    }

    #[test]
    fn a_script_is_no_program() {
        let facts = examine(&b"#!/bin/sh\0\x003.11.2\0"[..], Interest::of(b"python3.11")).unwrap();
        assert_eq!(facts, Facts::default());
        assert_eq!(examine(&b""[..], None).unwrap(), Facts::default());
    }
}
