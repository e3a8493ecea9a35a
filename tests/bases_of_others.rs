//! Bases that other tools made, odd ones, and hostile ones: through the whole program.

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
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use bakehouse::model::Digest;
use bakery::{LIBC, PYTHON, World, debian_layout, layers, musl_layout, script, unpack, write_layout};
use registry::Registry;
use serde_json::{Value, json};
use wheel::WheelBuilder;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A project that needs one distribution, with a wheel for each C library.
fn world() -> World {
    let mut world = World::plain(&["native"]);
    for tags in [
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp311-cp311-musllinux_1_1_x86_64",
        "cp312-cp312-manylinux_2_17_x86_64",
    ] {
        world.publish(WheelBuilder::new("native", "1.0").tags(tags).file("native.py", tags).build());
    }
    world
}

/// Runs another program, which must succeed; gives what it prints, without the end of the line.
fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// buildah with storage of its own.
struct Buildah {
    storage: [String; 6],
}

impl Buildah {
    fn new(world: &World) -> Self {
        let path = |name: &str| world.path(name).display().to_string();
        let [root, run] = [path("buildah-root"), path("buildah-run")];
        Self {
            storage: [
                "--root".into(),
                root,
                "--runroot".into(),
                run,
                "--storage-driver".into(),
                "vfs".into(),
            ],
        }
    }

    fn run(&self, arguments: &[&str]) -> String {
        let storage: Vec<&str> = self.storage.iter().map(String::as_str).collect();
        tool("buildah", &[&storage[..], arguments].concat())
    }
}

/// A root file system with a Python by its looks, reached through links as Debian's is.
fn write_root(root: &Path) {
    for (path, content, mode) in [PYTHON, ("usr/bin/python3.12", "\x7fELF 3.12.1\0", 0o755), LIBC] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir_all(root.join("etc/alternatives")).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    symlink("/bin/python3.11", root.join("etc/alternatives/python3")).unwrap();
    symlink("/etc/alternatives/python3", root.join("usr/bin/python3")).unwrap();
}

/// Builds on a base and gives what the environment's interpreter is linked to.
fn interpreter(world: &World, base: &str, arguments: &[&str]) -> String {
    let out = world.path("out");
    let output = format!("oci:{}", out.display());
    let _ = fs::remove_dir_all(&out);
    world.succeed(&[&["build", "--upgrade", "--base", base, "--output", &output][..], arguments].concat());
    let bundle = world.path("bundle");
    let _ = fs::remove_dir_all(&bundle);
    let _ = fs::remove_dir_all(world.path("bundle.layout"));
    unpack(&out, "project:latest", &bundle);
    fs::read_link(bundle.join("rootfs/opt/venv/bin/python")).unwrap().display().to_string()
}

#[test]
fn what_buildah_made_is_a_base_in_each_form() {
    let (world, registry) = (world(), Registry::start());
    let buildah = Buildah::new(&world);
    write_root(&world.path("root"));
    let path = |name: &str| world.path(name).display().to_string();
    let container = buildah.run(&["from", "scratch"]);
    buildah.run(&["copy", "-q", &container, &path("root"), "/"]);
    buildah.run(&["config", "--env", "PATH=/usr/bin:/bin", "--workingdir", "/srv", &container]);
    buildah.run(&["commit", "-q", &container, "first"]);
    // A second layer takes the first Python away.
    let container = buildah.run(&["from", "--pull-never", "localhost/first"]);
    let root = PathBuf::from(buildah.run(&["mount", &container]));
    fs::remove_file(root.join("usr/bin/python3.11")).unwrap();
    fs::remove_file(root.join("usr/bin/python3")).unwrap();
    fs::hard_link(root.join("usr/bin/python3.12"), root.join("usr/bin/python3")).unwrap();
    buildah.run(&["commit", "-q", &container, "second"]);

    let docker = format!("{}/others/second:docker", registry.address());
    let oci = format!("oci:{}", path("second"));
    buildah.run(&[
        "push",
        "-q",
        "--tls-verify=false",
        "--format",
        "v2s2",
        "second",
        &format!("docker://{docker}"),
    ]);
    buildah.run(&["push", "-q", "second", &format!("{oci}:two")]);
    buildah.run(&["push", "-q", "second", &format!("docker-archive:{}", path("second.tar"))]);
    buildah.run(&["push", "-q", "first", &format!("oci-archive:{}:one", path("first.tar"))]);
    assert_eq!(
        interpreter(&world, &format!("oci-archive:{}", path("first.tar")), &[]),
        "/usr/bin/python3.11"
    );
    for base in [docker, format!("{oci}:two"), format!("docker-archive:{}", path("second.tar"))] {
        assert_eq!(interpreter(&world, &base, &[]), "/usr/bin/python3.12", "{base}");
    }
}

