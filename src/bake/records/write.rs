//! Writing records, each after what it is about was delivered.

use std::io;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use serde::Serialize;

use super::document::{Document, Part};
use super::{
    EnvironmentRecord, InterpreterRecord, LayerRecord, MadeRecord, Records, base_tag, environment_tag,
    interpreter_tag, layer_tag, made_key, made_tag,
};
use crate::bake::assemble::{Environment, Remembered};
use crate::bake::context::Context;
use crate::bake::report::LayerOrigin;
use crate::bake::{Error, with_causes};
use crate::base::interpreter::Interpreter;
use crate::base::{Base, Contents, Making};
use crate::layer::{self, Compression, Layer};
use crate::model::{Digest, Key};
use crate::registry::{self, Repository};

/// A layer with nothing in it, for a record that is about no blob: some registries want an image to have one. A
/// kilobyte of zeros, as other programs compress it too.
const EMPTY_LAYER: [u8; 32] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x09, 0x6e, 0x88, 0x00, 0xff, 0x62, 0x18, 0x05, 0xa3, 0x60, 0x14, 0x8c,
    0x58, 0x00, 0x08, 0x00, 0x00, 0xff, 0xff, 0x2e, 0xaf, 0xb5, 0xef, 0x00, 0x04, 0x00, 0x00,
];

/// What kept a record from being written. None of it fails a build.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error("a record cannot be made")]
    Json(#[from] serde_json::Error),
}

impl Records {
    /// Writes the record of an environment, and what of its layers is not written yet, once a run. `delivered` has their
    /// blobs.
    pub async fn write_environment(
        &self,
        context: &Context<'_>,
        environment: &Environment,
        delivered: Option<&Repository>,
    ) -> Result<(), Error> {
        if environment.remembered == Remembered::Whole {
            return Ok(());
        }
        let write = || async { Ok(self.tell(self.try_environment(context, environment, delivered).await)) };
        self.written.get(environment.key, write).await.map(drop)
    }

    /// Brings a layer into the repository, with its record if it is one of distributions, once a run. Whether that went
    /// well.
    pub async fn write_layer(
        &self,
        context: &Context<'_>,
        layer: &Arc<Layer>,
        delivered: Option<&Repository>,
    ) -> bool {
        let write = || async { Ok(self.tell(self.try_layer(context, layer, delivered).await)) };
        self.written.get(layer.key, write).await.unwrap_or(false)
    }

    /// Writes the record of what is inside a base image.
    pub async fn write_base(&self, key: &Key, contents: &Contents) {
        let write = async {
            let tar = [0; 1024];
            let size = EMPTY_LAYER.len() as u64;
            let compression = Compression::Gzip;
            let part =
                Part { digest: Digest::of(&EMPTY_LAYER), diff_id: Digest::of(&tar), size, compression };
            let open = || Ok(Box::new(&EMPTY_LAYER[..]) as _);
            self.repository.push_blob(&part.digest, size, None, open).await?;
            self.put(&base_tag(key), contents, &[part]).await
        };
        self.tell(write.await);
    }

    /// Writes the record of a base that was made of packages, once a run: on another machine, it need not be made again,
    /// nor need the packages be there. `delivered` has its layers.
    pub async fn write_made(
        &self,
        context: &Context<'_>,
        base: &Base,
        delivered: Option<&Repository>,
    ) -> Result<(), Error> {
        let Some((layers, making)) = base.made() else { return Ok(()) };
        let key = made_key(layers.iter().map(|layer| layer.key));
        let record = || MadeRecord {
            layers: layers.iter().map(|layer| (**layer).clone()).collect(),
            contents: base.contents.clone(),
        };
        let write = || async {
            let tag = made_tag(&key);
            Ok(self.tell(self.put_with_layers(context, &tag, &record(), (layers, making), delivered).await))
        };
        self.written.get(key, write).await.map(drop)
    }

    /// Writes the record of a Python from an archive, once a run: on another machine, the archive need not be there.
    /// `delivered` has its layer.
    pub async fn write_interpreter(
        &self,
        context: &Context<'_>,
        interpreter: &Interpreter,
        delivered: Option<&Repository>,
    ) -> Result<(), Error> {
        let Interpreter { layer, facts, making, .. } = interpreter;
        let record = || InterpreterRecord { layer: (**layer).clone(), facts: facts.clone() };
        let write = || async {
            let (tag, layers) = (interpreter_tag(&layer.key), (std::slice::from_ref(layer), *making));
            Ok(self.tell(self.put_with_layers(context, &tag, &record(), layers, delivered).await))
        };
        self.written.get(layer.key, write).await.map(drop)
    }

