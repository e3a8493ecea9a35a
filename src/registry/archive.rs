//! Archives as destinations: images in one tar file, to be carried about.
//!
//! Files are written in the order given, one after another and never whole in memory; all that a tar header says is fixed
//! by rule, so the same images make the same archive. It has its name only when it is complete.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::layout::{self, blob_name, sweep, temporary};
use crate::model::{Digest, HashingReader};

/// The form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// An OCI layout in a tar file.
    Oci,
    /// What `docker save` writes: `manifest.json`, configs and uncompressed layers.
    Docker,
}

/// Tar is made of blocks of this size.
const BLOCK: u64 = 512;
/// How much is copied at a time.
const CHUNK: usize = 128 * 1024;

/// An archive being written. Dropped before [`ArchiveWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub struct ArchiveWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    written: u64,
}

impl ArchiveWriter {
    /// Starts an archive that will be at `path`, in the place of whatever file is there.
    pub fn create(path: &Path) -> Result<Self, Error> {
        Self::check(path)?;
        let directory = parent(path);
        sweep(directory);
        let (file, temporary) = temporary(directory)?;
        Ok(Self { path: path.to_owned(), temporary, file, written: 0 })
    }

    /// Fails if no archive can be at `path`: its directory does not exist, or it is one.
    pub fn check(path: &Path) -> Result<(), Error> {
        let problem = if path.is_dir() || path.file_name().is_none() {
            io::ErrorKind::IsADirectory
        } else if !parent(path).is_dir() {
            io::ErrorKind::NotFound
        } else {
            return Ok(());
        };
        Err(Error::io("write", path)(problem.into()))
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Adds a small file.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.stream(name, &mut &*bytes).map(drop)
    }

    /// Adds a blob where layouts have it. Its length and digest must be right.
    pub fn blob(&mut self, digest: &Digest, size: u64, reader: &mut dyn Read) -> Result<(), Error> {
        let name = blob_name(digest);
        let (actual, length) = self.stream(&name, reader)?;
        layout::check(&format!("`{name}`"), digest, size, actual, length)
    }

    /// Adds a file whose length is found on the way; its digest must be right.
    pub fn file(&mut self, name: &str, digest: &Digest, reader: &mut dyn Read) -> Result<(), Error> {
        let (actual, length) = self.stream(name, reader)?;
        layout::check(&format!("`{name}`"), digest, length, actual, length)
    }

    /// Ends the archive and gives it its name; tells how long it is.
    pub fn finish(mut self) -> Result<u64, Error> {
        let end = self.file.write_all(&[0; 2 * BLOCK as usize]).and_then(|()| self.file.sync_all());
        end.map_err(Error::io("write", &self.temporary))?;
        fs::rename(&self.temporary, &self.path).map_err(Error::io("move a finished file to", &self.path))?;
        Ok(self.written + 2 * BLOCK)
    }

    /// Adds a file: a place for its header, its bytes, then the header, which must have the length.
    fn stream(&mut self, name: &str, reader: &mut dyn Read) -> Result<(Digest, u64), Error> {
        let start = self.written;
        let mut reader = HashingReader::new(reader);
        let copied = self.copy(&mut reader);
        let (_, digest, length) = reader.finish();
        copied?;
        let header = header(name, length);
        let padding = vec![0; (length.next_multiple_of(BLOCK) - length) as usize];
        let write = |file: &mut File| {
            file.write_all(&padding)?;
            file.seek(SeekFrom::Start(start))?;
            file.write_all(header.as_bytes())?;
            file.seek(SeekFrom::End(0))
        };
        self.written = write(&mut self.file).map_err(Error::io("write", &self.temporary))?;
        Ok((digest, length))
    }

    fn copy(&mut self, reader: &mut dyn Read) -> Result<(), Error> {
        let failed = |temporary: &Path, error| Error::io("write", temporary)(error);
        self.file.write_all(&[0; BLOCK as usize]).map_err(|error| failed(&self.temporary, error))?;
        let mut buffer = vec![0; CHUNK];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    self.file.write_all(&buffer[..n]).map_err(|error| failed(&self.temporary, error))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A reader that checks what it reads tells what it found inside the I/O error.
                Err(error) => {
                    return Err(match error.downcast::<Error>() {
                        Ok(error) => error,
                        Err(error) => Error::io("copy what goes into", &self.path)(error),
                    });
                }
            }
        }
    }
}

impl Drop for ArchiveWriter {
    fn drop(&mut self) {
        // After a successful finish there is no file of this name any more.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A header that says nothing but name and length. Names are ours, and short.
fn header(name: &str, length: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    let field = &mut header.as_old_mut().name;
    let fits = name.len().min(field.len());
    field[..fits].copy_from_slice(&name.as_bytes()[..fits]);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(length);
    header.set_cksum();
    header
}
