//! Pythons that a base lacks: an archive becomes a layer of its own, is locked, and is refused where it would not run or
//! means harm.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/python_archive.rs"]
mod python_archive;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bakehouse::model::Digest;
use bakery::{PYTHON, World, digests, layers, unpack, write_layout};
use http::Response;
use python_archive::{
    ARM, DYNAMIC, Entry, LIBC, LOADER, Program, STATIC, archive, file, gzip, interpreter, link, name, put,
    python, tarball, world,
};
use serde_json::{Value, json};
use tar::EntryType;
use wheel::WheelBuilder;

fn lock(world: &World) -> String {
    fs::read_to_string(world.project().join("bakehouse-base.toml")).unwrap_or_default()
}

#[test]
fn an_archive_becomes_a_layer_between_the_base_and_the_environment() {
    let world = world();
    world.fail(&["build"], 10, &["3.12", "--python-archive"]);
    let archive = put(&world, "python.tar.gz", &archive(&python(&DYNAMIC)));
    let layout = world.path("out");
    let output = format!("oci:{}", layout.display());
    let report = world.succeed(&["build", "--python-archive", &archive, "--output", &output]);
    let roles: Vec<Value> = layers(&report).iter().map(|layer| layer["role"].clone()).collect();
    assert_eq!(roles, ["base", "interpreter", "environment", "code"]);
    assert_eq!(
        interpreter(&report)["packages"],
        json!([{"name": "cpython", "version": "3.12.5", "kind": "python"}])
    );
    assert_eq!(report["images"][0]["platforms"][0]["python"], "3.12");

    let bundle = world.path("bundle");
    unpack(&layout, "x:latest", &bundle);
    let root = bundle.join("rootfs");
    let found = |path: &str| fs::symlink_metadata(root.join(path)).is_ok();
    assert_eq!(fs::read(root.join("opt/interpreter/bin/python3.12")).unwrap(), DYNAMIC.bytes());
    assert_eq!(fs::read_link(root.join("opt/interpreter/bin/python3")).unwrap(), Path::new("python3.12"));
    assert_eq!(
        fs::read_link(root.join("opt/venv/bin/python")).unwrap(),
        Path::new("/opt/interpreter/bin/python3.12")
    );
    let config = fs::read_to_string(root.join("opt/venv/pyvenv.cfg")).unwrap();
    assert!(
        config.contains("home = /opt/interpreter/bin\n") && config.contains("version_info = 3.12.5\n"),
        "{config}"
    );
    assert!(found("opt/interpreter/lib/python3.12/os.py"));
    assert!(
        !found("opt/interpreter/lib/python3.12/test") && !found("opt/interpreter/lib/python3.12/__pycache__")
    );

    // It is locked, and the layer is made once for all.
    let text = lock(&world);
    assert!(text.contains("version = \"3.12.5\"") && text.contains("platform = \"linux/amd64\""), "{text}");
    let again = world.succeed(&["build", "--locked"]);
    assert_eq!(interpreter(&again)["origin"], "store");
    assert_eq!(digests(&again), digests(&report));
    let plan = world.succeed(&["plan"]);
    assert_eq!(digests(&plan), digests(&report));
}

#[test]
fn the_layer_depends_on_the_archive_alone() {
    let (one, other) = (world(), world());
    other.write("more.py", "pass\n");
    let tar = tarball(&python(&DYNAMIC));
    let zstd = zstd::encode_all(&tar[..], 3).unwrap();
    let layer = |world: &World, file: &str, bytes: &[u8]| {
        let _ = fs::remove_file(world.project().join("bakehouse-base.toml"));
        let archive = put(world, file, bytes);
        interpreter(&world.succeed(&["build", "--python-archive", &archive]))["digest"].clone()
    };
    let digest = layer(&one, "a.tar.gz", &gzip(&tar));
    // Another project, another store, another base, another compression.
    write_layout(&other.path("base"), &[PYTHON, LIBC, ("etc/motd", "hello", 0o644)]);
    assert_eq!(layer(&other, "b.tar.gz", &gzip(&tar)), digest);
    assert_eq!(layer(&other, "b.tar.zst", &zstd), digest);
    assert_eq!(layer(&other, "b.tar", &tar), digest);
}

