//! Looking into base images: what is found in layers made by hand, and what is refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::io::{self, Cursor, Write};

use bakehouse::base::{Compression, Contents, Error, Layer, inspect, select_platform};
use bakehouse::model::{Digest, ExitCode, PythonMinor};
use tar::EntryType;

/// The bytes of a program, as far as anybody looks.
const PROGRAM: &[u8] = b"\x7fELF program";
const GLIBC: &[u8] =
    b"\x7fELF\0...\0GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\nCopyright\0...\0";

/// A layer's tar being written.
struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn entry(mut self, kind: EntryType, path: &str, target: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        // As it is: the builder would refuse what a hostile archive holds.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn program(self, path: &str) -> Self {
        self.entry(EntryType::Regular, path, "", 0o755, PROGRAM)
    }

    fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, "", 0o644, content)
    }

    fn directory(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, "", 0o755, b"")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, 0o777, b"")
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, target, 0o755, b"")
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    fn layer(self) -> Layer<'static> {
        layer(self.bytes(), Compression::Gzip)
    }
}

fn layer(tar: Vec<u8>, compression: Compression) -> Layer<'static> {
    let gzip = |part: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap()
    };
    let (first, second) = tar.split_at(tar.len() / 2);
    let bytes = match compression {
        Compression::None => tar.clone(),
        // Of two members and two frames: both are allowed, and readers that stop after the first are wrong.
        Compression::Gzip => [gzip(first), gzip(second)].concat(),
        Compression::Zstd => [first, second].map(|part| zstd::encode_all(part, 1).unwrap()).concat(),
    };
    Layer {
        digest: Digest::of(&bytes),
        compression,
        diff_id: Digest::of(&tar),
        bytes: Box::new(Cursor::new(bytes)),
    }
}

fn look(layers: impl IntoIterator<Item = Layer<'static>>) -> Result<Contents, Error> {
    inspect(layers.into_iter().map(Ok), None)
}

/// Each Python as `VERSION PATH`.
fn pythons(contents: &Contents) -> Vec<String> {
    contents.pythons.iter().map(|python| format!("{} {}", python.minor, python.executable)).collect()
}

fn found(layers: impl IntoIterator<Item = Layer<'static>>) -> Vec<String> {
    pythons(&look(layers).unwrap())
}

#[test]
fn a_debian_like_base_tells_its_python_and_c_library() {
    let contents = look([
        Tar::new()
            .symlink("bin", "usr/bin")
            .symlink("lib", "usr/lib")
            .directory("./usr/bin/")
            .file("./lib/x86_64-linux-gnu/libc-2.36.so", GLIBC)
            .symlink("usr/lib/x86_64-linux-gnu/libc.so.6", "libc-2.36.so")
            .layer(),
        Tar::new()
            .entry(EntryType::Regular, "bin/python3.11", "", 0o755, b"\x7fELF\0\x003.11.2\0\0")
            .symlink("usr/bin/python3", "/etc/alternatives/python3")
            .symlink("etc/alternatives/python3", "/bin/python3.11")
            .layer(),
    ])
    .unwrap();
    assert_eq!(contents.libc, "glibc-2.36".parse().ok());
    let [python] = contents.pythons.as_slice() else { panic!("{contents:?}") };
    assert_eq!(python.executable, "/usr/bin/python3.11");
    assert_eq!(python.version.as_deref(), Some("3.11.2"));
    assert_eq!(python.found_as, ["/usr/bin/python3", "/usr/bin/python3.11"]);

    let text = serde_json::to_string(&contents).unwrap();
    assert_eq!(serde_json::from_str::<Contents>(&text).unwrap(), contents, "contents are kept as a record");
}

#[test]
fn a_musl_base_tells_its_c_library() {
    let musl = b"\x7fELF\0musl libc (x86_64)\nVersion %s\n\x001.2.5\0\0";
    let tar = Tar::new().file("lib/ld-musl-x86_64.so.1", musl).program("usr/bin/python3.12");
    assert_eq!(look([tar.layer()]).unwrap().libc, "musl-1.2".parse().ok());
}

