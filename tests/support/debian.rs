//! A Debian archive of a few small packages, signed by a key of its own, on a server of this machine.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test support, of which every file uses a part"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bakehouse::model::Digest;
use serde_json::Value;
use tempfile::TempDir;

use super::bakery::{LIBC, Ran, World, run};
use super::http::{Response, Server};

/// A date that no test will see pass.
pub const FUTURE: &str = "Fri, 01 Jan 2100 00:00:00 UTC";

/// What every base takes, but for the C library and Python.
const PLAIN: [&str; 17] = [
    "base-files",
    "base-passwd",
    "bash",
    "ca-certificates",
    "coreutils",
    "dash",
    "debianutils",
    "findutils",
    "grep",
    "gzip",
    "libgomp1",
    "libstdc++6",
    "mawk",
    "netbase",
    "sed",
    "tar",
    "tzdata",
];

/// Somebody who signs release files.
pub struct Signer(TempDir);

impl Signer {
    pub fn new() -> Self {
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
    pub fn keyring(&self) -> PathBuf {
        let path = self.0.path().join("keyring.gpg");
        fs::write(&path, self.gpg(&["--export"], "")).unwrap();
        path
    }

    pub fn sign(&self, text: &str) -> String {
        String::from_utf8(self.gpg(&["--clear-sign"], text)).unwrap()
    }
}

/// A release file that lists one list of packages.
pub fn release(codename: &str, valid_until: &str, packages: &[u8]) -> String {
    format!(
        "Origin: Debian\nSuite: {codename}\nCodename: {codename}\nValid-Until: {valid_until}\nSHA256:\n {} {} main/binary-amd64/Packages.xz\n",
        Digest::of(packages).hex(),
        packages.len()
    )
}

/// An entry of a package's files: its path, its kind, and its content or target.
pub type File<'f> = (&'f str, tar::EntryType, &'f str);

/// A package's file, `NAME_VERSION_amd64.deb`.
pub fn deb(name: &str, version: &str, depends: &str, files: &[File<'_>]) -> Vec<u8> {
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Nobody <nobody@mirror.example>\nDepends: {depends}\nDescription: a package of a test\n"
    );
    let control = tarball(&[("./control", tar::EntryType::Regular, &control)]);
    let mut ar = b"!<arch>\n".to_vec();
    for (name, content) in
        [("debian-binary", b"2.0\n".to_vec()), ("control.tar.gz", control), ("data.tar.gz", tarball(files))]
    {
        ar.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes(),
        );
        ar.extend(&content);
        ar.resize(ar.len().next_multiple_of(2), b'\n');
    }
    ar
}

