//! From environments to delivered images.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::try_join4;

use super::assemble::{Assembly, Made};
use super::context::Context;
use super::deliver::{Blob, Content, Destinations, Finished, Parcel};
use super::environments::Unit;
use super::locks::Locked;
use super::report::{
    EnvironmentReport, ImageReport, LayerOrigin, LayerReport, OriginReport, PackageReport, PlatformReport,
    Report, Role, Transfer,
};
use super::settings::Running;
use super::{Error, assemble, code, deliver, interpreter, locks, skeleton, with_causes};
use crate::base::{Base, Python};
use crate::image::{self, ImageSpec};
use crate::layer::PREFIX;
use crate::lock::{self, Lock};
use crate::model::Warning;
use crate::project::{self, Asset};

/// The layers that an image may have, the base's included. Runtimes stop at 125 to 127; long before that, every layer
/// costs a pull its share.
const LAYER_BUDGET: usize = 100;
/// Layers besides those of the base and the distributions: the interpreter or the commands of what the base has installed, the
/// skeleton, shared code, own code.
const OTHER_LAYERS: usize = 4;
/// How much of a README goes into a label.
const README_LIMIT: usize = 32 * 1024;

/// Locks every environment and makes its image. Images that fail are left out, and their errors go to `failures`.
pub async fn make<'p>(
    context: &Context<'p>,
    units: Vec<Unit<'p>>,
    report: &mut Report,
    failures: &mut Vec<Error>,
) {
    let destinations = match Destinations::new(context) {
        Ok(destinations) => destinations,
        Err(error) => return failures.push(error),
    };
    let assembly = Assembly::default();
    let build = async |locked: &Locked<'p>| build(context, &assembly, &destinations, locked).await;
    let outcomes = locks::lock(context, units, report, failures, build).await;
    report.environments.extend(environments(outcomes.iter().map(|(locked, _)| locked)));
    let mut built: Vec<Option<Built>> = Vec::new();
    for (_, outcome) in outcomes {
        built.push(match outcome {
            Ok(built) => {
                report.warnings.extend(built.warnings.iter().map(Into::into));
                Some(built)
            }
            Err(error) => {
                failures.push(error);
                None
            }
        });
    }
    // The images for several platforms stand one after another; if one is missing, so is the index.
    for parts in built.chunks_mut(context.options.platforms.len()) {
        let Some(parts) = parts.iter_mut().map(Option::take).collect::<Option<Vec<Built>>>() else {
            continue;
        };
        match gather(context, &destinations, parts).await {
            Ok(image) => report.images.extend(image),
            Err(error) => failures.push(error),
        }
    }
    if let Err(error) = destinations.list() {
        failures.push(error);
    }
    // An archive is whole or not there.
    if failures.is_empty()
        && let Err(error) = destinations.finish(context).await
    {
        failures.push(error);
    }
    report.transfer.uploaded_bytes = context.registries.counters().sent() + destinations.written();
}

/// The distinct environments, in the order of their first use.
pub fn environments<'l, 'p: 'l>(locked: impl Iterator<Item = &'l Locked<'p>>) -> Vec<EnvironmentReport> {
    let mut reports: Vec<EnvironmentReport> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for Locked { unit, lock, id } in locked {
        if let Some(&place) = places.get(id.as_str()) {
            let known = &mut reports[place];
            known.origins.extend(OriginReport::of(unit.environment));
            known.components.push(unit.component.name.clone());
            continue;
        }
        places.insert(id, reports.len());
        let mut requirements: Vec<String> =
            unit.environment.requirements.iter().map(ToString::to_string).collect();
        requirements.sort();
        reports.push(EnvironmentReport {
            id: id.clone(),
            projects: Vec::new(),
            components: vec![unit.component.name.clone()],
            kind: "pypi",
            platform: Some(lock.target.platform.to_string()),
            python: lock.target.python.to_string(),
            base: unit.base.as_ref().map(|base| base.name.clone()),
            requirements,
            origins: OriginReport::of(unit.environment),
            conda: Vec::new(),
            channels: Vec::new(),
        });
    }
    for report in &mut reports {
        report.origins.sort();
        report.origins.dedup();
        let mut seen = BTreeSet::new();
        report.components.retain(|component| seen.insert(component.clone()));
    }
    reports
}

