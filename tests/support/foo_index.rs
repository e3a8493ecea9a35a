//! A package `foo` on a small index, and stores to use it with.
#![allow(clippy::unwrap_used, dead_code, reason = "tests fail by panicking; not every test uses everything")]

#[path = "http.rs"]
pub mod http;
#[path = "wheels.rs"]
pub mod wheels;

use std::sync::Arc;

use bakehouse::index::{Index, Metadata, ReleaseFile, Settings};
use bakehouse::model::{Digest, PackageName};
use bakehouse::net::Client;
use bakehouse::store::Store;
use http::Server;
use url::Url;
use wheels::{metadata, wheel};

pub const JSON: &str = "application/vnd.pypi.simple.v1+json";
pub const HTML: &str = "text/html; charset=utf-8";
pub const WHEEL: &str = "foo-1.0-py3-none-any.whl";
pub const WHEEL_PATH: &str = "/files/foo-1.0-py3-none-any.whl";

/// A store, and indexes that use it.
pub struct Setup {
    pub directory: tempfile::TempDir,
}

impl Setup {
    /// An empty store.
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// The store, as another process would open it.
    pub fn store(&self) -> Arc<Store> {
        Arc::new(Store::open(self.directory.path()).unwrap())
    }

    /// A new index, as in a new run.
    pub fn index(&self, url: Url, extra: &[Url], offline: bool) -> Index {
        let settings = Settings { index_url: url, extra_index_urls: extra.to_vec(), ..Settings::default() };
        Index::new(settings, Client::new(offline).unwrap(), self.store()).unwrap()
    }

    /// A new index on a server.
    pub fn online(&self, server: &Server) -> Index {
        self.index(server.url("/simple/"), &[], false)
    }

    /// The same without a network.
    pub fn offline(&self, server: &Server) -> Index {
        self.index(server.url("/simple/"), &[], true)
    }
}

/// The name of the package that most tests are about.
pub fn foo() -> PackageName {
    "foo".parse().unwrap()
}

/// A small wheel of `foo` 1.0 that requires `bar`.
pub fn foo_wheel() -> Vec<u8> {
    wheel("foo", "1.0", &foo_metadata())
}

/// The `METADATA` of that wheel.
pub fn foo_metadata() -> String {
    metadata("foo", "1.0", &["Requires-Python: >=3.8", "Requires-Dist: bar>=2"])
}

/// Serves the JSON page of `foo` with one wheel; `fields` are further fields of the file, as JSON.
pub fn list_foo(server: &Server, sha256: Digest, fields: &str) {
    server.page("/simple/foo/", JSON, page_of_foo(sha256, fields));
}

/// The JSON page of `foo`.
pub fn page_of_foo(sha256: Digest, fields: &str) -> String {
    format!(
        r#"{{"meta": {{"api-version": "1.1"}}, "name": "foo", "files": [
             {{"filename": "{WHEEL}", "url": "../..{WHEEL_PATH}", "hashes": {{"sha256": "{}"}}{fields}}}]}}"#,
        sha256.hex()
    )
}

/// A server with the page and the wheel of `foo`, and ranges.
pub fn server_with_foo() -> Server {
    let server = Server::start();
    let bytes = foo_wheel();
    list_foo(&server, Digest::of(&bytes), &format!(r#", "size": {}"#, bytes.len()));
    server.file(WHEEL_PATH, bytes);
    server
}

/// The one file of `foo`.
pub async fn file_of_foo(index: &Index) -> ReleaseFile {
    let releases = index.releases(&foo()).await.unwrap();
    releases.versions.values().flatten().next().unwrap().clone()
}

/// What a distribution requires, as text.
pub fn requirements(metadata: &Metadata) -> Vec<String> {
    metadata.requires_dist.iter().map(ToString::to_string).collect()
}
