//! Commits of git repositories, by the user's own `git`: its helpers, netrc and agents know the credentials.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::process::{self, Keep};
use super::tree::blocking;
use super::{Error, Shared, lock, once, subdirectory};
use crate::model::{BuiltFrom, Credentials};
use crate::net::redacted;
use crate::store::Store;

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// The longest name of a revision.
const LONGEST: usize = 100;

/// The commit that a `git+…` URL names. A branch or tag is looked up once in a run.
pub(super) async fn resolve(shared: &Shared, url: &Url) -> Result<BuiltFrom, Error> {
    let subdirectory = subdirectory(url)?;
    let (repository, requested) = parse(url)?;
    let cell = once(&shared.commits, &revision_key(&repository, requested.as_deref()));
    let commit = cell.get_or_try_init(|| {
        let (remote, requested) = (Remote::new(shared, &repository), requested.clone());
        blocking(move || remote.commit(requested.as_deref()))
    });
    let commit = commit.await?.clone();
    Ok(BuiltFrom::Git { repository, requested, commit, subdirectory })
}

/// What a revision of a repository is known by.
pub(super) fn revision_key(repository: &Url, requested: Option<&str>) -> String {
    format!("{repository} {}", requested.unwrap_or("HEAD"))
}

/// The repository and the revision of a `git+…` URL; the revision follows the last `@` of the path, as pip has it.
pub(super) fn parse(url: &Url) -> Result<(Url, Option<String>), Error> {
    let refused = |reason: &str| git_error(url, reason);
    let text = url.as_str().strip_prefix("git+").ok_or_else(|| refused("it is no git+ URL"))?;
    let mut repository: Url = text.parse().map_err(|_| refused("it is not a URL"))?;
    repository.set_fragment(None);
    if !matches!(repository.scheme(), "https" | "http" | "ssh" | "file") {
        return Err(refused("it is neither https, http, ssh nor file"));
    }
    // For SSH the user is a part of the address; everything else is a secret, or may be one.
    if repository.scheme() != "ssh" {
        let _ = repository.set_username("");
    }
    let _ = repository.set_password(None);
    let path = repository.path().to_owned();
    let Some((path, revision)) = path.rsplit_once('@') else { return Ok((repository, None)) };
    let revision = percent_encoding::percent_decode_str(revision).decode_utf8_lossy().into_owned();
    let odd = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    if revision.is_empty()
        || revision.len() > LONGEST
        || revision.starts_with('-')
        || revision.contains(odd)
        || revision.contains("..")
    {
        return Err(refused("what follows the `@` is no branch, tag or commit"));
    }
    repository.set_path(path);
    Ok((repository, Some(revision)))
}

fn git_error(url: &Url, reason: &str) -> Error {
    Error::Git { what: redacted(url), reason: reason.to_owned() }
}

/// Whether a text is the whole name of a commit.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A repository, and how it is reached.
pub(super) struct Remote {
    repository: Url,
    credentials: Option<Credentials>,
    offline: bool,
    store: Arc<Store>,
}

impl Remote {
    pub fn new(shared: &Shared, repository: &Url) -> Self {
        let credentials = lock(&shared.credentials).get(repository.as_str()).cloned();
        let (offline, store) = (shared.index.is_offline(), Arc::clone(shared.index.store()));
        Self { repository: repository.clone(), credentials, offline, store }
    }

    /// The commit that a revision stands for. Blocks.
    fn commit(&self, requested: Option<&str>) -> Result<String, Error> {
        if let Some(commit) = requested.filter(|text| is_commit(text)) {
            return Ok(commit.to_ascii_lowercase());
        }
        self.check_network()?;
        let names: Vec<String> = match requested {
            None => vec!["HEAD".to_owned()],
            Some(name) => {
                ["refs/heads/", "refs/tags/", ""].iter().map(|kind| format!("{kind}{name}")).collect()
            }
        };
        let mut command = self.git(None);
        command.arg("ls-remote").arg("--").arg(self.repository.as_str()).args(&names);
        // The commit that an annotated tag is of.
        command.args(names.iter().map(|name| format!("{name}^{{}}")));
        let listed = self.run(command, Keep::Answer)?;
        let of = |wanted: &str| {
            let lines = listed.lines().filter_map(|line| line.split_once('\t'));
            let mut found = lines.filter(|(commit, name)| *name == wanted && is_commit(commit));
            found.next().map(|(commit, _)| commit.to_owned())
        };
        if let Some(commit) = names.iter().find_map(|name| of(&format!("{name}^{{}}")).or_else(|| of(name))) {
            return Ok(commit);
        }
        // Perhaps the beginning of a commit's name, which only the whole history tells.
        let shown = requested.unwrap_or("HEAD");
        let unknown = || {
            let shown = shown.escape_debug();
            git_error(&self.repository, &format!("it has no branch, tag or commit `{shown}`"))
        };
        let may_be = (7..64).contains(&shown.len()) && shown.bytes().all(|b| b.is_ascii_hexdigit());
        if !may_be {
            return Err(unknown());
        }
        let directory = self.store.temporary_directory()?;
        let into = directory.path().join("repository");
        let found = self.clone_into(&into).and_then(|()| {
            let mut command = self.git(Some(&into));
            let revision = format!("{shown}^{{commit}}");
            command.args(["rev-parse", "--verify", "--quiet", "--end-of-options", &revision]);
            self.run(command, Keep::Answer).map_err(|_| unknown())
        });
        // Newer ones repeat the option that ends the others.
        let last = found?.split_whitespace().last().unwrap_or_default().to_owned();
        Some(last).filter(|commit| is_commit(commit)).ok_or_else(unknown)
    }