/// The base and interpreter of an environment whose image is wanted.
pub fn foundation<'l>(locked: &'l Locked<'_>) -> Result<(&'l Arc<Base>, &'l Python), Error> {
    locked.unit.base.as_ref().zip(locked.unit.python.as_ref()).ok_or(Error::NoPythonNamed)
}

/// How many layers the distributions of an environment may take, those that collide included.
pub fn distribution_budget(base: &Base) -> usize {
    LAYER_BUDGET.saturating_sub(base.image.layers().len() + OTHER_LAYERS).max(1)
}

/// An image for one platform, delivered.
struct Built {
    name: String,
    image: image::Image,
    report: ImageReport,
    warnings: Vec<Warning>,
}

/// Makes one image of those for several platforms: an image index.
async fn gather(
    context: &Context<'_>,
    destinations: &Destinations,
    parts: Vec<Built>,
) -> Result<Option<ImageReport>, Error> {
    let (mut names, mut images, mut reports) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        names.push(part.name);
        images.push(part.image);
        reports.push(part.report);
    }
    let report = gathered(reports);
    let (Some(name), Some(mut report), 2..) = (names.first(), report.clone(), images.len()) else {
        return Ok(report);
    };
    let index = image::image_index(&images);
    report.reference = destinations.deliver_index(context, name, &index).await?;
    report.digest = Some(index.digest.to_string());
    Ok(Some(report))
}

/// One report of those for several platforms.
pub fn gathered(parts: impl IntoIterator<Item = ImageReport>) -> Option<ImageReport> {
    let mut parts = parts.into_iter();
    let mut report = parts.next()?;
    report.platforms.extend(parts.flat_map(|part| part.platforms));
    Some(report)
}

async fn build(
    context: &Context<'_>,
    assembly: &Assembly,
    destinations: &Destinations,
    locked: &Locked<'_>,
) -> Result<Built, Error> {
    let (base, python) = foundation(locked)?;
    let mut warnings = Vec::new();
    let running = Running::new(context, locked.unit.component, base)?;
    warnings.extend(running.replaced_links());
    let code = code::files(context, locked, &running, &mut warnings)?;
    let name = project::image_name(locked.unit.component, locked.unit.environment);
    let repository = context.project.repository(&name);
    let parcel = Parcel { name: &repository, platform: locked.lock.target.platform };
    let base_blobs = base_blobs(base);
    let pushed = deliver::repository(context, &repository)?.map(|(_, repository)| repository);
    // An image with distributions that were built just now is new: its layers, the base's among them, go ahead of it. What
    // cannot is tried again, and told, when the image itself is delivered.
    let hindered = Cell::new(false);
    let send = async |made: &Made| {
        let blob = blob(context, made);
        if hindered.get() {
            return;
        }
        if let Err(error) = destinations.send(context, parcel, base_blobs.iter().chain([&blob])).await {
            tracing::debug!("no layer goes ahead of {}: {}", parcel.name, with_causes(&error));
            hindered.set(true);
        } else if let Some(records) = &context.records {
            records.write_layer(context, &made.layer, pushed.as_ref()).await;
        }
    };
    let environment = async {
        let skeleton = assemble::environment_files(context, skeleton::of(locked, python)).await?;
        assembly.environment(context, &locked.lock, distribution_budget(base), skeleton, send).await
    };
    let base_commands = async {
        let entries = skeleton::base_commands(locked);
        if entries.is_empty() {
            return Ok(None);
        }
        assemble::environment_files(context, entries).await.map(Some)
    };
    let (environment, base_commands, shared, own) = try_join4(
        environment,
        base_commands,
        assemble::code(context, &code.shared),
        assemble::code(context, &code.own),
    )
    .await?;
    code.warn_of_hidden(context, locked, &mut warnings)?;
    warnings.extend(environment.warnings.iter().cloned());

    let mut layers: Vec<Made> = interpreter::layer(&locked.unit).into_iter().collect();
    layers.extend(base_commands);
    layers.extend(environment.layers.iter().cloned());
    layers.extend([shared, own].into_iter().flatten());
    let new: Vec<image::Layer> = layers.iter().map(image_layer).collect();
    let image = compose(context, locked, &running, base, &name, &new, code.library_path.as_deref())?;

    let blobs = base_blobs.iter().cloned().chain(layers.iter().map(|made| blob(context, made)));
    let tags = deliver::tags(context, image.platform);
    let finished = Finished { name: repository, tags, layers: blobs.collect(), image };
    let delivered = destinations.deliver(context, &finished).await?;
    if let Some(records) = &context.records {
        let _running = context.clocks.push.start();
        records.write_environment(context, &environment, pushed.as_ref()).await?;
        records.write_made(context, base, pushed.as_ref()).await?;
        if let Some(interpreter) = &locked.unit.interpreter {
            records.write_interpreter(context, interpreter, pushed.as_ref()).await?;
        }
    }

    let mut transfers = delivered.transfers.iter().copied();
    let mut transfer = || transfers.next().unwrap_or(Transfer::None);
    let mut reports: Vec<LayerReport> = Vec::new();
    reports.extend(base_reports(base).into_iter().map(|layer| LayerReport { transfer: transfer(), ..layer }));
    reports.extend(layers.iter().map(|made| layer_report(made, transfer())));
    let digest = Some(finished.image.manifest.digest.to_string());
    let mut report = image_report(locked, digest, reports);
    report.reference = delivered.reference;
    report.tags = delivered.tags;
    Ok(Built { name: finished.name, image: finished.image, report, warnings })
}

