//! The program as a user meets it, for what goes into the code layers: the list of files, libraries from outside the
//! project, names that hide others, files that cannot be read, and private indexes whose passwords end up nowhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use bakery::{Ran, World};
use http::{Response, Server};
use serde_json::{Value, json};
use wheel::WheelBuilder;

const FLOW: &str = "from metaflow import step\nfrom obproject import ProjectFlow\nclass F(ProjectFlow):\n  @step\n  \
                    def start(self): pass\n";

const POLICY: &str = "METAFLOW_PACKAGE_POLICY = 'include'\n";

/// A project with a flow and a deployment.
fn project() -> World {
    let world = World::new();
    world.write("obproject.toml", "project = 'shop'\n");
    world.write("flows/etl/flow.py", FLOW);
    world.write("flows/etl/data.csv", "1,2\n");
    world.write("src/shared/__init__.py", POLICY);
    world.write("deployments/api/config.yml", "commands: [python deployments/api/server.py]\n");
    world.write("deployments/api/server.py", "");
    world.write(".dockerignore", "**/notes.*\n");
    world.write("deployments/api/notes.txt", "");
    world
}

/// The program with nothing but what is given.
fn bare(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bakehouse"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", world.path("home"));
    command.arg(arguments[0]).arg(world.project()).args(&arguments[1..]);
    command
}

#[test]
fn the_files_are_listed_without_base_index_or_store() {
    let world = project();
    let ran = bakery::run(&mut bare(&world, &["plan", "--files", "--format", "json", "--offline"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let code = ran.report["code"].as_array().unwrap();
    assert_eq!(code.len(), 2);
    let source = |path: &str| world.project().canonicalize().unwrap().join(path);
    assert_eq!(
        code[0],
        json!({
            "component": "etl", "project": "shop", "kind": "flow", "size": FLOW.len() + 17 + POLICY.len(),
            "files": [
                {"path": "app/flows/etl/flow.py", "size": FLOW.len(), "link": null, "layer": "own",
                 "source": source("flows/etl/flow.py")},
                {"path": "app/obproject.toml", "size": 17, "link": null, "layer": "own",
                 "source": source("obproject.toml")},
                {"path": "app/src/shared/__init__.py", "size": POLICY.len(), "link": null, "layer": "shared",
                 "source": source("src/shared/__init__.py")},
            ],
            "libraries": [],
            "leftOut": [
                {"path": "flows/etl/data.csv", "reason": "suffix", "message": "not among the suffixes",
                 "file": null, "line": null},
            ],
        })
    );
    let ignored =
        code[1]["leftOut"].as_array().unwrap().iter().find(|out| out["reason"] == "ignored").unwrap();
    assert_eq!((&ignored["file"], &ignored["line"]), (&json!(".dockerignore"), &json!(1)));
    assert!(!world.path("home").exists(), "nothing is written");

    let output = bare(&world, &["plan", "--files", "-c", "flow/etl"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("code of flow/etl: 3 files"), "{text}");
    assert!(text.contains("flows/etl/data.csv  not among the suffixes"), "{text}");
    assert!(!text.contains("deployment/api"), "{text}");
}

#[test]
fn libraries_from_outside_are_told_and_can_be_imported_in_the_image() {
    let mut world = project();
    world.publish(WheelBuilder::new("alpha", "1.0").file("alpha.py", "").build());
    world.write("flows/etl/flow.py", &format!("import org_lib\n{FLOW}"));
    let put = |path: &str, text: &str| {
        let path = world.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put(
        "elsewhere/org_lib/__init__.py",
        "METAFLOW_PACKAGE_POLICY = 'include'\nfrom org_lib.deep import NAME\n",
    );
    put("elsewhere/org_lib/deep.py", "NAME = 'org'\n");
    put("named/tool/__init__.py", "NAME = 'tool'\n");
    let layout = world.path("out");
    let output = format!("oci:{}", layout.display());
    let named = world.path("named");
    let arguments = ["build", "-c", "flow/etl", "--output", &output, "--library", named.to_str().unwrap()];
    let mut command = world.command(&arguments);
    let ran = bakery::run(command.env("PYTHONPATH", world.path("elsewhere")));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the library `org_lib` goes into the image from outside the project: "),
        "{}",
        ran.stderr
    );

    let bundle = world.path("bundle");
    bakery::unpack(&layout, "etl:latest", &bundle);
    let root = bundle.join("rootfs");
    let config: Value = serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).unwrap();
    let environment = config["process"]["env"].as_array().unwrap();
    let path = environment.iter().find_map(|v| v.as_str().unwrap().strip_prefix("PYTHONPATH=")).unwrap();
    assert_eq!(path, "/app:/app/src:/opt/libraries");
    let inside: Vec<String> = path.split(':').map(|path| format!("{}{path}", root.display())).collect();
    let printed = Command::new("python3")
        .args(["-Bc", "import org_lib, tool, shared; print(org_lib.NAME, tool.NAME)"])
        .env("PYTHONPATH", inside.join(":"))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&printed.stdout),
        "org tool\n",
        "{}",
        String::from_utf8_lossy(&printed.stderr)
    );

    let without = world.succeed(&["build", "-c", "flow/etl", "--output", &output]);
    assert_ne!(without["images"][0]["digest"], ran.report["images"][0]["digest"]);
}

#[test]
fn modules_that_hide_a_locked_distribution_are_told() {
    let mut world = World::plain(&["scikit-things"]);
    let wheel =
        WheelBuilder::new("scikit-things", "1.0").file("skthings/__init__.py", "").file("helpers.py", "");
    world.publish(wheel.build());
    world.write("skthings.py", "");
    world.write("pkg/helpers.py", "");
    let told = |report: &Value| -> Vec<String> {
        let warnings = report["warnings"].as_array().unwrap().iter();
        warnings.map(|warning| format!("{}: {}", warning["file"], warning["message"])).collect()
    };
    let report = world.succeed(&["build"]);
    let message = "\"its name hides `skthings` of the distribution scikit-things: rename it\"";
    assert_eq!(told(&report), [format!("\"skthings.py\": {message}")]);
    assert_eq!(told(&world.succeed(&["plan"])), told(&report), "what the store has is known to a plan too");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let world = project();
    let hidden = world.project().join("src/shared/secret.py");
    fs::write(&hidden, "").unwrap();
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = bare(&world, &["plan", "--files", "-c", "flow/etl"]);
    if bakery::is_root() {
        // Nothing is hidden from root.
        use std::os::unix::process::CommandExt;
        fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        let program = world.path("bakehouse");
        fs::copy(env!("CARGO_BIN_EXE_bakehouse"), &program).unwrap();
        let mut other = Command::new(program);
        other.args(command.get_args()).env_clear().env("HOME", "/nonexistent").uid(65534).gid(65534);
        command = other;
    }
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(10), "{stderr}");
    assert!(stderr.contains("cannot read `src/shared/secret.py`, which belongs to the code"), "{stderr}");
    assert!(stderr.contains(".bakehouseignore"), "{stderr}");
}

