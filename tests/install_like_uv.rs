//! What bakehouse installs is what uv installs, byte for byte, but for a closed list: activation scripts, CACHEDIR.TAG,
//! .gitignore, pyvenv.cfg, the text of generated commands, INSTALLER, and the order of RECORD.
//!
//! ```text
//! cargo test --test install_like_uv -- --ignored
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/wheel.rs"]
mod wheel;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bakehouse::dist::Wheel;
use bakehouse::layer::{self, Compression, PREFIX, WheelInputs, assemble, build_fragment};
use bakehouse::model::{PythonMinor, WheelName};
use bakehouse::store::Store;
use tempfile::TempDir;
use url::Url;

/// Between them: extension modules with executable bits, commands with and without extras, scripts with a first line
/// to rewrite, a program as a script, headers, data files, a name that is not normalised, a namespace package.
const DISTRIBUTIONS: [&str; 10] = [
    "numpy==2.2.6",
    "six==1.17.0",
    "jupyter-core==5.8.1",
    "jsonpatch==1.33",
    "greenlet==3.2.4",
    "ipykernel==6.30.1",
    "ruff==0.12.10",
    "PyYAML==6.0.2",
    "protobuf==6.32.0",
    "setuptools==80.9.0",
];

#[test]
#[ignore = "uses the real Python index"]
fn distributions_of_the_real_index() {
    let tools = Tools::new();
    let wheels = tools.directory.path().join("wheels");
    let mut download = Command::new("python3");
    download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"]);
    run(download.arg(&wheels).args(DISTRIBUTIONS));
    let mut paths: Vec<PathBuf> = fs::read_dir(&wheels).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), DISTRIBUTIONS.len());

    let uv = tools.environment("by-name");
    tools.install(&uv, &DISTRIBUTIONS);
    let ours = tools.bake(&paths, |_| None);
    assert_same(&uv, &ours);
}

#[test]
#[ignore = "needs uv"]
fn a_wheel_of_corner_cases_from_a_direct_url() {
    let tools = Tools::new();
    let data = "Corner_Cases-1.0.data";
    let wheel = wheel::WheelBuilder::new("Corner-Cases", "1.0")
        .file("corner/__init__.py", "def main(): pass\n")
        .file("corner/empty.py", "")
        .file("corner/a,b \"c\".txt", "quoted in RECORD")
        .file("corner/ spaced.txt", "")
        .file("corner/é.txt", "")
        .unlisted_file("corner/unlisted.txt", "12")
        .file_with_mode("corner/only-others.sh", "", 0o001)
        .file_with_mode("corner/setuid", "", 0o4755)
        .file_with_mode("corner/private.py", "", 0o600)
        .file("corner/__pycache__/x.cpython-311.pyc", "shipped bytecode")
        .file_with_mode("corner/emptydir/", "", 0o755)
        .file_with_mode(&format!("{data}/headers/"), "", 0o755)
        .file(&format!("{data}/headers/sub/h.h"), "int x;")
        .file(&format!("{data}/scripts/plain"), "#!python\nprint(1)\n")
        .file(&format!("{data}/scripts/windowed"), "#!pythonw -x y\nprint(1)\n")
        .file(&format!("{data}/scripts/crlf"), "#!python\r\nprint(1)\r\n")
        .file(&format!("{data}/scripts/no-newline"), "#!python")
        .file(&format!("{data}/scripts/spaced"), "#! python\n")
        .file(&format!("{data}/scripts/absolute"), "#!/usr/bin/env python\n")
        .file(&format!("{data}/scripts/program"), b"\x7fELF")
        .file(&format!("{data}/scripts/nothing"), "")
        .file(&format!("{data}/data/etc/corner.conf"), "x")
        .file_with_mode(&format!("{data}/data/bin/tool"), "x", 0o755)
        .file(&format!("{data}/data/lib/python{}/site-packages/through_data.py", tools.python), "x")
        .file(&format!("{data}/purelib/pure.py"), "x")
        .file_with_mode(&format!("{data}/platlib/plat.py"), "x", 0o755)
        .file("other-2.0.data/headers/left_alone.h", "x")
        .entry_points(
            "[console_scripts]\ncommand = corner:main\nwith extra=corner.sub : A.run [x, y]\n\
             [gui_scripts]\nwindow = corner:main\n[other]\nthing = no command\n",
        )
        .build();
    let served = tools.directory.path().join("served");
    fs::create_dir(&served).unwrap();
    fs::write(served.join(&wheel.file_name), &wheel.bytes).unwrap();
    let server = Server::start(&served);
    let url = format!("{}/{}", server.url, wheel.file_name);

    let uv = tools.environment("by-url");
    tools.install(&uv, &[&format!("corner-cases @ {url}")]);
    let ours = tools.bake(&[served.join(&wheel.file_name)], |_| Some(url.parse().unwrap()));
    assert_same(&uv, &ours);
}