/// The layers of a base, to deliver.
fn base_blobs(base: &Arc<Base>) -> Vec<Blob> {
    let blob = |(index, layer): (usize, &image::Layer)| Blob {
        digest: layer.digest,
        size: layer.size,
        content: Content::Base(Arc::clone(base), index),
    };
    base.image.layers().iter().enumerate().map(blob).collect()
}

/// A layer, to deliver.
fn blob(context: &Context<'_>, made: &Made) -> Blob {
    let content = match (made.origin, &context.records) {
        (LayerOrigin::Registry, Some(records)) => Content::Remote(records.repository().clone()),
        _ => Content::Layer(Arc::clone(&made.layer)),
    };
    Blob { digest: made.layer.digest, size: made.layer.size, content }
}

/// The documents of the image that has these layers above the base's.
pub fn compose(
    context: &Context<'_>,
    locked: &Locked<'_>,
    running: &Running,
    base: &Base,
    name: &str,
    layers: &[image::Layer],
    library_path: Option<&str>,
) -> Result<image::Image, Error> {
    let spec = spec(context, locked, running, base, name, layers, library_path);
    image::compose(&spec).map_err(|source| Error::Image { image: name.to_owned(), source })
}

/// What the report says of a base's layers.
pub fn base_reports(base: &Base) -> Vec<LayerReport> {
    let layer = |layer: &image::Layer| LayerReport {
        key: None,
        digest: Some(layer.digest.to_string()),
        diff_id: Some(layer.diff_id.to_string()),
        size: Some(layer.size),
        uncompressed_size: None,
        estimated_size: None,
        downloads: None,
        download_size: None,
        role: Role::Base,
        packages: Vec::new(),
        origin: Some(LayerOrigin::Base),
        transfer: Transfer::None,
    };
    base.image.layers().iter().map(layer).collect()
}

/// What the report says of a layer that is there.
pub fn layer_report(made: &Made, transfer: Transfer) -> LayerReport {
    LayerReport {
        key: Some(made.layer.key.to_string()),
        digest: Some(made.layer.digest.to_string()),
        diff_id: Some(made.layer.diff_id.to_string()),
        size: Some(made.layer.size),
        uncompressed_size: Some(made.layer.uncompressed_size),
        estimated_size: None,
        downloads: None,
        download_size: None,
        role: made.role,
        packages: made.packages.clone(),
        origin: Some(made.origin),
        transfer,
    }
}