    /// Checks a commit out into the empty directory `into`, with its submodules. Blocks. The history stays with it, since
    /// there are projects that find their version there.
    pub fn check_out(&self, requested: Option<&str>, commit: &str, into: &Path) -> Result<(), Error> {
        self.check_network()?;
        self.clone_into(into)?;
        let in_tree = |arguments: &[&str], keep| {
            let mut command = self.git(Some(into));
            command.args(arguments);
            self.run(command, keep)
        };
        if in_tree(&["cat-file", "-e", &format!("{commit}^{{commit}}")], Keep::Tail).is_err() {
            // A commit that no branch leads to, such as that of a pull request.
            let by_name = in_tree(&["fetch", "--quiet", "--", "origin", commit], Keep::Tail);
            if let (Err(error), Some(requested)) = (by_name, requested) {
                in_tree(&["fetch", "--quiet", "--", "origin", requested], Keep::Tail).map_err(|_| error)?;
            }
        }
        in_tree(&["checkout", "--quiet", "--detach", commit], Keep::Tail)?;
        let head = in_tree(&["rev-parse", "HEAD"], Keep::Answer)?;
        if head.trim() != commit {
            let reason = format!("it gave {} instead of {commit}", head.trim());
            return Err(git_error(&self.repository, &reason));
        }
        if into.join(".gitmodules").is_file() {
            in_tree(&["submodule", "update", "--quiet", "--init", "--recursive"], Keep::Tail)?;
        }
        Ok(())
    }

    /// Everything but the files, which come with what is checked out.
    fn clone_into(&self, into: &Path) -> Result<(), Error> {
        let mut command = self.git(None);
        command.args(["clone", "--quiet", "--no-checkout", "--filter=blob:none", "--"]);
        command.arg(self.repository.as_str()).arg(into);
        self.run(command, Keep::Tail).map(drop)
    }

    fn check_network(&self) -> Result<(), Error> {
        if self.offline && self.repository.scheme() != "file" {
            return Err(git_error(&self.repository, "the network is not to be used (--offline)"));
        }
        Ok(())
    }

    /// The user's git, which asks nobody anything. Variables that would make it work in another repository do not count.
    fn git(&self, directory: Option<&Path>) -> Command {
        let mut command = Command::new("git");
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"] {
            command.env_remove(name);
        }
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_LFS_SKIP_SMUDGE", "1").env("LC_ALL", "C");
        if std::env::var_os("GIT_SSH_COMMAND").is_none() && std::env::var_os("GIT_SSH").is_none() {
            command.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes");
        }
        if let Some(Credentials { user, password }) = &self.credentials {
            // Arguments are seen by others on the machine, and git would keep a URL; this is for that server alone.
            let count = std::env::var("GIT_CONFIG_COUNT").ok().and_then(|count| count.parse().ok());
            let count: u32 = count.unwrap_or_default();
            let server = self.repository.origin().ascii_serialization();
            let header = STANDARD.encode(format!("{user}:{password}"));
            command
                .env(format!("GIT_CONFIG_KEY_{count}"), format!("http.{server}/.extraHeader"))
                .env(format!("GIT_CONFIG_VALUE_{count}"), format!("Authorization: Basic {header}"))
                .env("GIT_CONFIG_COUNT", (count + 1).to_string());
        }
        if let Some(directory) = directory {
            command.arg("-C").arg(directory);
        }
        command.args(["-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false"]);
        command
    }

    fn run(&self, mut command: Command, keep: Keep) -> Result<String, Error> {
        let ended = process::run(&mut command, PATIENCE, keep).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => git_error(&self.repository, "there is no `git` on this machine"),
            _ => git_error(&self.repository, &error.to_string()),
        })?;
        if ended.succeeded() {
            return Ok(ended.output);
        }
        let said = match ended.status {
            None => "git was not done in time".to_owned(),
            // What git says may have the URL in it, but not its credentials: they were taken out before.
            Some(_) if keep == Keep::Tail => ended.output.trim().to_owned(),
            Some(_) => "git cannot read it, or it is not there".to_owned(),
        };
        Err(git_error(&self.repository, &said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_repository_and_a_revision() {
        let read = |text: &str| parse(&text.parse().unwrap()).map(|(url, rev)| (url.to_string(), rev));
        let rev = |text: &str| Some(text.to_owned());
        for (text, repository, revision) in [
            ("git+https://h.example/a/b.git", "https://h.example/a/b.git", None),
            ("git+https://h.example/a/b@v1.0#egg=b", "https://h.example/a/b", rev("v1.0")),
            ("git+https://h.example/a/b.git@feature/x", "https://h.example/a/b.git", rev("feature/x")),
            ("git+https://u:s3cret@h.example/a", "https://h.example/a", None),
            ("git+ssh://git@h.example/a/b@main", "ssh://git@h.example/a/b", rev("main")),
            ("git+file:///srv/b@main", "file:///srv/b", rev("main")),
        ] {
            assert_eq!(read(text).unwrap(), (repository.to_owned(), revision), "{text}");
        }
        for bad in [
            "git+ext://h.example/a",
            "git+https://h/a@--upload-pack=x",
            "git+https://h/a@",
            "git+https://h/a@a..b",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(!format!("{:?}", read("git+https://u:s3cret@h/a@-x")).contains("s3cret"));
    }
}
