//! `pylock.toml`: what is written can be read again, means the same to everyone, and nothing in it is believed unchecked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bakehouse::lock::{self, Error, Freshness, Inputs, Lock, Written, freshness, parse, to_toml};
use bakehouse::model::{
    Archive, ArchiveKind, Digest, ExitCode, Origin, PackageName, Pin, Requirement, Target,
};
use url::Url;

const DIRECTORY: &str = "/project/flows/train";
const GOLDEN: &str = "testdata/lock/pylock.toml";

fn target() -> Target {
    Target {
        python: "3.11".parse().unwrap(),
        platform: "linux/amd64".parse().unwrap(),
        libc: "glibc-2.36".parse().unwrap(),
    }
}

fn requirements(texts: &[&str]) -> Vec<Requirement> {
    texts.iter().map(|text| Requirement::parse(text, Origin::line("pyproject.toml", 3)).unwrap()).collect()
}

fn pin(name: &str, version: &str, tags: &str, dependencies: &[&str]) -> Pin {
    let file_name = format!("{}-{version}-{tags}.whl", name.replace('-', "_"));
    Pin {
        name: name.parse().unwrap(),
        version: version.parse().unwrap(),
        index: Some("https://index.example/simple/".parse().unwrap()),
        direct_url: None,
        archive: Archive {
            kind: ArchiveKind::Wheel(file_name.parse().unwrap()),
            url: format!("https://files.example/ab/{file_name}").parse().unwrap(),
            size: Some(12345),
            sha256: Some(Digest::of(file_name.as_bytes())),
            file_name,
        },
        built: None,
        requires_python: Some(">=3.9".parse().unwrap()),
        dependencies: dependencies.iter().map(|name| name.parse().unwrap()).collect(),
    }
}

fn direct(name: &str, url: &str) -> Pin {
    let mut pin = pin(name, "1.0", "py3-none-any", &[]);
    let url: Url = url.parse().unwrap();
    pin.archive.url = url.clone();
    (pin.index, pin.direct_url, pin.requires_python) = (None, Some(url), None);
    pin
}

fn inputs<'a>(requirements: &'a [Requirement], hashes: &'a BTreeMap<PackageName, Vec<Digest>>) -> Inputs<'a> {
    Inputs {
        requirements,
        constraints: &[],
        overrides: &[],
        hashes,
        target: target(),
        options: "",
        indexes: &[],
        sources: &[],
        base: &[],
    }
}

fn sample() -> Lock {
    let requirements =
        requirements(&["Web_App[server]>=1,<2", "numpy>=2 ; python_version >= '3.9'", "own", "near"]);
    let pins = vec![
        pin("web-app", "1.4", "py3-none-any", &["click", "numpy"]),
        pin("numpy", "2.1.0+local.1", "cp311-cp311-manylinux_2_28_x86_64", &[]),
        pin("click", "8.1.0", "py3-none-any", &[]),
        direct("own", "https://files.example/own/own-1.0-py3-none-any.whl"),
        direct("near", "file:///project/wheels/near-1.0-py3-none-any.whl"),
    ];
    Lock::new(&inputs(&requirements, &BTreeMap::new()), pins)
}

fn text() -> String {
    to_toml(&sample(), Path::new(DIRECTORY))
}

fn read(text: &str) -> Result<Lock, Error> {
    parse(text, &Path::new(DIRECTORY).join("pylock.toml"), target())
}

#[test]
fn a_lock_reads_back_as_it_was_written() {
    assert_eq!(read(&text()).unwrap(), sample());
}

