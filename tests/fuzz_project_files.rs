//! No project file, however broken, deep or large, panics, hangs or exhausts memory: files of a corpus are mutated by rules
//! that know a little of their grammars, and the project is read.
//!
//! Deterministic: a seed and a number give the same input on every machine. A few hundred runs of each kind by default;
//!
//! ```text
//! BAKEHOUSE_FUZZ_RUNS=1000000 cargo test --release --test fuzz_project_files -- --nocapture
//! ```
//!
//! makes a million of each (`BAKEHOUSE_FUZZ_SEED` chooses others), and prints the slowest input and the peak of memory.
//! An input that ends the process stays in the directory that is printed at the start.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is a test"
)]

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bakehouse::project::{Selection, discover_with, members};

/// The most bytes of a mutated input.
const MAX_INPUT: usize = 64 * 1024;
/// What no input may take in a million runs, apart from a machine that does something else meanwhile.
const TOO_LONG: Duration = Duration::from_secs(20);
/// What the process may have resident at most.
const MAX_MEMORY: u64 = 1 << 30;

/// Panics of all threads, counted by a hook: the parser's are caught and turned into errors.
static PANICS: AtomicU64 = AtomicU64::new(0);
static FIRST: Mutex<String> = Mutex::new(String::new());

/// A xorshift generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap()
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// One kind of file.
struct Kind {
    file: &'static str,
    corpus: &'static [&'static str],
    /// Pieces that mean something in its grammar.
    words: &'static [&'static str],
    /// What else the project holds.
    beside: &'static [(&'static str, &'static str)],
}

const OBPROJECT: (&str, &str) = ("obproject.toml", "project = 'p'\n");

const FLOWS: Kind = Kind {
    file: "flows/f/flow.py",
    corpus: &[
        include_str!("../testdata/projects/seed/flows/trainer/flow.py"),
        include_str!("../testdata/projects/constants/flows/etl/flow.py"),
        include_str!("../testdata/projects/configs/flows/train/flow.py"),
        include_str!("../testdata/projects/flow-packages-from-functions/flows/rule/flow.py"),
        include_str!("../testdata/projects/flow-packages-from-functions/flows/rule/helpers.py"),
        "from metaflow import *\nfrom base import g\nA = {'a': '1'}\ndef f(*names, x='1', **more):\n  out = {}\n  for n in names:\n    \
         if n in A or not more: out[n] = A.get(n, x)\n    else: continue\n  out.update(g(out), b='2')\n  out |= more\n  return out\n\
         @pypi_base(**f('a', *A, **g(A)))\nclass F(FlowSpec):\n  @pypi(packages=f('a', x='2', c='3'))\n  @step\n  def start(self): pass\n\
         \x20 @pypi(packages={k: v for k, v in g(A).items() if k != 'a'})\n  @step\n  def end(self): pass\n",
        "from base import *\nfrom metaflow import *\nA = {'a': '1'}\nB = A | {'b': f'>={V}'}\nclass M:\n  from base import start\n\
         class F(M, Base):\n  c = Config('c', default=os.path.join(os.path.dirname(__file__), 'c.json'))\n  i = IncludeFile('i', default='c.json')\n  @conda(packages=config_expr('c.x'), channels=['y'])\n  \
         @gpu\n  @step\n  def train(self): pass\n  end = start\n",
    ],
    words: &[
        "@pypi(packages={'a': '1'})\n",
        "@step\n",
        "class F(FlowSpec):\n",
        "def start(self): pass\n",
        "\n  ",
        "\n    ",
        "lambda x: ",
        "f'{",
        "'''",
        "\"\"\"",
        "Config('c', default='c.json')",
        "IncludeFile('i', default=A['a'])",
        "os.path.join(",
        "os.path.dirname(__file__)",
        "config_expr('c.x')",
        "**",
        "|",
        "{**A, 'b': A['a']}",
        ".copy()",
        "from base import *\n",
        "from . import x\n",
        "import base as b\n",
        "@gpu\n",
        "b.Base",
        "A = A | A\n",
        "dict(A, b='2')",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ":",
        "=",
        ",",
        "\\\n",
        "not ",
        "-",
        "if 1:\n  ",
        "else:\n",
        "try:\n",
        "async ",
        "await ",
        "yield ",
        "match x:\n  case ",
        "global A\n",
        "A.update(b=1)\n",
        "@conda_base(python='3.1')\n",
        "partial(pypi, packages=A)",
        "del A\n",
        "f('a')",
        "g(A)",
        "f(*A, **A)",
        "def f(*a, **b): return {n: A[n] for n in a}\n",
        "for x in A:\n      ",
        "for x in A for y in A",
        "A = A + A\n",
        "return f(A)\n",
        "x if x else y",
        " in ",
        ".items()",
        ".split('=')",
        "','.join(A)",
        "lambda: f()",
    ],
    beside: &[
        OBPROJECT,
        ("flows/f/c.json", "{\"x\": {\"a\": \"1\"}, \"packages\": {\"b\": \"2\"}}"),
        (
            "flows/f/base.py",
            "from metaflow import *\nfrom flow import *\nV = '1'\ndef g(x): return {**x, 'g': V}\ndef gpu(f): return pypi(packages={'t': V})(f)\n\
                             class Base(FlowSpec):\n  @step\n  def start(self): pass\n",
        ),
    ],
};

