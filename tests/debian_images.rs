//! Bases of Debian's real packages: what a task needs is in them and works, and scanners see what is locked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bakery::{World, digests, is_root, layers, run, unpack};
use serde_json::Value;
use wheel::WheelBuilder;

/// The suites, their Pythons and their versions of GNU libc. The program knows these before it makes a base, to try what can be
/// had for them (`bake/suites.rs`).
const SUITES: [(&str, &str, &str); 3] =
    [("bullseye", "3.9", "2.31"), ("bookworm", "3.11", "2.36"), ("trixie", "3.13", "2.41")];

/// What a task of the platform calls.
const CALLS: &str = r#"
set -euo pipefail
date -u -Ins | grep -q +00:00
printf 'a b\n' | tr a-z A-Z | cut -d' ' -f2 | grep -q '^B$'
cd "$(mktemp -d)"
mkdir -p one/two
seq 1 9 > one/two/numbers
test "$(tail -n 1 one/two/numbers)" = 9
tar -czf all.tar.gz one && rm -r one && tar -xzf all.tar.gz && test -s one/two/numbers
md5sum one/two/numbers | cut -c1-32 | grep -Eq '^[0-9a-f]{32}$'
test "$(printenv HELLO)" = hello
sleep 0.01
test "$(gzip -c one/two/numbers | gzip -dc | md5sum)" = "$(md5sum < one/two/numbers)"
test "$(printf hello | base64 | base64 -d)" = hello
find / -xdev -name passwd -path '/etc/*' | grep -q /etc/passwd
echo 'x=1' | sed 's/1/2/' | awk -F= '{print $2}' | grep -qx 2
sh -c 'test "$(whoami)" = root'
test -k /tmp
"#;

/// Imports the standard library, asks for users, zones and names, and reads what Python was made with.
const PYTHON: &str = r#"
import importlib, os, pkgutil, pwd, grp, sys, sysconfig, tempfile, time, datetime
absent = {"tkinter", "_tkinter", "turtle", "turtledemo", "idlelib", "lib2to3", "distutils", "test", "antigravity", "this",
          "nis", "_msi", "msilib", "winreg", "winsound", "msvcrt", "ensurepip", "venv", "_gdbm", "dbm"}
names = {m.name for m in pkgutil.iter_modules() if "site-packages" not in m.module_finder.path}
names |= set(getattr(sys, "stdlib_module_names", ()))
wrong = []
for name in sorted(names - absent):
    # Tests, other systems, what only building uses, and what Debian has in packages of their own.
    if name.startswith(("_test", "_xx", "xx", "_sysconfigdata", "__", "_pyrepl", "_distutils", "_ios", "_android", "_apple", "_aix")):
        continue
    try:
        importlib.import_module(name)
    except ImportError as error:
        wrong.append(f"{name}: {error}")
others = ("winreg", "_winapi", "msvcrt", "nt:", "nturl2path", "_wmi", "_overlapped", "_scproxy", "_osx_support", "winsound")
print("imports:", [w for w in wrong if not w.startswith(others)])
assert pwd.getpwuid(0).pw_name == "root" and pwd.getpwnam("nobody").pw_uid == 65534 and grp.getgrgid(0).gr_name == "root"
import zoneinfo
assert zoneinfo.ZoneInfo("Europe/Helsinki").utcoffset(datetime.datetime(2024, 7, 1)) == datetime.timedelta(hours=3)
assert zoneinfo.ZoneInfo("UTC").key == "UTC" and time.tzname[0] == "UTC"
assert sys.getfilesystemencoding() == "utf-8" and os.environ["LANG"] == "C.UTF-8"
import ctypes, ctypes.util
ctypes.CDLL("libc.so.6").getpid()
print("python:", "%d.%d" % sys.version_info[:2])
"#;

/// Asks servers by TLS: one that must be refused, and the real index.
const TLS: &str = r#"
import ssl, sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=30)
    print("accepted")
except urllib.error.URLError as error:
    print("refused" if isinstance(error.reason, ssl.SSLCertVerificationError) else error.reason)
print(urllib.request.urlopen("https://pypi.org/simple/six/", timeout=60).status)
"#;

struct Image {
    root: PathBuf,
    report: Value,
}

fn world() -> World {
    let mut world = World::plain(&["hello"]);
    let module = "import platform, sys\n\ndef main():\n    print(sys.prefix, platform.machine())\n";
    let wheel = WheelBuilder::new("hello", "1.0").file("hello.py", module);
    world.publish(wheel.entry_points("[console_scripts]\nhello = hello:main\n").build());
    world
}

