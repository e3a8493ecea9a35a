//! Archives of sources, read with distrust: nothing lands outside, and nothing grows without end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::EntryType;

use super::Error;
use crate::dist::{self, Inflater, Sink};

/// The most bytes that an archive may unpack to.
const LARGEST: u64 = 2 << 30;
/// From this many bytes on, it must not unpack to more than [`MAX_RATIO`] times its own size.
const RATIO_FROM: u64 = 64 << 20;
/// See [`RATIO_FROM`]; sources do not come near.
const MAX_RATIO: u64 = 200;
/// The most entries that it may have.
const MOST: usize = 100_000;
/// The most bytes of what stands before an entry's header.
const LARGEST_HEADER: u64 = 1 << 20;
/// The most bytes of a name.
const LONGEST: usize = 1024;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
}

/// Unpacks an archive, which messages call `what`, into the empty directory `into`; gives the directory of its one
/// top-level directory, or `into` if it has none.
pub(super) fn unpack(file: File, what: &str, into: &Path) -> Result<PathBuf, Error> {
    let size = file.metadata().map_err(Error::io("read", Path::new(what)))?.len();
    let most = LARGEST.min(size.saturating_mul(MAX_RATIO).max(RATIO_FROM));
    let mut tree = Tree { what, root: into, kinds: BTreeMap::new(), left: most };
    if what.ends_with(".zip") {
        tree.zip(file)?;
    } else if what.ends_with(".tar.gz") || what.ends_with(".tgz") {
        tree.tar(file)?;
    } else {
        return Err(Error::Unsound {
            what: what.to_owned(),
            reason: "it is neither .tar.gz nor .zip".to_owned(),
        });
    }
    tree.check_links()?;
    let tops: Vec<_> = tree.kinds.iter().filter(|(path, _)| path.components().count() == 1).collect();
    match tops[..] {
        [(top, Kind::Directory)] => Ok(into.join(top)),
        _ => Ok(into.to_owned()),
    }
}

/// What was unpacked so far.
struct Tree<'t> {
    what: &'t str,
    root: &'t Path,
    /// Everything that is there, relative to the root.
    kinds: BTreeMap<PathBuf, Kind>,
    /// The bytes that may still come.
    left: u64,
}

