//! What locks of other tools have in common with requirements.

use pep440_rs::Operator;
use url::Url;

use super::Lock;
use crate::model::{Requirement, Version, VersionOrUrl};

/// The one thing that a requirement allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinnedRequirement<'r> {
    /// One version.
    Version(&'r Version),
    /// One archive.
    Url(&'r Url),
}

/// What a requirement pins; none if it leaves a choice.
pub fn pinned(requirement: &Requirement) -> Option<PinnedRequirement<'_>> {
    match requirement.pep508.version_or_url.as_ref()? {
        VersionOrUrl::Url(url) => Some(PinnedRequirement::Url(url)),
        VersionOrUrl::VersionSpecifier(specifiers) => {
            let mut specifiers = specifiers.iter();
            let (only, None) = (specifiers.next()?, specifiers.next()) else { return None };
            matches!(only.operator(), Operator::Equal | Operator::ExactEqual)
                .then(|| PinnedRequirement::Version(only.version()))
        }
    }
}

/// The requirements that count for a lock's target and that the lock does not meet, as text.
pub fn unmet(lock: &Lock, requirements: &[Requirement]) -> Vec<String> {
    let environment = lock.target.marker_environment();
    let is_unmet = |requirement: &&Requirement| {
        let name = &requirement.pep508.name;
        let Some(pin) = lock.pins.iter().find(|pin| pin.name == *name) else { return true };
        match &requirement.pep508.version_or_url {
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => !specifiers.contains(&pin.version),
            Some(VersionOrUrl::Url(_)) | None => false,
        }
    };
    let counts = |requirement: &&Requirement| requirement.pep508.evaluate_markers(&environment, &[]);
    let unmet = requirements.iter().filter(counts).filter(is_unmet);
    unmet.map(Requirement::normalized).collect()
}
