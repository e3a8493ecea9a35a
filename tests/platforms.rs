//! Images for several platforms: one lock, an image for each, one image index that names them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

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
use std::path::Path;
use std::process::Command;

use bakery::{LIBC, PYTHON, World, digests, write_index_layout};
use registry::Registry;
use serde_json::{Value, json};
use wheel::WheelBuilder;

const BOTH: &str = "linux/arm64,linux/amd64";
const ARM_LIBC: (&str, &str, u32) = ("usr/lib/aarch64-linux-gnu/libc.so.6", LIBC.1, LIBC.2);

fn tags(machine: &str) -> String {
    format!("cp311-cp311-manylinux_2_28_{machine}")
}

/// A project that needs a pure distribution, one with compiled parts, and one on a single platform.
fn world() -> World {
    let mut world = World::plain(&["pure", "native", "tool; platform_machine == 'x86_64'"]);
    let native = |version: &str, machine: &str| {
        let builder = WheelBuilder::new("native", version).tags(&tags(machine));
        builder.file("native.so", format!("{version} for {machine}")).build()
    };
    world.publish(WheelBuilder::new("pure", "1.0").file("pure.py", "P = 1\n").build());
    world.publish(WheelBuilder::new("tool", "1.0").file("tool.py", "T = 1\n").build());
    world.publish(native("1.0", "x86_64"));
    world.publish(native("1.0", "aarch64"));
    world.publish(native("2.0", "x86_64"));
    write_index_layout(&world.path("base"), &[("amd64", &[PYTHON, LIBC]), ("arm64", &[PYTHON, ARM_LIBC])]);
    world
}

fn lock(world: &World) -> String {
    fs::read_to_string(world.project().join("pylock.toml")).unwrap()
}

fn document(layout: &Path, digest: &Value) -> Value {
    let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    serde_json::from_slice(&fs::read(layout.join("blobs/sha256").join(hex)).unwrap()).unwrap()
}

fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The digests of a platform's layers that have `role`.
fn layers<'r>(report: &'r Value, platform: usize, role: &str) -> BTreeSet<&'r str> {
    let layers = report["images"][0]["platforms"][platform]["layers"].as_array().unwrap().iter();
    layers.filter(|layer| layer["role"] == role).map(|layer| layer["digest"].as_str().unwrap()).collect()
}

/// The versions that each platform got of a distribution.
fn versions(report: &Value, name: &str) -> Vec<String> {
    let platforms = report["images"][0]["platforms"].as_array().unwrap().iter();
    let packages = platforms.map(|platform| {
        let layers = platform["layers"].as_array().unwrap().iter();
        let mut all = layers.flat_map(|layer| layer["packages"].as_array().unwrap());
        let found = all.find(|package| package["name"] == name);
        found.map_or_else(|| "none".to_owned(), |package| package["version"].as_str().unwrap().to_owned())
    });
    packages.collect()
}

#[test]
fn one_lock_serves_both_and_prefers_equal_versions() {
    let world = world();
    let report = world.succeed(&["build", "--platform", BOTH]);
    // 2.0 is newer and has no wheel for one of them.
    assert_eq!(versions(&report, "native"), ["1.0", "1.0"]);
    assert_eq!(versions(&report, "tool"), ["1.0", "none"]);
    assert_eq!(report["locks"].as_array().unwrap().len(), 1);
    assert_eq!(report["locks"][0]["packages"], 3);
    let text = lock(&world);
    let machine = |machine: &str| format!("sys_platform == 'linux' and platform_machine == '{machine}'");
    assert!(text.contains(&format!(
        "environments = [\"{}\", \"{}\"]",
        machine("x86_64"),
        machine("aarch64")
    )));
    assert_eq!(text.matches("[[packages]]").count(), 3, "{text}");
    assert_eq!(text.matches("marker = \"platform_machine == 'x86_64'\"").count(), 1, "{text}");
    assert_eq!(text.matches("native-1.0-cp311").count(), 4, "two wheels by name and URL: {text}");

    // It is fresh for both and for each, and says the same however the platforms are ordered.
    world.succeed(&["lock", "--check", "--platform", "linux/amd64,linux/arm64"]);
    for (platform, index) in [("linux/amd64", 0), ("linux/arm64", 1)] {
        let alone = world.succeed(&["build", "--locked", "--platform", platform]);
        assert_eq!(alone["images"][0]["digest"], report["images"][0]["platforms"][index]["digest"]);
    }
    assert_eq!(lock(&world), text);
    assert_ne!(report["images"][0]["digest"], report["images"][0]["platforms"][0]["digest"]);
}

