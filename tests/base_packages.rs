//! What a base image has installed counts where nobody asks for a Python: it is not installed again, the lock says so, and
//! the environment sees it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::path::Path;

use bakery::{BaseFile, LIBC, PYTHON, World, layers, unpack, write_index_layout, write_layout};
use serde_json::{Value, json};
use wheel::WheelBuilder;

const SITE: &str = "usr/lib/python3.11/site-packages";

/// An index that has everything that the bases have, and more of it.
fn world(requirements: &[&str]) -> World {
    let mut world = World::plain(requirements);
    for (name, version, requires) in [
        ("torch", "2.1", "numpy"),
        ("torch", "2.2", "numpy>=2"),
        ("numpy", "1.26", ""),
        ("numpy", "2.0", ""),
        ("tool", "1.0", "torch"),
    ] {
        let mut wheel = WheelBuilder::new(name, version)
            .file(&format!("{name}.py"), format!("FROM = 'index {version}'\n"));
        if !requires.is_empty() {
            wheel = wheel.requires(requires);
        }
        world.publish(wheel.build());
    }
    world
}

/// A file of a distribution in a base.
fn file(path: &str, text: &str) -> (String, String) {
    (path.to_owned(), text.to_owned())
}

/// torch with numpy, as an image for machine learning has them.
fn torch(version: &str) -> Vec<(String, String)> {
    vec![
        file(
            &format!("{SITE}/torch-{version}.dist-info/METADATA"),
            &format!(
                "Metadata-Version: 2.1\nName: torch\nVersion: {version}\nRequires-Dist: numpy\nRequires-Dist: gone ; extra == 'all'\n\nText\n"
            ),
        ),
        file(
            &format!("{SITE}/torch-{version}.dist-info/entry_points.txt"),
            "[console_scripts]\ntorchrun = torch.run:main\npython = torch:no\n",
        ),
        file(
            &format!("{SITE}/numpy-1.20.dist-info/METADATA"),
            "Metadata-Version: 2.1\nName: numpy\nVersion: 1.20\n",
        ),
    ]
}

fn write_base(world: &World, name: &str, more: &[(String, String)]) -> String {
    let path = world.path(name);
    let _ = fs::remove_dir_all(&path);
    let mut files: Vec<BaseFile<'_>> = vec![PYTHON, LIBC];
    files.extend(more.iter().map(|(path, text)| (path.as_str(), text.as_str(), 0o644)));
    write_layout(&path, &files);
    format!("oci:{}", path.display())
}

fn lock(world: &World) -> toml_edit::DocumentMut {
    fs::read_to_string(world.project().join("pylock.toml")).unwrap().parse().unwrap()
}

/// The names in a list of a lock.
fn names(list: Option<&toml_edit::Item>) -> Vec<String> {
    let Some(list) = list else { return Vec::new() };
    let name = |value: &str| value.to_owned();
    match list.as_array() {
        Some(array) => {
            array.iter().map(|one| name(one.as_inline_table().unwrap()["name"].as_str().unwrap())).collect()
        }
        None => {
            list.as_array_of_tables().unwrap().iter().map(|one| name(one["name"].as_str().unwrap())).collect()
        }
    }
}

/// The text of a file of the environment's skeleton.
fn in_skeleton(out: &Path, report: &Value, path: &str) -> Option<String> {
    let layers = report["images"][0]["platforms"][0]["layers"].as_array().unwrap();
    layers.iter().filter(|layer| layer["role"] == "environment").find_map(|layer| {
        let hex = layer["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let bytes = fs::read(out.join("blobs/sha256").join(hex)).unwrap();
        let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(&bytes[..]));
        let mut entries = tar.entries().unwrap().map(Result::unwrap);
        let mut entry = entries.find(|entry| entry.path().unwrap() == Path::new(path))?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        Some(text)
    })
}

