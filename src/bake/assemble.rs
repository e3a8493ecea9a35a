//! Distributions into fragments, fragments into layers. Each is made once in a run, however many images share it.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join_all;
use tokio::sync::OnceCell;

use super::code::Part;
use super::context::Context;
use super::records::{self, Clash, EnvironmentRecord, Records};
use super::report::{LayerOrigin, PackageReport, Role};
use super::{Error, Event};
use crate::layer::{self, Collision, Compression, FileEntry, Fragment, InstalledFile, Layer, WheelInputs};
use crate::lock::Lock;
use crate::model::{ArchiveKind, Digest, Key, Pin, Target, Warning, WheelName};

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

/// The fragments, layers and environments of a run.
#[derive(Default)]
pub struct Assembly {
    fragments: Once<Key, (Arc<Fragment>, LayerOrigin)>,
    layers: Once<Key, (Arc<Layer>, LayerOrigin)>,
    /// By the layers that they may take, too: some could not have the layers of others.
    environments: Once<(Key, usize), Arc<Environment>>,
}

/// One wheel of a lock, ready to be made into a fragment.
pub struct Wheel<'l> {
    pub pin: &'l Pin,
    pub name: &'l WheelName,
    pub sha256: Digest,
    pub key: Key,
    target: Target,
    compression: Compression,
}

/// The wheels of a lock, in its order.
pub fn wheels(lock: &Lock, compression: Compression) -> Result<Vec<Wheel<'_>>, Error> {
    let python = lock.target.python;
    lock.pins
        .iter()
        .map(|pin| match (&pin.archive.kind, pin.archive.sha256) {
            (ArchiveKind::Wheel(name), Some(sha256)) => {
                let direct_url = pin.direct_url.as_ref();
                let inputs = WheelInputs { sha256: &sha256, name, python, direct_url, compression };
                let key = layer::fragment_key(&inputs);
                Ok(Wheel { pin, name, sha256, key, target: lock.target, compression })
            }
            _ => Err(Error::NoWheel { name: pin.name.to_string(), platform: lock.target.platform }),
        })
        .collect()
}

/// The most layers that the distributions of an environment are spread over, but for those that collide.
const SPREAD: usize = 24;

/// The wheels of an environment, spread over layers by the lock alone.
pub struct Spread<'l> {
    pub wheels: Vec<Wheel<'l>>,
    /// Those that share a layer, unless they collide.
    pub groups: Vec<Vec<usize>>,
    /// How many layers there may be, those of colliding wheels included.
    budget: usize,
}

impl<'l> Spread<'l> {
    pub fn new(lock: &'l Lock, compression: Compression, budget: usize) -> Result<Self, Error> {
        let wheels = wheels(lock, compression)?;
        let groups = layer::group(&items(&wheels), budget.min(SPREAD));
        Ok(Self { wheels, groups, budget })
    }

    /// The keys of the layers, if nothing collides.
    pub fn keys(&self) -> Vec<Key> {
        self.groups.iter().map(|group| group_key(&self.wheels, group)).collect()
    }

    /// The groups when it is known what collides.
    pub fn part(&self, collisions: &[Collision]) -> Vec<Vec<usize>> {
        layer::part_colliding(&items(&self.wheels), self.groups.clone(), collisions, self.budget)
    }
}

