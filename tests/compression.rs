//! How layers are compressed: gzip or zstd, the same bytes whatever the jobs, the store and the input's chunks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::path::Path;
use std::process::Command;

use bakehouse::layer::{Attributes, EntryWriter, entries_key};
use bakehouse::model::{Digest, KeyHasher};
use bakehouse::store::Store;
use bakery::{World, layers};
use registry::Registry;
use serde_json::Value;
use wheel::WheelBuilder;

/// Text in which something recurs.
fn text(seed: u32, len: usize) -> Vec<u8> {
    let line = |i: u32| format!("line {} of {seed}: {}\n", i % 1000, Digest::of(&i.to_be_bytes()).hex());
    let mut text: Vec<u8> = (0..).flat_map(|i: u32| line(i).into_bytes()).take(len).collect();
    text.truncate(len);
    text
}

/// A project of two distributions with layers of their own, of several frames each.
fn large_ones(requirements: &[&str]) -> World {
    let mut world = World::plain(requirements);
    world.publish(WheelBuilder::new("large", "1.0").file("large/data.txt", text(1, 12 << 20)).build());
    world.publish(WheelBuilder::new("other", "1.0").file("other/data.txt", text(2, 9 << 20)).build());
    world
}

/// The same with small ones that share a layer, and two that write the same paths.
fn world() -> World {
    let mut world = large_ones(&["large", "other", "small", "tiny", "first", "second"]);
    for name in ["first", "second"] {
        let wheel = WheelBuilder::new(name, "1.0").file("space/__init__.py", "").file("space/who.txt", name);
        world.publish(wheel.file(&format!("space/{name}.py"), "X = 1\n").build());
    }
    for name in ["small", "tiny"] {
        world.publish(WheelBuilder::new(name, "1.0").file(&format!("{name}.py"), "X = 1\n").build());
    }
    world
}

fn digests(report: &Value) -> Vec<String> {
    let digest = |layer: &Value| layer["digest"].as_str().unwrap().to_owned();
    layers(report).iter().filter(|layer| layer["role"] != "base").map(digest).collect()
}

fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn digests_depend_neither_on_jobs_nor_on_the_store() {
    let world = world();
    let mut found = Vec::new();
    for compression in ["gzip", "zstd"] {
        let build = |store: &str, jobs: &str| {
            let store = world.path(&format!("{compression}-{store}"));
            let store = store.to_str().unwrap();
            let build = ["build", "--compression", compression, "--cache-dir", store, "--jobs", jobs];
            digests(&world.succeed(&build))
        };
        let cold = build("one", "1");
        assert!(cold.len() >= 4, "{cold:?}");
        assert_eq!(build("one", "8"), cold, "a warm store");
        assert_eq!(build("eight", "8"), cold, "a fresh store and more jobs");
        assert_eq!(build("two", "2"), cold);
        found.push(cold);
    }
    assert!(found[0].iter().all(|digest| !found[1].contains(digest)), "{found:?}");
}

#[test]
fn bytes_do_not_depend_on_the_chunks_in_which_they_arrive() {
    let content = text(3, 3 << 20);
    let fragment = |chunk: usize| {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let mut writer =
            EntryWriter::create(&store, entries_key(&KeyHasher::new("test/1").finish())).unwrap();
        writer.file("a", content.len() as u64, Attributes::root(0o644)).unwrap();
        content.chunks(chunk).for_each(|chunk| writer.content(chunk).unwrap());
        writer.finish().unwrap()
    };
    let whole = fragment(content.len());
    for chunk in [7, 512, 4096 + 1, 1 << 20] {
        assert_eq!(fragment(chunk), whole, "in chunks of {chunk}");
    }
}

#[test]
fn layers_are_read_by_other_programs() {
    let world = world();
    for compression in ["gzip", "zstd"] {
        read_by_others(&world, compression);
    }
}