#[test]
fn the_bases_own_python_is_used_where_it_fits() {
    let world = world();
    world.write(
        "pyproject.toml",
        "[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \">=3.11\"\ndependencies = []\n",
    );
    let archive = put(&world, "python.tar.gz", &archive(&python(&DYNAMIC)));
    let report = world.succeed(&["build", "--python-archive", &archive]);
    assert_eq!(report["images"][0]["platforms"][0]["python"], "3.11");
    assert!(layers(&report).iter().all(|layer| layer["role"] != "interpreter"));
    let report = world.succeed(&["build", "--python-archive", &archive, "--python", "3.12"]);
    assert_eq!(report["images"][0]["platforms"][0]["python"], "3.12");
    world.fail(&["build", "--python-archive", &archive, "--python", "3.13"], 10, &["3.13", "3.12.5"]);
}

#[test]
fn a_mirror_is_asked_for_the_newest_that_fits_and_only_for_what_is_locked() {
    let world = world();
    let mut newer = python(&Program { version: "3.12.10", ..DYNAMIC });
    newer.push(file("python/lib/python3.12/new.py", "new\n"));
    let (old, new) = (archive(&python(&DYNAMIC)), archive(&newer));
    let files = [
        (name("3.12.5", "x86_64", "install_only"), old.clone()),
        (name("3.12.10", "x86_64", "install_only"), new.clone()),
        (name("3.12.11", "x86_64_v3", "install_only"), new.clone()),
        (name("3.12.12", "aarch64", "install_only"), new.clone()),
        (name("3.13.1", "x86_64", "install_only"), new.clone()),
        (name("3.12.13", "x86_64", "debug-full"), new.clone()),
    ];
    let sums = |files: &[(String, Vec<u8>)]| -> String {
        files.iter().map(|(name, bytes)| format!("{}  {name}\n", Digest::of(bytes).hex())).collect()
    };
    world.index.page("/pythons/SHA256SUMS", "text/plain", sums(&files));
    for (name, bytes) in &files {
        world.index.file(&format!("/pythons/{name}"), bytes.clone());
    }
    let mirror = world.index.url("/pythons/");
    world.write(
        "pyproject.toml",
        &format!("[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \"==3.12.*\"\ndependencies = []\n[tool.bakehouse]\npython-archives = [\"{mirror}\"]\n"),
    );
    let report = world.succeed(&["build"]);
    assert_eq!(interpreter(&report)["packages"][0]["version"], "3.12.10");
    assert_eq!(report["warnings"], json!([]));
    let text = lock(&world);
    assert!(text.contains(&Digest::of(&new).hex()) && text.contains(mirror.as_str()), "{text}");

    // What comes later changes nothing, until it is asked for.
    let newest = (name("3.12.20", "x86_64", "install_only_stripped"), old.clone());
    world.index.page(
        "/pythons/SHA256SUMS",
        "text/plain",
        sums(&[&files[..], std::slice::from_ref(&newest)].concat()),
    );
    world.index.file(&format!("/pythons/{}", newest.0), old.clone());
    world.index.clear();
    let fresh = world.path("fresh").display().to_string();
    let again = world.succeed(&["build", "--cache-dir", &fresh]);
    assert_eq!(digests(&again), digests(&report));
    assert!(world.index.requests_to("/pythons/SHA256SUMS").is_empty());
    // The name says another version than there is in it: its bytes say 3.12.5.
    let upgraded = world.succeed(&["build", "--upgrade"]);
    assert_eq!(interpreter(&upgraded)["packages"][0]["version"], "3.12.5");
    assert!(lock(&world).contains("version = \"3.12.20\""));

    // A locked archive that is gone, and one that is another now.
    let path = format!("/pythons/{}", newest.0);
    world.index.route(&path, |_| Response::status(404));
    let store = world.path("gone").display().to_string();
    world.fail(&["build", "--cache-dir", &store], 12, &["3.12.20", "--python-archive"]);
    world.index.file(&path, new.clone());
    world.fail(&["build", "--cache-dir", &store], 30, &["digest"]);
    // Another place that has it serves as well.
    let directory = world.path("local");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join(&newest.0), &old).unwrap();
    world.index.route(&path, |_| Response::status(404));
    let local = directory.display().to_string();
    let report = world.succeed(&["build", "--cache-dir", &store, "--python-archive", &local]);
    assert_eq!(digests(&report), digests(&upgraded));
}

