//! Which packages may be built from their sources.

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::PackageName;

/// Which packages may be built from their sources, and which must be. Without a word about it, what an index offers is
/// never built; what a requirement itself names as sources is, since nothing else can be meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Building {
    /// Whether everything may be built, or nothing; nobody said so if absent.
    all: Option<bool>,
    /// What is said of single packages.
    packages: BTreeMap<PackageName, bool>,
    /// Whether no wheel of an index counts.
    no_binary: bool,
    /// The packages whose wheels on an index do not count.
    no_binary_packages: BTreeSet<PackageName>,
}

/// A text that names no packages.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{}` is neither a package's name, nor `:all:` or `:none:`", .0.escape_debug())]
pub struct BuildingError(String);

/// What a list of packages is said about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// They may be built.
    Build,
    /// They may not be built.
    NoBuild,
    /// Their wheels do not count.
    NoBinary,
}

impl Building {
    /// Adds what is said of packages: names with commas or spaces between, `:all:` for every one, `:none:` to forget what
    /// was said before, as pip has it.
    pub fn say(&mut self, said: Said, text: &str) -> Result<(), BuildingError> {
        for word in text.split([',', ' ', '\t', '\n']).map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                ":all:" => self.say_all(said),
                ":none:" => self.forget(said),
                name => {
                    let parsed = name.parse();
                    self.say_of(said, parsed.map_err(|_| BuildingError(name.chars().take(100).collect()))?);
                }
            }
        }
        Ok(())
    }

    /// Says it of every package.
    pub fn say_all(&mut self, said: Said) {
        match said {
            Said::Build => self.all = Some(true),
            Said::NoBuild => self.all = Some(false),
            Said::NoBinary => self.no_binary = true,
        }
    }

    fn say_of(&mut self, said: Said, name: PackageName) {
        match said {
            Said::Build => drop(self.packages.insert(name, true)),
            Said::NoBuild => drop(self.packages.insert(name, false)),
            Said::NoBinary => drop(self.no_binary_packages.insert(name)),
        }
    }

    fn forget(&mut self, said: Said) {
        match said {
            Said::NoBinary => {
                self.no_binary = false;
                self.no_binary_packages.clear();
            }
            Said::Build | Said::NoBuild => {
                let allowed = said == Said::Build;
                self.all = self.all.filter(|all| *all != allowed);
                self.packages.retain(|_, known| *known != allowed);
            }
        }
    }

    /// This, and where it says nothing, what `below` says. Who speaks of all packages speaks of each.
    pub fn over(mut self, below: &Self) -> Self {
        if self.all.is_none() {
            self.all = below.all;
            for (name, allowed) in &below.packages {
                self.packages.entry(name.clone()).or_insert(*allowed);
            }
        }
        self.no_binary |= below.no_binary;
        self.no_binary_packages.extend(below.no_binary_packages.iter().cloned());
        self
    }

    /// Whether a source distribution of an index may be built. Who wants no wheel of a package wants it built.
    pub fn allows(&self, name: &PackageName) -> bool {
        let said = self.packages.get(name).copied().or(self.all);
        said.unwrap_or_else(|| self.refuses_wheels(name))
    }

    /// Whether sources may be built that a requirement of the package itself names.
    pub fn allows_direct(&self, name: &PackageName) -> bool {
        self.packages.get(name).copied().or(self.all).unwrap_or(true)
    }

    /// Whether wheels of the package on an index do not count.
    pub fn refuses_wheels(&self, name: &PackageName) -> bool {
        self.no_binary || self.no_binary_packages.contains(name)
    }

    /// As text what of it may change what is chosen of an index; empty if nothing does. Who refuses what nobody allows
    /// says nothing new.
    pub fn canonical(&self) -> String {
        let mut told = Vec::new();
        let word = |allowed: bool| if allowed { "build" } else { "no-build" };
        let sources_wanted = self.no_binary || !self.no_binary_packages.is_empty();
        let default = self.all.unwrap_or_default();
        let counts = |allowed: bool| allowed != default || (sources_wanted && self.all.is_none());
        told.extend(self.all.filter(|all| *all || sources_wanted).map(|all| word(all).to_owned()));
        let names = self.packages.iter().filter(|(_, allowed)| counts(**allowed));
        told.extend(names.map(|(name, allowed)| format!("{} {name}", word(*allowed))));
        told.extend(self.no_binary.then(|| "no-binary".to_owned()));
        told.extend(self.no_binary_packages.iter().map(|name| format!("no-binary {name}")));
        told.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(said: &[(Said, &str)]) -> Building {
        let mut building = Building::default();
        said.iter().for_each(|(said, text)| building.say(*said, text).unwrap());
        building
    }

    fn name(text: &str) -> PackageName {
        text.parse().unwrap()
    }

    #[test]
    fn a_package_counts_before_all_and_no_word_means_only_what_is_named_directly() {
        let silent = Building::default();
        assert!(!silent.allows(&name("a")) && silent.allows_direct(&name("a")));
        let some = said(&[(Said::Build, "A_b, c"), (Said::NoBuild, ":all:")]);
        assert!(some.allows(&name("a-b")) && !some.allows(&name("d")) && !some.allows_direct(&name("d")));
        let most = said(&[(Said::Build, ":all:"), (Said::NoBuild, "c")]);
        assert!(most.allows(&name("d")) && !most.allows(&name("c")) && !most.allows_direct(&name("c")));
        let sources = said(&[(Said::NoBinary, "c")]);
        assert!(
            sources.allows(&name("c")) && sources.refuses_wheels(&name("c")) && !sources.allows(&name("d"))
        );
        assert!(!said(&[(Said::NoBinary, "c :none:")]).allows(&name("c")));
        assert!(Building::default().say(Said::Build, "a/b").is_err());
    }

    #[test]
    fn who_speaks_of_all_packages_goes_before_what_files_say_of_one() {
        let files = said(&[(Said::Build, "a"), (Said::NoBinary, "a")]);
        let given = said(&[(Said::NoBuild, ":all:")]).over(&files);
        assert!(!given.allows(&name("a")));
        let given = said(&[(Said::NoBuild, "b")]).over(&files);
        assert!(given.allows(&name("a")) && !given.allows(&name("b")));
        assert_eq!(given.canonical(), "build a, no-build b, no-binary a");
    }

    #[test]
    fn only_what_may_change_a_choice_is_told() {
        for (rules, told) in [
            (&[][..], ""),
            (&[(Said::NoBuild, ":all:")], ""),
            (&[(Said::NoBuild, ":all:"), (Said::Build, "a"), (Said::NoBuild, "b")], "build a"),
            (&[(Said::Build, "a")], "build a"),
            (&[(Said::Build, ":all:"), (Said::Build, "a"), (Said::NoBuild, "b")], "build, no-build b"),
            (&[(Said::NoBuild, ":all:"), (Said::NoBinary, "a")], "no-build, no-binary a"),
        ] {
            assert_eq!(said(rules).canonical(), told);
        }
    }
}
