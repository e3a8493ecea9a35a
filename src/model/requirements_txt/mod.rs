//! The grammar of requirements files, as pip has it: comments, continued lines, `-r`, `-c`, `--hash`, index options,
//! variables. What is not supported is an error that names the line; nothing is left out silently.

mod error;
mod sources;

pub use error::RequirementsTxtError;
pub(crate) use sources::project_name;

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::PackageName;
use percent_encoding::percent_decode_str;
use url::Url;

use super::building::{Building, Said};
use super::digest::Digest;
use super::origin::Origin;
use super::requirement::{Credentials, Requirement, VersionOrUrl};
use super::words::split_words;

/// How deep files may include each other.
const MAX_DEPTH: usize = 32;

/// What a requirements file and all the files that it includes say.
#[derive(Clone, Default)]
pub struct RequirementsTxt {
    /// The requirements, in order.
    pub requirements: Vec<Requirement>,
    /// The constraints, in order.
    pub constraints: Vec<Requirement>,
    /// The hashes that are allowed for a distribution's archives.
    pub hashes: BTreeMap<PackageName, Vec<Digest>>,
    /// `--index-url`; the last one counts, as with pip. May hold credentials: never display it.
    pub index_url: Option<(Url, Origin)>,
    /// `--extra-index-url`, in order. May hold credentials: never display them.
    pub extra_index_urls: Vec<(Url, Origin)>,
    /// `--find-links`, in order. May hold credentials: never display them.
    pub find_links: Vec<(Url, Origin)>,
    /// Whether `--no-index` is said.
    pub no_index: bool,
    /// Whether `--pre` is said.
    pub pre: bool,
    /// What is asked for as an editable install.
    pub editables: Vec<(PackageName, Origin)>,
    /// What `--only-binary` and `--no-binary` say.
    pub building: Building,
}

/// How the text of a file is had: the file's name, and the line that includes it (`None` for the first file).
pub type Reader<'a, E> = &'a mut dyn FnMut(&str, Option<&Origin>) -> Result<String, E>;

/// The URL of a local file or directory, named as the files of [`Reader`] are, if there is one that may be used.
pub type Locate<'a> = &'a dyn Fn(&str) -> Option<Url>;

/// The value of an environment variable.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the requirements file `file` and all that it includes. Names of files are relative with `/` as separator, and
/// may begin with `../` or `/`; whether such a file may be read is for `read` to say.
pub fn read_requirements_txt<E: From<RequirementsTxtError>>(
    file: &str,
    read: Reader<'_, E>,
    locate: Locate<'_>,
    variables: Variables<'_>,
) -> Result<RequirementsTxt, E> {
    let mut this = Parser::new(read, locate, variables);
    this.file(file, None, false)?;
    Ok(this.out)
}

/// Reads a file of constraints and all that it includes: no requirement in it is one.
pub fn read_constraints_txt<E: From<RequirementsTxtError>>(
    file: &str,
    read: Reader<'_, E>,
    variables: Variables<'_>,
) -> Result<RequirementsTxt, E> {
    let mut this = Parser::new(read, &|_| None, variables);
    this.file(file, None, true)?;
    Ok(this.out)
}

struct Parser<'a, E> {
    read: Reader<'a, E>,
    locate: Locate<'a>,
    variables: Variables<'a>,
    out: RequirementsTxt,
    /// The files that are being read, outermost first.
    open: Vec<String>,
    /// Files read, each once as requirements and once as constraints: twice adds nothing.
    seen: BTreeSet<(String, bool)>,
}

impl<'a, E: From<RequirementsTxtError>> Parser<'a, E> {
    fn new(read: Reader<'a, E>, locate: Locate<'a>, variables: Variables<'a>) -> Self {
        let (open, seen) = (Vec::new(), BTreeSet::new());
        Self { read, locate, variables, out: RequirementsTxt::default(), open, seen }
    }

