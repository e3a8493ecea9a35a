//! Plain Python projects.

use super::*;

#[test]
fn a_pyproject_is_read_with_its_metadata() {
    let project = discover(&fixture("plain")).unwrap();
    assert_eq!((project.kind, project.name.as_str()), (ProjectKind::Plain, "Weather.Station"));
    let [component] = &project.components[..] else { panic!() };
    assert_eq!(component.id(), "package/Weather.Station");
    let [environment] = &component.environments[..] else { panic!() };
    assert_eq!(image_name(component, environment), "weather.station");
    assert_eq!(
        requirements(environment),
        ["httpx>=0.27 (pyproject.toml:8)", "rich ; python_full_version < '3.12' (pyproject.toml:8)"]
    );
    assert_eq!(python(environment), ">=3.11, <3.14 (pyproject.toml:6)");
    assert_eq!(environment.lock_path, "pylock.toml");
    assert_eq!(component.run.python_path, ["/app/src"]);
    let package = component.package.as_ref().unwrap();
    assert_eq!(package.version.as_ref().unwrap().to_string(), "1.2");
    assert_eq!(package.scripts, [("weather".to_owned(), "weather.cli:main".to_owned())]);
    assert_eq!(package.gui_scripts[0].0, "weather-ui");
    assert_eq!(package.entry_points["weather.sources"][0].1, "weather.sources:File");
    assert!(package.src_layout);
    let (url, origin) = &project.indexes.extra_index_urls[0];
    assert_eq!(format!("{url} ({origin})"), "https://packages.example/simple (pyproject.toml:21)");
    let files = code_files(&project, component).unwrap();
    assert_eq!(
        paths(&files.own),
        ["app/README.md", "app/pyproject.toml", "app/src/weather/__init__.py", "app/src/weather/cli.py"]
    );
    assert!(files.shared.is_empty());
}

#[test]
fn a_requirements_file_alone_makes_a_project() {
    let directory = project(&[
        ("requirements.txt", "-i https://u:${TOKEN}@packages.example/simple\n-r more.txt\n-c c.txt\nflask\n"),
        ("more.txt", "numpy\n"),
        ("c.txt", "numpy<2\n"),
    ]);
    let project = discover_with(directory.path(), &Selection::default(), &|name| {
        (name == "TOKEN").then(|| "s3cret".to_owned())
    })
    .unwrap();
    let environment = &project.components[0].environments[0];
    assert_eq!(requirements(environment), ["numpy (more.txt:1)", "flask (requirements.txt:4)"]);
    assert_eq!(environment.constraints[0].origin.to_string(), "c.txt:1");
    assert_eq!(project.indexes.index_url.as_ref().unwrap().0.password(), Some("s3cret"));
    assert!(!format!("{project:?}").contains("s3cret"));
    assert_eq!(project.name, project.root.file_name().unwrap().to_str().unwrap());
    assert_eq!(project.components[0].run.python_path, ["/app"]);
}

#[test]
fn which_file_counts() {
    for (pyproject, expected, warnings) in [
        ("[project]\nname = 'x'\ndependencies = ['a']", "a", 1),
        ("[project]\nname = 'x'\ndynamic = ['dependencies']", "b", 0),
        ("[project]\nname = 'x'", "b", 0),
        ("[tool.poetry.dependencies]\nc = '1'", "b", 0),
        ("[tool.ruff]", "b", 0),
    ] {
        let project = read(&[("pyproject.toml", pyproject), ("requirements.txt", "b")]).unwrap();
        assert_eq!(names(&project.components[0].environments[0]), [expected], "{pyproject}");
        assert_eq!(project.warnings.len(), warnings, "{pyproject}");
    }
    let named = "[project]\nname = 'x'\ndynamic = ['dependencies']\n\
                 [tool.setuptools.dynamic]\ndependencies = {file = ['reqs/base.txt']}";
    let project = read(&[("pyproject.toml", named), ("reqs/base.txt", "d")]).unwrap();
    assert_eq!(requirements(&project.components[0].environments[0]), ["d (reqs/base.txt:1)"]);
}

#[test]
fn what_is_no_project_says_what_was_looked_for() {
    for files in [&[("x.py", "")][..], &[("pyproject.toml", "[tool.ruff]")], &[("setup.py", "")]] {
        let error = read(files).unwrap_err();
        assert!(matches!(error, Error::NoProject { .. }) && error.hint().is_some(), "{error}");
        assert!(
            error
                .to_string()
                .contains("obproject.toml, pyproject.toml with a [project] table, and requirements.txt")
        );
    }
    let error = discover(Path::new("/nonexistent")).unwrap_err();
    assert_eq!(
        (error.exit_code(), error.hint().unwrap().as_str()),
        (ExitCode::Project, "there is no such directory")
    );
}

