//! Memory does not grow with a distribution's size.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/bakery.rs"]
mod bakery;
#[path = "support/http.rs"]
mod http;
#[path = "support/wheel.rs"]
mod wheel;

use std::process::Stdio;

use bakery::World;
use wheel::WheelBuilder;

/// The most that the process may ever have resident.
const LIMIT: u64 = 150 * 1024 * 1024;

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
    let mut child = world.command(&["build", "--output", &layout]).stdout(Stdio::null()).spawn().unwrap();
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
    assert!(child.wait().unwrap().success());
    assert!(peak > 0 && peak < LIMIT, "{} MiB", peak >> 20);
}