#[test]
fn what_satisfies_is_not_installed_again() {
    let world = world(&["tool"]);
    let base = write_base(&world, "base", &torch("2.1"));
    let out = world.path("out");
    let output = format!("oci:{}", out.display());
    let report = world.succeed(&["build", "--base", &base, "--output", &output]);

    let lock = lock(&world);
    let ours = &lock["tool"]["bakehouse"]["base"];
    assert_eq!(names(lock.get("packages")), ["tool"]);
    assert_eq!(names(ours.get("packages")), ["numpy", "torch"]);
    assert!(ours["digest"].as_str().unwrap().starts_with("sha256:") && ours.get("name").is_none());
    let platform = &report["images"][0]["platforms"][0];
    assert_eq!(platform["baseDigest"].as_str(), ours["digest"].as_str());
    assert_eq!(
        platform["basePackages"],
        json!([{"name": "numpy", "version": "1.20", "kind": "pypi"}, {"name": "torch", "version": "2.1", "kind": "pypi"}])
    );
    let packages: Vec<Value> =
        layers(&report).iter().flat_map(|layer| layer["packages"].as_array().unwrap().clone()).collect();
    assert_eq!(packages.len(), 1, "{packages:?}");

    let config = in_skeleton(&out, &report, "opt/venv/pyvenv.cfg").unwrap();
    assert!(config.contains("include-system-site-packages = true\n"), "{config}");
    let script = in_skeleton(&out, &report, "opt/venv/bin/torchrun").unwrap();
    assert!(
        script.starts_with("#!/opt/venv/bin/python\n") && script.contains("from torch.run import main"),
        "{script}"
    );
    // Dependencies name other entries of the lock alone.
    assert!(lock["packages"][0].get("dependencies").is_none(), "{lock}");
}

#[test]
fn what_does_not_satisfy_is_installed_over_it() {
    let world = world(&["torch>=2.2"]);
    let base = write_base(&world, "base", &torch("2.1"));
    let report = world.succeed(&["build", "--base", &base]);
    let lock = lock(&world);
    let ours = &lock["tool"]["bakehouse"]["base"];
    assert_eq!(names(lock.get("packages")), ["numpy", "torch"]);
    assert_eq!(
        (names(ours.get("packages")), names(ours.get("replaced"))),
        (vec![], vec!["numpy".into(), "torch".into()])
    );
    assert_eq!(report["images"][0]["platforms"][0]["basePackages"], json!([]));
}

#[test]
fn who_asks_for_a_python_or_for_isolation_gets_everything_anew() {
    let world = world(&["tool"]);
    let base = write_base(&world, "base", &torch("2.1"));
    let all = ["numpy", "tool", "torch"];
    let output = format!("oci:{}", world.path("out").display());
    for more in [&["--isolated"][..], &["--python", "3.11"]] {
        let arguments = [&["build", "--base", &base, "--output", &output, "--upgrade"], more].concat();
        let report = world.succeed(&arguments);
        assert_eq!(names(lock(&world).get("packages")), all, "{more:?}");
        let config = in_skeleton(&world.path("out"), &report, "opt/venv/pyvenv.cfg").unwrap();
        assert!(config.contains("include-system-site-packages = false\n"), "{config}");
    }
    fs::remove_file(world.project().join("requirements.txt")).unwrap();
    world.write(
        "pyproject.toml",
        "[project]\nname = \"p\"\nversion = \"1\"\nrequires-python = \">=3.9\"\ndependencies = [\"tool\"]\n",
    );
    world.succeed(&["build", "--base", &base, "--upgrade"]);
    assert_eq!(names(lock(&world).get("packages")), all);
}

