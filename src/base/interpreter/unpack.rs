//! An archive becomes a fragment, and tells what it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Cursor, Read, Write};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::elf::Elf;
use super::{Error, PREFIX};
use crate::base::archive::{Archive, Entry, EntryKind, Fault};
use crate::base::probe::{self, Interest};
use crate::layer::{self, Attributes, EntryWriter, Fragment, entries_key, stored_fragment};
use crate::model::{Digest, Key, KeyHasher, Libc, PythonMinor};
use crate::store::{self, Blob, Store};

/// The version of the rules by which an archive's files are chosen and written, and of what is noted of them.
const RULES: &str = "interpreter/1";
/// The kind of the records about archives.
const RECORDS: &str = "interpreters";

/// The most that one archive may hold.
const MAX_ENTRIES: usize = 200_000;
const MAX_BYTES: u64 = 8 << 30;
/// How many times its size an archive may decompress to, once it gives [`RATIO_FROM`] bytes.
const RATIO: u64 = 100;
const RATIO_FROM: u64 = 256 << 20;
/// The memory that decompressing zstd may take, as the base-2 logarithm of the window.
const WINDOW_LOG: u32 = 27;
/// A program up to this size is looked at in memory; larger ones are put into a temporary file first.
const IN_MEMORY: u64 = 32 << 20;
/// The most programs and libraries that are looked at.
const MAX_PROGRAMS: usize = 5000;

/// What is known of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub(super) minor: PythonMinor,
    /// The full version, as the interpreter's bytes tell it.
    version: Option<String>,
    /// The number of the processor that the interpreter is for.
    pub(super) machine: u16,
    /// The program that loads it; none if it needs none.
    pub(super) loader: Option<String>,
    /// Libraries that are not in the archive, or would not be found there, each with a file that needs it.
    pub(super) missing: BTreeMap<String, String>,
    /// The newest version of GNU libc's interface that anything needs, and what that is.
    pub(super) glibc: Option<((u16, u16), String)>,
    /// The C library in the archive, if the interpreter uses that.
    libc: Option<Libc>,
    /// Whether the loader is in the archive.
    pub(super) own_loader: bool,
}

impl Facts {
    /// The full version; as the lock has it where the bytes do not tell.
    pub(super) fn version(&self, locked: &str) -> String {
        self.version.clone().unwrap_or_else(|| locked.to_owned())
    }

    /// Whether it needs no library at all.
    pub(super) fn is_static(&self) -> bool {
        self.loader.is_none() && self.missing.is_empty()
    }

    /// The C library that it brings along.
    pub(super) fn own_libc(&self) -> Option<Libc> {
        self.libc.filter(|_| self.own_loader)
    }
}

/// The key of an archive's fragment.
pub(super) fn key(sha256: &Digest) -> Key {
    entries_key(&KeyHasher::new(RULES).text(&sha256.to_string()).text(PREFIX).finish())
}

/// The fragment of an archive, if it is in the store with all that is known of it.
pub(super) fn stored(store: &Store, sha256: &Digest) -> Result<Option<(Fragment, Facts)>, Error> {
    let key = key(sha256);
    let facts = store.record(RECORDS, &key)?;
    Ok(stored_fragment(store, &key)?.zip(facts))
}

/// Makes the fragment of an archive, whose bytes must have been checked. `name` is for messages.
pub(super) async fn build(
    store: &Arc<Store>,
    archive: Blob,
    name: String,
) -> Result<(Fragment, Facts), Error> {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || build_now(&store, &archive, &name)).await.map_err(Error::Worker)?
}

fn build_now(store: &Store, archive: &Blob, name: &str) -> Result<(Fragment, Facts), Error> {
    let key = key(archive.digest());
    let mut unpacking = Unpacking {
        store,
        writer: EntryWriter::create(store, key)?,
        files: BTreeSet::new(),
        links: BTreeMap::new(),
        programs: BTreeMap::new(),
        minor: None,
        version: None,
        libc: None,
    };
    let facts = unpacking.all(archive).map_err(|stop| stop.told(name))?;
    // The facts first: whoever finds the fragment finds them.
    store.put_record(RECORDS, &key, &facts)?;
    Ok((unpacking.writer.finish()?, facts))
}

