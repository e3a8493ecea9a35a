//! Debian's versions, and their order.

use std::cmp::Ordering;

/// Orders two versions, `[EPOCH:]UPSTREAM[-REVISION]`, as Debian's policy says.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a_epoch, a_upstream, a_revision) = parts(a);
    let (b_epoch, b_upstream, b_revision) = parts(b);
    part(a_epoch, b_epoch)
        .then_with(|| part(a_upstream, b_upstream))
        .then_with(|| part(a_revision, b_revision))
}

/// Whether a text may be a version: it becomes part of files that others read.
pub(super) fn is_version(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || ".+-~:".contains(c);
    text.starts_with(|c: char| c.is_ascii_digit()) && text.len() <= 200 && text.chars().all(legal)
}

fn parts(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Compares in turn what has no digits, letters before all else and `~` before the end, and numbers.
fn part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (a_text, b_text) = (take(&mut a, |c| !c.is_ascii_digit()), take(&mut b, |c| !c.is_ascii_digit()));
        let weights = |text: &str| text.bytes().map(weight).chain([0]).collect::<Vec<_>>();
        let order = weights(a_text).cmp(&weights(b_text));
        if order != Ordering::Equal {
            return order;
        }
        let (a_number, b_number) =
            (take(&mut a, |c| c.is_ascii_digit()), take(&mut b, |c| c.is_ascii_digit()));
        let (a_number, b_number) = (a_number.trim_start_matches('0'), b_number.trim_start_matches('0'));
        let order = a_number.len().cmp(&b_number.len()).then_with(|| a_number.cmp(b_number));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the longest start of `text` whose characters all are `wanted`.
fn take<'t>(text: &mut &'t str, wanted: impl Fn(char) -> bool) -> &'t str {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    let (start, rest) = text.split_at(end);
    *text = rest;
    start
}

fn weight(byte: u8) -> i32 {
    match byte {
        b'~' => -1,
        byte if byte.is_ascii_alphabetic() => i32::from(byte),
        byte => i32::from(byte) + 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        for (a, b) in [
            ("1.0~rc1", "1.0"),
            ("1.0", "1.0+b1"),
            ("1.0", "1.0a"),
            ("1.0a", "1.0+"),
            ("1.9", "1.10"),
            ("9", "1:1"),
            ("1.0-1", "1.0-1+deb12u1"),
            ("1.0-1~bpo1", "1.0-1"),
            ("2.36-9+deb12u9", "2.36-9+deb12u14"),
            ("1.0", "1.0-1"),
        ] {
            assert_eq!(compare(a, b), Ordering::Less, "{a} < {b}");
            assert_eq!(compare(b, a), Ordering::Greater, "{b} > {a}");
        }
        for (a, b) in [("1.0", "0:1.0"), ("1.01", "1.1"), ("1.0-0", "1.0"), ("", "")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} = {b}");
        }
    }
}
