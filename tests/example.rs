//! The example project, baked for real: from the real Python index, on the default base, into a real registry; pulled and
//! unpacked by tools that nobody here wrote; and run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/wheel.rs"]
mod wheel;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use registry::Registry;
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A pulled and unpacked image.
struct Unpacked {
    root: PathBuf,
    config: Value,
}

impl Unpacked {
    /// A command inside the image, with its environment and working directory.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = if bakery::is_root() {
            Command::new("chroot")
        } else {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "chroot"]);
            command
        };
        command.env_clear();
        for variable in self.config["Env"].as_array().unwrap() {
            let (name, value) = variable.as_str().unwrap().split_once('=').unwrap();
            command.env(name, value);
        }
        let directory = self.config["WorkingDir"].as_str().unwrap();
        command
            .arg(&self.root)
            .args(["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", directory])
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        // The command itself is found on the caller's PATH, which the image's may not cover.
        self.command(arguments).output().unwrap()
    }

    /// Runs Python code in the image's environment, which must succeed, and gives what it prints.
    fn python(&self, code: &str) -> String {
        let output = self.run(&["python", "-c", code]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Installs distributions beside the image's environment, as a code package brings them along.
    fn bring_along(&self, folder: &str, distributions: &[&str]) {
        let target = self.root.join(folder);
        let installed = Command::new("python3")
            .args([
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                "--no-compile",
                "--no-deps",
                "--target",
            ])
            .arg(&target)
            .args(distributions)
            .status()
            .unwrap();
        assert!(installed.success());
    }
}

fn pull(registry: &Registry, name: &str, folder: &Path) -> Unpacked {
    let layout = folder.join(format!("{name}-pulled"));
    let copied = Command::new("skopeo")
        .args(["copy", "-q", "--src-tls-verify=false"])
        .arg(format!("docker://{}/bakery/{name}:latest", registry.address()))
        .arg(format!("oci:{}:{name}", layout.display()))
        .status()
        .unwrap();
    assert!(copied.success(), "skopeo pulls {name}");
    let inspected = Command::new("skopeo")
        .args(["inspect", "--config"])
        .arg(format!("oci:{}:{name}", layout.display()))
        .output()
        .unwrap();
    let config: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let bundle = folder.join(name);
    bakery::unpack(&layout, name, &bundle);
    Unpacked { root: bundle.join("rootfs"), config: config["config"].clone() }
}

/// Imports every module that the installed distributions bring, and prints the distributions.
const IMPORT_ALL: &str = r#"
import importlib, importlib.metadata as metadata
for module, owners in sorted(metadata.packages_distributions().items()):
    if module.isidentifier():
        importlib.import_module(module)
for name in sorted({d.metadata["Name"].lower().replace("_", "-").replace(".", "-") for d in metadata.distributions() if str(d.locate_file("")).startswith("/opt/venv")}):
    print(name)
"#;

/// The names of the packages in a lock.
fn locked(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let (packages, _) = text.split_once("\n[tool.").unwrap();
    packages
        .lines()
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .collect()
}

fn check_environment(image: &Unpacked, lock: &Path) {
    let installed = image.python(IMPORT_ALL);
    assert_eq!(
        installed.lines().collect::<Vec<_>>(),
        locked(lock),
        "what is locked is installed, and nothing else"
    );

    image.bring_along("tmp/pip", &["pip"]);
    let check =
        image.command(&["env", "PYTHONPATH=/tmp/pip", "python", "-m", "pip", "check"]).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    fs::remove_dir_all(image.root.join("tmp/pip")).unwrap();

    for entry in fs::read_dir(image.root.join("opt/venv/bin")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.starts_with("python") {
            let output = image.run(&[&name, "--help"]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            // FastAPI's command says itself that it needs an extra.
            assert!(output.status.success() || said.contains("fastapi[standard]"), "{name}: {said}");
        }
    }
}

/// What is at a path of an environment: a link's target, or a file's mode and bytes.
#[derive(PartialEq, Eq)]
enum Found {
    Link(PathBuf),
    File { executable: bool, bytes: Vec<u8> },
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Link(target) => write!(f, "link to {}", target.display()),
            Self::File { executable, bytes } => {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
                write!(f, "{} bytes, executable: {executable}: {start}", bytes.len())
            }
        }
    }
}