#[test]
fn what_umoci_made_is_a_base() {
    let world = world();
    let base = world.path("made");
    let image = format!("{}:base", base.display());
    let bundle = world.path("made-bundle");
    let umoci = |arguments: &[&str]| {
        let rootless = if bakery::is_root() { None } else { Some("--rootless") };
        let arguments: Vec<&str> = arguments[..1]
            .iter()
            .copied()
            .chain(rootless.filter(|_| arguments[0] == "unpack"))
            .chain(arguments[1..].iter().copied())
            .collect();
        tool("umoci", &arguments)
    };
    let bundle_name = bundle.display().to_string();
    umoci(&["init", "--layout", &base.display().to_string()]);
    umoci(&["new", "--image", &image]);
    umoci(&["unpack", "--image", &image, &bundle_name]);
    write_root(&bundle.join("rootfs"));
    umoci(&["repack", "--refresh-bundle", "--image", &image, &bundle_name]);
    let root = bundle.join("rootfs");
    fs::remove_file(root.join("etc/alternatives/python3")).unwrap();
    fs::create_dir_all(root.join("usr/local/bin")).unwrap();
    fs::hard_link(root.join("usr/bin/python3.12"), root.join("usr/local/bin/python3.12")).unwrap();
    symlink("../local/bin/python3.12", root.join("etc/alternatives/python3")).unwrap();
    umoci(&["repack", "--image", &image, &bundle_name]);
    let base = format!("oci:{}:base", base.display());
    assert_eq!(interpreter(&world, &base, &["--python", "3.11"]), "/usr/bin/python3.11");
    assert_eq!(interpreter(&world, &base, &["--python", "3.12"]), "/usr/local/bin/python3.12");
    world.fail(&["build", "--base", &base, "--python", "3.9"], 10, &["3.9", "/usr/bin/python3.11", "3.12"]);
}

#[test]
fn a_musl_base_gets_wheels_for_musl_layout() {
    let world = world();
    let musl = ("lib/ld-musl-x86_64.so.1", "\x7fELF\0musl libc (x86_64)\nVersion %s\n\x001.2.4\0\0", 0o755);
    write_layout(&world.path("base"), &[PYTHON, musl]);
    world.succeed(&["build"]);
    let lock = fs::read_to_string(world.project().join("pylock.toml")).unwrap();
    assert!(lock.contains("musllinux_1_1") && !lock.contains("manylinux"), "{lock}");
}

#[test]
fn of_two_pythons_the_one_asked_for_is_linked() {
    let world = world();
    write_layout(
        &world.path("base"),
        &[PYTHON, ("opt/python/bin/python3.12", "\x7fELF 3.12.0\0", 0o755), LIBC],
    );
    let base = format!("oci:{}", world.path("base").display());
    assert_eq!(interpreter(&world, &base, &[]), "/usr/bin/python3.11", "that of the PATH");
    assert_eq!(interpreter(&world, &base, &["--python", "3.12"]), "/opt/python/bin/python3.12");
    world.write("pyproject.toml", "[project]\nname = \"p\"\nversion = \"1\"\nrequires-python = \">=3.12\"\ndependencies = [\"native\"]\n");
    fs::remove_file(world.project().join("requirements.txt")).unwrap();
    world.succeed(&["build", "--upgrade"]);
    assert!(fs::read_to_string(world.project().join("pylock.toml")).unwrap().contains("==3.12.*"));
    write_layout(&world.path("none"), &[("usr/bin/perl", "\x7fELF", 0o755), LIBC]);
    let none = format!("oci:{}", world.path("none").display());
    world.fail(&["build", "--base", &none], 10, &["there is no Python", ">=3.12"]);
}

/// An OCI layout put together by hand: its folder, and what to put into it.
struct ByHand(PathBuf);

