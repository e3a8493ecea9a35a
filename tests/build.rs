//! From a project to images: what is built, what is reused, what is sent.

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

use bakery::{World, digests, layers, run, uploaded};
use registry::Registry;
use serde_json::Value;
use wheel::WheelBuilder;

/// A plain project with three requirements, one of which brings a fourth.
fn world() -> World {
    let mut world = World::plain(&[
        "alpha==1.0",
        "beta",
        "gamma[extra]; python_version >= '3.8'",
        "win; sys_platform == 'win32'",
    ]);
    world.publish(WheelBuilder::new("alpha", "1.0").file("alpha.py", "A = 1\n").build());
    world.publish(WheelBuilder::new("alpha", "2.0").file("alpha.py", "A = 2\n").build());
    world.publish(
        WheelBuilder::new("beta", "1.5")
            .requires("delta>=1")
            .file("beta/__init__.py", "B = 1\n".repeat(40_000))
            .entry_points("[console_scripts]\nbeta = beta:main\n")
            .build(),
    );
    world.publish(
        WheelBuilder::new("gamma", "3.0")
            .metadata("Provides-Extra: extra")
            .file("gamma.py", "G = 1\n")
            .build(),
    );
    world.publish(WheelBuilder::new("delta", "1.0").file("delta.py", "D = 1\n").build());
    world.publish(WheelBuilder::new("epsilon", "1.0").file("epsilon.py", "E = 1\n").build());
    world
}

/// An Outerbounds project with a flow of two environments and a deployment.
fn outerbounds() -> World {
    let mut world = world();
    fs::remove_file(world.project().join("requirements.txt")).unwrap();
    fs::remove_file(world.project().join("app.py")).unwrap();
    world.write("obproject.toml", "project = \"shop\"\n");
    world.write("pyproject.toml", "[project]\nname = \"shop\"\ndependencies = [\"alpha==1.0\", \"beta\"]\n");
    world.write(
        "flows/etl/flow.py",
        "from metaflow import FlowSpec, pypi, step\nfrom obproject import ProjectFlow\n\n\nclass Etl(ProjectFlow):\n    \
         @step\n    def start(self):\n        self.next(self.end)\n\n    \
         @pypi(packages={\"alpha\": \"2.0\", \"epsilon\": \"\"})\n    @step\n    def end(self):\n        pass\n",
    );
    world.write("flows/etl/README.md", "# ETL\n");
    world.write("src/shared/__init__.py", "METAFLOW_PACKAGE_POLICY = 'include'\n");
    world.write(
        "deployments/api/config.yml",
        "name: api\nport: 8000\ncommands:\n  - python deployments/api/server.py\n",
    );
    world.write("deployments/api/server.py", "print('serving')\n");
    world.write(
        "data/orders/asset_config.toml",
        "name = 'Orders'\nid = 'orders'\nkind = 'table'\ndescription = 'All orders'\nblobs = ['s3://b/o']\n\
         [properties]\nsource = 'warehouse'\n",
    );
    world.publish(WheelBuilder::new("zeta", "1.0").build());
    world
}

