//! Requirements that name their sources: archives, commits of repositories, directories. What is locked of them, and where
//! they may be written.
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
use std::path::{Path, PathBuf};
use std::process::Command;

use bakery::World;
use sdist::Sdist;
use wheel::WheelBuilder;

fn lock_text(world: &World, path: &str) -> String {
    fs::read_to_string(world.project().join(path)).unwrap()
}

/// What is installed, whatever the code beside it.
fn environment(report: &serde_json::Value) -> String {
    report["images"][0]["environment"].as_str().unwrap().to_owned()
}

/// A repository on this machine.
struct Repository {
    path: PathBuf,
}

impl Repository {
    fn new(path: PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        let this = Self { path };
        this.git(&["init", "--quiet", "--initial-branch=main"]);
        this
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.path).args(["-c", "user.name=me", "-c", "user.email=me@h.example"]);
        command.args(["-c", "protocol.file.allow=always"]).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits sources; the commit's name.
    fn commit(&self, sdist: &Sdist, folder: &str) -> String {
        sdist.write(&self.path.join(folder));
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn url(&self) -> String {
        format!("git+file://{}", self.path.display())
    }
}

#[test]
fn a_commit_is_locked_and_a_branch_stays_at_it() {
    let world = World::plain(&[]);
    let repository = Repository::new(world.path("repo"));
    let first = repository.commit(&Sdist::new("own", "1"), "");
    repository.git(&["tag", "-a", "v1", "-m", "one"]);
    world.write("requirements.txt", &format!("own @ {}@main\n", repository.url()));
    let output = format!("oci:{}", world.path("out").display());
    let before = environment(&world.succeed(&["build", "--output", &output]));
    let text = lock_text(&world, "pylock.toml");
    for part in [
        "vcs = { type = \"git\"",
        "requested-revision = \"main\"",
        &first,
        "name = \"own-1-py3-none-any.whl\"",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let record = sdist::file_of(&world.path("out"), "own-1.dist-info/direct_url.json");
    assert!(record.contains("\"vcs\":\"git\"") && record.contains(&first), "{record}");

    let second = repository.commit(&Sdist::new("own", "2"), "");
    let report = world.succeed(&["lock", "--check"]);
    assert_eq!(report["locks"][0]["status"], "fresh");
    // A lock that is made again keeps the commit; a machine that has nothing builds the same.
    world.write("requirements.txt", &format!("own @ {}@main\nown>=1\n", repository.url()));
    world.succeed(&["lock"]);
    assert!(lock_text(&world, "pylock.toml").contains(&first));
    let store = world.path("other-store");
    let report = world.succeed(&["build", "--locked", "--cache-dir", store.to_str().unwrap()]);
    assert_eq!(environment(&report), before);
    world.succeed(&["lock", "-P", "own"]);
    assert!(lock_text(&world, "pylock.toml").contains(&second));

    for (revision, expected) in [("v1", &first), (&first[..], &first), (&second[..12], &second)] {
        world.write("requirements.txt", &format!("{}@{revision}#egg=own\n", repository.url()));
        world.succeed(&["lock"]);
        assert!(
            lock_text(&world, "pylock.toml").contains(&format!("commit-id = \"{expected}\"")),
            "{revision}"
        );
    }
    world.write("requirements.txt", &format!("own @ {}@nothing\n", repository.url()));
    world.fail(&["lock"], 20, &["requirements.txt:1", "no branch, tag or commit `nothing`"]);
    world.write("requirements.txt", &format!("other @ {}@v1\n", repository.url()));
    world.fail(&["lock"], 30, &["should be other"]);
    world.write("requirements.txt", &format!("own @ {}@v1\n", repository.url()));
    world.fail(&["lock", "--no-build"], 11, &["not allowed for `own`"]);
    world.fail(&["lock", "--no-build", "own"], 11, &["not allowed for `own`"]);
}

#[test]
fn submodules_come_along_and_a_subdirectory_is_enough() {
    let world = World::plain(&[]);
    let inner = Repository::new(world.path("inner"));
    inner.commit(&Sdist::new("unused", "1").file("data.txt", "from the submodule\n"), "");
    let outer = Repository::new(world.path("outer"));
    let inner_url = format!("file://{}", inner.path.display());
    outer.git(&["submodule", "--quiet", "add", &inner_url, "libs/own/own/inner"]);
    let commit = outer.commit(&Sdist::new("own", "1"), "libs/own");
    fs::create_dir_all(world.path("home")).unwrap();
    fs::write(world.path("home/.gitconfig"), "[protocol \"file\"]\nallow = always\n").unwrap();
    world.write("requirements.txt", &format!("own @ {}#subdirectory=libs/own\n", outer.url()));
    let output = format!("oci:{}", world.path("out").display());
    world.succeed(&["build", "--output", &output]);
    assert_eq!(sdist::file_of(&world.path("out"), "own/inner/data.txt"), "from the submodule\n");
    let text = lock_text(&world, "pylock.toml");
    assert!(text.contains(&format!("commit-id = \"{commit}\", subdirectory = \"libs/own\"")), "{text}");
    for (bad, code, word) in [("../x", 10, "subdirectory"), ("libs/none", 13, "no directory")] {
        world.write("requirements.txt", &format!("own @ {}#subdirectory={bad}\n", outer.url()));
        world.fail(&["lock"], code, &[word]);
    }
}

#[test]
fn an_archive_is_locked_by_its_hash() {
    let world = World::plain(&[]);
    let archive = Sdist::new("own", "1").build();
    world.index.file("/files/own-1.tar.gz", archive.bytes.clone());
    let url = world.index.url("/files/own-1.tar.gz");
    world.write("requirements.txt", &format!("own @ {url}\n"));
    let before = environment(&world.succeed(&["build"]));
    let text = lock_text(&world, "pylock.toml");
    assert!(text.contains("archive = { url = ") && text.contains(&archive.digest().hex()), "{text}");
    // With its hash, and without a name of its own.
    world.write("requirements.txt", &format!("{url}#sha256={}\n", archive.digest().hex()));
    assert_eq!(environment(&world.succeed(&["build"])), before);
    world.write("requirements.txt", &format!("own @ {url}#sha256={}\n", "0".repeat(64)));
    world.fail(&["lock"], 30, &["SHA-256"]);
    // What changed at its URL is not what is locked.
    world.write("requirements.txt", &format!("own @ {url}\n"));
    world.succeed(&["lock"]);
    world.index.file("/files/own-1.tar.gz", Sdist::new("own", "1").file("own/x.py", "").build().bytes);
    let store = world.path("other-store");
    world.fail(
        &["build", "--locked", "--cache-dir", store.to_str().unwrap()],
        30,
        &["own-1.tar.gz", "was changed"],
    );
}

#[test]
fn a_directory_of_the_project_is_built_and_watched() {
    let mut world = World::plain(&["-e ./libs/own[extra]", "other @ libs/other"]);
    world.publish(WheelBuilder::new("dep", "1").build());
    let project = |name: &str| {
        format!(
            "[project]\nname = '{name}'\nversion = '1'\n[project.optional-dependencies]\nextra = ['dep']\n\
             [build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['_build']\n"
        )
    };
    for name in ["own", "other"] {
        let folder = world.project().join("libs").join(name);
        Sdist::new(name, "1").pyproject(&project(name)).write(&folder);
        fs::create_dir_all(folder.join(".venv/lib")).unwrap();
        fs::write(folder.join(".venv/lib/x.py"), "").unwrap();
    }
    let report = world.succeed(&["build"]);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("no editable installs") && warnings.contains("requirements.txt"), "{warnings}");
    let text = lock_text(&world, "pylock.toml");
    assert!(text.contains("directory = { path = \"libs/own\", editable = false }"), "{text}");
    assert!(text.contains("name = \"dep\""), "{text}");
    assert!(!text.contains(world.project().to_str().unwrap()), "no place on this machine: {text}");
    let own = world.project().join("libs/own");
    assert!(!own.join("build").exists() && !own.join("own.egg-info").exists(), "nothing is written there");

    // What tools leave there changes nothing, a module does.
    world.write("libs/own/__pycache__/x.pyc", "");
    world.write("libs/own/.venv/lib/y.py", "");
    world.succeed(&["lock", "--check"]);
    let before = bakery::digests(&report);
    world.write("libs/own/own/more.py", "X = 1\n");
    world.fail(&["lock", "--check"], 12, &["stale"]);
    assert_ne!(bakery::digests(&world.succeed(&["build"])), before);

    // The same project elsewhere gives the same image.
    let again = bakery::digests(&world.succeed(&["build", "--locked"]));
    let moved = world.path("elsewhere/project");
    fs::create_dir(world.path("elsewhere")).unwrap();
    fs::rename(world.project(), &moved).unwrap();
    let store = world.path("other-store");
    let command = world.command(&["build", "--locked", "--cache-dir", store.to_str().unwrap()]);
    let mut elsewhere = Command::new(command.get_program());
    let place = |argument| if argument == world.project().as_os_str() { moved.as_os_str() } else { argument };
    elsewhere.args(command.get_args().map(place)).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    let ran = bakery::run(&mut elsewhere);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(bakery::digests(&ran.report), again);
}

#[test]
fn directories_that_cannot_be_built_are_told() {
    let world = World::plain(&[]);
    fs::create_dir_all(world.project().join("empty")).unwrap();
    for (line, code, words) in [
        ("-e .", 10, &["the project itself"][..]),
        ("./nothing", 10, &["requirements.txt:1", "no file or directory `./nothing`"]),
        ("./empty", 10, &["does not tell the distribution's name"]),
        ("own @ ./empty", 13, &["neither pyproject.toml nor setup.py"]),
        ("own @ ../outside", 10, &["no file or directory"]),
    ] {
        world.write("requirements.txt", &format!("{line}\n"));
        world.fail(&["lock"], code, words);
    }
    Sdist::new("other", "1").write(&world.project().join("lib"));
    world.write("requirements.txt", "own @ ./lib\n");
    world.fail(&["lock"], 30, &["should be own"]);
    std::os::unix::fs::symlink("/", world.project().join("lib/up")).unwrap();
    world.fail(&["lock"], 13, &["link to a directory"]);
}

#[test]
fn sources_of_uv_name_repositories_directories_and_members() {
    let world = World::plain(&[]);
    fs::remove_file(world.project().join("requirements.txt")).unwrap();
    let repository = Repository::new(world.path("repo"));
    let commit = repository.commit(&Sdist::new("far", "1"), "sub");
    let project = |name: &str| {
        format!(
            "[project]\nname = '{name}'\nversion = '1'\n\
             [build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['_build']\n"
        )
    };
    for (name, folder) in [("near", "vendor/near"), ("member", "packages/some-member")] {
        Sdist::new(name, "1").pyproject(&project(name)).write(&world.project().join(folder));
    }
    world.write(
        "pyproject.toml",
        &format!(
            "[project]\nname = 'app'\nversion = '1'\ndependencies = ['far', 'near', 'member']\n\
             [tool.uv.workspace]\nmembers = ['packages/*']\n[tool.uv.sources]\n\
             far = {{ git = 'file://{}', branch = 'main', subdirectory = 'sub' }}\n\
             near = {{ path = 'vendor/near', editable = true }}\nmember = {{ workspace = true }}\n",
            repository.path.display()
        ),
    );
    world.succeed(&["lock"]);
    let text = lock_text(&world, "pylock.toml");
    for part in [&commit[..], "path = \"vendor/near\"", "path = \"packages/some-member\""] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn a_deployment_and_a_flow_may_name_a_repository() {
    let world = World::new();
    let repository = Repository::new(world.path("repo"));
    let commit = repository.commit(&Sdist::new("tinylib", "1"), "");
    let url = repository.url();
    world.write("obproject.toml", "project = \"shop\"\n");
    world.write(
        "deployments/api/config.yml",
        &format!("name: api\nport: 8000\ncommands:\n  - python app.py\ndependencies:\n  pypi:\n    tinylib@{url}: ''\n"),
    );
    world.write("deployments/api/app.py", "");
    world.write(
        "flows/train/flow.py",
        &format!(
            "from metaflow import FlowSpec, step, pypi_base\nfrom obproject import ProjectFlow\n\n\
             @pypi_base(python='3.11', packages={{'tinylib': '@{url}@main'}})\nclass Train(ProjectFlow):\n    \
             @step\n    def start(self):\n        self.next(self.end)\n\n    @step\n    def end(self):\n        pass\n"
        ),
    );
    world.succeed(&["lock"]);
    for path in ["deployments/api/pylock.toml", "flows/train/pylock.toml"] {
        assert!(lock_text(&world, path).contains(&commit), "{path}");
    }
}

#[test]
fn credentials_are_asked_of_git_and_in_no_lock() {
    let world = World::plain(&["own @ git+https://me:s3cret@h.example/own.git"]);
    let ran = world.fail(&["lock"], 10, &["requirements.txt:1", "credentials", "netrc"]);
    assert!(!ran.stderr.contains("s3cret"));
    // Git's own settings say where a repository really is, and so may its helpers who may read it.
    let repository = Repository::new(world.path("repo"));
    repository.commit(&Sdist::new("own", "1"), "");
    fs::create_dir_all(world.path("home")).unwrap();
    let settings =
        format!("[url \"file://{}\"]\ninsteadOf = https://h.example/own.git\n", repository.path.display());
    fs::write(world.path("home/.gitconfig"), settings).unwrap();
    world.write("requirements.txt", "own @ git+https://h.example/own.git\n");
    world.succeed(&["lock"]);
    let text = lock_text(&world, "pylock.toml");
    assert!(text.contains("url = \"https://h.example/own.git\""), "{text}");
    world.fail(&["lock", "--upgrade", "--offline"], 20, &["--offline"]);
}

#[test]
fn a_variable_may_hold_what_git_needs_to_know() {
    let world = World::plain(&[]);
    let host = world.index.url("").to_string().replace("http://", "git+http://${AUTH}@");
    world.write("requirements.txt", &format!("own @ {host}own.git@main\n"));
    let repository = Repository::new(world.path("served/own.git"));
    let commit = repository.commit(&Sdist::new("own", "1"), "");
    repository.git(&["config", "uploadpack.allowFilter", "true"]);
    let root = world.path("served");
    for path in ["info/refs", "git-upload-pack"] {
        let (root, inner) = (root.clone(), format!("/own.git/{path}"));
        world.index.route(&format!("/own.git/{path}"), move |request| {
            // `me:s3cret`
            if request.header("authorization") != Some("Basic bWU6czNjcmV0") {
                return http::Response::status(401);
            }
            backend(&root, &inner, request)
        });
    }
    let run = |arguments: &[&str], secret: &str| bakery::run(world.command(arguments).env("AUTH", secret));
    let ran = run(&["lock", "-v"], "me:wrong");
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(!ran.stderr.contains("wrong"), "{}", ran.stderr);
    let ran = run(&["build", "-vv"], "me:s3cret");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let text = lock_text(&world, "pylock.toml");
    assert!(text.contains(&commit) && !text.contains("s3cret"), "{text}");
    assert!(!ran.stderr.contains("s3cret") && !ran.report.to_string().contains("s3cret"));
    let ran = run(&["lock", "--check"], "me:s3cret");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let store = world.path("other-store");
    let ran = run(&["build", "--locked", "--cache-dir", store.to_str().unwrap()], "me:s3cret");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

/// What git's own server answers.
fn backend(root: &Path, path: &str, request: &http::Request) -> http::Response {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut command = Command::new("git");
    command.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("PATH_INFO", path).env("REQUEST_METHOD", &request.method).env("REMOTE_USER", "me");
    command.env("QUERY_STRING", request.query.as_deref().unwrap_or_default());
    for (variable, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        command.env(variable, request.header(header).unwrap_or_default());
    }
    command.env("CONTENT_LENGTH", request.body.len().to_string());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&request.body).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let value =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).map(str::to_owned);
    match value("Status:") {
        Some(status) => http::Response::status(status[..3].parse().unwrap()),
        None => http::Response::ok(&value("Content-Type:").unwrap(), &output[end + 4..]),
    }
}

#[test]
fn a_missing_git_is_told() {
    let world = World::plain(&["own @ git+https://h.example/own.git"]);
    let mut command = world.command(&["lock"]);
    command.env("PATH", Path::new("/nonexistent"));
    let ran = bakery::run(&mut command);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    assert!(ran.stderr.contains("there is no `git` on this machine"), "{}", ran.stderr);
}
