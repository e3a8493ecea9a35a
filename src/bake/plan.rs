//! What a build would do, without doing it: nothing is locked, downloaded, written or sent, only asked for.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::assemble::{self, Made, Remote, Spread, packages};
use super::context::Context;
use super::environments::Unit;
use super::images::{
    base_reports, compose, distribution_budget, environments, foundation, gathered, image_layer,
    image_report, layer_report,
};
use super::locks::Locked;
use super::report::{ImageReport, LayerOrigin, LayerReport, PlannedReport, Report, Role, Transfer};
use super::settings::Running;
use super::{Error, Output, code, interpreter, locks, skeleton};
use crate::base::Base;
use crate::image;
use crate::layer::{self, Collision, FileEntry, Layer};
use crate::model::{Digest, Key, Pin, Platform, Warning};
use crate::project;
use crate::registry::{self, Layout, Repository};

/// Plans every image. Those that fail are left out, and their errors go to `failures`.
pub async fn make<'p>(
    context: &Context<'p>,
    units: Vec<Unit<'p>>,
    report: &mut Report,
    failures: &mut Vec<Error>,
) {
    let plan = async |locked: &Locked<'p>| image(context, locked).await;
    let outcomes = locks::lock(context, units, report, failures, plan).await;
    report.environments.extend(environments(outcomes.iter().map(|(locked, _)| locked)));
    let mut total = Total::default();
    let mut planned: Vec<Option<Image>> = Vec::new();
    for (_, outcome) in outcomes {
        planned.push(match outcome {
            Ok(mut image) => {
                image.image = total.add(image.image, &image.downloads);
                report.warnings.extend(image.warnings.iter().map(Into::into));
                Some(image)
            }
            Err(error) => {
                failures.push(error);
                None
            }
        });
    }
    for parts in planned.chunks_mut(context.options.platforms.len()) {
        let Some(parts) = parts.iter_mut().map(Option::take).collect::<Option<Vec<Image>>>() else {
            continue;
        };
        report.images.extend(gather(parts));
    }
    report.planned = Some(total.report);
}

/// One image of those for several platforms.
fn gather(parts: Vec<Image>) -> Option<ImageReport> {
    let whole: Option<Vec<_>> = parts.iter().map(|part| part.whole.clone()).collect();
    let several = parts.len() > 1;
    let mut report = gathered(parts.into_iter().map(|part| part.image))?;
    if several {
        report.digest = whole.map(|images| image::image_index(&images).digest.to_string());
    }
    Some(report)
}

/// An image as it would be.
struct Image {
    image: ImageReport,
    /// Its documents, if all its layers are known.
    whole: Option<image::Image>,
    warnings: Vec<Warning>,
    /// The wheels that would be downloaded, with their sizes if the lock knows them.
    downloads: Vec<(Digest, Option<u64>)>,
}

/// A layer as it would be.
struct Expected {
    key: Key,
    role: Role,
    packages: Vec<super::PackageReport>,
    /// The layer, if somebody made it before.
    found: Option<(Arc<Layer>, LayerOrigin)>,
    /// About how large it would become.
    estimated_size: Option<u64>,
    /// The distributions that have to be downloaded for it, with their sizes if the lock knows them.
    downloads: Vec<(Digest, Option<u64>)>,
}

impl Expected {
    /// A layer that is there.
    fn of(made: Made) -> Self {
        let Made { layer, role, packages, origin } = made;
        let (key, found, downloads) = (layer.key, Some((layer, origin)), Vec::new());
        Self { key, role, packages, found, estimated_size: None, downloads }
    }

    fn made(&self) -> Option<Made> {
        let (layer, origin) = self.found.clone()?;
        Some(Made { layer, role: self.role, packages: self.packages.clone(), origin })
    }
}