#[test]
fn a_directory_of_this_machine_serves_as_a_mirror_and_a_hash_is_held_to() {
    let world = world();
    let bytes = archive(&python(&DYNAMIC));
    fs::create_dir(world.project().join("pythons")).unwrap();
    let own = name("3.12.5", "x86_64", "install_only");
    fs::write(world.project().join("pythons").join(&own), &bytes).unwrap();
    fs::write(world.project().join(".bakehouseignore"), "pythons\n").unwrap();
    let project =
        "[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \"==3.12.*\"\ndependencies = []\n";
    world.write("pyproject.toml", &format!("{project}[tool.bakehouse]\npython-archives = [\"pythons\"]\n"));
    let report = world.succeed(&["build"]);
    assert!(lock(&world).contains(&format!("archive = \"pythons/{own}\"")), "{}", lock(&world));
    // A list of hashes beside it counts.
    fs::remove_file(world.project().join("bakehouse-base.toml")).unwrap();
    let sums = format!("{}  {own}\n", Digest::of(b"another").hex());
    world.write("pythons/SHA256SUMS", &sums);
    world.fail(&["build"], 30, &["digest"]);
    world.write("pyproject.toml", project);
    world.index.file("/one.tar.gz", bytes.clone());
    let url = |hash: &str| format!("{}#sha256={hash}", world.index.url("/one.tar.gz"));
    let wrong = url(&Digest::of(b"another").hex());
    world.fail(&["build", "--python-archive", &wrong], 30, &["one.tar.gz", "digest"]);
    assert_eq!(lock(&world), "", "nothing is locked of it");
    let again = world.succeed(&["build", "--python-archive", &url(&Digest::of(&bytes).hex())]);
    assert_eq!(interpreter(&again)["digest"], interpreter(&report)["digest"]);
    for (text, code, word) in [
        ("ftp://mirror.example/x.tar.gz", 10, "https"),
        ("nowhere.tar.gz", 10, "nowhere.tar.gz"),
        ("x.tar.gz#sha256=abc", 10, "SHA-256"),
    ] {
        let _ = fs::remove_file(world.project().join("bakehouse-base.toml"));
        world.fail(&["build", "--python-archive", text], code, &[word]);
    }
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    let with = |entry: Entry<'static>| {
        let mut entries = python(&DYNAMIC);
        entries.push(entry);
        archive(&entries)
    };
    let mut bomb = python(&DYNAMIC);
    bomb.push(file("python/lib/zeros", vec![0; 300 << 20]));
    let whole = archive(&python(&DYNAMIC));
    let mut damaged = DYNAMIC.bytes();
    damaged[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut broken = python(&DYNAMIC);
    broken[0] = file("python/bin/python3.12", damaged);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a path above", with(file("python/../../etc/passwd", "x"))),
        ("an absolute path", with(file("/python/x", "x"))),
        ("an absolute link", with(link("python/lib/x", "/etc/shadow"))),
        ("a link that climbs", with(link("python/lib/x", "../../../etc/shadow"))),
        ("a hard link outside", with(("python/lib/x", EntryType::Link, b"../etc/shadow".to_vec()))),
        ("a hard link to nothing", with(("python/lib/x", EntryType::Link, b"python/none".to_vec()))),
        ("a device", with(("python/lib/x", EntryType::Char, Vec::new()))),
        ("a whiteout", with(file("python/lib/.wh.os.py", ""))),
        ("a bomb", archive(&bomb)),
        ("a part", whole[..whole.len() / 2].to_vec()),
        ("a damaged program", archive(&broken)),
    ];
    for (what, bytes) in cases {
        // What its name tells, and one whose name tells nothing.
        for file in [name("3.12.5", "x86_64", "install_only"), "python.tar.gz".to_owned()] {
            let world = world();
            let archive = put(&world, &file, &bytes);
            let ran = world.run(&["build", "--python-archive", &archive]);
            assert_eq!(ran.code, 30, "{what}: {}", ran.stderr);
            assert!(ran.stderr.contains(&file), "{what}: {}", ran.stderr);
            assert_eq!(lock(&world), "", "{what}");
            assert!(!world.path("store/v1/fragments").exists(), "{what}");
        }
    }
}

#[test]
fn what_is_no_python_in_the_layout_is_told_so() {
    let two = [python(&DYNAMIC), vec![file("python/bin/python3.11", DYNAMIC.bytes())]].concat();
    let mut script = python(&DYNAMIC);
    script[0] = file("python/bin/python3.12", "#!/bin/sh\n");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("not below `python/`", archive(&[file("usr/bin/python3.12", DYNAMIC.bytes())])),
        ("there is no python/bin/python3.X", archive(&[file("python/bin/pip", "x")])),
        ("no standard library", archive(&python(&DYNAMIC)[..3])),
        ("more than one Python", archive(&two)),
        ("is no program", archive(&script)),
    ];
    for (word, bytes) in cases {
        let world = world();
        let archive = put(&world, "python.tar.gz", &bytes);
        world.fail(&["build", "--python-archive", &archive], 10, &[word, "install_only"]);
    }
    // Bytes of no archive at all.
    let world = world();
    let archive = put(&world, "python.tar.gz", &[b'x'; 2000]);
    world.fail(&["build", "--python-archive", &archive], 30, &["tar archive"]);
}

