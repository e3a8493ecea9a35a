//! Debian's control data: paragraphs of `Name: value` fields, the lines after the first indented.

use std::io::{self, BufRead};

/// The longest paragraph. Real ones have some kilobytes; the release file's longest field is not read by this.
const MAX_PARAGRAPH: usize = 4 << 20;

/// A paragraph: its fields in their order, the names as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Paragraph {
    fields: Vec<(String, String)>,
}

impl Paragraph {
    /// The first paragraph of a text.
    pub fn parse(text: &str) -> Option<Self> {
        Paragraphs::new(text.as_bytes()).next()?.ok()
    }

    /// A field's value; its lines after the first keep their indentation. Names are compared without regard to case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// Reads paragraphs one after another. Lines that are no control data are passed over.
pub(super) struct Paragraphs<R> {
    lines: R,
    ended: bool,
}

impl<R: BufRead> Paragraphs<R> {
    pub fn new(lines: R) -> Self {
        Self { lines, ended: false }
    }

    fn read(&mut self) -> io::Result<Option<Paragraph>> {
        let mut paragraph = Paragraph::default();
        let mut size = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let limit = (MAX_PARAGRAPH - size) as u64 + 1;
            let read = io::Read::take(&mut self.lines, limit).read_until(b'\n', &mut line)?;
            size += read;
            if size > MAX_PARAGRAPH {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a paragraph is too long"));
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if text.is_empty() {
                let found = !paragraph.fields.is_empty();
                if read == 0 {
                    self.ended = true;
                } else if !found {
                    size = 0;
                    continue;
                }
                return Ok(found.then_some(paragraph));
            }
            if text.starts_with([' ', '\t']) {
                if let Some((_, value)) = paragraph.fields.last_mut() {
                    value.push('\n');
                    value.push_str(text);
                }
            } else if let Some((name, value)) = text.split_once(':') {
                paragraph.fields.push((name.to_owned(), value.trim_start().to_owned()));
            }
        }
    }
}

impl<R: BufRead> Iterator for Paragraphs<R> {
    type Item = io::Result<Paragraph>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read();
        self.ended |= read.is_err();
        read.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_keep_their_fields() {
        let text = "\n\nPackage: a\nDescription: short\n long\n .\n\n\nPackage: b\nno field\n";
        let found: Vec<_> = Paragraphs::new(text.as_bytes()).map(Result::unwrap).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].get("description"), Some("short\n long\n ."));
        assert_eq!(found[1].fields().collect::<Vec<_>>(), [("Package", "b")]);
        let endless = format!("A: {}", "x".repeat(MAX_PARAGRAPH));
        assert!(Paragraphs::new(endless.as_bytes()).next().unwrap().is_err());
    }
}
