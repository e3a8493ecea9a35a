//! What depends on the branch: which components there are, and which files they are read from.

use super::*;

const OBPROJECT: &str = "project = 'p'\n[branch_to_environment]\nmain = 'production'\n'feature/*' = 'dev'\n\
    [environments.production]\ndeployment_config = 'config.prod.yml'\n\
    [environments.production.flow_configs]\nmodel = 'configs/prod.json'\n";
const FLOW: &str = "from metaflow import *\nfrom obproject import ProjectFlow\nclass F(ProjectFlow):\n  \
    m = Config('model', default='model.json')\n  @pypi(packages=m.packages)\n  @step\n  def start(self): pass\n";

fn on(branch: Option<&str>) -> (Vec<String>, Vec<String>) {
    let directory = project(&[
        ("obproject.toml", OBPROJECT),
        ("configs/prod.json", "{\"packages\": {\"a\": \"2\"}}"),
        ("flows/f/flow.py", FLOW),
        ("flows/f/model.json", "{\"packages\": {\"a\": \"1\"}}"),
        ("deployments/d/config.yml", "dependencies:\n  pypi: {b: '1.0.0'}"),
        ("deployments/d/config.prod.yaml", "dependencies:\n  pypi: {b: '2.0.0'}"),
        ("deployments/only_main/config.yml", "dependencies:\n  pypi: {c: '1.0.0'}"),
        ("deployments/only_main/config.prod.yml", "dependencies:\n  pypi: {c: '2.0.0'}"),
        ("deployments/only_main/obproject_deploy.toml", "[deploy]\nbranches = ['main', 'release/*']"),
    ]);
    let selection = Selection { branch: branch.map(str::to_owned), ..Selection::default() };
    let project = discover_with(directory.path(), &selection, &|_| None).unwrap();
    let found =
        project.components.iter().map(|c| format!("{} {}", c.id(), names(&c.environments[0]).join(" ")));
    (found.collect(), shown(&project.warnings))
}

#[test]
fn the_branch_chooses_configurations_and_components() {
    let (found, _) = on(Some("main"));
    assert_eq!(found, ["flow/f a==2", "deployment/d b==2.0.0", "deployment/only_main c==2.0.0"]);
    let (found, warnings) = on(Some("feature/x"));
    assert_eq!(found, ["flow/f a==1", "deployment/d b==1.0.0"]);
    assert_eq!(
        warnings,
        [
            "deployments/only_main/obproject_deploy.toml:2: deployments/only_main is left out: it is not for the branch `feature/x`"
        ]
    );
    let (found, warnings) = on(None);
    assert_eq!(found.len(), 3, "without a branch nothing is left out");
    assert!(
        warnings.iter().all(|warning| warning.contains("--branch")) && warnings.len() == 2,
        "{warnings:?}"
    );
}

#[test]
fn the_branch_comes_from_the_ci_system_or_from_git() {
    let directory =
        project(&[(".git/HEAD", "ref: refs/heads/feature/x\n"), ("p/obproject.toml", "project = 'p'")]);
    let detect = |variables: &[(&str, &str)]| {
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Selection::detect(&directory.path().join("p"), &value).branch.unwrap_or_default()
    };
    assert_eq!(detect(&[]), "feature/x");
    assert_eq!(detect(&[("GITHUB_ACTIONS", "true"), ("GITHUB_REF_NAME", "main")]), "main");
    assert_eq!(detect(&[("GITHUB_REF_NAME", "main")]), "feature/x", "only in that system");
    assert_eq!(detect(&[("CIRCLECI", "true"), ("CIRCLE_BRANCH", "c")]), "c");
    assert_eq!(detect(&[("GITLAB_CI", "true"), ("CI_COMMIT_REF_NAME", "g")]), "g");
    let azure = ("SYSTEM_COLLECTIONURI", "https://x.example/");
    assert_eq!(detect(&[azure, ("BUILD_SOURCEBRANCH", "refs/heads/a/b")]), "a/b");
    let request =
        [("BUILD_SOURCEBRANCH", "refs/pull/1/merge"), ("SYSTEM_PULLREQUEST_SOURCEBRANCH", "refs/heads/z")];
    assert_eq!(detect(&[&[azure], &request[..]].concat()), "z");
    assert_eq!(detect(&request), "feature/x");
}

#[test]
fn a_configuration_is_chosen_only_for_flows_whose_own_text_names_it() {
    let base = "from metaflow import *\nclass Base:\n  m = Config('model', default='model.json')\n";
    let flow = "from metaflow import *\nfrom obproject import ProjectFlow\nfrom base import Base\nclass F(ProjectFlow, Base):\n  \
                @pypi(packages=config_expr('model.packages'))\n  @step\n  def start(self): pass\n";
    let directory = project(&[
        ("obproject.toml", OBPROJECT),
        ("configs/prod.json", "{\"packages\": {\"a\": \"2\"}}"),
        ("flows/f/flow.py", flow),
        ("flows/f/base.py", base),
        ("flows/f/model.json", "{\"packages\": {\"a\": \"1\"}}"),
    ]);
    let selection = Selection { branch: Some("main".to_owned()), ..Selection::default() };
    let project = discover_with(directory.path(), &selection, &|_| None).unwrap();
    assert_eq!(names(&project.components[0].environments[0]), ["a==1"]);
    let warnings = shown(&project.warnings);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("obproject.toml:8: `configs/prod.json` is not given to the flow in flows/f")
    );
}

#[test]
fn a_deployment_may_name_the_folders_of_its_code() {
    let directory = project(&[
        ("obproject.toml", "project = 'p'"),
        ("deployments/d/config.yml", "package:\n  src_paths: [./services/api]\n  suffixes: [.py]\n"),
        ("services/api/main.py", ""),
        ("services/api/data.bin", ""),
        ("services/api/requirements.txt", "flask"),
        ("services/other/x.py", ""),
    ]);
    let project = discover_with(directory.path(), &Selection::default(), &|_| None).unwrap();
    let deployment = &project.components[0];
    assert_eq!(names(&deployment.environments[0]), ["flask"], "found in the code, as nothing is named");
    assert_eq!(deployment.run.working_dir, "/app");
    assert_eq!(deployment.run.python_path, ["/app", "/app/src"]);
    let files = code_files(&project, deployment).unwrap();
    let paths: Vec<&str> = files.own.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["app/main.py"], "the folder's content, as the platform unpacks it");
}
