//! Makes source distributions for tests, whose backend comes with them and needs nothing.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::io::Write as _;
use std::path::Path;

use super::wheel::BuiltWheel;

/// A backend in one file: makes a pure wheel of the directory `NAME/`.
const BACKEND: &str = r#"
import base64, hashlib, os, zipfile

NAME, VERSION, REQUIRES, TAG = @NAME@, @VERSION@, @REQUIRES@, @TAG@

def info():
    return "%s-%s.dist-info" % (NAME, VERSION)

def metadata():
    lines = ["Metadata-Version: 2.1", "Name: " + NAME, "Version: " + VERSION]
    return "\n".join(lines + ["Requires-Dist: " + text for text in REQUIRES]) + "\n"

def files():
    found = {}
    for folder, _, names in os.walk(NAME):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                found[os.path.join(folder, name)] = file.read()
    return found

def prepare_metadata_for_build_wheel(directory, config_settings=None):
    os.mkdir(os.path.join(directory, info()))
    with open(os.path.join(directory, info(), "METADATA"), "w") as file:
        file.write(metadata())
    return info()

def build_wheel(directory, config_settings=None, metadata_directory=None):
    content = dict(files())
    content[info() + "/METADATA"] = metadata().encode()
    content[info() + "/WHEEL"] = ("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: %s\n" % TAG).encode()
    record = ""
    for path, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += "%s,sha256=%s,%d\n" % (path, digest, len(data))
    content[info() + "/RECORD"] = (record + info() + "/RECORD,,\n").encode()
    name = "%s-%s-%s.whl" % (NAME, VERSION, TAG)
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        for path, data in content.items():
            # The time of today, which no wheel may depend on.
            wheel.writestr(path, data)
    return name
"#;

/// A source distribution being put together.
#[derive(Clone)]
pub struct Sdist {
    pub name: String,
    pub version: String,
    requires: Vec<String>,
    build_requires: Vec<String>,
    tag: String,
    info: Option<String>,
    more_backend: String,
    pyproject: Option<String>,
    files: Vec<(String, String)>,
}

impl Sdist {
    /// One with a module, and without final metadata.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            requires: Vec::new(),
            build_requires: Vec::new(),
            tag: "py3-none-any".to_owned(),
            info: None,
            more_backend: String::new(),
            pyproject: None,
            files: vec![(format!("{name}/__init__.py"), format!("VERSION = '{version}'\n"))],
        }
    }

    /// What the wheel requires.
    pub fn requires(mut self, requirement: &str) -> Self {
        self.requires.push(requirement.to_owned());
        self
    }

    /// What the build requires.
    pub fn build_requires(mut self, requirement: &str) -> Self {
        self.build_requires.push(requirement.to_owned());
        self
    }

    /// The tag of the wheel.
    pub fn tag(mut self, tag: &str) -> Self {
        self.tag = tag.to_owned();
        self
    }

    /// The text of PKG-INFO.
    pub fn info(mut self, text: &str) -> Self {
        self.info = Some(text.to_owned());
        self
    }

    /// PKG-INFO that is final: nobody has to build to know what is required.
    pub fn static_info(self) -> Self {
        let requires: String = self.requires.iter().map(|text| format!("Requires-Dist: {text}\n")).collect();
        let text =
            format!("Metadata-Version: 2.2\nName: {}\nVersion: {}\n{requires}", self.name, self.version);
        self.info(&text)
    }

    /// More code for the backend; what it defines replaces what is there.
    pub fn backend(mut self, code: &str) -> Self {
        self.more_backend.push_str(code);
        self
    }

    /// Another `pyproject.toml`.
    pub fn pyproject(mut self, text: &str) -> Self {
        self.pyproject = Some(text.to_owned());
        self
    }

    /// One more file.
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    pub fn file_name(&self) -> String {
        format!("{}-{}.tar.gz", self.name, self.version)
    }

    /// All files, relative to the top of the sources.
    pub fn tree(&self) -> Vec<(String, String)> {
        let quoted = |text: &str| format!("{text:?}");
        let backend = BACKEND
            .replace("@NAME@", &quoted(&self.name))
            .replace("@VERSION@", &quoted(&self.version))
            .replace("@REQUIRES@", &format!("{:?}", self.requires))
            .replace("@TAG@", &quoted(&self.tag));
        let pyproject = self.pyproject.clone().unwrap_or_else(|| {
            format!(
                "[build-system]\nrequires = {:?}\nbuild-backend = 'backend'\nbackend-path = ['_build']\n",
                self.build_requires
            )
        });
        let mut files = vec![
            ("pyproject.toml".to_owned(), pyproject),
            ("_build/backend.py".to_owned(), backend + &self.more_backend),
        ];
        files.extend(self.info.iter().map(|text| ("PKG-INFO".to_owned(), text.clone())));
        files.extend(self.files.iter().cloned());
        files
    }

    /// Writes the sources into a directory.
    pub fn write(&self, directory: &Path) {
        for (path, text) in self.tree() {
            let path = directory.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    /// The archive, with more entries at its end.
    pub fn with_entries(&self, more: &[(tar::Header, &[u8])]) -> BuiltWheel {
        let mut tar = tar::Builder::new(Vec::new());
        let top = format!("{}-{}", self.name, self.version);
        for (path, text) in self.tree() {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("{top}/{path}"), text.as_bytes()).unwrap();
        }
        for (header, bytes) in more {
            tar.append(header, *bytes).unwrap();
        }
        BuiltWheel { file_name: self.file_name(), bytes: gzip(&tar.into_inner().unwrap()) }
    }

    pub fn build(&self) -> BuiltWheel {
        self.with_entries(&[])
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// Every file of every layer of a layout with gzip layers.
pub fn files(layout: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for blob in std::fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let file = std::fs::File::open(blob.unwrap().path()).unwrap();
        let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
        for entry in tar.entries().into_iter().flatten() {
            let Ok(mut entry) = entry else { break };
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut text = String::new();
            if std::io::Read::read_to_string(&mut entry, &mut text).is_ok() {
                found.push((path, text));
            }
        }
    }
    found
}

pub fn file_of(layout: &Path, end: &str) -> String {
    let found = files(layout).into_iter().find(|(path, _)| path.ends_with(end));
    found.unwrap_or_else(|| panic!("no {end}")).1
}
