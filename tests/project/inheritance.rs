//! Flows whose steps and decorators come from other modules of the project.

use super::*;

const OBPROJECT: (&str, &str) = ("obproject.toml", "project = 'p'");

fn steps(files: &[(&str, &str)]) -> Result<Vec<String>, Error> {
    let mut all = vec![OBPROJECT];
    all.extend(files);
    let project = read(&all)?;
    let environments = &project.components[0].environments;
    Ok(environments.iter().map(|e| format!("{}: {}", e.steps.join(","), names(e).join(" "))).collect())
}

const BASE: &str = "from metaflow import pypi, pypi_base, step\nfrom obproject import ProjectFlow\n\
    @pypi_base(packages={'base': '1'}, python='3.11')\nclass BaseFlow(ProjectFlow):\n  \
    @pypi(packages={'s': '1'})\n  @step\n  def start(self): pass\n  \
    @step\n  def end(self): pass\n";

#[test]
fn a_base_class_may_be_in_another_module() {
    for (path, import, base) in [
        ("flows/base.py", "from flows.base import BaseFlow", "BaseFlow"),
        ("src/shared/__init__.py", "from shared import BaseFlow as B", "B"),
        ("src/shared/flows.py", "import shared.flows", "shared.flows.BaseFlow"),
        ("flows/f/base.py", "from base import *", "BaseFlow"),
        ("flows/f/base.py", "from .base import BaseFlow", "BaseFlow"),
    ] {
        let code = format!(
            "{import}\nfrom metaflow import step, pypi\nclass F({base}):\n  \
             @pypi(packages={{'m': '1'}})\n  @step\n  def middle(self): pass\n  def end(self): pass\n  end = BaseFlow.end\n"
        );
        let code = code.replace("  end = BaseFlow.end\n", "");
        let found = steps(&[(path, BASE), ("flows/f/flow.py", &code)]).unwrap();
        // The method `end` hides the step of that name.
        assert_eq!(found, ["start: base==1 s==1", "middle: base==1 m==1"], "{import}");
    }
}

#[test]
fn names_may_be_passed_on_from_module_to_module() {
    let found = steps(&[
        ("src/lib/__init__.py", "from .flows import BaseFlow\nfrom .deps import *"),
        ("src/lib/flows.py", BASE),
        ("src/lib/deps.py", "from .versions import NUMPY\nGPU = {'numpy': NUMPY}\n"),
        ("src/lib/versions.py", "NUMPY = '2.0'\n"),
        (
            "flows/f/flow.py",
            "from lib import *\nfrom metaflow import step, pypi\nclass F(BaseFlow):\n  \
             @pypi(packages=GPU)\n  @step\n  def end(self): pass\n",
        ),
    ])
    .unwrap();
    assert_eq!(found, ["start: base==1 s==1", "end: base==1 numpy==2.0"]);
}

#[test]
fn methods_are_found_in_pythons_order() {
    let class = |name: &str, bases: &str, version: &str| {
        format!(
            "class {name}({bases}):\n  @pypi(packages={{'{}': '{version}'}})\n  @step\n  def start(self): pass\n",
            name.to_lowercase()
        )
    };
    let head = "from metaflow import *\n";
    let (a, b) = (class("A", "FlowSpec", "1"), class("B", "FlowSpec", "1"));
    let (c, empty) = (class("C", "FlowSpec", "1"), "class F(A, B): pass\n");
    for (code, expected) in [
        (format!("{head}{a}{b}{empty}"), "start: a==1"),
        (format!("{head}{c}class A(C): pass\n{}{empty}", class("B", "C", "1")), "start: b==1"),
    ] {
        assert_eq!(steps(&[("flows/f/flow.py", &code)]).unwrap(), [expected]);
    }
    let crossed = format!("{head}{a}class B(A): pass\nclass F(A, B): pass\n");
    let error = steps(&[("flows/f/flow.py", &crossed)]).unwrap_err();
    assert!(error.to_string().contains("its base classes cannot be put in order"), "{error}");
    let circle = "from a import A\nclass F(A): pass\n";
    let error =
        steps(&[("flows/f/flow.py", circle), ("flows/f/a.py", "from flow import F\nclass A(F): pass\n")]);
    assert!(matches!(error, Err(Error::Flow { .. })));
}

#[test]
fn a_decorator_of_the_flow_may_be_there_once() {
    let code = "from flows.base import BaseFlow\nfrom metaflow import *\n@pypi_base(packages={})\nclass F(BaseFlow): pass\n";
    let error = steps(&[("flows/base.py", BASE), ("flows/f/flow.py", code)]).unwrap_err();
    assert_eq!(error.to_string(), "flows/base.py:3: @pypi_base is given twice (first at flows/f/flow.py:3)");
    let error = flow("", &format!("@pypi(packages={{}})\n@pypi(packages={{}})\n{STEPS}")).unwrap_err();
    assert_eq!(error.to_string(), "flows/f/flow.py:6: @pypi is given twice (first at flows/f/flow.py:5)");
}

