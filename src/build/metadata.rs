//! What sources say of themselves without being built: PKG-INFO where it is final (PEP 643), else a `[project]` table
//! that leaves nothing open (PEP 621); and which backend builds them (PEP 518).

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use toml_edit::{Document, Item, Table, TableLike};

use super::Error;

/// The most bytes of a file that is read.
const LARGEST: u64 = 4 << 20;
/// What builds sources that name no backend.
const LEGACY: &str = "setuptools.build_meta:__legacy__";

/// What builds sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backend {
    /// The object that has the hooks.
    pub object: String,
    /// Directories of the sources that it is found in, relative to them.
    pub path: Vec<String>,
    /// What it needs.
    pub requires: Vec<String>,
}

/// What sources say of themselves.
#[derive(Debug)]
pub(super) struct Claims {
    /// The core metadata, if it is final: that of any wheel that is built of them.
    pub metadata: Option<String>,
    /// Name and version, as far as PKG-INFO tells.
    pub name: Option<String>,
    pub version: Option<String>,
    pub backend: Backend,
}

/// Reads the sources in `root`, which messages call `what`.
pub(super) fn read(root: &Path, what: &str) -> Result<Claims, Error> {
    let info = text(root, "PKG-INFO", what)?;
    let field = |name: &str| info.as_deref().and_then(|text| fields(text, name).next()).map(str::to_owned);
    let pyproject = text(root, "pyproject.toml", what)?;
    let unusable = |reason: String| Error::Unusable { what: what.to_owned(), reason };
    let document = pyproject
        .map(|text| {
            Document::parse(text)
                .map_err(|error| unusable(format!("pyproject.toml: {}", error.message().trim())))
        })
        .transpose()?;
    let table = document.as_ref().map(Document::as_table);
    let is_buildable = table.is_some() || root.join("setup.py").is_file() || root.join("setup.cfg").is_file();
    if !is_buildable {
        return Err(unusable("it has neither pyproject.toml nor setup.py".to_owned()));
    }
    let final_info = info.as_deref().filter(|text| is_final(text)).map(str::to_owned);
    let metadata = final_info.or_else(|| table.and_then(of_project));
    let backend = backend(table).map_err(|reason| unusable(format!("pyproject.toml: {reason}")))?;
    check_path(root, what, &backend)?;
    Ok(Claims { metadata, name: field("Name"), version: field("Version"), backend })
}

/// The text of a file at the top of the sources, if it is there.
fn text(root: &Path, name: &str, what: &str) -> Result<Option<String>, Error> {
    let path = root.join(name);
    // A link out of the tree does not count: whoever made the sources does not know what is there.
    let is_inside =
        path.canonicalize().is_ok_and(|real| root.canonicalize().is_ok_and(|root| real.starts_with(root)));
    if !is_inside || !path.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(Error::io("read", &path))?;
    if bytes.len() as u64 > LARGEST {
        let reason = format!("its {name} is larger than {LARGEST} bytes");
        return Err(Error::Unusable { what: what.to_owned(), reason });
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The values of a field of core metadata: headers up to the first empty line.
fn fields<'t>(text: &'t str, name: &str) -> impl Iterator<Item = &'t str> {
    let headers = text.lines().take_while(|line| !line.trim().is_empty());
    let name = name.to_owned();
    headers.filter_map(move |line| {
        let (key, value) = line.split_once(':')?;
        (key.eq_ignore_ascii_case(&name)).then(|| value.trim())
    })
}

