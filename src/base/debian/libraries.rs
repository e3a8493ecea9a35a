//! `/etc/ld.so.cache`: where the loader finds each library, and the list that `ldconfig -p` prints, which
//! `ctypes.util.find_library` goes by.
//!
//! The form is the one that glibc has written alone since 2.32 and reads since 2.2: a header, one entry a library, the names
//! and paths. The loader looks for a name by bisection, so the order of the entries is a part of the form.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::Bytes;

use super::control::Paragraph;
use super::package::{Facts, LOADER_SETTINGS, merged};
use crate::model::Arch;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// That numbers are written with the lowest byte first.
const LITTLE_ENDIAN: u8 = 2;
/// Where the loader looks besides what its settings name.
const DIRECTORIES: [&str; 2] = ["/lib", "/usr/lib"];

/// Whether a file of this name is a library to the loader's tools.
pub(super) fn is_named_so(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    (name.starts_with("lib") || name.starts_with("ld-")) && name.contains(".so") && !name.ends_with(".py")
}

/// The cache for the libraries of packages.
pub(super) fn cache(packages: &[&Facts]) -> Vec<u8> {
    let architecture = |facts: &&Facts| {
        let control = Paragraph::parse(&facts.control)?;
        let is = |arch: Arch| (control.get("Architecture") == Some(arch.oci())).then_some(arch);
        is(Arch::Amd64).or(is(Arch::Arm64))
    };
    let arch = packages.iter().find_map(architecture);
    written(&libraries(packages), arch.unwrap_or(Arch::Amd64))
}

/// The names of libraries that programs ask for, and their paths.
fn libraries(packages: &[&Facts]) -> BTreeMap<String, String> {
    let known: BTreeMap<&str, Option<&str>> = packages
        .iter()
        .flat_map(|facts| &facts.libraries)
        .map(|(path, target)| (&**path, target.as_deref()))
        .collect();
    let settings: BTreeMap<&str, &str> = packages
        .iter()
        .flat_map(|facts| &facts.kept)
        .filter(|(path, _)| path.starts_with(LOADER_SETTINGS) && path.ends_with(".conf"))
        .map(|(path, text)| (&**path, &**text))
        .collect();
    let named = settings.values().flat_map(|text| text.lines()).map(str::trim);
    let named = named.filter(|line| line.starts_with('/')).chain(DIRECTORIES);
    let (mut found, mut seen) = (BTreeMap::new(), BTreeSet::new());
    for directory in named.map(|line| line.trim_end_matches('/')) {
        let place = merged(&format!("{}/", directory.trim_start_matches('/')));
        if !seen.insert(place.clone()) {
            continue;
        }
        let here = || {
            let all = known.range(&*place..).take_while(|(path, _)| path.starts_with(&place));
            all.filter_map(|(path, target)| Some((path.strip_prefix(&place)?, *target)))
                .filter(|(name, _)| !name.contains('/'))
        };
        // Programs ask for the name of the link, `libz.so.1`; what it leads to is named as its maker likes. Links without a
        // number are for building.
        let links = here().filter(|(name, _)| !name.ends_with(".so")).filter_map(|(_, target)| target);
        let versioned: BTreeSet<&str> =
            links.map(|target| target.rsplit('/').next().unwrap_or(target)).collect();
        for (name, target) in here() {
            let is_there = match target {
                None => !versioned.contains(name),
                Some(target) => leads_to_a_library(&known, &place, target),
            };
            if is_there {
                found.entry(name.to_owned()).or_insert_with(|| format!("{directory}/{name}"));
            }
        }
    }
    found
}

/// Whether a link in a directory leads to a library that is there.
fn leads_to_a_library(known: &BTreeMap<&str, Option<&str>>, directory: &str, target: &str) -> bool {
    let mut target = target.to_owned();
    for _ in 0..8 {
        let path = match target.strip_prefix('/') {
            Some(path) => merged(path),
            None => format!("{directory}{target}"),
        };
        match known.get(&*path) {
            Some(Some(next)) => target = (*next).to_owned(),
            found => return found.is_some(),
        }
    }
    false
}

fn written(libraries: &BTreeMap<String, String>, arch: Arch) -> Vec<u8> {
    // A library for the GNU C library, and for which processor.
    let kind: u32 = match arch {
        Arch::Amd64 => 0x0303,
        Arch::Arm64 => 0x0a03,
    };
    let mut sorted: Vec<(&String, &String)> = libraries.iter().collect();
    sorted.sort_by(|a, b| compare(b.0, a.0));
    let mut strings: Vec<u8> = Vec::new();
    let start = HEADER + ENTRY * sorted.len();
    let mut place = |text: &str| {
        let at = start + strings.len();
        strings.extend(text.bytes().chain([0]));
        number(at)
    };
    let mut entries = Vec::new();
    for (name, path) in sorted {
        let (name, path) = (place(name), place(path));
        for field in [kind, name, path, 0, 0, 0] {
            entries.extend(field.to_le_bytes());
        }
    }
    let mut cache = MAGIC.to_vec();
    cache.extend(number(libraries.len()).to_le_bytes());
    cache.extend(number(strings.len()).to_le_bytes());
    cache.push(LITTLE_ENDIAN);
    cache.resize(HEADER, 0);
    [cache, entries, strings].concat()
}

