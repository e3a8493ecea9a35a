//! Options, variables and configuration files that say how distributions are chosen and where they come from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use url::Url;

use super::configuration;
use crate::bake::{Resolving, Sources};
use crate::index;
use crate::model::{Building, Origin, Requirement, Said, Timestamp, VersionOrUrl};
use crate::resolve::{PrereleaseMode, Strategy};

/// How distributions are chosen and where they come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Resolving")]
pub struct ResolvingArguments {
    /// The Python index instead of the public one.
    #[arg(long, value_name = "URL")]
    index_url: Option<Url>,
    /// A further index, asked before the main one (repeatable).
    #[arg(long, value_name = "URL")]
    extra_index_url: Vec<Url>,
    /// A directory of wheels, or a page with links to them (repeatable).
    #[arg(short, long, value_name = "PATH|URL")]
    find_links: Vec<String>,
    /// Ask no index: only what --find-links names counts.
    #[arg(long)]
    no_index: bool,
    /// How several indexes are used: first-index, unsafe-first-match or unsafe-best-match.
    #[arg(long, value_name = "STRATEGY", env = "UV_INDEX_STRATEGY")]
    index_strategy: Option<index::Strategy>,
    /// Where credentials come from that no URL and no netrc file has.
    #[arg(long, value_name = "PROVIDER")]
    keyring_provider: Option<KeyringProvider>,
    /// Lock this package anew; all others keep their versions where they can (repeatable): NAME, or NAME<2.
    #[arg(short = 'P', long, value_name = "NAME")]
    pub upgrade_package: Vec<String>,
    /// Limit versions by a file of constraints (repeatable).
    #[arg(long, value_name = "FILE")]
    constraint: Vec<PathBuf>,
    /// Replace requirements, whoever has them, by those of a file (repeatable).
    #[arg(long = "override", value_name = "FILE")]
    overrides: Vec<PathBuf>,
    /// Leave out what was uploaded later: a date (to its end in UTC) or an RFC 3339 time.
    #[arg(long, value_name = "DATE", env = "UV_EXCLUDE_NEWER")]
    exclude_newer: Option<Timestamp>,
    /// Which versions are chosen: highest, lowest or lowest-direct.
    #[arg(long, value_name = "STRATEGY", env = "UV_RESOLUTION")]
    resolution: Option<Strategy>,
    /// When pre-releases may be chosen: disallow, allow, if-necessary, explicit or if-necessary-or-explicit.
    #[arg(long, value_name = "MODE", env = "UV_PRERELEASE")]
    prerelease: Option<PrereleaseMode>,
    /// Optional dependencies of the project (repeatable).
    #[arg(long, value_name = "NAME")]
    extra: Vec<String>,
    /// A dependency group of the project (repeatable).
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Allow building from source distributions: of this package, or of all without a name (repeatable).
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = ":all:")]
    build: Vec<String>,
    /// Refuse to build from sources, those included that a requirement names itself: this package, or all (repeatable).
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = ":all:")]
    no_build: Vec<String>,
    /// Do not use wheels of this package, but build it (repeatable).
    #[arg(long, value_name = "NAME")]
    no_binary: Vec<String>,
    /// The Python that builds [default: pythonX.Y of the image's version, else another for what is pure].
    #[arg(long, value_name = "PATH", env = "BAKEHOUSE_BUILD_PYTHON")]
    build_python: Option<PathBuf>,
    /// How long one step of a build may take [default: 3600].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    build_timeout: Option<u32>,
}

/// Where credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyringProvider {
    /// From nowhere else.
    Disabled,
    /// From the command `keyring`.
    Subprocess,
}

impl ResolvingArguments {
    /// The arguments, with variables and configuration files. An error is a message about usage.
    pub fn resolving(&self) -> Result<Resolving, String> {
        let (configured, certificate) = configuration::read()?;
        let or_variable = |given: &[PathBuf], names: &[&str]| -> Vec<PathBuf> {
            let variables = || names.iter().filter_map(|name| variable(name));
            match given {
                [] => variables().flat_map(|value| words(&value)).map(PathBuf::from).collect(),
                given => given.to_vec(),
            }
        };
        let keyring = self.keyring_provider.map(|provider| provider == KeyringProvider::Subprocess);
        let upgraded = self.upgrade_package.iter().map(|text| upgrade(text));
        let certificates = ["PIP_CERT", "REQUESTS_CA_BUNDLE"].iter().find_map(|name| variable(name));
        Ok(Resolving {
            upgrade_packages: upgraded.collect::<Result<_, _>>()?,
            extras: self.extra.clone(),
            groups: self.group.clone(),
            constraints: or_variable(&self.constraint, &["PIP_CONSTRAINT", "UV_CONSTRAINT"]),
            overrides: or_variable(&self.overrides, &["UV_OVERRIDE"]),
            prerelease: self.prerelease,
            strategy: self.resolution,
            exclude_newer: self.exclude_newer,
            sources: Sources {
                index_url: match &self.index_url {
                    Some(url) => Some(url.clone()),
                    None => first_url(&["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"])?,
                },
                extra_index_urls: match &self.extra_index_url[..] {
                    [] => all_urls(&["PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"])?,
                    urls => urls.to_vec(),
                },
                find_links: match &self.find_links[..] {
                    [] => {
                        let named =
                            ["PIP_FIND_LINKS", "UV_FIND_LINKS"].iter().filter_map(|name| variable(name));
                        let places: Vec<String> =
                            named.flat_map(|value| words(&value.replace(',', " "))).collect();
                        places.iter().map(|place| links(place)).collect::<Result<_, _>>()?
                    }
                    given => given.iter().map(|place| links(place)).collect::<Result<_, _>>()?,
                },
                no_index: self.no_index || is_set("PIP_NO_INDEX") || is_set("UV_NO_INDEX"),
                strategy: self.index_strategy,
                keyring: keyring.or_else(|| {
                    let named = ["PIP_KEYRING_PROVIDER", "UV_KEYRING_PROVIDER"].iter();
                    named.filter_map(|name| variable(name)).next().map(|provider| provider == "subprocess")
                }),
                pre: is_set("PIP_PRE"),
                building: self.building()?,
            },
            build_python: self.build_python.clone(),
            build_timeout: self.build_timeout.map(|seconds| Duration::from_secs(seconds.into())),
            configured,
            netrc: match variable("NETRC") {
                Some(file) => Some(file.into()),
                None => variable("HOME").map(|home| Path::new(&home).join(".netrc")),
            },
            certificates: certificates.map(PathBuf::from).or(certificate).into_iter().collect(),
        })
    }
}

