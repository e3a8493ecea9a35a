//! Logging in with tokens: what is asked of the token server, with which credentials, and when again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/fake_registry.rs"]
mod fake_registry;

use std::fs;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bakehouse::model::{Digest, ExitCode};
use bakehouse::net::Client;
use bakehouse::registry::{Credentials, Error, Login, Pushed, Registries};
use base64::Engine as _;
use fake_registry::{Answer, Fake, Request};
use url::Url;

/// A registry and its token server in one. Each token is `TOKEN-n`; the registry takes the newest alone.
struct Bakery {
    fake: Fake,
    tokens: Arc<AtomicUsize>,
}

impl Bakery {
    /// `realm` makes the token server's URL from the registry's; `token` makes its answer from a token.
    fn start(
        realm: impl Fn(&str) -> String + Send + Sync + 'static,
        token: impl Fn(&Request, String) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let tokens = Arc::new(AtomicUsize::new(0));
        let newest = tokens.clone();
        let fake = Fake::start(move |request| {
            let host = request.header("host").unwrap();
            if request.line.contains(" /token") {
                let number = newest.fetch_add(1, Ordering::SeqCst) + 1;
                return token(request, format!("TOKEN-{number}"));
            }
            let number = newest.load(Ordering::SeqCst);
            if request.header("authorization") != Some(&format!("Bearer TOKEN-{number}")) {
                let realm = realm(host);
                let challenge = format!(r#"Bearer realm="{realm}",service="the \"bakery\"",scope="x""#);
                return Answer::status(401).header("WWW-Authenticate", challenge);
            }
            match request.line.split(' ').next().unwrap() {
                "POST" if request.line.contains("mount=") => Answer::status(201),
                "POST" => Answer::status(202).header("Location", "/upload"),
                "PUT" => Answer::status(201),
                _ => Answer::status(404),
            }
        });
        Self { fake, tokens }
    }

    /// One that gives tokens of the usual form.
    fn usual() -> Self {
        Self::start(own_realm, |_, token| Answer::status(200).body(format!(r#"{{"token":"{token}"}}"#)))
    }

    fn registries(&self, credentials: Credentials) -> Registries {
        Registries::with_credentials(Client::new(false).unwrap(), false, credentials)
    }

    /// The requests for tokens: their scopes.
    fn scopes(&self) -> Vec<Vec<String>> {
        let scopes = |request: Request| {
            let (_, path) = request.line.split_once(' ').unwrap();
            let url = Url::parse(&format!("http://x{path}")).unwrap();
            url.query_pairs().filter(|(key, _)| key == "scope").map(|(_, scope)| scope.into_owned()).collect()
        };
        self.fake.requests().into_iter().filter(|r| r.line.contains(" /token")).map(scopes).collect()
    }

    fn reference(&self, name: &str) -> bakehouse::registry::Reference {
        format!("{}/{name}", self.fake.address).parse().unwrap()
    }
}

fn own_realm(host: &str) -> String {
    format!("http://{host}/token?a=b")
}

fn credentials(directory: &tempfile::TempDir, registry: &str, entry: &str) -> Credentials {
    let file = directory.path().join("config.json");
    fs::write(&file, format!(r#"{{"auths": {{"{registry}": {entry}}}}}"#)).unwrap();
    Credentials::from_files([file])
}

fn password(directory: &tempfile::TempDir, registry: &str) -> Credentials {
    let auth = base64::engine::general_purpose::STANDARD.encode("baker:secret");
    credentials(directory, registry, &format!(r#"{{"auth": "{auth}"}}"#))
}

fn open() -> io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(b"bread".as_slice()))
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_serves_all_that_it_allows() {
    let bakery = Bakery::usual();
    let repository = bakery.registries(Credentials::default()).repository(&bakery.reference("team/app"));
    let pushed = repository.push_blob(&Digest::of(b"bread"), 5, None, open).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    repository.manifest("v1").await.unwrap();
    assert_eq!(bakery.scopes(), [["repository:team/app:pull,push"]]);
    let token = bakery.fake.requests().into_iter().find(|r| r.is("GET /token")).unwrap();
    assert!(token.is("GET /token?a=b&service=the+%22bakery%22&scope="), "{}", token.line);
    assert_eq!(token.header("authorization"), None);
}

#[tokio::test]
async fn a_mount_asks_to_read_the_source_as_well() {
    let bakery = Bakery::usual();
    let registries = bakery.registries(Credentials::default());
    let app = registries.repository(&bakery.reference("app"));
    let base = registries.repository(&bakery.reference("base"));
    assert!(app.mount_blob(&Digest::of(b"bread"), &base).await.unwrap());
    assert_eq!(bakery.scopes(), [["repository:app:pull,push", "repository:base:pull"]]);
}

#[tokio::test]
async fn a_token_that_the_registry_takes_no_more_is_renewed_once() {
    let bakery = Bakery::usual();
    let repository = bakery.registries(Credentials::default()).repository(&bakery.reference("app"));
    repository.manifest("v1").await.unwrap();
    bakery.tokens.fetch_add(1, Ordering::SeqCst);
    repository.manifest("v1").await.unwrap();
    assert_eq!(bakery.scopes().len(), 2);

    let useless = Bakery::start(own_realm, |_, _| Answer::status(200).body(r#"{"token":"no good"}"#));
    let repository = useless.registries(Credentials::default()).repository(&useless.reference("app"));
    let error = repository.manifest("v1").await.unwrap_err();
    assert!(matches!(error, Error::Denied { login: Login::Missing, .. }), "{error:?}");
}

#[tokio::test]
async fn a_token_is_renewed_before_it_runs_out() {
    let bakery = Bakery::start(own_realm, |_, token| {
        Answer::status(200).body(format!(r#"{{"access_token":"{token}","expires_in":0}}"#))
    });
    let repository = bakery.registries(Credentials::default()).repository(&bakery.reference("app"));
    repository.manifest("v1").await.unwrap();
    repository.manifest("v1").await.unwrap();
    assert_eq!(bakery.scopes().len(), 2);
    let refused = bakery.fake.requests().iter().filter(|r| r.header("authorization").is_none()).count();
    assert_eq!(refused, 1 + 2, "after the first request, only those for tokens come without one");
}

#[tokio::test]
async fn many_at_once_ask_for_one_token() {
    let bakery = Bakery::usual();
    let repository = bakery.registries(Credentials::default()).repository(&bakery.reference("app"));
    repository.manifest("first").await.unwrap();
    bakery.tokens.fetch_add(1, Ordering::SeqCst);
    let (a, b, c) =
        tokio::join!(repository.manifest("a"), repository.manifest("b"), repository.manifest("c"));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(bakery.scopes().len(), 2);
}

#[tokio::test]
async fn a_password_goes_to_the_token_server_and_not_to_the_registry() {
    let bakery = Bakery::usual();
    let directory = tempfile::tempdir().unwrap();
    let registries = bakery.registries(password(&directory, &bakery.fake.address));
    registries.repository(&bakery.reference("app")).manifest("v1").await.unwrap();
    for request in bakery.fake.requests() {
        let basic = request.header("authorization").is_some_and(|value| value.starts_with("Basic "));
        assert_eq!(basic, request.is("GET /token"), "{}", request.line);
        assert_eq!(request.line.contains("account=baker"), request.is("GET /token"), "{}", request.line);
    }
}

#[tokio::test]
async fn an_identity_token_is_exchanged_for_an_access_token() {
    let forms = Arc::new(Mutex::new(Vec::new()));
    let log = forms.clone();
    let bakery = Bakery::start(own_realm, move |request, token| {
        log.lock().unwrap().push((request.line.clone(), String::from_utf8(request.body.clone()).unwrap()));
        Answer::status(200).body(format!(r#"{{"access_token":"{token}"}}"#))
    });
    let directory = tempfile::tempdir().unwrap();
    let entry = r#"{"identitytoken": "refresh me"}"#;
    let registries = bakery.registries(credentials(&directory, &bakery.fake.address, entry));
    registries.repository(&bakery.reference("app")).manifest("v1").await.unwrap();
    let expected = "grant_type=refresh_token&client_id=bakehouse&service=the+%22bakery%22&scope=repository%3Aapp%3Apull&refresh_token=refresh+me";
    assert_eq!(*forms.lock().unwrap(), [("POST /token?a=b".to_owned(), expected.to_owned())]);
}

#[tokio::test]
async fn a_refused_login_tells_what_is_needed_and_no_secret() {
    let bakery = Bakery::start(own_realm, |_, _| {
        Answer::status(401).body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}"#)
    });
    let directory = tempfile::tempdir().unwrap();
    let registries = bakery.registries(password(&directory, &bakery.fake.address));
    let repository = registries.repository(&bakery.reference("app"));
    let error = repository.push_blob(&Digest::of(b"bread"), 5, None, open).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Registry);
    assert!(matches!(error, Error::Denied { login: Login::Sent, .. }), "{error:?}");
    assert!(error.to_string().ends_with("access denied (UNAUTHORIZED: who are you?)"), "{error}");
    assert!(error.hint().unwrap().contains("repository:app:pull,push"));
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn a_broken_configuration_matters_only_where_a_login_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    fs::write(&file, "{").unwrap();
    let broken = Credentials::from_files([file]);
    let bakery = Bakery::usual();
    let repository = bakery.registries(broken.clone()).repository(&bakery.reference("app"));
    assert_eq!(repository.manifest("v1").await.unwrap(), None, "everybody gets a token here");

    let private = Bakery::start(own_realm, |_, _| Answer::status(403));
    let repository = private.registries(broken).repository(&private.reference("app"));
    let error = repository.manifest("v1").await.unwrap_err();
    assert!(error.hint().unwrap().contains("config.json"), "{error:?}");
}

#[tokio::test]
async fn a_password_is_not_sent_in_the_clear_to_another_machine() {
    let bakery = Bakery::start(|_| "http://auth.invalid/token".into(), |_, _| Answer::status(200));
    let directory = tempfile::tempdir().unwrap();
    let registries = bakery.registries(password(&directory, &bakery.fake.address));
    let error = registries.repository(&bakery.reference("app")).manifest("v1").await.unwrap_err();
    assert!(matches!(&error, Error::InsecureLogin { realm, .. } if realm == "auth.invalid"), "{error:?}");
}

#[tokio::test]
async fn a_login_is_not_sent_where_an_upload_is_directed_to() {
    let storage = Fake::start(|_| Answer::status(201));
    let location = format!("http://{}/put?signature=1", storage.address);
    let registry = Fake::start(move |request| match request.header("authorization") {
        None => Answer::status(401).header("WWW-Authenticate", "Basic realm=x"),
        Some(_) if request.is("POST ") => Answer::status(202).header("Location", &location),
        Some(_) => Answer::status(404),
    });
    let directory = tempfile::tempdir().unwrap();
    let credentials = password(&directory, &registry.address);
    let registries = Registries::with_credentials(Client::new(false).unwrap(), false, credentials);
    let reference = format!("{}/app", registry.address).parse().unwrap();
    let pushed = registries.repository(&reference).push_blob(&Digest::of(b"bread"), 5, None, open).await;
    assert_eq!(pushed.unwrap(), Pushed::Uploaded);
    let put = storage.requests().pop().unwrap();
    assert!(put.is("PUT /put?signature=1&digest=sha256%3A"), "{}", put.line);
    assert_eq!((put.header("authorization"), put.body.as_slice()), (None, b"bread".as_slice()));
}