const USER: &str = "reader-of-acme";
const PASSWORD: &str = "hunter2-in-no-file";

/// An index that answers only to the user, with one wheel.
fn private_index() -> Server {
    let server = Server::start();
    let wheel = WheelBuilder::new("acme-core", "1.0").file("acme_core.py", "").build();
    let link = format!(
        "<!DOCTYPE html><a href=\"/files/{0}#sha256={1}\">{0}</a>",
        wheel.file_name,
        wheel.digest().hex()
    );
    use base64::Engine as _;
    let expected =
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let known = expected.clone();
    server.route("/simple/acme-core/", move |request| match request.header("authorization") {
        Some(given) if given == known => Response::ok("text/html", link.clone()),
        _ => Response::status(401).header("www-authenticate", "Basic realm=\"acme\""),
    });
    server.route(&format!("/files/{}", wheel.file_name), move |request| {
        match request.header("authorization") {
            Some(given) if given == expected => Response::ranged(request, &wheel.bytes),
            _ => Response::status(401),
        }
    });
    server
}

/// Every file below a folder, archives unpacked, that holds a text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(holding(&path, text));
        } else if let Ok(bytes) = fs::read(&path) {
            let mut unpacked = Vec::new();
            let _ = flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked);
            if [bytes, unpacked].iter().any(|bytes| memchr::memmem::find(bytes, text.as_bytes()).is_some()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Builds with what the project and the environment say of indexes, which must suffice.
fn build(world: &World, variables: &[(&str, &str)]) -> Ran {
    let base = format!("oci:{}", world.base().display());
    let output = format!("oci:{}", world.path("out").display());
    let (store, report) = (world.path("store"), world.path("report.json"));
    let mut command =
        bare(world, &["build", "-vv", "--format", "json", "--base", &base, "--output", &output]);
    command.arg("--cache-dir").arg(store).arg("--metadata-file").arg(report);
    command.env("BAKEHOUSE_LOG", "trace").envs(variables.iter().copied());
    let ran = bakery::run(&mut command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran
}

fn assert_secret_is_nowhere(world: &World, ran: &Ran, but: &[&str]) {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    for secret in [PASSWORD, &encoded] {
        assert!(!ran.stderr.contains(secret) && !ran.report.to_string().contains(secret), "{}", ran.stderr);
        let found = holding(&world.path(""), secret);
        let expected: Vec<String> =
            but.iter().map(|file| world.project().join(file).display().to_string()).collect();
        assert_eq!(found, if secret == PASSWORD { expected } else { Vec::new() });
    }
    let lock = fs::read_dir(world.project()).unwrap().flatten().find(|e| e.file_name() == "pylock.toml");
    let lock = lock.map_or_else(|| world.project().join("flows/etl/pylock.toml"), |entry| entry.path());
    assert!(fs::read_to_string(lock).unwrap().contains("acme-core"), "it was found in the private index");
}

#[test]
fn credentials_of_a_named_index_come_from_variables_and_end_up_nowhere() {
    let (world, server) = (World::new(), private_index());
    world.write(
        "pyproject.toml",
        &format!(
            "[project]\nname = 'p'\ndependencies = ['acme-core']\n[[tool.uv.index]]\nname = 'acme-private.1'\n\
             url = '{}'\ndefault = true\n",
            server.url("/simple/")
        ),
    );
    let variables =
        [("UV_INDEX_ACME_PRIVATE_1_USERNAME", USER), ("UV_INDEX_ACME_PRIVATE_1_PASSWORD", PASSWORD)];
    let ran = build(&world, &variables);
    assert_secret_is_nowhere(&world, &ran, &[]);
    let files: Vec<String> =
        ran.report["warnings"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn variables_in_an_index_of_an_outerbounds_project_are_replaced_and_end_up_nowhere() {
    let (world, server) = (World::new(), private_index());
    let url = server.url("/simple/").to_string().replace("http://", "http://${ACME_USER}:${ACME_TOKEN}@");
    world.write(
        "obproject.toml",
        &format!("project = 'shop'\n[[tool.bakehouse.index]]\nurl = '{url}'\ndefault = true\n"),
    );
    world.write("pyproject.toml", "[project]\nname = 'shop'\ndependencies = ['acme-core']\n");
    world.write("flows/etl/flow.py", FLOW);
    let ran = build(&world, &[("ACME_USER", USER), ("ACME_TOKEN", PASSWORD)]);
    assert_secret_is_nowhere(&world, &ran, &[]);

    let ran = bakery::run(&mut bare(&world, &["plan", "--files"]));
    assert_eq!(ran.code, 10);
    assert!(ran.stderr.contains("obproject.toml:3: the variable `ACME_USER` is not set"), "{}", ran.stderr);
}

#[test]
fn the_index_of_the_environment_may_hold_credentials() {
    let (world, server) = (World::new(), private_index());
    world.write("requirements.txt", "acme-core\n");
    let ran = build(&world, &[("PIP_INDEX_URL", server.url_with(USER, PASSWORD, "/simple/").as_str())]);
    assert_secret_is_nowhere(&world, &ran, &[]);
}

#[test]
fn a_file_that_holds_a_password_stays_out_of_the_image() {
    let (world, server) = (World::new(), private_index());
    let url = server.url_with(USER, PASSWORD, "/simple/");
    world.write("requirements.txt", &format!("--index-url {url}\nacme-core\n"));
    world.write("app.py", "");
    let ran = build(&world, &[]);
    assert_secret_is_nowhere(&world, &ran, &["requirements.txt"]);
    assert!(
        ran.stderr.contains("requirements.txt:1: the URL of this index holds credentials"),
        "{}",
        ran.stderr
    );
}
