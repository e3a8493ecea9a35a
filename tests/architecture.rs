//! The rooms of the house: a module uses those below it, never those above.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Top to bottom.
const ROOMS: [&str; 15] = [
    "cli", "bake", "project", "build", "resolve", "lock", "index", "base", "image", "layer", "dist",
    "registry", "store", "net", "model",
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_room_uses_one_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (height, room) in ROOMS.iter().enumerate() {
        for path in files(&source.join(room)) {
            if path.extension().is_none_or(|end| end != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for above in &ROOMS[..height] {
                for (number, line) in text.lines().enumerate() {
                    let code = line.split("//").next().unwrap_or_default();
                    assert!(
                        !code.contains(&format!("crate::{above}::"))
                            && !code.contains(&format!("crate::{above};")),
                        "{}:{}: `{room}` uses `{above}`, which is above it",
                        path.display(),
                        number + 1
                    );
                }
            }
        }
    }
}

#[test]
fn every_room_is_known() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            assert!(ROOMS.contains(&name.as_str()), "`{name}` has no place in the house");
        }
    }
}
