//! Which suite the base is made of, where what is required cannot be had for the newest suite's Python: an older one, found
//! by resolving, and kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/debian.rs"]
mod debian;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::collections::BTreeMap;
use std::fs;

use debian::Mirror;
use serde_json::{Value, json};
use wheel::WheelBuilder;

/// A mirror, and an index with distributions that have wheels for some Pythons alone.
fn mirror() -> Mirror {
    let mut mirror = Mirror::new();
    for (name, pythons) in
        [("pure", &[][..]), ("middle", &[9, 11]), ("latest", &[13]), ("oldest", &[9]), ("foreign", &[12])]
    {
        publish(&mut mirror, name, pythons);
    }
    mirror
}

fn publish(mirror: &mut Mirror, name: &str, pythons: &[u8]) {
    if pythons.is_empty() {
        mirror.world.publish(WheelBuilder::new(name, "1.0").build());
    }
    for minor in pythons {
        let tags = format!("cp3{minor}-cp3{minor}-manylinux_2_17_x86_64");
        mirror.world.publish(WheelBuilder::new(name, "1.0").tags(&tags).build());
    }
}

/// A project of flows, each with what it requires.
fn flows(mirror: &Mirror, requirements: &[(&str, &str)]) {
    mirror.world.write("obproject.toml", "project = 'several'\n");
    for (name, packages) in requirements {
        let flow = format!(
            "from metaflow import FlowSpec, pypi_base, step\n\n\n@pypi_base({packages})\nclass Flow(FlowSpec):\n    @step\n    def start(self):\n        self.next(self.end)\n\n    @step\n    def end(self):\n        pass\n"
        );
        mirror.world.write(&format!("flows/{name}/flow.py"), &flow);
    }
}

/// The base of each component.
fn bases(report: &Value) -> BTreeMap<&str, &str> {
    let environments = report["environments"].as_array().unwrap().iter();
    environments
        .flat_map(|environment| {
            let base = environment["base"].as_str().unwrap();
            let components = environment["components"].as_array().unwrap().iter();
            components
                .map(move |component| (component.as_str().unwrap(), base.strip_prefix("deb://").unwrap()))
        })
        .collect()
}

/// What is said of bases.
fn messages(report: &Value) -> Vec<&str> {
    let messages = report["warnings"].as_array().unwrap().iter().map(|one| one["message"].as_str().unwrap());
    messages.filter(|message| message.starts_with("the base is")).collect()
}

#[test]
fn an_older_suite_is_taken_where_the_newest_will_not_do_and_stays() {
    let mut mirror = mirror();
    mirror.world.write("requirements.txt", "middle\n");
    let plan = mirror.succeed(&["plan"]);
    let report = mirror.succeed(&["build"]);
    for report in [&plan, &report] {
        assert_eq!(bases(report), BTreeMap::from([("project", "bookworm")]));
        let [message] = messages(report)[..] else { panic!("{report}") };
        for word in
            ["bookworm with Python 3.11", "Python 3.13 of deb://trixie", "package/project", "requires-python"]
        {
            assert!(message.contains(word), "no `{word}` in: {message}");
        }
    }
    let lock = mirror.lock();
    assert!(lock.contains("bookworm") && !lock.contains("trixie"), "{lock}");

    // What is locked stays, and nothing is tried again, though it would do by now.
    publish(&mut mirror, "middle", &[13]);
    mirror.world.index.clear();
    let again = mirror.succeed(&["build"]);
    assert_eq!((bases(&again), messages(&again)), (bases(&report), Vec::new()));
    assert_eq!(mirror.world.index.requests().len(), 0);
    mirror.succeed(&["build", "--locked"]);
    assert_eq!(mirror.lock(), lock);
    let upgraded = mirror.succeed(&["build", "--upgrade"]);
    assert_eq!((bases(&upgraded)["project"], messages(&upgraded)), ("trixie", Vec::new()));
}

