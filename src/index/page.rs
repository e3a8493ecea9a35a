//! The pages of the Simple API: JSON (PEP 691, PEP 700) and HTML (PEP 503, PEP 592, PEP 658, PEP 714).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::packed::Listed;
use super::releases::CoreMetadata;
use crate::model::Digest;

/// What is asked for: JSON best, the index's own HTML next, any HTML at last.
pub(super) const ACCEPT: &str =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";

/// Reads a project's page. `url` is where it came from in the end; URLs in it are relative to that. The error says
/// what the answer is instead of a page.
pub(super) fn read<'b>(content_type: &str, body: &'b [u8], url: &Url) -> Result<Vec<Listed<'b>>, String> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/vnd.pypi.simple.v1+json"
        | "application/vnd.pypi.simple.latest+json"
        | "application/json" => json(body, url),
        "application/vnd.pypi.simple.v1+html" | "application/vnd.pypi.simple.latest+html" | "text/html" => {
            html(body, url)
        }
        "" => Err("it has no content type".to_owned()),
        other => Err(format!("it is `{}`", other.chars().take(80).collect::<String>())),
    }
}

/// Reads a page with links to files of any package.
pub(super) fn read_links<'b>(
    content_type: &str,
    body: &'b [u8],
    url: &Url,
) -> Result<Vec<Listed<'b>>, String> {
    match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "text/html" => Ok(html_page(body, url)?.listed),
        _ => read(content_type, body, url),
    }
}

#[derive(Deserialize)]
struct JsonPage<'a> {
    #[serde(default)]
    meta: Meta,
    #[serde(borrow)]
    files: Vec<JsonFile<'a>>,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(rename = "api-version", default)]
    api_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonFile<'a> {
    #[serde(borrow)]
    filename: Text<'a>,
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow, default)]
    hashes: Hashes<'a>,
    #[serde(borrow, default)]
    requires_python: Option<Text<'a>>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(borrow, default)]
    upload_time: Option<Text<'a>>,
    #[serde(borrow, default)]
    yanked: Option<Flag<Text<'a>>>,
    /// The name of PEP 714, then the one that it replaces.
    #[serde(borrow, default)]
    core_metadata: Option<Flag<Hashes<'a>>>,
    #[serde(borrow, default)]
    dist_info_metadata: Option<Flag<Hashes<'a>>>,
}

/// A text that is borrowed from the page unless it has escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// `true` and `false`, or more about what is true.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag<T> {
    Plain(bool),
    With(T),
}

#[derive(Deserialize, Default)]
struct Hashes<'a> {
    #[serde(borrow, default)]
    sha256: Option<Text<'a>>,
}

impl Hashes<'_> {
    fn digest(&self) -> Option<Digest> {
        Digest::from_hex(&self.sha256.as_ref()?.0).ok()
    }
}

fn json<'b>(body: &'b [u8], base: &Url) -> Result<Vec<Listed<'b>>, String> {
    let page: JsonPage<'_> =
        serde_json::from_slice(body).map_err(|error| format!("its JSON has another shape: {error}"))?;
    if let Some(version) = page.meta.api_version.filter(|version| !version.starts_with("1.")) {
        return Err(format!("its API version is {}", version.chars().take(20).collect::<String>()));
    }
    let listed = page.files.into_iter().filter_map(|file| {
        let url = if is_plain(&file.url.0) { file.url.0 } else { Cow::Owned(resolve(base, &file.url.0)?.0) };
        let core_metadata = match file.core_metadata.or(file.dist_info_metadata) {
            None | Some(Flag::Plain(false)) => CoreMetadata::Absent,
            Some(Flag::Plain(true)) => CoreMetadata::Offered,
            Some(Flag::With(hashes)) => hashes.digest().map_or(CoreMetadata::Offered, CoreMetadata::Hashed),
        };
        Some(Listed {
            file_name: file.filename.0,
            url,
            sha256: file.hashes.digest(),
            size: file.size,
            requires_python: file.requires_python.map(|text| text.0),
            yanked: match file.yanked {
                None | Some(Flag::Plain(false)) => None,
                Some(Flag::Plain(true)) => Some(Cow::Borrowed("")),
                Some(Flag::With(reason)) => Some(reason.0),
            },
            upload_time: file.upload_time.map(|text| text.0),
            core_metadata,
        })
    });
    Ok(listed.collect())
}