#[test]
fn broken_pyprojects_are_told_with_their_line() {
    for (pyproject, expected) in [
        ("[project]\nname = ", "pyproject.toml:2: not valid TOML: "),
        ("[project]\nname = 'x'\nname = 'y'", "pyproject.toml:3: not valid TOML: "),
        ("[project]\nversion = '1'", "pyproject.toml:1: [project] must have a `name`"),
        (
            "[project]\nname = 'x'\ndependencies = [\n'a',\n'b c']",
            "pyproject.toml:5: `b c` is not a valid requirement",
        ),
        (
            "[project]\nname = 'x'\ndependencies = 'a'",
            "pyproject.toml:3: `project.dependencies` must be an array",
        ),
        (
            "[project]\nname = 'x'\ndependencies = ['a', 1]",
            "pyproject.toml:3: `project.dependencies` must hold strings",
        ),
        (
            "[project]\nname = 'x'\ndynamic = ['dependencies']",
            "pyproject.toml:3: the dependencies are dynamic",
        ),
        (
            "[tool.poetry.dependencies]\na = '1'",
            "pyproject.toml:1: the dependencies are in Poetry's own form",
        ),
        ("[project]\nname = 'x'\n[project.scripts]\n'../x' = 'a:b'", "pyproject.toml:4: `../x` cannot be"),
        (
            "[project]\nname = 'x'\n[project.scripts]\nx = 'import os;os'",
            "pyproject.toml:4: `import os;os` is not",
        ),
        (
            "[project]\nname = 'x'\ndependencies = ['a']\n[tool.uv.sources]\na = {workspace = true}",
            "pyproject.toml:5: no member of the workspace is called `a`",
        ),
        (
            "[project]\nname = 'x'\n[tool.uv]\nexclude-newer-package = {a = '2024-01-01'}",
            "pyproject.toml:4: `tool.uv.exclude-newer-package` is not supported",
        ),
        (
            "[project]\nname = 'x'\ndependencies = ['a @ https://u:s3cret@h.example/a.whl']",
            "pyproject.toml:3: the URL of requirement `a` holds credentials",
        ),
        ("project = 1", "pyproject.toml:1: `project` must be a table"),
    ] {
        let text = error(&[("pyproject.toml", pyproject)]);
        assert!(text.starts_with(expected) && !text.contains("s3cret"), "{text}");
    }
    let deep = format!("x = {}", "[".repeat(100_000));
    assert!(error(&[("pyproject.toml", &deep)]).starts_with("pyproject.toml:1: not valid TOML: "));
}

#[test]
fn files_that_are_read_must_be_text_inside_the_project() {
    let directory = project(&[("requirements.txt", "a\n")]);
    fs::write(directory.path().join("requirements.txt"), b"a\nb\xff\n").unwrap();
    let error = discover(directory.path()).unwrap_err();
    assert_eq!(error.to_string(), "requirements.txt:2: the text is not UTF-8");

    let outside = project(&[("r.txt", "a\n")]);
    fs::remove_file(directory.path().join("requirements.txt")).unwrap();
    symlink(outside.path().join("r.txt"), directory.path().join("requirements.txt")).unwrap();
    assert!(matches!(discover(directory.path()), Err(Error::OutsideFile { .. })));
    assert_eq!(
        super::error(&[("requirements.txt", "\n-r ../x.txt")]),
        "requirements.txt:2: `../x.txt` is outside the project"
    );
    assert_eq!(
        super::error(&[("requirements.txt", "-r x.txt")]),
        "requirements.txt:1: there is no file `x.txt`"
    );
}

#[test]
fn settings_that_mean_something_are_not_said_to_mean_nothing() {
    let said = "prerelease = 'allow'\nresolution = 'lowest'\nexclude-newer = '2024-05-31'\nconstraint-dependencies = ['a<2']\n\
                override-dependencies = []\nexclude-dependencies = ['x']\nno-index = false\nindex-strategy = 'first-index'\n\
                keyring-provider = 'disabled'\nbuild = ['a']\nno-build = false\nno-build-package = ['b']\nno-binary = false\n\
                no-binary-package = []\nindex-url = 'https://h.example/simple'\nextra-index-url = []\nfind-links = []\n\
                extras = []\ngroups = []\nuser = '1'\nworkdir = '/w'\nstop-signal = 'SIGINT'\nentrypoint = 'a'\ncmd = 'b'\n\
                expose = [1]\nenv = {}\nlabels = {}\ncomponents = {}\ndebian-suite = 'bookworm'\ndebian-packages = []\n\
                debian-security = false\npython-archives = []\nmeaningless = 1\n\
                [[tool.bakehouse.index]]\nurl = 'https://i.example/simple'\n";
    let pyproject =
        format!("[project]\nname = 'p'\nversion = '1'\ndependencies = ['a']\n[tool.bakehouse]\n{said}");
    let nothing = "pyproject.toml:38: `tool.bakehouse.meaningless` means nothing here";
    let plain = read(&[("pyproject.toml", &pyproject)]).unwrap();
    assert_eq!(shown(&plain.warnings), [nothing]);
    let flow = "from metaflow import *\nclass F(FlowSpec):\n  @step\n  def start(self): pass\n";
    let files =
        [("obproject.toml", "project = 'p'"), ("pyproject.toml", &pyproject), ("flows/f/flow.py", flow)];
    let project = read(&files).unwrap();
    let warnings = shown(&project.warnings);
    assert!(warnings.contains(&nothing.to_owned()), "{warnings:?}");
    assert_eq!(
        warnings.iter().filter(|warning| warning.contains("means nothing")).count(),
        1,
        "{warnings:?}"
    );
    // How versions are chosen is said once, for all.
    let own = "[project]\nname = 'd'\ndependencies = ['b']\n[tool.bakehouse]\nconstraint-dependencies = ['b<3']\nresolution = 'lowest'\n";
    let files = [
        ("obproject.toml", "project = 'p'"),
        ("deployments/d/config.yml", "port: 1\n"),
        ("deployments/d/pyproject.toml", own),
    ];
    let project = read(&files).unwrap();
    let warnings = shown(&project.warnings);
    let nothing = "deployments/d/pyproject.toml:6: `tool.bakehouse.resolution` means nothing here";
    assert!(warnings.contains(&nothing.to_owned()), "{warnings:?}");
    assert_eq!(
        warnings.iter().filter(|warning| warning.contains("means nothing")).count(),
        1,
        "{warnings:?}"
    );
}
