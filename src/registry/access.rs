//! What a token must allow.

use std::collections::BTreeMap;

/// The repositories that a piece of work reads, and whether it also writes to them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Access(BTreeMap<String, bool>);

impl Access {
    /// Reading one repository.
    pub(super) fn pull(repository: &str) -> Self {
        Self(BTreeMap::from([(repository.to_owned(), false)]))
    }

    /// Reading and writing one repository.
    pub(super) fn push(repository: &str) -> Self {
        Self(BTreeMap::from([(repository.to_owned(), true)]))
    }

    /// The same, and reading one more repository.
    pub(super) fn and_pull(mut self, repository: &str) -> Self {
        self.0.entry(repository.to_owned()).or_insert(false);
        self
    }

    /// Whether who may do this may do `other` too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(repository, push)| self.0.get(repository).is_some_and(|own| own >= push))
    }

    /// The scopes as token servers know them.
    pub(super) fn scopes(&self) -> Vec<String> {
        let actions = |push: bool| if push { "pull,push" } else { "pull" };
        self.0.iter().map(|(name, &push)| format!("repository:{name}:{}", actions(push))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_access_covers_less() {
        let mount = Access::push("a").and_pull("b");
        assert_eq!(mount.scopes(), ["repository:a:pull,push", "repository:b:pull"]);
        assert!(mount.covers(&Access::pull("a")) && mount.covers(&Access::pull("b")));
        assert!(!mount.covers(&Access::push("b")) && !Access::pull("a").covers(&mount));
        assert_eq!(Access::push("a").and_pull("a"), Access::push("a"));
    }
}
