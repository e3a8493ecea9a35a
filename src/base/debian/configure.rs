//! What the packages' maintainer scripts would have done, and the package manager itself: no script is run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::certificate;
use super::control::Paragraph;
use super::error::Error;
use super::lock::Part;
use super::package::{Facts, MERGED, RUN};
use crate::layer::{Attributes, EntryWriter};

/// The version of what is written here; part of the keys.
pub(super) const RULES: &str = "debian-configuration/2";

/// Files that a package keeps elsewhere and that are copied to their place.
const COPIED: [(&str, &str); 6] = [
    ("etc/group", "usr/share/base-passwd/group.master"),
    ("etc/nsswitch.conf", "usr/share/libc-bin/nsswitch.conf"),
    ("etc/passwd", "usr/share/base-passwd/passwd.master"),
    ("etc/profile", "usr/share/base-files/profile"),
    ("root/.bashrc", "usr/share/base-files/dot.bashrc"),
    ("root/.profile", "usr/share/base-files/dot.profile"),
];

/// Programs that stand for others, by Debian's alternatives: the name, and the program if it is there.
const ALTERNATIVES: [(&str, &str); 3] = [("awk", "mawk"), ("nawk", "mawk"), ("which", "which.debianutils")];

/// Directories that are made by the package of the basic files as it is installed.
const DIRECTORIES: [(&str, u32); 10] = [
    ("media", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("root", 0o700),
    ("run/lock", 0o1777),
    ("srv", 0o755),
    ("tmp", 0o1777),
    ("usr/local/bin", 0o755),
    ("usr/local/lib", 0o755),
    ("usr/local/sbin", 0o755),
];

const FILE: u32 = 0o644;

/// Writes what belongs into the layer of `part`, above the files of its packages.
pub(super) fn write(part: Part, packages: &[&Facts], writer: &mut EntryWriter<'_>) -> Result<(), Error> {
    match part {
        Part::System => system(packages, writer),
        Part::Data => data(packages, writer),
        // Debian has only `python3`; plenty of programs say `python`.
        Part::Python => Ok(writer.symlink("usr/bin/python", "python3")?),
        Part::Extra => Ok(()),
    }
}

fn system(packages: &[&Facts], writer: &mut EntryWriter<'_>) -> Result<(), Error> {
    let has = |program: &str| packages.iter().any(|facts| facts.files.contains(program));
    for name in MERGED {
        // What the links lead to must be there, even where no package has anything in it.
        writer.directory(&format!("usr/{name}"), Attributes::root(0o755))?;
        writer.symlink(name, &format!("usr/{name}"))?;
    }
    for (path, mode) in DIRECTORIES {
        writer.directory(path, Attributes::root(mode))?;
    }
    for (path, source) in COPIED {
        if let Some(text) = packages.iter().find_map(|facts| facts.kept.get(source)) {
            writer.bytes(path, text.as_bytes(), Attributes::root(FILE))?;
        }
    }
    for (path, target) in RUN {
        writer.symlink(path, target)?;
    }
    if !has("usr/bin/sh") {
        writer.symlink("usr/bin/sh", "dash")?;
    }
    for (name, program) in ALTERNATIVES {
        let (name_path, program) = (format!("usr/bin/{name}"), format!("usr/bin/{program}"));
        if has(&program) && !has(&name_path) {
            writer.symlink(&format!("etc/alternatives/{name}"), &format!("/{program}"))?;
            writer.symlink(&name_path, &format!("/etc/alternatives/{name}"))?;
        }
    }
    Ok(())
}

/// Universal time; and the certificates: all in one file, and one by one, by name and by the hash of the subject, as
/// OpenSSL looks for them.
fn data(packages: &[&Facts], writer: &mut EntryWriter<'_>) -> Result<(), Error> {
    writer.symlink("etc/localtime", "/usr/share/zoneinfo/Etc/UTC")?;
    writer.bytes("etc/timezone", b"Etc/UTC\n", Attributes::root(FILE))?;
    const FOLDER: &str = "usr/share/ca-certificates/";
    let certificates: BTreeMap<&str, &str> = packages
        .iter()
        .flat_map(|facts| &facts.kept)
        .filter_map(|(path, text)| Some((path.strip_prefix(FOLDER)?, &**text)))
        .filter(|(path, _)| path.ends_with(".crt"))
        .collect();
    let bundle: String = certificates.values().flat_map(|text| [text.trim_end(), "\n"]).collect();
    writer.directory("etc/ssl/certs", Attributes::root(0o755))?;
    writer.bytes("etc/ssl/certs/ca-certificates.crt", bundle.as_bytes(), Attributes::root(FILE))?;
    let names: String = certificates.keys().flat_map(|path| [*path, "\n"]).collect();
    writer.bytes("etc/ca-certificates.conf", names.as_bytes(), Attributes::root(FILE))?;
    let mut by_hash: BTreeMap<u32, u32> = BTreeMap::new();
    for (path, text) in &certificates {
        let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".crt");
        writer.symlink(&format!("etc/ssl/certs/{name}.pem"), &format!("/{FOLDER}{path}"))?;
        if let Some(hash) = certificate::subject_hash(text) {
            let number = by_hash.entry(hash).or_default();
            writer.symlink(&format!("etc/ssl/certs/{hash:08x}.{number}"), &format!("{name}.pem"))?;
            *number += 1;
        }
    }
    writer.directory("etc/ssl/private", Attributes::root(0o700))?;
    writer.directory("usr/lib/ssl", Attributes::root(0o755))?;
    writer.symlink("usr/lib/ssl/certs", "/etc/ssl/certs")?;
    writer.symlink("usr/lib/ssl/private", "/etc/ssl/private")?;
    Ok(writer.symlink("usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")?)
}

/// The package manager's list of what is installed, sorted by name.
pub(super) fn status(packages: &[&Facts]) -> String {
    let mut paragraphs = BTreeMap::new();
    for facts in packages {
        let Some(control) = Paragraph::parse(&facts.control) else { continue };
        let mut text = String::new();
        for (name, value) in control.fields() {
            let _ = writeln!(text, "{name}: {value}");
            if name == "Package" {
                text.push_str("Status: install ok installed\n");
            }
            if name == "Version" && !facts.conffiles.is_empty() {
                text.push_str("Conffiles:\n");
                for (path, sum) in &facts.conffiles {
                    let _ = writeln!(text, " {path} {sum}");
                }
            }
        }
        paragraphs.insert(control.get("Package").unwrap_or_default().to_owned(), text);
    }
    paragraphs.into_values().map(|text| text + "\n").collect()
}
