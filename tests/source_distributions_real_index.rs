//! Real source distributions of the real index, built by the real setuptools: a pure one that has no wheel at all, and one with
//! an extension in C. Both are baked and imported in the image.
//!
//! ```text
//! cargo test --test source_distributions_real_index -- --ignored
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::path::Path;
use std::process::Command;

/// The Debian base that `scripts/debian-base` makes; its Python is 3.11, and so must be the one that builds here.
fn base() -> String {
    format!("oci:{}", std::env::var("BAKEHOUSE_TEST_BASE").expect("BAKEHOUSE_TEST_BASE names a base image"))
}

/// The program, with the real index.
fn bakehouse(arguments: &[&str], project: &Path, store: &Path) -> bakery::Ran {
    let (subcommand, rest) = arguments.split_first().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bakehouse"));
    command
        .arg(subcommand)
        .arg(project)
        .args(["--format", "json", "--base", &base(), "--cache-dir"])
        .arg(store);
    // Nothing of the caller's settings decides what is built.
    command.env_remove("CFLAGS").env_remove("PIP_ONLY_BINARY").env_remove("PIP_NO_BINARY");
    bakery::run(command.args(rest))
}

/// What Python prints in the image.
fn print(root: &Path, code: &str) -> String {
    let mut command = if bakery::is_root() {
        Command::new("chroot")
    } else {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "chroot"]);
        command
    };
    let output = command.arg(root).args(["/opt/venv/bin/python", "-c", code]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Locks, bakes and unpacks a project that requires this; the root file system, and the lock.
fn bake(directory: &Path, requirements: &str, options: &[&str]) -> (std::path::PathBuf, String) {
    let project = directory.join("app");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("requirements.txt"), requirements).unwrap();
    let output = format!("oci:{}", directory.join("out").display());
    let ran =
        bakehouse(&[&["build", "--output", &output], options].concat(), &project, &directory.join("store"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let digests = bakery::digests(&ran.report);
    // With nothing but the lock, the same image.
    let again =
        bakehouse(&[&["build", "--locked"], options].concat(), &project, &directory.join("other-store"));
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(bakery::digests(&again.report), digests);
    bakery::unpack(&directory.join("out"), "app:latest", &directory.join("bundle"));
    (directory.join("bundle/rootfs"), fs::read_to_string(project.join("pylock.toml")).unwrap())
}

#[test]
#[ignore = "uses the real Python index"]
fn a_pure_distribution_without_any_wheel() {
    let directory = tempfile::tempdir().unwrap();
    // An old one: no pyproject.toml, no final metadata.
    let (root, lock) = bake(directory.path(), "docopt==0.6.2\n", &["--build", "docopt"]);
    assert!(lock.contains("name = \"docopt-0.6.2.tar.gz\"") && lock.contains("\"setuptools=="), "{lock}");
    assert_eq!(print(&root, "import docopt; print(docopt.__version__)"), "0.6.2");
    assert_eq!(print(&root, "import importlib.metadata as m; print(m.version('docopt'))"), "0.6.2");
}

#[test]
#[ignore = "uses the real Python index, a C compiler and Python 3.11 with its headers"]
fn a_distribution_with_an_extension_in_c() {
    let directory = tempfile::tempdir().unwrap();
    let (root, lock) = bake(directory.path(), "markupsafe==3.0.2\n", &["--no-binary", "markupsafe"]);
    assert!(lock.contains("cp311-cp311-linux_"), "{lock}");
    assert_eq!(
        print(&root, "from markupsafe._speedups import _escape_inner; print(_escape_inner('<'))"),
        "&lt;"
    );
}
