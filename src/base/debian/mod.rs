//! Bases made of Debian's packages: `deb://bookworm` and the like. Nothing but packages is read, no script of theirs is
//! run, and nothing of the target is executed.
//!
//! ```text
//! mirror ──InRelease, signed──▶ package list ──select──▶ lock ──.deb──▶ fragments ─┐
//!                                                           configuration ─────────┴─▶ layers ─▶ image
//! ```
//!
//! [`lock`] asks a mirror which packages a [`Recipe`] takes; [`make`] makes the image of exactly those. A package becomes a
//! fragment once, as a distribution does, and a layer is the fragments of its packages with a last one that configures
//! them: all keys follow from the lock alone.

mod certificate;
mod configure;
mod control;
mod deb;
mod error;
mod lock;
mod mirror;
mod package;
mod relation;
mod release;
mod select;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

pub use error::Error;
pub use lock::{BaseLock, LOCK_FILE, LockedBase, LockedPackage, LockedPython, Part};
pub use mirror::Mirrors;
pub use release::Keys;

use crate::base::Making;
use crate::image::{self, ImageSpec};
use crate::layer::{self, Attributes, EntryWriter, Fragment, Layer, entries_key, layer_key, stored_layer};
use crate::model::{Key, KeyHasher, Platform, Warning};
use crate::net;
use crate::store::Store;
use mirror::Reader;
use package::Facts;

/// Packages downloaded at once.
const DOWNLOADS: usize = 8;

/// The variables of such a base.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const LANG: &str = "C.UTF-8";

/// What a base is to be made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipe {
    /// The suite's code name.
    pub suite: String,
    /// The platform.
    pub platform: Platform,
    /// Further packages, sorted.
    pub packages: Vec<String>,
    /// Whether security updates are taken.
    pub security: bool,
}

impl Recipe {
    /// A recipe, its names checked.
    pub fn new(suite: &str, platform: Platform, packages: &[String], security: bool) -> Result<Self, Error> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if suite.is_empty() || suite.len() > 50 || !suite.chars().all(legal) || suite.starts_with('-') {
            return Err(Error::Suite { suite: suite.chars().take(100).collect() });
        }
        if let Some(name) = packages.iter().find(|name| !relation::is_name(name)) {
            let wanted = name.chars().take(100).collect();
            return Err(Error::NoPackage { suite: suite.to_owned(), wanted, by: None });
        }
        let mut packages = packages.to_vec();
        packages.sort();
        packages.dedup();
        Ok(Self { suite: suite.to_owned(), platform, packages, security })
    }

    /// The base as it is named.
    pub fn name(&self) -> String {
        format!("deb://{}", self.suite)
    }
}

/// Asks the mirrors which packages a recipe takes now. There may be something to warn of.
pub async fn lock(
    recipe: &Recipe,
    mirrors: &Mirrors,
    client: &net::Client,
    store: &Store,
) -> Result<(LockedBase, Option<Warning>), Error> {
    let (candidates, warning) = Reader { mirrors, client, store }.candidates(recipe).await?;
    let packages = select::select(recipe, &candidates)?;
    Ok((LockedBase { recipe: recipe.clone(), packages }, warning))
}

/// An image made of packages.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its documents.
    pub image: image::Base,
    /// The digest of its manifest.
    pub digest: crate::model::Digest,
    /// Its layers, lowest first; their bytes are in the store, unless they were recalled.
    pub layers: Vec<Arc<Layer>>,
    /// How they were come by.
    pub making: Making,
}

