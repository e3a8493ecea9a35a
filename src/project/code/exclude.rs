//! What never enters a code layer.

use std::path::Path;

use super::Reason;
use super::Reason::{Lock, Secret, Tool, VersionControl};

/// Names of files and directories, in lower case; `*` at either end stands for anything.
const NAMES: &[(&str, Reason)] = &[
    // Version control.
    (".git", VersionControl),
    (".hg", VersionControl),
    (".svn", VersionControl),
    (".bzr", VersionControl),
    (".jj", VersionControl),
    // Settings with secrets.
    (".env", Secret),
    (".env.*", Secret),
    (".envrc", Secret),
    ("credentials.json", Secret),
    ("application_default_credentials.json", Secret),
    ("client_secret*.json", Secret),
    ("service-account*.json", Secret),
    ("service_account*.json", Secret),
    (".netrc", Secret),
    ("_netrc", Secret),
    (".pypirc", Secret),
    (".npmrc", Secret),
    (".yarnrc.yml", Secret),
    ("pip.conf", Secret),
    (".git-credentials", Secret),
    (".pgpass", Secret),
    (".my.cnf", Secret),
    (".htpasswd", Secret),
    (".boto", Secret),
    (".s3cfg", Secret),
    (".dockercfg", Secret),
    (".vault-token", Secret),
    ("kubeconfig", Secret),
    ("*.tfstate", Secret),
    ("*.tfstate.backup", Secret),
    // Keys.
    ("*.pem", Secret),
    ("*.key", Secret),
    ("*.p12", Secret),
    ("*.pfx", Secret),
    ("*.jks", Secret),
    ("*.keystore", Secret),
    ("*.kdbx", Secret),
    ("*.ppk", Secret),
    ("id_rsa*", Secret),
    ("id_dsa*", Secret),
    ("id_ecdsa*", Secret),
    ("id_ed25519*", Secret),
    // Directories of tools that keep credentials.
    (".aws", Secret),
    (".azure", Secret),
    (".docker", Secret),
    (".gnupg", Secret),
    (".kube", Secret),
    (".metaflowconfig", Secret),
    (".ssh", Secret),
    (".terraform", Secret),
    // Caches and environments.
    ("__pycache__", Tool),
    ("*.pyc", Tool),
    ("*.pyo", Tool),
    (".mypy_cache", Tool),
    (".pytest_cache", Tool),
    (".ruff_cache", Tool),
    (".hypothesis", Tool),
    (".coverage", Tool),
    (".tox", Tool),
    (".nox", Tool),
    (".venv", Tool),
    (".eggs", Tool),
    ("*.egg-info", Tool),
    ("node_modules", Tool),
    (".ipynb_checkpoints", Tool),
    (".metaflow", Tool),
    (".ob_apps", Tool),
    (".idea", Tool),
    (".vscode", Tool),
    (".ds_store", Tool),
    // Locks.
    ("pylock.toml", Lock),
    ("bakehouse-base.toml", Lock),
    ("pylock.*.toml", Lock),
];

/// Names that a rule above would catch, and that are documentation.
const HARMLESS: &[&str] = &[".env.example", ".env.sample", ".env.template", ".env.dist"];

/// A file or directory in a directory, such as `.streamlit/secrets.toml`.
const PATHS: &[(&str, &str, Reason)] = &[
    (".streamlit", "secrets.toml", Secret),
    (".dlt", "secrets.toml", Secret),
    (".config", "gcloud", Secret),
];

/// A directory that holds one of these is left out: a virtual environment, what its tool marks as a cache, an image
/// layout, a store of this program.
const MARKERS: &[&str] = &["pyvenv.cfg", "CACHEDIR.TAG", "oci-layout", "v1/blobs/sha256"];

/// Why a file or directory of this name, in a directory named `parent`, is left out.
pub(super) fn by_name(parent: &str, name: &str) -> Option<Reason> {
    let (parent, name) = (parent.to_lowercase(), name.to_lowercase());
    if HARMLESS.contains(&name.as_str()) {
        return None;
    }
    let by_path = PATHS.iter().find(|(p, n, _)| *p == parent && *n == name).map(|(_, _, why)| why.clone());
    by_path.or_else(|| NAMES.iter().find(|(pattern, _)| matches(pattern, &name)).map(|(_, why)| why.clone()))
}

/// Why any part of a path, relative to the project, is left out.
pub(super) fn by_path(path: &Path) -> Option<Reason> {
    let mut parent = String::new();
    for part in path {
        let name = part.to_string_lossy();
        if let Some(why) = by_name(&parent, &name) {
            return Some(why);
        }
        parent = name.into_owned();
    }
    None
}

/// Why a directory is left out for what it holds.
pub(super) fn by_content(directory: &Path) -> Option<Reason> {
    MARKERS.iter().any(|marker| directory.join(marker).exists()).then_some(Tool)
}

/// Whether a directory at the root of a plain project is what its build backend wrote: `dist/` with archives, `build/`
/// with what setuptools makes there.
pub(super) fn is_build_output(directory: &Path, name: &str) -> bool {
    let patterns: &[&str] = match name {
        "dist" => &["*.whl", "*.tar.gz", "*.egg"],
        "build" => &["lib", "lib.*", "bdist.*", "*.whl"],
        _ => return false,
    };
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        patterns.iter().any(|pattern| matches(pattern, &name.to_string_lossy()))
    })
}

/// Matches a name against a pattern with at most one `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_caches_and_locks_stay_out() {
        for (name, why) in [
            (".git", VersionControl),
            (".env", Secret),
            (".ENV.production", Secret),
            ("server.PEM", Secret),
            ("id_ed25519.pub", Secret),
            ("service-account-prod.json", Secret),
            ("m.cpython-311.pyc", Tool),
            ("pylock.toml", Lock),
            ("pylock.train.toml", Lock),
        ] {
            assert_eq!(by_name("", name), Some(why), "{name}");
        }
        assert_eq!(by_name(".streamlit", "secrets.toml"), Some(Secret));
        assert_eq!(by_path(Path::new("a/.aws/config")), Some(Secret));
        for name in [
            ".env.example",
            ".gitignore",
            "secrets.toml",
            "keys.py",
            "environment.yml",
            ".streamlit",
            "uv.lock",
        ] {
            assert_eq!(by_name("x", name), None, "{name}");
        }
    }
}
