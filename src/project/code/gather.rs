//! The files of a component as they come together from several walks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::walk::{Found, FoundFile, Link, names_of};
use super::{CodeFile, CodeFileKind, CodeFiles, LeftOut, Library};
use crate::model::{Origin, Warning};

/// Which layer a file goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Shared,
    Own,
}

/// The files of a component as they come together, by their paths in the image.
#[derive(Default)]
pub(super) struct Gathered {
    pub files: BTreeMap<String, (Layer, FoundFile)>,
    /// Whether symbolic links become what they lead to: the platform's client follows those of flows.
    pub follows_links: bool,
    pub libraries: Vec<Library>,
    pub left_out: Vec<LeftOut>,
    pub warnings: Vec<Warning>,
}

impl Gathered {
    /// Adds what was found, each file at the place that `place` gives it.
    pub fn add(&mut self, found: &Found, place: impl Fn(&str) -> Option<(Layer, String)>) {
        for file in &found.files {
            let Some((layer, path)) = place(&file.path) else { continue };
            // A link stays one where what it names is at the place that its target leads to from here.
            let link = file.link.clone().filter(|_| !self.follows_links).and_then(|link| {
                let (_, names) = place(&link.names).filter(|_| path.starts_with("app/"))?;
                let leads_there = names_of(&path, Path::new(&link.target))? == names;
                leads_there.then_some(Link { names, ..link })
            });
            let file = FoundFile { link, ..file.clone() };
            if let Some((_, other)) = self.files.get(&path)
                && other.source != file.source
            {
                let message = format!("it takes the place of {} at /{path}", other.path);
                self.warnings.push(Warning::at(Origin::file(&file.path), message));
            }
            self.files.insert(path, (layer, file));
        }
        self.left_out.extend(found.left_out.iter().cloned());
        self.warnings.extend(found.warnings.iter().cloned());
    }

    pub fn finish(mut self) -> CodeFiles {
        self.left_out.sort();
        self.left_out.dedup();
        self.warnings.dedup();
        self.libraries.sort_by(|a, b| a.name.cmp(&b.name));
        self.libraries.dedup();
        let (left_out, warnings, libraries) = (self.left_out, self.warnings, self.libraries);
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        let is_there = |link: &Link| {
            link.to_directory || self.files.get(&link.names).is_some_and(|(_, file)| file.link.is_none())
        };
        for (path, (layer, file)) in &self.files {
            let kind = match &file.link {
                Some(link) if is_there(link) => CodeFileKind::Symlink { target: link.target.clone() },
                _ => CodeFileKind::File { executable: file.executable, size: file.size },
            };
            let file = CodeFile { path: path.clone(), source: file.source.clone(), kind };
            match layer {
                Layer::Shared => shared.push(file),
                Layer::Own => own.push(file),
            }
        }
        CodeFiles {
            shared: Arc::new(shared),
            own: Arc::new(own),
            left_out: Arc::new(left_out),
            libraries,
            warnings,
            ..CodeFiles::default()
        }
    }
}

/// A warning of files, if there are any, the first few of them named.
pub(super) fn warning_of<'f>(
    folder: &str,
    files: impl Iterator<Item = &'f str>,
    message: impl FnOnce(String) -> String,
) -> Option<Warning> {
    const NAMED: usize = 3;
    let within = format!("{folder}/");
    let files: Vec<&str> = files.map(|file| file.strip_prefix(&within).unwrap_or(file)).collect();
    if files.is_empty() {
        return None;
    }
    let named: Vec<String> = files.iter().take(NAMED).map(|file| format!("`{file}`")).collect();
    let mut text = named.join(", ");
    if files.len() > NAMED {
        text += &format!(" and {} more", files.len() - NAMED);
    }
    Some(Warning::at(Origin::file(folder), message(text)))
}