#[test]
fn layers_may_be_compressed_in_each_way() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let tar = Tar::new().program("usr/bin/python3.9").bytes();
        assert_eq!(found([layer(tar, compression)]), ["3.9 /usr/bin/python3.9"], "{compression:?}");
    }
}

#[test]
fn whiteouts_hide_what_lies_below_and_nothing_else() {
    let base = || {
        Tar::new()
            .program("usr/bin/python3.9")
            .program("usr/bin/python3.10")
            .program("opt/a/bin/python3.11")
            .program("opt/b/bin/python3.12")
            .layer()
    };
    let of_one_file = Tar::new().file("usr/bin/.wh.python3.9", b"").layer();
    assert_eq!(
        found([base(), of_one_file]),
        ["3.12 /opt/b/bin/python3.12", "3.11 /opt/a/bin/python3.11", "3.10 /usr/bin/python3.10"]
    );
    let of_a_directory = Tar::new().file("opt/.wh.a", b"").file("usr/.wh.bin", b"").layer();
    assert_eq!(found([base(), of_a_directory]), ["3.12 /opt/b/bin/python3.12"]);
    // Whatever the order within a layer: whiteouts are about lower layers.
    let opaque_last =
        Tar::new().directory("opt/").program("opt/c/bin/python3.13").file("opt/.wh..wh..opq", b"").layer();
    assert_eq!(
        found([base(), opaque_last]),
        ["3.13 /opt/c/bin/python3.13", "3.10 /usr/bin/python3.10", "3.9 /usr/bin/python3.9"]
    );
    let replaced =
        Tar::new().program("opt/b/bin/python3.14").file("opt/.wh.b", b"").file("opt/.wh.a", b"").layer();
    assert_eq!(
        found([base(), replaced]),
        ["3.14 /opt/b/bin/python3.14", "3.10 /usr/bin/python3.10", "3.9 /usr/bin/python3.9"]
    );
    let of_nothing = Tar::new().file("no/such/.wh.thing", b"").file("no/.wh..wh..opq", b"").layer();
    assert_eq!(found([base(), of_nothing]).len(), 4);
}

#[test]
fn upper_layers_replace_what_they_write_on() {
    let base = || Tar::new().symlink("bin", "usr/bin").program("usr/bin/python3.11").layer();
    for (upper, expected) in [
        // Through the link, as unpacking goes.
        (Tar::new().file("bin/python3.11", b"now a text"), &[][..]),
        (Tar::new().entry(EntryType::Fifo, "usr/bin/python3.11", "", 0o755, b""), &[]),
        (Tar::new().file("usr", b"a file now"), &[]),
        (Tar::new().directory("usr/bin/"), &["3.11 /usr/bin/python3.11"]),
        // A directory replaces the link and does not write through it.
        (Tar::new().directory("bin").file("bin/python3.11", b""), &["3.11 /usr/bin/python3.11"]),
    ] {
        assert_eq!(found([base(), upper.layer()]), expected);
    }
}

#[test]
fn hard_links_are_one_interpreter() {
    let tar = Tar::new()
        .program("usr/local/bin/python3")
        .hard_link("usr/local/bin/python3.10", "usr/local/bin/python3");
    let tar = tar.file("usr/local/lib/python3.10/os.py", b"");
    let contents = look([tar.layer()]).unwrap();
    assert_eq!(pythons(&contents), ["3.10 /usr/local/bin/python3.10"]);
    assert_eq!(contents.pythons[0].found_as, ["/usr/local/bin/python3", "/usr/local/bin/python3.10"]);
    // To something that is not there: ignored.
    assert_eq!(found([Tar::new().hard_link("usr/bin/python3.10", "none").layer()]), [""; 0]);
}

#[test]
fn a_version_comes_from_the_name_or_the_standard_library() {
    let unversioned = || Tar::new().program("usr/local/bin/python3");
    let one = unversioned().file("usr/local/lib/python3.8/os.py", b"").layer();
    assert_eq!(found([one]), ["3.8 /usr/local/bin/python3"]);
    let two = unversioned()
        .file("usr/local/lib/python3.8/os.py", b"")
        .file("usr/local/lib64/python3.9/os.py", b"")
        .layer();
    assert_eq!(found([two]), [""; 0], "two libraries say nothing");
    assert_eq!(found([unversioned().layer()]), [""; 0]);
}

