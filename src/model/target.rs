//! Targets: the Python, platform and C library that wheels are chosen for.

use std::fmt;
use std::str::FromStr;

use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};
use serde::{Deserialize, Serialize};

use super::wheel::WheelName;

/// A CPython minor version, such as 3.11.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PythonMinor {
    /// The major version; always 3.
    pub major: u8,
    /// The minor version.
    pub minor: u8,
}

/// The text names no supported Python, platform or C library.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not {expected}")]
pub struct TargetError {
    /// The text as given.
    pub text: String,
    /// What would be right.
    pub expected: &'static str,
}

impl FromStr for PythonMinor {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let err = || TargetError {
            text: text.chars().take(100).collect(),
            expected: "a Python version such as 3.11 (3.7 or newer)",
        };
        let (major, minor) = text.split_once('.').ok_or_else(err)?;
        let this =
            Self { major: major.parse().map_err(|_| err())?, minor: minor.parse().map_err(|_| err())? };
        if this.major == 3 && this.minor >= 7 && this.to_string() == text { Ok(this) } else { Err(err()) }
    }
}

impl fmt::Display for PythonMinor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl TryFrom<String> for PythonMinor {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<PythonMinor> for String {
    fn from(python: PythonMinor) -> Self {
        python.to_string()
    }
}

/// A processor architecture, by its OCI name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

impl Arch {
    /// The name in OCI documents (Go's `GOARCH`).
    pub fn oci(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The name in wheel tags and in `platform_machine` (the kernel's).
    pub fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

/// An operating system and architecture: `linux/amd64` or `linux/arm64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// The architecture; the system is always Linux.
    pub arch: Arch,
}

impl Platform {
    /// The platform this program runs on, where it is one that images are built for; `linux/amd64` otherwise.
    pub fn host() -> Self {
        Self { arch: if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::Amd64 } }
    }
}

impl FromStr for Platform {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        match text {
            "linux/amd64" => Ok(Self { arch: Arch::Amd64 }),
            "linux/arm64" | "linux/arm64/v8" => Ok(Self { arch: Arch::Arm64 }),
            _ => Err(TargetError {
                text: text.chars().take(100).collect(),
                expected: "a supported platform (linux/amd64 or linux/arm64)",
            }),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.arch.oci())
    }
}

/// A C library and its version: the newest one that binary wheels may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Libc {
    /// GNU libc (manylinux wheels).
    Glibc {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// musl (musllinux wheels).
    Musl {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
}

impl fmt::Display for Libc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glibc { major, minor } => write!(f, "glibc-{major}.{minor}"),
            Self::Musl { major, minor } => write!(f, "musl-{major}.{minor}"),
        }
    }
}

impl FromStr for Libc {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let parse = || {
            let (kind, version) = text.split_once('-')?;
            let (major, minor) = version.split_once('.')?;
            let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
            match kind {
                "glibc" => Some(Self::Glibc { major, minor }),
                "musl" => Some(Self::Musl { major, minor }),
                _ => None,
            }
        };
        parse().ok_or_else(|| TargetError {
            text: text.chars().take(100).collect(),
            expected: "a C library such as glibc-2.36 or musl-1.2",
        })
    }
}

impl TryFrom<String> for Libc {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Libc> for String {
    fn from(libc: Libc) -> Self {
        libc.to_string()
    }
}

/// What an environment is resolved for: CPython X.Y on a platform with a C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The CPython minor version.
    pub python: PythonMinor,
    /// The platform.
    pub platform: Platform,
    /// The C library that the wheels must get along with.
    pub libc: Libc,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPython {} on {} ({})", self.python, self.platform, self.libc)
    }
}

