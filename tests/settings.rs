//! How images run: who says it, who goes first, and what a user who is not root can write to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bakery::{LIBC, PYTHON, World, run, write_layout};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};

/// An Outerbounds project with a flow and a deployment.
fn world() -> World {
    let world = World::new();
    world.write("obproject.toml", "project = \"shop\"\n");
    world.write(
        "flows/etl/flow.py",
        "from metaflow import FlowSpec, step\nfrom obproject import ProjectFlow\n\n\nclass Etl(ProjectFlow):\n    \
         @step\n    def start(self):\n        pass\n",
    );
    world.write(
        "deployments/api/config.yml",
        "name: api\nport: 8000\nenvironment:\n  A: config\n  B: config\ncommands:\n  - python server.py\n",
    );
    world
}

fn blob(layout: &Path, digest: &Value) -> Vec<u8> {
    let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    fs::read(layout.join("blobs/sha256").join(hex)).unwrap()
}

fn document(layout: &Path, digest: &Value) -> Value {
    serde_json::from_slice(&blob(layout, digest)).unwrap()
}

/// Builds into a layout; gives that, and the report.
fn build(world: &World, arguments: &[&str]) -> (std::path::PathBuf, Value) {
    let layout = world.path("out");
    let output = format!("oci:{}", layout.display());
    let report = world.succeed(&[&["build", "--output", &output], arguments].concat());
    (layout, report)
}

/// The configs of all images by component.
fn configs(world: &World, arguments: &[&str]) -> BTreeMap<String, Value> {
    let (layout, report) = build(world, arguments);
    let image = |image: &Value| {
        let manifest = document(&layout, &image["digest"]);
        (image["component"].as_str().unwrap().to_owned(), document(&layout, &manifest["config"]["digest"]))
    };
    report["images"].as_array().unwrap().iter().map(image).collect()
}

fn variables(config: &Value) -> BTreeMap<String, String> {
    let all = config["config"]["Env"].as_array().unwrap().iter();
    let pair = |entry: &Value| entry.as_str().unwrap().split_once('=').map(|(k, v)| (k.into(), v.into()));
    all.filter_map(pair).collect()
}

#[test]
fn what_is_said_nearer_to_the_component_goes_first() {
    let world = world();
    world.write(
        "obproject.toml",
        "project = \"shop\"\n[bakehouse]\nuser = 1000\nstop-signal = \"SIGINT\"\nlabels = { team = \"bread\" }\n\
         env = { A = \"wide\", B = \"wide\", C = \"wide\", D = \"wide\" }\nexpose = [9000]\ncmd = \"sleep 1\"\n\
         [bakehouse.components.api]\nenv = { A = \"component\" }\nworkdir = \"/srv\"\n",
    );
    world.write(
        "pyproject.toml",
        "[project]\nname = \"shop\"\ndependencies = []\n[tool.bakehouse]\nuser = \"root\"\n\
         env = { D = \"pyproject\", E = \"pyproject\" }\n\
         [tool.bakehouse.components.\"flow/etl\"]\nentrypoint = [\"tini\", \"--\"]\n",
    );
    world.write("deployments/api/pyproject.toml", "[tool.bakehouse]\nenv = { A = \"own\", B = \"own\" }\n");
    let arguments = ["--env", "E=flag", "--expose", "53/udp", "--label", "team=flag"];
    let configs = configs(&world, &arguments);

    let api = &configs["api"];
    let env = variables(api);
    let of = |name: &str| env[name].as_str();
    assert_eq!(["A", "B", "C", "D", "E"].map(of), ["component", "own", "wide", "wide", "flag"]);
    let api = &api["config"];
    assert_eq!((&api["User"], &api["WorkingDir"]), (&json!("1000"), &json!("/srv")));
    assert_eq!((&api["Cmd"], &api["Entrypoint"]), (&json!(["python", "server.py"]), &Value::Null));
    assert_eq!(api["StopSignal"], "SIGINT");
    assert_eq!(api["ExposedPorts"], json!({"8000/tcp": {}, "9000/tcp": {}, "53/udp": {}}));
    assert_eq!(api["Labels"]["team"], "flag");

    let etl = &configs["etl"]["config"];
    assert_eq!((&etl["Entrypoint"], &etl["Cmd"]), (&json!(["tini", "--"]), &json!(["sleep", "1"])));
    assert_eq!(etl["WorkingDir"], "/app/flows/etl");
}