impl Tree<'_> {
    fn hostile(&self, path: &Path, reason: &str) -> Error {
        let shown: String = path.to_string_lossy().escape_debug().take(200).collect();
        Error::Hostile { what: self.what.to_owned(), reason: format!("its entry `{shown}` {reason}") }
    }

    fn unsound(&self, error: &io::Error) -> Error {
        Error::Unsound { what: self.what.to_owned(), reason: error.to_string() }
    }

    fn tar(&mut self, mut file: File) -> Result<(), Error> {
        self.check_headers(&file)?;
        file.seek(SeekFrom::Start(0)).map_err(|error| self.unsound(&error))?;
        // Also what is passed over counts: a member may be nothing but padding.
        let limit = self.left + (MOST as u64) * 1024;
        let mut archive = tar::Archive::new(MultiGzDecoder::new(io::BufReader::new(file)).take(limit));
        let entries = archive.entries().map_err(|error| self.unsound(&error))?;
        for (number, entry) in entries.enumerate() {
            let mut entry = entry.map_err(|error| self.unsound(&error))?;
            let named = entry.path().map_err(|error| self.unsound(&error))?.into_owned();
            if number >= MOST {
                return Err(self.hostile(&named, "is one too many"));
            }
            let kind = entry.header().entry_type();
            if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
                continue;
            }
            let Some(path) = self.place(&named)? else { continue };
            let target = entry.link_name().map_err(|error| self.unsound(&error))?.map(|it| it.into_owned());
            match kind {
                EntryType::Directory => self.directory(&path)?,
                EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                    let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
                    let (mut out, mut left) = (self.create(&path, executable)?, self.left);
                    let mut buffer = vec![0; 64 << 10];
                    loop {
                        let read = entry.read(&mut buffer).map_err(|error| self.unsound(&error))?;
                        if read == 0 {
                            break;
                        }
                        left = left.checked_sub(read as u64).ok_or_else(|| {
                            self.hostile(&path, "unpacks to more than any source distribution")
                        })?;
                        out.write_all(&buffer[..read]).map_err(Error::io("write", &self.root.join(&path)))?;
                    }
                    self.left = left;
                }
                EntryType::Symlink => self.link(&path, &target.unwrap_or_default())?,
                EntryType::Link => self.copy(&path, &target.unwrap_or_default())?,
                _ => return Err(self.hostile(&path, "is neither a file, a directory nor a link")),
            }
        }
        Ok(())
    }

    /// Names that are longer than a header has room for stand before it, and are read into memory as they are.
    fn check_headers(&self, file: &File) -> Result<(), Error> {
        let limit = self.left + (MOST as u64) * 1024;
        let mut archive = tar::Archive::new(MultiGzDecoder::new(io::BufReader::new(file)).take(limit));
        let entries = archive.entries().map_err(|error| self.unsound(&error))?.raw(true);
        for entry in entries {
            let entry = entry.map_err(|error| self.unsound(&error))?;
            let kind = entry.header().entry_type();
            let is_name = kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions();
            if (is_name || kind.is_pax_global_extensions()) && entry.size() > LARGEST_HEADER {
                return Err(self.hostile(Path::new(""), "has a header without end"));
            }
        }
        Ok(())
    }

    fn zip(&mut self, file: File) -> Result<(), Error> {
        let archive = dist::Archive::open(file, self.what).map_err(|error| match error {
            dist::Error::Io { .. } => Error::Dist(error),
            error => Error::Hostile { what: self.what.to_owned(), reason: error.to_string() },
        })?;
        let mut inflater = Inflater::default();
        if archive.entries().len() > MOST {
            return Err(self.hostile(Path::new(""), "is one of too many"));
        }
        for entry in archive.entries() {
            let Some(path) = self.place(Path::new(&entry.name))? else { continue };
            if entry.directory {
                self.directory(&path)?;
                continue;
            }
            self.left = self
                .left
                .checked_sub(entry.size)
                .ok_or_else(|| self.hostile(&path, "unpacks to more than any source distribution"))?;
            let mut out = ToFile::new(self.create(&path, entry.executable)?, self.root.join(&path));
            inflater.unpack(&archive, entry, &mut out).map_err(|error| match error {
                Error::Dist(error) if !matches!(error, dist::Error::Io { .. }) => {
                    Error::Hostile { what: self.what.to_owned(), reason: error.to_string() }
                }
                error => error,
            })?;
        }
        Ok(())
    }

    /// The relative path of an entry; none if it is the root itself. Its parent directories are there then, and none of
    /// them is a link.
    fn place(&mut self, named: &Path) -> Result<Option<PathBuf>, Error> {
        if named.as_os_str().len() > LONGEST {
            return Err(self.hostile(named, "has too long a name"));
        }
        let path = inside(Path::new(""), named).ok_or_else(|| self.hostile(named, "would land outside"))?;
        if named.components().any(|part| part == Component::ParentDir) {
            return Err(self.hostile(named, "would land outside"));
        }
        let Some(parent) = path.parent() else { return Ok(None) };
        let parent = parent.to_owned();
        let mut above = PathBuf::new();
        for part in parent.components() {
            above.push(part);
            match self.kinds.get(&above) {
                Some(Kind::Directory) => {}
                Some(_) => return Err(self.hostile(named, "is below something that is no directory")),
                None => self.directory(&above)?,
            }
        }
        Ok(Some(path))
    }

    fn directory(&mut self, path: &Path) -> Result<(), Error> {
        match self.kinds.insert(path.to_owned(), Kind::Directory) {
            Some(Kind::Directory) => Ok(()),
            Some(_) => Err(self.hostile(path, "is there twice")),
            None => {
                let path = self.root.join(path);
                fs::create_dir(&path).map_err(Error::io("create", &path))
            }
        }
    }

    /// A new file. One that is there already is replaced, as with every program that unpacks such archives.
    fn create(&mut self, path: &Path, executable: bool) -> Result<File, Error> {
        self.vacate(path)?;
        self.kinds.insert(path.to_owned(), Kind::File);
        let path = self.root.join(path);
        let mut options = File::options();
        options.write(true).create_new(true).mode(if executable { 0o755 } else { 0o644 });
        options.open(&path).map_err(Error::io("create", &path))
    }

    fn vacate(&self, path: &Path) -> Result<(), Error> {
        match self.kinds.get(path) {
            None => Ok(()),
            Some(Kind::Directory) => Err(self.hostile(path, "is there twice")),
            Some(_) => {
                let path = self.root.join(path);
                fs::remove_file(&path).map_err(Error::io("replace", &path))
            }
        }
    }

    fn link(&mut self, path: &Path, target: &Path) -> Result<(), Error> {
        let below = path.parent().unwrap_or(Path::new(""));
        if target.is_absolute() || inside(below, target).is_none() {
            return Err(self.hostile(path, "is a link that leads outside"));
        }
        self.vacate(path)?;
        self.kinds.insert(path.to_owned(), Kind::Link);
        let path = self.root.join(path);
        symlink(target, &path).map_err(Error::io("create", &path))
    }

    /// A hard link: one more copy of a file that is there already.
    fn copy(&mut self, path: &Path, target: &Path) -> Result<(), Error> {
        let target =
            inside(Path::new(""), target).filter(|target| self.kinds.get(target) == Some(&Kind::File));
        let Some(target) = target.filter(|target| target != path) else {
            return Err(self.hostile(path, "is a link that leads outside, or to nothing"));
        };
        let source = self.root.join(&target);
        let size = fs::metadata(&source).map_err(Error::io("read", &source))?.len();
        self.left = self
            .left
            .checked_sub(size)
            .ok_or_else(|| self.hostile(path, "unpacks to more than any source distribution"))?;
        self.vacate(path)?;
        self.kinds.insert(path.to_owned(), Kind::File);
        let path = self.root.join(path);
        fs::copy(&source, &path).map(drop).map_err(Error::io("write", &path))
    }

    /// Links were judged by their text; where one leads through another, only the whole tree tells.
    fn check_links(&self) -> Result<(), Error> {
        let root = fs::canonicalize(self.root).map_err(Error::io("open", self.root))?;
        for (path, _) in self.kinds.iter().filter(|(_, kind)| **kind == Kind::Link) {
            // One that leads nowhere leads nowhere outside.
            if fs::canonicalize(self.root.join(path)).is_ok_and(|real| !real.starts_with(&root)) {
                return Err(self.hostile(path, "is a link that leads outside"));
            }
        }
        Ok(())
    }
}

/// Where `path` leads from the directory `from`, if that is not above the root.
fn inside(from: &Path, path: &Path) -> Option<PathBuf> {
    let mut out = from.to_owned();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => out.push(part),
            Component::ParentDir if out.pop() => {}
            _ => return None,
        }
    }
    Some(out)
}

/// Writes an entry of a zip archive to a file, and hashes it.
pub(super) struct ToFile {
    file: File,
    path: PathBuf,
    pub(super) hasher: crate::model::Hasher,
}

impl ToFile {
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self { file, path, hasher: crate::model::Hasher::default() }
    }
}

impl Sink for ToFile {
    type Error = Error;

    fn packed(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))
    }
}
