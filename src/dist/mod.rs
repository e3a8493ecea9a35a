//! What is inside a distribution: zip reading, RECORD, entry points, `.data`, the install plan.
//!
//! [`Wheel::open`] reads and checks an archive's directory and metadata; [`Wheel::plan`] says which files an installer
//! puts where, without writing any. The bytes come from an [`Inflater`], which checks them as they pass.

mod entry_points;
mod error;
mod plan;
mod record;
mod wheel;
pub mod zip;

pub use entry_points::EntryPoint;
pub use error::{Error, Flaw};
pub use plan::{INSTALLER, Layout, Plan, Planned, Source, direct_url_json};
pub use record::{Row, write as write_record};
pub use wheel::Wheel;
pub use zip::{Archive, Entry, Inflater, Method, Sink, path_order, unsafe_path};