/// uv, the Python it installs for, and a place to work in.
struct Tools {
    directory: TempDir,
    uv: PathBuf,
    python: PythonMinor,
}

/// An environment on disk: its files, and which of them are generated commands.
struct Environment {
    root: PathBuf,
    commands: BTreeSet<String>,
}

impl Tools {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let version = "import sys; print('%d.%d' % sys.version_info[:2])";
        let output = Command::new("python3").args(["-c", version]).output().unwrap();
        let python = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let found =
            Command::new("uv").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
        let mut uv = PathBuf::from("uv");
        if !found {
            let venv = directory.path().join("uv");
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
            run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "uv"]));
            uv = venv.join("bin/uv");
        }
        Self { directory, uv, python }
    }

    fn uv(&self) -> Command {
        let mut command = Command::new(&self.uv);
        command.env("UV_CACHE_DIR", self.directory.path().join("cache")).env("UV_LINK_MODE", "copy");
        command.arg("--quiet");
        command
    }

    fn environment(&self, name: &str) -> PathBuf {
        let root = self.directory.path().join(name);
        run(self.uv().args(["venv", "--python"]).arg("python3").arg(&root));
        root
    }

    fn install(&self, environment: &Path, requirements: &[&str]) {
        let python = environment.join("bin/python");
        run(self
            .uv()
            .args(["pip", "install", "--no-deps", "--only-binary", ":all:", "--python"])
            .arg(python)
            .args(requirements));
    }

    /// Makes one layer of the wheels and unpacks it with the system's tar.
    fn bake(&self, wheels: &[PathBuf], direct_url: impl Fn(&WheelName) -> Option<Url>) -> Environment {
        let store = Store::open(&self.directory.path().join("store")).unwrap();
        let mut commands = BTreeSet::new();
        let mut fragments = Vec::new();
        for path in wheels {
            let name: WheelName = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let blob = store.put_blob(&fs::read(path).unwrap()).unwrap();
            let url = direct_url(&name);
            let inputs = WheelInputs {
                sha256: blob.digest(),
                name: &name,
                python: self.python,
                direct_url: url.as_ref(),
                compression: Compression::Gzip,
            };
            fragments.push(build_fragment(&store, &blob, &inputs).unwrap());
            let wheel = Wheel::open(fs::File::open(path).unwrap(), &name).unwrap();
            commands.extend(wheel.scripts().iter().map(|script| format!("bin/{}", script.name)));
        }
        let layer = assemble(&store, &fragments).unwrap();
        let archive = self.directory.path().join("layer.tar.gz");
        let mut bytes = Vec::new();
        layer::open(&store, &layer).unwrap().read_to_end(&mut bytes).unwrap();
        fs::write(&archive, bytes).unwrap();
        let root = self.directory.path().join("ours");
        fs::create_dir(&root).unwrap();
        run(Command::new("tar").args(["--no-same-owner", "-xzpf"]).arg(&archive).arg("-C").arg(&root));
        Environment { root: root.join(PREFIX), commands }
    }
}

/// A web server for one directory.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(directory: &Path) -> Self {
        let script = "import functools, http.server, sys\n\
                      class Handler(http.server.SimpleHTTPRequestHandler):\n    \
                          log_message = lambda *_: None\n\
                      handler = functools.partial(Handler, directory=sys.argv[1])\n\
                      server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)\n\
                      print(server.server_port, flush=True)\n\
                      server.serve_forever()\n";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = Vec::new();
        let mut stdout = child.stdout.take().unwrap();
        let mut byte = [0];
        while stdout.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            port.push(byte[0]);
        }
        Self { child, url: format!("http://127.0.0.1:{}", String::from_utf8(port).unwrap()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}");
}