#[test]
fn locks_for_several_platforms_share_a_file_and_read_back_as_they_were() {
    let requirements = requirements(&["app"]);
    let none = BTreeMap::new();
    let arm = Target { platform: "linux/arm64".parse().unwrap(), ..target() };
    let native = |version: &str, machine: &str| {
        pin("native", version, &format!("cp311-cp311-manylinux_2_28_{machine}"), &[])
    };
    let common =
        |needs: &[&str]| vec![pin("app", "1.0", "py3-none-any", needs), pin("b", "1.0", "py3-none-any", &[])];
    let lock =
        |target: Target, pins: Vec<Pin>| Lock::new(&Inputs { target, ..inputs(&requirements, &none) }, pins);
    let both = |amd64: Vec<Pin>, arm64: Vec<Pin>| [lock(target(), amd64), lock(arm, arm64)];
    let with = |mut pins: Vec<Pin>, more: Pin| {
        pins.push(more);
        pins
    };
    // How many entries there are: one a name where it can be one.
    let specific = || pin("b", "1.0", "cp311-cp311-manylinux_2_28_aarch64", &[]);
    for (entries, markers, locks) in [
        (2, 0, both(common(&["b"]), common(&["b"]))),
        (3, 0, both(with(common(&[]), native("1.0", "x86_64")), with(common(&[]), native("1.0", "aarch64")))),
        (4, 2, both(with(common(&[]), native("1.0", "x86_64")), with(common(&[]), native("1.1", "aarch64")))),
        // What one depends on and the other has without depending on it.
        (3, 2, both(common(&["b"]), common(&[]))),
        // What only one has, and what depends on it.
        (3, 1, both(with(common(&["native"]), native("1.0", "x86_64")), common(&[]))),
        // One has the wheel for any platform, the other a better one.
        (2, 0, both(common(&[]), vec![pin("app", "1.0", "py3-none-any", &[]), specific()])),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pylock.toml");
        assert_eq!(lock::write_all(&path, &locks).unwrap(), Written::Written);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(lock::parse_all(&text, &path, &[target()]).unwrap(), locks, "{text}");
        assert_eq!(parse(&text, &path, arm).unwrap(), locks[1]);
        assert_eq!(text.matches("[[packages]]").count(), entries, "{text}");
        assert_eq!(text.matches("\nmarker = ").count(), markers, "{text}");
    }
    let twice = text().replace(
        "targets = [{",
        "targets = [{ python = \"3.11\", platform = \"linux/amd64\", libc = \"glibc-2.36\" }, {",
    );
    assert!(read(&twice).unwrap_err().to_string().contains("more than once"));
}

#[test]
fn the_text_is_pinned() {
    // To accept a new text, write it there; whoever has locks then sees them change, so the format version must too.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("ACCEPT").is_some() {
        fs::write(&path, text()).unwrap();
    }
    assert_eq!(text(), fs::read_to_string(path).unwrap());
}

#[test]
fn the_order_of_what_goes_in_does_not_matter() {
    let mut texts = ["b>=2,<3", "a[y,x]", "c"];
    let none = BTreeMap::new();
    let make = |texts: &[&str], reverse: bool| {
        let mut pins = vec![pin("b", "2", "py3-none-any", &[]), pin("a", "1", "py3-none-any", &["b", "c"])];
        if reverse {
            pins.reverse();
        }
        to_toml(&Lock::new(&inputs(&requirements(texts), &none), pins), Path::new("/"))
    };
    let first = make(&texts, false);
    texts.reverse();
    texts[1] = "A[X, Y]";
    assert_eq!(make(&texts, true), first);
}

#[test]
fn a_lock_is_fresh_while_its_inputs_are_the_same() {
    let none = BTreeMap::new();
    let before = requirements(&["a>=1", "b"]);
    let lock = Lock::new(&inputs(&before, &none), Vec::new());
    let mut moved = requirements(&["b", "a >= 1"]);
    moved[0].origin = Origin::line("requirements.txt", 9);
    assert_eq!(freshness(&lock, &inputs(&moved, &none)), Freshness::Fresh);

    let reason = |inputs: &Inputs<'_>| match freshness(&lock, inputs) {
        Freshness::Stale(reason) => reason,
        other => panic!("{other:?}"),
    };
    let changed = requirements(&["a>=2", "b", "c"]);
    assert_eq!(reason(&inputs(&changed, &none)), "`a>=2`, `c` is required now, `a>=1` no longer");
    let other = Target { platform: "linux/arm64".parse().unwrap(), ..target() };
    assert!(reason(&Inputs { target: other, ..inputs(&before, &none) }).contains("linux/arm64"));
    let hashes = BTreeMap::from([("a".parse().unwrap(), vec![Digest::of(b"")])]);
    let indexes: Vec<Url> = vec!["https://u:p@index.example/simple/".parse().unwrap()];
    for changed in [
        Inputs { constraints: &before, ..inputs(&before, &none) },
        Inputs { overrides: &before, ..inputs(&before, &none) },
        Inputs { sources: &["no-index".to_owned()], ..inputs(&before, &none) },
        Inputs { indexes: &indexes, ..inputs(&before, &none) },
        inputs(&before, &hashes),
    ] {
        assert!(reason(&changed).contains("changed since it was made"));
    }
    let options = Inputs { options: "prerelease=allow", ..inputs(&before, &none) };
    assert_eq!(reason(&options), "it was made with the default options, not with `prerelease=allow`");
    let without: Vec<Url> = vec!["https://index.example/simple/".parse().unwrap()];
    assert_eq!(
        Inputs { indexes: &indexes, ..inputs(&before, &none) }.key(),
        Inputs { indexes: &without, ..inputs(&before, &none) }.key(),
        "credentials do not count"
    );
}