const CONFIGS: Kind = Kind {
    file: "deployments/d/config.yml",
    corpus: &[
        include_str!("../testdata/projects/seed/deployments/inference/config.yml"),
        include_str!("../testdata/projects/rules/deployments/dict/config.yml"),
        "a: &x {python: '3.11', pypi: {a: '1.0', b: 1.10}}\ndependencies:\n  <<: *x\n  pypi:\n    c: \"\"\nport: 0x1F\n\
         environment: {A: 010, B: 1:30, C: [1, *x, {d: ~}], D: &y {e: [*x, 'é', 2.5]}, F: *y}\npackage:\n  src_paths: [., x]\n  suffixes: .py,.txt\ncommands:\n  - |\n    a\n    b\n",
    ],
    words: &[
        "&x ",
        "*x",
        "<<: ",
        "- ",
        ": ",
        "? ",
        "| \n",
        ">-\n",
        "{",
        "}",
        "[",
        "]",
        "'",
        "\"",
        "\n",
        "\n  ",
        "\n    ",
        "---\n",
        "...\n",
        "!!str ",
        "!x ",
        "%YAML 1.1\n",
        "#",
        "dependencies:",
        "pypi:",
        "conda:",
        "python:",
        "image:",
        "port:",
        "commands:",
        "~",
        "null",
        "yes",
        "0o10",
        "1.10",
        "1e5",
        "2024-01-01",
        ",",
        "\t",
        "from_requirements_file: r.txt",
        "environment:\n  A: ",
        "no_deps: true",
    ],
    beside: &[OBPROJECT, ("r.txt", "a\n-r deployments/d/config.yml\n")],
};

const REQUIREMENTS: Kind = Kind {
    file: "requirements.txt",
    corpus: &[
        "# head\npandas==2.2.2 ; python_version > '3.8' # why\nbaz[a,b]>=1,<2 \\\n  --hash=sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\
         x @ https://h.example/x-1-py3-none-any.whl#frag\n-r more.txt\n-c more.txt\n--extra-index-url https://u:p@h.example/simple\n",
        "a~=1.0\nb!=2.*\nc===1\nd (>=1.0)\ne; extra == 'x' and (os_name == 'y' or sys_platform != 'z')\n",
    ],
    words: &[
        "==",
        ">=",
        "~=",
        "===",
        "!=",
        "<",
        ",",
        ";",
        " ; ",
        "[",
        "]",
        "(",
        ")",
        "@",
        " @ https://h.example/a-1-py3-none-any.whl",
        "\\\n",
        "#",
        " #",
        "-r more.txt",
        "-c ",
        "-e .",
        "--hash=sha256:00",
        "-i https://h.example",
        "${X}",
        "extra == 'a'",
        " and ",
        " or ",
        " in ",
        " not in ",
        "python_version",
        "os_name",
        "'3.8'",
        "\"",
        "\n",
        "1.0",
        "*",
        "!",
        "1.0.post1",
        "dev0",
        "+local",
        "1e400",
        "-",
        "_",
        ".",
        "99999999999999999999",
        "a-",
        "b_",
        "file:///x.whl",
        "git+https://h.example/x",
        "://",
    ],
    beside: &[("more.txt", "z>=1\n-r requirements.txt\n")],
};