/// Makes the image of exactly the packages of a lock.
pub async fn make(
    locked: &LockedBase,
    mirrors: &Mirrors,
    client: &net::Client,
    store: &Arc<Store>,
) -> Result<Made, Error> {
    if let Some(made) = stored(locked, store)? {
        return Ok(made);
    }
    let plan = Plan::of(locked);
    let reader = Reader { mirrors, client, store };
    let fetched = stream::iter(&locked.packages)
        .map(|package| fetch(&reader, store, package))
        .buffer_unordered(DOWNLOADS)
        .try_collect::<Vec<_>>();
    let fragments: BTreeMap<Key, (Fragment, Facts)> =
        fetched.await?.into_iter().map(|(fragment, facts)| (fragment.key, (fragment, facts))).collect();
    let (store, planned) = (Arc::clone(store), plan.clone());
    let made = tokio::task::spawn_blocking(move || planned.assemble(&store, &fragments));
    image(locked, &plan, made.await.map_err(Error::Worker)??, Making::Now)
}

/// The image of exactly the packages of a lock, if all its layers are in the store.
pub fn stored(locked: &LockedBase, store: &Store) -> Result<Option<Made>, Error> {
    let plan = Plan::of(locked);
    plan.stored(store)?.map(|layers| image(locked, &plan, layers, Making::Before)).transpose()
}

/// The image of exactly the packages of a lock, whose layers somebody made before; `None` if they are others.
pub fn recalled(locked: &LockedBase, layers: &[Layer]) -> Result<Option<Made>, Error> {
    let plan = Plan::of(locked);
    if !layers.iter().map(|layer| layer.key).eq(plan.keys()) {
        return Ok(None);
    }
    let layers = layers.iter().cloned().map(Arc::new).collect();
    image(locked, &plan, layers, Making::Elsewhere).map(Some)
}

/// The keys of the layers that a lock's image has: they follow from the lock alone.
pub fn layer_keys(locked: &LockedBase) -> Vec<Key> {
    Plan::of(locked).keys().collect()
}

async fn fetch(
    reader: &Reader<'_>,
    store: &Arc<Store>,
    package: &LockedPackage,
) -> Result<(Fragment, Facts), Error> {
    if let Some(known) = package::stored(store, package)? {
        return Ok(known);
    }
    let deb = reader.package(package).await?;
    let (store, package) = (Arc::clone(store), package.clone());
    let build = move || package::build(&store, &package, &deb);
    tokio::task::spawn_blocking(build).await.map_err(Error::Worker)?
}

/// The layers of a base, by their keys.
#[derive(Debug, Clone)]
struct Plan {
    parts: Vec<PlannedLayer>,
}

#[derive(Debug, Clone)]
struct PlannedLayer {
    /// What the history says of it.
    name: String,
    /// What is configured in it; none for the list of what is installed.
    part: Option<Part>,
    /// The fragments of its packages.
    packages: Vec<Key>,
    /// The fragment that configures them.
    configuration: Key,
}

impl PlannedLayer {
    fn new(name: String, part: Option<Part>, packages: Vec<Key>) -> Self {
        let mut key = KeyHasher::new(configure::RULES);
        key.text(part.map_or("status", Part::name));
        for package in &packages {
            key.text(&package.to_string());
        }
        let configuration = entries_key(&key.finish());
        Self { name, part, packages, configuration }
    }

    fn keys(&self) -> Vec<Key> {
        // What is installed is listed in a layer of its own, so that no other changes with it.
        let packages = if self.part.is_some() { self.packages.as_slice() } else { &[] };
        packages.iter().copied().chain([self.configuration]).collect()
    }
}

