//! What a registry may do wrong, or differently from others, and what comes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/fake_registry.rs"]
mod fake_registry;

use std::fs;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use bakehouse::model::{Digest, ExitCode};
use bakehouse::net::Client;
use bakehouse::registry::{Credentials, Error, MAX_MANIFEST_SIZE, Pushed, Registries, Repository};
use bakehouse::store::Store;
use fake_registry::{Answer, Fake, Request};

const MANIFEST: &str = r#"{"schemaVersion":2,"layers":[]}"#;
const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

fn repository(fake: &Fake, name: &str) -> Repository {
    let [repository] = repositories(fake, [name]);
    repository
}

/// Repositories of one registry.
fn repositories<const N: usize>(fake: &Fake, names: [&str; N]) -> [Repository; N] {
    let client = Client::new(false).unwrap();
    let registries = Registries::with_credentials(client, false, Credentials::default());
    names.map(|name| registries.repository(&format!("{}/{name}", fake.address).parse().unwrap()))
}

async fn push(repository: &Repository, bytes: &'static [u8]) -> Result<Pushed, Error> {
    push_from(repository, bytes, None).await
}

async fn push_from(
    repository: &Repository,
    bytes: &'static [u8],
    from: Option<&Repository>,
) -> Result<Pushed, Error> {
    let open = move || Ok(Box::new(io::Cursor::new(bytes)) as Box<dyn Read + Send>);
    repository.push_blob(&Digest::of(bytes), bytes.len() as u64, from, open).await
}

fn manifest() -> Answer {
    Answer::status(200).header("Content-Type", MEDIA_TYPE).body(MANIFEST)
}

/// A counter: 1 for the first call.
#[derive(Default)]
struct Times(AtomicUsize);

