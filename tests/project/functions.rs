//! Functions in the arguments of decorators: those that only make values of others are followed, others are an error.

use super::*;

/// What `@pypi(packages=CALL)` comes to, with these functions before the class.
fn packages(functions: &str, call: &str) -> Result<Vec<String>, Error> {
    let body = format!("@pypi(packages={call})\n{STEPS}");
    flow(functions, &body).map(|flow| names(&flow.environments[0]))
}

#[test]
fn what_a_simple_function_returns_is_known() {
    let pins = "PINS = {'a': '1', 'b': '2'}\n";
    for (functions, call, expected) in [
        ("def f(*names): return {n: PINS[n] for n in names}", "f('b', 'a')", "b==2 a==1"),
        ("def f(*names): return {n: PINS.get(n, '') for n in names}", "f(*PINS, 'c[x]')", "a==1 b==2 c[x]"),
        ("def f(names): return dict((n, PINS[n]) for n in names)", "f(['a'])", "a==1"),
        ("def f(): return dict(zip(['a', 'b'], ['>=1', '<3']))", "f()", "a>=1 b<3"),
        ("def f(x, *, y='3'):\n  'Doc.'\n  z = {'c': y}\n  return {**x, **z}", "f(x=PINS)", "a==1 b==2 c==3"),
        ("def f(x, *, y='3'): return {'c': y}", "f(0, **{'y': '4'})", "c==4"),
        ("def f(**more): return PINS | more", "f(b='3', d='')", "a==1 b==3 d"),
        ("def g(v): return f'>={v}'\ndef f(v): return {'a': g(v)}", "f('7')", "a>=7"),
        (
            "def f(gpu):\n  if not gpu: return {}\n  elif gpu == 'x': return PINS\n  return {'t': ''}",
            "f('x')",
            "a==1 b==2",
        ),
        (
            "def f(gpu=None):\n  out = PINS.copy()\n  if gpu is None:\n    del out['a']\n  out |= {'c': '3'}\n  return out",
            "f()",
            "b==2 c==3",
        ),
        (
            "def f(lines):\n  out: dict = {}\n  for line in lines:\n    if line.startswith('#'):\n      continue\n    \
             name, _, version = line.split(' ')\n    out[name.strip().lower()] = version\n  return out",
            "f(['# x', 'A == 1', 'B == 2'])",
            "a==1 b==2",
        ),
        (
            "def f():\n  names = []\n  names.append('a')\n  names += ['b']\n  names.extend(('c',))\n  \
             return {n: PINS.get(n) or '' for n in names}",
            "f()",
            "a==1 b==2 c",
        ),
        (
            "def f():\n  for n in PINS:\n    if n == 'b': break\n  return {n: ','.join(['>1', '<3'])}",
            "f()",
            "b>1,<3",
        ),
        ("def f():\n  import os\n  print('x')\n  return PINS", "f()", "a==1 b==2"),
        (
            "from functools import lru_cache\n@lru_cache(maxsize=None)\ndef f(): return PINS",
            "f()",
            "a==1 b==2",
        ),
        ("def f():\n  import json\n  return json.loads('{\"a\": \"1\"}')", "f()", "a==1"),
        ("FLAG = False\nX = {'a': '1'} if FLAG else {'a': '2'}", "X", "a==2"),
        ("X = {n: v for n, v in PINS.items() if n not in ('a', 'c')}", "X", "b==2"),
    ] {
        let found = packages(&format!("{pins}{functions}"), call);
        let found = found.unwrap_or_else(|error| panic!("{functions}\n{call}: {error}"));
        assert_eq!(found.join(" "), expected, "{functions}\n{call}");
    }
}

/// The error of a function, without the place and what it is for.
fn refused(functions: &str, call: &str) -> String {
    let error = packages(functions, call).expect_err(functions);
    assert!(matches!(error, Error::NotStatic { .. }), "{functions}: {error}");
    let error = error.to_string();
    let (place, reason) = error
        .split_once(": `packages` of @pypi of step `start` cannot be known without running the code: ")
        .expect(&error);
    format!("{}: {reason}", place.trim_start_matches("flows/f/flow.py:"))
}

#[test]
fn what_a_function_changes_that_others_may_know_is_not_guessed() {
    for (change, at) in [
        ("def f(x={}):\n  x['a'] = '1'\n  return x", 4),
        ("def f():\n  x = PINS\n  x['b'] = '2'\n  return x", 5),
        ("def f():\n  x = PINS\n  x |= {'b': '1'}\n  return x", 5),
        ("def f():\n  x = {}\n  y = [x]\n  x['b'] = '2'\n  return y[0]", 6),
        ("def f():\n  x = y = {}\n  x['b'] = '2'\n  return y", 5),
        ("def f():\n  x = ['a']\n  for y in x: x.append('a')\n  return {}", 5),
        ("def g(x):\n  x.update(b='1')\n  return x\ndef f():\n  x = {}\n  return g(x)", 4),
    ] {
        let expected = format!("{at}: `x` is changed here, and may have other names");
        assert_eq!(refused(&format!("{change}\nPINS = {{'a': '1'}}"), "f()"), expected, "{change}");
    }
    let change = "PINS = {}\ndef f():\n  PINS['b'] = '1'\n  return PINS";
    assert_eq!(refused(change, "f()"), "5: `PINS` is changed here, and may have other names");
}