/// Everything in an environment but what installers may do as they like: activation scripts, marks of the tool, the text
/// of command scripts and their rows in RECORD, and RECORD's order.
fn environment(prefix: &Path) -> BTreeMap<PathBuf, Found> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(prefix.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let (kind, path) = (entry.file_type().unwrap(), folder.join(entry.file_name()));
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            if kind.is_symlink() {
                found.insert(path, Found::Link(fs::read_link(entry.path()).unwrap()));
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap();
            let marks = ["CACHEDIR.TAG", ".gitignore", "pyvenv.cfg", ".lock"];
            let activation = folder.ends_with("bin") && (name.contains("activate") || name.ends_with(".bat"));
            if (folder.as_os_str().is_empty() && marks.contains(&name)) || activation {
                continue;
            }
            let mut bytes = fs::read(entry.path()).unwrap();
            if name == "INSTALLER" || (folder.ends_with("bin") && bytes.starts_with(b"#!")) {
                bytes.clear();
            } else if name == "RECORD" {
                let text = String::from_utf8(bytes).unwrap();
                let free = |row: &str| row.starts_with("../../../bin/") || row.contains("/INSTALLER,");
                let mut rows: Vec<&str> = text
                    .lines()
                    .map(|row| if free(row) { row.split(',').next().unwrap() } else { row })
                    .collect();
                rows.sort_unstable();
                bytes = rows.join("\n").into_bytes();
            }
            let executable = entry.metadata().unwrap().permissions().mode() & 0o111 != 0;
            found.insert(path, Found::File { executable, bytes });
        }
    }
    found
}

