//! Image documents: from a base image and new layers to a config and a manifest. Pure functions, no network.
//!
//! A *config* says how to run an image and lists the *diff IDs* (digests of the uncompressed layers); a *manifest*
//! lists the compressed layers and the config; an *image index* lists one manifest a platform. All are written as OCI
//! documents, the same bytes for the same input.

mod base;
mod compose;
mod config;
mod error;
mod layer;

pub use base::Base;
pub use compose::{Document, Image, ImageSpec, compose, image_index};
pub use error::Error;
pub use layer::Layer;
pub use oci_spec::image::{
    ANNOTATION_BASE_IMAGE_DIGEST, ANNOTATION_BASE_IMAGE_NAME, ANNOTATION_DESCRIPTION,
    ANNOTATION_DOCUMENTATION, ANNOTATION_TITLE, Descriptor, MediaType,
};

/// The most layers that every runtime takes, those of the base included.
pub const MAX_LAYERS: usize = 125;
/// The largest config of a base, and of an image.
pub const MAX_CONFIG_SIZE: usize = 4 * 1024 * 1024;