/// Whether what core metadata says of requirements is so for every wheel of these sources.
fn is_final(text: &str) -> bool {
    let version = fields(text, "Metadata-Version").next().and_then(|version| {
        let (major, minor) = version.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    let open = ["requires-dist", "requires-python", "provides-extra"];
    let mut dynamic = fields(text, "Dynamic");
    version.is_some_and(|version| version >= (2, 2))
        && !dynamic.any(|field| open.iter().any(|open| field.eq_ignore_ascii_case(open)))
}

/// Core metadata from a `[project]` table that leaves nothing open.
fn of_project(table: &Table) -> Option<String> {
    let project = table.get("project")?.as_table_like()?;
    let strings = |item: Option<&Item>| -> Option<Vec<String>> {
        let Some(item) = item else { return Some(Vec::new()) };
        item.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let open = ["version", "dependencies", "optional-dependencies", "requires-python"];
    if strings(project.get("dynamic"))?.iter().any(|field| open.contains(&field.as_str())) {
        return None;
    }
    let line =
        |key: &str| project.get(key).and_then(Item::as_str).filter(|text| !text.contains(['\n', '\r']));
    let mut text = format!("Metadata-Version: 2.2\nName: {}\nVersion: {}\n", line("name")?, line("version")?);
    if project.contains_key("requires-python") {
        text += &format!("Requires-Python: {}\n", line("requires-python")?);
    }
    for requirement in strings(project.get("dependencies"))? {
        text += &format!("Requires-Dist: {}\n", one_line(&requirement)?);
    }
    let optional = project.get("optional-dependencies").map(|item| item.as_table_like());
    for (extra, listed) in optional.map_or(Some(Vec::new()), |table| Some(table?.iter().collect()))? {
        text += &format!("Provides-Extra: {}\n", one_line(extra)?);
        for requirement in strings(Some(listed))? {
            text += &format!("Requires-Dist: {}\n", with_extra(one_line(&requirement)?, extra));
        }
    }
    Some(text)
}

fn one_line(text: &str) -> Option<&str> {
    (!text.contains(['\n', '\r'])).then_some(text)
}

/// A requirement that counts only with an extra.
fn with_extra(requirement: &str, extra: &str) -> String {
    // A marker follows a semicolon; one in a URL must have white space before it.
    let at = match requirement.find('@') {
        Some(_) => requirement.find(" ;"),
        None => requirement.find(';'),
    };
    let extra = extra.replace(['"', '\''], "");
    match at.map(|at| (&requirement[..at], requirement[at..].trim_start().trim_start_matches(';'))) {
        Some((requirement, marker)) => format!("{requirement} ; ({}) and extra == '{extra}'", marker.trim()),
        None => format!("{requirement} ; extra == '{extra}'"),
    }
}

/// What builds the sources.
fn backend(table: Option<&Table>) -> Result<Backend, String> {
    let system = table.and_then(|table| table.get("build-system"));
    let Some(system) = system else {
        let requires = vec!["setuptools>=40.8.0".to_owned()];
        return Ok(Backend { object: LEGACY.to_owned(), path: Vec::new(), requires });
    };
    let system: &dyn TableLike = system.as_table_like().ok_or("`build-system` is no table")?;
    let strings = |key: &str| -> Result<Option<Vec<String>>, String> {
        let Some(item) = system.get(key) else { return Ok(None) };
        let array = item.as_array().ok_or_else(|| format!("`build-system.{key}` is no array of strings"))?;
        let texts = array.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<_>>();
        texts.map(Some).ok_or_else(|| format!("`build-system.{key}` is no array of strings"))
    };
    let requires = strings("requires")?.ok_or("`build-system` has no `requires`")?;
    let object = match system.get("build-backend") {
        None => LEGACY.to_owned(),
        Some(item) => item.as_str().ok_or("`build-system.build-backend` is no string")?.to_owned(),
    };
    let dotted = |text: &str| {
        let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        text.split('.').all(word)
    };
    let (module, attribute) = object.split_once(':').unwrap_or((&object, "a"));
    if !dotted(module) || !dotted(attribute) {
        return Err("`build-system.build-backend` names no object".to_owned());
    }
    Ok(Backend { object, path: strings("backend-path")?.unwrap_or_default(), requires })
}

/// A backend that comes with the sources is inside them (PEP 517).
fn check_path(root: &Path, what: &str, backend: &Backend) -> Result<(), Error> {
    let root = root.canonicalize().map_err(Error::io("open", root))?;
    for path in &backend.path {
        let is_plain =
            Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !is_plain || !root.join(path).canonicalize().is_ok_and(|real| real.starts_with(&root)) {
            let shown: String = path.escape_debug().take(100).collect();
            let reason = format!("its backend-path `{shown}` is not a directory inside it");
            return Err(Error::Hostile { what: what.to_owned(), reason });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_final_by_its_version_and_its_dynamic_fields() {
        for (text, expected) in [
            ("Metadata-Version: 2.2\nName: a\n", true),
            ("Metadata-Version: 2.4\nName: a\nDynamic: License\n", true),
            ("Metadata-Version: 2.1\nName: a\n", false),
            ("Metadata-Version: 2.2\nDynamic: Requires-Dist\n", false),
            ("Metadata-Version: 2.2\nDynamic: requires-python\n", false),
            ("Metadata-Version: 2.2\n\nDynamic: Requires-Dist\n", true),
            ("Metadata-Version: two\n", false),
            ("", false),
        ] {
            assert_eq!(is_final(text), expected, "{text}");
        }
    }

    #[test]
    fn a_project_table_that_leaves_nothing_open_is_metadata() {
        let of = |text: &str| of_project(Document::parse(text.to_owned()).unwrap().as_table());
        let text = "[project]\nname = 'a'\nversion = '1'\ndependencies = ['b>1']\ndynamic = ['readme']\n\
                    [project.optional-dependencies]\nx = [\"c ; os_name == 'posix'\", 'd @ https://h.example/d;x.tar.gz']\n";
        assert_eq!(
            of(text).unwrap(),
            "Metadata-Version: 2.2\nName: a\nVersion: 1\nRequires-Dist: b>1\nProvides-Extra: x\n\
             Requires-Dist: c  ; (os_name == 'posix') and extra == 'x'\n\
             Requires-Dist: d @ https://h.example/d;x.tar.gz ; extra == 'x'\n"
        );
        for open in [
            "[project]\nname = 'a'\ndynamic = ['version']\n",
            "[project]\nname = 'a'\nversion = '1'\ndynamic = ['dependencies']\n",
            "[project]\nname = 'a'\nversion = '1'\ndependencies = 'b'\n",
            "[project]\nname = \"a\\nVersion: 2\"\nversion = '1'\n",
            "[build-system]\nrequires = []\n",
        ] {
            assert_eq!(of(open), None, "{open}");
        }
    }

    #[test]
    fn the_backend_is_an_object_and_the_old_one_if_none_is_named() {
        let of = |text: &str| backend(Some(Document::parse(text.to_owned()).unwrap().as_table()));
        assert_eq!(backend(None).unwrap().object, LEGACY);
        assert_eq!(of("[build-system]\nrequires = ['x']\n").unwrap().requires, ["x"]);
        let named =
            of("[build-system]\nrequires = []\nbuild-backend = 'a.b:c'\nbackend-path = ['.']\n").unwrap();
        assert_eq!((named.object.as_str(), named.path.len()), ("a.b:c", 1));
        for bad in ["requires = 1", "build-backend = 'x'", "requires = []\nbuild-backend = 'os; x'"] {
            assert!(of(&format!("[build-system]\n{bad}\n")).is_err(), "{bad}");
        }
    }
}
