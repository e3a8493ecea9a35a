//! One requirement, wherever it is written: direct URLs of the supported kinds, and no credentials in them.

use percent_encoding::percent_decode_str;
use url::Url;

use super::text::{expand, shown};
use super::{RequirementsTxtError, Variables};
use crate::model::origin::Origin;
use crate::model::requirement::{Credentials, Requirement, VersionOrUrl};

/// Parses one requirement, with variables in a URL replaced. A URL may not hold credentials.
pub(super) fn requirement(
    text: &str,
    origin: Origin,
    variables: Variables<'_>,
) -> Result<Requirement, RequirementsTxtError> {
    if let Some(what) = not_by_name(text) {
        let hint = "write a name, `NAME @ https://…`, or a path in the project";
        return Err(RequirementsTxtError::Unsupported { origin, what: what.to_owned(), hint });
    }
    let expanded = if text.contains("://") { expand(text, variables, &origin)? } else { text.to_owned() };
    parse(&expanded, text, origin)
}

/// Parses one requirement that stands outside a requirements file. A URL may not hold credentials.
pub fn parse_requirement(text: &str, origin: Origin) -> Result<Requirement, RequirementsTxtError> {
    parse(text, text, origin)
}

/// Parses `text`, which was made from `source` by replacing variables.
fn parse(text: &str, source: &str, origin: Origin) -> Result<Requirement, RequirementsTxtError> {
    let secret = text != source;
    let mut requirement = Requirement::parse(text, origin.clone()).map_err(|error| {
        let problem = if secret { "its URL is not valid".to_owned() } else { error.message.to_string() };
        RequirementsTxtError::Invalid {
            origin: origin.clone(),
            text: shown(source),
            problem: shown(&problem),
        }
    })?;
    if secret && let Some(VersionOrUrl::Url(url)) = &mut requirement.pep508.version_or_url {
        requirement.credentials = taken(url);
    }
    check_direct_url(&requirement, secret)?;
    Ok(requirement)
}

/// Takes user and password out of the URL of a repository, for git alone to see.
fn taken(url: &mut Url) -> Option<Credentials> {
    if !matches!(url.scheme(), "git+https" | "git+http") || url.username().is_empty() {
        return None;
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let credentials =
        Credentials { user: decoded(url.username()), password: decoded(url.password().unwrap_or_default()) };
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(credentials)
}

/// Refuses a direct URL that is not of a supported kind or that holds credentials. `secret`: the URL was made with the
/// value of a variable, so that its query may be a token.
fn check_direct_url(requirement: &Requirement, secret: bool) -> Result<(), RequirementsTxtError> {
    let Some(VersionOrUrl::Url(url)) = &requirement.pep508.version_or_url else { return Ok(()) };
    let origin = requirement.origin.clone();
    let is_git = matches!(url.scheme(), "git+https" | "git+http" | "git+ssh" | "git+file");
    if !is_git && !matches!(url.scheme(), "https" | "http" | "file") {
        let what = match url.scheme().split_once('+') {
            Some((vcs, _)) => format!("a {vcs} repository"),
            None => {
                let what = format!("a requirement from a `{}` URL", url.scheme());
                return Err(RequirementsTxtError::Unsupported {
                    origin,
                    what,
                    hint: "use https, http or file",
                });
            }
        };
        let name = requirement.pep508.name.to_string();
        return Err(RequirementsTxtError::UnknownSources { origin, name, what });
    }
    // With SSH, the user is a part of the address.
    let is_user = url.scheme() != "git+ssh" && !url.username().is_empty();
    let has_user = is_user || url.password().is_some();
    if has_user || (secret && url.query().is_some()) {
        let name = requirement.pep508.name.to_string();
        return Err(RequirementsTxtError::Credentials { origin, name });
    }
    Ok(())
}

/// What a line is, if it is a path or URL instead of a requirement by name.
fn not_by_name(text: &str) -> Option<&'static str> {
    let first = text.split([' ', ';', '@']).next().unwrap_or_default();
    let lower = first.to_ascii_lowercase();
    let is_vcs = ["hg+", "svn+", "bzr+"].iter().any(|vcs| lower.starts_with(vcs));
    if is_vcs {
        Some("a requirement from a version control system")
    } else if lower.contains("://") || lower.starts_with("file:") {
        Some("a URL without a name")
    } else if first.starts_with(['.', '/', '~'])
        || first.contains(['/', '\\'])
        || [".whl", ".zip", ".tar.gz", ".tar.bz2"].iter().any(|suffix| lower.ends_with(suffix))
    {
        Some("a local path")
    } else {
        None
    }
}