/// Lets uv install the same lock at the same prefix, on the same base, and compares what is there then.
fn compare_with_uv(image: &Unpacked, lock: &Path, folder: &Path) {
    let bundle = folder.join("uv");
    let layout = folder.join("uv-base");
    let copied = Command::new("skopeo")
        .args(["copy", "-q"])
        .arg(format!("oci:{}", bakery::debian_layout().display()))
        .arg(format!("oci:{}:base", layout.display()))
        .status()
        .unwrap();
    assert!(copied.success());
    bakery::unpack(&layout, "base", &bundle);
    let mut config = image.config.clone();
    config["WorkingDir"] = "/".into();
    let theirs = Unpacked { root: bundle.join("rootfs"), config };
    theirs.bring_along("tmp/tool", &["uv"]);
    let put = |from: &Path, to: &str| assert!(fs::copy(from, theirs.root.join(to)).unwrap() > 0);
    // uv starts the interpreter with its input from there; an empty file serves as well.
    fs::create_dir_all(theirs.root.join("dev")).unwrap();
    fs::write(theirs.root.join("dev/null"), "").unwrap();
    put(lock, "tmp/pylock.toml");
    put(Path::new("/etc/resolv.conf"), "etc/resolv.conf");
    put(Path::new("/etc/ssl/certs/ca-certificates.crt"), "tmp/ca.crt");
    for arguments in [
        &["/tmp/tool/bin/uv", "venv", "-q", "--python", "/usr/bin/python3.11", "/opt/venv"][..],
        &[
            "/tmp/tool/bin/uv",
            "pip",
            "install",
            "-q",
            "--python",
            "/opt/venv/bin/python",
            "-r",
            "/tmp/pylock.toml",
        ],
    ] {
        let mut command = theirs.command(arguments);
        command.env("UV_CACHE_DIR", "/tmp/uv-cache").env("SSL_CERT_FILE", "/tmp/ca.crt").env("HOME", "/tmp");
        command.env("UV_NO_CONFIG", "1").env("UV_LINK_MODE", "copy");
        for proxy in
            ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY"]
        {
            if let Some(value) = std::env::var_os(proxy) {
                command.env(proxy, value);
            }
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let (ours, theirs) =
        (environment(&image.root.join("opt/venv")), environment(&theirs.root.join("opt/venv")));
    for (path, file) in &theirs {
        assert_eq!(ours.get(path), Some(file), "{}", path.display());
    }
    let more: Vec<_> = ours.keys().filter(|path| !theirs.contains_key(*path)).collect();
    assert!(more.is_empty(), "{more:?}");
    assert!(ours.len() > 1000);
}

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn http(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
#[ignore = "uses the real Python index"]
fn the_example_is_baked_pushed_pulled_and_runs() {
    let world = bakery::World::new();
    let copied = Command::new("cp")
        .args(["-r", "--no-target-directory"])
        .arg(Path::new(ROOT).join("examples/fraud_detection_model"))
        .arg(world.project())
        .status()
        .unwrap();
    assert!(copied.success());
    let registry = Registry::start();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bakehouse"));
    command
        .arg("build")
        .arg(world.project())
        .args(["--format", "json", "--cache-dir"])
        .arg(world.path("store"));
    command.arg("--push").arg(format!("{}/bakery", registry.address()));
    let ran = bakery::run(&mut command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let again = bakery::run(&mut command);
    assert_eq!(bakery::digests(&again.report), bakery::digests(&ran.report));
    assert_eq!(again.report["transfer"]["uploadedBytes"], 0);

    let folder = world.path("images");
    fs::create_dir(&folder).unwrap();

    let train = pull(&registry, "trainer-train", &folder);
    // Before anything runs in it, and leaves compiled modules.
    compare_with_uv(&train, &world.project().join("flows/trainer/pylock.train.toml"), &folder);
    check_environment(&train, &world.project().join("flows/trainer/pylock.train.toml"));
    let score = train
        .python("from mymodel import example_transactions, train; print(train(example_transactions())[1])");
    assert_eq!(score.trim(), "1.0");
    assert_eq!(
        train.python("import feature_encoders as f; print(f.__file__)").trim(),
        "/app/src/feature_encoders/__init__.py"
    );

    let trainer = pull(&registry, "trainer", &folder);
    check_environment(&trainer, &world.project().join("flows/trainer/pylock.toml"));
    // Metaflow itself comes with the code package of a run, beside the environment.
    trainer.bring_along(
        "tmp/code",
        &["ob-metaflow", "ob-project-utils", "requests", "urllib3", "certifi", "idna", "charset-normalizer"],
    );
    let flow = trainer.python("import sys; sys.path.append('/tmp/code'); import flow, feature_encoders; print(flow.TrainerFlow.__name__)");
    assert_eq!(flow.trim(), "TrainerFlow");

    let inference = pull(&registry, "inference", &folder);
    check_environment(&inference, &world.project().join("deployments/inference/pylock.toml"));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let arguments: Vec<String> = inference.config["Cmd"]
        .as_array()
        .unwrap()
        .iter()
        .map(|argument| argument.as_str().unwrap().replace("8000", &free.to_string()))
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let _server = Server(inference.command(&arguments).spawn().unwrap());
    let started = Instant::now();
    let health = loop {
        if let Some(answer) = http(free, "GET /health HTTP/1.0\r\n\r\n") {
            break answer;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the server does not come up");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(health.contains("200 OK") && health.contains(r#"{"status":"ok"}"#), "{health}");
    let body = r#"{"time": "2024-05-01T03:00:00Z", "amount": 980, "country": "US", "home_country": "FI"}"#;
    let answer = http(
        free,
        &format!(
            "POST /score HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert!(answer.unwrap().contains(r#"{"fraud":true}"#));
}