#[test]
fn components_share_one_suite_where_one_is_for_all() {
    let mirror = mirror();
    flows(
        &mirror,
        &[
            ("one", "packages={'middle': '1.0'}"),
            ("two", "packages={'pure': '1.0'}"),
            ("own", "python='3.13', packages={'pure': '1.0'}"),
        ],
    );
    let report = mirror.succeed(&["build"]);
    let expected = BTreeMap::from([("one", "bookworm"), ("two", "bookworm"), ("own", "trixie")]);
    assert_eq!(bases(&report), expected, "who asks for a Python has it");
    let [message] = messages(&report)[..] else { panic!("{report}") };
    assert!(message.contains("flow/one") && !message.contains("flow/two"), "{message}");

    // A component that comes later joins them.
    flows(&mirror, &[("three", "packages={'oldest': '1.0'}"), ("four", "packages={'pure': '1.0'}")]);
    let report = mirror.succeed(&["build"]);
    let bases = bases(&report);
    assert_eq!((bases["one"], bases["two"], bases["own"]), ("bookworm", "bookworm", "trixie"));
    assert_eq!((bases["three"], bases["four"]), ("bullseye", "bullseye"));
}

#[test]
fn where_no_suite_is_for_all_each_component_has_its_own_and_keeps_it() {
    let mirror = mirror();
    flows(
        &mirror,
        &[
            ("one", "packages={'middle': '1.0'}"),
            ("two", "packages={'latest': '1.0'}"),
            ("three", "packages={'pure': '1.0'}"),
        ],
    );
    let expected = BTreeMap::from([("one", "bookworm"), ("two", "trixie"), ("three", "trixie")]);
    let first = mirror.succeed(&["build"]);
    assert_eq!((bases(&first), messages(&first).len()), (expected.clone(), 1));
    mirror.world.index.clear();
    let again = mirror.succeed(&["build"]);
    assert_eq!((bases(&again), messages(&again).len()), (expected, 0));
    assert_eq!(mirror.world.index.requests().len(), 0);
}

#[test]
fn where_none_will_do_the_error_is_that_of_the_newest_and_says_which_python_would() {
    let mirror = mirror();
    mirror.world.write("requirements.txt", "foreign\n");
    let ran = mirror.run(&["build"]);
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    for word in ["CPython 3.13", "ask for Python 3.12, for which foreign 1.0 has one"] {
        assert!(ran.stderr.contains(word), "no `{word}` in: {}", ran.stderr);
    }
    assert_eq!(ran.report["errors"].as_array().unwrap().len(), 1);
    // Neither what contradicts itself nor a name that nobody knows has anything to do with Python.
    mirror.world.write("requirements.txt", "pure==1.0\npure==2.0\n");
    assert_eq!(mirror.run(&["build"]).code, 11);
    mirror.world.write("requirements.txt", "nowhere\n");
    assert_eq!(mirror.run(&["build"]).code, 11);
}

#[test]
fn a_project_that_is_locked_keeps_its_python_and_the_error_says_which_would_do() {
    let mirror = mirror();
    mirror.world.write("requirements.txt", "pure\n");
    mirror.succeed(&["build"]);
    mirror.world.write("requirements.txt", "pure\nmiddle\n");
    let ran = mirror.run(&["build"]);
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    assert!(ran.stderr.contains("a Python from 3.9 to 3.11, for which middle 1.0 has one"), "{}", ran.stderr);
    let report = mirror.succeed(&["build", "--python", "3.11"]);
    assert_eq!(bases(&report)["project"], "bookworm");
    fs::remove_file(mirror.world.project().join("bakehouse-base.toml")).unwrap();
    let report = mirror.succeed(&["build"]);
    assert_eq!(bases(&report)["project"], "bookworm");
    // Without the choice, there is no other.
    mirror.world.write("pyproject.toml", "[tool.bakehouse]\ndebian-suite = \"trixie\"\n");
    assert_eq!(mirror.run(&["build"]).code, 11);
    assert_eq!(mirror.run(&["build", "--base", "deb://trixie"]).code, 11);
    assert_eq!(mirror.run(&["build", "--locked"]).report["images"], json!([]));
}