#[test]
fn versions_differ_where_they_must() {
    let mut world = world();
    let arm = WheelBuilder::new("native", "3.0").tags(&tags("aarch64")).file("native.so", "3").build();
    world.publish(arm);
    world.write("requirements.txt", "native>=2\n");
    let report = world.succeed(&["build", "--platform", BOTH]);
    assert_eq!(versions(&report, "native"), ["2.0", "3.0"]);
    let text = lock(&world);
    assert_eq!(text.matches("[[packages]]").count(), 2);
    assert_eq!(text.matches("\nmarker = ").count(), 2, "{text}");
    assert_eq!(world.succeed(&["lock", "--platform", BOTH])["locks"][0]["status"], "fresh");
}

#[test]
fn a_lock_keeps_the_platforms_it_has() {
    let mut world = world();
    world.succeed(&["lock"]);
    let alone = lock(&world);
    assert!(!alone.contains("aarch64") && alone.contains("native-2.0"), "{alone}");
    world.fail(&["lock", "--check", "--platform", BOTH], 12, &["linux/arm64"]);
    // What is locked for one platform stays when another comes.
    let report = world.succeed(&["build", "--platform", BOTH]);
    assert_eq!(versions(&report, "native"), ["2.0", "1.0"]);
    // A new version is no reason to change anything, and a new requirement changes what it must for both.
    world.publish(WheelBuilder::new("pure", "1.1").build());
    world.publish(WheelBuilder::new("extra", "1.0").build());
    world.write("requirements.txt", "pure\nnative\nextra\n");
    world.succeed(&["lock"]);
    world.succeed(&["lock", "--check", "--platform", BOTH]);
    let text = lock(&world);
    assert!(text.contains("aarch64") && text.contains("extra-1.0") && text.contains("pure-1.0"), "{text}");
    assert!(
        text.contains("native-1.0") && text.contains("native-2.0") && !text.contains("tool-1.0"),
        "{text}"
    );
    world.succeed(&["lock", "--upgrade", "--platform", BOTH]);
    let text = lock(&world);
    assert!(text.contains("pure-1.1") && !text.contains("native-2.0"), "{text}");
}

