//! The resolver scenarios of the uv project (`testdata/scenarios`): each file says what must come out.
//!
//! Left out are those marked `universal`: they ask for one lock for all platforms at once, while a target here is always
//! one platform and Python. Some of them say what must come out on Linux all the same; those are run further down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bakehouse::model::{ExitCode, Origin, Requirement, Target};
use bakehouse::resolve::{self, Options, PrereleaseMode, Request};
use toml_edit::{DocumentMut, Item, TableLike};

#[path = "support/memory_index.rs"]
mod memory_index;
use memory_index::{MemoryIndex, Release};

/// Only a source distribution satisfies these. Without building, nothing does.
const NEED_BUILDING: &[&str] = &[
    "requires_python/incompatible-python-compatible-override-available-no-wheels",
    "requires_python/incompatible-python-compatible-override-other-wheel",
    "requires_python/incompatible-python-compatible-override-unavailable-no-wheels",
];

/// Marked `universal`, but without a marker that tells platforms apart: the answer is the same for one target.
const UNIVERSAL_WITHOUT_FORKS: &[&str] = &[
    "backtracking/wrong-backtracking-basic",
    "backtracking/wrong-backtracking-indirect",
    "fork/marker-disjoint",
    "prereleases/prerelease-base-marker-stable-preference-plain-first",
    "tag_and_markers/virtual-package-extra-priorities",
    "tag_and_markers/virtual-package-marker-priorities",
];

struct Scenario {
    name: String,
    requirements: Vec<Requirement>,
    index: MemoryIndex,
    target: Target,
    options: Options,
    universal: bool,
    satisfiable: bool,
    packages: Option<BTreeMap<String, String>>,
}

fn strings(item: Option<&Item>) -> Vec<String> {
    let values = item.and_then(Item::as_array).map(|array| array.iter());
    values.into_iter().flatten().map(|value| value.as_str().unwrap().to_owned()).collect()
}

fn release(table: &dyn TableLike) -> Release {
    let flag = |key: &str, default: bool| table.get(key).map_or(default, |item| item.as_bool().unwrap());
    let mut release = Release {
        requires: strings(table.get("requires")),
        requires_python: table.get("requires_python").map(|item| item.as_str().unwrap().to_owned()),
        sdist: flag("sdist", true),
        yanked: flag("yanked", false).then(String::new),
        ..Release::default()
    };
    if let Some(tags) = table.get("wheel_tags") {
        release.wheel_tags = strings(Some(tags));
    }
    if !flag("wheel", true) {
        release.wheel_tags.clear();
    }
    if let Some(extras) = table.get("extras").and_then(Item::as_table_like) {
        for (extra, requires) in extras.iter() {
            release.extras.insert(extra.to_owned(), strings(Some(requires)));
        }
    }
    release
}

fn scenario(path: &Path) -> Scenario {
    let document: DocumentMut = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let get = |table: &str, key: &str| {
        document.get(table).and_then(Item::as_table_like).and_then(|table| table.get(key)).cloned()
    };
    let flag = |table: &str, key: &str| get(table, key).is_some_and(|item| item.as_bool().unwrap());

    let mut index = MemoryIndex::default();
    for (name, package) in document.get("packages").and_then(Item::as_table_like).unwrap().iter() {
        let versions = package.as_table_like().unwrap().get("versions").unwrap();
        for (version, table) in versions.as_table_like().unwrap().iter() {
            index.add(name, version, release(table.as_table_like().unwrap()));
        }
    }
    let python = get("resolver_options", "python").or_else(|| get("environment", "python"));
    let python = python.map_or_else(|| "3.12".to_owned(), |item| item.as_str().unwrap().to_owned());
    let minor: Vec<&str> = python.split('.').take(2).collect();
    let mut options = Options::default();
    if flag("resolver_options", "prereleases") {
        options.prerelease = PrereleaseMode::Allow;
    }
    let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let requires = strings(get("root", "requires").as_ref());
    let parse = |(line, text): (usize, &String)| {
        Requirement::parse(text, Origin::line("requirements.txt", u32::try_from(line).unwrap() + 1)).unwrap()
    };
    Scenario {
        name: format!("{folder}/{}", path.file_stem().unwrap().to_str().unwrap()),
        requirements: requires.iter().enumerate().map(parse).collect(),
        index,
        target: Target {
            python: minor.join(".").parse().unwrap(),
            platform: "linux/amd64".parse().unwrap(),
            libc: "glibc-2.36".parse().unwrap(),
        },
        options,
        universal: flag("resolver_options", "universal"),
        satisfiable: flag("expected", "satisfiable"),
        packages: get("expected", "packages").and_then(|item| {
            let table = item.as_table_like()?.iter();
            Some(
                table
                    .map(|(name, version)| (name.to_owned(), version.as_str().unwrap().to_owned()))
                    .collect(),
            )
        }),
    }
}

fn scenarios() -> Vec<Scenario> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/scenarios");
    let entries = |path: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let folders = entries(&root).into_iter().filter(|path| path.is_dir());
    let mut files: Vec<PathBuf> = folders.flat_map(|folder| entries(&folder)).collect();
    files.sort();
    files.iter().map(|path| scenario(path)).collect()
}

/// What is wrong with the outcome of a scenario; nothing if all is well.
fn complaint(scenario: &Scenario) -> Option<String> {
    let none = (BTreeMap::new(), BTreeMap::new());
    let outcome = resolve::resolve(
        &Request {
            requirements: &scenario.requirements,
            constraints: &[],
            overrides: &[],
            target: scenario.target,
            preferences: &none.0,
            hashes: &none.1,
            installed: &BTreeMap::new(),
            options: scenario.options,
        },
        &scenario.index,
    );
    let name = &scenario.name;
    let satisfiable = scenario.satisfiable && !NEED_BUILDING.contains(&name.as_str());
    match outcome {
        Ok(_) if !satisfiable => Some(format!("{name}: a solution was found where there is none")),
        Ok(resolution) => {
            let pins: BTreeMap<String, String> =
                resolution.pins.iter().map(|pin| (pin.name.to_string(), pin.version.to_string())).collect();
            let expected = scenario.packages.as_ref().filter(|expected| **expected != pins)?;
            Some(format!("{name}: expected {expected:?}, got {pins:?}"))
        }
        Err(error) => {
            if std::env::var_os("SHOW").is_some() {
                eprintln!("== {name}\n{error}\nhint: {:?}\n", error.hint());
            }
            (satisfiable || error.exit_code() != ExitCode::NoResolution)
                .then(|| format!("{name}: exit code {:?}: {error}", error.exit_code()))
        }
    }
}

#[test]
fn every_scenario_for_one_environment_comes_out_as_expected() {
    let scenarios: Vec<Scenario> = scenarios().into_iter().filter(|scenario| !scenario.universal).collect();
    assert!(scenarios.len() >= 68, "scenarios are missing: {}", scenarios.len());
    let complaints: Vec<String> = scenarios.iter().filter_map(complaint).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn universal_scenarios_without_forks_hold_for_one_target_as_well() {
    let chosen = scenarios().into_iter().filter(|one| UNIVERSAL_WITHOUT_FORKS.contains(&one.name.as_str()));
    let chosen: Vec<Scenario> = chosen.collect();
    assert_eq!(chosen.len(), UNIVERSAL_WITHOUT_FORKS.len());
    let complaints: Vec<String> = chosen.iter().filter_map(complaint).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
