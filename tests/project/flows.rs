//! What `flow.py` says of its environments.

use super::*;

#[test]
fn imports_and_aliases_are_followed() {
    let code = "import metaflow\nimport metaflow as mf\nfrom metaflow import FlowSpec as Spec, pypi as p, step as s\n\
                class Base(Spec):\n  @s\n  def start(self): pass\n\
                class F(Base):\n  @mf.pypi(packages={'a': '1'})\n  @metaflow.step\n  def middle(self): pass\n  \
                @p(packages={'b': '1'})\n  @mf.step\n  def end(self): pass\n  def helper(self): pass\n";
    let project = read(&[("obproject.toml", "project = 'p'"), ("flows/f/flow.py", code)]).unwrap();
    let steps: Vec<_> =
        project.components[0].environments.iter().map(|e| (e.steps.join(","), names(e))).collect();
    assert_eq!(
        steps,
        [
            ("start".to_owned(), vec![]),
            ("middle".to_owned(), vec!["a==1".to_owned()]),
            ("end".to_owned(), vec!["b==1".to_owned()])
        ]
    );
    assert!(shown(&project.warnings)[0].starts_with("flows/f/flow.py:7: flow `F` subclasses FlowSpec"));
}

#[test]
fn packages_may_be_literals_and_constants_of_the_same_file() {
    let head = "A = {'a': '1', 'b': '2'}\nV: str = '3'\nC = dict(A, c=V)\nALL = {'x': A}";
    for (packages, expected) in [
        ("{'a': '1'}", "a==1"),
        ("A", "a==1 b==2"),
        ("{**A, 'a': '9'}", "a==9 b==2"),
        ("A | {'c': '1' '.0'}", "a==1 b==2 c==1.0"),
        ("C", "a==1 b==2 c==3"),
        ("A.copy()", "a==1 b==2"),
        ("ALL['x']", "a==1 b==2"),
        ("{'a': f'>={V}.1', 'b' + 'c': '<' + V}", "a>=3.1 bc<3"),
        ("{}", ""),
        ("None", ""),
        ("LOCAL", "l==1"),
    ] {
        let body = format!("LOCAL = {{'l': '1'}}\n@pypi(packages={packages})\n{STEPS}");
        let flow = flow(head, &body).unwrap_or_else(|error| panic!("{packages}: {error}"));
        assert_eq!(names(&flow.environments[0]).join(" "), expected, "{packages}");
    }
}

#[test]
fn a_decorator_may_be_kept_in_a_variable() {
    let flow = flow("deps = pypi(packages={'a': '1'})", &format!("@deps\n{STEPS}")).unwrap();
    assert_eq!(requirements(&flow.environments[0]), ["a==1 (flows/f/flow.py:3)"]);
}

