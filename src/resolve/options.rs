//! Choices that the user makes for a resolution.

use std::fmt;
use std::str::FromStr;

use crate::model::Timestamp;

/// When pre-releases may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrereleaseMode {
    /// Never.
    Disallow,
    /// Like stable releases.
    Allow,
    /// Where no stable release will do.
    IfNecessary,
    /// Where no stable release will do, for packages whose direct requirement or constraint names a pre-release.
    Explicit,
    /// Where no stable release will do, whether a requirement names a pre-release or not. The default, as in uv.
    #[default]
    IfNecessaryOrExplicit,
}

/// Which of the versions that will do is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// The newest.
    #[default]
    Highest,
    /// The oldest.
    Lowest,
    /// The oldest of what the user requires, the newest of everything else.
    LowestDirect,
}

/// A word that stands for no choice.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{}` is none of {known}", given.escape_debug())]
pub struct UnknownValue {
    /// What was given.
    pub given: String,
    /// What may be given.
    pub known: String,
}

impl UnknownValue {
    /// The error for a word that is none of the known ones.
    pub fn new(given: &str, known: &[&str]) -> Self {
        Self { given: given.chars().take(100).collect(), known: known.join(", ") }
    }
}

const PRERELEASES: [(&str, PrereleaseMode); 5] = [
    ("disallow", PrereleaseMode::Disallow),
    ("allow", PrereleaseMode::Allow),
    ("if-necessary", PrereleaseMode::IfNecessary),
    ("explicit", PrereleaseMode::Explicit),
    ("if-necessary-or-explicit", PrereleaseMode::IfNecessaryOrExplicit),
];

const STRATEGIES: [(&str, Strategy); 3] =
    [("highest", Strategy::Highest), ("lowest", Strategy::Lowest), ("lowest-direct", Strategy::LowestDirect)];

/// The choice that a word stands for.
fn choice<T: Copy>(text: &str, all: &[(&str, T)]) -> Result<T, UnknownValue> {
    let found = all.iter().find(|(word, _)| *word == text);
    let known: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
    found.map(|(_, value)| *value).ok_or_else(|| UnknownValue::new(text, &known))
}

/// The word for a choice.
fn word<T: PartialEq>(value: &T, all: &[(&'static str, T)]) -> &'static str {
    all.iter().find(|(_, known)| known == value).map_or("", |(word, _)| *word)
}

impl FromStr for PrereleaseMode {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        choice(text, &PRERELEASES)
    }
}

impl FromStr for Strategy {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        choice(text, &STRATEGIES)
    }
}

impl fmt::Display for PrereleaseMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(self, &PRERELEASES))
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(self, &STRATEGIES))
    }
}

/// Choices that the user makes for a resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Options {
    /// When pre-releases may be chosen.
    pub prerelease: PrereleaseMode,
    /// Which of the versions that will do is chosen.
    pub strategy: Strategy,
    /// Files that an index got at this time or later are not there; nor are those of which it does not tell when.
    pub exclude_newer: Option<Timestamp>,
}

impl Options {
    /// The options that differ from the defaults as text, equal only for equal options: part of what makes a lock stale.
    pub fn canonical(&self) -> String {
        let defaults = Self::default();
        let mut told = Vec::new();
        if self.prerelease != defaults.prerelease {
            told.push(format!("prerelease={}", self.prerelease));
        }
        if self.strategy != defaults.strategy {
            told.push(format!("resolution={}", self.strategy));
        }
        if let Some(time) = self.exclude_newer {
            told.push(format!("exclude-newer={time}"));
        }
        told.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for (word, mode) in PRERELEASES {
            assert_eq!((word.parse(), mode.to_string().as_str()), (Ok(mode), word));
        }
        for (word, strategy) in STRATEGIES {
            assert_eq!((word.parse(), strategy.to_string().as_str()), (Ok(strategy), word));
        }
        let error = "newest".parse::<Strategy>().unwrap_err();
        assert_eq!(error.to_string(), "`newest` is none of highest, lowest, lowest-direct");
    }

    #[test]
    fn only_what_differs_from_the_defaults_is_told() {
        assert_eq!(Options::default().canonical(), "");
        let options = Options {
            strategy: Strategy::Lowest,
            exclude_newer: Some("2024-01-31".parse().unwrap()),
            ..Options::default()
        };
        assert_eq!(options.canonical(), "resolution=lowest exclude-newer=2024-02-01T00:00:00Z");
    }
}
