//! Wheels into fragments, against the floor: what no program can leave out (inflate every entry, hash the tar and the
//! compressed bytes), done with the same libraries.
//!
//! ```text
//! BAKEHOUSE_BENCH_WHEELS=DIRECTORY cargo bench --bench splice
//! ```
//!
//! One line a wheel, and the total: seconds of both (the best of some alternating runs), their ratio, megabytes.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark's output is its purpose")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bakehouse::dist::{self, Archive, Inflater, Sink};
use bakehouse::layer::{Fragment, WheelInputs, build_fragment};
use bakehouse::model::{Hasher, WheelName};
use bakehouse::store::{Blob, Store};

const RUNS: usize = 5;

fn main() {
    let Ok(directory) = std::env::var("BAKEHOUSE_BENCH_WHEELS") else {
        println!("set BAKEHOUSE_BENCH_WHEELS to a directory of wheels");
        return;
    };
    let mut wheels: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .collect();
    wheels.sort();
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(scratch.path()).unwrap();
    println!("{:>8} {:>8} {:>6} {:>8} {:>8} {:>8}", "splice", "floor", "ratio", "wheel", "layer", "tar");
    let mut total = Row::default();
    for path in &wheels {
        let row = measure(&store, path);
        row.print(path.file_name().unwrap().to_str().unwrap());
        total.add(&row);
    }
    total.print("total");
}

#[derive(Default)]
struct Row {
    splice: Duration,
    floor: Duration,
    wheel: u64,
    layer: u64,
    tar: u64,
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.splice += other.splice;
        self.floor += other.floor;
        self.wheel += other.wheel;
        self.layer += other.layer;
        self.tar += other.tar;
    }

    fn print(&self, name: &str) {
        let (splice, floor) = (self.splice.as_secs_f64(), self.floor.as_secs_f64());
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        println!(
            "{splice:8.3} {floor:8.3} {:6.2} {:8.1} {:8.1} {:8.1}  {name}",
            splice / floor,
            megabytes(self.wheel),
            megabytes(self.layer),
            megabytes(self.tar),
        );
    }
}

fn measure(store: &Store, path: &Path) -> Row {
    let name: WheelName = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let mut writer = store.create_blob().unwrap();
    std::io::copy(&mut File::open(path).unwrap(), &mut writer).unwrap();
    let wheel = writer.finish(None).unwrap();
    let mut row = Row { splice: Duration::MAX, floor: Duration::MAX, wheel: wheel.size(), ..Row::default() };
    for _ in 0..RUNS {
        let start = Instant::now();
        let fragment = splice(store, &wheel, &name);
        row.splice = row.splice.min(start.elapsed());
        (row.layer, row.tar) = (fragment.size, fragment.uncompressed_size);
        let start = Instant::now();
        floor(path, fragment.size);
        row.floor = row.floor.min(start.elapsed());
    }
    row
}

fn splice(store: &Store, wheel: &Blob, name: &WheelName) -> Fragment {
    let python = "3.11".parse().unwrap();
    build_fragment(store, wheel, &WheelInputs { sha256: wheel.digest(), name, python, direct_url: None })
        .unwrap()
}

/// Inflates and hashes every entry, and hashes as many bytes as the fragment has.
fn floor(path: &Path, packed: u64) {
    let archive = Archive::open(File::open(path).unwrap(), "floor").unwrap();
    let mut sink = Floor(Hasher::default());
    let mut inflater = Inflater::default();
    for entry in archive.entries() {
        inflater.unpack(&archive, entry, &mut sink).unwrap();
    }
    let zeros = vec![0; 1 << 20];
    let mut left = usize::try_from(packed).unwrap();
    while left > 0 {
        let now = left.min(zeros.len());
        sink.0.update(&zeros[..now]);
        left -= now;
    }
    std::hint::black_box(sink.0.finish());
}

struct Floor(Hasher);

impl Sink for Floor {
    type Error = dist::Error;

    fn packed(&mut self, _: &[u8]) -> Result<(), dist::Error> {
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), dist::Error> {
        self.0.update(bytes);
        Ok(())
    }
}
