//! How distributions are chosen and where they come from. The command line and the environment go first, then the project's
//! files, then the user's configuration files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{Error, Options};
use crate::build;
use crate::index;
use crate::model::{Building, Libc, PackageName, Platform, PythonMinor, Requirement, Target, Timestamp};
use crate::project::{self, IndexPin, Project, Selection};
use crate::resolve::{self, PrereleaseMode, Strategy};

/// How long one call of a build backend may take. Large extensions are compiled for half an hour.
const BUILD_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// What the command line, the environment and configuration files say of resolving.
#[derive(Debug, Clone, Default)]
pub struct Resolving {
    /// Packages whose locked versions are not preferred; versions that are given limit this run.
    pub upgrade_packages: Vec<Requirement>,
    /// Optional dependencies of the project that are wanted.
    pub extras: Vec<String>,
    /// Dependency groups of the project that are wanted.
    pub groups: Vec<String>,
    /// Files of constraints.
    pub constraints: Vec<PathBuf>,
    /// Files of overrides.
    pub overrides: Vec<PathBuf>,
    /// When pre-releases may be chosen.
    pub prerelease: Option<PrereleaseMode>,
    /// Which of the versions that will do is chosen.
    pub strategy: Option<Strategy>,
    /// What was uploaded later is not there.
    pub exclude_newer: Option<Timestamp>,
    /// Where distributions come from.
    pub sources: Sources,
    /// The same by configuration files, which go after the project's own.
    pub configured: Sources,
    /// The netrc file.
    pub netrc: Option<PathBuf>,
    /// Files of certificates that are trusted besides the system's.
    pub certificates: Vec<PathBuf>,
    /// The Python that builds from sources, if one is named.
    pub build_python: Option<PathBuf>,
    /// How long one call of a build backend may take, if not the usual time.
    pub build_timeout: Option<Duration>,
}

/// Where distributions come from. URLs may hold credentials.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The main index.
    pub index_url: Option<Url>,
    /// Further indexes.
    pub extra_index_urls: Vec<Url>,
    /// Lists of links.
    pub find_links: Vec<Url>,
    /// Whether no index is to be asked.
    pub no_index: bool,
    /// How several indexes are used.
    pub strategy: Option<index::Strategy>,
    /// Whether the command `keyring` may be asked for credentials.
    pub keyring: Option<bool>,
    /// Whether pre-releases may be chosen like any other.
    pub pre: bool,
    /// Which packages may be built from their sources.
    pub building: Building,
}

impl Resolving {
    /// Whether a package's locked version is to give way.
    pub(super) fn upgrades(&self, name: &PackageName) -> bool {
        self.upgrade_packages.iter().any(|one| one.pep508.name == *name)
    }

    /// Puts what is chosen of the project's files into a selection.
    pub(super) fn select(&self, selection: &mut Selection) {
        selection.extras.clone_from(&self.extras);
        selection.groups.clone_from(&self.groups);
        selection.constraints.clone_from(&self.constraints);
        selection.overrides.clone_from(&self.overrides);
    }
}

/// How to resolve.
pub fn options(options: &Options, project: &Project) -> resolve::Options {
    let (given, files) = (&options.resolving, &project.resolving);
    let pre = given.sources.pre || project.indexes.pre || given.configured.pre;
    resolve::Options {
        prerelease: (given.prerelease.or(files.prerelease))
            .or(pre.then_some(PrereleaseMode::Allow))
            .unwrap_or_default(),
        strategy: given.strategy.or(files.strategy).unwrap_or_default(),
        exclude_newer: given.exclude_newer.or(files.exclude_newer),
    }
}

/// How sources are built.
pub fn build_settings(options: &Options, project: &Project) -> build::Settings {
    let Resolving { sources, configured, build_python, build_timeout, .. } = &options.resolving;
    let building = sources.building.clone().over(&project.indexes.building).over(&configured.building);
    build::Settings {
        building,
        python: build_python.clone(),
        timeout: build_timeout.unwrap_or(BUILD_TIMEOUT),
        options: self::options(options, project),
        jobs: options.jobs,
    }
}

/// Where distributions come from.
pub fn index_settings(options: &Options, project: &Project) -> Result<index::Settings, Error> {
    let (given, files, configured) =
        (&options.resolving.sources, &project.indexes, &options.resolving.configured);
    let urls = |files: &[(Url, _)]| files.iter().map(|(url, _)| url.clone()).collect::<Vec<_>>();
    let first = |all: [Vec<Url>; 3]| all.into_iter().find(|urls| !urls.is_empty()).unwrap_or_default();
    let in_files = files.index_url.as_ref().map(|(url, _)| url.clone());
    Ok(index::Settings {
        index_url: (given.index_url.clone().or(in_files))
            .or_else(|| configured.index_url.clone())
            .unwrap_or_else(index::default_index_url),
        extra_index_urls: first([
            given.extra_index_urls.clone(),
            urls(&files.extra_index_urls),
            configured.extra_index_urls.clone(),
        ]),
        no_index: given.no_index || files.no_index || configured.no_index,
        pinned: pinned(&files.pins, &options.platforms)?,
        find_links: first([given.find_links.clone(), urls(&files.find_links), configured.find_links.clone()]),
        strategy: given.strategy.or(files.strategy).or(configured.strategy).unwrap_or_default(),
        netrc: options.resolving.netrc.clone(),
        keyring: given.keyring.or(files.keyring).or(configured.keyring).unwrap_or_default(),
    })
}

/// The pins whose markers hold. A marker may not tell the Pythons or the platforms of one run apart.
fn pinned(pins: &[IndexPin], platforms: &[Platform]) -> Result<BTreeMap<PackageName, Url>, Error> {
    let libc = Libc::Glibc { major: 2, minor: 28 };
    let targets = platforms.iter().flat_map(|&platform| {
        [7, 30].map(|minor| Target { python: PythonMinor { major: 3, minor }, platform, libc })
    });
    let environments: Vec<_> = targets.map(|target| target.marker_environment()).collect();
    let mut all = BTreeMap::new();
    for pin in pins {
        let holds = environments.iter().filter(|environment| pin.marker.evaluate(environment, &[])).count();
        if holds != 0 && holds != environments.len() {
            let (origin, what) = (pin.origin.clone(), "a source for some Pythons or platforms".to_owned());
            let hint = "write a marker that holds for all of this run, or build one platform at a time";
            return Err(project::Error::Unsupported { origin, what, hint }.into());
        }
        if holds != 0 {
            all.entry(pin.name.clone()).or_insert_with(|| pin.index.clone());
        }
    }
    Ok(all)
}
