//! The grammar of requirements files, as pip has it: comments, continued lines, `-r`, `-c`, `--hash`, index options,
//! variables. What is not supported is an error that names the line; nothing is left out silently.

mod error;
mod single;
mod sources;
mod text;

pub use error::RequirementsTxtError;
pub use single::parse_requirement;
pub(crate) use sources::project_name;

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::PackageName;
use url::Url;

use self::single::requirement;
use self::text::{expand, join, logical_lines, shown, split_options};

use super::building::{Building, Said};
use super::digest::Digest;
use super::origin::Origin;
use super::requirement::{Requirement, VersionOrUrl};
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

fn unsupported(origin: &Origin, option: &str) -> RequirementsTxtError {
    let what = format!("`{}`", option.chars().take(100).collect::<String>());
    RequirementsTxtError::Unsupported { origin: origin.clone(), what, hint: "remove the option" }
}

#[cfg(test)]
mod tests;
