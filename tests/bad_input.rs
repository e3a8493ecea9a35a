//! Bad input: what happened, where, what to do, and the documented exit code. Nothing half-written stays behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;

use bakery::{LIBC, PYTHON, World, run, write_layout};
use wheel::{BuiltWheel, WheelBuilder};

/// A plain project that could be built.
fn sound() -> World {
    let mut world = World::plain(&["alpha"]);
    world.publish(WheelBuilder::new("alpha", "1.0").file("alpha.py", "A = 1\n").build());
    world
}

/// An Outerbounds project that could be built.
fn outerbounds() -> World {
    let world = sound();
    fs::remove_file(world.project().join("requirements.txt")).unwrap();
    world.write("obproject.toml", "project = \"shop\"\n");
    world.write("flows/etl/flow.py", FLOW);
    world.succeed(&["build"]);
    world
}

const FLOW: &str = "from metaflow import step, pypi\nfrom obproject import ProjectFlow\n\n\nclass Etl(ProjectFlow):\n    \
                    @pypi(packages={\"alpha\": \"\"})\n    @step\n    def start(self):\n        pass\n";

#[test]
fn no_project() {
    let world = World::new();
    world.fail(&["build"], 10, &["obproject.toml", "pyproject.toml", "requirements.txt"]);
}

#[test]
fn a_project_that_is_not_there() {
    let world = World::new();
    fs::remove_dir(world.project()).unwrap();
    world.fail(&["build"], 10, &["project"]);
}

#[test]
fn broken_toml_is_told_with_its_line() {
    let world = sound();
    world.write("pyproject.toml", "[project]\nname = \"x\"\ndependencies = [\n  \"alpha\"\n");
    world.fail(&["build"], 10, &["pyproject.toml:"]);
    world.write("pyproject.toml", "[project]\nname = \"x\"\nname = \"y\"\n");
    world.fail(&["build"], 10, &["pyproject.toml:3"]);
}

#[test]
fn broken_yaml_is_told_with_its_line() {
    let world = outerbounds();
    world.write("deployments/api/config.yml", "name: api\ncommands:\n  - [unclosed\nport: 1\n");
    world.fail(&["build"], 10, &["deployments/api/config.yml:"]);
}

#[test]
fn broken_python_is_told_with_its_line() {
    let world = outerbounds();
    world.write(
        "flows/etl/flow.py",
        "from obproject import ProjectFlow\n\nclass Etl(ProjectFlow:\n    pass\n",
    );
    world.fail(&["build"], 10, &["flows/etl/flow.py:3"]);
}

#[test]
fn a_broken_requirement_is_told_with_its_line() {
    let world = sound();
    world.write("requirements.txt", "# comment\nalpha\nbeta ==== 1\n");
    world.fail(&["build"], 10, &["requirements.txt:3"]);
}

#[test]
fn conda_is_refused_and_never_ignored() {
    let world = outerbounds();
    world.write("flows/etl/flow.py", &FLOW.replace("pypi", "conda"));
    let conda = |goal: &str| world.fail(&[goal], 10, &["flows/etl/flow.py:6", "step `start`", "conda"]);
    conda("build");
    conda("lock");
    let planned = &conda("plan").report["environments"][0];
    assert_eq!((&planned["kind"], &planned["conda"][0]), (&"conda".into(), &"alpha".into()));
    // What else is there goes on.
    world.write("deployments/api/config.yml", "dependencies:\n  pypi:\n    alpha: ''\n");
    assert_eq!(conda("build").report["images"][0]["component"], "api");
    world.succeed(&["build", "-c", "api"]);
    world.succeed(&["lock", "-c", "deployment/api"]);
}

#[test]
fn an_unknown_package_is_told_with_who_wants_it() {
    let world = sound();
    world.write("requirements.txt", "alpha\nno-such-package\n");
    world.fail(&["build"], 11, &["no-such-package", "requirements.txt:2"]);
    assert!(!world.project().join("pylock.toml").exists());
}

#[test]
fn a_conflict_is_explained_with_its_requirements_and_their_places() {
    let mut world = sound();
    world.publish(WheelBuilder::new("beta", "1.0").requires("alpha>=2").build());
    world.write("requirements.txt", "alpha<2\nbeta\n");
    world.fail(&["build"], 11, &["alpha", "beta", "requirements.txt:1", "requirements.txt:2", ">=2"]);
}

