//! A cold build with push from the real Python index, beside the unavoidable done one after another.
//!
//! ```text
//! cargo bench --bench overlap
//! ```
//!
//! The unavoidable: bare parallel downloads of the wheels that the lock names, then inflating and hashing them on one thread,
//! with the same libraries, then one upload of as many bytes. The build does more, but all at once: it starts with a fresh
//! lock, an empty store and an empty repository, and its base is in the registry. Both in turn, 5 rounds
//! (`BAKEHOUSE_BENCH_RUNS` names another number); seconds, their medians, and the median of the ratios. Needs the Python
//! index, Debian's docker-registry and skopeo, and the base that `scripts/test` makes (`BAKEHOUSE_TEST_BASE` names another).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark's output is its purpose"
)]

#[path = "support/floor.rs"]
mod floor;
#[path = "../tests/support/registry.rs"]
mod registry;

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bakehouse::dist::{Archive, Inflater};
use bakehouse::model::{Digest, Hasher, HashingReader};
use bakehouse::net::Client;
use bakehouse::registry::{Credentials, Registries};
use floor::Floor;
use futures_util::{StreamExt, stream};
use registry::Registry;
use tempfile::TempDir;

const REQUIREMENTS: &str = "pandas==2.3.1\nscikit-learn==1.7.0\nfastapi==0.116.1\npyarrow==20.0.0\n";
/// Downloads at once; the program has as many.
const DOWNLOADS: usize = 8;

fn main() {
    let runs = std::env::var("BAKEHOUSE_BENCH_RUNS").map_or(5, |runs| runs.parse().unwrap());
    let (directory, registry) = (tempfile::tempdir().unwrap(), Registry::start());
    let base = format!("{}/base:latest", registry.address());
    let layout = std::env::var("BAKEHOUSE_TEST_BASE").unwrap_or_else(|_| "target/debian-bookworm".to_owned());
    let copy = ["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", &format!("oci:{layout}")];
    let copied = Command::new("skopeo").args(copy).arg(format!("docker://{base}")).status().unwrap();
    assert!(copied.success());
    let project = directory.path().join("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("requirements.txt"), REQUIREMENTS).unwrap();
    fs::write(project.join("app.py"), "print('hello')\n").unwrap();
    bakehouse(&[
        "lock",
        project.to_str().unwrap(),
        "--base",
        &base,
        "--cache-dir",
        &path(&directory, "lock"),
    ]);
    let urls = wheels(&project.join("pylock.toml"));
    let whole = Whole::download(&urls, &directory);

    let (mut unavoidable, mut build) = (Vec::new(), Vec::new());
    for round in 0..runs {
        let mut one = || {
            unavoidable.push(time(|| unavoidably(&urls, &whole, registry.address(), round, &directory)));
        };
        let mut other = || {
            let (push, store) = (format!("{}/build-{round}", registry.address()), path(&directory, "store"));
            let arguments = ["build", project.to_str().unwrap(), "--base", &base, "--push", &push];
            build.push(time(|| bakehouse(&[&arguments[..], &["--cache-dir", &store, "--locked"]].concat())));
            fs::remove_dir_all(store).unwrap();
        };
        if round % 2 == 0 {
            one();
            other();
        } else {
            other();
            one();
        }
        println!(
            "round {}: unavoidable {:.2} s, build {:.2} s",
            round + 1,
            unavoidable[round].as_secs_f64(),
            build[round].as_secs_f64()
        );
    }
    let ratios = build.iter().zip(&unavoidable).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64());
    println!(
        "{} wheels, {:.1} MB; medians: unavoidable {:.2} s, build {:.2} s, ratio {:.3}",
        urls.len(),
        whole.size as f64 / 1e6,
        median(unavoidable.iter().map(Duration::as_secs_f64)),
        median(build.iter().map(Duration::as_secs_f64)),
        median(ratios),
    );
}

fn path(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).to_str().unwrap().to_owned()
}

fn bakehouse(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_bakehouse")).args(arguments).arg("-q").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The URLs of a lock's wheels.
fn wheels(lock: &Path) -> Vec<String> {
    let lock: toml_edit::DocumentMut = fs::read_to_string(lock).unwrap().parse().unwrap();
    let packages = lock["packages"].as_array_of_tables().unwrap();
    let wheel = |package: &toml_edit::Table| package["wheels"][0]["url"].as_str().unwrap().to_owned();
    packages.iter().map(wheel).collect()
}

fn unavoidably(urls: &[String], whole: &Whole, registry: &str, round: usize, directory: &TempDir) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let files = download(&runtime, urls, directory);
    for file in &files {
        floor(file);
    }
    let registries = Registries::with_credentials(Client::new(false).unwrap(), false, Credentials::default());
    let repository = registries.repository(&format!("{registry}/unavoidable-{round}").parse().unwrap());
    let open = || Ok(Box::new(File::open(&whole.file)?) as Box<dyn Read + Send>);
    runtime.block_on(repository.push_blob(&whole.digest, whole.size, None, open)).unwrap();
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
}

fn download(runtime: &tokio::runtime::Runtime, urls: &[String], directory: &TempDir) -> Vec<PathBuf> {
    let client = Client::new(false).unwrap();
    let one = |url: &String| {
        let (client, url) = (client.clone(), url.parse::<url::Url>().unwrap());
        let file = directory.path().join(url.path_segments().unwrap().next_back().unwrap());
        async move {
            let mut answer = client.send_ok(client.request(reqwest::Method::GET, url)).await.unwrap();
            let mut out = File::create(&file).unwrap();
            while let Some(chunk) = answer.chunk().await.unwrap() {
                out.write_all(&chunk).unwrap();
            }
            file
        }
    };
    runtime.block_on(stream::iter(urls).map(one).buffer_unordered(DOWNLOADS).collect())
}

/// As many bytes as the wheels have, to upload.
struct Whole {
    file: PathBuf,
    digest: Digest,
    size: u64,
}

impl Whole {
    fn download(urls: &[String], directory: &TempDir) -> Self {
        let file = directory.path().join("whole");
        let mut out = File::create(&file).unwrap();
        for wheel in download(&tokio::runtime::Runtime::new().unwrap(), urls, directory) {
            io::copy(&mut File::open(wheel).unwrap(), &mut out).unwrap();
        }
        let mut reader = HashingReader::new(BufReader::new(File::open(&file).unwrap()));
        io::copy(&mut reader, &mut io::sink()).unwrap();
        let (_, digest, size) = reader.finish();
        Self { file, digest, size }
    }
}

/// Inflates and hashes every entry, and hashes the archive itself.
fn floor(file: &Path) {
    let archive = Archive::open(File::open(file).unwrap(), "floor").unwrap();
    let (mut sink, mut inflater) = (Floor(Hasher::default()), Inflater::default());
    for entry in archive.entries() {
        inflater.unpack(&archive, entry, &mut sink).unwrap();
    }
    let mut packed = HashingReader::new(BufReader::with_capacity(1 << 17, File::open(file).unwrap()));
    io::copy(&mut packed, &mut io::sink()).unwrap();
    std::hint::black_box((sink.0.finish(), packed.finish().1));
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
