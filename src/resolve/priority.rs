//! In which order packages are decided, and how conflicts change it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use pep508_rs::PackageName;

use super::package::Package;

/// How many conflicts move a package to another class.
const CONFLICT_THRESHOLD: u32 = 5;

/// Why a package is decided early or late; later variants come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// No particular reason: first seen, first decided.
    Ordinary,
    /// Its choice often made other packages fail: those come first.
    Culprit,
    /// It often failed because of other packages' choices.
    Affected,
    /// Something requires exactly one version.
    Pinned,
    /// It comes from a direct URL.
    DirectUrl,
    /// The user's requirements.
    Root,
}

/// A place in the order; the greatest is decided first. An extra comes before its distribution, and fixes its version:
/// so what the extra adds is seen, and decided, before the tail of what the distribution itself brings along.
pub(crate) type Priority = (Class, Reverse<usize>, bool);

/// The order of all packages seen.
#[derive(Debug, Default)]
pub(crate) struct Priorities {
    by_name: HashMap<PackageName, (Class, usize)>,
    conflicts: HashMap<PackageName, Conflicts>,
    moved: Vec<(PackageName, Class)>,
}

/// How often a package was rejected, and how often it made another one be rejected.
#[derive(Debug, Default)]
struct Conflicts {
    affected: u32,
    culprit: u32,
}

impl Priorities {
    /// Notes that a package is required, and how.
    pub(crate) fn see(&mut self, name: &PackageName, class: Class) {
        let next = self.by_name.len();
        match self.by_name.get_mut(name) {
            Some((known, _)) => *known = (*known).max(class),
            None => {
                self.by_name.insert(name.clone(), (class, next));
            }
        }
    }

    /// The place of a package.
    pub(crate) fn get(&self, package: &Package) -> Priority {
        let Some(name) = package.name() else { return (Class::Root, Reverse(0), false) };
        let (class, index) = self.by_name.get(name).copied().unwrap_or((Class::Ordinary, usize::MAX));
        (class, Reverse(index), package.extra().is_some())
    }

    /// Counts a conflict: `affected` was rejected because of the choices of `culprits`.
    pub(crate) fn conflict<'p>(
        &mut self,
        affected: &PackageName,
        culprits: impl Iterator<Item = &'p PackageName>,
    ) {
        let mut real = false;
        for culprit in culprits.filter(|&culprit| culprit != affected) {
            real = true;
            let count = &mut self.entry(culprit).culprit;
            *count += 1;
            if *count == CONFLICT_THRESHOLD {
                self.moved.push((culprit.clone(), Class::Culprit));
            }
        }
        if real {
            let count = &mut self.entry(affected).affected;
            *count += 1;
            if *count == CONFLICT_THRESHOLD {
                self.moved.push((affected.clone(), Class::Affected));
            }
        }
    }

    fn entry(&mut self, name: &PackageName) -> &mut Conflicts {
        match self.conflicts.entry(name.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Conflicts::default()),
        }
    }

    /// Moves the packages whose conflicts reached the threshold, and names those whose place changed: what was decided
    /// since them must be decided again in the new order.
    pub(crate) fn reorder(&mut self) -> Vec<PackageName> {
        let mut changed = Vec::new();
        // First those that are affected, so that a culprit that is affected as well stays in front.
        let mut moved = std::mem::take(&mut self.moved);
        moved.sort_by_key(|(_, class)| Reverse(*class));
        for (name, class) in moved {
            let Some((known, _)) = self.by_name.get_mut(&name) else { continue };
            // A package counts as pinned if anything seen so far pins it, even a version that is out of the question by
            // now. Being a culprit shows that it was no good reason. What is affected once stays so, or two packages
            // could take turns for ever.
            let stays = match known {
                Class::Affected => true,
                Class::Culprit => class == Class::Culprit,
                Class::Ordinary | Class::Pinned => false,
                Class::DirectUrl | Class::Root => true,
            };
            if !stays {
                *known = class;
                changed.push(name);
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PackageName {
        text.parse().unwrap()
    }

    #[test]
    fn five_conflicts_move_a_package_to_the_front() {
        let mut priorities = Priorities::default();
        for package in ["x", "a", "b"] {
            priorities.see(&name(package), Class::Ordinary);
        }
        let before = |p: &Priorities, a: &str, b: &str| {
            p.get(&Package::Base(name(a))) > p.get(&Package::Base(name(b)))
        };
        assert!(before(&priorities, "x", "a") && before(&priorities, "a", "b"));
        for _ in 0..4 {
            priorities.conflict(&name("b"), [&name("a")].into_iter());
        }
        assert!(priorities.reorder().is_empty());
        priorities.conflict(&name("b"), [&name("a"), &name("b")].into_iter());
        assert_eq!(priorities.reorder(), [name("b"), name("a")]);
        assert!(before(&priorities, "b", "a") && before(&priorities, "a", "x"));
    }
}
