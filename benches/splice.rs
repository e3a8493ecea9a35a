//! Wheels into fragments, against the floor: what no program can leave out (inflate every entry, hash the tar and the
//! compressed bytes), done with the same libraries.
//!
//! ```text
//! benches/fetch && cargo bench --bench splice
//! ```
//!
//! One line a wheel, and the total: seconds on one thread (medians of alternating runs), their ratio, megabytes, and how
//! these compare with `gzip -6` of the same tar, by the program and by zlib-rs. Then all wheels on one thread and on two,
//! against the floor of all on one; and on two against the floor on two, which tells what the machine gives. `BAKEHOUSE_BENCH_WHEELS` names another directory of wheels, `BAKEHOUSE_BENCH_RUNS` another number of runs.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark's output is its purpose")]

#[path = "support/floor.rs"]
mod floor;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bakehouse::dist::{Archive, Inflater};
use bakehouse::layer::{Compression, Fragment, WheelInputs, build_fragment};
use bakehouse::model::{Hasher, HashingWriter, WheelName};
use bakehouse::store::{Blob, Store};
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use floor::Floor;

/// A wheel in the store, with what was measured of it.
struct Wheel {
    path: PathBuf,
    name: WheelName,
    blob: Blob,
    splice: Vec<Duration>,
    floor: Vec<Duration>,
    layer: u64,
    tar: u64,
    gzip: u64,
    zlib_rs: u64,
    fragment: Option<Fragment>,
}

fn main() {
    let directory = std::env::var("BAKEHOUSE_BENCH_WHEELS").unwrap_or("target/bench/wheels".to_owned());
    let runs = std::env::var("BAKEHOUSE_BENCH_RUNS").map_or(5, |runs| runs.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(scratch.path()).unwrap();
    let mut wheels = wheels(&store, Path::new(&directory));
    if wheels.is_empty() {
        return println!("no wheels in {directory}: run benches/fetch");
    }

    let (mut one, mut two) = (Vec::new(), Vec::new());
    for wheel in &mut wheels {
        let fragment = splice(&store, wheel);
        (wheel.layer, wheel.tar) = (fragment.size, fragment.uncompressed_size);
        (wheel.gzip, wheel.zlib_rs) = (gzip(&store, &fragment), zlib_rs(&store, &fragment));
        wheel.fragment = Some(fragment);
    }
    let (mut floors, mut two_floors) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let mut sums = [Duration::ZERO; 2];
        for wheel in &mut wheels {
            forget(&store, wheel);
            let spliced = time(|| {
                splice(&store, wheel);
            });
            let floor = time(|| floor(wheel));
            sums = [sums[0] + spliced, sums[1] + floor];
            wheel.splice.push(spliced);
            wheel.floor.push(floor);
        }
        one.push(sums[0]);
        floors.push(sums[1]);
        wheels.iter().for_each(|wheel| forget(&store, wheel));
        two.push(time(|| {
            on_threads(2, &wheels, |wheel| {
                splice(&store, wheel);
            });
        }));
        two_floors.push(time(|| on_threads(2, &wheels, floor)));
    }

    println!(
        "{:>8} {:>8} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "splice", "floor", "ratio", "wheel", "layer", "tar", "gzip -6", "zlib-rs"
    );
    for wheel in &wheels {
        print(wheel.path.file_name().unwrap().to_str().unwrap(), &wheel.splice, &wheel.floor, &[wheel]);
    }
    let all: Vec<&Wheel> = wheels.iter().collect();
    print("all, one thread", &one, &floors, &all);
    print("all, two threads", &two, &floors, &all);
    print("all, two threads, against the floor on two", &two, &two_floors, &all);
}

/// The wheels of a directory, the largest first, as whoever uses several threads would have them.
fn wheels(store: &Store, directory: &Path) -> Vec<Wheel> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut wheels = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "whl") {
            let mut writer = store.create_blob().unwrap();
            io::copy(&mut File::open(&path).unwrap(), &mut writer).unwrap();
            wheels.push(Wheel {
                name: path.file_name().unwrap().to_str().unwrap().parse().unwrap(),
                blob: writer.finish(None).unwrap(),
                path,
                splice: Vec::new(),
                floor: Vec::new(),
                layer: 0,
                tar: 0,
                gzip: 0,
                zlib_rs: 0,
                fragment: None,
            });
        }
    }
    wheels.sort_by_key(|wheel| std::cmp::Reverse(wheel.blob.size()));
    wheels
}