/// What is gathered while a page's HTML passes by.
#[derive(Default)]
struct HtmlPage {
    /// The tag that is open, and its attributes so far.
    tag: Vec<u8>,
    attributes: HashMap<Vec<u8>, Vec<u8>>,
    attribute: Vec<u8>,
    /// The first `<base href>`, made absolute.
    base: Option<Url>,
    listed: Vec<Listed<'static>>,
    /// Whether it says that it is an index (PEP 629).
    declared: bool,
    /// Whether it has links or forms that no index page has.
    foreign: bool,
    wrong_version: Option<String>,
}

impl HtmlPage {
    fn event(&mut self, event: CallbackEvent<'_>, url: &Url) {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag = name.to_ascii_lowercase();
                self.attributes.clear();
                self.attribute.clear();
            }
            CallbackEvent::AttributeName { name } => {
                self.attribute = name.to_ascii_lowercase();
                self.attributes.entry(self.attribute.clone()).or_default();
            }
            CallbackEvent::AttributeValue { value } => {
                if let Some(attribute) = self.attributes.get_mut(&self.attribute) {
                    attribute.extend_from_slice(value);
                }
            }
            CallbackEvent::CloseStartTag { .. } => self.start_tag(url),
            _ => {}
        }
    }

    fn text(&self, attribute: &str) -> Option<String> {
        Some(String::from_utf8_lossy(self.attributes.get(attribute.as_bytes())?).trim().to_owned())
    }

    fn start_tag(&mut self, url: &Url) {
        match self.tag.as_slice() {
            b"base" if self.base.is_none() => {
                self.base = self.text("href").and_then(|href| url.join(&href).ok())
            }
            b"meta" if self.text("name").as_deref() == Some("pypi:repository-version") => {
                self.declared = true;
                self.wrong_version = self.text("content").filter(|version| !version.starts_with("1."));
            }
            b"form" => self.foreign = true,
            b"a" => match self.anchor(url) {
                Some(listed) => self.listed.push(listed),
                None => self.foreign = true,
            },
            _ => {}
        }
    }

    fn anchor(&self, url: &Url) -> Option<Listed<'static>> {
        let (url, fragment) = resolve(self.base.as_ref().unwrap_or(url), &self.text("href")?)?;
        let path = url.split('?').next().unwrap_or_default();
        let file_name = percent_decode_str(path.rsplit('/').next()?).decode_utf8().ok()?.into_owned();
        // Eggs and installers stand on old pages; they are links of an index all the same.
        const KNOWN: [&str; 11] =
            [".whl", ".gz", ".zip", ".tgz", ".bz2", ".xz", ".egg", ".exe", ".msi", ".rpm", ".Z"];
        if !KNOWN.iter().any(|extension| file_name.ends_with(extension)) {
            return None;
        }
        let core_metadata = self.text("data-core-metadata").or_else(|| self.text("data-dist-info-metadata"));
        Some(Listed {
            file_name: file_name.into(),
            url: url.into(),
            sha256: fragment.as_deref().and_then(sha256_of_fragment),
            size: None,
            requires_python: self.text("data-requires-python").map(Cow::Owned),
            yanked: self.text("data-yanked").map(Cow::Owned),
            upload_time: None,
            core_metadata: match core_metadata.as_deref() {
                None | Some("" | "false") => CoreMetadata::Absent,
                Some(value) => value
                    .strip_prefix("sha256=")
                    .and_then(|hex| Digest::from_hex(hex).ok())
                    .map_or(CoreMetadata::Offered, CoreMetadata::Hashed),
            },
        })
    }
}

fn html(body: &[u8], url: &Url) -> Result<Vec<Listed<'static>>, String> {
    let page = html_page(body, url)?;
    // Any page may call itself HTML. One with links of which none is a distribution is something else.
    if page.listed.is_empty() && page.foreign && !page.declared {
        return Err("it is HTML without any distribution".to_owned());
    }
    Ok(page.listed)
}

fn html_page(body: &[u8], url: &Url) -> Result<HtmlPage, String> {
    let mut page = HtmlPage::default();
    let emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| -> Option<()> {
        page.event(event, url);
        None
    });
    for outcome in Tokenizer::new_with_emitter(body, emitter) {
        match outcome {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }
    if let Some(version) = page.wrong_version {
        return Err(format!("its API version is {}", version.chars().take(20).collect::<String>()));
    }
    Ok(page)
}

