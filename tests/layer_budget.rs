//! An image has no more layers than it may, however many distributions there are and however many of them collide.

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

use bakery::{World, layers};
use registry::Registry;
use serde_json::Value;
use wheel::WheelBuilder;

/// So many layers an image has at most, unless more collide than that leaves room for.
const BUDGET: usize = 100;
/// The layers of the base.
const BASE: usize = 10;
/// Distributions that could each have a layer of their own: more than environments are spread over.
const OTHERS: usize = 30;

/// A project of distributions that all write one file, and of others; on a base of several layers.
fn world(colliding: usize) -> (World, String) {
    let name = |kind: &str, number: usize| format!("{kind}-{number:03}");
    let names = (0..colliding).map(|number| name("clash", number));
    let names: Vec<_> = names.chain((0..OTHERS).map(|number| name("other", number))).collect();
    let mut world = World::plain(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &names {
        let wheel = WheelBuilder::new(name, "1.0").file(&format!("{name}.py"), format!("NAME = '{name}'\n"));
        world.publish(match name.starts_with("clash") {
            true => wheel.file("tests/__init__.py", name).build(),
            // This index tells no sizes: what has compiled parts counts as large.
            false => wheel.tags("cp311-cp311-manylinux_2_17_x86_64").build(),
        });
    }
    let tar = |number: usize| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        tar.append_data(&mut header, format!("etc/layer-{number}"), &b""[..]).unwrap();
        tar.into_inner().unwrap()
    };
    bakery::add_layers(&world.base(), &world.path("high"), &(1..BASE).map(tar).collect::<Vec<_>>());
    let base = format!("oci:{}", world.path("high").display());
    (world, base)
}

/// The layers of distributions: a plan on a fresh machine does not know the code's.
fn digests(layers: &[Value]) -> Vec<&str> {
    let some = layers.iter().filter(|layer| !layer["packages"].as_array().unwrap().is_empty());
    some.map(|layer| layer["digest"].as_str().unwrap()).collect()
}

/// The distributions of each layer that has some.
fn packages(layers: &[Value]) -> Vec<Vec<&str>> {
    layers
        .iter()
        .map(|layer| layer["packages"].as_array().unwrap())
        .map(|packages| packages.iter().map(|package| package["name"].as_str().unwrap()).collect::<Vec<_>>())
        .filter(|packages| !packages.is_empty())
        .collect()
}

#[test]
fn layers_of_distributions_that_collide_count_in_the_budget() {
    let ((world, base), registry) = (world(80), Registry::start());
    let push = format!("{}/team", registry.address());
    let with = |command: &str, store: &str, more: &[&str]| {
        let store = world.path(store);
        let arguments = [command, "--base", &base, "--cache-dir", store.to_str().unwrap()];
        world.succeed(&[&arguments[..], more].concat())
    };
    let cold = with("build", "one", &["--push", &push, "--jobs", "8"]);
    let made = layers(&cold);
    assert!((BUDGET - 3..=BUDGET).contains(&made.len()), "{} layers", made.len());
    let packages = packages(&made);
    let (others, colliding) = packages.split_at(packages.len() - 80);
    assert_eq!(others.concat().len(), OTHERS);
    let expected: Vec<_> = (0..80).map(|number| vec![format!("clash-{number:03}")]).collect();
    assert_eq!(colliding, expected, "one upon another, in their order");
    let warnings = cold["warnings"].as_array().unwrap().iter();
    let lost = warnings.filter(|warning| warning["message"].as_str().unwrap().contains("tests/__init__.py"));
    assert_eq!(lost.count(), 79);

    // Who knows the files of all beforehand comes to the same layers, and so does who asks the registry.
    assert_eq!(digests(&layers(&with("build", "one", &["--jobs", "1"]))), digests(&made));
    let planned = with("plan", "one", &[]);
    assert_eq!(
        (digests(&layers(&planned)), &planned["planned"]["layersToBuild"]),
        (digests(&made), &0.into())
    );
    for command in ["plan", "build"] {
        let fresh = with(command, "two", &["--push", &push]);
        assert_eq!(digests(&layers(&fresh)), digests(&made));
        assert_eq!(fresh["transfer"]["distributionBytes"], 0);
    }
}

#[test]
fn more_than_runtimes_take_is_an_error() {
    let (world, base) = world(115);
    let out = world.path("out");
    let output = format!("oci:{}", out.display());
    let arguments = ["build", "--base", &base, "--output", &output];
    world.fail(&arguments, 10, &["runtimes take 125", "10 of them", "the same file"]);
    let index: Value = serde_json::from_slice(&fs::read(out.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"], Value::Array(Vec::new()), "no image is listed");
}
