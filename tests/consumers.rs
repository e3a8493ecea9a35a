//! Every destination, read by programs that nobody here wrote; images for another processor, run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/wheel.rs"]
mod wheel;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bakehouse::model::Digest;
use bakery::{LIBC, PYTHON, World, conforms, in_root, layers, run, unpack, write_index_layout};
use registry::Registry;
use serde_json::{Value, json};
use wheel::{WheelBuilder, ZipEntry};

const BOTH: &str = "linux/amd64,linux/arm64";

fn world() -> World {
    let mut world = World::plain(&["hello"]);
    let module = "import platform, sys\n\ndef main():\n    print(sys.prefix, platform.machine())\n";
    let wheel = WheelBuilder::new("hello", "1.0").file("hello.py", module);
    world.publish(wheel.entry_points("[console_scripts]\nhello = hello:main\n").build());
    world
}

fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// buildah and podman with storage of their own.
fn storage(world: &World, program: &str) -> [String; 6] {
    let path = |name: &str| world.path(&format!("{program}-{name}")).display().to_string();
    ["--root".into(), path("root"), "--runroot".into(), path("run"), "--storage-driver".into(), "vfs".into()]
}

#[test]
fn every_destination_is_read_by_every_tool() {
    let (world, registry) = (world(), Registry::start());
    write_index_layout(&world.path("base"), &[("amd64", &[PYTHON, LIBC]), ("arm64", &[PYTHON])]);
    let address = registry.address();
    let base = format!("{address}/others/base:1");
    let layout = format!("oci:{}", world.path("base").display());
    tool("skopeo", &["copy", "-q", "--all", "--dest-tls-verify=false", &layout, &format!("docker://{base}")]);

    // buildah and podman name an image by its layout's path, and names of images are in small letters.
    let small = format!("bakehouse-{}", std::process::id());
    let outputs = tempfile::Builder::new().prefix(&small).rand_bytes(0).tempdir().unwrap();
    let path = |name: &str| outputs.path().join(name).display().to_string();
    let push = format!("{address}/team");
    let [oci, archive, docker] = ["oci:", "oci-archive:", "docker-archive:"]
        .map(|kind| format!("{kind}{}", path(&kind.replace(':', "-out"))));
    let build = |more: &[&str]| {
        let arguments = ["build", "--base", &base, "--push", &push, "--user", "1000", "--tag", "v1"];
        let ran = run(world.command(&[&arguments[..], more].concat()).env("SOURCE_DATE_EPOCH", "1700000000"));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        conforms(more);
        ran.report
    };
    let report = build(&["--output", &oci, "--output", &archive, "--output", &docker]);
    let both = format!("{oci}-both");
    build(&["--platform", BOTH, "--output", &both, "--tag", "all"]);

    let pushed = format!("docker://{push}/project:v1");
    let index = format!("docker://{push}/project:all");
    let sources = [
        pushed.clone(),
        format!("{oci}:project:v1"),
        format!("{archive}:project:v1"),
        docker.clone(),
        format!("{both}:project:v1"),
        index,
    ];
    let diff_ids: Vec<Value> = layers(&report).iter().map(|layer| layer["diffId"].clone()).collect();
    for source in &sources {
        let config = tool("skopeo", &["inspect", "--config", "--tls-verify=false", source]);
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"], json!(diff_ids), "{source}");
        assert_eq!(config["config"]["User"], "1000");
        assert_eq!(config["created"], "2023-11-14T22:13:20Z");
        for program in ["buildah", "podman"] {
            let storage = storage(&world, program);
            let storage: Vec<&str> = storage.iter().map(String::as_str).collect();
            tool(program, &[&storage[..], &["pull", "-q", "--tls-verify=false", source]].concat());
        }
    }
    // umoci reads layouts alone, and checks every layer.
    unpack(&outputs.path().join("oci-out"), "project:v1", &world.path("bundle"));
    unpack(&outputs.path().join("oci-out-both"), "project:v1-arm64", &world.path("bundle-arm64"));
    assert!(world.path("bundle/rootfs/opt/venv/bin/hello").exists());

    // A fresh machine reads a manifest and a config of the base, and no layer: for each platform.
    for (platform, platforms) in [("linux/amd64", 1), (BOTH, 2)] {
        let store = path(&format!("fresh{platforms}"));
        let again = build(&["--platform", platform, "--cache-dir", &store]);
        let read = again["transfer"]["baseBytes"].as_u64().unwrap();
        assert!((1..platforms * 2500).contains(&read), "{read} bytes for {platform}");
        assert!(layers(&again).iter().all(|layer| layer["transfer"] == "present"));
        assert_eq!(again["transfer"]["distributionBytes"], 0);
    }
    // And where the base is in another repository of the registry, its layers are taken over inside it.
    let other = format!("{address}/elsewhere");
    let arguments =
        ["build", "--base", &base, "--push", &other, "--cache-repo", &format!("{push}/bakehouse-cache")];
    let store = path("fresh-elsewhere");
    let moved = world.succeed(&[&arguments[..], &["--cache-dir", &store]].concat());
    assert!(
        layers(&moved)
            .iter()
            .filter(|layer| layer["role"] == "base")
            .all(|layer| layer["transfer"] == "mounted")
    );
    assert!(moved["transfer"]["baseBytes"].as_u64().unwrap() < 2500, "{}", moved["transfer"]);
}

