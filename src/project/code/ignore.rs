//! Files that say what stays out: `.bakehouseignore` or `.dockerignore`, and `.gitignore` where that is asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::docker::Glob;
use crate::model::Origin;
use crate::project::source::Root;
use crate::project::{Error, glob};

/// Goes before `.dockerignore`, which may have been written for something else.
const OWN: &str = ".bakehouseignore";
const DOCKER: &str = ".dockerignore";
const GIT: &str = ".gitignore";
/// The most patterns of one file.
const MAX_PATTERNS: usize = 10_000;

/// What the project's own files leave out.
#[derive(Debug, Default)]
pub(in crate::project) struct Ignore {
    /// The file at the root, and its patterns.
    docker: Option<(&'static str, Vec<DockerPattern>)>,
    git: Option<Git>,
    /// Files that hold credentials.
    pub secrets: Vec<String>,
}

/// `.gitignore` files, each for its own directory and those below.
#[derive(Debug)]
struct Git {
    root: Root,
    /// Patterns by directory; those of the directories above the project, up to the repository's, are under [`ABOVE`].
    known: Mutex<BTreeMap<String, Arc<Vec<Pattern>>>>,
    above: Vec<Above>,
}

/// A `.gitignore` above the project.
#[derive(Debug)]
struct Above {
    file: String,
    /// From its directory to the project's.
    prefix: String,
    patterns: Vec<Pattern>,
}

/// Why a path is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub origin: Origin,
    /// For a directory: whether nothing below it can be taken either.
    pub prunes: bool,
}

/// A line of `.dockerignore`.
#[derive(Debug)]
struct DockerPattern {
    /// It takes back what an earlier one leaves out.
    negated: bool,
    glob: Glob,
    line: u32,
}

/// A line of `.gitignore`.
#[derive(Debug)]
struct Pattern {
    /// It takes back what an earlier one leaves out.
    negated: bool,
    directories_only: bool,
    /// The names of a path, `None` for any number of them.
    parts: Vec<Option<String>>,
    line: u32,
}

impl Ignore {
    /// Reads the file at the project's root; with `git`, `.gitignore` files count too.
    pub fn read(root: &Root, git: bool) -> Result<Self, Error> {
        let mut docker = None;
        for file in [OWN, DOCKER] {
            if let Some(text) = root.read_optional(file)? {
                docker = Some((file, patterns(file, &text, docker_pattern)?));
                break;
            }
        }
        let git = if git { Some(Git::new(root)?) } else { None };
        Ok(Self { docker, git, secrets: Vec::new() })
    }

    /// The rule that leaves out a path relative to the project, if one does. Of directories only those are to be asked
    /// for whose parents are not left out.
    pub fn rule(&self, path: &str, is_directory: bool) -> Option<Rule> {
        if let Some((file, patterns)) = &self.docker {
            // A pattern that matches a directory leaves out all that is in it; the last one that matches counts.
            let matches = |pattern: &&DockerPattern| {
                let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
                above.any(|parent| pattern.glob.matches(parent)) || pattern.glob.matches(path)
            };
            if let Some(pattern) = patterns.iter().rev().find(matches)
                && !pattern.negated
            {
                let prunes = !patterns.iter().any(|pattern| pattern.negated);
                return Some(Rule { origin: Origin::line(*file, pattern.line), prunes });
            }
        }
        let parts: Vec<&str> = path.split('/').collect();
        self.git.as_ref()?.rule(&parts, is_directory)
    }
}

impl Git {
    fn new(root: &Root) -> Result<Self, Error> {
        let mut above = Vec::new();
        let mut directory = root.path.clone();
        let mut prefix = PathBuf::new();
        while !directory.join(".git").exists() {
            let name = directory.file_name().map(PathBuf::from);
            let (Some(name), true) = (name, directory.pop()) else {
                // No repository: what happens to stand above says nothing of the project.
                above.clear();
                break;
            };
            prefix = name.join(prefix);
            let file = directory.join(GIT);
            if file.is_file()
                && let Some(text) = (Root { path: directory.clone() }).read_optional(GIT)?
            {
                let file = file.display().to_string();
                let patterns = patterns(&file, &text, git_pattern)?;
                above.push(Above { file, prefix: prefix.to_string_lossy().into_owned(), patterns });
            }
        }
        let git = Self { root: root.clone(), known: Mutex::default(), above };
        // Read now, so that one that is wrong is told.
        git.patterns("")?;
        Ok(git)
    }

