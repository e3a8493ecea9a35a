//! A small world for the program to run in: a project, an index, a base image, a store.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use bakehouse::model::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

#[allow(clippy::duplicate_mod, reason = "a test may use a registry alone, or the bakery, or both")]
#[path = "conform.rs"]
mod conform;

use super::http::Server;
use super::wheel::BuiltWheel;

/// A project, an index that serves what was published to it, and room for stores and outputs.
pub struct World {
    directory: TempDir,
    pub index: Server,
    published: BTreeMap<String, Vec<BuiltWheel>>,
}

/// What a run of the program came to.
pub struct Ran {
    pub code: i32,
    /// The JSON report; null if there is none.
    pub report: Value,
    pub stderr: String,
}

impl World {
    /// An empty project and an empty index.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("project")).unwrap();
        Self { directory, index: Server::start(), published: BTreeMap::new() }
    }

    /// A plain project that requires `requirements`, with one module.
    pub fn plain(requirements: &[&str]) -> Self {
        let world = Self::new();
        world.write("requirements.txt", &(requirements.join("\n") + "\n"));
        world.write("app.py", "print('hello')\n");
        world
    }

    /// A file or folder beside the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The project's folder.
    pub fn project(&self) -> PathBuf {
        self.path("project")
    }

    /// Writes a file of the project.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.project().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Puts a wheel on the index.
    pub fn publish(&mut self, wheel: BuiltWheel) {
        let name = wheel.file_name.split('-').next().unwrap().replace('_', "-").to_lowercase();
        self.index.file(&format!("/files/{}", wheel.file_name), wheel.bytes.clone());
        let wheels = self.published.entry(name.clone()).or_default();
        wheels.push(wheel);
        let links: String = wheels
            .iter()
            .map(|wheel| {
                let name = &wheel.file_name;
                format!("<a href=\"/files/{name}#sha256={}\">{name}</a><br>\n", wheel.digest().hex())
            })
            .collect();
        let page = format!("<!DOCTYPE html><html><body>\n{links}</body></html>");
        self.index.page(&format!("/simple/{name}/"), "text/html", page);
    }

    /// The program, with the world's index, base and store and nothing of the caller's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare_command(arguments);
        if !arguments.contains(&"--base") {
            command.arg("--base").arg(format!("oci:{}", self.base().display()));
        }
        command
    }

    /// The same without a base.
    pub fn bare_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bakehouse"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.path("home"));
        let (subcommand, rest) = arguments.split_first().unwrap();
        command.arg(subcommand).arg(self.project()).args(["--format", "json"]);
        command.arg("--index-url").arg(self.index.url("/simple/").as_str());
        if !rest.contains(&"--cache-dir") {
            command.arg("--cache-dir").arg(self.path("store"));
        }
        command.args(rest);
        command
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let ran = run(&mut self.command(arguments));
        if ran.code == 0 && arguments[0] == "build" {
            conforms(arguments);
        }
        ran
    }

    /// Runs the program, which must succeed, and gives the report.
    pub fn succeed(&self, arguments: &[&str]) -> Value {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}\n{}", ran.stderr);
        ran.report
    }

    /// Runs the program, which must fail with `code` and a message that has every one of `words`.
    pub fn fail(&self, arguments: &[&str], code: i32, words: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}\n{}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "no `{word}` in:\n{}", ran.stderr);
        }
        ran
    }

    /// A base image with an interpreter that is no real one: for all tests that run nothing in the image.
    pub fn base(&self) -> PathBuf {
        let path = self.path("base");
        if !path.exists() {
            write_layout(&path, &[PYTHON, LIBC]);
        }
        path
    }
}

/// Holds everything that a run wrote into files against the schemas of the image specification.
pub fn conforms(arguments: &[&str]) {
    for output in arguments.windows(2).filter(|pair| pair[0] == "--output").map(|pair| pair[1]) {
        match output.split_once(':').unwrap() {
            ("oci", path) => conform::layout(Path::new(path)),
            ("oci-archive", path) => conform::archive(Path::new(path)),
            (_, path) => conform::docker_archive(Path::new(path)),
        }
    }
}

/// An interpreter by its looks.
pub const PYTHON: (&str, &str, u32) = ("usr/bin/python3.11", "\x7fELF 3.11.2\0", 0o755);

/// A file that tells the version of the C library as the real one does.
pub const LIBC: (&str, &str, u32) = (
    "usr/lib/x86_64-linux-gnu/libc.so.6",
    "\x7fELF GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n",
    0o755,
);

