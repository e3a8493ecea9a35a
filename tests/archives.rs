//! Archives as destinations and as bases: what other tools read, and what they wrote.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use bakehouse::model::Digest;
use bakery::{World, digests, run};
use serde_json::Value;
use wheel::WheelBuilder;

fn world() -> World {
    let mut world = World::plain(&["alpha", "beta"]);
    world.publish(WheelBuilder::new("alpha", "1.0").file("alpha.py", "A = 1\n").build());
    world.publish(WheelBuilder::new("beta", "1.0").file("beta.py", "B = 1\n".repeat(50_000)).build());
    world
}

/// Runs another program, which must succeed; gives what it prints.
fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn name(kind: &str, path: &Path) -> String {
    format!("{kind}:{}", path.display())
}

/// The names of a tar archive's files, in order.
fn names(archive: &Path) -> Vec<String> {
    let mut archive = tar::Archive::new(File::open(archive).unwrap());
    archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
}

/// A file of a tar archive.
fn member(archive: &Path, name: &str) -> Vec<u8> {
    let mut archive = tar::Archive::new(File::open(archive).unwrap());
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut entry = entries.find(|entry| entry.path().unwrap() == Path::new(name)).unwrap();
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn several_destinations_get_the_same_image_the_same_bytes_each_time() {
    let world = world();
    let build = |number: u32| {
        let paths = ["layout", "oci.tar", "docker.tar"].map(|name| world.path(&format!("{name}{number}")));
        let [layout, oci, docker] = &paths;
        let outputs = [name("oci", layout), name("oci-archive", oci), name("docker-archive", docker)];
        let store = world.path(&format!("store{number}")).display().to_string();
        let mut arguments = vec!["build", "--tag", "latest", "--tag", "v2", "--cache-dir", &store];
        outputs.iter().for_each(|output| arguments.extend(["--output", output]));
        (world.succeed(&arguments), paths)
    };
    let (report, [_, oci, docker]) = build(1);
    let (_, [_, again, docker_again]) = build(2);
    assert_eq!(fs::read(&oci).unwrap(), fs::read(again).unwrap());
    assert_eq!(fs::read(&docker).unwrap(), fs::read(docker_again).unwrap());
    let image = &report["images"][0];
    assert_eq!(image["tags"], serde_json::json!(["latest", "v2"]));
    let mut beside: Vec<String> = fs::read_dir(world.path(""))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    beside.retain(|name| name.starts_with('.'));
    assert_eq!(beside, [""; 0], "nothing else stays behind");

    // Every blob is named by what it is.
    for name in names(&oci).iter().filter_map(|name| name.strip_prefix("blobs/sha256/")) {
        assert_eq!(Digest::of(&member(&oci, &format!("blobs/sha256/{name}"))).hex(), name);
    }
    let index: Value = serde_json::from_slice(&member(&oci, "index.json")).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    assert_eq!(index["manifests"][0]["digest"], image["digest"]);
    let list: Value = serde_json::from_slice(&member(&docker, "manifest.json")).unwrap();
    assert_eq!(list[0]["RepoTags"], serde_json::json!(["project:latest", "project:v2"]));
    // As they are: the base's, which is not packed, and those that were made here.
    let layers: Vec<&str> =
        list[0]["Layers"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    for (at, name) in layers.iter().enumerate() {
        let suffix = if at == 0 { ".tar" } else { ".tar.gz" };
        assert_eq!(Digest::of(&member(&docker, name)).hex() + suffix, *name);
    }
}

#[test]
fn other_tools_read_what_is_written() {
    let world = world();
    let (oci, docker) = (world.path("oci.tar"), world.path("docker.tar"));
    let outputs = [name("oci-archive", &oci), name("docker-archive", &docker)];
    let report = world.succeed(&["build", "--output", &outputs[0], "--output", &outputs[1]]);
    let digest = report["images"][0]["digest"].as_str().unwrap();
    let layers = report["images"][0]["platforms"][0]["layers"].as_array().unwrap().clone();

    let copied = world.path("copied");
    tool("skopeo", &["copy", "-q", &format!("{}:project:latest", outputs[0]), &name("dir", &copied)]);
    assert_eq!(Digest::of(&fs::read(copied.join("manifest.json")).unwrap()).to_string(), digest);
    let copied = world.path("copied-too");
    tool("skopeo", &["copy", "-q", &format!("{}:project:latest", outputs[1]), &name("oci", &copied)]);
    let inspected = tool("skopeo", &["inspect", "--config", &outputs[1]]);
    let config: Value = serde_json::from_str(&inspected).unwrap();
    let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["diffId"]).collect();
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().iter().collect::<Vec<_>>(), diff_ids);

    // Those that unpack it, in storage of their own.
    let storage = |program: &str| {
        let (root, run) = (world.path(&format!("{program}-root")), world.path(&format!("{program}-run")));
        let (root, run) = (root.display().to_string(), run.display().to_string());
        ["--root".into(), root, "--runroot".into(), run, "--storage-driver".into(), "vfs".into()]
    };
    for program in ["buildah", "podman"] {
        let storage: [String; 6] = storage(program);
        for (output, path) in [(&outputs[0], &oci), (&outputs[1], &docker)] {
            let mut arguments: Vec<&str> = storage.iter().map(String::as_str).collect();
            let path = path.display().to_string();
            match program {
                "podman" => arguments.extend(["load", "-q", "-i", &path]),
                _ => arguments.extend(["pull", "-q", output]),
            }
            tool(program, &arguments);
        }
    }
}

