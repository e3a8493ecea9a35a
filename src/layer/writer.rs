//! Fragments written entry by entry, for files whose modes and owners matter: those of an operating system.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::{Deserialize, Serialize};

use super::fragment::{self, Directory, Fragment, RECORDS};
use super::splice::Splicer;
use super::tar::{self, Kind};
use super::{Compression, Error};
use crate::dist::unsafe_path;
use crate::model::{Key, KeyHasher};
use crate::store::{self, BlobWriter, Store};

/// The version of everything here that decides a fragment's bytes. The compression has a name of its own.
const FORMAT: &str = "entries/2";

/// The longest target of a link.
const MAX_TARGET: usize = 4096;

/// Who owns an entry, and who may do what with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// The permissions, with the set-ID and sticky bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Attributes {
    /// A file or directory of root's with these permissions.
    pub fn root(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0 }
    }
}

/// These are parts of a base, which does not depend on how the images on top of it are compressed.
const COMPRESSION: Compression = Compression::Gzip;

/// The key of a fragment whose entries follow from what `content` names.
pub fn entries_key(content: &Key) -> Key {
    KeyHasher::new(FORMAT).text(&content.to_string()).text(COMPRESSION.profile()).finish()
}

/// Writes a fragment entry by entry, in the order in which they shall be unpacked, directories before all others: they go
/// into the layer's head. Nothing is in the store before [`EntryWriter::finish`].
pub struct EntryWriter<'s> {
    store: &'s Store,
    out: Splicer<BlobWriter<'s>>,
    path: std::path::PathBuf,
    key: Key,
    directories: BTreeMap<String, Attributes>,
    /// Whatever is no directory.
    files: BTreeSet<String>,
    /// The file whose content is being written: its path, its size, and what is still to come of it.
    open: Option<(String, u64, u64)>,
}

impl<'s> EntryWriter<'s> {
    /// Starts the fragment with this key, of [`entries_key`].
    pub fn create(store: &'s Store, key: Key) -> Result<Self, Error> {
        let blob = store.create_blob()?;
        let path = blob.path().to_owned();
        Ok(Self {
            store,
            out: Splicer::new(blob, COMPRESSION),
            path,
            key,
            directories: BTreeMap::new(),
            files: BTreeSet::new(),
            open: None,
        })
    }

    /// A directory. Of several with one path, the last one's attributes count.
    pub fn directory(&mut self, path: &str, attributes: Attributes) -> Result<(), Error> {
        self.close()?;
        check_path(path)?;
        self.directories.insert(path.to_owned(), attributes);
        Ok(())
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), Error> {
        check_target(path, target)?;
        self.entry(path, Kind::Symlink { target }, Attributes::root(0o777))
    }

    /// Another name of a file that was written before; `target` is that file's path.
    pub fn hard_link(&mut self, path: &str, target: &str, attributes: Attributes) -> Result<(), Error> {
        check_path(target)?;
        self.entry(path, Kind::HardLink { target }, attributes)
    }

    /// A file; `size` bytes must follow by [`EntryWriter::content`].
    pub fn file(&mut self, path: &str, size: u64, attributes: Attributes) -> Result<(), Error> {
        self.entry(path, Kind::File { size, executable: false }, attributes)?;
        self.open = Some((path.to_owned(), size, size));
        Ok(())
    }

    /// More bytes of the file that was begun last.
    pub fn content(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some((path, _, left)) = &mut self.open else {
            return Err(Error::Path { path: String::new(), reason: "no file was begun" });
        };
        *left = left.checked_sub(bytes.len() as u64).ok_or_else(|| wrong_size(path))?;
        self.out.gather(bytes).map_err(|source| self.write_error(source))
    }

    /// A whole file.
    pub fn bytes(&mut self, path: &str, bytes: &[u8], attributes: Attributes) -> Result<(), Error> {
        self.file(path, bytes.len() as u64, attributes)?;
        self.content(bytes)
    }

    /// Whether there is something at a path that is no directory.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// Puts the fragment into the store.
    pub fn finish(mut self) -> Result<Fragment, Error> {
        self.close()?;
        if let Some(path) = self.directories.keys().find(|path| self.files.contains(*path)) {
            return Err(twice(path));
        }
        let path = self.path;
        let failed = |source| Error::from(store::Error::Io { action: "write", path, source });
        let (mut fragment, blob) = fragment::finish(self.out, self.key, self.files.len()).map_err(failed)?;
        let directories = self.directories.into_iter();
        fragment.directories = directories.map(|(path, attributes)| Directory { path, attributes }).collect();
        blob.finish(Some(&fragment.digest))?;
        self.store.put_record(RECORDS, &fragment.key, &fragment)?;
        Ok(fragment)
    }