/// A file of the project and the table in it, from what is nearest to a component to what is farthest; the flags go before.
const PLACES: [(&str, &str); 5] = [
    ("obproject.toml", "bakehouse.components.etl"),
    ("pyproject.toml", "tool.bakehouse.components.\"flow/etl\""),
    ("flows/etl/pyproject.toml", "tool.bakehouse"),
    ("obproject.toml", "bakehouse"),
    ("pyproject.toml", "tool.bakehouse"),
];

/// Says all that can be said, in some of the places, each with its number.
fn say(world: &World, places: &[usize]) {
    let mut files = BTreeMap::from([
        ("obproject.toml", "project = \"shop\"\n".to_owned()),
        ("pyproject.toml", "[project]\nname = \"shop\"\ndependencies = []\n".to_owned()),
        ("flows/etl/pyproject.toml", String::new()),
    ]);
    // A table goes before those inside it.
    let mut places = places.to_vec();
    places.sort_by_key(|&place| PLACES[place].1.len());
    for place in places {
        let (file, table) = PLACES[place];
        let text = format!(
            "[{table}]\nuser = 5{place}\nworkdir = \"/w{place}\"\nenv = {{ V = \"{place}\", V{place} = \"x\" }}\n\
             labels = {{ l = \"{place}\", l{place} = \"x\" }}\nentrypoint = [\"e{place}\"]\ncmd = [\"c{place}\"]\n\
             expose = [7{place}]\nstop-signal = \"1{place}\"\n"
        );
        files.get_mut(file).unwrap().push_str(&text);
    }
    files.iter().for_each(|(file, text)| world.write(file, text));
}

/// Everything of a config that can be said, as it is where `place` goes first.
fn check(config: &Value, place: usize, all: &[usize]) {
    let env = variables(config);
    let config = &config["config"];
    assert_eq!(config["User"], format!("5{place}"));
    assert_eq!(config["WorkingDir"], format!("/w{place}"));
    assert_eq!(config["Entrypoint"], json!([format!("e{place}")]));
    assert_eq!(config["Cmd"], json!([format!("c{place}")]));
    assert_eq!(config["StopSignal"], format!("1{place}"));
    assert_eq!(config["Labels"]["l"], format!("{place}"));
    assert_eq!(env["V"], format!("{place}"));
    // Variables, labels and ports add up.
    for one in all {
        assert_eq!(
            (&config["Labels"][format!("l{one}")], env[&format!("V{one}")].as_str()),
            (&json!("x"), "x")
        );
        assert_eq!(config["ExposedPorts"][format!("7{one}/tcp")], json!({}));
    }
}

