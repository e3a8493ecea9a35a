//! The branch: what it deploys, and which of the project's environments it is for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::source::Root;
use super::toml::Toml;
use super::{Error, glob};
use crate::model::{Origin, Variables, Warning};

/// What is chosen from outside of the project's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The branch. Without one, no component is left out for its branch filter, and the `default` environment is taken.
    pub branch: Option<String>,
    /// The optional dependencies that are wanted, besides those that `[tool.bakehouse]` names.
    pub extras: Vec<String>,
    /// The dependency groups that are wanted, besides those that `[tool.bakehouse]` names.
    pub groups: Vec<String>,
    /// Files of constraints for every environment.
    pub constraints: Vec<PathBuf>,
    /// Files of overrides for every environment.
    pub overrides: Vec<PathBuf>,
}

/// Nothing but what the files say.
pub(super) static UNSELECTED: Selection = Selection {
    branch: None,
    extras: Vec::new(),
    groups: Vec::new(),
    constraints: Vec::new(),
    overrides: Vec::new(),
};

impl Selection {
    /// The branch as the platform's tools find it: from the CI system's variables, else what git has checked out.
    pub fn detect(root: &Path, variables: Variables<'_>) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| variables(name).filter(|v| !v.is_empty()));
        let is_true = |name: &str| variables(name).as_deref() == Some("true");
        let ci = if is_true("GITHUB_ACTIONS") {
            // The first two are set by the platform's own workflow files.
            first(&["GH_HEAD_REF", "GH_REF", "GITHUB_HEAD_REF", "GITHUB_REF_NAME"])
        } else if is_true("CIRCLECI") {
            first(&["CIRCLE_BRANCH"])
        } else if is_true("GITLAB_CI") {
            first(&["CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_REF_NAME"])
        } else if first(&["SYSTEM_COLLECTIONURI"]).is_some() {
            // Azure Pipelines name references whole.
            let branch = first(&["BUILD_SOURCEBRANCH"]);
            let is_request = branch.as_ref().is_some_and(|branch| branch.starts_with("refs/pull/"));
            let branch = if is_request { first(&["SYSTEM_PULLREQUEST_SOURCEBRANCH"]) } else { branch };
            branch.map(|branch| branch.replace("refs/heads/", ""))
        } else {
            None
        };
        Self { branch: ci.or_else(|| checked_out(root)), ..Self::default() }
    }
}

/// The branch that `HEAD` of the repository around a directory names.
fn checked_out(root: &Path) -> Option<String> {
    let root = fs::canonicalize(root).ok()?;
    let mut git = root.ancestors().map(|directory| directory.join(".git")).find(|git| git.exists())?;
    if git.is_file() {
        // A worktree or submodule: the file points at the real directory.
        let real = small(&git)?.strip_prefix("gitdir:")?.trim().to_owned();
        git = git.parent()?.join(real);
    }
    let head = small(&git.join("HEAD"))?;
    head.trim().strip_prefix("ref: refs/heads/").map(str::to_owned)
}

fn small(path: &Path) -> Option<String> {
    (fs::metadata(path).ok()?.len() < 4096).then(|| fs::read_to_string(path).ok())?
}

/// What `obproject.toml` says for the branch.
#[derive(Debug, Default)]
pub(super) struct BranchSettings {
    /// The configuration file of deployments.
    pub deployment_config: Option<String>,
    /// Files for configurations of flows, relative to the project, by the configurations' names.
    pub flow_configs: BTreeMap<String, (String, Origin)>,
}

impl BranchSettings {
    pub fn read(
        root: &Root,
        toml: &Toml,
        selection: &Selection,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, Error> {
        let map = toml.string_table(&["branch_to_environment"])?;
        let name = match &selection.branch {
            Some(branch) => {
                let exact = map.iter().find(|(pattern, ..)| pattern == branch);
                exact.or_else(|| map.iter().find(|(pattern, ..)| glob::matches(pattern, branch)))
            }
            None => {
                if !map.is_empty() {
                    let message = "the branch is not known: name it with --branch to have its environment";
                    warnings.push(Warning::at(toml.origin(&["branch_to_environment"]), message));
                }
                None
            }
        };
        let name = name.map_or("default", |(_, environment, _)| *environment);
        toml.table(&["environments"])?;
        toml.table(&["environments", name])?;
        let deployment_config = match toml.string(&["environments", name, "deployment_config"])? {
            Some((file, origin)) if file.starts_with('/') || file.split('/').any(|part| part == "..") => {
                return Err(Error::OutsideFile { origin, file: file.to_owned() });
            }
            file => file.map(|(file, _)| file.trim_start_matches("./").to_owned()),
        };
        let mut flow_configs = BTreeMap::new();
        for (config, file, origin) in toml.string_table(&["environments", name, "flow_configs"])? {
            let file = file.trim_start_matches("./");
            if root.is_file(file) {
                flow_configs.insert(config.to_owned(), (file.to_owned(), origin));
            } else {
                let message =
                    format!("there is no file `{}`: the flows' own default is taken", file.escape_debug());
                warnings.push(Warning::at(origin, message));
            }
        }
        Ok(Self { deployment_config, flow_configs })
    }
}

/// Whether the branch deploys the component in a folder, by the `obproject_deploy.toml` there.
pub(super) fn deploys(
    root: &Root,
    folder: &str,
    selection: &Selection,
    warnings: &mut Vec<Warning>,
) -> Result<bool, Error> {
    let file = format!("{folder}/obproject_deploy.toml");
    let Some(text) = root.read_optional(&file)? else { return Ok(true) };
    let toml = Toml::parse(&file, text)?;
    let Some(patterns) = toml.strings(&["deploy", "branches"])? else { return Ok(true) };
    let Some(branch) = &selection.branch else {
        let message = "the branch is not known, so that it is not asked for: name it with --branch";
        warnings.push(Warning::at(toml.origin(&["deploy", "branches"]), message));
        return Ok(true);
    };
    let deploys = patterns.iter().any(|(pattern, _)| glob::matches(pattern, branch));
    if !deploys {
        let message = format!("{folder} is left out: it is not for the branch `{}`", branch.escape_debug());
        warnings.push(Warning::at(toml.origin(&["deploy", "branches"]), message));
    }
    Ok(deploys)
}