    /// The patterns of a directory's own file.
    fn patterns(&self, directory: &str) -> Result<Arc<Vec<Pattern>>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(patterns) = known.get(directory) {
            return Ok(Arc::clone(patterns));
        }
        let file = if directory.is_empty() { GIT.to_owned() } else { format!("{directory}/{GIT}") };
        let found = match self.root.read_optional(&file)? {
            Some(text) => patterns(&file, &text, git_pattern)?,
            None => Vec::new(),
        };
        let found = Arc::new(found);
        known.insert(directory.to_owned(), Arc::clone(&found));
        Ok(found)
    }

    /// The file nearest to the path counts first, and in it the last pattern that matches.
    fn rule(&self, parts: &[&str], is_directory: bool) -> Option<Rule> {
        let matching = |pattern: &&Pattern, parts: &[&str]| {
            (is_directory || !pattern.directories_only) && matches_parts(&pattern.parts, parts)
        };
        let rule = |pattern: &Pattern, file: String| {
            (!pattern.negated).then(|| Rule { origin: Origin::line(file, pattern.line), prunes: true })
        };
        for depth in (0..parts.len()).rev() {
            let directory = parts[..depth].join("/");
            // One that cannot be read leaves nothing out.
            let patterns = self.patterns(&directory).unwrap_or_default();
            if let Some(pattern) = patterns.iter().rev().find(|pattern| matching(pattern, &parts[depth..])) {
                let file = if directory.is_empty() { GIT.to_owned() } else { format!("{directory}/{GIT}") };
                return rule(pattern, file);
            }
        }
        for Above { file, prefix, patterns } in &self.above {
            let whole: Vec<&str> =
                prefix.split('/').filter(|part| !part.is_empty()).chain(parts.iter().copied()).collect();
            if let Some(pattern) = patterns.iter().rev().find(|pattern| matching(pattern, &whole)) {
                return rule(pattern, file.clone());
            }
        }
        None
    }
}

/// The patterns of a file, each line by its rules.
fn patterns<P>(
    file: &str,
    text: &str,
    parse: impl Fn(&str, u32) -> Result<Option<P>, String>,
) -> Result<Vec<P>, Error> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        found.extend(
            parse(line, number).map_err(|problem| Error::invalid(Origin::line(file, number), problem))?,
        );
        if found.len() > MAX_PATTERNS {
            return Err(Error::invalid(
                Origin::line(file, number),
                format!("more than {MAX_PATTERNS} patterns"),
            ));
        }
    }
    Ok(found)
}

/// A line of `.dockerignore`: a path from the root, with or without slashes at its ends; `!` takes back.
fn docker_pattern(line: &str, number: u32) -> Result<Option<DockerPattern>, String> {
    if line.starts_with('#') {
        return Ok(None);
    }
    let line = line.trim();
    let (negated, line) = match line.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, line),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in line.split('/') {
        match part {
            "" | "." => {}
            // A path that leads out names nothing in the project; one from the root cannot lead out.
            ".." if parts.is_empty() && !line.starts_with('/') => return Ok(None),
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Ok(None);
    }
    let glob = Glob::parse(&parts.join("/"))
        .ok_or_else(|| format!("`{}` is no pattern: Docker refuses it too", line.escape_debug()))?;
    Ok(Some(DockerPattern { negated, glob, line: number }))
}