/// Runs the program.
pub fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        report: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Writes an OCI layout with one image of one layer.
pub fn write_layout(path: &Path, files: &[(&str, &str, u32)]) {
    write_layout_for("amd64", path, files);
}

/// A file of a base image: its path, content and mode.
pub type BaseFile<'f> = (&'f str, &'f str, u32);

/// Writes an OCI layout whose only name is an image index with an image for each architecture.
pub fn write_index_layout(path: &Path, images: &[(&str, &[BaseFile<'_>])]) {
    let entry = |(architecture, files): &(&str, &[BaseFile<'_>])| {
        write_layout_for(architecture, path, files);
        let index: Value = serde_json::from_slice(&fs::read(path.join("index.json")).unwrap()).unwrap();
        let mut entry = index["manifests"][0].clone();
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let entries: Vec<Value> = images.iter().map(entry).collect();
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).to_string();
    let digest = Digest::of(index.as_bytes());
    fs::write(path.join("blobs/sha256").join(digest.hex()), &index).unwrap();
    let entry = json!({"mediaType": media_type, "digest": digest, "size": index.len()});
    fs::write(path.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())
        .unwrap();
}

/// Writes an OCI layout with one image of one layer, for an architecture.
pub fn write_layout_for(architecture: &str, path: &Path, files: &[(&str, &str, u32)]) {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    if files.iter().any(|(name, ..)| *name == "usr/bin/python3.11") {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, "usr/bin/python3", "python3.11").unwrap();
    }
    let layer = tar.into_inner().unwrap();
    let blobs = path.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({"digest": digest, "size": bytes.len()})
    };
    let with_type = |mut descriptor: Value, media_type: &str| {
        descriptor["mediaType"] = media_type.into();
        descriptor
    };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
    });
    let config = put(config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": with_type(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [with_type(put(&layer), "application/vnd.oci.image.layer.v1.tar")],
    });
    let manifest =
        with_type(put(manifest.to_string().as_bytes()), "application/vnd.oci.image.manifest.v1+json");
    fs::write(path.join("index.json"), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string())
        .unwrap();
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
}

/// A layout with `deb://bookworm` and nothing else, as an image to build on; made by the program if it is not there.
pub fn debian_layout() -> PathBuf {
    static ONE_MAKES_IT: Mutex<()> = Mutex::new(());
    let _making = ONE_MAKES_IT.lock().unwrap();
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let path =
        std::env::var_os("BAKEHOUSE_TEST_BASE").map_or_else(|| target.join("debian-bookworm"), PathBuf::from);
    if path.join("index.json").exists() {
        return path;
    }
    let world = World::plain(&[]);
    let made = path.with_extension(format!("{}", std::process::id()));
    let output = format!("oci:{}", made.display());
    let report = world.succeed(&["build", "--base", "deb://bookworm", "--output", &output]);
    let base = layers(&report).iter().filter(|layer| layer["role"] == "base").count();
    // The layers above the base are taken off again, and what the image says of them.
    let blob = |descriptor: &Value| {
        made.join("blobs/sha256")
            .join(descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap())
    };
    let read = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let put = |descriptor: &mut Value, document: &Value| {
        let text = document.to_string();
        descriptor["digest"] = json!(Digest::of(text.as_bytes()));
        descriptor["size"] = json!(text.len());
        fs::write(blob(descriptor), text).unwrap();
    };
    let mut index = read(&made.join("index.json"));
    let mut manifest = read(&blob(&index["manifests"][0]));
    let mut config = read(&blob(&manifest["config"]));
    let above: Vec<_> = manifest["layers"].as_array_mut().unwrap().drain(base..).collect();
    above.iter().for_each(|layer| fs::remove_file(blob(layer)).unwrap());
    config["rootfs"]["diff_ids"].as_array_mut().unwrap().truncate(base);
    config["history"].as_array_mut().unwrap().truncate(base);
    let path_variable = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    config["config"] = json!({"Env": [path_variable, "LANG=C.UTF-8"], "Cmd": ["python3"]});
    put(&mut manifest["config"], &config);
    manifest.as_object_mut().unwrap().remove("annotations");
    put(&mut index["manifests"][0], &manifest);
    index["manifests"][0].as_object_mut().unwrap().remove("annotations");
    fs::write(made.join("index.json"), index.to_string()).unwrap();
    fs::rename(&made, &path).unwrap();
    path
}