fn packages(report: &Value) -> Vec<String> {
    let mut names: Vec<String> = layers(report)
        .iter()
        .flat_map(|layer| layer["packages"].as_array().unwrap().clone())
        .map(|package| {
            format!("{}=={}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap())
        })
        .collect();
    names.sort();
    names
}

#[test]
fn a_plain_project_becomes_one_image_with_its_locked_packages() {
    let world = world();
    let report = world.succeed(&["build"]);
    assert_eq!(packages(&report), ["alpha==1.0", "beta==1.5", "delta==1.0", "gamma==3.0"]);
    let image = &report["images"][0];
    assert_eq!((image["kind"].as_str(), &image["reference"]), (Some("package"), &Value::Null));
    assert_eq!(report["locks"][0]["status"], "written");
    let platform = &image["platforms"][0];
    assert_eq!(
        (&platform["python"], &platform["pythonPath"]),
        (&"3.11".into(), &"/opt/venv/bin/python".into())
    );
    let roles: Vec<&str> = layers(&report)
        .iter()
        .map(|layer| match layer["role"].as_str() {
            Some("base") => "base",
            Some("code") => "code",
            _ => "environment",
        })
        .collect();
    assert_eq!((roles.first(), roles.last()), (Some(&"base"), Some(&"code")), "from the base up to the code");

    let lock = fs::read_to_string(world.project().join("pylock.toml")).unwrap();
    assert!(lock.contains("lock-version = \"1.0\"") && !lock.contains("epsilon"), "{lock}");
}

#[test]
fn flows_and_deployments_become_images_with_environments_of_their_own() {
    let world = outerbounds();
    let layout = world.path("out");
    let report = world.succeed(&["build", "--output", &format!("oci:{}", layout.display())]);
    let steps: Vec<String> = report["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| format!("{} {}", image["component"], image["steps"]))
        .collect();
    assert_eq!(steps, [r#""etl" ["start"]"#, r#""etl" ["end"]"#, r#""api" []"#]);
    for lock in ["flows/etl/pylock.toml", "flows/etl/pylock.end.toml", "deployments/api/pylock.toml"] {
        assert!(world.project().join(lock).exists(), "{lock}");
    }
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let mut names: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["api:latest", "etl-end:latest", "etl:latest"]);

    let blob = |digest: &Value| -> Value {
        let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        serde_json::from_slice(&fs::read(layout.join("blobs/sha256").join(hex)).unwrap()).unwrap()
    };
    let config = blob(&blob(&report["images"][0]["digest"])["config"]["digest"]);
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["bakehouse.project"], "shop");
    assert_eq!(labels["bakehouse.component"], "flow/etl");
    assert_eq!(labels["bakehouse.readme"], "# ETL\n");
    let asset: Value = serde_json::from_str(labels["bakehouse.asset.data.orders"].as_str().unwrap()).unwrap();
    let expected = serde_json::json!({
        "name": "Orders", "description": "All orders", "kind": "table", "blobs": ["s3://b/o"],
        "properties": {"source": "warehouse"},
    });
    assert_eq!(asset, expected);
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["python", "flow.py"]));
    assert_eq!(config["config"]["WorkingDir"], "/app/flows/etl");
    let environment = config["config"]["Env"].as_array().unwrap();
    assert!(
        environment.contains(&"PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin".into()),
        "{environment:?}"
    );
    assert!(environment.contains(&"PYTHONPATH=/app:/app/src".into()), "{environment:?}");
    assert!(
        environment.iter().any(|v| v.as_str().unwrap().starts_with("FASTBAKERY_IMAGE=etl:")),
        "{environment:?}"
    );
}

#[test]
fn two_clean_stores_give_the_same_digests_with_one_job_and_with_eight() {
    let world = outerbounds();
    let build = |store: &str, jobs: &str| {
        let store = world.path(store);
        digests(&world.succeed(&["build", "--cache-dir", store.to_str().unwrap(), "--jobs", jobs]))
    };
    let first = build("one", "1");
    assert_eq!(build("eight", "8"), first);
    assert_eq!(build("one", "8"), first, "nor does it matter what the store holds");
}

#[test]
fn digests_are_those_of_the_format() {
    // A change here is a change of every user's images: it goes with a new format version, and never happens by itself.
    let report = world().succeed(&["build"]);
    let lines: Vec<String> = layers(&report)
        .iter()
        .skip(1)
        .map(|layer| format!("{} {}", layer["diffId"].as_str().unwrap(), layer["digest"].as_str().unwrap()))
        .collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/golden/layers.txt");
    assert_eq!(lines.join("\n"), fs::read_to_string(path).unwrap().trim(), "see {path}");
}

#[test]
fn an_unchanged_build_moves_nothing() {
    let world = world();
    let registry = Registry::start();
    let prefix = format!("{}/team", registry.address());
    let first = world.succeed(&["build", "--push", &prefix]);
    assert!(uploaded(&first).len() >= 4);
    assert!(first["transfer"]["uploadedBytes"].as_u64().unwrap() > 0);
    let again = world.succeed(&["build", "--push", &prefix]);
    assert_eq!(digests(&again), digests(&first));
    assert_eq!(again["locks"][0]["status"], "fresh");
    for counter in ["indexBytes", "indexRequests", "distributionBytes", "baseBytes", "uploadedBytes"] {
        assert_eq!(again["transfer"][counter], 0, "{counter}");
    }
    assert!(layers(&again).iter().all(|layer| layer["transfer"] == "present"));
}

