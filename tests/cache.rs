//! The local store: how much is in it, and removing what is not used, beside runs that use it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use bakery::{World, digests, run};
use wheel::WheelBuilder;

fn world() -> World {
    let mut world = World::plain(&["alpha", "beta"]);
    for name in ["alpha", "beta"] {
        world.publish(WheelBuilder::new(name, "1.0").file(&format!("{name}.py"), "X = 1\n").build());
    }
    world
}

/// Runs `bakehouse cache`; gives what it prints.
fn cache(world: &World, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bakehouse"));
    command.arg("cache").args(arguments).arg("--cache-dir").arg(world.path("store"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The files of the store.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn info_tells_what_the_store_holds() {
    let world = world();
    world.succeed(&["build"]);
    let text = cache(&world, &["info"]);
    assert!(text.starts_with(world.path("store/v1").to_str().unwrap()), "{text}");
    let all = text.lines().last().unwrap();
    let count = files(&world.path("store")).len().to_string();
    assert!(all.starts_with("in all") && all.split_whitespace().any(|word| word == count), "{text}");
}

#[test]
fn pruning_removes_what_no_run_has_used_since_and_the_next_build_is_the_same() {
    let world = world();
    let built = world.succeed(&["build"]);
    assert!(cache(&world, &["prune"]).contains("removed 0 files"), "all of it was used just now");

    // Forty days later somebody builds again: what the wheels were made into is used, and they themselves are not.
    let then = SystemTime::now() - Duration::from_secs(40 * 24 * 60 * 60);
    for file in files(&world.path("store")) {
        fs::File::open(file).unwrap().set_modified(then).unwrap();
    }
    world.succeed(&["build"]);
    let before = files(&world.path("store")).len();
    assert!(!cache(&world, &["prune"]).contains("removed 0 files"));
    assert!(files(&world.path("store")).len() < before);
    world.index.clear();
    let again = world.succeed(&["build", "--offline"]);
    assert_eq!(digests(&again), digests(&built));
    assert_eq!(again["transfer"]["distributionBytes"], 0);

    cache(&world, &["prune", "--unused-for", "0"]);
    assert_eq!(files(&world.path("store")), Vec::<std::path::PathBuf>::new());
    assert_eq!(digests(&world.succeed(&["build"])), digests(&built));
}

#[test]
fn cleaning_waits_for_runs_and_runs_wait_for_cleaning() {
    let world = world();
    let expected = world.succeed(&["build"]);
    std::thread::scope(|scope| {
        for machine in 0..3 {
            let (world, expected) = (&world, &expected);
            scope.spawn(move || {
                for round in 0..6 {
                    let output = format!("oci:{}", world.path(&format!("out-{machine}-{round}")).display());
                    let ran = run(&mut world.command(&["build", "--output", &output]));
                    assert_eq!(ran.code, 0, "{}", ran.stderr);
                    assert_eq!(digests(&ran.report), digests(expected));
                }
            });
        }
        for round in 0..12 {
            cache(&world, if round % 2 == 0 { &["clean"] } else { &["prune", "--unused-for", "0"] });
        }
    });
}