impl ByHand {
    fn new(world: &World, name: &str) -> Self {
        let path = world.path(name);
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
        Self(path)
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        fs::write(self.0.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    fn json(&self, media_type: &str, document: &Value) -> Value {
        self.blob(media_type, document.to_string().as_bytes())
    }

    /// The manifest of an image of these layers, each with its diff ID.
    fn image(&self, architecture: &str, layers: &[(Vec<u8>, Digest, &str)]) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|(_, diff_id, _)| diff_id).collect();
        let config = json!({"architecture": architecture, "os": "linux", "config": {"Env": ["PATH=/usr/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = self.json("application/vnd.oci.image.config.v1+json", &config);
        let layers: Vec<_> = layers
            .iter()
            .map(|(bytes, _, suffix)| {
                self.blob(&format!("application/vnd.oci.image.layer.v1.tar{suffix}"), bytes)
            })
            .collect();
        let manifest =
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        self.json(OCI_MANIFEST, &manifest)
    }

    /// Makes this the layout's only entry; gives the layout's name.
    fn entry(&self, descriptor: &Value) -> String {
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
        fs::write(self.0.join("index.json"), index.to_string()).unwrap();
        format!("oci:{}", self.0.display())
    }
}

/// A tar of entries: kind, path, target, content. Paths are written as they are.
fn tar(entries: &[(tar::EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, path, target, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn plain(tar: Vec<u8>) -> (Vec<u8>, Digest, &'static str) {
    let diff_id = Digest::of(&tar);
    (tar, diff_id, "")
}

fn python_layer() -> (Vec<u8>, Digest, &'static str) {
    plain(tar(&[(tar::EntryType::Regular, PYTHON.0, "", PYTHON.1.as_bytes())]))
}

#[test]
fn an_index_may_hold_more_than_images_for_usual_machines() {
    let world = world();
    let hand = ByHand::new(&world, "odd");
    let good = hand.image("amd64", &[python_layer()]);
    let fast = hand.image("amd64", &[plain(tar(&[]))]);
    let on = |descriptor: &Value, os: &str, architecture: &str, variant: &str| {
        let mut descriptor = descriptor.clone();
        descriptor["platform"] = json!({"os": os, "architecture": architecture, "variant": variant});
        descriptor
    };
    let manifests = json!([
        on(&fast, "linux", "amd64", "v3"),
        on(&fast, "linux", "amd64", "sse9"),
        on(&fast, "windows", "amd64", ""),
        on(&fast, "linux", "arm", "v7"),
        on(&fast, "unknown", "unknown", ""),
        {"mediaType": "application/vnd.example.thing", "digest": "sha512:00", "size": 1, "platform": {"os": 7}},
        "not even an object",
        on(&good, "linux", "amd64", "v1"),
    ]);
    let docker = "application/vnd.docker.distribution.manifest.list.v2+json";
    for media_type in [OCI_INDEX, docker] {
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests});
        let base = hand.entry(&hand.json(media_type, &index));
        world.succeed(&["build", "--base", &base]);
        world.fail(
            &["build", "--base", &base, "--platform", "linux/arm64"],
            10,
            &["linux/arm64", "linux/amd64/v3"],
        );
    }
    // An index in an index, and one that is its own image's stranger: the config has the last word.
    let inner = hand.json(
        OCI_INDEX,
        &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [on(&good, "linux", "amd64", "")]}),
    );
    let outer = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [inner]});
    world.succeed(&["build", "--base", &hand.entry(&hand.json(OCI_INDEX, &outer))]);
    let lying =
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [on(&good, "linux", "arm64", "")]});
    let base = hand.entry(&hand.json(OCI_INDEX, &lying));
    world.fail(&["build", "--base", &base, "--platform", "linux/arm64"], 10, &["linux/amd64"]);
}

#[test]
fn the_layers_of_a_base_are_counted() {
    let world = world();
    let hand = ByHand::new(&world, "many");
    let base = |count: usize| {
        let mut all = vec![python_layer()];
        all.extend((1..count).map(|i| {
            plain(tar(&[(tar::EntryType::Regular, &format!("etc/{i}"), "", i.to_string().as_bytes())]))
        }));
        hand.entry(&hand.image("amd64", &all))
    };
    let report = world.succeed(&["build", "--base", &base(120)]);
    let count = layers(&report).len();
    assert!((122..=125).contains(&count), "{count} layers");
    let ran = world.run(&["build", "--base", &base(126)]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("126"), "{}", ran.stderr);
}

