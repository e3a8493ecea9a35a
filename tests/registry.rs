//! Pushing to and pulling from a real registry, and what other tools make of the result.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/registry.rs"]
mod support;

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::LazyLock;

use bakehouse::image::{Base, Image, ImageSpec, Layer, MediaType, compose};
use bakehouse::model::{Digest, ExitCode, Hasher, Platform};
use bakehouse::net::Client;
use bakehouse::registry::{Credentials, Error, Layout, Login, Pushed, Registries, Repository};
use bakehouse::store::Store;
use support::{PASSWORD, Registry, USER, docker_config};

type Source = Box<dyn Read + Send>;

fn registries(credentials: Credentials) -> Registries {
    Registries::with_credentials(Client::new(false).unwrap(), false, credentials)
}

fn anonymous() -> Registries {
    registries(Credentials::default())
}

fn repository(registries: &Registries, registry: &Registry, name: &str) -> Repository {
    registries.repository(&format!("{}/{name}", registry.address()).parse().unwrap())
}

fn source(bytes: &'static [u8]) -> impl FnMut() -> io::Result<Source> + Send {
    move || Ok(Box::new(bytes) as Source)
}

async fn push(repository: &Repository, bytes: &'static [u8], from: Option<&Repository>) -> Pushed {
    let size = bytes.len() as u64;
    repository.push_blob(&Digest::of(bytes), size, from, source(bytes)).await.unwrap()
}

/// An empty tar archive is a layer, too.
const TAR: &[u8] = &[0; 1024];

/// The same, compressed: other tools would compress it on the way.
static LAYER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut gzip = Vec::new();
    flate2::read::GzEncoder::new(TAR, flate2::Compression::fast()).read_to_end(&mut gzip).unwrap();
    gzip
});

/// A little image: one layer, one label.
fn image() -> Image {
    let layer = Layer {
        digest: Digest::of(&LAYER),
        diff_id: Digest::of(TAR),
        size: LAYER.len() as u64,
        media_type: MediaType::ImageLayerGzip,
        created_by: "code".into(),
        annotations: None,
    };
    let (platform, layers) = (Platform::host(), [layer]);
    let base = Base::scratch(platform);
    let mut spec = ImageSpec::new(&base, platform, &layers);
    spec.labels.insert("flavour".into(), "rye".into());
    compose(&spec).unwrap()
}

async fn push_image(repository: &Repository, image: &Image, tag: &str) {
    push(repository, &LAYER, None).await;
    let config = image.config.bytes.clone();
    let open = move || Ok(Box::new(io::Cursor::new(config.clone())) as Source);
    repository.push_blob(&image.config.digest, image.config.size(), None, open).await.unwrap();
    let manifest = &image.manifest;
    let digest = repository.push_manifest(tag, manifest.media_type.as_ref(), &manifest.bytes).await.unwrap();
    assert_eq!(digest, manifest.digest);
}

