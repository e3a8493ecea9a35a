//! Wheels that were built: the standard's tables say what from, `[packages.tool.bakehouse]` which wheel it gave.

use std::fmt::Write as _;
use std::path::Path;

use url::Url;

use super::document::Node;
use super::read::{Failure, Reader, is_usable, shown};
use super::write::{file_entry, list, quoted, relative};
use crate::model::{Archive, ArchiveKind, Built, BuiltFrom, Digest, Pin, WheelName};

/// Writes what a built wheel was made from, and what it is.
pub(super) fn write(out: &mut String, pin: &Pin, built: &Built, directory: &Path) {
    let optional = |key: &str, value: &Option<String>| {
        value.as_ref().map_or_else(String::new, |value| format!(", {key} = {}", quoted(value)))
    };
    // Writing to a string does not fail.
    let _ = match &built.from {
        BuiltFrom::Sdist(archive) => {
            let name = quoted(&archive.file_name);
            writeln!(out, "sdist = {{ name = {name}, {} }}", file_entry(archive, None, directory))
        }
        BuiltFrom::Archive { archive, subdirectory } => {
            let subdirectory = optional("subdirectory", subdirectory);
            let entry = file_entry(archive, None, directory);
            writeln!(out, "archive = {{ {entry}{subdirectory} }}")
        }
        BuiltFrom::Git { repository, requested, commit, subdirectory } => writeln!(
            out,
            "vcs = {{ type = \"git\", url = {}{}, commit-id = {}{} }}",
            quoted(repository.as_str()),
            optional("requested-revision", requested),
            quoted(commit),
            optional("subdirectory", subdirectory),
        ),
        BuiltFrom::Directory { path, .. } => {
            let url = Url::from_directory_path(path).ok();
            let path = url.and_then(|url| relative(&url, directory));
            let path = path.unwrap_or_else(|| pin.archive.url.path().to_owned());
            writeln!(out, "directory = {{ path = {}, editable = false }}", quoted(&path))
        }
    };
    let _ = writeln!(out, "\n[packages.tool.bakehouse]");
    let Archive { file_name, size, sha256, .. } = &pin.archive;
    let size = size.map_or_else(String::new, |size| format!(", size = {size}"));
    let hash = sha256.map_or_else(String::new, |sha256| format!("sha256 = {}", quoted(&sha256.hex())));
    let _ = writeln!(out, "wheel = {{ name = {}{size}, hashes = {{ {hash} }} }}", quoted(file_name));
    if let BuiltFrom::Directory { content, .. } = &built.from {
        let _ = writeln!(out, "content = {}", quoted(&content.to_string()));
    }
    list(out, "requires", built.requires.iter().map(|text| quoted(text)));
}

/// Reads them; `None` for an entry that names no built wheel.
pub(super) fn read(
    reader: &Reader<'_>,
    package: &Node<'_>,
) -> Result<Option<(Archive, Built, Option<Url>)>, Failure> {
    let Some(tool) = package.table("tool")? else { return Ok(None) };
    let Some(ours) = tool.table("bakehouse")? else { return Ok(None) };
    let Some(wheel) = ours.table("wheel")? else { return Ok(None) };
    let (from, url, direct_url) = from(reader, package, &ours)?;
    let name: WheelName = wheel.required_parsed("name")?;
    let hashes = wheel.table("hashes")?.ok_or_else(|| wheel.problem("`hashes` is missing"))?;
    let sha256 = Digest::from_hex(hashes.required("sha256")?)
        .map_err(|error| hashes.problem_at("sha256", error.to_string()))?;
    let archive = Archive {
        file_name: name.file_name().to_owned(),
        kind: ArchiveKind::Wheel(name),
        url,
        size: wheel.number("size")?,
        sha256: Some(sha256),
    };
    let requires = ours.texts("requires")?.into_iter().map(str::to_owned).collect();
    Ok(Some((archive, Built { from, requires }, direct_url)))
}

/// What a wheel was built from, where that is, and the URL that the image records.
fn from(
    reader: &Reader<'_>,
    package: &Node<'_>,
    ours: &Node<'_>,
) -> Result<(BuiltFrom, Url, Option<Url>), Failure> {
    let subdirectory = |entry: &Node<'_>| -> Result<Option<String>, Failure> {
        let Some(text) = entry.text("subdirectory")? else { return Ok(None) };
        if crate::dist::unsafe_path(text).is_some() {
            return Err(entry.problem_at("subdirectory", "it does not stay inside").into());
        }
        Ok(Some(text.to_owned()))
    };
    if let Some(entry) = package.table("sdist")? {
        let archive = reader.file(&entry)?;
        let url = archive.url.clone();
        return Ok((BuiltFrom::Sdist(archive), url, None));
    }
    if let Some(entry) = package.table("archive")? {
        let archive = Archive { kind: ArchiveKind::Sources, ..reader.file(&entry)? };
        let url = archive.url.clone();
        let from = BuiltFrom::Archive { archive, subdirectory: subdirectory(&entry)? };
        let direct_url = from.direct_url();
        return Ok((from, url, direct_url));
    }
    if let Some(entry) = package.table("vcs")? {
        if entry.required("type")? != "git" {
            return Err(entry.problem_at("type", "only git is supported").into());
        }
        let repository: Url = entry.required_parsed("url")?;
        let commit = entry.required("commit-id")?.to_owned();
        let is_commit = matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_commit {
            return Err(entry.problem_at("commit-id", "it is not a commit").into());
        }
        if repository.password().is_some() || !(repository.scheme() == "ssh" || is_usable(&repository)) {
            return Err(entry
                .problem_at("url", "it must be an https, ssh, http or file URL without a password")
                .into());
        }
        let from = BuiltFrom::Git {
            repository: repository.clone(),
            requested: entry.text("requested-revision")?.map(shown),
            commit,
            subdirectory: subdirectory(&entry)?,
        };
        let direct_url = from.direct_url();
        return Ok((from, repository, direct_url));
    }
    if let Some(entry) = package.table("directory")? {
        let url = reader.place(&entry)?;
        let path = url.to_file_path().map_err(|()| entry.problem("`path` is not a usable path"))?;
        let url = Url::from_directory_path(&path).map_err(|()| entry.problem("`path` is not usable"))?;
        let content = ours.required_parsed("content")?;
        return Ok((BuiltFrom::Directory { path, content }, url, None));
    }
    Err(package.problem("nothing says what its wheel is built from").into())
}