#[test]
fn a_layout_and_an_archive_have_one_index_and_the_same_bytes_each_time() {
    let world = world();
    let build = |number: u32| {
        let (layout, archive) =
            (world.path(&format!("out{number}")), world.path(&format!("out{number}.tar")));
        let (layout_name, archive_name) =
            (format!("oci:{}", layout.display()), format!("oci-archive:{}", archive.display()));
        let store = world.path(&format!("store{number}")).display().to_string();
        let destinations = ["--output", &layout_name, "--output", &archive_name, "--cache-dir", &store];
        let plan = world.succeed(&[&["plan", "--platform", BOTH][..], &destinations].concat());
        assert_eq!(plan["images"][0]["platforms"][1]["platform"], "linux/arm64");
        let report = world.succeed(&[&["build", "--platform", BOTH][..], &destinations].concat());
        let again = world.succeed(&[&["plan", "--platform", BOTH][..], &destinations].concat());
        assert_eq!(digests(&again), digests(&report), "a plan knows the digest of what was made");
        (report, layout, archive)
    };
    let (report, layout, archive) = build(1);
    let (other, layout_again, archive_again) = build(2);
    assert_eq!(digests(&report), digests(&other));
    assert_eq!(fs::read(&archive).unwrap(), fs::read(archive_again).unwrap());
    let names = |layout: &Path| fs::read_to_string(layout.join("index.json")).unwrap();
    assert_eq!(names(&layout), names(&layout_again));

    let image = &report["images"][0];
    let index = document(&layout, &image["digest"]);
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    for (place, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
        let entry = &index["manifests"][place];
        assert_eq!(entry["platform"], json!({"architecture": architecture, "os": "linux"}));
        assert_eq!(entry["digest"], image["platforms"][place]["digest"]);
        for name in ["oci:", "oci-archive:"] {
            let path = if name == "oci:" { &layout } else { &archive };
            for tag in ["latest".to_owned(), format!("latest-{architecture}")] {
                let reference = format!("{name}{}:project:{tag}", path.display());
                let arguments = ["--override-arch", architecture, "inspect", "--config", &reference];
                let config: Value = serde_json::from_str(&tool("skopeo", &arguments)).unwrap();
                assert_eq!(config["architecture"], architecture, "{reference}");
            }
        }
    }

    // What does not depend on the platform is there once.
    assert_eq!(layers(&report, 0, "code"), layers(&report, 1, "code"));
    let shared = layers(&report, 0, "environment");
    let shared: Vec<_> = shared.intersection(&layers(&report, 1, "environment")).copied().collect();
    assert_eq!(shared.len(), 2, "the skeleton and what is pure: {report:#}");
}

#[test]
fn layers_of_pure_wheels_are_shared() {
    let mut world = World::plain(&["pure", "purer", "native"]);
    for name in ["pure", "purer"] {
        world.publish(WheelBuilder::new(name, "1.0").file(&format!("{name}.py"), "P = 1\n").build());
    }
    for machine in ["x86_64", "aarch64"] {
        let native = WheelBuilder::new("native", "1.0").tags(&tags(machine)).file("native.so", machine);
        world.publish(native.build());
    }
    write_index_layout(&world.path("base"), &[("amd64", &[PYTHON, LIBC]), ("arm64", &[PYTHON, ARM_LIBC])]);
    let report = world.succeed(&["build", "--platform", BOTH]);
    let (amd64, arm64) = (layers(&report, 0, "environment"), layers(&report, 1, "environment"));
    assert_eq!(amd64.difference(&arm64).count(), 1, "that of the native wheel alone: {report:#}");
}

