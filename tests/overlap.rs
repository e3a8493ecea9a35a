//! Layers go their own ways: one is delivered while another is still downloaded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/wheel.rs"]
mod wheel;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bakehouse::model::Digest;
use bakery::{World, digests, layers};
use http::{Response, Server};
use registry::Registry;
use serde_json::Value;
use wheel::{BuiltWheel, WheelBuilder};

/// How long the index holds the slow wheel back at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// A locked project of two distributions, of which one is to come late.
fn world() -> (World, BuiltWheel) {
    let mut world = World::plain(&["large", "small"]);
    let noise: Vec<u8> = (0..100_000_u32).flat_map(|i| *Digest::of(&i.to_be_bytes()).as_bytes()).collect();
    world.publish(WheelBuilder::new("large", "1.0").file("large/data.bin", noise).build());
    let small = || WheelBuilder::new("small", "1.0").file("small.py", "X = 1\n").build();
    world.publish(small());
    world.succeed(&["lock"]);
    (world, small())
}

/// The digest of the layer with the large distribution.
fn large(report: &Value) -> String {
    let has = |layer: &Value| layer["packages"][0]["name"] == "large";
    layers(report).into_iter().find(has).unwrap()["digest"].as_str().unwrap().to_owned()
}

/// From now on the index gives the small wheel out only once `is_there`, or when its patience is at an end.
fn hold_back(world: &World, wheel: &BuiltWheel, is_there: impl Fn() -> bool + Send + Sync + 'static) {
    let bytes = wheel.bytes.clone();
    world.index.route(&format!("/files/{}", wheel.file_name), move |request| {
        let started = Instant::now();
        while !is_there() {
            if started.elapsed() > PATIENCE {
                return Response::status(404);
            }
            sleep(Duration::from_millis(20));
        }
        Response::ranged(request, &bytes)
    });
}

#[test]
fn a_finished_layer_is_uploaded_while_another_distribution_is_downloaded() {
    let ((world, small), registry) = (world(), Registry::start());
    let expected = world.succeed(&["build"]);
    let (address, blob) = (registry.address().to_owned(), large(&expected));
    hold_back(&world, &small, move || {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "HEAD /v2/team/project/blobs/{blob} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.contains(" 200 ")
    });
    let (push, store) = (format!("{}/team", registry.address()), world.path("fresh"));
    let built = world.succeed(&["build", "--push", &push, "--cache-dir", store.to_str().unwrap()]);
    assert_eq!(digests(&built), digests(&expected));
    let uploaded: Vec<Value> = bakery::uploaded(&built);
    assert_eq!(uploaded.len(), layers(&built).len(), "each layer was sent once, and is told so: {built}");
}

#[test]
fn a_finished_layer_is_written_while_another_distribution_is_downloaded() {
    let (world, small) = world();
    let expected = world.succeed(&["build"]);
    let (layout, store) = (world.path("out"), world.path("fresh"));
    let blob = layout.join("blobs/sha256").join(&large(&expected)["sha256:".len()..]);
    hold_back(&world, &small, move || blob.exists());
    let output = format!("oci:{}", layout.display());
    let built = world.succeed(&["build", "--output", &output, "--cache-dir", store.to_str().unwrap()]);
    assert_eq!(digests(&built), digests(&expected));
    assert_eq!(bakery::uploaded(&built).len(), layers(&built).len(), "{built}");
}

#[test]
fn what_a_lock_names_is_downloaded_while_the_base_is_read() {
    let (world, _) = world();
    let expected = world.succeed(&["build"]);
    // A registry that gives out the base's layer only when the index was asked for both wheels.
    let base = Server::start();
    let blobs = world.base().join("blobs/sha256");
    for entry in std::fs::read_dir(&blobs).unwrap() {
        let path = entry.unwrap().path();
        let digest = format!("sha256:{}", path.file_name().unwrap().to_str().unwrap());
        let bytes = std::fs::read(&path).unwrap();
        let wanted = world.index.clone();
        base.route(&format!("/v2/python/blobs/{digest}"), move |_| {
            let (is_layer, asked) = (!bytes.starts_with(b"{"), Instant::now());
            let files = || wanted.requests().iter().filter(|r| r.path.starts_with("/files/")).count();
            while is_layer && files() < 2 && asked.elapsed() < PATIENCE {
                sleep(Duration::from_millis(20));
            }
            let is_late = is_layer && files() < 2;
            if is_late {
                Response::status(404)
            } else {
                Response::ok("application/octet-stream", bytes.clone())
            }
        });
    }
    base.page("/v2/", "application/json", "{}");
    let index: Value =
        serde_json::from_slice(&std::fs::read(world.base().join("index.json")).unwrap()).unwrap();
    let manifest = &index["manifests"][0]["digest"].as_str().unwrap()["sha256:".len()..];
    let manifest = std::fs::read(blobs.join(manifest)).unwrap();
    base.page("/v2/python/manifests/3", "application/vnd.oci.image.manifest.v1+json", manifest);

    world.index.clear();
    let (reference, store) = (format!("{}/python:3", base.url("/").authority()), world.path("fresh"));
    let (store, output) = (store.to_str().unwrap(), format!("oci:{}", world.path("out").display()));
    let arguments = ["build", "--base", &reference, "--cache-dir", store, "--output", &output];
    let built = world.succeed(&arguments);
    assert_eq!(layers(&built).len(), layers(&expected).len());
    assert_eq!(built["locks"][0]["status"], "fresh");
    let files = world.index.requests().into_iter().filter(|request| request.path.starts_with("/files/"));
    assert_eq!(files.count(), 2, "nothing is downloaded twice");
}

#[test]
fn a_wheel_with_another_hash_than_the_locks_goes_nowhere() {
    let ((world, small), registry) = (world(), Registry::start());
    let other = WheelBuilder::new("small", "1.0").file("small.py", "X = 2\n").build();
    world.index.file(&format!("/files/{}", small.file_name), other.bytes);
    let push = format!("{}/team", registry.address());
    world.fail(&["build", "--push", &push], 30, &["small"]);
    let tags = |repository: &str| {
        let address = registry.address();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /v2/{repository}/tags/list HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(tags("team/project").contains(" 404 "), "no image");
    assert!(!tags("team/bakehouse-cache").contains("e1-"), "no environment");
}
