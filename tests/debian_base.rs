//! Bases of Debian's packages, against mirrors that cannot be trusted: what is not signed, or not what was signed, is
//! refused, and nothing is kept of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bakehouse::model::Digest;
use bakery::{Ran, World};
use tempfile::TempDir;

/// Somebody who signs release files.
struct Signer(TempDir);

impl Signer {
    fn new() -> Self {
        let signer = Self(tempfile::tempdir().unwrap());
        signer.gpg(&["--quick-generate-key", "archive@mirror.example", "ed25519", "sign", "never"], "");
        signer
    }

    fn gpg(&self, arguments: &[&str], input: &str) -> Vec<u8> {
        let mut gpg = Command::new("gpg")
            .args(["--homedir", self.0.path().to_str().unwrap(), "--batch", "--quiet", "--passphrase", ""])
            .args(["--pinentry-mode", "loopback"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        gpg.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = gpg.wait_with_output().unwrap();
        assert!(output.status.success(), "gpg {arguments:?}");
        output.stdout
    }

    /// The public key, in a file.
    fn keyring(&self) -> PathBuf {
        let path = self.0.path().join("keyring.gpg");
        fs::write(&path, self.gpg(&["--export"], "")).unwrap();
        path
    }

    fn sign(&self, text: &str) -> String {
        String::from_utf8(self.gpg(&["--clear-sign"], text)).unwrap()
    }
}

/// A release file that lists one list of packages.
fn release(codename: &str, valid_until: &str, packages: &[u8]) -> String {
    format!(
        "Origin: Debian\nSuite: oldstable\nCodename: {codename}\nValid-Until: {valid_until}\nSHA256:\n {} {} main/binary-amd64/Packages.xz\n",
        Digest::of(packages).hex(),
        packages.len()
    )
}

const FUTURE: &str = "Fri, 01 Jan 2100 00:00:00 UTC";

/// Locks a project on a mirror with this release file and this list of packages.
fn lock(signer: &Signer, release: &str, packages: &[u8]) -> (World, Ran) {
    let world = World::plain(&[]);
    world.index.page("/debian/dists/bookworm/InRelease", "text/plain", release);
    world.index.file("/debian/dists/bookworm/main/binary-amd64/Packages.xz", packages);
    let mirror = world.index.url("/debian/");
    let keyring = signer.keyring();
    let ran = world.run(&[
        "lock",
        "--base",
        "deb://bookworm",
        "--debian-mirror",
        mirror.as_str(),
        "--no-debian-security",
        "--debian-keyring",
        keyring.to_str().unwrap(),
    ]);
    (world, ran)
}

fn refused(signer: &Signer, release: &str, packages: &[u8], code: i32, word: &str) {
    let (world, ran) = lock(signer, release, packages);
    assert_eq!(ran.code, code, "{}", ran.stderr);
    assert!(ran.stderr.contains(word), "no `{word}` in: {}", ran.stderr);
    let mut left: Vec<_> = fs::read_dir(world.project())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["app.py", "requirements.txt"], "no lock is written");
}

#[test]
fn a_release_file_counts_only_if_it_is_signed_with_a_key_that_is_trusted() {
    let (signer, other) = (Signer::new(), Signer::new());
    let text = release("bookworm", FUTURE, b"");
    refused(&signer, &text, b"", 30, "signed");
    refused(&signer, &other.sign(&text), b"", 30, "signature");
    let tampered = signer.sign(&text).replace("Origin: Debian", "Origin: Nobody");
    refused(&signer, &tampered, b"", 30, "signature");
}

#[test]
fn a_release_file_of_another_suite_or_of_the_past_is_refused() {
    let signer = Signer::new();
    refused(&signer, &signer.sign(&release("sid", FUTURE, b"")), b"", 30, "sid");
    let past = "Sat, 01 Jan 2022 00:00:00 UTC";
    refused(&signer, &signer.sign(&release("bookworm", past, b"")), b"", 30, "clock");
    refused(&signer, &signer.sign(&release("bookworm", "tomorrow", b"")), b"", 30, "Valid-Until");
}

#[test]
fn a_list_of_packages_must_be_the_one_that_was_signed() {
    let signer = Signer::new();
    let signed = signer.sign(&release("bookworm", FUTURE, b"the true list"));
    // As long as the true one, and of another length: a mirror in the middle of an update looks the same.
    refused(&signer, &signed, b"the fake list", 30, "Packages.xz");
    refused(&signer, &signed, b"another list", 30, "Packages.xz");
    let signed = signer.sign(&release("bookworm", FUTURE, b"no xz at all"));
    refused(&signer, &signed, b"no xz at all", 30, "Packages.xz");
}

#[test]
fn keys_that_are_none_are_wrong_usage() {
    let world = World::plain(&[]);
    world.write("keys.gpg", "nothing of the kind");
    let keys = world.project().join("keys.gpg");
    let mirror = world.index.url("/debian/");
    let arguments = ["lock", "--base", "deb://bookworm", "--debian-mirror", mirror.as_str()];
    world.fail(&[&arguments[..], &["--debian-keyring", keys.to_str().unwrap()]].concat(), 2, &["key"]);
}
