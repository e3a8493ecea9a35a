//! Memory does not grow with a distribution's size.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use bakehouse::model::Digest;
use bakery::{LIBC, PYTHON, World, write_layout};
use serde_json::{Value, json};
use wheel::WheelBuilder;

/// The most that the process may ever have resident.
const LIMIT: u64 = 150 * 1024 * 1024;
/// The same while it looks into a base: a Zstandard frame may want a window of 128 MiB.
const BASE_LIMIT: u64 = 200 * 1024 * 1024;

/// Bytes that do not compress: a xorshift generator's.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[test]
#[ignore = "bakes 500 MB"]
fn a_wheel_of_500_megabytes_is_baked_in_150_mebibytes() {
    let mut world = World::plain(&["huge"]);
    let wheel = WheelBuilder::new("huge", "1.0")
        .file("huge/weights.bin", noise(400 << 20, 1))
        .file("huge/more.bin", noise(100 << 20, 2))
        .build();
    assert!(wheel.bytes.len() > 500 << 20);
    world.publish(wheel);
    let layout = format!("oci:{}", world.path("out").display());
    let (code, peak) = peak(world.command(&["build", "--output", &layout]));
    assert_eq!(code, Some(0));
    assert!(peak > 0 && peak < LIMIT, "{} MiB", peak >> 20);
}

/// Runs a program; gives its exit code and the most that it ever had resident.
fn peak(mut command: Command) -> (Option<i32>, u64) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The kernel keeps the peak as long as the process lives; what is read last before it ends is near enough to it,
    // since writing the layer out is the last thing that it does.
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0) * 1024);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    (child.wait().unwrap().code(), peak)
}

/// A layout whose only layer is `bytes`, packed as `suffix` says, of a tar that nobody has seen.
fn bomb(path: &Path, bytes: &[u8], suffix: &str) -> String {
    write_layout(path, &[PYTHON, LIBC]);
    let blobs = path.join("blobs/sha256");
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        (json!(digest), json!(bytes.len()))
    };
    let mut index: Value = serde_json::from_slice(&fs::read(path.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().replace("sha256:", "");
    let mut manifest: Value = serde_json::from_slice(&fs::read(blobs.join(digest)).unwrap()).unwrap();
    let layer = &mut manifest["layers"][0];
    (layer["digest"], layer["size"]) = put(bytes);
    layer["mediaType"] = format!("application/vnd.oci.image.layer.v1.tar+{suffix}").into();
    let (digest, size) = put(manifest.to_string().as_bytes());
    (index["manifests"][0]["digest"], index["manifests"][0]["size"]) = (digest, size);
    fs::write(path.join("index.json"), index.to_string()).unwrap();
    format!("oci:{}", path.display())
}

#[test]
#[ignore = "unpacks gigabytes of nothing"]
fn a_base_that_is_a_bomb_is_refused_in_200_mebibytes() {
    let world = World::plain(&[]);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    // Two gigabytes of zeros, in many members and in one frame.
    let zeros = vec![0; 8 << 20];
    let member = gzip(&zeros);
    let members = member.repeat(250);
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.window_log(27).unwrap();
    (0..250).for_each(|_| encoder.write_all(&zeros).unwrap());
    let frame = encoder.finish().unwrap();
    // Files without end, each with a name of its own and a link that says nothing.
    let mut many = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for number in 0..800_000_u32 {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_path(Digest::of(&number.to_le_bytes()).hex()).unwrap();
        header.set_link_name(Digest::of(&number.to_be_bytes()).hex()).unwrap();
        header.set_size(0);
        header.set_cksum();
        many.write_all(header.as_bytes()).unwrap();
    }
    let many = many.finish().unwrap();
    for (name, bytes, suffix) in
        [("gzip", &members, "gzip"), ("zstd", &frame, "zstd"), ("many", &many, "gzip")]
    {
        let base = bomb(&world.path(name), bytes, suffix);
        let (code, peak) = peak(world.command(&["build", "--base", &base]));
        println!("{name}: {} MiB at most for {} bytes", peak >> 20, bytes.len());
        assert_eq!(code, Some(30), "{name}");
        assert!(peak < BASE_LIMIT, "{name}: {} MiB", peak >> 20);
    }
}