    fn entry(&mut self, path: &str, kind: Kind<'_>, attributes: Attributes) -> Result<(), Error> {
        self.close()?;
        check_path(path)?;
        if !self.files.insert(path.to_owned()) {
            return Err(twice(path));
        }
        let Attributes { mode, uid, gid } = attributes;
        let header = tar::owned_header(path, kind, mode & 0o7777, uid, gid);
        self.out.gather(&header).map_err(|source| self.write_error(source))
    }

    /// Ends the file that was begun last.
    fn close(&mut self) -> Result<(), Error> {
        match self.open.take() {
            None => Ok(()),
            Some((_, size, 0)) => {
                self.out.gather(tar::padding(size)).map_err(|source| self.write_error(source))
            }
            Some((path, ..)) => Err(wrong_size(&path)),
        }
    }

    fn write_error(&self, source: io::Error) -> Error {
        store::Error::Io { action: "write", path: self.path.clone(), source }.into()
    }
}

fn check_path(path: &str) -> Result<(), Error> {
    unsafe_path(path).map_or(Ok(()), |reason| Err(Error::Path { path: path.to_owned(), reason }))
}

/// No path may occur twice in a layer.
fn twice(path: &str) -> Error {
    Error::Path { path: path.to_owned(), reason: "it occurs twice" }
}

fn wrong_size(path: &str) -> Error {
    Error::Path { path: path.to_owned(), reason: "its content is not as long as its header says" }
}

fn check_target(path: &str, target: &str) -> Result<(), Error> {
    if target.is_empty() || target.len() > MAX_TARGET || target.contains(char::is_control) {
        let reason = "it is a symbolic link without a usable target";
        return Err(Error::Path { path: path.to_owned(), reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;
    use tempfile::tempdir;

    use super::*;
    use crate::layer;

    #[test]
    fn modes_owners_and_links_are_kept() {
        let directory = tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let key = entries_key(&KeyHasher::new("test/1").finish());
        let mut writer = EntryWriter::create(&store, key).unwrap();
        writer.directory("tmp", Attributes::root(0o1777)).unwrap();
        writer.bytes("bin/su", b"su", Attributes { mode: 0o104_755, uid: 0, gid: 7 }).unwrap();
        writer.hard_link("bin/sudo", "bin/su", Attributes::root(0o755)).unwrap();
        writer.symlink("bin/sh", "bash").unwrap();
        let layer = layer::assemble(&store, &[writer.finish().unwrap()]).unwrap();

        let mut tar = Vec::new();
        MultiGzDecoder::new(layer::open(&store, &layer).unwrap()).read_to_end(&mut tar).unwrap();
        let mut archive = ::tar::Archive::new(&*tar);
        let entries: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let link = entry.link_name().unwrap().map(|path| path.display().to_string());
                let path = entry.path().unwrap().display().to_string();
                (path, header.mode().unwrap(), header.gid().unwrap(), link)
            })
            .collect();
        let link = |target: &str| Some(target.to_owned());
        assert_eq!(
            entries,
            [
                ("tmp/".to_owned(), 0o1777, 0, None),
                ("bin/su".to_owned(), 0o4755, 7, None),
                ("bin/sudo".to_owned(), 0o755, 0, link("bin/su")),
                ("bin/sh".to_owned(), 0o777, 0, link("bash")),
            ]
        );
        assert!(layer::stored_fragment(&store, &key).unwrap().is_some());
    }

    #[test]
    fn content_has_the_size_that_was_announced() {
        let directory = tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let key = entries_key(&KeyHasher::new("test/1").finish());
        let start = || {
            let mut writer = EntryWriter::create(&store, key).unwrap();
            writer.file("a", 2, Attributes::root(0o644)).unwrap();
            writer
        };
        assert!(start().content(b"abc").is_err());
        let mut short = start();
        short.content(b"a").unwrap();
        assert!(short.finish().is_err());
        assert!(start().symlink("../x", "y").is_err());
        assert!(layer::stored_fragment(&store, &key).unwrap().is_none());
    }
}
