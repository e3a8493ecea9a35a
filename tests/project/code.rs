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
fn links_inside_a_flow_are_followed() {
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
            format!("same.py {}", code.len()),
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

const FLOW: &str = "from metaflow import step\nfrom obproject import ProjectFlow\nclass F(ProjectFlow):\n  @step\n  def start(self): pass\n";

/// A flow's project with further files.
fn flow_project(files: &[(&str, &str)]) -> TempDir {
    let directory = project(&[("obproject.toml", "project = 'p'")]);
    for (name, text) in [("flows/f/flow.py", FLOW)].iter().chain(files) {
        write(directory.path(), name, text);
    }
    directory
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn left_out(files: &bakehouse::project::CodeFiles) -> Vec<String> {
    files.left_out.iter().map(|out| format!("{} {}", out.path, out.reason.code())).collect()
}

/// The files of the first component, with options and variables.
fn read_with(
    directory: &Path,
    options: &CodeOptions,
    variables: &[(&str, &Path)],
) -> Result<bakehouse::project::CodeFiles, Error> {
    let project = discover_with(directory, &Selection::default(), &|_| None).unwrap();
    let value = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, path)| path.display().to_string())
    };
    CodeReader::new(&project, options, &value)?.files(&project.components[0])
}

#[test]
fn a_flow_has_its_folder_by_suffixes_and_the_packages_of_src() {
    let directory = flow_project(&[
        ("obproject.toml", "project = 'p'\n[dependencies]\npackage_suffixes = '.yaml,.TXT'"),
        ("flows/f/Model.RDS", ""),
        ("flows/f/notes.txt", ""),
        ("flows/f/sub/params.yaml", ""),
        ("flows/f/page.html", ""),
        ("flows/f/data.csv", ""),
        ("flows/f/sql/q.sql", ""),
        ("flows/f/.hidden.py", ""),
        ("flows/f/.hidden/x.py", ""),
        ("flows/f/__pycache__/x.py", ""),
        ("flows/f/_escape_trampolines/x.py", ""),
        ("flows/f/README.md", ""),
        ("src/lib/__init__.py", "METAFLOW_PACKAGE_POLICY = 'include'"),
        ("src/lib/data.csv", ""),
        ("src/lib/.settings", ""),
        ("src/other/__init__.py", ""),
        ("src/tool.py", "METAFLOW_PACKAGE_POLICY = 'include'"),
        ("src/data/x.csv", ""),
        ("src/README.md", ""),
    ]);
    let found = files(&directory).unwrap();
    assert_eq!(
        paths(&found.shared),
        [
            "app/src/lib/.settings",
            "app/src/lib/__init__.py",
            "app/src/lib/data.csv",
            "app/src/other/__init__.py",
            "app/src/tool.py",
        ]
    );
    assert_eq!(
        paths(&found.own),
        [
            "app/flows/f/Model.RDS",
            "app/flows/f/README.md",
            "app/flows/f/flow.py",
            "app/flows/f/notes.txt",
            "app/flows/f/sql/q.sql",
            "app/flows/f/sub/params.yaml",
            "app/obproject.toml",
        ]
    );
    assert_eq!(
        left_out(&found),
        [
            "flows/f/.hidden.py hidden",
            "flows/f/.hidden/ hidden",
            "flows/f/__pycache__/ tool",
            "flows/f/_escape_trampolines/ no-package",
            "flows/f/data.csv suffix",
            "flows/f/page.html suffix",
            "src/README.md no-package",
            "src/data/ no-package",
        ]
    );
    let warned = shown(&found.warnings);
    assert_eq!(warned.len(), 4, "{warned:?}");
    assert!(warned[0].starts_with("src/other/__init__.py: it has no METAFLOW_PACKAGE_POLICY"), "{warned:?}");
    assert!(warned[1].starts_with("src/data: it holds no Python module"), "{warned:?}");
    assert!(warned[2].starts_with("flows/f: `sql/q.sql` is in the image, but"), "{warned:?}");
    assert!(warned[3].starts_with("flows/f: `data.csv`, `page.html` is left out, as"), "{warned:?}");
}

#[test]
fn configurations_and_modules_of_the_project_come_along_with_a_flow() {
    let directory = flow_project(&[
        (
            "flows/f/flow.py",
            "from obproject import ProjectFlow\nfrom metaflow import Config, step\nimport helpers\nimport docker\n\
             class F(ProjectFlow):\n  a = Config('a', default='a.json')\n  b = Config('b', default='../../conf/b.json')\n  \
             c = Config('c')\n  d = Config('d', default='../../../out')\n  @step\n  def start(self):\n    import late\n",
        ),
        ("flows/f/a.json", "{}"),
        ("flows/f/other.json", "{}"),
        ("conf/b.json", "{}"),
        ("helpers/__init__.py", "METAFLOW_PACKAGE_POLICY = 'include'\nfrom deeper import x"),
        ("helpers/table.csv", ""),
        ("late.py", ""),
        ("deeper.py", "METAFLOW_PACKAGE_POLICY = 'include'"),
        ("unused.py", ""),
        ("docker/compose.py", ""),
    ]);
    let found = files(&directory).unwrap();
    assert_eq!(
        paths(&found.own),
        [
            "app/conf/b.json",
            "app/deeper.py",
            "app/flows/f/a.json",
            "app/flows/f/flow.py",
            "app/helpers/__init__.py",
            "app/helpers/table.csv",
            "app/late.py",
            "app/obproject.toml",
        ]
    );
    let warned = shown(&found.warnings);
    assert!(warned.iter().any(|w| w.starts_with("late.py: it has no METAFLOW_PACKAGE_POLICY")), "{warned:?}");
}