#[test]
fn a_function_that_does_more_is_an_error_at_its_line() {
    for (functions, call, expected) in [
        (
            "def f():\n  with open('x') as x:\n    return {}",
            "f()",
            "4: `f` does more here than to make a value of others",
        ),
        ("def f():\n  import json as j\n  return j.loads('{}')", "f()", "5: it is the result of a call"),
        ("def f():\n  return json.loads(open('x').read())", "f()", "4: it is the result of a call"),
        (
            "import os\ndef f():\n  if os.environ.get('GPU'):\n    return {}",
            "f()",
            "5: `os` is imported (`os`)",
        ),
        ("def f(x): return x", "f()", "5: `f` takes other arguments"),
        ("def f(x): return x", "f({}, {})", "5: `f` takes other arguments"),
        ("def f(x): return x", "f({}, y=1)", "5: `f` takes other arguments"),
        ("def f(x): return x", "f(g())", "5: it is the result of a call"),
        ("@other\ndef f(): return {}", "f()", "6: it is the result of a call, and `f` is no simple function"),
        ("def f():\n  yield {}", "f()", "4: `f` does more here than to make a value of others"),
        ("def f():\n  if x:\n    x = {}\n  return x", "f()", "3: `x` has no value yet"),
        ("def f(): return {'a': V['b']}\nV = {}", "f()", "3: there is no key `b`"),
        ("def f(*x):\n  a, b = x\n  return {a: b}", "f('a')", "4: 1 values are assigned to 2 names"),
        ("def f(n):\n  return f(n)", "f('a')", "4: it is made of too many parts"),
        ("def f(n): return f(n + n) | f(n)", "f('a')", "3: it is made of too many parts"),
    ] {
        assert_eq!(refused(functions, call), expected, "{functions}");
    }
}

#[test]
fn what_to_write_instead_is_told_with_the_table_of_the_flow_or_step() {
    let hint = |flow: Result<Component, Error>| flow.unwrap_err().hint().unwrap();
    let step = hint(flow("", &format!("@pypi(packages=x())\n{STEPS}")));
    assert!(step.ends_with("under [bakehouse.flows.f.steps.start] in obproject.toml"), "{step}");
    let base = hint(flow("@pypi_base(packages=x())", STEPS));
    assert!(base.ends_with("under [bakehouse.flows.f] in obproject.toml"), "{base}");
}

#[test]
fn code_that_is_not_followed_matters_only_where_it_may_be_about_packages_or_images() {
    let decorated = |code: &str| flow(code, &format!("@x\n@pypi(packages={{'a': '1'}})\n{STEPS}"));
    for harmless in [
        "def x(f):\n  '''Needs @pypi(packages={'rich': ''}).'''\n  print(f)  # conda\n  return f",
        "def x(f):\n  image, batch_size = 1, 2\n  return f if image else None",
        "class x(StepMutator):\n  def mutate(self, step):\n    if step: step.remove_decorator('timeout')",
        "class x(StepMutator):\n  def mutate(self, step):\n    for n in (1, 2): step.add_decorator(retry, n)",
        "def y(f):\n  print(f)\n  return f\nclass x(StepMutator):\n  def mutate(self, step):\n    if step: step.add_decorator(y)",
    ] {
        let found = decorated(harmless).unwrap_or_else(|error| panic!("{harmless}: {error}"));
        assert_eq!(names(&found.environments[0]), ["a==1"], "{harmless}");
    }
    for hidden in [
        "def x(f):\n  print(f)\n  return pypi(packages={})(f)",
        "from metaflow import pypi as p\ndef x(f):\n  print(f)\n  return p(packages={})(f)",
        "class x(StepMutator):\n  def mutate(self, step):\n    if step: step.remove_decorator('pypi')",
        "class x(StepMutator):\n  def mutate(self, step):\n    for d in step.decorator_specs: step.add_decorator(d)",
        "def y(f):\n  print(f)\n  return conda()(f)\nclass x(StepMutator):\n  def mutate(self, step):\n    if step: step.add_decorator(y)",
        "class y(StepMutator):\n  def mutate(self, step):\n    if step: step.add_decorator('pypi')\nclass x(y): pass",
    ] {
        let error = decorated(hidden).expect_err(hidden).to_string();
        assert!(error.contains("uses @pypi or @conda itself"), "{hidden}: {error}");
    }
    let image = "def x(f):\n  if f: f = kubernetes(image='i')(f)\n  return f";
    let error = decorated(image).unwrap_err().to_string();
    assert!(error.contains("names an image for @kubernetes or @batch itself"), "{error}");
}