#[test]
fn the_python_on_the_path_is_preferred_then_the_newest() {
    let tar = || {
        Tar::new()
            .program("usr/bin/python3.9")
            .program("usr/bin/python3.12")
            .symlink("usr/bin/python3", "python3.9")
            .program("opt/conda/bin/python3.10")
            .symlink("opt/conda/bin/python3", "python3.10")
            .symlink("opt/venv/bin/python3", "/usr/bin/python3.12")
    };
    let choose = |contents: &Contents, allowed: &dyn Fn(PythonMinor) -> bool| {
        contents.choose("Python", allowed).map(|python| python.minor.to_string())
    };
    let contents = look([tar().layer()]).unwrap();
    assert_eq!(choose(&contents, &|_| true).unwrap(), "3.9");
    assert_eq!(choose(&contents, &|python| python.minor > 9).unwrap(), "3.12");
    assert_eq!(choose(&contents, &|python| python.minor == 10).unwrap(), "3.10");

    let with_path = |path| inspect([Ok(tar().layer())], Some(path)).unwrap();
    assert_eq!(choose(&with_path("/opt/conda/bin:/usr/bin"), &|_| true).unwrap(), "3.10");
    assert_eq!(choose(&with_path("/none:relative:/opt/venv/bin:/usr/bin"), &|_| true).unwrap(), "3.12");

    let error = contents.choose("Python >=3.13", |python| python.minor >= 13).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Project);
    assert!(error.to_string().contains("/usr/bin/python3.12"), "{error}");
    assert!(error.hint().unwrap().contains("--python 3.10"), "{:?}", error.hint());
}

#[test]
fn a_base_without_python_says_so() {
    let nothing = || Tar::new().program("usr/bin/perl");
    let wrapper =
        nothing().entry(EntryType::Regular, "usr/bin/python3.11", "", 0o755, b"#!/bin/sh\nexec x\n");
    let no_program = nothing().file("usr/bin/python3.11", PROGRAM);
    let dangling = nothing().symlink("usr/bin/python3.11", "/none").symlink("usr/bin/python3", "/usr/bin");
    let too_old = nothing().program("usr/bin/python3.6").program("usr/bin/python2.7");
    let other_abi = nothing().program("usr/bin/python3.13t");
    for tar in [nothing(), wrapper, no_program, dangling, too_old, other_abi] {
        let contents = look([tar.layer()]).unwrap();
        let error = contents.choose("Python", |_| true).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Project);
        assert!(error.to_string().contains("there is no Python"), "{error}");
    }
    assert_eq!(found([]), [""; 0]);
}

#[test]
fn hostile_layers_are_refused() {
    let refused = |layer: Layer<'static>| match look([layer]) {
        Err(error) => (error.exit_code() == ExitCode::Integrity).then(|| error.to_string()),
        Ok(_) => None,
    };
    for tar in [
        Tar::new().file("../escape", b""),
        Tar::new().file("usr/../../escape", b""),
        Tar::new().hard_link("link", "../../etc/passwd"),
        Tar::new().file(".wh...", b""),
        Tar::new().symlink("a", "b").symlink("b", "a").file("a/file.txt", b"").program("a/program"),
    ] {
        assert!(refused(tar.layer()).is_some());
    }
    // A leading slash means the image's root, a link that leaves it stays inside.
    let absolute = Tar::new()
        .program("/usr/bin/python3.11")
        .symlink("usr/bin/python3", "../../../../../../usr/bin/python3.11");
    assert_eq!(found([absolute.layer()]), ["3.11 /usr/bin/python3.11"]);
    let cycle = Tar::new().symlink("usr/bin/python3", "python").symlink("usr/bin/python", "python3");
    assert_eq!(found([cycle.layer()]), [""; 0]);
}

