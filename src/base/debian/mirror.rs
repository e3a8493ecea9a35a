//! A mirror of Debian's archive: release files, package lists, packages, each checked before it is used.

use std::io::BufReader;
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use url::Url;

use super::control::Paragraphs;
use super::error::Error;
use super::lock::LockedPackage;
use super::release::{Keys, Release};
use super::select::{Candidate, Candidates};
use super::{Recipe, deb};
use crate::base::download::{self, Failure};
use crate::model::{Arch, Digest, Warning};
use crate::net;
use crate::store::{Blob, Store};

/// The mirror that is used unless settings name another.
const MIRROR: &str = "https://deb.debian.org/debian";
/// The largest release file.
const MAX_RELEASE: u64 = 16 << 20;
/// The largest package list, compressed and not.
const MAX_LIST: u64 = 64 << 20;
const MAX_LIST_TEXT: u64 = 512 << 20;
/// The largest package.
const MAX_PACKAGE: u64 = 4 << 30;

/// Where Debian's packages come from.
#[derive(Debug, Clone)]
pub struct Mirrors {
    /// The archive, such as `https://deb.debian.org/debian`.
    pub main: Url,
    /// The archive of security updates.
    pub security: Url,
    /// The suite of security updates, if it is not called as Debian calls it: `bookworm-security`.
    pub security_suite: Option<String>,
    /// An archive that keeps what has left the others, if one is named: `/pool/…` is looked for below it.
    pub snapshot: Option<Url>,
    /// The keys that release files are signed with.
    pub keys: Keys,
}

impl Mirrors {
    /// The mirrors to use: what is not named is as Debian has it. The archive of security updates stands beside the main
    /// one unless it is named.
    pub fn new(
        main: Option<Url>,
        security: Option<Url>,
        snapshot: Option<Url>,
        keys: Keys,
    ) -> Result<Self, Error> {
        let default = || MIRROR.parse().map_err(|_| Error::Suite { suite: MIRROR.to_owned() });
        let main: Url = main.map_or_else(default, Ok)?;
        let security = security.unwrap_or_else(|| {
            let mut url = main.clone();
            let path = format!("{}-security", main.path().trim_end_matches('/'));
            url.set_path(&path);
            url
        });
        Ok(Self { main, security, security_suite: None, snapshot, keys })
    }

    fn archive(&self, security: bool) -> &Url {
        if security { &self.security } else { &self.main }
    }
}

/// Reads from mirrors.
pub(super) struct Reader<'a> {
    pub mirrors: &'a Mirrors,
    pub client: &'a net::Client,
    pub store: &'a Store,
}

