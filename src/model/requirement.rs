//! Requirements: PEP 508 with the place they come from.

use std::fmt;

use pep508_rs::{Pep508Error, Pep508ErrorSource};
use url::Url;

use super::origin::Origin;

/// The version specifiers of a requirement, or the URL that it points at.
pub type VersionOrUrl = pep508_rs::VersionOrUrl<Url>;

/// Limits on a requirement's text: parsing recurses at each parenthesis, and combining markers can cost far more than
/// their length.
const MAX_LENGTH: usize = 16 * 1024;
const MAX_PARENTHESES: usize = 64;
const MAX_MARKERS: usize = 256;

/// One requirement as the user or a distribution states it, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The requirement itself (PEP 508).
    pub pep508: pep508_rs::Requirement<Url>,
    /// Where it is stated.
    pub origin: Origin,
}

impl Requirement {
    /// Parses a PEP 508 string. Show an error's `message`: its own `Display` repeats the text, which may hold
    /// credentials, and panics where the text is not ASCII.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, Box<Pep508Error<Url>>> {
        let count = |what: &str| text.matches(what).count();
        if text.len() > MAX_LENGTH
            || count("(") > MAX_PARENTHESES
            || count(" and ") + count(" or ") > MAX_MARKERS
        {
            let message = Pep508ErrorSource::String("it is too long or too deeply nested".to_owned());
            return Err(Box::new(Pep508Error { message, start: 0, len: 0, input: String::new() }));
        }
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
