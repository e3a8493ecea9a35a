//! Shell patterns.

/// Whether a text matches a pattern as Python's `fnmatch` reads it: `*` and `?` match `/` too, and a case counts.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    matches_with(pattern, text, false)
}

/// Whether a file's name matches a pattern as `.gitignore` and `.dockerignore` have it: a backslash takes the meaning
/// from what follows, and `[^…]` is `[!…]`.
pub(super) fn matches_name(pattern: &str, name: &str) -> bool {
    matches_with(pattern, name, true)
}

fn matches_with(pattern: &str, text: &str, escapes: bool) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on if what comes after the last `*` does not match: with one more character for that `*`.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            None if t == text.len() => return true,
            None => None,
            Some(_) if t == text.len() => return false,
            Some('?') => Some(p + 1),
            Some('[') => class(&pattern, p, text[t], escapes),
            Some('\\') if escapes && p + 1 < pattern.len() => (pattern[p + 1] == text[t]).then_some(p + 2),
            Some(c) => (*c == text[t]).then_some(p + 1),
        };
        match (step, retry) {
            (Some(next), _) => (p, t) = (next, t + 1),
            (None, Some((after, from))) if from < text.len() => {
                retry = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

/// Where the pattern goes on if the class that begins at `at` holds `c`. A bracket that is never closed stands for itself.
fn class(pattern: &[char], at: usize, c: char, escapes: bool) -> Option<usize> {
    let mut start = at + 1;
    let negated = match pattern.get(start) {
        Some('!') => true,
        Some('^') => escapes,
        _ => false,
    };
    start += usize::from(negated);
    // A closing bracket that comes first is part of the class.
    let Some(length) = pattern.get(start + 1..).and_then(|rest| rest.iter().position(|c| *c == ']')) else {
        return (c == '[').then_some(at + 1);
    };
    let end = start + 1 + length;
    let mut found = false;
    let mut i = start;
    while i < end {
        if i + 2 < end && pattern[i + 1] == '-' {
            found |= (pattern[i]..=pattern[i + 2]).contains(&c);
            i += 3;
        } else {
            found |= pattern[i] == c;
            i += 1;
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::{matches, matches_name};

    #[test]
    fn patterns_are_those_of_fnmatch() {
        for (pattern, text) in [
            ("main", "main"),
            ("release/*", "release/1/x"),
            ("*", ""),
            ("f?x-[a-c]*", "fix-b"),
            ("[!m]*", "dev"),
            ("a*b*c", "aXbXbc"),
            ("[]]", "]"),
            ("[x", "[x"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("main", "Main"), ("a?", "a"), ("[!m]*", "main"), ("[a-c]", "d"), ("a*b", "ac")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, name) in
            [("a\\*", "a*"), ("[^a]", "b"), ("[!a]*", "bc"), ("\\[x", "[x"), ("x\\", "x\\")]
        {
            assert!(matches_name(pattern, name), "{pattern} {name}");
        }
        assert!(!matches_name("a\\*", "ab") && matches("[^a]", "^") && !matches("[^a]", "b"));
        assert!(!matches(&"*a".repeat(1000), &"a".repeat(999)), "no pattern takes exponential time");
    }
}