#[test]
fn an_archive_that_cannot_be_written_fails_before_the_work() {
    let world = world();
    for path in [world.path("none/a.tar"), world.project()] {
        let ran = world.run(&["build", "--output", &name("oci-archive", &path)]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert_eq!(ran.report["images"], serde_json::json!([]));
    }
    for output in ["oci-archive:", "tar:x", "x.tar"] {
        world.fail(&["build", "--output", output], 2, &["docker-archive:FILE"]);
    }
}

#[test]
fn a_failed_image_leaves_no_archive() {
    let world = World::plain(&["missing"]);
    let path = world.path("a.tar");
    let ran = world.run(&["build", "--output", &name("oci-archive", &path)]);
    assert_ne!(ran.code, 0);
    assert!(!path.exists());
}

/// Builds on a base; gives the image's digest.
fn digest_on(world: &World, base: &str) -> String {
    let report = world.succeed(&["build", "--base", base]);
    digests(&report).into_values().next().unwrap()
}

#[test]
fn archives_that_other_tools_wrote_are_bases() {
    let world = world();
    let layout = name("oci", &world.base());
    let expected = digest_on(&world, &layout);
    let (oci, docker) = (world.path("base-oci.tar"), world.path("base-docker.tar"));
    tool("skopeo", &["copy", "-q", &layout, &format!("{}:base:1", name("oci-archive", &oci))]);
    tool("skopeo", &["copy", "-q", &layout, &format!("{}:example/base:1", name("docker-archive", &docker))]);
    let packed = PathBuf::from(format!("{}.gz", docker.display()));
    tool("gzip", &["-k", &docker.display().to_string()]);
    // Layers are taken as they are, so the image is the same wherever its base lies.
    for base in [
        name("docker-archive", &docker),
        format!("{}:example/base:1", name("docker-archive", &docker)),
        format!("{}:docker.io/example/base:1", name("docker-archive", &docker)),
        name("docker-archive", &packed),
    ] {
        assert_eq!(digest_on(&world, &base), expected, "{base}");
    }
    // An OCI archive has what skopeo compressed.
    let report = world.succeed(&["build", "--base", &format!("{}:base:1", name("oci-archive", &oci))]);
    assert_eq!(report["images"][0]["platforms"][0]["python"], "3.11");
    let missing = format!("{}:other", name("docker-archive", &docker));
    world.fail(&["build", "--base", &missing], 10, &["has no image named `other`", "example/base:1"]);
}

#[test]
fn what_is_written_can_be_built_upon() {
    let world = world();
    let (oci, docker) = (world.path("first.tar"), world.path("second.tar"));
    let report = world.succeed(&[
        "build",
        "--output",
        &name("oci-archive", &oci),
        "--output",
        &name("docker-archive", &docker),
    ]);
    let first = report["images"][0]["platforms"][0]["layers"].as_array().unwrap().len();
    for base in [name("oci-archive", &oci), name("docker-archive", &docker)] {
        let report = world.succeed(&["build", "--base", &base]);
        let layers = report["images"][0]["platforms"][0]["layers"].as_array().unwrap().clone();
        assert_eq!(layers.iter().filter(|layer| layer["role"] == "base").count(), first, "{base}");
    }
}

#[test]
fn hostile_archives_are_refused() {
    let world = world();
    let archive = |name: &str, members: &[(&str, &[u8])]| {
        let path = world.path(name);
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.finish().unwrap();
        path
    };
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]}}"#;
    let list = br#"[{"Config":"c.json","RepoTags":null,"Layers":["l.tar"]}]"#;
    let two = br#"[{"Config":"c.json","Layers":["l.tar", "l.tar"]}]"#;
    let swapped = archive("swapped", &[("c.json", config), ("l.tar", &[0; 1024]), ("manifest.json", list)]);
    let lacking = archive("lacking", &[("c.json", config), ("manifest.json", list)]);
    let uneven = archive("uneven", &[("c.json", config), ("l.tar", b""), ("manifest.json", two)]);
    let broken = archive("broken", &[("manifest.json", b"[{")]);
    let other = archive("other", &[("readme", b"hello")]);
    let text = world.path("text");
    fs::write(&text, "no archive at all").unwrap();
    let noise = world.path("noise");
    fs::write(&noise, [7; 4096]).unwrap();
    let cut = world.path("cut");
    fs::write(&cut, &fs::read(&swapped).unwrap()[..2048]).unwrap();
    for (path, code, word) in [
        (&swapped, 30, "sha256:ba7816"),
        (&lacking, 10, "has no file `l.tar`"),
        (&uneven, 10, "lists 2 layers"),
        (&broken, 10, "`manifest.json` is broken"),
        (&other, 10, "`docker save` writes one"),
        (&text, 10, "manifest.json"),
        (&noise, 10, "not a tar archive"),
        (&cut, 10, "ends early"),
    ] {
        world.fail(&["build", "--base", &name("docker-archive", path)], code, &[word]);
    }
    world.fail(&["build", "--base", &name("oci-archive", &other)], 10, &["oci-layout"]);
    world.fail(&["build", "--base", &name("oci-archive", &world.path("gone"))], 1, &["gone"]);
    let bomb = world.path("bomb");
    let packed = File::create(&bomb).unwrap();
    let mut zeros = Command::new("head")
        .args(["-c", "300M", "/dev/zero"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let zstd =
        Command::new("gzip").arg("-1").stdin(zeros.stdout.take().unwrap()).stdout(packed).status().unwrap();
    assert!(zstd.success() && zeros.wait().unwrap().success());
    world.fail(&["build", "--base", &name("docker-archive", &bomb)], 30, &["bomb"]);
}

#[test]
fn scratch_says_what_is_missing() {
    let world = world();
    world.fail(&["build", "--base", "scratch"], 10, &["`scratch`, which is empty", "no Python", "C library"]);
    let ran = run(&mut world.command(&["build", "--base", "scratch", "--python", "3.12"]));
    assert!(ran.code == 10 && ran.stderr.contains("3.12"), "{}", ran.stderr);
}
