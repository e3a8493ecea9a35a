//! RECORD: the list of a distribution's files with their hashes and sizes (the "recording installed projects"
//! specification). It is CSV with three columns: path, `ALGORITHM=HASH`, size.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::zip::MAX_ENTRIES;
use crate::model::Digest;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The path, relative to the directory that holds `.dist-info`.
    pub path: String,
    /// The hash with its algorithm, as written; empty if there is none.
    pub hash: String,
    /// The size, if there is one.
    pub size: Option<u64>,
}

impl Row {
    /// The row of a file with these bytes.
    pub fn of(path: String, bytes: &[u8]) -> Self {
        Self::with_digest(path, &Digest::of(bytes), bytes.len() as u64)
    }

    /// The row of a file with this hash and size.
    pub fn with_digest(path: String, sha256: &Digest, size: u64) -> Self {
        let hash = format!("sha256={}", URL_SAFE_NO_PAD.encode(sha256.as_bytes()));
        Self { path, hash, size: Some(size) }
    }

    /// The SHA-256 that the row states. Other algorithms are not in use any more and are not checked.
    pub fn sha256(&self) -> Result<Option<Digest>, &'static str> {
        let Some(text) = self.hash.strip_prefix("sha256=") else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
        let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Digest::from_bytes).map(Some).ok_or("RECORD has a hash that is not one")
    }
}

/// Reads RECORD.
pub(super) fn parse(text: &str) -> Result<Vec<Row>, &'static str> {
    let mut rows = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let (fields, tail) = parse_line(rest)?;
        rest = tail;
        match fields {
            None => {}
            Some([path, ..]) if path.is_empty() => return Err("RECORD has a line without a path"),
            Some(_) if rows.len() as u64 == MAX_ENTRIES => return Err("RECORD has too many lines"),
            Some([path, hash, size]) => {
                let size = match size.as_str() {
                    "" => None,
                    digits => Some(digits.parse().map_err(|_| "RECORD has a size that is no number")?),
                };
                let path = path.strip_prefix("./").map(str::to_owned).unwrap_or(path);
                rows.push(Row { path, hash, size });
            }
        }
    }
    Ok(rows)
}

/// Takes one line of three fields off `text`; no fields for an empty line.
fn parse_line(text: &str) -> Result<(Option<[String; 3]>, &str), &'static str> {
    let mut fields: [String; 3] = Default::default();
    let mut rest = text;
    for (number, field) in fields.iter_mut().enumerate() {
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted;
            loop {
                let end = rest.find('"').ok_or("RECORD has an open quote")?;
                field.push_str(&rest[..end]);
                rest = &rest[end + 1..];
                let Some(more) = rest.strip_prefix('"') else { break };
                field.push('"');
                rest = more;
            }
        } else {
            let end = rest.find([',', '\n', '\r']).unwrap_or(rest.len());
            field.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        let last = number == 2;
        if let Some(tail) = rest.strip_prefix(',').filter(|_| !last) {
            rest = tail;
            continue;
        }
        let tail = match rest.find(|c| c != '\r').map(|at| rest[at..].strip_prefix('\n')) {
            Some(Some(tail)) => tail,
            None => "",
            Some(None) => return Err("RECORD has a line that does not have three columns"),
        };
        return match number {
            2 => Ok((Some(fields), tail)),
            0 if field.is_empty() => Ok((None, tail)),
            _ => Err("RECORD has a line that does not have three columns"),
        };
    }
    Err("RECORD has a line that does not have three columns")
}

/// Writes RECORD: sorted by path, fields quoted only where they must be.
pub fn write(rows: &mut [Row]) -> String {
    rows.sort();
    let mut text = String::new();
    for row in rows {
        for field in [&row.path, &row.hash] {
            if field.contains([',', '"', '\n', '\r']) {
                let _ = write!(text, "\"{}\",", field.replace('"', "\"\""));
            } else {
                let _ = write!(text, "{field},");
            }
        }
        if let Some(size) = row.size {
            let _ = write!(text, "{size}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &str, hash: &str, size: Option<u64>) -> Row {
        Row { path: path.to_owned(), hash: hash.to_owned(), size }
    }

    #[test]
    fn rows_with_commas_quotes_and_either_line_end_are_read_and_written() {
        let text = "b.py,sha256=x,3\r\n\n\"a,\"\"b\"\".py\",sha256=y,4\n./c.py,,\nd-1.dist-info/RECORD,,";
        let mut rows = parse(text).unwrap();
        assert_eq!(
            rows,
            [
                row("b.py", "sha256=x", Some(3)),
                row("a,\"b\".py", "sha256=y", Some(4)),
                row("c.py", "", None),
                row("d-1.dist-info/RECORD", "", None),
            ]
        );
        assert_eq!(
            write(&mut rows),
            "\"a,\"\"b\"\".py\",sha256=y,4\nb.py,sha256=x,3\nc.py,,\nd-1.dist-info/RECORD,,\n"
        );
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bad in ["a", "a,b", "a,b,x", "a,b,1,2", "\"a,b,1", "\"a\"b,c,1", "a,b,-1", ",,"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hash_is_32_bytes_in_url_safe_base64() {
        let row = Row::of("a".to_owned(), b"abc");
        assert_eq!(row.hash, "sha256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
        assert_eq!(row.sha256(), Ok(Some(Digest::of(b"abc"))));
        assert!(Row { hash: "sha256=abc".to_owned(), ..row }.sha256().is_err());
    }
}
