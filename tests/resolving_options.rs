//! What users can say about resolving, through the command line: upgrades of one package, constraints, overrides, dates,
//! groups, lists of links, indexes and credentials.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;

use bakery::World;
use serde_json::Value;
use wheel::WheelBuilder;

/// An index with two versions of `a` and `b`.
fn world(requirements: &[&str]) -> World {
    let mut world = World::plain(requirements);
    for (name, version) in [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")] {
        world.publish(WheelBuilder::new(name, version).build());
    }
    world
}

/// The versions in the project's lock.
fn locked(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.project().join("pylock.toml")).unwrap();
    let lock: toml_edit::DocumentMut = text.parse().unwrap();
    let packages = lock["packages"].as_array_of_tables().unwrap().iter();
    packages.map(|p| format!("{}=={}", p["name"].as_str().unwrap(), p["version"].as_str().unwrap())).collect()
}

fn status(report: &Value) -> &str {
    report["locks"][0]["status"].as_str().unwrap()
}

#[test]
fn one_package_is_upgraded_and_the_others_stay() {
    let world = world(&["a<2", "b<2"]);
    world.succeed(&["lock"]);
    world.write("requirements.txt", "a\nb\n");
    world.succeed(&["lock"]);
    assert_eq!(locked(&world), ["a==1", "b==1"]);
    assert_eq!(status(&world.succeed(&["lock", "-P", "unused"])), "fresh");
    world.succeed(&["lock", "--upgrade-package", "A"]);
    assert_eq!(locked(&world), ["a==2", "b==1"]);
    world.succeed(&["lock", "--check"]);
    world.fail(&["lock", "-P", "b @ https://h.example/b.whl"], 2, &["--upgrade-package"]);
}

#[test]
fn constraints_and_overrides_are_part_of_what_a_lock_is_made_from() {
    let world = world(&["a", "b"]);
    world.write("limits/c.txt", "a<2\n");
    let file = world.project().join("limits/c.txt");
    world.succeed(&["lock", "--constraint", file.to_str().unwrap()]);
    assert_eq!(locked(&world), ["a==1", "b==2"]);
    world.fail(&["lock", "--check"], 12, &["constraints"]);
    world.write("limits/o.txt", "b==1\n");
    let file = world.project().join("limits/o.txt");
    world.succeed(&["lock", "--override", file.to_str().unwrap()]);
    assert!(locked(&world).contains(&"b==1".to_owned()));
    world.fail(&["lock", "--constraint", "/nonexistent/c.txt"], 10, &["no file"]);
}

#[test]
fn pyproject_settings_groups_and_extras_count() {
    let world = world(&[]);
    fs::remove_file(world.project().join("requirements.txt")).unwrap();
    world.write(
        "pyproject.toml",
        "[project]\nname = 'own'\nversion = '1'\ndependencies = []\n\
         [project.optional-dependencies]\nx = ['a']\nall = ['own[x]']\n\
         [dependency-groups]\ndev = [{include-group = 'Test_It'}]\ntest-it = ['b']\n\
         [tool.uv]\nconstraint-dependencies = ['a<2']\nresolution = 'lowest'\n",
    );
    world.succeed(&["lock", "--extra", "all", "--group", "dev"]);
    assert_eq!(locked(&world), ["a==1", "b==1"]);
    world.succeed(&["lock", "--group", "dev", "--resolution", "highest"]);
    assert_eq!(locked(&world), ["b==2"], "other options forget the old versions");
    world.fail(&["lock", "--group", "nope"], 10, &["no dependency group `nope`", "dev, test-it"]);
}

#[test]
fn a_directory_of_wheels_serves_and_its_files_are_hashed() {
    let world = world(&["a", "c"]);
    let wheel = WheelBuilder::new("c", "1").requires("b<2").build();
    world.write("wheels/note.txt", "");
    fs::write(world.project().join("wheels").join(&wheel.file_name), &wheel.bytes).unwrap();
    let folder = world.project().join("wheels");
    world.succeed(&["lock", "--find-links", folder.to_str().unwrap()]);
    assert_eq!(locked(&world), ["a==2", "b==1", "c==1"]);
    let lock = fs::read_to_string(world.project().join("pylock.toml")).unwrap();
    assert!(lock.contains("path = \"wheels/c-1-py3-none-any.whl\""), "{lock}");
    world.succeed(&["build", "--find-links", folder.to_str().unwrap()]);
}

#[test]
fn credentials_come_from_netrc_and_from_the_keyring() {
    let world = world(&["a"]);
    let wheel = WheelBuilder::new("a", "1").build();
    let page = format!("<a href='/files/{0}#sha256={1}'>{0}</a>", wheel.file_name, wheel.digest().hex());
    world.index.file(&format!("/files/{}", wheel.file_name), wheel.bytes.clone());
    world.index.route("/simple/a/", move |request| match request.header("authorization") {
        // `me:secret`
        Some("Basic bWU6c2VjcmV0") => http::Response::ok("text/html", page.clone()),
        _ => http::Response::status(401),
    });
    world.fail(&["lock"], 20, &["refuses access"]);
    fs::create_dir_all(world.path("home")).unwrap();
    fs::write(world.path("home/.netrc"), "machine 127.0.0.1 login me password secret\n").unwrap();
    world.succeed(&["lock"]);
    assert_eq!(locked(&world), ["a==1"]);

    fs::remove_file(world.path("home/.netrc")).unwrap();
    bakery::script(&world.path("bin/keyring"), "#!/bin/sh\nprintf 'me\\nsecret\\n'\n");
    let mut command = world.command(&["lock", "--upgrade", "--keyring-provider", "subprocess"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()));
    let ran = bakery::run(&mut command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn this_machine_is_reached_without_a_proxy() {
    let world = world(&["a"]);
    let mut command = world.command(&["lock"]);
    command.env("HTTP_PROXY", "http://proxy.invalid:1").env("ALL_PROXY", "http://proxy.invalid:1");
    let ran = bakery::run(&mut command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}