async fn image(context: &Context<'_>, locked: &Locked<'_>) -> Result<Image, Error> {
    let (base, python) = foundation(locked)?;
    let mut warnings = Vec::new();
    let running = Running::new(context, locked.unit.component, base)?;
    warnings.extend(running.replaced_links());
    let code = code::files(context, locked, &running, &mut warnings)?;
    code.warn_of_hidden(context, locked, &mut warnings)?;
    let skeleton = Arc::new(skeleton::of(locked, python));
    let skeleton = expected(Role::Environment, files(context, skeleton).await?);
    let distributions = distributions(context, locked, base, &skeleton.key, &mut warnings).await?;
    let mut layers: Vec<Expected> = interpreter::layer(&locked.unit).into_iter().map(Expected::of).collect();
    let base_commands = skeleton::base_commands(locked);
    if !base_commands.is_empty() {
        layers.push(expected(Role::Environment, files(context, Arc::new(base_commands)).await?));
    }
    layers.extend(distributions);
    layers.push(skeleton);
    for part in [&code.shared, &code.own].into_iter().filter(|part| !part.entries.is_empty()) {
        let planned = part.planned.get_or_try_init(|| files(context, Arc::clone(&part.entries))).await?;
        layers.push(expected(Role::Code, planned.clone()));
    }

    let name = project::image_name(locked.unit.component, locked.unit.environment);
    let made: Option<Vec<Made>> = layers.iter().map(Expected::made).collect();
    let whole = match &made {
        Some(made) => {
            let layers: Vec<_> = made.iter().map(image_layer).collect();
            Some(compose(context, locked, &running, base, &name, &layers, code.library_path.as_deref())?)
        }
        None => None,
    };
    let digest = whole.as_ref().map(|image| image.manifest.digest);
    let target = Target::new(context, &name, locked.lock.target.platform, digest.as_ref()).await?;

    let mut reports = base_reports(base);
    let home = base.repository();
    for report in &mut reports {
        report.transfer = target.transfer(report, home).await?;
    }
    for layer in &layers {
        let mut report = match layer.made() {
            Some(made) => layer_report(&made, Transfer::None),
            None => unknown(layer),
        };
        let records = context.records.as_ref().filter(|_| report.origin == Some(LayerOrigin::Registry));
        report.transfer = target.transfer(&report, records.map(super::records::Records::repository)).await?;
        reports.push(report);
    }
    let digest = digest.map(|digest| digest.to_string());
    let downloads = layers.into_iter().flat_map(|layer| layer.downloads).collect();
    Ok(Image { image: image_report(locked, digest, reports), whole, warnings, downloads })
}

