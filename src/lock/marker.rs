//! Markers of a lock (PEP 751): those of requirements (PEP 508), and whether extras and dependency groups are wanted.

use std::borrow::Cow;

use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree};

use super::read::shown;
use crate::model::Target;

/// What markers are evaluated with: the target, no extras, and the groups that a lock installs unasked.
pub(super) struct Markers {
    environment: MarkerEnvironment,
    groups: Vec<ExtraName>,
}

impl Markers {
    pub(super) fn new(target: Target, default_groups: &[&str]) -> Self {
        let groups = default_groups.iter().filter_map(|group| group.parse().ok()).collect();
        Self { environment: target.marker_environment(), groups }
    }

    /// Whether a marker holds; the error says that it cannot be read.
    pub(super) fn holds(&self, text: &str) -> Result<bool, String> {
        let unsupported = || format!("the marker `{}` is not supported", shown(text));
        if !text.is_ascii() {
            return Err(unsupported());
        }
        let marker: MarkerTree = self.decided(text).parse().map_err(|_| unsupported())?;
        Ok(marker.evaluate(&self.environment, &[]))
    }

    /// The marker with `"NAME" in extras` and `"NAME" in dependency_groups` replaced by what always or never holds.
    fn decided<'m>(&self, text: &'m str) -> Cow<'m, str> {
        if !text.contains("extras") && !text.contains("dependency_groups") {
            return Cow::Borrowed(text);
        }
        let words = words(text);
        let mut out = String::with_capacity(text.len());
        let mut rest = &words[..];
        while let [first, after @ ..] = rest {
            let (negated, tail) = match after {
                ["not", "in", tail @ ..] => (true, tail),
                ["in", tail @ ..] => (false, tail),
                _ => (false, &[][..]),
            };
            let wanted = match tail {
                ["extras", ..] => Some(false),
                ["dependency_groups", ..] => {
                    let name = first.trim_matches(['"', '\'']).parse::<ExtraName>();
                    Some(name.is_ok_and(|name| self.groups.contains(&name)))
                }
                _ => None,
            };
            match wanted.filter(|_| first.starts_with(['"', '\''])) {
                Some(wanted) => {
                    // Every target is POSIX.
                    out.push_str(if wanted == negated { "os_name != 'posix'" } else { "os_name == 'posix'" });
                    rest = &tail[1..];
                }
                None => {
                    out.push_str(first);
                    rest = after;
                }
            }
            out.push(' ');
        }
        Cow::Owned(out)
    }
}

/// A marker's words: texts with their quotation marks, parentheses, and what stands between white space.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '(' | ')' => 1,
            '"' | '\'' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            _ => rest.find([' ', '\t', '(', ')', '"', '\'']).unwrap_or(rest.len()),
        };
        words.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extras_are_not_wanted_and_groups_as_the_lock_says() {
        let target = Target {
            python: "3.11".parse().unwrap(),
            platform: "linux/amd64".parse().unwrap(),
            libc: "glibc-2.36".parse().unwrap(),
        };
        let markers = Markers::new(target, &["default"]);
        for (marker, holds) in [
            ("python_version >= '3.9'", true),
            ("\"default\" in dependency_groups", true),
            ("'dev' in dependency_groups", false),
            ("'dev' not in dependency_groups", true),
            ("\"default\" in dependency_groups and (sys_platform == 'win32')", false),
            ("(\"dev\" in dependency_groups or 'Default' in dependency_groups) and os_name=='posix'", true),
            ("'tui' in extras or python_version<'3.12'", true),
            ("'tui' in extras", false),
        ] {
            assert_eq!(markers.holds(marker), Ok(holds), "{marker}");
        }
        for broken in ["'a' in", "in extras", "'a in extras", "é == 'x'", "extras", "'x' in extras extras"] {
            assert!(markers.holds(broken).is_err(), "{broken}");
        }
    }
}
