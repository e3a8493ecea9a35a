//! Source distributions, where building is allowed: what they say without being built, how they are built, what is locked of
//! it, and what hostile ones can do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/sdist.rs"]
mod sdist;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::path::Path;

use bakery::World;
use sdist::{Sdist, file_of};
use wheel::{BuiltWheel, WheelBuilder, Zip, ZipEntry};

fn lock_text(world: &World) -> String {
    fs::read_to_string(world.project().join("pylock.toml")).unwrap()
}

/// The versions in the project's lock.
fn locked(world: &World) -> Vec<String> {
    let lock: toml_edit::DocumentMut = lock_text(world).parse().unwrap();
    let packages = lock["packages"].as_array_of_tables().unwrap().iter();
    packages.map(|p| format!("{}=={}", p["name"].as_str().unwrap(), p["version"].as_str().unwrap())).collect()
}

#[test]
fn nothing_is_built_unless_it_is_allowed() {
    let mut world = World::plain(&["own"]);
    world.publish(Sdist::new("own", "1").backend("raise SystemExit('it ran')\n").build());
    let choices = ["own", "source distribution", "--build own", "[tool.bakehouse]"];
    let ran = world.fail(&["lock"], 11, &choices);
    assert!(!ran.stderr.contains("it ran"));
    for refused in [&["--build", "other"][..], &["--build", "--no-build", "own"], &["--no-build=:all:"]] {
        world.fail(&[&["lock"], refused].concat(), 11, &["--build own"]);
    }
    world.fail(&["lock", "--build", "."], 2, &["--build"]);
    assert!(!world.project().join("pylock.toml").exists());
}