#[test]
fn decorators_may_be_wrapped_by_modules_of_the_project() {
    let deps = "from functools import partial\nfrom metaflow import pypi, kubernetes, step\nfrom metaflow import pypi as mine\n\
                GPU = {'torch': '2'}\nfixed = pypi(packages=GPU)\nalias = pypi\nbound = partial(pypi, packages=GPU)\n\
                def both(f):\n  'What training needs.'\n  return fixed(kubernetes(image='python:3.12')(f))\n\
                def made():\n  return pypi(packages=GPU)\ndef quiet(f):\n  print(f)\n  return f\n\
                def each(f):\n  f = kubernetes(image='python:3.12')(f)\n  f = fixed(f)\n  return f\n\
                def sized(version='2', *, image='python:3.12'):\n  def apply(f):\n    f = kubernetes(image=image)(f)\n    \
                return pypi(packages={'torch': version})(f)\n  return apply\n";
    for (decorator, expected) in [
        ("fixed", "torch==2"),
        ("alias(packages={'x': '1'})", "x==1"),
        ("mine(packages={'x': '1'})", "x==1"),
        ("bound()", "torch==2"),
        ("bound(packages={'x': '1'})", "x==1"),
        ("both", "torch==2"),
        ("made()", "torch==2"),
        ("quiet", ""),
        ("each", "torch==2"),
        ("sized()", "torch==2"),
        ("sized('3', image='python:3.12')", "torch==3"),
    ] {
        let name = decorator.split('(').next().unwrap();
        let code = format!(
            "from obproject import ProjectFlow\nfrom metaflow import step\nfrom deps import {name}\n\
             class F(ProjectFlow):\n  @{decorator}\n  @step\n  def start(self): pass\n"
        );
        let files = [OBPROJECT, ("src/deps.py", deps), ("flows/f/flow.py", code.as_str())];
        let project = read(&files).unwrap_or_else(|error| panic!("{decorator}: {error}"));
        let environment = &project.components[0].environments[0];
        assert_eq!(names(environment).join(" "), expected, "{decorator}");
        assert_eq!(environment.base.is_some(), ["both", "each", "sized"].contains(&name), "{decorator}");
    }
}

#[test]
fn wrappers_and_mutators_that_must_run_are_errors_that_name_both_places() {
    let deps = "from metaflow import pypi, StepMutator\nimport sys\nclass my_step(StepMutator):\n  def mutate(self, s):\n    \
                s.add_decorator('pypi', packages=sys.argv)\ndef gpu(version):\n  def apply(f):\n    return pypi(packages={'t': version})(f)\n  \
                return apply\n";
    for (decorator, error) in [
        (
            "my_step",
            "flows/f/flow.py:5: what `@my_step` does to step `start` cannot be known without running the code: \
             the class at src/deps.py:3 uses @pypi or @conda itself",
        ),
        (
            "gpu(f())",
            "flows/f/flow.py:5: `packages` of @pypi of step `start` cannot be known without running the code: \
             it is the result of a call",
        ),
        (
            "gpu()",
            "src/deps.py:6: `packages` of @pypi of step `start` cannot be known without running the code: \
             `version` is a parameter",
        ),
    ] {
        let expected = error;
        let name = decorator.split('(').next().unwrap();
        let code = format!(
            "from obproject import ProjectFlow\nfrom metaflow import step\nfrom deps import {name}\n\
             class F(ProjectFlow):\n  @{decorator}\n  @step\n  def start(self): pass\n"
        );
        let error = read(&[OBPROJECT, ("src/deps.py", deps), ("flows/f/flow.py", &code)]).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().unwrap().contains("obproject.toml"));
    }
}

#[test]
fn steps_may_be_functions_of_other_modules() {
    let found = steps(&[
        ("src/steps.py", "from metaflow import step, pypi\n@pypi(packages={'t': '1'})\n@step\ndef train(self): pass\n\
                          @step\ndef end(self): pass\ndef helper(self): pass\n"),
        (
            "flows/f/flow.py",
            "from obproject import ProjectFlow\nfrom metaflow import step\nimport steps\nfrom steps import train as shared\n\
             class F(ProjectFlow):\n  from steps import end, helper\n  @step\n  def start(self): pass\n  \
             train = shared\n  again = steps.train\n",
        ),
    ])
    .unwrap();
    assert_eq!(found, ["start,end: ", "train,again: t==1"]);
}

#[test]
fn what_is_not_in_the_project_is_told() {
    let code = |base: &str| {
        format!(
            "from orglib import {base}, Mixin, traced\nfrom obproject import ProjectFlow\nfrom metaflow import step\n\
                 class F({base}, Mixin):\n  @traced\n  @step\n  def start(self): pass\n"
        )
    };
    let error = steps(&[("flows/f/flow.py", &code("OrgFlow"))]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "flows/f/flow.py:4: no class here subclasses ProjectFlow or FlowSpec; `F` inherits from `orglib.OrgFlow`, \
         which is not in the project"
    );
    let project = read(&[OBPROJECT, ("flows/f/flow.py", &code("ProjectFlow"))]).unwrap();
    let warned = shown(&project.warnings);
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned[0].starts_with("flows/f/flow.py:4: `F` uses `orglib.Mixin`, which is not in the project"));
    assert!(warned[1].starts_with("flows/f/flow.py:7: `start` uses `orglib.traced`"));
}

#[test]
fn configurations_of_a_base_class_in_another_module_are_found() {
    let found = steps(&[
        (
            "flows/f/base.py",
            "from obproject import ProjectFlow\nfrom metaflow import Config\n\
            class Base(ProjectFlow):\n  deps = Config('deps', default='deps.json')\n",
        ),
        ("flows/f/deps.json", "{\"packages\": {\"c\": \"1\"}}"),
        (
            "flows/f/flow.py",
            "from base import Base\nfrom metaflow import step, pypi, config_expr\nclass F(Base):\n  \
             @pypi(packages=config_expr('deps.packages'))\n  @step\n  def start(self): pass\n",
        ),
    ])
    .unwrap();
    assert_eq!(found, ["start: c==1"]);
}
