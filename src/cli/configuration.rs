//! Configuration files of pip (`pip.conf`) and uv (`uv.toml`) of the machine, the user and the virtual environment, as far
//! as they say where distributions come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item};
use url::Url;

use super::resolving::{is_true, links, variable, words};
use crate::bake::Sources;

/// The most bytes of a configuration file.
const LARGEST: u64 = 1 << 20;

/// What the files say, and a file of certificates that they name.
pub fn read() -> Result<(Sources, Option<PathBuf>), String> {
    let mut pip = BTreeMap::new();
    for file in pip_files() {
        if let Some(text) = text(&file) {
            // What is read later goes before.
            pip.extend(pip_settings(&text).into_iter().map(|(key, value)| (key, (value, file.clone()))));
        }
    }
    let mut sources = Sources::default();
    let certificate = of_pip(&pip, &mut sources)?;
    if variable("UV_NO_CONFIG").is_none_or(|value| !is_true(&value)) {
        for file in uv_files() {
            if let Some(text) = text(&file) {
                of_uv(&file, text, &mut sources)?;
            }
        }
    }
    Ok((sources, certificate))
}

/// pip's files, in the order in which it reads them.
fn pip_files() -> Vec<PathBuf> {
    let named = variable("PIP_CONFIG_FILE").map(PathBuf::from);
    if named.as_deref() == Some(Path::new("/dev/null")) {
        return Vec::new();
    }
    let global = variable("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".to_owned());
    let mut files: Vec<PathBuf> =
        global.split(':').map(|folder| Path::new(folder).join("pip/pip.conf")).collect();
    files.push("/etc/pip.conf".into());
    // As with pip, a file that is named takes the place of the user's own.
    if !named.as_ref().is_some_and(|file| file.exists()) {
        files.extend(variable("HOME").map(|home| Path::new(&home).join(".pip/pip.conf")));
        files.extend(user_folder().map(|folder| folder.join("pip/pip.conf")));
    }
    files.extend(variable("VIRTUAL_ENV").map(|environment| Path::new(&environment).join("pip.conf")));
    files.extend(named);
    files
}

/// uv's files; the first that says a thing counts.
fn uv_files() -> Vec<PathBuf> {
    if let Some(file) = variable("UV_CONFIG_FILE") {
        return vec![file.into()];
    }
    let mut files: Vec<PathBuf> = user_folder().map(|folder| folder.join("uv/uv.toml")).into_iter().collect();
    let global = variable("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".to_owned());
    files.extend(global.split(':').map(|folder| Path::new(folder).join("uv/uv.toml")));
    files.push("/etc/uv/uv.toml".into());
    files
}

fn user_folder() -> Option<PathBuf> {
    let home = || variable("HOME").map(|home| Path::new(&home).join(".config"));
    variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home)
}

/// The text of a file. One that is not there, or is none that could be read, says nothing.
fn text(path: &Path) -> Option<String> {
    let is_small =
        std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST);
    is_small.then(|| std::fs::read_to_string(path).ok())?
}

/// The values of a `pip.conf` that count for an installation: those of `[install]` go before those of `[global]`.
fn pip_settings(text: &str) -> BTreeMap<String, String> {
    let (mut global, mut install) = (BTreeMap::new(), BTreeMap::new());
    let mut none = BTreeMap::new();
    let mut section: &mut BTreeMap<String, String> = &mut none;
    let mut last: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            last = None;
            section = match name {
                "global" => &mut global,
                "install" => &mut install,
                _ => &mut none,
            };
        } else if line.starts_with([' ', '\t']) && last.is_some() {
            // A value goes on in lines that are indented.
            if let Some(value) = last.as_ref().and_then(|key| section.get_mut(key)) {
                value.push('\n');
                value.push_str(trimmed);
            }
        } else if let Some((key, value)) = trimmed.split_once(['=', ':']) {
            let key = key.trim().to_ascii_lowercase().replace('_', "-");
            section.insert(key.clone(), value.trim().to_owned());
            last = Some(key);
        }
    }
    global.extend(install);
    global
}

