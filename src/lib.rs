//! bakehouse turns a Python project into container images without Docker: it locks the dependencies, writes every
//! distribution straight into a content-addressed OCI layer, and pushes only what the registry lacks.
//!
//! The rooms of the house, top to bottom; a module uses those below it, never those above
//! (`tests/architecture.rs` keeps it so). The main path is `cli` → [`bake`] → the rest.

pub mod cli;

pub mod bake;

pub mod project;

pub mod build;

pub mod resolve;

pub mod lock;

pub mod index;

pub mod base;

pub mod image;

pub mod layer;

pub mod dist;

pub mod registry;

pub mod store;

pub mod net;

pub mod model;
