//! Fragments and layers: readable by programs that nobody here wrote, the same bytes each time, exact about what they
//! contain.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/wheel.rs"]
mod wheel;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use bakehouse::layer::{
    self, Compression, FileEntry, FileKind, FileSource, Fragment, Layer, WheelInputs, assemble,
    build_fragment, files_layer, fragment_files, fragment_key, stored_fragment, stored_layer,
};
use bakehouse::model::{Digest, ExitCode};
use bakehouse::store::Store;
use tempfile::TempDir;
use url::Url;
use wheel::{BuiltWheel, WheelBuilder, ZipEntry};

fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (directory, store)
}

fn bake(store: &Store, wheel: &BuiltWheel) -> Fragment {
    bake_with(store, wheel, "3.11", None)
}

fn bake_with(store: &Store, wheel: &BuiltWheel, python: &str, direct_url: Option<&Url>) -> Fragment {
    let blob = store.put_blob(&wheel.bytes).unwrap();
    let name = wheel.file_name.parse().unwrap();
    let inputs = WheelInputs {
        sha256: blob.digest(),
        name: &name,
        python: python.parse().unwrap(),
        direct_url,
        compression: Compression::Gzip,
    };
    build_fragment(store, &blob, &inputs).unwrap()
}

fn layer_of(store: &Store, wheels: &[&BuiltWheel]) -> Layer {
    let fragments: Vec<Fragment> = wheels.iter().map(|wheel| bake(store, wheel)).collect();
    assemble(store, &fragments).unwrap()
}

fn bytes(store: &Store, layer: &Layer) -> Vec<u8> {
    let mut bytes = Vec::new();
    layer::open(store, layer).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, layer.size);
    assert_eq!(Digest::of(&bytes), layer.digest);
    bytes
}

/// The output of a program that is given `input`.
fn pipe(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

/// What a layer puts where, as Python's tarfile reads it: type, mode, size and owner of each path.
fn listing(layer: &[u8]) -> BTreeMap<String, String> {
    let script = "import sys, tarfile, io\n\
                  for m in tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())):\n    \
                      kind = 'dir' if m.isdir() else 'link to ' + m.linkname if m.issym() else 'file'\n    \
                      assert (m.uid, m.gid, m.uname, m.gname, m.mtime) == (0, 0, '', '', 315619200), m.get_info()\n    \
                      print(m.name, f'{kind} {m.mode:o} {m.size}', sep='\\t')\n";
    let text = String::from_utf8(pipe("python3", &["-c", script], layer)).unwrap();
    text.lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect()
}

/// Unpacks with the system's tar and reads a file.
fn unpack(layer: &[u8]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().to_str().unwrap();
    pipe("tar", &["-xzf", "-", "-C", target], layer);
    directory
}

fn read(directory: &TempDir, path: &str) -> Vec<u8> {
    fs::read(directory.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Bytes that hardly compress.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 57) as u8
        })
        .collect()
}

/// A wheel of everything: large and small files, stored ones, empty ones, long names.
fn varied() -> BuiltWheel {
    let zip = WheelBuilder::new("varied", "1.0")
        .file("varied/__init__.py", "")
        .file("varied/small.py", "x = 1\n".repeat(50))
        .file_with_mode("varied/large.so", noise(1, 300_000), 0o755)
        .file("varied/gathered.txt", "line\n".repeat(600_000))
        .file("varied/é.txt", "non-ASCII name")
        .file(&format!("varied/{}/{}.py", "d".repeat(120), "f".repeat(120)), "long name")
        .unlisted_file("varied/stored.bin", noise(2, 2_500_000))
        .zip();
    let mut zip = zip;
    *zip.entry("varied/stored.bin") = ZipEntry::stored("varied/stored.bin", &noise(2, 2_500_000));
    BuiltWheel { file_name: "varied-1.0-py3-none-any.whl".to_owned(), bytes: zip.bytes() }
}

