//! What the project's files ask for, and where.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::Origin;
use crate::project::{Component, CondaRequest, Environment};

/// A component and the environments that its files ask for, before anything is resolved.
#[derive(Debug, Clone, Serialize)]
pub struct ComponentReport {
    /// The project's name.
    pub project: String,
    /// The component's name.
    pub component: String,
    /// `flow`, `deployment` or `package`.
    pub kind: String,
    /// Its folder, relative to the project; empty for the project itself.
    pub folder: String,
    /// Its environments, in the order of their first steps.
    pub environments: Vec<RequestReport>,
    /// The environment variables that its own configuration sets.
    pub variables: BTreeMap<String, String>,
}

/// An environment as the project's files ask for it.
#[derive(Debug, Clone, Serialize)]
pub struct RequestReport {
    /// The steps that run in it, for a flow.
    pub steps: Vec<String>,
    /// The lock's file, relative to the project.
    pub lock: String,
    /// The versions of Python that will do; null for the base's own.
    pub python: Option<String>,
    /// The base image, if one is named.
    pub base: Option<String>,
    /// The requirements, normalised and sorted.
    pub requirements: Vec<String>,
    /// Conda packages, as match specifications, sorted.
    pub conda: Vec<String>,
    /// Conda channels as they are named, in order.
    pub channels: Vec<String>,
    /// Where each of these is stated.
    pub origins: Vec<OriginReport>,
}

impl ComponentReport {
    pub(in crate::bake) fn new(component: &Component) -> Self {
        Self {
            project: String::new(),
            component: component.name.clone(),
            kind: component.kind.to_string(),
            folder: component.folder.clone(),
            environments: component.environments.iter().map(RequestReport::new).collect(),
            variables: component.run.env.clone(),
        }
    }
}

impl RequestReport {
    fn new(environment: &Environment) -> Self {
        let mut requirements: Vec<String> =
            environment.requirements.iter().map(ToString::to_string).collect();
        requirements.sort();
        let mut origins = OriginReport::of(environment);
        origins.extend(environment.base.iter().map(|base| OriginReport {
            requirement: format!("base {}", base.reference),
            file: base.origin.file.clone(),
            line: base.origin.line,
        }));
        Self {
            steps: environment.steps.clone(),
            lock: environment.lock_path.clone(),
            python: environment.python.as_ref().map(|python| python.specifiers.to_string()),
            base: environment.base.as_ref().map(|base| base.reference.clone()),
            requirements,
            conda: environment.conda.as_ref().map(CondaRequest::sorted).unwrap_or_default(),
            channels: environment.conda.as_ref().map(|conda| conda.channels.clone()).unwrap_or_default(),
            origins,
        }
    }
}

/// Where a requirement is stated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OriginReport {
    /// The requirement, as in `requirements`; `python` with a version for the Python that is asked for.
    pub requirement: String,
    /// The file.
    pub file: String,
    /// Its line.
    pub line: Option<u32>,
}

impl OriginReport {
    /// Where each requirement of an environment is stated, sorted.
    pub(in crate::bake) fn of(environment: &Environment) -> Vec<Self> {
        let at = |requirement: String, origin: &Origin| Self {
            requirement,
            file: origin.file.clone(),
            line: origin.line,
        };
        let python = environment.python.iter();
        let python = python.map(|python| at(format!("python{}", python.specifiers), &python.origin));
        let mut origins: Vec<_> =
            environment.requirements.iter().map(|r| at(r.to_string(), &r.origin)).chain(python).collect();
        origins.sort();
        origins
    }
}
