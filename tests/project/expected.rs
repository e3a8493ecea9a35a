//! The projects in `testdata/projects`: each shows one rule, which its name tells, and says in `expected.txt` what every step
//! and deployment is to have, or the error.

use super::*;

#[test]
fn every_fixture_has_the_environments_or_the_error_that_it_expects() {
    let mut seen = 0;
    let children = |directory: PathBuf| fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    for directory in children(fixture("")).chain(children(fixture("several-projects/projects"))) {
        let Ok(expected) = fs::read_to_string(directory.join("expected.txt")) else { continue };
        let selection = Selection { branch: Some("main".to_owned()), ..Selection::default() };
        let found = match discover_with(&directory, &selection, &|_| None) {
            Ok(project) => environments(&project),
            Err(error) => {
                assert_eq!(error.exit_code(), ExitCode::Project, "{}", directory.display());
                format!("error: {error}\n")
            }
        };
        let name = directory.file_name().unwrap().to_string_lossy();
        if std::env::var_os("BLESS").is_some() {
            fs::write(directory.join("expected.txt"), &found).unwrap();
        } else {
            assert_eq!(found, expected, "{name} (BLESS=1 writes what is found)");
            assert!(found.starts_with("error: ") || !name.starts_with("error-"), "{name}");
        }
        seen += 1;
    }
    assert!(seen >= 70);
}

fn environments(project: &Project) -> String {
    let mut text = String::new();
    for component in &project.components {
        for environment in &component.environments {
            text += &format!("{} {}\n", component.id(), environment.steps.join(","));
            if let Some(python) = &environment.python {
                text += &format!("  python {} ({})\n", python.specifiers, python.origin);
            }
            if let Some(base) = &environment.base {
                text += &format!("  base {} ({})\n", base.reference, base.origin);
            }
            if let Some(conda) = &environment.conda {
                let packages =
                    conda.packages.iter().map(|(package, origin)| format!("  conda {package} ({origin})\n"));
                text += &packages.collect::<String>();
                text += &conda
                    .channels
                    .iter()
                    .map(|channel| format!("  channel {channel}\n"))
                    .collect::<String>();
            }
            for requirement in requirements(environment) {
                text += &format!("  {requirement}\n");
            }
        }
    }
    for warning in shown(&project.warnings) {
        text += &format!("warning: {warning}\n");
    }
    text
}
