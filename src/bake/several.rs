//! A directory of several projects: each is built as if it were alone, and one report tells of all.
//!
//! Images go to `PREFIX/PROJECT/NAME`, which is what `--push PREFIX/PROJECT` gives for the project alone: the same bytes in
//! the same place. The repository of records is one for all.

use std::collections::HashMap;

use super::report::{EnvironmentReport, Report, Timings, TransferReport};
use super::{Error, Goal, Options, Progress, Run, environments};
use crate::project::{self, Member, Selection};

/// Runs all stages for each project. What fails for one goes to `failures`, and the others go on.
pub async fn stages(
    options: &Options,
    goal: Goal,
    progress: &dyn Progress,
    members: Vec<Member>,
    selection: &Selection,
    report: &mut Report,
    failures: &mut Vec<Error>,
) -> Result<(), Error> {
    let variables = |name: &str| std::env::var(name).ok();
    let directory = options.project.canonicalize().unwrap_or_else(|_| options.project.clone());
    report.project = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = &options.components;
    let (mut projects, mut unreadable, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for member in
        members.iter().filter(|member| names.is_empty() || names.iter().any(|n| may_be_in(n, member)))
    {
        match project::discover_member(&options.project, member, selection, &variables) {
            Ok((project, unread)) => {
                projects.push(project);
                unreadable.push(unread);
                places.push(member);
            }
            Err(error) => failures.push(within(member, error.into())),
        }
    }
    let (unread, names) = environments::sort_out(&mut projects, unreadable, names);
    failures.extend(unread.into_iter().map(|(place, error)| within(places[place], error.into())));
    let Some(names) = names else { return Ok(()) };
    let chosen = match environments::select(&projects, &names) {
        // What was asked for may be in the projects that cannot be read.
        Err(Error::UnknownComponent { .. } | Error::NoComponents { .. }) if !failures.is_empty() => {
            return Ok(());
        }
        Err(Error::UnknownComponent { name, known }) if projects.is_empty() && known.is_empty() => {
            let known = members.iter().map(|member| format!("project/{}", member.name)).collect();
            return Err(Error::UnknownComponent { name, known });
        }
        chosen => chosen?,
    };
    let mut environments = HashMap::new();
    let run = Run { options, goal, progress, names: environments::Names::default() };
    for (project, components) in chosen {
        let Some(member) = &project.member else { continue };
        let (mut part, mut failed) = (Report::default(), Vec::new());
        if let Err(error) = super::stages(&run, project, &components, &mut part, &mut failed).await {
            failed.push(error);
        }
        failures.extend(failed.into_iter().map(|error| within(member, error)));
        add(report, part, member, &mut environments);
    }
    Ok(())
}

/// Whether a component of the project can be meant: `PROJECT/KIND/NAME` and `project/PROJECT` name one project alone.
fn may_be_in(name: &str, member: &Member) -> bool {
    match (name.strip_prefix("project/"), name.rsplitn(3, '/').nth(2)) {
        (Some(project), _) | (None, Some(project)) => project == member.name,
        (None, None) => true,
    }
}

fn within(member: &Member, error: Error) -> Error {
    Error::InProject { project: member.name.clone(), path: member.path.clone(), source: Box::new(error) }
}

/// Adds what one project's report tells. `environments` are the places of those that are there, by their IDs.
fn add(report: &mut Report, part: Report, member: &Member, environments: &mut HashMap<String, usize>) {
    let Report {
        components,
        images,
        locks,
        environments: found,
        code,
        timings,
        transfer,
        planned,
        warnings,
        ..
    } = part;
    report.components.extend(components.into_iter().map(|mut component| {
        component.folder = member.file(&component.folder);
        for environment in &mut component.environments {
            environment.lock = member.file(&environment.lock);
            environment.origins.iter_mut().for_each(|origin| origin.file = member.file(&origin.file));
        }
        component
    }));
    if let Some(code) = code {
        report.code.get_or_insert_default().extend(code);
    }
    report.images.extend(images);
    report.locks.extend(locks.into_iter().map(|mut lock| {
        lock.path = member.file(&lock.path);
        lock
    }));
    report.warnings.extend(warnings.into_iter().map(|mut warning| {
        warning.file = warning.file.map(|file| member.file(&file));
        warning
    }));
    for mut environment in found {
        environment.origins.iter_mut().for_each(|origin| origin.file = member.file(&origin.file));
        match environments.get(&environment.id) {
            Some(&known) => join(&mut report.environments[known], environment),
            None => {
                environments.insert(environment.id.clone(), report.environments.len());
                report.environments.push(environment);
            }
        }
    }
    if let Some(part) = planned {
        let sum = report.planned.get_or_insert_default();
        sum.downloads += part.downloads;
        sum.download_bytes += part.download_bytes;
        sum.layers_to_build += part.layers_to_build;
        sum.upload_bytes += part.upload_bytes;
        sum.exact &= part.exact;
    }
    let Timings { resolve_ms, download_ms, assemble_ms, push_ms, total_ms: _ } = timings;
    report.timings.resolve_ms += resolve_ms;
    report.timings.download_ms += download_ms;
    report.timings.assemble_ms += assemble_ms;
    report.timings.push_ms += push_ms;
    let TransferReport {
        index_bytes,
        distribution_bytes,
        base_bytes,
        cache_bytes,
        uploaded_bytes,
        index_requests,
        registry_requests,
    } = transfer;
    let sum = &mut report.transfer;
    sum.index_bytes += index_bytes;
    sum.distribution_bytes += distribution_bytes;
    sum.base_bytes += base_bytes;
    sum.cache_bytes += cache_bytes;
    sum.uploaded_bytes += uploaded_bytes;
    sum.index_requests += index_requests;
    sum.registry_requests += registry_requests;
}

/// Adds what another project says of an environment that both have.
fn join(known: &mut EnvironmentReport, other: EnvironmentReport) {
    for (all, more) in [(&mut known.projects, other.projects), (&mut known.components, other.components)] {
        for name in more {
            if !all.contains(&name) {
                all.push(name);
            }
        }
    }
    known.origins.extend(other.origins);
    known.origins.sort();
    known.origins.dedup();
}
