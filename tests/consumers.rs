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

use std::process::Command;

use bakery::{LIBC, PYTHON, World, conforms, layers, run, unpack, write_index_layout};
use registry::Registry;
use serde_json::{Value, json};
use wheel::WheelBuilder;

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