#[test]
fn other_programs_read_a_spliced_layer() {
    let (_directory, store) = store();
    let layer =
        layer_of(&store, &[&varied(), &WheelBuilder::new("other", "2.0").file("other.py", "y").build()]);
    let compressed = bytes(&store, &layer);
    let tar = pipe("gzip", &["-dc"], &compressed);
    assert_eq!(Digest::of(&tar), layer.diff_id);
    assert_eq!(tar.len() as u64, layer.uncompressed_size);
    for program in ["pigz", "igzip"] {
        assert!(pipe(program, &["-d", "-c"], &compressed) == tar, "{program}");
    }

    let listing = listing(&compressed);
    let site = "opt/venv/lib/python3.11/site-packages";
    assert_eq!(listing["opt"], "dir 755 0");
    assert_eq!(listing[&format!("{site}/varied")], "dir 755 0");
    assert_eq!(listing[&format!("{site}/varied/large.so")], "file 755 300000");
    assert_eq!(listing[&format!("{site}/varied/__init__.py")], "file 644 0");

    let root = unpack(&compressed);
    assert_eq!(read(&root, &format!("{site}/varied/large.so")), noise(1, 300_000));
    assert_eq!(read(&root, &format!("{site}/varied/stored.bin")), noise(2, 2_500_000));
    assert_eq!(read(&root, &format!("{site}/varied/gathered.txt")), "line\n".repeat(600_000).as_bytes());
    assert_eq!(read(&root, &format!("{site}/varied/é.txt")), b"non-ASCII name");
    let long = format!("{site}/varied/{}/{}.py", "d".repeat(120), "f".repeat(120));
    assert_eq!(read(&root, &long), b"long name");
    assert_eq!(read(&root, &format!("{site}/other.py")), b"y");
}

#[test]
fn a_large_entry_keeps_its_deflate_stream() {
    let (_directory, store) = store();
    let layer = layer_of(&store, &[&varied()]);
    let stream = ZipEntry::new("x", &noise(1, 300_000), 0o755).data;
    assert!(bytes(&store, &layer).windows(stream.len()).any(|window| window == stream));
}

#[test]
fn archives_written_in_other_ways_give_the_same_files() {
    let plain = WheelBuilder::new("a", "1").file("a/x", noise(3, 50_000)).file("a/y", "small");
    let expected = {
        let (_directory, store) = store();
        let layer = layer_of(&store, &[&plain.clone().build()]);
        layer.diff_id
    };
    for (zip64, descriptors) in [(true, false), (false, true), (true, true)] {
        let (_directory, store) = store();
        let mut zip = plain.clone().zip();
        zip.zip64 = zip64;
        for entry in &mut zip.entries {
            entry.descriptor = descriptors;
            // The extra field of the local header is not the directory's: the data starts later.
            entry.local_extra = vec![0x55, 0x54, 5, 0, 1, 0, 0, 0, 0];
        }
        let wheel = BuiltWheel { file_name: plain.clone().build().file_name, bytes: zip.bytes() };
        assert_eq!(layer_of(&store, &[&wheel]).diff_id, expected);
    }
}

/// Python's zipfile, told to write where it cannot seek (sizes and CRC-32 stand after the data), with zip64 fields where
/// none is needed, and without compressing.
#[test]
fn archives_that_python_wrote_in_unusual_ways_give_the_same_files() {
    let script = "import hashlib, sys, zipfile\n\
                  class Stream:\n    \
                      def write(self, b): return sys.stdout.buffer.write(b)\n    \
                      def flush(self): pass\n\
                  stream, zip64, method = (int(a) for a in sys.argv[1:])\n\
                  noise = b''.join(hashlib.sha256(b'%d' % i).digest() for i in range(2000))\n\
                  long = 'foo/' + 'd' * 200 + '/' + 'f' * 200\n\
                  info = 'foo-1.0.dist-info/'\n\
                  files = {'foo/data': noise, 'foo/__init__.py': b'', long: b'long', info + 'RECORD': b'',\n    \
                           info + 'METADATA': b'Metadata-Version: 2.1\\nName: foo\\nVersion: 1.0\\n',\n    \
                           info + 'WHEEL': b'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'}\n\
                  target = Stream() if stream else open(sys.stdin.read(), 'wb')\n\
                  with zipfile.ZipFile(target, 'w', method) as z:\n    \
                      for name, data in files.items():\n        \
                          entry = zipfile.ZipInfo(name)\n        \
                          entry.compress_type = method\n        \
                          with z.open(entry, 'w', force_zip64=bool(zip64)) as f: f.write(data)\n";
    let mut all = Vec::new();
    for method in ["8", "0"] {
        for (stream, zip64) in [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")] {
            let (directory, store) = store();
            let path = directory.path().join("foo.whl");
            let input = path.to_str().unwrap().as_bytes();
            let written = pipe("python3", &["-c", script, stream, zip64, method], input);
            let bytes = if stream == "1" { written } else { fs::read(path).unwrap() };
            assert_eq!(bytes.windows(4).any(|window| window == b"PK\x07\x08"), stream == "1");
            let wheel = BuiltWheel { file_name: "foo-1.0-py3-none-any.whl".to_owned(), bytes };
            let fragment = bake(&store, &wheel);
            let layer = assemble(&store, std::slice::from_ref(&fragment)).unwrap();
            all.push((fragment_files(&store, &fragment.key).unwrap().unwrap(), layer.diff_id));
        }
    }
    assert_eq!(all[0].0.len(), 8);
    assert!(all.iter().all(|(files, _)| *files == all[0].0));
    // What is stored stands among the small files, so the tar has another order.
    assert!(all[..4].iter().all(|(_, diff_id)| *diff_id == all[0].1));
    assert!(all[4..].iter().all(|(_, diff_id)| *diff_id == all[4].1));
}