fn read_by_others(world: &World, compression: &str) {
    // buildah and podman name an image by its layout's path, and names of images are in small letters.
    let small = format!("bakehouse-{compression}-{}", std::process::id());
    let outputs = tempfile::Builder::new().prefix(&small).rand_bytes(0).tempdir().unwrap();
    let path = |name: &str| outputs.path().join(name).display().to_string();
    let (oci, archive) = (format!("oci:{}", path("out")), format!("oci-archive:{}", path("out.tar")));
    let build = ["build", "--compression", compression, "--output", &oci, "--output", &archive];
    let report = world.succeed(&build);

    let blob = |digest: &str| {
        fs::read(outputs.path().join("out/blobs/sha256").join(digest.strip_prefix("sha256:").unwrap()))
            .unwrap()
    };
    let manifest = report["images"][0]["platforms"][0]["digest"].as_str().unwrap();
    let manifest: Value = serde_json::from_slice(&blob(manifest)).unwrap();
    let own = digests(&report);
    assert!(layers(&report).iter().any(|layer| layer["packages"].as_array().unwrap().len() > 1));
    for layer in manifest["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        if !own.iter().any(|own| own == digest) {
            continue;
        }
        let expected = format!("application/vnd.oci.image.layer.v1.tar+{compression}");
        assert_eq!(layer["mediaType"], *expected);
    }

    for source in [format!("{oci}:project:latest"), format!("{archive}:project:latest")] {
        tool("skopeo", &["copy", "-q", &source, &format!("dir:{}", path("dir"))]);
        // Both check every diff ID.
        for program in ["buildah", "podman"] {
            let (root, run) = (path(&format!("{program}-root")), path(&format!("{program}-run")));
            let storage = ["--root", &root, "--runroot", &run, "--storage-driver", "vfs"];
            let id = tool(program, &[&storage[..], &["pull", "-q", &source]].concat());
            if program == "podman" {
                let mounted = tool(program, &[&storage[..], &["image", "mount", id.trim()]].concat());
                let site = Path::new(mounted.trim()).join("opt/venv/lib/python3.11/site-packages");
                assert_eq!(fs::read(site.join("large/data.txt")).unwrap(), text(1, 12 << 20));
                assert_eq!(fs::read(site.join("small.py")).unwrap(), b"X = 1\n");
                assert_eq!(fs::read(site.join("space/first.py")).unwrap(), b"X = 1\n");
                assert_eq!(fs::read(site.join("space/who.txt")).unwrap(), b"second", "the later one's stays");
                tool(program, &[&storage[..], &["image", "unmount", id.trim()]].concat());
            }
        }
    }
    if compression == "gzip" {
        bakery::unpack(&outputs.path().join("out"), "project:latest", &outputs.path().join("bundle"));
    }
}

#[test]
fn a_docker_archive_has_no_zstd_layers() {
    let world = World::plain(&[]);
    let output = format!("docker-archive:{}", world.path("out.tar").display());
    let build = ["build", "--compression", "zstd", "--output", &output];
    world.fail(&build, 2, &["docker-archive:", "zstd", "oci-archive:"]);
    assert!(!world.path("out.tar").exists());
}

#[test]
fn records_tell_the_compressions_apart() {
    let (world, registry) = (world(), Registry::start());
    let push = format!("{}/team", registry.address());
    let build = |store: &str, compression: &str| {
        let store = world.path(store);
        let arguments = ["build", "--push", &push, "--compression", compression, "--cache-dir"];
        world.succeed(&[&arguments[..], &[store.to_str().unwrap()]].concat())
    };
    let bytes = |report: &Value| report["transfer"]["distributionBytes"].as_u64().unwrap();
    let first = build("one", "zstd");
    let again = build("two", "zstd");
    assert_eq!((digests(&again), bytes(&again)), (digests(&first), 0));
    assert!(layers(&again).iter().all(|layer| layer["transfer"] == "present"));
    let other = build("three", "gzip");
    assert!(bytes(&other) > 0, "layers of the other kind do not serve");
    // And both are there now.
    for (store, compression, expected) in [("four", "gzip", &other), ("five", "zstd", &first)] {
        let found = build(store, compression);
        assert_eq!((digests(&found), bytes(&found)), (digests(expected), 0), "{compression}");
    }
    // Read back and hashed, as they are.
    let store = world.path("six");
    let verified = world.succeed(&[
        "build",
        "--push",
        &push,
        "--compression",
        "zstd",
        "--verify-cache",
        "--cache-dir",
        store.to_str().unwrap(),
    ]);
    assert_eq!((digests(&verified), bytes(&verified)), (digests(&first), 0));
}
