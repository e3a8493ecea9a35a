//! Outerbounds projects as a whole.

use super::*;

#[test]
fn the_seed_project_is_understood() {
    let project = discover(&fixture("seed")).unwrap();
    assert_eq!((project.kind, project.name.as_str()), (ProjectKind::Outerbounds, "fraud_detection_model"));
    let ids: Vec<String> = project.components.iter().map(Component::id).collect();
    assert_eq!(ids, ["flow/etl", "flow/trainer", "deployment/inference"]);
    let [etl, trainer, inference] = &project.components[..] else { panic!() };

    assert_eq!(etl.environments.len(), 1);
    assert_eq!(etl.environments[0].steps, ["start", "end"]);
    assert_eq!(
        requirements(&etl.environments[0]),
        ["pandas==2.2.2 (pyproject.toml:4)", "fastapi==0.116.1 (pyproject.toml:5)"]
    );
    assert_eq!(python(&etl.environments[0]), ">=3.10 (pyproject.toml:2)");

    let [own, train, end] = &trainer.environments[..] else { panic!("{:?}", trainer.environments) };
    assert_eq!(
        (own.steps.as_slice(), own.suffix.as_deref()),
        (&["start".to_owned(), "check".to_owned()][..], None)
    );
    assert_eq!(own.lock_path, "flows/trainer/pylock.toml");
    assert_eq!(
        requirements(own),
        [
            "fastapi==0.116.1 (pyproject.toml:5)",
            "scikit-learn==1.5.1 (flows/trainer/flow.py:4)",
            "pandas>=2.2.3 (flows/trainer/flow.py:8)",
        ]
    );
    assert_eq!(python(own), "==3.11.* (flows/trainer/flow.py:8)");
    assert_eq!(image_name(trainer, own), "trainer");
    assert_eq!(train.lock_path, "flows/trainer/pylock.train.toml");
    assert_eq!(image_name(trainer, train), "trainer-train");
    let base = train.base.as_ref().unwrap();
    assert_eq!(
        format!("{} ({})", base.reference, base.origin),
        "python:3.12-slim (flows/trainer/flow.py:13)"
    );
    assert_eq!(end.suffix.as_deref(), Some("end"));
    assert_eq!(trainer.run.command.as_ref().unwrap(), &["python", "flow.py"]);
    assert_eq!(trainer.run.working_dir, "/app/flows/trainer");
    assert_eq!(trainer.run.python_path, ["/app", "/app/src"]);
    assert!(trainer.readme.as_ref().unwrap().ends_with("flows/trainer/README.md"));

    assert_eq!(inference.kind, ComponentKind::Deployment);
    assert_eq!(
        requirements(&inference.environments[0]),
        [
            "pandas==2.2.2 (pyproject.toml:4)",
            "fastapi==0.116.1 (pyproject.toml:5)",
            "numpy==2.0.1 (deployments/inference/requirements.txt:1)",
        ]
    );
    assert_eq!(python(&inference.environments[0]), "==3.11.* (deployments/inference/config.yml:4)");
    assert_eq!(inference.run.ports, [8000]);
    assert_eq!(inference.run.env["WORKERS"], "2");
    assert_eq!(inference.run.command.as_ref().unwrap()[0], "uvicorn");
    assert_eq!(inference.run.working_dir, "/app");

    let [data, model] = &project.assets[..] else { panic!() };
    assert_eq!(
        (data.kind, data.id.as_str(), data.name.as_str()),
        (AssetKind::Data, "transactions", "Transactions")
    );
    assert_eq!(data.properties["source"], "warehouse");
    assert_eq!((model.kind, model.id.as_str()), (AssetKind::Model, "fraud"));
    assert_eq!(model.declared_kind.as_deref(), Some("xgboost"));
    assert_eq!(
        shown(&project.warnings).len(),
        1,
        "the platform would not read the deployment's requirements.txt"
    );
    assert!(shown(&project.warnings)[0].starts_with("deployments/inference/requirements.txt: "));
}

#[test]
fn assets_may_be_in_other_folders_and_are_as_the_platform_wants_them() {
    let project = read(&[
        ("obproject.toml", "project = 'p'\n[obproject_dirs]\ndata = './sets/tables/'\n"),
        ("data/old/asset_config.toml", "name = 'Old'\nid = 'old'"),
        ("sets/tables/a/asset_config.toml", "name = 'A'\nid = 'a'"),
        ("sets/tables/b/asset_config.toml", "name = 'Another'\nid = 'a'"),
        ("models/m/asset_config.toml", "description = 'x'\n[properties]\nsize = 3\n"),
        ("models/notes/README.md", ""),
    ])
    .unwrap();
    let ids: Vec<String> = project.assets.iter().map(|a| format!("{} {} {}", a.kind, a.id, a.name)).collect();
    assert_eq!(ids, ["data a Another", "model m m"]);
    let warnings = shown(&project.warnings);
    for expected in [
        "sets/tables/b/asset_config.toml: data `a` is declared in sets/tables/a/asset_config.toml as well",
        "models/m/asset_config.toml: the asset has no `id` and no `name`: the platform refuses to register it",
        "models/m/asset_config.toml:3: `properties.size` is no string: the platform refuses it",
    ] {
        assert!(warnings.iter().any(|warning| warning.starts_with(expected)), "{warnings:?}");
    }
    assert_eq!(
        error(&[("obproject.toml", "project = 'p'\n[obproject_dirs]\nmodels = '../m'")]),
        "obproject.toml:3: `../m` is outside the project"
    );
}