#[test]
fn a_fragment_is_made_once_and_serves_every_layer() {
    let (_directory, store) = store();
    let (a, b) = (WheelBuilder::new("a", "1").file("a.py", "1").build(), varied());
    let (first, second) = (bake(&store, &a), bake(&store, &b));
    let blobs = |store: &Store| store.usage().unwrap().kinds[0].1;
    let before = blobs(&store);
    let (one, both) = (
        assemble(&store, std::slice::from_ref(&first)).unwrap(),
        assemble(&store, &[first.clone(), second.clone()]).unwrap(),
    );
    assert_eq!(blobs(&store), before + 1, "layers are read from their fragments, but for common directories");
    for layer in [&one, &both] {
        assert_eq!(stored_layer(&store, &layer.key).unwrap().as_ref(), Some(layer));
        assert_eq!(Digest::of(&pipe("gzip", &["-dc"], &bytes(&store, layer))), layer.diff_id);
    }
    assert_ne!(both.digest, assemble(&store, &[second.clone(), first.clone()]).unwrap().digest);
    assert_eq!(stored_fragment(&store, &first.key).unwrap(), Some(first.clone()));

    let path = store.blob(&first.digest, None).unwrap().path().to_owned();
    fs::remove_file(path).unwrap();
    assert_eq!(stored_fragment(&store, &first.key).unwrap(), None);
    assert_eq!(stored_layer(&store, &both.key).unwrap(), None);
    assert_eq!(layer::open(&store, &one).unwrap_err().exit_code(), ExitCode::Internal);
}

#[test]
fn a_damaged_fragment_gets_into_no_layer() {
    let (_directory, store) = store();
    let fragments = [bake(&store, &varied()), bake(&store, &WheelBuilder::new("a", "1").build())];
    let path = store.blob(&fragments[0].digest, None).unwrap().path().to_owned();
    let good = fs::read(&path).unwrap();
    // In the header of a member (which no checksum covers), in its data, and with two members swapped for other ones.
    for at in [4, 9, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        let error = assemble(&store, &fragments).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Integrity, "{error}");
    }
    fs::write(&path, good).unwrap();
    assemble(&store, &fragments).unwrap();
}

#[test]
fn a_fragment_key_tells_apart_whatever_changes_its_bytes() {
    let digest = Digest::of(b"a");
    let key_of = |name: &str, python: &str, url: Option<&str>, compression| {
        let (name, url) = (name.parse().unwrap(), url.map(|url| Url::parse(url).unwrap()));
        fragment_key(&WheelInputs {
            sha256: &digest,
            name: &name,
            python: python.parse().unwrap(),
            direct_url: url.as_ref(),
            compression,
        })
    };
    let key = |name: &str, python: &str, url| key_of(name, python, url, Compression::Gzip);
    let keys = [
        key("a-1-py3-none-any.whl", "3.11", None),
        key_of("a-1-py3-none-any.whl", "3.11", None, Compression::Zstd),
        key("a-1-py2.py3-none-any.whl", "3.11", None),
        key("a-1-py3-none-any.whl", "3.12", None),
        key("a-1-py3-none-any.whl", "3.11", Some("https://example.invalid/a-1-py3-none-any.whl")),
    ];
    for (i, key) in keys.iter().enumerate() {
        assert!(!keys[..i].contains(key));
    }
}

