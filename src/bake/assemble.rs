//! Distributions into fragments, fragments into layers. Each is made once in a run, however many images share it.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join_all;
use tokio::sync::OnceCell;

use super::context::Context;
use super::report::{LayerOrigin, PackageReport, Role};
use super::{Error, Event};
use crate::layer::{self, Fragment, Layer, WheelInputs};
use crate::lock::Lock;
use crate::model::{ArchiveKind, Digest, Key, Pin, PythonMinor, Warning, WheelName};

/// A layer with what the report says of it.
#[derive(Clone)]
pub struct Made {
    pub layer: Arc<Layer>,
    pub role: Role,
    pub packages: Vec<PackageReport>,
    pub origin: LayerOrigin,
}

/// What is made at most once in a run; whoever comes second waits for the first.
pub struct Once<K, V>(Mutex<HashMap<K, Arc<OnceCell<V>>>>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Once<K, V> {
    /// The value for `key`, made by `make` if nobody made it yet. After a failure the next caller tries again.
    pub async fn get<F: Future<Output = Result<V, Error>>>(
        &self,
        key: K,
        make: impl FnOnce() -> F,
    ) -> Result<V, Error> {
        let cell = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        cell.get_or_try_init(make).await.cloned()
    }
}

/// The fragments and layers of a run.
#[derive(Default)]
pub struct Assembly {
    fragments: Once<Key, (Arc<Fragment>, LayerOrigin)>,
    layers: Once<Key, (Arc<Layer>, LayerOrigin)>,
}

/// One wheel of a lock, ready to be made into a fragment.
pub struct Wheel<'l> {
    pub pin: &'l Pin,
    pub name: &'l WheelName,
    pub sha256: Digest,
    pub key: Key,
    python: PythonMinor,
}

/// The wheels of a lock, in its order.
pub fn wheels(lock: &Lock) -> Result<Vec<Wheel<'_>>, Error> {
    let python = lock.target.python;
    lock.pins
        .iter()
        .map(|pin| match (&pin.archive.kind, pin.archive.sha256) {
            (ArchiveKind::Wheel(name), Some(sha256)) => {
                let direct_url = pin.direct_url.as_ref();
                let inputs = WheelInputs { sha256: &sha256, name, python, direct_url };
                Ok(Wheel { pin, name, sha256, key: layer::fragment_key(&inputs), python })
            }
            _ => Err(Error::NoWheel { name: pin.name.to_string(), platform: lock.target.platform }),
        })
        .collect()
}

/// The groups of wheels that share a layer, by the lock alone.
pub fn groups(wheels: &[Wheel<'_>], budget: usize) -> Vec<Vec<usize>> {
    let items: Vec<_> =
        wheels.iter().map(|wheel| (&wheel.pin.name, wheel.pin.archive.size.unwrap_or(0))).collect();
    layer::group(&items, budget)
}

/// What the report says of a group.
pub fn packages(wheels: &[Wheel<'_>], group: &[usize]) -> Vec<PackageReport> {
    let package = |wheel: &Wheel<'_>| PackageReport {
        name: wheel.pin.name.to_string(),
        version: wheel.pin.version.to_string(),
        kind: "pypi",
    };
    group.iter().map(|&i| package(&wheels[i])).collect()
}

impl Assembly {
    /// The distribution layers of an environment, and warnings about distributions that write the same file.
    pub async fn environment(
        &self,
        context: &Context<'_>,
        lock: &Lock,
        budget: usize,
    ) -> Result<(Vec<Made>, Vec<Warning>), Error> {
        let wheels = wheels(lock)?;
        let fragments = try_join_all(wheels.iter().map(|wheel| self.fragment(context, wheel))).await?;
        let files = fragments
            .iter()
            .map(
                |(fragment, _)| Ok(layer::fragment_files(&context.store, &fragment.key)?.unwrap_or_default()),
            )
            .collect::<Result<Vec<_>, Error>>()?;
        let collisions = layer::collisions(&files);
        let groups = layer::join_colliding(groups(&wheels, budget), &collisions);
        let warnings = collisions
            .iter()
            .map(|collision| {
                let name = |index: usize| format!("{} {}", wheels[index].pin.name, wheels[index].pin.version);
                Warning::general(format!(
                    "{} and {} both install `{}`, and differ: the latter's stays",
                    name(collision.first),
                    name(collision.second),
                    collision.path
                ))
            })
            .collect();
        let layers = groups.iter().map(|group| {
            let members: Vec<_> = group.iter().map(|&i| fragments[i].clone()).collect();
            self.layer(context, members, packages(&wheels, group))
        });
        Ok((try_join_all(layers).await?, warnings))
    }

    async fn fragment(
        &self,
        context: &Context<'_>,
        wheel: &Wheel<'_>,
    ) -> Result<(Arc<Fragment>, LayerOrigin), Error> {
        let make = || async {
            if let Some(fragment) = layer::stored_fragment(&context.store, &wheel.key)? {
                return Ok((Arc::new(fragment), LayerOrigin::Store));
            }
            let file_name = &wheel.pin.archive.file_name;
            let blob = {
                let _permit = context.downloads.acquire().await;
                let _running = context.clocks.download.start();
                context.event(Event::Downloading(file_name));
                context.index.fetch(&wheel.pin.archive).await?
            };
            context.event(Event::Building(file_name));
            let store = Arc::clone(&context.store);
            let (name, sha256, python) = (wheel.name.clone(), wheel.sha256, wheel.python);
            let direct_url = wheel.pin.direct_url.clone();
            let fragment = context
                .compute(move || {
                    let direct_url = direct_url.as_ref();
                    let inputs = WheelInputs { sha256: &sha256, name: &name, python, direct_url };
                    Ok(layer::build_fragment(&store, &blob, &inputs)?)
                })
                .await?;
            Ok((Arc::new(fragment), LayerOrigin::Built))
        };
        self.fragments.get(wheel.key, make).await
    }

    async fn layer(
        &self,
        context: &Context<'_>,
        members: Vec<(Arc<Fragment>, LayerOrigin)>,
        packages: Vec<PackageReport>,
    ) -> Result<Made, Error> {
        let keys: Vec<Key> = members.iter().map(|(fragment, _)| fragment.key).collect();
        let key = layer::layer_key(&keys);
        let make = || async {
            if let Some(layer) = layer::stored_layer(&context.store, &key)? {
                return Ok((Arc::new(layer), LayerOrigin::Store));
            }
            let store = Arc::clone(&context.store);
            let assemble = move || {
                let fragments: Vec<Fragment> =
                    members.iter().map(|(fragment, _)| (**fragment).clone()).collect();
                Ok(layer::assemble(&store, &fragments)?)
            };
            Ok((Arc::new(context.compute(assemble).await?), LayerOrigin::Built))
        };
        let (layer, origin) = self.layers.get(key, make).await?;
        Ok(Made { layer, role: Role::Environment, packages, origin })
    }

    /// A layer of plain files: the skeleton, or code.
    pub async fn files(
        &self,
        context: &Context<'_>,
        role: Role,
        entries: Vec<layer::FileEntry>,
    ) -> Result<Made, Error> {
        let store = Arc::clone(&context.store);
        let (layer, built) = context.compute(move || Ok(layer::files_layer(&store, &entries)?)).await?;
        let origin = if built { LayerOrigin::Built } else { LayerOrigin::Store };
        Ok(Made { layer: Arc::new(layer), role, packages: Vec::new(), origin })
    }
}
