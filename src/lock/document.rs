//! TOML with line numbers: what is missing or wrong is told with its place.

use std::ops::Range;

use toml_edit::{Array, Document, Item, Table, TableLike, Value};

use crate::model::Origin;

/// The most bytes that a lock may have.
pub(super) const MAX_SIZE: usize = 32 * 1024 * 1024;

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) line: Option<u32>,
    pub(super) reason: String,
}

pub(super) type Result<T> = std::result::Result<T, Problem>;

/// The text of a lock and its name, for error messages.
#[derive(Clone, Copy)]
pub(super) struct Source<'t> {
    pub(super) text: &'t str,
    pub(super) name: &'t str,
}

impl<'t> Source<'t> {
    /// Parses the text.
    pub(super) fn parse(self) -> Result<Document<&'t str>> {
        if self.text.len() > MAX_SIZE {
            return Err(Problem { line: None, reason: format!("it is larger than {MAX_SIZE} bytes") });
        }
        Document::parse(self.text).map_err(|error| self.problem(error.span(), error.message().trim()))
    }

    /// A problem at a place.
    pub(super) fn problem(self, span: Option<Range<usize>>, reason: impl Into<String>) -> Problem {
        let before = span.and_then(|span| self.text.get(..span.start));
        let line = before.map(|text| text.bytes().filter(|byte| *byte == b'\n').count() + 1);
        Problem { line: line.and_then(|line| u32::try_from(line).ok()), reason: reason.into() }
    }

    /// The place of a line.
    pub(super) fn origin(self, line: Option<u32>) -> Origin {
        Origin { file: self.name.to_owned(), line }
    }
}

/// A table at a place of a lock, with typed access to its values.
#[derive(Clone)]
pub(super) struct Node<'t> {
    source: Source<'t>,
    table: &'t dyn TableLike,
    span: Option<Range<usize>>,
}

impl<'t> Node<'t> {
    /// The whole document.
    pub(super) fn root(source: Source<'t>, table: &'t Table) -> Self {
        Self { source, table, span: Some(0..0) }
    }

    /// A problem with this table.
    pub(super) fn problem(&self, reason: impl Into<String>) -> Problem {
        self.source.problem(self.span.clone(), reason)
    }

    /// A problem with the value of a key.
    pub(super) fn problem_at(&self, key: &str, reason: impl Into<String>) -> Problem {
        let span = self.table.get(key).and_then(Item::span);
        self.source.problem(span.or_else(|| self.span.clone()), reason)
    }

    /// The line of this table.
    pub(super) fn line(&self) -> Option<u32> {
        self.problem("").line
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A string, if the key is there.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'t str>> {
        let Some(item) = self.table.get(key) else { return Ok(None) };
        item.as_str().map(Some).ok_or_else(|| self.problem_at(key, format!("`{key}` must be a string")))
    }

    /// A string that must be there.
    pub(super) fn required(&self, key: &str) -> Result<&'t str> {
        self.text(key)?.ok_or_else(|| self.problem(format!("`{key}` is missing")))
    }

    /// A value that is parsed from a string, if the key is there.
    pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        key: &str,
    ) -> Result<Option<T>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        text.parse().map(Some).map_err(|error: T::Err| {
            let error = error.to_string();
            let first = error.lines().next().unwrap_or_default();
            self.problem_at(key, format!("`{key}` is wrong: {first}"))
        })
    }

    /// A value that is parsed from a string that must be there.
    pub(super) fn required_parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        key: &str,
    ) -> Result<T> {
        self.parsed(key)?.ok_or_else(|| self.problem(format!("`{key}` is missing")))
    }

    /// A number that is not negative, if the key is there.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>> {
        let Some(item) = self.table.get(key) else { return Ok(None) };
        let number = item.as_integer().and_then(|number| u64::try_from(number).ok());
        number.map(Some).ok_or_else(|| self.problem_at(key, format!("`{key}` must be a number of bytes")))
    }

    /// A table, if the key is there.
    pub(super) fn table(&self, key: &str) -> Result<Option<Self>> {
        let Some(item) = self.table.get(key) else { return Ok(None) };
        let table =
            item.as_table_like().ok_or_else(|| self.problem_at(key, format!("`{key}` must be a table")))?;
        Ok(Some(Self { source: self.source, table, span: item.span().or_else(|| self.span.clone()) }))
    }

    /// The strings of an array; none if the key is not there.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<&'t str>> {
        let wrong = || self.problem_at(key, format!("`{key}` must be an array of strings"));
        let values = self.array(key)?.into_iter().flat_map(Array::iter);
        values.map(|value| value.as_str().ok_or_else(wrong)).collect()
    }

    /// The tables of an array; none if the key is not there.
    pub(super) fn tables(&self, key: &str) -> Result<Vec<Self>> {
        let child = |table: &'t dyn TableLike, span| Self { source: self.source, table, span };
        if let Some(tables) = self.table.get(key).and_then(Item::as_array_of_tables) {
            return Ok(tables.iter().map(|table| child(table, table.span())).collect());
        }
        let values = self.array(key)?.into_iter().flat_map(Array::iter);
        values
            .map(|value| match value {
                Value::InlineTable(table) => Ok(child(table, table.span())),
                _ => Err(self.problem_at(key, format!("`{key}` must be an array of tables"))),
            })
            .collect()
    }

    fn array(&self, key: &str) -> Result<Option<&'t Array>> {
        let Some(item) = self.table.get(key) else { return Ok(None) };
        item.as_array().map(Some).ok_or_else(|| self.problem_at(key, format!("`{key}` must be an array")))
    }
}
