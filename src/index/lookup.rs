//! One index and its pages: from the store while they are fresh, else asked for again.

use std::sync::Arc;

use pep508_rs::PackageName;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use url::Url;

use super::Error;
use super::cache::{Freshness, StoredPage};
use super::client::blocking;
use super::page::{self, strip_credentials};
use super::releases::Releases;
use super::web::{self, Web};
use crate::model::{Key, KeyHasher};
use crate::net;
use crate::store::Store;

/// The largest page that is read.
const LARGEST_PAGE: u64 = 128 << 20;

/// One index.
pub(super) struct Source {
    /// Its base URL as given.
    url: Url,
    /// Its base URL without credentials and query.
    pub(super) shown: Url,
}

/// What the store has of a page.
enum Stored {
    /// Something that may be used as it is.
    Usable(Option<Arc<Releases>>),
    /// Something that the server can confirm.
    Stale(StoredPage, Option<Arc<Releases>>),
    /// Nothing of use.
    Nothing,
}

impl Source {
    pub(super) fn new(url: &Url) -> Result<Self, Error> {
        let mut shown = url.clone();
        strip_credentials(&mut shown);
        shown.set_query(None);
        shown.set_fragment(None);
        let refused = |reason| Error::IndexUrl { url: shown.to_string(), reason };
        if !matches!(url.scheme(), "https" | "http") {
            return Err(refused("it is neither https nor http"));
        }
        if !shown.path().ends_with('/') {
            shown.set_path(&format!("{}/", shown.path()));
        }
        Ok(Self { url: url.clone(), shown })
    }

    /// The URL of a project's page.
    fn page_url(&self, name: &PackageName) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{name}/", self.shown.path()));
        url
    }

    /// Pages may differ by user, so the user is part of the key; the password may change.
    fn key(&self, name: &PackageName) -> Key {
        let query = self.url.query().unwrap_or_default();
        let mut key = KeyHasher::new("index/3");
        key.text(self.shown.as_str()).text(query).text(self.url.username()).text(name.as_ref());
        key.finish()
    }

    /// The releases of a project; `None` if this index does not have it.
    pub(super) async fn releases(
        &self,
        name: &PackageName,
        web: &Web,
        store: &Arc<Store>,
    ) -> Result<Option<Arc<Releases>>, Error> {
        let key = self.key(name);
        let url = self.page_url(name);
        let stored = match self.stored(name, &key, store, web.is_offline())? {
            Stored::Usable(releases) => return Ok(releases),
            Stored::Stale(page, releases) => Some((page, releases)),
            Stored::Nothing => None,
        };
        let request = || {
            let request = web.get(&web.index, &url).header(ACCEPT, page::ACCEPT);
            match &stored {
                Some((page, _)) => page.freshness.condition(request),
                None => request,
            }
        };
        let answer = web.answer(&web.index, request, StatusCode::OK, LARGEST_PAGE).await?;
        let store = Arc::clone(store);
        match (answer.status, stored) {
            (StatusCode::OK, _) => {
                let (name, index) = (name.clone(), self.shown.clone());
                let freshness = Freshness::of(&answer.headers);
                let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let content_type = content_type.unwrap_or_default().to_owned();
                let work = move || {
                    let listed = page::read(&content_type, &answer.body, &answer.url)
                        .map_err(|reason| Error::NotAnIndex { url: net::redacted(&url), reason })?;
                    let page = StoredPage::new(&freshness, &name, Some(&listed));
                    page.write(&store, &key)?;
                    Ok(page.releases(&name, &index).map(Arc::new))
                };
                blocking(work).await
            }
            (StatusCode::NOT_MODIFIED, Some((page, releases))) => {
                let freshness = page.freshness.renewed(&answer.headers);
                if freshness != page.freshness {
                    blocking(move || Ok(page.renew(&store, &key, &freshness)?)).await?;
                }
                Ok(releases)
            }
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => {
                let freshness = Freshness::of(&answer.headers);
                let name = name.clone();
                blocking(move || Ok(StoredPage::new(&freshness, &name, None).write(&store, &key)?)).await?;
                Ok(None)
            }
            (status, _) => Err(web::unexpected(&answer.url, status)),
        }
    }

    /// What the store has. Offline, anything is good enough. What is read of a page at once is little, and less work than
    /// handing it to another thread.
    fn stored(&self, name: &PackageName, key: &Key, store: &Store, offline: bool) -> Result<Stored, Error> {
        let Some((page, releases)) = StoredPage::load(store, key, name, &self.shown)? else {
            return Ok(Stored::Nothing);
        };
        let releases = releases.map(Arc::new);
        if offline || page.freshness.is_fresh() {
            Ok(Stored::Usable(releases))
        } else if page.freshness.has_validator() {
            Ok(Stored::Stale(page, releases))
        } else {
            Ok(Stored::Nothing)
        }
    }
}
