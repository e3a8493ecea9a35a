//! What is understood of a project: components, environments, requirements with their origins, code files; and what is
//! said of one that is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod branches;
mod code;
mod conda;
mod deployments;
mod expected;
mod flows;
mod functions;
mod inheritance;
mod outerbounds_projects;
mod overrides;
mod plain_projects;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use bakehouse::model::{ExitCode, Warning};
use bakehouse::project::{
    AssetKind, CodeFile, CodeFileKind, CodeOptions, CodeReader, Component, ComponentKind, Environment, Error,
    Project, ProjectKind, Selection, code_files, discover, discover_with, image_name, members,
};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/projects").join(name)
}

/// A project made of these files.
fn project(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn read(files: &[(&str, &str)]) -> Result<Project, Error> {
    discover(project(files).path())
}

/// The error of a project that is wrong; it must say that the project is.
fn error(files: &[(&str, &str)]) -> String {
    let error = read(files).expect_err("the project is wrong");
    assert_eq!(error.exit_code(), ExitCode::Project);
    error.to_string()
}

/// A flow in an Outerbounds project, with a class body of steps.
fn flow(head: &str, body: &str) -> Result<Component, Error> {
    flow_beside("", head, body)
}

/// The same, with a `pyproject.toml` at the project's root.
fn flow_beside(pyproject: &str, head: &str, body: &str) -> Result<Component, Error> {
    let code = format!(
        "from metaflow import *\nfrom obproject import ProjectFlow\n{head}\nclass F(ProjectFlow):\n{}\n",
        body.lines().map(|line| format!("    {line}\n")).collect::<String>()
    );
    let mut files = vec![("obproject.toml", "project = 'p'"), ("flows/f/flow.py", code.as_str())];
    if !pyproject.is_empty() {
        files.push(("pyproject.toml", pyproject));
    }
    read(&files).map(|project| project.components.into_iter().next().unwrap())
}

fn deployment(config: &str) -> Result<Component, Error> {
    let files = [("obproject.toml", "project = 'p'"), ("deployments/d/config.yml", config)];
    read(&files).map(|project| project.components.into_iter().next().unwrap())
}

/// Requirements with the places they come from.
fn requirements(environment: &Environment) -> Vec<String> {
    environment.requirements.iter().map(|r| format!("{r} ({})", r.origin)).collect()
}

/// Requirements alone.
fn names(environment: &Environment) -> Vec<String> {
    environment.requirements.iter().map(|r| r.to_string()).collect()
}

fn python(environment: &Environment) -> String {
    environment.python.as_ref().map(|p| format!("{} ({})", p.specifiers, p.origin)).unwrap_or_default()
}

fn shown(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(|w| format!("{}: {}", w.origin.as_ref().unwrap(), w.message)).collect()
}

fn shown_has(warnings: &[Warning], start: &str) -> bool {
    shown(warnings).iter().any(|warning| warning.starts_with(start))
}

fn paths(files: &[CodeFile]) -> Vec<&str> {
    files.iter().map(|file| file.path.as_str()).collect()
}

const STEPS: &str = "@step\ndef start(self): pass\n";
