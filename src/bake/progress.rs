//! What is under way, told to whoever shows it.

use std::fmt;

/// A step of the work that a user may want to see.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A base image is being opened.
    OpeningBase(&'a str),
    /// The requirements of a lock are being resolved.
    Resolving(&'a str),
    /// A distribution is being downloaded.
    Downloading(&'a str),
    /// A distribution is being made into a fragment.
    Building(&'a str),
    /// A layer of an image is being delivered.
    Delivering(&'a str),
    /// An image is complete at its destination.
    Delivered(&'a str),
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpeningBase(name) => write!(f, "opening the base image {name}"),
            Self::Resolving(name) => write!(f, "resolving {name}"),
            Self::Downloading(name) => write!(f, "downloading {name}"),
            Self::Building(name) => write!(f, "building {name}"),
            Self::Delivering(name) => write!(f, "delivering {name}"),
            Self::Delivered(name) => write!(f, "delivered {name}"),
        }
    }
}

/// Shows progress. Called from many tasks at once; must not block.
pub trait Progress: Send + Sync {
    /// Something begins or ends.
    fn event(&self, event: Event<'_>);
}
