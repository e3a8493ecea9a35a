//! Streaming an image's layers once, to see what they hold.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use crate::model::{Digest, HashingReader};

use super::archive::{Archive, Entry, EntryKind, Fault};
use super::contents::Contents;
use super::error::Error;
use super::probe::{self, Interest};
use super::pythons;
use super::tree::{File, Node, RootTree, parts};

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of one or many members.
    Gzip,
    /// Zstandard, of one or many frames.
    Zstd,
}

/// A layer to look into.
pub struct Layer<'r> {
    /// The digest of the layer as it is stored, for messages; the caller has checked it, or does so on the way.
    pub digest: Digest,
    /// How it is compressed.
    pub compression: Compression,
    /// The digest that its tar must have.
    pub diff_id: Digest,
    /// Its bytes as they are stored.
    pub bytes: Box<dyn Read + 'r>,
}

/// How much an image may be. Beyond it lie archives that were made to exhaust whoever reads them.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Entries of all layers.
    entries: u64,
    /// Bytes of all layers' tars.
    bytes: u64,
    /// How many times its size a layer may decompress to,
    ratio: u64,
    /// once it gives this many bytes.
    ratio_from: u64,
}

const LIMITS: Limits = Limits { entries: 5_000_000, bytes: 200 << 30, ratio: 200, ratio_from: 1 << 30 };

/// Looks into an image: reads its layers, lowest first, each once and to its end, checks their diff IDs, and finds
/// Pythons and the C library. `path` is the `PATH` of the image's config.
///
/// Memory is bounded whatever the layers hold, and nothing of them is written or run.
pub fn inspect<'r>(
    layers: impl IntoIterator<Item = Result<Layer<'r>, Error>>,
    path: Option<&str>,
) -> Result<Contents, Error> {
    inspect_within(LIMITS, layers, path)
}

fn inspect_within<'r>(
    limits: Limits,
    layers: impl IntoIterator<Item = Result<Layer<'r>, Error>>,
    path: Option<&str>,
) -> Result<Contents, Error> {
    let mut tree = RootTree::new();
    let mut left = limits;
    for layer in layers {
        add(&mut tree, layer?, &mut left)?;
    }
    Ok(pythons::find(&tree, path))
}

/// Adds a layer to the tree; `left` is what the layers from here on may be.
fn add(tree: &mut RootTree, layer: Layer<'_>, left: &mut Limits) -> Result<(), Error> {
    let Layer { digest, compression, diff_id, bytes } = layer;
    let meter = Rc::new(Meter::default());
    let fail = |fault| match fault {
        Fault::Refused(problem) => Error::Refused { layer: digest, problem },
        // What the store or network says is no fault of the layer's; everything else the decoder found.
        Fault::Io(source) if meter.failed.get() => Error::Read { layer: digest, source },
        Fault::Io(source) => match meter.exceeded.get() {
            Some(problem) => Error::Refused { layer: digest, problem: problem.to_owned() },
            None => Error::Damaged { layer: digest, source },
        },
    };
    let stored = BufReader::with_capacity(64 * 1024, Metered { inner: bytes, meter: meter.clone() });
    let tar: Box<dyn Read + '_> = match compression {
        Compression::None => Box::new(stored),
        Compression::Gzip => Box::new(MultiGzDecoder::new(stored)),
        Compression::Zstd => {
            Box::new(zstd::Decoder::with_buffer(stored).map_err(|error| fail(Fault::Io(error)))?)
        }
    };
    let tar = HashingReader::new(Limited { inner: tar, meter: meter.clone(), limits: *left, given: 0 });
    let mut archive = Archive::new(BufReader::with_capacity(128 * 1024, tar));

    tree.begin_layer();
    let mut walk = || -> Result<(), Fault> {
        while let Some(entry) = archive.next()? {
            left.entries = left
                .entries
                .checked_sub(1)
                .ok_or_else(|| Fault::Refused("the image has more files than can be looked at".into()))?;
            apply(tree, &entry, archive.content())?;
        }
        Ok(())
    };
    walk().map_err(fail)?;
    let (limited, actual, _) = archive.finish().map_err(fail)?.into_inner().finish();
    left.bytes -= limited.given;
    if actual != diff_id {
        return Err(Error::DiffId { layer: digest, expected: diff_id, actual });
    }
    Ok(())
}

