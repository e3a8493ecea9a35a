//! Credentials as Docker and Podman keep them: in their configuration files and in credential helpers.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};

/// How long a credential helper may take; it may have to ask a cloud's servers, but not a person.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
/// The most of a configuration file that is read.
const MAX_FILE: u64 = 1024 * 1024;
/// What helpers say when they have nothing; part of their protocol.
const NOT_FOUND: &str = "credentials not found";

/// Where to look for credentials: configuration files in Docker's format, asked in order.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    files: Arc<[PathBuf]>,
}

/// A way to log in.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// User and password.
    Password(String, String),
    /// A refresh token for the token server.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

impl Credentials {
    /// The usual places: `REGISTRY_AUTH_FILE`, `$DOCKER_CONFIG/config.json` (by default `~/.docker`),
    /// `$XDG_RUNTIME_DIR/containers/auth.json`.
    pub fn from_env() -> Self {
        let path = |variable: &str| env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
        let docker = path("DOCKER_CONFIG").or_else(|| Some(path("HOME")?.join(".docker")));
        let files = [
            path("REGISTRY_AUTH_FILE"),
            docker.map(|directory| directory.join("config.json")),
            path("XDG_RUNTIME_DIR").map(|directory| directory.join("containers/auth.json")),
        ];
        Self::from_files(files.into_iter().flatten())
    }

    /// Just these files.
    pub fn from_files(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { files: files.into_iter().collect() }
    }

    /// The credential for a registry: the first that is found. The error says why one that seems to be there cannot be
    /// used. Helpers are programs: they run on a thread of their own, which is left behind if it takes too long.
    pub(super) async fn find(&self, registry: &str) -> Result<Option<Credential>, String> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (files, registry) = (self.files.clone(), registry.to_owned());
        let work = move || {
            // Nobody listens any more after the time-out.
            let _ = sender.send(find_in(&files, &registry));
        };
        std::thread::Builder::new()
            .name("credentials".into())
            .spawn(work)
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        match tokio::time::timeout(HELPER_TIMEOUT, receiver).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err("reading them failed".into()),
            Err(_) => Err(format!("the credential helper gave no answer for {} s", HELPER_TIMEOUT.as_secs())),
        }
    }
}

fn find_in(files: &[PathBuf], registry: &str) -> Result<Option<Credential>, String> {
    for path in files {
        for name in names(registry) {
            if let Some(found) = find_by_name(path, name)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// The names under which a registry's credentials may be kept: the public hub has several.
fn names(registry: &str) -> Vec<&str> {
    match registry {
        "docker.io" | "index.docker.io" => {
            vec!["https://index.docker.io/v1/", "docker.io", "index.docker.io"]
        }
        _ => vec![registry],
    }
}

fn find_by_name(path: &Path, name: &str) -> Result<Option<Credential>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot open `{}`: {error}", path.display())),
    };
    // What a helper prints is not repeated: it may hold secrets.
    let problem = match get_credential_from_reader(file.take(MAX_FILE), name) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            return Ok(Some(Credential::Password(user, password)));
        }
        // Docker leaves an empty token behind where it has a password.
        Ok(DockerCredential::IdentityToken(token)) if token.is_empty() => return Ok(None),
        Ok(DockerCredential::IdentityToken(token)) => return Ok(Some(Credential::IdentityToken(token))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => return Ok(None),
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
            if [&stdout, &stderr].iter().any(|output| output.contains(NOT_FOUND)) =>
        {
            return Ok(None);
        }
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => format!("`{helper}` failed"),
        Err(CredentialRetrievalError::HelperCommunicationError) => {
            "its credential helper cannot be run; is it on the PATH?".into()
        }
        Err(CredentialRetrievalError::MalformedHelperResponse) => {
            "its credential helper gave something else than a credential".into()
        }
        Err(CredentialRetrievalError::ConfigReadError) => "it is not a Docker configuration file".into(),
        Err(_) => "the entry is malformed".into(),
    };
    Err(format!("{problem} (`{}`)", path.display()))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    fn find(config: &str, registry: &str) -> Result<Option<Credential>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        find_in(&[directory.path().join("absent.json"), path], registry)
    }

    fn password(user: &str, password: &str) -> Result<Option<Credential>, String> {
        Ok(Some(Credential::Password(user.into(), password.into())))
    }

    #[test]
    fn passwords_are_found_under_every_spelling_of_the_registry() {
        let auth = base64::engine::general_purpose::STANDARD.encode("user:pass:word");
        let config = |key: &str| format!(r#"{{"auths": {{"{key}": {{"auth": "{auth}"}}}}}}"#);
        let expected = password("user", "pass:word");
        assert_eq!(find(&config("registry.example"), "registry.example"), expected);
        assert_eq!(find(&config("https://registry.example/v2/"), "registry.example"), expected);
        assert_eq!(find(&config("https://index.docker.io/v1/"), "index.docker.io"), expected);
        assert_eq!(find(&config("docker.io"), "index.docker.io"), expected);
        assert_eq!(find(&config("registry.example"), "other.example"), Ok(None));
    }

    #[test]
    fn identity_tokens_are_told_from_passwords() {
        let config = |token: &str| format!(r#"{{"auths": {{"r.example": {{"identitytoken": "{token}"}}}}}}"#);
        assert_eq!(find(&config("t"), "r.example"), Ok(Some(Credential::IdentityToken("t".into()))));
        assert_eq!(find(&config(""), "r.example"), Ok(None));
    }

    #[test]
    fn a_broken_configuration_is_told_and_never_shown() {
        for config in ["secret", r#"{"auths": {"r.example": {"auth": "secret"}}}"#] {
            let problem = find(config, "r.example").unwrap_err();
            assert!(problem.contains("config.json") && !problem.contains("secret"), "{problem}");
        }
        let helper = r#"{"credsStore": "no-such-helper"}"#;
        assert!(find(helper, "r.example").unwrap_err().contains("PATH"));
    }
}
