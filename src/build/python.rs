//! The Python that builds: found on this machine, and asked what it is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::process::{self, Keep};
use crate::model::{Arch, Libc, Platform, PythonMinor, Target};

/// How long a Python may take to tell what it is.
const PATIENCE: Duration = Duration::from_secs(30);
/// What it is asked. The executable is that of the installation, not of a virtual environment.
const QUESTION: &str = "import json, os, platform, sys
print(json.dumps({
    'executable': os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable),
    'implementation': sys.implementation.name,
    'version': platform.python_version(),
    'minor': '%d.%d' % sys.version_info[:2],
    'machine': platform.machine(),
    'libc': list(platform.libc_ver()),
}))";

/// A Python of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Python {
    pub executable: PathBuf,
    pub version: String,
    /// What it runs on.
    pub target: Target,
}

#[derive(Deserialize)]
struct Answer {
    executable: PathBuf,
    implementation: String,
    version: String,
    minor: String,
    machine: String,
    libc: [String; 2],
}

/// The Pythons that may build for a target, the one that fits best first; and why others may not. `named` is the only
/// one if the user names it. Blocks.
pub(super) fn find(target: Target, named: Option<&Path>) -> (Vec<Python>, Vec<String>) {
    let mut tried = Vec::new();
    let mut found: Vec<Python> = Vec::new();
    let own = format!("python{}", target.python);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&paths).filter(|folder| folder.is_absolute()).collect();
    let candidates: Vec<PathBuf> = match named {
        Some(named) => vec![named.to_owned()],
        None => [own.as_str(), "python3", "python"]
            .iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
            .filter(|path| path.is_file())
            .collect(),
    };
    for candidate in candidates {
        match ask(&candidate) {
            Ok(python) if found.iter().any(|known| known.executable == python.executable) => {}
            Ok(python) => {
                let fits = python.target.python == target.python;
                found.push(python);
                if fits {
                    break;
                }
            }
            Err(reason) => tried.push(format!("{} ({reason})", candidate.display())),
        }
    }
    found.sort_by_key(|python| python.target.python != target.python);
    (found, tried)
}

/// What a Python is, or why it is of no use.
fn ask(executable: &Path) -> Result<Python, String> {
    let mut command = Command::new(executable);
    command.args(["-I", "-c", QUESTION]);
    let ended = process::run(&mut command, PATIENCE, Keep::Answer).map_err(|error| error.to_string())?;
    if !ended.succeeded() {
        return Err("it does not run".to_owned());
    }
    let answer: Answer =
        serde_json::from_str(ended.output.trim()).map_err(|_| "it does not tell what it is".to_owned())?;
    if answer.implementation != "cpython" {
        return Err(format!("it is {}, not CPython", answer.implementation.escape_debug()));
    }
    let minor: PythonMinor = answer.minor.parse().map_err(|_| format!("it is Python {}", answer.version))?;
    let arch = [Arch::Amd64, Arch::Arm64].into_iter().find(|arch| arch.machine() == answer.machine);
    let arch = arch.ok_or_else(|| format!("it is for {}", answer.machine.escape_debug()))?;
    Ok(Python {
        executable: answer.executable,
        version: answer.version,
        target: Target { python: minor, platform: Platform { arch }, libc: libc(&answer.libc) },
    })
}

/// The C library. Where Python does not know it, it is no GNU libc; musl is what there is besides.
fn libc([name, version]: &[String; 2]) -> Libc {
    let glibc = || {
        let (major, minor) = version.split_once('.')?;
        let minor = minor.split('.').next()?;
        Some(Libc::Glibc { major: major.parse().ok()?, minor: minor.parse().ok()? })
    };
    let known = if name == "glibc" { glibc() } else { None };
    known.unwrap_or(Libc::Musl { major: 1, minor: 2 })
}

/// Why a wheel with compiled parts that a Python builds does not run on a target, if it does not.
pub(super) fn mismatch(python: &Python, target: Target) -> Option<String> {
    let own = python.target;
    if own.python != target.python {
        return Some(format!("it was built by Python {}", own.python));
    }
    if own.platform != target.platform {
        return Some(format!("it was built on {}", own.platform));
    }
    let fits = match (own.libc, target.libc) {
        (Libc::Glibc { major: a, minor: b }, Libc::Glibc { major: c, minor: d })
        | (Libc::Musl { major: a, minor: b }, Libc::Musl { major: c, minor: d }) => a == c && b <= d,
        _ => false,
    };
    (!fits).then(|| format!("it was built against {}", own.libc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compiled_runs_where_the_c_library_is_as_new() {
        let target = |python: &str, platform: &str, libc: &str| Target {
            python: python.parse().unwrap(),
            platform: platform.parse().unwrap(),
            libc: libc.parse().unwrap(),
        };
        let own = target("3.11", "linux/amd64", "glibc-2.36");
        let python = Python { executable: "/p".into(), version: "3.11.2".into(), target: own };
        for (python_minor, platform, libc, reason) in [
            ("3.11", "linux/amd64", "glibc-2.36", None),
            ("3.11", "linux/amd64", "glibc-2.41", None),
            ("3.11", "linux/amd64", "glibc-2.28", Some("glibc-2.36")),
            ("3.11", "linux/amd64", "musl-1.2", Some("glibc-2.36")),
            ("3.11", "linux/arm64", "glibc-2.36", Some("linux/amd64")),
            ("3.12", "linux/amd64", "glibc-2.36", Some("Python 3.11")),
        ] {
            let found = mismatch(&python, target(python_minor, platform, libc));
            assert_eq!(found.is_some(), reason.is_some());
            assert!(found.unwrap_or_default().contains(reason.unwrap_or_default()));
        }
    }
}