#[test]
fn every_setting_can_be_said_in_every_place_and_the_nearest_counts() {
    let world = world();
    let flags = [
        "-c",
        "etl",
        "--user",
        "59",
        "--workdir",
        "/w9",
        "--env",
        "V=9",
        "--env",
        "V9=x",
        "--label",
        "l=9",
        "--label",
        "l9=x",
        "--entrypoint",
        "[\"e9\"]",
        "--cmd",
        "[\"c9\"]",
        "--expose",
        "79",
        "--stop-signal",
        "19",
    ];
    say(&world, &[0, 1, 2, 3, 4]);
    check(&configs(&world, &flags)["etl"], 9, &[0, 1, 2, 3, 4, 9]);
    for place in 0..PLACES.len() {
        say(&world, &[place]);
        check(&configs(&world, &["-c", "etl"])["etl"], place, &[place]);
        let rest: Vec<usize> = (place..PLACES.len()).collect();
        say(&world, &rest);
        check(&configs(&world, &["-c", "etl"])["etl"], place, &rest);
    }
    // A deployment's config.yml goes before what is said for all, and after what is said for it.
    say(&world, &[3]);
    world.write(
        "deployments/api/config.yml",
        "name: api\nport: 7\nenvironment:\n  V: config\ncommands:\n  - serve\n",
    );
    let api = &configs(&world, &["-c", "api"])["api"];
    assert_eq!((variables(api)["V"].as_str(), &api["config"]["Cmd"]), ("config", &json!(["serve"])));
    assert_eq!(api["config"]["ExposedPorts"], json!({"7/tcp": {}, "73/tcp": {}}));
    world.write(
        "deployments/api/pyproject.toml",
        "[tool.bakehouse]\nenv = { V = \"own\" }\ncmd = [\"own\"]\n",
    );
    let api = &configs(&world, &["-c", "api"])["api"];
    assert_eq!((variables(api)["V"].as_str(), &api["config"]["Cmd"]), ("own", &json!(["own"])));
}

#[test]
fn flags_go_before_everything_and_nothing_said_changes_nothing() {
    let world = world();
    let plain = configs(&world, &[]);
    assert_eq!(plain["etl"]["config"]["Cmd"], json!(["python", "flow.py"]));
    assert_eq!(plain["etl"]["config"]["User"], Value::Null);
    let flags = configs(
        &world,
        &[
            "--user",
            "7:8",
            "--workdir",
            "/work",
            "--entrypoint",
            "",
            "--cmd",
            "[\"a b\"]",
            "--stop-signal",
            "9",
        ],
    );
    for config in flags.values() {
        let config = &config["config"];
        assert_eq!((&config["User"], &config["WorkingDir"]), (&json!("7:8"), &json!("/work")));
        assert_eq!((&config["Cmd"], &config["StopSignal"]), (&json!(["a b"]), &json!("9")));
    }
}

/// The directories of an image's new layers that are not root's alone, as `MODE UID:GID`.
fn owned(layout: &Path, report: &Value) -> BTreeMap<String, String> {
    let image = &report["images"][0];
    let mut found = BTreeMap::new();
    for layer in image["platforms"][0]["layers"].as_array().unwrap() {
        if layer["role"] == "base" {
            continue;
        }
        let bytes = blob(layout, &layer["digest"]);
        let mut tar = tar::Archive::new(MultiGzDecoder::new(&bytes[..]));
        for entry in tar.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            let (mode, uid, gid) = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
            if header.entry_type().is_dir() && (mode, uid, gid) != (0o755, 0, 0) {
                let path = entry.path().unwrap().display().to_string();
                found.insert(path.trim_end_matches('/').to_owned(), format!("{mode:o} {uid}:{gid}"));
            }
        }
    }
    found
}

#[test]
fn a_user_who_is_not_root_can_write_where_a_task_must() {
    let world = world();
    let expect = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect::<BTreeMap<String, String>>()
    };
    let (layout, report) = build(&world, &["-c", "etl"]);
    assert_eq!(owned(&layout, &report), expect(&[]), "root needs nothing");

    let (layout, report) = build(&world, &["-c", "etl", "--user", "1000"]);
    let own = "775 1000:0";
    assert_eq!(
        owned(&layout, &report),
        expect(&[("tmp", "1777 0:0"), ("home/bakehouse", own), ("app/flows/etl", own)])
    );
    let env = variables(&configs(&world, &["-c", "etl", "--user", "1000"])["etl"]);
    assert_eq!((env["HOME"].as_str(), env["USER"].as_str()), ("/home/bakehouse", "bakehouse"));

    // Where somebody says otherwise.
    let arguments = ["-c", "etl", "--user", "2000000001:5", "--env", "HOME=/data", "--workdir", "/"];
    let (layout, report) = build(&world, &arguments);
    let image = document(&layout, &report["images"][0]["digest"]);
    assert_eq!(image["schemaVersion"], 2);
    let pax = owned(&layout, &report);
    assert!(pax.contains_key("data") && !pax.contains_key("home/bakehouse"), "{pax:?}");
}