/// These must never change without a new format version: layers in registries have these names.
#[test]
fn the_bytes_are_these_for_ever() {
    let (_directory, store) = store();
    // The wheel is stored, so that it does not depend on the tests' compressor.
    let mut zip = WheelBuilder::new("pinned", "1.0")
        .file("pinned/__init__.py", "import sys\n".repeat(100))
        .entry_points("[console_scripts]\npinned = pinned:main\n")
        .zip();
    for entry in &mut zip.entries {
        let name = String::from_utf8(entry.name.clone()).unwrap();
        let mut plain = Vec::new();
        flate2::read::DeflateDecoder::new(&entry.data[..]).read_to_end(&mut plain).unwrap();
        *entry = ZipEntry::stored(&name, &plain);
    }
    let wheel = BuiltWheel { file_name: "pinned-1.0-py3-none-any.whl".to_owned(), bytes: zip.bytes() };
    let layer = layer_of(&store, &[&wheel]);
    assert_eq!(
        (layer.key.to_string().as_str(), layer.digest.hex().as_str(), layer.diff_id.hex().as_str()),
        (
            "fd18a4c19679fbad37109ea5b9b6343540c2a565c989a69f4574a1b0299736c2",
            "791d42600e0fa21a36a140ae4db20361d9cc48e897569b5295fa406966b4afeb",
            "ba4937bfaf960da560c83fd523d615f25907d2f0f0ebbe7ffff064aa40140de2",
        )
    );
}

