//! OCI layouts as destinations and sources: what is in them can be trusted, and several runs may write to one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::thread;

use bakehouse::image::{Base, Image, ImageSpec, compose};
use bakehouse::model::{Digest, ExitCode, Platform};
use bakehouse::registry::{Error, Layout};
use bakehouse::store::Store;
use tempfile::tempdir;

/// An image without layers; the label makes the difference.
fn image(flavour: &str) -> Image {
    let base = Base::scratch(Platform::host());
    let mut spec = ImageSpec::new(&base, Platform::host(), &[]);
    spec.labels.insert("flavour".into(), flavour.into());
    compose(&spec).unwrap()
}

fn put(layout: &Layout, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    layout.put_blob(&digest, bytes.len() as u64, &mut &*bytes).unwrap();
    digest
}

fn put_image(layout: &Layout, flavour: &str, name: &str) -> Image {
    let image = image(flavour);
    put(layout, &image.config.bytes);
    put(layout, &image.manifest.bytes);
    layout.tag(&image.descriptor(), name).unwrap();
    image
}

/// All files below a directory, relative.
fn files(path: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path()).into_iter().map(|file| format!("{name}/{file}"))),
            false => drop(found.insert(name)),
        }
    }
    found
}

#[test]
fn a_layout_is_made_where_nothing_is_and_reopened_where_one_is() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("a/b");
    assert!(matches!(Layout::open(&path), Err(Error::BadLayout { .. })));
    let image = put_image(&Layout::create(&path).unwrap(), "rye", "bread:1");
    let again = Layout::create(&path).unwrap();
    assert_eq!(again.manifest(Some("bread:1")).unwrap().bytes, image.manifest.bytes);
    let expected = ["index.json".into(), "oci-layout".into()]
        .into_iter()
        .chain([&image.config, &image.manifest].map(|d| format!("blobs/sha256/{}", d.digest.hex())))
        .collect();
    assert_eq!(files(&path), expected, "nothing else stays behind");
}

#[test]
fn a_directory_in_use_is_left_alone() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("thesis.txt"), "precious").unwrap();
    let error = Layout::create(directory.path()).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Usage);
    assert_eq!(files(directory.path()), ["thesis.txt".to_owned()].into());
}

#[test]
fn names_are_unique_sorted_and_replaced() {
    let directory = tempdir().unwrap();
    let layout = Layout::create(directory.path()).unwrap();
    let (rye, spelt) = (put_image(&layout, "rye", "b:1"), put_image(&layout, "spelt", "a:1"));
    let index = || fs::read_to_string(directory.path().join("index.json")).unwrap();
    let first = index();
    layout.tag(&rye.descriptor(), "b:1").unwrap();
    assert_eq!(index(), first, "the same again changes nothing");
    assert!(first.find("a:1") < first.find("b:1"));

    layout.tag(&spelt.descriptor(), "b:1").unwrap();
    assert_eq!(layout.images().unwrap().len(), 2);
    for name in [Some("a:1"), Some("b:1"), None] {
        assert_eq!(layout.manifest(name).unwrap().digest, spelt.manifest.digest, "{name:?}");
    }
    let rye_by_digest = layout.manifest(Some(&rye.manifest.digest.to_string())).unwrap();
    assert_eq!(rye_by_digest.bytes, rye.manifest.bytes, "what is not listed can be had by digest");
}

#[test]
fn an_error_tells_the_names_there_are() {
    let directory = tempdir().unwrap();
    let layout = Layout::create(directory.path()).unwrap();
    put_image(&layout, "rye", "a:1");
    put_image(&layout, "spelt", "b:1");
    for wanted in [Some("c:1"), None] {
        let error = layout.manifest(wanted).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Project);
        assert_eq!(error.hint().unwrap(), "it has: a:1, b:1");
    }
    for name in ["", "a b", "a\n"] {
        assert!(matches!(layout.tag(&image("x").descriptor(), name), Err(Error::Name { .. })));
    }
    assert!(matches!(layout.tag(&image("x").descriptor(), "x"), Err(Error::NotInLayout { .. })));
}