    /// Brings layers that were made into the repository, and the record that is about them, unless they are there.
    async fn put_with_layers<T: Serialize>(
        &self,
        context: &Context<'_>,
        tag: &str,
        record: &T,
        (layers, making): (&[Arc<Layer>], Making),
        delivered: Option<&Repository>,
    ) -> Result<(), Failure> {
        let parts: Vec<Part> = layers.iter().map(|layer| Part::from(&**layer)).collect();
        match making {
            Making::Elsewhere => return Ok(()),
            // They were in the store, so the registry was not asked.
            Making::Before => {
                let found = self.repository.manifest(tag).await.unwrap_or_default();
                let document = Document::new(tag, record, &parts, self.key.as_ref())?;
                if found.is_some_and(|manifest| manifest.digest == document.digest()) {
                    return Ok(());
                }
            }
            // A record that is there would not do, or they would not have been made.
            Making::Now => {}
        }
        try_join_all(layers.iter().map(|layer| self.push_layer(context, layer, delivered))).await?;
        self.put(tag, record, &parts).await
    }

    async fn try_environment(
        &self,
        context: &Context<'_>,
        environment: &Environment,
        delivered: Option<&Repository>,
    ) -> Result<(), Failure> {
        let Environment { key, layers, clashes, .. } = environment;
        let record = EnvironmentRecord {
            layers: layers.iter().map(|made| (*made.layer).clone()).collect(),
            collisions: clashes.clone(),
        };
        let parts: Vec<Part> = record.layers.iter().map(Part::from).collect();
        let tag = environment_tag(key);
        if environment.remembered == Remembered::NotAsked {
            // Everything was in the store, so the registry was not asked.
            let found = self.repository.manifest(&tag).await.unwrap_or_default();
            let document = Document::new(&tag, &record, &parts, self.key.as_ref())?;
            if found.is_some_and(|manifest| manifest.digest == document.digest()) {
                return Ok(());
            }
        }
        let new = layers.iter().filter(|made| made.origin != LayerOrigin::Registry);
        let written = new.map(|made| self.write_layer(context, &made.layer, delivered));
        // What went wrong with a layer was told: without it there is no environment either.
        if join_all(written).await.into_iter().all(|written| written) {
            self.put(&tag, &record, &parts).await?;
        }
        Ok(())
    }

    async fn try_layer(
        &self,
        context: &Context<'_>,
        layer: &Arc<Layer>,
        delivered: Option<&Repository>,
    ) -> Result<(), Failure> {
        let mut files = Vec::new();
        for piece in &layer.pieces {
            files.extend(layer::fragment_files(&context.store, &piece.key)?);
        }
        self.push_layer(context, layer, delivered).await?;
        if files.len() == layer.pieces.len() {
            let record = LayerRecord { layer: (**layer).clone(), files };
            self.put(&layer_tag(&layer.key), &record, &[Part::from(&**layer)]).await?;
        }
        Ok(())
    }

    /// Brings the bytes of a layer into the repository.
    async fn push_layer(
        &self,
        context: &Context<'_>,
        layer: &Arc<Layer>,
        delivered: Option<&Repository>,
    ) -> Result<(), Failure> {
        let (store, content) = (Arc::clone(&context.store), Arc::clone(layer));
        let open = move || Ok(Box::new(layer::open(&store, &content).map_err(io::Error::other)?) as _);
        let _permit = context.deliveries.acquire().await;
        // Just delivered: to ask whether it is here as well would cost more than to take it over.
        if let Some(near) = delivered.filter(|delivered| delivered.same_registry(&self.repository))
            && self.repository.mount_blob(&layer.digest, near).await?
        {
            return Ok(());
        }
        self.repository.push_blob(&layer.digest, layer.size, None, open).await?;
        Ok(())
    }

    /// Writes a record; the blobs it is about must be there.
    async fn put<T: Serialize>(&self, tag: &str, record: &T, parts: &[Part]) -> Result<(), Failure> {
        let Document { config, manifest } = Document::new(tag, record, parts, self.key.as_ref())?;
        let (digest, size) = (Digest::of(&config), config.len() as u64);
        let config: Arc<[u8]> = config.into();
        let open = || Ok(Box::new(io::Cursor::new(Arc::clone(&config))) as _);
        self.repository.push_blob(&digest, size, None, open).await?;
        self.repository.push_manifest(tag, Document::MEDIA_TYPE, &manifest).await?;
        Ok(())
    }

    /// Tells what went wrong, if anything did; whether all went well.
    fn tell(&self, outcome: Result<(), Failure>) -> bool {
        if let Err(error) = &outcome {
            self.trouble(format!(
                "other machines will not find what was built here: no record of it can be written: {}",
                with_causes(error)
            ));
        }
        outcome.is_ok()
    }
}
