//! What an index offers: pages, metadata, and what a bad index can do.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/foo_index.rs"]
mod foo_index;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bakehouse::index::{CoreMetadata, DEFAULT_INDEX_URL, Error, Index, Settings};
use bakehouse::model::{ArchiveKind, Digest, ExitCode};
use bakehouse::net::Client;
use foo_index::http::{Request, Response, Server};
use foo_index::wheels::{self, metadata, wheel};
use foo_index::*;
use url::Url;

// Pages

#[tokio::test]
async fn json_tells_everything_about_a_file() {
    let server = Server::start();
    let fields = r#", "size": 7, "requires-python": ">=3.8.*", "yanked": "broken",
                    "upload-time": "2024-01-02T03:04:05.6Z", "core-metadata": true"#;
    list_foo(&server, Digest::of(b"x"), fields);
    let setup = Setup::new();
    let file = file_of_foo(&setup.online(&server)).await;
    assert_eq!(file.version.to_string(), "1.0");
    assert_eq!(file.archive.url, server.url(WHEEL_PATH));
    assert_eq!((file.archive.size, file.archive.sha256), (Some(7), Some(Digest::of(b"x"))));
    assert_eq!(file.requires_python.unwrap().to_string(), ">=3.8");
    assert_eq!(file.yanked.as_deref(), Some("broken"));
    assert_eq!(file.upload_time, Some("2024-01-02T03:04:05.6Z".parse().unwrap()));
    assert_eq!(file.core_metadata, CoreMetadata::Offered);
    let accept = server.requests()[0].header("accept").unwrap().to_owned();
    assert!(accept.starts_with(JSON) && accept.contains("text/html;q="), "{accept}");
}

#[tokio::test]
async fn html_serves_as_well_and_sdists_are_listed() {
    let server = Server::start();
    let hex = Digest::of(b"x").hex();
    server.page(
        "/simple/foo/",
        HTML,
        format!(
            r#"<html><base href="/files/"><a href="{WHEEL}#sha256={hex}" data-yanked="">1</a>
               <a href="foo-2.0.tar.gz" data-requires-python="&gt;=3.9">2</a></html>"#
        ),
    );
    let setup = Setup::new();
    let releases = setup.online(&server).releases(&foo()).await.unwrap();
    let files: Vec<_> = releases.versions.values().flatten().collect();
    assert_eq!(files[0].archive.url, server.url(WHEEL_PATH));
    assert_eq!(files[0].archive.sha256, Some(Digest::of(b"x")));
    assert_eq!(files[0].yanked.as_deref(), Some(""));
    assert_eq!(files[1].archive.kind, ArchiveKind::Sdist);
    assert_eq!(files[1].requires_python.as_ref().unwrap().to_string(), ">=3.9");
}

#[tokio::test]
async fn a_name_that_lies_is_left_out() {
    let server = Server::start();
    server.page(
        "/simple/foo/",
        HTML,
        r#"<a href="/files/evil-9.0-py3-none-any.whl">foo-9.0-py3-none-any.whl</a>
           <a href="/files/foo-1.0-py3-none-any.whl">1</a>"#,
    );
    let setup = Setup::new();
    let releases = setup.online(&server).releases(&foo()).await.unwrap();
    assert_eq!(releases.versions.keys().map(ToString::to_string).collect::<Vec<_>>(), ["1.0"]);
}

#[tokio::test]
async fn an_unknown_package_names_the_indexes_that_were_asked() {
    let (main, extra) = (Server::start(), Server::start());
    let setup = Setup::new();
    let index = setup.index(main.url("/simple"), &[extra.url_with("me", "secret", "/private/")], false);
    let error = index.releases(&foo()).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::NoResolution);
    let message = error.to_string();
    assert!(message.contains(extra.url("/private/").as_str()), "{message}");
    assert!(message.contains(main.url("/simple/").as_str()) && !message.contains("secret"), "{message}");
}