impl Target {
    /// The values that markers are evaluated with. The patch release is not part of a target: `python_full_version`
    /// is `X.Y.0`, and kernel release and version are empty, so that a lock does not depend on the machine.
    pub fn marker_environment(&self) -> MarkerEnvironment {
        let version = self.python.to_string();
        let full = format!("{version}.0");
        let built = MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
            implementation_name: "cpython",
            implementation_version: &full,
            os_name: "posix",
            platform_machine: self.platform.arch.machine(),
            platform_python_implementation: "CPython",
            platform_release: "",
            platform_system: "Linux",
            platform_version: "",
            python_full_version: &full,
            python_version: &version,
            sys_platform: "linux",
        });
        match built {
            Ok(environment) => environment,
            Err(_) => unreachable!("X.Y.0 is a valid version"),
        }
    }

    /// How well a wheel fits, 0 being best; `None` if it does not fit at all. The order is the one of the platform
    /// compatibility tags specification: this Python's own ABI, the stable ABI, no ABI; newer platform tags first.
    pub fn wheel_rank(&self, wheel: &WheelName) -> Option<u32> {
        let mut best = None;
        for platform in &wheel.platform {
            let Some(platform_rank) = self.platform_rank(platform) else { continue };
            for python in &wheel.python {
                for abi in &wheel.abi {
                    let Some(rank) = self.python_rank(python, abi, platform == "any") else { continue };
                    let rank = rank * 1000 + platform_rank;
                    best = Some(best.map_or(rank, |b: u32| b.min(rank)));
                }
            }
        }
        best
    }

    /// The rank of a platform tag: `any` is last, `linux_*` just before it, newer C libraries first.
    fn platform_rank(&self, tag: &str) -> Option<u32> {
        if tag == "any" {
            return Some(999);
        }
        let machine = self.platform.arch.machine();
        let tag = tag.strip_suffix(machine)?.strip_suffix('_')?;
        if tag == "linux" {
            return Some(998);
        }
        let (family, legacy) = match tag {
            "manylinux1" => ("manylinux", Some((2, 5))),
            "manylinux2010" => ("manylinux", Some((2, 12))),
            "manylinux2014" => ("manylinux", Some((2, 17))),
            _ => (tag.split_once('_')?.0, None),
        };
        let (major, minor): (u16, u16) = match legacy {
            Some(version) => version,
            None => {
                let (major, minor) = tag.split_once('_')?.1.split_once('_')?;
                (major.parse().ok()?, minor.parse().ok()?)
            }
        };
        // manylinux1 and manylinux2010 were defined for Intel processors only, manylinux for Arm starts at 2.17.
        if family == "manylinux" && self.platform.arch == Arch::Arm64 && (major, minor) < (2, 17) {
            return None;
        }
        let (ours, theirs) = match (self.libc, family) {
            (Libc::Glibc { major: m, minor: n }, "manylinux")
            | (Libc::Musl { major: m, minor: n }, "musllinux") => ((m, n), (major, minor)),
            _ => return None,
        };
        // Only the same major version of a C library promises compatibility.
        let distance = ours.1.checked_sub(theirs.1)?;
        (ours.0 == theirs.0).then(|| u32::from(distance).min(498) * 2 + u32::from(legacy.is_some()))
    }

    /// The rank of a Python and ABI tag pair.
    fn python_rank(&self, python: &str, abi: &str, any_platform: bool) -> Option<u32> {
        let (major, minor) = (self.python.major, self.python.minor);
        let tag_minor = |prefix: &str| -> Option<u8> { python.strip_prefix(prefix)?.parse().ok() };
        if python == format!("cp{major}{minor}") {
            // Up to 3.7, the ABI tag carried an `m`.
            let own = if minor < 8 { format!("cp{major}{minor}m") } else { format!("cp{major}{minor}") };
            return match abi {
                _ if abi == own => Some(0),
                "abi3" => Some(1),
                "none" => Some(2),
                _ => None,
            };
        }
        if let Some(older) = tag_minor(&format!("cp{major}")) {
            return (abi == "abi3" && (2..minor).contains(&older)).then(|| 3 + u32::from(minor - older));
        }
        if abi != "none" {
            return None;
        }
        let base = if any_platform { 400 } else { 200 };
        if python == format!("py{major}{minor}") {
            return Some(base);
        }
        if python == format!("py{major}") {
            return Some(base + 1);
        }
        let older = tag_minor(&format!("py{major}"))?;
        (older < minor).then(|| base + 2 + u32::from(minor - older))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(arch: Arch, libc: &str) -> Target {
        Target {
            python: PythonMinor { major: 3, minor: 11 },
            platform: Platform { arch },
            libc: libc.parse().unwrap(),
        }
    }

    fn rank(target: &Target, tags: &str) -> Option<u32> {
        target.wheel_rank(&format!("a-1-{tags}.whl").parse().unwrap())
    }

    #[test]
    fn better_tags_come_first() {
        let target = target(Arch::Amd64, "glibc-2.36");
        let ranks: Vec<_> = [
            "cp311-cp311-manylinux_2_28_x86_64",
            "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
            "cp311-cp311-manylinux2014_x86_64",
            "cp311-cp311-manylinux1_x86_64",
            "cp311-cp311-linux_x86_64",
            "cp311-abi3-manylinux_2_17_x86_64",
            "cp311-none-any",
            "cp39-abi3-manylinux_2_28_x86_64",
            "cp38-abi3-manylinux_2_28_x86_64",
            "py3-none-manylinux_2_17_x86_64",
            "py311-none-any",
            "py2.py3-none-any",
            "py310-none-any",
        ]
        .iter()
        .map(|tags| rank(&target, tags).unwrap_or_else(|| panic!("{tags} fits")))
        .collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
    }

    #[test]
    fn what_cannot_run_does_not_fit() {
        let amd64 = target(Arch::Amd64, "glibc-2.28");
        for tags in [
            "cp311-cp311-manylinux_2_29_x86_64",
            "cp311-cp311-manylinux_2_17_aarch64",
            "cp311-cp311-musllinux_1_1_x86_64",
            "cp311-cp311-macosx_11_0_arm64",
            "cp311-cp311-win_amd64",
            "cp310-cp310-manylinux_2_17_x86_64",
            "cp312-abi3-manylinux_2_17_x86_64",
            "cp311-cp311t-manylinux_2_17_x86_64",
            "py312-none-any",
            "py2-none-any",
            "pp311-pypy311_pp73-manylinux_2_17_x86_64",
        ] {
            assert_eq!(rank(&amd64, tags), None, "{tags}");
        }
        assert!(rank(&target(Arch::Amd64, "musl-1.2"), "cp311-cp311-musllinux_1_1_x86_64").is_some());
        assert_eq!(rank(&target(Arch::Arm64, "glibc-2.36"), "cp311-cp311-manylinux2010_aarch64"), None);
    }

    #[test]
    fn python_versions_are_major_and_minor() {
        assert_eq!("3.11".parse(), Ok(PythonMinor { major: 3, minor: 11 }));
        for bad in ["3", "3.11.2", "2.7", "3.x", "", "3.6", "3.011"] {
            assert!(bad.parse::<PythonMinor>().is_err(), "{bad}");
        }
    }
}