impl Times {
    fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

#[tokio::test]
async fn a_manifest_must_be_what_was_asked_for() {
    let digest = Digest::of(b"something else").to_string();
    let wrong = digest.clone();
    let fake = Fake::start(move |request| match request.line.rsplit('/').next().unwrap() {
        "big" => manifest().body(vec![b' '; MAX_MANIFEST_SIZE as usize + 1]),
        "lie" => manifest().header("Docker-Content-Digest", &wrong),
        "old" => manifest().header("X", "").body(r#"{"schemaVersion":1,"fsLayers":[]}"#),
        "page" => Answer::status(200).header("Content-Type", "text/html").body("<html>"),
        _ => manifest(),
    });
    let repository = repository(&fake, "app");
    let error = async |reference: &str| repository.manifest(reference).await.unwrap_err();
    assert!(matches!(error("big").await, Error::ManifestTooLarge { .. }));
    assert!(matches!(error("old").await, Error::SchemaOne { .. }));
    assert!(matches!(error("page").await, Error::BadManifest { .. }));
    for reference in [digest.as_str(), "lie"] {
        let error = error(reference).await;
        assert_eq!(error.exit_code(), ExitCode::Integrity, "{error}");
    }
    assert!(matches!(error("../../admin").await, Error::Name { .. }));
    assert_eq!(repository.manifest("fine").await.unwrap().unwrap().media_type, MEDIA_TYPE);
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_when_it_says() {
    let times = Times::default();
    let fake = Fake::start(move |_| match times.next() {
        1 => Answer::status(429).header("Retry-After", "1"),
        2 => Answer::status(503),
        _ => manifest(),
    });
    let started = std::time::Instant::now();
    assert!(repository(&fake, "app").manifest("v1").await.unwrap().is_some());
    assert!(started.elapsed().as_millis() >= 1000);
    assert_eq!(fake.requests().len(), 3);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_registrys_words_but_on_one_line() {
    let fake = Fake::start(|_| {
        Answer::status(400)
            .body("{\"errors\":[{\"code\":\"NAME_INVALID\",\"message\":\"no\\u001b[31m\\nsuch thing\"}]}")
    });
    let error = repository(&fake, "app").manifest("v1").await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Registry);
    let expected = format!(
        "cannot read the manifest v1 ({}/app): the registry answered 400 Bad Request (NAME_INVALID: no [31m such thing)",
        fake.address
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_broken_pull_goes_on_where_it_broke_off() {
    const BLOB: &[u8] = b"0123456789abcdef";
    let times = Times::default();
    let fake = Fake::start(move |request| match (times.next(), request.header("range")) {
        (1, None) => Answer::status(200).body(BLOB).cut_after(4),
        // This one starts over again, and breaks off, too.
        (2, Some("bytes=4-")) => Answer::status(200).body(BLOB).cut_after(8),
        (3, Some("bytes=8-")) => {
            Answer::status(206).header("Content-Range", "bytes 8-15/16").body(&BLOB[8..])
        }
        _ => Answer::status(400),
    });
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let digest = Digest::of(BLOB);
    let blob = repository(&fake, "app").pull_blob(&store, &digest, 16).await.unwrap();
    assert_eq!(fs::read(blob.path()).unwrap(), BLOB);
}

#[tokio::test]
async fn a_blob_of_wrong_length_or_content_never_enters_the_store() {
    let fake = Fake::start(|_| Answer::status(200).body("0123456789"));
    let endless = Fake::start(|_| Answer::status(200).header("Content-Length", "99999999999").body("0"));
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    for (fake, size) in [(&fake, 9), (&fake, 11), (&fake, 10), (&endless, 10)] {
        let error = repository(fake, "app").pull_blob(&store, &Digest::of(b"bread"), size).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Integrity, "{error}");
    }
    assert_eq!(store.blob(&Digest::of(b"0123456789"), None), None);
    assert_eq!(fs::read_dir(directory.path().join("v1/tmp")).unwrap().count(), 0);
}

/// Answers uploads, keeping the query of the upload's URL.
fn uploads(request: &Request, put: impl FnOnce() -> Answer) -> Answer {
    match request.line.split(' ').next().unwrap() {
        "HEAD" => Answer::status(404),
        "POST" => Answer::status(202).header("Location", "/elsewhere/1?state=a%2Fb&x="),
        "PUT" if !request.is("PUT /elsewhere/1?state=a%2Fb&x=&digest=sha256%3A") => Answer::status(400),
        "PUT" => put(),
        _ => Answer::status(405),
    }
}

#[tokio::test]
async fn a_relative_upload_url_keeps_its_query_and_the_final_answer_needs_no_location() {
    let fake = Fake::start(|request| uploads(request, || Answer::status(201)));
    assert_eq!(push(&repository(&fake, "app"), b"bread").await.unwrap(), Pushed::Uploaded);
    let put = fake.requests().pop().unwrap();
    assert_eq!((put.body.as_slice(), put.header("content-length")), (b"bread".as_slice(), Some("5")));
    assert_eq!(put.header("transfer-encoding"), None);
}

#[tokio::test]
async fn a_failed_upload_is_repeated_whole_in_a_new_session() {
    let times = Times::default();
    let fake = Fake::start(move |request| {
        uploads(request, || match times.next() {
            1 => Answer::status(503),
            2 => Answer::status(404).body(r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#),
            _ => Answer::status(201),
        })
    });
    assert_eq!(push(&repository(&fake, "app"), b"bread").await.unwrap(), Pushed::Uploaded);
    let requests = fake.requests();
    let count = |method: &str| requests.iter().filter(|request| request.is(method)).count();
    assert_eq!((count("HEAD "), count("POST "), count("PUT ")), (3, 3, 3), "{:?}", fake.lines());
    assert!(requests.iter().filter(|request| request.is("PUT ")).all(|request| request.body == b"bread"));
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_not_repeated() {
    let looked = Times::default();
    let fake = Fake::start(move |request| match request.is("HEAD ") && looked.next() > 1 {
        true => Answer::status(200),
        false => uploads(request, || Answer::status(502)),
    });
    assert_eq!(push(&repository(&fake, "app"), b"bread").await.unwrap(), Pushed::Uploaded);
    assert_eq!(fake.requests().iter().filter(|request| request.is("PUT ")).count(), 1);
}

#[tokio::test]
async fn a_refused_upload_is_not_repeated() {
    let fake = Fake::start(|request| uploads(request, || Answer::status(413)));
    let error = push(&repository(&fake, "app"), b"bread").await.unwrap_err();
    assert!(error.hint().unwrap().contains("limit"), "{error:?}");
    assert_eq!(fake.requests().len(), 3);
}

#[tokio::test]
async fn a_mount_that_is_not_done_gives_the_session_for_the_upload() {
    let fake = Fake::start(|request| uploads(request, || Answer::status(201)));
    let [app, base] = repositories(&fake, ["app", "base/python"]);
    assert_eq!(push_from(&app, b"bread", Some(&base)).await.unwrap(), Pushed::Uploaded);
    let posts: Vec<_> = fake.lines().into_iter().filter(|line| line.starts_with("POST ")).collect();
    assert_eq!(posts.len(), 1);
    assert!(posts[0].contains("?mount=sha256%3A") && posts[0].ends_with("&from=base%2Fpython"), "{posts:?}");
}

#[tokio::test]
async fn a_mount_alone_gives_the_session_back() {
    let fake = Fake::start(|request| uploads(request, || Answer::status(201)));
    let [app, base] = repositories(&fake, ["app", "base/python"]);
    assert!(!app.mount_blob(&Digest::of(b"bread"), &base).await.unwrap());
    assert!(fake.lines().contains(&"DELETE /elsewhere/1?state=a%2Fb&x=".to_owned()), "{:?}", fake.lines());
}

#[tokio::test]
async fn a_mount_that_is_refused_becomes_an_upload() {
    for status in [401, 403, 404, 405, 400] {
        let fake = Fake::start(move |request| match request.line.contains("mount=") {
            true => Answer::status(status),
            false => uploads(request, || Answer::status(201)),
        });
        let [app, base] = repositories(&fake, ["app", "base/python"]);
        assert_eq!(push_from(&app, b"bread", Some(&base)).await.unwrap(), Pushed::Uploaded, "{status}");
    }
}

#[tokio::test]
async fn an_answer_without_sense_is_an_error() {
    let answers: [(Answer, &str); 3] = [
        (Answer::status(202), "where to upload"),
        (Answer::status(202).header("Location", "file:///etc/passwd"), "where to upload"),
        (Answer::status(500), "500"),
    ];
    for (answer, expected) in answers {
        let fake = Fake::start(move |request| match request.is("POST ") {
            true => answer.clone(),
            false => Answer::status(404),
        });
        let error = push(&repository(&fake, "app"), b"bread").await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Registry);
        assert!(error.to_string().contains(expected), "{error}");
    }
}
