//! What goes into the code layers.

use super::*;

fn files(directory: &TempDir) -> Result<bakehouse::project::CodeFiles, Error> {
    let project = discover(directory.path()).unwrap();
    code_files(&project, &project.components[0])
}

fn link(directory: &TempDir, target: impl AsRef<Path>, name: &str) {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}

#[test]
fn secrets_caches_history_and_locks_stay_out() {
    let directory = project(&[
        ("requirements.txt", ""),
        ("app.py", ""),
        (".git/config", ""),
        (".env", "SECRET=1"),
        (".env.example", ""),
        ("keys/server.pem", ""),
        (".aws/credentials", ""),
        ("pkg/__pycache__/x.pyc", ""),
        ("pkg/m.py", ""),
        ("pylock.toml", ""),
        ("env3/pyvenv.cfg", ""),
        ("env3/bin/python", ""),
        ("out/oci-layout", "{}"),
        ("out/blobs/sha256/00", ""),
        ("store/v1/blobs/sha256/00/00", ""),
        ("dist/x-1-py3-none-any.whl", ""),
        ("build/lib/x.py", ""),
        ("pkg/build/x.py", ""),
        ("target/CACHEDIR.TAG", ""),
    ]);
    let found = files(&directory).unwrap();
    assert_eq!(
        paths(&found.own),
        ["app/.env.example", "app/app.py", "app/pkg/build/x.py", "app/pkg/m.py", "app/requirements.txt"]
    );
    let warned: Vec<String> = found.warnings.iter().map(|w| w.origin.as_ref().unwrap().to_string()).collect();
    assert_eq!(warned, [".aws", ".env", "keys/server.pem"]);
}

#[test]
fn executable_bits_and_sizes_are_noted() {
    let directory = project(&[("requirements.txt", ""), ("run.sh", "echo")]);
    fs::set_permissions(directory.path().join("run.sh"), fs::Permissions::from_mode(0o744)).unwrap();
    let found = files(&directory).unwrap();
    assert_eq!(found.own[0].kind, CodeFileKind::File { executable: false, size: 0 });
    assert_eq!(found.own[1].kind, CodeFileKind::File { executable: true, size: 4 });
    let big = fs::File::create(directory.path().join("data.bin")).unwrap();
    big.set_len(60 << 20).unwrap();
    assert!(shown(&files(&directory).unwrap().warnings)[0].starts_with("data.bin: 60 MiB go into"));
}

#[test]
fn links_inside_are_kept_or_followed() {
    let code = "from metaflow import *\nclass F(FlowSpec):\n  @step\n  def start(self): pass";
    let directory = project(&[
        ("obproject.toml", "project = 'p'"),
        ("flows/f/flow.py", code),
        ("src/lib/a.py", "a"),
        ("common/b.py", "bb"),
        ("common/deep/c.py", "ccc"),
        (".env", "SECRET=1"),
    ]);
    link(&directory, "../../src/lib", "flows/f/lib");
    link(&directory, "flow.py", "flows/f/same.py");
    link(&directory, "../../common", "flows/f/common");
    link(&directory, "../../common/b.py", "flows/f/b.py");
    link(&directory, directory.path().join("src/lib/a.py").canonicalize().unwrap(), "flows/f/absolute.py");
    link(&directory, "nowhere", "flows/f/dangling");
    link(&directory, "circle", "flows/f/circle");
    link(&directory, "../../.env", "flows/f/settings");
    link(&directory, "..", "common/deep/up");
    link(&directory, "../../../flows", "flows/f/sub/all");
    let found = files(&directory).unwrap();
    let listed: Vec<String> = found
        .own
        .iter()
        .filter(|file| file.path.starts_with("app/flows/f/"))
        .map(|file| match &file.kind {
            CodeFileKind::File { size, .. } => format!("{} {size}", &file.path["app/flows/f/".len()..]),
            CodeFileKind::Symlink { target } => {
                format!("{} -> {target}", &file.path["app/flows/f/".len()..])
            }
        })
        .collect();
    assert_eq!(
        listed,
        [
            "absolute.py 1".to_owned(),
            "b.py 2".to_owned(),
            "common/b.py 2".to_owned(),
            "common/deep/c.py 3".to_owned(),
            format!("flow.py {}", code.len()),
            "lib/a.py 1".to_owned(),
            "same.py -> flow.py".to_owned(),
        ]
    );
    let warned: Vec<String> = found.warnings.iter().map(|w| w.origin.as_ref().unwrap().to_string()).collect();
    assert_eq!(
        warned,
        [
            "src/lib",
            "flows/f/circle",
            "flows/f/common/deep/up",
            "flows/f/dangling",
            "flows/f/sub/all",
            "flows/f",
        ],
        "a package without the policy, four links, and `settings`, which has none of the suffixes"
    );
    assert_eq!(fs::read_to_string(&found.own[1].source).unwrap(), "bb");
}

#[test]
fn links_that_leave_the_project_are_refused() {
    let directory = project(&[("requirements.txt", "")]);
    link(&directory, "/etc/hostname", "pkg/host");
    let error = files(&directory).unwrap_err();
    assert_eq!(error.to_string(), "`pkg/host` is a symbolic link to `/etc/hostname`, outside the project");
    assert_eq!(error.exit_code(), ExitCode::Project);
}

#[test]
fn names_that_no_layer_can_hold_are_refused() {
    let directory = project(&[("requirements.txt", ""), ("pkg/.wh.x", "")]);
    let error = files(&directory).unwrap_err();
    assert!(matches!(&error, Error::WhiteoutName { path } if path == "pkg/.wh.x"), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Project);

    let directory = project(&[("requirements.txt", "")]);
    fs::write(directory.path().join(std::ffi::OsStr::from_bytes(b"a\xff.py")), "").unwrap();
    assert!(matches!(files(&directory), Err(Error::NonUtf8Name { .. })));
}