fn items<'w>(wheels: &'w [Wheel<'_>]) -> Vec<layer::Item<'w>> {
    let item = |wheel: &'w Wheel<'_>| {
        let pure = wheel.name.platform == ["any"];
        // Not every index tells sizes. What has compiled parts is large more often than not.
        let size = wheel.pin.archive.size.unwrap_or(if pure { 0 } else { layer::LARGE });
        layer::Item { name: &wheel.pin.name, size, pure }
    };
    wheels.iter().map(item).collect()
}

/// The places of the groups, those with most to do first: so that at the end no processor waits for a large one.
fn by_size(wheels: &[Wheel<'_>], groups: &[Vec<usize>]) -> Vec<usize> {
    let size = |place: usize| {
        groups[place].iter().map(|&i| wheels[i].pin.archive.size.unwrap_or(0)).fold(0, u64::saturating_add)
    };
    let mut places: Vec<usize> = (0..groups.len()).collect();
    places.sort_by_key(|&place| std::cmp::Reverse(size(place)));
    places
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

/// What the registry's records knew of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remembered {
    /// They were not asked: the store has everything, or there are none.
    NotAsked,
    /// The environment is not there, or not all of its layers.
    No,
    /// All of it is there.
    Whole,
}

/// The layers of an environment.
pub struct Environment {
    /// Its key.
    pub key: Key,
    /// Those of distributions, then the skeleton.
    pub layers: Vec<Made>,
    /// The paths that several distributions write differently.
    pub clashes: Vec<Clash>,
    pub remembered: Remembered,
    /// A warning for each clash.
    pub warnings: Vec<Warning>,
}

/// The layers that the registry has, by their keys.
pub type Remote = HashMap<Key, Arc<Layer>>;

/// What is known of an environment before any of it is made.
struct Outset<'l> {
    wheels: &'l [Wheel<'l>],
    /// For each wheel, whether its fragment is in the store.
    stored: Vec<bool>,
    /// The records to ask, unless the store has everything.
    records: Option<&'l Records>,
    /// The layers that a record of the whole environment names, if there is one.
    remembered: Option<HashMap<Key, Arc<Layer>>>,
}

/// A layer, and the files of each of its members if they are still to be compared with others'.
type Found = (Made, Vec<Arc<Vec<InstalledFile>>>);

impl Assembly {
    /// The layers of an environment, the skeleton among them. What the registry's records name is taken as it is;
    /// everything else is in the store then. Each layer goes its own way: while one is downloaded, another is built, and
    /// what was built is handed to `send` at once.
    ///
    /// Which layers there are is certain only when the files of all distributions are known: those that collide share a
    /// layer. That is rare, so nothing waits for it; what was made in vain then is true all the same, but part of no image.
    pub async fn environment(
        &self,
        context: &Context<'_>,
        lock: &Lock,
        budget: usize,
        skeleton: Made,
        send: impl AsyncFn(&Made),
    ) -> Result<Arc<Environment>, Error> {
        let spread = Spread::new(lock, context.options.compression, budget)?;
        let key = records::environment_key(&spread.keys(), &skeleton.layer.key);
        let make = || async {
            let made = self.make(context, key, spread, skeleton, send).await?;
            Ok(Arc::new(made))
        };
        self.environments.get((key, budget), make).await
    }

    async fn make(
        &self,
        context: &Context<'_>,
        key: Key,
        spread: Spread<'_>,
        skeleton: Made,
        send: impl AsyncFn(&Made),
    ) -> Result<Environment, Error> {
        let wheels = &spread.wheels;
        let stored = stored(context, wheels)?;
        let whole = stored.iter().all(|&stored| stored);
        let records = context.records.as_ref().filter(|_| !whole);
        let record = match records {
            Some(records) => records.environment(&context.store, key).await?,
            None => None,
        };
        let record = record.filter(|record| record.layers.last() == Some(&*skeleton.layer));
        let record = record.and_then(|record| Some((recall(&record, &spread, &skeleton.layer.key)?, record)));
        let (known, remembered) = match record {
            Some((collisions, record)) => {
                let layers = record.layers.iter().map(|layer| (layer.key, Arc::new(layer.clone())));
                (Some(collisions), Some(layers.collect()))
            }
            None if whole => {
                let files = wheels.iter().map(|wheel| context.installed_files(&wheel.key));
                (Some(layer::collisions(&files.collect::<Result<Vec<_>, _>>()?)), None)
            }
            None => (None, None),
        };
        let groups = match &known {
            Some(collisions) => spread.part(collisions),
            None => spread.groups.clone(),
        };
        let outset = Outset { wheels, stored, records, remembered };

        let (groups, with_files) = (&groups, known.is_none());
        let (outset, send) = (&outset, &send);
        let work = by_size(wheels, groups).into_iter().map(|place| async move {
            let (made, files) = self.find_or_make(context, outset, &groups[place], with_files).await?;
            if made.origin == LayerOrigin::Built {
                send(&made).await;
            }
            Ok::<_, Error>((place, made, files))
        });
        let mut found: HashMap<usize, Made> = HashMap::new();
        let mut files = vec![Arc::default(); wheels.len()];
        for (place, made, of_members) in try_join_all(work).await? {
            found.insert(place, made);
            for (&i, of_member) in groups[place].iter().zip(of_members) {
                files[i] = of_member;
            }
        }
        let (layers, collisions) = match known {
            Some(collisions) => (groups.clone(), collisions),
            None => {
                let collisions = layer::collisions(&files);
                (spread.part(&collisions), collisions)
            }
        };
        let found = &found;
        let layers = layers.iter().map(|group| async move {
            match groups.iter().position(|one| one == group).and_then(|place| found.get(&place)) {
                Some(made) => Ok(made.clone()),
                None => {
                    let members = group.iter().map(|&i| self.fragment(context, &wheels[i]));
                    self.layer(context, try_join_all(members).await?, packages(wheels, group)).await
                }
            }
        });
        let mut layers: Vec<Made> = try_join_all(layers).await?;
        let remembered = match (records, &outset.remembered) {
            (None, _) => Remembered::NotAsked,
            (_, Some(_)) if layers.iter().all(|made| made.origin == LayerOrigin::Registry) => {
                Remembered::Whole
            }
            _ => Remembered::No,
        };
        layers.push(skeleton);
        let clash = |collision: &Collision| Clash {
            path: collision.path.clone(),
            first: wheels[collision.first].key,
            second: wheels[collision.second].key,
            same: collision.same,
        };
        let clashes = collisions.iter().map(clash).collect();
        let warnings = warnings(wheels, &collisions).collect();
        Ok(Environment { key, layers, clashes, remembered, warnings })
    }

