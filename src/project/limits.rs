//! Files of constraints and overrides that the command line names.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::{Error, Selection};
use crate::model::{
    Origin, Requirement, RequirementsTxt, Variables, read_constraints_txt, read_requirements_txt,
};

/// The most bytes of such a file.
const MAX_TEXT: u64 = 4 * 1024 * 1024;

/// What the files say.
#[derive(Default)]
pub(super) struct Limits {
    pub constraints: Vec<Requirement>,
    pub overrides: Vec<Requirement>,
}

impl Limits {
    pub fn read(selection: &Selection, variables: Variables<'_>) -> Result<Self, Error> {
        let mut this = Self::default();
        for file in &selection.constraints {
            let read = read_constraints_txt(&file.to_string_lossy(), &mut text, variables)?;
            this.constraints.extend(only_requirements(file, read)?.constraints);
        }
        for file in &selection.overrides {
            let read = read_requirements_txt(&file.to_string_lossy(), &mut text, &|_| None, variables)?;
            let read = only_requirements(file, read)?;
            this.overrides.extend(read.requirements);
            this.constraints.extend(read.constraints);
        }
        Ok(this)
    }
}

/// Options for indexes have no place in such a file, and are not left out silently.
fn only_requirements(file: &Path, read: RequirementsTxt) -> Result<RequirementsTxt, Error> {
    let named = read.index_url.iter().chain(&read.extra_index_urls).chain(&read.find_links).next();
    match named {
        Some((_, origin)) => {
            Err(Error::invalid(origin.clone(), "a file of constraints or overrides names no index"))
        }
        None if read.no_index || read.pre => {
            let problem = "a file of constraints or overrides has no options";
            Err(Error::invalid(Origin::file(file.to_string_lossy()), problem))
        }
        None => Ok(read),
    }
}

/// The text of a file, which may lie anywhere: the user names it.
fn text(file: &str, included: Option<&Origin>) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let origin = included.cloned().unwrap_or_else(|| Origin::file("command line"));
            Error::NoFile { origin, file: file.to_owned() }
        }
        _ => Error::io("open", file)(error),
    })?;
    opened.take(MAX_TEXT + 1).read_to_end(&mut bytes).map_err(Error::io("read", file))?;
    if bytes.len() as u64 > MAX_TEXT {
        return Err(Error::TooLarge { file: file.to_owned(), limit: MAX_TEXT });
    }
    String::from_utf8(bytes).map_err(|_| Error::NotUtf8 { origin: Origin::file(file) })
}
