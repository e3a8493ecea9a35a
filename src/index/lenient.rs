//! Specifiers and requirements as old distributions wrote them, before the standards were strict.
//!
//! What the standard accepts is taken as it is. Otherwise the text is taken apart loosely and put together again as the
//! standard wants it; what makes no sense even so is refused.

use pep440_rs::VersionSpecifiers;
use url::Url;

use crate::model::Origin;

type Requirement = pep508_rs::Requirement<Url>;

/// The longest requirement that is read.
const LONGEST: usize = 8 * 1024;
/// The deepest nesting of parentheses that is read: the parser recurses.
const DEEPEST: usize = 32;
/// The most conditions on extras or by `in` in one marker that mixes `and` with `or`: the parser's decision diagram grows
/// exponentially with them.
const MOST_CONDITIONS: usize = 32;

/// Reads version specifiers such as `>=3.6,<4`, with the errors of old distributions put right.
pub(super) fn specifiers(text: &str) -> Option<VersionSpecifiers> {
    if text.len() > LONGEST {
        return None;
    }
    text.parse().ok().or_else(|| repaired(text)?.parse().ok())
}

/// Reads a requirement such as `foo[bar]>=1.0; python_version < "3"`, with the errors of old distributions put right.
pub(super) fn requirement(text: &str) -> Result<Requirement, String> {
    check_bounds(text)?;
    let parse = |text: &str| {
        let read = crate::model::Requirement::parse(text, Origin::file("METADATA"));
        read.map(|read| read.pep508).map_err(|error| error.message.to_string())
    };
    // Of the parser's message, the first line says what is wrong.
    parse(text).or_else(|error| {
        let repaired = repaired_requirement(text).and_then(|text| parse(&text).ok());
        repaired.ok_or_else(|| error.lines().next().unwrap_or_default().to_owned())
    })
}

/// Refuses what would take the parser too much stack, time or memory.
fn check_bounds(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > DEEPEST {
        return Err(format!("its parentheses are nested deeper than {DEEPEST}"));
    }
    let Some((_, marker)) = text.split_once(';') else { return Ok(()) };
    let words = || marker.split(|c: char| !c.is_alphanumeric());
    let has = |word| words().any(|w| w == word);
    let conditions = words().filter(|word| matches!(*word, "extra" | "in")).count();
    if conditions > MOST_CONDITIONS && has("and") && has("or") {
        return Err(format!("its marker has more than {MOST_CONDITIONS} conditions"));
    }
    Ok(())
}

/// A requirement put together again: name and extras as they are, specifiers repaired, marker as it is.
fn repaired_requirement(text: &str) -> Option<String> {
    let (head, marker) = match text.split_once(';') {
        Some((head, marker)) => (head, Some(marker)),
        None => (text, None),
    };
    if head.contains('@') {
        return None;
    }
    let start = head.find(['<', '>', '=', '!', '~', '(']).unwrap_or(head.len());
    let (name, rest) = head.split_at(start);
    let rest = rest.trim();
    let rest = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(rest);
    let mut fixed = format!("{} {}", name.trim(), repaired(rest)?);
    if let Some(marker) = marker.map(str::trim).filter(|marker| !marker.is_empty()) {
        fixed.push_str(" ; ");
        fixed.push_str(marker);
    }
    Some(fixed)
}

/// Specifiers put together again. Commas may be missing, doubled or trailing, quotes stray; operators may be turned
/// round; a star may stand where an order has no use for it, or without its dot.
fn repaired(text: &str) -> Option<String> {
    const OPERATOR: [char; 5] = ['<', '>', '=', '!', '~'];
    let is_noise = |c: char| c.is_whitespace() || matches!(c, ',' | '\'' | '"');
    let mut fixed: Vec<String> = Vec::new();
    let mut rest = text.trim_start_matches(is_noise);
    while !rest.is_empty() {
        let end = rest.find(|c| !OPERATOR.contains(&c)).unwrap_or(rest.len());
        let (operator, after) = rest.split_at(end);
        let after = after.trim_start_matches(is_noise);
        let end = after.find(|c| is_noise(c) || OPERATOR.contains(&c)).unwrap_or(after.len());
        let (version, after) = after.split_at(end);
        rest = after.trim_start_matches(is_noise);

        let stem = version.trim_end_matches('*').trim_end_matches('.');
        let starred = version.ends_with('*');
        let (operator, version) = match operator {
            ">" if version == "dev" => (">", "0.0.dev0".to_owned()),
            "!=~" => ("!=", format!("{stem}.*")),
            "==" | "!=" if starred => (operator, format!("{stem}.*")),
            "==" | "!=" | "===" => (operator, version.to_owned()),
            "=" => ("==", version.to_owned()),
            ">=" | "=>" => (">=", stem.to_owned()),
            "<=" | "=<" => ("<=", stem.to_owned()),
            "<" | ">" | "~=" => (operator, stem.to_owned()),
            _ => return None,
        };
        if version.is_empty() {
            return None;
        }
        fixed.push(format!("{operator}{version}"));
    }
    Some(fixed.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_old_specifiers_are_put_right() {
        for (text, expected) in [
            (">=3.6", ">=3.6"),
            (">=3.6,<4", ">=3.6, <4"),
            (">=3.6.*", ">=3.6"),
            (">=2.7.*,!=3.0*,!=3.1.*", ">=2.7, !=3.0.*, !=3.1.*"),
            (">=3.6,", ">=3.6"),
            (">=2.7,!=3.0.*,,<4", ">=2.7, !=3.0.*, <4"),
            (">=2.7!=3.0.*", ">=2.7, !=3.0.*"),
            (">=3.5 <4", ">=3.5, <4"),
            ("'>=3.6'", ">=3.6"),
            (">= '3.6'", ">=3.6"),
            ("=>3.6", ">=3.6"),
            ("!=~3.0", "!=3.0.*"),
            (">dev", ">0.0.dev0"),
            ("", ""),
        ] {
            let read = specifiers(text).unwrap_or_else(|| panic!("{text} is readable"));
            assert_eq!(read.to_string(), expected, "{text}");
        }
        for bad in ["3.6", ">=", ">=three", "python>3", "<>3", &">=1,".repeat(10_000)] {
            assert!(specifiers(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_errors_of_old_requirements_are_put_right() {
        for (text, expected) in [
            ("foo (>=1.0)", "foo>=1.0"),
            ("foo (>=1.0,)", "foo>=1.0"),
            ("foo>=1.0.*", "foo>=1.0"),
            ("foo[b,a] (>=1.0.*) ; python_version < '3'", "foo[b,a]>=1.0 ; python_full_version < '3'"),
            ("foo>dev", "foo>0.0.dev0"),
            ("foo (>=1.0 <2)", "foo>=1.0,<2"),
        ] {
            let read = requirement(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read, expected.parse().unwrap(), "{text}");
        }
        for bad in [
            "",
            "foo-",
            "foo[x-]",
            "foo; os_name == 'x'é",
            "foo bar",
            "foo >= 1 ; nonsense",
            "foo @ :",
            "foo (>=1",
        ] {
            assert!(requirement(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hostile_marker_costs_nothing() {
        let nested = format!("foo; {}python_version < '3'{}", "(".repeat(2_000), ")".repeat(2_000));
        assert!(requirement(&nested).unwrap_err().contains("nested"));
        let pairs: Vec<String> = (0..60).map(|i| format!("(extra == 'a{i}' and extra == 'b{i}')")).collect();
        assert!(requirement(&format!("foo; {}", pairs.join(" or "))).unwrap_err().contains("conditions"));
    }
}