fn print(name: &str, splice: &[Duration], floor: &[Duration], wheels: &[&Wheel]) {
    let (splice, floor) = (median(splice), median(floor));
    let sum = |of: fn(&Wheel) -> u64| wheels.iter().map(|wheel| of(wheel)).sum::<u64>() as f64;
    let layer = sum(|wheel| wheel.layer);
    let against = |other: f64| (layer / other - 1.0) * 100.0;
    println!(
        "{splice:8.3} {floor:8.3} {:6.2} {:8.1} {:8.1} {:8.1} {:+7.1}% {:+7.1}%  {name}",
        splice / floor,
        sum(|wheel| wheel.blob.size()) / 1e6,
        layer / 1e6,
        sum(|wheel| wheel.tar) / 1e6,
        against(sum(|wheel| wheel.gzip)),
        against(sum(|wheel| wheel.zlib_rs)),
    );
}

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn splice(store: &Store, wheel: &Wheel) -> Fragment {
    let python = "3.11".parse().unwrap();
    let sha256 = wheel.blob.digest();
    let name = &wheel.name;
    let compression = Compression::Gzip;
    build_fragment(store, &wheel.blob, &WheelInputs { sha256, name, python, direct_url: None, compression })
        .unwrap()
}

/// Takes a wheel's fragment out of the store, so that making it again does not also free the old one's pages.
fn forget(store: &Store, wheel: &Wheel) {
    if let Some(blob) = wheel.fragment.as_ref().and_then(|fragment| store.blob(&fragment.digest, None)) {
        fs::remove_file(blob.path()).unwrap();
    }
}

/// All wheels, each by whichever thread is free.
fn on_threads(threads: usize, wheels: &[Wheel], work: impl Fn(&Wheel) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(wheel) = wheels.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(wheel);
                }
            });
        }
    });
}

/// Inflates and hashes every entry, and hashes as many bytes as the fragment has.
fn floor(wheel: &Wheel) {
    let archive = Archive::open(File::open(&wheel.path).unwrap(), "floor").unwrap();
    let mut sink = Floor(Hasher::default());
    let mut inflater = Inflater::default();
    for entry in archive.entries() {
        inflater.unpack(&archive, entry, &mut sink).unwrap();
    }
    let zeros = vec![0; 1 << 20];
    let mut left = usize::try_from(wheel.layer).unwrap();
    while left > 0 {
        let now = left.min(zeros.len());
        sink.0.update(&zeros[..now]);
        left -= now;
    }
    std::hint::black_box(sink.0.finish());
}

/// How many bytes level 6 of zlib-rs makes of a fragment's tar: another program's idea of `gzip -6`, and a faster one.
fn zlib_rs(store: &Store, fragment: &Fragment) -> u64 {
    let file = store.blob(&fragment.digest, None).unwrap().open().unwrap();
    let mut tar = MultiGzDecoder::new(io::BufReader::new(file));
    let mut out = HashingWriter::new(io::sink());
    let mut encoder = GzEncoder::new(&mut out, flate2::Compression::new(6));
    io::copy(&mut tar, &mut encoder).unwrap();
    encoder.finish().unwrap();
    out.len()
}

/// How many bytes `gzip -6` makes of a fragment's tar.
fn gzip(store: &Store, fragment: &Fragment) -> u64 {
    let file = store.blob(&fragment.digest, None).unwrap().open().unwrap();
    let mut tar = MultiGzDecoder::new(io::BufReader::new(file));
    let mut gzip =
        Command::new("gzip").arg("-6").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (gzip.stdin.take().unwrap(), gzip.stdout.take().unwrap());
    let len = thread::scope(|scope| {
        scope.spawn(move || io::copy(&mut tar, &mut stdin).unwrap());
        let mut buffer = vec![0; 1 << 16];
        let mut len = 0;
        loop {
            match stdout.read(&mut buffer).unwrap() {
                0 => return len,
                n => len += n as u64,
            }
        }
    });
    gzip.wait().unwrap();
    len
}