    /// The layer of a group: one that the registry has, or one made of fragments that are then in the store.
    async fn find_or_make(
        &self,
        context: &Context<'_>,
        outset: &Outset<'_>,
        group: &[usize],
        with_files: bool,
    ) -> Result<Found, Error> {
        let Outset { wheels, stored, records, remembered } = outset;
        let packages = packages(wheels, group);
        if let Some(records) = records.filter(|_| !group.iter().all(|&i| stored[i])) {
            let key = group_key(wheels, group);
            let (layer, files) = match remembered {
                Some(layers) => (layers.get(&key).cloned(), Vec::new()),
                None => match records.layer(&context.store, key).await? {
                    Some(known) => (Some(Arc::clone(&known.layer)), known.files.clone()),
                    None => (None, Vec::new()),
                },
            };
            if let Some(layer) = layer
                && records.is_usable(context, &layer).await?
            {
                let (role, origin) = (Role::Environment, LayerOrigin::Registry);
                return Ok((Made { layer, role, packages, origin }, files));
            }
        }
        let members = group.iter().map(|&i| self.fragment(context, &wheels[i]));
        let made = self.layer(context, try_join_all(members).await?, packages).await?;
        let files = group.iter().filter(|_| with_files).map(|&i| context.installed_files(&wheels[i].key));
        Ok((made, files.collect::<Result<_, _>>()?))
    }

