//! What one machine built, another finds in the registry: records of layers, environments and bases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/cache_repository.rs"]
mod cache_repository;
#[path = "support/http.rs"]
mod http;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use bakehouse::model::Digest;
use bakery::{World, digests, layers, run};
use cache_repository::{block_on, cache, delete_blob, forge, manifest, request, tags};
use registry::Registry;
use serde_json::{Value, json};
use wheel::WheelBuilder;

/// A project of one large distribution, which gets a layer of its own, and small ones, which share.
fn world() -> World {
    let mut world = World::plain(&["large", "small", "tiny"]);
    let noise: Vec<u8> = (0..100_000_u32).flat_map(|i| *Digest::of(&i.to_be_bytes()).as_bytes()).collect();
    world.publish(WheelBuilder::new("large", "1.0").file("large/data.bin", noise).build());
    for name in ["small", "tiny", "more"] {
        world.publish(WheelBuilder::new(name, "1.0").file(&format!("{name}.py"), "X = 1\n").build());
    }
    world
}

/// Builds and pushes with a store that nothing is in; gives the report.
fn fresh(world: &World, registry: &Registry, store: &str, more: &[&str]) -> Value {
    let push = format!("{}/team", registry.address());
    with_store(world, store, &[&["--push", &push], more].concat())
}

fn with_store(world: &World, store: &str, more: &[&str]) -> Value {
    let store = world.path(store);
    world.succeed(&[&["build", "--cache-dir", store.to_str().unwrap()], more].concat())
}

fn number(report: &Value, field: &str) -> u64 {
    report["transfer"][field].as_u64().unwrap()
}

/// The origins of the layers that hold distributions.
fn origins(report: &Value) -> Vec<String> {
    let layers = layers(report).into_iter().filter(|layer| !layer["packages"].as_array().unwrap().is_empty());
    layers.map(|layer| layer["origin"].as_str().unwrap().to_owned()).collect()
}

/// The layer of a distribution.
fn layer_of(report: &Value, package: &str) -> Value {
    let has = |layer: &Value| layer["packages"].as_array().unwrap().iter().any(|p| p["name"] == package);
    layers(report).into_iter().find(has).unwrap()
}

/// The wheels that were downloaded since the last time.
fn downloads(world: &World) -> Vec<String> {
    let requests = world.index.requests();
    world.index.clear();
    let mut files: Vec<String> = requests
        .iter()
        .filter_map(|request| request.path.strip_prefix("/files/")?.split('-').next().map(str::to_owned))
        .collect();
    files.sort();
    files.dedup();
    files
}

#[test]
fn a_fresh_machine_downloads_no_wheel_for_an_environment_that_the_registry_knows() {
    let (world, registry) = (world(), Registry::start());
    let cold = fresh(&world, &registry, "one", &[]);
    assert_eq!(downloads(&world), ["large", "small", "tiny"]);

    // Another component of the same environment: other code, so another image.
    world.write("app.py", "print('other')\n");
    let warm = fresh(&world, &registry, "two", &[]);
    assert_eq!(number(&warm, "distributionBytes"), 0);
    assert_eq!(downloads(&world), Vec::<String>::new());
    assert!(number(&warm, "cacheBytes") > 0);
    assert!(origins(&warm).iter().all(|origin| origin == "registry"), "{warm}");

    world.write("app.py", "print('hello')\n");
    let again = fresh(&world, &registry, "three", &[]);
    assert_eq!(digests(&again), digests(&cold), "the image is the same, wherever its layers come from");

    // Where the images go is another repository: the registry takes the layers over.
    let push = format!("{}/elsewhere", registry.address());
    let repository = format!("{}/team/bakehouse-cache", registry.address());
    let moved = with_store(&world, "four", &["--push", &push, "--cache-repo", &repository]);
    assert_eq!(digests(&moved), digests(&cold));
    assert_eq!(layer_of(&moved, "large")["transfer"], "mounted");
    assert!(number(&moved, "uploadedBytes") < 20_000, "{moved}");
}