#[tokio::test]
async fn the_first_index_that_has_a_project_serves_all_of_it() {
    let (main, extra) = (server_with_foo(), Server::start());
    extra.page("/simple/foo/", HTML, "<a href='foo-0.1-py3-none-any.whl'></a>");
    let setup = Setup::new();
    let index = setup.index(main.url("/simple/"), &[extra.url("/simple/")], false);
    let releases = index.releases(&foo()).await.unwrap();
    assert_eq!(releases.versions.keys().map(ToString::to_string).collect::<Vec<_>>(), ["0.1"]);
    assert_eq!(releases.index, extra.url("/simple/"));
    assert_eq!(main.requests().len(), 0, "a private name is not told to the next index");
}

#[tokio::test]
async fn many_askers_cost_one_request() {
    let server = server_with_foo();
    let setup = Setup::new();
    let index = setup.online(&server);
    let name = foo();
    let asked: Vec<_> = (0..20).map(|_| index.releases(&name)).collect();
    assert!(futures_util::future::join_all(asked).await.iter().all(Result::is_ok));
    let file = file_of_foo(&index).await;
    let asked: Vec<_> = (0..20).map(|_| index.metadata(&file)).collect();
    assert!(futures_util::future::join_all(asked).await.iter().all(Result::is_ok));
    assert_eq!(server.requests().len(), 2);
    let counters = index.counters();
    assert_eq!((counters.index_requests, counters.distribution_bytes), (2, 0));
    assert!(counters.index_bytes > 0);
}

#[tokio::test]
async fn a_failing_index_is_tried_again() {
    let server = Server::start();
    let tries = AtomicUsize::new(0);
    server.route("/simple/foo/", move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0 => Response::status(500),
        1 => Response::ok(JSON, page_of_foo(Digest::of(b"x"), "")).cut_after(20),
        _ => Response::ok(JSON, page_of_foo(Digest::of(b"x"), "")),
    });
    let setup = Setup::new();
    file_of_foo(&setup.online(&server)).await;
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn an_index_that_asks_for_patience_gets_it() {
    let server = Server::start();
    let tries = AtomicUsize::new(0);
    server.route("/simple/foo/", move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0 => Response::status(429).header("Retry-After", "0"),
        1 => Response::status(503).header("Retry-After", "1"),
        _ => Response::ok(JSON, page_of_foo(Digest::of(b"x"), "")),
    });
    let setup = Setup::new();
    let start = std::time::Instant::now();
    file_of_foo(&setup.online(&server)).await;
    assert_eq!(server.requests().len(), 3);
    assert!(start.elapsed().as_millis() >= 1_000, "what the server asks for is waited");
}

#[tokio::test]
async fn an_index_that_never_recovers_is_an_error() {
    let server = Server::start();
    server.route("/simple/foo/", |_| Response::status(503).header("Retry-After", "0"));
    let setup = Setup::new();
    let error = setup.online(&server).releases(&foo()).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Index);
    assert!(error.to_string().contains("503"), "{error}");
    assert!((2..10).contains(&server.requests().len()));
}

#[tokio::test]
async fn a_page_that_leads_round_in_circles_is_an_error() {
    let server = Server::start();
    server.route("/simple/foo/", |_| Response::redirect("/simple/foo/"));
    let setup = Setup::new();
    let error = setup.online(&server).releases(&foo()).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Index);
    assert!(server.requests().len() < 20);
}

#[tokio::test]
async fn a_page_without_end_ends() {
    let server = Server::start();
    server.route("/simple/foo/", |_| Response::ok(JSON, vec![b' '; 4 << 20]).endless());
    let setup = Setup::new();
    let error = setup.online(&server).releases(&foo()).await.unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Index);
}