#[test]
fn what_is_known_only_when_the_code_runs_is_an_error_with_the_way_out() {
    for (head, arguments, reason) in [
        ("", "packages=make()", "it is the result of a call"),
        ("import os", "python=os.environ['X']", "`os` is imported (`os`)"),
        ("from config import DEPS", "packages=DEPS", "`DEPS` is imported (`config.DEPS`)"),
        ("A = {}\nA['x'] = '1'", "packages=A", "`A` is changed on line 4"),
        ("A = {}\ndef f(): A.update(x='1')", "packages=A", "`A` is changed on line 4"),
        ("A = {}\nA = {'x': '1'}", "packages=A", "`A` is bound more than once (line 4)"),
        ("if 1:\n  A = {}", "packages=A", "`A` is bound more than once (line 4)"),
        ("", "packages=A", "`A` is not a constant of this file"),
        ("A = B\nB = A", "packages=A", "it is made of too many parts"),
        ("", "**make()", "it is the result of a call"),
        (
            "p = other\nC = Config('c', default='c.json', parser=p)",
            "**C",
            "the parser of configuration `c` is not one that is known",
        ),
        (
            "if x: p = 'json.loads'\nelse: p = 'tomllib.loads'\nC = Config('c', default_value='{}', parser=p)",
            "**C",
            "the parser of configuration `c` is not one that is known",
        ),
        (
            "C = Config('c')",
            "packages=C.x",
            "the configuration `c` has no default: it is known only when the flow is deployed",
        ),
        ("C = Config('c', default='c.json')", "packages=C.x", "there is no file `flows/f/c.json`"),
        ("", "{'a': '1'}", "they are not given by keyword"),
        ("", "packages={1: '1'}", "a key is not a string"),
        (
            "def p(t):\n  with open(t) as x: return x\nC = Config('c', default_value='{}', parser=p)",
            "**C",
            "`p` does more here than to make a value of others",
        ),
    ] {
        let error = flow(head, &format!("@pypi({arguments})\n{STEPS}")).unwrap_err();
        assert!(matches!(error, Error::NotStatic { .. }), "{arguments}: {error}");
        let text = error.to_string();
        assert!(text.contains("step `start`") && text.ends_with(reason), "{text}");
        assert!(text.starts_with("flows/f/flow.py:") && error.hint().unwrap().contains("literal"));
    }
    let hidden = flow("def gpu(f):\n  if f: f = pypi(packages=X)(f)\n  return f", &format!("@gpu\n{STEPS}"))
        .unwrap_err();
    assert!(hidden.to_string().contains("the function at line 3 uses @pypi or @conda itself"), "{hidden}");
    let image = "def gpu(f):\n  if f: f = kubernetes(image=X)(f)\n  return f";
    let hidden = flow(image, &format!("@gpu\n{STEPS}")).unwrap_err();
    assert!(hidden.to_string().contains("names an image for @kubernetes or @batch itself"), "{hidden}");
}

#[test]
fn constants_that_double_do_not_exhaust_memory() {
    let mut head = "A0 = 'x'\n".to_owned();
    (1..100).for_each(|n| head.push_str(&format!("A{n} = A{0} + A{0}\n", n - 1)));
    let error = flow(&head, &format!("@pypi(python=A99)\n{STEPS}")).unwrap_err();
    assert!(matches!(error, Error::NotStatic { .. }), "{error}");
}

#[test]
fn wrong_types_are_told() {
    for (arguments, problem) in [
        (
            "packages={'a': 1.0}",
            "the version of `a` in `packages` of @pypi of step `start` is a float, not a string",
        ),
        ("packages=['a']", "`packages` of @pypi of step `start` is a list, not a dictionary"),
        (
            "python=3.11",
            "`python` of @pypi of step `start` is a float, not a string: put the version in quotes",
        ),
        ("python='three'", "`three` is not a Python version"),
        ("packages={'a b': '1'}", "`a b==1` is not a valid requirement"),
        ("index_strategy='unsafe'", "`index_strategy` of @pypi of step `start` is not supported yet"),
    ] {
        let error = flow("", &format!("@pypi({arguments})\n{STEPS}")).unwrap_err().to_string();
        assert!(error.starts_with("flows/f/flow.py:5: ") && error.contains(problem), "{error}");
    }
    let error = flow("", &format!("@kubernetes(image='oci:x')\n{STEPS}")).unwrap_err().to_string();
    assert_eq!(error, "flows/f/flow.py:5: `oci:x` is not a registry reference");
}

const PYPROJECT: &str =
    "[project]\nrequires-python = '>=3.10'\ndependencies = ['Scikit.Learn==1.4', 'pandas>=2']";

#[test]
fn a_step_is_laid_over_the_base() {
    let own_base = "@pypi_base(packages={'scikit-learn': '1.4', 'pandas': '>=2'}, python='>=3.10')";
    let body = "@pypi(packages={'scikit_learn': '1.5'})\n@step\ndef start(self): pass\n\
                @step\ndef middle(self): pass\n@pypi(disabled=True)\n@step\ndef end(self): pass";
    let with_project = flow_beside(PYPROJECT, "", body).unwrap();
    let with_base = flow(own_base, body).unwrap();
    for flow in [with_project, with_base] {
        let [start, middle, end] = &flow.environments[..] else { panic!() };
        assert_eq!(names(start), ["pandas>=2", "scikit-learn==1.5"]);
        assert_eq!(names(middle), ["scikit-learn==1.4", "pandas>=2"]);
        assert!(python(start).starts_with(">=3.10 ") && python(middle).starts_with(">=3.10 "));
        assert!(names(end).is_empty() && end.python.is_none(), "disabled: neither packages nor a Python");
    }
}

