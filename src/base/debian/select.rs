//! Which packages a base is made of: those that it names, and what they need.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::control::Paragraph;
use super::error::Error;
use super::lock::{LockedPackage, Part};
use super::relation::{self, Relation};
use super::{Recipe, version};
use crate::model::Digest;

/// What each layer is made for; dependencies follow.
const SEEDS: [(Part, &[&str]); 3] = [
    (
        Part::System,
        &[
            "base-files",
            "base-passwd",
            "bash",
            "coreutils",
            "dash",
            "debianutils",
            "findutils",
            "grep",
            "gzip",
            "libc-bin",
            "libgomp1",
            "libstdc++6",
            "mawk",
            "netbase",
            "sed",
            "tar",
        ],
    ),
    (Part::Data, &["ca-certificates", "tzdata"]),
    (Part::Python, &["python3-minimal", "libpython3-stdlib"]),
];

/// Dependencies that serve installing alone, or whose work configuring does.
const LEFT_OUT: [&str; 8] =
    ["debconf", "debconf-2.0", "dpkg", "install-info", "libc-dev-bin", "openssl", "perl-base", "perl"];

/// A package as a list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub name: String,
    pub version: String,
    pub path: String,
    pub size: u64,
    pub sha256: Digest,
    pub security: bool,
    /// Its relations as text: they are read only of packages that are looked at.
    depends: [String; 2],
    excludes: [String; 2],
    provides: String,
}

impl Candidate {
    /// A package of a list; none if the paragraph is no usable one.
    pub fn parse(paragraph: &Paragraph, security: bool) -> Option<Self> {
        let field = |name: &str| paragraph.get(name).unwrap_or_default().to_owned();
        Some(Self {
            name: field("Package"),
            version: field("Version"),
            path: field("Filename"),
            size: field("Size").parse().ok()?,
            sha256: Digest::from_hex(paragraph.get("SHA256")?).ok()?,
            security,
            depends: [field("Pre-Depends"), field("Depends")],
            excludes: [field("Conflicts"), field("Breaks")],
            provides: field("Provides"),
        })
        .filter(|candidate| candidate.locked(Part::System).is_sound())
    }

    fn locked(&self, part: Part) -> LockedPackage {
        LockedPackage {
            part,
            name: self.name.clone(),
            version: self.version.clone(),
            path: self.path.clone(),
            security: self.security,
            size: self.size,
            sha256: self.sha256,
        }
    }

    fn provided(&self) -> Vec<Relation> {
        relation::parse(&self.provides).unwrap_or_default().into_iter().flatten().collect()
    }
}

/// The packages of all lists: of each name the newest version.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    by_name: BTreeMap<String, Candidate>,
    /// The names of the packages that provide a name, sorted.
    providers: HashMap<String, BTreeSet<String>>,
}

impl Candidates {
    pub fn add(&mut self, candidate: Candidate) {
        use std::cmp::Ordering::Greater;
        let name = candidate.name.clone();
        match self.by_name.get(&name) {
            Some(known) if version::compare(&candidate.version, &known.version) != Greater => return,
            _ => {}
        }
        for provided in candidate.provided() {
            self.providers.entry(provided.name).or_default().insert(name.clone());
        }
        self.by_name.insert(name, candidate);
    }

    /// The package that satisfies a relation: the one with the name, else the first that provides it.
    fn find(&self, wanted: &Relation) -> Option<&Candidate> {
        let own = self.by_name.get(&wanted.name).filter(|own| wanted.allows(&own.version));
        own.or_else(|| {
            let providers = self.providers.get(&wanted.name)?.iter();
            providers.filter_map(|name| self.by_name.get(name)).find(|candidate| {
                candidate.provided().iter().any(|provided| wanted.allows_provided(provided))
            })
        })
    }
}

/// What is chosen so far.
struct Selection<'c> {
    recipe: &'c Recipe,
    candidates: &'c Candidates,
    chosen: BTreeMap<&'c str, (&'c Candidate, Part)>,
    provided: Vec<Relation>,
}

/// Chooses the packages for a recipe, by layer and name.
pub(super) fn select(recipe: &Recipe, candidates: &Candidates) -> Result<Vec<LockedPackage>, Error> {
    let mut selection = Selection { recipe, candidates, chosen: BTreeMap::new(), provided: Vec::new() };
    for (part, seeds) in SEEDS {
        selection.add(part, seeds)?;
    }
    let extra: Vec<&str> = recipe.packages.iter().map(String::as_str).collect();
    selection.add(Part::Extra, &extra)?;
    selection.check()?;
    let mut packages: Vec<_> =
        selection.chosen.values().map(|(candidate, part)| candidate.locked(*part)).collect();
    packages.sort_by(|a, b| (a.part, &a.name).cmp(&(b.part, &b.name)));
    Ok(packages)
}

