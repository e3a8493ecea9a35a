//! What comes out by the rules of versions, wheels, extras and markers: the questions of `testdata/rules`, which released
//! uv answers the same way (`scripts/compare-uv`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use bakehouse::model::{ExitCode, Origin, Requirement, Target};
use bakehouse::resolve::{self, Options, Request};
use toml_edit::{DocumentMut, Item, Table, TableLike};

#[path = "support/memory_index.rs"]
mod memory_index;
use memory_index::{MemoryIndex, Release};

fn strings(item: &Item) -> Vec<String> {
    item.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

fn release(item: &Item) -> Release {
    let Some(table) = item.as_table_like() else {
        return Release { requires: strings(item), ..Release::default() };
    };
    let flag = |key: &str, default: bool| table.get(key).map_or(default, |item| item.as_bool().unwrap());
    let mut release = Release {
        requires: table.get("requires").map(strings).unwrap_or_default(),
        requires_python: table.get("requires_python").map(|item| item.as_str().unwrap().to_owned()),
        sdist: flag("sdist", true),
        yanked: flag("yanked", false).then(String::new),
        ..Release::default()
    };
    if let Some(tags) = table.get("wheel_tags") {
        release.wheel_tags = strings(tags);
    }
    for (extra, requires) in
        table.get("extras").and_then(Item::as_table_like).into_iter().flat_map(TableLike::iter)
    {
        release.extras.insert(extra.to_owned(), strings(requires));
    }
    release
}

/// What comes out for a case: the pins, or the error's exit code.
fn answer(case: &Table) -> Result<Vec<String>, ExitCode> {
    let text = |key: &str| case.get(key).map(|item| item.as_str().unwrap());
    let mut index = MemoryIndex::default();
    for (package, item) in case["packages"].as_table_like().unwrap().iter() {
        let (name, version) = package.split_once(' ').unwrap();
        index.add(name, version, release(item));
    }
    let requires = strings(&case["requires"]);
    let stated = |text: &String| Requirement::parse(text, Origin::file("rules.toml")).unwrap();
    let mut options = Options::default();
    if let Some(mode) = text("prerelease") {
        options.prerelease = mode.parse().unwrap();
    }
    if let Some(strategy) = text("resolution") {
        options.strategy = strategy.parse().unwrap();
    }
    let none = (BTreeMap::new(), BTreeMap::new());
    let request = Request {
        requirements: &requires.iter().map(stated).collect::<Vec<_>>(),
        constraints: &[],
        overrides: &[],
        target: Target {
            python: text("python").unwrap_or("3.11").parse().unwrap(),
            platform: "linux/amd64".parse().unwrap(),
            libc: "glibc-2.36".parse().unwrap(),
        },
        preferences: &none.0,
        installed: &BTreeMap::new(),
        hashes: &none.1,
        options,
    };
    let resolution = resolve::resolve(&request, &index).map_err(|error| error.exit_code())?;
    Ok(resolution.pins.iter().map(|pin| format!("{}=={}", pin.name, pin.version)).collect())
}

#[test]
fn every_question_has_its_answer() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/rules/rules.toml");
    let document: DocumentMut = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let mut complaints = Vec::new();
    let cases = document["case"].as_array_of_tables().unwrap();
    assert!(cases.len() > 70);
    for case in cases {
        let expected = case.get("pins").map(strings).ok_or(ExitCode::NoResolution);
        let found = answer(case);
        if found != expected {
            complaints.push(format!("{}: expected {expected:?}, got {found:?}", case["name"]));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
#[ignore = "needs released uv"]
fn released_uv_gives_the_same_answers() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/compare-uv");
    let output = Command::new("python3").arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
