//! TOML files whose values know their lines.

use toml_edit::{Array, Document, Item, TableLike, Value};

use super::Error;
use super::source::Lines;
use crate::model::Origin;

/// A parsed TOML file.
pub(super) struct Toml {
    file: String,
    lines: Lines,
    document: Document<String>,
}

impl Toml {
    pub fn parse(file: &str, text: String) -> Result<Self, Error> {
        let lines = Lines::new(&text);
        match Document::parse(text) {
            Ok(document) => Ok(Self { file: file.to_owned(), lines, document }),
            Err(error) => {
                let line = error.span().map_or(1, |span| lines.at(span.start));
                let problem = error.message().trim().replace('\n', ", ");
                Err(Error::Syntax { origin: Origin::line(file, line), language: "TOML", problem })
            }
        }
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The whole document, a table.
    pub fn root(&self) -> &Item {
        self.document.as_item()
    }

    /// The value at a path of keys.
    pub fn get(&self, path: &[&str]) -> Option<&Item> {
        path.iter().try_fold(self.document.as_item(), |item, key| item.as_table_like()?.get(key))
    }

    /// Where the value at a path of keys is; the file where there is none.
    pub fn origin(&self, path: &[&str]) -> Origin {
        // A key's line says more than its value's; a table made from dotted keys has none of its own.
        let key = path.split_last().and_then(|(last, parents)| {
            let table = self.get(parents)?.as_table_like()?;
            table.get_key_value(last).and_then(|(key, item)| item.span().or_else(|| key.span()))
        });
        self.at(key)
    }

    /// The origin of a span.
    pub fn at(&self, span: Option<std::ops::Range<usize>>) -> Origin {
        match span {
            Some(span) => Origin::line(&self.file, self.lines.at(span.start)),
            None => Origin::file(&self.file),
        }
    }

    fn wrong(&self, path: &[&str], expected: &str) -> Error {
        Error::invalid(self.origin(path), format!("`{}` must be {expected}", path.join(".")))
    }

    pub fn string(&self, path: &[&str]) -> Result<Option<(&str, Origin)>, Error> {
        self.get(path)
            .map(|item| {
                let text = item.as_str().ok_or_else(|| self.wrong(path, "a string"))?;
                Ok((text, self.origin(path)))
            })
            .transpose()
    }

    pub fn bool(&self, path: &[&str]) -> Result<Option<bool>, Error> {
        self.get(path).map(|item| item.as_bool().ok_or_else(|| self.wrong(path, "true or false"))).transpose()
    }

    pub fn table(&self, path: &[&str]) -> Result<Option<&dyn TableLike>, Error> {
        self.get(path).map(|item| item.as_table_like().ok_or_else(|| self.wrong(path, "a table"))).transpose()
    }

    /// An array of strings, each with its own line; `None` if there is none.
    pub fn strings(&self, path: &[&str]) -> Result<Option<Vec<(&str, Origin)>>, Error> {
        let Some(item) = self.get(path) else { return Ok(None) };
        let wrong = || self.wrong(path, "an array of strings");
        let array: &Array = item.as_array().ok_or_else(wrong)?;
        let strings = array.iter().map(|value: &Value| {
            let origin = self.at(value.span());
            match value.as_str() {
                Some(text) => Ok((text, origin)),
                None => Err(Error::invalid(origin, format!("`{}` must hold strings only", path.join(".")))),
            }
        });
        strings.collect::<Result<_, _>>().map(Some)
    }

    /// A table of strings, in order, each with its line; empty if there is none.
    pub fn string_table(&self, path: &[&str]) -> Result<Vec<(&str, &str, Origin)>, Error> {
        let Some(table) = self.table(path)? else { return Ok(Vec::new()) };
        let entries = table.iter().map(|(key, item)| {
            let origin = self.at(item.span());
            match item.as_str() {
                Some(text) => Ok((key, text, origin)),
                None => Err(Error::invalid(origin, format!("`{}.{key}` must be a string", path.join(".")))),
            }
        });
        entries.collect()
    }
}

/// The tables of an array, however it is written, or the one table.
pub(super) fn tables<'t>(toml: &'t Toml, path: &[&str]) -> Vec<(&'t dyn TableLike, Origin)> {
    match toml.get(path) {
        None => Vec::new(),
        Some(Item::ArrayOfTables(tables)) => {
            tables.iter().map(|table| (table as &dyn TableLike, toml.at(table.span()))).collect()
        }
        Some(item) => {
            if let Some(table) = item.as_table_like() {
                return vec![(table, toml.origin(path))];
            }
            let entries = item.as_array().into_iter().flatten();
            let entries = entries.filter_map(|value| Some((value.as_inline_table()?, toml.at(value.span()))));
            entries.map(|(table, origin)| (table as &dyn TableLike, origin)).collect()
        }
    }
}