/// Sizes of a few thousand names: far from the end of the numbers.
fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// The loader's order of names: numbers in them count as numbers, and come after everything else.
fn compare(first: &str, second: &str) -> Ordering {
    let (mut a, mut b) = (first.bytes().peekable(), second.bytes().peekable());
    loop {
        let is_digit = |bytes: &mut Peekable<Bytes<'_>>| bytes.peek().is_some_and(u8::is_ascii_digit);
        let order = match (is_digit(&mut a), is_digit(&mut b)) {
            (true, true) => digits(&mut a).cmp(&digits(&mut b)),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => match (a.next(), b.next()) {
                (None, None) => return Ordering::Equal,
                (one, other) => one.cmp(&other),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn digits(bytes: &mut Peekable<Bytes<'_>>) -> u64 {
    let mut value = 0_u64;
    while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
        value = value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    }
    value
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn facts(libraries: &[(&str, Option<&str>)]) -> Facts {
        let own = |(path, target): &(&str, Option<&str>)| ((*path).to_owned(), target.map(str::to_owned));
        let settings = "# Multiarch support\n/usr/local/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu\n/usr/lib/x86_64-linux-gnu\n";
        Facts {
            control: "Package: libc6\nArchitecture: amd64\n".to_owned(),
            libraries: libraries.iter().map(own).collect(),
            kept: BTreeMap::from([(format!("{LOADER_SETTINGS}x.conf"), settings.to_owned())]),
            ..Facts::default()
        }
    }

    #[test]
    fn programs_find_libraries_by_the_names_that_they_ask_for() {
        let facts = facts(&[
            ("usr/lib/x86_64-linux-gnu/libc.so.6", None),
            ("usr/lib/x86_64-linux-gnu/libz.so.1", Some("libz.so.1.2.13")),
            ("usr/lib/x86_64-linux-gnu/libz.so.1.2.13", None),
            ("usr/lib/x86_64-linux-gnu/libgcc_s.so", Some("libgcc_s.so.1")),
            ("usr/lib/x86_64-linux-gnu/libgcc_s.so.1", None),
            ("usr/lib/x86_64-linux-gnu/libgone.so.1", Some("libgone.so.1.0")),
            ("usr/lib/x86_64-linux-gnu/libcycle.so.1", Some("libcycle.so.1")),
            ("usr/lib/x86_64-linux-gnu/deeper/libplugin.so", None),
            ("usr/lib/libold.so.5", None),
            ("opt/libother.so.1", None),
        ]);
        let found = libraries(&[&facts]);
        let found: Vec<_> = found.iter().map(|(name, path)| format!("{name} {path}")).collect();
        let expected = [
            "libc.so.6 /lib/x86_64-linux-gnu/libc.so.6",
            "libgcc_s.so /lib/x86_64-linux-gnu/libgcc_s.so",
            "libgcc_s.so.1 /lib/x86_64-linux-gnu/libgcc_s.so.1",
            "libold.so.5 /lib/libold.so.5",
            "libz.so.1 /lib/x86_64-linux-gnu/libz.so.1",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["liba.so.10", "liba.so.9", "liba.so", "libab.so.1", "lib2.so.1", "liba.so.9.1"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(names, ["liba.so", "liba.so.9", "liba.so.9.1", "liba.so.10", "libab.so.1", "lib2.so.1"]);
        assert_eq!(compare("libx.so.1", "libx.so.01"), Ordering::Equal);
    }

    #[test]
    fn the_loaders_own_program_reads_it() {
        let libraries: BTreeMap<String, String> = ["libz.so.1", "libz.so.10", "libm.so.6", "ld-linux.so.2"]
            .map(|name| (name.to_owned(), format!("/lib/x86_64-linux-gnu/{name}")))
            .into();
        for (arch, shown) in [(Arch::Amd64, "libc6,x86-64"), (Arch::Arm64, "libc6,AArch64")] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), written(&libraries, arch)).unwrap();
            let output =
                Command::new("/sbin/ldconfig").arg("-C").arg(file.path()).arg("-p").output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let listed = String::from_utf8(output.stdout).unwrap();
            let listed: Vec<&str> = listed.lines().skip(1).filter(|line| line.starts_with('\t')).collect();
            let expected: Vec<String> = ["libz.so.10", "libz.so.1", "libm.so.6", "ld-linux.so.2"]
                .map(|name| format!("\t{name} ({shown}) => /lib/x86_64-linux-gnu/{name}"))
                .into();
            assert_eq!(listed, expected);
        }
    }
}
