//! What is known about packages so far: each fact is asked for once.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use pep508_rs::{MarkerEnvironment, PackageName};
use url::Url;

use super::manifest::{Manifest, same_url, shown};
use super::package::Reason;
use super::ranges::python_is_new_enough;
use super::rules::Candidates;
use super::source::{Fault, Source};
use super::{Error, Request};
use crate::index::{self, CoreMetadata, Metadata, Place, ReleaseFile, Releases};
use crate::model::{Origin, Version, VersionOrUrl};

/// How many direct URLs one resolution may reach, those that archives behind URLs name included.
const MAX_DIRECT_URLS: usize = 1000;

/// How many packages one resolution may look at: no real project comes near, and an index that invents them without end
/// is stopped.
const MAX_PACKAGES: usize = 50_000;

type Looked<T> = Result<T, Reason>;
type LookedUp = HashMap<Version, Looked<Arc<Metadata>>>;

/// The facts of one resolution.
pub(crate) struct Facts<'r> {
    /// What the user asks for.
    pub(crate) manifest: Manifest<'r>,
    /// What markers are evaluated with.
    pub(crate) environment: MarkerEnvironment,
    /// Where facts come from.
    pub(crate) source: &'r dyn Source,
    /// The direct URLs, with those that the archives behind them name.
    urls: BTreeMap<PackageName, Url>,
    candidates: RefCell<HashMap<PackageName, Option<Rc<Candidates>>>>,
    metadata: RefCell<HashMap<PackageName, LookedUp>>,
}

impl<'r> Facts<'r> {
    /// Reads the request and looks behind its direct URLs.
    pub(crate) fn new(request: &'r Request<'_>, source: &'r dyn Source) -> Result<Self, Error> {
        let environment = request.target.marker_environment();
        let manifest = Manifest::new(request, &environment, source.building())?;
        let mut this = Self {
            manifest,
            environment,
            source,
            urls: BTreeMap::new(),
            candidates: RefCell::default(),
            metadata: RefCell::default(),
        };
        this.look_behind_urls()?;
        Ok(this)
    }

    /// The direct URL of a package, if it has one.
    pub(crate) fn url(&self, name: &PackageName) -> Option<&Url> {
        self.urls.get(name)
    }

    /// The candidates of a package, where asking for them does not wait.
    pub(crate) fn known(&self, name: &PackageName) -> Option<Rc<Candidates>> {
        if let Some(known) = self.candidates.borrow().get(name) {
            return known.clone();
        }
        if self.candidates.borrow().len() >= MAX_PACKAGES {
            return None;
        }
        let candidates = Rc::new(self.candidates_of(self.source.known_releases(name)?));
        self.candidates.borrow_mut().insert(name.clone(), Some(Rc::clone(&candidates)));
        Some(candidates)
    }

    fn candidates_of(&self, releases: Arc<Releases>) -> Candidates {
        Candidates::new(releases, Arc::clone(&self.manifest.rules))
    }

    /// The version of a package that is there already, if it may be used.
    pub(crate) fn installed(&self, name: &PackageName) -> Option<&Version> {
        let installed = self.manifest.rules.installed.get(name)?;
        (!self.urls.contains_key(name)).then_some(&installed.version)
    }

    /// Whether a version of a package is the one that is there already.
    pub(crate) fn is_installed(&self, name: &PackageName, version: &Version) -> bool {
        self.installed(name) == Some(version)
    }

    /// The candidates of a package; none if no index has it.
    pub(crate) fn candidates(&self, name: &PackageName) -> Result<Option<Rc<Candidates>>, Error> {
        if let Some(known) = self.candidates.borrow().get(name) {
            return Ok(known.clone());
        }
        if self.candidates.borrow().len() >= MAX_PACKAGES {
            return Err(Error::TooManyPackages { limit: MAX_PACKAGES });
        }
        let found = match self.source.releases(name) {
            Ok(releases) => Some(Rc::new(self.candidates_of(releases))),
            Err(Fault::UnknownPackage) => {
                match self.required_at(name).filter(|_| self.installed(name).is_none()) {
                    Some(origin) => return Err(Error::UnknownPackage { name: name.clone(), origin }),
                    None => None,
                }
            }
            Err(Fault::Unusable(why)) => {
                tracing::debug!(%name, why, "the index has no usable releases");
                None
            }
            Err(Fault::Failed(source)) => {
                return Err(self.failed(name, source));
            }
        };
        self.candidates.borrow_mut().insert(name.clone(), found.clone());
        Ok(found)
    }