#[test]
fn a_deployment_has_the_project_by_its_suffixes_or_the_folders_it_names() {
    let config = |package: &str| {
        let directory = project(&[
            ("obproject.toml", "project = 'p'"),
            ("deployments/d/config.yml", &format!("dependencies: {{pypi: {{}}}}\n{package}")),
            ("deployments/d/server.py", ""),
            ("deployments/d/logo.PNG", ""),
            ("deployments/d/UPPER.PY", ""),
            ("src/lib/__init__.py", ""),
            ("src/lib/table.csv", ""),
            ("a/one.py", "1"),
            ("a/same.py", "a"),
            ("b/same.py", "b"),
            ("b/.hidden/x.py", ""),
            ("top.json", ""),
            ("node_modules/x.js", ""),
        ]);
        let found = files(&directory).unwrap();
        (found, directory)
    };
    let (found, _) = config("");
    assert_eq!(paths(&found.shared), ["app/src/lib/__init__.py"]);
    assert_eq!(
        paths(&found.own),
        [
            "app/a/one.py",
            "app/a/same.py",
            "app/b/same.py",
            "app/deployments/d/config.yml",
            "app/deployments/d/server.py",
            "app/top.json",
        ]
    );
    let warned = shown(&found.warnings);
    assert!(
        matches!(&warned[..], [one] if one.contains("`UPPER.PY`, `logo.PNG`, `src/lib/table.csv` is left out")),
        "{warned:?}"
    );
    let (found, directory) = config("package: {src_paths: [a, b, missing], suffixes: [.py]}");
    assert_eq!(paths(&found.own), ["app/one.py", "app/same.py"], "merged, as the platform unpacks them");
    assert_eq!(found.own[1].source, directory.path().canonicalize().unwrap().join("b/same.py"));
    let warned = shown(&found.warnings);
    assert_eq!(
        warned,
        [
            "b/same.py: it takes the place of a/same.py at /app/same.py",
            "deployments/d: `package.src_paths` names `missing`, which is not there",
        ]
    );
}

#[test]
fn dockerignore_leaves_out_and_a_flow_cannot_do_without_its_file() {
    let directory = flow_project(&[
        (".dockerignore", "**/skip*\nflows/*/old\n!flows/f/old/keep.py\n"),
        ("flows/f/skipped.py", ""),
        ("flows/f/old/gone.py", ""),
        ("flows/f/old/keep.py", ""),
    ]);
    let found = files(&directory).unwrap();
    assert_eq!(paths(&found.own), ["app/flows/f/flow.py", "app/flows/f/old/keep.py", "app/obproject.toml"]);
    assert_eq!(left_out(&found), ["flows/f/old/gone.py ignored", "flows/f/skipped.py ignored"]);
    write(directory.path(), ".dockerignore", "*\n!src\n");
    let error = files(&directory).unwrap_err();
    assert_eq!(error.to_string(), ".dockerignore:1: this leaves out `flows/f/flow.py`, which the image runs");
    assert_eq!(error.exit_code(), ExitCode::Project);
    write(directory.path(), ".bakehouseignore", "# all\n");
    assert_eq!(paths(&files(&directory).unwrap().own).len(), 5, "it counts instead of .dockerignore");
}

#[test]
fn gitignore_counts_where_it_is_asked_for() {
    let directory = project(&[
        ("requirements.txt", ""),
        (".git/HEAD", ""),
        (".gitignore", "generated.py\n/out/\n"),
        ("generated.py", ""),
        ("pkg/generated.py", ""),
        ("out/x", ""),
        ("pkg/out/x", ""),
    ]);
    let all = files(&directory).unwrap();
    assert!(paths(&all.own).contains(&"app/pkg/generated.py"), "what a build made is needed");
    let options = CodeOptions { gitignore: true, ..CodeOptions::default() };
    let found = read_with(directory.path(), &options, &[]).unwrap();
    assert_eq!(paths(&found.own), ["app/.gitignore", "app/pkg/out/x", "app/requirements.txt"]);
    assert_eq!(
        left_out(&found),
        [".git/ version-control", "generated.py ignored", "out/ ignored", "pkg/generated.py ignored"]
    );
}

