//! A Python from an archive that one machine made a layer of, another finds in the registry.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/cache_repository.rs"]
mod cache_repository;
#[path = "support/http.rs"]
mod http;
#[path = "support/python_archive.rs"]
mod python_archive;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;

use bakehouse::model::Digest;
use bakery::{World, digests, unpack};
use cache_repository::{delete_blob, forge, tags};
use http::Response;
use python_archive::{DYNAMIC, archive, interpreter, name, python, world};
use registry::Registry;
use serde_json::{Value, json};

/// A project whose Python is on a server, and a registry.
struct Setting {
    world: World,
    registry: Registry,
    /// Where the archive is on the server.
    path: String,
}

impl Setting {
    fn new() -> Self {
        let (world, registry) = (world(), Registry::start());
        let (file, bytes) = (name("3.12.5", "x86_64", "install_only"), archive(&python(&DYNAMIC)));
        let path = format!("/pythons/{file}");
        let sums = format!("{}  {file}\n", Digest::of(&bytes).hex());
        world.index.page("/pythons/SHA256SUMS", "text/plain", sums);
        world.index.file(&path, bytes);
        let mirror = world.index.url("/pythons/");
        world.write(
            "pyproject.toml",
            &format!("[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \"==3.12.*\"\ndependencies = []\n[tool.bakehouse]\npython-archives = [\"{mirror}\"]\n"),
        );
        Self { world, registry, path }
    }

    /// Takes everything about Pythons from the server.
    fn close_the_server(&self) {
        for path in [&self.path, "/pythons/SHA256SUMS"] {
            self.world.index.route(path, |_| Response::status(404));
        }
        self.world.index.clear();
    }

    fn push(&self) -> String {
        format!("{}/team", self.registry.address())
    }

    fn store(&self, name: &str) -> String {
        self.world.path(name).display().to_string()
    }

    /// What the server was asked for about Pythons since it was closed.
    fn asked(&self) -> Vec<String> {
        let asked = self.world.index.requests().into_iter().map(|request| request.path);
        asked.filter(|path| path.starts_with("/pythons/")).collect()
    }

    /// Builds and pushes with a store that has nothing in it yet.
    fn fresh(&self, store: &str) -> Value {
        self.world.succeed(&["build", "--push", &self.push(), "--cache-dir", &self.store(store)])
    }
}

#[test]
fn a_fresh_machine_reads_no_archive_that_the_registry_knows() {
    let setting = Setting::new();
    let first = setting.fresh("one");
    assert_eq!(interpreter(&first)["origin"], "built");
    setting.close_the_server();

    let plan = ["plan", "--push", &setting.push(), "--cache-dir", &setting.store("plan")];
    let planned = setting.world.succeed(&plan);
    assert_eq!(interpreter(&planned)["digest"], interpreter(&first)["digest"], "a plan knows it too");
    let again = setting.fresh("two");
    assert_eq!(digests(&again), digests(&first));
    assert_eq!(interpreter(&again)["origin"], "registry");
    assert_eq!(interpreter(&again)["packages"], interpreter(&first)["packages"]);
    assert_eq!(setting.asked(), [""; 0], "nobody asks for a Python");
    assert_eq!(again["transfer"]["baseBytes"], 0);
    assert!(again["transfer"]["cacheBytes"].as_u64().unwrap() < 20_000, "the layer stays in the registry");

    // A machine that has nothing but the record writes the layer where it has to be read.
    let out = setting.world.path("out");
    let (output, cache) = (format!("oci:{}", out.display()), format!("{}/bakehouse-cache", setting.push()));
    let written =
        ["build", "--output", &output, "--cache-repo", &cache, "--cache-dir", &setting.store("three")];
    assert_eq!(digests(&setting.world.succeed(&written)), digests(&first));
    let bundle = setting.world.path("bundle");
    unpack(&out, "x:latest", &bundle);
    let program = fs::read(bundle.join("rootfs/opt/interpreter/bin/python3.12")).unwrap();
    assert_eq!(program, DYNAMIC.bytes());
    assert_eq!(setting.asked(), [""; 0]);
}

#[test]
fn the_archive_is_read_where_the_registry_does_not_know_or_must_not_be_believed() {
    let setting = Setting::new();
    let first = setting.fresh("one");
    let layer = interpreter(&first);
    let tag = format!("p1-{}", layer["key"].as_str().unwrap());
    assert!(tags(&setting.registry).contains(&tag), "{:?}", tags(&setting.registry));

    // What is known of an archive cannot be verified without it.
    let verified =
        ["build", "--verify-cache", "--push", &setting.push(), "--cache-dir", &setting.store("verified")];
    let verified = setting.world.succeed(&verified);
    assert_eq!(
        (interpreter(&verified)["origin"].as_str(), digests(&verified)),
        (Some("built"), digests(&first))
    );

    // A record that is wrong, or about another Python.
    let changes: [fn(&mut Value); 4] = [
        |config| config["bakehouse.record"]["facts"] = json!(null),
        |config| config["bakehouse.record"]["facts"]["minor"] = json!("3.11"),
        |config| config["bakehouse.record"]["layer"]["key"] = json!(Digest::of(b"other").hex()),
        |config| config["bakehouse.record"]["layer"]["size"] = json!(7),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        forge(&setting.registry, &tag, change);
        let report = setting.fresh(&format!("forged-{index}"));
        assert_eq!(interpreter(&report)["origin"], "built", "{index}");
        assert_eq!(digests(&report), digests(&first));
        assert_eq!(report["warnings"], json!([]));
        assert_eq!(interpreter(&setting.fresh(&format!("healed-{index}")))["origin"], "registry", "{index}");
    }

    // A layer that the registry has collected.
    delete_blob(&setting.registry, layer["digest"].as_str().unwrap());
    let rebuilt = setting.fresh("rebuilt");
    assert_eq!(
        (interpreter(&rebuilt)["origin"].as_str(), digests(&rebuilt)),
        (Some("built"), digests(&first))
    );
    delete_blob(&setting.registry, layer["digest"].as_str().unwrap());
    setting.close_the_server();
    let store = setting.store("gone");
    setting.world.fail(&["build", "--push", &setting.push(), "--cache-dir", &store], 12, &["3.12.5"]);
}
