//! Whether planning and assembling from records take time in proportion to the number of components.
//!
//! ```text
//! cargo bench --bench scale
//! ```
//!
//! Projects with 10, 100 and 1,000 deployments that share 300 distributions: each locks 30 of them, another choice than any
//! other, so that nearly every layer of distributions is another, too. One line a project: milliseconds for `plan`, `build` and
//! `build` into a layout that is there, with a store that has every layer, and for `plan` with a store that has nothing, beside a
//! registry that remembers all; behind each, the time that one component takes. Medians of 3 runs; `BAKEHOUSE_BENCH_RUNS` names another number, and
//! `BAKEHOUSE_BENCH_COMPONENTS` other sizes. Needs Debian's docker-registry. Most of the time goes into building everything once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark's output is its purpose"
)]

#[path = "../tests/support/bakery.rs"]
mod bakery;
#[path = "../tests/support/http.rs"]
mod http;
#[path = "support/median.rs"]
mod median;
#[path = "../tests/support/registry.rs"]
mod registry;
#[path = "../tests/support/wheel.rs"]
mod wheel;

use std::fs;
use std::time::{Duration, Instant};

use bakery::{World, run};
use median::median;
use registry::Registry;
use serde_json::Value;
use wheel::WheelBuilder;

const DISTRIBUTIONS: usize = 300;
/// How many of them a component has.
const CHOSEN: usize = 30;
/// The files of a distribution.
const FILES: usize = 40;

fn main() {
    let number = |name: &str| std::env::var(name).ok();
    let runs = number("BAKEHOUSE_BENCH_RUNS").map_or(3, |runs| runs.parse().unwrap());
    let sizes = number("BAKEHOUSE_BENCH_COMPONENTS").unwrap_or_else(|| "10 100 1000".to_owned());
    println!("{:>10}{:>20}{:>20}{:>20}{:>20}", "components", "plan", "build", "into a layout", "plan, fresh");
    for size in sizes.split_whitespace().map(|size| size.parse::<usize>().unwrap()) {
        let (world, registry) = (project(size), Registry::start());
        let push = ["--push", &format!("{}/team", registry.address())];
        let started = Instant::now();
        // What is written is not held against schemas here: that would be timed, too.
        let succeed = |arguments: &[&str]| -> Value {
            let ran = run(&mut world.command(arguments));
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            ran.report
        };
        let built = succeed(&[&["build"], &push[..]].concat());
        assert_eq!(built["images"].as_array().unwrap().len(), size);
        eprintln!("{size} components: everything built once in {:.1} s", started.elapsed().as_secs_f64());
        let plan = || {
            let planned = succeed(&["plan"]);
            assert_eq!(planned["planned"]["layersToBuild"], 0, "{}", planned["planned"]);
        };
        let fresh = || {
            let store = world.path("fresh");
            let arguments = [&["plan", "--cache-dir", store.to_str().unwrap()], &push[..]].concat();
            let planned = succeed(&arguments);
            assert_eq!(planned["planned"]["downloads"], 0, "{}", planned["planned"]);
            fs::remove_dir_all(store).unwrap();
        };
        let build = |arguments: &[&str]| {
            let built = succeed(arguments);
            assert_eq!(built["transfer"]["distributionBytes"], 0, "{}", built["transfer"]);
        };
        let layout = format!("oci:{}", world.path("out").display());
        let into_layout = ["build", "--output", &layout, "--no-remote-cache"];
        build(&into_layout);
        let columns = [
            median(runs, plan),
            median(runs, || build(&["build"])),
            median(runs, || build(&into_layout)),
            median(runs, fresh),
        ];
        let cell = |time: Duration| {
            let millis = time.as_secs_f64() * 1000.0;
            format!("{millis:.0} ({:.2})", millis / size as f64)
        };
        println!("{size:>10}{}", columns.map(|time| format!("{:>20}", cell(time))).concat());
    }
}

/// A project of so many deployments.
fn project(size: usize) -> World {
    let mut world = World::new();
    for number in 0..DISTRIBUTIONS {
        let wheel = WheelBuilder::new(&format!("dist-{number}"), "1.0");
        let module = |wheel: WheelBuilder, file| {
            let text = format!("# {number}\n").repeat(100);
            wheel.file(&format!("dist_{number}/m{file}.py"), text)
        };
        world.publish((0..FILES).fold(wheel, module).build());
    }
    world.write("obproject.toml", "project = 'many'\n");
    for component in 0..size {
        let chosen =
            (0..CHOSEN).map(|place| (component + place * (1 + component / DISTRIBUTIONS)) % DISTRIBUTIONS);
        let requirements: String = chosen.map(|number| format!("    dist-{number}: '1.0'\n")).collect();
        let folder = format!("deployments/app{component}");
        let config = format!("dependencies:\n  pypi:\n{requirements}commands:\n- python app.py\n");
        world.write(&format!("{folder}/config.yml"), &config);
        world.write(&format!("{folder}/app.py"), "print('hello')\n");
    }
    world
}