/// Why unpacking ends early.
enum Stop {
    Fault(Fault),
    /// It is an archive of something else.
    Other(String),
    Layer(layer::Error),
    Store(store::Error),
}

impl Stop {
    fn told(self, name: &str) -> Error {
        let name = name.to_owned();
        match self {
            Self::Fault(Fault::Refused(problem)) => Error::Refused { name, problem },
            Self::Fault(Fault::Io(source)) => Error::Damaged { name, source },
            Self::Other(problem) => Error::Archive { name, problem },
            Self::Layer(layer::Error::Path { path, reason }) => {
                let shown: String = path.escape_debug().take(200).collect();
                Error::Refused { name, problem: format!("`{shown}`: {reason}") }
            }
            Self::Layer(error) => error.into(),
            Self::Store(error) => error.into(),
        }
    }
}

impl<F: Into<Fault>> From<F> for Stop {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

fn refused(problem: impl Into<String>) -> Stop {
    Stop::Fault(Fault::Refused(problem.into()))
}

struct Unpacking<'s> {
    store: &'s Store,
    writer: EntryWriter<'s>,
    /// Every file and link so far, relative to the interpreter's root.
    files: BTreeSet<String>,
    links: BTreeMap<String, String>,
    programs: BTreeMap<String, Elf>,
    minor: Option<PythonMinor>,
    version: Option<String>,
    libc: Option<Libc>,
}

