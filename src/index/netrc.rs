//! netrc files: user and password by host.

use std::io::Read as _;
use std::path::Path;

/// The most bytes of a netrc file that are read.
const LARGEST: u64 = 1 << 20;

/// The entries of a netrc file.
#[derive(Default)]
pub(super) struct Netrc(Vec<Entry>);

#[derive(Default)]
struct Entry {
    /// None: any host.
    host: Option<String>,
    user: String,
    password: Option<String>,
}

impl Netrc {
    /// Reads a file. One that is not there, or cannot be read, has no entries.
    pub(super) fn read(path: &Path) -> Self {
        let mut text = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut text));
        match read {
            Ok(_) => Self::parse(&String::from_utf8_lossy(&text)),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "no netrc file");
                Self::default()
            }
        }
    }

    fn parse(text: &str) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let mut words = words(line).into_iter();
            while let Some(word) = words.next() {
                match word.as_str() {
                    "machine" => {
                        let Some(host) = words.next() else { continue };
                        entries.push(Entry { host: Some(host), ..Entry::default() });
                    }
                    "default" => entries.push(Entry::default()),
                    // A macro goes on to the next empty line.
                    "macdef" => {
                        lines.find(|line| line.trim().is_empty());
                        break;
                    }
                    field => {
                        let value = words.next();
                        let Some(entry) = entries.last_mut() else { continue };
                        match (field, value) {
                            ("login" | "user", Some(value)) => entry.user = value,
                            ("password", value) => entry.password = value,
                            _ => {}
                        }
                    }
                }
            }
        }
        Self(entries)
    }

    /// User and password for a host; if the user is known, only that one's.
    pub(super) fn get(&self, host: &str, user: Option<&str>) -> Option<(String, Option<String>)> {
        let matches = |entry: &&Entry| user.is_none_or(|user| entry.user == user);
        let of = |host: Option<&str>| {
            self.0.iter().filter(matches).find(|entry| match (&entry.host, host) {
                (Some(known), Some(host)) => known.eq_ignore_ascii_case(host),
                (None, None) => true,
                _ => false,
            })
        };
        let entry = of(Some(host)).or_else(|| of(None))?;
        Some((entry.user.clone(), entry.password.clone()))
    }
}

/// The words of a line; quotes hold words together, and a word that begins with `#` ends the line.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let end;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut word = String::new();
            let mut chars = quoted.char_indices();
            end = loop {
                match chars.next() {
                    Some((at, '"')) => break at + 2,
                    Some((_, '\\')) => word.extend(chars.next().map(|(_, c)| c)),
                    Some((_, c)) => word.push(c),
                    None => break rest.len(),
                }
            };
            words.push(word);
        } else {
            end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
        }
        rest = rest[end..].trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_host_and_user() {
        let netrc = Netrc::parse(
            "# comment\nmachine a.example login me password one\nmachine a.example\n  login you\n  password \"t w\\\"o\"\n\
             macdef init\nmachine evil.example login x password y\n\nmachine b.example login only # later\n\
             default login anyone password #hash\n",
        );
        let get =
            |host, user| netrc.get(host, user).map(|(user, password)| (user, password.unwrap_or_default()));
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(get("A.example", None), pair("me", "one"));
        assert_eq!(get("a.example", Some("you")), pair("you", "t w\"o"));
        assert_eq!(get("b.example", None), pair("only", ""));
        assert_eq!(get("evil.example", None).unwrap().0, "anyone");
        assert_eq!(get("a.example", Some("nobody")), None);
        assert!(Netrc::parse("machine").get("a.example", None).is_none());
        assert!(Netrc::read(Path::new("/nonexistent/netrc")).0.is_empty());
    }
}