impl Plan {
    fn of(locked: &LockedBase) -> Self {
        let mut parts = Vec::new();
        for part in Part::ALL {
            let packages: Vec<_> = locked.packages.iter().filter(|package| package.part == part).collect();
            if packages.is_empty() {
                continue;
            }
            let named: Vec<_> = packages.iter().map(|p| format!("{}={}", p.name, p.version)).collect();
            let name = format!("debian {} {}", part.name(), named.join(" "));
            parts.push(PlannedLayer::new(name, Some(part), packages.into_iter().map(package::key).collect()));
        }
        let all = locked.packages.iter().map(package::key).collect();
        parts.push(PlannedLayer::new("debian status".to_owned(), None, all));
        Self { parts }
    }

    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.parts.iter().map(|part| layer_key(&part.keys()))
    }

    /// The layers, if all of them are in the store.
    fn stored(&self, store: &Store) -> Result<Option<Vec<Arc<Layer>>>, Error> {
        let stored = self.keys().map(|key| stored_layer(store, &key));
        let stored: Option<Vec<_>> = stored.collect::<Result<_, _>>()?;
        Ok(stored.map(|layers| layers.into_iter().map(Arc::new).collect()))
    }

    fn assemble(
        &self,
        store: &Store,
        fragments: &BTreeMap<Key, (Fragment, Facts)>,
    ) -> Result<Vec<Arc<Layer>>, Error> {
        let layer =
            |planned: &PlannedLayer| {
                let known = |key: &Key| fragments.get(key).ok_or(*key);
                let packages: Vec<&(Fragment, Facts)> =
                    planned.packages.iter().map(known).collect::<Result<_, _>>().map_err(|key| {
                        Error::Package { name: key.short(), problem: "it was not read".into() }
                    })?;
                let facts: Vec<&Facts> = packages.iter().map(|(_, facts)| facts).collect();
                let mut writer = EntryWriter::create(store, planned.configuration)?;
                let mut parts = Vec::new();
                match planned.part {
                    Some(part) => {
                        configure::write(part, &facts, &mut writer)?;
                        check_apart(&packages, &writer)?;
                        parts.extend(packages.iter().map(|(fragment, _)| fragment.clone()));
                    }
                    None => {
                        let status = configure::status(&facts);
                        writer.bytes("var/lib/dpkg/status", status.as_bytes(), Attributes::root(0o644))?;
                        // Says that the lists of packages for several architectures carry the architecture in their names.
                        writer.bytes("var/lib/dpkg/info/format", b"1\n", Attributes::root(0o644))?;
                    }
                }
                parts.push(writer.finish()?);
                Ok(Arc::new(layer::assemble(store, &parts)?))
            };
        self.parts.iter().map(layer).collect()
    }
}

/// No path may occur twice in a layer: neither two packages nor a package and what configures it may have the same file.
fn check_apart(packages: &[&(Fragment, Facts)], configuration: &EntryWriter<'_>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    let directories: BTreeSet<&String> = packages
        .iter()
        .flat_map(|(fragment, _)| &fragment.directories)
        .map(|directory| &directory.path)
        .collect();
    for (_, facts) in packages {
        let taken =
            |path: &&String| configuration.has(path) || seen.contains(path) || directories.contains(path);
        if let Some(path) = facts.files.iter().find(taken) {
            let problem = format!("it has `/{path}`, which is there already");
            return Err(Error::Package { name: facts.name(), problem });
        }
        seen.extend(&facts.files);
    }
    Ok(())
}

/// The documents of the image.
fn image(locked: &LockedBase, plan: &Plan, layers: Vec<Arc<Layer>>, making: Making) -> Result<Made, Error> {
    let platform = locked.recipe.platform;
    let described: Vec<image::Layer> = plan
        .parts
        .iter()
        .zip(&layers)
        .map(|(planned, layer)| image::Layer {
            digest: layer.digest,
            diff_id: layer.diff_id,
            size: layer.size,
            media_type: image::MediaType::ImageLayerGzip,
            created_by: planned.name.clone(),
            annotations: None,
        })
        .collect();
    let scratch = image::Base::scratch(platform);
    let composed = image::compose(&ImageSpec {
        env: vec![("PATH".to_owned(), PATH.to_owned()), ("LANG".to_owned(), LANG.to_owned())],
        cmd: Some(vec!["python3".to_owned()]),
        ..ImageSpec::new(&scratch, platform, &described)
    })?;
    let digest = composed.manifest.digest;
    let base = image::Base::parse(&composed.manifest.bytes, &composed.config.bytes, platform)?;
    Ok(Made { image: base.named(locked.recipe.name(), digest), digest, layers, making })
}
