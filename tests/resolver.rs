//! What the resolver promises beyond the scenarios: constraints, preferences, direct URLs, hashes, warnings, and errors
//! that a person can act on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bakehouse::index::Metadata;
use bakehouse::model::{Digest, ExitCode, Origin, PackageName, Requirement, Target, Version};
use bakehouse::resolve::{self, Error, Options, PrereleaseMode, Request, Resolution, Strategy};

#[path = "support/memory_index.rs"]
mod memory_index;
use memory_index::{MemoryIndex, Release};

/// A request in the making.
#[derive(Default)]
struct Ask {
    requirements: Vec<Requirement>,
    constraints: Vec<Requirement>,
    overrides: Vec<Requirement>,
    preferences: BTreeMap<PackageName, Version>,
    hashes: BTreeMap<PackageName, Vec<Digest>>,
    installed: BTreeMap<PackageName, Arc<Metadata>>,
    options: Options,
}

fn stated(file: &str, texts: &[&str]) -> Vec<Requirement> {
    let lines = texts.iter().zip(1..);
    lines.map(|(text, line)| Requirement::parse(text, Origin::line(file, line)).unwrap()).collect()
}

impl Ask {
    /// Requirements in `pyproject.toml`, one a line.
    fn of(requirements: &[&str]) -> Self {
        Self { requirements: stated("pyproject.toml", requirements), ..Self::default() }
    }

    fn constrained(mut self, constraints: &[&str]) -> Self {
        self.constraints = stated("constraints.txt", constraints);
        self
    }

    fn overridden(mut self, overrides: &[&str]) -> Self {
        self.overrides = stated("overrides.txt", overrides);
        self
    }

    fn preferring(mut self, name: &str, version: &str) -> Self {
        self.preferences.insert(name.parse().unwrap(), version.parse().unwrap());
        self
    }

    /// Something is there already, by its metadata.
    fn with_installed(mut self, name: &str, version: &str, more: &str) -> Self {
        let metadata = Metadata::of_installed(&format!("Name: {name}\nVersion: {version}\n{more}")).unwrap();
        self.installed.insert(metadata.name.clone(), Arc::new(metadata));
        self
    }

    /// What is there already and serves, as `name==version`.
    fn served(&self, index: &MemoryIndex) -> Vec<String> {
        self.on(index).installed.iter().map(|(name, version)| format!("{name}=={version}")).collect()
    }

    fn try_on(&self, index: &MemoryIndex) -> Result<Resolution, Error> {
        let request = Request {
            requirements: &self.requirements,
            constraints: &self.constraints,
            overrides: &self.overrides,
            target: Target {
                python: "3.11".parse().unwrap(),
                platform: "linux/amd64".parse().unwrap(),
                libc: "glibc-2.36".parse().unwrap(),
            },
            preferences: &self.preferences,
            hashes: &self.hashes,
            installed: &self.installed,
            options: self.options,
        };
        resolve::resolve(&request, index)
    }