#[test]
fn a_changed_line_of_code_sends_one_layer() {
    let world = outerbounds();
    let registry = Registry::start();
    let prefix = format!("{}/team", registry.address());
    world.succeed(&["build", "-c", "etl", "--push", &prefix]);
    let flow = fs::read_to_string(world.project().join("flows/etl/flow.py")).unwrap();
    world.write("flows/etl/flow.py", &flow.replace("pass", "print('done')"));
    let report = world.succeed(&["build", "-c", "etl", "--push", &prefix]);
    let sent = uploaded(&report);
    assert!(!sent.is_empty() && sent.iter().all(|layer| layer["role"] == "code"), "{sent:?}");
    let distinct: std::collections::BTreeSet<_> =
        sent.iter().map(|layer| layer["digest"].to_string()).collect();
    assert_eq!(distinct.len(), 1);
    // The layer once, and a config and a manifest for each of the two images of the flow.
    let bytes = report["transfer"]["uploadedBytes"].as_u64().unwrap();
    assert!(bytes <= sent[0]["size"].as_u64().unwrap() + 64 * 1024, "{bytes}");
    assert_eq!(report["transfer"]["distributionBytes"], 0);
}

#[test]
fn one_dependency_more_sends_its_group_alone() {
    let world = world();
    let registry = Registry::start();
    let prefix = format!("{}/team", registry.address());
    let before = world.succeed(&["build", "--push", &prefix]);
    let requirements = fs::read_to_string(world.project().join("requirements.txt")).unwrap();
    world.write("requirements.txt", &(requirements + "epsilon\n"));
    let after = world.succeed(&["build", "--push", &prefix]);
    let sent = uploaded(&after);
    let environment: Vec<_> = sent.iter().filter(|layer| layer["role"] == "environment").collect();
    assert_eq!(environment.len(), 1, "{sent:?}");
    assert!(environment[0]["packages"].to_string().contains("epsilon"), "{sent:?}");
    let wheels = after["transfer"]["distributionBytes"].as_u64().unwrap();
    assert!(wheels > 0 && wheels < before["transfer"]["distributionBytes"].as_u64().unwrap());
    let kept = fs::read_to_string(world.project().join("pylock.toml")).unwrap();
    assert!(kept.contains("epsilon") && kept.contains("name = \"alpha\"\nversion = \"1.0\""), "{kept}");
}

#[test]
fn components_mount_from_each_other_what_they_share() {
    let world = outerbounds();
    let registry = Registry::start();
    let report = world.succeed(&["build", "--push", &format!("{}/team", registry.address())]);
    let mut sent: Vec<String> = uploaded(&report).iter().map(|layer| layer["digest"].to_string()).collect();
    let all = sent.len();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), all, "no layer is sent twice");
    assert!(layers(&report).iter().any(|layer| layer["transfer"] == "mounted"));
}

#[test]
fn a_base_in_the_same_registry_is_mounted_and_never_read_again() {
    let world = world();
    let registry = Registry::start();
    let base = format!("{}/bases/python:3.11", registry.address());
    let copied = std::process::Command::new("skopeo")
        .args(["copy", "-q", "--dest-tls-verify=false"])
        .arg(format!("oci:{}", world.base().display()))
        .arg(format!("docker://{base}"))
        .status()
        .unwrap();
    assert!(copied.success());
    let prefix = format!("{}/team", registry.address());
    let first = world.succeed(&["build", "--base", &base, "--push", &prefix]);
    let of_base = |report: &Value| layers(report).into_iter().find(|layer| layer["role"] == "base").unwrap();
    assert_eq!(of_base(&first)["transfer"], "mounted");
    assert!(first["transfer"]["baseBytes"].as_u64().unwrap() > 0, "it was looked into once");
    world.write("app.py", "print('changed')\n");
    let again = world.succeed(&["build", "--base", &base, "--push", &prefix]);
    assert_eq!(of_base(&again)["transfer"], "present");
    assert!(again["transfer"]["baseBytes"].as_u64().unwrap() < 10_000, "a manifest at most");
}