#[test]
fn an_installed_wheel_has_its_scripts_data_and_records() {
    let (_directory, store) = store();
    let wheel = WheelBuilder::new("tool-box", "1.0")
        .file("tool_box/__init__.py", "def main():\n    print('hello')\n")
        .unlisted_file("tool_box/unlisted", "1234")
        .file_with_mode("tool_box/run.sh", "#!/bin/sh\n", 0o744)
        .file("tool_box-1.0.data/scripts/shebang", "#!pythonw -u\nprint(1)\n")
        .file("tool_box-1.0.data/scripts/binary", b"\x7fELF")
        .file("tool_box-1.0.data/headers/tool.h", "int x;")
        .file("tool_box-1.0.data/data/share/tool/a,b.txt", "data")
        .file("tool_box-1.0.data/purelib/pure.py", "")
        .file("tool_box-1.0.data/platlib/plat.py", "")
        .file("tool_box-1.0.data/data/lib64/x.so", "")
        .entry_points(
            "[console_scripts]\ntool = tool_box:main [extra]\n[gui_scripts]\ngui = tool_box.gui:App.run\n",
        )
        .build();
    let url =
        Url::parse("https://user:secret@example.invalid/tool_box-1.0-py3-none-any.whl#sha256=0").unwrap();
    let fragment = bake_with(&store, &wheel, "3.11", Some(&url));
    let layer = assemble(&store, std::slice::from_ref(&fragment)).unwrap();
    let compressed = bytes(&store, &layer);
    let listing = listing(&compressed);
    let files: Vec<String> = listing
        .iter()
        .filter(|(_, what)| what.starts_with("file"))
        .map(|(path, what)| {
            format!("{} {}", what.split(' ').nth(1).unwrap(), path.strip_prefix("opt/venv/").unwrap())
        })
        .collect();
    assert_eq!(
        files,
        [
            "755 bin/binary",
            "755 bin/gui",
            "755 bin/shebang",
            "755 bin/tool",
            "644 include/site/python3.11/tool-box/tool.h",
            "644 lib/python3.11/site-packages/plat.py",
            "644 lib/python3.11/site-packages/pure.py",
            "644 lib/python3.11/site-packages/tool_box-1.0.dist-info/INSTALLER",
            "644 lib/python3.11/site-packages/tool_box-1.0.dist-info/METADATA",
            "644 lib/python3.11/site-packages/tool_box-1.0.dist-info/RECORD",
            "644 lib/python3.11/site-packages/tool_box-1.0.dist-info/REQUESTED",
            "644 lib/python3.11/site-packages/tool_box-1.0.dist-info/WHEEL",
            "644 lib/python3.11/site-packages/tool_box-1.0.dist-info/direct_url.json",
            "644 lib/python3.11/site-packages/tool_box-1.0.dist-info/entry_points.txt",
            "644 lib/python3.11/site-packages/tool_box/__init__.py",
            "755 lib/python3.11/site-packages/tool_box/run.sh",
            "644 lib/python3.11/site-packages/tool_box/unlisted",
            "644 lib/x.so",
            "644 share/tool/a,b.txt",
        ]
    );
    let root = unpack(&compressed);
    assert_eq!(read(&root, "opt/venv/bin/shebang"), b"#!/opt/venv/bin/python\nprint(1)\n");
    let info = "opt/venv/lib/python3.11/site-packages/tool_box-1.0.dist-info";
    assert_eq!(read(&root, &format!("{info}/INSTALLER")), b"bakehouse");
    assert_eq!(
        String::from_utf8(read(&root, &format!("{info}/direct_url.json"))).unwrap(),
        r#"{"url":"https://example.invalid/tool_box-1.0-py3-none-any.whl","archive_info":{}}"#
    );
    let record = String::from_utf8(read(&root, &format!("{info}/RECORD"))).unwrap();
    for row in [
        "../../../bin/shebang,sha256=",
        "../../../bin/tool,sha256=",
        "../../../include/site/python3.11/tool-box/tool.h,sha256=",
        "\"../../../share/tool/a,b.txt\",sha256=",
        "\npure.py,sha256=",
        "\ntool_box/unlisted,,4\n",
        "\ntool_box-1.0.dist-info/RECORD,,\n",
    ] {
        assert!(record.contains(row), "{row}\n{record}");
    }
    assert_eq!(record.lines().count(), files.len());
    // The command runs as it is.
    let script = String::from_utf8(read(&root, "opt/venv/bin/tool")).unwrap();
    let site = root.path().join("opt/venv/lib/python3.11/site-packages");
    let output = Command::new("python3").env("PYTHONPATH", site).arg("-c").arg(script).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "hello\n");

    let listed = fragment_files(&store, &fragment.key).unwrap().unwrap();
    assert_eq!(listed.len(), files.len());
    for file in listed {
        assert_eq!(Digest::of(&read(&root, &file.path)), file.sha256, "{}", file.path);
    }
}

#[test]
fn what_comes_later_in_an_installation_wins() {
    let (_directory, store) = store();
    let wheel = WheelBuilder::new("w", "1")
        .file("w.py", "root")
        .file("w-1.data/purelib/w.py", "purelib")
        .file("w-1.data/scripts/cmd", "script")
        .file("w-1.data/data/bin/other", "data")
        .file("w-1.dist-info/INSTALLER", "shipped")
        .file("w-1.dist-info/direct_url.json", "shipped")
        .entry_points("[console_scripts]\ncmd = w:f\nother = w:f\n")
        .build();
    let root = unpack(&bytes(&store, &layer_of(&store, &[&wheel])));
    let site = "opt/venv/lib/python3.11/site-packages";
    assert_eq!(read(&root, &format!("{site}/w.py")), b"purelib");
    assert!(read(&root, "opt/venv/bin/cmd").starts_with(b"#!/opt/venv/bin/python\n"));
    assert_eq!(read(&root, "opt/venv/bin/other"), b"data");
    assert_eq!(read(&root, &format!("{site}/w-1.dist-info/INSTALLER")), b"bakehouse");
    assert_eq!(read(&root, &format!("{site}/w-1.dist-info/direct_url.json")), b"shipped");
}

#[test]
fn an_archive_that_is_not_the_one_asked_for_is_refused() {
    let (_directory, store) = store();
    let wheel = varied();
    let blob = store.put_blob(&wheel.bytes).unwrap();
    let (name, sha256) = (wheel.file_name.parse().unwrap(), Digest::of(b"other"));
    let python = "3.11".parse().unwrap();
    let inputs = WheelInputs {
        sha256: &sha256,
        name: &name,
        python,
        direct_url: None,
        compression: Compression::Gzip,
    };
    let error = build_fragment(&store, &blob, &inputs).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Integrity);
}