#[test]
fn a_lock_is_true_while_the_base_has_what_it_counts_on() {
    let world = world(&["tool"]);
    let base = write_base(&world, "base", &torch("2.1"));
    world.succeed(&["lock", "--base", &base]);
    let before = lock(&world).to_string();
    // A base that was made anew with the same distributions, and others that nobody needs.
    let mut more = torch("2.1");
    more.push(file(&format!("{SITE}/other-1.dist-info/METADATA"), "Name: other\nVersion: 1\n"));
    let other = write_base(&world, "other", &more);
    world.succeed(&["build", "--base", &other, "--locked"]);
    // One that has another version, one that lacks them, and isolation.
    let newer = write_base(&world, "newer", &torch("2.1.1"));
    let without = write_base(&world, "without", &[]);
    for (arguments, word) in [
        (&["--base", &newer][..], "another torch than it was made with"),
        (&["--base", &without], "another numpy, torch than it was made with"),
        (&["--base", &base, "--isolated"], "another numpy, torch"),
    ] {
        world.fail(&[&["build", "--locked"], arguments].concat(), 12, &[word]);
        world.fail(&[&["lock", "--check"], arguments].concat(), 12, &[word]);
    }
    world.fail(
        &["build", "--frozen", "--base", &without],
        12,
        &["counts on what the base image does not have", "torch 2.1"],
    );
    assert_eq!(lock(&world).to_string(), before);
    // What a lock has of its own is replaced where a base comes that has it.
    world.succeed(&["build", "--base", &without]);
    assert_eq!(names(lock(&world).get("packages")), ["numpy", "tool", "torch"]);
    world.fail(&["build", "--locked", "--base", &base], 12, &["another numpy, torch"]);
    world.succeed(&["build", "--base", &base]);
    assert_eq!(names(lock(&world).get("packages")), ["tool"]);
    assert_eq!(lock(&world).to_string(), before, "the same again");
}

#[test]
fn each_platform_has_what_its_own_base_has() {
    let world = world(&["tool"]);
    let path = world.path("both");
    let torch = torch("2.1");
    let files = |more: &[(String, String)]| {
        let leaked: Vec<BaseFile<'static>> =
            more.iter().map(|(path, text)| (&*path.clone().leak(), &*text.clone().leak(), 0o644)).collect();
        [&[PYTHON, LIBC][..], &leaked].concat()
    };
    let [amd64, arm64] = [files(&torch), files(&[])];
    write_index_layout(&path, &[("amd64", &amd64), ("arm64", &arm64)]);
    let base = format!("oci:{}", path.display());
    let both = ["--base", &base, "--platform", "linux/amd64,linux/arm64"];
    let report = world.succeed(&[&["build"], &both[..]].concat());
    let text = lock(&world).to_string();
    // The other platform prefers the version that the first one's base has.
    let [pinned] = text.lines().filter(|line| line.starts_with("version = \"2.1\"")).collect::<Vec<_>>()[..]
    else {
        panic!("{text}")
    };
    assert!(!pinned.is_empty() && text.contains("platform_machine == 'aarch64'"), "{text}");
    assert_eq!(text.matches("[[tool.bakehouse.base]]").count(), 2, "{text}");
    let served = |platform: usize| {
        report["images"][0]["platforms"][platform]["basePackages"].as_array().unwrap().len()
    };
    assert_eq!((served(0), served(1)), (2, 0));
    // A run for one of them leaves the other alone.
    for platform in ["linux/amd64", "linux/arm64", "linux/amd64,linux/arm64"] {
        world.succeed(&["build", "--locked", "--base", &base, "--platform", platform]);
        world.succeed(&["build", "--base", &base, "--platform", platform]);
        assert_eq!(lock(&world).to_string(), text);
    }
}

