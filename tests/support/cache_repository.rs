//! The cache repository of a registry that a test pushes to below `team`: read, forged, and taken from.

#![allow(dead_code, clippy::unwrap_used, reason = "test support, of which every file uses a part")]

use std::io::{Read, Write};
use std::net::TcpStream;

use bakehouse::model::Digest;
use bakehouse::net::Client;
use bakehouse::registry::{Credentials, Manifest, Registries, Repository};
use serde_json::{Value, json};

use super::registry::Registry;

/// The repository beside what is pushed below `team`.
pub fn cache(registry: &Registry) -> Repository {
    let registries = Registries::with_credentials(Client::new(false).unwrap(), false, Credentials::default());
    registries.repository(&format!("{}/team/bakehouse-cache", registry.address()).parse().unwrap())
}

/// The tags of the cache repository.
pub fn tags(registry: &Registry) -> Vec<String> {
    let answer = request(registry, "GET", "/v2/team/bakehouse-cache/tags/list");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let list: Value = serde_json::from_str(body).unwrap();
    let mut tags: Vec<String> =
        list["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
    tags.sort();
    tags
}

/// Sends a bare request; gives the answer.
pub fn request(registry: &Registry, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {}\r\n\r\n", registry.address()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Takes a blob away, as a registry's garbage collection does.
pub fn delete_blob(registry: &Registry, digest: &str) {
    let answer = request(registry, "DELETE", &format!("/v2/team/bakehouse-cache/blobs/{digest}"));
    assert!(answer.contains(" 202 "), "{answer}");
}

/// Waits for `work`.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A manifest of the cache repository, which must be there.
pub fn manifest(registry: &Registry, tag: &str) -> Manifest {
    block_on(cache(registry).manifest(tag)).unwrap().unwrap()
}

/// Changes the config of a record and writes the record again, consistent in itself.
pub fn forge(registry: &Registry, tag: &str, change: impl Fn(&mut Value)) {
    let mut document: Value = serde_json::from_slice(&manifest(registry, tag).bytes).unwrap();
    let data = document["config"]["data"].as_str().unwrap();
    let mut config: Value = serde_json::from_slice(&decode(data)).unwrap();
    change(&mut config);
    let config = config.to_string().into_bytes();
    document["config"] = json!({
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": Digest::of(&config), "size": config.len(),
    });
    let repository = cache(registry);
    block_on(async {
        let (digest, size) = (Digest::of(&config), config.len() as u64);
        let open = || Ok(Box::new(std::io::Cursor::new(config.clone())) as Box<dyn Read + Send>);
        repository.push_blob(&digest, size, None, open).await.unwrap();
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        repository.push_manifest(tag, media_type, document.to_string().as_bytes()).await.unwrap();
    });
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