#[test]
fn damaged_and_swapped_layers_are_refused() {
    let tar = || Tar::new().program("usr/bin/python3.11").bytes();
    let wrong = Layer { diff_id: Digest::of(b"something else"), ..layer(tar(), Compression::Gzip) };
    let error = look([wrong]).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Integrity);
    assert!(error.to_string().contains("diff ID"), "{error}");

    // What follows the end of the archive belongs to the diff ID too.
    let trailing = [tar(), vec![7; 700]].concat();
    assert_eq!(found([layer(trailing, Compression::Gzip)]).len(), 1);

    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let mut short = Vec::new();
        io::Read::read_to_end(&mut layer(tar(), compression).bytes, &mut short).unwrap();
        short.truncate(short.len() * 2 / 5);
        let short = Layer { bytes: Box::new(Cursor::new(short)), ..layer(tar(), compression) };
        assert_eq!(look([short]).unwrap_err().exit_code(), ExitCode::Integrity, "{compression:?}");
    }
    let mislabelled = Layer { compression: Compression::Zstd, ..layer(tar(), Compression::Gzip) };
    assert_eq!(look([mislabelled]).unwrap_err().exit_code(), ExitCode::Integrity);
    let no_tar = layer(vec![b'x'; 4096], Compression::Gzip);
    assert_eq!(look([no_tar]).unwrap_err().exit_code(), ExitCode::Integrity);
}

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// An image index with an entry for each platform, whose digest is that of the platform's text.
fn index(platforms: &[&str]) -> Vec<u8> {
    let entry = |platform: &&str| {
        let mut parts = platform.split('/');
        let mut part = || parts.next().unwrap_or_default();
        serde_json::json!({"mediaType": DOCKER, "digest": digest(platform), "size": 7,
            "platform": {"os": part(), "architecture": part(), "variant": part()}})
    };
    let manifests: Vec<_> = platforms.iter().map(entry).collect();
    serde_json::to_vec(&serde_json::json!({"schemaVersion": 2, "manifests": manifests})).unwrap()
}

#[test]
fn the_image_that_most_processors_run_is_picked() {
    for (platforms, wanted, expected) in [
        (&["linux/arm64/v8", "linux/amd64", "windows/amd64"][..], "linux/amd64", "linux/amd64"),
        (&["linux/amd64", "linux/arm64/v8"], "linux/arm64", "linux/arm64/v8"),
        (&["linux/amd64/v3", "linux/amd64/v2"], "linux/amd64", "linux/amd64/v2"),
        (&["linux/amd64/v3", "linux/amd64"], "linux/amd64", "linux/amd64"),
        (&["linux/arm64/v9", "linux/arm64/v8.2", "linux/arm/v7"], "linux/arm64", "linux/arm64/v8.2"),
        (&["unknown/unknown", "linux/amd64", "linux/amd64"], "linux/amd64", "linux/amd64"),
    ] {
        let picked = select_platform(&index(platforms), wanted.parse().unwrap()).unwrap();
        assert_eq!(picked, digest(expected), "{platforms:?}");
    }
    let found = index(&["linux/arm/v7", "windows/amd64", "unknown/unknown", "linux/amd64/odd"]);
    let error = select_platform(&found, "linux/amd64".parse().unwrap()).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Project);
    assert!(error.to_string().ends_with("linux/amd64/odd, linux/arm/v7, windows/amd64"), "{error}");
}

#[test]
fn an_only_entry_without_a_platform_is_picked() {
    let entry = |name| serde_json::json!({"mediaType": OCI, "digest": digest(name), "size": 7});
    let pick = |entries: &[serde_json::Value]| {
        let index =
            serde_json::to_vec(&serde_json::json!({"schemaVersion": 2, "manifests": entries})).unwrap();
        select_platform(&index, "linux/amd64".parse().unwrap())
    };
    assert_eq!(pick(&[entry("a")]).unwrap(), digest("a"));
    for entries in [&[][..], &[entry("a"), entry("b")]] {
        assert_eq!(pick(entries).unwrap_err().exit_code(), ExitCode::Project);
    }
}
