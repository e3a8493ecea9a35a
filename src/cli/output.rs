//! What the program prints: the report on stdout, everything for people on stderr.

use std::error::Error as StdError;
use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use super::args::{Format, ReportArguments};
use super::plan;
use crate::bake::{Goal, ImageReport, LayerOrigin, LockStatus, Outcome, PackageReport, Report, Transfer};
use crate::model::ExitCode;

/// Log lines go to stderr, from warnings on, or as much as was asked for.
pub fn start_logging(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "bakehouse=info,warn",
        (_, 2) => "bakehouse=debug,warn",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("BAKEHOUSE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .with_ansi(std::io::stderr().is_terminal());
    let _ = subscriber.try_init();
}

/// Prints to stdout. A reader that went away is no failure.
pub fn stdout(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::Internal,
        _ => ExitCode::Done,
    }
}

fn stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Tells what is going on.
pub fn note(message: &str) {
    stderr(&format!("{message}\n"));
}

/// Reports wrong usage.
pub fn usage(message: &str) -> ExitCode {
    stderr(&format!("error: {message}\n\nFor the options, try `bakehouse --help`.\n"));
    ExitCode::Usage
}

/// Reports an interruption.
pub fn interrupted() -> ExitCode {
    stderr("interrupted: what is finished is kept, the next run goes on from there\n");
    ExitCode::Interrupted
}

/// Reports an error with its causes.
pub fn failure(error: &dyn StdError, code: ExitCode) -> ExitCode {
    stderr(&format!("error: {}\n", crate::bake::with_causes(error)));
    code
}

/// A number of bytes for people.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Prints the report and what failed, and gives the exit code.
pub fn outcome(outcome: &Outcome, goal: Goal, arguments: &ReportArguments, quiet: bool) -> ExitCode {
    let report = &outcome.report;
    let mut code = outcome.exit_code();
    if let Some(path) = &arguments.metadata_file
        && let Err(error) = report.write_json(path)
    {
        stderr(&format!("error: cannot write {}: {error}\n", path.display()));
        code = if code == ExitCode::Done { ExitCode::Internal } else { code.min(ExitCode::Internal) };
    }
    if !quiet {
        for warning in &report.warnings {
            let place = match (&warning.file, warning.line) {
                (Some(file), Some(line)) => format!("{file}:{line}: "),
                (Some(file), None) => format!("{file}: "),
                _ => String::new(),
            };
            stderr(&format!("warning: {place}{}\n", warning.message));
        }
    }
    let printed = match arguments.format {
        Format::Json => match report.to_json() {
            Ok(json) => stdout(&(json + "\n")),
            Err(error) => failure(&error, ExitCode::Internal),
        },
        Format::Text if goal == Goal::Plan => stdout(&plan::images(report)),
        Format::Text if goal == Goal::Environments => stdout(&plan::environments(report)),
        Format::Text if goal == Goal::Files => stdout(&plan::files(report)),
        Format::Text => {
            if !quiet {
                stderr(&summary(report, goal));
            }
            let references: String =
                report.images.iter().filter_map(|i| i.reference.as_ref()).map(|r| format!("{r}\n")).collect();
            stdout(&references)
        }
    };
    for error in &report.errors {
        stderr(&format!("error: {}\n", error.message));
        if let Some(hint) = &error.hint {
            stderr(&format!("  hint: {hint}\n"));
        }
    }
    if code == ExitCode::Done { printed } else { code }
}

/// What a run did, in a few lines.
fn summary(report: &Report, goal: Goal) -> String {
    let mut text = String::new();
    for lock in &report.locks {
        let status = match lock.status {
            LockStatus::Fresh => "fresh",
            LockStatus::Written => "written",
            LockStatus::Unchanged => "unchanged",
            LockStatus::Foreign => "used as it is",
        };
        text += &format!("lock   {} ({} packages): {status}\n", lock.path, lock.packages);
    }
    for image in &report.images {
        for platform in &image.platforms {
            let (mut built, mut moved) = (0, 0);
            for layer in &platform.layers {
                built += u32::from(layer.origin == Some(LayerOrigin::Built));
                moved += if layer.transfer == Transfer::Uploaded { layer.size.unwrap_or(0) } else { 0 };
            }
            let total: u64 = platform.layers.iter().filter_map(|layer| layer.size).sum();
            let place = image.reference.clone().or_else(|| image.digest.clone()).unwrap_or_default();
            text += &format!(
                "image  {} {}: {} layers ({built} built), {}, {} moved\n       {place}\n",
                title(report, image),
                platform.platform,
                platform.layers.len(),
                size(total),
                size(moved),
            );
            text += &of_base(&platform.base_packages);
        }
    }
    if goal == Goal::Build && report.errors.is_empty() {
        text += &format!(
            "done in {:.2} s: {} from indexes, {} of distributions, {} of bases, {} delivered\n",
            report.timings.total_ms as f64 / 1000.0,
            size(report.transfer.index_bytes),
            size(report.transfer.distribution_bytes),
            size(report.transfer.base_bytes),
            size(report.transfer.uploaded_bytes),
        );
        if !report.images.is_empty() && report.images.iter().all(|image| image.tags.is_empty()) {
            text += "the images are in the store only: --push PREFIX or --output oci:DIR delivers them\n";
        }
    }
    text
}

/// What an environment takes of its base, on a line.
fn of_base(packages: &[PackageReport]) -> String {
    if packages.is_empty() {
        return String::new();
    }
    let packages: Vec<_> = packages.iter().map(|one| format!("{} {}", one.name, one.version)).collect();
    format!("       of the base: {}\n", packages.join(", "))
}

/// An image by its component, and the steps that run in it.
pub fn title(report: &Report, image: &ImageReport) -> String {
    let mut name = format!("{}/{}", image.kind, image.component);
    if image.project != report.project {
        name = format!("{name} of {}", image.project);
    }
    if image.steps.is_empty() { name } else { format!("{name} (steps {})", image.steps.join(", ")) }
}
