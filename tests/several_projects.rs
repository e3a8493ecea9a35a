//! A directory of several projects (`obproject_multi.toml`) is built whole: every project by itself, under its own name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;

use bakery::{World, run};
use serde_json::Value;
use wheel::WheelBuilder;

/// Two projects, `fraud` and `churn`, that both have a flow `train`.
fn world() -> World {
    let mut world = World::new();
    for name in ["alpha", "beta"] {
        world.publish(WheelBuilder::new(name, "1.0").file(&format!("{name}.py"), "X = 1\n").build());
    }
    world.write(
        "obproject_multi.toml",
        "[projects]\nfraud = \"projects/fraud\"\nChurn = \"./projects/churn/\"\n",
    );
    for (project, package) in [("fraud", "alpha"), ("churn", "beta")] {
        let write = |file: &str, text: &str| world.write(&format!("projects/{project}/{file}"), text);
        write("obproject.toml", &format!("project = \"{project}_model\"\n"));
        write("pyproject.toml", &format!("[project]\nname = \"x\"\ndependencies = [\"{package}\"]\n"));
        write("flows/train/flow.py", FLOW);
    }
    world.write("projects/fraud/deployments/api/config.yml", "dependencies:\n  pypi:\n    beta: '1.0'\n");
    world
}

const FLOW: &str = "from metaflow import step\nfrom obproject import ProjectFlow\n\n\nclass Train(ProjectFlow):\n    \
                    @step\n    def start(self):\n        pass\n";

/// `PROJECT KIND/COMPONENT` of every image.
fn images(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let images = report["images"].as_array().unwrap().iter();
    images
        .map(|i| format!("{} {}/{}", text(&i["project"]), text(&i["kind"]), text(&i["component"])))
        .collect()
}

#[test]
fn every_project_is_built_under_its_own_name() {
    let world = world();
    let layout = world.path("out");
    let report = world.succeed(&["build", "--output", &format!("oci:{}", layout.display())]);
    assert_eq!(report["project"], "project");
    assert_eq!(
        images(&report),
        ["churn_model flow/train", "fraud_model flow/train", "fraud_model deployment/api"]
    );
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let mut names: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|manifest| manifest["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["churn/train:latest", "fraud/api:latest", "fraud/train:latest"]);

    let paths: Vec<&Value> = report["locks"].as_array().unwrap().iter().map(|lock| &lock["path"]).collect();
    assert_eq!(
        paths,
        [
            "projects/churn/flows/train/pylock.toml",
            "projects/fraud/flows/train/pylock.toml",
            "projects/fraud/deployments/api/pylock.toml"
        ]
    );
    assert!(paths.iter().all(|path| world.project().join(path.as_str().unwrap()).exists()));
    // What `beta` is installed for in two projects is one environment.
    let environments = report["environments"].as_array().unwrap();
    assert_eq!(environments.len(), 2);
    assert_eq!(environments[0]["projects"], serde_json::json!(["churn_model", "fraud_model"]));
    assert_eq!(environments[0]["origins"][0]["file"], "projects/churn/pyproject.toml");
}

#[test]
fn the_images_are_those_of_the_projects_built_alone() {
    let world = world();
    let together = world.succeed(&["build"]);
    let mut alone = world.command(&["build"]);
    alone.current_dir(world.project().join("projects/fraud")).arg("--branch").arg("main");
    let arguments: Vec<_> = alone.get_args().map(|a| a.to_owned()).collect();
    let mut command = std::process::Command::new(alone.get_program());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.current_dir(world.project().join("projects/fraud"));
    command.args(
        arguments.iter().map(|a| if *a == *world.project().as_os_str() { ".".into() } else { a.clone() }),
    );
    let alone = run(&mut command);
    assert_eq!(alone.code, 0, "{}", alone.stderr);
    assert_eq!(alone.report["images"][0]["digest"], together["images"][1]["digest"]);
    assert_eq!(alone.report["locks"][0]["status"], "fresh");
}

#[test]
fn components_are_chosen_in_all_projects_or_in_one() {
    let world = world();
    for (name, expected) in [
        ("train", &["churn_model flow/train", "fraud_model flow/train"][..]),
        ("flow/train", &["churn_model flow/train", "fraud_model flow/train"]),
        ("fraud/flow/train", &["fraud_model flow/train"]),
        ("project/fraud", &["fraud_model flow/train", "fraud_model deployment/api"]),
        ("api", &["fraud_model deployment/api"]),
    ] {
        assert_eq!(images(&world.succeed(&["plan", "-c", name])), expected, "{name}");
    }
    for name in ["nope", "project/nope", "churn/deployment/api", "nope/flow/train"] {
        world.fail(&["plan", "-c", name], 2, &["no component is called", name]);
    }
}

#[test]
fn locks_are_checked_in_every_project() {
    let world = world();
    world.fail(
        &["lock", "--check"],
        12,
        &["project `fraud`, in projects/fraud: flows/train/pylock.toml is missing"],
    );
    world.succeed(&["lock"]);
    world.succeed(&["lock", "--check"]);
}

#[test]
fn what_is_wrong_with_one_project_does_not_stop_the_others() {
    let world = world();
    world.write("projects/churn/flows/train/flow.py", "def f(:\n");
    let ran = world.fail(
        &["build"],
        10,
        &["project `Churn`, in projects/churn: flows/train/flow.py:1: not valid Python"],
    );
    assert_eq!(images(&ran.report), ["fraud_model flow/train", "fraud_model deployment/api"]);
    world.succeed(&["build", "-c", "project/fraud"]);
    world.write("obproject.toml", "project = 'p'\n");
    world.fail(&["build"], 10, &["obproject_multi.toml: obproject.toml stands beside it"]);
}

#[test]
fn modules_beside_the_projects_are_read_and_named_from_there() {
    let world = world();
    world.write("shared/packages.py", "PACKAGES = {\"beta\": \"1.0\"}\n");
    let step = "@pypi(packages=PACKAGES)\n    @step\n    def start";
    let flow = FLOW.replace("@step\n    def start", step).replace("import step", "import pypi, step");
    world.write(
        "projects/churn/flows/train/flow.py",
        &format!("from shared.packages import PACKAGES\n{flow}"),
    );
    let plan = world.succeed(&["plan", "--environments", "-c", "Churn/flow/train"]);
    let origins = plan["components"][0]["environments"][0]["origins"].as_array().unwrap();
    assert!(origins.iter().any(|origin| origin["file"] == "shared/packages.py"), "{plan}");

    // A component that cannot be read is a failure where it is asked for.
    world.write("projects/fraud/flows/train/flow.py", "class F(:\n");
    let plan = world.succeed(&["plan", "--environments", "-c", "api"]);
    assert!(plan["warnings"][0]["file"].as_str().unwrap().ends_with("fraud/flows/train"), "{plan}");
    let ran = world.run(&["plan", "--environments", "-c", "train"]);
    assert_eq!((ran.code, ran.report["components"].as_array().unwrap().len()), (10, 1), "{}", ran.stderr);
}
