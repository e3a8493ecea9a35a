//! The program may be killed at any moment: what is in the store and the registry stays true, and the next build succeeds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bakehouse::model::Digest;
use bakehouse::net::Client;
use bakehouse::registry::{Credentials, Registries, Repository};
use bakery::{World, digests};
use registry::Registry;
use serde_json::Value;
use wheel::WheelBuilder;

/// Builds that are killed; each of them four times.
const BUILDS: u64 = 50;

fn world() -> World {
    let mut world = World::plain(&["large", "small", "tiny"]);
    let noise = |n: u32| (0..n).flat_map(|i| *Digest::of(&i.to_be_bytes()).as_bytes()).collect::<Vec<u8>>();
    world.publish(WheelBuilder::new("large", "1.0").file("large/data.bin", noise(100_000)).build());
    for name in ["small", "tiny"] {
        world.publish(WheelBuilder::new(name, "1.0").file(&format!("{name}.bin"), noise(10_000)).build());
    }
    world
}

/// A number below `end` that follows from `seed` alone.
fn random(seed: u64, end: u64) -> u64 {
    let digest = Digest::of(&seed.to_be_bytes());
    u64::from_be_bytes(digest.as_bytes()[..8].try_into().unwrap()) % end
}

/// Every blob of a store has the digest that it is named after.
fn check_store(store: &Path) {
    let Ok(entries) = fs::read_dir(store.join("blobs")) else { return };
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    while let Some(path) = folders.pop() {
        if path.is_dir() {
            folders.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.len() == 64 {
            assert_eq!(Digest::of(&fs::read(&path).unwrap()).hex(), name, "{}", path.display());
        }
    }
}

/// Every manifest that a repository has under a tag is whole: its blobs are there, with the bytes that they are named after.
async fn check_repository(repository: &Repository, address: &str, store: &bakehouse::store::Store) {
    for tag in tags(address, repository.name()).await {
        let manifest = repository.manifest(&tag).await.unwrap().expect("a tag that is listed");
        let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        for blob in layers.iter().chain([&manifest["config"]]) {
            let digest = blob["digest"].as_str().unwrap().parse().unwrap();
            repository.pull_blob(store, &digest, blob["size"].as_u64().unwrap()).await.unwrap();
        }
    }
}

async fn tags(address: &str, name: &str) -> Vec<String> {
    let url = format!("http://{address}/v2/{name}/tags/list").parse().unwrap();
    let client = Client::new(false).unwrap();
    let answer = client.request(reqwest::Method::GET, url).send().await.unwrap();
    let list: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let tags = list["tags"].as_array().cloned().unwrap_or_default();
    tags.iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
}

#[test]
#[ignore = "takes a few minutes"]
fn a_build_that_is_killed_at_any_moment_leaves_nothing_false() {
    let (world, registry) = (world(), Registry::start());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let repositories =
        Registries::with_credentials(Client::new(false).unwrap(), false, Credentials::default());
    let build = |round: u64| {
        let push = format!("{}/round-{round}", registry.address());
        let store = world.path(&format!("store-{round}"));
        world.command(&["build", "--push", &push, "--cache-dir", store.to_str().unwrap()])
    };
    let started = Instant::now();
    let expected = bakery::run(&mut build(BUILDS));
    let whole = u64::try_from(started.elapsed().as_micros()).unwrap();
    assert_eq!(expected.code, 0, "{}", expected.stderr);

    let mut killed = 0;
    for round in 0..BUILDS {
        for kill in 0..4 {
            let mut child = build(round).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            sleep(Duration::from_micros(random(4 * round + kill, whole)));
            child.kill().unwrap();
            killed += u32::from(child.wait().unwrap().code().is_none());
            check_store(&world.path(&format!("store-{round}")));
        }
        let scratch = bakehouse::store::Store::open(&world.path("scratch")).unwrap();
        for name in ["project", "bakehouse-cache"] {
            let reference = format!("{}/round-{round}/{name}", registry.address()).parse().unwrap();
            let repository = repositories.counting_apart().repository(&reference);
            runtime.block_on(check_repository(&repository, registry.address(), &scratch));
        }
        fs::remove_dir_all(world.path("scratch")).unwrap();
        let next = bakery::run(&mut build(round));
        assert_eq!(next.code, 0, "{}", next.stderr);
        assert_eq!(digests(&next.report), digests(&expected.report));
        assert_eq!(next.report["warnings"], expected.report["warnings"]);
        fs::remove_dir_all(world.path(&format!("store-{round}"))).unwrap();
    }
    assert!(killed > 50, "only {killed} of the runs were killed before they ended");
}