/// What the report says of an image, before it is delivered.
pub fn image_report(locked: &Locked<'_>, digest: Option<String>, layers: Vec<LayerReport>) -> ImageReport {
    let (component, target) = (locked.unit.component, locked.lock.target);
    ImageReport {
        project: String::new(),
        component: component.name.clone(),
        kind: component.kind.to_string(),
        environment: locked.id.clone(),
        steps: locked.unit.environment.steps.clone(),
        reference: None,
        digest: digest.clone(),
        tags: Vec::new(),
        platforms: vec![PlatformReport {
            platform: target.platform.to_string(),
            environment: locked.id.clone(),
            digest,
            python: target.python.to_string(),
            python_path: format!("/{PREFIX}/bin/python"),
            base_digest: locked.unit.base.as_ref().map(|base| base.digest.to_string()),
            base_packages: base_packages(&locked.lock),
            layers,
        }],
    }
}

/// What a lock counts on in the base.
fn base_packages(lock: &Lock) -> Vec<PackageReport> {
    let report = |package: &lock::BasePackage| PackageReport {
        name: package.name.to_string(),
        version: package.version.to_string(),
        kind: "pypi",
    };
    lock.base.iter().flat_map(|base| &base.packages).map(report).collect()
}

/// What the image is made of and how it runs.
fn spec<'s>(
    context: &Context<'_>,
    locked: &Locked<'_>,
    running: &Running,
    base: &'s Base,
    name: &str,
    layers: &'s [image::Layer],
    library_path: Option<&str>,
) -> ImageSpec<'s> {
    let settings = &running.settings;
    let mut labels = labels(context, locked, name);
    labels.extend(running.labels().clone());
    labels.extend(context.options.delivery.labels.iter().cloned());
    ImageSpec {
        path_prefix: Some(format!("/{PREFIX}/bin")),
        env: running.env(locked, name, library_path),
        working_dir: Some(running.working_dir.clone()),
        entrypoint: settings.entrypoint.clone(),
        cmd: running.command(locked.unit.component),
        user: settings.user.clone(),
        exposed_ports: settings.ports.clone(),
        stop_signal: settings.stop_signal.clone(),
        labels,
        created: context.options.created,
        ..ImageSpec::new(&base.image, locked.lock.target.platform, layers)
    }
}

/// What the image's documents say of a layer.
pub fn image_layer(made: &Made) -> image::Layer {
    let packages: Vec<&str> = made.packages.iter().map(|package| &*package.name).collect();
    let created_by = match made.role {
        Role::Code => "code".to_owned(),
        Role::Interpreter => {
            let named = made.packages.iter().map(|package| format!("{} {}", package.name, package.version));
            format!("interpreter {}", named.collect::<Vec<_>>().join(" "))
        }
        _ if packages.is_empty() => "environment".to_owned(),
        _ => format!("environment {}", packages.join(" ")),
    };
    image::Layer {
        digest: made.layer.digest,
        diff_id: made.layer.diff_id,
        size: made.layer.size,
        media_type: made.layer.compression.media_type().into(),
        created_by,
        annotations: None,
    }
}

/// The labels: what the image is, the README as its documentation, and the project's assets.
fn labels(context: &Context<'_>, locked: &Locked<'_>, name: &str) -> BTreeMap<String, String> {
    let component = locked.unit.component;
    let mut labels = BTreeMap::new();
    let mut label = |key: &str, value: String| labels.insert(key.to_owned(), value);
    label(image::ANNOTATION_TITLE, name.to_owned());
    label("bakehouse.project", context.project.name.clone());
    label("bakehouse.component", format!("{}/{}", component.kind, component.name));
    label("bakehouse.environment", locked.id.clone());
    if let Some(path) = &component.readme
        && let Ok(text) = std::fs::read(path)
    {
        let relative = path.strip_prefix(&context.project.root).unwrap_or(path).to_string_lossy();
        label(image::ANNOTATION_DOCUMENTATION, format!("file:///app/{relative}"));
        label("bakehouse.readme", readme(&text));
    }
    for asset in &context.project.assets {
        label(&format!("bakehouse.asset.{}.{}", asset.kind, asset.id), declaration(asset));
    }
    labels
}

/// What is declared of an asset, as JSON: the same text for the same declaration.
fn declaration(asset: &Asset) -> String {
    let Asset { name, description, declared_kind, blobs, properties, .. } = asset;
    serde_json::json!({
        "name": name,
        "description": description,
        "kind": declared_kind,
        "blobs": blobs,
        "properties": properties,
    })
    .to_string()
}

/// A README as the value of a label: text, and not without end.
fn readme(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut end = text.len().min(README_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
