//! Assets: `data/NAME/asset_config.toml` and `models/NAME/asset_config.toml`, or in the folders that `[obproject_dirs]` names.

use std::collections::BTreeMap;

use toml_edit::Item;

use super::source::Root;
use super::toml::Toml;
use super::{Asset, AssetKind, Error};
use crate::model::{Origin, Warning};

/// The assets that the project declares, sorted by kind, then folder. A folder without a declaration is no asset.
pub(super) fn assets(
    root: &Root,
    obproject: &Toml,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Asset>, Error> {
    let mut assets = Vec::new();
    for (kind, folder) in [(AssetKind::Data, "data"), (AssetKind::Model, "models")] {
        let folder = match obproject.string(&["obproject_dirs", folder])? {
            Some((file, origin)) if file.starts_with('/') || file.split('/').any(|part| part == "..") => {
                return Err(Error::OutsideFile { origin, file: file.to_owned() });
            }
            Some((other, _)) => other.trim_start_matches("./").trim_end_matches('/'),
            None => folder,
        };
        for name in root.list(folder)? {
            let file = format!("{folder}/{name}/asset_config.toml");
            if let Some(text) = root.read_optional(&file)? {
                let asset = asset(kind, &name, &Toml::parse(&file, text)?, warnings)?;
                if let Some(other) =
                    assets.iter().find(|other: &&Asset| (other.kind, &other.id) == (kind, &asset.id))
                {
                    let message = format!(
                        "{} `{}` is declared in {} as well: what is said there is not recorded",
                        asset.kind, asset.id, other.origin
                    );
                    warnings.push(Warning::at(asset.origin.clone(), message));
                    assets.retain(|other| (other.kind, &other.id) != (kind, &asset.id));
                }
                assets.push(asset);
            }
        }
    }
    Ok(assets)
}

fn asset(kind: AssetKind, folder: &str, toml: &Toml, warnings: &mut Vec<Warning>) -> Result<Asset, Error> {
    let text = |key: &str| -> Result<Option<String>, Error> {
        Ok(toml.string(&[key])?.map(|(text, _)| text.to_owned()))
    };
    let (id, name) = (text("id")?, text("name")?);
    let missing: Vec<&str> = [("id", &id), ("name", &name)]
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(key, _)| *key)
        .collect();
    if !missing.is_empty() {
        let message =
            format!("the asset has no `{}`: the platform refuses to register it", missing.join("` and no `"));
        warnings.push(Warning::at(Origin::file(toml.file()), message));
    }
    let id = id.unwrap_or_else(|| folder.to_owned());
    let blobs = toml.strings(&["blobs"])?.unwrap_or_default();
    let mut properties = BTreeMap::new();
    for table in ["properties", "tags"] {
        // Tags may also be a list: a list's entries are names without values.
        let Some(entries) = toml.get(&[table]).and_then(Item::as_table_like) else { continue };
        for (key, item) in entries.iter() {
            let Some(value) = item.as_value() else { continue };
            if value.as_str().is_none() {
                let message =
                    format!("`{table}.{}` is no string: the platform refuses it", key.escape_debug());
                warnings.push(Warning::at(toml.origin(&[table, key]), message));
            }
            let value = value.as_str().map_or_else(|| value.to_string().trim().to_owned(), str::to_owned);
            properties.insert(key.to_owned(), value);
        }
    }
    Ok(Asset {
        kind,
        name: name.unwrap_or_else(|| id.clone()),
        id,
        description: text("description")?,
        declared_kind: text("kind")?,
        blobs: blobs.into_iter().map(|(blob, _)| blob.to_owned()).collect(),
        properties,
        origin: Origin::file(toml.file()),
    })
}