#[test]
fn an_interpreter_that_would_not_run_on_the_base_is_refused() {
    let world = world();
    let musl = "\x7fELF musl libc (x86_64)\nVersion %s\n\0\x001.2.3\0\0";
    write_layout(&world.path("alpine"), &[PYTHON, ("lib/ld-musl-x86_64.so.1", musl, 0o755)]);
    let alpine = format!("oci:{}", world.path("alpine").display());
    let gnu = format!("oci:{}", world.base().display());
    let refused = |program: &Program<'_>, base: &str, words: &[&str]| {
        let _ = fs::remove_file(world.project().join("bakehouse-base.toml"));
        let archive = put(&world, "python.tar.gz", &archive(&python(program)));
        world.fail(&["build", "--base", base, "--python-archive", &archive], 10, words);
    };
    let newer = Program { glibc: Some("GLIBC_2.38"), ..DYNAMIC };
    refused(&newer, &gnu, &["bin/python3.12 needs GNU libc 2.38, and there is 2.36"]);
    refused(&DYNAMIC, &alpine, &["GNU libc", "musl"]);
    let of_musl =
        Program { loader: Some("/lib/ld-musl-x86_64.so.1"), needed: &["libc.so"], glibc: None, ..DYNAMIC };
    refused(&of_musl, &gnu, &["made for musl"]);
    refused(&DYNAMIC, "scratch", &[LOADER, "libc.so.6 (for bin/python3.12)", "libm.so.6"]);
    let named = name("3.12.5", "x86_64", "install_only");
    let arm = put(&world, &named, &archive(&python(&Program { machine: ARM, ..DYNAMIC })));
    world.fail(&["build", "--python-archive", &arm], 10, &["another processor"]);
    let unnamed = put(&world, "arm.tar.gz", &archive(&python(&Program { machine: ARM, ..DYNAMIC })));
    let _ = fs::remove_file(world.project().join("bakehouse-base.toml"));
    world.fail(&["build", "--python-archive", &unnamed], 10, &["none for the platform"]);
    // What is as old as the base is all right.
    let _ = fs::remove_file(world.project().join("bakehouse-base.toml"));
    let same = Program { glibc: Some("GLIBC_2.36"), ..DYNAMIC };
    let archive = put(&world, "python.tar.gz", &archive(&python(&same)));
    world.succeed(&["build", "--python-archive", &archive]);
}

#[test]
fn scratch_will_do_for_one_that_needs_nothing_or_brings_it_along() {
    let mut world = world();
    world.publish(WheelBuilder::new("pure", "1.0").file("pure.py", "P = 1\n").build());
    let native =
        WheelBuilder::new("native", "1.0").tags("cp312-cp312-musllinux_1_1_x86_64").file("n.so", "x");
    world.publish(native.build());
    let project = |needs: &str| {
        let text = format!(
            "[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \"==3.12.*\"\ndependencies = [\"{needs}\"]\n"
        );
        world.write("pyproject.toml", &text);
    };
    project("pure");
    let alone = put(&world, "static.tar.gz", &archive(&python(&STATIC)));
    let report = world.succeed(&["build", "--base", "scratch", "--python-archive", &alone]);
    let roles: Vec<Value> = layers(&report).iter().map(|layer| layer["role"].clone()).collect();
    assert_eq!(roles, ["interpreter", "environment", "environment", "code"]);
    // Nothing can be loaded into a program that is linked statically.
    project("native");
    world.fail(&["build", "--base", "scratch", "--python-archive", &alone], 11, &["native"]);

    // One whose loader and C library are in the archive, and are looked for there.
    project("pure");
    let own = Program {
        loader: Some("/opt/interpreter/lib/ld-linux-x86-64.so.2"),
        rpath: Some("$ORIGIN/../lib"),
        glibc: Some("GLIBC_2.38"),
        ..DYNAMIC
    };
    let library = Program { loader: None, needed: &[], rpath: None, glibc: None, version: "x", ..DYNAMIC };
    let banner = "GNU C Library (Debian GLIBC 2.41-1) stable release version 2.41.\n";
    let libc = [library.bytes(), b"\0".to_vec(), banner.into(), b"\0".to_vec()].concat();
    let mut entries = python(&own);
    entries.extend([
        file("python/lib/libc.so.6", libc),
        file("python/lib/libm-2.41.so", library.bytes()),
        file("python/lib/ld-linux-x86-64.so.2", library.bytes()),
    ]);
    let lacks = put(&world, "lacks.tar.gz", &archive(&entries));
    let _ = fs::remove_file(world.project().join("bakehouse-base.toml"));
    world.fail(&["build", "--base", "scratch", "--python-archive", &lacks], 10, &["it lacks libm.so.6"]);
    entries.push(link("python/lib/libm.so.6", "libm-2.41.so"));
    let brings = put(&world, "brings.tar.gz", &archive(&entries));
    let _ = fs::remove_file(world.project().join("bakehouse-base.toml"));
    world.succeed(&["build", "--base", "scratch", "--python-archive", &brings]);
    let pylock = fs::read_to_string(world.project().join("pylock.toml")).unwrap();
    assert!(pylock.contains("glibc-2.41"), "{pylock}");
}

