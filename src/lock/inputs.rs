//! What a lock is made from, and whether that is still so.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use super::{Base, Lock};
use crate::model::{Digest, Key, KeyHasher, PackageName, Requirement, Target};
use crate::net::without_credentials;

/// What stands for the default options in a key, so that locks stay fresh that were made when it was written out.
const DEFAULT_OPTIONS: &str = "prerelease=if-necessary-or-explicit";

/// Everything that a resolution depends on and that stands in the project or on the command line: while it is the same,
/// a lock is fresh, and nobody needs to ask the network.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The requirements.
    pub requirements: &'a [Requirement],
    /// The constraints.
    pub constraints: &'a [Requirement],
    /// What is required in the place of what others require.
    pub overrides: &'a [Requirement],
    /// The only hashes allowed, for packages that have any.
    pub hashes: &'a BTreeMap<PackageName, Vec<Digest>>,
    /// The target.
    pub target: Target,
    /// The resolution's options, as canonical text.
    pub options: &'a str,
    /// The indexes in their order; credentials do not count.
    pub indexes: &'a [Url],
    /// What else says where distributions come from, as canonical text.
    pub sources: &'a [String],
    /// What the base has of the distributions that are locked or that serve instead, as [`Base::facts`] tells it.
    ///
    /// [`Base::facts`]: super::Base::facts
    pub base: &'a [String],
}

impl Inputs<'_> {
    /// The key of all of it. The order of requirements and where they are written do not count.
    pub fn key(&self) -> Key {
        let mut hasher = KeyHasher::new("lock/1");
        let mut list = |name: &str, items: &mut dyn Iterator<Item = String>| {
            let items: Vec<String> = items.collect();
            hasher.text(name).text(&items.len().to_string());
            for item in &items {
                hasher.text(item);
            }
        };
        list("requirements", &mut texts(self.requirements).into_iter());
        list("constraints", &mut texts(self.constraints).into_iter());
        list(
            "hashes",
            &mut self.hashes.iter().map(|(name, digests)| {
                let digests: BTreeSet<String> = digests.iter().map(ToString::to_string).collect();
                format!("{name} {}", digests.into_iter().collect::<Vec<_>>().join(" "))
            }),
        );
        let Target { python, platform, libc } = self.target;
        list("target", &mut [python.to_string(), platform.to_string(), libc.to_string()].into_iter());
        let options = if self.options.is_empty() { DEFAULT_OPTIONS } else { self.options };
        list("options", &mut std::iter::once(options.to_owned()));
        list("indexes", &mut self.indexes.iter().map(|url| without_credentials(url).to_string()));
        // Few have any of these: the key of all others stays as it is.
        if !self.overrides.is_empty() {
            list("overrides", &mut texts(self.overrides).into_iter());
        }
        if !self.sources.is_empty() {
            list("sources", &mut self.sources.iter().cloned());
        }
        if !self.base.is_empty() {
            list("base", &mut self.base.iter().cloned());
        }
        hasher.finish()
    }

    /// The requirements as a lock records them.
    pub(super) fn requirement_texts(&self) -> Vec<String> {
        texts(self.requirements).into_iter().collect()
    }
}

fn texts(requirements: &[Requirement]) -> BTreeSet<String> {
    let text = |requirement: &Requirement| {
        let mut requirement = requirement.clone();
        if let Some(crate::model::VersionOrUrl::Url(url)) = &mut requirement.pep508.version_or_url {
            *url = recorded(url);
        }
        requirement.normalized()
    };
    requirements.iter().map(text).collect()
}

/// A URL as it is recorded: without credentials, and a local file by its name alone, since the project may lie anywhere.
fn recorded(url: &Url) -> Url {
    let mut parts = url.path().rsplit('/');
    let name = parts.find(|part| !part.is_empty()).filter(|_| url.scheme() == "file");
    let fragment = url.fragment().map_or_else(String::new, |fragment| format!("#{fragment}"));
    let local = name.and_then(|name| Url::parse(&format!("file:///{name}{fragment}")).ok());
    local.unwrap_or_else(|| without_credentials(url))
}

/// Whether a lock still says what a resolution of the same inputs would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// It was made from the same inputs.
    Fresh,
    /// It was not, and why.
    Stale(String),
    /// Another tool made it (named here), so nobody knows; it is used as it is.
    Foreign(String),
}

/// Compares a lock with the inputs of today.
pub fn freshness(lock: &Lock, inputs: &Inputs<'_>) -> Freshness {
    if lock.is_foreign() {
        return Freshness::Foreign(lock.created_by.clone());
    }
    if lock.inputs == Some(inputs.key()) {
        return Freshness::Fresh;
    }
    if lock.target != inputs.target {
        return Freshness::Stale(format!("it was made for {}, not for {}", lock.target, inputs.target));
    }
    if lock.options != inputs.options {
        let told = |options: &str| match options {
            "" => "the default options".to_owned(),
            options => format!("`{options}`"),
        };
        let (before, now) = (told(&lock.options), told(inputs.options));
        return Freshness::Stale(format!("it was made with {before}, not with {now}"));
    }
    let known = lock.base.as_ref().map(Base::facts).unwrap_or_default();
    if known != inputs.base {
        let before: BTreeSet<&String> = known.iter().collect();
        let now: BTreeSet<&String> = inputs.base.iter().collect();
        let names = before.symmetric_difference(&now).filter_map(|fact| fact.split(' ').next());
        let names: BTreeSet<&str> = names.collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        return Freshness::Stale(format!("the base image has another {names} than it was made with"));
    }
    let before: BTreeSet<&String> = lock.requirements.iter().collect();
    let now = inputs.requirement_texts();
    let now: BTreeSet<&String> = now.iter().collect();
    let names = |texts: Vec<&&String>| {
        texts.into_iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ")
    };
    let (added, removed) = (now.difference(&before).collect::<Vec<_>>(), before.difference(&now).collect());
    Freshness::Stale(match (added.is_empty(), Vec::is_empty(&removed)) {
        (true, true) => "constraints, overrides, hashes or indexes changed since it was made".to_owned(),
        (false, true) => format!("{} is required now", names(added)),
        (true, false) => format!("{} is no longer required", names(removed)),
        (false, false) => format!("{} is required now, {} no longer", names(added), names(removed)),
    })
}