fn tarball(files: &[File<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind, text) in files {
        let mut header = tar::Header::new_gnu();
        // As written, whatever it is: the crate refuses what these tests need.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        let content = if *kind == tar::EntryType::Regular { text.as_bytes() } else { b"" };
        header.set_size(content.len() as u64);
        if content.is_empty() {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

/// Compresses a list of packages as mirrors have it.
pub fn xz(text: &str) -> Vec<u8> {
    let code = "import lzma, sys; sys.stdout.buffer.write(lzma.compress(sys.stdin.buffer.read()))";
    let mut python = Command::new("python3")
        .args(["-c", code])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// The packages of a suite, by their paths on the mirror.
#[derive(Clone)]
pub struct Suite {
    pub codename: String,
    debs: BTreeMap<String, (String, Vec<u8>)>,
}

impl Suite {
    /// A suite without packages.
    pub fn empty(codename: &str) -> Self {
        Self { codename: codename.to_owned(), debs: BTreeMap::new() }
    }

    /// What a base takes, with an interpreter that is one by its looks alone.
    pub fn new(codename: &str, python: &str) -> Self {
        let mut suite = Self::empty(codename);
        for name in PLAIN {
            let path = format!("./usr/share/doc/{name}/copyright");
            let licence = format!("the licence of {name} in {codename}\n");
            suite.add(name, "1.0-1", "libc6", &[(&path, tar::EntryType::Regular, &licence)]);
        }
        let libc = format!("./{}", LIBC.0);
        suite.add("libc6", "2.36-1", "", &[(&libc, tar::EntryType::Regular, LIBC.1)]);
        suite.add("libc-bin", "2.36-1", "libc6", &[]);
        let (program, looks) = (format!("./usr/bin/python{python}"), format!("\x7fELF {python}.2\0"));
        let link = format!("python{python}");
        let files = [
            (&*program, tar::EntryType::Regular, &*looks),
            ("./usr/bin/python3", tar::EntryType::Symlink, &*link),
        ];
        suite.add("python3-minimal", &format!("{python}.2-1"), "libc6", &files);
        suite.add("libpython3-stdlib", &format!("{python}.2-1"), "", &[]);
        suite
    }

    /// Adds a package, or a newer version of it.
    pub fn add(&mut self, name: &str, version: &str, depends: &str, files: &[File<'_>]) {
        let bytes = deb(name, version, depends, files);
        let paragraph = format!("Package: {name}\nVersion: {version}\nDepends: {depends}\n");
        self.put(name, version, &paragraph, bytes);
    }

    /// Puts other bytes in the place of a package.
    pub fn replace(&mut self, name: &str, version: &str, bytes: Vec<u8>) {
        let paragraph = format!("Package: {name}\nVersion: {version}\n");
        self.put(name, version, &paragraph, bytes);
    }

    fn put(&mut self, name: &str, version: &str, paragraph: &str, bytes: Vec<u8>) {
        self.debs.retain(|path, _| !path.contains(&format!("/{name}_")));
        self.debs.insert(self.path(name, version), (paragraph.to_owned(), bytes));
    }

    /// Where a package is on the mirror.
    pub fn path(&self, name: &str, version: &str) -> String {
        format!("pool/main/{}/{name}_{version}_amd64.deb", self.codename)
    }

    /// Puts the suite on a server, below `/debian`: the signed release file, the list, the packages. The paths of the
    /// packages.
    pub fn publish(&self, server: &Server, signer: &Signer) -> Vec<String> {
        self.publish_below(server, signer, "/debian")
    }

    pub fn publish_below(&self, server: &Server, signer: &Signer, archive: &str) -> Vec<String> {
        let mut list = String::new();
        for (path, (paragraph, bytes)) in &self.debs {
            let (size, sha256) = (bytes.len(), Digest::of(bytes).hex());
            list += &format!("{paragraph}Filename: {path}\nSize: {size}\nSHA256: {sha256}\n\n");
            server.file(&format!("{archive}/{path}"), bytes.clone());
        }
        let packages = xz(&list);
        let dists = format!("{archive}/dists/{}", self.codename);
        let signed = signer.sign(&release(&self.codename, FUTURE, &packages));
        server.page(&format!("{dists}/InRelease"), "text/plain", signed);
        server.file(&format!("{dists}/main/binary-amd64/Packages.xz"), packages);
        self.debs.keys().map(|path| format!("{archive}/{path}")).collect()
    }
}

/// A mirror with the three suites, their security updates left out.
pub struct Mirror {
    pub world: World,
    pub signer: Signer,
    pub bookworm: Suite,
}

impl Mirror {
    pub fn new() -> Self {
        let (world, signer, bookworm) = (World::plain(&[]), Signer::new(), Suite::new("bookworm", "3.11"));
        bookworm.publish(&world.index, &signer);
        Suite::new("trixie", "3.13").publish(&world.index, &signer);
        Suite::new("bullseye", "3.9").publish(&world.index, &signer);
        Self { world, signer, bookworm }
    }

    /// Runs a command without a base, on this mirror.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let (mirror, keyring) =
            (self.world.index.url("/debian"), self.signer.keyring().display().to_string());
        let own = ["--debian-mirror", mirror.as_str(), "--no-debian-security", "--debian-keyring", &keyring];
        run(&mut self.world.bare_command(&[arguments, &own].concat()))
    }

    /// Runs one that must succeed, and gives the report.
    pub fn succeed(&self, arguments: &[&str]) -> Value {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}\n{}", ran.stderr);
        ran.report
    }

    /// The mirror drops a package.
    pub fn drop(&self, name: &str) {
        let path = format!("/debian/{}", self.bookworm.path(name, "1.0-1"));
        self.world.index.route(&path, |_| Response::status(404));
    }

    /// The lock of the project's base.
    pub fn lock(&self) -> String {
        fs::read_to_string(self.world.project().join("bakehouse-base.toml")).unwrap()
    }
}
