//! Assets: `data/NAME/asset_config.toml` and `models/NAME/asset_config.toml`.

use std::collections::BTreeMap;

use toml_edit::Item;

use super::source::Root;
use super::toml::Toml;
use super::{Asset, AssetKind, Error};
use crate::model::Origin;

/// The assets that the project declares, sorted by kind, then folder. A folder without a declaration is no asset.
pub(super) fn assets(root: &Root) -> Result<Vec<Asset>, Error> {
    let mut assets = Vec::new();
    for (kind, folder) in [(AssetKind::Data, "data"), (AssetKind::Model, "models")] {
        for name in root.list(folder)? {
            let file = format!("{folder}/{name}/asset_config.toml");
            if let Some(text) = root.read_optional(&file)? {
                assets.push(asset(kind, &name, &Toml::parse(&file, text)?)?);
            }
        }
    }
    Ok(assets)
}

fn asset(kind: AssetKind, folder: &str, toml: &Toml) -> Result<Asset, Error> {
    let text = |key: &str| -> Result<Option<String>, Error> {
        Ok(toml.string(&[key])?.map(|(text, _)| text.to_owned()))
    };
    let id = text("id")?.unwrap_or_else(|| folder.to_owned());
    let blobs = toml.strings(&["blobs"])?.unwrap_or_default();
    let mut properties = BTreeMap::new();
    for table in ["properties", "tags"] {
        // Tags may also be a list: a list's entries are names without values.
        let Some(entries) = toml.get(&[table]).and_then(Item::as_table_like) else { continue };
        for (key, item) in entries.iter() {
            if let Some(value) = item.as_value() {
                let value = value.as_str().map_or_else(|| value.to_string().trim().to_owned(), str::to_owned);
                properties.insert(key.to_owned(), value);
            }
        }
    }
    Ok(Asset {
        kind,
        name: text("name")?.unwrap_or_else(|| id.clone()),
        id,
        description: text("description")?,
        declared_kind: text("kind")?,
        blobs: blobs.into_iter().map(|(blob, _)| blob.to_owned()).collect(),
        properties,
        origin: Origin::file(toml.file()),
    })
}
