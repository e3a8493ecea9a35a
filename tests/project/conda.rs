//! Conda packages: read and told, though nothing bakes them yet.

use super::*;

fn conda(environment: &Environment) -> String {
    let Some(conda) = &environment.conda else { return "-".to_owned() };
    assert!(environment.requirements.is_empty());
    let packages: Vec<String> = conda.packages.iter().map(|(p, origin)| format!("{p} ({origin})")).collect();
    format!(
        "{} from [{}] for {} at {}",
        packages.join(" "),
        conda.channels.join(","),
        conda.place,
        conda.origin
    )
}

#[test]
fn a_step_is_laid_over_the_base_as_with_pypi() {
    let head = "@conda_base(packages={'a': '1', 'b': '>=2'}, python='3.11', channels=['conda-forge'])";
    let body = "@conda(libraries={'b': '3', 'c': ''}, packages={'c': '=1.2', 'rapidsai::cudf': '25.08.*'})\n\
                @step\ndef start(self): pass\n@step\ndef middle(self): pass\n\
                @conda(disabled=True, packages=unknown())\n@step\ndef end(self): pass";
    let flow = flow(head, body).unwrap();
    let [start, middle, end] = &flow.environments[..] else { panic!("{:?}", flow.environments) };
    assert_eq!(
        conda(start),
        "a==1 (flows/f/flow.py:3) b==3 (flows/f/flow.py:5) c=1.2 (flows/f/flow.py:5) \
         rapidsai::cudf==25.08.* (flows/f/flow.py:5) from [conda-forge] for step `start` of flow `f` at flows/f/flow.py:5"
    );
    assert_eq!(
        conda(middle),
        "a==1 (flows/f/flow.py:3) b>=2 (flows/f/flow.py:3) from [conda-forge] for step `middle` of flow `f` at flows/f/flow.py:3"
    );
    assert!(python(start).starts_with("==3.11.* ") && python(middle).starts_with("==3.11.* "));
    assert_eq!((conda(end).as_str(), python(end).as_str()), ("-", ""));
}

#[test]
fn the_error_of_baking_it_names_step_file_and_line() {
    let step = |decorators: &str| format!("{decorators}\n{STEPS}");
    let found = flow("", &step("@anaconda(packages={'a': '1'}, extra_configs={})")).unwrap();
    let error = found.environments[0].conda.as_ref().unwrap().unsupported();
    assert_eq!(
        error.to_string(),
        "flows/f/flow.py:5: step `start` of flow `f` asks for conda packages: conda is not supported yet"
    );
    assert_eq!(error.exit_code(), ExitCode::Project);
    for decorators in ["@conda(disabled=True)", "@pypi(packages={'a': '1'})\n@conda(disabled=True)"] {
        for head in ["", "@conda_base(python='3.11')"] {
            assert_eq!(conda(&flow(head, &step(decorators)).unwrap().environments[0]), "-", "{decorators}");
        }
    }
    let unknown = flow("", &step("@conda(packages=make())")).unwrap_err();
    assert!(matches!(unknown, Error::NotStatic { .. }), "{unknown}");
}

#[test]
fn a_deployment_may_name_conda_packages() {
    let config = "dependencies:\n  conda:\n    python: '3.12'\n    numpy: '>=2'\n    conda-forge::r: ''\n";
    let found = deployment(config).unwrap();
    assert_eq!(
        conda(&found.environments[0]),
        "numpy>=2 (deployments/d/config.yml:4) conda-forge::r (deployments/d/config.yml:5) from [] \
         for deployment `d` at deployments/d/config.yml:3"
    );
    assert!(python(&found.environments[0]).starts_with("==3.12.* "));
}
