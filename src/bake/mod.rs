//! The pipeline, where all rooms meet: project → environments → locks → layers → images → destination.
//!
//! [`run`] is the whole of it in one screen; each stage has a file of its own.

mod assemble;
mod code;
mod context;
mod deliver;
mod environments;
mod error;
mod images;
mod installed;
mod locks;
mod options;
mod plan;
mod progress;
mod records;
mod report;
mod resolving;
mod skeleton;

pub use error::{Error, with_causes};
pub use options::{Delivery, Freshness, Goal, Options, RemoteCache};
pub use progress::{Event, Progress};
pub use records::CacheKey;
pub use report::{
    EnvironmentReport, ErrorReport, ImageReport, LayerOrigin, LayerReport, LockReport, LockStatus,
    OriginReport, PackageReport, PlannedReport, PlatformReport, Report, Role, Timings, Transfer,
    TransferReport, WarningReport,
};
pub use resolving::{Resolving, Sources};

use context::Context;

use crate::model::ExitCode;
use crate::project;

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
    if let Err(error) = stages(options, goal, progress, &mut report, &mut failures).await {
        failures.push(error);
    }
    report.timings.total_ms = context::millis(started.elapsed());
    report.warnings.sort();
    report.warnings.dedup();
    report.errors = failures.iter().map(Error::to_report).collect();
    Outcome { report, codes: failures.iter().map(Error::exit_code).collect() }
}

/// The stages, in order. What fails for one component alone goes to `failures`, and the others go on.
async fn stages(
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
    let project = project::discover_with(&options.project, &selection, &variables)?;
    report.project.clone_from(&project.name);
    report.revision = context::revision(&project.root);
    report.warnings.extend(project.warnings.iter().map(Into::into));

    let context = Context::new(options, goal, &project, progress)?;
    let components = environments::select(&project, &options.components)?;
    let units = environments::prepare(&context, &components, report).await?;
    let locked = locks::lock(&context, units, report, failures).await;
    if matches!(goal, Goal::Build | Goal::Plan) {
        images::make(&context, &locked, report, failures).await;
    }
    context.account(report);
    Ok(())
}
