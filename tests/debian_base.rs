//! Bases of Debian's packages, against mirrors that cannot be trusted: what is not signed, or not what was signed, is
//! refused, and nothing is kept of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/debian.rs"]
mod debian;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bakehouse::model::Digest;
use bakery::{Ran, World};
use debian::{FUTURE, Signer, Suite, release, xz};
use http::Response;
use tar::EntryType;

/// Runs a command on the world's mirror, whose keys are the signer's.
fn on_mirror(world: &World, signer: &Signer, arguments: &[&str]) -> Ran {
    with_security(world, signer, &[arguments, &["--no-debian-security"]].concat())
}

/// The same with security updates, which stand beside the mirror.
fn with_security(world: &World, signer: &Signer, arguments: &[&str]) -> Ran {
    let (mirror, keyring) = (world.index.url("/debian/"), signer.keyring());
    let keyring = keyring.display().to_string();
    let own = ["--base", "deb://bookworm", "--debian-mirror", mirror.as_str(), "--debian-keyring", &keyring];
    world.run(&[arguments, &own].concat())
}

/// Locks a project on a mirror with this release file and this list of packages.
fn lock(signer: &Signer, release: &str, packages: &[u8]) -> (World, Ran) {
    let world = World::plain(&[]);
    world.index.page("/debian/dists/bookworm/InRelease", "text/plain", release);
    world.index.file("/debian/dists/bookworm/main/binary-amd64/Packages.xz", packages);
    let ran = on_mirror(&world, signer, &["lock"]);
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
    assert_eq!(stored(&world.path("store")), Vec::<Vec<u8>>::new(), "nothing is kept");
}

/// The blobs of a store.
fn stored(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let blobs = entries.flat_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() { stored(&path) } else { vec![fs::read(path).unwrap()] }
    });
    blobs.collect()
}

#[test]
fn a_release_file_counts_only_if_it_is_signed_with_a_key_that_is_trusted() {
    let (signer, other) = (Signer::new(), Signer::new());
    let text = release("bookworm", FUTURE, b"");
    refused(&signer, &text, b"", 30, "signed");
    refused(&signer, &other.sign(&text), b"", 30, "signature");
    let tampered = signer.sign(&text).replace("Origin: Debian", "Origin: Nobody");
    refused(&signer, &tampered, b"", 30, "signature");
    // What stands outside of what is signed counts for nothing.
    let around = signer.sign(&release("sid", FUTURE, b"")) + &text;
    refused(&signer, &around, b"", 30, "sign");
    let before = text.clone() + &signer.sign(&release("sid", FUTURE, b""));
    refused(&signer, &before, b"", 30, "sign");
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
    let (_, ran) = lock(&signer, &signed, b"no xz at all");
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    assert!(ran.stderr.contains("Packages.xz"), "{}", ran.stderr);
    // A list that leads outside of the archive.
    let list = xz(&format!(
        "Package: bash\nVersion: 1\nFilename: ../../etc/passwd\nSize: 1\nSHA256: {}\n",
        Digest::of(b"x").hex()
    ));
    let (_, ran) = lock(&signer, &signer.sign(&release("bookworm", FUTURE, &list)), &list);
    assert_eq!(ran.code, 10, "it counts as absent: {}", ran.stderr);
}

