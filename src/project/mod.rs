//! What the user wrote: discovery, `obproject.toml`, `pyproject.toml`, `config.yml`, decorators in `flow.py`, code files.
//! Pure: reads files below the project's root, no network, no interpreter.

mod asset;
mod base_settings;
mod branch;
mod code;
mod component;
mod dependencies;
mod deployment;
mod discover;
mod error;
mod flow;
mod glob;
mod groups;
mod indexes;
mod limits;
mod pyproject;
mod python;
mod resolving;
mod scalar;
mod settings;
mod several;
mod shell;
mod source;
mod sources;
mod toml;
mod yaml;

pub use base_settings::BaseSettings;
pub use branch::Selection;
pub use code::{
    CodeFile, CodeFileKind, CodeFiles, CodeOptions, CodeReader, LeftOut, Library, LibraryOrigin, Reason,
    code_files,
};
pub use component::{
    Asset, AssetKind, BaseRequest, CodePackage, Component, ComponentKind, CondaRequest, Environment,
    IndexPin, IndexSettings, Project, ProjectKind, Run, check_names, image_name,
};
pub use discover::{Unreadable, discover, discover_parts, discover_with};
pub use error::Error;
pub use pyproject::PackageMetadata;
pub use python::PythonRequest;
pub use resolving::Resolving;
pub use settings::Settings;
pub use several::{Member, discover_member, members};