#[test]
#[ignore = "makes a Debian for another processor, of packages from its mirror"]
fn an_image_for_another_processor_runs() {
    let emulator = ["/usr/bin/qemu-aarch64", "/usr/bin/qemu-aarch64-static"];
    let Some(emulator) = emulator.into_iter().find(|path| std::path::Path::new(path).exists()) else {
        eprintln!("there is no qemu-user: skipped");
        return;
    };
    let world = world();
    let out = world.path("out");
    let output = format!("oci:{}", out.display());
    world.succeed(&["build", "--base", "deb://bookworm", "--platform", BOTH, "--output", &output]);
    let bundle = world.path("bundle");
    unpack(&out, "project:latest-arm64", &bundle);
    let root = bundle.join("rootfs");
    // As the kernel would start `/opt/venv/bin/hello`: the interpreter that it names, known by that name.
    let ran = Command::new(emulator)
        .env_clear()
        .arg("-L")
        .arg(&root)
        .args(["-0", "/opt/venv/bin/python"])
        .arg(root.join("usr/bin/python3.11"))
        .arg(root.join("opt/venv/bin/hello"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "/opt/venv aarch64\n", "{ran:?}");
}

/// The output of a program that is given `input`.
fn pipe(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

/// A layer of a layout is what its digest and diff ID say to every program that unpacks one, and names no path twice.
fn reads_everywhere(blob: &[u8], media_type: &str, diff_id: &str) {
    let tar = match media_type.rsplit_once('+').unwrap().1 {
        "gzip" => pipe("gzip", &["-dc"], blob),
        _ => zstd::decode_all(blob).unwrap(),
    };
    assert_eq!(Digest::of(&tar).to_string(), diff_id);
    let mut names = BTreeSet::new();
    for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
        let name = entry.unwrap().path().unwrap().into_owned();
        assert!(names.insert(name.clone()), "{} is there twice", name.display());
    }
    if media_type.ends_with("gzip") {
        for program in ["pigz", "igzip"] {
            assert!(pipe(program, &["-dc"], blob) == tar, "{program}");
        }
        let script = "import io, sys, tarfile\nprint(len(tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())).getnames()))";
        let counted = pipe("python3", &["-c", script], blob);
        assert_eq!(String::from_utf8(counted).unwrap().trim(), names.len().to_string(), "tarfile");
        let listed = pipe("tar", &["-tzf", "-"], blob);
        assert_eq!(listed.iter().filter(|&&byte| byte == b'\n').count(), names.len(), "tar");
    }
}

#[test]
#[ignore = "makes a Debian of packages from its mirror"]
fn every_kind_of_layer_is_read_by_every_program_and_runs() {
    // One that is spliced, and many small ones, some of which share a layer.
    let small: Vec<String> = (0..12).map(|number| format!("small{number}")).collect();
    let mut world = World::plain(&["hello", "large"]);
    world.write("requirements.txt", &format!("hello\nlarge\n{}\n", small.join("\n")));
    let noise: String = (0..4000_u32).map(|i| Digest::of(&i.to_be_bytes()).hex()).collect();
    let data = format!("DATA = '{noise}'\n");
    world.publish(
        WheelBuilder::new("large", "1.0").file("large/data.py", &data).file("large/__init__.py", "").build(),
    );
    for name in &small {
        world.publish(
            WheelBuilder::new(name, "1.0").file(&format!("{name}.py"), format!("NAME = '{name}'\n")).build(),
        );
    }
    let code = "import importlib, sys\nfrom large.data import DATA\n\ndef main():\n    \
                names = [importlib.import_module(f'small{n}').NAME for n in range(12)]\n    \
                print(sys.prefix, len(DATA), *names)\n";
    let hello = WheelBuilder::new("hello", "1.0").file("hello.py", code);
    world.publish(hello.entry_points("[console_scripts]\nhello = hello:main\n").build());
    let said = format!("/opt/venv {} {}\n", noise.len(), small.join(" "));

    let registry = Registry::start();
    for compression in ["gzip", "zstd"] {
        let outputs = tempfile::Builder::new()
            .prefix(&format!("bakehouse-{compression}-{}", std::process::id()))
            .rand_bytes(0)
            .tempdir()
            .unwrap();
        let path = |name: &str| outputs.path().join(name).display().to_string();
        let push = format!("{}/{compression}", registry.address());
        let [oci, archive, docker] = ["oci:", "oci-archive:", "docker-archive:"]
            .map(|kind| format!("{kind}{}", path(&kind.replace(':', "-out"))));
        let mut arguments = vec!["build", "--compression", compression, "--push", &push];
        arguments.extend(["--output", &oci, "--output", &archive]);
        if compression == "gzip" {
            arguments.extend(["--output", &docker]);
        }
        let ran = run(&mut world.bare_command(&arguments));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        conforms(&arguments);
        let made = layers(&ran.report);
        assert!(made.iter().any(|layer| layer["role"] == "base"));
        assert!(
            made.iter().any(|layer| layer["packages"].as_array().unwrap().len() > 1),
            "some share a layer"
        );

        let blob = |digest: &Value| {
            let digest = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
            fs::read(outputs.path().join("oci-out/blobs/sha256").join(digest)).unwrap()
        };
        let manifest: Value =
            serde_json::from_slice(&blob(&ran.report["images"][0]["platforms"][0]["digest"])).unwrap();
        let stream = ZipEntry::new("x", data.as_bytes(), 0o644).data;
        let mut spliced = false;
        for (layer, reported) in manifest["layers"].as_array().unwrap().iter().zip(&made) {
            let bytes = blob(&layer["digest"]);
            spliced |= bytes.windows(stream.len()).any(|window| window == stream);
            reads_everywhere(
                &bytes,
                layer["mediaType"].as_str().unwrap(),
                reported["diffId"].as_str().unwrap(),
            );
        }
        assert_eq!(spliced, compression == "gzip");

        let mut sources = vec![
            format!("docker://{push}/project:latest"),
            format!("{oci}:project:latest"),
            format!("{archive}:project:latest"),
        ];
        if compression == "gzip" {
            // What skopeo makes of it for Docker, and what the program does.
            let others = format!("docker-archive:{}", path("skopeo.tar"));
            tool(
                "skopeo",
                &["copy", "-q", "--src-tls-verify=false", &sources[0], &format!("{others}:project:latest")],
            );
            sources.extend([docker.clone(), others]);
        }
        for source in &sources {
            let directory = path("directory");
            tool("skopeo", &["copy", "-q", "--src-tls-verify=false", source, &format!("dir:{directory}")]);
            fs::remove_dir_all(directory).unwrap();
        }
        // Both check every layer, and copy for each what is below it: once each is enough.
        for (program, source) in [("buildah", &sources[0]), ("podman", &sources[1])] {
            let storage = storage(&world, program);
            let storage: Vec<&str> = storage.iter().map(String::as_str).collect();
            let id = tool(program, &[&storage[..], &["pull", "-q", "--tls-verify=false", source]].concat());
            if program == "podman" {
                let mounted = tool(program, &[&storage[..], &["image", "mount", id.trim()]].concat());
                assert_eq!(
                    in_root(Path::new(mounted.trim()), None, &["/opt/venv/bin/hello"]),
                    said,
                    "{source}"
                );
                tool(program, &[&storage[..], &["image", "unmount", id.trim()]].concat());
            }
            tool(program, &[&storage[..], &["rmi", "--all", "--force"]].concat());
        }
        if compression == "gzip" {
            unpack(&outputs.path().join("oci-out"), "project:latest", &world.path("bundle"));
            assert_eq!(in_root(&world.path("bundle/rootfs"), None, &["/opt/venv/bin/hello"]), said);
        }
    }
}
