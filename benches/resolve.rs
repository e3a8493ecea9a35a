//! How long resolving takes when everything is at hand: what remains is reading the store and solving.
//!
//! `cargo bench --bench resolve`: the first run records the real index in `target/bench/resolve` (pages and metadata, as a
//! lock does); from then on nothing but the record is used. `RECORD=1` records anew. Read the figures beside each other, not
//! beside those of another machine.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark reports and gives up"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bakehouse::index::{Index, Settings};
use bakehouse::model::{Origin, Requirement, Target};
use bakehouse::net::Client;
use bakehouse::resolve::{IndexSource, Options, Request, resolve};
use bakehouse::store::Store;

const ROUNDS: usize = 11;
const SETS: [(&str, &str); 3] = [
    ("transformers", "pandas scikit-learn fastapi torch transformers"),
    ("awscli", "boto3 botocore urllib3 awscli s3fs"),
    ("airflow", "apache-airflow[amazon,google,postgres,celery,cncf-kubernetes]"),
];

fn main() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/resolve");
    let recorded = directory.join("recorded");
    // A record that an earlier version of the store made is of no use.
    let is_usable = || SETS.iter().all(|(_, packages)| solve(&directory, packages, true).is_some());
    if std::env::var_os("RECORD").is_some() || !recorded.exists() || !is_usable() {
        let _ = fs::remove_dir_all(&directory);
        for (name, packages) in SETS {
            println!("recording {name}: {:?}", solve(&directory, packages, false).unwrap().1);
        }
        fs::write(&recorded, "").unwrap();
    }
    println!("{:14} {:>9} {:>12} {:>12}", "set", "packages", "median, ms", "least, ms");
    for (name, packages) in SETS {
        let mut times = Vec::new();
        let mut pins = 0;
        for _ in 0..ROUNDS {
            let (found, time) = solve(&directory, packages, true).unwrap();
            pins = found;
            times.push(time.as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!("{name:14} {pins:>9} {:>12.1} {:>12.1}", times[times.len() / 2], times[0]);
    }
}

/// Resolves as a new process would, with nothing but the store: the number of pins, and the time. Nothing where it fails.
fn solve(directory: &Path, packages: &str, offline: bool) -> Option<(usize, Duration)> {
    let origin = || Origin::file("SETS");
    let requirements: Vec<Requirement> =
        packages.split_whitespace().map(|text| Requirement::parse(text, origin()).unwrap()).collect();
    let target = Target {
        python: "3.11".parse().unwrap(),
        platform: "linux/amd64".parse().unwrap(),
        libc: "glibc-2.36".parse().unwrap(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let settings = Settings::default();
    let store = Arc::new(Store::open(directory).unwrap());
    let index = Index::new(settings, Client::new(offline).unwrap(), store).unwrap();
    let start = Instant::now();
    let source = IndexSource::new(index, runtime.handle().clone());
    let none = (BTreeMap::new(), BTreeMap::new());
    let request = Request {
        requirements: &requirements,
        constraints: &[],
        overrides: &[],
        target,
        preferences: &none.0,
        installed: &BTreeMap::new(),
        hashes: &none.1,
        options: Options::default(),
    };
    let resolution = resolve(&request, &source).ok()?;
    Some((resolution.pins.len(), start.elapsed()))
}
