//! Lists of links (`--find-links`): a directory, or a page with links to files of any package.

use std::path::Path;
use std::sync::Arc;

use pep508_rs::PackageName;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use tokio::sync::OnceCell;
use url::Url;

use super::client::blocking;
use super::packed::{Bytes, Listed, WEB, pack, unpack};
use super::releases::Releases;
use super::web::{self, Web};
use super::{Error, page};
use crate::model::{Hasher, KeyHasher, WheelName};
use crate::net;
use crate::store::Store;

/// The largest page that is read.
const LARGEST_PAGE: u64 = 64 << 20;
/// The most files of a directory that are looked at.
const MOST_FILES: usize = 100_000;
/// The store's kind of records for pages.
const PAGES: &str = "links";

/// One list of links, read once.
pub(super) struct Links {
    url: Url,
    listed: OnceCell<Result<Arc<Vec<Listed<'static>>>, Error>>,
}

impl Links {
    pub(super) fn new(url: &Url) -> Result<Self, Error> {
        if !matches!(url.scheme(), "https" | "http" | "file") {
            let reason = "it is neither a directory nor an https or http page";
            return Err(Error::IndexUrl { url: net::redacted(url), reason });
        }
        Ok(Self { url: url.clone(), listed: OnceCell::new() })
    }

    /// The files of a project; `None` if there are none.
    pub(super) async fn releases(
        &self,
        name: &PackageName,
        web: &Web,
        store: &Arc<Store>,
    ) -> Result<Option<Releases>, Error> {
        let listed = self.listed.get_or_init(|| self.read(web, store)).await.clone()?;
        let mut shown = net::without_credentials(&self.url);
        shown.set_query(None);
        let (name, is_local) = (name.clone(), self.url.scheme() == "file");
        let work = move || {
            let mut own: Vec<Listed<'static>> =
                listed.iter().filter(|file| may_be_of(&file.file_name, &name)).cloned().collect();
            if is_local {
                for file in &mut own {
                    hash(file)?;
                }
            }
            let schemes = if is_local { &["file"] } else { WEB };
            let packed = Arc::new(pack(&name, &own));
            let bytes = Bytes::Memory(Arc::clone(&packed));
            let releases = unpack(&name, &shown, (bytes, 0), &packed, schemes);
            Ok(releases.filter(|releases| !releases.versions.is_empty()))
        };
        blocking(work).await
    }

    async fn read(&self, web: &Web, store: &Arc<Store>) -> Result<Arc<Vec<Listed<'static>>>, Error> {
        if self.url.scheme() == "file" {
            let url = self.url.clone();
            return blocking(move || Ok(Arc::new(directory(&url)?))).await;
        }
        let key = KeyHasher::new("links/2").text(net::without_credentials(&self.url).as_str()).finish();
        if web.is_offline()
            && let Some(listed) = store.record::<Vec<Listed<'static>>>(PAGES, &key)?
        {
            return Ok(Arc::new(listed));
        }
        let request = || web.get(&web.index, &self.url).header(ACCEPT, page::ACCEPT);
        let answer = web.answer(&web.index, request, StatusCode::OK, LARGEST_PAGE).await?;
        if answer.status != StatusCode::OK {
            return Err(web::unexpected(&answer.url, answer.status));
        }
        let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let (url, store) = (self.url.clone(), Arc::clone(store));
        let work = move || {
            let listed = page::read_links(&content_type, &answer.body, &answer.url)
                .map_err(|reason| Error::NotAnIndex { url: net::redacted(&url), reason })?;
            store.put_record(PAGES, &key, &listed)?;
            Ok(Arc::new(listed.into_iter().map(Listed::into_owned).collect()))
        };
        blocking(work).await
    }
}

/// Whether a file's name may be one of the project: only those are hashed.
fn may_be_of(file_name: &str, name: &PackageName) -> bool {
    match file_name.parse::<WheelName>() {
        Ok(wheel) => wheel.name == *name,
        Err(_) => file_name.to_ascii_lowercase().starts_with(|c: char| name.as_ref().starts_with(c)),
    }
}

/// The files of a directory, or the links of a local page.
fn directory(url: &Url) -> Result<Vec<Listed<'static>>, Error> {
    let shown = || net::redacted(url);
    let path = url
        .to_file_path()
        .map_err(|()| Error::IndexUrl { url: shown(), reason: "it does not name a local directory" })?;
    let io = |source| Error::File { path: path.display().to_string(), source: Arc::new(source) };
    let mut listed = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(io)?.take(MOST_FILES) {
        let entry = entry.map_err(io)?;
        let Ok(file_name) = entry.file_name().into_string() else { continue };
        if let Ok(url) = Url::from_file_path(path.join(&file_name))
            && entry.path().is_file()
        {
            listed.push(Listed {
                file_name: file_name.into(),
                url: String::from(url).into(),
                ..Listed::default()
            });
        }
    }
    listed.sort_by(|a, b| a.file_name.cmp(&b.file_name));
    Ok(listed)
}

/// Reads a local file for its size and hash.
fn hash(file: &mut Listed<'_>) -> Result<(), Error> {
    let path = Url::parse(&file.url).ok().and_then(|url| url.to_file_path().ok()).unwrap_or_default();
    let hashed = hash_of(&path);
    let (sha256, size) = hashed
        .map_err(|source| Error::File { path: path.display().to_string(), source: Arc::new(source) })?;
    (file.sha256, file.size) = (Some(sha256), Some(size));
    Ok(())
}

fn hash_of(path: &Path) -> std::io::Result<(crate::model::Digest, u64)> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Hasher::default();
    let (mut buffer, mut size) = (vec![0; 128 << 10], 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hasher.finish(), size));
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
}
