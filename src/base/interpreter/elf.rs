//! What a program or a shared library needs to be loaded, as its dynamic section says: read within bounds, nothing mapped,
//! nothing run. Whoever links a file decides what is in it.

use std::io::{self, Read, Seek, SeekFrom};

/// The most that is read of each part; honest files have far less.
const MAX_SEGMENTS: usize = 256;
const MAX_PATH: u64 = 4096;
const MAX_DYNAMIC: u64 = 1 << 20;
const MAX_STRINGS: u64 = 16 << 20;
const MAX_VERSIONS: u64 = 1 << 20;
const MAX_NEEDED: usize = 1000;

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;

/// What a file in the ELF format says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Elf {
    /// The number of the processor it is for.
    pub machine: u16,
    /// The program that loads it, by its path.
    pub interpreter: Option<String>,
    /// The libraries it needs, by name.
    pub needed: Vec<String>,
    /// Where it has them looked for, before the usual places.
    pub search: Vec<String>,
    /// Whether what it loads later is looked for there as well.
    pub inherited: bool,
    /// Whether nothing is looked for in the places of what loads it.
    pub alone: bool,
    /// The newest version of GNU libc's interface that it needs.
    pub glibc: Option<(u16, u16)>,
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

impl Elf {
    /// Reads a file; `None` if it is no program or library of a 64-bit little-endian processor.
    pub fn read(file: &mut (impl Read + Seek)) -> io::Result<Option<Self>> {
        let mut header = [0; 64];
        if file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut header)).is_err() {
            return Ok(None);
        }
        let is_elf = header.starts_with(b"\x7fELF\x02\x01");
        // Executable, or shared object; others are no use to a loader.
        if !is_elf || !matches!(u16_at(&header, 16)?, 2 | 3) {
            return Ok(None);
        }
        let (table, size) = (u64_at(&header, 32)?, usize::from(u16_at(&header, 54)?));
        let count = usize::from(u16_at(&header, 56)?);
        if size != 56 || count > MAX_SEGMENTS {
            return Err(damaged());
        }
        let table = part(file, table, (size * count) as u64)?;
        let segments = table.chunks_exact(size).map(|bytes| {
            Ok(Segment {
                kind: u32_at(bytes, 0)?,
                offset: u64_at(bytes, 8)?,
                address: u64_at(bytes, 16)?,
                size: u64_at(bytes, 32)?,
            })
        });
        let segments: Vec<Segment> = segments.collect::<io::Result<_>>()?;
        let mut this = Self { machine: u16_at(&header, 18)?, ..Self::default() };
        for segment in &segments {
            match segment.kind {
                INTERPRETER if segment.size <= MAX_PATH => {
                    let path = part(file, segment.offset, segment.size)?;
                    this.interpreter = Some(string(&path, 0)?);
                }
                DYNAMIC if segment.size <= MAX_DYNAMIC => {
                    let dynamic = part(file, segment.offset, segment.size)?;
                    this.dynamic(file, &segments, &dynamic)?;
                }
                INTERPRETER | DYNAMIC => return Err(damaged()),
                _ => {}
            }
        }
        Ok(Some(this))
    }

    fn dynamic(
        &mut self,
        file: &mut (impl Read + Seek),
        segments: &[Segment],
        dynamic: &[u8],
    ) -> io::Result<()> {
        let (mut strings, mut versions) = ((0, 0), None);
        let (mut needed, mut rpath, mut runpath) = (Vec::new(), None, None);
        for entry in dynamic.chunks_exact(16) {
            let value = u64_at(entry, 8)?;
            match u64_at(entry, 0)? {
                0 => break,
                1 if needed.len() >= MAX_NEEDED => return Err(damaged()),
                1 => needed.push(value),
                5 => strings.0 = value,
                10 => strings.1 = value,
                15 => rpath = Some(value),
                29 => runpath = Some(value),
                0x6fff_fffe => versions = Some(value),
                _ => {}
            }
        }
        if strings.1 == 0 {
            return Ok(());
        }
        if strings.1 > MAX_STRINGS {
            return Err(damaged());
        }
        let table = part(file, place(segments, strings.0)?, strings.1)?;
        let text = |at: u64| string(&table, usize::try_from(at).map_err(|_| damaged())?);
        self.needed = needed.into_iter().map(text).collect::<io::Result<_>>()?;
        // The newer one counts alone where there are both.
        self.inherited = runpath.is_none() && rpath.is_some();
        self.alone = runpath.is_some();
        if let Some(path) = runpath.or(rpath) {
            self.search = text(path)?.split(':').map(str::to_owned).collect();
        }
        if let Some(address) = versions {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(place(segments, address)?))?;
            file.take(MAX_VERSIONS).read_to_end(&mut bytes)?;
            self.glibc = newest_glibc(&bytes, &table)?;
        }
        Ok(())
    }
}