/// An archive of the Python that the distribution of this machine has, its C library with it where that is `alone`.
fn of_this_machine(world: &World, alone: bool) -> (PathBuf, String) {
    let root = world.path(if alone { "alone" } else { "relocatable" });
    let script = r#"
set -euo pipefail
minor=$(/usr/bin/python3 -Ic 'import sys; print("%d.%d" % sys.version_info[:2])')
mkdir -p "$1/python/bin" "$1/python/lib"
cp "/usr/bin/python$minor" "$1/python/bin/"
ln -s "python$minor" "$1/python/bin/python3"
cp -rL "/usr/lib/python$minor" "$1/python/lib/"
rm -rf "$1/python/lib/python$minor/sitecustomize.py" "$1/python/lib/python$minor/dist-packages"
libraries() { ldd "$@" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | sort -u; }
modules=("$1/python/bin/python$minor" "$1/python/lib/python$minor"/lib-dynload/*.so)
for library in $(libraries "${modules[@]}"); do
    case "$2:${library##*/}" in
        beside:libc.so*|beside:libm.so*|beside:libdl.so*|beside:libpthread.so*|beside:libutil.so*|beside:librt.so*) ;;
        *) cp -L "$library" "$1/python/lib/" ;;
    esac
done
patchelf --force-rpath --set-rpath /opt/interpreter/lib "$1/python/bin/python$minor"
if [ "$2" = alone ]; then
    cp -L /lib64/ld-linux-x86-64.so.2 "$1/python/lib/"
    patchelf --set-interpreter /opt/interpreter/lib/ld-linux-x86-64.so.2 "$1/python/bin/python$minor"
fi
tar -C "$1" -czf "$1.tar.gz" python
echo "$minor"
"#;
    let kind = if alone { "alone" } else { "beside" };
    let output = Command::new("bash").args(["-c", script, "-"]).arg(&root).arg(kind).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let minor = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    (root.with_extension("tar.gz"), minor)
}

/// Bakes a project for the Python of an archive, and runs it in the unpacked image.
fn bake_and_run(base: &str, alone: bool) {
    let mut world = World::plain(&["hello"]);
    let module = "import sys, ssl, ctypes, sqlite3, zlib, json, decimal\n\ndef main():\n    print(sys.prefix, sys.base_prefix, sys.version_info[:2])\n";
    let wheel = WheelBuilder::new("hello", "1.0").file("hello.py", module);
    world.publish(wheel.entry_points("[console_scripts]\nhello = hello:main\n").build());
    let (archive, minor) = of_this_machine(&world, alone);
    let (out, archive) = (world.path("out"), archive.display().to_string());
    let output = format!("oci:{}", out.display());
    let arguments =
        ["build", "--base", base, "--python", &minor, "--python-archive", &archive, "--output", &output];
    let report = world.succeed(&arguments);
    let libc = interpreter(&report);
    assert_eq!(libc["packages"][0]["name"], "cpython");
    let bundle = world.path("bundle");
    unpack(&out, "project:latest", &bundle);
    let mut command = Command::new(if bakery::is_root() { "chroot" } else { "unshare" });
    if !bakery::is_root() {
        command.args(["--map-root-user", "chroot"]);
    }
    let programs = "/opt/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let ran = command
        .env_clear()
        .env("PATH", programs)
        .arg(bundle.join("rootfs"))
        .arg("/opt/venv/bin/hello")
        .output()
        .unwrap();
    let (major, minor) = minor.split_once('.').unwrap();
    let expected = format!("/opt/venv /opt/interpreter ({major}, {minor})\n");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), expected, "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
#[ignore = "copies a whole Python and runs it"]
fn a_python_that_brings_its_c_library_runs_on_scratch() {
    bake_and_run("scratch", true);
}

#[test]
#[ignore = "makes a Debian of packages from its mirror, and runs a whole Python in it"]
fn a_python_of_its_own_runs_on_a_base_with_another() {
    bake_and_run("deb://trixie", false);
}
