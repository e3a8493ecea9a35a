//! Images to their destinations: a registry, layouts, archives, or the store alone.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{try_join, try_join_all};

use super::archives::Archives;
use super::assemble::Once;
use super::context::Context;
use super::report::Transfer;
use super::{Error, Event, Output};
use crate::base::Base;
use crate::image::{Descriptor, Document, Image};
use crate::layer::{self, Layer};
use crate::model::{Digest, Platform};
use crate::registry::{self, Layout, Pushed, Reference, Repository};
use crate::store::Store;

/// The bytes of a layer, wherever they are.
#[derive(Clone)]
pub enum Content {
    /// The layer of the base at this place, counted from the lowest.
    Base(Arc<Base>, usize),
    /// A layer in the store.
    Layer(Arc<Layer>),
    /// A layer that the registry's records name; it is read only if it must be.
    Remote(Repository),
    /// A small document.
    Bytes(Arc<[u8]>),
}

/// A blob of an image to deliver.
#[derive(Clone)]
pub struct Blob {
    pub digest: Digest,
    pub size: u64,
    pub content: Content,
}

impl Blob {
    /// The repository that has the bytes, if they may not be on this machine.
    fn elsewhere(&self) -> Option<&Repository> {
        match &self.content {
            Content::Base(base, _) => base.repository(),
            Content::Remote(repository) => Some(repository),
            Content::Layer(_) | Content::Bytes(_) => None,
        }
    }

    /// Makes sure that the bytes can be read on this machine. `name` is the image's.
    pub async fn pull(&self, context: &Context<'_>, name: &str) -> Result<(), Error> {
        match &self.content {
            Content::Base(base, index) => {
                base.pull_layer(*index, &context.store).await.map_err(|source| base.failed(source))?;
            }
            Content::Remote(repository) => {
                let pulled = repository.pull_blob(&context.store, &self.digest, self.size).await;
                pulled.map_err(|source| Error::Deliver { image: name.to_owned(), source })?;
            }
            Content::Layer(_) | Content::Bytes(_) => {}
        }
        Ok(())
    }
}

/// An image that is complete but for its delivery.
#[derive(Clone)]
pub struct Finished {
    /// The image's name, without prefix and tag.
    pub name: String,
    /// Its tags.
    pub tags: Vec<String>,
    pub image: Image,
    /// The layers, from the base up.
    pub layers: Vec<Blob>,
}

impl Finished {
    fn parcel(&self) -> Parcel<'_> {
        Parcel { name: &self.name, platform: self.image.platform }
    }
}

/// What became of an image.
pub struct Delivered {
    /// How each layer got there.
    pub transfers: Vec<Transfer>,
    /// `HOST/PREFIX/NAME@DIGEST`, if it was pushed.
    pub reference: Option<String>,
    /// The tags that point at it.
    pub tags: Vec<String>,
}

/// Where the images of a run go.
pub struct Destinations {
    layouts: Vec<Arc<Layout>>,
    archives: Archives,
    tags: Vec<String>,
    /// For each blob a repository that has it, to mount it from. Who delivers the blob first holds the lock.
    homes: Mutex<HashMap<Digest, Home>>,
    /// How each blob of an image got to each destination: layers go ahead of their image.
    sent: Once<(Place, String, Platform, Digest), Transfer>,
    /// What each layout is to list in the end, by name: to change its index for every image would take the square of their
    /// number.
    listed: Mutex<BTreeMap<(usize, String), Descriptor>>,
    written: AtomicU64,
}

/// One of the destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Registry,
    /// The layout at this place of those that are written.
    Layout(usize),
}

/// An image on its way: its name, without prefix and tag, and its platform.
#[derive(Debug, Clone, Copy)]
pub struct Parcel<'n> {
    pub name: &'n str,
    pub platform: Platform,
}

type Home = Arc<tokio::sync::Mutex<Option<Repository>>>;

