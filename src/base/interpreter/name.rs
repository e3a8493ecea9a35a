//! The names of archives: `cpython-3.12.5+20240814-x86_64-unknown-linux-gnu-install_only.tar.gz`.

use crate::model::{Arch, Platform, PythonMinor};

/// What an archive's name tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ArchiveName {
    pub minor: PythonMinor,
    /// The last number of the version.
    pub patch: u32,
    /// The day of the build.
    pub build: u64,
    /// Whether debugging symbols are left out.
    pub stripped: bool,
    /// Whether it is made for GNU libc.
    pub gnu: bool,
    pub platform: Platform,
}

impl ArchiveName {
    /// Reads a file's name; `None` if it is of no archive that can serve: another system, a processor newer than the
    /// baseline, a Python without its global lock, a layout that is not `install_only`.
    pub fn parse(file: &str) -> Option<Self> {
        let rest = file.strip_prefix("cpython-")?;
        let rest = [".tar.gz", ".tar.zst", ".tar"].iter().find_map(|end| rest.strip_suffix(end))?;
        let (version, rest) = rest.split_once('-')?;
        let (version, build) = version.split_once('+')?;
        let mut numbers = version.split('.');
        let minor: PythonMinor = format!("{}.{}", numbers.next()?, numbers.next()?).parse().ok()?;
        // Releases only.
        let patch = numbers.next()?.parse().ok()?;
        let (arch, rest) = rest.split_once('-')?;
        let arch = match arch {
            "x86_64" => Arch::Amd64,
            "aarch64" => Arch::Arm64,
            _ => return None,
        };
        let (gnu, flavor) = match rest.strip_prefix("unknown-linux-gnu-") {
            Some(flavor) => (true, flavor),
            None => (false, rest.strip_prefix("unknown-linux-musl-")?),
        };
        let stripped = match flavor {
            "install_only" => false,
            "install_only_stripped" => true,
            _ => return None,
        };
        Some(Self { minor, patch, build: build.parse().ok()?, stripped, gnu, platform: Platform { arch } })
    }

    /// The Python's full version.
    pub fn version(&self) -> String {
        format!("{}.{}", self.minor, self.patch)
    }

    /// How good it is among those of one place: newer is better, and a smaller one of the same.
    pub fn rank(&self) -> impl Ord + use<> {
        (self.minor, self.patch, self.build, self.gnu, self.stripped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_version_and_platform() {
        let read =
            |name: &str| ArchiveName::parse(name).map(|name| (name.version(), name.platform.to_string()));
        let some = |version: &str, platform: &str| Some((version.to_owned(), platform.to_owned()));
        assert_eq!(
            read("cpython-3.12.5+20240814-x86_64-unknown-linux-gnu-install_only.tar.gz"),
            some("3.12.5", "linux/amd64")
        );
        assert_eq!(
            read("cpython-3.9.20+20241016-aarch64-unknown-linux-musl-install_only_stripped.tar.zst"),
            some("3.9.20", "linux/arm64")
        );
        for other in [
            "cpython-3.12.5+20240814-x86_64_v3-unknown-linux-gnu-install_only.tar.gz",
            "cpython-3.13.0+20241016-x86_64-unknown-linux-gnu-freethreaded+pgo-full.tar.zst",
            "cpython-3.14.0rc1+20250808-x86_64-unknown-linux-gnu-install_only.tar.gz",
            "cpython-3.12.5+20240814-x86_64-pc-windows-msvc-install_only.tar.gz",
            "cpython-3.6.1+20240814-x86_64-unknown-linux-gnu-install_only.tar.gz",
            "SHA256SUMS",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
        let rank = |patch: &str, flavor: &str| {
            let name = format!("cpython-3.12.{patch}+20240814-x86_64-unknown-linux-gnu-{flavor}.tar.gz");
            ArchiveName::parse(&name).unwrap().rank()
        };
        assert!(rank("10", "install_only") > rank("9", "install_only_stripped"));
        assert!(rank("9", "install_only_stripped") > rank("9", "install_only"));
    }
}