#[test]
fn a_wheel_whose_hash_differs_is_refused() {
    let mut world = sound();
    world.succeed(&["lock"]);
    let other = WheelBuilder::new("alpha", "1.0").file("alpha.py", "EVIL = 1\n").build();
    world.index.file("/files/alpha-1.0-py3-none-any.whl", other.bytes);
    world.fail(&["build"], 30, &["alpha-1.0-py3-none-any.whl"]);
    // What the index says of the hash is believed no more once it is locked.
    let other = WheelBuilder::new("alpha", "1.0").file("alpha.py", "EVIL = 1\n").build();
    world.publish(other);
    world.fail(&["build"], 30, &["alpha-1.0-py3-none-any.whl"]);
}

#[test]
fn a_wheel_that_says_something_else_than_the_index_did_is_refused() {
    let head = "Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\n";
    for (wheel, stated, words) in [
        ("Requires-Dist: beta", "", ["Requires-Dist", "nothing", "`beta`"]),
        ("Requires-Dist: beta<2", "Requires-Dist: beta", ["Requires-Dist", "`beta`", "`beta<2`"]),
        ("", "Requires-Dist: beta ; extra == 'x'", ["Requires-Dist", "`beta ; extra == 'x'`", "nothing"]),
        ("Requires-Python: >=3.8", "Requires-Python: >=3.9", ["Requires-Python", "`>=3.9`", "`>=3.8`"]),
        ("Provides-Extra: x", "", ["Provides-Extra", "nothing", "`x`"]),
    ] {
        let mut world = World::plain(&["alpha"]);
        world.publish(WheelBuilder::new("beta", "1.0").build());
        let builder = WheelBuilder::new("alpha", "1.0");
        let alpha = if wheel.is_empty() { builder } else { builder.metadata(wheel) }.build();
        let (name, sha256) = (alpha.file_name.clone(), alpha.digest().hex());
        world.publish(alpha);
        let link =
            format!("<a href=\"/files/{name}#sha256={sha256}\" data-core-metadata=\"true\">{name}</a>");
        let page = format!("<!DOCTYPE html><html><body>{link}</body></html>");
        world.index.page("/simple/alpha/", "text/html", page);
        world.index.file(&format!("/files/{name}.metadata"), format!("{head}{stated}\n").into_bytes());
        // Nobody reads the wheel to lock it.
        world.succeed(&["lock"]);
        let words = [&[name.as_str()], &words[..]].concat();
        world.fail(&["build"], 30, &words);
        // The same where the wheel is there already.
        world.fail(&["build"], 30, &words);
        // What says the same in other words is no other thing.
        let same = format!("{head}{wheel}\nSummary: another\n");
        world.index.file(&format!("/files/{name}.metadata"), same.into_bytes());
        fs::remove_dir_all(world.path("store")).unwrap();
        world.succeed(&["build", "--upgrade"]);
    }
}

#[test]
fn no_wheel_for_the_target_names_the_sdist() {
    let world = sound();
    let page = "<a href=\"/files/alpha-2.0.tar.gz#sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\">alpha-2.0.tar.gz</a>";
    world.index.page(
        "/simple/alpha/",
        "text/html",
        format!("<!DOCTYPE html><html><body>{page}</body></html>"),
    );
    world.fail(&["build"], 11, &["alpha-2.0.tar.gz"]);
}

#[test]
fn a_wheel_for_another_platform_does_not_fit() {
    let mut world = World::plain(&["native"]);
    world.publish(WheelBuilder::new("native", "1.0").tags("cp311-cp311-win_amd64").build());
    world.fail(&["build"], 11, &["native", "wheel"]);
}

#[test]
fn a_registry_that_refuses_or_is_not_there() {
    let world = sound();
    let registry = http::Server::start();
    registry.route("/v2/", |_| http::Response::status(403));
    let address = registry.url("/").authority().to_owned();
    world.fail(&["build", "--push", &format!("{address}/team")], 21, &["project"]);
    world.fail(&["build", "--push", "127.0.0.1:1/team"], 21, &["127.0.0.1:1"]);
    world.fail(&["build", "--push", "UPPER/Case"], 2, &["reference"]);
}

#[test]
fn a_base_without_python_tells_so() {
    let world = sound();
    let path = world.path("bare");
    write_layout(&path, &[LIBC]);
    world.fail(&["build", "--base", &format!("oci:{}", path.display())], 10, &["Python", "hint"]);
}

#[test]
fn a_python_that_the_base_lacks_tells_the_choices() {
    let world = sound();
    world.fail(&["build", "--python", "3.13"], 10, &["3.13", "--python 3.11"]);
}

#[test]
fn a_base_that_is_not_there() {
    let world = sound();
    world.fail(&["build", "--base", "oci:/no/such/layout"], 10, &["/no/such/layout"]);
    world.fail(&["build", "--base", "deb://Book/worm"], 2, &["Debian suite"]);
}