    fn file(&mut self, file: &str, included: Option<&Origin>, constraints: bool) -> Result<(), E> {
        if let Some(origin) = included {
            if self.open.iter().any(|open| open == file) {
                let (origin, file) = (origin.clone(), file.to_owned());
                return Err(RequirementsTxtError::Cycle { origin, file }.into());
            }
            if self.open.len() >= MAX_DEPTH {
                return Err(RequirementsTxtError::TooDeep { origin: origin.clone() }.into());
            }
        }
        if !self.seen.insert((file.to_owned(), constraints)) {
            return Ok(());
        }
        let text = (self.read)(file, included)?;
        self.open.push(file.to_owned());
        for (line, text) in logical_lines(&text) {
            let origin = Origin::line(file, line);
            if text.starts_with('-') {
                self.options(&text, &origin, constraints)?;
            } else {
                self.requirement(&text, origin, constraints)?;
            }
        }
        self.open.pop();
        Ok(())
    }

    /// A line of options: `-r other.txt`, `--index-url=https://…`.
    fn options(&mut self, text: &str, origin: &Origin, constraints: bool) -> Result<(), E> {
        let invalid =
            |problem: String| E::from(RequirementsTxtError::Option { origin: origin.clone(), problem });
        let words = split_words(text).ok_or_else(|| invalid("a quotation mark is not closed".to_owned()))?;
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (name, attached) = match word.split_once('=') {
                Some((name, value)) if word.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ if word.starts_with("--") || word.len() <= 2 || !word.is_char_boundary(2) => (word, None),
                _ => (word[..2].to_owned(), Some(word[2..].to_owned())),
            };
            let mut value = || {
                let value = attached.clone().or_else(|| words.next()).filter(|v| !v.is_empty());
                value.ok_or_else(|| invalid(format!("`{name}` needs a value")))
            };
            match name.as_str() {
                "-r" | "--requirement" => {
                    let file = join(&origin.file, &value()?);
                    self.file(&file, Some(origin), constraints)?;
                }
                "-c" | "--constraint" => {
                    let file = join(&origin.file, &value()?);
                    self.file(&file, Some(origin), true)?;
                }
                "-i" | "--index-url" | "--pypi-url" => {
                    self.out.index_url = Some((self.index(&value()?, origin)?, origin.clone()));
                }
                "--extra-index-url" => {
                    let url = self.index(&value()?, origin)?;
                    self.out.extra_index_urls.push((url, origin.clone()));
                }
                "-f" | "--find-links" => {
                    let links = self.find_links(&value()?, origin)?;
                    self.out.find_links.push((links, origin.clone()));
                }
                "-e" | "--editable" => {
                    self.requirement(&value()?, origin.clone(), constraints)?;
                    let name = self.out.requirements.last().map(|one| one.pep508.name.clone());
                    self.out.editables.extend(name.map(|name| (name, origin.clone())));
                }
                "--no-index" => self.out.no_index = true,
                "--pre" => self.out.pre = true,
                "--only-binary" | "--no-binary" => {
                    let said = if name == "--only-binary" { Said::NoBuild } else { Said::NoBinary };
                    let told = self.out.building.say(said, &value()?);
                    told.map_err(|error| invalid(error.to_string()))?;
                }
                _ => return Err(unsupported(origin, &name).into()),
            }
        }
        Ok(())
    }

    fn index(&self, text: &str, origin: &Origin) -> Result<Url, E> {
        let expanded = expand(text, self.variables, origin)?;
        Url::parse(&expanded).ok().filter(|url| matches!(url.scheme(), "https" | "http" | "file")).ok_or_else(
            || {
                let problem = format!("`{}` is not the URL of an index", shown(text));
                RequirementsTxtError::Option { origin: origin.clone(), problem }.into()
            },
        )
    }

    /// A list of links: a page's URL, or a directory relative to the file.
    fn find_links(&self, text: &str, origin: &Origin) -> Result<Url, E> {
        if text.contains("://") {
            return self.index(text, origin);
        }
        (self.locate)(&join(&origin.file, text)).filter(|url| url.path().ends_with('/')).ok_or_else(|| {
            let problem = format!("the project has no directory `{}`", shown(text));
            RequirementsTxtError::Option { origin: origin.clone(), problem }.into()
        })
    }

    /// A requirement, perhaps with options of its own after it.
    fn requirement(&mut self, text: &str, origin: Origin, constraints: bool) -> Result<(), E> {
        let (text, options) = split_options(text);
        let requirement = match self.by_place(text, &origin)? {
            Some(named) => requirement(&named, origin, self.variables)?,
            None => requirement(text, origin, self.variables)?,
        };
        let origin = &requirement.origin;
        let name = requirement.pep508.name.clone();

        let invalid = |problem: String| RequirementsTxtError::Option { origin: origin.clone(), problem };
        let mut hashes = Vec::new();
        let mut others = false;
        let mut words = options.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let (option, value) = word.split_once('=').map_or((word, None), |(o, v)| (o, Some(v)));
            if option != "--hash" {
                return Err(unsupported(origin, option).into());
            }
            let value = value.or_else(|| words.next()).unwrap_or_default();
            match value.split_once(':') {
                Some(("sha256", hex)) => {
                    let hash = Digest::from_hex(hex).map_err(|error| invalid(error.to_string()))?;
                    hashes.push(hash);
                }
                Some(_) => others = true,
                None => return Err(invalid(format!("`{value}` is not a hash")).into()),
            }
        }
        if hashes.is_empty() && others {
            let (origin, name) = (origin.clone(), name.to_string());
            return Err(RequirementsTxtError::NoSha256 { origin, name }.into());
        }
        if !hashes.is_empty() {
            let all = self.out.hashes.entry(name).or_default();
            all.extend(hashes);
            all.sort();
            all.dedup();
        }

        if constraints {
            if !requirement.pep508.extras.is_empty() {
                return Err(invalid("a constraint cannot have extras".to_owned()).into());
            }
            if let Some(VersionOrUrl::Url(_)) = requirement.pep508.version_or_url {
                let (origin, what) = (origin.clone(), "a constraint with a URL".to_owned());
                let hint = "constrain the version instead";
                return Err(RequirementsTxtError::Unsupported { origin, what, hint }.into());
            }
            self.out.constraints.push(requirement);
        } else {
            self.out.requirements.push(requirement);
        }
        Ok(())
    }
}