/// A line of `.gitignore`: a name at any depth, or with a slash before its end a path from the file's directory.
#[expect(clippy::unnecessary_wraps, reason = "lines of the other kind can be wrong")]
fn git_pattern(line: &str, number: u32) -> Result<Option<Pattern>, String> {
    if line.starts_with('#') {
        return Ok(None);
    }
    let mut line = line;
    while let Some(rest) = line.strip_suffix([' ', '\t']) {
        // A blank at the end counts if it is escaped, by an odd number of backslashes.
        if rest.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1 {
            break;
        }
        line = rest;
    }
    let (negated, line) = match line.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (line, directories_only) = match line.strip_suffix('/') {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let mut parts = Vec::new();
    if !line.contains('/') {
        parts.push(None);
    }
    for part in line.split('/').filter(|part| !part.is_empty()) {
        push_part(&mut parts, part);
    }
    Ok((!line.is_empty()).then_some(Pattern { negated, directories_only, parts, line: number }))
}

fn push_part(parts: &mut Vec<Option<String>>, part: &str) {
    match part {
        "**" if parts.last() == Some(&None) => {}
        "**" => parts.push(None),
        part => parts.push(Some(part.to_owned())),
    }
}

/// Whether the names of a path match those of a pattern, all of them. At a pattern's end, `**` stands for at least one.
fn matches_parts(pattern: &[Option<String>], path: &[&str]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on if what comes after the last `**` does not match.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some(None) if p + 1 == pattern.len() => return t < path.len(),
            Some(None) => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            None if t == path.len() => return true,
            Some(Some(part)) if t < path.len() && glob::matches_name(part, path[t]) => Some(()),
            _ => None,
        };
        match (step, retry) {
            (Some(()), _) => (p, t) = (p + 1, t + 1),
            (None, Some((after, from))) if from < path.len() => {
                retry = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docker(text: &str) -> Ignore {
        Ignore {
            docker: Some((DOCKER, patterns(DOCKER, text, docker_pattern).unwrap())),
            ..Ignore::default()
        }
    }

    #[test]
    fn dockerignore_names_paths_from_the_root_and_the_last_match_counts() {
        let ignore = docker(
            "# comment\n\n/data\n*/temp*\n**/*.csv\nlogs/\nnotes/**\n!notes/keep.md\nx?.[^a]\na\\*b\n",
        );
        for path in [
            "data",
            "data/x/y.py",
            "a/temporary",
            "a/temp/x",
            "deep/down/x.csv",
            "x.csv",
            "logs/a",
            "notes/a/b",
            "xy.b",
            "a*b",
        ] {
            assert!(ignore.rule(path, false).is_some(), "{path}");
        }
        for path in ["src/data", "temp", "a/b/temp", "notes/keep.md", "xy.a", "axb", "notes"] {
            assert!(ignore.rule(path, false).is_none(), "{path}");
        }
        let rule = ignore.rule("data", true).unwrap();
        assert_eq!((rule.origin.to_string().as_str(), rule.prunes), (".dockerignore:3", false));
        assert!(docker("../a").rule("a", false).is_none() && docker("/../a").rule("a", false).is_some());
        let ignore = docker("*\n!flows\n!src/**\n");
        assert!(ignore.rule("data/x", false).is_some() && ignore.rule("src", true).is_some());
        assert!(
            ignore.rule("flows/f/flow.py", false).is_none() && ignore.rule("src/a/b.py", false).is_none()
        );
    }

    #[test]
    fn gitignore_names_match_at_any_depth_and_paths_from_their_directory() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("repository/.git/HEAD", "");
        write("repository/.gitignore", "*.log\n/p/top\n");
        write(
            "repository/p/.gitignore",
            "#x\n*.csv\nbuild/\n/only\ndocs/*.txt\n!keep.csv\nend\\ \n**/cache\n\\#odd\n",
        );
        write("repository/p/sub/.gitignore", "!*.csv\n*.md\n");
        let root = Root::open(&directory.path().join("repository/p")).unwrap();
        let ignore = Ignore::read(&root, true).unwrap();
        for (path, is_directory) in [
            ("a.csv", false),
            ("x/y/a.csv", false),
            ("build", true),
            ("x/build", true),
            ("only", false),
            ("docs/a.txt", false),
            ("end ", false),
            ("x/cache", false),
            ("#odd", false),
            ("sub/a.md", false),
            ("x/a.log", false),
            ("top", false),
        ] {
            assert!(ignore.rule(path, is_directory).is_some(), "{path}");
        }
        for (path, is_directory) in [
            ("keep.csv", false),
            ("build", false),
            ("x/only", false),
            ("docs/x/a.txt", false),
            ("sub/a.csv", false),
            ("a.md", false),
            ("x/top", false),
        ] {
            assert!(ignore.rule(path, is_directory).is_none(), "{path}");
        }
    }
}
