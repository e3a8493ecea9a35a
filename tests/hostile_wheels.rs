//! Wheels that could be read in two ways, or that are not what they say, are refused: exit code 30, the archive and
//! the entry named, nothing recorded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/wheel.rs"]
mod wheel;

use bakehouse::dist::{self, Flaw};
use bakehouse::layer::{self, Compression, WheelInputs, build_fragment, fragment_key, stored_fragment};
use bakehouse::model::{Digest, ExitCode};
use bakehouse::store::Store;
use wheel::{WheelBuilder, Zip, ZipEntry, crc32, record_row};

const FILE_NAME: &str = "foo-1.0-py3-none-any.whl";

fn foo() -> WheelBuilder {
    WheelBuilder::new("foo", "1.0")
        .file("foo/__init__.py", "a = 1\n")
        .file("foo/text.txt", "text\n".repeat(100))
}

/// Bakes the archive either way, which must fail; nothing may be left in the store but the archive itself.
fn refusal(bytes: &[u8]) -> dist::Error {
    let zstd = refusal_with(bytes, Compression::Zstd).to_string();
    let gzip = refusal_with(bytes, Compression::Gzip);
    assert_eq!(gzip.to_string(), zstd);
    gzip
}

fn refusal_with(bytes: &[u8], compression: Compression) -> dist::Error {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let blob = store.put_blob(bytes).unwrap();
    let name = FILE_NAME.parse().unwrap();
    let python = "3.11".parse().unwrap();
    let inputs = WheelInputs { sha256: blob.digest(), name: &name, python, direct_url: None, compression };
    let error = build_fragment(&store, &blob, &inputs).expect_err("the wheel should be refused");
    assert_eq!(error.exit_code(), ExitCode::Integrity, "{error}");
    assert!(error.to_string().contains(FILE_NAME), "{error}");
    assert_eq!(stored_fragment(&store, &fragment_key(&inputs)).unwrap(), None);
    let kinds: Vec<_> =
        store.usage().unwrap().kinds.into_iter().map(|(kind, files, _)| (kind, files)).collect();
    assert_eq!(kinds, [("blobs".to_owned(), 1)]);
    assert_eq!(std::fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
    match error {
        layer::Error::Dist(error) => error,
        other => panic!("not about the distribution: {other}"),
    }
}

/// The flaw for which an archive is refused, with the entry that has it.
fn flaw(zip: &Zip) -> (String, Flaw) {
    match refusal(&zip.bytes()) {
        dist::Error::Entry { entry, flaw, .. } => (entry, flaw),
        other => panic!("not about an entry: {other}"),
    }
}

/// Why the archive or the wheel as a whole is refused.
fn reason(bytes: &[u8]) -> String {
    match refusal(bytes) {
        dist::Error::Archive { reason, .. } => reason.to_owned(),
        dist::Error::Wheel { reason, .. } => reason,
        other => panic!("not about the whole: {other}"),
    }
}

/// `foo` with one entry changed.
fn changed(change: impl FnOnce(&mut ZipEntry)) -> Zip {
    let mut zip = foo().zip();
    change(zip.entry("foo/text.txt"));
    zip
}

#[test]
fn names_that_are_no_plain_paths() {
    for name in [
        "/etc/passwd",
        "../outside",
        "foo/../../outside",
        "./foo/x",
        "foo//x",
        "foo\\x",
        "C:/x",
        "foo/x\0y",
        "foo/x\ny",
        "foo/.wh.x",
        "foo/.wh..wh..opq",
        ".wh.foo/x",
        "/",
        "",
    ] {
        let zip = foo().zip().with(ZipEntry::new(name, b"x", 0o644));
        assert!(matches!(flaw(&zip).1, Flaw::Name(_)), "{name:?}");
    }
    let long = "d/".repeat(600) + "x";
    assert!(matches!(flaw(&foo().zip().with(ZipEntry::new(&long, b"x", 0o644))).1, Flaw::Name(_)));
    let not_utf8 = ZipEntry { name: b"foo/\xff".to_vec(), ..ZipEntry::new("x", b"x", 0o644) };
    assert!(matches!(flaw(&foo().zip().with(not_utf8)).1, Flaw::Name(_)));
    let unmarked = ZipEntry { flags: 0, ..ZipEntry::new("foo/é", b"x", 0o644) };
    assert!(matches!(flaw(&foo().zip().with(unmarked)).1, Flaw::Name(_)));
}

#[test]
fn names_that_occur_twice_or_as_file_and_directory() {
    let twice = foo().zip().with(ZipEntry::new("foo/text.txt", b"other", 0o644));
    assert_eq!(flaw(&twice), ("foo/text.txt".to_owned(), Flaw::Duplicate));
    let both = foo().zip().with(ZipEntry::new("foo/text.txt/", b"", 0o755));
    assert_eq!(flaw(&both).1, Flaw::Duplicate);
    let below = foo().zip().with(ZipEntry::new("foo/text.txt/below", b"x", 0o644));
    assert_eq!(flaw(&below), ("foo/text.txt".to_owned(), Flaw::FileAndDirectory));
}

#[test]
fn what_is_no_regular_file() {
    for mode in [0o120_777, 0o020_644, 0o010_644, 0o140_644, 0o040_755] {
        assert_eq!(flaw(&changed(|entry| entry.mode = mode)).1, Flaw::NotRegular, "{mode:o}");
    }
}

#[test]
fn encryption_and_other_compression() {
    assert_eq!(flaw(&changed(|entry| entry.flags |= 1)).1, Flaw::Encrypted);
    assert_eq!(flaw(&changed(|entry| entry.method = 14)).1, Flaw::Method(14));
}

#[test]
fn local_headers_that_disagree_with_the_directory() {
    let disagrees = |zip: &Zip| match flaw(zip) {
        (entry, Flaw::Disagrees(what)) => (entry, what),
        other => panic!("{other:?}"),
    };
    let name = disagrees(&changed(|entry| entry.local_name = Some(b"foo/evil.txt".to_vec())));
    assert_eq!(name, ("foo/text.txt".to_owned(), "name"));
    assert_eq!(disagrees(&changed(|entry| entry.local_method = Some(0))).1, "compression method");
    assert_eq!(disagrees(&changed(|entry| entry.local_crc32 = Some(1))).1, "CRC-32");
    assert_eq!(disagrees(&changed(|entry| entry.local_size = Some(1))).1, "size");
    let mut zip = changed(|entry| entry.descriptor = true).bytes();
    let at = zip.windows(4).position(|bytes| bytes == b"PK\x07\x08").unwrap();
    zip[at + 4] ^= 1;
    assert!(matches!(refusal(&zip), dist::Error::Entry { flaw: Flaw::Disagrees("data descriptor"), .. }));
    // The unicode path field gives the entry another name for some programs.
    let mut field = vec![0x75, 0x70, 9, 0, 1, 0, 0, 0, 0];
    field.extend(b"evil");
    assert_eq!(disagrees(&changed(|entry| entry.local_extra = field)).1, "extra fields");
}

#[test]
fn entries_that_share_bytes() {
    let mut zip = foo().zip();
    let twin = zip.entries[0].clone();
    zip.entries.push(ZipEntry { header_of: Some(0), name: b"foo/twin.py".to_vec(), ..twin });
    // A second directory record for the same header must lie about the name to get here at all.
    assert!(matches!(flaw(&zip).1, Flaw::Disagrees("name")));

    // One entry's data holds a whole other entry: the way of the classic zip bombs.
    let inner = Zip { entries: vec![ZipEntry::stored("foo/inner", b"inner")], zip64: false }.bytes();
    let local = &inner[..30 + "foo/inner".len() + "inner".len()];
    let mut zip = foo().zip().with(ZipEntry::stored("foo/outer", local));
    let inner_entry =
        ZipEntry { header_of: Some(1), data: Vec::new(), ..ZipEntry::stored("foo/inner", b"inner") };
    zip.entries.insert(1, inner_entry);
    let mut bytes = zip.bytes();
    // Its directory record points into the outer one's data.
    let inside = 30 + "foo/outer".len() as u32;
    let record = bytes.windows(9).rposition(|name| name == b"foo/inner").unwrap() - 46;
    bytes[record + 42..record + 46].copy_from_slice(&inside.to_le_bytes());
    match refusal(&bytes) {
        dist::Error::Entry { entry, flaw: Flaw::Overlaps, .. } => assert_eq!(entry, "foo/outer"),
        other => panic!("{other}"),
    }
}

#[test]
fn sizes_and_checksums_that_are_not_those_of_the_data() {
    assert_eq!(flaw(&changed(|entry| entry.crc32 ^= 1)).1, Flaw::Damaged);
    // A damaged stream may also end early.
    let damaged = flaw(&changed(|entry| entry.data[3] ^= 0x55)).1;
    assert!(matches!(damaged, Flaw::Damaged | Flaw::TrailingBytes), "{damaged}");
    // RECORD would tell about a wrong size; without a row, the data itself does.
    for delta in [-1, 1] {
        let mut zip = foo().unlisted_file("foo/size", "some text\n".repeat(50)).zip();
        let entry = zip.entry("foo/size");
        entry.size = entry.size.checked_add_signed(delta).unwrap();
        assert_eq!(flaw(&zip), ("foo/size".to_owned(), Flaw::Damaged));
    }
    let mut zip = foo().zip().with(ZipEntry::stored("foo/stored", b"stored"));
    zip.entry("foo/stored").crc32 ^= 1;
    assert_eq!(flaw(&zip), ("foo/stored".to_owned(), Flaw::Damaged));
    let mut zip = foo().zip().with(ZipEntry::stored("foo/stored", b"stored"));
    zip.entry("foo/stored").size += 1;
    assert_eq!(flaw(&zip), ("foo/stored".to_owned(), Flaw::Damaged));
}

/// Text that does not compress to less than the splice's threshold.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

#[test]
fn bytes_after_the_end_of_a_deflate_stream() {
    for bytes in [b"small".to_vec(), noise(20_000), noise(40 << 20)] {
        let entry = ZipEntry::new("foo/data", &bytes, 0o644);
        let footer = [crc32(&bytes).to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat();
        // A whole gzip member could hide behind the stream's own footer, spliced into the layer unseen.
        let mut member = footer.clone();
        member.extend([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
        member.extend(ZipEntry::new("x", b"smuggled", 0o644).data);
        for tail in [vec![0], vec![0; 300_000], footer, member] {
            let mut entry = entry.clone();
            entry.data.extend(&tail);
            entry.compressed = entry.data.len() as u64;
            assert_eq!(flaw(&foo().zip().with(entry)), ("foo/data".to_owned(), Flaw::TrailingBytes));
        }
        let mut short = entry.clone();
        short.data.pop();
        short.compressed -= 1;
        assert_eq!(flaw(&foo().zip().with(short)), ("foo/data".to_owned(), Flaw::Damaged));
    }
}

#[test]
fn bombs() {
    let impossible = changed(|entry| entry.size = 1 << 30);
    assert_eq!(flaw(&impossible).1, Flaw::Damaged, "deflate cannot do that");
    let mut zip = foo().zip().with(ZipEntry::new("foo/bomb", b"x", 0o644));
    zip.zip64 = true;
    let bomb = zip.entry("foo/bomb");
    (bomb.size, bomb.compressed) = (1 << 40, 1 << 39);
    assert_eq!(flaw(&zip).1, Flaw::TooLarge(1 << 40));
    // Many entries, each within what deflate can do.
    let zeros = vec![0; 4 << 20];
    let mut zip = foo().zip();
    let entry = ZipEntry::new("x", &zeros, 0o644);
    zip.entries.extend((0..300).map(|i| ZipEntry { name: format!("foo/{i}").into_bytes(), ..entry.clone() }));
    assert!(reason(&zip.bytes()).contains("far more"));
}

#[test]
fn archives_with_more_than_one_end_or_directory() {
    let good = foo().zip().bytes();
    assert!(reason(&[&good[..], b"trailing"].concat()).contains("no end-of-directory record"));
    assert!(reason(&good[..good.len() - 1]).contains("no end-of-directory record"));
    assert!(reason(&[b"prefix", &good[..]].concat()).contains("directory is not where"));
    assert!(reason(b"").contains("no end-of-directory record"));
    let mut other_count = good.clone();
    let end = good.len() - 22;
    for at in [end + 8, end + 10] {
        other_count[at] -= 1;
    }
    assert!(reason(&other_count).contains("more entries"));
    let mut zip64 = foo().zip();
    zip64.zip64 = true;
    let mut zip64 = zip64.bytes();
    let end = zip64.len() - 22;
    zip64[end + 12..end + 16].copy_from_slice(&7_u32.to_le_bytes());
    assert!(reason(&zip64).contains("disagree"));
}

#[test]
fn no_damage_to_an_archive_makes_it_panic() {
    let good = foo().entry_points("[console_scripts]\nfoo = foo:main\n").build().bytes;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        std::fs::write(&path, bad).unwrap();
        let opened = dist::Wheel::open(std::fs::File::open(path).unwrap(), &FILE_NAME.parse().unwrap());
        let layout = dist::Layout { prefix: "opt/venv", python: "3.11".parse().unwrap() };
        let _ = opened.and_then(|wheel| wheel.plan(&layout, None));
    }
}

#[test]
fn a_record_that_lies() {
    let info = "foo-1.0.dist-info";
    let rows = |file: &[u8], size: usize| {
        format!(
            "{}{info}/RECORD,,\n",
            record_row("foo/__init__.py", file).replace(&format!(",{}\n", file.len()), &format!(",{size}\n"))
        )
    };
    let with = |record: &str| flaw(&foo().record(record).zip());
    let (entry, flaw) = with(&rows(b"b = 2\n", 6));
    assert_eq!(entry, "foo/__init__.py");
    assert_eq!(flaw, Flaw::RecordHash { expected: Digest::of(b"b = 2\n"), actual: Digest::of(b"a = 1\n") });
    assert_eq!(with(&rows(b"a = 1\n", 7)).1, Flaw::RecordSize { expected: 7, actual: 6 });
    assert_eq!(with("foo/gone.py,,\n"), ("foo/gone.py".to_owned(), Flaw::Missing));
    assert_eq!(with("foo/text.txt,,\nfoo/text.txt,,500\n").1, Flaw::Duplicate);
    // Of a script whose first line is rewritten too.
    let script = foo().file("foo-1.0.data/scripts/tool", "#!python\nprint(1)\n");
    let lie = record_row("foo-1.0.data/scripts/tool", b"#!python\nprint(2)\n");
    let refused = refusal(&script.record(&lie).zip().bytes());
    assert!(matches!(refused, dist::Error::Entry { flaw: Flaw::RecordHash { .. }, .. }), "{refused}");
    assert!(reason(&foo().record("foo/text.txt,sha256=abc,500\n").zip().bytes()).contains("RECORD"));
}

#[test]
fn a_wheel_that_is_another_than_its_name_says() {
    let other = WheelBuilder::new("bar", "1.0").build().bytes;
    assert!(reason(&other).contains("holds `bar-1.0`, not foo 1.0"));
    let other = WheelBuilder::new("foo", "2.0").build().bytes;
    assert!(reason(&other).contains("holds `foo-2.0`, not foo 1.0"));
    let two = foo().file("bar-1.0.dist-info/METADATA", "").build().bytes;
    assert!(reason(&two).contains("has both"));
    for missing in ["METADATA", "WHEEL", "RECORD"] {
        let mut zip = foo().record("").zip();
        zip.entries.retain(|entry| entry.name != format!("foo-1.0.dist-info/{missing}").as_bytes());
        assert!(reason(&zip.bytes()).contains(missing));
    }
    let mut zip = foo().record("").zip();
    *zip.entry("foo-1.0.dist-info/WHEEL") =
        ZipEntry::new("foo-1.0.dist-info/WHEEL", b"Wheel-Version: 2.0\nRoot-Is-Purelib: true\n", 0o644);
    assert!(reason(&zip.bytes()).contains("format version `2.0`"));
}

#[test]
fn a_wheel_that_would_replace_the_environment_itself() {
    for path in ["data/bin/python", "data/bin/python3.11", "scripts/python3", "data/pyvenv.cfg"] {
        let zip = foo().file(&format!("foo-1.0.data/{path}"), "x").zip();
        assert!(matches!(flaw(&zip).1, Flaw::Reserved(_)), "{path}");
    }
    let zip = foo().entry_points("[console_scripts]\npython = foo:main\n").zip();
    assert!(matches!(flaw(&zip).1, Flaw::Reserved(_)));
    assert!(
        reason(&foo().entry_points("[console_scripts]\n../x = foo:main\n").build().bytes).contains("../x")
    );
    assert!(reason(&foo().file("foo-1.0.data/weird/x", "").build().bytes).contains("nobody knows where"));
    assert!(reason(&foo().file("foo-1.0.data/scripts/a/b", "").build().bytes).contains("nobody knows where"));
    let across =
        foo().file("foo-1.0.data/data/bin", "x").entry_points("[console_scripts]\nf = foo:main\n").zip();
    assert_eq!(flaw(&across).1, Flaw::FileAndDirectory);
}
