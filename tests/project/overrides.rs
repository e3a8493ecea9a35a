//! `[bakehouse.flows]` in `obproject.toml`: the way out where decorators cannot be read.

use super::*;

const FLOW: &str = "from obproject import ProjectFlow\nfrom metaflow import *\n@pypi_base(packages=made())\n\
    class F(ProjectFlow):\n  @pypi(packages=made())\n  @step\n  def start(self): pass\n  \
    @pypi(packages={'e': '1'})\n  @step\n  def end(self): pass\n";

fn with(overrides: &str) -> Result<Project, Error> {
    let obproject = format!("project = 'p'\n{overrides}");
    read(&[("obproject.toml", &obproject), ("pyproject.toml", PYPROJECT), ("flows/f/flow.py", FLOW)])
}

const PYPROJECT: &str = "[project]\ndependencies = ['shared==1', 'b==1']";

#[test]
fn what_is_said_there_stands_in_for_the_decorators() {
    let project = with(
        "[bakehouse.flows.f]\npypi = { b = '2' }\npython = '3.11'\n\
         [bakehouse.flows.f.steps.start]\npypi = { s = '>=1' }\nimage = 'python:3.12'\n",
    )
    .unwrap();
    let [start, end] = &project.components[0].environments[..] else { panic!() };
    assert_eq!(
        requirements(start),
        ["shared==1 (pyproject.toml:2)", "b==2 (obproject.toml:3)", "s>=1 (obproject.toml:6)"]
    );
    assert_eq!(python(start), "==3.11.* (obproject.toml:4)");
    assert_eq!(start.base.as_ref().unwrap().reference, "python:3.12");
    assert_eq!(names(end), ["shared==1", "b==2", "e==1"]);

    let project =
        with("[bakehouse.flows.f]\npypi = {}\n[bakehouse.flows.f.steps]\nstart = { disabled = true }\n")
            .unwrap();
    assert!(names(&project.components[0].environments[0]).is_empty());
}

#[test]
fn mistakes_are_told_with_their_line() {
    let base = "[bakehouse.flows.f]\npypi = {}\n";
    for (overrides, expected) in [
        ("[bakehouse.flows.g]\npypi = {}", "2: there is no flow `g`"),
        (
            &format!("{base}[bakehouse.flows.f.steps.nope]\n"),
            "4: flow `f` has no step `nope`: its steps are start, end",
        ),
        (&format!("{base}packages = {{}}\n"), "4: `packages` means nothing here"),
        (&format!("{base}conda = {{}}\n"), "2: it has both `pypi` and `conda`: keep one of them"),
        (&format!("{base}channels = ['x']\n"), "2: `channels` are for `conda` packages"),
        ("[bakehouse.flows.f]\npypi = ['a']", "3: `bakehouse.flows.f.pypi` must be a table"),
        ("[bakehouse.flows.f]\npypi = { a = 1 }", "3: `bakehouse.flows.f.pypi.a` must be a string"),
        ("bakehouse = 1", "2: `bakehouse` must be a table"),
        (base, "flows/f/flow.py:5: `packages` of @pypi of step `start` cannot be known"),
        ("", "flows/f/flow.py:3: flow `f` has @pypi_base, and so has the whole project"),
    ] {
        let error = with(overrides).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.exit_code(), ExitCode::Project);
        assert!(text.strip_prefix("obproject.toml:").unwrap_or(&text).starts_with(expected), "{text}");
    }
}
