//! What a build would do, told without doing it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/wheel.rs"]
mod wheel;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bakery::{World, layers};
use registry::Registry;
use serde_json::Value;
use wheel::WheelBuilder;

fn world() -> World {
    let mut world = World::plain(&["alpha", "beta"]);
    for name in ["alpha", "beta", "gamma"] {
        world.publish(WheelBuilder::new(name, "1.0").file(&format!("{name}.py"), "X = 1\n").build());
    }
    world
}

/// The layers that are not the base's.
fn own(report: &Value) -> Vec<Value> {
    layers(report).into_iter().filter(|layer| layer["role"] != "base").collect()
}

/// Everything about each layer but how it came to be and where it went.
fn identities(report: &Value) -> Vec<BTreeMap<String, Value>> {
    let identity = |layer: Value| {
        ["key", "digest", "diffId", "size", "uncompressedSize", "packages"]
            .map(|field| (field.to_owned(), layer[field].clone()))
            .into()
    };
    own(report).into_iter().map(identity).collect()
}

fn transfers(report: &Value) -> Vec<String> {
    layers(report).iter().map(|layer| layer["transfer"].as_str().unwrap().to_owned()).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_plan_of_something_new_writes_nothing_and_estimates() {
    let (world, registry) = (world(), Registry::start());
    let push = format!("{}/team", registry.address());
    let output = world.path("out");
    let before = files(&world.project());
    let plan = world.succeed(&["plan", "--push", &push, "--output", &format!("oci:{}", output.display())]);
    assert_eq!(files(&world.project()), before);
    assert!(!output.exists());
    assert_eq!(plan["images"][0]["digest"], Value::Null);
    for layer in own(&plan) {
        assert!(layer["digest"].is_null() && layer["origin"].is_null(), "{layer}");
        assert!(layer["key"].is_string(), "{layer}");
        assert_eq!(layer["transfer"], "uploaded");
    }
    let planned = &plan["planned"];
    assert_eq!((&planned["downloads"], &planned["exact"]), (&Value::from(2), &Value::from(false)));
    let downloads: u64 = own(&plan).iter().map(|layer| layer["downloads"].as_u64().unwrap()).sum();
    assert_eq!(downloads, 2, "layer by layer");
    assert_eq!(planned["layersToBuild"], own(&plan).len());
    let code = own(&plan).into_iter().rfind(|layer| layer["role"] == "code").unwrap();
    assert!(code["estimatedSize"].as_u64().unwrap() > 0, "{code}");

    let built = world.succeed(&["build", "--push", &push]);
    let keys = |report| own(report).iter().map(|layer| layer["key"].clone()).collect::<Vec<_>>();
    assert_eq!(keys(&plan), keys(&built), "the keys are known before anything is built");
}

#[test]
fn a_plan_of_something_unchanged_is_exact_and_has_nothing_to_do() {
    let (world, registry) = (world(), Registry::start());
    let push = format!("{}/team", registry.address());
    let built = world.succeed(&["build", "--push", &push]);
    let plan = world.succeed(&["plan", "--push", &push]);
    assert_eq!(plan["images"][0]["digest"], built["images"][0]["digest"]);
    assert_eq!(identities(&plan), identities(&built));
    assert!(transfers(&plan).iter().all(|transfer| transfer == "present"), "{plan}");
    assert_eq!(
        plan["planned"],
        serde_json::json!({"downloads": 0, "downloadBytes": 0, "layersToBuild": 0, "uploadBytes": 0, "exact": true})
    );
}

#[test]
fn a_plan_with_changed_code_has_one_layer_to_build_and_send() {
    let (world, registry) = (world(), Registry::start());
    let push = format!("{}/team", registry.address());
    world.succeed(&["build", "--push", &push]);
    world.write("app.py", "print('changed')\n");
    let plan = world.succeed(&["plan", "--push", &push]);
    let planned = &plan["planned"];
    assert_eq!((&planned["downloads"], &planned["layersToBuild"]), (&Value::from(0), &Value::from(1)));
    assert_eq!(transfers(&plan).iter().filter(|transfer| *transfer == "uploaded").count(), 1);
    let built = world.succeed(&["build", "--push", &push]);
    assert_eq!(transfers(&built), transfers(&plan));
}

#[test]
fn a_plan_on_a_fresh_machine_knows_what_the_registry_remembers() {
    let (world, registry) = (world(), Registry::start());
    let push = format!("{}/team", registry.address());
    let built = world.succeed(&["build", "--push", &push]);
    let store = world.path("fresh");
    let fresh = |arguments: &[&str]| {
        world.succeed(&[arguments, &["--push", &push, "--cache-dir", store.to_str().unwrap()]].concat())
    };
    let plan = fresh(&["plan"]);
    let of_distributions = |report: &Value| -> Vec<Value> {
        let has = |layer: &Value| layer["packages"] != serde_json::json!([]);
        own(report).into_iter().filter(has).collect()
    };
    for (planned, made) in of_distributions(&plan).iter().zip(of_distributions(&built)) {
        assert_eq!((&planned["digest"], &planned["origin"]), (&made["digest"], &Value::from("registry")));
    }
    assert_eq!(plan["planned"]["downloads"], 0);

    // With one distribution more, its group alone has to be built.
    world.write("requirements.txt", "alpha\nbeta\ngamma\n");
    let plan = fresh(&["plan"]);
    let wanted: Vec<Value> = of_distributions(&plan).into_iter().filter(|l| l["origin"].is_null()).collect();
    assert_eq!(wanted.len(), 1, "{plan}");
    assert_eq!(plan["planned"]["downloads"], wanted[0]["packages"].as_array().unwrap().len());
    let built = fresh(&["build"]);
    let keys = |report| own(report).iter().map(|layer| layer["key"].clone()).collect::<Vec<_>>();
    assert_eq!(keys(&built), keys(&plan));
}

#[test]
fn what_images_share_is_planned_once() {
    let mut world = World::new();
    world.publish(WheelBuilder::new("alpha", "1.0").file("alpha.py", "X = 1\n").build());
    world.write("obproject.toml", "project = \"two\"\n");
    for name in ["one", "two"] {
        let config = "commands: [python app.py]\ndependencies:\n  pypi: {alpha: \"1.0\"}\n";
        world.write(&format!("deployments/{name}/config.yml"), config);
    }
    let registry = Registry::start();
    let plan = world.succeed(&["plan", "--push", &format!("{}/team", registry.address())]);
    assert_eq!(plan["images"].as_array().unwrap().len(), 2);
    assert_eq!(plan["planned"]["downloads"], 1);
    let to_build = own(&plan).len();
    let distinct: std::collections::BTreeSet<String> =
        own(&plan).iter().map(|layer| layer["key"].to_string()).collect();
    assert!(distinct.len() < to_build);
    assert_eq!(plan["planned"]["layersToBuild"], distinct.len());
}

#[test]
fn a_component_that_cannot_be_read_does_not_keep_others_from_being_planned() {
    let world = World::new();
    world.write("obproject.toml", "project = 'p'\n");
    let flow = |body: &str| {
        format!(
            "from obproject import ProjectFlow\nfrom metaflow import *\n\n\nclass F(ProjectFlow):\n{body}"
        )
    };
    let step = "    @step\n    def start(self):\n        pass\n";
    world.write("flows/good/flow.py", &flow(step));
    world.write("flows/bad/flow.py", &flow(&format!("    @pypi(packages=make())\n{step}")));
    world.write("deployments/app/config.yml", "port: 8000\n");
    let components = |report: &Value| {
        let all = report["components"].as_array().into_iter().flatten();
        all.map(|one| one["component"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let plan = ["plan", "--environments"];
    let of = |names: &[&'static str]| {
        plan.into_iter().chain(names.iter().flat_map(|n| ["-c", n])).collect::<Vec<_>>()
    };

    let all = world.fail(&of(&[]), 10, &["flows/bad/flow.py:6", "result of a call"]);
    assert_eq!(components(&all.report), ["good", "app"]);
    let good = world.succeed(&of(&["good"]));
    assert_eq!(components(&good), ["good"]);
    let warning = &good["warnings"][0];
    assert_eq!(warning["file"], "flows/bad");
    assert!(warning["message"].as_str().unwrap().contains("flows/bad/flow.py:6"), "{warning}");
    let both = world.fail(&of(&["flow/bad", "app"]), 10, &["flows/bad/flow.py:6"]);
    assert_eq!(components(&both.report), ["app"]);
    let bad = world.fail(&of(&["bad"]), 10, &["flows/bad/flow.py:6"]);
    assert_eq!(components(&bad.report), [""; 0]);
    world.fail(&of(&["ugly"]), 2, &["ugly", "flow/good"]);

    world.write("flows/good/flow.py", "class F(:\n");
    world.fail(&of(&["good", "bad"]), 10, &["flows/good/flow.py:1", "flows/bad/flow.py:6"]);
}