/// The digests of all images of a report, by component.
pub fn digests(report: &Value) -> BTreeMap<String, String> {
    let images = report["images"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    images
        .iter()
        .map(|image| (text(&image["component"]) + &image["steps"].to_string(), text(&image["digest"])))
        .collect()
}

/// The layers of a report's images, each with what it is.
pub fn layers(report: &Value) -> Vec<Value> {
    let images = report["images"].as_array().unwrap();
    let platforms = images.iter().flat_map(|image| image["platforms"].as_array().unwrap());
    platforms.flat_map(|platform| platform["layers"].as_array().unwrap().clone()).collect()
}

/// The layers that were sent or written.
pub fn uploaded(report: &Value) -> Vec<Value> {
    layers(report).into_iter().filter(|layer| layer["transfer"] == "uploaded").collect()
}

/// Writes an executable script.
pub fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Unpacks an image of a layout, as root or not. umoci checks every diff ID on the way.
pub fn unpack(layout: &Path, name: &str, bundle: &Path) {
    // The name of an image in a layout may hold a colon, which umoci's own option cannot say: give it another one.
    let plain = bundle.with_extension("layout");
    let copied = Command::new("skopeo")
        .args(["copy", "-q"])
        .arg(format!("oci:{}:{name}", layout.display()))
        .arg(format!("oci:{}:image", plain.display()))
        .status()
        .unwrap();
    assert!(copied.success(), "skopeo copies {name}");
    let mut umoci = Command::new("umoci");
    umoci.arg("unpack");
    if !is_root() {
        umoci.arg("--rootless");
    }
    let output = umoci.arg("--image").arg(format!("{}:image", plain.display())).arg(bundle).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether this process may change roots.
pub fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// Copies a layout's only image and puts a layer of files on top.
pub fn extend_layout(from: &Path, to: &Path, files: &[BaseFile<'_>]) {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    add_layers(from, to, &[tar.into_inner().unwrap()]);
}

/// Copies a layout's only image and puts layers on top, given as tars.
pub fn add_layers(from: &Path, to: &Path, tars: &[Vec<u8>]) {
    let (from, to) = (format!("oci:{}", from.display()), to.to_owned());
    let status =
        Command::new("skopeo").args(["copy", "-q", &from]).arg(format!("oci:{}", to.display())).status();
    assert!(status.unwrap().success());
    let blobs = to.join("blobs/sha256");
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        (json!(digest), json!(bytes.len()))
    };
    let read = |descriptor: &Value| -> Value {
        let digest = descriptor["digest"].as_str().unwrap();
        serde_json::from_slice(&fs::read(blobs.join(digest.strip_prefix("sha256:").unwrap())).unwrap())
            .unwrap()
    };
    let mut index: Value = serde_json::from_slice(&fs::read(to.join("index.json")).unwrap()).unwrap();
    let mut manifest = read(&index["manifests"][0]);
    let mut config = read(&manifest["config"]);
    for tar in tars {
        let (digest, size) = put(tar);
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(digest.clone());
        let media_type = "application/vnd.oci.image.layer.v1.tar";
        let layer = json!({"mediaType": media_type, "digest": digest, "size": size});
        manifest["layers"].as_array_mut().unwrap().push(layer);
    }
    config.as_object_mut().unwrap().remove("history");
    let (digest, size) = put(config.to_string().as_bytes());
    (manifest["config"]["digest"], manifest["config"]["size"]) = (digest, size);
    let (digest, size) = put(manifest.to_string().as_bytes());
    (index["manifests"][0]["digest"], index["manifests"][0]["size"]) = (digest, size);
    fs::write(to.join("index.json"), index.to_string()).unwrap();
}

/// Runs a program in an unpacked image, as root or as `UID:GID`; gives what it prints.
pub fn in_root(root: &Path, user: Option<&str>, arguments: &[&str]) -> String {
    let mut command = if is_root() { Command::new("chroot") } else { Command::new("unshare") };
    match (is_root(), user) {
        (true, Some(user)) => drop(command.arg(format!("--userspec={user}"))),
        (true, None) => {}
        (false, _) => drop(command.args(["--map-root-user", "chroot"])),
    }
    let output = command.arg(root).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A base image with a real Python whose C library is musl, in `target`; made where it is not there.
pub fn musl_layout() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("target/musl-base");
    if !path.join("index.json").exists() {
        assert!(Command::new(root.join("scripts/musl-base")).arg(&path).status().unwrap().success());
    }
    path
}