#[test]
fn whiteouts_opaque_directories_and_links_are_followed_to_what_is_left() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let world = world();
    let hand = ByHand::new(&world, "links");
    let elf = b"\x7fELF program".as_slice();
    let lower = tar(&[
        (Symlink, "bin", "usr/bin", b""),
        (Regular, "bin/python3.11", "", elf),
        (Regular, "opt/a/bin/python3.12", "", elf),
        (Regular, "opt/b/bin/python3.13", "", elf),
    ]);
    let upper = tar(&[
        (Regular, "opt/.wh.a", "", b""),
        (Directory, "opt/b/", "", b""),
        (Regular, "opt/b/.wh..wh..opq", "", b""),
        (Link, "usr/local/bin/python3.11", "usr/bin/python3.11", b""),
        (Symlink, "usr/bin/python3", "/etc/alternatives/python3", b""),
        (Symlink, "etc/alternatives/python3", "../../bin/python3.11", b""),
    ]);
    let base = hand.entry(&hand.image("amd64", &[plain(lower), plain(upper)]));
    assert_eq!(interpreter(&world, &base, &[]), "/usr/bin/python3.11");
    let gone = world.run(&["build", "--base", &base, "--python", "3.12"]);
    assert!(gone.code == 10 && !gone.stderr.contains("/opt/"), "{}", gone.stderr);
}

#[test]
fn a_hostile_base_is_refused() {
    use tar::EntryType::{Link, Regular, Symlink};
    let world = world();
    let hand = ByHand::new(&world, "hostile");
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let refused = |base: &str, code: i32| {
        let ran = world.run(&["build", "--base", base]);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(!world.project().join("pylock.toml").exists());
    };
    let (bytes, diff_id, _) = python_layer();
    // A diff ID that is not the layer's, compressed and not.
    refused(&hand.entry(&hand.image("amd64", &[(bytes.clone(), Digest::of(b"other"), "")])), 30);
    refused(&hand.entry(&hand.image("amd64", &[(gzip(&bytes), Digest::of(b"other"), "+gzip")])), 30);
    // Names that lead out, and links in circles with something behind them.
    for entries in [
        &[(Regular, "../../etc/cron.d/x", "", b"".as_slice())][..],
        &[(Regular, "usr/../../x", "", b"")],
        &[(Link, "x", "../../../etc/shadow", b"")],
        &[(Symlink, "a", "b", b""), (Symlink, "b", "a", b""), (Regular, "a/bin/python3.11", "", b"\x7fELF")],
    ] {
        refused(&hand.entry(&hand.image("amd64", &[plain(tar(entries))])), 30);
    }
    // A tar in which a small layer says that it is 400 MB of nothing, many times over.
    let zeros = vec![0; 4 << 20];
    let mut bomb = Vec::new();
    let member = gzip(&zeros);
    (0..2000).for_each(|_| bomb.extend_from_slice(&member));
    refused(&hand.entry(&hand.image("amd64", &[(bomb, diff_id, "+gzip")])), 30);
    // Indexes in indexes, one that is its own child, and one of more than anybody can want.
    let mut nested = hand.image("amd64", &[(bytes.clone(), diff_id, "")]);
    for _ in 0..10 {
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [nested]});
        nested = hand.json(OCI_INDEX, &index);
    }
    refused(&hand.entry(&nested), 10);
    let entry = json!({"mediaType": OCI_MANIFEST, "digest": diff_id, "size": 1, "platform": {"os": "linux", "architecture": "mips"}});
    let huge = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": vec![entry; 40_000]});
    refused(&hand.entry(&hand.json(OCI_INDEX, &huge)), 10);
    // A path without end, a name without end, documents nested without end.
    let deeper: String = "d/".repeat(2000);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o755);
    builder.append_data(&mut header, format!("{deeper}python3.11"), &b""[..]).unwrap();
    refused(&hand.entry(&hand.image("amd64", &[plain(builder.into_inner().unwrap())])), 30);
    let brackets = "[".repeat(100_000);
    refused(&hand.entry(&hand.blob(OCI_MANIFEST, brackets.as_bytes())), 10);
    refused(&hand.entry(&hand.blob(OCI_INDEX, brackets.as_bytes())), 10);
    // Another blob under the layer's name.
    let image = hand.image("amd64", &[(bytes.clone(), diff_id, "")]);
    let base = hand.entry(&image);
    let file = hand.0.join("blobs/sha256").join(diff_id.hex());
    fs::write(&file, vec![1; bytes.len()]).unwrap();
    refused(&base, 30);
    // Manifests that are none: a config, something else, no JSON, endless.
    let config = hand.json("application/vnd.oci.image.config.v1+json", &json!({"os": "linux"}));
    refused(&hand.entry(&config), 10);
    let mut mislabelled = config.clone();
    mislabelled["mediaType"] = OCI_MANIFEST.into();
    refused(&hand.entry(&mislabelled), 10);
    refused(&hand.entry(&hand.blob(OCI_MANIFEST, b"{")), 10);
    let chart = json!({"schemaVersion": 2, "config": {"mediaType": "application/vnd.example.chart", "digest": diff_id, "size": 2}, "layers": []});
    refused(&hand.entry(&hand.json(OCI_MANIFEST, &chart)), 10);
}