#[test]
fn a_locked_build_needs_no_index_and_a_stale_lock_is_told() {
    let world = world();
    world.fail(&["build", "--locked"], 12, &["pylock.toml is missing"]);
    world.succeed(&["lock"]);
    world.index.clear();
    world.succeed(&["lock", "--check"]);
    assert!(world.index.requests().is_empty(), "an unchanged project is known fresh without any request");
    world.write("requirements.txt", "alpha\n");
    world.fail(&["lock", "--check"], 12, &["stale", "hint"]);
    world.fail(&["build", "--locked"], 12, &["stale"]);
    let frozen = world.succeed(&["build", "--frozen"]);
    assert_eq!(packages(&frozen).len(), 4, "used as it is");
    let lock = || fs::read_to_string(world.project().join("pylock.toml")).unwrap();
    world.succeed(&["lock"]);
    assert!(lock().contains("name = \"alpha\"\nversion = \"1.0\""), "old pins are kept where they satisfy");
    world.succeed(&["lock", "--upgrade"]);
    assert!(lock().contains("name = \"alpha\"\nversion = \"2.0\""), "{}", lock());
}

#[test]
fn a_plain_project_with_scripts_is_installed() {
    let world = world();
    fs::remove_file(world.project().join("requirements.txt")).unwrap();
    world.write(
        "pyproject.toml",
        "[project]\nname = \"my-tool\"\nversion = \"1.2\"\ndependencies = [\"alpha\"]\n\n[project.scripts]\nmy-tool = \"my_tool:main\"\n",
    );
    world.write("src/my_tool/__init__.py", "def main():\n    print('tool')\n");
    let layout = world.path("out");
    world.succeed(&["build", "--output", &format!("oci:{}", layout.display())]);
    let unpacked = world.path("unpacked");
    bakery::unpack(&layout, "my-tool:latest", &unpacked);
    let root = unpacked.join("rootfs");
    let script = fs::read_to_string(root.join("opt/venv/bin/my-tool")).unwrap();
    assert!(
        script.starts_with("#!/opt/venv/bin/python\n") && script.contains("from my_tool import main"),
        "{script}"
    );
    let info = root.join("opt/venv/lib/python3.11/site-packages/my_tool-1.2.dist-info");
    assert!(fs::read_to_string(info.join("METADATA")).unwrap().contains("Name: my-tool\nVersion: 1.2\n"));
    assert!(fs::read_to_string(info.join("RECORD")).unwrap().contains("../../../bin/my-tool,sha256="));
    assert!(root.join("app/src/my_tool/__init__.py").exists());
}

#[test]
fn distributions_that_write_the_same_file_are_told_and_the_later_wins() {
    let mut world = World::plain(&["one", "two"]);
    world.publish(WheelBuilder::new("one", "1").file("shared.py", "ONE = 1\n".repeat(100_000)).build());
    world.publish(WheelBuilder::new("two", "1").file("shared.py", "TWO = 2\n".repeat(100_000)).build());
    let layout = world.path("out");
    let report = world.succeed(&["build", "--output", &format!("oci:{}", layout.display())]);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("one 1 and two 1") && warnings.contains("shared.py"), "{warnings}");
    let unpacked = world.path("unpacked");
    bakery::unpack(&layout, "project:latest", &unpacked);
    let file = unpacked.join("rootfs/opt/venv/lib/python3.11/site-packages/shared.py");
    assert!(fs::read_to_string(file).unwrap().starts_with("TWO"));
}

#[test]
fn an_interrupted_build_leaves_a_store_that_the_next_one_uses() {
    let world = world();
    let expected = digests(&world.succeed(&["build", "--cache-dir", world.path("other").to_str().unwrap()]));
    for milliseconds in [5, 20, 40, 60, 80, 120, 160] {
        let mut child = world
            .command(&["build"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(digests(&world.succeed(&["build"])), expected);
}

#[test]
fn ctrl_c_ends_with_its_own_code() {
    let world = world();
    // An index that never answers keeps the program waiting.
    world.index.route("/simple/alpha/", |_| {
        std::thread::sleep(std::time::Duration::from_secs(20));
        http::Response::status(404)
    });
    let child = world.command(&["build"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn concurrent_runs_share_a_store() {
    let world = world();
    world.succeed(&["lock"]);
    let store = world.path("shared");
    let runs: Vec<_> = std::thread::scope(|scope| {
        let one = || run(&mut world.command(&["build", "--cache-dir", store.to_str().unwrap()]));
        let handles: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    let all: std::collections::BTreeSet<_> =
        runs.iter().map(|ran| format!("{} {}", ran.code, digests(&ran.report)["project[]"])).collect();
    assert_eq!(all.len(), 1, "{all:?}");
}