impl ResolvingArguments {
    /// Which packages may be built: what the options say, and where they say nothing, what the variables of pip and uv do.
    fn building(&self) -> Result<Building, String> {
        let mut given = Building::default();
        for (option, said, texts) in [
            ("build", Said::Build, &self.build),
            ("no-build", Said::NoBuild, &self.no_build),
            ("no-binary", Said::NoBinary, &self.no_binary),
        ] {
            for text in texts {
                given.say(said, text).map_err(|error| {
                    format!("--{option}: {error}; without a name, put it behind the project or write --{option}=:all:")
                })?;
            }
        }
        let mut variables = Building::default();
        for (name, said) in [
            ("PIP_ONLY_BINARY", Said::NoBuild),
            ("PIP_NO_BINARY", Said::NoBinary),
            ("UV_NO_BUILD_PACKAGE", Said::NoBuild),
            ("UV_NO_BINARY_PACKAGE", Said::NoBinary),
        ] {
            let told = variables.say(said, &variable(name).unwrap_or_default());
            told.map_err(|error| format!("{name}: {error}"))?;
        }
        for (name, said) in [("UV_NO_BUILD", Said::NoBuild), ("UV_NO_BINARY", Said::NoBinary)] {
            if is_set(name) {
                variables.say_all(said);
            }
        }
        Ok(given.over(&variables))
    }
}

/// The value of a variable that is set to something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn is_set(name: &str) -> bool {
    variable(name).is_some_and(|value| is_true(&value))
}

/// Whether a word means yes, as pip reads it.
pub(super) fn is_true(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "y" | "yes" | "t" | "true" | "on" | "1")
}

pub(super) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The first URL of the variables. The message does not repeat the value: it may hold a password.
fn first_url(names: &[&str]) -> Result<Option<Url>, String> {
    for name in names {
        if let Some(url) = urls_of(name)?.into_iter().next() {
            return Ok(Some(url));
        }
    }
    Ok(None)
}

fn all_urls(names: &[&str]) -> Result<Vec<Url>, String> {
    let mut all = Vec::new();
    for name in names {
        all.extend(urls_of(name)?);
    }
    Ok(all)
}

/// URLs from a variable, separated by white space; each may have a name before it, as in `NAME=URL`.
fn urls_of(name: &str) -> Result<Vec<Url>, String> {
    let value = variable(name).unwrap_or_default();
    let plain = |text: &str| match text.split_once('=') {
        Some((label, url)) if !label.contains([':', '/']) => url.to_owned(),
        _ => text.to_owned(),
    };
    value
        .split_whitespace()
        .map(|text| plain(text).parse().map_err(|error| format!("{name}: {error}")))
        .collect()
}

/// A list of links: a page's URL or a directory.
pub(super) fn links(place: &str) -> Result<Url, String> {
    if place.contains("://") {
        return place.parse().map_err(|error| format!("--find-links: {error}"));
    }
    let wrong = || format!("--find-links {place}: there is no such directory");
    let path = Path::new(place).canonicalize().map_err(|_| wrong())?;
    if !path.is_dir() {
        return Err(wrong());
    }
    Url::from_directory_path(path).map_err(|()| wrong())
}

/// A package to upgrade, perhaps within limits.
fn upgrade(text: &str) -> Result<Requirement, String> {
    let wrong =
        || format!("--upgrade-package {text}: expected a name, or a name with versions such as `pandas<3`");
    let requirement = Requirement::parse(text, Origin::file("--upgrade-package")).map_err(|_| wrong())?;
    let pep508 = &requirement.pep508;
    let is_url = matches!(pep508.version_or_url, Some(VersionOrUrl::Url(_)));
    let is_plain = !is_url && pep508.extras.is_empty() && pep508.marker.is_true();
    if is_plain { Ok(requirement) } else { Err(wrong()) }
}
