//! Environments of conda packages: told in the report, and refused where they are to be baked.

use super::Error;
use super::report::{EnvironmentReport, OriginReport, Report};
use crate::model::KeyHasher;
use crate::project::{Component, CondaRequest, Environment};

/// Reports the conda environments, and puts the error that each of them is to `failures`.
pub fn refuse(components: &[&Component], report: &mut Report, failures: &mut Vec<Error>) {
    for component in components {
        for environment in &component.environments {
            let Some(conda) = &environment.conda else { continue };
            failures.push(conda.unsupported().into());
            let found = environment_report(component, environment, conda);
            match report.environments.iter_mut().find(|known| known.id == found.id) {
                None => report.environments.push(found),
                Some(known) => {
                    if !known.components.contains(&component.name) {
                        known.components.push(component.name.clone());
                    }
                    known.origins.extend(found.origins);
                    known.origins.sort();
                    known.origins.dedup();
                }
            }
        }
    }
}

fn environment_report(
    component: &Component,
    environment: &Environment,
    conda: &CondaRequest,
) -> EnvironmentReport {
    let packages = conda.sorted();
    let python = environment.python.as_ref().map(|python| python.specifiers.to_string());
    let base = environment.base.as_ref().map(|base| base.reference.clone());
    // Nothing is locked: what is asked for stands for what would be installed.
    let mut id = KeyHasher::new("environment/1");
    id.text("conda").text(python.as_deref().unwrap_or_default()).text(base.as_deref().unwrap_or_default());
    for text in packages.iter().chain(&conda.channels) {
        id.text(text);
    }
    let stated = conda.packages.iter().map(|(package, origin)| (package.clone(), origin));
    let stated =
        stated.chain(environment.python.iter().map(|p| (format!("python{}", p.specifiers), &p.origin)));
    let mut origins: Vec<_> = stated
        .map(|(requirement, origin)| OriginReport {
            requirement,
            file: origin.file.clone(),
            line: origin.line,
        })
        .collect();
    origins.sort();
    EnvironmentReport {
        id: id.finish().to_string()[..16].to_owned(),
        projects: Vec::new(),
        components: vec![component.name.clone()],
        kind: "conda",
        platform: None,
        python: python.unwrap_or_default(),
        base,
        requirements: Vec::new(),
        origins,
        conda: packages,
        channels: conda.channels.clone(),
    }
}
