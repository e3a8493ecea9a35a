//! The commands: arguments in, report out, progress.

mod args;
mod cache;
mod configuration;
mod output;
mod plan;
mod progress;
mod resolving;

use std::process::ExitCode as ProcessCode;

use clap::Parser;

use crate::bake::{self, Goal};
use crate::model::ExitCode;
use args::{Arguments, Command};

/// Runs the program and gives its exit code.
pub fn main() -> ProcessCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no failure, and go to stdout.
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Done };
            let _ = error.print();
            return code.into();
        }
    };
    output::start_logging(arguments.verbose, arguments.quiet);
    run(&arguments).into()
}

fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.command {
        Command::Build(build) => match build.options() {
            Ok(options) => bake(arguments, options, Goal::Build, &build.report),
            Err(message) => output::usage(&message),
        },
        Command::Plan(plan) => match plan.build.options() {
            Ok(options) => {
                let goal = match (plan.files, plan.environments) {
                    (true, _) => Goal::Files,
                    (_, true) => Goal::Environments,
                    _ => Goal::Plan,
                };
                bake(arguments, options, goal, &plan.build.report)
            }
            Err(message) => output::usage(&message),
        },
        Command::Lock(lock) => match lock.options() {
            Ok(options) => {
                bake(arguments, options, if lock.check { Goal::CheckLocks } else { Goal::Lock }, &lock.report)
            }
            Err(message) => output::usage(&message),
        },
        Command::Cache { command } => cache::run(command),
    }
}

/// Runs the pipeline in an async runtime, until it is done or the user interrupts it.
fn bake(
    arguments: &Arguments,
    options: bake::Options,
    goal: Goal,
    report: &args::ReportArguments,
) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::failure(&error, ExitCode::Internal),
    };
    let progress = progress::Display::new(arguments.quiet);
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = bake::run(&options, goal, &progress) => Some(outcome),
            () = interrupted() => None,
        }
    });
    progress.finish();
    // Work on blocking threads may still be under way; what it leaves behind is temporary files that the next run sweeps.
    runtime.shutdown_background();
    match outcome {
        Some(outcome) => output::outcome(&outcome, goal, report, arguments.quiet),
        None => output::interrupted(),
    }
}

/// Waits for Ctrl-C or the signal by which a CI system ends a job.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