/// A project whose distribution tells which environment it runs in.
fn hello() -> World {
    let mut world = World::plain(&["hello"]);
    let module = "import sys\n\ndef main():\n    print(sys.prefix, sys.version_info[:2])\n";
    let wheel = WheelBuilder::new("hello", "1.0").file("hello.py", module);
    world.publish(wheel.entry_points("[console_scripts]\nhello = hello:main\n").build());
    world
}

/// Bakes on a base whose interpreter is at `python`, and runs what was baked as a user who is not root.
fn runs(world: &World, base: &str, python: &str) {
    assert_eq!(interpreter(world, base, &["--user", "1000"]), python, "{base}");
    let root = world.path("bundle/rootfs");
    let run = |arguments: &[&str]| bakery::in_root(&root, Some("1000:0"), arguments);
    assert_eq!(run(&["/opt/venv/bin/hello"]), "/opt/venv (3, 11)\n", "{base}");
    let write = "import os; open('/app/x', 'w'); open('/tmp/x', 'w'); open('/home/bakehouse/x', 'w'); print(os.getuid())";
    let uid = run(&["/opt/venv/bin/python", "-c", write]);
    assert!(!bakery::is_root() || uid == "1000\n", "{uid}");
}

#[test]
#[ignore = "works on a whole Debian"]
fn what_is_baked_on_a_base_by_umoci_runs() {
    let world = hello();
    // umoci makes a layer that moves the interpreter, takes files away and leaves links behind.
    let made = world.path("made");
    let image = format!("{}:base", made.display());
    tool("skopeo", &["copy", "-q", &format!("oci:{}", debian_layout().display()), &format!("oci:{image}")]);
    let bundle = world.path("made-bundle");
    let rootless: &[&str] = if bakery::is_root() { &[] } else { &["--rootless"] };
    let name = bundle.display().to_string();
    tool("umoci", &[&["unpack"], rootless, &["--image", &image, &name]].concat());
    let root = bundle.join("rootfs");
    fs::create_dir_all(root.join("usr/local/libexec")).unwrap();
    fs::rename(root.join("usr/bin/python3.11"), root.join("usr/local/libexec/python3.11")).unwrap();
    fs::hard_link(root.join("usr/local/libexec/python3.11"), root.join("usr/local/bin/python3.11")).unwrap();
    symlink("/etc/alternatives/python3", root.join("usr/local/bin/python3")).unwrap();
    fs::create_dir_all(root.join("etc/alternatives")).unwrap();
    symlink("../../usr/local/bin/python3.11", root.join("etc/alternatives/python3")).unwrap();
    fs::remove_dir_all(root.join("usr/share/zoneinfo")).unwrap();
    script(&root.join("usr/local/bin/python3.12"), "#!/bin/sh\nexit 1\n");
    tool("umoci", &["repack", "--image", &image, &name]);
    runs(&world, &format!("oci:{image}"), "/usr/local/bin/python3.11");
}

#[test]
#[ignore = "works on a whole Debian"]
fn what_is_baked_on_a_base_by_buildah_runs() {
    let (world, registry) = (hello(), Registry::start());
    let buildah = Buildah::new(&world);
    let container = buildah.run(&["from", &format!("oci:{}", debian_layout().display())]);
    let root = PathBuf::from(buildah.run(&["mount", &container]));
    fs::remove_file(root.join("usr/bin/python3")).unwrap();
    fs::create_dir_all(root.join("opt/own/bin")).unwrap();
    fs::rename(root.join("usr/bin/python3.11"), root.join("opt/own/bin/python3.11")).unwrap();
    symlink("../../opt/own/bin/python3.11", root.join("usr/bin/python3.11")).unwrap();
    symlink("/usr/bin/python3.11", root.join("usr/bin/python3")).unwrap();
    // An interpreter outside the prefix of its library is told where that is.
    buildah.run(&[
        "config",
        "--env",
        "PYTHONHOME=/usr",
        "--user",
        "nobody",
        "--workingdir",
        "/srv",
        &container,
    ]);
    buildah.run(&["commit", "-q", "--format", "docker", &container, "made"]);
    let docker = format!("{}/others/made:1", registry.address());
    buildah.run(&["push", "-q", "--tls-verify=false", "made", &format!("docker://{docker}")]);
    buildah.run(&["push", "-q", "made", &format!("docker-archive:{}", world.path("made.tar").display())]);
    for base in [docker, format!("docker-archive:{}", world.path("made.tar").display())] {
        assert_eq!(interpreter(&world, &base, &["--user", "1000"]), "/opt/own/bin/python3.11", "{base}");
        let root = world.path("bundle/rootfs");
        let run = ["/usr/bin/env", "PYTHONHOME=/usr", "/opt/venv/bin/hello"];
        assert_eq!(bakery::in_root(&root, Some("1000:0"), &run), "/opt/venv (3, 11)\n");
    }
}