    /// The metadata of the file that would be used for a version, or why it cannot be used.
    pub(crate) fn metadata(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> Result<Looked<Arc<Metadata>>, Error> {
        if let Some(known) = self.known_metadata(name, version) {
            return Ok(known);
        }
        if self.is_installed(name, version)
            && let Some(installed) = self.manifest.rules.installed.get(name)
        {
            return Ok(Ok(Arc::clone(installed)));
        }
        let candidates = self.candidates(name)?;
        let Some(file) = candidates.as_ref().and_then(|candidates| candidates.file(version)) else {
            return Ok(Err(Reason::NoFiles));
        };
        let looked = match self.source.metadata(file) {
            Ok(metadata) => self.checked(name, version, metadata),
            Err(Fault::Unusable(why)) => Err(Reason::Metadata(why)),
            Err(Fault::UnknownPackage) => Err(Reason::Metadata("it is gone from the index".to_owned())),
            Err(Fault::Failed(source)) => {
                return Err(self.failed(name, source));
            }
        };
        if let Err(reason) = &looked {
            tracing::debug!(%name, %version, %reason, "not usable");
        }
        let mut all = self.metadata.borrow_mut();
        all.entry(name.clone()).or_default().insert(version.clone(), looked.clone());
        Ok(looked)
    }

    /// The metadata of a version, if it was looked at before.
    pub(crate) fn known_metadata(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> Option<Looked<Arc<Metadata>>> {
        self.metadata.borrow().get(name)?.get(version).cloned()
    }

    /// Where the user requires a package directly, or constrains it.
    pub(crate) fn required_at(&self, name: &PackageName) -> Option<Origin> {
        let mut requirements = self.manifest.requirements.iter();
        requirements.find(|requirement| requirement.pep508.name == *name).map(|found| found.origin.clone())
    }

    fn failed(&self, name: &PackageName, source: index::Error) -> Error {
        Error::Index { name: name.clone(), needed_by: self.required_at(name), source: Box::new(source) }
    }

    /// Metadata must speak of the distribution that it was asked for, and may name a newer Python than the index does.
    fn checked(
        &self,
        name: &PackageName,
        version: &Version,
        metadata: Arc<Metadata>,
    ) -> Looked<Arc<Metadata>> {
        if metadata.name != *name || metadata.version != *version {
            return Err(Reason::Metadata(format!("it says it is {} {}", metadata.name, metadata.version)));
        }
        match &metadata.requires_python {
            Some(specifiers) if !python_is_new_enough(specifiers, &self.manifest.rules.python) => {
                Err(Reason::Python(specifiers.to_string()))
            }
            _ => Ok(metadata),
        }
    }

    /// Reads the metadata behind the direct URLs, and behind those that these name in turn: whoever asks for an archive
    /// by URL asks for what it asks for by URL as well.
    fn look_behind_urls(&mut self) -> Result<(), Error> {
        let own = self.manifest.urls.iter();
        let mut open: Vec<(PackageName, Url, Origin)> = own
            .map(|(&name, &(url, requirement))| (name.clone(), url.clone(), requirement.origin.clone()))
            .collect();
        open.reverse();
        while let Some((name, url, origin)) = open.pop() {
            let unusable = |reason: String| Error::DirectUrl {
                name: name.clone(),
                url: shown(&url),
                origin: origin.clone(),
                reason,
            };
            if let Some(known) = self.urls.get(&name) {
                if same_url(known, &url) || self.manifest.urls.contains_key(&name) {
                    // Where it differs from the user's own, the requirement is refused when its turn comes.
                    continue;
                }
                return Err(unusable(format!("it is also required from {}", shown(known))));
            }
            if self.urls.len() >= MAX_DIRECT_URLS {
                return Err(unusable(format!("there are more than {MAX_DIRECT_URLS} direct URLs")));
            }
            let (archive, metadata) = self.source.direct(&name, &url).map_err(|fault| match fault {
                Fault::Failed(source) => Error::Index {
                    name: name.clone(),
                    needed_by: Some(origin.clone()),
                    source: Box::new(source),
                },
                Fault::UnknownPackage => unusable("there is nothing".to_owned()),
                Fault::Unusable(why) => unusable(why),
            })?;
            if metadata.name != name {
                return Err(unusable(format!("it is a distribution of `{}`", metadata.name)));
            }
            for requirement in &metadata.requires_dist {
                if let Some(VersionOrUrl::Url(next)) = &requirement.version_or_url
                    && requirement.evaluate_markers(&self.environment, &metadata.provides_extras)
                {
                    open.push((requirement.name.clone(), next.clone(), origin.clone()));
                }
            }
            let version = metadata.version.clone();
            let file = ReleaseFile {
                name: name.clone(),
                version: version.clone(),
                archive,
                requires_python: metadata.requires_python.clone(),
                yanked: None,
                upload_time: None,
                core_metadata: CoreMetadata::Absent,
            };
            let releases = Releases {
                name: name.clone(),
                index: url.clone(),
                elsewhere: BTreeMap::from([(file.archive.file_name.clone(), Place { rank: 0, index: None })]),
                earlier_index_first: false,
                versions: BTreeMap::from([(version.clone(), vec![file].into())]),
            };
            let candidates = self.candidates_of(Arc::new(releases));
            self.candidates.get_mut().insert(name.clone(), Some(Rc::new(candidates)));
            let looked = self.checked(&name, &version, metadata);
            self.metadata.get_mut().entry(name.clone()).or_default().insert(version, looked);
            self.urls.insert(name, url);
        }
        Ok(())
    }
}