#[test]
fn a_source_distribution_is_built_locked_and_baked() {
    let mut world = World::plain(&["own"]);
    world.publish(Sdist::new("own", "1").requires("dep>=2").build());
    world.publish(WheelBuilder::new("dep", "1").build());
    world.publish(WheelBuilder::new("dep", "2").build());
    let output = format!("oci:{}", world.path("out").display());
    let report = world.succeed(&["build", "--build", "own", "--output", &output]);
    assert_eq!(locked(&world), ["dep==2", "own==1"]);
    assert_eq!(file_of(&world.path("out"), "site-packages/own/__init__.py"), "VERSION = '1'\n");
    let text = lock_text(&world);
    for part in
        ["sdist = { name = \"own-1.tar.gz\"", "wheel = { name = \"own-1-py3-none-any.whl\"", "requires = ["]
    {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let before = bakery::digests(&report);

    // It is fresh, and nothing is built a second time.
    let report = world.succeed(&["lock", "--build", "own", "--check"]);
    assert_eq!(report["locks"][0]["status"], "fresh");
    let report = world.succeed(&["build", "--build", "own", "--locked"]);
    assert_eq!(
        (bakery::digests(&report), report["transfer"]["distributionBytes"].as_u64()),
        (before.clone(), Some(0))
    );

    // Another machine builds the same wheel again, from the lock, and the image is the same.
    let store = world.path("other-store");
    let cold = ["--cache-dir", store.to_str().unwrap()];
    let report = world.succeed(&[&["build", "--build", "own", "--locked"], &cold[..]].concat());
    assert_eq!(bakery::digests(&report), before);
    assert_eq!(lock_text(&world), text);

    world.fail(&["lock", "--check"], 12, &["stale"]);
    let ran = world.run(&["build", "--frozen", "--cache-dir", world.path("third").to_str().unwrap()]);
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    assert!(ran.stderr.contains("not allowed for `own`"), "{}", ran.stderr);
}

#[test]
fn a_lock_of_a_wheel_that_comes_out_differently_is_not_used() {
    let mut world = World::plain(&["own"]);
    let changing = "import time\ndef files():\n    return {'own.py': str(time.time()).encode()}\n";
    world.publish(Sdist::new("own", "1").static_info().backend(changing).build());
    world.succeed(&["lock", "--build"]);
    world.succeed(&["build", "--build", "--locked"]);
    let store = world.path("other-store");
    world.fail(
        &["build", "--locked", "--build", "--cache-dir", store.to_str().unwrap()],
        13,
        &["another `own-1-py3-none-any.whl`", "-P own"],
    );
}

#[test]
fn final_metadata_is_taken_without_running_any_code() {
    let mut world = World::plain(&["own", "dep<2"]);
    // The newest would need what is excluded: that is known without its code, which would fail.
    let bad = "raise SystemExit('it ran')\n";
    world.publish(Sdist::new("own", "3").requires("dep>=2").static_info().backend(bad).build());
    let project = "[project]\nname = 'own'\nversion = '2'\ndependencies = ['dep>=2']\n\
                   [build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['_build']\n";
    world.publish(Sdist::new("own", "2").pyproject(project).backend(bad).build());
    world.publish(WheelBuilder::new("own", "1").build());
    world.publish(WheelBuilder::new("dep", "1").build());
    world.publish(WheelBuilder::new("dep", "2").build());
    world.succeed(&["lock", "--build"]);
    assert_eq!(locked(&world), ["dep==1", "own==1"]);
    // PKG-INFO that leaves something open has to be asked for, and then the failure is told.
    let open = "Metadata-Version: 2.2\nName: own\nVersion: 4\nDynamic: Requires-Dist\n";
    world.publish(Sdist::new("own", "4").info(open).backend(bad).build());
    world.write("requirements.txt", "own>3\n");
    world.fail(&["lock", "--build"], 13, &["own-4.tar.gz", "does not build", "it ran"]);
}

#[test]
fn wheels_go_first_unless_they_do_not_count() {
    let mut world = World::plain(&["own"]);
    world.publish(Sdist::new("own", "1").backend("raise SystemExit('it ran')\n").build());
    world.publish(WheelBuilder::new("own", "1").file("own.py", "# published\n").build());
    world.succeed(&["lock", "--build"]);
    assert!(!lock_text(&world).contains("sdist"));
    world.fail(&["lock", "--no-binary", "own"], 13, &["it ran"]);
    world.write(
        "pyproject.toml",
        "[project]\nname = 'app'\nversion = '1'\ndependencies = ['own']\n[tool.uv]\nno-binary-package = ['own']\n",
    );
    fs::remove_file(world.project().join("requirements.txt")).unwrap();
    world.fail(&["lock"], 13, &["it ran"]);
    let ran = bakery::run(world.command(&["lock"]).env("PIP_ONLY_BINARY", ":all:"));
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    assert!(ran.stderr.contains("no-binary"), "{}", ran.stderr);
}

#[test]
fn project_files_and_variables_say_what_may_be_built() {
    let mut world = World::plain(&["own"]);
    world.publish(Sdist::new("own", "1").build());
    let project = "[project]\nname = 'app'\nversion = '1'\ndependencies = ['own']\n";
    fs::remove_file(world.project().join("requirements.txt")).unwrap();
    world.write("pyproject.toml", &format!("{project}[tool.bakehouse]\nbuild = ['Own']\n"));
    world.succeed(&["lock"]);
    world.succeed(&["lock", "--check"]);
    world.fail(&["lock", "--check", "--no-build"], 12, &["stale"]);
    let ran = bakery::run(world.command(&["lock", "--upgrade"]).env("UV_NO_BUILD", "1"));
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    world.write(
        "pyproject.toml",
        &format!("{project}[tool.bakehouse]\nbuild = true\n[tool.uv]\nno-build = true\n"),
    );
    world.succeed(&["lock"]);
    world.write("pyproject.toml", &format!("{project}[tool.bakehouse]\nbuild = ['no/name']\n"));
    world.fail(&["lock"], 10, &["pyproject.toml:6", "no/name"]);
}

#[test]
fn what_a_build_requires_is_installed_for_it_alone() {
    let mut world = World::plain(&["own"]);
    let helper = WheelBuilder::new("helper", "1.5")
        .file("helper.py", "def name():\n    print('from helper')\n")
        .entry_points("[console_scripts]\nhelper-cmd = helper:name\n");
    world.publish(helper.build());
    world.publish(WheelBuilder::new("later", "1").file("later.py", "X = 'late'\n").build());
    let backend = "import subprocess, helper\n\
        def get_requires_for_build_wheel(config_settings=None):\n    return ['later']\n\
        def files():\n    import later\n    said = subprocess.check_output(['helper-cmd']).decode()\n    \
        return {'own.py': (said + later.X).encode()}\n";
    world.publish(Sdist::new("own", "1").build_requires("helper>=1").backend(backend).build());
    let output = format!("oci:{}", world.path("out").display());
    world.succeed(&["build", "--build", "--output", &output]);
    assert_eq!(file_of(&world.path("out"), "site-packages/own.py"), "from helper\nlate");
    assert_eq!(locked(&world), ["own==1"], "what builds is not installed");
    assert!(lock_text(&world).contains("\"helper==1.5\",\n    \"later==1\""), "{}", lock_text(&world));

    // What built it is what builds it again.
    world
        .publish(WheelBuilder::new("helper", "2").file("helper.py", "raise SystemExit('too new')\n").build());
    // Also where the path of a command could not stand in its first line.
    let store = world.path(&format!("a store with spaces and {}", "a long name ".repeat(8)));
    world.succeed(&["build", "--build", "--locked", "--cache-dir", store.to_str().unwrap()]);

    let needy = Sdist::new("needy", "1").build_requires("nowhere-to-be-found");
    world.publish(needy.build());
    world.write("requirements.txt", "needy\n");
    world.fail(&["lock", "--build"], 13, &["needy-1.tar.gz", "nowhere-to-be-found"]);
}

#[test]
fn a_build_sees_nothing_of_the_user() {
    let mut world = World::plain(&["own"]);
    let backend = "import json, os, sys\n\
        def files():\n    told = {'env': dict(os.environ), 'path': sys.path, 'cwd': os.getcwd(),\n        \
        'stdin': sys.stdin.read()}\n    return {'own.json': json.dumps(told).encode()}\n";
    world.publish(Sdist::new("own", "1").static_info().backend(backend).build());
    let output = format!("oci:{}", world.path("out").display());
    let mut command = world.command(&["build", "--build", "--output", &output]);
    command
        .env("AWS_SECRET_ACCESS_KEY", "s3cret")
        .env("PYTHONPATH", "/s3cret")
        .env("PIP_INDEX_URL", "https://u:s3cret@h.example/");
    command.env("CFLAGS", "-O1");
    let ran = bakery::run(&mut command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let told = file_of(&world.path("out"), "site-packages/own.json");
    assert!(!told.contains("s3cret"), "{told}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let env = &told["env"];
    assert_eq!((env["CFLAGS"].as_str(), told["stdin"].as_str()), (Some("-O1"), Some("")));
    let home = env["HOME"].as_str().unwrap();
    assert_ne!(home, world.path("home").to_str().unwrap());
    assert!(!Path::new(home).exists(), "nothing of the build stays: {home}");
    let path: Vec<&str> = told["path"].as_array().unwrap().iter().filter_map(|it| it.as_str()).collect();
    assert!(path[0].ends_with("/_build") && path.last().unwrap().ends_with("site-packages"), "{path:?}");
    let left = fs::read_dir(world.path("store/v1/tmp")).unwrap().count();
    assert_eq!(left, 0, "nothing is left in the store");
}

#[test]
fn a_failed_build_tells_the_end_of_what_it_said() {
    let mut world = World::plain(&["own"]);
    let backend = "import sys\ndef build_wheel(*_):\n    for _ in range(200000):\n        print('noise ' * 10)\n    \
        print('the reason', file=sys.stderr)\n    raise SystemExit(7)\n";
    world.publish(Sdist::new("own", "1").static_info().backend(backend).build());
    let ran = world.fail(&["lock", "--build"], 13, &["own-1.tar.gz", "does not build", "the reason"]);
    assert!(ran.stderr.len() < 100_000, "only the end: {}", ran.stderr.len());
    let errors = ran.report["errors"].as_array().unwrap();
    assert_eq!(errors[0]["exitCode"], 13);
    assert!(!world.project().join("pylock.toml").exists());
    for (backend, word) in [
        ("def build_wheel(*_):\n    return '../x-1-py3-none-any.whl'\n", "names no wheel"),
        ("def build_wheel(*_):\n    return 'own-1-py3-none-any.whl'\n", "is not there"),
        (
            "def build_wheel(directory, *_):\n    open(directory + '/own-1-py3-none-any.whl', 'w').close()\n    return 'own-1-py3-none-any.whl'\n",
            "own-1-py3-none-any.whl",
        ),
        ("import sys\ndef build_wheel(*_):\n    sys.exit(0)\n", "no answer"),
        ("import os\ndef build_wheel(*_):\n    os.kill(os.getpid(), 9)\n", "signal 9"),
        ("def build_wheel(*_):\n    return 7\n", "names no wheel"),
    ] {
        let mut world = World::plain(&["own"]);
        world.publish(Sdist::new("own", "1").static_info().backend(backend).build());
        world.fail(&["lock", "--build"], 13, &[word]);
    }
}

/// Whether any process has this text in its command line.
fn runs(text: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())).any(
        |entry| {
            fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
        },
    )
}

#[test]
fn a_build_that_hangs_is_ended_and_leaves_no_process_behind() {
    let mut world = World::plain(&["own"]);
    // One in the group, one that left it; both hold the output open.
    let spawn = "import subprocess, time\n\
        subprocess.Popen(['sleep', '7331.25'])\nsubprocess.Popen(['sleep', '7331.75'], start_new_session=True)\n";
    let hang = format!("{spawn}print('begun', flush=True)\ntime.sleep(7000)\n");
    world.publish(Sdist::new("own", "1").static_info().backend(&hang).build());
    world.fail(
        &["lock", "--build", "--build-timeout", "1"],
        13,
        &["not done after 1 seconds", "begun", "--build-timeout"],
    );
    assert!(!runs("7331."), "what the backend started is ended");

    let mut world = World::plain(&["own"]);
    world.publish(Sdist::new("own", "1").static_info().backend(&spawn.replace("7331", "7337")).build());
    world.succeed(&["lock", "--build"]);
    assert!(!runs("7337."), "what the backend left behind is ended");
}

#[test]
fn a_run_that_is_interrupted_ends_its_builds() {
    let mut world = World::plain(&["own"]);
    let hang = "import subprocess\nsubprocess.run(['sleep', '7343.25'])\n";
    world.publish(Sdist::new("own", "1").static_info().backend(hang).build());
    let eventually = |wanted: bool| {
        let mut seen = (0..300).map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            runs("7343.25")
        });
        seen.any(|seen| seen == wanted)
    };
    let mut child = world.command(&["lock", "--build"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    assert!(eventually(true), "the build begins");
    let killed = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(eventually(false), "what the backend started is ended");
    assert!(!world.project().join("pylock.toml").exists());
}

#[test]
fn a_distribution_that_is_another_is_refused_before_its_code_runs() {
    let bad = "raise SystemExit('it ran')\n";
    for info in
        ["Metadata-Version: 2.1\nName: other\nVersion: 1\n", "Metadata-Version: 2.2\nName: own\nVersion: 2\n"]
    {
        let mut world = World::plain(&["own"]);
        world.publish(Sdist::new("own", "1").info(info).backend(bad).build());
        let ran = world.fail(&["lock", "--build"], 30, &["own-1.tar.gz", "should be own 1", "PKG-INFO"]);
        assert!(!ran.stderr.contains("it ran"));
    }
    // The wheel is another one than its sources said.
    let mut world = World::plain(&["own"]);
    world.publish(Sdist::new("own", "1").static_info().backend("VERSION = '2'\n").build());
    world.fail(&["lock", "--build"], 30, &["should be own 1", "own 2"]);
    // The backend is not in the sources.
    for path in ["..", "/tmp", "_build/../.."] {
        let mut world = World::plain(&["own"]);
        let pyproject =
            format!("[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['{path}']\n");
        world.publish(Sdist::new("own", "1").pyproject(&pyproject).build());
        world.fail(&["lock", "--build"], 30, &["backend-path"]);
    }
}

/// A header that says anything.
fn header(name: &str, kind: tar::EntryType, link: &str, size: usize) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

#[test]
fn archives_that_reach_outside_are_refused() {
    use tar::EntryType::{Block, Directory, Fifo, Link, Regular, Symlink};
    let sdist = || Sdist::new("own", "1").backend("raise SystemExit('it ran')\n");
    let data: &[u8] = b"x";
    type Entries<'e> = Vec<(tar::Header, &'e [u8])>;
    let cases: Vec<(Entries<'_>, &str)> = vec![
        (vec![(header("own-1/../../evil", Regular, "", 1), data)], "outside"),
        (vec![(header("/tmp/evil", Regular, "", 1), data)], "outside"),
        (vec![(header("own-1/x", Symlink, "/etc/passwd", 0), b"")], "outside"),
        (vec![(header("own-1/x", Symlink, "../../x", 0), b"")], "outside"),
        (
            vec![(header("own-1/up", Symlink, "..", 0), b""), (header("own-1/up/x", Regular, "", 1), data)],
            "no directory",
        ),
        (
            vec![
                (header("own-1/a/b/", Directory, "", 0), b""),
                (header("own-1/a/b/up", Symlink, "../..", 0), b""),
                (header("own-1/far", Symlink, "a/b/up/../..", 0), b""),
            ],
            "outside",
        ),
        (vec![(header("own-1/x", Link, "/etc/passwd", 0), b"")], "outside"),
        (vec![(header("own-1/x", Link, "own-1/nothing", 0), b"")], "outside"),
        (vec![(header("own-1/x", Block, "", 0), b"")], "neither a file"),
        (vec![(header("own-1/x", Fifo, "", 0), b"")], "neither a file"),
        (
            vec![
                (header("own-1/_build/", Directory, "", 0), b""),
                (header("own-1/_build", Regular, "", 1), data),
            ],
            "twice",
        ),
    ];
    for (entries, word) in cases {
        let mut world = World::plain(&["own"]);
        world.publish(sdist().with_entries(&entries));
        let ran = world.fail(&["lock", "--build"], 30, &["own-1.tar.gz", word]);
        assert!(!ran.stderr.contains("it ran"), "{word}");
        assert_eq!(fs::read_dir(world.path("store/v1/tmp")).unwrap().count(), 0);
    }
    assert!(!Path::new("/tmp/evil").exists());
}

