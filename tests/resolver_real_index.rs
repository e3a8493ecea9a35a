//! Against the public Python index, and against uv there. Not part of an ordinary run: it needs the network.
//!
//! `cargo test --test resolver_real_index -- --ignored --nocapture`; `PACKAGES="a b[c] d<2"` resolves something else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bakehouse::index::{DEFAULT_INDEX_URL, Index, Settings};
use bakehouse::lock::{Inputs, Lock, Written};
use bakehouse::model::{Origin, Requirement, Target};
use bakehouse::net::Client;
use bakehouse::resolve::{IndexSource, Options, Request, Resolution, resolve};
use bakehouse::store::Store;

const PACKAGES: &str = "pandas fastapi scikit-learn";

fn requirements() -> Vec<Requirement> {
    let packages = std::env::var("PACKAGES").unwrap_or_else(|_| PACKAGES.to_owned());
    let origin = || Origin::file("PACKAGES");
    packages.split_whitespace().map(|text| Requirement::parse(text, origin()).unwrap()).collect()
}

/// The Python of this machine, such as `3.12`: what is locked for it can be installed here.
fn python() -> &'static str {
    static PYTHON: LazyLock<String> = LazyLock::new(|| {
        let version = "import sys; print('%d.%d' % sys.version_info[:2])";
        let output = Command::new("python3").args(["-c", version]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    });
    &PYTHON
}

fn target() -> Target {
    Target {
        python: python().parse().unwrap(),
        platform: "linux/amd64".parse().unwrap(),
        libc: "glibc-2.36".parse().unwrap(),
    }
}

fn resolved(requirements: &[Requirement]) -> Resolution {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let cache = std::env::var_os("CACHE").map_or_else(|| directory.path().to_owned(), Into::into);
    let store = Arc::new(Store::open(&cache).unwrap());
    let index_url = std::env::var("UV_DEFAULT_INDEX").unwrap_or_else(|_| DEFAULT_INDEX_URL.to_owned());
    let settings = Settings { index_url: index_url.parse().unwrap(), ..Settings::default() };
    let index = Index::new(settings, Client::new(false).unwrap(), store).unwrap();
    let source = IndexSource::new(index.clone(), runtime.handle().clone());
    let none = (BTreeMap::new(), BTreeMap::new());
    let request = Request {
        requirements,
        constraints: &[],
        overrides: &[],
        target: target(),
        preferences: &none.0,
        hashes: &none.1,
        installed: &BTreeMap::new(),
        options: Options::default(),
    };
    let start = Instant::now();
    let resolution = resolve(&request, &source);
    eprintln!("resolved in {:?}, {:?}", start.elapsed(), index.counters());
    resolution.unwrap_or_else(|error| panic!("{error}\nhint: {:?}", error.hint()))
}

#[test]
#[ignore = "needs the network and uv"]
fn the_pins_are_those_of_uv() {
    let requirements = requirements();
    let resolution = resolved(&requirements);
    for warning in &resolution.warnings {
        eprintln!("warning: {}", warning.message);
    }
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("requirements.in");
    let lines: Vec<String> = requirements.iter().map(ToString::to_string).collect();
    std::fs::write(&input, lines.join("\n")).unwrap();
    let start = Instant::now();
    let uv = Command::new("uv")
        .args(["pip", "compile", "--quiet", "--no-annotate", "--no-header", "--no-python-downloads"])
        .args(["--only-binary", ":all:", "--no-cache", "--python-version", python()])
        .args(["--python-platform", "x86_64-manylinux_2_36"])
        .arg(&input)
        .env_remove("PIP_FIND_LINKS")
        .output()
        .unwrap();
    eprintln!("uv took {:?}", start.elapsed());
    assert!(uv.status.success(), "{}", String::from_utf8_lossy(&uv.stderr));
    let theirs: Vec<String> = String::from_utf8(uv.stdout).unwrap().lines().map(str::to_owned).collect();
    let ours: Vec<String> =
        resolution.pins.iter().map(|pin| format!("{}=={}", pin.name, pin.version)).collect();
    eprintln!("{} pins", ours.len());
    assert_eq!(ours, theirs);
}

#[test]
#[ignore = "needs the network, uv and a released pip"]
fn pip_and_uv_install_from_the_lock() {
    let requirements = requirements();
    let resolution = resolved(&requirements);
    let directory = tempfile::tempdir().unwrap();
    let none = BTreeMap::new();
    let inputs = Inputs {
        requirements: &requirements,
        constraints: &[],
        overrides: &[],
        hashes: &none,
        target: target(),
        options: "",
        sources: &[],
        base: &[],
        indexes: &[],
    };
    let path = directory.path().join("pylock.toml");
    let lock = Lock::new(&inputs, resolution.pins);
    assert_eq!(bakehouse::lock::write(&path, &lock).unwrap(), Written::Written);
    assert_eq!(bakehouse::lock::write(&path, &lock).unwrap(), Written::Unchanged);
    let expected: Vec<String> =
        lock.pins.iter().map(|pin| format!("{}=={}", pin.name, pin.version)).collect();

    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(directory.path())
            .env_remove("PIP_FIND_LINKS")
            .env("UV_PYTHON_DOWNLOADS", "never")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    // pip stands apart from what it installs into, which is empty.
    run("uv", &["venv", "--quiet", "--python", python(), "pip"]);
    run("uv", &["pip", "install", "--quiet", "--python", "pip", "pip>=26"]);
    let pip = directory.path().join("pip/bin/pip").to_string_lossy().into_owned();
    for (environment, install) in [
        ("for-uv-sync", &["uv", "pip", "sync", "--python", "for-uv-sync", "pylock.toml"][..]),
        ("for-uv", &["uv", "pip", "install", "--python", "for-uv", "-r", "pylock.toml"][..]),
        ("for-pip", &["pip", "--python", "for-pip", "install", "-r", "pylock.toml"][..]),
    ] {
        run("uv", &["venv", "--quiet", "--python", python(), environment]);
        let empty = run("uv", &["pip", "list", "--format", "freeze", "--python", environment]);
        assert_eq!(empty, "", "{environment}");
        run(if install[0] == "uv" { "uv" } else { &pip }, &install[1..]);
        let frozen = run("uv", &["pip", "list", "--format", "freeze", "--python", environment]);
        assert_eq!(frozen.lines().collect::<Vec<_>>(), expected, "{environment}");
        run("uv", &["pip", "check", "--python", environment]);
        run(&pip, &["--python", environment, "check"]);
    }
}
