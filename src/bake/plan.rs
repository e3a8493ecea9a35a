//! What a build would do, without doing it.

use super::Error;
use super::assemble::{Made, groups, packages, wheels};
use super::code;
use super::context::Context;
use super::images::{base_reports, distribution_budget, foundation, image_report, layer_report};
use super::locks::Locked;
use super::report::{ImageReport, LayerOrigin, LayerReport, Role, Transfer, WarningReport};
use super::settings::Running;
use super::skeleton;
use crate::layer;
use crate::model::Key;

/// The image as it would be: exact where the store knows a layer, estimated elsewhere.
pub async fn image(
    context: &Context<'_>,
    locked: &Locked<'_>,
) -> Result<(ImageReport, Vec<WarningReport>), Error> {
    let (base, python) = foundation(locked)?;
    let mut warnings = Vec::new();
    let mut layers = base_reports(base);

    let wheels = wheels(&locked.lock)?;
    for group in groups(&wheels, distribution_budget(base)) {
        let keys: Vec<Key> = group.iter().map(|&i| wheels[i].key).collect();
        let sizes = group.iter().map(|&i| wheels[i].pin.archive.size);
        let key = layer::layer_key(&keys);
        layers.push(match layer::stored_layer(&context.store, &key)? {
            Some(layer) => {
                let made = Made {
                    layer: layer.into(),
                    role: Role::Environment,
                    packages: packages(&wheels, &group),
                    origin: LayerOrigin::Store,
                };
                layer_report(&made, Transfer::None)
            }
            None => LayerReport {
                estimated_size: sizes.sum(),
                packages: packages(&wheels, &group),
                ..unknown(Some(key), Role::Environment)
            },
        });
    }

    let running = Running::new(context, locked.unit.component, base)?;
    let code = code::files(context.project, locked, &running, &mut warnings)?;
    let parts =
        [(Role::Environment, skeleton::entries(python)), (Role::Code, code.shared), (Role::Code, code.own)];
    for (role, entries) in parts {
        if !entries.is_empty() {
            let size = entries.iter().map(layer::FileEntry::size_hint).sum();
            layers.push(LayerReport { estimated_size: Some(size), ..unknown(None, role) });
        }
    }
    Ok((image_report(locked, None, layers), warnings))
}

/// A layer that would have to be built.
fn unknown(key: Option<Key>, role: Role) -> LayerReport {
    LayerReport {
        key: key.map(|key| key.to_string()),
        digest: None,
        diff_id: None,
        size: None,
        uncompressed_size: None,
        estimated_size: None,
        role,
        packages: Vec::new(),
        origin: None,
        transfer: Transfer::None,
    }
}