/// The newest version of GNU libc in a list of needed versions: for each library a record, which leads to the first of its
/// versions; each leads to the next.
fn newest_glibc(bytes: &[u8], strings: &[u8]) -> io::Result<Option<(u16, u16)>> {
    let (mut newest, mut library, mut steps) = (None, 0_usize, 0);
    loop {
        let mut version = forward(library, u32_at(bytes, library + 8)?)?;
        loop {
            steps += 1;
            if steps > 10 * MAX_NEEDED {
                return Err(damaged());
            }
            let name = string(strings, u32_at(bytes, version + 8)? as usize)?;
            newest = newest.max(glibc(&name));
            match u32_at(bytes, version + 12)? {
                0 => break,
                next => version = forward(version, next)?,
            }
        }
        match u32_at(bytes, library + 12)? {
            0 => return Ok(newest),
            next => library = forward(library, next)?,
        }
    }
}

/// The version in `GLIBC_2.17` or `GLIBC_2.2.5`.
fn glibc(name: &str) -> Option<(u16, u16)> {
    match name.strip_prefix("GLIBC_")? {
        // A way of relocating that came with that version.
        "ABI_DT_RELR" => Some((2, 36)),
        version => {
            let mut numbers = version.split('.');
            Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
        }
    }
}

/// Where an address is in the file.
fn place(segments: &[Segment], address: u64) -> io::Result<u64> {
    let holds = |segment: &&Segment| {
        segment.kind == LOAD && address.checked_sub(segment.address).is_some_and(|by| by < segment.size)
    };
    let segment = segments.iter().find(holds).ok_or_else(damaged)?;
    segment.offset.checked_add(address - segment.address).ok_or_else(damaged)
}

/// A part of the file, all of which must be there.
fn part(file: &mut (impl Read + Seek), offset: u64, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset)).map_err(|_| damaged())?;
    file.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(damaged()) }
}

fn forward(from: usize, by: u32) -> io::Result<usize> {
    from.checked_add(by as usize).ok_or_else(damaged)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> io::Result<[u8; N]> {
    let end = at.checked_add(N).ok_or_else(damaged)?;
    bytes.get(at..end).and_then(|part| part.try_into().ok()).ok_or_else(damaged)
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> io::Result<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// The text that begins somewhere in a table and ends before a zero.
fn string(table: &[u8], at: usize) -> io::Result<String> {
    let rest = table.get(at..).ok_or_else(damaged)?;
    let end = rest.iter().take(MAX_PATH as usize).position(|&byte| byte == 0).ok_or_else(damaged)?;
    String::from_utf8(rest[..end].to_vec()).map_err(|_| damaged())
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a program in it is damaged")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn this_program_tells_what_it_needs() {
        let mut file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let elf = Elf::read(&mut file).unwrap().unwrap();
        assert!(elf.needed.iter().any(|name| name == "libc.so.6"), "{elf:?}");
        assert!(elf.interpreter.is_some_and(|path| path.contains("ld-linux")));
        assert!(elf.glibc.is_some_and(|version| version > (2, 2)));
    }

    #[test]
    fn what_is_no_program_is_none_and_what_is_damaged_ends() {
        assert_eq!(Elf::read(&mut Cursor::new(b"#!/bin/sh\n")).unwrap(), None);
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let head = &bytes[..bytes.len().min(1 << 16)];
        // Cut short, and with every byte of the headers changed in turn: no panic, no hang.
        for end in (0..head.len()).step_by(997) {
            let _ = Elf::read(&mut Cursor::new(&head[..end]));
        }
        for at in 0..1024 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = head.to_vec();
                changed[at] = value;
                let _ = Elf::read(&mut Cursor::new(changed));
            }
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(glibc("GLIBC_2.2.5"), Some((2, 2)));
        assert!(glibc("GLIBC_2.34") > glibc("GLIBC_2.4"));
        assert_eq!(glibc("GLIBC_PRIVATE"), None);
        assert_eq!(glibc("GCC_3.0"), None);
    }
}
