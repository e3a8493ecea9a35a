//! A real registry (the `docker-registry` of the distribution project) on a free loopback port, gone with the value.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support, of which every file uses a part"
)]

#[allow(clippy::duplicate_mod, reason = "a test may use a registry alone, or the bakery, or both")]
#[path = "conform.rs"]
mod conform;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use tempfile::TempDir;

/// Who may use a registry that wants a login.
pub const USER: &str = "baker";
/// Their password.
pub const PASSWORD: &str = "bread";
/// Both, in the form of the only hash that the registry understands.
const HTPASSWD: &str = "baker:$2b$04$65L8Y3d05L14u.8hVKrBQ.Y3zj8uQ.6hyZD4xFbLxbbLv5Gk73ObO\n";

/// What the program may be called.
const PROGRAMS: [&str; 2] = ["docker-registry", "registry"];

/// A running registry.
pub struct Registry {
    address: String,
    process: Child,
    directory: TempDir,
}

impl Registry {
    /// A registry that everybody may read and write.
    pub fn start() -> Self {
        Self::launch(false)
    }

    /// A registry that wants [`USER`] and [`PASSWORD`].
    pub fn start_with_login() -> Self {
        Self::launch(true)
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Collects the registry's garbage, by its own command: what no manifest names, and manifests without a tag.
    pub fn collect_garbage(&self) {
        let collect = |program: &&str| {
            let mut command = Command::new(program);
            command
                .args(["garbage-collect", "--delete-untagged"])
                .arg(self.directory.path().join("config.yml"));
            command.env("OTEL_TRACES_EXPORTER", "none").output().ok()
        };
        let output = PROGRAMS.iter().find_map(collect).expect("docker-registry is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn launch(login: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mut config = format!(
            "version: 0.1\nlog: {{level: info, formatter: json}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp: {{addr: '127.0.0.1:0', secret: test}}\n",
            root.join("data").display()
        );
        if login {
            let users = root.join("htpasswd");
            fs::write(&users, HTPASSWD).unwrap();
            config += &format!("auth:\n  htpasswd: {{realm: test, path: {}}}\n", users.display());
        }
        let file = root.join("config.yml");
        fs::write(&file, config).unwrap();
        let mut process = PROGRAMS
            .iter()
            .find_map(|program| spawn(program, &file))
            .expect("docker-registry is installed (Debian's package of the same name)");
        let address = address(&mut process);
        Self { address, process, directory }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Whatever a test pushed is as the image specification says.
        if !thread::panicking() {
            conform::registry(&self.directory.path().join("data"));
        }
    }
}

fn spawn(program: &str, config: &Path) -> Option<Child> {
    Command::new(program)
        .arg("serve")
        .arg(config)
        .env("OTEL_TRACES_EXPORTER", "none")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()
}

/// The port is free for certain, since the registry chose it: its log tells. The log is read to the end, lest the
/// registry should block.
fn address(process: &mut Child) -> String {
    let log = BufReader::new(process.stderr.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("listening on ") {
                let end =
                    rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(rest.len());
                let _ = sender.send(rest[..end].to_owned());
            }
        }
    });
    receiver.recv_timeout(Duration::from_secs(20)).expect("the registry listens")
}

/// Writes a Docker configuration with a password; gives its file.
pub fn docker_config(directory: &Path, registry: &str, user: &str, password: &str) -> PathBuf {
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let file = directory.join("config.json");
    fs::write(&file, format!(r#"{{"auths": {{"{registry}": {{"auth": "{auth}"}}}}}}"#)).unwrap();
    file
}