impl Reader<'_> {
    /// The packages that there are for a recipe, and a warning where they may lack security updates.
    pub async fn candidates(&self, recipe: &Recipe) -> Result<(Candidates, Option<Warning>), Error> {
        let mut candidates = Candidates::default();
        let arch = recipe.platform.arch;
        if !self.add(arch, &recipe.suite, false, &mut candidates).await? {
            return Err(Error::NoArchitecture { suite: recipe.suite.clone(), arch });
        }
        let mut warning = None;
        if recipe.security {
            let suite = format!("{}-security", recipe.suite);
            let suite = self.mirrors.security_suite.as_ref().unwrap_or(&suite);
            // Volunteers care for old suites, and not for every processor. Only the signed word of the archive counts for
            // that: a mirror that lacks what it says may be withholding updates.
            if !self.add(arch, suite, true, &mut candidates).await? {
                let message = format!(
                    "there are no security updates for {}: {suite} is not made for it",
                    recipe.platform
                );
                warning = Some(Warning::general(message));
            }
        }
        Ok((candidates, warning))
    }

    /// Adds the packages of a suite for an architecture; false if it is not made for that.
    async fn add(
        &self,
        arch: Arch,
        suite: &str,
        security: bool,
        candidates: &mut Candidates,
    ) -> Result<bool, Error> {
        let archive = self.mirrors.archive(security);
        let url = below(archive, &format!("dists/{suite}/InRelease"));
        let signed = download::bytes(self.client, &url, MAX_RELEASE).await?;
        let shown = net::redacted(&url);
        let release = Release::verify(&signed, &self.mirrors.keys, &shown)?;
        release.check(suite, now(), &shown)?;

        let directory = format!("main/binary-{}", arch.oci());
        let path = format!("{directory}/Packages.xz");
        let (sha256, size) = match release.file(&path) {
            Some(listed) => listed,
            None if release.is_for(arch) => {
                let problem = format!("it is for {} and lists no {path}", arch.oci());
                return Err(Error::Release { url: shown, problem });
            }
            None => return Ok(false),
        };
        let by_hash = format!("{directory}/by-hash/SHA256/{}", sha256.hex());
        let path = if release.by_hash { &by_hash } else { &path };
        let url = below(archive, &format!("dists/{suite}/{path}"));
        let shown = net::redacted(&url);
        let bad = |problem: String| Error::List { url: shown.clone(), problem };
        if size > MAX_LIST {
            return Err(bad("it is too large".into()));
        }
        let list = self.blob(&url, &sha256, size).await?;
        let file = list.open()?;
        let read = move || {
            let text = std::io::Read::take(deb::xz(BufReader::with_capacity(128 << 10, file)), MAX_LIST_TEXT);
            let paragraphs = Paragraphs::new(BufReader::with_capacity(128 << 10, text));
            let found = paragraphs.map(|paragraph| paragraph.map(|p| Candidate::parse(&p, security)));
            found.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()
        };
        let found = tokio::task::spawn_blocking(read).await.map_err(Error::Worker)?;
        for candidate in found.map_err(|error| bad(error.to_string()))? {
            candidates.add(candidate);
        }
        Ok(true)
    }

    /// A package, its hash checked.
    pub async fn package(&self, package: &LockedPackage) -> Result<Blob, Error> {
        if package.size > MAX_PACKAGE {
            let problem = "it is too large".to_owned();
            return Err(Error::Package { name: package.name.clone(), problem });
        }
        let archive = self.mirrors.archive(package.security);
        let mut fetched = self.blob(&below(archive, &package.path), &package.sha256, package.size).await;
        if is_gone(&fetched)
            && let Some(snapshot) = &self.mirrors.snapshot
        {
            fetched = self.blob(&below(snapshot, &package.path), &package.sha256, package.size).await;
        }
        match fetched {
            Err(Error::Net(source)) if source.status().is_some_and(is_absent) => {
                let (name, version) = (package.name.clone(), package.version.clone());
                Err(Error::Gone { name, version, security: package.security, source })
            }
            other => other,
        }
    }

    /// A file of known hash and size: from the store, or downloaded into it.
    async fn blob(&self, url: &Url, sha256: &Digest, size: u64) -> Result<Blob, Error> {
        if let Some(blob) = self.store.blob(sha256, Some(size)) {
            return Ok(blob);
        }
        let got = download::into_store((self.client, self.store), url, Some(sha256), size).await;
        got.map_err(|failure| match failure {
            Failure::Net(error) => error.into(),
            Failure::Store(error) => error.into(),
            Failure::TooLarge => Error::Size { url: net::redacted(url), expected: size },
            Failure::Digest { expected, actual } => {
                Error::Digest { url: net::redacted(url), expected, actual }
            }
        })
    }
}

fn is_gone<T>(fetched: &Result<T, Error>) -> bool {
    matches!(fetched, Err(Error::Net(error)) if error.status().is_some_and(is_absent))
}

fn is_absent(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN)
}

/// The URL of a path below an archive; a query (such as a token) stays.
fn below(archive: &Url, path: &str) -> Url {
    let mut url = archive.clone();
    let start = archive.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{start}/{path}"));
    url
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_updates_stand_beside_the_archive() {
        let mirrors =
            |main: &str| Mirrors::new(Some(main.parse().unwrap()), None, None, Keys::debian().unwrap());
        let security = mirrors("https://mirror.example/a/debian/?t=1").unwrap().security;
        assert_eq!(security.as_str(), "https://mirror.example/a/debian-security?t=1");
        let url = below(&security, "dists/x/InRelease");
        assert_eq!(url.as_str(), "https://mirror.example/a/debian-security/dists/x/InRelease?t=1");
    }
}