/// Runs skopeo and gives what it prints.
fn skopeo(arguments: &[&str]) -> String {
    let output = Command::new("skopeo").args(arguments).output().expect("skopeo is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn an_image_comes_back_as_it_was_pushed() {
    let (registry, registries) = (Registry::start(), anonymous());
    let repository = repository(&registries, &registry, "team/app");
    assert_eq!(repository.manifest("v1").await.unwrap(), None);
    let image = image();
    push_image(&repository, &image, "v1").await;

    for reference in ["v1", &image.manifest.digest.to_string()] {
        let manifest = repository.manifest(reference).await.unwrap().unwrap();
        assert_eq!(manifest.bytes, image.manifest.bytes);
        assert_eq!(manifest.digest, image.manifest.digest);
        assert!(!manifest.is_index());
    }
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let (digest, size) = (Digest::of(&LAYER), LAYER.len() as u64);
    let blob = repository.pull_blob(&store, &digest, size).await.unwrap();
    assert_eq!(fs::read(blob.path()).unwrap(), *LAYER);
    let requests = registries.counters().requests();
    repository.pull_blob(&store, &digest, size).await.unwrap();
    assert_eq!(registries.counters().requests(), requests, "what is in the store is not pulled again");

    let reference = format!("docker://{}/team/app:v1", registry.address());
    let inspected = skopeo(&["inspect", "--tls-verify=false", &reference]);
    assert!(
        inspected.contains(&image.manifest.digest.to_string()) && inspected.contains("rye"),
        "{inspected}"
    );
}

#[tokio::test]
async fn what_is_there_is_not_sent_again() {
    let (registry, registries) = (Registry::start(), anonymous());
    let repository = repository(&registries, &registry, "app");
    assert_eq!(push(&repository, b"crumbs", None).await, Pushed::Uploaded);
    assert_eq!(registries.counters().sent(), 6);
    let requests = registries.counters().requests();
    assert_eq!(push(&repository, b"crumbs", None).await, Pushed::Present);
    assert_eq!(registries.counters().requests(), requests, "it is known to be there");

    let later = anonymous();
    let repository = self::repository(&later, &registry, "app");
    assert_eq!(push(&repository, b"crumbs", None).await, Pushed::Present);
    assert_eq!(later.counters().sent(), 0);
    assert!(!repository.has_blob(&Digest::of(b"other")).await.unwrap());
}

#[tokio::test]
async fn a_blob_is_mounted_from_a_neighbour() {
    let (registry, registries) = (Registry::start(), anonymous());
    let base = repository(&registries, &registry, "base/python");
    push(&base, b"a base layer", None).await;
    let sent = registries.counters().sent();
    let digest = Digest::of(b"a base layer");

    let app = repository(&registries, &registry, "team/app");
    assert_eq!(push(&app, b"a base layer", Some(&base)).await, Pushed::Mounted);
    let other = repository(&registries, &registry, "team/other");
    assert!(other.mount_blob(&digest, &base).await.unwrap());
    assert!(other.has_blob(&digest).await.unwrap());
    assert_eq!(registries.counters().sent(), sent);

    // What the neighbour does not have is sent after all.
    assert!(!app.mount_blob(&Digest::of(b"new"), &base).await.unwrap());
    assert_eq!(push(&app, b"new", Some(&base)).await, Pushed::Uploaded);
}

#[tokio::test]
async fn a_password_from_dockers_configuration_logs_in() {
    let registry = Registry::start_with_login();
    let directory = tempfile::tempdir().unwrap();
    let login = |user: &str, password: &str| {
        let file = docker_config(directory.path(), registry.address(), user, password);
        registries(Credentials::from_files([file]))
    };
    let image = image();
    push_image(&repository(&login(USER, PASSWORD), &registry, "app"), &image, "v1").await;

    let refused = |error: Error, expected: Login| {
        assert_eq!(error.exit_code(), ExitCode::Registry);
        let (message, hint) = (error.to_string(), error.hint().unwrap());
        assert!(matches!(&error, Error::Denied { login, .. } if *login == expected), "{error:?}");
        assert!(message.contains(&format!("{}/app", registry.address())), "{message}");
        assert!(hint.contains("docker login") && hint.contains("repository:app:pull"), "{hint}");
        assert!(!format!("{error:?}{message}{hint}").contains("wrong"), "no password is shown");
    };
    let wrong = login(USER, "wrong");
    let wrong = repository(&wrong, &registry, "app");
    refused(wrong.manifest("v1").await.unwrap_err(), Login::Sent);
    let error = wrong.push_blob(&Digest::of(b"x"), 1, None, source(b"x")).await.unwrap_err();
    refused(error, Login::Sent);
    refused(repository(&anonymous(), &registry, "app").manifest("v1").await.unwrap_err(), Login::Missing);
}

/// The environment of a process belongs to all its tests, so this one runs in a process of its own.
#[test]
fn a_credential_helper_is_found_through_the_environment() {
    let registry = Registry::start_with_login();
    let directory = tempfile::tempdir().unwrap();
    let helper = directory.path().join("docker-credential-pantry");
    let script = format!(
        "#!/bin/sh\nread server\n[ \"$server\" = {} ] || {{ echo 'credentials not found in native keychain'; exit 1; }}\necho '{{\"ServerURL\": \"\", \"Username\": \"{USER}\", \"Secret\": \"{PASSWORD}\"}}'\n",
        registry.address()
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(directory.path().join("config.json"), r#"{"credsStore": "pantry"}"#).unwrap();
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pushes_with_credentials_of_the_environment", "--ignored"])
        .env("PATH", path)
        .env("DOCKER_CONFIG", directory.path())
        .env_remove("REGISTRY_AUTH_FILE")
        .env("TEST_REGISTRY", registry.address())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

#[tokio::test]
#[ignore = "run by another test, with an environment made for it"]
async fn pushes_with_credentials_of_the_environment() {
    let registry = std::env::var("TEST_REGISTRY").unwrap();
    let registries = Registries::new(Client::new(false).unwrap(), false);
    let repository = registries.repository(&format!("{registry}/app").parse().unwrap());
    assert_eq!(push(&repository, b"bread", None).await, Pushed::Uploaded);
}

/// Bytes that do not repeat soon, made as they are read.
struct Dough(u64);

impl Read for Dough {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in buffer.iter_mut() {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (self.0 >> 56) as u8;
        }
        Ok(buffer.len())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_big_blob_streams_both_ways() {
    const SIZE: u64 = 64 * 1024 * 1024 + 17;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1024 * 1024];
    let mut dough = Dough(1).take(SIZE);
    while let n @ 1.. = dough.read(&mut buffer).unwrap() {
        hasher.update(&buffer[..n]);
    }
    let digest = hasher.finish();
    let (registry, registries) = (Registry::start(), anonymous());
    let repository = repository(&registries, &registry, "big");
    let open = || Ok(Box::new(Dough(1).take(SIZE)) as Source);
    assert_eq!(repository.push_blob(&digest, SIZE, None, open).await.unwrap(), Pushed::Uploaded);
    assert_eq!(registries.counters().sent(), SIZE);

    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let pulled = anonymous();
    let blob = self::repository(&pulled, &registry, "big").pull_blob(&store, &digest, SIZE).await.unwrap();
    assert_eq!((blob.size(), *blob.digest()), (SIZE, digest));
    assert_eq!(pulled.counters().received() / SIZE, 1);
}

#[tokio::test]
async fn a_source_that_is_not_what_was_announced_is_refused() {
    let (registry, registries) = (Registry::start(), anonymous());
    let repository = repository(&registries, &registry, "app");
    let push = |size, bytes| repository.push_blob(&HELLO, size, None, source(bytes));
    static HELLO: LazyLock<Digest> = LazyLock::new(|| Digest::of(b"hello"));
    for (size, bytes) in [(5, b"hell".as_slice()), (5, b"hello!"), (6, b"hello")] {
        let error = push(size, bytes).await.unwrap_err();
        assert!(matches!(error, Error::Source { .. }), "{error:?}");
    }
    let error = push(5, b"jello").await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Integrity, "the registry checks the digest: {error:?}");
    assert!(!repository.has_blob(&HELLO).await.unwrap());
    let error = repository.push_manifest(&HELLO.to_string(), "a/b", b"{}").await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Integrity);
    let error = repository.push_manifest("v1", "application/vnd.oci.image.manifest.v1+json", b"{").await;
    assert!(matches!(error, Err(Error::Refused { .. })), "{error:?}");
}

#[tokio::test]
async fn plain_http_needs_a_flag_but_for_loopback_addresses() {
    let registry = Registry::start();
    // An address of this machine that is not of the loopback network.
    let reference = registry.address().replace("127.0.0.1", "0.0.0.0");
    let reference = format!("{reference}/app").parse().unwrap();
    let registries = |plain_http| {
        Registries::with_credentials(Client::new(false).unwrap(), plain_http, Credentials::default())
    };
    let error = registries(false).repository(&reference).manifest("v1").await.unwrap_err();
    assert!(error.hint().unwrap().contains("--plain-http"), "{error:?}");
    assert_eq!(registries(true).repository(&reference).manifest("v1").await.unwrap(), None);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_an_error_with_its_name() {
    let registries = anonymous();
    let gone = Registry::start().address().to_owned();
    let error =
        registries.repository(&format!("{gone}/app").parse().unwrap()).manifest("v1").await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Registry);
    assert!(error.to_string().contains(&gone), "{error}");
}

#[tokio::test]
async fn a_layout_goes_to_a_registry_and_back_with_other_tools() {
    let (registry, registries) = (Registry::start(), anonymous());
    let directory = tempfile::tempdir().unwrap();
    let image = image();
    let path = directory.path().join("ours");
    let layout = Layout::create(&path).unwrap();
    for (digest, mut bytes) in [
        (Digest::of(&LAYER), LAYER.as_slice()),
        (image.config.digest, &image.config.bytes),
        (image.manifest.digest, &image.manifest.bytes),
    ] {
        layout.put_blob(&digest, bytes.len() as u64, &mut bytes).unwrap();
    }
    layout.tag(&image.descriptor(), "app:v1").unwrap();

    let docker = format!("docker://{}/app:v1", registry.address());
    let ours = format!("oci:{}:app:v1", path.display());
    skopeo(&["copy", "--quiet", "--dest-tls-verify=false", &ours, &docker]);
    let pulled = repository(&registries, &registry, "app").manifest("v1").await.unwrap().unwrap();
    assert_eq!(pulled.digest, image.manifest.digest);

    let theirs = directory.path().join("theirs");
    skopeo(&["copy", "--quiet", "--src-tls-verify=false", &docker, &format!("oci:{}:x", theirs.display())]);
    let theirs = Layout::open(&theirs).unwrap();
    assert_eq!(theirs.manifest(Some("x")).unwrap().digest, image.manifest.digest);
    assert_eq!(theirs.manifest(None).unwrap().bytes, image.manifest.bytes);

    let bundle = directory.path().join("bundle");
    layout.tag(&image.descriptor(), "v1").unwrap();
    let unpack = ["unpack", "--rootless", "--image", &format!("{}:v1", path.display())];
    let output = Command::new("umoci").args(unpack).arg(&bundle).output().expect("umoci is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(bundle.join("rootfs").is_dir(), "umoci checks the diff IDs");
}
