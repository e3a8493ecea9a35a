//! The bytes of distributions: downloads that break off, that lie, that never end; direct URLs.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/foo_index.rs"]
mod foo_index;

use std::sync::atomic::{AtomicUsize, Ordering};

use bakehouse::index::Error;
use bakehouse::model::{Archive, ArchiveKind, Digest, ExitCode};
use foo_index::http::{Request, Response, Server};
use foo_index::*;
use url::Url;

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    for ranges in [true, false] {
        let server = Server::start();
        let content = bytes.clone();
        let tries = AtomicUsize::new(0);
        server.route(WHEEL_PATH, move |request| {
            let response = match ranges {
                true => Response::ranged(request, &content),
                false => Response::ok("application/octet-stream", content.clone()),
            };
            match tries.fetch_add(1, Ordering::Relaxed) {
                0 => response.cut_after(400_000),
                1 => response.cut_after(500_000),
                _ => response,
            }
        });
        let setup = Setup::new();
        let index = setup.online(&server);
        let blob = index.fetch(&archive(&server, &bytes)).await.unwrap();
        assert_eq!(std::fs::read(blob.path()).unwrap(), bytes);
        assert_eq!(server.requests().len(), 3);
        let resumed: fn(&Request) -> bool = |request| request.header("range").is_some();
        assert!(server.requests()[1..].iter().all(resumed));
        if ranges {
            assert_eq!(index.counters().distribution_bytes, bytes.len() as u64, "no byte came twice");
        }
    }
}

#[tokio::test]
async fn what_is_not_what_was_promised_is_refused() {
    let server = Server::start();
    server.file(WHEEL_PATH, b"evil".to_vec());
    let setup = Setup::new();
    let index = setup.online(&server);
    let hash = index.fetch(&archive(&server, b"good")).await.unwrap_err();
    assert!(matches!(hash, Error::HashMismatch { .. }), "{hash}");
    for content in [&b"longer"[..], b"es"] {
        let size = index.fetch(&archive(&server, content)).await.unwrap_err();
        assert!(matches!(size, Error::SizeMismatch { .. }), "{size}");
        assert_eq!(size.exit_code(), ExitCode::Integrity);
    }
    let unhashed = Archive { sha256: None, ..archive(&server, b"evil") };
    assert!(matches!(index.fetch(&unhashed).await.unwrap_err(), Error::NoHash { .. }));
    assert_eq!(std::fs::read_dir(setup.directory.path().join("v1/tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_endless_answer_ends() {
    let server = Server::start();
    let endless = |_: &Request| Response::ok("text/plain", vec![b'x'; 100_000]).endless();
    server.route(WHEEL_PATH, endless);
    server.route(&format!("{WHEEL_PATH}.metadata"), endless);
    let setup = Setup::new();
    let index = setup.online(&server);
    let error = index.fetch(&archive(&server, b"four")).await.unwrap_err();
    assert!(matches!(error, Error::SizeMismatch { .. }), "{error}");

    list_foo(&server, Digest::of(b"four"), r#", "core-metadata": true"#);
    let error = index.metadata(&file_of_foo(&index).await).await.unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
}

fn archive(server: &Server, content: &[u8]) -> Archive {
    Archive {
        kind: ArchiveKind::Wheel(WHEEL.parse().unwrap()),
        file_name: WHEEL.to_owned(),
        url: server.url(WHEEL_PATH),
        size: Some(content.len() as u64),
        sha256: Some(Digest::of(content)),
    }
}

// Direct URLs

#[tokio::test]
async fn a_direct_url_is_downloaded_hashed_and_read() {
    let server = Server::start();
    server.route(WHEEL_PATH, |request| match request.header("if-none-match") {
        Some("\"one\"") => Response::status(304),
        _ => Response::ok("application/octet-stream", foo_wheel()).header("etag", "\"one\""),
    });
    let setup = Setup::new();
    let url = server.url_with("me", "secret", WHEEL_PATH);
    let (archive, metadata) = setup.online(&server).url_archive(&foo(), &url).await.unwrap();
    assert_eq!(archive.url, server.url(WHEEL_PATH));
    assert_eq!(archive.sha256, Some(Digest::of(&foo_wheel())));
    assert_eq!(requirements(&metadata), ["bar>=2"]);

    let again = setup.online(&server);
    assert_eq!(again.url_archive(&foo(), &url).await.unwrap().0, archive);
    again.fetch(&archive).await.unwrap();
    assert_eq!(again.counters().distribution_bytes, 0, "the server said that nothing has changed");

    let offline = setup.offline(&server);
    assert_eq!(offline.url_archive(&foo(), &url).await.unwrap().0, archive);
}

#[tokio::test]
async fn a_hash_in_the_fragment_is_kept_to() {
    let server = Server::start();
    server.file(WHEEL_PATH, foo_wheel());
    let setup = Setup::new();
    let index = setup.online(&server);
    let with = |fragment: &str| server.url(&format!("{WHEEL_PATH}#{fragment}"));
    let wrong = with(&format!("sha256={}", Digest::of(b"other").hex()));
    let error = index.url_archive(&foo(), &wrong).await.unwrap_err();
    assert!(matches!(error, Error::HashMismatch { .. }), "{error}");
    let error = index.url_archive(&foo(), &with("md5=00")).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Project);
    let right = with(&format!("egg=foo&sha256={}", Digest::of(&foo_wheel()).hex()));
    let (archive, _) = index.url_archive(&foo(), &right).await.unwrap();
    assert_eq!(archive.url, server.url(WHEEL_PATH));
}

#[tokio::test]
async fn a_direct_url_may_be_a_local_file() {
    let setup = Setup::new();
    let path = setup.directory.path().join(WHEEL);
    std::fs::write(&path, foo_wheel()).unwrap();
    let url = Url::from_file_path(&path).unwrap();
    let index = setup.offline(&Server::start());
    let (archive, metadata) = index.url_archive(&foo(), &url).await.unwrap();
    assert_eq!((archive.url.clone(), requirements(&metadata)), (url.clone(), vec!["bar>=2".to_owned()]));
    index.fetch(&archive).await.unwrap();

    let error = index.url_archive(&"bar".parse().unwrap(), &url).await.unwrap_err();
    assert!(matches!(error, Error::Disagrees { .. }), "{error}");
    let absent = url.join("foo-2.0-py3-none-any.whl").unwrap();
    assert!(matches!(index.url_archive(&foo(), &absent).await.unwrap_err(), Error::File { .. }));
    let vcs = Url::parse("git+https://host.example/foo-1.0-py3-none-any.whl").unwrap();
    let error = index.url_archive(&foo(), &vcs).await.unwrap_err();
    assert!(matches!(error, Error::SourceDistribution { .. }), "{error}");
    let sdist = Url::parse("https://host.example/foo-1.0.tar.gz").unwrap();
    let error = index.url_archive(&foo(), &sdist).await.unwrap_err();
    assert!(matches!(error, Error::SourceDistribution { .. }), "{error}");
    assert!(error.hint().unwrap().contains("foo-1.0.tar.gz"), "{error}");
}