impl Unpacking<'_> {
    fn all(&mut self, archive: &Blob) -> Result<Facts, Stop> {
        let file = archive.open().map_err(Stop::Store)?;
        let bytes = Limited { inner: decompressed(file)?, given: 0, size: archive.size() };
        let mut archive = Archive::new(BufReader::with_capacity(128 << 10, bytes));
        let mut entries = 0;
        self.writer.directory(PREFIX, Attributes::root(0o755)).map_err(Stop::Layer)?;
        while let Some(entry) = archive.next()? {
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(refused("it holds more files than an archive may"));
            }
            self.entry(&entry, archive.content())?;
        }
        archive.finish()?;
        self.facts()
    }

    fn entry(&mut self, entry: &Entry, content: impl Read) -> Result<(), Stop> {
        let Some(path) = inside(&entry.path)? else { return Ok(()) };
        if is_left_out(&path) {
            return Ok(());
        }
        let full = format!("{PREFIX}/{path}");
        let attributes = Attributes::root(if entry.executable { 0o755 } else { 0o644 });
        match entry.kind {
            EntryKind::Directory => {
                return self.writer.directory(&full, Attributes::root(0o755)).map_err(Stop::Layer);
            }
            EntryKind::Symlink => {
                let target = text(&entry.target)?;
                let Some(leads_to) = joined(&path, &target) else {
                    return Err(refused(format!("the link `{}` leads out of it", path.escape_debug())));
                };
                self.writer.symlink(&full, &target).map_err(Stop::Layer)?;
                self.links.insert(path.clone(), leads_to);
            }
            EntryKind::HardLink => {
                let target = inside(&entry.target)?.filter(|target| self.files.contains(target));
                let Some(target) = target else {
                    return Err(refused(format!("`{}` is a link to nothing before it", path.escape_debug())));
                };
                let to = format!("{PREFIX}/{target}");
                self.writer.hard_link(&full, &to, attributes).map_err(Stop::Layer)?;
                self.links.insert(path.clone(), target);
            }
            EntryKind::File => self.file(&path, &full, entry.size, attributes, content)?,
            EntryKind::Other => return Err(refused("it holds a device or something unknown")),
        }
        self.files.insert(path);
        Ok(())
    }

    fn file(
        &mut self,
        path: &str,
        full: &str,
        size: u64,
        attributes: Attributes,
        mut content: impl Read,
    ) -> Result<(), Stop> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let minor = probe::python_minor(name).filter(|_| path == format!("bin/{name}"));
        if let Some(minor) = minor
            && self.minor.replace(minor).is_some_and(|other| other != minor)
        {
            return Err(Stop::Other("it holds more than one Python".into()));
        }
        self.writer.file(full, size, attributes).map_err(Stop::Layer)?;
        let mut start = Vec::new();
        (&mut content).take(4).read_to_end(&mut start)?;
        let interest = Interest::of(name.as_bytes()).filter(|_| !path.contains("/site-packages/"));
        let is_program = start == b"\x7fELF" && !path.contains("/site-packages/");
        if !is_program && interest.is_none() {
            self.writer.content(&start).map_err(Stop::Layer)?;
            return self.rest(content, |_| Ok(()));
        }
        if size <= IN_MEMORY {
            let mut bytes = start;
            content.read_to_end(&mut bytes)?;
            self.writer.content(&bytes).map_err(Stop::Layer)?;
            return self.look(path, interest, is_program, || Ok(Cursor::new(&bytes[..])));
        }
        let mut spool = self.store.create_blob().map_err(Stop::Store)?;
        let place = spool.path().to_owned();
        let failed = |source| Stop::Store(store::Error::Io { action: "write", path: place.clone(), source });
        self.writer.content(&start).map_err(Stop::Layer)?;
        spool.write_all(&start).map_err(failed)?;
        self.rest(content, |chunk| spool.write_all(chunk).map_err(failed))?;
        spool.flush().map_err(failed)?;
        // The spool is gone when this ends.
        self.look(path, interest, is_program, || std::fs::File::open(&place))
    }

    /// Writes the rest of a file's content, and passes it on.
    fn rest(
        &mut self,
        mut content: impl Read,
        mut also: impl FnMut(&[u8]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut buffer = vec![0; 128 << 10];
        loop {
            let n = content.read(&mut buffer)?;
            if n == 0 {
                return Ok(());
            }
            self.writer.content(&buffer[..n]).map_err(Stop::Layer)?;
            also(&buffer[..n])?;
        }
    }

    /// Notes what a file tells.
    fn look<R: Read + io::Seek>(
        &mut self,
        path: &str,
        interest: Option<Interest>,
        is_program: bool,
        open: impl Fn() -> io::Result<R>,
    ) -> Result<(), Stop> {
        let facts = probe::examine(open()?, interest)?;
        self.version = self.version.take().or(facts.python);
        self.libc = self.libc.take().or(facts.libc);
        if is_program && let Some(elf) = Elf::read(&mut open()?)? {
            if self.programs.len() >= MAX_PROGRAMS {
                return Err(refused("it holds more programs than an archive may"));
            }
            self.programs.insert(path.to_owned(), elf);
        }
        Ok(())
    }

    /// What all of it comes to.
    fn facts(&self) -> Result<Facts, Stop> {
        let minor = self.minor.ok_or_else(|| Stop::Other("there is no python/bin/python3.X in it".into()))?;
        let path = format!("bin/python{minor}");
        let python = self.programs.get(&path);
        let python = python.ok_or_else(|| Stop::Other(format!("python/{path} is no program")))?;
        if !self.files.contains(&format!("lib/python{minor}/os.py")) {
            return Err(Stop::Other(format!("there is no standard library at python/lib/python{minor}")));
        }
        let mut missing = BTreeMap::new();
        let mut glibc = None;
        for (path, elf) in &self.programs {
            for needed in &elf.needed {
                if !self.has(path, elf, python, needed) {
                    missing.entry(needed.clone()).or_insert_with(|| path.clone());
                }
            }
            glibc = glibc.max(elf.glibc.map(|version| (version, path.clone())));
        }
        let loader = python.interpreter.clone();
        let own = loader.as_deref().and_then(|loader| loader.strip_prefix(&format!("/{PREFIX}/")));
        let own_loader = own.is_some_and(|loader| self.is_file(loader));
        Ok(Facts {
            minor,
            version: self.version.clone(),
            machine: python.machine,
            loader,
            missing,
            glibc,
            libc: self.libc,
            own_loader,
        })
    }

    /// Whether a library that a file needs is in the archive, where the loader looks for it: in the file's own places, and
    /// in those of the program, if it passes them on.
    fn has(&self, path: &str, elf: &Elf, python: &Elf, needed: &str) -> bool {
        let own = elf.search.iter().map(|place| (path.to_owned(), place));
        let of_python = python.search.iter().filter(|_| python.inherited && !elf.alone);
        let of_python =
            of_python.map(|place| (format!("bin/python{}", self.minor.map_or(0, |m| m.minor)), place));
        own.chain(of_python).any(|(from, place)| {
            let place = match place.strip_prefix(&format!("/{PREFIX}")) {
                Some(rest) => Some(rest.trim_start_matches('/').to_owned()),
                None => ["$ORIGIN", "${ORIGIN}"]
                    .iter()
                    .find_map(|origin| joined(&from, place.strip_prefix(origin)?.trim_start_matches('/'))),
            };
            place.is_some_and(|place| {
                self.is_file(&if place.is_empty() { needed.to_owned() } else { format!("{place}/{needed}") })
            })
        })
    }

    /// Whether there is a file at a path, links followed.
    fn is_file(&self, path: &str) -> bool {
        let mut path = path.to_owned();
        for _ in 0..40 {
            match self.links.get(&path) {
                Some(target) => path.clone_from(target),
                None => return self.files.contains(&path),
            }
        }
        false
    }
}

