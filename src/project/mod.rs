//! What the user wrote: discovery, `obproject.toml`, `pyproject.toml`, `config.yml`, decorators in `flow.py`, code files.
//! Pure: reads files below the project's root, no network, no interpreter.

mod asset;
mod branch;
mod code;
mod component;
mod dependencies;
mod deployment;
mod discover;
mod error;
mod exclude;
mod flow;
mod glob;
mod groups;
mod limits;
mod pyproject;
mod python;
mod settings;
mod shell;
mod source;
mod sources;
mod toml;
mod yaml;

pub use branch::Selection;
pub use code::{CodeFile, CodeFileKind, CodeFiles, code_files};
pub use component::{
    Asset, AssetKind, BaseRequest, CodePackage, Component, ComponentKind, Environment, IndexPin,
    IndexSettings, Project, ProjectKind, Run, check_names, image_name,
};
pub use discover::{discover, discover_with};
pub use error::Error;
pub use pyproject::PackageMetadata;
pub use python::PythonRequest;
pub use settings::Resolving;
