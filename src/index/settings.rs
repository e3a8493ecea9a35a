//! Which indexes to use, and how.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use pep508_rs::PackageName;
use url::Url;

use super::client::default_index_url;
use crate::net::{redacted, without_credentials};

/// How several indexes are used. The names are uv's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// The first index that has a package serves all of its versions: so a public index cannot slip a newer version
    /// under a private name.
    #[default]
    FirstIndex,
    /// Every index is asked, and a version of an earlier index goes before all of a later one.
    UnsafeFirstMatch,
    /// Every index is asked, and the best version of all is taken.
    UnsafeBestMatch,
}

const STRATEGIES: [(&str, Strategy); 3] = [
    ("first-index", Strategy::FirstIndex),
    ("unsafe-first-match", Strategy::UnsafeFirstMatch),
    ("unsafe-best-match", Strategy::UnsafeBestMatch),
];

/// The word stands for no [`Strategy`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is none of first-index, unsafe-first-match, unsafe-best-match")]
pub struct StrategyError(String);

impl FromStr for Strategy {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Self, StrategyError> {
        // pip has no such option; uv once called the default otherwise.
        let found = STRATEGIES.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, strategy)| *strategy)
            .ok_or_else(|| StrategyError(text.escape_debug().take(100).collect()))
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = STRATEGIES.iter().find(|(_, strategy)| strategy == self);
        f.write_str(found.map_or("", |(word, _)| *word))
    }
}

/// Which indexes to use. The URLs may hold credentials.
#[derive(Clone)]
pub struct Settings {
    /// The main index, asked last.
    pub index_url: Url,
    /// Further indexes, asked first, in this order.
    pub extra_index_urls: Vec<Url>,
    /// Whether neither is asked: only pinned indexes and lists of links count.
    pub no_index: bool,
    /// Packages that come from one index alone.
    pub pinned: BTreeMap<PackageName, Url>,
    /// Lists of links to files of any package: directories (`file:`) or pages.
    pub find_links: Vec<Url>,
    /// How several indexes are used.
    pub strategy: Strategy,
    /// A netrc file, which may hold credentials for hosts.
    pub netrc: Option<PathBuf>,
    /// Whether the command `keyring` is asked for credentials that are missing.
    pub keyring: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            index_url: default_index_url(),
            extra_index_urls: Vec::new(),
            no_index: false,
            pinned: BTreeMap::new(),
            find_links: Vec::new(),
            strategy: Strategy::default(),
            netrc: None,
            keyring: false,
        }
    }
}

impl Settings {
    /// The indexes that are asked for every package that is not pinned, in order.
    pub fn index_urls(&self) -> Vec<Url> {
        if self.no_index {
            return Vec::new();
        }
        self.extra_index_urls.iter().chain([&self.index_url]).cloned().collect()
    }

    /// Every URL that may hold credentials.
    pub(super) fn all_urls(&self) -> Vec<Url> {
        let mut all = self.index_urls();
        all.extend(self.pinned.values().chain(&self.find_links).cloned());
        all
    }

    /// What besides the indexes' URLs decides where distributions come from, as text: part of what a lock is made from.
    /// Credentials do not count; of a local directory only its name does, since a project may lie anywhere.
    pub fn canonical(&self) -> Vec<String> {
        let mut told: Vec<String> = self
            .pinned
            .iter()
            .map(|(name, url)| format!("{name} from {}", without_credentials(url)))
            .collect();
        told.extend(self.find_links.iter().map(|url| {
            let folder =
                url.path().trim_end_matches('/').rsplit('/').next().filter(|_| url.scheme() == "file");
            match folder {
                Some(folder) => format!("find-links {folder}/"),
                None => format!("find-links {}", without_credentials(url)),
            }
        }));
        if self.strategy != Strategy::default() {
            told.push(self.strategy.to_string());
        }
        if self.no_index {
            told.push("no-index".to_owned());
        }
        told
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |urls: &[Url]| urls.iter().map(redacted).collect::<Vec<_>>();
        f.debug_struct("Settings")
            .field("index_urls", &shown(&self.index_urls()))
            .field("find_links", &shown(&self.find_links))
            .field("pinned", &self.pinned.keys().collect::<Vec<_>>())
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lock_is_made_from_names_no_secret_and_no_place_on_this_machine() {
        let url = |text: &str| Url::parse(text).unwrap();
        let settings = Settings {
            find_links: vec![
                url("file:///home/me/project/wheels/"),
                url("https://u:s3cret@host.example/links"),
            ],
            pinned: BTreeMap::from([("a".parse().unwrap(), url("https://u:s3cret@host.example/simple/"))]),
            strategy: Strategy::UnsafeBestMatch,
            no_index: true,
            ..Settings::default()
        };
        assert_eq!(
            settings.canonical(),
            [
                "a from https://host.example/simple/",
                "find-links wheels/",
                "find-links https://host.example/links",
                "unsafe-best-match",
                "no-index"
            ]
        );
        assert!(!format!("{settings:?}").contains("s3cret"));
        assert!(Settings::default().canonical().is_empty());
    }
}