#[test]
fn archives_that_grow_without_end_or_are_none_are_refused() {
    let zeros = vec![0; 96 << 20];
    let bomb = Sdist::new("own", "1")
        .with_entries(&[(header("own-1/zeros", tar::EntryType::Regular, "", zeros.len()), &zeros)]);
    let cut = |mut archive: BuiltWheel| {
        archive.bytes.truncate(archive.bytes.len() / 2);
        archive
    };
    let zip = |entries: Vec<ZipEntry>| BuiltWheel {
        file_name: "own-1.zip".to_owned(),
        bytes: Zip { entries, zip64: false }.bytes(),
    };
    for (archive, word) in [
        (bomb, "more than any"),
        (
            Sdist::new("own", "1")
                .with_entries(&[(header("x", tar::EntryType::GNULongName, "", 2 << 20), &zeros[..2 << 20])]),
            "header without end",
        ),
        (cut(Sdist::new("own", "1").build()), "not a sound archive"),
        (
            BuiltWheel { file_name: "own-1.tar.gz".to_owned(), bytes: b"<html>".to_vec() },
            "not a sound archive",
        ),
        (zip(vec![ZipEntry::new("own-1/../../x", b"x", 0o644)]), "unsafe name"),
        (
            zip(vec![ZipEntry { mode: 0o120_777, ..ZipEntry::new("own-1/x", b"/etc/passwd", 0o777) }]),
            "neither a regular file",
        ),
    ] {
        let mut world = World::plain(&["own"]);
        world.publish(archive);
        world.fail(&["lock", "--build"], 30, &["own-1.", word]);
    }
    // A zip is as good as a tarball.
    let mut world = World::plain(&["own"]);
    let entries = Sdist::new("own", "1").tree().into_iter();
    world.publish(zip(entries
        .map(|(path, text)| ZipEntry::new(&format!("own-1/{path}"), text.as_bytes(), 0o644))
        .collect()));
    world.succeed(&["lock", "--build"]);
}

#[test]
fn what_is_compiled_must_fit_the_image() {
    let mut world = World::plain(&["own"]);
    let machine = std::env::consts::ARCH;
    world.publish(Sdist::new("own", "1").static_info().tag(&format!("cp37-cp37m-linux_{machine}")).build());
    world.fail(&["lock", "--build"], 13, &["does not fit", "CPython 3.11", "--build-python"]);
    // The image's C library is older than that of any machine that this runs on.
    let libc =
        (bakery::LIBC.0, "\x7fELF GNU C Library (Debian GLIBC 2.17-9) stable release version 2.17.\n", 0o755);
    bakery::write_layout(&world.path("old"), &[bakery::PYTHON, libc]);
    let old = format!("oci:{}", world.path("old").display());
    let mut world = World::plain(&["own"]);
    world.publish(Sdist::new("own", "1").static_info().tag(&format!("py3-none-linux_{machine}")).build());
    world.fail(&["lock", "--build", "--base", &old], 13, &["does not fit"]);
    world.fail(
        &["lock", "--build", "--build-python", "/nonexistent/python"],
        13,
        &["/nonexistent/python", "--build-python"],
    );
}
