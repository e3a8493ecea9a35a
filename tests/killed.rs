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

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bakehouse::model::Digest;
use bakehouse::net::Client;
use bakehouse::registry::{Credentials, Registries, Repository};
use bakehouse::store::{Blob, Store};
use bakery::{World, digests};
use flate2::read::MultiGzDecoder;
use registry::Registry;
use serde_json::{Value, json};
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

/// Every manifest that a repository has under a tag is whole: its blobs are there, with the bytes that they are named after,
/// and its config and its record tell the truth about them. `known` are the diff IDs of the layers that were read before.
async fn check_repository(
    repository: &Repository,
    address: &str,
    store: &Store,
    known: &mut HashMap<String, String>,
) {
    for tag in tags(address, repository.name()).await {
        let manifest = repository.manifest(&tag).await.unwrap().expect("a tag that is listed");
        let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        let config = pull(repository, store, &manifest["config"]).await;
        let config: Value = serde_json::from_slice(&fs::read(config.path()).unwrap()).unwrap();
        let mut diff_ids = Vec::new();
        for layer in manifest["layers"].as_array().unwrap() {
            let blob = pull(repository, store, layer).await;
            let digest = layer["digest"].as_str().unwrap();
            let diff_id = known.entry(digest.to_owned()).or_insert_with(|| diff_id(blob.path()));
            diff_ids.push(json!(diff_id));
        }
        assert_eq!(config["rootfs"]["diff_ids"], json!(diff_ids), "{tag}");
        let record = &config["bakehouse.record"];
        let layers = match (record["layers"].as_array(), &record["layer"]) {
            (Some(layers), _) => layers.clone(),
            (None, Value::Null) => continue,
            (None, layer) => vec![layer.clone()],
        };
        let recorded: Vec<_> = layers.iter().map(|layer| [&layer["digest"], &layer["diffId"]]).collect();
        let there = manifest["layers"].as_array().unwrap().iter().map(|layer| &layer["digest"]);
        assert_eq!(recorded, there.zip(&diff_ids).map(|(a, b)| [a, b]).collect::<Vec<_>>(), "{tag}");
    }
}

async fn pull(repository: &Repository, store: &Store, descriptor: &Value) -> Blob {
    let digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
    repository.pull_blob(store, &digest, descriptor["size"].as_u64().unwrap()).await.unwrap()
}

/// The digest of what a layer unpacks to.
fn diff_id(path: &Path) -> String {
    let mut tar = Vec::new();
    let bytes = fs::read(path).unwrap();
    match bytes.starts_with(&[0x1f, 0x8b]) {
        true => MultiGzDecoder::new(&*bytes).read_to_end(&mut tar).map(drop).unwrap(),
        false => tar = bytes,
    }
    Digest::of(&tar).to_string()
}

/// A layout lists only images that are whole, and every blob in it has the digest that it is named after.
fn check_layout(layout: &Path) {
    let blobs = layout.join("blobs/sha256");
    let Ok(entries) = fs::read_dir(&blobs) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        assert_eq!(Digest::of(&fs::read(&path).unwrap()).hex(), path.file_name().unwrap().to_str().unwrap());
    }
    let Ok(index) = fs::read(layout.join("index.json")) else { return };
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let path = |descriptor: &Value| blobs.join(&descriptor["digest"].as_str().unwrap()["sha256:".len()..]);
    for image in read(&index)["manifests"].as_array().unwrap() {
        let manifest = read(&fs::read(path(image)).unwrap());
        for blob in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
            assert!(path(blob).is_file(), "{blob}");
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
        let output = format!("oci:{}", world.path(&format!("layout-{round}")).display());
        let store = ["--cache-dir", store.to_str().unwrap()];
        // Every third build goes to a layout as well.
        let output: &[&str] = if round.is_multiple_of(3) { &["--output", &output] } else { &[] };
        world.command(&[&["build", "--push", &push], &store[..], output].concat())
    };
    let started = Instant::now();
    let expected = bakery::run(&mut build(BUILDS));
    let whole = u64::try_from(started.elapsed().as_micros()).unwrap();
    assert_eq!(expected.code, 0, "{}", expected.stderr);

    let (mut killed, mut known) = (0, HashMap::new());
    for round in 0..BUILDS {
        for kill in 0..4 {
            let mut child = build(round).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            sleep(Duration::from_micros(random(4 * round + kill, whole)));
            child.kill().unwrap();
            killed += u32::from(child.wait().unwrap().code().is_none());
            check_store(&world.path(&format!("store-{round}")));
            check_layout(&world.path(&format!("layout-{round}")));
        }
        let scratch = Store::open(&world.path("scratch")).unwrap();
        for name in ["project", "bakehouse-cache"] {
            let reference = format!("{}/round-{round}/{name}", registry.address()).parse().unwrap();
            let repository = repositories.counting_apart().repository(&reference);
            let check = check_repository(&repository, registry.address(), &scratch, &mut known);
            runtime.block_on(check);
        }
        fs::remove_dir_all(world.path("scratch")).unwrap();
        let next = bakery::run(&mut build(round));
        assert_eq!(next.code, 0, "{}", next.stderr);
        assert_eq!(digests(&next.report), digests(&expected.report));
        assert_eq!(next.report["warnings"], expected.report["warnings"]);
        check_layout(&world.path(&format!("layout-{round}")));
        fs::remove_dir_all(world.path(&format!("store-{round}"))).unwrap();
    }
    assert!(killed > 50, "only {killed} of the runs were killed before they ended");
}