#[test]
#[ignore = "works on a whole Debian"]
fn what_is_baked_on_many_layers_with_whiteouts_and_links_runs() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let world = hello();
    let mut tars = vec![
        tar(&[
            (Regular, "opt/a/bin/python3.12", "", b"\x7fELF 3.12.0\0"),
            (Regular, "opt/b/bin/python3.13", "", b"\x7fELF 3.13.0\0"),
            (Regular, "opt/c/bin/python3.10", "", b"\x7fELF 3.10.0\0"),
        ]),
        tar(&[
            (Regular, "opt/.wh.a", "", b""),
            (Directory, "opt/b/", "", b""),
            (Regular, "opt/b/.wh..wh..opq", "", b""),
            (Link, "usr/local/bin/python3.11", "usr/bin/python3.11", b""),
            (Regular, "usr/bin/.wh.python3", "", b""),
        ]),
        tar(&[
            (Symlink, "usr/bin/python3", "/etc/alternatives/python3", b""),
            (Symlink, "etc/alternatives/python3", "../../usr/local/bin/python3.11", b""),
            (Symlink, "srv/data", "../var/lib", b""),
        ]),
    ];
    let base = world.path("many");
    let own = fs::read_to_string(debian_layout().join("index.json")).unwrap();
    let own: Value = serde_json::from_str(&own).unwrap();
    let manifest = own["manifests"][0]["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
    let manifest: Value = serde_json::from_slice(&fs::read(debian_layout().join(manifest)).unwrap()).unwrap();
    let layers = manifest["layers"].as_array().unwrap().len();
    tars.extend((layers + tars.len()..120).map(|i| tar(&[(Regular, &format!("etc/layer{i}"), "", b"x")])));
    bakery::add_layers(&debian_layout(), &base, &tars);
    let base = format!("oci:{}", base.display());
    // Hard links are one interpreter, by the first of its names.
    let found = interpreter(&world, &base, &[]);
    runs(&world, &base, &found);
    bakery::in_root(&world.path("bundle/rootfs"), None, &["/bin/ls", "/etc/layer119"]);
    assert_eq!(interpreter(&world, &base, &["--python", "3.10"]), "/opt/c/bin/python3.10");
    world.fail(
        &["build", "--base", &base, "--python", "3.12", "--upgrade"],
        10,
        &["Python 3.12", "`--python 3.10` or `--python 3.11`"],
    );
}

#[test]
#[ignore = "compiles a Python against musl, and uses the real index"]
fn what_is_baked_on_a_musl_base_runs() {
    let world = World::plain(&["markupsafe", "pyyaml"]);
    let out = world.path("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bakehouse"));
    command.arg("build").arg(world.project()).arg("--base").arg(format!("oci:{}", musl_layout().display()));
    command.arg("--output").arg(format!("oci:{}", out.display()));
    command.arg("--cache-dir").arg(world.path("store")).args(["--user", "1000", "--format", "json"]);
    let ran = bakery::run(&mut command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lock = fs::read_to_string(world.project().join("pylock.toml")).unwrap();
    assert!(lock.contains("musllinux_1_") && !lock.contains("manylinux"), "{lock}");
    assert!(lock.contains("libc = \"musl-1.2\""), "{lock}");
    unpack(&out, "project:latest", &world.path("bundle"));
    let program = "import sys, markupsafe._speedups, yaml._yaml, yaml\n\
                   print(sys.prefix, sys.implementation._multiarch, yaml.load('a: [1, 2]', yaml.CSafeLoader), markupsafe.escape('<'))";
    let root = world.path("bundle/rootfs");
    let said = bakery::in_root(&root, Some("1000:0"), &["/opt/venv/bin/python", "-c", program]);
    assert_eq!(said, "/opt/venv x86_64-linux-musl {'a': [1, 2]} &lt;\n");
}
