//! How layers are compressed.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::str::FromStr;

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::{splice, zstd};

/// How layers are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// By the gzip splice; every runtime reads it.
    #[default]
    Gzip,
    /// In zstd frames: smaller and faster to unpack, but not every program reads it.
    Zstd,
}

impl Compression {
    /// The media type of such layers.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// The compression that a media type names.
    pub fn of_media_type(text: &str) -> Option<Self> {
        [Self::Gzip, Self::Zstd].into_iter().find(|compression| compression.media_type() == text)
    }

    /// Names what decides the compressed bytes; part of every fragment's key.
    pub(super) fn profile(self) -> &'static str {
        match self {
            Self::Gzip => splice::PROFILE,
            Self::Zstd => zstd::PROFILE,
        }
    }

    /// The member or frame that ends a layer: the end of the tar archive.
    pub(super) fn end(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => splice::compress_whole(&super::tar::END),
            Self::Zstd => zstd::compress(&super::tar::END),
        }
    }

    /// Reads what was compressed.
    pub(super) fn decoder<R: BufRead>(self, bytes: R) -> io::Result<Decoder<R>> {
        Ok(match self {
            Self::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(bytes))),
            Self::Zstd => Decoder::Zstd(::zstd::Decoder::with_buffer(bytes)?),
        })
    }

    // For serde, which hands over a reference.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err("expected gzip or zstd".to_owned()),
        }
    }
}

/// Decompresses a layer or a fragment.
pub(super) enum Decoder<R: BufRead> {
    Gzip(Box<MultiGzDecoder<R>>),
    Zstd(::zstd::Decoder<'static, R>),
}

impl<R: BufRead> Decoder<R> {
    pub fn into_inner(self) -> R {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buf),
            Self::Zstd(decoder) => decoder.read(buf),
        }
    }
}