    fn on(&self, index: &MemoryIndex) -> Resolution {
        self.try_on(index).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The pins as `name==version`.
    fn pins(&self, index: &MemoryIndex) -> Vec<String> {
        self.on(index).pins.iter().map(|pin| format!("{}=={}", pin.name, pin.version)).collect()
    }

    fn error(&self, index: &MemoryIndex) -> Error {
        self.try_on(index).map(|found| found.pins).expect_err("there is no solution")
    }
}

fn messages(resolution: &Resolution) -> Vec<String> {
    resolution.warnings.iter().map(|warning| warning.message.clone()).collect()
}

#[test]
fn a_conflict_is_told_as_a_chain_of_requirements_with_their_places() {
    let index = MemoryIndex::of(&[
        ("fastapi 0.116.1", &["starlette>=0.40,<0.48"]),
        ("starlette 0.20", &[]),
        ("starlette 0.47", &[]),
    ]);
    let mut ask = Ask::of(&["starlette==0.20"]);
    ask.requirements.extend(stated("flows/train/flow.py", &["fastapi==0.116.1"]));
    let error = ask.error(&index);
    assert_eq!(
        error.to_string(),
        "the requirements cannot be satisfied for CPython 3.11 on linux/amd64 (glibc-2.36)\n\
         because you require starlette==0.20 (pyproject.toml:1), you require fastapi==0.116.1 \
         (flows/train/flow.py:1), and fastapi==0.116.1 depends on starlette>=0.40,<0.48"
    );
    assert_eq!(error.exit_code(), ExitCode::NoResolution);
    assert_eq!(
        error.hint().unwrap(),
        "loosen or remove one of fastapi==0.116.1 (flows/train/flow.py:1), starlette==0.20 (pyproject.toml:1)"
    );
}

#[test]
fn a_long_conflict_is_told_in_steps() {
    let index = MemoryIndex::of(&[
        ("web 1", &["core==1", "tools"]),
        ("web 2", &["core==2", "tools"]),
        ("data 1", &["core==3"]),
        ("data 2", &["core==4"]),
        ("tools 1", &[]),
        ("core 1", &[]),
        ("core 2", &[]),
        ("core 3", &[]),
        ("core 4", &[]),
    ]);
    let error = Ask::of(&["web", "data"]).error(&index).to_string();
    let last = error.lines().last().unwrap();
    assert!(last.starts_with('(') && last.ends_with("your requirements cannot be satisfied"), "{error}");
    for part in ["web==1 depends on core==1", "data==2 depends on core==4", "(pyproject.toml:1)"] {
        assert!(error.contains(part), "`{part}` in {error}");
    }
}

#[test]
fn a_requirement_that_contradicts_itself_is_told_as_such() {
    let index = MemoryIndex::of(&[("a 6.0a1", &[]), ("a 5.0", &[])]);
    let error = Ask::of(&["a>=6.0a1,<6.0"]).error(&index);
    let told = error.to_string();
    assert!(told.contains("a>=6.0a1,<6.0 (pyproject.toml:1), which no version satisfies"), "{told}");
    assert_eq!(error.hint().unwrap(), "change a>=6.0a1,<6.0 (pyproject.toml:1)");
}

#[test]
fn ranges_that_are_too_many_to_tell_are_said_to_be_more() {
    let versions: Vec<(String, [String; 1])> =
        (1..=6).map(|n| (format!("a {n}"), [format!("b=={n}.5")])).collect();
    let requires: Vec<[&str; 1]> = versions.iter().map(|(_, [one])| [one.as_str()]).collect();
    let mut packages: Vec<(&str, &[&str])> =
        versions.iter().zip(&requires).map(|((name, _), requires)| (name.as_str(), &requires[..])).collect();
    packages.push(("b 9", &[]));
    let error = Ask::of(&["a", "b==9"]).error(&MemoryIndex::of(&packages));
    assert!(error.to_string().contains(" and others"), "{error}");
}

#[test]
fn an_unknown_package_is_named_with_its_place() {
    let index = MemoryIndex::of(&[("a 1", &["missing"])]);
    let error = Ask::of(&["a", "Pandsa"]).error(&index);
    assert_eq!(error.to_string(), "pyproject.toml:2: no index has a package named `pandsa`");
    assert_eq!(error.exit_code(), ExitCode::NoResolution);
    let error = Ask::of(&["a"]).error(&index).to_string();
    assert!(error.contains("a==1 depends on missing, and no index has a package named `missing`"), "{error}");
}

#[test]
fn where_there_is_only_a_source_distribution_the_error_says_which_and_what_to_do() {
    let mut index = MemoryIndex::default();
    index.add("a", "2.0", Release { wheel_tags: Vec::new(), ..Release::default() });
    index.add("a", "1.0", Release::default());
    assert_eq!(Ask::of(&["a"]).pins(&index), ["a==1.0"], "a version without a wheel is passed over");
    let error = Ask::of(&["a>1"]).error(&index);
    assert!(error.to_string().contains("a==2.0 has only a source distribution, no wheel"), "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("a-2.0.tar.gz") && hint.contains("the newest is 1.0"), "{hint}");
    assert_eq!(error.exit_code(), ExitCode::NoResolution);
}

#[test]
fn the_best_wheel_for_the_target_is_chosen() {
    let mut index = MemoryIndex::default();
    let tags = |tags: &[&str]| Release {
        wheel_tags: tags.iter().map(|&tags| tags.to_owned()).collect(),
        ..Release::default()
    };
    let linux = "cp311-cp311-manylinux_2_28_x86_64";
    index.add(
        "a",
        "1",
        tags(&["py3-none-any", linux, "cp311-cp311-win_amd64", "cp311-abi3-manylinux2014_x86_64"]),
    );
    index.add("b", "1", tags(&["1-py3-none-any", "2-py3-none-any"]));
    index.add("c", "1", tags(&["cp312-cp312-manylinux_2_28_x86_64"]));
    let resolution = Ask::of(&["a", "b"]).on(&index);
    let files: Vec<&str> = resolution.pins.iter().map(|pin| pin.archive.file_name.as_str()).collect();
    assert_eq!(files, [format!("a-1-{linux}.whl").as_str(), "b-1-2-py3-none-any.whl"]);
    let error = Ask::of(&["c"]).error(&index);
    assert!(error.to_string().contains("c==1 has no wheel for the target"), "{error}");
}

#[test]
fn constraints_limit_only_what_is_required_anyway() {
    let index = MemoryIndex::of(&[("a 1", &["b"]), ("b 1", &[]), ("b 2", &[])]);
    let ask = Ask::of(&["a"]).constrained(&["b<2", "unused==1", "b==7; sys_platform == 'win32'"]);
    assert_eq!(ask.pins(&index), ["a==1", "b==1"]);
    let error = Ask::of(&["b==2"]).constrained(&["b<2"]).error(&index).to_string();
    assert!(error.contains("you require b==2 (pyproject.toml:1)"), "{error}");
    assert!(error.contains("you constrain b<2 (constraints.txt:1)"), "{error}");
}

#[test]
fn an_override_replaces_what_anyone_requires() {
    let mut index = MemoryIndex::of(&[
        ("a 1", &["b<2", "c; sys_platform == 'win32'", "d"]),
        ("b 1", &[]),
        ("b 2", &[]),
        ("c 1", &[]),
        ("d 1", &[]),
    ]);
    let extras = [("x".to_owned(), vec!["b<2".to_owned()])];
    index.add("e", "1", Release { extras: extras.into(), ..Release::default() });
    assert_eq!(Ask::of(&["a"]).overridden(&["b>=2"]).pins(&index), ["a==1", "b==2", "d==1"]);
    assert_eq!(Ask::of(&["a", "b==1"]).overridden(&["b>=2"]).pins(&index), ["a==1", "b==2", "d==1"]);
    // It counts wherever the requirement stands, as with uv; and not at all where its own marker does not hold.
    assert_eq!(Ask::of(&["a"]).overridden(&["c"]).pins(&index), ["a==1", "b==1", "c==1", "d==1"]);
    let never = ["d; sys_platform == 'win32'"];
    assert_eq!(Ask::of(&["a", "d"]).overridden(&never).pins(&index), ["a==1", "b==1"]);
    // What only an extra requires is not required without it.
    assert_eq!(Ask::of(&["e"]).overridden(&["b>=2"]).pins(&index), ["e==1"]);
    assert_eq!(Ask::of(&["e[x]"]).overridden(&["b>=2"]).pins(&index), ["b==2", "e==1"]);
    let error = Ask::of(&["a", "c"]).overridden(&["b>=3"]).error(&index).to_string();
    assert!(error.contains("a==1 depends on b>=3 (by your override at overrides.txt:1)"), "{error}");
}

#[test]
fn the_oldest_versions_may_be_wanted() {
    let index = MemoryIndex::of(&[
        ("a 1", &["b"]),
        ("a 2", &["b"]),
        ("a 2.5b1", &["b"]),
        ("a 3", &["b"]),
        ("b 0.9rc1", &[]),
        ("b 1", &[]),
        ("b 2", &[]),
    ]);
    let with = |requirements: &[&str], strategy: Strategy| {
        let mut ask = Ask::of(requirements);
        ask.options.strategy = strategy;
        ask.pins(&index)
    };
    assert_eq!(with(&["a>1"], Strategy::Highest), ["a==3", "b==2"]);
    assert_eq!(with(&["a>1"], Strategy::Lowest), ["a==2", "b==1"]);
    assert_eq!(with(&["a>1"], Strategy::LowestDirect), ["a==2", "b==2"]);
    assert_eq!(with(&["a>2,<3", "b<2"], Strategy::LowestDirect), ["a==2.5b1", "b==1"]);
}

#[test]
fn what_was_uploaded_later_is_not_there() {
    let mut index = MemoryIndex::default();
    for (version, uploaded) in [
        ("1", Some("2024-01-31T23:59:59.9Z")),
        ("2", Some("2024-02-01T00:00:00Z")),
        ("3", Some("2024-02-01T01:00:00+02:00")),
        ("4", None),
        ("5", Some("soon")),
    ] {
        index.add("a", version, Release { uploaded: uploaded.map(str::to_owned), ..Release::default() });
    }
    index.at_url("https://files.example/a-4-py3-none-any.whl", "a-4-py3-none-any.whl");
    let at = |requirement: &str, time: &str| {
        let mut ask = Ask::of(&[requirement]);
        ask.options.exclude_newer = Some(time.parse().unwrap());
        ask
    };
    assert_eq!(at("a", "2024-01-31").pins(&index), ["a==3"]);
    assert_eq!(at("a!=3", "2024-01-31").pins(&index), ["a==1"]);
    assert_eq!(at("a", "2024-02-01T00:00:01Z").pins(&index), ["a==3"]);
    assert_eq!(at("a<3", "2024-02-01T00:00:01Z").pins(&index), ["a==2"]);
    let direct = "a @ https://files.example/a-4-py3-none-any.whl";
    assert_eq!(at(direct, "2020-01-01").pins(&index), ["a==4"], "what the user names is there");
    let error = at("a==4", "2030-01-01").error(&index);
    assert!(error.to_string().contains("a==4 has no time of upload on its index"), "{error}");
    let error = at("a==2", "2024-01-31").error(&index);
    assert!(error.to_string().contains("a==2 was not published before 2024-02-01T00:00:00Z"), "{error}");
    assert!(error.hint().unwrap().contains("--exclude-newer"));
}

#[test]
fn old_pins_are_kept_where_they_still_fit() {
    let index = MemoryIndex::of(&[("a 1", &[]), ("a 2", &[]), ("a 3", &[]), ("b 1", &["a>1"])]);
    assert_eq!(Ask::of(&["a"]).preferring("a", "1").pins(&index), ["a==1"]);
    assert_eq!(Ask::of(&["a", "b"]).preferring("a", "1").pins(&index), ["a==3", "b==1"]);
    assert_eq!(Ask::of(&["a"]).preferring("a", "0.9").pins(&index), ["a==3"], "what is gone is not missed");
}

#[test]
fn extras_follow_their_distribution_and_may_go_round_in_circles() {
    let mut index = MemoryIndex::of(&[("x 1", &[]), ("y 1", &[])]);
    let extras = |extras: &[(&str, &[&str])]| Release {
        extras: extras
            .iter()
            .map(|(extra, texts)| ((*extra).to_owned(), texts.iter().map(|&text| text.to_owned()).collect()))
            .collect(),
        ..Release::default()
    };
    index.add("a", "1", extras(&[("x", &["a[y]", "x"]), ("y", &["a[x]", "y"])]));
    index.add("a", "2", extras(&[("x", &["x>5"])]));
    let resolution = Ask::of(&["A[X]"]).on(&index);
    let dependencies: Vec<String> = resolution.pins[0].dependencies.iter().map(ToString::to_string).collect();
    assert_eq!(dependencies, ["x", "y"]);
    assert_eq!(Ask::of(&["a"]).pins(&index), ["a==2"]);

    let resolution = Ask::of(&["a[nothing]"]).on(&index);
    assert_eq!(messages(&resolution), ["a==2 has no extra `nothing`"]);
    assert_eq!(resolution.warnings[0].origin, Some(Origin::line("pyproject.toml", 1)));
}

#[test]
fn a_yanked_version_is_used_only_if_asked_for_exactly_and_is_warned_about() {
    let mut index = MemoryIndex::of(&[("a 1", &[])]);
    index.add("a", "2", Release { yanked: Some("breaks".to_owned()), ..Release::default() });
    assert_eq!(Ask::of(&["a"]).pins(&index), ["a==1"]);
    let resolution = Ask::of(&["a==2"]).on(&index);
    assert_eq!(messages(&resolution), ["a==2 was yanked by its maintainers: breaks"]);
}

#[test]
fn a_version_whose_metadata_cannot_be_used_is_passed_over() {
    let mut index = MemoryIndex::of(&[("a 1", &[])]);
    index.add("a", "2", Release { broken: Some("it is not text".to_owned()), ..Release::default() });
    assert_eq!(Ask::of(&["a"]).pins(&index), ["a==1"]);
    let error = Ask::of(&["a>1"]).error(&index).to_string();
    assert!(error.contains("a==2 has unusable metadata (it is not text)"), "{error}");
}

#[test]
fn an_upper_bound_on_python_does_not_exclude_a_version_but_is_told() {
    let mut index = MemoryIndex::default();
    index.add("a", "1", Release { requires_python: Some(">=3.8,<3.11".to_owned()), ..Release::default() });
    let resolution = Ask::of(&["a"]).on(&index);
    assert_eq!(messages(&resolution), ["a==1 was not made for Python 3.11: it says >=3.8, <3.11"]);
}

#[test]
fn arbitrary_equality_compares_the_text() {
    let index = MemoryIndex::of(&[("a 1.0.0", &[]), ("a 1.0.0+cpu", &[]), ("b 1", &["a===1.0.0"])]);
    assert_eq!(Ask::of(&["a===1.0.0"]).pins(&index), ["a==1.0.0"]);
    assert_eq!(Ask::of(&["b"]).pins(&index), ["a==1.0.0", "b==1"]);
    assert_eq!(Ask::of(&["a==1.0"]).pins(&index), ["a==1.0.0+cpu"]);
    let error = Ask::of(&["a===1.0"]).error(&index).to_string();
    assert!(error.contains("you require a===1.0 (pyproject.toml:1)"), "{error}");
}

#[test]
fn prereleases_follow_the_mode() {
    let index = MemoryIndex::of(&[("a 1", &[]), ("a 2b1", &[]), ("b 1b1", &[])]);
    let with = |requirements: &[&str], prerelease: PrereleaseMode| {
        let mut ask = Ask::of(requirements);
        ask.options.prerelease = prerelease;
        ask
    };
    assert_eq!(with(&["a"], PrereleaseMode::Allow).pins(&index), ["a==2b1"]);
    assert_eq!(with(&["a", "b"], PrereleaseMode::IfNecessary).pins(&index), ["a==1", "b==1b1"]);
    assert_eq!(with(&["b>=1b1"], PrereleaseMode::Explicit).pins(&index), ["b==1b1"]);
    for (requirement, mode) in [("b", PrereleaseMode::Explicit), ("b>=1b1", PrereleaseMode::Disallow)] {
        let error = with(&[requirement], mode).error(&index).to_string();
        assert!(error.contains("b==1b1 is a pre-release"), "{error}");
    }
}

#[test]
fn required_hashes_choose_the_file() {
    let mut index = MemoryIndex::default();
    let tags = ["py3-none-any", "cp311-cp311-manylinux_2_28_x86_64"].map(str::to_owned).to_vec();
    index.add("a", "1", Release { wheel_tags: tags, ..Release::default() });
    let mut ask = Ask::of(&["a==1"]);
    ask.hashes.insert("a".parse().unwrap(), vec![Digest::of(b"a-1-py3-none-any.whl")]);
    assert_eq!(ask.on(&index).pins[0].archive.file_name, "a-1-py3-none-any.whl");
    ask.hashes.insert("a".parse().unwrap(), vec![Digest::of(b"something else")]);
    let error = ask.error(&index).to_string();
    assert!(error.contains("a==1 has no wheel with one of the required hashes"), "{error}");
}

#[test]
fn a_direct_url_is_the_only_candidate_for_its_package() {
    let mut index = MemoryIndex::of(&[("a 1", &["b"]), ("a 2", &[]), ("b 1", &[]), ("c 1", &["a>1"])]);
    index.at_url("https://files.example/own/a-1-py3-none-any.whl", "a-1-py3-none-any.whl");
    let url = "a @ https://user:secret@files.example/own/a-1-py3-none-any.whl";
    let bare = "a @ https://files.example/own/a-1-py3-none-any.whl";
    let resolution = Ask::of(&[&format!("{bare}#egg=a")]).on(&index);
    let pin = &resolution.pins[0];
    assert_eq!(pin.direct_url.as_ref().unwrap().as_str(), "https://files.example/own/a-1-py3-none-any.whl");
    assert_eq!((pin.index.as_ref(), resolution.pins.len()), (None, 2));

    let error = Ask::of(&[bare, "c"]).error(&index).to_string();
    assert!(error.contains("c==1 depends on a>1"), "{error}");

    let error = Ask::of(&[bare, "a @ https://files.example/a-2-py3-none-any.whl"]).error(&index).to_string();
    assert!(error.contains("pyproject.toml:1") && error.contains("pyproject.toml:2"), "{error}");

    let error = Ask::of(&[url]).error(&index).to_string();
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn only_the_user_may_ask_for_urls() {
    let mut index =
        MemoryIndex::of(&[("a 1", &["b @ https://files.example/b-1-py3-none-any.whl"]), ("b 1", &[])]);
    index.at_url("https://files.example/b-1-py3-none-any.whl", "b-1-py3-none-any.whl");
    index.at_url("https://files.example/a-1-py3-none-any.whl", "a-1-py3-none-any.whl");
    let error = Ask::of(&["a"]).error(&index);
    assert!(matches!(error, Error::TransitiveUrl { .. }), "{error}");
    assert_eq!(error.exit_code(), ExitCode::NoResolution);
    let own = "b @ https://files.example/b-1-py3-none-any.whl";
    assert_eq!(Ask::of(&["a", own]).pins(&index), ["a==1", "b==1"]);
    // Whoever asks for an archive by URL asks for what that names by URL.
    assert_eq!(Ask::of(&["a @ https://files.example/a-1-py3-none-any.whl"]).pins(&index), ["a==1", "b==1"]);
}

#[test]
fn markers_are_evaluated_for_the_target() {
    let index = MemoryIndex::of(&[
        (
            "a 1",
            &[
                "b; sys_platform == 'win32'",
                "c; python_version >= '3.11' and platform_machine == 'x86_64'",
                "d; extra == 'd'",
            ],
        ),
        ("c 1", &[]),
    ]);
    let requirements = ["a", "c ; implementation_name == 'cpython'", "nope; os_name == 'nt'"];
    assert_eq!(Ask::of(&requirements).pins(&index), ["a==1", "c==1"]);
}

#[test]
fn the_same_request_gives_the_same_answer() {
    let index = MemoryIndex::of(&[("a 1", &["c", "b"]), ("b 1", &["c<2"]), ("c 1", &[]), ("c 2", &[])]);
    let ask = Ask::of(&["a", "B", "a>=1", "b"]);
    let first = ask.on(&index);
    assert_eq!(ask.pins(&index), ["a==1", "b==1", "c==1"]);
    assert!((0..10).all(|_| ask.on(&index) == first));
}

#[test]
fn what_is_installed_and_satisfies_is_not_pinned() {
    let index = MemoryIndex::of(&[("torch 2.2", &["numpy>=2"]), ("numpy 1.26", &[]), ("numpy 2.0", &[])]);
    let there = |requirements: &[&str]| {
        Ask::of(requirements).with_installed("torch", "2.1+cu121", "Requires-Dist: numpy\n")
    };
    // Its own requirements count: what it lacks is installed.
    let ask = there(&["torch>=2"]);
    assert_eq!(
        (ask.pins(&index), ask.served(&index)),
        (vec!["numpy==2.0".into()], vec!["torch==2.1+cu121".into()])
    );
    assert!(
        index.asked.lock().unwrap().iter().all(|file| !file.starts_with("torch")),
        "nobody asks for its file"
    );
    assert_eq!(
        there(&["torch==2.1"]).served(&index),
        ["torch==2.1+cu121"],
        "a local version is that version"
    );
    let ask = there(&["torch>=2.2"]);
    assert_eq!(
        (ask.pins(&index), ask.served(&index)),
        (vec!["numpy==2.0".into(), "torch==2.2".into()], vec![])
    );
    // It goes before the pins of an old lock, and what nobody requires does not count.
    assert_eq!(there(&["torch"]).preferring("torch", "2.2").served(&index), ["torch==2.1+cu121"]);
    assert_eq!(there(&["numpy"]).served(&index), Vec::<String>::new());
    // A constraint and an override speak of it as of all others; a hash and a URL ask for an archive.
    assert_eq!(there(&["torch"]).constrained(&["torch!=2.1"]).pins(&index).len(), 2);
    assert_eq!(there(&["torch"]).overridden(&["torch>=2.2"]).pins(&index).len(), 2);
    let mut hashed = there(&["torch"]);
    hashed.hashes.insert("torch".parse().unwrap(), vec![Digest::of(b"other")]);
    assert!(hashed.try_on(&index).is_err());
}

#[test]
fn what_is_installed_gives_way_where_it_does_not_fit_the_rest() {
    let index = MemoryIndex::of(&[
        ("torch 2.2", &["numpy>=2"]),
        ("numpy 1.26", &[]),
        ("numpy 2.0", &[]),
        ("plot 1.0", &["numpy>=2"]),
    ]);
    let ask = Ask::of(&["torch", "plot"]).with_installed("torch", "2.1", "Requires-Dist: numpy<2\n");
    assert_eq!(ask.pins(&index), ["numpy==2.0", "plot==1.0", "torch==2.2"]);
    // Between two published versions: what is learned of one says nothing about it.
    let index = MemoryIndex::of(&[("a 1.0", &["gone"]), ("a 3.0", &["gone"]), ("b 1.0", &[])]);
    let ask = Ask::of(&["a<3", "b"]).with_installed("a", "2.0", "Requires-Dist: b\n");
    assert_eq!((ask.pins(&index), ask.served(&index)), (vec!["b==1.0".into()], vec!["a==2.0".into()]));
}

#[test]
fn what_is_installed_needs_no_index() {
    let index = MemoryIndex::of(&[("b 1.0", &[])]);
    // Its extras count, what it once took from a URL is what is there, and an unknown package is no error.
    let more = "Provides-Extra: gpu\nRequires-Dist: b ; extra == 'gpu'\nRequires-Dist: own @ https://host.example/own.zip\n";
    let ask = Ask::of(&["private[gpu]"]).with_installed("private", "1", more).with_installed("own", "7", "");
    assert_eq!(ask.pins(&index), ["b==1.0"]);
    assert_eq!(ask.served(&index), ["own==7", "private==1"]);
    let alone = Ask::of(&["private"]).with_installed("private", "1", more);
    assert!(alone.error(&index).to_string().contains("own from a URL"), "{}", alone.error(&index));
    let newer = Ask::of(&["private>1"]).with_installed("private", "1", "");
    assert!(newer.error(&index).to_string().contains("private"), "{}", newer.error(&index));
}

/// Whoever fetches ahead must know what comes next: also where it is the versions of an extra, or pre-releases.
#[test]
fn what_is_tried_in_a_row_is_announced_with_what_it_brings_along() {
    for (requirement, is_extra, suffix) in [("x", false, ""), ("x[e]", true, ""), ("x", false, "rc1")] {
        let mut index = MemoryIndex::of(&[("base 1", &[]), ("y 1", &["base==1"])]);
        for version in 2..60 {
            index.add("base", &version.to_string(), Release::default());
            // Decided before what does not fit, and different each time.
            index.add(
                "y",
                &version.to_string(),
                Release { requires: vec!["base>1".to_owned()], ..Release::default() },
            );
        }
        for version in 1..60 {
            let requires = vec![format!("y=={version}")];
            let (requires, extras) = match is_extra {
                true => (Vec::new(), BTreeMap::from([("e".to_owned(), requires)])),
                false => (requires, BTreeMap::new()),
            };
            let release = Release { requires, extras, ..Release::default() };
            index.add("x", &format!("{version}{suffix}"), release);
        }
        let pins = Ask::of(&[requirement, "base==1"]).pins(&index);
        assert_eq!(pins, ["base==1".to_owned(), format!("x==1{suffix}"), "y==1".to_owned()]);
        let (asked, late) = (index.asked.lock().unwrap(), index.late.lock().unwrap());
        assert!(asked.len() > 100, "{} were asked for", asked.len());
        assert!(late.len() < 12, "{requirement}: {late:?}");
    }
}