/// Applies one entry to the tree.
fn apply(tree: &mut RootTree, entry: &Entry, content: impl Read) -> Result<(), Fault> {
    let path = inside(&entry.path)?;
    let Some((name, parent)) = path.split_last() else {
        return match entry.kind {
            // The root itself.
            EntryKind::Directory => Ok(()),
            _ => Err(Fault::Refused("an entry has no name".into())),
        };
    };
    if let Some(hidden) = name.strip_prefix(b".wh.") {
        return match hidden {
            b".wh..opq" => tree.opaque(parent),
            // Other marks of the file system that the format comes from.
            _ if hidden.starts_with(b".wh.") => Ok(()),
            b"" | b"." | b".." => Err(Fault::Refused("a whiteout hides nothing that has a name".into())),
            _ => {
                let mut path = parent.to_vec();
                path.push(hidden);
                tree.whiteout(&path)
            }
        };
    }
    match entry.kind {
        EntryKind::Directory => tree.insert(&path, Node::Directory(Default::default())),
        EntryKind::Symlink => tree.insert(&path, Node::Symlink(entry.target.as_slice().into())),
        EntryKind::HardLink => tree.link(&path, &inside(&entry.target)?),
        EntryKind::Other => tree.remove(&path),
        EntryKind::File => {
            let interest = Interest::of(name);
            if !entry.executable && interest.is_none() {
                return tree.remove(&path);
            }
            let facts = probe::examine(content, interest)?;
            tree.insert(&path, Node::File(Rc::new(File { executable: entry.executable, facts })))
        }
    }
}

/// The parts of an entry's path, which must stay inside the root. (A leading slash means the root.)
fn inside(path: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    let parts: Vec<_> = parts(path).collect();
    if parts.contains(&&b".."[..]) || path.contains(&0) {
        let shown: String = String::from_utf8_lossy(path).chars().take(200).collect();
        return Err(Fault::Refused(format!("an entry leaves the root: {shown:?}")));
    }
    Ok(parts)
}

/// What the readers below and above a decoder tell each other and whoever explains an error.
#[derive(Default)]
struct Meter {
    /// Bytes read from below.
    read: Cell<u64>,
    /// Reading from below failed.
    failed: Cell<bool>,
    /// The limit that was exceeded.
    exceeded: Cell<Option<&'static str>>,
}

/// Below the decoder: counts what it takes.
struct Metered<R> {
    inner: R,
    meter: Rc<Meter>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(buf);
        match &result {
            Ok(n) => self.meter.read.set(self.meter.read.get() + *n as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.meter.failed.set(true),
        }
        result
    }
}

/// Above the decoder: ends the reading where it gives too much.
struct Limited<R> {
    inner: R,
    meter: Rc<Meter>,
    limits: Limits,
    given: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.given += n as u64;
        let Limits { bytes, ratio, ratio_from, .. } = self.limits;
        let exceeded = if self.given > bytes {
            "the image is larger than can be looked at"
        } else if self.given > ratio_from && self.given / ratio > self.meter.read.get() {
            "it decompresses to far more than it is: a decompression bomb"
        } else {
            return Ok(n);
        };
        self.meter.exceeded.set(Some(exceeded));
        Err(io::Error::other(exceeded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExitCode;
    use std::io::Write;

    fn inspected(limits: Limits, tar: &[u8]) -> Result<Contents, Error> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(tar).unwrap();
        let bytes = gzip.finish().unwrap();
        let layer = Layer {
            digest: Digest::of(&bytes),
            compression: Compression::Gzip,
            diff_id: Digest::of(tar),
            bytes: Box::new(io::Cursor::new(bytes)),
        };
        inspect_within(limits, [Ok(layer)], None)
    }

    fn archive(entries: usize, size: u64) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for number in 0..entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(size);
            builder.append_data(&mut header, format!("{number}"), io::repeat(0).take(size)).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn too_much_of_anything_is_refused() {
        let limits = Limits { entries: 10, bytes: 1 << 20, ratio: 50, ratio_from: 1 << 18 };
        assert!(inspected(limits, &archive(10, 5000)).is_ok());
        for (tar, problem) in [
            (archive(11, 0), "more files"),
            (archive(1, 1 << 19), "bomb"),
            (archive(1, 1 << 21), "bomb"),
            ([vec![0; 1024], vec![0; 1 << 19]].concat(), "bomb"),
        ] {
            let error = inspected(limits, &tar).unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::Integrity);
            assert!(error.to_string().contains(problem), "{error}");
        }
        let error = inspected(Limits { ratio: 5000, ..limits }, &archive(1, 1 << 21)).unwrap_err();
        assert!(error.to_string().contains("larger"), "{error}");
    }

    #[test]
    fn a_reader_that_fails_is_no_fault_of_the_layer() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let digest = Digest::of(b"");
            let layer = Layer { digest, compression, diff_id: digest, bytes: Box::new(Broken) };
            let error = inspect([Ok(layer)], None).unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::Internal);
        }
    }
}