/// Parses one requirement, with variables in a URL replaced. A URL may not hold credentials.
fn requirement(
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

fn unsupported(origin: &Origin, option: &str) -> RequirementsTxtError {
    let what = format!("`{}`", option.chars().take(100).collect::<String>());
    RequirementsTxtError::Unsupported { origin: origin.clone(), what, hint: "remove the option" }
}

/// The lines with continuations joined and comments removed; each with the number of its first line. Empty ones are
/// left out.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
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
fn split_options(line: &str) -> (&str, &str) {
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
fn expand(text: &str, variables: Variables<'_>, origin: &Origin) -> Result<String, RequirementsTxtError> {
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
fn shown(text: &str) -> String {
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
fn join(from: &str, name: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExitCode;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn read(files: &[(&str, &str)]) -> Result<RequirementsTxt, RequirementsTxtError> {
        let variables = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned());
        let mut open = |file: &str, _: Option<&Origin>| {
            let found = files.iter().find(|(name, _)| *name == file);
            Ok(found.unwrap_or_else(|| panic!("{file} is not there")).1.to_owned())
        };
        let locate = |name: &str| match name {
            "a/w/own-1.0-py3-none-any.whl" => Url::parse("file:///p/a/w/own-1.0-py3-none-any.whl").ok(),
            "a/w" => Url::parse("file:///p/a/w/").ok(),
            "a/lib" => Url::parse("file:///p/a/lib/").ok(),
            "" => Url::parse("file:///p/").ok(),
            _ => None,
        };
        read_requirements_txt(files[0].0, &mut open, &locate, &variables)
    }

    fn shown_requirements(requirements: &[Requirement]) -> Vec<String> {
        requirements.iter().map(|r| format!("{} {r}", r.origin)).collect()
    }

    #[test]
    fn lines_are_joined_and_comments_removed_and_origins_kept() {
        let text = format!(
            "\u{feff}# head\r\n\r\nFoo_Bar [b,a] >= 1.0 , <2 ; python_version > '3.8' # why\n\
             baz==2.0 \\\n    --hash=sha256:{HEX} \\\n    --hash=sha512:00\n  # c \\\nname @ https://h.example/n-1-py3-none-any.whl#x\n"
        );
        let read = read(&[("r.txt", &text)]).unwrap();
        assert_eq!(
            shown_requirements(&read.requirements),
            [
                "r.txt:3 foo-bar[a,b]>=1.0,<2 ; python_full_version >= '3.9'",
                "r.txt:4 baz==2.0",
                "r.txt:8 name @ https://h.example/n-1-py3-none-any.whl#x",
            ]
        );
        assert_eq!(read.hashes[&"baz".parse().unwrap()], [Digest::from_hex(HEX).unwrap()]);
    }

    #[test]
    fn files_include_others_relative_to_themselves() {
        let read = read(&[
            ("a/r.txt", "-r sub/more.txt\n-csub/../c.txt\nx\n--requirement=sub/more.txt"),
            ("a/sub/more.txt", "y>=1\n-c ../c.txt"),
            ("a/c.txt", "y<2\n-r ../z.txt"),
            ("z.txt", "z==3"),
        ])
        .unwrap();
        assert_eq!(shown_requirements(&read.requirements), ["a/sub/more.txt:1 y>=1", "a/r.txt:3 x"]);
        assert_eq!(shown_requirements(&read.constraints), ["a/c.txt:1 y<2", "z.txt:1 z==3"]);
    }

    #[test]
    fn wheels_and_lists_of_links_may_be_in_the_project() {
        let text = "-f w\n--find-links=https://u:${TOKEN}@h.example/links.html\n--no-index --pre\n\
                    ./w/own-1.0-py3-none-any.whl[x] ; python_version > '3.8' --hash=sha256:HEX\n";
        let read = read(&[("a/r.txt", &text.replace("HEX", HEX))]).unwrap();
        assert_eq!(
            shown_requirements(&read.requirements),
            ["a/r.txt:4 own[x] @ file:///p/a/w/own-1.0-py3-none-any.whl ; python_full_version >= '3.9'"]
        );
        assert_eq!(read.hashes.len(), 1);
        let links: Vec<&str> = read.find_links.iter().map(|(url, _)| url.path()).collect();
        assert_eq!((links, read.no_index, read.pre), (vec!["/p/a/w/", "/links.html"], true, true));
    }

    #[test]
    fn sources_are_named_by_place_and_their_names_found_where_they_are_told() {
        let text = "git+https://h.example/own.git@v1#egg=Own_Lib&subdirectory=x\n\
            other[y] @ git+ssh://git@h.example/other@main ; python_version > '3.8'\n\
            https://h.example/third-1.0.tar.gz#sha256=0\n-e ./lib[z]\nfourth @ ./lib\n--editable=a/../lib\n";
        let pyproject = "[project]\nname = 'Lib'\n";
        let read = read(&[("a/r.txt", text), ("a/lib/pyproject.toml", pyproject)]).unwrap();
        assert_eq!(
            shown_requirements(&read.requirements),
            [
                "a/r.txt:1 own-lib @ git+https://h.example/own.git@v1#egg=Own_Lib&subdirectory=x",
                "a/r.txt:2 other[y] @ git+ssh://git@h.example/other@main ; python_full_version >= '3.9'",
                "a/r.txt:3 third @ https://h.example/third-1.0.tar.gz#sha256=0",
                "a/r.txt:4 lib[z] @ file:///p/a/lib/",
                "a/r.txt:5 fourth @ file:///p/a/lib/",
                "a/r.txt:6 lib @ file:///p/a/lib/",
            ]
        );
        assert_eq!(read.editables.len(), 2);
    }

    #[test]
    fn repositories_that_cannot_be_read_name_the_package_and_the_choices() {
        let error = read(&[("r.txt", "own @ hg+https://u:p4ss@h.example/own@main")]).err().unwrap();
        assert_eq!(error.to_string(), "r.txt:1: `own` comes from a hg repository, which cannot be read");
        assert_eq!(error.exit_code(), ExitCode::NoResolution);
        assert!(error.hint().unwrap().contains("own @ https://"));
    }

    #[test]
    fn cycles_and_endless_nesting_are_errors() {
        let error = read(&[("r.txt", "-r s.txt"), ("s.txt", "\n-r ./r.txt")]).err().unwrap();
        assert_eq!(error.to_string(), "s.txt:2: `r.txt` includes itself");
        let files: Vec<(String, String)> =
            (0..100).map(|n| (format!("{n}"), format!("-r {}", n + 1))).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        assert!(matches!(read(&files), Err(RequirementsTxtError::TooDeep { .. })));
    }

    #[test]
    fn variables_are_replaced_in_urls_and_never_shown() {
        let read_line = |line: &str| read(&[("r.txt", line)]);
        let found = read_line("--extra-index-url https://u:${TOKEN}@h.example/simple").unwrap();
        assert_eq!(found.extra_index_urls[0].0.password(), Some("s3cret"));
        // Git may have it.
        let found = read_line("git+https://u:${TOKEN}@h.example/x#egg=x").unwrap();
        assert_eq!(found.requirements[0].to_string(), "x @ git+https://h.example/x#egg=x");
        assert_eq!(found.requirements[0].credentials.as_ref().unwrap().password, "s3cret");
        for bad in [
            "x @ https://${TOKEN}@h.example/x-1-py3-none-any.whl",
            "x @ https://h.example/x-1-py3-none-any.whl?t=${TOKEN}",
            "x @ https://h.example:${TOKEN}/x.whl",
            "-i ${TOKEN}://u:p4ss@h.example",
            "-i https://u:p4ss@h.example:x/",
            "x @ https://u:p4ss@h.example/x.whl",
            "x @ git+https://u:p4ss@h.example/x",
            "x @ git+ssh://git:p4ss@h.example/x",
            "x @ https://u:p4ss@h.example:x/x.whl",
            "x @ https://${NO}@h.example/x.whl",
        ] {
            let error = read_line(bad).err().unwrap();
            let text = format!("{error} {error:?} {:?}", error.hint());
            assert!(!text.contains("s3cret") && !text.contains("p4ss"), "{text}");
        }
    }

    #[test]
    fn what_is_not_supported_is_named_with_its_line() {
        for line in [
            "-e .",
            "--editable=.",
            ".",
            "--require-hashes",
            "https://h.example/x.whl",
            "https://h.example/v1.0.zip",
            "git+https://h.example/x",
            "hg+https://h.example/x",
            "x @ ftp://h.example/x.whl",
            "x --global-option=y",
        ] {
            let error = read(&[("r.txt", &format!("a\n\n{line}"))]).err().unwrap();
            assert!(matches!(error, RequirementsTxtError::Unsupported { .. }), "{line}: {error}");
            assert!(error.to_string().starts_with("r.txt:3: "), "{error}");
        }
    }

    #[test]
    fn malformed_lines_are_errors() {
        for line in [
            "x==",
            "x y",
            "==1",
            "é==1é",
            "-r",
            "-i",
            "-r 'x",
            "-é",
            "x --hash=sha256:00",
            "x --hash=md5:00",
            "x --hash",
            "-i notaurl",
            "-f x",
            "./local",
            "-e dir/x",
            "x @ ./nothing",
            "../x.whl",
            "./x-1.0-py3-none-any.whl",
            "x; ((((python_version",
        ] {
            let error = read(&[("r.txt", line)]).err().unwrap_or_else(|| panic!("{line}"));
            assert!(error.to_string().starts_with("r.txt:1: "), "{error}");
        }
        let deep = format!("x; {}", "(".repeat(100_000));
        assert!(matches!(read(&[("r.txt", &deep)]), Err(RequirementsTxtError::Invalid { .. })));
        let error = read(&[("r.txt", "-c c.txt"), ("c.txt", "x[a]==1")]).err().unwrap();
        assert_eq!(error.to_string(), "c.txt:1: a constraint cannot have extras");
    }
}
