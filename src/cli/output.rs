//! What the program prints: the report on stdout, everything for people on stderr.

use std::error::Error as StdError;
use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use super::args::{Format, ReportArguments};
use crate::bake::{
    CodeLayer, Goal, ImageReport, LayerOrigin, LockStatus, OriginReport, Outcome, PackageReport, Report,
    Role, Transfer,
};
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
        Format::Text if goal == Goal::Plan => stdout(&plan(report)),
        Format::Text if goal == Goal::Environments => stdout(&environments(report)),
        Format::Text if goal == Goal::Files => stdout(&files(report)),
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
fn title(report: &Report, image: &ImageReport) -> String {
    let mut name = format!("{}/{}", image.kind, image.component);
    if image.project != report.project {
        name = format!("{name} of {}", image.project);
    }
    if image.steps.is_empty() { name } else { format!("{name} (steps {})", image.steps.join(", ")) }
}

/// What the project's files ask for, for people.
fn environments(report: &Report) -> String {
    let mut text = format!("project {}\n", report.project);
    for component in &report.components {
        for request in &component.environments {
            text += &format!("\n{}/{}", component.kind, component.component);
            if !request.steps.is_empty() {
                text += &format!(" (steps {})", request.steps.join(", "));
            }
            text += ":\n";
            text += &origins(&request.origins);
        }
    }
    text
}

/// The files of the code layers, and what is left out.
fn files(report: &Report) -> String {
    let mut text = format!("project {}\n", report.project);
    for code in report.code.iter().flatten() {
        text += &format!(
            "\ncode of {}/{}: {} files, {}\n",
            code.kind,
            code.component,
            code.files.len(),
            size(code.size)
        );
        for file in &code.files {
            let bytes = file.size.map(size).unwrap_or_default();
            let link = file.link.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
            let layer = match file.layer {
                CodeLayer::Shared => "shared",
                CodeLayer::Own => "own",
            };
            text += &format!("  {layer:<6} {bytes:>9}  /{}{link}\n", file.path);
        }
        for library in &code.libraries {
            text += &format!("  library {} from {} ({})\n", library.name, library.path, library.origin);
        }
        if !code.left_out.is_empty() {
            text += "  left out:\n";
        }
        let width = code.left_out.iter().map(|out| out.path.chars().count()).max().unwrap_or(0).min(60);
        for out in &code.left_out {
            text += &format!("    {:<width$}  {}\n", out.path, out.message);
        }
    }
    text
}

/// Requirements, and where they are stated.
fn origins(origins: &[OriginReport]) -> String {
    let width = origins.iter().map(|o| o.requirement.chars().count()).max().unwrap_or(0).min(60);
    let lines = origins.iter().map(|OriginReport { requirement, file, line }| {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("  {requirement:<width$}  {file}{line}\n")
    });
    lines.collect()
}

/// A plan for people.
fn plan(report: &Report) -> String {
    let mut text = format!("project {}\n", report.project);
    for environment in &report.environments {
        text += &format!(
            "\nenvironment {} ({}), for {}\n",
            environment.id,
            match (environment.kind, environment.python.as_str()) {
                ("conda", "") => "conda".to_owned(),
                ("conda", python) => format!("conda, Python {python}"),
                (_, python) => format!("Python {python}"),
            },
            environment.components.join(", ")
        );
        if !environment.channels.is_empty() {
            text += &format!("  channels {}\n", environment.channels.join(", "));
        }
        text += &origins(&environment.origins);
    }
    for image in &report.images {
        text += &format!("\nimage {}, environment {}\n", title(report, image), image.environment);
        for platform in &image.platforms {
            text += &format!("  {}\n", platform.platform);
            for layer in &platform.layers {
                let role = match layer.role {
                    Role::Base => "base",
                    Role::Interpreter => "interpreter",
                    Role::Environment => "environment",
                    Role::Code => "code",
                };
                let origin = match layer.origin {
                    Some(LayerOrigin::Base) => "from the base",
                    Some(LayerOrigin::Store) => "in the store",
                    Some(LayerOrigin::Registry) => "in the registry",
                    Some(LayerOrigin::Built) | None => "to build",
                };
                let transfer = match layer.transfer {
                    Transfer::Uploaded => "to send",
                    Transfer::Mounted => "to mount",
                    Transfer::Present => "present",
                    Transfer::None => "",
                };
                let bytes = match (layer.size, layer.estimated_size) {
                    (Some(bytes), _) => size(bytes),
                    (None, Some(bytes)) => format!("about {}", size(bytes)),
                    _ => String::new(),
                };
                let packages: Vec<String> = layer
                    .packages
                    .iter()
                    .map(|package| format!("{} {}", package.name, package.version))
                    .collect();
                let packages = packages.join(", ");
                text += &format!("    {role:<12} {origin:<15} {transfer:<8} {bytes:>15}  {packages}\n");
            }
        }
    }
    if let Some(planned) = &report.planned {
        let about = if planned.exact { "" } else { "about " };
        text += &format!(
            "\na build would download {} distributions ({about}{}), build {} layers and send {about}{}\n",
            planned.downloads,
            size(planned.download_bytes),
            planned.layers_to_build,
            size(planned.upload_bytes),
        );
    }
    text
}