/// A base with a Python and these files.
fn base_with(world: &World, files: &[(&str, &str, u32)]) -> String {
    let base = world.path("base-with-files");
    write_layout(&base, &[&[PYTHON, LIBC], files].concat());
    format!("oci:{}", base.display())
}

#[test]
fn the_base_knows_its_users() {
    let world = world();
    let passwd = "root:x:0:0:root:/root:/bin/sh\nbaker:x:1500:1501:Baker:/home/baker:/bin/sh\n\
                  ghost:x:1600:1600::/nonexistent:/bin/false\nodd line\n";
    let base = base_with(&world, &[("etc/passwd", passwd, 0o644), ("home/baker/.profile", "\x7fELF", 0o755)]);
    let (layout, report) = build(&world, &["-c", "etl", "--base", &base, "--user", "baker"]);
    let found = owned(&layout, &report);
    assert_eq!(found["app/flows/etl"], "775 1500:1501");
    assert!(!found.contains_key("home/bakehouse"), "the base has a home for this one: {found:?}");
    let (layout, report) = build(&world, &["-c", "etl", "--base", &base, "--user", "ghost"]);
    assert_eq!(owned(&layout, &report)["home/bakehouse"], "775 1600:1600");
    world.fail(
        &["build", "--base", &base, "--user", "miller"],
        10,
        &["no user `miller`", "root, baker, ghost"],
    );
}

#[test]
fn a_group_may_be_named_as_the_base_names_it() {
    let world = world();
    let files = [
        ("etc/passwd", "baker:x:1500:1501:Baker:/:/bin/sh\n", 0o644),
        ("etc/group", "root:x:0:\nstaff:x:50:baker\nodd\n", 0o644),
    ];
    let base = base_with(&world, &files);
    for (user, owner) in [
        ("baker", "1500:1501"),
        ("baker:staff", "1500:50"),
        ("1500:staff", "1500:50"),
        ("2000:root", "2000:0"),
        ("baker:77", "1500:77"),
    ] {
        world.write("obproject.toml", &format!("project = \"shop\"\n[bakehouse]\nuser = \"{user}\"\n"));
        let (layout, report) = build(&world, &["-c", "etl", "--base", &base]);
        assert_eq!(owned(&layout, &report)["app/flows/etl"], format!("775 {owner}"), "{user}");
    }
    world.fail(
        &["build", "--base", &base, "--user", "baker:wheel"],
        10,
        &["no group `wheel`", "root, staff"],
    );
}