#[test]
fn many_writers_lose_no_entry() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("layout");
    thread::scope(|scope| {
        for writer in 0..8 {
            let path = &path;
            scope.spawn(move || {
                let layout = Layout::create(path).unwrap();
                for round in 0..5 {
                    put_image(&layout, &format!("{writer}"), &format!("w{writer}:{round}"));
                }
            });
        }
    });
    assert_eq!(Layout::open(&path).unwrap().images().unwrap().len(), 40);
}

#[test]
fn a_blob_appears_only_if_it_is_right() {
    let directory = tempdir().unwrap();
    let layout = Layout::create(directory.path()).unwrap();
    let before = files(directory.path());
    let digest = Digest::of(b"bread");
    for (size, mut bytes) in [(5, b"jello".as_slice()), (5, b"breads"), (5, b"brea"), (4, b"bread")] {
        let error = layout.put_blob(&digest, size, &mut bytes).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Integrity, "{error}");
    }
    assert_eq!(files(directory.path()), before);
    put(&layout, b"bread");
    assert!(layout.has_blob(&digest, 5) && !layout.has_blob(&digest, 6));
}

#[test]
fn a_changed_blob_is_noticed_when_it_is_read() {
    let (directory, other) = (tempdir().unwrap(), tempdir().unwrap());
    let layout = Layout::create(directory.path()).unwrap();
    let store = Store::open(other.path()).unwrap();
    let image = put_image(&layout, "rye", "a:1");
    for bytes in
        [b"bread".to_vec(), image.manifest.bytes.iter().rev().copied().collect(), vec![b' '; 100_000]]
    {
        let (digest, size) = (image.manifest.digest, image.manifest.size());
        fs::write(directory.path().join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        let mut read = Vec::new();
        assert!(layout.open_blob(&digest, size).unwrap().read_to_end(&mut read).is_err());
        let errors = [
            layout.manifest(Some("a:1")).unwrap_err(),
            layout.pull_blob(&store, &digest, size).unwrap_err(),
            layout.blob_bytes(&digest, size).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.exit_code() == ExitCode::Integrity), "{errors:?}");
        assert_eq!(store.blob(&digest, None), None);
    }
    let config = layout.pull_blob(&store, &image.config.digest, image.config.size()).unwrap();
    assert_eq!(fs::read(config.path()).unwrap(), image.config.bytes);
}

#[test]
fn a_hostile_index_leads_nowhere() {
    let directory = tempdir().unwrap();
    let layout = Layout::create(directory.path()).unwrap();
    let entry = |digest: &str, size: u64| {
        format!(
            r#"{{"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size},"annotations":{{"org.opencontainers.image.ref.name":"a"}}}}]}}"#
        )
    };
    let hex = "0".repeat(64);
    for index in [
        entry("sha256:../../../../etc/passwd", 10),
        entry("x:../../../../etc/passwd", 10),
        entry("../../oci-layout", 10),
        entry(&format!("sha512:{hex}{hex}"), 10),
        entry(&format!("sha256:{hex}"), u64::MAX),
        "[".repeat(10_000),
        "{}".into(),
        String::new(),
    ] {
        fs::write(directory.path().join("index.json"), &index).unwrap();
        let error = layout.manifest(Some("a")).unwrap_err();
        assert_ne!(error.exit_code(), ExitCode::Internal, "{error:?}");
    }
    fs::write(directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(matches!(Layout::open(directory.path()), Err(Error::BadLayout { .. })));
}

#[test]
fn what_others_wrote_into_the_index_stays() {
    let directory = tempdir().unwrap();
    let layout = Layout::create(directory.path()).unwrap();
    let theirs = r#"{"schemaVersion":2,"annotations":{"x":"y"},"manifests":[{"mediaType":"a/b","digest":"sha512:0","size":1,"extra":[1]}]}"#;
    fs::write(directory.path().join("index.json"), theirs).unwrap();
    put_image(&layout, "rye", "a:1");
    let index = fs::read_to_string(directory.path().join("index.json")).unwrap();
    assert!(index.contains(r#""extra":[1]"#) && index.contains(r#""annotations":{"x":"y"}"#), "{index}");
    assert_eq!(layout.images().unwrap().len(), 1);
}