#[test]
fn a_mirror_that_does_not_answer_is_no_integrity_fault() {
    let (signer, world) = (Signer::new(), World::plain(&[]));
    let ran = on_mirror(&world, &signer, &["lock"]);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(ran.stderr.contains("InRelease"), "{}", ran.stderr);
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

#[test]
fn a_package_must_be_the_one_that_was_listed() {
    let (signer, world, suite) = (Signer::new(), World::plain(&[]), Suite::new("bookworm", "3.11"));
    suite.publish(&world.index, &signer);
    let path = format!("/debian/{}", suite.path("bash", "1.0-1"));
    let forged = |bytes: Vec<u8>, word: &str| {
        suite.publish(&world.index, &signer);
        world.index.page(&path, "application/octet-stream", bytes.clone());
        let ran = on_mirror(&world, &signer, &["build"]);
        assert_eq!(ran.code, 30, "{}", ran.stderr);
        assert!(ran.stderr.contains(word) && ran.stderr.contains("bash"), "{}", ran.stderr);
        assert!(!stored(&world.path("store")).contains(&bytes), "nothing is kept of it");
    };
    let honest = debian::deb("bash", "1.0-1", "", &[]);
    forged(honest.clone(), "digest");
    forged([&honest[..], &[0; 4000]].concat(), "bytes");
    let (_, size) = listed(&world, "bash");
    forged(vec![b'x'; size], "digest");
    // One whose transfer breaks off is asked for again, and in the end it is the network's fault.
    world.index.route(&path, move |_| Response::ok("application/octet-stream", vec![1; 500]).cut_after(10));
    assert_eq!(on_mirror(&world, &signer, &["build"]).code, 20);
    // And with the right one, all is well.
    suite.publish(&world.index, &signer);
    let ran = on_mirror(&world, &signer, &["build"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

/// The path and size of a package in the project's lock.
fn listed(world: &World, name: &str) -> (String, usize) {
    let text = fs::read_to_string(world.project().join("bakehouse-base.toml")).unwrap();
    let line = text.lines().find(|line| line.contains(&format!("name = \"{name}\""))).unwrap();
    let value = |key: &str, end: &str| {
        let rest = line.split_once(&format!("{key} = ")).unwrap().1;
        rest.split_once(end).unwrap().0.trim_matches('"').to_owned()
    };
    (value("path", ","), value("size", ",").parse().unwrap())
}

#[test]
fn a_package_that_would_break_out_of_the_image_is_refused() {
    let signer = Signer::new();
    let hostile: [(&str, &[debian::File<'_>]); 6] = [
        ("a path above", &[("../etc/passwd", EntryType::Regular, "x")]),
        ("a path inside that climbs", &[("./usr/../../x", EntryType::Regular, "x")]),
        ("a whiteout", &[("./usr/.wh.bin", EntryType::Regular, "x")]),
        ("a device", &[("./dev/sda", EntryType::Block, "")]),
        ("a link to a file outside", &[("./usr/x", EntryType::Link, "../../etc/shadow")]),
        ("a link to nothing", &[("./usr/x", EntryType::Symlink, "")]),
    ];
    for (what, files) in hostile {
        let (world, mut suite) = (World::plain(&[]), Suite::new("bookworm", "3.11"));
        suite.add("bash", "1.0-2", "", files);
        suite.publish(&world.index, &signer);
        let ran = on_mirror(&world, &signer, &["build"]);
        assert_eq!(ran.code, 30, "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains("bash"), "{what}: {}", ran.stderr);
    }
    // A package in the place of another, though its hash is right.
    let (world, mut suite) = (World::plain(&[]), Suite::new("bookworm", "3.11"));
    suite.replace("bash", "1.0-1", debian::deb("zsh", "1.0-1", "", &[]));
    suite.publish(&world.index, &signer);
    let ran = on_mirror(&world, &signer, &["build"]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    assert!(ran.stderr.contains("another package"), "{}", ran.stderr);
}

#[test]
fn packages_share_directories_and_nothing_else() {
    let (signer, world, mut suite) = (Signer::new(), World::plain(&[]), Suite::new("bookworm", "3.11"));
    let directories = ["./usr/", "./usr/bin/", "./tmp/", "./var/", "./var/run/", "./var/lock/"];
    let directories = directories.map(|path| (path, EntryType::Directory, ""));
    suite.add("base-files", "1.0-2", "", &directories);
    let sh: &[debian::File<'_>] =
        &[("./bin/dash", EntryType::Regular, "dash"), ("./bin/sh", EntryType::Symlink, "dash")];
    suite.add("dash", "1.0-2", "", &[&directories[..2], sh].concat());
    suite.publish(&world.index, &signer);
    let out = world.path("out");
    let output = format!("oci:{}", out.display());
    let build = ["build", "--output", &output];
    assert_eq!(on_mirror(&world, &signer, &build).code, 0);
    // No path is twice in a layer.
    bakery::conforms(&build);
    bakery::unpack(&out, "project:latest", &world.path("bundle"));
    let root = world.path("bundle/rootfs");
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("tmp"), mode("root"), mode("usr")), (0o1777, 0o700, 0o755));
    assert_eq!(fs::read_link(root.join("usr/bin/sh")).unwrap(), Path::new("dash"));
    assert_eq!(fs::read_link(root.join("var/run")).unwrap(), Path::new("/run"));

    // Nor may two packages have the same file, or one have a file where another has a directory.
    for (path, version) in [("./usr/bin/dash", "1.0-2"), ("./usr/bin", "1.0-3")] {
        let world = World::plain(&[]);
        suite.add("bash", version, "", &[(path, EntryType::Regular, "bash")]);
        suite.publish(&world.index, &signer);
        let ran = on_mirror(&world, &signer, &["build"]);
        assert_eq!(ran.code, 30, "{}", ran.stderr);
        assert!(ran.stderr.contains("is there already"), "{}", ran.stderr);
    }
}

#[test]
fn a_mirror_that_mixes_states_is_told_from_one_that_is_whole() {
    let (signer, world, suite) = (Signer::new(), World::plain(&[]), Suite::new("bookworm", "3.11"));
    let mut newer = suite.clone();
    newer.add("bash", "1.0-2", "libc6", &[]);
    // The release file of one state and the list of another.
    suite.publish(&world.index, &signer);
    let old = world.index.clone();
    let list = "/debian/dists/bookworm/main/binary-amd64/Packages.xz";
    newer.publish(&world.index, &signer);
    old.file(list, xz("Package: bash\n"));
    let ran = on_mirror(&world, &signer, &["lock"]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    assert!(ran.stderr.contains("in the middle of an update"), "{}", ran.stderr);
    // The list of one state and the packages of another: the package is not there.
    newer.publish(&world.index, &signer);
    world.index.route(&format!("/debian/{}", newer.path("bash", "1.0-2")), |_| Response::status(404));
    let ran = on_mirror(&world, &signer, &["build"]);
    assert_eq!(ran.code, 12, "{}", ran.stderr);
    assert!(ran.stderr.contains("bash 1.0-2"), "{}", ran.stderr);
}

#[test]
fn security_updates_that_are_not_made_for_the_processor_are_done_without_and_told() {
    let (signer, world, suite) = (Signer::new(), World::plain(&[]), Suite::new("bookworm", "3.11"));
    suite.publish(&world.index, &signer);
    let (archive, security) = ("/debian-security", "bookworm-security");
    let publish = |release: &str| {
        let path = format!("{archive}/dists/{security}/InRelease");
        world.index.page(&path, "text/plain", signer.sign(release));
        let _ = fs::remove_file(world.project().join("bakehouse-base.toml"));
    };
    // The archive's own word: it is made for others.
    let of_others = release(security, FUTURE, b"").replace("amd64", "arm64") + "Architectures: arm64 armhf\n";
    publish(&of_others);
    let ran = with_security(&world, &signer, &["build"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.report["warnings"].as_array().unwrap().len(), 1, "{}", ran.report["warnings"]);
    let message = ran.report["warnings"][0]["message"].as_str().unwrap();
    assert!(message.contains("security updates") && message.contains("linux/amd64"), "{message}");

    // The main archive cannot be done without.
    publish(&release(security, FUTURE, b""));
    let main = "/debian/dists/bookworm/InRelease";
    world.index.page(main, "text/plain", signer.sign(&of_others.replace(security, "bookworm")));
    assert_eq!(with_security(&world, &signer, &["lock"]).code, 10);
    suite.publish(&world.index, &signer);

    // An archive that contradicts itself, and a mirror that lacks what the archive says it has.
    publish(&of_others.replace("armhf", "amd64"));
    let ran = with_security(&world, &signer, &["lock"]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    publish(&release(security, FUTURE, b"a list"));
    let ran = with_security(&world, &signer, &["lock"]);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    // And updates that are there are taken.
    let mut updates = Suite::empty(security);
    updates.add("bash", "1.0-2", "libc6", &[]);
    updates.publish_below(&world.index, &signer, archive);
    let ran = with_security(&world, &signer, &["build"]);
    assert_eq!((ran.code, &ran.report["warnings"]), (0, &serde_json::json!([])), "{}", ran.stderr);
    let lock = fs::read_to_string(world.project().join("bakehouse-base.toml")).unwrap();
    let bash = lock.lines().find(|line| line.contains("\"bash\"")).unwrap();
    assert!(bash.contains("1.0-2") && bash.contains("security = true"), "{bash}");

    // Of a suite that nobody cares for any more, the list may name what is gone: the error says how to do without.
    world.index.route(&format!("{archive}/{}", updates.path("bash", "1.0-2")), |_| Response::status(404));
    let store = world.path("fresh").display().to_string();
    let ran = with_security(&world, &signer, &["build", "--cache-dir", &store]);
    assert_eq!(ran.code, 12, "{}", ran.stderr);
    assert!(ran.stderr.contains("--upgrade --no-debian-security"), "{}", ran.stderr);
    let ran = on_mirror(&world, &signer, &["build", "--cache-dir", &store, "--upgrade"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}