/// Takes over pip's settings.
fn of_pip(
    pip: &BTreeMap<String, (String, PathBuf)>,
    sources: &mut Sources,
) -> Result<Option<PathBuf>, String> {
    let all = |key: &str| pip.get(key).map(|(value, file)| (words(value), file)).into_iter();
    // A message does not repeat the value: it may hold a password.
    let url = |text: &str, key: &str, file: &Path| {
        text.parse::<Url>().map_err(|error| format!("{}: {key}: {error}", file.display()))
    };
    for (words, file) in all("index-url") {
        sources.index_url = words.first().map(|text| url(text, "index-url", file)).transpose()?;
    }
    for (words, file) in all("extra-index-url") {
        for text in &words {
            sources.extra_index_urls.push(url(text, "extra-index-url", file)?);
        }
    }
    for (words, file) in all("find-links") {
        for text in &words {
            let found = links(text).map_err(|message| format!("{}: {message}", file.display()))?;
            sources.find_links.push(found);
        }
    }
    let flag = |key: &str| pip.get(key).is_some_and(|(value, _)| is_true(value));
    sources.no_index = flag("no-index");
    sources.pre = flag("pre");
    sources.keyring = pip.get("keyring-provider").map(|(value, _)| value == "subprocess");
    Ok(pip.get("cert").map(|(value, _)| PathBuf::from(value)))
}

/// Takes over what a `uv.toml` says and nothing before it.
fn of_uv(file: &Path, text: String, sources: &mut Sources) -> Result<(), String> {
    let wrong = |what: &str| format!("{}: {what}", file.display());
    let document = Document::parse(text).map_err(|error| wrong(error.message().trim()))?;
    let root = document.as_table();
    let url =
        |text: &str| text.parse::<Url>().map_err(|error| wrong(&format!("the URL of an index: {error}")));
    let texts = |key: &str| -> Vec<String> {
        let array = root.get(key).and_then(Item::as_array).into_iter().flatten();
        array.filter_map(|value| value.as_str()).map(str::to_owned).collect()
    };
    let string = |key: &str| root.get(key).and_then(Item::as_str);
    let (mut main, mut extra) = (string("index-url").map(url).transpose()?, Vec::new());
    for text in texts("extra-index-url") {
        extra.push(url(&text)?);
    }
    for table in root.get("index").and_then(Item::as_array_of_tables).into_iter().flatten() {
        let flag = |key: &str| table.get(key).and_then(Item::as_bool) == Some(true);
        let Some(address) = table.get("url").and_then(Item::as_str) else { continue };
        if flag("default") {
            main = Some(url(address)?);
        } else if !flag("explicit") {
            extra.push(url(address)?);
        }
    }
    sources.index_url = sources.index_url.take().or(main);
    if sources.extra_index_urls.is_empty() {
        sources.extra_index_urls = extra;
    }
    if sources.find_links.is_empty() {
        sources.find_links = texts("find-links").iter().map(|text| links(text)).collect::<Result<_, _>>()?;
    }
    sources.no_index |= root.get("no-index").and_then(Item::as_bool) == Some(true);
    if sources.strategy.is_none() {
        let read = string("index-strategy").map(str::parse).transpose();
        sources.strategy = read.map_err(|error: crate::index::StrategyError| wrong(&error.to_string()))?;
    }
    sources.keyring = sources.keyring.or(string("keyring-provider").map(|provider| provider == "subprocess"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pip_conf_is_read_as_pip_reads_it() {
        let read = pip_settings(
            "; comment\nstray = 1\n[global]\nindex-url = https://a.example/simple\nextra_index_url =\n    https://b.example\n\
             \n    # why\n\thttps://c.example\n[install]\nindex-url: https://d.example/simple\n[freeze]\nno-index = true\n",
        );
        assert_eq!(read["index-url"], "https://d.example/simple");
        assert_eq!(words(&read["extra-index-url"]), ["https://b.example", "https://c.example"]);
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn what_pip_says_goes_before_what_uv_says() {
        let file = Path::new("uv.toml");
        let mut sources = Sources { index_url: "https://a.example/".parse().ok(), ..Sources::default() };
        let text = "index-strategy = 'unsafe-best-match'\nkeyring-provider = 'subprocess'\n\
                    [[index]]\nurl = 'https://b.example/'\ndefault = true\n[[index]]\nurl = 'https://c.example/'\n\
                    [[index]]\nurl = 'https://d.example/'\nexplicit = true\n";
        of_uv(file, text.to_owned(), &mut sources).unwrap();
        assert_eq!(sources.index_url.unwrap().host_str(), Some("a.example"));
        let extra: Vec<_> = sources.extra_index_urls.iter().filter_map(Url::host_str).collect();
        assert_eq!((extra, sources.keyring), (vec!["c.example"], Some(true)));
        let error = of_uv(file, "index-url = 'https://u:s3cret@h:x/'".to_owned(), &mut Sources::default());
        assert!(error.is_err_and(|message| !message.contains("s3cret")));
    }
}
