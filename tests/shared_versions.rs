//! Components that require the same get the same versions, so that they share layers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;

use bakery::{LIBC, PYTHON, World, write_index_layout};
use wheel::WheelBuilder;

fn wheel(name: &str, version: &str, requires: &[&str]) -> wheel::BuiltWheel {
    let builder = WheelBuilder::new(name, version);
    requires.iter().fold(builder, |builder, one| builder.requires(one)).build()
}

/// A deployment with requirements of its own beside those of the whole project.
fn deployment(world: &World, name: &str, requirements: &str) {
    world.write(
        &format!("deployments/{name}/config.yml"),
        &format!("name: {name}\nport: 8000\ncommands:\n  - python app.py\n"),
    );
    world.write(&format!("deployments/{name}/requirements.txt"), requirements);
    world.write(&format!("deployments/{name}/app.py"), "");
}

/// A project that needs `lib` everywhere, with two deployments.
fn world() -> World {
    let mut world = World::new();
    world.write("obproject.toml", "project = \"shop\"\n");
    deployment(&world, "api", "lib\n");
    deployment(&world, "web", "lib\nextra\n");
    world.publish(wheel("lib", "1.0", &[]));
    world.publish(wheel("extra", "1.0", &[]));
    world
}

/// The locked versions of a deployment.
fn locked(world: &World, name: &str) -> Vec<String> {
    let path = world.project().join(format!("deployments/{name}/pylock.toml"));
    let lock: toml_edit::DocumentMut = fs::read_to_string(path).unwrap().parse().unwrap();
    let packages = lock["packages"].as_array_of_tables().unwrap().iter();
    packages.map(|p| format!("{}=={}", p["name"].as_str().unwrap(), p["version"].as_str().unwrap())).collect()
}

#[test]
fn a_new_component_gets_the_versions_that_the_others_have() {
    let mut world = world();
    world.succeed(&["lock"]);
    world.publish(wheel("lib", "2.0", &[]));
    deployment(&world, "job", "lib\n");
    let report = world.succeed(&["lock"]);
    assert_eq!(locked(&world, "job"), ["lib==1.0"]);
    let statuses: Vec<_> =
        report["locks"].as_array().unwrap().iter().map(|l| l["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["fresh", "written", "fresh"]);

    world.succeed(&["lock", "--upgrade-package", "lib"]);
    for (name, versions) in
        [("api", &["lib==2.0"][..]), ("job", &["lib==2.0"]), ("web", &["extra==1.0", "lib==2.0"])]
    {
        assert_eq!(locked(&world, name), versions, "{name}");
    }
}

#[test]
fn components_agree_where_they_have_a_choice() {
    let mut world = world();
    // Alone, who decides `left` first has the newest of it, and an older `right`; and the other way round.
    for (name, other) in [("left", "right"), ("right", "left")] {
        let (newest, oldest) = (format!("{name}-common==2"), format!("{name}-common==1"));
        world.publish(wheel(name, "2.0", &[&newest, &format!("{other}-common==1")]));
        world.publish(wheel(name, "1.0", &[&oldest]));
        for version in ["1", "2"] {
            world.publish(wheel(&format!("{name}-common"), version, &[]));
        }
    }
    deployment(&world, "api", "left\nright\n");
    deployment(&world, "web", "right\nleft\n");
    world.succeed(&["lock"]);
    assert_eq!(locked(&world, "api"), locked(&world, "web"));
    assert!(locked(&world, "api").contains(&"left==2.0".to_owned()));
}

#[test]
fn one_component_that_cannot_agree_differs_alone() {
    let mut world = world();
    world.publish(wheel("lib", "2.0", &[]));
    world.publish(wheel("old", "1.0", &["lib<2"]));
    deployment(&world, "job", "lib\nold\n");
    world.succeed(&["lock"]);
    assert_eq!(locked(&world, "job"), ["lib==1.0", "old==1.0"]);
    assert_eq!(locked(&world, "api"), ["lib==2.0"]);
    assert_eq!(locked(&world, "web"), ["extra==1.0", "lib==2.0"]);
}

#[test]
fn what_does_not_go_together_keeps_no_component_from_its_lock() {
    let mut world = world();
    world.publish(wheel("lib", "2.0", &[]));
    for (name, requirement) in
        [("one", "lib<2\n"), ("two", "lib<2\n"), ("three", "lib>=2\n"), ("four", "lib>=2\n")]
    {
        deployment(&world, name, requirement);
    }
    world.succeed(&["lock"]);
    for (name, version) in [("one", "1.0"), ("two", "1.0"), ("three", "2.0"), ("four", "2.0"), ("api", "2.0")]
    {
        assert_eq!(locked(&world, name), [format!("lib=={version}")], "{name}");
    }
}

#[test]
fn an_unchanged_project_is_checked_without_asking_anybody() {
    let world = world();
    let arm_libc = ("usr/lib/aarch64-linux-gnu/libc.so.6", LIBC.1, LIBC.2);
    write_index_layout(&world.path("base"), &[("amd64", &[PYTHON, LIBC]), ("arm64", &[PYTHON, arm_libc])]);
    let platforms = ["--platform", "linux/amd64,linux/arm64"];
    world.succeed(&[&["lock"][..], &platforms].concat());
    world.index.clear();
    let elsewhere = world.path("elsewhere").to_string_lossy().into_owned();
    // With the store that it was locked with, once more when that knows it as checked, and on another machine.
    for store in [&[][..], &[], &["--cache-dir", &elsewhere]] {
        let report = world.succeed(&[&["lock", "--check"][..], &platforms, store].concat());
        let locks = report["locks"].as_array().unwrap();
        assert_eq!(locks.len(), 2);
        assert!(locks.iter().all(|lock| lock["status"] == "fresh"), "{locks:?}");
        assert_eq!(report["transfer"]["indexRequests"], 0);
        assert_eq!(report["transfer"]["registryRequests"], 0);
    }
    // Nor does it take an index to see that one is stale.
    deployment(&world, "api", "lib<2\n");
    world.fail(&[&["lock", "--check"][..], &platforms].concat(), 12, &["deployments/api/pylock.toml"]);
    assert!(world.index.requests().is_empty());
}

#[test]
fn components_and_platforms_ask_once_for_each_fact() {
    let mut world = world();
    for name in ["job", "cron"] {
        deployment(&world, name, &format!("lib\n{name}-own\n"));
        world.publish(wheel(&format!("{name}-own"), "1.0", &["lib>=1"]));
    }
    let arm_libc = ("usr/lib/aarch64-linux-gnu/libc.so.6", LIBC.1, LIBC.2);
    write_index_layout(&world.path("base"), &[("amd64", &[PYTHON, LIBC]), ("arm64", &[PYTHON, arm_libc])]);
    world.index.clear();
    world.succeed(&["lock", "--platform", "linux/amd64,linux/arm64"]);
    let mut asked: Vec<String> = world.index.requests().iter().map(|request| request.path.clone()).collect();
    let all = asked.len();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), all);
    assert_eq!(all, 8, "a page and a wheel's metadata for each of four: {asked:?}");
}