#[test]
fn writing_is_all_or_nothing_and_touches_nothing_without_need() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pylock.toml");
    assert_eq!(lock::write(&path, &sample()).unwrap(), Written::Written);
    assert_eq!(lock::write(&path, &sample()).unwrap(), Written::Unchanged);
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(parse(&written, &path, target()).unwrap(), sample());

    let mut unhashed = sample();
    unhashed.pins[0].archive.sha256 = None;
    let error = lock::write(&path, &unhashed).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Integrity);
    assert!(lock::write(&directory.path().join("missing/pylock.toml"), &sample()).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing half-written stays behind");
}

#[test]
fn no_credentials_are_written() {
    let mut lock = sample();
    let secret: Url = "https://user:secret@index.example/simple/".parse().unwrap();
    lock.pins[0].index = Some(secret.clone());
    lock.pins[1].archive.url = secret.clone();
    lock.pins[2].direct_url = Some(secret);
    let requirements = requirements(&["a @ https://user:secret@files.example/a-1-py3-none-any.whl"]);
    let other = Lock::new(&inputs(&requirements, &BTreeMap::new()), Vec::new());
    for lock in [lock, other] {
        assert!(!to_toml(&lock, Path::new(DIRECTORY)).contains("secret"));
    }
}

#[test]
fn a_broken_lock_is_refused_with_its_place_and_a_way_out() {
    let whole = text();
    let line = |needle: &str| {
        u32::try_from(whole.lines().position(|line| line.contains(needle)).unwrap()).unwrap() + 1
    };
    let hash = Digest::of(b"click-8.1.0-py3-none-any.whl").hex();
    let click = "https://files.example/ab/click-8.1.0-py3-none-any.whl";
    for (from, to, place) in [
        ("lock-version = \"1.0\"", "lock-version = \"2.0\"", Some(1)),
        ("lock-version = \"1.0\"", "lock-version = 1", Some(1)),
        ("version = \"8.1.0\"", "version = \"8.1.1\"", None),
        ("version = \"8.1.0\"", "version = \"x\"", Some(line("\"8.1.0\""))),
        ("version = \"8.1.0\"", "version = \"8.1.0", Some(line("\"8.1.0\""))),
        ("name = \"click\"", "name = \"numpy\"", None),
        ("name = \"click\"", "name = \"../x\"", None),
        ("wheels/near", "wheels/near\\u0000", None),
        (&format!("hashes = {{ sha256 = \"{hash}\" }}"), "hashes = { md5 = \"00\" }", Some(line(&hash))),
        (&hash, "abc", Some(line(&hash))),
        (
            &format!("url = \"{click}\""),
            "url = \"ftp://files.example/click-8.1.0-py3-none-any.whl\"",
            Some(line(click)),
        ),
        (&format!("url = \"{click}\""), "url = \"https://u:secret@files.example/c.whl\"", Some(line(click))),
        (
            "name = \"click-8.1.0-py3-none-any.whl\"",
            "name = \"../click-8.1.0-py3-none-any.whl\"",
            Some(line(click)),
        ),
        ("size = 12345", "size = -1", None),
        ("size = 12345", "size = \"big\"", None),
        ("py3-none-any.whl\", url", "cp312-cp312-any.whl\", url", None),
        ("[tool.bakehouse]", "[tool.other]", None),
        ("inputs = \"", "inputs = \"x", Some(line("inputs ="))),
        ("platform = \"linux/amd64\"", "platform = \"plan9/mips\"", Some(line("targets ="))),
        ("dependencies = [", "dependencies = [1,", None),
        ("created-by = \"bakehouse\"\n", "", None),
    ] {
        let broken = whole.replace(from, to);
        assert_ne!(broken, whole, "{from}");
        let error = read(&broken).expect_err(to);
        assert!(matches!(error, Error::Unreadable { .. }), "{to}: {error}");
        assert_eq!(error.exit_code(), ExitCode::Project);
        assert!(error.hint().unwrap().contains("bakehouse lock --upgrade"));
        let text = error.to_string();
        assert!(!text.contains("secret"), "{text}");
        if let Some(line) = place {
            let place = format!("{DIRECTORY}/pylock.toml:{line}: ");
            assert!(text.starts_with(&place), "{to}: {text} is not at {place}");
        }
    }
}