/// The closed list, as far as it is about whole files; the interpreter and `lib64` come with the skeleton.
fn is_the_installers_own(path: &str) -> bool {
    let activation =
        |name: &str| name.starts_with("activate") || matches!(name, "deactivate.bat" | "pydoc.bat");
    let file = path.strip_prefix("bin/").unwrap_or("");
    matches!(path, "CACHEDIR.TAG" | ".gitignore" | ".lock" | "pyvenv.cfg" | "lib64")
        || activation(file)
        || file.starts_with("python")
        || path.ends_with(".dist-info/INSTALLER")
}

/// Every directory and file below `root`: mode and bytes of the files, with `from` in them replaced by the prefix.
fn tree(root: &Path, from: &str) -> BTreeMap<String, Option<(u32, Vec<u8>)>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let metadata = path.symlink_metadata().unwrap();
            if is_the_installers_own(&name) {
                continue;
            }
            if metadata.is_dir() {
                todo.push(path);
                found.insert(name, None);
            } else {
                let mut bytes = fs::read(&path).unwrap();
                let shebang = format!("#!{from}/");
                if bytes.starts_with(shebang.as_bytes()) {
                    bytes.splice(..shebang.len(), format!("#!/{PREFIX}/").into_bytes());
                }
                found.insert(name, Some((metadata.permissions().mode() & 0o7777, bytes)));
            }
        }
    }
    found
}

fn assert_same(uv: &Path, ours: &Environment) {
    let commands = &ours.commands;
    let theirs = tree(uv, uv.to_str().unwrap());
    let ours = tree(&ours.root, "/opt/venv");
    let names = |tree: &BTreeMap<String, _>| tree.keys().cloned().collect::<BTreeSet<_>>();
    let differing: Vec<_> = names(&theirs).symmetric_difference(&names(&ours)).cloned().collect();
    assert!(differing.is_empty(), "only in one of both: {differing:#?}");
    for (path, expected) in &theirs {
        let actual = &ours[path];
        let (Some((mode, bytes)), Some((expected_mode, expected_bytes))) = (actual, expected) else {
            assert_eq!(actual.is_some(), expected.is_some(), "{path}");
            continue;
        };
        assert_eq!(format!("{mode:o}"), format!("{expected_mode:o}"), "{path}");
        if path.ends_with(".dist-info/RECORD") {
            let rows = |bytes: &[u8], tree| rows(path, std::str::from_utf8(bytes).unwrap(), tree, commands);
            assert_eq!(rows(bytes, &ours), rows(expected_bytes, &theirs), "{path}");
        } else if !commands.contains(path) {
            assert!(bytes == expected_bytes, "{path}: {}", String::from_utf8_lossy(bytes));
        }
    }
}

/// RECORD's rows without order; without hash and size where the file is in the closed list, and with those of the
/// replaced first line where a script names the interpreter.
fn rows(
    record: &str,
    text: &str,
    tree: &BTreeMap<String, Option<(u32, Vec<u8>)>>,
    commands: &BTreeSet<String>,
) -> BTreeSet<String> {
    let site = Path::new(record).parent().unwrap().parent().unwrap();
    assert!(text.ends_with('\n'));
    text.lines()
        .map(|row| {
            let path = row.split(',').next().unwrap();
            let outside = path.strip_prefix("../../../");
            if path.ends_with("INSTALLER") || outside.is_some_and(|path| commands.contains(path)) {
                return path.to_owned();
            }
            let full = outside.map_or_else(|| site.join(path).to_str().unwrap().to_owned(), str::to_owned);
            match tree.get(&full) {
                Some(Some((_, bytes))) if bytes.starts_with(b"#!/opt/venv/") => {
                    wheel::record_row(path, bytes)
                }
                _ => row.to_owned(),
            }
        })
        .map(|row| row.trim_end().to_owned())
        .collect()
}