const PYPROJECT: Kind = Kind {
    file: "pyproject.toml",
    corpus: &[
        include_str!("../testdata/projects/seed/pyproject.toml"),
        include_str!("../testdata/projects/plain/pyproject.toml"),
        "[project]\nname = 'x'\nversion = '1'\nrequires-python = '>=3.9'\ndependencies = [\n 'a>=1',\n]\ndynamic = ['dependencies']\n[project.scripts]\n\
         x = 'a.b:c'\n[tool.uv]\nindex-url = 'https://h.example'\n[[tool.uv.index]]\nurl = 'https://i.example'\ndefault = true\n\
         [tool.setuptools.dynamic]\ndependencies = {file = ['r.txt']}\n",
    ],
    words: TOML_WORDS,
    beside: &[("r.txt", "a\n"), ("requirements.txt", "b\n")],
};

const PROJECTS: Kind = Kind {
    file: "obproject.toml",
    corpus: &[
        include_str!("../testdata/projects/seed/obproject.toml"),
        "project = 'p'\n[dependencies]\ninclude_pyproject_toml = false\npackage_suffixes = '.py'\n[branch_to_environment]\nmain = 'prod'\n'f/*' = 'dev'\n\
         [environments.prod]\ndeployment_config = 'config.yml'\n[environments.prod.flow_configs]\nc = 'c.json'\n\
         [bakehouse.flows.f.steps.start]\npypi = { a = '1' }\nimage = 'python:3.11'\n",
    ],
    words: TOML_WORDS,
    beside: &[
        ("flows/f/flow.py", "from metaflow import *\nclass F(FlowSpec):\n  @step\n  def start(self): pass\n"),
        ("deployments/d/config.yml", "commands: [a]\n"),
    ],
};

const ASSETS: Kind = Kind {
    file: "models/m/asset_config.toml",
    corpus: &[
        include_str!("../testdata/projects/seed/models/fraud/asset_config.toml"),
        "name = 'M'\nid = 'm'\nkind = 'x'\nblobs = ['a', 'b']\n[properties]\na = '1'\n[tags]\nb = 2\n",
    ],
    words: TOML_WORDS,
    beside: &[OBPROJECT],
};

const FILTERS: Kind = Kind {
    file: "flows/f/obproject_deploy.toml",
    corpus: &["[deploy]\nbranches = ['main', 'release/*', '[a-z]?']\n"],
    words: TOML_WORDS,
    beside: &[
        OBPROJECT,
        ("flows/f/flow.py", "from metaflow import *\nclass F(FlowSpec):\n  @step\n  def start(self): pass\n"),
    ],
};

const SEVERAL: Kind = Kind {
    file: "obproject_multi.toml",
    corpus: &["[projects]\na = 'a'\nb = \"./x/b/\"\n"],
    words: TOML_WORDS,
    beside: &[("a/obproject.toml", "project = 'a'"), ("x/b/obproject.toml", "project = 'b'")],
};

const TOML_WORDS: &[&str] = &[
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    " = ",
    ".",
    ",",
    "'",
    "\"",
    "'''",
    "\"\"\"",
    "\n",
    "#",
    "true",
    "false",
    "1",
    "-0.5e3",
    "1979-05-27",
    "project",
    "[project]\n",
    "[projects]\n",
    "dependencies = [",
    "'a>=1'",
    "[bakehouse.flows.f]\n",
    "pypi = {}",
    "environments",
    "a.b.c",
    "\\u0000",
    "\\x",
    "inf",
    "0x_",
    "[environments.default]\n",
    "[obproject_dirs]\ndata = 'd'\n",
    "flow_configs",
    "[properties]\n",
    "branches = ['*']",
    "..",
    "/",
];

