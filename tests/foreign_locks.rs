//! Locks of other tools are used as they are: `pylock.toml` of uv and pip, `uv.lock`, requirements files that pin and hash
//! everything. The files in `testdata/locks` were really made by these tools.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::path::Path;

use bakehouse::lock::{Lock, parse, parse_uv, unmet};
use bakehouse::model::{Digest, Origin, Requirement, Target};
use bakery::World;
use serde_json::Value;
use wheel::{BuiltWheel, WheelBuilder};

const PYPROJECT: &str = "[project]\nname = \"shop\"\nversion = \"1\"\ndependencies = [\"alpha[x]>=1\"]\n";

fn made(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/locks").join(name)).unwrap()
}

fn target(python: &str, platform: &str) -> Target {
    Target {
        python: python.parse().unwrap(),
        platform: platform.parse().unwrap(),
        libc: "glibc-2.36".parse().unwrap(),
    }
}

/// What the project in `testdata/locks` requires.
fn requirements(more: &[&str]) -> Vec<Requirement> {
    let own = [
        "httpx[http2]>=0.27",
        "rich>=13",
        "numpy<2.3 ; python_version < '3.12'",
        "numpy>=2.3 ; python_version >= '3.12'",
        "colorama ; sys_platform == 'win32'",
        "psutil",
    ];
    let parse = |text: &&str| Requirement::parse(text, Origin::file("pyproject.toml")).unwrap();
    own.iter().chain(more).map(parse).collect()
}

fn uv_lock(requirements: &[Requirement], target: Target) -> Lock {
    parse_uv(&made("uv.lock"), "uv.lock", Path::new("/shop"), requirements, target).unwrap()
}

fn shown(lock: &Lock) -> Vec<String> {
    lock.pins.iter().map(|pin| format!("{} {}", pin.name, pin.archive.file_name)).collect()
}

#[test]
fn a_uv_lock_means_what_uv_exports_from_it() {
    for (python, platform) in [("3.11", "linux/amd64"), ("3.12", "linux/arm64"), ("3.13", "linux/amd64")] {
        let target = target(python, platform);
        let lock = uv_lock(&requirements(&[]), target);
        let exported = parse(&made("pylock.uv.toml"), Path::new("/shop/pylock.toml"), target).unwrap();
        assert_eq!(shown(&lock), shown(&exported), "{target}");
        let archives = |lock: &Lock| lock.pins.iter().map(|pin| pin.archive.clone()).collect::<Vec<_>>();
        assert_eq!(archives(&lock), archives(&exported), "{target}");
        let numpy = lock.pins.iter().find(|pin| pin.name.as_ref() == "numpy").unwrap();
        assert_eq!(numpy.version.to_string(), if python == "3.11" { "2.2.6" } else { "2.3.4" });
        let names: Vec<&str> = lock.pins.iter().map(|pin| pin.name.as_ref()).collect();
        assert!(
            names.contains(&"h2") && !names.contains(&"colorama") && !names.contains(&"shop"),
            "{names:?}"
        );
        assert_eq!(names.contains(&"typing-extensions"), python != "3.13");
        assert!(unmet(&lock, &requirements(&[])).is_empty());
    }
}

#[test]
fn of_a_uv_lock_comes_what_is_asked_for() {
    let target = target("3.11", "linux/amd64");
    let base = uv_lock(&requirements(&[]), target).pins.len();
    // A group, and an extra of the project by its own name.
    let more = requirements(&["iniconfig", "shop[tui]"]);
    let lock = uv_lock(&more, target);
    let names: Vec<&str> = lock.pins.iter().map(|pin| pin.name.as_ref()).collect();
    assert_eq!(names.len(), base + 3, "iniconfig, prompt-toolkit, wcwidth: {names:?}");
    let httpx = lock.pins.iter().find(|pin| pin.name.as_ref() == "httpx").unwrap();
    let dependencies: Vec<&str> = httpx.dependencies.iter().map(AsRef::as_ref).collect();
    assert_eq!(dependencies, ["anyio", "certifi", "h2", "httpcore", "idna"]);

    let more = requirements(&["flask", "rich>=99"]);
    assert_eq!(unmet(&uv_lock(&more, target), &more), ["flask", "rich>=99"]);
}

#[test]
fn a_lock_made_by_pip_is_read_without_the_project_itself() {
    let lock = parse(&made("pylock.pip.toml"), Path::new("/shop/pylock.toml"), target("3.11", "linux/amd64"))
        .unwrap();
    assert_eq!(lock.created_by, "pip");
    assert!(unmet(&lock, &requirements(&[])).is_empty());
    assert!(lock.pins.iter().all(|pin| pin.name.as_ref() != "shop" && pin.archive.sha256.is_some()));
}

