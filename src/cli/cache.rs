//! `bakehouse cache`: the local store.

use super::args::CacheCommand;
use super::output;
use crate::model::ExitCode;
use crate::store::Store;

/// Runs a `cache` command.
pub fn run(command: &CacheCommand) -> ExitCode {
    let CacheCommand::Info(arguments) = command;
    let directory = match arguments.directory() {
        Ok(directory) => directory,
        Err(message) => return output::usage(&message),
    };
    let (store, usage) =
        match Store::open(&directory).and_then(|store| store.usage().map(|usage| (store, usage))) {
            Ok(found) => found,
            Err(error) => return output::failure(&error, error.exit_code()),
        };
    let mut text = format!("{}\n", store.root().display());
    for (kind, files, bytes) in usage.kinds {
        text += &format!("{kind:<12} {files:>8} files {:>12}\n", output::size(bytes));
    }
    output::stdout(&text)
}