#[test]
fn include_pyproject_toml_false_and_empty_dependencies_leave_flows_without_a_base() {
    let code = "from obproject import ProjectFlow\nfrom metaflow import step\nclass F(ProjectFlow):\n  @step\n  def start(self): pass";
    for (obproject, pyproject) in [
        ("project = 'p'\n[dependencies]\ninclude_pyproject_toml = false", PYPROJECT),
        ("project = 'p'", "[project]\nrequires-python = '>=3.10'\ndependencies = []"),
        ("project = 'p'", "[tool.ruff]\nline-length = 100"),
    ] {
        let project =
            read(&[("obproject.toml", obproject), ("pyproject.toml", pyproject), ("flows/f/flow.py", code)])
                .unwrap();
        let environment = &project.components[0].environments[0];
        assert!(names(environment).is_empty() && environment.python.is_none());
    }
}

#[test]
fn a_package_called_python_is_the_python_version() {
    let flow = flow("", &format!("@pypi(packages={{'python': '3.12', 'a': ''}})\n{STEPS}")).unwrap();
    assert_eq!(names(&flow.environments[0]), ["a"]);
    assert_eq!(python(&flow.environments[0]), "==3.12.* (flows/f/flow.py:5)");
}

#[test]
fn the_platforms_errors_are_given() {
    let step = |decorators: &str| format!("{decorators}\n{STEPS}");
    let error = flow_beside(PYPROJECT, "@pypi_base(packages={})", STEPS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "flows/f/flow.py:3: flow `f` has @pypi_base, and so has the whole project through pyproject.toml:3"
    );
    let error = flow("", &step("@conda(packages={'a': '1'})\n@pypi(packages={'a': '1'})")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "flows/f/flow.py:6: step `start` of flow `f` mixes @conda and @pypi (the other is at flows/f/flow.py:5)"
    );
    let error = flow_beside(PYPROJECT, "", &step("@conda")).unwrap_err();
    assert!(matches!(error, Error::MixedEcosystems { .. }), "{error}");
    let error = flow_beside(PYPROJECT, "@conda_base(packages=whatever())", STEPS).unwrap_err();
    assert!(error.to_string().starts_with("flows/f/flow.py:3: flow `f` mixes"), "{error}");
}

#[test]
fn a_file_has_exactly_one_flow() {
    let read_code = |code: &str| {
        read(&[("obproject.toml", "project = 'p'"), ("flows/f/flow.py", code)])
            .map(|p| p.components[0].clone())
    };
    let class = |name: &str, base: &str| format!("class {name}({base}):\n  @step\n  def start(self): pass\n");
    let head = "from metaflow import *\n";
    let two = format!("{head}{}{}", class("A", "FlowSpec"), class("B", "FlowSpec"));
    let error = |code: &str| read_code(code).unwrap_err().to_string();
    assert_eq!(error("x = 1"), "flows/f/flow.py: no class here subclasses ProjectFlow or FlowSpec");
    assert_eq!(error(&two), "flows/f/flow.py:5: several flows in one file: `A`, `B`");
    assert!(read_code(&format!("{two}if __name__ == '__main__':\n  A()")).is_ok());
    assert_eq!(
        error(&format!("{head}\nclass A(FlowSpec):\n  def start(self): pass")),
        "flows/f/flow.py:3: flow `A` has no steps (methods with @step)"
    );
    assert!(error("def f(:").starts_with("flows/f/flow.py:1: not valid Python: "));
}
