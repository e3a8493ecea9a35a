//! The pipeline, where all rooms meet: project → environments → locks → layers → images → destination.
//!
//! [`run`] is the whole of it in one screen; each stage has a file of its own.

mod ahead;
mod archives;
mod assemble;
mod code;
mod conda;
mod context;
mod debian;
mod deliver;
mod environments;
mod error;
mod foreign;
mod foundation;
mod fragments;
mod images;
mod installed;
mod interpreter;
mod known;
mod locks;
mod options;
mod plan;
mod platforms;
mod progress;
mod records;
mod report;
mod resolving;
mod settings;
mod several;
mod shared;
mod skeleton;
mod suites;

pub use error::{Error, with_causes};
pub use options::{Debian, Delivery, Freshness, Goal, Options, Output, RemoteCache};
pub use progress::{Event, Progress};
pub use records::CacheKey;
pub use report::{
    CodeLayer, CodeReport, ComponentReport, EnvironmentReport, ErrorReport, FileReport, ImageReport,
    LayerOrigin, LayerReport, LeftOutReport, LibraryReport, LockReport, LockStatus, OriginReport,
    PackageReport, PlannedReport, PlatformReport, Report, RequestReport, Role, Timings, Transfer,
    TransferReport, WarningReport,
};
pub use resolving::{Resolving, Sources};

use context::Context;
use environments::Names;

use crate::model::{ExitCode, Warning};
use crate::project::{self, CodeReader, Component, Project};

/// What a run came to: the report, which is written even if something failed.
#[derive(Debug)]
pub struct Outcome {
    /// What was done, and what failed.
    pub report: Report,
    codes: Vec<ExitCode>,
}

impl Outcome {
    /// The exit code: that of the failure with the lowest number.
    pub fn exit_code(&self) -> ExitCode {
        self.codes.iter().copied().min().unwrap_or(ExitCode::Done)
    }
}

/// Does what `goal` says for the project that `options` name.
pub async fn run(options: &Options, goal: Goal, progress: &dyn Progress) -> Outcome {
    let started = std::time::Instant::now();
    let mut report = Report { version: 1, ..Report::default() };
    let mut failures = Vec::new();
    if let Err(error) = projects(options, goal, progress, &mut report, &mut failures).await {
        failures.push(error);
    }
    report.timings.total_ms = context::millis(started.elapsed());
    report.warnings.sort();
    report.warnings.dedup();
    report.errors = failures.iter().map(Error::to_report).collect();
    Outcome { report, codes: failures.iter().map(Error::exit_code).collect() }
}

/// The project that the options name, or each of several.
async fn projects(
    options: &Options,
    goal: Goal,
    progress: &dyn Progress,
    report: &mut Report,
    failures: &mut Vec<Error>,
) -> Result<(), Error> {
    let variables = |name: &str| std::env::var(name).ok();
    let mut selection = match &options.branch {
        Some(branch) => project::Selection { branch: Some(branch.clone()), ..Default::default() },
        None => project::Selection::detect(&options.project, &variables),
    };
    options.resolving.select(&mut selection);
    report.revision = context::revision(&options.project);
    if let Some(members) = project::members(&options.project)? {
        return several::stages(options, goal, progress, members, &selection, report, failures).await;
    }
    let (project, unreadable) = project::discover_parts(&options.project, &selection, &variables)?;
    report.project.clone_from(&project.name);
    let mut projects = [project];
    let (unread, names) = environments::sort_out(&mut projects, vec![unreadable], &options.components);
    failures.extend(unread.into_iter().map(|(_, error)| error.into()));
    let Some(names) = names else { return Ok(()) };
    let chosen = match environments::select(&projects, &names) {
        Err(Error::NoComponents { .. }) if !failures.is_empty() => return Ok(()),
        chosen => chosen?,
    };
    let run = Run { options, goal, progress, names: Names::default() };
    for (project, components) in chosen {
        stages(&run, project, &components, report, failures).await?;
    }
    Ok(())
}

/// What all projects of a run share.
struct Run<'a> {
    options: &'a Options,
    goal: Goal,
    progress: &'a dyn Progress,
    /// What the names of bases stand for.
    names: Names,
}

/// The stages, in order. What fails for one component alone goes to `failures`, and the others go on.
async fn stages(
    run: &Run<'_>,
    project: &Project,
    components: &[&Component],
    report: &mut Report,
    failures: &mut Vec<Error>,
) -> Result<(), Error> {
    let &Run { options, goal, .. } = run;
    report.warnings.extend(project.warnings.iter().map(Into::into));
    report.warnings.extend(project.indexes.editables.iter().map(|(name, origin)| {
        let message =
            format!("`{name}` is built and installed like any other: an image has no editable installs");
        (&Warning::at(origin.clone(), message)).into()
    }));
    if matches!(goal, Goal::Plan | Goal::Environments) {
        report.components = components.iter().map(|component| ComponentReport::new(component)).collect();
    }
    if goal == Goal::Environments {
        report.belongs_to(project);
        return Ok(());
    }
    let variables = |name: &str| std::env::var(name).ok();
    let code = CodeReader::new(project, &options.code, &variables)?;
    if goal == Goal::Files {
        code::list(&code, components, report, failures);
        report.belongs_to(project);
        return Ok(());
    }
    let context = Context::new(run, project, code)?;
    conda::refuse(components, report, failures);
    let units = environments::prepare(&context, components, report).await?;
    match goal {
        Goal::Build => images::make(&context, units, report, failures).await,
        Goal::Plan => plan::make(&context, units, report, failures).await,
        _ => drop(locks::lock(&context, units, report, failures, async |_| ()).await),
    }
    report.belongs_to(project);
    context.account(report);
    Ok(())
}