/// Bakes on a suite, and unpacks.
fn bake(world: &World, suite: &str, more: &[&str]) -> Image {
    let (out, base) = (world.path(&format!("out-{suite}")), format!("deb://{suite}"));
    let output = format!("oci:{}", out.display());
    let report = world.succeed(&[&["build", "--base", &base, "--output", &output], more].concat());
    let bundle = world.path(&format!("bundle-{suite}"));
    unpack(&out, "project:latest", &bundle);
    Image { root: bundle.join("rootfs"), report }
}

impl Image {
    /// Runs a command in the image, as a container would.
    fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(if is_root() { "chroot" } else { "unshare" });
        if !is_root() {
            command.args(["--map-root-user", "chroot"]);
        }
        command
            .env_clear()
            .env("PATH", "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LANG", "C.UTF-8").env("HELLO", "hello").env("VIRTUAL_ENV", "/opt/venv");
        let output = command.arg(&self.root).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The packages of the project's lock, as `NAME VERSION`.
fn locked(world: &World, suite: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(world.project().join("bakehouse-base.toml")).unwrap();
    let base = text.split("[[base]]").find(|base| base.contains(&format!("suite = \"{suite}\""))).unwrap();
    let value = |line: &str, key: &str| {
        line.split_once(&format!("{key} = \"")).unwrap().1.split('"').next().unwrap().to_owned()
    };
    let lines = base.lines().filter(|line| line.contains("{ part = "));
    lines.map(|line| format!("{} {}", value(line, "name"), value(line, "version"))).collect()
}

fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A TLS server whose certificate nobody vouches for; it ends with the value.
struct Impostor(Child, String);

impl Impostor {
    fn start(folder: &Path) -> Self {
        let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
        let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
        let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
        let request = [
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ];
        tool("openssl", &[&request[..], &subject].concat());
        let code = "import http.server, ssl, sys\nserver = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n\
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\ncontext.load_cert_chain(sys.argv[1], sys.argv[2])\n\
                    server.socket = context.wrap_socket(server.socket, server_side=True)\n\
                    print(server.server_address[1], flush=True)\nserver.serve_forever()\n";
        let mut server = Command::new("python3")
            .args(["-c", code, &certificate, &key])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self(server, format!("https://127.0.0.1:{}/", port.trim()))
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "makes three Debians of packages from the real mirror, and asks the real Python index"]
fn what_a_task_needs_is_there_and_works() {
    let world = world();
    let impostor = Impostor::start(&world.path(""));
    for (suite, python, libc) in SUITES {
        let image = bake(&world, suite, &[]);
        let lock = fs::read_to_string(world.project().join("pylock.toml")).unwrap();
        let target = format!("python = \"{python}\", platform = \"linux/amd64\", libc = \"glibc-{libc}\"");
        assert!(lock.contains(&target), "{lock}");
        image.run(&["/bin/bash", "-c", CALLS]);
        let said = image.run(&["/opt/venv/bin/python", "-c", PYTHON]);
        assert_eq!(said, format!("imports: []\npython: {python}\n"), "{suite}");
        assert_eq!(image.run(&["/opt/venv/bin/hello"]).split(' ').next(), Some("/opt/venv"));

        // The network of this machine; where it looks into what passes, its authority is one that the image must be told of.
        fs::create_dir_all(image.root.join("etc")).unwrap();
        fs::copy("/etc/resolv.conf", image.root.join("etc/resolv.conf")).unwrap();
        let bundle = image.root.join("etc/ssl/certs/ca-certificates.crt");
        let mut authorities = fs::read(&bundle).unwrap();
        for own in fs::read_dir("/usr/local/share/ca-certificates").into_iter().flatten() {
            authorities.extend(fs::read(own.unwrap().path()).unwrap());
        }
        fs::write(&bundle, authorities).unwrap();
        let said = image.run(&["/opt/venv/bin/python", "-c", TLS, &impostor.1]);
        assert_eq!(said, "refused\n200\n", "{suite}");
        fs::remove_dir_all(world.path(&format!("bundle-{suite}"))).unwrap();
    }
}

#[test]
#[ignore = "makes Debians of packages from the real mirror"]
fn the_package_manager_and_a_scanner_list_exactly_what_is_locked() {
    let world = world();
    for (suite, ..) in SUITES {
        let image = bake(&world, suite, &[]);
        let locked = locked(&world, suite);
        assert!(locked.len() > 40);
        let admin = format!("--admindir={}", image.root.join("var/lib/dpkg").display());
        let listed = tool("dpkg-query", &[&admin, "-W", "-f", "${Package} ${Version} ${Status}\\n"]);
        let installed: BTreeSet<String> = listed
            .lines()
            .map(|line| line.strip_suffix(" install ok installed").unwrap().to_owned())
            .collect();
        assert_eq!(installed, locked, "{suite}");
        // Files are found by the package that they are of, by the names that packages have for them.
        let owner = tool("dpkg-query", &[&admin, "-S", "*/bin/bash"]);
        assert!(owner.starts_with("bash: "), "{owner}");

        let root = format!("dir:{}", image.root.display());
        let found: Value =
            serde_json::from_str(&tool("syft", &["scan", "-q", "-o", "syft-json", &root])).unwrap();
        let of_kind = |kind: &str| -> BTreeSet<String> {
            let all = found["artifacts"].as_array().unwrap().iter();
            all.filter(|artifact| artifact["type"] == kind)
                .map(|artifact| {
                    let text = |key: &str| artifact[key].as_str().unwrap().to_owned();
                    format!("{} {}", text("name"), text("version"))
                })
                .collect()
        };
        assert_eq!(of_kind("deb"), locked, "{suite}");
        assert_eq!(of_kind("python"), BTreeSet::from(["hello 1.0".to_owned()]), "{suite}");
        fs::remove_dir_all(world.path(&format!("bundle-{suite}"))).unwrap();
    }
}

#[test]
#[ignore = "makes Debians of packages from the real mirror"]
fn the_default_base_is_small_and_the_same_on_every_machine() {
    let world = world();
    let build = |store: &str, more: &[&str]| {
        let store = world.path(store).display().to_string();
        let ran = run(&mut world.bare_command(&[&["build", "--cache-dir", &store], more].concat()));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.report
    };
    let first = build("one", &["--python", "3.11"]);
    assert_eq!(first["environments"][0]["base"], "deb://bookworm");
    let base = layers(&first).into_iter().filter(|layer| layer["role"] == "base");
    let size: u64 = base.map(|layer| layer["size"].as_u64().unwrap()).sum();
    assert!(size <= 30_000_000, "{size} bytes");
    assert_eq!(digests(&build("two", &["--python", "3.11", "--locked"])), digests(&first));
    // Everything is in the store: no mirror is asked.
    assert_eq!(build("one", &["--python", "3.11"])["transfer"]["baseBytes"], 0);
}

#[test]
#[ignore = "makes three Debians for another processor, of packages from the real mirror"]
fn images_for_another_processor_run_on_every_suite() {
    let emulator = ["/usr/bin/qemu-aarch64", "/usr/bin/qemu-aarch64-static"];
    let Some(emulator) = emulator.into_iter().find(|path| Path::new(path).exists()) else {
        eprintln!("there is no qemu-user: skipped");
        return;
    };
    let world = world();
    for (suite, python, _) in SUITES {
        // Nobody makes security updates of the oldest suite any more: its list still names those for this processor, and
        // they are gone.
        let security: &[&str] = if suite == "bullseye" { &["--no-debian-security"] } else { &[] };
        let image = bake(&world, suite, &[&["--platform", "linux/arm64"], security].concat());
        assert_eq!(image.report["images"][0]["platforms"][0]["python"], python);
        let run = |arguments: &[&str]| {
            // As the kernel would start `/opt/venv/bin/python`: the interpreter that it leads to, known by that name.
            let mut command = Command::new(emulator);
            command.env_clear().env("LANG", "C.UTF-8").arg("-L").arg(&image.root);
            command
                .args(["-0", "/opt/venv/bin/python"])
                .arg(image.root.join(format!("usr/bin/python{python}")));
            let output = command.args(arguments).output().unwrap();
            assert!(output.status.success(), "{suite}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let hello = image.root.join("opt/venv/bin/hello").display().to_string();
        assert_eq!(run(&[&hello]), "/opt/venv aarch64\n");
        let libraries = "import bz2, ctypes, decimal, hashlib, lzma, sqlite3, ssl, uuid, zlib; print(ssl.OPENSSL_VERSION[:7])";
        assert_eq!(run(&["-c", libraries]), "OpenSSL\n");
        let of_arm = tool(
            "dpkg-query",
            &[
                &format!("--admindir={}", image.root.join("var/lib/dpkg").display()),
                "-W",
                "-f",
                "${Architecture}\\n",
            ],
        );
        assert!(of_arm.lines().all(|line| matches!(line, "arm64" | "all")), "{of_arm}");
        fs::remove_dir_all(world.path(&format!("bundle-{suite}"))).unwrap();
    }
}