#[test]
fn distributions_of_every_form_are_known() {
    let world = world(&["egg[fast]", "old", "bare"]);
    let site = "usr/lib/python3/dist-packages";
    let base = write_base(
        &world,
        "base",
        &[
            file(
                &format!("{site}/egg-1.0.egg-info/PKG-INFO"),
                "Metadata-Version: 1.0\nName: Egg\nVersion: 1.0\n",
            ),
            file(
                &format!("{site}/egg-1.0.egg-info/requires.txt"),
                "numpy>=1\n\n[:python_version < \"3\"]\ngone\n\n[fast]\nold\n\n[fast:sys_platform == \"win32\"]\ngone\n",
            ),
            file(&format!("{site}/old-2.egg-info"), "Metadata-Version: 1.0\nName: old\nVersion: 2\n"),
            file(
                "usr/local/lib/python3.11/dist-packages/bare-3.dist-info/METADATA",
                "Name: bare\nVersion: 3\n",
            ),
            // Seen by other interpreters, not by this one.
            file(
                "usr/local/lib/python3.11/site-packages/numpy-9.dist-info/METADATA",
                "Name: numpy\nVersion: 9\n",
            ),
            file(&format!("{site}/broken-1.dist-info/METADATA"), "Name: broken\nVersion: one\n"),
        ],
    );
    world.succeed(&["build", "--base", &base]);
    let lock = lock(&world);
    assert_eq!(names(lock["tool"]["bakehouse"]["base"].get("packages")), ["bare", "egg", "old"]);
    assert_eq!(names(lock.get("packages")), ["numpy"]);
    assert!(lock["packages"][0]["version"].as_str() == Some("2.0"), "{lock}");
}

#[test]
#[ignore = "works on a whole Debian"]
fn an_environment_on_a_base_with_distributions_runs() {
    let mut world = world(&["tool", "helper>=2"]);
    let wheel = WheelBuilder::new("helper", "2.0")
        .file("helper.py", "FROM = 'index 2.0'\n\ndef main():\n    print('the command of helper')\n")
        .entry_points("[console_scripts]\nboth-have-it = helper:main\n");
    world.publish(wheel.build());
    let site = "usr/lib/python3/dist-packages";
    let module =
        "import helper, numpy, sys\n\ndef main():\n    print('torch', numpy.FROM, helper.FROM, sys.prefix)\n";
    let base = world.path("base");
    bakery::extend_layout(
        &bakery::debian_layout(),
        &base,
        &[
            (
                &format!("{site}/torch-2.1.dist-info/METADATA"),
                "Name: torch\nVersion: 2.1\nRequires-Dist: numpy\nRequires-Dist: helper\n",
                0o644,
            ),
            (
                &format!("{site}/torch-2.1.dist-info/entry_points.txt"),
                "[console_scripts]\ntorchrun = torch:main\nboth-have-it = torch:main\n",
                0o644,
            ),
            (&format!("{site}/torch.py"), module, 0o644),
            (&format!("{site}/numpy-1.20.egg-info"), "Name: numpy\nVersion: 1.20\n", 0o644),
            (&format!("{site}/numpy.py"), "FROM = 'base 1.20'\n", 0o644),
            (&format!("{site}/helper-1.0.dist-info/METADATA"), "Name: helper\nVersion: 1.0\n", 0o644),
            (&format!("{site}/helper.py"), "FROM = 'base 1.0'\n", 0o644),
        ],
    );
    let out = world.path("out");
    let output = format!("oci:{}", out.display());
    world.succeed(&["build", "--base", &format!("oci:{}", base.display()), "--output", &output]);
    assert_eq!(names(lock(&world).get("packages")), ["helper", "tool"]);
    unpack(&out, "project:latest", &world.path("bundle"));
    let run = |arguments: &[&str]| bakery::in_root(&world.path("bundle/rootfs"), None, arguments);
    assert_eq!(run(&["/opt/venv/bin/torchrun"]), "torch base 1.20 index 2.0 /opt/venv\n");
    assert_eq!(run(&["/opt/venv/bin/both-have-it"]), "the command of helper\n");
    // What the interpreter itself finds installed is what was found from outside.
    let versions = "from importlib.metadata import version as v\nprint(*[v(n) for n in ('torch', 'numpy', 'helper', 'tool')])";
    assert_eq!(run(&["/opt/venv/bin/python", "-c", versions]), "2.1 1.20 2.0 1.0\n");
}
