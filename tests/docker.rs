//! What is built is loaded, pulled and run by Docker itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use bakery::{World, is_root, layers};
use registry::Registry;
use tempfile::TempDir;
use wheel::WheelBuilder;

/// How long the engine may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine of one's own, without a network; it ends with the value.
struct Engine {
    process: Child,
    folder: TempDir,
}

impl Engine {
    /// Starts the engine that `scripts/test` has unpacked into `target/docker`.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let log = File::create(folder.path().join("log")).unwrap();
        let process = program("sbin/dockerd")
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false"])
            .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["--host", &format!("unix://{}", path("socket"))])
            .stderr(log)
            .spawn()
            .unwrap();
        let engine = Self { process, folder };
        let start = Instant::now();
        while !engine.client(&["version"]).output().unwrap().status.success() {
            let log = std::fs::read_to_string(engine.folder.path().join("log")).unwrap();
            assert!(start.elapsed() < PATIENCE, "the engine does not answer\n{log}");
            thread::sleep(Duration::from_millis(200));
        }
        engine
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = program("bin/docker");
        let socket = self.folder.path().join("socket");
        command.arg("--host").arg(format!("unix://{}", socket.display())).args(arguments);
        command
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Asked politely, it ends what it has started.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let start = Instant::now();
        while self.process.try_wait().is_ok_and(|ended| ended.is_none()) && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(100));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program of the unpacked packages, which finds its fellows there.
fn program(name: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/docker/usr");
    let mut command = Command::new(root.join(name));
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{}:{path}", root.join("bin").display(), root.join("sbin").display()));
    command
}

#[test]
#[ignore = "runs a Docker engine, on a Debian made of packages from the real mirror"]
fn docker_loads_pulls_and_runs_what_is_built() {
    if !is_root() {
        eprintln!("a Docker engine of one's own wants root: skipped");
        return;
    }
    // Enough distributions for layers of one and of several.
    let names: Vec<String> = (0..30).map(|i| format!("part{i}")).collect();
    let mut world = World::plain(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &names {
        let main = "import os, sys\n\ndef main():\n    print(sys.prefix, os.getuid(), os.getcwd())\n";
        let wheel = WheelBuilder::new(name, "1.0").file(&format!("{name}/__init__.py"), main);
        world.publish(wheel.entry_points(&format!("[console_scripts]\n{name} = {name}:main\n")).build());
    }
    let (engine, registry) = (Engine::start(), Registry::start());
    let archive = world.path("image.tar").display().to_string();
    let push = format!("{}/team", registry.address());
    let output = format!("docker-archive:{archive}");
    let arguments = ["build", "--base", "deb://bookworm", "--user", "1000", "--workdir", "/work"];
    let report =
        world.succeed(&[&arguments[..], &["--cmd", "part29", "--push", &push, "--output", &output]].concat());
    let members = |layer: &serde_json::Value| layer["packages"].as_array().unwrap().len();
    assert!(layers(&report).iter().any(|layer| members(layer) > 1));
    let diff_ids: Vec<_> = layers(&report).iter().map(|layer| layer["diffId"].clone()).collect();

    engine.succeed(&["load", "--input", &archive]);
    let pulled = format!("{push}/project:latest");
    engine.succeed(&["pull", &pulled]);
    for image in ["project:latest", &pulled] {
        let known = engine.succeed(&["image", "inspect", image]);
        let known: serde_json::Value = serde_json::from_str(&known).unwrap();
        assert_eq!(known[0]["RootFS"]["Layers"], serde_json::json!(diff_ids), "{image}");
        let run = |command: &[&str]| {
            engine.succeed(&[&["run", "--rm", "--network", "none", image], command].concat())
        };
        assert_eq!(run(&[]), "/opt/venv 1000 /work\n");
        let imports: String = names.iter().map(|name| format!("import {name};")).collect();
        assert_eq!(run(&["python", "-c", &(imports + "print('all')")]), "all\n");
        assert_eq!(run(&["sh", "-c", "touch /work/it $HOME/it /tmp/it && echo writes"]), "writes\n");
    }
}