/// The layers of distributions.
async fn distributions(
    context: &Context<'_>,
    locked: &Locked<'_>,
    base: &Base,
    skeleton: &Key,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Expected>, Error> {
    let spread = Spread::new(&locked.lock, context.options.compression, distribution_budget(base))?;
    let wheels = &spread.wheels;
    let stored = assemble::stored(context, wheels)?;
    let (collisions, remote) = known(context, &spread, &stored, skeleton).await?;
    warnings.extend(assemble::warnings(wheels, &collisions));
    let groups = spread.part(&collisions);
    let layers = groups.iter().map(|group| {
        let key = assemble::group_key(wheels, group);
        let local = group.iter().all(|&i| stored[i]);
        let pins = || group.iter().map(|&i| wheels[i].pin);
        let mut found = layer::stored_layer(&context.store, &key)?
            .filter(|_| local)
            .map(|layer| (Arc::new(layer), LayerOrigin::Store));
        if found.is_none() && !local {
            found = remote.get(&key).map(|layer| (Arc::clone(layer), LayerOrigin::Registry));
        }
        let missing = group.iter().filter(|&&i| found.is_none() && !stored[i]).map(|&i| &wheels[i]);
        let missing = missing.map(|wheel| (wheel.sha256, wheel.pin.archive.size));
        let downloads =
            missing.filter(|(sha256, size)| context.store.blob(sha256, *size).is_none()).collect();
        let estimated_size = pins().map(|pin: &Pin| pin.archive.size).sum();
        Ok(Expected {
            key,
            role: Role::Environment,
            packages: packages(wheels, group),
            found,
            estimated_size,
            downloads,
        })
    });
    layers.collect()
}

/// What the store and the records know of an environment: its collisions, and the layers that the registry has. Where
/// a distribution is new to both, what it collides with shows when it is built.
async fn known(
    context: &Context<'_>,
    spread: &Spread<'_>,
    stored: &[bool],
    skeleton: &Key,
) -> Result<(Vec<Collision>, Remote), Error> {
    let files = spread.wheels.iter().map(|wheel| context.installed_files(&wheel.key));
    let mut files = files.collect::<Result<Vec<_>, _>>()?;
    let records = context.records.as_ref().filter(|_| !stored.iter().all(|&stored| stored));
    let Some(records) = records else { return Ok((layer::collisions(&files), Remote::new())) };
    let keys = spread.keys();
    let key = super::records::environment_key(&keys, skeleton);
    if let Some(record) = records.environment(&context.store, key).await?
        && let Some(collisions) = assemble::recall(&record, spread, skeleton)
    {
        return Ok((collisions, assemble::usable(context, &record.layers).await?));
    }
    let ask = spread.groups.iter().zip(keys).map(|(group, key)| async move {
        if group.iter().all(|&i| stored[i]) {
            return Ok::<_, Error>(None);
        }
        let Some(record) = records.layer(&context.store, key).await? else { return Ok(None) };
        let usable = records.is_usable(context, &record.layer).await?;
        Ok(usable.then_some((group, record)))
    });
    let mut remote = Remote::new();
    for (group, record) in try_join_all(ask).await?.into_iter().flatten() {
        for (&i, of_member) in group.iter().zip(&record.files) {
            files[i].clone_from(of_member);
        }
        remote.insert(record.layer.key, Arc::clone(&record.layer));
    }
    Ok((layer::collisions(&files), remote))
}

/// A layer of plain files.
async fn files(
    context: &Context<'_>,
    entries: Arc<Vec<FileEntry>>,
) -> Result<(Key, Option<Arc<Layer>>, u64), Error> {
    let (store, compression) = (Arc::clone(&context.store), context.options.compression);
    let find = move || {
        let size = entries.iter().map(FileEntry::size_hint).sum();
        let key = layer::files_key(&entries, compression)?;
        Ok((key, layer::stored_layer(&store, &key)?.map(Arc::new), size))
    };
    context.compute(find).await
}

fn expected(role: Role, (key, found, size): (Key, Option<Arc<Layer>>, u64)) -> Expected {
    let found = found.map(|layer| (layer, LayerOrigin::Store));
    let (packages, downloads) = (Vec::new(), Vec::new());
    Expected { key, role, packages, found, estimated_size: Some(size), downloads }
}

/// A layer that would have to be built.
fn unknown(layer: &Expected) -> LayerReport {
    LayerReport {
        key: Some(layer.key.to_string()),
        digest: None,
        diff_id: None,
        size: None,
        uncompressed_size: None,
        estimated_size: layer.estimated_size,
        downloads: Some(layer.downloads.len() as u64),
        download_size: layer.downloads.iter().map(|(_, size)| *size).sum(),
        role: layer.role,
        packages: layer.packages.clone(),
        origin: None,
        transfer: Transfer::None,
    }
}

/// Where an image would go.
struct Target {
    name: String,
    repository: Option<Repository>,
    layout: Option<Layout>,
    anywhere: bool,
    /// Whether the very image is there, with all its layers.
    whole: bool,
}

impl Target {
    async fn new(
        context: &Context<'_>,
        name: &str,
        platform: Platform,
        digest: Option<&Digest>,
    ) -> Result<Self, Error> {
        let delivery = &context.options.delivery;
        let repository = super::deliver::repository(context, name)?.map(|(_, repository)| repository);
        let failed = |source| Error::Deliver { image: name.to_owned(), source };
        let mut whole = false;
        if let (Some(repository), Some(digest)) = (&repository, digest) {
            let tags = super::deliver::tags(context, platform);
            let tags = try_join_all(tags.iter().map(|tag| repository.manifest(tag))).await.map_err(failed)?;
            whole = tags.iter().flatten().any(|manifest| manifest.digest == *digest);
        }
        Ok(Self {
            name: name.to_owned(),
            repository,
            // What is not there yet will be created.
            layout: delivery.outputs.iter().find_map(|output| match output {
                Output::Layout(path) => Layout::open(path).ok(),
                Output::Archive(..) => None,
            }),
            anywhere: delivery.push.is_some() || !delivery.outputs.is_empty(),
            whole,
        })
    }

    /// How a layer would get there; `home` is the repository that has it, if one does.
    async fn transfer(&self, layer: &LayerReport, home: Option<&Repository>) -> Result<Transfer, Error> {
        if !self.anywhere {
            return Ok(Transfer::None);
        }
        let digest = layer.digest.as_ref().and_then(|digest| digest.parse::<Digest>().ok());
        let (Some(digest), Some(size)) = (digest, layer.size) else { return Ok(Transfer::Uploaded) };
        let Some(repository) = &self.repository else {
            let present = self.layout.as_ref().is_some_and(|layout| layout.has_blob(&digest, size));
            return Ok(if present { Transfer::Present } else { Transfer::Uploaded });
        };
        let failed = |source: registry::Error| Error::Deliver { image: self.name.clone(), source };
        Ok(if self.whole || repository.has_blob(&digest).await.map_err(failed)? {
            Transfer::Present
        } else if home.is_some_and(|home| home.same_registry(repository)) {
            Transfer::Mounted
        } else {
            Transfer::Uploaded
        })
    }
}

/// The work for all images together: what several share is done once.
#[derive(Default)]
struct Total {
    report: PlannedReport,
    wheels: HashSet<Digest>,
    built: HashSet<String>,
    sent: HashSet<String>,
}

impl Total {
    /// Counts an image's work, and gives its report as it is after that of the images before it.
    fn add(&mut self, mut image: ImageReport, downloads: &[(Digest, Option<u64>)]) -> ImageReport {
        let total = &mut self.report;
        for (sha256, size) in downloads {
            if self.wheels.insert(*sha256) {
                total.downloads += 1;
                total.download_bytes += size.unwrap_or(0);
                total.exact &= size.is_some();
            }
        }
        for layer in image.platforms.iter_mut().flat_map(|platform| &mut platform.layers) {
            let Some(identity) = layer.digest.clone().or_else(|| layer.key.clone()) else { continue };
            if layer.origin.is_none() && self.built.insert(identity.clone()) {
                total.layers_to_build += 1;
            }
            if layer.transfer == Transfer::Uploaded {
                if self.sent.insert(identity) {
                    total.upload_bytes += layer.size.or(layer.estimated_size).unwrap_or(0);
                    total.exact &= layer.size.is_some();
                } else {
                    layer.transfer = Transfer::Mounted;
                }
            }
        }
        image
    }
}
