//! Archives with a Python by its looks, in the layout of python-build-standalone, and a project that wants one.

#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tar::EntryType;

use super::bakery::{BaseFile, PYTHON, World, layers, write_layout};

pub const X86: u16 = 62;
pub const ARM: u16 = 183;
pub const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// A program by its headers: what a loader reads, and a Python's version as a text.
pub struct Program<'p> {
    pub machine: u16,
    pub loader: Option<&'p str>,
    pub needed: &'p [&'p str],
    pub rpath: Option<&'p str>,
    pub glibc: Option<&'p str>,
    pub version: &'p str,
}

pub const DYNAMIC: Program<'_> = Program {
    machine: X86,
    loader: Some(LOADER),
    needed: &["libm.so.6", "libc.so.6"],
    rpath: None,
    glibc: Some("GLIBC_2.17"),
    version: "3.12.5",
};

pub const STATIC: Program<'_> =
    Program { machine: X86, loader: None, needed: &[], rpath: None, glibc: None, version: "3.12.5" };

impl Program<'_> {
    pub fn bytes(&self) -> Vec<u8> {
        let mut strings = vec![0];
        let mut text = |text: &str| {
            let at = strings.len() as u64;
            strings.extend(text.bytes().chain([0]));
            at
        };
        let mut dynamic: Vec<(u64, u64)> = self.needed.iter().map(|name| (1, text(name))).collect();
        dynamic.extend(self.rpath.map(|path| (29, text(path))));
        let version = self.glibc.map(|version| (text("libc.so.6"), text(version)));
        let loader = self.loader.map(&mut text);
        text(self.version);
        // Header, three segments, strings, needed versions, dynamic section: addresses are offsets.
        let strings_at = 64 + 3 * 56;
        let versions_at = strings_at + strings.len() as u64;
        let mut versions: Vec<u8> = Vec::new();
        if let Some((file, name)) = version {
            for number in [1_u16, 1] {
                versions.extend(number.to_le_bytes());
            }
            for number in [file as u32, 16, 0, 0, 0, name as u32, 0] {
                versions.extend(number.to_le_bytes());
            }
            dynamic.push((0x6fff_fffe, versions_at));
        }
        dynamic.extend([(5, strings_at), (10, strings.len() as u64), (0, 0)]);
        let dynamic_at = versions_at + versions.len() as u64;
        let dynamic: Vec<u8> = dynamic
            .iter()
            .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
            .collect();
        let total = dynamic_at + dynamic.len() as u64;
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend([3_u16, self.machine].map(u16::to_le_bytes).concat());
        bytes.extend([1, 0, 0, 0]);
        bytes.extend([0_u64, 64, 0].map(u64::to_le_bytes).concat());
        bytes.extend([0, 0, 0, 0]);
        bytes.extend([64_u16, 56, 3, 0, 0, 0].map(u16::to_le_bytes).concat());
        let loader = loader.map(|at| (3_u32, strings_at + at, self.loader.unwrap().len() as u64 + 1));
        let segments = [(1, 0, total), loader.unwrap_or((4, 0, 0)), (2, dynamic_at, dynamic.len() as u64)];
        for (kind, at, size) in segments {
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 4]);
            bytes.extend([at, at, at, size, size, 8].map(u64::to_le_bytes).concat());
        }
        [bytes, strings, versions, dynamic].concat()
    }
}

pub type Entry<'e> = (&'e str, EntryType, Vec<u8>);

pub fn file<'e>(path: &'e str, bytes: impl Into<Vec<u8>>) -> Entry<'e> {
    (path, EntryType::Regular, bytes.into())
}

pub fn link<'e>(path: &'e str, target: &str) -> Entry<'e> {
    (path, EntryType::Symlink, target.into())
}

/// What an archive with this interpreter holds.
pub fn python(program: &Program<'_>) -> Vec<Entry<'static>> {
    vec![
        file("python/bin/python3.12", program.bytes()),
        link("python/bin/python3", "python3.12"),
        link("python/bin/python", "python3.12"),
        file("python/lib/python3.12/os.py", "# the standard library\n"),
        file("python/lib/python3.12/test/test_os.py", "# left out\n"),
        file("python/lib/python3.12/__pycache__/os.cpython-312.pyc", "left out"),
    ]
}

pub fn tarball(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(if path.contains("/bin/") { 0o755 } else { 0o644 });
        let is_file = *kind == EntryType::Regular;
        header.set_size(if is_file { content.len() as u64 } else { 0 });
        if !is_file {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
        }
        header.set_cksum();
        tar.append(&header, if is_file { &content[..] } else { b"" }).unwrap();
    }
    tar.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

pub fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    gzip(&tarball(entries))
}

/// The name that an archive has where it is published.
pub fn name(version: &str, platform: &str, flavor: &str) -> String {
    format!("cpython-{version}+20240814-{platform}-unknown-linux-gnu-{flavor}.tar.gz")
}

/// GNU libc 2.36 by what it says of itself.
pub const LIBC: BaseFile<'_> = (
    "lib/x86_64-linux-gnu/libc.so.6",
    "\x7fELF\0GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n\0",
    0o755,
);

/// A project that asks for Python 3.12, with a base that has 3.11 and GNU libc 2.36.
pub fn world() -> World {
    let world = World::new();
    world.write("app.py", "print('hello')\n");
    write_layout(&world.path("base"), &[PYTHON, LIBC]);
    world.write(
        "pyproject.toml",
        "[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \"==3.12.*\"\ndependencies = []\n",
    );
    world
}

/// Puts an archive beside the project.
pub fn put(world: &World, name: &str, bytes: &[u8]) -> String {
    fs::write(world.path(name), bytes).unwrap();
    world.path(name).display().to_string()
}

pub fn interpreter(report: &Value) -> Value {
    let found: Vec<Value> =
        layers(report).into_iter().filter(|layer| layer["role"] == "interpreter").collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}
