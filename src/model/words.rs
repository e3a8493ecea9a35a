//! Words of a line, split as a POSIX shell splits them.

/// Splits `text` at white space, honouring quotes and backslashes. `None` if a quote is not closed or a backslash ends
/// the text.
pub fn split_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\\' => match chars.next()? {
                '\n' => {}
                escaped => word.get_or_insert_default().push(escaped),
            },
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            '\n' => {}
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_as_in_a_shell() {
        let words = |text| split_words(text).unwrap();
        assert_eq!(words("  a  b\tc "), ["a", "b", "c"]);
        assert_eq!(words(r#"x'a b'"c d"\ e '' "#), ["xa bc d e", ""]);
        assert_eq!(words(r#""\"\n\$" '\"'"#), [r#""\n$"#, r#"\""#]);
        assert_eq!(words(""), [""; 0]);
        for open in ["'a", "\"a", "a\\", r#""a\"#] {
            assert_eq!(split_words(open), None, "{open}");
        }
    }
}
