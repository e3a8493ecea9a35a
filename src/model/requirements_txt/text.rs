//! The text of a requirements file: its lines, options after a requirement, variables, names of other files.

use super::{RequirementsTxtError, Variables};
use crate::model::origin::Origin;

/// The lines with continuations joined and comments removed; each with the number of its first line. Empty ones are
/// left out.
pub(super) fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    let mut joined: Option<(u32, String)> = None;
    for (number, line) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
        let is_comment = line.trim_start().starts_with('#');
        let (part, continues) = match line.strip_suffix('\\') {
            Some(part) if !is_comment => (part, true),
            _ => (line, false),
        };
        let (_, whole) = joined.get_or_insert_with(|| (number, String::new()));
        if is_comment {
            whole.push(' ');
        }
        whole.push_str(part);
        if !continues {
            lines.extend(joined.take());
        }
    }
    lines.extend(joined);
    lines.retain_mut(|(_, line)| {
        *line = without_comment(line).trim().to_owned();
        !line.is_empty()
    });
    lines
}

/// The line up to a `#` at its start or after white space.
fn without_comment(line: &str) -> &str {
    let mut after_space = true;
    for (at, c) in line.char_indices() {
        if c == '#' && after_space {
            return &line[..at];
        }
        after_space = c.is_whitespace();
    }
    line
}

/// Splits a requirement from the options after it.
pub(super) fn split_options(line: &str) -> (&str, &str) {
    let mut after_space = false;
    for (at, c) in line.char_indices() {
        if c == '-' && after_space {
            return (line[..at].trim_end(), &line[at..]);
        }
        after_space = c.is_whitespace();
    }
    (line, "")
}

/// Replaces `${NAME}`, upper-case names only, as pip does; but a variable that is not set is an error.
pub(super) fn expand(
    text: &str,
    variables: Variables<'_>,
    origin: &Origin,
) -> Result<String, RequirementsTxtError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let name = after.split('}').next().unwrap_or_default();
        let is_name = after.len() > name.len()
            && !name.is_empty()
            && name.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
        if is_name {
            let value = variables(name).ok_or_else(|| RequirementsTxtError::UnsetVariable {
                origin: origin.clone(),
                name: name.to_owned(),
            })?;
            out.push_str(&value);
            rest = &after[name.len() + 1..];
        } else {
            out.push_str("${");
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Text as it may be shown: short, and without user and password in URLs.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(['/', '?', '#', ' ']).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(at) => {
                out.push_str("***");
                &after[at..]
            }
            None => after,
        };
    }
    out.push_str(rest);
    out.chars().take(200).collect()
}

/// The file `name` as seen from the file `from`, with `.` and `..` taken out where that can be done.
pub(super) fn join(from: &str, name: &str) -> String {
    let mut parts: Vec<&str> = if name.starts_with('/') { Vec::new() } else { from.split('/').collect() };
    parts.pop();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if name.starts_with('/') { format!("/{joined}") } else { joined }
}