impl Destinations {
    /// The destinations that the options name. Creates the layout.
    pub fn new(context: &Context<'_>) -> Result<Self, Error> {
        let delivery = &context.options.delivery;
        let mut layouts = Vec::new();
        for output in &delivery.outputs {
            if let Output::Layout(path) = output {
                let failed = |source| Error::Deliver { image: output.to_string(), source };
                layouts.push(Arc::new(Layout::create(path).map_err(failed)?));
            }
        }
        let archives = Archives::new(&delivery.outputs)?;
        let tags = delivery.tags.clone();
        let (homes, sent) = (Mutex::default(), Once::default());
        let (listed, written) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self { layouts, archives, tags, homes, sent, listed, written })
    }

    /// Lists the images that are there in the layouts.
    pub fn list(&self) -> Result<(), Error> {
        let listed = std::mem::take(&mut *self.listed.lock().unwrap_or_else(PoisonError::into_inner));
        for (at, layout) in self.layouts.iter().enumerate() {
            let here = listed.iter().filter(|((place, _), _)| *place == at);
            let here: Vec<_> = here.map(|((_, name), image)| (image.clone(), name.clone())).collect();
            let failed = |source| Error::Deliver { image: layout.path().display().to_string(), source };
            layout.tag_all(&here).map_err(failed)?;
        }
        Ok(())
    }

    fn will_list(&self, at: usize, name: &str, tags: &[String], image: &Descriptor) {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.extend(tags.iter().map(|tag| ((at, format!("{name}:{tag}")), image.clone())));
    }

    /// Writes what can be written only when all images are there.
    pub async fn finish(&self, context: &Context<'_>) -> Result<(), Error> {
        let _running = context.clocks.push.start();
        let written = self.archives.write(context, &self.tags).await?;
        self.written.fetch_add(written, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes written into layouts and archives so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Sends layers of an image ahead of it, to wherever that can be done before all of it is there.
    pub async fn send(
        &self,
        context: &Context<'_>,
        image: Parcel<'_>,
        layers: impl IntoIterator<Item = &Blob>,
    ) -> Result<(), Error> {
        let _running = context.clocks.push.start();
        let repository = repository(context, image.name)?.map(|(_, repository)| repository);
        let send = |blob| {
            let pushed = repository.iter().map(move |to| self.push_blob(context, to, image, blob));
            let written = (0..self.layouts.len()).map(move |at| self.write_blob(context, at, image, blob));
            try_join(try_join_all(pushed), try_join_all(written))
        };
        try_join_all(layers.into_iter().map(send)).await.map(drop)
    }

    /// Delivers an image everywhere; what went ahead is not sent again.
    pub async fn deliver(&self, context: &Context<'_>, finished: &Finished) -> Result<Delivered, Error> {
        let _running = context.clocks.push.start();
        let pushed = async {
            match repository(context, &finished.name)? {
                None => Ok(None),
                Some((reference, repository)) => {
                    let transfers = self.push(context, &repository, finished).await?;
                    let digest = finished.image.manifest.digest;
                    let (host, name) = (reference.registry(), reference.repository());
                    Ok(Some((transfers, format!("{host}/{name}@{digest}"))))
                }
            }
        };
        let written = (0..self.layouts.len()).map(|layout| self.write(context, layout, finished));
        let (pushed, written) = try_join(pushed, try_join_all(written)).await?;
        let mut written = written.into_iter().next();
        if self.archives.keep(finished) {
            written = written.or_else(|| Some(vec![Transfer::Uploaded; finished.layers.len()]));
        }
        if pushed.is_none() && written.is_none() {
            context.store.put_blob(&finished.image.config.bytes).map_err(Error::Store)?;
            context.store.put_blob(&finished.image.manifest.bytes).map_err(Error::Store)?;
            let transfers = vec![Transfer::None; finished.layers.len()];
            return Ok(Delivered { transfers, reference: None, tags: Vec::new() });
        }
        context.event(Event::Delivered(&finished.name));
        let (transfers, reference) = match (pushed, written) {
            (Some((transfers, reference)), _) => (transfers, Some(reference)),
            (None, written) => (written.unwrap_or_default(), None),
        };
        Ok(Delivered { transfers, reference, tags: self.tags.clone() })
    }

    /// Delivers an image index, whose images are delivered. Gives its reference, if it was pushed.
    pub async fn deliver_index(
        &self,
        context: &Context<'_>,
        name: &str,
        index: &Document,
    ) -> Result<Option<String>, Error> {
        let _running = context.clocks.push.start();
        let failed = |source| Error::Deliver { image: name.to_owned(), source };
        for (at, layout) in self.layouts.iter().enumerate() {
            self.write_new(context, layout, name, &document(index)).await?;
            self.will_list(at, name, &self.tags, &index.descriptor());
        }
        self.archives.keep_index(name, index);
        let Some((reference, repository)) = repository(context, name)? else {
            context.store.put_blob(&index.bytes).map_err(Error::Store)?;
            return Ok(None);
        };
        for tag in &self.tags {
            let found = repository.manifest(tag).await.map_err(failed)?;
            if found.is_none_or(|found| found.digest != index.digest) {
                let media_type = index.media_type.as_ref();
                repository.push_manifest(tag, media_type, &index.bytes).await.map_err(failed)?;
            }
        }
        Ok(Some(format!("{}/{}@{}", reference.registry(), reference.repository(), index.digest)))
    }

    async fn push(
        &self,
        context: &Context<'_>,
        repository: &Repository,
        finished: &Finished,
    ) -> Result<Vec<Transfer>, Error> {
        let failed = |source| Error::Deliver { image: finished.name.clone(), source };
        let image = &finished.image;
        let current =
            try_join_all(finished.tags.iter().map(|tag| repository.manifest(tag))).await.map_err(failed)?;
        let is_current = |found: &Option<registry::Manifest>| {
            found.as_ref().is_some_and(|manifest| manifest.digest == image.manifest.digest)
        };
        // A manifest that is there vouches for its blobs: a registry keeps what a tagged image needs.
        let transfers = if current.iter().any(is_current) {
            vec![Transfer::Present; finished.layers.len()]
        } else {
            let config = document(&image.config);
            let push = |blob| self.push_blob(context, repository, finished.parcel(), blob);
            let (_, transfers) =
                try_join(push(&config), try_join_all(finished.layers.iter().map(push))).await?;
            transfers
        };
        for (tag, found) in finished.tags.iter().zip(&current) {
            if !is_current(found) {
                repository
                    .push_manifest(tag, image.manifest.media_type.as_ref(), &image.manifest.bytes)
                    .await
                    .map_err(failed)?;
            }
        }
        Ok(transfers)
    }

    fn home(&self, digest: &Digest) -> Home {
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(homes.entry(*digest).or_default())
    }

    async fn push_blob(
        &self,
        context: &Context<'_>,
        repository: &Repository,
        image: Parcel<'_>,
        blob: &Blob,
    ) -> Result<Transfer, Error> {
        let key = (Place::Registry, image.name.to_owned(), image.platform, blob.digest);
        self.sent.get(key, || self.push_new(context, repository, image.name, blob)).await
    }

    async fn push_new(
        &self,
        context: &Context<'_>,
        repository: &Repository,
        name: &str,
        blob: &Blob,
    ) -> Result<Transfer, Error> {
        let failed = |source| Error::Deliver { image: name.to_owned(), source };
        let home = self.home(&blob.digest);
        // Who comes first brings the blob into the registry; the others take it over from there, all at once.
        let mut first = Some(home.lock().await);
        let mut from = first.as_deref().cloned().flatten();
        if from.is_some() {
            first = None;
        }
        let _permit = context.deliveries.acquire().await;
        if let Some(source) = blob.elsewhere() {
            // The blob is read only if the registry neither has it nor can take it over.
            if repository.has_blob(&blob.digest).await.map_err(failed)? {
                return Ok(Transfer::Present);
            }
            let other = from.as_ref().unwrap_or(source);
            if other.same_registry(repository)
                && repository.mount_blob(&blob.digest, other).await.map_err(failed)?
            {
                return Ok(Transfer::Mounted);
            }
            blob.pull(context, name).await?;
            from = None;
        }
        context.event(Event::Delivering(&blob.digest.to_string()));
        let (store, blob) = (Arc::clone(&context.store), blob.clone());
        let (digest, size) = (blob.digest, blob.size);
        let open = move || open(&blob, &store);
        let pushed = repository.push_blob(&digest, size, from.as_ref(), open).await.map_err(failed)?;
        if let Some(home) = first.as_deref_mut() {
            *home = Some(repository.clone());
        }
        Ok(match pushed {
            Pushed::Present => Transfer::Present,
            Pushed::Mounted => Transfer::Mounted,
            Pushed::Uploaded => Transfer::Uploaded,
        })
    }

    async fn write(
        &self,
        context: &Context<'_>,
        at: usize,
        finished: &Finished,
    ) -> Result<Vec<Transfer>, Error> {
        let image = &finished.image;
        let write = |blob| self.write_blob(context, at, finished.parcel(), blob);
        let transfers = try_join_all(finished.layers.iter().map(write)).await?;
        let layout = &self.layouts[at];
        for part in [&image.config, &image.manifest] {
            self.write_new(context, layout, &finished.name, &document(part)).await?;
        }
        self.will_list(at, &finished.name, &finished.tags, &image.descriptor());
        Ok(transfers)
    }

    async fn write_blob(
        &self,
        context: &Context<'_>,
        at: usize,
        image: Parcel<'_>,
        blob: &Blob,
    ) -> Result<Transfer, Error> {
        let key = (Place::Layout(at), image.name.to_owned(), image.platform, blob.digest);
        self.sent.get(key, || self.write_new(context, &self.layouts[at], image.name, blob)).await
    }

    async fn write_new(
        &self,
        context: &Context<'_>,
        layout: &Arc<Layout>,
        name: &str,
        blob: &Blob,
    ) -> Result<Transfer, Error> {
        let home = self.home(&blob.digest);
        let _first = home.lock().await;
        if layout.has_blob(&blob.digest, blob.size) {
            return Ok(Transfer::Present);
        }
        let _permit = context.deliveries.acquire().await;
        blob.pull(context, name).await?;
        context.event(Event::Delivering(&blob.digest.to_string()));
        let (layout, store, blob) = (Arc::clone(layout), Arc::clone(&context.store), blob.clone());
        let size = blob.size;
        let image = name.to_owned();
        let write = move || {
            let mut reader = open(&blob, &store).map_err(Error::Read)?;
            let put = layout.put_blob(&blob.digest, blob.size, &mut reader);
            put.map_err(|source| Error::Deliver { image, source })
        };
        tokio::task::spawn_blocking(write).await.map_err(Error::Worker)??;
        self.written.fetch_add(size, Ordering::Relaxed);
        Ok(Transfer::Uploaded)
    }
}

/// The repository that an image would be pushed to.
pub fn repository(context: &Context<'_>, name: &str) -> Result<Option<(Reference, Repository)>, Error> {
    let Some(prefix) = &context.options.delivery.push else { return Ok(None) };
    let text = format!("{prefix}/{name}");
    let reference: Reference = text.parse().map_err(|error: <Reference as FromStr>::Err| {
        Error::Reference { text: text.clone(), reason: error.to_string() }
    })?;
    let repository = context.registries.repository(&reference);
    Ok(Some((reference, repository)))
}

/// The tags of an image for one platform. One of several has tags of its own: some registries collect what has none, even
/// if an image index names it, and some tools know an image by its tag alone.
pub fn tags(context: &Context<'_>, platform: Platform) -> Vec<String> {
    let tags = context.options.delivery.tags.iter();
    match context.options.platforms.len() {
        1 => tags.cloned().collect(),
        _ => tags.map(|tag| format!("{tag}-{}", platform.arch.oci())).collect(),
    }
}

fn document(document: &Document) -> Blob {
    Blob {
        digest: document.digest,
        size: document.size(),
        content: Content::Bytes((&*document.bytes).into()),
    }
}

/// Opens the bytes of a blob. One from a registry must have been pulled before.
pub fn open(blob: &Blob, store: &Store) -> std::io::Result<Box<dyn Read + Send>> {
    Ok(match &blob.content {
        Content::Base(base, index) => base.open_layer(*index, store).map_err(std::io::Error::other)?,
        Content::Layer(layer) => Box::new(layer::open(store, layer).map_err(std::io::Error::other)?),
        Content::Remote(_) => match store.blob(&blob.digest, Some(blob.size)) {
            Some(blob) => Box::new(blob.open().map_err(std::io::Error::other)?),
            None => return Err(std::io::ErrorKind::NotFound.into()),
        },
        Content::Bytes(bytes) => Box::new(std::io::Cursor::new(Arc::clone(bytes))),
    })
}