#[test]
fn code_goes_to_the_same_places_in_the_image() {
    let project = discover(&fixture("seed")).unwrap();
    let [_, trainer, inference] = &project.components[..] else { panic!() };
    let files = code_files(&project, trainer).unwrap();
    let shared = ["app/src/feature_encoders/__init__.py", "app/src/feature_encoders/feature_encoder.py"];
    assert_eq!(paths(&files.shared), shared);
    assert_eq!(
        paths(&files.own),
        [
            "app/flows/trainer/README.md",
            "app/flows/trainer/flow.py",
            "app/flows/trainer/mymodel.py",
            "app/flows/trainer/sql/process_data.sql",
            "app/obproject.toml",
        ]
    );
    let files = code_files(&project, inference).unwrap();
    assert_eq!(paths(&files.shared), shared);
    assert_eq!(
        paths(&files.own),
        [
            "app/README.md",
            "app/deployments/inference/README.md",
            "app/deployments/inference/config.yml",
            "app/deployments/inference/fastapi_server.py",
            "app/deployments/inference/requirements.txt",
            "app/flows/etl/flow.py",
            "app/flows/trainer/README.md",
            "app/flows/trainer/flow.py",
            "app/flows/trainer/mymodel.py",
        ],
        "a deployment has the whole project, by its suffixes"
    );
}

#[test]
fn folders_that_are_no_components_are_left_out_with_a_warning() {
    let project = read(&[
        ("obproject.toml", "project = 'p'\n[environments.prod]\ndeployment_config = 'config.prod.yml'"),
        ("flows/notes/README.md", ""),
        ("flows/.hidden/x", ""),
        ("flows/__pycache__/x", ""),
        ("flows/old_flow.py", ""),
        ("flows/helper.py", ""),
        ("deployments/__init__.py", ""),
        ("deployments/empty/app.py", ""),
        ("requirements.txt", "x"),
    ])
    .unwrap();
    assert!(project.components.is_empty());
    let warned: Vec<String> =
        project.warnings.iter().map(|warning| warning.origin.as_ref().unwrap().to_string()).collect();
    assert_eq!(
        warned,
        ["requirements.txt", "flows/old_flow.py", "flows/notes", "deployments/empty", "obproject.toml"]
    );
}

#[test]
fn a_project_without_a_name_or_of_several_projects_is_refused() {
    assert_eq!(error(&[("obproject.toml", "title = 'x'")]), "obproject.toml: the project has no name");
    assert_eq!(error(&[("obproject.toml", "\nproject = 1")]), "obproject.toml:2: `project` must be a string");
    let multi = "[projects]\nb = './b'\na = 'x/a/'";
    let files = [("obproject_multi.toml", multi), ("b/obproject.toml", ""), ("x/a/obproject.toml", "")];
    let refused = read(&files).unwrap_err();
    assert!(refused.to_string().ends_with("holds several projects: x/a, b"), "{refused}");
    assert!(refused.hint().unwrap().ends_with("/x/a`"));
}

#[test]
fn what_obproject_multi_toml_names_must_be_projects_inside_of_its_directory() {
    for (text, expected) in [
        ("", ": it names no projects under [projects]"),
        (
            "[projects]\na = 'a'\nz = 'nowhere'",
            ":3: project `z` is at `nowhere`, where there is no obproject.toml",
        ),
        ("[projects]\na = '../a'", ":2: `../a` is outside the project"),
        ("[projects]\na = '/a'", ":2: `/a` is outside the project"),
        ("[projects]\na = 'out'", ":2: `out` is outside the project"),
        ("[projects]\na = 'a'\nb = './a/'", ":3: `a` and `b` are the same directory"),
        ("[projects]\na = 1", ":2: `projects.a` must be a string"),
        ("projects = ['a']", ":1: `projects` must be a table"),
        ("[projects]\n'日本' = 'a'", ":2: `日本` cannot be a project's name: its images would have none"),
    ] {
        let directory = project(&[
            ("w/obproject_multi.toml", text),
            ("w/a/obproject.toml", ""),
            ("o/obproject.toml", ""),
        ]);
        symlink("../o", directory.path().join("w/out")).unwrap();
        let error = members(&directory.path().join("w")).unwrap_err();
        assert_eq!(error.to_string(), format!("obproject_multi.toml{expected}"));
        assert_eq!(error.exit_code(), ExitCode::Project);
    }
    let same = project(&[
        ("obproject_multi.toml", "[projects]\nA = 'a'\na = 'b'"),
        ("a/obproject.toml", ""),
        ("b/obproject.toml", ""),
    ]);
    let error = members(same.path()).unwrap_err();
    assert_eq!(error.to_string(), "project `A` and project `a` would both make the image `a/…`");
    let both = project(&[("obproject_multi.toml", "[projects]"), ("obproject.toml", "project = 'p'")]);
    let error = members(both.path()).unwrap_err();
    assert!(
        error.to_string().starts_with("obproject_multi.toml: obproject.toml stands beside it"),
        "{error}"
    );
}