/// A byte every now and then is never silence, so that no time-out between bytes ends it.
#[tokio::test]
#[ignore = "takes a minute"]
async fn an_answer_that_trickles_ends() {
    let server = server_with_foo();
    let trickle = |_: &Request| Response::ok(JSON, *b" ").trickling(Duration::from_millis(500));
    server.route("/simple/bar/", trickle);
    server.route(&format!("{WHEEL_PATH}.metadata"), trickle);
    list_foo(&server, Digest::of(b"any"), r#", "core-metadata": true"#);
    let setup = Setup::new();
    let index = setup.online(&server);
    let (bar, file) = ("bar".parse().unwrap(), file_of_foo(&index).await);
    let started = Instant::now();
    let (page, metadata) = tokio::join!(index.releases(&bar), index.metadata(&file));
    for error in [page.unwrap_err(), metadata.unwrap_err()] {
        assert!(error.to_string().contains("too slowly"), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Index);
        assert!(!error.is_unusable_file(), "another version would be as slow");
    }
    // Far from what the answer would take, on any machine; and it is not asked for again.
    assert!(started.elapsed() < Duration::from_secs(600));
    assert_eq!(server.requests_to("/simple/bar/").len(), 1);
}

#[tokio::test]
async fn a_page_that_lists_a_file_twice_or_out_of_bounds_harms_nobody() {
    let server = Server::start();
    let hex = Digest::of(&foo_wheel()).hex();
    let file = |name: &str, url: &str, more: &str| {
        format!(r#"{{"filename": "{name}", "url": "{url}", "hashes": {{"sha256": "{hex}"}}{more}}}"#)
    };
    let files = [
        file(WHEEL, WHEEL_PATH, ""),
        file(WHEEL, "https://evil.example/other.whl", ""),
        file("../../foo-1.0-py3-none-any.whl", WHEEL_PATH, ""),
        file("foo-99999999999999999999.0-py3-none-any.whl", WHEEL_PATH, ""),
        file("foo-2.0-py3-none-any.whl", "file:///etc/passwd", ""),
        file("foo-3.0-py3-none-any.whl", "http://[", ""),
        file("foo-4.0-py3-none-any.whl", WHEEL_PATH, r#", "requires-python": ">=three""#),
    ];
    server.page(
        "/simple/foo/",
        JSON,
        format!(r#"{{"meta": {{"api-version": "1.0"}}, "files": [{}]}}"#, files.join(",")),
    );
    let setup = Setup::new();
    for offline in [false, true] {
        let index = setup.index(server.url("/simple/"), &[], offline);
        let releases = index.releases(&foo()).await.unwrap();
        let urls: Vec<_> =
            releases.versions.values().flatten().map(|file| file.archive.url.clone()).collect();
        assert_eq!(urls, [server.url(WHEEL_PATH)]);
    }
}

#[tokio::test]
async fn a_large_page_reads_the_same_from_the_store() {
    let server = Server::start();
    let files: Vec<String> = (0..2_000)
        .map(|minor| {
            let name = format!("foo-1.{minor}-py3-none-any.whl");
            let hex = Digest::of(name.as_bytes()).hex();
            format!(
                r#"{{"filename": "{name}", "url": "/files/{name}", "hashes": {{"sha256": "{hex}"}}, "size": {minor},
                     "requires-python": ">=3.{}"}}"#,
                minor % 12
            )
        })
        .collect();
    server.page(
        "/simple/foo/",
        JSON,
        format!(r#"{{"meta": {{"api-version": "1.0"}}, "files": [{}]}}"#, files.join(",")),
    );
    let setup = Setup::new();
    let fetched = setup.online(&server).releases(&foo()).await.unwrap();
    let stored = setup.index(server.url("/simple/"), &[], true).releases(&foo()).await.unwrap();
    assert_eq!(fetched.versions.len(), 2_000);
    assert_eq!(fetched, stored);
}

#[tokio::test]
async fn what_is_no_index_is_told_with_its_place() {
    let server = Server::start();
    for (content_type, body) in [
        (HTML, "<form action='/login'>please log in <a href='/help'>help</a></form>"),
        (JSON, r#"{"error": "no"}"#),
        ("image/png", ""),
    ] {
        server.page("/simple/foo/", content_type, body);
        let setup = Setup::new();
        let index = setup.index(server.url_with("me", "secret", "/simple/"), &[], false);
        let error = index.releases(&foo()).await.unwrap_err();
        assert!(matches!(error, Error::NotAnIndex { .. }), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Index);
        assert!(
            error.to_string().contains("/simple/foo/") && !error.to_string().contains("secret"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn refused_access_asks_for_credentials() {
    let server = Server::start();
    server.route("/simple/foo/", |request| match request.header("authorization") {
        // `me:p@ss`
        Some("Basic bWU6cEBzcw==") => Response::ok(JSON, page_of_foo(Digest::of(b"x"), "")),
        Some(_) => Response::status(403),
        None => Response::status(401),
    });
    let setup = Setup::new();
    let error = setup.online(&server).releases(&foo()).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { status: 401, .. }), "{error}");
    assert!(error.hint().unwrap().contains("USER:PASSWORD"));

    let wrong = setup.index(server.url_with("me", "wrong", "/simple/"), &[], false);
    let error = wrong.releases(&foo()).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { status: 403, credentials: true, .. }), "{error}");

    let right = setup.index(server.url_with("me", "p%40ss", "/simple/"), &[], false);
    let file = file_of_foo(&right).await;
    assert_eq!(file.archive.url.username(), "", "URLs that go into locks hold no credentials");
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_host() {
    let (server, other) = (Server::start(), Server::start());
    let elsewhere = other.url("/simple/foo/");
    server.route("/simple/foo/", move |_| Response::redirect(elsewhere.as_str()));
    let bytes = foo_wheel();
    list_foo(&other, Digest::of(&bytes), "");
    other.file(WHEEL_PATH, bytes);
    let setup = Setup::new();
    let index = setup.index(server.url_with("me", "secret", "/simple/"), &[], false);
    let file = file_of_foo(&index).await;
    assert_eq!(file.archive.url, other.url(WHEEL_PATH), "links are relative to where the page is in the end");
    index.metadata(&file).await.unwrap();
    index.fetch(&file.archive).await.unwrap();
    assert!(server.requests()[0].header("authorization").is_some());
    assert_eq!(other.requests().len(), 3);
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));
}

// The store

#[tokio::test]
async fn an_unchanged_page_is_confirmed_rather_than_sent_again() {
    let server = Server::start();
    server.route("/simple/foo/", |request| match request.header("if-none-match") {
        Some("\"one\"") => Response::status(304),
        _ => Response::ok(JSON, page_of_foo(Digest::of(b"x"), "")).header("etag", "\"one\""),
    });
    let setup = Setup::new();
    let first = setup.online(&server).releases(&foo()).await.unwrap();
    let index = setup.online(&server);
    assert_eq!(*index.releases(&foo()).await.unwrap(), *first);
    assert_eq!(index.counters().index_bytes, 0);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_fresh_page_costs_no_request() {
    let server = Server::start();
    server.route("/simple/foo/", |_| {
        Response::ok(JSON, page_of_foo(Digest::of(b"x"), "")).header("cache-control", "max-age=600, public")
    });
    let setup = Setup::new();
    for _ in 0..2 {
        file_of_foo(&setup.online(&server)).await;
    }
    assert_eq!(server.requests().len(), 1);
    let as_someone = setup.index(server.url_with("me", "x", "/simple/"), &[], false);
    as_someone.releases(&foo()).await.unwrap();
    assert_eq!(server.requests().len(), 2, "another user may see another page");
}

#[tokio::test]
async fn offline_everything_comes_from_the_store() {
    let (server, extra) = (server_with_foo(), Server::start());
    let setup = Setup::new();
    let index = |offline| setup.index(server.url("/simple/"), &[extra.url("/simple/")], offline);
    let online = index(false);
    let file = file_of_foo(&online).await;
    let metadata = online.metadata(&file).await.unwrap();
    online.fetch(&file.archive).await.unwrap();
    let requests = server.requests().len() + extra.requests().len();

    let offline = index(true);
    assert_eq!(file_of_foo(&offline).await, file);
    assert_eq!(offline.metadata(&file).await.unwrap(), metadata);
    offline.fetch(&file.archive).await.unwrap();
    assert_eq!(server.requests().len() + extra.requests().len(), requests);

    let error = offline.releases(&"other".parse().unwrap()).await.unwrap_err();
    assert!(matches!(&error, Error::Net(net) if matches!(**net, bakehouse::net::Error::Offline { .. })));
    assert_eq!(error.exit_code(), ExitCode::Index);
    assert!(error.hint().unwrap().contains("--offline"));
}

// Metadata

#[tokio::test]
async fn the_end_of_a_wheel_is_enough_for_its_metadata() {
    let server = Server::start();
    let noise: Vec<u8> = (0..1_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let bytes = wheels::Zip::default()
        .stored("foo/data", &noise)
        .deflated("foo-1.0.dist-info/METADATA", foo_metadata().as_bytes())
        .finish();
    // With and without the size.
    for fields in [format!(r#", "size": {}"#, bytes.len()), String::new()] {
        list_foo(&server, Digest::of(&bytes), &fields);
        server.file(WHEEL_PATH, bytes.clone());
        server.clear();
        let setup = Setup::new();
        let index = setup.online(&server);
        let file = file_of_foo(&index).await;
        let metadata = index.metadata(&file).await.unwrap();
        assert_eq!(requirements(&metadata), ["bar>=2"]);
        assert_eq!(metadata.requires_python.as_ref().unwrap().to_string(), ">=3.8");
        assert_eq!(server.requests_to(WHEEL_PATH).len(), 1);
        assert!(index.counters().index_bytes < 100_000);

        let again = setup.online(&server);
        again.metadata(&file).await.unwrap();
        assert_eq!(server.requests_to(WHEEL_PATH).len(), 1, "metadata of a hashed file is kept for ever");
    }
}

#[tokio::test]
async fn metadata_beside_the_wheel_is_preferred() {
    let server = server_with_foo();
    let text = foo_metadata();
    let fields = format!(r#", "core-metadata": {{"sha256": "{}"}}"#, Digest::of(text.as_bytes()).hex());
    list_foo(&server, Digest::of(&foo_wheel()), &fields);
    server.page(&format!("{WHEEL_PATH}.metadata"), "text/plain", text);
    let setup = Setup::new();
    let index = setup.online(&server);
    let file = file_of_foo(&index).await;
    assert_eq!(requirements(&index.metadata(&file).await.unwrap()), ["bar>=2"]);
    assert_eq!(server.requests_to(WHEEL_PATH).len(), 0);
}

#[tokio::test]
async fn metadata_beside_the_wheel_must_have_its_hash() {
    let server = server_with_foo();
    let fields = format!(r#", "core-metadata": {{"sha256": "{}"}}"#, Digest::of(b"other").hex());
    list_foo(&server, Digest::of(&foo_wheel()), &fields);
    server.page(&format!("{WHEEL_PATH}.metadata"), "text/plain", foo_metadata());
    let setup = Setup::new();
    let index = setup.online(&server);
    let error = index.metadata(&file_of_foo(&index).await).await.unwrap_err();
    assert!(matches!(error, Error::HashMismatch { .. }), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Integrity);
}

#[tokio::test]
async fn promised_metadata_that_is_not_there_is_read_from_the_wheel() {
    let server = server_with_foo();
    list_foo(&server, Digest::of(&foo_wheel()), r#", "dist-info-metadata": true"#);
    let setup = Setup::new();
    let index = setup.online(&server);
    let file = file_of_foo(&index).await;
    assert_eq!(requirements(&index.metadata(&file).await.unwrap()), ["bar>=2"]);
}

#[tokio::test]
async fn without_ranges_the_whole_wheel_is_read_and_kept() {
    let server = server_with_foo();
    server.route(WHEEL_PATH, |_| Response::ok("application/octet-stream", foo_wheel()));
    let setup = Setup::new();
    let index = setup.online(&server);
    let file = file_of_foo(&index).await;
    assert_eq!(requirements(&index.metadata(&file).await.unwrap()), ["bar>=2"]);
    let requests = server.requests().len();
    index.fetch(&file.archive).await.unwrap();
    assert_eq!(server.requests().len(), requests, "the wheel is in the store already");
    assert_eq!(index.counters().distribution_bytes, foo_wheel().len() as u64);
}

#[tokio::test]
async fn a_range_that_was_not_asked_for_is_not_trusted() {
    let server = server_with_foo();
    server.route(WHEEL_PATH, |request| {
        if request.header("range").is_none() {
            return Response::ok("application/octet-stream", foo_wheel());
        }
        let mut lie = request.clone();
        lie.headers = vec![("range".to_owned(), "bytes=0-99".to_owned())];
        Response::ranged(&lie, &foo_wheel())
    });
    let setup = Setup::new();
    let index = setup.online(&server);
    let file = file_of_foo(&index).await;
    assert_eq!(requirements(&index.metadata(&file).await.unwrap()), ["bar>=2"]);
}

#[tokio::test]
async fn metadata_of_another_distribution_is_refused() {
    let server = Server::start();
    for text in [metadata("evil", "1.0", &[]), metadata("foo", "2.0", &[])] {
        let bytes = wheel("foo", "1.0", &text);
        list_foo(&server, Digest::of(&bytes), "");
        server.file(WHEEL_PATH, bytes);
        let setup = Setup::new();
        let index = setup.online(&server);
        let error = index.metadata(&file_of_foo(&index).await).await.unwrap_err();
        assert!(matches!(error, Error::Disagrees { .. }), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Integrity);
    }
}

#[tokio::test]
async fn unusable_metadata_is_named_and_concerns_one_file() {
    let server = Server::start();
    let bytes = wheel("foo", "1.0", &metadata("foo", "1.0", &["Requires-Dist: bar >> 1"]));
    list_foo(&server, Digest::of(&bytes), "");
    server.file(WHEEL_PATH, bytes);
    let setup = Setup::new();
    let index = setup.online(&server);
    let error = index.metadata(&file_of_foo(&index).await).await.unwrap_err();
    assert!(error.to_string().contains("bar >> 1") && error.to_string().contains(WHEEL), "{error}");
    assert!(error.is_unusable_file());
}

#[tokio::test]
async fn another_source_cannot_answer_for_a_hash() {
    let (good, evil) = (server_with_foo(), Server::start());
    let sha256 = Digest::of(&foo_wheel());
    list_foo(&evil, sha256, r#", "core-metadata": true"#);
    evil.page(
        &format!("{WHEEL_PATH}.metadata"),
        "text/plain",
        metadata("foo", "1.0", &["Requires-Dist: evil"]),
    );
    let setup = Setup::new();
    let index = setup.online(&evil);
    let file = file_of_foo(&index).await;
    assert_eq!(requirements(&index.metadata(&file).await.unwrap()), ["evil"]);
    let index = setup.online(&good);
    let file = file_of_foo(&index).await;
    assert_eq!(requirements(&index.metadata(&file).await.unwrap()), ["bar>=2"]);
}

#[tokio::test]
async fn a_guess_in_the_background_is_shared_with_who_needs_it() {
    let server = server_with_foo();
    let setup = Setup::new();
    let index = setup.online(&server);
    index.prefetch_releases(&tokio::runtime::Handle::current(), foo());
    let file = file_of_foo(&index).await;
    index.prefetch_metadata(&tokio::runtime::Handle::current(), file.clone());
    index.metadata(&file).await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_thread_that_blocks_can_ask() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = server_with_foo();
    let setup = Setup::new();
    let index = setup.online(&server);
    let handle = runtime.handle().clone();
    let asker = std::thread::spawn(move || handle.block_on(index.releases(&foo())).is_ok());
    assert!(asker.join().unwrap());
}

#[test]
fn an_index_must_be_on_the_web() {
    let setup = Setup::new();
    let settings = Settings { index_url: Url::parse("file:///simple/").unwrap(), ..Settings::default() };
    let error = Index::new(settings, Client::new(true).unwrap(), setup.store()).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Usage);
}

#[tokio::test]
#[ignore = "uses the real Python index"]
async fn the_real_index_serves_six() {
    let setup = Setup::new();
    let index = setup.index(Url::parse(DEFAULT_INDEX_URL).unwrap(), &[], false);
    let releases = index.releases(&"six".parse().unwrap()).await.unwrap();
    let files = &releases.versions[&"1.16.0".parse().unwrap()];
    let wheel = files.iter().find(|file| file.archive.file_name.ends_with(".whl")).unwrap();
    let metadata = index.metadata(wheel).await.unwrap();
    assert_eq!(metadata.name.as_ref(), "six");
    let blob = index.fetch(&wheel.archive).await.unwrap();
    assert_eq!(Some(*blob.digest()), wheel.archive.sha256);
}