#[test]
fn a_known_environment_costs_one_request_and_a_look_at_each_layer() {
    let (world, registry) = (world(), Registry::start());
    fresh(&world, &registry, "one", &[]);
    let first = fresh(&world, &registry, "two", &[]);
    let kinds: Vec<String> = tags(&registry).iter().map(|tag| tag[..3].to_owned()).collect();
    let distributions = origins(&first).len();
    let expected = [vec!["b1-"; 1], vec!["e1-"; 1], vec!["l1-"; distributions]].concat();
    assert_eq!(kinds, expected);
    // The API's greeting, the image's tag, the records of base and environment, a look at each of its layers.
    assert!(number(&first, "registryRequests") <= 4 + distributions as u64 + 1, "{first}");
    assert_eq!(number(&first, "uploadedBytes"), 0);
}

#[test]
fn a_layout_gets_the_layers_from_the_registry() {
    let (world, registry) = (world(), Registry::start());
    let cold = fresh(&world, &registry, "one", &[]);
    downloads(&world);
    let output = format!("oci:{}", world.path("out").display());
    let repository = format!("{}/team/bakehouse-cache", registry.address());
    let warm = with_store(&world, "two", &["--output", &output, "--cache-repo", &repository]);
    assert_eq!((digests(&warm), number(&warm, "distributionBytes")), (digests(&cold), 0));
    assert!(number(&warm, "cacheBytes") > 3_000_000, "the large layer was read");
    let large = layer_of(&warm, "large");
    let hex = large["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let blob = fs::read(world.path("out/blobs/sha256").join(hex)).unwrap();
    assert_eq!(Digest::of(&blob).hex(), hex);
}

#[test]
fn one_distribution_more_downloads_its_group_alone() {
    let (world, registry) = (world(), Registry::start());
    let before = fresh(&world, &registry, "one", &[]);
    world.write("requirements.txt", "large\nsmall\ntiny\nmore\n");
    world.succeed(&["lock"]);
    downloads(&world);
    let after = fresh(&world, &registry, "two", &[]);
    let rebuilt: Vec<String> = layer_of(&after, "more")["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| package["name"].as_str().unwrap().to_owned())
        .collect();
    let fetched = downloads(&world);
    assert_eq!(fetched, rebuilt);
    assert!(!fetched.contains(&"large".to_owned()), "{fetched:?}");
    assert_eq!(layer_of(&after, "large")["origin"], "registry");
    assert_eq!(layer_of(&after, "large")["digest"], layer_of(&before, "large")["digest"]);
    assert_eq!(layer_of(&after, "more")["origin"], "built");
    // The API's greeting, the image's tag, the base, the environment; of each layer its record and a look at it here and
    // where the image goes; five for what is new, and as many for its record.
    let count = layers(&after).len() as u64;
    assert!(number(&after, "registryRequests") <= 4 + 4 * count + 20, "{after}");

    // And the new environment is known now.
    let again = fresh(&world, &registry, "three", &[]);
    assert_eq!((digests(&again), number(&again, "distributionBytes")), (digests(&after), 0));
}

#[test]
fn a_layer_that_the_registry_has_collected_is_built_again() {
    let (world, registry) = (world(), Registry::start());
    let cold = fresh(&world, &registry, "one", &[]);
    downloads(&world);
    delete_blob(&registry, layer_of(&cold, "large")["digest"].as_str().unwrap());

    let rebuilt = fresh(&world, &registry, "two", &[]);
    assert_eq!(digests(&rebuilt), digests(&cold));
    assert_eq!(downloads(&world), ["large"], "the others are still there");
    assert_eq!(layer_of(&rebuilt, "large")["origin"], "built");

    let again = fresh(&world, &registry, "three", &[]);
    assert_eq!(number(&again, "distributionBytes"), 0, "the layer is back");
}

/// Deletes a manifest, as whoever tidies a registry does; the registry's garbage collection takes its blobs.
fn delete_manifest(registry: &Registry, repository: &str, digest: &str) {
    let answer = request(registry, "DELETE", &format!("/v2/{repository}/manifests/{digest}"));
    assert!(answer.contains(" 202 "), "{answer}");
}

#[test]
fn the_registrys_garbage_collection_spares_what_records_name() {
    let (world, registry) = (world(), Registry::start());
    let cold = fresh(&world, &registry, "one", &[]);
    let image = cold["images"][0]["digest"].as_str().unwrap();
    downloads(&world);
    registry.collect_garbage();
    delete_manifest(&registry, "team/project", image);
    registry.collect_garbage();
    let warm = fresh(&world, &registry, "two", &[]);
    assert_eq!((digests(&warm), number(&warm, "distributionBytes")), (digests(&cold), 0));
    assert_eq!(downloads(&world), Vec::<String>::new());

    // Where the records are deleted as well, everything is built again.
    delete_manifest(&registry, "team/project", image);
    for tag in tags(&registry) {
        let digest = manifest(&registry, &tag).digest.to_string();
        delete_manifest(&registry, "team/bakehouse-cache", &digest);
    }
    registry.collect_garbage();
    let rebuilt = fresh(&world, &registry, "three", &[]);
    assert_eq!(digests(&rebuilt), digests(&cold));
    assert_eq!(downloads(&world), ["large", "small", "tiny"]);
    // The store of an earlier run has everything, the registry nothing: all of it comes back.
    delete_manifest(&registry, "team/project", image);
    for tag in tags(&registry) {
        let digest = manifest(&registry, &tag).digest.to_string();
        delete_manifest(&registry, "team/bakehouse-cache", &digest);
    }
    registry.collect_garbage();
    let restored = fresh(&world, &registry, "one", &[]);
    assert_eq!((digests(&restored), number(&restored, "distributionBytes")), (digests(&cold), 0));
    let again = fresh(&world, &registry, "four", &[]);
    assert_eq!((digests(&again), number(&again, "distributionBytes")), (digests(&cold), 0));
}

#[test]
fn distributions_that_write_the_same_file_differently_are_remembered_with_the_warning() {
    let (mut world, registry) = (world(), Registry::start());
    world.publish(WheelBuilder::new("big", "1.0").file("shared.py", "BIG = 1\n").build());
    world.publish(WheelBuilder::new("zebra", "1.0").file("shared.py", "ZEBRA = 1\n").build());
    world.write("requirements.txt", "large\nsmall\nbig\nzebra\n");
    let cold = fresh(&world, &registry, "one", &[]);
    let warm = fresh(&world, &registry, "two", &[]);
    assert_eq!((digests(&warm), number(&warm, "distributionBytes")), (digests(&cold), 0));
    assert!(warm["warnings"].to_string().contains("shared.py"), "{}", warm["warnings"]);
    assert_eq!(warm["warnings"], cold["warnings"]);

    // With another environment, where only the layers are known, it is noticed all the same.
    world.write("requirements.txt", "large\nsmall\nbig\nzebra\ntiny\n");
    let other = fresh(&world, &registry, "three", &[]);
    assert_eq!(other["warnings"], cold["warnings"]);
    let without = fresh(&world, &registry, "four", &["--no-remote-cache"]);
    assert_eq!(digests(&without), digests(&other));
}

#[test]
fn records_that_are_wrong_are_ignored() {
    let (world, registry) = (world(), Registry::start());
    let cold = fresh(&world, &registry, "one", &[]);
    let large = layer_of(&cold, "large")["key"].as_str().unwrap().to_owned();
    let small = layer_of(&cold, "small")["key"].as_str().unwrap().to_owned();
    let environment = tags(&registry).into_iter().find(|tag| tag.starts_with("e1-")).unwrap();
    type Change = Box<dyn Fn(&mut Value)>;
    let changes: Vec<(String, Change)> = vec![
        (environment.clone(), Box::new(|config| config["bakehouse.record"] = json!([]))),
        (environment.clone(), Box::new(|config| config["rootfs"]["diff_ids"] = json!([]))),
        (
            environment.clone(),
            Box::new(|config| {
                config["bakehouse.record"]["layers"][0]["diffId"] = json!(Digest::of(b"false"));
                config["rootfs"]["diff_ids"][0] = json!(Digest::of(b"other"));
            }),
        ),
        (environment.clone(), Box::new(|config| config["bakehouse.record"]["layers"][0]["size"] = json!(7))),
        (format!("l1-{large}"), Box::new(|config| config["bakehouse.record"]["files"] = json!([]))),
        (format!("l1-{small}"), Box::new(|config| config["bakehouse.record"]["layer"]["pieces"] = json!([]))),
    ];
    for (index, (tag, change)) in changes.iter().enumerate() {
        forge(&registry, tag, change);
        let report = fresh(&world, &registry, &format!("store-{index}"), &[]);
        assert_eq!(digests(&report), digests(&cold), "{tag} {index}");
        assert_eq!(report["warnings"], json!([]));
    }
    // What was ignored has been written anew.
    let healed = fresh(&world, &registry, "healed", &[]);
    assert_eq!(number(&healed, "distributionBytes"), 0);
}

#[test]
fn verification_finds_a_record_that_lies_about_what_is_in_a_layer() {
    let (world, registry) = (world(), Registry::start());
    let cold = fresh(&world, &registry, "one", &[]);
    let environment = tags(&registry).into_iter().find(|tag| tag.starts_with("e1-")).unwrap();
    let verified = fresh(&world, &registry, "two", &["--verify-cache"]);
    assert_eq!((digests(&verified), number(&verified, "distributionBytes")), (digests(&cold), 0));
    assert!(number(&verified, "cacheBytes") > 3_000_000);

    // Consistent in itself, but the layer's archive has another digest.
    forge(&registry, &environment, |config| {
        config["bakehouse.record"]["layers"][0]["diffId"] = json!(Digest::of(b"false"));
        config["rootfs"]["diff_ids"][0] = json!(Digest::of(b"false"));
    });
    let verified = fresh(&world, &registry, "three", &["--verify-cache"]);
    assert_eq!(digests(&verified), digests(&cold));
    assert!(origins(&verified).contains(&"built".to_owned()));
}

#[test]
fn a_base_that_is_known_is_not_read() {
    let (world, registry) = (world(), Registry::start());
    let pushed = format!("{}/python:3", registry.address());
    copy(&world.base(), &pushed);
    let cold = fresh(&world, &registry, "one", &["--base", &pushed]);
    let warm = fresh(&world, &registry, "two", &["--base", &pushed]);
    assert_eq!(digests(&warm), digests(&cold));
    let layer = layers(&cold)[0]["size"].as_u64().unwrap();
    assert_eq!(number(&cold, "baseBytes"), number(&warm, "baseBytes") + layer, "only the documents are read");
}

/// Copies an image from a layout into the registry.
fn copy(layout: &Path, reference: &str) {
    let status = std::process::Command::new("skopeo")
        .args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"])
        .args([format!("oci:{}", layout.display()), format!("docker://{reference}")])
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn many_machines_at_once_agree() {
    let (world, registry) = (world(), Registry::start());
    world.succeed(&["lock"]);
    let push = format!("{}/team", registry.address());
    let machines: Vec<_> = (0..6)
        .map(|machine| {
            let store = world.path(&format!("machine-{machine}"));
            world.command(&["build", "--push", &push, "--cache-dir", store.to_str().unwrap()])
        })
        .collect();
    let reports: Vec<Value> = std::thread::scope(|scope| {
        let running: Vec<_> = machines
            .into_iter()
            .map(|mut command| {
                scope.spawn(move || {
                    let ran = run(&mut command);
                    assert_eq!(ran.code, 0, "{}", ran.stderr);
                    ran.report
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for report in &reports {
        assert_eq!((digests(report), &report["warnings"]), (digests(&reports[0]), &json!([])));
    }
    let after = fresh(&world, &registry, "after", &[]);
    assert_eq!((digests(&after), number(&after, "distributionBytes")), (digests(&reports[0]), 0));
}

#[test]
fn records_can_be_left_alone() {
    let (world, registry) = (world(), Registry::start());
    let report = fresh(&world, &registry, "one", &["--no-remote-cache"]);
    assert!(block_on(cache(&registry).manifest("latest")).unwrap().is_none());
    assert_eq!(number(&report, "cacheBytes"), 0);
    fresh(&world, &registry, "two", &[]);
    downloads(&world);
    fresh(&world, &registry, "three", &["--no-remote-cache"]);
    assert_eq!(downloads(&world), ["large", "small", "tiny"]);
}

#[test]
fn a_cache_repository_that_cannot_be_used_costs_a_warning() {
    let (world, registry) = (world(), Registry::start());
    let locked = Registry::start_with_login();
    let repository = format!("{}/cache", locked.address());
    let report = fresh(&world, &registry, "one", &["--cache-repo", &repository]);
    assert!(report["warnings"].to_string().contains("no record"), "{}", report["warnings"]);
    assert_eq!(report["images"].as_array().unwrap().len(), 1);
}

#[test]
fn with_a_key_only_sealed_records_count() {
    let (world, registry) = (world(), Registry::start());
    let push = format!("{}/team", registry.address());
    let build = |store: &str, key: &str| {
        let store = world.path(store);
        let mut command = world.command(&["build", "--push", &push, "--cache-dir", store.to_str().unwrap()]);
        run(command.env("BAKEHOUSE_CACHE_KEY", key))
    };
    let keyed = |store: &str, key: &str| {
        let ran = build(store, key);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        (number(&ran.report, "distributionBytes") > 0, digests(&ran.report))
    };
    let (secret, other) = ("a secret of the team", "a secret of another team");
    let (downloaded, cold) = keyed("one", "");
    assert!(downloaded);
    assert_eq!(keyed("two", secret), (true, cold.clone()), "nobody sealed the first records");
    assert_eq!(keyed("three", secret), (false, cold.clone()), "the second build sealed its own");
    assert_eq!(keyed("four", ""), (false, cold.clone()), "who has no key trusts whoever writes");
    assert_eq!(keyed("five", other), (true, cold.clone()));

    // A sealed record under another tag is none.
    let sealed = keyed("six", secret);
    assert_eq!(sealed.1, cold);
    let environment = tags(&registry).into_iter().find(|tag| tag.starts_with("e1-")).unwrap();
    let record = manifest(&registry, &environment).bytes;
    world.write("requirements.txt", "large\nsmall\ntiny\nmore\n");
    let (_, more) = keyed("seven", secret);
    let grown =
        tags(&registry).into_iter().find(|tag| tag.starts_with("e1-") && *tag != environment).unwrap();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    block_on(cache(&registry).push_manifest(&grown, media_type, &record)).unwrap();
    assert_eq!(keyed("eight", secret).1, more);

    let short = build("nine", "short");
    assert_eq!(short.code, 2, "{}", short.stderr);
    assert!(short.stderr.contains("16 bytes") && !short.stderr.contains("`short`"), "{}", short.stderr);
    for store in ["one", "three", "eight"] {
        assert!(!contains(&world.path(store), secret.as_bytes()), "the secret is in the store");
    }
}

/// Whether any file below a directory has these bytes in it.
fn contains(directory: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            contains(&entry.path(), bytes)
        } else {
            fs::read(entry.path()).unwrap().windows(bytes.len()).any(|window| window == bytes)
        }
    })
}
