//! Patterns of `.dockerignore`, by Docker's own rules, of which some are not those of a shell: `**b` is any path that ends
//! with `b`, `a**b` may cross directories, and in brackets only `^` negates.

/// A pattern for whole paths.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Glob {
    /// This path.
    Exact(String),
    /// `a**`: every path that begins so.
    Prefix(String),
    /// `**b`: every path that ends so; `**/b` is also `b`.
    Suffix(String),
    Tokens(Vec<Token>),
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Char(char),
    /// `?`: anything but a slash.
    One,
    /// `*`: any number of them.
    Many,
    /// `**` at the end: anything.
    Rest,
    /// `**` elsewhere: nothing, or anything up to a slash. The first of two: the second is what is read on the way.
    Enter,
    Inside,
    /// `[…]`: ranges, and whether they are what must not be.
    Class(Vec<(char, char)>, bool),
}

impl Glob {
    /// Reads a pattern whose path is clean; `None` if Docker refuses it.
    pub fn parse(pattern: &str) -> Option<Self> {
        let chars: Vec<char> = pattern.chars().collect();
        let (mut tokens, mut at) = (Vec::new(), 0);
        // Without wildcards, or with nothing but `**` at one end, the text alone counts.
        let (mut is_plain, mut is_suffix) = (true, false);
        while let Some(&c) = chars.get(at) {
            at += 1;
            match c {
                '*' if chars.get(at) == Some(&'*') => {
                    let first = at == 1;
                    at += 1;
                    at += usize::from(chars.get(at) == Some(&'/'));
                    if at < chars.len() {
                        tokens.extend([Token::Enter, Token::Inside]);
                        is_plain = false;
                    } else if is_plain && !is_suffix && !first {
                        return Some(Self::Prefix(chars[..chars.len() - 2].iter().collect()));
                    } else {
                        tokens.push(Token::Rest);
                        is_plain = false;
                    }
                    if first {
                        (is_plain, is_suffix) = (true, true);
                    }
                    continue;
                }
                '*' => tokens.push(Token::Many),
                '?' => tokens.push(Token::One),
                '\\' => {
                    tokens.push(Token::Char(*chars.get(at)?));
                    at += 1;
                }
                '[' => tokens.push(class(&chars, &mut at)?),
                c => {
                    tokens.push(Token::Char(c));
                    continue;
                }
            }
            is_plain = false;
        }
        Some(match (is_plain, is_suffix) {
            (true, true) => Self::Suffix(pattern.strip_prefix("**").unwrap_or(pattern).to_owned()),
            (true, false) => Self::Exact(pattern.to_owned()),
            (false, _) => Self::Tokens(tokens),
        })
    }

    /// Whether a path matches, all of it.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(text) => path == text,
            Self::Prefix(start) => path.starts_with(start),
            Self::Suffix(end) => path.ends_with(end) || end.strip_prefix('/') == Some(path),
            Self::Tokens(tokens) => tokens_match(tokens, path),
        }
    }
}

/// A class whose first character after the bracket is at `at`, which is put behind it.
fn class(chars: &[char], at: &mut usize) -> Option<Token> {
    let negated = chars.get(*at) == Some(&'^');
    *at += usize::from(negated);
    let mut ranges = Vec::new();
    let next = |at: &mut usize| -> Option<char> {
        let escaped = chars.get(*at) == Some(&'\\');
        *at += usize::from(escaped);
        let c = *chars.get(*at)?;
        *at += 1;
        Some(c)
    };
    while chars.get(*at) != Some(&']') || ranges.is_empty() {
        let first = next(at)?;
        let mut last = first;
        if chars.get(*at) == Some(&'-') && chars.get(*at + 1).is_some_and(|c| *c != ']') {
            *at += 1;
            last = next(at)?;
        }
        if last < first {
            return None;
        }
        ranges.push((first, last));
    }
    *at += 1;
    Some(Token::Class(ranges, negated))
}

/// Follows all ways through the pattern at once, so that no pattern takes long.
fn tokens_match(tokens: &[Token], path: &str) -> bool {
    let mut now = vec![false; tokens.len() + 1];
    reach(tokens, &mut now, 0);
    for c in path.chars() {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate().filter(|(at, _)| now[*at]) {
            match token {
                Token::Char(expected) if c == *expected => reach(tokens, &mut next, at + 1),
                Token::One if c != '/' => reach(tokens, &mut next, at + 1),
                Token::Many if c != '/' => reach(tokens, &mut next, at),
                Token::Rest => reach(tokens, &mut next, at),
                Token::Inside => {
                    next[at] = true;
                    if c == '/' {
                        reach(tokens, &mut next, at + 1);
                    }
                }
                Token::Class(ranges, negated)
                    if ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *negated =>
                {
                    reach(tokens, &mut next, at + 1);
                }
                _ => {}
            }
        }
        now = next;
    }
    now[tokens.len()]
}

/// Notes a place in the pattern, and those that follow from it without reading anything.
fn reach(tokens: &[Token], places: &mut [bool], mut at: usize) {
    loop {
        if std::mem::replace(&mut places[at], true) {
            return;
        }
        match tokens.get(at) {
            Some(Token::Many | Token::Rest) => at += 1,
            Some(Token::Enter) => {
                places[at + 1] = true;
                at += 2;
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_docker_has_it() {
        for (pattern, yes, no) in [
            ("a/b", &["a/b"][..], &["a", "a/b/c", "x/a/b"][..]),
            ("*.md", &["README.md", ".md"], &["a/README.md", "x.mdx"]),
            ("*/temp*", &["a/temp", "a/temporary"], &["temp", "a/b/temp", "a/temp/x"]),
            ("temp?", &["tempa"], &["temp", "tempab", "temp/"]),
            ("**", &["a", "a/b"], &[]),
            ("**/b", &["b", "a/b", "a/c/b"], &["ab", "b/c"]),
            ("**b", &["b", "ab", "a/xb"], &["b/c"]),
            ("**/*.py", &["x.py", "a/b/x.py"], &["x.pyc"]),
            ("a/**", &["a/b", "a/b/c"], &["a", "ab"]),
            ("a**", &["a", "ab", "ab/c"], &["ba"]),
            ("a**b", &["ab", "a/b", "ax/yb/b"], &["axb", "axx"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb"]),
            ("**/a/**", &["a/b", "x/a/b"], &["a", "x/a"]),
            ("**/a*/b", &["a/b", "x/ab/b"], &["x/ab/c/b"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "x"]),
            ("[^a]x", &["bx"], &["ax"]),
            ("[!a]x", &["!x", "ax"], &["bx"]),
            ("[]a]x", &["]x", "ax"], &["bx"]),
            ("[\\]]x", &["]x"], &["\\x"]),
            ("\\*", &["*"], &["a"]),
            ("a.b*", &["a.b", "a.bc"], &["axb"]),
            ("é?", &["éü"], &["é"]),
        ] {
            let glob = Glob::parse(pattern).unwrap();
            for path in yes {
                assert!(glob.matches(path), "{pattern} {path} {glob:?}");
            }
            for path in no {
                assert!(!glob.matches(path), "{pattern} {path} {glob:?}");
            }
        }
        for pattern in ["[", "a[b", "[]", "a\\", "[z-a]", "[a-"] {
            assert_eq!(Glob::parse(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let glob = Glob::parse(&format!("{}x", "**/a*a/".repeat(300))).unwrap();
        assert!(!glob.matches(&"aaa/".repeat(300)));
    }
}