/// The tar archive in a file, which may be compressed.
fn decompressed(mut file: std::fs::File) -> io::Result<Box<dyn Read>> {
    let mut start = Vec::new();
    (&mut file).take(4).read_to_end(&mut start)?;
    io::Seek::rewind(&mut file)?;
    let file = BufReader::with_capacity(128 << 10, file);
    Ok(match start[..] {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut decoder = zstd::Decoder::with_buffer(file)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(decoder)
        }
        _ => Box::new(file),
    })
}

/// Ends the reading where the archive gives too much.
struct Limited<R> {
    inner: R,
    given: u64,
    size: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.given += n as u64;
        let is_bomb = self.given > RATIO_FROM && self.given / RATIO > self.size;
        if is_bomb || self.given > MAX_BYTES {
            return Err(io::Error::other("it decompresses to far more than it is: a decompression bomb"));
        }
        Ok(n)
    }
}

/// The path of an entry below `python/`; none for that directory itself.
fn inside(path: &[u8]) -> Result<Option<String>, Stop> {
    let path = text(path)?;
    let shown = || path.chars().take(200).collect::<String>().escape_debug().to_string();
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") || path.starts_with('/') {
        return Err(refused(format!("an entry leaves it: `{}`", shown())));
    }
    match parts.split_first() {
        Some((&"python", rest)) => Ok((!rest.is_empty()).then(|| rest.join("/"))),
        None => Ok(None),
        Some(_) => Err(Stop::Other(format!("`{}` is not below `python/`", shown()))),
    }
}

/// Where a relative link at `path` leads; none if that is outside.
fn joined(path: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

/// What serves building and testing Python alone; and compiled modules, which the times of their sources would have to match.
fn is_left_out(path: &str) -> bool {
    let of_library = path.strip_prefix("lib/python3.").and_then(|rest| Some(rest.split_once('/')?.1));
    let parts = || path.split('/');
    parts().any(|part| part == "__pycache__")
        || path.ends_with(".a")
        || ["share/man/", "share/doc/"].iter().any(|start| path.starts_with(start))
        || matches!(path, "share/man" | "share/doc")
        || of_library.is_some_and(|rest| rest == "test" || rest.starts_with("test/"))
}

fn text(bytes: &[u8]) -> Result<String, Stop> {
    String::from_utf8(bytes.to_vec()).map_err(|_| refused("a path is no UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        assert_eq!(joined("bin/python3", "python3.12").as_deref(), Some("bin/python3.12"));
        assert_eq!(joined("lib/a/b", "../../bin/x").as_deref(), Some("bin/x"));
        for (path, target) in [("bin/x", "../../etc/passwd"), ("x", "/etc/passwd"), ("x", "..")] {
            assert_eq!(joined(path, target), None, "{target}");
        }
    }

    #[test]
    fn tests_and_compiled_modules_are_left_out() {
        for path in [
            "lib/python3.12/test/x.py",
            "lib/python3.12/__pycache__/os.cpython-312.pyc",
            "lib/libpython3.12.a",
        ] {
            assert!(is_left_out(path), "{path}");
        }
        for path in [
            "lib/python3.12/os.py",
            "lib/python3.12/unittest/test.py",
            "bin/python3.12",
            "lib/python3.12/tests",
        ] {
            assert!(!is_left_out(path), "{path}");
        }
    }
}