    async fn fragment(
        &self,
        context: &Context<'_>,
        wheel: &Wheel<'_>,
    ) -> Result<(Arc<Fragment>, LayerOrigin), Error> {
        let make = || async {
            if let Some(fragment) = context.fragments.fragment(&context.store, &wheel.key)? {
                return Ok((fragment, LayerOrigin::Store));
            }
            let file_name = &wheel.pin.archive.file_name;
            let blob = {
                let _permit = context.downloads.acquire().await;
                let _running = context.clocks.download.start();
                context.event(Event::Downloading(file_name));
                match &wheel.pin.built {
                    None => {
                        let blob = context.index.fetch(&wheel.pin.archive).await?;
                        context.index.confirm(&wheel.pin.archive, &blob).await?;
                        blob
                    }
                    Some(built) => context.builders.for_target(wheel.target).locked(wheel.pin, built).await?,
                }
            };
            context.event(Event::Building(file_name));
            let store = Arc::clone(&context.store);
            let (name, sha256, python) = (wheel.name.clone(), wheel.sha256, wheel.target.python);
            let compression = wheel.compression;
            let direct_url = wheel.pin.direct_url.clone();
            let fragment = context
                .compute(move || {
                    let direct_url = direct_url.as_ref();
                    let inputs =
                        WheelInputs { sha256: &sha256, name: &name, python, direct_url, compression };
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
}

/// A layer of code, unless there is none.
pub async fn code(context: &Context<'_>, part: &Part) -> Result<Option<Made>, Error> {
    if part.entries.is_empty() {
        return Ok(None);
    }
    let made = part.made.get_or_try_init(|| files(context, Arc::clone(&part.entries))).await?;
    Ok(Some(of_files(Role::Code, made.clone())))
}

/// A layer of files that belong to an environment and to none of its distributions.
pub async fn environment_files(context: &Context<'_>, entries: Vec<FileEntry>) -> Result<Made, Error> {
    Ok(of_files(Role::Environment, files(context, Arc::new(entries)).await?))
}

/// A layer of plain files, and whether it had to be made.
async fn files(context: &Context<'_>, entries: Arc<Vec<FileEntry>>) -> Result<(Arc<Layer>, bool), Error> {
    let store = Arc::clone(&context.store);
    let compression = context.options.compression;
    let make = move || Ok(layer::files_layer(&store, &entries, compression)?);
    let (layer, built) = context.compute(make).await?;
    Ok((Arc::new(layer), built))
}

fn of_files(role: Role, (layer, built): (Arc<Layer>, bool)) -> Made {
    let origin = if built { LayerOrigin::Built } else { LayerOrigin::Store };
    Made { layer, role, packages: Vec::new(), origin }
}

/// For each wheel, whether its fragment is in the store.
pub fn stored(context: &Context<'_>, wheels: &[Wheel<'_>]) -> Result<Vec<bool>, Error> {
    let find = |wheel: &Wheel<'_>| Ok(context.fragments.fragment(&context.store, &wheel.key)?.is_some());
    wheels.iter().map(find).collect()
}

/// The key of the layer of a group.
pub fn group_key(wheels: &[Wheel<'_>], group: &[usize]) -> Key {
    let keys: Vec<Key> = group.iter().map(|&i| wheels[i].key).collect();
    layer::layer_key(&keys)
}

/// What collides in an environment, by its record; `None` if the record is not about these wheels.
pub fn recall(record: &EnvironmentRecord, spread: &Spread<'_>, skeleton: &Key) -> Option<Vec<Collision>> {
    let wheels = &spread.wheels;
    let place = |key: &Key| wheels.iter().position(|wheel| wheel.key == *key);
    let collision = |clash: &Clash| {
        Some(Collision {
            path: clash.path.clone(),
            first: place(&clash.first)?,
            second: place(&clash.second)?,
            same: clash.same,
        })
    };
    let collisions = record.collisions.iter().map(collision).collect::<Option<Vec<_>>>()?;
    let groups = spread.part(&collisions);
    let expected = groups.iter().map(|group| group_key(wheels, group)).chain([*skeleton]);
    let right = record.layers.iter().map(|layer| layer.key).eq(expected);
    if !right {
        tracing::debug!("the record of an environment is ignored: its layers are others");
    }
    right.then_some(collisions)
}

/// Those of the layers that the registry still has.
pub async fn usable(context: &Context<'_>, layers: &[Layer]) -> Result<Remote, Error> {
    let Some(records) = &context.records else { return Ok(Remote::new()) };
    let ask = layers.iter().map(|layer| async move {
        let usable = records.is_usable(context, layer).await?;
        Ok::<_, Error>(usable.then(|| (layer.key, Arc::new(layer.clone()))))
    });
    Ok(try_join_all(ask).await?.into_iter().flatten().collect())
}

/// Tells which distributions' files are lost.
pub fn warnings(wheels: &[Wheel<'_>], collisions: &[Collision]) -> impl Iterator<Item = Warning> {
    let name = |index: usize| format!("{} {}", wheels[index].pin.name, wheels[index].pin.version);
    let lost = collisions.iter().filter(|collision| !collision.same);
    lost.map(move |collision| {
        Warning::general(format!(
            "{} and {} both install `{}`, and differ: the latter's stays",
            name(collision.first),
            name(collision.second),
            collision.path
        ))
    })
}