#[test]
fn libraries_of_the_organization_come_from_the_path_and_the_active_environment() {
    let site = "venv/lib/python3.11/site-packages";
    let outside = project(&[
        ("path/org_lib/__init__.py", "METAFLOW_PACKAGE_POLICY = 'include'\nimport org_deep"),
        ("path/org_lib/table.csv", ""),
        ("path/org_lib/__pycache__/x.pyc", ""),
        ("path/org_deep.py", "METAFLOW_PACKAGE_POLICY = 'include'"),
        ("path/unused/__init__.py", "METAFLOW_PACKAGE_POLICY = 'include'"),
        ("path/plain/__init__.py", ""),
        (&format!("{site}/installed/__init__.py"), "METAFLOW_PACKAGE_POLICY = 'include'"),
        (
            &format!("{site}/acme_installed-2.0.dist-info/METADATA"),
            "Metadata-Version: 2.1\nName: acme-installed\n",
        ),
        (&format!("{site}/acme_installed-2.0.dist-info/RECORD"), "installed/__init__.py,,\n"),
        (&format!("{site}/pandas/__init__.py"), ""),
        (&format!("{site}/editable.pth"), "# comment\n../../../../checkout\nimport os\n"),
        ("checkout/linked/__init__.py", "METAFLOW_PACKAGE_POLICY = 'include'"),
        ("repo/obproject_multi.toml", ""),
        ("repo/common/__init__.py", "METAFLOW_PACKAGE_POLICY = 'include'"),
        ("repo/p/obproject.toml", "project = 'p'"),
        (
            "repo/p/flows/f/flow.py",
            &format!("import org_lib, plain, installed, pandas, linked, common, json\n{FLOW}"),
        ),
    ]);
    let at = |path: &str| outside.path().canonicalize().unwrap().join(path);
    let variables = [("PYTHONPATH", at("path")), ("VIRTUAL_ENV", at("venv"))];
    let variables: Vec<(&str, &Path)> =
        variables.iter().map(|(name, path)| (*name, path.as_path())).collect();
    let found = read_with(&at("repo/p"), &CodeOptions::default(), &variables).unwrap();
    assert_eq!(
        paths(&found.shared),
        [
            "opt/libraries/acme_installed-2.0.dist-info/METADATA",
            "opt/libraries/common/__init__.py",
            "opt/libraries/installed/__init__.py",
            "opt/libraries/linked/__init__.py",
            "opt/libraries/org_deep.py",
            "opt/libraries/org_lib/__init__.py",
            "opt/libraries/org_lib/table.csv",
        ]
    );
    assert_eq!(found.library_path().as_deref(), Some("/opt/libraries"));
    let libraries: Vec<String> = found.libraries.iter().map(|l| format!("{} {}", l.name, l.origin)).collect();
    assert_eq!(
        libraries,
        [
            "common repository",
            "installed environment",
            "linked environment",
            "org_deep pythonpath",
            "org_lib pythonpath"
        ]
    );
    let warned: Vec<&str> = found.warnings.iter().map(|w| w.message.as_str()).collect();
    assert_eq!(warned.len(), 6, "each is told, and that one has no policy: {warned:?}");
    assert!(warned.iter().any(|w| w.starts_with("the library `plain` is left out: ")), "{warned:?}");
    let mut installed = found.clone();
    installed.without_installed(|name| name == "acme-installed");
    assert_eq!(installed.libraries.len(), 4);
    assert!(!paths(&installed.shared).contains(&"opt/libraries/installed/__init__.py"));

    let nothing = read_with(&at("repo/p"), &CodeOptions::default(), &[]).unwrap();
    assert_eq!(paths(&nothing.shared), ["opt/libraries/common/__init__.py"]);
}

#[test]
fn libraries_may_be_named_whatever_their_policy() {
    let outside = project(&[
        ("lib/pyproject.toml", "[project]\nname = 'lib'"),
        ("lib/src/one/__init__.py", ""),
        ("lib/src/two.py", ""),
        ("single/__init__.py", ""),
        ("empty/x.txt", ""),
    ]);
    let directory = project(&[("requirements.txt", ""), ("app.py", "")]);
    let read = |names: &[&str]| {
        let libraries = names.iter().map(|name| outside.path().join(name)).collect();
        read_with(directory.path(), &CodeOptions { libraries, ..CodeOptions::default() }, &[])
    };
    let found = read(&["lib", "single"]).unwrap();
    assert_eq!(
        paths(&found.shared),
        ["opt/libraries/one/__init__.py", "opt/libraries/single/__init__.py", "opt/libraries/two.py"]
    );
    assert_eq!(paths(&found.own), ["app/app.py", "app/requirements.txt"]);
    for name in ["empty", "missing"] {
        let error = read(&[name]).unwrap_err();
        assert!(matches!(error, Error::Library { .. }), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Project);
    }
}

#[test]
fn names_that_hide_the_standard_library_are_told() {
    let directory = flow_project(&[
        ("flows/f/json.py", ""),
        ("src/random/__init__.py", "METAFLOW_PACKAGE_POLICY = 'include'"),
        ("flows/f/sub/os.py", ""),
    ]);
    assert_eq!(
        shown(&files(&directory).unwrap().warnings),
        [
            "flows/f/json.py: its name hides the standard library's `json`: rename it",
            "src/random/__init__.py: its name hides the standard library's `random`: rename it",
        ]
    );
}