#[test]
fn a_broken_uv_lock_is_refused_with_its_line() {
    let text = made("uv.lock");
    let read = |text: &str| {
        parse_uv(text, "uv.lock", Path::new("/shop"), &requirements(&[]), target("3.11", "linux/amd64"))
            .expect_err("it is broken")
    };
    let line_of = |text: &str, needle: &str| text.lines().position(|line| line.contains(needle)).unwrap() + 1;
    for (from, to, reason) in [
        ("version = 1\n", "version = 2\n", "its version is 2"),
        ("requires-python = \">=3.11\"", "requires-python = \">=3.12\"", "it is for Python >=3.12, not 3.11"),
        ("revision", "conflicts = []\nrevision", "exclude each other"),
        ("{ name = \"sniffio\" }", "{ name = \"nowhere\" }", "`anyio` needs `nowhere`, which is not in it"),
        (
            "python_full_version < '3.13'",
            "python is '3.13'",
            "the marker `python is '3.13'` is not supported",
        ),
        ("hash = \"sha256:0287e9", "hash = \"md5:0287e9", "has no SHA-256 hash"),
        ("anyio-4.11.0-py3-none-any.whl\"", "idna-4.11.0-py3-none-any.whl\"", "is not a wheel of anyio"),
        (
            "version = \"4.11.0\"\nsource = { registry = \"https://pypi.org/simple\" }",
            "version = \"4.11.0\"\nsource = { git = \"https://git.example/anyio?rev=1#abc\" }",
            "comes from a git repository",
        ),
        (
            "version = \"4.11.0\"\nsource = { registry = \"https://pypi.org/simple\" }",
            "version = \"4.11.0\"\nsource = { editable = \"../anyio\" }",
            "comes from the directory ../anyio",
        ),
    ] {
        let broken = text.replacen(from, to, 1);
        assert_ne!(broken, text, "{from}");
        let error = read(&broken).to_string();
        assert!(error.contains(reason), "{error}");
        let line: usize = error.split(':').nth(1).unwrap().parse().expect(&error);
        let expected = line_of(&broken, to.lines().next().unwrap());
        assert!(line.abs_diff(expected) <= 12, "{error}: line {expected}");
    }
    for size in (0..text.len()).step_by(997) {
        let _ = parse_uv(&text[..size], "uv.lock", Path::new("/"), &[], target("3.11", "linux/amd64"));
    }
}

/// `alpha` requires `beta`, and with its extra `gamma`; there is a newer `beta` than the locks name.
fn world() -> World {
    let mut world = World::new();
    for wheel in wheels() {
        world.publish(wheel);
    }
    world.publish(WheelBuilder::new("beta", "3.0").build());
    world.write("pyproject.toml", PYPROJECT);
    world
}

fn wheels() -> Vec<BuiltWheel> {
    let wheel = |name: &str| WheelBuilder::new(name, "1.0").file(&format!("{name}.py"), "X = 1\n");
    vec![
        wheel("alpha")
            .requires("beta")
            .requires("gamma ; extra == 'x'")
            .metadata("Provides-Extra: x")
            .build(),
        wheel("beta").build(),
        wheel("gamma").build(),
        wheel("win").build(),
    ]
}

fn hash_of(name: &str) -> String {
    wheels().iter().find(|wheel| wheel.file_name.starts_with(name)).unwrap().digest().hex()
}

fn uv_lock_of(world: &World) -> String {
    let registry = world.index.url("/simple/");
    let mut text = "version = 1\nrevision = 3\nrequires-python = \">=3.9\"\n\n[[package]]\nname = \"shop\"\nversion = \"1\"\n\
                    source = { virtual = \".\" }\ndependencies = [{ name = \"alpha\", extra = [\"x\"] }]\n"
        .to_owned();
    for name in ["alpha", "beta", "gamma", "win"] {
        let (url, hash) = (world.index.url(&format!("/files/{name}-1.0-py3-none-any.whl")), hash_of(name));
        text += &format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"1.0\"\nsource = {{ registry = \"{registry}\" }}\n\
             wheels = [{{ url = \"{url}\", hash = \"sha256:{hash}\" }}]\n"
        );
        if name == "alpha" {
            text += "dependencies = [{ name = \"beta\" }, { name = \"win\", marker = \"sys_platform == 'win32'\" }]\n\
                     \n[package.optional-dependencies]\nx = [{ name = \"gamma\" }]\n";
        }
    }
    text
}

fn requirements_of() -> String {
    let line = |name: &str| format!("{name}==1.0 \\\n    --hash=sha256:{}\n", hash_of(name));
    let others: String = ["alpha", "beta", "gamma"].map(line).concat();
    others + &line("win").replace("==1.0", "==1.0 ; sys_platform == 'win32'")
}

fn packages(report: &Value) -> Vec<String> {
    let layers = bakery::layers(report);
    let packages = layers.iter().flat_map(|layer| layer["packages"].as_array().cloned().unwrap_or_default());
    let mut names: Vec<String> = packages
        .map(|one| format!("{} {}", one["name"].as_str().unwrap(), one["version"].as_str().unwrap()))
        .collect();
    names.sort();
    names
}

