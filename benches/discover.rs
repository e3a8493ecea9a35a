//! Whether reading and planning a project take time in proportion to the number of its components.
//!
//! ```text
//! cargo bench --bench discover
//! ```
//!
//! Projects with 10, 100 and 1,000 components (half flows, half deployments) that share a package in `src/`; each of them
//! has an environment with one small distribution, already locked. One line a project: milliseconds for discovery and for
//! finding all code files, both in this process, and for the program's `plan --environments` and `plan`; behind each, the
//! time that one component takes. Medians of 5 runs; `BAKEHOUSE_BENCH_RUNS` names another number.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark's output is its purpose"
)]

#[path = "../tests/support/bakery.rs"]
mod bakery;
#[path = "../tests/support/http.rs"]
mod http;
#[path = "support/median.rs"]
mod median;
#[path = "../tests/support/wheel.rs"]
mod wheel;

use std::time::Duration;

use bakehouse::project::{CodeOptions, CodeReader, discover};
use bakery::World;
use median::median;
use wheel::WheelBuilder;

const SIZES: [usize; 3] = [10, 100, 1000];
/// The modules of the shared package, and how large they are.
const MODULES: usize = 20;
const MODULE_BYTES: usize = 20_000;

fn main() {
    let runs = std::env::var("BAKEHOUSE_BENCH_RUNS").map_or(5, |runs| runs.parse().unwrap());
    println!(
        "{:>10}{:>20}{:>20}{:>20}{:>20}",
        "components", "discover", "code files", "environments", "plan"
    );
    for size in SIZES {
        let world = project(size);
        let lock = world.run(&["lock"]);
        assert_eq!(lock.code, 0, "{}", lock.stderr);
        let columns = [
            median(runs, || assert_eq!(discover(&world.project()).unwrap().components.len(), size)),
            median(runs, || code_files(&world)),
            median(runs, || drop(world.succeed(&["plan", "--environments"]))),
            median(runs, || drop(world.succeed(&["plan"]))),
        ];
        let cell = |time: Duration| {
            let millis = time.as_secs_f64() * 1000.0;
            format!("{millis:.1} ({:.2})", millis / size as f64)
        };
        println!("{size:>10}{}", columns.map(|time| format!("{:>20}", cell(time))).concat());
    }
}

fn code_files(world: &World) {
    let project = discover(&world.project()).unwrap();
    let reader = CodeReader::new(&project, &CodeOptions::default(), &|_| None).unwrap();
    for component in &project.components {
        assert!(!reader.files(component).unwrap().own.is_empty());
    }
}

/// A project of so many components.
fn project(size: usize) -> World {
    let mut world = World::new();
    world.publish(WheelBuilder::new("alpha", "1.0").file("alpha.py", "X = 1\n").build());
    world.write("obproject.toml", "project = 'many'\n");
    world.write("src/shared/__init__.py", "METAFLOW_PACKAGE_POLICY = 'include'\n");
    world.write("src/shared/packages.py", "PACKAGES = {'alpha': '1.0'}\n");
    for module in 0..MODULES {
        world.write(&format!("src/shared/m{module}.py"), &"# nothing\n".repeat(MODULE_BYTES / 10));
    }
    for number in 0..size / 2 {
        world.write(
            &format!("flows/flow{number}/flow.py"),
            "from metaflow import pypi, step\nfrom obproject import ProjectFlow\nfrom shared.packages import PACKAGES\n\n\n\
             class Flow(ProjectFlow):\n    @pypi(packages=PACKAGES)\n    @step\n    def start(self):\n        self.next(self.end)\n\n    \
             @pypi(packages=PACKAGES)\n    @step\n    def end(self):\n        pass\n",
        );
        world.write(
            &format!("deployments/app{number}/config.yml"),
            "dependencies:\n  pypi:\n    alpha: '1.0'\ncommands:\n- python app.py\n",
        );
        world.write(&format!("deployments/app{number}/app.py"), "print('hello')\n");
    }
    world
}