impl<'c> Selection<'c> {
    /// Adds packages and what they need.
    fn add(&mut self, part: Part, names: &[&str]) -> Result<(), Error> {
        // All that are asked for come first: they satisfy dependencies before the archive's own choice does (`awk`).
        let mut added = Vec::new();
        for name in names {
            let wanted = Relation { name: (*name).to_owned(), version: None };
            if !self.chosen.contains_key(name) {
                let found = self.candidates.by_name.get(*name).or_else(|| self.candidates.find(&wanted));
                added.push(self.choose(found.ok_or_else(|| self.none(&wanted, None))?, part));
            }
        }
        let mut next = 0;
        while let Some(&package) = added.get(next) {
            next += 1;
            for field in &package.depends {
                let groups = relation::parse(field).map_err(|text| Error::Package {
                    name: package.name.clone(),
                    problem: format!("it depends on `{text}`"),
                })?;
                for alternatives in groups {
                    if alternatives.iter().any(|wanted| self.satisfies(wanted)) {
                        continue;
                    }
                    let found = alternatives.iter().find_map(|wanted| self.candidates.find(wanted));
                    let Some(found) = found else {
                        return Err(self.none(&alternatives[0], Some(&package.name)));
                    };
                    added.push(self.choose(found, part));
                }
            }
        }
        Ok(())
    }

    fn choose(&mut self, candidate: &'c Candidate, part: Part) -> &'c Candidate {
        self.provided.extend(candidate.provided());
        self.chosen.insert(&candidate.name, (candidate, part));
        candidate
    }

    fn satisfies(&self, wanted: &Relation) -> bool {
        LEFT_OUT.contains(&&*wanted.name)
            || self.chosen.get(&*wanted.name).is_some_and(|(own, _)| wanted.allows(&own.version))
            || self.provided.iter().any(|provided| wanted.allows_provided(provided))
    }

    /// Whether all that is chosen may stand together.
    fn check(&self) -> Result<(), Error> {
        for (package, _) in self.chosen.values() {
            let excluded =
                package.excludes.iter().flat_map(|field| relation::parse(field).unwrap_or_default());
            for excluded in excluded.flatten() {
                let hit = self.chosen.values().map(|(other, _)| other).find(|other| {
                    other.name != package.name
                        && ((other.name == excluded.name && excluded.allows(&other.version))
                            || other.provided().iter().any(|provided| excluded.allows_provided(provided)))
                });
                if let Some(other) = hit {
                    return Err(Error::Conflict { first: package.name.clone(), second: other.name.clone() });
                }
            }
        }
        Ok(())
    }

    fn none(&self, wanted: &Relation, by: Option<&str>) -> Error {
        let suite = self.recipe.suite.clone();
        Error::NoPackage { suite, wanted: wanted.to_string(), by: by.map(str::to_owned) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Platform;

    fn archive(packages: &[&str]) -> Candidates {
        let mut candidates = Candidates::default();
        let seeds = SEEDS.iter().flat_map(|(_, names)| names.iter()).map(|name| format!("Package: {name}"));
        for text in seeds.chain(packages.iter().map(|text| (*text).to_owned())) {
            let name = text.lines().next().unwrap().strip_prefix("Package: ").unwrap();
            let version = if text.contains("\nVersion:") { "" } else { "Version: 1\n" };
            let sha256 = Digest::of(text.as_bytes()).hex();
            let text = format!("{text}\n{version}Filename: pool/{name}.deb\nSize: 1\nSHA256: {sha256}\n");
            candidates.add(Candidate::parse(&Paragraph::parse(&text).unwrap(), false).unwrap());
        }
        candidates
    }

    fn extra(packages: &[&str], wanted: &[&str]) -> Result<Vec<String>, Error> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let recipe =
            Recipe::new("bookworm", "linux/amd64".parse::<Platform>().unwrap(), &wanted, true).unwrap();
        let chosen = select(&recipe, &archive(packages))?;
        Ok(chosen.into_iter().filter(|p| p.part == Part::Extra).map(|p| p.name).collect())
    }

    #[test]
    fn dependencies_are_followed() {
        let packages = [
            "Package: app\nDepends: lib (>= 2), bash, missing | other, awk, perl\nPre-Depends: pre",
            "Package: lib\nVersion: 2.1",
            "Package: pre\nDepends: app",
            "Package: zz-awk\nProvides: awk",
            "Package: aa-awk\nProvides: awk",
            "Package: other",
        ];
        assert_eq!(extra(&packages, &["app"]).unwrap(), ["aa-awk", "app", "lib", "other", "pre"]);
        assert_eq!(extra(&packages, &["app", "zz-awk"]).unwrap(), ["app", "lib", "other", "pre", "zz-awk"]);
    }

    #[test]
    fn the_newest_of_several_versions_is_taken() {
        let packages = [
            "Package: lib\nVersion: 1.10",
            "Package: lib\nVersion: 1.9",
            "Package: app\nDepends: lib (>= 1.10)",
        ];
        assert_eq!(extra(&packages, &["app"]).unwrap(), ["app", "lib"]);
    }

    #[test]
    fn what_cannot_be_satisfied_is_named() {
        let told = |packages: &[&str], wanted: &[&str]| extra(packages, wanted).unwrap_err().to_string();
        let text = told(&["Package: app\nDepends: lib (>= 3)", "Package: lib\nVersion: 2"], &["app"]);
        assert!(text.contains("`lib (>= 3)`, which app needs"), "{text}");
        assert!(told(&[], &["libnothing"]).contains("`libnothing`"));
        let text = told(&["Package: app\nConflicts: other (<< 2)", "Package: other"], &["app", "other"]);
        assert!(text.contains("app and other"), "{text}");
        // A virtual package may be provided by one alone.
        assert!(extra(&["Package: app\nProvides: mta\nConflicts: mta"], &["app"]).is_ok());
    }
}