#[test]
fn a_base_whose_layer_is_not_what_its_digest_says() {
    let world = sound();
    let path = world.path("forged");
    write_layout(&path, &[PYTHON, LIBC]);
    for entry in fs::read_dir(path.join("blobs/sha256")).unwrap() {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        if bytes.starts_with(b"usr/") {
            let forged = String::from_utf8_lossy(&bytes).replace("3.11.2", "3.11.9");
            fs::write(entry.path(), forged.as_bytes()).unwrap();
        }
    }
    world.fail(&["build", "--base", &format!("oci:{}", path.display())], 30, &["sha256:"]);
}

#[test]
fn a_code_file_or_wheel_entry_that_would_act_as_a_whiteout() {
    let mut world = sound();
    world.write(".wh.app.py", "");
    world.fail(&["build"], 10, &[".wh.app.py"]);
    fs::remove_file(world.project().join(".wh.app.py")).unwrap();
    world.publish(WheelBuilder::new("evil", "1.0").file("evil/.wh.python", "").build());
    world.write("requirements.txt", "evil\n");
    world.fail(&["build"], 30, &["evil-1.0-py3-none-any.whl", ".wh.python"]);
}

#[test]
fn an_archive_that_is_no_wheel() {
    let mut world = sound();
    world.publish(BuiltWheel {
        file_name: "junk-1.0-py3-none-any.whl".into(),
        bytes: b"not a zip archive".to_vec(),
    });
    world.write("requirements.txt", "junk\n");
    let ran = world.run(&["build"]);
    assert!([11, 30].contains(&ran.code), "{} {}", ran.code, ran.stderr);
    assert!(ran.stderr.contains("junk"), "{}", ran.stderr);
}

#[test]
fn names_that_collide_are_both_named() {
    let world = outerbounds();
    world.write("flows/ETL/flow.py", FLOW);
    world.fail(&["build"], 10, &["ETL", "etl"]);
    fs::remove_dir_all(world.project().join("flows/ETL")).unwrap();
    world.write("deployments/etl/config.yml", "name: etl\ncommands:\n  - python x.py\n");
    world.fail(&["build"], 10, &["flow", "deployment", "etl"]);
    world.succeed(&["build", "-c", "flow/etl"]);
}

#[test]
fn an_unknown_component_tells_the_known_ones() {
    outerbounds().fail(&["build", "-c", "flow/nope"], 2, &["flow/nope", "flow/etl"]);
}

#[test]
fn a_failure_of_one_component_does_not_stop_the_others() {
    let world = outerbounds();
    world.write("flows/other/flow.py", &FLOW.replace("alpha", "no-such-package").replace("Etl", "Other"));
    let ran = world.fail(&["build"], 11, &["no-such-package", "flow/other"]);
    assert_eq!(ran.report["images"][0]["component"], "etl");
    assert_eq!(ran.report["errors"][0]["exitCode"], 11);
}

#[test]
fn the_report_is_written_even_if_something_failed() {
    let world = sound();
    world.write("requirements.txt", "no-such-package\n");
    let file = world.path("report.json");
    world.fail(&["build", "--metadata-file", file.to_str().unwrap()], 11, &[]);
    let report: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert!(report["errors"][0]["message"].as_str().unwrap().contains("no-such-package"));
}

#[test]
fn wrong_usage_is_told() {
    let world = sound();
    for wrong in [
        &["bake"][..],
        &["build", "--compression", "bzip2"],
        &["build", "--output", "out"],
        &["build", "--platform", "windows/amd64"],
        &["build", "-t", "a/b"],
        &["build", "--label", "x"],
    ] {
        let ran = world.run(wrong);
        assert_eq!(ran.code, 2, "{wrong:?} {}", ran.stderr);
    }
}

#[test]
fn a_directory_that_is_no_layout_is_not_written_into() {
    let world = sound();
    let path = world.path("home-of-somebody");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("letter.txt"), "dear").unwrap();
    let ran = world.run(&["build", "--output", &format!("oci:{}", path.display())]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
}

#[test]
fn passwords_of_an_index_are_never_shown() {
    let world = sound();
    let mut command = world.command(&["build", "-vv"]);
    let url = world.index.url_with("user", "hunter2", "/simple/");
    command.env("PIP_EXTRA_INDEX_URL", url.as_str());
    let ran = run(&mut command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    assert!(!ran.report.to_string().contains("hunter2"));
    assert!(!fs::read_to_string(world.project().join("pylock.toml")).unwrap().contains("hunter2"));
}

#[test]
fn offline_needs_everything_in_the_store() {
    let world = sound();
    world.fail(&["build", "--offline"], 20, &["--offline"]);
    let first = world.succeed(&["build"]);
    let again = world.succeed(&["build", "--offline"]);
    assert_eq!(again["images"][0]["digest"], first["images"][0]["digest"]);
}