#[test]
fn a_directory_behind_a_link_of_the_base_is_made_where_the_link_leads() {
    use tar::EntryType::{Directory, Symlink};
    let world = world();
    let mut layer = tar::Builder::new(Vec::new());
    for (kind, path, target) in [
        (Directory, "data/volumes", ""),
        (Directory, "var/tmp", ""),
        (Directory, "var/home", ""),
        (Symlink, "srv", "data/volumes"),
        (Symlink, "tmp", "/var/tmp"),
        (Symlink, "home", "../var/home"),
        (Symlink, "loop", "loop"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(0);
        if target.is_empty() {
            layer.append_data(&mut header, path, &b""[..]).unwrap();
        } else {
            layer.append_link(&mut header, path, target).unwrap();
        }
    }
    let linked = world.path("linked");
    bakery::add_layers(&world.base(), &linked, &[layer.into_inner().unwrap()]);
    let base = format!("oci:{}", linked.display());
    let arguments = ["-c", "etl", "--base", &base, "--user", "1000", "--workdir", "/srv/work/day"];
    let (layout, report) = build(&world, &arguments);
    let own = "775 1000:0";
    let expected = [("data/volumes/work/day", own), ("var/home/bakehouse", own), ("var/tmp", "1777 0:0")];
    let expected = expected.map(|(path, owner)| (path.to_owned(), owner.to_owned()));
    assert_eq!(owned(&layout, &report), BTreeMap::from(expected));
    assert_eq!(configs(&world, &arguments)["etl"]["config"]["WorkingDir"], "/srv/work/day");
    bakery::unpack(&layout, "etl:latest", &world.path("bundle"));
    let root = world.path("bundle/rootfs");
    assert!(fs::symlink_metadata(root.join("srv")).unwrap().is_symlink());
    assert!(root.join("data/volumes/work/day").is_dir());
}

#[test]
fn a_link_that_gives_way_to_a_directory_of_ours_is_told() {
    let world = world();
    let mut layer = tar::Builder::new(Vec::new());
    for (kind, path, target) in
        [(tar::EntryType::Directory, "usr/opt", ""), (tar::EntryType::Symlink, "opt", "usr/opt")]
    {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(0);
        if target.is_empty() {
            layer.append_data(&mut header, path, &b""[..]).unwrap();
        } else {
            layer.append_link(&mut header, path, target).unwrap();
        }
    }
    bakery::add_layers(&world.base(), &world.path("linked"), &[layer.into_inner().unwrap()]);
    let base = format!("oci:{}", world.path("linked").display());
    let report = world.succeed(&["build", "--base", &base]);
    assert!(report["warnings"].to_string().contains("/opt leads to /usr/opt in the base image"), "{report}");
}

#[test]
fn the_time_of_images_can_be_set() {
    let world = world();
    let layout = world.path("out");
    let output = format!("oci:{}", layout.display());
    let mut command = world.command(&["build", "-c", "etl", "--output", &output]);
    let report = run(command.env("SOURCE_DATE_EPOCH", "1735689599")).report;
    let manifest = document(&layout, &report["images"][0]["digest"]);
    let config = document(&layout, &manifest["config"]["digest"]);
    assert_eq!(config["created"], "2024-12-31T23:59:59Z");
    assert_eq!(configs(&world, &["-c", "etl"])["etl"]["created"], "1970-01-01T00:00:00Z");
    let mut command = world.command(&["build"]);
    assert_eq!(run(command.env("SOURCE_DATE_EPOCH", "yesterday")).code, 2);
}

#[test]
fn what_cannot_be_is_an_error_with_its_place() {
    let world = world();
    for (flag, value) in [
        ("--user", "a b"),
        ("--workdir", "here"),
        ("--env", "NAME"),
        ("--expose", "http"),
        ("--stop-signal", "INT"),
        ("--cmd", "[1]"),
    ] {
        world.fail(&["build", flag, value], 2, &[flag]);
    }
    for (setting, word) in [
        ("user = true", "bakehouse.user"),
        ("workdir = \"x\"", "absolute directory"),
        ("expose = 8000", "array of ports"),
        ("cmd = [1]", "array of strings"),
        ("env = { A = 1 }", "must be a string"),
        ("stop-signal = \"x\"", "a signal such as SIGINT"),
    ] {
        world.write("obproject.toml", &format!("project = \"shop\"\n[bakehouse]\n{setting}\n"));
        world.fail(&["build"], 10, &["obproject.toml:3", word]);
    }
    world.write(
        "obproject.toml",
        "project = \"shop\"\n[bakehouse]\nuzer = \"x\"\n[bakehouse.components.apo]\nuser = \"1\"\n",
    );
    let report = world.succeed(&["plan"]);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("`bakehouse.uzer` means nothing here"), "{warnings}");
    assert!(warnings.contains("no component is called `apo`"), "{warnings}");
}