fn file(path: &str, source: FileSource) -> FileEntry {
    FileEntry { path: path.to_owned(), kind: FileKind::File { source, executable: false } }
}

fn text(path: &str, text: &str) -> FileEntry {
    file(path, FileSource::Bytes(text.into()))
}

fn link(path: &str, target: &str) -> FileEntry {
    FileEntry { path: path.to_owned(), kind: FileKind::Symlink { target: target.to_owned() } }
}

#[test]
fn a_layer_of_files_has_them_with_their_parents() {
    let (directory, store) = store();
    let large = directory.path().join("large");
    fs::write(&large, noise(5, 3_000_000)).unwrap();
    let long_target = "../".repeat(50) + "target";
    let entries = [
        text("app/flows/train/flow.py", "print()\n"),
        link("opt/venv/bin/python", "/usr/bin/python3.11"),
        link("app/long", &long_target),
        FileEntry { path: "app/data".to_owned(), kind: FileKind::Directory },
        FileEntry {
            path: "app/run".to_owned(),
            kind: FileKind::File { source: FileSource::Bytes(b"#!/bin/sh\n".to_vec()), executable: true },
        },
        file("app/large", FileSource::Path(large.clone())),
    ];
    let layer = files_layer(&store, &entries, Compression::Gzip).unwrap().0;
    let compressed = bytes(&store, &layer);
    assert_eq!(Digest::of(&pipe("gzip", &["-dc"], &compressed)), layer.diff_id);
    let expected = [
        ("app", "dir 755 0".to_owned()),
        ("app/data", "dir 755 0".to_owned()),
        ("app/flows", "dir 755 0".to_owned()),
        ("app/flows/train", "dir 755 0".to_owned()),
        ("app/flows/train/flow.py", "file 644 8".to_owned()),
        ("app/large", "file 644 3000000".to_owned()),
        ("app/long", format!("link to {long_target} 777 0")),
        ("app/run", "file 755 10".to_owned()),
        ("opt", "dir 755 0".to_owned()),
        ("opt/venv", "dir 755 0".to_owned()),
        ("opt/venv/bin", "dir 755 0".to_owned()),
        ("opt/venv/bin/python", "link to /usr/bin/python3.11 777 0".to_owned()),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(path, what)| (path.to_owned(), what)).into();
    assert_eq!(listing(&compressed), expected);
    assert_eq!(read(&unpack(&compressed), "app/large"), noise(5, 3_000_000));

    // Neither order, time nor place of the files matters, only what is in them.
    let moved = directory.path().join("elsewhere");
    fs::rename(&large, &moved).unwrap();
    let mut again = entries.clone();
    again.reverse();
    again[0] = file("app/large", FileSource::Path(moved.clone()));
    assert_eq!(files_layer(&store, &again, Compression::Gzip).unwrap().0, layer);
    fs::write(&moved, "other").unwrap();
    assert_ne!(files_layer(&store, &again, Compression::Gzip).unwrap().0.key, layer.key);
}

#[test]
fn paths_that_cannot_be_in_a_layer_are_refused() {
    let (_directory, store) = store();
    for entries in [
        vec![text("/app/x", "")],
        vec![text("app/../x", "")],
        vec![text("app/.wh.x", "")],
        vec![text("app//x", "")],
        vec![text("", "")],
        vec![text("app/x\n", "")],
        vec![text("app/x", "1"), text("app/x", "2")],
        vec![text("app/x", "1"), text("app/x/y", "2")],
        vec![link("app/x", "y"), text("app/x/y", "2")],
        vec![link("app/x", "")],
    ] {
        let error = files_layer(&store, &entries, Compression::Gzip).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Project, "{error}");
    }
    let missing = files_layer(
        &store,
        &[file("app/x", FileSource::Path(Path::new("/does/not/exist").into()))],
        Compression::Gzip,
    );
    assert!(missing.unwrap_err().to_string().contains("/does/not/exist"));
}