#[test]
fn any_damage_is_an_error_and_never_a_crash() {
    let whole = text();
    for end in (0..whole.len()).step_by(7) {
        let _ = read(&whole[..end]);
        let mut bytes = whole.clone().into_bytes();
        bytes[end] = b'[';
        let _ = read(&String::from_utf8(bytes).unwrap());
    }
    let deep = format!("created-by = \"bakehouse\"\nx = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read(&deep).is_err());
}

/// As uv writes it: several wheels, markers, sdists beside wheels.
const FOREIGN: &str = r#"
lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.9"

[[packages]]
name = "Num.Py"
version = "2.0"
index = "https://index.example/simple"
dependencies = [{ name = "colorama" }, { name = "six" }]
sdist = { url = "https://files.example/num_py-2.0.tar.gz", hashes = { sha256 = "0000000000000000000000000000000000000000000000000000000000000000" } }
wheels = [
    { url = "https://files.example/num_py-2.0-py3-none-any.whl", hashes = { sha256 = "1111111111111111111111111111111111111111111111111111111111111111" } },
    { url = "https://files.example/num_py-2.0-cp311-cp311-manylinux_2_28_x86_64.whl", upload-time = 2024-01-01T00:00:00Z, size = 3, hashes = { sha256 = "2222222222222222222222222222222222222222222222222222222222222222" } },
    { url = "https://files.example/num_py-2.0-cp311-cp311-win_amd64.whl", hashes = { sha256 = "3333333333333333333333333333333333333333333333333333333333333333" } },
]

[[packages]]
name = "colorama"
version = "0.4"
marker = "sys_platform == 'win32'"
wheels = [{ path = "colorama-0.4-py3-none-any.whl", hashes = { sha256 = "4444444444444444444444444444444444444444444444444444444444444444" } }]

[[packages]]
name = "six"
archive = { path = "../wheels/six-1.0%2Bx-py3-none-any.whl", hashes = { sha256 = "5555555555555555555555555555555555555555555555555555555555555555" } }
"#;

#[test]
fn a_lock_of_another_tool_is_read_for_the_target() {
    let text = FOREIGN.replace("%2B", "+");
    let lock = read(&text).unwrap();
    assert_eq!(freshness(&lock, &inputs(&[], &BTreeMap::new())), Freshness::Foreign("uv".to_owned()));
    let names: Vec<String> = lock.pins.iter().map(|pin| format!("{} {}", pin.name, pin.version)).collect();
    assert_eq!(names, ["num-py 2.0", "six 1.0+x"]);
    assert_eq!(lock.pins[0].archive.file_name, "num_py-2.0-cp311-cp311-manylinux_2_28_x86_64.whl");
    assert_eq!(lock.pins[0].dependencies, ["six".parse().unwrap()]);
    let url = lock.pins[1].direct_url.as_ref().unwrap().as_str();
    assert_eq!(url, "file:///project/flows/wheels/six-1.0+x-py3-none-any.whl");
}

#[test]
fn what_a_foreign_lock_cannot_give_is_told() {
    let text = FOREIGN.replace("%2B", "+");
    for (from, to, reason) in [
        ("requires-python = \">=3.9\"", "requires-python = \">=3.12\"", "it is for Python >=3.12, not 3.11"),
        (
            "created-by = \"uv\"",
            "created-by = \"uv\"\nenvironments = [\"sys_platform == 'win32'\"]",
            "none of its environments",
        ),
        ("sys_platform == 'win32'", "'x' in platforms", "is not supported"),
        ("archive = {", "vcs = {", "comes from a vcs entry"),
        ("name = \"six\"", "name = \"num-py\"", "is not a wheel of"),
    ] {
        let error = read(&text.replace(from, to)).expect_err(to);
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Project);
    }
    let other: String = text
        .lines()
        .filter(|line| {
            !line.contains("manylinux") && !line.contains("none-any.whl\", hashes = { sha256 = \"1")
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let error = read(&other).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::NoResolution);
    assert!(error.to_string().contains("`num-py` has no wheel for CPython 3.11"), "{error}");
    assert!(error.to_string().contains("num_py-2.0.tar.gz"), "{error}");
}