/// An input: a file of the corpus with some mutations.
fn input(kind: &Kind, random: &mut Random) -> Vec<u8> {
    let mut bytes = random.pick(kind.corpus).as_bytes().to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(14) {
            0..4 => insert(&mut bytes, at, random.pick(kind.words).as_bytes()),
            4 => drop(bytes.drain(at..end)),
            // What is there once more, or many times.
            5 => {
                let piece = bytes[at..end].to_vec();
                insert(&mut bytes, at, &piece.repeat(1 + random.below(4)));
            }
            6 => {
                let times = [10, 100, 1000, 5000][random.below(4)];
                insert(&mut bytes, at, random.pick(kind.words).repeat(times).as_bytes());
            }
            7 if !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            8 => {
                let odd: [&[u8]; 9] = [
                    b"\0",
                    b"\xff",
                    b"\r\n",
                    b"\r",
                    "\u{feff}".as_bytes(),
                    "\u{2028}".as_bytes(),
                    "é".as_bytes(),
                    "😀".as_bytes(),
                    b"\x0c",
                ];
                insert(&mut bytes, at, random.pick(&odd));
            }
            9 => bytes = String::from_utf8_lossy(&bytes).replace('\n', "\r\n").into_bytes(),
            10 => bytes.truncate(at),
            // Another file's part.
            11 => {
                let other = random.pick(kind.corpus).as_bytes();
                let from = random.below(other.len());
                insert(&mut bytes, at, &other[from..(from + 200).min(other.len())]);
            }
            12 => {
                let word = random.pick(kind.words).as_bytes();
                bytes.splice(at..end, word.iter().copied());
            }
            _ => {
                let first = random.below(bytes.len() + 1).min(at);
                bytes[first..at].reverse();
            }
        }
        bytes.truncate(MAX_INPUT);
    }
    bytes
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

fn read(root: &Path) {
    let selection = Selection { branch: Some("main".to_owned()), ..Selection::default() };
    match members(root) {
        Ok(None) => {
            if let Err(error) = discover_with(root, &selection, &|_| None) {
                let _ = (error.to_string(), error.hint(), error.exit_code());
            }
        }
        Ok(Some(members)) => drop(members),
        Err(error) => drop((error.to_string(), error.hint())),
    }
}

/// The most that the process had resident so far.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn fuzz(kind: &Kind) {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (runs, seed) = (number("BAKEHOUSE_FUZZ_RUNS", 300), number("BAKEHOUSE_FUZZ_SEED", 1));
    let first = number("BAKEHOUSE_FUZZ_FIRST", 0);
    let directory =
        tempfile::Builder::new().prefix("bakehouse-fuzz").disable_cleanup(true).tempdir().unwrap();
    let root = directory.path();
    println!("{}: {}", kind.file, root.display());
    for (file, text) in kind.beside {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let path = root.join(kind.file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    panic::set_hook(Box::new(|info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        let mut first = FIRST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if first.is_empty() {
            *first = info.to_string();
        }
    }));
    let (mut slowest, started) = ((Duration::ZERO, 0), Instant::now());
    let mut problem = None;
    for run in first..first + runs {
        // Neighbouring numbers give unlike inputs.
        let mut random = Random((seed << 40 ^ (run + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.next();
        fs::write(&path, input(kind, &mut random)).unwrap();
        let start = Instant::now();
        let caught = panic::catch_unwind(AssertUnwindSafe(|| read(root)));
        let mut took = start.elapsed();
        if took > TOO_LONG {
            // Once more, for the machine may have been busy.
            let start = Instant::now();
            read(root);
            took = took.min(start.elapsed());
        }
        slowest = slowest.max((took, run));
        if caught.is_err() || PANICS.load(Ordering::SeqCst) > 0 {
            problem = Some(format!("run {run} panics: {}", FIRST.lock().unwrap()));
        } else if took > TOO_LONG {
            problem = Some(format!("run {run} takes {took:?}"));
        } else if run % 64 == 0 && memory() > MAX_MEMORY {
            problem = Some(format!("run {run} or one shortly before takes {} MiB", memory() >> 20));
        }
        if problem.is_some() {
            break;
        }
    }
    let _ = panic::take_hook();
    if let Some(problem) = problem {
        panic!("{}: {problem} (see {})", kind.file, path.display());
    }
    println!(
        "{}: {runs} runs in {:.0?}, slowest {:.1?} (run {}), peak {} MiB",
        kind.file,
        started.elapsed(),
        slowest.0,
        slowest.1,
        memory() >> 20
    );
    fs::remove_dir_all(root).unwrap();
}

/// All in one test: the hook for panics is the process's.
#[test]
fn no_project_file_panics_hangs_or_exhausts_memory() {
    let only = std::env::var("BAKEHOUSE_FUZZ_ONLY").unwrap_or_default();
    for kind in [FLOWS, CONFIGS, REQUIREMENTS, PYPROJECT, PROJECTS, ASSETS, FILTERS, SEVERAL] {
        if kind.file.contains(&only) {
            fuzz(&kind);
        }
    }
}
