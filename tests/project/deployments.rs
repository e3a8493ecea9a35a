//! What `config.yml` says.

use super::*;

#[test]
fn dependencies_are_a_dictionary() {
    let component = deployment(
        "dependencies:\n  python: '3.12'\n  pypi:\n    torch: 2.3.1\n    uvicorn[standard]: \"\"\n    numpy: '!=1.5,<2'\n",
    )
    .unwrap();
    let environment = &component.environments[0];
    assert_eq!(
        requirements(environment),
        [
            "torch==2.3.1 (deployments/d/config.yml:4)",
            "uvicorn[standard] (deployments/d/config.yml:5)",
            "numpy!=1.5,<2 (deployments/d/config.yml:6)"
        ]
    );
    assert_eq!(python(environment), "==3.12.* (deployments/d/config.yml:2)");
    assert_eq!(environment.lock_path, "deployments/d/pylock.toml");
}

#[test]
fn explicit_dependencies_are_all_that_counts() {
    let base = [
        ("obproject.toml", "project = 'p'"),
        ("pyproject.toml", "[project]\nrequires-python = '>=3.9'\ndependencies = ['pandas==2', 'numpy==1']"),
        ("deployments/d/requirements.txt", "numpy==2"),
        ("extra/r.txt", "flask\n"),
        ("extra/pyproject.toml", "[project]\ndependencies = ['django']"),
    ];
    for (config, expected) in [
        ("", "pandas==2 numpy==2"),
        ("name: d\n", "pandas==2 numpy==2"),
        ("dependencies:\n", "pandas==2 numpy==2"),
        ("dependencies: {pypi: {a: '1'}}", "a==1"),
        ("dependencies: {pypi: {}}", ""),
        ("dependencies: {no_deps: true}", ""),
        ("dependencies: {from_requirements_file: ./extra/r.txt}", "flask"),
        ("dependencies: {from_pyproject_toml: extra/pyproject.toml}", "django"),
    ] {
        let mut files = base.to_vec();
        files.push(("deployments/d/config.yaml", config));
        let project = read(&files).unwrap_or_else(|error| panic!("{config}: {error}"));
        assert_eq!(names(&project.components[0].environments[0]).join(" "), expected, "{config}");
    }
}

#[test]
fn values_are_what_yaml_1_1_makes_of_them() {
    let config = "base: &base {A: 010, B: 1:30, C: yes}\nenvironment:\n  <<: *base\n  C: 'no'\n  D: 1.10\n  E: 1e5\n  F: 0x1F\nport: 0x1F90\n";
    let component = deployment(config).unwrap();
    let shown: Vec<String> =
        component.run.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(shown, ["A=8", "B=90", "C=no", "D=1.1", "E=1e5", "F=31"]);
    assert_eq!(component.run.ports, [8080]);
    assert_eq!(deployment("environment: {A: on}").unwrap().run.env["A"], "True");
}

/// The texts are those of the platform's client; `deployment-variables` in `testdata/projects` is compared with it.
#[test]
fn lists_and_dictionaries_are_variables_as_json() {
    let config = "environment:\n  A: [1, 2.50, yes, ~, 'x', é😀]\n  B: {z: [], a: {d: 0x1F, c: \"q\\\"\\n\"}}\n  C: []\n  D: {}\n  E: [1e400, .inf]\n";
    let component = deployment(config).unwrap();
    let shown: Vec<String> =
        component.run.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        shown,
        [
            "A=[1, 2.5, true, null, \"x\", \"\\u00e9\\ud83d\\ude00\"]",
            "B={\"a\": {\"c\": \"q\\\"\\n\", \"d\": 31}, \"z\": []}",
            "C=[]",
            "D={}",
            "E=[\"1e400\", Infinity]",
        ]
    );
    let project =
        read(&[("obproject.toml", "project = 'p'"), ("deployments/d/config.yml", "environment:\n  A:\n")]);
    let project = project.unwrap();
    assert_eq!(project.components[0].run.env["A"], "None");
    assert!(
        shown_has(&project.warnings, "deployments/d/config.yml:2: `A` has no value"),
        "{:?}",
        project.warnings
    );
}

#[test]
fn mistakes_are_told_with_their_line() {
    for (config, expected) in [
        ("dependencies:\n  pypi:\n    a: 1.45", "3: the version of `a` is 1.45, not a string"),
        ("dependencies:\n  pypi:\n    a:", "3: the version of `a` is empty, not a string"),
        ("dependencies:\n  conda: {a: 1.10}", "2: the version of `a` is 1.10, not a string"),
        ("dependencies:\n  pypi: {a: '1'}\n  from_requirements_file: r.txt", "3: there is no file `r.txt`"),
        ("dependencies:\n  from_requirements_file: ../r.txt", "2: `../r.txt` is outside the project"),
        ("dependencies:\n  poetry: x", "2: `dependencies.poetry` is not supported yet"),
        (
            "dependencies:\n  pypi: {a: '1'}\n  no_deps: true",
            "3: `dependencies` has both `pypi` and `no_deps`",
        ),
        ("python: 3.10", "1: `python` is 3.10, not a string"),
        ("image: [a]", "1: `image` must be a string"),
        ("image: 'A B'", "1: `A B` is not a registry reference"),
        ("a: 1\nport: http", "2: `port` must be a number from 1 to 65535"),
        ("commands: python x.py", "1: `commands` must be a list of strings"),
        ("environment:\n  A: 2024-01-01", "2: the value of `A` must be a string"),
        ("environment:\n  A: [{b: 2024-01-01}]", "2: the value of `A` must be a string"),
        ("python: 1:30", "1: `python` is 1:30, not a string"),
        ("dependencies:\n  pypi: {a: 2024-01-01}", "2: the version of `a` is 2024-01-01, not a string"),
        ("a: 1\nb: [", "not valid YAML"),
        ("a: 1\na: 2", "2: not valid YAML: the key `a` occurs twice"),
        ("- a", "1: a configuration is a mapping of keys to values"),
    ] {
        let error = deployment(config).expect_err(config);
        assert_eq!(error.exit_code(), ExitCode::Project, "{config}");
        let text = error.to_string();
        assert!(text.starts_with("deployments/d/config.yml:") && text.contains(expected), "{text}");
    }
}

#[test]
fn several_commands_run_in_a_shell() {
    let component = deployment("commands:\n  - cd x\n  - python app.py").unwrap();
    assert_eq!(
        component.run.command.unwrap(),
        ["/bin/bash", "-c", "set -eEuo pipefail\ncd x\npython app.py"]
    );
    assert_eq!(deployment("commands: []").unwrap().run.command, None);
}
