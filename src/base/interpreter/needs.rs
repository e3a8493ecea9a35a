//! Whether an interpreter would run on a base: nothing is started to find out.

use super::{Error, Interpreter};
use crate::base::contents::Contents;
use crate::model::{Arch, Libc, Platform};

/// The libraries that are GNU libc's own.
const GLIBC: [&str; 11] = [
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libanl.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libnsl.so.1",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
];

impl Interpreter {
    /// Checks that the interpreter would be loaded on a base for `platform` with these contents; `is_empty` if there is
    /// nothing at all. `archive` and `base` are for messages.
    pub fn check(
        &self,
        (contents, is_empty): (&Contents, bool),
        platform: Platform,
        archive: &str,
        base: &str,
    ) -> Result<(), Error> {
        let fails = |problem: String| {
            let (version, name, base) = (self.version.clone(), archive.to_owned(), base.to_owned());
            Err(Error::Needs { version, name, base, problem })
        };
        let facts = &self.facts;
        let machine = match platform.arch {
            Arch::Amd64 => 62,
            Arch::Arm64 => 183,
        };
        if facts.machine != machine {
            return fails(format!("it is for another processor than {platform}"));
        }
        let libc = facts.own_libc().or(contents.libc);
        let of_libc =
            |name: &str| GLIBC.contains(&name) || name.starts_with("libc.musl-") || name == "libc.so";
        // What a base has beside the C library is not known; of an empty one, that it has nothing.
        let missing: Vec<String> = facts
            .missing
            .iter()
            .filter(|(name, _)| is_empty || (libc.is_none() && of_libc(name)))
            .map(|(name, by)| format!("{name} (for {by})"))
            .collect();
        let loader = facts.loader.iter().filter(|_| !facts.own_loader && libc.is_none()).cloned();
        let missing: Vec<String> = loader.chain(missing).collect();
        if !missing.is_empty() {
            return fails(format!("it lacks {}", missing.join(", ")));
        }
        let is_gnu = facts.loader.as_ref().map(|loader| loader.contains("ld-linux"));
        match (is_gnu.filter(|_| !facts.own_loader), libc, &facts.glibc) {
            (Some(true), Some(Libc::Musl { .. }), _) => {
                fails("it is made for GNU libc, and the base has musl".into())
            }
            (Some(false), Some(Libc::Glibc { .. }), _) => {
                fails("it is made for musl, and the base has GNU libc".into())
            }
            (_, Some(Libc::Glibc { major, minor }), Some((needed, by))) if *needed > (major, minor) => {
                let (a, b) = needed;
                fails(format!("{by} needs GNU libc {a}.{b}, and there is {major}.{minor}"))
            }
            _ => Ok(()),
        }
    }
}
