//! `bakehouse cache`: the local store.

use std::path::Path;
use std::time::Duration;

use super::args::{CacheArguments, CacheCommand};
use super::output;
use crate::model::ExitCode;
use crate::store::{Error, Removed, Store, StoreAlone};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs a `cache` command.
pub fn run(command: &CacheCommand) -> ExitCode {
    let arguments: &CacheArguments = match command {
        CacheCommand::Info(arguments) | CacheCommand::Clean(arguments) => arguments,
        CacheCommand::Prune(prune) => &prune.cache,
    };
    let directory = match arguments.directory() {
        Ok(directory) => directory,
        Err(message) => return output::usage(&message),
    };
    let text = match command {
        CacheCommand::Info(_) => info(&directory),
        CacheCommand::Prune(prune) => {
            let unused = DAY.saturating_mul(prune.unused_for);
            alone(&directory).and_then(|store| store.prune(unused)).map(|removed| told(&removed))
        }
        CacheCommand::Clean(_) => {
            alone(&directory).and_then(|store| store.clean()).map(|removed| told(&removed))
        }
    };
    match text {
        Ok(text) => output::stdout(&text),
        Err(error) => output::failure(&error, error.exit_code()),
    }
}

fn info(directory: &Path) -> Result<String, Error> {
    let store = Store::open(directory)?;
    let usage = store.usage()?;
    let mut text = format!("{}\n", store.root().display());
    let (mut files, mut bytes) = (0, 0);
    for (kind, of_kind, size) in &usage.kinds {
        text += &line(kind, *of_kind, *size);
        files += of_kind;
        bytes += size;
    }
    Ok(text + &line("in all", files, bytes))
}

fn line(kind: &str, files: u64, bytes: u64) -> String {
    format!("{kind:<16} {files:>8} files {:>12}\n", output::size(bytes))
}

fn alone(directory: &Path) -> Result<StoreAlone, Error> {
    StoreAlone::open(directory, || output::note("waiting for the runs that use the store"))
}

fn told(removed: &Removed) -> String {
    format!("removed {} files, {}\n", removed.files, output::size(removed.bytes))
}