#[test]
fn images_are_built_from_locks_of_other_tools() {
    let mut digests = Vec::new();
    for (file, text) in
        [("uv.lock", uv_lock_of as fn(&World) -> String), ("requirements.txt", |_| requirements_of())]
    {
        let world = world();
        world.write(file, &text(&world));
        for flag in [&["build"][..], &["build", "--locked"], &["build", "--frozen", "--offline"]] {
            let report = world.succeed(flag);
            assert_eq!(packages(&report), ["alpha 1.0", "beta 1.0", "gamma 1.0"], "{file} {flag:?}");
            assert_eq!(
                (&report["locks"][0]["status"], &report["locks"][0]["path"]),
                (&"foreign".into(), &file.into())
            );
            digests.push(report["environments"][0]["id"].clone());
        }
        assert_eq!(world.succeed(&["lock", "--check"])["locks"][0]["packages"], 3);
        assert!(!world.project().join("pylock.toml").exists(), "nothing of ours is written");

        // The way out: a lock of our own, which from then on goes first.
        let report = world.succeed(&["lock", "--upgrade"]);
        assert_eq!(report["locks"][0]["status"], "written");
        assert!(fs::read_to_string(world.project().join("pylock.toml")).unwrap().contains("beta-3.0"));
        assert_eq!(world.succeed(&["lock"])["locks"][0]["path"], "pylock.toml");
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "all locks name the same environment");
}

#[test]
fn a_requirements_file_alone_that_hashes_everything_is_a_lock() {
    let world = world();
    fs::remove_file(world.project().join("pyproject.toml")).unwrap();
    world.write("requirements.txt", &requirements_of());
    assert_eq!(packages(&world.succeed(&["build"])), ["alpha 1.0", "beta 1.0", "gamma 1.0"]);
    assert!(!world.project().join("pylock.toml").exists());

    // One that leaves a choice is none.
    world.write("requirements.txt", "alpha\n");
    assert_eq!(world.succeed(&["lock"])["locks"][0]["status"], "written");
}

#[test]
fn what_does_not_hash_to_what_the_lock_says_is_refused() {
    let other = Digest::of(b"other").hex();
    let world_with = |file: &str, text: &str| {
        let world = world();
        world.write(file, &text.replace("ORIGIN", world.index.url("/").as_str()));
        world
    };
    let world = world_with("requirements.txt", &requirements_of().replace(&hash_of("beta"), &other));
    world.fail(&["build"], 30, &["requirements.txt:3", "beta 1.0", "one of the hashes"]);
    let world = world_with("requirements.txt", &requirements_of().replace("beta==1.0", "beta==1.5"));
    world.fail(&["build"], 11, &["requirements.txt:3", "no index has beta 1.5"]);
    let world = self::world();
    world.write("uv.lock", &uv_lock_of(&world).replace(&hash_of("beta"), &other));
    world.fail(&["build"], 30, &["beta-1.0"]);
}

#[test]
fn a_foreign_lock_that_does_not_meet_the_requirements_is_stale() {
    let world = world();
    world.write("uv.lock", &uv_lock_of(&world));
    world.write("pyproject.toml", &PYPROJECT.replace("\"alpha", "\"beta>=2\", \"delta\", \"alpha"));
    for command in [&["lock", "--check"][..], &["build", "--locked"]] {
        world.fail(command, 12, &["uv.lock is stale", "beta>=2, delta", "with the tool that made it"]);
    }
    let report = world.succeed(&["build"]);
    let warning = report["warnings"][0]["message"].as_str().unwrap();
    assert!(warning.contains("nothing in it meets beta>=2, delta"), "{warning}");
    assert_eq!(world.succeed(&["build", "--frozen"])["warnings"].as_array().unwrap().len(), 0);
}

#[test]
fn paths_in_a_lock_are_relative_to_it() {
    let world = world();
    let wheel = &wheels()[1];
    fs::create_dir(world.project().join("vendor")).unwrap();
    fs::write(world.project().join("vendor").join(&wheel.file_name), &wheel.bytes).unwrap();
    world.write("pyproject.toml", &PYPROJECT.replace("alpha[x]>=1", "beta"));
    world.write(
        "pylock.toml",
        &format!(
            "lock-version = \"1.0\"\ncreated-by = \"pdm\"\ndependency-groups = [\"default\", \"dev\"]\n\
             default-groups = [\"default\"]\n\n[[packages]]\nname = \"beta\"\nversion = \"1.0\"\n\
             marker = \"\\\"default\\\" in dependency_groups\"\nwheels = [{{ path = \"vendor/{}\", \
             hashes = {{ sha256 = \"{}\" }} }}]\n\n[[packages]]\nname = \"gone\"\nversion = \"1\"\n\
             marker = \"'dev' in dependency_groups\"\n",
            wheel.file_name,
            wheel.digest().hex()
        ),
    );
    assert_eq!(packages(&world.succeed(&["build", "--offline"])), ["beta 1.0"]);
}
