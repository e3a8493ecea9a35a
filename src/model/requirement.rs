//! Requirements: PEP 508 with the place they come from.

use std::fmt;

use pep508_rs::Pep508Error;
use url::Url;

use super::origin::Origin;

/// The version specifiers of a requirement, or the URL that it points at.
pub type VersionOrUrl = pep508_rs::VersionOrUrl<Url>;

/// One requirement as the user or a distribution states it, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The requirement itself (PEP 508).
    pub pep508: pep508_rs::Requirement<Url>,
    /// Where it is stated.
    pub origin: Origin,
}

impl Requirement {
    /// Parses a PEP 508 string. Errors carry the position inside `text`.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, Box<Pep508Error<Url>>> {
        Ok(Self { pep508: text.parse().map_err(Box::new)?, origin })
    }

    /// The normalised text without the origin: names canonical, extras sorted, specifiers in a fixed order.
    pub fn normalized(&self) -> String {
        let mut requirement = self.pep508.clone();
        requirement.extras.sort();
        requirement.extras.dedup();
        requirement.to_string()
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.normalized())
    }
}
