//! What is inside a base image.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Digest, Key, KeyHasher, Libc, PythonMinor};

use super::error::Error;

/// What was found inside a base image. Depends on the image alone: a record of it stays true.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The Pythons, the preferred first: what `python3` on the image's `PATH` is, then newer before older ones.
    pub pythons: Vec<Python>,
    /// The C library.
    pub libc: Option<Libc>,
    /// Its users, by `/etc/passwd`.
    pub accounts: Vec<Account>,
    /// The numbers of its groups, by `/etc/group`.
    pub groups: BTreeMap<String, u32>,
    /// Its symbolic links to directories, and where each leads; both paths without any link in them.
    pub links: BTreeMap<String, String>,
}

/// A user of a base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
    /// The home, if the image has that directory.
    pub home: Option<String>,
}

/// A distribution that is installed for a Python of a base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// Its core metadata: the fields that say what it is, what it requires, and what extras it has.
    pub metadata: String,
    /// Its console scripts: name and object reference.
    pub scripts: Vec<(String, String)>,
}

impl Distribution {
    /// The name as its metadata has it.
    pub(super) fn name(&self) -> Option<&str> {
        let mut fields = self.metadata.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case("name")).map(|(_, name)| name.trim())
    }
}

/// A CPython in a base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Python {
    /// The minor version.
    pub minor: PythonMinor,
    /// The full version, such as `3.11.2`, where the interpreter's bytes tell it.
    pub version: Option<String>,
    /// The interpreter's absolute path in the image, every symbolic link resolved: `/usr/bin/python3.11`.
    pub executable: String,
    /// The paths by which it was found, in the order of the search: `/usr/bin/python3`.
    pub found_as: Vec<String>,
    /// What is installed for it, as environments on top of it see it.
    pub distributions: Vec<Distribution>,
}

impl Contents {
    /// The key of the record about the image with this manifest digest.
    pub fn key(manifest: &Digest) -> Key {
        KeyHasher::new("base/3").text(&manifest.to_string()).finish()
    }

    /// Where an absolute path leads in the image, its last part included, every link to a directory followed.
    pub fn resolve(&self, path: &str) -> String {
        let mut resolved = String::new();
        for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if part == ".." {
                resolved.truncate(resolved.rfind('/').unwrap_or(0));
                continue;
            }
            resolved = resolved + "/" + part;
            if let Some(target) = self.links.get(&resolved) {
                resolved.clone_from(target);
            }
        }
        if resolved.is_empty() { "/".to_owned() } else { resolved }
    }

    /// The Python to use: the first, in order of preference, that is `allowed`. `wanted` says for people what that is,
    /// such as `Python >=3.12`.
    pub fn choose(&self, wanted: &str, allowed: impl Fn(PythonMinor) -> bool) -> Result<&Python, Error> {
        self.pythons
            .iter()
            .find(|python| allowed(python.minor))
            .ok_or_else(|| Error::NoPython { wanted: wanted.to_owned(), found: self.pythons.clone() })
    }
}