/// Whether a link is absolute already, and as it is to be kept: most are, and need not be taken apart to see it.
fn is_plain(link: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%+!:".contains(&byte);
    link.strip_prefix("https://").is_some_and(|rest| rest.bytes().all(plain) && !rest.contains("/."))
}

/// A link made absolute, without user, password and fragment; and its fragment.
fn resolve(base: &Url, link: &str) -> Option<(String, Option<String>)> {
    let mut url = base.join(link.trim()).ok()?;
    let fragment = url.fragment().map(str::to_owned);
    url.set_fragment(None);
    strip_credentials(&mut url);
    Some((url.into(), fragment))
}

/// Takes user and password out of a URL.
pub(super) fn strip_credentials(url: &mut Url) {
    // Fails only for URLs that can have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

/// The hash in a fragment such as `sha256=HEX&egg=name`.
pub(super) fn sha256_of_fragment(fragment: &str) -> Option<Digest> {
    fragment.split('&').find_map(|part| Digest::from_hex(part.strip_prefix("sha256=")?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: &str = "text/html; charset=utf-8";
    const JSON: &str = "application/vnd.pypi.simple.v1+json";

    fn page<'b>(content_type: &str, body: &'b str) -> Result<Vec<Listed<'b>>, String> {
        read(content_type, body.as_bytes(), &Url::parse("https://index.example/simple/foo/").unwrap())
    }

    #[test]
    fn html_and_json_say_the_same() {
        let hex = Digest::of(b"x").hex();
        let html = format!(
            r#"<!DOCTYPE html><html><head><base href="../../files/"></head><body><h1>foo</h1>
                <A data-yanked="it &lt;broke&gt;" data-requires-python="&gt;=3.8" data-core-metadata="sha256={hex}"
                   href='foo-1.0%2Blocal-py3-none-any.whl#sha256={hex}'>foo</A>
                <a href="https://user:pass@cdn.example/foo-2.tar.gz#md5=00" data-yanked>foo</a>"#
        );
        let json = format!(
            r#"{{"meta": {{"api-version": "1.1"}}, "name": "foo", "unknown": [{{}}], "files": [
                {{"filename": "foo-1.0+local-py3-none-any.whl", "url": "/files/foo-1.0%2Blocal-py3-none-any.whl",
                  "hashes": {{"sha256": "{hex}", "md5": "0"}}, "yanked": "it <broke>", "requires-python": ">=3.8",
                  "dist-info-metadata": {{"sha256": "{hex}"}}}},
                {{"filename": "foo-2.tar.gz", "url": "https://cdn.example/foo-2.tar.gz", "hashes": {{}}, "yanked": true,
                  "requires-python": null}}]}}"#
        );
        let (html, json) = (page(HTML, &html).unwrap(), page(JSON, &json).unwrap());
        assert_eq!(html, json);
        assert_eq!(html[0].url, "https://index.example/files/foo-1.0%2Blocal-py3-none-any.whl");
    }

    #[test]
    fn what_is_no_page_of_an_index_is_told() {
        for (content_type, body, reason) in [
            (HTML, "<form action=/login><input name=user></form>", "without any distribution"),
            (HTML, "<a href=/>home</a> <a href=/about>about</a>", "without any distribution"),
            (HTML, "<meta name='pypi:repository-version' content='2.0'>", "API version is 2.0"),
            (JSON, r#"{"meta": {"api-version": "2.0"}, "files": []}"#, "API version is 2.0"),
            (JSON, r#"{"message": "hello"}"#, "another shape"),
            (JSON, "[", "another shape"),
            ("application/octet-stream", "", "application/octet-stream"),
            ("", "", "no content type"),
        ] {
            let error = page(content_type, body).unwrap_err();
            assert!(error.contains(reason), "{body}: {error}");
        }
    }

    #[test]
    fn a_project_may_have_no_files() {
        assert_eq!(page(HTML, "<!DOCTYPE html><html><body><h1>Links for foo</h1></body></html>"), Ok(vec![]));
        assert_eq!(page(JSON, r#"{"meta": {"api-version": "1.0"}, "name": "foo", "files": []}"#), Ok(vec![]));
    }
}
