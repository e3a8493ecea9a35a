//! The base where nothing names one: which suite it is, what the project's settings say of it, how it stays the same, and
//! where its packages come from when the mirror has them no more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/cache_repository.rs"]
mod cache_repository;
#[path = "support/debian.rs"]
mod debian;
#[path = "support/http.rs"]
mod http;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;

use bakery::{World, digests, layers, run};
use cache_repository::delete_blob;
use debian::{Mirror, Suite};
use registry::Registry;
use serde_json::Value;
use tar::EntryType;

fn base_of(report: &Value) -> (&str, &str) {
    let environment = &report["environments"][0];
    (environment["base"].as_str().unwrap(), environment["python"].as_str().unwrap())
}

#[test]
fn it_is_the_newest_suite_whose_python_fits_and_stays_until_an_upgrade() {
    let mirror = Mirror::new();
    let project = |python: &str| {
        let text = format!("[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \"{python}\"\n");
        mirror.world.write("pyproject.toml", &(text + "dependencies = []\n"));
    };
    for (python, base) in [
        (">=3.9", ("deb://trixie", "3.13")),
        (">=3.9,<3.13", ("deb://bookworm", "3.11")),
        ("==3.9.*", ("deb://bullseye", "3.9")),
    ] {
        project(python);
        assert_eq!(base_of(&mirror.succeed(&["build", "--upgrade"])), base);
    }
    // What is locked is kept, if it still fits.
    fs::remove_file(mirror.world.project().join("bakehouse-base.toml")).unwrap();
    project("<3.13");
    mirror.succeed(&["build", "--upgrade"]);
    project(">=3.9");
    assert_eq!(base_of(&mirror.succeed(&["build"])), ("deb://bookworm", "3.11"));
    assert_eq!(base_of(&mirror.succeed(&["build", "--upgrade"])), ("deb://trixie", "3.13"));
    project(">=3.14");
    let ran = mirror.run(&["build"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("trixie has Python 3.13"), "{}", ran.stderr);
}

#[test]
fn the_projects_settings_name_packages_mirrors_suites_and_keys() {
    let mirror = Mirror::new();
    let (world, signer) = (&mirror.world, &mirror.signer);
    let mut suite = Suite::new("bookworm", "3.11");
    suite.add("libpq5", "15.1-1", "libssl3", &[("./usr/lib/libpq.so.5", EntryType::Regular, "pq")]);
    suite.add("libssl3", "3.0-1", "libc6", &[]);
    suite.add("libaio1", "0.3-1", "libc6", &[]);
    suite.publish_below(&world.index, signer, "/own");
    let mut updates = Suite::new("own-updates", "3.11");
    updates.add("libssl3", "3.0-2", "libc6", &[]);
    updates.publish_below(&world.index, signer, "/updates");
    fs::copy(signer.keyring(), world.project().join("archive.gpg")).unwrap();
    let settings = format!(
        "debian-suite = \"bookworm\"\ndebian-packages = [\"libpq5\"]\ndebian-mirror = \"{}\"\ndebian-security-mirror = \"{}\"\n\
         debian-security-suite = \"own-updates\"\ndebian-keyring = \"archive.gpg\"\n",
        world.index.url("/own"),
        world.index.url("/updates/")
    );
    world.write("pyproject.toml", &format!("[tool.bakehouse]\n{settings}"));
    world.index.clear();
    let ran = run(&mut world.bare_command(&["build"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(base_of(&ran.report).0, "deb://bookworm");
    assert_eq!(ran.report["warnings"], serde_json::json!([]), "every setting means something");
    let lock = mirror.lock();
    assert!(lock.contains("asked-for = [\"libpq5\"]"), "{lock}");
    assert!(lock.contains("part = \"extra\", name = \"libpq5\", version = \"15.1-1\""), "{lock}");
    assert!(lock.contains("name = \"libssl3\", version = \"3.0-2\"") && lock.contains("security = true"));
    assert!(world.index.requests().iter().all(|request| !request.path.starts_with("/debian/")));

    // The command line adds packages, and goes before what the files say otherwise.
    let ran = run(&mut world.bare_command(&["build", "--debian-package", "libaio1", "--no-debian-security"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lock = mirror.lock();
    assert!(
        lock.contains("asked-for = [\"libaio1\", \"libpq5\"]") && lock.contains("security = false"),
        "{lock}"
    );
    assert!(lock.contains("name = \"libssl3\", version = \"3.0-1\""), "{lock}");
    assert_eq!(lock.matches("[[base]]").count(), 1, "one for each suite and platform: {lock}");

    // So does obproject.toml, before pyproject.toml.
    world.write(
        "obproject.toml",
        "project = \"x\"\n[bakehouse]\ndebian-suite = \"trixie\"\ndebian-packages = []\n",
    );
    world.write("deployments/api/config.yml", "name: api\nport: 80\ncommands: [sleep 1]\n");
    let ran = run(&mut world.bare_command(&["build"]));
    assert_eq!(ran.code, 20, "there is no trixie on that mirror: {}", ran.stderr);
    assert!(ran.stderr.contains("dists/trixie"), "{}", ran.stderr);
}

#[test]
fn settings_that_cannot_be_are_told_with_their_line() {
    let mirror = Mirror::new();
    for (setting, word) in [
        ("debian-packages = [\"lib pq\"]", "lib pq"),
        ("debian-packages = \"libpq5\"", "array"),
        ("debian-suite = \"../x\"", "../x"),
        ("debian-mirror = \"file:///x\"", "http"),
        ("debian-mirror = \"https://u:s3cret@mirror.example/\"", "password"),
        ("debian-keyring = \"nowhere.gpg\"", "nowhere.gpg"),
        ("debian-security = \"yes\"", "true or false"),
    ] {
        mirror.world.write("pyproject.toml", &format!("[tool.bakehouse]\n{setting}\n"));
        let ran = mirror.run(&["build"]);
        assert_eq!(ran.code, 10, "{setting}: {}", ran.stderr);
        assert!(ran.stderr.contains("pyproject.toml:2") && ran.stderr.contains(word), "{}", ran.stderr);
        assert!(!ran.stderr.contains("s3cret"));
    }
    mirror.world.write("pyproject.toml", "[tool.bakehouse]\ndebian-packages = [\"libnothing\"]\n");
    let ran = mirror.run(&["build"]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("libnothing"), "{}", ran.stderr);
}

#[test]
fn two_clean_stores_make_the_same_image_and_a_newer_mirror_changes_nothing() {
    let mirror = Mirror::new();
    let build = |store: &str| {
        let store = mirror.world.path(store).display().to_string();
        mirror.succeed(&["build", "--python", "3.11", "--cache-dir", &store])
    };
    let first = build("one");
    let lock = mirror.lock();
    let mut newer = mirror.bookworm.clone();
    newer.add("bash", "1.0-2", "libc6", &[]);
    // An archive keeps the packages of a while.
    newer.publish(&mirror.world.index, &mirror.signer);
    let second = build("two");
    assert_eq!(digests(&first), digests(&second));
    assert_eq!(mirror.lock(), lock);
    let upgraded = mirror.succeed(&["build", "--python", "3.11", "--upgrade"]);
    assert_ne!(digests(&first), digests(&upgraded));
    assert!(mirror.lock().contains("version = \"1.0-2\""));
}

#[test]
fn without_the_network_a_locked_base_stays_as_it_is() {
    let mirror = Mirror::new();
    mirror.succeed(&["build"]);
    let lock = mirror.lock();
    mirror.world.index.clear();
    mirror.succeed(&["lock", "--upgrade", "--offline"]);
    mirror.succeed(&["build", "--offline"]);
    assert_eq!(mirror.world.index.requests().len(), 0);
    assert_eq!(mirror.lock(), lock);
    // Where nothing is locked, there is nothing that could stay.
    fs::remove_file(mirror.world.project().join("bakehouse-base.toml")).unwrap();
    assert_eq!(mirror.run(&["lock", "--upgrade", "--offline"]).code, 20);
    assert_eq!(mirror.run(&["build", "--locked"]).code, 12);
}

#[test]
fn what_the_mirror_drops_comes_from_a_snapshot_or_is_named() {
    let mirror = Mirror::new();
    mirror.succeed(&["lock", "--python", "3.11"]);
    mirror.drop("bash");
    mirror.succeed(&["build", "--python", "3.11"]);
    let store = mirror.world.path("new").display().to_string();
    let build = ["build", "--python", "3.11", "--cache-dir", &store];
    let ran = mirror.run(&build);
    assert_eq!(ran.code, 12, "{}", ran.stderr);
    assert!(ran.stderr.contains("bash 1.0-1") && ran.stderr.contains("--debian-snapshot"), "{}", ran.stderr);
    mirror.bookworm.publish_below(&mirror.world.index, &mirror.signer, "/snapshot");
    let snapshot = mirror.world.index.url("/snapshot/");
    mirror.succeed(&[&build[..], &["--debian-snapshot", snapshot.as_str()]].concat());
    // Or the project's settings name it.
    mirror.world.write("pyproject.toml", &format!("[tool.bakehouse]\ndebian-snapshot = \"{snapshot}\"\n"));
    let store = mirror.world.path("fresh").display().to_string();
    mirror.succeed(&["build", "--python", "3.11", "--cache-dir", &store]);
}

#[test]
fn what_the_mirror_drops_comes_from_the_registry_where_somebody_built_it() {
    let (mirror, registry) = (Mirror::new(), Registry::start());
    let push = format!("{}/team", registry.address());
    let first = mirror.succeed(&["build", "--python", "3.11", "--push", &push]);
    // A layer that the registry has collected is made again, and is there again for whoever comes next.
    let lowest = layers(&first)[0]["digest"].as_str().unwrap().to_owned();
    delete_blob(&registry, &lowest);
    let store = mirror.world.path("second").display().to_string();
    let again = mirror.succeed(&["build", "--python", "3.11", "--push", &push, "--cache-dir", &store]);
    assert_eq!(digests(&again), digests(&first));
    mirror.drop("bash");
    mirror.drop("dash");
    let store = mirror.world.path("fresh").display().to_string();
    mirror.world.index.clear();
    let plan = mirror.succeed(&["plan", "--python", "3.11", "--push", &push, "--cache-dir", &store]);
    let of_base = |report: &Value| -> Vec<Value> {
        let base = layers(report).into_iter().filter(|layer| layer["role"] == "base");
        base.map(|layer| layer["digest"].clone()).collect()
    };
    assert_eq!(of_base(&plan), of_base(&first), "a plan knows it too");
    let again = mirror.succeed(&["build", "--python", "3.11", "--push", &push, "--cache-dir", &store]);
    assert_eq!(digests(&again), digests(&first));
    let asked: Vec<String> = mirror.world.index.requests().into_iter().map(|request| request.path).collect();
    assert!(asked.iter().all(|path| !path.starts_with("/debian/")), "no mirror is asked: {asked:?}");
    assert_eq!(again["transfer"]["baseBytes"], 0);
    // Where the layers have to be on this machine, they are read from there.
    let (store, out) = (mirror.world.path("fresh2"), mirror.world.path("out"));
    let (store, out) = (store.display().to_string(), format!("oci:{}", out.display()));
    let cache = format!("{push}/bakehouse-cache");
    for verify in [&["--verify-cache"][..], &[]] {
        let arguments =
            ["build", "--python", "3.11", "--output", &out, "--cache-repo", &cache, "--cache-dir", &store];
        let written = mirror.succeed(&[&arguments[..], verify].concat());
        assert_eq!(digests(&written), digests(&first));
    }
    // A record whose layers are gone is none: then the packages are wanted again.
    let elsewhere = format!("{}/elsewhere", registry.address());
    let store = mirror.world.path("fresh3").display().to_string();
    let ran = mirror.run(&["build", "--python", "3.11", "--push", &elsewhere, "--cache-dir", &store]);
    assert_eq!(ran.code, 12, "{}", ran.stderr);
}

#[test]
fn a_second_project_on_the_same_suite_uploads_no_layer_of_the_base() {
    let (mirror, registry) = (Mirror::new(), Registry::start());
    let push = format!("{}/team", registry.address());
    let of_base = |report: &Value| -> Vec<String> {
        let base = layers(report).into_iter().filter(|layer| layer["role"] == "base");
        base.map(|layer| layer["transfer"].as_str().unwrap().to_owned()).collect()
    };
    let first = mirror.succeed(&["build", "--push", &push]);
    assert_eq!(of_base(&first), ["uploaded"; 4]);
    let lock = mirror.lock();
    // Another project of the same state of the mirror, with the same store and with none.
    let other = World::plain(&[]);
    other.write("pyproject.toml", "[project]\nname = \"other\"\nversion = \"1\"\ndependencies = []\n");
    let (url, keyring) = (mirror.world.index.url("/debian"), mirror.signer.keyring().display().to_string());
    for store in [mirror.world.path("store"), other.path("fresh")] {
        let store = store.display().to_string();
        let _ = fs::remove_file(other.project().join("bakehouse-base.toml"));
        let own = ["--debian-mirror", url.as_str(), "--no-debian-security", "--debian-keyring", &keyring];
        let arguments = ["build", "--push", &push, "--cache-dir", &store];
        let tag = ["--tag", if store.contains("fresh") { "two" } else { "one" }];
        let ran = run(&mut other.bare_command(&[&arguments[..], &own, &tag].concat()));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let transfers = of_base(&ran.report);
        assert!(transfers.iter().all(|transfer| transfer != "uploaded"), "{transfers:?}");
        assert_eq!(fs::read_to_string(other.project().join("bakehouse-base.toml")).unwrap(), lock);
    }
}
