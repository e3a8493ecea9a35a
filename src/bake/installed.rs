//! A plain project as an installed distribution: its metadata and console scripts, made from `pyproject.toml` alone. Its
//! code stays where the project has it.

use std::fmt::Write as _;

use super::Error;
use crate::dist::{EntryPoint, INSTALLER, Row, write_record};
use crate::layer::{FileEntry, FileKind, FileSource, PREFIX};
use crate::model::PythonMinor;
use crate::project::PackageMetadata;

/// The files that make tools see the project as installed. A project without a version is none that can be.
pub fn entries(package: &PackageMetadata, python: PythonMinor) -> Result<Vec<FileEntry>, Error> {
    let Some(version) = &package.version else { return Ok(Vec::new()) };
    let name = package.name.replace(['-', '.'], "_");
    let dist_info = format!("{name}-{version}.dist-info");
    let site = format!("{PREFIX}/lib/python{python}/site-packages");

    let mut entries = Vec::new();
    let mut rows = Vec::new();
    let mut add = |path: String, recorded: String, text: String, executable: bool| {
        rows.push(Row::of(recorded, text.as_bytes()));
        entries.push(file(path, text, executable));
    };
    let parts = [
        ("METADATA", metadata(package)),
        ("INSTALLER", INSTALLER.to_owned()),
        ("REQUESTED", String::new()),
        ("entry_points.txt", entry_points(package)),
    ];
    for (part, text) in parts {
        if part != "entry_points.txt" || !text.is_empty() {
            add(format!("{site}/{dist_info}/{part}"), format!("{dist_info}/{part}"), text, false);
        }
    }
    for (name, reference) in package.scripts.iter().chain(&package.gui_scripts) {
        let script = EntryPoint::parse(name, reference)
            .ok_or_else(|| Error::Script { name: name.clone(), reference: reference.clone() })?;
        let text = script.script(&format!("/{PREFIX}/bin/python"));
        add(format!("{PREFIX}/bin/{name}"), format!("../../../bin/{name}"), text, true);
    }
    let record = format!("{dist_info}/RECORD");
    rows.push(Row { path: record.clone(), hash: String::new(), size: None });
    entries.push(file(format!("{site}/{record}"), write_record(&mut rows), false));
    Ok(entries)
}

fn file(path: String, text: String, executable: bool) -> FileEntry {
    let source = FileSource::Bytes(text.into_bytes());
    FileEntry { path, kind: FileKind::File { source, executable } }
}

/// METADATA (the core metadata specification). A value with a line break would be another field: it is cut there.
fn metadata(package: &PackageMetadata) -> String {
    let mut text = String::from("Metadata-Version: 2.1\n");
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(text, "{name}: {}", value.lines().next().unwrap_or_default());
    };
    field("Name", &package.name);
    if let Some(version) = &package.version {
        field("Version", &version.to_string());
    }
    if let Some(summary) = &package.summary {
        field("Summary", summary);
    }
    if let Some(license) = &package.license {
        field("License", license);
    }
    if let Some(python) = &package.requires_python {
        field("Requires-Python", &python.to_string());
    }
    for dependency in &package.dependencies {
        field("Requires-Dist", dependency);
    }
    text
}

/// `entry_points.txt`: all groups, sorted.
fn entry_points(package: &PackageMetadata) -> String {
    let mut groups = package.entry_points.clone();
    groups.insert("console_scripts".to_owned(), package.scripts.clone());
    groups.insert("gui_scripts".to_owned(), package.gui_scripts.clone());
    let mut text = String::new();
    for (group, mut entries) in groups.into_iter().filter(|(_, entries)| !entries.is_empty()) {
        entries.sort();
        let _ = writeln!(text, "[{group}]");
        for (name, reference) in entries {
            let _ = writeln!(text, "{name} = {reference}");
        }
        text.push('\n');
    }
    text
}
