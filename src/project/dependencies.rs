//! Sets of requirements, and how one set is laid over another.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Root;
use super::{Error, IndexSettings, PythonRequest};
use crate::model::{
    Digest, Origin, PackageName, Requirement, RequirementsTxt, Variables, VersionOrUrl, parse_requirement,
    read_requirements_txt,
};

/// What one place asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Dependencies {
    pub requirements: Vec<Requirement>,
    pub constraints: Vec<Requirement>,
    pub overrides: Vec<Requirement>,
    pub hashes: BTreeMap<PackageName, Vec<Digest>>,
    pub python: Option<PythonRequest>,
}

impl Dependencies {
    /// Adds a requirement. One for `python` is no distribution but the version of Python.
    pub fn push(&mut self, requirement: Requirement) -> Result<(), Error> {
        let pep508 = &requirement.pep508;
        match &pep508.version_or_url {
            Some(VersionOrUrl::VersionSpecifier(version))
                if pep508.name.as_ref() == "python" && pep508.marker.is_true() =>
            {
                self.python = Some(PythonRequest::parse(&version.to_string(), requirement.origin)?);
            }
            _ => self.requirements.push(requirement),
        }
        Ok(())
    }

    /// Adds an entry of a dictionary from names to versions, as decorators and `config.yml` have it.
    pub fn push_package(&mut self, name: &str, version: &str, origin: Origin) -> Result<(), Error> {
        let (name, version) = (name.trim(), version.trim());
        if name.eq_ignore_ascii_case("python") {
            self.python = Some(PythonRequest::parse(version, origin)?);
            return Ok(());
        }
        self.requirements.push(parse_requirement(&package_string(name, version), origin)?);
        Ok(())
    }

    /// These requirements with `over` laid over them: what it says about a distribution replaces what is said here.
    pub fn overridden_by(&self, over: &Self) -> Self {
        let replaced: BTreeSet<&PackageName> = over.requirements.iter().map(|r| &r.pep508.name).collect();
        let kept = self.requirements.iter().filter(|r| !replaced.contains(&r.pep508.name));
        let hashes = self.hashes.iter().filter(|(name, _)| !replaced.contains(name)).chain(&over.hashes);
        Self {
            requirements: kept.chain(&over.requirements).cloned().collect(),
            constraints: self.constraints.iter().chain(&over.constraints).cloned().collect(),
            overrides: self.overrides.iter().chain(&over.overrides).cloned().collect(),
            hashes: hashes.map(|(name, hashes)| (name.clone(), hashes.clone())).collect(),
            python: over.python.clone().or_else(|| self.python.clone()),
        }
    }
}

/// One string from a name and a version, by the platform's rule: a version that begins with an operator is put behind
/// the name, an empty one means any, every other one is exact. The name may carry extras, and either may carry a URL.
fn package_string(name: &str, version: &str) -> String {
    match version.chars().next() {
        // `name@url` as a key; the standard wants the space before a URL.
        None => name.replacen('@', " @ ", 1),
        // The revision of a URL that the name carries already.
        Some('@') if name.contains('@') => format!("{name}{version}"),
        Some('@') => format!("{name} @ {}", version[1..].trim_start()),
        Some('<' | '>' | '=' | '~' | '!') => format!("{name}{version}"),
        Some(_) => format!("{name}=={version}"),
    }
}

/// A conda match specification from a name, which may carry a channel, and a version, by the same rule.
pub(super) fn match_spec(name: &str, version: &str, origin: &Origin) -> Result<String, Error> {
    let (name, version) = (name.trim(), version.trim());
    let is_odd = |c: char| c.is_control() || c.is_whitespace();
    if name.is_empty() || name.contains(is_odd) || version.contains(char::is_control) {
        let shown: String = format!("{name} {version}").escape_debug().take(100).collect();
        return Err(Error::invalid(origin.clone(), format!("`{shown}` is not a conda package")));
    }
    Ok(match version.chars().next() {
        None => name.to_owned(),
        Some('<' | '>' | '=' | '~' | '!' | '@') => format!("{name}{version}"),
        Some(_) => format!("{name}=={version}"),
    })
}

/// Reads a requirements file of the project.
pub(super) fn read_requirements(
    root: &Root,
    file: &str,
    named: Option<&Origin>,
    variables: Variables<'_>,
) -> Result<(Dependencies, IndexSettings), Error> {
    let mut read = |name: &str, included: Option<&Origin>| root.read(name, included.or(named));
    let RequirementsTxt {
        requirements,
        constraints,
        hashes,
        index_url,
        extra_index_urls,
        find_links,
        no_index,
        pre,
        building,
        editables,
    } = read_requirements_txt(file, &mut read, &|path| root.locate(path), variables)?;
    let mut dependencies = Dependencies { constraints, hashes, ..Dependencies::default() };
    for requirement in requirements {
        dependencies.push(requirement)?;
    }
    let indexes = IndexSettings {
        index_url,
        extra_index_urls,
        find_links,
        no_index,
        pre,
        building,
        editables,
        ..Default::default()
    };
    Ok((dependencies, indexes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(packages: &[(&str, &str)]) -> Dependencies {
        let mut set = Dependencies::default();
        for (name, version) in packages {
            set.push_package(name, version, Origin::file("x")).unwrap();
        }
        set
    }

    fn shown(set: &Dependencies) -> Vec<String> {
        set.requirements.iter().map(Requirement::normalized).collect()
    }

    #[test]
    fn names_and_versions_become_requirements() {
        let set = set(&[
            ("a", "1.0"),
            ("b", ""),
            ("c", " >=1 "),
            ("d", "!=1.5,<2"),
            ("e", "~=1.2"),
            ("f[y,x]", "==1.*"),
            ("g", "1.2.*"),
            ("h", "@https://h.example/h-1-py3-none-any.whl"),
            ("i@https://h.example/i-1-py3-none-any.whl", ""),
            ("j@git+https://h.example/j.git@v1", ""),
            ("k", "@git+https://h.example/k"),
            ("Python", "3.11"),
        ]);
        assert_eq!(
            shown(&set),
            [
                "a==1.0",
                "b",
                "c>=1",
                "d!=1.5,<2",
                "e~=1.2",
                "f[x,y]==1.*",
                "g==1.2.*",
                "h @ https://h.example/h-1-py3-none-any.whl",
                "i @ https://h.example/i-1-py3-none-any.whl",
                "j @ git+https://h.example/j.git@v1",
                "k @ git+https://h.example/k",
            ]
        );
        assert_eq!(set.python.unwrap().specifiers.to_string(), "==3.11.*");
        let mut bad = Dependencies::default();
        for (name, version) in
            [("", "1"), ("a b", "1"), ("a", "*"), ("a", "=1"), ("a", "@hg+https://h.example/a")]
        {
            assert!(bad.push_package(name, version, Origin::file("x")).is_err(), "{name} {version}");
        }
    }

    #[test]
    fn an_entry_replaces_the_one_for_the_same_distribution() {
        let base = set(&[("Scikit.Learn", "1.4"), ("pandas", "2"), ("python", "3.11")]);
        let merged = base.overridden_by(&set(&[("scikit_learn", "1.5"), ("numpy", "")]));
        assert_eq!(shown(&merged), ["pandas==2", "scikit-learn==1.5", "numpy"]);
        assert_eq!(merged.python.unwrap().specifiers.to_string(), "==3.11.*");
    }
}
