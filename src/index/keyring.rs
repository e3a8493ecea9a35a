//! The command `keyring`, which may know credentials.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use url::Url;

/// How long the command may take. It may ask a service, but nobody is there to answer a question.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most bytes of an answer that are read.
const LARGEST: u64 = 64 << 10;

/// Asks for user and password of an index, by its URL and then by its host. Blocks.
pub(super) fn credentials(index: &Url, user: Option<&str>) -> Option<(String, String)> {
    let host = match index.port() {
        Some(port) => format!("{}:{port}", index.host_str()?),
        None => index.host_str()?.to_owned(),
    };
    [index.as_str(), &host].into_iter().find_map(|service| match user {
        Some(user) => {
            let password = run(&["get", service, user])?;
            Some((user.to_owned(), password.lines().next()?.to_owned()))
        }
        None => {
            let answer = run(&["--mode", "creds", "get", service, ""])?;
            let mut lines = answer.lines();
            Some((lines.next()?.to_owned(), lines.next()?.to_owned()))
        }
    })
}

/// The command's output, if it succeeds.
fn run(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("keyring");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            tracing::warn!(%error, "the command `keyring` cannot be run");
            return None;
        }
    };
    let status = wait(&mut child);
    let mut answer = String::new();
    child.stdout.take()?.take(LARGEST).read_to_string(&mut answer).ok()?;
    (status? && !answer.is_empty()).then_some(answer)
}

/// Whether the command succeeds; one that takes too long is ended.
fn wait(child: &mut Child) -> Option<bool> {
    let end = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) | Err(_) => {
                tracing::warn!("the command `keyring` gave no answer");
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}
