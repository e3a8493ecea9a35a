//! The projects in `testdata/projects` that have an `expected.txt`: each shows one set of rules, and says what every step
//! and deployment is to have.

use super::*;

#[test]
fn every_fixture_has_the_environments_that_it_expects() {
    let mut seen = 0;
    for entry in fs::read_dir(fixture("")).unwrap() {
        let directory = entry.unwrap().path();
        let Ok(expected) = fs::read_to_string(directory.join("expected.txt")) else { continue };
        let project = discover_with(&directory, &Selection::default(), &|_| None)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let found = environments(&project);
        if std::env::var_os("BLESS").is_some() {
            fs::write(directory.join("expected.txt"), &found).unwrap();
        } else {
            assert_eq!(found, expected, "{} (BLESS=1 writes what is found)", directory.display());
        }
        seen += 1;
    }
    assert!(seen >= 3);
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
            for requirement in requirements(environment) {
                text += &format!("  {requirement}\n");
            }
        }
    }
    text
}