#[test]
fn a_registry_gets_the_index_under_the_tag_and_the_images_under_tags_of_their_own() {
    let (world, registry) = (world(), Registry::start());
    let push = format!("{}/team", registry.address());
    let arguments = ["build", "--platform", BOTH, "--push", &push, "--tag", "v1"];
    let report = world.succeed(&arguments);
    let image = &report["images"][0];
    let digest = image["digest"].as_str().unwrap();
    assert_eq!(image["reference"], format!("{push}/project@{digest}"));
    assert_eq!(image["tags"], json!(["v1"]));
    let reference = |tag: &str| format!("docker://{push}/project:{tag}");
    let list = tool("skopeo", &["list-tags", "--tls-verify=false", &format!("docker://{push}/project")]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let tags: BTreeSet<&str> = list["Tags"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(tags, BTreeSet::from(["v1", "v1-amd64", "v1-arm64"]));
    for (place, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
        let raw = tool(
            "skopeo",
            &["inspect", "--raw", "--tls-verify=false", &reference(&format!("v1-{architecture}"))],
        );
        let found = bakehouse::model::Digest::of(raw.as_bytes()).to_string();
        assert_eq!(image["platforms"][place]["digest"], found);
    }
    let copied = format!("oci:{}:all", world.path("copied").display());
    tool("skopeo", &["copy", "-q", "--all", "--src-tls-verify=false", &reference("v1"), &copied]);

    // Another machine reads neither base nor distributions, and sends nothing.
    let store = world.path("other").display().to_string();
    let again = world.succeed(&[&arguments[..], &["--cache-dir", &store]].concat());
    assert_eq!(digests(&again), digests(&report));
    assert_eq!(
        (&again["transfer"]["distributionBytes"], &again["transfer"]["uploadedBytes"]),
        (&json!(0), &json!(0))
    );
    let plan =
        world.succeed(&["plan", "--platform", BOTH, "--push", &push, "--tag", "v1", "--cache-dir", &store]);
    assert_eq!(digests(&plan), digests(&report));
}

#[test]
fn a_tag_is_resolved_once_and_what_it_stood_for_is_recorded() {
    let (world, registry) = (world(), Registry::start());
    let base = format!("{}/others/base:moving", registry.address());
    let layout = format!("oci:{}", world.path("base").display());
    let target = format!("docker://{base}");
    tool("skopeo", &["copy", "-q", "--all", "--dest-tls-verify=false", &layout, &target]);
    let out = world.path("out");
    let output = format!("oci:{}", out.display());
    let build = |platform: &str, store: &str| {
        let store = world.path(store).display().to_string();
        let arguments = ["build", "--base", &base, "--platform", platform, "--output", &output];
        world.succeed(&[&arguments[..], &["--cache-dir", &store]].concat())
    };
    let requests = |report: &Value| report["transfer"]["registryRequests"].as_u64().unwrap();
    let one = requests(&build("linux/amd64", "one"));
    let report = build(BOTH, "both");
    // For the second platform a manifest, a config and a layer more, and not the tag again.
    assert_eq!(requests(&report), one + 3, "{}", report["transfer"]);
    let text = lock(&world);
    for platform in report["images"][0]["platforms"].as_array().unwrap() {
        let digest = platform["baseDigest"].as_str().unwrap();
        assert!(text.contains(&format!("name = \"{base}\"\ndigest = \"{digest}\"")), "{text}");
        let config = document(&out, &platform["digest"])["config"]["digest"].clone();
        let labels = document(&out, &config)["config"]["Labels"].clone();
        assert_eq!(labels["org.opencontainers.image.base.digest"], digest);
        assert_eq!(labels["org.opencontainers.image.base.name"], *base);
    }
    // A base on this machine has a digest and no name that others could use.
    let report = world.succeed(&["build", "--output", &output, "--upgrade"]);
    let platform = &report["images"][0]["platforms"][0];
    let config = document(&out, &platform["digest"])["config"]["digest"].clone();
    let labels = document(&out, &config)["config"]["Labels"].clone();
    assert_eq!(labels["org.opencontainers.image.base.digest"], platform["baseDigest"]);
    assert_eq!(labels["org.opencontainers.image.base.name"], Value::Null);
}

#[test]
fn what_cannot_be_for_several_platforms_says_so() {
    let world = world();
    let output = format!("docker-archive:{}", world.path("a.tar").display());
    world.fail(&["build", "--platform", BOTH, "--output", &output], 2, &["docker-archive", "one platform"]);
    world.fail(&["build", "--platform", "linux/amd64,linux/riscv64"], 2, &["linux/riscv64"]);
    world.fail(&["build", "--platform", BOTH, "--tag", &"a".repeat(123)], 2, &["1 to 122"]);

    let other = ("usr/bin/python3.12", PYTHON.1, PYTHON.2);
    write_index_layout(&world.path("uneven"), &[("amd64", &[PYTHON, LIBC]), ("arm64", &[other, ARM_LIBC])]);
    let uneven = format!("oci:{}", world.path("uneven").display());
    world.fail(&["build", "--platform", BOTH, "--base", &uneven], 10, &["3.11", "3.12", "--python"]);
    write_index_layout(&world.path("single"), &[("amd64", &[PYTHON, LIBC])]);
    let single = format!("oci:{}", world.path("single").display());
    world.fail(&["build", "--platform", BOTH, "--base", &single], 10, &["linux/arm64", "linux/amd64"]);

    // A conflict names the platform.
    world.write("requirements.txt", "native>=2\n");
    world.fail(&["build", "--platform", BOTH], 11, &["linux/arm64", "native"]);
    assert!(!world.project().join("pylock.toml").exists(), "nothing half-written");
}
