//! Requirements: PEP 508 with the place they come from.

use std::fmt;

use pep508_rs::{Pep508Error, Pep508ErrorSource};
use url::Url;

use super::origin::Origin;

/// The version specifiers of a requirement, or the URL that it points at.
pub type VersionOrUrl = pep508_rs::VersionOrUrl<Url>;

/// Limits on a requirement's text, since parsing recurses at each parenthesis.
const MAX_LENGTH: usize = 16 * 1024;
const MAX_PARENTHESES: usize = 64;
const MAX_OPERATORS: usize = 256;
/// Markers are kept as decision diagrams, whose size doubles with each `and` of two independent conditions under an
/// `or`. Beyond these limits together, they are refused.
const MAX_CONDITIONS: usize = 24;
const MAX_ALTERNATIONS: usize = 12;

/// One requirement as the user or a distribution states it, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The requirement itself (PEP 508).
    pub pep508: pep508_rs::Requirement<Url>,
    /// Where it is stated.
    pub origin: Origin,
    /// What a variable put into the URL of its repository.
    pub credentials: Option<Credentials>,
}

/// A user and a password; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password; may be empty.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Requirement {
    /// Parses a PEP 508 string. Show an error's `message`: its own `Display` repeats the text, which may hold
    /// credentials, and panics where the text is not ASCII.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, Box<Pep508Error<Url>>> {
        if let Some(problem) = refused(text) {
            let message = Pep508ErrorSource::String(problem.to_owned());
            return Err(Box::new(Pep508Error { message, start: 0, len: 0, input: String::new() }));
        }
        Ok(Self { pep508: text.parse().map_err(Box::new)?, origin, credentials: None })
    }

    /// The normalised text without the origin: names canonical, extras sorted, specifiers in a fixed order.
    pub fn normalized(&self) -> String {
        let mut requirement = self.pep508.clone();
        requirement.extras.sort();
        requirement.extras.dedup();
        requirement.to_string()
    }
}

/// Why a text must not reach the parser: it would take too long, or panic.
fn refused(text: &str) -> Option<&'static str> {
    let is_name_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ends_badly = |name: &str| name.ends_with(['-', '_', '.']);
    let rest = text.trim_start().trim_start_matches(is_name_part);
    let name = &text.trim_start()[..text.trim_start().len() - rest.len()];
    let extras = rest.trim_start().strip_prefix('[').and_then(|rest| rest.split(']').next());
    if ends_badly(name) || extras.is_some_and(|extras| extras.split(|c| !is_name_part(c)).any(ends_badly)) {
        return Some("a name must end with a letter or digit");
    }
    // The parser counts characters where it means bytes.
    if text.split_once(';').is_some_and(|(_, marker)| !marker.is_ascii()) {
        return Some("a marker must be plain ASCII");
    }
    let word = |word: &str| {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| *w == word).count()
    };
    let (and, or) = (word("and"), word("or"));
    let too_many = text.len() > MAX_LENGTH
        || text.matches('(').count() > MAX_PARENTHESES
        || and + or > MAX_OPERATORS
        || (word("extra") + word("in") > MAX_CONDITIONS && and.min(or) > MAX_ALTERNATIONS);
    too_many.then_some("it is too long or too deeply nested")
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.normalized())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_the_parser_is_refused() {
        let parse = |text: &str| Requirement::parse(text, Origin::file("x"));
        for text in [
            "a.",
            "a. [b]",
            "a-==1",
            "a[b-]",
            "a [c, b_ ]==1",
            "a[c,b-\u{b}]",
            "a[b-",
            "a[b--\u{2028}!=",
            "a_ ; os_name == 'x'",
            "a; os_name == 'x'é or",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let terms = |n: usize| {
            let terms = (0..n).map(|i| format!("extra == 'a{i:03}' and extra == 'b{i:03}'"));
            format!("a; {}", terms.collect::<Vec<_>>().join(" or "))
        };
        assert!(parse(&terms(10)).is_ok());
        assert!(parse(&terms(40)).is_err());
        assert!(parse(&format!("a; {}os_name == 'x'{}", "(".repeat(100), ")".repeat(100))).is_err());
        assert!(parse("a[b,c.d] @ https://[::1]/a-.whl ; extra == 'x-'").is_ok());
    }
}
